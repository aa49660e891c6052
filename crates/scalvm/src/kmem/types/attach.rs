//! Attaching and detaching types, and what was left behind.

use core::panic::Location;

use super::row::LAST;
use super::{Attached, M_ORPHANS, MallocType, NUMBERS, TypeError, numbers, section};
use crate::kmem::Heap;
use crate::machine::Machine;
use crate::vm::Vm;

/// What becomes of memory in use when its type is detached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaks {
    /// The type stays attached: [`TypeError::InUse`].
    Refuse,
    /// The type goes, and its memory belongs to [`M_ORPHANS`]: it stays valid, and may be freed
    /// under that type, or under the one it had. Debug mode still knows where it was allocated: so
    /// the names of the module's files must stay in memory, if nothing else does.
    ///
    /// If the type is attached again, it begins from nothing, and what it left behind must be freed
    /// under [`M_ORPHANS`].
    Orphan,
}

/// Some of the memory that is in use of a type that is to be detached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leak {
    /// Bytes in each piece; 0 for pieces larger than the largest class.
    pub size: usize,
    /// How many.
    pub pieces: u64,
    /// Bytes in them all.
    pub bytes: u64,
    /// Where they were allocated, if that is told: in debug mode, after the sizes.
    pub site: Option<&'static Location<'static>>,
}

impl<M: Machine> Vm<M> {
    /// Tells whether the static types can be told apart: [`TypeError::NameTaken`] if two have one
    /// name or one short description, [`TypeError::TooMany`] beyond 511. For a kernel to ask when it
    /// starts.
    pub fn check_types(&self) -> Result<(), TypeError> {
        let all = section::all();
        if all.len() >= NUMBERS {
            return Err(TypeError::TooMany);
        }
        let clashes = |(n, ty): (usize, &&MallocType)| all[..n].iter().any(|it| it.clashes(ty));
        match all.iter().enumerate().any(clashes) {
            true => Err(TypeError::NameTaken),
            false => Ok(()),
        }
    }

    /// Makes a dynamic type known, for a module that is being loaded. Its name and its short
    /// description must be no other's. Does not block.
    ///
    /// Afterwards memory of it can be allocated, until [`detach_type`](Vm::detach_type). It may be
    /// attached to several managers.
    pub fn attach_type(&self, ty: &'static MallocType) -> Result<(), TypeError> {
        if section::place(ty).is_some() {
            return Err(TypeError::Attached);
        }
        let types = &self.types;
        let held = types.lock(&self.machine);
        for (other, _) in types.known() {
            if core::ptr::eq(other, ty) {
                return Err(TypeError::Attached);
            }
            if other.clashes(ty) {
                return Err(TypeError::NameTaken);
            }
        }
        if section::all().iter().any(|other| other.clashes(ty)) {
            return Err(TypeError::NameTaken);
        }
        let number = numbers::take(ty)?;
        match types.state(&self.machine, &self.frames, number, &held) {
            Ok(state) => {
                state.begin(ty);
                Ok(())
            }
            Err(error) => {
                numbers::give(ty);
                Err(error)
            }
        }
    }

    /// Makes a dynamic type unknown again, for a module that is being unloaded and uses it no more.
    ///
    /// Memory of it that is still in use is told to `report`, as [`each_leak`](Vm::each_leak) tells.
    /// What becomes of it, and of the type, is the caller's choice. Does not block.
    pub fn detach_type(
        &self,
        ty: &'static MallocType,
        leaks: Leaks,
        report: &mut dyn FnMut(Leak),
    ) -> Result<(), TypeError> {
        let types = &self.types;
        if section::place(ty).is_some() {
            return Err(TypeError::NotAttached);
        }
        let attached = types.find(ty).ok_or(TypeError::NotAttached)?;
        let state = attached.state;
        // Found before anything is changed: it may need memory.
        let orphans = types.get(&self.machine, &self.frames, &M_ORPHANS)?;
        let held = types.lock(&self.machine);
        if !state.is_of(ty) || state.leaves() {
            return Err(TypeError::NotAttached);
        }
        // From here on processors that free memory of the type find no row, and take it off the state
        // under the lock of types.
        state.set_leaving(true);
        types.unhook(attached.number, &held);
        drop(held);
        types.wait_out(&self.machine, &self.heap);
        let left = self.tell_leaks(attached, report);
        if left && leaks == Leaks::Refuse {
            let _held = types.lock(&self.machine);
            state.set_leaving(false);
            return Err(TypeError::InUse);
        }
        if let Some(watch) = self.debug.watch() {
            self.renumber(watch, attached.number, orphans.number);
        }
        let _held = types.lock(&self.machine);
        // Once more: some may have come back.
        let sums = state.sums();
        orphans.state.adopt(state.held() - sums.credit);
        for bucket in 0..=LAST {
            orphans
                .state
                .shared()
                .shared_taken(bucket, sums.pieces(bucket));
        }
        state.end();
        numbers::give(ty);
        Ok(())
    }

    /// Tells of all memory of a type that is in use: by size, and in debug mode once more by size and
    /// place of allocation. No lock is held while `report` runs. Does not block.
    pub fn each_leak(&self, ty: &'static MallocType, report: &mut dyn FnMut(Leak)) {
        if let Some(attached) = self.types.find(ty) {
            self.tell_leaks(attached, report);
        }
    }

    /// The same for each type that is known, one after the other: what all kernel memory is used for.
    pub fn each_use(&self, report: &mut dyn FnMut(&'static MallocType, Leak)) {
        for (ty, attached) in self.types.known() {
            self.tell_leaks(attached, &mut |leak| report(ty, leak));
        }
    }

    /// The same. Tells whether there was any.
    fn tell_leaks(&self, of: Attached, report: &mut dyn FnMut(Leak)) -> bool {
        let (sums, held) = (of.state.sums(), of.state.held());
        let mut left = false;
        for bucket in (0..Heap::BUCKETS).filter(|&bucket| sums.pieces(bucket) != 0) {
            left = true;
            report(Leak {
                size: Heap::bucket_size(bucket),
                pieces: sums.pieces(bucket),
                bytes: sums.bytes(bucket, held),
                site: None,
            });
        }
        if left && let Some(watch) = self.debug.watch() {
            self.each_site(watch, of.number, report);
        }
        left
    }

    /// Sets how many bytes of a type may be in use at one time, or that any number may. Those that
    /// wait for memory of the type are served by the new limit.
    pub fn set_type_limit(
        &self,
        ty: &'static MallocType,
        bytes: Option<u64>,
    ) -> Result<(), TypeError> {
        let attached = self.types.get(&self.machine, &self.frames, ty)?;
        let held = self.types.lock(&self.machine);
        if !attached.state.is_of(ty) {
            return Err(TypeError::NotAttached);
        }
        let state = attached.state;
        state.set_limit(bytes);
        // A type with a limit has no credit: what rows have of it is called back, while they stand
        // still. If somebody detaches the type just now, they do so anyway.
        let call_back = bytes.is_some() && !state.leaves();
        if call_back {
            state.set_leaving(true);
            self.types.unhook(attached.number, &held);
        }
        drop(held);
        if call_back {
            self.types.wait_out(&self.machine, &self.heap);
            let _held = self.types.lock(&self.machine);
            let credit = state.rows().map(|row| row.take_credit()).sum();
            state.refund(&self.machine, credit);
            state.set_leaving(false);
        }
        state.wake(&self.machine);
        Ok(())
    }
}
