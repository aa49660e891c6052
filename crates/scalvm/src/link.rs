//! Intrusive queues: an element carries its [`Links`], a [`List`] its first element. Moving in and
//! out costs no memory and cannot fail. An element may be in as many lists as it has links, told
//! apart by a tag type. The lock of the list's owner protects the list and the links of all that
//! are in it.

use core::marker::PhantomData;

use crate::kmem::Ptr;
use crate::sync::Field;

/// The links by which an element is in one list.
pub(crate) struct Links<T> {
    next: Field<Option<Ptr<T>>>,
    prev: Field<Option<Ptr<T>>>,
}

impl<T> Links<T> {
    pub fn new() -> Links<T> {
        Links {
            next: Field::new(None),
            prev: Field::new(None),
        }
    }
}

/// An element of lists with this tag.
pub(crate) trait Linked<Tag>: Sized {
    fn links(&self) -> &Links<Self>;
}

/// A list without an end: elements are added at the front.
pub(crate) struct List<T: Linked<Tag>, Tag> {
    first: Field<Option<Ptr<T>>>,
    _tag: PhantomData<Tag>,
}

impl<T: Linked<Tag>, Tag> List<T, Tag> {
    pub const fn new() -> List<T, Tag> {
        List {
            first: Field::nothing(),
            _tag: PhantomData,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first.get().is_none()
    }

    /// The element that was added last.
    pub fn first(&self) -> Option<Ptr<T>> {
        self.first.get()
    }

    /// The element behind one of the list.
    pub fn after(&self, element: Ptr<T>) -> Option<Ptr<T>> {
        element.links().next.get()
    }

    pub fn push(&self, element: Ptr<T>) {
        let first = self.first.get();
        element.links().next.set(first);
        element.links().prev.set(None);
        if let Some(first) = first {
            first.links().prev.set(Some(element));
        }
        self.first.set(Some(element));
    }

    pub fn remove(&self, element: Ptr<T>) {
        let (next, prev) = (element.links().next.get(), element.links().prev.get());
        match prev {
            Some(prev) => prev.links().next.set(next),
            None => self.first.set(next),
        }
        if let Some(next) = next {
            next.links().prev.set(prev);
        }
        element.links().next.set(None);
        element.links().prev.set(None);
    }

    /// All elements; the one last given may be removed meanwhile.
    pub fn iter(&self) -> impl Iterator<Item = Ptr<T>> + use<T, Tag> {
        let mut next = self.first.get();
        core::iter::from_fn(move || {
            let element = next?;
            next = element.links().next.get();
            Some(element)
        })
    }
}
