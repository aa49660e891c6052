//! The files of /proc about a process.

use alloc::sync::Arc;

use scalvm::PAGE_SIZE;

use super::mappings::MappingText;
use super::node::{self, What};
use super::system::TICK;
use super::{ProcessText, Writer, maps, pagemap, smaps, written};
use crate::fs::dev;
use crate::fs::ext2;
use crate::fs::inode::Target;
use crate::fs::text::Text;
use crate::fs::{memory, mount};
use crate::linux::Errno;
use crate::task::{self, Process};
use crate::tty;

/// The files that are no text: the pages of a process's memory, and its bytes.
pub(super) const PAGEMAP: &str = "pagemap";
pub(super) const MEMORY: &str = "mem";

/// The files whose text is made mapping by mapping: name, and what makes that of one.
pub(super) const BY_MAPPING: &[(&str, MappingText)] =
    &[("maps", maps::line), ("smaps", smaps::smap)];

/// The files: name, and what makes the text. Those of memory and of mappings are read in other ways.
pub(super) const FILES: &[(&str, ProcessText)] = &[
    ("clear_refs", |_, _| Err(Errno::EINVAL)),
    ("cmdline", |process, text| text.bytes(&process.args())),
    ("comm", |process, text| writeln!(text, "{}", name(process))),
    ("maps", |_, _| Err(Errno::EIO)),
    (MEMORY, |_, _| Err(Errno::EIO)),
    ("mounts", mounts),
    ("oom_score", |process, text| {
        writeln!(text, "{}", task::score_in_thousandths(process))
    }),
    ("oom_score_adj", |process, text| {
        writeln!(text, "{}", process.oom_adjustment())
    }),
    (PAGEMAP, |_, _| Err(Errno::EINVAL)),
    ("resident_limit", resident_limit),
    ("smaps", |_, _| Err(Errno::EIO)),
    ("smaps_rollup", smaps::rollup),
    ("stat", stat),
    ("statm", statm),
    ("status", status),
];

/// Those of them that can be written.
pub(super) const WRITABLE: &[(&str, Writer)] = &[
    ("clear_refs", pagemap::clear_refs),
    ("oom_score_adj", |bytes, what| {
        let adjustment = written::<i32>(bytes)?;
        if !(-1000..=1000).contains(&adjustment) {
            return Err(Errno::EINVAL);
        }
        of(what)?.set_oom_adjustment(adjustment);
        Ok(())
    }),
    ("resident_limit", set_resident_limit),
];

/// The soft and the hard limit of what it has in memory, in KiB.
fn resident_limit(process: &Process, text: &mut Text) -> Result<(), Errno> {
    let limits = process.map().resident();
    for (limit, end) in [(limits.soft, ' '), (limits.hard, '\n')] {
        match limit {
            Some(pages) => write!(text, "{}{end}", pages * (PAGE_SIZE as u64 / 1024))?,
            None => write!(text, "unlimited{end}")?,
        }
    }
    Ok(())
}

fn set_resident_limit(bytes: &[u8], what: What) -> Result<(), Errno> {
    let words = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    let mut limits = words.split_ascii_whitespace().map(|word| match word {
        "unlimited" => Ok::<Option<u64>, Errno>(None),
        kib => {
            let kib = kib.parse::<u64>().map_err(|_| Errno::EINVAL)?;
            Ok(Some(kib / (PAGE_SIZE as u64 / 1024)))
        }
    });
    let (Some(soft), Some(hard), None) = (limits.next(), limits.next(), limits.next()) else {
        return Err(Errno::EINVAL);
    };
    of(what)?.map().set_resident_limits(soft?, hard?);
    Ok(())
}

/// The process that a file is about.
fn of(what: What) -> Result<Arc<Process>, Errno> {
    match what {
        What::ProcessFile(pid, _) => node::process(pid),
        _ => Err(Errno::ESRCH),
    }
}

/// Where a link leads.
type Link = fn(&Process) -> Result<Target, Errno>;

/// The links: name, and where they lead.
pub(super) const LINKS: &[(&str, Link)] = &[
    ("cwd", |process| {
        Ok(Target::Node(process.fs().lock().cwd.clone()))
    }),
    ("exe", exe),
    ("root", |process| {
        Ok(Target::Node(process.fs().lock().root.clone()))
    }),
];

fn exe(process: &Process) -> Result<Target, Errno> {
    let path = process.exe();
    // What has no program, a zombie, has no such link.
    if path.is_empty() {
        Err(Errno::ENOENT)
    } else {
        Ok(Target::Path(memory::vec(path.as_bytes())?))
    }
}

/// Its name as text.
fn name(process: &Process) -> impl core::fmt::Display {
    struct Name([u8; 16]);
    impl core::fmt::Display for Name {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            let end = self
                .0
                .iter()
                .position(|byte| *byte == 0)
                .unwrap_or(self.0.len());
            self.0[..end]
                .utf8_chunks()
                .try_for_each(|chunk| f.write_str(chunk.valid()))
        }
    }
    Name(process.comm())
}

fn mounts(_process: &Process, text: &mut Text) -> Result<(), Errno> {
    for mount in mount::list()? {
        text.bytes(&mount.source)?;
        text.bytes(b" ")?;
        for byte in mount.path()? {
            match byte {
                b' ' | b'\t' | b'\n' | b'\\' => write!(text, "\\{byte:03o}")?,
                _ => text.bytes(&[byte])?,
            }
        }
        let access = if ext2::is_read_only(&mount.root) {
            "ro"
        } else {
            "rw"
        };
        writeln!(text, " {} {access},relatime 0 0", mount.kind)?;
    }
    Ok(())
}

fn stat(process: &Process, text: &mut Text) -> Result<(), Errno> {
    let usage = process.map().usage();
    let times = process.times();
    let has_terminal = tty::is_controlling(process.sid());
    let terminal = if has_terminal { dev::number(4, 64) } else { 0 };
    let foreground = tty::foreground_of(process.sid()).unwrap_or(-1);
    write!(
        text,
        "{} ({}) {} {} {} {} {terminal} {foreground}",
        process.pid,
        name(process),
        process.state_char(),
        process.ppid(),
        process.pgid(),
        process.sid(),
    )?;
    // flags, and minor and major faults: of the process, of its children
    let [own, children] = process.faults();
    write!(text, " 0 {} {}", own.minor, children.minor)?;
    write!(text, " {} {}", own.major, children.major)?;
    write!(
        text,
        " {} 0 {} 0",
        times.own_ns / TICK,
        times.children_ns / TICK
    )?;
    // priority, nice, threads, an old timer
    write!(
        text,
        " 20 0 {} 0 {}",
        process.threads(),
        process.start_ns() / TICK
    )?;
    write!(text, " {} {}", usage.mapped_bytes, usage.resident_pages)?;
    // limit of resident memory, addresses (5), signals (4), wchan, swapped (2)
    write!(text, " {} 0 0 0 0 0 0 0 0 0 0 0 0", u64::MAX)?;
    // exit signal, processor, real-time (2), delays, guest (2), addresses (7), exit code
    writeln!(text, " 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0")
}

fn statm(process: &Process, text: &mut Text) -> Result<(), Errno> {
    let usage = process.map().usage();
    let pages = usage.mapped_bytes / PAGE_SIZE as u64;
    let (code, data) = maps::code_and_data(process);
    let shared = smaps::mapped_of_objects(&process.map());
    writeln!(
        text,
        "{pages} {} {shared} {code} 0 {data} 0",
        usage.resident_pages
    )
}

fn status(process: &Process, text: &mut Text) -> Result<(), Errno> {
    let usage = process.map().usage();
    let kib = |bytes: u64| bytes / 1024;
    let state = match process.state_char() {
        'R' => "R (running)",
        'D' => "D (disk sleep)",
        'T' => "T (stopped)",
        'Z' => "Z (zombie)",
        _ => "S (sleeping)",
    };
    writeln!(text, "Name:\t{}", name(process))?;
    writeln!(text, "Umask:\t{:04o}", process.fs().lock().umask)?;
    writeln!(text, "State:\t{state}")?;
    writeln!(
        text,
        "Tgid:\t{}\nNgid:\t0\nPid:\t{}",
        process.pid, process.pid
    )?;
    writeln!(text, "PPid:\t{}\nTracerPid:\t0", process.ppid())?;
    writeln!(text, "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0")?;
    writeln!(
        text,
        "FDSize:\t{}\nGroups:\t0 ",
        process.files().lock().end()
    )?;
    if !process.is_zombie() {
        let (code, data) = maps::code_and_data(process);
        let page = PAGE_SIZE as u64;
        writeln!(text, "VmSize:\t{:8} kB", kib(usage.mapped_bytes))?;
        writeln!(text, "VmLck:\t{:8} kB", kib(usage.wired_bytes))?;
        let sums = smaps::Sums::of(&process.map());
        let peak = (process.map().resident().peak * page).max(sums.rss);
        let shared = sums.rss - sums.anonymous - sums.file;
        writeln!(text, "VmHWM:\t{:8} kB", kib(peak))?;
        writeln!(text, "VmRSS:\t{:8} kB", kib(sums.rss))?;
        writeln!(text, "RssAnon:\t{:8} kB", kib(sums.anonymous))?;
        writeln!(text, "RssFile:\t{:8} kB", kib(sums.file))?;
        writeln!(text, "RssShmem:\t{:8} kB", kib(shared))?;
        writeln!(text, "VmData:\t{:8} kB", kib(data * page))?;
        writeln!(text, "VmStk:\t{:8} kB", kib(maps::stack(process)))?;
        writeln!(text, "VmExe:\t{:8} kB", kib(code * page))?;
        writeln!(text, "VmPTE:\t{:8} kB", kib(usage.table_frames * page))?;
        writeln!(text, "VmSwap:\t{:8} kB", kib(sums.swap))?;
    }
    writeln!(text, "Threads:\t{}", process.threads())?;
    let (mut ignored, mut caught) = (0u64, 0u64);
    for signal in 1..=64 {
        let action = process.action(signal);
        ignored |= u64::from(action.handler == task::Action::IGNORE) << (signal - 1);
        caught |= u64::from(action.calls()) << (signal - 1);
    }
    writeln!(text, "SigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}")
}
