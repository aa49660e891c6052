//! The terminal's ioctls.

use linux_raw_sys::general::{SIGWINCH, TCIFLUSH, TCIOFLUSH, TCOFLUSH};
use linux_raw_sys::ioctl::{
    FIONREAD, TCFLSH, TCGETS, TCGETS2, TCSBRK, TCSBRKP, TCSETS, TCSETS2, TCSETSF, TCSETSF2,
    TCSETSW, TCSETSW2, TCXONC, TIOCEXCL, TIOCGPGRP, TIOCGSID, TIOCGWINSZ, TIOCNOTTY, TIOCNXCL,
    TIOCOUTQ, TIOCSCTTY, TIOCSPGRP, TIOCSWINSZ,
};

use super::line::Settings;
use super::{TERMINAL, job, set_settings};
use crate::linux::Errno;
use crate::mm::user::{self, Plain};
use crate::task;

/// Baud rate, in and out, of `struct termios2`.
const SPEEDS: [u32; 2] = [115_200, 115_200];

// SAFETY: numbers and bytes without padding: four words, one byte, nineteen bytes.
unsafe impl Plain for Settings {}

/// ioctl(2) on the terminal.
pub(super) fn ioctl(request: u32, arg: usize) -> Result<usize, Errno> {
    match request {
        TCGETS => user::write(arg, &settings())?,
        TCGETS2 => {
            user::write(arg, &settings())?;
            user::write(arg + size_of::<Settings>(), &SPEEDS)?;
        }
        TCSETS | TCSETSW | TCSETSF | TCSETS2 | TCSETSW2 | TCSETSF2 => {
            job::check_change()?;
            let new = user::read::<Settings>(arg)?;
            if matches!(request, TCSETSF | TCSETSF2) {
                TERMINAL.lock().discipline.flush_input();
            }
            set_settings(new);
        }
        TCFLSH => match arg as u32 {
            TCIFLUSH | TCIOFLUSH => TERMINAL.lock().discipline.flush_input(),
            TCOFLUSH => {}
            _ => return Err(Errno::EINVAL),
        },
        // Output is on the line before a write returns.
        TCSBRK | TCSBRKP | TCXONC | TIOCEXCL | TIOCNXCL => {}
        TIOCOUTQ => user::write(arg, &0u32)?,
        FIONREAD => {
            let count = TERMINAL.lock().discipline.readable() as u32;
            user::write(arg, &count)?;
        }
        TIOCGWINSZ => {
            let size = TERMINAL.lock().size;
            user::write(arg, &size)?;
        }
        TIOCSWINSZ => {
            let size = user::read::<[u16; 4]>(arg)?;
            let mut terminal = TERMINAL.lock();
            let changed = core::mem::replace(&mut terminal.size, size) != size;
            let foreground = terminal.job.foreground();
            drop(terminal);
            if let (true, Some(group)) = (changed, foreground) {
                task::signal_group(group, SIGWINCH);
            }
        }
        TIOCGPGRP => user::write(arg, &job::foreground()?)?,
        TIOCSPGRP => job::set_foreground(user::read(arg)?)?,
        TIOCGSID => user::write(arg, &job::session()?)?,
        TIOCSCTTY => job::take(arg == 1)?,
        TIOCNOTTY => job::leave()?,
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

fn settings() -> Settings {
    *TERMINAL.lock().discipline.settings()
}
