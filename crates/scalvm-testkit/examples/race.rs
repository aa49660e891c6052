//! A race, by which one sees that the thread sanitizer works (`cargo xtask test tsan`): two threads
//! change one word, and nothing orders them.

use std::cell::UnsafeCell;
use std::sync::Barrier;

struct Word(UnsafeCell<u64>);

// SAFETY: there is no reason why this should be sound. It is the race that is to be found; only the
// sanitizer's build runs it.
unsafe impl Sync for Word {}

static WORD: Word = Word(UnsafeCell::new(0));

fn main() {
    let begin = Barrier::new(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                begin.wait();
                for _ in 0..1000 {
                    // SAFETY: see above.
                    unsafe { *WORD.0.get() += 1 };
                    std::hint::black_box(&WORD);
                }
            });
        }
    });
}
