//! What QEMU's monitor tells about the processor.

/// The registers that tell where a guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Address of the next instruction.
    pub rip: u64,
    /// The stack pointer.
    pub rsp: u64,
    /// The frame pointer.
    pub rbp: u64,
    /// Whether the processor runs the kernel.
    pub in_kernel: bool,
    /// Whether it takes interrupts.
    pub interrupts_on: bool,
    /// Whether it waits in a `hlt`.
    pub halted: bool,
}

impl Registers {
    /// Reads the answer to `info registers`. Before the kernel has left 32-bit mode, the names
    /// are those of that mode.
    pub fn parse(text: &str) -> Option<Self> {
        // A name stands at the begin of a word, `RIP=00…`; some have a space before the `=`.
        let value = |name: &str| -> Option<u64> {
            let at = text.match_indices(name).find(|(at, _)| {
                text[..*at]
                    .chars()
                    .next_back()
                    .is_none_or(char::is_whitespace)
            })?;
            let rest = text[at.0 + name.len()..].trim_start();
            let digits: String = rest
                .strip_prefix('=')?
                .chars()
                .take_while(char::is_ascii_hexdigit)
                .collect();
            u64::from_str_radix(&digits, 16).ok()
        };
        Some(Self {
            rip: value("RIP").or(value("EIP"))?,
            rsp: value("RSP").or(value("ESP"))?,
            rbp: value("RBP").or(value("EBP"))?,
            in_kernel: value("CPL")? == 0,
            interrupts_on: value("RFL").or(value("EFL"))? & 0x200 != 0,
            halted: value("HLT")? != 0,
        })
    }
}

/// Whether an interrupt waits to be taken, by the answers to `info pic` and `info lapic`.
pub fn interrupt_pending(pic: &str, lapic: &str) -> bool {
    let waits_at_pic = pic
        .lines()
        .filter(|line| line.contains("irr="))
        .any(|line| {
            let field = |name: &str| -> u64 {
                let rest = line.split_once(name).map_or("", |(_, rest)| rest);
                let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
                u64::from_str_radix(&digits, 16).unwrap_or(0)
            };
            field("irr=") & !field("imr=") != 0
        });
    let waits_at_lapic = lapic.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("IRR") && words.next().is_some_and(|word| word != "(none)")
    });
    waits_at_pic || waits_at_lapic
}
