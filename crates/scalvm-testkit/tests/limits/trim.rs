//! Trimming: what an address space has not used lately leaves its page tables, and no more than those.

use scalvm::{Access, Inherit, MapRequest, PAGE_SIZE, Place, Prot, Share};
use scalvm_testkit::{Kit, Order};

use crate::common::*;

/// Stores a word into each of the first pages.
fn fill(kit: &Kit, map: &scalvm::Map<'_, scalvm_testkit::Hw>, pages: usize) {
    for n in 0..pages {
        store(kit, 0, map, page(n), 1000 + n as u64).expect("stored");
    }
}

/// Checks all, and ends a map.
macro_rules! end {
    ($kit:expr, $($map:expr),*) => {
        kit_checks(&$kit);
        $($map.check_invariants(); $kit.check_translations($map.pmap());)*
        $kit.leave_all(&[$(&$map),*]);
        $(drop($map);)*
        nothing_left(&$kit);
    };
}

fn kit_checks(kit: &Kit) {
    kit.vm().check_invariants();
}

#[test]
fn a_hard_limit_holds_and_every_byte_is_right() {
    for evict_one_in in [0, 5] {
        let kit = Kit::with(Order {
            evict_one_in,
            ..Order::default()
        });
        let map = anonymous(&kit, 400);
        map.set_resident_limits(None, Some(40));
        run_on(&kit, 0, &map);
        for round in 0..3u64 {
            for n in 0..400 {
                let addr = page(n * 7 % 400);
                let was = if round == 0 {
                    0
                } else {
                    round * 1000 + addr as u64
                };
                assert_eq!(load(&kit, 0, &map, addr), Ok(was));
                let next = (round + 1) * 1000 + addr as u64;
                store(&kit, 0, &map, addr, next).expect("stored");
                assert!(map.resident().resident <= 40, "{:?}", map.resident());
            }
            map.check_invariants();
            kit_checks(&kit);
        }
        let info = map.resident();
        assert!(info.trimmed >= 3 * 360, "{info:?}");
        assert!(info.refaults >= 2 * 360, "{info:?}");
        assert_eq!(info.trimmed, kit.vm().stats().trimmed);
        assert_eq!((info.soft, info.hard), (None, Some(40)));
        end!(kit, map);
    }
}

#[test]
fn a_hard_limit_is_enforced_when_it_is_set() {
    let kit = kit();
    let map = anonymous(&kit, 100);
    run_on(&kit, 0, &map);
    fill(&kit, &map, 100);
    assert_eq!(map.resident().resident, 100);
    map.set_resident_limits(None, Some(1));
    // A limit is at least 16 pages.
    assert_eq!(map.resident().hard, Some(16));
    assert!(map.resident().resident <= 16);
    map.set_resident_limits(None, None);
    fill(&kit, &map, 100);
    assert_eq!(map.resident().resident, 100);
    end!(kit, map);
}

#[test]
fn what_was_trimmed_comes_back_without_io() {
    let kit = kit();
    let map = new_map(&kit);
    let file = kit.open(0, 20 * PAGE_SIZE as u64);
    map_object(&map, &file, 0, 20, Share::Shared);
    run_on(&kit, 0, &map);
    fill(&kit, &map, 20);
    let before = (kit.reads(), kit.vm().stats().frames_file);
    assert_eq!(map.trim(u64::MAX), 20);
    assert_eq!(map.resident().resident, 0);
    for n in 0..20 {
        assert_eq!(load(&kit, 0, &map, page(n)), Ok(1000 + n as u64));
    }
    assert_eq!((kit.reads(), kit.vm().stats().frames_file), before);
    assert!(map.resident().refaults > 0);
    // That they were written is not forgotten.
    assert_eq!(file.sync(0, u64::MAX), Ok(()));
    assert_eq!(&kit.disk_page(0, 7).as_slice()[..8], 1007u64.to_le_bytes());
    drop(file);
    end!(kit, map);
}

#[test]
fn what_is_used_is_spared_for_one_turn() {
    let kit = kit();
    let map = anonymous(&kit, 64);
    run_on(&kit, 0, &map);
    fill(&kit, &map, 64);
    // One turn makes all of them old; half of them are used again.
    assert_eq!(map.trim(1), 1);
    let first = (0..64).find(|&n| kit.mapping(map.pmap(), page(n)).is_none());
    for n in 32..64 {
        load(&kit, 0, &map, page(n)).expect("loaded");
    }
    assert_eq!(first, Some(0));
    assert_eq!(map.trim(31), 31);
    for n in 0..64 {
        assert_eq!(
            kit.mapping(map.pmap(), page(n)).is_some(),
            n >= 32,
            "page {n}"
        );
    }
    // If more is wanted, they too must go.
    assert_eq!(map.trim(1000), 32);
    assert_eq!(map.resident().resident, 0);
    end!(kit, map);
}

#[test]
fn a_page_of_two_maps_is_trimmed_from_one() {
    let kit = kit();
    let one = anonymous(&kit, 4);
    set_inherit(&one, 0, 4, Inherit::Share);
    run_on(&kit, 0, &one);
    fill(&kit, &one, 4);
    let two = one.fork().expect("memory");
    run_on(&kit, 1, &two);
    for n in 0..4 {
        assert_eq!(load(&kit, 1, &two, page(n)), Ok(1000 + n as u64));
        assert_eq!(load(&kit, 0, &one, page(n)), Ok(1000 + n as u64));
    }
    assert_eq!(one.trim(u64::MAX), 4);
    assert_eq!((one.resident().resident, two.resident().resident), (0, 4));
    kit_checks(&kit);
    two.check_invariants();
    // What the one writes, the other sees.
    store(&kit, 0, &one, page(2), 7).expect("stored");
    assert_eq!(load(&kit, 1, &two, page(2)), Ok(7));
    assert_eq!(two.trim(u64::MAX), 4);
    assert_eq!(load(&kit, 0, &one, page(2)), Ok(7));
    end!(kit, one, two);
}

#[test]
fn wired_memory_is_spared() {
    let kit = kit();
    let map = anonymous(&kit, 60);
    run_on(&kit, 0, &map);
    assert_eq!(map.wire(page(10), 20 * PAGE_SIZE), Ok(()));
    fill(&kit, &map, 60);
    map.set_resident_limits(None, Some(16));
    let info = map.resident();
    assert_eq!((info.resident, info.wired), (20, 20));
    for n in 0..60 {
        assert_eq!(
            kit.mapping(map.pmap(), page(n)).is_some(),
            (10..30).contains(&n)
        );
        assert_eq!(load(&kit, 0, &map, page(n)), Ok(1000 + n as u64));
    }
    end!(kit, map);
}

#[test]
fn far_apart_pages_are_found() {
    let kit = kit();
    let map = new_map(&kit);
    let len = 1 << 40;
    let at = 1 << 41;
    let request = MapRequest::anonymous(len, Prot::RW).at(Place::Fixed(at));
    assert_eq!(map.map(request), Ok(at));
    run_on(&kit, 0, &map);
    for n in 0..8 {
        store(&kit, 0, &map, at + n * (len / 8) + 5 * PAGE_SIZE, n as u64).expect("stored");
    }
    assert_eq!(
        kit.costs_at_most("trimming what is far apart", 80_000, || map.trim(8)),
        8
    );
    for n in 0..8 {
        assert_eq!(
            load(&kit, 0, &map, at + n * (len / 8) + 5 * PAGE_SIZE),
            Ok(n as u64)
        );
    }
    end!(kit, map);
}

#[test]
fn shared_zeros_count_and_are_trimmed() {
    let kit = kit();
    let map = anonymous(&kit, 64);
    run_on(&kit, 0, &map);
    for n in 0..64 {
        assert_eq!(load(&kit, 0, &map, page(n)), Ok(0));
    }
    assert_eq!(map.resident().resident, 64);
    assert_eq!(map.trim(64), 64);
    assert_eq!(load(&kit, 0, &map, page(5)), Ok(0));
    end!(kit, map);
}

#[test]
fn the_balancer_takes_from_those_who_are_above() {
    let kit = kit();
    let maps = [
        anonymous(&kit, 100),
        anonymous(&kit, 100),
        anonymous(&kit, 100),
    ];
    for (cpu, map) in maps.iter().enumerate() {
        run_on(&kit, cpu, map);
        for n in 0..100 {
            store(&kit, cpu, map, page(n), 5).expect("stored");
        }
    }
    let resident = || maps.each_ref().map(|map| map.resident().resident);
    // Nobody is above anything.
    assert_eq!(kit.vm().trim_most_over(10), 0);
    maps[0].set_resident_limits(Some(20), None);
    maps[1].set_resident_limits(Some(70), None);
    assert_eq!(kit.vm().trim_most_over(20), 20);
    assert_eq!(resident(), [80, 100, 100]);
    // Both are above: the first by 60, the second by 30.
    assert_eq!(kit.vm().trim_most_over(50), 50);
    let [a, b, c] = resident();
    assert_eq!((a + b, c), (130, 100));
    assert!(a - 20 <= 30 && b - 70 <= 30, "{a} {b}");
    // No more than what is above.
    assert_eq!(kit.vm().trim_most_over(1000), 40);
    assert_eq!(resident(), [20, 70, 100]);
    let mut seen = Vec::new();
    kit.vm()
        .each_map(|info| seen.push((info.id, info.resident, info.soft, info.entries)));
    seen.sort();
    let must = [(0, 20, Some(20)), (1, 70, Some(70)), (2, 100, None)];
    assert_eq!(
        seen,
        must.map(|(n, pages, soft)| (maps[n].id(), pages, soft, 1))
    );
    let [one, two, three] = maps;
    end!(kit, one, two, three);
}

#[test]
fn a_child_has_its_parents_limits() {
    let kit = kit();
    let map = anonymous(&kit, 4);
    map.set_resident_limits(Some(30), Some(50));
    let child = map.fork().expect("memory");
    assert_eq!(
        (child.resident().soft, child.resident().hard),
        (Some(30), Some(50))
    );
    end!(kit, map, child);
}

#[test]
fn private_copies_and_what_shows_through_are_trimmed() {
    let kit = kit();
    let map = new_map(&kit);
    let file = kit.open(0, 20 * PAGE_SIZE as u64);
    map_object(&map, &file, 0, 20, Share::Private);
    run_on(&kit, 0, &map);
    for n in (0..20).step_by(2) {
        store(&kit, 0, &map, page(n), 1000 + n as u64).expect("stored");
    }
    let words: Vec<u64> = (0..20)
        .map(|n| load(&kit, 0, &map, page(n)).expect("loaded"))
        .collect();
    assert_eq!(map.trim(u64::MAX), 20);
    let again: Vec<u64> = (0..20)
        .map(|n| load(&kit, 0, &map, page(n)).expect("loaded"))
        .collect();
    assert_eq!(words, again);
    assert_eq!(fault(&kit, &map, page(1), Access::Write), Ok(()));
    drop(file);
    end!(kit, map);
}

#[test]
fn the_list_of_maps_has_those_that_live() {
    let kit = kit();
    let ids = || {
        let mut ids = Vec::new();
        kit.vm().each_map(|info| ids.push(info.id));
        ids.sort();
        ids
    };
    let one = anonymous(&kit, 4);
    let two = one.fork().expect("memory");
    let three = new_map(&kit);
    assert_eq!(ids(), [one.id(), two.id(), three.id()]);
    drop(two);
    assert_eq!(ids(), [one.id(), three.id()]);
    drop(three);
    // A child that could not be made is not there either.
    for n in 1..5 {
        kit.fail_allocation(n);
        drop(one.fork());
        kit.fail_nothing();
        assert_eq!(ids(), [one.id()]);
    }
    drop(one);
    assert_eq!(ids(), [0; 0]);
    nothing_left(&kit);
}
