//! What a child gets: the four kinds of minherit(2), by the names that NetBSD's test has for them, and what
//! becomes of them in grandchildren and when they change.

use scalvm::{Inherit, MapError, PAGE_SIZE};

use crate::common::*;

#[test]
fn t_minherit_copy() {
    let kit = kit();
    let map = anonymous(&kit, 1);
    set(&map, page(0), 5);
    set_inherit(&map, 0, 1, Inherit::Copy);
    let child = map.fork().expect("memory");
    assert_eq!(get(&child, page(0)), Ok(5), "the child sees the value");
    set(&child, page(0), 6);
    assert_eq!(get(&map, page(0)), Ok(5), "its change is its own");
    set(&map, page(0), 7);
    assert_eq!(get(&child, page(0)), Ok(6));
    drop((map, child));
    nothing_left(&kit);
}

#[test]
fn t_minherit_share() {
    let kit = kit();
    let map = anonymous(&kit, 2);
    set(&map, page(0), 5);
    set_inherit(&map, 0, 2, Inherit::Share);
    let child = map.fork().expect("memory");
    assert_eq!(get(&child, page(0)), Ok(5));
    set(&child, page(0), 6);
    assert_eq!(get(&map, page(0)), Ok(6), "the parent sees the child's");
    set(&map, page(1), 7);
    assert_eq!(get(&child, page(1)), Ok(7), "the child sees the parent's");
    drop((map, child));
    nothing_left(&kit);
}

#[test]
fn t_minherit_none() {
    let kit = kit();
    let map = anonymous(&kit, 2);
    set(&map, page(0), 5);
    set_inherit(&map, 0, 1, Inherit::None);
    let child = map.fork().expect("memory");
    assert_eq!(get(&child, page(0)), Err(scalvm::FaultError::NoMapping));
    assert_eq!(get(&child, page(1)), Ok(0));
    assert_eq!(get(&map, page(0)), Ok(5));
    drop((map, child));
    nothing_left(&kit);
}

#[test]
fn t_minherit_zero() {
    let kit = kit();
    let map = anonymous(&kit, 1);
    set(&map, page(0), 5);
    set_inherit(&map, 0, 1, Inherit::Zero);
    let child = map.fork().expect("memory");
    assert_eq!(get(&child, page(0)), Ok(0));
    set(&child, page(0), 6);
    assert_eq!(get(&map, page(0)), Ok(5), "the parent's is unchanged");
    // A grandchild gets zeros again.
    let grandchild = child.fork().expect("memory");
    assert_eq!(get(&grandchild, page(0)), Ok(0));
    drop((map, child, grandchild));
    nothing_left(&kit);
}

#[test]
fn t_minherit_bad() {
    let kit = kit();
    let map = anonymous(&kit, 2);
    let inherit = |at, len| map.inherit(at, len, Inherit::None);
    assert_eq!(inherit(page(0) + 1, PAGE_SIZE), Err(MapError::BadRange));
    assert_eq!(inherit(page(0), 0), Err(MapError::BadRange));
    assert_eq!(inherit(page(1), 2 * PAGE_SIZE), Err(MapError::NotMapped));
    // A refused change changes nothing.
    let region = map.query(page(0)).expect("mapped");
    assert_eq!(
        (region.start, region.end, region.inherit),
        (page(0), page(2), Inherit::Copy)
    );
    drop(map);
    nothing_left(&kit);
}

#[test]
fn what_was_shared_is_copied_and_what_was_copied_is_shared() {
    let kit = kit();
    let map = anonymous(&kit, 2);
    set(&map, page(0), 1);
    set_inherit(&map, 0, 2, Inherit::Share);
    let child = map.fork().expect("memory");
    // From here on the child's children get copies of what it shares with its parent.
    set_inherit(&child, 0, 2, Inherit::Copy);
    let copy = child.fork().expect("memory");
    set(&copy, page(0), 2);
    set(&map, page(0) + 8, 3);
    assert_eq!(get(&child, page(0) + 8), Ok(3), "parent and child share");
    assert_eq!(get(&copy, page(0) + 8), Ok(0), "the copy is older");
    assert_eq!(get(&map, page(0)), Ok(1));
    // And the copy's children share with it, not with those above.
    set_inherit(&copy, 0, 2, Inherit::Share);
    let sharer = copy.fork().expect("memory");
    set(&sharer, page(1), 4);
    assert_eq!(get(&copy, page(1)), Ok(4));
    assert_eq!(get(&map, page(1)), Ok(0));
    for map in [&map, &child, &copy, &sharer] {
        map.check_invariants();
    }
    drop((map, child, copy, sharer));
    nothing_left(&kit);
}

#[test]
fn dumps_leave_out_what_a_child_leaves_out_too() {
    let kit = kit();
    let map = anonymous(&kit, 3);
    assert_eq!(map.set_dump(page(1), PAGE_SIZE, false), Ok(()));
    let child = map.fork().expect("memory");
    let flags = |n| child.query(page(n)).map(|region| region.no_dump);
    assert_eq!([0, 1, 2].map(flags), [Some(false), Some(true), Some(false)]);
    assert_eq!(map.set_dump(page(0), 3 * PAGE_SIZE, true), Ok(()));
    let region = map.query(page(0)).expect("mapped");
    assert_eq!(region.end, page(3), "alike again, they are one");
    drop((map, child));
    nothing_left(&kit);
}
