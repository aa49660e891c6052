//! System calls on sockets.
//!
//! Here what makes and connects them; in [`address`] how programs write addresses, in [`message`]
//! sending and receiving with [`control`] messages, in [`options`] what can be set.

// Linux's names of its calls.
#![allow(non_upper_case_globals)]

mod address;
mod control;
mod message;
mod options;

use alloc::sync::Arc;

use linux_raw_sys::general::*;
use linux_raw_sys::net::{
    AF_MAX, AF_UNIX, AF_UNSPEC, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET,
    SOCK_STREAM,
};

use super::Errno;
use super::files::{file, install, install_pair, undo};
use crate::fs::FileHandle;
use crate::fs::socket::{self, Socket, Style};

/// The bits of a type that are not flags, and one above the highest type.
const TYPE_BITS: u32 = 0xf;
const TYPES: u32 = 11;

/// Carries a call out; none if it is not one of these.
#[inline(never)]
pub fn dispatch(nr: usize, a: [usize; 6]) -> Option<Result<usize, Errno>> {
    let [a0, a1, a2, a3, a4, a5] = a;
    Some(match nr as u32 {
        __NR_socket => open(a0 as u32, a1 as u32, a2 as u32),
        __NR_socketpair => open_pair(a0 as u32, a1 as u32, a2 as u32, a3),
        __NR_bind => bind(a0, a1, a2),
        __NR_listen => socket(a0)
            .and_then(|(_, s)| s.listen(a1 as i32))
            .map(|()| 0),
        __NR_connect => connect(a0, a1, a2),
        __NR_accept => accept(a0, a1, a2, 0),
        __NR_accept4 => accept(a0, a1, a2, a3 as u32),
        __NR_shutdown => shut_down(a0, a1 as u32),
        __NR_getsockname => own_name(a0, a1, a2),
        __NR_getpeername => peer_name(a0, a1, a2),
        __NR_getsockopt => options::get(a0, a1 as u32, a2 as u32, a3, a4),
        __NR_setsockopt => options::set(a0, a1 as u32, a2 as u32, a3, a4),
        __NR_sendto => message::send_to(a0, a1, a2, a3 as u32, a4, a5),
        __NR_recvfrom => message::receive_from(a0, a1, a2, a3 as u32, a4, a5),
        __NR_sendmsg => message::send(a0, a1, a2 as u32),
        __NR_recvmsg => message::receive(a0, a1, a2 as u32),
        __NR_sendmmsg => message::send_many(a0, a1, a2, a3 as u32),
        __NR_recvmmsg => message::receive_many(a0, a1, a2, a3 as u32, a4),
        _ => return None,
    })
}

/// The socket of a descriptor, and its file. ENOTSOCK if it is something else.
fn socket(fd: usize) -> Result<(FileHandle, Arc<Socket>), Errno> {
    let file = file(fd)?;
    file.io()?;
    let socket = Socket::of(&file).ok_or(Errno::ENOTSOCK)?;
    Ok((file, socket))
}

/// What socket(2) is asked for: the style, the status flags, and whether exec closes it.
fn kind(family: u32, kind: u32, protocol: u32) -> Result<(Style, u32, bool), Errno> {
    let flags = kind & !TYPE_BITS;
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let style = match kind & TYPE_BITS {
        _ if family >= AF_MAX => return Err(Errno::EAFNOSUPPORT),
        TYPES.. => return Err(Errno::EINVAL),
        // There is no network.
        _ if family != AF_UNIX => return Err(Errno::EAFNOSUPPORT),
        _ if protocol != 0 && protocol != AF_UNIX => return Err(Errno::EPROTONOSUPPORT),
        SOCK_STREAM => Style::Stream,
        SOCK_DGRAM | SOCK_RAW => Style::Datagram,
        SOCK_SEQPACKET => Style::Packets,
        _ => return Err(Errno::ESOCKTNOSUPPORT),
    };
    Ok((style, flags & O_NONBLOCK, flags & O_CLOEXEC != 0))
}

fn open(family: u32, of_kind: u32, protocol: u32) -> Result<usize, Errno> {
    let (style, flags, close_on_exec) = kind(family, of_kind, protocol)?;
    install(socket::open(style, flags)?, close_on_exec)
}

fn open_pair(family: u32, of_kind: u32, protocol: u32, to: usize) -> Result<usize, Errno> {
    let (style, flags, close_on_exec) = kind(family, of_kind, protocol)?;
    install_pair(socket::open_pair(style, flags)?, to, close_on_exec)
}

fn bind(fd: usize, at: usize, len: usize) -> Result<usize, Errno> {
    let (_, socket) = socket(fd)?;
    let address = address::read(at, len)?;
    if address.names_family_alone() {
        socket.bind_to_any()?;
    } else {
        socket.bind(address.local()?)?;
    }
    Ok(0)
}

fn connect(fd: usize, at: usize, len: usize) -> Result<usize, Errno> {
    let (file, socket) = socket(fd)?;
    let address = address::read(at, len)?;
    let patience = socket.send_patience(file.nonblocking());
    if socket.style() == Style::Datagram && address.family() == Some(AF_UNSPEC) {
        socket.connect(None, patience)?;
    } else {
        socket.connect(Some(&address.local()?), patience)?;
    }
    Ok(0)
}

fn accept(fd: usize, to: usize, len_at: usize, flags: u32) -> Result<usize, Errno> {
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let (file, socket) = socket(fd)?;
    let patience = socket.receive_patience(file.nonblocking());
    let connection = socket.accept(patience, flags & O_NONBLOCK)?;
    let fd = install(connection.clone(), flags & O_CLOEXEC != 0)?;
    if to != 0 {
        let peer = Socket::of(&connection)
            .ok_or(Errno::ENOTSOCK)?
            .peer_address()?;
        address::write_name(to, len_at, peer.as_deref()).inspect_err(|_| undo(fd))?;
    }
    Ok(fd)
}

fn shut_down(fd: usize, how: u32) -> Result<usize, Errno> {
    let (_, socket) = socket(fd)?;
    if how > SHUT_RDWR {
        return Err(Errno::EINVAL);
    }
    socket.shut_down(how != SHUT_WR, how != SHUT_RD);
    Ok(0)
}

fn own_name(fd: usize, to: usize, len_at: usize) -> Result<usize, Errno> {
    let (_, socket) = socket(fd)?;
    address::write_name(to, len_at, socket.address().as_deref())?;
    Ok(0)
}

fn peer_name(fd: usize, to: usize, len_at: usize) -> Result<usize, Errno> {
    let (_, socket) = socket(fd)?;
    address::write_name(to, len_at, socket.peer_address()?.as_deref())?;
    Ok(0)
}
