//! [`Disk`]: files in memory for the vnode pager, on a disk that can be slow, fail, and lose power.
//!
//! A file is known by its cookie and has no end: bytes that nobody wrote are zeros. (How long a
//! file is, is the object's affair.) A swap device is such a file, too.
//!
//! A disk writes [`SECTOR`] bytes at once: of a sector, all is old or all is new. What was
//! acknowledged is on the disk, whatever happens later; there is no cache that could be lost.
//!
//! `image` is what lies on it, `trouble` which requests fail, `queue` which are carried out next,
//! and `serve` carries them out. One lock protects all; it is a leaf.

mod image;
mod queue;
mod serve;
mod trouble;

use std::fmt;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard};

use image::Image;
use queue::Queue;
use trouble::Trouble;

use crate::machine::lock;

pub use image::SECTOR;

/// When requests are carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Within the pager's call.
    AtOnce,
    /// When [`Disk::pump`] is called, or by a thread that is in [`Disk::serve`].
    Later,
}

/// What a disk has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskCounts {
    /// Requests to read, those that failed with them.
    pub reads: u64,
    /// Pages that were to be read.
    pub pages_read: u64,
    /// Requests to write, those that failed with them.
    pub writes: u64,
    /// Pages that were to be written.
    pub pages_written: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Of those, requests to write.
    pub failed_writes: u64,
    /// Files whose object is gone.
    pub released: u64,
}

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

struct State {
    image: Image,
    queue: Queue,
    trouble: Trouble,
    /// Without power every request fails.
    powered: bool,
    counts: DiskCounts,
}

/// A disk in memory.
pub struct Disk {
    state: Mutex<State>,
    arrived: Condvar,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({:?})", self.counts())
    }
}

impl Disk {
    /// An empty disk.
    pub fn new(pace: Pace) -> Disk {
        Disk {
            state: Mutex::new(State {
                image: Image::default(),
                queue: Queue::new(pace),
                trouble: Trouble::none(),
                powered: true,
                counts: DiskCounts::default(),
            }),
            arrived: Condvar::new(),
        }
    }

    /// Changes the pace of requests to come.
    pub fn set_pace(&self, pace: Pace) {
        self.state().queue.pace = pace;
    }

    /// From now on each request waits, whatever the pace, until up to `most` other things have
    /// happened, how many a seed determines: a request came, or somebody looked whether one can be
    /// carried out. So a later one may be carried out before it. Zero: none waits.
    pub fn delay(&self, seed: u64, most: u64) {
        self.state().queue.delay(seed, most);
    }

    /// From now on no request is answered, whatever the pace, until [`Disk::go_on`].
    pub fn stop_answering(&self) {
        self.state().queue.stopped = true;
    }

    /// Answers again. What came meanwhile waits as with [`Pace::Later`].
    pub fn go_on(&self) {
        self.state().queue.stopped = false;
        self.arrived.notify_all();
    }

    /// Makes the n-th request from now on fail, counted from zero, and no other.
    pub fn fail_request(&self, n: u64) {
        self.state().trouble.all.nth(n, false);
    }

    /// Makes the n-th request from now on fail, counted from zero, and all after it.
    pub fn fail_requests_from(&self, n: u64) {
        self.state().trouble.all.nth(n, true);
    }

    /// Makes one request in so many fail, as a seed determines; zero: none.
    pub fn fail_randomly(&self, seed: u64, one_in: u64) {
        self.state().trouble.all.random(seed, one_in);
    }

    /// Makes one read in so many fail, as a seed determines; zero: none.
    pub fn fail_reads_randomly(&self, seed: u64, one_in: u64) {
        self.state().trouble.reads.random(seed, one_in);
    }

    /// Makes one write in so many fail, as a seed determines; zero: none.
    pub fn fail_writes_randomly(&self, seed: u64, one_in: u64) {
        self.state().trouble.writes.random(seed, one_in);
    }

    /// Makes all requests fail that touch these pages of a file.
    pub fn fail_pages(&self, cookie: usize, pages: Range<u64>) {
        self.fail_reads_of(cookie, pages.clone());
        self.fail_writes_of(cookie, pages);
    }

    /// Makes all reads fail that touch these pages of a file.
    pub fn fail_reads_of(&self, cookie: usize, pages: Range<u64>) {
        self.state().trouble.add_bad(Direction::Read, cookie, pages);
    }

    /// Makes all writes fail that touch these pages of a file.
    pub fn fail_writes_of(&self, cookie: usize, pages: Range<u64>) {
        self.state()
            .trouble
            .add_bad(Direction::Write, cookie, pages);
    }

    /// From now on a write that fails is torn: of each of its sectors a seed determines whether it
    /// is written. Otherwise it changes nothing.
    pub fn tear_writes(&self, seed: u64) {
        self.state().trouble.tear(seed);
    }

    /// From now on a request that fails may be lost instead: it is dropped unanswered. A seed determines
    /// which.
    pub fn lose_requests(&self, seed: u64) {
        self.state().trouble.lose(seed);
    }

    /// Makes no request fail any more that is carried out from now on, unless there is no power.
    pub fn stop_failing(&self) {
        self.state().trouble.stop();
    }

    /// Takes the power away. What was carried out is on the disk; of each sector that a waiting
    /// request was to write a seed determines whether it still gets there. All requests that wait
    /// or come from now on fail, when they are carried out.
    pub fn cut_power(&self, seed: u64) {
        self.state().cut_power(seed);
    }

    /// Gives the power back. The disk holds what was left on it; what still waits from before
    /// fails.
    pub fn restart(&self) {
        let mut state = self.state();
        state.queue.fail_waiting();
        state.powered = true;
    }

    /// What it has done so far.
    pub fn counts(&self) -> DiskCounts {
        self.state().counts
    }

    /// Requests that wait to be carried out.
    pub fn waiting(&self) -> usize {
        self.state().queue.len()
    }

    /// Reads a file behind the manager's back.
    pub fn read_file(&self, cookie: usize, offset: u64, buf: &mut [u8]) {
        self.state().image.read(cookie, offset, buf);
    }

    /// Writes a file behind the manager's back.
    pub fn write_file(&self, cookie: usize, offset: u64, buf: &[u8]) {
        self.state().image.write(cookie, offset, buf);
    }

    /// Makes all bytes of a file from this offset on zeros, as truncating does.
    pub fn cut_file(&self, cookie: usize, offset: u64) {
        self.state().image.cut(cookie, offset);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
