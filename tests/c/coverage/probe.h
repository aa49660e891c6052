/*
 * Probes: each tries one call with one flag in a process of its own, looks at
 * what came of it, and says "works" or how it was refused.
 */
#ifndef PROBE_H
#define PROBE_H

#include "../show.h"
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

struct probe {
	const char *name;
	const char *(*run)(void);
};

#define MAX_PROBES 400
static struct probe probes[MAX_PROBES];
static int probe_count;

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

/* A probe by this name; its body returns what it found. */
#define PROBE_(text, number) \
	static const char *JOIN(run_, number)(void); \
	__attribute__((constructor)) static void JOIN(add_, number)(void) \
	{ \
		probes[probe_count].name = text; \
		probes[probe_count++].run = JOIN(run_, number); \
	} \
	static const char *JOIN(run_, number)(void)
#define PROBE(text) PROBE_(text, __COUNTER__)

#define WORKS "works"

/* The result of a call; the probe ends with the error's name if it failed. */
#define CALL(call) ({ \
	long result_ = (long)(call); \
	if (result_ == -1) \
		return error_name(errno); \
	result_; \
})

/* The same for a call that gives an address. */
#define MAPPED(call) ({ \
	char *place_ = (char *)CALL(call); \
	place_; \
})

/* The probe ends, and says what is not so, unless this holds. */
#define HOLDS(condition) do { \
	if (!(condition)) \
		return "wrong: " #condition; \
} while (0)

/* A byte of memory that may be touched only by a child; 256 and the signal if one came. */
__attribute__((unused))
static int byte_or_signal(const volatile char *at, int write)
{
	if (sigsetjmp(touch_failed, 1) != 0)
		return 256 + (int)touch_signal;
	if (write)
		*(volatile char *)(uintptr_t)at = 77;
	return (unsigned char)*at;
}

/* Memory that is joined with no other: what lies beside it may not be touched. */
__attribute__((unused))
static char *anonymous(long pages)
{
	char *p = mmap(NULL, (size_t)((pages + 2) * PAGE), PROT_NONE, ANON, -1,
	    0);

	need(p != MAP_FAILED);
	p += PAGE;
	need(mprotect(p, (size_t)(pages * PAGE), RW) == 0);
	return p;
}

__attribute__((unused))
static char *shared(long pages)
{
	char *p = mmap(NULL, (size_t)(pages * PAGE), RW,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	need(p != MAP_FAILED);
	return p;
}

/* How many of these pages are in memory. */
__attribute__((unused))
static int resident(char *p, long pages)
{
	unsigned char vec[64];
	int count = 0;

	need(pages <= 64 && mincore(p, (size_t)(pages * PAGE), vec) == 0);
	for (long i = 0; i < pages; i++)
		count += vec[i] & 1;
	return count;
}

/* A line of /proc/self/smaps for the mapping that begins here, in KiB. */
__attribute__((unused))
static long smaps(const char *p, const char *field)
{
	char line[512], start[32];
	int within = 0;
	long value = -1;
	FILE *file = fopen("/proc/self/smaps", "r");

	need(file);
	snprintf(start, sizeof start, "%lx-", (long)(uintptr_t)p);
	while (fgets(line, sizeof line, file)) {
		if (strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
			within = strncmp(line, start, strlen(start)) == 0;
		else if (within && strncmp(line, field, strlen(field)) == 0)
			value = atol(line + strlen(field) + 1);
	}
	fclose(file);
	return value;
}

/* What a child finds: its exit status, or 256 and the signal that ended it. */
__attribute__((unused))
static int in_child(int (*act)(void *), void *with)
{
	int status;
	pid_t pid = fork();

	need(pid >= 0);
	if (pid == 0)
		_exit(act(with));
	need(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? 256 + WTERMSIG(status) :
	    WEXITSTATUS(status);
}

__attribute__((unused))
static int child_reads(void *at)
{
	signal(SIGSEGV, SIG_DFL);
	return *(volatile unsigned char *)at;
}

__attribute__((unused))
static int child_writes(void *at)
{
	signal(SIGSEGV, SIG_DFL);
	return *(volatile unsigned char *)at = 55;
}

/* Memory that is joined with no other, of which one large page could map all. */
__attribute__((unused))
static char *large_row(void)
{
	const long size = 2L << 20;
	char *p = mmap(NULL, (size_t)(3 * size), PROT_NONE, ANON, -1, 0);

	need(p != MAP_FAILED);
	p = (char *)(((uintptr_t)p + 2 * (uintptr_t)size - 1) & -(uintptr_t)size);
	need(mprotect(p, (size_t)size, RW) == 0);
	return p;
}

/* KiB of it that large pages map. */
__attribute__((unused))
static long large_kib(const char *p)
{
	return smaps(p, "AnonHugePages");
}

#endif
