//! The two 8259 interrupt controllers.

use x86_64::instructions::port::Port;

use super::idt::FIRST_LINE;

const MASTER: u16 = 0x20;
const SLAVE: u16 = 0xa0;
const CASCADE: u8 = 2;
const END_OF_INTERRUPT: u8 = 0x20;
const READ_IN_SERVICE: u8 = 0x0b;

fn write(port: u16, value: u8) {
    // SAFETY: the controllers' own ports.
    unsafe { Port::<u8>::new(port).write(value) }
}

fn read(port: u16) -> u8 {
    // SAFETY: as in write.
    unsafe { Port::<u8>::new(port).read() }
}

/// Gives the lines their vectors, all closed but the one that leads to the second controller.
pub fn init() {
    for (port, vector, cascade) in [
        (MASTER, FIRST_LINE as u8, 1 << CASCADE),
        (SLAVE, FIRST_LINE as u8 + 8, CASCADE),
    ] {
        write(port, 0x11);
        write(port + 1, vector);
        write(port + 1, cascade);
        write(port + 1, 1);
    }
    write(MASTER + 1, !(1 << CASCADE));
    write(SLAVE + 1, 0xff);
}

/// Opens a line.
pub fn unmask(line: u8) {
    let port = if line < 8 { MASTER } else { SLAVE } + 1;
    write(port, read(port) & !(1 << (line % 8)));
}

/// Whether an interrupt on the last line of a controller did not really happen.
pub fn is_spurious(line: u8) -> bool {
    if line % 8 != 7 {
        return false;
    }
    let port = if line < 8 { MASTER } else { SLAVE };
    write(port, READ_IN_SERVICE);
    let spurious = read(port) & 0x80 == 0;
    if spurious && port == SLAVE {
        // The first controller knows no better.
        write(MASTER, END_OF_INTERRUPT);
    }
    spurious
}

/// Tells the controllers that the interrupt has been handled.
pub fn done(line: u8) {
    if line >= 8 {
        write(SLAVE, END_OF_INTERRUPT);
    }
    write(MASTER, END_OF_INTERRUPT);
}
