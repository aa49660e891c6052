//! [`Text`]: formatted text, where memory may be short.

use core::fmt;

use scalvm::malloc_type;
use scalvm_alloc::typed_alloc;

use super::memory;
use crate::linux::Errno;
use crate::mm::VM;
use crate::mm::typed::{self, Vec};

malloc_type!(
    M_TEXT,
    "text",
    "what files of /proc say, while they are read"
);
typed_alloc!(TextMemory, VM, M_TEXT);

/// Bytes that grow, or fail to.
pub struct Text(Vec<u8, TextMemory>);

impl Default for Text {
    fn default() -> Text {
        Text(Vec::new_in(TextMemory))
    }
}

impl Text {
    /// Formatted text.
    pub fn format(text: fmt::Arguments<'_>) -> Result<alloc::vec::Vec<u8>, Errno> {
        let mut whole = Text::default();
        whole.write_fmt(text)?;
        memory::vec(whole.as_bytes())
    }

    /// Appends bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        typed::extend(&mut self.0, bytes)
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
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes()).map_err(|_| fmt::Error)
    }
}
