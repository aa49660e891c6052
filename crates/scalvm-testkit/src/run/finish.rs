//! The end of a program: everything is read once more, and let go; nothing may be left.

use scalvm::{Access, FaultError, PAGE_SIZE, Stats};

use super::runner::{Check, Runner, wrong};
use crate::model::{Kind, pages};

impl Runner<'_> {
    /// Ends a program.
    pub(super) fn finish(&mut self) -> Check {
        self.kit.limit(200_000_000);
        self.kit.fail_nothing();
        self.kit.disk().delay(0, 0);
        self.kit.pump(u32::MAX);
        self.ballast.adjust(self.kit);
        self.read_all()?;
        if self.setup.paging.is_some() {
            self.sync_all()?;
            self.end_paging()?;
        }
        self.compare()?;
        self.compare_disk()?;
        self.drop_all()?;
        // What was being read ahead keeps its object.
        self.kit.pump(u32::MAX);
        let Stats {
            anons,
            amaps,
            nodes,
            families,
            objects,
            entries,
            maps,
            ..
        } = self.kit.vm().stats();
        self.same(
            "what is left of structures",
            [anons, amaps, nodes, families, objects, entries, maps],
            [0; 7],
        )?;
        self.nothing_is_put_away()?;
        let left = self.kit.vm().stats();
        self.same("what is left of promises", left.committed, 0)?;
        self.same(
            "what is left of frames",
            [left.frames_anon, left.frames_file, left.frames_tables],
            [0; 3],
        )?;
        // One frame may be the page of zeros, which is for ever.
        let lost = left.frames_total - left.frames_free - left.frames_kernel;
        if lost > 1 {
            wrong(format!("{lost} frames are lost"))
        } else {
            Ok(())
        }
    }

    fn read_all(&mut self) -> Check {
        for which in 0..self.spaces.len() {
            let areas: Vec<_> = self.spaces[which]
                .model
                .areas
                .iter()
                .map(|(&s, a)| (s, a.end))
                .collect();
            for (start, end) in areas {
                for page in 0..pages(end - start).min(64) as usize {
                    let addr = start + page * PAGE_SIZE;
                    let must = self.spaces[which].model.load(addr, Access::Read, PAGE_SIZE);
                    if must == Err(FaultError::Protection)
                        || self.forbid_device(which, addr).is_err()
                    {
                        continue;
                    }
                    // A read that failed before may be told of now.
                    let got = self.retry(false, |r| {
                        let mut bytes = vec![0xaa; PAGE_SIZE];
                        let read = r.spaces[which].real.read(addr, &mut bytes);
                        read.map(|()| bytes)
                    })?;
                    if let Ok(bytes) = &got {
                        self.spaces[which].model.found(addr, bytes);
                    }
                    // A watcher may have placed it only now.
                    let must = self.spaces[which].model.load(addr, Access::Read, PAGE_SIZE);
                    if got != must {
                        return wrong(format!("in the end, the bytes at {addr:#x} differ"));
                    }
                }
            }
        }
        for which in 0..self.objects.len() {
            let model = self.objects[which].model.clone();
            let size = model.borrow().size() as usize;
            if matches!(model.borrow().kind, Kind::Device) {
                continue;
            }
            let got = self.retry(false, |r| {
                let mut bytes = vec![0xaa; size];
                let read = r.objects[which].real.read_at(0, &mut bytes);
                match read {
                    // It may be content with less where memory is short.
                    Ok(count) if count < size && r.setup.paging.is_some() => {
                        Err(FaultError::OutOfMemory)
                    }
                    read => read.map(|count| (count, bytes)),
                }
            })?;
            if got != Ok((size, model.borrow().read_at(0, size))) {
                return wrong("in the end, the bytes of an object differ");
            }
        }
        Ok(())
    }

    /// Lets go of everything, in an order that depends on the program.
    fn drop_all(&mut self) -> Check {
        while !(self.spaces.is_empty()
            && self.objects.is_empty()
            && self.holds.is_empty()
            && self.passed.is_empty()
            && self.loans.is_empty())
        {
            let turn = self.fresh();
            match turn % 5 {
                0 if !self.spaces.is_empty() => self.drop_map([turn; 6])?,
                1 if !self.objects.is_empty() => self.drop_object([turn; 6])?,
                2 => self.release([turn; 6])?,
                3 if !self.loans.is_empty() => _ = self.loans.swap_remove(0),
                4 if !self.passed.is_empty() => _ = self.passed.swap_remove(0),
                _ => continue,
            }
            self.compare()?;
        }
        Ok(())
    }
}
