//! [`Policy`]: from which nodes memory is to come. There is one node, so nothing depends on it: it is checked,
//! kept and told.

use linux_raw_sys::mempolicy::{self as mpol, MPOL_MODE_FLAGS};

use crate::linux::Errno;

/// The nodes that there are, a bit for each.
pub const NODES: u64 = 1;

/// The usual policy.
pub const DEFAULT: u32 = mpol::MPOL_DEFAULT as u32;
const PREFERRED: u32 = mpol::MPOL_PREFERRED as u32;
const BIND: u32 = mpol::MPOL_BIND as u32;
const INTERLEAVE: u32 = mpol::MPOL_INTERLEAVE as u32;
const LOCAL: u32 = mpol::MPOL_LOCAL as u32;
const PREFERRED_MANY: u32 = mpol::MPOL_PREFERRED_MANY as u32;
const WEIGHTED: u32 = mpol::MPOL_WEIGHTED_INTERLEAVE as u32;

/// Nodes that a program names.
#[derive(Clone, Copy)]
pub struct Named {
    /// Those of the first word.
    pub first: u64,
    /// Whether there are others.
    pub more: bool,
}

impl Named {
    fn is_empty(self) -> bool {
        self.first == 0 && !self.more
    }
}

/// From which nodes memory is to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// What get_mempolicy(2) tells: a mode with its flags.
    pub mode: u32,
    /// The nodes that it tells.
    pub nodes: u64,
}

impl Policy {
    /// A mode and its flags. EINVAL if there is no such mode, or none with such flags.
    pub fn parts(word: u32) -> Result<(u32, u32), Errno> {
        let (mode, flags) = (word & !MPOL_MODE_FLAGS, word & MPOL_MODE_FLAGS);
        let both = mpol::MPOL_F_STATIC_NODES | mpol::MPOL_F_RELATIVE_NODES;
        let balanced = flags & mpol::MPOL_F_NUMA_BALANCING != 0;
        let may_balance = matches!(mode, BIND | PREFERRED_MANY);
        if mode > WEIGHTED || flags & both == both || balanced && !may_balance {
            return Err(Errno::EINVAL);
        }
        Ok((mode, flags))
    }

    /// The policy that a call asks for, none for the usual one. EINVAL as on Linux.
    pub fn new(word: u32, named: Named) -> Result<Option<Policy>, Errno> {
        let (mode, flags) = Policy::parts(word)?;
        let relative = flags & mpol::MPOL_F_RELATIVE_NODES != 0;
        let fixed = flags & mpol::MPOL_F_STATIC_NODES != 0;
        let usable = if relative {
            // They are counted around those that there are, so that any will do.
            !named.is_empty()
        } else {
            named.first & NODES != 0
        };
        match mode {
            DEFAULT if named.is_empty() => Ok(None),
            LOCAL | PREFERRED if named.is_empty() && !fixed && !relative => Ok(Some(Policy {
                mode: LOCAL,
                nodes: 0,
            })),
            PREFERRED | BIND | INTERLEAVE | PREFERRED_MANY | WEIGHTED if usable => {
                let nodes = if flags == 0 {
                    named.first & NODES
                } else {
                    named.first
                };
                Ok(Some(Policy { mode: word, nodes }))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether memory comes from one node after the other.
    pub fn takes_turns(self) -> bool {
        matches!(self.mode & !MPOL_MODE_FLAGS, INTERLEAVE | WEIGHTED)
    }
}
