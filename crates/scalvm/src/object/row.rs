//! Pages of an object in a row of frames, so that one large leaf can map them.
//!
//! Nothing else knows of rows: their pages are pages like others, and leave one by one. Only private
//! anonymous memory of one address space comes in rows or is moved to them: so one unmapping reaches all
//! that maps it, and nobody else's contents are underneath.
//!
//! All functions here run with the object locked.

use core::sync::atomic::Ordering::Acquire;

use crate::addr::Frame;
use crate::amap::Way;
use crate::anon::Anon;
use crate::error::NotLarge;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{ObjectBody, ObjectGuard};
use crate::page::{Page, Row, WRITING};
use crate::vm::Vm;

impl<M: Machine> ObjectBody<M> {
    /// Whether its pages may lie in rows.
    pub fn takes_rows(&self) -> bool {
        self.private && self.exclusive.get() && self.under.is_none()
    }

    /// Whether it has anything at the indices from `first` to `last`, both included.
    pub fn has_any(&self, first: u32, last: u32) -> bool {
        let amap = self.amap.get();
        amap.is_some_and(|amap| amap.any(first, last, |_, _| true))
    }
}

impl<M: Machine> Vm<M> {
    /// Puts a row of pages of zeros where the object has nothing, from index `first` on; the places say that they are
    /// mapped. Tells how many have found their place: fewer than all where memory ends. The rest is the caller's.
    pub(crate) fn insert_row(&self, guard: &ObjectGuard<'_, M>, first: u32, row: &Row) -> usize {
        let object = guard.object();
        let insert = |n: &usize| {
            let index = first + *n as u32;
            let way = match object.amap.get() {
                Some(amap) => amap.own_way(index),
                None => Way::Unknown,
            };
            let found = self.insert_zeros(object, index, way, &mut Some(row.page(*n)));
            found.is_ok_and(|found| {
                found.place.set_mapped();
                true
            })
        };
        (0..row.len()).take_while(insert).count()
    }

    /// The first of the frames of `len` pages from index `first` on, if they lie in an aligned row; none if they do
    /// not, but may be moved to one. Refused where a page is lacking, is not in memory, or has a copy or somebody
    /// else who uses it. Else the places say that they are mapped, as they will be.
    pub(crate) fn row_of(
        &self,
        guard: &ObjectGuard<'_, M>,
        first: u32,
        len: usize,
    ) -> Result<Option<Frame>, NotLarge> {
        let amap = guard.object().amap.get().ok_or(NotLarge::Unsuitable)?;
        let mut start = Frame::NONE;
        let mut is_row = true;
        for n in 0..len {
            let Way::Own(own) = amap.own_way(first + n as u32) else {
                return Err(NotLarge::Unsuitable);
            };
            let anon = own.place().anon().ok_or(NotLarge::Unsuitable)?;
            let page = anon.page.get().ok_or(NotLarge::Unsuitable)?;
            if anon.backing.get() != 0 {
                return Err(NotLarge::Unsuitable);
            }
            if anon.refs() != 1 || !is_alone(&page) {
                return Err(NotLarge::InUse);
            }
            own.place().set_mapped();
            let frame = page.frame();
            if n == 0 {
                start = frame;
                is_row = frame.0.is_multiple_of(len as u64);
            }
            is_row &= frame.0 == start.0 + n as u64;
        }
        Ok(is_row.then_some(start))
    }

    /// Moves the pages from index `first` on, of which [`row_of`](Vm::row_of) has told and which are mapped nowhere any more, to the
    /// frames of a row. Tells how many were moved: fewer than all where the page daemon has just chosen one.
    pub(crate) fn move_to_row(&self, guard: &ObjectGuard<'_, M>, first: u32, row: &Row) -> usize {
        let amap = guard.object().amap.get();
        let move_one = |n: &usize| {
            let anon = amap.and_then(|amap| amap.anon(first + *n as u32));
            let page = anon.and_then(|anon| anon.page.get());
            anon.zip(page)
                .is_some_and(|(anon, page)| self.move_page(anon, page, row.page(*n)))
        };
        (0..row.len()).take_while(move_one).count()
    }

    /// Gives an anon another frame. Nobody uses the old one, but that the page daemon may claim it at any moment, for
    /// which it locks its identity.
    fn move_page(&self, anon: Ptr<Anon<M>>, old: Ptr<Page>, new: Ptr<Page>) -> bool {
        self.machine.copy_frame(old.frame(), new.frame());
        let identity = old.identify(&self.machine);
        if anon.page.get() != Some(old) || !is_alone(&old) {
            return false;
        }
        new.own(anon);
        anon.page.set(Some(new));
        old.disown(&identity);
        drop(identity);
        self.ahead_used(&old);
        self.note(new);
        self.let_go(old);
        true
    }
}

/// Whether nobody but its anon has a page, and nothing goes on with it.
fn is_alone(page: &Page) -> bool {
    page.is_plain() && page.test_flags(WRITING) == 0 && page.holds().load(Acquire) == 1
}
