//! Reading ahead: how many requests and pages a reader costs, and when they are made.

use scalvm::{
    Access, Advice, FaultError, Map, Object, PAGE_SIZE, PagerError, Paging, Share, Stream,
};
use scalvm_machine::{Pace, Rng};
use scalvm_testkit::{Hw, Kit};

use crate::common::*;

const MANY: usize = 100_000;

/// A file of so many pages.
fn file(kit: &Kit, pages: usize) -> Object<'_, Hw> {
    kit.open(0, (pages * PAGE_SIZE) as u64)
}

/// A map with so many pages of an object, on processor 0.
fn mapped<'v>(kit: &'v Kit, object: &Object<'v, Hw>, pages: usize) -> Map<'v, Hw> {
    let map = new_map(kit);
    map_object(&map, object, 0, pages, Share::Shared);
    run_on(kit, 0, &map);
    map
}

/// Requests and pages that were read.
fn read(kit: &Kit) -> [u64; 2] {
    let counts = kit.disk().counts();
    [counts.reads, counts.pages_read]
}

fn hold(object: &Object<'_, Hw>, index: usize) {
    drop(object.hold(index as u64, Access::Read).expect("held"));
}

#[test]
fn a_sequential_reader_by_faults_costs_one_request_for_sixteen_pages() {
    for slow in [false, true] {
        let kit = kit();
        let object = file(&kit, 1000);
        let map = mapped(&kit, &object, 1000);
        kit.disk()
            .set_pace(if slow { Pace::Later } else { Pace::AtOnce });
        let before = kit.vm().stats().faults;
        for n in 0..1000 {
            load(&kit, 0, &map, page(n)).expect("loaded");
        }
        kit.pump(100);
        let [requests, pages] = read(&kit);
        assert_eq!(pages, 1000, "no page is read twice");
        assert!(requests <= 1000 / 16 + 4, "{requests} requests");
        let s = kit.vm().stats();
        assert!(s.faults_major <= 1 && s.ahead == 999, "{s:?}");
        assert!(s.faults - before <= 1000 / 5, "neighbours are mapped along");
        // The page tables tell of the use of those.
        take_off(&kit, 0, &map);
        drop((map, object));
        let s = kit.vm().stats();
        assert_eq!([s.ahead_hits, s.ahead_wasted], [999, 0]);
        nothing_left(&kit);
    }
}

#[test]
fn a_sequential_reader_by_holds_does_the_same() {
    let kit = kit();
    let object = file(&kit, 1000);
    for n in 0..1000 {
        hold(&object, n);
    }
    let [requests, pages] = read(&kit);
    assert_eq!(pages, 1000);
    assert!(requests <= 1000 / 16 + 4, "{requests} requests");
    assert_eq!(kit.vm().stats().ahead_hits, 999);
}

#[test]
fn the_next_window_is_being_read_before_the_reader_comes_to_it() {
    let kit = kit();
    let object = file(&kit, 1000);
    (0..100).for_each(|n| hold(&object, n));
    kit.disk().set_pace(Pace::Later);
    for n in 100..400 {
        hold(&object, n);
        // A slow disk: whatever the reader has not waited for is still under way.
        assert!(kit.disk().waiting() <= 2);
        if n % 16 == 13 {
            assert!(kit.disk().waiting() >= 1, "at page {n}");
            kit.pump(1);
        }
    }
    drop(object);
    kit.pump(10);
    nothing_left(&kit);
}

#[test]
fn random_readers_soon_read_one_page_each() {
    for by_faults in [false, true] {
        let kit = kit();
        let object = file(&kit, MANY);
        let map = mapped(&kit, &object, MANY);
        let mut rng = Rng::new(3);
        for _ in 0..1000 {
            let n = rng.below(MANY as u64) as usize;
            if by_faults {
                load(&kit, 0, &map, page(n)).expect("loaded");
            } else {
                hold(&object, n);
            }
        }
        let [_, pages] = read(&kit);
        assert!(pages <= 1060, "{pages} pages for 1000");
        take_off(&kit, 0, &map);
    }
}

#[test]
fn interleaved_readers_each_get_their_window() {
    for by_faults in [false, true] {
        let kit = kit();
        let object = file(&kit, 3000);
        let map = mapped(&kit, &object, 3000);
        for n in 0..800 {
            for begin in [0, 2000] {
                if by_faults {
                    load(&kit, 0, &map, page(begin + n)).expect("loaded");
                } else {
                    hold(&object, begin + n);
                }
            }
        }
        let [requests, pages] = read(&kit);
        assert!(requests <= 2 * (800 / 16 + 4), "{requests} requests");
        assert!(pages <= 2 * (800 + 32), "{pages} pages");
        take_off(&kit, 0, &map);
    }
}

#[test]
fn advice_is_followed() {
    let kit = kit();
    let object = file(&kit, 1000);
    let map = mapped(&kit, &object, 1000);
    let advise = |advice| assert_eq!(map.advise(AT, 1000 * PAGE_SIZE, advice), Ok(()));
    advise(Advice::Random);
    for n in 0..50 {
        load(&kit, 0, &map, page(n)).expect("loaded");
    }
    assert_eq!(read(&kit), [50, 50], "one page each, sequential or not");
    advise(Advice::Sequential);
    load(&kit, 0, &map, page(100)).expect("loaded");
    assert_eq!(read(&kit), [52, 82], "two windows at once");
    take_off(&kit, 0, &map);
}

#[test]
fn what_will_be_needed_is_started_and_not_waited_for() {
    let kit = kit();
    let object = file(&kit, 200);
    kit.disk().set_pace(Pace::Later);
    object.will_need(PAGE_SIZE as u64 + 1, 39 * PAGE_SIZE as u64);
    assert_eq!(kit.disk().waiting(), 3, "pages 1 to 40");
    object.will_need(0, u64::MAX);
    kit.pump(100);
    assert_eq!(read(&kit)[1], 200, "no page is read twice");
    (0..200).for_each(|n| hold(&object, n));
    assert_eq!(read(&kit)[1], 200);
    object.will_need(u64::MAX, 1);
    object.will_need(0, 0);
    drop(object);
    nothing_left(&kit);
}

#[test]
fn each_open_file_has_a_stream_of_its_own() {
    let kit = kit();
    let object = file(&kit, 1000);
    let mut streams = [Stream::new(); 6];
    // More readers than an object follows by itself, of 4 pages a time.
    for n in (0..100).step_by(4) {
        for (i, stream) in streams.iter_mut().enumerate() {
            let at = i * 160 + n;
            object.read_ahead(stream, at as u64, 4);
            (at..at + 4).for_each(|n| hold(&object, n));
        }
    }
    let [requests, pages] = read(&kit);
    assert_eq!(kit.vm().stats().faults_major, 0);
    assert!(requests <= 6 * (100 / 8), "{requests} requests");
    assert!(pages <= 6 * (100 + 33), "{pages} pages");
    drop(object);
    nothing_left(&kit);
}

#[test]
fn a_stream_that_jumps_reads_what_is_asked_for() {
    let kit = kit();
    let object = file(&kit, MANY);
    let (mut stream, mut rng) = (Stream::new(), Rng::new(8));
    for _ in 0..200 {
        let at = 1 + rng.below(MANY as u64 - 1) as usize;
        object.read_ahead(&mut stream, at as u64, 1);
        hold(&object, at);
    }
    assert!(read(&kit)[1] <= 200, "{:?}", read(&kit));
}

#[test]
fn a_page_read_ahead_that_fails_is_read_again_by_who_needs_it() {
    let kit = kit();
    let object = file(&kit, 100);
    hold(&object, 0);
    kit.disk().fail_pages(0, 10..11);
    // This page asks for 4 to 11, which nobody waits for.
    hold(&object, 3);
    assert_eq!(kit.disk().counts().failed, 1);
    kit.vm().check_invariants();
    kit.disk().stop_failing();
    hold(&object, 4);
    drop(object);
    nothing_left(&kit);
}

#[test]
fn reading_ahead_leaves_memory_for_others() {
    let kit = Kit::new(512);
    let object = file(&kit, 2000);
    object.will_need(0, u64::MAX);
    let s = kit.vm().stats();
    assert!(s.ahead > 300, "{s:?}");
    assert!(s.frames_free >= s.frames_total / 40, "{s:?}");
    // A reader gets on, page by page, as long as there is memory.
    hold(&object, 1999);
    drop(object);
    let s = kit.vm().stats();
    assert_eq!(s.ahead_hits + s.ahead_wasted, s.ahead);
    nothing_left(&kit);
}

#[test]
fn a_file_larger_than_memory_is_read_in_whole_windows_too() {
    const PAGES: usize = 10_000;
    for by_faults in [false, true] {
        let kit = Kit::new(4000);
        let paging = Paging::for_frames(4000);
        kit.vm().start_paging(paging).expect("memory");
        let object = file(&kit, PAGES);
        let map = mapped(&kit, &object, PAGES);
        for n in 0..PAGES {
            // In the place of the page daemon.
            if n % 16 == 0 && kit.vm().stats().frames_free < paging.low {
                kit.vm().balance();
            }
            if by_faults {
                load(&kit, 0, &map, page(n)).expect("loaded");
            } else {
                hold(&object, n);
            }
        }
        let [requests, pages] = read(&kit);
        assert!(requests < PAGES as u64 / 13, "{requests} requests");
        assert!(pages < PAGES as u64 + 100, "{pages} pages");
        take_off(&kit, 0, &map);
        drop((map, object));
        nothing_left(&kit);
    }
}

#[test]
fn truncation_meets_reading_ahead() {
    let kit = kit();
    let object = file(&kit, 100);
    kit.disk().set_pace(Pace::Later);
    object.will_need(0, 100 * PAGE_SIZE as u64);
    assert_eq!(object.set_size(10 * PAGE_SIZE as u64 + 5), Ok(()));
    kit.pump(100);
    kit.vm().check_invariants();
    (0..11).for_each(|n| hold(&object, n));
    assert_eq!(
        object.hold(11, Access::Read).err(),
        Some(FaultError::BeyondEnd)
    );
    drop(object);
    nothing_left(&kit);
}

#[test]
fn only_the_bad_page_of_a_file_cannot_be_read() {
    for by_faults in [false, true] {
        let kit = kit();
        let object = file(&kit, 100);
        let map = mapped(&kit, &object, 100);
        kit.disk().fail_pages(0, 9..10);
        let mut failed = Vec::new();
        for n in 0..100 {
            let result = if by_faults {
                load(&kit, 0, &map, page(n)).map(|_| ())
            } else {
                object.hold(n as u64, Access::Read).map(|_| ())
            };
            if let Err(error) = result {
                assert_eq!(error, FaultError::Pager(PagerError::Io));
                failed.push(n);
            }
        }
        assert_eq!(failed, [9]);
        let [requests, pages] = read(&kit);
        assert!(requests < 30 && pages < 140, "{requests}, {pages}");
        kit.fail_nothing();
        hold(&object, 9);
        take_off(&kit, 0, &map);
        drop((map, object));
        nothing_left(&kit);
    }
}
