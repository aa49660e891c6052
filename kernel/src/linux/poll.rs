//! System calls that wait for files: poll, select, epoll.

// Linux's names of its calls.
#![allow(non_upper_case_globals)]

use alloc::vec::Vec;

use linux_raw_sys::general::*;

use super::Errno;
use super::files::file;
use crate::arch::time::{SECOND, now_ns};
use crate::fs::FileHandle;
use crate::fs::epoll::Epoll;
use crate::fs::table::MAX_FILES;
use crate::fs::{memory, wait};
use crate::mm::user;
use crate::task::{self, SigSet};

/// Nanoseconds in a millisecond.
const MILLISECOND: u64 = 1_000_000;
/// Events that poll(2) reports though nobody asked.
const ALWAYS: u32 = POLLERR | POLLHUP | POLLNVAL;

/// Carries a call out; none if it is not one of these.
pub fn dispatch(nr: usize, a: [usize; 6]) -> Option<Result<usize, Errno>> {
    Some(match nr as u32 {
        __NR_poll => poll(a[0], a[1], milliseconds(a[2])),
        __NR_ppoll => timespec(a[2]).and_then(|timeout| {
            hold_back(a[3], a[4])?;
            poll(a[0], a[1], timeout)
        }),
        __NR_select => select_with_timeval(&a),
        __NR_pselect6 => pselect(&a),
        __NR_epoll_ctl => epoll_ctl(a[0], a[1] as u32, a[2], a[3]),
        __NR_epoll_wait => epoll_wait(a[0], a[1], a[2], milliseconds(a[3])),
        __NR_epoll_pwait => {
            hold_back(a[4], a[5]).and_then(|()| epoll_wait(a[0], a[1], a[2], milliseconds(a[3])))
        }
        __NR_epoll_pwait2 => timespec(a[3]).and_then(|timeout| {
            hold_back(a[4], a[5])?;
            epoll_wait(a[0], a[1], a[2], timeout)
        }),
        _ => return None,
    })
}

/// A time in milliseconds; negative is for ever.
fn milliseconds(time: usize) -> Option<u64> {
    u64::try_from(time as i32)
        .ok()
        .map(|time| time * MILLISECOND)
}

/// The time at an address, in nanoseconds; without an address for ever.
fn timespec(address: usize) -> Result<Option<u64>, Errno> {
    time_at(address, 1)
}

fn time_at(address: usize, unit: u64) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let [seconds, part] = user::read::<[u64; 2]>(address)?;
    if (seconds as i64) < 0 || (part as i64) < 0 {
        return Err(Errno::EINVAL);
    }
    let ns = part.saturating_mul(unit);
    if unit == 1 && ns >= SECOND {
        return Err(Errno::EINVAL);
    }
    Ok(Some(seconds.saturating_mul(SECOND).saturating_add(ns)))
}

/// While the call waits, the signals at this address are held back instead of those that are.
fn hold_back(address: usize, size: usize) -> Result<(), Errno> {
    if address == 0 {
        return Ok(());
    }
    if size != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    task::current_thread().set_mask_for_wait(SigSet(user::read(address)?));
    Ok(())
}

/// What one entry of poll(2) waits for.
struct Entry {
    file: Option<FileHandle>,
    /// Those asked for; without a file, those that there are.
    events: u32,
}

impl Entry {
    fn ready(&self) -> u32 {
        match &self.file {
            Some(file) => file.ready() & (self.events | ALWAYS),
            None => self.events,
        }
    }
}

fn poll(address: usize, count: usize, timeout: Option<u64>) -> Result<usize, Errno> {
    const ENTRY: usize = size_of::<u64>();
    const REVENTS: usize = 6;
    if count > MAX_FILES {
        return Err(Errno::EINVAL);
    }
    let mut entries = Vec::new();
    entries
        .try_reserve_exact(count)
        .map_err(|_| Errno::ENOMEM)?;
    for index in 0..count {
        let word = user::read::<u64>(address + index * ENTRY)?;
        let fd = word as u32 as i32;
        entries.push(match usize::try_from(fd).map(file) {
            // A negative descriptor stands for no file.
            Err(_) => Entry {
                file: None,
                events: 0,
            },
            Ok(Err(_)) => Entry {
                file: None,
                events: POLLNVAL,
            },
            Ok(Ok(file)) => Entry {
                file: Some(file),
                events: u32::from((word >> 32) as u16),
            },
        });
    }
    let waited = wait::wait(timeout, || entries.iter().any(|entry| entry.ready() != 0));
    let mut found = 0;
    for (index, entry) in entries.iter().enumerate() {
        let events = entry.ready();
        user::write(address + index * ENTRY + REVENTS, &(events as u16))?;
        found += usize::from(events != 0);
    }
    // Events are written even if a signal came; without any, that is what counts.
    if found == 0 {
        waited?;
    }
    Ok(found)
}

/// Bits for all descriptors.
type Bits = [u64; MAX_FILES / 64];

/// The three sets of select(2): what of poll's events each waits for.
const SETS: [u32; 3] = [
    POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR,
    POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR,
    POLLPRI,
];

fn select(count: usize, addresses: [usize; 3], timeout: Option<u64>) -> Result<usize, Errno> {
    if count as i32 as isize != count as isize || (count as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    // What lies beyond the table is passed over, as far as Linux's table would be filled up.
    let end = task::current().files().lock().end();
    let count = count.min(end.next_multiple_of(64)).min(MAX_FILES);
    let words = count.div_ceil(64);
    let mut sets = [[0; MAX_FILES / 64]; 3];
    for (set, address) in sets
        .iter_mut()
        .zip(addresses)
        .filter(|(_, address)| *address != 0)
    {
        for (index, word) in set[..words].iter_mut().enumerate() {
            *word = user::read(address + index * 8)?;
        }
    }
    let has = |set: &Bits, fd: usize| set[fd / 64] >> (fd % 64) & 1 != 0;
    let mut files = Vec::new();
    for fd in 0..count {
        if sets.iter().any(|set| has(set, fd)) {
            memory::push(&mut files, (fd, file(fd)?))?;
        }
    }
    let ready = |fd: usize, file: &FileHandle, set: usize| {
        has(&sets[set], fd) && file.ready() & SETS[set] != 0
    };
    wait::wait(timeout, || {
        files
            .iter()
            .any(|(fd, file)| (0..3).any(|set| ready(*fd, file, set)))
    })?;
    let mut found = 0;
    let mut results = [[0u64; MAX_FILES / 64]; 3];
    for (fd, file) in &files {
        for (set, result) in results.iter_mut().enumerate() {
            if ready(*fd, file, set) {
                result[fd / 64] |= 1 << (fd % 64);
                found += 1;
            }
        }
    }
    for (result, address) in results
        .iter()
        .zip(addresses)
        .filter(|(_, address)| *address != 0)
    {
        for (index, word) in result[..words].iter().enumerate() {
            user::write(address + index * 8, word)?;
        }
    }
    Ok(found)
}

/// select(2), which writes back how much of the time was left.
fn select_with_timeval(a: &[usize; 6]) -> Result<usize, Errno> {
    const MICROSECOND: u64 = 1000;
    let start = now_ns();
    let timeout = time_at(a[4], MICROSECOND)?;
    let result = select(a[0], [a[1], a[2], a[3]], timeout);
    if let Some(timeout) = timeout {
        let left = timeout.saturating_sub(now_ns() - start);
        // The program may not have meant this to be written: it is no error if it cannot be.
        let _ = user::write(a[4], &[left / SECOND, left % SECOND / MICROSECOND]);
    }
    result
}

fn pselect(a: &[usize; 6]) -> Result<usize, Errno> {
    let timeout = timespec(a[4])?;
    if a[5] != 0 {
        let [mask, size] = user::read::<[usize; 2]>(a[5])?;
        hold_back(mask, size)?;
    }
    select(a[0], [a[1], a[2], a[3]], timeout)
}

fn epoll_ctl(set: usize, operation: u32, fd: usize, event: usize) -> Result<usize, Errno> {
    let (set, file) = (file(set)?, file(fd)?);
    let [events, low, high] = match operation {
        EPOLL_CTL_DEL => [0; 3],
        _ => user::read::<[u32; 3]>(event)?,
    };
    let data = u64::from(low) | u64::from(high) << 32;
    Epoll::of(&set)?.control(operation, fd, &file, events, data)?;
    Ok(0)
}

fn epoll_wait(set: usize, to: usize, count: usize, timeout: Option<u64>) -> Result<usize, Errno> {
    let set = Epoll::of(&*file(set)?)?;
    let count = usize::try_from(count as i32)
        .ok()
        .filter(|count| *count > 0)
        .ok_or(Errno::EINVAL)?;
    wait::wait(timeout, || set.is_ready())?;
    let mut events = Vec::new();
    let mut result = Ok(());
    set.collect(|ready, data| {
        result = memory::push(&mut events, [ready, data as u32, (data >> 32) as u32]);
        result.is_ok() && events.len() < count.min(MAX_FILES)
    });
    result?;
    for (index, event) in events.iter().enumerate() {
        user::write(to + index * size_of::<[u32; 3]>(), event)?;
    }
    Ok(events.len())
}
