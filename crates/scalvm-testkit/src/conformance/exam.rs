//! [`Exam`] and [`Space`]: what the checks are written with.

use std::ops::Range;

use scalvm::{
    Access, Cache, Clear, Debt, Enter, Frame, Machine, Mapping, OutOfMemory, PAGE_SIZE, Pmap, Prot,
};

use super::port::{Mmu, Port};
use super::watch::Watch;

/// The page tables of a port.
pub(super) type PmapOf<P> = <<P as Port>::Machine as Machine>::Pmap;

/// A port under examination.
pub(super) struct Exam<P: Port> {
    pub port: P,
    pub frames: Vec<Frame>,
    /// The numbers of the first frames of rows that a large leaf can map.
    pub rows: Vec<usize>,
}

impl<P: Port> Exam<P> {
    pub fn new(port: P) -> Exam<P> {
        let mut frames = port.frames();
        assert!(frames.len() >= 64, "the suite needs 64 frames");
        let mut rows = Vec::new();
        for row in port.rows() {
            rows.push(frames.len());
            frames.extend((row.start.0..row.end.0).map(Frame));
        }
        let exam = Exam { port, frames, rows };
        for frame in &exam.frames {
            exam.write(*frame, exam.tag(*frame));
        }
        exam
    }

    /// The number that a frame holds until somebody stores there.
    pub fn tag(&self, frame: Frame) -> u64 {
        frame.0 << 20 | 0x5ca1
    }

    /// Writes a frame's first 8 bytes.
    pub fn write(&self, frame: Frame, value: u64) {
        // SAFETY: the port gave the frame to the suite, and no program stores there meanwhile.
        unsafe {
            self.port
                .machine()
                .frame_ptr(frame)
                .cast::<u64>()
                .write_volatile(value)
        }
    }

    /// The first page that can be mapped, with a distance to the end of the addresses.
    pub fn base(&self) -> usize {
        self.port.addresses().start.next_multiple_of(1 << 30)
    }

    /// The watched source of tables that spaces are made with.
    pub fn watch(&self) -> Watch<'_, P::Tables> {
        Watch::new(self.port.tables())
    }
}

/// A space under examination. After each step its invariants are checked.
pub(super) struct Space<'a, P: Port> {
    pub exam: &'a Exam<P>,
    pub watch: &'a Watch<'a, P::Tables>,
    pub pmap: PmapOf<P>,
}

impl<'a, P: Port> Space<'a, P> {
    /// A new space.
    pub fn new(exam: &'a Exam<P>, watch: &'a Watch<'a, P::Tables>) -> Space<'a, P> {
        watch.begin(false);
        let made = PmapOf::<P>::new(exam.port.machine(), watch);
        let space = Space {
            exam,
            watch,
            pmap: made.expect("there is memory for a space"),
        };
        space.check();
        space
    }

    /// A new space, active on processors 0 and 1 if there is an MMU.
    pub fn active(exam: &'a Exam<P>, watch: &'a Watch<'a, P::Tables>) -> Space<'a, P> {
        let space = Space::new(exam, watch);
        if let Some(mmu) = space.mmu() {
            for cpu in 0..2 {
                mmu.run_on(cpu, &mut || space.pmap.activate(space.machine()));
            }
        }
        space
    }

    pub fn machine(&self) -> &'a P::Machine {
        self.exam.port.machine()
    }

    pub fn mmu(&self) -> Option<&'a dyn Mmu> {
        self.exam.port.mmu()
    }

    /// The n-th frame to map.
    pub fn frame(&self, n: usize) -> Frame {
        self.exam.frames[n % self.exam.frames.len()]
    }

    pub fn check(&self) {
        self.watch.begin(false);
        self.pmap.check_invariants(self.machine(), self.watch);
        let tables = self.pmap.counts().tables;
        assert!(
            tables <= self.watch.live(),
            "{tables} tables are counted, more than there are"
        );
    }

    /// Tries to enter a mapping.
    pub fn try_enter(&self, va: usize, how: Enter) -> Result<(Option<Mapping>, Debt), OutOfMemory> {
        self.watch.begin(false);
        let result = self.pmap.enter(self.machine(), self.watch, va, how);
        self.check();
        result
    }

    /// Enters a mapping and pays; what was there.
    pub fn enter(&self, va: usize, how: Enter) -> Option<Mapping> {
        let (old, debt) = self.try_enter(va, how).expect("there is memory for tables");
        self.pay(debt);
        old
    }

    /// Enters the n-th frame where nothing was.
    pub fn put(&self, va: usize, n: usize, prot: Prot) {
        let old = self.enter(va, how(self.frame(n), prot, Access::Read));
        assert_eq!(old, None, "nothing was mapped at {va:#x}");
    }

    /// Tries to enter a large leaf, for the frames from the n-th on.
    pub fn enter_large(
        &self,
        va: usize,
        n: usize,
        prot: Prot,
        access: Access,
    ) -> Result<bool, OutOfMemory> {
        self.watch.begin(false);
        let how = how(self.frame(n), prot, access);
        let result = self.pmap.enter_large(self.machine(), self.watch, va, how);
        self.check();
        result
    }

    pub fn fill(&self, va: usize, frames: &[Frame], prot: Prot) -> u64 {
        self.watch.begin(false);
        let entered = self.pmap.fill(self.machine(), self.watch, va, frames, prot);
        self.check();
        entered
    }

    /// Removes a range; what was there, and the debt.
    pub fn remove(&self, range: Range<usize>) -> (Vec<Mapping>, Debt) {
        let mut gone = Vec::new();
        self.watch.begin(false);
        let debt = self
            .pmap
            .remove(self.machine(), self.watch, range, |m| gone.push(m));
        self.check();
        gone.sort_by_key(|mapping| mapping.va);
        (gone, debt)
    }

    pub fn protect(&self, range: Range<usize>, prot: Prot) -> Debt {
        self.watch.begin(false);
        let debt = self.pmap.protect(self.machine(), self.watch, range, prot);
        self.check();
        debt
    }

    pub fn write_protect_all(&self) -> Debt {
        self.watch.begin(false);
        let debt = self.pmap.write_protect_all(self.machine(), self.watch);
        self.check();
        debt
    }

    /// Harvests a range; what was there, and the debt.
    pub fn harvest(&self, range: Range<usize>, clear: Clear) -> (Vec<Mapping>, Debt) {
        let mut seen = Vec::new();
        self.watch.begin(false);
        let debt = self
            .pmap
            .harvest(self.machine(), self.watch, range, clear, |m| seen.push(m));
        self.check();
        seen.sort_by_key(|mapping| mapping.va);
        (seen, debt)
    }

    /// Pays a debt; nothing may be stale after that.
    pub fn pay(&self, debt: Debt) {
        self.watch.begin(true);
        debt.pay(self.machine(), &self.pmap, self.watch);
        self.watch.begin(false);
        self.expect_nothing_stale();
    }

    pub fn expect_nothing_stale(&self) {
        if let Some(stale) = self.mmu().and_then(|mmu| mmu.stale(self.pmap.root())) {
            panic!("stale after all debts were paid: {stale}");
        }
    }

    pub fn query(&self, va: usize) -> Option<Mapping> {
        self.pmap.query(self.machine(), va)
    }

    /// Asserts that a page maps the n-th frame with these rights, by what the port says and by what
    /// the MMU does: loads and fetches are tried on both processors, stores where they must fault.
    pub fn expect(&self, va: usize, n: usize, prot: Prot) {
        let granted = self.exam.port.granted(prot);
        let Some(found) = self.query(va) else {
            panic!("nothing is mapped at {va:#x}");
        };
        assert_eq!(
            (found.va, found.frame),
            (va, self.frame(n)),
            "the mapping at {va:#x}"
        );
        assert_eq!(found.prot, granted, "the rights at {va:#x}");
        let Some(mmu) = self.mmu() else { return };
        for cpu in 0..2 {
            let fetched = mmu.fetch(cpu, va);
            assert_eq!(
                fetched,
                granted.contains(Prot::EXEC),
                "whether {va:#x} can be executed"
            );
            if !granted.contains(Prot::WRITE) {
                assert!(!mmu.store(cpu, va, 0), "{va:#x} can be written");
            }
            // Last, so that it is cached: a fault makes a processor forget.
            if granted.contains(Prot::READ) {
                let tag = self.exam.tag(self.frame(n));
                assert_eq!(mmu.load(cpu, va), Some(tag), "what is loaded from {va:#x}");
            }
        }
    }

    /// Asserts that nothing is mapped at a page.
    pub fn expect_nothing(&self, va: usize) {
        assert_eq!(self.query(va), None, "nothing is mapped at {va:#x}");
        if let Some(mmu) = self.mmu() {
            for cpu in 0..2 {
                assert_eq!(mmu.load(cpu, va), None, "what is loaded from {va:#x}");
            }
        }
    }

    /// Stores what the n-th frame holds already. False where there is no MMU to do it.
    pub fn store(&self, cpu: usize, va: usize, n: usize) -> bool {
        let Some(mmu) = self.mmu() else { return false };
        let tag = self.exam.tag(self.frame(n));
        assert!(mmu.store(cpu, va, tag), "{va:#x} cannot be written");
        true
    }

    /// Deactivates and destroys; all tables must have come back.
    pub fn end(mut self) {
        if let Some(mmu) = self.mmu() {
            for cpu in (0..2).filter(|cpu| self.pmap.cpus() >> cpu & 1 != 0) {
                mmu.run_on(cpu, &mut || self.pmap.deactivate(self.machine()));
            }
        }
        self.watch.begin(true);
        let before = self.watch.live();
        self.pmap.destroy(self.machine(), self.watch);
        let left = self.watch.live();
        assert_eq!(left, 0, "of {before} tables, {left} are left after the end");
    }
}

/// An ordinary mapping.
pub(super) fn how(frame: Frame, prot: Prot, access: Access) -> Enter {
    Enter {
        frame,
        prot,
        access,
        cache: Cache::WriteBack,
        managed: true,
        origin: (1, 0),
    }
}

/// The range of one page.
pub(super) fn page(va: usize) -> Range<usize> {
    va..va + PAGE_SIZE
}
