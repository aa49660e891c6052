//! What may be left in the end: the frames whose use is documented to last. These are the tables of
//! malloc types, and each processor's directory and rows of them; nothing else.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use scalvm::{Leaks, M_ORPHANS, MallocFlags, MallocType};

use super::accounts::{STATIC, TYPES};
use super::wired::kernel_map;
use crate::kit::{CPUS, Kit};
use crate::run::{Check, wrong};

/// Frames that the tables of types may need more where other programs, in the same process, have types
/// attached: numbers are shared.
const OTHERS: u64 = 24;

/// Programs that were begun, and those that have not ended.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static GOING_ON: AtomicU64 = AtomicU64::new(0);

/// How much was in use before a program.
pub struct Before {
    /// Frames; unknown where the first allocations are to fail.
    frames: Option<u64>,
    /// How many programs had begun, if none was going on.
    alone: Option<u64>,
}

impl Before {
    /// Looks at a manager that is new; with `look`, whatever lasts is made first.
    pub fn new(kit: &Kit, look: bool) -> Before {
        let others = GOING_ON.fetch_add(1, SeqCst);
        let begun = BEGUN.fetch_add(1, SeqCst) + 1;
        Before {
            frames: look.then(|| settled(kit)),
            alone: (others == 0).then_some(begun),
        }
    }

    /// Compares, when nothing is used any more.
    pub fn compare(&self, kit: &Kit) -> Check {
        let now = settled(kit);
        let alone = self.alone == Some(BEGUN.load(SeqCst));
        let most = match self.frames {
            Some(frames) if alone => frames,
            Some(frames) => frames + OTHERS,
            None => 2 * OTHERS,
        };
        let mut pools = Vec::new();
        kit.vm().each_pool(&mut |pool| {
            if pool.name != "malloc row" && (pool.in_use, pool.frames) != (0, 0) {
                pools.push(*pool);
            }
        });
        match now <= most && pools.is_empty() {
            true => Ok(()),
            false => wrong(format!("{now} frames are left, {most} may be; {pools:?}")),
        }
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        GOING_ON.fetch_sub(1, SeqCst);
    }
}

/// Frames in use once whatever lasts has been made, and all is given back that can be.
fn settled(kit: &Kit) -> u64 {
    let vm = kit.vm();
    drop(kernel_map(vm));
    let used = |ty: &'static MallocType| {
        for cpu in 0..CPUS {
            kit.on(cpu, || {
                let got = vm.malloc(ty, 1, MallocFlags::NOWAIT);
                // SAFETY: just allocated, and not used.
                got.map(|piece| unsafe { vm.free(ty, piece) })
                    .expect("memory");
            });
        }
    };
    let (still, mut gone) = TYPES.split_at(STATIC);
    for ty in still.iter().copied().chain([&M_ORPHANS]) {
        vm.set_type_limit(ty, ty.limit()).expect("memory");
        used(ty);
    }
    // The last one has the name of another.
    gone = &gone[..gone.len() - 1];
    for ty in gone {
        vm.attach_type(ty).expect("memory");
        used(ty);
    }
    for ty in gone {
        let detached = vm.detach_type(ty, Leaks::Refuse, &mut |_| ());
        detached.expect("nothing is in use");
    }
    vm.reclaim_kmem();
    let stats = vm.stats();
    stats.frames_total - stats.frames_free
}
