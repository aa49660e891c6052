//! Which free segment an allocation is made from.

use super::constraints::Within;
use super::{Body, Fit, Kind, Tag};
use crate::kmem::Ptr;

impl Body {
    /// A free segment with a place for so many numbers, and the place. The arena's lock is held.
    pub(super) fn choose(
        &self,
        size: u64,
        within: Option<&Within>,
        fit: Fit,
    ) -> Option<(Ptr<Tag>, u64)> {
        match fit {
            Fit::Instant => self
                .instant(size, within)
                .or_else(|| self.search(size, within, false)),
            Fit::Best => self.search(size, within, true),
            Fit::Next => self.next(size, within),
        }
    }

    /// The first segment of a list in which all are large enough.
    fn instant(&self, size: u64, within: Option<&Within>) -> Option<(Ptr<Tag>, u64)> {
        let Some(within) = within else {
            let segment = self.lists.surely(size)?;
            return Some((segment, segment.start.get()));
        };
        if !within.is_alignment() {
            return None;
        }
        let segment = self.lists.surely(within.generous(size, self.quantum)?)?;
        Some((segment, place(segment, size, Some(within), 0)?))
    }

    /// Looks at the segments one by one, the smallest lists first: for the smallest that will do, or
    /// for any.
    fn search(&self, size: u64, within: Option<&Within>, best: bool) -> Option<(Ptr<Tag>, u64)> {
        for n in self.lists.from(size) {
            let mut found: Option<(Ptr<Tag>, u64)> = None;
            for segment in self.lists.list(n) {
                if found.is_some_and(|(other, _)| other.size.get() <= segment.size.get()) {
                    continue;
                }
                if let Some(at) = place(segment, size, within, 0) {
                    found = Some((segment, at));
                    if !best {
                        break;
                    }
                }
            }
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// The first place behind the rotor, all around.
    fn next(&self, size: u64, within: Option<&Within>) -> Option<(Ptr<Tag>, u64)> {
        let fits = |segment: Ptr<Tag>, from: u64| {
            if segment.kind() != Kind::Free {
                return None;
            }
            Some((segment, place(segment, size, within, from)?))
        };
        let Some(rotor) = self.rotor.get() else {
            return self.tags().find_map(|tag| fits(tag, 0));
        };
        let behind = self.rotor_last.get().checked_add(1);
        if let Some(found) = behind.and_then(|from| fits(rotor, from)) {
            return Some(found);
        }
        let mut at = rotor;
        loop {
            at = at.next.get().or(self.first.get())?;
            let found = fits(at, 0);
            if found.is_some() || at == rotor {
                return found;
            }
        }
    }
}

/// The lowest place in a free segment, from `from` on.
fn place(segment: Ptr<Tag>, size: u64, within: Option<&Within>, from: u64) -> Option<u64> {
    let (start, last) = (segment.start.get(), segment.last());
    match within {
        Some(within) => within.place(size, start, last, from),
        None => {
            let at = start.max(from);
            (at <= last && last - at >= size - 1).then_some(at)
        }
    }
}
