//! Replaying recorded page references: a program of its own does it (`crates/scalvm-trace`), so that
//! this tool need not be built with the whole manager.

use std::process::Command;

use anyhow::{Context, Result};

use crate::cli::TraceOptions;
use crate::paths;

/// Runs the program with the options given, and returns its status.
pub fn trace(options: TraceOptions) -> Result<u8> {
    let manifest = paths::root().join("Cargo.toml");
    let status = Command::new("cargo")
        .args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "scalvm-trace",
            "--manifest-path",
        ])
        .arg(manifest)
        .arg("--")
        .args(options.arguments)
        .status()
        .context("starting cargo for scalvm-trace")?;
    Ok(status.code().map_or(crate::FAILED, |code| code as u8))
}
