//! The table of calls in `docs/coverage.md` says what is so.
//!
//! Its section of Linux has a row for each probe of `tests/c/coverage.c`, and beside it what the probe says in
//! a guest. The rows of its other sections name, between backquotes, probes of that one, functions of the
//! sources, which are tests or the verbs that a kernel calls, or tests of this tool. Each test that makes an
//! assertion has a row that says how it was seen to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::lab::files;
use super::{Lab, Plan, Report};
use crate::paths;

/// Where tests and verbs are.
const SOURCES: [&str; 2] = ["crates", "tests"];
/// Where tests of guests are.
const SUITE: &str = "xtask/src/suite";

/// Runs the tests.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    if plan.wants("coverage/linux") {
        report.test("coverage/linux", || linux(lab));
    }
    if plan.wants("coverage/names") {
        report.test("coverage/names", names);
    }
    if plan.wants("coverage/failures") {
        report.test("coverage/failures", || {
            let text = table()?;
            all_seen(section(&text, "Assertions")?, section(&text, "Failures")?)
        });
    }
}

fn table() -> Result<String> {
    let path = paths::root().join("docs/coverage.md");
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// What the probes say is what the table says, row by row.
fn linux(lab: &Lab) -> Result<()> {
    let text = table()?;
    let table: BTreeMap<String, String> = rows(section(&text, "Linux")?)
        .map(|[name, here, ..]| (name.replace('`', ""), here.replace('`', "")))
        .collect();
    let outcome = lab.guest(&["/tests/coverage"]).run()?;
    let found: BTreeMap<String, String> = outcome
        .output
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, here)| (name.to_owned(), here.to_owned()))
        .collect();
    let differences = differences(&table, &found);
    if outcome.status != 0 || !differences.is_empty() {
        bail!("status {}\n{differences}", outcome.status);
    }
    Ok(())
}

/// Where a table and what was found are not the same, a line each.
fn differences(table: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> String {
    let names: BTreeSet<&String> = table.keys().chain(found.keys()).collect();
    let mut lines = String::new();
    for name in names {
        match (table.get(name), found.get(name)) {
            (said, is) if said == is => {}
            (said, is) => {
                let word = |word: Option<&String>| word.cloned().unwrap_or("(no row)".into());
                lines += &format!(
                    "{name}: the table says {}, found {}\n",
                    word(said),
                    word(is)
                );
            }
        }
    }
    lines
}

/// Whatever the other sections name exists.
fn names() -> Result<()> {
    let text = table()?;
    let probes: BTreeSet<String> = rows(section(&text, "Linux")?)
        .map(|[name, ..]| name.replace('`', ""))
        .collect();
    let mut functions = BTreeSet::new();
    for dir in SOURCES {
        collect_functions(&paths::root().join(dir), &mut functions)?;
    }
    for path in files(SUITE, "rs")? {
        let text = fs::read_to_string(&path)?;
        functions.extend(text.split('"').map(str::to_owned));
    }
    let mut missing = Vec::new();
    let columns = [
        ("POSIX", 1),
        ("NetBSD", 1),
        ("Assertions", 1),
        ("Failures", 0),
    ];
    for (title, column) in columns {
        for row in rows(section(&text, title)?) {
            let unknown = quoted(row[column])
                .filter(|name| !probes.contains(*name) && !functions.contains(*name));
            missing.extend(unknown.map(str::to_owned));
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => bail!("docs/coverage.md names what does not exist: {missing:?}"),
    }
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// An error unless each test that makes an assertion has a row among the failures.
fn all_seen(assertions: &str, failures: &str) -> Result<()> {
    let made: BTreeSet<&str> = rows(assertions)
        .flat_map(|[_, tests, ..]| quoted(tests))
        .collect();
    let seen: BTreeSet<&str> = rows(failures)
        .flat_map(|[tests, ..]| quoted(tests))
        .collect();
    let unseen: Vec<_> = made.difference(&seen).collect();
    match unseen.is_empty() {
        true => Ok(()),
        false => bail!("docs/coverage.md does not tell how these fail: {unseen:?}"),
    }
}

/// The names of all functions in the Rust files of a folder, and of all C programs.
fn collect_functions(dir: &Path, functions: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect_functions(&path, functions)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path)?;
            let after = text.split("fn ").skip(1);
            functions.extend(after.map(|rest| word(rest).to_owned()));
        } else if path.extension().is_some_and(|end| end == "c")
            && let Some(stem) = path.file_stem()
        {
            functions.insert(format!("c/{}", stem.display()));
        }
    }
    Ok(())
}

/// The identifier that a text begins with.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The part of a document below a heading of the second level.
pub(super) fn section<'a>(text: &'a str, title: &str) -> Result<&'a str> {
    let heading = format!("\n## {title}\n");
    let start = text
        .find(&heading)
        .with_context(|| format!("a section {title}"))?
        + heading.len();
    let end = text[start..]
        .find("\n## ")
        .map_or(text.len(), |end| start + end);
    Ok(&text[start..end])
}

/// The first three cells of each row of a section's tables, but for their heads.
pub(super) fn rows(section: &str) -> impl Iterator<Item = [&str; 3]> {
    let mut head = true;
    section.lines().filter_map(move |line| {
        let Some(line) = line.strip_prefix('|') else {
            head = true;
            return None;
        };
        if line.starts_with("---") {
            head = false;
            return None;
        }
        let mut cells = line.split('|').map(str::trim);
        let row = [cells.next()?, cells.next()?, cells.next().unwrap_or("")];
        (!head).then_some(row)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# T\n\n## Linux\n\n| call | here | note |\n|---|---|---|\n\
                        | `a` | works | |\n| `b` | `EINVAL` | why |\n\n## POSIX\n\nwords\n";

    #[test]
    fn tables_are_read() {
        let linux = section(TEXT, "Linux").expect("a section");
        let found: Vec<_> = rows(linux).collect();
        assert_eq!(found, [["`a`", "works", ""], ["`b`", "`EINVAL`", "why"]]);
        assert_eq!(rows(section(TEXT, "POSIX").expect("a section")).count(), 0);
        assert!(section(TEXT, "NetBSD").is_err());
    }

    #[test]
    fn what_is_said_and_what_is_found_are_compared_both_ways() {
        let map = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs.map(|(a, b)| (a.to_string(), b.to_string())).collect()
        };
        let table = map(&[("a", "works"), ("b", "EINVAL"), ("c", "works")]);
        assert_eq!(differences(&table, &table), "");
        let found = map(&[("a", "works"), ("b", "works"), ("d", "works")]);
        let text = differences(&table, &found);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.contains("b: the table says EINVAL, found works"),
            "{text}"
        );
    }

    #[test]
    fn each_assertion_is_seen_to_fail() {
        let table = |rows: &str| format!("| a | b |\n|---|---|\n{rows}");
        let made = table("| upstream | `one`, `two` |\n| other | no meaning |\n");
        let seen = table("| `one` | so |\n| `two` | so |\n| `two` | and so |\n");
        assert!(all_seen(&made, &seen).is_ok());
        let error = all_seen(&made, &table("| `one`, `three` | so |\n"));
        let error = error.expect_err("two is missing").to_string();
        assert!(error.ends_with("[\"two\"]"), "{error}");
    }

    #[test]
    fn words_end_where_they_should() {
        assert_eq!(word("map_again(&self)"), "map_again");
        assert_eq!(word("x<T>()"), "x");
    }
}
