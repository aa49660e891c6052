//! What happens when memory runs out.
//!
//! Whoever gets no memory from the manager, and may wait, has the manager make room, and tries
//! again ([`with_memory`]). If nothing is left that could leave memory, a process has to: the one
//! that uses most, by this rule:
//!
//! - what a process uses is the pages of its private memory, those in memory and those that were put
//!   back, and the frames of its page tables; `/proc/PID/oom_score_adj` adds thousandths of all memory and swap to that, or
//!   takes them away;
//! - never the first process, never one whose adjustment is -1000, and none while another one that
//!   was chosen, or ends anyway, still has memory: then that end is waited for;
//! - processes that share the memory end together.
//!
//! Why it ends is printed, and from time to time what used the memory. Nothing here takes memory.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use linux_raw_sys::general::SIGKILL;
use scalvm::{FaultError, MapError, OutOfMemory, PAGE_SIZE, Room};

use super::process::Process;
use super::space::Space;
use super::start::INIT;
use super::wait::{WaitQueue, Woken};
use super::{Pid, State, exit, sched, table};
use crate::arch::time::{SECOND, now_ns};
use crate::drivers;
use crate::fs::swap;
use crate::linux::Errno;
use crate::mm::{VM, paging};
use crate::println;

/// The table of memory is printed at most this often.
const TABLE_PERIOD: u64 = 10 * SECOND;
/// How long the end of a process is waited for before somebody asks again.
const PATIENCE: u64 = SECOND;
/// How often something is tried again that fails although there are free frames.
const TRIES: u32 = 4;
/// The adjustment of what is never chosen.
const NEVER: i32 = -1000;

/// Woken when a process has given its memory back.
static MEMORY_RETURNED: WaitQueue = WaitQueue::new();
/// When the next table may be printed.
static NEXT_TABLE: AtomicU64 = AtomicU64::new(0);

/// An error that may say that there was no memory.
pub trait MaybeShort {
    /// Whether it does.
    fn is_short(&self) -> bool;
}

impl MaybeShort for OutOfMemory {
    fn is_short(&self) -> bool {
        true
    }
}

impl MaybeShort for FaultError {
    fn is_short(&self) -> bool {
        *self == FaultError::OutOfMemory
    }
}

impl MaybeShort for MapError {
    fn is_short(&self) -> bool {
        *self == MapError::OutOfMemory
    }
}

impl MaybeShort for Errno {
    fn is_short(&self) -> bool {
        *self == Errno::ENOMEM
    }
}

/// Tries an operation until it has got the memory that it needs; fails as it does if there is none
/// although processes were ended, or if it is the caller's own process that has to end. Blocks: no
/// lock may be held.
pub fn with_memory<T, E: MaybeShort>(mut operation: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let mut room = VM.room();
    let mut tries = TRIES;
    loop {
        match operation() {
            Err(error) if error.is_short() && make_room(&mut room, &mut tries) => {}
            result => return result,
        }
    }
}

/// Makes room. False if there is none for the caller.
#[cold]
fn make_room(room: &mut Room, tries: &mut u32) -> bool {
    if paging::has_free_frames() {
        if *tries == 0 {
            return false;
        }
        *tries -= 1;
        return VM.make_room(room);
    }
    match sched::current_arc() {
        Some(_) => !is_ending() && (VM.make_room(room) || end_somebody()),
        None => VM.make_room(room),
    }
}

/// Whether the thread is to end. What ends needs no memory, and its own is what others wait for.
pub fn is_ending() -> bool {
    sched::current_arc().is_some_and(|thread| thread.is_killed())
}

/// Ends a process, or waits for one that ends. False if there is none, or it is the caller's.
fn end_somebody() -> bool {
    let me = sched::current_thread();
    let until = now_ns() + PATIENCE;
    // What is being read or written cannot leave before that is done; and an area that is being
    // turned off takes none, until that is done or refused.
    if drivers::wait_for_disks(until) || swap::wait_for_turning_off(until) {
        return !me.is_killed();
    }
    if !end_one() || me.is_killed() {
        return false;
    }
    while somebody_ends() {
        let woken = MEMORY_RETURNED.wait((), State::Killable, Some(until));
        if woken != Woken::Called {
            break;
        }
    }
    !me.is_killed()
}

/// Ends a process by the rule, unless one ends already. False if there is none. Does not wait for the end.
pub(super) fn end_one() -> bool {
    if somebody_ends() {
        return true;
    }
    let Some(victim) = choose() else {
        println!("scalvm: out of memory, and no process may be ended");
        return false;
    };
    explain(&victim);
    end(&victim.process);
    true
}

/// A process has given its memory back.
pub(super) fn memory_returned() {
    MEMORY_RETURNED.wake_all();
}

/// Whether a process ends that still has memory.
fn somebody_ends() -> bool {
    let mut found = false;
    table::for_each(|process| found |= process.is_exiting() && process.has_memory());
    found
}

/// Who is to end, and why.
struct Victim {
    process: Arc<Process>,
    used: Used,
    score: i64,
}

/// What a process uses, in pages.
#[derive(Clone, Copy)]
struct Used {
    resident: u64,
    swapped: u64,
    tables: u64,
}

impl Used {
    fn of(process: &Process) -> Used {
        let space = process.map();
        let pages = space.private_pages();
        Used {
            resident: pages.resident,
            swapped: pages.away,
            tables: space.usage().table_frames,
        }
    }
}

/// The score by which a process is chosen, in pages; none for what is never chosen.
fn score(process: &Process, used: Used) -> Option<i64> {
    let adjustment = process.oom_adjustment();
    if process.pid == INIT || adjustment == NEVER || !process.has_memory() {
        return None;
    }
    let all = everything() as i64;
    let pages = (used.resident + used.swapped + used.tables) as i64;
    Some(pages + all / 1000 * i64::from(adjustment))
}

/// The process with the highest score; of several the youngest.
fn choose() -> Option<Victim> {
    let mut chosen: Option<Victim> = None;
    table::for_each(|process| {
        let used = Used::of(process);
        if let Some(score) = score(process, used)
            && chosen.as_ref().is_none_or(|other| other.score <= score)
        {
            chosen = Some(Victim {
                process: process.clone(),
                used,
                score,
            });
        }
    });
    chosen
}

/// The pages of all memory and swap.
fn everything() -> u64 {
    VM.stats().frames_total + swap::totals().0
}

/// What /proc/PID/oom_score shows: thousandths of all memory and swap.
pub fn score_in_thousandths(process: &Process) -> u64 {
    let all = everything().max(1) as i64;
    let score = score(process, Used::of(process)).unwrap_or(0);
    (score.max(0) * 1000 / all) as u64
}

/// Ends a process and those that share its memory.
fn end(victim: &Arc<Process>) {
    let space = victim.map();
    table::for_each(|process| {
        if Arc::ptr_eq(&process.map(), &space) && process.pid != INIT {
            exit::end_process(process, SIGKILL as i32);
        }
    });
}

fn kib(pages: u64) -> u64 {
    pages * (PAGE_SIZE as u64 / 1024)
}

/// Prints who ends, and now and then what uses the memory.
fn explain(victim: &Victim) {
    let now = now_ns();
    if now >= NEXT_TABLE.load(Relaxed) {
        NEXT_TABLE.store(now + TABLE_PERIOD, Relaxed);
        print_table();
    }
    let Used {
        resident,
        swapped,
        tables,
    } = victim.used;
    println!(
        "scalvm: out of memory: process {} ({}) is ended: {} KiB in memory, {} KiB swapped, \
         {} KiB of page tables, oom_score_adj {}, score {} pages",
        victim.process.pid,
        Name(victim.process.comm()),
        kib(resident),
        kib(swapped),
        kib(tables),
        victim.process.oom_adjustment(),
        victim.score,
    );
}

/// Prints what memory is used for, and by whom.
fn print_table() {
    let stats = VM.stats();
    let (swap_pages, swap_free) = swap::totals();
    println!(
        "scalvm: memory in KiB: {} in all, {} free, {} anonymous, {} of files, {} of the kernel, \
         {} page tables, {} compressed, swap {} of {}",
        kib(stats.frames_total),
        kib(stats.frames_free),
        kib(stats.frames_anon),
        kib(stats.frames_file),
        kib(stats.frames_kernel),
        kib(stats.frames_tables),
        kib(VM.compressor_stats().frames),
        kib(swap_pages - swap_free),
        kib(swap_pages),
    );
    println!("scalvm:     pid   resident    swapped      wired       soft       hard name");
    table::for_each(|process| print_process(process.pid, &process.map(), process.comm()));
}

fn print_process(pid: Pid, space: &Space, name: [u8; 16]) {
    let usage = space.resident();
    println!(
        "scalvm: {pid:7} {:10} {:10} {:10} {:>10} {:>10} {}",
        kib(usage.resident),
        kib(space.private_pages().away),
        kib(usage.wired),
        Limit(usage.soft),
        Limit(usage.hard),
        Name(name),
    );
}

/// A limit in KiB.
struct Limit(Option<u64>);

impl core::fmt::Display for Limit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(pages) => kib(pages).fmt(f),
            None => f.pad("-"),
        }
    }
}

/// A process's name as text.
struct Name([u8; 16]);

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(16);
        self.0[..end]
            .utf8_chunks()
            .try_for_each(|chunk| f.write_str(chunk.valid()))
    }
}
