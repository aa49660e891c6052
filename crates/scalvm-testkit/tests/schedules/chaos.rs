//! Scenes without a plan: every thread does what comes to its mind, with two address spaces, a file and a memory
//! object that all share, and with children of its own. What an operation returns is not looked at, but for what
//! it may never return; in the end all structures must be right, no store may have reached memory that was not
//! mapped any more, and nothing may be left.

use scalvm::{
    Access, Advice, FaultError, FrameLimits, Inherit, Map, MapError, MapRequest, Object, PAGE_SIZE,
    Place, Prot, Remap, Share,
};
use scalvm_testkit::program::Rng;
use scalvm_testkit::{Hw, Kit};

use crate::common::*;
use crate::crew::Crew;
use crate::memory::end;
use crate::paging::{add_swap, evict, paging};

/// Pages of the range in which all happens.
const PAGES: u64 = 10;

/// What all threads share.
struct World<'v> {
    kit: &'v Kit,
    maps: [&'v Map<'v, Hw>; 2],
    objects: [&'v Object<'v, Hw>; 2],
    /// Whether allocations and requests to the disk fail now and then.
    troubled: bool,
}

/// One thread.
struct Actor<'w, 'v> {
    world: &'w World<'v>,
    rng: Rng,
    cpu: usize,
    child: Option<Map<'v, Hw>>,
}

impl<'v> Actor<'_, 'v> {
    fn act(mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
        if let Some(child) = self.child.take() {
            self.world.kit.leave(self.cpu, &child);
            child.clear();
        }
    }

    fn below(&mut self, end: u64) -> usize {
        self.rng.below(end) as usize
    }

    fn range(&mut self) -> (usize, usize) {
        let first = self.below(PAGES);
        let pages = 1 + self.below((PAGES - first as u64).min(4));
        (page(first), pages * PAGE_SIZE)
    }

    fn step(&mut self) {
        let what = self.below(20);
        if what < 14 {
            let child = self.child.take();
            match (&child, self.below(3)) {
                (Some(child), 2) => self.with_map(child, what),
                (_, which) => self.with_map(self.world.maps[which % 2], what),
            }
            self.child = child;
        } else if what < 19 {
            self.with_object(what);
        } else {
            if let Some(child) = self.child.take() {
                self.world.kit.leave(self.cpu, &child);
            }
            match self.world.maps[self.below(2)].fork() {
                Ok(child) => self.child = Some(child),
                Err(error) => {
                    assert_eq!(error, MapError::OutOfMemory);
                    self.may_end_in(FaultError::OutOfMemory);
                }
            }
        }
    }

    fn with_object(&mut self, what: usize) {
        let object = self.world.objects[self.below(2)];
        let index = self.below(PAGES) as u64;
        let size = self.below(PAGES * PAGE_SIZE as u64) as u64;
        let at = index * PAGE_SIZE as u64;
        let result = match what {
            14 => object.set_size(size),
            15 => object.write_at(at, &[7; 100]),
            16 => object.read_at(at, &mut [0; 5000]).map(|_| ()),
            17 => object.hold(index, Access::Write).map(|_| ()),
            _ => object.sync(0, size).map_err(FaultError::Pager),
        };
        if let Err(error) = result {
            self.may_end_in(error);
        }
    }

    fn with_map(&mut self, map: &Map<'v, Hw>, what: usize) {
        let kit = self.world.kit;
        let (start, len) = self.range();
        match what {
            0..4 => {
                run_on(kit, self.cpu, map);
                let outcome = match self.below(2) {
                    0 => load(kit, self.cpu, map, start).map(|_| ()),
                    _ => store(kit, self.cpu, map, start + 8 * self.cpu, 1),
                };
                kit.leave(self.cpu, map);
                if let Err(error) = outcome {
                    self.may_end_in(error);
                }
            }
            4 | 5 => {
                let mut request = match self.below(3) {
                    0 => MapRequest::anonymous(len, Prot::RW),
                    n => {
                        let share = [Share::Private, Share::Shared][self.below(2)];
                        let object = self.world.objects[n - 1];
                        MapRequest::object(object, (start - AT) as u64, len, Prot::RW, share)
                    }
                };
                request.inherit = [Inherit::Share, Inherit::Copy, Inherit::Zero][self.below(3)];
                self.may_be(map.map(request.at(Place::Fixed(start))));
            }
            6 => self.may_be(map.unmap(start, len)),
            7 => {
                let prot = [Prot::RW, Prot::READ, Prot::empty()][self.below(3)];
                self.may_be(map.protect(start, len, prot));
            }
            8 => self.may_be(map.discard(start, len)),
            9 => {
                let there = page(PAGES as usize + 4 * self.below(3));
                let (from, to) = if self.below(2) == 0 {
                    (start, there)
                } else {
                    (there, start)
                };
                match map.remap(from, len, len, Remap::Fixed(to)) {
                    // They may overlap.
                    Err(MapError::BadRange) => {}
                    moved => self.may_be(moved),
                }
            }
            10 => self.may_be(map.sync(start, len)),
            11 => self.may_be(map.inherit(start, len, Inherit::Copy)),
            12 => self.may_be(map.advise(start, len, Advice::Random)),
            _ => {
                if let Err(error) = map.read(start, &mut [0; 6000]) {
                    self.may_end_in(error);
                }
            }
        }
    }

    /// Accepts how an access may end where other threads do what they like.
    fn may_end_in(&self, error: FaultError) {
        match error {
            FaultError::OutOfMemory | FaultError::Pager(_) => {
                assert!(self.world.troubled, "{error} without trouble");
            }
            FaultError::NoMapping
            | FaultError::Protection
            | FaultError::BeyondEnd
            | FaultError::Watched(_)
            | FaultError::Poisoned => {}
        }
    }

    /// The same of an operation on a range.
    fn may_be<T>(&self, result: Result<T, MapError>) {
        match result {
            Ok(_) | Err(MapError::NotMapped) => {}
            Err(error) => {
                let trouble = matches!(error, MapError::OutOfMemory | MapError::Pager(_));
                assert!(self.world.troubled && trouble, "{error}");
            }
        }
    }
}

/// Takes frames that others let go of, and looks whether somebody still writes them.
fn watch(kit: &Kit, rounds: usize) {
    for _ in 0..rounds {
        let frames: Vec<_> = (0..3)
            .filter_map(|_| kit.vm().alloc_frames(1, &FrameLimits::NONE).ok())
            .collect();
        frames
            .iter()
            .for_each(|&frame| kit.write(frame, 0, &[0x5a; PAGE_SIZE]));
        // Gives the others a chance.
        drop(kit.vm().new_anonymous(0));
        for frame in frames {
            assert_eq!(
                kit.bytes(frame).as_slice(),
                &[0x5a; PAGE_SIZE],
                "somebody else's store"
            );
            // SAFETY: allocated above.
            unsafe { kit.vm().free_frames(frame, 1) };
        }
    }
}

/// Lets pages leave, and moves swap from one device to another.
fn press(kit: &Kit, seed: u64, troubled: bool) {
    let mut rng = Rng::new(seed);
    for _ in 0..8 {
        match rng.below(6) {
            0 => {
                let devices = swap_devices(kit);
                let removed = devices
                    .iter()
                    .all(|device| kit.vm().remove_swap(device.id).is_ok());
                assert!(removed || troubled, "memory is not short");
                if removed {
                    add_swap(kit, 40);
                }
            }
            1 => drop(kit.vm().sync_all()),
            _ => evict(kit),
        }
    }
}

pub fn whatever_comes_to_mind(crew: &dyn Crew) {
    chaos(crew, false, false);
}

pub fn whatever_comes_to_mind_while_much_fails(crew: &dyn Crew) {
    chaos(crew, true, false);
}

pub fn whatever_comes_to_mind_while_pages_leave(crew: &dyn Crew) {
    chaos(crew, false, true);
}

pub fn whatever_comes_to_mind_while_pages_leave_and_much_fails(crew: &dyn Crew) {
    chaos(crew, true, true);
}

fn chaos(crew: &dyn Crew, troubled: bool, pressed: bool) {
    let seed = crew.seed();
    let kit = if pressed {
        // So small that some compressed pages go on to the disk.
        paging(crew, 40, 4 + seed % 12)
    } else {
        crew.kit()
    };
    let maps = [anonymous(&kit, 6), anonymous(&kit, 4)];
    let objects = [
        kit.open(0, 8 * PAGE_SIZE as u64),
        kit.vm()
            .new_anonymous(8 * PAGE_SIZE as u64)
            .expect("memory"),
    ];
    let world = World {
        kit: &kit,
        maps: [&maps[0], &maps[1]],
        objects: [&objects[0], &objects[1]],
        troubled,
    };
    if troubled {
        kit.vm().machine().fail_allocations_randomly(seed, 6);
        kit.disk().fail_randomly(seed, 4);
    }
    let act = |cpu: usize| {
        let rng = Rng::new(seed.wrapping_add(cpu as u64));
        Actor {
            world: &world,
            rng,
            cpu,
            child: None,
        }
        .act(12);
    };
    let watch = || {
        if pressed {
            press(&kit, seed, troubled);
        } else {
            watch(&kit, 6);
        }
    };
    crew.together(&kit, &[&|| act(0), &|| act(1), &|| act(2), &watch]);
    kit.fail_nothing();
    kit.vm().check_invariants();
    let [first, second] = maps;
    drop(objects);
    end!(kit, first, second);
}
