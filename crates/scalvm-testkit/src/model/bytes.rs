//! What a page holds.

use std::fmt;
use std::rc::Rc;

use scalvm::PAGE_SIZE;

/// The bytes of one page. A value like any other: a clone is a copy. (That clones share memory until one of
/// them is written is Rust's `Rc::make_mut`, nothing of ours.)
#[derive(Clone)]
pub struct Bytes(Option<Rc<[u8; PAGE_SIZE]>>);

const ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];

impl Bytes {
    /// A page of zeros.
    pub const ZERO: Bytes = Bytes(None);

    /// The bytes of a page.
    pub fn new(bytes: &[u8; PAGE_SIZE]) -> Bytes {
        Bytes(Some(Rc::new(*bytes)))
    }

    /// All of them.
    pub fn as_slice(&self) -> &[u8; PAGE_SIZE] {
        self.0.as_deref().unwrap_or(&ZEROS)
    }

    /// Replaces the bytes from `offset` on.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let page = Rc::make_mut(self.0.get_or_insert_with(|| Rc::new(ZEROS)));
        page[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Zeroes the bytes from `offset` on.
    pub fn clear_from(&mut self, offset: usize) {
        if let Some(page) = &mut self.0 {
            Rc::make_mut(page)[offset..].fill(0);
        }
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        match (&self.0, &other.0) {
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
