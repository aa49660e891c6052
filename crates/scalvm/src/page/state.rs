//! What a page frame is used for.

/// The state of a frame, kept in its descriptor. The legal moves:
///
/// | from | to | when |
/// |---|---|---|
/// | `Tail` | `Free` | a block is split, and this is the first frame of its upper half; a segment is added |
/// | `Free` | `Tail` | a block is joined to the one below it |
/// | `Free`, `Tail` | `Cached` | a processor's cache is refilled, with a block of single frames |
/// | `Cached` | `Free`, `Tail` | a processor's cache is drained, frames in a row as a block |
/// | `Free`, `Cached` | any state of use | allocated |
/// | any state of use | `Free`, `Cached` | freed |
///
/// No frame goes from one use to another without having been free. `Free` and `Tail` change only
/// under the lock of the free lists, so who holds that may trust a neighbour's `Free`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    /// The first frame of a block in the free lists.
    Free,
    /// Inside a block, free or in use: not its first frame.
    Tail,
    /// Free, in a processor's cache.
    Cached,
    /// Holds a page of an anonymous object; an anon owns it.
    Anon,
    /// Holds a page of a vnode object; an anon owns it.
    File,
    /// Kernel memory: the first frame of its block.
    Kernel,
    /// Divided into the slots of a pool: the first frame of the slab.
    Slab,
    /// A page table.
    Table,
    /// The page of zeros that all untouched memory shares.
    Zero,
    /// Kernel memory or a slab: the first frame of a later block of its run, see `page/run.rs`.
    Rest,
}

impl State {
    /// How many states there are.
    pub const COUNT: usize = 10;

    /// Whether a frame in this state belongs to somebody.
    #[inline(always)]
    pub const fn in_use(self) -> bool {
        !matches!(self, State::Free | State::Tail | State::Cached)
    }

    /// Whether the table above has this move.
    pub const fn may_become(self, to: State) -> bool {
        match self {
            State::Tail => matches!(to, State::Free | State::Cached),
            State::Free => !matches!(to, State::Free),
            State::Cached => !matches!(to, State::Cached),
            _ => matches!(to, State::Free | State::Cached),
        }
    }

    /// The reverse of `self as u8`.
    #[inline(always)]
    pub(super) const fn from_u8(raw: u8) -> State {
        match raw {
            0 => State::Free,
            1 => State::Tail,
            2 => State::Cached,
            3 => State::Anon,
            4 => State::File,
            5 => State::Kernel,
            6 => State::Slab,
            7 => State::Table,
            8 => State::Zero,
            _ => State::Rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_states() {
        for raw in 0..State::COUNT as u8 {
            assert_eq!(State::from_u8(raw) as u8, raw);
        }
    }

    #[test]
    fn no_move_from_use_to_use() {
        let all: std::vec::Vec<State> = (0..State::COUNT as u8).map(State::from_u8).collect();
        for &from in &all {
            assert!(!from.may_become(from));
            for &to in &all {
                if from.in_use() && to.in_use() {
                    assert!(!from.may_become(to));
                }
                let inside = from == State::Tail || to == State::Tail;
                assert!(!(inside && (from.in_use() || to.in_use()) && from.may_become(to)));
            }
            assert!(from == State::Free || from.may_become(State::Free));
        }
    }
}
