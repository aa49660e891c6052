//! Random programs, compared with a plain map from addresses to pages.
//!
//! Debts are paid at once, or left for a while and paid in another order; before a processor
//! touches memory all are paid. A failure tells the seed and the last steps.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use scalvm::{
    Access, Cache, Clear, Debt, Enter, Frame, Mapping, OutOfMemory, PAGE_SIZE, Pmap, Prot,
};
use scalvm_machine::Rng;

use super::exam::{Exam, Space, how};
use super::port::{Mmu, Port};
use super::{Check, text};

pub(super) fn checks<P: Port>() -> Vec<Check<P>> {
    vec![("random_programs", random_programs)]
}

const SEEDS: u64 = 12;
const STEPS: usize = 1000;
/// Rights that every MMU can tell apart.
const RIGHTS: [Prot; 4] = [Prot::READ, Prot::RW, Prot::RX, Prot::all()];

fn random_programs<P: Port>(exam: &Exam<P>) {
    for seed in 0..SEEDS {
        let log = RefCell::new(Vec::new());
        let run = || {
            let watches = [exam.watch(), exam.watch()];
            let spaces = [
                Space::active(exam, &watches[0]),
                Space::new(exam, &watches[1]),
            ];
            let mut program = Program::new(&spaces, seed, &log);
            for _ in 0..STEPS {
                program.step();
            }
            program.pay_all();
            program.compare_all();
            let [space, other] = spaces;
            other.end();
            space.end();
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            let log = log.into_inner();
            let last = log[log.len().saturating_sub(12)..].join("\n    ");
            panic!(
                "{}\n  seed {seed}, step {}, the last ones:\n    {last}",
                text(panic),
                log.len()
            );
        }
    }
}

/// What a page is, in the plain map.
#[derive(Clone, Copy, Debug)]
struct Page {
    frame: usize,
    prot: Prot,
    /// Whether the accessed bit must be set. (It may be where this is not.)
    accessed: bool,
    /// Whether the dirty bit must be set.
    dirty: bool,
    /// Whether it may be: it must be, or it is one with those of other pages of a large leaf.
    may_be_dirty: bool,
    managed: bool,
    /// By which large leaf it was entered. (That it was split is not known here.)
    large: Option<usize>,
}

struct Program<'a, P: Port> {
    space: &'a Space<'a, P>,
    /// Another space, for a processor to be in.
    other: &'a Space<'a, P>,
    rng: Rng,
    log: &'a RefCell<Vec<String>>,
    pages: BTreeMap<usize, Page>,
    /// What each frame holds.
    contents: Vec<u64>,
    unpaid: Vec<Debt>,
    /// Whether processor 1 is in the other space.
    away: Cell<bool>,
    /// Large leaves entered so far.
    large: usize,
}

impl<'a, P: Port> Program<'a, P> {
    fn new(spaces: &'a [Space<'a, P>; 2], seed: u64, log: &'a RefCell<Vec<String>>) -> Self {
        let [space, other] = spaces;
        let contents: Vec<u64> = space
            .exam
            .frames
            .iter()
            .map(|frame| space.exam.tag(*frame))
            .collect();
        for (frame, value) in space.exam.frames.iter().zip(&contents) {
            space.exam.write(*frame, *value);
        }
        Program {
            space,
            other,
            rng: Rng::new(seed),
            log,
            pages: BTreeMap::new(),
            contents,
            unpaid: Vec::new(),
            away: Cell::new(false),
            large: 0,
        }
    }

    fn say(&self, what: impl FnOnce() -> String) {
        self.log.borrow_mut().push(what());
    }

    fn below(&mut self, end: usize) -> usize {
        self.rng.below(end as u64) as usize
    }

    /// A page out of few, close together and far apart.
    fn va(&mut self) -> usize {
        let base = self.space.exam.base();
        let end = self.space.exam.port.addresses().end;
        let clusters = [
            base,
            base + (1 << 21) - 8 * PAGE_SIZE,
            base + (1 << 30),
            base + (1 << 38),
            end,
        ];
        match clusters[self.below(clusters.len())] {
            va if va == end => end - (1 + self.below(20)) * PAGE_SIZE,
            va => va + self.below(20) * PAGE_SIZE,
        }
    }

    /// A few pages mostly, sometimes everything.
    fn range(&mut self) -> Range<usize> {
        let all = self.space.exam.port.addresses();
        match self.below(8) {
            0 => all,
            1 => {
                let (one, other) = (self.va(), self.va());
                one.min(other)..one.max(other)
            }
            _ => {
                let start = self.va();
                start..all.end.min(start + (1 + self.below(12)) * PAGE_SIZE)
            }
        }
    }

    fn rights(&mut self) -> Prot {
        RIGHTS[self.below(RIGHTS.len())]
    }

    fn step(&mut self) {
        match self.below(20) {
            0..6 => self.enter(),
            6..8 => self.fill(),
            8 => self.remove(),
            9 => self.protect(),
            10 => self.write_protect_all(),
            11..13 => self.harvest(),
            13 => self.switch(),
            14 => self.compare_all(),
            15 => self.enter_large(),
            _ => self.touch(),
        }
        let va = self.va();
        self.compare(va, self.space.query(va));
        assert_eq!(
            self.space.pmap.counts().mapped,
            self.pages.len(),
            "pages mapped"
        );
    }

    fn settle(&mut self, debt: Debt) {
        if self.below(4) == 0 {
            self.unpaid.push(debt);
        } else {
            self.pay(debt);
        }
    }

    fn pay(&self, debt: Debt) {
        self.space.watch.begin(true);
        debt.pay(self.space.machine(), &self.space.pmap, self.space.watch);
        if self.unpaid.is_empty() {
            self.space.expect_nothing_stale();
        }
    }

    fn pay_all(&mut self) {
        while !self.unpaid.is_empty() {
            let chosen = self.below(self.unpaid.len());
            let debt = self.unpaid.swap_remove(chosen);
            self.pay(debt);
        }
    }

    fn enter(&mut self) {
        let (va, prot) = (self.va(), self.rights());
        let frame = match self.pages.get(&va) {
            // Often the same frame, with other rights.
            Some(page) if self.rng.one_in(2) => page.frame,
            _ => self.below(self.contents.len()),
        };
        let access = match prot {
            _ if self.rng.one_in(2) => Access::Read,
            prot if prot.contains(Prot::WRITE) => Access::Write,
            prot if prot.contains(Prot::EXEC) => Access::Exec,
            _ => Access::Read,
        };
        let managed = !self.rng.one_in(10);
        let cache = match self.rng.below(4) {
            _ if managed => Cache::WriteBack,
            0 => Cache::WriteBack,
            1 => Cache::WriteThrough,
            2 => Cache::WriteCombining,
            _ => Cache::Uncached,
        };
        let how = Enter {
            cache,
            managed,
            ..how(self.space.frame(frame), prot, access)
        };
        self.say(|| format!("enter {va:#x} {frame} {prot:?} {access:?} {cache:?}"));
        let limit = self.rng.one_in(6).then(|| self.rng.below(4) as usize);
        self.space.watch.allow(limit);
        let result = self.space.try_enter(va, how);
        self.space.watch.allow(None);
        match result {
            Err(OutOfMemory) => assert!(limit.is_some(), "there was memory"),
            Ok((old, debt)) => {
                self.compare(va, old);
                let before = self.pages.get(&va).filter(|before| before.frame == frame);
                let wrote = access == Access::Write;
                let page = Page {
                    frame,
                    prot,
                    accessed: true,
                    dirty: wrote || before.is_some_and(|b| b.dirty),
                    may_be_dirty: wrote || before.is_some_and(|b| b.may_be_dirty),
                    managed,
                    large: before.and_then(|b| b.large),
                };
                self.pages.insert(va, page);
                if wrote {
                    self.was_written(va);
                }
                self.settle(debt);
            }
        }
    }

    /// A page was written: so may be, by its bit, what the same large leaf maps.
    fn was_written(&mut self, va: usize) {
        let Some(page) = self.pages.get_mut(&va) else {
            return;
        };
        (page.dirty, page.may_be_dirty) = (true, true);
        let Some(large) = page.large else { return };
        let all = self.pages.values_mut();
        all.filter(|page| page.large == Some(large))
            .for_each(|page| page.may_be_dirty = true);
    }

    fn enter_large(&mut self) {
        let pages = self.space.pmap.large_pages();
        if pages == 1 || self.space.exam.rows.is_empty() {
            return;
        }
        let (va, prot) = (self.va(), self.rights());
        let va = va / (pages * PAGE_SIZE) * (pages * PAGE_SIZE);
        let end = va + pages * PAGE_SIZE;
        let row = self.below(self.space.exam.rows.len());
        let first = self.space.exam.rows[row];
        if self.rng.one_in(2) {
            let (gone, debt) = self.space.remove(va..end);
            self.compare_list(&(va..end), gone);
            self.pages.retain(|page, _| !(va..end).contains(page));
            self.settle(debt);
        }
        self.pay_all();
        let access = match prot.contains(Prot::WRITE) && self.rng.one_in(2) {
            true => Access::Write,
            false => Access::Read,
        };
        self.say(|| format!("enter_large {va:#x} {first} {prot:?} {access:?}"));
        let limit = self.rng.one_in(6).then(|| self.rng.below(4) as usize);
        self.space.watch.allow(limit);
        let entered = self.space.enter_large(va, first, prot, access);
        self.space.watch.allow(None);
        let is_free = self.pages.range(va..end).next().is_none();
        match entered {
            Err(OutOfMemory) => assert!(limit.is_some(), "there was memory"),
            Ok(entered) => assert_eq!(entered, is_free, "whether it is entered"),
        }
        if entered == Ok(true) {
            self.large += 1;
            for n in 0..pages {
                let page = Page {
                    frame: first + n,
                    prot,
                    accessed: true,
                    dirty: access == Access::Write,
                    may_be_dirty: access == Access::Write,
                    managed: true,
                    large: Some(self.large),
                };
                self.pages.insert(va + n * PAGE_SIZE, page);
            }
        }
    }

    fn fill(&mut self) {
        let (va, prot) = (self.va(), self.rights());
        let end = self.space.exam.port.addresses().end;
        let count = (1 + self.below(64)).min((end - va) / PAGE_SIZE);
        let numbers: Vec<usize> = (0..count)
            .map(|_| self.below(self.contents.len() + 8))
            .collect();
        let frames: Vec<Frame> = numbers
            .iter()
            .map(|n| {
                self.space
                    .exam
                    .frames
                    .get(*n)
                    .copied()
                    .unwrap_or(Frame::NONE)
            })
            .collect();
        self.say(|| format!("fill {va:#x} {numbers:?} {prot:?}"));
        let entered = self.space.fill(va, &frames, prot);
        for (i, frame) in numbers.into_iter().enumerate() {
            if entered >> i & 1 != 0 {
                assert!(frames[i].is_some(), "no frame was entered");
                let page = Page {
                    frame,
                    prot,
                    accessed: false,
                    dirty: false,
                    may_be_dirty: false,
                    managed: true,
                    large: None,
                };
                let before = self.pages.insert(va + i * PAGE_SIZE, page);
                assert!(before.is_none(), "fill has replaced {before:?}");
            }
        }
        let beyond = entered.checked_shr(count as u32).unwrap_or(0);
        assert_eq!(beyond, 0, "more was entered than given");
    }

    fn remove(&mut self) {
        let range = self.range();
        self.say(|| format!("remove {range:x?}"));
        let (gone, debt) = self.space.remove(range.clone());
        self.compare_list(&range, gone);
        self.pages.retain(|va, _| !range.contains(va));
        self.settle(debt);
    }

    fn protect(&mut self) {
        let (range, prot) = (self.range(), self.rights());
        self.say(|| format!("protect {range:x?} {prot:?}"));
        let debt = self.space.protect(range.clone(), prot);
        if !range.is_empty() {
            self.pages
                .range_mut(range)
                .for_each(|(_, page)| page.prot &= prot);
        }
        self.settle(debt);
    }

    fn write_protect_all(&mut self) {
        self.say(|| "write_protect_all".into());
        let debt = self.space.write_protect_all();
        self.pages
            .values_mut()
            .for_each(|page| page.prot -= Prot::WRITE);
        self.settle(debt);
    }

    fn harvest(&mut self) {
        let range = self.range();
        let clear = Clear {
            accessed: self.rng.one_in(2),
            dirty: self.rng.one_in(2),
        };
        self.say(|| format!("harvest {range:x?} {clear:?}"));
        let (seen, debt) = self.space.harvest(range.clone(), clear);
        self.compare_list(&range, seen);
        if !range.is_empty() {
            for page in self.pages.range_mut(range).map(|(_, page)| page) {
                page.accessed &= !clear.accessed;
                page.dirty &= !clear.dirty;
                page.may_be_dirty &= !clear.dirty;
            }
        }
        self.settle(debt);
    }

    /// Processor 1 goes to the other space, or comes back.
    fn switch(&mut self) {
        let Some(mmu) = self.space.mmu() else { return };
        let (from, to) = match self.away.get() {
            true => (self.other, self.space),
            false => (self.space, self.other),
        };
        self.away.set(!self.away.get());
        self.say(|| format!("processor 1 goes, is away: {:?}", self.away));
        mmu.run_on(1, &mut || {
            to.pmap.activate(to.machine());
            from.pmap.deactivate(from.machine());
        });
    }

    /// A processor loads, stores or fetches.
    fn touch(&mut self) {
        let Some(mmu) = self.space.mmu() else { return };
        self.pay_all();
        let cpu = if self.away.get() { 0 } else { self.below(2) };
        let va = self.va();
        let access = [Access::Read, Access::Write, Access::Exec][self.below(3)];
        self.say(|| format!("processor {cpu} {access:?} {va:#x}"));
        let page = self.pages.get(&va).copied();
        let granted = |page: Page| self.space.exam.port.granted(page.prot);
        let passes = page.is_some_and(|page| granted(page).contains(access.needs()));
        self.touch_as(mmu, cpu, va, access, page.filter(|_| passes));
        if let Some(page) = self.pages.get_mut(&va)
            && passes
        {
            page.accessed = true;
            if access == Access::Write {
                self.was_written(va);
            }
        }
    }

    fn touch_as(
        &mut self,
        mmu: &dyn Mmu,
        cpu: usize,
        va: usize,
        access: Access,
        page: Option<Page>,
    ) {
        match access {
            Access::Read => {
                let expected = page.map(|page| self.contents[page.frame]);
                assert_eq!(mmu.load(cpu, va), expected, "what is loaded");
            }
            Access::Write => {
                let value = self.rng.next_u64();
                assert_eq!(
                    mmu.store(cpu, va, value),
                    page.is_some(),
                    "whether a store passes"
                );
                if let Some(page) = page {
                    self.contents[page.frame] = value;
                }
            }
            Access::Exec => {
                assert_eq!(mmu.fetch(cpu, va), page.is_some(), "whether a fetch passes");
            }
        }
    }

    /// Compares what the port says of a page with the plain map.
    fn compare(&self, va: usize, found: Option<Mapping>) {
        let page = self.pages.get(&va);
        let right = match (page, found) {
            (None, None) => true,
            (Some(page), Some(found)) => {
                found.va == va
                    && found.frame == self.space.frame(page.frame)
                    && found.prot == self.space.exam.port.granted(page.prot)
                    && found.accessed >= page.accessed
                    && (page.dirty..=page.may_be_dirty).contains(&found.dirty)
                    && found.managed == page.managed
            }
            _ => false,
        };
        assert!(
            right,
            "the port says of {va:#x}: {found:?}; it should be {page:?}"
        );
    }

    fn compare_list(&self, range: &Range<usize>, found: Vec<Mapping>) {
        let vas: Vec<usize> = found.iter().map(|mapping| mapping.va).collect();
        let expected: Vec<usize> = self
            .pages
            .keys()
            .copied()
            .filter(|va| range.contains(va))
            .collect();
        assert_eq!(vas, expected, "pages of the range");
        found
            .into_iter()
            .for_each(|mapping| self.compare(mapping.va, Some(mapping)));
    }

    fn compare_all(&self) {
        let all = self.space.exam.port.addresses();
        let clear = Clear {
            accessed: false,
            dirty: false,
        };
        let (seen, debt) = self.space.harvest(all.clone(), clear);
        assert!(!debt.is_owed(), "nothing was cleared");
        self.compare_list(&all, seen);
    }
}
