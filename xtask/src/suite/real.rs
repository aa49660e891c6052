//! Debian's own programs, with their loader and libraries, from a disk: their results are those that they have on
//! Linux. All but the first two take their time, and are part of the long tests.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::lab::{Outcome, Run};
use super::{Lab, Plan, Report, compare, host};
use crate::image::{self, Node};
use crate::{deb, paths};

/// How long a guest may run, in seconds.
const PATIENCE: u64 = 3600;
const MIB: u64 = 1 << 20;

/// Runs the tests that are wanted.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    let mut test = |name: &str, body: &dyn Fn(&Lab) -> Result<()>| {
        if plan.wants(name) {
            report.test(name, || body(lab));
        }
    };
    test("real/hello", &hello);
    test("real/fresh", &fresh);
    if !plan.long {
        return;
    }
    test("real/lua", &lua);
    test("real/tcc", &tcc);
    test("real/memtester", &memtester);
    test("real/python", &python);
    test("real/git", &git);
    test("real/sqlite", &sqlite);
    test("real/cc1plus", &cc1plus);
}

/// A dynamic program, as small as they come, prints what it prints here.
fn hello(lab: &Lab) -> Result<()> {
    let root = root(&["lua5.4"], &["hello.lua"])?;
    let here = lab
        .guest(&["/usr/bin/lua5.4", "/tests/hello.lua"])
        .fleeting_root(&root.image)
        .run()?;
    let mut linux = root.on_host("usr/bin/lua5.4");
    compare::same(&host::run(linux.arg(source("hello.lua")))?, &here)
}

/// Each guest finds the root as it was made, whatever those before it have written there.
fn fresh(lab: &Lab) -> Result<()> {
    let root = root(&["lua5.4"], &["hello.lua"])?;
    let before = fs::metadata(&root.image)?.modified()?;
    for _ in 0..2 {
        let script = "ls /root; echo left >/root/file; rm /usr/bin/lua5.4; sync; cat /root/file";
        let here = lab
            .guest(&["/bin/sh", "-c", script])
            .fleeting_root(&root.image)
            .run()?;
        expect(&here, "left\n")?;
    }
    if fs::metadata(&root.image)?.modified()? != before {
        bail!("the image was written to");
    }
    Ok(())
}

/// A heap of small pieces that has no room in memory.
fn lua(lab: &Lab) -> Result<()> {
    let root = root(&["lua5.4"], &["tables.lua"])?;
    let guest = lab
        .guest(&["/usr/bin/lua5.4", "/tests/tables.lua"])
        .mem(32 * MIB);
    let here = with_swap(guest.fleeting_root(&root.image))?;
    expect(&here, "300000\t45000150000\n")
}

/// What a compiler has just written is executed, from memory and from a file.
fn tcc(lab: &Lab) -> Result<()> {
    let root = root(&["tcc", "libc6-dev"], &["mapped.c"])?;
    let script = "cd /root; tcc -run /tests/mapped.c memory; echo $?; \
                  tcc -o mapped /tests/mapped.c && ./mapped file; echo $?";
    let here = lab
        .guest(&["/bin/sh", "-c", script])
        .fleeting_root(&root.image)
        .run()?;
    expect(
        &here,
        "memory: 0 of 10000 wrong\n3\nfile: 0 of 10000 wrong\n3\n",
    )
}

/// Patterns in locked memory.
fn memtester(lab: &Lab) -> Result<()> {
    let root = root(&["memtester"], &[])?;
    let script = "memtester 8M 1 >log; echo $?; grep -c ': .*ok$' log; tail -n 1 log";
    let script = format!("cd /root; {script}");
    let here = lab
        .guest(&["/bin/sh", "-c", &script])
        .fleeting_root(&root.image)
        .mem(48 * MIB)
        .patience(PATIENCE)
        .run()?;
    expect(&here, "0\n18\nDone.\n")
}

/// Threads, mappings and forks.
fn python(lab: &Lab) -> Result<()> {
    let root = root(&["python3-minimal", "libpython3-stdlib"], &["python.py"])?;
    let here = lab
        .guest(&["/usr/bin/python3", "/tests/python.py"])
        .fleeting_root(&root.image)
        .patience(PATIENCE)
        .run()?;
    expect(
        &here,
        "filled: [True, True, True, True, True, True, True, True, True]\n\
         digests: 886715e4 f0a1c470 f972698a 59edb428\n\
         child: 2 1 3\n\
         read: b'mapped'\n\
         mapped: b'written'\n\
         grown: 64 2\n\
         pool: 332833500\n\
         sum: 2546416000\n\
         exit code: 0\n",
    )
}

/// Many processes and many small files; names that are hashes of all that was done.
fn git(lab: &Lab) -> Result<()> {
    let root = root(&["git"], &["git.sh"])?;
    let here = lab
        .guest(&["/bin/sh", "/tests/git.sh"])
        .fleeting_root(&root.image)
        .patience(PATIENCE)
        .run()?;
    expect(
        &here,
        "562a59ef52bdea4fa4484526224fd95df03502d7\n\
         count: 0\nin-pack: 20\ngarbage: 0\n\
         1ef71d54a493ed2d6f926fdce671aa6e3cd3fb66\n \
         3 files changed, 4 insertions(+), 3350 deletions(-)\n\
         6\n",
    )
}

/// A database that is larger than memory, read through a mapping, with a cache that is larger than memory.
fn sqlite(lab: &Lab) -> Result<()> {
    let root = root(&["sqlite3"], &["sqlite.sql"])?;
    let words = [
        "/usr/bin/sqlite3",
        "/var/tmp/letters.db",
        ".read /tests/sqlite.sql",
    ];
    let guest = lab.guest(&words).mem(64 * MIB);
    let here = with_swap(guest.fleeting_root(&root.image))?;
    expect(
        &here,
        "268435456\n100000|100000000|26\n90000|90000000|52\n10000\n0\n1\nok\n",
    )
}

/// A compiler that needs three times as much as there is writes what it writes here, to the byte.
fn cc1plus(lab: &Lab) -> Result<()> {
    const OPTIONS: &str = "-quiet -fpreprocessed -O1 library.ii -o library.s";
    let root = root(&["g++"], &[])?;
    let compiler = compiler(&root)?;
    let folder = lab.path("cc1plus");
    fs::create_dir(&folder)?;
    let include = |dir: &str| ["-isystem".into(), root.tree.join("usr").join(dir)];
    let version = compiler
        .rsplit('/')
        .nth(1)
        .context("the compiler's version")?;
    let mut preprocess = root.on_host(&compiler);
    preprocess
        .args(["-E", "-quiet", "-nostdinc", "-nostdinc++", "-D_GNU_SOURCE"])
        .args(include(&format!("include/c++/{version}")))
        .args(include(&format!("include/x86_64-linux-gnu/c++/{version}")))
        .args(include(&format!(
            "lib/gcc/x86_64-linux-gnu/{version}/include"
        )))
        .args(include("include/x86_64-linux-gnu"))
        .args(include("include"))
        .arg(source("library.cc"))
        .args(["-o", "library.ii"])
        .current_dir(&folder);
    let mut compile = root.on_host(&compiler);
    compile.args(OPTIONS.split(' ')).current_dir(&folder);
    for command in [&mut preprocess, &mut compile] {
        let done = host::run(command)?;
        if done.status != 0 {
            bail!("on the host: {command:?}: {done:?}");
        }
    }
    let file = folder.join("library.ii");
    let script = format!(
        "cd /root; head -c {} /dev/vdb >library.ii; /{compiler} {OPTIONS} && cat library.s",
        fs::metadata(&file)?.len()
    );
    let guest = lab.guest(&["/bin/sh", "-c", &script]).mem(96 * MIB);
    let here = with_swap(guest.fleeting_root(&root.image).disk(&file))?;
    let linux = Outcome {
        status: 0,
        output: fs::read_to_string(folder.join("library.s"))?,
    };
    compare::same(&linux, &here)
}

/// Where the compiler proper lies in a root.
fn compiler(root: &deb::Root) -> Result<String> {
    for libraries in ["usr/lib", "usr/libexec"] {
        let dir = format!("{libraries}/gcc/x86_64-linux-gnu");
        let Ok(versions) = fs::read_dir(root.tree.join(&dir)) else {
            continue;
        };
        for version in versions {
            let program = format!("{dir}/{}/cc1plus", version?.file_name().display());
            if root.tree.join(&program).exists() {
                return Ok(program);
            }
        }
    }
    bail!("g++ has brought no cc1plus");
}

/// A root of Debian packages, with files of tests/real in its folder `/tests`.
fn root(packages: &[&str], sources: &[&str]) -> Result<deb::Root> {
    let packages: Vec<String> = packages.iter().map(ToString::to_string).collect();
    let mut files = image::default_root()?;
    for name in sources {
        files.add(format!("tests/{name}"), 0o644, Node::Host(source(name)));
    }
    deb::root(&packages, &files)
}

/// A file of tests/real.
fn source(name: &str) -> PathBuf {
    paths::root().join("tests/real").join(name)
}

/// Runs a guest that has less memory than its program wants, and a disk to swap on, which must have been used.
fn with_swap(guest: Run<'_>) -> Result<Outcome> {
    let (here, counters) = guest
        .swap(512 * MIB)
        .patience(PATIENCE)
        .run_with_counters()?;
    match counters.get("swapouts") {
        Some(1..) => Ok(here),
        other => bail!("pages put to swap: {other:?}"),
    }
}

/// An error unless a program ended well and has printed this.
fn expect(here: &Outcome, output: &str) -> Result<()> {
    let expected = Outcome {
        status: 0,
        output: output.to_owned(),
    };
    compare::same(&expected, here)
}
