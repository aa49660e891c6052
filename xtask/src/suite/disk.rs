//! What a guest writes to its disk is found in the host's file.

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use super::lab::stem;
use super::{Lab, Plan, Report, compare, host};

/// The disk's size.
const SIZE: usize = 8 << 20;

/// Runs the tests with disks.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    if plan.wants("disk/msync") {
        report.test("disk/msync", || msync(lab));
    }
    if plan.wants("disk/two") {
        report.test("disk/two", || two(lab));
    }
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
    let program = lab.programs().iter().find(|path| stem(path) == "devmsync");
    let Some(program) = program else {
        bail!("there is no devmsync")
    };
    let linux = host::run(Command::new(program).arg(&theirs))?;
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
