//! Why types cannot be attached, detached or looked at.

use core::fmt;

/// Why a malloc type could not be attached or detached. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TypeError {
    /// Another type has the same name or the same short description.
    NameTaken,
    /// The type is attached already, or is static.
    Attached,
    /// The type is not attached, or is static and stays.
    NotAttached,
    /// There are as many types as there can be (511).
    TooMany,
    /// Memory of the type is in use.
    InUse,
    /// No memory for what is to be known about the type.
    OutOfMemory,
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TypeError::NameTaken => "the name is taken",
            TypeError::Attached => "the type is attached already",
            TypeError::NotAttached => "the type is not attached",
            TypeError::TooMany => "too many types",
            TypeError::InUse => "memory of the type is in use",
            TypeError::OutOfMemory => "out of memory",
        })
    }
}

impl core::error::Error for TypeError {}
