//! Installs Debian packages where that is allowed.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::in_path;
use crate::say;

/// Installs packages, or says which they are and why they cannot be installed from here.
pub fn install(packages: &[&str], purpose: &str) -> Result<()> {
    let packages: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|name| !is_installed(name))
        .collect();
    let packages = &packages[..];
    let list = packages.join(" ");
    let Some(prefix) = privilege() else {
        bail!(
            "missing: {list} ({purpose}). Install it with `apt-get install {list}` as root, or \
             the same tools by your system's own means"
        );
    };
    say::note(format_args!("installing {list} ({purpose})"));
    if get(
        prefix,
        &["install", "-y", "--no-install-recommends"],
        packages,
    )
    .is_ok()
    {
        return Ok(());
    }
    // A fresh machine has no package lists, or old ones.
    update()?;
    get(
        prefix,
        &["install", "-y", "--no-install-recommends"],
        packages,
    )
    .with_context(|| format!("installing {list}"))
}

/// Brings the lists of packages up to date, or says why that cannot be done from here.
pub fn update() -> Result<()> {
    let Some(prefix) = privilege() else {
        bail!("the lists of packages may be old: run `apt-get update` as root");
    };
    say::note("updating the lists of packages");
    get(prefix, &["update"], &[])
}

/// Whether Debian's package is installed.
fn is_installed(package: &str) -> bool {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f=${Status}", package])
        .output();
    output.is_ok_and(|output| output.stdout.ends_with(b" installed"))
}

/// How apt-get can be started with the rights that it needs; `None` where it cannot.
fn privilege() -> Option<&'static [&'static str]> {
    in_path("apt-get")?;
    if rustix::process::geteuid().is_root() {
        return Some(&["apt-get"]);
    }
    let sudo = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    sudo.is_ok_and(|status| status.success()).then_some(&[
        "sudo",
        "-n",
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
    ])
}

/// One call of apt-get; what it prints is shown only when it fails.
fn get(prefix: &[&str], verb: &[&str], packages: &[&str]) -> Result<()> {
    let output = Command::new(prefix[0])
        .args(&prefix[1..])
        .args(verb)
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        bail!(
            "apt-get {}: {}",
            verb[0],
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
