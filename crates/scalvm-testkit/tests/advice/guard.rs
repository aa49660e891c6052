//! Guards, tags, and mappings of several parts that move.

use scalvm::{Access, FaultError, Inherit, MapError, MapLimits, PAGE_SIZE, Place, Prot, Remap};
use scalvm::{MapRequest, PageInfo, Share, Unfinished, Watch, WatchEvents};

use crate::common::*;

const WATCH: Watch = Watch {
    server: 1,
    events: WatchEvents::MISSING,
    follows: false,
};

const NONE: Result<u64, FaultError> = Err(FaultError::NoMapping);

/// What pages hold, from the first one on.
fn seen<const N: usize>(map: &scalvm::Map<'_, scalvm_testkit::Hw>) -> [Option<u64>; N] {
    core::array::from_fn(|n| get(map, page(n)).ok())
}

#[test]
fn a_guard_is_nothing_and_then_untouched_memory() {
    let kit = kit();
    let map = anonymous(&kit, 6);
    run_on(&kit, 0, &map);
    (0..6).for_each(|n| store(&kit, 0, &map, page(n), 7).expect("stored"));
    assert_eq!(map.guard(page(2), PAGE_SIZE), Ok(()));
    assert_eq!(map.guard(page(3), PAGE_SIZE), Ok(()));
    assert_eq!(map.usage().entries, 3, "guards side by side are one");
    assert_eq!(kit.vm().stats().frames_anon, 4, "their pages are given up");
    let mut told = [PageInfo::default(); 2];
    assert_eq!(map.inspect(page(2), &mut told), 2);
    assert!(told.iter().all(|page| page.guarded && !page.mapped));
    assert_eq!(load(&kit, 0, &map, page(2)), NONE);
    assert!(store(&kit, 0, &map, page(3), 1) == Err(FaultError::NoMapping));
    assert_eq!(
        map.hold(page(2), Access::Read).map(drop),
        Err(FaultError::NoMapping)
    );
    assert_eq!(
        map.hold_forced(page(2), Access::Write).map(drop),
        Err(FaultError::NoMapping)
    );
    assert_eq!(map.lend(page(2)).map(drop), Err(FaultError::NoMapping));
    let stop = Unfinished {
        at: page(2),
        error: FaultError::NoMapping,
    };
    let populated = map.populate_for(page(0), 6 * PAGE_SIZE, Access::Write);
    assert_eq!(populated, Err(stop));
    assert_eq!(
        map.populate(page(0), 6 * PAGE_SIZE),
        Ok(()),
        "it is passed over"
    );
    // Rights come and go as if there were none.
    assert_eq!(map.protect(page(0), 6 * PAGE_SIZE, Prot::READ), Ok(()));
    assert_eq!(
        store(&kit, 0, &map, page(2), 1),
        Err(FaultError::Protection)
    );
    assert_eq!(map.protect(page(0), 6 * PAGE_SIZE, Prot::RW), Ok(()));
    assert_eq!(map.discard(page(1), 2 * PAGE_SIZE), Ok(()));
    let some = Some(7);
    assert_eq!(seen(&map), [some, Some(0), None, None, some, some]);
    assert_eq!(map.usage().entries, 3);
    assert_eq!(map.unguard(page(0), 6 * PAGE_SIZE), Ok(()));
    assert_eq!(map.usage().entries, 1);
    assert_eq!(seen(&map), [some, Some(0), Some(0), Some(0), some, some]);
    take_off(&kit, 0, &map);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn a_guard_of_shared_memory_hides_it_here_alone() {
    let kit = kit();
    let shm = kit
        .vm()
        .new_anonymous(4 * PAGE_SIZE as u64)
        .expect("memory");
    let [map, other] = [new_map(&kit), new_map(&kit)];
    map_object(&map, &shm, 0, 4, Share::Shared);
    map_object(&other, &shm, 0, 4, Share::Shared);
    (0..4).for_each(|n| set(&map, page(n), 7));
    assert_eq!(map.guard(page(1), PAGE_SIZE), Ok(()));
    assert_eq!(seen(&map), [Some(7), None, Some(7), Some(7)]);
    assert_eq!(seen(&other), [Some(7); 4]);
    set(&other, page(1), 8);
    assert_eq!(map.unguard(page(1), PAGE_SIZE), Ok(()));
    assert_eq!(get(&map, page(1)), Ok(8));
    drop((map, other, shm));
    nothing_left(&kit);
}

#[test]
fn a_child_has_the_guards_but_not_of_untouched_memory() {
    let kit = kit();
    let map = anonymous(&kit, 8);
    (0..8).for_each(|n| set(&map, page(n), 7));
    set_inherit(&map, 4, 4, Inherit::Zero);
    assert_eq!(map.guard(page(1), PAGE_SIZE), Ok(()));
    assert_eq!(map.guard(page(5), PAGE_SIZE), Ok(()));
    let child = map.fork().expect("memory");
    let (some, zero) = (Some(7), Some(0));
    assert_eq!(
        seen(&child),
        [some, None, some, some, zero, zero, zero, zero]
    );
    assert_eq!(child.unguard(page(1), PAGE_SIZE), Ok(()));
    assert_eq!(get(&child, page(1)), Ok(0));
    assert_eq!(get(&map, page(1)), NONE);
    drop((map, child));
    nothing_left(&kit);
}

#[test]
fn a_guard_is_refused_in_holes_and_where_a_seal_keeps_contents() {
    let kit = kit();
    let map = anonymous(&kit, 4);
    (0..4).for_each(|n| set(&map, page(n), 7));
    assert_eq!(map.guard(page(2), 3 * PAGE_SIZE), Err(MapError::NotMapped));
    assert_eq!(map.guard(page(0) + 1, PAGE_SIZE), Err(MapError::BadRange));
    assert_eq!(map.protect(page(0), PAGE_SIZE, Prot::READ), Ok(()));
    assert_eq!(map.seal(page(0), PAGE_SIZE), Ok(()));
    assert_eq!(map.guard(page(0), 2 * PAGE_SIZE), Err(MapError::Sealed));
    assert_eq!(seen(&map), [Some(7); 4], "nothing was given up");
    assert_eq!(map.unmap(page(2), PAGE_SIZE), Ok(()));
    assert_eq!(map.guard(page(1), 3 * PAGE_SIZE), Err(MapError::NotMapped));
    assert_eq!(
        map.unguard(page(1), 3 * PAGE_SIZE),
        Err(MapError::NotMapped)
    );
    assert_eq!(seen(&map), [Some(7), Some(7), None, Some(7)]);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn wired_memory_is_brought_in_when_its_guard_goes() {
    let kit = kit();
    let map = anonymous(&kit, 3);
    assert_eq!(map.guard(page(1), PAGE_SIZE), Ok(()));
    assert_eq!(map.wire(page(0), 3 * PAGE_SIZE), Ok(()));
    assert_eq!(map.usage().wired_bytes, 3 * PAGE_SIZE as u64);
    assert_eq!(map.usage().resident_pages, 2);
    assert_eq!(map.unguard(page(1), PAGE_SIZE), Ok(()));
    assert_eq!(map.usage().resident_pages, 2);
    assert_eq!(map.bring_wired(page(0), 3 * PAGE_SIZE), Ok(()));
    assert_eq!(map.usage().resident_pages, 3);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn what_grows_has_no_guard_where_it_has_grown() {
    let kit = kit();
    let map = new_map(&kit);
    let request = MapRequest {
        grows: true,
        ..MapRequest::anonymous(4 * PAGE_SIZE, Prot::RW)
    };
    assert_eq!(map.map(request.at(Place::Fixed(page(10)))), Ok(page(10)));
    assert_eq!(map.guard(page(10), PAGE_SIZE), Ok(()));
    run_on(&kit, 0, &map);
    assert_eq!(map.grow(page(10)), Err(MapError::NotMapped));
    assert_eq!(
        store(&kit, 0, &map, page(10), 1),
        Err(FaultError::NoMapping)
    );
    assert_eq!(store(&kit, 0, &map, page(8), 1), Ok(()));
    assert_eq!(store(&kit, 0, &map, page(9), 1), Ok(()));
    assert_eq!(
        store(&kit, 0, &map, page(10), 1),
        Err(FaultError::NoMapping)
    );
    take_off(&kit, 0, &map);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn guards_move_with_their_memory_and_what_is_added_has_none() {
    let kit = kit();
    let map = anonymous(&kit, 4);
    (0..4).for_each(|n| set(&map, page(n), n as u64 + 1));
    assert_eq!(map.guard(page(1), PAGE_SIZE), Ok(()));
    assert_eq!(map.guard(page(3), PAGE_SIZE), Ok(()));
    // In its place, where the last part is a guard.
    assert_eq!(
        map.remap(page(0), 4 * PAGE_SIZE, 6 * PAGE_SIZE, Remap::InPlace),
        Ok(page(0))
    );
    let (one, three, zero) = (Some(1), Some(3), Some(0));
    assert_eq!(seen(&map), [one, None, three, None, zero, zero]);
    let to = page(100);
    assert_eq!(
        map.remap(page(0), 6 * PAGE_SIZE, 8 * PAGE_SIZE, Remap::Fixed(to)),
        Ok(to)
    );
    assert_eq!(seen(&map), [None; 6]);
    let there = |n: usize| get(&map, page(100 + n)).ok();
    let now: Vec<_> = (0..8).map(there).collect();
    assert_eq!(now, [one, None, three, None, zero, zero, zero, zero]);
    assert_eq!(map.unguard(to, 8 * PAGE_SIZE), Ok(()));
    assert_eq!(get(&map, page(103)), Ok(0));
    drop(map);
    nothing_left(&kit);
}

#[test]
fn several_mappings_move_together_or_not_at_all() {
    let kit = kit();
    let map = anonymous(&kit, 2);
    let shm = kit
        .vm()
        .new_anonymous(2 * PAGE_SIZE as u64)
        .expect("memory");
    map_object(&map, &shm, 2, 2, Share::Shared);
    map_object(&map, &shm, 4, 2, Share::Private);
    (0..6).for_each(|n| set(&map, page(n), 10 + n as u64));
    run_on(&kit, 0, &map);
    let to = page(50);
    assert_eq!(
        map.remap(page(1), 6 * PAGE_SIZE, 6 * PAGE_SIZE, Remap::Fixed(to)),
        Err(MapError::NotMapped),
        "a hole"
    );
    map.set_limits(MapLimits {
        mapped: Some(7 * PAGE_SIZE as u64),
        ..MapLimits::default()
    });
    assert_eq!(
        map.remap(page(1), 5 * PAGE_SIZE, 9 * PAGE_SIZE, Remap::Fixed(to)),
        Err(MapError::OverLimit(scalvm::Limit::Mapped))
    );
    assert_eq!(
        map.remap(page(1), 5 * PAGE_SIZE, 5 * PAGE_SIZE, Remap::Fixed(to)),
        Ok(to)
    );
    assert_eq!(load(&kit, 0, &map, page(0)), Ok(10));
    assert_eq!(load(&kit, 0, &map, page(1)), NONE);
    for n in 0..5 {
        assert_eq!(load(&kit, 0, &map, page(50 + n)), Ok(11 + n as u64));
    }
    assert_eq!(object_word(&shm, 0), 12, "it is shared still");
    kit.check_translations(map.pmap());
    take_off(&kit, 0, &map);
    drop((map, shm));
    nothing_left(&kit);
}

#[test]
fn several_entries_move_and_are_left_behind_as_one() {
    let kit = kit();
    let map = anonymous(&kit, 6);
    (0..6).for_each(|n| set(&map, page(n), 10 + n as u64));
    assert_eq!(map.guard(page(2), PAGE_SIZE), Ok(()));
    let (old, len, to) = (page(1), 4 * PAGE_SIZE, page(50));
    map.set_limits(MapLimits {
        data: Some(9 * PAGE_SIZE as u64),
        ..MapLimits::default()
    });
    let kept = || map.remap_keeping(old, len, Some(to));
    assert_eq!(kept(), Err(MapError::OverLimit(scalvm::Limit::Data)));
    map.set_limits(MapLimits::default());
    assert_eq!(map.usage().entries, 3);
    assert_eq!(kept(), Ok(to));
    assert_eq!(seen(&map), [10, 0, 0, 0, 0, 15].map(Some));
    let moved = [50, 51, 52, 53].map(|n| get(&map, page(n)));
    assert_eq!(moved, [Ok(11), NONE, Ok(13), Ok(14)]);
    assert_eq!(map.usage().entries, 3 + 1, "what is left is one");
    assert_eq!(map.unmap(page(3), PAGE_SIZE), Ok(()));
    assert_eq!(kept(), Err(MapError::NotMapped), "a hole");
    drop(map);
    nothing_left(&kit);
}

#[test]
fn nothing_is_placed_where_a_guard_is() {
    let kit = kit();
    let map = anonymous(&kit, 3);
    set(&map, page(2), 7);
    assert_eq!(map.watch(page(0), 2 * PAGE_SIZE, WATCH), Ok(()));
    assert_eq!(map.guard(page(0), PAGE_SIZE), Ok(()));
    assert_eq!(get(&map, page(0)), NONE, "nobody is told");
    let fresh = kit.vm().fresh_page().expect("memory");
    let placed = map.place(page(0), fresh, false);
    assert_eq!(placed, Err(scalvm::ServeError::Present));
    let moved = map.move_page(page(2), page(0));
    assert_eq!(moved, Err(scalvm::ServeError::Present));
    assert_eq!(get(&map, page(2)), Ok(7));
    drop(map);
    nothing_left(&kit);
}

#[test]
fn what_was_lost_is_untouched_memory_when_a_guard_has_been_there() {
    let kit = kit();
    let map = anonymous(&kit, 2);
    assert_eq!(map.watch(page(0), PAGE_SIZE, WATCH), Ok(()));
    assert_eq!(map.poison(page(0)), Ok(()));
    assert_eq!(map.unwatch(page(0), PAGE_SIZE, 1), Ok(()));
    assert_eq!(get(&map, page(0)), Err(FaultError::Poisoned));
    assert_eq!(map.guard(page(0), PAGE_SIZE), Ok(()));
    assert_eq!(get(&map, page(0)), NONE);
    assert_eq!(map.unguard(page(0), PAGE_SIZE), Ok(()));
    assert_eq!(get(&map, page(0)), Ok(0));
    drop(map);
    nothing_left(&kit);
}

#[test]
fn tags_keep_neighbours_apart_and_stay_with_the_memory() {
    let kit = kit();
    let map = anonymous(&kit, 6);
    let tags = |map: &scalvm::Map<'_, scalvm_testkit::Hw>| {
        let mut tags = Vec::new();
        let mut at = 0;
        while let Some(region) = map.query(at) {
            tags.push((region.tag, (region.end - region.start) / PAGE_SIZE));
            at = region.end;
        }
        tags
    };
    assert_eq!(map.set_tag(page(2), 2 * PAGE_SIZE, 5), Ok(()));
    assert_eq!(tags(&map), [(0, 2), (5, 2), (0, 2)]);
    assert_eq!(
        map.set_tag(page(3), 4 * PAGE_SIZE, 9),
        Err(MapError::NotMapped)
    );
    let child = map.fork().expect("memory");
    assert_eq!(tags(&child), [(0, 2), (5, 2), (0, 2)]);
    let moved = child.remap(page(2), 2 * PAGE_SIZE, 3 * PAGE_SIZE, Remap::MayMove);
    assert!(moved.is_ok_and(|at| at != page(2)));
    assert!(tags(&child).contains(&(5, 3)));
    let mut all = Vec::with_capacity(16);
    kit.vm().each_tag(|tag| all.push(tag));
    assert_eq!(all.iter().filter(|tag| **tag == 5).count(), 2);
    assert_eq!(map.set_tag(page(4), 2 * PAGE_SIZE, 5), Ok(()));
    assert_eq!(tags(&map), [(0, 2), (5, 4)]);
    assert_eq!(map.set_tag(page(0), 6 * PAGE_SIZE, 0), Ok(()));
    assert_eq!(tags(&map), [(0, 6)]);
    drop((map, child));
    nothing_left(&kit);
}
