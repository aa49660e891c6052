//! A manager on an emulated machine with a disk, and what tests do with them.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use scalvm::{
    Access, Frame, Machine, Map, Mapping, Object, OutOfMemory, PAGE_SIZE, Pmap, PolicyKind,
    SwapError, SwapId, SwapOptions, Vm,
};
use scalvm_machine::{Config, Disk, Emulated, Pace, PageFault, Rng, Runtime, Tables};

use crate::model::Bytes;
use crate::program::Paging;

/// The machine.
pub type Hw = Emulated;
/// An access that the MMU did not let pass.
pub type Trap = PageFault;

/// Processors of a kit.
pub const CPUS: usize = 3;
/// Files on the disk of a kit.
pub const FILES: usize = 3;
/// Pages that a file may have.
pub const FILE_PAGES: u64 = 20;
/// The cookie of the first swap device on the disk of a kit: beyond those of files.
pub const SWAP: usize = 1000;
/// Frames of the device.
pub const DEVICE_FRAMES: usize = 19;
/// The first frame of the device.
pub const DEVICE: Frame = Frame(0x9000);

/// The frame of the kernel's root table, where there is a kernel half.
pub const KERNEL_ROOT: Frame = Frame(0x900);
/// The first frame of memory that is added later.
const SPARE: Frame = Frame(0xa000);

/// What a kit is made of.
pub struct Order {
    /// Frames of memory, in two segments.
    pub frames: u64,
    /// Frames that can be added later.
    pub spare: u64,
    /// Whether address spaces have a kernel half.
    pub kernel: bool,
    /// The format of page tables.
    pub tables: Tables,
    /// Whether the disk carries requests out only when somebody waits for them, in any order.
    pub slow_disk: bool,
    /// On one access of this many a processor forgets translations; zero: never.
    pub evict_one_in: u64,
    /// The seed of what happens by chance.
    pub seed: u64,
    /// How memory is paged; none: nothing leaves it. How much room there is, is whoever's who keeps it short.
    pub paging: Option<Paging>,
    /// The threads; none for a single one.
    pub runtime: Option<Box<dyn Runtime>>,
}

impl Default for Order {
    fn default() -> Order {
        Order {
            frames: 4096,
            spare: 0,
            kernel: false,
            tables: Tables::X86_64,
            slow_disk: false,
            evict_one_in: 0,
            seed: 1,
            paging: None,
            runtime: None,
        }
    }
}

/// A manager, its machine and its disk.
pub struct Kit {
    vm: &'static Vm<Hw>,
    disk: &'static Disk,
    /// The number of the allocation that is to fail, if one is, and how many did.
    failing: Mutex<(Option<u64>, u64)>,
    /// How much of the memory that can be added has been.
    added: AtomicU64,
    /// Uses of locks, if there is a single thread, and how many there may be.
    steps: Arc<AtomicU64>,
    limit: Arc<AtomicU64>,
}

impl Kit {
    /// A kit for one thread, with so many frames of memory and a disk that is never late.
    pub fn new(frames: u64) -> Kit {
        Kit::with(Order {
            frames,
            ..Order::default()
        })
    }

    /// A kit made to order.
    pub fn with(order: Order) -> Kit {
        let first = order.frames * 3 / 4;
        let run = |start, frames| Frame(start)..Frame(start + frames);
        let is_alone = order.runtime.is_none();
        let steps = Arc::new(AtomicU64::new(0));
        // No test of one thread uses as many (arbitrary).
        let limit = Arc::new(AtomicU64::new(50_000_000));
        let alone = Alone {
            spins: AtomicU32::new(0),
            steps: steps.clone(),
            limit: limit.clone(),
        };
        let mut segments = vec![run(0x1000, first), run(0x8000, order.frames - first)];
        segments.extend((order.spare != 0).then(|| run(SPARE.0, order.spare)));
        let mut devices = vec![run(DEVICE.0, DEVICE_FRAMES as u64)];
        devices.extend(order.kernel.then(|| run(KERNEL_ROOT.0, 1)));
        let machine = Emulated::new(Config {
            segments,
            kernel_root: order.kernel.then_some(KERNEL_ROOT),
            devices,
            tables: order.tables,
            cpus: CPUS,
            seed: order.seed,
            evict_one_in: order.evict_one_in,
            check_lock_order: true,
            runtime: order.runtime.unwrap_or_else(|| Box::new(alone)),
        });
        let vm: &'static Vm<Hw> = Box::leak(Box::new(Vm::new(machine)));
        // Little, so that random programs come near it.
        vm.set_guard_gap(crate::model::GUARD);
        for number in 0..2 {
            let run = vm.machine().segment(number);
            // SAFETY: the machine's memory, which is handed out here and nowhere else.
            unsafe { vm.add_segment(run.start, run.end) }.expect("a segment");
        }
        let pace = if order.slow_disk {
            Pace::Later
        } else {
            Pace::AtOnce
        };
        let disk: &'static Disk = Box::leak(Box::new(Disk::new(pace)));
        for file in 0..FILES {
            for index in 0..FILE_PAGES {
                for word in first_words() {
                    let offset = index * PAGE_SIZE as u64 + 8 * word;
                    disk.write_file(file, offset, &first_word(file, index, word).to_le_bytes());
                }
            }
        }
        if let Some(paging) = order.paging {
            start_paging(vm, paging);
        }
        if is_alone {
            let chance = Mutex::new(Rng::new(order.seed));
            vm.machine().set_idle(move || {
                let mut chance = chance.lock().unwrap_or_else(PoisonError::into_inner);
                disk.pump_one(vm, Some(&mut chance))
            });
        }
        Kit {
            vm,
            disk,
            failing: Mutex::new((None, 0)),
            added: AtomicU64::new(0),
            steps,
            limit,
        }
    }

    /// The manager.
    pub fn vm(&self) -> &Vm<Hw> {
        self.vm
    }

    /// The disk.
    pub fn disk(&self) -> &'static Disk {
        self.disk
    }

    /// Adds so many frames of those that can be added; false if there are none left.
    pub fn add_memory(&self, frames: u64) -> bool {
        let machine = self.vm.machine();
        if machine.segments() < 3 {
            return false;
        }
        let spare = machine.segment(2);
        let start = spare.start.0 + self.added.fetch_add(frames, Relaxed);
        let end = (start + frames).min(spare.end.0);
        // SAFETY: the machine's memory, which is handed out here and nowhere else.
        start < end && unsafe { self.vm.add_segment(Frame(start), Frame(end)) }.is_ok()
    }

    /// Does something on a processor.
    pub fn on<R>(&self, cpu: usize, act: impl FnOnce() -> R) -> R {
        self.vm.machine().processor(cpu).run(act)
    }

    /// Takes a map off a processor, if it is there.
    pub fn leave(&self, cpu: usize, map: &Map<'_, Hw>) {
        let processor = self.vm.machine().processor(cpu);
        if processor.root() == Some(Pmap::<Hw>::root(map.pmap())) {
            processor.park();
            processor.run(|| map.deactivate());
        }
    }

    /// Takes maps off all processors.
    pub fn leave_all(&self, maps: &[&Map<'_, Hw>]) {
        (0..CPUS).for_each(|cpu| maps.iter().for_each(|map| self.leave(cpu, map)));
    }

    /// Makes a processor run no space.
    pub fn park(&self, cpu: usize) {
        self.vm.machine().processor(cpu).park();
    }

    /// Eight bytes, or for a fetch one, as a program on a processor loads them.
    pub fn load(&self, cpu: usize, addr: usize, access: Access) -> Result<[u8; 8], Trap> {
        let cpu = self.vm.machine().processor(cpu);
        let mut bytes = [0; 8];
        match access {
            Access::Exec => bytes[0] = cpu.fetch(addr)?,
            Access::Read | Access::Write => cpu.load(addr, &mut bytes)?,
        }
        Ok(bytes)
    }

    /// Stores eight bytes as a program does.
    pub fn store(&self, cpu: usize, addr: usize, bytes: [u8; 8]) -> Result<(), Trap> {
        self.vm.machine().processor(cpu).store(addr, &bytes)
    }

    /// The mapping of a page.
    pub fn mapping(&self, pmap: &<Hw as Machine>::Pmap, va: usize) -> Option<Mapping> {
        pmap.query(self.vm.machine(), va)
    }

    /// Panics if a processor has cached more of a space than its tables say, or some have one frame treated in two ways.
    pub fn check_translations(&self, pmap: &<Hw as Machine>::Pmap) {
        self.vm.machine().assert_no_stale(Pmap::<Hw>::root(pmap));
        self.vm.machine().assert_one_way();
    }

    /// What a frame holds.
    pub fn bytes(&self, frame: Frame) -> Bytes {
        // SAFETY: a frame's bytes; nobody writes them meanwhile, as this is the only thread.
        Bytes::new(unsafe { &*self.vm.machine().frame_ptr(frame).cast::<[u8; PAGE_SIZE]>() })
    }

    /// Writes into a frame, as a kernel does that holds its page.
    pub fn write(&self, frame: Frame, within: usize, bytes: &[u8]) {
        self.vm.machine().write_frame(frame, within, bytes);
    }

    /// An object for a file of the disk.
    pub fn open(&self, file: usize, size: u64) -> Object<'_, Hw> {
        self.try_open(file, size).expect("memory")
    }

    /// The same, where memory may be short.
    pub fn try_open(&self, file: usize, size: u64) -> Result<Object<'_, Hw>, OutOfMemory> {
        self.vm.new_vnode(self.disk, file, size)
    }

    /// Adds a swap device on the disk.
    pub fn swap_on(
        &self,
        cookie: usize,
        pages: u64,
        options: SwapOptions,
    ) -> Result<SwapId, SwapError> {
        self.vm.add_swap(self.disk, cookie, pages, options)
    }

    /// What the disk has of a file.
    pub fn disk_page(&self, file: usize, index: u64) -> Bytes {
        let mut bytes = [0; PAGE_SIZE];
        self.disk
            .read_file(file, index * PAGE_SIZE as u64, &mut bytes);
        Bytes::new(&bytes)
    }

    /// Zeroes what the disk has of a file beyond a size.
    pub fn truncate(&self, file: usize, size: u64) {
        self.disk.cut_file(file, size);
    }

    /// Fills what the disk has in the page where a file of this size ends, beyond its end, with anything.
    pub fn spoil(&self, file: usize, size: u64) {
        let rest = size.next_multiple_of(PAGE_SIZE as u64) - size;
        self.disk.write_file(file, size, &vec![0xdb; rest as usize]);
    }

    /// Carries out the oldest request that the disk has; false if there is none.
    pub fn pump_one(&self) -> bool {
        self.disk.pump_one(self.vm, None)
    }

    /// Carries out some of the requests that the disk has.
    pub fn pump(&self, requests: u32) {
        for _ in 0..requests {
            if !self.pump_one() {
                break;
            }
        }
    }

    /// Carries out requests as they come until `stop` is set: for a thread of its own.
    pub fn serve(&self, stop: &AtomicBool) {
        self.disk.serve(self.vm, stop);
    }

    /// Requests to read that the disk was given so far.
    pub fn reads(&self) -> u64 {
        self.disk.counts().reads
    }

    /// Objects of files that are gone.
    pub fn released(&self) -> u64 {
        self.disk.counts().released
    }

    /// Makes the n-th allocation from now on fail, counted from one, and no other.
    pub fn fail_allocation(&self, n: u64) {
        self.arrange(Some(self.vm.machine().allocations() + n));
        self.vm.machine().fail_allocation(n - 1);
    }

    /// Makes the n-th request to the disk from now on fail, counted from one, and no other.
    pub fn fail_io(&self, n: u64) {
        self.disk.fail_request(n - 1);
    }

    /// Makes nothing fail any more.
    pub fn fail_nothing(&self) {
        self.arrange(None);
        self.vm.machine().stop_failing();
        self.disk.stop_failing();
    }

    /// Allocations and requests to the disk that were made to fail so far.
    pub fn failures(&self) -> [u64; 2] {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        [self.failed(&failing), self.disk.counts().failed]
    }

    /// Whether an allocation is to fail that was not made yet.
    pub fn is_failing(&self) -> bool {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let made = self.vm.machine().allocations();
        failing.0.is_some_and(|n| made < n)
    }

    /// Notes which allocation is to fail now.
    fn arrange(&self, next: Option<u64>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        *failing = (next, self.failed(&failing));
    }

    /// Allocations that failed: those noted, and the one that was to fail, if it did.
    fn failed(&self, &(next, failed): &(Option<u64>, u64)) -> u64 {
        failed + u64::from(next.is_some_and(|n| self.vm.machine().allocations() >= n))
    }

    /// From now on no more than so many uses of locks are allowed: whoever goes on for ever panics. For a
    /// single thread.
    pub fn limit(&self, steps: u64) {
        self.limit.store(self.steps.load(Relaxed) + steps, Relaxed);
    }

    /// What an act costs, counted: uses of locks, allocations, flushes.
    pub fn cost(&self, act: impl FnOnce()) -> u64 {
        let sum = || {
            let machine = self.vm.machine();
            self.steps.load(Relaxed) + machine.allocations() + machine.flushes()
        };
        let before = sum();
        act();
        sum() - before
    }

    /// Does something, and asserts that it costs no more than that.
    pub fn costs_at_most<R>(&self, what: &str, most: u64, act: impl FnOnce() -> R) -> R {
        let mut result = None;
        let cost = self.cost(|| result = Some(act()));
        assert!(cost <= most, "{what} costs {cost}, more than {most}");
        result.expect("the act was done")
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        // What waits on the disk names objects of the manager: it must not be carried out any more.
        self.vm.machine().set_idle(|| false);
        // SAFETY: both were leaked boxes, and only this kit gave out references, which its lifetime bounds. The
        // machine's closure, which had some, is gone.
        unsafe {
            drop(Box::from_raw(std::ptr::from_ref(self.vm).cast_mut()));
            drop(Box::from_raw(std::ptr::from_ref(self.disk).cast_mut()));
        }
    }
}

/// The policies that there are.
const POLICIES: [PolicyKind; 2] = [PolicyKind::ClockPro, PolicyKind::Clock];

/// How much is kept free where there is room for so many pages.
pub fn marks(room: u64, policy: u32) -> scalvm::Paging {
    let kind = |n: u32| POLICIES[n as usize % POLICIES.len()];
    scalvm::Paging {
        anonymous: kind(policy),
        file: kind(policy / POLICIES.len() as u32),
        ..scalvm::Paging::for_frames(room)
    }
}

fn start_paging(vm: &Vm<Hw>, paging: Paging) {
    vm.start_paging(marks(paging.room.into(), paging.policy))
        .expect("memory");
    limit_compressor(vm, paging, paging.room.into());
}

/// Lets the compressor, if there is to be one, take no more than a quarter of what there is room for.
pub fn limit_compressor(vm: &Vm<Hw>, paging: Paging, room: u64) {
    if paging.compressor != 0 {
        vm.set_compressor(
            &scalvm_codecs::Lz4,
            (room / 4).min(paging.compressor.into()),
        )
        .expect("memory");
    }
}

/// The words of a file's page that are not zero when a kit is new: the first and the last ones. (To fill all
/// would take longer than most tests.)
fn first_words() -> impl Iterator<Item = u64> {
    (0..8).chain(PAGE_SIZE as u64 / 8 - 4..PAGE_SIZE as u64 / 8)
}

/// What such a word is.
fn first_word(file: usize, index: u64, word: u64) -> u64 {
    crate::program::mix((file as u64 + 1) << 32 | index << 16 | word)
}

/// The only thread: it must not spin, for nobody would let go of what it waits for, nor sleep where it does
/// not carry out itself what it sleeps for.
struct Alone {
    spins: AtomicU32,
    steps: Arc<AtomicU64>,
    limit: Arc<AtomicU64>,
}

impl Runtime for Alone {
    fn thread(&self) -> u64 {
        0
    }

    fn switch(&self) {
        let steps = self.steps.fetch_add(1, Relaxed);
        if steps >= self.limit.load(Relaxed) {
            // Once: unwinding uses locks, too.
            self.limit.store(u64::MAX, Relaxed);
            panic!("an operation comes to no end");
        }
    }

    fn relax(&self) {
        let spins = self.spins.fetch_add(1, Relaxed);
        assert!(spins < 1000, "a lock is taken that the only thread holds");
    }

    fn wait(&self, _: &AtomicU32, _: u32) {
        panic!("the only thread waits for what nobody will do");
    }

    fn wake(&self, _: &AtomicU32) {}
}
