//! The x86_64 page tables pass the conformance suite; page tables that are broken on purpose do
//! not.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::AtomicU32;

use scalvm::{
    Clear, CpuSet, Debt, Enter, Frame, LockEvent, Machine, Mapping, OutOfMemory, Pmap, PmapCounts,
    Prot, Rank, Scope, TableFrames,
};
use scalvm_machine::{Config, Emulated, TableArena, Tables};
use scalvm_pmap::X86Pmap;
use scalvm_testkit::conformance::{Mmu, Port, examine, run};

/// The frame of the root table whose upper half all spaces share.
const KERNEL_ROOT: Frame = Frame(0x900);

/// Where frames lie that large leaves can map.
const ROWS: u64 = 0x2000;

/// A port on the emulated machine: page tables as they are, or broken in one way.
struct Tried<M> {
    machine: M,
    emulated: Emulated,
    tables: TableArena,
    frames: Vec<Frame>,
    /// Frames that a large leaf maps.
    row: u64,
    with_mmu: bool,
}

impl<M> Tried<M> {
    fn new(machine: impl FnOnce(Emulated) -> M) -> Tried<M> {
        Tried::with(Tables::X86_64, machine)
    }

    fn with(format: Tables, machine: impl FnOnce(Emulated) -> M) -> Tried<M> {
        let segments = vec![Frame(0x1000)..Frame(0x1200)];
        let emulated = Emulated::new(Config {
            segments,
            devices: vec![
                KERNEL_ROOT..Frame(KERNEL_ROOT.0 + 1),
                Frame(ROWS)..Frame(ROWS + 2 * 512),
            ],
            tables: format,
            kernel_root: Some(KERNEL_ROOT),
            cpus: 2,
            evict_one_in: 8,
            ..Config::default()
        });
        let tables = TableArena::new(&emulated, emulated.segment(0));
        let frames = (0..64).map(|_| tables.take().unwrap()).collect();
        Tried {
            machine: machine(emulated.clone()),
            emulated,
            tables,
            frames,
            row: match format {
                Tables::X86_64 => 512,
                Tables::Narrow => 8,
            },
            with_mmu: true,
        }
    }
}

impl<M: Machine> Port for Tried<M> {
    type Machine = M;
    type Tables = TableArena;

    fn machine(&self) -> &M {
        &self.machine
    }

    fn tables(&self) -> &TableArena {
        &self.tables
    }

    fn frames(&self) -> Vec<Frame> {
        self.frames.clone()
    }

    fn rows(&self) -> Vec<Range<Frame>> {
        (0..2)
            .map(|n| Frame(ROWS + n * self.row)..Frame(ROWS + (n + 1) * self.row))
            .collect()
    }

    fn of_one_table(&self) -> usize {
        self.row as usize
    }

    fn addresses(&self) -> Range<usize> {
        0..1 << 47
    }

    fn kernel(&self) -> Option<Range<usize>> {
        // Across two entries of the root.
        Some(0xffff_8080_0000_0000 - 0x3000..0xffff_8080_0000_0000 + 0x5000)
    }

    fn granted(&self, prot: Prot) -> Prot {
        prot | Prot::READ
    }

    fn mmu(&self) -> Option<&dyn Mmu> {
        self.with_mmu.then_some(self as &dyn Mmu)
    }
}

impl<M: Machine> Mmu for Tried<M> {
    fn run_on(&self, cpu: usize, act: &mut dyn FnMut()) {
        self.emulated.processor(cpu).run(act);
    }

    fn load(&self, cpu: usize, va: usize) -> Option<u64> {
        self.emulated.processor(cpu).load_u64(va).ok()
    }

    fn store(&self, cpu: usize, va: usize, value: u64) -> bool {
        self.emulated.processor(cpu).store_u64(va, value).is_ok()
    }

    fn fetch(&self, cpu: usize, va: usize) -> bool {
        self.emulated.processor(cpu).fetch(va).is_ok()
    }

    fn load_as_kernel(&self, cpu: usize, va: usize) -> Option<u64> {
        self.emulated.processor(cpu).as_kernel().load_u64(va).ok()
    }

    fn stale(&self, root: Frame) -> Option<String> {
        self.emulated.find_stale(root)
    }
}

#[test]
fn x86_64_conforms() {
    run(|| Tried::new(|emulated| emulated));
}

#[test]
fn narrow_tables_conform() {
    run(|| Tried::with(Tables::Narrow, |emulated| emulated));
}

#[test]
fn x86_64_conforms_where_there_is_no_mmu_to_ask() {
    run(|| Tried {
        with_mmu: false,
        ..Tried::new(|emulated| emulated)
    });
}

/// A way to be broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    /// `remove` forgets its flush.
    RemoveWithoutFlush,
    /// `protect` forgets its flush.
    ProtectWithoutFlush,
    /// `write_protect_all` forgets its flush.
    ForkWithoutFlush,
    /// `harvest` forgets its flush.
    HarvestWithoutFlush,
    /// `enter` forgets its flush where it replaces.
    EnterWithoutFlush,
    /// `remove` does not report dirty bits.
    RemoveLosesDirty,
    /// `protect` clears dirty bits.
    ProtectLosesDirty,
    /// What is entered for reading can be written.
    WritableOnRead,
    /// What is entered can be executed.
    AlwaysExecutable,
    /// `fill` allocates.
    FillAllocates,
    /// `fill` sets accessed bits.
    FillAccessed,
    /// `protect` goes one page too far.
    ProtectTooFar,
    /// `remove` stops one page short.
    RemoveTooShort,
    /// `write_protect_all` leaves what lies above 256 GiB.
    ForkLeavesFar,
    /// `harvest` clears accessed bits unasked.
    HarvestClearsAll,
    /// `enter_large` does not look at what is mapped.
    LargeReplaces,
    /// A part of a large leaf is removed with all of it.
    LargeRemovedWhole,
    /// `deactivate` does nothing.
    StaysActive,
    /// `destroy` frees nothing.
    DestroyLeaks,
}

/// All of them, and a check that must find each.
const FLAWS: [(Flaw, &str); 19] = [
    (Flaw::RemoveWithoutFlush, "remove_reports_each_mapping_once"),
    (
        Flaw::ProtectWithoutFlush,
        "protect_takes_rights_and_gives_none",
    ),
    (
        Flaw::ForkWithoutFlush,
        "write_protect_all_takes_writing_everywhere",
    ),
    (
        Flaw::HarvestWithoutFlush,
        "harvest_sees_new_writes_after_the_debt_is_paid",
    ),
    (
        Flaw::EnterWithoutFlush,
        "enter_replaces_and_says_what_was_there",
    ),
    (Flaw::RemoveLosesDirty, "remove_reports_dirty_bits"),
    (
        Flaw::ProtectLosesDirty,
        "protect_takes_rights_and_gives_none",
    ),
    (
        Flaw::WritableOnRead,
        "enter_grants_exactly_the_rights_asked_for",
    ),
    (
        Flaw::AlwaysExecutable,
        "fill_grants_exactly_the_rights_asked_for",
    ),
    (Flaw::FillAllocates, "fill_never_allocates"),
    (Flaw::FillAccessed, "fill_sets_no_accessed_bit"),
    (Flaw::ProtectTooFar, "protect_leaves_what_is_outside"),
    (Flaw::RemoveTooShort, "remove_leaves_what_is_outside"),
    (Flaw::ForkLeavesFar, "random_programs"),
    (Flaw::HarvestClearsAll, "harvest_clears_what_is_asked_for"),
    (
        Flaw::LargeReplaces,
        "enter_large_refuses_what_it_cannot_map",
    ),
    (
        Flaw::LargeRemovedWhole,
        "a_part_of_a_large_leaf_is_changed_alone",
    ),
    (Flaw::StaysActive, "cpus_are_those_where_it_is_active"),
    (Flaw::DestroyLeaks, "destroy_frees_all_tables"),
];

/// Bytes that a large leaf of x86_64 maps.
const LARGE_BYTES: usize = 2 << 20;

/// The emulated machine with broken page tables.
struct BrokenMachine {
    emulated: Emulated,
    flaw: Flaw,
}

/// The x86_64 page tables, broken.
struct Broken(X86Pmap);

// SAFETY: all is the emulated machine's.
unsafe impl Machine for BrokenMachine {
    type Pmap = Broken;

    fn frame_ptr(&self, frame: Frame) -> *mut u8 {
        self.emulated.frame_ptr(frame)
    }

    fn cpu(&self) -> usize {
        self.emulated.cpu()
    }

    fn pin(&self) -> usize {
        self.emulated.pin()
    }

    fn unpin(&self) {
        self.emulated.unpin();
    }

    fn flush(&self, cpus: CpuSet, root: Frame, scope: Scope) {
        self.emulated.flush(cpus, root, scope);
    }

    fn relax(&self) {
        self.emulated.relax();
    }

    fn wait(&self, word: &AtomicU32, value: u32) {
        self.emulated.wait(word, value);
    }

    fn wake(&self, word: &AtomicU32) {
        self.emulated.wake(word);
    }

    fn lock_event(&self, event: LockEvent, rank: Rank) {
        self.emulated.lock_event(event, rank);
    }
}

/// The debt, without what is to be flushed if the machine has this flaw.
fn forget(machine: &BrokenMachine, flaw: Flaw, debt: Debt, tables: &impl TableFrames) -> Debt {
    if machine.flaw != flaw {
        return debt;
    }
    // There is no taking the flush out of a debt, but it can be paid for an idle space.
    let idle: X86Pmap = Pmap::<Emulated>::new(&machine.emulated, tables).unwrap();
    debt.pay(&machine.emulated, &idle, tables);
    let mut idle = idle;
    Pmap::<Emulated>::destroy(&mut idle, &machine.emulated, tables);
    Debt::none()
}

// SAFETY: it is not safe, and that must be found; what it breaks is memory of the emulated
// machine's programs.
unsafe impl Pmap<BrokenMachine> for Broken {
    fn new(machine: &BrokenMachine, tables: &impl TableFrames) -> Result<Self, OutOfMemory> {
        Pmap::<Emulated>::new(&machine.emulated, tables).map(Broken)
    }

    fn new_kernel(
        machine: &BrokenMachine,
        tables: &impl TableFrames,
        range: Range<usize>,
    ) -> Result<Self, OutOfMemory> {
        Pmap::<Emulated>::new_kernel(&machine.emulated, tables, range).map(Broken)
    }

    fn destroy(&mut self, machine: &BrokenMachine, tables: &impl TableFrames) {
        if machine.flaw != Flaw::DestroyLeaks {
            Pmap::<Emulated>::destroy(&mut self.0, &machine.emulated, tables);
        }
    }

    fn root(&self) -> Frame {
        Pmap::<Emulated>::root(&self.0)
    }

    fn cpus(&self) -> CpuSet {
        Pmap::<Emulated>::cpus(&self.0)
    }

    fn activate(&self, machine: &BrokenMachine) {
        self.0.activate(&machine.emulated);
    }

    fn deactivate(&self, machine: &BrokenMachine) {
        if machine.flaw != Flaw::StaysActive {
            self.0.deactivate(&machine.emulated);
        }
    }

    fn enter(
        &self,
        machine: &BrokenMachine,
        tables: &impl TableFrames,
        va: usize,
        mut how: Enter,
    ) -> Result<(Option<Mapping>, Debt), OutOfMemory> {
        match machine.flaw {
            Flaw::WritableOnRead => how.prot |= Prot::WRITE,
            Flaw::AlwaysExecutable => how.prot |= Prot::EXEC,
            _ => {}
        }
        let (old, debt) = self.0.enter(&machine.emulated, tables, va, how)?;
        Ok((old, forget(machine, Flaw::EnterWithoutFlush, debt, tables)))
    }

    fn fill(
        &self,
        machine: &BrokenMachine,
        tables: &impl TableFrames,
        va: usize,
        frames: &[Frame],
        prot: Prot,
    ) -> u64 {
        if machine.flaw == Flaw::FillAllocates
            && let Some(frame) = tables.alloc()
        {
            tables.free(frame);
        }
        let entered = self.0.fill(&machine.emulated, tables, va, frames, prot);
        if machine.flaw == Flaw::FillAccessed && entered & 1 != 0 {
            let (access, cache) = (scalvm::Access::Read, scalvm::Cache::WriteBack);
            let how = Enter {
                frame: frames[0],
                prot,
                access,
                cache,
                managed: true,
                origin: (0, 0),
            };
            let entered = self.0.enter(&machine.emulated, tables, va, how);
            assert!(entered.is_ok_and(|(_, debt)| !debt.is_owed()));
        }
        entered
    }

    fn large_pages(&self) -> usize {
        Pmap::<Emulated>::large_pages(&self.0)
    }

    fn enter_large(
        &self,
        machine: &BrokenMachine,
        tables: &impl TableFrames,
        va: usize,
        how: Enter,
    ) -> Result<bool, OutOfMemory> {
        if machine.flaw == Flaw::LargeReplaces {
            let range = va..va + LARGE_BYTES;
            let debt = self.0.remove(&machine.emulated, tables, range, |_| ());
            debt.pay(machine, self, tables);
        }
        self.0.enter_large(&machine.emulated, tables, va, how)
    }

    fn remove(
        &self,
        machine: &BrokenMachine,
        tables: &impl TableFrames,
        mut range: Range<usize>,
        mut gone: impl FnMut(Mapping),
    ) -> Debt {
        if machine.flaw == Flaw::LargeRemovedWhole && self.counts().large > 0 {
            range.start &= !(LARGE_BYTES - 1);
            range.end = range.end.next_multiple_of(LARGE_BYTES);
        }
        if machine.flaw == Flaw::RemoveTooShort && range.end - range.start > 2 * scalvm::PAGE_SIZE {
            range.end -= scalvm::PAGE_SIZE;
        }
        let debt = self
            .0
            .remove(&machine.emulated, tables, range, |mut mapping| {
                mapping.dirty &= machine.flaw != Flaw::RemoveLosesDirty;
                gone(mapping);
            });
        forget(machine, Flaw::RemoveWithoutFlush, debt, tables)
    }

    fn protect(
        &self,
        machine: &BrokenMachine,
        tables: &impl TableFrames,
        mut range: Range<usize>,
        prot: Prot,
    ) -> Debt {
        match machine.flaw {
            Flaw::ProtectTooFar => range.end += scalvm::PAGE_SIZE,
            Flaw::ProtectLosesDirty => {
                let clear = Clear {
                    accessed: false,
                    dirty: true,
                };
                let debt = self.harvest(machine, tables, range.clone(), clear, |_| ());
                debt.pay(machine, self, tables);
            }
            _ => {}
        }
        let debt = self.0.protect(&machine.emulated, tables, range, prot);
        forget(machine, Flaw::ProtectWithoutFlush, debt, tables)
    }

    fn write_protect_all(&self, machine: &BrokenMachine, tables: &impl TableFrames) -> Debt {
        if machine.flaw == Flaw::ForkLeavesFar {
            return self
                .0
                .protect(&machine.emulated, tables, 0..1 << 38, Prot::RX);
        }
        let debt = self.0.write_protect_all(&machine.emulated, tables);
        forget(machine, Flaw::ForkWithoutFlush, debt, tables)
    }

    fn query(&self, machine: &BrokenMachine, va: usize) -> Option<Mapping> {
        self.0.query(&machine.emulated, va)
    }

    fn harvest(
        &self,
        machine: &BrokenMachine,
        tables: &impl TableFrames,
        range: Range<usize>,
        mut clear: Clear,
        seen: impl FnMut(Mapping),
    ) -> Debt {
        clear.accessed |= machine.flaw == Flaw::HarvestClearsAll;
        let debt = self
            .0
            .harvest(&machine.emulated, tables, range, clear, seen);
        forget(machine, Flaw::HarvestWithoutFlush, debt, tables)
    }

    fn counts(&self) -> PmapCounts {
        Pmap::<Emulated>::counts(&self.0)
    }

    fn check_invariants(&self, machine: &BrokenMachine, tables: &impl TableFrames) {
        self.0.check_invariants(&machine.emulated, tables);
    }
}

thread_local! {
    /// Whether panics of this thread are expected, and need not be shown.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

#[test]
fn each_flaw_is_found() {
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !QUIET.get() {
            show(info);
        }
    }));
    for (flaw, check) in FLAWS {
        QUIET.set(true);
        let failures = examine(|| Tried::new(|emulated| BrokenMachine { emulated, flaw }));
        QUIET.set(false);
        let checks: BTreeSet<&str> = failures.iter().map(|failure| failure.check).collect();
        println!("{flaw:?}: {checks:?}");
        assert!(
            checks.contains(check),
            "{flaw:?} is not found by {check}: {failures:#?}"
        );
    }
}
