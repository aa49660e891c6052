//! In debug builds: what free slots are filled with, to find those who use one after freeing it or
//! free it twice.
//!
//! A free slot's first word links it to the next, its second is a mark made of its address, and the
//! rest is [`FREED`]. A slot in use never has the mark by chance: allocating wipes it out.

use core::ptr::NonNull;

/// The bytes of a free slot, but for its first two words.
const FREED: u8 = 0xdf;
/// The bytes of a slot that was just allocated.
const TAKEN: u8 = 0xcd;
const MARK: usize = 0x51ab_f7ee_d0f0_0d1e;
const WORD: usize = size_of::<usize>();

/// A slot becomes free.
///
/// # Safety
///
/// The slot has `size` bytes, at least two words, and is the caller's.
#[inline(always)]
pub(super) unsafe fn freed(slot: NonNull<()>, size: usize) {
    if cfg!(debug_assertions) {
        // SAFETY: within the slot.
        unsafe {
            let mark = slot.cast::<usize>().add(1).read_volatile();
            assert_ne!(mark, MARK ^ slot.addr().get(), "{slot:?} freed twice");
            fresh(slot, size);
        }
    }
}

/// A slot comes into being, in memory that may have anything in it.
///
/// # Safety
///
/// As for [`freed`].
#[inline(always)]
pub(super) unsafe fn fresh(slot: NonNull<()>, size: usize) {
    if cfg!(debug_assertions) {
        // SAFETY: within the slot.
        unsafe {
            slot.cast::<u8>().write_bytes(FREED, size);
            slot.cast::<usize>().add(1).write(MARK ^ slot.addr().get());
        }
    }
}

/// A slot is allocated.
///
/// # Safety
///
/// As for [`freed`].
#[inline(always)]
pub(super) unsafe fn taken(slot: NonNull<()>, size: usize) {
    if cfg!(debug_assertions) {
        // SAFETY: within the slot, all of which was initialised by `fresh`.
        unsafe {
            let mark = slot.cast::<usize>().add(1).read();
            assert_eq!(
                mark,
                MARK ^ slot.addr().get(),
                "{slot:?} written while free"
            );
            for offset in 2 * WORD..size {
                let byte = slot.cast::<u8>().add(offset).read();
                assert_eq!(byte, FREED, "{slot:?} written at {offset} while free");
            }
            slot.cast::<u8>().write_bytes(TAKEN, size);
        }
    }
}
