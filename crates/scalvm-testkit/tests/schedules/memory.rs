//! Scenes of anonymous memory.

use scalvm::{Access, FaultError, FrameLimits, Inherit, MapRequest, PAGE_SIZE, Place, Prot, Remap};

use crate::common::*;
use crate::crew::Crew;

/// Takes the map off all processors, drops all, and checks.
macro_rules! end {
    ($kit:expr, $($map:expr),*) => {
        $(
            $map.check_invariants();
            $kit.check_translations($map.pmap());
        )*
        $kit.leave_all(&[$(&$map),*]);
        $(drop($map);)*
        nothing_left(&$kit);
    };
}
pub(crate) use end;

pub fn stores_to_one_page(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 2);
    let act = |cpu: usize| {
        run_on(&kit, cpu, &map);
        store(&kit, cpu, &map, page(1) + 8 * cpu, 1 + cpu as u64).expect("stored");
    };
    crew.together(&kit, &[&|| act(0), &|| act(1), &|| act(2)]);
    for cpu in 0..3 {
        assert_eq!(
            load(&kit, cpu, &map, page(1) + 8 * ((cpu + 1) % 3)),
            Ok(1 + (cpu as u64 + 1) % 3)
        );
    }
    assert_eq!(kit.vm().stats().frames_anon, 1);
    end!(kit, map);
}

pub fn stores_to_one_entry(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 8);
    let act = |cpu: usize| {
        run_on(&kit, cpu, &map);
        for n in (0..8).filter(|n| n % 3 == cpu || n % 2 == cpu) {
            store(&kit, cpu, &map, page(n) + 8 * cpu, 1 + cpu as u64).expect("stored");
        }
    };
    crew.together(&kit, &[&|| act(0), &|| act(1), &|| act(2)]);
    for n in 0..8 {
        for cpu in (0..3).filter(|cpu| n % 3 == *cpu || n % 2 == *cpu) {
            assert_eq!(get(&map, page(n) + 8 * cpu), Ok(1 + cpu as u64));
        }
    }
    end!(kit, map);
}

pub fn stores_to_several_entries(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = new_map(&kit);
    for n in 0..3 {
        let request = MapRequest::anonymous(2 * PAGE_SIZE, Prot::RW).at(Place::Fixed(page(4 * n)));
        assert_eq!(map.map(request), Ok(page(4 * n)));
    }
    let act = |cpu: usize| {
        run_on(&kit, cpu, &map);
        store(&kit, cpu, &map, page(4 * cpu), 1).expect("stored");
        assert_eq!(load(&kit, cpu, &map, page(4 * cpu + 1)), Ok(0));
        store(&kit, cpu, &map, page(4 * ((cpu + 1) % 3)) + 8, 1).expect("stored");
    };
    crew.together(&kit, &[&|| act(0), &|| act(1), &|| act(2)]);
    for n in 0..3 {
        assert_eq!(
            [get(&map, page(4 * n)), get(&map, page(4 * n) + 8)],
            [Ok(1), Ok(1)]
        );
    }
    end!(kit, map);
}

pub fn loads_see_stores_and_go_on_seeing_them(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 3);
    let read = |cpu: usize| {
        run_on(&kit, cpu, &map);
        let mut last = 0;
        for _ in 0..4 {
            let seen = load(&kit, cpu, &map, page(1)).expect("loaded");
            assert!(seen >= last, "{seen} after {last}");
            last = seen;
        }
    };
    let write = || {
        run_on(&kit, 2, &map);
        for value in 1..4 {
            store(&kit, 2, &map, page(1), value).expect("stored");
        }
    };
    crew.together(&kit, &[&|| read(0), &|| read(1), &write]);
    for cpu in 0..3 {
        assert_eq!(load(&kit, cpu, &map, page(1)), Ok(3));
    }
    end!(kit, map);
}

/// What is unmapped is soon used for something else: no store may reach it.
pub fn stores_while_unmapped(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 4);
    let act = |cpu: usize| {
        run_on(&kit, cpu, &map);
        for value in 0..6 {
            match store(&kit, cpu, &map, page(1 + cpu), 0xbad0 + value) {
                Ok(()) | Err(FaultError::NoMapping) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let unmap = || {
        assert_eq!(map.unmap(page(1), 2 * PAGE_SIZE), Ok(()));
        let frames: Vec<_> = (0..4)
            .map(|_| {
                kit.vm()
                    .alloc_frames(1, &FrameLimits::NONE)
                    .expect("memory")
            })
            .collect();
        frames
            .iter()
            .for_each(|&frame| kit.write(frame, 0, &[1; PAGE_SIZE]));
        assert_eq!(map.unmap(page(0), PAGE_SIZE), Ok(()));
        for frame in frames {
            assert_eq!(
                kit.bytes(frame).as_slice(),
                &[1; PAGE_SIZE],
                "somebody else's store"
            );
            // SAFETY: allocated above.
            unsafe { kit.vm().free_frames(frame, 1) };
        }
    };
    crew.together(&kit, &[&|| act(0), &|| act(1), &unmap]);
    assert_eq!(get(&map, page(1)), Err(FaultError::NoMapping));
    assert_eq!(get(&map, page(3)), Ok(0));
    end!(kit, map);
}

pub fn stores_while_rights_change(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 3);
    let write = |cpu: usize| {
        run_on(&kit, cpu, &map);
        let mut stored = 0;
        for value in 1..6 {
            match store(&kit, cpu, &map, page(1) + 8 * cpu, value) {
                Ok(()) => stored = value,
                Err(FaultError::Protection) => {}
                Err(error) => panic!("{error}"),
            }
            match load(&kit, cpu, &map, page(1) + 8 * cpu) {
                Ok(seen) => assert_eq!(
                    seen, stored,
                    "a store is lost, or was made that was refused"
                ),
                Err(error) => assert_eq!(error, FaultError::Protection),
            }
        }
    };
    let change = || {
        for prot in [Prot::empty(), Prot::RW, Prot::READ, Prot::RW] {
            assert_eq!(map.protect(page(1), PAGE_SIZE, prot), Ok(()));
        }
    };
    crew.together(&kit, &[&|| write(0), &|| write(1), &change]);
    set(&map, page(1), 9);
    assert_eq!(map.usage().entries, 1);
    end!(kit, map);
}

/// A child sees each page as it was at one moment.
pub fn stores_while_forked(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 2);
    set(&map, page(0), 0);
    let child = std::sync::Mutex::new(None);
    let write = || {
        run_on(&kit, 0, &map);
        for value in 1..8 {
            store(&kit, 0, &map, page(0), value).expect("stored");
            store(&kit, 0, &map, page(0) + 8, value).expect("stored");
        }
    };
    let fork = || {
        let forked = map.fork().expect("memory");
        let first = (
            get(&forked, page(0)).expect("read"),
            get(&forked, page(0) + 8).expect("read"),
        );
        assert!(first.0 == first.1 || first.0 == first.1 + 1, "{first:?}");
        *child.lock().expect("no panic") = Some((forked, first));
    };
    crew.together(&kit, &[&write, &fork]);
    let (child, first) = child.into_inner().expect("no panic").expect("forked");
    let again = (
        get(&child, page(0)).expect("read"),
        get(&child, page(0) + 8).expect("read"),
    );
    assert_eq!(again, first, "a parent's store reached its child");
    assert_eq!([get(&map, page(0)), get(&map, page(0) + 8)], [Ok(7), Ok(7)]);
    end!(kit, map, child);
}

/// What is written by who holds a page is not lost when a program has written the same page after a fork.
pub fn holders_write_while_forked(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 2);
    let hold = || {
        for value in 1..4 {
            let held = map.hold(page(0), Access::Write).expect("held");
            // What forks and writes has time for both meanwhile.
            for at in [0, 16, 24, 32] {
                kit.write(held.frame(), at, &u64::to_le_bytes(value));
                for _ in 0..4 {
                    assert_eq!(get(&map, page(0) + at), Ok(value));
                }
            }
        }
    };
    let fork = || {
        for _ in 0..2 {
            let child = map.fork().expect("memory");
            let seen = || [0, 8, 16, 24].map(|at| get(&child, page(0) + at).expect("read"));
            let first = seen();
            store(&kit, 1, &map, page(0) + 8, first[1] + 1).expect("stored");
            assert_eq!(seen(), first, "the child's memory is its own");
        }
    };
    crew.together(
        &kit,
        &[&hold, &|| {
            run_on(&kit, 1, &map);
            fork();
        }],
    );
    assert_eq!(
        [0, 8, 16].map(|at| get(&map, page(0) + at)),
        [Ok(3), Ok(2), Ok(3)]
    );
    end!(kit, map);
}

pub fn stores_from_both_sides_of_a_fork(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 2);
    set(&map, page(0) + 64, 7);
    set(&map, page(1) + 64, 7);
    let child = map.fork().expect("memory");
    let maps = [&map, &child];
    let act = |cpu: usize| {
        run_on(&kit, cpu, maps[cpu]);
        for n in [cpu, 1 - cpu] {
            store(&kit, cpu, maps[cpu], page(n), 1 + cpu as u64).expect("stored");
            assert_eq!(load(&kit, cpu, maps[cpu], page(n)), Ok(1 + cpu as u64));
        }
    };
    crew.together(&kit, &[&|| act(0), &|| act(1)]);
    for (cpu, map) in maps.iter().enumerate().take(2) {
        for n in 0..2 {
            assert_eq!(get(map, page(n)), Ok(1 + cpu as u64));
            assert_eq!(get(map, page(n) + 64), Ok(7));
        }
    }
    assert_eq!(kit.vm().stats().frames_anon, 4);
    end!(kit, map, child);
}

pub fn stores_from_three_sides(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 1);
    set(&map, page(0), 7);
    let child = map.fork().expect("memory");
    let grandchild = child.fork().expect("memory");
    let maps = [&map, &child, &grandchild];
    let act = |cpu: usize| {
        run_on(&kit, cpu, maps[cpu]);
        assert_eq!(load(&kit, cpu, maps[cpu], page(0)), Ok(7));
        store(&kit, cpu, maps[cpu], page(0), cpu as u64).expect("stored");
        assert_eq!(load(&kit, cpu, maps[cpu], page(0)), Ok(cpu as u64));
    };
    crew.together(&kit, &[&|| act(0), &|| act(1), &|| act(2)]);
    for (cpu, map) in maps.iter().enumerate() {
        assert_eq!(get(map, page(0)), Ok(cpu as u64));
    }
    assert_eq!(kit.vm().stats().frames_anon, 3);
    end!(kit, map, child, grandchild);
}

pub fn stores_while_a_child_ends(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 2);
    set(&map, page(0), 7);
    set(&map, page(1), 7);
    let child = std::sync::Mutex::new(Some(map.fork().expect("memory")));
    let second = map.fork().expect("memory");
    let write = || {
        run_on(&kit, 0, &map);
        store(&kit, 0, &map, page(0), 1).expect("stored");
        store(&kit, 0, &map, page(1), 2).expect("stored");
    };
    let end = || drop(child.lock().expect("no panic").take());
    let other = || {
        run_on(&kit, 2, &second);
        assert_eq!(load(&kit, 2, &second, page(0)), Ok(7));
        store(&kit, 2, &second, page(1), 3).expect("stored");
    };
    crew.together(&kit, &[&write, &end, &other]);
    assert_eq!([get(&map, page(0)), get(&map, page(1))], [Ok(1), Ok(2)]);
    assert_eq!(
        [get(&second, page(0)), get(&second, page(1))],
        [Ok(7), Ok(3)]
    );
    assert_eq!(kit.vm().stats().frames_anon, 4);
    drop(child);
    end!(kit, map, second);
}

/// Two spaces share memory of which a third one has a copy that was not made yet: the first store makes the
/// copy, and must not part the sharers.
pub fn stores_to_shared_memory_of_which_a_copy_exists(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 2);
    set(&map, page(0) + 64, 7);
    set_inherit(&map, 0, 2, Inherit::Share);
    let sharer = map.fork().expect("memory");
    set_inherit(&map, 0, 2, Inherit::Copy);
    let copy = map.fork().expect("memory");
    let maps = [&map, &sharer, &copy];
    let act = |cpu: usize| {
        run_on(&kit, cpu, maps[cpu]);
        for n in 0..2 {
            load(&kit, cpu, maps[cpu], page(n) + 8).expect("loaded");
            store(&kit, cpu, maps[cpu], page(n) + 8 * cpu, 1 + cpu as u64).expect("stored");
        }
    };
    crew.together(&kit, &[&|| act(0), &|| act(1), &|| act(2)]);
    for n in 0..2 {
        for (cpu, map) in maps.iter().enumerate().take(2) {
            let seen = [0, 1, 2, 8].map(|word| load(&kit, cpu, map, page(n) + 8 * word));
            assert_eq!(
                seen,
                [Ok(1), Ok(2), Ok(0), Ok(if n == 0 { 7 } else { 0 })],
                "{cpu}"
            );
        }
        let seen = [0, 1, 2].map(|word| get(&copy, page(n) + 8 * word));
        assert_eq!(seen, [Ok(0), Ok(0), Ok(3)]);
    }
    end!(kit, map, sharer, copy);
}

pub fn stores_while_discarded(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 3);
    let child = map.fork().expect("memory");
    let write = |cpu: usize| {
        run_on(&kit, cpu, &map);
        for value in 1..5 {
            store(&kit, cpu, &map, page(1) + 8 * cpu, value).expect("stored");
            let seen = load(&kit, cpu, &map, page(1) + 8 * cpu).expect("loaded");
            assert!(seen == value || seen == 0, "{seen} after {value}");
        }
    };
    let discard = || {
        for _ in 0..2 {
            assert_eq!(map.discard(page(0), 3 * PAGE_SIZE), Ok(()));
        }
    };
    crew.together(&kit, &[&|| write(0), &|| write(1), &discard]);
    assert_eq!(get(&child, page(1)), Ok(0));
    end!(kit, map, child);
}

pub fn stores_while_moved(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 2);
    set(&map, page(1), 7);
    let write = || {
        run_on(&kit, 0, &map);
        let mut stored = 7;
        for value in 8..14 {
            for at in [page(1), page(21)] {
                match store(&kit, 0, &map, at, value) {
                    Ok(()) => stored = value,
                    Err(error) => assert_eq!(error, FaultError::NoMapping),
                }
            }
        }
        let seen = load(&kit, 0, &map, page(1)).or_else(|_| load(&kit, 0, &map, page(21)));
        assert_eq!(seen, Ok(stored));
    };
    let shift = || {
        let len = 2 * PAGE_SIZE;
        assert_eq!(
            map.remap(page(0), len, len, Remap::Fixed(page(20))),
            Ok(page(20))
        );
    };
    crew.together(&kit, &[&write, &shift]);
    assert_eq!(kit.vm().stats().frames_anon, 1);
    end!(kit, map);
}

pub fn two_forks_at_once(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 3);
    set(&map, page(0), 7);
    set_inherit(&map, 2, 1, Inherit::Share);
    let fork = |cpu: usize| {
        let child = map.fork().expect("memory");
        run_on(&kit, cpu, &child);
        assert_eq!(load(&kit, cpu, &child, page(0)), Ok(7));
        store(&kit, cpu, &child, page(0), 1).expect("stored");
        store(&kit, cpu, &child, page(2) + 8 * cpu, 1 + cpu as u64).expect("stored");
        assert_eq!(load(&kit, cpu, &child, page(0)), Ok(1));
        kit.leave(cpu, &child);
    };
    let write = || {
        run_on(&kit, 2, &map);
        store(&kit, 2, &map, page(1), 5).expect("stored");
    };
    crew.together(&kit, &[&|| fork(0), &|| fork(1), &write]);
    assert_eq!([get(&map, page(0)), get(&map, page(1))], [Ok(7), Ok(5)]);
    assert_eq!([get(&map, page(2)), get(&map, page(2) + 8)], [Ok(1), Ok(2)]);
    end!(kit, map);
}

pub fn stores_while_memory_is_short(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 6);
    set(&map, page(0), 7);
    let child = map.fork().expect("memory");
    kit.vm().machine().fail_allocations_randomly(5, 3);
    let maps = [&map, &child, &map];
    let act = |cpu: usize| {
        run_on(&kit, cpu, maps[cpu]);
        for n in 0..6 {
            match store(&kit, cpu, maps[cpu], page(n) + 8 * cpu, 1) {
                Ok(()) => assert_eq!(load(&kit, cpu, maps[cpu], page(n) + 8 * cpu), Ok(1)),
                Err(error) => assert_eq!(error, FaultError::OutOfMemory),
            }
        }
        drop(maps[cpu].fork());
    };
    crew.together(&kit, &[&|| act(0), &|| act(1), &|| act(2)]);
    kit.fail_nothing();
    for (cpu, map) in maps.iter().enumerate().take(3) {
        for n in 0..6 {
            store(&kit, cpu, map, page(n) + 8 * cpu, 2).expect("there is memory again");
        }
    }
    end!(kit, map, child);
}

pub fn kernel_reads_while_unmapped(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 2);
    set(&map, page(0), 7);
    set(&map, page(1), 7);
    let child = map.fork().expect("memory");
    let read = || {
        for _ in 0..4 {
            match get(&map, page(1)) {
                // The kernel holds the page while it copies: if it is the child's alone by then, it sees
                // the child's store.
                Ok(seen) => assert!(seen == 7 || seen == 8, "{seen:#x}"),
                Err(error) => assert_eq!(error, FaultError::NoMapping),
            }
        }
    };
    let unmap = || assert_eq!(map.unmap(page(0), 2 * PAGE_SIZE), Ok(()));
    let write = || {
        set(&child, page(1), 8);
        let frame = kit
            .vm()
            .alloc_frames(1, &FrameLimits::NONE)
            .expect("memory");
        kit.write(frame, 0, &[0xdb; PAGE_SIZE]);
        // SAFETY: allocated above.
        unsafe { kit.vm().free_frames(frame, 1) };
    };
    crew.together(&kit, &[&read, &unmap, &write]);
    end!(kit, map, child);
}

/// While one processor's store makes a copy of a page, a second stores to it and a third one reads: what the
/// second has stored the third must not miss, though it had the old page cached.
pub fn a_copy_is_seen_by_all_processors_at_once(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 1);
    set(&map, page(0), 7);
    let child = map.fork().expect("memory");
    for cpu in 0..3 {
        run_on(&kit, cpu, &map);
        assert_eq!(load(&kit, cpu, &map, page(0)), Ok(7));
    }
    let stored = std::sync::atomic::AtomicBool::new(false);
    let copy = || store(&kit, 0, &map, page(0), 1).expect("stored");
    let write = || {
        store(&kit, 1, &map, page(0) + 8, 2).expect("stored");
        stored.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let read = || {
        for _ in 0..4 {
            let must = stored.load(std::sync::atomic::Ordering::SeqCst);
            let seen = load(&kit, 2, &map, page(0) + 8).expect("loaded");
            assert!(
                seen == 2 || !must && seen == 0,
                "{seen} was seen after the store"
            );
            // Gives the others a chance.
            drop(kit.vm().new_anonymous(0));
        }
    };
    crew.together(&kit, &[&copy, &write, &read]);
    assert_eq!(
        [get(&child, page(0)), get(&child, page(0) + 8)],
        [Ok(7), Ok(0)]
    );
    end!(kit, map, child);
}
