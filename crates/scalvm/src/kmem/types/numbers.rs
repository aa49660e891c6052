//! The numbers of types, by which each manager finds what is charged to them.
//!
//! A static type's number is one more than its place in the section, the same for all managers of
//! the program. A dynamic type takes a number when it is attached to its first manager, and gives it
//! back when it is detached from the last. 0 is none.
//!
//! A dynamic type's word is `managers << 16 | number`, so that both change together; a static one's
//! is the number alone.
//!
//! 1. A number is set in `TAKEN` if and only if some dynamic type's word has it, or somebody is
//!    about to put it in one or has just taken it out of the last.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::error::TypeError;
use super::malloc_type::NUMBERS;
use super::{MallocType, section};

/// In a dynamic type's word: one manager more.
const MANAGER: u32 = 1 << 16;

/// The numbers of dynamic types, one bit each.
static TAKEN: [AtomicU64; NUMBERS / 64] = [const { AtomicU64::new(0) }; NUMBERS / 64];

/// A type's number; 0 if it is neither static nor attached anywhere.
pub(super) fn of(ty: &'static MallocType) -> usize {
    match ty.known_number() {
        0 => match section::place(ty) {
            Some(place) if place + 1 < NUMBERS => {
                ty.number.store(place as u32 + 1, Relaxed);
                place + 1
            }
            _ => 0,
        },
        number => number,
    }
}

/// Counts one more manager to which a dynamic type is attached, and gives its number.
pub(super) fn take(ty: &'static MallocType) -> Result<usize, TypeError> {
    loop {
        let word = ty.number.load(Acquire);
        let (next, claimed) = match word {
            0 => {
                let number = claim().ok_or(TypeError::TooMany)?;
                (MANAGER | number as u32, Some(number))
            }
            _ => (word.checked_add(MANAGER).ok_or(TypeError::TooMany)?, None),
        };
        if ty
            .number
            .compare_exchange(word, next, AcqRel, Relaxed)
            .is_ok()
        {
            return Ok(next as usize % NUMBERS);
        }
        if let Some(number) = claimed {
            release(number);
        }
    }
}

/// Counts one manager less.
pub(super) fn give(ty: &'static MallocType) {
    let mut word = ty.number.load(Relaxed);
    loop {
        debug_assert!(word >= MANAGER, "{ty:?} is attached nowhere");
        let last = word < 2 * MANAGER;
        let next = if last { 0 } else { word - MANAGER };
        match ty.number.compare_exchange_weak(word, next, AcqRel, Relaxed) {
            Ok(_) if last => return release(word as usize % NUMBERS),
            Ok(_) => return,
            Err(now) => word = now,
        }
    }
}

/// The lowest number that is free, which is then not.
fn claim() -> Option<usize> {
    (section::all().len() + 1..NUMBERS).find(|&number| {
        let bit = 1 << (number % 64);
        TAKEN[number / 64].fetch_or(bit, Acquire) & bit == 0
    })
}

fn release(number: usize) {
    TAKEN[number / 64].fetch_and(!(1 << (number % 64)), Release);
}
