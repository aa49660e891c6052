//! Pages that go to swap together.
//!
//! Those of a batch are sorted by family and index before they get their slots, so that neighbours in
//! memory are neighbours on the disk, and can be read together again; and each run of slots is one
//! request, whatever the pages are.

use crate::addr::Frame;
use crate::machine::Machine;
use crate::page::LONE;
use crate::pageout::claim::Claim;
use crate::pageout::evict::Evicted;
use crate::pager::{MOST, Slot};
use crate::stats::Event;
use crate::vm::Vm;

/// Pages that are busy, unmapped, and to be written.
pub(crate) struct Batch<M: Machine> {
    claims: [Option<Claim<M>>; MOST],
    len: usize,
    /// Pages for which there was no slot after all.
    pub refused: u64,
    /// Whether the compressor has refused a page for lack of room.
    pub compressor_is_full: bool,
}

impl<M: Machine> Batch<M> {
    pub fn new() -> Batch<M> {
        Batch {
            claims: [const { None }; MOST],
            len: 0,
            refused: 0,
            compressor_is_full: false,
        }
    }

    /// Adds a page; writes all when there are as many as a request can have, or a page that must be
    /// written alone.
    pub(super) fn add(&mut self, vm: &Vm<M>, claim: Claim<M>) -> Evicted {
        if vm.swap.is_full() {
            vm.keep(claim);
            return Evicted::Refused;
        }
        let alone = claim.page.test_flags(LONE) != 0;
        if alone {
            self.flush(vm);
        }
        self.claims[self.len] = Some(claim);
        self.len += 1;
        if alone || self.len == MOST {
            self.flush(vm);
        }
        Evicted::Writing
    }

    /// Writes what is in the batch.
    pub fn flush(&mut self, vm: &Vm<M>) {
        let claims = &mut self.claims[..self.len];
        claims.sort_unstable_by_key(|claim| {
            claim
                .as_ref()
                .map(|claim| (claim.family.as_ptr().addr(), claim.index))
        });
        let mut from = 0;
        while from < self.len {
            match vm.swap.alloc(&vm.machine, self.len - from) {
                Some((slot, count)) => {
                    Self::write(vm, &mut self.claims[from..from + count], slot);
                    from += count;
                }
                None => {
                    for claim in self.claims[from..self.len]
                        .iter_mut()
                        .filter_map(Option::take)
                    {
                        self.refused += 1;
                        vm.readmit(claim.page);
                        vm.keep(claim);
                    }
                    break;
                }
            }
        }
        self.len = 0;
    }

    /// Writes pages to a run of slots. What the claims held of the pages is the request's now.
    fn write(vm: &Vm<M>, claims: &mut [Option<Claim<M>>], first: Slot) {
        let mut frames = [Frame::NONE; MOST];
        let mut count = 0;
        for claim in claims.iter_mut().filter_map(Option::take) {
            frames[count] = claim.page.frame();
            count += 1;
            vm.unpin_family(claim.family);
        }
        vm.counters
            .add(vm.machine.cpu(), Event::SwapOut, count as u64);
        vm.put_to_swap(first, frames, count);
    }
}
