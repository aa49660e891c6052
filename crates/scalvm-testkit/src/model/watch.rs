//! Ranges that somebody watches: what exists in them, and what a watcher does.

use scalvm::{Inherit, MapError, PAGE_SIZE, Prot, Share, Watch, WatchEvents};

use super::area::{Area, Attributes};
use super::bytes::Bytes;
use super::object::Kind;
use super::space::{Space, pages};

/// Whether there is a page, as far as the model knows: it does not know of pages of zeros that a read has
/// made, which happens in memory that several share, nor what has become of those that were given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// It is there.
    Certain,
    /// It is not there.
    Never,
    /// If so, it has but zeros.
    Perhaps,
}

impl Attributes {
    /// Nobody watches any more.
    pub fn unwatch(&mut self) {
        self.watch = None;
        self.write_protected = false;
    }

    /// It is at another place from now on.
    pub fn moves(&mut self) {
        if !self.watch.is_some_and(|watch| watch.follows) {
            self.unwatch();
        }
    }

    /// What was said of single pages is not said of new ones.
    pub fn renew(&mut self) {
        self.write_protected = false;
        self.poisoned = false;
        self.guarded = false;
    }

    /// Whether the watcher is told of such events.
    pub fn watches(&self, event: WatchEvents) -> bool {
        self.watch.is_some_and(|watch| watch.events.contains(event))
    }

    /// The most that a page table may grant.
    pub fn allowed(&self) -> Prot {
        if self.poisoned || self.guarded {
            Prot::empty()
        } else if self.write_protected {
            self.prot - Prot::WRITE
        } else {
            self.prot
        }
    }
}

impl Area {
    /// Whether the page exists. `shared` says that there may be memory that several spaces have, though it
    /// is private.
    pub fn presence(&self, page: u64, shared: bool) -> Presence {
        match self.own(page) {
            Some(own) if !own.is_certain() => return Presence::Perhaps,
            Some(_) => return Presence::Certain,
            None => {}
        }
        match &self.source {
            Some((object, first)) if object.borrow().is_written(first + page) => Presence::Certain,
            Some(_) => Presence::Perhaps,
            None if shared => Presence::Perhaps,
            None => Presence::Never,
        }
    }

    /// Whether who gets this so may have private memory with pages of zeros that the model does not know of: memory
    /// that several have, or a copy of such.
    pub fn may_hide_zeros(&self, inherit: Inherit) -> bool {
        match inherit {
            Inherit::Share => self.layer.is_some(),
            Inherit::Copy => self.attributes.share == Share::Shared,
            Inherit::None | Inherit::Zero => false,
        }
    }

    /// Places a whole page: the mapping's own, or the object's.
    pub fn place(&self, page: u64, bytes: Bytes) {
        match (&self.layer, &self.source) {
            (Some((layer, first)), _) => {
                layer.borrow_mut().insert(first + page, bytes);
            }
            (None, Some((object, first))) => {
                object.borrow_mut().write(first + page, 0, bytes.as_slice());
            }
            (None, None) => unreachable!("a shared mapping has an object"),
        }
    }

    /// Takes the mapping's own page out.
    pub fn take(&self, page: u64) -> Option<Bytes> {
        let (layer, first) = self.layer.as_ref()?;
        layer.borrow_mut().remove(&(first + page))
    }

    fn is_watchable(&self) -> bool {
        let source = self.source.as_ref();
        source.is_none_or(|(object, _)| matches!(object.borrow().kind, Kind::Anonymous))
    }

    /// Whether it is private memory without anything underneath.
    pub fn is_plain(&self) -> bool {
        self.attributes.share == Share::Private && self.source.is_none()
    }
}

impl Space {
    /// Has accesses told.
    pub fn watch(&mut self, start: usize, len: usize, watch: Watch) -> Result<(), MapError> {
        if watch.events.is_empty() {
            return Err(MapError::BadRange);
        }
        let range = self.range(start, len)?;
        let mut some = false;
        for (_, area) in self.within(&range) {
            some = true;
            if !area.is_watchable() {
                return Err(MapError::NotWatchable);
            }
            if !area.attributes.max_prot.contains(Prot::WRITE) {
                return Err(MapError::Protection);
            }
            let old = area.attributes.watch;
            if old.is_some_and(|old| old.server != watch.server) {
                return Err(MapError::Occupied);
            }
        }
        if !some {
            return Err(MapError::NotMapped);
        }
        for (_, area) in self.within(&range) {
            area.attributes.watch = Some(watch);
            area.attributes.write_protected &= watch.events.contains(WatchEvents::WRITE_PROTECT);
        }
        Ok(())
    }

    /// Ends that.
    pub fn unwatch(&mut self, start: usize, len: usize, server: u32) -> Result<(), MapError> {
        let range = self.range(start, len)?;
        let other = |watch: Watch| watch.server != server;
        if self
            .within(&range)
            .any(|(_, area)| area.attributes.watch.is_some_and(other))
        {
            return Err(MapError::Occupied);
        }
        self.within(&range)
            .for_each(|(_, area)| area.attributes.unwatch());
        Ok(())
    }

    /// Ends all that a watcher watches.
    pub fn forget_watcher(&mut self, server: u32) {
        for area in self.areas.values_mut() {
            if area
                .attributes
                .watch
                .is_some_and(|watch| watch.server == server)
            {
                area.attributes.unwatch();
            }
        }
    }

    /// Has writes told, or no more.
    pub fn write_protect(&mut self, start: usize, len: usize, on: bool) -> Result<(), MapError> {
        let range = self.range(start, len)?;
        let mut some = false;
        for (_, area) in self.within(&range) {
            some = true;
            if !area.attributes.watches(WatchEvents::WRITE_PROTECT) {
                return Err(MapError::NotWatchable);
            }
        }
        if !some {
            return Err(MapError::NotMapped);
        }
        self.within(&range)
            .for_each(|(_, area)| area.attributes.write_protected = on);
        Ok(())
    }

    /// The area of a page's address, and its number there.
    pub fn page_at(&self, addr: usize) -> Option<(&Area, u64)> {
        let (start, area) = self.area(addr)?;
        Some((area, pages(addr - start)))
    }

    /// Poisons one page that is mapped. Nothing is left of one that was given up.
    pub fn poison_page(&mut self, addr: usize) {
        for (_, area) in self.within(&(addr..addr + PAGE_SIZE)) {
            area.attributes.poisoned = true;
            area.drop_own(0..1);
        }
    }

    /// Says of one page that is there whether it is write-protected.
    pub fn mark_page(&mut self, addr: usize, on: bool) {
        for (_, area) in self.within(&(addr..addr + PAGE_SIZE)) {
            area.attributes.renew();
            area.attributes.write_protected = on;
        }
    }
}
