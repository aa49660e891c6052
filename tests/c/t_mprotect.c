/*
 * mprotect(2). The cases of NetBSD's t_mprotect by their names; pax is, on
 * Linux, PR_SET_MDWE.
 */
#include "show.h"
#include <fcntl.h>
#include <sys/prctl.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#define RX (PROT_READ | PROT_EXEC)

static char *page(int prot)
{
	char *p = mmap(NULL, PAGE, prot, ANON, -1, 0);

	need(p != MAP_FAILED);
	return p;
}

static void access_(void)
{
	char name[64];
	int mem = numbered_file(PAGE), fd;
	char *p;

	snprintf(name, sizeof name, "/proc/self/fd/%d", mem);
	fd = open(name, O_RDONLY);
	need(fd >= 0);
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	need(p != MAP_FAILED);
	show("access: write", mprotect(p, PAGE, RW));
	show("access: none", mprotect(p, PAGE, PROT_NONE));
	show("access: read", mprotect(p, PAGE, PROT_READ));
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	need(p != MAP_FAILED);
	show("access: write, private", mprotect(p, PAGE, RW));
	close(fd), close(mem);
}

static void err(void)
{
	char *p = page(RW);

	show("err: bad rights", mprotect(p, PAGE, 0x100));
	show("err: unaligned", mprotect(p + 1, PAGE, RW));
	show("err: both ways", mprotect(p, PAGE, RW | PROT_GROWSDOWN |
	    PROT_GROWSUP));
	show("err: does not grow down", mprotect(p, PAGE, RW | PROT_GROWSDOWN));
	show("err: does not grow up", mprotect(p, PAGE, RW | PROT_GROWSUP));
	show("err: nothing", mprotect(p, 0, RW));
	show("err: wraps", mprotect(p, (size_t)-PAGE, RW));
	need(munmap(p, PAGE) == 0);
	show("err: unmapped", mprotect(p, PAGE, RW));
}

/* Calls what is at an address, and says whether it came back. */
static void call(const char *what, char *p)
{
	if (sigsetjmp(touch_failed, 1) == 0) {
		((void (*)(void))(uintptr_t)p)();
		say("%s: returned", what);
	} else {
		say("%s: %s", what, code_name(touch_signal, touch_code));
	}
}

static void exec(void)
{
	char *p = page(RW);

	*p = (char)0xc3;
	call("exec: not allowed", p);
	need(mprotect(p, PAGE, RX) == 0);
	call("exec: allowed", p);
	need(mprotect(p, PAGE, PROT_READ) == 0);
	call("exec: no more", p);
	need(mprotect(p, PAGE, PROT_EXEC) == 0);
	call("exec: again", p);
	put("exec: write", p, 0, 1);
}

static void refused(const char *what)
{
	char *code, *p = page(RW);

	say("%s: is set: %d", what, prctl(PR_GET_MDWE, 0L, 0L, 0L, 0L));
	show_ok("write and execute", mmap(NULL, PAGE, RW | PROT_EXEC, ANON, -1,
	    0));
	code = mmap(NULL, PAGE, RX, ANON, -1, 0);
	show_ok("execute", code);
	show("becomes executable", mprotect(p, PAGE, RX));
	show("both", mprotect(p, PAGE, RW | PROT_EXEC));
	show("becomes read-only", mprotect(p, PAGE, PROT_READ));
	show("writable again", mprotect(p, PAGE, RW));
	if (code == MAP_FAILED)
		return;
	show("executable, the same", mprotect(code, PAGE, RX));
	show("executable, and writable", mprotect(code, PAGE, RW | PROT_EXEC));
	show("executable no more", mprotect(code, PAGE, PROT_READ));
	show("executable again", mprotect(code, PAGE, RX));
}

static void pax(void)
{
	pid_t pid = fork(), other;

	need(pid >= 0);
	if (pid == 0) {
		refused("before");
		show("pax: unknown bits", prctl(PR_SET_MDWE, 4L, 0L, 0L, 0L));
		show("pax: no-inherit alone", prctl(PR_SET_MDWE, 2L, 0L, 0L,
		    0L));
		show("pax: more arguments", prctl(PR_SET_MDWE, 1L, 1L, 0L, 0L));
		show("pax: get, more arguments", prctl(PR_GET_MDWE, 1L, 0L, 0L,
		    0L));
		show("pax: nothing", prctl(PR_SET_MDWE, 0L, 0L, 0L, 0L));
		show("pax: set", prctl(PR_SET_MDWE, 1L, 0L, 0L, 0L));
		show("pax: set again", prctl(PR_SET_MDWE, 1L, 0L, 0L, 0L));
		show("pax: take back", prctl(PR_SET_MDWE, 0L, 0L, 0L, 0L));
		refused("pax");
		other = fork();
		need(other >= 0);
		if (other == 0) {
			refused("pax, child");
			_exit(0);
		}
		reap("pax, child", other);
		_exit(0);
	}
	reap("pax", pid);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		show("pax: set, not for children", prctl(PR_SET_MDWE, 3L, 0L,
		    0L, 0L));
		say("pax: is set: %d", prctl(PR_GET_MDWE, 0L, 0L, 0L, 0L));
		other = fork();
		need(other >= 0);
		if (other == 0) {
			refused("pax, child that has it not");
			_exit(0);
		}
		reap("pax, child", other);
		_exit(0);
	}
	reap("pax", pid);
}

static void write_(void)
{
	char *p = page(RW);

	put("write: allowed", p, 0, 1);
	need(mprotect(p, PAGE, PROT_READ) == 0);
	put("write: not allowed", p, 0, 2);
	look("write: it is as it was", p, 0);
	need(mprotect(p, PAGE, RW) == 0);
	put("write: allowed again", p, 0, 3);
	need(mprotect(p, PAGE, PROT_NONE) == 0);
	look("write: nothing allowed", p, 0);
	need(mprotect(p, PAGE, PROT_WRITE) == 0);
	look("write: all allowed", p, 0);
}

/* What grows is changed from wherever it begins. */
static void grows(void)
{
	char *room = mmap(NULL, 400 * PAGE, PROT_NONE, ANON, -1, 0), *p;

	need(room != MAP_FAILED && munmap(room, 400 * PAGE) == 0);
	p = mmap(room + 390 * PAGE, 4 * PAGE, RW, ANON | MAP_FIXED |
	    MAP_GROWSDOWN, -1, 0);
	need(p != MAP_FAILED);
	put("grows: below", p, -3 * PAGE, 1);
	show("grows: protect from its third page", mprotect(p + 2 * PAGE, PAGE,
	    PROT_READ | PROT_GROWSDOWN));
	put("grows: its first page by now", p, -3 * PAGE, 2);
	put("grows: its last page", p, 3 * PAGE, 2);
	show("grows: beyond its end", mprotect(p + 5 * PAGE, PAGE,
	    PROT_READ | PROT_GROWSDOWN));
}

int main(void)
{
	catch_faults();
	access_();
	err();
	exec();
	pax();
	write_();
	grows();
	return 0;
}
