//! Nodes of memory: set_mempolicy(2) and its kin, as Linux answers on a machine with one node.

use alloc::sync::Arc;

use linux_raw_sys::general as nr;
use linux_raw_sys::general::CAP_SYS_NICE;
use linux_raw_sys::mempolicy::{
    MPOL_F_ADDR, MPOL_F_MEMS_ALLOWED, MPOL_F_NODE, MPOL_MF_MOVE, MPOL_MF_MOVE_ALL, MPOL_MF_VALID,
};
use scalvm::{PAGE_MASK, PAGE_SIZE, PageInfo, PagePlace, page_ceil};

use super::super::{Errno, Result};
use super::advise::each_region;
use super::any_region;
use super::name::relabel;
use crate::mm::labels::{self, Label};
use crate::mm::user;
use crate::task::policy::{DEFAULT, NODES, Named, Policy};
use crate::task::{self, Pid, Space};

type Fallible<T> = core::result::Result<T, Errno>;

/// Nodes that may be named; the others must not be.
const MAX_NODES: usize = 1024;
/// Bits of a word.
const BITS: usize = u64::BITS as usize;

/// The calls whose numbers are known here.
pub(super) fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    Some(match number as u32 {
        nr::__NR_set_mempolicy => set(a[0] as u32, a[1], a[2]),
        nr::__NR_get_mempolicy => get(a[0], a[1], a[2], a[3], a[4] as u32),
        nr::__NR_mbind => bind(a[0], a[1], a[2] as u32, [a[3], a[4]], a[5] as u32),
        nr::__NR_migrate_pages => migrate(a[0] as Pid, a[1], a[2], a[3]),
        nr::__NR_move_pages => move_pages(a[0] as Pid, a[1], [a[2], a[3], a[4]], a[5] as u32),
        _ => return None,
    })
}

/// The nodes that a program names, by one bit less than it says, as Linux has it.
fn nodes(at: usize, bits: usize) -> Fallible<Named> {
    let bits = bits.wrapping_sub(1);
    let mut named = Named {
        first: 0,
        more: false,
    };
    if bits == 0 || at == 0 {
        return Ok(named);
    }
    if bits > PAGE_SIZE * 8 {
        return Err(Errno::EINVAL);
    }
    for nth in 0..bits.div_ceil(BITS) {
        let mut word = user::read_u64(at.wrapping_add(nth * size_of::<u64>()))?;
        let left = bits - nth * BITS;
        if left < BITS {
            word &= (1 << left) - 1;
        }
        if nth * BITS >= MAX_NODES && word != 0 {
            return Err(Errno::EINVAL);
        }
        if nth == 0 {
            named.first = word;
        } else {
            named.more |= word != 0;
        }
    }
    Ok(named)
}

/// set_mempolicy(2), for the calling thread.
fn set(mode: u32, at: usize, bits: usize) -> Result {
    Policy::parts(mode)?;
    let named = nodes(at, bits)?;
    let policy = Policy::new(mode, named)?;
    task::current_thread().policy.set(policy);
    Ok(0)
}

/// mbind(2): a policy for a part of the address space, which has no holes.
fn bind(at: usize, len: usize, mode: u32, [named, bits]: [usize; 2], flags: u32) -> Result {
    Policy::parts(mode)?;
    let named = nodes(named, bits)?;
    if flags & !MPOL_MF_VALID != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & MPOL_MF_MOVE_ALL != 0 && !task::current().may(CAP_SYS_NICE) {
        return Err(Errno::EPERM);
    }
    let end = page_ceil(len).and_then(|len| at.checked_add(len));
    let end = end.filter(|_| at & PAGE_MASK == 0).ok_or(Errno::EINVAL)?;
    if end == at {
        return Ok(0);
    }
    let policy = Policy::new(mode, named)?;
    let space = task::current().map();
    any_region(&space, at, end, |_| false).map_err(|_| Errno::EFAULT)?;
    each_region(&space, at, end, |region, at, len| {
        relabel(&space, region.tag, (at, len), |old| Label { policy, ..old })
    })?;
    Ok(0)
}

/// get_mempolicy(2).
fn get(mode: usize, at: usize, bits: usize, address: usize, flags: u32) -> Result {
    if at != 0 && bits == 0 {
        return Err(Errno::EINVAL);
    }
    let (of_node, of_address) = (flags & MPOL_F_NODE != 0, flags & MPOL_F_ADDR != 0);
    let allowed = flags & MPOL_F_MEMS_ALLOWED != 0;
    if flags & !(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED) != 0
        || allowed && (of_node || of_address)
        || !allowed && !of_address && address != 0
    {
        return Err(Errno::EINVAL);
    }
    let policy = if of_address {
        of_mapping(&task::current().map(), address)?
    } else {
        task::current_thread().policy.get()
    };
    let (mut word, mut named) = policy.map_or((DEFAULT, 0), |policy| (policy.mode, policy.nodes));
    if allowed {
        (word, named) = (0, NODES);
    } else if of_node && of_address {
        user::read::<u8>(address)?;
        word = 0;
    } else if of_node {
        // The node whose turn it is.
        if !policy.is_some_and(Policy::takes_turns) {
            return Err(Errno::EINVAL);
        }
        word = 0;
    }
    if mode != 0 {
        user::write_u32(mode, word)?;
    }
    if at != 0 {
        tell_nodes(at, bits, named)?;
    }
    Ok(0)
}

/// The policy of what is mapped at an address.
fn of_mapping(space: &Space, address: usize) -> Fallible<Option<Policy>> {
    let region = space.query(address);
    let region = region.filter(|region| region.start <= address);
    Ok(labels::get(region.ok_or(Errno::EFAULT)?.tag).policy)
}

/// Writes nodes to a program, as many words as it has room for.
fn tell_nodes(at: usize, bits: usize, nodes: u64) -> Fallible<()> {
    let words = (bits - 1).div_ceil(BITS);
    if words * size_of::<u64>() > PAGE_SIZE {
        return Err(Errno::EINVAL);
    }
    for nth in 0..words {
        user::write_u64(
            at.wrapping_add(nth * size_of::<u64>()),
            if nth == 0 { nodes } else { 0 },
        )?;
    }
    Ok(())
}

/// The memory of a process, 0 for the caller. ESRCH if there is none.
fn space_of(pid: Pid) -> Fallible<Arc<Space>> {
    if pid == 0 {
        return Ok(task::current().map());
    }
    let process = task::find(pid).or_else(|| task::find_thread(pid).map(|t| t.process().clone()));
    let process = process.ok_or(Errno::ESRCH)?;
    if process.is_zombie() {
        return Err(Errno::EINVAL);
    }
    Ok(process.map())
}

/// migrate_pages(2): there is nowhere to go from the one node.
fn migrate(pid: Pid, bits: usize, from: usize, to: usize) -> Result {
    nodes(from, bits)?;
    let to = nodes(to, bits)?;
    space_of(pid)?;
    if (to.first & !NODES != 0 || to.more) && !task::current().may(CAP_SYS_NICE) {
        return Err(Errno::EPERM);
    }
    if to.first & NODES == 0 {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

/// move_pages(2): tells of each page that it is where it is to be, or why it is nowhere. `lists` are where
/// the addresses, the nodes and the answers are.
fn move_pages(pid: Pid, count: usize, lists: [usize; 3], flags: u32) -> Result {
    let [pages, nodes, status] = lists;
    if flags & !(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & MPOL_MF_MOVE_ALL != 0 && !task::current().may(CAP_SYS_NICE) {
        return Err(Errno::EPERM);
    }
    let space = space_of(pid)?;
    for nth in 0..count {
        let page = user::read_u64(pages.wrapping_add(nth.wrapping_mul(8)))? as usize;
        let at = nth.wrapping_mul(size_of::<u32>());
        if nodes != 0 && user::read_u32(nodes.wrapping_add(at))? != 0 {
            return Err(Errno::ENODEV);
        }
        let answer = node_of(&space, page).map_or_else(|error| -error.0, |()| 0);
        user::write_u32(status.wrapping_add(at), answer as u32)?;
    }
    Ok(0)
}

/// Whether a page is on the one node: ENOENT for one that the page tables do not map, EFAULT for the page of
/// zeros and where nothing is mapped.
fn node_of(space: &Space, address: usize) -> Fallible<()> {
    let mut page = [PageInfo::default()];
    if space.inspect(address, &mut page) == 0 {
        return Err(Errno::EFAULT);
    }
    match page[0].place {
        PagePlace::Zeros => Err(Errno::EFAULT),
        PagePlace::Memory(_) if page[0].mapped => Ok(()),
        _ => Err(Errno::ENOENT),
    }
}
