//! Steps that are about objects.

use std::rc::Rc;

use scalvm::{Access, Cache, DeviceError, FaultError, Frame, PAGE_SIZE, PagerError};

use super::decode::{self, draw};
use super::runner::{Check, Held, Open, Runner, wrong};
use crate::kit::{DEVICE, DEVICE_FRAMES, Hw};
use crate::model::{Kind, Object, ObjectRef};

/// More objects than this are not made.
const OBJECTS: usize = 6;

impl<'v> Runner<'v> {
    fn open(&mut self, real: scalvm::Object<'v, Hw>, model: ObjectRef, file: Option<usize>) {
        model.borrow().id.set(Some(real.id()));
        self.say(|| {
            format!(
                "object {} is new: {:#x} bytes, file {file:?}",
                real.id(),
                real.size()
            )
        });
        self.objects.push(Open { real, model, file });
    }

    pub(super) fn new_anonymous(&mut self, [size, ..]: [u32; 6]) -> Check {
        if self.objects.len() == OBJECTS {
            return Ok(());
        }
        let size = decode::size(size);
        let real = self.retry(true, |r| r.kit.vm().new_anonymous(size))?;
        let Ok(real) = real else {
            return wrong("no new object");
        };
        self.open(real, Object::new(Kind::Anonymous, 0, size), None);
        Ok(())
    }

    pub(super) fn new_file(&mut self, [which, size, ..]: [u32; 6]) -> Check {
        let which = which as usize % self.files.len();
        // A file has one object, as in every kernel; what is released stays on the disk.
        if self.objects.len() == OBJECTS || Rc::strong_count(&self.files[which]) > 1 {
            return Ok(());
        }
        let size = decode::size(size);
        self.settle(which)?;
        let file = self.files[which].clone();
        self.set_disk_size(which, size);
        file.borrow_mut().set_size(size);
        let real = self.retry(true, |r| r.kit.try_open(which, size))?;
        let Ok(real) = real else {
            return wrong("no new object");
        };
        self.open(
            real,
            Object::new(Kind::File(file), which, size),
            Some(which),
        );
        Ok(())
    }

    pub(super) fn new_device(&mut self, [cache, part, ..]: [u32; 6]) -> Check {
        if self.objects.len() == OBJECTS {
            return Ok(());
        }
        let cache = [
            Cache::WriteBack,
            Cache::WriteThrough,
            Cache::WriteCombining,
            Cache::Uncached,
        ][cache as usize % 4];
        let (device, other) = &self.device;
        if device.upgrade().is_some() {
            // The frames have other bytes otherwise than the model of a second object knows, so there is none; but
            // one that would have a part of them treated otherwise is refused.
            if cache == *other {
                return Ok(());
            }
            let first = Frame(DEVICE.0 + u64::from(part) % DEVICE_FRAMES as u64);
            let real = self.retry(false, |r| {
                let made = r.kit.vm().new_device(first, PAGE_SIZE as u64, cache);
                made.map(drop)
            })?;
            return self.same("a device otherwise", real, Err(DeviceError::OtherCache));
        }
        let size = (DEVICE_FRAMES * PAGE_SIZE) as u64;
        let real = self.retry(true, |r| r.kit.vm().new_device(DEVICE, size, cache))?;
        let Ok(real) = real else {
            return wrong("no new object");
        };
        for page in 0..DEVICE_FRAMES {
            self.kit
                .write(Frame(DEVICE.0 + page as u64), 0, &[0; PAGE_SIZE]);
        }
        let model = Object::new(Kind::Device, 0, size);
        self.device = (Rc::downgrade(&model), cache);
        self.open(real, model, None);
        Ok(())
    }

    /// What a file system does on the disk when a file's size changes: new bytes are zeros, what is cut off is
    /// forgotten, and what lies beyond the end is anything.
    fn set_disk_size(&self, which: usize, size: u64) {
        if self.setup.paging.is_some() {
            // As a file system does, it waits for what is still being written.
            self.kit.pump(u32::MAX);
        }
        self.kit
            .truncate(which, size.min(self.files[which].borrow().size));
        self.kit.spoil(which, size);
    }

    pub(super) fn which(&self, arg: u32) -> usize {
        arg as usize % self.objects.len()
    }

    fn is_device(&self, which: usize) -> bool {
        matches!(self.objects[which].model.borrow().kind, Kind::Device)
    }

    pub(super) fn drop_object(&mut self, [which, ..]: [u32; 6]) -> Check {
        let which = self.which(which);
        self.say(|| format!("object {} is dropped", self.objects[which].real.id()));
        self.objects.swap_remove(which);
        Ok(())
    }

    pub(super) fn set_size(&mut self, [which, size, ..]: [u32; 6]) -> Check {
        let which = self.which(which);
        if self.is_device(which) {
            return Ok(());
        }
        let size = decode::size(size);
        let model = self.objects[which].model.clone();
        self.say(|| format!("object {}: size {:#x}", self.objects[which].real.id(), size));
        let got = self.retry(false, |r| r.objects[which].real.set_size(size))?;
        self.same("set_size", got, Ok(()))?;
        if let Some(file) = self.objects[which].file {
            self.set_disk_size(file, size);
        }
        model.borrow_mut().set_size(size);
        self.truncate_copies(&model);
        let end = model.borrow().page_count();
        for held in &mut self.holds {
            if Rc::ptr_eq(&held.place.0, &model) && held.place.1 >= end {
                held.attached = false;
            }
        }
        Ok(())
    }

    pub(super) fn set_cookie(&mut self, [which, cookie, ..]: [u32; 6]) -> Check {
        let open = &self.objects[self.which(which)];
        if matches!(open.model.borrow().kind, Kind::Anonymous) {
            open.real.set_cookie(cookie as usize);
            open.model.borrow_mut().cookie = cookie as usize;
        }
        Ok(())
    }

    pub(super) fn keep_contents(&mut self, [which, ..]: [u32; 6]) -> Check {
        let open = &self.objects[self.which(which)];
        open.real.keep_contents();
        open.model.borrow_mut().kept = true;
        Ok(())
    }

    /// A range of an object's bytes.
    pub(super) fn span(&self, which: usize, mut at: u32, mut len: u32) -> (u64, usize) {
        let page = draw(&mut at, 20) as usize;
        let offset = (page * PAGE_SIZE + decode::within(at, 1)) as u64;
        let len = [0, 1, 8, PAGE_SIZE, 5000, 3 * PAGE_SIZE][draw(&mut len, 6) as usize]
            + len as usize % 100;
        let size = self.objects[which].model.borrow().size();
        self.say(|| {
            let id = self.objects[which].real.id();
            format!("object {id} of {size:#x} bytes: {len:#x} bytes at {offset:#x}")
        });
        (offset, len)
    }

    pub(super) fn read_at(&mut self, [which, at, len, ..]: [u32; 6]) -> Check {
        let which = self.which(which);
        if self.is_device(which) {
            return Ok(());
        }
        let (offset, len) = self.span(which, at, len);
        let must = self.objects[which].model.borrow().read_at(offset, len);
        let got = self.retry(true, |r| {
            let before = r.kit.failures();
            let mut bytes = vec![0xaa; len];
            let n = r.objects[which].real.read_at(offset, &mut bytes)?;
            bytes.truncate(n);
            // Where something fails on the way, the call may also be content with less.
            match before
                .iter()
                .zip(r.kit.failures())
                .position(|(before, after)| after > *before)
            {
                Some(0) if n < must.len() => Err(FaultError::OutOfMemory),
                Some(_) if n < must.len() => Err(FaultError::Pager(PagerError::Io)),
                None if n < must.len() && r.setup.paging.is_some() => Err(FaultError::OutOfMemory),
                _ => Ok(bytes),
            }
        })?;
        if got.as_ref() != Ok(&must) {
            let n = got.as_ref().map(|bytes| bytes.len());
            return wrong(format!(
                "read_at: {n:?} bytes, must be {}, or they differ",
                must.len()
            ));
        }
        Ok(())
    }

    pub(super) fn write_at(&mut self, [which, at, len, ..]: [u32; 6]) -> Check {
        let which = self.which(which);
        if self.is_device(which) {
            return Ok(());
        }
        let (offset, len) = self.span(which, at, len);
        let bytes = self.bytes(len);
        let got = self.retry(false, |r| r.objects[which].real.write_at(offset, &bytes))?;
        let model = self.objects[which].model.clone();
        let fits = offset + len as u64 <= model.borrow().size();
        let must = if fits {
            Ok(())
        } else {
            Err(FaultError::BeyondEnd)
        };
        self.same("write_at", got, must)?;
        if fits {
            model.borrow_mut().write_at(offset, &bytes);
        }
        Ok(())
    }

    /// Bytes that were not written before.
    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let seed = u64::from(self.fresh());
        (0..len as u64)
            .map(|i| crate::program::mix((seed << 32) | (i / 8)).to_le_bytes()[i as usize % 8])
            .collect()
    }

    pub(super) fn sync_object(&mut self, [which, at, len, ..]: [u32; 6]) -> Check {
        let which = self.which(which);
        let (offset, len) = self.span(which, at, len);
        let got = self.retry(false, |r| r.objects[which].real.sync(offset, len as u64))?;
        self.same("sync", got, Ok(()))?;
        let page = PAGE_SIZE as u64;
        let end = if len == 0 {
            0
        } else {
            (offset + len as u64).div_ceil(page)
        };
        let first = (offset / page).min(end);
        self.objects[which].model.borrow_mut().sync(first, end);
        Ok(())
    }

    pub(super) fn hold(&mut self, [which, index, write, ..]: [u32; 6]) -> Check {
        let which = self.which(which);
        if self.holds.len() == 4 || self.is_device(which) {
            return Ok(());
        }
        let (index, writable) = (u64::from(index % 20), write % 2 == 1);
        let access = if writable {
            Access::Write
        } else {
            Access::Read
        };
        self.say(|| {
            format!(
                "object {}: hold {index} {access:?}",
                self.objects[which].real.id()
            )
        });
        let got = self.retry(true, |r| r.objects[which].real.hold(index, access))?;
        let place = (self.objects[which].model.clone(), index);
        let must = place
            .0
            .borrow()
            .page(index)
            .map(|_| ())
            .ok_or(FaultError::BeyondEnd);
        match got {
            Ok(page) if must.is_ok() => {
                // What is held of a hole is the page of zeros, which stays one when the hole is filled.
                let anonymous = matches!(place.0.borrow().kind, Kind::Anonymous);
                let attached = writable || !anonymous || place.0.borrow().is_written(index);
                if writable {
                    place.0.borrow_mut().hold(index);
                }
                self.holds.push(Held {
                    page,
                    place,
                    writable,
                    attached,
                });
                Ok(())
            }
            got => self.same("hold", got.map(|_| ()), must),
        }
    }

    pub(super) fn poke(&mut self, [which, at, ..]: [u32; 6]) -> Check {
        if self.holds.is_empty() {
            return Ok(());
        }
        let which = which as usize % self.holds.len();
        let within = decode::within(at, 8);
        let bytes = self.bytes(8);
        let held = &self.holds[which];
        let (object, index) = &held.place;
        let is = self.kit.bytes(held.page.frame());
        let follows = held.attached && (held.writable || !object.borrow().copied.get());
        if follows && object.borrow().page(*index).as_ref() != Some(&is) {
            return wrong(format!(
                "the page held, number {index} of its object, has other bytes"
            ));
        }
        let end = index * PAGE_SIZE as u64 + within as u64 + 8;
        if held.writable && (!held.attached || end <= object.borrow().size()) {
            self.kit.write(held.page.frame(), within, &bytes);
            if held.attached {
                object.borrow_mut().write_held(*index, within, &bytes);
            }
        }
        Ok(())
    }

    pub(super) fn release(&mut self, [which, ..]: [u32; 6]) -> Check {
        if !self.holds.is_empty() {
            let which = which as usize % self.holds.len();
            let held = self.holds.swap_remove(which);
            if held.writable && held.attached {
                held.place.0.borrow_mut().release(held.place.1);
            }
        }
        Ok(())
    }
}
