//! Fork, exec and exit leave nothing behind.

use anyhow::{Result, bail};

use super::kmem::check_types;
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

/// The program compares the counts itself, and prints those that differ; what each malloc type has in use
/// is compared here. What is allocated once, or the first time, is no leak: a few rounds come before.
fn fork_exec_exit(lab: &Lab, rounds: u32) -> Result<()> {
    let patience = u64::from(rounds / 50).max(120);
    // The shell is to stay, and not become the last command.
    let script = format!(
        "/tests/rounds 100 >/dev/null; cat /proc/malloctypes; /tests/rounds {rounds}; \
         cat /proc/malloctypes; true"
    );
    let here = lab
        .guest(&["/bin/sh", "-c", &script])
        .patience(patience)
        .run()?;
    let said = format!("{rounds} rounds, 12 counts as before\n");
    let Some((before, after)) = here.output.split_once(&said) else {
        bail!("status {}\n{}", here.status, here.output);
    };
    let (before, after) = (check_types(before)?, check_types(after)?);
    if before != after {
        bail!("in use before: {before:?}, after: {after:?}");
    }
    Ok(())
}
