//! Carries references out on the emulated machine.
//!
//! The machine has far more frames than pages are to be resident; at each fault the page daemon is
//! asked for what is one too many. So the number of resident pages is exact, and everything else is
//! as in a kernel: the processor marks page-table entries, the daemon harvests those. Nothing is read
//! ahead of a file; anonymous pages come back from swap with their neighbours there, so what misses
//! then tells of that as well.

use anyhow::{anyhow, bail, ensure};
use scalvm::{
    Access, Advice, Fault, Map, MapRequest, Object, PAGE_SIZE, Paging, PolicyKind, Prot, Share,
    Stats, SwapOptions,
};
use scalvm_testkit::{Hw, Kit, Trap};

use crate::trace::Trace;

/// The file of the kit's disk that is read, or serves as swap.
const FILE: usize = 1;
const LOW: usize = 0x1000;
const HIGH: usize = 0x7fff_ffff_f000;

/// What the references are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Reads of a file by the kernel, as read(2) does.
    Read,
    /// Loads from a mapped file.
    Mapped,
    /// Loads from anonymous memory.
    Anonymous,
}

/// Misses of the references with so many pages in memory.
pub fn misses(trace: &Trace, frames: u32, kind: PolicyKind, how: How) -> anyhow::Result<u64> {
    let anonymous = how == How::Anonymous;
    let pages = trace.pages as usize;
    // The manager's own structures: page tables, anons, records.
    let kit = Kit::new(u64::from(frames) * 2 + trace.pages as u64 / 8 + 1024);
    let vm = kit.vm();
    let mut paging = Paging {
        low: 0,
        reserve: 0,
        anonymous: kind,
        file: kind,
        ..Paging::for_frames(1 << 20)
    };
    paging.high = 0;
    vm.start_paging(paging)?;
    let file = kit.open(FILE, (pages * PAGE_SIZE) as u64);
    let map = vm.new_map(LOW, HIGH)?;
    let request = if anonymous {
        vm.add_swap(
            kit.disk(),
            FILE + 1,
            trace.pages.into(),
            SwapOptions::default(),
        )
        .map_err(|error| anyhow!("{error:?}"))?;
        MapRequest::anonymous(pages * PAGE_SIZE, Prot::RW)
    } else {
        MapRequest::object(&file, 0, pages * PAGE_SIZE, Prot::READ, Share::Shared)
    };
    if how == How::Read {
        return read(trace, frames, &kit, paging, &file);
    }
    let base = map.map(request).map_err(|error| anyhow!("{error}"))?;
    map.advise(base, pages * PAGE_SIZE, Advice::Random)
        .map_err(|error| anyhow!("{error}"))?;
    kit.on(0, || map.activate());

    let mut met = vec![false; pages];
    let mut misses = 0;
    for &page in &trace.references {
        let at = base + page as usize * PAGE_SIZE;
        // Anonymous memory comes into being when it is written.
        let first = anonymous && !std::mem::replace(&mut met[page as usize], true);
        let Err(trap) = access(&kit, at, first) else {
            continue;
        };
        let before = leave_room(&kit, frames, &mut paging)?;
        resolve(&kit, &map, trap)?;
        while let Err(trap) = access(&kit, at, first) {
            resolve(&kit, &map, trap)?;
        }
        misses += u64::from(resident(&vm.stats()) > before);
    }
    kit.leave_all(&[&map]);
    drop((map, file));
    Ok(misses)
}

/// The same for reads by the kernel.
fn read(
    trace: &Trace,
    frames: u32,
    kit: &Kit,
    mut paging: Paging,
    file: &Object<'_, Hw>,
) -> anyhow::Result<u64> {
    let mut misses = 0;
    for &page in &trace.references {
        if !file.is_resident(page.into()) {
            misses += 1;
            leave_room(kit, frames, &mut paging)?;
        }
        let held = file.hold_as(page.into(), Access::Read, Advice::Random);
        drop(held.map_err(|error| anyhow!("{error}"))?);
    }
    Ok(misses)
}

/// Has the page daemon evict what is one too many when another page comes. Tells how many are left.
fn leave_room(kit: &Kit, frames: u32, paging: &mut Paging) -> anyhow::Result<u64> {
    let vm = kit.vm();
    let stats = vm.stats();
    let resident = resident(&stats);
    if resident >= frames.into() {
        paging.high = stats.frames_free + resident - u64::from(frames) + 1;
        vm.set_marks(*paging);
        vm.balance();
    }
    let left = self::resident(&vm.stats());
    ensure!(
        left < frames.into(),
        "the page daemon frees too little: {left} pages are left"
    );
    Ok(left)
}

fn resident(stats: &Stats) -> u64 {
    stats.frames_anon + stats.frames_file
}

fn access(kit: &Kit, at: usize, store: bool) -> Result<(), Trap> {
    if store {
        kit.store(0, at, [1; 8])
    } else {
        kit.load(0, at, Access::Read).map(|_| ())
    }
}

/// Handles a fault, once.
fn resolve(kit: &Kit, map: &Map<'_, Hw>, trap: Trap) -> anyhow::Result<()> {
    match map.fault(trap.addr, trap.access) {
        Fault::Resolved => {}
        Fault::Wait(ticket) => ticket.wait(kit.vm()),
        other => bail!("a fault at {:#x} ends in {other:?}", trap.addr),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds;

    fn turns(pages: u32, turns: u32) -> Trace {
        Trace {
            references: (0..turns).flat_map(|_| 0..pages).collect(),
            pages,
            memory: false,
        }
    }

    #[test]
    fn what_fits_is_missed_once() {
        for how in [How::Read, How::Mapped, How::Anonymous] {
            let misses = misses(&turns(40, 3), 40, PolicyKind::ClockPro, how);
            assert_eq!(misses.unwrap(), 40);
        }
    }

    #[test]
    fn the_machine_tells_the_policies_apart() {
        let trace = turns(60, 10);
        for how in [How::Read, How::Mapped] {
            let clock = misses(&trace, 50, PolicyKind::Clock, how).unwrap();
            let pro = misses(&trace, 50, PolicyKind::ClockPro, how).unwrap();
            assert_eq!(clock, bounds::lru(&trace, 50));
            assert!(pro >= bounds::best(&trace, 50));
            assert!(pro < clock / 2, "{pro} of {clock}");
        }
    }
}
