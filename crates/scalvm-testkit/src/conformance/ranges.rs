//! `remove`, `protect`, `write_protect_all` and `harvest`.

use scalvm::{Access, Clear, PAGE_SIZE, Pmap, Prot};

use super::Check;
use super::exam::{Exam, Space, how, page};
use super::port::Port;

pub(super) fn checks<P: Port>() -> Vec<Check<P>> {
    vec![
        ("remove_reports_each_mapping_once", remove_reports_each),
        (
            "remove_leaves_what_is_outside",
            remove_leaves_what_is_outside,
        ),
        ("remove_reports_dirty_bits", remove_reports_dirty),
        ("remove_frees_empty_tables", remove_frees_tables),
        (
            "remove_flushes_the_way_to_tables_it_frees",
            remove_flushes_the_way,
        ),
        (
            "remove_and_enter_before_the_debt_is_paid",
            remove_and_enter_unpaid,
        ),
        ("ranges_cost_what_is_mapped", ranges_cost_what_is_mapped),
        ("protect_takes_rights_and_gives_none", protect_takes),
        (
            "protect_leaves_what_is_outside",
            protect_leaves_what_is_outside,
        ),
        (
            "write_protect_all_takes_writing_everywhere",
            write_protect_all_takes,
        ),
        (
            "write_protect_all_is_lifted_for_one_page_alone",
            write_protect_all_is_lifted,
        ),
        ("harvest_clears_what_is_asked_for", harvest_clears),
        (
            "harvest_sees_new_writes_after_the_debt_is_paid",
            harvest_sees_new_writes,
        ),
        (
            "harvest_then_remove_before_the_debt_is_paid",
            harvest_then_remove_unpaid,
        ),
    ]
}

fn remove_reports_each<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let addresses = exam.port.addresses();
    // Dense, sparse, and at both ends of the addresses.
    let mut vas: Vec<usize> = (0..40).map(|n| exam.base() + n * PAGE_SIZE).collect();
    vas.extend((1..20).map(|n| exam.base() + n * (37 << 20)));
    vas.push(addresses.end - PAGE_SIZE);
    if exam.base() != addresses.start {
        vas.push(addresses.start);
    }
    for (n, va) in vas.iter().enumerate() {
        space.put(*va, n, Prot::RW);
        space.expect(*va, n, Prot::RW);
    }
    let (gone, debt) = space.remove(addresses);
    assert!(
        space.mmu().is_none() || debt.is_owed(),
        "the translations may be cached"
    );
    space.pay(debt);
    let mut expected: Vec<_> = vas
        .iter()
        .enumerate()
        .map(|(n, va)| (*va, space.frame(n)))
        .collect();
    expected.sort();
    let found: Vec<_> = gone.iter().map(|m| (m.va, m.frame)).collect();
    assert_eq!(found, expected, "what was removed");
    for mapping in gone {
        assert_eq!(mapping.prot, exam.port.granted(Prot::RW));
        assert!(mapping.accessed && mapping.managed);
        space.expect_nothing(mapping.va);
    }
    assert_eq!(space.pmap.counts().mapped, 0);
    space.end();
}

fn remove_leaves_what_is_outside<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    // Ranges whose ends lie anywhere in a table, and over the ends of tables.
    for (start, len) in [
        (1, 1),
        (7, 1),
        (7, 2),
        (8, 8),
        (9, 17),
        (500, 30),
        (511, 1),
        (512, 600),
    ] {
        let at = |n: usize| exam.base() + n * PAGE_SIZE;
        let pages = [
            start - 1,
            start,
            start + len / 2,
            start + len - 1,
            start + len,
        ];
        for n in pages {
            space.enter(at(n), how(space.frame(n), Prot::RW, Access::Read));
        }
        let (_, debt) = space.remove(at(start)..at(start + len));
        space.pay(debt);
        space.expect(at(start - 1), start - 1, Prot::RW);
        space.expect(at(start + len), start + len, Prot::RW);
        for n in &pages[1..4] {
            space.expect_nothing(at(*n));
        }
        assert_eq!(space.pmap.counts().mapped, 2);
        let (gone, debt) = space.remove(at(start)..at(start));
        assert!(gone.is_empty() && !debt.is_owed(), "an empty range");
        space.pay(space.remove(exam.port.addresses()).1);
    }
    space.end();
}

fn remove_reports_dirty<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let va = exam.base();
    space.put(va, 0, Prot::RW);
    space.enter(va + PAGE_SIZE, how(space.frame(1), Prot::RW, Access::Write));
    space.put(va + 2 * PAGE_SIZE, 2, Prot::RW);
    let stored = space.store(1, va + 2 * PAGE_SIZE, 2);
    let (gone, debt) = space.remove(va..va + 3 * PAGE_SIZE);
    let dirty: Vec<bool> = gone.iter().map(|m| m.dirty).collect();
    assert_eq!(dirty, [false, true, stored]);
    space.pay(debt);
    space.end();
}

fn remove_frees_tables<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let empty = watch.live();
    for round in 0..2 {
        for n in 0..10 {
            space.put(exam.base() + (n << 32), n, Prot::RW);
            space.expect(exam.base() + (n << 32), n, Prot::RW);
        }
        // One by one, so that a debt is owed for each table.
        for n in 0..10 {
            let (_, debt) = space.remove(page(exam.base() + (n << 32)));
            space.pay(debt);
        }
        assert_eq!(
            watch.live(),
            empty,
            "round {round}: tables are left that are empty"
        );
    }
    space.end();
}

/// A processor may know the way to a table whose only mapping it has never used.
fn remove_flushes_the_way<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let va = exam.base();
    // Often, since processors guess ahead by chance.
    for _ in 0..40 {
        space.put(va, 0, Prot::RW);
        space.fill(va + PAGE_SIZE, &[space.frame(1)], Prot::RW);
        space.pay(space.remove(page(va)).1);
        space.expect_nothing(va);
        space.pay(space.remove(page(va + PAGE_SIZE)).1);
        space.expect_nothing(va + PAGE_SIZE);
    }
    space.end();
}

fn remove_and_enter_unpaid<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let va = exam.base();
    space.put(va, 0, Prot::RW);
    space.expect(va, 0, Prot::RW);
    let (_, first) = space.remove(page(va));
    let entered = space.try_enter(va, how(space.frame(1), Prot::RW, Access::Read));
    let (old, second) = entered.expect("there is memory for tables");
    assert_eq!(old, None);
    let (_, third) = space.remove(page(va));
    let entered = space.try_enter(
        va + PAGE_SIZE,
        how(space.frame(2), Prot::READ, Access::Read),
    );
    let (_, fourth) = entered.expect("there is memory for tables");
    // In no particular order; only after the last is all well.
    for debt in [third, first, fourth, second] {
        watch.begin(true);
        debt.pay(space.machine(), &space.pmap, &watch);
    }
    space.expect_nothing_stale();
    space.expect_nothing(va);
    space.expect(va + PAGE_SIZE, 2, Prot::READ);
    space.end();
}

/// A port that looked at each page of these ranges would not come back.
fn ranges_cost_what_is_mapped<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let all = exam.port.addresses();
    for round in 0..100 {
        for n in 0..3 {
            space.put(exam.base() + (n << 37) + (n << 13), n + round, Prot::RW);
        }
        let clear = Clear {
            accessed: true,
            dirty: true,
        };
        let (seen, debt) = space.harvest(all.clone(), clear);
        space.pay(debt);
        space.pay(space.protect(all.clone(), Prot::READ));
        let (gone, debt) = space.remove(all.clone());
        space.pay(debt);
        assert_eq!((seen.len(), gone.len()), (3, 3));
    }
    space.end();
}

fn protect_takes<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let rights = [Prot::READ, Prot::RW, Prot::RX, Prot::all()];
    for before in rights {
        for taken in rights {
            let va = exam.base();
            space.put(va, 0, before);
            space.expect(va, 0, before);
            if before.contains(Prot::WRITE) {
                space.store(0, va, 0);
            }
            let debt = space.protect(page(va), taken);
            let lost = exam
                .port
                .granted(before)
                .difference(exam.port.granted(taken));
            let cached = space.mmu().is_some();
            assert!(
                lost.is_empty() || !cached || debt.is_owed(),
                "{before:?} lost {lost:?}"
            );
            space.pay(debt);
            space.expect(va, 0, before & taken);
            let (gone, debt) = space.remove(page(va));
            let dirty = cached && before.contains(Prot::WRITE);
            assert_eq!(gone[0].dirty, dirty, "the dirty bit after protect");
            space.pay(debt);
        }
    }
    space.end();
}

fn protect_leaves_what_is_outside<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let at = |n: usize| exam.base() + n * PAGE_SIZE;
    for n in 505..520 {
        space.put(at(n), n, Prot::RW);
        space.store(0, at(n), n);
    }
    space.pay(space.protect(at(510)..at(515), Prot::READ));
    for n in 505..520 {
        let prot = if (510..515).contains(&n) {
            Prot::READ
        } else {
            Prot::RW
        };
        space.expect(at(n), n, prot);
    }
    space.pay(space.protect(at(508)..at(508), Prot::READ));
    space.expect(at(508), 508, Prot::RW);
    space.end();
}

fn write_protect_all_takes<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let vas: Vec<usize> = (0..30)
        .map(|n| exam.base() + n * PAGE_SIZE + (n / 5) * (5 << 30))
        .collect();
    for (n, va) in vas.iter().enumerate() {
        let prot = [Prot::RW, Prot::all(), Prot::READ, Prot::RX][n % 4];
        space.put(*va, n, prot);
        if prot.contains(Prot::WRITE) {
            space.store(n % 2, *va, n);
        }
    }
    let debt = space.write_protect_all();
    assert!(space.mmu().is_none() || debt.is_owed(), "rights were taken");
    space.pay(debt);
    for (n, va) in vas.iter().enumerate() {
        let prot = if n % 2 == 0 { Prot::READ } else { Prot::RX };
        space.expect(*va, n, prot);
        let dirty = space.mmu().is_some() && n % 4 < 2;
        assert_eq!(
            space.query(*va).map(|m| m.dirty),
            Some(dirty),
            "the dirty bit at {va:#x}"
        );
    }
    // What is entered from now on can be written.
    space.put(exam.base() + (1 << 35), 31, Prot::RW);
    space.expect(exam.base() + (1 << 35), 31, Prot::RW);
    space.end();
}

fn write_protect_all_is_lifted<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let vas = [0, 1 << 12, 9 << 12, 1 << 21, 3 << 30, 1 << 38].map(|at| exam.base() + at);
    for (n, va) in vas.into_iter().enumerate() {
        space.put(va, n, Prot::RW);
        space.store(0, va, n);
    }
    space.pay(space.write_protect_all());
    // Lifted page by page, some with another frame, as copying on write does it.
    let mut frames = [0, 1, 2, 3, 4, 5];
    for i in 0..vas.len() {
        if i % 2 == 0 {
            frames[i] += 20;
        }
        let old = space.enter(vas[i], how(space.frame(frames[i]), Prot::RW, Access::Write));
        let old = old.expect("the old mapping");
        assert_eq!(
            old.prot,
            exam.port.granted(Prot::READ),
            "the rights of what was replaced"
        );
        for (j, va) in vas.into_iter().enumerate() {
            space.expect(va, frames[j], if j <= i { Prot::RW } else { Prot::READ });
        }
        space.store(1, vas[i], frames[i]);
        // And once more all are protected, half way.
        if i == 2 {
            space.pay(space.write_protect_all());
            for (j, va) in vas.into_iter().enumerate() {
                space.expect(va, frames[j], Prot::READ);
            }
            for (j, va) in vas.into_iter().enumerate().take(3) {
                space.enter(va, how(space.frame(frames[j]), Prot::RW, Access::Write));
            }
        }
    }
    space.end();
}

fn harvest_clears<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let va = exam.base();
    for (accessed, dirty) in [(false, false), (true, false), (false, true), (true, true)] {
        space.enter(va, how(space.frame(0), Prot::RW, Access::Write));
        space.put(va + PAGE_SIZE, 1, Prot::RW);
        let (seen, debt) = space.harvest(page(va), Clear { accessed, dirty });
        assert_eq!(seen.len(), 1, "one mapping lies in the range");
        assert!(
            seen[0].accessed && seen[0].dirty,
            "as it was before: {:?}",
            seen[0]
        );
        space.pay(debt);
        let now = space.query(va).expect("harvest removes nothing");
        assert_eq!((now.accessed, now.dirty), (!accessed, !dirty));
        assert!(
            space.query(va + PAGE_SIZE).is_some_and(|m| m.accessed),
            "not in the range"
        );
        space.pay(space.remove(va..va + 2 * PAGE_SIZE).1);
    }
    space.end();
}

fn harvest_sees_new_writes<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let va = exam.base();
    space.put(va, 0, Prot::RW);
    let clear = Clear {
        accessed: true,
        dirty: true,
    };
    for _ in 0..3 {
        let stored = space.store(0, va, 0);
        let (seen, debt) = space.harvest(page(va), clear);
        assert_eq!(seen[0].dirty, stored, "a write since the last harvest");
        assert!(!stored || seen[0].accessed);
        space.pay(debt);
    }
    let (seen, debt) = space.harvest(page(va), clear);
    assert!(
        !seen[0].dirty && !seen[0].accessed,
        "nothing since the last harvest"
    );
    space.pay(debt);
    space.end();
}

fn harvest_then_remove_unpaid<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let va = exam.base();
    space.put(va + PAGE_SIZE, 1, Prot::RW);
    space.put(va, 0, Prot::RW);
    space.expect(va, 0, Prot::RW);
    let (_, unpaid) = space.harvest(
        page(va),
        Clear {
            accessed: true,
            dirty: true,
        },
    );
    // Whoever removes the page pays for it alone, and may then use the frame.
    let (_, debt) = space.remove(page(va));
    space.pay(debt);
    space.expect_nothing(va);
    space.pay(unpaid);
    space.end();
}
