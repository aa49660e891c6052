//! The figures in vmbench's lines: `name iterations ns_per_op ticks_per_op min max`, or
//! `name FAILED reason`; lines that begin with `#` are remarks.

/// One test's line.
#[derive(Clone, Debug, PartialEq)]
enum Line {
    /// Instructions an operation, or bytes.
    Figure(f64),
    /// It could not run.
    Failed(String),
}

/// A result of vmbench, in the order of its lines.
#[derive(Default)]
pub struct Figures {
    lines: Vec<(String, Line)>,
}

impl Figures {
    /// Reads a result; what is not a line of it is passed over.
    pub fn parse(text: &str) -> Self {
        let mut lines = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let [name, "FAILED", ..] = words[..] {
                lines.push((name.to_owned(), Line::Failed(words[2..].join(" "))));
            } else if let [name, _, figure, ..] = words[..]
                && words.len() == 6
                && let Ok(figure) = figure.parse()
            {
                lines.push((name.to_owned(), Line::Figure(figure)));
            }
        }
        Self { lines }
    }

    /// The names of the tests, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|(name, _)| &name[..])
    }

    /// A test's figure, if it has one.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.lines.iter().find_map(|(other, line)| match line {
            Line::Figure(figure) if other == name => Some(*figure),
            _ => None,
        })
    }

    /// The tests that failed.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|(name, line)| match line {
            Line::Failed(_) => Some(&name[..]),
            Line::Figure(_) => None,
        })
    }

    /// Takes the tests whose figures are bytes from another result.
    pub fn replace_bytes(&mut self, other: Self) {
        self.lines.retain(|(name, _)| !is_bytes(name));
        self.lines
            .extend(other.lines.into_iter().filter(|(name, _)| is_bytes(name)));
    }
}

/// Whether a test's figure is bytes, not time.
fn is_bytes(name: &str) -> bool {
    name.ends_with("_bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# begin\nsys_null 50000 215.04 215.04 215.00 216.00\npage_bytes 16384 4100.50 \
                        0.00 1 2\nexec_fork FAILED signal 11\nnoise\na b c d e f\n";

    #[test]
    fn lines_of_vmbench() {
        let mut figures = Figures::parse(TEXT);
        assert_eq!(
            figures.names().collect::<Vec<_>>(),
            ["sys_null", "page_bytes", "exec_fork"]
        );
        assert_eq!(figures.get("sys_null"), Some(215.04));
        assert_eq!(figures.get("exec_fork"), None);
        assert_eq!(figures.failed().collect::<Vec<_>>(), ["exec_fork"]);
        figures.replace_bytes(Figures::parse("page_bytes 1 4096.00 0 0 0\nx 1 1 1 1 1\n"));
        assert_eq!(figures.get("page_bytes"), Some(4096.0));
        assert_eq!(figures.get("x"), None);
    }
}
