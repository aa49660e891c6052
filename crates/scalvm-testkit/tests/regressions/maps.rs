//! Operations on ranges.

use scalvm::{
    Access, FaultError, Inherit, MapError, MapRequest, PAGE_SIZE, Place, Prot, Remap, Share,
};

use crate::common::*;

fn request(pages: usize) -> MapRequest<'static, 'static, scalvm_testkit::Hw> {
    MapRequest::anonymous(pages * PAGE_SIZE, Prot::RW)
}

#[test]
fn hints_are_taken_where_free_and_never_refused() {
    let kit = kit();
    let map = new_map(&kit);
    for hint in [
        0,
        PAGE_SIZE,
        LOW,
        HIGH,
        HIGH - PAGE_SIZE,
        usize::MAX,
        usize::MAX & !0xfff,
        12345,
    ] {
        for _ in 0..3 {
            let got = map.map(MapRequest::anonymous(2 * PAGE_SIZE, Prot::RW).at(Place::Hint(hint)));
            let at = got.expect("room");
            assert!(at.is_multiple_of(PAGE_SIZE) && at >= LOW && at + 2 * PAGE_SIZE <= HIGH);
            assert_eq!(get(&map, at), Ok(0));
        }
    }
    let at = AT + 0x5000;
    assert_eq!(
        map.map(MapRequest::anonymous(PAGE_SIZE, Prot::RW).at(Place::Hint(at))),
        Ok(at)
    );
    let second = map.map(MapRequest::anonymous(PAGE_SIZE, Prot::RW).at(Place::Hint(at)));
    assert_ne!(second, Ok(at));
}

#[test]
fn what_grows_does_so_by_less_than_an_entry_may_have() {
    const MOST: usize = PAGE_SIZE << 32;
    let kit = kit();
    let map = new_map(&kit);
    let top = HIGH - PAGE_SIZE;
    let stack = MapRequest {
        grows: true,
        ..request(1).at(Place::Fixed(top))
    };
    assert_eq!(map.map(stack), Ok(top));
    assert_eq!(map.grow(top - MOST), Err(MapError::NoSpace));
    assert_eq!(get(&map, top - MOST), Err(FaultError::NoMapping));
    assert_eq!(map.grow(top - MOST + PAGE_SIZE), Ok(()));
    assert_eq!(get(&map, top - PAGE_SIZE), Ok(0));
}

#[test]
fn fixed_places_outside_of_the_space_are_refused() {
    let kit = kit();
    let map = new_map(&kit);
    let bad = [
        0,
        LOW - PAGE_SIZE,
        HIGH,
        HIGH - PAGE_SIZE,
        usize::MAX & !0xfff,
        AT + 1,
        AT + 0x800,
    ];
    for at in bad {
        for place in [Place::Fixed(at), Place::Free(at)] {
            let got = map.map(MapRequest::anonymous(2 * PAGE_SIZE, Prot::RW).at(place));
            assert_eq!(got, Err(MapError::BadRange), "{place:x?}");
        }
    }
    assert_eq!(
        map.map(MapRequest::anonymous(0, Prot::RW)),
        Err(MapError::BadRange)
    );
    assert_eq!(
        map.map(MapRequest::anonymous(usize::MAX, Prot::RW)),
        Err(MapError::BadRange)
    );
    let at = HIGH - 2 * PAGE_SIZE;
    assert_eq!(
        map.map(MapRequest::anonymous(2 * PAGE_SIZE, Prot::RW).at(Place::Fixed(at))),
        Ok(at)
    );
    let at = LOW;
    assert_eq!(
        map.map(MapRequest::anonymous(2 * PAGE_SIZE, Prot::RW).at(Place::Free(at))),
        Ok(at)
    );
    let again = map.map(MapRequest::anonymous(PAGE_SIZE, Prot::RW).at(Place::Free(at + PAGE_SIZE)));
    assert_eq!(again, Err(MapError::Occupied));
}

#[test]
fn a_fixed_mapping_replaces_and_forgets() {
    let kit = kit();
    let map = anonymous(&kit, 4);
    for n in 0..4 {
        set(&map, page(n), 1);
    }
    assert_eq!(
        map.map(MapRequest::anonymous(2 * PAGE_SIZE, Prot::RW).at(Place::Fixed(page(1)))),
        Ok(page(1))
    );
    let seen: Vec<_> = (0..4).map(|n| get(&map, page(n))).collect();
    assert_eq!(seen, [Ok(1), Ok(0), Ok(0), Ok(1)]);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn offsets_of_objects_are_checked() {
    let kit = kit();
    let map = new_map(&kit);
    let object = kit.vm().new_anonymous(PAGE_SIZE as u64).expect("memory");
    let at = |offset| {
        map.map(MapRequest::object(
            &object,
            offset,
            PAGE_SIZE,
            Prot::RW,
            Share::Shared,
        ))
    };
    assert_eq!(at(1), Err(MapError::BadOffset));
    assert_eq!(at(!0xfff), Err(MapError::BadOffset));
    let beyond = at(16 * PAGE_SIZE as u64).expect("what lies beyond the end may be mapped");
    assert_eq!(get(&map, beyond), Err(FaultError::BeyondEnd));
}

#[test]
fn rights_are_never_more_than_the_most() {
    let kit = kit();
    let map = new_map(&kit);
    let mut limited = request(2).at(Place::Fixed(AT));
    limited.prot = Prot::READ;
    limited.max_prot = Prot::READ;
    assert_eq!(map.map(limited), Ok(AT));
    assert_eq!(map.map(request(1).at(Place::Fixed(page(2)))), Ok(page(2)));
    assert_eq!(
        map.protect(AT, 3 * PAGE_SIZE, Prot::RW),
        Err(MapError::Protection)
    );
    assert_eq!(map.query(AT).expect("mapped").prot, Prot::READ);
    assert_eq!(
        map.protect(page(2), 2 * PAGE_SIZE, Prot::READ),
        Err(MapError::NotMapped)
    );
    assert_eq!(
        map.query(page(2)).expect("mapped").prot,
        Prot::RW,
        "a refused call changes nothing"
    );
    let mut more = request(1);
    more.max_prot = Prot::READ;
    assert_eq!(map.map(more), Err(MapError::Protection));
}

#[test]
fn a_right_taken_away_is_missed_at_once_and_comes_back() {
    let kit = kit();
    let map = anonymous(&kit, 2);
    for cpu in 0..2 {
        run_on(&kit, cpu, &map);
        store(&kit, cpu, &map, AT, 1).expect("stored");
    }
    assert_eq!(map.protect(AT, PAGE_SIZE, Prot::READ), Ok(()));
    for cpu in 0..2 {
        assert_eq!(load(&kit, cpu, &map, AT), Ok(1));
        assert_eq!(store(&kit, cpu, &map, AT, 2), Err(FaultError::Protection));
    }
    assert_eq!(map.protect(AT, PAGE_SIZE, Prot::empty()), Ok(()));
    for cpu in 0..2 {
        assert_eq!(load(&kit, cpu, &map, AT), Err(FaultError::Protection));
    }
    assert_eq!(map.protect(AT, PAGE_SIZE, Prot::RW), Ok(()));
    for cpu in 0..2 {
        store(&kit, cpu, &map, AT, 3).expect("stored");
    }
    assert_eq!(
        fault(&kit, &map, AT, Access::Exec),
        Err(FaultError::Protection)
    );
    assert_eq!(map.protect(AT, PAGE_SIZE, Prot::RX), Ok(()));
    assert_eq!(fault(&kit, &map, AT, Access::Exec), Ok(()));
    (0..2).for_each(|cpu| take_off(&kit, cpu, &map));
}

#[test]
fn unmapping_leaves_holes_alone() {
    let kit = kit();
    let map = anonymous(&kit, 6);
    for n in 0..6 {
        set(&map, page(n), n as u64);
    }
    assert_eq!(map.unmap(page(2), PAGE_SIZE), Ok(()));
    assert_eq!(
        map.unmap(page(1), 3 * PAGE_SIZE),
        Ok(()),
        "a hole in the middle"
    );
    assert_eq!(map.unmap(page(100), PAGE_SIZE), Ok(()), "nothing there");
    let seen: Vec<_> = (0..6).map(|n| get(&map, page(n))).collect();
    let gone = Err(FaultError::NoMapping);
    assert_eq!(seen, [Ok(0), gone, gone, gone, Ok(4), Ok(5)]);
    assert_eq!(map.unmap(page(0) + 1, PAGE_SIZE), Err(MapError::BadRange));
    assert_eq!(map.unmap(page(0), 0), Err(MapError::BadRange));
    assert_eq!(map.unmap(page(0), usize::MAX - 5), Err(MapError::BadRange));
}

#[test]
fn entries_that_are_alike_again_are_one_again() {
    let kit = kit();
    let map = anonymous(&kit, 6);
    set(&map, page(3), 1);
    assert_eq!(map.protect(page(2), 2 * PAGE_SIZE, Prot::READ), Ok(()));
    assert_eq!(map.usage().entries, 3);
    assert_eq!(map.protect(page(2), 2 * PAGE_SIZE, Prot::RW), Ok(()));
    assert_eq!(map.usage().entries, 1);
    set_inherit(&map, 1, 1, Inherit::None);
    set_inherit(&map, 1, 1, Inherit::Copy);
    assert_eq!(map.usage().entries, 1);
    assert_eq!(get(&map, page(3)), Ok(1));
}

#[test]
fn neighbours_mapped_one_after_the_other_are_one_entry() {
    let kit = kit();
    let map = anonymous(&kit, 1);
    for n in 1..20 {
        assert_eq!(map.map(request(1).at(Place::Fixed(page(n)))), Ok(page(n)));
    }
    assert_eq!(map.usage().entries, 1);
}

#[test]
fn a_moved_mapping_keeps_its_pages_and_copies_none() {
    let kit = kit();
    let map = anonymous(&kit, 4);
    for n in 0..4 {
        set(&map, page(n), 1 + n as u64);
    }
    let before = kit.vm().stats();
    assert_eq!(
        map.remap(page(1), 2 * PAGE_SIZE, 3 * PAGE_SIZE, Remap::InPlace),
        Err(MapError::NoSpace)
    );
    let to = map
        .remap(page(1), 2 * PAGE_SIZE, 3 * PAGE_SIZE, Remap::MayMove)
        .expect("moved");
    assert_ne!(to, page(1));
    assert_eq!(
        [
            get(&map, to),
            get(&map, to + PAGE_SIZE),
            get(&map, to + 2 * PAGE_SIZE)
        ],
        [Ok(2), Ok(3), Ok(0)]
    );
    assert_eq!(get(&map, page(1)), Err(FaultError::NoMapping));
    assert_eq!([get(&map, page(0)), get(&map, page(3))], [Ok(1), Ok(4)]);
    let after = kit.vm().stats();
    assert_eq!(
        [after.cow_copies, after.frames_anon],
        [before.cow_copies, before.frames_anon]
    );
    drop(map);
    nothing_left(&kit);
}

#[test]
fn a_mapping_grown_after_its_tail_was_unmapped_shows_nothing_old() {
    let kit = kit();
    let map = anonymous(&kit, 4);
    set(&map, page(3), 7);
    let child = map.fork().expect("memory");
    assert_eq!(map.unmap(page(2), 2 * PAGE_SIZE), Ok(()));
    assert_eq!(
        map.remap(AT, 2 * PAGE_SIZE, 4 * PAGE_SIZE, Remap::InPlace),
        Ok(AT)
    );
    assert_eq!(get(&map, page(3)), Ok(0));
    assert_eq!(get(&child, page(3)), Ok(7));
}

#[test]
fn a_grown_mapping_shares_nothing_with_what_a_child_kept() {
    let kit = kit();
    let map = anonymous(&kit, 4);
    set_inherit(&map, 0, 4, Inherit::Share);
    let child = map.fork().expect("memory");
    assert_eq!(map.unmap(page(2), 2 * PAGE_SIZE), Ok(()));
    assert_eq!(
        map.remap(AT, 2 * PAGE_SIZE, 4 * PAGE_SIZE, Remap::InPlace),
        Ok(AT)
    );
    set(&child, page(3), 7);
    assert_eq!(get(&map, page(3)), Ok(0));
    set(&map, page(2), 8);
    assert_eq!(get(&child, page(2)), Ok(0));
}

/// As realloc(3) does again and again with memory that lies next to other such memory.
#[test]
fn a_mapping_moved_and_grown_is_moved_and_grown_again() {
    for touched in [false, true] {
        let kit = kit();
        let map = anonymous(&kit, 8);
        if touched {
            for n in 0..8 {
                set(&map, page(n), 1 + n as u64);
            }
        }
        let (mut at, mut pages) = (page(2), 2);
        for _ in 0..5 {
            let more = pages * 2;
            let to = map.remap(at, pages * PAGE_SIZE, more * PAGE_SIZE, Remap::MayMove);
            at = to.expect("it was mapped by one call and moved as one");
            pages = more;
            if touched {
                assert_eq!([get(&map, at), get(&map, at + PAGE_SIZE)], [Ok(3), Ok(4)]);
                set(&map, at + (pages - 1) * PAGE_SIZE, 9);
            }
            // Something in its way.
            assert!(
                map.map(request(1).at(Place::Hint(at + pages * PAGE_SIZE)))
                    .is_ok()
            );
        }
        drop(map);
        nothing_left(&kit);
    }
}

#[test]
fn a_part_of_a_mapping_moves_next_to_itself() {
    for (from, to) in [(0, 5), (5, 0), (2, 7), (7, 2)] {
        let kit = kit();
        let map = anonymous(&kit, 12);
        for n in 0..12 {
            set(&map, page(n), n as u64);
        }
        let len = 5 * PAGE_SIZE;
        assert_eq!(
            map.remap(page(from), len, len, Remap::Fixed(page(to))),
            Ok(page(to))
        );
        map.check_invariants();
        for n in 0..12 {
            let expected = match n {
                n if (from..from + 5).contains(&n) => Err(FaultError::NoMapping),
                n if (to..to + 5).contains(&n) => Ok((n - to + from) as u64),
                n => Ok(n as u64),
            };
            assert_eq!(
                get(&map, page(n)),
                expected,
                "page {n} after {from} to {to}"
            );
        }
        drop(map);
        nothing_left(&kit);
    }
}

#[test]
fn a_length_that_wraps_around_is_refused() {
    let kit = kit();
    let map = anonymous(&kit, 2);
    let huge = usize::MAX & !0xfff;
    for how in [Remap::InPlace, Remap::MayMove] {
        let refused = map.remap(AT, 2 * PAGE_SIZE, huge, how);
        assert!(
            matches!(refused, Err(MapError::NoSpace | MapError::BadRange)),
            "{refused:?}"
        );
    }
    assert_eq!(
        map.remap(AT, huge, PAGE_SIZE, Remap::InPlace),
        Err(MapError::BadRange)
    );
    assert_eq!(map.protect(AT, huge, Prot::READ), Err(MapError::BadRange));
    assert!(map.map(MapRequest::anonymous(huge, Prot::RW)).is_err());
    assert!(
        map.map(MapRequest::anonymous(huge, Prot::RW).at(Place::Hint(AT)))
            .is_err()
    );
}

#[test]
fn a_refused_wire_leaves_what_was_wired_before() {
    let kit = kit();
    let map = anonymous(&kit, 2);
    let object = kit.vm().new_anonymous(PAGE_SIZE as u64).expect("memory");
    map_object(&map, &object, 2, 2, Share::Shared);
    assert_eq!(map.wire(AT, PAGE_SIZE), Ok(()));
    assert_eq!(map.wire(AT, 4 * PAGE_SIZE), Err(MapError::BeyondEnd));
    assert_eq!(map.usage().wired_bytes, PAGE_SIZE as u64);
}

#[test]
fn one_unwire_undoes_a_hundred_wires_and_may_take_a_part() {
    let kit = kit();
    let map = anonymous(&kit, 5);
    for _ in 0..100 {
        assert_eq!(map.wire(AT, 5 * PAGE_SIZE), Ok(()));
    }
    assert_eq!(map.usage().wired_bytes, 5 * PAGE_SIZE as u64);
    assert_eq!(map.usage().resident_pages, 5);
    assert_eq!(map.unwire(page(1), PAGE_SIZE), Ok(()));
    assert_eq!(map.usage().wired_bytes, 4 * PAGE_SIZE as u64);
    assert_eq!(map.unwire(AT, 5 * PAGE_SIZE), Ok(()));
    assert_eq!(map.usage().wired_bytes, 0);
    assert_eq!(map.wire(page(4), 2 * PAGE_SIZE), Err(MapError::NotMapped));
    assert_eq!(map.usage().wired_bytes, 0, "a refused wire wires nothing");
    assert_eq!(map.unmap(AT, 5 * PAGE_SIZE), Ok(()));
    assert_eq!(map.unwire(AT, PAGE_SIZE), Err(MapError::NotMapped));
}

#[test]
fn what_is_discarded_reads_as_zeros() {
    let kit = kit();
    let map = anonymous(&kit, 3);
    run_on(&kit, 0, &map);
    run_on(&kit, 1, &map);
    for n in 0..3 {
        store(&kit, 0, &map, page(n), 1).expect("stored");
        assert_eq!(load(&kit, 1, &map, page(n)), Ok(1));
    }
    let child = map.fork().expect("memory");
    assert_eq!(map.discard(page(1), PAGE_SIZE), Ok(()));
    for cpu in 0..2 {
        let seen: Vec<_> = (0..3).map(|n| load(&kit, cpu, &map, page(n))).collect();
        assert_eq!(seen, [Ok(1), Ok(0), Ok(1)]);
    }
    assert_eq!(get(&child, page(1)), Ok(1));
    take_off(&kit, 0, &map);
    take_off(&kit, 1, &map);
}

#[test]
fn a_full_address_space_is_told_and_not_a_page_is_wasted() {
    let kit = kit();
    let map = kit.vm().new_map(AT, page(4)).expect("memory");
    assert_eq!(
        map.map(MapRequest::anonymous(5 * PAGE_SIZE, Prot::RW)),
        Err(MapError::NoSpace)
    );
    for _ in 0..4 {
        let at = map
            .map(MapRequest::anonymous(PAGE_SIZE, Prot::RW))
            .expect("room");
        set(&map, at, 1);
    }
    assert_eq!(
        map.map(MapRequest::anonymous(1, Prot::RW)),
        Err(MapError::NoSpace)
    );
    assert_eq!(map.unmap(page(2), PAGE_SIZE), Ok(()));
    assert_eq!(map.map(MapRequest::anonymous(1, Prot::RW)), Ok(page(2)));
    map.clear();
    assert!(map.query(0).is_none());
    assert_eq!(
        map.map(MapRequest::anonymous(4 * PAGE_SIZE, Prot::RW)),
        Ok(AT)
    );
}
