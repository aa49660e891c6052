//! Debian's programs that talk by local sockets: redis and its clients, and hackbench.

use anyhow::{Result, bail};

use super::{Lab, Plan, Report};

/// How long a guest may run, in seconds.
const PATIENCE: u64 = 1800;
const MEM: u64 = 512 << 20;

/// Shows that nothing is left in sockets.
const NOTHING_LEFT: &str =
    "awk '$1 == \"socket\" { print \"left in sockets:\", $2, $3 }' /proc/malloctypes\n";

/// Runs them, if long tests are wanted.
pub fn run(plan: &Plan, report: &mut Report, lab: &Lab) {
    if !plan.long {
        return;
    }
    let mut test = |name: &str, body: &dyn Fn() -> Result<()>| {
        if plan.wants(name) {
            report.test(name, body);
        }
    };
    test("real/redis", &|| {
        let lines = [
            "witness: OK",
            "the fork is there: 1",
            "changed: OK",
            "written meanwhile: yes",
            "status: ok",
            "more keys than saved: yes",
            "RDB looks OK",
            "keys as saved: yes",
            "witness: before",
            "left in sockets: 0 0",
        ];
        expect(lab, &["redis-server"], REDIS, &lines)
    });
    test("real/hackbench", &|| {
        let lines = ["Time:", "threads: 0", "left in sockets: 0 0"];
        expect(lab, &["rt-tests"], HACKBENCH, &lines)
    });
}

/// Runs a script in a guest with these packages. It must print all of the lines, in this order.
fn expect(lab: &Lab, packages: &[&str], script: &str, lines: &[&str]) -> Result<()> {
    let script = format!("{script}{NOTHING_LEFT}");
    let here = lab
        .guest(&["/bin/busybox", "sh", "-c", &script])
        .packages(packages)?
        .mem(MEM)
        .patience(PATIENCE)
        .run()?;
    let mut rest = here.output.as_str();
    for line in lines {
        match rest.split_once(line) {
            Some((_, behind)) => rest = behind,
            None => bail!("status {}: no {line:?} in\n{}", here.status, here.output),
        }
    }
    if here.status != 0 {
        bail!("status {}\n{}", here.status, here.output);
    }
    Ok(())
}

/// A server is written to while a child of it, a copy of its memory as it was, writes that to a file
/// slowly. What the file has is what was there at the fork: another server that reads it says so.
const REDIS: &str = r#"
mkdir -p /tmp/redis && cd /tmp/redis
serve() {
	redis-server --port 0 --unixsocket /tmp/redis/socket --save '' --dir /tmp/redis >log 2>&1 &
	until ask ping >/dev/null 2>&1; do sleep 0.1; done
}
ask() { redis-cli -s /tmp/redis/socket "$@"; }
write() { redis-benchmark -s /tmp/redis/socket -q "$@" >/dev/null; }
saving() { ask info persistence | grep -q rdb_bgsave_in_progress:1; }
serve
write -t set,lpush -n 5000 -r 4000 -d 500
echo "witness: $(ask set witness before)"
saved=$(ask dbsize)
ask config set rdb-key-save-delay 1000 >/dev/null
ask bgsave >/dev/null
saving && echo "the fork is there: 1"
echo "changed: $(ask set witness after)"
rounds=0
while saving; do
	write -t set,incr,lpush -n 2000 -r 100000 -d 700
	saving && rounds=$((rounds + 1))
done
[ $rounds -gt 0 ] && echo "written meanwhile: yes"
echo "status: $(ask info persistence | sed -n 's/\r//; s/^rdb_last_bgsave_status://p')"
[ $(ask dbsize) -gt $saved ] && echo "more keys than saved: yes"
ask shutdown nosave
wait
redis-check-rdb dump.rdb
serve
[ $(ask dbsize) = $saved ] && echo "keys as saved: yes"
echo "witness: $(ask get witness)"
ask shutdown nosave
wait
"#;

/// Groups of processes, and of threads, that send each other messages.
const HACKBENCH: &str = r#"
hackbench -g 1 -l 50 || exit
hackbench -T -g 1 -l 50 >/dev/null
echo "threads: $?"
"#;
