//! [`Epoll`]: a set of files to wait for, as epoll_create1(2) makes it.
//!
//! The set is looked through at each wait: it is simple, and sets are small here. Reports are
//! level-triggered; a program that asked for edges may be told again what it knows, which its
//! reads until EAGAIN make harmless.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;

use linux_raw_sys::general::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLONESHOT, O_RDWR, POLLERR, POLLHUP, POLLIN,
};

use super::file::{File, FileHandle};
use super::inode::FileIo;
use super::label::Anonymous;
use super::memory;
use crate::linux::Errno;
use crate::sync::Mutex;

/// A file in the set.
#[derive(Clone)]
struct Item {
    fd: usize,
    file: Weak<File>,
    /// The events asked for; none after a one-shot report.
    events: u32,
    data: u64,
}

/// A set of files.
pub struct Epoll {
    items: Mutex<Vec<Item>>,
}

/// An open file on an empty set.
pub fn open() -> Result<FileHandle, Errno> {
    let set = memory::arc(Epoll {
        items: Mutex::new(Vec::new()),
    })?;
    File::new(Anonymous::node("anon_inode:[eventpoll]")?, set, O_RDWR)
}

impl Epoll {
    /// The set that this file is, EINVAL if it is none.
    pub fn of(file: &File) -> Result<Arc<Epoll>, Errno> {
        file.io()?
            .clone()
            .into_any()
            .downcast()
            .map_err(|_| Errno::EINVAL)
    }

    /// epoll_ctl(2).
    pub fn control(
        &self,
        operation: u32,
        fd: usize,
        file: &FileHandle,
        events: u32,
        data: u64,
    ) -> Result<(), Errno> {
        if Epoll::of(file).is_ok() {
            return Err(Errno::EINVAL);
        }
        if file.node().kind() == super::inode::Kind::Directory
            || file.io()?.clone().into_any().is::<super::tmpfs::TmpNode>()
        {
            return Err(Errno::EPERM);
        }
        let file = Arc::downgrade(file);
        let mut items = self.items.lock();
        items.retain(|item| item.file.strong_count() > 0);
        let known = items
            .iter()
            .position(|item| item.fd == fd && item.file.ptr_eq(&file));
        match (operation, known) {
            (EPOLL_CTL_ADD, Some(_)) => Err(Errno::EEXIST),
            (EPOLL_CTL_ADD, None) => memory::push(
                &mut items,
                Item {
                    fd,
                    file,
                    events,
                    data,
                },
            ),
            (EPOLL_CTL_MOD | EPOLL_CTL_DEL, None) => Err(Errno::ENOENT),
            (EPOLL_CTL_MOD, Some(at)) => {
                items[at] = Item {
                    fd,
                    file,
                    events,
                    data,
                };
                Ok(())
            }
            (EPOLL_CTL_DEL, Some(at)) => {
                items.remove(at);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Shows what is ready, events and data, until `each` returns false. Takes no lock meanwhile.
    pub fn collect(&self, mut each: impl FnMut(u32, u64) -> bool) {
        let mut at = 0;
        loop {
            let Some(item) = self.items.lock().get(at).cloned() else {
                return;
            };
            let Some(file) = item.file.upgrade() else {
                self.items.lock().remove(at);
                continue;
            };
            let wanted = item.events & 0xffff;
            let events = if wanted == 0 {
                0
            } else {
                file.ready() & (wanted | POLLERR | POLLHUP)
            };
            if events != 0 {
                if item.events & EPOLLONESHOT != 0
                    && let Some(item) = self.items.lock().get_mut(at)
                {
                    item.events = 0;
                }
                if !each(events, item.data) {
                    return;
                }
            }
            at += 1;
        }
    }

    /// Whether anything is ready.
    pub fn is_ready(&self) -> bool {
        let mut found = false;
        let at_most = self.items.lock().len();
        for at in 0..at_most {
            let Some(item) = self.items.lock().get(at).cloned() else {
                break;
            };
            let wanted = item.events & 0xffff;
            found |= wanted != 0
                && item
                    .file
                    .upgrade()
                    .is_some_and(|file| file.ready() & (wanted | POLLERR | POLLHUP) != 0);
        }
        found
    }
}

impl FileIo for Epoll {
    fn ready(&self, _file: &File) -> u32 {
        if self.is_ready() { POLLIN } else { 0 }
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
