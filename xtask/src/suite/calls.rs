//! How often calls were made and failed, as `/proc/syscalls` tells it: a file that Linux has not.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::{Lab, Plan, Report};

/// What is told of a call: how often it was made, how often it failed, and the last error.
type Counts = [u64; 3];

const ENOENT: u64 = 2;
const ENOTEMPTY: u64 = 39;

/// Runs the test.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    if plan.wants("calls/counts") {
        report.test("calls/counts", || counts(lab));
    }
}

/// A shell's programs make and remove directories between two looks: the second has those calls more, and the errors that came last.
fn counts(lab: &Lab) -> Result<()> {
    let script = "cd /tmp; mkdir first; cat /proc/syscalls; echo; \
                  for i in 1 2 3 4; do mkdir d$i; done; mkdir d2 d3 none/in 2>/dev/null; mkdir d1/in; \
                  rmdir d1 2>/dev/null; rmdir d4 first; cat /proc/syscalls";
    let here = lab.guest(&["/bin/sh", "-c", script]).run()?;
    let (before, after) = here.output.split_once("\n\n").context("two looks")?;
    let (before, after) = (read(before)?, read(after)?);
    let none = [0; 3];
    let more = |name: &str| {
        let [before, after] = [&before, &after].map(|look| look.get(name).unwrap_or(&none));
        [after[0] - before[0], after[1] - before[1], after[2]]
    };
    for (name, expected) in [
        ("mkdir", [8, 3, ENOENT]),
        ("rmdir", [3, 1, ENOTEMPTY]),
        // Nobody has made it.
        ("pivot_root", none),
    ] {
        ensure!(more(name) == expected, "{name}: {:?}", more(name));
    }
    ensure!(
        !after.contains_key("pivot_root"),
        "a row of a call that was not made"
    );
    for (name, [made, failed, error]) in &after {
        let fits = failed <= made && (*failed == 0) == (*error == 0);
        ensure!(*made > 0 && fits, "{name} {made} {failed} {error}");
        let less = before.get(name).is_some_and(|before| before[0] > *made);
        ensure!(!less, "{name} was made less often than before");
    }
    Ok(())
}

/// The rows by the names of the calls, each of which has one.
fn read(text: &str) -> Result<BTreeMap<&str, Counts>> {
    let mut lines = text.trim_end().lines();
    ensure!(lines.next() == Some("call made failed error"), "the head");
    let mut rows = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, made, failed, error] = words[..] else {
            bail!("not a row: {line}");
        };
        let counts = [made.parse()?, failed.parse()?, error.parse()?];
        ensure!(rows.insert(name, counts).is_none(), "{name} twice");
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let rows = read("call made failed error\nread 7 1 9\nbrk 2 0 0\n").expect("rows");
        assert_eq!(rows, [("brk", [2, 0, 0]), ("read", [7, 1, 9])].into());
        for bad in ["read 1 0 0", "call made failed error\nread 1 0"] {
            assert!(read(bad).is_err());
        }
        assert!(read("call made failed error\nbrk 1 0 0\nbrk 2 0 0").is_err());
    }
}
