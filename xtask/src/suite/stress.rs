//! stress-ng's stressors of its class `vm`, each held against what the kernel itself has counted.
//!
//! stress-ng reports success even where the calls that it is about fail. So `docs/stress-ng.md` has a row for each
//! stressor with what it must move, and those rows are what is run here: calls that succeed, by `/proc/syscalls`, and
//! counters of `/proc/scalvm`. Afterwards nothing is left of what it had.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, ensure};

use super::coverage::{rows, section};
use super::kmem::check_types;
use super::lab::Outcome;
use super::{Lab, Plan, Report};
use crate::paths;

const MIB: u64 = 1 << 20;
/// The guest's memory, and its disk to swap on.
const MEM: u64 = 256 * MIB;
const SWAP: u64 = 512 * MIB;
/// How long a stressor runs, and how long those do that are among the short tests, in seconds.
const SECONDS: (u64, u64) = (20, 2);
/// How long a guest may run, in seconds.
const PATIENCE: u64 = 400;
/// Those that are among the short tests.
const SHORT: [&str; 2] = ["mremap", "vm-splice"];

/// What is in use, by `/proc/scalvm`, and by how much that may be more afterwards than before: the shell that looks
/// is where it was by chance, the page cache has some pages more, and the kernel's pools some slabs.
const IN_USE: [(&str, u64); 12] = [
    ("amaps", 0),
    ("families", 0),
    ("objects", 4),
    ("entries", 2),
    ("maps", 0),
    ("loans", 0),
    ("nodes", 16),
    ("own_pages", 16),
    ("frames_anon", 16),
    ("frames_tables", 16),
    ("frames_kernel", 1024),
    ("committed", 16),
];
/// Pieces of a malloc type that may be in use besides: names of files that were looked at, say.
const PIECES: u64 = 32;

/// What a row has for how often the kernel ends the stressor, since it takes all memory.
const ENDED: &str = "ended";

/// A stressor, as the document has it.
struct Row {
    name: String,
    options: String,
    /// Counters, and what they must have moved by at least.
    moves: Vec<(String, u64)>,
}

/// Runs the tests.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    let mut test = |name: &str, body: &dyn Fn() -> Result<()>| {
        let name = format!("stress/{name}");
        if plan.wants(&name) {
            report.test(&name, body);
        }
    };
    test("list", &|| list(lab));
    let rows = document().and_then(|text| works(&text)).unwrap_or_default();
    for row in rows {
        if plan.long {
            test(&row.name, &|| stress(lab, &row, SECONDS.0));
        } else if SHORT.contains(&&row.name[..]) {
            test(&row.name, &|| stress(lab, &row, SECONDS.1));
        }
    }
}

fn document() -> Result<String> {
    let path = paths::root().join("docs/stress-ng.md");
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The rows of what works.
fn works(text: &str) -> Result<Vec<Row>> {
    let rows = rows(section(text, "Works")?);
    rows.map(|[name, options, moves]| row(name, options, moves).context(name.to_owned()))
        .collect()
}

fn row(name: &str, options: &str, moves: &str) -> Result<Row> {
    let bare = |text: &str| text.replace('`', "");
    let of = |pair: &str| {
        let (counter, least) = pair.trim().split_once(' ').context(pair.to_owned())?;
        let least = least.parse().with_context(|| pair.to_owned())?;
        // How much one takes until it is ended depends on how fast the machine is.
        ensure!(least > 0 || counter == ENDED, "{pair} moves always");
        Ok((counter.to_owned(), least))
    };
    let row = Row {
        name: bare(name),
        options: bare(options),
        moves: bare(moves).split(',').map(of).collect::<Result<_>>()?,
    };
    Ok(row)
}

/// The document names each stressor of the class once: it works, or it is told why it is left out.
fn list(lab: &Lab) -> Result<()> {
    let text = document()?;
    let mut named = BTreeSet::new();
    let left_out = rows(section(&text, "Left out")?).map(|[name, ..]| name.replace('`', ""));
    for name in works(&text)?
        .into_iter()
        .map(|row| row.name)
        .chain(left_out)
    {
        ensure!(named.insert(name.clone()), "{name} has two rows");
    }
    let (here, _) = guest(lab, "stress-ng --class 'vm?'", None)?;
    let there = here.output.split_once("stressors:").context("a list")?.1;
    let there: BTreeSet<String> = there.split_whitespace().map(str::to_owned).collect();
    ensure!(
        named == there,
        "no row: {:?}, no stressor: {:?}",
        there.difference(&named),
        named.difference(&there)
    );
    Ok(())
}

/// Runs a script in a guest with stress-ng. Tells how often memory ran out and the kernel ended a process of the
/// stressor that may take all there is, which is a complaint of any other.
fn guest(lab: &Lab, script: &str, taker: Option<&str>) -> Result<(Outcome, u64)> {
    let (here, notices) = lab
        .guest(&["/bin/sh", "-c", script])
        .packages(&["stress-ng"])?
        .mem(MEM)
        .swap(SWAP)
        .patience(PATIENCE)
        .run_telling()?;
    let mut complaints = Vec::new();
    let mut ended = 0;
    for line in &notices {
        match taker {
            // stress-ng tries calls that are not about memory as well.
            _ if line.contains("unknown system call") => {}
            Some(name) if ends(line, name) => ended += 1,
            Some(_) if is_of_table(line) => {}
            _ => complaints.push(line),
        }
    }
    ensure!(complaints.is_empty(), "the kernel said: {complaints:?}");
    Ok((here, ended))
}

/// Whether the kernel tells that it ends a process of a stressor.
fn ends(line: &str, stressor: &str) -> bool {
    // The kernel knows the first fifteen bytes of a name.
    let name: String = format!("stress-ng-{stressor}").chars().take(15).collect();
    line.starts_with("scalvm: out of memory: process ")
        && line.contains(&format!("({name}) is ended"))
}

/// Whether a line is of the table of what uses memory, which is told with that.
fn is_of_table(line: &str) -> bool {
    let words = line.strip_prefix("scalvm: ").unwrap_or("").trim_start();
    let first = words.split_whitespace().next().unwrap_or("");
    words.starts_with("memory in KiB: ") || first == "pid" || first.parse::<u32>().is_ok()
}

/// Runs a stressor. It must succeed, move what it is to move in that time, and leave nothing. A short run before it
/// fills caches. One that takes all memory is started again each time it is ended. stress-ng looks for processors in
/// /sys, and for file systems in /etc/mtab.
fn stress(lab: &Lab, row: &Row, seconds: u64) -> Result<()> {
    let ends = row.moves.iter().find(|(name, _)| name == ENDED);
    let oomable = if ends.is_some() { "" } else { "--oomable" };
    let script = format!(
        "mkdir -p /var/tmp/stress /sys/devices/system/cpu/cpu0/cache; ln -sf /proc/mounts /etc/mtab
         run() {{ stress-ng --{} 1 -t $1 --verify {oomable} --no-rand-seed \
                  --temp-path /var/tmp/stress {} 2>&1; }}
         look() {{ sleep 1; echo; echo \"look $1\"; cat /proc/scalvm
                   awk 'NR > 1 {{ print $1 \"()\", $2 - $3 }}' /proc/syscalls; cat /proc/malloctypes; }}
         run 2 >/dev/null; look before; run {seconds}; echo \"status $?\"; look after
         echo \"left: $(ls -A /var/tmp/stress)\"",
        row.name, row.options
    );
    let (here, ended) = guest(lab, &script, ends.map(|_| &row.name[..]))?;
    if let Some((_, least)) = ends {
        let least = least * seconds / SECONDS.0;
        ensure!(ended >= least, "it was ended {ended} times, not {least}");
    }
    judge(row, seconds, &here.output).with_context(|| here.output.clone())
}

/// What went on in a guest, by what it printed.
fn judge(row: &Row, seconds: u64, output: &str) -> Result<()> {
    let before = output
        .split_once("look before\n")
        .context("a first look")?
        .1;
    let (before, after) = before.split_once("look after\n").context("a second look")?;
    let (before, said) = before.split_once("stress-ng: ").context("a run")?;
    for word in ["fail:", "error:", "skip"] {
        ensure!(!said.contains(word), "it says {word}");
    }
    ensure!(said.contains("successful run completed"), "no success");
    ensure!(said.contains("status 0"), "its status is not 0");
    ensure!(output.trim_end().ends_with("left:"), "files are left");
    let (counts_before, types_before) = look(before)?;
    let (counts_after, types_after) = look(after)?;
    let count = |counts: &BTreeMap<&str, u64>, name: &str| counts.get(name).copied();
    for (name, least) in row.moves.iter().filter(|(name, _)| name != ENDED) {
        let least = (least * seconds / SECONDS.0).max(1);
        let now = count(&counts_after, name).with_context(|| format!("no count {name}"))?;
        let moved = now - count(&counts_before, name).unwrap_or(0);
        ensure!(moved >= least, "{name} has moved by {moved}, not {least}");
    }
    for (name, slack) in IN_USE {
        let [then, now] = [&counts_before, &counts_after].map(|counts| count(counts, name));
        let (then, now) = (then.context(name)?, now.context(name)?);
        ensure!(now <= then + slack, "{name}: {then} before, {now} after");
    }
    for (name, now) in types_after {
        let then = types_before.get(&name).copied().unwrap_or(0);
        ensure!(
            now <= then + PIECES,
            "{name}: {then} pieces before, {now} after"
        );
    }
    Ok(())
}

/// What a look tells: counts by name, and the pieces in use of each malloc type.
type Look<'a> = (BTreeMap<&'a str, u64>, BTreeMap<String, u64>);

/// Reads a look.
fn look(text: &str) -> Result<Look<'_>> {
    let at = text.find("Type ").context("malloc types")?;
    let (counts, types) = text.split_at(at);
    let types = types.split("left:").next().unwrap_or(types);
    let mut counts: BTreeMap<_, _> = counts.lines().filter_map(pair).collect();
    // Each page in memory or away has an anon; those of files come and go with the page cache.
    if let (Some(all), Some(files)) = (counts.get("anons"), counts.get("frames_file")) {
        counts.insert("own_pages", all.saturating_sub(*files));
    }
    Ok((counts, check_types(types.trim_end())?))
}

/// A line's name and number.
fn pair(line: &str) -> Option<(&str, u64)> {
    let (name, value) = line.split_once(' ')?;
    Some((name, value.parse().ok()?))
}
