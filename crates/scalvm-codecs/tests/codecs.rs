//! Pages there and back, and what is no page.

use std::mem::MaybeUninit;

use scalvm::{Cipher, Codec, PAGE_SIZE};
use scalvm_codecs::{Lz4, Sealed};

type Page = [u8; PAGE_SIZE];

/// A small generator of numbers, so that tests repeat.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) as usize % limit
    }

    /// A page made of words out of a vocabulary of so many.
    fn page(&mut self, words: usize) -> Page {
        let mut page = [0; PAGE_SIZE];
        for word in page.as_chunks_mut::<8>().0 {
            let number = self.below(words) as u64 + 1;
            *word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        }
        page
    }
}

fn compress(page: &Page) -> Option<Vec<u8>> {
    let mut out = vec![0; PAGE_SIZE * 5 / 4];
    // As scalvm allocates it.
    let mut room = vec![MaybeUninit::uninit(); Lz4.scratch() + 64];
    let from = room.as_ptr().align_offset(64);
    let scratch = &mut room[from..from + Lz4.scratch()];
    let len = Lz4.compress(page, &mut out, scratch)?;
    out.truncate(len);
    Some(out)
}

#[test]
fn pages_come_back() {
    let mut random = Random(1);
    let mut sizes = Vec::new();
    for words in [1, 2, 30, 100, 1 << 30] {
        let page = random.page(words);
        let data = compress(&page).expect("there is always room");
        sizes.push(data.len());
        let mut back = [0xee; PAGE_SIZE];
        assert!(Lz4.decompress(&data, &mut back));
        assert!(back == page);
    }
    assert!(sizes.is_sorted(), "{sizes:?}");
    assert!(sizes[0] < 64 && sizes[2] < PAGE_SIZE / 2 && sizes[4] > PAGE_SIZE);
}

#[test]
fn what_is_not_a_page_is_refused() {
    let mut random = Random(2);
    let page = random.page(50);
    let data = compress(&page).unwrap();
    let mut back = [0; PAGE_SIZE];
    for len in 0..data.len() {
        assert!(
            !Lz4.decompress(&data[..len], &mut back),
            "{len} bytes of it"
        );
    }
    assert!(!Lz4.decompress(&[data.as_slice(), &[0x10, 1]].concat(), &mut back));
    for _ in 0..20_000 {
        let mut data = data.clone();
        for _ in 0..1 + random.below(4) {
            let at = random.below(data.len());
            data[at] = random.below(256) as u8;
        }
        // Whatever it says: it stays in the page and does not panic.
        Lz4.decompress(&data, &mut back);
    }
}

#[test]
fn room_that_is_too_small_is_said() {
    let page = Random(3).page(1 << 30);
    let mut room = vec![MaybeUninit::uninit(); Lz4.scratch() + 64];
    assert_eq!(Lz4.compress(&page, &mut [0; 5000], &mut room[..100]), None);
    assert_eq!(Lz4.compress(&page, &mut [0; 300], &mut room), None);
}

#[test]
fn pages_are_sealed_by_slot() {
    let mut random = Random(4);
    let mut key = [0; 64];
    key.fill_with(|| random.below(256) as u8);
    let cipher = Sealed::new(&key);
    let page = random.page(10);
    let mut seen = Vec::new();
    for slot in [0, 1, 2, 1 << 32, (1 << 37) - 1] {
        let mut sealed = page;
        cipher.encrypt(slot, &mut sealed);
        assert!(!seen.contains(&sealed), "slot {slot:#x} like another");
        seen.push(sealed);
        let (blocks, _) = sealed.as_chunks::<16>();
        for (n, block) in blocks.iter().enumerate() {
            assert!(!blocks[..n].contains(block), "equal blocks are not seen");
        }
        let mut other = sealed;
        cipher.decrypt(slot ^ 1, &mut other);
        assert!(other != page, "by another slot");
        cipher.decrypt(slot, &mut sealed);
        assert!(sealed == page);
    }
    key[63] ^= 1;
    let mut sealed = page;
    Sealed::new(&key).encrypt(0, &mut sealed);
    assert!(sealed != seen[0], "the second half of the key counts");
}

#[test]
fn another_implementation_agrees() {
    use aes::Aes256;
    use aes::cipher::KeyInit;
    use xts_mode::{Xts128, get_tweak_default};

    let mut random = Random(5);
    for slot in [0, 77, 1 << 33] {
        let mut key = [0; 64];
        key.fill_with(|| random.below(256) as u8);
        let half = |n: usize| Aes256::new_from_slice(&key[32 * n..32 * n + 32]).unwrap();
        let other = Xts128::new(half(0), half(1));
        let page = random.page(1000);
        let (mut ours, mut theirs) = (page, page);
        Sealed::new(&key).encrypt(slot, &mut ours);
        other.encrypt_sector(&mut theirs, get_tweak_default(u128::from(slot)));
        assert!(ours == theirs);
    }
}
