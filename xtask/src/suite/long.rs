//! What is run only when time does not matter: another shell, more data, the same again and again.

use std::fmt::Write;
use std::process::Command;

use anyhow::{Result, bail};

use super::lab::{files, stem};
use super::{Lab, Plan, Report, c_programs, compare, host};
use crate::setup::{self, BASH};

/// How long a guest may run, in seconds.
const PATIENCE: u64 = 3600;
/// How often each C program runs in one guest.
const TIMES: u32 = 30;
/// Sessions that another shell understands as well.
const SESSIONS: [&str; 3] = ["pipes", "forks", "files"];

/// Runs the long tests, if they are wanted.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    if !plan.long {
        return;
    }
    let mut test = |name: &str, body: &dyn Fn() -> Result<()>| {
        if plan.wants(name) {
            report.test(name, body);
        }
    };
    for session in SESSIONS {
        test(&format!("long/bash-{session}"), &|| bash(lab, session));
    }
    test("long/again", &|| again(lab));
    test("long/sort", &|| sort(lab));
    test("long/vmbench", &|| {
        let here = lab
            .guest(&["/bin/vmbench"])
            .mem(1 << 30)
            .patience(PATIENCE)
            .run()?;
        if here.status != 0 || here.output.contains("FAILED") {
            bail!("status {}\n{}", here.status, here.output);
        }
        Ok(())
    });
}

/// A session by bash, a larger program than busybox's shell, on both sides.
fn bash(lab: &Lab, session: &str) -> Result<()> {
    let bash = setup::ensure(&BASH)?;
    let script = files("tests/shell", "sh")?
        .into_iter()
        .find(|path| stem(path) == session);
    let Some(script) = script else {
        bail!("tests/shell/{session}.sh is missing")
    };
    let guest_script = format!("/tests/{session}.sh");
    let here = lab
        .guest(&["/bin/bash", &guest_script])
        .patience(PATIENCE)
        .run()?;
    let mut linux = Command::new(bash);
    linux.arg(script);
    compare::same(&host::run(lab.on_host(&mut linux)?)?, &here)
}

/// All C programs, again and again in one guest: each time they print the same, and what they
/// print is what Linux prints.
fn again(lab: &Lab) -> Result<()> {
    let mut script = "cd /tmp\n".to_owned();
    let mut linux = String::new();
    for program in lab.programs() {
        let name = stem(program);
        if c_programs::OTHERS.contains(&&name[..]) {
            continue;
        }
        writeln!(
            script,
            "/tests/{name} >first; for i in $(seq {TIMES}); do /tests/{name} >again; \
             cmp first again; done; echo {name}; cat first"
        )?;
        linux += &format!("{name}\n{}", host::run(&mut Command::new(program))?.output);
    }
    let linux = super::lab::Outcome {
        status: 0,
        output: linux,
    };
    let here = lab
        .guest(&["/bin/sh", "-c", &script])
        .patience(PATIENCE)
        .run()?;
    compare::same(&linux, &here)
}

/// Five million lines sorted, in a guest that has just the memory for it.
fn sort(lab: &Lab) -> Result<()> {
    let script = "seq 5000000 | awk '{ print ($1 * 7919) % 5000011 }' | sort | md5sum";
    let here = lab
        .guest(&["/bin/sh", "-c", script])
        .mem(1 << 30)
        .patience(PATIENCE)
        .run()?;
    let mut linux = Command::new("busybox");
    linux.args(["sh", "-c", script]);
    compare::same(&host::run(lab.on_host(&mut linux)?)?, &here)
}
