//! The invariants at the head of the module, checked. For tests.

use core::sync::atomic::Ordering::Relaxed;

use super::{Body, Kind, UNCLAIMED};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::vm::Vm;

impl Body {
    /// Panics where an invariant does not hold; tells how many tags and caches the arena has.
    pub(super) fn check<M: Machine>(&self, vm: &Vm<M>) -> (u64, u64) {
        let (cached, _, _) = self.cache_counts(vm);
        let _held = self.lock(vm);
        let (mut spans, mut free, mut taken, mut unclaimed, mut idle) = (0, 0, 0, 0, 0);
        let (mut total, mut in_use) = (0u64, 0u64);
        // The first number that the span's next segment must have, and how many are left of it.
        let (mut at, mut left) = (0u64, 0u64);
        let mut before: Option<Ptr<super::Tag>> = None;
        let mut rotor = self.rotor.get().is_none();
        for tag in self.tags() {
            assert_eq!(tag.prev.get(), before, "V1: links of the row");
            let (kind, size) = (tag.kind(), tag.size.get());
            assert!(size > 0 && size.is_multiple_of(self.quantum), "V1: size");
            if kind.is_span() {
                assert_eq!(left, 0, "V1: a span is tiled to its end");
                (at, left) = (tag.start.get(), size);
                spans += 1;
                total = total.checked_add(size).expect("V5: sum of all spans");
                for other in self.span_tags() {
                    let apart = other.last() < at || other.start.get() > tag.last();
                    assert!(other == tag || apart, "V1: spans are disjoint");
                }
            } else {
                assert_eq!(tag.start.get(), at, "V1: segments in order");
                assert!(size <= left, "V1: within the span");
                left -= size;
                at = at.wrapping_add(size);
            }
            match kind {
                Kind::Free => {
                    free += 1;
                    let joined = before.is_none_or(|before| before.kind() != Kind::Free);
                    assert!(joined, "V2: free neighbours are joined");
                    if let Some(span) = before.filter(|span| span.kind() == Kind::Imported)
                        && span.size.get() == size
                    {
                        idle += 1;
                        assert_eq!(self.idle.get(), Some(span), "V6: the span that is idle");
                    }
                    let listed = self.lists.list(size.ilog2() as usize).any(|t| t == tag);
                    assert!(listed, "V3: a free segment is in the list of its size");
                }
                Kind::Taken => {
                    taken += 1;
                    in_use += size;
                    assert_eq!(self.taken.find(tag.start.get()), Some(tag), "V4");
                    if tag.claim() == UNCLAIMED && tag.start.get() != UNCLAIMED {
                        unclaimed += 1;
                    } else {
                        assert_eq!(tag.claim(), tag.start.get(), "V8: claim of a segment");
                    }
                }
                Kind::Spare => panic!("V1: a spare tag in the row"),
                _ => {}
            }
            assert!(
                kind == Kind::Taken || tag.claim() == UNCLAIMED,
                "V8: only what is taken is claimed"
            );
            if self.rotor.get() == Some(tag) {
                rotor = !kind.is_span() && tag.contains(self.rotor_last.get());
            }
            before = Some(tag);
        }
        assert_eq!(left, 0, "V1: the last span is tiled to its end");
        assert!(rotor, "V7: the rotor");
        assert_eq!(self.lists.check(), free, "V3: free segments");
        self.taken.check();
        assert_eq!(self.taken.count() as u64, taken, "V4: taken segments");
        assert_eq!(self.total.get(), total, "V5: total");
        assert_eq!(self.in_use.get(), in_use, "V5: in use");
        assert_eq!(self.spans.get(), spans, "spans are counted");
        assert_eq!(self.span_tags().count() as u64, spans, "spans are listed");
        assert_eq!(u64::from(self.idle.get().is_some()), idle, "V6: idle spans");
        assert_eq!(unclaimed, cached, "V8: what nobody claims is in a cache");
        let caches = self.magazines.iter();
        let caches = caches
            .filter(|cache| !cache.load(Relaxed).is_null())
            .count();
        (spans + free + taken + self.spare_count(), caches as u64)
    }
}
