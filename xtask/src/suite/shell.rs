//! Shell sessions with busybox, the same on the host and in a guest.

use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::lab::{files, stem};
use super::{Lab, Plan, Report, compare, host};
use crate::setup;

/// How long a session may take in a guest, in seconds.
const PATIENCE: u64 = 300;

/// Runs each script of tests/shell on both sides.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    let scripts = match files("tests/shell", "sh") {
        Ok(scripts) => scripts,
        Err(error) => return report.line("shell", Err(error), None),
    };
    for script in scripts {
        let name = stem(&script);
        let test = format!("shell/{name}");
        if plan.wants(&test) {
            report.test(&test, || {
                let guest_script = format!("/tests/{name}.sh");
                let here = lab
                    .guest(&["/bin/sh", &guest_script])
                    .patience(PATIENCE)
                    .run()?;
                let mut linux = host_shell(lab)?;
                compare::same(&host::run(linux.arg(&script))?, &here)
            });
        }
    }
    if plan.wants("shell/input") {
        report.test("shell/input", || input(lab));
    }
}

/// Busybox's shell on the host, with nothing but busybox's commands.
fn host_shell(lab: &Lab) -> Result<Command> {
    let busybox = setup::ensure(&setup::BUSYBOX)?;
    let bin = lab.path("bin");
    let temporary = lab.path("tmp");
    if !bin.exists() {
        std::fs::create_dir(&bin)?;
        std::fs::create_dir(&temporary)?;
        let list = Command::new(&busybox)
            .arg("--list")
            .output()
            .context("busybox --list")?;
        for applet in String::from_utf8_lossy(&list.stdout).lines() {
            symlink(&busybox, bin.join(applet))?;
        }
    }
    let mut command = Command::new(bin.join("sh"));
    command
        .env_clear()
        .env("PATH", &bin)
        .env("TMPDIR", &temporary)
        .current_dir(&temporary);
    Ok(command)
}

/// Every byte of standard input reaches the program, and then the end.
fn input(lab: &Lab) -> Result<()> {
    let bytes: Vec<u8> = (0..=255u8)
        .cycle()
        .take(20_000)
        .chain(*b"no newline at the end")
        .collect();
    let here = lab
        .guest(&["/bin/sh", "-c", "od -An -v -tx1"])
        .input(&bytes)
        .run()?;
    let words: Vec<u8> = here
        .output
        .split_whitespace()
        .filter_map(|word| u8::from_str_radix(word, 16).ok())
        .collect();
    if words == bytes && here.status == 0 {
        return Ok(());
    }
    let at = words.iter().zip(&bytes).position(|(a, b)| a != b);
    bail!(
        "{} of {} bytes arrived, the first difference is at {at:?}",
        words.len(),
        bytes.len()
    );
}
