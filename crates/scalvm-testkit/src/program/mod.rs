//! Random programs: what they are made of, how they are made, written down, read back and made smaller.
//!
//! A program is text, one step per line (see [`Step`]), so that one that once failed is kept as a file and
//! does not depend on how programs are generated today.

mod generate;
mod rng;
mod shrink;
mod step;

use std::fmt;
use std::str::FromStr;

use scalvm_machine::Tables;

pub use generate::Trouble;
pub use rng::{Rng, mix};
pub use shrink::shrink_steps;
pub(crate) use step::verbs;
pub use step::{Op, Step, Verb};

/// What a program runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Machine {
    /// Which part of the address space most things happen in, see `run`, and how capricious its processors are.
    pub space: u32,
    /// Frames of memory.
    pub frames: u32,
    /// Whether I/O completes only when waited for, in any order.
    pub slow_disk: bool,
    /// What can leave memory, and where to; none: nothing leaves.
    pub paging: Option<Paging>,
}

/// From this `space` on tables are narrow: large leaves map eight pages.
pub const NARROW: u32 = 1000;

/// How memory is paged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paging {
    /// Pages that have room in memory, in the beginning.
    pub room: u32,
    /// The policies.
    pub policy: u32,
    /// Frames that the compressor may take; zero: there is none.
    pub compressor: u32,
}

impl Machine {
    /// The format of its page tables.
    pub fn tables(&self) -> Tables {
        if self.space < NARROW {
            Tables::X86_64
        } else {
            Tables::Narrow
        }
    }

    /// How often its processors forget a translation, or guess ahead: on one access of so many; 0 for never.
    pub fn evict_one_in(&self) -> u64 {
        [0, 5, 50][self.space as usize % 3]
    }
}

/// A program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// What it runs on.
    pub machine: Machine,
    /// Its steps.
    pub steps: Vec<Step>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            space,
            frames,
            slow_disk,
            paging,
        } = self.machine;
        write!(f, "machine {space} {frames} {}", u32::from(slow_disk))?;
        if let Some(paging) = paging {
            write!(
                f,
                " {} {} {}",
                paging.room, paging.policy, paging.compressor
            )?;
        }
        writeln!(f)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl FromStr for Program {
    type Err = String;

    fn from_str(text: &str) -> Result<Program, String> {
        let (numbers, steps) = read("machine ", text)?;
        let (space, frames, slow, paging) = match numbers[..] {
            [space, frames, slow] => (space, frames, slow, None),
            [space, frames, slow, room, policy, compressor] => {
                let paging = Paging {
                    room,
                    policy,
                    compressor,
                };
                (space, frames, slow, Some(paging))
            }
            _ => return Err(format!("not a machine: {numbers:?}")),
        };
        let machine = Machine {
            space,
            frames,
            slow_disk: slow != 0,
            paging,
        };
        Ok(Program { machine, steps })
    }
}

/// Reads a program of some kind: the numbers of its first line, which begins with `head`, and its
/// steps, a line each. Empty lines and those that begin with `#` say nothing.
pub(crate) fn read<O: Verb>(head: &str, text: &str) -> Result<(Vec<u32>, Vec<Step<O>>), String> {
    let mut lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next().unwrap_or_default();
    let numbers = first
        .strip_prefix(head)
        .and_then(|rest| rest.split(' ').map(|word| word.parse().ok()).collect());
    let numbers = numbers.ok_or_else(|| format!("not a program: {first:?}"))?;
    let steps = lines.map(str::parse).collect::<Result<_, _>>()?;
    Ok((numbers, steps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::Random;

    #[test]
    fn a_program_is_read_back_as_it_was_written() {
        let program = Program::generate(7, 200, Trouble::Both, Some(16..256));
        assert_eq!(program.to_string().parse(), Ok(program));
        let program = Program::generate(7, 20, Trouble::None, None);
        assert_eq!(program.to_string().parse(), Ok(program));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert!("machine 1 2 0\nfly 3".parse::<Program>().is_err());
        assert!("fork".parse::<Program>().is_err());
        assert!(
            "machine 1 2 0\nfork 1 2 3 4 5 6 7"
                .parse::<Program>()
                .is_err()
        );
    }

    #[test]
    fn shrinking_leaves_what_matters() {
        let program = Program::generate(3, 100, Trouble::None, None);
        let is_bad = |p: &Program| {
            p.steps
                .iter()
                .filter(|s| s.op == Op::Store && s.args[0] >= 3)
                .count()
                >= 2
        };
        assert!(is_bad(&program));
        let small = program.shrink(is_bad);
        assert_eq!(
            small.steps,
            [Step {
                op: Op::Store,
                args: [3, 0, 0, 0, 0, 0]
            }; 2]
        );
    }
}
