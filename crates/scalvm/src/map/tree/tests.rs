//! The tree against a plain ordered map, over random operations.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec::Vec;

use super::{Node, Ranged, Tree};
use crate::addr::PAGE_SIZE;
use crate::kmem::Ptr;
use crate::sync::Field;

struct Entry {
    node: Node<Entry>,
    start: Field<usize>,
    end: Field<usize>,
    /// Bytes that it keeps free below itself.
    guard: usize,
}

impl Ranged for Entry {
    fn node(&self) -> &Node<Entry> {
        &self.node
    }
    fn start(&self) -> usize {
        self.start.get()
    }
    fn end(&self) -> usize {
        self.end.get()
    }
    fn guard_start(&self) -> usize {
        self.start().saturating_sub(self.guard)
    }
}

fn entry(start: usize, end: usize) -> Ptr<Entry> {
    guarded(start, end, 0)
}

fn guarded(start: usize, end: usize, guard: usize) -> Ptr<Entry> {
    let (start, end) = (Field::new(start), Field::new(end));
    Ptr::permanent(Box::leak(Box::new(Entry {
        node: Node::new(),
        start,
        end,
        guard,
    })))
}

struct Random(u64);

impl Random {
    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}

/// A tree, and beside it what must be in it.
struct Pair {
    tree: Tree<Entry>,
    model: BTreeMap<usize, Ptr<Entry>>,
    low: usize,
    high: usize,
    /// Entries that are in no tree, to be used again.
    idle: Vec<Ptr<Entry>>,
    random: Random,
}

impl Pair {
    fn new(low: usize, high: usize, seed: u64) -> Pair {
        let tree = Tree::new(low, high);
        Pair {
            tree,
            model: BTreeMap::new(),
            low,
            high,
            idle: Vec::new(),
            random: Random(seed),
        }
    }

    /// An address from a little below the tree's bounds to a little above.
    fn page(&mut self) -> usize {
        self.low - 4 * PAGE_SIZE
            + self.random.below((self.high - self.low) / PAGE_SIZE + 8) * PAGE_SIZE
    }

    fn floor(&self, addr: usize) -> Option<Ptr<Entry>> {
        self.model
            .range(..=addr)
            .next_back()
            .map(|(_, entry)| *entry)
    }

    fn ceiling(&self, addr: usize) -> Option<Ptr<Entry>> {
        self.model.range(addr..).next().map(|(_, entry)| *entry)
    }

    fn any(&mut self) -> Option<Ptr<Entry>> {
        let addr = self.page();
        self.floor(addr).or(self.ceiling(addr))
    }

    /// The gap around the address, if it is free.
    fn gap_at(&self, addr: usize) -> Option<(usize, usize)> {
        let floor = self.floor(addr).map_or(self.low, |entry| entry.end());
        let ceiling = self
            .ceiling(addr + 1)
            .map_or(self.high, |entry| entry.start());
        (floor <= addr && addr < ceiling).then_some((floor, ceiling))
    }

    fn insert(&mut self) {
        let addr = self.page();
        let Some((_, ceiling)) = self.gap_at(addr) else {
            return;
        };
        let pages = (ceiling - addr) / PAGE_SIZE;
        let most = if self.random.below(16) == 0 {
            pages
        } else {
            pages.min(4)
        };
        let len = 1 + self.random.below(most);
        let guard = [0, 0, 0, 3][self.random.below(4)] * PAGE_SIZE;
        let new = self.idle.pop().unwrap_or_else(|| guarded(0, 0, guard));
        new.start.set(addr);
        new.end.set(addr + len * PAGE_SIZE);
        if self.random.below(2) == 0 {
            self.tree.insert(new);
        } else {
            self.tree.insert_after(self.floor(addr), new);
        }
        self.model.insert(addr, new);
    }

    fn remove(&mut self) {
        let Some(entry) = self.any() else { return };
        self.tree.remove(entry);
        self.model.remove(&entry.start());
        self.idle.push(entry);
    }

    fn resize(&mut self) {
        let Some(entry) = self.any() else { return };
        let floor = Tree::prev(entry).map_or(self.low, |prev| prev.end());
        let ceiling = Tree::next(entry).map_or(self.high, |next| next.start());
        let (mut start, mut end) = (entry.start(), entry.end());
        let which = self.random.below(3);
        if which != 0 {
            start = floor + self.random.below((end - floor) / PAGE_SIZE) * PAGE_SIZE;
        }
        if which != 1 {
            end = ceiling - self.random.below((ceiling - start) / PAGE_SIZE) * PAGE_SIZE;
        }
        self.model.remove(&entry.start());
        entry.start.set(start);
        entry.end.set(end);
        self.tree.resized(entry);
        self.model.insert(start, entry);
    }

    fn look(&mut self) {
        let addr = self.page() + self.random.below(PAGE_SIZE);
        let held = self.floor(addr).filter(|entry| addr < entry.end());
        assert_eq!(self.tree.find(addr), held);
        assert_eq!(self.tree.at_or_above(addr), held.or(self.ceiling(addr)));
        let entries: Vec<_> = self.model.values().copied().collect();
        assert_eq!(self.tree.first(), entries.first().copied());
        assert_eq!(self.tree.last(), entries.last().copied());
    }

    /// Looks for room, and compares with a look at each address.
    fn gaps(&mut self) {
        let len = (1 + self.random.below(8)) * PAGE_SIZE;
        let align = PAGE_SIZE << [0, 0, 0, 1, 2, 4][self.random.below(6)];
        let (mut low, mut high) = (self.page(), self.page());
        if self.random.below(3) == 0 {
            (low, high) = (0, usize::MAX & !(PAGE_SIZE - 1));
        }
        let fits = |addr: usize| {
            addr.is_multiple_of(align)
                && addr >= low
                && addr + len <= high
                && self.gap_at(addr).is_some()
                && addr + len <= self.ceiling(addr).map_or(self.high, |e| e.guard_start())
        };
        let mut all = (self.low..self.high).step_by(PAGE_SIZE);
        let lowest = all.clone().find(|addr| fits(*addr));
        let highest = all.rfind(|addr| fits(*addr));
        assert_eq!(self.tree.find_gap_up(len, align, low, high), lowest);
        assert_eq!(self.tree.find_gap_down(len, align, low, high), highest);
    }

    /// `inserts` of 10 operations that change the number of entries add one.
    fn step(&mut self, inserts: usize) {
        match self.random.below(20) {
            0..10 if self.random.below(10) < inserts => self.insert(),
            0..10 => self.remove(),
            10..14 => self.resize(),
            14..18 => self.look(),
            _ => self.gaps(),
        }
        self.tree.check_invariants();
    }
}

#[test]
fn agrees_with_a_plain_map() {
    for (pages, seed) in [(16, 1), (64, 2), (300, 3), (2000, 4)] {
        let low = 0x10000;
        let mut pair = Pair::new(low, low + pages * PAGE_SIZE, seed);
        for step in 0..30_000 {
            // Tides, so that the tree is full and empty by turns.
            pair.step([9, 5, 1, 6][step / 1500 % 4]);
        }
    }
}

#[test]
fn sorted_input_stays_balanced() {
    let tree = Tree::new(0, usize::MAX & !(PAGE_SIZE - 1));
    let entries: Vec<_> = (0..1000)
        .map(|i| entry(2 * i * PAGE_SIZE, (2 * i + 1) * PAGE_SIZE))
        .collect();
    for entry in &entries {
        tree.insert_after(tree.last(), *entry);
        tree.check_invariants();
    }
    for entry in &entries {
        tree.remove(*entry);
        tree.check_invariants();
    }
    for entry in entries.iter().rev() {
        tree.insert(*entry);
        tree.check_invariants();
    }
}

#[test]
fn the_ends_of_the_address_space() {
    let high = usize::MAX & !(PAGE_SIZE - 1);
    let tree = Tree::<Entry>::new(0, high);
    assert_eq!(tree.find_gap_up(high, PAGE_SIZE, 0, high), Some(0));
    assert_eq!(tree.find_gap_down(high, PAGE_SIZE, 0, high), Some(0));
    assert_eq!(
        tree.find_gap_up(PAGE_SIZE, 1 << 63, PAGE_SIZE, high),
        Some(1 << 63)
    );
    assert_eq!(
        tree.find_gap_up(PAGE_SIZE, 1 << 63, (1 << 63) + PAGE_SIZE, high),
        None
    );
    let whole = entry(0, high);
    tree.insert(whole);
    tree.check_invariants();
    assert_eq!(tree.find(high - 1), Some(whole));
    assert_eq!(tree.find(high), None);
    assert_eq!(tree.at_or_above(high), None);
    assert_eq!(tree.find_gap_up(PAGE_SIZE, PAGE_SIZE, 0, high), None);
    assert_eq!(tree.find_gap_down(PAGE_SIZE, PAGE_SIZE, 0, high), None);
    // Nothing is between bounds that have changed places.
    tree.remove(whole);
    assert_eq!(
        tree.find_gap_down(PAGE_SIZE, PAGE_SIZE, 8 * PAGE_SIZE, 4 * PAGE_SIZE),
        None
    );
}

#[test]
fn all_are_taken_in_order() {
    let tree = Tree::new(0, 1 << 30);
    let entries: Vec<_> = (0..100)
        .map(|i| entry(i * PAGE_SIZE, (i + 1) * PAGE_SIZE))
        .collect();
    for i in 0..100 {
        tree.insert(entries[i * 37 % 100]);
    }
    let mut next = tree.take_all();
    for entry in &entries {
        assert_eq!(next, Some(*entry));
        next = Tree::next(*entry);
    }
    assert_eq!(next, None);
    tree.check_invariants();
    assert_eq!(tree.find(0), None);
    assert_eq!(tree.find_gap_up(1 << 30, PAGE_SIZE, 0, 1 << 30), Some(0));
    tree.insert(entries[5]);
    tree.check_invariants();
}
