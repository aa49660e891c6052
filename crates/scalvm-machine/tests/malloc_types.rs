//! Malloc types of a whole program, in which two static ones clash.

use scalvm::{MallocFlags, MallocType, TypeError, Vm, malloc_type};
use scalvm_machine::Emulated;

/// Types of a module that nothing else of the program mentions.
mod never_mentioned {
    scalvm::malloc_type!(M_QUIET, "quiet", "of a module that is linked and no more");
}

malloc_type!(M_ONE, "one", "the first");
mod other {
    scalvm::malloc_type!(pub M_OTHER, "one", "shown as the first is");
}

fn vm() -> Vm<Emulated> {
    let vm = Vm::new(Emulated::with_frames(500));
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
