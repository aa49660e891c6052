//! What the engine must know about an MMU: the [`Format`] of its entries.

use scalvm::{Access, Cache, Clear, Frame, Prot};

/// The shape of an MMU's tables and the meaning of their entries.
///
/// Tables are one frame of 512 entries of 8 bytes, of which tables of level 0 may leave some unused. An
/// entry of zero means nothing, at every level. A *leaf* maps a page, in tables of level 0; a *link*
/// leads to a table of the level below. A *large leaf* stands in a table of level 1 and maps the frames
/// that a whole table of leaves could.
///
/// # Safety
///
/// The MMU reads an entry exactly as these functions say: a leaf grants its rights on its frame,
/// a link leads to its table, zero to nothing. The MMU caches no leaf of which
/// [`may_be_cached`](Format::may_be_cached) is false, and nothing that is absent.
pub unsafe trait Format: Send + Sync + 'static {
    /// Levels of tables.
    const LEVELS: usize;
    /// log2 of the entries in use of a table of leaves, from 3 to 9.
    const LEAF_BITS: u32;
    /// How many entries of the root belong to the user half, from the first on; a power of two.
    const USER_ENTRIES: usize;

    /// A leaf that nobody has used yet; [`managed`](Format::managed) tells again what is given here.
    fn leaf(frame: Frame, prot: Prot, cache: Cache, managed: bool) -> u64;
    /// The leaf after this access.
    fn touched(leaf: u64, access: Access) -> u64;
    /// `new` with what `old`, a leaf for the same frame, says about its use.
    fn inherit(new: u64, old: u64) -> u64;
    /// The leaf without the rights that `prot` lacks.
    fn restrict(leaf: u64, prot: Prot) -> u64;
    /// The leaf with bits about its use cleared. It remembers that it may be cached.
    fn clear(leaf: u64, what: Clear) -> u64;

    /// The frame that a leaf maps, or the table that a link leads to.
    fn frame(entry: u64) -> Frame;
    /// The rights that a leaf grants.
    fn prot(leaf: u64) -> Prot;
    /// Whether the MMU has used the leaf since this was last cleared.
    fn accessed(leaf: u64) -> bool;
    /// Whether the MMU has written through the leaf since this was last cleared.
    fn dirty(leaf: u64) -> bool;
    /// Whether the leaf was made for a frame that is the manager's.
    fn managed(leaf: u64) -> bool;
    /// Whether caches treat both leaves' frames the same way, and both are the manager's or neither.
    fn same_cache(leaf: u64, other: u64) -> bool;
    /// Whether a processor may hold a translation made from this leaf.
    fn may_be_cached(leaf: u64) -> bool;

    /// The large leaf that is like this leaf, for the frames from its own on, which is aligned.
    fn large(leaf: u64) -> u64;
    /// The leaf that is like a large leaf, for its n-th frame.
    fn small(large: u64, n: usize) -> u64;
    /// Whether an entry of a table of level 1 is a large leaf, and no link.
    fn is_large(entry: u64) -> bool;

    /// A link that grants all rights.
    fn link(table: Frame) -> u64;
    /// A link of the root in the kernel's half: it grants all rights, but to the kernel alone,
    /// whatever stands below it.
    fn kernel_link(table: Frame) -> u64;
    /// Whether a link grants the right to write.
    fn grants_write(link: u64) -> bool;
    /// The link with the right to write granted or withheld.
    fn with_write(link: u64, write: bool) -> u64;
    /// Whether the entry, not zero, is well formed for this level. For tests.
    fn is_valid(entry: u64, level: usize) -> bool;
}
