//! [`MallocType`]: what kernel memory is for.

use core::fmt;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

/// One more than the greatest number of a type; a power of two.
pub(crate) const NUMBERS: usize = 512;

/// What kernel memory is for: each piece that [`Vm::malloc`](crate::Vm::malloc) gives is charged to
/// one of these (the seed, section 1.2.1; `malloc_type` of NetBSD's malloc(9)).
///
/// A type is declared by [`malloc_type!`](crate::malloc_type). It is only a name: what is charged to
/// it stands in each manager by itself, found by the type's number, which is the one thing that
/// changes in here.
pub struct MallocType {
    name: &'static str,
    short: &'static str,
    long: &'static str,
    limit: Option<u64>,
    /// Below [`NUMBERS`] the type's number, or 0 if it has none yet; above, in how many managers a
    /// dynamic type is attached. See `numbers.rs`.
    pub(super) number: AtomicU32,
}

impl MallocType {
    /// A type. The name is that of the item that it is, the short description is what lists show,
    /// the long one explains it. [`malloc_type!`](crate::malloc_type) is what calls this.
    pub const fn new(name: &'static str, short: &'static str, long: &'static str) -> MallocType {
        MallocType {
            name,
            short,
            long,
            limit: None,
            number: AtomicU32::new(0),
        }
    }

    /// The same type that may have so many bytes in use and no more, until
    /// [`Vm::set_type_limit`](crate::Vm::set_type_limit) says otherwise.
    pub const fn with_limit(self, bytes: u64) -> MallocType {
        MallocType {
            limit: Some(bytes),
            ..self
        }
    }

    /// What it is called in the program: `M_TEMP`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it is called in lists: `temp`.
    pub const fn short(&self) -> &'static str {
        self.short
    }

    /// What it is for, in some words.
    pub const fn long(&self) -> &'static str {
        self.long
    }

    /// The limit that it begins with, in bytes.
    pub const fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Its number, or 0: then it has none, or it is static and nobody has asked yet
    /// (`numbers::of` does).
    #[inline(always)]
    pub(crate) fn known_number(&self) -> usize {
        self.number.load(Relaxed) as usize % NUMBERS
    }

    /// Whether both would be taken for one another.
    pub(super) fn clashes(&self, other: &MallocType) -> bool {
        self.name == other.name || self.short == other.short
    }
}

impl fmt::Debug for MallocType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.short)
    }
}

/// Declares a type of kernel memory, a [`MallocType`], in the file that uses it: its name, how lists
/// show it, and what it is for.
///
/// ```
/// scalvm::malloc_type!(pub M_TEMP, "temp", "short-lived data");
/// scalvm::malloc_type!(M_NET, "net", "network buffers", limit = 1 << 20);
/// scalvm::malloc_type!(dynamic M_MOD, "mod", "buffers of a module");
/// ```
///
/// A type declared so is *static*: to link the file is to have it registered, in every manager. For
/// this the macro puts a pointer to it in the section `scalvm_malloc_types` of the program; GNU ld
/// and lld need to be told nothing, a linker script of one's own must keep the section
/// (`docs/porting.md`).
///
/// A *dynamic* type, of a module that is loaded and unloaded, is in no section: the module attaches
/// it when it begins and detaches it when it ends ([`Vm::attach_type`](crate::Vm::attach_type)).
#[macro_export]
macro_rules! malloc_type {
    (dynamic $vis:vis $name:ident, $short:literal, $long:literal $(, limit = $limit:expr)? $(,)?) => {
        #[doc = $long]
        $vis static $name: $crate::MallocType =
            $crate::MallocType::new(stringify!($name), $short, $long)$(.with_limit($limit))?;
    };
    ($vis:vis $name:ident, $short:literal, $long:literal $(, limit = $limit:expr)? $(,)?) => {
        $crate::malloc_type!(dynamic $vis $name, $short, $long $(, limit = $limit)?);
        const _: () = {
            #[used]
            // SAFETY: the section is an array of just such pointers.
            #[unsafe(link_section = "scalvm_malloc_types")]
            static ENTRY: &$crate::MallocType = &$name;
        };
    };
}
