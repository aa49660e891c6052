//! The terminal: the console on the serial line.
//!
//! [`Discipline`] is between the line and the programs, [`Settings`] says how it works, [`job`] is
//! what concerns sessions and process groups, [`control`] the ioctls. There is one terminal; it is
//! the controlling one of at most one session.
//!
//! [`input`] runs in interrupt handlers, which never run while a lock is held.

mod control;
mod job;
mod line;

use alloc::sync::Arc;
use core::any::Any;

use linux_raw_sys::general::{ECHO, ICANON, O_NOCTTY, OPOST, POLLIN, POLLOUT, VMIN, VTIME};

use crate::arch::serial;
use crate::fs::buffer::Buf;
use crate::fs::file::File;
use crate::fs::inode::FileIo;
use crate::fs::{memory, wait};
use crate::linux::Errno;
use crate::sync::Mutex;
use crate::task::{self, WaitQueue};
use job::Job;
use line::{Discipline, Settings};

pub use job::{foreground_of, give, is_controlling, session_ended};

/// Bytes that are moved at once between a program and the line.
const CHUNK: usize = 256;

/// The terminal's state.
struct Terminal {
    discipline: Discipline,
    job: Job,
    /// Rows, columns, and the size in pixels, which nobody knows.
    size: [u16; 4],
}

static TERMINAL: Mutex<Terminal> = Mutex::new(Terminal {
    discipline: Discipline::new(),
    job: Job::none(),
    size: [24, 80, 0, 0],
});

/// Those that wait for input, or for output to go on.
static CHANGED: WaitQueue = WaitQueue::new();

/// What the kernel's command line says of the console. `raw`: what programs print reaches the line
/// unchanged, and nothing is echoed.
pub fn configure(raw: bool, rows: Option<u16>, columns: Option<u16>) {
    let mut terminal = TERMINAL.lock();
    terminal.size[0] = rows.unwrap_or(terminal.size[0]);
    terminal.size[1] = columns.unwrap_or(terminal.size[1]);
    if raw {
        let mut settings = *terminal.discipline.settings();
        settings.output &= !OPOST;
        settings.local &= !ECHO;
        terminal.discipline.set(settings);
    }
}

/// A byte came from the serial line. Called by interrupt handlers.
pub fn input(byte: u8) {
    let mut terminal = TERMINAL.lock();
    let signal = terminal.discipline.input(byte, &mut serial::write);
    let foreground = terminal.job.foreground();
    drop(terminal);
    if let (Some(signal), Some(group)) = (signal, foreground) {
        task::signal_group(group, signal);
    }
    CHANGED.wake_all();
    wait::changed();
}

/// The console, for a file. It becomes the controlling terminal of a session leader that has none,
/// unless O_NOCTTY is given.
pub fn open(flags: u32) -> Result<Arc<dyn FileIo>, Errno> {
    if flags & O_NOCTTY == 0 {
        job::acquire();
    }
    Ok(memory::arc(Console)?)
}

/// The controlling terminal of the process that calls: /dev/tty.
pub fn open_controlling() -> Result<Arc<dyn FileIo>, Errno> {
    if !job::is_ours() {
        return Err(Errno::ENXIO);
    }
    Ok(memory::arc(Console)?)
}

/// The console as an open file.
struct Console;

impl Console {
    /// Waits until a read can go on; false when VTIME is over, EAGAIN if the file does not wait.
    fn wait_for_input(&self, file: &File) -> Result<bool, Errno> {
        let settings = *TERMINAL.lock().discipline.settings();
        let is_ready = || TERMINAL.lock().discipline.is_ready();
        if is_ready() {
            return Ok(true);
        }
        let waiting = || TERMINAL.lock().discipline.waiting();
        let least = usize::from(settings.chars[VMIN as usize]);
        /// VTIME counts tenths of a second.
        const TENTH: u64 = 100_000_000;
        let time = u64::from(settings.chars[VTIME as usize]) * TENTH;
        if settings.has(ICANON) {
            if file.nonblocking() {
                return Err(Errno::EAGAIN);
            }
            CHANGED.wait_until(is_ready)?;
            return Ok(true);
        }
        if file.nonblocking() {
            return if waiting() > 0 || least == 0 {
                Ok(true)
            } else {
                Err(Errno::EAGAIN)
            };
        }
        match (least, time) {
            (0, 0) => return Ok(true),
            (0, time) => {
                CHANGED.wait_until_timeout(time, || waiting() > 0)?;
                return Ok(waiting() > 0);
            }
            (_, 0) => CHANGED.wait_until(is_ready)?,
            (_, time) => {
                // The clock starts anew with each byte, and not before the first.
                CHANGED.wait_until(|| waiting() > 0)?;
                loop {
                    let before = waiting();
                    CHANGED.wait_until_timeout(time, || waiting() != before || is_ready())?;
                    if is_ready() || waiting() == before {
                        break;
                    }
                }
            }
        }
        Ok(true)
    }
}

impl FileIo for Console {
    fn read(&self, file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        job::check_read()?;
        if buf.is_empty() || !self.wait_for_input(file)? {
            return Ok(0);
        }
        // A read gets one line, or what there is, as far as one chunk holds it.
        let mut chunk = [0; CHUNK];
        let wanted = buf.len().min(CHUNK);
        let count = TERMINAL.lock().discipline.take(&mut chunk[..wanted]);
        buf.put(&chunk[..count])
    }

    fn write(&self, _file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        job::check_write()?;
        let mut chunk = [0; CHUNK];
        let mut done = 0;
        while !buf.is_empty() {
            if TERMINAL.lock().discipline.is_stopped() {
                let went_on = CHANGED.wait_until(|| !TERMINAL.lock().discipline.is_stopped());
                match went_on {
                    Err(_) if done > 0 => break,
                    other => other?,
                }
            }
            match buf.take(&mut chunk) {
                Ok(count) => {
                    TERMINAL
                        .lock()
                        .discipline
                        .output(&chunk[..count], &mut serial::write);
                    done += count;
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn ready(&self, _file: &File) -> u32 {
        let terminal = TERMINAL.lock();
        let input = if terminal.discipline.is_ready() {
            POLLIN
        } else {
            0
        };
        input
            | if terminal.discipline.is_stopped() {
                0
            } else {
                POLLOUT
            }
    }

    fn ioctl(&self, _file: &File, request: u32, arg: usize) -> Result<usize, Errno> {
        control::ioctl(request, arg)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Changes the settings and lets those look again who wait.
fn set_settings(settings: Settings) {
    TERMINAL.lock().discipline.set(settings);
    CHANGED.wake_all();
    wait::changed();
}
