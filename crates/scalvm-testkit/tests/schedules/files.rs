//! Scenes of files, whose pages are read and written meanwhile.

use std::sync::Mutex;

use scalvm::{Access, Fault, FaultError, FrameLimits, PAGE_SIZE, PagerError, Prot, Share, Stream};
use scalvm_testkit::{Hw, Kit};

use crate::common::*;
use crate::crew::Crew;
use crate::memory::end;

const SIZE: u64 = 6 * PAGE_SIZE as u64;

fn disk_word(kit: &Kit, index: u64, word: usize) -> u64 {
    let page = kit.disk_page(0, index);
    u64::from_le_bytes(
        page.as_slice()[8 * word..8 * word + 8]
            .try_into()
            .expect("eight"),
    )
}

/// A map with file 0, six pages, at `AT`.
fn mapped<'v>(kit: &'v Kit, share: Share) -> (scalvm::Object<'v, Hw>, scalvm::Map<'v, Hw>) {
    let (object, map) = (kit.open(0, SIZE), new_map(kit));
    map_object(&map, &object, 0, 6, share);
    (object, map)
}

pub fn two_faults_on_one_page_read_it_once(crew: &dyn Crew) {
    let kit = crew.kit();
    let (object, map) = mapped(&kit, Share::Shared);
    let first = disk_word(&kit, 2, 0);
    let act = |cpu: usize| {
        run_on(&kit, cpu, &map);
        assert_eq!(load(&kit, cpu, &map, page(2)), Ok(first));
        store(&kit, cpu, &map, page(3) + 8 * cpu, 5).expect("stored");
    };
    crew.together(&kit, &[&|| act(0), &|| act(1)]);
    // The one that misses brings what follows, up to the end.
    assert_eq!(kit.disk().counts().pages_read, 4, "a page is read once");
    drop(object);
    end!(kit, map);
}

pub fn two_faults_on_a_page_that_fails(crew: &dyn Crew) {
    let kit = crew.kit();
    let (object, map) = mapped(&kit, Share::Shared);
    let first = disk_word(&kit, 2, 0);
    // The page with those that are read along, and then alone.
    kit.disk().fail_requests_from(0);
    let failed = Mutex::new(0);
    let act = |cpu: usize| {
        run_on(&kit, cpu, &map);
        loop {
            match load(&kit, cpu, &map, page(2)) {
                Ok(seen) => break assert_eq!(seen, first),
                Err(error) => assert_eq!(error, FaultError::Pager(PagerError::Io)),
            }
            kit.fail_nothing();
            *failed.lock().expect("no panic") += 1;
        }
    };
    crew.together(&kit, &[&|| act(0), &|| act(1)]);
    assert!(
        *failed.lock().expect("no panic") >= 1,
        "a failure is told to somebody"
    );
    drop(object);
    end!(kit, map);
}

/// A processor stores the numbers to five to its word of page 1, one after the other.
fn store_one_to_five(kit: &Kit, cpu: usize, map: &scalvm::Map<'_, Hw>) {
    run_on(kit, cpu, map);
    for value in 1..6 {
        store(kit, cpu, map, page(1) + 8 * cpu, value).expect("stored");
    }
}

/// No store is lost to a sync, whenever it comes.
pub fn stores_while_synced(crew: &dyn Crew) {
    let kit = crew.kit();
    let (object, map) = mapped(&kit, Share::Shared);
    let write = |cpu: usize| {
        store_one_to_five(&kit, cpu, &map);
    };
    let sync = || {
        for _ in 0..3 {
            assert_eq!(map.sync(page(0), 3 * PAGE_SIZE), Ok(()));
        }
    };
    crew.together(&kit, &[&|| write(0), &|| write(1), &sync]);
    crew.together(&kit, &[&|| assert_eq!(object.sync(0, SIZE), Ok(()))]);
    assert_eq!([disk_word(&kit, 1, 0), disk_word(&kit, 1, 1)], [5, 5]);
    drop(object);
    end!(kit, map);
}

/// A sync writes what was stored through any mapping before it, though mappings are cut and go meanwhile.
pub fn synced_while_mappings_change(crew: &dyn Crew) {
    let kit = crew.kit();
    let (object, map) = mapped(&kit, Share::Shared);
    for at in [10, 20, 30, 40] {
        map_object(&map, &object, at, 6, Share::Shared);
    }
    let write = || {
        run_on(&kit, 0, &map);
        for (word, at) in [0, 10, 20, 30, 40].into_iter().enumerate() {
            store(&kit, 0, &map, page(at + 1) + 8 * word, 7).expect("stored");
        }
    };
    let sync = || {
        assert_eq!(map.sync(page(0), 2 * PAGE_SIZE), Ok(()));
        for word in 0..5 {
            assert_eq!(disk_word(&kit, 1, word), 7);
        }
    };
    let cut = || {
        for at in [0, 20, 40] {
            assert_eq!(map.protect(page(at + 1), PAGE_SIZE, Prot::READ), Ok(()));
        }
    };
    let unmap = || {
        assert_eq!(map.unmap(page(30), 6 * PAGE_SIZE), Ok(()));
        assert_eq!(map.unmap(page(11), PAGE_SIZE), Ok(()));
    };
    crew.together(&kit, &[&write]);
    crew.together(&kit, &[&sync, &cut, &unmap]);
    drop(object);
    end!(kit, map);
}

/// No store is lost to passes of write-back, of which several run at once, while files come and go.
pub fn stores_while_written_back(crew: &dyn Crew) {
    let kit = crew.kit();
    let (object, map) = mapped(&kit, Share::Shared);
    let write = |cpu: usize| {
        store_one_to_five(&kit, cpu, &map);
        // What only the table knows passes to the page.
        assert_eq!(map.discard(page(0), 3 * PAGE_SIZE), Ok(()));
    };
    let pass = || {
        let other = kit.open(1, SIZE);
        assert_eq!(other.write_at(0, &[7; 8]), Ok(()));
        kit.vm().write_back(0);
        drop(other);
        assert_eq!(kit.vm().sync_all(), Ok(()));
    };
    crew.together(&kit, &[&|| write(0), &|| write(1), &pass, &pass]);
    kit.vm().check_invariants();
    crew.together(&kit, &[&|| assert_eq!(kit.vm().sync_all(), Ok(()))]);
    assert_eq!([disk_word(&kit, 1, 0), disk_word(&kit, 1, 1)], [5, 5]);
    drop(object);
    end!(kit, map);
}

/// Pages are read ahead by several readers of one file at once, while others ask for them as well and
/// the file is truncated.
pub fn readers_are_kept_ahead_of(crew: &dyn Crew) {
    let kit = crew.kit();
    let size = 20 * PAGE_SIZE as u64;
    let (object, map) = (kit.open(0, size), new_map(&kit));
    map_object(&map, &object, 0, 20, Share::Shared);
    let words: Vec<u64> = (0..20).map(|n| disk_word(&kit, n, 0)).collect();
    let faults = || {
        run_on(&kit, 0, &map);
        for (n, word) in words.iter().enumerate() {
            match load(&kit, 0, &map, page(n)) {
                Ok(seen) => assert_eq!(seen, *word),
                Err(error) => assert_eq!(error, FaultError::BeyondEnd),
            }
        }
    };
    let reads = || {
        let mut stream = Stream::new();
        for (n, word) in (0..).zip(&words) {
            object.read_ahead(&mut stream, n, 1);
            let mut bytes = [0; 8];
            if object.read_at(n * PAGE_SIZE as u64, &mut bytes) == Ok(8) {
                assert_eq!(u64::from_le_bytes(bytes), *word);
            }
        }
    };
    let truncates = || {
        object.will_need(10 * PAGE_SIZE as u64, 5 * PAGE_SIZE as u64);
        assert_eq!(object.set_size(12 * PAGE_SIZE as u64), Ok(()));
    };
    crew.together(&kit, &[&faults, &reads, &truncates]);
    drop(object);
    end!(kit, map);
}

pub fn stores_while_truncated(crew: &dyn Crew) {
    let kit = crew.kit();
    let (object, map) = mapped(&kit, Share::Shared);
    let write = |cpu: usize| {
        run_on(&kit, cpu, &map);
        for n in 0..6 {
            match store(&kit, cpu, &map, page(n) + 8 * cpu, 9) {
                Ok(()) => {}
                Err(error) => assert_eq!(error, FaultError::BeyondEnd),
            }
        }
    };
    let truncate = || {
        assert_eq!(object.set_size(2 * PAGE_SIZE as u64), Ok(()));
        let frames: Vec<_> = (0..4)
            .map(|_| {
                kit.vm()
                    .alloc_frames(1, &FrameLimits::NONE)
                    .expect("memory")
            })
            .collect();
        frames
            .iter()
            .for_each(|&frame| kit.write(frame, 0, &[1; PAGE_SIZE]));
        kit.truncate(0, 2 * PAGE_SIZE as u64);
        for frame in frames {
            assert_eq!(
                kit.bytes(frame).as_slice(),
                &[1; PAGE_SIZE],
                "somebody else's store"
            );
            // SAFETY: allocated above.
            unsafe { kit.vm().free_frames(frame, 1) };
        }
    };
    crew.together(&kit, &[&|| write(0), &|| write(1), &truncate]);
    assert_eq!(
        fault(&kit, &map, page(2), Access::Read),
        Err(FaultError::BeyondEnd)
    );
    assert_eq!([get(&map, page(1)), get(&map, page(1) + 8)], [Ok(9), Ok(9)]);
    assert_eq!(object.resident(), 2);
    drop(object);
    end!(kit, map);
}

pub fn copies_while_truncated(crew: &dyn Crew) {
    let kit = crew.kit();
    let (object, map) = mapped(&kit, Share::Private);
    let child = map.fork().expect("memory");
    let maps = [&map, &child];
    let write = |cpu: usize| {
        run_on(&kit, cpu, maps[cpu]);
        for n in 0..4 {
            match store(&kit, cpu, maps[cpu], page(n), 9) {
                Ok(()) => {}
                Err(error) => assert_eq!(error, FaultError::BeyondEnd),
            }
        }
    };
    let truncate = || {
        assert_eq!(object.set_size(PAGE_SIZE as u64), Ok(()));
        kit.truncate(0, PAGE_SIZE as u64);
        assert_eq!(object.set_size(SIZE), Ok(()));
    };
    crew.together(&kit, &[&|| write(0), &|| write(1), &truncate]);
    let check = || {
        for map in maps {
            assert_eq!(get(map, page(0)), Ok(9));
            for n in 1..4 {
                let seen = get(map, page(n)).expect("read");
                assert!(seen == 9 || seen == 0, "page {n} has {seen:#x}");
            }
        }
    };
    crew.together(&kit, &[&check]);
    drop(object);
    end!(kit, map, child);
}

pub fn an_object_ends_while_it_is_read(crew: &dyn Crew) {
    let kit = crew.kit();
    let (object, map) = mapped(&kit, Share::Private);
    let object = Mutex::new(Some(object));
    let touch = || match map.fault(page(1), Access::Read) {
        Fault::Resolved | Fault::Wait(_) | Fault::NoMapping => {}
        other => panic!("{other:?}"),
    };
    let end = || {
        drop(object.lock().expect("no panic").take());
        assert_eq!(map.unmap(AT, 6 * PAGE_SIZE), Ok(()));
    };
    crew.together(&kit, &[&touch, &end]);
    assert_eq!(kit.released(), 1);
    end!(kit, map);
}

pub fn writes_meet_mapped_stores(crew: &dyn Crew) {
    let kit = crew.kit();
    let (object, map) = mapped(&kit, Share::Shared);
    let private = new_map(&kit);
    map_object(&private, &object, 0, 6, Share::Private);
    let write = || {
        for n in 0..3 {
            object
                .write_at(n * PAGE_SIZE as u64, &5u64.to_le_bytes())
                .expect("written");
            assert_eq!(object_word(&object, n as usize * PAGE_SIZE), 5);
        }
    };
    let stores = || {
        run_on(&kit, 1, &map);
        for n in 0..3 {
            store(&kit, 1, &map, page(n) + 8, 6).expect("stored");
        }
    };
    let copy = || {
        run_on(&kit, 2, &private);
        for n in 0..3 {
            store(&kit, 2, &private, page(n) + 16, 7).expect("stored");
        }
    };
    crew.together(&kit, &[&write, &stores, &copy]);
    for n in 0..3 {
        assert_eq!([get(&map, page(n)), get(&map, page(n) + 8)], [Ok(5), Ok(6)]);
        assert_ne!(get(&map, page(n) + 16), Ok(7));
        assert_eq!(get(&private, page(n) + 16), Ok(7));
    }
    drop(object);
    end!(kit, map, private);
}

pub fn held_pages_meet_truncation(crew: &dyn Crew) {
    let kit = crew.kit();
    let (object, map) = mapped(&kit, Share::Shared);
    let hold = || match object.hold(3, Access::Write) {
        Ok(held) => {
            for value in 0..3u8 {
                kit.write(held.frame(), 8, &[value; 8]);
                assert_eq!(kit.bytes(held.frame()).as_slice()[8..16], [value; 8]);
            }
        }
        Err(error) => assert_eq!(error, FaultError::BeyondEnd),
    };
    let truncate = || {
        assert_eq!(object.set_size(PAGE_SIZE as u64), Ok(()));
        let frames: Vec<_> = (0..3)
            .map(|_| {
                kit.vm()
                    .alloc_frames(1, &FrameLimits::NONE)
                    .expect("memory")
            })
            .collect();
        frames
            .iter()
            .for_each(|&frame| kit.write(frame, 0, &[0xee; PAGE_SIZE]));
        for frame in frames {
            assert_eq!(kit.bytes(frame).as_slice(), &[0xee; PAGE_SIZE]);
            // SAFETY: allocated above.
            unsafe { kit.vm().free_frames(frame, 1) };
        }
    };
    crew.together(&kit, &[&hold, &truncate]);
    drop(object);
    end!(kit, map);
}

pub fn two_syncs_at_once(crew: &dyn Crew) {
    let kit = crew.kit();
    let (object, map) = mapped(&kit, Share::Shared);
    let act = |cpu: usize| {
        run_on(&kit, cpu, &map);
        for n in 0..3 {
            store(&kit, cpu, &map, page(n) + 8 * cpu, 4 + cpu as u64).expect("stored");
        }
        assert_eq!(map.sync(AT, 3 * PAGE_SIZE), Ok(()));
        for n in 0..3 {
            assert_eq!(
                disk_word(&kit, n, cpu),
                4 + cpu as u64,
                "sync returns when it is written"
            );
        }
    };
    crew.together(&kit, &[&|| act(0), &|| act(1), &|| act(2)]);
    drop(object);
    end!(kit, map);
}

pub fn copies_while_the_file_is_read(crew: &dyn Crew) {
    let kit = crew.kit();
    let (object, map) = mapped(&kit, Share::Private);
    let child = map.fork().expect("memory");
    let words: Vec<u64> = (0..6).map(|n| disk_word(&kit, n, 1)).collect();
    let maps = [&map, &child, &map];
    let act = |cpu: usize| {
        run_on(&kit, cpu, maps[cpu]);
        for (n, &word) in words.iter().enumerate().take(3) {
            store(&kit, cpu, maps[cpu], page(n) + 64 * (1 + cpu), 7).expect("stored");
            assert_eq!(load(&kit, cpu, maps[cpu], page(n) + 8), Ok(word));
        }
    };
    crew.together(&kit, &[&|| act(0), &|| act(1), &|| act(2)]);
    for n in 0..3 {
        let of = |map| {
            [
                get(map, page(n) + 64),
                get(map, page(n) + 128),
                get(map, page(n) + 192),
            ]
        };
        let (mine, its) = (of(&map), of(&child));
        assert_eq!([mine[0], mine[2], its[1]], [Ok(7); 3]);
        assert_ne!(mine[1], Ok(7));
        assert_ne!(its[0], Ok(7));
    }
    drop(object);
    end!(kit, map, child);
}

/// The first store to a private mapping meets a shared mapping in its place: what is stored from then on is the
/// object's.
pub fn stores_while_replaced_by_a_shared_mapping(crew: &dyn Crew) {
    let kit = crew.kit();
    let object = kit.vm().new_anonymous(SIZE).expect("memory");
    let map = new_map(&kit);
    map_object(&map, &object, 0, 2, Share::Private);
    let write = || {
        run_on(&kit, 0, &map);
        store(&kit, 0, &map, page(1), 1).expect("stored");
    };
    let replace = || map_object(&map, &object, 0, 2, Share::Shared);
    crew.together(&kit, &[&write, &replace]);
    store(&kit, 0, &map, page(1) + 8, 2).expect("stored");
    assert_eq!(object_word(&object, PAGE_SIZE + 8), 2);
    drop(object);
    end!(kit, map);
}

/// Truncation looks at the private mappings of a file while one of them ends.
pub fn a_child_ends_while_its_file_is_truncated(crew: &dyn Crew) {
    let kit = crew.kit();
    let object = kit.vm().new_anonymous(SIZE).expect("memory");
    let map = new_map(&kit);
    map_object(&map, &object, 0, 6, Share::Private);
    set(&map, page(1), 1);
    let children = Mutex::new(vec![
        map.fork().expect("memory"),
        map.fork().expect("memory"),
    ]);
    let end = || {
        let child = children.lock().expect("no panic").pop();
        drop(child);
    };
    let truncate = || assert_eq!(object.set_size(PAGE_SIZE as u64), Ok(()));
    crew.together(&kit, &[&end, &truncate, &end]);
    assert_eq!(get(&map, page(1)), Err(FaultError::BeyondEnd));
    drop((object, children));
    end!(kit, map);
}

/// A read that meets the end, wherever that is by then, is short.
pub fn reads_while_truncated(crew: &dyn Crew) {
    let kit = crew.kit();
    let object = kit.vm().new_anonymous(SIZE).expect("memory");
    object.write_at(0, &[7; SIZE as usize]).expect("written");
    let read = || {
        for _ in 0..3 {
            let mut bytes = [0; 2 * PAGE_SIZE];
            let count = object
                .read_at(2 * PAGE_SIZE as u64, &mut bytes)
                .expect("short, no error");
            assert!([0, PAGE_SIZE, 2 * PAGE_SIZE].contains(&count));
        }
    };
    let truncate = || {
        for pages in [3, 1] {
            assert_eq!(object.set_size(pages * PAGE_SIZE as u64), Ok(()));
        }
    };
    crew.together(&kit, &[&read, &truncate, &read]);
    drop(object);
    nothing_left(&kit);
}
