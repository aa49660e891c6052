//! Random bytes.

use super::cpu;

/// Whether the processor has a generator of its own: without one nothing here is a secret.
pub fn has_generator() -> bool {
    cpu::has_random()
}

/// Fills the bytes.
pub fn fill(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&cpu::random().to_le_bytes()[..chunk.len()]);
    }
}
