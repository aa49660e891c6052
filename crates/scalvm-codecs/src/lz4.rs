//! LZ4, in its block format.

use core::mem::{MaybeUninit, align_of, size_of};

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into};
use scalvm::{Codec, PAGE_SIZE};

/// Compresses pages by LZ4: quick rather than small.
#[derive(Clone, Copy, Default, Debug)]
pub struct Lz4;

impl Codec for Lz4 {
    fn compress(
        &self,
        page: &[u8; PAGE_SIZE],
        out: &mut [u8],
        scratch: &mut [MaybeUninit<u8>],
    ) -> Option<usize> {
        // SAFETY: anything may lie in what is MaybeUninit, so the bytes may be seen as tables that
        // are not made yet; and what is left there is only seen as MaybeUninit again.
        let (_, tables, _) = unsafe { scratch.align_to_mut::<MaybeUninit<CompressTable>>() };
        let table = tables.first_mut()?.write(CompressTable::small());
        compress_into_with_table(page, out, table).ok()
    }

    fn decompress(&self, data: &[u8], page: &mut [u8; PAGE_SIZE]) -> bool {
        decompress_into(data, page).is_ok_and(|len| len == PAGE_SIZE)
    }

    fn scratch(&self) -> usize {
        const { assert!(align_of::<CompressTable>() <= 64) };
        size_of::<CompressTable>()
    }
}
