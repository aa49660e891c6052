//! What is held: pages, as a fraction of the bytes asked for, over the mixed trace.

use crate::subject::subject;
use crate::trace::{Step, Trace};

/// Looks at memory after so many steps, each time.
const EVERY: usize = 200;

/// Prints the median and the worst of what pages held to what was asked for.
///
/// For the manager that is what it has taken for kernel memory. The others do not tell: theirs is what
/// this process has touched since the trace began.
pub fn memory(name: &str) {
    let subject = subject(name);
    let trace = Trace::new();
    let mut pieces = vec![std::ptr::null_mut(); trace.places()];
    let mut ratios = Vec::with_capacity(trace.steps().len() / EVERY + 1);
    let before = resident();
    let mut asked = 0;
    for (n, step) in trace.steps().iter().enumerate() {
        match *step {
            Step::Alloc { place, layout } => {
                let piece = subject.alloc(layout);
                assert!(!piece.is_null(), "memory has ended");
                // SAFETY: a new piece of this size.
                unsafe { piece.write_bytes(1, layout.size()) };
                pieces[place] = piece;
                asked += layout.size();
            }
            Step::Free { place, layout } => {
                // SAFETY: a trace frees what it has allocated, once.
                unsafe { subject.dealloc(pieces[place], layout) };
                asked -= layout.size();
            }
        }
        // Before there is much, and when most is gone, the fraction tells nothing.
        if n % EVERY == 0 && asked > 1 << 20 {
            let held = subject.held().unwrap_or_else(|| resident() - before);
            ratios.push(held as f64 / asked as f64);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let (median, worst) = (ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
    println!("{median:.3}\t{worst:.3}");
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("what Linux tells of a process");
    let pages = text.split_whitespace().nth(1).and_then(|n| n.parse().ok());
    pages.map_or(0, |pages: usize| pages * 4096)
}
