//! The lines that tests leave.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Counts tests and prints a line for each.
#[derive(Default)]
pub struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// Runs one test.
    pub fn test(&mut self, name: &str, body: impl FnOnce() -> Result<()>) {
        let start = Instant::now();
        let result = body();
        self.line(name, result, Some(start.elapsed()));
    }

    /// Takes the result of a test that was run elsewhere.
    pub fn line(&mut self, name: &str, result: Result<()>, took: Option<Duration>) {
        let took = took.map_or(String::new(), |took| {
            format!(" ({:.1} s)", took.as_secs_f64())
        });
        match result {
            Ok(()) => {
                self.passed += 1;
                println!("ok      {name}{took}");
            }
            Err(error) => {
                self.failed += 1;
                println!("FAILED  {name}{took}");
                for line in format!("{error:#}").lines() {
                    println!("        {line}");
                }
            }
        }
    }

    /// Prints the closing line; the status that the command ends with.
    pub fn close(self) -> u8 {
        println!("{} passed, {} failed", self.passed, self.failed);
        u8::from(self.failed > 0 || self.passed == 0)
    }
}
