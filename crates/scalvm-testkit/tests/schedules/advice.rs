//! Scenes in which one thread gives memory up, or has it leave, while others use it.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use scalvm::{PAGE_SIZE, Share};

use crate::common::*;
use crate::crew::Crew;
use crate::memory::end;
use crate::paging::{evict, paging};

/// What a page held is there, or nothing of it is; and what is stored after it was given up stays.
pub fn stores_while_given_up(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let map = anonymous(&kit, 2);
    let prepare = || (0..2).for_each(|n| set(&map, page(n), 1));
    crew.together(&kit, &[&prepare]);
    let whole = |n: usize, latest: u64| {
        let (old, new) = (get(&map, page(n)), get(&map, page(n) + 8));
        let (old, new) = (old.expect("read"), new.expect("read"));
        assert!(old <= 1 && (new == 0 || new == latest), "{old}, {new}");
        assert!(new != 0 || latest == 0 || old == 0, "a part is gone: {old}");
        (old, new)
    };
    let give_up = || {
        for _ in 0..2 {
            map.free(page(0), 2 * PAGE_SIZE).expect("given up");
        }
    };
    let use_it = || {
        run_on(&kit, 1, &map);
        for round in 1..4 {
            for n in 0..2 {
                store(&kit, 1, &map, page(n) + 8, round).expect("stored");
                let seen = load(&kit, 1, &map, page(n) + 8).expect("loaded");
                assert!(seen == 0 || seen == round, "{seen} in round {round}");
            }
        }
    };
    let leave = || {
        for _ in 0..3 {
            evict(&kit);
        }
    };
    let keep = || {
        for n in 0..2 {
            set(&map, page(n) + 16, 9);
            let seen = whole(n, 3);
            evict(&kit);
            assert_eq!(get(&map, page(n) + 16), Ok(9), "what was stored stays");
            assert_eq!(whole(n, 3), seen);
        }
    };
    crew.together(&kit, &[&give_up, &use_it, &leave]);
    crew.together(&kit, &[&keep]);
    end!(kit, map);
}

/// Memory that a child has as well is given up by both, and only then goes; what was given up before the fork is so
/// for both.
pub fn forked_while_given_up(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let map = anonymous(&kit, 2);
    let prepare = || (0..2).for_each(|n| set(&map, page(n), 1));
    crew.together(&kit, &[&prepare]);
    let given_up = AtomicBool::new(false);
    let give_up = || {
        given_up.store(true, SeqCst);
        map.free(page(0), PAGE_SIZE).expect("given up");
    };
    let fork = || {
        let child = map.fork().expect("memory");
        if !given_up.load(SeqCst) {
            evict(&kit);
            assert_eq!(get(&child, page(0)), Ok(1), "the child gives nothing up");
        }
        let seen = get(&child, page(0)).expect("read");
        assert!(seen <= 1, "{seen}");
        set(&child, page(0) + 8, 5);
        assert!(get(&child, page(0)).expect("read") <= seen);
        assert_eq!(get(&child, page(0) + 8), Ok(5));
        assert_eq!(get(&child, page(1)), Ok(1));
    };
    let leave = || (0..2).for_each(|_| evict(&kit));
    let check = || {
        assert!(get(&map, page(0)).expect("read") <= 1);
        assert_eq!(get(&map, page(0) + 8), Ok(0));
        assert_eq!(get(&map, page(1)), Ok(1));
    };
    crew.together(&kit, &[&give_up, &fork, &leave]);
    crew.together(&kit, &[&check]);
    end!(kit, map);
}

/// What is told to leave comes back as it was, however often.
pub fn stores_while_told_to_leave(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let map = anonymous(&kit, 3);
    let out = || {
        for _ in 0..2 {
            map.cool(page(0), PAGE_SIZE).expect("mapped");
            map.page_out(page(0), 3 * PAGE_SIZE).expect("mapped");
        }
    };
    let use_it = || {
        run_on(&kit, 1, &map);
        for round in 1..4 {
            for n in 0..3 {
                store(&kit, 1, &map, page(n), round).expect("stored");
                assert_eq!(load(&kit, 1, &map, page(n)), Ok(round));
            }
        }
    };
    let check = || {
        map.page_out(page(0), 3 * PAGE_SIZE).expect("mapped");
        (0..3).for_each(|n| assert_eq!(get(&map, page(n)), Ok(3)));
    };
    crew.together(&kit, &[&out, &use_it, &out]);
    crew.together(&kit, &[&check]);
    assert!(kit.vm().stats().paged_out >= 3);
    end!(kit, map);
}

/// A file is written through a mapping while its pages are written early, dropped, and told to leave.
pub fn stores_to_a_file_while_it_is_invalidated(crew: &dyn Crew) {
    let kit = paging(crew, 0, 0);
    let file = kit.open(0, 2 * PAGE_SIZE as u64);
    let map = new_map(&kit);
    map_object(&map, &file, 0, 2, Share::Shared);
    let drop_it = || {
        map.start_sync(page(0), 2 * PAGE_SIZE).expect("mapped");
        // Now they are clean, but for what is stored meanwhile.
        assert_eq!(map.sync(page(0), 2 * PAGE_SIZE), Ok(()));
        map.invalidate(page(0), 2 * PAGE_SIZE).expect("mapped");
        file.drop_clean(0, 2 * PAGE_SIZE as u64);
    };
    let out = || _ = map.page_out(page(0), 2 * PAGE_SIZE).expect("mapped");
    let use_it = || {
        run_on(&kit, 1, &map);
        for round in 1..4 {
            for n in 0..2 {
                store(&kit, 1, &map, page(n), round).expect("stored");
                assert_eq!(load(&kit, 1, &map, page(n)), Ok(round));
            }
        }
    };
    crew.together(&kit, &[&drop_it, &out, &use_it]);
    let check = || {
        assert_eq!(map.sync(page(0), 2 * PAGE_SIZE), Ok(()));
        (0..2).for_each(|n| assert_eq!(get(&map, page(n)), Ok(3)));
        for n in 0..2 {
            let bytes = kit.disk_page(0, n);
            assert_eq!(bytes.as_slice()[..8], 3u64.to_le_bytes());
        }
    };
    crew.together(&kit, &[&check]);
    drop(file);
    end!(kit, map);
}
