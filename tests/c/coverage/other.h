/* Files' sizes, places of memory, other processes, and what /proc tells. */
#include "probe.h"

static const char *allocate(int mode, off_t at, off_t len)
{
	CALL(fallocate(numbered_file(4 * PAGE), mode, at, len));
	return WORKS;
}

PROBE("fallocate") { return allocate(0, 0, 8 * PAGE); }
PROBE("fallocate FALLOC_FL_KEEP_SIZE") { return allocate(1, 0, 8 * PAGE); }
PROBE("fallocate FALLOC_FL_PUNCH_HOLE") { return allocate(3, 0, PAGE); }
PROBE("fallocate FALLOC_FL_ZERO_RANGE") { return allocate(16, 0, PAGE); }
PROBE("fallocate FALLOC_FL_COLLAPSE_RANGE") { return allocate(8, 0, PAGE); }
PROBE("fallocate FALLOC_FL_INSERT_RANGE") { return allocate(32, 0, PAGE); }

PROBE("mbind")
{
	unsigned long nodes = 1;
	CALL(syscall(SYS_mbind, anonymous(1), PAGE, 2, &nodes, 8, 0));
	return WORKS;
}

PROBE("set_mempolicy")
{
	CALL(syscall(SYS_set_mempolicy, 0, NULL, 0));
	return WORKS;
}

PROBE("get_mempolicy")
{
	int policy;
	CALL(syscall(SYS_get_mempolicy, &policy, NULL, 0, NULL, 0));
	return WORKS;
}

PROBE("migrate_pages")
{
	unsigned long nodes = 1;
	CALL(syscall(SYS_migrate_pages, 0, 8, &nodes, &nodes));
	return WORKS;
}

PROBE("move_pages")
{
	void *page = anonymous(1);
	int status;
	CALL(syscall(SYS_move_pages, 0, 1, &page, NULL, &status, 0));
	return WORKS;
}

PROBE("membarrier")
{
	CALL(syscall(SYS_membarrier, 0, 0, 0));
	return WORKS;
}

PROBE("fork")
{
	char *p = anonymous(1);
	p[0] = 5;
	HOLDS(in_child(child_writes, p) == 55 && p[0] == 5);
	return WORKS;
}

PROBE("vfork")
{
	char *p = anonymous(1);
	pid_t pid = vfork();
	if (pid == 0) {
		p[0] = 6;
		_exit(0);
	}
	HOLDS(p[0] == 6);
	return WORKS;
}

PROBE("clone3")
{
	uint64_t args[8] = { [4] = SIGCHLD };
	long pid = syscall(SYS_clone3, args, sizeof args);
	if (pid == 0)
		_exit(0);
	CALL(pid);
	return WORKS;
}

static const char *has(const char *path, const char *what)
{
	static char text[65536];
	size_t len;
	FILE *file = fopen(path, "r");

	if (!file)
		return error_name(errno);
	len = fread(text, 1, sizeof text - 1, file);
	fclose(file);
	text[len] = 0;
	HOLDS(strstr(text, what));
	return WORKS;
}

PROBE("/proc/self/maps") { return has("/proc/self/maps", "[stack]"); }
PROBE("/proc/self/smaps") { return has("/proc/self/smaps", "Pss:"); }
PROBE("/proc/self/smaps_rollup")
{
	return has("/proc/self/smaps_rollup", "[rollup]");
}
PROBE("/proc/self/statm") { return has("/proc/self/statm", " "); }
PROBE("/proc/self/status") { return has("/proc/self/status", "VmLck:"); }
PROBE("/proc/self/oom_score_adj")
{
	return has("/proc/self/oom_score_adj", "\n");
}
PROBE("/proc/sys/vm/overcommit_memory")
{
	return has("/proc/sys/vm/overcommit_memory", "\n");
}
PROBE("/proc/sysvipc/shm") { return has("/proc/sysvipc/shm", "shmid"); }

PROBE("/proc/self/mem")
{
	char byte, *p = anonymous(1);
	int fd = (int)CALL(open("/proc/self/mem", O_RDWR));
	p[0] = 5;
	HOLDS(CALL(pread(fd, &byte, 1, (off_t)(uintptr_t)p)) == 1 && byte == 5);
	HOLDS(CALL(pwrite(fd, "x", 1, (off_t)(uintptr_t)p)) == 1 && p[0] == 'x');
	return WORKS;
}

PROBE("/proc/self/pagemap")
{
	uint64_t entry;
	char *p = anonymous(1);
	int fd = (int)CALL(open("/proc/self/pagemap", O_RDONLY));
	p[0] = 5;
	HOLDS(CALL(pread(fd, &entry, 8, (off_t)((uintptr_t)p / PAGE * 8))) == 8);
	HOLDS(entry >> 63 == 1);
	return WORKS;
}

PROBE("/proc/self/clear_refs")
{
	int fd = (int)CALL(open("/proc/self/clear_refs", O_WRONLY));
	char *p = anonymous(1);
	p[0] = 5;
	CALL(write(fd, "1", 1));
	HOLDS(smaps(p, "Referenced:") == 0);
	return WORKS;
}
