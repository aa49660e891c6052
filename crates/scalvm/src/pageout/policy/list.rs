//! Lists of nodes, from the oldest to the newest.
//!
//! A *node* is a number: of a frame, whose links lie in its descriptor, or [`RECORD`] and the number
//! of a record. So pages and records may stand in one list.
//!
//! Invariants of a list:
//! 1. From `oldest` along `newer` there are `len` nodes up to `newest`, and back along `older`.
//! 2. The ends link to [`NONE`].

use super::records::Record;
use crate::addr::Frame;
use crate::kmem::{Ptr, Table};
use crate::page::{Page, Segments, UNLINKED};
use crate::sync::Field;

/// No node.
pub(super) const NONE: u32 = UNLINKED;

/// Set in the nodes that are records; frame numbers are smaller.
pub(super) const RECORD: u32 = 1 << 31;

/// Where nodes are found.
pub(super) struct Nodes<'a> {
    pub segments: &'a Segments,
    /// The records of a policy that has some.
    pub records: Option<&'a Table<Record>>,
}

/// What every node has.
struct Links<'a> {
    older: &'a Field<u32>,
    newer: &'a Field<u32>,
}

impl Nodes<'_> {
    /// The descriptor of a node that is a page.
    #[inline]
    pub fn page(&self, node: u32) -> Option<Ptr<Page>> {
        self.segments.page(Frame(u64::from(node)))
    }

    fn links(&self, node: u32) -> Option<Links<'_>> {
        if node & RECORD == 0 {
            let page = self.page(node)?.target();
            return Some(Links {
                older: &page.older,
                newer: &page.newer,
            });
        }
        let record = self.records?.get((node ^ RECORD) as usize)?.target();
        Some(Links {
            older: &record.older,
            newer: &record.newer,
        })
    }
}

/// The end of a list at which a node is put.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Oldest,
    Newest,
}

/// A list.
pub(super) struct List {
    oldest: Field<u32>,
    newest: Field<u32>,
    len: Field<u32>,
}

impl List {
    pub const fn new() -> List {
        List {
            oldest: Field::<u32>::constant(NONE),
            newest: Field::<u32>::constant(NONE),
            len: Field::<u32>::constant(0),
        }
    }

    /// Nodes in the list.
    pub fn len(&self) -> u32 {
        self.len.get()
    }

    /// The oldest node.
    pub fn oldest(&self) -> Option<u32> {
        let oldest = self.oldest.get();
        (oldest != NONE).then_some(oldest)
    }

    /// Adds a node that is in no list.
    pub fn put(&self, nodes: &Nodes<'_>, node: u32, end: End) {
        let Some(links) = nodes.links(node) else {
            return;
        };
        let (older, newer) = match end {
            End::Oldest => (NONE, self.oldest.get()),
            End::Newest => (self.newest.get(), NONE),
        };
        links.older.set(older);
        links.newer.set(newer);
        self.join(nodes, (older, node), (node, newer));
        self.len.set(self.len.get() + 1);
    }

    /// Takes out a node of this list.
    pub fn take(&self, nodes: &Nodes<'_>, node: u32) {
        let Some(links) = nodes.links(node) else {
            return;
        };
        let (older, newer) = (links.older.get(), links.newer.get());
        self.join(nodes, (older, newer), (older, newer));
        links.older.set(UNLINKED);
        links.newer.set(UNLINKED);
        self.len.set(self.len.get() - 1);
    }

    /// Lets one node know its newer neighbour, and another its older one: `(node, newer)`,
    /// `(older, node)`. Where there is no node, an end of the list.
    fn join(&self, nodes: &Nodes<'_>, (of, newer): (u32, u32), (older, to): (u32, u32)) {
        nodes
            .links(of)
            .map_or(&self.oldest, |it| it.newer)
            .set(newer);
        nodes
            .links(to)
            .map_or(&self.newest, |it| it.older)
            .set(older);
    }

    /// Calls `f` for each node, the oldest first; panics where invariants 1 and 2 do not hold.
    pub fn check_invariants(&self, nodes: &Nodes<'_>, mut f: impl FnMut(u32)) {
        let (mut older, mut node, mut len) = (NONE, self.oldest.get(), 0);
        while node != NONE {
            let links = nodes.links(node).expect("the node is somewhere");
            assert_eq!(links.older.get(), older, "back link of node {node:#x}");
            f(node);
            len += 1;
            assert!(len <= self.len(), "a list is longer than it says");
            (older, node) = (node, links.newer.get());
        }
        assert_eq!((older, len), (self.newest.get(), self.len()));
    }
}
