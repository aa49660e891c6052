//! `cargo xtask run`: a guest for a user.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cli::{Policy, RunOptions};
use crate::image::{self, Image};
use crate::machine::{self, Config, Console, Disk, Input, Paging, Root, Scratch, terminal};
use crate::{build, deb, paths, say, setup};

/// What runs when no program is named.
const SHELL: [&str; 2] = ["/bin/sh", "-l"];

/// Runs a guest; the status that this command ends with.
pub fn run(options: RunOptions) -> Result<u8> {
    for disk in &options.disks {
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(disk)
            .with_context(|| format!("the disk {}", disk.display()))?;
    }
    let scratch = Scratch::new()?;
    let mut disks = Vec::new();
    let (files, root) = if options.packages.is_empty() {
        let files = match &options.root {
            Some(dir) => image::host_root(dir)?,
            None => image::default_root()?,
        };
        let archive = scratch.path("root");
        files.write_to(&archive)?;
        (files, Root::Archive(archive))
    } else {
        let root = deb::root(&options.packages, &image::default_root()?)?;
        disks.push(Disk::fleeting(root.image));
        (image::host_root(&root.tree)?, Root::Disk(0))
    };
    let program = program(&files, options.program)?;
    disks.extend(options.disks.into_iter().map(Disk::from));
    let mut paging = Paging {
        encrypt: options.swap_encrypt,
        compress: options.compress,
        policy: options.policy.map(Policy::name),
        ..Paging::default()
    };
    if let Some(size) = options.swap {
        paging.swap_disk = Some(disks.len());
        disks.push(scratch.sparse("swap", size)?.into());
    }
    let interactive = terminal::present();
    let (rows, cols) = terminal::size();
    let qemu = setup::ensure(&setup::QEMU)?;
    let console = if interactive {
        Console::Terminal { rows, cols }
    } else {
        Console::Raw
    };
    let config = Config {
        mem: options.mem,
        disks,
        paging,
        icount: options.icount,
        stats: options.stats,
        kmem_debug: options.kmem_debug,
        timeout: options.timeout.map(Duration::from_secs),
        notices: true,
        gdb: options.gdb,
        console,
        ..Config::new(qemu, build::kernel()?, root, program)
    };
    if config.gdb {
        tell_debugger(&config.kernel);
    }
    let raw = if interactive {
        Some(terminal::Raw::enter()?)
    } else {
        None
    };
    let input = if interactive {
        Input::Keyboard
    } else {
        Input::Host
    };
    let finished = machine::run(&config, input, Box::new(std::io::stdout()));
    drop(raw);
    let finished = finished?;
    for table in &finished.tables {
        eprint!("{table}");
    }
    finished.end.tell();
    Ok(finished.end.status())
}

/// The program to run, found in the root, with its arguments.
fn program(root: &Image, words: Vec<OsString>) -> Result<Vec<OsString>> {
    let mut words = if words.is_empty() {
        SHELL.map(OsString::from).to_vec()
    } else {
        words
    };
    match root.program(words[0].as_bytes()) {
        Some(path) => words[0] = OsString::from_vec(path),
        None => bail!("the root has no program {}", words[0].display()),
    }
    Ok(words)
}

/// Says how to attach a debugger.
fn tell_debugger(kernel: &Path) {
    let kernel = kernel.strip_prefix(paths::root()).unwrap_or(kernel);
    say::note(format_args!(
        "waiting for a debugger: gdb {} -ex 'target remote :1234'",
        kernel.display()
    ));
}
