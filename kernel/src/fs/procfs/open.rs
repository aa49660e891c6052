//! [`ProcText`]: a file of /proc, open.

use alloc::sync::Arc;
use core::any::Any;

use super::node::What;
use crate::fs::buffer::Buf;
use crate::fs::file::File;
use crate::fs::inode::FileIo;
use crate::fs::text::Text;
use crate::linux::Errno;
use crate::sync::Mutex;

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
            .and_then(|at| text.as_bytes().get(at..))
            .unwrap_or(&[]);
        let result = buf.put(rest);
        *self.text.lock() = text;
        result
    }

    fn write(&self, _file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        /// More than any setting is long.
        const MOST: usize = 256;
        let write = self.what.writer().ok_or(Errno::EIO)?;
        let mut bytes = [0; MOST];
        if buf.len() > MOST {
            return Err(Errno::EINVAL);
        }
        let len = buf.take(&mut bytes)?;
        write(&bytes[..len], self.what)?;
        Ok(len)
    }

    /// What opening it to write from the start asks for; there is nothing to take away.
    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn size(&self) -> Option<u64> {
        Some(0)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
