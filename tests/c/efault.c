/*
 * System calls that are given bad addresses fail with EFAULT, or do as much
 * as they can, and nothing worse.
 */
#include "show.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>

static char *guard;		/* a page, then one that may not be touched */
static char *read_only;

/* The bare system call: the C library may look at the memory itself. */
#define CALL(what, ...) show(what, syscall(__VA_ARGS__))

static void everywhere(const char *kind, void *bad)
{
	int pipes[2], mem = numbered_file(PAGE), null;
	char name[64];

	null = open("/dev/null", O_RDWR);
	need(pipe(pipes) == 0 && null >= 0);
	need(write(pipes[1], "hello", 5) == 5);
	say("-- %s", kind);
	CALL("read pipe", SYS_read, pipes[0], bad, 5);
	CALL("write pipe", SYS_write, pipes[1], bad, 5);
	CALL("pread", SYS_pread64, mem, bad, 5, 0);
	CALL("pwrite", SYS_pwrite64, mem, bad, 5, 0);
	CALL("open", SYS_open, bad, O_RDONLY);
	CALL("openat", SYS_openat, AT_FDCWD, bad, O_RDONLY);
	CALL("stat", SYS_stat, bad, name);
	CALL("stat to it", SYS_stat, "/", bad);
	CALL("fstat", SYS_fstat, mem, bad);
	CALL("access", SYS_access, bad, R_OK);
	CALL("chdir", SYS_chdir, bad);
	CALL("mkdir", SYS_mkdir, bad, 0700);
	CALL("unlink", SYS_unlink, bad);
	CALL("rename", SYS_rename, "/nowhere", bad);
	CALL("symlink", SYS_symlink, bad, "/nowhere/x");
	CALL("readlink", SYS_readlink, "/proc/self/exe", bad, 64);
	CALL("getcwd", SYS_getcwd, bad, 64);
	CALL("pipe", SYS_pipe, bad);
	CALL("readv", SYS_readv, mem, bad, 1);
	CALL("writev", SYS_writev, mem, bad, 1);
	CALL("poll", SYS_poll, bad, 1, 0);
	CALL("uname", SYS_uname, bad);
	CALL("sysinfo", SYS_sysinfo, bad);
	CALL("gettimeofday", SYS_gettimeofday, bad, NULL);
	CALL("clock_gettime", SYS_clock_gettime, CLOCK_MONOTONIC, bad);
	CALL("nanosleep", SYS_nanosleep, bad, NULL);
	CALL("getrlimit", SYS_getrlimit, RLIMIT_NOFILE, bad);
	CALL("getrusage", SYS_getrusage, RUSAGE_SELF, bad);
	CALL("sigaction from it", SYS_rt_sigaction, SIGUSR1, bad, NULL, 8);
	CALL("sigaction to it", SYS_rt_sigaction, SIGUSR1, NULL, bad, 8);
	CALL("sigprocmask", SYS_rt_sigprocmask, SIG_BLOCK, bad, NULL, 8);
	CALL("sigaltstack", SYS_sigaltstack, bad, NULL);
	CALL("futex", SYS_futex, (uintptr_t)bad & ~3ul, 0, 0, NULL);
	CALL("execve path", SYS_execve, bad, NULL, NULL);
	CALL("execve arguments", SYS_execve, "/proc/self/exe", bad, NULL);
	CALL("getdents", SYS_getdents64, open("/", O_RDONLY | O_DIRECTORY),
	    bad, 4096);
	CALL("getrandom", SYS_getrandom, bad, 16, 0);
	CALL("memfd_create", SYS_memfd_create, bad, 0);
	/* What was not taken out of the pipe is still there. */
	CALL("read pipe", SYS_read, pipes[0], name, 64);
	if (fork() == 0)
		_exit(4);
	CALL("wait4", SYS_wait4, -1, bad, 0, NULL);
	while (wait(NULL) > 0)
		;
	close(pipes[0]), close(pipes[1]), close(mem), close(null);
}

/* A buffer that begins well and ends in what may not be touched. */
static void half(void)
{
	int pipes[2], mem = numbered_file(2 * PAGE);
	char *edge = guard + PAGE - 10, back[64];
	struct iovec parts[2] = { { back, 20 }, { guard + PAGE, 20 } };

	need(pipe(pipes) == 0);
	memset(edge, 'e', 10);
	say("-- half");
	CALL("write file", SYS_pwrite64, mem, edge, 40, 0);
	need(pread(mem, back, 12, 0) == 12);
	say("written: %c %d", back[9], back[10]);
	CALL("read file", SYS_pread64, mem, edge, 40, PAGE);
	say("read: %d", edge[9]);
	memset(edge, 'e', 10);
	CALL("write file of half a string", SYS_write, mem, edge, 10);
	CALL("writev, second part bad", SYS_writev, mem, parts, 2);
	CALL("readv, second part bad", SYS_preadv, mem, parts, 2, 0, 0);
	CALL("path without end", SYS_open, edge, O_RDONLY);
	memcpy(guard + PAGE - 5, "/dev", 5);
	CALL("path up to the edge", SYS_access, guard + PAGE - 5, F_OK);
	show("too long a path", access(memset(guard, 'x', PAGE), F_OK));
	CALL("stat over the edge", SYS_stat, "/", guard + PAGE - 20);
	CALL("pipe over the edge", SYS_pipe, guard + PAGE - 4);
	close(mem), close(pipes[0]), close(pipes[1]);
}

/* Signal delivery and system calls bring pages in as any access does. */
static void fresh(void)
{
	char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
	int mem = numbered_file(4 * PAGE);
	char *file = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, mem, 0);
	pid_t pid;

	need(p != MAP_FAILED && file != MAP_FAILED);
	say("-- fresh");
	CALL("read into untouched", SYS_pread64, mem, p + 100, 3 * PAGE, 0);
	look("first", p, 100);
	look("last", p, 3 * PAGE + 99);
	CALL("write from untouched", SYS_pwrite64, mem, p + 3 * PAGE + 200,
	    100, 0);
	CALL("read into a private file", SYS_pread64, mem, file, PAGE,
	    2 * PAGE);
	look("changed", file, 5);
	look("not changed", file, PAGE + 5);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		CALL("child reads into it", SYS_pread64, mem, p, PAGE, 3 * PAGE);
		look("child", p, 200);
		_exit(0);
	}
	reap("child", pid);
	look("parent", p, 200);
	close(mem);
}

int main(void)
{
	catch_faults();
	guard = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);
	read_only = mmap(NULL, PAGE, PROT_READ, ANON, -1, 0);
	need(guard != MAP_FAILED && read_only != MAP_FAILED);
	need(mprotect(guard + PAGE, PAGE, PROT_NONE) == 0);
	everywhere("null", (void *)8);
	everywhere("protected", guard + PAGE);
	everywhere("unmapped", (void *)0x500000000000);
	everywhere("kernel", (void *)0xffff800000001000);
	everywhere("kernel image", (void *)0xffffffff80000000);
	everywhere("not canonical", (void *)0x8000000000000000);
	everywhere("the last", (void *)-16);
	half();
	say("-- read-only");
	CALL("pipe", SYS_pipe, read_only);
	CALL("stat", SYS_stat, "/", read_only);
	CALL("clock_gettime", SYS_clock_gettime, CLOCK_MONOTONIC, read_only);
	CALL("getrandom", SYS_getrandom, read_only, 8, 0);
	CALL("write from it", SYS_write, open("/dev/null", O_WRONLY),
	    read_only, 8);
	fresh();
	return 0;
}
