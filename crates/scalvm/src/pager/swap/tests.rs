//! Tests of slots and of the sets behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::thread;
use std::vec::Vec;

use super::bitmap::Bitmap;
use super::*;
use crate::page::State;
use crate::testing::{Random, TestMachine};
use crate::{Io, OutOfMemory};

/// Serves nothing.
pub(in crate::pager) struct Nowhere;

impl Pager<TestMachine> for Nowhere {
    fn read_pages(&self, _vm: &Vm<TestMachine>, _io: Io<TestMachine>) {
        unreachable!("slots do no I/O");
    }
    fn write_pages(&self, _vm: &Vm<TestMachine>, _io: Io<TestMachine>) {
        unreachable!("slots do no I/O");
    }
}

pub(in crate::pager) static NOWHERE: Nowhere = Nowhere;

pub(in crate::pager) fn setup(frames: u64) -> Vm<TestMachine> {
    let vm = Vm::new(TestMachine::new(frames));
    let (start, end) = (vm.machine.frame(0), vm.machine.frame(frames));
    // SAFETY: the arena is ours.
    unsafe { vm.add_segment(start, end) }.unwrap();
    vm
}

fn priority(priority: i16) -> SwapOptions {
    SwapOptions {
        priority,
        cipher: None,
    }
}

/// What a test does with the slots of a manager.
trait Slots {
    fn add(&self, pages: u64, priority: i16) -> SwapId;
    fn get(&self, want: usize) -> Option<(u32, u32, usize)>;
    fn put(&self, device: u32, page: u32);
    fn check(&self);
}

impl Slots for Vm<TestMachine> {
    fn add(&self, pages: u64, at: i16) -> SwapId {
        self.add_swap(&NOWHERE, 0, pages, priority(at)).unwrap()
    }
    fn get(&self, want: usize) -> Option<(u32, u32, usize)> {
        let (slot, count) = self.swap.alloc(&self.machine, want)?;
        Some((slot.device(), slot.page(), count))
    }
    fn put(&self, device: u32, page: u32) {
        self.swap.free(&self.machine, Slot::new(device, page));
    }
    fn check(&self) {
        self.swap.check_invariants(&self.machine, &self.frames);
        self.frames.check_invariants(&self.machine);
    }
}

#[test]
fn a_set_is_what_was_put_in() {
    let vm = setup(300);
    let mut random = Random(1);
    for bits in [1, 2, 63, 64, 65, 4095, 4096, 4097, 70_000, 262_145] {
        for full in [false, true] {
            let set = Bitmap::new(&vm.machine, &vm.frames, bits, full).unwrap();
            set.check_invariants();
            let mut model: BTreeSet<u64> = if full { (0..bits).collect() } else { [].into() };
            for _ in 0..2000 {
                let bit = random.below(bits as usize) as u64;
                match random.below(4) {
                    0 => assert_eq!(set.add(bit), model.insert(bit)),
                    1 => assert_eq!(set.remove(bit), model.remove(&bit)),
                    2 => assert_eq!(set.next(bit), model.range(bit..).next().copied()),
                    _ => {
                        let run = (bit..bits).take_while(|bit| model.contains(bit));
                        assert_eq!(set.run(bit, 100), run.take(100).count() as u64);
                    }
                }
                assert_eq!(set.has(bit), model.contains(&bit));
            }
            set.check_invariants();
            assert!(!set.add(bits) && !set.has(bits) && set.next(bits).is_none());
            assert_eq!(set.count(), model.len() as u64);
            set.clear(&vm.machine, &vm.frames);
        }
    }
    assert_eq!(vm.frames.count(State::Kernel), 0);
}

#[test]
fn a_long_run_is_found_among_short_ones() {
    let vm = setup(100);
    let set = Bitmap::new(&vm.machine, &vm.frames, 1000, false).unwrap();
    assert_eq!(set.find(4, 0), None);
    for bit in [3, 5, 6, 10, 11, 12, 60, 61, 62, 63, 64, 65, 900] {
        set.add(bit);
    }
    assert_eq!(set.find(6, 0), Some((60, 6)), "across words");
    assert_eq!(
        set.find(2, 0),
        Some((5, 2)),
        "the first that is long enough"
    );
    assert_eq!(set.find(3, 11), Some((60, 3)), "from the hand on");
    assert_eq!(set.find(16, 0), Some((60, 6)), "else the longest");
    assert_eq!(set.find(3, 500), Some((10, 3)), "from the beginning again");
    assert_eq!(set.find(1, 901), Some((3, 1)));
}

#[test]
fn runs_follow_each_other() {
    let vm = setup(100);
    vm.add(100, 0);
    assert_eq!(vm.get(16), Some((0, 0, 16)));
    assert_eq!(vm.get(3), Some((0, 16, 3)));
    for page in 4..8 {
        vm.put(0, page);
    }
    assert_eq!(vm.get(4), Some((0, 19, 4)), "the hand goes on");
    assert_eq!(vm.get(100), Some((0, 23, 77)));
    assert_eq!(vm.get(16), Some((0, 4, 4)), "what is left");
    assert_eq!((vm.get(1), vm.swap.is_full()), (None, true));
    vm.check();
}

#[test]
fn devices_of_a_priority_take_turns() {
    let vm = setup(100);
    for (pages, priority) in [(40, -1), (8, 5), (16, 5)] {
        vm.add(pages, priority);
    }
    let devices: Vec<_> = (0..9).map(|_| vm.get(4).unwrap().0).collect();
    assert_eq!(devices, [1, 2, 1, 2, 2, 2, 0, 0, 0]);
    vm.put(1, 3);
    assert_eq!(vm.get(4), Some((1, 3, 1)), "the higher priority again");
    vm.check();
}

#[test]
fn a_device_leaves_when_nothing_is_there() {
    let vm = setup(100);
    let (first, second) = (vm.add(10, 1), vm.add(10, 0));
    assert_eq!(vm.get(2), Some((0, 0, 2)));
    vm.swap.mark_bad(&vm.machine, Slot::new(0, 1));
    let finish = |id| vm.swap.finish_remove(&vm.machine, &vm.frames, id);
    assert_eq!(finish(first), Err(SwapError::Busy), "not begun");
    vm.swap.begin_remove(&vm.machine, first).unwrap();
    assert_eq!(
        vm.swap.begin_remove(&vm.machine, first),
        Err(SwapError::Busy)
    );
    assert_eq!(vm.get(2), Some((1, 0, 2)), "no more from there");
    assert_eq!(finish(first), Err(SwapError::Busy), "in use");
    vm.check();
    vm.swap.cancel_remove(&vm.machine, first);
    assert_eq!(vm.get(1), Some((0, 2, 1)), "it stays");
    vm.swap.begin_remove(&vm.machine, first).unwrap();
    assert_eq!(
        vm.swap.next_used(&vm.machine, first, 0),
        Some(Slot::new(0, 0))
    );
    assert_eq!(
        vm.swap.next_used(&vm.machine, first, 1),
        Some(Slot::new(0, 2)),
        "not the bad one"
    );
    vm.put(0, 0);
    vm.put(0, 2);
    assert_eq!(vm.swap.next_used(&vm.machine, first, 0), None);
    assert_eq!(finish(first), Ok(()));
    assert_eq!(finish(first), Err(SwapError::Unknown));
    let mut left = Vec::new();
    vm.each_swap(|info| left.push((info.id, info.used)));
    assert_eq!(left, [(second, 2)]);
    assert_ne!(vm.add(3, 0), first);
    vm.check();
}

#[test]
fn what_cannot_be_a_device_is_refused() {
    let vm = setup(100);
    let add = |pages| vm.add_swap(&NOWHERE, 7, pages, SwapOptions::default());
    assert_eq!(add(0), Err(SwapError::Empty));
    assert_eq!(add((1 << 32) + 1), Err(SwapError::TooLarge));
    assert_eq!(add(1 << 32), Err(SwapError::OutOfMemory));
    assert_eq!(vm.frames.count(State::Kernel), 0, "all of it is given back");
    let vm = setup(400);
    for _ in 0..DEVICES {
        vm.add(1, 0);
    }
    let used = vm.frames.count(State::Kernel);
    let add = vm.add_swap(&NOWHERE, 7, 1, SwapOptions::default());
    assert_eq!(add, Err(SwapError::TooMany));
    assert_eq!(vm.frames.count(State::Kernel), used);
    vm.check();
}

#[test]
fn adding_fails_wherever_memory_ends() {
    let vm = setup(300);
    for allowed in 0.. {
        vm.machine.allow(allowed);
        let added = vm.add_swap(&NOWHERE, 0, 40_000, SwapOptions::default());
        vm.machine.allow_all();
        vm.check();
        match added {
            Err(error) => {
                assert_eq!(error, SwapError::OutOfMemory);
                assert_eq!(vm.frames.count(State::Kernel), 0);
                assert_eq!((vm.swap.total(), vm.get(1)), (0, None));
            }
            Ok(_) => {
                assert!(allowed > 80, "every frame is asked for");
                assert_eq!(vm.swap.total(), 40_000);
                return;
            }
        }
    }
}

#[test]
fn owners_are_known_while_they_have_the_slot() -> Result<(), OutOfMemory> {
    let vm = setup(100);
    vm.add(10, 0);
    let page = vm.frames.alloc_page(&vm.machine, State::Kernel);
    let anon = Anon::new(page.unwrap(), None, 3);
    let anon = vm.anons.alloc(&vm.machine, &vm.frames, anon)?;
    let (slot, _) = vm.swap.alloc(&vm.machine, 1).unwrap();
    let owner = || {
        vm.swap
            .with_owner(&vm.machine, slot, |anon| anon.index.get())
    };
    assert_eq!(owner(), None);
    vm.swap.set_owner(&vm.machine, slot, anon);
    assert_eq!(owner(), Some((anon, 3)));
    vm.check();
    vm.swap.free(&vm.machine, slot);
    assert_eq!(owner(), None);
    assert!(!vm.swap.is_used(&vm.machine, slot));
    vm.check();
    Ok(())
}

/// Used slots and bad ones, by device, as they should be.
#[derive(Default)]
struct Model {
    used: BTreeSet<(u32, u32)>,
    bad: BTreeSet<(u32, u32)>,
    devices: BTreeMap<SwapId, (u64, bool)>,
}

#[test]
fn slots_are_what_a_model_says() {
    let vm = setup(600);
    let mut random = Random(7);
    let mut model = Model::default();
    for step in 0..6000 {
        match random.below(20) {
            0 if model.devices.len() < 6 => {
                let pages = 1 + random.below(300) as u64;
                let id = vm.add(pages, random.below(3) as i16);
                model.devices.insert(id, (pages, false));
            }
            1 if !model.devices.is_empty() => leave(&vm, &mut model, &mut random),
            2..10 => {
                let want = 1 + random.below(20);
                match vm.get(want) {
                    None => assert!(vm.swap.is_full()),
                    Some((device, first, count)) => {
                        assert!((1..=want).contains(&count));
                        for page in first..first + count as u32 {
                            assert!(model.used.insert((device, page)), "handed out twice");
                            assert!(!model.bad.contains(&(device, page)), "bad");
                        }
                    }
                }
            }
            _ if !model.used.is_empty() => {
                let n = random.below(model.used.len());
                let (device, page) = *model.used.iter().nth(n).unwrap();
                model.used.remove(&(device, page));
                if random.below(30) == 0 {
                    vm.swap.mark_bad(&vm.machine, Slot::new(device, page));
                    model.bad.insert((device, page));
                } else {
                    vm.put(device, page);
                }
            }
            _ => {}
        }
        assert_eq!(vm.swap.used(), model.used.len() as u64);
        let pages: u64 = model.devices.values().map(|(pages, _)| pages).sum();
        assert_eq!(vm.swap.total() + model.bad.len() as u64, pages);
        if step % 50 == 0 {
            vm.check();
        }
    }
    assert!(!model.bad.is_empty());
}

/// Begins to remove a device, ends it, or thinks better of it.
fn leave(vm: &Vm<TestMachine>, model: &mut Model, random: &mut Random) {
    let n = random.below(model.devices.len());
    let (&id, &(pages, leaving)) = model.devices.iter().nth(n).unwrap();
    if !leaving {
        vm.swap.begin_remove(&vm.machine, id).unwrap();
        model.devices.insert(id, (pages, true));
    } else if random.below(3) == 0 {
        vm.swap.cancel_remove(&vm.machine, id);
        model.devices.insert(id, (pages, false));
    } else {
        let mut number = None;
        while let Some(slot) = vm.swap.next_used(&vm.machine, id, 0) {
            number = Some(slot.device());
            assert!(model.used.remove(&(slot.device(), slot.page())));
            vm.put(slot.device(), slot.page());
        }
        let bad = number.map(|number| model.bad.iter().filter(|bad| bad.0 == number).count());
        let mut info = None;
        vm.each_swap(|device| info = info.or((device.id == id).then_some(device)));
        let info = info.unwrap();
        assert_eq!((info.pages, info.used), (pages, 0));
        assert!(bad.is_none_or(|bad| bad as u64 == info.bad));
        let before: BTreeSet<_> = numbers(vm);
        assert_eq!(vm.swap.finish_remove(&vm.machine, &vm.frames, id), Ok(()));
        let gone = *before.difference(&numbers(vm)).next().unwrap();
        model.bad.retain(|(device, _)| *device != gone);
        model.devices.remove(&id);
    }
}

fn numbers(vm: &Vm<TestMachine>) -> BTreeSet<u32> {
    vm.swap.numbered().map(|(number, _)| number).collect()
}

#[test]
fn threads_never_share_a_slot() {
    let vm = setup(200);
    vm.add(500, 0);
    vm.add(300, 0);
    let taken = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for seed in 1..5 {
            let (vm, taken) = (&vm, &taken);
            scope.spawn(move || {
                let (mut random, mut mine) = (Random(seed), Vec::new());
                for _ in 0..3000 {
                    if random.below(2) == 0
                        && let Some((device, first, count)) = vm.get(1 + random.below(16))
                    {
                        for page in first..first + count as u32 {
                            assert!(taken.lock().unwrap().insert((device, page)));
                            mine.push((device, page));
                        }
                    } else if !mine.is_empty() {
                        let (device, page) = mine.swap_remove(random.below(mine.len()));
                        assert!(taken.lock().unwrap().remove(&(device, page)));
                        vm.put(device, page);
                    }
                }
            });
        }
    });
    assert_eq!(vm.swap.used(), taken.lock().unwrap().len() as u64);
    vm.check();
}
