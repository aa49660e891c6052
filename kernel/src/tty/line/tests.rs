//! What is typed, what is shown, what is read.

use linux_raw_sys::general::{
    ECHO, ICANON, ICRNL, IEXTEN, ISIG, IXON, OPOST, SIGINT, SIGQUIT, SIGTSTP, VTIME, XTABS,
};

use super::discipline::{CAPACITY, Discipline};

/// Types bytes; returns what was shown and the signals.
fn type_in(tty: &mut Discipline, bytes: &[u8]) -> (Vec<u8>, Vec<u32>) {
    let mut shown = Vec::new();
    let mut signals = Vec::new();
    for byte in bytes {
        signals.extend(tty.input(*byte, &mut |more| shown.extend_from_slice(more)));
    }
    (shown, signals)
}

fn read(tty: &mut Discipline, at_most: usize) -> Vec<u8> {
    let mut buffer = vec![0; at_most];
    let count = tty.take(&mut buffer);
    buffer.truncate(count);
    buffer
}

fn raw() -> Discipline {
    let mut tty = Discipline::new();
    let mut settings = *tty.settings();
    settings.local &= !(ICANON | ECHO | ISIG | IEXTEN);
    settings.input &= !(ICRNL | IXON);
    settings.output &= !(OPOST | XTABS);
    settings.chars[VTIME as usize] = 0;
    tty.set(settings);
    tty
}

#[test]
fn a_line_is_read_when_it_is_complete() {
    let mut tty = Discipline::new();
    assert_eq!(type_in(&mut tty, b"ls").0, b"ls");
    assert!(!tty.is_ready());
    assert_eq!(read(&mut tty, 100), b"");
    assert_eq!(type_in(&mut tty, b"\r").0, b"\r\n");
    assert!(tty.is_ready());
    assert_eq!(tty.readable(), 3);
    assert_eq!(read(&mut tty, 2), b"ls");
    assert_eq!(read(&mut tty, 100), b"\n");
    assert!(!tty.is_ready());
}

#[test]
fn one_read_gets_one_line() {
    let mut tty = Discipline::new();
    type_in(&mut tty, b"one\ntwo\n");
    assert_eq!(read(&mut tty, 100), b"one\n");
    assert_eq!(read(&mut tty, 100), b"two\n");
}

#[test]
fn a_line_is_edited() {
    let mut tty = Discipline::new();
    assert_eq!(type_in(&mut tty, b"ab\x7f").0, b"ab\x08 \x08");
    type_in(&mut tty, b"c foo bar\x17\x17baz\n");
    assert_eq!(read(&mut tty, 100), b"ac baz\n");
    type_in(&mut tty, b"nothing\x15\n");
    assert_eq!(read(&mut tty, 100), b"\n");
    type_in(&mut tty, b"a\x16\x03b\n");
    assert_eq!(read(&mut tty, 100), b"a\x03b\n");
}

#[test]
fn a_character_of_several_bytes_or_columns_is_erased_whole() {
    let mut tty = Discipline::new();
    assert_eq!(
        type_in(&mut tty, "aä\x7f".as_bytes()).0,
        "aä\x08 \x08".as_bytes()
    );
    assert_eq!(type_in(&mut tty, b"\x01\x7f").0, b"^A\x08 \x08\x08 \x08");
    assert_eq!(
        type_in(&mut tty, b"\t\x7f").0,
        [&b"\t"[..], &[8; 7]].concat()
    );
    type_in(&mut tty, b"\n");
    assert_eq!(read(&mut tty, 100), b"a\n");
}

#[test]
fn end_of_file_ends_a_read_and_is_not_read() {
    let mut tty = Discipline::new();
    type_in(&mut tty, b"\x04");
    assert!(tty.is_ready());
    assert_eq!(read(&mut tty, 100), b"");
    assert!(!tty.is_ready());
    type_in(&mut tty, b"abc\x04");
    assert_eq!(read(&mut tty, 3), b"abc");
    assert!(!tty.is_ready());
}

#[test]
fn control_characters_are_signals_and_drop_the_line() {
    let mut tty = Discipline::new();
    assert_eq!(
        type_in(&mut tty, b"abc\x03"),
        (b"abc^C".to_vec(), vec![SIGINT])
    );
    assert_eq!(type_in(&mut tty, b"\x1a\x1c").1, [SIGTSTP, SIGQUIT]);
    type_in(&mut tty, b"x\n");
    assert_eq!(read(&mut tty, 100), b"x\n");
}

#[test]
fn raw_mode_gives_every_byte_at_once() {
    let mut tty = raw();
    assert_eq!(type_in(&mut tty, b"\x03\r\x04"), (vec![], vec![]));
    assert!(tty.is_ready());
    assert_eq!(read(&mut tty, 100), b"\x03\r\x04");
    let mut shown = Vec::new();
    tty.output(b"a\nb", &mut |more| shown.extend_from_slice(more));
    assert_eq!(shown, b"a\nb");
}

#[test]
fn what_was_typed_before_raw_mode_is_kept() {
    let mut tty = Discipline::new();
    type_in(&mut tty, b"one\ntw");
    let canonical = *tty.settings();
    tty.set(*raw().settings());
    assert_eq!(tty.waiting(), 6);
    tty.set(canonical);
    assert_eq!(read(&mut tty, 100), b"one\n");
    type_in(&mut tty, b"o\n");
    assert_eq!(read(&mut tty, 100), b"two\n");
}

#[test]
fn a_full_line_takes_no_more_but_its_end() {
    let mut tty = Discipline::new();
    type_in(&mut tty, &[b'x'; 2 * CAPACITY]);
    type_in(&mut tty, b"\n");
    let line = read(&mut tty, 2 * CAPACITY);
    assert_eq!(line.len(), CAPACITY);
    assert_eq!(line.last(), Some(&b'\n'));
}

#[test]
fn output_stops_and_goes_on() {
    let mut tty = Discipline::new();
    type_in(&mut tty, b"\x13");
    assert!(tty.is_stopped());
    type_in(&mut tty, b"\x11");
    assert!(!tty.is_stopped());
    assert_eq!(tty.readable(), 0);
}
