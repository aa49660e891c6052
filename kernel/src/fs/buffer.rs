//! [`Buf`]: where the bytes of a read go to, and those of a write come from.
//!
//! Almost always that is memory of the program that calls, which may not be there, may have to be
//! brought in first (so copying blocks), and may change at any time: it is only ever touched by the
//! copy routines of `mm::user`. The kernel's own memory takes the same way for sendfile and exec.
//! A `Buf` moves along as it is used; [`Pieces`] are several, one behind the other. No lock may be
//! held while bytes move.

use core::marker::PhantomData;

use scalvm::{Access, PAGE_SIZE};

use super::paged;
use crate::linux::Errno;
use crate::mm::{Loan, Mdl, user};
use crate::task;

/// A window of memory that shrinks from its start as bytes move.
pub struct Buf<'a> {
    address: usize,
    left: usize,
    in_kernel: bool,
    read_only: bool,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> Buf<'a> {
    /// Memory of the program that calls. Nothing is checked before bytes move.
    pub fn user(address: usize, len: usize) -> Buf<'static> {
        Buf {
            address,
            left: len,
            in_kernel: false,
            read_only: false,
            memory: PhantomData,
        }
    }

    /// The kernel's own memory.
    pub fn kernel(bytes: &'a mut [u8]) -> Buf<'a> {
        Buf {
            address: bytes.as_mut_ptr() as usize,
            left: bytes.len(),
            in_kernel: true,
            read_only: false,
            memory: PhantomData,
        }
    }

    /// The kernel's own memory, to be taken from only: what is put there goes nowhere, with EFAULT.
    pub fn source(bytes: &'a [u8]) -> Buf<'a> {
        Buf {
            address: bytes.as_ptr() as usize,
            left: bytes.len(),
            in_kernel: true,
            read_only: true,
            memory: PhantomData,
        }
    }

    /// Lends the page with which the window begins, if that is a whole page of the program's memory which can be
    /// lent; it keeps the bytes that it has now. Blocks.
    pub fn lend(&mut self) -> Option<Loan> {
        if self.in_kernel || !self.address.is_multiple_of(PAGE_SIZE) || self.left < PAGE_SIZE {
            return None;
        }
        let loan = task::current().map().lend(self.address).ok()?;
        self.advance(PAGE_SIZE);
        Some(loan)
    }

    /// The window, if it is memory of the program that calls: where it begins, and its bytes.
    pub fn in_program(&self) -> Option<(usize, usize)> {
        (!self.in_kernel).then_some((self.address, self.left))
    }

    /// Holds the pages of the first `len` bytes, which are the program's, for a device to fill or to take from.
    /// EFAULT where the program may not do so itself. Blocks.
    pub fn describe(&self, len: usize, access: Access) -> Result<Mdl, Errno> {
        let space = task::current().map();
        let len = len.min(self.left);
        task::with_memory(|| space.describe(self.address, len, access)).map_err(paged::errno)
    }

    /// Passes over bytes that were moved in another way.
    pub fn skip(&mut self, len: usize) {
        self.advance(len.min(self.left));
    }

    /// The bytes to the end of the page in which the window begins.
    pub fn to_page_end(&self) -> usize {
        PAGE_SIZE - self.address % PAGE_SIZE
    }

    /// The bytes left.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether no bytes are left.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Makes the window no longer than `len`.
    pub fn limit(&mut self, len: usize) {
        self.left = self.left.min(len);
    }

    /// Copies as many of the bytes as there is room for into the window. Where a program's memory
    /// ends early, fewer; EFAULT where it ends at once. So do the other three.
    pub fn put(&mut self, from: &[u8]) -> Result<usize, Errno> {
        // SAFETY: a slice is readable and nobody changes it.
        unsafe { self.put_raw(from.as_ptr(), from.len()) }
    }

    /// Fills as much of the slice as bytes are left.
    pub fn take(&mut self, to: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: the slice is writable and ours alone.
        unsafe { self.take_raw(to.as_mut_ptr(), to.len()) }
    }

    /// [`put`](Buf::put) from memory that may change meanwhile.
    ///
    /// # Safety
    ///
    /// `len` bytes are readable at `from` until this returns.
    #[inline]
    pub unsafe fn put_raw(&mut self, from: *const u8, len: usize) -> Result<usize, Errno> {
        let len = len.min(self.left);
        if self.read_only {
            return Err(Errno::EFAULT);
        }
        if self.in_kernel {
            // SAFETY: the window is a slice that we hold exclusively, `from` the caller's promise.
            unsafe { core::ptr::copy(from, self.address as *mut u8, len) };
        } else {
            // SAFETY: the caller's promise, for all of it and so for each part.
            let copy = |at, done, len| unsafe { user::copy_from_raw(at, from.add(done), len) };
            return self.copy(len, copy);
        }
        self.advance(len);
        Ok(len)
    }

    /// [`take`](Buf::take) into memory that others may look at meanwhile.
    ///
    /// # Safety
    ///
    /// `len` bytes are writable at `to` until this returns.
    #[inline]
    pub unsafe fn take_raw(&mut self, to: *mut u8, len: usize) -> Result<usize, Errno> {
        let len = len.min(self.left);
        if self.in_kernel {
            // SAFETY: the window is a slice that we hold, `to` the caller's promise.
            unsafe { core::ptr::copy(self.address as *const u8, to, len) };
        } else {
            // SAFETY: the caller's promise, for all of it and so for each part.
            let copy = |at, done, len| unsafe { user::copy_to_raw(at, to.add(done), len) };
            return self.copy(len, copy);
        }
        self.advance(len);
        Ok(len)
    }

    /// Puts zeros into the whole window.
    pub fn put_zeros(&mut self) -> Result<usize, Errno> {
        static ZEROS: [u8; 4096] = [0; 4096];
        let mut done = 0;
        while self.left > 0 {
            match self.put(&ZEROS) {
                Ok(n) => done += n,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Copies to or from the program, whose addresses `copy` gets with the bytes before and the
    /// length. If not all of the memory is there, as much as there is before the first lack.
    #[inline]
    fn copy(
        &mut self,
        len: usize,
        copy: impl Fn(usize, usize, usize) -> Result<(), Errno>,
    ) -> Result<usize, Errno> {
        if copy(self.address, 0, len).is_ok() {
            self.advance(len);
            return Ok(len);
        }
        let mut done = 0;
        while done < len {
            let part = (PAGE_SIZE - self.address % PAGE_SIZE).min(len - done);
            match copy(self.address, done, part) {
                Ok(()) => self.advance(part),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            done += part;
        }
        Ok(done)
    }

    fn advance(&mut self, len: usize) {
        self.address += len;
        self.left -= len;
    }
}

/// Windows of which each goes on where the one before it ends.
pub struct Pieces<'a, 'b>(&'a mut [Buf<'b>]);

impl<'a, 'b> Pieces<'a, 'b> {
    /// These windows, in their order.
    pub fn new(pieces: &'a mut [Buf<'b>]) -> Pieces<'a, 'b> {
        Pieces(pieces)
    }

    /// The bytes left.
    pub fn len(&self) -> usize {
        self.0.iter().map(Buf::len).sum()
    }

    /// Whether no bytes are left.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Buf::is_empty)
    }

    /// [`Buf::put`] into all of them.
    pub fn put(&mut self, from: &[u8]) -> Result<usize, Errno> {
        self.each(from.len(), |piece, done| piece.put(&from[done..]))
    }

    /// [`Buf::take`] from all of them.
    pub fn take(&mut self, to: &mut [u8]) -> Result<usize, Errno> {
        self.each(to.len(), |piece, done| piece.take(&mut to[done..]))
    }

    /// Moves up to `len` bytes, piece by piece, until one is not used up.
    fn each(
        &mut self,
        len: usize,
        mut step: impl FnMut(&mut Buf<'b>, usize) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let mut done = 0;
        for piece in self.0.iter_mut().filter(|piece| !piece.is_empty()) {
            match step(piece, done) {
                Ok(moved) => done += moved,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            if done == len || !piece.is_empty() {
                break;
            }
        }
        Ok(done)
    }
}
