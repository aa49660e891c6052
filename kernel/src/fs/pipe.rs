//! [`Pipe`]: bytes from one program to another, with or without a name.
//!
//! The bytes lie in a ring of pages ([`Ring`]). One thread at a time moves bytes (it holds the
//! `busy` flag, not a lock, since copying to and from user memory may block); the rest wait on the
//! queue of their side. A write of at most [`PIPE_BUF`] bytes is one step.
//!
//! Invariants: `busy` is held by one thread, which alone touches the ring's pages; `readers` and
//! `writers` count the open files of each side.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;

use linux_raw_sys::general::{
    O_ACCMODE, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, POLLERR, POLLHUP, POLLIN, POLLOUT, SIGPIPE,
};
use linux_raw_sys::ioctl::FIONREAD;

use super::buffer::Buf;
use super::file::{File, FileHandle};
use super::inode::{Change, Edges, FileIo, FsStat, Inode, Kind, Node, Stat};
pub use super::ring::CAPACITY;
use super::ring::Ring;
use super::{label, memory, names, wait};
use crate::arch::time::wall_ns;
use crate::linux::Errno;
use crate::mm::user;
use crate::sync::Mutex;
use crate::task::{self, WaitQueue};

/// The most bytes that are written in one step.
pub const PIPE_BUF: usize = 4096;

/// A pipe.
pub struct Pipe {
    ino: u64,
    made: u64,
    state: Mutex<State>,
    /// Readers that wait for bytes, or for the end.
    readable: WaitQueue,
    /// Writers that wait for room.
    writable: WaitQueue,
}

struct State {
    ring: Ring,
    busy: bool,
    readers: Side,
    writers: Side,
    edges: Edges,
}

/// The open files of one side.
#[derive(Clone, Copy, Default)]
struct Side {
    /// Those that are open now, or about to be.
    open: u32,
    /// How many there have been, for who waits for one to come: it may be gone already.
    arrived: u32,
}

impl Side {
    fn arrive(&mut self) {
        self.open += 1;
        self.arrived = self.arrived.wrapping_add(1);
    }
}

/// What a thread that wants to move bytes finds.
enum Turn {
    /// It has the busy flag, and so many bytes may move.
    Mine(usize),
    /// There is nothing to read, or no room, now.
    Wait,
    /// The other side is gone.
    Over,
}

impl Pipe {
    fn new() -> Result<Arc<Pipe>, Errno> {
        memory::arc(Pipe {
            ino: names::next_ino(),
            made: wall_ns(),
            state: Mutex::new(State {
                ring: Ring::new(),
                busy: false,
                readers: Side::default(),
                writers: Side::default(),
                edges: Edges::default(),
            }),
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
        })
    }

    fn read_turn(&self) -> Turn {
        let mut state = self.state.lock();
        if state.busy {
            return Turn::Wait;
        }
        match state.ring.len() {
            0 if state.writers.open == 0 => Turn::Over,
            0 => Turn::Wait,
            len => {
                state.busy = true;
                Turn::Mine(len)
            }
        }
    }

    fn write_turn(&self, wanted: usize) -> Turn {
        let mut state = self.state.lock();
        if state.readers.open == 0 {
            return Turn::Over;
        }
        let room = CAPACITY - state.ring.len();
        let least = if wanted <= PIPE_BUF { wanted } else { 1 };
        if state.busy || room < least {
            return Turn::Wait;
        }
        state.busy = true;
        Turn::Mine(room)
    }

    /// Waits until `turn` is something else than [`Turn::Wait`], unless the file does not wait.
    fn take_turn(
        &self,
        file: &File,
        queue: &WaitQueue,
        turn: impl Fn() -> Turn,
    ) -> Result<Turn, Errno> {
        let mut result = turn();
        if matches!(result, Turn::Wait) {
            if file.nonblocking() {
                return Err(Errno::EAGAIN);
            }
            queue.wait_until(|| {
                result = turn();
                !matches!(result, Turn::Wait)
            })?;
        }
        Ok(result)
    }

    /// Ends a turn and wakes who may go on now.
    fn end_turn(&self) {
        self.state.lock().busy = false;
        self.readable.wake_all();
        self.writable.wake_all();
        wait::changed();
    }
}

impl FileIo for Pipe {
    fn read(&self, file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        if buf.is_empty() {
            return Ok(0);
        }
        let Turn::Mine(len) = self.take_turn(file, &self.readable, || self.read_turn())? else {
            return Ok(0);
        };
        buf.limit(len);
        let mut done = 0;
        let mut result = Ok(0);
        while !buf.is_empty() {
            let (from, count) = self.state.lock().ring.front();
            // SAFETY: the ring's bytes stay where they are while this thread is the busy one.
            result = unsafe { buf.put_raw(from, count) };
            let Ok(moved) = result else { break };
            let mut state = self.state.lock();
            state.ring.consume(moved);
            state.edges.output += 1;
            done += moved;
        }
        self.end_turn();
        if done > 0 { Ok(done) } else { result }
    }

    fn write(&self, file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        let mut done = 0;
        while !buf.is_empty() {
            let wanted = buf.len();
            let turn = self.take_turn(file, &self.writable, || self.write_turn(wanted));
            let result = match turn {
                Ok(Turn::Mine(room)) => {
                    let result = self.fill(buf, room.min(wanted), &mut done);
                    self.end_turn();
                    result
                }
                Ok(_) => {
                    task::signal_current(SIGPIPE);
                    Err(Errno::EPIPE)
                }
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {}
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn ready(&self, file: &File) -> u32 {
        let state = self.state.lock();
        let mut events = 0;
        if file.readable() {
            if state.ring.len() > 0 {
                events |= POLLIN;
            }
            if state.writers.open == 0 {
                events |= POLLHUP;
            }
        }
        if file.writable() {
            if CAPACITY - state.ring.len() >= PIPE_BUF {
                events |= POLLOUT;
            }
            if state.readers.open == 0 {
                events |= POLLERR;
            }
        }
        events
    }

    fn edges(&self, file: &File) -> Option<Edges> {
        let Edges { input, output } = self.state.lock().edges;
        Some(Edges {
            input: if file.readable() { input } else { 0 },
            output: if file.writable() { output } else { 0 },
        })
    }

    fn ioctl(&self, _file: &File, request: u32, arg: usize) -> Result<usize, Errno> {
        match request {
            FIONREAD => {
                let len = self.state.lock().ring.len() as i32;
                user::write(arg, &len)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn opened(&self, file: &File) {
        let mut state = self.state.lock();
        if file.readable() {
            state.readers.arrive();
        }
        if file.writable() {
            state.writers.arrive();
        }
    }

    fn closed(&self, file: &File) {
        let mut state = self.state.lock();
        state.readers.open -= u32::from(file.readable());
        state.writers.open -= u32::from(file.writable());
        state.edges.input += 1;
        state.edges.output += 1;
        if state.readers.open == 0 && state.writers.open == 0 {
            state.ring.clear();
        }
        drop(state);
        self.readable.wake_all();
        self.writable.wake_all();
        wait::changed();
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Pipe {
    /// Moves `len` bytes into the ring in this thread's turn, counting them in `done`.
    fn fill(&self, buf: &mut Buf<'_>, len: usize, done: &mut usize) -> Result<(), Errno> {
        let end = *done + len;
        while *done < end {
            let (to, count) = self.state.lock().ring.back()?;
            // SAFETY: the ring's free bytes stay where they are while this thread is the busy one.
            let moved = unsafe { buf.take_raw(to, count.min(end - *done)) }?;
            let mut state = self.state.lock();
            state.ring.produce(moved);
            state.edges.input += 1;
            *done += moved;
        }
        Ok(())
    }
}

impl Inode for Pipe {
    fn kind(&self) -> Kind {
        Kind::Fifo
    }

    fn stat(&self) -> Stat {
        label::stat(Kind::Fifo, 0o600, self.ino, self.made)
    }

    fn fs_stat(&self) -> FsStat {
        FsStat {
            magic: 0x5049_5045,
            blocks: 0,
            free: 0,
        }
    }

    fn change(&self, _change: Change) -> Result<(), Errno> {
        Ok(())
    }

    fn open(self: Arc<Self>, _flags: u32) -> Result<Arc<dyn FileIo>, Errno> {
        Ok(self)
    }

    fn label(&self) -> Option<Vec<u8>> {
        label::numbered("pipe", self.ino).ok()
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// A pipe's two ends: the one to read from, the one to write to.
pub fn open_pair(flags: u32) -> Result<(FileHandle, FileHandle), Errno> {
    let pipe = Pipe::new()?;
    let node: Node = pipe.clone();
    let read = File::new(node.clone(), pipe.clone(), O_RDONLY | flags)?;
    let write = File::new(node, pipe, O_WRONLY | flags)?;
    Ok((read, write))
}

/// Opens a named pipe, whose bytes live as long as somebody has it open. Waits for the other side.
pub fn open_named(slot: &Mutex<Weak<Pipe>>, flags: u32) -> Result<Arc<dyn FileIo>, Errno> {
    let known = slot.lock().upgrade();
    let pipe = match known {
        Some(pipe) => pipe,
        None => {
            let pipe = Pipe::new()?;
            *slot.lock() = Arc::downgrade(&pipe);
            pipe
        }
    };
    let wait = flags & O_NONBLOCK == 0;
    match flags & O_ACCMODE {
        O_RDONLY if wait => pipe.meet(|state| &mut state.readers, |state| state.writers)?,
        O_WRONLY if wait => pipe.meet(|state| &mut state.writers, |state| state.readers)?,
        O_WRONLY if pipe.state.lock().readers.open == 0 => return Err(Errno::ENXIO),
        O_RDONLY | O_WRONLY | O_RDWR => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(pipe)
}

impl Pipe {
    /// Comes to one side and waits until somebody is on the other, or was meanwhile. The file that
    /// is opened next counts for itself.
    fn meet(
        &self,
        ours: impl Fn(&mut State) -> &mut Side,
        theirs: impl Fn(&State) -> Side,
    ) -> Result<(), Errno> {
        let mut state = self.state.lock();
        ours(&mut state).arrive();
        let before = theirs(&state).arrived;
        drop(state);
        self.readable.wake_all();
        let result = self.readable.wait_until(|| {
            let other = theirs(&self.state.lock());
            other.open > 0 || other.arrived != before
        });
        ours(&mut self.state.lock()).open -= 1;
        result
    }
}
