//! Scenes of memory that comes in rows, is split and joined. (A large leaf maps eight pages.)

use scalvm::{Large, NotLarge, PAGE_SIZE, Prot};
use scalvm_testkit::{Hw, Kit};

use crate::common::*;
use crate::crew::Crew;
use crate::memory::end;
use crate::paging::{evict, start};

const ROW: usize = 8;

/// A map with a row at `AT`, for which a large leaf is wanted.
fn asking(kit: &Kit) -> scalvm::Map<'_, Hw> {
    let map = anonymous(kit, ROW);
    assert_eq!(map.advise_large(AT, ROW * PAGE_SIZE, Large::Asked), Ok(()));
    map
}

/// Joins the row, as often as nobody is in the way.
fn join(kit: &Kit, map: &scalvm::Map<'_, Hw>) {
    for round in 0..3 {
        if round == 1 {
            kit.vm().join_some(3);
            continue;
        }
        match map.make_large(AT) {
            Ok(()) | Err(NotLarge::InUse | NotLarge::Unsuitable) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Stores to each page, and finds what was stored before.
fn use_pages(kit: &Kit, cpu: usize, map: &scalvm::Map<'_, Hw>) {
    run_on(kit, cpu, map);
    for round in 1..3 {
        for n in (0..ROW).filter(|n| n % 2 == cpu % 2) {
            let at = page(n) + 8 * cpu;
            assert_eq!(load(kit, cpu, map, at), Ok(round - 1), "page {n}");
            store(kit, cpu, map, at, round).expect("stored");
        }
    }
}

fn check_used(map: &scalvm::Map<'_, Hw>, cpus: std::ops::Range<usize>) {
    for cpu in cpus {
        for n in (0..ROW).filter(|n| n % 2 == cpu % 2) {
            assert_eq!(get(map, page(n) + 8 * cpu), Ok(2), "page {n}");
        }
    }
}

pub fn faults_at_once_bring_one_row(crew: &dyn Crew) {
    let kit = crew.narrow_kit();
    let map = asking(&kit);
    let act = |cpu: usize| use_pages(&kit, cpu, &map);
    crew.together(&kit, &[&|| act(0), &|| act(1), &|| act(2)]);
    check_used(&map, 0..3);
    assert_eq!(kit.vm().stats().frames_anon as usize, ROW);
    end!(kit, map);
}

pub fn stores_while_split_and_joined(crew: &dyn Crew) {
    let kit = crew.narrow_kit();
    let map = asking(&kit);
    let split = || {
        for n in 0..2 {
            for prot in [Prot::READ, Prot::RW] {
                // Stores that meet it are refused: those are to other pages.
                assert_eq!(map.protect(page(2 * n + 1), PAGE_SIZE, prot), Ok(()));
            }
        }
    };
    crew.together(
        &kit,
        &[
            &|| use_pages(&kit, 0, &map),
            &|| use_pages(&kit, 2, &map),
            &split,
            &|| join(&kit, &map),
        ],
    );
    for cpu in [0, 2] {
        check_used(&map, cpu..cpu + 1);
    }
    end!(kit, map);
}

pub fn stores_while_moved_to_a_row(crew: &dyn Crew) {
    let kit = crew.narrow_kit();
    let map = anonymous(&kit, ROW);
    // From behind: no row.
    (0..ROW).rev().for_each(|n| set(&map, page(n), 0));
    crew.together(
        &kit,
        &[
            &|| use_pages(&kit, 0, &map),
            &|| use_pages(&kit, 1, &map),
            &|| join(&kit, &map),
        ],
    );
    check_used(&map, 0..2);
    end!(kit, map);
}

pub fn forked_while_joined(crew: &dyn Crew) {
    let kit = crew.narrow_kit();
    let map = asking(&kit);
    let fork = || {
        let child = map.fork().expect("memory");
        for n in 0..ROW {
            let was = get(&child, page(n)).expect("read");
            set(&child, page(n) + 80, 5);
            assert_eq!(get(&child, page(n)), Ok(was));
        }
    };
    crew.together(
        &kit,
        &[
            &|| use_pages(&kit, 0, &map),
            &|| use_pages(&kit, 1, &map),
            &fork,
            &|| join(&kit, &map),
        ],
    );
    check_used(&map, 0..2);
    for n in 0..ROW {
        assert_eq!(get(&map, page(n) + 80), Ok(0), "a child's store");
    }
    end!(kit, map);
}

pub fn joined_while_pages_leave(crew: &dyn Crew) {
    let kit = crew.narrow_kit();
    start(&kit, 40, 0);
    let map = asking(&kit);
    crew.together(
        &kit,
        &[
            &|| use_pages(&kit, 0, &map),
            &|| use_pages(&kit, 1, &map),
            &|| evict(&kit),
            &|| join(&kit, &map),
        ],
    );
    crew.together(&kit, &[&|| check_used(&map, 0..2)]);
    end!(kit, map);
}
