//! The workspace's own tests, by cargo; each counts as a test here.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use super::checks::{beginning, workspace};
use super::{Plan, Report};

/// What the test kit does more of when time does not matter: steps of the random programs, and
/// schedules of the parallel scenes.
const LONG: [(&str, &str); 2] = [("SCALVM_STEPS", "20000000"), ("SCALVM_SCHEDULES", "5000")];

/// Runs the tests that the pattern chooses by the group's name.
pub fn run(plan: &Plan, report: &mut Report) {
    let Some(filter) = plan.within("host") else {
        return;
    };
    let mut command = workspace(&["test", "--workspace", "--no-fail-fast", "--color=never"]);
    if !filter.is_empty() {
        command.args(["--", filter]);
    }
    if plan.long {
        command.envs(LONG);
    }
    if let Err(error) = run_cargo(command, "host", report) {
        report.line("host", Err(error), None);
    }
}

/// Runs `cargo test`, and reports each test as it ends, as one of a group.
pub fn run_cargo(mut command: Command, group: &str, report: &mut Report) -> Result<()> {
    let (reader, writer) = std::io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn().context("starting cargo test")?;
    drop(command);
    let mut lines = Lines::default();
    for line in BufReader::new(reader).lines() {
        if let Some((name, passed)) = lines.take(&line?) {
            let failed = || Err(anyhow!("its output is shown below"));
            let name = format!("{group}/{name}");
            report.line(&name, if passed { Ok(()) } else { failed() }, None);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("cargo test: {status}\n{}", beginning(&lines.explanation()));
    }
    Ok(())
}

/// Reads what cargo test prints.
#[derive(Default)]
struct Lines {
    /// Whose tests come next.
    package: String,
    /// A test whose result is still to come, after output of its own.
    begun: Option<String>,
    /// Lines that are no test's.
    others: Vec<String>,
}

impl Lines {
    /// Takes a line; the name and result, if a test ends with it.
    fn take(&mut self, line: &str) -> Option<(String, bool)> {
        let words = line.trim();
        if let Some(rest) = words.strip_prefix("Running ") {
            // `Running unittests src/lib.rs (target/debug/deps/scalvm-0123456789abcdef)`
            let program = rest
                .rsplit('/')
                .next()
                .unwrap_or(rest)
                .trim_end_matches(')');
            program
                .rsplit_once('-')
                .map_or(program, |(name, _)| name)
                .clone_into(&mut self.package);
            return None;
        }
        if let Some(package) = words.strip_prefix("Doc-tests ") {
            package.clone_into(&mut self.package);
            return None;
        }
        let rest = words.strip_prefix("test ");
        if let Some((name, result)) = rest.and_then(|rest| rest.split_once(" ... ")) {
            self.begun = Some(format!("{}::{}", self.package, name.trim_end()));
            if let Some(end) = self.result(result) {
                return Some(end);
            }
        } else if let Some(end) = self.result(words) {
            return Some(end);
        }
        if !words.starts_with("Compiling ") {
            self.others.push(line.to_owned());
        }
        None
    }

    /// What explains a failure: what the failed tests printed, or else the compiler.
    fn explanation(&self) -> String {
        let mut shown = Vec::new();
        let mut within = false;
        for line in &self.others {
            // `---- name stdout ----` begins what a test printed, `failures:` the names alone.
            if line.starts_with("---- ") {
                within = true;
            } else if line == "failures:" || line.starts_with("test result") {
                within = false;
            }
            if within {
                shown.push(&line[..]);
            }
        }
        if shown.is_empty() {
            self.others.join("\n")
        } else {
            shown.join("\n")
        }
    }

    /// The end of the test that has begun, if this word is its result.
    fn result(&mut self, word: &str) -> Option<(String, bool)> {
        let passed = match word {
            "ok" => true,
            "FAILED" => false,
            _ => return None,
        };
        Some((self.begun.take()?, passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_explain_themselves() {
        let text = "running 1 test\ntest a ... FAILED\n\nfailures:\n\n---- a stdout ----\npanicked\n\n\
                    failures:\n    a\n\ntest result: FAILED\n";
        let mut lines = Lines::default();
        assert_eq!(text.lines().filter_map(|line| lines.take(line)).count(), 1);
        assert_eq!(lines.explanation().trim(), "---- a stdout ----\npanicked");
        let mut lines = Lines::default();
        assert_eq!(lines.take("error: it does not compile"), None);
        assert_eq!(lines.explanation(), "error: it does not compile");
    }

    #[test]
    fn lines_of_cargo_test() {
        let text = "     Running unittests src/lib.rs (target/debug/deps/scalvm_pmap-0123456789abcdef)\n\
                    running 3 tests\n\
                    test a::b ... ok\n\
                    test c ... FAILED\n\
                    test loud ... some output\n\
                    ok\n\
                    test result: FAILED. 2 passed; 1 failed; 0 ignored\n\
                    Doc-tests scalvm\n\
                    test crates/scalvm/src/lib.rs - x (line 3) ... ok\n";
        let mut lines = Lines::default();
        let ends: Vec<_> = text.lines().filter_map(|line| lines.take(line)).collect();
        let expected = [
            ("scalvm_pmap::a::b", true),
            ("scalvm_pmap::c", false),
            ("scalvm_pmap::loud", true),
            ("scalvm::crates/scalvm/src/lib.rs - x (line 3)", true),
        ];
        assert_eq!(
            ends,
            expected.map(|(name, passed)| (name.to_owned(), passed))
        );
        assert!(
            lines
                .others
                .iter()
                .any(|line| line.starts_with("test result"))
        );
    }
}
