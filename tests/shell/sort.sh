# A million lines, sorted.
exec 2>/dev/null
cd "${TMPDIR:-/tmp}" || exit 99

seq 1000000 | awk '{ print ($1 * 7919) % 1000003 }' >lines
md5sum <lines
sort lines >sorted
wc -l <sorted
md5sum <sorted
head -n 3 sorted
tail -n 1 sorted
rm lines sorted
