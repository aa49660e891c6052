//! Labels: what programs have noted of their mappings, a name and a policy for nodes of memory. Entries of address
//! spaces have a label's number, its tag; 0 for none.
//!
//! Invariants:
//! - no two labels are equal, and no number is used twice;
//! - a label that an entry has, or a [`Tag`], is in the table. Others are swept out when the table has doubled.
//!
//! Lock: one, outside of those of the manager.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Deref;

use super::VM;
use crate::fs::memory;
use crate::linux::Errno;
use crate::sync::Mutex;
use crate::task::policy::Policy;

/// The most bytes of a name, with the zero behind it.
pub const NAME_SPACE: usize = 80;

/// A name: printable characters.
#[derive(PartialEq, Eq)]
pub struct Name {
    bytes: [u8; NAME_SPACE],
    len: usize,
}

impl Name {
    /// These bytes, or none if they are too many.
    pub fn new(from: &[u8]) -> Option<Name> {
        let mut bytes = [0; NAME_SPACE];
        bytes[..NAME_SPACE - 1]
            .get_mut(..from.len())?
            .copy_from_slice(from);
        let len = from.len();
        Some(Name { bytes, len })
    }
}

impl Deref for Name {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What has been noted.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Label {
    /// What PR_SET_VMA_ANON_NAME set.
    pub name: Option<Arc<Name>>,
    /// What mbind(2) set.
    pub policy: Option<Policy>,
}

struct Kept {
    label: Label,
    /// Tags of it.
    tags: u32,
    /// The sweep that goes on has seen it.
    seen: bool,
}

struct Table {
    labels: BTreeMap<u32, Kept>,
    last: u32,
    /// How many there may be before a sweep.
    most: usize,
}

/// So many labels are kept without a sweep.
const LEAST: usize = 64;

static TABLE: Mutex<Table> = Mutex::new(Table {
    labels: BTreeMap::new(),
    last: 0,
    most: LEAST,
});

/// A label's number, which stays in the table.
pub struct Tag(u32);

impl Tag {
    /// The number.
    pub fn number(&self) -> u32 {
        self.0
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        if let Some(kept) = TABLE.lock().labels.get_mut(&self.0) {
            kept.tags -= 1;
        }
    }
}

/// The label of this number.
pub fn get(tag: u32) -> Label {
    let table = TABLE.lock();
    let kept = table.labels.get(&tag);
    kept.map_or_else(Label::default, |kept| kept.label.clone())
}

/// The number of a label, new or old.
pub fn tag_of(label: Label) -> Result<Tag, Errno> {
    if label == Label::default() {
        return Ok(Tag(0));
    }
    memory::prove_insert::<u32, Kept>()?;
    let mut table = TABLE.lock();
    if let Some((tag, kept)) = table
        .labels
        .iter_mut()
        .find(|(_, kept)| kept.label == label)
    {
        kept.tags += 1;
        return Ok(Tag(*tag));
    }
    if table.labels.len() >= table.most {
        table.sweep();
    }
    let tag = table.last.checked_add(1).ok_or(Errno::ENOMEM)?;
    table.last = tag;
    let kept = Kept {
        label,
        tags: 1,
        seen: false,
    };
    table.labels.insert(tag, kept);
    Ok(Tag(tag))
}

impl Table {
    /// Takes out what nobody has.
    fn sweep(&mut self) {
        VM.each_tag(|tag| {
            if let Some(kept) = self.labels.get_mut(&tag) {
                kept.seen = true;
            }
        });
        self.labels.retain(|_, kept| kept.seen || kept.tags > 0);
        self.labels.values_mut().for_each(|kept| kept.seen = false);
        self.most = LEAST.max(2 * self.labels.len());
    }
}
