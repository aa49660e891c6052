/* Advice: which is taken of which memory, and what becomes of the memory. */
#include "show.h"

#include <sys/uio.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define PAGES 8
#define LEN (PAGES * PAGE)

static const struct {
	const char *name;
	int advice;
} advices[] = {
	{ "normal", 0 }, { "random", 1 }, { "sequential", 2 },
	{ "willneed", 3 }, { "dontneed", 4 }, { "5", 5 }, { "free", 8 },
	{ "remove", 9 }, { "dontfork", 10 }, { "dofork", 11 },
	{ "hugepage", 14 }, { "nohugepage", 15 }, { "dontdump", 16 },
	{ "dodump", 17 }, { "wipeonfork", 18 }, { "keeponfork", 19 },
	{ "cold", 20 }, { "pageout", 21 }, { "populate read", 22 },
	{ "populate write", 23 }, { "dontneed locked", 24 }, { "99", 99 },
	{ "hwpoison", 100 }, { "soft offline", 101 }, { "-1", -1 },
};

static const char *outcome(void *at, long len, int advice)
{
	return madvise(at, (size_t)len, advice) == 0 ? "ok" : error_name(errno);
}

/* One line for each advice: what is said of each kind of memory. */
static void err(void)
{
	int fd = numbered_file(LEN);
	char *memory[] = {
		mmap(0, LEN, RW, ANON, -1, 0),
		mmap(0, LEN, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
		mmap(0, LEN, RW, MAP_PRIVATE, fd, 0),
		mmap(0, LEN, RW, MAP_SHARED, fd, 0),
		mmap(0, LEN, RW, ANON, -1, 0),
		mmap(0, LEN, RW, ANON | MAP_LOCKED, -1, 0),
		mmap(0, LEN, PROT_READ, ANON, -1, 0),
		mmap(0, LEN, PROT_NONE, ANON, -1, 0),
	};
	char *hole = memory[4] + 4 * PAGE;

	need(munmap(hole, PAGE) == 0);
	for (size_t i = 0; i < sizeof advices / sizeof *advices; i++) {
		const int advice = advices[i].advice;
		char line[256] = "";

		for (size_t m = 0; m < sizeof memory / sizeof *memory; m++) {
			strcat(line, " ");
			strcat(line, outcome(memory[m], LEN, advice));
		}
		say("%s:%s", advices[i].name, line);
		say("%s: empty %s, odd %s, wraps %s, hole %s, high %s",
		    advices[i].name, outcome(memory[0], 0, advice),
		    outcome(memory[0] + 1, PAGE, advice),
		    outcome(memory[0], -1, advice), outcome(hole, PAGE, advice),
		    outcome((void *)0x7ffffffff000, 2 * PAGE, advice));
	}
}

static void contents(void)
{
	char *a = mmap(0, LEN, RW, ANON, -1, 0);
	int fd = numbered_file(LEN);
	char *s = mmap(0, LEN, RW, MAP_SHARED, fd, 0);
	char *p = mmap(0, LEN, RW, MAP_PRIVATE, fd, 0);
	char byte;

	memset(a, 7, LEN);
	show("dontneed", madvise(a, PAGE, MADV_DONTNEED));
	look("dontneed", a, 0);
	look("beside", a, PAGE);
	show("free", madvise(a + PAGE, PAGE, MADV_FREE));
	a[PAGE] = 8;
	look("free, written", a, PAGE);
	look("free, the rest of it", a, PAGE + 1);
	show("pageout", madvise(a, LEN, MADV_PAGEOUT));
	look("pageout", a, 3 * PAGE);
	show("cold", madvise(a, LEN, MADV_COLD));
	look("cold", a, 4 * PAGE);

	p[PAGE] = 50;
	show("remove", madvise(s + PAGE, 2 * PAGE, MADV_REMOVE));
	look("remove", s, PAGE);
	look("remove, the last", s, 3 * PAGE - 1);
	look("remove, beside", s, 3 * PAGE);
	look("remove, private", p, 2 * PAGE);
	look("remove, private copy", p, PAGE);
	need(pread(fd, &byte, 1, PAGE) == 1);
	say("remove, by read: %d", byte);
	show("remove, size", lseek(fd, 0, SEEK_END));
	p[0] = 60;
	show("dontneed, private", madvise(p, PAGE, MADV_DONTNEED));
	look("dontneed, private", p, 0);
	s[3 * PAGE] = 61;
	show("dontneed, shared", madvise(s, LEN, MADV_DONTNEED));
	look("dontneed, shared", s, 3 * PAGE);
}

/* What a child finds: at 0 nothing, at 1 zeros, at 2 what was there. */
static void in_child(const char *what, char *a)
{
	pid_t pid;

	say("%s", what);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		look("first", a, 0);
		look("second", a, PAGE);
		look("third", a, 2 * PAGE);
		_exit(0);
	}
	reap("child", pid);
}

static void forks(void)
{
	char *a = mmap(0, 3 * PAGE, RW, ANON, -1, 0);

	memset(a, 5, 3 * PAGE);
	show("dontfork", madvise(a, PAGE, MADV_DONTFORK));
	show("wipeonfork", madvise(a + PAGE, PAGE, MADV_WIPEONFORK));
	in_child("advised", a);
	show("keeponfork", madvise(a, PAGE, MADV_KEEPONFORK));
	show("dofork", madvise(a + PAGE, PAGE, MADV_DOFORK));
	in_child("each by the other's opposite", a);
	show("dofork", madvise(a, PAGE, MADV_DOFORK));
	show("keeponfork", madvise(a + PAGE, PAGE, MADV_KEEPONFORK));
	in_child("undone", a);
	look("in the parent", a, PAGE);
}

static void populates(void)
{
	char *a = mmap(0, 4 * PAGE, RW, ANON, -1, 0);
	int fd = numbered_file(2 * PAGE);
	char *f = mmap(0, 4 * PAGE, RW, MAP_SHARED, fd, 0);
	unsigned char in[4];

	show("populate", madvise(a, 4 * PAGE, MADV_POPULATE_WRITE));
	need(mincore(a, 4 * PAGE, in) == 0);
	say("in memory: %d%d%d%d", in[0], in[1], in[2], in[3]);
	show("beyond the end", madvise(f, 4 * PAGE, MADV_POPULATE_READ));
	show("up to it", madvise(f, 2 * PAGE, MADV_POPULATE_WRITE));
	need(mprotect(a + PAGE, PAGE, PROT_READ) == 0);
	show("read only, to write", madvise(a, 4 * PAGE, MADV_POPULATE_WRITE));
	show("read only, to read", madvise(a, 4 * PAGE, MADV_POPULATE_READ));
}

static long process_madvise_(int fd, struct iovec *ranges, long count,
    int advice, unsigned flags)
{
	return syscall(440, fd, ranges, count, advice, flags);
}

static void by_process(void)
{
	char *a = mmap(0, LEN, RW, ANON, -1, 0);
	struct iovec ranges[2] = { { a, PAGE }, { a + 2 * PAGE, 2 * PAGE } };
	const int self = -10000;

	memset(a, 5, LEN);
	show("self", process_madvise_(self, ranges, 2, MADV_COLD, 0));
	show("flags", process_madvise_(self, ranges, 2, MADV_COLD, 1));
	show("no descriptor", process_madvise_(-1, ranges, 2, MADV_COLD, 0));
	show("not of a process", process_madvise_(1, ranges, 2, MADV_COLD, 0));
	show("too many", process_madvise_(self, ranges, 1025, MADV_COLD, 0));
	show("none", process_madvise_(self, ranges, 0, MADV_COLD, 0));
	show("no ranges", process_madvise_(self, (void *)8, 1, MADV_COLD, 0));
	show("no advice", process_madvise_(self, ranges, 2, 12345, 0));
	ranges[1].iov_base = a + 1;
	show("in part", process_madvise_(self, ranges, 2, MADV_COLD, 0));
	ranges[0].iov_base = (void *)PAGE;
	show("not mapped", process_madvise_(self, ranges, 2, MADV_COLD, 0));
}

int main(void)
{
	catch_faults();
	err();
	contents();
	forks();
	populates();
	by_process();
	return 0;
}
