//! [`Extents`]: where the pages of a file are known to lie on the disk.
//!
//! Runs of pages whose blocks follow each other, by their first page. Neighbours are one.

use alloc::collections::BTreeMap;

/// Blocks that follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    block: u32,
    len: u32,
}

/// What is known of a file.
#[derive(Debug, Default)]
pub(super) struct Extents {
    runs: BTreeMap<u32, Run>,
}

impl Extents {
    /// Nothing is known.
    pub const fn new() -> Extents {
        Extents {
            runs: BTreeMap::new(),
        }
    }

    /// The block of a page, if it is known.
    pub fn get(&self, page: u32) -> Option<u32> {
        let (first, run) = self.runs.range(..=page).next_back()?;
        (page - first < run.len).then(|| run.block + (page - first))
    }

    /// Notes the block of a page that was not known. May take memory for one more pair of the map.
    pub fn insert(&mut self, page: u32, block: u32) {
        if let Some((first, run)) = self.runs.range_mut(..=page).next_back()
            && first + run.len == page
            && run.block + run.len == block
        {
            run.len += 1;
            let first = *first;
            self.join(first);
            return;
        }
        self.runs.insert(page, Run { block, len: 1 });
        self.join(page);
    }

    /// Joins a run with the one behind it, if they are one.
    fn join(&mut self, first: u32) {
        let Some(run) = self.runs.get(&first).copied() else {
            return;
        };
        let next = first + run.len;
        if let Some(behind) = self.runs.get(&next).copied()
            && behind.block == run.block + run.len
        {
            self.runs.remove(&next);
            let len = run.len + behind.len;
            self.runs.insert(first, Run { len, ..run });
        }
    }

    /// Forgets all pages from one on.
    pub fn cut(&mut self, from: u32) {
        while let Some((first, run)) = self.runs.range_mut(..).next_back() {
            let first = *first;
            if first < from {
                run.len = run.len.min(from - first);
                break;
            }
            self.runs.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_joined_on_both_sides() {
        let mut extents = Extents::new();
        for page in [3, 5, 4, 0, 1, 2] {
            extents.insert(page, 100 + page);
        }
        assert_eq!(extents.runs.len(), 1);
        extents.insert(6, 300);
        extents.insert(7, 301);
        assert_eq!(extents.runs.len(), 2);
        assert_eq!(
            (0..9).map(|page| extents.get(page)).collect::<Vec<_>>(),
            [100, 101, 102, 103, 104, 105, 300, 301, 0].map(|block| (block != 0).then_some(block))
        );
    }

    #[test]
    fn what_is_cut_is_not_known() {
        let mut extents = Extents::new();
        for page in 0..10 {
            extents.insert(page, 50 + page);
        }
        extents.insert(20, 90);
        extents.cut(4);
        assert_eq!(extents.get(3), Some(53));
        assert!((4..30).all(|page| extents.get(page).is_none()));
        extents.insert(4, 54);
        assert_eq!(extents.runs.len(), 1);
        extents.cut(0);
        assert!(extents.runs.is_empty());
    }
}
