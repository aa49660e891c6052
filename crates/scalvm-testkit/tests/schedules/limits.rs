//! Scenes in which address spaces are trimmed.

use scalvm::{Commit, FaultError, MapError, MapRequest, PAGE_SIZE, Place, Prot, Share};

use crate::common::*;
use crate::crew::Crew;
use crate::memory::end;
use crate::paging::{evict, paging};

pub fn stores_while_trimmed(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 6);
    let act = |cpu: usize| {
        run_on(&kit, cpu, &map);
        for round in 1..4 {
            for n in 0..6 {
                store(&kit, cpu, &map, page(n) + 8 * cpu, round).expect("stored");
                assert_eq!(load(&kit, cpu, &map, page(n) + 8 * cpu), Ok(round));
            }
        }
    };
    let trim = || {
        for _ in 0..4 {
            map.trim(3);
        }
    };
    crew.together(&kit, &[&|| act(0), &|| act(1), &trim]);
    for n in 0..6 {
        assert_eq!((get(&map, page(n)), get(&map, page(n) + 8)), (Ok(3), Ok(3)));
    }
    assert_eq!(kit.vm().stats().frames_anon, 6);
    end!(kit, map);
}

pub fn loads_while_trimmed_with_a_copy(crew: &dyn Crew) {
    let kit = crew.kit();
    let parent = anonymous(&kit, 4);
    (0..4).for_each(|n| set(&parent, page(n), 1));
    let child = parent.fork().expect("memory");
    let reads = || {
        run_on(&kit, 0, &parent);
        for n in (0..4).chain(0..4) {
            assert_eq!(load(&kit, 0, &parent, page(n)), Ok(1));
        }
    };
    let writes = || {
        run_on(&kit, 1, &child);
        for n in 0..4 {
            store(&kit, 1, &child, page(n), 2).expect("stored");
            assert_eq!(load(&kit, 1, &child, page(n)), Ok(2));
        }
    };
    let trim = || {
        for _ in 0..3 {
            parent.trim(2);
            child.trim(4);
        }
    };
    crew.together(&kit, &[&reads, &writes, &trim]);
    for n in 0..4 {
        assert_eq!(
            (get(&parent, page(n)), get(&child, page(n))),
            (Ok(1), Ok(2))
        );
    }
    end!(kit, parent, child);
}

pub fn trimmed_while_unmapped_and_mapped(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 6);
    let stores = || {
        run_on(&kit, 0, &map);
        for n in 0..6 {
            match store(&kit, 0, &map, page(n), 7) {
                Ok(()) | Err(FaultError::NoMapping) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let changes = || {
        for n in 1..4 {
            assert_eq!(map.unmap(page(n), 2 * PAGE_SIZE), Ok(()));
            let request = MapRequest::anonymous(PAGE_SIZE, Prot::RW).at(Place::Fixed(page(n)));
            assert_eq!(map.map(request), Ok(page(n)));
        }
    };
    let trim = || {
        for _ in 0..3 {
            map.trim(6);
        }
    };
    crew.together(&kit, &[&stores, &changes, &trim]);
    end!(kit, map);
}

pub fn trimmed_while_forked(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 4);
    (0..4).for_each(|n| set(&map, page(n), 1));
    let stores = || {
        run_on(&kit, 0, &map);
        for n in 0..4 {
            store(&kit, 0, &map, page(n), 2).expect("stored");
        }
    };
    let forks = || {
        for _ in 0..2 {
            let child = map.fork().expect("memory");
            for n in 0..4 {
                let word = get(&child, page(n)).expect("read");
                assert!(word == 1 || word == 2);
                child.trim(4);
                assert_eq!(get(&child, page(n)), Ok(word));
            }
        }
    };
    let trim = || {
        for _ in 0..3 {
            map.trim(2);
        }
    };
    crew.together(&kit, &[&stores, &forks, &trim]);
    end!(kit, map);
}

pub fn maps_end_while_the_balancer_trims(crew: &dyn Crew) {
    let kit = crew.kit();
    let stays = anonymous(&kit, 4);
    stays.set_resident_limits(Some(1), None);
    let spaces = |cpu: usize| {
        for _ in 0..2 {
            let map = stays.fork().expect("memory");
            run_on(&kit, cpu, &map);
            for n in 0..4 {
                store(&kit, cpu, &map, page(n), 9).expect("stored");
                assert_eq!(load(&kit, cpu, &map, page(n)), Ok(9));
            }
            take_off(&kit, cpu, &map);
        }
    };
    let balance = || {
        for _ in 0..3 {
            kit.vm().trim_most_over(3);
            let mut maps = 0;
            kit.vm()
                .each_map(|info| maps += u32::from(info.entries <= 1));
            assert!((1..=3).contains(&maps));
        }
    };
    crew.together(&kit, &[&|| spaces(0), &|| spaces(1), &balance]);
    end!(kit, stays);
}

pub fn stores_to_a_map_that_keeps_to_its_limit(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 40);
    map.set_resident_limits(None, Some(16));
    let act = |cpu: usize| {
        run_on(&kit, cpu, &map);
        for n in 0..40 {
            store(&kit, cpu, &map, page(n) + 8 * cpu, 1 + n as u64).expect("stored");
            // Others may be about to trim what they have entered.
            assert!(map.resident().resident <= 16 + 2);
        }
    };
    crew.together(&kit, &[&|| act(0), &|| act(1)]);
    for n in 0..40 {
        assert_eq!(get(&map, page(n)), Ok(1 + n as u64));
        assert_eq!(get(&map, page(n) + 8), Ok(1 + n as u64));
    }
    assert!(map.resident().resident <= 16);
    end!(kit, map);
}

pub fn files_are_trimmed_while_truncated(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = new_map(&kit);
    let file = kit.open(0, 6 * PAGE_SIZE as u64);
    map_object(&map, &file, 0, 6, Share::Shared);
    map_object(&map, &file, 8, 6, Share::Private);
    let stores = || {
        run_on(&kit, 0, &map);
        for n in (0..6).chain(8..14) {
            match store(&kit, 0, &map, page(n), 3) {
                Ok(()) | Err(FaultError::BeyondEnd) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let truncate = || {
        for pages in [3, 6, 1] {
            assert_eq!(file.set_size(pages * PAGE_SIZE as u64), Ok(()));
        }
        assert_eq!(file.sync(0, u64::MAX), Ok(()));
    };
    let trim = || {
        for _ in 0..3 {
            map.trim(12);
        }
    };
    crew.together(&kit, &[&stores, &truncate, &trim]);
    drop(file);
    end!(kit, map);
}

pub fn no_more_is_promised_than_there_may_be(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 4);
    kit.vm().set_commit(Commit::Strict { limit_pages: 12 });
    let within = || assert!(kit.vm().stats().committed <= 12);
    let maps = |n: usize| {
        for _ in 0..3 {
            let request = MapRequest::anonymous(4 * PAGE_SIZE, Prot::RW);
            match map.map(request.at(Place::Free(page(n)))) {
                Ok(at) => assert_eq!(map.unmap(at, 4 * PAGE_SIZE), Ok(())),
                Err(error) => assert_eq!(error, MapError::NotPromised),
            }
            within();
        }
    };
    let forks = || {
        for _ in 0..2 {
            match map.fork() {
                Ok(child) => {
                    within();
                    drop(child);
                }
                Err(error) => assert_eq!(error, MapError::NotPromised),
            }
        }
    };
    crew.together(&kit, &[&|| maps(10), &|| maps(20), &forks]);
    assert_eq!(kit.vm().stats().committed, 4);
    end!(kit, map);
}

pub fn trimmed_while_pages_leave(crew: &dyn Crew) {
    let kit = paging(crew, 64, 4);
    let map = anonymous(&kit, 4);
    (0..4).for_each(|n| set(&map, page(n), 1));
    let child = map.fork().expect("memory");
    map.set_resident_limits(Some(1), None);
    let stores = || {
        run_on(&kit, 0, &map);
        for round in 2..4 {
            for n in 0..4 {
                store(&kit, 0, &map, page(n), round).expect("stored");
                assert_eq!(load(&kit, 0, &map, page(n)), Ok(round));
            }
        }
    };
    let loads = || {
        run_on(&kit, 1, &child);
        for n in (0..4).chain(0..4) {
            assert_eq!(load(&kit, 1, &child, page(n)), Ok(1));
            child.trim(1);
        }
    };
    let leave = || {
        for _ in 0..3 {
            map.trim(2);
            evict(&kit);
        }
    };
    crew.together(&kit, &[&stores, &loads, &leave]);
    let check = || {
        for n in 0..4 {
            assert_eq!((get(&map, page(n)), get(&child, page(n))), (Ok(3), Ok(1)));
        }
    };
    crew.together(&kit, &[&check]);
    end!(kit, map, child);
}
