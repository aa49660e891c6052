//! Tells a guest that hangs from one that works or waits.
//!
//! The kernel takes interrupts whenever it is idle or in user mode, and between any two system
//! calls; so a processor that is found in the kernel with interrupts off and one waiting, time
//! after time, hangs. So does one that is halted with interrupts off: nothing can wake it.

use super::registers::Registers;

/// Samples in a row after which a halt without interrupts is no accident.
const HALTED: u32 = 2;
/// Samples in a row after which an interrupt that is not taken means a hang. (A kernel that swaps without rest, on a host
/// that is busy too, has been seen to be found so fifteen times.)
const IGNORING: u32 = 40;
/// Samples in a row on one unmoved stack, also where nobody asks for an interrupt.
const UNMOVED: u32 = 30;

/// The judge, fed with one sample a second.
#[derive(Default)]
pub struct Watch {
    halted: u32,
    ignoring: u32,
    unmoved: u32,
    stack: u64,
}

impl Watch {
    /// Takes a sample; the reason, if the guest hangs by now.
    pub fn sample(
        &mut self,
        registers: &Registers,
        interrupt_pending: bool,
    ) -> Option<&'static str> {
        let deaf = registers.in_kernel && !registers.interrupts_on;
        let count = |streak: &mut u32, goes_on: bool| {
            *streak = if goes_on { *streak + 1 } else { 0 };
            *streak
        };
        let still = deaf && registers.rsp == self.stack;
        self.stack = registers.rsp;
        if count(&mut self.halted, deaf && registers.halted) >= HALTED {
            return Some("the processor is halted with interrupts off");
        }
        if count(&mut self.ignoring, deaf && interrupt_pending) >= IGNORING {
            return Some("the kernel takes no interrupts any more");
        }
        if count(&mut self.unmoved, still) >= UNMOVED {
            return Some("the kernel does not move, with interrupts off");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::registers::interrupt_pending;
    use super::*;

    const TEXT: &str = "\
CPU#0\r
RAX=0000000000000000 RBX=0000000000000000 RCX=0000000000000000 RDX=0000000000000663\r
RSI=0000000000000000 RDI=0000000000000000 RBP=ffff800000001230 RSP=ffff800000001200\r
R8 =0000000000000000 R9 =0000000000000000 R10=0000000000000000 R11=0000000000000000\r
RIP=ffffffff80001000 RFL=00000006 [-----P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\r
ES =0000 0000000000000000 0000ffff 00009300\r
";

    #[test]
    fn registers_are_read() {
        let registers = Registers::parse(TEXT).expect("all there");
        assert_eq!(registers.rip, 0xffff_ffff_8000_1000);
        assert_eq!(registers.rbp, 0xffff_8000_0000_1230);
        assert!(registers.in_kernel && registers.halted && !registers.interrupts_on);
        assert!(Registers::parse("No CPU").is_none());
    }

    #[test]
    fn pending_interrupts_are_read() {
        let none = "IRR\t (none)\n";
        assert!(!interrupt_pending("pic0: irr=04 imr=bc isr=00", none));
        assert!(interrupt_pending("pic0: irr=01 imr=b8 isr=00", none));
        assert!(interrupt_pending("", "ISR\t (none)\r\nIRR\t 32 \r\n"));
    }

    #[test]
    fn a_halt_without_interrupts_is_a_hang() {
        let registers = Registers::parse(TEXT).expect("all there");
        let mut watch = Watch::default();
        assert_eq!(watch.sample(&registers, false), None);
        assert!(watch.sample(&registers, false).is_some());
    }

    #[test]
    fn a_busy_kernel_is_not_a_hang() {
        let mut registers = Registers::parse(TEXT).expect("all there");
        registers.halted = false;
        let mut watch = Watch::default();
        for second in 0..1000 {
            registers.rsp ^= 8;
            let pending = second % IGNORING != 0;
            assert_eq!(watch.sample(&registers, pending), None);
        }
        let idle = Registers {
            halted: true,
            interrupts_on: true,
            ..registers
        };
        for _ in 0..1000 {
            assert_eq!(watch.sample(&idle, false), None);
        }
        let verdict = (0..100).find_map(|_| watch.sample(&registers, true));
        assert!(verdict.is_some(), "the same state without end is one");
    }
}
