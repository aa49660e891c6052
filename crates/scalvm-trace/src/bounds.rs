//! What a policy is measured by: the fewest misses possible, and those of exact LRU.

use std::collections::BTreeSet;

use crate::trace::Trace;

/// Misses where what is needed last leaves (Belady's OPT).
pub fn best(trace: &Trace, frames: u32) -> u64 {
    let references = &trace.references;
    // For each reference the next one to the same page; never is later than all, and not twice the
    // same.
    let mut next = vec![0; references.len()];
    let mut coming: Vec<usize> = (0..trace.pages as usize)
        .map(|page| references.len() + page)
        .collect();
    for (at, &page) in references.iter().enumerate().rev() {
        next[at] = std::mem::replace(&mut coming[page as usize], at);
    }
    let (mut resident, mut misses) = (BTreeSet::new(), 0);
    for (at, &next) in next.iter().enumerate() {
        if !resident.remove(&at) {
            misses += 1;
            if resident.len() == frames as usize {
                resident.pop_last();
            }
        }
        resident.insert(next);
    }
    misses
}

/// Misses where what was used longest ago leaves.
pub fn lru(trace: &Trace, frames: u32) -> u64 {
    let mut last = vec![None; trace.pages as usize];
    let (mut resident, mut misses) = (BTreeSet::new(), 0);
    for (at, &page) in trace.references.iter().enumerate() {
        let before = last[page as usize].replace(at);
        if !before.is_some_and(|before| resident.remove(&before)) {
            misses += 1;
            if resident.len() == frames as usize {
                resident.pop_first();
            }
        }
        resident.insert(at);
    }
    misses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_the_worst_for_lru() {
        let trace = Trace {
            references: (0..40).map(|at| at % 4).collect(),
            pages: 4,
            memory: false,
        };
        assert_eq!((lru(&trace, 3), lru(&trace, 4)), (40, 4));
        // One miss for each turn of three after the first.
        assert_eq!((best(&trace, 3), best(&trace, 4)), (4 + 36 / 3, 4));
    }

    #[test]
    fn the_textbook_string() {
        let references = vec![1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5];
        let trace = Trace {
            references,
            pages: 6,
            memory: false,
        };
        assert_eq!((best(&trace, 3), lru(&trace, 3)), (7, 10));
        assert_eq!((best(&trace, 4), lru(&trace, 4)), (6, 8));
    }
}
