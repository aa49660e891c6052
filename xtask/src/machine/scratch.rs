//! A folder of this process for sockets and images, gone when it is dropped.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own.
pub struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// Makes a folder where paths are short enough for sockets.
    pub fn new() -> std::io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("scalvm-{}-{number}", std::process::id()));
        std::fs::create_dir(&dir)?;
        Ok(Self { dir })
    }

    /// A name in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// A file of this size in it, which takes room on the host's disk only where it is written.
    pub fn sparse(&self, name: &str, bytes: u64) -> std::io::Result<PathBuf> {
        let path = self.path(name);
        std::fs::File::create(&path)?.set_len(bytes)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
