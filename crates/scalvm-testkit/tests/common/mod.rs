//! What the tests share: a kit of usual size, and short words for accesses of programs.
#![allow(dead_code, reason = "each test file uses some of it")]

use scalvm::{
    Access, Fault, FaultError, Inherit, Map, MapRequest, Object, PAGE_SIZE, Place, Prot, Share,
};
use scalvm_testkit::{Hw, Kit};

/// An address in the middle of what maps of these tests may use.
pub const AT: usize = 1 << 30;

/// The bounds of maps.
pub const LOW: usize = 1 << 16;
/// The bounds of maps.
pub const HIGH: usize = 0x7fff_ffff_f000;

/// A machine with 16 MiB.
pub fn kit() -> Kit {
    Kit::new(4096)
}

/// The address of a page after `AT`.
pub fn page(n: usize) -> usize {
    AT + n * PAGE_SIZE
}

/// An empty map.
pub fn new_map(kit: &Kit) -> Map<'_, Hw> {
    kit.vm().new_map(LOW, HIGH).expect("memory")
}

/// A map with `pages` pages of private anonymous memory at `AT`.
pub fn anonymous(kit: &Kit, pages: usize) -> Map<'_, Hw> {
    let map = new_map(kit);
    map.map(MapRequest::anonymous(pages * PAGE_SIZE, Prot::RW).at(Place::Fixed(AT)))
        .expect("mapped");
    map
}

/// Maps an object's first pages at page `n`.
pub fn map_object<'v>(
    map: &Map<'v, Hw>,
    object: &Object<'v, Hw>,
    n: usize,
    pages: usize,
    share: Share,
) {
    let request = MapRequest::object(object, 0, pages * PAGE_SIZE, Prot::RW, share);
    assert_eq!(map.map(request.at(Place::Fixed(page(n)))), Ok(page(n)));
}

/// Sets what a child gets.
pub fn set_inherit(map: &Map<'_, Hw>, n: usize, pages: usize, inherit: Inherit) {
    assert_eq!(map.inherit(page(n), pages * PAGE_SIZE, inherit), Ok(()));
}

/// Runs a map on a processor.
pub fn run_on(kit: &Kit, cpu: usize, map: &Map<'_, Hw>) {
    kit.on(cpu, || map.activate());
}

/// Takes a map off a processor.
pub fn take_off(kit: &Kit, cpu: usize, map: &Map<'_, Hw>) {
    kit.leave(cpu, map);
}

/// Handles one fault to its end.
pub fn fault(kit: &Kit, map: &Map<'_, Hw>, addr: usize, access: Access) -> Result<(), FaultError> {
    loop {
        return Err(match map.fault(addr, access) {
            Fault::Resolved => return Ok(()),
            Fault::Wait(ticket) => {
                ticket.wait(kit.vm());
                continue;
            }
            Fault::NoMapping => FaultError::NoMapping,
            Fault::Protection => FaultError::Protection,
            Fault::BeyondEnd => FaultError::BeyondEnd,
            Fault::OutOfMemory => FaultError::OutOfMemory,
            Fault::Pager(error) => FaultError::Pager(error),
            Fault::Watched(watched) => FaultError::Watched(watched),
            Fault::Poisoned => FaultError::Poisoned,
        });
    }
}

/// A load by a program that runs on a processor.
pub fn load(kit: &Kit, cpu: usize, map: &Map<'_, Hw>, addr: usize) -> Result<u64, FaultError> {
    loop {
        match kit.load(cpu, addr, Access::Read) {
            Ok(bytes) => return Ok(u64::from_le_bytes(bytes)),
            Err(trap) => fault(kit, map, trap.addr, trap.access)?,
        }
    }
}

/// A store likewise.
pub fn store(
    kit: &Kit,
    cpu: usize,
    map: &Map<'_, Hw>,
    addr: usize,
    value: u64,
) -> Result<(), FaultError> {
    loop {
        match kit.store(cpu, addr, value.to_le_bytes()) {
            Ok(()) => return Ok(()),
            Err(trap) => fault(kit, map, trap.addr, trap.access)?,
        }
    }
}

/// A word as the kernel sees it.
pub fn get(map: &Map<'_, Hw>, addr: usize) -> Result<u64, FaultError> {
    let mut bytes = [0xaa; 8];
    map.read(addr, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Sets a word as the kernel does.
pub fn set(map: &Map<'_, Hw>, addr: usize, value: u64) {
    assert_eq!(map.write(addr, &value.to_le_bytes()), Ok(()));
}

/// The word of an object at an offset.
pub fn object_word(object: &Object<'_, Hw>, offset: usize) -> u64 {
    let mut bytes = [0xaa; 8];
    assert_eq!(object.read_at(offset as u64, &mut bytes), Ok(8));
    u64::from_le_bytes(bytes)
}

/// The swap devices that there are.
pub fn swap_devices(kit: &Kit) -> Vec<scalvm::SwapInfo> {
    let mut devices = Vec::new();
    kit.vm().each_swap(|device| devices.push(device));
    devices
}

/// Checks everything, and that nothing is left once all maps and objects are dropped.
pub fn nothing_left(kit: &Kit) {
    kit.vm().check_invariants();
    let s = kit.vm().stats();
    assert_eq!(
        [
            s.anons, s.amaps, s.nodes, s.families, s.objects, s.entries, s.maps
        ],
        [0; 7]
    );
    assert_eq!(s.committed, 0);
    assert_eq!([s.frames_anon, s.frames_file, s.frames_tables], [0; 3]);
    // One frame may be the page of zeros, which is for ever.
    assert!(
        s.frames_total - s.frames_free - s.frames_kernel <= 1,
        "{s:?}"
    );
}
