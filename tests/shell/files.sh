# Files, folders and links.
exec 2>/dev/null
cd "${TMPDIR:-/tmp}" || exit 99
umask 022
mkdir -p files/a/b/c && cd files || exit 98

echo hello >a/file
ln a/file a/hard
ln -s file a/soft
ln -s nowhere a/dangling
cat a/soft a/hard
stat -c '%h %s %a %F' a/file a/soft
stat -c '%h %a %F' a
readlink a/soft
cat a/dangling || echo dangling
chmod 600 a/file && stat -c %a a/hard
mv a/file a/b/moved && cat a/hard a/b/moved
mv a/b d && ls -1 d
rmdir d/c && rmdir d || echo "not empty"
rm d/moved && rmdir d && echo empty
mkdir a && echo again || echo exists
echo x >nowhere/file || echo "no folder"
cd a/hard || echo "no folder either"
: >a/hard && wc -c <a/hard
echo appended >>a/hard && cat a/hard
touch -d '2020-01-02 03:04:05' a/hard && stat -c %Y a/hard
truncate -s 5000 sparse && stat -c %s sparse && tail -c 3 sparse | od -An -tx1
dd if=/dev/zero of=sparse bs=1 count=1 seek=20000 conv=notrunc && stat -c %s sparse
for i in $(seq 300); do echo $i >many-$i; done
ls | grep -c many
cat many-* | wc -l
rm many-*
ls -1
tar cf archive.tar a && mkdir out && tar xf archive.tar -C out && ls -1 out/a
find . | sort
[ -w / ] && test -d . && test -L a/soft && test -p /dev/null || echo tests
echo discarded >/dev/null
head -c 5 /dev/zero | od -An -tx1
cat /dev/null | wc -c
head -c 16 /dev/urandom | wc -c
cd .. && rm -r files && echo removed
cut -d' ' -f1 /proc/self/comm
cat /proc/self/cmdline | tr '\0' '\n' | sed 's,.*/,,'
readlink /proc/self/exe | sed 's,.*/,,'
grep -c heap /proc/self/maps
