//! Scenes of kernel memory: magazines, malloc types and their limits, arenas, the kernel map.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use scalvm::{
    Arena, ArenaError, Constraints, Fit, KernelAlloc, Leaks, M_ORPHANS, MallocError, MallocFlags,
    MallocType, PAGE_SIZE, TypeError, Vm, malloc_type,
};
use scalvm_testkit::kmem::{Options, Program, run_with};
use scalvm_testkit::{Hw, Kit};

use crate::crew::{Act, Crew};

malloc_type!(M_SCENE, "scenes", "what scenes allocate");
malloc_type!(
    M_LIMITED,
    "scenes limited",
    "the same, limited",
    limit = 1024
);
malloc_type!(dynamic M_GOES, "scenes module", "of a module that goes");

const NOWAIT: MallocFlags = MallocFlags::NOWAIT;

/// Memory that is its holder's alone, filled with a mark.
struct Piece {
    at: NonNull<u8>,
    size: usize,
    mark: u8,
}

// SAFETY: memory that is its holder's alone.
unsafe impl Send for Piece {}

impl Piece {
    fn new(vm: &Vm<Hw>, ty: &'static MallocType, size: usize, mark: u8) -> Option<Piece> {
        Piece::with(vm, ty, size, mark, NOWAIT).ok()
    }

    fn with(
        vm: &Vm<Hw>,
        ty: &'static MallocType,
        size: usize,
        mark: u8,
        flags: MallocFlags,
    ) -> Result<Piece, MallocError> {
        let at = vm.malloc(ty, size, flags)?;
        // SAFETY: so many bytes, which are ours.
        unsafe { at.write_bytes(mark, size) };
        Ok(Piece { at, size, mark })
    }

    /// Frees it, if nobody else has written into it.
    fn free(self, vm: &Vm<Hw>, ty: &'static MallocType) {
        // SAFETY: so many bytes, which are ours, and written.
        let bytes = unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.size) };
        assert!(bytes.iter().all(|byte| *byte == self.mark), "it is two's");
        // SAFETY: of this type, or one that is detached; nobody uses it any more.
        unsafe { vm.free(ty, self.at) };
    }
}

fn in_use(vm: &Vm<Hw>, ty: &'static MallocType) -> (u64, u64) {
    let stats = vm.type_stats(ty).expect("known");
    (stats.in_use, stats.bytes)
}

/// Everything is right, and nothing is left in use nor, once it is reclaimed, in the heap.
fn end(kit: &Kit) {
    let vm = kit.vm();
    vm.check_invariants();
    for ty in [&M_SCENE, &M_LIMITED, &M_ORPHANS] {
        assert_eq!(in_use(vm, ty), (0, 0), "{ty:?}");
    }
    vm.reclaim_kmem();
    vm.each_pool(&mut |pool| {
        assert_eq!(pool.at_hand, 0, "{pool:?}");
        if pool.name.starts_with("malloc-") {
            assert_eq!((pool.in_use, pool.frames), (0, 0), "{pool:?}");
        }
    });
    vm.check_invariants();
}

pub fn magazines_are_emptied_while_their_owners_allocate(crew: &dyn Crew) {
    let kit = crew.kit();
    let vm = kit.vm();
    let uses = |mark: u8| {
        for round in 0..3 {
            let sizes = [40, 40, 200, 40];
            let held =
                sizes.map(|size| Piece::new(vm, &M_SCENE, size + round, mark).expect("memory"));
            held.into_iter().for_each(|piece| piece.free(vm, &M_SCENE));
        }
    };
    let empties = || {
        for _ in 0..3 {
            vm.reclaim_kmem();
        }
    };
    crew.together(&kit, &[&|| uses(1), &|| uses(2), &empties]);
    end(&kit);
}

pub fn one_allocates_what_another_frees(crew: &dyn Crew) {
    let kit = crew.kit();
    let vm = kit.vm();
    let handed = Mutex::new(Vec::new());
    let gives = || {
        for n in 0..12 {
            let piece = Piece::new(vm, &M_SCENE, 100, n).expect("memory");
            handed.lock().unwrap().push(piece);
        }
    };
    let frees = || {
        for _ in 0..12 {
            let piece = handed.lock().unwrap().pop();
            match piece {
                Some(piece) => piece.free(vm, &M_SCENE),
                // Others go on at this.
                None => drop(vm.reclaim_kmem()),
            }
        }
    };
    crew.together(&kit, &[&gives, &frees, &gives]);
    for piece in handed.into_inner().unwrap() {
        piece.free(vm, &M_SCENE);
    }
    end(&kit);
}

pub fn memory_ends_while_it_is_reclaimed(crew: &dyn Crew) {
    let kit = crew.kit();
    let vm = kit.vm();
    let uses = |mark: u8| {
        for size in [3000, 70_000, 500] {
            let mut held = Vec::new();
            while let Some(piece) = Piece::new(vm, &M_SCENE, size, mark) {
                held.push(piece);
                if held.len() == 12 {
                    break;
                }
            }
            held.into_iter().for_each(|piece| piece.free(vm, &M_SCENE));
        }
    };
    // There are few frames.
    let all = vm.stats().frames_free as usize;
    let hogged: Vec<_> = (0..all - 40)
        .map_while(|_| vm.alloc_frames(1, &scalvm::FrameLimits::NONE).ok())
        .collect();
    let empties = || {
        for _ in 0..3 {
            vm.reclaim_kmem();
        }
    };
    crew.together(&kit, &[&|| uses(1), &|| uses(2), &empties]);
    for frame in hogged {
        // SAFETY: one frame, which nobody uses.
        unsafe { vm.free_frames(frame, 1) };
    }
    end(&kit);
}

pub fn a_limit_is_met_by_several_at_once(crew: &dyn Crew) {
    let kit = crew.kit();
    let vm = kit.vm();
    let sure = AtomicU64::new(0);
    let takes = |mark: u8| {
        for _ in 0..3 {
            let mut held = Vec::new();
            // 1024 bytes are five pieces of 192 and one of 64.
            for _ in 0..3 {
                if let Some(piece) = Piece::new(vm, &M_LIMITED, 192, mark) {
                    assert!(
                        sure.fetch_add(192, SeqCst) + 192 <= 1024,
                        "more than there may be"
                    );
                    held.push(piece);
                }
            }
            for piece in held {
                sure.fetch_sub(192, SeqCst);
                piece.free(vm, &M_LIMITED);
            }
        }
    };
    crew.together(&kit, &[&|| takes(1), &|| takes(2), &|| takes(3)]);
    // Nothing was lost: all of it can be had, and no more.
    let alone = || {
        let held: Vec<_> = (0..16)
            .map(|n| Piece::new(vm, &M_LIMITED, 64, n).expect("within the limit"))
            .collect();
        let more = vm.malloc(&M_LIMITED, 1, NOWAIT);
        assert_eq!(more, Err(MallocError::Limit));
        held.into_iter()
            .for_each(|piece| piece.free(vm, &M_LIMITED));
    };
    crew.together(&kit, &[&alone]);
    let stats = vm.type_stats(&M_LIMITED).expect("known");
    assert_eq!(stats.high_water, 1024);
    end(&kit);
}

pub fn all_who_wait_at_a_limit_are_served(crew: &dyn Crew) {
    let kit = crew.kit();
    let vm = kit.vm();
    let takes = |mark: u8| {
        for n in 0..3 {
            let size = [600, 1000, 500][n];
            let piece = Piece::with(vm, &M_LIMITED, size, mark, MallocFlags::WAIT);
            piece.expect("waited for").free(vm, &M_LIMITED);
        }
        // More than there may ever be is not waited for.
        let never = vm.malloc(&M_LIMITED, 2000, MallocFlags::WAIT);
        assert_eq!(never, Err(MallocError::Limit));
    };
    crew.together(&kit, &[&|| takes(1), &|| takes(2), &|| takes(3)]);
    end(&kit);
}

pub fn a_type_goes_while_its_memory_is_freed(crew: &dyn Crew) {
    let kit = crew.kit();
    let vm = kit.vm();
    assert_eq!(vm.attach_type(&M_GOES), Ok(()));
    let several = || {
        let pieces = (0..4).map(|n| Piece::new(vm, &M_GOES, 100, n).expect("memory"));
        Mutex::new(pieces.collect::<Vec<_>>())
    };
    let piles = [several(), several()];
    let frees = |n: usize| {
        while let Some(piece) = { piles[n].lock().unwrap().pop() } {
            piece.free(vm, &M_GOES);
        }
    };
    let goes = || {
        let mut told = 0;
        let refused = vm.detach_type(&M_GOES, Leaks::Refuse, &mut |leak| told += leak.pieces);
        match refused {
            Ok(()) => assert_eq!(told, 0),
            Err(error) => {
                assert_eq!(error, TypeError::InUse);
                assert!((1..=8).contains(&told), "{told}");
                assert_eq!(vm.detach_type(&M_GOES, Leaks::Orphan, &mut |_| ()), Ok(()));
            }
        }
        assert_eq!(vm.malloc(&M_GOES, 1, NOWAIT), Err(MallocError::NotAttached));
    };
    crew.together(&kit, &[&|| frees(0), &|| frees(1), &goes]);
    // It may come again, with nothing of before.
    assert_eq!(vm.attach_type(&M_GOES), Ok(()));
    assert_eq!(in_use(vm, &M_GOES), (0, 0));
    assert_eq!(vm.detach_type(&M_GOES, Leaks::Refuse, &mut |_| ()), Ok(()));
    end(&kit);
}

pub fn all_who_wait_for_numbers_are_served(crew: &dyn Crew) {
    let kit = crew.kit();
    let arena = Arena::new(kit.vm(), "scene", 1);
    arena.add_span(10, 8).expect("memory");
    let taken = Mutex::new([false; 18]);
    let takes = |size: u64| {
        for _ in 0..3 {
            let at = arena.alloc_wait(size, &Constraints::NONE, Fit::Best);
            let at = at.expect("waited for");
            let run = at as usize..(at + size) as usize;
            let mark = |now: bool| {
                for number in &mut taken.lock().unwrap()[run.clone()] {
                    assert_eq!(*number, !now, "it is two's");
                    *number = now;
                }
            };
            mark(true);
            assert_eq!(arena.size_at(at), Some(size));
            mark(false);
            assert_eq!(arena.free(at, size), Ok(()));
        }
        let never = arena.alloc_wait(9, &Constraints::NONE, Fit::Best);
        assert_eq!(never, Err(ArenaError::Full));
    };
    crew.together(&kit, &[&|| takes(5), &|| takes(4), &|| takes(8)]);
    assert_eq!((arena.stats().in_use, arena.stats().largest_free), (0, 8));
    end(&kit);
}

pub fn spans_come_and_go(crew: &dyn Crew) {
    let kit = crew.kit();
    let vm = kit.vm();
    let source = Arena::new(vm, "scene source", 16);
    source.add_span(0, 16 * 24).expect("memory");
    let plain = Arena::new(vm, "scene plain", 16).importing(&source, 64);
    let cached = Arena::new(vm, "scene cached", 16)
        .importing(&source, 64)
        .caching(4);
    // Whose each number is; those of all arenas are different.
    let owner = Mutex::new([0; 24]);
    let uses = |arena: &Arena<'_, Hw>, me: u32| {
        let mut held = Vec::new();
        for n in 0..5 {
            let size = [16, 32, 16, 80, 32][n];
            match arena.alloc(size, [Fit::Instant, Fit::Best, Fit::Next][n % 3]) {
                Ok(at) => {
                    let run = (at / 16) as usize..((at + size) / 16) as usize;
                    for number in &mut owner.lock().unwrap()[run.clone()] {
                        assert_eq!(std::mem::replace(number, me), 0, "it is two's");
                    }
                    held.push((at, size, run));
                }
                Err(error) => assert_eq!(error, ArenaError::Full),
            }
            if n % 2 == 1
                && let Some((at, size, run)) = held.pop()
            {
                owner.lock().unwrap()[run].fill(0);
                assert_eq!(arena.free(at, size), Ok(()));
            }
        }
        for (at, size, run) in held {
            owner.lock().unwrap()[run].fill(0);
            assert_eq!(arena.free(at, size), Ok(()));
        }
        arena.reclaim();
    };
    let acts: [Act<'_>; 3] = [&|| uses(&plain, 1), &|| uses(&cached, 2), &|| {
        uses(&cached, 3)
    }];
    crew.together(&kit, &acts);
    for arena in [&plain, &cached] {
        arena.reclaim();
        assert_eq!((arena.stats().total, arena.stats().cached), (0, 0));
    }
    let stats = source.stats();
    assert_eq!((stats.in_use, stats.largest_free), (0, 16 * 24));
    end(&kit);
}

pub fn wired_memory_comes_and_goes(crew: &dyn Crew) {
    const LOW: usize = 0xffff_9000_0000_0000;
    let kit = crew.kernel_kit();
    let vm = kit.vm();
    let map = vm.new_kernel_map(LOW, LOW + 64 * PAGE_SIZE, 0);
    let map = map.expect("memory");
    let uses = |cpu: usize, flags: KernelAlloc| {
        let processor = vm.machine().processor(cpu).as_kernel();
        for round in 0..3 {
            let pages = 1 + (round + cpu) % 3;
            let layout = Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).expect("a layout");
            let at = map.alloc(layout, flags).expect("there is room for all");
            let places = (0..pages).map(|page| at.addr().get() + page * PAGE_SIZE);
            for va in places.clone() {
                if flags.contains(KernelAlloc::ZERO) {
                    assert_eq!(processor.load_u64(va), Ok(0));
                }
                processor.store_u64(va, (va + cpu) as u64).expect("mapped");
            }
            for va in places {
                assert_eq!(processor.load_u64(va), Ok((va + cpu) as u64), "it is two's");
            }
            // SAFETY: ours, and not used any more.
            unsafe { map.free(at) }.expect("ours");
        }
    };
    let acts: [Act<'_>; 3] = [
        &|| uses(0, KernelAlloc::GUARD),
        &|| uses(1, KernelAlloc::ZERO),
        &|| uses(2, KernelAlloc::GUARD | KernelAlloc::ZERO),
    ];
    crew.together(&kit, &acts);
    map.check_invariants();
    assert_eq!(map.stats().in_use, 0);
    drop(map);
    end(&kit);
}

pub fn whatever_comes_to_mind(crew: &dyn Crew) {
    let kit = crew.kernel_kit();
    let mut program = Program::generate(crew.seed(), 3);
    program.steps.truncate(40);
    program.shape.pace = 40;
    for step in &mut program.steps {
        // A schedule has so many steps and no more.
        step.args[3] %= 12;
    }
    let ran = run_with(&kit, &program, Options::default(), &|kit, acts| {
        crew.together(kit, acts);
    });
    if let Err(failure) = ran {
        panic!("step {}: {}\n{program}", failure.steps, failure.what);
    }
}
