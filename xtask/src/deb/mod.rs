//! Debian packages, and all that they depend on, as a guest's root file system.
//!
//! [`archive`] finds out by apt which packages these are and fetches them, [`tree`] unpacks them into
//! a folder beside the default root, and that becomes a disk's image. Maintainers' scripts are not
//! run: a package's files are all that a guest gets of it.
//!
//! All of it is kept under `target/xtask/deb/`: the archive's files in `archives`, and in `roots` a folder for
//! each set of packages, versions and further files that was asked for. A root is made under another name and
//! renamed when it is whole, so that what is there can be used.

mod archive;
mod tree;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::image::{Image, ext2};
use crate::{paths, say};

/// The name, in a root's folder, of the list of what it was made of.
const CONTENTS: &str = "contents";

/// Bytes that are left on a disk for what a guest writes. They take room on the host's when they are written.
const FREE: u64 = 512 << 20;
/// Bytes of a disk's block.
const BLOCK: u64 = 4096;

/// A root file system of Debian packages. Guests are not to write to it.
pub struct Root {
    /// The folder with all of its files, for who wants to look a file up, or to run it on the host.
    pub tree: PathBuf,
    /// The image of a disk with an ext2 file system that holds the same.
    pub image: PathBuf,
}

impl Root {
    /// A program of the root as a command of the host, with the root's own loader and libraries.
    pub fn on_host(&self, program: &str) -> Command {
        let libraries = self.tree.join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command
            .arg("--library-path")
            .args([libraries, self.tree.join(program)]);
        command
    }
}

/// The root of these packages. `others` are files that it has as well, where no package has one of
/// the same name.
pub fn root(packages: &[String], others: &Image) -> Result<Root> {
    let work = paths::work()?.join("deb");
    let packages = archive::fetch(packages, &work)?;
    let contents = contents(&packages, others)?;
    let mut hasher = DefaultHasher::new();
    contents.hash(&mut hasher);
    let dir = work.join("roots").join(format!("{:016x}", hasher.finish()));
    if !dir.exists() {
        make(&dir, &packages, others, &contents)?;
    }
    if fs::read_to_string(dir.join(CONTENTS))? != contents {
        bail!("{} is another root; remove it", dir.display());
    }
    Ok(at(&dir))
}

/// What a root is made of, a line for each package and each further file.
fn contents(packages: &[PathBuf], others: &Image) -> Result<String> {
    let mut lines = String::new();
    for package in packages {
        let name = package.file_name().context("a package's file")?;
        lines += &format!("{}\n", name.display());
    }
    Ok(lines + &others.describe()?)
}

/// A root in this folder.
fn at(dir: &Path) -> Root {
    Root {
        tree: dir.join("tree"),
        image: dir.join("image"),
    }
}

/// Makes a root, with the list of what it is made of, in a folder that appears when all of it is there.
fn make(dir: &Path, packages: &[PathBuf], others: &Image, contents: &str) -> Result<()> {
    say::note(format_args!("making a root of {} packages", packages.len()));
    let unfinished = dir.with_extension(std::process::id().to_string());
    let root = at(&unfinished);
    fs::create_dir_all(&root.tree)?;
    let made = tree::unpack(packages, &root.tree)
        .and_then(|()| others.put_into(&root.tree))
        .and_then(|()| ext2::make(&root.image, room(&root.tree)?, Some(&root.tree)))
        .and_then(|()| Ok(fs::write(unfinished.join(CONTENTS), contents)?));
    if made.is_err() {
        // What could not be finished is of no use; the error tells more than that it stays.
        let _ = fs::remove_dir_all(&unfinished);
        return made;
    }
    match fs::rename(&unfinished, dir) {
        // Somebody else has made the same one meanwhile.
        Err(_) if dir.exists() => Ok(fs::remove_dir_all(&unfinished)?),
        renamed => Ok(renamed?),
    }
}

/// Bytes of a disk that has room for a folder, and some more.
fn room(tree: &Path) -> Result<u64> {
    // Large files have blocks with the numbers of others, and there are tables of files and free blocks.
    Ok((taken(tree)? / 8 * 9 + FREE).next_multiple_of(BLOCK))
}

/// Bytes that a folder takes in whole blocks, with all that it holds.
fn taken(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let data = entry.metadata()?;
        bytes += data.len().next_multiple_of(BLOCK).max(BLOCK);
        if data.is_dir() {
            bytes += taken(&entry.path())?;
        }
    }
    Ok(bytes)
}
