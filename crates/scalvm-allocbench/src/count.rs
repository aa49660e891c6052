//! Instructions: runs under callgrind, and has it write what it has counted after each row.

use std::arch::asm;
use std::ffi::CString;
use std::sync::{Condvar, Mutex};
use std::thread;

use crate::machine::number_thread;
use crate::subject::{Subject, subject};
use crate::work::Work;

/// Pieces in a count, about: enough that what happens once in a while is seen as often as it should.
const PIECES: u64 = 20_000;

/// callgrind's requests: `callgrind.h` numbers them from ('C', 'T') on.
const ZERO_STATS: u64 = 0x4354_0001;
const DUMP_STATS_AT: u64 = 0x4354_0003;

/// A request to valgrind; nothing where there is none.
fn request(number: u64, argument: u64) {
    let arguments = [number, argument, 0, 0, 0, 0];
    // SAFETY: valgrind knows these instructions, which change nothing anywhere else.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") &raw const arguments,
            inout("rdx") 0u64 => _,
            options(nostack),
        );
    }
}

/// Counts what `act` does, for a row of this name and so many pieces.
fn counted(name: &str, pieces: u64, act: impl FnOnce()) {
    let name = CString::new(format!("{name}\t{pieces}")).expect("a name without zeros");
    request(ZERO_STATS, 0);
    act();
    request(DUMP_STATS_AT, name.as_ptr().addr() as u64);
}

/// Counts all rows of an allocator.
pub fn count(name: &str) {
    let subject = &*subject(name);
    for (name, work) in Work::all() {
        let times = PIECES.div_ceil(work.pieces());
        // Twice without counting, so that it has the memory that it needs.
        subject.run(&work, 2);
        counted(&name, times * work.pieces(), || subject.run(&work, times));
    }
    for (name, work) in Work::all_shared() {
        in_turns(subject, &work, &name);
    }
}

/// Two threads that take turns, and count each what they do in theirs.
fn in_turns(subject: &dyn Subject, work: &Work, name: &str) {
    let times = PIECES.div_ceil(work.pieces());
    let (turn, changed) = (Mutex::new(0), Condvar::new());
    let half = |which: usize| {
        number_thread();
        for time in 0..times + 20 {
            let mut now = turn.lock().expect("no thread has panicked");
            while *now % 2 != which {
                now = changed.wait(now).expect("no thread has panicked");
            }
            if time < 20 {
                subject.run_half(work, which);
            } else {
                let pieces = if which == 0 { work.pieces() } else { 0 };
                counted(name, pieces, || subject.run_half(work, which));
            }
            *now += 1;
            changed.notify_all();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| half(0));
        scope.spawn(|| half(1));
    });
}
