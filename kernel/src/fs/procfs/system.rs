//! The files of /proc about the kernel.

use core::arch::x86_64::__cpuid;

use scalvm::{CompressorStats, PAGE_SIZE, Stats};

use super::{SystemText, Writer, kmem, written};
use crate::arch::time::{SECOND, now_ns, wall_ns};
use crate::fs::text::Text;
use crate::fs::{block, mount, names, pipe, swap, table};
use crate::ipc::shm;
use crate::linux::{Errno, calls};
use crate::mm::{VM, commit, paging};
use crate::task;

/// Clock ticks per second, in which Linux tells times.
const TICKS: u64 = 100;
/// Nanoseconds of a clock tick.
pub(super) const TICK: u64 = SECOND / TICKS;

/// What uname(2) says too.
const RELEASE: &str = concat!("6.12.0-scalvm-", env!("CARGO_PKG_VERSION"));
const VERSION: &str = "#1";
/// Numbers of processes are below this.
const PID_MAX: u64 = 4_194_304;

/// The files: path below /proc, and what makes the text. Those of one directory stand side by side.
pub(super) const FILES: &[(&str, SystemText)] = &[
    ("cpuinfo", cpuinfo),
    ("devices", |text| {
        text.write_fmt(format_args!(
            "Character devices:\n  1 mem\n  4 ttyS\n  5 /dev/tty\n\nBlock devices:\n254 virtblk\n"
        ))
    }),
    ("filesystems", filesystems),
    ("loadavg", loadavg),
    ("mallocsites", kmem::mallocsites),
    ("malloctypes", kmem::malloctypes),
    ("meminfo", meminfo),
    ("partitions", partitions),
    ("scalvm", scalvm),
    ("slabinfo", kmem::slabinfo),
    ("stat", stat),
    ("swaps", swaps),
    ("sys/fs/file-max", |text| {
        number(text, table::MAX_FILES as u64 * 1024)
    }),
    ("sys/fs/pipe-max-size", |text| {
        number(text, pipe::CAPACITY as u64)
    }),
    ("sys/kernel/osrelease", |text| line(text, RELEASE)),
    ("sys/kernel/ostype", |text| line(text, "Linux")),
    ("sys/kernel/pid_max", |text| number(text, PID_MAX)),
    ("sys/kernel/randomize_va_space", |text| {
        number(text, task::randomize_va_space().into())
    }),
    ("sys/kernel/shmall", |text| {
        number(text, shm::limits().pages)
    }),
    ("sys/kernel/shmmax", |text| {
        number(text, shm::limits().bytes as u64)
    }),
    ("sys/kernel/shmmni", |text| {
        number(text, shm::limits().segments as u64)
    }),
    ("sys/kernel/version", |text| line(text, VERSION)),
    ("sys/vm/max_map_count", |text| number(text, i32::MAX as u64)),
    ("sys/vm/mmap_min_addr", |text| {
        number(text, task::min_address() as u64)
    }),
    ("sys/vm/overcommit_memory", |text| {
        number(text, commit::mode().into())
    }),
    ("sys/vm/overcommit_ratio", |text| {
        number(text, commit::ratio().into())
    }),
    ("syscalls", syscalls),
    ("sysvipc/shm", segments),
    ("uptime", uptime),
    ("version", |text| {
        writeln!(text, "Linux version {RELEASE} {VERSION}")
    }),
    ("vmemstat", kmem::vmemstat),
    ("vmstat", vmstat),
];

/// Those of them that can be written.
pub(super) const WRITABLE: &[(&str, Writer)] = &[
    ("sys/kernel/randomize_va_space", |bytes, _| {
        task::set_randomize_va_space(written(bytes)?)
    }),
    ("sys/vm/mmap_min_addr", |bytes, _| {
        task::set_min_address(written(bytes)?);
        Ok(())
    }),
    ("sys/kernel/shmall", |bytes, _| {
        let pages = written(bytes)?;
        shm::set_limits(|limits| limits.pages = pages);
        Ok(())
    }),
    ("sys/kernel/shmmax", |bytes, _| {
        let most = written(bytes)?;
        shm::set_limits(|limits| limits.bytes = most);
        Ok(())
    }),
    ("sys/kernel/shmmni", |bytes, _| {
        let most = written(bytes)?;
        shm::set_limits(|limits| limits.segments = most);
        Ok(())
    }),
    ("sys/vm/overcommit_memory", |bytes, _| {
        commit::set_mode(written(bytes)?)
    }),
    ("sys/vm/overcommit_ratio", |bytes, _| {
        commit::set_ratio(written(bytes)?);
        Ok(())
    }),
];

fn line(text: &mut Text, line: &str) -> Result<(), Errno> {
    writeln!(text, "{line}")
}

fn number(text: &mut Text, number: u64) -> Result<(), Errno> {
    writeln!(text, "{number}")
}

fn filesystems(text: &mut Text) -> Result<(), Errno> {
    for kind in mount::TYPES {
        let nodev = if mount::ON_DISKS.contains(kind) {
            ""
        } else {
            "nodev"
        };
        writeln!(text, "{nodev}\t{kind}")?;
    }
    Ok(())
}

/// The system calls that were made since the start: how often, how often they failed, and with which error last.
fn syscalls(text: &mut Text) -> Result<(), Errno> {
    let mut result = writeln!(text, "call made failed error");
    calls::for_each(|name, made, failed, error| {
        if result.is_ok() {
            result = writeln!(text, "{name} {made} {failed} {error}");
        }
    });
    result
}

/// System V's shared memory.
fn segments(text: &mut Text) -> Result<(), Errno> {
    text.bytes(b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n")?;
    shm::for_each(|s| {
        let ([uid, gid], [cuid, cgid]) = (s.owner, s.creator);
        let page = PAGE_SIZE as u64;
        write!(
            text,
            "{:10} {:10}  {:4o} {:21} {:5} {:5}  {:5} {uid:5} {gid:5} {cuid:5} {cgid:5}",
            s.key, s.id, s.mode, s.size, s.made_by, s.used_by, s.mappings
        )?;
        writeln!(
            text,
            " {:10} {:10} {:10} {:21} {:21}",
            s.attached,
            s.detached,
            s.changed,
            s.resident * page,
            s.away * page
        )
    })
}

fn partitions(text: &mut Text) -> Result<(), Errno> {
    text.bytes(b"major minor  #blocks  name\n\n")?;
    block::for_each(|name, major, minor, bytes| {
        write!(text, "{major:4}  {minor:7} {:10} ", bytes / 1024)?;
        text.bytes(name)?;
        text.bytes(b"\n")
    })
}

fn swaps(text: &mut Text) -> Result<(), Errno> {
    /// The column at which the kind begins, and the number of KiB after which a tab is left out.
    const KIND_COLUMN: usize = 40;
    const LONG: u64 = 10_000_000;
    text.bytes(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")?;
    swap::for_each(|path, kind, info| {
        let start = text.len();
        text.bytes(path)?;
        text.pad(start, KIND_COLUMN.max(path.len() + 1))?;
        text.bytes(kind)?;
        // Linux's tabs are set for the longer word.
        if kind.len() < 8 {
            text.bytes(b"\t")?;
        }
        for pages in [info.pages, info.used] {
            let kib = pages * (PAGE_SIZE as u64 / 1024);
            let tab = if kib < LONG { "\t" } else { "" };
            write!(text, "\t{kib}{tab}")?;
        }
        writeln!(text, "\t{}", info.priority)
    })
}

/// The counters of the memory manager, by the names it has for them.
fn scalvm(text: &mut Text) -> Result<(), Errno> {
    let mut result = Ok(());
    paging::for_each_counter(|name, value| {
        if result.is_ok() {
            result = writeln!(text, "{name} {value}");
        }
    });
    result
}

fn meminfo(text: &mut Text) -> Result<(), Errno> {
    let (stats, pages) = (VM.stats(), VM.page_counts());
    let shared = names::shared_memory_pages();
    let (swap_pages, swap_free) = swap::totals();
    let compressed = VM.compressor_stats();
    // Disks are the only files whose pages could be brought again.
    let available = stats.frames_free + stats.frames_file;
    let lines = [
        ("MemTotal", stats.frames_total),
        ("MemFree", stats.frames_free),
        ("MemAvailable", available),
        ("Buffers", stats.frames_file),
        ("Cached", shared),
        ("SwapCached", 0),
        ("SwapTotal", swap_pages),
        ("SwapFree", swap_free),
        ("Dirty", pages.file_dirty),
        ("Writeback", pages.file_writing),
        ("AnonPages", private_pages(&stats, shared)),
        ("Mapped", pages.file_mapped),
        ("Shmem", shared),
        ("AnonHugePages", large_pages()),
        ("Slab", stats.frames_kernel),
        ("SReclaimable", 0),
        ("SUnreclaim", stats.frames_kernel),
        ("PageTables", stats.frames_tables),
        ("Zswap", compressed.frames),
        ("Zswapped", compressed.entries),
        ("CommitLimit", commit::limit()),
        ("Committed_AS", stats.committed),
    ];
    for (name, pages) in lines {
        let start = text.len();
        write!(text, "{name}:")?;
        text.pad(start, 16)?;
        writeln!(text, "{:8} kB", pages * (PAGE_SIZE as u64 / 1024))?;
    }
    Ok(())
}

/// Pages of memory that large ones map.
fn large_pages() -> u64 {
    let mut pages = 0;
    VM.each_map(|map| pages += map.large);
    pages
}

/// Pages of anonymous objects that are not those of files in memory.
fn private_pages(stats: &Stats, shared: u64) -> u64 {
    stats.frames_anon.saturating_sub(shared)
}

fn vmstat(text: &mut Text) -> Result<(), Errno> {
    let (stats, pages) = (VM.stats(), VM.page_counts());
    let compressed = VM.compressor_stats();
    let shared = names::shared_memory_pages();
    const KIB_PER_PAGE: u64 = PAGE_SIZE as u64 / 1024;
    let lines = [
        ("nr_free_pages", stats.frames_free),
        ("nr_anon_pages", private_pages(&stats, shared)),
        ("nr_mapped", pages.file_mapped),
        ("nr_file_pages", stats.frames_file + shared),
        ("nr_dirty", pages.file_dirty),
        ("nr_writeback", pages.file_writing),
        ("nr_shmem", shared),
        ("nr_slab_unreclaimable", stats.frames_kernel),
        ("nr_page_table_pages", stats.frames_tables),
        ("pgpgin", (stats.pageins + stats.swapins) * KIB_PER_PAGE),
        ("pgpgout", (stats.pageouts + stats.swapouts) * KIB_PER_PAGE),
        ("pswpin", stats.swapins),
        ("pswpout", stats.swapouts),
        ("pgfault", stats.faults),
        ("pgmajfault", stats.faults_major),
        ("pageoutrun", stats.balances),
        ("pgscan", stats.scanned),
        ("pgsteal", stats.evicted),
        ("pglazyfree", stats.given_up),
        ("pglazyfreed", stats.given_up_gone),
        ("workingset_refault", stats.refaults),
        ("thp_fault_alloc", stats.large_faults),
        ("thp_fault_fallback", stats.large_fallbacks),
        ("thp_collapse_alloc", stats.large_joins),
        ("thp_split_pmd", stats.large_splits),
        ("swap_ra", stats.ahead),
        ("swap_ra_hit", stats.ahead_hits),
        ("zswpin", stats.decompressed),
        ("zswpout", compressed.stored),
        ("zswpwb", compressed.spilled),
        ("compressed_to_percent", compressed_to(&compressed)),
    ];
    for (name, value) in lines {
        writeln!(text, "{name} {value}")?;
    }
    Ok(())
}

/// The size to which compressed pages were made, in percent, pages of one repeated word not counted.
fn compressed_to(compressed: &CompressorStats) -> u64 {
    let pages = compressed.entries - compressed.same;
    compressed.bytes * 100 / (pages * PAGE_SIZE as u64).max(1)
}

/// Processor time since boot in clock ticks: with work, and without.
fn busy_and_idle() -> (u64, u64) {
    let idle = task::idle_ns();
    ((now_ns() - idle) / TICK, idle / TICK)
}

fn stat(text: &mut Text) -> Result<(), Errno> {
    let (busy, idle) = busy_and_idle();
    for name in ["cpu ", "cpu0"] {
        writeln!(text, "{name} {busy} 0 0 {idle} 0 0 0 0 0 0")?;
    }
    let running = task::all()
        .iter()
        .filter(|process| process.state_char() == 'R')
        .count();
    writeln!(text, "btime {}", (wall_ns() - now_ns()) / SECOND)?;
    writeln!(text, "procs_running {running}\nprocs_blocked 0")
}

fn uptime(text: &mut Text) -> Result<(), Errno> {
    let (_, idle) = busy_and_idle();
    let up = now_ns() / TICK;
    writeln!(
        text,
        "{}.{:02} {}.{:02}",
        up / TICKS,
        up % TICKS,
        idle / TICKS,
        idle % TICKS
    )
}

fn loadavg(text: &mut Text) -> Result<(), Errno> {
    let all = task::all();
    let running = all
        .iter()
        .filter(|process| process.state_char() == 'R')
        .count();
    let threads: usize = all.iter().map(|process| process.threads()).sum();
    let last = all.iter().map(|process| process.pid).max().unwrap_or(0);
    // The averages over minutes are not kept: the number that is running stands for all three.
    writeln!(
        text,
        "{running}.00 {running}.00 {running}.00 {running}/{threads} {last}"
    )
}

fn cpuinfo(text: &mut Text) -> Result<(), Errno> {
    let vendor = __cpuid(0);
    let version = __cpuid(1);
    let (family, model) = (
        version.eax >> 8 & 15,
        version.eax >> 4 & 15 | version.eax >> 12 & 0xf0,
    );
    writeln!(text, "processor\t: 0")?;
    text.bytes(b"vendor_id\t: ")?;
    for part in [vendor.ebx, vendor.edx, vendor.ecx] {
        text.bytes(&part.to_le_bytes())?;
    }
    writeln!(
        text,
        "\ncpu family\t: {}",
        if family == 15 {
            15 + (version.eax >> 20 & 255)
        } else {
            family
        }
    )?;
    writeln!(text, "model\t\t: {model}")?;
    text.bytes(b"model name\t: ")?;
    if __cpuid(0x8000_0000).eax >= 0x8000_0004 {
        for leaf in 0x8000_0002..=0x8000_0004 {
            let name = __cpuid(leaf);
            for part in [name.eax, name.ebx, name.ecx, name.edx] {
                let bytes = part.to_le_bytes();
                let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(4);
                text.bytes(&bytes[..end])?;
            }
        }
    }
    writeln!(text, "\nstepping\t: {}\n", version.eax & 15)
}
