//! Memory of the kernel map: pages behind addresses of the kernel's own.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::Mutex;

use scalvm::{ArenaError, Constraints, KernelAlloc, KernelMap, PAGE_SIZE, Submap};

use super::arena::{Model, within};
use super::worker::Worker;
use super::world::{World, lock};
use crate::kit::{CPUS, Hw, KERNEL_ROOT};
use crate::program::mix;
use crate::run::{Check, wrong};

/// The kernel map's addresses: the first may be paged, and nobody does.
const LOW: usize = 0xffff_9000_0000_0000;
const MIDDLE: usize = LOW + 8 * PAGE_SIZE;
const HIGH: usize = LOW + 200 * PAGE_SIZE;
/// A part that is set aside, and how much of it may have memory.
const PART: usize = 24 * PAGE_SIZE;
const BUDGET: usize = 12 * PAGE_SIZE;

/// Some wired memory.
pub struct Wired {
    at: usize,
    pages: usize,
    guard: usize,
    /// Of the part that is set aside.
    part: bool,
    seed: u64,
}

/// A kernel map, twice.
pub struct Kernel<'k> {
    map: &'k KernelMap<'k, Hw>,
    part: &'k Submap<'k, Hw>,
    /// The addresses of both.
    models: [Mutex<Model>; 2],
}

/// The kernel map of a kit that is new.
pub fn kernel_map(vm: &scalvm::Vm<Hw>) -> KernelMap<'_, Hw> {
    vm.new_kernel_map(LOW, HIGH, MIDDLE - LOW)
        .expect("memory, in the beginning")
}

/// A part of it.
pub fn part<'k>(map: &'k KernelMap<'k, Hw>) -> Submap<'k, Hw> {
    map.submap("testkit part", PART, BUDGET)
        .expect("memory, in the beginning")
}

impl<'k> Kernel<'k> {
    /// Nothing is allocated yet.
    pub fn new(map: &'k KernelMap<'k, Hw>, part: &'k Submap<'k, Hw>) -> Kernel<'k> {
        let (start, len) = part.range();
        let model = |start: usize, len: usize| Model {
            quantum: PAGE_SIZE as u64,
            spans: vec![(start as u64, len as u64)],
            ..Model::default()
        };
        let mut whole = model(MIDDLE, HIGH - MIDDLE);
        assert!(whole.take((start as u64, len as u64)));
        Kernel {
            map,
            part,
            models: [Mutex::new(whole), Mutex::new(model(start, len))],
        }
    }

    /// Compares while nothing else runs.
    pub fn compare(&self, world: &World<'_>) -> Check {
        let stats = [self.map.stats(), self.part.stats()];
        for (stats, model) in stats.iter().zip(&self.models) {
            let model = lock(model);
            if stats.in_use != model.in_use() {
                return wrong(format!(
                    "{} of the kernel's addresses are in use, must be {}",
                    stats.in_use,
                    model.in_use()
                ));
            }
        }
        self.map.check_invariants();
        world.vm().machine().assert_no_stale(KERNEL_ROOT);
        Ok(())
    }
}

impl Worker<'_, '_> {
    /// Of the part or not, how many pages, how, which alignment.
    pub fn map_kernel(&mut self, [_, part, pages, how, align, _]: [u32; 6]) -> Check {
        let world = self.world;
        let kernel = &world.kernel;
        let part = part % 3 == 0;
        let pages = [1, 2, 3, 5, 8, 13, 21, 0][pages as usize % 8] as usize;
        let bytes = (pages * PAGE_SIZE).saturating_sub(how as usize % 9);
        let mut flags = KernelAlloc::empty();
        flags.set(KernelAlloc::GUARD, how & 1 != 0);
        flags.set(KernelAlloc::ZERO, how & 2 != 0);
        let guard = PAGE_SIZE * usize::from(flags.contains(KernelAlloc::GUARD));
        let align = PAGE_SIZE << [0, 0, 0, 1, 3][align as usize % 5];
        let layout = Layout::from_size_align(bytes, align).expect("a layout");
        let total = (pages * PAGE_SIZE + 2 * guard) as u64;
        let c = Constraints {
            align: align as u64,
            phase: ((align - guard % align) % align) as u64,
            ..Constraints::NONE
        };
        let model = &kernel.models[usize::from(part)];
        loop {
            let room = pages != 0 && {
                let model = lock(model);
                let gaps = model.gaps(&model.spans);
                let budget = !part || kernel.part.in_use() + pages * PAGE_SIZE <= BUDGET;
                budget
                    && gaps
                        .iter()
                        .any(|gap| model.place(*gap, total, &c, 0).is_some())
            };
            let before = world.kit.failures()[0];
            let got = match part {
                true => kernel.part.alloc(layout, flags),
                false => kernel.map.alloc(layout, flags),
            };
            world.say(|| format!("kernel map, {layout:?} {flags:?}: {got:?}"));
            return match got {
                Ok(at) => {
                    let at = at.addr().get();
                    let run = ((at - guard) as u64, total);
                    let mut model = lock(model);
                    if !model.obeys(run, &c) || !within(run, model.spans[0]) || !model.take(run) {
                        return wrong(format!("{run:x?} was given for {layout:?}, {flags:?}"));
                    }
                    drop(model);
                    let seed = world.fresh();
                    let wired = Wired {
                        at,
                        pages,
                        guard,
                        part,
                        seed,
                    };
                    self.begin_wired(&wired, flags.contains(KernelAlloc::ZERO))?;
                    self.goods.wired.push(wired);
                    Ok(())
                }
                Err(ArenaError::BadSize) if pages == 0 => Ok(()),
                Err(ArenaError::Full) if !room || !world.is_alone() => Ok(()),
                Err(ArenaError::OutOfMemory) => {
                    let again = world.kit.failures()[0] != before;
                    world.excuse_frames(before, pages as u64)?;
                    if again && world.is_alone() {
                        continue;
                    }
                    Ok(())
                }
                Err(error) => wrong(format!(
                    "kernel map, {layout:?} {flags:?}: {error:?}; there is room: {room}"
                )),
            };
        }
    }

    fn processor(&self) -> scalvm_machine::Cpu {
        let machine = self.vm().machine();
        machine.processor(self.number % CPUS).as_kernel()
    }

    /// Places in the pages that are looked at: words at both ends and in between.
    fn words(wired: &Wired) -> impl Iterator<Item = usize> + use<> {
        let at = wired.at;
        (0..wired.pages).flat_map(move |page| {
            [0, 8, 2040, PAGE_SIZE - 8].map(|offset| at + page * PAGE_SIZE + offset)
        })
    }

    fn begin_wired(&self, wired: &Wired, zero: bool) -> Check {
        let cpu = self.processor();
        for va in Self::words(wired) {
            match cpu.load_u64(va) {
                Ok(word) if zero && word != 0 => return wrong(format!("{va:#x} is not zero")),
                Ok(_) => {}
                Err(_) => return wrong(format!("{va:#x} is not mapped")),
            }
            if cpu.store_u64(va, mix(wired.seed ^ va as u64)).is_err() {
                return wrong(format!("{va:#x} cannot be written"));
            }
        }
        let end = wired.at + wired.pages * PAGE_SIZE;
        let guards = [wired.at - wired.guard, end + wired.guard - 8];
        if wired.guard != 0 && guards.iter().any(|va| cpu.load_u64(*va).is_ok()) {
            return wrong(format!("what guards {:#x} is mapped", wired.at));
        }
        match self.world.kernel.map.size_at(wired.at) {
            Some(size) if size == wired.pages * PAGE_SIZE => Ok(()),
            other => wrong(format!("the size at {:#x} is {other:?}", wired.at)),
        }
    }

    /// Which.
    pub fn unmap_kernel(&mut self, [_, which, how, _, _, _]: [u32; 6]) -> Check {
        let wired = &mut self.goods.wired;
        if wired.is_empty() {
            return Ok(());
        }
        let wired = wired.swap_remove(which as usize % wired.len());
        let kernel = &self.world.kernel;
        let free = |at: usize, part: bool| {
            let at = NonNull::new(std::ptr::without_provenance_mut(at)).expect("an address");
            // SAFETY: ours, and we use it no more; or no memory begins there.
            unsafe {
                match part {
                    true => kernel.part.free(at),
                    false => kernel.map.free(at),
                }
            }
        };
        if how % 5 == 0 && wired.pages > 1 {
            // What is no beginning is refused.
            let refused = free(wired.at + PAGE_SIZE, wired.part);
            if refused != Err(ArenaError::BadRange) {
                return wrong(format!("freed the middle of {:#x}: {refused:?}", wired.at));
            }
        }
        if how % 5 == 1 {
            let refused = free(wired.at, !wired.part);
            if refused != Err(ArenaError::BadRange) {
                return wrong(format!(
                    "freed {:#x} in the wrong map: {refused:?}",
                    wired.at
                ));
            }
        }
        self.let_wired_go(wired)
    }

    /// Frees wired memory.
    pub fn let_wired_go(&mut self, wired: Wired) -> Check {
        let cpu = self.processor();
        for va in Self::words(&wired) {
            let word = cpu.load_u64(va);
            if word != Ok(mix(wired.seed ^ va as u64)) {
                return wrong(format!("{va:#x} was written or is gone: {word:x?}"));
            }
        }
        let kernel = &self.world.kernel;
        let start = (wired.at - wired.guard) as u64;
        if lock(&kernel.models[usize::from(wired.part)])
            .used
            .remove(&start)
            .is_none()
        {
            return wrong(format!("the model does not know {start:#x}"));
        }
        let at = NonNull::new(std::ptr::without_provenance_mut(wired.at)).expect("an address");
        // SAFETY: ours, and we use it no more.
        let freed = unsafe {
            match wired.part {
                true => kernel.part.free(at),
                false => kernel.map.free(at),
            }
        };
        self.world
            .say(|| format!("kernel map, free {at:?}: {freed:?}"));
        if let Err(error) = freed {
            return wrong(format!("kernel map, free {at:?}: {error:?}"));
        }
        match self.world.is_alone() && Self::words(&wired).any(|va| cpu.load_u64(va).is_ok()) {
            true => wrong(format!("{at:?} is mapped after it was freed")),
            false => Ok(()),
        }
    }
}
