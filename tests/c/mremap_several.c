/* Several mappings that are moved by one call, with the holes between them. */
#include "show.h"

#define PAGES 8
#define LEN (PAGES * PAGE)
#define MOVE (MREMAP_MAYMOVE | MREMAP_FIXED)
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

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

/* Eight pages, numbered, with what lies beside them kept off. */
static char *numbered(void)
{
	char *p = mmap(NULL, LEN + 4 * PAGE, PROT_NONE, ANON, -1, 0);

	need(p != MAP_FAILED);
	p += 2 * PAGE;
	need(mmap(p, LEN, RW, ANON | MAP_FIXED, -1, 0) == p);
	for (int i = 0; i < PAGES; i++)
		p[i * PAGE] = (char)(i + 1);
	return p;
}

/* The same in several mappings: read only, of a file, shared, and a hole. */
static char *several(void)
{
	char *p = numbered();
	int fd = numbered_file(2 * PAGE);

	need(mprotect(p + PAGE, PAGE, PROT_READ) == 0);
	need(mmap(p + 2 * PAGE, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0) == p + 2 * PAGE);
	need(munmap(p + 5 * PAGE, PAGE) == 0);
	return p;
}

static char *target(void)
{
	char *p = mmap(NULL, LEN, RW, ANON, -1, 0);

	need(p != MAP_FAILED);
	memset(p, 9, LEN);
	return p;
}

int main(void)
{
	char *p, *to;

	catch_faults();
	p = several();
	to = target();
	row("at first", p);
	show_ok("all", mremap(p, LEN, LEN, MOVE, to));
	row("here", p);
	row("there", to);
	put("read only", to, PAGE, 5);
	put("shared", to, 2 * PAGE, 5);

	p = several();
	to = target();
	show_ok("from a hole on", mremap(p + 5 * PAGE, 3 * PAGE, 3 * PAGE, MOVE, to));
	show_ok("up to a hole", mremap(p + 3 * PAGE, 3 * PAGE, 3 * PAGE, MOVE, to));
	row("here", p);
	row("there", to);
	show_ok("parts", mremap(p + PAGE, 2 * PAGE, 2 * PAGE, MOVE, to + 4 * PAGE));
	row("there", to);
	show_ok("a hole", mremap(p, PAGE, PAGE, MOVE, to));
	show_ok("of it alone", mremap(p, PAGE, PAGE, MOVE, to));

	p = several();
	to = target();
	show_ok("longer", mremap(p, 4 * PAGE, 6 * PAGE, MOVE, to));
	show_ok("shorter", mremap(p, LEN, 4 * PAGE, MOVE, to));
	row("shorter", p);
	p = several();
	show_ok("anywhere", mremap(p, LEN, LEN, MREMAP_MAYMOVE));
	show_ok("anywhere, longer", mremap(p, 2 * PAGE, 20 * PAGE, MREMAP_MAYMOVE));
	show_ok("in its place", mremap(p, 4 * PAGE, 4 * PAGE, 0));
	show_ok("in its place, longer", mremap(p, 4 * PAGE, 5 * PAGE, 0));
	show_ok("in its place, shorter", mremap(p, 4 * PAGE, 3 * PAGE, 0));
	row("shorter", p);

	p = numbered();
	to = target();
	need(mprotect(p + PAGE, PAGE, PROT_READ) == 0);
	show_ok("kept", mremap(p, 3 * PAGE, 3 * PAGE, MOVE | MREMAP_DONTUNMAP, to));
	row("here", p);
	row("there", to);
	show_ok("kept, anywhere", mremap(p, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));

	p = several();
	to = target();
	if (syscall(462, p + 3 * PAGE, PAGE, 0) == 0) {
		show_ok("one is sealed", mremap(p, LEN, LEN, MOVE, to));
		row("here", p);
		row("there", to);
	}
	return 0;
}
