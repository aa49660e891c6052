//! Each allocation fails once, and each request to the disk: in scenes made for it, and in random programs.

#[path = "common/random.rs"]
#[expect(dead_code, reason = "random programs are run elsewhere")]
mod random;

use scalvm_testkit::program::{Program, Trouble};
use scalvm_testkit::run::sweep;

fn swept(name: &str, program: &Program) -> u64 {
    random::swept(name, program, sweep(program))
}

macro_rules! scenes {
    ($($test:ident $file:literal,)*) => {$(
        #[test]
        fn $test() {
            let text = include_str!(concat!("scenes/", $file, ".txt"));
            let runs = swept($file, &text.parse().expect("a program"));
            assert!(runs > 10, "only {runs} runs: the scene needs no memory");
            println!("{runs} runs");
        }
    )*};
}

scenes! {
    every_failure_of_fork "fork",
    every_failure_of_inheritance "inherit",
    every_failure_of_copies_of_held_pages "held",
    every_failure_of_passing_entries "passing",
    every_failure_of_loans "loans",
    every_failure_of_private_files "private-file",
    every_failure_of_truncation "truncate",
    every_failure_of_remap "remap",
    every_failure_of_discard "discard",
    every_failure_of_sync "sync",
    every_failure_of_wiring "wire",
    every_failure_of_advice "advice",
    every_failure_of_large_pages "large",
    every_failure_of_growing_and_sealing "rules",
    every_failure_of_watching "watch",
    every_failure_of_guards "guard",
    every_failure_of_swapping "swap",
    every_failure_of_swapping_what_is_forked "swap-fork",
    every_failure_of_a_file_larger_than_memory "swap-file",
    every_failure_of_compressing "swap-compressed",
}

#[test]
fn every_failure_of_random_programs() {
    let programs = std::env::var("SCALVM_SWEEPS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(10);
    for seed in 0..programs {
        for memory in [None, Some(16..64)] {
            let program = Program::generate(seed, 30, Trouble::None, memory);
            swept(&format!("seed {seed}"), &program);
        }
    }
}
