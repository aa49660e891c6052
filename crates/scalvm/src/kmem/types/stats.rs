//! What is known of each type, for lists like that of `vmstat -m`.

use super::{MallocType, TypeState, section};
use crate::kmem::Heap;
use crate::machine::Machine;
use crate::vm::Vm;

/// What is known of one type. The counts are read one after the other while others may change them,
/// and agree with each other while nobody does.
#[derive(Clone, Copy, Debug)]
pub struct TypeStats {
    /// What the type is called in the program.
    pub name: &'static str,
    /// What it is called in lists.
    pub short: &'static str,
    /// What it is for.
    pub long: &'static str,
    /// Pieces in use.
    pub in_use: u64,
    /// Bytes that those pieces take: those of their slots, or of their frames.
    pub bytes: u64,
    /// Pieces asked for, ever.
    pub requests: u64,
    /// How many of these were refused.
    pub failures: u64,
    /// How many of these waited at the limit.
    pub waits: u64,
    /// The most bytes that were in use at one time. Never told too low; too high by at most 512 KiB
    /// for each processor, or not at all where there is a limit, and by what other processors had
    /// drawn at that moment for requests that then failed.
    pub high_water: u64,
    /// How many bytes may be in use.
    pub limit: Option<u64>,
    /// The same by the size of pieces.
    pub buckets: [BucketStats; BucketStats::COUNT],
}

/// The pieces of one size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BucketStats {
    /// Bytes in each; 0 for pieces larger than the largest class, each of which has as many frames
    /// as it needs.
    pub size: usize,
    /// How many are in use.
    pub in_use: u64,
    /// Bytes in them all.
    pub bytes: u64,
    /// How many were given out, ever.
    pub taken: u64,
}

impl BucketStats {
    /// How many sizes there are.
    pub const COUNT: usize = Heap::BUCKETS;
}

impl TypeStats {
    /// Of a type that was never used here.
    fn unused(ty: &'static MallocType) -> TypeStats {
        TypeStats {
            name: ty.name(),
            short: ty.short(),
            long: ty.long(),
            in_use: 0,
            bytes: 0,
            requests: 0,
            failures: 0,
            waits: 0,
            high_water: 0,
            limit: ty.limit(),
            buckets: core::array::from_fn(|bucket| BucketStats {
                size: Heap::bucket_size(bucket),
                ..BucketStats::default()
            }),
        }
    }

    fn of(ty: &'static MallocType, state: &TypeState) -> TypeStats {
        let mut stats = TypeStats::unused(ty);
        let (sums, held) = (state.sums(), state.held());
        for (bucket, stats) in stats.buckets.iter_mut().enumerate() {
            stats.in_use = sums.pieces(bucket);
            stats.bytes = sums.bytes(bucket, held);
            stats.taken = sums.taken[bucket];
        }
        let sum = |of: fn(&BucketStats) -> u64| stats.buckets.iter().map(of).sum();
        TypeStats {
            in_use: sum(|it| it.in_use),
            bytes: sum(|it| it.bytes),
            requests: sum(|it| it.taken) + state.failures(),
            failures: state.failures(),
            waits: state.waits(),
            high_water: state.high(),
            limit: state.limit(),
            ..stats
        }
    }
}

impl<M: Machine> Vm<M> {
    /// Tells of each type: the static ones, used or not, and those that are attached. No lock is
    /// held while `f` runs. Does not block.
    pub fn each_type(&self, f: &mut dyn FnMut(&TypeStats)) {
        for &ty in section::all() {
            if self.types.find(ty).is_none() {
                f(&TypeStats::unused(ty));
            }
        }
        for (ty, attached) in self.types.known() {
            f(&TypeStats::of(ty, &attached.state));
        }
    }

    /// What is known of one type: none if it is not attached.
    pub fn type_stats(&self, ty: &'static MallocType) -> Option<TypeStats> {
        match self.types.find(ty) {
            Some(attached) => Some(TypeStats::of(ty, &attached.state)),
            None => section::place(ty).map(|_| TypeStats::unused(ty)),
        }
    }
}
