//! Whether what processors have cached is what the tables say.

use std::collections::{BTreeMap, BTreeSet};

use scalvm::{Frame, PAGE_SHIFT};

use crate::cpu::KERNEL_START;
use crate::machine::Emulated;
use crate::walk;

impl Emulated {
    /// Panics if a processor that uses this root table has cached something that grants more than
    /// the tables do: another frame, another way to treat it, a right, a store without the dirty
    /// bit set, an access without the accessed bit. To be called when no debt is outstanding.
    pub fn assert_no_stale(&self, root: Frame) {
        if let Some(stale) = self.find_stale(root) {
            panic!("stale translation: {stale}");
        }
    }

    /// How caches treat a frame, by the bits of the leaves from which processors have translations of it.
    pub fn ways_of(&self, frame: Frame) -> BTreeSet<u64> {
        let ways = |number| {
            let core = self.core(number);
            let of_it = core.pages.values().filter(|cached| cached.frame == frame);
            of_it.map(|cached| cached.cache).collect::<Vec<_>>()
        };
        (0..self.cpus()).flat_map(ways).collect()
    }

    /// Panics if processors have translations of one frame cached by which caches treat it in two ways: real ones
    /// may lose what is written then.
    pub fn assert_one_way(&self) {
        let mut ways = BTreeMap::new();
        for number in 0..self.cpus() {
            for (page, cached) in &self.core(number).pages {
                let way = *ways.entry(cached.frame).or_insert(cached.cache);
                assert!(
                    way == cached.cache,
                    "machine check: {:?} is treated in two ways, {way:#x} and by processor {number} for page \
                     {page:#x} {:#x}",
                    cached.frame,
                    cached.cache
                );
            }
        }
    }

    /// What [`assert_no_stale`](Emulated::assert_no_stale) would panic with.
    pub fn find_stale(&self, root: Frame) -> Option<String> {
        (0..self.cpus()).find_map(|number| self.find_stale_on(number, root))
    }

    fn find_stale_on(&self, number: usize, root: Frame) -> Option<String> {
        let core = self.core(number);
        // The kernel's half is in use whatever the root; of a program's root all is.
        let kernel = self.hardware.kernel_root == Some(root);
        if core.root != Some(root) && !kernel {
            return None;
        }
        let is_ours = |va: usize| !kernel || va >= KERNEL_START;
        let arena = &self.hardware.arena;
        for (page, cached) in &core.pages {
            let va = page << PAGE_SHIFT;
            if !is_ours(va) {
                continue;
            }
            let now = walk::look(arena, core.shape, root, va).1;
            let right = now.is_some_and(|(now, accessed)| {
                now.frame == cached.frame
                    && now.cache == cached.cache
                    && now.large == cached.large
                    && now.write >= cached.write
                    && now.exec >= cached.exec
                    && now.user == cached.user
                    && now.dirty >= cached.dirty
                    && accessed
            });
            if !right {
                return Some(format!(
                    "processor {number} has {cached:x?} for {va:#x}, where the tables say {now:x?}"
                ));
            }
        }
        for (first, cached) in &core.ways {
            let va = first << PAGE_SHIFT;
            if !is_ours(va) {
                continue;
            }
            let now = walk::look(arena, core.shape, root, va).0;
            let right = now.is_some_and(|now| {
                (now.table, now.level) == (cached.table, cached.level)
                    && now.write >= cached.write
                    && now.exec >= cached.exec
            });
            if !right {
                return Some(format!(
                    "processor {number} gets to leaves for {va:#x} by {cached:x?}, where the tables \
                     say {now:x?}"
                ));
            }
        }
        None
    }
}
