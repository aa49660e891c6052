//! Replays recorded page references and prints, for each size of memory, which share of them missed.
//!
//! The references are carried out by a processor of the emulated machine, on a file or on anonymous
//! memory with swap; faults, the page daemon and its policies are the manager's own. Beside
//! that stand the best that can be done (Belady's OPT) and LRU, both exact.
//!
//! [`trace`] reads the file, [`bounds`] computes OPT and LRU, [`replay`] runs the manager, and
//! [`chart`] draws.

mod bounds;
mod chart;
mod replay;
mod trace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use scalvm::PolicyKind;

/// Replay recorded page references through the page daemon, and print the miss ratios
#[derive(Parser)]
#[command(name = "cargo xtask trace", bin_name = "cargo xtask trace")]
struct Options {
    /// The recorded references, plain or compressed by gzip: one block number a line (lines with `*`
    /// are marks), or a hexadecimal byte address and R or W
    file: PathBuf,
    /// The sizes of memory, in pages; 5, 10, 20 and 40 % of the distinct pages
    #[arg(long, value_name = "N,N,…", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(3..))]
    frames: Vec<u32>,
    /// The policy; both
    #[arg(long)]
    policy: Option<Policy>,
    /// Anonymous memory with swap instead of a file
    #[arg(long)]
    anonymous: bool,
    /// Map the file and load from it, as is done for a file of addresses; one of blocks is read by
    /// the kernel
    #[arg(long)]
    mapped: bool,
    /// Draw the curves into this file
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    Clock,
    ClockPro,
}

impl Policy {
    fn kind(self) -> PolicyKind {
        match self {
            Policy::Clock => PolicyKind::Clock,
            Policy::ClockPro => PolicyKind::ClockPro,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Policy::Clock => "clock",
            Policy::ClockPro => "CLOCK-Pro",
        }
    }
}

/// The miss ratios of one policy, in percent, one for each size of memory.
struct Curve {
    name: &'static str,
    ratios: Vec<f64>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = Options::parse();
    let trace = trace::read(&options.file)
        .with_context(|| format!("reading references from {}", options.file.display()))?;
    let mut frames = options.frames.clone();
    if frames.is_empty() {
        frames = [5, 10, 20, 40]
            .map(|part| trace.pages * part / 100)
            .to_vec();
        frames.retain(|&frames| frames >= 3);
        ensure!(
            !frames.is_empty(),
            "{} pages are too few: say --frames",
            trace.pages
        );
    }
    frames.sort_unstable();
    frames.dedup();
    println!(
        "{} references to {} pages",
        trace.references.len(),
        trace.pages
    );

    let policies = match options.policy {
        Some(policy) => vec![policy],
        None => vec![Policy::Clock, Policy::ClockPro],
    };
    let curve = |name, misses: &dyn Fn(u32) -> Result<u64>| -> Result<Curve> {
        let ratio =
            |&frames: &u32| Ok(misses(frames)? as f64 * 100.0 / trace.references.len() as f64);
        let ratios = frames.iter().map(ratio).collect::<Result<_>>()?;
        Ok(Curve { name, ratios })
    };
    let mut curves = vec![
        curve("OPT", &|frames| Ok(bounds::best(&trace, frames)))?,
        curve("LRU", &|frames| Ok(bounds::lru(&trace, frames)))?,
    ];
    for policy in policies {
        let replay = |frames| {
            let how = match (options.anonymous, options.mapped || trace.memory) {
                (true, _) => replay::How::Anonymous,
                (_, true) => replay::How::Mapped,
                _ => replay::How::Read,
            };
            replay::misses(&trace, frames, policy.kind(), how)
                .with_context(|| format!("replaying with {frames} pages of memory"))
        };
        curves.push(curve(policy.name(), &replay)?);
    }

    print!("{:>8}", "frames");
    curves.iter().for_each(|curve| print!("{:>11}", curve.name));
    println!("   misses in percent");
    for (row, frames) in frames.iter().enumerate() {
        print!("{frames:>8}");
        curves
            .iter()
            .for_each(|curve| print!("{:>11.3}", curve.ratios[row]));
        println!();
    }
    if let Some(out) = &options.svg {
        let title = options
            .file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        std::fs::write(out, chart::draw(&title, &frames, &curves))
            .with_context(|| format!("writing {}", out.display()))?;
    }
    Ok(())
}
