//! Fork, exec and exit leave nothing behind.

use anyhow::{Result, bail};

use super::{Lab, Plan, Report};

/// Rounds that the test takes, and those of a long run.
const ROUNDS: (u32, u32) = (10_000, 100_000);

/// Runs the rounds, between two looks at the manager's counts.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    if plan.wants("rounds/fork-exec-exit") {
        let rounds = if plan.long { ROUNDS.1 } else { ROUNDS.0 };
        report.test("rounds/fork-exec-exit", || fork_exec_exit(lab, rounds));
    }
}

/// The program compares the counts itself, and prints those that differ.
fn fork_exec_exit(lab: &Lab, rounds: u32) -> Result<()> {
    let patience = u64::from(rounds / 50).max(120);
    let here = lab
        .guest(&["/tests/rounds", &rounds.to_string()])
        .patience(patience)
        .run()?;
    if here.status == 0 && here.output == format!("{rounds} rounds, 12 counts as before\n") {
        return Ok(());
    }
    bail!("status {}\n{}", here.status, here.output);
}
