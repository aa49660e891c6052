//! The file system on a disk: what the host has put there the guest finds, and what the guest changes
//! the host finds, with nothing for e2fsck(8) to mend.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::lab::{Outcome, files, stem};
use super::{Lab, Plan, Report, compare, host};
use crate::image::ext2;
use crate::setup;

/// C programs that make files where temporary ones go.
const PROGRAMS: [&str; 5] = ["cow", "mapping", "names", "onecache", "truncate"];
/// How long the longer tests may take, in seconds.
const PATIENCE: u64 = 300;

/// Runs the tests.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    let mut test = |name: &str, body: &dyn Fn() -> Result<()>| {
        if plan.wants(name) {
            report.test(name, body);
        }
    };
    test("disk/ext2-root", &|| root(lab));
    test("disk/ext2-tree", &|| tree(lab));
    test("disk/ext2-msync", &|| msync(lab));
    test("disk/ext2-full", &|| full(lab));
    test("disk/ext2-deep", &|| deep(lab));
    test("disk/ext2-memory", &|| little_memory(lab));
    test("disk/ext2-refused", &|| refused(lab));
    test("disk/ext2-swap", &|| swap(lab));
}

/// A disk of so many bytes with a file system that holds what is in a folder, if one is given.
pub fn disk(lab: &Lab, name: &str, bytes: u64, dir: Option<&Path>) -> Result<PathBuf> {
    let file = lab.path(name);
    ext2::make(&file, bytes, dir)?;
    Ok(file)
}

/// Runs a script in a guest whose disk is mounted at /mnt, and checks the file system.
fn on_mount(lab: &Lab, disk: &Path, mem: u64, script: &str) -> Result<Outcome> {
    let script = format!("mount -t ext2 /dev/vda /mnt || exit 90; {script}");
    let here = lab
        .guest(&["/bin/sh", "-c", &script])
        .disk(disk)
        .mem(mem)
        .patience(PATIENCE)
        .run()?;
    ext2::check(disk).with_context(|| format!("{here:?}"))?;
    Ok(here)
}

/// An error unless a guest has ended well and printed this.
fn expect(here: &Outcome, expected: &str) -> Result<()> {
    if here.status != 0 || here.output != expected {
        bail!("{here:?}\ninstead of\n{expected}");
    }
    Ok(())
}

/// The guest's root lies on a disk: programs run from there, everything is where the host has put it,
/// and the programs that make files find the same as on Linux.
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
    let mut shell = Command::new(setup::ensure(&setup::BUSYBOX)?);
    let there = lab
        .on_host(shell.args(["sh", "-c", sums]))?
        .current_dir(&dir)
        .output()?;
    let sums = String::from_utf8_lossy(&there.stdout);
    expect(
        &here,
        &format!(
            "1\nbusybox\nscalvm\n{sums}. .. bin dev etc home lost+found mnt proc root run sbin sys \
             tests tmp usr var "
        ),
    )?;
    for program in lab.programs() {
        let name = stem(program);
        if PROGRAMS.contains(&name.as_str()) {
            let linux = host::run(&mut Command::new(program))?;
            let script = format!("umount /tmp && exec /tests/{name}");
            let guest = lab.guest(&["/bin/sh", "-c", &script]).root_disk(&disk);
            compare::same(&linux, &guest.run()?).context(name)?;
        }
    }
    ext2::check(&disk)
}

/// Memory is put back to a file, with Linux's errors for what must not happen to it meanwhile.
fn swap(lab: &Lab) -> Result<()> {
    let disk = disk(lab, "ext2-swap.img", 192 << 20, None)?;
    let script = "exec 2>&1; cd /mnt; dd if=/dev/zero of=file bs=1M count=128 2>/dev/null; \
                  swapon file; mkswap file >/dev/null; swapon file; \
                  awk 'NR > 1 { print $1, $2, $3, $5 }' /proc/swaps; \
                  swapon file; rm file; mv file other; : >other; mv other file; rm other; \
                  echo >>file; true >file; truncate -s 1M file; \
                  /tests/patterns 8 16 2; awk '/pswp/ { print ($2 > 1000) }' /proc/vmstat; \
                  cd /; umount /mnt; cd /mnt; swapoff file; swapoff file; wc -l </proc/swaps; \
                  rm file; truncate -s 1M file; mkswap file >/dev/null; swapon file; true";
    let here = on_mount(lab, &disk, 64 << 20, script)?;
    expect(
        &here,
        "swapon: file: Invalid argument\n/mnt/file file 131068 -2\n\
         swapon: file: Device or resource busy\n\
         rm: can't remove 'file': Operation not permitted\n\
         mv: can't rename 'file': Operation not permitted\n\
         mv: can't rename 'other': Operation not permitted\n\
         sh: write error: Text file busy\n/bin/sh: can't create file: Text file busy\n\
         truncate: file: truncate: Text file busy\n8 of 8 found what they wrote\n1\n1\n\
         umount: can't unmount /mnt: Device or resource busy\n\
         swapoff: file: Invalid argument\n1\nswapon: file: file has holes\n",
    )
}

/// What a name of a tree stands for: kind and rights, and the bytes of a file or where a link leads.
type Tree = BTreeMap<PathBuf, (String, Vec<u8>)>;

/// Reads a tree, but for what the file system itself has put there.
fn read_tree(dir: &Path, below: &Path, tree: &mut Tree) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let name = path.strip_prefix(below)?.to_path_buf();
        let data = fs::symlink_metadata(&path)?;
        let kind = data.file_type();
        // The program that takes files out knows no other rights.
        let mode = data.permissions().mode() & 0o777;
        let (kind, bytes) = if kind.is_symlink() {
            let to = fs::read_link(&path)?.into_os_string();
            ("link".to_owned(), OsString::into_encoded_bytes(to))
        } else if kind.is_dir() {
            read_tree(&path, below, tree)?;
            (format!("folder {mode:o}"), Vec::new())
        } else if kind.is_fifo() {
            ("pipe".to_owned(), Vec::new())
        } else {
            (format!("file {mode:o}"), fs::read(&path)?)
        };
        tree.insert(name, (kind, bytes));
    }
    Ok(())
}

/// A script makes and changes a tree, in the guest and on the host: both end with the same.
fn tree(lab: &Lab) -> Result<()> {
    let script = files("tests/shell", "sh")?
        .into_iter()
        .find(|path| stem(path) == "tree")
        .context("tests/shell/tree.sh")?;
    let there = lab.path("ext2-there");
    fs::create_dir(&there)?;
    let mut linux = Command::new(setup::ensure(&setup::BUSYBOX)?);
    linux.arg("sh").arg(&script);
    let linux = host::run(lab.on_host(&mut linux)?.env("TMPDIR", &there))?;
    let disk = disk(lab, "ext2-tree.img", 32 << 20, None)?;
    let run = "TMPDIR=/mnt sh /tests/tree.sh; status=$?; umount /mnt && exit $status";
    compare::same(&linux, &on_mount(lab, &disk, 64 << 20, run)?)?;
    let here = lab.path("ext2-here");
    ext2::extract(&disk, &here)?;
    let (mut ours, mut theirs) = (Tree::new(), Tree::new());
    read_tree(&here.join("tree"), &here, &mut ours)?;
    read_tree(&there.join("tree"), &there, &mut theirs)?;
    if theirs.len() < 280 {
        bail!("the tree has {} names only", theirs.len());
    }
    for name in ours.keys().chain(theirs.keys()) {
        let (here, linux) = (ours.get(name), theirs.get(name));
        // The program that takes files out makes no pipes.
        let is_pipe = linux.is_some_and(|(kind, _)| kind == "pipe");
        if here != linux && !is_pipe {
            let (here, linux) = (
                here.map(|h| (&h.0, h.1.len())),
                linux.map(|l| (&l.0, l.1.len())),
            );
            bail!("{}: {here:?}, on Linux {linux:?}", name.display());
        }
    }
    Ok(())
}

/// A program maps a file shared, writes and syncs, as on Linux. The second time the machine is switched
/// off under it, and what it has synced is there when the file system has been mended.
fn msync(lab: &Lab) -> Result<()> {
    const SIZE: usize = 8 << 20;
    let (dir, theirs) = (lab.path("ext2-msync"), lab.path("ext2-msync-linux"));
    let pattern: Vec<u8> = (0..SIZE)
        .map(|at| (at / 512 * 7 + at % 512) as u8)
        .collect();
    fs::create_dir(&dir)?;
    fs::write(dir.join("data"), &pattern)?;
    fs::write(&theirs, &pattern)?;
    let linux = host::run(Command::new(lab.program("devmsync")?).arg(&theirs))?;
    for hold in [false, true] {
        let disk = disk(lab, &format!("ext2-msync-{hold}.img"), 32 << 20, Some(&dir))?;
        if hold {
            // A new file, whose first bytes sync(2) brings to the disk, and nothing but msync(2) the others.
            let script = "mount -t ext2 /dev/vda /mnt && cp /mnt/data /mnt/new && rm /mnt/data && \
                          mv /mnt/new /mnt/data && sync && exec /tests/devmsync /mnt/data hold";
            let here = lab
                .guest(&["/bin/sh", "-c", script])
                .disk(&disk)
                .stop_at("holding")
                .run()?;
            if !here.output.ends_with("holding\n") {
                bail!("{here:?}");
            }
            ext2::mend(&disk)?;
        } else {
            let here = on_mount(lab, &disk, 64 << 20, "exec /tests/devmsync /mnt/data")?;
            compare::same(&linux, &here)?;
        }
        let out = lab.path(&format!("ext2-msync-{hold}"));
        ext2::extract(&disk, &out)?;
        if fs::read(out.join("data"))? != fs::read(&theirs)? {
            bail!("the file is another one than on Linux, hold {hold}");
        }
    }
    Ok(())
}

/// The file system becomes full: errors are told where they belong, and nothing is lost.
fn full(lab: &Lab) -> Result<()> {
    let disk = disk(lab, "ext2-full.img", 12 << 20, None)?;
    let here = on_mount(lab, &disk, 64 << 20, "cd /mnt && exec /tests/fillfs")?;
    expect(
        &here,
        "a hole: wrote 97\nfull: ENOSPC\nwhole: 1\nfree: 0\na page that has a block: wrote 98\n\
         a hole, and the disk is full: write: SIGBUS BUS_ADRERR at +524288\n\
         write to an old block: 10\nwrite to a hole: ENOSPC\nfallocate: 1\nsmall: 16\n\
         mkdir: ENOSPC\nunlink: 0\nstill whole: 1\nstill full: ENOSPC\nclose: 0\n\
         a hole again: wrote 99\nwrite to a hole again: 1\nmkdir again: 0\nfull: ENOSPC\n\
         whole: 1, as much: 1\ntruncate: 0\nsync: 0\n",
    )?;
    let out = lab.path("ext2-full");
    ext2::extract(&disk, &out)?;
    let mut hole = vec![0; 1 << 20];
    (hole[0], hole[1], hole[512 << 10], hole[768 << 10]) = (b'a', b'b', b'c', b'd');
    if fs::read(out.join("hole"))? != hole {
        bail!("the file with the hole is another one");
    }
    if fs::read(out.join("small"))? != b"before and after" {
        bail!("the small file is another one");
    }
    if fs::read(out.join("dir/more"))? != vec![1; 5000] {
        bail!("the truncated file is another one");
    }
    Ok(())
}

/// Pages behind one, two and three blocks of pointers; what is cut off gives its blocks back, those of
/// pointers as well.
fn deep(lab: &Lab) -> Result<()> {
    let disk = disk(lab, "ext2-deep.img", 16 << 20, None)?;
    let script = "free() { stat -f -c %f /mnt; }
        at() { dd if=/mnt/far bs=4096 skip=$1 count=1 2>/dev/null | tr -d '\\0'; }
        put() { echo page $1 | dd of=/mnt/far bs=4096 seek=$1 conv=notrunc 2>/dev/null; }
        again() { umount /mnt && mount -t ext2 /dev/vda /mnt; }
        all() { for i in 5 1035 1036 600000 1049611 1049612 2100000; do at $i; done; }
        before=$(free)
        for i in 2100000 5 1035 1049612 1036 1049611 600000; do put $i; done
        again; all; at 70000; stat -c '%s %b' /mnt/far
        truncate -s 4300000000 /mnt/far; again; all; stat -c '%s %b' /mnt/far
        truncate -s 4243456 /mnt/far; again; all; stat -c '%s %b' /mnt/far
        rm /mnt/far; again; test $before = $(free) && echo all is free
        mkdir /mnt/d; for i in $(seq 100 300); do : >/mnt/d/a-rather-long-name-$i; done
        rm -r /mnt/d; again; test $before = $(free) && echo all is free";
    let all =
        |pages: &[u32]| -> String { pages.iter().map(|page| format!("page {page}\n")).collect() };
    let here = on_mount(lab, &disk, 64 << 20, script)?;
    expect(
        &here,
        &format!(
            "{}8601600013 136\n{}4300000000 112\n{}4243456 24\nall is free\nall is free\n",
            all(&[5, 1035, 1036, 600_000, 1_049_611, 1_049_612, 2_100_000]),
            all(&[5, 1035, 1036, 600_000, 1_049_611, 1_049_612]),
            all(&[5, 1035])
        ),
    )
}

/// Files are larger than memory, and so must leave it while others are written.
fn little_memory(lab: &Lab) -> Result<()> {
    let disk = disk(lab, "ext2-memory.img", 128 << 20, None)?;
    let script = "cd /mnt; seq 1 1000000 >a & seq 1 1000000 >b; wait; cat a b >c; cmp a b; \
                  md5sum <a; cp c d; cmp c d; rm a; md5sum <d; \
                  for i in 1 2; do cp b e$i & done; wait; \
                  for i in 1 2; do cmp b e$i; done";
    let here = on_mount(lab, &disk, 20 << 20, script)?;
    let bytes: String = (1..=1_000_000).map(|n| format!("{n}\n")).collect();
    let sum = |text: &str| -> Result<String> {
        let file = lab.path("ext2-sum");
        fs::write(&file, text)?;
        let mut md5sum = Command::new("md5sum");
        let output = md5sum.stdin(fs::File::open(&file)?).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    expect(
        &here,
        &format!("{}{}", sum(&bytes)?, sum(&bytes.repeat(2))?),
    )
}

/// Read-only mounts change nothing; what is no such file system, or used, is refused.
fn refused(lab: &Lab) -> Result<()> {
    let disk = disk(lab, "ext2-refused.img", 8 << 20, None)?;
    let before = fs::read(&disk)?;
    let other = lab.path("ext2-none.img");
    fs::write(&other, vec![0; 1 << 20])?;
    let script = "exec 2>&1; mount -t ext2 -o ro /dev/vda /mnt; touch /mnt/x; mkdir /mnt/y; \
                  rmdir /mnt/lost+found; chmod 700 /mnt/lost+found; ls /mnt; \
                  mount -t ext2 /dev/vda /home; cd /mnt; umount /mnt; cd /; umount /mnt; \
                  mount -t ext2 /dev/vdb /mnt; mount -t ext2 /dev/null /mnt; swapon /dev/vdb; \
                  grep -c ext2 /proc/mounts";
    let here = lab
        .guest(&["/bin/sh", "-c", script])
        .disk(&disk)
        .disk(&other)
        .run()?;
    let expected = "touch: /mnt/x: Read-only file system\n\
                    mkdir: can't create directory '/mnt/y': Read-only file system\n\
                    rmdir: '/mnt/lost+found': Read-only file system\n\
                    chmod: /mnt/lost+found: Read-only file system\n\
                    lost+found\n\
                    mount: mounting /dev/vda on /home failed: Device or resource busy\n\
                    umount: can't unmount /mnt: Device or resource busy\n\
                    mount: mounting /dev/vdb on /mnt failed: Invalid argument\n\
                    mount: mounting /dev/null on /mnt failed: Block device required\n\
                    swapon: /dev/vdb: Invalid argument\n0\n";
    if here.output != expected {
        bail!("{here:?}\ninstead of\n{expected}");
    }
    if fs::read(&disk)? != before {
        bail!("a disk that was mounted to be read has changed");
    }
    Ok(())
}
