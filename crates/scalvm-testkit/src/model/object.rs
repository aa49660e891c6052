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
}

impl File {
    /// One page, zeros where nothing was written.
    pub fn page(&self, index: u64) -> Bytes {
        self.pages.get(&index).cloned().unwrap_or(Bytes::ZERO)
    }

    /// Grows by zeros, or forgets what lies beyond `size`.
    pub fn set_size(&mut self, size: u64) {
        cut(&mut self.pages, size.min(self.size));
        self.size = size;
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
    size: u64,
    /// Pages in memory: all that were ever written, for a file those that the disk does not have yet.
    pages: BTreeMap<u64, Bytes>,
    /// Pages of a file that were written through a hold after a sync: seen, but not to be synced before the
    /// hold is let go.
    unsettled: BTreeMap<u64, Bytes>,
}

impl Object {
    /// An object of `size` bytes.
    pub fn new(kind: Kind, cookie: usize, size: u64) -> ObjectRef {
        Rc::new(RefCell::new(Object {
            id: Cell::new(None),
            cookie,
            kind,
            size,
            pages: BTreeMap::new(),
            unsettled: BTreeMap::new(),
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
        self.pages.insert(index, page);
    }

    /// Writes into a page that is held: its hold has made it dirty, and will again.
    pub fn write_held(&mut self, index: u64, offset: usize, bytes: &[u8]) {
        if self.is_written(index) {
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

    /// Writes what is dirty in these pages to the disk.
    pub fn sync(&mut self, from: u64, to: u64) {
        if let Kind::File(file) = &self.kind {
            let dirty: Vec<u64> = self
                .pages
                .range(from..to)
                .map(|(&index, _)| index)
                .collect();
            for index in dirty {
                let page = self.pages.remove(&index).expect("it was there");
                file.borrow_mut().pages.insert(index, page);
            }
        }
    }

    /// Grows or truncates; of a file the disk too, as a file system would.
    pub fn set_size(&mut self, size: u64) {
        if size < self.size {
            cut(&mut self.pages, size);
            cut(&mut self.unsettled, size);
        }
        if let Kind::File(file) = &self.kind {
            file.borrow_mut().set_size(size);
        }
        self.size = size;
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
