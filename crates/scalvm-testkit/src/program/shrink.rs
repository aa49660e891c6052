//! Makes a failing program smaller.

use super::Program;

impl Program {
    /// The smallest program found that still fails as `fails` tells, by leaving out steps and making
    /// numbers smaller.
    pub fn shrink(mut self, mut fails: impl FnMut(&Program) -> bool) -> Program {
        loop {
            let before = self.steps.clone();
            let mut chunk = self.steps.len().div_ceil(2);
            while chunk > 0 {
                let mut at = 0;
                while at < self.steps.len() {
                    let mut smaller = self.clone();
                    smaller.steps.drain(at..(at + chunk).min(self.steps.len()));
                    if fails(&smaller) {
                        self = smaller;
                    } else {
                        at += chunk;
                    }
                }
                chunk /= 2;
            }
            for step in 0..self.steps.len() {
                for arg in 0..6 {
                    let value = self.steps[step].args[arg];
                    for less in [0, value / 2, value.saturating_sub(1)] {
                        let mut smaller = self.clone();
                        smaller.steps[step].args[arg] = less;
                        if less < self.steps[step].args[arg] && fails(&smaller) {
                            self = smaller;
                        }
                    }
                }
            }
            if self.steps == before {
                return self;
            }
        }
    }
}
