//! [`Address`]: what a socket is called.

use alloc::vec::Vec;

use crate::fs::memory;
use crate::linux::Errno;

/// The longest name of a socket: the bytes of Linux's `sun_path`.
pub const MAX_NAME: usize = 108;

/// A socket's address, as programs see it: a path with its terminating zero; or, behind a zero, a
/// name that is in no directory (an *abstract* one); or nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Address(Vec<u8>);

impl Address {
    /// The address of these bytes, which follow the family: at most [`MAX_NAME`]. What follows a
    /// path's terminating zero is not part of it.
    pub fn new(bytes: &[u8]) -> Result<Address, Errno> {
        if bytes.is_empty() || bytes.len() > MAX_NAME {
            return Err(Errno::EINVAL);
        }
        if bytes[0] == 0 {
            return Ok(Address(memory::vec(bytes)?));
        }
        let end = bytes.iter().position(|byte| *byte == 0);
        let mut path = memory::vec(&bytes[..end.unwrap_or(bytes.len())])?;
        memory::push(&mut path, 0)?;
        Ok(Address(path))
    }

    /// An abstract name that the kernel chooses: the number in five hexadecimal digits.
    pub fn chosen(number: u32) -> Result<Address, Errno> {
        let digit = |at: u32| b"0123456789abcdef"[(number >> (4 * at)) as usize % 16];
        Address::new(&[0, digit(4), digit(3), digit(2), digit(1), digit(0)])
    }

    /// The bytes that follow the family.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path, unless it is an abstract name.
    pub fn path(&self) -> Option<&[u8]> {
        match self.0.split_last() {
            Some((0, path)) if path.first().is_some_and(|byte| *byte != 0) => Some(path),
            _ => None,
        }
    }
}
