//! Giving back what is free: under pressure, and before an allocation fails.

use super::chain::Chain;
use super::raw::RawPool;
use crate::error::OutOfMemory;
use crate::machine::Machine;
use crate::page::Frames;

/// How much a pool gives back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reclaim {
    /// Magazines in the depot that have not been needed since it was last asked, and empty slabs.
    Idle,
    /// All that is free, on other processors too.
    All,
}

impl RawPool {
    /// Gives frames back that are free but for the reserve; tells how many. What is free in magazines
    /// goes to its slabs first, as `how` says.
    pub fn reclaim<M: Machine>(&self, machine: &M, frames: &Frames, how: Reclaim) -> u64 {
        if self.slabs.slabs() == 0 {
            return 0;
        }
        // SAFETY: slots that are free go back to the slabs that they came from.
        self.release(machine, frames, how, |chain| unsafe {
            self.give(machine, frames, chain);
        })
    }

    /// The same, where `give` gives the slots of a chain back to the slabs.
    pub(super) fn release<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        how: Reclaim,
        mut give: impl FnMut(Chain),
    ) -> u64 {
        let before = self.slabs.frames();
        let mut most = u32::MAX;
        match how {
            Reclaim::Idle => most = self.depot.begin(&self.slabs.lock(machine)),
            Reclaim::All => self.each_magazine(machine, frames, &mut give),
        }
        for _ in 0..most {
            let chain = self.depot.take(&self.slabs.lock(machine));
            match chain {
                Some(chain) => give(chain),
                None => break,
            }
        }
        let slabs = self.slabs.lock(machine);
        self.slabs.trim(machine, frames, 0, &slabs);
        before.saturating_sub(self.slabs.frames())
    }

    /// Gives back what the processors have at hand, and the depot, to the slabs.
    pub(super) fn empty_magazines<M: Machine>(&self, machine: &M, frames: &Frames) {
        // SAFETY: as in `reclaim`.
        let mut give = |chain| unsafe { self.give(machine, frames, chain) };
        self.each_magazine(machine, frames, &mut give);
        while let Some(chain) = {
            let slabs = self.slabs.lock(machine);
            self.depot.take(&slabs)
        } {
            give(chain);
        }
    }

    /// Takes away what each processor has at hand: `give` is called for all but raw slots, which go to
    /// their slabs.
    fn each_magazine<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        give: &mut impl FnMut(Chain),
    ) {
        for magazine in self.magazines.iter().filter(|it| it.count() != 0) {
            let held = magazine.steal(machine);
            let chains = [magazine.unload(&held), magazine.take_previous(&held)];
            let raw = magazine.take_raw(&held);
            drop(held);
            if raw.count != 0 {
                // SAFETY: as in `reclaim`.
                unsafe { self.give(machine, frames, raw) };
            }
            chains
                .into_iter()
                .filter(|it| it.count != 0)
                .for_each(&mut *give);
        }
    }

    /// Gives slots back to their slabs.
    ///
    /// # Safety
    ///
    /// As for [`Slabs::give`](super::slabs::Slabs::give).
    pub(super) unsafe fn give<M: Machine>(&self, machine: &M, frames: &Frames, chain: Chain) {
        let slabs = self.slabs.lock(machine);
        // SAFETY: the caller's word.
        unsafe { self.slabs.give(machine, frames, chain, &slabs) };
    }

    /// Makes sure that so many slots can be in use at once, from now on and whatever else needs
    /// memory; zero ends that.
    pub fn set_reserve<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        slots: u32,
    ) -> Result<(), OutOfMemory> {
        let slabs = self.slabs.lock(machine);
        self.slabs.set_reserve(machine, frames, slots, &slabs)
    }

    /// Waits until every processor is out of its magazine that may be in there. After a heavy fence.
    pub fn wait_out<M: Machine>(&self, machine: &M) {
        let used = self.magazines.iter().filter(|it| !it.is_untouched());
        used.for_each(|magazine| magazine.wait_out(machine));
    }

    /// Slots in use. Exact while nobody allocates or frees.
    pub fn in_use(&self) -> u64 {
        self.slabs.used().saturating_sub(self.at_hand())
    }

    /// Slots in magazines and the depot.
    pub fn at_hand(&self) -> u64 {
        let magazines = self.magazines.iter();
        let slots: u64 = magazines.map(|magazine| u64::from(magazine.count())).sum();
        slots + self.depot.slots()
    }

    /// Slots that are at hand, and not constructed.
    pub fn raw(&self) -> u64 {
        let magazines = self.magazines.iter();
        magazines.map(|it| u64::from(it.raw_count())).sum()
    }

    /// Panics where the pool contradicts itself. Locks everything in turn.
    pub fn check_invariants<M: Machine>(&self, machine: &M, frames: &Frames) {
        let link = self.slabs.link();
        // Those of processors that never were need no lock.
        for magazine in self.magazines.iter().filter(|it| !it.is_untouched()) {
            let held = magazine.steal(machine);
            magazine.check_invariants(link, &held);
        }
        let held = self.slabs.lock(machine);
        self.depot.check_invariants(link, &held);
        self.slabs.check_invariants(frames, &held);
        assert!(self.at_hand() <= self.slabs.used(), "slots at hand");
    }
}
