//! The invariants of debug mode, checked.

use super::record::Record;
use crate::kmem::{Heap, Piece, Ptr};
use crate::machine::{MAX_CPUS, Machine};
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Tells of the pieces in quarantine.
    pub(in crate::kmem) fn each_quarantined(&self, f: &mut dyn FnMut(Piece)) {
        if let Some(watch) = self.debug.watch() {
            let held = watch.lock(&self.machine);
            let records = watch.records(&held).filter(|it| !it.is_in_use());
            records.for_each(|record| f(record.piece));
        }
    }

    /// Panics where debug mode contradicts itself (D1 to D4). Nothing else may run meanwhile.
    pub(in crate::kmem) fn check_debug(&self) {
        let debug = &self.debug;
        debug.watches.check_invariants(&self.machine, &self.frames);
        debug.records.check_invariants(&self.machine, &self.frames);
        let Some(watch) = debug.watch() else {
            return assert_eq!(debug.records.in_use(), 0, "D1");
        };
        let held = watch.lock(&self.machine);
        let (mut count, mut bytes, mut all) = (0, 0, 0);
        for record in watch.records(&held) {
            all += 1;
            let found = watch.find(record.memory.addr().get(), &held);
            assert_eq!(found, Some(record), "D1: {:?}", record.memory);
            let piece = self.heap.piece_at(&self.frames, record.base().addr().get());
            assert_eq!(piece, Some(record.piece), "D1: {:?}", record.memory);
            if !record.is_in_use() {
                count += 1;
                bytes += record.piece.bytes;
            }
        }
        assert_eq!(all, debug.records.in_use(), "D1: records in chains");
        assert_eq!(watch.quarantine.size(), (count, bytes), "D2");
        for (ty, attached) in self.types.known() {
            let (state, number) = (attached.state, attached.number);
            let ours = |bucket| {
                let here = |it: &Ptr<Record>| {
                    it.is_in_use() && it.number.get() == number && it.piece.bucket == bucket
                };
                watch.records(&held).filter(here).count() as u64
            };
            let sums = state.sums();
            for bucket in 0..Heap::BUCKETS {
                let (ours, all) = (ours(bucket), sums.pieces(bucket));
                let from_map = bucket == Heap::BUCKETS - 1 && ours < all;
                assert!(ours == all || from_map, "D3: {ours} of {all} of {ty:?}");
            }
            let row = (0..MAX_CPUS).find_map(|cpu| self.types.row(cpu, number));
            assert!(row.is_none(), "D4: a row of {ty:?}");
        }
    }
}
