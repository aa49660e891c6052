//! What a swap device may be given to keep its contents secret.

use crate::addr::PAGE_SIZE;

/// Enciphers what goes to a swap device. Crate `scalvm-codecs` has one ready.
///
/// A slot is written again and again with other contents, so a stream of key bytes that depends on
/// the slot alone will not do: it takes a cipher for disks, such as XTS. What was stored is not
/// used after the next start, so the key should be made anew at each.
pub trait Cipher: Sync {
    /// Enciphers a page in place, for a slot; the numbers of slots differ on all devices.
    fn encrypt(&self, slot: u64, page: &mut [u8; PAGE_SIZE]);

    /// The reverse.
    fn decrypt(&self, slot: u64, page: &mut [u8; PAGE_SIZE]);
}
