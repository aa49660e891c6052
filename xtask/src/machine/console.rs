//! The bytes between the guest's serial port and the host.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use super::guest::Event;

/// How much of the latest output is kept, to be searched for what the guest says to the tool.
const TAIL: usize = 4 << 10;
/// The guest's terminal takes the next character as it is.
const LITERAL_NEXT: u8 = 0x16;
/// The guest's terminal ends the input, or hands over an unfinished line.
const END_OF_FILE: u8 = 0x04;
/// Bytes after which an unfinished line is handed over.
const LONG_LINE: usize = 1024;
/// The key before a key that is meant for this tool: Ctrl-A.
const ESCAPE: u8 = 0x01;

/// What the guest's program reads.
pub enum Input {
    /// Nothing: end of file at once.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// This tool's standard input, to its end.
    Host,
    /// The keyboard: every key as it is; Ctrl-A x leaves, Ctrl-A b shows where the kernel is,
    /// Ctrl-A Ctrl-A is Ctrl-A.
    Keyboard,
}

/// Where the guest's output goes.
pub type Output = Box<dyn Write + Send>;

/// Output that is kept in memory, to be looked at while more comes.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// Takes what there is.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The latest output, shared between the thread that pumps it and who searches it.
#[derive(Clone, Default)]
pub struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    /// The latest output as text.
    pub fn text(&self) -> String {
        let tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&tail.iter().copied().collect::<Vec<u8>>()).into_owned()
    }

    fn push(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend(bytes);
        let excess = tail.len().saturating_sub(TAIL);
        tail.drain(..excess);
    }
}

/// Carries the guest's output to where it goes, until its end.
pub fn pump_output(mut from: impl Read, mut to: Output, tail: &Tail, events: &Sender<Event>) {
    let mut buffer = [0; 16 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => {
                tail.push(&buffer[..len]);
                if to
                    .write_all(&buffer[..len])
                    .and_then(|()| to.flush())
                    .is_err()
                {
                    let _ = events.send(Event::OutputLost);
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let _ = events.send(Event::ConsoleClosed);
}

/// Carries input to the guest, until its end or the guest's.
pub fn pump_input(input: Input, to: impl Write, events: &Sender<Event>) {
    // An error means that the guest has ended, which the output's end tells.
    let _ = match input {
        Input::Empty => pump_exact(io::empty(), to),
        Input::Bytes(bytes) => pump_exact(&bytes[..], to),
        Input::Host => pump_exact(io::stdin().lock(), to),
        Input::Keyboard => pump_keys(io::stdin().lock(), to, events),
    };
}

/// Sends bytes such that a terminal in canonical mode hands on exactly these, then the end.
fn pump_exact(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut line = 0;
    loop {
        let len = from.read(&mut buffer)?;
        if len == 0 {
            break;
        }
        let mut sent = Vec::with_capacity(2 * len);
        for &byte in &buffer[..len] {
            if byte == b'\n' {
                line = 0;
            } else {
                if (byte < b' ' && byte != b'\t') || byte == 0x7f {
                    sent.push(LITERAL_NEXT);
                }
                line += 1;
            }
            sent.push(byte);
            if line == LONG_LINE {
                sent.push(END_OF_FILE);
                line = 0;
            }
        }
        to.write_all(&sent)?;
        to.flush()?;
    }
    let end: &[u8] = if line > 0 {
        &[END_OF_FILE, END_OF_FILE]
    } else {
        &[END_OF_FILE]
    };
    to.write_all(end)?;
    to.flush()
}

/// Sends keys, but for those that follow the escape.
fn pump_keys(mut from: impl Read, mut to: impl Write, events: &Sender<Event>) -> io::Result<()> {
    let mut escaped = false;
    let mut buffer = [0; 256];
    loop {
        let len = from.read(&mut buffer)?;
        if len == 0 {
            let _ = events.send(Event::Leave);
            return Ok(());
        }
        let mut sent = Vec::new();
        for &key in &buffer[..len] {
            match (std::mem::take(&mut escaped), key) {
                (false, ESCAPE) => escaped = true,
                (false, key) | (true, key @ ESCAPE) => sent.push(key),
                (true, b'x' | b'X') => {
                    let _ = events.send(Event::Leave);
                }
                (true, b'b' | b'B') => {
                    let _ = events.send(Event::Whereabouts);
                }
                (true, _) => {}
            }
        }
        to.write_all(&sent)?;
        to.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn input_survives_a_canonical_terminal() {
        let sent = |text: &[u8]| {
            let mut out = Vec::new();
            pump_exact(text, &mut out).expect("memory");
            out
        };
        assert_eq!(sent(b""), [4]);
        assert_eq!(sent(b"a\tb\n"), b"a\tb\n\x04");
        assert_eq!(sent(b"a"), b"a\x04\x04");
        assert_eq!(sent(b"\x03\x04\r\n"), b"\x16\x03\x16\x04\x16\r\n\x04");
        let long = sent(&[b'x'; 3000]);
        assert!(
            long.split(|&byte| byte == END_OF_FILE)
                .all(|part| part.len() <= LONG_LINE)
        );
        assert_eq!(long.iter().filter(|&&byte| byte == b'x').count(), 3000);
    }

    #[test]
    fn keys_after_the_escape_are_for_the_tool() {
        let (sender, events) = channel();
        let mut out = Vec::new();
        pump_keys(&b"a\x03\x01\x01\x01bc\x01x"[..], &mut out, &sender).expect("memory");
        assert_eq!(out, b"a\x03\x01c");
        assert!(matches!(events.recv(), Ok(Event::Whereabouts)));
        assert!(matches!(events.recv(), Ok(Event::Leave)));
    }

    #[test]
    fn only_the_latest_output_is_kept() {
        let (sender, events) = channel();
        let tail = Tail::default();
        let memory = Memory::default();
        let text = [vec![b'a'; TAIL], b"end".to_vec()].concat();
        pump_output(&text[..], Box::new(memory.clone()), &tail, &sender);
        assert!(matches!(events.recv(), Ok(Event::ConsoleClosed)));
        assert_eq!(memory.take(), text);
        assert_eq!(tail.text().len(), TAIL);
        assert!(tail.text().ends_with("aend"));
    }
}
