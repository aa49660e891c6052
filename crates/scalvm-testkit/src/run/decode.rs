//! What the numbers of a step mean: each gives something sensible, whatever it is.

use scalvm::{Access, Advice, Inherit, Large, PAGE_SIZE, Prot};

use crate::model::Space;

/// The pages in which most things happen.
pub const ARENA: u32 = 40;

/// Where they begin: astride the boundaries of page tables of each level.
const ARENAS: [usize; 4] = [0x1_0000, 1 << 21, 1 << 30, 1 << 39];

/// The first address of the arena of a machine.
pub fn arena(space: u32) -> usize {
    let boundary = ARENAS[space as usize % ARENAS.len()];
    boundary - PAGE_SIZE * 12.min(boundary / PAGE_SIZE - 1)
}

/// The bounds of the spaces of a machine: little more than the arena, or all there is.
pub fn bounds(space: u32) -> (usize, usize) {
    match space / 4 % 2 {
        0 => (PAGE_SIZE, 0x7fff_ffff_f000),
        _ => (
            arena(space),
            arena(space) + (ARENA as usize + 20) * PAGE_SIZE,
        ),
    }
}

/// Takes a number below `end` out of `arg`, which keeps the rest.
pub fn draw(arg: &mut u32, end: u32) -> u32 {
    let drawn = *arg % end;
    *arg /= end;
    drawn
}

/// A page's address: one of the arena, or one in or beside what is mapped.
pub fn address(space: u32, model: &Space, mut arg: u32) -> usize {
    let kind = draw(&mut arg, 4);
    if kind < 3 || model.areas.is_empty() {
        return arena(space) + (arg % ARENA) as usize * PAGE_SIZE;
    }
    let nth = draw(&mut arg, model.areas.len() as u32) as usize;
    let (&start, area) = model.areas.iter().nth(nth).expect("there are so many");
    let pages = (area.end - start) / PAGE_SIZE;
    match draw(&mut arg, 4) {
        0 => start,
        1 => area.end,
        2 => start + arg as usize % pages * PAGE_SIZE,
        _ => start + arg as usize % pages.min(8) * PAGE_SIZE,
    }
}

/// A page's address, or now and then one that is not at the start of a page.
pub fn rough_address(space: u32, model: &Space, mut arg: u32) -> usize {
    match draw(&mut arg, 64) {
        63 => address(space, model, arg) + 8,
        62 => [0, usize::MAX - PAGE_SIZE + 1, 1 << 47, 0x7fff_ffff_f000][arg as usize % 4],
        low => address(space, model, arg * 62 + low),
    }
}

/// Bytes of a few pages; now and then none, too many, or not whole pages.
pub fn length(mut arg: u32) -> usize {
    match draw(&mut arg, 32) {
        31 => [0, 1 << 46, usize::MAX, 1 << 21][arg as usize % 4],
        30 => arg as usize % 3 * PAGE_SIZE + 100,
        low => (1 + (arg * 30 + low) as usize % 14) * PAGE_SIZE,
    }
}

/// A place within a page, such that `len` bytes from there lie within it.
pub fn within(arg: u32, len: usize) -> usize {
    [0, 8, 2048, PAGE_SIZE, 100, 3000, arg as usize][arg as usize % 7].min(PAGE_SIZE - len)
}

/// A size in bytes, of no more than 20 pages.
pub fn size(mut arg: u32) -> u64 {
    let pages = draw(&mut arg, 20) as usize;
    let more = match draw(&mut arg, 3) {
        0 => 0,
        1 => 1 + arg as usize % (PAGE_SIZE - 1),
        _ => PAGE_SIZE - 1 - arg as usize % (PAGE_SIZE - 1),
    };
    (pages * PAGE_SIZE + more) as u64
}

/// Rights.
pub fn prot(arg: u32) -> Prot {
    const ALL: [Prot; 8] = [
        Prot::RW,
        Prot::READ,
        Prot::RW,
        Prot::RX,
        Prot::all(),
        Prot::empty(),
        Prot::RW,
        Prot::WRITE,
    ];
    ALL[arg as usize % 8]
}

/// Rights that are never exceeded.
pub fn max_prot(arg: u32) -> Prot {
    match arg % 12 {
        9 => Prot::READ,
        10 => Prot::RW,
        11 => Prot::RX,
        _ => Prot::all(),
    }
}

/// An inheritance.
pub fn inherit(arg: u32) -> Inherit {
    [Inherit::Share, Inherit::Copy, Inherit::None, Inherit::Zero][arg as usize % 4]
}

/// A limit: mostly none, else of some pages.
pub fn limit(arg: &mut u32) -> Option<u64> {
    let pages = u64::from(draw(arg, 60));
    (pages >= 30).then(|| (pages - 25) * PAGE_SIZE as u64)
}

/// Advice.
pub fn advice(arg: u32) -> Advice {
    [Advice::Normal, Advice::Random, Advice::Sequential][arg as usize % 3]
}

/// Whether large leaves are wanted: mostly.
pub fn large(arg: u32) -> Large {
    [
        Large::Asked,
        Large::Asked,
        Large::Never,
        Large::Asked,
        Large::Unsaid,
    ][arg as usize % 5]
}

/// A kind of access.
pub fn access(arg: u32) -> Access {
    [Access::Read, Access::Write, Access::Exec][arg as usize % 3]
}

/// Pages of a swap device: mostly few.
pub fn swap_pages(mut arg: u32) -> u64 {
    match draw(&mut arg, 4) {
        0 => 1 + u64::from(arg) % 20,
        1 => 16 + u64::from(arg) % 64,
        2 => 100,
        _ => 400,
    }
}

/// Pages that there is room for in memory.
pub fn room(mut arg: u32) -> u64 {
    match draw(&mut arg, 3) {
        0 => 16 + u64::from(arg) % 16,
        1 => 16 + u64::from(arg) % 64,
        _ => 16 + u64::from(arg) * 7 % 241,
    }
}
