//! Tests of the register of types.

use std::vec::Vec;

use super::{Leaks, M_ORPHANS, MallocType, TypeError, numbers, section};
use crate::testing::TestMachine;
use crate::vm::Vm;
use crate::{MallocError, MallocFlags, PAGE_SIZE};

crate::malloc_type!(M_STATIC, "test static", "linked into the tests");
crate::malloc_type!(dynamic M_MOD, "test mod", "of a module", limit = 1000);

fn setup() -> Vm<TestMachine> {
    let vm = Vm::new(TestMachine::new(400));
    // SAFETY: the arena is ours.
    unsafe { vm.add_segment(vm.machine.frame(0), vm.machine.frame(400)) }.unwrap();
    vm
}

fn names(vm: &Vm<TestMachine>) -> Vec<&'static str> {
    let mut names = Vec::new();
    vm.each_type(&mut |ty| names.push(ty.short));
    names.sort_unstable();
    names
}

#[test]
fn linking_registers_a_type() {
    let vm = setup();
    assert!(names(&vm).contains(&"test static") && names(&vm).contains(&"orphans"));
    assert_eq!(vm.check_types(), Ok(()));
    let stats = vm.type_stats(&M_STATIC).unwrap();
    assert_eq!(
        (stats.name, stats.long),
        ("M_STATIC", "linked into the tests")
    );
    let place = section::place(&M_STATIC).unwrap();
    assert_eq!(numbers::of(&M_STATIC), place + 1);
    // It is known once, used or not.
    let before = names(&vm);
    vm.malloc(&M_STATIC, 1, MallocFlags::NOWAIT).unwrap();
    assert_eq!(names(&vm), before);
}

#[test]
fn a_dynamic_type_is_known_while_it_is_attached() {
    let vm = setup();
    let before = names(&vm);
    assert!(!before.contains(&"test mod"));
    assert!(vm.type_stats(&M_MOD).is_none());
    let malloc = || vm.malloc(&M_MOD, 100, MallocFlags::NOWAIT);
    assert_eq!(malloc(), Err(MallocError::NotAttached));
    vm.attach_type(&M_MOD).unwrap();
    assert_eq!(vm.attach_type(&M_MOD), Err(TypeError::Attached));
    assert_eq!(vm.attach_type(&M_STATIC), Err(TypeError::Attached));
    assert!(names(&vm).contains(&"test mod"));
    let memory = malloc().unwrap();
    // SAFETY: it has just been allocated.
    unsafe { vm.free(&M_MOD, memory) };
    let nothing = &mut |leak| panic!("{leak:?}");
    vm.detach_type(&M_MOD, Leaks::Refuse, nothing).unwrap();
    let again = vm.detach_type(&M_MOD, Leaks::Refuse, nothing);
    assert_eq!(again, Err(TypeError::NotAttached));
    let is_static = vm.detach_type(&M_STATIC, Leaks::Refuse, nothing);
    assert_eq!(is_static, Err(TypeError::NotAttached));
    assert_eq!(malloc(), Err(MallocError::NotAttached));
    assert_eq!(names(&vm), before);
    vm.check_invariants();
}

#[test]
fn managers_do_not_share_what_is_in_use() {
    let (one, other) = (setup(), setup());
    static M_BOTH: MallocType = MallocType::new("M_BOTH", "test both", "of two managers");
    one.attach_type(&M_BOTH).unwrap();
    other.attach_type(&M_BOTH).unwrap();
    let memory = one.malloc(&M_BOTH, 64, MallocFlags::NOWAIT).unwrap();
    let in_use = |vm: &Vm<TestMachine>| vm.type_stats(&M_BOTH).map(|stats| stats.in_use);
    assert_eq!((in_use(&one), in_use(&other)), (Some(1), Some(0)));
    other
        .detach_type(&M_BOTH, Leaks::Refuse, &mut |leak| panic!("{leak:?}"))
        .unwrap();
    assert_eq!((in_use(&one), in_use(&other)), (Some(1), None));
    // SAFETY: it has just been allocated.
    unsafe { one.free(&M_BOTH, memory) };
    one.detach_type(&M_BOTH, Leaks::Refuse, &mut |leak| panic!("{leak:?}"))
        .unwrap();
    assert_eq!(M_BOTH.known_number(), 0, "the number is free again");
    one.check_invariants();
    other.check_invariants();
}

#[test]
fn names_are_taken_once() {
    let vm = setup();
    static M_STATIC: MallocType = MallocType::new("M_STATIC", "another", "has a static's name");
    static M_OTHER: MallocType = MallocType::new("M_OTHER", "test static", "has a static's label");
    static M_FIRST: MallocType = MallocType::new("M_FIRST", "test first", "is alone");
    static M_SECOND: MallocType = MallocType::new("M_SECOND", "test first", "is not");
    assert_eq!(vm.attach_type(&M_STATIC), Err(TypeError::NameTaken));
    assert_eq!(vm.attach_type(&M_OTHER), Err(TypeError::NameTaken));
    vm.attach_type(&M_FIRST).unwrap();
    assert_eq!(vm.attach_type(&M_SECOND), Err(TypeError::NameTaken));
    vm.detach_type(&M_FIRST, Leaks::Refuse, &mut |_| ())
        .unwrap();
    vm.attach_type(&M_SECOND).unwrap();
    vm.detach_type(&M_SECOND, Leaks::Refuse, &mut |_| ())
        .unwrap();
}

/// 300,000 bytes in whole frames.
const LARGE: u64 = 74 * PAGE_SIZE as u64;

#[test]
fn what_is_left_in_use_is_told_and_refused_or_orphaned() {
    let vm = setup();
    static M_LEAKY: MallocType = MallocType::new("M_LEAKY", "test leaky", "loses memory");
    vm.attach_type(&M_LEAKY).unwrap();
    let malloc = |size| vm.malloc(&M_LEAKY, size, MallocFlags::NOWAIT).unwrap();
    let small = [malloc(100), malloc(100), malloc(100)];
    let large = malloc(300_000);
    // SAFETY: it has just been allocated.
    unsafe { vm.free(&M_LEAKY, small[0]) };
    let mut told = Vec::new();
    let mut tell = |leak: super::Leak| told.push((leak.size, leak.pieces, leak.bytes));
    let refused = vm.detach_type(&M_LEAKY, Leaks::Refuse, &mut tell);
    assert_eq!(refused, Err(TypeError::InUse));
    let expected = [(112, 2, 224), (0, 1, LARGE)];
    assert_eq!(told, expected);
    vm.check_invariants();
    // It is as it was.
    let stats = vm.type_stats(&M_LEAKY).unwrap();
    assert_eq!((stats.in_use, stats.bytes), (3, 224 + LARGE));
    // SAFETY: memory of the type, not freed yet.
    unsafe { vm.free(&M_LEAKY, malloc(10)) };

    told = Vec::new();
    vm.detach_type(&M_LEAKY, Leaks::Orphan, &mut |leak| {
        told.push((leak.size, leak.pieces, leak.bytes));
    })
    .unwrap();
    assert_eq!(told, expected);
    assert!(vm.type_stats(&M_LEAKY).is_none());
    let orphans = || {
        let stats = vm.type_stats(&M_ORPHANS).unwrap();
        (stats.in_use, stats.bytes)
    };
    assert_eq!(orphans(), (3, 224 + LARGE));
    vm.check_invariants();
    // Attached again it begins from nothing.
    vm.attach_type(&M_LEAKY).unwrap();
    assert_eq!(vm.type_stats(&M_LEAKY).unwrap().in_use, 0);
    let nothing = &mut |leak| panic!("{leak:?}");
    vm.detach_type(&M_LEAKY, Leaks::Refuse, nothing).unwrap();
    assert_eq!(orphans(), (3, 224 + LARGE));
    // SAFETY: as above, under the old type and the new one.
    unsafe {
        vm.free(&M_LEAKY, small[1]);
        vm.free(&M_LEAKY, large);
        vm.free(&M_ORPHANS, small[2]);
    }
    assert_eq!(orphans(), (0, 0));
    vm.check_invariants();
}

#[test]
fn attaching_fails_where_memory_ends_and_can_be_tried_again() {
    let vm = setup();
    static M_LATE: MallocType = MallocType::new("M_LATE", "test late", "comes without memory");
    for allowed in 0.. {
        vm.machine.allow(allowed);
        let attached = vm.attach_type(&M_LATE);
        vm.machine.allow_all();
        if attached.is_ok() {
            assert!(allowed >= 2, "a frame for states and two that lead to it");
            break;
        }
        assert_eq!(attached, Err(TypeError::OutOfMemory));
        assert_eq!(M_LATE.known_number(), 0);
    }
    vm.detach_type(&M_LATE, Leaks::Refuse, &mut |_| ()).unwrap();
    vm.check_invariants();
}

#[test]
fn a_row_keeps_no_more_credit_than_it_may() {
    use super::row::{CAP, Row};
    let row = Row::new(0, CAP);
    assert_eq!(row.take_charged(0, CAP - 10), 0);
    assert_eq!(row.take_charged(0, 100), 90);
    assert_eq!(row.credit(), CAP);
    assert!(row.charge(0, 1000));
    assert_eq!(row.give(0, 1000), 0);
    let excess = row.give(0, 16);
    assert_eq!(excess + row.credit(), CAP + 16);
    assert!(row.credit() <= CAP && row.charge(0, CAP as usize / 2));
    row.set_cap(0);
    assert_eq!(row.give(0, 64), 64);
    assert_eq!(row.credit(), 0);
}
