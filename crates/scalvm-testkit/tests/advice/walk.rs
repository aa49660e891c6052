//! Two walks that OpenBSD's regression tests of UVM make: one through residency, wiring, giving up and syncing; and
//! one that loses a modification where dirty bits are not kept.

use scalvm::{PAGE_SIZE, Prot, Share};

use crate::common::*;
use crate::resident;

#[test]
fn misc() {
    let kit = kit();
    let file = kit.open(0, 4 * PAGE_SIZE as u64);
    let map = new_map(&kit);
    map_object(&map, &file, 0, 4, Share::Shared);
    assert_eq!(resident(&map, 4), [false; 4]);
    assert_eq!(map.wire(page(0), 4 * PAGE_SIZE), Ok(()));
    assert_eq!(resident(&map, 4), [true; 4], "a file that is wired");
    assert_eq!(map.unwire(page(0), 4 * PAGE_SIZE), Ok(()));
    drop(map);

    let map = anonymous(&kit, 4);
    assert_eq!(resident(&map, 4), [false; 4], "fresh memory");
    assert_eq!(map.protect(page(3), PAGE_SIZE, Prot::empty()), Ok(()));
    assert_eq!(map.wire(page(0), 4 * PAGE_SIZE), Ok(()));
    assert_eq!(
        resident(&map, 4),
        [true, true, true],
        "wired, up to where no access is allowed"
    );
    assert_eq!(resident_at(&map, 3), [false]);
    assert_eq!(map.protect(page(3), PAGE_SIZE, Prot::RW), Ok(()));
    assert_eq!(map.unwire(page(0), 4 * PAGE_SIZE), Ok(()));
    assert_eq!(map.discard(page(0), 4 * PAGE_SIZE), Ok(()));
    assert_eq!(resident(&map, 4), [false; 4]);

    map_object(&map, &file, 8, 4, Share::Shared);
    set(&map, page(8), 17);
    assert_eq!(map.sync(page(8), 4 * PAGE_SIZE), Ok(()));
    assert_eq!(map.invalidate(page(8), 4 * PAGE_SIZE), Ok(()));
    assert_eq!(resident_at(&map, 8), [false; 4]);
    assert_eq!(get(&map, page(8)), Ok(17), "read again");

    let shm = kit
        .vm()
        .new_anonymous(4 * PAGE_SIZE as u64)
        .expect("memory");
    map_object(&map, &shm, 16, 4, Share::Shared);
    assert_eq!(resident_at(&map, 16), [false; 4]);
    (16..20).for_each(|n| set(&map, page(n), 1));
    assert_eq!(resident_at(&map, 16), [true; 4], "all touched");
    drop((map, file, shm));
    nothing_left(&kit);
}

fn resident_at(map: &scalvm::Map<'_, scalvm_testkit::Hw>, n: usize) -> Vec<bool> {
    let mut pages = [scalvm::PageInfo::default(); 4];
    let told = map.inspect(page(n), &mut pages);
    pages[..told]
        .iter()
        .map(|page| page.is_resident())
        .collect()
}

#[test]
fn mmap_mod() {
    let kit = kit();
    let file = kit.open(0, PAGE_SIZE as u64);
    let map = new_map(&kit);
    map_object(&map, &file, 0, 1, Share::Shared);
    run_on(&kit, 0, &map);
    store(&kit, 0, &map, page(0), 23).expect("stored");
    assert_eq!(map.unmap(page(0), PAGE_SIZE), Ok(()));
    map_object(&map, &file, 0, 1, Share::Shared);
    assert_eq!(load(&kit, 0, &map, page(0)), Ok(23));
    assert_eq!(map.sync(page(0), PAGE_SIZE), Ok(()));
    assert_eq!(kit.disk_page(0, 0).as_slice()[..8], 23u64.to_le_bytes());
    // And the same where the mapping is not looked at again before, and the store met no fault: only the page
    // table knows of it.
    store(&kit, 0, &map, page(0), 0).expect("stored");
    assert_eq!(map.sync(page(0), PAGE_SIZE), Ok(()));
    let faults = kit.vm().stats().faults;
    store(&kit, 0, &map, page(0), 24).expect("stored");
    assert_eq!(kit.vm().stats().faults, faults);
    assert_eq!(map.unmap(page(0), PAGE_SIZE), Ok(()));
    map_object(&map, &file, 0, 1, Share::Shared);
    assert_eq!(map.sync(page(0), PAGE_SIZE), Ok(()));
    assert_eq!(kit.disk_page(0, 0).as_slice()[..8], 24u64.to_le_bytes());
    take_off(&kit, 0, &map);
    drop((map, file));
    nothing_left(&kit);
}
