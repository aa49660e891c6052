//! `cargo xtask test`: everything that must pass.
//!
//! The quick checks come first, then the tests on the host, then those of this tool, then those
//! in a guest. Each test has a name of the form `group/name`, and a line.

mod c_programs;
mod calls;
mod checks;
mod compare;
mod coverage;
mod disk;
mod ext2;
mod fsx;
mod host;
mod host_tests;
mod interactive;
mod kmem;
mod lab;
mod long;
mod real;
mod real_redis;
mod report;
mod rounds;
mod shell;
mod stress;
mod swap;
mod tool;
mod tsan;
mod vmbench;

use anyhow::Result;

use crate::cli::TestOptions;

pub use lab::Lab;
pub use report::Report;

/// What all tests may want to know.
pub struct Plan {
    /// More steps, more rounds.
    pub long: bool,
    /// Only tests whose names contain this.
    pattern: Option<String>,
}

impl Plan {
    /// Whether a test is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.pattern
            .as_ref()
            .is_none_or(|pattern| name.contains(pattern.as_str()))
    }

    /// Whether the pattern is about this group alone.
    pub fn is_within(&self, group: &str) -> bool {
        self.pattern.is_some() && self.within(group).is_some()
    }

    /// The part of the pattern that chooses among a group's tests, if it names the group;
    /// an empty one for all of them.
    pub fn within(&self, group: &str) -> Option<&str> {
        let Some(pattern) = &self.pattern else {
            return Some("");
        };
        let rest = pattern.strip_prefix(group)?;
        if rest.is_empty() {
            Some("")
        } else {
            rest.strip_prefix('/')
        }
    }
}

/// Runs the tests; the status that the command ends with.
pub fn test(options: TestOptions) -> Result<u8> {
    let plan = Plan {
        long: options.long,
        pattern: options.pattern,
    };
    let mut report = Report::default();
    checks::run(&plan, &mut report);
    host_tests::run(&plan, &mut report);
    tool::run(&plan, &mut report);
    tsan::run(&plan, &mut report);
    if let Some(lab) = Lab::ready(&plan, &mut report) {
        c_programs::run(&plan, &mut report, &lab);
        coverage::run(&plan, &mut report, &lab);
        calls::run(&plan, &mut report, &lab);
        disk::run(&plan, &mut report, &lab);
        ext2::run(&plan, &mut report, &lab);
        fsx::run(&plan, &mut report, &lab);
        shell::run(&plan, &mut report, &lab);
        stress::run(&plan, &mut report, &lab);
        swap::run(&plan, &mut report, &lab);
        kmem::run(&plan, &mut report, &lab);
        interactive::run(&plan, &mut report);
        rounds::run(&plan, &mut report, &lab);
        real::run(&plan, &mut report, &lab);
        vmbench::run(&plan, &mut report, &lab);
        long::run(&plan, &mut report, &lab);
        real_redis::run(&plan, &mut report, &lab);
    }
    Ok(report.close())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_chooses() {
        let plan = |pattern: &str| Plan {
            long: false,
            pattern: Some(pattern.to_owned()),
        };
        assert!(plan("cow").wants("c/cow"));
        assert!(!plan("host").wants("c/cow"));
        assert_eq!(plan("host").within("host"), Some(""));
        assert_eq!(plan("host/map").within("host"), Some("map"));
        assert!(plan("host/map").is_within("host") && !plan("cow").is_within("host"));
        assert_eq!(plan("hosts").within("host"), None);
        assert_eq!(plan("cow").within("host"), None);
        assert_eq!(
            Plan {
                long: true,
                pattern: None
            }
            .within("host"),
            Some("")
        );
    }
}
