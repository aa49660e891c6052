//! C programs that print the same on Linux and in a guest.

use std::process::Command;

use anyhow::ensure;

use super::lab::stem;
use super::{Lab, Plan, Report, compare, host};

/// Programs that other groups run, with arguments.
pub const OTHERS: [&str; 9] = [
    "coverage", "devmsync", "direct", "eat", "fillfs", "lockall", "patterns", "rounds", "willneed",
];

/// Runs each program on both sides. None fails on Linux: else it would pass here as far as it came there.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    for program in lab.programs() {
        let name = stem(program);
        let test = format!("c/{name}");
        if OTHERS.contains(&&name[..]) || !plan.wants(&test) {
            continue;
        }
        report.test(&test, || {
            let linux = host::run(&mut Command::new(program))?;
            ensure!(linux.status == 0, "on Linux: {}", linux.output);
            let here = lab.guest(&[&format!("/tests/{name}")]).run()?;
            compare::same(&linux, &here)
        });
    }
}
