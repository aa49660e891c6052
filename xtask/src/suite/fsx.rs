//! The file system exerciser: random reads, writes, mapped accesses and changes of the size, each read
//! checked. It is the crate `fsx`, built when it is first needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::lab::{Outcome, Run, add_dynamic};
use super::{Lab, Plan, Report, ext2};
use crate::image::{self, Image, Node};
use crate::{paths, setup};

/// The crate's version.
const VERSION: &str = "0.3.2";
/// What it ends with if it has found nothing.
const GOOD: &str = "All operations completed A-OK!";
/// Operations of the short test, and of the long ones.
const FEW: u32 = 2_000;
const MANY: u32 = 100_000;
/// How long those may take, in seconds.
const PATIENCE: u64 = 300;
const LONG_PATIENCE: u64 = 3600;

/// On files: some of what Linux can do with them, most often what changes them.
const ON_FILES: &str = "flen = 1048576
[weights]
close_open = 1
read = 10
write = 10
mapread = 10
mapwrite = 10
invalidate = 1
truncate = 5
fsync = 1
fdatasync = 1
posix_fallocate = 2
sendfile = 3
posix_fadvise = 1
copy_file_range = 3
";
/// On a disk, whose size stays.
const ON_DISKS: &str = "flen = 1048576
blockmode = true
nosizechecks = true
[opsize]
align = 512
[weights]
close_open = 0
read = 10
write = 10
mapread = 10
mapwrite = 10
invalidate = 1
truncate = 0
fsync = 1
fdatasync = 1
posix_fadvise = 1
";

/// Runs the tests.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    let mut test = |name: &str, body: &dyn Fn() -> Result<()>| {
        if plan.wants(name) {
            report.test(name, body);
        }
    };
    test("disk/fsx", &|| on_ext2(lab, FEW, PATIENCE));
    if !plan.long {
        return;
    }
    test("real/fsx-ext2", &|| on_ext2(lab, MANY, LONG_PATIENCE));
    test("real/fsx-tmpfs", &|| {
        let root = root(lab, "fsx-tmpfs")?;
        good(&guest(lab, &root, "files", "/tmp/file", MANY).run()?)
    });
    test("real/fsx-disk", &|| {
        let root = root(lab, "fsx-disk")?;
        let disk = lab.path("fsx-disk");
        fs::write(&disk, vec![0; 1 << 20])?;
        let guest = guest(lab, &root, "disks", "/dev/vdb", MANY);
        good(&guest.disk(&disk).run()?)
    });
}

/// On a file of the guest's root, which is checked then.
fn on_ext2(lab: &Lab, operations: u32, patience: u64) -> Result<()> {
    let root = root(lab, &format!("fsx-ext2-{operations}"))?;
    let guest = guest(lab, &root, "files", "/home/file", operations);
    good(&guest.patience(patience).run()?)?;
    image::ext2::check(&root)
}

/// A guest that runs so many operations on a file.
fn guest<'a>(lab: &'a Lab, root: &Path, config: &str, file: &str, operations: u32) -> Run<'a> {
    let (config, number) = (format!("/etc/fsx-{config}.toml"), operations.to_string());
    lab.guest(&[
        "/debian/fsx",
        "-q",
        "-S",
        "20",
        "-N",
        &number,
        "-P",
        "/tmp",
        "-f",
        &config,
        file,
    ])
    .root_disk(root)
    .patience(LONG_PATIENCE)
}

/// An error unless nothing was found.
fn good(here: &Outcome) -> Result<()> {
    if here.status != 0 || !here.output.contains(GOOD) {
        bail!("{here:?}");
    }
    Ok(())
}

/// A disk with a root in which the program is, and what it is told.
fn root(lab: &Lab, name: &str) -> Result<PathBuf> {
    let dir = lab.path(&format!("{name}-root"));
    fs::create_dir(&dir)?;
    let mut programs = Image::default();
    add_dynamic(&mut programs, &program()?)?;
    for (name, text) in [("files", ON_FILES), ("disks", ON_DISKS)] {
        let name = format!("etc/fsx-{name}.toml");
        programs.add(name, 0o644, Node::Bytes(text.into()));
    }
    programs.put_into(&dir)?;
    lab.root().put_into(&dir)?;
    ext2::disk(lab, &format!("{name}.img"), 96 << 20, Some(&dir))
}

/// The program, installed beside what this tool makes.
fn program() -> Result<PathBuf> {
    let tools = paths::target().join("tools");
    let program = tools.join("bin/fsx");
    if !program.exists() {
        let output = Command::new(setup::running_cargo())
            .args(["install", "fsx", "--locked", "--version", VERSION, "--root"])
            .arg(&tools)
            .output()
            .context("starting cargo")?;
        if !output.status.success() {
            bail!(
                "cargo install fsx: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    Ok(program)
}
