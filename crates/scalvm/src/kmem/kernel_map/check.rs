//! The invariants at the head of the module, checked. For tests.

use core::sync::atomic::Ordering::Relaxed;

use super::{Extent, KernelMap};
use crate::addr::{PAGE_SIZE, Prot};
use crate::machine::Machine;
use crate::page::State;
use crate::pmap::{Clear, Pmap};

impl<M: Machine> KernelMap<'_, M> {
    /// Panics where the kernel map contradicts itself. For tests; nothing else may run meanwhile.
    pub fn check_invariants(&self) {
        self.space.check_invariants();
        let (vm, body) = (self.vm, self.body.target());
        let nothing = Clear {
            accessed: false,
            dirty: false,
        };
        // The page that comes next, how many are left of the allocation, and where the next may begin.
        let (mut next, mut left, mut free_from) = (body.middle, 0, body.middle);
        let mut pages = 0;
        let range = body.middle..body.high;
        let debt = body
            .pmap()
            .harvest(&vm.machine, vm, range, nothing, |mapping| {
                pages += 1;
                assert_eq!(mapping.prot - Prot::EXEC, Prot::RW, "X1: rights");
                assert!(mapping.managed, "X1: managed");
                let page = vm.frames.page(mapping.frame).expect("X1: a frame");
                assert_eq!(page.state(), State::Kernel, "X1: state of a frame");
                let extent = Extent::from_word(page.word().load(Relaxed));
                if left == 0 {
                    let extent = extent.expect("X2: the first page of an allocation");
                    assert!(mapping.va >= free_from + extent.guard(), "X1: a guard");
                    left = extent.pages;
                    next = mapping.va;
                    free_from = mapping.va + extent.bytes() + extent.guard();
                } else {
                    assert_eq!(extent, None, "X2: not the first page");
                }
                assert_eq!(mapping.va, next, "X1: no gap within an allocation");
                next += PAGE_SIZE;
                left -= 1;
            });
        vm.pay(debt, body.pmap());
        assert_eq!(left, 0, "X1: all pages of an allocation");
        assert_eq!(body.pages.load(Relaxed), pages, "X3: pages wired");
    }
}
