//! The machine: a PC with one x86_64 processor.

pub mod boot;
pub mod cpu;
pub mod fpu;
pub mod frame;
pub mod gdt;
mod idt;
pub mod interrupts;
pub mod layout;
mod paging;
mod pic;
mod power;
pub mod print;
pub mod random;
pub mod serial;
pub mod switch;
pub mod syscall;
pub mod time;
pub mod timer;
pub mod trap;
pub mod vdso;

pub use power::power_off;

/// Sets the processor and the machine's own devices up. Interrupts stay off.
///
/// # Safety
///
/// Called once, at boot.
pub unsafe fn init() {
    // SAFETY: the caller's duty, and Rust code uses high addresses only.
    unsafe {
        boot::forget_low_mapping();
        paging::protect_image();
    }
    gdt::init();
    idt::init();
    cpu::init();
    syscall::init();
    serial::init();
    pic::init();
    time::init();
    timer::init();
}
