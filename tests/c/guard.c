/* Guards in mappings: what may have them, what becomes of the memory, what takes them away. */
#include "show.h"
#include <fcntl.h>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define INSTALL 102
#define REMOVE 103
#define PAGES 8
#define LEN (PAGES * PAGE)

static char *anonymous(void)
{
	char *p = mmap(NULL, LEN + 2 * PAGE, PROT_NONE, ANON, -1, 0);

	need(p != MAP_FAILED && mprotect(p + PAGE, LEN, RW) == 0);
	memset(p + PAGE, 7, LEN);
	return p + PAGE;
}

static void row(const char *what, char *p)
{
	char line[PAGES + 1] = "";

	for (int i = 0; i < PAGES; i++) {
		if (sigsetjmp(touch_failed, 1) == 0)
			line[i] = (char)('0' + *(volatile char *)(p + i * PAGE));
		else
			line[i] = '-';
	}
	say("%s: %s", what, line);
}

static void kinds(void)
{
	int fd = numbered_file(LEN);
	char *p = anonymous();
	struct { const char *name; char *at; } kinds[] = {
		{ "anonymous", p },
		{ "shared", mmap(0, LEN, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0) },
		{ "file, private", mmap(0, LEN, RW, MAP_PRIVATE, fd, 0) },
		{ "file, shared", mmap(0, LEN, RW, MAP_SHARED, fd, 0) },
		{ "read only", mmap(0, LEN, PROT_READ, ANON, -1, 0) },
		{ "file, read only", mmap(0, LEN, PROT_READ, MAP_SHARED, fd, 0) },
		{ "nothing", mmap(0, LEN, PROT_NONE, ANON, -1, 0) },
		{ "locked", mmap(0, LEN, RW, ANON | MAP_LOCKED, -1, 0) },
	};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		char *at = kinds[i].at;

		need(at != MAP_FAILED);
		show(kinds[i].name, madvise(at + PAGE, 2 * PAGE, INSTALL));
		look("guard", at, PAGE);
		put("guard", at, 2 * PAGE, 5);
		look("beside", at, 3 * PAGE);
		show("remove", madvise(at, LEN, REMOVE));
		look("then", at, PAGE);
	}
	p = anonymous();
	need(munmap(p + 3 * PAGE, PAGE) == 0);
	show("with a hole", madvise(p, LEN, INSTALL));
	row("with a hole", p);
	show("remove, with a hole", madvise(p, LEN, REMOVE));
	row("removed", p);
	show("odd", madvise(p + 1, PAGE, INSTALL));
	show("empty", madvise(p, 0, INSTALL));
	show("wraps", madvise(p, (size_t)-PAGE, INSTALL));
	show("again", madvise(p, PAGE, INSTALL));
	show("and again", madvise(p, 2 * PAGE, INSTALL));
	show("remove where none is", madvise(p, 3 * PAGE, REMOVE));
}

static void kept(void)
{
	char *p = anonymous(), *q;
	unsigned char in[PAGES];
	struct iovec here = { in, 1 }, there = { p + PAGE, 1 };

	need(madvise(p + PAGE, PAGE, INSTALL) == 0 && madvise(p + 6 * PAGE, PAGE, INSTALL) == 0);
	row("at first", p);
	show("don't need", madvise(p, LEN, MADV_DONTNEED));
	row("don't need", p);
	show("free", madvise(p, LEN, MADV_FREE));
	show("cold", madvise(p, LEN, 20));
	show("page out", madvise(p, LEN, 21));
	show("populate to read", madvise(p, LEN, 22));
	show("populate to write", madvise(p, LEN, 23));
	show("populate beside", madvise(p + 2 * PAGE, PAGE, 23));
	show("populate, first a guard", madvise(p + 6 * PAGE, 8 * PAGE, 23));
	show("rights", mprotect(p, LEN, PROT_READ));
	put("without the right", p, 0, 1);
	put("without the right, guard", p, PAGE, 1);
	show("rights", mprotect(p, LEN, PROT_NONE));
	look("without any", p, PAGE);
	show("rights", mprotect(p, LEN, RW));
	row("rights", p);
	memset(in, 9, sizeof in);
	need(mincore(p, LEN, in) == 0);
	say("in memory: %d%d", in[1], in[6]);
	show("read from outside", process_vm_readv(getpid(), &here, 1, &there, 1, 0));
	show("by a call", write(1, p + PAGE, 1));
	show("lock", mlock(p, LEN));
	show("install, locked", madvise(p + 2 * PAGE, PAGE, INSTALL));
	show("remove, locked", madvise(p + PAGE, PAGE, REMOVE));
	row("removed, locked", p);
	show("unlock", munlock(p, LEN));

	q = mremap(p, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, anonymous());
	show_ok("move", q);
	row("moved", q);
	show_ok("shrink", mremap(q, LEN, 7 * PAGE, 0));
	q = mremap(q, 7 * PAGE, LEN, MREMAP_MAYMOVE);
	show_ok("grow", q);
	row("grown", q);
	p = mremap(q, LEN, LEN, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	show_ok("leave behind", p);
	row("left", q);
	row("there", p);
	q = p;
	show("unmap", munmap(q + 6 * PAGE, PAGE));
	show_ok("map", mmap(q + 6 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	row("mapped again", q);
}

static void forked(const char *what, int advice)
{
	char *p = anonymous();

	need(madvise(p + PAGE, PAGE, INSTALL) == 0);
	need(advice == 0 || madvise(p, 4 * PAGE, advice) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		row(what, p);
		show("remove", madvise(p, LEN, REMOVE));
		row("removed in the child", p);
		_exit(0);
	}
	reap("child", pid);
	row("in the parent", p);
}

/* How many lines of /proc/self/maps lie in a range. */
static int lines(char *p)
{
	unsigned long start, end;
	char line[512];
	int count = 0;
	FILE *file = fopen("/proc/self/maps", "r");

	need(file);
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2)
			count += start >= (unsigned long)p && start < (unsigned long)p + LEN;
	fclose(file);
	return count;
}

static void told(void)
{
	char *p = anonymous();
	uint64_t word;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	need(fd >= 0 && madvise(p + PAGE, 2 * PAGE, INSTALL) == 0);
	say("mappings: %d", lines(p));
	for (int i = 0; i < 4; i++) {
		need(pread(fd, &word, 8, (off_t)((uintptr_t)p / PAGE + (size_t)i) * 8) == 8);
		say("page %d: present %d, guard %d", i, (int)(word >> 63), (int)(word >> 58 & 1));
	}
	close(fd);
}

int main(void)
{
	catch_faults();
	kinds();
	kept();
	forked("child", 0);
	forked("child, wiped", MADV_WIPEONFORK);
	told();
	return 0;
}
