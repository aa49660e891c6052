//! [`Lock`]: bytes of a file that are locked, and how locks on a file go together. Pure.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// Whose lock it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The descriptor table at this address.
    Table(usize),
    /// The open file at this address.
    File(usize),
}

/// Bytes `start..end` of one file, locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lock {
    /// Whose it is.
    pub owner: Owner,
    /// The process that took it.
    pub pid: u32,
    /// Whether it shuts all others out, or only exclusive ones.
    pub exclusive: bool,
    /// The first byte.
    pub start: u64,
    /// The end, exclusive.
    pub end: u64,
}

/// Whether two locks on one file cannot be there at once.
pub fn conflicts(a: &Lock, b: &Lock) -> bool {
    let same_kind = core::mem::discriminant(&a.owner) == core::mem::discriminant(&b.owner);
    same_kind
        && a.owner != b.owner
        && (a.exclusive || b.exclusive)
        && a.start < b.end
        && b.start < a.end
}

/// Cuts a range out of the locks that an owner has on an inode. Changes nothing if memory is lacking.
pub fn carve(
    locks: &mut Vec<(usize, Lock)>,
    inode: usize,
    owner: Owner,
    start: u64,
    end: u64,
) -> Result<(), TryReserveError> {
    // At most one lock is cut in two.
    locks.try_reserve(1)?;
    let mut rest = None;
    locks.retain_mut(|(of, lock)| {
        if *of != inode || lock.owner != owner || lock.end <= start || end <= lock.start {
            return true;
        }
        let before = lock.start < start;
        if lock.end > end {
            let after = Lock {
                start: end,
                ..*lock
            };
            if !before {
                *lock = after;
                return true;
            }
            rest = Some((inode, after));
        }
        lock.end = start;
        before
    });
    locks.extend(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(owner: usize, exclusive: bool, start: u64, end: u64) -> Lock {
        Lock {
            owner: Owner::Table(owner),
            pid: 1,
            exclusive,
            start,
            end,
        }
    }

    fn ranges(locks: &[(usize, Lock)]) -> Vec<(u64, u64)> {
        let mut ranges: Vec<_> = locks
            .iter()
            .map(|(_, lock)| (lock.start, lock.end))
            .collect();
        ranges.sort();
        ranges
    }

    #[test]
    fn only_locks_of_others_that_overlap_stand_in_the_way() {
        let held = lock(1, true, 10, 20);
        assert!(conflicts(&held, &lock(2, false, 19, 30)));
        assert!(!conflicts(&held, &lock(2, false, 20, 30)));
        assert!(!conflicts(&held, &lock(1, true, 10, 20)));
        assert!(!conflicts(&lock(1, false, 0, 9), &lock(2, false, 0, 9)));
        let whole = Lock {
            owner: Owner::File(2),
            ..lock(2, true, 0, u64::MAX)
        };
        assert!(!conflicts(&held, &whole));
    }

    #[test]
    fn a_range_is_cut_out_of_the_owners_locks_only() {
        let all = [
            (7, lock(1, true, 0, 100)),
            (7, lock(2, false, 0, 100)),
            (8, lock(1, true, 0, 100)),
        ];
        let mut locks = all.to_vec();
        carve(&mut locks, 7, Owner::Table(1), 40, 60).unwrap();
        assert_eq!(ranges(&locks), [(0, 40), (0, 100), (0, 100), (60, 100)]);
        carve(&mut locks, 7, Owner::Table(1), 20, 80).unwrap();
        assert_eq!(ranges(&locks), [(0, 20), (0, 100), (0, 100), (80, 100)]);
        carve(&mut locks, 7, Owner::Table(1), 0, u64::MAX).unwrap();
        assert_eq!(locks, all[1..]);
    }
}
