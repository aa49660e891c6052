//! The kernel's half of all address spaces: what is entered in its space, every processor finds by
//! whatever root it uses, and no program does.

use std::ops::Range;

use scalvm::{Access, Cache, CpuSet, Enter, Frame, Machine, PAGE_SIZE, Pmap, Prot, TableFrames};
use scalvm_machine::{Config, Emulated, TableArena};
use scalvm_pmap::X86Pmap;

/// The frame of the kernel's root table.
const ROOT: Frame = Frame(0x900);
/// A range across two entries of the root.
const RANGE: Range<usize> = 0xffff_907f_ff00_0000..0xffff_9080_0100_0000;
/// The last page below the boundary.
const VA: usize = 0xffff_907f_ffff_f000;

fn machine() -> Emulated {
    Emulated::new(Config {
        devices: vec![ROOT..Frame(ROOT.0 + 1)],
        kernel_root: Some(ROOT),
        ..Config::default()
    })
}

fn enter(machine: &Emulated, tables: &TableArena, space: &X86Pmap, va: usize) -> Frame {
    let frame = tables.take().unwrap();
    machine.zero_frame(frame);
    let how = Enter {
        frame,
        prot: Prot::RW,
        access: Access::Write,
        cache: Cache::WriteBack,
        managed: true,
        origin: (0, 0),
    };
    let (old, debt) = space.enter(machine, tables, va, how).unwrap();
    assert!(old.is_none() && !debt.is_owed());
    frame
}

#[test]
fn every_space_has_the_kernels_half() {
    let machine = machine();
    let tables = TableArena::new(&machine, machine.segment(0));
    let kernel: X86Pmap = Pmap::<Emulated>::new_kernel(&machine, &tables, RANGE).unwrap();
    assert_eq!(Pmap::<Emulated>::root(&kernel), ROOT);
    assert_eq!(Pmap::<Emulated>::cpus(&kernel), CpuSet::MAX);
    assert_eq!(tables.tables(), 2);
    let space: X86Pmap = Pmap::<Emulated>::new(&machine, &tables).unwrap();
    let user = machine.processor(1);
    user.run(|| space.activate(&machine));
    let (cpus, other) = (
        [user.as_kernel(), machine.processor(2).as_kernel()],
        0x40_0000,
    );
    for cpu in &cpus {
        assert!(cpu.load_u64(VA).is_err());
    }
    let frames = [
        enter(&machine, &tables, &kernel, VA),
        enter(&machine, &tables, &kernel, VA + PAGE_SIZE),
    ];
    enter(&machine, &tables, &space, other);
    // Across the boundary of the root's entries, by two roots.
    cpus[0]
        .store(VA + PAGE_SIZE - 4, &[1, 2, 3, 4, 5, 6, 7, 8])
        .unwrap();
    let mut bytes = [0; 8];
    cpus[1].load(VA + PAGE_SIZE - 4, &mut bytes).unwrap();
    assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8]);
    for (n, frame) in frames.into_iter().enumerate() {
        let found = kernel.query(&machine, VA + n * PAGE_SIZE).unwrap();
        assert_eq!((found.frame, found.dirty), (frame, true));
    }
    // Programs see nothing of it, cached or not, and the kernel's half is not theirs.
    for va in [VA, VA + PAGE_SIZE] {
        assert!(user.load_u64(va).is_err() && user.store_u64(va, 1).is_err());
        assert!(space.query(&machine, va & 0x7f_ffff_f000).is_none());
    }
    user.store_u64(other, 5).unwrap();
    kernel.check_invariants(&machine, &tables);
    space.check_invariants(&machine, &tables);
    assert_eq!(Pmap::<Emulated>::counts(&kernel).tables, 6);

    let mut gone = Vec::new();
    let debt = kernel.remove(&machine, &tables, RANGE, |mapping| gone.push(mapping.frame));
    assert_eq!(gone, frames);
    assert!(machine.find_stale(ROOT).is_some(), "a flush is due");
    debt.pay(&machine, &kernel, &tables);
    machine.assert_no_stale(ROOT);
    for cpu in &cpus {
        assert!(cpu.load_u64(VA).is_err());
    }
    kernel.check_invariants(&machine, &tables);
    assert_eq!(
        Pmap::<Emulated>::counts(&kernel).tables,
        2,
        "the shared ones stay"
    );
    assert_eq!(user.load_u64(other), Ok(5));

    // The kernel's space ends and begins again, while the program's stays.
    enter(&machine, &tables, &kernel, VA);
    cpus[0].store_u64(VA, 7).unwrap();
    let mut kernel = kernel;
    Pmap::<Emulated>::deactivate(&kernel, &machine);
    Pmap::<Emulated>::destroy(&mut kernel, &machine, &tables);
    machine.assert_no_stale(ROOT);
    assert!(cpus[0].load_u64(VA).is_err());
    let kernel: X86Pmap = Pmap::<Emulated>::new_kernel(&machine, &tables, RANGE).unwrap();
    kernel.check_invariants(&machine, &tables);
    enter(&machine, &tables, &kernel, VA);
    cpus[0].store_u64(VA, 8).unwrap();
    assert_eq!(cpus[1].load_u64(VA), Ok(8));
    space.check_invariants(&machine, &tables);
    let mut space = space;
    user.park();
    let debt = space.remove(&machine, &tables, 0..1 << 47, |_| ());
    debt.pay(&machine, &space, &tables);
    Pmap::<Emulated>::destroy(&mut space, &machine, &tables);
    assert_eq!(tables.tables(), 4);
}

#[test]
fn without_a_table_nothing_is_made() {
    let machine = machine();
    let tables = TableArena::new(&machine, machine.segment(0));
    for n in 0..2 {
        machine.fail_allocation(1);
        let made: Result<X86Pmap, _> = Pmap::<Emulated>::new_kernel(&machine, &tables, RANGE);
        assert_eq!(made.is_err(), n == 0, "what was made is kept");
        machine.stop_failing();
    }
    assert_eq!(tables.tables(), 2);
    for range in [
        RANGE.start..RANGE.start,
        0x1000..0x2000,
        0x1000..RANGE.end,
        1 << 47..RANGE.end,
        0x7fff_ffff_f000..0x8000_0000_0000,
    ] {
        let made: Result<X86Pmap, _> = Pmap::<Emulated>::new_kernel(&machine, &tables, range);
        assert!(made.is_err(), "not the kernel's half");
    }
    let plain = Emulated::with_frames(64);
    let tables = TableArena::new(&plain, plain.segment(0));
    let made: Result<X86Pmap, _> = Pmap::<Emulated>::new_kernel(&plain, &tables, RANGE);
    assert!(made.is_err(), "there is no kernel half");
    assert!(tables.alloc().is_some());
}
