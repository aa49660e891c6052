//! The allocators.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};

use scalvm::{MallocFlags, ObjectCache, PAGE_SIZE, Vm};
use scalvm_alloc::GlobalHeap;
use slabmalloc::{AllocationError, Allocator, LargeObjectPage, ObjectPage, ZoneAllocator};

use crate::machine::{Hosted, map};
use crate::work::{OBJECTS, Work};

/// The memory that each allocator has.
const MEMORY: usize = 256 << 20;

/// Their names, ours first; the last one does nothing, and tells what the work itself takes.
pub const NAMES: [&str; 7] = [
    "scalvm",
    "talc",
    "buddy_system_allocator",
    "slabmalloc",
    "rlsf",
    "mimalloc",
    "nothing",
];

/// An allocator that can be made to work.
pub trait Subject: Sync {
    /// Does the work, so often.
    fn run(&self, work: &Work, times: u64);
    /// Does the work of one of two threads, once.
    fn run_half(&self, work: &Work, half: usize);
    /// Bytes of all pages that it has, if it can tell.
    fn held(&self) -> Option<usize> {
        None
    }
    /// Takes a piece. Null where there is none.
    fn alloc(&self, layout: Layout) -> *mut u8;
    /// Takes it back.
    ///
    /// # Safety
    ///
    /// As for [`GlobalAlloc::dealloc`].
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout);
}

/// An allocator by name. Panics where there is none of this name.
pub fn subject(name: &str) -> Box<dyn Subject> {
    match name {
        "scalvm" => Box::new(Ours::new()),
        "talc" => Box::new(Peer(talc())),
        "buddy_system_allocator" => Box::new(Peer(buddy())),
        "slabmalloc" => Box::new(Peer(Slabs::new())),
        "rlsf" => Box::new(Peer(Rlsf::new())),
        "mimalloc" => Box::new(Peer(mimalloc::MiMalloc)),
        "nothing" => Box::new(Peer(Nothing)),
        _ => panic!("there is no allocator {name:?}"),
    }
}

scalvm::malloc_type!(M_BENCH, "bench", "what the comparison allocates");

/// The manager, whose heap is measured.
struct Ours {
    vm: &'static Vm<Hosted>,
    heap: GlobalHeap<Hosted>,
    /// An object cache for each size.
    caches: Vec<(usize, Cache)>,
}

/// An object cache, as what allocates an object and frees it, so many times.
type Cache = Box<dyn Fn(u64) + Sync>;

/// A cache of objects of so many bytes.
fn cache<const SIZE: usize>(vm: &'static Vm<Hosted>) -> (usize, Cache) {
    let make = |object: &mut MaybeUninit<[u8; SIZE]>| {
        object.write([0; SIZE]);
        Ok(())
    };
    let cache = ObjectCache::new(vm, "bench", make, |_| ()).expect("memory for a cache");
    let run = move |times| {
        for _ in 0..times {
            let mut object = cache.alloc().expect("memory for an object");
            // SAFETY: the first byte of an object that is ours.
            unsafe { object.as_mut_ptr().write_volatile(1) };
            black_box(&*object);
        }
    };
    (SIZE, Box::new(run))
}

impl Ours {
    fn new() -> Ours {
        let vm = Box::leak(Box::new(Vm::new(Hosted::new(MEMORY))));
        let (start, end) = vm.machine().frames();
        // SAFETY: a new mapping.
        unsafe { vm.add_segment(start, end) }.expect("memory for the manager");
        Ours {
            vm,
            heap: GlobalHeap::new(vm, &M_BENCH),
            caches: vec![
                cache::<{ OBJECTS[0] }>(vm),
                cache::<{ OBJECTS[1] }>(vm),
                cache::<{ OBJECTS[2] }>(vm),
                cache::<{ OBJECTS[3] }>(vm),
                cache::<{ OBJECTS[4] }>(vm),
            ],
        }
    }
}

impl Subject for Ours {
    fn run(&self, work: &Work, times: u64) {
        match work {
            Work::Object(layout) => {
                let cache = self.caches.iter().find(|(size, _)| *size == layout.size());
                let (_, run) = cache.expect("a cache for each size");
                run(times);
            }
            Work::ByAddress(_) => work.run(&ByAddress(self.vm), times),
            work => work.run(&self.heap, times),
        }
    }

    fn run_half(&self, work: &Work, half: usize) {
        work.run_half(&self.heap, half);
    }

    fn held(&self) -> Option<usize> {
        Some(self.vm.stats().frames_kernel as usize * PAGE_SIZE)
    }

    fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layouts here are not empty.
        unsafe { self.heap.alloc(layout) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        // SAFETY: the caller's word.
        unsafe { self.heap.dealloc(piece, layout) }
    }
}

/// The manager, who is not told the layout of what is freed.
struct ByAddress(&'static Vm<Hosted>);

// SAFETY: each piece is given out once, with room and alignment for its layout, and stays until it is
// freed.
unsafe impl GlobalAlloc for ByAddress {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.0.malloc_aligned(&M_BENCH, layout, MallocFlags::NOWAIT) {
            Ok(piece) => piece.as_ptr(),
            Err(_) => null_mut(),
        }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, piece: *mut u8, _layout: Layout) {
        // SAFETY: the caller's word.
        unsafe { self.0.free(&M_BENCH, NonNull::new_unchecked(piece)) }
    }
}

/// Any other.
struct Peer<A>(A);

impl<A: GlobalAlloc + Sync> Subject for Peer<A> {
    fn run(&self, work: &Work, times: u64) {
        work.run(&self.0, times);
    }

    fn run_half(&self, work: &Work, half: usize) {
        work.run_half(&self.0, half);
    }

    fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layouts here are not empty.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        // SAFETY: the caller's word.
        unsafe { self.0.dealloc(piece, layout) }
    }
}

fn talc() -> impl GlobalAlloc + Sync {
    // SAFETY: a new mapping, which is the allocator's alone.
    let source = unsafe { talc::source::Claim::new(map(MEMORY), MEMORY) };
    talc::TalcLock::<spin::Mutex<()>, _>::new(source)
}

fn buddy() -> impl GlobalAlloc + Sync {
    let heap = buddy_system_allocator::LockedHeap::<32>::empty();
    // SAFETY: a new mapping, which is the allocator's alone.
    unsafe { heap.lock().init(map(MEMORY).addr(), MEMORY) };
    heap
}

/// slabmalloc, which asks for pages, behind a lock.
struct Slabs(spin::Mutex<(ZoneAllocator<'static>, Pages)>);

/// Where its pages come from: small ones from the front, large ones from the end.
struct Pages {
    first: *mut u8,
    end: *mut u8,
}

// SAFETY: the pages are the allocator's, which is locked.
unsafe impl Send for Pages {}

impl Slabs {
    fn new() -> Slabs {
        let first = map(MEMORY);
        let end = first.wrapping_add(MEMORY);
        Slabs(spin::Mutex::new((
            ZoneAllocator::new(),
            Pages { first, end },
        )))
    }
}

impl Pages {
    /// A page of so many bytes, which are zero.
    fn take(&mut self, bytes: usize) -> Option<*mut u8> {
        if self.end.addr() - self.first.addr() < bytes {
            return None;
        }
        Some(if bytes == ObjectPage::SIZE_OF {
            let page = self.first;
            self.first = page.wrapping_add(bytes);
            page
        } else {
            self.end = self.end.wrapping_sub(bytes);
            self.end
        })
    }
}

/// How large a page is.
trait SizeOf: Sized {
    const SIZE_OF: usize = size_of::<Self>();
}

impl SizeOf for ObjectPage<'_> {}
impl SizeOf for LargeObjectPage<'_> {}

// SAFETY: what the zones hand out.
unsafe impl GlobalAlloc for Slabs {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (zones, pages) = &mut *self.0.lock();
        loop {
            match zones.allocate(layout) {
                Ok(piece) => return piece.as_ptr(),
                Err(AllocationError::InvalidLayout) => return null_mut(),
                Err(AllocationError::OutOfMemory) => {}
            }
            let small = layout.size() <= ZoneAllocator::MAX_BASE_ALLOC_SIZE;
            let page = if small {
                pages.take(ObjectPage::SIZE_OF)
            } else {
                pages.take(LargeObjectPage::SIZE_OF)
            };
            let Some(page) = page else {
                return null_mut();
            };
            // SAFETY: a page of zeros, aligned to its size, which is the zones' alone.
            let refilled = unsafe {
                if small {
                    zones.refill(layout, &mut *page.cast())
                } else {
                    zones.refill_large(layout, &mut *page.cast())
                }
            };
            refilled.expect("a page of the right size");
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        let piece = NonNull::new(piece).expect("not null");
        let zones = &mut self.0.lock().0;
        zones.deallocate(piece, layout).expect("it came from here");
    }
}

/// rlsf behind a lock, as large as its own global allocator.
struct Rlsf(spin::Mutex<rlsf::Tlsf<'static, u32, u32, 28, 32>>);

impl Rlsf {
    fn new() -> Rlsf {
        let mut tlsf = rlsf::Tlsf::new();
        let memory =
            NonNull::slice_from_raw_parts(NonNull::new(map(MEMORY)).expect("memory"), MEMORY);
        // SAFETY: a new mapping, which is the allocator's alone.
        unsafe { tlsf.insert_free_block_ptr(memory) }.expect("a block");
        Rlsf(spin::Mutex::new(tlsf))
    }
}

// SAFETY: what Tlsf hands out.
unsafe impl GlobalAlloc for Rlsf {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let piece = self.0.lock().allocate(layout);
        piece.map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        // SAFETY: the caller's word.
        unsafe {
            let piece = NonNull::new_unchecked(piece);
            self.0.lock().deallocate(piece, layout.align());
        }
    }
}

/// Always the same piece, of each thread its own: two that wrote the same line would wait for it, and what
/// the work itself takes would seem to be more than it is.
struct Nothing;

#[repr(align(64))]
struct Piece(#[expect(dead_code, reason = "only its address is used")] [u8; 64]);

thread_local! {
    static PIECE: UnsafeCell<Piece> = const { UnsafeCell::new(Piece([0; 64])) };
}

// SAFETY: it does not keep its word, which the work does not need: it touches the first byte of a piece.
unsafe impl GlobalAlloc for Nothing {
    #[inline(always)]
    unsafe fn alloc(&self, _layout: Layout) -> *mut u8 {
        PIECE.with(UnsafeCell::get).cast()
    }

    #[inline(always)]
    unsafe fn dealloc(&self, _piece: *mut u8, _layout: Layout) {}
}
