//! Control messages: files and credentials that go along with a message.

use alloc::vec::Vec;

use linux_raw_sys::net::{MSG_CTRUNC, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET};

use crate::fs::socket::{Credentials, MAX_RIGHTS, Rights};
use crate::fs::{FileHandle, memory};
use crate::linux::Errno;
use crate::linux::files::{file, install, undo};
use crate::mm::user;
use crate::task;

/// Bytes of Linux's `struct cmsghdr`: a length, which counts the header, a level and a type.
const HEAD: usize = 16;
const FD: usize = size_of::<u32>();
/// Bytes of Linux's `struct ucred`.
const UCRED: usize = 12;

/// What goes along with a message.
pub struct Control {
    /// Files.
    pub rights: Option<Rights>,
    /// Who it is told to be from.
    pub credentials: Credentials,
}

impl Control {
    /// Nothing but who really sends it.
    pub fn none() -> Control {
        Control {
            rights: None,
            credentials: Credentials::mine(),
        }
    }
}

/// The control messages in `len` bytes at an address.
pub fn read(at: usize, len: usize) -> Result<Control, Errno> {
    let mut control = Control::none();
    let mut files = Vec::new();
    let mut offset = 0;
    while len.saturating_sub(offset) >= HEAD {
        let [size, kind] = user::read::<[usize; 2]>(at + offset)?;
        if size < HEAD || size > len - offset {
            return Err(Errno::EINVAL);
        }
        let (data, bytes) = (at + offset + HEAD, size - HEAD);
        match (kind as u32, (kind >> 32) as u32) {
            (SOL_SOCKET, SCM_RIGHTS) => read_files(data, bytes / FD, &mut files)?,
            (SOL_SOCKET, SCM_CREDENTIALS) if bytes == UCRED => {
                control.credentials = read_credentials(data)?;
            }
            (SOL_SOCKET, _) => return Err(Errno::EINVAL),
            _ => {}
        }
        offset = (offset + size).next_multiple_of(size_of::<usize>());
    }
    if !files.is_empty() {
        control.rights = Some(Rights::new(files)?);
    }
    Ok(control)
}

fn read_files(at: usize, count: usize, files: &mut Vec<FileHandle>) -> Result<(), Errno> {
    if files.len() + count > MAX_RIGHTS {
        return Err(Errno::EINVAL);
    }
    for index in 0..count {
        let fd = user::read_u32(at + index * FD)?;
        memory::push(files, file(fd as usize)?)?;
    }
    Ok(())
}

/// Root may say what it likes, as long as there is such a process.
fn read_credentials(at: usize) -> Result<Credentials, Errno> {
    let [pid, uid, gid] = user::read::<[u32; 3]>(at)?;
    if uid == u32::MAX || gid == u32::MAX {
        return Err(Errno::EINVAL);
    }
    if pid != task::current().pid as u32 {
        task::find(pid as task::Pid).ok_or(Errno::ESRCH)?;
    }
    Ok(Credentials { pid, uid, gid })
}

/// Room for control messages in a program's memory.
pub struct Room {
    /// Where the next one goes.
    pub at: usize,
    /// How much is left.
    pub left: usize,
    /// MSG_CTRUNC if something found no room.
    pub flags: u32,
}

impl Room {
    /// Writes who sent a message.
    pub fn put_credentials(&mut self, who: Credentials) -> Result<(), Errno> {
        /// Who is unknown has this number.
        const NOBODY: u32 = 65534;
        let known = |id: u32| if id == u32::MAX { NOBODY } else { id };
        let words = [who.pid, known(who.uid), known(who.gid)];
        let mut bytes = [0; UCRED];
        for (to, word) in bytes.chunks_exact_mut(size_of::<u32>()).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        if self.left < HEAD {
            self.flags |= MSG_CTRUNC;
            return Ok(());
        }
        let room = self.left - HEAD;
        if room < UCRED {
            self.flags |= MSG_CTRUNC;
        }
        let len = room.min(UCRED);
        user::copy_out(self.at + HEAD, &bytes[..len])?;
        self.put_head(SCM_CREDENTIALS, len)
    }

    /// Gives files descriptors and writes those, as many as there is room for. The others close.
    pub fn put_files(&mut self, files: Vec<FileHandle>, close_on_exec: bool) -> Result<(), Errno> {
        let count = files.len();
        let room = self.left.saturating_sub(HEAD) / FD;
        let mut done = 0;
        for file in files.into_iter().take(room) {
            // Without a descriptor for it the message is cut short.
            let Ok(fd) = install(file, close_on_exec) else {
                break;
            };
            if let Err(error) = user::write_u32(self.at + HEAD + done * FD, fd as u32) {
                undo(fd);
                if done == 0 {
                    return Err(error);
                }
                break;
            }
            done += 1;
        }
        if done < count {
            self.flags |= MSG_CTRUNC;
        }
        match done {
            0 => Ok(()),
            _ => self.put_head(SCM_RIGHTS, done * FD),
        }
    }

    /// Writes the head of a message whose `len` bytes of data are there, and goes on behind it.
    fn put_head(&mut self, kind: u32, len: usize) -> Result<(), Errno> {
        let words = [HEAD + len, (SOL_SOCKET as usize) | (kind as usize) << 32];
        user::write(self.at, &words)?;
        let size = (HEAD + len.next_multiple_of(size_of::<usize>())).min(self.left);
        self.at += size;
        self.left -= size;
        Ok(())
    }
}
