//! [`Way`]: from an inode to a page of its file, through up to three blocks of pointers.

/// Pointers of an inode that lead straight to a page.
pub(super) const DIRECT: u64 = 12;
/// Pointers in a block.
pub(super) const IN_A_BLOCK: u64 = (super::BLOCK / size_of::<u32>()) as u64;
/// The most blocks of pointers on a way.
pub(super) const MOST_LEVELS: usize = 3;

/// The pointers to follow: the first is one of the inode, the others stand in the blocks that the one
/// before leads to; the last leads to the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Way {
    slots: [u32; MOST_LEVELS + 1],
    levels: usize,
}

impl Way {
    /// The way to a page; none if no way leads so far.
    pub fn to(page: u64) -> Option<Way> {
        if page < DIRECT {
            return Some(Way {
                slots: [page as u32, 0, 0, 0],
                levels: 0,
            });
        }
        let mut rest = page - DIRECT;
        for levels in 1..=MOST_LEVELS {
            let span = span(levels);
            if rest < span {
                let mut slots = [DIRECT as u32 + levels as u32 - 1, 0, 0, 0];
                for slot in slots[1..=levels].iter_mut().rev() {
                    *slot = (rest % IN_A_BLOCK) as u32;
                    rest /= IN_A_BLOCK;
                }
                return Some(Way { slots, levels });
            }
            rest -= span;
        }
        None
    }

    /// The pointers.
    pub fn slots(&self) -> &[u32] {
        &self.slots[..=self.levels]
    }
}

/// Pages that a pointer leads to, through so many blocks of pointers.
pub(super) fn span(levels: usize) -> u64 {
    IN_A_BLOCK.pow(levels as u32)
}

/// The pointers of an inode that lead through blocks of pointers: which they are, through how many,
/// and the first page that each leads to.
pub(super) fn trees() -> impl Iterator<Item = (usize, usize, u64)> {
    (1..=MOST_LEVELS).scan(DIRECT, |first, levels| {
        let here = *first;
        *first += span(levels);
        Some((DIRECT as usize + levels - 1, levels, here))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_end_where_the_next_begins() {
        let way = |page| Way::to(page).unwrap();
        assert_eq!(way(0).slots(), [0]);
        assert_eq!(way(11).slots(), [11]);
        assert_eq!(way(12).slots(), [12, 0]);
        assert_eq!(way(12 + 1023).slots(), [12, 1023]);
        assert_eq!(way(12 + 1024).slots(), [13, 0, 0]);
        assert_eq!(way(12 + 1024 + 1025).slots(), [13, 1, 1]);
        assert_eq!(way(12 + 1024 + 1024 * 1024 - 1).slots(), [13, 1023, 1023]);
        let triple = 12 + 1024 + 1024 * 1024;
        assert_eq!(way(triple).slots(), [14, 0, 0, 0]);
        assert_eq!(way(triple + (1 << 30) - 1).slots(), [14, 1023, 1023, 1023]);
        assert_eq!(Way::to(triple + (1 << 30)), None);
        assert_eq!(
            trees().collect::<Vec<_>>(),
            [(12, 1, 12), (13, 2, 12 + 1024), (14, 3, triple)]
        );
    }
}
