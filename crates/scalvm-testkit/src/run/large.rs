//! Steps about large leaves for anonymous memory. What they do cannot be seen but in the page tables: the
//! model knows nothing of it but what was advised.

use scalvm::{LargePages, NotLarge};

use super::decode;
use super::runner::{Check, Runner, wrong};

impl Runner<'_> {
    /// Says whether large leaves are wanted: for a range, now and then for all memory or a space.
    pub(super) fn advise_large(&mut self, args: [u32; 6]) -> Check {
        let vm = self.kit.vm();
        self.has_rows = true;
        match args[3] % 24 {
            8 | 20..24 => vm.set_large_pages(LargePages::Always),
            9 => vm.set_large_pages(LargePages::Asked),
            10 => vm.set_large_pages(LargePages::Never),
            11 => {
                let space = &self.spaces[self.pick(args[0])].real;
                space.allow_large(!space.allows_large());
            }
            how => {
                let large = decode::large(how);
                return self.on_range(
                    &format!("advise large {large:?}"),
                    args,
                    |p, at, len| p.real.advise_large(at, len, large),
                    |s, at, len| s.advise_large(at, len, large),
                );
            }
        }
        Ok(())
    }

    /// Joins pages at an address, or wherever that is wanted.
    pub(super) fn join(&mut self, [which, at, how, ..]: [u32; 6]) -> Check {
        self.has_rows = true;
        if how % 3 == 2 {
            let joined = self.kit.vm().join_some(1 + how as usize / 3 % 20);
            self.say(|| format!("{joined} ranges joined"));
            return Ok(());
        }
        let which = self.pick(which);
        let at = self.address(which, at);
        let got = self.spaces[which].real.make_large(at);
        let pair = &self.spaces[which];
        self.say(|| format!("map {}: join at {at:#x}: {got:?}", pair.serial));
        let is_mapped = pair.model.area(at).is_some();
        self.same("mapped", got != Err(NotLarge::NotMapped), is_mapped)?;
        let mapping = self.kit.mapping(pair.real.pmap(), at);
        if got.is_ok() && !mapping.is_some_and(|mapping| mapping.large) {
            return wrong(format!("{at:#x} was joined, but {mapping:?}"));
        }
        Ok(())
    }
}
