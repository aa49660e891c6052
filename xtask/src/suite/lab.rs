//! Guests for tests: a root with the test programs in it, started again for each test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Plan, Report};
use crate::image::{self, Image, Node};
use crate::machine::{
    self, Config, Disk, End, Failing, Finished, Input, Memory, Paging, Root, Scratch, Table,
};
use crate::{build, deb, paths, setup};

/// How long a guest may run, unless a test says otherwise.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a program left.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its status, 128 and more for a signal.
    pub status: u8,
    /// What it printed.
    pub output: String,
}

/// What guests are made of.
pub struct Lab {
    scratch: Scratch,
    config: Config,
    programs: Vec<PathBuf>,
    root: Image,
}

/// A guest that is about to be started.
pub struct Run<'a> {
    lab: &'a Lab,
    program: Vec<OsString>,
    input: Vec<u8>,
    root: Root,
    disks: Vec<Disk>,
    swap: Option<(u64, Option<Failing>)>,
    paging: Paging,
    icount: bool,
    stats: bool,
    kmem_debug: Option<String>,
    mem: u64,
    patience: Duration,
    stop_at: Option<&'static str>,
}

impl Lab {
    /// Builds all that guests are made of, unless the pattern names a group that needs none.
    pub fn ready(plan: &Plan, report: &mut Report) -> Option<Self> {
        if ["check", "host", "tool", "tsan"]
            .iter()
            .any(|group| plan.is_within(group))
        {
            return None;
        }
        let mut lab = None;
        report.test("guest/build", || {
            lab = Some(Self::new(plan.long)?);
            Ok(())
        });
        lab
    }

    /// Builds all that guests are made of.
    fn new(long: bool) -> Result<Self> {
        let scratch = Scratch::new()?;
        let mut root = image::default_root()?;
        let out = paths::work()?.join("c");
        fs::create_dir_all(&out)?;
        let mut programs = Vec::new();
        for source in c_sources()? {
            let program = out.join(stem(&source));
            build::compile_c(&source, &program, &["-pthread"])?;
            root.add(
                format!("tests/{}", stem(&source)),
                0o755,
                Node::Host(program.clone()),
            );
            programs.push(program);
        }
        for script in files("tests/shell", "sh")? {
            root.add(
                format!("tests/{}.sh", stem(&script)),
                0o644,
                Node::Host(script),
            );
        }
        if long {
            let bash = setup::ensure(&setup::BASH)?;
            root.add("bin/bash", 0o755, Node::Host(bash));
            add_dynamic(&mut root, Path::new("/usr/bin/sort"))?;
        }
        let archive = scratch.path("root");
        root.write_to(&archive)?;
        let config = Config::new(
            setup::ensure(&setup::QEMU)?,
            build::kernel()?,
            archive,
            Vec::new(),
        );
        Ok(Self {
            scratch,
            config,
            programs,
            root,
        })
    }

    /// The compiled C programs, which lie in the guest under `/tests`.
    pub fn programs(&self) -> &[PathBuf] {
        &self.programs
    }

    /// One of them, as it runs on the host.
    pub fn program(&self, name: &str) -> Result<&PathBuf> {
        let found = self.programs.iter().find(|path| stem(path) == name);
        found.with_context(|| format!("tests/c/{name}.c is missing"))
    }

    /// What lies in a guest's root.
    pub fn root(&self) -> &Image {
        &self.root
    }

    /// A name in a folder that goes with the lab.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
    }

    /// Lets a command of the host find nothing but busybox's commands, as in a guest.
    pub fn on_host<'a>(&self, command: &'a mut Command) -> Result<&'a mut Command> {
        let busybox = setup::ensure(&setup::BUSYBOX)?;
        let (bin, temporary) = (self.path("bin"), self.path("tmp"));
        if !bin.exists() {
            fs::create_dir(&bin)?;
            fs::create_dir(&temporary)?;
            let list = Command::new(&busybox)
                .arg("--list")
                .output()
                .context("busybox --list")?;
            for applet in String::from_utf8_lossy(&list.stdout).lines() {
                symlink(&busybox, bin.join(applet))?;
            }
        }
        command
            .env_clear()
            .env("PATH", &bin)
            .env("TMPDIR", &temporary)
            .current_dir(&temporary);
        Ok(command)
    }

    /// A guest whose first process is this program.
    pub fn guest(&self, program: &[&str]) -> Run<'_> {
        Run {
            lab: self,
            program: program.iter().map(OsString::from).collect(),
            input: Vec::new(),
            root: self.config.root.clone(),
            disks: Vec::new(),
            swap: None,
            paging: Paging::default(),
            icount: false,
            stats: false,
            kmem_debug: None,
            mem: self.config.mem,
            patience: PATIENCE,
            stop_at: None,
        }
    }
}

impl Run<'_> {
    /// Gives the program something to read.
    pub fn input(mut self, bytes: &[u8]) -> Self {
        self.input = bytes.to_vec();
        self
    }

    /// Attaches a disk.
    pub fn disk(mut self, file: &Path) -> Self {
        self.disks.push(file.to_path_buf().into());
        self
    }

    /// Attaches a disk with the file system that is the guest's root.
    pub fn root_disk(mut self, file: &Path) -> Self {
        self.root = Root::Disk(self.disks.len());
        self.disk(file)
    }

    /// The same with a disk whose file is not changed.
    pub fn fleeting_root(mut self, file: &Path) -> Self {
        self.root = Root::Disk(self.disks.len());
        self.disks.push(Disk::fleeting(file.to_path_buf()));
        self
    }

    /// Gives the guest these Debian packages and all that they depend on, beside the default root.
    pub fn packages(self, packages: &[&str]) -> Result<Self> {
        let packages: Vec<String> = packages.iter().map(ToString::to_string).collect();
        let root = deb::root(&packages, &image::default_root()?)?;
        Ok(self.fleeting_root(&root.image))
    }

    /// Attaches a disk that fails.
    pub fn failing_disk(mut self, file: &Path, failing: Failing) -> Self {
        self.disks.push(Disk {
            fails: Some(failing),
            ..file.to_path_buf().into()
        });
        self
    }

    /// Gives the guest a new disk of so many bytes, on which it swaps from its start on.
    pub fn swap(mut self, bytes: u64) -> Self {
        self.swap = Some((bytes, None));
        self
    }

    /// The same, and the disk fails.
    pub fn failing_swap(mut self, bytes: u64, failing: Failing) -> Self {
        self.swap = Some((bytes, Some(failing)));
        self
    }

    /// Lets the guest swap on one of its disks from its start on.
    pub fn swap_on(mut self, disk: usize, encrypt: bool) -> Self {
        self.paging.swap_disk = Some(disk);
        self.paging.encrypt = encrypt;
        self
    }

    /// Lets the guest keep compressed pages in so many bytes of memory.
    pub fn compress(mut self, bytes: u64) -> Self {
        self.paging.compress = Some(bytes);
        self
    }

    /// Lets the guest's clock run with its instructions: while it waits for a time, none passes here.
    pub fn icount(mut self) -> Self {
        self.icount = true;
        self
    }

    /// Lets the kernel watch over its own memory in these modes.
    pub fn kmem_debug(mut self, modes: &str) -> Self {
        self.kmem_debug = Some(modes.to_owned());
        self
    }

    /// Gives the guest so many bytes of memory.
    pub fn mem(mut self, bytes: u64) -> Self {
        self.mem = bytes;
        self
    }

    /// Lets the guest run so long.
    pub fn patience(mut self, seconds: u64) -> Self {
        self.patience = Duration::from_secs(seconds);
        self
    }

    /// Switches the guest off once it has printed this; its status is 0 then.
    pub fn stop_at(mut self, text: &'static str) -> Self {
        self.stop_at = Some(text);
        self
    }

    /// Runs the guest. An error unless the program ended by itself.
    pub fn run(self) -> Result<Outcome> {
        self.run_telling().map(|(outcome, _)| outcome)
    }

    /// The same; and what the kernel itself has said, line by line.
    pub fn run_telling(self) -> Result<(Outcome, Vec<String>)> {
        let (outcome, finished) = self.finish()?;
        Ok((outcome, finished.notices))
    }

    /// The same; and the tables of kernel memory that it tells of at its end.
    pub fn run_with_tables(mut self) -> Result<(Outcome, Vec<Table>)> {
        self.stats = true;
        let (outcome, finished) = self.finish()?;
        Ok((outcome, finished.tables))
    }

    /// The same; and the manager's counters at its end, by name.
    pub fn run_with_counters(mut self) -> Result<(Outcome, BTreeMap<String, u64>)> {
        self.stats = true;
        let (outcome, finished) = self.finish()?;
        let counter = |line: &String| {
            let (name, value) = line.strip_prefix("scalvm: ")?.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok((
            outcome,
            finished.notices.iter().filter_map(counter).collect(),
        ))
    }

    fn finish(mut self) -> Result<(Outcome, Finished)> {
        let scratch = Scratch::new()?;
        if let Some((bytes, fails)) = self.swap {
            self.paging.swap_disk = Some(self.disks.len());
            let file = scratch.sparse("swap", bytes)?;
            self.disks.push(Disk {
                fails,
                ..file.into()
            });
        }
        let config = Config {
            mem: self.mem,
            root: self.root,
            disks: self.disks,
            paging: self.paging,
            icount: self.icount,
            stats: self.stats,
            kmem_debug: self.kmem_debug,
            timeout: Some(self.patience),
            stop_at: self.stop_at,
            program: self.program,
            ..self.lab.config.clone()
        };
        let output = Memory::default();
        let input = if self.input.is_empty() {
            Input::Empty
        } else {
            Input::Bytes(self.input)
        };
        let finished = machine::run(&config, input, Box::new(output.clone()))?;
        let output = String::from_utf8_lossy(&output.take()).into_owned();
        let outcome = |status| Outcome {
            status,
            output: output.clone(),
        };
        match &finished.end {
            End::Exited(status) => Ok((outcome(*status), finished)),
            End::Crashed { what, trace } => bail!("{what}\n{}\nafter:\n{output}", trace.join("\n")),
            End::TimedOut { after, trace } => bail!(
                "not done after {} seconds\n{}\nafter:\n{output}",
                after.as_secs(),
                trace.join("\n")
            ),
            End::Left => Ok((outcome(0), finished)),
            End::Signalled(_) => bail!("interrupted"),
        }
    }
}

/// The sources of the C programs.
fn c_sources() -> Result<Vec<PathBuf>> {
    files("tests/c", "c")
}

/// Adds a program of this machine under `/debian`, and the libraries that it is linked to at the same
/// places as here.
pub fn add_dynamic(root: &mut Image, program: &Path) -> Result<()> {
    let name = program.file_name().context("a program")?.to_string_lossy();
    let here = Node::Host(fs::canonicalize(program)?);
    root.add(format!("debian/{name}"), 0o755, here);
    let listed = Command::new("ldd").arg(program).output()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for library in listed
        .split_whitespace()
        .filter_map(|word| word.strip_prefix('/'))
    {
        let here = Node::Host(fs::canonicalize(Path::new("/").join(library))?);
        root.add(library, 0o755, here);
    }
    Ok(())
}

/// The files of a folder of the checkout that end so, in order.
pub fn files(dir: &str, extension: &str) -> Result<Vec<PathBuf>> {
    let dir = paths::root().join(dir);
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file's name without its end.
pub fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
