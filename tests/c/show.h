/*
 * What the test programs have in common: lines that do not depend on where
 * the kernel puts things, and a way to touch memory that may not be touched.
 *
 * Each program prints the same on Linux and on the kernel under test.
 */
#ifndef SHOW_H
#define SHOW_H

#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* Prints a line at once, so that processes do not print each other's. */
__attribute__((format(printf, 1, 2), unused))
static void say(const char *format, ...)
{
	char line[512];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof line - 1, format, args);
	va_end(args);
	line[len++] = '\n';
	if (write(1, line, (size_t)len) != len)
		_exit(99);
}

/* Ends the program when what the test needs is not there. */
#define need(condition) do { \
	if (!(condition)) { \
		say("%s:%d: %s: %s", __FILE_NAME__, __LINE__, #condition, \
		    strerror(errno)); \
		_exit(98); \
	} \
} while (0)

__attribute__((unused))
static const char *error_name(int error)
{
	switch (error) {
#define NAME(e) case e: return #e;
	NAME(EPERM) NAME(ENOENT) NAME(ESRCH) NAME(EINTR) NAME(EIO)
	NAME(EBADF) NAME(ECHILD) NAME(EAGAIN) NAME(ENOMEM) NAME(EACCES)
	NAME(EFAULT) NAME(EBUSY) NAME(EEXIST) NAME(ENODEV) NAME(ENOTDIR)
	NAME(EISDIR) NAME(EINVAL) NAME(ENFILE) NAME(EMFILE) NAME(ENOTTY)
	NAME(EFBIG) NAME(ENOSPC) NAME(ESPIPE) NAME(EROFS) NAME(EPIPE)
	NAME(ERANGE) NAME(EDEADLK) NAME(ENOSYS) NAME(ENOTEMPTY)
	NAME(ENAMETOOLONG) NAME(ELOOP) NAME(EOPNOTSUPP) NAME(ETIMEDOUT)
	NAME(EOVERFLOW) NAME(ENOEXEC) NAME(E2BIG) NAME(ETXTBSY)
#undef NAME
	default: return strerror(error);
	}
}

/* Shows what a call returned: a number, or why it failed. */
__attribute__((unused))
static void show(const char *what, long result)
{
	if (result == -1)
		say("%s: %s", what, error_name(errno));
	else
		say("%s: %ld", what, result);
}

/* Shows a call's success without the number, for those that return addresses. */
__attribute__((unused))
static void show_ok(const char *what, const void *result)
{
	if (result == MAP_FAILED)
		say("%s: %s", what, error_name(errno));
	else
		say("%s: ok", what);
}

__attribute__((unused))
static const char *code_name(int sig, int code)
{
	if (sig == SIGSEGV && code == SEGV_MAPERR)
		return "SIGSEGV SEGV_MAPERR";
	if (sig == SIGSEGV && code == SEGV_ACCERR)
		return "SIGSEGV SEGV_ACCERR";
	if (sig == SIGBUS && code == BUS_ADRERR)
		return "SIGBUS BUS_ADRERR";
	return sig == SIGSEGV ? "SIGSEGV other" : "SIGBUS other";
}

static sigjmp_buf touch_failed;
static volatile sig_atomic_t touch_signal, touch_code;
static void *volatile touch_address;

static void on_touch(int sig, siginfo_t *info, void *context)
{
	(void)context;
	touch_signal = sig;
	touch_code = info->si_code;
	touch_address = info->si_addr;
	siglongjmp(touch_failed, 1);
}

/* From now on, the functions below survive what they touch. */
__attribute__((unused))
static void catch_faults(void)
{
	struct sigaction action = { .sa_sigaction = on_touch,
	    .sa_flags = SA_SIGINFO };

	need(sigaction(SIGSEGV, &action, NULL) == 0);
	need(sigaction(SIGBUS, &action, NULL) == 0);
}

/*
 * Reads a byte, and says what it was or which signal came, and its address
 * relative to base.
 */
__attribute__((unused))
static void look(const char *what, const volatile char *base, long offset)
{
	if (sigsetjmp(touch_failed, 1) == 0) {
		char value = base[offset];

		say("%s: read %d", what, value);
	} else {
		say("%s: read: %s at %+ld", what,
		    code_name(touch_signal, touch_code),
		    (long)((char *)touch_address - (const char *)base));
	}
}

/* Writes a byte, and says so, or which signal came. */
__attribute__((unused))
static void put(const char *what, volatile char *base, long offset, char value)
{
	if (sigsetjmp(touch_failed, 1) == 0) {
		base[offset] = value;
		say("%s: wrote %d", what, value);
	} else {
		say("%s: write: %s at %+ld", what,
		    code_name(touch_signal, touch_code),
		    (long)((char *)touch_address - (const char *)base));
	}
}

/* Waits for a child and says how it ended. */
__attribute__((unused))
static void reap(const char *what, pid_t pid)
{
	int status;

	need(waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status))
		say("%s: signal %d", what, WTERMSIG(status));
	else
		say("%s: status %d", what, WEXITSTATUS(status));
}

/* A file without a name, of so many bytes, each page filled with its number. */
__attribute__((unused))
static int numbered_file(long len)
{
	static char page[PAGE];
	int fd = (int)syscall(SYS_memfd_create, "test", 0);

	need(fd >= 0);
	for (long at = 0; at < len; at += PAGE) {
		long part = len - at < PAGE ? len - at : PAGE;

		memset(page, (int)(at / PAGE + 1), PAGE);
		need(write(fd, page, (size_t)part) == part);
	}
	return fd;
}

/* Gives a capability up, by its number. */
__attribute__((unused))
static void give_up(int capability)
{
	struct { uint32_t version; int pid; } header = { 0x20080522, 0 };
	struct { uint32_t effective, permitted, inheritable; } sets[2];

	need(syscall(SYS_capget, &header, sets) == 0);
	sets[capability / 32].effective &= ~(1U << capability % 32);
	sets[capability / 32].permitted &= ~(1U << capability % 32);
	need(syscall(SYS_capset, &header, sets) == 0);
}

/* How many of some pages are in memory. */
__attribute__((unused))
static int count_resident(const void *p, int count)
{
	unsigned char there[512];
	int sum = 0;

	need(mincore((void *)(uintptr_t)p, (size_t)(count * PAGE), there) == 0);
	for (int i = 0; i < count; i++)
		sum += there[i] & 1;
	return sum;
}

#endif
