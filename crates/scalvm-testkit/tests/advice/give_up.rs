//! Giving memory up: it goes when memory is short, unless it is written before.

use scalvm::{MapError, PAGE_SIZE, PagePlace, PolicyKind, Share, SwapOptions};

use crate::common::*;
use crate::{paging, places, resident};

/// The page of the disk that serves as swap.
const SWAP: usize = 77;

#[test]
fn what_is_given_up_goes_without_a_store_to_go_to() {
    for policy in [PolicyKind::Clock, PolicyKind::ClockPro] {
        let kit = paging(policy);
        let map = anonymous(&kit, 40);
        (0..40).for_each(|n| set(&map, page(n), 1 + n as u64));
        kit.vm().balance();
        assert_eq!(kit.vm().stats().evicted, 0, "nothing may leave");
        assert_eq!(map.free(page(20), 4 * PAGE_SIZE), Ok(()));
        assert_eq!(get(&map, page(21)), Ok(22), "it is still there");
        kit.vm().balance();
        let stats = kit.vm().stats();
        assert_eq!(
            (stats.given_up, stats.given_up_gone, stats.evicted),
            (4, 4, 4)
        );
        for n in 0..40 {
            let must = if (20..24).contains(&n) {
                0
            } else {
                1 + n as u64
            };
            assert_eq!(get(&map, page(n)), Ok(must), "page {n}");
        }
        // What came back as zeros may go again, for nothing; and no longer when it is written.
        set(&map, page(20), 7);
        kit.vm().balance();
        assert_eq!(kit.vm().stats().given_up_gone, 7);
        assert_eq!(get(&map, page(20)), Ok(7));
        kit.vm().check_invariants();
        drop(map);
        nothing_left(&kit);
    }
}

#[test]
fn a_write_after_the_advice_keeps_the_page() {
    let kit = paging(PolicyKind::ClockPro);
    let map = anonymous(&kit, 2);
    run_on(&kit, 0, &map);
    for n in 0..2 {
        store(&kit, 0, &map, page(n), 1).expect("stored");
    }
    assert_eq!(map.free(page(0), 2 * PAGE_SIZE), Ok(()));
    store(&kit, 0, &map, page(0) + 8, 2).expect("stored");
    kit.vm().balance();
    assert_eq!(load(&kit, 0, &map, page(0)), Ok(1), "with what it held");
    assert_eq!(load(&kit, 0, &map, page(0) + 8), Ok(2));
    assert_eq!(load(&kit, 0, &map, page(1)), Ok(0));
    take_off(&kit, 0, &map);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn what_was_put_back_is_forgotten_at_once() {
    let kit = paging(PolicyKind::ClockPro);
    kit.swap_on(SWAP, 16, SwapOptions::default()).expect("swap");
    let map = anonymous(&kit, 4);
    (0..4).for_each(|n| set(&map, page(n), 1));
    assert_eq!(map.page_out(page(0), 4 * PAGE_SIZE), Ok(4));
    assert_eq!(swap_devices(&kit)[0].used, 4);
    assert_eq!(map.free(page(0), 3 * PAGE_SIZE), Ok(()));
    assert_eq!(swap_devices(&kit)[0].used, 1);
    assert_eq!(places(&map, 3), [PagePlace::Nowhere; 3]);
    assert_eq!([0, 3].map(|n| get(&map, page(n))), [Ok(0), Ok(1)]);
    // One with a copy on the disk, not changed since, gives that up as well.
    assert_eq!(map.free(page(3), PAGE_SIZE), Ok(()));
    assert_eq!(swap_devices(&kit)[0].used, 0);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn what_others_have_stays() {
    let kit = paging(PolicyKind::ClockPro);
    let map = anonymous(&kit, 3);
    (0..3).for_each(|n| set(&map, page(n), 1));
    let child = map.fork().expect("memory");
    set(&map, page(1), 2);
    assert_eq!(map.wire(page(2), PAGE_SIZE), Ok(()));
    assert_eq!(map.free(page(0), 3 * PAGE_SIZE), Ok(()));
    kit.vm().balance();
    let seen = |map| [0, 1, 2].map(|n| get(map, page(n)).expect("read"));
    assert_eq!(seen(&map), [1, 0, 1], "shared, its own, wired");
    assert_eq!(seen(&child), [1, 1, 1]);
    // Given up first and forked then, it goes for both.
    assert_eq!(child.free(page(1), PAGE_SIZE), Ok(()));
    let grandchild = child.fork().expect("memory");
    kit.vm().balance();
    assert_eq!((seen(&child)[1], seen(&grandchild)[1]), (0, 0));
    drop((map, child, grandchild));
    nothing_left(&kit);
}

#[test]
fn mappings_of_objects_and_holes_are_passed_over() {
    let kit = paging(PolicyKind::ClockPro);
    let file = kit.open(0, 2 * PAGE_SIZE as u64);
    let map = anonymous(&kit, 1);
    map_object(&map, &file, 1, 2, Share::Private);
    (0..3).for_each(|n| set(&map, page(n), 1));
    assert_eq!(map.free(page(0), 4 * PAGE_SIZE), Err(MapError::NotMapped));
    kit.vm().balance();
    assert_eq!(
        [0, 1, 2].map(|n| get(&map, page(n)).expect("read")),
        [0, 1, 1]
    );
    assert_eq!(map.free(page(0) + 8, PAGE_SIZE), Err(MapError::BadRange));
    assert_eq!(resident(&map, 1), [true]);
    drop((map, file));
    nothing_left(&kit);
}
