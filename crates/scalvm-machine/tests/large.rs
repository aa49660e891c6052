//! The machine catches mistakes with large leaves: each test makes one on purpose.

use std::panic::{AssertUnwindSafe, catch_unwind};

use scalvm::{Access, Cache, Enter, Frame, Machine, PAGE_SIZE, Pmap, Prot, Scope, TableFrames};
use scalvm_machine::{Config, Cpu, Emulated, EmulatedPmap, TableArena, Tables};

/// Aligned to what a large leaf maps.
const VA: usize = 0x40_0000;
const PAGES: usize = 8;
const LARGE: u64 = 1 << 7;
const LINK: u64 = 0b111;

/// A space with a large leaf, used by a processor which has it cached.
struct Setup {
    machine: Emulated,
    tables: TableArena,
    space: EmulatedPmap,
    cpu: Cpu,
}

impl Setup {
    fn new() -> Setup {
        let rows = Frame(0x2000)..Frame(0x2010);
        let machine = Emulated::new(Config {
            devices: vec![rows.clone()],
            tables: Tables::Narrow,
            ..Config::default()
        });
        let tables = TableArena::new(&machine, machine.segment(0));
        let space = EmulatedPmap::new(&machine, &tables).unwrap();
        let cpu = machine.processor(0);
        cpu.run(|| space.activate(&machine));
        let how = Enter {
            frame: rows.start,
            prot: Prot::RW,
            access: Access::Read,
            cache: Cache::WriteBack,
            managed: true,
            origin: (0, 0),
        };
        assert_eq!(space.enter_large(&machine, &tables, VA, how), Ok(true));
        assert_eq!(cpu.load_u64(VA + 3 * PAGE_SIZE), Ok(0));
        machine.assert_no_stale(space.root());
        Setup {
            machine,
            tables,
            space,
            cpu,
        }
    }

    /// The large leaf.
    fn entry(&self) -> *mut u64 {
        let mut table = self.space.root();
        for shift in [42, 33, 24, 15] {
            let at = self.machine.frame_ptr(table).cast::<u64>();
            // SAFETY: a table of the space, which nobody changes meanwhile.
            let entry = unsafe { at.add(VA >> shift & 511) };
            if shift == 15 {
                return entry;
            }
            // SAFETY: as above.
            table = Frame::containing(unsafe { entry.read() } & 0xf_ffff_ffff_f000);
        }
        unreachable!("the loop has an end")
    }

    /// Puts leaves in the place of the large one at once, which is the mistake.
    fn replace(&self) {
        let entry = self.entry();
        let table = self.tables.alloc().unwrap();
        let leaves = self.machine.frame_ptr(table).cast::<u64>();
        // SAFETY: tables of the space and one that will be.
        unsafe {
            let large = entry.read();
            assert_ne!(large & LARGE, 0, "{large:#x} is no large leaf");
            for n in 0..PAGES {
                leaves.add(n).write((large & !LARGE) + ((n as u64) << 12));
            }
            entry.write(table.address() | LINK);
        }
    }

    fn flush_page(&self, n: usize) {
        let start = VA + n * PAGE_SIZE;
        let end = start + PAGE_SIZE;
        self.machine
            .flush(1, self.space.root(), Scope::Range { start, end });
    }
}

fn panic_of(act: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).expect_err("no panic");
    *panic.downcast::<String>().unwrap()
}

#[test]
fn each_page_of_a_large_leaf_is_cached_and_flushed_by_itself() {
    let setup = Setup::new();
    let cached = || (0..PAGES + 1).filter(|n| setup.cpu.has_cached(VA + n * PAGE_SIZE));
    assert_eq!(cached().count(), PAGES);
    setup.flush_page(5);
    assert_eq!(cached().filter(|n| *n == 5).count(), 0);
    assert_eq!(cached().count(), PAGES - 1);
    setup.cpu.store_u64(VA + 2 * PAGE_SIZE, 7).unwrap();
    let stored = setup.machine.frame_ptr(Frame(0x2002)).cast::<u64>();
    // SAFETY: nobody stores meanwhile.
    assert_eq!(unsafe { stored.read() }, 7);
}

#[test]
fn leaves_of_two_sizes_at_once_are_found() {
    let setup = Setup::new();
    setup.replace();
    let stale = setup.machine.find_stale(setup.space.root());
    assert!(stale.is_some_and(|stale| stale.contains("where the tables say")));
    // The store must set the dirty bit, and finds the page's own leaf.
    let text = panic_of(|| _ = setup.cpu.store_u64(VA, 1));
    assert!(text.contains("two sizes at once"), "{text}");
}

#[test]
fn a_leaf_that_is_made_before_the_large_one_is_flushed_is_found() {
    let setup = Setup::new();
    setup.replace();
    let text = panic_of(|| setup.flush_page(0));
    assert!(text.contains("made before it was broken"), "{text}");
}

#[test]
fn a_large_leaf_that_is_not_aligned_is_found() {
    let setup = Setup::new();
    setup.machine.flush(1, setup.space.root(), Scope::All);
    let entry = setup.entry();
    // SAFETY: the entry, which nobody else uses meanwhile.
    unsafe { entry.write(entry.read() | 1 << 13) };
    let text = panic_of(|| _ = setup.cpu.load_u64(VA));
    assert!(text.contains("reserved bits"), "{text}");
}
