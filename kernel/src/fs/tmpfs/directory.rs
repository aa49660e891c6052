//! [`Directory`]: the entries of a directory in memory.
//!
//! Ordered by a number made from the name, which also tells a reader where to go on: it stays the
//! same while other entries come and go, and lookup costs O(log n).
//!
//! Invariants: an entry's key is its name's hash (low eight bits zero) plus a small number that
//! tells apart names of the same hash; no name occurs twice; no key is below 256.

use alloc::collections::BTreeMap;

/// Names that can share a hash.
const SAME_HASH: u64 = 256;

/// A name, as bytes of some kind, and what has it.
#[derive(Debug)]
pub struct Entry<S, N> {
    /// The name.
    pub name: S,
    /// What has it.
    pub node: N,
}

/// The entries of a directory.
#[derive(Debug)]
pub struct Directory<S, N> {
    entries: BTreeMap<u64, Entry<S, N>>,
}

impl<S: AsRef<[u8]>, N> Directory<S, N> {
    /// No entries.
    pub const fn new() -> Directory<S, N> {
        Directory {
            entries: BTreeMap::new(),
        }
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What has this name.
    pub fn get(&self, name: &[u8]) -> Option<&N> {
        self.entries.get(&self.key(name)?).map(|entry| &entry.node)
    }

    /// Gives a name that is not there yet to `node`; returns it if too many names share the hash.
    /// May take memory for one more pair of the map.
    pub fn insert(&mut self, name: S, node: N) -> Result<(), N> {
        let base = hash(name.as_ref());
        match (base..base + SAME_HASH).find(|key| !self.entries.contains_key(key)) {
            Some(key) => {
                self.entries.insert(key, Entry { name, node });
                Ok(())
            }
            None => Err(node),
        }
    }

    /// Takes a name away.
    pub fn remove(&mut self, name: &[u8]) -> Option<Entry<S, N>> {
        let key = self.key(name)?;
        self.entries.remove(&key)
    }

    /// Takes any entry away.
    pub fn pop(&mut self) -> Option<Entry<S, N>> {
        self.entries.pop_first().map(|(_, entry)| entry)
    }

    /// The entries whose number is above `after`, with their numbers.
    pub fn after(&self, after: u64) -> impl Iterator<Item = (u64, &Entry<S, N>)> {
        self.entries
            .range(after.saturating_add(1)..)
            .map(|(key, entry)| (*key, entry))
    }

    fn key(&self, name: &[u8]) -> Option<u64> {
        let base = hash(name);
        let mut same = self.entries.range(base..base + SAME_HASH);
        same.find(|(_, entry)| entry.name.as_ref() == name)
            .map(|(key, _)| *key)
    }
}

/// FNV-1a, cut so that the number fits a positive file offset.
fn hash(name: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in name {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (hash >> 2 & !(SAME_HASH - 1)) + SAME_HASH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_until_they_are_removed() {
        let mut directory = Directory::new();
        for i in 0..1000 {
            let name = format!("file{i}").into_bytes().into_boxed_slice();
            directory.insert(name, i).unwrap();
        }
        for i in (0..1000).step_by(2) {
            assert_eq!(
                directory
                    .remove(format!("file{i}").as_bytes())
                    .unwrap()
                    .node,
                i
            );
        }
        for i in 0..1000 {
            let found = directory.get(format!("file{i}").as_bytes()).copied();
            assert_eq!(found, (i % 2 == 1).then_some(i));
        }
        assert_eq!(directory.after(0).count(), 500);
    }

    #[test]
    fn each_entry_is_shown_once() {
        let mut directory = Directory::new();
        for i in 0..100 {
            directory
                .insert(format!("{i}").into_bytes().into_boxed_slice(), i)
                .unwrap();
        }
        let mut seen = Vec::new();
        let mut cookie = 0;
        while let Some((key, entry)) = directory.after(cookie).next() {
            seen.push(entry.node);
            cookie = key;
            assert!(seen.len() <= 100);
        }
        seen.sort();
        assert!(seen.into_iter().eq(0..100));
    }

    #[test]
    fn a_reader_goes_on_where_it_was_though_entries_go() {
        let mut directory = Directory::new();
        for i in 0..100 {
            directory
                .insert(format!("{i}").into_bytes().into_boxed_slice(), i)
                .unwrap();
        }
        let (mut cookie, mut seen) = (0, 0);
        let first = |directory: &Directory<Box<[u8]>, i32>, cookie| {
            directory
                .after(cookie)
                .next()
                .map(|(key, entry)| (key, entry.name.clone()))
        };
        while let Some((key, name)) = first(&directory, cookie) {
            assert!(key > 2 && i64::try_from(key).is_ok());
            directory.remove(&name).unwrap();
            (cookie, seen) = (key, seen + 1);
        }
        assert_eq!(seen, 100);
        assert!(directory.is_empty());
    }
}
