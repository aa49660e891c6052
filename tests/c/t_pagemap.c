/* What /proc/PID/pagemap tells of pages: in memory or not, whose, of what. */
#include "show.h"

#include <fcntl.h>

#define PAGES 6

static int pagemap;

/* A letter for each page: in memory, of a file or shared, nobody else's. */
static void tell_of(const char *what, int fd, const char *at, long pages)
{
	uint64_t words[PAGES + 1];
	char line[8 * PAGES] = "";
	ssize_t len = pread(fd, words, (size_t)pages * 8,
	    (off_t)((uintptr_t)at / PAGE * 8));

	if (len != pages * 8) {
		say("%s: %zd bytes", what, len);
		return;
	}
	for (long i = 0; i < pages; i++) {
		const uint64_t word = words[i];

		strcat(line, " ");
		strcat(line, word >> 63 & 1 ? "M" : "-");
		strcat(line, word >> 62 & 1 ? "S" : "-");
		strcat(line, word >> 61 & 1 ? "F" : "-");
		strcat(line, word >> 56 & 1 ? "x" : "-");
		strcat(line, word & ((1ULL << 55) - 1) ? "n" : "-");
	}
	say("%s:%s", what, line);
}

static void tell(const char *what, const char *at, long pages)
{
	tell_of(what, pagemap, at, pages);
}

static void kinds(void)
{
	char *a = mmap(0, PAGES * PAGE, RW, ANON, -1, 0);
	char *s = mmap(0, PAGES * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = numbered_file(PAGES * PAGE);
	char *f = mmap(0, PAGES * PAGE, RW, MAP_PRIVATE, fd, 0);

	tell("fresh", a, PAGES);
	a[0] = a[2 * PAGE] = 1;
	tell("written", a, PAGES);
	show("free", madvise(a, PAGE, MADV_FREE));
	tell("given up", a, PAGES);
	show("dontneed", madvise(a, PAGE, MADV_DONTNEED));
	tell("not needed", a, PAGES);
	show("no access", mprotect(a, PAGES * PAGE, PROT_NONE));
	tell("no access", a, PAGES);
	need(munmap(a + PAGE, PAGE) == 0);
	tell("hole", a, PAGES);
	tell("shared, fresh", s, PAGES);
	s[PAGE] = 1;
	tell("shared, written", s, PAGES);
	tell("private file, fresh", f, PAGES);
	f[PAGE] = 1;
	tell("private file, written", f + PAGE, 1);
}

static void reads(void)
{
	uint64_t words[4];

	show("odd offset", pread(pagemap, words, 8, 4));
	show("odd length", pread(pagemap, words, 7, 0));
	show("nothing", pread(pagemap, words, 0, 0));
	show("low", pread(pagemap, words, 32, 0));
	show("beyond the end", pread(pagemap, words, 32, (off_t)1 << 46));
	show("no buffer", pread(pagemap, (void *)8, 32, 0));
}

/* A child's, from outside: as the parent's until it writes, and nothing when it is gone. */
static void of_a_child(void)
{
	char *a = mmap(0, PAGES * PAGE, RW, ANON, -1, 0);
	int go[2], gone[2], fd;
	char name[64], byte = 0;
	pid_t pid;

	memset(a, 1, 3 * PAGE);
	need(pipe(go) == 0 && pipe(gone) == 0);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		a[PAGE] = 2;
		a[4 * PAGE] = 2;
		need(write(gone[1], &byte, 1) == 1);
		need(read(go[0], &byte, 1) == 1);
		_exit(0);
	}
	need(read(gone[0], &byte, 1) == 1);
	snprintf(name, sizeof name, "/proc/%d/pagemap", (int)pid);
	fd = open(name, O_RDONLY);
	need(fd >= 0);
	tell_of("child", fd, a, PAGES);
	tell("parent", a, PAGES);
	need(write(go[1], &byte, 1) == 1);
	reap("child", pid);
	tell_of("gone", fd, a, PAGES);
	show("open it again", open(name, O_RDONLY));
	tell("parent, alone", a, PAGES);
}

int main(void)
{
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	need(pagemap >= 0);
	kinds();
	reads();
	of_a_child();
	return 0;
}
