# Background jobs, waiting for them, and signals.
exec 2>/dev/null
cd "${TMPDIR:-/tmp}" || exit 99

for i in 1 2 3; do (exit $i) & done
wait
echo "all done: $?"
(sleep 0.1; exit 5) &
wait $!
echo "waited: $?"
sleep 100 &
pid=$!
kill -0 $pid && echo alive
kill $pid
wait $pid
echo "killed: $?"
kill -0 $pid || echo gone
sleep 100 &
kill -9 $!
wait $!
echo "killed hard: $?"
sh -c 'kill -SEGV $$'
echo "segfault: $?"
trap 'echo trapped' USR1
kill -USR1 $$
echo "after the trap"
(trap 'echo child trapped; exit 3' TERM; while :; do sleep 0.05; done) &
sleep 0.3
kill $!
wait $!
echo "child's status: $?"
sh -c 'trap "" TERM; sleep 0.3; echo survived' &
sleep 0.1
kill $!
wait $!
echo "ignored: $?"
sleep 100 &
pid=$!
kill -STOP $pid
sleep 0.1
grep '^State' /proc/$pid/status | cut -c8-8
cut -d' ' -f3 /proc/$pid/stat
kill -CONT $pid
kill $pid
wait $pid
echo "stopped and killed: $?"
(seq 200000 >slow-a; echo a) &
(seq 200000 >slow-b; echo b >/dev/null) &
wait
cmp slow-a slow-b && wc -l <slow-a
rm slow-a slow-b
timeout 0.2 sleep 10
echo "timeout: $?"
trap 'echo goodbye' EXIT
exit 4
