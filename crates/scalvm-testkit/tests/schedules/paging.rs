//! Scenes in which pages leave memory and come back meanwhile.

use std::sync::Mutex;

use scalvm::{Access, FaultError, PAGE_SIZE, Paging, Share, SwapError, SwapOptions};
use scalvm_codecs::Lz4;
use scalvm_testkit::Kit;

use crate::common::*;
use crate::crew::{Act, Crew};
use crate::memory::end;

/// The file of the disk that serves as swap.
const SWAP: usize = 77;

/// A kit that can page, to so many slots and to so many frames of compressed pages: nothing leaves by
/// itself, all that can leaves in [`evict`].
pub fn paging(crew: &dyn Crew, slots: u64, compressed: u64) -> Kit {
    let kit = crew.kit();
    start(&kit, slots, compressed);
    kit
}

/// Has a machine page, to so many slots of a swap device and so many frames of compressed pages.
pub fn start(kit: &Kit, slots: u64, compressed: u64) {
    let vm = kit.vm();
    let marks = Paging {
        low: 0,
        reserve: 0,
        ..Paging::for_frames(512)
    };
    vm.start_paging(marks).expect("memory");
    if slots > 0 {
        add_swap(kit, slots);
    }
    if compressed > 0 {
        vm.set_compressor(&Lz4, compressed).expect("memory");
    }
    vm.set_marks(Paging {
        high: 1 << 30,
        ..marks
    });
}

/// Adds a swap device.
pub fn add_swap(kit: &Kit, slots: u64) {
    let added = kit
        .vm()
        .add_swap(kit.disk(), SWAP, slots, SwapOptions::default());
    // Allocations may be made to fail.
    assert!(matches!(added, Ok(_) | Err(SwapError::OutOfMemory)));
}

/// Lets all leave that can.
pub fn evict(kit: &Kit) {
    kit.vm().balance();
}

/// Carries out acts while pages leave again and again, then a last one alone.
pub fn under_pressure(crew: &dyn Crew, kit: &Kit, acts: &[Act<'_>], last: Act<'_>) {
    let leave = || {
        for _ in 0..3 {
            evict(kit);
        }
    };
    let mut all = acts.to_vec();
    all.push(&leave);
    crew.together(kit, &all);
    crew.together(kit, &[&leave]);
    crew.together(kit, &[last]);
}

/// As many acts as processors but one store to the same pages and read what they stored.
pub fn stores_while_pages_leave(crew: &dyn Crew) {
    stores(crew, paging(crew, 64, 0));
}

pub fn stores_while_pages_are_compressed(crew: &dyn Crew) {
    stores(crew, paging(crew, 64, 6));
}

fn stores(crew: &dyn Crew, kit: Kit) {
    let map = anonymous(&kit, 4);
    let act = |cpu: usize| {
        run_on(&kit, cpu, &map);
        for round in 1..4 {
            for n in 0..4 {
                store(&kit, cpu, &map, page(n) + 8 * cpu, round).expect("stored");
                assert_eq!(load(&kit, cpu, &map, page(n) + 8 * cpu), Ok(round));
            }
        }
    };
    let check = || {
        for n in 0..4 {
            assert_eq!(get(&map, page(n)), Ok(3));
            assert_eq!(get(&map, page(n) + 8), Ok(3));
        }
    };
    under_pressure(crew, &kit, &[&|| act(0), &|| act(1)], &check);
    assert!(kit.vm().stats().evicted >= 4, "pages have left");
    end!(kit, map);
}

pub fn forks_while_pages_leave(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let map = anonymous(&kit, 3);
    let prepare = || {
        for n in 0..3 {
            set(&map, page(n), 1);
        }
    };
    crew.together(&kit, &[&prepare]);
    let children = Mutex::new(Vec::new());
    let fork = || {
        for _ in 0..2 {
            let child = map.fork().expect("memory");
            set(&child, page(1), 2);
            assert_eq!(get(&child, page(0)), Ok(1));
            children.lock().expect("no panic").push(child);
        }
    };
    let write = || {
        run_on(&kit, 1, &map);
        store(&kit, 1, &map, page(2), 3).expect("stored");
        assert_eq!(load(&kit, 1, &map, page(1)), Ok(1));
    };
    let check = || {
        assert_eq!([0, 1, 2].map(|n| get(&map, page(n))), [Ok(1), Ok(1), Ok(3)]);
        for child in &*children.lock().expect("no panic") {
            assert_eq!(get(child, page(0)), Ok(1));
            assert_eq!(get(child, page(1)), Ok(2));
            let seen = get(child, page(2)).expect("read");
            assert!(seen == 1 || seen == 3);
        }
    };
    under_pressure(crew, &kit, &[&fork, &write], &check);
    drop(children);
    end!(kit, map);
}

/// Two spaces bring the same page back at once, and one of them ends.
pub fn sharers_bring_a_page_back(crew: &dyn Crew) {
    sharers(crew, paging(crew, 64, 0));
}

pub fn sharers_decompress_a_page(crew: &dyn Crew) {
    sharers(crew, paging(crew, 0, 20));
}

fn sharers(crew: &dyn Crew, kit: Kit) {
    let map = anonymous(&kit, 2);
    let children = Mutex::new(Vec::new());
    let prepare = || {
        for n in 0..2 {
            set(&map, page(n), 1 + n as u64);
        }
        for _ in 0..2 {
            let child = map.fork().expect("memory");
            children.lock().expect("no panic").push(child);
        }
        evict(&kit);
    };
    crew.together(&kit, &[&prepare]);
    let read = || {
        assert_eq!(get(&map, page(1)), Ok(2));
        set(&map, page(0), 7);
    };
    let child = || {
        let child = children.lock().expect("no panic").pop().expect("a child");
        assert_eq!(get(&child, page(1)), Ok(2));
        assert_eq!(get(&child, page(0)), Ok(1));
    };
    let check = || {
        assert_eq!([get(&map, page(0)), get(&map, page(1))], [Ok(7), Ok(2)]);
    };
    under_pressure(crew, &kit, &[&read, &child, &child], &check);
    drop(children);
    end!(kit, map);
}

pub fn memory_ends_while_it_leaves(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let map = anonymous(&kit, 8);
    let prepare = || (0..8).for_each(|n| set(&map, page(n), 1));
    crew.together(&kit, &[&prepare]);
    let unmap = || assert_eq!(map.unmap(page(1), 3 * PAGE_SIZE), Ok(()));
    let discard = || {
        map.discard(page(4), 2 * PAGE_SIZE).expect("discarded");
        assert_eq!(get(&map, page(5)), Ok(0));
    };
    let check = || {
        assert_eq!(get(&map, page(0)), Ok(1));
        assert_eq!(get(&map, page(2)), Err(FaultError::NoMapping));
        assert_eq!(get(&map, page(4)), Ok(0));
        assert_eq!(get(&map, page(7)), Ok(1));
    };
    under_pressure(crew, &kit, &[&unmap, &discard], &check);
    end!(kit, map);
}

/// A shared object: written by the kernel and by programs, cut short, and paged.
pub fn an_object_is_cut_while_it_leaves(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let object = kit
        .vm()
        .new_anonymous(6 * PAGE_SIZE as u64)
        .expect("memory");
    let map = new_map(&kit);
    map_object(&map, &object, 0, 6, Share::Shared);
    let prepare = || (0..6).for_each(|n| set(&map, page(n), 1));
    crew.together(&kit, &[&prepare]);
    let cut = || {
        object.set_size(3 * PAGE_SIZE as u64 + 100).expect("cut");
        object.set_size(6 * PAGE_SIZE as u64).expect("grown");
    };
    let write = || {
        for n in 0..3 {
            let at = (n * PAGE_SIZE + 8) as u64;
            object.write_at(at, &5u64.to_le_bytes()).expect("written");
            assert_eq!(get(&map, page(n) + 8), Ok(5));
        }
    };
    let check = || {
        for n in 0..4 {
            assert_eq!(get(&map, page(n)), Ok(1));
        }
        assert_eq!([get(&map, page(4)), get(&map, page(5))], [Ok(0), Ok(0)]);
        assert_eq!(get(&map, page(2) + 8), Ok(5));
    };
    under_pressure(crew, &kit, &[&cut, &write], &check);
    drop(object);
    end!(kit, map);
}

/// Who holds a page may write it as long as it is held, wherever its mapping has gone.
pub fn held_pages_stay(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let map = anonymous(&kit, 2);
    let act = |n: usize| {
        for round in 1..4u64 {
            let held = map.hold(page(n), Access::Write).expect("held");
            // The other thread's evictions pass meanwhile.
            let frame = held.frame();
            evict(&kit);
            assert_eq!(held.frame(), frame);
            // SAFETY: the page's bytes, which keep their place while it is held.
            unsafe { held.as_ptr().add(8).cast::<u64>().write_volatile(round) };
            drop(held);
            assert_eq!(get(&map, page(n) + 8), Ok(round));
        }
    };
    let check = || {
        for n in 0..2 {
            assert_eq!(get(&map, page(n) + 8), Ok(3));
        }
    };
    under_pressure(crew, &kit, &[&|| act(0), &|| act(1)], &check);
    end!(kit, map);
}

/// The child's copies of held pages leave like all others, and the originals when they are let go.
pub fn held_pages_are_forked_while_they_leave(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let map = anonymous(&kit, 2);
    let children = Mutex::new(Vec::new());
    let hold = || {
        for value in 1..4u64 {
            let held = map.hold(page(1), Access::Write).expect("held");
            kit.write(held.frame(), 0, &value.to_le_bytes());
            evict(&kit);
            kit.write(held.frame(), 8, &value.to_le_bytes());
        }
    };
    let fork = || {
        for _ in 0..2 {
            let child = map.fork().expect("memory");
            let seen = [0, 8].map(|at| get(&child, page(1) + at));
            children.lock().expect("no panic").push((child, seen));
        }
    };
    let check = || {
        assert_eq!([0, 8].map(|at| get(&map, page(1) + at)), [Ok(3), Ok(3)]);
        for (child, seen) in &*children.lock().expect("no panic") {
            assert_eq!([0, 8].map(|at| get(child, page(1) + at)), *seen);
        }
    };
    under_pressure(crew, &kit, &[&hold, &fork], &check);
    drop(children);
    end!(kit, map);
}

/// File pages, dirty and clean, seen through shared and private mappings.
pub fn file_pages_leave(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let object = kit.open(0, 6 * PAGE_SIZE as u64);
    let map = new_map(&kit);
    map_object(&map, &object, 0, 6, Share::Shared);
    map_object(&map, &object, 10, 6, Share::Private);
    let shared = || {
        run_on(&kit, 0, &map);
        for n in 0..6 {
            store(&kit, 0, &map, page(n) + 16, 5).expect("stored");
        }
        for n in 0..6 {
            assert_eq!(load(&kit, 0, &map, page(n) + 16), Ok(5));
        }
    };
    let private = || {
        run_on(&kit, 1, &map);
        for n in 10..13 {
            store(&kit, 1, &map, page(n) + 24, 6).expect("stored");
        }
        for n in 10..13 {
            assert_eq!(load(&kit, 1, &map, page(n) + 24), Ok(6));
        }
    };
    let check = || {
        for n in 0..6 {
            assert_eq!(get(&map, page(n) + 16), Ok(5));
            assert_eq!(object_word(&object, n * PAGE_SIZE + 16), 5);
        }
        for n in 10..13 {
            assert_eq!(get(&map, page(n) + 24), Ok(6));
        }
        assert_eq!(get(&map, page(14) + 16), Ok(5));
        object.sync(0, u64::MAX).expect("synced");
    };
    under_pressure(crew, &kit, &[&shared, &private], &check);
    drop(object);
    end!(kit, map);
}

/// A device is emptied while its pages are used, brought back, and put there again.
pub fn a_device_is_removed_while_used(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let map = anonymous(&kit, 6);
    let prepare = || {
        (0..6).for_each(|n| set(&map, page(n), n as u64));
        evict(&kit);
    };
    crew.together(&kit, &[&prepare]);
    let devices = swap_devices(&kit);
    let remove = || {
        for device in &devices {
            if kit.vm().remove_swap(device.id).is_ok() {
                add_swap(&kit, 64);
            }
        }
    };
    let write = || {
        run_on(&kit, 0, &map);
        for n in 0..6 {
            assert_eq!(load(&kit, 0, &map, page(n)), Ok(n as u64));
            store(&kit, 0, &map, page(n) + 8, 1).expect("stored");
        }
    };
    let check = || {
        for n in 0..6 {
            assert_eq!(get(&map, page(n)), Ok(n as u64));
            assert_eq!(get(&map, page(n) + 8), Ok(1));
        }
    };
    under_pressure(crew, &kit, &[&remove, &write], &check);
    end!(kit, map);
}

/// A device is emptied while what is there ends: each slot is freed once.
pub fn a_device_is_removed_while_memory_ends(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let map = anonymous(&kit, 4);
    let prepare = || {
        (0..4).for_each(|n| set(&map, page(n), n as u64));
        evict(&kit);
    };
    crew.together(&kit, &[&prepare]);
    let remove = || {
        for device in swap_devices(&kit) {
            assert_eq!(kit.vm().remove_swap(device.id), Ok(()));
        }
    };
    let end = || {
        for n in 0..3 {
            assert_eq!(map.discard(page(n), PAGE_SIZE), Ok(()));
        }
    };
    crew.together(&kit, &[&remove, &end]);
    assert_eq!([get(&map, page(0)), get(&map, page(3))], [Ok(0), Ok(3)]);
    end!(kit, map);
}

/// Requests fail now and then: nothing is lost.
pub fn pages_leave_to_a_disk_that_fails(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let map = anonymous(&kit, 5);
    let prepare = || (0..5).for_each(|n| set(&map, page(n), n as u64));
    crew.together(&kit, &[&prepare]);
    kit.disk().fail_randomly(crew.seed(), 3);
    let act = |cpu: usize| {
        for n in 0..5 {
            let at = page(n) + 8 * cpu + 8;
            while map.write(at, &9u64.to_le_bytes()).is_err() {}
            let seen = loop {
                if let Ok(seen) = get(&map, page(n)) {
                    break seen;
                }
            };
            assert_eq!(seen, n as u64);
        }
    };
    let check = || {
        kit.disk().stop_failing();
        for n in 0..5 {
            assert_eq!(get(&map, page(n)), Ok(n as u64));
            assert_eq!(get(&map, page(n) + 8), Ok(9));
            assert_eq!(get(&map, page(n) + 16), Ok(9));
        }
    };
    under_pressure(crew, &kit, &[&|| act(0), &|| act(1)], &check);
    end!(kit, map);
}
