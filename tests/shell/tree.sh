# Makes and changes a tree of files, and leaves it to be compared.
exec 2>/dev/null
mkdir "${TMPDIR:-/tmp}/tree" && cd "${TMPDIR:-/tmp}/tree" || exit 99
umask 022
mkdir -p a/b/c a/d many || exit 98
seq 1 30000 >a/seq
cp a/seq a/b/copy
truncate -s 10001 a/b/copy
truncate -s 50000 a/b/copy
echo end >>a/b/copy
dd if=a/seq of=a/sparse bs=4096 seek=300 count=5 2>/dev/null
dd if=a/seq of=a/sparse bs=4096 seek=2500 count=7 conv=notrunc 2>/dev/null
echo middle | dd of=a/sparse bs=1 seek=5000001 conv=notrunc 2>/dev/null
: >a/empty
truncate -s 12345678 a/hole
ln a/seq a/hard
ln -s seq a/soft
ln -s /a/very/long/target/that/does/not/fit/in/the/sixty/bytes/of/an/inode/so/that/it/needs/a/block a/slow
ln -s nowhere a/dangling
mkfifo a/fifo

i=0
while [ $i -lt 400 ]; do
	echo "file $i" >"many/a file with a rather long name, so that the folder has blocks: $i"
	i=$((i + 1))
done
i=0
while [ $i -lt 400 ]; do
	rm "many/a file with a rather long name, so that the folder has blocks: $i"
	i=$((i + 3))
done
i=1
while [ $i -lt 400 ]; do
	mv "many/a file with a rather long name, so that the folder has blocks: $i" "many/$i"
	i=$((i + 3))
done
ls many | wc -l
ls many | sort | md5sum

cp a/seq replaced
echo new >new
mv new replaced
mv a/b/c moved
mv moved a/d/c
echo inside >a/d/c/file
mv a/d up
ls -a up/c/.. | tr '\n' ' '
rmdir up/c 2>/dev/null || echo "not empty"
mkdir -p old/x gone && rmdir old/x && mv gone old/x && rmdir old/x old
chmod 640 a/empty
chmod 2750 a/b
touch -d '2001-02-03 04:05:06' a/empty
stat -c '%n %h %a %F' a/* a/b/copy up/c/file replaced
stat -c '%n %Y' a/empty

# What has no name is read, and written, until it is closed.
exec 3<>a/nameless 4<a/nameless
rm a/nameless
echo "no name" >&3
cat <&4
exec 3>&- 4>&-
md5sum <a/seq
md5sum <a/sparse
md5sum <a/b/copy
