//! The bits of a group: which of its blocks, or inodes, are used.

/// The first bit from one on, below `end`, that is not set.
pub(super) fn first_free(bits: &[u8], from: usize, end: usize) -> Option<usize> {
    let mut at = from;
    while at < end {
        let byte = bits[at / 8];
        // Whole bytes of ones are passed at once.
        if byte == 0xff {
            at = (at / 8 + 1) * 8;
        } else if is_set(bits, at) {
            at += 1;
        } else {
            return Some(at);
        }
    }
    None
}

/// Whether a bit is set.
pub(super) fn is_set(bits: &[u8], at: usize) -> bool {
    bits[at / 8] & 1 << (at % 8) != 0
}

/// Sets a bit.
pub(super) fn set(bits: &mut [u8], at: usize) {
    bits[at / 8] |= 1 << (at % 8);
}

/// Clears a bit.
pub(super) fn clear(bits: &mut [u8], at: usize) {
    bits[at / 8] &= !(1 << (at % 8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_free_bit_is_found() {
        let mut bits = [0xff; 16];
        assert_eq!(first_free(&bits, 0, 128), None);
        clear(&mut bits, 77);
        for from in [0, 63, 70, 77] {
            assert_eq!(first_free(&bits, from, 128), Some(77));
        }
        assert_eq!(first_free(&bits, 78, 128), None);
        assert_eq!(first_free(&bits, 0, 77), None);
        set(&mut bits, 77);
        assert!(is_set(&bits, 77) && first_free(&bits, 0, 128).is_none());
    }
}
