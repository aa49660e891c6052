//! Builds what the guest is made of: the kernel, and C programs.

use std::ffi::OsStr;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup::{self, Toolchain};
use crate::{paths, say};

/// How C programs are compiled: as vmbench always was, so that its figures stay comparable.
const CFLAGS: [&str; 6] = [
    "-std=c11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wconversion",
];

/// Builds the kernel in release, with frame pointers and line tables, and returns its ELF file.
/// Cargo decides whether there is anything to do.
pub fn kernel() -> Result<PathBuf> {
    let source = paths::root().join("kernel");
    if !source.join("Cargo.toml").exists() {
        bail!("there is no kernel to build: kernel/Cargo.toml is missing");
    }
    let target = paths::target().join("kernel");
    let mut command = Toolchain::ensure()?.cargo("build");
    kernel_settings(&mut command);
    command.arg("--release");
    if !std::io::stderr().is_terminal() {
        command.arg("--quiet");
    }
    let status = command
        .current_dir(&source)
        .arg("--target-dir")
        .arg(&target)
        .status();
    if !status.context("starting cargo for the kernel")?.success() {
        bail!("the kernel does not build");
    }
    Ok(Toolchain::release_dir(&target).join("scalvm-kernel"))
}

/// Settings that backtraces and profiles rest on, whatever the kernel's manifest says.
pub fn kernel_settings(command: &mut Command) {
    command
        .args([
            "--config",
            r#"target.x86_64-unknown-none.rustflags=["-Cforce-frame-pointers=yes"]"#,
        ])
        .args(["--config", "profile.release.debug=1"]);
}

/// vmbench and the program that its exec tests run.
pub struct Vmbench {
    /// The measuring program.
    pub vmbench: PathBuf,
    /// The smallest program there is.
    pub exit0: PathBuf,
}

/// Compiles vmbench, if its source is newer than what was compiled.
pub fn vmbench() -> Result<Vmbench> {
    let source = paths::root().join("bench/vmbench");
    let out = paths::work()?;
    let built = Vmbench {
        vmbench: out.join("vmbench"),
        exit0: out.join("exit0"),
    };
    compile_c(&source.join("vmbench.c"), &built.vmbench, &["-pthread"])?;
    let bare = [
        "-nostdlib",
        "-fno-asynchronous-unwind-tables",
        "-Wl,--build-id=none",
    ];
    compile_c(&source.join("exit0.c"), &built.exit0, &bare)?;
    Ok(built)
}

/// Compiles one C file to a static program, if it or a header in its folder is newer than the program.
pub fn compile_c(source: &Path, program: &Path, flags: &[&str]) -> Result<()> {
    let age = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    let mut wanted = age(source).with_context(|| source.display().to_string())?;
    for header in headers(source.parent().unwrap_or(Path::new(".")))? {
        wanted = wanted.max(age(&header)?);
    }
    if age(program).is_ok_and(|built| built > wanted) {
        return Ok(());
    }
    let compiler = setup::ensure(&setup::MUSL_GCC)?;
    say::note(format_args!("compiling {}", name_of(source).display()));
    let output = Command::new(compiler)
        .args(CFLAGS)
        .args(["-static", "-s"])
        .args(flags)
        .arg("-o")
        .args([program, source])
        .output()?;
    if !output.status.success() {
        bail!(
            "{}:\n{}",
            source.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// The C headers in a folder and the folders within.
fn headers(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.append(&mut headers(&path)?);
        } else if path.extension().is_some_and(|end| end == "h") {
            found.push(path);
        }
    }
    Ok(found)
}

/// The last part of a path.
fn name_of(path: &Path) -> &Path {
    Path::new(path.file_name().unwrap_or(OsStr::new("")))
}
