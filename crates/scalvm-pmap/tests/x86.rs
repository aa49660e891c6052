//! The x86_64 page tables, entry by entry.

mod common;

use std::sync::atomic::Ordering::Relaxed;

use common::Bare;
use scalvm::{
    Access, Cache, Clear, Debt, Enter, Frame, Machine, Mapping, OutOfMemory, PAGE_SIZE, Pmap,
    PmapCounts, Prot, Scope, TableFrames,
};
use scalvm_pmap::X86Pmap;

const VA: usize = 0x40_0000;

fn how(frame: u64, prot: Prot, access: Access) -> Enter {
    Enter {
        frame: Frame(frame),
        prot,
        access,
        cache: Cache::WriteBack,
        managed: true,
        origin: (0, 0),
    }
}

/// A space on a machine, checked after each step.
struct Setup {
    bare: Bare,
    pmap: X86Pmap,
}

impl Setup {
    fn new() -> Setup {
        Setup::on(Bare::new())
    }

    fn on(bare: Bare) -> Setup {
        let pmap = Pmap::<Bare>::new(&bare, &bare).unwrap();
        Setup { bare, pmap }
    }

    fn enter(&self, va: usize, how: Enter) -> (Option<Mapping>, Debt) {
        let done = self.pmap.enter(&self.bare, &self.bare, va, how).unwrap();
        self.check();
        done
    }

    fn put(&self, va: usize, frame: u64, prot: Prot) {
        let (old, debt) = self.enter(va, how(frame, prot, Access::Read));
        assert!(old.is_none() && !debt.is_owed());
    }

    fn query(&self, va: usize) -> Option<Mapping> {
        self.pmap.query(&self.bare, va)
    }

    fn prot(&self, va: usize) -> Prot {
        self.query(va).unwrap().prot
    }

    fn counts(&self) -> PmapCounts {
        Pmap::<Bare>::counts(&self.pmap)
    }

    fn remove(&self, start: usize, end: usize) -> (Vec<Mapping>, Debt) {
        let mut gone = Vec::new();
        let debt = self
            .pmap
            .remove(&self.bare, &self.bare, start..end, |m| gone.push(m));
        self.check();
        (gone, debt)
    }

    /// Pays a debt and tells what was flushed.
    fn pay(&self, debt: Debt) -> Scope {
        self.pmap.activate(&self.bare);
        debt.pay(&self.bare, &self.pmap, &self.bare);
        self.pmap.deactivate(&self.bare);
        let flushed = core::mem::take(&mut *self.bare.flushed.lock().unwrap());
        match flushed[..] {
            [] => Scope::Nothing,
            [(cpus, root, scope)] => {
                assert_eq!((cpus, root), (1 << 3, Pmap::<Bare>::root(&self.pmap)));
                scope
            }
            _ => panic!("{flushed:?}"),
        }
    }

    fn check(&self) {
        self.pmap.check_invariants(&self.bare, &self.bare);
    }

    /// The entry that the MMU finds at this level, by a walk of its own.
    fn entry(&self, va: usize, level: usize) -> *mut u64 {
        let mut frame = Pmap::<Bare>::root(&self.pmap);
        for upper in (level..4).rev() {
            let index = va >> (12 + 9 * upper) & 511;
            // SAFETY: an entry of a table; nobody else is about.
            let entry = unsafe { self.bare.frame_ptr(frame).cast::<u64>().add(index) };
            if upper == level {
                return entry;
            }
            // SAFETY: as above.
            frame = Frame::containing(unsafe { entry.read() } & 0x000f_ffff_ffff_f000);
        }
        unreachable!()
    }

    /// What that entry says.
    fn read(&self, va: usize, level: usize) -> u64 {
        // SAFETY: as in `entry`.
        unsafe { self.entry(va, level).read() }
    }

    /// The MMU sets bits in a leaf.
    fn set(&self, va: usize, bits: u64) {
        // SAFETY: as in `entry`.
        unsafe { *self.entry(va, 0) |= bits };
    }
}

fn page(va: usize) -> Scope {
    Scope::Range {
        start: va,
        end: va + PAGE_SIZE,
    }
}

#[test]
fn a_leaf_has_the_bits_of_the_manual() {
    let setup = Setup::new();
    let (_, debt) = setup.enter(VA, how(7, Prot::RX, Access::Exec));
    assert!(!debt.is_owed());
    // Present, user, accessed, managed (bit 9).
    assert_eq!(setup.read(VA, 0), 0x7225);
    setup.pay(setup.enter(VA, how(7, Prot::RW, Access::Write)).1);
    assert_eq!(setup.read(VA, 0), 0x8000_0000_0000_7267);
    let uncached = Enter {
        cache: Cache::Uncached,
        managed: false,
        ..how(8, Prot::RW, Access::Read)
    };
    setup.pay(setup.enter(VA, uncached).1);
    assert_eq!(setup.read(VA, 0), 0x8000_0000_0000_803f);
    let combining = Enter {
        cache: Cache::WriteCombining,
        managed: false,
        ..how(8, Prot::READ, Access::Read)
    };
    assert_eq!(
        setup.pay(setup.enter(VA, combining).1),
        page(VA),
        "another cache mode is a change"
    );
    assert_eq!(setup.read(VA, 0), 0x8000_0000_0000_802d);
    assert!(!setup.query(VA).unwrap().managed);
    let through = Enter {
        cache: Cache::WriteThrough,
        ..combining
    };
    setup.pay(setup.enter(VA, through).1);
    assert_eq!(setup.read(VA, 0), 0x8000_0000_0000_8035);
    let back = Enter {
        cache: Cache::WriteBack,
        ..combining
    };
    assert_eq!(setup.pay(setup.enter(VA, back).1), page(VA));
    assert_eq!(setup.read(VA, 0), 0x8000_0000_0000_8025);
    assert!(
        !setup.query(VA).unwrap().managed,
        "as memory, and yet not ours"
    );
    for level in 1..4 {
        assert_eq!(setup.read(VA, level) & 0x8000_0000_0000_0fff, 0x27);
    }
}

#[test]
fn tables_come_when_needed_and_go_when_empty() {
    let setup = Setup::new();
    let before = setup.bare.free_count();
    setup.put(VA, 7, Prot::RW);
    setup.put(VA + PAGE_SIZE, 8, Prot::RW);
    assert_eq!(
        setup.counts(),
        PmapCounts {
            mapped: 2,
            large: 0,
            tables: 4
        }
    );
    // Another table of leaves, under the same table.
    setup.put(VA + (2 << 20), 9, Prot::READ);
    // Another of each below the root.
    setup.put(0x7fff_ffff_f000, 10, Prot::READ);
    assert_eq!(
        setup.counts(),
        PmapCounts {
            mapped: 4,
            large: 0,
            tables: 8
        }
    );
    assert_eq!(setup.bare.free_count(), before - 7);

    let (gone, debt) = setup.remove(VA, VA + PAGE_SIZE);
    assert_eq!(gone.len(), 1);
    assert_eq!(setup.counts().tables, 8);
    assert_eq!(setup.pay(debt), page(VA));
    let (gone, debt) = setup.remove(0, 1 << 47);
    assert_eq!(
        gone.iter().map(|m| m.frame.0).collect::<Vec<_>>(),
        [8, 9, 10]
    );
    assert_eq!(
        setup.counts(),
        PmapCounts {
            mapped: 0,
            large: 0,
            tables: 1
        }
    );
    assert_eq!(
        setup.bare.free_count(),
        before - 7,
        "tables wait for the flush"
    );
    assert!(setup.pay(debt) != Scope::Nothing);
    assert_eq!(setup.bare.free_count(), before);
}

#[test]
fn a_table_freed_without_a_used_leaf_is_flushed_all_the_same() {
    let setup = Setup::new();
    setup.put(VA, 7, Prot::RW);
    let next = VA + PAGE_SIZE;
    assert_eq!(
        setup
            .pmap
            .fill(&setup.bare, &setup.bare, next, &[Frame(8)], Prot::READ),
        1
    );
    setup.pay(setup.remove(VA, next).1);
    let (_, debt) = setup.remove(next, next + PAGE_SIZE);
    assert!(
        setup.pay(debt) != Scope::Nothing,
        "a processor may have cached the way to the table"
    );
}

#[test]
fn a_leaf_never_used_needs_no_flush_until_its_accessed_bit_was_set_once() {
    let setup = Setup::new();
    setup.put(VA, 7, Prot::RW);
    let next = VA + PAGE_SIZE;
    let fill = |frame| {
        setup
            .pmap
            .fill(&setup.bare, &setup.bare, next, &[Frame(frame)], Prot::READ)
    };
    assert_eq!(fill(8), 1);
    assert!(!setup.query(next).unwrap().accessed);
    let (gone, debt) = setup.remove(next, next + PAGE_SIZE);
    assert_eq!((gone.len(), debt.is_owed()), (1, false));

    assert_eq!(fill(8), 1);
    setup.set(next, 0x20);
    let clear = Clear {
        accessed: true,
        dirty: false,
    };
    let range = next..next + PAGE_SIZE;
    let unpaid = setup
        .pmap
        .harvest(&setup.bare, &setup.bare, range, clear, |m| {
            assert!(m.accessed);
        });
    assert!(!setup.query(next).unwrap().accessed);
    let (_, debt) = setup.remove(next, next + PAGE_SIZE);
    assert_eq!(
        setup.pay(debt),
        page(next),
        "the first debt is not paid yet"
    );
    setup.pay(unpaid);
}

#[test]
fn fill_skips_what_is_there_and_tables_that_are_not() {
    let setup = Setup::new();
    let top = VA + (2 << 20);
    let start = top - 4 * PAGE_SIZE;
    setup.put(start + PAGE_SIZE, 50, Prot::RW);
    let mut frames: Vec<Frame> = (0..8).map(|n| Frame(60 + n)).collect();
    frames[2] = Frame::NONE;
    let fill = || {
        setup
            .pmap
            .fill(&setup.bare, &setup.bare, start, &frames, Prot::READ)
    };
    assert_eq!(fill(), 0b1001);
    setup.check();
    assert_eq!(setup.query(start).unwrap().frame, Frame(60));
    assert_eq!(setup.query(start + PAGE_SIZE).unwrap().frame, Frame(50));
    assert_eq!(setup.query(start + 2 * PAGE_SIZE), None);
    assert_eq!(setup.query(top), None);
    // Now that the next table exists the rest fits.
    setup.put(top + PAGE_SIZE, 51, Prot::RW);
    assert_eq!(fill(), 0b1101_0000);
    assert_eq!(setup.counts().mapped, 7);
    setup.check();
    assert_eq!(setup.query(top + 3 * PAGE_SIZE).unwrap().frame, Frame(67));
}

#[test]
fn write_protection_of_the_whole_space_is_pushed_down_where_it_is_lifted() {
    let setup = Setup::new();
    let vas = [
        VA,
        VA + PAGE_SIZE,
        VA + (2 << 20),
        VA + (1 << 30),
        0x7fff_ffff_f000,
    ];
    for (n, va) in vas.into_iter().enumerate() {
        setup.put(va, 50 + n as u64, Prot::RW);
    }
    let debt = setup.pmap.write_protect_all(&setup.bare, &setup.bare);
    assert_eq!(setup.pay(debt), Scope::All);
    for va in vas {
        assert_eq!(setup.prot(va), Prot::READ);
        assert_eq!(setup.read(va, 0) & 2, 2, "leaves keep their bit");
    }
    let debt = setup.pmap.write_protect_all(&setup.bare, &setup.bare);
    assert!(!debt.is_owed(), "a second time there is nothing to do");

    // Entering for reading lifts nothing.
    setup.put(VA + 7 * PAGE_SIZE, 60, Prot::READ);
    assert_eq!(setup.prot(VA), Prot::READ);
    // Another frame in place of the first page, writable: that page alone.
    let (old, debt) = setup.enter(VA, how(61, Prot::RW, Access::Write));
    assert_eq!(old.unwrap().prot, Prot::READ);
    assert_eq!(setup.pay(debt), page(VA));
    assert_eq!(setup.prot(VA), Prot::RW);
    for va in &vas[1..] {
        assert_eq!(setup.prot(*va), Prot::READ);
    }
    // The same frame, writable again: a right is given, nothing is stale.
    let (old, debt) = setup.enter(vas[2], how(52, Prot::RW, Access::Write));
    assert_eq!((old.unwrap().prot, debt.is_owed()), (Prot::READ, false));
    assert_eq!(setup.prot(vas[2]), Prot::RW);
    // Filling for writing goes the same way.
    let next = vas[4] - PAGE_SIZE;
    assert_eq!(
        setup
            .pmap
            .fill(&setup.bare, &setup.bare, next, &[Frame(62)], Prot::RW),
        1
    );
    setup.check();
    assert_eq!(setup.prot(next), Prot::RW);
    for va in [vas[1], vas[3], vas[4]] {
        assert_eq!(setup.prot(va), Prot::READ);
    }
}

#[test]
fn rights_are_taken_and_never_given() {
    let setup = Setup::new();
    setup.put(VA, 7, Prot::all());
    setup.put(VA + PAGE_SIZE, 8, Prot::READ);
    let range = VA..VA + 2 * PAGE_SIZE;
    let protect = |prot| {
        setup
            .pmap
            .protect(&setup.bare, &setup.bare, range.clone(), prot)
    };
    assert_eq!(setup.pay(protect(Prot::RX)), page(VA));
    assert_eq!(
        (setup.prot(VA), setup.prot(VA + PAGE_SIZE)),
        (Prot::RX, Prot::READ)
    );
    assert!(!protect(Prot::all()).is_owed());
    assert_eq!(
        (setup.prot(VA), setup.prot(VA + PAGE_SIZE)),
        (Prot::RX, Prot::READ)
    );
    assert_eq!(setup.pay(protect(Prot::READ)), page(VA));
    assert_eq!(setup.prot(VA), Prot::READ);
    setup.check();
}

#[test]
fn dirty_bits_are_reported_or_kept() {
    let setup = Setup::new();
    setup.put(VA, 7, Prot::RW);
    setup.set(VA, 0x40);
    let harvest = |accessed, dirty| {
        let mut seen = Vec::new();
        let clear = Clear { accessed, dirty };
        let all = 0..1 << 47;
        let debt = setup
            .pmap
            .harvest(&setup.bare, &setup.bare, all, clear, |m| seen.push(m));
        setup.check();
        (seen[0].accessed, seen[0].dirty, setup.pay(debt))
    };
    assert_eq!(harvest(false, false), (true, true, Scope::Nothing));
    assert_eq!(harvest(true, false), (true, true, page(VA)));
    assert_eq!(harvest(false, true), (false, true, page(VA)));
    assert_eq!(harvest(true, true), (false, false, Scope::Nothing));
    setup.set(VA, 0x60);
    let (old, debt) = setup.enter(VA, how(7, Prot::READ, Access::Read));
    assert!(old.unwrap().dirty && setup.query(VA).unwrap().dirty);
    setup.pay(debt);
    let (old, debt) = setup.enter(VA, how(8, Prot::READ, Access::Read));
    assert!(
        old.unwrap().dirty && !setup.query(VA).unwrap().dirty,
        "not the new frame's"
    );
    setup.pay(debt);
    setup.pay(setup.enter(VA, how(9, Prot::RW, Access::Write)).1);
    assert!(setup.remove(VA, VA + PAGE_SIZE).0[0].dirty);
}

#[test]
fn without_memory_nothing_changes() {
    let setup = Setup::new();
    setup.put(VA, 7, Prot::RW);
    let mut kept: Vec<Frame> = std::iter::from_fn(|| setup.bare.alloc()).collect();
    let counts = setup.counts();
    for left in 0..3 {
        let far = 0x7000_0000_0000;
        let access = how(8, Prot::RW, Access::Write);
        let result = setup.pmap.enter(&setup.bare, &setup.bare, far, access);
        assert_eq!(result.unwrap_err(), OutOfMemory);
        assert_eq!((setup.counts(), setup.bare.free_count()), (counts, left));
        setup.check();
        setup.bare.free(kept.pop().unwrap());
    }
    setup.put(0x7000_0000_0000, 8, Prot::RW);
    assert_eq!(setup.bare.free_count(), 0);
    setup.put(VA + PAGE_SIZE, 9, Prot::RW);
}

#[test]
fn destroy_returns_all_frames_with_what_is_left_mapped() {
    let mut setup = Setup::new();
    let root = Pmap::<Bare>::root(&setup.pmap);
    for n in 0..40 {
        setup.put(VA + n * (11 << 28), 50, Prot::RW);
    }
    setup.pmap.destroy(&setup.bare, &setup.bare);
    assert_eq!(setup.bare.free_count(), common::FRAMES);
    setup.pmap.destroy(&setup.bare, &setup.bare);
    assert_eq!(setup.bare.free_count(), common::FRAMES);
    assert_ne!(Pmap::<Bare>::root(&setup.pmap), root);
}

#[test]
fn the_kernel_half_is_the_machines() {
    let mut setup = Setup::on(Bare::with_kernel(0xabc0_1003));
    setup.check();
    assert_eq!(setup.read(0xffff_ff80_0000_0000, 3), 0xabc0_1003);
    setup.pmap.activate(&setup.bare);
    assert_eq!(
        setup.bare.root.load(Relaxed),
        Pmap::<Bare>::root(&setup.pmap).0
    );
    assert_eq!(Pmap::<Bare>::cpus(&setup.pmap), 1 << 3);
    setup.pmap.deactivate(&setup.bare);
    assert_eq!(Pmap::<Bare>::cpus(&setup.pmap), 0);
    setup.put(VA, 7, Prot::RW);
    // The kernel's tables are not the space's to free: this one lies outside of the arena.
    setup.pmap.destroy(&setup.bare, &setup.bare);
    assert_eq!(setup.bare.free_count(), common::FRAMES - 1);
}
