//! The kernel's command line: options, `--`, then the first process, each argument with its
//! bytes beyond plain ASCII as `%XX`, so that a space only ever separates.

use std::os::unix::ffi::OsStrExt;

use super::config::{Config, Console, Paging, Root};

/// The whole command line for a guest.
pub fn command_line(config: &Config) -> String {
    let mut words = Vec::new();
    match config.console {
        Console::Raw => words.push("scalvm.console=raw".to_owned()),
        Console::Terminal { rows, cols } => {
            words.push(format!("scalvm.rows={rows}"));
            words.push(format!("scalvm.cols={cols}"));
        }
    }
    if config.stats {
        words.push("scalvm.stats=1".to_owned());
    }
    if let Some(modes) = &config.kmem_debug {
        words.push(format!("scalvm.kmem-debug={modes}"));
    }
    if let Root::Disk(number) = config.root {
        words.push(format!("root=/dev/{}", disk_name(number)));
    }
    if config.icount {
        // The same run counts the same instructions.
        words.push("norandmaps".to_owned());
    }
    words.extend(paging(&config.paging));
    words.push("--".to_owned());
    words.extend(
        config
            .program
            .iter()
            .map(|argument| encode(argument.as_bytes())),
    );
    words.join(" ")
}

/// The options about paging.
fn paging(paging: &Paging) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(number) = paging.swap_disk {
        words.push(format!("scalvm.swap={}", disk_name(number)));
    }
    if paging.encrypt {
        words.push("scalvm.swap-encrypt=1".to_owned());
    }
    if let Some(bytes) = paging.compress {
        words.push(format!("scalvm.compress={bytes}"));
    }
    if let Some(name) = paging.policy {
        words.push(format!("scalvm.policy={name}"));
    }
    words
}

/// What the guest calls a disk.
fn disk_name(number: usize) -> String {
    let letter = |digit: usize| char::from(b'a' + (digit % 26) as u8);
    match number / 26 {
        0 => format!("vd{}", letter(number)),
        more => format!("vd{}{}", letter(more - 1), letter(number)),
    }
}

/// One argument. An empty one becomes a lone `%`, since two separators side by side are one.
fn encode(argument: &[u8]) -> String {
    if argument.is_empty() {
        return "%".to_owned();
    }
    let mut text = String::new();
    for &byte in argument {
        if byte.is_ascii_graphic() && byte != b'%' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn arguments_hold_no_separator() {
        assert_eq!(encode(b"/bin/sh"), "/bin/sh");
        assert_eq!(encode(b"echo a%\n"), "echo%20a%25%0A");
        assert_eq!(encode("ä\x7f".as_bytes()), "%C3%A4%7F");
        assert_eq!(encode(b""), "%");
    }

    #[test]
    fn options_come_before_the_program() {
        let program = vec!["/bin/sh".into(), "-c".into(), "ls -l".into()];
        let raw = Config::new("".into(), "".into(), PathBuf::new(), program);
        assert_eq!(
            command_line(&raw),
            "scalvm.console=raw -- /bin/sh -c ls%20-l"
        );
        let console = Console::Terminal { rows: 24, cols: 80 };
        let config = Config {
            console,
            stats: true,
            ..raw
        };
        assert_eq!(
            command_line(&config),
            "scalvm.rows=24 scalvm.cols=80 scalvm.stats=1 -- /bin/sh -c ls%20-l"
        );
        let raw = Config {
            console: Console::Raw,
            stats: false,
            root: Root::Disk(1),
            ..config
        };
        assert_eq!(
            command_line(&raw),
            "scalvm.console=raw root=/dev/vdb -- /bin/sh -c ls%20-l"
        );
    }
}
