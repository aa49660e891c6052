//! The reference kernel of scalvm: one processor, x86_64, Linux's system calls.
//!
//! It proves the memory manager on programs that nobody here wrote. Folders: `arch` the machine,
//! `mm` the manager's port, `task` processes and signals, `linux` the system calls, `ipc` what processes
//! share by number, `fs`, `tty` and `drivers` the rest.
#![no_std]
#![no_main]

extern crate alloc;

mod arch;
mod boot_options;
mod drivers;
mod fs;
mod ipc;
mod linux;
mod mm;
mod panic;
mod sync;
mod task;
mod tty;

use boot_options::BootOptions;

/// Where Rust begins: the machine has just entered long mode. `start_info` is the physical address
/// of what the loader says.
extern "C" fn kernel_main(start_info: u64) -> ! {
    // SAFETY: this runs once, on the boot code's stack, and the loader's memory is untouched.
    let info = unsafe {
        arch::init();
        arch::boot::StartInfo::new(start_info)
    };
    // SAFETY: as above.
    let archive = unsafe { mm::init(&info) };
    mm::debug::start(info.command_line());
    let options = BootOptions::parse(info.command_line());
    tty::configure(options.raw_console, options.rows, options.columns);
    drivers::init();
    let unpacked = fs::init(archive.bytes(), &options.root);
    archive.give_back();
    let result = unpacked.and_then(|()| {
        mm::paging::start(&options);
        mm::large::configure(&options.large_pages);
        arch::serial::listen();
        // From now on no input is lost.
        arch::print::tell(format_args!("ready"));
        task::start_init(&options)
    });
    if let Err(error) = result {
        println!(
            "scalvm: the first program cannot be started: error {}",
            error.0
        );
    }
    arch::power_off(127)
}
