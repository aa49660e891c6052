//! The Rust toolchain that builds the kernel for `x86_64-unknown-none`.
//!
//! Three ways, the first that works: the running toolchain has the target; `rustup target add`
//! brings it; or Debian's rustc builds the target's libraries from their source beside the kernel.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{apt, in_path};
use crate::{paths, say};

/// The target that the kernel is built for.
const TARGET: &str = "x86_64-unknown-none";

/// Debian's packages for the third way.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// Debian's package of clippy for that toolchain.
pub const CLIPPY: &str = "rust-web-clippy";

/// The compiler among them.
pub const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// How long rustup may take before it counts as not working.
const RUSTUP_PATIENCE: Duration = Duration::from_secs(120);

/// A way to build for the bare target.
pub enum Toolchain {
    /// The toolchain that runs this tool has the target's libraries.
    Installed,
    /// Debian's rustc, the target's libraries built from source.
    FromSource,
}

impl Toolchain {
    /// Finds a toolchain, and installs what it needs if it must.
    pub fn ensure() -> Result<Self> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        if rustup_add()? {
            return Ok(Self::Installed);
        }
        apt::install(&PACKAGES, "builds the kernel for the bare target").with_context(|| {
            format!(
                "the target {TARGET} is missing, and `rustup target add {TARGET}` did not bring it"
            )
        })?;
        match Self::find() {
            Some(found) => Ok(found),
            None => bail!(
                "{} are installed, but no rustc among them builds for {TARGET}",
                PACKAGES.join(" ")
            ),
        }
    }

    /// A toolchain that is already there.
    pub fn find() -> Option<Self> {
        if installed() {
            return Some(Self::Installed);
        }
        debian_is_there().then_some(Self::FromSource)
    }

    /// What this is, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Installed => format!("target {TARGET} of the running toolchain"),
            Self::FromSource => format!("/usr/bin/rustc, {TARGET} built from source"),
        }
    }

    /// A cargo command for the bare target, to be run in the kernel's folder.
    pub fn cargo(&self, verb: &str) -> Command {
        let mut command = match self {
            Self::Installed => without_settings(Command::new(running_cargo())),
            Self::FromSource => debian_cargo(),
        };
        command.arg(verb);
        if let Self::FromSource = self {
            command
                .env("CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER", "ld.lld")
                .arg("-Zbuild-std=core,alloc,compiler_builtins")
                .arg("-Zbuild-std-features=compiler-builtins-mem");
        }
        command.args(["--target", TARGET]);
        command
    }

    /// Installs clippy for this toolchain where it is missing.
    pub fn ensure_clippy(&self) -> Result<()> {
        match self {
            Self::Installed => ensure_component("clippy", "clippy", CLIPPY),
            Self::FromSource if Path::new("/usr/bin/cargo-clippy").exists() => Ok(()),
            Self::FromSource => apt::install(&[CLIPPY], "checks the kernel's sources"),
        }
    }

    /// Where cargo leaves what it built in release, inside its target folder.
    pub fn release_dir(target: &Path) -> PathBuf {
        target.join(TARGET).join("release")
    }
}

/// Installs Debian's toolchain and the source of its libraries where they are missing.
pub fn ensure_debian(purpose: &str) -> Result<()> {
    if !debian_is_there() {
        apt::install(&PACKAGES, purpose)?;
    }
    Ok(())
}

fn debian_is_there() -> bool {
    Path::new("/usr/lib/rustlib/src/rust/library/core").exists()
        && Path::new("/usr/bin/cargo").exists()
        && Path::new(DEBIAN_RUSTC).exists()
        && in_path("ld.lld").is_some()
}

/// Debian's cargo, with what is not stable allowed.
pub fn debian_cargo() -> Command {
    let mut command = without_settings(Command::new("/usr/bin/cargo"));
    // Cargo's subcommands must be of the same toolchain.
    let path = std::env::var_os("PATH").unwrap_or_default();
    command
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("PATH", before("/usr/bin", &path))
        .env("RUSTC", DEBIAN_RUSTC)
        .env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Settings of the tool's own build must not leak into another one.
fn without_settings(mut command: Command) -> Command {
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        command.env_remove(name);
    }
    command
}

/// A search path with a folder before all others.
fn before(dir: &str, path: &OsStr) -> OsString {
    let mut first = OsString::from(dir);
    first.push(":");
    first.push(path);
    first
}

/// Installs a subcommand of the running cargo where it is missing: by rustup, else by Debian.
pub fn ensure_component(verb: &str, component: &str, package: &str) -> Result<()> {
    let works = || {
        let output = Command::new(running_cargo())
            .args([verb, "--version"])
            .output();
        output.is_ok_and(|output| output.status.success())
    };
    if works() {
        return Ok(());
    }
    if in_path("rustup").is_some() {
        say::note(format_args!(
            "installing {component} (rustup component add)"
        ));
        let add = Command::new("rustup")
            .args(["component", "add", component])
            .output()?;
        if !add.status.success() {
            bail!(
                "cargo {verb} is missing, and `rustup component add {component}` fails: {}",
                String::from_utf8_lossy(&add.stderr).trim()
            );
        }
    } else {
        apt::install(&[package], "checks the sources")?;
    }
    if !works() {
        bail!("{component} is installed, but cargo {verb} does not work");
    }
    Ok(())
}

/// The cargo that runs this tool.
pub fn running_cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Whether the running toolchain has the target's libraries.
fn installed() -> bool {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    output.is_ok_and(|output| {
        let dir = String::from_utf8_lossy(&output.stdout);
        output.status.success()
            && std::fs::read_dir(dir.trim()).is_ok_and(|mut files| files.next().is_some())
    })
}

/// Tries `rustup target add` once for each toolchain; a failure is remembered, so that later
/// starts do not wait for it again.
fn rustup_add() -> Result<bool> {
    if in_path("rustup").is_none() {
        return Ok(false);
    }
    let version = Command::new("rustc").arg("--version").output()?.stdout;
    let memory = paths::work()?.join("rustup-failed");
    if std::fs::read(&memory).is_ok_and(|failed| failed == version) {
        return Ok(false);
    }
    say::note(format_args!(
        "installing the target {TARGET} (rustup target add)"
    ));
    let mut child = Command::new("rustup")
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let start = Instant::now();
    let done = loop {
        if let Some(status) = child.try_wait()? {
            break status.success();
        }
        if start.elapsed() > RUSTUP_PATIENCE {
            child.kill()?;
            child.wait()?;
            break false;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    if done && installed() {
        return Ok(true);
    }
    say::note("rustup could not install it; falling back to Debian's toolchain");
    std::fs::write(memory, version)?;
    Ok(false)
}
