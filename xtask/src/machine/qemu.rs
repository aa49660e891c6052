//! The emulator's command line.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use super::cmdline::command_line;
use super::config::{Config, Disk, Failing, Root};
use crate::setup;

/// The port through which the kernel ends the emulator; its status has room for seven bits.
const EXIT_PORT: &str = "isa-debug-exit,iobase=0xf4,iosize=0x04";
/// The port to which the kernel writes what is meant for this tool and not for the user.
const CONTROL_PORT: &str = "isa-debugcon,iobase=0xe9,chardev=control";

/// The command that starts a guest, with its console on standard input and output, and the
/// control port on standard error. `monitor` is a socket that this tool listens on.
pub fn command(config: &Config, monitor: &Path) -> Command {
    let mut command = dying_with_us(config);
    command
        .args([
            "-M",
            "pc",
            "-cpu",
            "qemu64,+rdrand",
            "-nodefaults",
            "-display",
            "none",
        ])
        .args(["-m", &format!("{}K", config.mem >> 10)])
        // A reset is a triple fault: the machine stops where it was, so that it can be looked at.
        .args(["-action", "reboot=shutdown,shutdown=pause"])
        .args([
            "-chardev",
            "stdio,id=console,signal=off",
            "-serial",
            "chardev:console",
        ])
        .args(["-chardev", "file,id=control,path=/dev/stderr"])
        .args(["-device", CONTROL_PORT, "-device", EXIT_PORT])
        .arg("-qmp")
        .arg(with_path("unix:", monitor))
        .arg("-kernel")
        .arg(&config.kernel)
        .args(["-append", &command_line(config)]);
    if let Root::Archive(archive) = &config.root {
        command.arg("-initrd").arg(doubled_commas(archive));
    }
    for (number, disk) in config.disks.iter().enumerate() {
        command.arg("-drive").arg(drive(number, disk));
        command.args(["-device", &format!("virtio-blk-pci,drive=disk{number}")]);
    }
    if config.icount {
        command
            .args([
                "-accel",
                "tcg,thread=single",
                "-icount",
                if config.waits {
                    "shift=0,sleep=on"
                } else {
                    "shift=0,sleep=off"
                },
            ])
            .args(["-rtc", "clock=vm"]);
    } else {
        command.args(["-accel", "tcg"]);
    }
    if let Some(trace) = &config.trace {
        command.args(["-singlestep", "-D"]).arg(trace);
    }
    if config.gdb {
        command.args(["-s", "-S"]);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The option that describes a disk.
fn drive(number: usize, disk: &Disk) -> OsString {
    let file = match disk.fails {
        None => "file=".to_owned(),
        Some(failing) => {
            const EIO: u32 = 5;
            let rule = match failing {
                Failing::Reads => "event=none,file.inject-error.0.iotype=read",
                Failing::Writes => "event=none,file.inject-error.0.iotype=write",
                // The first write leads to the state in which they fail.
                Failing::ReadsOnceWritten => {
                    "event=read_aio,file.inject-error.0.iotype=read,file.inject-error.0.state=2,\
                     file.set-state.0.event=write_aio,file.set-state.0.state=1,\
                     file.set-state.0.new_state=2"
                }
            };
            format!(
                "file.driver=blkdebug,file.inject-error.0.{rule},file.inject-error.0.errno={EIO},\
                 file.image.driver=file,file.image.filename="
            )
        }
    };
    let snapshot = if disk.fleeting { "on" } else { "off" };
    let mut option = OsString::from(format!(
        "if=none,format=raw,snapshot={snapshot},id=disk{number},{file}"
    ));
    option.push(doubled_commas(&disk.file));
    option
}

/// The emulator, ended by the kernel of the host when this tool is killed.
fn dying_with_us(config: &Config) -> Command {
    match setup::in_path("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL"]).arg(&config.qemu);
            command
        }
        None => Command::new(&config.qemu),
    }
}

/// An option's text with a path behind it.
fn with_path(text: &str, path: &Path) -> OsString {
    let mut option = OsString::from(text);
    option.push(doubled_commas(path));
    option
}

/// A path as QEMU wants it inside an option: a comma written twice.
fn doubled_commas(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        bytes.extend_from_slice(if byte == b',' {
            b",,"
        } else {
            std::slice::from_ref(&byte)
        });
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_paths_do_not_separate() {
        assert_eq!(with_path("file=", Path::new("/a,b")), "file=/a,,b");
    }
}
