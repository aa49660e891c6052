//! Where an address space puts things, and how much chance there is in it.
//!
//! | what | without chance | bits of chance |
//! |---|---|---|
//! | the stack's end | the end of the program's half | 22, of pages |
//! | the first stack pointer | right below what the program is told | 9, of 16 bytes |
//! | what may lie anywhere, from there down | as far below the stack's end as the stack may grow, at least 128 MiB | 28, of pages |
//! | a program that may lie anywhere | two thirds of the program's half | 28, of pages |
//! | the heap | behind the program | 18, of pages |
//!
//! As on Linux, `/proc/sys/kernel/randomize_va_space` says whether there is chance (0: none, 1: all but
//! the heap's, 2: all), the boot option `norandmaps` sets it to 0, and a process that has asked for
//! `ADDR_NO_RANDOMIZE` by personality(2) starts programs without. Below `/proc/sys/vm/mmap_min_addr`
//! nobody may map, so that a null pointer of the kernel's cannot lead to a program's memory: here not
//! even who has CAP_SYS_RAWIO, unless that number is lowered first.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use scalvm::{PAGE_SIZE, page_floor};

use crate::arch::layout::USER_HIGH;
use crate::arch::random;
use crate::linux::Errno;

/// Where programs lie that can lie anywhere.
const PROGRAM: usize = 0x5555_5555_4000;
/// What may lie anywhere is at least so far below the stack's end, and at most.
const LEAST_GAP: usize = 128 << 20;
const MOST_GAP: usize = USER_HIGH / 6 * 5;
/// Pages between which chance decides.
const STACK_PAGES: usize = 1 << 22;
const ANYWHERE_PAGES: usize = 1 << 28;
const HEAP_PAGES: usize = 1 << 18;
/// The guard below a stack, which lies in the gap.
pub(super) const GUARD: usize = 256 * PAGE_SIZE;

static RANDOMIZE: AtomicU32 = AtomicU32::new(2);
static MIN_ADDRESS: AtomicUsize = AtomicUsize::new(0x1_0000);

/// How much chance there is, as `randomize_va_space` tells it.
pub fn randomize() -> u32 {
    RANDOMIZE.load(Relaxed)
}

/// Changes that. EINVAL if there is no such kind.
pub fn set_randomize(kind: u32) -> Result<(), Errno> {
    if kind > 2 {
        return Err(Errno::EINVAL);
    }
    RANDOMIZE.store(kind, Relaxed);
    Ok(())
}

/// The lowest address that may be mapped.
pub fn min_address() -> usize {
    MIN_ADDRESS.load(Relaxed)
}

/// Changes that.
pub fn set_min_address(address: usize) {
    MIN_ADDRESS.store(address, Relaxed);
}

/// Where a new program's things go.
#[derive(Clone, Copy)]
pub struct Layout {
    /// The stack's end.
    pub stack_end: usize,
    /// So many bytes above the first stack pointer are left out.
    pub stack_skip: usize,
    /// From here down, what may lie anywhere.
    pub anywhere: usize,
    /// The program, if it may lie anywhere.
    pub program: usize,
    /// Bytes between the program and its heap.
    pub heap_gap: usize,
}

impl Layout {
    /// A layout for a program whose stack may grow to so many bytes; without chance if it is to be
    /// `fixed`.
    pub fn choose(stack_limit: u64, fixed: bool) -> Layout {
        let kind = if fixed { 0 } else { randomize() };
        let pages = |count: usize| {
            let mut word = [0; size_of::<usize>()];
            random::fill(&mut word);
            usize::from_le_bytes(word) % count * PAGE_SIZE
        };
        let pages = |count: usize| if kind > 0 { pages(count) } else { 0 };
        let most_stack = if kind > 0 { STACK_PAGES * PAGE_SIZE } else { 0 };
        let limit = usize::try_from(stack_limit).unwrap_or(usize::MAX);
        let gap = limit
            .saturating_add(GUARD + most_stack)
            .clamp(LEAST_GAP, MOST_GAP);
        Layout {
            stack_end: USER_HIGH - pages(STACK_PAGES),
            stack_skip: pages(512) / PAGE_SIZE * 16,
            anywhere: page_floor(USER_HIGH - gap) - pages(ANYWHERE_PAGES),
            program: PROGRAM + pages(ANYWHERE_PAGES),
            heap_gap: if kind > 1 { pages(HEAP_PAGES) } else { 0 },
        }
    }
}
