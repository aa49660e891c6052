//! Where things lie in the checkout.

use std::path::{Path, PathBuf};

/// The checkout's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask/ lies in the root")
        .to_path_buf()
}

/// Cargo's output folder: `target/`, or what `CARGO_TARGET_DIR` says.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Where this tool keeps what it makes.
pub fn work() -> std::io::Result<PathBuf> {
    let dir = target().join("xtask");
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}
