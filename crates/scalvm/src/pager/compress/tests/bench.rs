//! A compressor to try things on, and a codec of run lengths.

use core::mem::MaybeUninit;
use std::boxed::Box;
use std::vec::Vec;

use crate::SwapOptions;
use crate::addr::PAGE_SIZE;
use crate::anon::Anon;
use crate::kmem::Ptr;
use crate::page::{Page, State};
use crate::pager::compress::{Codec, Compressor, Put};
use crate::pager::swap::tests::{NOWHERE, setup};
use crate::pager::{Backing, Handle};
use crate::testing::{Random, TestMachine};
use crate::vm::Vm;

/// Stores runs of equal bytes as pairs of a length and the byte.
pub struct Runs;

impl Codec for Runs {
    fn compress(
        &self,
        page: &[u8; PAGE_SIZE],
        out: &mut [u8],
        scratch: &mut [MaybeUninit<u8>],
    ) -> Option<usize> {
        assert_eq!((scratch.len(), scratch.as_ptr().addr() % 64), (100, 0));
        scratch.fill(MaybeUninit::uninit());
        let runs = page.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255));
        let mut len = 0;
        for run in runs {
            let pair = out.get_mut(len..len + 2)?;
            pair.copy_from_slice(&[run.len() as u8, run[0]]);
            len += 2;
        }
        Some(len)
    }

    fn decompress(&self, data: &[u8], page: &mut [u8; PAGE_SIZE]) -> bool {
        let mut at = 0;
        for pair in data.chunks_exact(2) {
            let Some(run) = page.get_mut(at..at + usize::from(pair[0])) else {
                return false;
            };
            run.fill(pair[1]);
            at += usize::from(pair[0]);
        }
        at == PAGE_SIZE
    }

    fn scratch(&self) -> usize {
        100
    }
}

pub static RUNS: Runs = Runs;

pub type Contents = Box<[u8; PAGE_SIZE]>;

/// A manager with a compressor, and some anons without pages of their own.
pub struct Bench {
    pub vm: Vm<TestMachine>,
    pub anons: Vec<Ptr<Anon<TestMachine>>>,
    /// A page of the test's.
    pub page: Ptr<Page>,
}

impl Bench {
    pub fn new(frames: u64, most: u64, anons: u32) -> Bench {
        let vm = setup(frames);
        vm.set_compressor(&RUNS, most).unwrap();
        vm.add_swap(&NOWHERE, 0, 500, SwapOptions::default())
            .unwrap();
        let page = vm.frames.alloc_page(&vm.machine, State::Anon).unwrap();
        let anon = |n| {
            let anon = Anon::new(page, None, n);
            vm.anons.alloc(&vm.machine, &vm.frames, anon).unwrap()
        };
        let anons = (0..anons).map(anon).collect();
        Bench { vm, anons, page }
    }

    /// A page of the caller's.
    pub fn page(&self) -> Ptr<Page> {
        let page = self.vm.frames.alloc_page(&self.vm.machine, State::Anon);
        page.expect("a page for the test")
    }

    pub fn put(&self, anon: usize, contents: &Contents) -> Put {
        self.put_from(self.page, anon, contents)
    }

    /// Stores contents, by way of a page, and sets the backing.
    pub fn put_from(&self, page: Ptr<Page>, anon: usize, contents: &Contents) -> Put {
        let vm = &self.vm;
        vm.frames
            .write(&vm.machine, page.frame(), 0, contents.as_slice());
        let put = vm.compressor.put(vm, page, self.anons[anon]);
        if let Put::Stored(handle) = put {
            let backing = Backing::Compressed(handle).pack();
            self.anons[anon].backing.set(backing);
        }
        put
    }

    pub fn stored(&self, anon: usize, contents: &Contents) -> Handle {
        match self.put(anon, contents) {
            Put::Stored(handle) => handle,
            other => panic!("{other:?}"),
        }
    }

    pub fn get(&self, handle: Handle, anon: usize) -> Option<Contents> {
        let vm = &self.vm;
        let got = vm.compressor.get(vm, handle, self.anons[anon], self.page);
        assert!(self.page.is_plain());
        got.then(|| self.bytes(self.page))
    }

    pub fn bytes(&self, page: Ptr<Page>) -> Contents {
        let mut bytes = Box::new([0; PAGE_SIZE]);
        self.vm
            .frames
            .read(&self.vm.machine, page.frame(), 0, bytes.as_mut_slice());
        bytes
    }

    pub fn free(&self, handle: Handle, anon: usize) -> bool {
        self.vm.compressor.free(&self.vm, handle, self.anons[anon])
    }

    pub fn check(&self) {
        self.vm.compressor.check_invariants(&self.vm);
        self.vm
            .swap
            .check_invariants(&self.vm.machine, &self.vm.frames);
        self.vm.frames.check_invariants(&self.vm.machine);
    }
}

/// Contents that become so many bytes, or a few more.
pub fn contents(random: &mut Random, len: usize) -> Contents {
    let mut page = Box::new([0; PAGE_SIZE]);
    let runs = (len / 2).clamp(1, PAGE_SIZE);
    let (mut at, mut byte) = (0, 0_u8);
    for run in 0..runs {
        let end = PAGE_SIZE * (run + 1) / runs;
        byte = byte.wrapping_add(1 + random.below(255) as u8);
        page[at..end].fill(byte);
        at = end;
    }
    page
}

pub fn any_contents(random: &mut Random) -> Contents {
    match random.below(6) {
        0 => Box::new([random.below(256) as u8; PAGE_SIZE]),
        _ => {
            let len = 10 + random.below(4000);
            contents(random, len)
        }
    }
}

impl Compressor<TestMachine> {
    /// Frames that have data.
    pub fn block_frames(&self) -> u64 {
        self.store
            .get()
            .map_or(0, |store| store.blocks.used_frames())
    }
}
