//! The end of a kernel that has found a mistake in itself.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::arch::{self, layout::DIRECT_BASE, switch};
use crate::println;

/// What the machine ends with.
const STATUS: i32 = 0x63;
/// The most frames in a backtrace.
const MAX_FRAMES: usize = 48;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    if !PANICKED.swap(true, Relaxed) {
        match info.location() {
            Some(place) => println!("kernel panic: {} ({place})", info.message()),
            None => println!("kernel panic: {}", info.message()),
        }
        backtrace(switch::frame_pointer());
    }
    println!("scalvm: panicked");
    arch::power_off(STATUS)
}

/// Prints the return addresses on the stack, by the chain of frame pointers.
fn backtrace(mut frame: usize) {
    for _ in 0..MAX_FRAMES {
        if frame < DIRECT_BASE || !frame.is_multiple_of(size_of::<usize>()) {
            return;
        }
        // SAFETY: kernel code keeps frame pointers, so these are the caller's and the return
        // address. Were they not, the second panic ends it.
        let [next, address] = unsafe { *(frame as *const [usize; 2]) };
        if address == 0 {
            return;
        }
        println!("  frame {address:#x}");
        if next <= frame {
            return;
        }
        frame = next;
    }
}
