//! Choosing and evicting, page after page.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::addr::Frame;
use crate::fault::Ticket;
use crate::kmem::Ptr;
use crate::machine::{MAX_CPUS, Machine, Rank};
use crate::page::{AHEAD, KNOWN, Page, State, TOUCHED};
use crate::pageout::batch::Batch;
use crate::pageout::claim::{Claim, Look, Refused};
use crate::pageout::evict::Evicted;
use crate::pageout::policy::Verdict;
use crate::pageout::ring::Ring;
use crate::pager::MOST;
use crate::stats::Event;
use crate::vm::Vm;

/// The kinds of pages that have a policy each.
const ANONYMOUS: usize = 0;
const FILE: usize = 1;

/// So many losses of one kind halve the memory of all (arbitrary: a few seconds of heavy paging).
const FADE: u32 = 1 << 12;

/// How often a search waits for dirty file pages to be written, which a disk may refuse each time.
const ROUNDS: u32 = 3;

/// Pages that are looked at between two pauses (arbitrary: some microseconds each).
const PAUSE: u32 = 64;

/// Revolutions of a policy's hand after which a search ends: one to clear the marks of use, one to
/// find them clear, and as many again since a policy may change its mind about a page twice.
const REVOLUTIONS: u64 = 4;

/// Who searches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Who {
    /// Nobody waits for it: others may run meanwhile.
    Daemon,
    /// A thread that needs frames: once there are some, others would take them if they ran before it does.
    Needy,
}

/// How a search goes.
struct Search<'v, M: Machine> {
    batch: Batch<M>,
    freed: u64,
    /// Anonymous pages that are being written.
    written: u64,
    /// The last page that was found busy, or whose writing began.
    cleaning: Option<Ticket<'v>>,
    /// Anonymous pages that no store took.
    refusals: usize,
    /// Pages in a row that were being written: more than a few, and the rest are looked at in vain.
    busy: usize,
    /// Whether the compressor could be helped as often as it was tried.
    hopeful: bool,
    /// Whether there may be pages that were given up, and whether more may be when it ends.
    given_up: bool,
    more_given_up: bool,
    /// Pages still to be looked at in each kind before it is given up.
    left: [u64; 2],
}

impl<M: Machine> Vm<M> {
    /// Notes a new page, so that the policy of its kind gets to know it. Its object is locked.
    #[inline]
    pub(crate) fn note(&self, page: Ptr<Page>) {
        if self.pageout.is_on()
            && let Some(frame) = self.ring().note(page.frame().0 as u32)
        {
            self.ring_is_full(frame);
        }
    }

    /// The ring of this processor.
    #[inline]
    fn ring(&self) -> &Ring {
        &self.pageout.rings[self.machine.cpu() % MAX_CPUS]
    }

    /// A page found no place in the ring of its processor. While memory is plenty, which most pages
    /// see of it, the policies need not know them: they are found when they are needed (R1).
    #[cold]
    fn ring_is_full(&self, frame: u32) {
        let pageout = &self.pageout;
        let ring = self.ring();
        if self.frames.is_plenty() {
            pageout.unnoted.store(true, Release);
            ring.empty(|_| {});
            return;
        }
        let _policies = pageout.lock.lock(&self.machine, Rank::Policy);
        ring.empty(|frame| self.admit(frame));
        self.admit(frame);
    }

    /// Tells the policies of all pages that have come.
    fn gather(&self) {
        let pageout = &self.pageout;
        if pageout.unnoted.swap(false, Acquire) {
            let mut admitted = 0u32;
            self.frames.for_each(|page| {
                let is_new = page.test_flags(KNOWN) == 0 && page.is_plain() && page.is_owned();
                if is_new && matches!(page.state(), State::Anon | State::File) {
                    let policies = pageout.lock.lock(&self.machine, Rank::Policy);
                    self.admit(page.frame().0 as u32);
                    drop(policies);
                    admitted += 1;
                    if admitted.is_multiple_of(PAUSE) {
                        self.machine.pause();
                    }
                }
            });
        }
        let _policies = pageout.lock.lock(&self.machine, Rank::Policy);
        for ring in &pageout.rings {
            ring.empty(|frame| self.admit(frame));
        }
    }

    /// Whether no other page has come to this processor since this one. What is used then is used by the
    /// access for which it came, or by one that belongs to it.
    pub(crate) fn is_newest(&self, page: Ptr<Page>) -> bool {
        self.ring().newest() == page.frame().0 as u32
    }

    /// Makes a page known to the policy of its kind. The policies are locked.
    pub(super) fn admit(&self, frame: u32) {
        let Some(page) = self.page(Frame(u64::from(frame))) else {
            return;
        };
        let identity = page.identify(&self.machine);
        let Some((anon, file)) = page.anon(&identity) else {
            return;
        };
        let kind = usize::from(file);
        let Some(family) = anon.family.get() else {
            return;
        };
        let key = self.key_of(anon, family, file);
        if page.set_flags(KNOWN) & KNOWN != 0 {
            return;
        }
        drop(identity);
        let policies = &self.pageout.policies;
        // In an earlier life the frame may have held a page of the other kind.
        policies[1 - kind].remove(self.frames.segments(), frame);
        if policies[kind].insert(self.frames.segments(), frame, key) {
            self.count(Event::Refault);
            let missed = &self.pageout.missed[kind];
            if missed.fetch_add(1, Relaxed) > FADE {
                self.fade();
            }
        }
        // A page-table entry bears the mark of the access for which the page came, which the first
        // look discards. What came for the kernel, to be read or written by it, bears none: all its
        // marks are of other uses.
        if page.mapped.load(Relaxed) == 0 && page.test_flags(AHEAD) == 0 {
            policies[kind].judge(self.frames.segments(), frame, true, key);
        }
    }

    /// Halves what evictions have cost.
    fn fade(&self) {
        for missed in &self.pageout.missed {
            missed.store(missed.load(Relaxed) / 2, Relaxed);
        }
    }

    /// A page that the policy had given up stays after all.
    pub(crate) fn readmit(&self, page: Ptr<Page>) {
        let _policies = self.pageout.lock.lock(&self.machine, Rank::Policy);
        let identity = page.identify(&self.machine);
        let Some((_, file)) = page.anon::<M>(&identity) else {
            return;
        };
        let kind = usize::from(file);
        let known = page.set_flags(KNOWN) & KNOWN != 0;
        drop(identity);
        if !known {
            let frame = page.frame().0 as u32;
            self.pageout.policies[kind].reinsert(self.frames.segments(), frame);
        }
    }

    /// A page that is mapped nowhere any more leaves next, unless it is used again.
    pub(crate) fn cooled(&self, page: Ptr<Page>) {
        if page.clear_flags(TOUCHED) & KNOWN == 0 {
            return;
        }
        let _policies = self.pageout.lock.lock(&self.machine, Rank::Policy);
        let kind = match page.state() {
            State::Anon => ANONYMOUS,
            State::File => FILE,
            _ => return,
        };
        if page.test_flags(KNOWN) != 0 {
            self.pageout.policies[kind].cool(self.frames.segments(), page.frame().0 as u32);
        }
    }

    /// Frees frames, or begins writes that will. It is the caller's turn. Returns how many frames
    /// became free, or will when those writes are done.
    pub(super) fn reclaim(&self, want: u64, who: Who) -> u64 {
        if want == 0 {
            return 0;
        }
        // So much is unwired that it may be worth more than what can leave already.
        if self.pageout.unwired.load(Relaxed) >= u64::from(self.patience()) {
            self.gather_unwired();
        }
        match self.search(want, who) {
            0 if self.gather_unwired() => self.search(want, who),
            freed => freed,
        }
    }

    /// Has the next search gather what the policies were made to forget, if any of it may be wired no
    /// more. Whoever unwires what is found wired from now on is noticed the next time.
    fn gather_unwired(&self) -> bool {
        let pageout = &self.pageout;
        if !pageout.some_wired.load(Relaxed) || pageout.unwired.swap(0, Acquire) == 0 {
            return false;
        }
        pageout.some_wired.store(false, Relaxed);
        pageout.unnoted.store(true, Release);
        true
    }

    /// So many pages of a map are wired no more.
    #[cold]
    pub(crate) fn unwired(&self, pages: usize) {
        if pages == 0 {
            return;
        }
        self.pageout.unwired.fetch_add(pages as u64, Release);
        match u32::try_from(pages).unwrap_or(u32::MAX) {
            few if few < self.patience() => self.frames.notice(&self.machine, few),
            _ => self.more_may_leave(),
        }
    }

    fn search(&self, want: u64, who: Who) -> u64 {
        self.count(Event::Search);
        // Address spaces above their soft limits give first: what is taken from their page tables is
        // what the policies look at next.
        self.trim_most_over(want);
        self.gather();
        let len = |kind: usize| u64::from(self.pageout.policies[kind].len());
        let mut search = Search {
            batch: Batch::new(),
            freed: 0,
            written: 0,
            cleaning: None,
            refusals: 0,
            busy: 0,
            hopeful: true,
            given_up: self.pageout.some_given_up.swap(false, Relaxed),
            more_given_up: false,
            left: [ANONYMOUS, FILE].map(|kind| REVOLUTIONS * (len(kind) + 1)),
        };
        let (mut rounds, mut looks) = (ROUNDS, 0u32);
        while search.freed + search.written < want {
            if let Some(kind) = self.choose(&search) {
                self.look_at_next(kind, &mut search);
                self.relieve(&mut search);
                looks += 1;
                let nothing_to_take = who == Who::Daemon || search.freed == 0;
                if nothing_to_take && looks % PAUSE == 0 {
                    self.machine.pause();
                }
                continue;
            }
            // Nothing is left but what others use right now, or is being cleaned.
            match search.cleaning.take() {
                Some(ticket) if search.freed + search.written == 0 && rounds > 0 => {
                    ticket.wait(self);
                    self.dirty.wait_for_room(&self.machine);
                    search.left = [ANONYMOUS, FILE].map(|kind| len(kind) + 1);
                    search.busy = 0;
                    rounds -= 1;
                }
                _ => break,
            }
        }
        search.batch.flush(self);
        search.written -= search.batch.refused;
        self.wait_for_writes();
        let freed = search.freed + search.written;
        if search.given_up && (freed > 0 || search.more_given_up) {
            self.pageout.some_given_up.store(true, Relaxed);
        }
        if freed > 0 {
            self.progressed();
            return freed;
        }
        self.count(Event::SearchVain);
        0
    }

    /// Which kind of pages is to be looked at.
    fn choose(&self, search: &Search<'_, M>) -> Option<usize> {
        let pageout = &self.pageout;
        let len = |kind: usize| u64::from(pageout.policies[kind].len());
        let able = |kind: usize| search.left[kind] > 0 && len(kind) > 0;
        let anonymous = able(ANONYMOUS) && (search.given_up || self.takes_anonymous());
        match (anonymous, able(FILE)) {
            (false, false) => None,
            (true, false) => Some(ANONYMOUS),
            (false, true) => Some(FILE),
            (true, true) => {
                let all = len(ANONYMOUS) + len(FILE);
                let floor = all * u64::from(pageout.floor.load(Relaxed)) / 100;
                if len(FILE) <= floor {
                    return Some(ANONYMOUS);
                }
                if len(ANONYMOUS) <= floor {
                    return Some(FILE);
                }
                let missed = |kind: usize| u64::from(pageout.missed[kind].load(Relaxed)) + 1;
                // Losses in proportion to what there is of each kind.
                let anonymous = missed(ANONYMOUS) * len(FILE);
                let file = missed(FILE) * len(ANONYMOUS);
                Some(if file <= anonymous { FILE } else { ANONYMOUS })
            }
        }
    }

    /// Whether anonymous pages can leave: something takes them, or some have copies.
    fn takes_anonymous(&self) -> bool {
        self.swap.total() > 0 || self.compressor.is_on()
    }

    /// Looks at the page at the hand of a policy.
    fn look_at_next<'v>(&'v self, kind: usize, search: &mut Search<'v, M>) {
        search.left[kind] -= 1;
        let policy = &self.pageout.policies[kind];
        let segments = self.frames.segments();
        let page = {
            let _policies = self.pageout.lock.lock(&self.machine, Rank::Policy);
            let Some(frame) = policy.candidate(segments) else {
                search.left[kind] = 0;
                return;
            };
            match self.page(Frame(u64::from(frame))) {
                Some(page) => page,
                None => return,
            }
        };
        self.count(Event::Scan);
        let frame = page.frame().0 as u32;
        let (claim, used, key) = match self.claim(page) {
            Ok(claim) => {
                search.busy = 0;
                let key = claim.key;
                match self.look_at(&claim) {
                    Look::Wired => return self.forget_wired(claim),
                    look => (claim, look == Look::Used, key),
                }
            }
            Err(Refused::Busy) => {
                let _policies = self.pageout.lock.lock(&self.machine, Rank::Policy);
                policy.skip(segments, frame);
                search.cleaning = Some(Ticket::new(self, &page));
                search.busy += 1;
                if search.busy > MOST {
                    search.left[kind] = 0;
                }
                return;
            }
            Err(Refused::Gone) => {
                let _policies = self.pageout.lock.lock(&self.machine, Rank::Policy);
                let identity = page.identify(&self.machine);
                // Unless the frame has just got another page. One that was truncated and is still held
                // keeps its flags.
                if page.anon::<M>(&identity).is_none() || page.test_flags(KNOWN) == 0 {
                    page.clear_flags(KNOWN);
                    policy.remove(segments, frame);
                }
                return;
            }
        };
        let verdict = {
            let _policies = self.pageout.lock.lock(&self.machine, Rank::Policy);
            let verdict = policy.judge(segments, frame, used, key);
            if verdict == Verdict::Evict {
                page.clear_flags(KNOWN);
            }
            verdict
        };
        match verdict {
            Verdict::Evict => match self.evict(claim, &mut search.batch) {
                Evicted::Freed => {
                    self.count(Event::Evict);
                    search.freed += 1;
                }
                Evicted::Writing if kind == ANONYMOUS => search.written += 1,
                Evicted::Writing => {
                    search.cleaning = Some(Ticket::new(self, &page));
                    self.readmit(page);
                    self.cooled(page);
                }
                Evicted::Kept => {
                    search.more_given_up = true;
                    self.readmit(page);
                }
                Evicted::Wired => self.pageout.some_wired.store(true, Relaxed),
                Evicted::Refused => {
                    self.readmit(page);
                    search.refusals += 1;
                }
            },
            Verdict::Keep => self.unclaim(claim),
        }
    }

    /// Takes a page that was found wired from its policy (R1).
    fn forget_wired(&self, claim: Claim<M>) {
        let page = claim.page;
        {
            let _policies = self.pageout.lock.lock(&self.machine, Rank::Policy);
            if page.clear_flags(KNOWN) & KNOWN != 0 {
                let frame = page.frame().0 as u32;
                self.pageout.policies[usize::from(claim.file)]
                    .remove(self.frames.segments(), frame);
            }
        }
        self.pageout.some_wired.store(true, Relaxed);
        self.unclaim(claim);
    }

    /// Helps where a store had no room for a page.
    fn relieve(&self, search: &mut Search<'_, M>) {
        if search.batch.compressor_is_full {
            search.batch.compressor_is_full = false;
            if search.hopeful {
                search.hopeful = self.relieve_compressor();
            }
        }
        // What is put back already may still leave; but not at the cost of looking at everything.
        if search.refusals > MOST && !search.given_up {
            search.left[ANONYMOUS] = 0;
        }
    }

    /// Waits until no page is on its way to swap.
    pub(super) fn wait_for_writes(&self) {
        loop {
            let progress = self.pageout.progress.load(Acquire);
            if self.swapping_out() == 0 {
                return;
            }
            self.machine.wait(&self.pageout.progress, progress);
        }
    }
}
