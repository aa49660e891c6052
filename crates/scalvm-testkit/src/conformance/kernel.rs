//! The kernel's own space, where a port has one.

use std::ops::Range;

use scalvm::{Access, CpuSet, Debt, OutOfMemory, PAGE_SIZE, Pmap, Prot, TableFrames};

use super::Check;
use super::exam::{Exam, PmapOf, Space, how};
use super::port::Port;

pub(super) fn checks<P: Port>() -> Vec<Check<P>> {
    vec![
        ("new_kernel_without_memory_can_be_repeated", without_memory),
        ("all_spaces_have_the_kernels", all_spaces_have_it),
        ("the_kernels_space_ends_and_begins_again", ends_and_begins),
    ]
}

/// The kernel's space, made before any other.
fn make<P: Port>(exam: &Exam<P>, tables: &impl TableFrames, range: &Range<usize>) -> PmapOf<P> {
    PmapOf::<P>::new_kernel(exam.port.machine(), tables, range.clone())
        .expect("there is memory for the kernel's space")
}

/// Enters the n-th frame.
fn put<P: Port>(
    exam: &Exam<P>,
    kernel: &PmapOf<P>,
    tables: &impl TableFrames,
    va: usize,
    n: usize,
) {
    let how = how(exam.frames[n], Prot::RW, Access::Write);
    let entered = kernel.enter(exam.port.machine(), tables, va, how);
    let (old, debt) = entered.expect("there is memory for tables");
    assert!(
        old.is_none() && !debt.is_owed(),
        "nothing was mapped at {va:#x}"
    );
    kernel.check_invariants(exam.port.machine(), tables);
}

fn without_memory<P: Port>(exam: &Exam<P>) {
    let Some(range) = exam.port.kernel() else {
        return;
    };
    let watch = exam.watch();
    for allowed in 0..64 {
        watch.begin(false);
        watch.allow(Some(allowed % 2));
        let made = PmapOf::<P>::new_kernel(exam.port.machine(), &watch, range.clone());
        let Ok(kernel) = made else {
            assert_eq!(made.err(), Some(OutOfMemory));
            continue;
        };
        kernel.check_invariants(exam.port.machine(), &watch);
        assert_eq!(kernel.counts().mapped, 0);
        return;
    }
    panic!("what was made is not kept for the next try");
}

fn all_spaces_have_it<P: Port>(exam: &Exam<P>) {
    let Some(range) = exam.port.kernel() else {
        return;
    };
    let (watch, machine) = (exam.watch(), exam.port.machine());
    let kernel = make(exam, &watch, &range);
    assert_eq!(kernel.cpus(), CpuSet::MAX, "all may use it");
    let (one_watch, other_watch) = (exam.watch(), exam.watch());
    let (one, other) = (Space::new(exam, &one_watch), Space::new(exam, &other_watch));
    let places = [range.start, range.end - PAGE_SIZE];
    if let Some(mmu) = exam.port.mmu() {
        mmu.run_on(0, &mut || one.pmap.activate(machine));
        mmu.run_on(1, &mut || other.pmap.activate(machine));
        for va in places {
            assert_eq!(mmu.load_as_kernel(0, va), None, "nothing is at {va:#x}");
        }
    }
    for (n, va) in places.into_iter().enumerate() {
        put(exam, &kernel, &watch, va, n);
        let found = kernel.query(machine, va).expect("it was entered");
        assert_eq!(found.frame, exam.frames[n]);
        if let Some(mmu) = exam.port.mmu() {
            for cpu in 0..2 {
                let tag = exam.tag(exam.frames[n]);
                assert_eq!(mmu.load_as_kernel(cpu, va), Some(tag), "{va:#x} on {cpu}");
                assert_eq!(mmu.load(cpu, va), None, "programs get at {va:#x}");
            }
        }
    }
    // A program's space of the same shape is none of it.
    one.put(exam.base(), 3, Prot::RW);
    assert_eq!(kernel.counts().mapped, 2);
    watch.begin(false);
    let mut gone = 0;
    let debt = kernel.remove(machine, &watch, range, |_| gone += 1);
    assert_eq!(gone, 2);
    watch.begin(true);
    debt.pay(machine, &kernel, &watch);
    if let Some(mmu) = exam.port.mmu() {
        for (cpu, va) in [
            (0, places[0]),
            (1, places[0]),
            (0, places[1]),
            (1, places[1]),
        ] {
            assert_eq!(mmu.load_as_kernel(cpu, va), None, "{va:#x} was removed");
        }
        assert_eq!(mmu.stale(kernel.root()), None);
    }
    watch.begin(false);
    kernel.check_invariants(machine, &watch);
    let theirs = one.query(exam.base()).expect("it is still there");
    assert_eq!(theirs.frame, exam.frames[3]);
    one.end();
    other.end();
}

fn ends_and_begins<P: Port>(exam: &Exam<P>) {
    let Some(range) = exam.port.kernel() else {
        return;
    };
    let (watch, machine) = (exam.watch(), exam.port.machine());
    let mut kernel = make(exam, &watch, &range);
    let shared = watch.live();
    let space_watch = exam.watch();
    let space = Space::active(exam, &space_watch);
    for n in 0..2 {
        put(exam, &kernel, &watch, range.start, n);
        if let Some(mmu) = exam.port.mmu() {
            let tag = exam.tag(exam.frames[n]);
            assert_eq!(mmu.load_as_kernel(0, range.start), Some(tag));
        }
        watch.begin(true);
        kernel.destroy(machine, &watch);
        assert_eq!(watch.live(), shared, "the tables that spaces share stay");
        if let Some(mmu) = exam.port.mmu() {
            assert_eq!(mmu.load_as_kernel(0, range.start), None, "it has ended");
        }
        watch.begin(false);
        kernel = make(exam, &watch, &range);
        assert_eq!(watch.live(), shared, "and are used again");
    }
    let none: Debt = kernel.remove(machine, &watch, range, |_| ());
    assert!(!none.is_owed(), "nothing was left");
    space.end();
}
