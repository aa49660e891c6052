//! System V shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2).

use linux_raw_sys::general as nr;
use scalvm::{MapError, MapRequest, PAGE_MASK, PAGE_SIZE, Place, Prot, Share};

use super::super::{Errno, Result};
use crate::arch::layout::USER_HIGH;
use crate::ipc::shm::{self, Status, Wish};
use crate::mm::user;
use crate::task::{self, Space, min_address};

// Flags of shmget(2).
const IPC_CREAT: u32 = 0o1000;
const IPC_EXCL: u32 = 0o2000;
const SHM_HUGETLB: u32 = 0o4000;

// Flags of shmat(2).
const SHM_RDONLY: u32 = 0o10000;
const SHM_RND: u32 = 0o20000;
const SHM_REMAP: u32 = 0o40000;
const SHM_EXEC: u32 = 0o100000;

// Commands of shmctl(2).
const IPC_RMID: u32 = 0;
const IPC_SET: u32 = 1;
const IPC_STAT: u32 = 2;
const IPC_INFO: u32 = 3;
const SHM_LOCK: u32 = 11;
const SHM_UNLOCK: u32 = 12;
const SHM_STAT: u32 = 13;
const SHM_INFO: u32 = 14;
const SHM_STAT_ANY: u32 = 15;

/// Words of `struct shmid_ds`, as it is on 64-bit machines.
const STATUS_WORDS: usize = 14;

/// The calls whose numbers are known here.
pub(super) fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    Some(match number as u32 {
        nr::__NR_shmget => get(a[0] as i32, a[1], a[2] as u32),
        nr::__NR_shmat => attach(&task::current().map(), a[0] as i32, a[1], a[2] as u32),
        nr::__NR_shmdt => detach(&task::current().map(), a[0]),
        nr::__NR_shmctl => control(a[0] as i32, a[1] as u32, a[2]),
        _ => return None,
    })
}

fn get(key: i32, size: usize, flags: u32) -> Result {
    if flags & SHM_HUGETLB != 0 {
        // There are no pages of other sizes to be had by name.
        return Err(Errno::ENOMEM);
    }
    let wish = Wish {
        create: flags & IPC_CREAT != 0,
        exclusive: flags & IPC_EXCL != 0,
        permissions: flags,
    };
    Ok(shm::get(key, size, wish)? as usize)
}

fn attach(space: &Space, id: i32, at: usize, flags: u32) -> Result {
    let (rounds, replaces) = (flags & SHM_RND != 0, flags & SHM_REMAP != 0);
    let start = if rounds { at & !PAGE_MASK } else { at };
    if id < 0 || start & PAGE_MASK != 0 || replaces && start == 0 {
        return Err(Errno::EINVAL);
    }
    let mut prot = if flags & SHM_RDONLY != 0 {
        Prot::READ
    } else {
        Prot::RW
    };
    prot.set(Prot::EXEC, flags & SHM_EXEC != 0);
    let (object, size) = shm::attach(id)?;
    let len = size.next_multiple_of(PAGE_SIZE);
    let place = match start {
        0 if at == 0 => Place::Anywhere,
        _ if start.checked_add(len).is_none() => return Err(Errno::EINVAL),
        _ if start < min_address() => return Err(Errno::EPERM),
        _ if start + len > USER_HIGH => return Err(Errno::ENOMEM),
        _ if replaces => Place::Fixed(start),
        _ => Place::Free(start),
    };
    let request = MapRequest {
        place,
        max_prot: if flags & SHM_RDONLY != 0 {
            Prot::RX
        } else {
            Prot::all()
        },
        ..MapRequest::object(&object, 0, len, prot, Share::Shared)
    };
    let start = space.map(request).map_err(|error| match error {
        MapError::Occupied => Errno::EINVAL,
        _ => Errno::ENOMEM,
    })?;
    shm::note_use(id, true);
    if space.wire_future().is_some() {
        // The mapping stands, as with mmap(2), whether or not all of it can be brought in now.
        let _ = space.bring_wired(start, len);
    }
    Ok(start)
}

/// Unmaps what is still there of the segment that was attached at an address.
fn detach(space: &Space, at: usize) -> Result {
    if at & PAGE_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    let mut found: Option<(i32, usize)> = None;
    let mut next = at;
    while let Some(region) = space.query(next) {
        next = region.end;
        if region.start < at || found.is_some_and(|(_, end)| region.start >= end) {
            if found.is_some() {
                break;
            }
            continue;
        }
        let here = region.share == Share::Shared && region.offset == (region.start - at) as u64;
        let segment = region.cookie.filter(|_| here).and_then(shm::find);
        let Some((id, size)) = segment else { continue };
        if found.is_none_or(|(first, _)| first == id) {
            found = Some((id, at + size));
            space.unmap(region.start, region.end - region.start)?;
        }
    }
    let (id, _) = found.ok_or(Errno::EINVAL)?;
    shm::note_use(id, false);
    shm::sweep();
    Ok(0)
}

fn control(id: i32, command: u32, buffer: usize) -> Result {
    if id < 0 || (command as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        IPC_INFO => {
            let limits = shm::limits();
            let segments = limits.segments as u64;
            let words = [
                limits.bytes as u64,
                1,
                segments,
                segments,
                limits.pages,
                0,
                0,
                0,
                0,
            ];
            user::write(buffer, &words)?;
            Ok(shm::totals().highest)
        }
        SHM_INFO => {
            let totals = shm::totals();
            let words: [u64; 6] = [
                totals.segments as u64,
                totals.pages,
                totals.resident,
                totals.away,
                0,
                0,
            ];
            user::write(buffer, &words)?;
            Ok(totals.highest)
        }
        SHM_STAT | SHM_STAT_ANY => {
            let status = shm::status_at(id as usize)?;
            user::write(buffer, &words(&status))?;
            Ok(status.id as usize)
        }
        IPC_STAT => {
            user::write(buffer, &words(&shm::status(id)?))?;
            Ok(0)
        }
        IPC_SET => {
            let words = user::read::<[u64; STATUS_WORDS]>(buffer)?;
            let owner = [(words[0] >> 32) as u32, words[1] as u32];
            shm::set(id, owner, (words[2] >> 32) as u32)?;
            Ok(0)
        }
        IPC_RMID => shm::remove(id).map(|()| 0),
        SHM_LOCK => shm::lock(id, true).map(|()| 0),
        SHM_UNLOCK => shm::lock(id, false).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

/// A segment's status as Linux writes it.
fn words(status: &Status) -> [u64; STATUS_WORDS] {
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let [uid, gid] = status.owner;
    let [cuid, cgid] = status.creator;
    [
        pair(status.key as u32, uid),
        pair(gid, cuid),
        pair(cgid, status.mode),
        (status.id >> 15) as u64 & 0xffff,
        0,
        0,
        status.size as u64,
        status.attached,
        status.detached,
        status.changed,
        pair(status.made_by as u32, status.used_by as u32),
        status.mappings as u64,
        0,
        0,
    ]
}
