//! More memory than there is: programs in little memory, with a disk to put pages back to.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::lab::Outcome;
use super::{Lab, Plan, Report, compare, host};
use crate::machine::Failing;

/// The guest's memory.
const MEM: u64 = 64 << 20;
/// The swap disk's size.
const SWAP: u64 = 512 << 20;
/// How long a guest may run, in seconds.
const PATIENCE: u64 = 600;

/// Lines that are sorted, of 16 bytes each: 16 MiB of them, and 24 MiB when time does not matter.
/// Sorting takes several times that, and comes by it in no order.
const LINES: (u32, u32) = (1 << 20, 3 << 19);

/// Runs the tests.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    let mut test = |name: &str, body: &dyn Fn() -> Result<()>| {
        if plan.wants(name) {
            report.test(name, body);
        }
    };
    test("swap/sort", &|| sort(lab, LINES.0));
    if plan.long {
        test("swap/sort-long", &|| sort(lab, LINES.1));
        test("swap/sort-200M", &|| sort_of_files(lab));
    }
    test("swap/patterns", &|| patterns(lab));
    test("swap/vmbench", &|| vmbench(lab));
    test("swap/compressed", &|| compressed(lab));
    test("swap/all-stores", &|| all_stores(lab));
    test("swap/encrypted", &|| encrypted(lab));
    test("swap/large", &|| large(lab));
    test("swap/commands", &|| commands(lab));
    test("swap/off", &|| off(lab));
    test("swap/fails", &|| fails(lab));
    test("swap/oom", &|| oom(lab));
    test("swap/oom-locked", &|| oom_locked(lab));
    test("swap/oom-choice", &|| oom_choice(lab));
    test("swap/rest", &|| rest(lab));
    test("swap/promises", &|| promises(lab));
    test("swap/resident-limit", &|| resident_limit(lab));
}

/// An error unless a guest has printed this, and ended well.
fn expect(here: &Outcome, output: &str) -> Result<()> {
    if here.status != 0 || here.output != output {
        bail!(
            "status {}, not 0, or not {output:?} but {:?}",
            here.status,
            here.output
        );
    }
    Ok(())
}

/// Lines of a disk are sorted, in several times less memory than that takes.
fn sort(lab: &Lab, lines: u32) -> Result<()> {
    let disk = lab.path("unsorted");
    write_lines(&disk, lines)?;
    let script = |file: &str| format!("sort {file} | md5sum");
    let here = lab
        .guest(&["/bin/sh", "-c", &script("/dev/vda")])
        .disk(&disk)
        .mem(MEM)
        .swap(SWAP * 2)
        .patience(PATIENCE * 4)
        .run()?;
    let mut linux = Command::new("busybox");
    linux.args(["sh", "-c", &script(&disk.display().to_string())]);
    let linux = host::run(lab.on_host(&mut linux)?)?;
    fs::remove_file(&disk)?;
    compare::same(&linux, &here)
}

/// A file of 200 MB is sorted by Debian's sort, which puts parts into files: those lie in memory as well,
/// and so does what memory has no room for on the swap disk.
fn sort_of_files(lab: &Lab) -> Result<()> {
    let disk = lab.path("unsorted");
    write_lines(&disk, 200 << 16)?;
    let script = "mkdir /big && mount -t tmpfs -o size=700M none /big && \
                  LC_ALL=C /debian/sort -S 24M -T /big /dev/vda | md5sum";
    let here = lab
        .guest(&["/bin/sh", "-c", script])
        .disk(&disk)
        .mem(MEM)
        .swap(SWAP * 2)
        .patience(PATIENCE * 2)
        .run()?;
    let mut linux = Command::new("sh");
    let script = format!("LC_ALL=C sort {} | md5sum", disk.display());
    linux.args(["-c", &script]);
    let linux = host::run(&mut linux)?;
    fs::remove_file(&disk)?;
    compare::same(&linux, &here)
}

/// Writes lines of 16 bytes in no order.
fn write_lines(file: &Path, lines: u32) -> Result<()> {
    let mut out = std::io::BufWriter::new(fs::File::create(file)?);
    for line in 0..lines {
        let number = line.wrapping_mul(2_654_435_761);
        writeln!(out, "{number:010} abcd")?;
    }
    Ok(out.flush()?)
}

/// 64 MiB of large pages take as many faults as there are of them; and with less memory than that they leave page by page, and
/// come back.
fn large(lab: &Lab) -> Result<()> {
    let counts = "grep -E '^(pgfault|thp_)' /proc/vmstat";
    let script = |rounds: u32| format!("{counts}; /tests/large {rounds}; {counts}");
    let told = |here: &Outcome| -> Result<HashMap<String, u64>> {
        let Some((before, after)) = here.output.split_once("nothing wrong\n") else {
            bail!("status {}\n{}", here.status, here.output);
        };
        let read = |text: &str| -> HashMap<String, u64> {
            let lines = text.lines().filter_map(|line| line.split_once(' '));
            lines
                .filter_map(|(name, count)| Some((name.into(), count.parse().ok()?)))
                .collect()
        };
        let (before, after) = (read(before), read(after));
        let more = |(name, count): (String, u64)| {
            let was = before.get(&name).copied().unwrap_or(0);
            (name, count - was)
        };
        Ok(after.into_iter().map(more).collect())
    };
    let roomy = lab.guest(&["/bin/sh", "-c", &script(1)]).run()?;
    let roomy = told(&roomy)?;
    // A few hundred are those of the programs themselves.
    if roomy["thp_fault_alloc"] != 32 || roomy["thp_split_pmd"] != 0 || roomy["pgfault"] > 600 {
        bail!("with room: {roomy:?}");
    }
    let short = lab
        .guest(&["/bin/sh", "-c", &script(3)])
        .mem(MEM)
        .swap(SWAP)
        .patience(PATIENCE)
        .run()?;
    let short = told(&short)?;
    let large = short["thp_fault_alloc"];
    if large < 8 || short["thp_split_pmd"] < large / 2 {
        bail!("without: {short:?}");
    }
    Ok(())
}

/// Twenty processes, of 16 MiB each, find what they wrote.
fn patterns(lab: &Lab) -> Result<()> {
    let here = lab
        .guest(&["/tests/patterns", "20", "16", "2"])
        .mem(MEM)
        .swap(SWAP)
        .patience(PATIENCE)
        .run()?;
    expect(&here, "20 of 20 found what they wrote\n")
}

/// The same of pages that are easily compressed, with no disk at all.
fn compressed(lab: &Lab) -> Result<()> {
    let here = lab
        .guest(&["/tests/patterns", "20", "16", "2", "plain"])
        .mem(MEM)
        .compress(40 << 20)
        .patience(PATIENCE)
        .run()?;
    expect(&here, "20 of 20 found what they wrote\n")
}

/// The compressor is too small for what the processes have, and what it cannot keep goes on to an
/// encrypted disk.
fn all_stores(lab: &Lab) -> Result<()> {
    let disk = lab.path("swap-d");
    fs::File::create(&disk)?.set_len(SWAP)?;
    for kind in [&["plain"][..], &[]] {
        let words = [&["/tests/patterns", "8", "14", "1"], kind].concat();
        let guest = lab.guest(&words).mem(MEM).disk(&disk).compress(8 << 20);
        let here = guest.swap_on(0, true).patience(PATIENCE).run()?;
        expect(&here, "8 of 8 found what they wrote\n")?;
    }
    fs::remove_file(&disk)?;
    Ok(())
}

/// What programs write is in the disk's file of the host, unless it is encrypted.
fn encrypted(lab: &Lab) -> Result<()> {
    /// The MiB that eat.c takes, and what it puts into the first page of each but the first.
    const MIB: u64 = 96;
    let marks: HashSet<[u8; 8]> = (1..MIB)
        .map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    let file = lab.path("swap-c");
    for encrypt in [false, true] {
        fs::File::create(&file)?.set_len(SWAP)?;
        let guest = lab
            .guest(&["/tests/eat", &MIB.to_string()])
            .mem(MEM)
            .disk(&file);
        let here = guest.swap_on(0, encrypt).patience(PATIENCE).run()?;
        expect(&here, "full\n")?;
        let found = fs::read(&file)?
            .chunks(4096)
            .filter(|page| marks.contains(&page[..8]))
            .count();
        let written = fs::metadata(&file)?.blocks() * 512;
        if written < 32 << 20 || (found == 0) != encrypt {
            bail!("encrypted {encrypt}: {written} bytes written, {found} marks were found");
        }
    }
    fs::remove_file(&file)?;
    Ok(())
}

/// vmbench's own tests, which look at the contents of each page, with working sets of one and a half
/// and four times the memory.
fn vmbench(lab: &Lab) -> Result<()> {
    for mib in ["96", "256"] {
        let here = lab
            .guest(&["/bin/vmbench", "-w", mib, "swap_*"])
            .mem(MEM)
            .swap(SWAP)
            .patience(PATIENCE)
            .run()?;
        let figures = here.output.lines().count();
        if here.status != 0 || figures != 3 || here.output.contains("FAILED") {
            bail!("{mib} MiB: status {}\n{}", here.status, here.output);
        }
    }
    Ok(())
}

/// busybox's commands, and the same errors as on Linux.
fn commands(lab: &Lab) -> Result<()> {
    let disks = [lab.path("swap-a"), lab.path("swap-b")];
    for disk in &disks {
        fs::File::create(disk)?.set_len(8 << 20)?;
    }
    let script = "mkswap /dev/vda >/dev/null; swapon /dev/vda; cat /proc/swaps; free | grep Swap; \
                  swapon /dev/vda; swapoff /dev/vda; swapoff /dev/vda; swapon /dev/vdb; \
                  swapon /tmp; swapoff /tmp; swapon /nothing; swapoff /nothing; swapon /dev/null; \
                  echo >/tmp/file; swapon /tmp/file; cat /proc/swaps; \
                  dd if=/dev/zero of=/dev/vda bs=1 seek=4086 count=1 conv=notrunc 2>/dev/null; \
                  swapon /dev/vda; true";
    let here = lab
        .guest(&["/bin/sh", "-c", &format!("exec 2>&1; {script}")])
        .disk(&disks[0])
        .disk(&disks[1])
        .run()?;
    let table = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
    let area = "/dev/vda                                partition\t8188\t\t0\t\t-2\n";
    let expected = format!(
        "{table}{area}Swap:          8188           0        8188\n\
         swapon: /dev/vda: Device or resource busy\n\
         swapoff: /dev/vda: Invalid argument\n\
         swapon: /dev/vdb: Invalid argument\n\
         swapon: /tmp: Is a directory\n\
         swapoff: /tmp: Is a directory\n\
         swapon: /nothing: No such file or directory\n\
         swapoff: /nothing: No such file or directory\n\
         swapon: /dev/null: Invalid argument\n\
         swapon: /tmp/file: Invalid argument\n\
         {table}swapon: /dev/vda: Invalid argument\n"
    );
    expect(&here, &expected)
}

/// swapoff while programs use what is there: refused where it cannot fit, and nothing is lost; done
/// where it can.
fn off(lab: &Lab) -> Result<()> {
    let disk = lab.path("swap-off");
    fs::File::create(&disk)?.set_len(SWAP)?;
    let script = "exec 2>&1; mkswap /dev/vda >/dev/null; swapon /dev/vda; \
                  /tests/patterns 10 16 8 >/tmp/a & \
                  until free -m | awk '/Swap/ { exit $3 < 80 }'; do sleep 0.1; done; \
                  swapoff /dev/vda; grep -c vda /proc/swaps; \
                  wait; cat /tmp/a; \
                  /tests/patterns 2 20 4 >/tmp/b & /tests/eat 40 </dev/null; swapoff /dev/vda; \
                  grep -c vda /proc/swaps; wait; cat /tmp/b";
    let here = lab
        .guest(&["/bin/sh", "-c", script])
        .disk(&disk)
        .mem(MEM)
        .patience(PATIENCE)
        .run()?;
    expect(
        &here,
        "swapoff: /dev/vda: Cannot allocate memory\n1\n10 of 10 found what they wrote\n\
         full\n0\n2 of 2 found what they wrote\n",
    )
}

/// Disks that fail. What cannot be read ends the program that needs it, and no other; what cannot be
/// written stays in memory.
fn fails(lab: &Lab) -> Result<()> {
    for (failing, signal) in [(Failing::ReadsOnceWritten, 7), (Failing::Writes, 9)] {
        let here = lab
            .guest(&["/tests/patterns", "1", "96", "2"])
            .mem(MEM)
            .failing_swap(SWAP, failing)
            .patience(PATIENCE)
            .run()?;
        let expected = format!("ended by signal {signal}\n0 of 1 found what they wrote\n");
        if here.status != 1 || here.output != expected {
            bail!("{failing:?}: {here:?}");
        }
    }
    Ok(())
}

/// A program that takes all memory is ended, with swap and without; the kernel says so, and the shell
/// goes on.
fn oom(lab: &Lab) -> Result<()> {
    for swap in [None, Some(32 << 20)] {
        let guest = lab
            .guest(&["/bin/sh", "-c", "/tests/eat; echo status $?; seq 3"])
            .mem(MEM)
            .patience(PATIENCE);
        let guest = match swap {
            Some(bytes) => guest.swap(bytes),
            None => guest,
        };
        let (here, notices) = guest.run_telling()?;
        expect(&here, "Killed\nstatus 137\n1\n2\n3\n")?;
        let told = |what: &str| notices.iter().filter(|line| line.contains(what)).count();
        if told("out of memory: process") != 1
            || told("(eat) is ended") != 1
            || told("memory in KiB") != 1
        {
            bail!("swap {swap:?}: the kernel said:\n{}", notices.join("\n"));
        }
    }
    Ok(())
}

/// So is one that locks all of its memory, of which it has more than there is, in the middle of the call: it
/// brought in the rest of it, page by page, by taking those of all others.
fn oom_locked(lab: &Lab) -> Result<()> {
    for swap in [0, SWAP] {
        let script = "/tests/lockall 1000; echo status $?; /tests/lockall 8; seq 3";
        let guest = lab.guest(&["/bin/sh", "-c", script]).mem(MEM);
        let guest = if swap > 0 { guest.swap(swap) } else { guest };
        expect(&guest.run()?, "Killed\nstatus 137\nlocked\n1\n2\n3\n")?;
    }
    Ok(())
}

/// The largest one is ended, unless its adjustment says otherwise.
fn oom_choice(lab: &Lab) -> Result<()> {
    let script = "sleep 1000 | /tests/eat 30 >/tmp/a & sleep 2; big=$(pidof eat); \
                  echo -1000 >/proc/$big/oom_score_adj; \
                  /tests/eat; echo status $?; \
                  echo 0 >/proc/$big/oom_score_adj; cat /proc/$big/oom_score_adj; \
                  (echo 1000 >/proc/self/oom_score_adj; exec /tests/eat 5 </tmp) ; \
                  cat /tmp/a; kill $big";
    let here = lab
        .guest(&["/bin/sh", "-c", script])
        .mem(MEM)
        .patience(PATIENCE)
        .run()?;
    expect(&here, "Killed\nstatus 137\n0\nfull\nfull\n")
}

/// While nearly all memory is taken and nothing can leave, the page daemon rests: other programs
/// run, and it looks again only when as many pages have come as make it worth while.
fn rest(lab: &Lab) -> Result<()> {
    // What is left lies between the low mark and what nobody but page-out gets, whatever the kernel itself takes.
    let script = "free=$(awk '/MemFree/ { print $2 - 2000 }' /proc/meminfo); \
                  sleep 1000 | /tests/eat $((free / 1024)) $((free % 1024)) >/tmp/a & sleep 1; cat /tmp/a; \
                  i=0; while [ $i -lt 300 ]; do cat /tmp/a >/dev/null; i=$((i + 1)); done; \
                  cat /proc/scalvm";
    let guest = lab.guest(&["/bin/sh", "-c", script]);
    let here = guest.mem(MEM).patience(PATIENCE).run()?;
    let count = |name: &str| -> u64 {
        let line = here.output.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
    };
    let (rounds, forks) = (count("balances "), count("forks "));
    let pages = count("zero_fills ") + count("cow_copies ");
    if !here.output.starts_with("full\n") || forks < 300 || rounds == 0 || rounds * 100 > pages {
        bail!("status {}, {rounds} rounds\n{}", here.status, here.output);
    }
    Ok(())
}

/// With strict promises a program is refused memory before there is none, and nobody is ended; what
/// is refused by itself is what there can never be.
fn promises(lab: &Lab) -> Result<()> {
    let script = "cd /proc/sys/vm; cat overcommit_memory; echo 3 >overcommit_memory; \
                  echo 2 >overcommit_memory; echo 60 >overcommit_ratio; \
                  cat overcommit_memory overcommit_ratio; \
                  /tests/eat >/tmp/a; echo status $?; grep -o 'no more after' /tmp/a; \
                  free=$(awk '/CommitLimit/ { limit = $2 } /Committed_AS/ { print limit - $2 }' \
                  /proc/meminfo); test $free -ge 0; echo $?; \
                  echo 1 >overcommit_memory; /tests/eat 20 </dev/null";
    let guest = lab.guest(&["/bin/sh", "-c", &format!("exec 2>&1; {script}")]);
    let (here, notices) = guest
        .mem(MEM)
        .swap(16 << 20)
        .patience(PATIENCE)
        .run_telling()?;
    expect(
        &here,
        "0\nsh: write error: Invalid argument\n2\n60\nstatus 1\nno more after\n0\nfull\n",
    )?;
    if !notices.is_empty() {
        bail!("the kernel said:\n{}", notices.join("\n"));
    }
    Ok(())
}

/// A process with a hard limit has no more in memory than that, and goes on; a child has the limit
/// too, over exec.
fn resident_limit(lab: &Lab) -> Result<()> {
    let script = "cat /proc/self/resident_limit; ulimit -m 8000; cat /proc/self/resident_limit; \
                  echo unlimited 4096 >/proc/self/resident_limit; echo 1 >/proc/self/resident_limit; \
                  echo $$ >/tmp/pid; \
                  (echo unlimited 4096 >/proc/$(sh -c 'echo $PPID')/resident_limit; \
                  sleep 1000 | /tests/eat 30 >/tmp/a) 2>/dev/null & sleep 3; big=$(pidof eat); \
                  cat /proc/$big/resident_limit /tmp/a; \
                  awk '{ print ($2 > 500 && $2 <= 1024) }' /proc/$big/statm; kill $big";
    let guest = lab.guest(&["/bin/sh", "-c", &format!("exec 2>&1; {script}")]);
    let here = guest.mem(MEM).swap(SWAP).patience(PATIENCE).run()?;
    expect(
        &here,
        "unlimited unlimited\n8000 unlimited\nsh: write error: Invalid argument\n\
         unlimited 4096\nfull\n1\n",
    )
}
