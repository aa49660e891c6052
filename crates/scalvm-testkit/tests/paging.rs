//! Pages that leave memory and come back, as one thread sees it.

mod common;

use common::*;
use scalvm::{
    Access, FaultError, MapRequest, PAGE_SIZE, PagerError, Paging, Place, Prot, Share, SwapError,
    SwapOptions,
};
use scalvm_testkit::{Hw, Kit};

/// The file of the disk that serves as swap.
const SWAP: usize = 77;

/// A machine with so many frames that can page.
fn paging(frames: u64, slots: u64) -> Kit {
    let kit = Kit::new(frames);
    kit.vm()
        .start_paging(Paging::for_frames(frames))
        .expect("memory");
    if slots > 0 {
        add_swap(&kit, SWAP, slots, 0);
    }
    kit
}

fn add_swap(kit: &Kit, file: usize, slots: u64, priority: i16) -> scalvm::SwapId {
    let how = SwapOptions {
        priority,
        cipher: None,
    };
    kit.vm()
        .add_swap(kit.disk(), file, slots, how)
        .expect("memory")
}

/// Lets all leave that can.
fn evict(kit: &Kit, frames: u64) {
    let marks = Paging::for_frames(frames);
    kit.vm().set_marks(Paging {
        high: 1 << 30,
        ..marks
    });
    kit.vm().balance();
    kit.vm().set_marks(marks);
}

fn child<'v>(kit: &'v Kit, map: &scalvm::Map<'v, Hw>) -> scalvm::Map<'v, Hw> {
    kit.vm().with_room(|| map.fork(), |_| true).expect("memory")
}

#[test]
fn a_page_shared_by_a_thousand_spaces_leaves_all_of_them() {
    let frames = 16384;
    let kit = paging(frames, 100);
    let object = kit
        .vm()
        .new_anonymous(2 * PAGE_SIZE as u64)
        .expect("memory");
    let maps: Vec<_> = (0..1000)
        .map(|_| {
            let map = new_map(&kit);
            map_object(&map, &object, 0, 2, Share::Shared);
            assert_eq!(get(&map, page(0)), Ok(0));
            map
        })
        .collect();
    set(&maps[500], page(1), 7);
    for map in &maps {
        assert_eq!(get(map, page(1)), Ok(7));
    }
    evict(&kit, frames);
    assert_eq!(kit.vm().stats().frames_anon, 0);
    kit.vm().check_invariants();
    for (n, map) in maps.iter().enumerate() {
        assert_eq!(get(map, page(1)), Ok(7 + n as u64));
        set(map, page(1), 8 + n as u64);
    }
    drop((maps, object));
    nothing_left(&kit);
}

#[test]
fn an_anon_of_three_hundred_sharers_leaves_all_of_them() {
    let frames = 8192;
    let kit = paging(frames, 1000);
    let parent = anonymous(&kit, 3);
    (0..3).for_each(|n| set(&parent, page(n), n as u64));
    let children: Vec<_> = (0..300)
        .map(|n| {
            let child = child(&kit, &parent);
            // So that each has a chunk of its own, and the anon of page 2 as many references.
            set(&child, page(0), n);
            assert_eq!(get(&child, page(2)), Ok(2));
            child
        })
        .collect();
    evict(&kit, frames);
    assert_eq!(kit.vm().stats().frames_anon, 0);
    kit.vm().check_invariants();
    for (n, child) in children.iter().enumerate() {
        assert_eq!(get(child, page(2)), Ok(2));
        assert_eq!(get(child, page(0)), Ok(n as u64));
    }
    assert_eq!(get(&parent, page(0)), Ok(0));
    drop((parent, children));
    nothing_left(&kit);
}

#[test]
fn a_file_page_leaves_its_private_mappings() {
    let frames = 4096;
    let kit = paging(frames, 200);
    let object = kit.open(0, 4 * PAGE_SIZE as u64);
    let first = object_word(&object, PAGE_SIZE);
    let maps: Vec<_> = (0..100)
        .map(|n| {
            let map = new_map(&kit);
            let share = [Share::Private, Share::Shared][n % 2];
            map_object(&map, &object, 0, 4, share);
            if n % 4 == 0 {
                set(&map, page(2), n as u64);
            }
            assert_eq!(get(&map, page(1)), Ok(first));
            map
        })
        .collect();
    evict(&kit, frames);
    evict(&kit, frames);
    let stats = kit.vm().stats();
    assert_eq!([stats.frames_anon, stats.frames_file], [0, 0]);
    kit.vm().check_invariants();
    for (n, map) in maps.iter().enumerate() {
        assert_eq!(get(map, page(1)), Ok(first));
        if n % 4 == 0 {
            assert_eq!(get(map, page(2)), Ok(n as u64));
        }
    }
    object.sync(0, u64::MAX).expect("synced");
    drop((maps, object));
    nothing_left(&kit);
}

#[test]
fn wired_and_held_pages_stay() {
    let frames = 1024;
    let kit = paging(frames, 100);
    let map = anonymous(&kit, 10);
    (0..10).for_each(|n| set(&map, page(n), n as u64));
    map.wire(page(2), 3 * PAGE_SIZE).expect("wired");
    let held = map.hold(page(7), Access::Read).expect("held");
    evict(&kit, frames);
    assert_eq!(kit.vm().stats().frames_anon, 4);
    drop(held);
    map.unwire(page(2), 3 * PAGE_SIZE).expect("unwired");
    evict(&kit, frames);
    assert_eq!(kit.vm().stats().frames_anon, 0);
    (0..10).for_each(|n| assert_eq!(get(&map, page(n)), Ok(n as u64)));
    drop(map);
    nothing_left(&kit);
}

#[test]
fn what_is_unchanged_leaves_again_for_nothing() {
    let frames = 1024;
    let kit = paging(frames, 100);
    let map = anonymous(&kit, 10);
    (0..10).for_each(|n| set(&map, page(n), n as u64));
    evict(&kit, frames);
    let written = kit.vm().stats().swapouts;
    assert_eq!(written, 10);
    for _ in 0..3 {
        (0..10).for_each(|n| assert_eq!(get(&map, page(n)), Ok(n as u64)));
        evict(&kit, frames);
        assert_eq!(kit.vm().stats().frames_anon, 0);
    }
    assert_eq!(kit.vm().stats().swapouts, written);
    set(&map, page(3), 7);
    evict(&kit, frames);
    assert_eq!(kit.vm().stats().swapouts, written + 1);
    assert_eq!(get(&map, page(3)), Ok(7));
    drop(map);
    nothing_left(&kit);
}

#[test]
fn neighbours_come_back_together() {
    let frames = 4096;
    let kit = paging(frames, 2000);
    let map = anonymous(&kit, 1000);
    (0..1000).for_each(|n| set(&map, page(n), n as u64));
    evict(&kit, frames);
    let before = kit.disk().counts();
    (0..1000).for_each(|n| assert_eq!(get(&map, page(n)), Ok(n as u64)));
    let after = kit.disk().counts();
    assert_eq!(after.pages_read - before.pages_read, 1000);
    let requests = after.reads - before.reads;
    assert!(requests <= 300, "{requests} requests");
    drop(map);
    nothing_left(&kit);
}

#[test]
fn pages_wanted_at_random_come_alone() {
    let frames = 4096;
    let kit = paging(frames, 2000);
    let map = anonymous(&kit, 1500);
    (0..1500).for_each(|n| set(&map, page(n), n as u64));
    evict(&kit, frames);
    let before = kit.disk().counts();
    // A step that is prime to the number of pages visits all, never a neighbour next.
    let visits = 300;
    for n in (0..visits).map(|n| n * 677 % 1500) {
        assert_eq!(get(&map, page(n)), Ok(n as u64));
    }
    let read = kit.disk().counts().pages_read - before.pages_read;
    assert!(read <= visits as u64 + 20, "{read} pages for {visits}");
    drop(map);
    nothing_left(&kit);
}

#[test]
fn devices_take_turns_by_priority_and_can_go() {
    let frames = 2048;
    let kit = paging(frames, 0);
    let ids = [
        add_swap(&kit, 70, 100, 1),
        add_swap(&kit, 71, 100, 5),
        add_swap(&kit, 72, 100, 5),
    ];
    let used = |kit: &Kit| -> Vec<u64> { swap_devices(kit).iter().map(|swap| swap.used).collect() };
    let map = anonymous(&kit, 250);
    (0..128).for_each(|n| set(&map, page(n), n as u64));
    evict(&kit, frames);
    assert_eq!(used(&kit), [0, 64, 64]);
    (128..250).for_each(|n| set(&map, page(n), n as u64));
    evict(&kit, frames);
    assert_eq!(used(&kit), [50, 100, 100]);
    // Memory has room for what is on one of them.
    assert_eq!(kit.vm().remove_swap(ids[1]), Ok(()));
    assert_eq!(kit.vm().remove_swap(ids[1]), Err(SwapError::Unknown));
    kit.vm().check_invariants();
    (0..250).for_each(|n| assert_eq!(get(&map, page(n)), Ok(n as u64)));
    drop(map);
    nothing_left(&kit);
}

/// However large it is: each page that is brought back makes its own room.
#[test]
fn a_large_device_goes_to_another_one() {
    let frames = 200;
    let kit = paging(frames, 0);
    let old = add_swap(&kit, 70, 3000, 1);
    add_swap(&kit, 71, 3000, 0);
    let map = anonymous(&kit, 2500);
    (0..2500).for_each(|n| set(&map, page(n), n as u64));
    assert_eq!(kit.vm().remove_swap(old), Ok(()));
    kit.vm().check_invariants();
    (0..2500).for_each(|n| assert_eq!(get(&map, page(n)), Ok(n as u64)));
    drop(map);
    nothing_left(&kit);
}

/// What is put back together is read together, and counted as what comes back for a program is. What cannot be
/// read together is read alone.
#[test]
fn a_device_is_emptied_in_clusters() {
    let frames = 1024;
    for fails in [false, true] {
        let kit = paging(frames, 250);
        let map = anonymous(&kit, 240);
        (0..240).for_each(|n| set(&map, page(n), n as u64));
        evict(&kit, frames);
        let before = (kit.vm().stats().swapins, kit.reads());
        if fails {
            kit.fail_io(3);
        }
        assert_eq!(kit.vm().remove_swap(swap_devices(&kit)[0].id), Ok(()));
        let swapins = kit.vm().stats().swapins - before.0;
        let reads = kit.reads() - before.1;
        let again = if fails { 16 } else { 0 };
        assert!(swapins >= 240 && swapins <= 240 + again, "{swapins} pages");
        assert!(reads <= 240 / 16 + again, "{reads} requests");
        kit.vm().check_invariants();
        (0..240).for_each(|n| assert_eq!(get(&map, page(n)), Ok(n as u64)));
        assert_eq!(kit.vm().stats().swapins - before.0, swapins);
        drop(map);
        nothing_left(&kit);
    }
}

#[test]
fn a_device_stays_if_memory_has_no_room_for_it() {
    let frames = 200;
    let kit = paging(frames, 400);
    let map = anonymous(&kit, 400);
    let ends = (0..400).find_map(|n| map.write(page(n), &[n as u8; 8]).err());
    assert_eq!(ends, None);
    let device = &swap_devices(&kit)[0];
    assert_eq!(kit.vm().remove_swap(device.id), Err(SwapError::NoRoom));
    kit.vm().check_invariants();
    for n in 0..400 {
        assert_eq!(get(&map, page(n)), Ok(u64::from_ne_bytes([n as u8; 8])));
    }
    drop(map);
    nothing_left(&kit);
}

#[test]
fn a_slot_that_cannot_be_written_is_retired() {
    let frames = 1024;
    let kit = paging(frames, 64);
    let map = anonymous(&kit, 20);
    (0..20).for_each(|n| set(&map, page(n), n as u64));
    kit.disk().fail_pages(SWAP, 5..6);
    evict(&kit, frames);
    evict(&kit, frames);
    kit.vm().check_invariants();
    let bad: u64 = swap_devices(&kit).iter().map(|swap| swap.bad).sum();
    assert_eq!(bad, 1, "the one slot and no other");
    assert_eq!(kit.vm().stats().frames_anon, 0, "all have found a place");
    (0..20).for_each(|n| assert_eq!(get(&map, page(n)), Ok(n as u64)));
    kit.fail_nothing();
    drop(map);
    nothing_left(&kit);
}

#[test]
fn a_copy_that_cannot_be_read_says_so_and_can_be_read_later() {
    let frames = 1024;
    let kit = paging(frames, 64);
    let map = anonymous(&kit, 20);
    (0..20).for_each(|n| set(&map, page(n), n as u64));
    evict(&kit, frames);
    kit.disk().fail_pages(SWAP, 0..64);
    for n in 0..20 {
        assert_eq!(get(&map, page(n)), Err(FaultError::Pager(PagerError::Io)));
        kit.vm().check_invariants();
    }
    let device = &swap_devices(&kit)[0];
    assert_eq!(kit.vm().remove_swap(device.id), Err(SwapError::Io));
    kit.fail_nothing();
    (0..20).for_each(|n| assert_eq!(get(&map, page(n)), Ok(n as u64)));
    drop(map);
    nothing_left(&kit);
}

#[test]
fn neither_kind_of_pages_pushes_the_other_out() {
    let frames = 1000;
    let kit = paging(frames, 2000);
    let map = anonymous(&kit, 400);
    (0..400).for_each(|n| set(&map, page(n), n as u64));
    // A program that goes on using its memory, and a file that is read once, from end to end.
    let object = kit
        .vm()
        .new_vnode(kit.disk(), 5, 20_000 * PAGE_SIZE as u64)
        .expect("memory");
    run_on(&kit, 0, &map);
    let before = kit.vm().stats().swapins;
    for at in 0..20_000u64 {
        object
            .read_at(at * PAGE_SIZE as u64, &mut [0; 8])
            .expect("read");
        let n = at as usize * 7 % 400;
        assert_eq!(load(&kit, 0, &map, page(n)), Ok(n as u64));
    }
    let missed = kit.vm().stats().swapins - before;
    assert!(missed < 400, "{missed} pages of the program were missed");
    drop(object);
    // And a program that fills memory once leaves the file that is in use.
    let object = kit
        .vm()
        .new_vnode(kit.disk(), 5, 100 * PAGE_SIZE as u64)
        .expect("memory");
    let big = new_map(&kit);
    let all = MapRequest::anonymous(3000 * PAGE_SIZE, Prot::RW).at(Place::Fixed(AT));
    big.map(all).expect("mapped");
    let before = kit.vm().stats().pageins;
    for n in 0..1500 {
        big.write(page(n), &[1; 8]).expect("written");
        let at = n as u64 * 7 % 100;
        object
            .read_at(at * PAGE_SIZE as u64, &mut [0; 8])
            .expect("read");
    }
    let missed = kit.vm().stats().pageins - before;
    assert!(missed < 100 + 300, "{missed} pages of the file were missed");
    kit.leave_all(&[&map]);
    drop((map, big, object));
    nothing_left(&kit);
}
