//! sendmsg(2), recvmsg(2) and their kin.

use linux_raw_sys::general::UIO_MAXIOV;
use linux_raw_sys::net::{
    MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_TRUNC,
    MSG_WAITALL,
};

use super::control::{self, Control, Room};
use super::{address, socket};
use crate::arch::time::now_ns;
use crate::fs::buffer::{Buf, Pieces};
use crate::fs::socket::{Received, Receiving, Sending, Socket};
use crate::fs::{FileHandle, socket::Flag};
use crate::linux::Errno;
use crate::linux::files::{MAX_BYTES, read_pieces};
use crate::linux::time::read_timespec;
use crate::mm::user;

/// recvmmsg(2): after the first message it does not wait.
const MSG_WAITFORONE: u32 = 0x1_0000;
/// Bytes of one of the structures of sendmmsg(2), and where in it the length is.
const MANY: usize = 64;
const MANY_LEN: usize = 56;

/// Linux's `struct msghdr`.
struct Header {
    at: usize,
    name: usize,
    name_len: usize,
    pieces: usize,
    count: usize,
    control: usize,
    control_len: usize,
}

impl Header {
    const NAME_LEN: usize = 8;
    const CONTROL_LEN: usize = 40;
    const FLAGS: usize = 48;

    fn read(at: usize) -> Result<Header, Errno> {
        let [name, name_len, pieces, count, control, control_len, _] =
            user::read::<[usize; 7]>(at)?;
        let name_len = match name_len as u32 as i32 {
            _ if name == 0 => 0,
            len => usize::try_from(len).map_err(|_| Errno::EINVAL)?,
        };
        if count > UIO_MAXIOV as usize {
            return Err(Errno::EMSGSIZE);
        }
        Ok(Header {
            at,
            name,
            name_len,
            pieces,
            count,
            control,
            control_len,
        })
    }
}

fn send_pieces(
    (file, socket): &(FileHandle, alloc::sync::Arc<Socket>),
    pieces: &mut [Buf<'_>],
    to: Option<(usize, usize)>,
    control: Control,
    flags: u32,
) -> Result<usize, Errno> {
    if flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let to = match to {
        Some((at, len)) => Some(address::read(at, len)?.local()?),
        None => None,
    };
    let how = Sending {
        to: to.as_ref(),
        rights: control.rights,
        credentials: control.credentials,
        signals: flags & MSG_NOSIGNAL == 0,
        patience: socket.send_patience(file.nonblocking() || flags & MSG_DONTWAIT != 0),
    };
    socket.send(&mut Pieces::new(pieces), how)
}

pub fn send_to(
    fd: usize,
    from: usize,
    len: usize,
    flags: u32,
    to: usize,
    to_len: usize,
) -> Result<usize, Errno> {
    let socket = socket(fd)?;
    let mut pieces = [Buf::user(from, len.min(MAX_BYTES))];
    // An empty address is none.
    let to = (to != 0 && to_len != 0).then_some((to, to_len));
    send_pieces(&socket, &mut pieces, to, Control::none(), flags)
}

pub fn send(fd: usize, header: usize, flags: u32) -> Result<usize, Errno> {
    let socket = socket(fd)?;
    let header = Header::read(header)?;
    let mut pieces = read_pieces(header.pieces, header.count)?;
    if header.control_len > i32::MAX as usize {
        return Err(Errno::ENOBUFS);
    }
    let control = control::read(header.control, header.control_len)?;
    let to = (header.name_len != 0).then_some((header.name, header.name_len));
    send_pieces(&socket, &mut pieces, to, control, flags)
}

/// sendmmsg(2): several messages, each with the bytes sent written behind it.
pub fn send_many(fd: usize, headers: usize, count: usize, flags: u32) -> Result<usize, Errno> {
    each(headers, (count as u32).min(UIO_MAXIOV), |header, _| {
        send(fd, header, flags)
    })
}

/// Calls `step` for each of several headers until one fails. How many did not; the error if the
/// first did.
fn each(
    headers: usize,
    count: u32,
    mut step: impl FnMut(usize, usize) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    for done in 0..count as usize {
        let header = headers + done * MANY;
        let result =
            step(header, done).and_then(|bytes| user::write_u32(header + MANY_LEN, bytes as u32));
        match result {
            Ok(()) => {}
            Err(error) if done == 0 => return Err(error),
            Err(_) => return Ok(done),
        }
    }
    Ok(count as usize)
}

fn receive_pieces(
    (file, socket): &(FileHandle, alloc::sync::Arc<Socket>),
    pieces: &mut [Buf<'_>],
    flags: u32,
) -> Result<Received, Errno> {
    if flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let how = Receiving {
        peeks: flags & MSG_PEEK != 0,
        fills: flags & MSG_WAITALL != 0,
        patience: socket.receive_patience(file.nonblocking() || flags & MSG_DONTWAIT != 0),
    };
    socket.receive(&mut Pieces::new(pieces), how)
}

/// What the call returns: with MSG_TRUNC all that there was.
fn result(received: &Received, flags: u32) -> usize {
    match flags & MSG_TRUNC {
        0 => received.bytes,
        _ => received.whole,
    }
}

pub fn receive_from(
    fd: usize,
    to: usize,
    len: usize,
    flags: u32,
    name: usize,
    name_len_at: usize,
) -> Result<usize, Errno> {
    let socket = socket(fd)?;
    let mut pieces = [Buf::user(to, len.min(MAX_BYTES))];
    let received = receive_pieces(&socket, &mut pieces, flags)?;
    if name != 0 {
        address::write_sender(name, name_len_at, received.from.as_deref())?;
    }
    Ok(result(&received, flags))
}

pub fn receive(fd: usize, header: usize, flags: u32) -> Result<usize, Errno> {
    let socket = socket(fd)?;
    let header = Header::read(header)?;
    let mut pieces = read_pieces(header.pieces, header.count)?;
    let received = receive_pieces(&socket, &mut pieces, flags)?;
    let result = result(&received, flags);
    let mut told = flags & MSG_CMSG_CLOEXEC;
    if received.bytes < received.whole {
        told |= MSG_TRUNC;
    }
    let mut room = Room {
        at: header.control,
        left: if header.control == 0 {
            0
        } else {
            header.control_len
        },
        flags: 0,
    };
    // A stream that has ended is from nobody.
    if socket.1.options().has(Flag::PassCredentials)
        && let Some(who) = received.credentials
    {
        room.put_credentials(who)?;
    }
    if !received.files.is_empty() {
        room.put_files(received.files, flags & MSG_CMSG_CLOEXEC != 0)?;
    }
    if header.name != 0 {
        let len = address::write_within(header.name, header.name_len, received.from.as_deref())?;
        user::write_u32(header.at + Header::NAME_LEN, len)?;
    }
    told |= room.flags & MSG_CTRUNC;
    user::write_u32(header.at + Header::FLAGS, told)?;
    let used = room.at - header.control;
    user::write_u64(header.at + Header::CONTROL_LEN, used as u64)?;
    Ok(result)
}

/// recvmmsg(2): several messages. The time is looked at after each, as on Linux.
pub fn receive_many(
    fd: usize,
    headers: usize,
    count: usize,
    flags: u32,
    timeout: usize,
) -> Result<usize, Errno> {
    let until = match timeout {
        0 => None,
        at => Some(now_ns().saturating_add(read_timespec(at)?)),
    };
    each(headers, (count as u32).min(UIO_MAXIOV), |header, done| {
        if done > 0 && until.is_some_and(|until| now_ns() >= until) {
            return Err(Errno::EAGAIN);
        }
        let wait = match flags & MSG_WAITFORONE {
            0 => 0,
            _ if done == 0 => 0,
            _ => MSG_DONTWAIT,
        };
        receive(fd, header, flags & !MSG_WAITFORONE | wait)
    })
}
