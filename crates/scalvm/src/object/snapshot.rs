//! What a fork gives to the object of the child: all that the parent's has, to be copied when either is
//! written; but for pages that somebody holds for writing.
//!
//! Who holds a page writes it through the direct map, whatever the page tables allow. If such a page
//! were shared, the child would see what is written after the fork; and once a program had written
//! the parent's memory, and so had got a copy, the parent would see no more of it. So the child gets its
//! copy of those pages at once, and the original stays with the object. (Linux does the same with pinned
//! pages, UVM with wired ones.) They are looked for only while somebody holds some page of the family for
//! writing (F3).

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::amap::Amap;
use crate::anon::Anon;
use crate::error::OutOfMemory;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{ObjectBody, ObjectGuard};
use crate::page::{Page, State};
use crate::stats::Event;
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// The amap for an object that is to be a copy of this one. The map of an object that is exclusive is
    /// locked for writing, and loses the right to write before that is let go. On failure nothing has
    /// changed but rights to write, which a fault gives back.
    pub(crate) fn snapshot(
        &self,
        guard: &ObjectGuard<'_, M>,
    ) -> Result<Option<Ptr<Amap<M>>>, OutOfMemory> {
        let object = guard.object();
        let Some(amap) = object.amap.get() else {
            return Ok(None);
        };
        let family = object.family.get();
        let written = family.is_some_and(|family| family.is_written());
        if written || !object.exclusive.get() {
            // Maps that are not locked must not write what is shared from now on, nor any what is copied.
            self.protect_object(guard, object);
        }
        if !written {
            amap.share();
            return Ok(Some(amap));
        }
        // In no object yet, so that the daemon, which does not ask for this object's lock where it
        // looks at another, does not see it change.
        let copy = self.fork_amap(amap)?;
        let short = amap.any(0, u32::MAX, |_, anon| match self.hold_if_held(anon) {
            Some(page) => {
                let copied = self.copy_apart(object, copy, anon, page);
                self.let_go(page);
                copied.is_err()
            }
            None => false,
        });
        if short {
            self.release_amap(copy);
            return Err(OutOfMemory);
        }
        Ok(Some(copy))
    }

    /// The page of an anon, with one hold more, if somebody may hold it for writing. Where there is a
    /// copy on a store, nobody does (A4), and the page may be on its way from there; without one its
    /// contents are good, even if the daemon has chosen it.
    fn hold_if_held(&self, anon: Ptr<Anon<M>>) -> Option<Ptr<Page>> {
        let page = anon.page.get()?;
        let identity = page.identify(&self.machine);
        let held =
            page.owner() == Some(anon) && page.holds().load(Acquire) > 1 && anon.backing.get() == 0;
        if held {
            page.holds().fetch_add(1, Relaxed);
        }
        drop(identity);
        held.then_some(page)
    }

    /// Puts a copy of a page into an amap, in the place of the anon which has it.
    fn copy_apart(
        &self,
        object: Ptr<ObjectBody<M>>,
        amap: Ptr<Amap<M>>,
        old: Ptr<Anon<M>>,
        from: Ptr<Page>,
    ) -> Result<(), OutOfMemory> {
        let index = old.index.get();
        let own = self.amap_place(amap, index)?;
        let (anon, page) = self.new_anon(object, index, State::Anon)?;
        self.machine.copy_frame(from.frame(), page.frame());
        self.count(Event::CowCopy);
        self.settle(&own, anon, page);
        self.release_anon(old);
        Ok(())
    }
}
