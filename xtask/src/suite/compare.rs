//! Tells two outcomes apart.

use anyhow::{Result, bail};

use super::lab::Outcome;

/// The most differing lines that are shown.
const SHOWN: usize = 20;

/// An error that shows the differences, if there are any.
pub fn same(linux: &Outcome, here: &Outcome) -> Result<()> {
    if linux == here {
        return Ok(());
    }
    let mut text = String::new();
    if linux.status != here.status {
        text += &format!("status: {} on Linux, {} here\n", linux.status, here.status);
    }
    let mut ours = here.output.lines();
    let mut theirs = linux.output.lines();
    let (mut number, mut shown) = (0, 0);
    while shown < SHOWN {
        number += 1;
        match (theirs.next(), ours.next()) {
            (None, None) => break,
            (linux, here) if linux == here => {}
            (linux, here) => {
                shown += 1;
                let show = |line: Option<&str>| line.unwrap_or("(end)").to_owned();
                text += &format!("line {number}: {}\n   here: {}\n", show(linux), show(here));
            }
        }
    }
    bail!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown() {
        let outcome = |status, output: &str| Outcome {
            status,
            output: output.to_owned(),
        };
        assert!(same(&outcome(1, "a\n"), &outcome(1, "a\n")).is_ok());
        let error = same(&outcome(0, "a\nb\n"), &outcome(139, "a\nc\nd\n")).expect_err("differ");
        let text = error.to_string();
        assert!(text.contains("status: 0 on Linux, 139 here"), "{text}");
        assert!(text.contains("line 2: b\n   here: c"), "{text}");
        assert!(text.contains("line 3: (end)\n   here: d"), "{text}");
        assert!(
            same(&outcome(0, "a"), &outcome(0, "a\n")).is_err(),
            "a last newline counts"
        );
    }
}
