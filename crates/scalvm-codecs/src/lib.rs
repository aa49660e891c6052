//! What a kernel gives to `scalvm` so that memory lasts longer: [`Lz4`] for
//! [`Vm::set_compressor`](scalvm::Vm::set_compressor), and [`Sealed`] for the `cipher` of
//! [`SwapOptions`](scalvm::SwapOptions). Neither allocates, needs a standard library, or keeps much
//! on the stack.
//!
//! ```
//! use scalvm::{Cipher, PAGE_SIZE};
//! use scalvm_codecs::Sealed;
//!
//! // Sixty-four bytes that nobody can guess and nobody keeps: new at each start.
//! let cipher = Sealed::new(&[7; 64]);
//! let mut page = [1; PAGE_SIZE];
//! cipher.encrypt(5, &mut page);
//! assert_ne!(page, [1; PAGE_SIZE]);
//! cipher.decrypt(5, &mut page);
//! assert_eq!(page, [1; PAGE_SIZE]);
//! ```
//!
//! # In a kernel
//!
//! The cipher must not use the processor's vector registers, since a kernel does not save those for
//! itself. So set this in the kernel's `.cargo/config.toml`; a build for a target without an
//! operating system that lacks it is refused:
//!
//! ```toml
//! [target.x86_64-unknown-none]
//! rustflags = ["--cfg", "aes_backend=\"soft\""]
//! ```
//!
//! Flags in the variable `RUSTFLAGS` take the place of these; whoever builds so must repeat them.
//! Compressing takes 8 KiB of scratch in each of the manager's buffers; both codecs stay below 2 KiB
//! of stack.
#![no_std]

#[cfg(all(target_os = "none", not(aes_backend = "soft")))]
compile_error!(
    "a kernel must not use vector registers: build with --cfg aes_backend=\"soft\", see the \
     documentation of scalvm-codecs"
);

mod lz4;
mod sealed;

pub use lz4::Lz4;
pub use sealed::Sealed;
