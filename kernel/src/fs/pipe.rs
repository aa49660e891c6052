//! [`Pipe`]: bytes from one program to another, with or without a name.
//!
//! The bytes lie in a queue of segments ([`Ring`]). One thread at a time moves bytes (it holds the
//! `busy` flag, not a lock, since copying to and from user memory may block); the rest wait on the
//! queue of their side. A write of at most [`PIPE_BUF`] bytes is one step.
//!
//! Most writers use their buffer again at once; of a page that was lent they would then need a copy all the same,
//! and a fault. But who writes more than the pipe holds waits for the reader anyway, and all but the last pages are
//! read by then: so the whole pages of such a write are lent, not copied. vmsplice(2) always lends. Moving
//! segments from file to pipe and from pipe to pipe is in [`splice`](super::splice).
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
use super::segment::Segment;
use super::{label, memory, names, wait};
use scalvm::PAGE_SIZE;

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
        let room = state.ring.room();
        let least = if wanted <= PIPE_BUF { wanted } else { 1 };
        if state.busy || room < least {
            return Turn::Wait;
        }
        state.busy = true;
        Turn::Mine(room)
    }

    /// Waits until `turn` is something else than [`Turn::Wait`]; EAGAIN if that is not wanted.
    fn take_turn(
        &self,
        waits: bool,
        queue: &WaitQueue,
        turn: impl Fn() -> Turn,
    ) -> Result<Turn, Errno> {
        let mut result = turn();
        if matches!(result, Turn::Wait) {
            if !waits {
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
        let most = buf.len();
        self.drain(most, !file.nonblocking(), |bytes| buf.put(bytes))
    }

    fn write(&self, file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        let (mut done, lends) = (0, buf.len() > CAPACITY);
        while !buf.is_empty() {
            let wanted = buf.len();
            let turn = self.begin_write(wanted, !file.nonblocking());
            let result = turn.and_then(|room| {
                let result = self.fill(buf, room.min(wanted), lends, &mut done);
                self.end_turn();
                result
            });
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
            if state.ring.room() >= PIPE_BUF {
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
    /// Moves up to `len` bytes into the ring in this thread's turn, counting them in `done`; whole pages
    /// without a copy if they may be lent.
    fn fill(
        &self,
        buf: &mut Buf<'_>,
        len: usize,
        lends: bool,
        done: &mut usize,
    ) -> Result<(), Errno> {
        let end = *done + len;
        loop {
            let (room, free) = {
                let ring = &self.state.lock().ring;
                (ring.room(), ring.free_segments())
            };
            let mut most = room.min(end.saturating_sub(*done));
            if most == 0 {
                return Ok(());
            }
            if lends {
                if free > 0
                    && let Some(loan) = buf.lend()
                {
                    let segment = Segment::lent(loan, 0, PAGE_SIZE);
                    self.push(segment)?;
                    *done += PAGE_SIZE;
                    continue;
                }
                most = most.min(buf.to_page_end());
            }
            let (to, count) = self.state.lock().ring.back()?;
            // SAFETY: the ring's free bytes stay where they are while this thread is the busy one.
            let moved = unsafe { buf.take_raw(to, count.min(most)) }?;
            let mut state = self.state.lock();
            state.ring.produce(moved);
            state.edges.input += 1;
            *done += moved;
        }
    }

    /// In this thread's turn to write: appends a segment.
    fn push(&self, segment: Segment) -> Result<(), Errno> {
        let mut state = self.state.lock();
        state.edges.input += 1;
        state.ring.push(segment)
    }

    /// Waits for the turn to write, with room for `wanted` bytes if those are no more than [`PIPE_BUF`], else for
    /// one. Returns how much room there is. Whoever writes to nobody gets EPIPE, and a signal.
    fn begin_write(&self, wanted: usize, waits: bool) -> Result<usize, Errno> {
        match self.take_turn(waits, &self.writable, || self.write_turn(wanted))? {
            Turn::Mine(room) => Ok(room),
            Turn::Wait | Turn::Over => {
                task::signal_current(SIGPIPE);
                Err(Errno::EPIPE)
            }
        }
    }

    /// Waits for bytes, and gives up to `most` of them to `sink`, piece by piece, which tells how many it took;
    /// zero at the end of the stream.
    pub fn drain(
        &self,
        most: usize,
        waits: bool,
        mut sink: impl FnMut(&[u8]) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        if most == 0 {
            return Ok(0);
        }
        let Turn::Mine(len) = self.take_turn(waits, &self.readable, || self.read_turn())? else {
            return Ok(0);
        };
        let end = len.min(most);
        let mut done = 0;
        let mut result = Ok(0);
        while done < end {
            let (from, count) = self.state.lock().ring.front();
            // SAFETY: the bytes were produced, and stay what and where they are while this thread is the busy one.
            let bytes = unsafe { core::slice::from_raw_parts(from, count.min(end - done)) };
            result = sink(bytes);
            let Ok(moved @ 1..) = result else { break };
            let mut state = self.state.lock();
            state.ring.consume(moved);
            state.edges.output += 1;
            done += moved;
        }
        self.end_turn();
        if done > 0 { Ok(done) } else { result }
    }

    /// Waits for room, and appends what `source` makes, segment by segment, until it makes no more or there is no
    /// more room. Returns how many bytes those are.
    pub fn feed(
        &self,
        waits: bool,
        mut source: impl FnMut() -> Result<Option<Segment>, Errno>,
    ) -> Result<usize, Errno> {
        // As much as a whole segment needs.
        self.begin_write(PIPE_BUF, waits)?;
        let mut done = 0;
        let mut result = Ok(());
        while self.state.lock().ring.free_segments() > 0 {
            match source() {
                Ok(Some(segment)) => {
                    done += segment.len();
                    result = self.push(segment);
                }
                Ok(None) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.end_turn();
        if done > 0 {
            Ok(done)
        } else {
            result.map(|()| 0)
        }
    }

    /// Waits for bytes, and calls `each` in this thread's turn to read; zero at the end of the stream.
    pub fn with_bytes(
        &self,
        waits: bool,
        each: impl FnOnce() -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        match self.take_turn(waits, &self.readable, || self.read_turn())? {
            Turn::Mine(_) => {
                let result = each();
                self.end_turn();
                result
            }
            Turn::Wait | Turn::Over => Ok(0),
        }
    }

    /// Waits until there is room for a segment, or nobody reads.
    pub fn wait_for_room(&self) -> Result<(), Errno> {
        self.begin_write(PIPE_BUF, true)?;
        self.end_turn();
        Ok(())
    }

    /// In this thread's turn: takes the first segment, or up to `most` bytes of it.
    pub fn pop(&self, most: usize) -> Result<Option<Segment>, Errno> {
        let mut state = self.state.lock();
        state.edges.output += 1;
        state.ring.pop(most)
    }

    /// In this thread's turn: a copy of segment number `nth`, or of up to `most` bytes of it.
    pub fn duplicate(&self, nth: usize, most: usize) -> Result<Option<Segment>, Errno> {
        self.state.lock().ring.duplicate(nth, most)
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
        FsStat::without_blocks(0x5049_5045)
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
