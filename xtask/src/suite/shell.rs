//! Shell sessions with busybox, the same on the host and in a guest.

use std::process::Command;

use anyhow::{Result, bail};

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
                let mut linux = Command::new(setup::ensure(&setup::BUSYBOX)?);
                linux.arg("sh").arg(&script);
                compare::same(&host::run(lab.on_host(&mut linux)?)?, &here)
            });
        }
    }
    if plan.wants("shell/input") {
        report.test("shell/input", || input(lab));
    }
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
