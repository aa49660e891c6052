/*
 * The errors of mmap, munmap, mprotect, madvise, msync and mlock to the
 * letter, and what stays mapped after them.
 */
#include "show.h"
#include <fcntl.h>

#define PTR(p) ((void *)(uintptr_t)(p))

/* Shows a call that gives an address, relative to where one was expected. */
static void show_at(const char *what, const void *result, const void *base)
{
	if (result == MAP_FAILED)
		say("%s: %s", what, error_name(errno));
	else
		say("%s: %+ld", what, (long)((const char *)result -
		    (const char *)base));
}

/* The bare system call: the C library's mprotect rounds the address. */
static int bare_mprotect(void *p, size_t len, int prot)
{
	return (int)syscall(SYS_mprotect, p, len, prot);
}

static char *pages(int count)
{
	char *p = mmap(NULL, (size_t)(count * PAGE), RW, ANON, -1, 0);

	need(p != MAP_FAILED);
	return p;
}

static void mmap_errors(void)
{
	int mem = numbered_file(4 * PAGE), read_only, write_only, pipes[2];
	char path[64];

	show_ok("mmap length 0", mmap(NULL, 0, RW, ANON, -1, 0));
	show_ok("mmap neither shared nor private",
	    mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0));
	show_ok("mmap offset unaligned",
	    mmap(NULL, PAGE, RW, MAP_PRIVATE, mem, 100));
	show_ok("mmap fixed unaligned", mmap(PTR(0x10000100), PAGE, RW,
	    ANON | MAP_FIXED, -1, 0));
	show_ok("mmap fixed beyond the end", mmap(PTR(0x7ffffffff000), 2 * PAGE,
	    RW, ANON | MAP_FIXED, -1, 0));
	show_ok("mmap too long", mmap(NULL, (size_t)1 << 47, RW,
	    ANON | MAP_NORESERVE, -1, 0));
	show_ok("mmap length wraps", mmap(NULL, SIZE_MAX, RW, ANON, -1, 0));
	show_ok("mmap offset wraps", (void *)syscall(SYS_mmap, NULL, 2 * PAGE,
	    RW, MAP_PRIVATE, mem, ~(unsigned long)0xfff));
	show_ok("mmap no such file", mmap(NULL, PAGE, RW, MAP_PRIVATE, 99, 0));
	need(pipe(pipes) == 0);
	show_ok("mmap pipe", mmap(NULL, PAGE, RW, MAP_PRIVATE, pipes[0], 0));
	show_ok("mmap anonymous with a descriptor",
	    mmap(NULL, PAGE, RW, ANON, 99, 0));

	snprintf(path, sizeof path, "/proc/self/fd/%d", mem);
	read_only = open(path, O_RDONLY);
	write_only = open(path, O_WRONLY);
	need(read_only >= 0 && write_only >= 0);
	show_ok("mmap shared, writable, of a read-only file",
	    mmap(NULL, PAGE, RW, MAP_SHARED, read_only, 0));
	show_ok("mmap shared of a read-only file",
	    mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0));
	show_ok("mmap private, writable, of a read-only file",
	    mmap(NULL, PAGE, RW, MAP_PRIVATE, read_only, 0));
	show_ok("mmap shared of a write-only file",
	    mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, write_only, 0));
	show_ok("mmap private of a write-only file",
	    mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, write_only, 0));
	show_ok("mmap shared_validate", mmap(NULL, PAGE, RW,
	    MAP_SHARED_VALIDATE, mem, 0));
	show_ok("mmap shared_validate, unknown flag", mmap(NULL, PAGE, RW,
	    MAP_SHARED_VALIDATE | 0x1000000, mem, 0));
	show_ok("mmap private, unknown flag", mmap(NULL, PAGE, RW,
	    ANON | 0x1000000, -1, 0));
	close(mem), close(read_only), close(write_only);
}

static void placement(void)
{
	char *p = pages(8), *q;

	p[0] = 1, p[PAGE] = 2, p[2 * PAGE] = 3;
	show_at("hint in use", p != mmap(p, PAGE, RW, ANON, -1, 0) ? p : NULL,
	    p);
	need(munmap(p + 4 * PAGE, 2 * PAGE) == 0);
	show_at("hint free", mmap(p + 4 * PAGE, PAGE, RW, ANON, -1, 0), p);
	show_at("hint unaligned",
	    mmap(p + 5 * PAGE + 100, 100, RW, ANON, -1, 0), p);
	show_at("no replace, in use", mmap(p, PAGE, RW,
	    ANON | MAP_FIXED_NOREPLACE, -1, 0), p);
	need(munmap(p + 3 * PAGE, PAGE) == 0);
	show_at("no replace, partly in use", mmap(p + 3 * PAGE, 2 * PAGE, RW,
	    ANON | MAP_FIXED_NOREPLACE, -1, 0), p);
	show_at("no replace, free", mmap(p + 3 * PAGE, PAGE, RW,
	    ANON | MAP_FIXED_NOREPLACE, -1, 0), p);
	show_at("no replace, unaligned", mmap(p + 100, PAGE, RW,
	    ANON | MAP_FIXED_NOREPLACE, -1, 0), p);
	show_at("fixed replaces", mmap(p + PAGE, PAGE, RW, ANON | MAP_FIXED,
	    -1, 0), p);
	look("before", p, 0);
	look("replaced", p, PAGE);
	look("after", p, 2 * PAGE);
	/* Without a hint, room is found where nothing is. */
	q = pages(3);
	q[0] = 1;
	say("elsewhere: %d", q + 3 * PAGE <= p || q >= p + 8 * PAGE);
	need(munmap(q, 3 * PAGE) == 0 && munmap(p, 8 * PAGE) == 0);
}

static void munmap_errors(void)
{
	char *p = pages(6);

	memset(p, 1, 6 * PAGE);
	show("munmap length 0", munmap(p, 0));
	show("munmap unaligned", munmap(p + 1, PAGE));
	show("munmap beyond the end", munmap(PTR(0x800000000000), PAGE));
	show("munmap wraps", munmap(p, SIZE_MAX - 0xfff));
	show("munmap middle", munmap(p + 2 * PAGE, 1));
	look("left", p, 2 * PAGE - 1);
	look("middle", p, 2 * PAGE);
	look("right", p, 3 * PAGE);
	show("munmap again", munmap(p + 2 * PAGE, PAGE));
	show("munmap over a hole", munmap(p, 6 * PAGE));
	look("gone", p, 5 * PAGE);
}

static void mprotect_errors(void)
{
	char *p = pages(6), *shared;
	char path[64];
	int mem = numbered_file(PAGE), read_only;

	memset(p, 1, 6 * PAGE);
	show("mprotect unaligned", bare_mprotect(p + 1, PAGE, PROT_READ));
	show("mprotect length 0", bare_mprotect(p, 0, PROT_READ));
	show("mprotect length 0, unmapped", bare_mprotect(PTR(PAGE), 0, PROT_READ));
	show("mprotect wraps", bare_mprotect(p, SIZE_MAX - 0xfff, PROT_READ));
	show("mprotect unmapped", bare_mprotect(PTR(PAGE), PAGE, PROT_READ));
	show("mprotect unknown bits", bare_mprotect(p, PAGE, 0x100));
	show("mprotect growsdown of a plain mapping",
	    bare_mprotect(p, PAGE, PROT_READ | PROT_GROWSDOWN));
	need(munmap(p + 3 * PAGE, PAGE) == 0);
	/* What lies before the hole is protected all the same. */
	show("mprotect over a hole", bare_mprotect(p + 2 * PAGE, 3 * PAGE,
	    PROT_READ));
	put("before the hole", p, 2 * PAGE, 2);
	put("behind the hole", p, 4 * PAGE, 2);
	show("mprotect none", bare_mprotect(p, PAGE, PROT_NONE));
	look("none", p, 5);
	put("none", p, 5, 1);
	show("mprotect write only", bare_mprotect(p, PAGE, PROT_WRITE));
	put("write only", p, 5, 3);
	show("mprotect exec", bare_mprotect(p, PAGE, PROT_EXEC));
	put("exec", p, 5, 3);
	show("mprotect back", bare_mprotect(p, PAGE, RW));
	look("back", p, 5);

	snprintf(path, sizeof path, "/proc/self/fd/%d", mem);
	read_only = open(path, O_RDONLY);
	need(read_only >= 0);
	shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0);
	need(shared != MAP_FAILED);
	show("mprotect write, shared of a read-only file",
	    bare_mprotect(shared, PAGE, RW));
	put("still read-only", shared, 0, 1);
	shared = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, read_only, 0);
	need(shared != MAP_FAILED);
	show("mprotect write, private of a read-only file",
	    bare_mprotect(shared, PAGE, RW));
	put("now writable", shared, 0, 9);
	close(mem), close(read_only);
}

static void advice(void)
{
	char *p = pages(6), *shared;
	int mem = numbered_file(2 * PAGE);

	memset(p, 1, 6 * PAGE);
	show("madvise unaligned", madvise(p + 1, PAGE, MADV_NORMAL));
	show("madvise unknown", madvise(p, PAGE, 9999));
	show("madvise length 0", madvise(p, 0, MADV_DONTNEED));
	show("madvise wraps", madvise(p, SIZE_MAX - 0xfff, MADV_DONTNEED));
	show("madvise unmapped", madvise(PTR(PAGE), PAGE, MADV_DONTNEED));
	show("madvise normal", madvise(p, PAGE, MADV_NORMAL));
	show("madvise random", madvise(p, PAGE, MADV_RANDOM));
	show("madvise sequential", madvise(p, PAGE, MADV_SEQUENTIAL));
	show("madvise willneed", madvise(p, PAGE, MADV_WILLNEED));
	show("madvise dontneed", madvise(p + PAGE, 100, MADV_DONTNEED));
	look("kept", p, 0);
	look("dropped", p, PAGE);
	look("kept", p, 2 * PAGE);
	need(munmap(p + 3 * PAGE, PAGE) == 0);
	/* The hole is an error, but both sides of it are dropped. */
	show("madvise dontneed over a hole",
	    madvise(p + 2 * PAGE, 3 * PAGE, MADV_DONTNEED));
	look("before the hole", p, 2 * PAGE);
	look("behind the hole", p, 4 * PAGE);

	shared = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, mem, 0);
	need(shared != MAP_FAILED);
	shared[0] = 55;
	show("madvise dontneed, shared", madvise(shared, 2 * PAGE,
	    MADV_DONTNEED));
	look("shared keeps", shared, 0);
	p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, mem, 0);
	need(p != MAP_FAILED);
	p[0] = 66, p[PAGE] = 67;
	show("madvise dontneed, private file", madvise(p, PAGE,
	    MADV_DONTNEED));
	look("the file again", p, 0);
	look("own page", p, PAGE);
	close(mem);
}

static void syncing(void)
{
	char *p = pages(3), *shared;
	int mem = numbered_file(PAGE);

	show("msync anonymous", msync(p, 3 * PAGE, MS_SYNC));
	show("msync unaligned", msync(p + 1, PAGE, MS_SYNC));
	show("msync no flags", msync(p, PAGE, 0));
	show("msync sync and async", msync(p, PAGE, MS_SYNC | MS_ASYNC));
	show("msync unknown flag", msync(p, PAGE, 64));
	show("msync length 0", msync(p, 0, MS_SYNC));
	show("msync unmapped", msync(PTR(PAGE), PAGE, MS_SYNC));
	show("msync wraps", msync(p, SIZE_MAX - 0xfff, MS_SYNC));
	need(munmap(p + PAGE, PAGE) == 0);
	show("msync over a hole", msync(p, 3 * PAGE, MS_SYNC));
	shared = mmap(NULL, PAGE, RW, MAP_SHARED, mem, 0);
	need(shared != MAP_FAILED);
	show("msync shared", msync(shared, PAGE, MS_SYNC));
	show("msync shared, async", msync(shared, PAGE, MS_ASYNC));
	show("msync shared, invalidate", msync(shared, PAGE,
	    MS_ASYNC | MS_INVALIDATE));
	close(mem);
}

static void locking(void)
{
	char *p = pages(4);

	show("mlock", mlock(p, 2 * PAGE));
	show("mlock length 0", mlock(p, 0));
	show("mlock unmapped", mlock(PTR(PAGE), PAGE));
	show("mlock wraps", mlock(p, SIZE_MAX - 0xfff));
	show("mlock rounds down", mlock(p + 100, 100));
	look("locked", p, PAGE);
	show("munlock", munlock(p, 2 * PAGE));
	show("munlock again", munlock(p, 2 * PAGE));
	show("munlock unmapped", munlock(PTR(PAGE), PAGE));
	need(munmap(p + 2 * PAGE, PAGE) == 0);
	show("mlock over a hole", mlock(p, 4 * PAGE));
	show("munmap locked", munmap(p, 4 * PAGE));
}

int main(void)
{
	catch_faults();
	mmap_errors();
	placement();
	munmap_errors();
	mprotect_errors();
	advice();
	syncing();
	locking();
	return 0;
}
