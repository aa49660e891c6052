//! Copy-on-write, fork and inheritance.

use scalvm::{FaultError, Inherit, MapRequest, PAGE_SIZE, Place, Prot, Share};

use crate::common::*;

#[test]
fn each_side_of_a_fork_sees_its_own_writes_only() {
    let kit = kit();
    let parent = anonymous(&kit, 4);
    set(&parent, page(0), 1);
    set(&parent, page(1), 2);
    let child = parent.fork().expect("memory");
    set(&parent, page(0), 10);
    set(&child, page(1), 20);
    assert_eq!(
        [get(&parent, page(0)), get(&parent, page(1))],
        [Ok(10), Ok(2)]
    );
    assert_eq!(
        [get(&child, page(0)), get(&child, page(1))],
        [Ok(1), Ok(20)]
    );
    drop(parent);
    assert_eq!(
        [get(&child, page(0)), get(&child, page(1))],
        [Ok(1), Ok(20)]
    );
    drop(child);
    nothing_left(&kit);
}

#[test]
fn a_page_is_copied_once_and_its_last_owner_writes_in_place() {
    let kit = kit();
    let parent = anonymous(&kit, 1);
    set(&parent, page(0), 1);
    let child = parent.fork().expect("memory");
    let before = kit.vm().stats().cow_copies;
    set(&child, page(0), 2);
    assert_eq!(kit.vm().stats().cow_copies, before + 1);
    set(&parent, page(0), 3);
    set(&child, page(0), 4);
    assert_eq!(
        kit.vm().stats().cow_copies,
        before + 1,
        "neither shares the page any more"
    );
    let second = parent.fork().expect("memory");
    drop(second);
    set(&parent, page(0), 5);
    assert_eq!(kit.vm().stats().cow_copies, before + 1, "the child is gone");
    assert_eq!(get(&child, page(0)), Ok(4));
}

#[test]
fn a_page_may_have_more_than_255_sharers() {
    let kit = kit();
    let parent = anonymous(&kit, 1);
    set(&parent, page(0), 7);
    let children: Vec<_> = (0..300).map(|_| parent.fork().expect("memory")).collect();
    for child in &children {
        assert_eq!(get(child, page(0)), Ok(7));
    }
    kit.vm().check_invariants();
    for (n, child) in children.iter().enumerate().step_by(3) {
        set(child, page(0), n as u64);
    }
    set(&parent, page(0), 8);
    for (n, child) in children.iter().enumerate() {
        let expected = if n % 3 == 0 { n as u64 } else { 7 };
        assert_eq!(get(child, page(0)), Ok(expected));
    }
    drop((parent, children));
    nothing_left(&kit);
}

#[test]
fn generations_of_forks_keep_their_snapshots() {
    let kit = kit();
    let mut maps = vec![anonymous(&kit, 3)];
    for generation in 0..20 {
        let last = maps.last().expect("one");
        set(last, page(generation % 3), generation as u64);
        let child = last.fork().expect("memory");
        set(last, page((generation + 1) % 3), 1000 + generation as u64);
        maps.push(child);
    }
    for (generation, map) in maps.iter().enumerate().take(20) {
        assert_eq!(get(map, page(generation % 3)), Ok(generation as u64));
        assert_eq!(
            get(map, page((generation + 1) % 3)),
            Ok(1000 + generation as u64)
        );
        map.check_invariants();
    }
    drop(maps);
    nothing_left(&kit);
}

/// FreeBSD's CVE-2021-29626: a copy is made in an address space that shares with another one, and the
/// other goes on seeing the old page.
#[test]
fn sharers_see_what_one_of_them_wrote_after_a_copy_was_inherited() {
    for pages in [1, 3, 511, 512, 513] {
        for is_wired in [false, true] {
            for writer in [0, 1] {
                let kit = kit();
                let first = anonymous(&kit, pages);
                let last = page(pages - 1);
                set(&first, AT, 1);
                set(&first, last, 1);
                if is_wired {
                    assert_eq!(first.wire(AT, pages * PAGE_SIZE), Ok(()));
                }
                let copy = first.fork().expect("memory");
                set_inherit(&first, 0, pages, Inherit::Share);
                let sharer = first.fork().expect("memory");
                for (cpu, map) in [&first, &sharer, &copy].into_iter().enumerate() {
                    run_on(&kit, cpu, map);
                    assert_eq!(load(&kit, cpu, map, AT), Ok(1));
                    assert_eq!(load(&kit, cpu, map, last), Ok(1));
                }
                let maps = [&first, &sharer];
                store(&kit, writer, maps[writer], AT, 2).expect("written");
                store(&kit, writer, maps[writer], last, 2).expect("written");
                for (cpu, map) in maps.into_iter().enumerate() {
                    assert_eq!(
                        load(&kit, cpu, map, AT),
                        Ok(2),
                        "{pages} {is_wired} {writer}"
                    );
                    assert_eq!(
                        load(&kit, cpu, map, last),
                        Ok(2),
                        "{pages} {is_wired} {writer}"
                    );
                }
                assert_eq!(load(&kit, 2, &copy, AT), Ok(1));
                for (cpu, map) in [&first, &sharer, &copy].into_iter().enumerate() {
                    map.check_invariants();
                    take_off(&kit, cpu, map);
                }
                drop((first, copy, sharer));
                nothing_left(&kit);
            }
        }
    }
}

#[test]
fn a_sharer_that_could_write_does_not_write_into_a_copy() {
    let kit = kit();
    let first = anonymous(&kit, 2);
    set_inherit(&first, 0, 2, Inherit::Share);
    let sharer = first.fork().expect("memory");
    run_on(&kit, 1, &sharer);
    store(&kit, 1, &sharer, page(0), 1).expect("stored");
    set_inherit(&first, 0, 2, Inherit::Copy);
    let copy = first.fork().expect("memory");
    // The sharer could write the page before the fork, in which it took no part.
    store(&kit, 1, &sharer, page(0), 2).expect("stored");
    assert_eq!([get(&first, page(0)), get(&copy, page(0))], [Ok(2), Ok(1)]);
    take_off(&kit, 1, &sharer);
    drop((first, sharer, copy));
    nothing_left(&kit);
}

#[test]
fn sharers_of_a_private_file_see_the_first_write_of_one_of_them() {
    let kit = kit();
    let (first, file) = (new_map(&kit), kit.open(0, 2 * PAGE_SIZE as u64));
    map_object(&first, &file, 0, 2, Share::Private);
    set_inherit(&first, 0, 2, Inherit::Share);
    let sharer = first.fork().expect("memory");
    let maps = [&first, &sharer];
    for (cpu, map) in maps.into_iter().enumerate() {
        run_on(&kit, cpu, map);
        load(&kit, cpu, map, page(0)).expect("loaded");
        load(&kit, cpu, map, page(1)).expect("loaded");
    }
    for (cpu, map) in maps.into_iter().enumerate() {
        store(&kit, cpu, map, page(cpu), 5).expect("stored");
        let other = 1 - cpu;
        assert_eq!(load(&kit, other, maps[other], page(cpu)), Ok(5));
    }
    assert_ne!(object_word(&file, 0), 5);
    (0..2).for_each(|cpu| take_off(&kit, cpu, maps[cpu]));
    drop((first, sharer, file));
    nothing_left(&kit);
}

#[test]
fn a_child_does_not_find_what_it_did_not_inherit() {
    let kit = kit();
    let parent = anonymous(&kit, 9);
    for n in 0..9 {
        set(&parent, page(n), 1);
    }
    set_inherit(&parent, 3, 3, Inherit::None);
    let child = parent.fork().expect("memory");
    let hole = MapRequest::anonymous(3 * PAGE_SIZE, Prot::RW).at(Place::Fixed(page(3)));
    assert_eq!(child.map(hole), Ok(page(3)));
    for n in 0..9 {
        assert_eq!(get(&child, page(n)), Ok(u64::from(!(3..6).contains(&n))));
    }
    set(&child, page(4), 2);
    assert_eq!(get(&parent, page(4)), Ok(1));
    drop((parent, child));
    nothing_left(&kit);
}

#[test]
fn a_copy_of_shared_memory_does_not_follow_its_sharers() {
    let kit = kit();
    let first = anonymous(&kit, 2);
    set(&first, page(0), 1);
    set_inherit(&first, 0, 2, Inherit::Share);
    let sharer = first.fork().expect("memory");
    set_inherit(&sharer, 0, 2, Inherit::Copy);
    let copy = sharer.fork().expect("memory");
    set(&first, page(0), 2);
    set(&sharer, page(1), 3);
    assert_eq!([get(&first, page(0)), get(&first, page(1))], [Ok(2), Ok(3)]);
    assert_eq!(
        [get(&sharer, page(0)), get(&sharer, page(1))],
        [Ok(2), Ok(3)]
    );
    assert_eq!([get(&copy, page(0)), get(&copy, page(1))], [Ok(1), Ok(0)]);
    set(&copy, page(0), 4);
    assert_eq!(get(&first, page(0)), Ok(2));
    drop((first, sharer, copy));
    nothing_left(&kit);
}

#[test]
fn a_child_gets_what_inheritance_says() {
    let kit = kit();
    let parent = anonymous(&kit, 4);
    for n in 0..4 {
        set(&parent, page(n), 1);
    }
    set_inherit(&parent, 1, 1, Inherit::Share);
    set_inherit(&parent, 2, 1, Inherit::None);
    set_inherit(&parent, 3, 1, Inherit::Zero);
    let child = parent.fork().expect("memory");
    assert_eq!(
        [
            get(&child, page(0)),
            get(&child, page(1)),
            get(&child, page(3))
        ],
        [Ok(1), Ok(1), Ok(0)]
    );
    assert_eq!(get(&child, page(2)), Err(FaultError::NoMapping));
    for n in [0, 1, 3] {
        set(&child, page(n), 2);
    }
    let seen: Vec<_> = (0..4).map(|n| get(&parent, page(n))).collect();
    assert_eq!(seen, [Ok(1), Ok(2), Ok(1), Ok(1)]);
}

#[test]
fn memory_that_was_not_touched_before_the_fork_is_shared_where_it_should_be() {
    let kit = kit();
    let parent = anonymous(&kit, 2);
    set_inherit(&parent, 0, 2, Inherit::Share);
    let child = parent.fork().expect("memory");
    set(&child, page(0), 1);
    set(&parent, page(1), 2);
    assert_eq!(
        [get(&parent, page(0)), get(&child, page(1))],
        [Ok(1), Ok(2)]
    );
}

#[test]
fn shared_anonymous_memory_stays_shared_over_generations() {
    let kit = kit();
    let parent = new_map(&kit);
    let mut request = MapRequest::anonymous(2 * PAGE_SIZE, Prot::RW).at(Place::Fixed(AT));
    request.share = Share::Shared;
    request.inherit = Inherit::Share;
    assert_eq!(parent.map(request), Ok(AT));
    let child = parent.fork().expect("memory");
    let grandchild = child.fork().expect("memory");
    drop(child);
    set(&grandchild, page(1), 5);
    assert_eq!(get(&parent, page(1)), Ok(5));
    drop(parent);
    assert_eq!(get(&grandchild, page(1)), Ok(5));
    drop(grandchild);
    nothing_left(&kit);
}

#[test]
fn a_page_that_no_side_maps_any_more_is_freed() {
    let kit = kit();
    let parent = anonymous(&kit, 8);
    for n in 0..8 {
        set(&parent, page(n), 1);
    }
    let child = parent.fork().expect("memory");
    assert_eq!(kit.vm().stats().frames_anon, 8);
    assert_eq!(parent.unmap(page(2), 4 * PAGE_SIZE), Ok(()));
    assert_eq!(child.unmap(page(2), 4 * PAGE_SIZE), Ok(()));
    assert_eq!(kit.vm().stats().frames_anon, 4);
}

#[test]
fn a_wired_page_that_was_never_touched_forks() {
    let kit = kit();
    let parent = anonymous(&kit, 3);
    assert_eq!(parent.wire(AT, 3 * PAGE_SIZE), Ok(()));
    let child = parent.fork().expect("memory");
    set(&parent, page(0), 1);
    set(&child, page(1), 2);
    assert_eq!(
        [get(&child, page(0)), get(&parent, page(1))],
        [Ok(0), Ok(0)]
    );
    assert!(
        !child.query(AT).expect("mapped").wired,
        "a child inherits no wiring"
    );
    assert!(parent.query(AT).expect("mapped").wired);
    drop((parent, child));
    nothing_left(&kit);
}

#[test]
fn ten_thousand_forks_leave_nothing() {
    let kit = kit();
    let shell = anonymous(&kit, 8);
    set(&shell, page(1), 1);
    let before = kit.vm().stats();
    for round in 0..10_000 {
        let child = shell.fork().expect("memory");
        set(&child, page(round % 8), 2);
        if round % 100 == 0 {
            drop(child.fork());
        }
    }
    let after = kit.vm().stats();
    assert_eq!(
        [
            after.anons,
            after.amaps,
            after.objects,
            after.entries,
            after.maps,
            after.frames_anon
        ],
        [
            before.anons,
            before.amaps,
            before.objects,
            before.entries,
            before.maps,
            before.frames_anon
        ]
    );
    drop(shell);
    nothing_left(&kit);
}
