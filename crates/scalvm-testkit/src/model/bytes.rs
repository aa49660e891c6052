//! What a page holds.

use std::fmt;
use std::rc::Rc;

use scalvm::PAGE_SIZE;

/// The bytes of one page. A value like any other: a clone is a copy. (That clones share memory until one of
/// them is written is Rust's `Rc::make_mut`, nothing of ours.)
///
/// A page that was given up may hold one thing or another; which, only the manager knows, until it is looked at.
#[derive(Clone)]
pub struct Bytes {
    now: Contents,
    /// What it may hold instead.
    or: Vec<Contents>,
    /// It may become zeros at any time: it was given up, and not written since.
    given_up: bool,
}

/// None are zeros.
type Contents = Option<Rc<[u8; PAGE_SIZE]>>;

const ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];

impl Bytes {
    /// A page of zeros.
    pub const ZERO: Bytes = Bytes::of(None);

    /// The bytes of a page.
    pub fn new(bytes: &[u8; PAGE_SIZE]) -> Bytes {
        Bytes::of(Some(Rc::new(*bytes)))
    }

    const fn of(now: Contents) -> Bytes {
        Bytes {
            now,
            or: Vec::new(),
            given_up: false,
        }
    }

    /// All of them.
    pub fn as_slice(&self) -> &[u8; PAGE_SIZE] {
        slice(&self.now)
    }

    /// Replaces the bytes from `offset` on.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        if std::mem::take(&mut self.given_up) {
            self.or.push(None);
        }
        for contents in self.or.iter_mut().chain([&mut self.now]) {
            let page = Rc::make_mut(contents.get_or_insert_with(|| Rc::new(ZEROS)));
            page[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Gives the contents up: they may become zeros, until the page is written.
    pub fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Whether only one thing can be found in it.
    pub fn is_certain(&self) -> bool {
        !self.given_up && self.or.is_empty()
    }

    /// These bytes were found at `offset`: it holds, of what it may hold, something that has them there. Nothing
    /// changes where that is nothing.
    pub fn found(&mut self, offset: usize, bytes: &[u8]) {
        let has = |contents: &Contents| slice(contents)[offset..offset + bytes.len()] == *bytes;
        let mut may: Vec<Contents> = self.or.drain(..).chain([self.now.take()]).collect();
        if may.iter().any(has) {
            may.retain(has);
        } else if self.given_up && has(&None) {
            may = vec![None];
        }
        self.now = may.pop().expect("it holds something");
        self.or = may;
    }

    /// Zeroes the bytes from `offset` on.
    pub fn clear_from(&mut self, offset: usize) {
        for page in self.or.iter_mut().chain([&mut self.now]).flatten() {
            Rc::make_mut(page)[offset..].fill(0);
        }
    }
}

fn slice(contents: &Contents) -> &[u8; PAGE_SIZE] {
    contents.as_deref().unwrap_or(&ZEROS)
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        match (&self.now, &other.now) {
            (Some(a), Some(b)) if Rc::ptr_eq(a, b) => true,
            (None, None) => true,
            _ => self.as_slice() == other.as_slice(),
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.as_slice().iter().position(|&b| b != 0);
        write!(f, "Bytes(first that is not zero: {first:?})")
    }
}
