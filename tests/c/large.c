/* Large pages for private memory: where they come, what splits and joins them,
 * and that nobody sees it by the contents. */
#include "show.h"

#include <sys/prctl.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define LARGE (2L << 20)
#define ROWS 32
#define LEN (ROWS * LARGE)

/* So much memory, aligned to what a large page maps. */
static char *aligned(long len)
{
	char *p = mmap(0, (size_t)(len + LARGE), RW, ANON, -1, 0);
	char *at = (char *)(((uintptr_t)p + LARGE - 1) & -(uintptr_t)LARGE);

	need(p != MAP_FAILED);
	if (at > p)
		need(munmap(p, (size_t)(at - p)) == 0);
	need(at == p + LARGE || munmap(at + len, (size_t)(p + LARGE - at)) == 0);
	return at;
}

/* KiB from `start` to `end` that large pages map. */
static long large(const char *start, const char *end)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	char line[256];
	unsigned long first, last, from = 0, to = 0;
	long sum = 0, kib;

	need(smaps);
	while (fgets(line, sizeof line, smaps)) {
		if (sscanf(line, "%lx-%lx ", &first, &last) == 2) {
			from = first;
			to = last;
		} else if (sscanf(line, "AnonHugePages: %ld kB", &kib) == 1 &&
		    from >= (uintptr_t)start && to <= (uintptr_t)end)
			sum += kib;
	}
	fclose(smaps);
	return sum;
}

static void fill(char *p, long len)
{
	for (long at = 0; at < len; at += PAGE)
		*(long *)(p + at) = at + 1;
}

/* The number of pages that hold something else, but for one. */
static long wrong(const char *p, long len, long but)
{
	long count = 0;

	for (long at = 0; at < len; at += PAGE)
		if (at / PAGE != but && *(const long *)(p + at) != at + 1)
			count++;
	return count;
}

static void splits(char *p)
{
	say("large: %ld kB", large(p, p + LEN));
	need(mprotect(p + 5 * PAGE, PAGE, PROT_READ) == 0);
	say("a page protected: %ld kB", large(p, p + LEN));
	need(mprotect(p + 5 * PAGE, PAGE, RW) == 0);
	need(madvise(p + LARGE + 7 * PAGE, PAGE, MADV_DONTNEED) == 0);
	say("a page dropped: %ld kB, holds %ld", large(p, p + LEN),
	    *(long *)(p + LARGE + 7 * PAGE));
	*(long *)(p + LARGE + 7 * PAGE) = LARGE + 7 * PAGE + 1;
	need(mprotect(p + 2 * LARGE, LARGE, PROT_READ) == 0);
	say("all of one protected: %ld kB", large(p, p + LEN));
	need(mprotect(p + 2 * LARGE, LARGE, RW) == 0);
	say("wrong: %ld", wrong(p, LEN, -1));
}

static void joins(char *p)
{
	show("collapse", madvise(p, LARGE, MADV_COLLAPSE));
	say("joined: %ld kB", large(p, p + LEN));
	show("collapse all", madvise(p, LEN, MADV_COLLAPSE));
	say("joined: %ld kB", large(p, p + LEN));
	say("wrong: %ld", wrong(p, LEN, -1));
}

static void forks(char *p)
{
	int status;
	pid_t child = fork();

	need(child >= 0);
	if (child == 0) {
		if (wrong(p, LEN, -1) != 0)
			_exit(1);
		for (long row = 0; row < ROWS; row++)
			p[row * LARGE + 9 * PAGE] = 99;
		need(munmap(p + 3 * LARGE + PAGE, PAGE) == 0);
		_exit(p[9 * PAGE] == 99 ? 0 : 2);
	}
	/* While the child writes its own. */
	for (long row = 0; row < ROWS; row += 2)
		*(long *)(p + row * LARGE + 11 * PAGE) = row * LARGE + 11 * PAGE + 1;
	need(waitpid(child, &status, 0) == child);
	say("the child ended with %d", WEXITSTATUS(status));
	say("wrong: %ld", wrong(p, LEN, -1));
	show("collapse all", madvise(p, LEN, MADV_COLLAPSE));
	say("joined: %ld kB", large(p, p + LEN));
	say("wrong: %ld", wrong(p, LEN, -1));
}

static void leaves(char *p)
{
	/* Without swap it stays. */
	show("pageout", madvise(p + 4 * LARGE + PAGE, 3 * PAGE, MADV_PAGEOUT));
	show("free", madvise(p + 5 * LARGE + PAGE, PAGE, MADV_FREE));
	show("cold", madvise(p + 6 * LARGE + PAGE, 3 * PAGE, MADV_COLD));
	show("mlock", mlock(p + 7 * LARGE + PAGE, PAGE));
	show("munlock", munlock(p + 7 * LARGE + PAGE, PAGE));
	need(munmap(p + 8 * LARGE, PAGE) == 0);
	say("wrong before: %ld", wrong(p, 8 * LARGE, 5 * LARGE / PAGE + 1));
	char *q = mremap(p + 9 * LARGE, LARGE, LARGE, MREMAP_MAYMOVE |
	    MREMAP_FIXED, aligned(LARGE) + 0);
	need(q != MAP_FAILED);
	say("moved: %d", *(long *)(q + 17 * PAGE) == 9 * LARGE + 17 * PAGE + 1);
}

static void refusals(void)
{
	char *p = aligned(2 * LARGE);

	show("collapse untouched", madvise(p, LARGE, MADV_COLLAPSE));
	p[0] = 1;
	show("collapse of one page", madvise(p, LARGE, MADV_COLLAPSE));
	say("it has %ld kB", large(p, p + 2 * LARGE));
	show("collapse a part", madvise(p + PAGE, LARGE - PAGE, MADV_COLLAPSE));
	show("collapse within", madvise(p + PAGE, PAGE, MADV_COLLAPSE));
	show("collapse nothing", madvise(p, 0, MADV_COLLAPSE));
	show("nohugepage", madvise(p + LARGE, LARGE, MADV_NOHUGEPAGE));
	fill(p + LARGE, LARGE);
	show("collapse", madvise(p + LARGE, LARGE, MADV_COLLAPSE));
	say("there are %ld kB", large(p + LARGE, p + 2 * LARGE));
	need(munmap(p + LARGE, PAGE) == 0);
	show("collapse a hole", madvise(p + LARGE, LARGE, MADV_COLLAPSE));
	p = mmap(0, 4 * PAGE, RW, ANON, -1, 0);
	p[0] = 1;
	show("collapse a little", madvise(p, 4 * PAGE, MADV_COLLAPSE));
	show("hugepage of a little", madvise(p, PAGE, MADV_HUGEPAGE));
}

static void disabled(void)
{
	char *p = aligned(LARGE);

	show("disabled", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	show("odd", prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0));
	show("odd", prctl(PR_SET_THP_DISABLE, 1, 0, 1, 0));
	show("disable", prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	need(madvise(p, LARGE, MADV_HUGEPAGE) == 0);
	fill(p, LARGE);
	say("then there are %ld kB", large(p, p + LARGE));
	show("collapse", madvise(p, LARGE, MADV_COLLAPSE));
	if (fork() == 0) {
		show("a child's", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
		_exit(0);
	}
	need(wait(0) > 0);
	show("enable", prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
	show("disabled", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
}

int main(int argc, char **argv)
{
	char *p = aligned(LEN);

	need(madvise(p, LEN, MADV_HUGEPAGE) == 0);
	fill(p, LEN);
	if (argc > 1) {
		/* More than there is room for, again and again. */
		for (int round = atoi(argv[1]); round > 0; round--)
			need(wrong(p, LEN, -1) == 0);
		say("nothing wrong");
		return 0;
	}
	splits(p);
	joins(p);
	forks(p);
	leaves(p);
	refusals();
	disabled();
	return 0;
}
