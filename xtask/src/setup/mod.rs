//! Brings the tools that a fresh machine lacks, saying in one line what is installed; where
//! nothing may be installed, says what to install.

mod apt;
mod sanitizer;
mod toolchain;

use std::path::PathBuf;

use anyhow::{Result, bail};

pub use apt::update as update_packages;
pub use sanitizer::ThreadSanitizer;
pub use toolchain::{CLIPPY, Toolchain, ensure_component, running_cargo};

/// A program of another package that this tool starts.
pub struct Tool {
    /// The program's name.
    pub program: &'static str,
    /// Debian's package that has it.
    pub package: &'static str,
    /// What it is wanted for.
    pub purpose: &'static str,
}

/// The emulator.
pub const QEMU: Tool = Tool {
    program: "qemu-system-x86_64",
    package: "qemu-system-x86",
    purpose: "runs the guest",
};

/// The guest's shell and commands.
pub const BUSYBOX: Tool = Tool {
    program: "busybox",
    package: "busybox-static",
    purpose: "the guest's shell and commands",
};

/// A larger shell, for long tests.
pub const BASH: Tool = Tool {
    program: "bash-static",
    package: "bash-static",
    purpose: "a larger static program to test with",
};

/// The compiler of the C programs.
pub const MUSL_GCC: Tool = Tool {
    program: "musl-gcc",
    package: "musl-tools",
    purpose: "compiles vmbench and the C tests, static",
};

/// What counts instructions.
pub const VALGRIND: Tool = Tool {
    program: "valgrind",
    package: "valgrind",
    purpose: "counts the instructions of allocators",
};

/// What makes file systems for a guest's disks.
pub const MKE2FS: Tool = Tool {
    program: "mke2fs",
    package: "e2fsprogs",
    purpose: "makes file systems for the guest's disks",
};

/// What checks them.
pub const E2FSCK: Tool = Tool {
    program: "e2fsck",
    package: "e2fsprogs",
    purpose: "checks the file systems of the guest's disks",
};

/// What looks into them.
pub const DEBUGFS: Tool = Tool {
    program: "debugfs",
    package: "e2fsprogs",
    purpose: "takes files out of the guest's disks",
};

/// What knows which packages a package depends on.
pub const APT_GET: Tool = Tool {
    program: "apt-get",
    package: "apt",
    purpose: "brings Debian packages for the guest",
};

/// What unpacks them.
pub const DPKG_DEB: Tool = Tool {
    program: "dpkg-deb",
    package: "dpkg",
    purpose: "unpacks Debian packages",
};

/// What tells the functions in a sanitizer's report.
pub const SYMBOLIZER: Tool = Tool {
    program: "llvm-symbolizer",
    package: "llvm",
    purpose: "names the functions in the thread sanitizer's reports",
};

/// The path of a tool's program, which is installed if it is missing.
pub fn ensure(tool: &Tool) -> Result<PathBuf> {
    if let Some(path) = find(tool) {
        return Ok(path);
    }
    apt::install(&[tool.package], tool.purpose)?;
    match find(tool) {
        Some(path) => Ok(path),
        None => bail!(
            "package {} is installed, but {} is not found",
            tool.package,
            tool.program
        ),
    }
}

/// The path of a tool's program, if it is there and fit for use.
pub fn find(tool: &Tool) -> Option<PathBuf> {
    in_path(tool.program).filter(|path| tool.program != BUSYBOX.program || is_static(path))
}

/// Looks a program up in `PATH`.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Whether an ELF program asks for no interpreter, so that it runs without shared libraries.
fn is_static(path: &std::path::Path) -> bool {
    std::fs::read(path).is_ok_and(|elf| !has_interpreter(&elf))
}

/// Looks for a `PT_INTERP` (3) among the program headers of a 64-bit ELF file.
fn has_interpreter(elf: &[u8]) -> bool {
    let number = |at: usize, len: usize| -> Option<usize> {
        let bytes = elf.get(at..at + len)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | usize::from(*byte)),
        )
    };
    let (Some(table), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2))
    else {
        return false;
    };
    (0..count).any(|i| number(table + i * size, 4) == Some(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_program_is_not_static() {
        let me = std::fs::read("/proc/self/exe").expect("the running program");
        assert!(has_interpreter(&me));
        assert!(!has_interpreter(&me[..40]));
    }
}
