//! The newc format of cpio: a header of hexadecimal numbers, a name, the contents, each part
//! padded to four bytes, and a last entry of a known name.

use std::io::{self, Write};

/// Mode bits of a folder.
pub const DIR: u32 = 0o040_000;
/// Mode bits of a regular file.
pub const FILE: u32 = 0o100_000;
/// Mode bits of a symbolic link.
pub const LINK: u32 = 0o120_000;

/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// Writes an archive entry by entry.
pub struct Writer<W> {
    out: W,
    inode: u32,
}

impl<W: Write> Writer<W> {
    /// Begins an archive.
    pub fn new(out: W) -> Self {
        Self { out, inode: 0 }
    }

    /// Adds one file, folder or link, owned by root.
    pub fn entry(&mut self, name: &[u8], mode: u32, data: &[u8]) -> io::Result<()> {
        let size = u32::try_from(data.len())
            .map_err(|_| io::Error::other("the archive's format has no files of 4 GiB and more"))?;
        self.inode += 1;
        let links = if mode & DIR == DIR { 2 } else { 1 };
        self.header(self.inode, mode, links, size, name)?;
        self.out.write_all(data)?;
        self.pad(data.len())
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.header(0, 0, 1, 0, TRAILER)?;
        Ok(self.out)
    }

    /// The header and the name.
    fn header(
        &mut self,
        inode: u32,
        mode: u32,
        links: u32,
        size: u32,
        name: &[u8],
    ) -> io::Result<()> {
        let name_size = name.len() as u32 + 1;
        let (uid, gid, time) = (0, 0, 0);
        let (device, inner_device, checksum) = ([0, 0], [0, 0], 0);
        let fields = [
            inode,
            mode,
            uid,
            gid,
            links,
            time,
            size,
            device[0],
            device[1],
            inner_device[0],
            inner_device[1],
            name_size,
            checksum,
        ];
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(name)?;
        self.out.write_all(&[0])?;
        self.pad(110 + name.len() + 1)
    }

    /// Fills up to a multiple of four bytes.
    fn pad(&mut self, len: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..len.next_multiple_of(4) - len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_byte_by_byte() {
        let mut writer = Writer::new(Vec::new());
        writer
            .entry(b"etc/x", FILE | 0o644, b"hello")
            .expect("memory");
        let bytes = writer.finish().expect("memory");
        let head = "07070100000001000081a400000000000000000000000100000000000000050000000000000000\
                    00000000000000000000000600000000";
        assert_eq!(&bytes[..110], head.as_bytes());
        assert_eq!(&bytes[110..124], b"etc/x\0hello\0\0\0");
        assert!(bytes[124..].starts_with(b"070701"));
        assert_eq!(bytes.len(), 124 + 124);
        assert!(bytes.ends_with(b"TRAILER!!!\0\0\0\0"));
    }
}
