//! The first serial port, a 16550: the console.

use x86_64::instructions::port::Port;

use super::interrupts;

const BASE: u16 = 0x3f8;
const LINE: u8 = 4;

const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;

const RECEIVED: u8 = 1;
const CAN_SEND: u8 = 0x20;

fn write_register(register: u16, value: u8) {
    // SAFETY: the device's own ports.
    unsafe { Port::<u8>::new(BASE + register).write(value) }
}

fn read_register(register: u16) -> u8 {
    // SAFETY: as in write_register.
    unsafe { Port::<u8>::new(BASE + register).read() }
}

/// 115200 baud, eight bits, with FIFOs.
pub fn init() {
    write_register(INTERRUPT_ENABLE, 0);
    write_register(LINE_CONTROL, 0x80);
    write_register(DATA, 1);
    write_register(INTERRUPT_ENABLE, 0);
    write_register(LINE_CONTROL, 3);
    write_register(FIFO_CONTROL, 0x07);
    write_register(MODEM_CONTROL, 0x0b);
}

/// Starts to hand received bytes to the terminal.
pub fn listen() {
    interrupts::register(LINE, receive);
    write_register(INTERRUPT_ENABLE, RECEIVED);
}

/// Sends the bytes; waits while the device is busy.
pub fn write(bytes: &[u8]) {
    for byte in bytes {
        while read_register(LINE_STATUS) & CAN_SEND == 0 {
            core::hint::spin_loop();
        }
        write_register(DATA, *byte);
    }
}

fn receive() {
    while read_register(LINE_STATUS) & RECEIVED != 0 {
        crate::tty::input(read_register(DATA));
    }
}
