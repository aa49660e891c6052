//! [`Name`]: what an entry of /proc is called. Takes no memory.

/// The number that a name is, in its shortest form.
pub fn number(name: &[u8]) -> Option<usize> {
    let number = core::str::from_utf8(name).ok()?.parse().ok()?;
    (Digits::of(number).as_bytes() == name).then_some(number)
}

/// The name of an entry.
pub enum Name {
    /// A name of the kernel's own.
    Fixed(&'static str),
    /// The number of a process or descriptor.
    Number(Digits),
}

impl Name {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Name::Fixed(name) => name.as_bytes(),
            Name::Number(digits) => digits.as_bytes(),
        }
    }
}

/// A number, written out.
pub struct Digits {
    /// The last of these bytes are the digits.
    bytes: [u8; Digits::MAX],
    start: usize,
}

impl Digits {
    /// Digits of the highest number.
    const MAX: usize = 20;

    /// Those of a number.
    pub fn of(mut number: usize) -> Digits {
        let mut digits = Digits {
            bytes: [0; Digits::MAX],
            start: Digits::MAX,
        };
        loop {
            digits.start -= 1;
            digits.bytes[digits.start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return digits;
            }
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}
