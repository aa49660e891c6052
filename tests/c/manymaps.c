/*
 * /proc/self/maps and smaps of a process with many mappings: however they
 * are read, the text is the same; and who reads only the beginning does not
 * wait for all of it to be made.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, MAPPINGS = 16384, LOOKS = 300, MOST = 64 << 20 };

static char *whole, *parts;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Reads a file from its start in steps of so many bytes. */
static size_t read_in(const char *name, char *to, size_t step)
{
	int fd = open(name, O_RDONLY);
	size_t len = 0;
	ssize_t got;

	if (fd < 0)
		die(name);
	while ((got = read(fd, to + len, step)) > 0)
		len += (size_t)got;
	if (got < 0)
		die(name);
	close(fd);
	return len;
}

/* How many lines of a text begin with an address within the range. */
static int within(const char *text, size_t len, char *from, char *to)
{
	const char *at = text, *end = text + len;
	int lines = 0;

	while (at && at < end) {
		unsigned long start = strtoul(at, NULL, 16);

		lines += start >= (unsigned long)from &&
		    start < (unsigned long)to;
		at = memchr(at, '\n', (size_t)(end - at));
		if (at)
			at++;
	}
	return lines;
}

static void same(const char *name, char *base)
{
	static const size_t steps[] = { 100, 4096, 1 << 20 };
	size_t len = read_in(name, whole, MOST);
	char *end = base + (size_t)MAPPINGS * PAGE;
	int fd = open(name, O_RDONLY);

	printf("%s: %d mappings\n", name, within(whole, len, base, end));
	for (int i = 0; i < 3; i++) {
		size_t got = read_in(name, parts, steps[i]);

		printf("in steps of %zu: %s\n", steps[i],
		    got == len && !memcmp(whole, parts, len) ? "the same"
							     : "different");
	}
	/* Forwards, and back again. */
	for (int i = 0; i < 4; i++) {
		off_t at = (off_t)(len / 5 * (size_t)(i < 2 ? i + 2 : 4 - i));

		printf("from %d fifths: %s\n", i < 2 ? i + 2 : 4 - i,
		    pread(fd, parts, 1000, at) == 1000 &&
			    !memcmp(whole + at, parts, 1000)
			? "the same"
			: "different");
	}
	printf("at the end: %zd\n", pread(fd, parts, 1000, (off_t)len));
	close(fd);
}

int main(void)
{
	char *base = mmap(NULL, (size_t)MAPPINGS * PAGE, PROT_READ,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int full = 0;

	whole = mmap(NULL, MOST, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	parts = mmap(NULL, MOST, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED || whole == MAP_FAILED || parts == MAP_FAILED)
		die("mmap");
	for (int i = 0; i < MAPPINGS; i += 2)
		if (mprotect(base + (size_t)i * PAGE, PAGE, PROT_NONE))
			die("mprotect");
	same("/proc/self/maps", base);
	for (int i = 0; i < LOOKS; i++) {
		int fd = open("/proc/self/smaps", O_RDONLY);

		full += read(fd, parts, 256) == 256;
		close(fd);
	}
	printf("%d short reads of smaps\n", full);
	return 0;
}
