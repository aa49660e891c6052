//! What leaves next, and what leaves now; what comes because it was asked for.

use scalvm::{Access, FaultError, Map, ObjectPages, PAGE_SIZE, PagePlace, Paging};
use scalvm::{PolicyKind, Prot, Share, SwapOptions, Unfinished};

use crate::common::*;
use crate::{paging, places, resident};

const SWAP: usize = 77;

#[test]
fn what_is_cool_leaves_first() {
    for policy in [PolicyKind::Clock, PolicyKind::ClockPro] {
        let kit = paging(policy);
        kit.swap_on(SWAP, 64, SwapOptions::default()).expect("swap");
        let map = anonymous(&kit, 40);
        run_on(&kit, 0, &map);
        for n in 0..40 {
            store(&kit, 0, &map, page(n), 1).expect("stored");
        }
        assert_eq!(map.cool(page(25), 4 * PAGE_SIZE), Ok(()));
        assert_eq!(kit.vm().stats().cooled, 4);
        // Four frames are wanted, and no more.
        kit.vm().set_marks(Paging {
            low: 0,
            reserve: 0,
            high: kit.vm().stats().frames_free + 4,
            ..Paging::for_frames(4096)
        });
        kit.vm().balance();
        let here = resident(&map, 40);
        let gone: Vec<usize> = (0..40).filter(|&n| !here[n]).collect();
        assert_eq!(gone, [25, 26, 27, 28], "{policy:?}");
        take_off(&kit, 0, &map);
        drop(map);
        nothing_left(&kit);
    }
}

#[test]
fn what_is_used_again_is_not_cool_any_more() {
    let kit = paging(PolicyKind::Clock);
    kit.swap_on(SWAP, 64, SwapOptions::default()).expect("swap");
    let map = anonymous(&kit, 8);
    run_on(&kit, 0, &map);
    for n in 0..8 {
        store(&kit, 0, &map, page(n), 1).expect("stored");
    }
    assert_eq!(map.cool(page(0), 2 * PAGE_SIZE), Ok(()));
    load(&kit, 0, &map, page(1)).expect("loaded");
    kit.vm().set_marks(Paging {
        low: 0,
        reserve: 0,
        high: kit.vm().stats().frames_free + 1,
        ..Paging::for_frames(4096)
    });
    kit.vm().balance();
    assert_eq!(resident(&map, 2), [false, true]);
    take_off(&kit, 0, &map);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn what_is_told_to_leave_is_gone_and_comes_back() {
    let kit = paging(PolicyKind::ClockPro);
    let map = anonymous(&kit, 6);
    (0..6).for_each(|n| set(&map, page(n), n as u64));
    assert_eq!(map.page_out(page(0), 6 * PAGE_SIZE), Ok(0), "to nowhere");
    kit.swap_on(SWAP, 64, SwapOptions::default()).expect("swap");
    let child = map.fork().expect("memory");
    set(&map, page(4), 9);
    assert_eq!(map.wire(page(5), PAGE_SIZE), Ok(()));
    assert_eq!(map.page_out(page(0), 6 * PAGE_SIZE), Ok(1), "its own alone");
    assert_eq!(resident(&map, 5), [true, true, true, true, false]);
    drop(child);
    assert_eq!(
        map.page_out(page(0), 6 * PAGE_SIZE),
        Ok(4),
        "not what is wired"
    );
    assert_eq!(kit.vm().stats().paged_out, 5);
    assert!(matches!(places(&map, 1)[0], PagePlace::Swap(..)));
    for n in 0..6 {
        let must = if n == 4 { 9 } else { n as u64 };
        assert_eq!(get(&map, page(n)), Ok(must));
    }
    drop(map);
    nothing_left(&kit);
}

#[test]
fn what_a_file_has_leaves_to_the_file() {
    let kit = paging(PolicyKind::ClockPro);
    let file = kit.open(0, 4 * PAGE_SIZE as u64);
    let map = new_map(&kit);
    map_object(&map, &file, 0, 4, Share::Shared);
    run_on(&kit, 0, &map);
    for n in 0..4 {
        store(&kit, 0, &map, page(n), 5).expect("stored");
    }
    let other = new_map(&kit);
    map_object(&other, &file, 0, 1, Share::Shared);
    assert_eq!(get(&other, page(0)), Ok(5));
    run_on(&kit, 1, &other);
    load(&kit, 1, &other, page(0)).expect("loaded");
    assert_eq!(
        map.page_out(page(0), 4 * PAGE_SIZE),
        Ok(3),
        "not what others map"
    );
    assert_eq!(file.resident(), 1);
    for n in 0..4 {
        assert_eq!(kit.disk_page(0, n).as_slice()[..8], 5u64.to_le_bytes());
        assert_eq!(get(&map, page(n as usize)), Ok(5));
    }
    kit.leave_all(&[&map, &other]);
    drop((map, other, file));
    nothing_left(&kit);
}

#[test]
fn clean_pages_of_files_are_dropped_and_dirty_ones_stay() {
    let kit = kit();
    let file = kit.open(0, 4 * PAGE_SIZE as u64);
    let map = new_map(&kit);
    map_object(&map, &file, 0, 4, Share::Shared);
    for n in 0..4 {
        get(&map, page(n)).expect("read");
    }
    set(&map, page(1), 5);
    assert_eq!(map.wire(page(2), PAGE_SIZE), Ok(()));
    assert_eq!(map.invalidate(page(0), 4 * PAGE_SIZE), Ok(()));
    let here = [0, 1, 2, 3].map(|n| file.is_resident(n));
    assert_eq!(here, [false, true, true, false]);
    assert_eq!(get(&map, page(1)), Ok(5));
    // Mapped pages stay where only what nobody maps is to go, and so do parts of pages.
    assert_eq!(map.sync(page(0), 4 * PAGE_SIZE), Ok(()));
    assert_eq!(map.unwire(page(2), PAGE_SIZE), Ok(()));
    assert_eq!(file.drop_clean(0, u64::MAX), 0);
    assert_eq!(map.unmap(page(0), 4 * PAGE_SIZE), Ok(()));
    assert_eq!(file.drop_clean(1, 2 * PAGE_SIZE as u64), 1);
    assert_eq!(file.drop_clean(0, u64::MAX), 1);
    assert_eq!((file.resident(), kit.vm().stats().dropped), (0, 4));
    drop((map, file));
    nothing_left(&kit);
}

#[test]
fn pages_of_an_object_are_counted_by_where_they_are() {
    let kit = paging(PolicyKind::ClockPro);
    kit.swap_on(SWAP, 64, SwapOptions::default()).expect("swap");
    let file = kit.open(0, 8 * PAGE_SIZE as u64);
    let map = new_map(&kit);
    map_object(&map, &file, 0, 8, Share::Shared);
    run_on(&kit, 0, &map);
    for n in 0..4 {
        load(&kit, 0, &map, page(n)).expect("loaded");
    }
    // By a program, so that only its page table knows.
    store(&kit, 0, &map, page(2), 5).expect("stored");
    let page_size = PAGE_SIZE as u64;
    let all = file.count(0, u64::MAX);
    let here = (0..8).filter(|n| file.is_resident(*n)).count() as u64;
    assert!(here >= 4);
    assert_eq!(
        (all.resident, all.dirty, all.writing, all.away),
        (here, 1, 0, 0)
    );
    assert_eq!(file.count(2 * page_size + 1, 1).dirty, 1, "a page in part");
    assert_eq!(file.count(3 * page_size, page_size).dirty, 0);
    assert_eq!(file.count(8 * page_size, u64::MAX), ObjectPages::default());
    assert_eq!(file.count(0, 0), ObjectPages::default());
    assert_eq!(file.sync(0, u64::MAX), Ok(()));
    assert_eq!(file.count(0, u64::MAX).dirty, 0);
    take_off(&kit, 0, &map);
    drop((map, file));

    let shm = kit.vm().new_anonymous(8 * page_size).expect("memory");
    let map = new_map(&kit);
    map_object(&map, &shm, 0, 8, Share::Shared);
    (0..6).for_each(|n| set(&map, page(n), 1));
    assert_eq!(map.page_out(page(1), 2 * PAGE_SIZE), Ok(2));
    let all = shm.count(0, u64::MAX);
    assert_eq!(
        (all.resident, all.dirty, all.writing, all.away),
        (4, 0, 0, 2)
    );
    assert_eq!((shm.resident(), shm.put_back()), (4, 2));
    assert_eq!(shm.count(2 * page_size, 2 * page_size).away, 1);
    drop((map, shm));
    nothing_left(&kit);
}

#[test]
fn how_far_populating_got_is_told() {
    let kit = kit();
    let map = anonymous(&kit, 3);
    let stop = |n, error| Err(Unfinished { at: page(n), error });
    let len = 5 * PAGE_SIZE;
    assert_eq!(
        map.populate_for(page(0), len, Access::Write),
        stop(3, FaultError::NoMapping)
    );
    assert_eq!(resident(&map, 3), [true; 3]);
    assert_eq!(kit.vm().stats().populated, 3);
    assert_eq!(map.protect(page(1), PAGE_SIZE, Prot::READ), Ok(()));
    assert_eq!(
        map.populate_for(page(0), 3 * PAGE_SIZE, Access::Write),
        stop(1, FaultError::Protection)
    );
    assert_eq!(
        map.populate_for(page(0), 3 * PAGE_SIZE, Access::Read),
        Ok(())
    );
    assert_eq!(
        map.populate_for(page(0) + 1, PAGE_SIZE, Access::Read),
        Err(Unfinished {
            at: page(0) + 1,
            error: FaultError::NoMapping
        })
    );
    drop(map);
    nothing_left(&kit);
}

#[test]
fn what_is_punched_is_zeros_for_all() {
    let kit = kit();
    let shm = kit
        .vm()
        .new_anonymous(4 * PAGE_SIZE as u64)
        .expect("memory");
    let map = new_map(&kit);
    map_object(&map, &shm, 0, 4, Share::Shared);
    (0..4).for_each(|n| set(&map, page(n), 1));
    let child = map.fork().expect("memory");
    let copier = new_map(&kit);
    map_object(&copier, &shm, 0, 4, Share::Private);
    set(&copier, page(1), 2);
    let punch = |map: &Map<'_, _>, n, pages: usize| {
        let (object, offset) = map.object_at(page(n) + 5).expect("mapped");
        object.punch(offset, (pages * PAGE_SIZE) as u64)
    };
    assert_eq!(punch(&map, 1, 2), Ok(()));
    let seen = |map| [0, 1, 2, 3].map(|n| get(map, page(n)).expect("read"));
    assert_eq!(seen(&map), [1, 0, 0, 1]);
    assert_eq!(seen(&child), [1, 0, 0, 1]);
    assert_eq!(seen(&copier), [1, 2, 0, 1], "its copy is its own");
    assert_eq!(object_word(&shm, 2 * PAGE_SIZE), 0);
    assert_eq!(shm.resident(), 4, "read again, there are zeros");

    let file = kit.open(0, PAGE_SIZE as u64);
    map_object(&map, &file, 8, 1, Share::Shared);
    assert_eq!(punch(&map, 8, 1), Err(FaultError::BeyondEnd));
    assert_eq!(punch(&copier, 0, 1), Ok(()), "it shows the same object");
    assert_eq!(seen(&child), [0, 0, 0, 1]);
    assert!(anonymous(&kit, 1).object_at(page(0)).is_none());
    assert!(map.object_at(page(4)).is_none());
    shm.keep_contents();
    assert_eq!(punch(&map, 3, 1), Err(FaultError::Protection));
    assert_eq!(seen(&child), [0, 0, 0, 1]);
    drop((map, child, copier, shm, file));
    nothing_left(&kit);
}
