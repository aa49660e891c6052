//! Scenes of memory that somebody watches. Nobody waits in them: who is told of a missing page places one.

use scalvm::{FaultError, PAGE_SIZE, ServeError, Watch, WatchEvents};
use scalvm_testkit::{Hw, Kit};

use crate::common::*;
use crate::crew::Crew;
use crate::memory::end;

fn watch(map: &scalvm::Map<'_, Hw>, n: usize, events: WatchEvents) {
    let watch = Watch {
        server: 1,
        events,
        follows: false,
    };
    assert_eq!(map.watch(page(n), PAGE_SIZE, watch), Ok(()));
}

/// Places a page whose first word is this.
fn place(kit: &Kit, map: &scalvm::Map<'_, Hw>, n: usize, word: u64) -> Result<(), ServeError> {
    let mut fresh = kit.vm().fresh_page().expect("memory");
    fresh.fill(&word.to_le_bytes());
    map.place(page(n), fresh, false)
}

/// Stores a word; places a page first when told that there is none.
fn store_served(kit: &Kit, cpu: usize, map: &scalvm::Map<'_, Hw>, addr: usize, word: u64) -> bool {
    let mut told = false;
    loop {
        match store(kit, cpu, map, addr, word) {
            Ok(()) => return told,
            Err(FaultError::Watched(fault)) => {
                told = true;
                assert_eq!(fault.page, page(1));
                match place(kit, map, 1, word) {
                    Ok(()) | Err(ServeError::Present | ServeError::NotWatched) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

pub fn a_missing_page_is_placed_once(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 3);
    watch(&map, 1, WatchEvents::MISSING);
    let act = |cpu: usize| {
        run_on(&kit, cpu, &map);
        store_served(&kit, cpu, &map, page(1) + 8 + 8 * cpu, 1 + cpu as u64);
    };
    crew.together(
        &kit,
        &[&|| act(0), &|| act(1), &|| {
            let _ = place(&kit, &map, 1, 7);
        }],
    );
    assert_eq!(get(&map, page(1) + 8), Ok(1));
    assert_eq!(get(&map, page(1) + 16), Ok(2));
    let first = get(&map, page(1)).expect("placed");
    assert!([1, 2, 7].contains(&first), "somebody placed it: {first}");
    assert_eq!(kit.vm().stats().frames_anon, 1);
    end!(kit, map);
}

pub fn a_watcher_goes_while_pages_are_missing(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 3);
    watch(&map, 1, WatchEvents::MISSING | WatchEvents::WRITE_PROTECT);
    assert_eq!(map.write_protect(page(1), PAGE_SIZE, true), Ok(()));
    crew.together(
        &kit,
        &[
            &|| {
                run_on(&kit, 0, &map);
                store_served(&kit, 0, &map, page(1) + 8, 1);
            },
            &|| match place(&kit, &map, 1, 7) {
                Ok(()) | Err(ServeError::Present | ServeError::NotWatched) => {}
                Err(error) => panic!("{error}"),
            },
            &|| map.forget_watcher(1),
        ],
    );
    assert_eq!(get(&map, page(1) + 8), Ok(1));
    let first = get(&map, page(1)).expect("there is one");
    assert!([0, 1, 7].contains(&first), "placed, or zeros: {first}");
    assert_eq!(kit.vm().stats().frames_anon, 1);
    end!(kit, map);
}

pub fn a_page_moves_while_it_is_written(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 3);
    set(&map, page(0), 5);
    watch(&map, 1, WatchEvents::MISSING);
    crew.together(
        &kit,
        &[
            &|| {
                run_on(&kit, 0, &map);
                store(&kit, 0, &map, page(0) + 8, 1).expect("stored");
            },
            &|| assert_eq!(map.move_page(page(0), page(1)), Ok(())),
            &|| {
                run_on(&kit, 1, &map);
                match load(&kit, 1, &map, page(1)) {
                    Ok(word) => assert_eq!(word, 5),
                    Err(FaultError::Watched(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            },
        ],
    );
    assert_eq!(get(&map, page(1)), Ok(5));
    let (moved, left) = (get(&map, page(1) + 8), get(&map, page(0) + 8));
    assert!(
        [(Ok(1), Ok(0)), (Ok(0), Ok(1))].contains(&(moved, left)),
        "stored before or after: {moved:?}, {left:?}"
    );
    end!(kit, map);
}

pub fn writes_are_told_of_while_protection_changes(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 3);
    set(&map, page(1), 5);
    watch(&map, 1, WatchEvents::WRITE_PROTECT);
    assert_eq!(map.write_protect(page(1), PAGE_SIZE, true), Ok(()));
    let stored = |cpu: usize| {
        run_on(&kit, cpu, &map);
        store(&kit, cpu, &map, page(1) + 8 * cpu, 1)
    };
    crew.together(
        &kit,
        &[
            &|| match stored(1) {
                Ok(()) => {}
                Err(FaultError::Watched(fault)) => {
                    assert_eq!(fault.event, WatchEvents::WRITE_PROTECT);
                    assert_eq!(map.write_protect(page(1), PAGE_SIZE, false), Ok(()));
                    assert_eq!(stored(1), Ok(()));
                }
                Err(error) => panic!("{error}"),
            },
            &|| drop(map.fork().expect("memory")),
            &|| {
                assert_eq!(map.protect(page(1), PAGE_SIZE, scalvm::Prot::RW), Ok(()));
            },
        ],
    );
    assert_eq!(get(&map, page(1)), Ok(5));
    assert_eq!(get(&map, page(1) + 8), Ok(1));
    end!(kit, map);
}
