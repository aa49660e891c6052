//! The entries of a directory, in one block: finding, adding and removing them.
//!
//! A block is a row of entries without gaps: number of the inode (0 for none), length up to the next
//! entry, length of the name, kind, name. An entry never moves, nor does it leave its place to others
//! while it is there: its offset tells a reader where to go on.

/// Bytes before the name.
const HEAD: usize = 8;
/// Entries begin at multiples of this.
const ALIGN: usize = 4;

/// An entry that names something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry<'a> {
    /// Where it is in the block.
    pub at: usize,
    /// The inode's number.
    pub ino: u32,
    /// What it is, in ext2's numbers.
    pub kind: u8,
    /// Its name.
    pub name: &'a [u8],
}

/// The block is not a row of entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Damaged;

/// An entry or a gap: where it is, its length, the number of its inode, and the length of its name.
#[derive(Clone, Copy)]
struct Slot {
    at: usize,
    len: usize,
    ino: u32,
    name: usize,
}

impl Slot {
    /// What it needs of its length.
    fn used(&self) -> usize {
        if self.ino == 0 { 0 } else { needed(self.name) }
    }
}

/// What an entry with a name of this length needs.
fn needed(name: usize) -> usize {
    (HEAD + name).next_multiple_of(ALIGN)
}

fn slots(block: &[u8]) -> impl Iterator<Item = Result<Slot, Damaged>> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let rest = block.get(at..).filter(|rest| !rest.is_empty())?;
        let slot = (|| {
            let ino = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?);
            let len = usize::from(u16::from_le_bytes(rest.get(4..6)?.try_into().ok()?));
            let name = usize::from(*rest.get(6)?);
            let is_sound = len >= needed(name) && len % ALIGN == 0 && len <= rest.len();
            is_sound.then_some(Slot { at, len, ino, name })
        })();
        at = slot.map_or(block.len(), |slot| slot.at + slot.len);
        Some(slot.ok_or(Damaged))
    })
}

/// The entries of a block, in their order.
pub(super) fn entries(block: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, Damaged>> {
    slots(block)
        .filter(|slot| !matches!(slot, Ok(slot) if slot.ino == 0))
        .map(|slot| {
            slot.map(|slot| Entry {
                at: slot.at,
                ino: slot.ino,
                kind: block[slot.at + 7],
                name: &block[slot.at + HEAD..][..slot.name],
            })
        })
}

/// The entry, or gap, behind or in which there is room for a name of this length.
fn room(block: &[u8], name: usize) -> Result<Option<Slot>, Damaged> {
    let mut found = None;
    for slot in slots(block) {
        let slot = slot?;
        if found.is_none() && slot.len - slot.used() >= needed(name) {
            found = Some(slot);
        }
    }
    Ok(found)
}

/// Whether there is room for a name of this length.
pub(super) fn has_room(block: &[u8], name: usize) -> Result<bool, Damaged> {
    room(block, name).map(|slot| slot.is_some())
}

/// Adds an entry behind another one, or in a gap. False if there is no room for it.
pub(super) fn add(block: &mut [u8], name: &[u8], ino: u32, kind: u8) -> Result<bool, Damaged> {
    let Some(slot) = room(block, name.len())? else {
        return Ok(false);
    };
    let at = slot.at + slot.used();
    if slot.used() > 0 {
        set_len(block, slot.at, slot.used());
    }
    put(block, at, slot.at + slot.len - at, name, ino, kind);
    Ok(true)
}

/// Takes the entry at an offset away: the one before it becomes longer.
pub(super) fn remove(block: &mut [u8], at: usize) -> Result<(), Damaged> {
    let mut before: Option<Slot> = None;
    let mut found = None;
    for slot in slots(block) {
        let slot = slot?;
        if slot.at == at {
            found = Some(slot);
            break;
        }
        before = Some(slot);
    }
    let slot = found.ok_or(Damaged)?;
    block[at..at + 4].fill(0);
    if let Some(before) = before {
        set_len(block, before.at, before.len + slot.len);
    }
    Ok(())
}

/// Lets the entry at an offset name something else.
pub(super) fn replace(block: &mut [u8], at: usize, ino: u32, kind: u8) {
    block[at..at + 4].copy_from_slice(&ino.to_le_bytes());
    block[at + 7] = kind;
}

/// Makes a block with no entries, and nothing else of what it was.
pub(super) fn clear(block: &mut [u8]) {
    block.fill(0);
    let len = block.len();
    put(block, 0, len, b"", 0, 0);
}

/// Makes the first block of a directory, with the entries for itself and for the one above.
pub(super) fn begin(block: &mut [u8], ino: u32, above: u32, kind: u8) {
    block.fill(0);
    let len = block.len();
    let first = needed(1);
    put(block, 0, first, b".", ino, kind);
    put(block, first, len - first, b"..", above, kind);
}

fn put(block: &mut [u8], at: usize, len: usize, name: &[u8], ino: u32, kind: u8) {
    block[at..at + 4].copy_from_slice(&ino.to_le_bytes());
    set_len(block, at, len);
    block[at + 6] = name.len() as u8;
    block[at + 7] = kind;
    block[at + HEAD..][..name.len()].copy_from_slice(name);
}

fn set_len(block: &mut [u8], at: usize, len: usize) {
    block[at + 4..at + 6].copy_from_slice(&(len as u16).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(block: &[u8]) -> Vec<(usize, String)> {
        entries(block)
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.at, String::from_utf8_lossy(entry.name).into_owned()))
            .collect()
    }

    #[test]
    fn entries_stay_where_they_are_while_others_come_and_go() {
        // Whatever was there.
        let mut block = vec![0xff; 256];
        begin(&mut block, 7, 2, 2);
        assert_eq!(&block[8..12], b".\0\0\0");
        let mut count = 0;
        while add(
            &mut block,
            format!("file{count:02}").as_bytes(),
            20 + count,
            1,
        )
        .unwrap()
        {
            count += 1;
        }
        assert_eq!(count, (256 - 24) / 16);
        let all = names(&block);
        assert_eq!(all.len(), 2 + count as usize);
        for (at, _) in all.iter().skip(2).step_by(2) {
            remove(&mut block, *at).unwrap();
        }
        let left: Vec<_> = all.iter().skip(3).step_by(2).cloned().collect();
        assert_eq!(names(&block)[2..], left);
        assert!(add(&mut block, b"a-long-name-that-fits", 99, 1).is_ok_and(|added| !added));
        assert!(add(&mut block, b"new", 99, 1).unwrap());
        assert_eq!(names(&block).len(), 3 + left.len());
    }

    #[test]
    fn the_first_entry_of_a_block_leaves_a_gap() {
        let mut block = vec![0; 64];
        clear(&mut block);
        assert!(add(&mut block, b"only", 5, 1).unwrap());
        remove(&mut block, 0).unwrap();
        assert!(names(&block).is_empty());
        assert!(add(&mut block, b"other", 6, 1).unwrap());
        assert_eq!(names(&block), [(0, "other".to_owned())]);
    }

    #[test]
    fn damage_is_told_and_nothing_is_read_beyond_the_block() {
        let mut block = vec![0; 64];
        begin(&mut block, 7, 2, 2);
        for len in [0, 7, 11, 13, 56, 0xffff_u16] {
            block[16..18].copy_from_slice(&len.to_le_bytes());
            assert!(entries(&block).any(|entry| entry == Err(Damaged)), "{len}");
            assert_eq!(add(&mut block, b"x", 1, 1), Err(Damaged));
        }
    }
}
