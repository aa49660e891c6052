//! `cargo xtask allocators`: the manager's kernel memory beside other allocators.
//!
//! A program of its own does the work (`crates/scalvm-allocbench`); this builds it as a kernel is built,
//! for a fixed address, runs it under callgrind for instructions (twice: both must agree), by itself for
//! time, and once for each allocator for memory; and makes tables.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::bench::{ALLOCATORS, write_table};
use crate::cli::AllocatorsOptions;
use crate::paths;
use crate::setup;

/// The target whose flags are not those of the tools that build it.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Who does nothing: what the work itself takes.
const NOTHING: &str = "nothing";
/// Who needs no operating system.
const NO_STD: [&str; 4] = ["talc", "buddy_system_allocator", "slabmalloc", "rlsf"];
/// Who needs one.
const HOSTED: &str = "mimalloc";
/// Ours.
const OURS: &str = "scalvm";
/// By how much two of mimalloc's counts may differ.
const TOLERANCE: f64 = 0.03;
/// How many times as much as mimalloc we may take.
const AIM: f64 = 1.5;

/// Figures by row, in the rows' order, and by allocator.
#[derive(Default)]
struct Figures {
    rows: Vec<String>,
    values: BTreeMap<(String, String), f64>,
}

impl Figures {
    fn add(&mut self, row: &str, name: &str, value: f64) {
        if !self.rows.iter().any(|known| known == row) {
            self.rows.push(row.to_owned());
        }
        self.values.insert((row.to_owned(), name.to_owned()), value);
    }

    /// Fails where another count of the same differs: at all for what is deterministic, by some for
    /// mimalloc, which draws random numbers and looks at the clock.
    fn agrees_with(&self, other: &Figures) -> Result<()> {
        for ((row, name), value) in &self.values {
            let again = other.values.get(&(row.clone(), name.clone()));
            let again = again.with_context(|| format!("{name} has no count of {row:?}"))?;
            let most = if name == HOSTED {
                value * TOLERANCE
            } else {
                0.0
            };
            ensure!(
                (value - again).abs() <= most,
                "two counts of {row:?} differ for {name}: {value} and {again}"
            );
        }
        Ok(())
    }

    /// What an allocator takes, without what the work takes by itself.
    fn get(&self, row: &str, name: &str) -> Option<f64> {
        let value = |name: &str| self.values.get(&(row.to_owned(), name.to_owned())).copied();
        Some(value(name)? - value(NOTHING)?)
    }

    /// Our figure to the best of the allocators that need no system, and to mimalloc's.
    fn ratios(&self, row: &str) -> Option<(f64, f64)> {
        let ours = self.get(row, OURS)?;
        let peers = NO_STD.iter().filter_map(|name| self.get(row, name));
        let best = peers.min_by(f64::total_cmp)?;
        Some((ours / best, ours / self.get(row, HOSTED)?))
    }
}

/// Measures, prints the tables, and puts them into the document if that is asked for. The status is 0
/// whatever the figures are.
pub fn allocators(options: AllocatorsOptions) -> Result<u8> {
    setup::ensure(&setup::VALGRIND)?;
    let program = build()?;
    let names = output(Command::new(&program).arg("names"))?;
    let names: Vec<&str> = names.lines().collect();
    let instructions = count(&program, &names)?;
    instructions.agrees_with(&count(&program, &names)?)?;
    let time = time(&program)?;
    let mut text = String::from("Instructions for a piece, allocated and freed:\n\n");
    text += &table(&instructions, 0);
    for (threads, title) in [("1", "one thread"), ("2", "two threads at once")] {
        text += &format!("\nNanoseconds of a processor for a piece, {title}:\n\n");
        text += &table(&time[threads], 1);
    }
    text += &memory(&program, &names)?;
    print!("{text}");
    if options.write {
        write_table(&ALLOCATORS, &text)?;
    }
    Ok(0)
}

/// Builds the program, and tells where it is.
fn build() -> Result<PathBuf> {
    let status = Command::new("cargo")
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "scalvm-allocbench",
        ])
        .args(["--target", TARGET, "--manifest-path"])
        .arg(paths::root().join("Cargo.toml"))
        .env("RUSTFLAGS", "-C relocation-model=static")
        .status()
        .context("starting cargo for scalvm-allocbench")?;
    ensure!(status.success(), "scalvm-allocbench was not built");
    let folder = paths::target().join(TARGET).join("release");
    Ok(folder.join("scalvm-allocbench"))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Counts instructions.
fn count(program: &Path, names: &[&str]) -> Result<Figures> {
    let folder = paths::work()?.join("allocators");
    let mut figures = Figures::default();
    for name in names {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--quiet", "--tool=callgrind", "--separate-threads=yes"])
            .arg(format!(
                "--callgrind-out-file={}",
                folder.join("out").display()
            ))
            .arg(program)
            .args(["count", name]);
        output(&mut valgrind)?;
        for (row, (instructions, pieces)) in dumps(&folder)? {
            figures.add(&row, name, instructions as f64 / pieces as f64);
        }
    }
    Ok(figures)
}

/// What callgrind wrote, in that order: for each row its instructions and pieces.
fn dumps(folder: &Path) -> Result<Vec<(String, (u64, u64))>> {
    // out.NUMBER-THREAD; those without a number tell of the rest.
    let mut dumps = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_prefix("out.")?.split('-').next());
        if let Some(number) = number {
            dumps.push((number.parse::<u32>()?, path));
        }
    }
    dumps.sort();
    let mut rows: Vec<(String, (u64, u64))> = Vec::new();
    for (_, path) in dumps {
        let text = fs::read_to_string(path)?;
        let after = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
        let Some(request) = after("desc: Trigger: Client Request: ") else {
            continue;
        };
        let (row, pieces) = request.split_once('\t').context("a row and its pieces")?;
        let instructions: u64 = after("totals: ").context("totals")?.trim().parse()?;
        let pieces: u64 = pieces.parse()?;
        match rows.iter_mut().find(|(known, _)| known == row) {
            Some((_, sums)) => *sums = (sums.0 + instructions, sums.1 + pieces),
            None => rows.push((row.to_owned(), (instructions, pieces))),
        }
    }
    Ok(rows)
}

/// Measures time; by the number of threads.
fn time(program: &Path) -> Result<BTreeMap<String, Figures>> {
    let mut figures = BTreeMap::<String, Figures>::new();
    for line in output(Command::new(program).arg("time"))?.lines() {
        let [threads, row, name, time] = line.split('\t').collect::<Vec<_>>()[..] else {
            bail!("not a line of times: {line:?}");
        };
        let figures = figures.entry(threads.to_owned()).or_default();
        figures.add(row, name, time.parse()?);
    }
    Ok(figures)
}

/// A table of figures with so many digits behind the point, and a sentence about those that miss.
fn table(figures: &Figures, digits: usize) -> String {
    let mut text = format!("| | {OURS} |");
    let mut rule = "|---|---:|".to_owned();
    for name in NO_STD.iter().chain([&HOSTED]) {
        text += &format!(" {name} |");
        rule += "---:|";
    }
    text += &format!(" to the best no_std | to mimalloc |\n{rule}---:|---:|\n");
    let mut behind = Vec::new();
    for row in &figures.rows {
        text += &format!("| {row} |");
        for name in [OURS].iter().chain(&NO_STD).chain([&HOSTED]) {
            match figures.get(row, name) {
                Some(value) => text += &format!(" {value:.digits$} |"),
                None => text += " - |",
            }
        }
        match figures.ratios(row) {
            Some((best, hosted)) => {
                text += &format!(" {best:.2} | {hosted:.2} |\n");
                if best >= 1.0 || hosted > AIM {
                    behind.push(format!("{row} ({best:.2}, {hosted:.2})"));
                }
            }
            None => text += " - | - |\n",
        }
    }
    text += &match behind.len() {
        0 => format!(
            "\nIn every row ahead of all others without a system, and within {AIM} of mimalloc.\n"
        ),
        _ => format!(
            "\nBehind one without a system, or above {AIM} of mimalloc: {}.\n",
            behind.join(", ")
        ),
    };
    text
}

/// What is held over the mixed trace.
fn memory(program: &Path, names: &[&str]) -> Result<String> {
    let mut text = "\nPages held, for each byte asked for, over the mixed trace:\n\n\
                    | | median | worst |\n|---|---:|---:|\n"
        .to_owned();
    for name in names.iter().filter(|name| **name != NOTHING) {
        let line = output(Command::new(program).args(["memory", name]))?;
        let (median, worst) = line.trim().split_once('\t').context("median and worst")?;
        text += &format!("| {name} | {median} | {worst} |\n");
    }
    Ok(text)
}
