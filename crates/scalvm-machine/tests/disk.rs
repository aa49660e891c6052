//! The disk, under the vnode pager.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use scalvm::{FaultError, Object, PAGE_SIZE, PagerError, Vm};
use scalvm_machine::{Disk, Emulated, Pace, Rng};

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
