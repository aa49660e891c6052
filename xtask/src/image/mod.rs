//! The guest's root file system: as a newc cpio archive, or beside other files in a folder.

mod cpio;
mod default_root;
pub mod ext2;
mod folder;
mod host_root;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use default_root::default_root;
pub use host_root::host_root;

/// What a name in the image stands for.
pub enum Node {
    /// A folder.
    Dir,
    /// A symbolic link, by what it points at.
    Link(Vec<u8>),
    /// A file made here.
    Bytes(Vec<u8>),
    /// A file of the host, read when the archive is written.
    Host(PathBuf),
}

/// One name with its permission bits (as in `07777`).
struct Entry {
    node: Node,
    mode: u32,
}

/// A tree of files that becomes an archive. Everything in it belongs to root.
///
/// Invariant: names have neither a leading nor a trailing slash; every name's folder is in the
/// image too, and so comes before it in the order of the names.
#[derive(Default)]
pub struct Image {
    entries: BTreeMap<Vec<u8>, Entry>,
}

impl Image {
    /// Puts a node under a name, in place of what was there, with the folders that it needs.
    pub fn add(&mut self, name: impl Into<Vec<u8>>, mode: u32, node: Node) {
        let name = name.into();
        if let Some(slash) = name.iter().rposition(|&byte| byte == b'/') {
            self.ensure_dir(&name[..slash]);
        }
        self.entries.insert(name, Entry { node, mode });
    }

    /// Makes a folder unless the name is taken.
    pub fn ensure_dir(&mut self, name: &[u8]) {
        if !self.entries.contains_key(name) {
            self.add(name, 0o755, Node::Dir);
        }
    }

    /// Finds the program that a user means: a path from the root, or a bare name to be looked up
    /// where programs lie. `None` if the image has no such file.
    pub fn program(&self, name: &[u8]) -> Option<Vec<u8>> {
        if name.contains(&b'/') {
            return self.is_file(name).then(|| name.to_vec());
        }
        ["/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/"]
            .iter()
            .map(|dir| [dir.as_bytes(), name].concat())
            .find(|path| self.is_file(path))
    }

    /// Whether a path leads to a file, through links if need be.
    fn is_file(&self, path: &[u8]) -> bool {
        let mut rest: Vec<Vec<u8>> = components(path);
        let mut at: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            match &part[..] {
                b"." => continue,
                b".." => {
                    at.truncate(at.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let parent = at.len();
            if parent > 0 {
                at.push(b'/');
            }
            at.extend_from_slice(&part);
            match self.entries.get(&at).map(|entry| &entry.node) {
                Some(Node::Dir) => {}
                Some(Node::Link(to)) => {
                    links += 1;
                    if links > 40 {
                        return false;
                    }
                    at.truncate(if to.starts_with(b"/") { 0 } else { parent });
                    rest.append(&mut components(to));
                }
                Some(Node::Bytes(_) | Node::Host(_)) => return rest.is_empty(),
                None => return false,
            }
        }
        false
    }

    /// Writes the archive.
    pub fn write_to(&self, file: &Path) -> Result<()> {
        let create = File::create(file).with_context(|| file.display().to_string())?;
        let mut out = cpio::Writer::new(BufWriter::new(create));
        for (name, Entry { node, mode }) in &self.entries {
            let written = match node {
                Node::Dir => out.entry(name, cpio::DIR | mode, &[]),
                Node::Link(to) => out.entry(name, cpio::LINK | mode, to),
                Node::Bytes(data) => out.entry(name, cpio::FILE | mode, data),
                Node::Host(path) => {
                    std::fs::read(path).and_then(|data| out.entry(name, cpio::FILE | mode, &data))
                }
            };
            written.with_context(|| format!("packing {}", String::from_utf8_lossy(name)))?;
        }
        out.finish()?.flush()?;
        Ok(())
    }
}

/// The parts of a path, the last first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty())
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_through_links() {
        let mut image = Image::default();
        image.add("bin/busybox", 0o755, Node::Bytes(vec![1]));
        image.add("bin/sh", 0o777, Node::Link(b"busybox".to_vec()));
        image.add("usr/bin", 0o777, Node::Link(b"../bin".to_vec()));
        image.add("etc/shell", 0o777, Node::Link(b"/usr/bin/./sh".to_vec()));
        image.add("loop", 0o777, Node::Link(b"loop".to_vec()));
        assert_eq!(image.program(b"sh").as_deref(), Some(&b"/bin/sh"[..]));
        assert!(image.program(b"/usr/bin/sh").is_some());
        assert!(image.program(b"/etc/shell").is_some());
        for missing in ["cc", "/bin", "/bin/cc", "/loop", "/bin/sh/x", ""] {
            assert!(image.program(missing.as_bytes()).is_none(), "{missing}");
        }
    }

    #[test]
    fn folders_come_before_what_they_hold() {
        let mut image = Image::default();
        image.add("a/b/c", 0o644, Node::Bytes(Vec::new()));
        let names: Vec<_> = image.entries.keys().cloned().collect();
        assert_eq!(names, [&b"a"[..], b"a/b", b"a/b/c"]);
    }
}
