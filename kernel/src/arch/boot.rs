//! From the loader to Rust: the PVH entry point, the first page tables, and what the loader says.
//!
//! The loader enters in 32-bit mode without paging, with the physical address of the start info in
//! ebx. The first page tables map 4 GiB of physical memory three times: where it is (for the switch
//! to long mode; gone again before the first program), in the direct map, and its first GiB where
//! the kernel was linked.

use core::arch::{asm, global_asm};
use core::ptr::read_volatile;

use scalvm::Frame;

use super::layout::{KERNEL_BASE, phys_to_virt, virt_to_phys};

global_asm!(
    ".pushsection .note.pvh, \"a\", @note",
    ".balign 4",
    ".long 4, 8, 18", // XEN_ELFNOTE_PHYS32_ENTRY
    ".asciz \"Xen\"",
    ".quad pvh_start",
    ".popsection",

    ".pushsection .boot.text, \"awx\"",
    ".code32",
    ".global pvh_start",
    "pvh_start:",
    "cld",
    "cli",
    // 2048 entries of 2 MiB: present, writable, large, global; device memory from 0xe0000000 on
    // uncached.
    "mov edi, offset boot_pd - {base}",
    "mov eax, 0x183",
    "2: mov [edi], eax",
    "add edi, 8",
    "add eax, 0x200000",
    "jc 3f",
    "cmp eax, 0xe0000000",
    "jb 2b",
    "or eax, 0x18",
    "jmp 2b",
    "3:",
    "mov edi, offset boot_pdpt - {base}",
    "mov eax, offset boot_pd - {base} + 3",
    "mov ecx, 4",
    "4: mov [edi], eax",
    "add edi, 8",
    "add eax, 0x1000",
    "loop 4b",
    "mov eax, offset boot_pd - {base} + 3",
    "mov [boot_pdpt_image - {base} + 510 * 8], eax",
    "mov eax, offset boot_pdpt - {base} + 3",
    "mov [boot_pml4 - {base}], eax",
    "mov [boot_pml4 - {base} + 256 * 8], eax",
    "mov eax, offset boot_pdpt_image - {base} + 3",
    "mov [boot_pml4 - {base} + 511 * 8], eax",
    "mov eax, offset boot_pml4 - {base}",
    "mov cr3, eax",
    // PAE, OSFXSR, OSXMMEXCPT.
    "mov eax, 0x620",
    "mov cr4, eax",
    // EFER: system calls, long mode, no-execute.
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x901",
    "wrmsr",
    // PG, WP, NE, MP, PE; the FPU is there and ours.
    "mov eax, 0x80010023",
    "mov cr0, eax",
    "lgdt [boot_gdt_pointer]",
    "push 8",
    "mov eax, offset boot_long_mode",
    "push eax",
    "retf",
    ".code64",
    "boot_long_mode:",
    "xor eax, eax",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "mov fs, eax",
    "mov gs, eax",
    "movabs rsp, offset boot_stack_end",
    "xor ebp, ebp",
    "mov edi, ebx",
    "movabs rax, offset {main}",
    "call rax",
    "ud2",
    ".balign 8",
    "boot_gdt: .quad 0, 0x00209a0000000000",
    "boot_gdt_pointer: .word 15",
    ".long boot_gdt",
    ".popsection",

    ".pushsection .bss, \"aw\", @nobits",
    ".balign 4096",
    ".globl boot_pml4, boot_pdpt, boot_pdpt_image",
    "boot_pml4: .skip 4096",
    "boot_pdpt: .skip 4096",
    "boot_pdpt_image: .skip 4096",
    "boot_pd: .skip 4 * 4096",
    "boot_stack: .skip {stack}",
    "boot_stack_end:",
    ".popsection",
    base = const KERNEL_BASE,
    stack = const BOOT_STACK,
    main = sym crate::kernel_main,
);

/// Bytes of the stack on which the kernel starts. Without optimisation across crates the parts of a disk are moved there more than once.
const BOOT_STACK: usize = 256 * 1024;

unsafe extern "C" {
    static boot_pml4: [u64; 512];
    static boot_pdpt: [u64; 512];
    static __kernel_end: u8;
}

/// The root table that maps the kernel and nothing else.
#[inline(always)]
pub fn kernel_root() -> Frame {
    Frame::containing(virt_to_phys((&raw const boot_pml4) as usize))
}

/// Takes the low mapping away that was needed to get here, and turns on global translations.
///
/// # Safety
///
/// Nobody uses low addresses any more.
pub unsafe fn forget_low_mapping() {
    const NX: u64 = 1 << 63;
    // SAFETY: the table is ours alone; the direct map is not executed from.
    unsafe {
        let root = (&raw const boot_pml4).cast_mut().cast::<u64>();
        root.write_volatile(0);
        root.add(256)
            .write_volatile(root.add(256).read_volatile() | NX);
        asm!(
            "mov {0}, cr3",
            "mov cr3, {0}",
            "mov {0}, cr4",
            "or {0}, 0x80",
            "mov cr4, {0}",
            out(reg) _,
        );
    }
}

/// A part of physical memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PhysRange {
    /// The first byte's address.
    pub start: u64,
    /// The end, exclusive.
    pub end: u64,
}

/// What the loader left in memory: Xen's `hvm_start_info`, version 1.
pub struct StartInfo {
    phys: u64,
}

impl StartInfo {
    /// Where the loader said it is.
    ///
    /// # Safety
    ///
    /// It is what the loader passed, and that memory is still as it was.
    pub unsafe fn new(phys: u64) -> StartInfo {
        const MAGIC: u32 = 0x336e_c578;
        let info = StartInfo { phys };
        assert!(
            info.u32_at(0) == MAGIC && info.u32_at(4) >= 1,
            "no PVH start info"
        );
        info
    }

    fn u32_at(&self, offset: u64) -> u32 {
        // SAFETY: within the start info.
        unsafe { read_volatile(phys_to_virt(self.phys + offset).cast()) }
    }

    fn u64_at(&self, offset: u64) -> u64 {
        u64::from(self.u32_at(offset)) | u64::from(self.u32_at(offset + 4)) << 32
    }

    /// The first module: the initial root file system.
    pub fn module(&self) -> Option<PhysRange> {
        if self.u32_at(12) == 0 {
            return None;
        }
        let list = phys_to_virt(self.u64_at(16)).cast::<u64>();
        // SAFETY: an entry begins with address and size.
        let (start, size) = unsafe { (list.read_volatile(), list.add(1).read_volatile()) };
        Some(PhysRange {
            start,
            end: start + size,
        })
    }

    /// The command line.
    pub fn command_line(&self) -> &'static [u8] {
        let start = self.u64_at(24);
        if start == 0 {
            return b"";
        }
        // SAFETY: a string that ends with a zero byte, in memory below 1 MiB, which is never used
        // again.
        unsafe { core::ffi::CStr::from_ptr(phys_to_virt(start).cast_const().cast()).to_bytes() }
    }

    /// Parts of memory that are RAM, in the loader's order.
    pub fn ram(&self) -> impl Iterator<Item = PhysRange> {
        const RAM: u32 = 1;
        let (table, count) = (self.u64_at(40), self.u32_at(48));
        (0..u64::from(count)).filter_map(move |i| {
            let entry = phys_to_virt(table + i * 24).cast::<u64>();
            // SAFETY: an entry is address, size, type.
            let (start, size, kind) = unsafe {
                (
                    entry.read_volatile(),
                    entry.add(1).read_volatile(),
                    entry.add(2).cast::<u32>().read_volatile(),
                )
            };
            (kind == RAM).then_some(PhysRange {
                start,
                end: start + size,
            })
        })
    }
}

/// Where the kernel's image lies.
pub fn image() -> PhysRange {
    PhysRange {
        start: 0x20_0000,
        end: virt_to_phys((&raw const __kernel_end) as usize),
    }
}

/// Extends the direct map to the end of memory, with 2 MiB pages. `table` gives a zeroed frame.
///
/// Returns the end of what is mapped.
pub fn extend_direct_map(end: u64, mut table: impl FnMut() -> Option<Frame>) -> u64 {
    const PAGE: u64 = 2 << 20;
    const FLAGS: u64 = 0x183;
    // SAFETY: the direct map's table, which only this function changes, before there are threads.
    let pdpt = (&raw const boot_pdpt).cast_mut().cast::<u64>();
    let mut at = super::layout::DIRECT_FIRST;
    while at < end && at >> 30 < 512 {
        let Some(frame) = table() else { break };
        for i in 0..512 {
            // SAFETY: the frame is new.
            unsafe {
                phys_to_virt(frame.address())
                    .cast::<u64>()
                    .add(i)
                    .write((at + i as u64 * PAGE) | FLAGS)
            };
        }
        // SAFETY: an entry that was empty.
        unsafe {
            pdpt.add((at >> 30) as usize)
                .write_volatile(frame.address() | 3)
        };
        at += 1 << 30;
    }
    at
}
