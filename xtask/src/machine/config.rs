//! What a guest is made of.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How the guest's console behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Bytes pass as they are: no echo, no translation of line ends.
    Raw,
    /// A terminal with line editing, of so many rows and columns.
    Terminal {
        /// Lines of the screen.
        rows: u16,
        /// Characters of a line.
        cols: u16,
    },
}

/// A guest to be started.
#[derive(Clone)]
pub struct Config {
    /// The emulator's program.
    pub qemu: PathBuf,
    /// The kernel, an ELF file with symbols.
    pub kernel: PathBuf,
    /// The root file system, a cpio archive.
    pub root: PathBuf,
    /// Memory in bytes.
    pub mem: u64,
    /// Files that become /dev/vda and so on.
    pub disks: Vec<PathBuf>,
    /// Text in the guest's output after which the machine is switched off, as a user would leave.
    pub stop_at: Option<&'static str>,
    /// Whether guest time is counted in instructions.
    pub icount: bool,
    /// Whether the kernel prints the manager's counters before it powers off.
    pub stats: bool,
    /// How long the guest may run.
    pub timeout: Option<Duration>,
    /// Whether the kernel's notices are shown as they come.
    pub notices: bool,
    /// Whether to wait for a debugger.
    pub gdb: bool,
    /// A pipe that takes a log of every instruction, from the moment that the guest prints
    /// [`TRACE_BEGINS`](super::TRACE_BEGINS); the program's input waits for that too.
    pub trace: Option<PathBuf>,
    /// How the console behaves.
    pub console: Console,
    /// The first process: a path in the guest, and its arguments.
    pub program: Vec<OsString>,
}

impl Config {
    /// A guest with 256 MiB, a raw console and nothing else.
    pub fn new(qemu: PathBuf, kernel: PathBuf, root: PathBuf, program: Vec<OsString>) -> Self {
        Self {
            qemu,
            kernel,
            root,
            mem: 256 << 20,
            disks: Vec::new(),
            stop_at: None,
            icount: false,
            stats: false,
            timeout: None,
            notices: false,
            gdb: false,
            trace: None,
            console: Console::Raw,
            program,
        }
    }
}
