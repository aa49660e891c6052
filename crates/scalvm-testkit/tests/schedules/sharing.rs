//! Scenes of memory that is lent, and of entries that pass from map to map.

use scalvm::{Access, Extract, FaultError, Inherit, PAGE_SIZE, Place, Share};

use crate::common::*;
use crate::crew::Crew;
use crate::memory::end;
use crate::paging::{evict, paging, under_pressure};

/// A word of a loan, twice: it must not change in between.
fn word(loan: &scalvm::Loan<'_, scalvm_testkit::Hw>) -> u64 {
    let read = || {
        let mut bytes = [0; 8];
        loan.read(0, &mut bytes);
        u64::from_le_bytes(bytes)
    };
    let first = read();
    assert_eq!(read(), first, "what is lent does not change");
    first
}

pub fn stores_while_lent(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 1);
    let write = || {
        run_on(&kit, 0, &map);
        for value in 1..5 {
            store(&kit, 0, &map, page(0), value).expect("stored");
            assert_eq!(load(&kit, 0, &map, page(0)), Ok(value));
        }
    };
    let lend = || {
        let mut last = 0;
        for _ in 0..3 {
            let loan = map.lend(page(0)).expect("lent");
            let seen = word(&loan);
            assert!(seen >= last, "{seen} after {last}");
            last = seen;
            let again = loan.clone();
            drop(loan);
            assert_eq!(word(&again), seen);
        }
    };
    crew.together(&kit, &[&write, &lend, &lend]);
    assert_eq!(get(&map, page(0)), Ok(4));
    end!(kit, map);
}

pub fn lent_while_it_leaves(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let map = anonymous(&kit, 2);
    let act = || {
        for value in 1..4u64 {
            set(&map, page(0), value);
            let loan = map.lend(page(0)).expect("lent");
            evict(&kit);
            assert_eq!(word(&loan), value);
            set(&map, page(0), 100 + value);
            evict(&kit);
            assert_eq!(word(&loan), value);
        }
    };
    let check = || assert_eq!(get(&map, page(0)), Ok(103));
    under_pressure(crew, &kit, &[&act], &check);
    end!(kit, map);
}

pub fn a_file_is_written_while_lent(crew: &dyn Crew) {
    let kit = crew.kit();
    let file = kit.open(0, 2 * PAGE_SIZE as u64);
    let map = new_map(&kit);
    map_object(&map, &file, 0, 2, Share::Shared);
    let write = || {
        run_on(&kit, 0, &map);
        for value in 1..4 {
            store(&kit, 0, &map, page(1), value).expect("stored");
            assert_eq!(object_word(&file, PAGE_SIZE), value);
        }
    };
    let lend = || {
        let mut last = None;
        for _ in 0..3 {
            let loan = file.lend(1).expect("lent");
            let seen = word(&loan);
            if let Some((loan, before)) = last.replace((loan, seen)) {
                assert_eq!(word(&loan), before, "what is lent does not change");
            }
        }
    };
    let sync = || {
        for _ in 0..2 {
            assert_eq!(file.sync(0, u64::MAX), Ok(()));
        }
    };
    crew.together(&kit, &[&write, &lend, &sync]);
    crew.together(&kit, &[&|| assert_eq!(file.sync(0, u64::MAX), Ok(()))]);
    assert_eq!(kit.disk_page(0, 1).as_slice()[..8], 3u64.to_le_bytes());
    drop(file);
    end!(kit, map);
}

/// Each copy is of one moment, and what is written later is the source's alone.
pub fn stores_while_copied(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 3);
    let other = new_map(&kit);
    let write = |cpu: usize| {
        run_on(&kit, cpu, &map);
        for value in 1..4 {
            store(&kit, cpu, &map, page(1) + 8 * cpu, value).expect("stored");
        }
    };
    let copy = || {
        for n in 0..2 {
            let mut passing = map
                .extract(page(1), PAGE_SIZE, Extract::Copy)
                .expect("extracted");
            let at = page(4 + n);
            assert_eq!(other.put(&mut passing, Place::Fixed(at)), Ok(at));
            let seen = || [0, 8].map(|by| get(&other, at + by).expect("read"));
            let first = seen();
            assert_eq!(seen(), first, "the copy is not written");
        }
    };
    crew.together(&kit, &[&|| write(0), &|| write(1), &copy]);
    assert_eq!([0, 8].map(|by| get(&map, page(1) + by)), [Ok(3), Ok(3)]);
    end!(kit, map, other);
}

/// What was stored is not lost on the way.
pub fn stores_while_moved_away(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 3);
    let write = || {
        run_on(&kit, 0, &map);
        for value in 1..6 {
            match store(&kit, 0, &map, page(1), value) {
                Ok(()) => {}
                Err(FaultError::NoMapping) => continue,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let pass = || {
        run_on(&kit, 1, &map);
        for _ in 0..2 {
            let mut passing = map
                .extract(page(1), PAGE_SIZE, Extract::Move)
                .expect("extracted");
            assert_eq!(get(&map, page(1)), Err(FaultError::NoMapping));
            assert_eq!(
                load(&kit, 1, &map, page(1)),
                Err(FaultError::NoMapping),
                "nor do the page tables have it"
            );
            assert_eq!(map.put(&mut passing, Place::Free(page(1))), Ok(page(1)));
        }
    };
    crew.together(&kit, &[&write, &pass]);
    let seen = get(&map, page(1)).expect("read");
    assert!(seen < 6);
    assert_eq!(get(&map, page(0)), Ok(0));
    end!(kit, map);
}

/// Entries leave while the map forks: the child has them or not, and all of them if any.
pub fn forked_while_passed_on(crew: &dyn Crew) {
    let kit = crew.kit();
    let (map, other) = (anonymous(&kit, 4), new_map(&kit));
    (0..4).for_each(|n| set(&map, page(n), 1));
    set_inherit(&map, 3, 1, Inherit::Share);
    let fork = || {
        for _ in 0..2 {
            let child = map.fork().expect("memory");
            let seen = [1, 2].map(|n| get(&child, page(n)));
            assert!(
                seen == [Ok(1); 2] || seen == [Err(FaultError::NoMapping); 2],
                "{seen:?}"
            );
            set(&child, page(0), 2);
        }
    };
    let pass = || {
        for how in [Extract::Share, Extract::Copy, Extract::Move] {
            let mut passing = map.extract(page(1), 2 * PAGE_SIZE, how).expect("extracted");
            let (to, at) = match how {
                Extract::Move => (&map, page(1)),
                _ => (&other, page(8)),
            };
            assert_eq!(to.put(&mut passing, Place::Fixed(at)), Ok(at));
        }
    };
    crew.together(&kit, &[&fork, &pass]);
    for n in 0..4 {
        assert_eq!(get(&map, page(n)), Ok(1));
    }
    assert_eq!(get(&other, page(9)), Ok(1));
    end!(kit, map, other);
}

pub fn copied_across_while_unmapped(crew: &dyn Crew) {
    let kit = crew.kit();
    let (map, other) = (anonymous(&kit, 3), anonymous(&kit, 3));
    (0..3).for_each(|n| set(&map, page(n), 7));
    let copy = || {
        let (done, result) = map.copy_to(AT, &other, AT, 3 * PAGE_SIZE);
        assert_eq!(done == 3 * PAGE_SIZE, result.is_ok());
        assert_eq!(done % PAGE_SIZE, 0);
        for n in 0..done / PAGE_SIZE {
            assert_eq!(get(&other, page(n)), Ok(7));
        }
    };
    let unmap = || assert_eq!(map.unmap(page(1), PAGE_SIZE), Ok(()));
    let force = || match map.hold_forced(page(1), Access::Write) {
        Ok(held) => kit.write(held.frame(), 8, &[1; 8]),
        Err(error) => assert_eq!(error, FaultError::NoMapping),
    };
    crew.together(&kit, &[&copy, &unmap, &force]);
    end!(kit, map, other);
}
