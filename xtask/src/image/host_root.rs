//! A folder of the host as the guest's root: files, folders and links with their modes; device
//! files, pipes and sockets are left out, because the kernel has its own under `/dev`.

use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{Image, Node};
use crate::say;

/// Packs a folder. The mount points that the kernel wants are added where they are missing.
pub fn host_root(dir: &Path) -> Result<Image> {
    let data = fs::metadata(dir).with_context(|| format!("the root {}", dir.display()))?;
    if !data.is_dir() {
        bail!("the root {} is not a folder", dir.display());
    }
    let mut image = Image::default();
    let mut left_out = 0;
    add_dir(&mut image, dir, b"", &mut left_out)?;
    if left_out > 0 {
        say::note(format_args!(
            "left out {left_out} device files, pipes or sockets of {}",
            dir.display()
        ));
    }
    for name in ["dev", "proc", "tmp"] {
        image.ensure_dir(name.as_bytes());
    }
    Ok(image)
}

/// Adds what a folder holds, and counts what is left out.
fn add_dir(image: &mut Image, dir: &Path, name: &[u8], left_out: &mut usize) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let data = fs::symlink_metadata(&path).with_context(|| path.display().to_string())?;
        let file_name = path.file_name().unwrap_or_default().as_bytes();
        let separator: &[u8] = if name.is_empty() { b"" } else { b"/" };
        let inner = [name, separator, file_name].concat();
        let mode = data.permissions().mode() & 0o7777;
        if data.is_dir() {
            image.add(&inner[..], mode, Node::Dir);
            add_dir(image, &path, &inner, left_out)?;
        } else if data.is_symlink() {
            let target = fs::read_link(&path)?.into_os_string().into_vec();
            image.add(inner, mode, Node::Link(target));
        } else if data.is_file() {
            image.add(inner, mode, Node::Host(path));
        } else {
            *left_out += 1;
        }
    }
    Ok(())
}
