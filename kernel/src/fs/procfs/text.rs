//! [`Text`]: what a file of /proc says. [`ProcText`]: such a file, open.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use super::node::What;
use crate::fs::buffer::Buf;
use crate::fs::file::File;
use crate::fs::inode::FileIo;
use crate::fs::memory;
use crate::linux::Errno;
use crate::sync::Mutex;

/// Bytes that grow, or fail to.
#[derive(Default)]
pub struct Text(Vec<u8>);

impl Text {
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

    /// The bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// A file of /proc.
pub struct ProcText {
    what: What,
    /// The text as it was when it was last read from its start.
    text: Mutex<Text>,
}

impl ProcText {
    /// One that says what `what` says.
    pub fn new(what: What) -> ProcText {
        ProcText {
            what,
            text: Mutex::new(Text::default()),
        }
    }
}

impl FileIo for ProcText {
    fn read(&self, _file: &File, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        // Copying may block: the text is nobody else's meanwhile.
        let mut text = core::mem::take(&mut *self.text.lock());
        if at == 0 || text.len() == 0 {
            text = self.what.text()?;
        }
        let rest = usize::try_from(at)
            .ok()
            .and_then(|at| text.0.get(at..))
            .unwrap_or(&[]);
        let result = buf.put(rest);
        *self.text.lock() = text;
        result
    }

    fn size(&self) -> Option<u64> {
        Some(0)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
