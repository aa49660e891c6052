//! A panic as the kernel tells of it: `kernel panic: MESSAGE`, then `  frame 0xADDRESS` for each
//! return address, then `scalvm: panicked`.

/// What is known of a panic.
#[derive(Default)]
pub struct Panic {
    message: Option<String>,
    frames: Vec<u64>,
}

impl Panic {
    /// Takes a line; whether it is about a panic. A message of several lines is joined.
    pub fn line(&mut self, line: &str) -> bool {
        let line = line.trim_end();
        if let Some(message) = line.strip_prefix("kernel panic: ") {
            self.message = Some(message.to_owned());
            self.frames.clear();
            return true;
        }
        let Some(message) = &mut self.message else {
            return false;
        };
        if let Some(address) = line.trim_start().strip_prefix("frame 0x") {
            self.frames.extend(u64::from_str_radix(address, 16).ok());
        } else if self.frames.is_empty() && line != "scalvm: panicked" {
            message.push('\n');
            message.push_str(line);
        }
        true
    }

    /// The message.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The return addresses, innermost first.
    pub fn frames(&self) -> &[u64] {
        &self.frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_panic() {
        let mut panic = Panic::default();
        assert!(!panic.line("hello"));
        let text = "kernel panic: at a.rs:1:2:\r\nleft != right\r\n  frame 0xffffffff80001234\r\n  \
                    frame 0x10\r\nscalvm: panicked";
        for line in text.split('\n') {
            assert!(panic.line(line));
        }
        assert_eq!(panic.message(), Some("at a.rs:1:2:\nleft != right"));
        assert_eq!(panic.frames(), [0xffff_ffff_8000_1234, 0x10]);
    }
}
