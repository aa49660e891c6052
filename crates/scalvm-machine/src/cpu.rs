//! [`Cpu`]: a processor, and what programs do on it.

use std::sync::atomic::Ordering::SeqCst;

use scalvm::{Access, Frame, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE};

use crate::cache::{Core, Translation};
use crate::machine::Emulated;
use crate::{order, walk};

/// The end of the addresses that programs can use.
const USER_END: usize = 1 << 47;
/// Where the addresses begin that only the kernel can use. Between the two no address is valid.
pub(crate) const KERNEL_START: usize = USER_END.wrapping_neg();

/// On whose behalf a processor makes an access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Program,
    Kernel,
}

impl Mode {
    /// Whether a translation may be used that grants access to programs, or not. Panics where the
    /// kernel has put its own memory where programs get at it.
    pub fn may_use(self, user: bool, va: usize) -> bool {
        match self {
            Mode::Program => user,
            Mode::Kernel => {
                assert!(
                    !user,
                    "machine check: programs can reach kernel memory at {va:#x}"
                );
                true
            }
        }
    }
}

/// An access that the MMU did not let pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageFault {
    /// The first address that could not be accessed.
    pub addr: usize,
    /// What was tried there.
    pub access: Access,
}

/// A processor of an [`Emulated`] machine. Clones are handles of the same processor.
#[derive(Clone, Debug)]
pub struct Cpu {
    machine: Emulated,
    number: usize,
    mode: Mode,
}

impl Cpu {
    pub(crate) fn new(machine: Emulated, number: usize) -> Cpu {
        Cpu {
            machine,
            number,
            mode: Mode::Program,
        }
    }

    /// The same processor while it runs the kernel: its accesses go to the kernel's half, by the root
    /// table that it uses, or the kernel's own where it uses none.
    pub fn as_kernel(&self) -> Cpu {
        Cpu {
            mode: Mode::Kernel,
            ..self.clone()
        }
    }

    /// Its number, what [`Machine::cpu`](scalvm::Machine::cpu) tells a thread that runs on it.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Does something on this processor. The thread is where it was before after that; processor 0
    /// is where threads are that nobody put elsewhere.
    pub fn run<R>(&self, act: impl FnOnce() -> R) -> R {
        /// Puts the thread back, also when it panics.
        struct Back<'a>(&'a Cpu, Option<usize>);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                order::set_cpu(self.0.machine.who(), self.1);
            }
        }
        let before = order::set_cpu(self.machine.who(), Some(self.number));
        let _back = Back(self, before);
        act()
    }

    /// The root table that it uses.
    pub fn root(&self) -> Option<Frame> {
        self.machine.core(self.number).root
    }

    /// Makes it use no root table, as a processor that has only the kernel to run: all accesses
    /// fault.
    pub fn park(&self) {
        self.machine.core(self.number).set_root(None);
    }

    /// Loads bytes as a program would, page by page.
    pub fn load(&self, va: usize, buf: &mut [u8]) -> Result<(), PageFault> {
        let mut done = 0;
        while done < buf.len() {
            let at = va.wrapping_add(done);
            let count = (PAGE_SIZE - (at & PAGE_MASK)).min(buf.len() - done);
            self.access(at, Access::Read, |frame, offset| {
                let part = &mut buf[done..done + count];
                self.machine.hardware.arena.read(frame, offset, part);
            })?;
            done += count;
        }
        Ok(())
    }

    /// Stores bytes as a program would, page by page: those before a fault are stored.
    pub fn store(&self, va: usize, buf: &[u8]) -> Result<(), PageFault> {
        let mut done = 0;
        while done < buf.len() {
            let at = va.wrapping_add(done);
            let count = (PAGE_SIZE - (at & PAGE_MASK)).min(buf.len() - done);
            self.access(at, Access::Write, |frame, offset| {
                self.machine
                    .hardware
                    .arena
                    .write(frame, offset, &buf[done..done + count]);
            })?;
            done += count;
        }
        Ok(())
    }

    /// Loads 8 bytes; all at once if they are aligned.
    pub fn load_u64(&self, va: usize) -> Result<u64, PageFault> {
        let mut bytes = [0; 8];
        self.load(va, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// Stores 8 bytes; all at once if they are aligned.
    pub fn store_u64(&self, va: usize, value: u64) -> Result<(), PageFault> {
        self.store(va, &value.to_ne_bytes())
    }

    /// Adds to 8 aligned bytes, atomically; what they were. Panics if they are not aligned.
    pub fn add_u64(&self, va: usize, more: u64) -> Result<u64, PageFault> {
        assert!(va.is_multiple_of(8), "an atomic access must be aligned");
        self.access(va, Access::Write, |frame, offset| {
            self.machine
                .hardware
                .arena
                .word(frame, offset / 8)
                .fetch_add(more, SeqCst)
        })
    }

    /// Fetches an instruction's byte.
    pub fn fetch(&self, va: usize) -> Result<u8, PageFault> {
        let mut byte = [0];
        self.access(va, Access::Exec, |frame, offset| {
            self.machine.hardware.arena.read(frame, offset, &mut byte);
        })?;
        Ok(byte[0])
    }

    /// Whether it has a translation of the page cached. (Looking at it makes none.)
    pub fn has_cached(&self, va: usize) -> bool {
        self.machine
            .core(self.number)
            .pages
            .contains_key(&(va >> PAGE_SHIFT))
    }

    /// One access to one page. The caches are locked until it is done, so that a flush waits for
    /// it.
    fn access<R>(
        &self,
        va: usize,
        access: Access,
        act: impl FnOnce(Frame, usize) -> R,
    ) -> Result<R, PageFault> {
        let mut core = self.machine.core(self.number);
        match self.translate(&mut core, va, access) {
            Some(frame) => Ok(act(frame, va & PAGE_MASK)),
            None => Err(PageFault { addr: va, access }),
        }
    }

    /// The frame for an access: cached, or from a walk.
    fn translate(&self, core: &mut Core, va: usize, access: Access) -> Option<Frame> {
        let valid = match self.mode {
            // Programs may try the kernel's half, and must fail by its tables.
            Mode::Program => !(USER_END..KERNEL_START).contains(&va),
            Mode::Kernel => va >= KERNEL_START,
        };
        if !valid {
            return None;
        }
        let kernel_root = self.machine.hardware.kernel_root;
        let root = match self.mode {
            Mode::Program => core.root,
            Mode::Kernel => core.root.or(kernel_root),
        }?;
        if core.caprice() {
            core.evict();
        }
        if let Some(cached) = core.pages.get(&(va >> PAGE_SHIFT)) {
            if suffices(cached, access) && self.mode.may_use(cached.user, va) {
                return Some(cached.frame);
            }
            // A right that it lacks may have been granted since. A store that must set the dirty
            // bit goes to the tables, too.
            core.forget(va);
        }
        let arena = &self.machine.hardware.arena;
        let shape = core.shape;
        let cached = core.ways.get(&shape.first_page(va)).copied();
        let found = loop {
            let way = match cached {
                Some(way) => way,
                None => walk::way(arena, shape, root, va).ok()?,
            };
            match walk::leaf(arena, shape, way, va, access, self.mode) {
                Ok(translation) => break Ok((way, translation)),
                Err(walk::Miss::Fault) => break Err(()),
                Err(walk::Miss::Changed) => {}
            }
        };
        match found {
            Ok((way, translation)) => {
                core.cache(va, way, translation);
                Some(translation.frame)
            }
            Err(()) => {
                core.forget(va);
                if core.caprice() {
                    // As if the program's next instruction had been guessed: the way is walked
                    // again, and cached. (The leaf grants nothing, and is not.)
                    let way = walk::way(arena, shape, root, va).ok()?;
                    if way.level == 0 {
                        core.ways.insert(shape.first_page(va), way);
                    }
                }
                None
            }
        }
    }
}

/// Whether a cached translation lets an access pass.
fn suffices(cached: &Translation, access: Access) -> bool {
    match access {
        Access::Read => true,
        Access::Write => cached.write && cached.dirty,
        Access::Exec => cached.exec,
    }
}
