//! A conformance suite for page-table ports: whether a [`Pmap`](scalvm::Pmap) keeps its contract.
//!
//! Implement [`Port`] for what your port runs on, and in a test call
//!
//! ```text
//! scalvm_testkit::conformance::run(MyPort::new);
//! ```
//!
//! Each rule of the contract is a check of its own, named after it, on a machine of its own; then
//! come random programs, compared with a map that a child could keep. With an [`Mmu`] the suite
//! also loads and stores through the page tables on two processors, and so finds debts that cover
//! too little; without one it can only ask the port itself.
//!
//! | rule | where |
//! |---|---|
//! | safety 1: exactly the rights given, on the frame given | `enter`, `random` |
//! | safety 2: debts cover what became stale | `ranges`, `random` |
//! | safety 3: tables are freed through debts | `watch` |
//! | safety 4: dirty bits are not lost | `ranges`, `random` |
//! | what each function says of itself | `life`, `enter`, `ranges` |
//! | several processors at once | `parallel` |
//! | the kernel's own space, if there is one | `kernel` |
//! | large leaves, if there are any: each part by itself, and split without memory | `large`, `random` |
//!
//! Of the general rules of pmap(9) these are the manager's duty and not the port's: to bring a
//! mapping back that was forgotten, to pay before a frame is used anew.

mod enter;
mod exam;
mod kernel;
mod large;
mod life;
mod parallel;
mod port;
mod random;
mod ranges;
mod watch;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use exam::Exam;
pub use port::{Mmu, Port};

/// A check and its name.
type Check<P> = (&'static str, fn(&Exam<P>));

/// A rule that a port breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The name of the check.
    pub check: &'static str,
    /// What it found.
    pub found: String,
}

/// Runs all checks, each on a port of its own. Panics where some fail, and names them.
pub fn run<P: Port>(make: impl FnMut() -> P) {
    let failures = examine(make);
    let lines: Vec<String> = failures
        .iter()
        .map(|f| format!("\n  {}: {}", f.check, f.found))
        .collect();
    assert!(
        failures.is_empty(),
        "the port breaks its contract:{}",
        lines.concat()
    );
}

/// Runs all checks, each on a port of its own; those that fail.
pub fn examine<P: Port>(mut make: impl FnMut() -> P) -> Vec<Failure> {
    let checks = [
        life::checks(),
        enter::checks(),
        ranges::checks(),
        large::checks(),
        parallel::checks(),
        kernel::checks(),
    ];
    let mut checks: Vec<Check<P>> = checks.concat();
    checks.extend(random::checks());
    let mut failures = Vec::new();
    for (check, act) in checks {
        let port = make();
        let result = catch_unwind(AssertUnwindSafe(|| act(&Exam::new(port))));
        if let Err(panic) = result {
            failures.push(Failure {
                check,
                found: text(panic),
            });
        }
    }
    failures
}

fn text(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic
            .downcast::<&str>()
            .map_or("a panic".into(), |text| text.to_string()),
    }
}
