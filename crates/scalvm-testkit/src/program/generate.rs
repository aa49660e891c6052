//! Makes programs from seeds.

use super::rng::Rng;
use super::step::{Op, Step};
use super::{Machine, NARROW, Paging, Program};
use std::ops::Range;

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
const THEMES: &[&[Op]] = &[
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
    // What has guards, is moved and grows.
    &[
        Op::Guard,
        Op::Unguard,
        Op::SetTag,
        Op::Remap,
        Op::Fork,
        Op::MapAnonymous,
        Op::Protect,
        Op::Wire,
        Op::Store,
        Op::Load,
    ],
    // Memory that grows, meets limits, and is moved away.
    &[
        Op::MapGrowing,
        Op::Grow,
        Op::Limit,
        Op::RemapKeeping,
        Op::Store,
        Op::Load,
        Op::Protect,
        Op::Fork,
    ],
    // What is wired in all ways, and sealed.
    &[
        Op::Wire,
        Op::WireOnFault,
        Op::WireAll,
        Op::Unwire,
        Op::Limit,
        Op::Seal,
        Op::MapObject,
        Op::Store,
        Op::Remap,
    ],
    // Memory that goes from space to space.
    &[
        Op::Extract,
        Op::Put,
        Op::Fork,
        Op::Store,
        Op::Load,
        Op::Wire,
        Op::MapObject,
        Op::Unmap,
        Op::CopyAcross,
    ],
    // Pages that are lent, and written meanwhile.
    &[
        Op::Lend,
        Op::Repay,
        Op::Store,
        Op::Fork,
        Op::Hold,
        Op::Poke,
        Op::MapObject,
        Op::SetSize,
        Op::PunchObject,
        Op::WriteAt,
        Op::SyncObject,
        Op::Force,
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
    // More than there is room for. (Without paging, much.)
    &[
        Op::Fill,
        Op::Sweep,
        Op::Fork,
        Op::MapAnonymous,
        Op::Squeeze,
        Op::SwapOff,
        Op::SwapOn,
    ],
    // The same, of files and of memory that is shared.
    &[
        Op::Fill,
        Op::Sweep,
        Op::NewFile,
        Op::NewAnonymous,
        Op::MapObject,
        Op::WriteBack,
        Op::SyncAll,
        Op::Balance,
    ],
    // Memory that a watcher serves.
    &[
        Op::Watch,
        Op::WriteProtect,
        Op::Place,
        Op::MovePage,
        Op::Show,
        Op::Poison,
        Op::Remap,
        Op::RemapKeeping,
        Op::Extract,
        Op::Store,
        Op::Load,
        Op::Discard,
        Op::Fork,
        Op::MapAnonymous,
    ],
    // What is shared by several leaves and comes back.
    &[
        Op::Fork,
        Op::Fill,
        Op::Store,
        Op::Sweep,
        Op::Balance,
        Op::Inherit,
        Op::DropMap,
        Op::Remap,
    ],
    // What is given up is written again, or gone, or shared.
    &[
        Op::Free,
        Op::Fill,
        Op::Store,
        Op::Sweep,
        Op::Fork,
        Op::PageOut,
        Op::Balance,
        Op::Inherit,
    ],
    // Memory that comes in rows, is split, and joined again.
    &[
        Op::AdviseLarge,
        Op::Join,
        Op::Fill,
        Op::MapAnonymous,
        Op::Store,
        Op::Load,
        Op::Unmap,
        Op::Protect,
        Op::Fork,
        Op::DropMap,
        Op::Discard,
        Op::Trim,
        Op::Remap,
    ],
    // What leaves because it is told to, files and memory.
    &[
        Op::PageOut,
        Op::Cool,
        Op::Invalidate,
        Op::StartSync,
        Op::MapObject,
        Op::NewFile,
        Op::Store,
        Op::Inspect,
    ],
];

impl Program {
    /// The program of this seed. Each has its own mix of operations: some are left out, so that others meet
    /// more often, and numbers are mostly small, so that they collide. With `memory`, pages leave: the machine
    /// has room for so many, from the first to below the second number.
    pub fn generate(
        seed: u64,
        steps: usize,
        trouble: Trouble,
        memory: Option<Range<u32>>,
    ) -> Program {
        let mut rng = Rng::new(seed);
        let mut machine = Machine {
            space: rng.below(24) as u32 + [0, NARROW][rng.below(2) as usize],
            frames: 1024,
            slow_disk: rng.below(2) == 1,
            paging: None,
        };
        machine.paging = memory.map(|memory| paging(&mut rng, memory));
        let theme = THEMES[rng.below(THEMES.len() as u64) as usize];
        let mut weights: Vec<(Op, u64)> = Vec::new();
        for &(op, usual) in Op::ALL {
            // Where memory is short, it must be filled.
            let fills = matches!(op, Op::Fill | Op::Sweep | Op::Squeeze | Op::Balance);
            let usual = usual * [1, 4][usize::from(fills && machine.paging.is_some())];
            let weight = match op {
                Op::FailAllocation if matches!(trouble, Trouble::Allocation | Trouble::Both) => 20,
                Op::FailIo if matches!(trouble, Trouble::Io | Trouble::Both) => 10,
                _ if op.is_paging() && machine.paging.is_none() => 0,
                Op::FailReads | Op::FailWrites
                    if matches!(trouble, Trouble::Io | Trouble::Both) =>
                {
                    5
                }
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
        // Many want large leaves wherever they can be; then numbers must be large enough to reach them.
        let rows = machine.space >= NARROW && (theme.contains(&Op::Join) || rng.below(4) == 0);
        for (op, weight) in &mut weights {
            if rows && *op == Op::Join {
                *weight = (*weight).max(30);
            }
        }
        let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
        let spans = [[12, 12, 24, 40, 200, 4096], [40, 80, 80, 200, 200, 4096]];
        let span = spans[usize::from(rows)][rng.below(6) as usize];
        let step = |op, args| Step { op, args };
        let mut first = Vec::with_capacity(steps + 16);
        if rows {
            first.push(step(Op::NewMap, [0; 6]));
            // Wanted everywhere, or nowhere yet.
            let wanted = [8, 8, 9][rng.below(3) as usize];
            first.push(step(Op::AdviseLarge, [0, 0, 0, wanted, 0, 0]));
            // The arena, so that there are some.
            let arena = [0, 13, 26].map(|page| [0, 6 * 4 * page, 13, 0, 0, 0]);
            first.extend(arena.map(|args| step(Op::MapAnonymous, args)));
        }
        if machine.paging.is_some() {
            // Most have swap from the beginning, up to three devices.
            for _ in 0..[1, 1, 2, 3, 0][rng.below(5) as usize] {
                let args = std::array::from_fn(|_| rng.below(64) as u32);
                first.push(step(Op::SwapOn, args));
            }
            // Most have much to begin with: the arena, private or shared, written once.
            if rng.below(4) != 0 {
                for page in [0, 13, 26] {
                    let shared = [0, 0, 3][rng.below(3) as usize];
                    // Fixed, at this page of the arena; fourteen pages.
                    let args = [0, 6 * 4 * page, 13, 0, shared, 0];
                    first.push(step(Op::MapAnonymous, args));
                }
                first.push(step(Op::Fill, [0, 0, 39, 0, 0, 0]));
            }
        }
        let end = first.len() + steps;
        while first.len() < end {
            if rows && rng.below(12) == 0 {
                row_phrase(&mut rng, &mut first);
                continue;
            }
            let op = rng.choose(&weights, total);
            first.push(step(op, std::array::from_fn(|_| rng.below(span) as u32)));
        }
        Program {
            steps: first,
            machine,
        }
    }
}

/// Steps that belong together: memory where a large leaf may lie gets one, by a fault or by joining, and mostly loses it
/// again and is joined once more. (Single steps seldom meet so: the range has to be whole, private, and touched.)
fn row_phrase(rng: &mut Rng, steps: &mut Vec<Step>) {
    let mut push = |op, args| steps.push(Step { op, args });
    let space = rng.below(4) as u32;
    // The first page of a row of the arena, as a step says it that takes a page, and as one that takes any address.
    let at = 4 * [4, 12, 20, 28][rng.below(4) as usize];
    let rough = |at| at / 62 * 64 + at % 62;
    let (page, of_row) = ([space, at, 0, 0, 0, 0], [space, rough(at), 7, 0, 0, 0]);
    let one = at + 4 * rng.below(8) as u32;
    let of_one = [space, rough(one), 0, 0, 0, 0];
    let fork = [space, 0, 0, 0, 0, 0];
    let by_fault = rng.below(2) == 0;
    let wanted = [9, 8][usize::from(by_fault)];
    push(Op::AdviseLarge, [0, 0, 0, wanted, 0, 0]);
    if by_fault || rng.below(4) != 0 {
        let len = [7, 13][rng.below(2) as usize];
        push(Op::MapAnonymous, [space, 6 * rough(at), len, 0, 0, 0]);
    }
    // A page of it, or all.
    let last = [0, 7, 7][rng.below(3) as usize];
    push(Op::Fill, [space, at, last, 0, 0, 0]);
    if !by_fault {
        match rng.below(6) {
            0 => push(Op::PageOut, of_row),
            1 => push(Op::Fork, fork),
            _ => {}
        }
        push(Op::Join, page);
    }
    match rng.below(6) {
        0 => push(Op::Discard, of_one),
        1 => push(Op::Fork, fork),
        2 => push(Op::PageOut, of_one),
        3 => {
            push(Op::Protect, [space, of_one[1], 0, 1, 0, 0]);
            push(Op::Protect, of_row);
        }
        _ => return,
    }
    push(Op::Join, page);
}

/// How memory is paged: more often with little room than with much.
fn paging(rng: &mut Rng, memory: Range<u32>) -> Paging {
    let (least, most) = (
        u64::from(memory.start),
        u64::from(memory.end.max(memory.start + 1)),
    );
    let few = least + (most - least).div_ceil(8);
    let end = [few, few, most][rng.below(3) as usize];
    Paging {
        room: (least + rng.below((end - least).max(1))) as u32,
        policy: rng.below(9) as u32,
        compressor: [0, 0, 4, 16][rng.below(4) as usize],
    }
}
