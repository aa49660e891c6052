//! The kernel's code for programs: the clocks without a system call.
//!
//! A small shared library in the ELF format that C libraries know how to look into, laid out by
//! hand here. It is mapped behind a page of parameters
//! ([`time::parameters`](super::time::parameters)), which it reads.

use core::arch::global_asm;

use scalvm::PAGE_SIZE;

global_asm!(
    ".pushsection .rodata.vdso, \"a\"",
    ".balign 16",
    "vdso_start:",
    // The file's header.
    ".byte 0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0",
    ".short 3, 62",
    ".long 1",
    ".quad 0, vdso_headers - vdso_start, 0",
    ".long 0",
    ".short 64, 56, 2, 64, 0, 0",
    // Program headers: all of it, and the dynamic section.
    "vdso_headers:",
    ".long 1, 5",
    ".quad 0, 0, 0, vdso_end - vdso_start, vdso_end - vdso_start, 4096",
    ".long 2, 4",
    ".quad vdso_dynamic - vdso_start, vdso_dynamic - vdso_start, vdso_dynamic - vdso_start",
    ".quad vdso_dynamic_end - vdso_dynamic, vdso_dynamic_end - vdso_dynamic, 8",
    "vdso_dynamic:",
    ".quad 4, vdso_hash - vdso_start",
    ".quad 5, vdso_strings - vdso_start",
    ".quad 6, vdso_symbols - vdso_start",
    ".quad 10, vdso_strings_end - vdso_strings",
    ".quad 11, 24",
    ".quad 14, vdso_name - vdso_strings",
    ".quad 0, 0",
    "vdso_dynamic_end:",
    // One bucket, in which all symbols are.
    "vdso_hash:",
    ".long 1, 5, 1, 0, 2, 3, 4, 0",
    "vdso_symbols:",
    ".quad 0, 0, 0",
    ".macro vdso_symbol name, code, end",
    ".long \\name - vdso_strings",
    ".byte 0x12, 0",
    ".short 1",
    ".quad \\code - vdso_start, \\end - \\code",
    ".endm",
    "vdso_symbol vdso_name_1, vdso_clock_gettime, vdso_gettimeofday",
    "vdso_symbol vdso_name_2, vdso_gettimeofday, vdso_time",
    "vdso_symbol vdso_name_3, vdso_time, vdso_getcpu",
    "vdso_symbol vdso_name_4, vdso_getcpu, vdso_end",
    "vdso_strings:",
    ".byte 0",
    "vdso_name: .asciz \"linux-vdso.so.1\"",
    "vdso_name_1: .asciz \"__vdso_clock_gettime\"",
    "vdso_name_2: .asciz \"__vdso_gettimeofday\"",
    "vdso_name_3: .asciz \"__vdso_time\"",
    "vdso_name_4: .asciz \"__vdso_getcpu\"",
    "vdso_strings_end:",

    // Nanoseconds since boot in rax.
    ".macro vdso_now",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "sub rax, [rip + vdso_start - {page}]",
    "mul qword ptr [rip + vdso_start - {page} + 8]",
    "shrd rax, rdx, 32",
    ".endm",

    ".balign 16",
    "vdso_clock_gettime:",
    // Those that count from boot: 1, 4, 6, 7. Those that tell the time of day: 0, 5.
    "mov ecx, 0xd2",
    "cmp edi, 7",
    "ja 3f",
    "bt ecx, edi",
    "jnc 2f",
    "vdso_now",
    "1: mov ecx, 1000000000",
    "xor edx, edx",
    "div rcx",
    "mov [rsi], rax",
    "mov [rsi + 8], rdx",
    "xor eax, eax",
    "ret",
    "2: test edi, ~5",
    "jnz 3f",
    "vdso_now",
    "add rax, [rip + vdso_start - {page} + 16]",
    "jmp 1b",
    "3: mov eax, 228",
    "syscall",
    "ret",

    ".balign 16",
    "vdso_gettimeofday:",
    "vdso_now",
    "add rax, [rip + vdso_start - {page} + 16]",
    "test rdi, rdi",
    "jz 2f",
    "mov ecx, 1000000000",
    "xor edx, edx",
    "div rcx",
    "mov [rdi], rax",
    "mov eax, edx",
    "mov ecx, 1000",
    "xor edx, edx",
    "div ecx",
    "mov [rdi + 8], rax",
    "2: test rsi, rsi",
    "jz 3f",
    "mov qword ptr [rsi], 0",
    "3: xor eax, eax",
    "ret",

    ".balign 16",
    "vdso_time:",
    "vdso_now",
    "add rax, [rip + vdso_start - {page} + 16]",
    "mov ecx, 1000000000",
    "xor edx, edx",
    "div rcx",
    "test rdi, rdi",
    "jz 2f",
    "mov [rdi], rax",
    "2: ret",

    ".balign 16",
    "vdso_getcpu:",
    "xor eax, eax",
    "test rdi, rdi",
    "jz 2f",
    "mov [rdi], eax",
    "2: test rsi, rsi",
    "jz 3f",
    "mov [rsi], eax",
    "3: ret",
    "vdso_end:",
    ".popsection",
    page = const PAGE_SIZE,
);

/// The library.
pub fn image() -> &'static [u8] {
    unsafe extern "C" {
        static vdso_start: u8;
        static vdso_end: u8;
    }
    // SAFETY: the bytes between the two labels above.
    unsafe {
        let (start, end) = (&raw const vdso_start, &raw const vdso_end);
        core::slice::from_raw_parts(start, end.offset_from_unsigned(start))
    }
}
