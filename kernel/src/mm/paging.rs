//! Paging, as the command line asks for it.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use scalvm::{PAGE_SIZE, Paging, PolicyKind};
use scalvm_codecs::{Lz4, Sealed};

use super::{VM, commit};
use crate::arch::random;
use crate::boot_options::BootOptions;
use crate::fs::{memory, swap};
use crate::linux::Errno;
use crate::println;

/// Frames that programs do not get.
static RESERVE: AtomicU64 = AtomicU64::new(0);

/// Whether there are free frames that a program could get: what fails then fails for something else,
/// such as a promise that is refused, or frames that do not lie side by side.
pub fn has_free_frames() -> bool {
    /// So many more than those that are kept.
    const FEW: u64 = 16;
    VM.stats().frames_free > RESERVE.load(Relaxed) + FEW
}

/// Begins to page: from now on memory can leave. What the options ask for and cannot be had is told,
/// and left out. Blocks.
pub fn start(options: &BootOptions) {
    let total = VM.stats().frames_total;
    let mut paging = Paging::for_frames(total);
    match policy(&options.policy) {
        Some(kind) => (paging.anonymous, paging.file) = (kind, kind),
        None => tell("the policy is not known", Errno::EINVAL),
    }
    if VM.start_paging(paging).is_err() {
        return tell("paging cannot be started", Errno::ENOMEM);
    }
    RESERVE.store(paging.reserve, Relaxed);
    commit::apply();
    let frames = options.compress / PAGE_SIZE as u64;
    if frames > 0 && VM.set_compressor(&Lz4, frames).is_err() {
        tell("there is no compressor", Errno::ENOMEM);
    }
    if options.swap_encrypt
        && let Err(error) = encrypt()
    {
        return tell("nothing is swapped: it cannot be encrypted", error);
    }
    if !options.swap.is_empty()
        && let Err(error) = swap::turn_on_at_boot(&options.swap)
    {
        tell("the swap disk cannot be used", error);
    }
}

/// Has what goes to swap areas from now on encrypted, with a key that is nowhere else.
fn encrypt() -> Result<(), Errno> {
    if !random::has_generator() {
        return Err(Errno::ENODEV);
    }
    let mut key = [0; 64];
    random::fill(&mut key);
    memory::prove(size_of::<Sealed>(), align_of::<Sealed>())?;
    // The areas need it until the power goes off.
    swap::set_cipher(Box::leak(Box::new(Sealed::new(&key))));
    key.fill(0);
    Ok(())
}

/// Shows the manager's counters, and what the stores have of pages that left memory.
pub fn for_each_counter(mut each: impl FnMut(&'static str, u64)) {
    VM.stats().for_each(&mut each);
    let compressed = VM.compressor_stats();
    let (pages, free) = swap::totals();
    for (name, value) in [
        ("compressed_pages", compressed.entries),
        ("compressed_same", compressed.same),
        ("compressed_bytes", compressed.bytes),
        ("compressed_frames", compressed.frames),
        ("compressed_ever", compressed.stored),
        ("incompressible", compressed.incompressible),
        ("spilled", compressed.spilled),
        ("swap_pages", pages),
        ("swap_used", pages - free),
    ] {
        each(name, value);
    }
}

fn tell(what: &str, error: Errno) {
    println!("scalvm: {what}: error {}", error.0);
}

/// The policy of this name; without a name the manager's own choice.
fn policy(name: &[u8]) -> Option<PolicyKind> {
    match name {
        b"" | b"clock-pro" => Some(PolicyKind::ClockPro),
        b"clock" => Some(PolicyKind::Clock),
        _ => None,
    }
}
