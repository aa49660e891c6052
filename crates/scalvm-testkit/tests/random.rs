//! Random programs against the model, and the programs that once failed.
//!
//! `SCALVM_STEPS` and `SCALVM_SEED` say how many steps are done and with which seed they begin. What fails is made
//! smaller and printed: keep it as a file in `tests/programs`.

use std::ops::Range;

use scalvm_testkit::program::Program;
use scalvm_testkit::run::{Options, Soaked, run, soak};

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(usual)
}

fn soaked(usual: u64, memory: Option<Range<u32>>) -> Soaked {
    let (steps, first) = (number("SCALVM_STEPS", usual), number("SCALVM_SEED", 1));
    match soak(steps, first, memory) {
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

#[test]
fn random_programs_do_what_the_model_says() {
    soaked(60_000, None);
}

#[test]
fn random_programs_on_small_machines_do_what_the_model_says() {
    let sum = soaked(60_000, Some(16..256));
    // Memory was short, and yet there was mostly enough for what was done.
    assert!(sum.evicted > sum.steps / 6, "{sum:?}");
    assert!(sum.swapins > sum.steps / 20, "{sum:?}");
    assert!(sum.decompressed > sum.steps / 100, "{sum:?}");
    assert!(sum.short < sum.steps / 20, "{sum:?}");
}

#[test]
fn programs_that_once_failed_do_what_the_model_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the folder is there") {
        let path = file.expect("a file").path();
        let program: Program = std::fs::read_to_string(&path)
            .expect("text")
            .parse()
            .expect("a program");
        if let Err(failure) = run(&program, Options::default()) {
            panic!(
                "{}: step {}: {}",
                path.display(),
                failure.steps,
                failure.what
            );
        }
        count += 1;
    }
    assert!(count > 0, "no programs in {folder}");
}
