//! What is told of pages without touching them.

use scalvm::{Access, PAGE_SIZE, PageInfo, PagePlace, PolicyKind, Share, SwapOptions, Which};
use scalvm_testkit::Hw;

use crate::common::*;
use crate::{paging, places, resident};

fn look(map: &scalvm::Map<'_, Hw>, n: usize) -> PageInfo {
    let mut page_info = [PageInfo::default()];
    assert_eq!(map.inspect(page(n), &mut page_info), 1);
    page_info[0]
}

#[test]
fn memory_is_told_of_as_it_is() {
    let kit = paging(PolicyKind::ClockPro);
    kit.swap_on(77, 16, SwapOptions::default()).expect("swap");
    let map = anonymous(&kit, 3);
    assert_eq!(places(&map, 8), [PagePlace::Nowhere; 3], "to the end alone");
    assert_eq!(map.inspect(page(3), &mut [PageInfo::default()]), 0);
    let faults = kit.vm().stats().faults;
    map.fault_wait(page(0), Access::Read).expect("memory");
    assert_eq!(look(&map, 0).place, PagePlace::Zeros);
    set(&map, page(0), 1);
    set(&map, page(1), 1);
    let info = look(&map, 0);
    assert!(
        info.own && info.dirty && !info.file && !info.given_up,
        "{info:?}"
    );
    assert_eq!((info.is_resident(), info.sharers), (true, 1));
    let child = map.fork().expect("memory");
    assert_eq!(look(&map, 0).sharers, 2);
    assert_eq!(look(&child, 0).sharers, 2);
    assert!(look(&child, 0).own && !look(&child, 0).mapped);
    set(&child, page(0), 2);
    assert_eq!(look(&child, 0).sharers, 1);
    drop(child);
    map.free(page(0), PAGE_SIZE).expect("mapped");
    let info = look(&map, 0);
    assert!(
        info.given_up && !info.dirty && info.is_resident(),
        "{info:?}"
    );
    assert_eq!(map.page_out(page(1), PAGE_SIZE), Ok(1));
    assert!(matches!(look(&map, 1).place, PagePlace::Swap(0, _)));
    assert_eq!(look(&map, 1).sharers, 1);
    assert!(kit.vm().stats().faults > faults);
    let faults = kit.vm().stats().faults;
    resident(&map, 3);
    assert_eq!(kit.vm().stats().faults, faults, "looking is no access");
    drop(map);
    nothing_left(&kit);
}

#[test]
fn pages_of_files_count_whoever_brought_them() {
    let kit = kit();
    let file = kit.open(0, 3 * PAGE_SIZE as u64);
    let map = new_map(&kit);
    map_object(&map, &file, 0, 4, Share::Private);
    assert_eq!(resident(&map, 4), [false; 4]);
    object_word(&file, 0);
    let info = look(&map, 0);
    assert!(
        info.file && !info.own && !info.mapped && !info.dirty,
        "{info:?}"
    );
    assert!(info.is_resident());
    set(&map, page(0), 1);
    let info = look(&map, 0);
    assert!(info.own && !info.file && info.dirty, "{info:?}");
    assert_eq!(look(&map, 3).place, PagePlace::Nowhere, "beyond the end");
    drop((map, file));
    nothing_left(&kit);
}

#[test]
fn a_look_at_much_is_in_pieces() {
    let kit = kit();
    let map = anonymous(&kit, 200);
    (0..200).for_each(|n| set(&map, page(n), 1));
    let mut pages = [PageInfo::default(); 200];
    let told = map.inspect(page(10), &mut pages);
    assert_eq!(told, 64);
    assert!(pages[..told].iter().all(PageInfo::is_resident));
    assert_eq!(map.inspect(page(190), &mut pages), 10);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn uses_are_forgotten_of_what_is_meant() {
    let kit = kit();
    let file = kit.open(0, PAGE_SIZE as u64);
    let map = anonymous(&kit, 1);
    map_object(&map, &file, 1, 1, Share::Shared);
    run_on(&kit, 0, &map);
    let used = || [0, 1].map(|n| look(&map, n).accessed);
    let use_both = || {
        for n in 0..2 {
            store(&kit, 0, &map, page(n), 1).expect("stored");
        }
    };
    for (which, left) in [
        (Which::Anonymous, [false, true]),
        (Which::Objects, [true, false]),
        (Which::All, [false, false]),
    ] {
        use_both();
        assert_eq!(used(), [true, true]);
        map.forget_uses(which);
        assert_eq!(used(), left, "{which:?}");
    }
    // What was written is written still.
    assert!(look(&map, 1).dirty);
    let peak = map.resident().peak;
    assert!(peak >= 2, "{peak}");
    map.discard(page(0), PAGE_SIZE).expect("mapped");
    assert_eq!(map.resident().peak, peak);
    map.forget_peak();
    assert_eq!(map.resident().peak, peak - 1);
    take_off(&kit, 0, &map);
    drop((map, file));
    nothing_left(&kit);
}
