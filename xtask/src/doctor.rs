//! `cargo xtask doctor`: what is there and what is missing.

use crate::setup::{self, APT_GET, BUSYBOX, DPKG_DEB, MKE2FS, MUSL_GCC, QEMU, Toolchain, VALGRIND};

/// Prints a line for each thing that is needed; the status is 0 if all are there.
pub fn doctor() -> u8 {
    let mut missing = 0;
    let mut line = |name: &str, found: Option<String>, remedy: &str| match found {
        Some(what) => println!("ok       {name}: {what}"),
        None => {
            missing += 1;
            println!("missing  {name}: {remedy}");
        }
    };
    for tool in [QEMU, BUSYBOX, MUSL_GCC, APT_GET, DPKG_DEB, MKE2FS, VALGRIND] {
        let found = setup::find(&tool).map(|path| format!("{} ({})", path.display(), tool.purpose));
        let remedy = format!("apt-get install {} ({})", tool.package, tool.purpose);
        line(tool.program, found, &remedy);
    }
    let remedy = "rustup target add x86_64-unknown-none, or apt-get install rustc-web cargo-web \
                  rust-web-src lld (builds the kernel)";
    line(
        "bare target",
        Toolchain::find().map(|found| found.describe()),
        remedy,
    );
    u8::from(missing > 0)
}
