//! Recorded references, as numbers of pages without gaps.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use flate2::bufread::MultiGzDecoder;

/// What was recorded.
#[derive(Debug)]
pub struct Trace {
    /// The pages that were referred to, one after the other.
    pub references: Vec<u32>,
    /// How many different ones there are: all numbers below are used.
    pub pages: u32,
    /// Whether they are accesses to memory, not reads of blocks.
    pub memory: bool,
}

/// Reads a file, compressed or not.
pub fn read(path: &Path) -> Result<Trace> {
    let mut file = BufReader::new(File::open(path)?);
    let compressed = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let bytes: Box<dyn Read> = if compressed {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    parse(BufReader::new(bytes))
}

fn parse(lines: impl BufRead) -> Result<Trace> {
    let (mut references, mut numbers) = (Vec::new(), HashMap::new());
    let mut memory = false;
    for (n, line) in lines.lines().enumerate() {
        let line = line.with_context(|| format!("line {}", n + 1))?;
        let line = line.trim();
        if line.is_empty() || line.contains('*') {
            continue;
        }
        let block = block(line).with_context(|| format!("line {}: {line:?}", n + 1))?;
        memory |= line.ends_with(['R', 'W']);
        let next = numbers.len();
        let number = *numbers.entry(block).or_insert(next as u32);
        ensure!(next < 1 << 24, "more than 2^24 pages");
        references.push(number);
    }
    if references.is_empty() {
        bail!("there is no reference in it");
    }
    Ok(Trace {
        references,
        pages: numbers.len() as u32,
        memory,
    })
}

/// The block or page of one line.
fn block(line: &str) -> Result<u64> {
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(block), None, None) => block.parse().context("not the number of a block"),
        (Some(address), Some("R" | "W"), None) => {
            let digits = address.strip_prefix("0x").unwrap_or(address);
            let address = u64::from_str_radix(digits, 16).context("not a hexadecimal address")?;
            Ok(address / 4096)
        }
        _ => bail!("neither the number of a block nor an address and R or W"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn both_forms_and_marks() {
        let trace = parse("7\n* a mark\n9\n\n7\n".as_bytes()).unwrap();
        assert_eq!((trace.references, trace.pages), (vec![0, 1, 0], 2));
        let trace = parse("0041f7a0 R\n0x41f000 W\n13f5e2c0 R\n".as_bytes()).unwrap();
        assert_eq!((trace.references, trace.pages), (vec![0, 0, 1], 2));
    }

    #[test]
    fn what_is_none_is_refused_with_its_line() {
        for (text, said) in [
            ("", "no reference"),
            ("*\n", "no reference"),
            ("1\nx\n", "line 2: \"x\""),
            ("1\n-2\n", "line 2"),
            ("1 2\n", "line 1"),
            ("12g R\n", "line 1"),
            ("12 R W\n", "line 1"),
        ] {
            let error = format!("{:#}", parse(text.as_bytes()).unwrap_err());
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }

    #[test]
    fn compressed_files_are_known_by_their_contents() {
        let path = std::env::temp_dir().join(format!("scalvm-trace-{}", std::process::id()));
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        coder.write_all(b"1\n2\n1\n").unwrap();
        let bytes = coder.finish().unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let whole = read(&path);
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        let torn = read(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(whole.unwrap().references, [0, 1, 0]);
        assert!(torn.is_err());
    }
}
