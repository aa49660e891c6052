//! Linux's error numbers.

use linux_raw_sys::errno as raw;
use scalvm::{FaultError, Limit, MapError, OutOfMemory};

/// Why a system call failed: what the program finds, negated, in its result register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident)*) => {
        #[allow(missing_docs)]
        impl Errno {
            $(pub const $name: Errno = Errno(raw::$name as i32);)*
        }
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    EBUSY EEXIST EXDEV ENODEV ENOTBLK ENOTDIR EISDIR EINVAL EMFILE ENOTTY EFBIG ENOSPC ESPIPE EPIPE
    EROFS EMLINK ERANGE ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP EOVERFLOW EOPNOTSUPP ETIMEDOUT ENOTSOCK
    EAFNOSUPPORT EADDRINUSE ECONNREFUSED ECONNRESET EISCONN ENOTCONN EMSGSIZE ENOBUFS EPROTONOSUPPORT
    ESOCKTNOSUPPORT EPROTOTYPE ENOPROTOOPT EDOM EHWPOISON ETXTBSY
}

impl From<OutOfMemory> for Errno {
    fn from(_: OutOfMemory) -> Errno {
        Errno::ENOMEM
    }
}

impl From<MapError> for Errno {
    fn from(error: MapError) -> Errno {
        match error {
            MapError::BadRange | MapError::BadOffset => Errno::EINVAL,
            MapError::Occupied => Errno::EEXIST,
            MapError::Protection | MapError::ExecGain => Errno::EACCES,
            MapError::Sealed => Errno::EPERM,
            MapError::OverLimit(Limit::Wired) => Errno::EAGAIN,
            MapError::Pager(_) => Errno::EIO,
            _ => Errno::ENOMEM,
        }
    }
}

impl From<FaultError> for Errno {
    fn from(error: FaultError) -> Errno {
        match error {
            FaultError::OutOfMemory => Errno::ENOMEM,
            FaultError::Pager(_) => Errno::EIO,
            _ => Errno::EFAULT,
        }
    }
}
