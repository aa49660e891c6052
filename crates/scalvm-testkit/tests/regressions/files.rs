//! Files: private and shared mappings, truncation, sync, failing disks.

use scalvm::{
    Access, FaultError, FrameLimits, MapError, PAGE_SIZE, PagerError, Prot, Remap, Share,
};
use scalvm_testkit::Kit;

use crate::common::*;

const SIZE: usize = 6 * PAGE_SIZE;

fn file(kit: &Kit) -> scalvm::Object<'_, scalvm_testkit::Hw> {
    kit.open(0, SIZE as u64)
}

/// The word that the disk has from the start in a page of file 0.
fn first(kit: &Kit, index: usize) -> u64 {
    disk_word(kit, index)
}

fn disk_word(kit: &Kit, index: usize) -> u64 {
    let page = kit.disk_page(0, index as u64);
    u64::from_le_bytes(page.as_slice()[..8].try_into().expect("eight"))
}

#[test]
fn a_private_mapping_sees_the_file_until_it_writes() {
    let kit = kit();
    let (object, map) = (file(&kit), new_map(&kit));
    map_object(&map, &object, 0, 3, Share::Private);
    assert_eq!(get(&map, page(0)), Ok(first(&kit, 0)));
    object.write_at(0, &1u64.to_le_bytes()).expect("written");
    assert_eq!(get(&map, page(0)), Ok(1));
    set(&map, page(0), 2);
    object.write_at(0, &3u64.to_le_bytes()).expect("written");
    assert_eq!(
        [get(&map, page(0)), Ok(object_word(&object, 0))],
        [Ok(2), Ok(3)]
    );
    assert_eq!(map.discard(page(0), PAGE_SIZE), Ok(()));
    assert_eq!(get(&map, page(0)), Ok(3), "what was discarded was the copy");
    drop((object, map));
    nothing_left(&kit);
}

#[test]
fn stores_after_a_sync_are_synced_by_the_next_one() {
    let kit = kit();
    let (object, map) = (file(&kit), new_map(&kit));
    map_object(&map, &object, 0, 3, Share::Shared);
    run_on(&kit, 0, &map);
    for value in 1..5 {
        store(&kit, 0, &map, page(1), value).expect("stored");
        assert_eq!(map.sync(page(0), 3 * PAGE_SIZE), Ok(()));
        assert_eq!(disk_word(&kit, 1), value);
    }
    take_off(&kit, 0, &map);
}

/// OpenBSD's mmap_mod: whether a page was modified is an attribute of the page, not of its mapping.
#[test]
fn a_page_that_was_modified_unmapped_and_mapped_again_is_not_lost_to_msync() {
    let kit = kit();
    let (object, map) = (file(&kit), new_map(&kit));
    run_on(&kit, 0, &map);
    map_object(&map, &object, 0, 3, Share::Shared);
    store(&kit, 0, &map, page(2), 77).expect("stored");
    assert_eq!(map.unmap(page(0), 3 * PAGE_SIZE), Ok(()));
    map_object(&map, &object, 10, 3, Share::Shared);
    assert_eq!(load(&kit, 0, &map, page(12)), Ok(77));
    assert_eq!(map.sync(page(10), 3 * PAGE_SIZE), Ok(()));
    assert_eq!(disk_word(&kit, 2), 77);
    take_off(&kit, 0, &map);
}

#[test]
fn what_the_mmu_alone_knows_to_be_modified_is_not_lost_with_its_mapping() {
    for way in 0..5 {
        let kit = kit();
        let (object, map) = (file(&kit), new_map(&kit));
        run_on(&kit, 0, &map);
        map_object(&map, &object, 0, 3, Share::Shared);
        store(&kit, 0, &map, page(1), 1).expect("stored");
        assert_eq!(map.sync(AT, 3 * PAGE_SIZE), Ok(()));
        // No fault: the page may still be written, so only the table's dirty bit tells.
        store(&kit, 0, &map, page(1), 2).expect("stored");
        match way {
            0 => assert_eq!(map.unmap(AT, 3 * PAGE_SIZE), Ok(())),
            1 => assert_eq!(map.discard(AT, 3 * PAGE_SIZE), Ok(())),
            2 => assert_eq!(map.protect(AT, 3 * PAGE_SIZE, Prot::empty()), Ok(())),
            3 => {
                let moved = map.remap(AT, 3 * PAGE_SIZE, 3 * PAGE_SIZE, Remap::Fixed(page(8)));
                assert_eq!(moved, Ok(page(8)));
            }
            _ => {
                take_off(&kit, 0, &map);
                map.clear();
            }
        }
        assert_eq!(object.sync(0, SIZE as u64), Ok(()));
        assert_eq!(disk_word(&kit, 1), 2, "{way}");
        take_off(&kit, 0, &map);
    }
}

#[test]
fn what_was_modified_under_a_right_taken_away_since_is_synced() {
    let kit = kit();
    let (object, map) = (file(&kit), new_map(&kit));
    run_on(&kit, 0, &map);
    map_object(&map, &object, 0, 3, Share::Shared);
    store(&kit, 0, &map, page(0), 5).expect("stored");
    store(&kit, 0, &map, page(1), 6).expect("stored");
    assert_eq!(map.protect(page(0), PAGE_SIZE, Prot::READ), Ok(()));
    assert_eq!(map.protect(page(1), PAGE_SIZE, Prot::empty()), Ok(()));
    assert_eq!(object.sync(0, SIZE as u64), Ok(()));
    assert_eq!([disk_word(&kit, 0), disk_word(&kit, 1)], [5, 6]);
    take_off(&kit, 0, &map);
}

#[test]
fn what_another_map_modified_is_synced_too() {
    let kit = kit();
    let (object, first, second) = (file(&kit), new_map(&kit), new_map(&kit));
    map_object(&first, &object, 0, 3, Share::Shared);
    map_object(&second, &object, 7, 3, Share::Shared);
    let child = second.fork().expect("memory");
    run_on(&kit, 1, &child);
    store(&kit, 1, &child, page(8), 9).expect("stored");
    assert_eq!(first.sync(page(0), 3 * PAGE_SIZE), Ok(()));
    assert_eq!(disk_word(&kit, 1), 9);
    store(&kit, 1, &child, page(8), 10).expect("stored");
    assert_eq!(first.sync(page(0), 3 * PAGE_SIZE), Ok(()));
    assert_eq!(
        disk_word(&kit, 1),
        10,
        "the first sync took the right to write, or looks at dirty bits"
    );
    take_off(&kit, 1, &child);
    drop((child, first, second, object));
    nothing_left(&kit);
}

#[test]
fn an_access_beyond_the_truncated_end_is_told_apart() {
    for share in [Share::Private, Share::Shared] {
        let kit = kit();
        let (object, map) = (file(&kit), new_map(&kit));
        map_object(&map, &object, 0, 6, share);
        run_on(&kit, 0, &map);
        for n in 0..6 {
            load(&kit, 0, &map, page(n)).expect("loaded");
        }
        assert_eq!(object.set_size(2 * PAGE_SIZE as u64 + 100), Ok(()));
        assert!(load(&kit, 0, &map, page(2)).is_ok());
        assert_eq!(
            load(&kit, 0, &map, page(2) + 104),
            Ok(0),
            "the tail of the last page is zeroed"
        );
        assert_eq!(load(&kit, 0, &map, page(3)), Err(FaultError::BeyondEnd));
        assert_eq!(store(&kit, 0, &map, page(5), 1), Err(FaultError::BeyondEnd));
        kit.truncate(0, 2 * PAGE_SIZE as u64 + 100);
        assert_eq!(object.set_size(SIZE as u64), Ok(()));
        assert_eq!(
            load(&kit, 0, &map, page(3)),
            Ok(0),
            "what was cut off does not come back"
        );
        assert_eq!(load(&kit, 0, &map, page(2) + 104), Ok(0));
        take_off(&kit, 0, &map);
        drop((object, map));
        nothing_left(&kit);
    }
}

#[test]
fn a_wired_mapping_is_truncated_and_extended() {
    let kit = kit();
    let (object, map) = (file(&kit), new_map(&kit));
    map_object(&map, &object, 0, 6, Share::Shared);
    assert_eq!(map.wire(AT, SIZE), Ok(()));
    set(&map, page(4), 3);
    assert_eq!(object.set_size(PAGE_SIZE as u64), Ok(()));
    kit.truncate(0, PAGE_SIZE as u64);
    assert_eq!(get(&map, page(4)), Err(FaultError::BeyondEnd));
    assert_eq!(object.set_size(SIZE as u64), Ok(()));
    assert_eq!(get(&map, page(4)), Ok(0));
    assert_eq!(map.unwire(AT, SIZE), Ok(()));
    drop((object, map));
    nothing_left(&kit);
}

#[test]
fn a_failing_read_is_told_and_tried_again_on_the_next_fault() {
    let kit = kit();
    let (object, map) = (file(&kit), new_map(&kit));
    map_object(&map, &object, 0, 3, Share::Shared);
    kit.disk().fail_pages(0, 1..2);
    assert_eq!(
        fault(&kit, &map, page(1), Access::Read),
        Err(FaultError::Pager(PagerError::Io))
    );
    map.check_invariants();
    kit.fail_nothing();
    assert_eq!(get(&map, page(1)), Ok(first(&kit, 1)));
    drop((object, map));
    nothing_left(&kit);
}

#[test]
fn a_page_whose_write_failed_stays_dirty() {
    let kit = kit();
    let (object, map) = (file(&kit), new_map(&kit));
    map_object(&map, &object, 0, 3, Share::Shared);
    set(&map, page(0), 8);
    kit.fail_io(1);
    assert_eq!(
        map.sync(AT, PAGE_SIZE),
        Err(MapError::Pager(PagerError::Io))
    );
    assert_eq!(get(&map, page(0)), Ok(8));
    assert_eq!(map.sync(AT, PAGE_SIZE), Ok(()));
    assert_eq!(disk_word(&kit, 0), 8);
}

#[test]
fn a_clean_page_is_not_written() {
    let kit = kit();
    let (object, map) = (file(&kit), new_map(&kit));
    map_object(&map, &object, 0, 6, Share::Shared);
    run_on(&kit, 0, &map);
    for n in 0..6 {
        load(&kit, 0, &map, page(n)).expect("loaded");
    }
    store(&kit, 0, &map, page(3), 1).expect("stored");
    let before = kit.vm().stats().pageouts;
    assert_eq!(map.sync(AT, SIZE), Ok(()));
    assert_eq!(kit.vm().stats().pageouts, before + 1);
    assert_eq!(map.sync(AT, SIZE), Ok(()));
    assert_eq!(kit.vm().stats().pageouts, before + 1);
    take_off(&kit, 0, &map);
}

#[test]
fn writes_through_a_private_mapping_never_reach_the_file() {
    let kit = kit();
    let (object, map) = (file(&kit), new_map(&kit));
    map_object(&map, &object, 0, 6, Share::Private);
    let before = first(&kit, 0);
    set(&map, page(0), 1);
    assert_eq!(map.sync(AT, SIZE), Ok(()));
    assert_eq!(object.sync(0, SIZE as u64), Ok(()));
    assert_eq!(
        [disk_word(&kit, 0), object_word(&object, 0)],
        [before, before]
    );
}

#[test]
fn a_private_copy_outlives_its_parent_and_its_file() {
    let kit = kit();
    let (object, parent) = (file(&kit), new_map(&kit));
    map_object(&parent, &object, 0, 6, Share::Private);
    let word = first(&kit, 1);
    set(&parent, page(0), 1);
    let child = parent.fork().expect("memory");
    drop((object, parent));
    assert_eq!(
        [get(&child, page(0)), get(&child, page(1))],
        [Ok(1), Ok(word)]
    );
    drop(child);
    assert_eq!(
        kit.released(),
        1,
        "the vnode is told that its object is gone"
    );
    nothing_left(&kit);
}

#[test]
fn a_page_that_is_held_survives_truncation() {
    let kit = kit();
    let object = file(&kit);
    let held = object.hold(4, Access::Write).expect("held");
    let frame = held.frame();
    kit.write(frame, 0, &5u64.to_le_bytes());
    assert_eq!(object.set_size(PAGE_SIZE as u64), Ok(()));
    kit.truncate(0, PAGE_SIZE as u64);
    kit.vm().check_invariants();
    let others: Vec<_> = (0..64)
        .map(|_| {
            kit.vm()
                .alloc_frames(1, &FrameLimits::NONE)
                .expect("memory")
        })
        .collect();
    assert!(
        !others.contains(&frame),
        "the frame is not given to another"
    );
    assert_eq!(kit.bytes(frame).as_slice()[..8], 5u64.to_le_bytes());
    assert_eq!(object.set_size(SIZE as u64), Ok(()));
    assert_eq!(object_word(&object, 4 * PAGE_SIZE), 0);
    drop(held);
    for frame in others {
        // SAFETY: they were allocated above and nothing uses them.
        unsafe { kit.vm().free_frames(frame, 1) };
    }
    drop(object);
    nothing_left(&kit);
}

#[test]
fn a_store_through_a_page_held_for_writing_is_synced() {
    let kit = kit();
    let object = file(&kit);
    let held = object.hold(2, Access::Write).expect("held");
    kit.write(held.frame(), 0, &6u64.to_le_bytes());
    drop(held);
    assert_eq!(object.sync(0, SIZE as u64), Ok(()));
    assert_eq!(disk_word(&kit, 2), 6);
}

#[test]
fn a_store_to_a_page_that_was_held_across_a_sync_is_synced_by_the_next() {
    let kit = kit();
    let object = file(&kit);
    let held = object.hold(2, Access::Write).expect("held");
    assert_eq!(object.sync(0, SIZE as u64), Ok(()));
    kit.write(held.frame(), 0, &6u64.to_le_bytes());
    drop(held);
    assert_eq!(object.sync(0, SIZE as u64), Ok(()));
    assert_eq!(disk_word(&kit, 2), 6);
}

#[test]
fn reads_and_writes_stop_at_the_size() {
    let kit = kit();
    let object = kit.open(0, PAGE_SIZE as u64 + 10);
    let mut bytes = [0; 100];
    assert_eq!(object.read_at(PAGE_SIZE as u64, &mut bytes), Ok(10));
    assert_eq!(object.read_at(PAGE_SIZE as u64 + 10, &mut bytes), Ok(0));
    assert_eq!(object.read_at(u64::MAX - 50, &mut bytes), Ok(0));
    assert_eq!(
        object.write_at(PAGE_SIZE as u64, &bytes),
        Err(FaultError::BeyondEnd)
    );
    assert_eq!(
        object.write_at(u64::MAX - 50, &bytes),
        Err(FaultError::BeyondEnd)
    );
    assert_eq!(
        object.hold(2, Access::Read).map(|_| ()),
        Err(FaultError::BeyondEnd)
    );
}

#[test]
fn holders_are_handles_mappings_and_private_copies() {
    let kit = kit();
    let (object, map) = (file(&kit), new_map(&kit));
    assert_eq!(object.holders(), 1);
    let other = object.clone();
    assert_eq!(object.holders(), 2);
    drop(other);
    map_object(&map, &object, 0, 3, Share::Shared);
    map_object(&map, &object, 3, 3, Share::Private);
    assert_eq!(object.holders(), 3);
    // The copy holds it in the place of the mapping, and so does the child's.
    set(&map, page(4), 1);
    assert_eq!(object.holders(), 3);
    let child = map.fork().expect("memory");
    assert_eq!(object.holders(), 5);
    drop((map, child));
    assert_eq!(object.holders(), 1);
    drop(object);
    nothing_left(&kit);
}
