//! The files of /proc about the kernel's own memory: what each malloc type has in use, what lies in
//! which pool, and how much of each arena is taken.
//!
//! The counts are read one after the other; while others allocate they need not agree.

use core::fmt;

use scalvm::{BucketStats, PoolStats, TypeStats};

use super::SystemText;
use crate::fs::text::Text;
use crate::linux::Errno;
use crate::mm::VM;

/// What is told to the host as well.
pub const TABLES: [(&str, SystemText); 4] = [
    ("malloctypes", malloctypes),
    ("mallocsites", mallocsites),
    ("slabinfo", slabinfo),
    ("vmemstat", vmemstat),
];

/// A name as one word.
struct Word(&'static str);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut word = [0; 24];
        let len = self.0.len().min(word.len());
        for (to, from) in word.iter_mut().zip(self.0.bytes()) {
            *to = if from.is_ascii_graphic() { from } else { b'_' };
        }
        f.pad(core::str::from_utf8(&word[..len]).unwrap_or("?"))
    }
}

/// Does something for each of what a loop of the manager's shows, as long as it succeeds.
fn each<T>(
    looping: impl FnOnce(&mut dyn FnMut(&T)),
    mut f: impl FnMut(&T) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut result = Ok(());
    looping(&mut |one| {
        if result.is_ok() {
            result = f(one);
        }
    });
    result
}

/// As `vmstat -m` of the BSDs: a line for each malloc type, in bytes; and how many pieces of which
/// size are in use.
pub fn malloctypes(text: &mut Text) -> Result<(), Errno> {
    writeln!(
        text,
        "{:<14} {:>8} {:>10} {:>10} {:>10} {:>10} {:>6} {:>6} Size:InUse",
        "Type", "InUse", "MemUse", "HighUse", "Limit", "Requests", "Fails", "Waits"
    )?;
    each(|f| VM.each_type(f), |stats| of_type(text, stats))
}

fn of_type(text: &mut Text, stats: &TypeStats) -> Result<(), Errno> {
    let (name, limit) = (Word(stats.short), stats.limit.unwrap_or(0));
    write!(
        text,
        "{name:<14} {:>8} {:>10} {:>10} ",
        stats.in_use, stats.bytes, stats.high_water
    )?;
    match stats.limit {
        Some(_) => write!(text, "{limit:>10}")?,
        None => write!(text, "{:>10}", "-")?,
    }
    write!(
        text,
        " {:>10} {:>6} {:>6} ",
        stats.requests, stats.failures, stats.waits
    )?;
    let mut comma = "";
    for bucket in stats.buckets.iter().filter(|bucket| bucket.taken > 0) {
        write!(text, "{comma}")?;
        match bucket {
            BucketStats { size: 0, .. } => write!(text, "more:{}", bucket.in_use)?,
            _ => write!(text, "{}:{}", bucket.size, bucket.in_use)?,
        }
        comma = ",";
    }
    writeln!(text, "{}", if comma.is_empty() { "-" } else { "" })
}

/// In debug mode, a line for each place in the source that has memory in use, by type and size.
pub fn mallocsites(text: &mut Text) -> Result<(), Errno> {
    writeln!(
        text,
        "{:<14} {:>8} {:>8} {:>10} Site",
        "Type", "Size", "InUse", "MemUse"
    )?;
    let mut result = Ok(());
    VM.each_use(&mut |ty, leak| {
        let Some(site) = leak.site.filter(|_| result.is_ok()) else {
            return;
        };
        let name = Word(ty.short());
        result = writeln!(
            text,
            "{name:<14} {:>8} {:>8} {:>10} {site}",
            leak.size, leak.pieces, leak.bytes
        );
    });
    result
}

/// As on Linux, version 2.1: what slabtop reads. A processor's magazine takes the place of its array.
pub fn slabinfo(text: &mut Text) -> Result<(), Errno> {
    text.bytes(
        b"slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> \
          <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata \
          <active_slabs> <num_slabs> <sharedavail>\n",
    )?;
    each(|f| VM.each_pool(f), |stats| of_pool(text, stats))
}

fn of_pool(text: &mut Text, stats: &PoolStats) -> Result<(), Errno> {
    const KIB: usize = 1024;
    let heap = stats.name.starts_with("malloc-");
    let start = text.len();
    match stats.size {
        size if heap && size % KIB == 0 => write!(text, "kmalloc-{}k", size / KIB)?,
        size if heap => write!(text, "kmalloc-{size}")?,
        _ => write!(text, "{}", Word(stats.name))?,
    }
    text.pad(start, 17)?;
    let per_slab = |all: u64| all.checked_div(stats.slabs).unwrap_or(0);
    write!(
        text,
        " {:6} {:6} {:6} {:4} {:4}",
        stats.in_use,
        stats.slots,
        stats.size,
        per_slab(stats.slots),
        per_slab(stats.frames)
    )?;
    write!(text, " : tunables {:4} {:4} {:4}", stats.magazine, 0, 0)?;
    writeln!(
        text,
        " : slabdata {:6} {:6} {:6}",
        stats.slabs, stats.slabs, 0
    )
}

/// A line for each arena, in what it hands out.
pub fn vmemstat(text: &mut Text) -> Result<(), Errno> {
    writeln!(
        text,
        "{:<14} {:>8} {:>16} {:>14} {:>12} {:>16} {:>6} {:>10} {:>10} {:>6} {:>6} {:>8} {:>8}",
        "Arena",
        "Quantum",
        "Total",
        "InUse",
        "Cached",
        "LargestFree",
        "Spans",
        "Allocs",
        "CacheHits",
        "Fails",
        "Waits",
        "Imports",
        "Releases"
    )?;
    each(
        |f| VM.each_arena(f),
        |stats: &scalvm::ArenaStats| {
            writeln!(
                text,
                "{:<14} {:>8} {:>16} {:>14} {:>12} {:>16} {:>6} {:>10} {:>10} {:>6} {:>6} {:>8} {:>8}",
                Word(stats.name),
                stats.quantum,
                stats.total,
                stats.in_use,
                stats.cached,
                stats.largest_free,
                stats.spans,
                stats.allocs,
                stats.cache_hits,
                stats.fails,
                stats.waits,
                stats.imports,
                stats.releases
            )
        },
    )
}
