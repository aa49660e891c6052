//! `enter_large`, and what becomes of a large leaf of which a part is changed. For ports without large
//! leaves there is nothing to be checked but that they say so.

use std::ops::Range;

use scalvm::{Access, Clear, OutOfMemory, PAGE_SIZE, Pmap, Prot};

use super::Check;
use super::exam::{Exam, Space, how, page};
use super::port::Port;

pub(super) fn checks<P: Port>() -> Vec<Check<P>> {
    vec![
        ("enter_large_maps_each_page", enter_large_maps_each_page),
        (
            "enter_large_refuses_what_it_cannot_map",
            enter_large_refuses,
        ),
        ("enter_large_without_memory_changes_nothing", without_memory),
        ("a_large_leaf_is_changed_as_a_whole", changed_as_a_whole),
        ("a_part_of_a_large_leaf_is_changed_alone", changed_in_part),
        ("a_large_leaf_loses_no_dirty_bit", loses_no_dirty_bit),
        ("write_protect_all_is_lifted_for_one_page_of_many", lifted),
        ("entering_what_is_there_splits_nothing", splits_nothing),
    ]
}

/// What is tried on a large leaf.
struct Tried<'a, P: Port> {
    space: Space<'a, P>,
    /// The first address that the leaf maps.
    base: usize,
    /// The number of the first frame.
    first: usize,
    pages: usize,
}

impl<P: Port> Tried<'_, P> {
    fn at(&self, n: usize) -> usize {
        self.base + n * PAGE_SIZE
    }

    fn all(&self) -> Range<usize> {
        self.base..self.at(self.pages)
    }

    /// Some of the pages, the first and the last with them.
    fn some(&self) -> impl Iterator<Item = usize> + use<'_, P> {
        (0..self.pages).filter(|n| n % 29 < 5 || n + 1 == self.pages)
    }

    /// Asserts what is mapped, page by page.
    fn expect(&self, prot: impl Fn(usize) -> Option<Prot>) {
        for n in self.some() {
            match prot(n) {
                Some(prot) => self.space.expect(self.at(n), self.first + n, prot),
                None => self.space.expect_nothing(self.at(n)),
            }
        }
        let mapped = (0..self.pages).filter(|n| prot(*n).is_some()).count();
        assert_eq!(self.space.pmap.counts().mapped, mapped, "pages mapped");
    }

    fn large(&self) -> usize {
        self.space.pmap.counts().large
    }
}

/// Enters a large leaf, and has both processors use some of its pages, which then are cached.
fn with_large<P: Port>(exam: &Exam<P>, prot: Prot, then: impl FnOnce(Tried<'_, P>)) {
    let watch = exam.watch();
    let space = Space::active(exam, &watch);
    let pages = space.pmap.large_pages();
    assert!(pages.is_power_of_two(), "{pages} pages");
    let Some(first) = exam.rows.first().copied().filter(|_| pages > 1) else {
        space.end();
        return;
    };
    let tried = Tried {
        base: exam.base() + pages * PAGE_SIZE,
        space,
        first,
        pages,
    };
    let entered = tried
        .space
        .enter_large(tried.base, first, prot, Access::Read);
    assert_eq!(entered, Ok(true));
    assert_eq!(tried.large(), 1);
    tried.expect(|_| Some(prot));
    then(tried);
}

fn enter_large_maps_each_page<P: Port>(exam: &Exam<P>) {
    for prot in [Prot::READ, Prot::RW, Prot::RX, Prot::all()] {
        with_large(exam, prot, |tried| {
            let space = &tried.space;
            if prot.contains(Prot::WRITE) {
                space.store(1, tried.at(tried.pages - 1), tried.first + tried.pages - 1);
            }
            space.expect_nothing(tried.base - PAGE_SIZE);
            space.expect_nothing(tried.at(tried.pages));
            let frames = [space.frame(0); 8];
            assert_eq!(
                space.fill(tried.base, &frames, prot),
                0,
                "fill has replaced"
            );
            tried.expect(|_| Some(prot));
            assert_eq!(tried.large(), 1);
            tried.space.end();
        });
    }
}

fn enter_large_refuses<P: Port>(exam: &Exam<P>) {
    with_large(exam, Prot::RW, |tried| {
        let (space, first) = (&tried.space, tried.first);
        let refused = |va, n| {
            let before = (space.pmap.counts(), space.watch.live());
            let entered = space.enter_large(va, n, Prot::RW, Access::Read);
            assert_eq!(entered, Ok(false), "at {va:#x}");
            assert_eq!((space.pmap.counts(), space.watch.live()), before);
        };
        refused(tried.base, first);
        refused(tried.at(tried.pages + 1), first);
        refused(tried.at(tried.pages), first + 1);
        // One page lies where the second one would.
        space.put(tried.at(2 * tried.pages - 1), 0, Prot::READ);
        refused(tried.at(tried.pages), first);
        space.pay(space.remove(page(tried.at(2 * tried.pages - 1))).1);
        let next = tried.at(tried.pages);
        assert_eq!(
            space.enter_large(next, first, Prot::RW, Access::Read),
            Ok(true)
        );
        assert_eq!(tried.large(), 2);
        tried.space.end();
    });
}

fn without_memory<P: Port>(exam: &Exam<P>) {
    with_large(exam, Prot::RW, |tried| {
        let space = &tried.space;
        let far = tried.base + (1 << 38);
        for allowed in 0.. {
            let before = (space.pmap.counts(), space.watch.live());
            space.watch.allow(Some(allowed));
            let entered = space.enter_large(far, tried.first, Prot::RW, Access::Read);
            space.watch.allow(None);
            match entered {
                Ok(entered) => {
                    assert!(entered && allowed > 0, "with {allowed} frames");
                    break;
                }
                Err(OutOfMemory) => {
                    assert_eq!((space.pmap.counts(), space.watch.live()), before);
                }
            }
        }
        space.expect(far, tried.first, Prot::RW);
        tried.space.end();
    });
}

fn changed_as_a_whole<P: Port>(exam: &Exam<P>) {
    with_large(exam, Prot::all(), |tried| {
        let space = &tried.space;
        space.pay(space.protect(tried.all(), Prot::RW));
        tried.expect(|_| Some(Prot::RW));
        space.store(1, tried.at(3), tried.first + 3);
        let clear = Clear {
            accessed: true,
            dirty: true,
        };
        let (seen, debt) = space.harvest(tried.all(), clear);
        space.pay(debt);
        assert_eq!(seen.len(), tried.pages);
        if space.mmu().is_some() {
            assert!(seen.iter().all(|m| m.accessed && m.dirty), "a leaf's bits");
        }
        let (seen, _) = space.harvest(tried.all(), clear);
        assert!(!seen.iter().any(|m| m.accessed || m.dirty));
        assert_eq!(tried.large(), 1, "it is split, and no part was changed");
        tried.expect(|_| Some(Prot::RW));
        let (gone, debt) = space.remove(tried.all());
        space.pay(debt);
        let frames: Vec<_> = gone.iter().map(|m| m.frame).collect();
        let expected: Vec<_> = (0..tried.pages)
            .map(|n| space.frame(tried.first + n))
            .collect();
        assert_eq!(frames, expected);
        tried.expect(|_| None);
        assert_eq!(
            (tried.large(), space.watch.live()),
            (0, 1),
            "only the root is left"
        );
        tried.space.end();
    });
}

/// Changes pages in all ways, without any memory.
fn changed_in_part<P: Port>(exam: &Exam<P>) {
    let last = |tried: &Tried<'_, P>| tried.pages - 1;
    for chosen in [|_: usize| 0, |last| last, |last| last / 2] {
        let all = Clear {
            accessed: true,
            dirty: true,
        };
        with_large(exam, Prot::RW, |tried| {
            let gone = chosen(last(&tried));
            tried.space.watch.allow(Some(0));
            tried.space.pay(tried.space.remove(page(tried.at(gone))).1);
            tried.space.watch.allow(None);
            tried.expect(|n| (n != gone).then_some(Prot::RW));
            assert_eq!(tried.large(), 0);
            tried.space.end();
        });
        with_large(exam, Prot::RW, |tried| {
            let less = chosen(last(&tried));
            tried.space.watch.allow(Some(0));
            let debt = tried.space.protect(page(tried.at(less)), Prot::READ);
            tried.space.pay(debt);
            tried.space.watch.allow(None);
            tried.expect(|n| Some(if n == less { Prot::READ } else { Prot::RW }));
            tried.space.end();
        });
        with_large(exam, Prot::RW, |tried| {
            let seen = chosen(last(&tried));
            tried.space.watch.allow(Some(0));
            let (found, debt) = tried.space.harvest(page(tried.at(seen)), all);
            tried.space.pay(debt);
            tried.space.watch.allow(None);
            assert!(found.len() == 1 && found[0].accessed);
            let bits = |n| tried.space.query(tried.at(n)).map(|m| m.accessed);
            for n in tried.some() {
                assert_eq!(bits(n), Some(n != seen), "whether page {n} was accessed");
            }
            tried.expect(|_| Some(Prot::RW));
            tried.space.end();
        });
        with_large(exam, Prot::RW, |tried| {
            let space = &tried.space;
            let other = chosen(last(&tried));
            space.watch.allow(Some(0));
            let old = space.enter(
                tried.at(other),
                how(space.frame(0), Prot::READ, Access::Read),
            );
            space.watch.allow(None);
            assert_eq!(old.map(|m| m.frame), Some(space.frame(tried.first + other)));
            space.expect(tried.at(other), 0, Prot::READ);
            for n in tried.some().filter(|n| *n != other) {
                space.expect(tried.at(n), tried.first + n, Prot::RW);
            }
            tried.space.end();
        });
    }
}

fn loses_no_dirty_bit<P: Port>(exam: &Exam<P>) {
    with_large(exam, Prot::RW, |tried| {
        let space = &tried.space;
        let stored = space.store(1, tried.at(1), tried.first + 1);
        space.pay(space.remove(page(tried.base)).1);
        let dirty = space.query(tried.at(1)).map(|m| m.dirty);
        assert_eq!(
            dirty,
            Some(stored),
            "what was stored before the leaf was split"
        );
        let clean = Clear {
            accessed: false,
            dirty: true,
        };
        space.pay(space.harvest(tried.all(), clean).1);
        // Each page has bits of its own now.
        let stored = space.store(0, tried.at(2), tried.first + 2);
        let (seen, debt) = space.harvest(tried.all(), clean);
        space.pay(debt);
        for mapping in seen {
            let is_it = mapping.va == tried.at(2);
            assert_eq!(mapping.dirty, stored && is_it, "{:#x}", mapping.va);
        }
        tried.space.end();
    });
}

fn lifted<P: Port>(exam: &Exam<P>) {
    with_large(exam, Prot::RW, |tried| {
        let space = &tried.space;
        space.pay(space.write_protect_all());
        tried.expect(|_| Some(Prot::READ));
        assert_eq!(tried.large(), 1);
        let frame = space.frame(tried.first + 2);
        space.enter(tried.at(2), how(frame, Prot::RW, Access::Write));
        tried.expect(|n| Some(if n == 2 { Prot::RW } else { Prot::READ }));
        assert_eq!(tried.large(), 0);
        tried.space.end();
    });
}

fn splits_nothing<P: Port>(exam: &Exam<P>) {
    with_large(exam, Prot::RW, |tried| {
        let space = &tried.space;
        let frame = space.frame(tried.first + 2);
        space.watch.allow(Some(0));
        let old = space.enter(tried.at(2), how(frame, Prot::RW, Access::Write));
        space.watch.allow(None);
        assert!(old.is_some_and(|old| old.frame == frame && !old.dirty));
        assert!(space.query(tried.at(2)).is_some_and(|m| m.dirty));
        assert_eq!(tried.large(), 1);
        tried.expect(|_| Some(Prot::RW));
        tried.space.end();
    });
}
