//! The workspace's own tests, by cargo; each counts as a test here.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::checks::{beginning, workspace};
use super::{Plan, Report};

/// What the test kit does more of when time does not matter: steps of the random programs, and
/// schedules of the parallel scenes.
const LONG: [(&str, &str); 2] = [("SCALVM_STEPS", "20000000"), ("SCALVM_SCHEDULES", "5000")];

/// How long cargo may say nothing: a test that hangs is told, not waited for.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// The same where tests are to run for long.
const LONG_PATIENCE: Duration = Duration::from_secs(6 * 3600);

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
    if let Err(error) = run_cargo(command, "host", patience(plan), report) {
        report.line("host", Err(error), None);
    }
}

/// How long a command of cargo's may say nothing.
pub fn patience(plan: &Plan) -> Duration {
    if plan.long { LONG_PATIENCE } else { PATIENCE }
}

/// Runs `cargo test`, and reports each test as it ends, as one of a group.
pub fn run_cargo(
    mut command: Command,
    group: &str,
    patience: Duration,
    report: &mut Report,
) -> Result<()> {
    let (reader, writer) = std::io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn().context("starting cargo test")?;
    drop(command);
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        BufReader::new(reader)
            .lines()
            .try_for_each(|line| sender.send(line))
    });
    let mut lines = Lines::default();
    loop {
        match receiver.recv_timeout(patience) {
            Ok(line) => {
                if let Some((name, passed)) = lines.take(&line?) {
                    let failed = || Err(anyhow!("its output is shown below"));
                    let name = format!("{group}/{name}");
                    report.line(&name, if passed { Ok(()) } else { failed() }, None);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                end(&mut child)?;
                bail!(
                    "nothing was said for {} s; the last lines:\n{}",
                    patience.as_secs(),
                    lines.last()
                );
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("cargo test: {status}\n{}", beginning(&lines.explanation()));
    }
    Ok(())
}

/// Ends cargo and what it has started.
fn end(cargo: &mut Child) -> Result<()> {
    let id = cargo.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    for child in children.unwrap_or_default().split_whitespace() {
        if let Some(pid) = child.parse().ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    cargo.kill()?;
    cargo.wait()?;
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

    /// What was printed last beside results: tests that take long are named there.
    fn last(&self) -> String {
        let from = self.others.len().saturating_sub(20);
        self.others[from..].join("\n")
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
    fn what_hangs_is_ended_and_told() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo before; echo test a ... ok; sleep 1000; echo after",
        ]);
        let mut report = Report::default();
        let ended = run_cargo(command, "tool", Duration::from_secs(5), &mut report);
        let error = ended.expect_err("it hung").to_string();
        assert!(error.ends_with("the last lines:\nbefore"), "{error}");
        assert_eq!(report.close(), 0, "the test that ended counts");
    }

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
