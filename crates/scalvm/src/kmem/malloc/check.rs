//! What types say is in use, compared with what the heap has given out.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::PAGE_SIZE;
use crate::kmem::Heap;
use crate::machine::Machine;
use crate::page::State;
use crate::vm::Vm;

/// The bucket of whatever is larger than all classes.
const LAST: usize = Heap::BUCKETS - 1;

impl<M: Machine> Vm<M> {
    /// Panics where the accounts of types do not add up to what is out (N1). Nothing else may run
    /// meanwhile.
    pub(crate) fn check_accounts(&self) {
        self.types.check_invariants(&self.machine, &self.frames);
        self.check_debug();
        let mut pieces = [0; Heap::BUCKETS];
        let mut large = 0;
        for (_, attached) in self.types.known() {
            let (sums, held) = (attached.state.sums(), attached.state.held());
            large += sums.bytes(LAST, held);
            (0..LAST).for_each(|bucket| pieces[bucket] += sums.pieces(bucket));
        }
        self.each_quarantined(&mut |piece| {
            pieces[piece.bucket] += 1;
            if piece.bucket == LAST {
                large += piece.bytes as u64;
            }
        });
        for (bucket, pool) in self.heap.pools().iter().enumerate() {
            let size = Heap::bucket_size(bucket);
            let known = pieces[bucket];
            assert_eq!(known, pool.in_use(), "N1: pieces of {size} bytes");
        }
        let mut frames = 0;
        self.frames.for_each(|page| {
            if page.state() == State::Kernel {
                frames += u64::from(page.mapped.load(Relaxed));
            }
        });
        assert_eq!(large, frames * PAGE_SIZE as u64, "N1: bytes in runs");
    }
}
