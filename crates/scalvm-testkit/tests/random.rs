//! Random programs against the model, and the programs that once failed.
//!
//! `SCALVM_STEPS` and `SCALVM_SEED` say how many steps are done and with which seed they begin. What fails is made
//! smaller and printed: keep it as a file in `tests/programs`.

#[path = "common/random.rs"]
#[expect(dead_code, reason = "sweeps are elsewhere")]
mod random;

use scalvm_testkit::program::Program;

use random::{number, run_kept, soaked};

/// Steps to do.
fn steps() -> u64 {
    number("SCALVM_STEPS", 60_000)
}

#[test]
fn random_programs_do_what_the_model_says() {
    let sum = soaked::<Program>(steps(), &None);
    // Rows come, pages are joined, and large leaves are split again.
    assert!(sum.ran.rows[0] > sum.steps / 600, "{sum:?}");
    assert!(sum.ran.rows[1] > sum.steps / 400, "{sum:?}");
    assert!(sum.ran.large[1] > sum.steps / 500, "{sum:?}");
}

#[test]
fn random_programs_on_small_machines_do_what_the_model_says() {
    let sum = soaked::<Program>(steps(), &Some(16..256));
    let (steps, ran) = (sum.steps, sum.ran);
    // Memory was short, and yet there was mostly enough for what was done.
    assert!(ran.evicted > steps / 6, "{sum:?}");
    assert!(ran.swapins > steps / 20, "{sum:?}");
    assert!(ran.decompressed > steps / 100, "{sum:?}");
    assert!(ran.short < steps / 20, "{sum:?}");
    // Advice is followed, too.
    assert!(ran.given_up_gone > steps / 2000, "{sum:?}");
    assert!(ran.paged_out > steps / 2000, "{sum:?}");
    // Large pages, where there is room.
    assert!(ran.rows[0] > steps / 1200, "{sum:?}");
    assert!(ran.rows[1] > steps / 800, "{sum:?}");
    assert!(ran.large[1] > steps / 1000, "{sum:?}");
}

#[test]
fn programs_that_once_failed_do_what_the_model_says() {
    run_kept::<Program>("programs");
}
