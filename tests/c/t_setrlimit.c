/*
 * The limits of memory. The cases of NetBSD's t_setrlimit by their names,
 * those that are about memory or about all limits.
 */
#include "show.h"
#include <sys/resource.h>

#define CAP_IPC_LOCK 14
#define CAP_SYS_RESOURCE 24
#define MIB (1L << 20)

extern char **environ;

static void set_soft(int which, rlim_t soft)
{
	struct rlimit limit;

	need(getrlimit(which, &limit) == 0);
	limit.rlim_cur = soft;
	need(setrlimit(which, &limit) == 0);
}

static void basic(void)
{
	static const int which[] = { RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU,
	    RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_MEMLOCK, RLIMIT_NOFILE,
	    RLIMIT_NPROC, RLIMIT_RSS, RLIMIT_STACK };
	int failed = 0;

	for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
		struct rlimit limit, now;

		failed += getrlimit(which[i], &limit) != 0;
		failed += setrlimit(which[i], &limit) != 0;
		limit.rlim_cur = limit.rlim_max;
		failed += setrlimit(which[i], &limit) != 0;
		failed += getrlimit(which[i], &now) != 0;
		failed += now.rlim_cur != limit.rlim_cur;
	}
	say("basic: failed %d", failed);
	set_soft(RLIMIT_STACK, 8 * MIB);
}

static void err(void)
{
	struct rlimit limit;

	need(getrlimit(RLIMIT_AS, &limit) == 0);
	show("err: no such limit", getrlimit(99, &limit));
	show("err: set no such limit", setrlimit(99, &limit));
	show("err: bad address", syscall(SYS_getrlimit, RLIMIT_AS, -1L));
	show("err: set from a bad address", syscall(SYS_setrlimit, RLIMIT_AS,
	    -1L));
	show("err: neither", syscall(SYS_setrlimit, 99, -1L));
	limit.rlim_cur = 2, limit.rlim_max = 1;
	show("err: soft above hard", setrlimit(RLIMIT_AS, &limit));
	show("err: no such process", syscall(SYS_prlimit64, 0x3ffffff,
	    RLIMIT_AS, NULL, &limit));
}

static void perm(void)
{
	struct rlimit limit;
	pid_t pid = fork();

	need(pid >= 0);
	if (pid == 0) {
		give_up(CAP_SYS_RESOURCE);
		limit.rlim_cur = limit.rlim_max = 512 * MIB;
		show("perm: lower", setrlimit(RLIMIT_DATA, &limit));
		limit.rlim_max++;
		show("perm: raise again", setrlimit(RLIMIT_DATA, &limit));
		limit.rlim_max = limit.rlim_cur = MIB;
		show("perm: lower still", setrlimit(RLIMIT_DATA, &limit));
		_exit(0);
	}
	reap("perm", pid);
}

static void memlock(void)
{
	pid_t pid = fork();

	need(pid >= 0);
	if (pid == 0) {
		char *p = mmap(NULL, PAGE, RW, ANON, -1, 0);

		need(p != MAP_FAILED);
		set_soft(RLIMIT_MEMLOCK, 0);
		give_up(CAP_IPC_LOCK);
		show("memlock: 0", mlock(p, PAGE));
		set_soft(RLIMIT_MEMLOCK, PAGE);
		show("memlock: a page", mlock(p, PAGE));
		_exit(0);
	}
	reap("memlock", pid);
}

static void stack(void)
{
	struct rlimit limit;

	need(getrlimit(RLIMIT_STACK, &limit) == 0);
	limit.rlim_max = 16 * MIB, limit.rlim_cur = 17 * MIB;
	show("stack: soft above hard", setrlimit(RLIMIT_STACK, &limit));
}

/* Touches the stack so many bytes below its end, in a child. */
static void touch_stack(const char *what, long bytes)
{
	char *end = (char *)(((uintptr_t)environ[0] + PAGE) &
	    ~(uintptr_t)(PAGE - 1));
	pid_t pid = fork();

	need(pid >= 0);
	if (pid == 0) {
		if (sigsetjmp(touch_failed, 1) == 0) {
			*(volatile char *)(end - bytes) = 1;
			say("%s: %ld MiB down: touched", what, bytes / MIB);
		} else {
			say("%s: %ld MiB down: %s", what, bytes / MIB,
			    code_name(touch_signal, touch_code));
		}
		_exit(0);
	}
	need(waitpid(pid, NULL, 0) == pid);
}

static void stack_growshrink(void)
{
	set_soft(RLIMIT_STACK, 4 * MIB);
	touch_stack("limit 4 MiB", 3 * MIB);
	touch_stack("limit 4 MiB", 5 * MIB);
	set_soft(RLIMIT_STACK, 8 * MIB);
	touch_stack("limit 8 MiB", 5 * MIB);
	touch_stack("limit 8 MiB", 9 * MIB);
	set_soft(RLIMIT_STACK, 16 * MIB);
	touch_stack("limit 16 MiB", 9 * MIB);
	touch_stack("limit 16 MiB", 15 * MIB);
	touch_stack("limit 16 MiB", 17 * MIB);
	set_soft(RLIMIT_STACK, 2 * MIB);
	touch_stack("limit 2 MiB", 1 * MIB);
	touch_stack("limit 2 MiB", 3 * MIB);
	set_soft(RLIMIT_STACK, 8 * MIB);
}

static void as(void)
{
	pid_t pid = fork();

	need(pid >= 0);
	if (pid == 0) {
		char *p;

		set_soft(RLIMIT_AS, 256 * MIB);
		show_ok("as: above", mmap(NULL, 512 * MIB, PROT_NONE, ANON, -1,
		    0));
		p = mmap(NULL, 64 * MIB, RW, ANON, -1, 0);
		show_ok("as: below", p);
		show_ok("as: it grows", mremap(p, 64 * MIB, 400 * MIB,
		    MREMAP_MAYMOVE));
		show_ok("as: a little", mremap(p, 64 * MIB, 65 * MIB,
		    MREMAP_MAYMOVE));
		p = mmap(NULL, 120 * MIB, RW, ANON, -1, 0);
		show_ok("as: more", p);
		show_ok("as: too much", mmap(NULL, 120 * MIB, RW, ANON, -1, 0));
		show_ok("as: in its place", mmap(p, 120 * MIB, PROT_READ,
		    ANON | MAP_FIXED, -1, 0));
		show_ok("as: moved and kept", mremap(p, 120 * MIB, 120 * MIB,
		    MREMAP_MAYMOVE | 4, NULL));
		show("as: unmapped", munmap(p, 120 * MIB));
		show_ok("as: again", mmap(NULL, 120 * MIB, RW, ANON, -1, 0));
		_exit(0);
	}
	reap("as", pid);
}

static void data(void)
{
	pid_t pid = fork();

	need(pid >= 0);
	if (pid == 0) {
		long top = syscall(SYS_brk, 0L);
		char *p;

		set_soft(RLIMIT_DATA, 64 * MIB);
		show_ok("data: above", mmap(NULL, 128 * MIB, RW, ANON, -1, 0));
		p = mmap(NULL, 128 * MIB, PROT_READ, ANON, -1, 0);
		show_ok("data: read-only", p);
		show("data: writable", mprotect(p, 128 * MIB, RW));
		show("data: a part writable", mprotect(p, 4 * MIB, RW));
		show_ok("data: shared", mmap(NULL, 128 * MIB, RW,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0));
		show_ok("data: below", mmap(NULL, 48 * MIB, RW, ANON, -1, 0));
		say("data: the break: %d", syscall(SYS_brk, top + 64 * MIB) ==
		    top + 64 * MIB);
		say("data: the break, a little: %d",
		    syscall(SYS_brk, top + MIB) == top + MIB);
		_exit(0);
	}
	reap("data", pid);
}

int main(void)
{
	static char other_stack[65536];
	stack_t alternate = { .ss_sp = other_stack,
	    .ss_size = sizeof other_stack };
	struct sigaction action = { .sa_sigaction = on_touch,
	    .sa_flags = SA_SIGINFO | SA_ONSTACK };

	need(sigaltstack(&alternate, NULL) == 0);
	need(sigaction(SIGSEGV, &action, NULL) == 0);
	basic();
	err();
	perm();
	memlock();
	stack();
	stack_growshrink();
	as();
	data();
	return 0;
}
