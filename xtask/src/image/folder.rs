//! An image beside other files in a folder of the host.

use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{Entry, Image, Node};

impl Image {
    /// Puts the image's files into a folder, but for those whose names are taken there. A link of the
    /// folder may lead to where one comes to lie, though not out of it.
    pub fn put_into(&self, dir: &Path) -> Result<()> {
        let dir = fs::canonicalize(dir)?;
        for (name, entry) in &self.entries {
            let path = dir.join(OsStr::from_bytes(name));
            if fs::symlink_metadata(&path).is_ok() {
                continue;
            }
            // Folders come before what they hold, so this one is there.
            let parent = path.parent().context("a name")?;
            if !fs::canonicalize(parent)?.starts_with(&dir) {
                bail!("{} leads out of the root", parent.display());
            }
            put(entry, &path).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// A line for each name, which is another one when what it stands for is likely to be.
    pub fn describe(&self) -> Result<String> {
        let mut lines = String::new();
        for (name, Entry { node, mode }) in &self.entries {
            write!(lines, "{} {mode:o} ", name.escape_ascii())?;
            match node {
                Node::Dir => lines += "folder",
                Node::Link(to) => write!(lines, "-> {}", to.escape_ascii())?,
                Node::Bytes(bytes) => write!(lines, "{}", bytes.escape_ascii())?,
                Node::Host(path) => {
                    let data = fs::metadata(path).with_context(|| path.display().to_string())?;
                    let changed = data.modified()?;
                    write!(lines, "{} {} {changed:?}", path.display(), data.len())?;
                }
            }
            lines.push('\n');
        }
        Ok(lines)
    }
}

/// Puts one node to a path where there is none.
fn put(Entry { node, mode }: &Entry, path: &Path) -> io::Result<()> {
    match node {
        Node::Dir => fs::create_dir(path)?,
        Node::Link(to) => return symlink(OsStr::from_bytes(to), path),
        Node::Bytes(bytes) => fs::write(path, bytes)?,
        Node::Host(from) => fs::copy(from, path).map(|_| ())?,
    }
    fs::set_permissions(path, fs::Permissions::from_mode(*mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Scratch;

    #[test]
    fn what_is_there_stays() {
        let scratch = Scratch::new().expect("a folder");
        let dir = scratch.path("root");
        fs::create_dir_all(dir.join("usr/bin")).expect("a folder");
        symlink("usr/bin", dir.join("bin")).expect("a link");
        fs::write(dir.join("usr/bin/sh"), "dash").expect("a file");
        let mut image = Image::default();
        image.add("bin/sh", 0o755, Node::Bytes(b"ash".to_vec()));
        image.add("bin/ls", 0o777, Node::Link(b"busybox".to_vec()));
        image.add("tmp", 0o1777, Node::Dir);
        image.put_into(&dir).expect("room");
        assert_eq!(
            fs::read(dir.join("bin/sh")).ok().as_deref(),
            Some(&b"dash"[..])
        );
        let link = fs::read_link(dir.join("usr/bin/ls")).expect("a link");
        assert_eq!(link, Path::new("busybox"));
        let mode = fs::metadata(dir.join("tmp"))
            .expect("a folder")
            .permissions();
        assert_eq!(mode.mode() & 0o7777, 0o1777);

        symlink("/", dir.join("out")).expect("a link");
        image.add("out/file", 0o644, Node::Bytes(Vec::new()));
        let error = image.put_into(&dir).expect_err("outside");
        assert!(error.to_string().contains("leads out"), "{error:#}");
    }
}
