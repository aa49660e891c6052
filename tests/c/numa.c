/* Policies for nodes of memory, on a machine with one node: what is taken, kept and told. */
#include "show.h"

#define DEFAULT 0
#define PREFERRED 1
#define BIND 2
#define INTERLEAVE 3
#define LOCAL 4
#define WEIGHTED 6

static const unsigned long one = 1, two = 2, none;

static long set(int mode, unsigned long nodes, unsigned long bits)
{
	return syscall(SYS_set_mempolicy, mode, &nodes, bits);
}

static void tell(const char *what, const void *at, unsigned long flags)
{
	int mode = -7;
	unsigned long nodes = ~0UL;

	if (syscall(SYS_get_mempolicy, &mode, &nodes, 64UL, at, flags) != 0)
		say("%s: %s", what, error_name(errno));
	else
		say("%s: mode %d, nodes %lx", what, mode, nodes);
}

/* Each mode with each flag and some nodes: what comes of it, and what is told then. */
static void modes(void)
{
	static const int flags[] = { 0, 1 << 13, 1 << 14, 1 << 15, 3 << 14 };

	for (int mode = -1; mode < 9; mode++)
		for (int f = 0; f < 5; f++) {
			char line[256] = "", what[32];

			for (unsigned long nodes = 0; nodes < 4; nodes++) {
				int told = -7;
				unsigned long told_nodes = ~0UL;
				long result = set(mode | flags[f], nodes, 8);

				need(syscall(SYS_get_mempolicy, &told, &told_nodes, 64UL, 0, 0) == 0);
				sprintf(line + strlen(line), " %s %x/%lx",
				    result == 0 ? "ok" : error_name(errno), told, told_nodes);
			}
			need(set(DEFAULT, 0, 8) == 0);
			sprintf(what, "mode %d, flags %x", mode, flags[f]);
			say("%s:%s", what, line);
		}
}

/* How nodes are named. */
static void names(void)
{
	static unsigned long wide[64] = { 1 };
	unsigned long told[4] = { 9, 9, 9, 9 };
	int mode;

	show("nowhere", syscall(SYS_set_mempolicy, BIND, NULL, 8));
	show("no bits", set(BIND, 1, 0));
	show("one bit", set(BIND, 1, 1));
	show("two bits", set(BIND, 1, 2));
	show("three bits", set(BIND, 5, 3));
	show("too many bits", syscall(SYS_set_mempolicy, BIND, &one, 32770L));
	show("bad place", syscall(SYS_set_mempolicy, BIND, 1L, 64L));
	show("wide", syscall(SYS_set_mempolicy, BIND, wide, 2000L));
	wide[30] = 4;
	show("wide, a high one", syscall(SYS_set_mempolicy, BIND, wide, 2000L));
	wide[30] = 0;
	show("told narrowly", syscall(SYS_get_mempolicy, &mode, told, 0L, 0, 0));
	show("told by one bit", syscall(SYS_get_mempolicy, &mode, told, 1L, 0, 0));
	say("%lx", told[0]);
	show("told widely", syscall(SYS_get_mempolicy, &mode, told, 200L, 0, 0));
	say("%lx %lx %lx %lx", told[0], told[1], told[2], told[3]);
	show("told too widely", syscall(SYS_get_mempolicy, &mode, wide, 40000L, 0, 0));
	show("told nowhere", syscall(SYS_get_mempolicy, NULL, NULL, 0L, 0, 0));
	show("told to a bad place", syscall(SYS_get_mempolicy, 1L, NULL, 0L, 0, 0));
	show("told to another", syscall(SYS_get_mempolicy, &mode, 1L, 64L, 0, 0));
	need(set(DEFAULT, 0, 8) == 0);
}

static void told(char *p)
{
	tell("usual", NULL, 0);
	tell("allowed", NULL, 4);
	tell("allowed, with more", NULL, 5);
	tell("flags", NULL, 8);
	tell("of a mapping", p, 2);
	tell("of no mapping", (void *)0x1000, 2);
	tell("address without flag", p, 0);
	tell("next node", NULL, 1);
	tell("node of a page", p, 3);
	tell("node of no page", (void *)0x1000, 3);
	for (int mode = BIND; mode <= WEIGHTED; mode++) {
		set(mode, 1, 8);
		tell("next node", NULL, 1);
	}
	need(set(BIND, 1, 8) == 0);
	tell("of a mapping, with one's own", p, 2);
	pid_t pid = fork();
	if (pid == 0) {
		tell("child", NULL, 0);
		_exit(0);
	}
	reap("child", pid);
	need(set(DEFAULT, 0, 8) == 0);
}

static void move(const char *what, char *p, const int *nodes, unsigned long flags)
{
	void *pages[4] = { p, p + PAGE, p + 40 * PAGE, (void *)0x1000 };
	int status[4] = { -99, -99, -99, -99 };

	show(what, syscall(SYS_move_pages, 0, 4L, pages, nodes, status, flags));
	say("%d %d %d %d", status[0], status[1], status[2], status[3]);
}

static void moved(char *p)
{
	int nodes[4] = { 0 }, status;
	void *page = p;

	move("where", p, NULL, 0);
	move("to node 0", p, nodes, 2);
	move("to node 0, all", p, nodes, 4);
	nodes[1] = 1;
	move("to node 1", p, nodes, 2);
	nodes[1] = -1;
	move("to node -1", p, nodes, 2);
	move("flag 1", p, NULL, 1);
	move("flag 8", p, NULL, 8);
	show("of nobody", syscall(SYS_move_pages, 0x3fffffff, 1L, &page, NULL, &status, 0));
	show("bad pages", syscall(SYS_move_pages, 0, 1L, 1L, NULL, &status, 0));
	show("bad nodes", syscall(SYS_move_pages, 0, 1L, &page, 1L, &status, 0));
	show("bad status", syscall(SYS_move_pages, 0, 1L, &page, NULL, 1L, 0));
	show("none", syscall(SYS_move_pages, 0, 0L, NULL, NULL, NULL, 0));
	show("migrate", syscall(SYS_migrate_pages, 0, 8L, &one, &one));
	show("migrate to none", syscall(SYS_migrate_pages, 0, 8L, &one, &none));
	show("migrate to node 1", syscall(SYS_migrate_pages, 0, 8L, &one, &two));
	show("migrate from none", syscall(SYS_migrate_pages, 0, 8L, &none, &one));
	show("migrate, no bits", syscall(SYS_migrate_pages, 0, 0L, &one, &one));
	show("migrate, nowhere", syscall(SYS_migrate_pages, 0, 8L, NULL, NULL));
	show("migrate, bad place", syscall(SYS_migrate_pages, 0, 8L, 1L, &one));
	show("migrate nobody", syscall(SYS_migrate_pages, 0x3fffffff, 8L, &one, &one));
}

static long bind_to(const void *p, unsigned long len, int mode, unsigned long nodes, unsigned flags)
{
	return syscall(SYS_mbind, p, len, mode, &nodes, 8L, flags);
}

/* Policies of parts of the address space. */
static void bound(void)
{
	char *p = mmap(NULL, 10 * PAGE, PROT_NONE, ANON, -1, 0) + PAGE;
	pid_t pid;

	need(mprotect(p, 8 * PAGE, RW) == 0);
	show("bind", bind_to(p + PAGE, 2 * PAGE, BIND, 1, 0));
	tell("before", p, 2);
	tell("bound", p + PAGE, 2);
	tell("bound", p + 3 * PAGE - 1, 2);
	tell("behind", p + 3 * PAGE, 2);
	show("another", bind_to(p + 2 * PAGE, 2 * PAGE, INTERLEAVE, 1, 2));
	tell("bound", p + PAGE, 2);
	tell("another", p + 2 * PAGE, 2);
	tell("another", p + 3 * PAGE, 2);
	show("node 1", bind_to(p, PAGE, BIND, 2, 0));
	show("local", bind_to(p, PAGE, LOCAL, 0, 0));
	tell("local", p, 2);
	show("balanced", bind_to(p, PAGE, BIND | 1 << 13, 1, 0));
	tell("balanced", p, 2);
	show("no mode", bind_to(p, PAGE, 99, 1, 0));
	show("no mode, no bytes", bind_to(p, 0, 99, 1, 0));
	show("no nodes", bind_to(p, PAGE, BIND, 0, 0));
	show("no nodes, no bytes", bind_to(p, 0, BIND, 0, 0));
	show("flags", bind_to(p, PAGE, BIND, 1, 8));
	show("strict", bind_to(p, PAGE, BIND, 1, 1));
	show("all", bind_to(p, PAGE, BIND, 1, 4));
	show("odd", bind_to(p + 1, PAGE, BIND, 1, 0));
	show("wraps", bind_to(p, (unsigned long)-PAGE, BIND, 1, 0));
	show("a part of a page", bind_to(p + 4 * PAGE, 1, BIND, 1, 0));
	tell("a part of a page", p + 4 * PAGE, 2);
	pid = fork();
	if (pid == 0) {
		tell("child", p + 2 * PAGE, 2);
		_exit(0);
	}
	reap("child", pid);
	need(munmap(p + 6 * PAGE, PAGE) == 0);
	show("with a hole", bind_to(p + 5 * PAGE, 3 * PAGE, BIND, 1, 0));
	tell("with a hole", p + 5 * PAGE, 2);
	show("a hole", bind_to(p + 6 * PAGE, PAGE, BIND, 1, 0));
	show("usual", bind_to(p, 6 * PAGE, DEFAULT, 0, 0));
	tell("usual", p + 2 * PAGE, 2);
	show("usual, with nodes", bind_to(p, PAGE, DEFAULT, 1, 0));
	show("nodes at a bad place", syscall(SYS_mbind, p, PAGE, BIND, 1L, 64L, 0));
}

int main(void)
{
	char *p = mmap(NULL, 64 * PAGE, RW, ANON, -1, 0);
	void *page = p;
	int status;

	need(p != MAP_FAILED);
	p[0] = 1;
	need(p[PAGE] == 0);
	modes();
	names();
	moved(p);
	told(p);
	bound();
	give_up(23);
	show("bind all, without the right", bind_to(p, PAGE, BIND, 1, 4));
	show("all, without the right", syscall(SYS_move_pages, 0, 1L, &page, NULL, &status, 4));
	show("migrate, without", syscall(SYS_migrate_pages, 0, 8L, &one, &two));
	show("migrate, without", syscall(SYS_migrate_pages, 0, 8L, &one, &one));
	return 0;
}
