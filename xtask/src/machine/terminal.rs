//! The host's terminal: put into raw mode for a guest's console, and restored whatever happens.

use std::sync::Mutex;

use rustix::stdio;
use rustix::termios::{self, OptionalActions, Termios};

/// The terminal's settings before raw mode, while it is in raw mode.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Whether both ends of the console are a terminal.
pub fn present() -> bool {
    termios::isatty(stdio::stdin()) && termios::isatty(stdio::stdout())
}

/// Rows and columns of the terminal, or what terminals once had.
pub fn size() -> (u16, u16) {
    match termios::tcgetwinsize(stdio::stdin()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row, size.ws_col),
        _ => (24, 80),
    }
}

/// Raw mode, for as long as this value lives; [`restore`] ends it early, from any thread.
pub struct Raw;

impl Raw {
    /// Turns raw mode on. A panic of this tool restores the terminal before it prints.
    pub fn enter() -> rustix::io::Result<Self> {
        let before = termios::tcgetattr(stdio::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        *lock() = Some(before);
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            hook(info);
        }));
        termios::tcsetattr(stdio::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether the terminal is in raw mode now, so that lines want a carriage return.
pub fn is_raw() -> bool {
    lock().is_some()
}

/// Gives the terminal back its settings, if they were changed.
pub fn restore() {
    if let Some(before) = lock().take() {
        // There is nobody left to tell of a failure.
        let _ = termios::tcsetattr(stdio::stdin(), OptionalActions::Now, &before);
    }
}

/// The settings, also after a panic of who held them.
fn lock() -> std::sync::MutexGuard<'static, Option<Termios>> {
    BEFORE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
