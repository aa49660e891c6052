//! Write protection of watched pages.

use crate::addr::PAGE_SIZE;
use crate::error::MapError;
use crate::machine::Machine;
use crate::map::unmap::Spares;
use crate::map::watch::WatchEvents;
use crate::map::{Attributes, Map, MapWrite};
use crate::vm::Vm;

impl<'v, M: Machine> Map<'v, M> {
    /// Has each write of a range told to its watcher, or no more. All that is mapped in the range must
    /// be watched for that ([`MapError::NotWatchable`]), and something must be. Pages that do not exist
    /// yet are protected as well. Who waits for a page that is no more protected must be woken.
    pub fn write_protect(&self, start: usize, len: usize, on: bool) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        let map = self.body.write(self.vm);
        let mut some = false;
        for entry in map.entries_in(start, end) {
            some = true;
            if !entry.attributes().watches(WatchEvents::WRITE_PROTECT) {
                return Err(MapError::NotWatchable);
            }
        }
        if !some {
            return Err(MapError::NotMapped);
        }
        map.rewatch(self.vm, start, end, |old| Attributes {
            write_protected: on,
            ..old
        })
    }
}

impl<M: Machine> MapWrite<'_, M> {
    /// Says of one page that is there whether it is protected. It is watched for that if it is; what its
    /// entry needs to be split has been set aside.
    pub(crate) fn mark_page(&self, vm: &Vm<M>, va: usize, protected: bool, spares: Spares<M>) {
        self.change_page(vm, va, spares, |old| Attributes {
            write_protected: protected,
            ..old.fresh()
        });
    }

    /// Changes what is said of one page.
    pub(super) fn change_page(
        &self,
        vm: &Vm<M>,
        va: usize,
        spares: Spares<M>,
        new: impl Fn(Attributes) -> Attributes,
    ) {
        self.clip(vm, va, va + PAGE_SIZE, spares);
        if let Some(entry) = self.map.tree.find(va) {
            let old = entry.attributes();
            let new = new(old);
            self.set_attributes(entry, new);
            vm.lower(self, entry, old.allowed(), new.allowed());
        }
        self.join_range(vm, va, va + PAGE_SIZE);
    }
}
