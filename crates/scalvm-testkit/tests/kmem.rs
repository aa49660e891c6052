//! Random programs of kernel memory against the model, by one thread and by several, with each allocation
//! failing once, and the programs that once failed.
//!
//! `SCALVM_KMEM_STEPS` and `SCALVM_SEED` say how many steps are done and with which seed they begin. What fails
//! is made smaller and printed: keep it as a file in `tests/kmem`.

#[path = "common/random.rs"]
mod random;

use scalvm_testkit::kmem::{Program, sweep};

use random::{number, run_kept, swept};

fn soaked(threads: u32) {
    random::soaked::<Program>(number("SCALVM_KMEM_STEPS", 40_000), &threads);
}

#[test]
fn random_programs_do_what_the_model_says() {
    soaked(1);
}

#[test]
fn hosted_threads_two() {
    soaked(2);
}

#[test]
fn hosted_threads_four() {
    soaked(4);
}

#[test]
fn every_failure_of_random_programs() {
    let mut runs = 0;
    for seed in 0..number("SCALVM_SWEEPS", 60) {
        let mut program = Program::generate(seed, 1);
        program.steps.truncate(60);
        program.shape.pace = 20;
        runs += swept(&format!("seed {seed}"), &program, sweep(&program));
    }
    println!("{runs} runs");
}

#[test]
fn programs_that_once_failed_do_what_the_model_says() {
    run_kept::<Program>("kmem");
}
