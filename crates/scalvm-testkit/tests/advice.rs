//! Advice, inheritance, and what is told of memory.

mod common;

#[path = "advice/give_up.rs"]
mod give_up;
#[path = "advice/guard.rs"]
mod guard;
#[path = "advice/inspect.rs"]
mod inspect;
#[path = "advice/large.rs"]
mod large;
#[path = "advice/leave.rs"]
mod leave;
#[path = "advice/minherit.rs"]
mod minherit;
#[path = "advice/walk.rs"]
mod walk;

use scalvm::{PageInfo, PagePlace, Paging, PolicyKind};
use scalvm_testkit::{Hw, Kit};

/// A kit that can page, to no store yet: nothing leaves by itself, all that can leaves in `balance`.
fn paging(policy: PolicyKind) -> Kit {
    let kit = common::kit();
    let marks = Paging {
        low: 0,
        reserve: 0,
        anonymous: policy,
        file: policy,
        ..Paging::for_frames(4096)
    };
    kit.vm().start_paging(marks).expect("memory");
    kit.vm().set_marks(Paging {
        high: 1 << 30,
        ..marks
    });
    kit
}

/// Where the first pages after `AT` are.
fn places(map: &scalvm::Map<'_, Hw>, count: usize) -> Vec<PagePlace> {
    let mut pages = vec![PageInfo::default(); count];
    let told = map.inspect(common::page(0), &mut pages);
    pages[..told].iter().map(|page| page.place).collect()
}

/// For each of them whether it is in memory.
fn resident(map: &scalvm::Map<'_, Hw>, count: usize) -> Vec<bool> {
    let is_here = |place: PagePlace| matches!(place, PagePlace::Memory(_));
    places(map, count).into_iter().map(is_here).collect()
}
