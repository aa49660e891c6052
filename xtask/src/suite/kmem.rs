//! The kernel's own memory: what its files tell adds up, nothing grows, and debug mode finds nothing.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::{Lab, Plan, Report};

/// How long a guest in debug mode may run, in seconds.
const PATIENCE: u64 = 600;

/// Runs the tests.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    let mut test = |name: &str, body: &dyn Fn() -> Result<()>| {
        if plan.wants(name) {
            report.test(name, body);
        }
    };
    test("kmem/types", &|| types(lab));
    test("kmem/slabs", &|| slabs(lab));
    test("kmem/arenas", &|| arenas(lab));
    test("kmem/tables", &|| tables(lab));
    test("kmem/debug", &|| debug(lab));
    test("kmem/sites", &|| sites(lab));
}

/// A number of a row.
fn number(row: &[&str], column: usize) -> Result<u64> {
    let word = row.get(column).context("a row is too short")?;
    word.parse().with_context(|| format!("{word} in {row:?}"))
}

/// The words of each line but the first ones.
fn rows(text: &str, head: usize) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().skip(head);
    lines.map(|line| line.split_whitespace().collect())
}

/// Checks the numbers of `/proc/malloctypes`; the pieces in use of each type.
pub fn check_types(text: &str) -> Result<BTreeMap<String, u64>> {
    let mut all = BTreeMap::new();
    for row in rows(text, 1) {
        let [in_use, used, high] = [1, 2, 3].map(|column| number(&row, column));
        let (in_use, used, high) = (in_use?, used?, high?);
        let (requests, fails) = (number(&row, 5)?, number(&row, 6)?);
        ensure!(requests >= in_use + fails, "requests of {row:?}");
        ensure!(high >= used, "the most of {row:?}");
        if let Ok(limit) = row[4].parse::<u64>() {
            ensure!(high <= limit, "the limit of {row:?}");
        }
        let (mut pieces, mut bytes, mut larger) = (0, 0, 0);
        for size in row[8].split(',').filter(|size| *size != "-") {
            let (size, count) = size.split_once(':').context("a size")?;
            let count: u64 = count.parse()?;
            pieces += count;
            match size {
                "more" => larger = count,
                _ => bytes += count * size.parse::<u64>()?,
            }
        }
        ensure!(pieces == in_use, "{pieces} pieces of {row:?}");
        ensure!(
            bytes == used || larger > 0 && bytes < used,
            "{bytes} bytes of {row:?}"
        );
        let before = all.insert(row[0].to_owned(), in_use);
        ensure!(before.is_none(), "two types {}", row[0]);
    }
    ensure!(
        all.get("rust").is_some_and(|pieces| *pieces > 0),
        "no type rust"
    );
    Ok(all)
}

/// What each type has adds up, and the kernel's parts have what they need, no longer than they need it: a
/// pipe that holds bytes, names of files.
fn types(lab: &Lab) -> Result<()> {
    let script = "mkdir /tmp/d; look() { cat /proc/malloctypes >/tmp/$1; }; look 1; look 2; \
                  { head -c 50000 /dev/zero; look 3; touch /tmp/done; } | \
                  { while [ ! -e /tmp/done ]; do sleep 0.1; done; cat >/dev/null; }; \
                  look 4; i=0; while [ $i -lt 100 ]; do : >/tmp/d/$i; i=$((i + 1)); done; \
                  look 5; rm -r /tmp/d; look 6; cd /tmp; cat 2 3 4 5 6";
    let here = lab.guest(&["/bin/sh", "-c", script]).run()?;
    let looks: Vec<_> = here.output.split("Type ").skip(1).collect();
    ensure!(looks.len() == 5, "{here:?}");
    let mut seen = Vec::new();
    for look in looks {
        seen.push(check_types(look).with_context(|| look.to_owned())?);
    }
    let count = |look: usize, name: &str| seen[look].get(name).copied().unwrap_or(0);
    ensure!(
        count(1, "pipe") >= count(0, "pipe") + 13,
        "pipes of {seen:?}"
    );
    ensure!(count(2, "pipe") == count(0, "pipe"), "pipes of {seen:?}");
    ensure!(
        count(3, "names") >= count(2, "names") + 100,
        "names of {seen:?}"
    );
    ensure!(
        count(4, "names") + 100 <= count(3, "names"),
        "names of {seen:?}"
    );
    for name in ["args", "files", "text"] {
        ensure!(count(0, name) > 0, "no {name} in {seen:?}");
    }
    Ok(())
}

/// The file is what Linux's is, and slabs have as many slots as they can have.
fn slabs(lab: &Lab) -> Result<()> {
    let script = "cat /proc/slabinfo; grep Slab: /proc/meminfo";
    let here = lab.guest(&["/bin/sh", "-c", script]).run()?;
    let text = &here.output;
    let head = "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> \
                <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : \
                slabdata <active_slabs> <num_slabs> <sharedavail>\n";
    ensure!(text.starts_with(head), "the head of\n{text}");
    let (mut pools, mut kib) = (0, 0);
    for row in rows(text, 2) {
        if row[0] == "Slab:" {
            let all = number(&row, 1)?;
            ensure!(kib > 0 && kib <= all, "{kib} KiB of {all} in slabs");
            continue;
        }
        let [used, slots, size, per_slab, pages] = [1, 2, 3, 4, 5].map(|at| number(&row, at));
        let (used, slots, size, per_slab, pages) = (used?, slots?, size?, per_slab?, pages?);
        let slabs = number(&row, 14)?;
        ensure!(
            (row[6], row[7], row[11], row[12]) == (":", "tunables", ":", "slabdata"),
            "{row:?}"
        );
        ensure!(
            used <= slots && slots == slabs * per_slab,
            "slots of {row:?}"
        );
        ensure!(slots * size <= slabs * pages * 4096, "pages of {row:?}");
        pools += 1;
        kib += slabs * pages * 4;
    }
    ensure!(pools > 10, "{pools} pools");
    Ok(())
}

/// No arena has more than it has; a process takes one number, and gives it back.
fn arenas(lab: &Lab) -> Result<()> {
    let script =
        "look() { cat /proc/vmemstat; }; look; sleep 100 & look; kill $!; wait; look; true";
    let here = lab.guest(&["/bin/sh", "-c", script]).run()?;
    let looks: Vec<_> = here.output.split("Arena ").skip(1).collect();
    ensure!(looks.len() == 3, "{here:?}");
    let mut numbers = Vec::new();
    for row in looks.iter().flat_map(|look| rows(look, 1)) {
        let [quantum, total, used, cached, largest] = [1, 2, 3, 4, 5].map(|at| number(&row, at));
        let (quantum, total, used) = (quantum?, total?, used?);
        ensure!(quantum > 0 && used % quantum == 0, "{row:?}");
        ensure!(
            used + cached? <= total && largest? <= total - used,
            "{row:?}"
        );
        ensure!(number(&row, 8)? <= number(&row, 7)?, "hits of {row:?}");
        if row[0] == "process_ids" {
            numbers.push(used);
        }
    }
    let as_expected = matches!(numbers[..], [a, b, c] if b == a + 1 && c == a);
    ensure!(as_expected, "numbers of processes: {numbers:?}");
    Ok(())
}

/// The host is told the same.
fn tables(lab: &Lab) -> Result<()> {
    let (_, tables) = lab.guest(&["/bin/true"]).run_with_tables()?;
    let names: Vec<_> = tables.iter().map(|table| table.name()).collect();
    ensure!(
        names == ["malloctypes", "mallocsites", "slabinfo", "vmemstat"],
        "{names:?}"
    );
    for (table, name) in [(0, "rust"), (2, "anon")] {
        let rows = tables[table].rows();
        let found = rows
            .iter()
            .any(|row| row.first().is_some_and(|word| word == name));
        ensure!(found, "no {name} in {rows:?}");
        let shown = tables[table].to_string();
        ensure!(
            shown
                .lines()
                .any(|line| line.trim_start().starts_with(name)),
            "{shown}"
        );
    }
    Ok(())
}

/// A session with everything watched: nothing is found.
fn debug(lab: &Lab) -> Result<()> {
    let script = "for i in 1 2 3; do ls -lR /bin /proc/self | sort | head -n 200 | md5sum >/tmp/$i; done; \
                  mkdir -p /tmp/a/b; cp -r /bin /tmp/a; find /tmp/a | wc -l >/tmp/n; rm -r /tmp/a; \
                  cat /proc/malloctypes | wc -l >/tmp/n; (sleep 1 & echo x | cat) | cat; \
                  echo done";
    let modes = "fill,poison,redzones,quarantine=64K,sites";
    let guest = lab.guest(&["/bin/sh", "-c", script]).kmem_debug(modes);
    let (here, notices) = guest.patience(PATIENCE).run_telling()?;
    ensure!(here.output.ends_with("x\ndone\n"), "{here:?}");
    ensure!(
        notices.is_empty(),
        "the kernel said:\n{}",
        notices.join("\n")
    );
    Ok(())
}

/// In debug mode it is told who has what, and that is all there is; in no other mode.
fn sites(lab: &Lab) -> Result<()> {
    let script = "cat /proc/mallocsites /proc/malloctypes";
    for modes in [None, Some("sites")] {
        let mut guest = lab.guest(&["/bin/sh", "-c", script]).patience(PATIENCE);
        if let Some(modes) = modes {
            guest = guest.kmem_debug(modes);
        }
        let here = guest.run()?;
        let at = here.output.rfind("Type ").context("no types")?;
        let (sites, types) = here.output.split_at(at);
        let types = check_types(types)?;
        let mut told: BTreeMap<&str, u64> = BTreeMap::new();
        let mut places = 0;
        for row in rows(sites, 1) {
            let at = row.get(4).context("no site")?;
            ensure!(at.contains(".rs:"), "no place: {row:?}");
            *told.entry(row[0]).or_default() += number(&row, 2)?;
            places += 1;
        }
        if modes.is_none() {
            ensure!(places == 0, "{places} places without debug mode");
            continue;
        }
        // The program's own files come and go between the two looks.
        for (name, pieces) in types {
            let told = told.get(&name[..]).copied().unwrap_or(0);
            ensure!(
                told.abs_diff(pieces) <= 8,
                "{told} of {pieces} pieces of {name}\n{sites}"
            );
        }
        if places < 3 {
            bail!("{places} places");
        }
    }
    Ok(())
}
