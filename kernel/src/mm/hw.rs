//! [`Hw`]: the machine as the memory manager sees it.

use core::arch::asm;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU32, AtomicU64, compiler_fence};

use scalvm::{CpuSet, Frame, Machine, PAGE_SIZE, Scope};
use scalvm_pmap::{TableMachine, X86Pmap};

use crate::arch::{self, layout};
use crate::task;

/// Pages to flush one by one; for more, all of the space is flushed.
const FLUSH_PAGES: usize = 32;

/// One x86_64 processor with all memory in a direct map.
pub struct Hw {
    /// The root table that the processor uses now.
    root: AtomicU64,
}

impl Hw {
    /// The machine, before it has any memory.
    pub const fn new() -> Hw {
        Hw {
            root: AtomicU64::new(u64::MAX),
        }
    }

    /// Leaves the space in use for one that has only the kernel's half.
    pub fn leave_space(&self) {
        self.set_root(arch::boot::kernel_root());
    }
}

// SAFETY:
// 1. The direct map shows each frame at a place of its own, for ever.
// 2. There is one processor, number 0.
// 3. Translations are cached for one space at a time: loading a root table forgets all of them but
//    global ones, those of the kernel's image and the direct map, which do not change. If the space is
//    in use, or is the kernel's, its translations and those of upper levels are forgotten by invlpg or
//    by loading the root again.
// 4. Kernel code is not preempted, and is interrupted only where it waits.
// 5. One processor sees its own stores in their order, once the compiler keeps it.
unsafe impl Machine for Hw {
    type Pmap = X86Pmap;

    #[inline(always)]
    fn frame_ptr(&self, frame: Frame) -> *mut u8 {
        layout::phys_to_virt(frame.address())
    }

    #[inline(always)]
    fn cpu(&self) -> usize {
        0
    }

    #[inline(always)]
    fn pin(&self) -> usize {
        0
    }

    #[inline(always)]
    fn unpin(&self) {}

    #[inline]
    fn flush(&self, _cpus: CpuSet, root: Frame, scope: Scope) {
        let current = Frame(self.root.load(Relaxed));
        if current != root && root != arch::boot::kernel_root() {
            return;
        }
        match scope {
            Scope::Nothing => {}
            Scope::Range { start, end } if (end - start) / PAGE_SIZE <= FLUSH_PAGES => {
                let mut page = start;
                while page < end {
                    // SAFETY: forgetting a translation is always allowed.
                    unsafe { asm!("invlpg [{}]", in(reg) page, options(nostack, preserves_flags)) };
                    page += PAGE_SIZE;
                }
            }
            // Before the first space there is but the kernel's.
            _ if current == Frame::NONE => self.leave_space(),
            // SAFETY: the same root again. What is in the kernel map is not global, and so forgotten.
            _ => unsafe { load_root(current) },
        }
    }

    #[inline(always)]
    fn light_fence(&self) {
        compiler_fence(SeqCst);
    }

    #[inline(always)]
    fn heavy_fence(&self) {
        compiler_fence(SeqCst);
    }

    fn pause(&self) {
        task::pause();
    }

    fn is_ending(&self) -> bool {
        task::is_ending()
    }

    fn wait(&self, word: &AtomicU32, value: u32) {
        task::wait_on_word(word, value);
    }

    fn wake(&self, word: &AtomicU32) {
        task::wake_word(word);
    }

    #[inline]
    fn now(&self) -> u64 {
        arch::time::now_ns()
    }

    #[inline]
    fn zero_frame(&self, frame: Frame) {
        // SAFETY: duty 1; the caller owns the frame. The direction flag is clear by the ABI.
        unsafe {
            asm!("rep stosq", inout("rcx") PAGE_SIZE / 8 => _, inout("rdi") self.frame_ptr(frame) => _,
                in("rax") 0, options(nostack, preserves_flags));
        }
    }

    #[inline]
    fn copy_frame(&self, from: Frame, to: Frame) {
        // SAFETY: duty 1; the caller owns `to`, and a program that writes `from` meanwhile is only
        // a user of bytes. The direction flag is clear by the ABI.
        unsafe {
            asm!("rep movsq", inout("rcx") PAGE_SIZE / 8 => _, inout("rdi") self.frame_ptr(to) => _,
                inout("rsi") self.frame_ptr(from) => _, options(nostack, preserves_flags));
        }
    }
}

// SAFETY:
// 1. The kernel's root table is complete when boot hands over, but for the entry of the kernel map,
// which is made before the first space; what changes later are tables below it.
// 2. `flush` looks at that first.
// 3. Loading CR3 forgets all translations but global ones, and only the kernel's are global.
unsafe impl TableMachine for Hw {
    fn kernel_root(&self) -> Option<Frame> {
        Some(arch::boot::kernel_root())
    }

    #[inline]
    fn set_root(&self, root: Frame) {
        self.root.store(root.0, Relaxed);
        // SAFETY: the root of a space, whose kernel half is the kernel's.
        unsafe { load_root(root) };
    }
}

/// # Safety
///
/// `root` is a root table with the kernel's half.
#[inline(always)]
unsafe fn load_root(root: Frame) {
    // SAFETY: the kernel goes on in its own half.
    unsafe { asm!("mov cr3, {}", in(reg) root.address(), options(nostack, preserves_flags)) };
}
