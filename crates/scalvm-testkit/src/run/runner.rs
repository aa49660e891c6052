//! The state of a program that runs: each space and object twice, as the manager and as the model has it.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use scalvm::{Cache, HeldPage, Loan, Map, PAGE_SIZE, Room};

use super::ballast::Ballast;
use super::paging::Swap;
use super::sharing::Passed;
use super::trouble::{Cause, Error};
use super::{Wrong, decode};
use crate::kit::{CPUS, FILE_PAGES, FILES, Hw, Kit};
use crate::model::{self, Bytes, File, Object, ObjectRef, Space};
use crate::program::{Machine, Op, Step};

/// An address space, twice.
pub struct Pair<'v> {
    /// As the manager has it.
    pub real: Rc<Map<'v, Hw>>,
    /// As the model has it.
    pub model: Space,
    /// Distinguishes spaces.
    pub serial: u32,
}

/// A handle of an object, twice.
pub struct Open<'v> {
    /// As the manager has it.
    pub real: scalvm::Object<'v, Hw>,
    /// As the model has it.
    pub model: ObjectRef,
    /// Which file it is, if it is one.
    pub file: Option<usize>,
}

/// A page that is held.
pub struct Held<'v> {
    /// The page.
    pub page: HeldPage<'v, Hw>,
    /// The object it was held in, and its number there.
    pub place: (ObjectRef, u64),
    /// Whether it may be written.
    pub writable: bool,
    /// Whether it is still a page of the object: truncation ends that.
    pub attached: bool,
}

/// A program that runs.
pub struct Runner<'v> {
    pub(super) kit: &'v Kit,
    pub(super) setup: Machine,
    pub(super) files: Vec<Rc<RefCell<File>>>,
    pub(super) device: (Weak<RefCell<Object>>, Cache),
    pub(super) spaces: Vec<Pair<'v>>,
    pub(super) objects: Vec<Open<'v>>,
    pub(super) holds: Vec<Held<'v>>,
    /// Entries that were extracted and not yet put anywhere.
    pub(super) passed: Vec<Passed<'v>>,
    /// Pages that were lent, and what they had in them then.
    pub(super) loans: Vec<(Loan<'v, Hw>, Bytes)>,
    /// The serial number of the space each processor runs.
    pub(super) running: [Option<u32>; CPUS],
    /// Numbers given to spaces, and values to stores.
    pub(super) serial: u32,
    /// Whether each step is told on standard error.
    pub(super) loud: bool,
    /// The swap devices.
    pub(super) swaps: Vec<Swap>,
    /// What keeps memory short.
    pub(super) ballast: Ballast,
    /// How often memory was really short.
    pub(super) short: u64,
    /// Whether pages may have come that nobody stored to, since large leaves were wanted.
    pub(super) has_rows: bool,
    /// Writes that had failed when the step began.
    pub(super) failed_writes: u64,
    /// Whether a space was ever forked, or a part of one copied; whether private memory was ever shared by that.
    pub(super) forked: bool,
    pub(super) shared: bool,
}

/// So often an operation may be tried again.
pub(super) const ROUNDS: u32 = 200;

/// The outcome of comparing: an explanation where the manager is wrong.
pub type Check<T = ()> = Result<T, Wrong>;

/// Says what is wrong.
pub fn wrong<T>(text: impl Into<String>) -> Check<T> {
    Err(Wrong(text.into()))
}

impl<'v> Runner<'v> {
    /// Nothing yet but files on a disk.
    pub fn new(kit: &'v Kit, setup: Machine, loud: bool) -> Runner<'v> {
        let files = (0..FILES).map(|number| {
            let pages = (0..FILE_PAGES).map(|index| (index, kit.disk_page(number, index)));
            Rc::new(RefCell::new(File {
                pages: pages.collect(),
                size: FILE_PAGES * PAGE_SIZE as u64,
                early: setup.paging.map(|_| Default::default()),
            }))
        });
        let files = files.collect();
        let (spaces, objects, holds, passed, loans) = Default::default();
        Runner {
            kit,
            setup,
            files,
            device: (Weak::new(), Cache::Uncached),
            spaces,
            objects,
            holds,
            passed,
            loans,
            running: [None; CPUS],
            serial: 0,
            loud,
            swaps: Vec::new(),
            ballast: setup.paging.map_or(Ballast::none(), |paging| {
                Ballast::new(kit, u64::from(paging.room))
            }),
            short: 0,
            has_rows: false,
            failed_writes: 0,
            forked: false,
            shared: false,
        }
    }

    /// Carries out one step, and compares.
    pub fn step(&mut self, step: &Step) -> Check {
        let a = step.args;
        self.kit.limit(if self.setup.paging.is_some() {
            30_000_000
        } else {
            1_000_000
        });
        self.ballast.adjust(self.kit);
        self.failed_writes = self.kit.disk().counts().failed_writes;
        if self.loud {
            eprintln!("[{step}]");
        }
        match step.op {
            Op::NewMap => self.new_map(),
            Op::NewAnonymous => self.new_anonymous(a),
            Op::NewFile => self.new_file(a),
            Op::NewDevice => self.new_device(a),
            Op::FailIo => self.say_and(|kit| kit.fail_io(1 + u64::from(a[0] % 4))),
            Op::FailAllocation => self.say_and(|kit| kit.fail_allocation(1 + u64::from(a[0] % 12))),
            Op::Pump => self.say_and(|kit| kit.pump(a[0])),
            Op::SyncAll => self.sync_all(),
            Op::WriteBack if self.setup.paging.is_some() => {
                self.say_and(|kit| kit.vm().write_back(0))
            }
            Op::WriteBack => Ok(()),
            Op::Squeeze => self.squeeze(a),
            Op::Balance => self.say_and(|kit| _ = kit.vm().balance()),
            Op::SwapOn => self.swap_on(a),
            Op::SwapOff => self.swap_off(a),
            Op::Delay => self.say_and(|kit| kit.disk().delay(a[1].into(), u64::from(a[0] % 4 * 5))),
            Op::FailReads => self.say_and(|kit| {
                kit.disk().lose_requests(a[1].into());
                kit.disk()
                    .fail_reads_randomly(a[1].into(), u64::from(2 + a[0] % 10));
            }),
            Op::FailWrites => self.say_and(|kit| {
                kit.disk()
                    .fail_writes_randomly(a[1].into(), u64::from(2 + a[0] % 10));
                kit.disk().tear_writes(a[1].into());
                kit.disk().lose_requests(a[1].into());
            }),
            Op::DropObject
            | Op::SetSize
            | Op::SetCookie
            | Op::KeepContents
            | Op::PunchObject
            | Op::ReadAt
            | Op::WriteAt
            | Op::SyncObject
            | Op::Hold
                if self.objects.is_empty() =>
            {
                Ok(())
            }
            Op::DropObject => self.drop_object(a),
            Op::SetSize => self.set_size(a),
            Op::SetCookie => self.set_cookie(a),
            Op::KeepContents => self.keep_contents(a),
            Op::ReadAt => self.read_at(a),
            Op::WriteAt => self.write_at(a),
            Op::SyncObject => self.sync_object(a),
            Op::Hold => self.hold(a),
            Op::PunchObject => self.punch_object(a),
            Op::Poke => self.poke(a),
            Op::Release => self.release(a),
            Op::Repay => self.repay(a),
            _ if self.spaces.is_empty() => self.new_map(),
            Op::DropMap => self.drop_map(a),
            Op::Fork => self.fork(a),
            Op::Clear => self.clear(a),
            Op::MapAnonymous => self.map_anonymous(a),
            Op::MapObject => self.map_object(a),
            Op::MapHuge => self.map_huge(a),
            Op::Unmap => self.unmap(a),
            Op::Protect => self.protect(a),
            Op::Inherit => self.inherit(a),
            Op::Guard => self.guard(a),
            Op::Unguard => self.unguard(a),
            Op::SetTag => self.set_tag(a),
            Op::Advise => self.advise(a),
            Op::AdviseLarge => self.advise_large(a),
            Op::Join => self.join(a),
            Op::Discard => self.discard(a),
            Op::Free => self.free(a),
            Op::Punch => self.punch(a),
            Op::Cool => self.cool(a),
            Op::PageOut => self.page_out(a),
            Op::Dump => self.dump(a),
            Op::Inspect => self.inspect(a),
            Op::StartSync => self.start_sync(a),
            Op::Invalidate => self.invalidate(a),
            Op::Watch => self.watch(a),
            Op::Unwatch => self.unwatch(a),
            Op::WriteProtect => self.write_protect(a),
            Op::Place => self.place_page(a),
            Op::Show => self.show_page(a),
            Op::MovePage => self.move_page(a),
            Op::Poison => self.poison_page(a),
            Op::Trim => self.trim(a),
            Op::Remap => self.remap(a),
            Op::Extract => self.extract(a),
            Op::Put => self.put(a),
            Op::Lend => self.lend(a),
            Op::CopyAcross => self.copy_across(a),
            Op::Force => self.force(a),
            Op::Wire => self.wire(a),
            Op::Unwire => self.unwire(a),
            Op::Describe => self.describe(a),
            Op::WireOnFault => self.wire_on_fault(a),
            Op::WireAll => self.wire_all(a),
            Op::Limit => self.limit(a),
            Op::Seal => self.seal(a),
            Op::RemapKeeping => self.remap_keeping(a),
            Op::MapGrowing => self.map_growing(a),
            Op::Grow => self.grow(a),
            Op::Populate => self.populate(a),
            Op::Sync => self.sync(a),
            Op::Load => self.load(a),
            Op::Store => self.store(a),
            Op::Fetch => self.fetch(a),
            Op::Touch => self.touch(a),
            Op::Peek => self.peek(a),
            Op::Write => self.write(a),
            Op::Switch => self.switch(a),
            Op::Fill => self.fill(a),
            Op::Sweep => self.sweep(a),
        }?;
        self.compare()
    }

    fn say_and(&mut self, f: impl FnOnce(&Kit)) -> Check {
        f(self.kit);
        Ok(())
    }

    /// Tells what is done, when asked to.
    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.loud {
            eprintln!("    {}", what());
        }
    }

    /// Does something until it no longer fails for a failure that was arranged. Meanwhile nothing may
    /// have changed; `whole` says that not even a part of what was asked may have been done.
    pub(super) fn retry<T, E: Error>(
        &mut self,
        whole: bool,
        mut f: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Check<Result<T, E>> {
        let mut room = self.kit.vm().room();
        for round in 0..ROUNDS {
            let before = self.kit.failures();
            let result = f(self);
            if let Some(watched) = result.as_ref().err().and_then(|error| error.watched()) {
                self.serve(watched, whole)?;
                continue;
            }
            let Some(cause) = result.as_ref().err().and_then(|error| error.cause()) else {
                return Ok(result);
            };
            // Some have made room themselves, as often as makes sense.
            if round % 8 != 7 && self.makes_room(cause, before, &mut room) {
                continue;
            }
            self.forgive(cause, before)?;
            if whole {
                self.compare()?;
            } else {
                self.check_invariants();
            }
        }
        wrong("it fails again and again, though no failure is arranged any more")
    }

    /// Where memory is short, has something leave it, as whoever may block does. True if the operation is worth
    /// another try.
    pub(super) fn makes_room(&self, cause: Cause, before: [u64; 2], room: &mut Room) -> bool {
        self.setup.paging.is_some()
            && cause == Cause::Allocation
            && self.kit.failures()[0] == before[0]
            && self.kit.vm().make_room(room)
    }

    /// Checks that a failure was arranged, given how many there had been before, and arranges no more. Memory may
    /// also really be short: then there is more from now on.
    pub(super) fn forgive(&mut self, cause: Cause, before: [u64; 2]) -> Check {
        self.say(|| format!("{cause:?} failed"));
        let after = self.kit.failures();
        if cause == Cause::Allocation && after[0] == before[0] {
            return self.relieve();
        }
        self.kit.fail_nothing();
        match cause {
            // A read that failed may be told of later, when somebody asks for the page.
            Cause::Io if after[1] == 0 => wrong("the pager failed, but no I/O was made to fail"),
            _ => Ok(()),
        }
    }

    /// Compares two results.
    pub(super) fn same<T: PartialEq + std::fmt::Debug>(&self, what: &str, is: T, must: T) -> Check {
        if is == must {
            Ok(())
        } else {
            wrong(format!("{what}: is {is:?}, must be {must:?}"))
        }
    }

    /// A number nobody else has, for serial numbers and the values of stores.
    pub(super) fn fresh(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    /// Which space a number means.
    pub(super) fn pick(&self, arg: u32) -> usize {
        arg as usize % self.spaces.len()
    }

    /// A page's address in a space.
    pub(super) fn address(&self, space: usize, arg: u32) -> usize {
        decode::address(self.setup.space, &self.spaces[space].model, arg)
    }

    /// The same, or something that is no page's address.
    pub(super) fn rough_address(&self, space: usize, arg: u32) -> usize {
        decode::rough_address(self.setup.space, &self.spaces[space].model, arg)
    }

    /// Takes private copies of pages beyond the end of an object from all spaces.
    pub(super) fn truncate_copies(&mut self, object: &ObjectRef) {
        let end = object.borrow().page_count();
        let mapped = self.spaces.iter().flat_map(|pair| &pair.model.areas);
        let passed = self.passed.iter().flat_map(|passed| &passed.areas);
        let areas = mapped.chain(passed.map(|(start, area)| (start, area)));
        {
            for (&start, area) in areas {
                if let Some((source, first)) = &area.source
                    && Rc::ptr_eq(source, object)
                {
                    let pages = model::pages(area.end - start);
                    area.drop_own(end.saturating_sub(*first).min(pages)..pages);
                }
            }
        }
    }
}
