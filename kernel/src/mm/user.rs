//! Copies between the kernel and the program that runs.
//!
//! The copy instructions are listed in a table of fix-ups ([`fixup`]). A page fault of theirs
//! brings the page in, which may block, and they go on; if there is no page to be had they end
//! early, and the caller gets EFAULT. So no lock may be held over a copy. Memory of a program
//! changes at any time: no Rust reference ever points into it.

use alloc::vec::Vec;
use core::arch::{asm, global_asm};
use core::mem::MaybeUninit;

use crate::arch::layout::USER_HIGH;
use crate::linux::Errno;

/// What can be read from a program's memory: any bytes are a value, and there are no bytes that are
/// not part of it.
///
/// # Safety
///
/// The type has no padding, no references, and every bit pattern is valid.
pub unsafe trait Plain: Copy + 'static {}

macro_rules! plain {
    ($($t:ty)*) => {$(
        // SAFETY: all bit patterns of a number are numbers.
        unsafe impl Plain for $t {}
    )*};
}
plain!(u8 i8 u16 i16 u32 i32 u64 i64 usize isize);
// SAFETY: nothing but its elements.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// Whether a range lies in the program's half.
#[inline(always)]
fn in_user_half(address: usize, len: usize) -> Result<(), Errno> {
    match address.checked_add(len) {
        Some(end) if end <= USER_HIGH => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

global_asm!(
    // The bytes left in rax. rep movsq first: an instruction for eight bytes.
    ".global copy_to_or_from_user",
    "copy_to_or_from_user:",
    "mov rcx, rdx",
    "shr rcx, 3",
    "and edx, 7",
    "20: rep movsq",
    "mov ecx, edx",
    "21: rep movsb",
    "xor eax, eax",
    "ret",
    "22: lea rax, [rdx + rcx * 8]",
    "ret",
    "23: mov rax, rcx",
    "ret",
    ".pushsection .fixups, \"a\"",
    ".quad 20b, 22b",
    ".quad 21b, 23b",
    ".popsection",
);

unsafe extern "C" {
    /// Copies, and returns how many bytes at the end were not copied.
    fn copy_to_or_from_user(to: *mut u8, from: *const u8, len: usize) -> usize;
}

/// Copies `len` bytes from the kernel to the program. Blocks. EFAULT if not all could be copied.
///
/// # Safety
///
/// `from` is readable for `len` bytes, which may change meanwhile.
#[inline]
pub unsafe fn copy_from_raw(user: usize, from: *const u8, len: usize) -> Result<(), Errno> {
    in_user_half(user, len)?;
    // SAFETY: the kernel's side is the caller's promise; the program's half is not the kernel's
    // memory, and faults there are handled.
    match unsafe { copy_to_or_from_user(user as *mut u8, from, len) } {
        0 => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// Copies `len` bytes from the program to the kernel. Blocks. EFAULT if not all could be copied;
/// then the first of them may have been written.
///
/// # Safety
///
/// `to` is writable for `len` bytes.
#[inline]
pub unsafe fn copy_to_raw(user: usize, to: *mut u8, len: usize) -> Result<(), Errno> {
    in_user_half(user, len)?;
    // SAFETY: as in copy_from_raw.
    match unsafe { copy_to_or_from_user(to, user as *const u8, len) } {
        0 => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// Fills the slice from the program's memory. Blocks.
#[inline]
pub fn copy_in(to: &mut [u8], user: usize) -> Result<(), Errno> {
    // SAFETY: the slice is writable, and ours.
    unsafe { copy_to_raw(user, to.as_mut_ptr(), to.len()) }
}

/// Copies the slice to the program's memory. Blocks.
#[inline]
pub fn copy_out(user: usize, from: &[u8]) -> Result<(), Errno> {
    // SAFETY: the slice is readable.
    unsafe { copy_from_raw(user, from.as_ptr(), from.len()) }
}

/// A string that ends with a zero byte, without it. Blocks. `too_long` if there is none within
/// `max` bytes.
pub fn copy_in_str_or(user: usize, max: usize, too_long: Errno) -> Result<Vec<u8>, Errno> {
    const CHUNK: usize = 128;
    let mut string = Vec::new();
    let mut at = user;
    loop {
        // Up to the end of a page at most: the string may end there, and the next page be missing.
        let len = (CHUNK - at % CHUNK).min(max - string.len());
        if len == 0 {
            return Err(too_long);
        }
        let mut chunk = [0u8; CHUNK];
        copy_in(&mut chunk[..len], at)?;
        let chunk = &chunk[..len];
        let end = chunk.iter().position(|byte| *byte == 0);
        string.try_reserve(len).map_err(|_| Errno::ENOMEM)?;
        string.extend_from_slice(&chunk[..end.unwrap_or(len)]);
        if end.is_some() {
            return Ok(string);
        }
        at += len;
    }
}

/// A string that ends with a zero byte, without it. Blocks. ENAMETOOLONG if there is none within
/// `max` bytes.
pub fn copy_in_str(user: usize, max: usize) -> Result<Vec<u8>, Errno> {
    copy_in_str_or(user, max, Errno::ENAMETOOLONG)
}

/// A value from the program's memory. Blocks.
#[inline]
pub fn read<T: Plain>(user: usize) -> Result<T, Errno> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the value's own bytes.
    unsafe { copy_to_raw(user, value.as_mut_ptr().cast(), size_of::<T>())? };
    // SAFETY: all bytes are written, and any bytes are a value.
    Ok(unsafe { value.assume_init() })
}

/// Puts a value into the program's memory. Blocks.
#[inline]
pub fn write<T: Plain>(user: usize, value: &T) -> Result<(), Errno> {
    // SAFETY: a value without padding is bytes that can be read.
    unsafe { copy_from_raw(user, (value as *const T).cast(), size_of::<T>()) }
}

macro_rules! word {
    ($read:ident, $write:ident, $t:ty, $reg:literal) => {
        /// A word from the program's memory, by one instruction. Blocks.
        #[inline]
        pub fn $read(user: usize) -> Result<$t, Errno> {
            in_user_half(user, size_of::<$t>())?;
            let (value, failed): ($t, u32);
            // SAFETY: it reads the program's memory; the fix-up skips the rest.
            unsafe {
                asm!(
                    "mov {failed:e}, 1",
                    concat!("2: mov {value", $reg, "}, [{user}]"),
                    "xor {failed:e}, {failed:e}",
                    "3:",
                    ".pushsection .fixups, \"a\"",
                    ".quad 2b, 3b",
                    ".popsection",
                    user = in(reg) user,
                    value = out(reg) value,
                    failed = out(reg) failed,
                    options(nostack),
                );
            }
            if failed == 0 { Ok(value) } else { Err(Errno::EFAULT) }
        }

        /// Puts a word into the program's memory, by one instruction. Blocks.
        #[inline]
        pub fn $write(user: usize, value: $t) -> Result<(), Errno> {
            in_user_half(user, size_of::<$t>())?;
            let failed: u32;
            // SAFETY: it writes the program's memory, which is not the kernel's.
            unsafe {
                asm!(
                    "mov {failed:e}, 1",
                    concat!("2: mov [{user}], {value", $reg, "}"),
                    "xor {failed:e}, {failed:e}",
                    "3:",
                    ".pushsection .fixups, \"a\"",
                    ".quad 2b, 3b",
                    ".popsection",
                    user = in(reg) user,
                    value = in(reg) value,
                    failed = out(reg) failed,
                    options(nostack),
                );
            }
            if failed == 0 { Ok(()) } else { Err(Errno::EFAULT) }
        }
    };
}
word!(read_u32, write_u32, u32, ":e");
word!(read_u64, write_u64, u64, ":r");

/// Where to go on after a fault at this instruction that cannot be cured; none if it is not a copy
/// instruction.
pub fn fixup(ip: usize) -> Option<usize> {
    unsafe extern "C" {
        static __fixups_start: [[usize; 2]; 0];
        static __fixups_end: [[usize; 2]; 0];
    }
    // SAFETY: the linker script puts both around the table.
    let table = unsafe {
        let start = (&raw const __fixups_start).cast::<[usize; 2]>();
        let end = (&raw const __fixups_end).cast::<[usize; 2]>();
        core::slice::from_raw_parts(start, end.offset_from_unsigned(start))
    };
    table
        .iter()
        .find(|entry| entry[0] == ip)
        .map(|entry| entry[1])
}
