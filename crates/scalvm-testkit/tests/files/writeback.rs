//! Write-back: which requests are made of what is dirty, when, and what becomes of errors.

use scalvm::{Access, MapError, Object, PAGE_SIZE, PagerError, Paging, Share};
use scalvm_machine::Pace;
use scalvm_testkit::{Hw, Kit};

use crate::common::*;

const PAGES: usize = 100;
const SIZE: u64 = (PAGES * PAGE_SIZE) as u64;

fn write(object: &Object<'_, Hw>, index: usize, value: u64) {
    let at = (index * PAGE_SIZE) as u64;
    assert_eq!(object.write_at(at, &value.to_le_bytes()), Ok(()));
}

fn on_disk(kit: &Kit, file: usize, index: usize) -> u64 {
    let page = kit.disk_page(file, index as u64);
    u64::from_le_bytes(page.as_slice()[..8].try_into().expect("eight"))
}

/// Requests and pages that were written.
fn written(kit: &Kit) -> [u64; 2] {
    let counts = kit.disk().counts();
    [counts.writes, counts.pages_written]
}

#[test]
fn runs_of_dirty_pages_become_clusters() {
    let kit = kit();
    let object = kit.open(0, SIZE);
    for index in [0, 1, 2, 10, 11, 40].into_iter().chain(50..83) {
        write(&object, index, 7);
    }
    assert_eq!(kit.vm().sync_all(), Ok(()));
    // 0-2, 10-11, 40, and 33 pages in three.
    assert_eq!(written(&kit), [6, 39]);
    assert_eq!(kit.vm().sync_all(), Ok(()));
    assert_eq!(written(&kit), [6, 39], "a page is written once");
    for index in [0, 1, 2, 10, 11, 40].into_iter().chain(50..83) {
        assert_eq!(on_disk(&kit, 0, index), 7);
    }
    kit.vm().check_invariants();
}

#[test]
fn everything_is_synced_however_it_was_made_dirty() {
    let kit = kit();
    let (objects, map) = ([0, 1, 2].map(|file| kit.open(file, SIZE)), new_map(&kit));
    run_on(&kit, 0, &map);
    map_object(&map, &objects[1], 0, 10, Share::Shared);
    write(&objects[0], 3, 1);
    store(&kit, 0, &map, page(3), 2).expect("stored");
    let held = objects[2].hold(3, Access::Write).expect("held");
    assert_eq!(kit.vm().sync_all(), Ok(()));
    assert_eq!([on_disk(&kit, 0, 3), on_disk(&kit, 1, 3)], [1, 2]);
    // Known to the page table alone, and to the holder.
    store(&kit, 0, &map, page(3), 3).expect("stored");
    kit.write(held.frame(), 0, &4u64.to_le_bytes());
    drop(held);
    kit.vm().check_invariants();
    assert_eq!(kit.vm().sync_all(), Ok(()));
    assert_eq!([on_disk(&kit, 1, 3), on_disk(&kit, 2, 3)], [3, 4]);
    // What the table knows passes to the page.
    store(&kit, 0, &map, page(3), 5).expect("stored");
    assert_eq!(map.unmap(AT, 10 * PAGE_SIZE), Ok(()));
    kit.vm().check_invariants();
    assert_eq!(kit.vm().sync_all(), Ok(()));
    assert_eq!(on_disk(&kit, 1, 3), 5);
    let before = written(&kit);
    assert_eq!(kit.vm().sync_all(), Ok(()));
    assert_eq!(written(&kit), before, "nothing is dirty any more");
    take_off(&kit, 0, &map);
    drop((objects, map));
    nothing_left(&kit);
}

#[test]
fn what_is_clean_costs_a_pass_nothing() {
    let kit = kit();
    let objects: Vec<_> = (0..200).map(|file| kit.open(file, SIZE)).collect();
    for object in &objects {
        write(object, 0, 1);
    }
    assert_eq!(kit.vm().sync_all(), Ok(()));
    kit.costs_at_most("a pass", 10, || assert_eq!(kit.vm().sync_all(), Ok(())));
    write(&objects[77], 0, 2);
    kit.costs_at_most("a pass", 60, || assert_eq!(kit.vm().sync_all(), Ok(())));
    assert_eq!(on_disk(&kit, 77, 0), 2);
}

#[test]
fn a_failed_write_is_kept_told_once_and_tried_again() {
    let kit = kit();
    let object = kit.open(0, SIZE);
    let before = on_disk(&kit, 0, 5);
    write(&object, 5, 1);
    kit.disk().fail_pages(0, 5..6);
    for pass in 1..4 {
        kit.vm().write_back(0);
        assert_eq!(written(&kit), [pass, pass], "each pass tries once");
        assert_eq!(on_disk(&kit, 0, 5), before);
        kit.vm().check_invariants();
    }
    assert_eq!(kit.vm().sync_all(), Err(PagerError::Io), "not told yet");
    kit.disk().stop_failing();
    assert_eq!(
        object.sync(0, SIZE),
        Err(PagerError::Io),
        "several, told as one"
    );
    assert_eq!(on_disk(&kit, 0, 5), 1, "and yet it has been written now");
    assert_eq!(object.sync(0, SIZE), Ok(()));
    assert_eq!(kit.vm().sync_all(), Ok(()));
    assert_eq!(object_word(&object, 5 * PAGE_SIZE), 1);
    drop(object);
    nothing_left(&kit);
}

#[test]
fn an_error_of_write_back_is_told_to_msync() {
    let kit = kit();
    let (object, map) = (kit.open(0, SIZE), new_map(&kit));
    map_object(&map, &object, 0, 10, Share::Shared);
    set(&map, page(1), 9);
    kit.fail_io(1);
    kit.vm().write_back(0);
    kit.vm().write_back(0);
    assert_eq!(on_disk(&kit, 0, 1), 9, "tried again");
    let sync = || map.sync(AT, 10 * PAGE_SIZE);
    assert_eq!(sync(), Err(MapError::Pager(PagerError::Io)));
    assert_eq!(sync(), Ok(()));
}

#[test]
fn one_bad_file_does_not_stop_the_others() {
    let kit = kit();
    let objects = [0, 1, 2].map(|file| kit.open(file, SIZE));
    for object in &objects {
        write(object, 0, 3);
    }
    kit.disk().fail_pages(1, 0..1);
    assert_eq!(kit.vm().sync_all(), Err(PagerError::Io));
    assert_eq!([on_disk(&kit, 0, 0), on_disk(&kit, 2, 0)], [3, 3]);
    kit.disk().stop_failing();
    assert_eq!(objects[0].sync(0, SIZE), Ok(()), "no error of its own");
    assert_eq!(objects[1].sync(0, SIZE), Err(PagerError::Io));
    assert_eq!(on_disk(&kit, 1, 0), 3);
}

#[test]
fn the_old_is_written_back_before_the_new() {
    let kit = kit();
    let [old, new] = [0, 1].map(|file| kit.open(file, SIZE));
    write(&old, 0, 1);
    kit.vm().machine().pass_time(30);
    write(&new, 0, 1);
    kit.vm().write_back(31);
    assert_eq!(written(&kit), [0, 0]);
    kit.vm().write_back(30);
    assert_eq!([on_disk(&kit, 0, 0), written(&kit)[0]], [1, 1]);
    // Dirty again: its age begins anew.
    write(&old, 0, 2);
    kit.vm().machine().pass_time(29);
    kit.vm().write_back(30);
    assert_eq!(written(&kit), [1, 1]);
    kit.vm().machine().pass_time(1);
    kit.vm().write_back(30);
    assert_eq!([on_disk(&kit, 0, 0), on_disk(&kit, 1, 0)], [2, 1]);
}

#[test]
fn write_back_does_not_wait_but_for_room_in_the_queue() {
    let kit = Kit::new(4096);
    let object = kit.open(0, 40 * 16 * PAGE_SIZE as u64);
    for index in 0..8 {
        write(&object, index * 16, 1);
    }
    kit.disk().set_pace(Pace::Later);
    kit.vm().write_back(0);
    assert_eq!(kit.disk().waiting(), 8, "all are under way");
    // What is being written is not written twice, nor waited for.
    kit.vm().write_back(0);
    assert_eq!(kit.disk().waiting(), 8);
    write(&object, 0, 2);
    kit.vm().write_back(0);
    assert_eq!(kit.disk().waiting(), 8);
    kit.pump(8);
    kit.vm().write_back(0);
    kit.pump(1);
    assert_eq!(
        on_disk(&kit, 0, 0),
        2,
        "what changed meanwhile is dirty again"
    );
    kit.disk().set_pace(Pace::AtOnce);
    (0..40).for_each(|n| write(&object, n * 16, 3));
    kit.disk().set_pace(Pace::Later);
    kit.vm().write_back(0);
    let waiting = kit.disk().waiting();
    assert!((8..=16).contains(&waiting), "{waiting} requests at a time");
    assert_eq!(kit.vm().sync_all(), Ok(()));
    assert!((0..40).all(|n| on_disk(&kit, 0, n * 16) == 3));
    drop(object);
    nothing_left(&kit);
}

#[test]
fn dirty_files_whose_last_handle_goes_are_not_brought_to_life() {
    let kit = kit();
    let [first, second, third] = [0, 1, 2].map(|file| kit.open(file, SIZE));
    for object in [&first, &second, &third] {
        write(object, 0, 4);
    }
    drop(second);
    assert_eq!(kit.released(), 1);
    kit.vm().check_invariants();
    assert_eq!(kit.vm().sync_all(), Ok(()));
    assert_eq!([on_disk(&kit, 0, 0), on_disk(&kit, 2, 0)], [4, 4]);
    assert_ne!(on_disk(&kit, 1, 0), 4, "lost, as its description says");
    // A request that is under way keeps its object until it is done.
    kit.disk().set_pace(Pace::Later);
    write(&first, 0, 5);
    kit.vm().write_back(0);
    drop((first, third));
    assert_eq!(kit.released(), 2);
    kit.pump(1);
    assert_eq!([kit.released(), on_disk(&kit, 0, 0)], [3, 5]);
    nothing_left(&kit);
}

#[test]
fn a_bad_place_does_not_keep_its_neighbours_from_theirs() {
    let kit = kit();
    let object = kit.open(0, SIZE);
    (0..40).for_each(|index| write(&object, index, 6));
    kit.disk().fail_pages(0, 20..21);
    kit.vm().write_back(0);
    assert_eq!(written(&kit)[0], 3);
    assert_eq!([on_disk(&kit, 0, 15), on_disk(&kit, 0, 39)], [6, 6]);
    // The cluster that failed is written page by page now.
    kit.vm().write_back(0);
    assert_eq!(written(&kit)[0], 3 + 16);
    assert!(
        (0..40)
            .filter(|i| *i != 20)
            .all(|i| on_disk(&kit, 0, i) == 6)
    );
    kit.vm().write_back(0);
    assert_eq!(written(&kit)[0], 3 + 16 + 1);
    kit.fail_nothing();
    kit.vm().write_back(0);
    assert_eq!(on_disk(&kit, 0, 20), 6);
    // And together again.
    (16..32).for_each(|index| write(&object, index, 7));
    let before = written(&kit)[0];
    kit.vm().write_back(0);
    assert_eq!(written(&kit)[0], before + 1);
}

#[test]
fn the_page_daemon_has_dirty_file_pages_written_in_clusters_and_drops_them() {
    let kit = Kit::new(600);
    kit.vm()
        .start_paging(Paging::for_frames(600))
        .expect("memory");
    let object = kit.open(0, 2000 * PAGE_SIZE as u64);
    for n in 0..2000 {
        write(&object, n, 100 + n as u64);
    }
    let [requests, pages] = written(&kit);
    assert!(pages >= 1400, "most of it left: {pages}");
    assert!(
        requests < pages / 8,
        "{requests} requests for {pages} pages"
    );
    kit.vm().check_invariants();
    assert!((0..2000).all(|n| object_word(&object, n * PAGE_SIZE) == 100 + n as u64));
    assert_eq!(kit.vm().sync_all(), Ok(()));
    assert!((0..2000).all(|n| on_disk(&kit, 0, n) == 100 + n as u64));
}
