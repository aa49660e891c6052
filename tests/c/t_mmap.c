/*
 * mmap(2). The cases of NetBSD's t_mmap by their names, and those of
 * OpenBSD's and FreeBSD's tests of mappings next to them.
 */
#include "show.h"
#include <fcntl.h>
#include <pthread.h>

#define CAP_SYS_RAWIO 17
#define PTR(n) ((void *)(uintptr_t)(n))

static char *room(int count)
{
	char *p = mmap(NULL, (size_t)(count * PAGE), PROT_NONE, ANON, -1, 0);

	need(p != MAP_FAILED && munmap(p, (size_t)(count * PAGE)) == 0);
	return p;
}

static int reopened(int fd, int flags)
{
	char name[64];

	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	fd = open(name, flags);
	need(fd >= 0);
	return fd;
}

static void err(void)
{
	int fd = numbered_file(PAGE), closed = dup(fd);

	close(closed);
	show_ok("err: closed descriptor", mmap(NULL, PAGE, PROT_READ,
	    MAP_SHARED, closed, 0));
	show_ok("err: an impossible address", mmap(PTR(-PAGE), PAGE, PROT_READ,
	    ANON | MAP_FIXED, -1, 0));
	show_ok("err: anonymous with a descriptor", mmap(NULL, PAGE, PROT_READ,
	    ANON, fd, 0));
	show_ok("err: no length", mmap(NULL, 0, PROT_READ, ANON, -1, 0));
	close(fd);
}

static void prot(void)
{
	int mem = numbered_file(PAGE), fd = reopened(mem, O_WRONLY);
	char *p;

	show_ok("prot_1: write-only, read", mmap(NULL, PAGE, PROT_READ,
	    MAP_SHARED, fd, 0));
	show_ok("prot_1: write-only, write, private", mmap(NULL, PAGE,
	    PROT_WRITE, MAP_PRIVATE, fd, 0));
	close(fd);
	p = mmap(NULL, PAGE, PROT_NONE, ANON, -1, 0);
	need(p != MAP_FAILED);
	look("prot_2", p, 0);
	put("prot_2", p, 0, 1);
	fd = reopened(mem, O_RDONLY);
	p = mmap(NULL, PAGE, PROT_NONE, MAP_SHARED, fd, 0);
	show_ok("prot_3", p);
	look("prot_3", p, 0);
	show("prot_3: readable", mprotect(p, PAGE, PROT_READ));
	look("prot_3", p, 0);
	show("prot_3: writable", mprotect(p, PAGE, RW));
	close(fd), close(mem);
}

static char *raced;
static volatile int race_over;

static void *reprotect(void *unused)
{
	(void)unused;
	for (int i = 0; i < 2000; i++) {
		mprotect(raced, 13 * PAGE, PROT_NONE);
		mprotect(raced, 13 * PAGE, RW);
	}
	race_over = 1;
	return NULL;
}

/* Writes go on in the middle of it, and none is lost. */
static void reprotect_race(void)
{
	static volatile long stored[13], wrong;
	static volatile int n;
	pthread_t thread;

	raced = mmap(NULL, 13 * PAGE, RW, ANON, -1, 0);
	need(raced != MAP_FAILED);
	need(pthread_create(&thread, NULL, reprotect, NULL) == 0);
	while (!race_over) {
		if (sigsetjmp(touch_failed, 1) != 0) {
			wrong += touch_signal != SIGSEGV ||
			    touch_code != SEGV_ACCERR;
			continue;
		}
		n = (n + 1) % 13;
		((volatile long *)(raced + n * PAGE))[0] = stored[n] + 1;
		stored[n]++;
	}
	need(pthread_join(thread, NULL) == 0);
	for (int i = 0; i < 13; i++) {
		long is = ((long *)(raced + i * PAGE))[0];

		/* The store that was cut short may have been done. */
		wrong += is != stored[i] && is != stored[i] + 1;
	}
	say("reprotect_race: wrong %ld", wrong);
}

static void truncate_(void)
{
	int fd = numbered_file(3 * PAGE);
	char *p = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
	char *q = mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE, fd, 0);

	need(p != MAP_FAILED && q != MAP_FAILED);
	look("truncate: before", p, 2 * PAGE);
	put("truncate: a copy", q, 2 * PAGE, 70);
	show("truncate", ftruncate(fd, PAGE));
	look("truncate: what is left", p, 0);
	look("truncate_signal", p, 2 * PAGE);
	put("truncate_signal", p, PAGE, 1);
	look("truncate_signal: the copy", q, 2 * PAGE);
	look("truncate_signal: behind the mapping's file", q, PAGE);
	close(fd);
}

/* OpenBSD's mmap0, FreeBSD's map_at_zero. */
static void va0(void)
{
	pid_t pid = fork();

	need(pid >= 0);
	if (pid == 0) {
		give_up(CAP_SYS_RAWIO);
		show_ok("va0", mmap(NULL, PAGE, RW, ANON | MAP_FIXED, -1, 0));
		show_ok("va0: not in its place either", mmap(NULL, PAGE, RW,
		    ANON | MAP_FIXED_NOREPLACE, -1, 0));
		show("va0: unmap", munmap(NULL, PAGE));
		show("va0: protect", mprotect(NULL, PAGE, RW));
		_exit(0);
	}
	reap("va0", pid);
}

/* Also OpenBSD's mmap_hint. */
static void hint(void)
{
	static void *const hints[] = { PTR(0), PTR(-1), PTR(PAGE),
	    PTR(0x10000), PTR(0x7fffffffe000), PTR(0x7ffffffff000),
	    PTR(-PAGE) };
	int failed = 0, there = 0;
	char *p;

	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
			p = mmap(hints[i], PAGE, RW, ANON, -1, 0);
			failed += p == MAP_FAILED;
			if (p != MAP_FAILED)
				*p = 1;
		}
	say("hint: failed %d", failed);
	p = room(4);
	say("hint: free: %d", mmap(p, PAGE, RW, ANON, -1, 0) == p);
	say("hint: unaligned: %d", mmap(p + PAGE + 1, PAGE, RW, ANON, -1, 0) ==
	    p + PAGE);
	there = mmap(p, PAGE, RW, ANON, -1, 0) == p;
	say("hint: taken: %d", there);
}

/* OpenBSD's mmap_fixed and mmap_size. */
static void sizes(void)
{
	char *p = room(4);

	show_ok("size: all", mmap(NULL, (size_t)-PAGE, RW, ANON, -1, 0));
	show_ok("size: wraps", mmap(NULL, (size_t)-1, RW, ANON, -1, 0));
	show_ok("size: half", mmap(NULL, (size_t)1 << 47, PROT_NONE, ANON, -1,
	    0));
	show_ok("fixed: beyond the end", mmap(PTR(0x7ffffffff000), PAGE, RW,
	    ANON | MAP_FIXED, -1, 0));
	show_ok("fixed: over the end", mmap(PTR(0x7fffffffe000), 2 * PAGE, RW,
	    ANON | MAP_FIXED, -1, 0));
	show_ok("fixed: unaligned", mmap(p + 1, PAGE, RW, ANON | MAP_FIXED, -1,
	    0));
	say("fixed: %d", mmap(p, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0) == p);
	put("fixed", p, PAGE, 5);
	say("fixed: in the place of another: %d", mmap(p, 2 * PAGE, RW,
	    ANON | MAP_FIXED, -1, 0) == p);
	look("fixed", p, PAGE);
	show_ok("noreplace: taken", mmap(p + PAGE, 2 * PAGE, RW,
	    ANON | MAP_FIXED_NOREPLACE, -1, 0));
	say("noreplace: free: %d", mmap(p + 2 * PAGE, PAGE, RW,
	    ANON | MAP_FIXED_NOREPLACE, -1, 0) == p + 2 * PAGE);
}

/* FreeBSD's bad_arguments. */
static void bad_arguments(void)
{
	int fd = numbered_file(PAGE);

	show_ok("bad: both kinds of sharing", mmap(NULL, PAGE, RW,
	    MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	show_ok("bad: neither", mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0));
	show_ok("bad: more rights", mmap(NULL, PAGE, RW | 0x100000, ANON, -1,
	    0));
	show_ok("bad: offset", mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 1));
	show_ok("bad: unknown flag, checked", mmap(NULL, PAGE, PROT_READ,
	    MAP_SHARED_VALIDATE | 0x1000000, fd, 0));
	show_ok("bad: synchronous", mmap(NULL, PAGE, RW,
	    MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0));
	show_ok("bad: synchronous, not checked", mmap(NULL, PAGE, RW,
	    MAP_SHARED | MAP_SYNC, fd, 0));
	show_ok("bad: grows, shared", mmap(NULL, PAGE, RW,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0));
	show_ok("bad: grows, a file", mmap(NULL, PAGE, RW,
	    MAP_PRIVATE | MAP_GROWSDOWN, fd, 0));
	close(fd);
}

/* FreeBSD's page_fault_signal. */
static void page_fault_signal(void)
{
	int fd = numbered_file(PAGE);
	char *p = room(2);

	look("signal: unmapped", p, 0);
	need(mmap(p, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0) == p);
	put("signal: read-only", p, 0, 1);
	p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
	need(p != MAP_FAILED);
	look("signal: beyond the object", p, PAGE);
	need(ftruncate(fd, 0) == 0);
	put("signal: beyond the object that was cut", p, 0, 1);
	close(fd);
}

static void populate(void)
{
	char *p = mmap(NULL, 4 * PAGE, RW, ANON | MAP_POPULATE, -1, 0);

	need(p != MAP_FAILED);
	say("populate: resident %d", count_resident(p, 4));
	p = mmap(NULL, 4 * PAGE, RW, ANON | MAP_POPULATE | MAP_NONBLOCK, -1, 0);
	need(p != MAP_FAILED);
	say("populate, nonblock: resident %d", count_resident(p, 4));
	p = mmap(NULL, 4 * PAGE, RW, ANON | MAP_LOCKED | MAP_NONBLOCK, -1, 0);
	need(p != MAP_FAILED);
	say("locked, nonblock: resident %d", count_resident(p, 4));
}

/* What grows downwards keeps off what lies below it. */
static void grows(void)
{
	char *p = room(1200), *top = p + 1196 * PAGE;

	need(mmap(top, 4 * PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0) ==
	    top);
	put("grows: first", top, 0, 1);
	put("grows: right below", top, -PAGE, 2);
	put("grows: far below", top, -300 * PAGE, 3);
	look("grows: between", top, -200 * PAGE);
	need(mmap(p, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p);
	put("grows: too near", p, 200 * PAGE, 4);
	put("grows: one page too near", p, 256 * PAGE, 4);
	put("grows: just not", p, 257 * PAGE, 4);
	need(mprotect(p, PAGE, PROT_NONE) == 0);
	put("grows: nearer to what nobody may touch", p, 100 * PAGE, 5);
	/* Its room is free for nothing but a fixed mapping. */
	say("grows: a hint below it is heeded: %d", mmap(p + 50 * PAGE, PAGE,
	    RW, ANON, -1, 0) == p + 50 * PAGE);
	say("grows: a fixed place is: %d", mmap(p + 50 * PAGE, PAGE, RW,
	    ANON | MAP_FIXED_NOREPLACE, -1, 0) == p + 50 * PAGE);
	put("grows: not into that", p, 60 * PAGE, 6);
	show("grows: cut", munmap(top - 100 * PAGE, 50 * PAGE));
	put("grows: its upper part grows again", top, -60 * PAGE, 7);
	look("grows: zeros", top, -55 * PAGE);
}

int main(void)
{
	catch_faults();
	err();
	prot();
	reprotect_race();
	truncate_();
	va0();
	hint();
	sizes();
	bad_arguments();
	page_fault_signal();
	populate();
	grows();
	return 0;
}
