//! [`Inode`]: what the disk says of a file.

use bytemuck::{Pod, Zeroable};

use crate::arch::time::SECOND;
use crate::fs::dev;
use crate::fs::inode::Kind;

/// Pointers to blocks in an inode.
pub(super) const POINTERS: usize = 15;
/// Units in which the blocks of a file are counted.
const SECTOR: u32 = 512;

/// The directory is also a tree of hashes, which this kernel does not keep.
pub(super) const FLAG_HASHED: u32 = 0x1000;

/// An inode, as it lies on the disk.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Raw {
    pub mode: u16,
    uid: u16,
    size_low: u32,
    atime: u32,
    ctime: u32,
    mtime: u32,
    /// When it was deleted.
    dtime: u32,
    gid: u16,
    pub links: u16,
    /// In 512-byte units, with those of pointers and attributes.
    pub sectors: u32,
    pub flags: u32,
    system: u32,
    pub pointers: [u32; POINTERS],
    pub generation: u32,
    /// The block of extended attributes.
    pub attributes: u32,
    size_high: u32,
    fragment: u32,
    fragment_at: u16,
    attributes_high: u16,
    uid_high: u16,
    gid_high: u16,
    reserved: u32,
}

/// What large inodes have behind that: how many bytes of this there are, and the rest of the times.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Extra {
    size: u16,
    checksum: u16,
    ctime: u32,
    mtime: u32,
    atime: u32,
    birth: u32,
    birth_extra: u32,
    version: u32,
    project: u32,
}

/// An inode in memory. Times in nanoseconds since 1970.
#[derive(Clone, Copy)]
pub(super) struct Inode {
    pub raw: Raw,
    pub extra: Extra,
}

impl Inode {
    /// A new one of this kind, at a time.
    pub fn new(kind: Kind, permissions: u32, now: u64) -> Inode {
        let mut inode = Inode {
            raw: Raw::zeroed(),
            extra: Extra {
                size: size_of::<Extra>() as u16,
                ..Extra::zeroed()
            },
        };
        inode.raw.mode = (kind.mode_bits() | permissions & 0o7777) as u16;
        inode.set_atime(now);
        inode.set_mtime(now);
        inode.set_ctime(now);
        (inode.extra.birth, inode.extra.birth_extra) = parts(now);
        inode
    }

    pub fn kind(&self) -> Option<Kind> {
        Kind::of_mode(self.raw.mode.into())
    }

    pub fn permissions(&self) -> u32 {
        u32::from(self.raw.mode) & 0o7777
    }

    pub fn set_permissions(&mut self, permissions: u32) {
        self.raw.mode = self.raw.mode & !0o7777 | (permissions & 0o7777) as u16;
    }

    pub fn size(&self) -> u64 {
        u64::from(self.raw.size_low) | u64::from(self.raw.size_high) << 32
    }

    pub fn set_size(&mut self, size: u64) {
        self.raw.size_low = size as u32;
        self.raw.size_high = (size >> 32) as u32;
    }

    pub fn uid(&self) -> u32 {
        u32::from(self.raw.uid) | u32::from(self.raw.uid_high) << 16
    }

    pub fn set_uid(&mut self, uid: u32) {
        self.raw.uid = uid as u16;
        self.raw.uid_high = (uid >> 16) as u16;
    }

    pub fn gid(&self) -> u32 {
        u32::from(self.raw.gid) | u32::from(self.raw.gid_high) << 16
    }

    pub fn set_gid(&mut self, gid: u32) {
        self.raw.gid = gid as u16;
        self.raw.gid_high = (gid >> 16) as u16;
    }

    pub fn atime(&self) -> u64 {
        whole(self.raw.atime, self.extra.atime)
    }

    pub fn mtime(&self) -> u64 {
        whole(self.raw.mtime, self.extra.mtime)
    }

    pub fn ctime(&self) -> u64 {
        whole(self.raw.ctime, self.extra.ctime)
    }

    pub fn set_atime(&mut self, time: u64) {
        (self.raw.atime, self.extra.atime) = parts(time);
    }

    pub fn set_mtime(&mut self, time: u64) {
        (self.raw.mtime, self.extra.mtime) = parts(time);
    }

    pub fn set_ctime(&mut self, time: u64) {
        (self.raw.ctime, self.extra.ctime) = parts(time);
    }

    /// Nothing has it any more, from a time on.
    pub fn end(&mut self, now: u64) {
        self.raw.links = 0;
        self.raw.dtime = parts(now).0;
    }

    /// Counts blocks more, or less.
    pub fn add_blocks(&mut self, blocks: i64) {
        let sectors = blocks * i64::from(super::BLOCK as u32 / SECTOR);
        self.raw.sectors = self.raw.sectors.wrapping_add(sectors as u32);
    }

    /// The device that it stands for: the old way in one pointer, else the new one in the next.
    pub fn device(&self) -> u64 {
        match self.raw.pointers[0] {
            0 => {
                let new = self.raw.pointers[1];
                dev::number(
                    u64::from(new >> 8 & 0xfff),
                    u64::from(new & 0xff | new >> 12 & !0xff),
                )
            }
            old => dev::number(u64::from(old >> 8 & 0xff), u64::from(old & 0xff)),
        }
    }

    /// Lets it stand for a device.
    pub fn set_device(&mut self, number: u64) {
        self.raw.pointers[1] = number as u32;
    }

    /// Whether that has been noted.
    pub fn has_ended(&self) -> bool {
        self.raw.dtime != 0
    }

    /// Whether the pointers lead to blocks: they may also be a path, or a device.
    pub fn has_blocks(&self) -> bool {
        match self.kind() {
            Some(Kind::Regular | Kind::Directory) => true,
            Some(Kind::Symlink) => !self.is_short_link(),
            _ => false,
        }
    }

    /// Whether the pointers are the path of a short symbolic link.
    pub fn is_short_link(&self) -> bool {
        self.size() < size_of_val(&self.raw.pointers) as u64
    }
}

/// Seconds, signed, and what is beyond them: two bits that go on above the sign, the rest the
/// nanoseconds. Times before 1970 become 1970.
fn whole(seconds: u32, extra: u32) -> u64 {
    let seconds = i64::from(seconds as i32) + (i64::from(extra & 3) << 32);
    seconds.max(0).unsigned_abs() * SECOND + u64::from(extra >> 2).min(SECOND - 1)
}

fn parts(time: u64) -> (u32, u32) {
    let (seconds, rest) = (time / SECOND, (time % SECOND) as u32);
    let low = seconds as u32;
    let above = (seconds as i64 - i64::from(low as i32)) >> 32;
    (low, rest << 2 | above as u32 & 3)
}
