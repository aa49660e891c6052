//! Malloc types of a whole program, in which two static ones clash.

use std::thread;
use std::time::Duration;

use scalvm::{MallocError, MallocFlags, MallocType, TypeError, Vm, malloc_type};
use scalvm_machine::{Config, Emulated, Threads};

/// Types of a module that nothing else of the program mentions.
mod never_mentioned {
    scalvm::malloc_type!(M_QUIET, "quiet", "of a module that is linked and no more");
}

malloc_type!(M_ONE, "one", "the first");
mod other {
    scalvm::malloc_type!(pub M_OTHER, "one", "shown as the first is");
}

/// A manager on a machine where whoever sleeps too long panics: a wakeup was lost.
fn vm() -> Vm<Emulated> {
    let vm = Vm::new(Emulated::new(Config {
        runtime: Box::new(Threads::with_patience(Duration::from_secs(20))),
        ..Config::default()
    }));
    let frames = vm.machine().segment(0);
    // SAFETY: the machine's memory is this manager's.
    unsafe { vm.add_segment(frames.start, frames.end) }.unwrap();
    vm
}

#[test]
fn what_is_linked_is_listed() {
    let mut all = Vec::new();
    vm().each_type(&mut |ty| all.push(ty.short));
    all.sort_unstable();
    let own = all.iter().filter(|short| ["one", "quiet"].contains(short));
    assert_eq!(own.collect::<Vec<_>>(), [&"one", &"one", &"quiet"]);
}

#[test]
fn two_static_types_of_one_name_are_told_and_can_be_used_all_the_same() {
    let vm = vm();
    assert_eq!(vm.check_types(), Err(TypeError::NameTaken));
    let memory = vm.malloc(&M_ONE, 100, MallocFlags::NOWAIT).unwrap();
    assert_eq!(vm.type_stats(&M_ONE).unwrap().in_use, 1);
    assert_eq!(vm.type_stats(&other::M_OTHER).unwrap().in_use, 0);
    // SAFETY: it has just been allocated.
    unsafe { vm.free(&M_ONE, memory) };
    vm.check_invariants();
}

#[test]
fn there_are_only_so_many_types() {
    let vm = vm();
    let attach = |n: usize| {
        let name: &str = format!("M_MANY_{n}").leak();
        let ty = Box::leak(Box::new(MallocType::new(name, name, "one of many")));
        vm.attach_type(ty).map(|()| &*ty)
    };
    let mut attached: Vec<_> = (0..).map_while(|n| attach(n).ok()).collect();
    let mut all = 0;
    vm.each_type(&mut |_| all += 1);
    assert_eq!(all, 511);
    assert_eq!(attach(1000).err(), Some(TypeError::TooMany));
    // The number of one that goes is free for another.
    let detach = |ty| vm.detach_type(ty, scalvm::Leaks::Refuse, &mut |leak| panic!("{leak:?}"));
    detach(attached.swap_remove(7)).unwrap();
    attached.push(attach(1001).unwrap());
    let memory = vm.malloc(attached[200], 64, MallocFlags::ZERO).unwrap();
    // SAFETY: it has just been allocated.
    unsafe { vm.free(attached[200], memory) };
    attached.into_iter().for_each(|ty| detach(ty).unwrap());
    vm.check_invariants();
}

#[test]
fn nobody_sleeps_at_a_limit_that_lets_him_go_on() {
    malloc_type!(M_LINE, "line", "of those who wait in line", limit = 1024);
    let vm = vm();
    let first = vm.malloc(&M_LINE, 1024, MallocFlags::NOWAIT).unwrap();
    let wait = |size| {
        let memory = vm.malloc(&M_LINE, size, MallocFlags::WAIT).unwrap();
        // SAFETY: it has just been allocated.
        unsafe { vm.free(&M_LINE, memory) };
    };
    let asleep = |count| {
        while vm.type_stats(&M_LINE).unwrap().waits < count {
            thread::yield_now();
        }
    };
    // One after the other has the whole of it.
    thread::scope(|scope| {
        for number in 0..8 {
            let (vm, wait) = (&vm, &wait);
            scope.spawn(move || {
                let processor = vm.machine().processor(number % 4);
                processor.run(|| (0..200).for_each(|_| wait(1000)));
            });
        }
        asleep(8);
        // SAFETY: not freed yet.
        unsafe { vm.free(&M_LINE, first) };
    });
    // Or the limit goes up, or down below what is asked for.
    let first = vm.malloc(&M_LINE, 1024, MallocFlags::NOWAIT).unwrap();
    let before = vm.type_stats(&M_LINE).unwrap().waits;
    thread::scope(|scope| {
        scope.spawn(|| wait(16));
        asleep(before + 1);
        vm.set_type_limit(&M_LINE, Some(1040)).unwrap();
    });
    thread::scope(|scope| {
        let late = scope.spawn(|| vm.malloc(&M_LINE, 512, MallocFlags::WAIT).err());
        asleep(before + 2);
        vm.set_type_limit(&M_LINE, Some(511)).unwrap();
        assert_eq!(late.join().unwrap(), Some(MallocError::Limit));
    });
    // SAFETY: not freed yet.
    unsafe { vm.free(&M_LINE, first) };
    let stats = vm.type_stats(&M_LINE).unwrap();
    assert_eq!((stats.in_use, stats.bytes, stats.high_water), (0, 0, 1040));
    vm.check_invariants();
}
