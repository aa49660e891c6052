//! The PCI bus, by the two ports that every PC has.
//!
//! The firmware has given the devices their addresses; the manager's direct map shows them.

use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::bus::{Command, ConfigurationAccess, DeviceFunction, PciRoot};
use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};
use x86_64::instructions::port::Port;

use super::hal::VirtioHal;

/// A virtio device on the bus.
pub type Transport = PciTransport;

/// Where the address is written, and where the word there is read and written.
const ADDRESS_PORT: u16 = 0xcf8;
const DATA_PORT: u16 = 0xcfc;

/// The configuration space through its ports.
struct Ports;

/// Chooses a word of a device's configuration space.
fn choose(device: DeviceFunction, register: u8) {
    let address = 1 << 31
        | u32::from(device.bus) << 16
        | u32::from(device.device) << 11
        | u32::from(device.function) << 8
        | u32::from(register & !3);
    // SAFETY: this port only says which word the data port shows.
    unsafe { Port::new(ADDRESS_PORT).write(address) }
}

impl ConfigurationAccess for Ports {
    fn read_word(&self, device: DeviceFunction, register: u8) -> u32 {
        choose(device, register);
        // SAFETY: reading configuration space has no effect.
        unsafe { Port::new(DATA_PORT).read() }
    }

    fn write_word(&mut self, device: DeviceFunction, register: u8, word: u32) {
        choose(device, register);
        // SAFETY: the virtio crate writes only what configures its own device.
        unsafe { Port::new(DATA_PORT).write(word) }
    }

    unsafe fn unsafe_clone(&self) -> Ports {
        Ports
    }
}

/// The word of the configuration space that says which interrupt line the firmware has given.
const INTERRUPT_LINE: u8 = 0x3c;

/// Calls `found` for each virtio disk on the first bus, ready to be driven, with the number of its
/// interrupt line.
pub fn for_each_disk(mut found: impl FnMut(Transport, u8)) {
    const BUS: u8 = 0;
    let mut root = PciRoot::new(Ports);
    for (device, info) in root.enumerate_bus(BUS) {
        if virtio_device_type(&info) != Some(DeviceType::Block) {
            continue;
        }
        let (_, command) = root.get_status_command(device);
        root.set_command(
            device,
            command | Command::MEMORY_SPACE | Command::BUS_MASTER,
        );
        match PciTransport::new::<VirtioHal, _>(&mut root, device) {
            Ok(transport) => {
                let line = Ports.read_word(device, INTERRUPT_LINE) as u8;
                found(transport, line);
            }
            Err(error) => crate::println!("scalvm: PCI device {device}: {error}"),
        }
    }
}
