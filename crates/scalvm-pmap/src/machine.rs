//! What the engine asks of a machine beside [`Machine`].

use scalvm::{Frame, Machine};

/// A machine whose MMU walks page tables in memory.
///
/// # Safety
///
/// 1. The upper half of the root table that [`kernel_root`](TableMachine::kernel_root) names is
///    complete before the first space is made and never changes: spaces copy it. (What
///    [`Pmap::new_kernel`](scalvm::Pmap::new_kernel) puts there belongs to it: that must come first.)
/// 2. [`Machine::flush`] of that root forgets translations of the upper half whatever space a
///    processor uses, and this root's entries for the range of `new_kernel` are empty before that is
///    called for the first time.
/// 3. After [`set_root`](TableMachine::set_root) the processor uses no translation that it cached
///    before.
pub unsafe trait TableMachine: Machine {
    /// The root table whose kernel half all spaces share, or `None` where spaces have none.
    fn kernel_root(&self) -> Option<Frame>;

    /// Makes the processor that calls translate by this root table.
    fn set_root(&self, root: Frame);
}
