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

/// Where a guest finds its root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// In a cpio archive, which it unpacks into memory.
    Archive(PathBuf),
    /// On the disk of this number.
    Disk(usize),
}

impl From<PathBuf> for Root {
    fn from(archive: PathBuf) -> Self {
        Self::Archive(archive)
    }
}

/// A disk of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The file that holds its bytes.
    pub file: PathBuf,
    /// Whether what the guest writes goes elsewhere, and is gone when it ends.
    pub fleeting: bool,
    /// What fails there, if anything.
    pub fails: Option<Failing>,
}

/// What a disk answers with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// Every read.
    Reads,
    /// Every read after the first write.
    ReadsOnceWritten,
    /// Every write.
    Writes,
}

impl From<PathBuf> for Disk {
    fn from(file: PathBuf) -> Self {
        Self {
            file,
            fleeting: false,
            fails: None,
        }
    }
}

impl Disk {
    /// A disk that is the same for each guest, whatever they write.
    pub fn fleeting(file: PathBuf) -> Self {
        Self {
            fleeting: true,
            ..Self::from(file)
        }
    }
}

/// Where a guest's pages go that leave memory. Files of this always come from disks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paging {
    /// The number of the disk on which the kernel swaps from its start on.
    pub swap_disk: Option<usize>,
    /// Whether what is put there is encrypted.
    pub encrypt: bool,
    /// Bytes that the compressor may keep, if there is one.
    pub compress: Option<u64>,
    /// The name of the policy, if not the kernel's own choice.
    pub policy: Option<&'static str>,
}

/// A guest to be started.
#[derive(Clone)]
pub struct Config {
    /// The emulator's program.
    pub qemu: PathBuf,
    /// The kernel, an ELF file with symbols.
    pub kernel: PathBuf,
    /// The root file system.
    pub root: Root,
    /// Memory in bytes.
    pub mem: u64,
    /// What becomes /dev/vda and so on.
    pub disks: Vec<Disk>,
    /// Where pages go.
    pub paging: Paging,
    /// Text in the guest's output after which the machine is switched off, as a user would leave.
    pub stop_at: Option<&'static str>,
    /// Whether guest time is counted in instructions.
    pub icount: bool,
    /// Whether, if so, it takes its time where the guest waits, instead of jumping to the next timer.
    pub waits: bool,
    /// Whether the kernel prints the manager's counters before it powers off.
    pub stats: bool,
    /// The debug modes of the kernel's own memory, if any.
    pub kmem_debug: Option<String>,
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
    pub fn new(
        qemu: PathBuf,
        kernel: PathBuf,
        root: impl Into<Root>,
        program: Vec<OsString>,
    ) -> Self {
        Self {
            qemu,
            kernel,
            root: root.into(),
            mem: 256 << 20,
            disks: Vec::new(),
            paging: Paging::default(),
            stop_at: None,
            icount: false,
            waits: false,
            stats: false,
            kmem_debug: None,
            timeout: None,
            notices: false,
            gdb: false,
            trace: None,
            console: Console::Raw,
            program,
        }
    }
}
