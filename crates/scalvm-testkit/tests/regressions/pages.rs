//! Zero pages, exhaustion, devices, neighbours.

use scalvm::{
    Access, Cache, DeviceError, FaultError, Frame, MapRequest, PAGE_SIZE, Place, Prot, Share,
};
use scalvm_machine::Tables;
use scalvm_testkit::{DEVICE, DEVICE_FRAMES, Kit, Order};

use crate::common::*;

#[test]
fn reading_untouched_memory_takes_no_page() {
    let kit = kit();
    let map = anonymous(&kit, 100);
    run_on(&kit, 0, &map);
    for n in 0..100 {
        assert_eq!(load(&kit, 0, &map, page(n)), Ok(0));
    }
    assert_eq!(kit.vm().stats().frames_anon, 0);
    store(&kit, 0, &map, page(50), 1).expect("stored");
    for n in (0..100).filter(|&n| n != 50) {
        assert_eq!(load(&kit, 0, &map, page(n)), Ok(0));
    }
    assert_eq!(kit.vm().stats().frames_anon, 1);
    take_off(&kit, 0, &map);
}

#[test]
fn a_read_fault_never_maps_writable() {
    let kit = kit();
    let (map, file) = (anonymous(&kit, 2), kit.open(0, 2 * PAGE_SIZE as u64));
    let memory = kit
        .vm()
        .new_anonymous(2 * PAGE_SIZE as u64)
        .expect("memory");
    map_object(&map, &file, 2, 2, Share::Shared);
    map_object(&map, &file, 4, 2, Share::Private);
    map_object(&map, &memory, 6, 2, Share::Private);
    map_object(&map, &memory, 8, 2, Share::Shared);
    for n in 0..10 {
        assert_eq!(fault(&kit, &map, page(n), Access::Read), Ok(()));
        let mapping = kit.mapping(map.pmap(), page(n)).expect("a fault maps");
        assert!(!mapping.prot.contains(Prot::WRITE), "page {n}: {mapping:?}");
        assert!(!mapping.dirty, "page {n}: {mapping:?}");
    }
    set(&map, page(0), 1);
    let child = map.fork().expect("memory");
    for map in [&map, &child] {
        for n in 0..10 {
            assert_eq!(fault(&kit, map, page(n), Access::Read), Ok(()));
            let mapping = kit.mapping(map.pmap(), page(n)).expect("a fault maps");
            assert!(
                !mapping.prot.contains(Prot::WRITE),
                "page {n} after fork: {mapping:?}"
            );
        }
    }
}

#[test]
fn exhausted_memory_is_told_and_nothing_is_lost() {
    let kit = scalvm_testkit::Kit::new(256);
    let map = anonymous(&kit, 1000);
    run_on(&kit, 0, &map);
    let mut written = 0;
    let error = loop {
        match store(&kit, 0, &map, page(written), written as u64) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, FaultError::OutOfMemory);
    assert!(written > 100, "only {written} pages fit");
    kit.vm().check_invariants();
    map.check_invariants();
    for n in 0..written {
        assert_eq!(load(&kit, 0, &map, page(n)), Ok(n as u64));
    }
    assert_eq!(map.unmap(AT, 10 * PAGE_SIZE), Ok(()));
    store(&kit, 0, &map, page(written), 1).expect("there is room again");
    take_off(&kit, 0, &map);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn a_fork_that_finds_no_memory_changes_nothing() {
    let kit = scalvm_testkit::Kit::new(128);
    let map = anonymous(&kit, 4);
    set(&map, AT, 1);
    let mut children = Vec::new();
    while let Ok(child) = map.fork() {
        children.push(child);
        assert!(children.len() < 1000);
    }
    kit.vm().check_invariants();
    map.check_invariants();
    assert_eq!(get(&map, AT), Ok(1));
    drop(children);
    set(&map, AT, 2);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn a_device_is_mapped_by_large_leaves_that_are_split() {
    const ROW: usize = 8;
    let kit = Kit::with(Order {
        frames: 256,
        tables: Tables::Narrow,
        ..Order::default()
    });
    let map = new_map(&kit);
    let size = DEVICE_FRAMES * PAGE_SIZE;
    let device = kit
        .vm()
        .new_device(DEVICE, size as u64, Cache::Uncached)
        .expect("memory");
    let request =
        MapRequest::object(&device, 0, size, Prot::RW, Share::Shared).at(Place::Fixed(AT));
    assert_eq!(map.map(request), Ok(AT));
    run_on(&kit, 0, &map);
    for n in 0..DEVICE_FRAMES {
        store(&kit, 0, &map, page(n), n as u64).expect("stored");
    }
    let made = |faults| {
        let stats = kit.vm().stats();
        assert_eq!(stats.faults, faults);
        (stats.large_devices, stats.large_splits)
    };
    // The last pages are fewer than a row.
    let single = (DEVICE_FRAMES % ROW) as u64;
    assert_eq!(made(2 + single), (2, 0));
    map.unmap(page(3), PAGE_SIZE).expect("memory");
    map.protect(page(ROW), 2 * PAGE_SIZE, Prot::READ)
        .expect("memory");
    assert_eq!(made(2 + single), (2, 2));
    for n in (0..DEVICE_FRAMES).filter(|n| *n != 3) {
        assert_eq!(load(&kit, 0, &map, page(n)), Ok(n as u64));
    }
    assert!(store(&kit, 0, &map, page(ROW + 1), 0).is_err());
    assert!(store(&kit, 0, &map, page(3), 0).is_err());
    store(&kit, 0, &map, page(ROW + 2), 1).expect("stored");
    drop((map, device));
    nothing_left(&kit);
}

#[test]
fn a_device_is_mapped_where_it_lies() {
    let kit = kit();
    let map = new_map(&kit);
    let size = DEVICE_FRAMES * PAGE_SIZE;
    let device = kit
        .vm()
        .new_device(DEVICE, size as u64, Cache::Uncached)
        .expect("memory");
    let request =
        MapRequest::object(&device, 0, size, Prot::RW, Share::Shared).at(Place::Fixed(AT));
    assert_eq!(map.map(request), Ok(AT));
    run_on(&kit, 0, &map);
    store(&kit, 0, &map, page(1) + 8, 5).expect("stored");
    let mapping = kit.mapping(map.pmap(), page(1)).expect("mapped");
    assert_eq!(
        (mapping.frame, mapping.managed),
        (Frame(DEVICE.0 + 1), false)
    );
    assert_eq!(
        kit.bytes(mapping.frame).as_slice()[8..16],
        5u64.to_le_bytes()
    );
    let child = map.fork().expect("memory");
    run_on(&kit, 1, &child);
    assert_eq!(load(&kit, 1, &child, page(1) + 8), Ok(5));
    let mut byte = [0];
    let refused = child.read(page(1), &mut byte);
    assert_eq!(
        refused,
        Err(FaultError::Protection),
        "not the manager's memory"
    );
    assert_eq!(map.unmap(AT, size), Ok(()));
    take_off(&kit, 0, &map);
    take_off(&kit, 1, &child);
    drop((map, child, device));
    nothing_left(&kit);
}

#[test]
fn neighbours_that_are_resident_are_mapped_along() {
    let kit = kit();
    let object = kit
        .vm()
        .new_anonymous(64 * PAGE_SIZE as u64)
        .expect("memory");
    object.write_at(0, &[1; 64 * PAGE_SIZE]).expect("written");
    let map = new_map(&kit);
    map_object(&map, &object, 0, 64, Share::Shared);
    run_on(&kit, 0, &map);
    let before = kit.vm().stats().faults;
    for n in 0..64 {
        load(&kit, 0, &map, page(n)).expect("loaded");
    }
    let faults = kit.vm().stats().faults - before;
    assert!(faults <= 16, "{faults} faults for 64 resident pages");
    take_off(&kit, 0, &map);
}

#[test]
fn random_advice_maps_no_neighbours() {
    let kit = kit();
    let object = kit
        .vm()
        .new_anonymous(16 * PAGE_SIZE as u64)
        .expect("memory");
    object.write_at(0, &[1; 16 * PAGE_SIZE]).expect("written");
    let map = new_map(&kit);
    map_object(&map, &object, 0, 16, Share::Shared);
    assert_eq!(
        map.advise(AT, 16 * PAGE_SIZE, scalvm::Advice::Random),
        Ok(())
    );
    assert_eq!(fault(&kit, &map, page(8), Access::Read), Ok(()));
    assert_eq!(map.usage().resident_pages, 1);
}

#[test]
fn two_faults_on_pages_of_one_cluster_read_it_once() {
    let kit = kit();
    let file = kit.open(0, 16 * PAGE_SIZE as u64);
    let map = new_map(&kit);
    map_object(&map, &file, 0, 16, Share::Shared);
    let first = map.fault(page(3), Access::Read);
    let second = map.fault(page(3), Access::Read);
    for outcome in [first, second] {
        if let scalvm::Fault::Wait(ticket) = outcome {
            ticket.wait(kit.vm());
        }
    }
    assert_eq!(fault(&kit, &map, page(3), Access::Read), Ok(()));
    let reads = kit.reads();
    assert_eq!(reads, 1);
}

#[test]
fn a_frame_of_a_device_is_treated_in_one_way_at_a_time() {
    let kit = kit();
    let vm = kit.vm();
    let size = DEVICE_FRAMES * PAGE_SIZE;
    let page_size = PAGE_SIZE as u64;
    let back = vm.new_device(DEVICE, size as u64, Cache::WriteBack);
    let back = back.expect("memory");
    let map = new_map(&kit);
    let request = MapRequest::object(&back, 0, size, Prot::RW, Share::Shared);
    assert_eq!(map.map(request.at(Place::Fixed(AT))), Ok(AT));
    run_on(&kit, 0, &map);
    store(&kit, 0, &map, page(2), 5).expect("stored");
    let mapping = kit.mapping(map.pmap(), page(2)).expect("mapped");
    assert!(!mapping.managed, "cached as memory is, and yet a device's");
    // Its last page, with one behind it that is nobody's.
    let last = Frame(DEVICE.0 + DEVICE_FRAMES as u64 - 1);
    let refused = |cache| vm.new_device(last, 2 * page_size, cache).map(drop);
    let other = Err(DeviceError::OtherCache);
    assert_eq!(refused(Cache::WriteThrough), other);
    assert_eq!(refused(Cache::Uncached), other);
    assert_eq!(refused(Cache::WriteBack), Ok(()));
    let beside = vm.new_device(Frame(last.0 + 1), page_size, Cache::Uncached);
    drop(beside.expect("memory"));
    let before = vm.new_device(Frame(DEVICE.0 - 1), page_size, Cache::Uncached);
    drop(before.expect("memory"));
    // A mapping keeps the frames, too.
    drop(back);
    assert_eq!(refused(Cache::WriteCombining), other);
    assert_eq!(map.unmap(AT, size), Ok(()));
    assert_eq!(refused(Cache::WriteCombining), Ok(()));
    let through = vm.new_device(DEVICE, size as u64, Cache::WriteThrough);
    let through = through.expect("memory");
    let request = MapRequest::object(&through, 0, size, Prot::RW, Share::Shared);
    assert_eq!(map.map(request.at(Place::Fixed(AT))), Ok(AT));
    assert_eq!(load(&kit, 0, &map, page(2)), Ok(5));
    kit.check_translations(map.pmap());
    drop((map, through));
    nothing_left(&kit);
}

#[test]
fn caches_treat_a_device_as_was_said() {
    // With the bits of a leaf that say so.
    let ways = [
        (Cache::WriteBack, 0),
        (Cache::WriteCombining, 1 << 3),
        (Cache::WriteThrough, 1 << 4),
        (Cache::Uncached, 1 << 3 | 1 << 4),
    ];
    // Page by page, and by large leaves.
    for tables in [Tables::X86_64, Tables::Narrow] {
        let kit = Kit::with(Order {
            frames: 256,
            tables,
            ..Order::default()
        });
        let map = new_map(&kit);
        run_on(&kit, 0, &map);
        let size = DEVICE_FRAMES * PAGE_SIZE;
        for (cache, bits) in ways {
            let device = kit.vm().new_device(DEVICE, size as u64, cache);
            let device = device.expect("memory");
            let request = MapRequest::object(&device, 0, size, Prot::RW, Share::Shared);
            assert_eq!(map.map(request.at(Place::Fixed(AT))), Ok(AT));
            // The last page is none of a large leaf's.
            for n in [0, DEVICE_FRAMES - 1] {
                assert_eq!(store(&kit, 0, &map, page(n), 1), Ok(()));
                let treated = kit.vm().machine().ways_of(Frame(DEVICE.0 + n as u64));
                assert!(treated.into_iter().eq([bits]), "{cache:?}, page {n}");
            }
            assert_eq!(map.unmap(AT, size), Ok(()));
        }
        take_off(&kit, 0, &map);
        drop(map);
        nothing_left(&kit);
    }
}

#[test]
fn frames_of_memory_are_no_device() {
    let kit = kit();
    let made = |first, size| {
        kit.vm()
            .new_device(Frame(first), size, Cache::Uncached)
            .map(drop)
    };
    let page_size = PAGE_SIZE as u64;
    assert_eq!(made(0, 1 << 30), Err(DeviceError::Memory));
    assert_eq!(made(DEVICE.0, (1 << 44) + 1), Err(DeviceError::BadRange));
    assert_eq!(
        made(u64::MAX - 1, 4 * page_size),
        Err(DeviceError::BadRange)
    );
    assert_eq!(made(1 << 52, page_size), Err(DeviceError::BadRange));
    nothing_left(&kit);
}
