# A file of 50 MB, read and written in several ways.
exec 2>/dev/null
cd "${TMPDIR:-/tmp}" || exit 99

seq 10000000 | head -c 50000000 >big
wc -c <big
cat big | md5sum
md5sum <big
tail -c 17 big
dd if=big bs=64k skip=400 count=3 | sha1sum
cp big copy && cmp big copy && echo equal
truncate -s 49999999 copy
cmp big copy || echo shorter
rm big copy
ls -A | grep -c -e big -e copy
