/* Advice about another process's memory. */
#include "show.h"

#include <sys/uio.h>

#define COLD 20
#define PAGEOUT 21
#define PAGES 8

static long advise(int fd, struct iovec *ranges, long count, int advice)
{
	return syscall(440, fd, ranges, count, advice, 0);
}

int main(void)
{
	char *p = mmap(NULL, PAGES * PAGE, RW, ANON, -1, 0), byte;
	struct iovec all = { p, PAGES * PAGE };
	struct iovec parts[3] = { { p, PAGE }, { p + PAGE, PAGE }, { p + 4 * PAGE, 2 * PAGE } };
	struct iovec odd = { p + 1, PAGE }, long_one = { p, (size_t)-PAGE };
	int to[2], from[2], fd, own;
	siginfo_t info;
	pid_t child;

	need(p != MAP_FAILED && pipe(to) == 0 && pipe(from) == 0);
	memset(p, 5, PAGES * PAGE);
	child = fork();
	if (child == 0) {
		close(to[1]);
		/* Pages of its own, and one that is not mapped. */
		memset(p, 6, PAGES * PAGE);
		need(munmap(p + 5 * PAGE, PAGE) == 0);
		need(write(from[1], "r", 1) == 1);
		while (read(to[0], &byte, 1) == 1) {
			int same = 0;

			for (int i = 0; i < PAGES; i++)
				if (i != 5)
					same += p[i * PAGE] == 6;
			say("child: %d pages as they were", same);
			need(write(from[1], "r", 1) == 1);
		}
		_exit(0);
	}
	close(to[0]);
	need(read(from[0], &byte, 1) == 1);
	fd = (int)syscall(SYS_pidfd_open, child, 0);
	own = (int)syscall(SYS_pidfd_open, getpid(), 0);
	need(fd >= 0 && own >= 0);

	show("cold", advise(fd, parts, 2, COLD));
	show("page out", advise(fd, parts, 2, PAGEOUT));
	show("will need", advise(fd, parts, 2, MADV_WILLNEED));
	show("up to a hole", advise(fd, parts, 3, COLD));
	show("a hole", advise(fd, &all, 1, COLD));
	show("nothing", advise(fd, parts, 0, COLD));
	show("odd", advise(fd, &odd, 1, COLD));
	show("don't need", advise(fd, parts, 1, MADV_DONTNEED));
	show("free", advise(fd, parts, 1, MADV_FREE));
	show("normal", advise(fd, parts, 1, MADV_NORMAL));
	show("not to fork", advise(fd, parts, 1, MADV_DONTFORK));
	show("no advice", advise(fd, parts, 1, 99));
	show("flags", syscall(440, fd, parts, 1L, COLD, 1));
	show("flags, no file", syscall(440, 99, parts, 1L, COLD, 1));
	show("too many", advise(fd, parts, 1025, COLD));
	show("too many, no file", advise(99, parts, 1025, COLD));
	show("bad place", advise(99, (void *)1, 1, COLD));
	show("too long", advise(99, &long_one, 1, COLD));
	show("no file", advise(99, parts, 1, COLD));
	show("another file", advise(to[1], parts, 1, COLD));
	need(write(to[1], "g", 1) == 1 && read(from[0], &byte, 1) == 1);

	/* One's own memory may be given any advice. */
	show("own, cold", advise(own, parts, 2, COLD));
	show("own, don't need", advise(own, parts, 1, MADV_DONTNEED));
	say("own: %d %d", p[0], p[PAGE]);

	give_up(23);
	show("without the right", advise(fd, parts, 1, COLD));
	show("without the right, no such", advise(fd, parts, 1, MADV_DONTNEED));
	show("own, without the right", advise(own, parts, 1, COLD));
	need(write(to[1], "g", 1) == 1 && read(from[0], &byte, 1) == 1);
	close(to[1]);
	need(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
	show("zombie", advise(fd, parts, 1, COLD));
	reap("child", child);
	show("gone", advise(fd, parts, 1, COLD));
	return 0;
}
