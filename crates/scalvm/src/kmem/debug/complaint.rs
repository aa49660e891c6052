//! What debug mode has to tell.

use core::fmt;
use core::panic::Location;

/// What somebody has done wrong with a piece of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Wrong {
    /// It was freed, and is freed again.
    FreedTwice,
    /// No piece in use begins at the address that is freed or resized.
    NotAllocated,
    /// It is freed under this type, in lists, and is of another one.
    WrongType(&'static str),
    /// It is freed with this size in bytes, or with another alignment, and was allocated otherwise.
    WrongSize(usize),
    /// So many bytes before its beginning something was written.
    WrittenBefore(usize),
    /// So many bytes from its beginning, beyond its end, something was written.
    WrittenBeyond(usize),
    /// So many bytes from its beginning something was written while it was free.
    WrittenWhileFree(usize),
}

/// A misuse of memory that debug mode has found, and all that is known about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Complaint {
    /// What is wrong.
    pub wrong: Wrong,
    /// The address that was given out, or that is freed and was not.
    pub address: usize,
    /// Bytes that were asked for.
    pub size: usize,
    /// The type, as lists show it.
    pub ty: Option<&'static str>,
    /// Where it was allocated.
    pub allocated: Option<&'static Location<'static>>,
    /// Where it was freed, if it was before now.
    pub freed: Option<&'static Location<'static>>,
    /// Where it is freed now, or, of what was written to while free, where somebody freed or
    /// allocated so that it was looked at.
    pub noticed: &'static Location<'static>,
}

impl Complaint {
    /// A hook for [`DebugOptions`](crate::DebugOptions) that panics with what the complaint says.
    #[track_caller]
    pub fn panic(complaint: &Complaint) {
        panic!("{complaint}");
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory at {:#x} ", self.address)?;
        match self.wrong {
            Wrong::FreedTwice => write!(f, "is freed twice")?,
            Wrong::NotAllocated => write!(f, "is freed and is not allocated")?,
            Wrong::WrongType(ty) => write!(f, "is freed as {ty}")?,
            Wrong::WrongSize(size) => write!(f, "is freed with a wrong layout of {size} bytes")?,
            Wrong::WrittenBefore(n) => write!(f, "was written to {n} bytes before its beginning")?,
            Wrong::WrittenBeyond(n) => write!(f, "was written to at {n}, beyond its end")?,
            Wrong::WrittenWhileFree(n) => write!(f, "was written to at {n} while it was free")?,
        }
        write!(f, ", at {}", self.noticed)?;
        if let Some(site) = self.allocated {
            let ty = self.ty.unwrap_or("?");
            write!(f, "; {} bytes of {ty}, allocated at {site}", self.size)?;
        }
        if let Some(site) = self.freed {
            write!(f, ", freed at {site}")?;
        }
        Ok(())
    }
}
