/*
 * mlock(2) and its kin. The cases of NetBSD's t_mlock by their names, and
 * what else there is to locking here.
 */
#include "show.h"
#include <sys/resource.h>

#define CAP_IPC_LOCK 14

static char *pages(int count, int prot)
{
	char *p = mmap(NULL, (size_t)(count * PAGE), prot, ANON, -1, 0);

	need(p != MAP_FAILED);
	return p;
}

static void clip(void)
{
	char *p = pages(6, RW);
	int failed = 0, missing = 0;

	for (int from = 0; from < 6; from++)
		for (int to = from + 1; to <= 6; to++) {
			size_t len = (size_t)((to - from) * PAGE);

			failed += mlock(p + from * PAGE, len) != 0;
			missing += count_resident(p + from * PAGE, to - from) != to - from;
			failed += munlock(p + from * PAGE, PAGE) != 0;
			failed += munlock(p + from * PAGE, len) != 0;
		}
	say("clip: failed %d, missing %d", failed, missing);
}

static void err(void)
{
	char *p = pages(3, RW);

	need(munmap(p + PAGE, PAGE) == 0);
	show("err: unmapped", mlock(p + PAGE, PAGE));
	show("err: hole", mlock(p, 3 * PAGE));
	show("err: unlock unmapped", munlock(p + PAGE, PAGE));
	show("err: wraps", mlock(p, (size_t)-PAGE));
	show("err: unlock wraps", munlock(p, (size_t)-PAGE));
	show("err: the highest address", mlock((void *)-PAGE, PAGE));
	show("err: unaligned", mlock(p + 1, 1));
	show("err: nothing", mlock(p + PAGE, 0));
	show("err: mlock2, bad flags", syscall(SYS_mlock2, p, PAGE, 2));
	show("err: mlockall, none", mlockall(0));
	show("err: mlockall, unknown", mlockall(8));
	show("err: mlockall, on fault alone", mlockall(4));
}

static void set_limit(rlim_t bytes)
{
	struct rlimit limit = { bytes, bytes };

	need(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
}

static void limits(void)
{
	pid_t pid = fork();

	need(pid >= 0);
	if (pid == 0) {
		char *p, *q;
		long top;

		give_up(CAP_IPC_LOCK);
		set_limit(4 * PAGE);
		p = pages(8, RW);
		show("limits: above", mlock(p, 5 * PAGE));
		show("limits: up to", mlock(p, 4 * PAGE));
		show("limits: again", mlock(p + PAGE, 2 * PAGE));
		show("limits: one more", mlock(p + 4 * PAGE, PAGE));
		show("limits: one more on fault",
		    syscall(SYS_mlock2, p + 4 * PAGE, PAGE, 1));
		show("limits: a part new", mlock(p + 3 * PAGE, 2 * PAGE));
		show_ok("limits: MAP_LOCKED", mmap(NULL, PAGE, RW,
		    ANON | MAP_LOCKED, -1, 0));
		show("limits: all", mlockall(MCL_CURRENT));
		show("limits: give one back", munlock(p + 3 * PAGE, PAGE));
		show("limits: the other", mlock(p + 4 * PAGE, PAGE));
		need(munlock(p, 8 * PAGE) == 0);
		q = mmap(NULL, 4 * PAGE, RW, ANON | MAP_LOCKED, -1, 0);
		show_ok("limits: MAP_LOCKED", q);
		show_ok("limits: it grows", mremap(q, 4 * PAGE, 5 * PAGE,
		    MREMAP_MAYMOVE));
		show("limits: future", mlockall(MCL_FUTURE));
		show_ok("limits: then a mapping", mmap(NULL, PAGE, RW, ANON,
		    -1, 0));
		top = syscall(SYS_brk, 0L);
		say("limits: and the break moves: %d",
		    syscall(SYS_brk, top + 2 * PAGE) == top + 2 * PAGE);
		need(munlockall() == 0);
		show_ok("limits: none", mmap(NULL, PAGE, RW, ANON, -1, 0));
		set_limit(0);
		show("limits: 0", mlock(p, PAGE));
		show("limits: 0, all", mlockall(MCL_FUTURE));
		show_ok("limits: 0, MAP_LOCKED", mmap(NULL, PAGE, RW,
		    ANON | MAP_LOCKED, -1, 0));
		show("limits: 0, unlock", munlock(p, PAGE));
		_exit(0);
	}
	reap("limits", pid);
}

static void mapped(void)
{
	char *p = mmap(NULL, 3 * PAGE, RW, ANON | MAP_LOCKED, -1, 0);

	need(p != MAP_FAILED);
	say("mmap: resident %d", count_resident(p, 3));
	show("mmap: lock again", mlock(p, 3 * PAGE));
	show("mmap: unlock", munlock(p, 3 * PAGE));
	need(munmap(p, 3 * PAGE) == 0);
	show("mmap: unlock what is gone", munlock(p, 3 * PAGE));
	p = pages(2, PROT_NONE);
	show("mmap: no access", mlock(p, 2 * PAGE));
	show("mmap: no access, unlock", munlock(p, 2 * PAGE));
}

static void nested(void)
{
	char *p = pages(2, RW);
	int failed = 0;

	for (int i = 0; i < 100; i++)
		failed += mlock(p, 2 * PAGE) != 0;
	say("nested: failed %d", failed);
	show("nested: unlock once", munlock(p, 2 * PAGE));
	need(madvise(p, 2 * PAGE, MADV_DONTNEED) == 0);
	say("nested: not locked any more, resident %d", count_resident(p, 2));
}

static void on_fault(void)
{
	char *p = pages(4, RW);

	show("on fault", syscall(SYS_mlock2, p, 4 * PAGE, 1));
	say("on fault: resident %d", count_resident(p, 4));
	p[PAGE] = 1;
	say("on fault: touched, resident %d", count_resident(p, 4));
	show("on fault: now", mlock(p, 4 * PAGE));
	say("on fault: resident %d", count_resident(p, 4));
	need(munlock(p, 4 * PAGE) == 0);
}

static void all(void)
{
	char *p, *q;

	show("all", mlockall(MCL_CURRENT | MCL_FUTURE));
	p = pages(4, RW);
	say("all: a later mapping, resident %d", count_resident(p, 4));
	q = pages(4, PROT_NONE);
	say("all: no access, resident %d", count_resident(q, 4));
	need(mprotect(q, 4 * PAGE, RW) == 0);
	say("all: accessible, resident %d", count_resident(q, 4));
	p = mremap(p, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
	need(p != MAP_FAILED);
	say("all: grown, resident %d", count_resident(p, 6));
	show("all: later ones on fault", mlockall(MCL_FUTURE | 4));
	p = pages(4, RW);
	say("all: resident %d", count_resident(p, 4));
	show("all: no more", munlockall());
	p = pages(4, RW);
	say("all: unlocked, resident %d", count_resident(p, 4));
}

/* FreeBSD's mlock tests: truncation, and a copy of a locked page. */
static void truncated(void)
{
	int fd = numbered_file(4 * PAGE);
	char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);

	need(p != MAP_FAILED);
	show("truncate: lock", mlock(p, 4 * PAGE));
	need(ftruncate(fd, PAGE) == 0);
	look("truncate: within", p, 0);
	look("truncate: beyond", p, 2 * PAGE);
	need(ftruncate(fd, 4 * PAGE) == 0);
	look("truncate: extended", p, 2 * PAGE);
	show("truncate: unlock", munlock(p, 4 * PAGE));
	need(ftruncate(fd, PAGE) == 0);
	show("truncate: lock beyond", mlock(p, 4 * PAGE));
	close(fd);
}

static void copied(void)
{
	int fd = numbered_file(2 * PAGE);
	char *p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	pid_t pid;

	need(p != MAP_FAILED);
	show("copy: lock", mlock(p, 2 * PAGE));
	need(mprotect(p, 2 * PAGE, RW) == 0);
	put("copy", p, 0, 70);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		put("copy: child", p, PAGE, 80);
		look("copy: child", p, 0);
		show("copy: child, unlock", munlock(p, 2 * PAGE));
		_exit(0);
	}
	reap("copy", pid);
	look("copy: parent", p, 0);
	look("copy: parent", p, PAGE);
	put("copy: parent", p, PAGE, 90);
	say("copy: resident %d", count_resident(p, 2));
	show("copy: unlock", munlock(p, 2 * PAGE));
	close(fd);
}

int main(void)
{
	catch_faults();
	clip();
	err();
	limits();
	mapped();
	nested();
	on_fault();
	all();
	truncated();
	copied();
	return 0;
}
