//! What debug mode does.

use super::Complaint;

/// What debug mode does; see [`Vm::set_debug`](crate::Vm::set_debug).
///
/// Whatever is chosen, each piece is known by where it was allocated and for which type: freeing it
/// twice, under another type, with another size, and freeing what was never allocated are told, and
/// so is what leaks.
#[derive(Clone, Copy, Debug)]
pub struct DebugOptions {
    /// Fill new memory with a pattern ([`NEW`](DebugOptions::NEW)), so that who forgets to initialise
    /// it does not find zeros.
    pub fill: bool,
    /// Fill free memory with a pattern ([`FREE`](DebugOptions::FREE)), and see whether that is whole
    /// before the memory is used again.
    pub poison: bool,
    /// So many bytes before and after each piece must stay as they are; 0 for none. Rounded up to
    /// the alignment before it. What the piece has beyond its size is a part of the zone after it.
    pub red_zones: usize,
    /// So many bytes of freed pieces are not used again until others were freed after them.
    pub quarantine: usize,
    /// Told of what is wrong, with no lock of the manager held. It may use the manager.
    pub report: fn(&Complaint),
}

impl DebugOptions {
    /// A byte of new memory, where it is filled.
    pub const NEW: u8 = 0xa5;
    /// A byte of free memory, where it is poisoned.
    pub const FREE: u8 = 0xde;
    /// A byte of a red zone.
    pub const ZONE: u8 = 0xb5;

    /// Nothing but records of who allocated and freed what.
    pub const fn new(report: fn(&Complaint)) -> DebugOptions {
        DebugOptions {
            fill: false,
            poison: false,
            red_zones: 0,
            quarantine: 0,
            report,
        }
    }

    /// Everything: patterns, red zones of 32 bytes, and a quarantine of 256 KiB.
    pub const fn all(report: fn(&Complaint)) -> DebugOptions {
        DebugOptions {
            fill: true,
            poison: true,
            red_zones: 32,
            quarantine: 256 << 10,
            report,
        }
    }
}
