//! Programs in the ELF format: what they say, and their way into an address space.

use alloc::vec::Vec;

use elf::abi::{
    EM_X86_64, ET_DYN, ET_EXEC, PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_PHDR,
};
use elf::endian::LittleEndian;
use elf::file::{Class, FileHeader, parse_ident};
use elf::segment::{ProgramHeader, SegmentTable};
use scalvm::{MapRequest, PAGE_MASK, Place, Prot, Share, page_ceil, page_floor};

use super::space::{Space, min_address};
use crate::arch::layout::USER_HIGH;
use crate::linux::Errno;
use crate::mm::Object;

/// Bytes of the file's header.
pub const HEADER: usize = 64;
/// Bytes of a program header.
pub const PROGRAM_HEADER: usize = 56;
/// The most bytes of program headers.
const MAX_HEADERS: usize = 65536;

/// A program file.
pub struct Elf {
    entry: usize,
    header_offset: usize,
    dynamic: bool,
    headers: Vec<ProgramHeader>,
}

/// A program that is in an address space.
pub struct Image {
    /// Where it starts.
    pub entry: usize,
    /// What was added to its addresses.
    pub base: usize,
    /// Where its program headers lie; 0 if they were not loaded.
    pub headers: usize,
    /// How many program headers.
    pub header_count: usize,
    /// The end of its data.
    pub end: usize,
}

impl Elf {
    /// Reads the headers of a file. ENOEXEC if it is no program for this machine.
    pub fn read(object: &Object) -> Result<Elf, Errno> {
        let mut head = [0u8; HEADER];
        if object.read_at(0, &mut head)? < HEADER {
            return Err(Errno::ENOEXEC);
        }
        let ident = parse_ident::<LittleEndian>(&head).map_err(|_| Errno::ENOEXEC)?;
        let header = FileHeader::parse_tail(ident, &head[16..]).map_err(|_| Errno::ENOEXEC)?;
        let bytes = usize::from(header.e_phnum) * PROGRAM_HEADER;
        if header.class != Class::ELF64
            || header.e_machine != EM_X86_64
            || !matches!(header.e_type, ET_EXEC | ET_DYN)
            || usize::from(header.e_phentsize) != PROGRAM_HEADER
            || !(1..=MAX_HEADERS).contains(&bytes)
        {
            return Err(Errno::ENOEXEC);
        }
        let mut table = zeroed(bytes)?;
        if object.read_at(header.e_phoff, &mut table)? < bytes {
            return Err(Errno::ENOEXEC);
        }
        let table = SegmentTable::new(LittleEndian, Class::ELF64, &table);
        let mut headers = Vec::new();
        headers
            .try_reserve_exact(table.len())
            .map_err(|_| Errno::ENOMEM)?;
        headers.extend(table.iter());
        Ok(Elf {
            entry: header.e_entry as usize,
            header_offset: header.e_phoff as usize,
            dynamic: header.e_type == ET_DYN,
            headers,
        })
    }

    /// The path of the program that is to load this one.
    pub fn interpreter(&self, object: &Object) -> Result<Option<Vec<u8>>, Errno> {
        const MAX_PATH: u64 = 4096;
        let Some(header) = self
            .headers
            .iter()
            .find(|header| header.p_type == PT_INTERP)
        else {
            return Ok(None);
        };
        if !(2..=MAX_PATH).contains(&header.p_filesz) {
            return Err(Errno::ENOEXEC);
        }
        let mut path = zeroed(header.p_filesz as usize)?;
        if object.read_at(header.p_offset, &mut path)? < path.len() || path.pop() != Some(0) {
            return Err(Errno::ENOEXEC);
        }
        Ok(Some(path))
    }

    /// Whether the program wants to execute what is on its stack.
    pub fn executable_stack(&self) -> bool {
        self.headers
            .iter()
            .any(|header| header.p_type == PT_GNU_STACK && header.p_flags & PF_X != 0)
    }

    /// A place for a program that may lie anywhere, where such things are put in this space.
    pub fn find_room(&self, space: &Space) -> Result<usize, Errno> {
        let loads = || {
            self.headers
                .iter()
                .filter(|header| header.p_type == PT_LOAD)
        };
        let low = loads().map(|header| header.p_vaddr).min().unwrap_or(0);
        let high = loads().map(|header| header.p_vaddr.saturating_add(header.p_memsz));
        let low = page_floor(low as usize);
        let high = page_ceil(high.max().unwrap_or(0) as usize).ok_or(Errno::ENOEXEC)?;
        let len = high.checked_sub(low).filter(|&len| len > 0);
        let len = len.ok_or(Errno::ENOEXEC)?;
        let at = space.map(MapRequest::anonymous(len, Prot::empty()))?;
        space.unmap(at, len)?;
        Ok(at.wrapping_sub(low))
    }

    /// Maps the program. One that can lie anywhere is put to `base`.
    pub fn load(&self, space: &Space, object: &Object, base: usize) -> Result<Image, Errno> {
        let base = if self.dynamic { base } else { 0 };
        let mut image = Image {
            entry: base.wrapping_add(self.entry),
            base,
            headers: 0,
            header_count: self.headers.len(),
            end: 0,
        };
        for header in self
            .headers
            .iter()
            .filter(|header| header.p_type == PT_LOAD)
        {
            let start = base.wrapping_add(header.p_vaddr as usize);
            let offset = header.p_offset as usize;
            image.end = image.end.max(load_segment(space, object, header, start)?);
            if (offset..offset + header.p_filesz as usize).contains(&self.header_offset) {
                image.headers = start + (self.header_offset - offset);
            }
        }
        if let Some(header) = self.headers.iter().find(|header| header.p_type == PT_PHDR) {
            image.headers = base.wrapping_add(header.p_vaddr as usize);
        }
        if image.end == 0 {
            return Err(Errno::ENOEXEC);
        }
        Ok(image)
    }
}

/// Maps a segment to `start`; returns its end.
fn load_segment(
    space: &Space,
    object: &Object,
    header: &ProgramHeader,
    start: usize,
) -> Result<usize, Errno> {
    let (file_size, size) = (header.p_filesz as usize, header.p_memsz as usize);
    let offset = header.p_offset as usize;
    let end = start
        .checked_add(size)
        .filter(|end| *end <= USER_HIGH)
        .ok_or(Errno::ENOEXEC)?;
    if file_size > size
        || start < min_address()
        || (start ^ offset) & PAGE_MASK != 0
        || offset.checked_add(file_size).is_none()
    {
        return Err(Errno::ENOEXEC);
    }
    let mut prot = Prot::empty();
    prot.set(Prot::READ, header.p_flags & PF_R != 0);
    prot.set(Prot::WRITE, header.p_flags & PF_W != 0);
    prot.set(Prot::EXEC, header.p_flags & PF_X != 0);

    let file_end = start + file_size;
    let no_room = || Errno::ENOMEM;
    let (from_file, all) = (
        page_ceil(file_end).ok_or_else(no_room)?,
        page_ceil(end).ok_or_else(no_room)?,
    );
    if file_size > 0 {
        let first = page_floor(start);
        let request = MapRequest::object(
            object,
            page_floor(offset) as u64,
            from_file - first,
            prot,
            Share::Private,
        );
        space.map(request.at(Place::Fixed(first)))?;
        if size > file_size && file_end < from_file {
            const ZEROS: [u8; scalvm::PAGE_SIZE] = [0; scalvm::PAGE_SIZE];
            // What comes behind the file's part in its last page is to read as zeros.
            let gap = from_file - file_end;
            space
                .write(file_end, &ZEROS[..gap])
                .map_err(|_| Errno::ENOEXEC)?;
        }
    }
    let from_file = if file_size > 0 {
        from_file
    } else {
        page_floor(start)
    };
    if all > from_file {
        let request = MapRequest::anonymous(all - from_file, prot);
        space.map(request.at(Place::Fixed(from_file)))?;
    }
    Ok(end)
}

fn zeroed(len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(len, 0);
    Ok(bytes)
}
