//! What the tool itself tells, on standard error, apart from the guest's output.

use std::fmt::Display;

use crate::machine::terminal;

/// One line about what is being done or has happened.
pub fn note(text: impl Display) {
    line(format_args!("xtask: {text}"));
}

/// A line as it is.
pub fn line(text: impl Display) {
    eprintln!("{text}{}", if terminal::is_raw() { "\r" } else { "" });
}

/// Why it ended, with its causes.
pub fn error(error: &anyhow::Error) {
    note(format_args!("error: {error:#}"));
}
