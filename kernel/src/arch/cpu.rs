//! What the processor can do, and its counters.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use scalvm_pmap::PAGE_ATTRIBUTES;
use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::model_specific::Msr;

static HAS_RDRAND: AtomicBool = AtomicBool::new(false);

/// The page attribute table.
const PAT: u32 = 0x277;

/// Looks at what there is, turns on what protects the kernel, and says how pages may be cached.
pub fn init() {
    // SAFETY: all that is mapped yet is ordinary memory, by the entry that stays as it is.
    unsafe { Msr::new(PAT).write(PAGE_ATTRIBUTES) };
    HAS_RDRAND.store(__cpuid(1).ecx & 1 << 30 != 0, Relaxed);
    if __cpuid(0).eax >= 7 {
        const SMEP: u32 = 1 << 7;
        const UMIP: u32 = 1 << 2;
        let leaf = __cpuid_count(7, 0);
        let mut flags = Cr4Flags::empty();
        flags.set(
            Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION,
            leaf.ebx & SMEP != 0,
        );
        flags.set(
            Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION,
            leaf.ecx & UMIP != 0,
        );
        // SAFETY: the kernel never executes a program's pages, and programs do not need the rest.
        unsafe { Cr4::update(|cr4| cr4.insert(flags)) };
    }
}

/// CPUID's feature bits that go into AT_HWCAP.
pub fn hwcap() -> usize {
    __cpuid(1).edx as usize
}

/// The address of the last page fault.
pub fn fault_address() -> usize {
    let address;
    // SAFETY: it only reads a register.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}

/// The time stamp counter.
#[inline(always)]
pub fn tsc() -> u64 {
    // SAFETY: it only reads a counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Whether the processor has a generator of random bits.
pub fn has_random() -> bool {
    HAS_RDRAND.load(Relaxed)
}

/// Random bits: the processor's own generator where there is one, and always the counter, mixed.
pub fn random() -> u64 {
    static STATE: crate::sync::Mutex<u64> = crate::sync::Mutex::new(0x9e37_79b9_7f4a_7c15);
    let mut hardware: u64 = 0;
    if HAS_RDRAND.load(Relaxed) {
        // SAFETY: the instruction is there; it yields zero when it has no bits.
        unsafe { asm!("rdrand {}", out(reg) hardware, options(nomem, nostack)) };
    }
    let mut state = STATE.lock();
    *state = state
        .wrapping_add(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(tsc());
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hardware ^ mixed ^ mixed >> 31
}
