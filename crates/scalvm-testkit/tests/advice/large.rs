//! Large leaves for anonymous memory: how they come, what splits them, what is joined again. (A large leaf maps
//! eight pages here, and `AT` is aligned to that.)

use scalvm::{
    Access, Inherit, Large, LargePages, MapError, MapRequest, NotLarge, PAGE_SIZE, PagePlace,
    Paging, Place, Prot, SwapOptions,
};
use scalvm_machine::Tables;
use scalvm_testkit::{Hw, Kit, Order};

use crate::common::*;

/// Pages of a large leaf.
const ROW: usize = 8;
const SWAP: usize = 77;

fn narrow(frames: u64) -> Kit {
    Kit::with(Order {
        frames,
        tables: Tables::Narrow,
        ..Order::default()
    })
}

/// A map with so many pages at `AT`, which asks for large leaves.
fn asking(kit: &Kit, pages: usize) -> scalvm::Map<'_, Hw> {
    let map = anonymous(kit, pages);
    assert_eq!(map.large_bytes(), ROW * PAGE_SIZE);
    assert_eq!(
        map.advise_large(AT, pages * PAGE_SIZE, Large::Asked),
        Ok(())
    );
    map
}

/// Stores to each page its number and one more, from processor 0.
fn fill(kit: &Kit, map: &scalvm::Map<'_, Hw>, pages: std::ops::Range<usize>) {
    pages.for_each(|n| store(kit, 0, map, page(n), n as u64 + 1).expect("stored"));
}

/// A map with a row that has been stored to, which processor 0 runs.
fn filled(kit: &Kit) -> scalvm::Map<'_, Hw> {
    let map = asking(kit, ROW);
    run_on(kit, 0, &map);
    fill(kit, &map, 0..ROW);
    map
}

fn check_filled(kit: &Kit, map: &scalvm::Map<'_, Hw>, pages: std::ops::Range<usize>) {
    pages.for_each(|n| assert_eq!(load(kit, 0, map, page(n)), Ok(n as u64 + 1), "page {n}"));
    kit.vm().check_invariants();
    map.check_invariants();
    kit.check_translations(map.pmap());
}

/// Pages that large leaves map.
fn large(map: &scalvm::Map<'_, Hw>) -> usize {
    map.usage().large_pages as usize
}

/// Drops a map that processor 0 runs, and looks that nothing is left.
fn end(kit: &Kit, map: scalvm::Map<'_, Hw>) {
    take_off(kit, 0, &map);
    drop(map);
    nothing_left(kit);
}

#[test]
fn a_write_of_untouched_memory_brings_a_row() {
    let kit = narrow(1024);
    let map = asking(&kit, 20);
    run_on(&kit, 0, &map);
    store(&kit, 0, &map, page(3), 4).expect("stored");
    assert_eq!(large(&map), ROW);
    fill(&kit, &map, 0..20);
    // Two faults brought rows; what is left of the mapping is no row.
    let stats = kit.vm().stats();
    assert_eq!((stats.large_faults, stats.faults), (2, 2 + 4));
    assert_eq!((large(&map), stats.frames_anon), (2 * ROW, 20));
    check_filled(&kit, &map, 0..20);
    end(&kit, map);
}

#[test]
fn it_is_done_only_where_it_is_wanted() {
    let kit = narrow(1024);
    let vm = kit.vm();
    let map = asking(&kit, 4 * ROW);
    run_on(&kit, 0, &map);
    let try_at = |n: usize| {
        store(&kit, 0, &map, page(n), 1).expect("stored");
        assert_eq!(map.discard(AT, 4 * ROW * PAGE_SIZE), Ok(()));
        let faults = vm.stats().large_faults;
        store(&kit, 0, &map, page(n), 1).expect("stored");
        vm.stats().large_faults > faults
    };
    assert!(try_at(0));
    vm.set_large_pages(LargePages::Never);
    assert!(!try_at(0));
    vm.set_large_pages(LargePages::Always);
    assert!(try_at(0));
    map.allow_large(false);
    assert!(!try_at(0));
    let child = map.fork().expect("memory");
    assert!(!child.allows_large(), "a child has its parent's rule");
    drop(child);
    map.allow_large(true);
    assert_eq!(map.advise_large(AT, ROW * PAGE_SIZE, Large::Never), Ok(()));
    assert!(!try_at(0));
    assert!(try_at(ROW));
    vm.set_large_pages(LargePages::Asked);
    assert_eq!(map.advise_large(AT, ROW * PAGE_SIZE, Large::Unsaid), Ok(()));
    assert!(!try_at(0));
    // Who must give up single pages gets single pages.
    map.set_resident_limits(None, Some(100));
    assert!(!try_at(ROW));
    map.set_resident_limits(None, None);
    // A part that has other rights is no part of the row.
    assert_eq!(map.protect(page(ROW), PAGE_SIZE, Prot::READ), Ok(()));
    assert!(!try_at(ROW + 1));
    assert!(try_at(2 * ROW + 1));
    // Shared memory comes page by page.
    let object = vm.new_anonymous(1 << 20).expect("memory");
    map_object(&map, &object, 4 * ROW, ROW, scalvm::Share::Shared);
    let hint = map.advise_large(page(4 * ROW), ROW * PAGE_SIZE, Large::Asked);
    assert_eq!(hint, Ok(()));
    assert!(!try_at(4 * ROW));
    drop(object);
    end(&kit, map);
}

#[test]
fn zeros_that_were_read_before_make_way_on_all_processors() {
    let kit = narrow(1024);
    let map = asking(&kit, ROW);
    run_on(&kit, 0, &map);
    run_on(&kit, 1, &map);
    for n in 0..ROW {
        assert_eq!(load(&kit, 1, &map, page(n)), Ok(0));
    }
    fill(&kit, &map, 0..ROW);
    assert_eq!(large(&map), ROW);
    kit.check_translations(map.pmap());
    for n in 0..ROW {
        assert_eq!(load(&kit, 1, &map, page(n)), Ok(n as u64 + 1));
    }
    take_off(&kit, 1, &map);
    end(&kit, map);
}

#[test]
fn what_touches_a_part_splits_it() {
    type Act = fn(&Kit, &scalvm::Map<'_, Hw>);
    let acts: [(&str, Act); 8] = [
        ("protect", |_, map| {
            assert_eq!(map.protect(page(2), PAGE_SIZE, Prot::READ), Ok(()));
            assert_eq!(map.protect(page(2), PAGE_SIZE, Prot::RW), Ok(()));
        }),
        ("move away", |_, map| {
            let to = scalvm::Remap::Fixed(page(40));
            let moved = map.remap(page(2), PAGE_SIZE, PAGE_SIZE, to);
            assert_eq!(moved, Ok(page(40)));
            assert_eq!(map.unmap(page(40), PAGE_SIZE), Ok(()));
        }),
        ("unmap", |_, map| {
            assert_eq!(map.unmap(page(2), PAGE_SIZE), Ok(()));
        }),
        ("discard", |_, map| {
            assert_eq!(map.discard(page(2), PAGE_SIZE), Ok(()));
        }),
        ("fork and write", |kit, map| {
            let child = map.fork().expect("memory");
            assert_eq!(get(&child, page(5)), Ok(6));
            set(&child, page(5), 77);
            store(kit, 0, map, page(2), 3).expect("stored");
            assert_eq!(get(&child, page(2)), Ok(3));
            assert_eq!(get(&child, page(5)), Ok(77));
        }),
        ("free", |_, map| {
            assert_eq!(map.free(page(2), PAGE_SIZE), Ok(()));
        }),
        ("lend", |kit, map| {
            let loan = map.lend(page(2)).expect("lent");
            store(kit, 0, map, page(2), 3).expect("stored");
            drop(loan);
        }),
        ("trim", |_, map| {
            map.trim(1);
            map.trim(1);
        }),
    ];
    for (what, act) in acts {
        let kit = narrow(1024);
        let map = asking(&kit, ROW);
        run_on(&kit, 0, &map);
        fill(&kit, &map, 0..ROW);
        assert_eq!((large(&map), kit.vm().stats().large_splits), (ROW, 0));
        act(&kit, &map);
        assert_eq!(
            (large(&map), kit.vm().stats().large_splits),
            (0, 1),
            "{what}"
        );
        check_filled(&kit, &map, 0..2);
        check_filled(&kit, &map, 3..ROW);
        end(&kit, map);
    }
}

#[test]
fn what_touches_all_of_it_does_not() {
    let kit = narrow(1024);
    let map = asking(&kit, 2 * ROW);
    run_on(&kit, 0, &map);
    fill(&kit, &map, 0..2 * ROW);
    let row = ROW * PAGE_SIZE;
    assert_eq!(map.protect(AT, row, Prot::READ), Ok(()));
    assert_eq!(map.wire(AT, row), Ok(()));
    assert_eq!(map.unwire(AT, row), Ok(()));
    assert_eq!(map.inherit(AT, PAGE_SIZE, Inherit::Zero), Ok(()));
    assert_eq!(large(&map), 2 * ROW);
    check_filled(&kit, &map, 0..2 * ROW);
    assert_eq!(map.unmap(AT, row), Ok(()));
    assert_eq!((large(&map), kit.vm().stats().large_splits), (ROW, 0));
    let pages = kit.vm().stats().frames_anon as usize;
    assert_eq!(pages, ROW);
    end(&kit, map);
}

#[test]
fn where_there_is_no_row_a_page_comes() {
    let kit = narrow(1024);
    let vm = kit.vm();
    // Of each row one frame is in use.
    let mut taken = Vec::new();
    while let Ok(frame) = vm.alloc_frames(1, &scalvm::FrameLimits::NONE) {
        taken.push(frame);
    }
    // SAFETY: they are nobody's any more.
    let free = |frame: &scalvm::Frame| unsafe { vm.free_frames(*frame, 1) };
    let is_last = |frame: &&scalvm::Frame| frame.0 % ROW as u64 == ROW as u64 - 1;
    taken.iter().filter(|frame| !is_last(frame)).for_each(free);
    let map = filled(&kit);
    let stats = vm.stats();
    assert_eq!((stats.large_faults, stats.large_fallbacks), (0, 1));
    assert_eq!((large(&map), stats.frames_anon as usize), (0, ROW));
    assert_eq!(map.make_large(AT), Err(NotLarge::OutOfMemory));
    check_filled(&kit, &map, 0..ROW);
    taken.iter().filter(is_last).for_each(free);
    assert_eq!(map.make_large(AT), Ok(()));
    check_filled(&kit, &map, 0..ROW);
    assert_eq!(large(&map), ROW);
    end(&kit, map);
}

#[test]
fn memory_that_is_nearly_short_is_left_to_single_pages() {
    let kit = narrow(1024);
    let vm = kit.vm();
    vm.start_paging(Paging::for_frames(1024)).expect("memory");
    let map = asking(&kit, ROW);
    run_on(&kit, 0, &map);
    let marks = Paging::for_frames(1024);
    let low = vm.stats().frames_free - 4;
    vm.set_marks(Paging { low, ..marks });
    store(&kit, 0, &map, AT, 1).expect("stored");
    assert_eq!(vm.stats().large_fallbacks, 1);
    assert_eq!(large(&map), 0);
    end(&kit, map);
}

#[test]
fn memory_that_ends_half_way_leaves_nothing_wrong() {
    // Each allocation of the fault fails once.
    for n in 1.. {
        let kit = narrow(1024);
        let map = asking(&kit, 80 * ROW);
        run_on(&kit, 0, &map);
        kit.fail_allocation(n);
        let first = store(&kit, 0, &map, page(60), 61);
        let failed = !kit.is_failing();
        kit.fail_nothing();
        if first.is_err() {
            store(&kit, 0, &map, page(60), 61).expect("stored");
        }
        kit.vm().check_invariants();
        map.check_invariants();
        fill(&kit, &map, 56..64);
        check_filled(&kit, &map, 56..64);
        assert_eq!(get(&map, page(64)), Ok(0));
        end(&kit, map);
        if !failed {
            assert!(n > 5, "only {n} allocations");
            break;
        }
    }
}

#[test]
fn what_lies_in_a_row_still_is_joined_without_a_copy() {
    let kit = narrow(1024);
    let map = asking(&kit, ROW);
    run_on(&kit, 0, &map);
    run_on(&kit, 1, &map);
    fill(&kit, &map, 0..ROW);
    let frames = |n: usize| kit.mapping(map.pmap(), page(n)).map(|here| here.frame);
    let before: Vec<_> = (0..ROW).map(frames).collect();
    assert_eq!(map.protect(AT, PAGE_SIZE, Prot::READ), Ok(()));
    assert_eq!(
        map.make_large(AT),
        Err(NotLarge::Unsuitable),
        "two mappings"
    );
    assert_eq!(map.protect(AT, PAGE_SIZE, Prot::RW), Ok(()));
    assert_eq!(large(&map), 0);
    for n in 0..ROW {
        assert_eq!(load(&kit, 1, &map, page(n)), Ok(n as u64 + 1));
    }
    assert_eq!(map.make_large(page(5)), Ok(()));
    assert_eq!((large(&map), kit.vm().stats().large_joins), (ROW, 1));
    assert_eq!((0..ROW).map(frames).collect::<Vec<_>>(), before);
    assert_eq!(map.make_large(page(5)), Ok(()), "it is large already");
    assert_eq!(kit.vm().stats().large_joins, 1);
    check_filled(&kit, &map, 0..ROW);
    take_off(&kit, 1, &map);
    end(&kit, map);
}

#[test]
fn other_pages_move_to_a_row() {
    let kit = narrow(1024);
    let map = anonymous(&kit, ROW);
    run_on(&kit, 0, &map);
    run_on(&kit, 1, &map);
    (0..ROW).rev().for_each(|n| fill(&kit, &map, n..n + 1));
    for n in 0..ROW {
        assert_eq!(load(&kit, 1, &map, page(n)), Ok(n as u64 + 1));
    }
    let before = kit.vm().stats();
    assert_eq!(map.make_large(AT), Ok(()), "nobody needs to have asked");
    let after = kit.vm().stats();
    assert_eq!((large(&map), after.frames_anon), (ROW, before.frames_anon));
    assert_eq!(
        after.frames_free, before.frames_free,
        "but for a table, set aside before"
    );
    check_filled(&kit, &map, 0..ROW);
    for n in 0..ROW {
        store(&kit, 1, &map, page(n), 100 + n as u64).expect("stored");
        assert_eq!(load(&kit, 0, &map, page(n)), Ok(100 + n as u64));
    }
    take_off(&kit, 1, &map);
    end(&kit, map);
}

#[test]
fn what_somebody_else_has_is_not_joined() {
    let kit = narrow(1024);
    let map = anonymous(&kit, ROW);
    run_on(&kit, 0, &map);
    assert_eq!(map.make_large(page(ROW)), Err(NotLarge::NotMapped));
    assert_eq!(map.make_large(AT), Err(NotLarge::Unsuitable), "untouched");
    fill(&kit, &map, 0..ROW);
    for access in [Access::Read, Access::Write] {
        let held = map.hold(page(3), access).expect("held");
        assert_eq!(map.make_large(AT), Err(NotLarge::InUse));
        drop(held);
    }
    let loan = map.lend(page(3)).expect("lent");
    // It comes as if it were stored to: so the loan is parted from it.
    assert_eq!(map.make_large(AT), Ok(()));
    drop(loan);
    assert_eq!(map.protect(AT, ROW * PAGE_SIZE, Prot::empty()), Ok(()));
    assert_eq!(
        map.make_large(AT),
        Err(NotLarge::Unsuitable),
        "without access"
    );
    assert_eq!(map.protect(AT, ROW * PAGE_SIZE, Prot::READ), Ok(()));
    let child = map.fork().expect("memory");
    assert_eq!(
        map.make_large(AT),
        Err(NotLarge::Unsuitable),
        "a child's too"
    );
    drop(child);
    assert_eq!(map.make_large(AT), Ok(()));
    let shared = map.extract(AT, ROW * PAGE_SIZE, scalvm::Extract::Share);
    let shared = shared.expect("memory");
    assert_eq!(map.make_large(AT), Err(NotLarge::Unsuitable), "shared");
    drop(shared);
    check_filled(&kit, &map, 0..ROW);
    end(&kit, map);
}

#[test]
fn after_a_fork_that_has_ended_it_may_be_written_as_a_whole_again() {
    let kit = narrow(1024);
    let map = filled(&kit);
    drop(map.fork().expect("memory"));
    assert_eq!(large(&map), ROW, "a fork splits nothing");
    assert_eq!(kit.vm().join_some(100), 1);
    let faults = kit.vm().stats().faults;
    fill(&kit, &map, 0..ROW);
    assert_eq!(kit.vm().stats().faults, faults);
    assert_eq!(large(&map), ROW);
    check_filled(&kit, &map, 0..ROW);
    end(&kit, map);
}

#[test]
fn pages_of_a_row_leave_one_by_one_and_come_back() {
    let kit = narrow(1024);
    let vm = kit.vm();
    vm.start_paging(Paging::for_frames(1024)).expect("memory");
    kit.swap_on(SWAP, 64, SwapOptions::default()).expect("swap");
    let map = filled(&kit);
    assert_eq!(map.page_out(page(2), 2 * PAGE_SIZE), Ok(2));
    assert_eq!((large(&map), vm.stats().large_splits), (0, 1));
    assert_eq!(vm.join_some(100), 0, "what is away is not brought for this");
    let mut pages = [scalvm::PageInfo::default(); ROW];
    assert_eq!(map.inspect(AT, &mut pages), ROW);
    let here = |page: &scalvm::PageInfo| matches!(page.place, PagePlace::Memory(_));
    assert_eq!(pages.iter().filter(|page| here(page)).count(), ROW - 2);
    check_filled(&kit, &map, 0..ROW);
    // Read, they have a copy still.
    assert_eq!(vm.join_some(100), 0);
    assert_eq!(map.make_large(AT), Ok(()));
    assert!(swap_devices(&kit).iter().all(|device| device.used == 0));
    check_filled(&kit, &map, 0..ROW);
    assert_eq!(large(&map), ROW);
    // All of it leaves as well.
    assert_eq!(map.page_out(AT, ROW * PAGE_SIZE), Ok(ROW as u64));
    check_filled(&kit, &map, 0..ROW);
    end(&kit, map);
}

#[test]
fn what_was_given_up_is_not_kept_by_joining() {
    let kit = narrow(1024);
    let map = filled(&kit);
    assert_eq!(map.free(page(6), PAGE_SIZE), Ok(()));
    assert_eq!(kit.vm().join_some(100), 0);
    let mut pages = [scalvm::PageInfo::default(); ROW];
    map.inspect(AT, &mut pages);
    assert!(pages[6].given_up);
    end(&kit, map);
}

#[test]
fn joining_goes_round_all_spaces_a_little_at_a_time() {
    let kit = narrow(2048);
    let vm = kit.vm();
    let maps: Vec<_> = (0..5).map(|_| anonymous(&kit, 4 * ROW)).collect();
    let ask = |map: &scalvm::Map<'_, Hw>| {
        assert_eq!(
            map.advise_large(AT, 4 * ROW * PAGE_SIZE, Large::Asked),
            Ok(())
        );
    };
    for map in &maps {
        (0..4 * ROW).for_each(|n| set(map, page(n), n as u64));
        assert_eq!(large(map), 0);
    }
    assert_eq!(vm.join_some(1000), 0, "nobody has asked");
    maps.iter().skip(1).for_each(ask);
    let mut calls = 0;
    while maps.iter().map(large).sum::<usize>() < 4 * 4 * ROW {
        assert!(vm.join_some(2) <= 2);
        calls += 1;
        assert!(calls < 60);
    }
    assert!(calls > 7, "{calls} calls");
    assert_eq!(large(&maps[0]), 0);
    assert_eq!(vm.stats().large_joins, 16);
    assert_eq!(vm.join_some(1000), 0);
    for map in &maps {
        (0..4 * ROW).for_each(|n| assert_eq!(get(map, page(n)), Ok(n as u64)));
        map.check_invariants();
    }
    vm.set_large_pages(LargePages::Always);
    assert_eq!(vm.join_some(1000), 4);
    drop(maps);
    nothing_left(&kit);
}

#[test]
fn what_is_told_of_a_range_has_what_was_asked() {
    let kit = narrow(1024);
    let map = asking(&kit, 2 * ROW);
    assert_eq!(map.query(AT).map(|region| region.large), Some(Large::Asked));
    assert_eq!(
        map.advise_large(page(2 * ROW), PAGE_SIZE, Large::Never),
        Err(MapError::NotMapped)
    );
    run_on(&kit, 0, &map);
    fill(&kit, &map, 0..1);
    let mut pages = [scalvm::PageInfo::default(); 2 * ROW];
    map.inspect(AT, &mut pages);
    let counted = pages.iter().filter(|page| page.large).count();
    assert_eq!(counted, ROW);
    let mut told = 0;
    kit.vm().each_map(|info| told += info.large);
    assert_eq!(told, ROW as u64);
    // The object's numbers need not be aligned as the addresses are.
    let request = MapRequest::anonymous(2 * ROW * PAGE_SIZE, Prot::RW);
    let from = map
        .map(request.at(Place::Fixed(page(101))))
        .expect("mapped");
    let to = scalvm::Remap::Fixed(page(200));
    store(&kit, 0, &map, from, 1).expect("stored");
    assert_eq!(
        map.remap(from, 2 * ROW * PAGE_SIZE, 2 * ROW * PAGE_SIZE, to),
        Ok(page(200))
    );
    assert_eq!(map.make_large(page(200)), Ok(()));
    assert_eq!(load(&kit, 0, &map, page(200)), Ok(1));
    assert_eq!(large(&map), 2 * ROW);
    map.check_invariants();
    end(&kit, map);
}
