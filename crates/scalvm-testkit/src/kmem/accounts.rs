//! What each type must have in use.

use std::collections::BTreeMap;
use std::sync::Mutex;

use scalvm::{BucketStats, M_ORPHANS, MallocType, PAGE_SIZE, TypeStats, Vm, malloc_type};

use super::pieces::Piece;
use super::world::lock;
use crate::kit::{CPUS, Hw};
use crate::run::{Check, wrong};

malloc_type!(M_ONE, "testkit-one", "pieces of random programs");
malloc_type!(M_TWO, "testkit-two", "more pieces of random programs");
malloc_type!(
    M_FEW,
    "testkit-few",
    "pieces of which there are few",
    limit = 24 << 10
);
malloc_type!(
    M_WAIT,
    "testkit-wait",
    "pieces that are waited for",
    limit = 12 << 10
);
malloc_type!(dynamic M_MOD, "testkit-mod", "of a module");
malloc_type!(dynamic M_MOD_FEW, "testkit-mod-few", "of a module, few", limit = 6 << 10);
malloc_type!(dynamic M_MOD_THREE, "testkit-mod3", "of a third module");
malloc_type!(dynamic M_MOD_LIKE, "testkit-mod", "has the name of another one");

/// All types that programs use: the static ones first.
pub static TYPES: [&MallocType; 8] = [
    &M_ONE,
    &M_TWO,
    &M_FEW,
    &M_WAIT,
    &M_MOD,
    &M_MOD_FEW,
    &M_MOD_THREE,
    &M_MOD_LIKE,
];
/// The number of the one that is waited for. Its pieces live for one step.
pub const WAITED: usize = 3;
/// How many are static.
pub const STATIC: usize = 4;
/// In the place of a type's number: those left behind.
pub const ORPHANS: usize = TYPES.len();
/// Bytes that a processor may have drawn of a type ahead of their use, as documented.
const CREDIT: u64 = 512 << 10;
/// The same for all processors.
const SLACK: u64 = CREDIT * CPUS as u64;

/// One type.
#[derive(Clone, Copy)]
pub struct Account {
    /// Whether memory of it can be had.
    pub attached: bool,
    /// How often it was detached.
    pub generation: u32,
    /// The most bytes that may be in use.
    pub limit: Option<u64>,
    /// Requests that were granted since it was attached, and those that were refused.
    pub granted: u64,
    /// Those that were refused.
    pub refused: u64,
    /// The most bytes that were surely in use at one time.
    pub high: u64,
    /// Bytes that are surely in use.
    pub sure: u64,
    /// Bytes that may be in use, and the most that this has been since all was compared last.
    pub possible: [u64; 2],
    /// How many are about to free memory under this type.
    pub freeing: u32,
}

/// All types.
pub struct Accounts {
    accounts: Vec<Mutex<Account>>,
    /// The sizes of pieces, those of frames left out.
    pub classes: Vec<usize>,
}

impl Accounts {
    /// As they are while nothing is in use.
    pub fn new(vm: &Vm<Hw>) -> Accounts {
        let stats = vm.type_stats(&M_ONE).expect("a static type");
        let sizes = stats.buckets.iter().map(|bucket| bucket.size);
        let accounts = TYPES.iter().map(|ty| {
            let stats = vm.type_stats(ty);
            Mutex::new(Account {
                attached: stats.is_some(),
                generation: 0,
                limit: ty.limit(),
                granted: stats.map_or(0, |stats| stats.requests - stats.failures),
                refused: stats.map_or(0, |stats| stats.failures),
                high: stats.map_or(0, |stats| stats.high_water),
                sure: 0,
                possible: [0; 2],
                freeing: 0,
            })
        });
        Accounts {
            accounts: accounts.collect(),
            classes: sizes.filter(|size| *size != 0).collect(),
        }
    }

    /// One of them, to look at or change.
    pub fn with<R>(&self, ty: usize, act: impl FnOnce(&mut Account) -> R) -> R {
        act(&mut lock(&self.accounts[ty]))
    }

    /// What a piece of this size and alignment takes: its bucket, and its bytes.
    pub fn slot(&self, size: usize, align: usize) -> (usize, u64) {
        let size = match align {
            ..=16 => size,
            _ => size.max(align).next_power_of_two(),
        };
        match self.classes.iter().position(|class| *class >= size) {
            Some(bucket) => (bucket, self.classes[bucket] as u64),
            None => (self.classes.len(), size.next_multiple_of(PAGE_SIZE) as u64),
        }
    }

    /// Somebody asks for memory of a type.
    pub fn begin(&self, ty: usize, bytes: u64) {
        self.with(ty, |account| {
            let [now, most] = &mut account.possible;
            *now += bytes;
            *most = (*most).max(*now);
        });
    }

    /// Somebody got it, and it counts from now on.
    pub fn granted(&self, ty: usize, bytes: u64) -> Check {
        self.with(ty, |account| {
            account.granted += 1;
            account.sure += bytes;
            account.high = account.high.max(account.sure);
            match account.limit {
                Some(limit) if account.sure > limit => wrong(format!(
                    "{} bytes of {:?} are in use, which may have {limit}",
                    account.sure, TYPES[ty]
                )),
                _ => Ok(()),
            }
        })
    }

    /// Somebody did not get it. (Without memory for what is known of a type, it is not noted.)
    pub fn refused(&self, ty: usize, bytes: u64) {
        self.with(ty, |account| {
            account.refused += u64::from(account.granted != 0);
            account.possible[0] -= bytes;
        });
    }

    /// Compares what the manager tells of all types with the pieces that there are. Nothing else runs.
    pub fn compare(&self, vm: &Vm<Hw>, pieces: &[&Piece], alone: bool) -> Check {
        let mut known = BTreeMap::new();
        let mut names = Vec::new();
        vm.each_type(&mut |stats| {
            names.push(stats.name);
            known.insert(stats.name, *stats);
        });
        if names.len() != known.len() {
            return wrong(format!("a type is told of twice: {names:?}"));
        }
        for (n, ty) in TYPES.iter().copied().chain([&M_ORPHANS]).enumerate() {
            let account = (n < TYPES.len()).then(|| self.with(n, |account| *account));
            let attached = account.is_none_or(|account| account.attached);
            let stats = known.get(ty.name());
            if stats.is_some() != attached {
                return wrong(format!("{ty:?} is told of: {}", stats.is_some()));
            }
            let Some(stats) = stats else { continue };
            let mine: Vec<&Piece> = pieces
                .iter()
                .copied()
                .filter(|piece| self.account_of(piece) == n)
                .collect();
            self.compare_use(ty, stats, &mine)?;
            if let Some(account) = account {
                compare_history(ty, stats, &account, alone)?;
                self.with(n, |account| {
                    let [now, most] = &mut account.possible;
                    *most = *now;
                });
            }
        }
        Ok(())
    }

    /// Which type a piece counts for.
    pub fn account_of(&self, piece: &Piece) -> usize {
        match self.with(piece.ty, |account| account.generation) == piece.generation {
            true => piece.ty,
            false => ORPHANS,
        }
    }

    fn compare_use(&self, ty: &MallocType, stats: &TypeStats, mine: &[&Piece]) -> Check {
        let bytes: u64 = mine.iter().map(|piece| piece.bytes).sum();
        if (stats.in_use, stats.bytes) != (mine.len() as u64, bytes) {
            return wrong(format!(
                "{ty:?} has {} pieces with {} bytes, must have {} with {bytes}",
                stats.in_use,
                stats.bytes,
                mine.len()
            ));
        }
        for (bucket, stats) in stats.buckets.iter().enumerate() {
            let mine = mine.iter().filter(|piece| piece.bucket == bucket);
            let (pieces, bytes) = mine.fold((0, 0), |(n, sum), piece| (n + 1, sum + piece.bytes));
            let BucketStats {
                in_use, bytes: has, ..
            } = *stats;
            if (in_use, has) != (pieces, bytes) {
                return wrong(format!(
                    "{ty:?}, pieces of {}: {in_use} with {has} bytes, must be {pieces} with {bytes}",
                    stats.size
                ));
            }
        }
        Ok(())
    }
}

/// What a type has done since it was attached.
fn compare_history(ty: &MallocType, stats: &TypeStats, account: &Account, alone: bool) -> Check {
    let granted = stats.requests - stats.failures;
    if granted != account.granted || stats.failures < account.refused {
        return wrong(format!(
            "{ty:?}: {} requests, {} refused; must be {} granted and {} refused",
            stats.requests, stats.failures, account.granted, account.refused
        ));
    }
    let taken: u64 = stats.buckets.iter().map(|bucket| bucket.taken).sum();
    if taken != granted {
        return wrong(format!("{ty:?}: {taken} pieces taken, {granted} granted"));
    }
    if stats.limit != account.limit {
        return wrong(format!("{ty:?}: the limit is {:?}", stats.limit));
    }
    // What others had drawn and did not get counts, too.
    let most = match alone {
        true => account.high + SLACK,
        false => u64::MAX,
    };
    if stats.high_water < account.high || stats.high_water > most {
        return wrong(format!(
            "{ty:?}: the high water is {}, must be {} or a little more",
            stats.high_water, account.high
        ));
    }
    Ok(())
}
