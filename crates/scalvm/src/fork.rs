//! Fork: a copy of an address space, made when either side writes.
//!
//! The seed: "child has new vm_object 2 created, references amap 1, causing amap 1 to become COW,
//! mapped read-only; vm_object 1 from the parent also gets updated to become a read-only mapping".
//! So an entry that is copied gets a new object for the child which shares the parent's amap, and
//! the parent's page tables lose the right to write, all at once ([`Pmap::write_protect_all`]). No
//! anon is touched, and the child begins with empty page tables. The exception are pages that the
//! kernel holds for writing, which are copied for the child at once (`object/snapshot.rs`).
//!
//! What a child gets of an entry:
//!
//! | inheritance | private, with its own object | private, not yet written | shared |
//! |---|---|---|---|
//! | copy | a private object with the same amap | the same | anonymous: a private object with the same amap; else a private mapping |
//! | share | the same object, which is no more exclusive | it gets an object first, then as on the left | the same object |
//! | zero | untouched memory | untouched memory | untouched memory |
//! | none | nothing | nothing | nothing |

use crate::addr::PAGE_SHIFT;
use crate::error::{MapError, OutOfMemory};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::tree::Tree;
use crate::map::{Attributes, Map, MapEntry, MapWrite, Watch};
use crate::object::{Kind, NewObject, ObjectBody};
use crate::pmap::Pmap;
use crate::request::{Inherit, Share};
use crate::stats::Event;
use crate::vm::Vm;

/// What the private objects are for which several entries of one object get copies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copies {
    /// One, as the original is: all entries are copied to the same map. Who is done forgets the twins.
    AsOne,
    /// One for each entry, which has only the pages of that.
    Apart,
}

/// What the new entry maps.
struct Given<M: Machine> {
    object: Option<Ptr<ObjectBody<M>>>,
    offset: u32,
    share: Share,
}

impl<'v, M: Machine> Map<'v, M> {
    /// A child's address space, with the same limits and rules. The time it takes grows with the number of entries, not with what
    /// they hold, but for memory of which the kernel holds pages for writing: those are copied. On failure the parent is as it was (but that some of its memory may be copied
    /// when it is next written). Fails with [`MapError::OutOfMemory`] or [`MapError::NotPromised`].
    pub fn fork(&self) -> Result<Map<'v, M>, MapError> {
        self.fork_watched(|_| None)
    }

    /// [`fork`](Map::fork), where `watcher` says who watches in the child what this one watches here; nobody, if it
    /// names none or a number that is too high. It is asked with the map locked, and only about what the child gets.
    /// Of what is watched, pages that are write-protected are so in the child, too, but not untouched memory that it
    /// gets in their place.
    pub fn fork_watched(
        &self,
        watcher: impl Fn(u32) -> Option<u32>,
    ) -> Result<Map<'v, M>, MapError> {
        let vm = self.vm;
        let pmap = M::Pmap::new(&vm.machine, vm)?;
        let child = vm.map_with(pmap, self.body.low, self.body.high, self.body.guard)?;
        child.body.rules.inherit(&self.body.rules);
        let parent = self.body.write(vm);
        let mut result = Ok(());
        let mut next = parent.map.tree.first();
        while let Some(entry) = next.filter(|_| result.is_ok()) {
            let Attributes { inherit, watch, .. } = entry.attributes();
            let watch = watch.filter(|_| inherit != Inherit::None);
            let watch = watch.and_then(|watch| watch.of(watcher(watch.server)?));
            result = vm.give_entry(&parent, entry, child.body, inherit, watch, Copies::AsOne);
            next = Tree::next(entry);
        }
        parent.forget_twins(result.is_ok());
        let debt = parent.map.pmap.write_protect_all(&vm.machine, vm);
        vm.pay(debt, &parent.map.target().pmap);
        drop(parent);
        // Only now: the child was filled without its lock, and who has no limit is not trimmed.
        child.body.limits.inherit(&self.body.limits);
        vm.count(Event::Fork);
        result.map(|()| child)
    }
}

impl<M: Machine> MapWrite<'_, M> {
    /// Clears the notes of which object got which copy. A copy that is mapped in part only cannot
    /// grow: the rest of it is not empty (O3).
    fn forget_twins(&self, alive: bool) {
        let entries = || {
            let mut next = self.map.tree.first();
            core::iter::from_fn(move || {
                let entry = next?;
                next = Tree::next(entry);
                Some(entry)
            })
        };
        let object = |entry: Ptr<MapEntry<M>>| entry.object.get().filter(|o| o.private);
        for entry in entries().filter(|entry| entry.attributes().inherit != Inherit::Copy) {
            if alive && let Some(twin) = object(entry).and_then(|object| object.twin.get()) {
                twin.growable.set(false);
            }
        }
        entries()
            .filter_map(object)
            .for_each(|object| object.twin.set(None));
    }
}

impl<M: Machine> Vm<M> {
    /// Gives another map, which nobody else has yet, its part of an entry, and who watches it. Where that is a copy and the
    /// original's object is exclusive, the parent's map loses the right to write before it is unlocked.
    pub(crate) fn give_entry(
        &self,
        parent: &MapWrite<'_, M>,
        entry: Ptr<MapEntry<M>>,
        child: Ptr<crate::map::MapBody<M>>,
        inherit: Inherit,
        watch: Option<Watch>,
        copies: Copies,
    ) -> Result<(), MapError> {
        let attributes = entry.attributes();
        let given = match inherit {
            Inherit::None => return Ok(()),
            Inherit::Zero => Given {
                object: None,
                offset: (entry.start.get() >> PAGE_SHIFT) as u32,
                share: Share::Private,
            },
            Inherit::Share => self.give_shared(parent, entry)?,
            Inherit::Copy => self.give_copy(entry, copies)?,
        };
        // What is given is not wired, as mlock(2) says. What the giver has lost of its own is lost.
        let same = if inherit == Inherit::Zero {
            attributes.fresh()
        } else {
            attributes
        };
        let attributes = Attributes {
            share: given.share,
            watch,
            write_protected: same.write_protected && watch.is_some(),
            poisoned: same.poisoned && attributes.share == Share::Private,
            ..same.unwired()
        }
        .promise();
        let promised = if attributes.promised {
            entry.pages() as u64
        } else {
            0
        };
        let (start, end) = (entry.start.get(), entry.end.get());
        let entry = MapEntry::new(child, start, end, given.offset, attributes);
        let new = self.promise(promised, 0).map_err(MapError::from);
        let new = new.and_then(|()| {
            let new = self.entries.alloc(&self.machine, &self.frames, entry);
            Ok(new.inspect_err(|_| self.take_back(promised))?)
        });
        match new {
            Ok(new) => {
                child.append(self, new, given.object);
                Ok(())
            }
            Err(error) => {
                if let Some(object) = given.object {
                    self.release_object(object);
                }
                Err(error)
            }
        }
    }

    /// The entry's own object.
    fn give_shared(
        &self,
        parent: &MapWrite<'_, M>,
        entry: Ptr<MapEntry<M>>,
    ) -> Result<Given<M>, OutOfMemory> {
        let share = entry.attributes().share;
        if share == Share::Private {
            self.make_private(parent, entry)?;
        }
        let object = entry.object.get();
        if let Some(object) = object {
            if object.private && object.exclusive.get() {
                // Where the shared frame of zeros is mapped, a write of the other side would not be
                // seen (O4).
                let guard = object.lock(self);
                object.exclusive.set(false);
                object.growable.set(false);
                self.unmap_object(&guard, object, 0, 1 << 32);
            }
            object.retain();
        }
        Ok(Given {
            object,
            offset: entry.offset.get(),
            share,
        })
    }

    /// What the entry holds, to be copied when either side writes.
    fn give_copy(&self, entry: Ptr<MapEntry<M>>, copies: Copies) -> Result<Given<M>, OutOfMemory> {
        let offset = entry.offset.get();
        let share = Share::Private;
        let Some(object) = entry.object.get() else {
            return Ok(Given {
                object: None,
                offset,
                share,
            });
        };
        let anonymous = matches!(object.kind, Kind::Anonymous);
        let written = object.private || anonymous && entry.attributes().share == Share::Shared;
        if !written {
            object.retain();
            let share = if let Kind::Device(..) = object.kind {
                Share::Shared
            } else {
                share
            };
            return Ok(Given {
                object: Some(object),
                offset,
                share,
            });
        }
        if let Some(twin) = object.twin.get() {
            twin.retain();
            return Ok(Given {
                object: Some(twin),
                offset,
                share,
            });
        }
        let twin = self.make_object(NewObject {
            private: true,
            under: object.under,
            family: object.family.get(),
            amap: false,
            ..NewObject::public(Kind::Anonymous, 0)
        })?;
        let guard = object.lock(self);
        let whole = copies == Copies::AsOne || object.private && object.refs() == 1;
        let copy = self.snapshot(&guard).and_then(|amap| match amap {
            Some(amap) if !whole => self.part_of(amap, offset, entry.pages() as u64).map(Some),
            amap => Ok(amap),
        });
        match copy {
            Ok(amap) => twin.amap.set(amap),
            Err(error) => {
                drop(guard);
                self.release_object(twin);
                return Err(error);
            }
        }
        if object.exclusive.get() && copies == Copies::AsOne {
            // Its other entries, all in this map, go to the same object of the child's.
            object.twin.set(Some(twin));
        }
        twin.growable.set(object.growable.get());
        drop(guard);
        Ok(Given {
            object: Some(twin),
            offset,
            share,
        })
    }
}
