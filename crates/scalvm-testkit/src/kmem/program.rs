//! Programs of kernel memory: text, one step per line, as those of address spaces are (`program/`).

use std::fmt;
use std::str::FromStr;

use crate::program::{Rng, Step, read, verbs};

verbs! {
    /// What a step does. The first argument says who does it: which thread, and on which processor.
    /// The others are told where the step is carried out.
    Op:
    /// Allocates a piece.
    Malloc "malloc" 30,
    /// Allocates several of a kind.
    Several "several" 10,
    /// Makes one larger or smaller.
    Realloc "realloc" 10,
    /// Frees one.
    Free "free" 20,
    /// Frees several.
    FreeSeveral "free-several" 10,
    /// Allocates one, waits if it must, and frees it.
    Wait "wait" 4,
    /// Gives what it has to another thread.
    Give "give" 8,
    /// Looks at what is in a piece, and writes something else.
    Touch "touch" 6,
    /// Makes a type known.
    Attach "attach" 5,
    /// Makes it unknown.
    Detach "detach" 4,
    /// Sets how much of a type there may be.
    Limit "limit" 4,
    /// Takes objects from a cache.
    Take "take" 12,
    /// Puts objects back.
    Put "put" 12,
    /// Makes sure that a cache has some.
    Reserve "reserve" 2,
    /// Empties a cache.
    Shrink "shrink" 2,
    /// Allocates a range from an arena.
    Range "range" 14,
    /// The same with constraints.
    Within "within" 10,
    /// Frees one.
    FreeRange "free-range" 16,
    /// Frees what is no range.
    FreeWrongly "free-wrongly" 3,
    /// Adds a span to an arena.
    Span "span" 3,
    /// Empties an arena's caches.
    ReclaimArena "reclaim-arena" 2,
    /// Allocates kernel addresses, with or without memory.
    Map "map" 8,
    /// Frees them.
    Unmap "unmap" 8,
    /// Gives back what is cached anywhere.
    Reclaim "reclaim" 2,
    /// Takes frames, so that memory becomes short.
    Hog "hog" 4,
    /// Gives them back.
    Unhog "unhog" 5,
    /// Adds memory.
    AddMemory "add-memory" 1,
    /// Makes one of the next allocations fail.
    FailAllocation "fail-allocation" 0,
    /// Makes one of so many fail from now on, or none.
    FailSometimes "fail-sometimes" 0,
}

/// What a program runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Frames of memory, and how many may be added.
    pub frames: [u32; 2],
    /// Threads. With one, every outcome is told beforehand, and the steps run on several processors
    /// all the same.
    pub threads: u32,
    /// After so many steps all is compared. With several threads they all wait for each other then.
    pub pace: u32,
}

/// A program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// What it runs on.
    pub shape: Shape,
    /// Its steps.
    pub steps: Vec<Step<Op>>,
}

/// Operations whose meetings matter: one in two programs consists mostly of some of these.
const THEMES: [&[Op]; 10] = [
    &[],
    &[],
    &[],
    &[],
    &[Op::Several, Op::FreeSeveral, Op::Give, Op::Reclaim],
    &[Op::Attach, Op::Detach, Op::Malloc, Op::Free, Op::Give],
    &[Op::Limit, Op::Malloc, Op::Free, Op::Wait, Op::Realloc],
    &[Op::Take, Op::Put, Op::Reserve, Op::Shrink, Op::Give],
    &[Op::Range, Op::Within, Op::FreeRange, Op::Give],
    &[
        Op::Hog,
        Op::Unhog,
        Op::Several,
        Op::FreeSeveral,
        Op::Take,
        Op::Put,
        Op::Map,
        Op::Unmap,
    ],
];

impl Program {
    /// The program of this seed. Each has its own mix of operations.
    pub fn generate(seed: u64, threads: u32) -> Program {
        let mut rng = Rng::new(seed);
        let mut pick = |choices: &[u32]| choices[rng.below(choices.len() as u64) as usize];
        let steps = pick(&[20, 60, 200, 600, 600]);
        let shape = Shape {
            frames: [pick(&[192, 256, 512, 1024]), pick(&[64, 128])],
            threads,
            pace: if threads == 1 {
                pick(&[1, 4, 20])
            } else {
                pick(&[12, 40, 160])
            },
        };
        let fails = rng.below(2) == 0;
        let theme = THEMES[rng.below(THEMES.len() as u64) as usize];
        let mut weights: Vec<(Op, u64)> = Vec::new();
        for &(op, usual) in Op::ALL {
            let weight = match op {
                Op::FailAllocation | Op::FailSometimes if fails => 5,
                _ if theme.contains(&op) => 30 * [1, 1, 2][rng.below(3) as usize],
                _ if !theme.is_empty() => u64::from(usual) * [0, 0, 0, 1][rng.below(4) as usize],
                _ => u64::from(usual) * [0, 1, 1, 1, 3][rng.below(5) as usize],
            };
            weights.push((op, weight));
        }
        // There is always something to do.
        weights[0].1 = weights[0].1.max(10);
        let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
        let span = [12, 24, 40, 200, 4096, 1 << 20][rng.below(6) as usize];
        let steps = (0..steps).map(|_| {
            let op = rng.choose(&weights, total);
            Step {
                op,
                args: std::array::from_fn(|_| rng.below(span) as u32),
            }
        });
        Program {
            steps: steps.collect(),
            shape,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape {
            frames,
            threads,
            pace,
        } = self.shape;
        writeln!(f, "kmem {} {} {threads} {pace}", frames[0], frames[1])?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl FromStr for Program {
    type Err = String;

    fn from_str(text: &str) -> Result<Program, String> {
        let (numbers, steps) = read("kmem ", text)?;
        let [frames, more, threads @ 1..=u32::MAX, pace @ 1..=u32::MAX] = numbers[..] else {
            return Err(format!("not a shape: {numbers:?}"));
        };
        Ok(Program {
            shape: Shape {
                frames: [frames, more],
                threads,
                pace,
            },
            steps,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_back_as_it_was_written() {
        for threads in [1, 4] {
            let program = Program::generate(7, threads);
            assert_eq!(program.to_string().parse(), Ok(program));
        }
    }

    #[test]
    fn what_is_no_program_is_refused() {
        for bad in ["kmem 1 2 0 1", "kmem 1 2 1 0", "kmem 1 2 1 1\nfork", ""] {
            assert!(bad.parse::<Program>().is_err(), "{bad}");
        }
    }
}
