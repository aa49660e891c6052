//! XTS-AES-256 (IEEE 1619) for pages on a swap device.
//!
//! A slot of a device is written again and again with other contents and nothing more is stored
//! with it, so there is no place for a nonce: a stream cipher by slot would show how successive
//! contents differ. XTS is made for this. What it does not do is to notice when somebody has
//! changed the device; and equal blocks of 16 bytes at the same place of the same slot are seen to
//! be equal.
//!
//! The blocks of a page go to the cipher several at a time, since its bit-sliced form takes as long
//! for four as for one.

use core::array::from_fn;

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes256, Block};
use scalvm::{Cipher, PAGE_SIZE};

/// Bytes of a block.
const BLOCK: usize = 16;
/// Blocks that are enciphered at a time: a multiple of what any form of the cipher does side by
/// side, and little on the stack.
const BATCH: usize = 16;

/// Enciphers what goes to swap, by a key that is made for it.
pub struct Sealed {
    contents: Aes256,
    tweaks: Aes256,
}

impl Sealed {
    /// A cipher for this key: 64 random bytes, new at each start of the system, since what is on a
    /// swap device is not used after the next. Its halves must differ.
    pub fn new(key: &[u8; 64]) -> Sealed {
        let half = |from: usize| from_fn::<u8, 32, _>(|n| key[from + n]);
        Sealed {
            contents: Aes256::new(&half(0).into()),
            tweaks: Aes256::new(&half(32).into()),
        }
    }

    /// Runs `cipher` over whole blocks, each masked before and after by its power of the tweak.
    fn run(&self, slot: u64, data: &mut [u8], cipher: impl Fn(&mut [Block])) {
        let mut first = Block::from(u128::from(slot).to_le_bytes());
        self.tweaks.encrypt_block(&mut first);
        let mut tweak = u128::from_le_bytes(first.into());
        let (blocks, _) = data.as_chunks_mut::<BLOCK>();
        for part in blocks.chunks_mut(BATCH) {
            let masks: [u128; BATCH] = from_fn(|_| {
                let mask = tweak;
                tweak = double(tweak);
                mask
            });
            let masked =
                |bytes: [u8; BLOCK], mask: u128| (u128::from_le_bytes(bytes) ^ mask).to_le_bytes();
            let mut batch = [Block::default(); BATCH];
            for ((block, bytes), mask) in batch.iter_mut().zip(&*part).zip(masks) {
                *block = masked(*bytes, mask).into();
            }
            cipher(&mut batch[..part.len()]);
            for ((block, bytes), mask) in batch.iter().zip(part).zip(masks) {
                *bytes = masked((*block).into(), mask);
            }
        }
    }
}

/// Multiplies by x in the field of 2^128 elements.
const fn double(tweak: u128) -> u128 {
    let carry = tweak >> (u128::BITS - 1);
    (tweak << 1) ^ (carry * 0x87)
}

impl Cipher for Sealed {
    fn encrypt(&self, slot: u64, page: &mut [u8; PAGE_SIZE]) {
        self.run(slot, page, |blocks| self.contents.encrypt_blocks(blocks));
    }

    fn decrypt(&self, slot: u64, page: &mut [u8; PAGE_SIZE]) {
        self.run(slot, page, |blocks| self.contents.decrypt_blocks(blocks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vector 10 of IEEE 1619, the first four blocks.
    #[test]
    fn the_standard_agrees() {
        let key = b"2718281828459045235360287471352662497757247093699959574966967627\
                    3141592653589793238462643383279502884197169399375105820974944592";
        let wanted = b"1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b\
                       5d31e276f8fe4a8d66b317f9ac683f44680a86ac35adfc3345befecb4bb188fd";
        let cipher = Sealed::new(&from_hex(key));
        let mut data: [u8; 64] = from_fn(|n| n as u8);
        cipher.run(0xff, &mut data, |blocks| {
            cipher.contents.encrypt_blocks(blocks)
        });
        assert_eq!(data, from_hex(wanted));
        cipher.run(0xff, &mut data, |blocks| {
            cipher.contents.decrypt_blocks(blocks)
        });
        assert_eq!(data, from_fn(|n| n as u8));
    }

    fn from_hex(digits: &[u8; 128]) -> [u8; 64] {
        let digit = |n: usize| (digits[n] as char).to_digit(16).unwrap() as u8;
        from_fn(|n| digit(2 * n) << 4 | digit(2 * n + 1))
    }
}
