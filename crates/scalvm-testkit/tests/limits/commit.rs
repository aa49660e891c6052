//! Promises of memory: what counts, and that a refusal changes nothing.

use scalvm::{
    Commit, FaultError, Inherit, Map, MapError, MapRequest, Object, PAGE_SIZE, Place, Prot, Region,
    Remap, Share,
};
use scalvm_testkit::{Hw, Kit};

use crate::common::*;

fn committed(kit: &Kit) -> u64 {
    kit.vm().stats().committed
}

/// Allows so many pages more.
fn allow(kit: &Kit, more: u64) {
    let limit_pages = committed(kit) + more;
    kit.vm().set_commit(Commit::Strict { limit_pages });
    assert_eq!(kit.vm().stats().commit_limit, limit_pages);
}

fn regions(map: &Map<'_, Hw>) -> Vec<Region> {
    let mut at = 0;
    std::iter::from_fn(|| {
        let region = map.query(at)?;
        at = region.end;
        Some(region)
    })
    .collect()
}

/// Maps private memory at page `n`.
fn private(map: &Map<'_, Hw>, n: usize, pages: usize, prot: Prot) -> Result<usize, MapError> {
    map.map(MapRequest::anonymous(pages * PAGE_SIZE, prot).at(Place::Fixed(page(n))))
}

#[test]
fn what_counts() {
    let kit = kit();
    let map = new_map(&kit);
    let file = kit.open(0, 8 * PAGE_SIZE as u64);
    // Untouched or not, what is private and writable.
    assert_eq!(private(&map, 0, 10, Prot::RW), Ok(page(0)));
    assert_eq!(committed(&kit), 10);
    assert_eq!(private(&map, 10, 10, Prot::READ), Ok(page(10)));
    assert_eq!(committed(&kit), 10);
    map_object(&map, &file, 20, 8, Share::Private);
    assert_eq!(committed(&kit), 18);
    map_object(&map, &file, 30, 8, Share::Shared);
    assert_eq!(committed(&kit), 18);
    let device = kit.vm().new_device(
        scalvm_testkit::DEVICE,
        2 * PAGE_SIZE as u64,
        scalvm::Cache::Uncached,
    );
    map_object(&map, &device.expect("memory"), 40, 2, Share::Private);
    assert_eq!(committed(&kit), 18);
    // Anonymous objects, by their size.
    let mut request = MapRequest::anonymous(5 * PAGE_SIZE, Prot::READ).at(Place::Fixed(page(50)));
    request.share = Share::Shared;
    assert_eq!(map.map(request), Ok(page(50)));
    assert_eq!(committed(&kit), 23);
    let object = kit
        .vm()
        .new_anonymous(3 * PAGE_SIZE as u64 - 1)
        .expect("memory");
    assert_eq!(committed(&kit), 26);
    assert_eq!(object.set_size(10 * PAGE_SIZE as u64), Ok(()));
    assert_eq!(committed(&kit), 33);
    assert_eq!(object.set_size(1), Ok(()));
    assert_eq!(committed(&kit), 24);
    map_object(&map, &object, 60, 4, Share::Shared);
    assert_eq!(committed(&kit), 24);
    drop(object);
    assert_eq!(committed(&kit), 24);
    assert_eq!(map.unmap(page(60), 4 * PAGE_SIZE), Ok(()));
    assert_eq!(committed(&kit), 23);
    assert_eq!(map.usage().promised_pages, 18);
    // What is replaced ends.
    assert_eq!(private(&map, 5, 10, Prot::READ), Ok(page(5)));
    assert_eq!(committed(&kit), 18);
    map.check_invariants();
    drop(file);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn what_lost_the_right_to_write_stays_promised() {
    let kit = kit();
    let map = new_map(&kit);
    assert_eq!(private(&map, 0, 8, Prot::RW), Ok(page(0)));
    assert_eq!(private(&map, 8, 8, Prot::READ), Ok(page(8)));
    assert_eq!(map.protect(page(2), 4 * PAGE_SIZE, Prot::READ), Ok(()));
    assert_eq!(committed(&kit), 8);
    assert_eq!(map.protect(page(0), 12 * PAGE_SIZE, Prot::RW), Ok(()));
    assert_eq!(committed(&kit), 12);
    assert_eq!(map.protect(page(0), 16 * PAGE_SIZE, Prot::READ), Ok(()));
    assert_eq!(committed(&kit), 12);
    map.check_invariants();
    assert_eq!(map.unmap(page(4), 10 * PAGE_SIZE), Ok(()));
    assert_eq!(committed(&kit), 4);
    map.check_invariants();
    map.clear();
    assert_eq!(committed(&kit), 0);
}

#[test]
fn a_child_is_promised_its_own() {
    let kit = kit();
    let map = new_map(&kit);
    assert_eq!(private(&map, 0, 16, Prot::RW), Ok(page(0)));
    let mut request = MapRequest::anonymous(4 * PAGE_SIZE, Prot::RW).at(Place::Fixed(page(20)));
    request.share = Share::Shared;
    request.inherit = Inherit::Share;
    assert_eq!(map.map(request), Ok(page(20)));
    set_inherit(&map, 4, 2, Inherit::None);
    set_inherit(&map, 6, 2, Inherit::Zero);
    set_inherit(&map, 8, 2, Inherit::Share);
    set_inherit(&map, 20, 1, Inherit::Copy);
    assert_eq!(committed(&kit), 20);
    let child = map.fork().expect("memory");
    assert_eq!(committed(&kit), 20 + 14 + 1);
    assert_eq!(child.usage().promised_pages, 15);
    child.check_invariants();
    drop(child);
    assert_eq!(committed(&kit), 20);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn without_reserve() {
    let kit = kit();
    let map = new_map(&kit);
    let request = |n: usize, share| {
        let mut request = MapRequest::anonymous(4 * PAGE_SIZE, Prot::RW).at(Place::Fixed(page(n)));
        (request.share, request.no_reserve) = (share, true);
        request
    };
    assert_eq!(map.map(request(0, Share::Private)), Ok(page(0)));
    assert_eq!(map.map(request(4, Share::Shared)), Ok(page(4)));
    assert_eq!(map.protect(page(0), 8 * PAGE_SIZE, Prot::READ), Ok(()));
    assert_eq!(map.protect(page(0), 8 * PAGE_SIZE, Prot::RW), Ok(()));
    set_inherit(&map, 4, 4, Inherit::Copy);
    drop(map.fork());
    assert_eq!(committed(&kit), 0);
    // A strict limit counts all.
    allow(&kit, 6);
    assert_eq!(map.map(request(8, Share::Private)), Ok(page(8)));
    assert_eq!(committed(&kit), 4);
    assert_eq!(
        map.map(request(12, Share::Shared)),
        Err(MapError::NotPromised)
    );
    drop(map);
    nothing_left(&kit);
}

#[test]
fn the_obvious_is_refused_by_heuristic() {
    let kit = kit();
    let map = new_map(&kit);
    assert_eq!(private(&map, 0, 1 << 20, Prot::RW), Ok(page(0)));
    kit.vm().set_commit(Commit::Heuristic);
    assert_eq!(
        private(&map, 0, 1 << 20, Prot::RW),
        Err(MapError::NotPromised)
    );
    for n in 0..4 {
        assert_eq!(private(&map, n << 20, 3000, Prot::RW), Ok(page(n << 20)));
    }
    drop(map);
    nothing_left(&kit);
}

/// A map with some of everything.
fn furnished<'v>(kit: &'v Kit) -> (Map<'v, Hw>, Object<'v, Hw>) {
    let map = anonymous(kit, 8);
    (0..8).for_each(|n| set(&map, page(n), 100 + n as u64));
    assert_eq!(private(&map, 8, 8, Prot::READ), Ok(page(8)));
    let object = kit
        .vm()
        .new_anonymous(4 * PAGE_SIZE as u64)
        .expect("memory");
    map_object(&map, &object, 20, 4, Share::Shared);
    assert_eq!(private(&map, 50, 2, Prot::RW), Ok(page(50)));
    assert_eq!(map.inherit(page(50), 2 * PAGE_SIZE, Inherit::None), Ok(()));
    (map, object)
}

/// What a deed leaves that must be there when promises are looked at.
#[expect(dead_code, reason = "it is only kept")]
enum Left<'v> {
    Nothing,
    Child(Map<'v, Hw>),
    Object(Object<'v, Hw>),
}

/// What is done, and how many pages it promises. None if memory was lacking.
type Deed = (
    &'static str,
    u64,
    for<'v> fn(&'v Kit, &Map<'v, Hw>, &Object<'v, Hw>) -> Option<Left<'v>>,
);

const DEEDS: &[Deed] = &[
    ("map", 6, |_, map, _| done(private(map, 30, 6, Prot::RW))),
    ("map shared", 6, |_, map, _| {
        let mut request = MapRequest::anonymous(6 * PAGE_SIZE, Prot::RW);
        request.share = Share::Shared;
        done(map.map(request))
    }),
    ("map over what is promised", 2, |_, map, _| {
        done(private(map, 6, 4, Prot::RW))
    }),
    ("protect", 5, |_, map, _| {
        done(map.protect(page(4), 9 * PAGE_SIZE, Prot::RW))
    }),
    ("fork", 8, |_, map, _| match map.fork() {
        Ok(child) => Some(Left::Child(child)),
        Err(MapError::NotPromised | MapError::OutOfMemory) => None,
        Err(other) => panic!("{other:?}"),
    }),
    ("grow by moving", 3, |_, map, _| {
        done(map.remap(page(2), 4 * PAGE_SIZE, 7 * PAGE_SIZE, Remap::MayMove))
    }),
    ("grow in place", 4, |_, map, _| {
        done(map.remap(page(50), 2 * PAGE_SIZE, 6 * PAGE_SIZE, Remap::InPlace))
    }),
    ("grow and move over what is promised", 1, |_, map, _| {
        let to = Remap::Fixed(page(5));
        done(map.remap(page(0), 2 * PAGE_SIZE, 6 * PAGE_SIZE, to))
    }),
    ("new object", 7, |kit, _, _| {
        let object = kit.vm().new_anonymous(7 * PAGE_SIZE as u64);
        object.ok().map(Left::Object)
    }),
    ("grow an object", 3, |_, _, object| {
        match object.set_size(6 * PAGE_SIZE as u64 + 1) {
            Ok(()) => Some(Left::Nothing),
            Err(FaultError::OutOfMemory) => None,
            other => panic!("{other:?}"),
        }
    }),
];

fn done<'v, T: std::fmt::Debug>(result: Result<T, MapError>) -> Option<Left<'v>> {
    match result {
        Ok(_) => Some(Left::Nothing),
        Err(MapError::NotPromised | MapError::OutOfMemory) => None,
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_strict_limit_refuses_and_changes_nothing() {
    for &(name, pages, deed) in DEEDS {
        let kit = kit();
        let (map, object) = furnished(&kit);
        let before = (committed(&kit), regions(&map), object.size());
        allow(&kit, pages - 1);
        assert!(deed(&kit, &map, &object).is_none(), "{name} is refused");
        let now = (committed(&kit), regions(&map), object.size());
        assert_eq!(now, before, "{name}");
        for n in 0..8 {
            assert_eq!(get(&map, page(n)), Ok(100 + n as u64), "{name}");
        }
        map.check_invariants();
        allow(&kit, pages);
        let left = deed(&kit, &map, &object);
        assert!(left.is_some(), "{name} is allowed");
        map.check_invariants();
        assert_eq!(committed(&kit), before.0 + pages, "{name}");
        drop((left, map, object));
        nothing_left(&kit);
    }
}

#[test]
fn what_fails_for_lack_of_memory_is_not_promised() {
    for &(name, pages, deed) in DEEDS {
        let mut failed = true;
        for n in 1.. {
            if !failed {
                break;
            }
            let kit = kit();
            let (map, object) = furnished(&kit);
            let before = committed(&kit);
            kit.fail_allocation(n);
            let left = deed(&kit, &map, &object);
            failed = kit.failures()[0] > 0;
            kit.fail_nothing();
            map.check_invariants();
            let promised = if left.is_some() { pages } else { 0 };
            assert_eq!(committed(&kit), before + promised, "{name}, {n}");
            assert!(failed || left.is_some(), "{name}");
            drop((left, map, object));
            nothing_left(&kit);
        }
    }
}

/// A kernel that makes room where memory is short need not do so in vain.
#[test]
fn a_refusal_is_told_from_a_lack_of_memory() {
    let kit = kit();
    let map = new_map(&kit);
    assert_eq!(private(&map, 0, 4, Prot::RW), Ok(page(0)));
    assert_eq!(private(&map, 8, 4, Prot::READ), Ok(page(8)));
    allow(&kit, 0);
    let refused = Err(MapError::NotPromised);
    assert_eq!(map.protect(page(8), 4 * PAGE_SIZE, Prot::RW), refused);
    let grown = map.remap(page(0), 4 * PAGE_SIZE, 5 * PAGE_SIZE, Remap::InPlace);
    assert_eq!(grown.map(|_| ()), refused);
    assert_eq!(map.fork().map(|_| ()), refused);
    let mapped = private(&map, 20, 1, Prot::RW);
    assert_eq!(mapped.map(|_| ()), refused);
    kit.fail_allocation(1);
    allow(&kit, 100);
    assert_eq!(map.fork().map(|_| ()), Err(MapError::OutOfMemory));
    kit.fail_nothing();
    drop(map);
    nothing_left(&kit);
}
