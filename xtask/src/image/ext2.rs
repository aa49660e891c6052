//! File systems on disks of guests: made, checked and taken apart by the programs of e2fsprogs, with
//! nothing mounted.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup;

/// Makes a file of so many bytes with a file system that holds what is in a folder, if one is given.
pub fn make(file: &Path, bytes: u64, dir: Option<&Path>) -> Result<()> {
    File::create(file)
        .and_then(|file| file.set_len(bytes))
        .with_context(|| file.display().to_string())?;
    let mut command = Command::new(setup::ensure(&setup::MKE2FS)?);
    command.args(["-q", "-F", "-t", "ext2", "-b", "4096"]);
    if let Some(dir) = dir {
        command.arg("-d").arg(dir);
    }
    run(command.arg(file)).map(drop)
}

/// An error unless there is nothing to mend, and it was unmounted in order.
pub fn check(file: &Path) -> Result<()> {
    let found = run(Command::new(setup::ensure(&setup::E2FSCK)?)
        .arg("-fn")
        .arg(file))?;
    let state = run(Command::new(setup::ensure(&setup::DEBUGFS)?)
        .args(["-R", "show_super_stats -h"])
        .arg(file))?;
    if !state
        .lines()
        .any(|line| line.starts_with("Filesystem state:") && line.ends_with(" clean"))
    {
        bail!("it was not unmounted in order:\n{found}\n{state}");
    }
    Ok(())
}

/// Mends what a machine left that was switched off.
pub fn mend(file: &Path) -> Result<()> {
    let mut command = Command::new(setup::ensure(&setup::E2FSCK)?);
    let output = command.arg("-fy").arg(file).output()?;
    // 1: errors were mended.
    match output.status.code() {
        Some(0 | 1) => Ok(()),
        _ => bail!("e2fsck: {}", String::from_utf8_lossy(&output.stdout)),
    }
}

/// Takes everything out into a new folder.
pub fn extract(file: &Path, dir: &Path) -> Result<()> {
    fs::create_dir(dir)?;
    run(Command::new(setup::ensure(&setup::DEBUGFS)?)
        .arg("-R")
        .arg(format!("rdump / {}", dir.display()))
        .arg(file))
    .map(drop)
}

/// What a program printed, if it succeeded.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!(
            "{:?}: {text}{}",
            command.get_program(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(text)
}
