//! What tests of random programs share, whatever the kind.

use std::fmt::Debug;
use std::path::Path;
use std::str::FromStr;

use scalvm_testkit::run::Failure;
use scalvm_testkit::soak::{Random, Soaked, soak};

/// A number from the environment.
pub fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(usual)
}

/// Runs random programs for so many steps, from the seed `SCALVM_SEED` on. Panics with a small one of
/// the first that fails.
pub fn soaked<P: Random>(steps: u64, choice: &P::Choice) -> Soaked<P::Ran> {
    let first = number("SCALVM_SEED", 1);
    match soak::<P>(steps, first, choice) {
        Ok(sum) => {
            println!("from seed {first}: {sum:?}");
            sum
        }
        Err(difference) => {
            let (small, failure) = difference.shrink();
            let seed = difference.seed;
            panic!("seed {seed}: {}\nmade smaller:\n{small}", failure.what);
        }
    }
}

/// How often a program was run by its sweep. Panics where it failed.
pub fn swept(name: &str, program: &impl Random, sweep: Result<u64, Failure>) -> u64 {
    match sweep {
        Ok(runs) => runs,
        Err(failure) => panic!(
            "{name}: step {}: {}\n{program}",
            failure.steps, failure.what
        ),
    }
}

/// Runs the programs that once failed: the files of a folder of `tests`.
pub fn run_kept<P: Random + FromStr<Err: Debug>>(folder: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut count = 0;
    for file in std::fs::read_dir(&folder).expect("the folder is there") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let program: P = text.parse().expect("a program");
        if let Err(failure) = program.run(false) {
            let (path, steps) = (path.display(), failure.steps);
            panic!("{path}: step {steps}: {}", failure.what);
        }
        count += 1;
    }
    assert!(count > 0, "no programs in {}", folder.display());
}
