//! The clocks: the processor's counter, whose pace is measured once at boot, and the real-time
//! clock, which is read once.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use x86_64::instructions::port::Port;

use super::cpu::tsc;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

static TSC_AT_BOOT: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per tick of the counter, times 2^32.
static NS_PER_TICK: AtomicU64 = AtomicU64::new(1 << 32);
/// The time of day when the machine started, in nanoseconds since 1970.
static WALL_AT_BOOT: AtomicU64 = AtomicU64::new(0);

const PIT_HZ: u64 = 1_193_182;

/// Measures and reads the clocks.
pub fn init() {
    let hz = measure();
    NS_PER_TICK.store(
        ((u128::from(SECOND) << 32) / u128::from(hz)) as u64,
        Relaxed,
    );
    TSC_AT_BOOT.store(tsc(), Relaxed);
    WALL_AT_BOOT.store(read_rtc() * SECOND, Relaxed);
}

/// Ticks of the counter per second, by the timer chip.
fn measure() -> u64 {
    const TICKS: u64 = PIT_HZ / 50;
    let mut speaker = Port::<u8>::new(0x61);
    let (mut command, mut counter) = (Port::<u8>::new(0x43), Port::<u8>::new(0x42));
    // SAFETY: channel 2 of the timer, its gate on and the speaker off; it counts down once.
    let ticks = unsafe {
        let gate = speaker.read() & !2 | 1;
        speaker.write(gate & !1);
        command.write(0xb0);
        counter.write(TICKS as u8);
        counter.write((TICKS >> 8) as u8);
        speaker.write(gate);
        let from = tsc();
        while speaker.read() & 0x20 == 0 {
            core::hint::spin_loop();
        }
        tsc() - from
    };
    let hz = ticks * PIT_HZ / TICKS;
    // An emulator that counts instructions ticks at exactly 1 GHz; the chip is not that exact.
    if hz.abs_diff(SECOND) < SECOND / 1000 {
        SECOND
    } else {
        hz
    }
}

/// Nanoseconds since boot; never goes back.
#[inline]
pub fn now_ns() -> u64 {
    ns_of(tsc().wrapping_sub(TSC_AT_BOOT.load(Relaxed)))
}

#[inline(always)]
fn ns_of(ticks: u64) -> u64 {
    ((u128::from(ticks) * u128::from(NS_PER_TICK.load(Relaxed))) >> 32) as u64
}

/// Nanoseconds since 1970.
#[inline]
pub fn wall_ns() -> u64 {
    now_ns() + WALL_AT_BOOT.load(Relaxed)
}

/// Sets the time of day.
pub fn set_wall_ns(now: u64) {
    WALL_AT_BOOT.store(now.saturating_sub(now_ns()), Relaxed);
}

/// What a program needs to read the clocks by itself: the counter at boot, nanoseconds per tick
/// times 2^32, and the time of day at boot in nanoseconds.
pub fn parameters() -> [u64; 3] {
    [
        TSC_AT_BOOT.load(Relaxed),
        NS_PER_TICK.load(Relaxed),
        WALL_AT_BOOT.load(Relaxed),
    ]
}

/// Seconds since 1970 by the real-time clock.
fn read_rtc() -> u64 {
    fn register(index: u8) -> u8 {
        // SAFETY: reading the clock's registers; the interrupt mask bit stays clear.
        unsafe {
            Port::<u8>::new(0x70).write(index);
            Port::<u8>::new(0x71).read()
        }
    }
    fn all() -> [u8; 6] {
        while register(0x0a) & 0x80 != 0 {
            core::hint::spin_loop();
        }
        [0, 2, 4, 7, 8, 9].map(register)
    }
    let mut fields = all();
    loop {
        let again = all();
        if again == fields {
            break;
        }
        fields = again;
    }
    let binary = register(0x0b) & 4 != 0;
    let [second, minute, hour, day, month, year] =
        fields.map(|f| u64::from(if binary { f } else { (f >> 4) * 10 + (f & 15) }));
    days_before(2000 + year, month, day) * 86400 + hour * 3600 + minute * 60 + second
}

/// Days from 1970 to a date of the Gregorian calendar.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    // Years that begin in March put the leap day at the end.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}
