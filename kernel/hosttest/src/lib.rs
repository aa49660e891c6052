//! The parts of the reference kernel that need no machine, for their unit tests
//! (`cargo test --manifest-path kernel/hosttest/Cargo.toml`, from outside of the kernel, whose
//! folder says to build for the bare target).
#![cfg(test)]
// Each part is there for the kernel, and its tests use only some of it.
#![allow(dead_code, unused_imports)]

extern crate alloc;

#[path = "../../src/fs/cpio.rs"]
mod cpio;
#[path = "../../src/fs/tmpfs/directory.rs"]
mod directory;
/// What ext2's parts know of their neighbours.
const BLOCK: usize = 4096;

#[path = "../../src/fs/ext2/bitmap.rs"]
mod bitmap;
#[path = "../../src/fs/ext2/entry.rs"]
mod entry;
#[path = "../../src/fs/ext2/extents.rs"]
mod extents;
#[path = "../../src/tty/line/mod.rs"]
mod line;
#[path = "../../src/fs/locks/range.rs"]
mod range;
#[path = "../../src/fs/ext2/way.rs"]
mod way;
