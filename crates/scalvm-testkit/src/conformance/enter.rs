//! `enter`, `fill` and `query`.

use scalvm::{Access, Cache, Enter, Frame, Mapping, OutOfMemory, PAGE_SIZE, Pmap, Prot};

use super::Check;
use super::exam::{Exam, Space, how, page};
use super::port::Port;

pub(super) fn checks<P: Port>() -> Vec<Check<P>> {
    vec![
        (
            "enter_grants_exactly_the_rights_asked_for",
            enter_grants_exactly,
        ),
        ("enter_presets_bits_for_the_access", enter_presets_bits),
        ("enter_replaces_and_says_what_was_there", enter_replaces),
        (
            "enter_takes_rights_away_only_with_a_debt",
            enter_takes_rights,
        ),
        ("enter_gives_rights_at_once", enter_gives_rights),
        (
            "enter_of_the_same_frame_loses_no_dirty_bit",
            enter_same_frame_keeps_dirty,
        ),
        ("enter_without_memory_changes_nothing", enter_without_memory),
        ("enter_tells_managed_from_device", enter_tells_managed),
        ("fill_enters_where_nothing_is", fill_enters_where_nothing_is),
        ("fill_sets_no_accessed_bit", fill_sets_no_accessed_bit),
        ("fill_never_allocates", fill_never_allocates),
        (
            "fill_grants_exactly_the_rights_asked_for",
            fill_grants_exactly,
        ),
        ("counts_follow", counts_follow),
    ]
}

/// All rights that can be asked for.
const RIGHTS: [Prot; 5] = [
    Prot::READ,
    Prot::EXEC,
    Prot::RW,
    Prot::RX,
    Prot::RW.union(Prot::EXEC),
];

fn enter_grants_exactly<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    for (n, prot) in RIGHTS.into_iter().enumerate() {
        // The pages lie side by side, and far apart.
        for va in [exam.base() + n * PAGE_SIZE, exam.base() + ((n + 1) << 33)] {
            space.put(va, n, prot);
            space.expect(va, n, prot);
            if prot.contains(Prot::WRITE) {
                space.store(1, va, n);
            }
            space.expect_nothing(va + 16 * PAGE_SIZE);
        }
    }
    // What came later has changed nothing.
    for (n, prot) in RIGHTS.into_iter().enumerate() {
        space.expect(exam.base() + n * PAGE_SIZE, n, prot);
    }
    space.end();
}

fn enter_presets_bits<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    for (n, access) in [Access::Read, Access::Write, Access::Exec]
        .into_iter()
        .enumerate()
    {
        let va = exam.base() + n * PAGE_SIZE;
        assert_eq!(
            space.enter(va, how(space.frame(n), Prot::all(), access)),
            None
        );
        let found = space.query(va).expect("just entered");
        assert!(found.accessed, "{access:?}: the accessed bit is preset");
        assert_eq!(
            found.dirty,
            access == Access::Write,
            "{access:?}: the dirty bit"
        );
    }
    space.end();
}

fn enter_replaces<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let va = exam.base();
    space.enter(va, how(space.frame(0), Prot::RW, Access::Write));
    space.expect(va, 0, Prot::RW);
    let (old, debt) = space
        .try_enter(va, how(space.frame(1), Prot::READ, Access::Read))
        .expect("no table is lacking");
    let mapping = Mapping {
        va,
        frame: space.frame(0),
        prot: exam.port.granted(Prot::RW),
        accessed: true,
        dirty: true,
        managed: true,
        large: false,
    };
    assert_eq!(old, Some(mapping), "what was there");
    assert!(
        space.mmu().is_none() || debt.is_owed(),
        "the old translation may be cached"
    );
    space.pay(debt);
    space.expect(va, 1, Prot::READ);
    assert_eq!(
        space.query(va).map(|m| m.dirty),
        Some(false),
        "the new frame is not dirty"
    );
    assert_eq!(space.pmap.counts().mapped, 1);
    space.end();
}

fn enter_takes_rights<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let va = exam.base();
    space.put(va, 0, Prot::all());
    for prot in [Prot::RX, Prot::READ] {
        if exam.port.granted(prot).contains(Prot::WRITE) {
            continue;
        }
        // Both processors use it.
        space.expect(va, 0, space.query(va).expect("it was entered").prot);
        let entered = space.try_enter(va, how(space.frame(0), prot, Access::Read));
        let (_, debt) = entered.expect("no table is lacking");
        assert!(
            space.mmu().is_none() || debt.is_owed(),
            "a right was taken: {prot:?} is left"
        );
        space.pay(debt);
        space.expect(va, 0, prot);
    }
    space.end();
}

fn enter_gives_rights<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let va = exam.base();
    space.put(va, 0, Prot::READ);
    space.expect(va, 0, Prot::READ);
    for (prot, access) in [(Prot::RX, Access::Exec), (Prot::all(), Access::Write)] {
        let old = space.enter(va, how(space.frame(0), prot, access));
        assert_eq!(old.map(|old| old.frame), Some(space.frame(0)));
        space.expect(va, 0, prot);
    }
    space.store(1, va, 0);
    space.end();
}

fn enter_same_frame_keeps_dirty<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let va = exam.base();
    space.put(va, 0, Prot::RW);
    space.enter(va, how(space.frame(0), Prot::RW, Access::Write));
    let old = space.enter(va, how(space.frame(0), Prot::READ, Access::Read));
    let told = old.is_some_and(|old| old.dirty);
    assert!(
        told || space.query(va).is_some_and(|m| m.dirty),
        "the dirty bit is lost"
    );
    assert!(
        space.query(va).is_some_and(|m| m.dirty),
        "the frame is dirty and does not say so"
    );
    space.end();
}

fn enter_without_memory<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let near = exam.base();
    let far = exam.port.addresses().end - PAGE_SIZE;
    space.put(near, 0, Prot::RW);
    // Under write protection, so that a way half lifted would show.
    space.pay(space.write_protect_all());
    let before = (space.pmap.counts(), watch.live());
    for allowed in 0..16 {
        watch.allow(Some(allowed));
        let result = space.try_enter(far, how(space.frame(1), Prot::RW, Access::Write));
        watch.allow(None);
        match result {
            Err(OutOfMemory) => {
                assert_eq!(
                    (space.pmap.counts(), watch.live()),
                    before,
                    "tables are left"
                );
                space.expect(near, 0, Prot::READ);
                space.expect_nothing(far);
            }
            Ok((old, debt)) => {
                assert_eq!(old, None);
                space.pay(debt);
                space.expect(far, 1, Prot::RW);
                space.expect(near, 0, Prot::READ);
                // Where no table is lacking, none is needed.
                watch.allow(Some(0));
                space.put(far - PAGE_SIZE, 2, Prot::RW);
                space.enter(near, how(space.frame(3), Prot::RW, Access::Write));
                return space.end();
            }
        }
    }
    panic!("a mapping cannot be entered with 15 tables");
}

fn enter_tells_managed<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let caches = [
        Cache::WriteBack,
        Cache::WriteThrough,
        Cache::WriteCombining,
        Cache::Uncached,
    ];
    for (n, cache) in caches.into_iter().enumerate() {
        let va = exam.base() + n * PAGE_SIZE;
        // The same frame, treated otherwise: what is cached of the first must not stay.
        for cache in [caches[(n + 1) % caches.len()], cache] {
            for managed in [true, false] {
                let frame = space.frame(n);
                space.enter(
                    va,
                    Enter {
                        cache,
                        managed,
                        ..how(frame, Prot::RW, Access::Read)
                    },
                );
                space.expect(va, n, Prot::RW);
                let told = space.query(va).map(|m| m.managed);
                assert_eq!(told, Some(managed), "{cache:?}");
            }
        }
    }
    space.end();
}

fn fill_enters_where_nothing_is<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let va = exam.base();
    let at = |n: usize| va + n * PAGE_SIZE;
    space.put(at(3), 40, Prot::RW);
    space.put(at(70), 41, Prot::READ);
    let count = exam.port.of_one_table().min(64);
    let mut frames: Vec<Frame> = (0..count).map(|n| space.frame(n)).collect();
    frames[5] = Frame::NONE;
    let entered = space.fill(va, &frames, Prot::READ);
    let all = u64::MAX >> (64 - count);
    assert_eq!(
        entered,
        all & !(1 << 3 | 1 << 5),
        "which frames were entered"
    );
    for n in 0..count {
        match n {
            3 => space.expect(at(n), 40, Prot::RW),
            5 => space.expect_nothing(at(n)),
            _ => space.expect(at(n), n, Prot::READ),
        }
    }
    space.expect_nothing(at(count));
    assert_eq!(space.fill(va, &frames, Prot::RW), 0, "a second time");
    space.expect(at(0), 0, Prot::READ);
    assert_eq!(space.fill(va, &[], Prot::READ), 0, "no frames");
    space.end();
}

fn fill_sets_no_accessed_bit<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    space.put(exam.base(), 0, Prot::RW);
    let va = exam.base() + PAGE_SIZE;
    assert_eq!(space.fill(va, &[space.frame(1)], Prot::READ), 1);
    let found = space.query(va).expect("just filled");
    assert!(
        !found.accessed && !found.dirty && found.managed,
        "{found:?}"
    );
    // Used or not, it can be removed and another put there.
    for use_it in [false, true] {
        if use_it {
            space.expect(va, 1, Prot::READ);
        }
        let (gone, debt) = space.remove(page(va));
        assert_eq!(gone.len(), 1);
        space.pay(debt);
        space.expect_nothing(va);
        space.put(va, 2, Prot::READ);
        space.expect(va, 2, Prot::READ);
        space.pay(space.remove(page(va)).1);
        space.fill(va, &[space.frame(1)], Prot::READ);
    }
    space.end();
}

fn fill_never_allocates<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let before = watch.allocations();
    let frames: Vec<Frame> = (0..64).map(|n| space.frame(n)).collect();
    let entered = space.fill(exam.base(), &frames, Prot::READ);
    assert_eq!(watch.allocations(), before, "fill has allocated");
    for n in 0..64 {
        let va = exam.base() + n * PAGE_SIZE;
        match entered >> n & 1 {
            0 => space.expect_nothing(va),
            _ => space.expect(va, n, Prot::READ),
        }
    }
    // Over the end of a table of leaves, whatever its size.
    for shift in 20..31 {
        let end = exam.base() + (1 << shift);
        space.put(end - 8 * PAGE_SIZE, 0, Prot::READ);
        let before = watch.allocations();
        let entered = space.fill(end - 4 * PAGE_SIZE, &frames[..8], Prot::READ);
        assert_eq!(watch.allocations(), before, "fill has allocated");
        for n in 0..8 {
            let mapped = space.query(end - 4 * PAGE_SIZE + n * PAGE_SIZE).is_some();
            assert!(
                mapped || entered >> n & 1 == 0,
                "frame {n} was entered, and is not there"
            );
        }
    }
    space.end();
}

fn fill_grants_exactly<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let va = exam.base();
    let other = va + (exam.port.of_one_table().min(101) - 1) * PAGE_SIZE;
    for (n, prot) in RIGHTS.into_iter().enumerate() {
        space.put(other, 50, Prot::RW);
        // Once plain, once where the right to write has been taken from the space.
        for protect in [false, true] {
            if protect {
                space.pay(space.write_protect_all());
            }
            assert_eq!(space.fill(va, &[space.frame(n)], prot), 1);
            space.expect(va, n, prot);
            if prot.contains(Prot::WRITE) {
                space.store(0, va, n);
            }
            let left = if protect { Prot::READ } else { Prot::RW };
            space.expect(other, 50, left);
            space.pay(space.remove(page(va)).1);
        }
        space.pay(space.remove(exam.port.addresses()).1);
    }
    space.end();
}

fn counts_follow<P: Port>(exam: &Exam<P>) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let mapped = || space.pmap.counts().mapped;
    let va = exam.base();
    space.put(va, 0, Prot::RW);
    space.put(va + (1 << 36), 1, Prot::RW);
    assert_eq!((mapped(), space.pmap.counts().tables), (2, watch.live()));
    space.enter(va, how(space.frame(2), Prot::RW, Access::Read));
    assert_eq!(mapped(), 2, "a replacement is no addition");
    space.fill(va, &[space.frame(3), space.frame(4)], Prot::READ);
    assert_eq!(mapped(), 3);
    space.pay(space.remove(va..va + 2 * PAGE_SIZE).1);
    assert_eq!((mapped(), space.pmap.counts().tables), (1, watch.live()));
    space.end();
}
