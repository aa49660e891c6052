//! Where the data lies: objects of a class in the slots of its blocks, see `class.rs`.
//!
//! Each object begins with the number of its entry, so that it can be moved. Blocks with room are
//! in lists by how full they are; new objects go to the fullest, so that others become empty. An
//! empty block gives its frames back at once.

use core::array::from_fn;

use crate::addr::{Frame, PAGE_SIZE};
use crate::kmem::{Ptr, Table};
use crate::machine::Machine;
use crate::page::{Frames, Page};
use crate::pager::compress::class::{CLASSES, GRAIN, SPAN, class, class_for};
use crate::sync::Field;

/// The number of its entry, before the data of an object.
pub(super) const HEADER: usize = size_of::<u32>();
/// How full a block with room is: less than a third, two thirds, or more.
const GROUPS: usize = 3;

/// Some frames for objects of one class. A block without frames is free: `next` chains those.
struct Block {
    frames: [Field<u32>; SPAN],
    /// Which slots are used.
    used: Field<u64>,
    next: Field<u32>,
    prev: Field<u32>,
    class: Field<u8>,
}

/// Of one class.
struct Queue {
    /// The blocks with room, by how full they are.
    lists: [Field<u32>; GROUPS],
    blocks: Field<u32>,
    objects: Field<u32>,
}

/// All blocks. The lock of the compressor protects them.
pub(super) struct Blocks {
    table: Table<Block>,
    free: Field<u32>,
    queues: [Queue; CLASSES],
    /// Frames of all blocks.
    frames: Field<u64>,
}

/// Where an object is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    block: u32,
    slot: u32,
}

impl Place {
    pub fn pack(self) -> u64 {
        u64::from(self.block) << 32 | u64::from(self.slot)
    }

    pub fn unpack(word: u64) -> Place {
        Place {
            block: (word >> 32) as u32,
            slot: word as u32,
        }
    }
}

impl Blocks {
    pub fn new() -> Blocks {
        Blocks {
            table: Table::new(),
            free: Field::new(0),
            queues: from_fn(|_| Queue {
                lists: from_fn(|_| Field::new(0)),
                blocks: Field::new(0),
                objects: Field::new(0),
            }),
            frames: Field::new(0),
        }
    }

    /// Frames of blocks and of their table.
    pub fn frames(&self) -> u64 {
        self.frames.get() + self.table.frames() as u64
    }

    /// Frames of blocks alone.
    #[cfg(test)]
    pub fn used_frames(&self) -> u64 {
        self.frames.get()
    }

    /// A slot for an object of so many bytes, header included. `frame` gives frames.
    pub fn take<M: Machine>(
        &self,
        machine: &M,
        all: &Frames,
        frame: impl FnMut() -> Option<Ptr<Page>>,
        size: usize,
    ) -> Option<Place> {
        let number = class_for(size)?;
        if let Some(place) = self.take_old(number) {
            return Some(place);
        }
        self.make_block(machine, all, frame, number)?;
        self.take_old(number)
    }

    /// A slot in one of the blocks that there are, the fullest first.
    fn take_old(&self, number: usize) -> Option<Place> {
        let queue = &self.queues[number];
        let mut lists = queue.lists.iter().rev().map(|list| list.get());
        let at = lists.find(|first| *first != 0)?;
        let block = self.table.get(at as usize)?;
        let slot = (!block.used.get()).trailing_zeros();
        self.change(at, block, block.used.get() | 1 << slot);
        queue.objects.set(queue.objects.get() + 1);
        Some(Place { block: at, slot })
    }

    fn make_block<M: Machine>(
        &self,
        machine: &M,
        all: &Frames,
        mut frame: impl FnMut() -> Option<Ptr<Page>>,
        number: usize,
    ) -> Option<()> {
        if self.free.get() == 0 {
            self.grow(machine, &mut frame);
        }
        let at = self.free.get();
        let block = self.table.get(at as usize).filter(|_| at != 0)?;
        let wanted = class(number).frames;
        for n in 0..wanted {
            let Some(page) = frame() else {
                self.give_frames(machine, all, block, n);
                return None;
            };
            block.frames[n].set(page.frame().0 as u32);
            self.frames.set(self.frames.get() + 1);
        }
        self.free.set(block.next.get());
        block.class.set(number as u8);
        block.used.set(0);
        let queue = &self.queues[number];
        queue.blocks.set(queue.blocks.get() + 1);
        self.push(&queue.lists[0], at, block);
        Some(())
    }

    fn grow<M: Machine>(&self, machine: &M, frame: impl FnMut() -> Option<Ptr<Page>>) {
        let first = self.table.len() as u32;
        let last = first + Table::<Block>::CHUNK as u32 - 1;
        let grown = self.table.grow(machine, frame, |n| Block {
            frames: from_fn(|_| Field::new(0)),
            used: Field::new(0),
            next: Field::new(if n as u32 == last { 0 } else { n as u32 + 1 }),
            prev: Field::new(0),
            class: Field::new(0),
        });
        if grown.is_ok() {
            // Number 0 ends lists.
            self.free.set(first.max(1));
        }
    }

    fn give_frames<M: Machine>(&self, machine: &M, all: &Frames, block: Ptr<Block>, count: usize) {
        for place in &block.frames[..count] {
            if let Some(page) = all.page(Frame(u64::from(place.get()))) {
                all.free_page(machine, page);
                self.frames.set(self.frames.get() - 1);
            }
        }
    }

    /// Frees a slot; tells how many frames that gave back.
    pub fn give<M: Machine>(&self, machine: &M, all: &Frames, place: Place) -> usize {
        let Some(block) = self.table.get(place.block as usize) else {
            return 0;
        };
        let number = usize::from(block.class.get());
        let queue = &self.queues[number];
        queue.objects.set(queue.objects.get() - 1);
        let used = block.used.get();
        debug_assert!(used >> place.slot & 1 != 0, "{place:?} is freed twice");
        self.change(place.block, block, used & !(1 << place.slot));
        if block.used.get() != 0 {
            return 0;
        }
        self.remove(&queue.lists[0], block);
        self.destroy(machine, all, place.block, block)
    }

    /// Gives the frames of a block back that is empty and in no list.
    fn destroy<M: Machine>(&self, machine: &M, all: &Frames, at: u32, block: Ptr<Block>) -> usize {
        let number = usize::from(block.class.get());
        let queue = &self.queues[number];
        queue.blocks.set(queue.blocks.get() - 1);
        let frames = class(number).frames;
        self.give_frames(machine, all, block, frames);
        block.next.set(self.free.get());
        self.free.set(at);
        frames
    }

    /// Changes which slots of a block are used, and with it perhaps its list.
    fn change(&self, at: u32, block: Ptr<Block>, used: u64) {
        let number = usize::from(block.class.get());
        let lists = &self.queues[number].lists;
        let (from, to) = (group(number, block.used.get()), group(number, used));
        block.used.set(used);
        if from == to {
            return;
        }
        if let Some(from) = from {
            self.remove(&lists[from], block);
        }
        if let Some(to) = to {
            self.push(&lists[to], at, block);
        }
    }

    fn push(&self, list: &Field<u32>, at: u32, block: Ptr<Block>) {
        let first = list.get();
        block.next.set(first);
        block.prev.set(0);
        if let Some(first) = self.table.get(first as usize).filter(|_| first != 0) {
            first.prev.set(at);
        }
        list.set(at);
    }

    fn remove(&self, list: &Field<u32>, block: Ptr<Block>) {
        let (next, prev) = (block.next.get(), block.prev.get());
        match self.table.get(prev as usize).filter(|_| prev != 0) {
            Some(prev) => prev.next.set(next),
            None => list.set(next),
        }
        if let Some(next) = self.table.get(next as usize).filter(|_| next != 0) {
            next.prev.set(prev);
        }
    }

    /// Calls `f` for each piece of an object: its frame, its place there, its bytes' places in the
    /// object.
    fn pieces(&self, place: Place, len: usize, mut f: impl FnMut(Frame, usize, usize, usize)) {
        let Some(block) = self.table.get(place.block as usize) else {
            return;
        };
        let mut at = place.slot as usize * class(usize::from(block.class.get())).size;
        let mut done = 0;
        while done < len {
            let frame = Frame(u64::from(block.frames[at / PAGE_SIZE % SPAN].get()));
            let piece = (len - done).min(PAGE_SIZE - at % PAGE_SIZE);
            f(frame, at % PAGE_SIZE, done, done + piece);
            at += piece;
            done += piece;
        }
    }

    /// Writes an object: the number of its entry, and its data.
    pub fn write<M: Machine>(
        &self,
        machine: &M,
        all: &Frames,
        place: Place,
        entry: u32,
        data: &[u8],
    ) {
        self.pieces(place, HEADER, |frame, at, _, _| {
            all.write(machine, frame, at, &entry.to_ne_bytes());
        });
        let after = |frame, at, from: usize, to: usize| {
            // The header takes a part of the first piece.
            let skip = HEADER.saturating_sub(from);
            let data = &data[from + skip - HEADER..to - HEADER];
            all.write(machine, frame, at + skip, data);
        };
        self.pieces(place, HEADER + data.len(), after);
    }

    /// Reads the data of an object.
    pub fn read<M: Machine>(&self, machine: &M, all: &Frames, place: Place, data: &mut [u8]) {
        self.pieces(place, HEADER + data.len(), |frame, at, from, to| {
            let skip = HEADER.saturating_sub(from);
            let data = &mut data[from + skip - HEADER..to - HEADER];
            all.read(machine, frame, at + skip, data);
        });
    }

    /// The number of the entry to which an object belongs.
    pub fn entry<M: Machine>(&self, machine: &M, all: &Frames, place: Place) -> u32 {
        let mut number = [0; HEADER];
        self.pieces(place, HEADER, |frame, at, _, _| {
            all.read(machine, frame, at, &mut number);
        });
        u32::from_ne_bytes(number)
    }

    /// Empties one block of a class into others, if they have room for all that is in it; tells how
    /// many frames that gave back. `moved` is told of each object: its entry, and where it is now.
    pub fn compact<M: Machine>(
        &self,
        machine: &M,
        all: &Frames,
        number: usize,
        mut moved: impl FnMut(u32, Place),
    ) -> usize {
        let (class, queue) = (class(number), &self.queues[number]);
        let slots = u64::from(queue.blocks.get()) * u64::from(class.slots);
        if slots < u64::from(queue.objects.get()) + u64::from(class.slots) {
            return 0;
        }
        let Some(list) = queue.lists.iter().find(|list| list.get() != 0) else {
            return 0;
        };
        let at = list.get();
        let Some(source) = self.table.get(at as usize) else {
            return 0;
        };
        self.remove(list, source);
        while source.used.get() != 0 {
            let from = Place {
                block: at,
                slot: source.used.get().trailing_zeros(),
            };
            let Some(to) = self.take_old(number) else {
                unreachable!("the other blocks have room for all of it");
            };
            self.copy(machine, all, from, to, class.size);
            moved(self.entry(machine, all, to), to);
            source.used.set(source.used.get() & !(1 << from.slot));
            queue.objects.set(queue.objects.get() - 1);
        }
        self.destroy(machine, all, at, source)
    }

    fn copy<M: Machine>(&self, machine: &M, all: &Frames, from: Place, to: Place, size: usize) {
        let mut bytes = [0; GRAIN];
        let at = |place: Place, offset: usize| {
            let block = self.table.get(place.block as usize)?;
            let at = place.slot as usize * size + offset;
            let frame = Frame(u64::from(block.frames[at / PAGE_SIZE % SPAN].get()));
            Some((frame, at % PAGE_SIZE))
        };
        for offset in (0..size).step_by(GRAIN) {
            if let (Some(from), Some(to)) = (at(from, offset), at(to, offset)) {
                all.read(machine, from.0, from.1, &mut bytes);
                all.write(machine, to.0, to.1, &bytes);
            }
        }
    }

    /// Panics where lists and counts contradict each other. `check` is told of each object.
    pub fn check_invariants(&self, mut check: impl FnMut(Place)) {
        let (mut frames, mut in_use) = (0, 0);
        for (number, queue) in self.queues.iter().enumerate() {
            let (mut listed, mut room) = (0, 0);
            for (of, list) in queue.lists.iter().enumerate() {
                let (mut at, mut before) = (list.get(), 0);
                while at != 0 {
                    let block = self.table.get(at as usize).expect("C3: a block in a list");
                    let used = block.used.get();
                    assert_ne!(used, 0, "C3: an empty block");
                    assert_eq!(usize::from(block.class.get()), number, "C3: class");
                    assert_eq!(group(number, used), Some(of), "C3: list of block {at}");
                    assert_eq!(block.prev.get(), before, "C3: links of block {at}");
                    listed += 1;
                    room += class(number).slots - used.count_ones();
                    (before, at) = (at, block.next.get());
                }
            }
            let (blocks, objects) = (queue.blocks.get(), queue.objects.get());
            assert!(listed <= blocks, "C3: blocks of class {number}");
            assert_eq!(objects + room, blocks * class(number).slots, "C3: objects");
            frames += u64::from(blocks) * class(number).frames as u64;
            in_use += blocks;
        }
        assert_eq!(frames, self.frames.get(), "C4: frames");
        let mut free = 0;
        let mut at = self.free.get();
        while at != 0 {
            let block = self.table.get(at as usize).expect("C3: a free block");
            assert_eq!(block.used.get(), 0, "C3: free block {at}");
            free += 1;
            at = block.next.get();
        }
        let all = self.table.len().saturating_sub(1) as u32;
        assert_eq!(free + in_use, all, "C3: all blocks");
        for at in 1..=all {
            let used = self
                .table
                .get(at as usize)
                .map_or(0, |block| block.used.get());
            for slot in (0..u64::BITS).filter(|slot| used >> slot & 1 != 0) {
                check(Place { block: at, slot });
            }
        }
    }
}

/// The list for a block of a class with these slots used: none if it is full. An empty one is with
/// the emptiest.
fn group(number: usize, used: u64) -> Option<usize> {
    let (used, slots) = (used.count_ones(), class(number).slots);
    (used < slots).then(|| (used as usize * GROUPS) / slots as usize)
}
