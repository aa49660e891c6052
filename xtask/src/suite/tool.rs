//! How this tool takes what may happen to it and to a guest.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Plan, Report};
use crate::machine::{self, Config, End, Finished, Input, Memory, Scratch};
use crate::setup::{self, BUSYBOX, MUSL_GCC, QEMU};
use crate::{FAILED, paths};

/// Runs the tests.
pub fn run(plan: &Plan, report: &mut Report) {
    let mut test = |name: &str, body: &dyn Fn() -> Result<()>| {
        if plan.wants(name) {
            report.test(name, body);
        }
    };
    test("tool/setup", &|| {
        [QEMU, BUSYBOX, MUSL_GCC]
            .iter()
            .try_for_each(|tool| setup::ensure(tool).map(drop))
    });
    test("tool/exit", &|| {
        let (finished, output) = tiny("EXITS", b"some input\n", None)?;
        expect(&finished.end, |end| *end == End::Exited(139))?;
        if output != "hello\nsome input\n" || finished.notices != ["unknown call 999"] {
            bail!("printed {output:?} and noted {:?}", finished.notices);
        }
        Ok(())
    });
    test("tool/reset", &|| {
        let (finished, _) = tiny("RESETS", b"", None)?;
        expect(&finished.end, |end| crashed(end, "triple fault", "act"))
    });
    test("tool/halt", &|| {
        let (finished, _) = tiny("HALTS", b"", None)?;
        expect(&finished.end, |end| {
            crashed(end, "halted with interrupts off", "act at")
        })
    });
    test("tool/spin", &|| {
        let (finished, _) = tiny("SPINS", b"", None)?;
        expect(&finished.end, |end| {
            crashed(end, "the guest hangs", "act at")
        })
    });
    test("tool/timeout", &|| {
        let (finished, _) = tiny("SPINS", b"", Some(Duration::from_secs(2)))?;
        expect(
            &finished.end,
            |end| matches!(end, End::TimedOut { trace, .. } if trace.iter().any(|l| l.contains("act at"))),
        )
    });
    test("tool/panic", &|| {
        let (finished, _) = tiny("PANICS", b"", None)?;
        expect(&finished.end, |end| {
            crashed(end, "at tiny.S:\nall is lost", "start at")
        })
    });
    test("tool/bad-option", &|| {
        refused(&["run", "--cpus", "2"], "--cpus", 2)
    });
    test("tool/bad-size", &|| {
        refused(&["run", "--mem", "lots"], "such as 256M", 2)
    });
    test("tool/no-disk", &|| {
        refused(&["run", "--disk", "/no/disk"], "the disk /no/disk", FAILED)
    });
    test("tool/no-root", &|| {
        refused(&["run", "--root", "/no/root"], "the root /no/root", FAILED)
    });
    test("tool/no-program", &|| {
        refused(
            &["run", "--", "/bin/nothing"],
            "no program /bin/nothing",
            FAILED,
        )
    });
}

/// Runs one of the tiny kernels of tests/machines.
fn tiny(variant: &str, input: &[u8], timeout: Option<Duration>) -> Result<(Finished, String)> {
    let scratch = Scratch::new()?;
    let root = scratch.path("root");
    std::fs::write(&root, b"")?;
    let qemu = setup::ensure(&setup::QEMU)?;
    let kernel = assemble(variant, &scratch)?;
    let config = Config {
        mem: 32 << 20,
        timeout: timeout.or(Some(Duration::from_secs(60))),
        ..Config::new(qemu, kernel, root, vec!["/bin/sh".into()])
    };
    let output = Memory::default();
    let finished = machine::run(
        &config,
        Input::Bytes(input.to_vec()),
        Box::new(output.clone()),
    )?;
    Ok((
        finished,
        String::from_utf8_lossy(&output.take()).into_owned(),
    ))
}

/// Assembles and links a tiny kernel, with line tables.
fn assemble(variant: &str, scratch: &Scratch) -> Result<PathBuf> {
    setup::ensure(&setup::MUSL_GCC)?; // brings the assembler and the linker
    let source = paths::root().join("tests/machines/tiny.S");
    let (object, kernel) = (scratch.path("tiny.o"), scratch.path("tiny"));
    let mut compile = Command::new("gcc");
    compile
        .args(["-c", "-g", &format!("-DVARIANT={variant}"), "-o"])
        .arg(&object)
        .arg(source);
    let mut link = Command::new("ld");
    link.args(["-e", "start", "-Ttext=0x100000", "-z", "noexecstack", "-o"]);
    link.arg(&kernel).arg(&object);
    for mut command in [compile, link] {
        let output = command.output().context("starting the compiler")?;
        if !output.status.success() {
            bail!("tiny.S: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    Ok(kernel)
}

/// An error unless the end is as wanted.
fn expect(end: &End, wanted: impl Fn(&End) -> bool) -> Result<()> {
    if wanted(end) {
        return Ok(());
    }
    bail!("the guest ended otherwise: {end:?}");
}

/// Whether a guest crashed for this reason, with such a line in its backtrace.
fn crashed(end: &End, reason: &str, line: &str) -> bool {
    matches!(end, End::Crashed { what, trace }
        if what.contains(reason) && trace.iter().any(|text| text.contains(line)))
}

/// This very tool, given bad arguments, must say so and end with this status.
fn refused(words: &[&str], message: &str, status: u8) -> Result<()> {
    let output = Command::new(std::env::current_exe()?)
        .args(words)
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(i32::from(status)) || !text.contains(message) {
        bail!("ended with {}, saying:\n{text}", output.status);
    }
    Ok(())
}
