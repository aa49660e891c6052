//! What a guest writes to its disk is found in the host's file.

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use super::{Lab, Plan, Report, compare, host};
use crate::machine::Failing;

/// The disk's size.
const SIZE: usize = 8 << 20;

/// Runs the tests with disks.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    if plan.wants("disk/msync") {
        report.test("disk/msync", || msync(lab));
    }
    if plan.wants("disk/direct") {
        report.test("disk/direct", || direct(lab));
    }
    if plan.wants("disk/two") {
        report.test("disk/two", || two(lab));
    }
    if plan.wants("disk/age") {
        report.test("disk/age", || age(lab));
    }
    if plan.wants("disk/parallel") {
        report.test("disk/parallel", || parallel(lab));
    }
    if plan.wants("disk/will-need") {
        report.test("disk/will-need", || will_need(lab));
    }
    if plan.wants("disk/fails") {
        report.test("disk/fails", || fails(lab));
    }
}

/// What nobody syncs is written when it is old enough, and not at once.
fn age(lab: &Lab) -> Result<()> {
    const AT: usize = 123_456;
    let script = |seconds: u32| {
        format!(
            "printf late | dd of=/dev/vda bs=1 seek={AT} conv=notrunc 2>/dev/null; \
                 sleep {seconds}; echo now; while :; do :; done"
        )
    };
    let file = lab.path("disk-age");
    for (seconds, written) in [(10, false), (40, true)] {
        fs::write(&file, vec![0; 1 << 20])?;
        lab.guest(&["/bin/sh", "-c", &script(seconds)])
            .disk(&file)
            .icount()
            .stop_at("now")
            .run()?;
        let is_there = fs::read(&file)?[AT..AT + 4] == *b"late";
        if is_there != written {
            bail!("after {seconds} seconds: written is {is_there}");
        }
    }
    Ok(())
}

/// What a program says it will need of a mapped disk is read before it is touched.
fn will_need(lab: &Lab) -> Result<()> {
    let file = lab.path("disk-need");
    fs::write(
        &file,
        (0..128 * 4096)
            .map(|at| (at / 4096 + 1) as u8)
            .collect::<Vec<u8>>(),
    )?;
    let here = lab
        .guest(&["/tests/willneed", "/dev/vda"])
        .disk(&file)
        .run()?;
    let expected = "munmap: 0\n64 pages: 0\nread: 64\nwith a hole: ENOMEM\nread: 95\n\
                    good: 64\n";
    if here.status != 0 || here.output != expected {
        bail!("{here:?}");
    }
    Ok(())
}

/// Several programs read and write two disks at the same time, more requests than a disk takes at
/// once: each gets its own bytes.
fn parallel(lab: &Lab) -> Result<()> {
    const BLOCK: usize = 1 << 20;
    const BLOCKS: usize = 8;
    let files = [lab.path("disk-c"), lab.path("disk-d")];
    for (number, file) in files.iter().enumerate() {
        let bytes = (0..BLOCK * BLOCKS).map(|at| (at / 4096 * 31 + at % 251 + number) as u8);
        fs::write(file, bytes.collect::<Vec<u8>>())?;
    }
    // Each block is copied to the other disk's block of the same number, all at once.
    let script = format!(
        "for i in $(seq 0 {last}); do \
           dd if=/dev/vda of=/tmp/a$i bs={BLOCK} skip=$i count=1 2>/dev/null & \
           dd if=/dev/vdb of=/tmp/b$i bs={BLOCK} skip=$i count=1 2>/dev/null & \
         done; wait; \
         for i in $(seq 0 {last}); do \
           dd if=/tmp/b$i of=/dev/vda bs={BLOCK} seek=$i conv=notrunc,fsync 2>/dev/null & \
           dd if=/tmp/a$i of=/dev/vdb bs={BLOCK} seek=$i conv=notrunc,fsync 2>/dev/null & \
         done; wait",
        last = BLOCKS - 1
    );
    let before = [fs::read(&files[0])?, fs::read(&files[1])?];
    let here = lab
        .guest(&["/bin/sh", "-c", &script])
        .disk(&files[0])
        .disk(&files[1])
        .run()?;
    if here.status != 0 || !here.output.is_empty() {
        bail!("{here:?}");
    }
    if fs::read(&files[0])? != before[1] || fs::read(&files[1])? != before[0] {
        bail!("the disks have not changed their contents");
    }
    Ok(())
}

/// A disk's errors reach the program, reads at once and writes at the sync; the rest goes on.
fn fails(lab: &Lab) -> Result<()> {
    let files = [lab.path("disk-e"), lab.path("disk-f")];
    for file in &files {
        fs::write(file, vec![b'x'; 1 << 20])?;
    }
    let script = "dd if=/dev/vda of=/dev/null bs=4096 count=1 2>&1 | grep -o 'output error'; \
                  head -c 4 /dev/vdb; \
                  echo new | dd of=/dev/vdb conv=notrunc,fsync 2>&1 | grep -o 'output error'; \
                  head -c 4 /dev/vdb";
    let here = lab
        .guest(&["/bin/sh", "-c", script])
        .failing_disk(&files[0], Failing::Reads)
        .failing_disk(&files[1], Failing::Writes)
        .run()?;
    if here.output != "output error\nxxxxoutput error\nnew\n" {
        bail!("{here:?}");
    }
    if fs::read(&files[1])? != vec![b'x'; 1 << 20] {
        bail!("what could not be written was");
    }
    Ok(())
}

/// A program maps the disk shared, writes and calls msync: the same bytes as on Linux, where a
/// file stands for the disk. The second time the machine is switched off under the program, so
/// that nothing but its syncs can have written them.
fn msync(lab: &Lab) -> Result<()> {
    let (ours, theirs) = (lab.path("msync-guest"), lab.path("msync-linux"));
    let pattern: Vec<u8> = (0..SIZE)
        .map(|at| (at / 512 * 7 + at % 512) as u8)
        .collect();
    fs::write(&theirs, &pattern)?;
    let linux = host::run(Command::new(lab.program("devmsync")?).arg(&theirs))?;
    let theirs = fs::read(&theirs)?;
    if theirs == pattern {
        bail!("devmsync has written nothing on Linux");
    }
    for hold in [false, true] {
        fs::write(&ours, &pattern)?;
        let mut words = vec!["/tests/devmsync", "/dev/vda"];
        words.extend(hold.then_some("hold"));
        let guest = lab.guest(&words).disk(&ours);
        if hold {
            guest.stop_at("holding").run()?;
        } else {
            compare::same(&linux, &guest.run()?)?;
        }
        let ours = fs::read(&ours)?;
        if let Some(at) = ours
            .iter()
            .zip(&theirs)
            .position(|(here, linux)| here != linux)
        {
            let (here, linux) = (ours[at], theirs[at]);
            bail!("byte {at} is {here:#x} on the guest's disk, {linux:#x} on Linux, hold {hold}");
        }
    }
    Ok(())
}

/// A program reads and writes the disk by its own memory: as on Linux, where a file stands for the disk. Its pages leave
/// to another disk at times. At the end of a disk there is no room, which a file would have.
fn direct(lab: &Lab) -> Result<()> {
    let (ours, theirs) = (lab.path("direct-guest"), lab.path("direct-linux"));
    let pattern: Vec<u8> = (0..4 << 20).map(|at| (at / 512 % 251) as u8).collect();
    fs::write(&theirs, &pattern)?;
    fs::write(&ours, &pattern)?;
    let linux = host::run(Command::new(lab.program("direct")?).arg(&theirs))?;
    let guest = lab.guest(&["/tests/direct", "/dev/vda"]).disk(&ours);
    let (here, counters) = guest.swap(32 << 20).run_with_counters()?;
    compare::same(&linux, &here)?;
    if fs::read(&ours)? != fs::read(&theirs)? {
        bail!("what is on the guest's disk is not what is on Linux's");
    }
    if counters.get("swapins").is_none_or(|swapins| *swapins < 64) {
        bail!("nothing was brought back from swap: {counters:?}");
    }
    let script = "dd if=/dev/zero of=/dev/vda bs=4096 seek=1023 count=2 oflag=direct 2>&1 | \
                  grep -o 'No space.*'";
    let here = lab.guest(&["/bin/sh", "-c", script]).disk(&ours).run()?;
    if here.output != "No space left on device\n" {
        bail!("{here:?}");
    }
    Ok(())
}

/// Two disks are two files, in the order given; what dd writes and syncs arrives, and only there.
fn two(lab: &Lab) -> Result<()> {
    let files = [lab.path("disk-a"), lab.path("disk-b")];
    for (file, letter) in files.iter().zip([b'a', b'b']) {
        fs::write(file, vec![letter; 1 << 20])?;
    }
    let script = "head -c 3 /dev/vda; head -c 3 /dev/vdb; echo; \
                  echo hello | dd of=/dev/vdb bs=1 seek=70000 conv=notrunc,fsync 2>/dev/null; sync";
    let here = lab
        .guest(&["/bin/sh", "-c", script])
        .disk(&files[0])
        .disk(&files[1])
        .run()?;
    if here.output != "aaabbb\n" || here.status != 0 {
        bail!("{here:?}");
    }
    let mut expected = vec![b'b'; 1 << 20];
    expected[70000..70006].copy_from_slice(b"hello\n");
    if fs::read(&files[0])? != vec![b'a'; 1 << 20] {
        bail!("/dev/vda has changed");
    }
    if fs::read(&files[1])? != expected {
        bail!("/dev/vdb does not hold what was written");
    }
    Ok(())
}
