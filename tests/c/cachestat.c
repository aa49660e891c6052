/* How much of a file is in memory, by cachestat. */
#include "show.h"

#include <fcntl.h>

static void tell(const char *what, int fd, uint64_t at, uint64_t len)
{
	uint64_t range[2] = { at, len }, stat[5];

	memset(stat, 0xff, sizeof stat);
	if (syscall(451, fd, range, stat, 0) != 0)
		say("%s: %s", what, error_name(errno));
	else
		say("%s: %ld in memory, %ld dirty, %ld being written, %ld away",
		    what, (long)stat[0], (long)stat[1], (long)stat[2],
		    (long)stat[3]);
}

int main(void)
{
	int p[2], fd = numbered_file(8 * PAGE);
	uint64_t range[2] = { 0, 0 }, stat[5];

	tell("all", fd, 0, 0);
	tell("two", fd, PAGE, 2 * PAGE);
	tell("a byte", fd, 3 * PAGE + 5, 1);
	tell("two bytes", fd, 4 * PAGE - 1, 2);
	tell("the end", fd, 6 * PAGE, 99 * PAGE);
	tell("from there on", fd, 6 * PAGE, 0);
	tell("beyond", fd, 8 * PAGE, PAGE);
	need(ftruncate(fd, 64 * PAGE) == 0);
	tell("a hole", fd, 8 * PAGE, 0);
	need(pwrite(fd, "x", 1, 40 * PAGE) == 1);
	tell("a page in it", fd, 8 * PAGE, 0);
	need(ftruncate(fd, 2 * PAGE) == 0);
	tell("cut off", fd, 0, 0);
	need(pipe(p) == 0);
	tell("pipe", p[0], 0, 0);
	tell("none", 99, 0, 0);
	show("flags", syscall(451, fd, range, stat, 1));
	show("flags, none", syscall(451, 99, range, stat, 1));
	show("bad range", syscall(451, fd, 1L, stat, 1));
	show("bad place", syscall(451, fd, range, 1L, 0));
	return 0;
}
