//! How programs write the addresses of sockets: a family in two bytes, and what follows.

use linux_raw_sys::net::AF_UNIX;

use crate::fs::socket::Address;
use crate::linux::Errno;
use crate::mm::user;

/// Bytes of the longest address of any family.
const MAX: usize = 128;
/// Bytes of a family.
const FAMILY: usize = 2;

/// An address that a program gave.
pub struct Given {
    bytes: [u8; MAX],
    len: usize,
}

/// The address at a place in the program's memory. EINVAL if it is too long for any.
pub fn read(at: usize, len: usize) -> Result<Given, Errno> {
    let len = len as u32 as usize;
    if len > MAX {
        return Err(Errno::EINVAL);
    }
    let mut given = Given {
        bytes: [0; MAX],
        len,
    };
    user::copy_in(&mut given.bytes[..len], at)?;
    Ok(given)
}

impl Given {
    /// The family, if there is so much.
    pub fn family(&self) -> Option<u32> {
        let family = u16::from_ne_bytes([self.bytes[0], self.bytes[1]]);
        (self.len >= FAMILY).then_some(family.into())
    }

    /// Whether it is the local family and nothing more.
    pub fn names_family_alone(&self) -> bool {
        self.len == FAMILY && self.family() == Some(AF_UNIX)
    }

    /// The local address that it is. EINVAL if it is none.
    pub fn local(&self) -> Result<Address, Errno> {
        match self.family() {
            Some(AF_UNIX) => Address::new(&self.bytes[FAMILY..self.len]),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Writes what a socket is called to `to`, as much as fits in the length at `len_at`, and its full
/// length there. A socket without a name has the family.
pub fn write_name(to: usize, len_at: usize, address: Option<&Address>) -> Result<(), Errno> {
    let room = room(len_at)?;
    let (bytes, len) = encode(address);
    user::copy_out(to, &bytes[..len.min(room)])?;
    user::write_u32(len_at, len as u32)
}

/// The same for who a message is from: without a name that is nothing.
pub fn write_sender(to: usize, len_at: usize, address: Option<&Address>) -> Result<(), Errno> {
    let room = room(len_at)?;
    user::write_u32(len_at, write_within(to, room, address)?)
}

/// Writes who a message is from, as much as fits in `room`; its full length.
pub fn write_within(to: usize, room: usize, address: Option<&Address>) -> Result<u32, Errno> {
    if address.is_none() {
        return Ok(0);
    }
    let (bytes, len) = encode(address);
    user::copy_out(to, &bytes[..len.min(room)])?;
    Ok(len as u32)
}

/// The length that a program says it has room for.
fn room(at: usize) -> Result<usize, Errno> {
    let room = user::read_u32(at)? as i32;
    usize::try_from(room).map_err(|_| Errno::EINVAL)
}

fn encode(address: Option<&Address>) -> ([u8; MAX], usize) {
    let mut bytes = [0; MAX];
    bytes[..FAMILY].copy_from_slice(&(AF_UNIX as u16).to_ne_bytes());
    let name = address.map_or(&[][..], Address::bytes);
    bytes[FAMILY..FAMILY + name.len()].copy_from_slice(name);
    (bytes, FAMILY + name.len())
}
