//! One thread of a program, with what it has.

use std::sync::atomic::Ordering::Relaxed;

use scalvm::{Frame, FrameLimits, Machine, OutOfMemory, PAGE_SIZE, Vm};

use super::objects::count_in;
use super::program::Op;
use super::world::{Goods, World, lock};
use crate::kit::{CPUS, Hw};
use crate::program::Step;
use crate::run::{Check, wrong};

/// A thread.
pub struct Worker<'w, 'k> {
    pub(super) world: &'w World<'k>,
    /// Which one.
    pub(super) number: usize,
    /// What it has.
    pub(super) goods: Goods<'k>,
}

impl<'w, 'k> Worker<'w, 'k> {
    /// A thread that has nothing.
    pub fn new(world: &'w World<'k>, number: usize) -> Worker<'w, 'k> {
        Worker {
            world,
            number,
            goods: Goods::default(),
        }
    }

    pub(super) fn vm(&self) -> &'k Vm<Hw> {
        self.world.vm()
    }

    /// Carries out a step.
    pub fn step(&mut self, step: &Step<Op>) -> Check {
        if self.world.loud {
            eprintln!("[{}: {step}]", self.number);
        }
        count_in(&self.world.counts);
        self.open_mail();
        let a = step.args;
        if !self.world.is_alone() {
            return self.act(step.op, a);
        }
        // A single thread is on every processor in turn.
        let kit = self.world.kit;
        kit.on(a[0] as usize % CPUS, || self.act(step.op, a))
    }

    fn act(&mut self, op: Op, a: [u32; 6]) -> Check {
        match op {
            Op::Malloc => self.malloc(a),
            Op::Several => self.several(a),
            Op::Realloc => self.realloc(a),
            Op::Free => self.free(a),
            Op::FreeSeveral => self.free_several(a),
            Op::Wait => self.wait(a),
            Op::Give => self.give(a),
            Op::Touch => self.touch(a),
            Op::Attach => self.attach(a),
            Op::Detach => self.detach(a),
            Op::Limit => self.limit(a),
            Op::Range => self.range(a),
            Op::Within => self.range_within(a),
            Op::FreeRange => self.free_range(a),
            Op::FreeWrongly => self.free_wrongly(a),
            Op::Span => self.span(a),
            Op::ReclaimArena => self.reclaim_arena(a),
            Op::Hog => self.hog(a),
            Op::Unhog => self.unhog(a),
            Op::FailAllocation => self.fail_allocation(a),
            Op::FailSometimes => self.fail_sometimes(a),
            Op::Map => self.map_kernel(a),
            Op::Unmap => self.unmap_kernel(a),
            Op::Reclaim => self.reclaim(),
            Op::AddMemory => self.add_memory(a),
            Op::Take => self.take_objects(a),
            Op::Put => self.put_objects(a),
            Op::Reserve => self.reserve(a),
            Op::Shrink => self.shrink(a),
        }
    }

    /// Takes what others have handed over.
    fn open_mail(&mut self) {
        let Goods {
            mut pieces,
            mut things,
            mut ranges,
            mut wired,
            mut frames,
        } = std::mem::take(&mut *lock(&self.world.mail[self.number]));
        self.goods.pieces.append(&mut pieces);
        self.goods.things.append(&mut things);
        self.goods.ranges.append(&mut ranges);
        self.goods.wired.append(&mut wired);
        self.goods.frames.append(&mut frames);
    }

    /// To whom, which.
    fn give(&mut self, [_, to, which, _, _, _]: [u32; 6]) -> Check {
        fn part<T>(from: &mut Vec<T>, to: &mut Vec<T>, which: u32) {
            // Those at the end are the newest.
            let count = from.len().div_ceil(2 + which as usize % 4);
            to.extend(from.drain(from.len() - count..));
        }
        let mut mail = lock(&self.world.mail[to as usize % self.world.mail.len()]);
        part(&mut self.goods.pieces, &mut mail.pieces, which);
        self.goods.things.share(&mut mail.things);
        part(&mut self.goods.ranges, &mut mail.ranges, which);
        part(&mut self.goods.wired, &mut mail.wired, which);
        Ok(())
    }

    /// How many in a row, how many such rows, where.
    fn hog(&mut self, [_, count, many, below, align, _]: [u32; 6]) -> Check {
        let count = [1, 1, 2, 4, 16, 3, 7, 12][count as usize % 8];
        let limits = FrameLimits {
            below: (below % 5 == 4).then_some(Frame(0x8000)),
            align: [1, 1, 1, 8, 32][align as usize % 5],
            boundary: [0, 0, 16][align as usize % 3],
        };
        for _ in 0..1 + many % 24 {
            let before = self.world.kit.failures()[0];
            match self.vm().alloc_frames(count, &limits) {
                Ok(frame) => self.keep_frames(frame, count, &limits)?,
                Err(OutOfMemory) => {
                    if self.world.kit.failures()[0] != before {
                        self.world.fail_nothing();
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    fn keep_frames(&mut self, first: Frame, count: usize, limits: &FrameLimits) -> Check {
        let last = first.0 + count as u64 - 1;
        let low = limits.below.is_none_or(|below| last < below.0);
        let crosses = limits.boundary != 0 && first.0 / limits.boundary != last / limits.boundary;
        if !low || crosses || !first.0.is_multiple_of(limits.align) {
            return wrong(format!(
                "{count} frames from {first:x?} on, with {limits:x?}"
            ));
        }
        let at = self.vm().machine().frame_ptr(first).addr();
        self.goods.frames.push((first, count));
        self.world.take_memory(at, count * PAGE_SIZE)
    }

    /// How many.
    fn unhog(&mut self, [_, many, _, _, _, _]: [u32; 6]) -> Check {
        for _ in 0..1 + many % 40 {
            let Some((first, count)) = self.goods.frames.pop() else {
                break;
            };
            let at = self.vm().machine().frame_ptr(first).addr();
            self.world.give_memory(at);
            // SAFETY: so many were allocated, and nobody uses them.
            unsafe { self.vm().free_frames(first, count) };
        }
        Ok(())
    }

    /// Frees everything.
    pub fn finish(&mut self) -> Check {
        count_in(&self.world.counts);
        self.open_mail();
        self.put_all()?;
        while !self.goods.frames.is_empty() {
            self.unhog([0; 6])?;
        }
        for (n, piece) in std::mem::take(&mut self.goods.pieces)
            .into_iter()
            .enumerate()
        {
            self.let_go(piece, n as u32)?;
        }
        for range in std::mem::take(&mut self.goods.ranges) {
            self.let_range_go(range)?;
        }
        for wired in std::mem::take(&mut self.goods.wired) {
            self.let_wired_go(wired)?;
        }
        Ok(())
    }

    /// Nothing of what is cached is left, and no piece is.
    fn reclaim(&mut self) -> Check {
        let free = self.vm().stats().frames_free;
        let given = self.vm().reclaim_kmem();
        let now = self.vm().stats().frames_free;
        self.world.say(|| format!("{given} frames came back"));
        if self.world.is_alone() && now != free + given {
            return wrong(format!("{given} frames came back, but {free} became {now}"));
        }
        Ok(())
    }

    /// How much.
    fn add_memory(&mut self, [_, frames, _, _, _, _]: [u32; 6]) -> Check {
        let before = self.vm().stats().frames_total;
        let added = self.world.kit.add_memory(16 + u64::from(frames % 48));
        let now = self.vm().stats().frames_total;
        match now > before || !added {
            true => Ok(()),
            false => wrong("memory was added, but there is not more of it"),
        }
    }
}

/// Steps that are carried out while nothing else happens.
pub fn is_apart(op: Op) -> bool {
    matches!(
        op,
        Op::Limit | Op::Span | Op::AddMemory | Op::FailAllocation | Op::FailSometimes
    )
}

impl World<'_> {
    /// Compares everything, while nothing else happens.
    pub fn compare(&self, workers: &[&Worker<'_, '_>]) -> Check {
        let mails: Vec<_> = self.mail.iter().map(lock).collect();
        let all = mails.iter().flat_map(|mail| &mail.pieces);
        let all = all.chain(workers.iter().flat_map(|worker| &worker.goods.pieces));
        let pieces: Vec<_> = all.collect();
        pieces.iter().try_for_each(|piece| piece.check())?;
        let alone = self.is_alone();
        self.accounts.compare(self.vm(), &pieces, alone)?;
        self.arenas.compare(self)?;
        let things = mails.iter().map(|mail| &mail.things);
        let things = things.chain(workers.iter().map(|worker| &worker.goods.things));
        self.caches
            .compare(&self.counts, &things.collect::<Vec<_>>())?;
        self.kernel.compare(self)?;
        self.vm().check_invariants();
        if !self.sometimes.load(Relaxed) && !self.kit.is_failing() {
            self.troubled.store(false, Relaxed);
        }
        let held = self.vm().machine().held_locks();
        match held.is_empty() {
            true => Ok(()),
            false => wrong(format!("{held:?} are still locked")),
        }
    }
}
