//! Scenes without a plan: every thread does what comes to its mind, with two address spaces, a file and a memory
//! object that all share, and with children of its own. What an operation returns is not looked at, but for what
//! it may never return; in the end all structures must be right, no store may have reached memory that was not
//! mapped any more, and nothing may be left.

use scalvm::{
    Access, Advice, FaultError, Inherit, Map, MapError, MapRequest, Object, PAGE_SIZE, Place, Prot,
    Remap, Share,
};
use scalvm_testkit::program::Rng;
use scalvm_testkit::{Hw, Kit};

use crate::common::*;
use crate::crew::Crew;
use crate::memory::end;

/// Pages of the range in which all happens.
const PAGES: u64 = 10;

/// What all threads share.
struct World<'v> {
    kit: &'v Kit,
    maps: [&'v Map<'v, Hw>; 2],
    objects: [&'v Object<'v, Hw>; 2],
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
            let which = self.below(3);
            match (&child, which) {
                (Some(child), 2) => self.with_map(child, what),
                _ => self.with_map(self.world.maps[which % 2], what),
            }
            self.child = child;
            return;
        }
        let object = self.world.objects[self.below(2)];
        let (index, size) = (
            self.below(PAGES) as u64,
            self.below(PAGES * PAGE_SIZE as u64) as u64,
        );
        match what {
            14 => object.set_size(size).or_else(beyond_end),
            15 => object
                .write_at(index * PAGE_SIZE as u64, &[7; 100])
                .or_else(beyond_end),
            16 => object
                .read_at(index * PAGE_SIZE as u64, &mut [0; 5000])
                .map(|_| ())
                .or_else(beyond_end),
            17 => object
                .hold(index, Access::Write)
                .map(|_| ())
                .or_else(beyond_end),
            18 => object.sync(0, size).map_err(FaultError::Pager),
            _ => {
                if let Some(child) = self.child.take() {
                    self.world.kit.leave(self.cpu, &child);
                }
                self.child = Some(self.world.maps[index as usize % 2].fork().expect("memory"));
                Ok(())
            }
        }
        .expect("an object does what it is asked");
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
                assert!(!matches!(
                    outcome,
                    Err(FaultError::OutOfMemory | FaultError::Pager(_))
                ));
                kit.leave(self.cpu, map);
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
                assert_eq!(map.map(request.at(Place::Fixed(start))), Ok(start));
            }
            6 => assert_eq!(map.unmap(start, len), Ok(())),
            7 => {
                let prot = [Prot::RW, Prot::READ, Prot::empty()][self.below(3)];
                not_mapped(map.protect(start, len, prot));
            }
            8 => not_mapped(map.discard(start, len)),
            9 => {
                let to = page(PAGES as usize + 4 * self.below(3));
                let there = self.below(2) == 0;
                let (from, to) = if there { (start, to) } else { (to, start) };
                match map.remap(from, len, len, Remap::Fixed(to)) {
                    Ok(at) => assert_eq!(at, to),
                    Err(error) => {
                        assert!(matches!(error, MapError::NotMapped | MapError::BadRange))
                    }
                }
            }
            10 => not_mapped(map.sync(start, len)),
            11 => not_mapped(map.inherit(start, len, Inherit::Copy)),
            12 => not_mapped(map.advise(start, len, Advice::Random)),
            _ => match map.read(start, &mut [0; 6000]) {
                Ok(())
                | Err(FaultError::NoMapping | FaultError::Protection | FaultError::BeyondEnd) => {}
                Err(error) => panic!("{error}"),
            },
        }
    }
}

fn beyond_end(error: FaultError) -> Result<(), FaultError> {
    if error == FaultError::BeyondEnd {
        Ok(())
    } else {
        Err(error)
    }
}

fn not_mapped(result: Result<(), MapError>) {
    assert!(
        matches!(result, Ok(()) | Err(MapError::NotMapped)),
        "{result:?}"
    );
}

/// Takes frames that others let go of, and looks whether somebody still writes them.
fn watch(kit: &Kit, rounds: usize) {
    for _ in 0..rounds {
        let frames: Vec<_> = (0..3)
            .map(|_| kit.vm().alloc_frames(0).expect("memory"))
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
            unsafe { kit.vm().free_frames(frame, 0) };
        }
    }
}

pub fn whatever_comes_to_mind(crew: &dyn Crew) {
    let kit = crew.kit();
    let seed = crew.seed();
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
    };
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
    crew.together(
        &kit,
        &[&|| act(0), &|| act(1), &|| act(2), &|| watch(&kit, 6)],
    );
    kit.vm().check_invariants();
    let [first, second] = maps;
    drop(objects);
    end!(kit, first, second);
}
