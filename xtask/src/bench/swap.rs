//! The cost of swapping: vmbench's tests with more memory in use than there is, beside Linux's
//! figures from the same machine.
//!
//! Waiting for the disk is no instruction: vmbench takes the idle time out (`-x`), and tells in
//! remarks how many pages went each way.

use std::fs;

use anyhow::{Context, Result, bail};

use super::figures::Figures;
use crate::machine::{self, Config, End, Input, Memory, Paging, Scratch};
use crate::paths;

/// The guest's memory.
const MEM: u64 = 64 << 20;
/// Working sets, in MiB.
const SETS: [u64; 2] = [96, 256];

/// One side's result for a working set.
struct Side {
    figures: Figures,
    text: String,
}

impl Side {
    fn parse(text: String) -> Self {
        Self {
            figures: Figures::parse(&text),
            text,
        }
    }

    /// Pages read and written for each operation of a test.
    fn traffic(&self, test: &str) -> Option<[f64; 2]> {
        let start = format!("# {test}: for each operation ");
        let line = self
            .text
            .lines()
            .find_map(|line| line.strip_prefix(&start))?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let value = |key: &str| {
            let at = words.iter().position(|word| *word == key)?;
            words.get(at + 1)?.parse().ok()
        };
        Some([value("pswpin")?, value("pswpout")?])
    }
}

/// Measures, and returns the table.
pub fn table() -> Result<String> {
    let mut text =
        "| test | Scalvm | Linux 6.1, lean | ratio | pages read | Linux | pages written \
                    | Linux |\n|---|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for set in SETS {
        let (ours, linux) = (measure(set)?, peer(set)?);
        text += &rows(set, &ours, &linux)?;
    }
    Ok(text)
}

/// A row for each test with a working set.
fn rows(set: u64, ours: &Side, linux: &Side) -> Result<String> {
    let mut text = String::new();
    for test in ours.figures.names() {
        let figure = |side: &Side| side.figures.get(test).zip(side.traffic(test));
        let Some(((here, pages), (there, their_pages))) = figure(ours).zip(figure(linux)) else {
            bail!("{test} with {set} MiB has no figures on both sides");
        };
        text += &format!(
            "| `{test}`, {set} MiB | {here:.0} | {there:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |\n",
            here / there,
            pages[0],
            their_pages[0],
            pages[1],
            their_pages[1],
        );
    }
    Ok(text)
}

/// Linux's result.
fn peer(set: u64) -> Result<Side> {
    let name = format!("x86_64-icount-swap-{set}-lean-6.1.txt");
    let file = paths::root().join("bench/vmbench/results").join(name);
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    Ok(Side::parse(text))
}

/// Runs the tests in a guest.
fn measure(set: u64) -> Result<Side> {
    let scratch = Scratch::new()?;
    let program = ["/bin/vmbench", "-x", "-w", &set.to_string(), "swap_*"];
    let program = program.map(str::to_owned).to_vec();
    let config = Config {
        mem: MEM,
        waits: true,
        disks: vec![scratch.sparse("swap", (2 * set) << 20)?.into()],
        paging: Paging {
            swap_disk: Some(0),
            ..Paging::default()
        },
        ..super::config(&scratch, program)?
    };
    let memory = Memory::default();
    let output = super::Tee {
        memory: memory.clone(),
    };
    let finished = machine::run(&config, Input::Empty, Box::new(output))?;
    finished.end.tell();
    if finished.end != End::Exited(0) {
        bail!("vmbench did not come to its end");
    }
    let text = String::from_utf8_lossy(&memory.take()).into_owned();
    Ok(Side::parse(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_traffic_stand_side_by_side() {
        let result = |figure: f64| {
            Side::parse(format!(
                "# swap_seq: for each operation pswpin 1.000 pswpout 0.500 idle_ns 7\n\
                 swap_seq 100 {figure} 1 1 1\n"
            ))
        };
        let text = rows(96, &result(50.0), &result(100.0)).expect("figures");
        assert_eq!(
            text,
            "| `swap_seq`, 96 MiB | 50 | 100 | 0.50 | 1.00 | 1.00 | 0.50 | 0.50 |\n"
        );
        assert!(rows(96, &result(1.0), &Side::parse(String::new())).is_err());
    }

    #[test]
    fn the_peers_are_there() {
        for set in SETS {
            let peer = peer(set).expect("a file");
            for test in ["swap_fill", "swap_seq", "swap_random"] {
                assert!(peer.figures.get(test).is_some_and(|figure| figure > 1000.0));
                assert!(peer.traffic(test).is_some_and(|pages| pages[1] > 0.1));
            }
        }
    }
}
