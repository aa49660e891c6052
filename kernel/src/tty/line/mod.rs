//! The line discipline: what a terminal does with the bytes that pass through it. Pure.

mod discipline;
mod fifo;
mod termios;
#[cfg(test)]
mod tests;

pub use discipline::Discipline;
pub use termios::Settings;
