//! What programs say about pages: that they leave next, or now.

use core::sync::atomic::Ordering::Relaxed;

use crate::kmem::Ptr;
use crate::machine::{Machine, Rank};
use crate::page::{KNOWN, Page, TOUCHED};
use crate::pageout::batch::Batch;
use crate::pageout::claim::Claim;
use crate::pageout::evict::Evicted;
use crate::pager::MOST;
use crate::stats::Event;
use crate::vm::Vm;

/// Pages that are to leave together.
pub(crate) struct Leaving<M: Machine> {
    claims: [Option<Claim<M>>; MOST],
    len: usize,
}

impl<M: Machine> Leaving<M> {
    pub fn new() -> Leaving<M> {
        Leaving {
            claims: [const { None }; MOST],
            len: 0,
        }
    }

    /// Whether there are as many as may be.
    pub fn is_full(&self) -> bool {
        self.len == MOST
    }

    /// Adds a page of an object, which is locked, if it can be claimed.
    pub fn add(&mut self, vm: &Vm<M>, page: Ptr<Page>) {
        vm.make_known(page);
        if let Ok(claim) = vm.claim(page) {
            self.claims[self.len] = Some(claim);
            self.len += 1;
        }
    }
}

impl<M: Machine> Vm<M> {
    /// Makes sure that the policy of its kind knows a page of an object, which is locked.
    fn make_known(&self, page: Ptr<Page>) {
        if self.pageout.is_on() && page.test_flags(KNOWN) == 0 && page.is_plain() {
            let _policies = self.pageout.lock.lock(&self.machine, Rank::Policy);
            self.admit(page.frame().0 as u32);
        }
    }

    /// A page of an object, which is locked, leaves next unless it is used again.
    pub(crate) fn leaves_next(&self, page: Ptr<Page>) {
        self.make_known(page);
        self.cooled(page);
    }

    /// Has pages leave; none of them stays without a reason: it is used by somebody, wired, or no store has room
    /// for it. Tells how many left. No lock is held. Blocks for I/O.
    pub(crate) fn evict_now(&self, leaving: &mut Leaving<M>) -> u64 {
        if leaving.len == 0 {
            return 0;
        }
        let gone = self.in_turn(|| {
            let mut batch = Batch::new();
            let mut gone = 0;
            for claim in leaving.claims[..leaving.len]
                .iter_mut()
                .filter_map(Option::take)
            {
                gone += u64::from(self.evict_claimed(claim, &mut batch));
            }
            batch.flush(self);
            self.wait_for_writes();
            gone - batch.refused
        });
        leaving.len = 0;
        if gone > 0 {
            self.counters.add(self.machine.cpu(), Event::PagedOut, gone);
            self.progressed();
        }
        gone
    }

    /// Evicts one page, whatever its policy thinks of it. False if it stays.
    fn evict_claimed(&self, claim: Claim<M>, batch: &mut Batch<M>) -> bool {
        let (page, file) = (claim.page, claim.file);
        {
            let _policies = self.pageout.lock.lock(&self.machine, Rank::Policy);
            if page.clear_flags(KNOWN | TOUCHED) & KNOWN != 0 {
                let frame = page.frame().0 as u32;
                self.pageout.policies[usize::from(file)].remove(self.frames.segments(), frame);
            }
        }
        match self.evict(claim, batch) {
            Evicted::Freed => {
                self.count(Event::Evict);
                true
            }
            Evicted::Writing if !file => true,
            Evicted::Wired => {
                self.pageout.some_wired.store(true, Relaxed);
                false
            }
            Evicted::Writing | Evicted::Kept | Evicted::Refused => {
                self.readmit(page);
                false
            }
        }
    }
}
