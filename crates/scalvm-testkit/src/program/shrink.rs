//! Makes a failing program smaller.

use super::Step;

/// The fewest steps found that still fail as `fails` tells, by leaving some out and making numbers smaller.
pub fn shrink_steps<O: Copy + PartialEq>(
    mut steps: Vec<Step<O>>,
    mut fails: impl FnMut(&[Step<O>]) -> bool,
) -> Vec<Step<O>> {
    loop {
        let before = steps.clone();
        let mut chunk = steps.len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            while at < steps.len() {
                let mut fewer = steps.clone();
                fewer.drain(at..(at + chunk).min(steps.len()));
                if fails(&fewer) {
                    steps = fewer;
                } else {
                    at += chunk;
                }
            }
            chunk /= 2;
        }
        for step in 0..steps.len() {
            for arg in 0..6 {
                let value = steps[step].args[arg];
                for less in [0, value / 2, value.saturating_sub(1)] {
                    let mut smaller = steps.clone();
                    smaller[step].args[arg] = less;
                    if less < steps[step].args[arg] && fails(&smaller) {
                        steps = smaller;
                    }
                }
            }
        }
        if steps == before {
            return steps;
        }
    }
}
