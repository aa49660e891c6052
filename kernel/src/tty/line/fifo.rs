//! [`Fifo`]: a queue of fixed capacity.

/// At most `N` items, first in, first out.
pub struct Fifo<T, const N: usize> {
    items: [T; N],
    start: usize,
    len: usize,
}

impl<T: Copy, const N: usize> Fifo<T, N> {
    /// Empty. `filler` stands where no item is.
    pub const fn new(filler: T) -> Fifo<T, N> {
        Fifo {
            items: [filler; N],
            start: 0,
            len: 0,
        }
    }

    /// The items in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends an item, if there is room.
    pub fn push(&mut self, item: T) -> bool {
        if self.len == N {
            return false;
        }
        self.items[(self.start + self.len) % N] = item;
        self.len += 1;
        true
    }

    /// The first item.
    pub fn first(&self) -> Option<T> {
        (self.len > 0).then(|| self.items[self.start])
    }

    /// Takes the first item away.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.first()?;
        self.start = (self.start + 1) % N;
        self.len -= 1;
        Some(item)
    }

    /// Takes all items away.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// All items, the first first.
    pub fn iter(&self) -> impl Iterator<Item = T> {
        (0..self.len).map(|at| self.items[(self.start + at) % N])
    }
}
