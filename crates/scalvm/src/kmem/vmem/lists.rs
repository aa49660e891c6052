//! Free segments in lists by size: list n has those of 2^n to 2^(n+1) - 1 numbers. A word says which
//! lists are not empty, so that a segment that is surely large enough is found in a few steps.

use super::Tag;
use crate::kmem::Ptr;
use crate::sync::Field;

/// Lists: sizes are below 2^64.
const LISTS: usize = 64;

/// The lists of one arena, whose lock protects them.
pub(super) struct Lists {
    /// Bit n is set if list n is not empty.
    filled: Field<u64>,
    heads: [Field<Option<Ptr<Tag>>>; LISTS],
}

/// The list for segments of a size, which is not zero.
fn list_of(size: u64) -> usize {
    size.ilog2() as usize
}

impl Lists {
    pub fn new() -> Lists {
        Lists {
            filled: Field::new(0),
            heads: [const { Field::nothing() }; LISTS],
        }
    }

    /// Puts a free segment in its list.
    pub fn insert(&self, tag: Ptr<Tag>) {
        let n = list_of(tag.size.get());
        let head = &self.heads[n];
        let first = head.get();
        tag.link.set(first);
        tag.back.set(None);
        if let Some(first) = first {
            first.back.set(Some(tag));
        }
        head.set(Some(tag));
        self.filled.set(self.filled.get() | 1 << n);
    }

    /// Takes a segment out; its size is still what it was.
    pub fn remove(&self, tag: Ptr<Tag>) {
        let n = list_of(tag.size.get());
        let (next, back) = (tag.link.get(), tag.back.get());
        match back {
            Some(back) => back.link.set(next),
            None => self.heads[n].set(next),
        }
        if let Some(next) = next {
            next.back.set(back);
        }
        if self.heads[n].get().is_none() {
            self.filled.set(self.filled.get() & !(1 << n));
        }
        tag.link.set(None);
        tag.back.set(None);
    }

    /// A segment of a list all of which are at least this large: the smallest such list that has some.
    pub fn surely(&self, size: u64) -> Option<Ptr<Tag>> {
        let n = list_of(size) + usize::from(!size.is_power_of_two());
        let lists = self.filled.get() & u64::MAX.checked_shl(n as u32).unwrap_or(0);
        (lists != 0)
            .then(|| self.heads[lists.trailing_zeros() as usize].get())
            .flatten()
    }

    /// The segments of list n.
    pub fn list(&self, n: usize) -> impl Iterator<Item = Ptr<Tag>> {
        let mut next = self.heads[n].get();
        core::iter::from_fn(move || {
            let tag = next?;
            next = tag.link.get();
            Some(tag)
        })
    }

    /// The lists that have segments and may have one of this size, in the order of sizes.
    pub fn from(&self, size: u64) -> impl Iterator<Item = usize> {
        let mut lists = self.filled.get() & u64::MAX << list_of(size);
        core::iter::from_fn(move || {
            let n = (lists != 0).then(|| lists.trailing_zeros() as usize)?;
            lists &= lists - 1;
            Some(n)
        })
    }

    /// The size of the largest free segment; 0 if there is none.
    pub fn largest(&self) -> u64 {
        match self.filled.get().checked_ilog2() {
            Some(n) => self
                .list(n as usize)
                .map(|tag| tag.size.get())
                .max()
                .unwrap_or(0),
            None => 0,
        }
    }

    /// Panics where V3 is broken, as far as lists and bits go; tells how many segments there are.
    pub fn check(&self) -> u64 {
        let mut count = 0;
        for n in 0..LISTS {
            let bit = self.filled.get() >> n & 1 == 1;
            assert_eq!(self.list(n).next().is_some(), bit, "V3: bit of list {n}");
            let mut before = None;
            for tag in self.list(n) {
                assert_eq!(tag.kind(), super::Kind::Free, "V3: in a free list");
                assert_eq!(list_of(tag.size.get()), n, "V3: list of a free segment");
                assert_eq!(tag.back.get(), before, "V3: links of list {n}");
                before = Some(tag);
                count += 1;
            }
        }
        count
    }
}
