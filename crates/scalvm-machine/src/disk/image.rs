//! What lies on a disk.

use std::collections::BTreeMap;

use scalvm::PAGE_SIZE;

/// What a disk writes at once, whatever happens: the bytes of a sector are all old or all new.
pub const SECTOR: usize = 512;

/// Pages by file and number; those that are lacking are zeros.
#[derive(Default)]
pub(crate) struct Image(BTreeMap<(usize, u64), Box<[u8; PAGE_SIZE]>>);

impl Image {
    /// A page, if it was ever written.
    pub fn page(&self, cookie: usize, index: u64) -> Option<&[u8; PAGE_SIZE]> {
        self.0.get(&(cookie, index)).map(|page| &**page)
    }

    /// A page to be written.
    pub fn page_mut(&mut self, cookie: usize, index: u64) -> &mut [u8; PAGE_SIZE] {
        self.0
            .entry((cookie, index))
            .or_insert_with(|| Box::new([0; PAGE_SIZE]))
    }

    /// Reads bytes of a file.
    pub fn read(&self, cookie: usize, offset: u64, buf: &mut [u8]) {
        let mut at = 0;
        for (index, within, len) in pieces(offset, buf.len()) {
            let piece = &mut buf[at..at + len];
            match self.page(cookie, index) {
                Some(page) => piece.copy_from_slice(&page[within..within + len]),
                None => piece.fill(0),
            }
            at += len;
        }
    }

    /// Writes bytes of a file.
    pub fn write(&mut self, cookie: usize, offset: u64, buf: &[u8]) {
        let mut at = 0;
        for (index, within, len) in pieces(offset, buf.len()) {
            self.page_mut(cookie, index)[within..within + len].copy_from_slice(&buf[at..at + len]);
            at += len;
        }
    }

    /// Makes all bytes of a file from this offset on zeros.
    pub fn cut(&mut self, cookie: usize, offset: u64) {
        let (index, within) = (offset / PAGE_SIZE as u64, offset as usize % PAGE_SIZE);
        if let Some(page) = self.0.get_mut(&(cookie, index)) {
            page[within..].fill(0);
        }
        self.0
            .retain(|(file, page), _| *file != cookie || *page <= index);
    }
}

/// The parts of a span of bytes that lie in one page each: its number, where in it, how many.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + len as u64;
    let mut at = offset;
    std::iter::from_fn(move || {
        let within = at as usize % PAGE_SIZE;
        let count = (PAGE_SIZE - within).min((end - at) as usize);
        let piece = (at / PAGE_SIZE as u64, within, count);
        at += count as u64;
        (count > 0).then_some(piece)
    })
}
