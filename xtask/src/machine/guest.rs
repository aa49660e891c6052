//! Runs a guest from its start to its end.
//!
//! Threads carry the console's bytes, QEMU's standard error (which is also the kernel's control
//! port) and the monitor's messages; all of them report to the one that waits here, as [`Event`]s.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use super::backtrace::Symbols;
use super::config::Config;
use super::console::{Input, Output, Tail, pump_input, pump_output};
use super::end::End;
use super::panic::Panic;
use super::qemu;
use super::qmp::Qmp;
use super::registers::{Registers, interrupt_pending};
use super::scratch::Scratch;
use super::table::Table;
use super::watch::Watch;
use crate::say;

/// How long a kernel may take to say that it reads its console.
const CONSOLE_PATIENCE: Duration = Duration::from_secs(3);
/// How often a guest is looked at, whether it hangs.
const SAMPLE_PERIOD: Duration = Duration::from_secs(1);

/// The line by which a guest says that a trace is to begin.
pub const TRACE_BEGINS: &str = "trace begins here";

/// What the threads around a guest report.
pub enum Event {
    /// QEMU answers.
    Monitor(Qmp),
    /// The machine was shut down or reset, for this reason, and stands still.
    Stopped(String),
    /// A line of the control port, or of QEMU itself.
    Control(String),
    /// QEMU has closed its standard error.
    ControlClosed,
    /// QEMU has closed the console.
    ConsoleClosed,
    /// Nobody takes the output any more.
    OutputLost,
    /// The user wants to leave.
    Leave,
    /// The user wants to see where the kernel is.
    Whereabouts,
    /// This tool is told to end.
    Signal(i32),
}

/// What is left of a guest.
pub struct Finished {
    /// How it ended.
    pub end: End,
    /// The lines of the control port that are neither for this tool nor about a panic.
    pub notices: Vec<String>,
    /// What the kernel told of its memory at the end.
    pub tables: Vec<Table>,
}

/// Starts a guest and waits for its end. Errors are of the host; whatever the guest does is an
/// [`End`].
pub fn run(config: &Config, input: Input, output: Output) -> Result<Finished> {
    let scratch = Scratch::new()?;
    let socket = scratch.path("monitor");
    let (sender, events) = channel();
    Qmp::listen(UnixListener::bind(&socket)?, sender.clone());
    let mut child = qemu::command(config, &socket)
        .spawn()
        .context("starting QEMU")?;
    let started = Instant::now();
    let tail = Tail::default();
    let patience = if config.trace.is_some() {
        Duration::MAX
    } else {
        CONSOLE_PATIENCE
    };
    let gate = attach(&mut child, input, output, &tail, &sender, patience)?;
    let signals = watch_signals(sender)?;
    let mut guest = Guest {
        config,
        child,
        events,
        tail,
        started,
        gate: Some(gate),
        monitor: None,
        watch: Watch::default(),
        status: None,
        panic: Panic::default(),
        notices: Vec::new(),
        tables: Vec::new(),
        complaints: Vec::new(),
    };
    let end = guest.wait();
    // Whatever went wrong, no emulator is left behind.
    let _ = guest.child.kill();
    let _ = guest.child.wait();
    signals.close();
    Ok(Finished {
        end: end?,
        notices: guest.notices,
        tables: guest.tables,
    })
}

/// Starts the threads that carry bytes; the sender returned opens the input, which opens by
/// itself after some time.
fn attach(
    child: &mut Child,
    input: Input,
    output: Output,
    tail: &Tail,
    events: &Sender<Event>,
    patience: Duration,
) -> Result<Sender<()>> {
    let stdin = child.stdin.take().context("QEMU's input")?;
    let stdout = child.stdout.take().context("QEMU's output")?;
    let stderr = child.stderr.take().context("QEMU's messages")?;
    let (gate, open) = channel();
    let sender = events.clone();
    std::thread::spawn(move || {
        if !matches!(input, Input::Keyboard) {
            let _ = open.recv_timeout(patience);
        }
        pump_input(input, stdin, &sender);
    });
    let (sender, tail) = (events.clone(), tail.clone());
    std::thread::spawn(move || pump_output(stdout, output, &tail, &sender));
    let sender = events.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let _ = sender.send(Event::Control(line));
        }
        let _ = sender.send(Event::ControlClosed);
    });
    Ok(gate)
}

/// Turns signals into events, until the handle is closed.
fn watch_signals(events: Sender<Event>) -> Result<signal_hook::iterator::Handle> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])?;
    let handle = signals.handle();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let _ = events.send(Event::Signal(signal));
        }
    });
    Ok(handle)
}

/// A running guest.
struct Guest<'a> {
    config: &'a Config,
    child: Child,
    events: Receiver<Event>,
    tail: Tail,
    started: Instant,
    gate: Option<Sender<()>>,
    monitor: Option<Qmp>,
    watch: Watch,
    /// The status of the first process, once the kernel has told it.
    status: Option<u8>,
    panic: Panic,
    notices: Vec<String>,
    tables: Vec<Table>,
    /// What QEMU itself said.
    complaints: Vec<String>,
}

impl Guest<'_> {
    /// Takes events until one of them is the end.
    fn wait(&mut self) -> Result<End> {
        let deadline = self.config.timeout.map(|timeout| self.started + timeout);
        let mut sample_at = self.started + SAMPLE_PERIOD;
        let mut open_ends = 2;
        while open_ends > 0 {
            let now = Instant::now();
            if let (Some(at), Some(after)) = (deadline, self.config.timeout)
                && now >= at
            {
                return Ok(End::TimedOut {
                    after,
                    trace: self.whereabouts(),
                });
            }
            if now >= sample_at {
                sample_at = now + SAMPLE_PERIOD;
                self.begin_trace()?;
                if self
                    .config
                    .stop_at
                    .is_some_and(|text| self.tail.text().contains(text))
                {
                    return Ok(End::Left);
                }
                if let Some(what) = self.sample() {
                    return Ok(self.crashed(format!("the guest hangs: {what}")));
                }
            }
            let next = deadline.map_or(sample_at, |at| at.min(sample_at));
            match self
                .events
                .recv_timeout(next.saturating_duration_since(Instant::now()))
            {
                Ok(Event::ConsoleClosed | Event::ControlClosed) => open_ends -= 1,
                Ok(event) => {
                    if let Some(end) = self.take(event) {
                        return Ok(end);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = self.child.wait()?;
        Ok(self.ended(status))
    }

    /// Takes one event; the end, if it is that.
    fn take(&mut self, event: Event) -> Option<End> {
        match event {
            Event::Monitor(monitor) => self.monitor = Some(monitor),
            Event::Stopped(reason) if reason == "guest-reset" => {
                return Some(self.crashed("the guest was reset: a triple fault".to_owned()));
            }
            Event::Stopped(reason) => {
                return Some(self.crashed(format!("the guest stopped without a status: {reason}")));
            }
            Event::Control(line) => self.control(line),
            Event::Whereabouts => self.whereabouts().iter().for_each(say::line),
            Event::Leave => return Some(End::Left),
            Event::OutputLost => return Some(End::Signalled(SIGPIPE)),
            Event::Signal(signal) => return Some(End::Signalled(signal)),
            Event::ConsoleClosed | Event::ControlClosed => {}
        }
        None
    }

    /// Lets the input through.
    fn open_input(&mut self) {
        if let Some(gate) = self.gate.take() {
            // The thread behind the gate may have ended, with nothing to carry.
            let _ = gate.send(());
        }
    }

    /// Turns the log of instructions on, once the guest has asked for it.
    fn begin_trace(&mut self) -> Result<()> {
        let wanted = self.config.trace.is_some() && self.gate.is_some();
        if wanted
            && self.tail.text().contains(TRACE_BEGINS)
            && let Some(monitor) = &mut self.monitor
        {
            monitor.ask("log exec,nochain")?;
            self.open_input();
        }
        Ok(())
    }

    /// Takes a line of the control port.
    fn control(&mut self, line: String) {
        if line == "ready" {
            if self.config.trace.is_none() {
                self.open_input();
            }
        } else if let Some(status) = line
            .strip_prefix("exit ")
            .and_then(|text| text.parse().ok())
        {
            self.status = Some(status);
        } else if let Some(row) = line.strip_prefix("table ") {
            Table::add(&mut self.tables, row);
        } else if line.starts_with("qemu-system-x86_64: ") {
            self.complaints.push(line);
        } else if !self.panic.line(&line) {
            if self.config.notices {
                say::line(&line);
            }
            self.notices.push(line);
        }
    }

    /// Looks at the processor; a reason, if the guest hangs.
    fn sample(&mut self) -> Option<&'static str> {
        if self.config.gdb {
            return None;
        }
        let monitor = self.monitor.as_mut()?;
        let registers = Registers::parse(&monitor.ask("info registers").ok()?)?;
        let pic = monitor.ask("info pic").ok()?;
        let lapic = monitor.ask("info lapic").unwrap_or_default();
        self.watch
            .sample(&registers, interrupt_pending(&pic, &lapic))
    }

    /// A failure of the kernel that the monitor must tell about, unless a panic tells more.
    fn crashed(&mut self, what: String) -> End {
        if let Some(end) = self.panicked() {
            return end;
        }
        End::Crashed {
            what,
            trace: self.whereabouts(),
        }
    }

    /// The end by a panic, if the kernel has told of one.
    fn panicked(&self) -> Option<End> {
        let message = self.panic.message()?;
        let trace = match Symbols::of(&self.config.kernel) {
            Ok(symbols) => symbols.backtrace(self.panic.frames(), false),
            Err(error) => vec![format!("{error:#}")],
        };
        Some(End::Crashed {
            what: format!("kernel panic: {message}"),
            trace,
        })
    }

    /// Stops the machine, and tells where it is.
    fn whereabouts(&mut self) -> Vec<String> {
        let Some(monitor) = self.monitor.as_mut() else {
            return vec!["QEMU does not answer".to_owned()];
        };
        let mut look = || {
            monitor.command("stop", serde_json::json!({}))?;
            let lines = Symbols::of(&self.config.kernel)?.whereabouts(monitor)?;
            // A machine that was reset cannot go on, and need not.
            let _ = monitor.command("cont", serde_json::json!({}));
            anyhow::Ok(lines)
        };
        look().unwrap_or_else(|error| vec![format!("{error:#}")])
    }

    /// Tells what QEMU's own end means.
    fn ended(&mut self, status: ExitStatus) -> End {
        if let Some(end) = self.panicked() {
            return end;
        }
        if let Some(status) = self.status {
            return End::Exited(status);
        }
        let complaints = std::mem::take(&mut self.complaints);
        match status.code() {
            // The exit port gives an odd status, and QEMU's own failures are before its monitor.
            Some(code) if code & 1 == 1 && self.monitor.is_some() => End::Exited((code >> 1) as u8),
            _ => End::Crashed {
                what: format!("QEMU ended with {status}"),
                trace: complaints,
            },
        }
    }
}
