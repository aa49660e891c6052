/*
 * mremap: growing, shrinking, moving, leaving a mapping behind, and its
 * errors; the break.
 */
#include "show.h"

static char *pages(int count)
{
	char *p = mmap(NULL, (size_t)(count * PAGE), RW, ANON, -1, 0);

	need(p != MAP_FAILED);
	for (int i = 0; i < count; i++)
		p[i * PAGE] = (char)(i + 1);
	return p;
}

/* Room of so many pages in which nothing is mapped. */
static char *room(int count)
{
	char *p = mmap(NULL, (size_t)(count * PAGE), PROT_NONE, ANON, -1, 0);

	need(p != MAP_FAILED && munmap(p, (size_t)(count * PAGE)) == 0);
	return p;
}

static char *at(char *p, int count)
{
	char *q = mmap(p, (size_t)(count * PAGE), RW, ANON | MAP_FIXED, -1, 0);

	need(q == p);
	for (int i = 0; i < count; i++)
		q[i * PAGE] = (char)(i + 1);
	return q;
}

static void show_place(const char *what, const char *q, const char *p)
{
	if (q == MAP_FAILED)
		say("%s: %s", what, error_name(errno));
	else
		say("%s: %s", what, q == p ? "in place" : "moved");
}

static void sizes(void)
{
	char *p = room(16), *q;

	at(p, 4);
	show_place("same size", mremap(p, 4 * PAGE, 4 * PAGE, 0), p);
	show_place("shrink", mremap(p, 4 * PAGE, 2 * PAGE, 0), p);
	look("kept", p, PAGE);
	look("cut off", p, 2 * PAGE);
	show_place("grow", mremap(p, 2 * PAGE, 6 * PAGE, 0), p);
	look("kept", p, PAGE);
	look("new", p, 5 * PAGE);
	put("new", p, 5 * PAGE, 50);
	at(p + 6 * PAGE, 1);
	show_place("no room to grow", mremap(p, 6 * PAGE, 8 * PAGE, 0), p);
	q = mremap(p, 6 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
	show_place("no room, may move", q, p);
	look("moved", q, PAGE);
	look("moved", q, 5 * PAGE);
	look("moved, new", q, 7 * PAGE);
	look("left behind", p, PAGE);
	look("neighbour", p, 6 * PAGE);
	/* A part of a mapping grows only by moving away. */
	show_place("part cannot grow", mremap(q, PAGE, 2 * PAGE, 0), q);
	p = mremap(q + PAGE, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE);
	show_place("part moves", p, q + PAGE);
	look("part", p, PAGE);
	look("part, new", p, 2 * PAGE);
	look("hole", q, PAGE);
	look("beside the hole", q, 3 * PAGE);
	show_place("unaligned new size", mremap(p, 3 * PAGE, PAGE + 1, 0), p);
	look("rounded up", p, PAGE);
	look("rounded up", p, 2 * PAGE);
}

static void places(void)
{
	char *p = room(16), *q;

	at(p, 2), at(p + 8 * PAGE, 4);
	q = mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
	    p + 9 * PAGE);
	say("fixed: %+ld pages", (long)(q - p) / PAGE);
	look("before", p, 8 * PAGE);
	look("put over", p, 9 * PAGE);
	look("put over", p, 10 * PAGE);
	look("behind", p, 11 * PAGE);
	look("old place", p, 0);
	q = mremap(p + 9 * PAGE, 2 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
	    p);
	say("fixed, smaller: %+ld pages", (long)(q - p) / PAGE);
	look("moved", p, 0);
	look("not moved", p, PAGE);
	look("cut off", p, 10 * PAGE);
}

static void errors(void)
{
	char *p = pages(4), *to = room(8);

	show_ok("old unaligned", mremap(p + 1, PAGE, PAGE, 0));
	show_ok("new size 0", mremap(p, PAGE, 0, 0));
	show_ok("unknown flag", mremap(p, PAGE, PAGE, 64));
	show_ok("fixed without maymove", mremap(p, PAGE, PAGE, MREMAP_FIXED,
	    to));
	show_ok("target unaligned", mremap(p, PAGE, PAGE,
	    MREMAP_MAYMOVE | MREMAP_FIXED, to + 1));
	show_ok("target overlaps", mremap(p, 2 * PAGE, 2 * PAGE,
	    MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE));
	show_ok("target beyond the end", mremap(p, PAGE, PAGE,
	    MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0x7ffffffff000));
	show_ok("unmapped", mremap(to, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	show_ok("old size 0, private", mremap(p, 0, PAGE, MREMAP_MAYMOVE));
	need(munmap(p + PAGE, PAGE) == 0);
	show_ok("grow over a hole", mremap(p, 4 * PAGE, 5 * PAGE,
	    MREMAP_MAYMOVE));
	look("untouched", p, 2 * PAGE);
}

/* Moved memory is still shared, private or a file's. */
static void kinds(void)
{
	int mem = numbered_file(4 * PAGE);
	char *p = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, mem, 0), *q;
	char *s = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, mem, 0);
	pid_t pid;

	need(p != MAP_FAILED && s != MAP_FAILED);
	p[0] = 70;
	q = mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
	    room(8));
	need(q != MAP_FAILED);
	s[0] = 80, s[PAGE] = 81;
	look("private, written", q, 0);
	look("private, unwritten", q, PAGE);
	s = mremap(s, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
	need(s != MAP_FAILED);
	look("shared, grown over the file's next pages", s, 3 * PAGE);
	q = mremap(s, 0, 2 * PAGE, MREMAP_MAYMOVE);
	show_ok("old size 0, shared: a second view", q);
	s[0] = 90;
	look("second view", q, 0);
	s = mremap(s, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
	need(s != MAP_FAILED);
	look("beyond the file", s, 4 * PAGE);

	p = pages(2);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		q = mremap(p, 2 * PAGE, 2 * PAGE,
		    MREMAP_MAYMOVE | MREMAP_FIXED, room(8));
		need(q != MAP_FAILED);
		q[0] = 9;
		look("child's moved copy", q, 0);
		look("child's moved copy", q, PAGE);
		_exit(0);
	}
	reap("child", pid);
	look("parent's own", p, 0);
	close(mem);
}

#define KEEP (MREMAP_MAYMOVE | 4)

/* MREMAP_DONTUNMAP: the old range stays mapped, and is empty. */
static void keeping(void)
{
	int mem = numbered_file(4 * PAGE);
	char *p = pages(4), *q, *to = room(8);

	show_ok("keep: other size", mremap(p, 4 * PAGE, 5 * PAGE, KEEP, NULL));
	show_ok("keep: may not move", mremap(p, PAGE, PAGE, 4, NULL));
	q = mremap(p, 4 * PAGE, 4 * PAGE, KEEP, NULL);
	need(q != MAP_FAILED && q != p);
	look("keep: moved", q, 3 * PAGE);
	look("keep: left behind", p, 3 * PAGE);
	put("keep: left behind", p, 0, 50);
	look("keep: moved", q, 0);
	q = mremap(q + PAGE, 2 * PAGE, 2 * PAGE, KEEP | MREMAP_FIXED, to);
	say("keep: fixed: %d", q == to);
	look("keep: a part", q, PAGE);
	show_ok("keep: a hole", mremap(room(2), PAGE, PAGE, KEEP, NULL));
	p = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, mem, 0);
	need(p != MAP_FAILED);
	p[0] = 70;
	q = mremap(p, 4 * PAGE, 4 * PAGE, KEEP, NULL);
	need(q != MAP_FAILED);
	look("keep: a private file, moved", q, 0);
	look("keep: a private file, left behind", p, 0);
	look("keep: a private file, left behind", p, PAGE);
	p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, mem, 0);
	need(p != MAP_FAILED);
	q = mremap(p, 4 * PAGE, 4 * PAGE, KEEP, NULL);
	need(q != MAP_FAILED);
	put("keep: shared, moved", q, PAGE, 90);
	look("keep: shared, left behind", p, PAGE);
	close(mem);
}

/* remap_file_pages: pages of a mapping become others of the same object. */
static void file_pages(void)
{
	int mem = numbered_file(6 * PAGE);
	char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, mem, 0);
	char *q = mmap(NULL, PAGE, RW, MAP_PRIVATE, mem, 0);

	need(p != MAP_FAILED && q != MAP_FAILED);
	show("pages: rights", syscall(SYS_remap_file_pages, p, PAGE, 1, 0, 0));
	show("pages: private", syscall(SYS_remap_file_pages, q, PAGE, 0, 0,
	    0));
	show("pages: nothing", syscall(SYS_remap_file_pages, p, 0, 0, 0, 0));
	show("pages: too many", syscall(SYS_remap_file_pages, p, 5 * PAGE, 0,
	    0, 0));
	show("pages: wraps", syscall(SYS_remap_file_pages, p, PAGE, 0, -1L,
	    0));
	show("pages: the last two first", syscall(SYS_remap_file_pages, p,
	    2 * PAGE, 0, 4, 0));
	look("pages: first", p, 0);
	look("pages: second", p, PAGE);
	look("pages: third", p, 2 * PAGE);
	put("pages: first", p, 0, 90);
	show("pages: back, across both", syscall(SYS_remap_file_pages, p,
	    4 * PAGE, 0, 2, 0));
	look("pages: third", p, 2 * PAGE);
	show("pages: beyond the end", syscall(SYS_remap_file_pages, p, PAGE,
	    0, 9, 0));
	look("pages: first", p, 0);
	close(mem);
}

static void the_break(void)
{
	char *base = (char *)syscall(SYS_brk, NULL), *top;

	base = (char *)(((uintptr_t)base + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
	top = base + 4 * PAGE;
	say("brk up: %d", (char *)syscall(SYS_brk, top) == top);
	put("heap", base, 3 * PAGE, 7);
	look("heap", base, 2 * PAGE);
	look("above", top, 0);
	say("brk down: %d", (char *)syscall(SYS_brk, base + PAGE) ==
	    base + PAGE);
	look("given back", base, 3 * PAGE);
	say("brk up: %d", (char *)syscall(SYS_brk, top) == top);
	look("zero again", base, 3 * PAGE);
	say("brk too low: %d", (char *)syscall(SYS_brk, (void *)PAGE) == top);
	say("brk too high: %d", (char *)syscall(SYS_brk,
	    (void *)0x7fffffffffff) == top);
	/* The break does not grow over what is mapped. */
	need(mmap(top + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) ==
	    top + PAGE);
	say("brk into a mapping: %d", (char *)syscall(SYS_brk,
	    top + 4 * PAGE) == top);
}

int main(void)
{
	catch_faults();
	sizes();
	places();
	errors();
	kinds();
	keeping();
	file_pages();
	the_break();
	return 0;
}
