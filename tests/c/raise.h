/*
 * Children that end by signals, for t_fork, t_vfork and t_clone: the program
 * that includes this says by spawn() how they come to be.
 */
#ifndef RAISE_H
#define RAISE_H

#include "show.h"

/* Makes a child that calls body(arg) and exits with what it returns. */
static pid_t spawn(int depth, int (*body)(void *), void *arg);

static const struct {
	const char *name;
	int signal;
} raised[] = {
	{ "trap", SIGTRAP }, { "segv", SIGSEGV }, { "bus", SIGBUS },
	{ "ill", SIGILL }, { "fpe", SIGFPE }, { "abort", SIGABRT },
	{ "hangup", SIGHUP }, { "kill", SIGKILL },
};
#define RAISED ((int)(sizeof raised / sizeof raised[0]))

/*
 * Not raise(), which sends to the thread that the library believes to run: in
 * a child that has its parent's memory that is the parent.
 */
static void send_self(int signal)
{
	kill(getpid(), signal);
}

static int raise_it(void *signal)
{
	send_self(*(const int *)signal);
	return 7;
}

static char *volatile nowhere = (char *)8;

/* Faults of the processor, which become the same signals. */
static int crash(void *how)
{
	switch (*(const int *)how) {
	case SIGTRAP:
		__asm__ volatile("int3");
		break;
	case SIGSEGV:
		*nowhere = 1;
		break;
	case SIGBUS: {
		volatile char *map;
		int fd = (int)syscall(SYS_memfd_create, "empty", 0);

		map = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
		map[0] = 1;
		break;
	}
	case SIGILL:
		__asm__ volatile("ud2");
		break;
	case SIGFPE:
		__asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx"
		    ::: "eax", "ecx", "edx");
		break;
	}
	return 7;
}

static void raises(void)
{
	char line[64];

	for (int i = 0; i < RAISED; i++) {
		int signal = raised[i].signal;

		snprintf(line, sizeof line, "raise%d: %s", i + 1, raised[i].name);
		reap(line, spawn(0, raise_it, &signal));
	}
	for (int i = 0; i < 5; i++) {
		int signal = raised[i].signal;

		snprintf(line, sizeof line, "crash: %s", raised[i].name);
		reap(line, spawn(0, crash, &signal));
	}
	int go_on = SIGCONT;

	reap("continue", spawn(0, raise_it, &go_on));
}

/* A child of a child, and one of that; each tells how the next one ended. */
static int nest(void *arg)
{
	int *depth = arg, status, next = *depth - 1;
	pid_t pid;

	if (*depth == 0) {
		send_self(SIGTRAP);
		return 7;
	}
	pid = spawn(*depth, nest, &next);
	if (waitpid(pid, &status, 0) != pid)
		return 99;
	if (WIFSIGNALED(status))
		return 10 + WTERMSIG(status);
	return 20 + WEXITSTATUS(status);
}

static void nested(void)
{
	for (int depth = 1; depth <= 3; depth++) {
		char line[32];

		snprintf(line, sizeof line, "nested %d", depth);
		reap(line, spawn(0, nest, &depth));
	}
}

#endif
