//! Random programs of kernel memory against the model, by one thread and by several, with each allocation
//! failing once, and the programs that once failed.
//!
//! `SCALVM_KMEM_STEPS` and `SCALVM_SEED` say how many steps are done and with which seed they begin. What fails
//! is made smaller and printed: keep it as a file in `tests/kmem`.

use scalvm_testkit::kmem::{Options, Program, run, soak, sweep};

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(usual)
}

fn soaked(usual: u64, threads: u32) {
    let (steps, first) = (number("SCALVM_KMEM_STEPS", usual), number("SCALVM_SEED", 1));
    match soak(steps, first, threads) {
        Ok(sum) => println!("from seed {first}, {threads} threads: {sum:?}"),
        Err(difference) => {
            let (small, failure) = difference.shrink();
            let seed = difference.seed;
            panic!("seed {seed}: {}\nmade smaller:\n{small}", failure.what);
        }
    }
}

#[test]
fn random_programs_do_what_the_model_says() {
    soaked(40_000, 1);
}

#[test]
fn hosted_threads_two() {
    soaked(40_000, 2);
}

#[test]
fn hosted_threads_four() {
    soaked(40_000, 4);
}

fn swept(name: &str, program: &Program) -> u64 {
    match sweep(program) {
        Ok(runs) => runs,
        Err(failure) => panic!(
            "{name}: step {}: {}\n{program}",
            failure.steps, failure.what
        ),
    }
}

#[test]
fn every_failure_of_random_programs() {
    let mut runs = 0;
    for seed in 0..number("SCALVM_SWEEPS", 60) {
        let mut program = Program::generate(seed, 1);
        program.steps.truncate(60);
        program.shape.pace = 20;
        runs += swept(&format!("seed {seed}"), &program);
    }
    println!("{runs} runs");
}

#[test]
fn programs_that_once_failed_do_what_the_model_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kmem");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the folder is there") {
        let path = file.expect("a file").path();
        let program: Program = std::fs::read_to_string(&path)
            .expect("text")
            .parse()
            .expect("a program");
        if let Err(failure) = run(&program, Options::default()) {
            let (path, steps) = (path.display(), failure.steps);
            panic!("{path}: step {steps}: {}", failure.what);
        }
        count += 1;
    }
    assert!(count > 0, "no programs in {folder}");
}
