//! The same programs on the host's Linux, as the measure of what is right.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::lab::Outcome;

/// Runs a command to its end, with nothing to read.
pub fn run(command: &mut Command) -> Result<Outcome> {
    let name = command.get_program().to_owned();
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("starting {} on the host", name.display()))?;
    let status = match (output.status.code(), output.status.signal()) {
        (Some(code), _) => code,
        (None, signal) => 128 + signal.unwrap_or(0),
    };
    Ok(Outcome {
        status: status as u8,
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
    })
}
