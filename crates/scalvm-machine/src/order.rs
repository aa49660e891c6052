//! The order of locks, checked: what each thread holds.
//!
//! The state is the thread's own, so checking adds no lock of its own that might hide a race.

use std::cell::RefCell;

use scalvm::{LockEvent, Rank};

/// One thread on one machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Who {
    /// The machine.
    pub machine: u64,
    /// The thread, as its runtime numbers it.
    pub thread: u64,
}

/// What a thread has to do with a machine.
#[derive(Default)]
struct State {
    /// The locks it holds, in the order in which it took them.
    held: Vec<Rank>,
    /// The processor it is, if that was said.
    cpu: Option<usize>,
}

thread_local! {
    static STATES: RefCell<Vec<(Who, State)>> = const { RefCell::new(Vec::new()) };
}

fn with_state<R>(who: Who, act: impl FnOnce(&mut State) -> R) -> R {
    STATES.with_borrow_mut(|states| {
        let index = match states.iter().position(|(w, _)| *w == who) {
            Some(index) => index,
            None => {
                states.push((who, State::default()));
                states.len() - 1
            }
        };
        act(&mut states[index].1)
    })
}

/// Notes what a lock does; panics where that is against the order.
pub(crate) fn note(who: Who, event: LockEvent, rank: Rank) {
    let wrong = with_state(who, |state| match event {
        LockEvent::Acquire if state.held.iter().any(|held| *held >= rank) => {
            let held = &state.held;
            Some(format!(
                "{rank:?} is taken while {held:?} are held; it must come after all of them"
            ))
        }
        LockEvent::Acquire | LockEvent::TryAcquire => {
            state.held.push(rank);
            None
        }
        LockEvent::Release => match state.held.iter().rposition(|held| *held == rank) {
            Some(index) => {
                state.held.remove(index);
                None
            }
            None => Some(format!("{rank:?} is let go and was not held")),
        },
    });
    if let Some(wrong) = wrong
        && !std::thread::panicking()
    {
        panic!("lock order: {wrong}");
    }
}

/// The locks that the thread holds.
pub(crate) fn held(who: Who) -> Vec<Rank> {
    with_state(who, |state| state.held.clone())
}

/// The processor that the thread is.
pub(crate) fn cpu(who: Who) -> usize {
    with_state(who, |state| state.cpu.unwrap_or(0))
}

/// Says which processor the thread is; tells what was said before.
pub(crate) fn set_cpu(who: Who, cpu: Option<usize>) -> Option<usize> {
    with_state(who, |state| std::mem::replace(&mut state.cpu, cpu))
}

/// Forgets what this host thread knows of a machine.
pub(crate) fn forget(machine: u64) {
    // A thread that ends may have no states any more: then there is nothing to forget.
    let _ = STATES.try_with(|states| {
        states
            .borrow_mut()
            .retain(|(who, _)| who.machine != machine)
    });
}
