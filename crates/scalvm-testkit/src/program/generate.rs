//! Makes programs from seeds.

use super::rng::Rng;
use super::step::{Op, Step};
use super::{Machine, Program};

/// How failures are strewn into programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// None.
    None,
    /// Allocations fail.
    Allocation,
    /// I/O fails.
    Io,
    /// Both.
    Both,
}

/// Operations whose meetings matter: one in two programs consists mostly of some of these.
const THEMES: [&[Op]; 10] = [
    &[],
    &[],
    &[],
    &[],
    // What is modified through mappings that come and go, and synced.
    &[
        Op::NewFile,
        Op::MapObject,
        Op::Store,
        Op::Sync,
        Op::SyncObject,
        Op::Unmap,
        Op::Discard,
        Op::Protect,
    ],
    // Memory that some share and others copy.
    &[
        Op::Inherit,
        Op::Fork,
        Op::Store,
        Op::Load,
        Op::Switch,
        Op::DropMap,
    ],
    // The same, with files underneath, and holes that are filled.
    &[
        Op::Inherit,
        Op::Fork,
        Op::Store,
        Op::Load,
        Op::MapObject,
        Op::MapAnonymous,
        Op::Switch,
        Op::Unmap,
    ],
    // Mappings that are cut, moved and joined.
    &[
        Op::Remap,
        Op::MapAnonymous,
        Op::Store,
        Op::Unmap,
        Op::Protect,
        Op::Fork,
    ],
    // Memory that is shared and copied, and leaves the page tables now and then.
    &[
        Op::Trim,
        Op::Fork,
        Op::Store,
        Op::Load,
        Op::MapObject,
        Op::Inherit,
        Op::Wire,
        Op::DropMap,
    ],
    // Objects that shrink under their mappings.
    &[
        Op::SetSize,
        Op::MapObject,
        Op::Store,
        Op::Load,
        Op::NewAnonymous,
        Op::NewFile,
        Op::Fork,
        Op::Hold,
    ],
];

impl Program {
    /// The program of this seed. Each has its own mix of operations: some are left out, so that others meet
    /// more often, and numbers are mostly small, so that they collide.
    pub fn generate(seed: u64, steps: usize, trouble: Trouble) -> Program {
        let mut rng = Rng::new(seed);
        let machine = Machine {
            space: rng.below(24) as u32,
            frames: 1024,
            slow_disk: rng.below(2) == 1,
        };
        let theme = THEMES[rng.below(THEMES.len() as u64) as usize];
        let mut weights: Vec<(Op, u64)> = Vec::new();
        for &(op, usual) in Op::ALL {
            let weight = match op {
                Op::FailAllocation if matches!(trouble, Trouble::Allocation | Trouble::Both) => 20,
                Op::FailIo if matches!(trouble, Trouble::Io | Trouble::Both) => 10,
                _ if theme.contains(&op) => 30 * [1, 1, 2][rng.below(3) as usize],
                _ if !theme.is_empty() => u64::from(usual) * [0, 0, 0, 1][rng.below(4) as usize],
                _ => u64::from(usual) * [0, 1, 1, 1, 3][rng.below(5) as usize],
            };
            weights.push((op, weight));
        }
        // Without memory nothing happens.
        for (op, weight) in &mut weights {
            if matches!(op, Op::MapAnonymous | Op::MapObject | Op::Store | Op::Load) {
                *weight = (*weight).max(10);
            }
        }
        let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
        let span = [12, 12, 24, 40, 200, 4096][rng.below(6) as usize];
        let steps = (0..steps).map(|_| {
            let mut pick = rng.below(total);
            let chosen = weights.iter().find(|(_, weight)| {
                let here = pick < *weight;
                pick = pick.wrapping_sub(*weight);
                here
            });
            let op = chosen.expect("the pick is below the total").0;
            Step {
                op,
                args: std::array::from_fn(|_| rng.below(span) as u32),
            }
        });
        Program {
            steps: steps.collect(),
            machine,
        }
    }
}
