//! The machine catches what it is there to catch: each test makes a mistake on purpose.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use scalvm::{
    Access, Cache, Clear, Debt, Enter, Frame, LockEvent, Machine, Mapping, PAGE_SIZE, Pmap, Prot,
    Rank, Scope, SpinLock, TableFrames,
};
use scalvm_machine::{Config, Cpu, Emulated, PageFault, TableArena, Threads};
use scalvm_pmap::X86Pmap;

const VA: usize = 0x40_0000;

/// A space that two processors use.
struct Setup {
    machine: Emulated,
    tables: TableArena,
    space: X86Pmap,
    cpus: [Cpu; 2],
}

impl Setup {
    fn new() -> Setup {
        Setup::on(Emulated::with_frames(64))
    }

    fn on(machine: Emulated) -> Setup {
        let tables = TableArena::new(&machine, machine.segment(0));
        let space: X86Pmap = Pmap::<Emulated>::new(&machine, &tables).unwrap();
        let cpus = [machine.processor(0), machine.processor(1)];
        for cpu in &cpus {
            cpu.run(|| space.activate(&machine));
        }
        Setup {
            machine,
            tables,
            space,
            cpus,
        }
    }

    fn root(&self) -> Frame {
        Pmap::<Emulated>::root(&self.space)
    }

    fn enter(&self, va: usize, frame: Frame, prot: Prot) -> Debt {
        let (access, cache) = (Access::Read, Cache::WriteBack);
        let how = Enter {
            frame,
            prot,
            access,
            cache,
            managed: true,
            origin: (0, 0),
        };
        self.space
            .enter(&self.machine, &self.tables, va, how)
            .unwrap()
            .1
    }

    /// Maps a new frame that holds a number.
    fn put(&self, va: usize, number: u64, prot: Prot) -> Frame {
        let frame = self.frame_with(number);
        self.pay(self.enter(va, frame, prot));
        frame
    }

    fn frame_with(&self, number: u64) -> Frame {
        let frame = self.tables.take().unwrap();
        // SAFETY: the frame is ours, and nobody maps it.
        unsafe { self.machine.frame_ptr(frame).cast::<u64>().write(number) };
        frame
    }

    fn number_in(&self, frame: Frame) -> u64 {
        // SAFETY: nobody stores meanwhile.
        unsafe { self.machine.frame_ptr(frame).cast::<u64>().read() }
    }

    fn pay(&self, debt: Debt) {
        debt.pay(&self.machine, &self.space, &self.tables);
        self.machine.assert_no_stale(self.root());
    }

    fn query(&self, va: usize) -> Mapping {
        self.space.query(&self.machine, va).unwrap()
    }

    fn remove(&self, va: usize) -> Debt {
        self.space
            .remove(&self.machine, &self.tables, va..va + PAGE_SIZE, |_| ())
    }
}

fn fault(addr: usize, access: Access) -> PageFault {
    PageFault { addr, access }
}

/// The text of the panic that this ends in.
fn panic_of(act: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).expect_err("no panic");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().unwrap()).to_string(),
    }
}

#[test]
fn rights_are_enforced_and_faults_say_where() {
    let setup = Setup::new();
    let [cpu, _] = &setup.cpus;
    assert_eq!(cpu.load_u64(VA), Err(fault(VA, Access::Read)));
    setup.put(VA, 5, Prot::READ);
    assert_eq!(cpu.load_u64(VA), Ok(5));
    assert_eq!(cpu.store_u64(VA, 6), Err(fault(VA, Access::Write)));
    assert_eq!(cpu.fetch(VA + 1), Err(fault(VA + 1, Access::Exec)));
    setup.put(VA, 7, Prot::all());
    cpu.store_u64(VA, 8).unwrap();
    assert_eq!(cpu.fetch(VA), Ok(8));
    // A load over the end of the page faults at the next; a store leaves what lies before.
    let end = VA + PAGE_SIZE;
    assert_eq!(cpu.load_u64(end - 4), Err(fault(end, Access::Read)));
    assert_eq!(
        cpu.store(end - 2, &[1, 2, 3]),
        Err(fault(end, Access::Write))
    );
    let mut bytes = [0; 3];
    cpu.load(end - 3, &mut bytes).unwrap();
    assert_eq!(bytes, [0, 1, 2]);
    assert_eq!(
        cpu.load_u64(1 << 47),
        Err(fault(1 << 47, Access::Read)),
        "the kernel's half"
    );
    assert_eq!(
        cpu.load_u64(usize::MAX),
        Err(fault(usize::MAX, Access::Read))
    );
    assert_eq!(cpu.add_u64(VA, 2), Ok(8));
    assert_eq!(cpu.load_u64(VA), Ok(10));
}

#[test]
fn accessed_and_dirty_bits_are_set_by_use() {
    let setup = Setup::new();
    setup.put(VA, 5, Prot::RW);
    let next = VA + PAGE_SIZE;
    let frame = setup.frame_with(9);
    setup
        .space
        .fill(&setup.machine, &setup.tables, next, &[frame], Prot::RW);
    assert!(!setup.query(next).accessed);
    let [cpu, _] = &setup.cpus;
    assert_eq!(cpu.load_u64(next), Ok(9));
    let seen = setup.query(next);
    assert!(seen.accessed && !seen.dirty);
    cpu.store_u64(next, 1).unwrap();
    assert!(setup.query(next).dirty);
    // A fault changes nothing.
    setup.pay(
        setup
            .space
            .protect(&setup.machine, &setup.tables, VA..next, Prot::READ),
    );
    assert!(cpu.store_u64(VA, 1).is_err());
    assert!(!setup.query(VA).dirty);
}

#[test]
fn without_the_flush_a_page_removed_is_still_there() {
    let setup = Setup::new();
    let frame = setup.put(VA, 5, Prot::RW);
    setup.put(VA + PAGE_SIZE, 6, Prot::RW);
    let [cpu, other] = &setup.cpus;
    cpu.store_u64(VA, 7).unwrap();
    let debt = setup.remove(VA);
    assert!(setup.machine.find_stale(setup.root()).is_some());
    cpu.store_u64(VA, 8).unwrap();
    assert_eq!(
        setup.number_in(frame),
        8,
        "the stale translation leads to the old frame"
    );
    assert!(
        other.load_u64(VA).is_err(),
        "the other processor had not cached it"
    );
    setup.pay(debt);
    assert!(cpu.load_u64(VA).is_err());
}

#[test]
fn without_the_flush_a_store_lands_in_the_old_frame() {
    let setup = Setup::new();
    let old = setup.put(VA, 5, Prot::RW);
    let [cpu, _] = &setup.cpus;
    cpu.store_u64(VA, 6).unwrap();
    let new = setup.frame_with(6);
    let debt = setup.enter(VA, new, Prot::RW);
    assert!(
        setup
            .machine
            .find_stale(setup.root())
            .unwrap()
            .contains("processor 0")
    );
    cpu.store_u64(VA, 7).unwrap();
    assert_eq!((setup.number_in(old), setup.number_in(new)), (7, 6));
    setup.pay(debt);
    cpu.store_u64(VA, 8).unwrap();
    assert_eq!((setup.number_in(old), setup.number_in(new)), (7, 8));
}

#[test]
fn without_the_flush_a_right_taken_still_works() {
    let setup = Setup::new();
    setup.put(VA, 5, Prot::RW);
    let [cpu, _] = &setup.cpus;
    cpu.store_u64(VA, 6).unwrap();
    let debt = setup.space.write_protect_all(&setup.machine, &setup.tables);
    assert!(cpu.store_u64(VA, 7).is_ok());
    let text = panic_of(|| setup.machine.assert_no_stale(setup.root()));
    assert!(text.contains("stale translation"), "{text}");
    setup.pay(debt);
    assert_eq!(cpu.store_u64(VA, 8), Err(fault(VA, Access::Write)));
    assert_eq!(cpu.load_u64(VA), Ok(7));
}

#[test]
fn without_the_flush_a_dirty_bit_cleared_does_not_come_again() {
    let setup = Setup::new();
    setup.put(VA, 5, Prot::RW);
    let [cpu, _] = &setup.cpus;
    cpu.store_u64(VA, 6).unwrap();
    let clear = Clear {
        accessed: false,
        dirty: true,
    };
    let range = VA..VA + PAGE_SIZE;
    let debt = setup
        .space
        .harvest(&setup.machine, &setup.tables, range, clear, |_| ());
    cpu.store_u64(VA, 7).unwrap();
    assert!(
        !setup.query(VA).dirty,
        "the processor believes that it is set"
    );
    assert!(setup.machine.find_stale(setup.root()).is_some());
    setup.pay(debt);
    cpu.store_u64(VA, 8).unwrap();
    assert!(setup.query(VA).dirty);
}

#[test]
fn without_the_flush_a_table_freed_is_still_walked() {
    let setup = Setup::new();
    setup.put(VA, 5, Prot::RW);
    let [cpu, _] = &setup.cpus;
    assert_eq!(cpu.load_u64(VA), Ok(5));
    let debt = setup.remove(VA);
    // Another table takes the place of the one that waits to be freed.
    let frame = setup.frame_with(6);
    let none = setup.enter(VA + PAGE_SIZE, frame, Prot::READ);
    assert!(!none.is_owed());
    assert!(setup.machine.find_stale(setup.root()).is_some());
    setup.pay(debt);
    assert_eq!(cpu.load_u64(VA + PAGE_SIZE), Ok(6));
}

#[test]
fn a_right_given_needs_no_flush() {
    let setup = Setup::new();
    let frame = setup.put(VA, 5, Prot::READ);
    let [cpu, other] = &setup.cpus;
    assert_eq!(cpu.load_u64(VA), Ok(5));
    assert!(cpu.has_cached(VA) && !other.has_cached(VA));
    let debt = setup.enter(VA, frame, Prot::RW);
    assert!(!debt.is_owed());
    cpu.store_u64(VA, 6).unwrap();
    assert_eq!(other.load_u64(VA), Ok(6));
}

#[test]
fn a_flush_reaches_the_processors_and_the_pages_it_names() {
    let setup = Setup::new();
    setup.put(VA, 5, Prot::READ);
    setup.put(VA + PAGE_SIZE, 6, Prot::READ);
    let [cpu, other] = &setup.cpus;
    let cached = || [cpu, other].map(|cpu| (cpu.has_cached(VA), cpu.has_cached(VA + PAGE_SIZE)));
    for cpu in &setup.cpus {
        cpu.load(VA, &mut [0; 2 * PAGE_SIZE]).unwrap();
    }
    let page = Scope::Range {
        start: VA,
        end: VA + PAGE_SIZE,
    };
    setup.machine.flush(0b01, setup.root(), page);
    assert_eq!(cached(), [(false, true), (true, true)]);
    setup.machine.flush(0b11, Frame(1), Scope::All);
    assert_eq!(cached(), [(false, true), (true, true)], "another space");
    setup.machine.flush(0b10, setup.root(), Scope::All);
    assert_eq!(cached(), [(false, true), (false, false)]);
    cpu.park();
    assert_eq!(cached(), [(false, false), (false, false)]);
    assert_eq!(cpu.load_u64(VA), Err(fault(VA, Access::Read)));
    assert_eq!((cpu.root(), other.root()), (None, Some(setup.root())));
}

#[test]
fn caprice_forgets_translations_unasked() {
    let machine = Emulated::new(Config {
        evict_one_in: 3,
        seed: 1,
        ..Config::default()
    });
    let setup = Setup::on(machine);
    setup.put(VA, 5, Prot::READ);
    setup.put(VA + PAGE_SIZE, 6, Prot::READ);
    let [cpu, _] = &setup.cpus;
    let mut forgotten = 0;
    for _ in 0..100 {
        cpu.load_u64(VA).unwrap();
        cpu.load_u64(VA + PAGE_SIZE).unwrap();
        forgotten += u32::from(!cpu.has_cached(VA));
    }
    assert!(forgotten > 0);
}

#[test]
fn a_thread_is_where_it_was_put() {
    let machine = Emulated::with_frames(1);
    assert_eq!(machine.cpu(), 0);
    machine.processor(2).run(|| {
        assert_eq!(machine.cpu(), 2);
        machine.processor(3).run(|| assert_eq!(machine.cpu(), 3));
        assert_eq!(machine.cpu(), 2);
        std::thread::scope(|s| {
            s.spawn(|| assert_eq!(machine.cpu(), 0));
        });
        assert_eq!(Emulated::with_frames(1).cpu(), 0, "another machine");
    });
    assert_eq!(machine.cpu(), 0);
}

#[test]
fn locks_out_of_order_are_found() {
    let machine = Emulated::with_frames(1);
    let (map, object) = (SpinLock::new(), SpinLock::new());
    {
        let _map = map.lock(&machine, Rank::Map);
        let _object = object.lock(&machine, Rank::Object);
        assert_eq!(machine.held_locks(), [Rank::Map, Rank::Object]);
    }
    assert!(machine.held_locks().is_empty());
    let text = panic_of(|| {
        let _object = object.lock(&machine, Rank::Object);
        let _map = map.lock(&machine, Rank::Map);
    });
    assert!(
        text.contains("Map is taken while [Object] are held"),
        "{text}"
    );
    assert!(machine.held_locks().is_empty());
    let text = panic_of(|| {
        let _one = map.lock(&machine, Rank::Object);
        let _other = object.lock(&machine, Rank::Object);
    });
    assert!(text.contains("lock order"), "{text}");
    {
        let _object = object.lock(&machine, Rank::Object);
        let _map = map
            .try_lock(&machine, Rank::Map)
            .expect("a try may go against the order");
        let text = panic_of(|| machine.lock_event(LockEvent::Acquire, Rank::Map));
        assert!(
            text.contains("lock order"),
            "what was tried counts as held: {text}"
        );
    }
    let text = panic_of(|| machine.lock_event(LockEvent::Release, Rank::Pmap));
    assert!(text.contains("was not held"), "{text}");
    let text = panic_of(|| {
        let _map = map.lock(&machine, Rank::Map);
        machine.wait(&AtomicU32::new(0), 0);
    });
    assert!(text.contains("waits while [Map] are held"), "{text}");
}

#[test]
fn allocations_fail_as_told() {
    let machine = Emulated::with_frames(8);
    let tables = TableArena::new(&machine, machine.segment(0));
    let tried = |n: usize| -> Vec<bool> {
        let try_one = |_| {
            tables
                .alloc()
                .inspect(|frame| tables.free(*frame))
                .is_some()
        };
        (0..n).map(try_one).collect()
    };
    assert_eq!(tried(2), [true; 2]);
    machine.fail_allocation(1);
    assert_eq!(tried(4), [true, false, true, true]);
    machine.fail_allocations_from(2);
    assert_eq!(tried(4), [true, true, false, false]);
    machine.stop_failing();
    assert_eq!(tried(2), [true; 2]);
    assert_eq!(machine.allocations(), 12);
    machine.fail_allocations_randomly(3, 4);
    let first = tried(40);
    machine.fail_allocations_randomly(3, 4);
    assert_eq!(tried(40), first, "the seed determines it");
    assert!(first.contains(&true) && first.contains(&false));
}

#[test]
fn sleepers_are_woken_and_lost_wakeups_found() {
    let runtime = Box::new(Threads::with_patience(Duration::from_millis(100)));
    let machine = Emulated::new(Config {
        runtime,
        ..Config::default()
    });
    let word = AtomicU32::new(1);
    machine.wait(&word, 0);
    std::thread::scope(|s| {
        let sleeper = s.spawn(|| {
            while word.load(SeqCst) == 1 {
                machine.wait(&word, 1);
            }
        });
        std::thread::sleep(Duration::from_millis(10));
        word.store(2, SeqCst);
        machine.wake(&word);
        sleeper.join().unwrap();
    });
    let text = panic_of(|| machine.wait(&word, 2));
    assert!(text.contains("a wakeup was lost"), "{text}");
}

#[test]
fn an_idle_thread_does_itself_what_it_waits_for() {
    let machine = Emulated::with_frames(1);
    let (done, mut left) = (std::sync::Arc::new(AtomicU32::new(0)), 3);
    let in_idle = done.clone();
    machine.set_idle(move || {
        in_idle.fetch_add(1, SeqCst);
        true
    });
    let word = AtomicU32::new(0);
    while left > 0 {
        machine.wait(&word, 0);
        left -= 1;
    }
    assert_eq!(done.load(SeqCst), 3);
}

#[test]
fn memory_that_is_not_there_is_a_machine_check() {
    let runs = vec![Frame(16)..Frame(20), Frame(0x8_0000)..Frame(0x8_0002)];
    let devices = vec![Frame(0xfee00)..Frame(0xfee01)];
    let machine = Emulated::new(Config {
        segments: runs,
        devices,
        ..Config::default()
    });
    assert_eq!(
        (machine.segments(), machine.segment(1).end),
        (2, Frame(0x8_0002))
    );
    for frame in [Frame(19), Frame(0x8_0000), machine.device(0).start] {
        assert!(machine.frame_ptr(frame).addr().is_multiple_of(PAGE_SIZE));
    }
    assert_ne!(machine.frame_ptr(Frame(16)), machine.frame_ptr(Frame(17)));
    let text = panic_of(|| assert!(!machine.frame_ptr(Frame(20)).is_null()));
    assert!(text.contains("machine check"), "{text}");
}

#[test]
fn a_frame_that_caches_treat_in_two_ways_is_told() {
    let setup = Setup::new();
    let frame = setup.frame_with(1);
    let enter = |va, cache| {
        let how = Enter {
            frame,
            prot: Prot::RW,
            access: Access::Read,
            cache,
            managed: false,
            origin: (0, 0),
        };
        let entered = setup
            .space
            .enter(&setup.machine, &setup.tables, va, how)
            .unwrap();
        setup.pay(entered.1);
    };
    let [one, other] = &setup.cpus;
    enter(VA, Cache::WriteThrough);
    enter(VA + PAGE_SIZE, Cache::WriteThrough);
    assert_eq!(one.load_u64(VA), Ok(1));
    assert_eq!(other.load_u64(VA + PAGE_SIZE), Ok(1));
    setup.machine.assert_one_way();
    enter(VA + PAGE_SIZE, Cache::Uncached);
    assert_eq!(other.load_u64(VA + PAGE_SIZE), Ok(1));
    let told = panic_of(|| setup.machine.assert_one_way());
    assert!(told.contains("is treated in two ways"), "{told}");
    enter(VA, Cache::Uncached);
    assert_eq!(one.load_u64(VA), Ok(1));
    setup.machine.assert_one_way();
}
