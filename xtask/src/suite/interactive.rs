//! A session at a terminal: line editing, Ctrl-C, the window's size, leaving.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};
use rustix::pty::{self, OpenptFlags};
use rustix::termios::{self, Termios, Winsize};

use super::{Plan, Report};
use crate::machine::Memory;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the sessions.
pub fn run(plan: &Plan, report: &mut Report) {
    if plan.wants("shell/interactive") {
        report.test("shell/interactive", session);
    }
    if plan.wants("shell/leave") {
        report.test("shell/leave", leave);
    }
}

/// A user works in the shell, and ends it.
fn session() -> Result<()> {
    let mut user = User::sit_down()?;
    user.expect("# ")?;
    user.types("echo mis\x7f\x7f\x7fcorr''ected\n", "\r\ncorrected\r\n")?;
    user.types("stty size\n", "\r\n30 100\r\n")?;
    user.expect("# ")?;
    user.types("echo beg''un; sleep 1000\n", "\r\nbegun\r\n")?;
    user.types("\x03", "^C")?;
    user.types("echo status $?\n", "status 130\r\n")?;
    // What is typed ahead belongs to the shell; the line below must be for the program.
    user.types("echo beg''un; cat\n", "\r\nbegun\r\n")?;
    user.types("line\n", "line\r\nline\r\n")?;
    user.types("\x04echo back''again\n", "backagain\r\n")?;
    user.types("vi text\n", "- text 1/1")?;
    user.types("i", "I text 1/1")?;
    // It may come in parts, with the cursor moved between them.
    user.types("hello", "o")?;
    // The escape is a key of its own only when nothing follows at once.
    user.types("\x1b", "- text [Modified]")?;
    user.types(":wq\n", "# ")?;
    user.types("cat text\n", "\r\nhello\r\n")?;
    user.types("top -d 1\n", "PID  PPID")?;
    user.types("q", "# ")?;
    user.types("sleep 1000 &\njobs\n", "Running")?;
    user.types("kill %1; wait; exit 3\n", "")?;
    user.ends_with(3)
}

/// A user leaves, whatever the guest does; or the tool is told to end.
fn leave() -> Result<()> {
    let mut user = User::sit_down()?;
    user.expect("# ")?;
    user.types("while :; do :; done\n", "done\r\n")?;
    user.types("\x01x", "")?;
    user.ends_with(0)?;

    let mut user = User::sit_down()?;
    user.expect("# ")?;
    let pid = Pid::from_child(&user.child);
    rustix::process::kill_process(pid, Signal::TERM)?;
    user.ends_with(128 + Signal::TERM.as_raw())
}

/// A user at a terminal in which `run` runs.
struct User {
    keyboard: File,
    screen: Memory,
    seen: String,
    terminal: File,
    before: Termios,
    child: Child,
}

impl User {
    /// Opens a terminal and starts the guest in it.
    fn sit_down() -> Result<Self> {
        let master = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        pty::grantpt(&master)?;
        pty::unlockpt(&master)?;
        let name = pty::ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let terminal = File::from(rustix::fs::open(name, flags, Mode::empty())?);
        let size = Winsize {
            ws_row: 30,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        termios::tcsetwinsize(&terminal, size)?;
        let before = termios::tcgetattr(&terminal)?;
        let child = Command::new(std::env::current_exe()?)
            .args(["run", "--timeout", "120"])
            .stdin(terminal.try_clone()?)
            .stdout(terminal.try_clone()?)
            .stderr(Stdio::null())
            .spawn()?;
        let keyboard = File::from(master);
        let (mut from, screen) = (keyboard.try_clone()?, Memory::default());
        let mut to = screen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = from.read(&mut buffer) {
                // Memory takes everything.
                let _ = to.write_all(&buffer[..len]);
            }
        });
        Ok(Self {
            keyboard,
            screen,
            seen: String::new(),
            terminal,
            before,
            child,
        })
    }

    /// Types keys, and waits for what is to be seen then.
    fn types(&mut self, keys: &str, expected: &str) -> Result<()> {
        self.keyboard.write_all(keys.as_bytes())?;
        self.expect(expected)
    }

    /// Waits until the screen shows this, after what was waited for before.
    fn expect(&mut self, expected: &str) -> Result<()> {
        let start = Instant::now();
        loop {
            self.seen += &String::from_utf8_lossy(&self.screen.take());
            if let Some(at) = self.seen.find(expected) {
                self.seen.drain(..at + expected.len());
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!("waited for {expected:?}, but saw {:?}", self.seen);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the command's end, with this status and the terminal as it was before.
    fn ends_with(&mut self, status: i32) -> Result<()> {
        let end = self.end()?;
        if end.code() != Some(status) {
            bail!("the command ends with {end}, not {status}");
        }
        let after = termios::tcgetattr(&self.terminal)?;
        let modes = |settings: &Termios| {
            (
                settings.input_modes,
                settings.output_modes,
                settings.local_modes,
            )
        };
        if modes(&after) != modes(&self.before) {
            bail!("the terminal is not as it was");
        }
        Ok(())
    }

    /// Waits for the end of the command.
    fn end(&mut self) -> Result<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.seen += &String::from_utf8_lossy(&self.screen.take());
        bail!("the command does not end; the screen shows {:?}", self.seen);
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // After a failure, the guest must not be left running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
