//! Every test of vmbench runs in a guest; its figures are the concern of `bench`.

use anyhow::{Result, bail};

use super::{Lab, Plan, Report};

/// The guest's memory, as in the measurements.
const MEM: u64 = 1 << 30;

/// Runs all tests once, with few iterations.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    if plan.wants("vmbench/all") {
        report.test("vmbench/all", || all(lab));
    }
}

/// Each test that vmbench lists on one processor leaves a line of figures.
fn all(lab: &Lab) -> Result<()> {
    let here = lab
        .guest(&["/bin/vmbench", "-r", "1", "-s", "10"])
        .mem(MEM)
        .patience(300)
        .run()?;
    let failed: Vec<_> = here
        .output
        .lines()
        .filter(|line| line.contains("FAILED"))
        .collect();
    let figures = here.output.lines().count() - failed.len();
    // 82 tests need neither a second processor nor swap.
    if !failed.is_empty() || figures < 60 || here.status != 0 {
        bail!(
            "{figures} tests left figures, status {}\n{}",
            here.status,
            failed.join("\n")
        );
    }
    Ok(())
}
