//! The directories of /proc that only hold files about the kernel: they are what the files' paths say.

use super::node::What;
use super::system::FILES;

/// The name at the end of a path.
pub(super) fn last_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The part of a file's path below a directory.
fn rest<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix.is_empty() {
        Some(path)
    } else {
        path.strip_prefix(prefix)?.strip_prefix('/')
    }
}

/// How many names lead to a directory.
pub(super) fn depth(prefix: &str) -> u64 {
    prefix.split('/').count() as u64
}

/// The first file below a directory.
pub(super) fn first_below(prefix: &str) -> usize {
    FILES
        .iter()
        .position(|(path, _)| rest(path, prefix).is_some())
        .unwrap_or(0)
}

/// What a file's path leads to in the directory `prefix`: the file, or a directory on its way.
fn step(index: usize, prefix: &str) -> Option<(What, &'static str)> {
    let path: &'static str = FILES[index].0;
    let rest = rest(path, prefix)?;
    match rest.split_once('/') {
        None => Some((What::File(index), rest)),
        Some((name, _)) => {
            let end = path.len() - rest.len() + name.len();
            Some((What::Directory(&path[..end]), name))
        }
    }
}

/// What has this name in the directory `prefix`.
pub(super) fn below(prefix: &'static str, name: &[u8]) -> Option<What> {
    let mut steps = (0..FILES.len()).filter_map(|index| step(index, prefix));
    steps
        .find(|(_, entry)| entry.as_bytes() == name)
        .map(|(what, _)| what)
}

/// Everything in the directory `prefix`; files of one directory stand side by side.
pub(super) fn all_below(prefix: &'static str) -> impl Iterator<Item = What> {
    let mut last = "";
    (0..FILES.len()).filter_map(move |index| {
        let (what, name) = step(index, prefix)?;
        (core::mem::replace(&mut last, name) != name).then_some(what)
    })
}
