//! [`Scatter`]: a request of the pager whose pages lie in several places of a disk.

use core::ops::Range;

use scalvm::{Frame, Io, Machine, PAGE_SIZE, PagerError};

use super::queue::{MOST_PIECES, Part, Work};
use super::{Disk, SECTORS};
use crate::mm::{Hw, VM};

/// Such a request while its parts are handed out. When this is dropped no more come, and when the
/// last one has ended the manager is told. An error of any part is one of the whole.
pub struct Scatter<'d> {
    disk: &'d Disk,
    job: usize,
    frames: [Frame; MOST_PIECES],
    result: Result<(), PagerError>,
}

impl Disk {
    /// Takes a request. Blocks only while too many are under way.
    pub fn scatter(&self, io: Io<Hw>) -> Scatter<'_> {
        let mut frames = [Frame::NONE; MOST_PIECES];
        for (to, from) in frames.iter_mut().zip(io.frames()) {
            *to = *from;
        }
        let mut io = Some(io);
        let job = loop {
            // In a statement of its own, so that the lock is free while the thread waits.
            let job = self.jobs.lock().begin(&mut io);
            match job {
                Some(job) => break job,
                None => self.wait(),
            }
        };
        Scatter {
            disk: self,
            job,
            frames,
            result: Ok(()),
        }
    }

    /// Waits until all scattered requests that are under way now have ended: no block that they
    /// write may be given to another file before. Blocks.
    pub fn settle(&self) {
        let mark = self.jobs.lock().next();
        while self.jobs.lock().has_before(mark) {
            self.wait();
        }
    }

    /// A part of a job has ended.
    pub(super) fn part_ended(&self, job: usize, result: Result<(), PagerError>) {
        let done = self.jobs.lock().one_less(job, result);
        if let Some((io, result)) = done {
            VM.io_done(io, result);
            self.progress.wake_all();
        }
    }
}

impl Scatter<'_> {
    /// Fills some of the pages from the disk, from its page `at` on.
    pub fn read(&mut self, pages: Range<usize>, at: u64) {
        self.part(pages, at, false);
    }

    /// Puts some of the pages to the disk, from its page `at` on.
    pub fn write(&mut self, pages: Range<usize>, at: u64) {
        self.part(pages, at, true);
    }

    /// Fills a page with zeros.
    pub fn zero(&mut self, page: usize) {
        let bytes = VM.machine().frame_ptr(self.frames[page]);
        // SAFETY: a frame of the request, which is being filled: nobody else sees it.
        unsafe { bytes.write_bytes(0, PAGE_SIZE) };
    }

    /// Lets the whole request fail.
    pub fn fail(&mut self, error: PagerError) {
        self.result = Err(error);
    }

    fn part(&mut self, pages: Range<usize>, at: u64, write: bool) {
        let mut part = Part {
            job: self.job,
            write,
            count: pages.len(),
            frames: [Frame::NONE; MOST_PIECES],
        };
        part.frames[..pages.len()].copy_from_slice(&self.frames[pages]);
        self.disk.jobs.lock().one_more(self.job);
        self.disk.start(Work::Part(part), at * SECTORS);
    }
}

impl Drop for Scatter<'_> {
    fn drop(&mut self) {
        self.disk.part_ended(self.job, self.result);
    }
}
