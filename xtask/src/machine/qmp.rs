//! The monitor of a running QEMU: events, and questions in its human language.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::guest::Event;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the monitor.
pub struct Qmp {
    stream: UnixStream,
    replies: Receiver<Value>,
}

impl Qmp {
    /// Waits for QEMU to connect; then sends an [`Event::Monitor`], and an [`Event::Stopped`]
    /// when the machine shuts down or resets.
    pub fn listen(listener: UnixListener, events: Sender<Event>) {
        std::thread::spawn(move || {
            // Errors end the connection; the guest's end is seen at its console too.
            let _ = serve(&listener, &events);
        });
    }

    /// Asks a question of the human monitor, such as `info registers`.
    pub fn ask(&mut self, question: &str) -> Result<String> {
        let arguments = json!({ "command-line": question });
        match self.command("human-monitor-command", arguments)?.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => bail!("the monitor does not answer {question:?} in words"),
        }
    }

    /// Executes a command and waits for what it returns.
    pub fn command(&mut self, name: &str, arguments: Value) -> Result<Value> {
        let line = json!({ "execute": name, "arguments": arguments });
        writeln!(self.stream, "{line}")?;
        let mut reply = self
            .replies
            .recv_timeout(PATIENCE)
            .context("QEMU's monitor is silent")?;
        match reply.get_mut("return") {
            Some(value) => Ok(value.take()),
            None => bail!("QEMU's monitor: {}", reply["error"]["desc"]),
        }
    }
}

/// Reads all that QEMU says on the monitor, until it ends.
fn serve(listener: &UnixListener, events: &Sender<Event>) -> Result<()> {
    let (stream, _) = listener.accept()?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    lines.next().context("a greeting")??;
    writeln!(&stream, "{}", json!({ "execute": "qmp_capabilities" }))?;
    lines.next().context("an answer")??;
    let (sender, replies) = channel();
    let tell = |event| events.send(event).map_err(|_| anyhow!("the guest is gone"));
    tell(Event::Monitor(Qmp { stream, replies }))?;
    for line in lines {
        let message: Value = serde_json::from_str(&line?)?;
        match message["event"].as_str() {
            Some("SHUTDOWN") => {
                let reason = message["data"]["reason"].as_str().unwrap_or("unknown");
                tell(Event::Stopped(reason.to_owned()))?;
            }
            Some(_) => {}
            None => sender.send(message)?,
        }
    }
    Ok(())
}
