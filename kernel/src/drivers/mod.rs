//! Devices: the PCI bus, and virtio disks on it.
//!
//! [`pci`] reaches the bus, [`hal`] gives the virtio crate its memory, [`Disk`] is a disk whose
//! pages the manager's vnode pager reads and writes.

mod disk;
mod hal;
mod pci;

use alloc::boxed::Box;
use alloc::vec::Vec;

pub use disk::{Disk, SECTOR, Scatter};

use crate::arch::interrupts;
use crate::fs::{block, memory};
use crate::linux::Errno;
use crate::sync::Mutex;

/// All disks, for their interrupts.
static DISKS: Mutex<Vec<&'static Disk>> = Mutex::new(Vec::new());

/// Finds the disks and makes them known to the file system, in the order of the bus. The heap must
/// work. What cannot be used is left out, with a line on the console.
pub fn init() {
    pci::for_each_disk(|transport, line| {
        if let Err(error) = add_disk(transport, line) {
            crate::println!("scalvm: a disk cannot be used: error {}", error.0);
        }
    });
}

fn add_disk(transport: pci::Transport, line: u8) -> Result<(), Errno> {
    if usize::from(line) >= interrupts::LINES {
        return Err(Errno::ENODEV);
    }
    let disk = Disk::new(transport)?;
    memory::prove(size_of::<Disk>(), align_of::<Disk>())?;
    // Disks stay until the power goes off.
    let disk: &'static Disk = Box::leak(Box::new(disk));
    memory::push(&mut DISKS.lock(), disk)?;
    interrupts::register(line, on_interrupt);
    block::add(disk)
}

/// If any disk has requests under way, waits until one of it has ended, or until a time. Whether
/// there were any.
pub fn wait_for_disks(until: u64) -> bool {
    let count = DISKS.lock().len();
    (0..count).any(|at| {
        let disk = DISKS.lock()[at];
        disk.wait_for_any(until)
    })
}

/// An interrupt of one of the disks, which may share a line.
fn on_interrupt() {
    let count = DISKS.lock().len();
    for at in 0..count {
        // What the disk has done may call the manager, with no lock held.
        let disk = DISKS.lock()[at];
        disk.on_interrupt();
    }
}
