//! Allocating and freeing in debug mode.

use core::alloc::Layout;
use core::panic::Location;
use core::ptr::NonNull;

use super::quarantine::LEAST;
use super::record::Record;
use super::watch::Watch;
use super::{Complaint, DebugOptions, Wrong, zones};
use crate::kmem::Heap;
use crate::kmem::types::Attached;
use crate::kmem::{MallocError, MallocFlags, MallocType, Ptr, TypeError};
use crate::machine::Machine;
use crate::sync::Field;
use crate::vm::Vm;

type Site = &'static Location<'static>;

impl<M: Machine> Vm<M> {
    /// Turns debug mode on, for as long as the manager lives: for a kernel to do when it starts, or
    /// never. [`TypeError::InUse`] if memory was allocated by type before, or the mode is on already;
    /// [`TypeError::OutOfMemory`] if there is none for its table. Does not block.
    ///
    /// Memory that another thread allocates meanwhile is not known to it.
    pub fn set_debug(&self, options: DebugOptions) -> Result<(), TypeError> {
        if self.debug.watch().is_some() || self.types.were_used() {
            return Err(TypeError::InUse);
        }
        let (machine, frames) = (&self.machine, &self.frames);
        let watch = Watch::new(machine, frames, options).ok_or(TypeError::OutOfMemory)?;
        let watch = self.debug.watches.try_alloc(machine, frames, watch);
        let watch = watch.map_err(|watch| {
            watch.release(machine, frames);
            TypeError::OutOfMemory
        })?;
        self.types.unhook_all(machine);
        self.debug.watch.set(Some(watch));
        Ok(())
    }

    /// Memory of a type, watched.
    pub(in crate::kmem) fn watched_malloc(
        &self,
        watch: Ptr<Watch>,
        attached: Attached,
        layout: Layout,
        flags: MallocFlags,
        site: Site,
    ) -> Result<NonNull<u8>, MallocError> {
        let (machine, frames) = (&self.machine, &self.frames);
        let (wide, front) =
            zones::widen(layout, watch.options.red_zones).ok_or(MallocError::TooLarge)?;
        let Some(piece) = Heap::piece_for(wide) else {
            return self.malloc_mapped(attached, layout, flags);
        };
        let base = match self.take_piece(attached, wide, flags) {
            Err(MallocError::OutOfMemory) if self.leave_quarantine(watch, 0, 0, site) => {
                self.take_piece(attached, wide, flags)?
            }
            result => result?,
        };
        let record = Record {
            // SAFETY: `widen` has made room for it.
            memory: unsafe { base.add(front) },
            size: layout.size(),
            align: layout.align(),
            front,
            piece,
            number: Field::new(attached.number),
            allocated: site,
            freed: Field::new(None),
            next: Field::new(None),
            behind: Field::new(None),
        };
        match self.debug.records.try_alloc(machine, frames, record) {
            Ok(record) => {
                zones::paint(&record, &watch.options);
                watch.add(record, &watch.lock(machine));
                Ok(record.memory)
            }
            Err(record) => {
                // SAFETY: it has just come from there.
                unsafe {
                    self.heap
                        .free_piece(machine, frames, record.base(), piece, &());
                }
                attached.state.shared().shared_untaken(piece.bucket);
                attached.state.refund(machine, piece.bytes as u64);
                Err(MallocError::OutOfMemory)
            }
        }
    }

    /// Takes memory back that somebody frees under this type, with this layout if he has told one.
    #[cold]
    pub(in crate::kmem) fn watched_free(
        &self,
        watch: Ptr<Watch>,
        ty: &'static MallocType,
        memory: NonNull<u8>,
        layout: Option<Layout>,
        site: Site,
    ) {
        if self.free_mapped(ty, memory) {
            return;
        }
        let machine = &self.machine;
        let number = self.types.number_freed(ty);
        let held = watch.lock(machine);
        let record = watch.find(memory.addr().get(), &held);
        let Some(record) = record.filter(|record| record.is_in_use()) else {
            let complaint = match record {
                Some(record) => self.complaint(&record, Wrong::FreedTwice, site),
                None => Complaint {
                    wrong: Wrong::NotAllocated,
                    address: memory.addr().get(),
                    size: 0,
                    ty: None,
                    allocated: None,
                    freed: None,
                    noticed: site,
                },
            };
            drop(held);
            return (watch.options.report)(&complaint);
        };
        let right = layout.is_none_or(|it| (it.size(), it.align()) == (record.size, record.align));
        let wrong = [
            (number != record.number.get()).then(|| Wrong::WrongType(ty.short())),
            layout
                .filter(|_| !right)
                .map(|layout| Wrong::WrongSize(layout.size())),
            zones::broken_zone(&record, &watch.options),
        ];
        let complaints = wrong.map(|it| it.map(|wrong| self.complaint(&record, wrong, site)));
        zones::poison(&record, &watch.options);
        let (bucket, bytes) = (record.piece.bucket, record.piece.bytes);
        let state = self.types.state_at(record.number.get());
        record.set_freed(site);
        watch.quarantine.push(record, &held);
        if let Some(state) = state {
            state.shared().shared_given(bucket);
            state.refund(machine, bytes as u64);
        }
        drop(held);
        complaints
            .iter()
            .flatten()
            .for_each(|complaint| (watch.options.report)(complaint));
        self.leave_quarantine(watch, LEAST, watch.options.quarantine, site);
    }

    /// How much was asked for at this address; none, and a complaint, if nothing was.
    pub(in crate::kmem) fn watched_size(
        &self,
        watch: Ptr<Watch>,
        ty: &'static MallocType,
        memory: NonNull<u8>,
        site: Site,
    ) -> Option<usize> {
        if let Some(bytes) = self.mapped_size(memory) {
            return Some(bytes);
        }
        let held = watch.lock(&self.machine);
        let record = watch.find(memory.addr().get(), &held);
        let size = record.filter(|it| it.is_in_use()).map(|it| it.size);
        drop(held);
        if size.is_none() {
            self.watched_free(watch, ty, memory, None, site);
        }
        size
    }

    /// Gives pieces back to the heap, but for the youngest. Tells whether there were some.
    fn leave_quarantine(&self, watch: Ptr<Watch>, least: usize, most: usize, site: Site) -> bool {
        let (machine, frames) = (&self.machine, &self.frames);
        let mut some = false;
        loop {
            let held = watch.lock(machine);
            let Some(record) = watch.quarantine.pop(least, most, &held) else {
                return some;
            };
            watch.remove(record, &held);
            drop(held);
            some = true;
            if let Some(wrong) = zones::broken_poison(&record, &watch.options) {
                (watch.options.report)(&self.complaint(&record, wrong, site));
            }
            // SAFETY: it came from there, and has left quarantine: nobody else knows it.
            unsafe {
                self.heap
                    .free_piece(machine, frames, record.base(), record.piece, &());
            }
            self.debug.records.free(machine, frames, record);
        }
    }

    fn complaint(&self, record: &Record, wrong: Wrong, site: Site) -> Complaint {
        let state = self.types.state_at(record.number.get());
        Complaint {
            wrong,
            address: record.memory.addr().get(),
            size: record.size,
            ty: state.and_then(|state| state.ty()).map(MallocType::short),
            allocated: Some(record.allocated),
            freed: record.freed_at(),
            noticed: site,
        }
    }
}
