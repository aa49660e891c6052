/*
 * Large mappings that are hardly touched: forking, protecting, moving and
 * unmapping them costs what is touched, so that this ends soon.
 */
#include "show.h"

#define GIB (1L << 30)
#define LEN ((size_t)(256 * GIB))

static char *large(int flags)
{
	char *p = mmap(NULL, LEN, RW, flags | MAP_ANONYMOUS | MAP_NORESERVE,
	    -1, 0);

	need(p != MAP_FAILED);
	/* Smallest pages, on Linux too. */
	(void)madvise(p, LEN, MADV_NOHUGEPAGE);
	return p;
}

static void rounds(char *p)
{
	for (int i = 0; i < 200; i++) {
		pid_t pid;

		p[0] = p[100 * GIB] = p[LEN - 1] = (char)i;
		pid = fork();
		need(pid >= 0);
		if (pid == 0) {
			need(p[100 * GIB] == (char)i);
			p[100 * GIB] = 1;
			_exit(p[50 * GIB]);
		}
		need(waitpid(pid, NULL, 0) == pid);
		need(mprotect(p, LEN, PROT_READ) == 0);
		need(mprotect(p, LEN, RW) == 0);
		need(madvise(p + 10 * GIB, LEN - 20 * GIB,
		    MADV_DONTNEED) == 0);
		need(p[100 * GIB] == 0);
	}
}

int main(void)
{
	char *p = large(MAP_PRIVATE), *q;

	catch_faults();
	rounds(p);
	look("first", p, 0);
	look("middle", p, 100 * GIB);
	look("last", p, LEN - 1);
	need(munmap(p + GIB, LEN - 2 * GIB) == 0);
	look("first", p, 0);
	look("hole", p, GIB);
	look("last", p, LEN - 1);
	need(munmap(p, LEN) == 0);

	p = large(MAP_SHARED);
	p[0] = 1, p[77 * GIB] = 2, p[LEN - 1] = 3;
	q = mremap(p, LEN, LEN, MREMAP_MAYMOVE);
	need(q == p);
	if (fork() == 0) {
		p[77 * GIB] = 22;
		_exit(0);
	}
	need(wait(NULL) > 0);
	look("shared", p, 77 * GIB);
	look("shared, last", p, LEN - 1);
	need(munmap(p, LEN) == 0);
	return 0;
}
