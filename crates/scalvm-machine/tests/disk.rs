//! The disk, under the vnode pager.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use scalvm::{
    Access, Fault, FaultError, MapRequest, Object, PAGE_SIZE, PagerError, Place, Prot, Share, Vm,
};
use scalvm_machine::{Disk, Emulated, Pace, Rng, SECTOR};

const FILE: usize = 7;
const SIZE: usize = 10 * PAGE_SIZE + 100;

/// A disk lives as long as the process, as drivers do.
fn disk(pace: Pace) -> &'static Disk {
    Box::leak(Box::new(Disk::new(pace)))
}

fn vm() -> Vm<Emulated> {
    let machine = Emulated::with_frames(256);
    let segment = machine.segment(0);
    let vm = Vm::new(machine);
    // SAFETY: nobody else uses the machine's frames.
    unsafe { vm.add_segment(segment.start, segment.end) }.unwrap();
    vm
}

fn file<'v>(vm: &'v Vm<Emulated>, disk: &'static Disk) -> Object<'v, Emulated> {
    vm.new_vnode(disk, FILE, SIZE as u64).unwrap()
}

fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..count).map(|_| rng.next_u64() as u8).collect()
}

#[test]
fn what_is_on_the_disk_is_read_and_what_is_written_gets_there() {
    let (vm, disk) = (vm(), disk(Pace::AtOnce));
    let mut expected = bytes(1, SIZE);
    disk.write_file(FILE, 0, &expected);
    let object = file(&vm, disk);
    let mut found = vec![0; SIZE];
    assert_eq!(object.read_at(0, &mut found), Ok(SIZE));
    assert_eq!(found, expected);
    assert_eq!(disk.counts().pages_read, 11);
    assert!(disk.counts().reads < 11, "pages are read in clusters");

    let new = bytes(2, 5000);
    object.write_at(SIZE as u64 - 5000, &new).unwrap();
    expected[SIZE - 5000..].copy_from_slice(&new);
    object.sync(0, SIZE as u64).unwrap();
    disk.read_file(FILE, 0, &mut found);
    assert_eq!(found, expected);
    assert_eq!(disk.counts().pages_written, 3);
    let mut beyond = [1; 50];
    disk.read_file(FILE, SIZE as u64, &mut beyond);
    assert_eq!(beyond, [0; 50], "nothing is written beyond the end");
    drop(object);
    assert_eq!(disk.counts().released, 1);
}

#[test]
fn a_slow_disk_waits_for_the_pump() {
    let (vm, disk) = (vm(), disk(Pace::Later));
    disk.write_file(FILE, 0, &bytes(1, SIZE));
    let object = file(&vm, disk);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| disk.serve(&vm, &stop));
        let mut found = vec![0; SIZE];
        assert_eq!(object.read_at(0, &mut found), Ok(SIZE));
        assert_eq!(found, bytes(1, SIZE));
        stop.store(true, SeqCst);
    });
    // Nobody serves: a thread waits until another pumps.
    object.write_at(0, &[1]).unwrap();
    std::thread::scope(|scope| {
        let sync = scope.spawn(|| object.sync(0, SIZE as u64));
        while disk.waiting() == 0 {
            std::thread::yield_now();
        }
        let mut on_disk = [0];
        disk.read_file(FILE, 0, &mut on_disk);
        assert_eq!(on_disk[0], bytes(1, 1)[0], "not yet");
        assert!(disk.pump_one(&vm, Some(&mut Rng::new(1))));
        disk.read_file(FILE, 0, &mut on_disk);
        assert_eq!(on_disk, [1]);
        while !sync.is_finished() {
            disk.pump(&vm);
            std::thread::yield_now();
        }
        assert_eq!(sync.join().unwrap(), Ok(()));
    });
    assert!(!disk.pump_one(&vm, None));
}

#[test]
fn requests_fail_as_told() {
    let (vm, disk) = (vm(), disk(Pace::AtOnce));
    let content = bytes(1, SIZE);
    disk.write_file(FILE, 0, &content);
    let object = file(&vm, disk);
    let last = 10 * PAGE_SIZE as u64;
    let failed = Err(FaultError::Pager(PagerError::Io));
    // A page is read before a part of it is written.
    disk.fail_requests_from(0);
    assert_eq!(object.write_at(0, &[9]), failed);
    disk.stop_failing();
    disk.fail_pages(FILE, 10..11);
    assert_eq!(object.write_at(last, &[9]), failed);
    disk.stop_failing();
    disk.fail_pages(FILE, 11..12);
    disk.fail_pages(FILE + 1, 0..12);
    assert_eq!(
        object.write_at(0, &[9]),
        Ok(()),
        "none of the bad pages is concerned"
    );

    let failures = disk.counts().failed;
    disk.fail_request(1);
    assert_eq!(object.sync(0, 1), Ok(()));
    object.write_at(0, &[8]).unwrap();
    assert_eq!(object.sync(0, 1), Err(PagerError::Io));
    let mut found = vec![0; SIZE];
    disk.read_file(FILE, 0, &mut found);
    assert_eq!(
        (found[0], &found[1..]),
        (9, &content[1..]),
        "a write that fails changes nothing"
    );
    assert_eq!(object.sync(0, 1), Ok(()), "no other fails");
    disk.read_file(FILE, 0, &mut found);
    assert_eq!(found[0], 8);
    assert_eq!(disk.counts().failed, failures + 1);

    disk.fail_randomly(5, 2);
    let outcomes: Vec<bool> = (0..40)
        .map(|n| {
            object.write_at(0, &[n]).unwrap();
            object.sync(0, 1).is_ok()
        })
        .collect();
    assert!(
        outcomes.contains(&true) && outcomes.contains(&false),
        "{outcomes:?}"
    );
}

#[test]
fn a_file_can_be_cut_behind_the_managers_back() {
    let disk = disk(Pace::AtOnce);
    disk.write_file(FILE, 0, &[5; 3 * PAGE_SIZE]);
    disk.cut_file(FILE, PAGE_SIZE as u64 + 1);
    let mut found = vec![1; 3 * PAGE_SIZE];
    disk.read_file(FILE, 0, &mut found);
    assert!(found[..=PAGE_SIZE].iter().all(|byte| *byte == 5));
    assert!(found[PAGE_SIZE + 1..].iter().all(|byte| *byte == 0));
}

/// A read that failed was taken out unseen and begun again, for ever.
#[test]
fn a_read_from_a_disk_that_fails_ends() {
    let (vm, disk) = (vm(), disk(Pace::AtOnce));
    disk.write_file(FILE, 0, &bytes(1, SIZE));
    let object = file(&vm, disk);
    disk.fail_requests_from(0);
    let mut byte = [0];
    let failed = Err(FaultError::Pager(PagerError::Io));
    assert_eq!(object.read_at(0, &mut byte), failed);
    assert_eq!(object.read_at(0, &mut byte), failed);
    disk.stop_failing();
    assert_eq!(object.read_at(0, &mut byte), Ok(1));
}

/// A write in flight: a thread syncs and its request waits.
fn with_a_write_in_flight(vm: &Vm<Emulated>, disk: &'static Disk, then: impl FnOnce()) {
    let object = file(vm, disk);
    disk.set_pace(Pace::AtOnce);
    object.write_at(0, &[2; 4 * PAGE_SIZE]).unwrap();
    disk.set_pace(Pace::Later);
    std::thread::scope(|scope| {
        let sync = scope.spawn(|| object.sync(0, SIZE as u64));
        while disk.waiting() == 0 {
            std::thread::yield_now();
        }
        then();
        while !sync.is_finished() {
            disk.pump(vm);
            std::thread::yield_now();
        }
        assert_eq!(sync.join().unwrap(), Err(PagerError::Io));
    });
    disk.set_pace(Pace::AtOnce);
}

#[test]
fn a_power_cut_keeps_what_was_acknowledged_and_sectors_of_what_was_not() {
    let mut mixed = 0;
    for seed in 0..30 {
        let (vm, disk) = (vm(), disk(Pace::AtOnce));
        let object = file(&vm, disk);
        object.write_at(0, &[1; 8 * PAGE_SIZE]).unwrap();
        object.sync(0, SIZE as u64).unwrap();
        drop(object);
        with_a_write_in_flight(&vm, disk, || disk.cut_power(seed));
        let mut found = vec![0; 8 * PAGE_SIZE];
        disk.read_file(FILE, 0, &mut found);
        for (number, sector) in found.chunks(SECTOR).enumerate() {
            let new = sector[0] == 2;
            assert!(!new || number < 4 * PAGE_SIZE / SECTOR, "sector {number}");
            assert_eq!(sector, [1 + u8::from(new); SECTOR], "sector {number}");
        }
        mixed += u32::from(found[..4 * PAGE_SIZE].contains(&1) && found.contains(&2));

        // Without power nothing works, with it all does again, and what was cut off is lost.
        let object = file(&vm, disk);
        let failed = Err(FaultError::Pager(PagerError::Io));
        assert_eq!(object.read_at(0, &mut [0]), failed);
        disk.restart();
        let mut again = vec![0; 8 * PAGE_SIZE];
        assert_eq!(object.read_at(0, &mut again), Ok(again.len()));
        assert_eq!(again, found);
        assert_eq!(object.write_at(0, &[3]), Ok(()));
        assert_eq!(object.sync(0, SIZE as u64), Ok(()));
    }
    assert!(mixed > 10, "{mixed} of 30 were old in part and new in part");
}

#[test]
fn what_waits_when_the_power_goes_fails_also_after_it_is_back() {
    let (vm, disk) = (vm(), disk(Pace::AtOnce));
    let mut kept = [0; 4 * PAGE_SIZE];
    with_a_write_in_flight(&vm, disk, || {
        disk.cut_power(7);
        disk.restart();
        disk.read_file(FILE, 0, &mut kept);
    });
    let mut found = [0; 4 * PAGE_SIZE];
    disk.read_file(FILE, 0, &mut found);
    assert!(kept == found, "it is not carried out later");
}

#[test]
fn a_write_that_fails_is_torn_at_sectors() {
    let (vm, disk) = (vm(), disk(Pace::AtOnce));
    let object = file(&vm, disk);
    let mut seen = [false; 3];
    for seed in 0..20 {
        disk.write_file(FILE, 0, &[1; 4 * PAGE_SIZE]);
        disk.tear_writes(seed);
        disk.fail_writes_of(FILE, 3..4);
        object.write_at(0, &[2; 4 * PAGE_SIZE]).unwrap();
        assert_eq!(object.sync(0, SIZE as u64), Err(PagerError::Io));
        let mut found = [0; 4 * PAGE_SIZE];
        disk.read_file(FILE, 0, &mut found);
        for page in found.chunks(PAGE_SIZE) {
            for sector in page.chunks(SECTOR) {
                assert!(sector.iter().all(|byte| *byte == sector[0]));
            }
            let (old, new) = (page.contains(&1), page.contains(&2));
            seen[usize::from(old) + 2 * usize::from(new) - 1] = true;
        }
        // Nothing is lost: it is written when the disk works again.
        disk.stop_failing();
        assert_eq!(object.sync(0, SIZE as u64), Ok(()));
        disk.read_file(FILE, 0, &mut found);
        assert_eq!(found, [2; 4 * PAGE_SIZE]);
    }
    assert_eq!(seen, [true; 3], "pages were old, new, and both");
}

#[test]
fn reads_and_writes_fail_apart_from_each_other() {
    let (vm, disk) = (vm(), disk(Pace::AtOnce));
    let object = file(&vm, disk);
    let failed = FaultError::Pager(PagerError::Io);
    disk.fail_writes_randomly(1, 1);
    assert_eq!(object.write_at(0, &[1]), Ok(()), "a page is read");
    assert_eq!(object.sync(0, 1), Err(PagerError::Io));
    let counts = disk.counts();
    assert_eq!((counts.failed, counts.failed_writes), (1, 1));
    disk.stop_failing();
    drop(object);
    disk.write_file(FILE, 0, &[5]);

    let object = file(&vm, disk);
    disk.fail_reads_of(FILE, 0..1);
    assert_eq!(object.read_at(0, &mut [0]), Err(failed));
    assert_eq!(object.write_at(0, &[1]), Err(failed), "it is read first");
    disk.stop_failing();
    assert_eq!(object.write_at(0, &[1]), Ok(()));
    disk.fail_reads_randomly(1, 1);
    assert_eq!(object.sync(0, 1), Ok(()));
    let counts = disk.counts();
    assert_eq!(counts.failed_writes, 1);
}

#[test]
fn a_disk_that_does_not_answer_goes_on_when_told() {
    let (vm, disk) = (vm(), disk(Pace::AtOnce));
    disk.write_file(FILE, 0, &[5]);
    let object = file(&vm, disk);
    disk.stop_answering();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut byte = [0];
            object.read_at(0, &mut byte).map(|_| byte[0])
        });
        while disk.waiting() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(disk.pump(&vm), 0);
        assert!(!disk.pump_one(&vm, None));
        assert!(!reader.is_finished());
        disk.go_on();
        assert_eq!(disk.pump(&vm), 1);
        assert_eq!(reader.join().unwrap(), Ok(5));
    });
    assert_eq!(object.write_at(0, &[6]), Ok(()));
    assert_eq!(object.sync(0, 1), Ok(()), "at once, as before");
}

#[test]
fn delayed_requests_are_carried_out_later_and_in_any_order() {
    let (vm, disk) = (vm(), disk(Pace::AtOnce));
    disk.delay(3, 20);
    let objects: Vec<_> = (0..6)
        .map(|file| vm.new_vnode(disk, file, PAGE_SIZE as u64).unwrap())
        .collect();
    let map = vm.new_map(PAGE_SIZE, 1 << 40).unwrap();
    for (n, object) in objects.iter().enumerate() {
        disk.write_file(n, 0, &[n as u8 + 1]);
        let place = Place::Fixed((n + 1) * PAGE_SIZE);
        let request = MapRequest::object(object, 0, PAGE_SIZE, Prot::READ, Share::Shared);
        map.map(request.at(place)).unwrap();
        let fault = map.fault((n + 1) * PAGE_SIZE, Access::Read);
        assert!(matches!(fault, Fault::Wait(_)));
    }
    assert_eq!(disk.waiting(), 6);
    let (mut order, mut looks) = (Vec::new(), 0);
    while disk.waiting() > 0 {
        assert!(disk.pump_one(&vm, None));
        looks += 1;
        for n in 0..6 {
            let there = !order.contains(&n)
                && matches!(
                    map.fault((n + 1) * PAGE_SIZE, Access::Read),
                    Fault::Resolved
                );
            if there {
                order.push(n);
            }
        }
    }
    assert_eq!(order.len(), 6);
    assert!(!order.is_sorted(), "{order:?}");
    assert!(looks > 6, "{looks}");
}
