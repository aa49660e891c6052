//! Device objects: frames that are not the manager's.
//!
//! Invariants:
//! - **V1** no frame of a device object is the manager's.
//! - **V2** device objects that have a frame in common have it treated alike by caches. (Processors may do
//!   anything where one frame is mapped in two ways at a time.)
//!
//! A device object has no family, so the links that others are in one by have it in the list of all device objects.
//! It is in the list until nothing maps it any more, and what did is flushed.
//!
//! Lock: one, rank Family.

use core::ops::Range;

use crate::addr::{Frame, PAGE_SHIFT};
use crate::error::DeviceError;
use crate::kmem::Ptr;
use crate::link::List;
use crate::machine::{Machine, Rank};
use crate::object::body::pages_of;
use crate::object::{InFamily, Kind, MOST_BYTES, NewObject, Object, ObjectBody};
use crate::pmap::Cache;
use crate::sync::SpinLock;
use crate::vm::Vm;

/// All device objects.
pub(crate) struct Devices<M: Machine> {
    lock: SpinLock,
    list: List<ObjectBody<M>, InFamily>,
}

impl<M: Machine> Devices<M> {
    pub const fn new() -> Devices<M> {
        Devices {
            lock: SpinLock::new(),
            list: List::new(),
        }
    }

    /// Puts a new one in, unless another has frames of its range treated otherwise.
    fn join(
        &self,
        machine: &M,
        object: Ptr<ObjectBody<M>>,
        frames: Range<u64>,
        cache: Cache,
    ) -> bool {
        let _list = self.lock.lock(machine, Rank::Family);
        let agree = self.agree(&frames, cache);
        if agree {
            self.list.push(object);
        }
        agree
    }

    /// Takes one out that ends.
    pub fn leave(&self, machine: &M, object: Ptr<ObjectBody<M>>) {
        let _list = self.lock.lock(machine, Rank::Family);
        self.list.remove(object);
    }

    /// Whether all that have frames of a range have them treated so.
    fn agree(&self, frames: &Range<u64>, cache: Cache) -> bool {
        self.list.iter().all(|object| match object.kind {
            Kind::Device(first, other) => {
                let end = first.0 + object.pages();
                other == cache || end <= frames.start || frames.end <= first.0
            }
            _ => true,
        })
    }

    /// Checks V2; nothing else may run.
    pub fn check(&self) {
        for object in self.list.iter() {
            if let Kind::Device(first, cache) = object.kind {
                let frames = first.0..first.0 + object.pages();
                assert!(self.agree(&frames, cache), "V2: treated alike");
            }
        }
    }
}

impl<M: Machine> Vm<M> {
    /// An object of `size` bytes that are frames from `first` on, which are not the manager's: a
    /// device, or memory of one. Caches treat it as `cache` says wherever it is mapped. Several objects may have
    /// the same frames, if they have them treated alike. On failure nothing has changed.
    pub fn new_device(
        &self,
        first: Frame,
        size: u64,
        cache: Cache,
    ) -> Result<Object<'_, M>, DeviceError> {
        let end = first.0.checked_add(pages_of(size.min(MOST_BYTES)));
        let end = end.filter(|end| size <= MOST_BYTES && *end <= u64::MAX >> PAGE_SHIFT);
        let end = end.ok_or(DeviceError::BadRange)?;
        if self.frames.segments().have_any(first, Frame(end)) {
            return Err(DeviceError::Memory);
        }
        let body = self.make_object(NewObject::public(Kind::Device(first, cache), size))?;
        if !self.devices.join(&self.machine, body, first.0..end, cache) {
            self.objects.free(&self.machine, &self.frames, body);
            return Err(DeviceError::OtherCache);
        }
        Ok(Object { vm: self, body })
    }
}
