//! A swap device is taken away and added again, a hundred times in a row, while programs use more
//! memory than there is.

mod common;
#[path = "schedules/crew.rs"]
#[allow(dead_code, reason = "shuttle's threads are used elsewhere")]
mod crew;

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};

use common::*;
use crew::{Crew, Hosted};
use scalvm::{FaultError, PAGE_SIZE, Paging, SwapError, SwapOptions};
use scalvm_testkit::Kit;

/// What an access came to in the end: while the device is away, there may be no memory for a while.
fn at_last<T>(mut access: impl FnMut() -> Result<T, FaultError>) -> Result<T, FaultError> {
    loop {
        match access() {
            Err(FaultError::OutOfMemory) => std::thread::yield_now(),
            result => return result,
        }
    }
}

const SWAP: usize = 77;
/// Pages of each of two programs: together more than memory, but one alone is less.
const PAGES: usize = 260;

fn add_swap(kit: &Kit) {
    let how = SwapOptions::default();
    let added = kit.vm().with_room(
        || kit.vm().add_swap(kit.disk(), SWAP, 1000, how),
        |error| *error == SwapError::OutOfMemory,
    );
    assert!(added.is_ok(), "{added:?}");
}

/// Is set when this is dropped.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn a_device_goes_a_hundred_times_under_load() {
    let kit = Hosted.kit();
    let vm = kit.vm();
    vm.start_paging(Paging::for_frames(512)).expect("memory");
    add_swap(&kit);
    // A small one stays, so that adding the other never waits for memory that cannot leave.
    let small = SwapOptions {
        priority: -1,
        cipher: None,
    };
    vm.add_swap(kit.disk(), SWAP + 1, 80, small)
        .expect("memory");
    let maps = [anonymous(&kit, PAGES), anonymous(&kit, PAGES)];
    let (done, touched) = (AtomicBool::new(false), AtomicU64::new(0));
    // Writes a pattern again and again, over all of its memory or, at times, over a part, and looks
    // whether the last one is still there.
    let program = |cpu: usize| {
        let map = &maps[cpu];
        let mut rounds = vec![0u64; PAGES];
        let mut round = 0u64;
        while !done.load(SeqCst) {
            round += 1;
            let pages = if round % 4 < 2 { PAGES } else { PAGES / 4 };
            for (n, last) in rounds.iter_mut().enumerate().take(pages) {
                let at = page(n) + n * 8 % PAGE_SIZE;
                if *last != 0 {
                    let seen = at_last(|| get(map, at));
                    assert_eq!(seen, Ok(*last << 16 | n as u64), "page {n}");
                }
                let value = round << 16 | n as u64;
                assert_eq!(at_last(|| map.write(at, &value.to_le_bytes())), Ok(()));
                *last = round;
                touched.fetch_add(1, SeqCst);
            }
            if round % 4 == 3 {
                // A program that needs less: there may be room without the device.
                map.discard(page(PAGES / 4), (PAGES - PAGES / 4) * PAGE_SIZE)
                    .expect("discarded");
                rounds[PAGES / 4..].fill(0);
            }
        }
        for (n, last) in rounds.iter().enumerate().filter(|(_, last)| **last != 0) {
            let at = page(n) + n * 8 % PAGE_SIZE;
            assert_eq!(
                at_last(|| get(map, at)),
                Ok(*last << 16 | n as u64),
                "page {n}"
            );
        }
    };
    let operator = || {
        // Whatever goes wrong here, the programs end.
        let _end = SetAtEnd(&done);
        let (mut gone, mut refused) = (0, 0);
        for _ in 0..100 {
            // Let something get there first.
            let begin = touched.load(SeqCst);
            while touched.load(SeqCst) < begin + 500 {
                std::thread::yield_now();
            }
            let devices = swap_devices(&kit);
            let device = devices.iter().find(|device| device.cookie == SWAP);
            match vm.remove_swap(device.expect("a refusal leaves it").id) {
                Ok(()) => {
                    gone += 1;
                    // Without it, programs may get no memory now: they are not to notice.
                    add_swap(&kit);
                }
                Err(SwapError::NoRoom) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(gone > 0, "{refused} times refused");
        let stats = vm.stats();
        println!(
            "{gone} times gone, {refused} times refused, {} pages read",
            stats.swapins
        );
    };
    Hosted.together(&kit, &[&|| program(0), &|| program(1), &operator]);
    vm.check_invariants();
    drop(maps);
    nothing_left(&kit);
}
