//! How many pages an address space has that are nobody else's files.

use crate::machine::Machine;
use crate::map::Map;
use crate::map::tree::Tree;
use crate::pager::Backing;

/// The pages of the private objects of an address space, whether it alone has them or shares copies
/// with others that forked.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PrivatePages {
    /// Those in memory.
    pub resident: u64,
    /// Those that were put back, to a swap device or the compressor.
    pub away: u64,
}

impl<'v, M: Machine> Map<'v, M> {
    /// Counts the pages that were stored to through private mappings. Takes time for each of them,
    /// and locks one object after the other: for kernels that have to tell who uses memory.
    pub fn private_pages(&self) -> PrivatePages {
        let mut pages = PrivatePages::default();
        let map = self.body.read(self.vm);
        let mut at = map.map.tree.first();
        while let Some(entry) = at {
            at = Tree::next(entry);
            let Some(object) = entry.object.get().filter(|object| object.private) else {
                continue;
            };
            let first = entry.offset.get();
            let last = first + (entry.pages() - 1) as u32;
            let guard = object.lock(self.vm);
            if let Some(amap) = object.amap.get() {
                amap.for_each(first, last, |_, anon| match anon.page.get() {
                    Some(_) => pages.resident += 1,
                    None if anon.backing() == Backing::Zeros => {}
                    None => pages.away += 1,
                });
            }
            drop(guard);
        }
        pages
    }
}
