//! All functions may be called from several processors at once.

use std::thread;

use scalvm::{Access, Clear, Frame, PAGE_SIZE, Pmap, Prot};

use super::Check;
use super::exam::{Exam, Space, how};
use super::port::Port;

pub(super) fn checks<P: Port>() -> Vec<Check<P>> {
    vec![("several_threads_at_once", several_threads_at_once)]
}

/// Threads that map and unmap pages of their own in tables that they share, while one looks at all.
fn several_threads_at_once<P: Port>(exam: &Exam<P>) {
    const THREADS: usize = 3;
    const ROUNDS: usize = 200;
    let watch = exam.watch();
    let space = Space::new(exam, &watch);
    // Frames are freed by several threads at once: whose call it was cannot be told.
    watch.begin(true);
    let (pmap, machine) = (&space.pmap, exam.port.machine());
    let (frames, addresses, base) = (&exam.frames, exam.port.addresses(), exam.base());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let watch = &watch;
            scope.spawn(move || {
                let at = |n: usize| base + (n * THREADS + thread) * PAGE_SIZE;
                let frame = |n: usize| frames[(n * THREADS + thread) % frames.len()];
                for round in 0..ROUNDS {
                    let n = round * 7 % 300;
                    let enter = how(frame(n), Prot::RW, Access::Write);
                    let (old, debt) = pmap
                        .enter(machine, watch, at(n), enter)
                        .expect("there is memory");
                    assert_eq!(old, None, "the page is this thread's alone");
                    debt.pay(machine, pmap, watch);
                    let found = pmap.query(machine, at(n)).expect("nobody else removes it");
                    assert_eq!(found.frame, frame(n));
                    let mut gone = Vec::new();
                    let range = at(n)..at(n) + PAGE_SIZE;
                    let debt = pmap.remove(machine, watch, range, |m| gone.push(m.frame));
                    debt.pay(machine, pmap, watch);
                    assert_eq!(gone, [frame(n)] as [Frame; 1]);
                }
            });
        }
        for _ in 0..ROUNDS / 4 {
            let none = Clear {
                accessed: false,
                dirty: false,
            };
            let debt = pmap.harvest(machine, &watch, addresses.clone(), none, |m| {
                assert!(frames.contains(&m.frame));
            });
            debt.pay(machine, pmap, &watch);
            pmap.write_protect_all(machine, &watch)
                .pay(machine, pmap, &watch);
        }
    });
    assert_eq!(pmap.counts().mapped, 0);
    space.check();
    space.end();
}
