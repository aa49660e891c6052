//! The kernel's heap: wired memory of the manager's, charged to a type of its own.

use scalvm::malloc_type;
use scalvm_alloc::GlobalHeap;

use super::{Hw, VM};

malloc_type!(pub M_RUST, "rust", "what the kernel's boxes, vectors and reference counts hold");

#[global_allocator]
static HEAP: GlobalHeap<Hw> = GlobalHeap::new(&VM, &M_RUST);
