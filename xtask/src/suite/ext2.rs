//! The file system on a disk: what the host has put there the guest finds, and what the guest changes
//! the host finds, with nothing for e2fsck(8) to mend.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::lab::stem;
use super::{Lab, Plan, Report, compare, host};
use crate::image::ext2;

/// Runs the tests.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    let mut test = |name: &str, body: &dyn Fn() -> Result<()>| {
        if plan.wants(name) {
            report.test(name, body);
        }
    };
    test("disk/ext2-root", &|| root(lab));
}

/// A disk of so many bytes with a file system that holds what is in a folder, if one is given.
fn disk(lab: &Lab, name: &str, bytes: u64, dir: Option<&Path>) -> Result<PathBuf> {
    let file = lab.path(name);
    ext2::make(&file, bytes, dir)?;
    Ok(file)
}

/// The guest's root lies on a disk: programs run from there, and everything is where the host has put
/// it.
fn root(lab: &Lab) -> Result<()> {
    let dir = lab.path("ext2-root");
    fs::create_dir(&dir)?;
    lab.root().put_into(&dir)?;
    let disk = disk(lab, "ext2-root.img", 64 << 20, Some(&dir))?;
    let script = "grep -c '^/dev/vda / ext2 rw' /proc/mounts; readlink /bin/ls; cat /etc/hostname; \
                  cd /tests; /bin/md5sum * | sort; ls -a / | tr '\\n' ' '; test -c /dev/null";
    let here = lab
        .guest(&["/bin/sh", "-c", script])
        .root_disk(&disk)
        .run()?;
    let sums = "cd tests; md5sum * | sort";
    let mut shell = Command::new("sh");
    let there = lab
        .on_host(shell.args(["-c", sums]))?
        .current_dir(&dir)
        .output()?;
    let expected = format!(
        "1\nbusybox\nscalvm\n{}. .. bin dev etc home lost+found mnt proc root run sbin sys tests \
         tmp usr var ",
        String::from_utf8_lossy(&there.stdout)
    );
    if here.status != 0 || here.output != expected {
        bail!("{here:?}\ninstead of\n{expected}");
    }
    for program in lab.programs() {
        let name = stem(program);
        if ["mapping", "truncate", "cow"].contains(&name.as_str()) {
            let linux = host::run(&mut Command::new(program))?;
            let path = format!("/tests/{name}");
            compare::same(&linux, &lab.guest(&[&path]).root_disk(&disk).run()?)?;
        }
    }
    ext2::check(&disk)
}
