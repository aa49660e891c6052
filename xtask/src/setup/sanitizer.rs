//! The thread sanitizer: Debian's rustc, the standard library built along with it from source, and
//! clang's runtime of the same LLVM.
//!
//! The library must be built anew since its locks and channels order what threads do: of those that
//! are not instrumented the sanitizer would know nothing, and report races that are none.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::toolchain::{DEBIAN_RUSTC, debian_cargo, ensure_debian};
use super::{SYMBOLIZER, apt, ensure};
use crate::paths;

/// The target of instrumented programs.
const TARGET: &str = "x86_64-unknown-linux-gnu";

const PURPOSE: &str = "finds races between threads";

/// What instrumented programs are built with.
pub struct ThreadSanitizer {
    /// Linked into them.
    runtime: PathBuf,
    /// Started by them.
    symbolizer: PathBuf,
}

impl ThreadSanitizer {
    /// Finds what is needed, and installs what is missing.
    pub fn ensure() -> Result<Self> {
        ensure_debian(PURPOSE)?;
        let llvm = llvm_version()?;
        let folder = format!("/usr/lib/llvm-{llvm}/lib/clang/{llvm}/lib/linux");
        let runtime = Path::new(&folder).join("libclang_rt.tsan-x86_64.a");
        if !runtime.exists() {
            apt::install(&[&format!("libclang-rt-{llvm}-dev")], PURPOSE)?;
        }
        Ok(Self {
            runtime,
            symbolizer: ensure(&SYMBOLIZER)?,
        })
    }

    /// A cargo command that builds instrumented programs, or runs them: they end with a status of
    /// their own where they raced. What matches a line of the file `suppressions` is not reported.
    pub fn cargo(&self, verb: &str, suppressions: &Path) -> Command {
        let mut flags = vec!["-Zsanitizer=thread".into(), "-Zexternal-clangrt".into()];
        let linked = [
            "-fuse-ld=lld",
            "-Wl,--whole-archive",
            &self.runtime.to_string_lossy(),
            "-Wl,--no-whole-archive",
            "-lm",
            "-lpthread",
            "-ldl",
            "-lrt",
            "-lc",
        ];
        flags.extend(linked.map(|argument| format!("-Clink-arg={argument}")));
        let mut options = OsString::from("external_symbolizer_path=");
        options.push(&self.symbolizer);
        options.push(":suppressions=");
        options.push(suppressions);
        let mut command = debian_cargo();
        command
            .arg(verb)
            .arg("-Zbuild-std=std,panic_unwind")
            .args(["--target", TARGET, "--target-dir"])
            .arg(paths::target().join("tsan"))
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env("TSAN_OPTIONS", options)
            .current_dir(paths::root());
        command
    }
}

/// The major version of the LLVM that Debian's rustc has.
fn llvm_version() -> Result<String> {
    let output = Command::new(DEBIAN_RUSTC).arg("-vV").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "));
    line.and_then(|version| version.split('.').next())
        .map(str::to_owned)
        .with_context(|| format!("{DEBIAN_RUSTC} -vV does not tell the version of LLVM"))
}
