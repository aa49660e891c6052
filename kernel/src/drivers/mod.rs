//! Devices: the PCI bus, and virtio disks on it.
//!
//! [`pci`] reaches the bus, [`hal`] gives the virtio crate its memory, [`Disk`] is a disk whose
//! pages the manager's vnode pager reads and writes.

mod disk;
mod hal;
mod pci;

use alloc::boxed::Box;

pub use disk::{Disk, SECTOR};

use crate::fs::{block, memory};
use crate::linux::Errno;

/// Finds the disks and makes them known to the file system, in the order of the bus. The heap must
/// work. What cannot be used is left out, with a line on the console.
pub fn init() {
    pci::for_each_disk(|transport| {
        if let Err(error) = add_disk(transport) {
            crate::println!("scalvm: a disk cannot be used: error {}", error.0);
        }
    });
}

fn add_disk(transport: pci::Transport) -> Result<(), Errno> {
    let disk = Disk::new(transport)?;
    memory::prove(size_of::<Disk>(), align_of::<Disk>())?;
    // Disks stay until the power goes off.
    block::add(Box::leak(Box::new(disk)))
}
