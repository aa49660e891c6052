//! Objects: what can be mapped (`vm_object_t` in the seed).

mod body;
mod census;
mod chunks;
mod device;
mod drop;
mod entries;
mod give_up;
mod held;
mod loan;
mod mdl;
mod pages;
mod punch;
mod ranges;
mod resize;
mod row;
mod separate;
mod snapshot;
mod transfer;

use crate::addr::{PAGE_SHIFT, Prot};
use crate::error::{OutOfMemory, PagerError};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::MapEntry;
use crate::pager::Pager;
use crate::request::Share;
use crate::vm::Vm;

use body::pages_of;
pub(crate) use body::{InFamily, Kind, NewObject, ObjectBody, ObjectGuard};
pub use census::ObjectPages;
pub(crate) use device::Devices;
pub use held::HeldPage;
pub(crate) use held::Hold;
pub use loan::Loan;
pub(crate) use mdl::MdlBlock;
pub use mdl::{Mdl, MdlPiece};
pub(crate) use pages::{Found, Look, Miss, Readable, Writable, Zeros};
pub(crate) use ranges::{overlaps, pieces};

/// The most bytes an object may have: 2^32 pages.
const MOST_BYTES: u64 = 1 << 44;

/// A handle of something that can be mapped. Mappings keep the object too: it ends with the last of
/// both.
///
/// Handles may be cloned and used by several threads at once.
pub struct Object<'v, M: Machine> {
    pub(crate) vm: &'v Vm<M>,
    pub(crate) body: Ptr<ObjectBody<M>>,
}

impl<M: Machine> Vm<M> {
    /// An object of `size` bytes that read as zeros until they are written: shared memory, a file
    /// of a memory file system.
    pub fn new_anonymous(&self, size: u64) -> Result<Object<'_, M>, OutOfMemory> {
        self.new_object(Kind::Anonymous, 0, size)
    }

    /// An object of `size` bytes whose pages a pager has: a file system's, or one of your own. The cookie is
    /// the pager's own name for it.
    pub fn new_vnode(
        &self,
        pager: &'static dyn Pager<M>,
        cookie: usize,
        size: u64,
    ) -> Result<Object<'_, M>, OutOfMemory> {
        self.new_object(Kind::Vnode(pager), cookie, size)
    }

    fn new_object(
        &self,
        kind: Kind<M>,
        cookie: usize,
        size: u64,
    ) -> Result<Object<'_, M>, OutOfMemory> {
        if size > MOST_BYTES {
            return Err(OutOfMemory);
        }
        let body = self.promise_object(NewObject {
            cookie,
            ..NewObject::public(kind, size)
        });
        let body = body.map_err(|_| OutOfMemory)?;
        Ok(Object { vm: self, body })
    }
}

impl<'v, M: Machine> Object<'v, M> {
    /// A number that no other object of this manager has or had.
    pub fn id(&self) -> u64 {
        self.body.id
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.body.size.get()
    }

    /// The kernel's own name for it.
    pub fn cookie(&self) -> usize {
        self.body.cookie.get()
    }

    /// Names it.
    pub fn set_cookie(&self, cookie: usize) {
        self.body.cookie.set(cookie);
    }

    /// Whether a page is in memory and can be used now, as mincore(2) asks. Does not bring it.
    pub fn is_resident(&self, index: u64) -> bool {
        let guard = self.body.lock(self.vm);
        index < self.body.pages()
            && matches!(self.vm.look(&guard, self.body, index as u32), Look::Page(_))
    }

    /// How many hold the object: handles, mappings and the private copies made of them, and requests
    /// to its pager. Where there are no others than the caller's handle this stays so until he gives
    /// the object to somebody.
    pub fn holders(&self) -> u32 {
        self.body.refs()
    }

    /// Whether some mapping may write it now or, by its greatest rights, later.
    pub fn is_mapped_writable(&self) -> bool {
        let _guard = self.body.lock(self.vm);
        self.body.entries.iter().any(|entry| {
            let attributes = entry.attributes();
            attributes.share == Share::Shared && attributes.max_prot.contains(Prot::WRITE)
        })
    }

    /// How many shared mappings of it there are; one that is in parts counts for each.
    pub fn shared_mappings(&self) -> usize {
        let _guard = self.body.lock(self.vm);
        let shared = |entry: &Ptr<MapEntry<M>>| entry.attributes().share == Share::Shared;
        self.body.entries.iter().filter(shared).count()
    }

    /// Writes what is dirty in a range of bytes to the backing store, and waits for it. Does
    /// nothing for objects that have none. An error is told once; the pages that failed stay dirty.
    pub fn sync(&self, offset: u64, len: u64) -> Result<(), PagerError> {
        if len == 0 {
            return Ok(());
        }
        let last = offset.saturating_add(len - 1).min(MOST_BYTES - 1) >> PAGE_SHIFT;
        let first = (offset >> PAGE_SHIFT).min(last);
        self.vm.sync_object(self.body, first as u32, last as u32)
    }
}

impl<M: Machine> Clone for Object<'_, M> {
    fn clone(&self) -> Self {
        self.body.retain();
        Object {
            vm: self.vm,
            body: self.body,
        }
    }
}

impl<M: Machine> Drop for Object<'_, M> {
    fn drop(&mut self) {
        self.vm.release_object(self.body);
    }
}
