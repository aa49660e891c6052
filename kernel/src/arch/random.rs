//! Random bytes.

use super::cpu;

/// Fills the bytes.
pub fn fill(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&cpu::random().to_le_bytes()[..chunk.len()]);
    }
}
