//! Packages unpacked into one folder.
//!
//! A Debian system has `/bin`, `/lib` and the like as links into `/usr`, but packages still hold files under both
//! names. So each one is unpacked by itself, and what it has is moved to where the links lead. What a package holds
//! is never reached through a link, so none can lead out of the folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup;

/// Folders whose contents lie in `/usr`.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Unpacks packages into a folder.
pub fn unpack(packages: &[PathBuf], tree: &Path) -> Result<()> {
    let dpkg_deb = setup::ensure(&setup::DPKG_DEB)?;
    let usr = tree.join("usr");
    fs::create_dir_all(&usr)?;
    let package_tree = tree.with_extension("package");
    for package in packages {
        let output = Command::new(&dpkg_deb)
            .arg("-x")
            .args([package, &package_tree])
            .output()
            .context("starting dpkg-deb")?;
        if !output.status.success() {
            bail!(
                "unpacking {}: {}",
                package.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        for name in MERGED {
            let from = package_tree.join(name);
            if from.exists() {
                merge(&from, &usr.join(name))?;
            }
        }
        merge(&package_tree, tree)?;
    }
    for name in MERGED {
        // Programs look for their loader in /lib64, whoever has brought it.
        if usr.join(name).exists() {
            symlink(format!("usr/{name}"), tree.join(name))?;
        }
    }
    Ok(())
}

/// Moves a folder to a place where there may be one already, with all that it holds.
fn merge(from: &Path, to: &Path) -> Result<()> {
    match fs::symlink_metadata(to) {
        Err(_) => {
            return fs::rename(from, to).with_context(|| format!("making {}", to.display()));
        }
        Ok(there) if !there.is_dir() => {
            bail!(
                "{} is a folder in one package, not in another",
                to.display()
            );
        }
        Ok(_) => {}
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            merge(&entry.path(), &to)?;
        } else {
            fs::rename(entry.path(), &to).with_context(|| format!("making {}", to.display()))?;
        }
    }
    fs::remove_dir(from)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Scratch;

    #[test]
    fn folders_are_merged() {
        let scratch = Scratch::new().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = scratch.path(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        file("old/lib/a", "1");
        file("old/lib/b/c", "1");
        file("new/lib/a", "2");
        file("new/lib/b/d", "2");
        file("new/etc/e", "2");
        merge(&scratch.path("new"), &scratch.path("old")).expect("merged");
        let text = |name: &str| fs::read_to_string(scratch.path("old").join(name)).ok();
        let texts = ["lib/a", "lib/b/c", "lib/b/d", "etc/e"].map(text);
        assert_eq!(texts.map(Option::unwrap_or_default), ["2", "1", "2", "2"]);
        assert!(!scratch.path("new").exists());
        file("new/etc/e/f", "3");
        assert!(merge(&scratch.path("new"), &scratch.path("old")).is_err());
    }
}
