# Many forks in a loop, of the shell itself and of programs.
exec 2>/dev/null
cd "${TMPDIR:-/tmp}" || exit 99

i=0
while [ $i -lt 500 ]; do
	(exit 3) || i=$((i + 1))
done
echo "$i subshells"
i=0
while [ $i -lt 500 ]; do
	/proc/self/exe true && i=$((i + 1))
	busybox false || i=$((i + 1))
done
echo "$i programs"
i=0
sum=0
while [ $i -lt 500 ]; do
	sum=$((sum + $(echo $i)))
	i=$((i + 1))
done
echo "sum $sum"
i=0
while [ $i -lt 100 ]; do
	echo $i | cat | cat >/dev/null &
	i=$((i + 1))
done
wait
echo "all pipelines done"
