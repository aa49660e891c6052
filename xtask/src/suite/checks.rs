//! Format, lints and documentation, of the workspace and of the kernel.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::{Plan, Report};
use crate::setup::{CLIPPY, Toolchain, ensure_component, running_cargo};
use crate::{build, paths};

/// The most lines that are shown of a command that failed.
const SHOWN: usize = 100;

/// Runs the checks.
pub fn run(plan: &Plan, report: &mut Report) {
    let mut check = |name: &str, command: &dyn Fn() -> Result<Command>| {
        if plan.wants(name) {
            report.test(name, || quietly(command()?));
        }
    };
    check("check/fmt", &|| {
        ensure_component("fmt", "rustfmt", "rustfmt-web")?;
        Ok(workspace(&[
            "fmt",
            "--all",
            "--check",
            "--",
            "--color=never",
        ]))
    });
    check("check/fmt-kernel", &|| {
        let mut command = workspace(&["fmt", "--check", "--", "--color=never"]);
        command.current_dir(paths::root().join("kernel"));
        Ok(command)
    });
    check("check/clippy", &|| {
        ensure_component("clippy", "clippy", CLIPPY)?;
        let words = [
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-Dwarnings",
        ];
        Ok(workspace(&words))
    });
    check("check/clippy-kernel", &|| {
        let toolchain = Toolchain::ensure()?;
        toolchain.ensure_clippy()?;
        let mut command = toolchain.cargo("clippy");
        build::kernel_settings(&mut command);
        command
            .args(["--quiet", "--release", "--target-dir"])
            .arg(paths::target().join("kernel-checks"))
            .args(["--", "-Dwarnings"])
            .current_dir(paths::root().join("kernel"));
        Ok(command)
    });
    check("check/docs", &|| {
        let mut command = workspace(&["doc", "--quiet", "--workspace", "--no-deps"]);
        command.env("RUSTDOCFLAGS", "-Dwarnings");
        Ok(command)
    });
}

/// A command of the running cargo in the checkout's root.
pub fn workspace(words: &[&str]) -> Command {
    let mut command = Command::new(running_cargo());
    command.args(words).current_dir(paths::root());
    command
}

/// Runs a command; what it prints is shown only when it fails.
fn quietly(mut command: Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    bail!("{}", beginning(&String::from_utf8_lossy(&text)));
}

/// The first lines of a text: what comes first usually explains the rest.
pub fn beginning(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut shown = lines[..lines.len().min(SHOWN)].join("\n");
    if lines.len() > SHOWN {
        shown += &format!("\n… and {} lines more", lines.len() - SHOWN);
    }
    shown
}
