//! Claims: pages that the daemon looks at.

use core::sync::atomic::Ordering::Relaxed;

use crate::anon::Anon;
use crate::family::Family;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::page::{AHEAD, BUSY, KNOWN, Page, TOUCHED, WRITING};
use crate::vm::Vm;

/// A page that keeps its frame, and whose place in the model is known, though nothing is locked: its
/// anon may end at any time, and is only compared with what is found.
pub(crate) struct Claim<M: Machine> {
    /// Held by the claim.
    pub page: Ptr<Page>,
    pub anon: Ptr<Anon<M>>,
    /// Pinned by the claim.
    pub family: Ptr<Family<M>>,
    pub index: u32,
    /// Whether it is a page of a vnode object.
    pub file: bool,
    /// What the policy calls this page, also when it has another frame later.
    pub key: u64,
}

/// What was found of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    Unused,
    Used,
    /// It is to stay, used or not.
    Wired,
}

/// Why a page cannot be claimed.
pub(crate) enum Refused {
    /// It is no page of an object, or no more the one that the policy knows.
    Gone,
    /// It is being read or written.
    Busy,
}

impl<M: Machine> Vm<M> {
    /// Claims a page that the policy knows.
    pub(crate) fn claim(&self, page: Ptr<Page>) -> Result<Claim<M>, Refused> {
        let identity = page.identify(&self.machine);
        let (anon, file) = page.anon(&identity).ok_or(Refused::Gone)?;
        if page.test_flags(KNOWN) == 0 {
            return Err(Refused::Gone);
        }
        if page.test_flags(BUSY | WRITING) != 0 || !page.is_plain() {
            return Err(Refused::Busy);
        }
        let family = anon.family.get().ok_or(Refused::Gone)?;
        family.pin();
        page.holds().fetch_add(1, Relaxed);
        let index = anon.index.get();
        let key = self.key_of(anon, family, file);
        Ok(Claim {
            page,
            anon,
            family,
            index,
            file,
            key,
        })
    }

    /// The name of a page for the policy: of a file page its place in the file, of an anonymous one
    /// its anon.
    pub(crate) fn key_of(&self, anon: Ptr<Anon<M>>, family: Ptr<Family<M>>, file: bool) -> u64 {
        if file {
            (family.as_ptr().addr() as u64) << 28 ^ u64::from(anon.index.get())
        } else {
            anon.as_ptr().addr() as u64
        }
    }

    /// Gives a claim up.
    pub(crate) fn unclaim(&self, claim: Claim<M>) {
        self.unpin_family(claim.family);
        self.let_go(claim.page);
    }

    /// Whether the page was used since this was last asked, or is wired.
    pub(crate) fn look_at(&self, claim: &Claim<M>) -> Look {
        let page = claim.page;
        let mut used = page.clear_flags(TOUCHED) & TOUCHED != 0;
        let mut wired = false;
        if page.mapped.load(Relaxed) != 0 {
            self.visit(claim.family, claim.anon, claim.index, |guard| {
                let (used_here, wired_here) = self.was_accessed(guard, claim.index, page.frame());
                used |= used_here;
                // What others have as well can leave when these have copies, which is told to nobody.
                wired |= wired_here && claim.anon.refs() == 1;
                true
            });
            if used && page.test_flags(AHEAD) != 0 {
                self.ahead_used(&page);
            }
        }
        match used {
            _ if wired => Look::Wired,
            true => Look::Used,
            false => Look::Unused,
        }
    }
}
