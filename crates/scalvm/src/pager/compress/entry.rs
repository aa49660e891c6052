//! What is stored, and in which order it was used.
//!
//! An entry is found by its handle, its number in a table; numbers that are free are chained. Entry
//! 0 is nobody's: it is where the ring begins, from the oldest to the youngest.
//!
//! | state | moves |
//! |---|---|
//! | `Free` | `Plain` when a page is stored as data, `Word` when it is one repeated word |
//! | `Word` | `Free`. Not in the ring: to move it to a disk would save nothing |
//! | `Plain` | `Spilling` when it is the oldest and goes to a disk; `Free` |
//! | `Spilling` | `Plain` when that failed; `Free` when it is there, or its owner ends it |

use core::num::NonZeroU32;

use crate::anon::Anon;
use crate::kmem::{Ptr, Table};
use crate::machine::Machine;
use crate::page::Page;
use crate::pager::Handle;
use crate::sync::Field;

pub(super) const FREE: u8 = 0;
pub(super) const PLAIN: u8 = 1;
pub(super) const SPILLING: u8 = 2;
pub(super) const WORD: u8 = 3;

/// One page that is stored.
pub(super) struct Entry<M: Machine> {
    /// Whose contents they are; none if it is free.
    pub owner: Field<Option<Ptr<Anon<M>>>>,
    /// `Word`: that word. Of others, where the data is: block and slot.
    /// `Free`: the next free one.
    pub place: Field<u64>,
    older: Field<u32>,
    newer: Field<u32>,
    /// How often it was freed.
    pub generation: Field<u32>,
    /// Bytes of data; 0 of `Word`.
    pub len: Field<u16>,
    pub state: Field<u8>,
}

/// All entries. The lock of the compressor protects them.
pub(super) struct Entries<M: Machine> {
    table: Table<Entry<M>>,
    free: Field<u32>,
    count: Field<u64>,
}

impl<M: Machine> Entries<M> {
    pub fn new() -> Entries<M> {
        Entries {
            table: Table::new(),
            free: Field::new(0),
            count: Field::new(0),
        }
    }

    /// Entries in use.
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// Frames that the table has.
    pub fn frames(&self) -> u64 {
        self.table.frames() as u64
    }

    /// The entry of a handle, if it is in use.
    pub fn live(&self, number: u32) -> Option<Ptr<Entry<M>>> {
        let entry = self.table.get(number as usize)?;
        (entry.state.get() != FREE).then_some(entry)
    }

    /// An entry for an owner: `PLAIN`, as the youngest, or `WORD`. `frame` gives frames where there is no free one.
    pub fn take(
        &self,
        machine: &M,
        frame: impl FnMut() -> Option<Ptr<Page>>,
        owner: Ptr<Anon<M>>,
        state: u8,
    ) -> Option<(Handle, Ptr<Entry<M>>)> {
        if self.free.get() == 0 {
            self.grow(machine, frame);
        }
        let number = NonZeroU32::new(self.free.get())?;
        let entry = self.table.get(number.get() as usize)?;
        self.free.set(entry.place.get() as u32);
        self.count.set(self.count() + 1);
        entry.owner.set(Some(owner));
        entry.state.set(state);
        entry.len.set(0);
        if state == PLAIN {
            self.link(number.get(), entry);
        }
        Some((Handle(number), entry))
    }

    fn grow(&self, machine: &M, frame: impl FnMut() -> Option<Ptr<Page>>) {
        let first = self.table.len() as u32;
        let last = first + Table::<Entry<M>>::CHUNK as u32 - 1;
        let grown = self.table.grow(machine, frame, |n| Entry {
            owner: Field::new(None),
            place: Field::new(if n as u32 == last { 0 } else { n as u64 + 1 }),
            older: Field::new(0),
            newer: Field::new(0),
            generation: Field::new(0),
            len: Field::new(0),
            state: Field::new(FREE),
        });
        if grown.is_ok() {
            self.free.set(first.max(1));
        }
    }

    /// Frees an entry. Its data is freed already.
    pub fn give(&self, handle: Handle, entry: Ptr<Entry<M>>) {
        if entry.state.get() == PLAIN {
            self.unlink(entry);
        }
        entry.generation.set(entry.generation.get().wrapping_add(1));
        entry.owner.set(None);
        entry.state.set(FREE);
        entry.place.set(u64::from(self.free.get()));
        self.free.set(handle.0.get());
        self.count.set(self.count() - 1);
    }

    /// Makes an entry the youngest, if it is in the ring.
    pub fn touch(&self, handle: Handle, entry: Ptr<Entry<M>>) {
        if entry.state.get() == PLAIN {
            self.unlink(entry);
            self.link(handle.0.get(), entry);
        }
    }

    /// Takes the oldest entry out of the ring: it is being spilled.
    pub fn begin_spill(&self) -> Option<(Handle, Ptr<Entry<M>>)> {
        let number = NonZeroU32::new(self.table.get(0)?.newer.get())?;
        let entry = self.live(number.get())?;
        self.unlink(entry);
        entry.state.set(SPILLING);
        Some((Handle(number), entry))
    }

    /// It was not spilled after all, and is the youngest.
    pub fn cancel_spill(&self, handle: Handle, entry: Ptr<Entry<M>>) {
        entry.state.set(PLAIN);
        self.link(handle.0.get(), entry);
    }

    fn link(&self, number: u32, entry: Ptr<Entry<M>>) {
        if let Some(ring) = self.table.get(0) {
            let youngest = ring.older.get();
            entry.older.set(youngest);
            entry.newer.set(0);
            self.set_newer(youngest, number);
            ring.older.set(number);
        }
    }

    fn unlink(&self, entry: Ptr<Entry<M>>) {
        let (older, newer) = (entry.older.get(), entry.newer.get());
        self.set_newer(older, newer);
        if let Some(newer) = self.table.get(newer as usize) {
            newer.older.set(older);
        }
    }

    fn set_newer(&self, number: u32, newer: u32) {
        if let Some(entry) = self.table.get(number as usize) {
            entry.newer.set(newer);
        }
    }

    /// Calls `f` for each entry in use.
    pub fn each(&self, mut f: impl FnMut(u32, Ptr<Entry<M>>)) {
        for number in 1..self.table.len() as u32 {
            if let Some(entry) = self.live(number) {
                f(number, entry);
            }
        }
    }

    /// Panics where ring, chain and counts contradict each other.
    pub fn check_invariants(&self) {
        let Some(ring) = self.table.get(0) else {
            assert_eq!((self.count(), self.free.get()), (0, 0));
            return;
        };
        let (mut linked, mut before, mut at) = (0, 0, ring.newer.get());
        while at != 0 {
            let entry = self.live(at).expect("C1: the ring has entries in use");
            assert_eq!(entry.state.get(), PLAIN, "C1: entry {at}");
            assert_eq!(entry.older.get(), before, "C1: links of entry {at}");
            linked += 1;
            (before, at) = (at, entry.newer.get());
        }
        assert_eq!(ring.older.get(), before, "C1: the youngest");
        let mut others = 0;
        self.each(|number, entry| {
            assert!(entry.owner.get().is_some(), "C1: owner of entry {number}");
            let word = entry.state.get() == WORD;
            assert_eq!(entry.len.get() == 0, word, "C1: entry {number}");
            others += u64::from(entry.state.get() != PLAIN);
        });
        assert_eq!(linked + others, self.count(), "C1: entries in use");
        let (mut free, mut at) = (0, self.free.get());
        while at != 0 {
            let entry = self.table.get(at as usize).expect("C1: a free entry");
            assert_eq!(entry.state.get(), FREE, "C1: entry {at}");
            free += 1;
            at = entry.place.get() as u32;
        }
        let all = self.table.len() as u64 - 1;
        assert_eq!(free + self.count(), all, "C1: all entries");
    }
}
