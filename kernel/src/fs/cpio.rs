//! The "newc" form of a cpio archive, which holds the first root file system.
//!
//! Pure: a walk over bytes. What is broken ends it with an error.

/// One member of an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member<'a> {
    /// The path, without a leading `/` or `./`.
    pub path: &'a [u8],
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names that the archive has for it.
    pub links: u32,
    /// What tells hard links of one file from others: device and number.
    pub identity: (u64, u64),
    /// Seconds since 1970.
    pub mtime: u32,
    /// The device that it stands for: major and minor number.
    pub device: (u32, u32),
    /// The bytes: of a file, or the path that a symbolic link leads to.
    pub data: &'a [u8],
}

/// The archive is cut off or is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

const HEADER: usize = 110;
const MAGIC: &[u8] = b"070701";
const MAGIC_WITH_SUM: &[u8] = b"070702";
const END: &[u8] = b"TRAILER!!!";

/// The members of an archive, in their order.
pub struct Members<'a> {
    archive: &'a [u8],
    at: usize,
    ended: bool,
}

impl<'a> Members<'a> {
    /// Those of this archive.
    pub fn new(archive: &'a [u8]) -> Members<'a> {
        Members {
            archive,
            at: 0,
            ended: false,
        }
    }

    fn parse(&mut self) -> Result<Option<Member<'a>>, Broken> {
        let header = self.take(HEADER)?;
        if !header.starts_with(MAGIC) && !header.starts_with(MAGIC_WITH_SUM) {
            return Err(Broken);
        }
        let field = |index: usize| hex(&header[6 + index * 8..14 + index * 8]);
        let name_len = field(11)? as usize;
        let name = self
            .take(name_len)?
            .split_last()
            .filter(|(zero, _)| **zero == 0)
            .ok_or(Broken)?
            .1;
        self.align();
        if name == END {
            return Ok(None);
        }
        let data = self.take(field(6)? as usize)?;
        self.align();
        Ok(Some(Member {
            path: trim(name),
            mode: field(1)?,
            uid: field(2)?,
            gid: field(3)?,
            links: field(4)?,
            identity: (
                u64::from(field(7)?) << 32 | u64::from(field(8)?),
                u64::from(field(0)?),
            ),
            mtime: field(5)?,
            device: (field(9)?, field(10)?),
            data,
        }))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let bytes = self
            .archive
            .get(self.at..)
            .and_then(|rest| rest.get(..len))
            .ok_or(Broken)?;
        self.at += len;
        Ok(bytes)
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(4).min(self.archive.len());
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let member = self.parse().transpose();
        // Nothing comes after the end, or after what is broken.
        self.ended = !matches!(member, Some(Ok(_)));
        member
    }
}

/// The path without what leads to the root.
fn trim(mut path: &[u8]) -> &[u8] {
    loop {
        path = match path {
            [b'/', rest @ ..] | [b'.', b'/', rest @ ..] => rest,
            b"." => b"",
            path => return path,
        };
    }
}

fn hex(digits: &[u8]) -> Result<u32, Broken> {
    let text = core::str::from_utf8(digits).map_err(|_| Broken)?;
    u32::from_str_radix(text, 16).map_err(|_| Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, mode: u32, data: &[u8]) -> Vec<u8> {
        let fields = [
            7,
            mode,
            1,
            2,
            1,
            99,
            data.len() as u32,
            3,
            4,
            5,
            6,
            name.len() as u32 + 1,
            0,
        ];
        let mut bytes = MAGIC.to_vec();
        for field in fields {
            bytes.extend(format!("{field:08x}").bytes());
        }
        bytes.extend(name.bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn members_come_with_their_data() {
        let mut archive = member(".", 0o40755, b"");
        archive.extend(member("./bin/sh", 0o100755, b"hello"));
        archive.extend(member("/lib", 0o120777, b"usr/lib"));
        archive.extend(member("TRAILER!!!", 0, b""));
        archive.extend([0; 512]);
        let members: Vec<_> = Members::new(&archive).map(Result::unwrap).collect();
        let seen: Vec<_> = members.iter().map(|m| (m.path, m.mode, m.data)).collect();
        assert_eq!(
            seen,
            [
                (&b""[..], 0o40755, &b""[..]),
                (b"bin/sh", 0o100755, b"hello"),
                (b"lib", 0o120777, b"usr/lib"),
            ]
        );
        assert_eq!(members[1].identity, (3 << 32 | 4, 7));
        assert_eq!(
            (members[1].uid, members[1].gid, members[1].device),
            (1, 2, (5, 6))
        );
    }

    #[test]
    fn an_archive_that_is_cut_off_ends_with_one_error() {
        let archive = member("file", 0o100644, &[1; 100]);
        for len in 0..archive.len() {
            let members: Vec<_> = Members::new(&archive[..len]).collect();
            assert_eq!(members, [Err(Broken)], "cut at {len}");
        }
    }
}
