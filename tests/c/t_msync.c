/* What msync does, by the names of NetBSD's test. */
#include "show.h"

#define PAGES 4
#define LEN (PAGES * PAGE)

static void arrives(const char *what, int flags)
{
	int fd = numbered_file(LEN);
	char *at = mmap(0, LEN, RW, MAP_SHARED, fd, 0);
	char page[PAGE];

	need(at != MAP_FAILED);
	for (int i = 0; i < PAGES; i++)
		memset(at + i * PAGE, 'a' + i, PAGE);
	show(what, msync(at, LEN, flags));
	for (int i = 0; i < PAGES; i++) {
		need(pread(fd, page, PAGE, i * PAGE) == PAGE);
		need(memcmp(page, at + i * PAGE, PAGE) == 0);
	}
	say("%s: the pattern is there", what);
	need(munmap(at, LEN) == 0 && close(fd) == 0);
}

static void err(void)
{
	int fd = numbered_file(LEN);
	char *at = mmap(0, LEN, RW, MAP_SHARED, fd, 0);
	const int all[] = { 0, MS_ASYNC, MS_SYNC, MS_INVALIDATE,
	    MS_ASYNC | MS_INVALIDATE, MS_SYNC | MS_INVALIDATE };

	show("async and sync", msync(at, LEN, MS_ASYNC | MS_SYNC));
	show("all three", msync(at, LEN, MS_ASYNC | MS_SYNC | MS_INVALIDATE));
	show("unknown", msync(at, LEN, -1));
	show("8", msync(at, LEN, 8));
	show("odd", msync(at + 1, PAGE, MS_SYNC));
	show("wraps", msync(at, (size_t)-PAGE, MS_SYNC));
	show("empty", msync(at, 0, MS_SYNC));
	show("empty, nowhere", msync((void *)PAGE, 0, MS_SYNC));
	show("nowhere", msync((void *)PAGE, PAGE, MS_SYNC));
	show("lock", mlock(at + PAGE, PAGE));
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		say("flags %d", all[i]);
		show("locked", msync(at, LEN, all[i]));
	}
	need(munlock(at, LEN) == 0 && munmap(at + PAGE, PAGE) == 0);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		say("flags %d", all[i]);
		show("hole", msync(at, LEN, all[i]));
		show("from a hole", msync(at + PAGE, 2 * PAGE, all[i]));
	}
	show("private", msync(mmap(0, LEN, RW, ANON, -1, 0), LEN, MS_SYNC));
}

int main(void)
{
	arrives("async", MS_ASYNC);
	arrives("sync", MS_SYNC);
	arrives("invalidate", MS_INVALIDATE);
	arrives("sync and invalidate", MS_SYNC | MS_INVALIDATE);
	err();
	return 0;
}
