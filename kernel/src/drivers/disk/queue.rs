//! [`Queue`]: the requests that a virtio disk works at.
//!
//! A request is a chain of descriptors: a header, the memory, and a byte for the status. Header and
//! status stand in a [`Place`] of the queue, of which there is a fixed number, so that nothing is
//! allocated once the device is ready.
//!
//! Invariants:
//! 1. A place is `Running` exactly while its descriptors are the device's, and its token is then the
//!    first of them. The frames of its [`Io`] are held by that.
//! 2. The queue does not move once a request has been started: it is part of a disk, and disks stay
//!    where they are.

use core::ptr;

use scalvm::{Frame, Io, Machine, MdlPiece, PAGE_SIZE, PagerError};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{InterruptStatus, Transport as _};

use crate::drivers::hal::VirtioHal;
use crate::drivers::pci::Transport;
use crate::linux::Errno;
use crate::mm::{Hw, VM};

/// Descriptors of the ring.
const DESCRIPTORS: usize = 128;
/// Requests that can be under way.
const PLACES: usize = 16;
/// The most pieces of memory of a request.
pub const MOST_PIECES: usize = 16;
/// The number of a disk's only queue.
const QUEUE: u16 = 0;

/// The device refuses to be written.
const FEATURE_READ_ONLY: u64 = 1 << 5;
/// The device has a cache, and empties it when it is told to.
const FEATURE_FLUSH: u64 = 1 << 9;
/// The device is of the present kind.
const FEATURE_VERSION_1: u64 = 1 << 32;

/// Offset in the configuration: sectors, in two words.
const CAPACITY: usize = 0;

const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;
/// The status of a request that has succeeded.
const STATUS_OK: u8 = 0;
/// What the status is until the device has written it.
const STATUS_NONE: u8 = 0xff;

/// What a request asks for.
#[expect(
    clippy::large_enum_variant,
    reason = "places stand ready: nothing is allocated for a request"
)]
pub enum Work {
    /// To fill the frames from the disk.
    Read(Io<Hw>),
    /// To put the frames to the disk.
    Write(Io<Hw>),
    /// To move pages of a request whose pages lie in several places.
    Part(Part),
    /// To move sectors to or from a program's memory.
    Direct(Direct),
    /// To put what was written to the medium.
    Flush,
}

/// Pieces of a program's memory, which whoever waits for the end holds.
pub struct Direct {
    /// Whether they are put to the disk.
    write: bool,
    pieces: [MdlPiece; MOST_PIECES],
    count: usize,
}

impl Direct {
    /// None yet.
    pub fn new(write: bool) -> Direct {
        let nothing = MdlPiece {
            frame: Frame::NONE,
            offset: 0,
            len: 0,
        };
        Direct {
            write,
            pieces: [nothing; MOST_PIECES],
            count: 0,
        }
    }

    /// Adds a piece, if there is room. What the device fills must not overlap, though a program may have one frame in
    /// several places.
    pub fn add(&mut self, piece: MdlPiece) -> bool {
        let pieces = &self.pieces[..self.count];
        let fits = self.count < MOST_PIECES
            && (self.write || pieces.iter().all(|p| p.frame != piece.frame));
        if fits {
            self.pieces[self.count] = piece;
            self.count += 1;
        }
        fits
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.pieces[..self.count].iter().map(|p| p.len).sum()
    }
}

/// Pages of a request that lie side by side on the disk.
pub struct Part {
    /// The request's place among the jobs.
    pub job: usize,
    /// Whether they are put to the disk.
    pub write: bool,
    /// How many frames.
    pub count: usize,
    /// The frames, which the request holds.
    pub frames: [Frame; MOST_PIECES],
}

impl Work {
    /// The memory: frames, and how many bytes of them.
    fn memory(&self) -> (&[Frame], usize) {
        match self {
            Work::Read(io) | Work::Write(io) => (io.frames(), io.len_bytes()),
            Work::Part(part) => (&part.frames[..part.count], part.count * PAGE_SIZE),
            Work::Direct(_) | Work::Flush => (&[], 0),
        }
    }
}

/// What the device reads first.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    kind: u32,
    reserved: u32,
    sector: u64,
}

/// What stands in a place.
#[expect(
    clippy::large_enum_variant,
    reason = "places stand ready: nothing is allocated for a request"
)]
enum State {
    Free,
    Running {
        work: Work,
        token: u16,
    },
    /// What somebody waits for has ended, and he has not asked how yet.
    Ended(Result<(), PagerError>),
}

/// Where a request stands.
struct Place {
    header: Header,
    status: u8,
    state: State,
}

/// The device and its requests.
pub struct Queue {
    transport: Transport,
    ring: VirtQueue<VirtioHal, DESCRIPTORS>,
    features: u64,
    sectors: u64,
    places: [Place; PLACES],
}

/// The memory of a request, as few pieces as there are.
struct Pieces {
    list: [(*mut u8, usize); MOST_PIECES],
    count: usize,
}

impl Pieces {
    /// Those of what is to be done.
    fn of(work: &Work) -> Pieces {
        let mut pieces = Pieces {
            list: [(ptr::null_mut(), 0); MOST_PIECES],
            count: 0,
        };
        if let Work::Direct(direct) = work {
            for piece in &direct.pieces[..direct.count] {
                // SAFETY: the piece lies within its frame.
                let at = unsafe { VM.machine().frame_ptr(piece.frame).add(piece.offset) };
                pieces.list[pieces.count] = (at, piece.len);
                pieces.count += 1;
            }
        }
        let mut before: Option<Frame> = None;
        let (frames, mut left) = work.memory();
        for frame in frames {
            let len = left.min(PAGE_SIZE);
            if len == 0 {
                break;
            }
            left -= len;
            if before.is_some_and(|before| before.0 + 1 == frame.0) {
                pieces.list[pieces.count - 1].1 += len;
            } else {
                pieces.list[pieces.count] = (VM.machine().frame_ptr(*frame), len);
                pieces.count += 1;
            }
            before = Some(*frame);
        }
        pieces
    }

    fn as_slice(&self) -> &[(*mut u8, usize)] {
        &self.list[..self.count]
    }
}

impl Queue {
    /// Makes the device ready.
    pub fn new(mut transport: Transport) -> Result<Queue, Errno> {
        use virtio_drivers::transport::DeviceStatus as Status;
        let mut status = Status::ACKNOWLEDGE | Status::DRIVER;
        transport.set_status(Status::empty());
        transport.set_status(status);
        // Not indirect descriptors, which the crate would allocate for each request.
        let wanted = FEATURE_READ_ONLY | FEATURE_FLUSH | FEATURE_VERSION_1;
        let features = transport.read_device_features() & wanted;
        transport.write_driver_features(features);
        status |= Status::FEATURES_OK;
        transport.set_status(status);
        if !transport.get_status().contains(Status::FEATURES_OK) {
            return Err(Errno::EIO);
        }
        let sectors = transport
            .read_consistent(|| {
                let low: u32 = transport.read_config_space(CAPACITY)?;
                let high: u32 = transport.read_config_space(CAPACITY + 4)?;
                Ok(u64::from(low) | u64::from(high) << 32)
            })
            .map_err(|_| Errno::EIO)?;
        let ring = VirtQueue::new(&mut transport, QUEUE, false, false).map_err(|_| Errno::EIO)?;
        transport.set_status(status | Status::DRIVER_OK);
        Ok(Queue {
            transport,
            ring,
            features,
            sectors,
            places: [const {
                Place {
                    header: Header {
                        kind: 0,
                        reserved: 0,
                        sector: 0,
                    },
                    status: STATUS_NONE,
                    state: State::Free,
                }
            }; PLACES],
        })
    }

    /// The disk's size.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Whether the device refuses to be written.
    pub fn is_read_only(&self) -> bool {
        self.features & FEATURE_READ_ONLY != 0
    }

    /// Whether what was written may still have to be flushed.
    pub fn has_cache(&self) -> bool {
        self.features & FEATURE_FLUSH != 0
    }

    /// Whether the device has anything to do.
    pub fn is_busy(&self) -> bool {
        self.places
            .iter()
            .any(|place| matches!(place.state, State::Running { .. }))
    }

    /// Gives the device something to do, from this sector on; returns the place of the request. If
    /// there is no room, the work stays where it is.
    pub fn start(&mut self, given: &mut Option<Work>, sector: u64) -> Option<usize> {
        let at = self
            .places
            .iter()
            .position(|place| matches!(place.state, State::Free))?;
        let work = given.as_ref()?;
        let pieces = Pieces::of(work);
        if pieces.count + 2 > self.ring.available_desc() {
            return None;
        }
        let kind = match work {
            Work::Read(_)
            | Work::Part(Part { write: false, .. })
            | Work::Direct(Direct { write: false, .. }) => READ,
            Work::Write(_) | Work::Part(_) | Work::Direct(_) => WRITE,
            Work::Flush => FLUSH,
        };
        let place = &mut self.places[at];
        place.header = Header {
            kind,
            reserved: 0,
            sector,
        };
        place.status = STATUS_NONE;
        let ring = &mut self.ring;
        let added = place.with_buffers(&pieces, kind, |inputs, outputs| {
            // SAFETY: header and status stay where they are (invariant 2) and are not touched while
            // the place is running, and the pager, or who waits, holds the frames. Programs may write to those
            // meanwhile, through no reference: the slices are gone when this returns.
            unsafe { ring.add(inputs, outputs) }
        });
        let token = added.ok()?;
        place.state = State::Running {
            work: given.take()?,
            token,
        };
        if self.ring.should_notify() {
            self.transport.notify(QUEUE);
        }
        Some(at)
    }

    /// Tells the device that its interrupt has been seen; why it came.
    pub fn acknowledge(&mut self) -> InterruptStatus {
        self.transport.ack_interrupt()
    }

    /// A request that the device has ended, and how; none if there is none.
    pub fn take(&mut self) -> Option<(Work, Result<(), PagerError>)> {
        let used = self.ring.peek_used()?;
        let place = self
            .places
            .iter_mut()
            .find(|place| matches!(place.state, State::Running { token, .. } if token == used));
        // A device that names what it was never given is not to be trusted with anything more.
        let place = place.expect("the disk ends a request that it does not have");
        let State::Running { work, token } = core::mem::replace(&mut place.state, State::Free)
        else {
            unreachable!("the place is running")
        };
        let pieces = Pieces::of(&work);
        let ring = &mut self.ring;
        let popped = place.with_buffers(&pieces, place.header.kind, |inputs, outputs| {
            // SAFETY: the buffers that start gave, made of the same request.
            unsafe { ring.pop_used(token, inputs, outputs) }
        });
        // SAFETY: the place's own byte, which the device has written.
        let status = unsafe { ptr::read_volatile(&raw const place.status) };
        let result = match (popped, status) {
            (Ok(_), STATUS_OK) => Ok(()),
            _ => Err(PagerError::Io),
        };
        if matches!(work, Work::Direct(_) | Work::Flush) {
            place.state = State::Ended(result);
        }
        Some((work, result))
    }

    /// How what somebody waits for in this place has ended, if it has: the place is free then.
    pub fn ended(&mut self, at: usize) -> Option<Result<(), PagerError>> {
        let place = &mut self.places[at];
        let State::Ended(result) = place.state else {
            return None;
        };
        place.state = State::Free;
        Some(result)
    }
}

impl Place {
    /// Calls `what` with the buffers that the device reads, and those that it writes.
    fn with_buffers<R>(
        &mut self,
        pieces: &Pieces,
        kind: u32,
        what: impl for<'a> FnOnce(&'a [&'a [u8]], &'a mut [&'a mut [u8]]) -> R,
    ) -> R {
        let pieces = pieces.as_slice();
        let header = (&raw const self.header).cast::<u8>();
        // SAFETY: the place's own header, which is all bytes.
        let header = unsafe { core::slice::from_raw_parts(header, size_of::<Header>()) };
        let status = core::slice::from_mut(&mut self.status);
        if kind == READ {
            let mut outputs: [&mut [u8]; MOST_PIECES + 1] = Default::default();
            for (output, (at, len)) in outputs.iter_mut().zip(pieces) {
                // SAFETY: frames in the direct map, one behind the other, and the pieces are different
                // frames. A program that maps them does not run while the slice is there: there is
                // one processor.
                *output = unsafe { core::slice::from_raw_parts_mut(*at, *len) };
            }
            outputs[pieces.len()] = status;
            what(&[header], &mut outputs[..=pieces.len()])
        } else {
            let mut inputs: [&[u8]; MOST_PIECES + 1] = Default::default();
            inputs[0] = header;
            for (input, (at, len)) in inputs[1..].iter_mut().zip(pieces) {
                // SAFETY: as above, but that programs may have mapped the frames. None of them runs
                // while the slice is there: there is one processor.
                *input = unsafe { core::slice::from_raw_parts(*at, *len) };
            }
            what(&inputs[..=pieces.len()], &mut [status])
        }
    }
}
