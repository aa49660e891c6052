//! A new program's stack, and what the program finds on it: arguments, environment, and the
//! auxiliary vector.

use alloc::vec::Vec;

use linux_raw_sys::auxvec::{
    AT_BASE, AT_CLKTCK, AT_EGID, AT_ENTRY, AT_EUID, AT_EXECFN, AT_FLAGS, AT_GID, AT_HWCAP,
    AT_HWCAP2, AT_NULL, AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_PLATFORM, AT_RANDOM, AT_SECURE,
    AT_SYSINFO_EHDR, AT_UID,
};
use scalvm::{MapRequest, PAGE_SIZE, Place, Prot, malloc_type};
use scalvm_alloc::typed_alloc;

use super::elf::{Image, PROGRAM_HEADER};
use super::space::{Layout, Space};
use crate::arch::{cpu, random};
use crate::linux::Errno;
use crate::mm::{VM, typed};

/// Bytes that the first process's stack may grow to.
pub const SIZE: usize = 8 << 20;
/// Bytes that it has at first.
const FIRST: usize = 33 * PAGE_SIZE;
/// The most that arguments and environment may take, in bytes.
pub const MAX_STRINGS: usize = SIZE / 4;
/// Clock ticks per second, in times(2) and the like.
pub const CLOCK_TICKS: u64 = 100;

malloc_type!(M_ARGS, "args", "arguments and environments");
typed_alloc!(
    /// Memory for arguments.
    pub ArgMemory, VM, M_ARGS
);

/// The arguments of a process, each ended by a zero byte.
pub type Args = typed::Vec<u8, ArgMemory>;

/// Strings one behind the other, each ended by a zero byte.
pub struct Strings {
    bytes: Args,
    count: usize,
}

impl Strings {
    /// None.
    pub const fn new() -> Strings {
        Strings {
            bytes: typed::Vec::new_in(ArgMemory),
            count: 0,
        }
    }

    /// One more. E2BIG if they are too long.
    pub fn push(&mut self, string: &[u8]) -> Result<(), Errno> {
        let pointers = (self.count + 1) * size_of::<usize>();
        if self.bytes.len() + string.len() + pointers > MAX_STRINGS {
            return Err(Errno::E2BIG);
        }
        typed::extend(&mut self.bytes, string)?;
        typed::push(&mut self.bytes, 0)?;
        self.count += 1;
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The strings, without their zero bytes.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|byte| *byte == 0).take(self.count)
    }

    /// All bytes.
    pub fn into_bytes(self) -> Args {
        self.bytes
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Maps the stack, which grows.
pub fn map(space: &Space, executable: bool) -> Result<(), Errno> {
    let prot = if executable { Prot::all() } else { Prot::RW };
    let request = MapRequest {
        grows: true,
        ..MapRequest::anonymous(FIRST, prot)
    };
    space.map(request.at(Place::Fixed(space.stack_end() - FIRST)))?;
    Ok(())
}

/// What a new program is told.
pub struct Told<'a> {
    /// Its arguments.
    pub args: &'a Strings,
    /// Its environment.
    pub env: &'a Strings,
    /// The path by which it was called.
    pub path: &'a [u8],
    /// The program.
    pub image: &'a Image,
    /// The program that loads it, if there is one.
    pub interpreter: Option<&'a Image>,
    /// Where the kernel's own code for programs lies, if there is some.
    pub vdso: Option<usize>,
}

/// Puts what a program is told onto its stack. Returns the stack pointer.
pub fn fill(space: &Space, layout: &Layout, told: &Told<'_>) -> Result<usize, Errno> {
    const PLATFORM: &[u8] = b"x86_64\0";
    const RANDOM: usize = 16;
    let mut noise = [0; RANDOM];
    random::fill(&mut noise);

    let top = layout.stack_end;
    // From the top: a zero word, the path, environment, arguments, the platform's name, random
    // bytes, and, aligned, the words.
    let path = top - 8 - (told.path.len() + 1);
    let env = path - told.env.len();
    let args = env - told.args.len();
    let platform = args - PLATFORM.len();
    let noise_at = (platform - RANDOM - layout.stack_skip) & !15;
    let mut strings = Vec::new();
    strings
        .try_reserve_exact(top - noise_at)
        .map_err(|_| Errno::ENOMEM)?;
    strings.extend_from_slice(&noise);
    strings.resize(platform - noise_at, 0);
    for part in [PLATFORM, &told.args.bytes, &told.env.bytes, told.path] {
        strings.extend_from_slice(part);
    }
    strings.resize(top - noise_at, 0);

    let image = told.image;
    let mut aux = [
        (AT_HWCAP, cpu::hwcap()),
        (AT_PAGESZ, PAGE_SIZE),
        (AT_CLKTCK, CLOCK_TICKS as usize),
        (AT_PHDR, image.headers),
        (AT_PHENT, PROGRAM_HEADER),
        (AT_PHNUM, image.header_count),
        (
            AT_BASE,
            told.interpreter.map_or(0, |interpreter| interpreter.base),
        ),
        (AT_FLAGS, 0),
        (AT_ENTRY, image.entry),
        (AT_UID, 0),
        (AT_EUID, 0),
        (AT_GID, 0),
        (AT_EGID, 0),
        (AT_SECURE, 0),
        (AT_RANDOM, noise_at),
        (AT_HWCAP2, 0),
        (AT_EXECFN, path),
        (AT_PLATFORM, platform),
        (AT_NULL, 0),
        (AT_NULL, 0),
    ];
    if let Some(vdso) = told.vdso {
        let last = aux.len() - 2;
        aux[last] = (AT_SYSINFO_EHDR, vdso);
    }
    let count = 1 + told.args.count + 1 + told.env.count + 1 + 2 * aux.len();
    let sp = (noise_at - count * 8) & !15;
    let mut words = Vec::new();
    words
        .try_reserve_exact((noise_at - sp) + strings.len())
        .map_err(|_| Errno::ENOMEM)?;
    let mut push = |word: usize| words.extend_from_slice(&word.to_le_bytes());
    push(told.args.count);
    for (list, mut at) in [(told.args, args), (told.env, env)] {
        for string in list.iter() {
            push(at);
            at += string.len() + 1;
        }
        push(0);
    }
    for (key, value) in aux {
        push(key as usize);
        push(value);
    }
    words.resize(noise_at - sp, 0);
    words.extend_from_slice(&strings);
    space.write(sp, &words)?;
    Ok(sp)
}
