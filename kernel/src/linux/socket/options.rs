//! getsockopt(2) and setsockopt(2).

use linux_raw_sys::net::*;

use super::socket;
use crate::arch::time::SECOND;
use crate::fs::socket::{Flag, Linger, Style};
use crate::linux::Errno;
use crate::mm::user;

const MICROSECOND: u64 = 1000;

/// The option of this number that is on or off.
fn flag(option: u32) -> Option<Flag> {
    Some(match option {
        SO_DEBUG => Flag::Debug,
        SO_REUSEADDR => Flag::ReuseAddress,
        SO_DONTROUTE => Flag::DontRoute,
        SO_BROADCAST => Flag::Broadcast,
        SO_KEEPALIVE => Flag::KeepAlive,
        SO_OOBINLINE => Flag::UrgentInline,
        SO_PASSCRED => Flag::PassCredentials,
        _ => return None,
    })
}

/// The value of an option: a number, or several words.
enum Value {
    Number(u32),
    Words([u32; 3], usize),
}

pub fn get(fd: usize, level: u32, option: u32, to: usize, len_at: usize) -> Result<usize, Errno> {
    let (_, socket) = socket(fd)?;
    if level != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let room = usize::try_from(user::read_u32(len_at)? as i32).map_err(|_| Errno::EINVAL)?;
    let options = socket.options();
    let value = match option {
        option if let Some(flag) = flag(option) => Value::Number(options.has(flag).into()),
        SO_TYPE => Value::Number(match socket.style() {
            Style::Stream => SOCK_STREAM,
            Style::Datagram => SOCK_DGRAM,
            Style::Packets => SOCK_SEQPACKET,
        }),
        SO_DOMAIN => Value::Number(AF_UNIX),
        SO_PROTOCOL | SO_REUSEPORT => Value::Number(0),
        SO_ERROR => Value::Number(socket.take_error().map_or(0, |error| error.0 as u32)),
        SO_SNDBUF => Value::Number(options.send_buffer as u32),
        SO_RCVBUF => Value::Number(options.receive_buffer as u32),
        SO_PRIORITY => Value::Number(options.priority),
        SO_RCVLOWAT => Value::Number(options.low_water as u32),
        SO_SNDLOWAT => Value::Number(1),
        SO_ACCEPTCONN => Value::Number(socket.listens().into()),
        SO_LINGER => Value::Words([options.linger.on.into(), options.linger.seconds, 0], 2),
        SO_PEERCRED => {
            let who = socket.peer_credentials();
            Value::Words([who.pid, who.uid, who.gid], 3)
        }
        SO_RCVTIMEO => return put_time(to, len_at, room, options.receive_timeout),
        SO_SNDTIMEO => return put_time(to, len_at, room, options.send_timeout),
        _ => return Err(Errno::ENOPROTOOPT),
    };
    let (words, count) = match value {
        Value::Number(number) => ([number, 0, 0], 1),
        Value::Words(words, count) => (words, count),
    };
    put(
        to,
        len_at,
        room,
        words.map(u32::to_ne_bytes)[..count].as_flattened(),
    )
}

/// Writes as much of a value as there is room for, and how much that is.
fn put(to: usize, len_at: usize, room: usize, bytes: &[u8]) -> Result<usize, Errno> {
    let len = room.min(bytes.len());
    user::copy_out(to, &bytes[..len])?;
    user::write_u32(len_at, len as u32)?;
    Ok(0)
}

fn put_time(to: usize, len_at: usize, room: usize, ns: u64) -> Result<usize, Errno> {
    let words = [ns / SECOND, ns % SECOND / MICROSECOND].map(u64::to_ne_bytes);
    put(to, len_at, room, words.as_flattened())
}

pub fn set(fd: usize, level: u32, option: u32, at: usize, len: usize) -> Result<usize, Errno> {
    let len = usize::try_from(len as u32 as i32).map_err(|_| Errno::EINVAL)?;
    let (_, socket) = socket(fd)?;
    if level != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    if len < size_of::<u32>() {
        return Err(Errno::EINVAL);
    }
    let value = user::read_u32(at)?;
    let at_least = |size: usize| {
        if len < size {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    };
    match option {
        option if let Some(flag) = flag(option) => {
            socket.set_options(|options| options.set(flag, value != 0));
        }
        SO_SNDBUF => socket.set_options(|options| options.set_send_buffer(value)),
        SO_RCVBUF => socket.set_options(|options| options.set_receive_buffer(value)),
        SO_PRIORITY => socket.set_options(|options| options.priority = value),
        SO_RCVLOWAT => {
            // A negative one is as many as there may be; none is one.
            let bytes = (value as usize).min(i32::MAX as usize).max(1);
            socket.set_options(|options| options.low_water = bytes);
        }
        SO_LINGER => {
            at_least(2 * size_of::<u32>())?;
            let seconds = user::read_u32(at + size_of::<u32>())?;
            socket.set_options(|options| match value {
                0 => options.linger.on = false,
                _ => options.linger = Linger { on: true, seconds },
            });
        }
        SO_RCVTIMEO | SO_SNDTIMEO => {
            at_least(2 * size_of::<u64>())?;
            let ns = time(user::read(at)?)?;
            socket.set_options(|options| match option {
                SO_RCVTIMEO => options.receive_timeout = ns,
                _ => options.send_timeout = ns,
            });
        }
        SO_REUSEPORT if value != 0 => return Err(Errno::EOPNOTSUPP),
        SO_REUSEPORT => {}
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(0)
}

/// How long a timeout is in nanoseconds, 0 for ever. EDOM if it is not in order.
fn time([seconds, us]: [i64; 2]) -> Result<u64, Errno> {
    match (u64::try_from(seconds), u64::try_from(us)) {
        (_, Ok(us)) if us >= SECOND / MICROSECOND => Err(Errno::EDOM),
        (_, Err(_)) => Err(Errno::EDOM),
        (Ok(seconds), Ok(us)) => Ok(seconds
            .saturating_mul(SECOND)
            .saturating_add(us * MICROSECOND)),
        // A negative time is over at once: the shortest wait there is.
        (Err(_), Ok(_)) => Ok(1),
    }
}
