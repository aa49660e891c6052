//! Tables that the kernel tells of at its end, made fit to be read.
//!
//! A line of the control port is `table NAME ROW`; a row's words are separated by spaces, and the first
//! row has the names of the columns. Numbers stand to the right, and a row of which all numbers are 0
//! is left out.

use std::fmt;

/// A table, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    name: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Adds a row to the table it names first.
    pub fn add(tables: &mut Vec<Table>, line: &str) {
        let (name, row) = line.split_once(' ').unwrap_or((line, ""));
        let words = words(row);
        if words.is_empty() {
            return;
        }
        match tables.iter_mut().find(|table| table.name == name) {
            Some(table) => table.rows.push(words),
            None => tables.push(Table {
                name: name.to_owned(),
                rows: vec![words],
            }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its rows but for the names of the columns.
    pub fn rows(&self) -> &[Vec<String>] {
        self.rows.get(1..).unwrap_or_default()
    }

    /// The rows that have anything to tell, and the names of the columns.
    fn shown(&self) -> impl Iterator<Item = &Vec<String>> {
        let tells = |row: &Vec<String>| {
            let words = row.iter().skip(1);
            words
                .filter(|word| is_number(word))
                .any(|word| word != "0" && word != "-")
        };
        let head = self.rows.first();
        head.into_iter()
            .chain(self.rows().iter().filter(move |row| tells(row)))
    }
}

/// The words of a row. What Linux's format of slabs has between its columns is left out.
fn words(row: &str) -> Vec<String> {
    const BETWEEN: [&str; 4] = ["#", ":", "tunables", "slabdata"];
    if row.starts_with("slabinfo - version") {
        return Vec::new();
    }
    row.split_whitespace()
        .filter(|word| !BETWEEN.contains(word))
        .map(|word| word.trim_matches(['<', '>']).to_owned())
        .collect()
}

/// Whether a word is a number, or stands for none.
fn is_number(word: &str) -> bool {
    word == "-" || word.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = self.shown().collect();
        if rows.len() < 2 {
            return Ok(());
        }
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(String::len).max().unwrap_or(0)
        };
        writeln!(f, "{}:", self.name)?;
        for row in &rows {
            for (column, cell) in row.iter().enumerate() {
                let width = width(column);
                let below = rows.get(1).and_then(|row| row.get(column));
                let to_the_right = below.is_some_and(|cell| is_number(cell));
                match () {
                    _ if to_the_right => write!(f, "  {cell:>width$}")?,
                    _ if column + 1 == row.len() => write!(f, "  {cell}")?,
                    _ => write!(f, "  {cell:<width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_tables() {
        let mut tables = Vec::new();
        for line in [
            "malloctypes Type InUse Limit Size:InUse",
            "malloctypes rust 12 - 64:12",
            "malloctypes idle 0 - -",
            "slabinfo slabinfo - version: 2.1",
            "slabinfo # name <active_objs> : tunables <limit> : slabdata <num_slabs>",
            "slabinfo anon 1200 : tunables 16 : slabdata 3",
        ] {
            Table::add(&mut tables, line);
        }
        assert_eq!(
            tables[0].to_string(),
            "malloctypes:\n  Type  InUse  Limit  Size:InUse\n  rust     12      -  64:12\n"
        );
        assert_eq!(
            tables[1].to_string(),
            "slabinfo:\n  name  active_objs  limit  num_slabs\n  anon         1200     16          3\n"
        );
        assert_eq!(
            (tables[0].name(), tables[0].rows().len()),
            ("malloctypes", 2)
        );
    }
}
