//! Who has memory of a type, by where it was allocated.

use core::panic::Location;

use super::watch::Watch;
use crate::kmem::{Heap, Leak, Ptr};
use crate::machine::Machine;
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Tells of the pieces in use of the type with this number, by size class and place.
    ///
    /// There is no memory to sort them in, so all are looked through once for each pair of these.
    pub(in crate::kmem) fn each_site(
        &self,
        watch: Ptr<Watch>,
        number: usize,
        report: &mut dyn FnMut(Leak),
    ) {
        let mut last: Option<(usize, &'static Location<'static>)> = None;
        loop {
            let held = watch.lock(&self.machine);
            let mut next: Option<((usize, &'static Location<'static>), Leak)> = None;
            for record in watch.records(&held) {
                let key = (record.piece.bucket, record.allocated);
                let ours = record.number.get() == number && record.is_in_use();
                if !ours || last.is_some_and(|last| key <= last) {
                    continue;
                }
                let (pieces, bytes) = match next {
                    Some((least, _)) if least < key => continue,
                    Some((least, leak)) if least == key => (leak.pieces, leak.bytes),
                    _ => (0, 0),
                };
                let leak = Leak {
                    size: Heap::bucket_size(record.piece.bucket),
                    pieces: pieces + 1,
                    bytes: bytes + record.piece.bytes as u64,
                    site: Some(record.allocated),
                };
                next = Some((key, leak));
            }
            drop(held);
            let Some((key, leak)) = next else {
                return;
            };
            report(leak);
            last = Some(key);
        }
    }

    /// The pieces of one type become those of another, by their numbers.
    pub(in crate::kmem) fn renumber(&self, watch: Ptr<Watch>, from: usize, to: usize) {
        let held = watch.lock(&self.machine);
        let records = watch.records(&held);
        let ours = records.filter(|it| it.is_in_use() && it.number.get() == from);
        ours.for_each(|record| record.number.set(to));
    }
}
