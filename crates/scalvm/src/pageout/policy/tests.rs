//! The policies replay references over real page descriptors, with the machine replaced by a mark
//! of use for each page. The references are made up; `docs/performance.md` has the figures of
//! recorded ones.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::vec::Vec;

use super::{Policy, PolicyKind, Verdict};
use crate::page::{Frames, State};
use crate::testing::{Random, TestMachine};

const BOTH: [PolicyKind; 2] = [PolicyKind::Clock, PolicyKind::ClockPro];

/// A page in memory.
struct Resident {
    key: u64,
    used: bool,
}

/// A memory of a fixed number of frames.
struct Memory {
    _machine: TestMachine,
    frames: Frames,
    policy: Policy,
    free: Vec<u32>,
    /// By frame.
    pages: HashMap<u32, Resident>,
    /// The frame of each key.
    at: HashMap<u64, u32>,
    misses: usize,
    refaults: usize,
    /// Candidates that were looked at.
    looks: usize,
    /// Whether to check invariants at every step.
    careful: bool,
}

impl Memory {
    fn new(kind: PolicyKind, frames: usize) -> Memory {
        // The descriptors and records have room besides.
        let all = (frames + frames / 20 + 20) as u64;
        let machine = TestMachine::new(all);
        let memory = Frames::new();
        // SAFETY: the arena is ours.
        unsafe { memory.add_segment(&machine, machine.frame(0), machine.frame(all)) }.unwrap();
        let policy = Policy::new(false);
        policy.start(&machine, &memory, kind).unwrap();
        let mut free = Vec::new();
        while free.len() < frames {
            let page = memory.alloc_page(&machine, State::Anon).expect("room");
            free.push(page.frame().0 as u32);
        }
        Memory {
            _machine: machine,
            frames: memory,
            policy,
            free,
            pages: HashMap::new(),
            at: HashMap::new(),
            misses: 0,
            refaults: 0,
            looks: 0,
            careful: false,
        }
    }

    /// Refers to a page, as a program does; tells whether it was missed.
    fn refer(&mut self, key: u64) -> bool {
        if let Some(frame) = self.at.get(&key) {
            self.pages.get_mut(frame).unwrap().used = true;
            return false;
        }
        self.misses += 1;
        while self.free.is_empty() {
            self.look();
        }
        let frame = self.free.pop().unwrap();
        let segments = self.frames.segments();
        self.refaults += usize::from(self.policy.insert(segments, frame, key));
        // The access is repeated and marks the page.
        self.pages.insert(frame, Resident { key, used: true });
        self.at.insert(key, frame);
        if self.careful {
            self.policy.check_invariants(segments);
        }
        true
    }

    /// One step of the daemon.
    fn look(&mut self) {
        self.looks += 1;
        let segments = self.frames.segments();
        let frame = self.policy.candidate(segments).expect("a page to look at");
        let Some(page) = self.pages.get_mut(&frame) else {
            return self.policy.remove(segments, frame);
        };
        let used = core::mem::take(&mut page.used);
        let key = page.key;
        if self.policy.judge(segments, frame, used, key) == Verdict::Evict {
            self.forget(frame);
        }
        if self.careful {
            self.policy.check_invariants(self.frames.segments());
        }
    }

    /// The page is not in memory any more, and nobody tells the policy.
    fn forget(&mut self, frame: u32) {
        let page = self.pages.remove(&frame).unwrap();
        self.at.remove(&page.key);
        self.free.push(frame);
    }
}

/// Misses of a policy, in percent.
fn misses(kind: PolicyKind, frames: usize, keys: &[u64]) -> f64 {
    let mut memory = Memory::new(kind, frames);
    keys.iter().for_each(|&key| _ = memory.refer(key));
    memory.policy.check_invariants(memory.frames.segments());
    assert!(
        memory.looks < 4 * memory.misses + keys.len(),
        "{kind:?} looks at too many pages"
    );
    percent(memory.misses, keys.len())
}

fn percent(part: usize, all: usize) -> f64 {
    part as f64 * 100.0 / all as f64
}

/// Misses of the best that can be done: what is needed last leaves.
fn best(frames: usize, keys: &[u64]) -> f64 {
    let mut next = std::vec![usize::MAX; keys.len()];
    let mut seen = HashMap::new();
    for (at, key) in keys.iter().enumerate().rev() {
        next[at] = seen.insert(*key, at).unwrap_or(keys.len() + at);
    }
    let (mut resident, mut misses) = (BTreeSet::new(), 0);
    for (at, &next) in next.iter().enumerate() {
        if !resident.remove(&at) {
            misses += 1;
            if resident.len() == frames {
                resident.pop_last();
            }
        }
        resident.insert(next);
    }
    percent(misses, keys.len())
}

/// Misses of the plain clock, which does not count the access for which a page came.
fn plain_clock(frames: usize, keys: &[u64]) -> f64 {
    let (mut used, mut queue, mut misses) = (HashMap::new(), VecDeque::new(), 0);
    for &key in keys {
        if let Some(used) = used.get_mut(&key) {
            *used = true;
            continue;
        }
        misses += 1;
        while queue.len() == frames {
            let oldest = queue.pop_front().unwrap();
            if core::mem::take(used.get_mut(&oldest).unwrap()) {
                queue.push_back(oldest);
            } else {
                used.remove(&oldest);
            }
        }
        used.insert(key, false);
        queue.push_back(key);
    }
    percent(misses, keys.len())
}

/// References of which few keys have many.
fn skewed(seed: u64, keys: usize, count: usize) -> Vec<u64> {
    let mut random = Random(seed);
    let mut draw = || {
        // Each half of the keys is as popular as what is left of it: about Zipf's law.
        let mut most = keys;
        while most > 1 && random.below(6) > 0 {
            most /= 2;
        }
        random.below(most) as u64
    };
    (0..count).map(|_| draw()).collect()
}

#[test]
fn a_loop_larger_than_memory_costs_what_does_not_fit() {
    let keys: Vec<u64> = (0..40).flat_map(|_| 0..220).collect();
    let (best, clock) = (best(200, &keys), misses(PolicyKind::Clock, 200, &keys));
    let pro = misses(PolicyKind::ClockPro, 200, &keys);
    assert_eq!(clock, 100.0, "a clock evicts what is needed next");
    assert!(pro < best + 7.0, "{pro} where {best} is possible");
}

#[test]
fn a_program_that_follows_another_begins_as_the_first_one_did() {
    let mut memory = Memory::new(PolicyKind::ClockPro, 200);
    let mut loops = |first: u64| {
        let before = memory.misses;
        for _ in 0..40 {
            (first..first + 220).for_each(|key| _ = memory.refer(key));
        }
        let frames: Vec<u32> = memory.at.values().copied().collect();
        frames.into_iter().for_each(|frame| memory.forget(frame));
        memory.policy.check_invariants(memory.frames.segments());
        memory.misses - before
    };
    let first = loops(0);
    assert!(first < 40 * 40, "{first} misses");
    for n in 1..4 {
        let later = loops(1000 * n);
        assert!(later < first + first / 4, "{later} misses, first {first}");
    }
}

#[test]
fn a_scan_leaves_the_working_set() {
    for (kind, most) in [(PolicyKind::Clock, 100), (PolicyKind::ClockPro, 2)] {
        let mut memory = Memory::new(kind, 100);
        let mut random = Random(5);
        for _ in 0..2000 {
            memory.refer(random.below(80) as u64);
            if random.below(4) == 0 {
                memory.refer(1000 + random.below(100_000) as u64);
            }
        }
        for key in 1_000_000..1_001_000 {
            memory.refer(key);
        }
        let before = memory.misses;
        (0..80).for_each(|key| _ = memory.refer(key));
        let lost = memory.misses - before;
        assert!(lost <= most, "{kind:?} has lost {lost} of 80 pages");
        assert!(
            kind == PolicyKind::ClockPro || lost > 70,
            "a clock loses all"
        );
    }
}

#[test]
fn the_first_use_of_a_page_brought_ahead_is_no_second_one() {
    let mut memory = Memory::new(PolicyKind::ClockPro, 100);
    (0..120).for_each(|key| _ = memory.refer(key));
    let hot = memory.policy.counts().active;
    for key in 1000..2000 {
        // The next one is brought, and looked at before it is used.
        memory.refer(key);
        let frame = memory.at[&key];
        memory.pages.get_mut(&frame).unwrap().used = false;
        while memory.policy.counts().fresh > 0 {
            memory.look();
        }
        memory.refer(key);
    }
    let stayed = memory.at.keys().filter(|&&key| key < 120).count();
    assert!(stayed >= hot as usize, "{stayed} of {hot} have stayed");
    assert_eq!(memory.refaults, 0);
}

#[test]
fn a_new_working_set_takes_the_place_of_the_old_one() {
    for kind in BOTH {
        let mut memory = Memory::new(kind, 100);
        let mut random = Random(6);
        (0..3000).for_each(|_| _ = memory.refer(random.below(90) as u64));
        (0..3000).for_each(|_| _ = memory.refer(1000 + random.below(90) as u64));
        let before = memory.misses;
        (0..1000).for_each(|_| _ = memory.refer(1000 + random.below(90) as u64));
        assert!(memory.misses - before <= 10, "{kind:?}");
    }
}

#[test]
fn skewed_references_come_near_to_the_best() {
    let keys = skewed(7, 4096, 60_000);
    for frames in [50, 200, 800] {
        let best = best(frames, &keys);
        let (clock, pro) = BOTH.map(|kind| misses(kind, frames, &keys)).into();
        assert!(
            clock < 2.0 * best,
            "clock: {clock} where {best} is possible"
        );
        assert!(
            pro < 1.7 * best,
            "CLOCK-Pro: {pro} where {best} is possible"
        );
        assert!(pro < 0.95 * clock, "CLOCK-Pro: {pro}, clock: {clock}");
    }
}

#[test]
fn the_clock_is_the_plain_clock_but_for_first_uses() {
    let mixed = skewed(9, 1000, 20_000).into_iter().enumerate();
    let mixed = mixed.map(|(at, key)| {
        if at % 4 == 0 {
            2000 + at as u64 % 900
        } else {
            key
        }
    });
    for keys in [skewed(8, 1000, 20_000), mixed.collect()] {
        for frames in [40, 150, 500] {
            let (plain, ours) = (
                plain_clock(frames, &keys),
                misses(PolicyKind::Clock, frames, &keys),
            );
            assert!(
                ours < plain + 1.0 && ours > plain - 2.0,
                "{ours} instead of {plain}"
            );
        }
    }
}

#[test]
fn what_is_missed_soon_after_it_left_is_known() {
    let mut memory = Memory::new(PolicyKind::ClockPro, 50);
    (0..60).for_each(|key| _ = memory.refer(key));
    assert_eq!(memory.refaults, 0);
    let gone = (0..60)
        .rev()
        .find(|key| !memory.at.contains_key(key))
        .unwrap();
    memory.refer(gone);
    assert_eq!(memory.refaults, 1);
    // What was missed stays longer than what is used once.
    (1000..1040).for_each(|key| _ = memory.refer(key));
    assert!(!memory.refer(gone));
}

#[test]
fn a_trimmed_page_leaves_next() {
    for kind in BOTH {
        let mut memory = Memory::new(kind, 50);
        (0..60).for_each(|key| _ = memory.refer(key));
        let segments = memory.frames.segments();
        let (&frame, page) = memory.pages.iter_mut().next().unwrap();
        let key = page.key;
        page.used = false;
        // What came last is settled first.
        while let Some(next) = memory.policy.candidate(segments)
            && memory.policy.counts().fresh > 0
        {
            memory
                .policy
                .judge(segments, next, true, memory.pages[&next].key);
        }
        memory.policy.cool(segments, frame);
        memory.policy.check_invariants(segments);
        assert_eq!(memory.policy.candidate(segments), Some(frame), "{kind:?}");
        let verdict = memory.policy.judge(segments, frame, false, key);
        assert_eq!(verdict, Verdict::Evict);
        memory.policy.reinsert(segments, frame);
        memory.policy.check_invariants(segments);
        assert_eq!(memory.policy.len(), 50);
    }
}

#[test]
fn invariants_hold_at_every_step() {
    for kind in BOTH {
        for frames in [1, 2, 3, 30] {
            let mut memory = Memory::new(kind, frames);
            memory.careful = true;
            let keys = skewed(10 + frames as u64, 8 * frames, 600);
            for (at, key) in keys.into_iter().enumerate() {
                memory.refer(key);
                if at % 50 == 49 {
                    // A program ends: some of its pages are gone, and nobody tells.
                    let frames: Vec<u32> = memory.pages.keys().copied().step_by(3).collect();
                    frames.into_iter().for_each(|frame| memory.forget(frame));
                }
            }
        }
    }
}

/// Two policies share the frames; whatever can happen does.
#[test]
fn frames_change_between_policies() {
    for kind in BOTH {
        let memory = Memory::new(kind, 40);
        let (anonymous, file) = (memory.policy, Policy::new(true));
        file.start(&memory._machine, &memory.frames, kind).unwrap();
        let (segments, policies) = (memory.frames.segments(), [anonymous, file]);
        let mut random = Random(11);
        // Of each frame, the policy that has it and its key.
        let mut model: HashMap<u32, (usize, u64)> = HashMap::new();
        for _ in 0..20_000 {
            let frame = memory.free[random.below(40)];
            let which = random.below(2);
            let key = random.below(100) as u64;
            match random.below(8) {
                0 | 1 => {
                    policies[1 - which].remove(segments, frame);
                    policies[which].insert(segments, frame, key);
                    model.insert(frame, (which, key));
                }
                2 => {
                    policies[which].remove(segments, frame);
                    model
                        .remove(&frame)
                        .filter(|it| it.0 != which)
                        .map(|it| model.insert(frame, it));
                }
                3 if model.get(&frame).is_some_and(|it| it.0 == which) => {
                    policies[which].cool(segments, frame);
                }
                4 => {
                    policies[which].skip(segments, frame);
                }
                _ => {
                    let Some(frame) = policies[which].candidate(segments) else {
                        assert!(model.values().all(|it| it.0 != which));
                        continue;
                    };
                    let (has, key) = model[&frame];
                    assert_eq!(has, which, "a candidate is among the policy's pages");
                    let used = random.below(2) == 0;
                    if policies[which].judge(segments, frame, used, key) == Verdict::Evict {
                        assert!(!used, "what was used stays");
                        if random.below(4) == 0 {
                            policies[which].reinsert(segments, frame);
                        } else {
                            model.remove(&frame);
                        }
                    }
                }
            }
            for (which, policy) in policies.iter().enumerate() {
                policy.check_invariants(segments);
                let pages = model.values().filter(|it| it.0 == which).count();
                assert_eq!(policy.len() as usize, pages);
                let counts = policy.counts();
                assert!(counts.remembered <= 2 * 40 + 2, "{counts:?}");
            }
        }
    }
}

#[test]
fn what_is_remembered_shrinks_with_what_there_is() {
    let mut memory = Memory::new(PolicyKind::ClockPro, 200);
    (0..2000).for_each(|key| _ = memory.refer(key));
    assert!(memory.policy.counts().remembered > 190);
    let frames: Vec<u32> = memory.pages.keys().copied().collect();
    for frame in frames {
        memory.policy.remove(memory.frames.segments(), frame);
        memory.forget(frame);
    }
    memory.free.truncate(10);
    (5000..5200).for_each(|key| _ = memory.refer(key));
    let counts = memory.policy.counts();
    assert_eq!(counts.pages(), 10);
    assert!(counts.remembered <= 22, "{counts:?}");
}

#[test]
fn hot_pages_are_found_behind_any_number_of_records() {
    for tests in 1..40 {
        let mut memory = Memory::new(PolicyKind::ClockPro, 100);
        // Memory has been full once.
        (0..101).for_each(|key| _ = memory.refer(key));
        let (segments, policy) = (memory.frames.segments(), &memory.policy);
        let frames: Vec<u32> = memory.pages.keys().copied().collect();
        frames
            .iter()
            .for_each(|&frame| policy.remove(segments, frame));
        // Tests of pages that are gone, and then one page that is missed.
        let used = &frames[..=tests];
        for (key, &frame) in (1000..).zip(used) {
            policy.insert(segments, frame, key);
        }
        used.iter()
            .for_each(|&frame| policy.remove(segments, frame));
        assert!(policy.insert(segments, frames[0], 1000 + tests as u64));
        assert_eq!(policy.counts().active, 1);
        assert!(policy.counts().remembered >= tests as u32);
        assert_eq!(policy.candidate(segments), Some(frames[0]));
    }
}

#[test]
fn a_policy_starts_wholly_or_not_at_all() {
    let machine = TestMachine::new(1000);
    let frames = Frames::new();
    // SAFETY: the arena is ours.
    unsafe { frames.add_segment(&machine, machine.frame(0), machine.frame(1000)) }.unwrap();
    let policy = Policy::new(true);
    for allowed in 0.. {
        machine.allow(allowed);
        let started = policy.start(&machine, &frames, PolicyKind::ClockPro);
        machine.allow_all();
        if started.is_ok() {
            // 20 bytes for each frame, and the two directories of the table.
            assert_eq!(frames.count(State::Kernel), 1000 * 20 / 4096 + 3);
            break;
        }
        assert_eq!(frames.count(State::Kernel), 0);
    }
    policy.check_invariants(frames.segments());
}
