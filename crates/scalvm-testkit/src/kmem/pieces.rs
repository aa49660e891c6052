//! Memory of malloc types: allocated, resized, freed, and looked at.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

use scalvm::{Leaks, M_ORPHANS, MallocError, MallocFlags, PAGE_SIZE, TypeError};

use super::accounts::{ORPHANS, STATIC, TYPES, WAITED};
use super::pattern;
use super::worker::Worker;
use crate::run::{Check, wrong};

/// The alignment that all pieces have.
const ALIGN: usize = scalvm::MALLOC_ALIGN;
/// The largest piece that can be had, and one that cannot.
const MOST: usize = PAGE_SIZE << 10;

/// Pieces of up to so many bytes come from slabs of one frame.
const LITTLE: usize = 512;
/// Frames in the largest slabs.
const SLAB: usize = 16;

/// Stands for this: no smaller piece was to be had, so that the larger one stays.
const KEPT: MallocError = MallocError::BadPointer;

/// A piece.
pub struct Piece {
    at: NonNull<u8>,
    /// What was asked for.
    layout: Layout,
    /// Whether it is larger than that, so that it cannot be freed by its layout.
    is_larger: bool,
    /// Its type's number.
    pub ty: usize,
    /// How often the type had been detached.
    pub generation: u32,
    /// What it takes.
    pub bucket: usize,
    /// What it takes, in bytes.
    pub bytes: u64,
    /// What it is filled with.
    seed: u64,
}

// SAFETY: memory that is its holder's alone.
unsafe impl Send for Piece {}

impl Piece {
    fn contents(&self) -> &[u8] {
        // SAFETY: so many bytes, which nobody else uses, and which were written.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.layout.size()) }
    }

    fn fill(&mut self, seed: u64) {
        self.seed = seed;
        // SAFETY: so many bytes, which nobody else uses; any bytes are fine to begin with.
        let bytes = unsafe {
            self.at.as_ptr().write_bytes(0, self.layout.size());
            std::slice::from_raw_parts_mut(self.at.as_ptr(), self.layout.size())
        };
        pattern::fill(bytes, seed);
    }

    /// That nobody has written into it.
    pub fn check(&self) -> Check {
        self.check_part(self.layout.size())
    }

    fn check_part(&self, size: usize) -> Check {
        // A pattern ends in a part of a word, so the words before that are looked at.
        let size = size.min(self.layout.size());
        let whole = match size == self.layout.size() {
            true => size,
            false => size / 8 * 8,
        };
        match pattern::spoiled(&self.contents()[..whole], self.seed) {
            None => Ok(()),
            Some(n) => wrong(format!("byte {n} of {:?} was written", self.layout)),
        }
    }
}

/// The size that a number means: mostly small.
fn size_of(arg: u32) -> usize {
    let n = arg as usize / 8;
    match arg % 8 {
        0..3 => 1 + n % 256,
        3 => n % 2 * (1 + n % 1024),
        4 => 1 + n * 37 % 2048,
        5 => 1 + n * 411 % (16 << 10),
        6 => 1 + n * 1033 % (72 << 10),
        _ => match n % 31 {
            30 => usize::MAX - n % 64,
            29 => MOST + 1 + n,
            n if n > 20 => 1 + n * 8111,
            n => PAGE_SIZE * (1 + n % 12) - n % 2,
        },
    }
}

/// The alignment that a number means: mostly none in particular.
fn align_of(arg: u32) -> usize {
    match arg % 12 {
        8 => 32,
        9 => 256,
        10 => 2048,
        11 => 4096,
        _ => ALIGN,
    }
}

impl Worker<'_, '_> {
    /// Type, size, flags, alignment.
    pub fn malloc(&mut self, [_, ty, size, flags, align, _]: [u32; 6]) -> Check {
        let ty = self.type_of(ty);
        let zero = flags % 3 == 0;
        self.allocate(ty, size_of(size), align_of(align), zero)
            .map(drop)
    }

    /// Type, size, how many.
    pub fn several(&mut self, [_, ty, size, count, _, _]: [u32; 6]) -> Check {
        let ty = self.type_of(ty);
        let size = size_of(size).min(PAGE_SIZE);
        for _ in 0..1 + count % 40 {
            if !self.allocate(ty, size, ALIGN, false)? {
                break;
            }
        }
        Ok(())
    }

    /// Which type a number means. Dynamic ones are one thread's each, which alone allocates of them,
    /// attaches and detaches them.
    fn type_of(&self, arg: u32) -> usize {
        let free = TYPES.len() - 1;
        let ty = arg as usize % free;
        let ty = ty + usize::from(ty >= WAITED);
        match ty >= STATIC && !self.owns(ty) {
            true => ty % 2,
            false => ty,
        }
    }

    /// Whether this thread sees to a dynamic type. Two that cannot be attached both have one owner.
    fn owns(&self, ty: usize) -> bool {
        let ty = if ty == TYPES.len() - 1 { STATIC } else { ty };
        ty % self.world.shape.threads as usize == self.number
    }

    /// Allocates a piece; false if it was refused, as it must be.
    fn allocate(&mut self, ty: usize, size: usize, align: usize, zero: bool) -> Check<bool> {
        let flags = [MallocFlags::NOWAIT, MallocFlags::ZERO][usize::from(zero)];
        let got = self.attempt(ty, size, align, |me| match align {
            ALIGN => me.vm().malloc(TYPES[ty], size, flags),
            _ => match Layout::from_size_align(size, align) {
                Ok(layout) => me.vm().malloc_aligned(TYPES[ty], layout, flags),
                Err(_) => Err(MallocError::TooLarge),
            },
        })?;
        let Some(piece) = got else { return Ok(false) };
        if zero && let Some(n) = pattern::not_zero(piece.contents()) {
            return wrong(format!("byte {n} of {:?} is not zero", piece.layout));
        }
        self.keep(piece);
        Ok(true)
    }

    fn keep(&mut self, mut piece: Piece) {
        piece.fill(self.world.fresh());
        self.goods.pieces.push(piece);
    }

    /// Tries to allocate, again if a failure was arranged; none if that is refused as it must be.
    fn attempt(
        &mut self,
        ty: usize,
        size: usize,
        align: usize,
        mut act: impl FnMut(&mut Self) -> Result<NonNull<u8>, MallocError>,
    ) -> Check<Option<Piece>> {
        let world = self.world;
        let accounts = &world.accounts;
        let Ok(layout) = Layout::from_size_align(size, align) else {
            return match act(self) {
                Err(MallocError::TooLarge | MallocError::NotAttached) => Ok(None),
                other => wrong(format!("{size} bytes aligned to {align}: {other:?}")),
            };
        };
        let (bucket, bytes) = accounts.slot(size, align);
        loop {
            let before = world.kit.failures()[0];
            let free_before = accounts.with(ty, |account| (account.attached, account.sure));
            accounts.begin(ty, bytes);
            let got = act(self);
            world.say(|| format!("{:?}, {layout:?}: {got:?}", TYPES[ty]));
            let account = accounts.with(ty, |account| *account);
            let too_large = bytes > MOST as u64;
            let error = match got {
                Ok(at) => {
                    if !free_before.0 || too_large {
                        return wrong(format!("{layout:?} of {:?} was given", TYPES[ty]));
                    }
                    if !at.addr().get().is_multiple_of(align.max(ALIGN)) {
                        return wrong(format!("{at:?} is not aligned for {layout:?}"));
                    }
                    world.take_memory(at.addr().get(), bytes as usize)?;
                    accounts.granted(ty, bytes)?;
                    return Ok(Some(Piece {
                        at,
                        layout,
                        is_larger: false,
                        ty,
                        generation: account.generation,
                        bucket,
                        bytes,
                        seed: 0,
                    }));
                }
                Err(error) => error,
            };
            match free_before.0 && error != MallocError::TooLarge && error != KEPT {
                true => accounts.refused(ty, bytes),
                false => accounts.with(ty, |account| account.possible[0] -= bytes),
            }
            match error {
                MallocError::NotAttached if !free_before.0 => return Ok(None),
                MallocError::TooLarge if too_large => return Ok(None),
                KEPT => return Ok(None),
                MallocError::Limit => {
                    let most = match world.is_alone() {
                        true => free_before.1 + bytes,
                        false => account.possible[1],
                    };
                    return match account.limit {
                        Some(limit) if most > limit => Ok(None),
                        limit => wrong(format!(
                            "{:?} refused {bytes} bytes with at most {most} in use; the limit is {limit:?}",
                            TYPES[ty]
                        )),
                    };
                }
                MallocError::OutOfMemory => {
                    let frames = match accounts.classes.get(bucket) {
                        Some(..=LITTLE) => 1,
                        Some(_) => SLAB,
                        None => bytes as usize / PAGE_SIZE,
                    };
                    let order = frames.next_power_of_two().trailing_zeros();
                    let again = world.kit.failures()[0] != before;
                    world.excuse(before, order)?;
                    if !again || !world.is_alone() {
                        return Ok(None);
                    }
                }
                error => {
                    return wrong(format!("{layout:?} of {:?}: {error:?}", TYPES[ty]));
                }
            }
        }
    }

    /// Which piece, size, flags.
    pub fn realloc(&mut self, [_, which, size, how, _, _]: [u32; 6]) -> Check {
        let Some(mut piece) = self.pick_piece(which) else {
            return Ok(());
        };
        let world = self.world;
        let ty = piece.ty;
        // Nobody allocates of a type that is another's or gone.
        if ty >= STATIC && (!self.owns(ty) || world.accounts.account_of(&piece) == ORPHANS) {
            self.goods.pieces.push(piece);
            return Ok(());
        }
        piece.check()?;
        let size = size_of(size);
        let sized = how % 2 == 0 && !piece.is_larger;
        let align = if sized { piece.layout.align() } else { ALIGN };
        let Ok(layout) = Layout::from_size_align(size, align) else {
            self.goods.pieces.push(piece);
            return Ok(());
        };
        let slot = world.accounts.slot(size, align);
        let bytes = slot.1;
        let (at, old) = (piece.at, piece.layout);
        let same = |me: &mut Self| {
            // SAFETY: a piece of this type that is ours, which had this layout.
            unsafe {
                match sized {
                    true => me
                        .vm()
                        .realloc_sized(TYPES[ty], at, old, size, MallocFlags::NOWAIT),
                    false => me.vm().realloc(TYPES[ty], at, size, MallocFlags::NOWAIT),
                }
            }
        };
        let stays = slot == (piece.bucket, piece.bytes);
        if stays {
            let moved = same(self);
            if moved != Ok(at) {
                return wrong(format!("{old:?} became {size} bytes: {moved:?}"));
            }
            piece.layout = layout;
            piece.is_larger = false;
            return self.resized(piece, old.size().min(size));
        }
        let smaller = size <= piece.bytes as usize && !sized;
        let old_bytes = piece.bytes;
        let (mut kept, mut stayed) = (false, Ok(()));
        let got = self.attempt(ty, size, align, |me| {
            // Others may take what it gives back before this is known here.
            let alone = world.is_alone();
            let sure = |add: bool| {
                world.accounts.with(ty, |account| match add {
                    true => account.sure += old_bytes,
                    false => account.sure -= old_bytes,
                });
            };
            if !alone {
                sure(false);
            }
            world.give_memory(at.addr().get());
            let moved = same(me);
            let gone = moved.is_ok() && moved != Ok(at);
            if !gone {
                // Nobody else can have it.
                stayed = world.take_memory(at.addr().get(), old_bytes as usize);
                if !alone {
                    sure(true);
                }
            }
            if moved == Ok(at) && smaller {
                kept = true;
                return Err(KEPT);
            }
            if gone {
                // The old one went with it, after both had been in use.
                world.accounts.with(ty, |account| {
                    if alone {
                        account.high = account.high.max(account.sure + bytes);
                        account.sure -= old_bytes;
                    }
                    account.possible[0] -= old_bytes;
                });
            }
            moved
        });
        stayed?;
        match got? {
            Some(mut new) => {
                new.seed = piece.seed;
                self.resized(new, old.size().min(size))
            }
            None => {
                if kept {
                    piece.layout = layout;
                    piece.is_larger = true;
                    return self.resized(piece, old.size().min(size));
                }
                self.goods.pieces.push(piece);
                Ok(())
            }
        }
    }

    /// A piece has another size, and so many of its first bytes must be as before.
    fn resized(&mut self, piece: Piece, same: usize) -> Check {
        piece.check_part(same)?;
        self.keep(piece);
        Ok(())
    }

    fn pick_piece(&mut self, which: u32) -> Option<Piece> {
        let pieces = &mut self.goods.pieces;
        (!pieces.is_empty()).then(|| pieces.swap_remove(which as usize % pieces.len()))
    }

    /// Which piece, how.
    pub fn free(&mut self, [_, which, how, _, _, _]: [u32; 6]) -> Check {
        match self.pick_piece(which) {
            Some(piece) => self.let_go(piece, how),
            None => Ok(()),
        }
    }

    /// From which piece on, how many, how.
    pub fn free_several(&mut self, [_, which, count, how, _, _]: [u32; 6]) -> Check {
        for n in 0..1 + count % 60 {
            self.free([0, which.wrapping_add(n), how, 0, 0, 0])?;
        }
        Ok(())
    }

    /// Frees a piece.
    pub fn let_go(&mut self, piece: Piece, how: u32) -> Check {
        piece.check()?;
        let world = self.world;
        let account = world.accounts.with(piece.ty, |account| {
            let mine = account.generation == piece.generation;
            account.freeing += u32::from(mine);
            if mine {
                account.sure -= piece.bytes;
            }
            (mine, account.attached)
        });
        let ty = match account {
            (true, _) => TYPES[piece.ty],
            // Its type has gone; it may be named as long as it has not come again.
            (false, false) if how % 2 == 1 && world.is_alone() => TYPES[piece.ty],
            (false, _) => &M_ORPHANS,
        };
        world.say(|| format!("free {:?} of {ty:?}", piece.layout));
        world.give_memory(piece.at.addr().get());
        // SAFETY: a piece of this type, or one that this type has left behind, with this layout; nobody
        // uses it any more.
        unsafe {
            match how % 3 {
                0 => self.vm().free(ty, piece.at),
                _ if piece.is_larger => self.vm().free(ty, piece.at),
                _ => self.vm().free_sized(ty, piece.at, piece.layout),
            }
        }
        if account.0 {
            world.accounts.with(piece.ty, |account| {
                account.freeing -= 1;
                account.possible[0] -= piece.bytes.min(account.possible[0]);
            });
        }
        Ok(())
    }

    /// Size: of a type whose pieces live for one step.
    pub fn wait(&mut self, [_, size, _, _, _, _]: [u32; 6]) -> Check {
        let size = 1 + size_of(size) % (6 << 10);
        let flags = MallocFlags::WAIT;
        let got = self.attempt(WAITED, size, ALIGN, |me| {
            me.vm().malloc(TYPES[WAITED], size, flags)
        })?;
        match got {
            Some(mut piece) => {
                piece.fill(self.world.fresh());
                self.let_go(piece, 0)
            }
            None => Ok(()),
        }
    }

    /// Which piece.
    pub fn touch(&mut self, [_, which, _, _, _, _]: [u32; 6]) -> Check {
        let Some(piece) = self.pick_piece(which) else {
            return Ok(());
        };
        piece.check()?;
        self.keep(piece);
        Ok(())
    }

    /// Which type.
    pub fn attach(&mut self, [_, which, _, _, _, _]: [u32; 6]) -> Check {
        let ty = which as usize % TYPES.len();
        let world = self.world;
        if ty < STATIC {
            return self.outcome(
                "attach",
                self.vm().attach_type(TYPES[ty]),
                TypeError::Attached,
            );
        }
        let attached = |ty: usize| world.accounts.with(ty, |account| account.attached);
        // Those who free what the type left behind may still have taken it for attached.
        if !self.owns(ty) || world.accounts.with(ty, |account| account.freeing != 0) {
            return Ok(());
        }
        let namesake = match ty {
            STATIC => TYPES.len() - 1,
            _ if ty == TYPES.len() - 1 => STATIC,
            _ => ty,
        };
        let before = world.kit.failures()[0];
        let result = self.vm().attach_type(TYPES[ty]);
        world.say(|| format!("attach {:?}: {result:?}", TYPES[ty]));
        if attached(ty) {
            return self.outcome("attach", result, TypeError::Attached);
        }
        if attached(namesake) {
            return self.outcome("attach", result, TypeError::NameTaken);
        }
        match result {
            Ok(()) => {
                world.accounts.with(ty, |account| {
                    account.attached = true;
                    account.limit = TYPES[ty].limit();
                    (account.granted, account.refused, account.high) = (0, 0, 0);
                    (account.sure, account.possible) = (0, [0; 2]);
                });
                Ok(())
            }
            Err(TypeError::OutOfMemory) => world.excuse(before, 0),
            Err(error) => wrong(format!("attach {:?}: {error:?}", TYPES[ty])),
        }
    }

    fn outcome(&self, what: &str, is: Result<(), TypeError>, must: TypeError) -> Check {
        match is {
            Err(error) if error == must => Ok(()),
            is => wrong(format!("{what}: is {is:?}, must be {must:?}")),
        }
    }

    /// Which type, whether its memory is left behind.
    pub fn detach(&mut self, [_, which, orphan, _, _, _]: [u32; 6]) -> Check {
        let ty = which as usize % TYPES.len();
        let leaks = [Leaks::Refuse, Leaks::Orphan][orphan as usize % 2];
        if ty >= STATIC && !self.owns(ty) {
            return Ok(());
        }
        self.detach_type(ty, leaks)
    }

    /// Detaches a type.
    pub fn detach_type(&mut self, ty: usize, leaks: Leaks) -> Check {
        let world = self.world;
        let account = world.accounts.with(ty, |account| *account);
        let before = world.kit.failures()[0];
        let mut told = Vec::new();
        let result = self
            .vm()
            .detach_type(TYPES[ty], leaks, &mut |leak| told.push(leak));
        world.say(|| format!("detach {:?}: {result:?}, {told:?}", TYPES[ty]));
        if ty < STATIC || !account.attached {
            return self.outcome("detach", result, TypeError::NotAttached);
        }
        if result == Err(TypeError::OutOfMemory) {
            return world.excuse(before, 0);
        }
        let (pieces, bytes) = told.iter().fold((0, 0), |(pieces, bytes), leak| {
            (pieces + leak.pieces, bytes + leak.bytes)
        });
        if world.is_alone() {
            let mine = self
                .goods
                .pieces
                .iter()
                .filter(|piece| piece.ty == ty && piece.generation == account.generation);
            let must = mine.fold((0, 0), |(pieces, bytes), piece| {
                (pieces + 1, bytes + piece.bytes)
            });
            if (pieces, bytes) != must {
                return wrong(format!("detach told of {told:?}, must be {must:?}"));
            }
            let refused = leaks == Leaks::Refuse && pieces != 0;
            if refused != (result == Err(TypeError::InUse)) {
                return wrong(format!("detach: {result:?} with {pieces} pieces in use"));
            }
        }
        match result {
            Ok(()) if leaks == Leaks::Refuse && pieces != 0 => {
                wrong(format!("detached with {told:?} in use"))
            }
            Ok(()) => {
                world.accounts.with(ty, |account| {
                    account.attached = false;
                    account.generation += 1;
                });
                Ok(())
            }
            Err(TypeError::InUse) if leaks == Leaks::Refuse && pieces != 0 => Ok(()),
            Err(error) => wrong(format!("detach {:?}: {error:?}, {told:?}", TYPES[ty])),
        }
    }

    /// Which type, how much. Limits change while nothing else happens.
    pub fn limit(&mut self, [_, which, much, _, _, _]: [u32; 6]) -> Check {
        let ty = which as usize % TYPES.len();
        if ty == WAITED {
            return Ok(());
        }
        let bytes = (much % 4 != 0).then(|| 16 * u64::from(much % 4096));
        let before = self.world.kit.failures()[0];
        let result = self.vm().set_type_limit(TYPES[ty], bytes);
        self.world
            .say(|| format!("{:?} has {bytes:?}: {result:?}", TYPES[ty]));
        let attached = self.world.accounts.with(ty, |account| account.attached);
        match result {
            Ok(()) if attached => {
                self.world
                    .accounts
                    .with(ty, |account| account.limit = bytes);
                Ok(())
            }
            Err(TypeError::NotAttached) if !attached => Ok(()),
            Err(TypeError::OutOfMemory) if attached => self.world.excuse(before, 0),
            other => wrong(format!("limit of {:?}: {other:?}", TYPES[ty])),
        }
    }

    /// How many allocations later, or how often.
    pub fn fail_allocation(&mut self, [_, n, _, _, _, _]: [u32; 6]) -> Check {
        self.world.troubled.store(true, Relaxed);
        self.world.kit.fail_allocation(1 + u64::from(n % 12));
        Ok(())
    }

    /// A seed, how often.
    pub fn fail_sometimes(&mut self, [_, seed, often, _, _, _]: [u32; 6]) -> Check {
        self.world.fail_nothing();
        if often % 3 != 0 {
            self.world.troubled.store(true, Relaxed);
            self.world.sometimes.store(true, Relaxed);
            self.world.counts.refuses.store(true, Relaxed);
            let machine = self.vm().machine();
            machine.fail_allocations_randomly(seed.into(), 2 + u64::from(often % 30));
        }
        Ok(())
    }
}
