//! What a compressor consists of, and the steps of its verbs.

use crate::addr::{Frame, PAGE_SIZE};
use crate::anon::Anon;
use crate::kmem::{Buffer, Ptr};
use crate::machine::Machine;
use crate::page::{Page, State};
use crate::pager::Handle;
use crate::pager::compress::blocks::{Blocks, HEADER, Place};
use crate::pager::compress::entry::{Entries, Entry, PLAIN, WORD};
use crate::pager::compress::stats::Counts;
use crate::pager::compress::{BUFFERS, Codec};
use crate::sync::Field;
use crate::vm::Vm;

/// What there is once a codec is set.
pub(super) struct Store<M: Machine> {
    pub codec: &'static dyn Codec,
    pub buffers: [Buffer; BUFFERS],
    pub most_frames: Field<u64>,
    pub entries: Entries<M>,
    pub blocks: Blocks,
    /// The class at which compaction goes on.
    pub class: Field<u32>,
    pub counts: Counts,
}

/// The contents of an entry, taken out.
pub(super) enum Content {
    /// One word all over.
    Word(u64),
    /// Compressed: so many bytes of a buffer.
    Data(usize),
}

impl<M: Machine> Store<M> {
    pub fn buffer(&self, vm: &Vm<M>) -> &Buffer {
        &self.buffers[vm.machine.cpu() % BUFFERS]
    }

    /// Frames that are in use here, but for those of the buffers.
    pub fn frames(&self) -> u64 {
        self.entries.frames() + self.blocks.frames()
    }

    /// A frame, if there may be one more. Page-out waits for nothing here: the reserve is for this.
    pub fn frame(&self, vm: &Vm<M>) -> Option<Ptr<Page>> {
        if self.frames() >= self.most_frames.get() {
            return None;
        }
        vm.frames.take_reserved_page(&vm.machine, State::Kernel)
    }

    /// Stores a page of one repeated word as a new entry.
    pub fn add_word(&self, vm: &Vm<M>, owner: Ptr<Anon<M>>, word: u64) -> Option<Handle> {
        let frame = || self.frame(vm);
        let (handle, entry) = self.entries.take(&vm.machine, frame, owner, WORD)?;
        entry.place.set(word);
        self.counts.added(0);
        Some(handle)
    }

    /// Stores data as a new entry.
    pub fn add(&self, vm: &Vm<M>, owner: Ptr<Anon<M>>, data: &[u8]) -> Option<Handle> {
        let (machine, frames) = (&vm.machine, &vm.frames);
        let size = HEADER + data.len();
        let place = self.blocks.take(machine, frames, || self.frame(vm), size)?;
        let frame = || self.frame(vm);
        let Some((handle, entry)) = self.entries.take(machine, frame, owner, PLAIN) else {
            self.blocks.give(machine, frames, place);
            return None;
        };
        self.blocks
            .write(machine, frames, place, handle.0.get(), data);
        entry.place.set(place.pack());
        entry.len.set(data.len() as u16);
        self.counts.added(data.len());
        Some(handle)
    }

    pub fn entry_of(&self, handle: Handle, owner: Ptr<Anon<M>>) -> Option<Ptr<Entry<M>>> {
        let entry = self.entries.live(handle.0.get())?;
        (entry.owner.get() == Some(owner)).then_some(entry)
    }

    pub fn remove(&self, vm: &Vm<M>, handle: Handle, entry: Ptr<Entry<M>>) {
        let len = usize::from(entry.len.get());
        if len > 0 {
            let place = Place::unpack(entry.place.get());
            self.blocks.give(&vm.machine, &vm.frames, place);
        }
        self.counts.removed(len);
        self.entries.give(handle, entry);
    }

    /// Takes the contents of an entry out, data into `out`.
    pub fn content(&self, vm: &Vm<M>, entry: Ptr<Entry<M>>, out: &mut [u8]) -> Content {
        let len = usize::from(entry.len.get());
        match out.get_mut(..len) {
            Some(out) if len > 0 => {
                let place = Place::unpack(entry.place.get());
                self.blocks.read(&vm.machine, &vm.frames, place, out);
                Content::Data(len)
            }
            _ => Content::Word(entry.place.get()),
        }
    }

    /// Makes a page of it; false if that cannot be done.
    pub fn fill(&self, vm: &Vm<M>, content: Content, out: &[u8], frame: Frame) -> bool {
        vm.frames
            .with_bytes(&vm.machine, frame, |page| match content {
                Content::Word(word) => {
                    let (words, _) = page.as_chunks_mut();
                    words.fill(word.to_ne_bytes());
                    true
                }
                Content::Data(len) => self.codec.decompress(&out[..len], page),
            })
    }
}

/// The word that a page consists of, if it is one.
pub(super) fn repeated(page: &[u8; PAGE_SIZE]) -> Option<u64> {
    let (words, _) = page.as_chunks::<8>();
    let same = words.iter().all(|word| *word == words[0]);
    same.then(|| u64::from_ne_bytes(words[0]))
}
