//! Debug modes of the kernel's own memory, as the command line asks for them.

use scalvm::{Complaint, DebugOptions};

use super::VM;
use crate::boot_options::bytes;
use crate::println;

/// The option, and what follows it: modes separated by commas. `fill`, `poison`, `redzones[=BYTES]`,
/// `quarantine[=SIZE]`; `sites` for nothing but who allocated what; `all`.
const OPTION: &[u8] = b"scalvm.kmem-debug=";

/// Bytes of a red zone, and of the quarantine, where no number says otherwise.
const RED_ZONE: usize = 32;
const QUARANTINE: usize = 64 << 10;

/// Turns debug mode on if the command line says so. Before anything is allocated: it takes no memory
/// of the heap's itself.
pub fn start(line: &[u8]) {
    let mut words = line.split(u8::is_ascii_whitespace);
    let Some(modes) = words.find_map(|word| word.strip_prefix(OPTION)) else {
        return;
    };
    let mut options = DebugOptions::new(complain);
    for mode in modes.split(|byte| *byte == b',') {
        if !add(&mut options, mode) {
            println!("scalvm: a debug mode is not known: {}", mode.escape_ascii());
        }
    }
    if let Err(error) = VM.set_debug(options) {
        println!("scalvm: there is no debug mode: {error:?}");
    }
}

/// Adds a mode; false if there is none of that name.
fn add(options: &mut DebugOptions, mode: &[u8]) -> bool {
    let at = mode.iter().position(|byte| *byte == b'=');
    let (name, value) = mode.split_at(at.unwrap_or(mode.len()));
    let size = match value.get(1..).map(bytes) {
        None => None,
        Some(Some(size)) => Some(size as usize),
        Some(None) => return false,
    };
    match name {
        b"sites" => {}
        b"fill" => options.fill = true,
        b"poison" => options.poison = true,
        b"redzones" => options.red_zones = size.unwrap_or(RED_ZONE),
        b"quarantine" => options.quarantine = size.unwrap_or(QUARANTINE),
        b"all" => *options = DebugOptions::all(complain),
        _ => return false,
    }
    true
}

/// Tells of a misuse, and goes on: what was found is left alone, so that more may be.
fn complain(complaint: &Complaint) {
    println!("scalvm: kernel memory: {complaint}");
}
