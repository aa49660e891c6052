//! The three queues of a policy, and which page is in which.
//!
//! A page's *mark* says in which queue of which policy it is, so it can be taken out whatever has
//! become of its frame. The legal moves:
//!
//! | from | to | when |
//! |---|---|---|
//! | none | `Fresh` | the page has come |
//! | none | `Active` | it is missed soon after it left, or memory is filling (CLOCK-Pro) |
//! | `Fresh` | `Active` (clock), `Inactive` (CLOCK-Pro) | its first use has been read and discarded |
//! | `Fresh` | `Inactive`, unused | it was brought ahead of its first use, which is still to come |
//! | `Active` | `Inactive` | its turn has come (clock), or it was not used for a whole turn |
//! | `Inactive` | `Active` | it was used |
//! | any | `Inactive` | it was trimmed, or could not be evicted |
//! | any | none | it is evicted or gone |
//!
//! Invariant **Q1**: a page is in a queue exactly if its mark says so.

use super::list::{End, List, Nodes, RECORD};
use crate::page::Segments;

/// A queue of a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Queue {
    /// Came not long ago: its mark of use tells of that only.
    Fresh = 1,
    /// Is to stay.
    Active = 2,
    /// Is to leave next, unless it is used again.
    Inactive = 3,
}

const QUEUES: [Queue; 3] = [Queue::Fresh, Queue::Active, Queue::Inactive];

/// The bits of a mark that name a queue.
const QUEUE: u8 = 3;
/// Set in the marks of file pages.
const FILE: u8 = 4;

/// Set in the marks of pages that left `Fresh` without having been used ever.
const UNUSED: u8 = 8;

/// The queues of one policy.
pub(super) struct Queues {
    /// `FILE` or 0.
    kind: u8,
    lists: [List; 3],
}

impl Queues {
    pub const fn new(file: bool) -> Queues {
        Queues {
            kind: if file { FILE } else { 0 },
            lists: [const { List::new() }; 3],
        }
    }

    /// A queue as a list, in which nodes other than pages may stand too.
    pub fn list(&self, queue: Queue) -> &List {
        &self.lists[queue as usize - 1]
    }

    /// The queue of this policy in which the page is.
    pub fn of(&self, nodes: &Nodes<'_>, page: u32) -> Option<Queue> {
        let mark = nodes.page(page)?.mark();
        let here = mark & FILE == self.kind;
        QUEUES
            .into_iter()
            .find(|&queue| here && mark & QUEUE == queue as u8)
    }

    /// Puts a page into a queue; it is taken out of the one in which it was.
    pub fn put(&self, nodes: &Nodes<'_>, page: u32, queue: Queue, end: End) {
        self.take(nodes, page);
        self.list(queue).put(nodes, page, end);
        if let Some(page) = nodes.page(page) {
            page.set_mark(self.kind | queue as u8);
        }
    }

    /// Makes a page the newest of the queue in which it is.
    pub fn turn(&self, nodes: &Nodes<'_>, page: u32) {
        if let (Some(queue), Some(it)) = (self.of(nodes, page), nodes.page(page)) {
            let mark = it.mark();
            self.put(nodes, page, queue, End::Newest);
            it.set_mark(mark);
        }
    }

    /// Makes a page inactive that was not used yet.
    pub fn put_unused(&self, nodes: &Nodes<'_>, page: u32) {
        self.put(nodes, page, Queue::Inactive, End::Newest);
        if let Some(page) = nodes.page(page) {
            page.set_mark(page.mark() | UNUSED);
        }
    }

    /// Whether a page was not used yet when it became inactive.
    pub fn was_unused(&self, nodes: &Nodes<'_>, page: u32) -> bool {
        nodes
            .page(page)
            .is_some_and(|page| page.mark() & UNUSED != 0)
    }

    /// Takes a page out of the queue in which it is.
    pub fn take(&self, nodes: &Nodes<'_>, page: u32) {
        if let Some(queue) = self.of(nodes, page) {
            self.list(queue).take(nodes, page);
            if let Some(page) = nodes.page(page) {
                page.set_mark(0);
            }
        }
    }

    /// Panics where the queues contradict the marks (Q1).
    pub fn check_invariants(&self, nodes: &Nodes<'_>, mut record: impl FnMut(u32)) {
        for queue in QUEUES {
            self.list(queue).check_invariants(nodes, |node| {
                if node & RECORD != 0 {
                    record(node);
                } else {
                    assert_eq!(self.of(nodes, node), Some(queue), "Q1: frame {node:#x}");
                }
            });
        }
    }

    /// How many pages of all segments have a mark of this policy.
    pub fn marked(&self, segments: &Segments) -> u32 {
        let mut marked = 0;
        segments.for_each(|page| {
            let mark = page.mark();
            marked += u32::from(mark & QUEUE != 0 && mark & FILE == self.kind);
        });
        marked
    }
}
