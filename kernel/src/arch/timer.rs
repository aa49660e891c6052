//! The local timer: one interrupt at a time, when it is asked for.

use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::idt::{SPURIOUS, TIMER};
use super::layout::phys_to_virt;
use super::time::{SECOND, now_ns};

const APIC: u64 = 0xfee0_0000;

const END_OF_INTERRUPT: usize = 0xb0;
const SPURIOUS_VECTOR: usize = 0xf0;
const LVT_TIMER: usize = 0x320;
const LVT_LINT0: usize = 0x350;
const INITIAL_COUNT: usize = 0x380;
const CURRENT_COUNT: usize = 0x390;
const DIVIDE: usize = 0x3e0;

const ENABLE: u32 = 0x100;
const MASKED: u32 = 0x1_0000;
const EXTERNAL: u32 = 0x700;
const DIVIDE_BY_1: u32 = 0xb;

/// Ticks of the timer per nanosecond, times 2^32.
static TICKS_PER_NS: AtomicU64 = AtomicU64::new(0);
/// When the next interrupt is due; u64::MAX if none is.
static DUE: AtomicU64 = AtomicU64::new(u64::MAX);

fn write(register: usize, value: u32) {
    // SAFETY: a register of the local interrupt controller, uncached in the direct map.
    unsafe { write_volatile(phys_to_virt(APIC).add(register).cast(), value) }
}

fn read(register: usize) -> u32 {
    // SAFETY: as in write.
    unsafe { read_volatile(phys_to_virt(APIC).add(register).cast()) }
}

/// Measures the timer's pace by the clock; lets the interrupt lines through.
pub fn init() {
    write(SPURIOUS_VECTOR, ENABLE | SPURIOUS as u32);
    write(LVT_LINT0, EXTERNAL);
    write(DIVIDE, DIVIDE_BY_1);
    write(LVT_TIMER, MASKED);
    write(INITIAL_COUNT, u32::MAX);
    let start = now_ns();
    while now_ns() - start < SECOND / 100 {
        core::hint::spin_loop();
    }
    let ticks = u32::MAX - read(CURRENT_COUNT);
    let ns = now_ns() - start;
    write(INITIAL_COUNT, 0);
    TICKS_PER_NS.store((u64::from(ticks) << 32) / ns, Relaxed);
    write(LVT_TIMER, TIMER as u32);
}

/// Asks for an interrupt at this time (nanoseconds since boot), unless one comes earlier anyway.
#[inline]
pub fn arm(at: u64) {
    if at < DUE.load(Relaxed) {
        set(at);
    }
}

fn set(at: u64) {
    DUE.store(at, Relaxed);
    let ns = at.saturating_sub(now_ns());
    let ticks = (u128::from(ns) * u128::from(TICKS_PER_NS.load(Relaxed))) >> 32;
    // What lies too far away is asked for again when the interrupt comes early. One tick too many,
    // lest it come before its time.
    write(
        INITIAL_COUNT,
        ticks.min(u128::from(u32::MAX - 1)) as u32 + 1,
    );
}

/// The interrupt came: none is due any more.
pub(super) fn acknowledge() {
    DUE.store(u64::MAX, Relaxed);
    write(END_OF_INTERRUPT, 0);
}
