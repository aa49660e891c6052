//! Futexes: waiting until another thread says that a word in memory has changed.
//!
//! A futex is known by what its word is in: an object and an offset if the mapping is shared, else
//! the address space and the address.

use alloc::sync::Arc;

use linux_raw_sys::general::{
    FUTEX_CLOCK_REALTIME, FUTEX_CMP_REQUEUE, FUTEX_OP_ADD, FUTEX_OP_ANDN, FUTEX_OP_CMP_EQ,
    FUTEX_OP_CMP_GE, FUTEX_OP_CMP_GT, FUTEX_OP_CMP_LE, FUTEX_OP_CMP_LT, FUTEX_OP_CMP_NE,
    FUTEX_OP_OR, FUTEX_OP_SET, FUTEX_OP_XOR, FUTEX_PRIVATE_FLAG, FUTEX_REQUEUE, FUTEX_WAIT,
    FUTEX_WAIT_BITSET, FUTEX_WAKE, FUTEX_WAKE_BITSET, FUTEX_WAKE_OP,
};
use scalvm::Share;

use super::{Errno, Result, time};
use crate::arch;
use crate::mm::user;
use crate::task::{self, State, WaitQueue, Woken};

const ANY: u32 = u32::MAX;

/// What a futex is known by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Private { space: usize, address: usize },
    Shared { object: u64, offset: u64 },
}

static WAITING: WaitQueue<(Key, u32)> = WaitQueue::new();

#[inline(never)]
pub fn call(a: [usize; 6]) -> Result {
    let [address, operation, value, timeout, second, bits] = a;
    let operation = operation as u32;
    let private = operation & FUTEX_PRIVATE_FLAG != 0;
    let realtime = operation & FUTEX_CLOCK_REALTIME != 0;
    let value = value as u32;
    if address % 4 != 0 {
        return Err(Errno::EINVAL);
    }
    match operation & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME) {
        FUTEX_WAIT => {
            let until = deadline(timeout)?.map(|ns| arch::time::now_ns().saturating_add(ns));
            wait(key(address, private), address, value, ANY, until)
        }
        FUTEX_WAIT_BITSET => {
            // The time of day is turned into time since boot.
            let until = deadline(timeout)?.map(|ns| match realtime {
                true => {
                    arch::time::now_ns().saturating_add(ns.saturating_sub(arch::time::wall_ns()))
                }
                false => ns,
            });
            wait(key(address, private), address, value, bits as u32, until)
        }
        FUTEX_WAKE => wake(key(address, private), value, ANY),
        FUTEX_WAKE_BITSET => wake(key(address, private), value, bits as u32),
        FUTEX_REQUEUE => requeue(address, second, private, value, timeout as u32, None),
        FUTEX_CMP_REQUEUE => requeue(
            address,
            second,
            private,
            value,
            timeout as u32,
            Some(bits as u32),
        ),
        FUTEX_WAKE_OP => wake_op(address, second, private, value, timeout as u32, bits as u32),
        _ => Err(Errno::ENOSYS),
    }
}

fn deadline(timeout: usize) -> core::result::Result<Option<u64>, Errno> {
    if timeout == 0 {
        Ok(None)
    } else {
        time::read_timespec(timeout).map(Some)
    }
}

fn key(address: usize, private: bool) -> Key {
    let space = task::current().map();
    let region = if private {
        None
    } else {
        space
            .query(address)
            .filter(|region| region.start <= address)
    };
    match region {
        Some(region) if region.share == Share::Shared => Key::Shared {
            object: region.object_id.unwrap_or(0),
            offset: region.offset + (address - region.start) as u64,
        },
        _ => Key::Private {
            space: Arc::as_ptr(&space) as usize,
            address,
        },
    }
}

fn wait(key: Key, address: usize, value: u32, bits: u32, until: Option<u64>) -> Result {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    // Nothing comes between the look and the wait: the kernel is not preempted.
    if user::read_u32(address)? != value {
        return Err(Errno::EAGAIN);
    }
    match WAITING.wait((key, bits), State::Interruptible, until) {
        Woken::Called => Ok(0),
        Woken::TimedOut => Err(Errno::ETIMEDOUT),
        Woken::Signal => Err(Errno::EINTR),
    }
}

fn wake(key: Key, count: u32, bits: u32) -> Result {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    Ok(WAITING.wake_where(count as usize, |(other, waits)| {
        other == key && waits & bits != 0
    }))
}

/// Wakes one who waits for the word at this address, which may be shared.
pub fn wake_one(address: usize) {
    let key = key(address, false);
    WAITING.wake_where(1, |(other, _)| other == key);
}

/// A thread has ended, and cleared the word at this address.
pub fn wake_for_exit(address: usize) {
    // It may be waited for either way.
    for private in [true, false] {
        let key = key(address, private);
        WAITING.wake_where(1, |(other, _)| other == key);
    }
}

fn requeue(
    address: usize,
    second: usize,
    private: bool,
    count: u32,
    more: u32,
    value: Option<u32>,
) -> Result {
    if (count as i32) < 0 || (more as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    if let Some(value) = value
        && user::read_u32(address)? != value
    {
        return Err(Errno::EAGAIN);
    }
    let (from, to) = (key(address, private), key(second, private));
    let woken = wake(from, count, ANY)?;
    let moved = WAITING.change_keys(more as usize, |(key, _)| key == from, (to, ANY));
    Ok(woken + if value.is_some() { moved } else { 0 })
}

fn wake_op(
    address: usize,
    second: usize,
    private: bool,
    count: u32,
    more: u32,
    code: u32,
) -> Result {
    const SHIFT: u32 = 8;
    let (operation, compare) = (code >> 28 & 15, code >> 24 & 15);
    let sign_extend = |field: u32| ((field << 20) as i32 >> 20) as u32;
    let (mut operand, against) = (sign_extend(code >> 12 & 0xfff), sign_extend(code & 0xfff));
    if operation & SHIFT != 0 {
        operand = 1u32.wrapping_shl(operand);
    }
    // One processor, not preempted: reading and writing is one step, once the page is there.
    let old = user::read_u32(second)?;
    let new = match operation & !SHIFT {
        FUTEX_OP_SET => operand,
        FUTEX_OP_ADD => old.wrapping_add(operand),
        FUTEX_OP_OR => old | operand,
        FUTEX_OP_ANDN => old & !operand,
        FUTEX_OP_XOR => old ^ operand,
        _ => return Err(Errno::ENOSYS),
    };
    user::write_u32(second, new)?;
    let (signed, limit) = (old as i32, against as i32);
    let also = match compare {
        FUTEX_OP_CMP_EQ => signed == limit,
        FUTEX_OP_CMP_NE => signed != limit,
        FUTEX_OP_CMP_LT => signed < limit,
        FUTEX_OP_CMP_LE => signed <= limit,
        FUTEX_OP_CMP_GT => signed > limit,
        FUTEX_OP_CMP_GE => signed >= limit,
        _ => return Err(Errno::ENOSYS),
    };
    let mut woken = wake(key(address, private), count, ANY)?;
    if also {
        woken += wake(key(second, private), more, ANY)?;
    }
    Ok(woken)
}
