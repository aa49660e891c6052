/*
 * mseal(2): what is sealed stays where it is, and what it is.
 */
#include "show.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

static char *pages(int count, int prot)
{
	char *p = mmap(NULL, (size_t)(count * PAGE), prot, ANON, -1, 0);

	need(p != MAP_FAILED);
	return p;
}

static long seal(char *p, long len)
{
	return syscall(SYS_mseal, p, len, 0);
}

static void errors(void)
{
	char *p = pages(3, RW);

	need(munmap(p + PAGE, PAGE) == 0);
	show("flags", syscall(SYS_mseal, p, PAGE, 1));
	show("unaligned", seal(p + 1, PAGE));
	show("nothing", seal(p, 0));
	show("hole", seal(p, 3 * PAGE));
	show("wraps", seal(p, -PAGE));
	show("nothing was sealed", munmap(p, 3 * PAGE));
}

static void sealed(void)
{
	char *p = pages(6, RW), *to = pages(4, RW);
	pid_t pid;

	put("before", p, PAGE, 7);
	show("seal", seal(p + PAGE, 2 * PAGE));
	show("seal again", seal(p + PAGE, PAGE));
	put("it can be written", p, PAGE, 8);
	show("unmap", munmap(p + PAGE, PAGE));
	show("unmap with what is around", munmap(p, 6 * PAGE));
	look("all is there", p, 0);
	show("protect", mprotect(p + PAGE, PAGE, PROT_READ));
	show("protect, the same", mprotect(p + PAGE, PAGE, RW));
	show_ok("map over", mmap(p + 2 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1,
	    0));
	show_ok("move", mremap(p + PAGE, PAGE, PAGE,
	    MREMAP_MAYMOVE | MREMAP_FIXED, to));
	show_ok("move something there", mremap(to, PAGE, PAGE,
	    MREMAP_MAYMOVE | MREMAP_FIXED, p + 2 * PAGE));
	show_ok("grow", mremap(p + 2 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	show_ok("shrink", mremap(p + PAGE, 2 * PAGE, PAGE, 0));
	show("lock", mlock(p + PAGE, 2 * PAGE));
	show("unlock", munlock(p + PAGE, 2 * PAGE));
	look("unchanged", p, PAGE);
	show("discard what can be written", madvise(p + PAGE, PAGE,
	    MADV_DONTNEED));
	look("discarded", p, PAGE);
	show("beside it", munmap(p + 3 * PAGE, 3 * PAGE));
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		show("child: unmap", munmap(p + PAGE, PAGE));
		put("child: write", p, PAGE, 9);
		_exit(0);
	}
	reap("child", pid);
}

static void read_only(void)
{
	char *p = pages(2, RW);
	int fd = numbered_file(PAGE);

	put("read-only", p, 0, 5);
	need(mprotect(p, 2 * PAGE, PROT_READ) == 0);
	show("read-only: seal", seal(p, PAGE));
	show("read-only: discard", madvise(p, PAGE, MADV_DONTNEED));
	show("read-only: discard with what follows", madvise(p, 2 * PAGE,
	    MADV_DONTNEED));
	look("read-only", p, 0);
	show("read-only: will need", madvise(p, PAGE, MADV_WILLNEED));
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	need(p != MAP_FAILED);
	show("shared: seal", seal(p, PAGE));
	show("shared: discard", madvise(p, PAGE, MADV_DONTNEED));
	show_ok("shared: a second view", mremap(p, 0, PAGE, MREMAP_MAYMOVE));
	look("shared", p, 0);
	close(fd);
}

int main(void)
{
	catch_faults();
	errors();
	sealed();
	read_only();
	return 0;
}
