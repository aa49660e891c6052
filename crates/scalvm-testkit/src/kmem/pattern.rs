//! What is written into memory that is in use: each word tells whose it is and where it stands.

use crate::program::mix;

/// Fills a piece so that its bytes are of no other piece, and no other place of this one.
pub fn fill(bytes: &mut [u8], seed: u64) {
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for (n, word) in words.iter_mut().enumerate() {
        *word = word_of(seed, n).to_le_bytes();
    }
    let last = word_of(seed, words.len()).to_le_bytes();
    rest.copy_from_slice(&last[..rest.len()]);
}

/// The first of some bytes that is not as [`fill`] left it.
pub fn spoiled(bytes: &[u8], seed: u64) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    let wrong = |(n, word): (usize, &[u8; 8])| *word != word_of(seed, n).to_le_bytes();
    if let Some(n) = words.iter().enumerate().position(wrong) {
        return Some(8 * n);
    }
    let last = word_of(seed, words.len()).to_le_bytes();
    (rest != &last[..rest.len()]).then_some(8 * words.len())
}

/// The first of some bytes that is not zero.
pub fn not_zero(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte != 0)
}

fn word_of(seed: u64, n: usize) -> u64 {
    mix(seed).wrapping_add((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_changed_is_found() {
        for len in 1..40 {
            let mut bytes = vec![0; len];
            fill(&mut bytes, 3);
            assert_eq!(spoiled(&bytes, 3), None);
            assert!(spoiled(&bytes, 4).is_some());
            for n in 0..len {
                bytes[n] ^= 1;
                assert_eq!(spoiled(&bytes, 3), Some(n / 8 * 8));
                bytes[n] ^= 1;
            }
        }
    }
}
