//! [`Epoll`]: a set of files to wait for, as epoll_create1(2) makes it.
//!
//! The set is looked through at each wait: it is simple, and sets are small here. Whoever asked for
//! edges (EPOLLET) is told only if something has happened since it was told last: files count that
//! ([`FileIo::edges`]). Those that do not, terminals, are told of at each look, which a program that
//! reads until EAGAIN does not mind.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use linux_raw_sys::general::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLONESHOT, O_RDWR, POLLERR, POLLHUP,
    POLLIN, POLLOUT, POLLPRI, POLLRDBAND, POLLRDHUP, POLLRDNORM, POLLWRBAND, POLLWRNORM,
};

use super::file::{File, FileHandle};
use super::inode::{Edges, FileIo};
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
    /// What had happened when it was last told of, if it was: for edges.
    told: Option<Edges>,
}

/// What of an item's events is about reading, and what about writing.
const INPUT: u32 = POLLIN | POLLRDNORM | POLLRDBAND | POLLPRI | POLLRDHUP;
const OUTPUT: u32 = POLLOUT | POLLWRNORM | POLLWRBAND;
/// Events that are told of though nobody asked.
const ALWAYS: u32 = POLLERR | POLLHUP;

impl Item {
    /// The events that are to be told of now, and what has happened by then.
    fn news(&self, file: &File) -> Option<(u32, Option<Edges>)> {
        let wanted = self.events & 0xffff;
        // After a one-shot report nothing is wanted.
        if wanted == 0 {
            return None;
        }
        let events = file.ready() & (wanted | ALWAYS);
        let edges = file.edges();
        let is_new = match (self.told, edges) {
            (Some(told), Some(now)) if self.events & EPOLLET != 0 => {
                wanted & INPUT != 0 && now.input != told.input
                    || wanted & OUTPUT != 0 && now.output != told.output
            }
            _ => true,
        };
        (events != 0 && is_new).then_some((events, edges))
    }
}

/// A set of files.
pub struct Epoll {
    items: Mutex<Vec<Item>>,
    /// Where to begin to look.
    first: AtomicUsize,
}

/// An open file on an empty set.
pub fn open() -> Result<FileHandle, Errno> {
    let set = memory::arc(Epoll {
        items: Mutex::new(Vec::new()),
        first: AtomicUsize::new(0),
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
                    told: None,
                },
            ),
            (EPOLL_CTL_MOD | EPOLL_CTL_DEL, None) => Err(Errno::ENOENT),
            (EPOLL_CTL_MOD, Some(at)) => {
                items[at] = Item {
                    fd,
                    file,
                    events,
                    data,
                    told: None,
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

    /// Shows what is ready, events and data, until `each` returns false; what comes behind that is
    /// shown first the next time. Takes no lock meanwhile.
    pub fn collect(&self, mut each: impl FnMut(u32, u64) -> bool) {
        let count = {
            let mut items = self.items.lock();
            items.retain(|item| item.file.strong_count() > 0);
            items.len()
        };
        let first = self.first.swap(0, Relaxed);
        for step in 0..count {
            let at = (first + step) % count;
            let Some(item) = self.items.lock().get(at).cloned() else {
                continue;
            };
            let news = item.file.upgrade().and_then(|file| item.news(&file));
            let Some((events, edges)) = news else {
                continue;
            };
            if let Some(item) = self.items.lock().get_mut(at) {
                item.told = edges;
                if item.events & EPOLLONESHOT != 0 {
                    item.events = 0;
                }
            }
            if !each(events, item.data) {
                self.first.store(at + 1, Relaxed);
                return;
            }
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
            let file = item.file.upgrade();
            found |= file.is_some_and(|file| item.news(&file).is_some());
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
