/*
 * What a child inherits: copies, shares, nothing, or zeros, by madvise.
 */
#include "show.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#define MADV_KEEPONFORK 19
#endif

enum { COPY, SHARE, NOTHING, ZERO, KEPT, PARTLY, KINDS };

static const char *const names[KINDS] = {
	"copy", "share", "nothing", "zero", "kept", "partly",
};

static char *area[KINDS];

static void look_at_all(const char *who)
{
	for (int i = 0; i < KINDS; i++) {
		char what[64];

		for (int page = 0; page < 3; page++) {
			snprintf(what, sizeof what, "%s, %s %d", who, names[i],
			    page);
			look(what, area[i], page * PAGE);
		}
	}
}

static void generation(int depth)
{
	char who[32];
	pid_t pid = fork();

	need(pid >= 0);
	if (pid > 0) {
		snprintf(who, sizeof who, "child %d", depth);
		reap(who, pid);
		return;
	}
	snprintf(who, sizeof who, "in child %d", depth);
	look_at_all(who);
	area[COPY][0] = area[SHARE][0] = area[ZERO][0] = area[KEPT][0] =
	    (char)(50 + depth);
	if (depth < 2)
		generation(depth + 1);
	_exit(depth);
}

int main(void)
{
	int mem = numbered_file(PAGE);
	char *shared_file;

	catch_faults();
	for (int i = 0; i < KINDS; i++) {
		area[i] = mmap(NULL, 3 * PAGE, RW, MAP_ANONYMOUS |
		    (i == SHARE ? MAP_SHARED : MAP_PRIVATE), -1, 0);
		need(area[i] != MAP_FAILED);
		for (int page = 0; page < 2; page++)
			area[i][page * PAGE] = (char)(i * 10 + page + 1);
	}
	show("dontfork", madvise(area[NOTHING], 3 * PAGE, MADV_DONTFORK));
	show("wipeonfork", madvise(area[ZERO], 3 * PAGE, MADV_WIPEONFORK));
	show("wipeonfork", madvise(area[KEPT], 3 * PAGE, MADV_WIPEONFORK));
	show("keeponfork", madvise(area[KEPT], 3 * PAGE, MADV_KEEPONFORK));
	show("dontfork of one page", madvise(area[PARTLY] + PAGE, PAGE,
	    MADV_DONTFORK));
	show("wipeonfork of shared memory", madvise(area[SHARE], PAGE,
	    MADV_WIPEONFORK));
	shared_file = mmap(NULL, PAGE, RW, MAP_PRIVATE, mem, 0);
	need(shared_file != MAP_FAILED);
	show("wipeonfork of a file", madvise(shared_file, PAGE,
	    MADV_WIPEONFORK));
	show("dofork of what was never forbidden", madvise(area[COPY], PAGE,
	    MADV_DOFORK));
	generation(1);
	look_at_all("parent");
	show("dofork", madvise(area[NOTHING], 3 * PAGE, MADV_DOFORK));
	generation(2);
	return 0;
}
