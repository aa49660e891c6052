//! What a vnode object remembers of pages that could not be written.

use crate::error::PagerError;
use crate::sync::Field;

/// The errors of one object. The object's lock.
pub(crate) struct WriteErrors {
    /// The last one.
    last: Field<u8>,
    /// Whether it is still to be told to a sync.
    untold: Field<bool>,
    /// How many there have been, modulo 2^32.
    count: Field<u32>,
}

impl WriteErrors {
    pub fn new() -> WriteErrors {
        WriteErrors {
            last: Field::new(0),
            untold: Field::new(false),
            count: Field::new(0),
        }
    }

    /// Notes one.
    pub fn add(&self, error: PagerError) {
        self.last.set(match error {
            PagerError::Io => 1,
            PagerError::NoRoom => 2,
            PagerError::Gone => 3,
        });
        self.untold.set(true);
        self.count.set(self.count.get().wrapping_add(1));
    }

    /// How many there have been: for a sync to compare.
    pub fn count(&self) -> u32 {
        self.count.get()
    }

    /// The error that is still to be told.
    pub fn untold(&self) -> Option<PagerError> {
        self.untold.get().then(|| match self.last.get() {
            1 => PagerError::Io,
            2 => PagerError::NoRoom,
            _ => PagerError::Gone,
        })
    }

    /// The error to be told to a sync that ends, and began when there had been `before`: one that
    /// happened meanwhile, even if another sync was told, or one that nobody was told yet.
    pub fn tell(&self, before: u32) -> Option<PagerError> {
        if self.count.get() != before {
            self.untold.set(true);
        }
        let error = self.untold();
        self.untold.set(false);
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_once_and_to_every_sync_that_ran_meanwhile() {
        let errors = WriteErrors::new();
        assert_eq!(errors.tell(errors.count()), None);
        errors.add(PagerError::NoRoom);
        errors.add(PagerError::Io);
        assert_eq!(errors.tell(errors.count()), Some(PagerError::Io));
        assert_eq!(errors.tell(errors.count()), None);
        let before = errors.count();
        errors.add(PagerError::Gone);
        assert_eq!(errors.tell(before), Some(PagerError::Gone));
        assert_eq!(errors.tell(before), Some(PagerError::Gone), "it ran, too");
        assert_eq!(errors.tell(errors.count()), None);
    }
}
