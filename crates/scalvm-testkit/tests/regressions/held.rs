//! Pages that the kernel holds, and forks.

use scalvm::{Access, HeldPage, Inherit, Map, PAGE_SIZE, Share};
use scalvm_testkit::{Hw, Kit};

use crate::common::*;

/// Writes a word of a page through its hold.
fn write(kit: &Kit, held: &HeldPage<'_, Hw>, at: usize, value: u64) {
    kit.write(held.frame(), at, &value.to_le_bytes());
}

/// The first three words of a page.
fn words(map: &Map<'_, Hw>, n: usize) -> [u64; 3] {
    [0, 8, 16].map(|at| get(map, page(n) + at).expect("read"))
}

#[test]
fn private_memory_that_is_held_stays_the_parents() {
    let kit = kit();
    let parent = anonymous(&kit, 200);
    for n in [0, 1, 150] {
        set(&parent, page(n), 1);
    }
    let holds = [0, 1, 150].map(|n| parent.hold(page(n), Access::Write).expect("held"));
    let copies = kit.vm().stats().cow_copies;
    let child = parent.fork().expect("memory");
    assert_eq!(kit.vm().stats().cow_copies, copies + 3, "at once");
    for (held, n) in holds.iter().zip([0, 1, 150]) {
        write(&kit, held, 8, 2);
        set(&parent, page(n) + 16, 3);
        assert_eq!(words(&parent, n), [1, 2, 3]);
        assert_eq!(words(&child, n), [1, 0, 0]);
        write(&kit, held, 16, 4);
        assert_eq!(words(&parent, n), [1, 2, 4]);
        set(&child, page(n) + 8, 5);
        assert_eq!(words(&child, n), [1, 5, 0]);
    }
    assert_eq!(kit.vm().stats().cow_copies, copies + 3, "and no more");
    drop(holds);
    drop((parent, child));
    nothing_left(&kit);
}

#[test]
fn shared_memory_that_is_held_stays_the_objects() {
    let kit = kit();
    let object = kit
        .vm()
        .new_anonymous(4 * PAGE_SIZE as u64)
        .expect("memory");
    let map = new_map(&kit);
    map_object(&map, &object, 0, 4, Share::Shared);
    set(&map, page(2), 1);
    set_inherit(&map, 0, 4, Inherit::Copy);
    let held = object.hold(2, Access::Write).expect("held");
    let [first, second] = [(); 2].map(|()| map.fork().expect("memory"));
    write(&kit, &held, 8, 2);
    set(&map, page(2) + 16, 3);
    assert_eq!(words(&map, 2), [1, 2, 3]);
    assert_eq!(object_word(&object, 2 * PAGE_SIZE + 8), 2);
    assert_eq!([words(&first, 2), words(&second, 2)], [[1, 0, 0]; 2]);
    drop(map);
    drop(object);
    write(&kit, &held, 0, 4);
    assert_eq!([words(&first, 2), words(&second, 2)], [[1, 0, 0]; 2]);
    drop((first, second));
    kit.vm().check_invariants();
    drop(held);
    nothing_left(&kit);
}

#[test]
fn what_is_held_after_a_fork_is_no_more_shared() {
    let kit = kit();
    let parent = anonymous(&kit, 1);
    set(&parent, page(0), 1);
    let child = parent.fork().expect("memory");
    let held = parent.hold(page(0), Access::Write).expect("held");
    write(&kit, &held, 8, 2);
    set(&parent, page(0) + 16, 3);
    assert_eq!(words(&parent, 0), [1, 2, 3]);
    assert_eq!(words(&child, 0), [1, 0, 0]);
    // Nor is it with a child of the child, whose page nobody holds.
    let copies = kit.vm().stats().cow_copies;
    let grandchild = child.fork().expect("memory");
    assert_eq!(kit.vm().stats().cow_copies, copies);
    assert_eq!(words(&grandchild, 0), [1, 0, 0]);
}

#[test]
fn a_page_that_is_no_more_held_is_copied_late() {
    let kit = kit();
    let parent = anonymous(&kit, 2);
    set(&parent, page(0), 1);
    let read = parent.hold(page(0), Access::Read).expect("held");
    drop(parent.hold(page(0), Access::Write).expect("held"));
    let copies = kit.vm().stats().cow_copies;
    let child = parent.fork().expect("memory");
    assert_eq!(kit.vm().stats().cow_copies, copies);
    assert_eq!(kit.vm().stats().frames_anon, 1);
    drop((read, child));
}

#[test]
fn a_part_that_moved_takes_its_holds_along() {
    let kit = kit();
    let parent = anonymous(&kit, 4);
    set(&parent, page(1), 1);
    let held = parent.hold(page(1), Access::Write).expect("held");
    let moved = parent.remap(page(1), PAGE_SIZE, PAGE_SIZE, scalvm::Remap::Fixed(page(9)));
    assert_eq!(moved, Ok(page(9)));
    let child = parent.fork().expect("memory");
    write(&kit, &held, 8, 2);
    set(&parent, page(9) + 16, 3);
    write(&kit, &held, 8, 4);
    assert_eq!(words(&parent, 9), [1, 4, 3]);
    assert_eq!(words(&child, 9), [1, 0, 0]);
}

#[test]
fn a_fork_that_finds_no_memory_for_copies_leaves_the_parent_its_pages() {
    let kit = kit();
    let parent = anonymous(&kit, 100);
    for n in [0, 1, 99] {
        set(&parent, page(n), 1);
    }
    let holds = [0, 1, 99].map(|n| parent.hold(page(n), Access::Write).expect("held"));
    run_on(&kit, 0, &parent);
    let mut refused = 0;
    let mut nth = 0;
    let child = loop {
        nth += 1;
        kit.fail_allocation(nth);
        let result = parent.fork();
        let none_failed = kit.is_failing();
        kit.fail_nothing();
        match result {
            Ok(child) if none_failed => break child,
            Ok(_) => {}
            Err(_) => refused += 1,
        }
        kit.vm().check_invariants();
        for (held, n) in holds.iter().zip([0, 1, 99]) {
            store(&kit, 0, &parent, page(n) + 8, nth).expect("stored");
            write(&kit, held, 16, nth);
            assert_eq!(words(&parent, n), [1, nth, nth]);
        }
    };
    assert!(refused > 8, "only {refused} allocations");
    assert_eq!(words(&child, 99), [1, nth - 1, nth - 1]);
    take_off(&kit, 0, &parent);
    drop((holds, parent, child));
    nothing_left(&kit);
}
