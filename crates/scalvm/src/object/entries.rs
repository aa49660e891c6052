//! The entries that map an object (O2).

use crate::kmem::Ptr;
use crate::link::List;
use crate::machine::Machine;
use crate::map::{InObject, MapEntry};
use crate::sync::Field;

/// The list of an object's entries. The object is locked, and to change it what it stands on, too.
pub(crate) struct Entries<M: Machine> {
    list: List<MapEntry<M>, InObject>,
    /// Changes whenever an entry leaves the list, or a part of its range goes to another entry: then a walk that let go of
    /// the object cannot go on where it was.
    changes: Field<u32>,
}

/// Where a walk goes on that let go of the object.
pub(crate) struct Rest<M: Machine> {
    next: Ptr<MapEntry<M>>,
    changes: u32,
}

impl<M: Machine> Entries<M> {
    pub fn new() -> Entries<M> {
        Entries {
            list: List::new(),
            changes: Field::new(0),
        }
    }

    pub fn push(&self, entry: Ptr<MapEntry<M>>) {
        self.list.push(entry);
    }

    pub fn remove(&self, entry: Ptr<MapEntry<M>>) {
        self.list.remove(entry);
        self.changed();
    }

    /// An entry has given a part of its range to another.
    pub fn changed(&self) {
        self.changes.set(self.changes.get().wrapping_add(1));
    }

    /// All of them; the one last given may be removed meanwhile.
    pub fn iter(&self) -> impl Iterator<Item = Ptr<MapEntry<M>>> + use<M> {
        self.list.iter()
    }

    /// Calls `f` for so many entries, from the first on or where a walk goes on. Tells where it goes on after
    /// that; none if it has come to the end. Those that are added meanwhile are not visited.
    pub fn some(
        &self,
        from: Option<&Rest<M>>,
        count: usize,
        mut f: impl FnMut(Ptr<MapEntry<M>>),
    ) -> Option<Rest<M>> {
        let mut next = from.map_or(self.list.first(), |rest| Some(rest.next));
        for _ in 0..count {
            let entry = next?;
            next = self.list.after(entry);
            f(entry);
        }
        next.map(|next| Rest {
            next,
            changes: self.changes.get(),
        })
    }

    /// Whether a walk can go on there.
    pub fn has(&self, rest: &Rest<M>) -> bool {
        rest.changes == self.changes.get()
    }
}
