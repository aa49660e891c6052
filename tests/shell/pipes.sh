# Pipes, subshells, redirections, here-documents, substitutions.
exec 2>/dev/null
cd "${TMPDIR:-/tmp}" || exit 99
mkdir pipes && cd pipes || exit 98

seq 5 | while read -r n; do echo $((n * n)); done
seq 100000 | tail -n +50000 | head -n 3
seq 1000 | sort -r | uniq | wc -l
yes | head -n 100000 | md5sum
echo "status of the first: $(false | true; echo $?)"
set -o pipefail
echo "with pipefail: $(false | true; echo $?)"
set +o pipefail
(cd / && pwd); pwd | sed "s,.*/pipes,here,"
x=outer
(x=inner; echo $x)
echo $x
{ echo one; echo two >&2; } 2>file
cat file
cat <<END | tr a-z A-Z
here is $x text
END
echo a >new; echo b >>new; cat <new
set -C; echo c >new || echo "not clobbered"; set +C
exec 3>third; echo three >&3; exec 3>&-; cat third
exec 4<new; read -r line <&4; echo "$line"; read -r line <&4; echo "$line"; exec 4<&-
mkfifo fifo
{ echo through a fifo >fifo; } &
cat fifo
wait
echo $(echo $(echo nested $(echo deeper)))
seq 20 | xargs -n 7 echo
printf 'b 2\na 1\nc 3\n' | sort | awk '{ s += $2; print $1 } END { print s }'
find . -type f | sort
ls -l new | cut -c1-10
dd if=/dev/zero bs=1000 count=1000 | tee copy | wc -c
cmp copy copy && echo same
md5sum <copy
cd .. && rm -r pipes && ls | grep -c pipes
exit 7
