//! `cargo xtask bench`: vmbench in a guest, beside Linux's figures.
//!
//! [`figures`] reads vmbench's lines, [`table`] sets them side by side, [`swap`] does so for the
//! tests of swapping, [`mod@profile`] tells where the instructions of one test go.

mod figures;
mod profile;
mod swap;
mod table;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cli::BenchOptions;
use crate::machine::{self, Config, End, Input, Memory, Scratch};
use crate::{build, image, paths, setup};
use figures::Figures;
use table::Peer;

pub use profile::profile;

/// The guest's memory, as in Linux's measurements.
const MEM: u64 = 1 << 30;
/// How long the measurements may take.
const PATIENCE: Duration = Duration::from_secs(3600);
/// The document that the tables stand in, and the lines around them.
const DOCUMENT: &str = "docs/performance.md";
const TABLE: Place = Place {
    begin: "<!-- table: begin (cargo xtask bench --write) -->",
    end: "<!-- table: end -->",
};
const SWAP_TABLE: Place = Place {
    begin: "<!-- swapping: begin (cargo xtask bench --write) -->",
    end: "<!-- swapping: end -->",
};

/// The tables of `cargo xtask allocators`.
pub const ALLOCATORS: Place = Place {
    begin: "<!-- allocators: begin (cargo xtask allocators --write) -->",
    end: "<!-- allocators: end -->",
};

/// Where a table stands in the document: between these lines.
pub struct Place {
    begin: &'static str,
    end: &'static str,
}

/// Runs vmbench and prints the table; the status is 1 if a test failed.
pub fn bench(options: BenchOptions) -> Result<u8> {
    let peers = peers()?;
    let raw = measure(&options.patterns)?;
    if let Some(file) = &options.raw {
        fs::write(file, &raw).with_context(|| file.display().to_string())?;
    }
    let ours = Figures::parse(&raw);
    let text = table::table(&ours, &peers) + &table::summary(&ours, &peers);
    print!("{text}");
    // The rows that need a guest of their own.
    let swap = &options.patterns;
    let swap = swap.is_empty() || swap.iter().any(|pattern| pattern.starts_with("swap"));
    let swap = swap.then(swap::table).transpose()?;
    if let Some(swap) = &swap {
        print!("\n{swap}");
    }
    if options.write {
        write(&text, swap.as_deref())?;
    }
    Ok(u8::from(ours.failed().next().is_some()))
}

/// Linux's results, the lean kernels first.
fn peers() -> Result<Vec<Peer>> {
    let read = |name: &str| -> Result<Figures> {
        let file = paths::root().join("bench/vmbench/results").join(name);
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(Figures::parse(&text))
    };
    let lean = |version: &str| -> Result<Peer> {
        let mut figures = read(&format!("x86_64-icount-lean-{version}.txt"))?;
        figures.replace_bytes(read(&format!("x86_64-bytes-lean-{version}.txt"))?);
        Ok(Peer {
            title: format!("Linux {version}, lean"),
            lean: true,
            figures,
        })
    };
    let mut debian = read("x86_64-icount-debian-6.1-nomitigations-nothp.txt")?;
    // Memory was only measured apart, on the lean kernels.
    debian.replace_bytes(Figures::default());
    let title = "Debian 6.1".to_owned();
    Ok(vec![
        lean("6.1")?,
        lean("6.12")?,
        Peer {
            title,
            lean: false,
            figures: debian,
        },
    ])
}

/// Runs vmbench in a guest whose time is counted in instructions; its lines.
fn measure(patterns: &[String]) -> Result<String> {
    let scratch = Scratch::new()?;
    let config = config(&scratch, [&["/bin/vmbench".to_owned()], patterns].concat())?;
    let memory = Memory::default();
    let output = Tee {
        memory: memory.clone(),
    };
    let finished = machine::run(&config, Input::Empty, Box::new(output))?;
    finished.end.tell();
    // A failed test makes vmbench's status 1, and has its own line.
    if !matches!(finished.end, End::Exited(0 | 1)) {
        bail!("vmbench did not come to its end");
    }
    Ok(String::from_utf8_lossy(&memory.take()).into_owned())
}

/// A guest for measurements.
fn config(scratch: &Scratch, program: Vec<String>) -> Result<Config> {
    let root = scratch.path("root");
    image::default_root()?.write_to(&root)?;
    let program = program.into_iter().map(Into::into).collect();
    Ok(Config {
        mem: MEM,
        icount: true,
        timeout: Some(PATIENCE),
        notices: true,
        ..Config::new(
            setup::ensure(&setup::QEMU)?,
            build::kernel()?,
            root,
            program,
        )
    })
}

/// Puts the tables into the document, in place of those there.
fn write(text: &str, swap: Option<&str>) -> Result<()> {
    let file = paths::root().join(DOCUMENT);
    let old = match fs::read_to_string(&file) {
        Ok(old) => old,
        Err(error) => return Err(error).context(DOCUMENT),
    };
    let mut new = replace_table(&old, &TABLE, text)?;
    if let Some(swap) = swap {
        new = replace_table(&new, &SWAP_TABLE, swap)?;
    }
    fs::write(&file, new)?;
    Ok(())
}

/// Puts one table into the document, in place of that there.
pub fn write_table(place: &Place, table: &str) -> Result<()> {
    let file = paths::root().join(DOCUMENT);
    let old = fs::read_to_string(&file).context(DOCUMENT)?;
    fs::write(&file, replace_table(&old, place, table)?)?;
    Ok(())
}

/// A document with another table between its markers.
fn replace_table(document: &str, place: &Place, table: &str) -> Result<String> {
    let Place { begin, end } = place;
    let parts = document
        .split_once(begin)
        .and_then(|(head, rest)| Some((head, rest.split_once(end)?.1)));
    match parts {
        Some((head, tail)) => Ok(format!("{head}{begin}\n\n{table}\n{end}{tail}")),
        None => bail!("{DOCUMENT} has no lines {begin:?} and {end:?}"),
    }
}

/// Output that is kept, and shown on standard error as it comes.
struct Tee {
    memory: Memory,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(bytes)?;
        self.memory.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Makes a named pipe, by the system's own command.
fn make_pipe(path: &Path) -> Result<()> {
    let status = std::process::Command::new("mkfifo")
        .arg(path)
        .status()
        .context("mkfifo")?;
    if !status.success() {
        bail!("mkfifo {}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_table_is_replaced() {
        let Place { begin, end } = TABLE;
        let old = format!("# Head\n{begin}\nold\n{end}\ntail\n");
        let new = replace_table(&old, &TABLE, "| new |\n").expect("markers");
        assert_eq!(new, format!("# Head\n{begin}\n\n| new |\n\n{end}\ntail\n"));
        assert_eq!(
            replace_table(&new, &TABLE, "| new |\n").expect("markers"),
            new
        );
        assert!(replace_table("# Head\n", &TABLE, "x").is_err());
    }

    #[test]
    fn the_peers_are_there() {
        let peers = peers().expect("files");
        for peer in &peers[..2] {
            assert!(
                peer.figures
                    .get("fork_0m")
                    .is_some_and(|figure| figure > 1000.0)
            );
            assert!(
                peer.figures
                    .get("page_bytes")
                    .is_some_and(|figure| figure > 4000.0)
            );
        }
        assert!(peers[2].figures.get("page_bytes").is_none());
    }
}
