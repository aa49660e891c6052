//! Steps that are about memory being short: swap devices, room, and what fills it.

use std::rc::Rc;
use std::sync::OnceLock;

use scalvm::{Access, Cipher, FaultError, PAGE_SIZE, SwapError, SwapId, SwapOptions};
use scalvm_codecs::Sealed;

use super::decode;
use super::runner::{Check, Runner, wrong};
use super::trouble::{Cause, Error};
use crate::kit::{FILE_PAGES, SWAP, limit_compressor};
use crate::model::{Kind, ObjectRef};

/// More swap devices than this are not made.
const SWAPS: usize = 3;

/// So many frames, besides those of pages, an operation may need at the same time; and those kept free.
const SLACK: u64 = 40;

/// So many frames are given when memory is really short.
const RELIEF: u64 = 16;

/// A swap device.
pub struct Swap {
    id: SwapId,
    cookie: usize,
    pages: u64,
}

fn cipher() -> &'static dyn Cipher {
    static CIPHER: OnceLock<Sealed> = OnceLock::new();
    CIPHER.get_or_init(|| Sealed::new(&std::array::from_fn(|n| n as u8 * 3 + 1)))
}

impl Runner<'_> {
    pub(super) fn swap_on(&mut self, [size, priority, sealed, ..]: [u32; 6]) -> Check {
        if self.swaps.len() == SWAPS || self.setup.paging.is_none() {
            return Ok(());
        }
        let pages = decode::swap_pages(size);
        let options = SwapOptions {
            priority: (priority % 3) as i16 - 1,
            cipher: (sealed % 4 == 3).then(cipher),
        };
        let cookie = SWAP + self.fresh() as usize;
        self.say(|| format!("swap device {cookie} has {pages} pages, {options:?}"));
        let id = self.retry(true, |r| r.kit.swap_on(cookie, pages, options))?;
        let Ok(id) = id else {
            return wrong("no swap device can be added");
        };
        self.swaps.push(Swap { id, cookie, pages });
        Ok(())
    }

    pub(super) fn swap_off(&mut self, [which, ..]: [u32; 6]) -> Check {
        if self.swaps.is_empty() {
            return Ok(());
        }
        let which = which as usize % self.swaps.len();
        let before = self.kit.failures();
        if let Err(error) = self.take_off(which) {
            // It stays, and no byte has changed, which is looked at after the step.
            match error.cause() {
                Some(Cause::Allocation) if self.kit.failures()[0] > before[0] => {
                    self.kit.fail_nothing();
                }
                Some(Cause::Allocation) => self.may_have_no_room(which)?,
                Some(Cause::Io) => self.forgive(Cause::Io, before)?,
                None => return wrong(format!("swapoff: {error:?}")),
            }
        }
        Ok(())
    }

    fn take_off(&mut self, which: usize) -> Result<(), SwapError> {
        let Swap { id, cookie, .. } = self.swaps[which];
        let result = self.kit.vm().remove_swap(id);
        self.say(|| format!("swap device {cookie} goes: {result:?}"));
        result?;
        // Whoever still reads it finds nothing.
        self.kit.disk().cut_file(cookie, 0);
        self.swaps.swap_remove(which);
        Ok(())
    }

    /// The swap devices as the manager has them: free slots, and pages that are there, of those that `f` accepts.
    fn slots(&self, f: impl Fn(SwapId) -> bool) -> (u64, u64) {
        let (mut free, mut used) = (0, 0);
        self.kit.vm().each_swap(|swap| {
            if f(swap.id) {
                free += swap.pages - swap.used - swap.bad;
                used += swap.used;
            }
        });
        (free, used)
    }

    /// Pages that cannot leave, at most.
    fn pinned(&self) -> u64 {
        let wired = |bytes: u64| bytes / PAGE_SIZE as u64;
        let maps = self.spaces.iter();
        maps.map(|pair| wired(pair.real.usage().wired_bytes))
            .sum::<u64>()
            + self.holds.len() as u64
    }

    /// Accepts that what is on a device has no room elsewhere, if that can be.
    fn may_have_no_room(&self, which: usize) -> Check {
        let id = self.swaps[which].id;
        let (free, _) = self.slots(|other| other != id);
        let (_, used) = self.slots(|other| other == id);
        let stats = self.kit.vm().stats();
        let resident = stats.frames_anon;
        let have = stats.frames_free + stats.frames_anon + stats.frames_file;
        let room = self.ballast.room().min(have);
        let pinned = self.pinned();
        if used + resident + pinned + SLACK <= room + free && pinned + SLACK <= room {
            return wrong(format!(
                "no room for {used} pages of swap and {resident} in memory, with {free} free \
                 slots elsewhere and room for {room} pages",
            ));
        }
        Ok(())
    }

    /// Memory is really short: that can be, and then there is more.
    pub(super) fn relieve(&mut self) -> Check {
        if self.setup.paging.is_none() {
            return wrong("out of memory, but no allocation was made to fail");
        }
        let (free, _) = self.slots(|_| true);
        // The manager's own structures may have grown since the step began.
        let stats = self.kit.vm().stats();
        let have = stats.frames_free + stats.frames_anon + stats.frames_file;
        let room = self.ballast.room().min(have);
        let pinned = self.pinned();
        let failing = self.kit.disk().counts().failed_writes > self.failed_writes;
        if free >= SLACK && pinned + SLACK <= room && !failing {
            return wrong(format!(
                "out of memory, with {free} free slots, room for {room} pages, {pinned} pinned; {stats:?}",
            ));
        }
        self.short += 1;
        if self.ballast.give(self.kit, RELIEF) {
            Ok(())
        } else {
            wrong("out of memory, though there is plenty")
        }
    }

    pub(super) fn squeeze(&mut self, [room, ..]: [u32; 6]) -> Check {
        if let Some(paging) = self.setup.paging {
            let room = decode::room(room);
            self.say(|| format!("room for {room} pages"));
            limit_compressor(self.kit.vm(), paging, room);
            self.ballast.set_room(self.kit, room);
            self.ballast.adjust(self.kit);
            self.kit.vm().balance();
            self.ballast.adjust(self.kit);
        }
        Ok(())
    }

    /// Whether a page can be used by `fill` and `sweep` without more ado.
    fn is_usual(&self, which: usize, addr: usize, access: Access) -> bool {
        let model = &self.spaces[which].model;
        let denied = model.load(addr, Access::Read, 1) == Err(FaultError::Protection);
        let tail = access == Access::Write && model.is_tail(addr, 8);
        !denied && !tail && self.forbid_device(which, addr).is_ok()
    }

    pub(super) fn fill(&mut self, [which, at, pages, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (start, pages) = (self.address(which, at), 1 + pages as usize % 64);
        self.say(|| {
            let serial = self.spaces[which].serial;
            format!("map {serial}: fill {pages} pages at {start:#x}")
        });
        for addr in (0..pages).map(|n| start.wrapping_add(n * PAGE_SIZE)) {
            if !self.is_usual(which, addr, Access::Write) {
                continue;
            }
            let bytes = self.bytes(8);
            let got = self.retry(false, |r| r.spaces[which].real.write(addr, &bytes))?;
            _ = self.spaces[which].model.grow_down(addr);
            let must = self.spaces[which].model.store(addr, &bytes);
            self.same("fill", got, must)?;
        }
        Ok(())
    }

    pub(super) fn sweep(&mut self, [which, at, pages, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (start, pages) = (self.address(which, at), 1 + pages as usize % 64);
        self.say(|| {
            let serial = self.spaces[which].serial;
            format!("map {serial}: read {pages} pages at {start:#x}")
        });
        for addr in (0..pages).map(|n| start.wrapping_add(n * PAGE_SIZE)) {
            if !self.is_usual(which, addr, Access::Read) {
                continue;
            }
            let got = self.retry(false, |r| {
                let mut bytes = [0xaa; 8];
                let read = r.spaces[which].real.read(addr, &mut bytes);
                read.map(|()| bytes.to_vec())
            })?;
            if let Ok(bytes) = &got {
                self.spaces[which].model.found(addr, bytes);
            }
            _ = self.spaces[which].model.grow_down(addr);
            let must = self.spaces[which].model.load(addr, Access::Read, 8);
            self.same("sweep", got, must)?;
        }
        Ok(())
    }

    /// The objects of files that are still there: those with a handle, and those that are mapped.
    fn live(&self) -> Vec<ObjectRef> {
        let handles = self.objects.iter().map(|open| open.model.clone());
        let areas = self
            .spaces
            .iter()
            .flat_map(|pair| pair.model.areas.values());
        let mapped = areas.filter_map(|area| Some(area.source.as_ref()?.0.clone()));
        handles.chain(mapped).collect()
    }

    pub(super) fn sync_all(&mut self) -> Check {
        // An object that only a read keeps would be synced too, though nobody has it any more and what it had
        // may be lost.
        let live = self.live();
        let has_object = |file: &Rc<_>| {
            let is = |object: &ObjectRef| matches!(&object.borrow().kind, Kind::File(of) if Rc::ptr_eq(of, file));
            live.iter().any(is)
        };
        if self.setup.paging.is_none() && !self.files.iter().all(has_object) {
            self.kit.pump(u32::MAX);
        }
        for _ in 0..3 {
            let before = self.kit.failures();
            let Err(error) = self.kit.vm().sync_all() else {
                break;
            };
            // An error that came before may be told now.
            let again = self.kit.failures()[1] > before[1];
            self.say(|| format!("sync-all: {error}"));
            self.forgive(Cause::Io, before)?;
            if !again {
                break;
            }
        }
        for object in live {
            object.borrow_mut().sync(0, FILE_PAGES);
        }
        Ok(())
    }

    /// Nothing is written any more to a file that has no object: what is on the disk must be something that was
    /// to get there, and counts from now on.
    pub(super) fn settle(&self, which: usize) -> Check {
        if self.setup.paging.is_none() {
            return Ok(());
        }
        self.kit.pump(u32::MAX);
        let mut file = self.files[which].borrow_mut();
        for index in 0..FILE_PAGES {
            let mut is = self.kit.disk_page(which, index);
            let begin = index * PAGE_SIZE as u64;
            is.clear_from(file.size.saturating_sub(begin).min(PAGE_SIZE as u64) as usize);
            if !file.may_hold(index, &is) {
                return wrong(format!(
                    "page {index} of file {which} has other bytes on the disk than it ever had"
                ));
            }
            file.settle(index, is);
        }
        Ok(())
    }

    /// Compares what the manager tells of swap devices.
    pub(super) fn compare_swaps(&self) -> Check {
        let mut is: Vec<_> = Vec::new();
        self.kit
            .vm()
            .each_swap(|swap| is.push((swap.id, swap.cookie, swap.pages)));
        let mut must: Vec<_> = self
            .swaps
            .iter()
            .map(|s| (s.id, s.cookie, s.pages))
            .collect();
        is.sort();
        must.sort();
        self.same("swap devices", is, must)
    }

    /// Everything comes back to memory, of which there is enough now. In half of all programs only after all is
    /// let go.
    pub(super) fn end_paging(&mut self) -> Check {
        self.ballast.end(self.kit);
        if self.serial.is_multiple_of(2) {
            while !self.swaps.is_empty() {
                if let Err(error) = self.take_off(0) {
                    return wrong(format!("in the end, swapoff: {error}"));
                }
                self.compare()?;
            }
        }
        Ok(())
    }

    /// Checks that no copy of a page is left, of those that all are gone.
    pub(super) fn nothing_is_put_away(&mut self) -> Check {
        self.same("pages left on swap", self.slots(|_| true).1, 0)?;
        let stored = self.kit.vm().compressor_stats().entries;
        self.same("pages left in the compressor", stored, 0)?;
        while !self.swaps.is_empty() {
            let gone = self.take_off(0);
            self.same("in the very end, swapoff", gone, Ok(()))?;
        }
        self.kit.vm().check_invariants();
        Ok(())
    }
}
