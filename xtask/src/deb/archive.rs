//! Which packages are needed, and their files, by apt.
//!
//! apt is told that nothing is installed. What it would install then is what the packages depend on
//! (`Pre-Depends` and `Depends`, not what is only recommended), in versions that go together; it names
//! those files, and fetches the ones that are not here yet. Nothing of the host's own packages changes, and no
//! special rights are needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup;

/// The files of packages and of all that they depend on, in an order in which they can be installed. They
/// are kept in `work`.
pub fn fetch(packages: &[String], work: &Path) -> Result<Vec<PathBuf>> {
    setup::ensure(&setup::APT_GET)?;
    let (archives, none) = (work.join("archives"), work.join("none"));
    for dir in [&archives, &none] {
        fs::create_dir_all(dir.join("partial"))?;
    }
    fs::write(none.join("status"), "")?;
    // What is in the folder of archives is not named, so an empty one is given here.
    let list = || apt(&none, &none, "--print-uris", packages);
    let wanted = list().or_else(|error| {
        // A fresh machine has no package lists, or old ones.
        setup::update_packages().context(error)?;
        list()
    })?;
    let files: Vec<PathBuf> = file_names(&wanted)
        .map(|name| archives.join(name))
        .collect();
    if files.is_empty() {
        bail!("apt-get names no files for {}", packages.join(", "));
    }
    if !files.iter().all(|file| file.exists()) {
        apt(&none, &archives, "--download-only", packages)?;
    }
    match files.iter().find(|file| !file.exists()) {
        Some(file) => bail!("apt-get has not brought {}", file.display()),
        None => Ok(files),
    }
}

/// One call of apt-get, in a world where nothing is installed: the folder `none` says so. What it prints.
fn apt(none: &Path, archives: &Path, verb: &str, packages: &[String]) -> Result<String> {
    let option = |name: &str, value: &Path| format!("-o{name}={}", value.display());
    let output = Command::new("apt-get")
        .arg(option("Dir::State::status", &none.join("status")))
        .arg(option("Dir::Cache", none))
        .arg(option("Dir::Cache::archives", archives))
        .args(["-oDebug::NoLocking=1", "-oAPT::Sandbox::User="])
        .args(["--no-install-recommends", "-qq", "-y", verb, "install"])
        .args(packages)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .context("apt-get")?;
    if !output.status.success() {
        let complaints = String::from_utf8_lossy(&output.stderr);
        bail!("apt-get: {}", complaints.trim().replace('\n', "; "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The names in lines of `'where' name size hash`.
fn file_names(lines: &str) -> impl Iterator<Item = &str> {
    lines
        .lines()
        .filter(|line| line.starts_with('\''))
        .filter_map(|line| line.split_whitespace().nth(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let lines = "Reading package lists...\n\
                     'http://x/z/zlib1g_1.2_amd64.deb' zlib1g_1%3a1.2_amd64.deb 8 MD5Sum:0\n\
                     'http://x/l/lua_5_amd64.deb' lua_5_amd64.deb 353348 \n";
        let names: Vec<_> = file_names(lines).collect();
        assert_eq!(names, ["zlib1g_1%3a1.2_amd64.deb", "lua_5_amd64.deb"]);
    }
}
