//! Spaces come, are used by processors, and go.

use scalvm::{OutOfMemory, PAGE_SIZE, Pmap, PmapCounts, Prot};

use super::Check;
use super::exam::{Exam, PmapOf, Space};
use super::port::Port;

pub(super) fn checks<P: Port>() -> Vec<Check<P>> {
    vec![
        ("new_is_empty", new_is_empty),
        ("new_without_memory_changes_nothing", new_without_memory),
        ("roots_tell_spaces_apart", roots_tell_spaces_apart),
        (
            "cpus_are_those_where_it_is_active",
            cpus_are_those_where_it_is_active,
        ),
        ("destroy_frees_all_tables", destroy_frees_all_tables),
        (
            "spaces_do_not_touch_each_other",
            spaces_do_not_touch_each_other,
        ),
    ]
}

fn new_is_empty<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    assert_eq!(
        space.pmap.counts(),
        PmapCounts {
            mapped: 0,
            large: 0,
            tables: watch.live()
        }
    );
    let addresses = exam.port.addresses();
    for va in [addresses.start, exam.base(), addresses.end - PAGE_SIZE] {
        space.expect_nothing(va);
    }
    let (gone, debt) = space.remove(addresses);
    assert!(
        gone.is_empty() && !debt.is_owed(),
        "there is nothing to remove"
    );
    assert!(
        !space.write_protect_all().is_owed(),
        "there is nothing to protect"
    );
    space.end();
}

fn new_without_memory<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    for allowed in 0..64 {
        watch.begin(false);
        watch.allow(Some(allowed));
        match PmapOf::<P>::new(exam.port.machine(), &watch) {
            Err(OutOfMemory) => assert_eq!(watch.live(), 0, "tables are left"),
            Ok(mut pmap) => {
                watch.begin(true);
                pmap.destroy(exam.port.machine(), &watch);
                assert_eq!(watch.live(), 0, "tables are left");
                return;
            }
        }
    }
    panic!("a space cannot be made of 63 tables");
}

fn roots_tell_spaces_apart<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let (one, other) = (PmapOf::<P>::new(exam.port.machine(), &watch), exam.watch());
    let mut one = one.expect("there is memory for a space");
    let other = Space::new(exam, &other);
    assert_ne!(one.root(), other.pmap.root());
    let root = other.pmap.root();
    other.put(exam.base(), 0, Prot::RW);
    assert_eq!(other.pmap.root(), root, "the root changes");
    other.end();
    watch.begin(true);
    one.destroy(exam.port.machine(), &watch);
}

fn cpus_are_those_where_it_is_active<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::new(exam, &watch);
    assert_eq!(space.pmap.cpus(), 0);
    let Some(mmu) = space.mmu() else {
        return space.end();
    };
    space.put(exam.base(), 0, Prot::READ);
    mmu.run_on(1, &mut || space.pmap.activate(space.machine()));
    assert_eq!(space.pmap.cpus(), 0b10);
    assert!(mmu.load(1, exam.base()).is_some());
    mmu.run_on(0, &mut || space.pmap.activate(space.machine()));
    assert_eq!(space.pmap.cpus(), 0b11);
    mmu.run_on(1, &mut || space.pmap.deactivate(space.machine()));
    assert_eq!(space.pmap.cpus(), 0b01);
    space.end();
}

fn destroy_frees_all_tables<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let end = exam.port.addresses().end;
    for n in 0..20 {
        space.put(exam.base() + (n << 21), n, Prot::RW);
        space.put(exam.base() + ((n + 1) << 31), n + 1, Prot::RW);
        space.put(end - (n + 1) * PAGE_SIZE, n + 2, Prot::READ);
    }
    space.end();
}

fn spaces_do_not_touch_each_other<P: Port>(exam: &Exam<P>) {
    let watches = [exam.watch(), exam.watch()];
    let [one, other] = [0, 1].map(|n| Space::new(exam, &watches[n]));
    if let Some(mmu) = one.mmu() {
        mmu.run_on(0, &mut || one.pmap.activate(one.machine()));
        mmu.run_on(1, &mut || other.pmap.activate(other.machine()));
    }
    let va = exam.base();
    one.put(va, 1, Prot::RW);
    other.put(va, 2, Prot::RW);
    one.put(va + PAGE_SIZE, 3, Prot::RW);
    one.pay(one.write_protect_all());
    assert_eq!(
        one.query(va).map(|m| m.prot),
        Some(exam.port.granted(Prot::READ))
    );
    assert_eq!(
        other.query(va).map(|m| m.prot),
        Some(exam.port.granted(Prot::RW))
    );
    assert_eq!(other.query(va + PAGE_SIZE), None);
    if let Some(mmu) = one.mmu() {
        let loaded = [0, 1].map(|cpu| mmu.load(cpu, va));
        assert_eq!(loaded, [1, 2].map(|n| Some(exam.tag(one.frame(n)))));
        assert!(!mmu.store(0, va, 0) && mmu.store(1, va, exam.tag(one.frame(2))));
        assert_eq!(mmu.load(1, va + PAGE_SIZE), None);
    }
    let (gone, debt) = one.remove(exam.port.addresses());
    assert_eq!(gone.len(), 2);
    one.pay(debt);
    assert!(other.query(va).is_some());
    one.end();
    other.end();
}
