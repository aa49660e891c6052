//! The root that a guest has unless it is given another: busybox with its applets, vmbench.

use std::process::Command;

use anyhow::{Context, Result};

use super::{Image, Node};
use crate::{build, setup};

/// Files of text, with their contents.
const TEXTS: [(&str, &str); 4] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    (
        "etc/profile",
        "export PATH=/bin HOME=/root TERM=${TERM:-xterm} PS1='\\w \\$ '\ncd \"$HOME\"\n",
    ),
    ("etc/hostname", "scalvm\n"),
];

/// Makes the default root; compiles and installs what it is made of.
pub fn default_root() -> Result<Image> {
    let busybox = setup::ensure(&setup::BUSYBOX)?;
    let vmbench = build::vmbench()?;
    let list = Command::new(&busybox)
        .arg("--list")
        .output()
        .context("busybox --list")?;
    let mut image = Image::default();
    for applet in String::from_utf8_lossy(&list.stdout).lines() {
        image.add(
            format!("bin/{applet}"),
            0o777,
            Node::Link(b"busybox".to_vec()),
        );
    }
    image.add("bin/busybox", 0o755, Node::Host(busybox));
    image.add("bin/vmbench", 0o755, Node::Host(vmbench.vmbench));
    image.add("bin/exit0", 0o755, Node::Host(vmbench.exit0));
    for (name, target) in [
        ("sbin", "bin"),
        ("usr/bin", "../bin"),
        ("usr/sbin", "../bin"),
    ] {
        image.add(name, 0o777, Node::Link(target.into()));
    }
    for (name, text) in TEXTS {
        image.add(name, 0o644, Node::Bytes(text.into()));
    }
    for name in ["dev", "proc", "sys", "home", "mnt", "var", "run"] {
        image.ensure_dir(name.as_bytes());
    }
    image.add("root", 0o700, Node::Dir);
    image.add("tmp", 0o1777, Node::Dir);
    image.add("var/tmp", 0o1777, Node::Dir);
    Ok(image)
}
