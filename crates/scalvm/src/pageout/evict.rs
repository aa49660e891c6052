//! Eviction: a page leaves memory.
//!
//! An anonymous page, step by step (the states are those at the head of `anon.rs`):
//!
//! 1. it is marked busy: from now on who finds it waits;
//! 2. every object that has its anon is visited, one after the other, and the page unmapped there.
//!    Whoever had found the page plain just before has by now let go of that object, so all that it
//!    entered is found;
//! 3. if somebody else holds the page, or it is wired, it stays; of a wired page the policies need not
//!    know (R1);
//! 4. its contents are stored, unless a copy is still good: by the compressor at once, else by the
//!    swap pager, together with others ([`Batch`]);
//! 5. the anon is cut from it, and the frame is free.
//!
//! A page of a vnode object has one holder, whose lock is kept all the while. If it is dirty it is
//! written first, and leaves when it is looked at next.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::anon::{Cut, Stored};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::ObjectBody;
use crate::page::{BUSY, DIRTY, Page, WRITING};
use crate::pageout::batch::Batch;
use crate::pageout::claim::Claim;
use crate::pager::{Backing, Put};
use crate::rmap::Unmapped;
use crate::stats::Event;
use crate::vm::Vm;

/// What became of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Evicted {
    /// It is gone.
    Freed,
    /// It is being written, and will then be gone, or clean.
    Writing,
    /// It stays: it is held or busy, or shared with somebody who has it wired.
    Kept,
    /// It stays: it is wired.
    Wired,
    /// It stays, since no store has room for it.
    Refused,
}

impl<M: Machine> Vm<M> {
    /// Evicts a page. The claim is given up, or goes into the batch.
    pub(crate) fn evict(&self, claim: Claim<M>, batch: &mut Batch<M>) -> Evicted {
        if claim.file {
            let evicted = self.evict_file(&claim);
            self.unclaim(claim);
            evicted
        } else {
            self.evict_anonymous(claim, batch)
        }
    }

    fn evict_anonymous(&self, claim: Claim<M>, batch: &mut Batch<M>) -> Evicted {
        let (page, anon) = (claim.page, claim.anon);
        if !page.try_busy() {
            self.unclaim(claim);
            return Evicted::Kept;
        }
        let mut unmapped = Unmapped::Done;
        self.visit(claim.family, anon, claim.index, |guard| {
            unmapped = self.unmap_to_leave(guard, claim.index);
            unmapped == Unmapped::Done
        });
        if unmapped == Unmapped::Wired && anon.refs() == 1 {
            self.keep(claim);
            return Evicted::Wired;
        }
        // It is still mapped where a part of an object has just been moved to another, which was not
        // visited.
        let may_leave = unmapped == Unmapped::Done && page.mapped.load(Relaxed) == 0;
        if !may_leave || !self.only_claimed(page) {
            self.keep(claim);
            return Evicted::Kept;
        }
        let mut incompressible = false;
        let cut = self.cut(page, anon, || {
            let backing = anon.backing();
            if backing != Backing::None {
                if page.test_flags(DIRTY) == 0 {
                    if backing == Backing::Zeros {
                        self.count(Event::GivenUpGone);
                    }
                    return Some(Stored::Before);
                }
                self.release_backing(anon);
            }
            match self.compressor.put(self, page, anon) {
                Put::Stored(handle) => Some(Stored::Anew(Backing::Compressed(handle))),
                Put::Incompressible => {
                    incompressible = true;
                    None
                }
                Put::Full => {
                    batch.compressor_is_full |= self.compressor.is_on();
                    None
                }
            }
        });
        match cut {
            Cut::Done | Cut::Gone => {
                self.unbusy(page);
                self.unclaim(claim);
                Evicted::Freed
            }
            Cut::Refused => match batch.add(self, claim) {
                // It alone has no place, others may have one.
                Evicted::Refused if incompressible => Evicted::Kept,
                added => added,
            },
        }
    }

    /// Whether nobody holds a page but its anon and the claim. An anon that has ended holds nothing.
    /// What those wrote who have let go is seen from here on.
    fn only_claimed(&self, page: Ptr<Page>) -> bool {
        page.holds().load(Acquire) <= 2
    }

    /// Lets a page stay that was about to leave.
    pub(super) fn keep(&self, claim: Claim<M>) {
        self.unbusy(claim.page);
        self.unclaim(claim);
    }

    /// A page that was busy is so no more.
    pub(crate) fn unbusy(&self, page: Ptr<Page>) {
        page.clear_flags(BUSY);
        self.wake(&page);
    }

    fn evict_file(&self, claim: &Claim<M>) -> Evicted {
        let page = claim.page;
        let mut evicted = Evicted::Kept;
        let mut dirty: Option<Ptr<ObjectBody<M>>> = None;
        self.visit(claim.family, claim.anon, claim.index, |guard| {
            let object = guard.object();
            if page.test_flags(BUSY | WRITING) != 0 {
                return false;
            }
            let unmapped = self.unmap_to_leave(guard, claim.index);
            if unmapped == Unmapped::Wired {
                evicted = Evicted::Wired;
            }
            if unmapped != Unmapped::Done || !self.only_claimed(page) {
                return false;
            }
            if page.test_flags(DIRTY) == 0 {
                self.drop_page(object, claim.index);
                evicted = Evicted::Freed;
            } else {
                object.retain();
                dirty = Some(object);
            }
            false
        });
        if let Some(object) = dirty {
            self.clean_cluster(object, claim.index);
            evicted = Evicted::Writing;
            self.release_object(object);
        }
        evicted
    }
}
