//! Access in spite of a mapping's rights, as debuggers need it.

use crate::addr::{Access, PAGE_SIZE, Prot, page_floor};
use crate::error::FaultError;
use crate::machine::Machine;
use crate::map::{Attributes, Map};
use crate::object::{HeldPage, Hold, Kind, Readable, Zeros};
use crate::request::Share;

impl<'v, M: Machine> Map<'v, M> {
    /// [`hold`](Map::hold), also where only the greatest rights of the mapping allow the access. A private
    /// mapping that may not be written gets a copy of its own, as ptrace(2) sets breakpoints; its rights do not
    /// change. Shared memory is written only where it may be now. Blocks for I/O.
    pub fn hold_forced(&self, addr: usize, access: Access) -> Result<HeldPage<'v, M>, FaultError> {
        match self.hold(addr, access) {
            Err(FaultError::Protection) => {
                let va = page_floor(addr);
                self.vm
                    .hold_until(|zeros| self.try_force(va, access, zeros))
            }
            result => result,
        }
    }

    fn try_force(&self, va: usize, access: Access, zeros: &mut Zeros) -> Hold<'v, M> {
        let vm = self.vm;
        let map = self.body.read(vm);
        let Some(entry) = map.map.tree.find(va) else {
            return Hold::Failed(FaultError::NoMapping);
        };
        let attributes = entry.attributes();
        if !may_force(&attributes, access) {
            return Hold::Failed(FaultError::Protection);
        }
        let write = access == Access::Write;
        let private = attributes.share == Share::Private;
        let object = entry.object.get();
        if write && private && object.is_none_or(|object| !object.private) {
            drop(map);
            return match self.make_private(va) {
                Ok(()) => Hold::Again,
                Err(error) => error.into(),
            };
        }
        let Some(object) = object else {
            if let Err(error) = vm.may_pass_by(&self.body, entry, va, access, None) {
                return Hold::Failed(error);
            }
            return match vm.zero_page() {
                Ok(zero) => Hold::Got(HeldPage::new(vm, zero, access, None), None),
                Err(error) => error.into(),
            };
        };
        let index = entry.index_of(va);
        let guard = object.lock(vm);
        if let Err(error) = vm.may_pass_by(&self.body, entry, va, access, Some(&guard)) {
            return Hold::Failed(error);
        }
        if !object.under.unwrap_or(object).has_page(index) {
            return Hold::Failed(FaultError::BeyondEnd);
        }
        if let Kind::Device(..) = object.kind {
            return Hold::Failed(FaultError::Protection);
        }
        let found = if write {
            vm.page_to_write(&guard, index, zeros).map(|found| {
                // What is mapped, without the right to write, may be the page that was just copied.
                vm.unmap_range(self.body, va..va + PAGE_SIZE);
                if let Some(old) = found.old {
                    vm.release_anon(old);
                }
                found.found.page
            })
        } else {
            match vm.page_to_read(&guard, index, zeros) {
                Ok(Readable::Page(found)) => Ok(found.page),
                Ok(Readable::Zeros) => vm.zero_page().map_err(Into::into),
                Err(miss) => Err(miss),
            }
        };
        vm.hold_found(&guard, index, access, attributes.advice, found)
    }
}

/// Whether an access that the rights forbid may be forced.
fn may_force(attributes: &Attributes, access: Access) -> bool {
    attributes.max_prot.contains(access.needs())
        && (access != Access::Write
            || attributes.share == Share::Private
            || attributes.prot.contains(Prot::WRITE))
}
