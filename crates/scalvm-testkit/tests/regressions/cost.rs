//! Operations cost what is occupied, not what is spanned. Costs are counted: uses of locks, allocations, looks
//! at frames, flushes.

use scalvm::{Access, MapRequest, PAGE_SIZE, Place, Prot, Remap};

use crate::common::*;

const HUGE: usize = 256 << 30;
const TOUCHED: [usize; 3] = [0, HUGE / 2 + 5 * PAGE_SIZE, HUGE - PAGE_SIZE];

#[test]
fn a_lazy_map_of_256_gib_with_three_pages_costs_three_pages() {
    let kit = kit();
    let map = new_map(&kit);
    let request = MapRequest::anonymous(HUGE, Prot::RW).at(Place::Fixed(AT));
    kit.costs_at_most("map", 100, || assert_eq!(map.map(request), Ok(AT)));
    run_on(&kit, 0, &map);
    for at in TOUCHED {
        kit.costs_at_most("touch", 400, || {
            store(&kit, 0, &map, AT + at, 1).expect("stored")
        });
    }
    let s = kit.vm().stats();
    assert_eq!(s.frames_anon, 3);
    assert!(
        s.frames_tables <= 11,
        "a root, and for each page a table of each of three levels, at most"
    );
    assert!(s.nodes <= 16, "{} nodes for three pages", s.nodes);
    let child = kit.costs_at_most("fork", 600, || map.fork().expect("memory"));
    kit.costs_at_most("write after fork", 600, || {
        store(&kit, 0, &map, AT, 2).expect("stored")
    });
    assert_eq!(
        [get(&child, AT), get(&child, AT + TOUCHED[1])],
        [Ok(1), Ok(1)]
    );
    kit.costs_at_most("protect", 300, || {
        assert_eq!(map.protect(AT, HUGE, Prot::READ), Ok(()))
    });
    kit.costs_at_most("discard", 300, || assert_eq!(map.discard(AT, HUGE), Ok(())));
    kit.costs_at_most("move", 600, || {
        assert_eq!(
            child.remap(AT, HUGE, HUGE, Remap::Fixed(AT + HUGE)),
            Ok(AT + HUGE)
        );
    });
    assert_eq!(get(&child, AT + HUGE + TOUCHED[2]), Ok(1));
    kit.costs_at_most("unmap a part", 400, || {
        assert_eq!(child.unmap(AT + HUGE, HUGE / 2), Ok(()))
    });
    kit.costs_at_most("unmap", 600, || assert_eq!(map.unmap(AT, HUGE), Ok(())));
    take_off(&kit, 0, &map);
    kit.costs_at_most("drop", 800, || drop(child));
    drop(map);
    nothing_left(&kit);
}

#[test]
fn fork_does_not_cost_what_is_resident() {
    let kit = kit();
    let map = anonymous(&kit, 2000);
    set(&map, AT, 1);
    let small = kit.cost(|| drop(map.fork()));
    for n in 0..2000 {
        set(&map, page(n), 1);
    }
    let large = kit.cost(|| drop(map.fork()));
    assert!(
        large < small + 400,
        "2000 pages cost {large}, one cost {small}"
    );
}

#[test]
fn objects_at_rest_cost_almost_nothing() {
    let kit = kit();
    let before = kit.vm().stats().frames_free;
    let objects: Vec<_> = (0..500)
        .map(|_| kit.vm().new_anonymous(1 << 30).expect("memory"))
        .collect();
    assert!(before - kit.vm().stats().frames_free <= 40);
    for object in &objects {
        assert_eq!(object.resident(), 0);
    }
    drop(objects);
    nothing_left(&kit);
}

#[test]
fn an_empty_map_costs_a_page_or_two() {
    let kit = kit();
    let maps: Vec<_> = (0..100).map(|_| new_map(&kit)).collect();
    assert!(kit.vm().stats().frames_tables <= 100);
    drop(maps);
    nothing_left(&kit);
}

#[test]
fn a_fault_on_what_is_mapped_already_allocates_nothing() {
    let kit = kit();
    let map = anonymous(&kit, 4);
    set(&map, AT, 1);
    run_on(&kit, 0, &map);
    store(&kit, 0, &map, AT, 2).expect("stored");
    let before = kit.vm().stats();
    assert_eq!(fault(&kit, &map, AT, Access::Write), Ok(()));
    let after = kit.vm().stats();
    assert_eq!(
        [before.anons, before.frames_free],
        [after.anons, after.frames_free]
    );
    take_off(&kit, 0, &map);
}
