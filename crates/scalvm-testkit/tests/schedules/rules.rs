//! Scenes of what an address space allows: memory that grows, is wired, sealed, and moved away.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use scalvm::{
    Access, FaultError, Limit, MapError, MapLimits, MapRequest, PAGE_SIZE, Place, Pmap, Prot, Share,
};
use scalvm_testkit::{Hw, Kit};

use crate::common::*;
use crate::crew::Crew;
use crate::memory::end;
use crate::paging::{evict, paging};

/// A map with one page at page `n` that grows downwards.
fn growing(kit: &Kit, n: usize) -> scalvm::Map<'_, Hw> {
    let map = new_map(kit);
    let request = MapRequest {
        grows: true,
        ..MapRequest::anonymous(PAGE_SIZE, Prot::RW)
    };
    assert_eq!(map.map(request.at(Place::Fixed(page(n)))), Ok(page(n)));
    map
}

/// Both touch the same stack, one of them ever further down.
pub fn two_grow_one_stack(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = growing(&kit, 20);
    let act = |cpu: usize| {
        run_on(&kit, cpu, &map);
        for n in (10..20).rev().step_by(1 + cpu) {
            store(&kit, cpu, &map, page(n) + 8 * cpu, n as u64).expect("stored");
        }
    };
    crew.together(&kit, &[&|| act(0), &|| act(1)]);
    for n in 10..20 {
        assert_eq!(get(&map, page(n)), Ok(n as u64));
    }
    assert_eq!(map.usage().entries, 1);
    end!(kit, map);
}

/// A stack grows towards a place that another mapping takes: there is always room between the two.
pub fn a_stack_meets_a_mapping(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = growing(&kit, 10);
    let grow = || {
        run_on(&kit, 0, &map);
        let grown = (2..10).rev().take_while(|&n| {
            let there = map.query(page(3));
            let there = there.is_some_and(|region| region.start == page(3) && !region.grows);
            let stored = store(&kit, 0, &map, page(n), 1);
            assert!(matches!(stored, Ok(()) | Err(FaultError::NoMapping)));
            assert!(
                !(4..7).contains(&n) || !there || stored.is_err(),
                "no room at page {n}"
            );
            stored.is_ok()
        });
        assert!(grown.count() >= 3, "the guard is three pages");
    };
    let map_there = || {
        let request = MapRequest::anonymous(PAGE_SIZE, Prot::RW);
        let mapped = map.map(request.at(Place::Free(page(3))));
        assert!(matches!(mapped, Ok(_) | Err(MapError::Occupied)));
    };
    crew.together(&kit, &[&grow, &map_there]);
    end!(kit, map);
}

/// What was wired is in memory as soon as the call has ended, and stays. (One page, which is wired once and leaves
/// at the first look: what can go wrong lies between two steps of either side, which few schedules find in a longer scene.)
pub fn wired_while_pages_leave(crew: &dyn Crew) {
    let kit = paging(crew, 64, 0);
    let map = anonymous(&kit, 1);
    set(&map, AT, 7);
    assert_eq!(fault(&kit, &map, AT, Access::Write), Ok(()));
    assert_eq!(map.cool(AT, PAGE_SIZE), Ok(()));
    let is_here = || {
        let here = map.pmap().query(kit.vm().machine(), AT);
        assert!(here.is_some(), "the page is wired, and not there");
    };
    let wire = || {
        assert_eq!(map.wire(AT, PAGE_SIZE), Ok(()));
        is_here();
    };
    crew.together(&kit, &[&wire, &|| evict(&kit)]);
    is_here();
    evict(&kit);
    is_here();
    assert_eq!(get(&map, AT), Ok(7));
    assert_eq!(map.unwire(AT, PAGE_SIZE), Ok(()));
    end!(kit, map);
}

/// Two wire what they may not both have: no more is wired than may be, and who fails leaves nothing.
pub fn two_wire_up_to_a_limit(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 4);
    map.set_limits(MapLimits {
        wired: Some(3 * PAGE_SIZE as u64),
        ..MapLimits::default()
    });
    let act = |n: usize| {
        let wired = map.wire(page(n), 2 * PAGE_SIZE);
        let over = Err(MapError::OverLimit(Limit::Wired));
        assert!(wired == Ok(()) || wired == over, "{wired:?}");
        assert!(map.usage().wired_bytes <= 3 * PAGE_SIZE as u64);
    };
    crew.together(&kit, &[&|| act(0), &|| act(2)]);
    assert_eq!(map.usage().wired_bytes, 2 * PAGE_SIZE as u64);
    end!(kit, map);
}

/// What a call began to wire that fails is not wired, and what was wired before is.
pub fn wired_while_the_object_is_cut(crew: &dyn Crew) {
    let kit = crew.kit();
    let object = kit.vm().new_anonymous(3 * PAGE_SIZE as u64);
    let (object, map) = (object.expect("memory"), new_map(&kit));
    map_object(&map, &object, 0, 3, Share::Shared);
    assert_eq!(map.wire(page(0), PAGE_SIZE), Ok(()));
    let wire = || {
        let pages = match map.wire(page(0), 3 * PAGE_SIZE) {
            Ok(()) => 3,
            Err(error) => {
                assert_eq!(error, MapError::BeyondEnd);
                1
            }
        };
        assert_eq!(map.usage().wired_bytes, pages * PAGE_SIZE as u64);
    };
    let cut = || assert_eq!(object.set_size(2 * PAGE_SIZE as u64), Ok(()));
    crew.together(&kit, &[&wire, &cut]);
    drop(object);
    end!(kit, map);
}

/// Either the seal comes first, or there is nothing to seal.
pub fn sealed_while_unmapped(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 2);
    set(&map, page(1), 7);
    let done = AtomicUsize::new(0);
    let end = |result: Result<(), MapError>, late: MapError| match result {
        Ok(()) => _ = done.fetch_add(1, SeqCst),
        Err(error) => assert_eq!(error, late),
    };
    let seal = || end(map.seal(page(1), PAGE_SIZE), MapError::NotMapped);
    let unmap = || end(map.unmap(page(0), 2 * PAGE_SIZE), MapError::Sealed);
    crew.together(&kit, &[&seal, &unmap]);
    assert_eq!(done.into_inner(), 1, "one of them came first");
    match map.query(page(1)) {
        Some(region) => assert!(region.sealed && get(&map, page(1)) == Ok(7)),
        None => assert!(map.query(0).is_none(), "all of it is unmapped"),
    }
    end!(kit, map);
}

/// What is stored goes along, or stays behind: it is never lost, and never in both places.
pub fn stores_while_moved_and_kept(crew: &dyn Crew) {
    let kit = crew.kit();
    let map = anonymous(&kit, 2);
    set(&map, page(1), 7);
    let write = || {
        run_on(&kit, 0, &map);
        for value in 8..12 {
            store(&kit, 0, &map, page(1), value).expect("it is always mapped");
        }
        let seen = load(&kit, 0, &map, page(1));
        assert!(matches!(seen, Ok(11 | 0)), "{seen:?}");
    };
    let shift = || {
        let moved = map.remap_keeping(page(0), 2 * PAGE_SIZE, Some(page(20)));
        assert_eq!(moved, Ok(page(20)));
    };
    crew.together(&kit, &[&write, &shift]);
    let (here, there) = (get(&map, page(1)), get(&map, page(21)));
    assert!(here == Ok(11) && there != Ok(11) || here == Ok(0) && there == Ok(11));
    assert_eq!(fault(&kit, &map, page(20), Access::Read), Ok(()));
    end!(kit, map);
}
