//! Objects as the model sees them: a size, and the bytes of each page.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use scalvm::PAGE_SIZE;

use super::bytes::Bytes;

/// A shared object.
pub type ObjectRef = Rc<RefCell<Object>>;

/// Where an object's pages come from.
pub enum Kind {
    /// Zeros.
    Anonymous,
    /// What lies on the disk.
    File(Rc<RefCell<File>>),
    /// A device's memory, which is there.
    Device,
}

/// What a disk holds of one file.
pub struct File {
    /// Pages that are not zeros.
    pub pages: BTreeMap<u64, Bytes>,
    /// Bytes. What the disk has beyond them, in the last page, nobody knows.
    pub size: u64,
    /// Where the manager may write pages before it is told to: what each page contained at some time since it
    /// was last synced. The disk may have any of that instead.
    pub early: Option<BTreeMap<u64, Vec<Bytes>>>,
}

/// What a disk writes at once.
const SECTOR: usize = 512;

impl File {
    /// One page, zeros where nothing was written.
    pub fn page(&self, index: u64) -> Bytes {
        self.pages.get(&index).cloned().unwrap_or(Bytes::ZERO)
    }

    /// Grows by zeros, or forgets what lies beyond `size`.
    pub fn set_size(&mut self, size: u64) {
        cut(&mut self.pages, size.min(self.size));
        if let Some(early) = &mut self.early {
            early.split_off(&size.div_ceil(PAGE_SIZE as u64));
            let tail = (size % PAGE_SIZE as u64) as usize;
            if tail != 0
                && size < self.size
                && let Some(last) = early.get_mut(&(size / PAGE_SIZE as u64))
            {
                last.iter_mut().for_each(|bytes| bytes.clear_from(tail));
            }
        }
        self.size = size;
    }

    /// Whether a page may have these bytes on the disk: each sector as it was when last synced, or at some time
    /// since.
    pub fn may_hold(&self, index: u64, is: &Bytes) -> bool {
        let synced = self.page(index);
        let early = self.early.as_ref().and_then(|early| early.get(&index));
        let Some(early) = early else {
            return *is == synced;
        };
        (0..PAGE_SIZE).step_by(SECTOR).all(|at| {
            let sector = |bytes: &Bytes| bytes.as_slice()[at..at + SECTOR].to_vec();
            let found = sector(is);
            early
                .iter()
                .chain([&synced])
                .any(|bytes| sector(bytes) == found)
        })
    }

    /// The disk has this page, and no other will be written over it any more.
    pub fn settle(&mut self, index: u64, is: Bytes) {
        if let Some(early) = &mut self.early {
            early.remove(&index);
        }
        self.pages.insert(index, is);
    }

    /// A page has these bytes now, which are not synced.
    fn changed(&mut self, index: u64, is: &Bytes) {
        if let Some(early) = &mut self.early {
            early.entry(index).or_default().push(is.clone());
        }
    }
}

/// Drops pages beyond `size`, and zeroes the tail of the page it lies in.
fn cut(pages: &mut BTreeMap<u64, Bytes>, size: u64) {
    pages.split_off(&size.div_ceil(PAGE_SIZE as u64));
    let tail = (size % PAGE_SIZE as u64) as usize;
    if tail != 0
        && let Some(last) = pages.get_mut(&(size / PAGE_SIZE as u64))
    {
        last.clear_from(tail);
    }
}

/// Something that can be mapped.
pub struct Object {
    /// What the manager calls it, once that is known.
    pub id: Cell<Option<u64>>,
    /// What was set with `set_cookie`, or given for a vnode.
    pub cookie: usize,
    /// Where its pages come from.
    pub kind: Kind,
    /// Whether a fork has made a copy of it, or a page of it was lent: from then on a page that is held for
    /// reading may be what the object had when it was held, while one that is held for writing is the
    /// object's still.
    pub copied: Cell<bool>,
    /// Whether holes are refused.
    pub kept: bool,
    size: u64,
    /// Pages in memory: all that were ever written, for a file those that the disk does not have yet.
    pages: BTreeMap<u64, Bytes>,
    /// Pages of a file that were written through a hold after a sync: seen, but not to be synced before the
    /// hold is let go.
    unsettled: BTreeMap<u64, Bytes>,
    /// Holds for writing of each page. (Needed where pages are written early.)
    held: BTreeMap<u64, u32>,
}

impl Object {
    /// An object of `size` bytes.
    pub fn new(kind: Kind, cookie: usize, size: u64) -> ObjectRef {
        Rc::new(RefCell::new(Object {
            id: Cell::new(None),
            cookie,
            kind,
            copied: Cell::new(false),
            kept: false,
            size,
            pages: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            held: BTreeMap::new(),
        }))
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Pages, the last of which may lie in it in part.
    pub fn page_count(&self) -> u64 {
        self.size.div_ceil(PAGE_SIZE as u64)
    }

    /// A page, or none beyond the end.
    pub fn page(&self, index: u64) -> Option<Bytes> {
        if index >= self.page_count() {
            return None;
        }
        let unsettled = self.unsettled.get(&index);
        let page = unsettled.or_else(|| self.pages.get(&index)).cloned();
        Some(page.unwrap_or_else(|| match &self.kind {
            Kind::File(file) => file.borrow().page(index),
            _ => Bytes::ZERO,
        }))
    }

    /// Writes into one page that is not beyond the end.
    pub fn write(&mut self, index: u64, offset: usize, bytes: &[u8]) {
        let mut page = self.page(index).expect("within the size");
        page.write(offset, bytes);
        self.unsettled.remove(&index);
        self.changed(index, &page);
        self.pages.insert(index, page);
    }

    fn changed(&self, index: u64, page: &Bytes) {
        if let Kind::File(file) = &self.kind {
            file.borrow_mut().changed(index, page);
        }
    }

    /// Whether pages are written before they are synced.
    fn is_early(&self) -> bool {
        matches!(&self.kind, Kind::File(file) if file.borrow().early.is_some())
    }

    /// A page is held for writing.
    pub fn hold(&mut self, index: u64) {
        *self.held.entry(index).or_default() += 1;
        self.write(index, 0, &[]);
    }

    /// And no more.
    pub fn release(&mut self, index: u64) {
        let last = self.held.get_mut(&index).map(|holds| {
            *holds -= 1;
            *holds == 0
        });
        if last == Some(true) {
            self.held.remove(&index);
        }
        self.write(index, 0, &[]);
    }

    /// Writes into a page that is held: its hold has made it dirty, and will again.
    pub fn write_held(&mut self, index: u64, offset: usize, bytes: &[u8]) {
        if self.is_written(index) || self.is_early() {
            self.write(index, offset, bytes);
        } else {
            let mut page = self.page(index).expect("it is held");
            page.write(offset, bytes);
            self.unsettled.insert(index, page);
        }
    }

    /// Whether a page was written and, of a file, not synced since.
    pub fn is_written(&self, index: u64) -> bool {
        self.pages.contains_key(&index)
    }

    /// The pages of a range that are not zeros from the start.
    pub fn written(&self, pages: std::ops::Range<u64>) -> Vec<(u64, Bytes)> {
        self.pages
            .range(pages)
            .map(|(&index, page)| (index, page.clone()))
            .collect()
    }

    /// Writes what is dirty in these pages to the disk. Where pages are written early, nobody knows which of a
    /// holder's changes got there.
    pub fn sync(&mut self, from: u64, to: u64) {
        let early = self.is_early();
        if let Kind::File(file) = &self.kind {
            let dirty: Vec<u64> = self
                .pages
                .range(from..to)
                .map(|(&index, _)| index)
                .filter(|index| !early || !self.held.contains_key(index))
                .collect();
            for index in dirty {
                let page = self.pages.remove(&index).expect("it was there");
                file.borrow_mut().settle(index, page);
            }
        }
    }

    /// Grows or truncates; of a file the disk too, as a file system would.
    pub fn set_size(&mut self, size: u64) {
        if size < self.size {
            cut(&mut self.pages, size);
            cut(&mut self.unsettled, size);
            self.held
                .retain(|index, _| *index < size.div_ceil(PAGE_SIZE as u64));
        }
        if let Kind::File(file) = &self.kind {
            file.borrow_mut().set_size(size);
        }
        self.size = size;
    }

    /// Forgets pages of memory that no disk has.
    pub fn zero(&mut self, pages: std::ops::Range<u64>) {
        self.pages.retain(|index, _| !pages.contains(index));
    }

    /// Zeroes a range of bytes; tells which pages are gone as a whole.
    pub fn punch(&mut self, offset: u64, len: u64) -> std::ops::Range<u64> {
        let page = PAGE_SIZE as u64;
        let end = offset + len;
        for index in offset / page..end.div_ceil(page) {
            let begin = index * page;
            let (from, to) = (offset.max(begin) - begin, end.min(begin + page) - begin);
            if from == 0 && to == page {
                self.pages.remove(&index);
                self.held.remove(&index);
            } else if self.is_written(index) && from < to {
                self.write(index, from as usize, &vec![0; (to - from) as usize]);
            }
        }
        offset.div_ceil(page)..end / page
    }

    /// The bytes at `offset`, as many as there are up to `len`.
    pub fn read_at(&self, offset: u64, len: usize) -> Vec<u8> {
        let end = self.size.min(offset.saturating_add(len as u64));
        let mut bytes = Vec::new();
        let mut at = offset;
        while at < end {
            let (index, within) = (at / PAGE_SIZE as u64, (at % PAGE_SIZE as u64) as usize);
            let n = ((end - at) as usize).min(PAGE_SIZE - within);
            let page = self.page(index).expect("within the size");
            bytes.extend_from_slice(&page.as_slice()[within..within + n]);
            at += n as u64;
        }
        bytes
    }

    /// Writes bytes that lie within the size.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let here = offset + at as u64;
            let (index, within) = (here / PAGE_SIZE as u64, (here % PAGE_SIZE as u64) as usize);
            let n = (bytes.len() - at).min(PAGE_SIZE - within);
            self.write(index, within, &bytes[at..at + n]);
            at += n;
        }
    }
}
