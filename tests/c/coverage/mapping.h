/* Mapping, unmapping, rights, moving. */
#include "probe.h"
#include <sys/personality.h>

PROBE("mmap PROT_NONE")
{
	char *p = MAPPED(mmap(NULL, PAGE, PROT_NONE, ANON, -1, 0));
	HOLDS(byte_or_signal(p, 0) == 256 + SIGSEGV);
	return WORKS;
}

PROBE("mmap PROT_READ")
{
	char *p = MAPPED(mmap(NULL, PAGE, PROT_READ, ANON, -1, 0));
	HOLDS(byte_or_signal(p, 0) == 0);
	HOLDS(byte_or_signal(p, 1) == 256 + SIGSEGV);
	return WORKS;
}

PROBE("mmap PROT_WRITE")
{
	char *p = MAPPED(mmap(NULL, PAGE, PROT_WRITE, ANON, -1, 0));
	HOLDS(byte_or_signal(p, 1) == 77);
	return WORKS;
}

PROBE("mmap PROT_EXEC")
{
	char *p = MAPPED(mmap(NULL, PAGE, RW | PROT_EXEC, ANON, -1, 0));
	*p = (char)0xc3;
	((void (*)(void))(uintptr_t)p)();
	return WORKS;
}

PROBE("mmap MAP_PRIVATE")
{
	int fd = numbered_file(PAGE);
	char byte, *p = MAPPED(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0));
	HOLDS(byte_or_signal(p, 1) == 77);
	CALL(pread(fd, &byte, 1, 0));
	HOLDS(byte == 1);
	return WORKS;
}

PROBE("mmap MAP_SHARED")
{
	int fd = numbered_file(PAGE);
	char byte, *p = MAPPED(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
	HOLDS(byte_or_signal(p, 1) == 77);
	CALL(pread(fd, &byte, 1, 0));
	HOLDS(byte == 77);
	return WORKS;
}

PROBE("mmap MAP_SHARED_VALIDATE")
{
	int fd = numbered_file(PAGE);
	MAPPED(mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE, fd, 0));
	HOLDS(mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | 1 << 25, fd, 0) ==
	    MAP_FAILED && errno == EOPNOTSUPP);
	return WORKS;
}

PROBE("mmap MAP_DROPPABLE")
{
	char *p = MAPPED(mmap(NULL, PAGE, RW, 8 | MAP_ANONYMOUS, -1, 0));
	HOLDS(byte_or_signal(p, 1) == 77);
	return WORKS;
}

PROBE("mmap MAP_ANONYMOUS")
{
	char *p = MAPPED(mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	HOLDS(in_child(child_writes, p) == 55 && *p == 55);
	return WORKS;
}

PROBE("mmap MAP_FIXED")
{
	char *p = anonymous(3);
	p[PAGE] = 1;
	HOLDS(MAPPED(mmap(p + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0)) ==
	    p + PAGE);
	HOLDS(p[PAGE] == 0);
	return WORKS;
}

PROBE("mmap MAP_FIXED_NOREPLACE")
{
	char *p = anonymous(1);
	HOLDS(mmap(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) ==
	    MAP_FAILED && errno == EEXIST);
	CALL(munmap(p, PAGE));
	HOLDS(MAPPED(mmap(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0)) == p);
	return WORKS;
}

PROBE("mmap MAP_32BIT")
{
	char *p = MAPPED(mmap(NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0));
	return (uintptr_t)p >> 31 ? "ignored" : WORKS;
}

PROBE("mmap MAP_GROWSDOWN")
{
	char *hole = anonymous(400);
	CALL(munmap(hole, 400 * PAGE));
	char *p = MAPPED(mmap(hole + 399 * PAGE, PAGE, RW,
	    ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0));
	return byte_or_signal(p - PAGE, 1) == 77 ? WORKS : "does not grow";
}

PROBE("mmap MAP_LOCKED")
{
	char *p = MAPPED(mmap(NULL, 4 * PAGE, RW, ANON | MAP_LOCKED, -1, 0));
	HOLDS(resident(p, 4) == 4);
	HOLDS(madvise(p, PAGE, MADV_DONTNEED) == -1 && errno == EINVAL);
	return WORKS;
}

PROBE("mmap MAP_POPULATE")
{
	char *p = MAPPED(mmap(NULL, 4 * PAGE, RW, ANON | MAP_POPULATE, -1, 0));
	HOLDS(resident(p, 4) == 4);
	return WORKS;
}

PROBE("mmap MAP_NONBLOCK")
{
	MAPPED(mmap(NULL, PAGE, RW, ANON | MAP_POPULATE | MAP_NONBLOCK, -1, 0));
	return WORKS;
}

PROBE("mmap MAP_NORESERVE")
{
	MAPPED(mmap(NULL, 1L << 40, RW, ANON | MAP_NORESERVE, -1, 0));
	return WORKS;
}

PROBE("mmap MAP_STACK")
{
	MAPPED(mmap(NULL, PAGE, RW, ANON | MAP_STACK, -1, 0));
	return WORKS;
}

PROBE("mmap MAP_HUGETLB")
{
	MAPPED(mmap(NULL, 2 << 20, RW, ANON | MAP_HUGETLB, -1, 0));
	return WORKS;
}

PROBE("mmap MAP_SYNC")
{
	int fd = numbered_file(PAGE);
	MAPPED(mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | 0x80000, fd, 0));
	return WORKS;
}

PROBE("mmap at address 0")
{
	MAPPED(mmap(NULL, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	return WORKS;
}

PROBE("munmap")
{
	char *p = anonymous(3);
	CALL(munmap(p + PAGE, PAGE));
	HOLDS(byte_or_signal(p + PAGE, 0) == 256 + SIGSEGV);
	HOLDS(byte_or_signal(p + 2 * PAGE, 1) == 77);
	return WORKS;
}

PROBE("mprotect")
{
	char *p = anonymous(1);
	CALL(mprotect(p, PAGE, PROT_READ));
	HOLDS(byte_or_signal(p, 1) == 256 + SIGSEGV);
	CALL(mprotect(p, PAGE, RW));
	HOLDS(byte_or_signal(p, 1) == 77);
	return WORKS;
}

PROBE("mprotect PROT_GROWSDOWN")
{
	char *hole = anonymous(400);
	CALL(munmap(hole, 400 * PAGE));
	char *p = MAPPED(mmap(hole + 396 * PAGE, 4 * PAGE, RW,
	    ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0));
	CALL(syscall(SYS_mprotect, p + 3 * PAGE, PAGE, PROT_READ | 0x01000000));
	HOLDS(byte_or_signal(p, 1) == 256 + SIGSEGV);
	return WORKS;
}

PROBE("mprotect PROT_SEM")
{
	CALL(syscall(SYS_mprotect, anonymous(1), PAGE, RW | 8));
	return WORKS;
}

PROBE("pkey_mprotect no key")
{
	CALL(syscall(SYS_pkey_mprotect, anonymous(1), PAGE, PROT_READ, -1));
	return WORKS;
}

PROBE("pkey_alloc")
{
	CALL(syscall(SYS_pkey_alloc, 0, 0));
	return WORKS;
}

PROBE("mremap in place")
{
	char *p = anonymous(4);
	p[0] = 5;
	HOLDS(MAPPED(mremap(p, 4 * PAGE, PAGE, 0)) == p);
	HOLDS(MAPPED(mremap(p, PAGE, 2 * PAGE, 0)) == p && p[0] == 5);
	return WORKS;
}

PROBE("mremap MREMAP_MAYMOVE")
{
	char *p = anonymous(2);
	p[0] = 5;
	p = MAPPED(mremap(p, PAGE, 64 * PAGE, MREMAP_MAYMOVE));
	HOLDS(p[0] == 5 && p[63 * PAGE] == 0);
	return WORKS;
}

PROBE("mremap MREMAP_FIXED")
{
	char *p = anonymous(1), *q = anonymous(2);
	p[0] = 5;
	HOLDS(MAPPED(mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
	    q)) == q && q[0] == 5);
	return WORKS;
}

PROBE("mremap MREMAP_DONTUNMAP")
{
	char *p = anonymous(1);
	p[0] = 5;
	char *q = MAPPED(mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | 4));
	HOLDS(q != p && q[0] == 5 && p[0] == 0);
	return WORKS;
}

PROBE("mremap old size 0")
{
	char *p = shared(1);
	p[0] = 5;
	char *q = MAPPED(mremap(p, 0, PAGE, MREMAP_MAYMOVE));
	q[1] = 6;
	HOLDS(q[0] == 5 && p[1] == 6);
	return WORKS;
}

PROBE("mremap over several mappings")
{
	char *p = anonymous(2);
	CALL(mprotect(p + PAGE, PAGE, PROT_READ));
	MAPPED(mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
	    anonymous(2)));
	return WORKS;
}

PROBE("remap_file_pages")
{
	int fd = numbered_file(2 * PAGE);
	char *p = MAPPED(mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0));
	CALL(syscall(SYS_remap_file_pages, p, PAGE, 0, 1, 0));
	HOLDS(p[0] == 2);
	return WORKS;
}

PROBE("brk")
{
	char *end = (char *)syscall(SYS_brk, 0);
	char *new_end = (char *)syscall(SYS_brk, end + 3 * PAGE);
	HOLDS(new_end == end + 3 * PAGE && byte_or_signal(end, 1) == 77);
	HOLDS((char *)syscall(SYS_brk, end) == end);
	return WORKS;
}

PROBE("mseal")
{
	char *p = anonymous(1);
	CALL(syscall(462, p, PAGE, 0));
	HOLDS(munmap(p, PAGE) == -1 && errno == EPERM);
	HOLDS(mprotect(p, PAGE, PROT_READ) == -1 && errno == EPERM);
	return WORKS;
}

PROBE("map_shadow_stack")
{
	CALL(syscall(453, 0, PAGE, 0));
	return WORKS;
}

static long name_it(const void *at, long len, const char *name)
{
	return prctl(0x53564d41, 0, at, (size_t)len, name);
}

/* How many mappings /proc shows with this at the end of their lines. */
static int count_named(const char *path, const char *name)
{
	char line[512];
	int found = 0;
	FILE *file = fopen(path, "r");

	need(file);
	while (fgets(line, sizeof line, file)) {
		size_t len = strcspn(line, "\n"), end = strlen(name);
		line[len] = 0;
		found += len >= end && strcmp(line + len - end, name) == 0;
	}
	fclose(file);
	return found;
}

#define NAMED(name) count_named("/proc/self/maps", name)

static int child_counts(void *name)
{
	return NAMED((const char *)name);
}

PROBE("prctl PR_SET_VMA_ANON_NAME")
{
	char *p = anonymous(6), *s = shared(1), longest[81];
	int fd = numbered_file(PAGE);
	char *f = MAPPED(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0));

	CALL(name_it(p, 2 * PAGE, "probe"));
	HOLDS(NAMED(" [anon:probe]") == 1);
	HOLDS(count_named("/proc/self/smaps", " [anon:probe]") == 1);
	HOLDS(in_child(child_counts, " [anon:probe]") == 1);
	/* The same name joins mappings, another one parts them. */
	CALL(name_it(p + 2 * PAGE, PAGE, "other"));
	HOLDS(NAMED(" [anon:other]") == 1 && NAMED(" [anon:probe]") == 1);
	CALL(name_it(p + 2 * PAGE, PAGE, "probe"));
	HOLDS(NAMED(" [anon:other]") == 0 && NAMED(" [anon:probe]") == 1);
	CALL(name_it(p + PAGE, PAGE, "a b\x7e"));
	HOLDS(NAMED(" [anon:a b~]") == 1 && NAMED(" [anon:probe]") == 2);
	CALL(name_it(p, 6 * PAGE, ""));
	HOLDS(NAMED(" [anon:]") == 1);
	CALL(name_it(p, 6 * PAGE, NULL));
	HOLDS(NAMED(" [anon:]") == 0 && NAMED(" [anon:probe]") == 0);
	CALL(name_it(s, PAGE, "probe"));
	HOLDS(NAMED(" [anon_shmem:probe]") == 1);
	/* A name goes with memory that moves and grows. */
	CALL(name_it(p, 2 * PAGE, "mover"));
	char *q = MAPPED(mremap(p, 2 * PAGE, 20 * PAGE, MREMAP_MAYMOVE));
	HOLDS(q != p && NAMED(" [anon:mover]") == 1);

	memset(longest, 'x', 80);
	longest[80] = 0;
	HOLDS(name_it(p, PAGE, longest + 1) == -1 && errno == ENOMEM);
	p = anonymous(3);
	CALL(name_it(p, PAGE, longest + 1));
	HOLDS(name_it(p, PAGE, longest) == -1 && errno == EINVAL);
	for (const char *bad = "\\`$[]\x1f\x7f\x80\n"; *bad; bad++) {
		char name[] = { 'a', *bad, 0 };
		HOLDS(name_it(p, PAGE, name) == -1 && errno == EINVAL);
	}
	HOLDS(name_it(p, PAGE, (char *)8) == -1 && errno == EFAULT);
	HOLDS(name_it(p + 1, PAGE, "x") == -1 && errno == EINVAL);
	HOLDS(name_it(p + 1, 0, "x") == -1 && errno == EINVAL);
	HOLDS(name_it(p, -1, "x") == -1 && errno == EINVAL);
	HOLDS(name_it(p, -PAGE, "x") == -1 && errno == EINVAL);
	HOLDS(name_it(p, 0, "x") == 0);
	HOLDS(name_it(f, PAGE, "x") == -1 && errno == EBADF);
	HOLDS(prctl(0x53564d41, 1, p, PAGE, "x") == -1 && errno == EINVAL);
	CALL(munmap(p + PAGE, PAGE));
	HOLDS(name_it(p, 3 * PAGE, "around") == -1 && errno == ENOMEM);
	HOLDS(NAMED(" [anon:around]") == 2);
	/* More names than are kept without a look at who has them. */
	for (int i = 0; i < 300; i++) {
		char name[16];
		snprintf(name, sizeof name, "n%d", i);
		CALL(name_it(p, PAGE, name));
	}
	HOLDS(NAMED(" [anon:n299]") == 1 && NAMED(" [anon:around]") == 1);
	return WORKS;
}

PROBE("prctl PR_SET_MDWE")
{
	CALL(prctl(65, 1, 0, 0, 0));
	HOLDS(mmap(NULL, PAGE, RW | PROT_EXEC, ANON, -1, 0) == MAP_FAILED &&
	    errno == EACCES);
	char *p = anonymous(1);
	HOLDS(mprotect(p, PAGE, PROT_READ | PROT_EXEC) == -1 && errno == EACCES);
	return WORKS;
}

PROBE("prctl PR_SET_THP_DISABLE")
{
	char *p = large_row();
	CALL(prctl(41, 1, 0, 0, 0));
	CALL(madvise(p, 2 << 20, MADV_HUGEPAGE));
	p[5] = 5;
	HOLDS(prctl(42, 0, 0, 0, 0) == 1 && large_kib(p) == 0);
	return WORKS;
}

PROBE("prctl PR_SET_MEMORY_MERGE")
{
	CALL(prctl(67, 1, 0, 0, 0));
	return WORKS;
}

PROBE("personality ADDR_NO_RANDOMIZE")
{
	CALL(personality(ADDR_NO_RANDOMIZE));
	HOLDS(personality(0xffffffff) == ADDR_NO_RANDOMIZE);
	return WORKS;
}

PROBE("personality READ_IMPLIES_EXEC")
{
	CALL(personality(READ_IMPLIES_EXEC));
	char *p = anonymous(1);
	*p = (char)0xc3;
	if (sigsetjmp(touch_failed, 1) != 0)
		return "ignored";
	((void (*)(void))(uintptr_t)p)();
	return WORKS;
}
