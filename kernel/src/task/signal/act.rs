//! What happens with signals before the processor returns to a program.

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{SA_RESETHAND, SA_RESTART, SIGSEGV, SIGSTOP};

use super::action::{self, Action, Default};
use super::frame;
use super::set::SigSet;
use crate::arch::frame::Frame;
use crate::linux::Errno;
use crate::task::{exit, groups, sched, trace};

/// Bytes of a `syscall` instruction.
const CALL_LEN: usize = 2;

/// Delivers signals, stops or ends the thread. `call` is the number of the system call that the
/// program returns from, if it does from one.
///
/// Holds no counted reference where it may end the thread.
pub fn act(frame: &mut Frame, call: Option<usize>) {
    let thread = sched::current_thread();
    // A call that was cut short is made again, or fails with EINTR if a handler runs that did not
    // ask for that.
    let mut cut_short = call.filter(|_| frame.rax as isize == -(Errno::EINTR.0 as isize));
    loop {
        let process = thread.process();
        if thread.is_killed() {
            exit::end_thread();
        }
        if process.is_stopped() {
            process.goes_on.wait_killable(|| !process.is_stopped());
            continue;
        }
        let wanted = SigSet(!thread.mask.get().0);
        let Some(info) = thread
            .pending
            .take(wanted)
            .or_else(|| process.pending.take(wanted))
        else {
            break;
        };
        let Some(info) = trace::at_signal(&thread, info) else {
            continue;
        };
        let signal = info.signal;
        if thread.is_killed() {
            continue;
        }
        let action = process.action(signal);
        if !action.calls() {
            if action.handler == Action::DEFAULT {
                match action::default(signal) {
                    Default::End => exit::end_process(process, signal as i32),
                    Default::Stop if signal == SIGSTOP || !groups::is_orphaned(process.pgid()) => {
                        trace::stop_process(process, signal);
                    }
                    _ => {}
                }
            }
            continue;
        }
        if let Some(call) = cut_short.take()
            && action.flags & SA_RESTART as usize != 0
            && restarts(call)
        {
            make_call_again(frame, call);
        }
        if action.flags & SA_RESETHAND as usize != 0 {
            process.set_action(
                signal,
                Action {
                    handler: Action::DEFAULT,
                    ..action
                },
            );
        }
        let mask = thread.mask_to_restore.take().unwrap_or(thread.mask.get());
        if frame::call_handler(frame, &thread, &action, info, mask).is_err() {
            exit::end_process(process, SIGSEGV as i32);
        }
    }
    if let Some(call) = cut_short {
        make_call_again(frame, call);
    }
    if let Some(mask) = thread.mask_to_restore.take() {
        thread.set_mask(mask);
    }
}

fn make_call_again(frame: &mut Frame, call: usize) {
    frame.rip -= CALL_LEN;
    frame.rax = call;
}

/// Whether a call that a handler cut short is made again if the handler asked for that. Those that
/// wait for a time, for a signal, or for any of many files are not.
fn restarts(call: usize) -> bool {
    !matches!(
        call as u32,
        nr::__NR_nanosleep
            | nr::__NR_clock_nanosleep
            | nr::__NR_pause
            | nr::__NR_rt_sigsuspend
            | nr::__NR_rt_sigtimedwait
            | nr::__NR_poll
            | nr::__NR_ppoll
            | nr::__NR_select
            | nr::__NR_pselect6
            | nr::__NR_epoll_wait
            | nr::__NR_epoll_pwait
    )
}
