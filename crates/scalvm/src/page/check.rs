//! Whether descriptors, lists, caches and counters agree: for tests.

use super::{Frames, Page, State};
use crate::kmem::Ptr;
use crate::machine::Machine;

impl Frames {
    /// Calls `f` for every descriptor.
    pub fn for_each(&self, f: impl FnMut(Ptr<Page>)) {
        self.segments.for_each(f);
    }

    /// Panics where something does not add up. Nobody may be allocating or freeing meanwhile.
    pub fn check_invariants<M: Machine>(&self, machine: &M) {
        for cache in &self.caches {
            let held = cache.lock(machine);
            cache.check_invariants(&held);
        }
        let held = self.buddy.lock(machine);
        self.buddy.check_invariants(&self.segments, &held);
        drop(held);

        let mut counts = [0; State::COUNT];
        for segment in self.segments.ready() {
            let mut tails = 0;
            for page in segment.pages() {
                let (frame, state) = (page.frame(), page.state());
                if tails != 0 {
                    assert_eq!(state, State::Tail, "{frame:?} inside a block");
                    tails -= 1;
                    continue;
                }
                assert_ne!(state, State::Tail, "{frame:?} outside of all blocks");
                if !state.in_use() {
                    assert!(
                        page.is_idle(),
                        "{frame:?} is free, but in use: {:?}",
                        page.use_of()
                    );
                }
                tails = (1u64 << page.order()) - 1;
                counts[state as usize] += tails + 1;
            }
            assert_eq!(tails, 0, "a block leaves its segment");
        }

        let count = |state| counts[state as usize];
        assert_eq!(
            count(State::Free),
            self.buddy.free_count(),
            "frames in the free lists"
        );
        assert_eq!(
            count(State::Free) + count(State::Cached),
            self.free_count(),
            "free frames"
        );
        for state in [
            State::Anon,
            State::File,
            State::Kernel,
            State::Slab,
            State::Table,
            State::Zero,
            State::Rest,
        ] {
            assert_eq!(count(state), self.count(state), "frames in state {state:?}");
        }
        assert_eq!(counts.iter().sum::<u64>(), self.total(), "all frames");
    }
}
