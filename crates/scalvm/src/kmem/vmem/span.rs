//! Spans: how they come into an arena, and how imported ones leave it. What has no guard among its
//! arguments is done with the arena's lock held.

use super::body::FOR_ALLOC;
use super::constraints::Within;
use super::{ArenaError, Body, Kind, Tag};
use crate::error::OutOfMemory;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::sync::SpinGuard;
use crate::vm::Vm;

/// Tags that a new span needs: its own, and that of its segment.
const FOR_SPAN: usize = 2;

/// A range that has left the arena, to be given back to its source when no lock is held.
#[must_use]
pub(crate) struct Released {
    pub start: u64,
    pub size: u64,
}

/// Tags for a span that is about to be imported, and for an allocation from it.
pub(crate) struct Spares([Ptr<Tag>; FOR_SPAN + FOR_ALLOC]);

impl Spares {
    /// Takes them from the pool; no lock is held.
    pub fn new<M: Machine>(vm: &Vm<M>) -> Result<Spares, OutOfMemory> {
        let mut tags = [None; FOR_SPAN + FOR_ALLOC];
        for n in 0..tags.len() {
            match vm.arenas.tags.alloc(&vm.machine, &vm.frames, Tag::new()) {
                Ok(tag) => tags[n] = Some(tag),
                Err(error) => {
                    for tag in tags.into_iter().flatten() {
                        vm.arenas.tags.free(&vm.machine, &vm.frames, tag);
                    }
                    return Err(error);
                }
            }
        }
        match tags {
            [Some(a), Some(b), Some(c), Some(d)] => Ok(Spares([a, b, c, d])),
            _ => Err(OutOfMemory),
        }
    }

    /// Gives them back, unused.
    pub fn free<M: Machine>(self, vm: &Vm<M>) {
        for tag in self.0 {
            vm.arenas.tags.free(&vm.machine, &vm.frames, tag);
        }
    }
}

impl Body {
    /// Looks whether a free segment is a whole imported span: one such is kept (V6), so that an arena
    /// that is used again and again does not import again and again.
    pub(super) fn settle(&self, segment: Ptr<Tag>) -> Option<Released> {
        let span = segment.prev.get()?;
        if span.kind() != Kind::Imported || span.size.get() != segment.size.get() {
            return None;
        }
        if self.idle.get().is_none() {
            self.idle.set(Some(span));
            return None;
        }
        Some(self.release(span, segment))
    }

    /// Takes a span out that is one free segment.
    fn release(&self, span: Ptr<Tag>, segment: Ptr<Tag>) -> Released {
        let (start, size) = (span.start.get(), span.size.get());
        self.lists.remove(segment);
        if self.rotor.get() == Some(segment) {
            self.rotor.set(None);
        }
        self.unlink(segment);
        let (link, back) = (span.link.get(), span.back.get());
        match back {
            Some(back) => back.link.set(link),
            None => self.span_list.set(link),
        }
        if let Some(link) = link {
            link.back.set(back);
        }
        self.unlink(span);
        self.total.set(self.total.get() - size);
        self.spans.set(self.spans.get() - 1);
        self.releases.set(self.releases.get() + 1);
        Released { start, size }
    }

    /// Takes the imported span out that is free as a whole, if there is one.
    pub fn release_idle<M: Machine>(
        &self,
        vm: &Vm<M>,
        _held: &SpinGuard<'_, M>,
    ) -> Option<Released> {
        let span = self.idle.get()?;
        self.idle.set(None);
        let released = span.next.get().map(|segment| self.release(span, segment));
        self.trim_spares(vm);
        released
    }

    /// Whether a range may be a span.
    fn check_span(&self, start: u64, size: u64) -> Result<(), ArenaError> {
        let last = (size != 0)
            .then(|| start.checked_add(size - 1))
            .flatten()
            .ok_or(ArenaError::BadRange)?;
        let whole = start.is_multiple_of(self.quantum) && size.is_multiple_of(self.quantum);
        let fits = self.total.get().checked_add(size).is_some();
        let overlaps = |span: Ptr<Tag>| span.start.get() <= last && start <= span.last();
        if !whole || !fits || self.span_tags().any(overlaps) {
            return Err(ArenaError::BadRange);
        }
        Ok(())
    }

    /// Adds a range as a span. Two tags are spare.
    fn add(&self, kind: Kind, start: u64, size: u64) -> Ptr<Tag> {
        let (span, segment) = (self.take_spare(), self.take_spare());
        span.describe(kind, start, size);
        segment.describe(Kind::Free, start, size);
        self.link_after(self.last.get(), span);
        self.link_after(Some(span), segment);
        self.lists.insert(segment);
        let head = self.span_list.get();
        span.link.set(head);
        span.back.set(None);
        if let Some(head) = head {
            head.back.set(Some(span));
        }
        self.span_list.set(Some(span));
        self.total.set(self.total.get() + size);
        self.spans.set(self.spans.get() + 1);
        segment
    }

    /// All spans, in no order.
    pub(super) fn span_tags(&self) -> impl Iterator<Item = Ptr<Tag>> {
        let mut next = self.span_list.get();
        core::iter::from_fn(move || {
            let span = next?;
            next = span.link.get();
            Some(span)
        })
    }

    /// Adds a range for good.
    pub fn add_span<M: Machine>(
        &self,
        vm: &Vm<M>,
        start: u64,
        size: u64,
    ) -> Result<(), ArenaError> {
        let _held = self.lock(vm);
        self.check_span(start, size)?;
        self.reserve(vm, FOR_SPAN)?;
        self.add(Kind::Span, start, size);
        self.trim_spares(vm);
        Ok(())
    }

    /// Adds a range that the source gave, and takes a segment of it at once, so that nobody else can
    /// have it first. Refuses a range that cannot be a span, or in which there is no place.
    pub(super) fn import<M: Machine>(
        &self,
        vm: &Vm<M>,
        (start, span): (u64, u64),
        size: u64,
        within: Option<&Within>,
        spares: Spares,
        _held: &SpinGuard<'_, M>,
    ) -> Result<Ptr<Tag>, ArenaError> {
        spares.0.into_iter().for_each(|tag| self.put_spare(tag));
        let result = self.check_span(start, span).and_then(|()| {
            let last = start + (span - 1);
            let at = match within {
                Some(within) => within.place(size, start, last, 0),
                None => (span >= size).then_some(start),
            };
            let at = at.ok_or(ArenaError::Full)?;
            let segment = self.add(Kind::Imported, start, span);
            self.carve(vm, segment, at, size);
            self.imports.set(self.imports.get() + 1);
            Ok(segment)
        });
        self.trim_spares(vm);
        result
    }
}
