//! [`Text`]: formatted text, where memory may be short.

use alloc::vec::Vec;
use core::fmt;

use super::memory;
use crate::linux::Errno;

/// Bytes that grow, or fail to.
#[derive(Default)]
pub struct Text(Vec<u8>);

impl Text {
    /// Formatted text.
    pub fn format(text: fmt::Arguments<'_>) -> Result<Vec<u8>, Errno> {
        let mut whole = Text::default();
        whole.write_fmt(text)?;
        Ok(whole.into_vec())
    }

    /// Appends bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        memory::extend(&mut self.0, bytes)
    }

    /// Appends formatted text; what `write!` calls.
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> Result<(), Errno> {
        fmt::Write::write_fmt(self, text).map_err(|_| Errno::ENOMEM)
    }

    /// Appends spaces until the line that began at `start` has `columns` bytes.
    pub fn pad(&mut self, start: usize, columns: usize) -> Result<(), Errno> {
        while self.0.len() < start + columns {
            self.bytes(b" ")?;
        }
        Ok(())
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes()).map_err(|_| fmt::Error)
    }
}
