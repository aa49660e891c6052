//! Tests in which threads meet, built with the thread sanitizer: it knows of each access to memory
//! whether something orders it before or after those of other threads, however the threads went
//! this time.

use std::process::Stdio;

use anyhow::{Result, bail};

use super::checks::beginning;
use super::host_tests::{patience, run_cargo};
use super::{Plan, Report};
use crate::paths;
use crate::setup::ThreadSanitizer;

/// What is not to be reported, and why.
const SUPPRESSIONS: &str = "tests/tsan-suppressions.txt";

/// Which tests of the library and of the test kit are run: those of what threads share without a
/// lock around all of it, and those with threads of the host.
const TESTS: [&str; 4] = ["kmem", "page::", "pageout::", "hosted"];

/// How often each scene is carried out, in threes.
const SCENES: (&str, &str) = ("SCALVM_SCHEDULES", "8");

/// Runs the tests.
pub fn run(plan: &Plan, report: &mut Report) {
    let Some(filter) = plan.within("tsan") else {
        return;
    };
    if let Err(error) = run_tests(filter, plan, report) {
        report.line("tsan", Err(error), None);
    }
}

fn run_tests(filter: &str, plan: &Plan, report: &mut Report) -> Result<()> {
    let sanitizer = ThreadSanitizer::ensure()?;
    let suppressions = paths::root().join(SUPPRESSIONS);
    if "finds-a-race".contains(filter) {
        report.test("tsan/finds-a-race", || {
            let mut race = sanitizer.cargo("run", &suppressions);
            race.args(["--quiet", "-p", "scalvm-testkit", "--example", "race"]);
            let output = race.stdin(Stdio::null()).output()?;
            let text = String::from_utf8_lossy(&output.stderr);
            match text.contains("data race") && !output.status.success() {
                true => Ok(()),
                false => bail!("a race was not reported:\n{}", beginning(&text)),
            }
        });
    }
    let mut tests = sanitizer.cargo("test", &suppressions);
    tests
        .args(["-p", "scalvm", "--lib", "-p", "scalvm-testkit"])
        .args(["--test", "schedules", "--test", "kmem"])
        .args(["--no-fail-fast", "--color=never", "--"])
        .env(SCENES.0, SCENES.1);
    match filter {
        "" => tests.args(TESTS),
        name => tests.arg(name),
    };
    run_cargo(tests, "tsan", patience(plan), report)
}
