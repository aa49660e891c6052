/* Advice, and what is in memory. */
#include "probe.h"

/* Advice that only hints: the contents stay. */
static const char *hint(int advice)
{
	char *p = anonymous(2);
	p[0] = 5;
	CALL(madvise(p, 2 * PAGE, advice));
	HOLDS(p[0] == 5);
	return WORKS;
}

PROBE("madvise MADV_NORMAL") { return hint(MADV_NORMAL); }
PROBE("madvise MADV_RANDOM") { return hint(MADV_RANDOM); }
PROBE("madvise MADV_SEQUENTIAL") { return hint(MADV_SEQUENTIAL); }
PROBE("madvise MADV_WILLNEED") { return hint(MADV_WILLNEED); }
PROBE("madvise MADV_COLD") { return hint(20); }
PROBE("madvise MADV_PAGEOUT") { return hint(21); }
PROBE("madvise MADV_MERGEABLE") { return hint(MADV_MERGEABLE); }
PROBE("madvise MADV_UNMERGEABLE") { return hint(MADV_UNMERGEABLE); }
PROBE("madvise MADV_HUGEPAGE")
{
	char *p = large_row();
	CALL(madvise(p, 2 << 20, MADV_HUGEPAGE));
	p[5] = 5;
	HOLDS(large_kib(p) == 2048);
	return WORKS;
}

PROBE("madvise MADV_NOHUGEPAGE")
{
	char *p = large_row();
	CALL(madvise(p, 2 << 20, MADV_HUGEPAGE));
	CALL(madvise(p, 2 << 20, MADV_NOHUGEPAGE));
	p[5] = 5;
	HOLDS(large_kib(p) == 0);
	return WORKS;
}

PROBE("madvise MADV_COLLAPSE")
{
	char *p = large_row();
	memset(p, 5, 2 << 20);
	CALL(madvise(p, 2 << 20, 25));
	HOLDS(p[12345] == 5 && large_kib(p) == 2048);
	return WORKS;
}

PROBE("madvise MADV_DONTNEED")
{
	char *p = anonymous(1);
	p[0] = 5;
	CALL(madvise(p, PAGE, MADV_DONTNEED));
	HOLDS(p[0] == 0);
	return WORKS;
}

PROBE("madvise MADV_DONTNEED_LOCKED")
{
	char *p = anonymous(1);
	CALL(mlock(p, PAGE));
	p[0] = 5;
	CALL(madvise(p, PAGE, 24));
	HOLDS(p[0] == 0);
	return WORKS;
}

PROBE("madvise MADV_FREE")
{
	char *p = anonymous(1);
	p[0] = 5;
	CALL(madvise(p, PAGE, MADV_FREE));
	HOLDS(p[0] == 5 || p[0] == 0);
	p[0] = 6;
	HOLDS(p[0] == 6);
	return WORKS;
}

PROBE("madvise MADV_REMOVE")
{
	int fd = numbered_file(2 * PAGE);
	char byte, *p = MAPPED(mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0));
	CALL(madvise(p, PAGE, MADV_REMOVE));
	CALL(pread(fd, &byte, 1, 0));
	HOLDS(p[0] == 0 && byte == 0 && p[PAGE] == 2);
	return WORKS;
}

PROBE("madvise MADV_POPULATE_READ")
{
	char *p = anonymous(4);
	CALL(madvise(p, 4 * PAGE, 22));
	HOLDS(resident(p, 4) == 4);
	return WORKS;
}

PROBE("madvise MADV_POPULATE_WRITE")
{
	char *p = anonymous(4);
	CALL(madvise(p, 4 * PAGE, 23));
	HOLDS(resident(p, 4) == 4);
	return WORKS;
}

PROBE("madvise MADV_DONTFORK")
{
	char *p = anonymous(1);
	CALL(madvise(p, PAGE, MADV_DONTFORK));
	HOLDS(in_child(child_reads, p) == 256 + SIGSEGV);
	return WORKS;
}

PROBE("madvise MADV_DOFORK")
{
	char *p = anonymous(1);
	p[0] = 5;
	CALL(madvise(p, PAGE, MADV_DONTFORK));
	CALL(madvise(p, PAGE, MADV_DOFORK));
	HOLDS(in_child(child_reads, p) == 5);
	return WORKS;
}

PROBE("madvise MADV_WIPEONFORK")
{
	char *p = anonymous(1);
	p[0] = 5;
	CALL(madvise(p, PAGE, 18));
	HOLDS(in_child(child_reads, p) == 0 && p[0] == 5);
	return WORKS;
}

PROBE("madvise MADV_KEEPONFORK")
{
	char *p = anonymous(1);
	p[0] = 5;
	CALL(madvise(p, PAGE, 18));
	CALL(madvise(p, PAGE, 19));
	HOLDS(in_child(child_reads, p) == 5);
	return WORKS;
}

PROBE("madvise MADV_DONTDUMP") { return hint(MADV_DONTDUMP); }
PROBE("madvise MADV_DODUMP") { return hint(MADV_DODUMP); }
PROBE("madvise MADV_HWPOISON") { return hint(MADV_HWPOISON); }
PROBE("madvise MADV_SOFT_OFFLINE") { return hint(MADV_SOFT_OFFLINE); }

PROBE("madvise MADV_GUARD_INSTALL")
{
	char *p = anonymous(2);
	CALL(madvise(p, PAGE, 102));
	HOLDS(byte_or_signal(p, 0) == 256 + SIGSEGV);
	HOLDS(byte_or_signal(p + PAGE, 1) == 77);
	return WORKS;
}

PROBE("madvise MADV_GUARD_REMOVE")
{
	char *p = anonymous(2);
	CALL(madvise(p, PAGE, 102));
	CALL(madvise(p, PAGE, 103));
	HOLDS(byte_or_signal(p, 1) == 77);
	return WORKS;
}

PROBE("process_madvise")
{
	struct iovec range = { anonymous(1), PAGE };
	long fd = CALL(syscall(434, getpid(), 0));
	HOLDS(CALL(syscall(440, fd, &range, 1L, 20, 0)) == PAGE);
	return WORKS;
}

PROBE("process_mrelease")
{
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	long fd = CALL(syscall(434, pid, 0));
	CALL(kill(pid, SIGKILL));
	long result = syscall(448, fd, 0);
	int error = errno;
	waitpid(pid, NULL, 0);
	errno = error;
	/* It may have ended first. */
	if (result != 0 && errno != ESRCH)
		return error_name(errno);
	return WORKS;
}

PROBE("mincore")
{
	char *p = anonymous(2);
	p[PAGE] = 1;
	unsigned char vec[2];
	CALL(mincore(p, 2 * PAGE, vec));
	HOLDS(vec[0] == 0 && vec[1] == 1);
	return WORKS;
}

static const char *fadvise(int advice)
{
	int fd = numbered_file(PAGE);
	errno = posix_fadvise(fd, 0, 0, advice);
	if (errno)
		return error_name(errno);
	return WORKS;
}

PROBE("posix_fadvise NORMAL") { return fadvise(POSIX_FADV_NORMAL); }
PROBE("posix_fadvise SEQUENTIAL") { return fadvise(POSIX_FADV_SEQUENTIAL); }
PROBE("posix_fadvise RANDOM") { return fadvise(POSIX_FADV_RANDOM); }
PROBE("posix_fadvise NOREUSE") { return fadvise(POSIX_FADV_NOREUSE); }
PROBE("posix_fadvise WILLNEED") { return fadvise(POSIX_FADV_WILLNEED); }
PROBE("posix_fadvise DONTNEED") { return fadvise(POSIX_FADV_DONTNEED); }

PROBE("readahead")
{
	int fd = open("/tests/coverage", O_RDONLY);
	need(fd >= 0 || (fd = open("/proc/self/exe", O_RDONLY)) >= 0);
	CALL(syscall(SYS_readahead, fd, 0L, PAGE));
	return WORKS;
}

PROBE("cachestat")
{
	struct { uint64_t off, len; } range = { 0, 2 * PAGE };
	uint64_t stat[5] = { 0 };
	CALL(syscall(451, numbered_file(2 * PAGE), &range, stat, 0));
	HOLDS(stat[0] == 2);
	return WORKS;
}
