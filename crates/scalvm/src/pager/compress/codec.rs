//! What compresses a page.

use core::mem::MaybeUninit;

use crate::addr::PAGE_SIZE;

/// A way to compress pages. Crate `scalvm-codecs` has LZ4 ready.
///
/// Called with spin locks held, so it neither blocks nor allocates.
pub trait Codec: Sync {
    /// Compresses a page into `out`, which has at least 5/4 of a page's bytes, and tells how many
    /// bytes it made; none if it cannot. `scratch` is as large as [`scratch`](Codec::scratch) asks,
    /// aligned to 64 bytes, with contents that mean nothing.
    fn compress(
        &self,
        page: &[u8; PAGE_SIZE],
        out: &mut [u8],
        scratch: &mut [MaybeUninit<u8>],
    ) -> Option<usize>;

    /// Fills a page from what `compress` made of it; false if `data` is not that.
    fn decompress(&self, data: &[u8], page: &mut [u8; PAGE_SIZE]) -> bool;

    /// How many bytes `compress` needs to work in.
    fn scratch(&self) -> usize;
}
