/* What /proc/PID/smaps tells of a mapping, and clear_refs. */
#include "show.h"

#include <fcntl.h>

#define PAGES 8

static char text[1 << 20];

/* The text of a file of /proc/self. */
static long slurp(const char *name)
{
	int fd = open(name, O_RDONLY);
	long len = 0, more;

	need(fd >= 0);
	while ((more = read(fd, text + len, sizeof text - 1 - (size_t)len)) > 0)
		len += more;
	text[len] = 0;
	close(fd);
	return len;
}

/* The lines about the mapping at an address: the fields that are named, in KiB. */
static void tell(const char *what, const char *at, const char *fields)
{
	char head[32], line[512] = "", name[32];
	const char *here;
	int skip;

	slurp("/proc/self/smaps");
	snprintf(head, sizeof head, "%08lx-", (unsigned long)at);
	here = strstr(text, head);
	need(here != NULL);
	for (; sscanf(fields, " %31s%n", name, &skip) == 1; fields += skip) {
		const char *field = here;
		long kib;

		do {
			field = strstr(field, name);
			need(field != NULL);
			field += strlen(name);
		} while (*field != ':');
		need(sscanf(field, ": %ld", &kib) == 1);
		snprintf(line + strlen(line), sizeof line - strlen(line),
		    " %s %ld", name, kib);
	}
	say("%s:%s", what, line);
}

/* Those flags that do not depend on how the kernel was built. */
static void tell_flags(const char *what, const char *at)
{
	static const char *const known[] = { "rd", "wr", "ex", "sh", "mr", "mw",
	    "me", "ms", "lo", "sr", "rr", "dc", "wf", "dd" };
	char head[32], line[512] = "", *flags, *end;

	slurp("/proc/self/smaps");
	snprintf(head, sizeof head, "%08lx-", (unsigned long)at);
	flags = strstr(strstr(text, head), "VmFlags: ");
	end = strchr(flags, '\n');
	*end = 0;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		char word[8];

		snprintf(word, sizeof word, " %s ", known[i]);
		if (strstr(flags, word) != NULL)
			strcat(line, word);
	}
	say("%s:%s", what, line);
}

/* Memory with nothing beside it that could be the same mapping. */
static char *apart(int prot, int flags, int fd)
{
	char *at = mmap(0, (PAGES + 2) * PAGE, PROT_NONE, ANON, -1, 0);

	need(at != MAP_FAILED);
	need(mmap(at + PAGE, PAGES * PAGE, prot, flags | MAP_FIXED, fd, 0) ==
	    at + PAGE);
	return at + PAGE;
}

static const char memory[] =
    "Size KernelPageSize MMUPageSize Rss Pss Pss_Dirty Shared_Clean "
    "Shared_Dirty Private_Clean Private_Dirty Anonymous Swap SwapPss "
    "Locked";

static void private_memory(void)
{
	char *a = apart(RW, ANON, -1), byte = 0;
	int go[2], here[2];
	pid_t pid;

	tell("fresh", a, memory);
	memset(a, 1, 4 * PAGE);
	tell("written", a, memory);
	show("free", madvise(a, PAGE, MADV_FREE));
	tell("given up", a, memory);
	a[0] = 2;
	tell("written again", a, memory);
	need(pipe(go) == 0 && pipe(here) == 0);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		tell("child", a, memory);
		a[0] = 3;
		tell("child, written", a, memory);
		need(write(here[1], &byte, 1) == 1);
		need(read(go[0], &byte, 1) == 1);
		_exit(0);
	}
	need(read(here[0], &byte, 1) == 1);
	tell("parent", a, memory);
	need(write(go[1], &byte, 1) == 1);
	reap("child", pid);
	tell("alone", a, memory);
	show("lock", mlock(a, PAGES * PAGE));
	tell("locked", a, memory);
}

static void shared_memory(void)
{
	int fd = numbered_file(PAGES * PAGE);
	char *s = apart(RW, MAP_SHARED, fd), *p = apart(RW, MAP_PRIVATE, fd);

	tell("shared, fresh", s, memory);
	s[0] = s[PAGE] = 1;
	tell("shared, written", s, "Size Rss Pss Anonymous LazyFree Swap");
	p[0] = 1;
	tell("private", p, "Size Rss Pss Private_Dirty Anonymous");
}

static void flags(void)
{
	int fd = numbered_file(PAGES * PAGE);
	char *a = apart(RW, ANON, -1);

	tell_flags("memory", a);
	tell_flags("read only", apart(PROT_READ, ANON, -1));
	tell_flags("no access", apart(PROT_NONE, MAP_SHARED, fd));
	tell_flags("code", apart(PROT_READ | PROT_EXEC, ANON, -1));
	tell_flags("shared", apart(RW, MAP_SHARED, fd));
	need(madvise(a, PAGES * PAGE, MADV_DONTFORK) == 0);
	need(madvise(a, PAGES * PAGE, MADV_DONTDUMP) == 0);
	need(madvise(a, PAGES * PAGE, MADV_RANDOM) == 0);
	tell_flags("not for forks and dumps", a);
	need(madvise(a, PAGES * PAGE, MADV_DOFORK) == 0);
	need(madvise(a, PAGES * PAGE, MADV_DODUMP) == 0);
	need(madvise(a, PAGES * PAGE, MADV_WIPEONFORK) == 0);
	need(madvise(a, PAGES * PAGE, MADV_SEQUENTIAL) == 0);
	tell_flags("to be wiped", a);
	need(mlock(a, PAGES * PAGE) == 0);
	tell_flags("locked", a);
}

static void write_refs(const char *what, const char *number)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);

	need(fd >= 0);
	show(what, write(fd, number, strlen(number)));
	close(fd);
}

static void clear_refs(void)
{
	int fd = numbered_file(PAGES * PAGE);
	volatile char *a = apart(RW, ANON, -1), *f = apart(RW, MAP_SHARED, fd);

	for (int i = 0; i < PAGES; i++)
		a[i * PAGE] = f[i * PAGE] = 1;
	tell("memory, used", (char *)a, "Referenced");
	tell("a file, used", (char *)f, "Referenced");
	write_refs("forget memory", "2");
	tell("memory", (char *)a, "Referenced");
	tell("a file", (char *)f, "Referenced");
	write_refs("forget files", "3\n");
	tell("memory", (char *)a, "Referenced");
	tell("a file", (char *)f, "Referenced");
	write_refs("forget all", "1");
	tell("memory", (char *)a, "Referenced Rss");
	write_refs("the most", "5");
	write_refs("0", "0");
	write_refs("6", "6");
	write_refs("a word", "x");
}

/* The names of the fields, one line each. */
static void names(const char *what, const char *file)
{
	say("%s", what);
	slurp(file);
	for (char *line = strtok(strchr(text, '\n'), "\n"); line != NULL;
	    line = strtok(NULL, "\n")) {
		char *end = strchr(line, ':');

		/* The next mapping; and what not every kernel tells. */
		if (end == NULL || strchr(line, '-') < end)
			if (strchr(line, '-') != NULL)
				break;
		if (strncmp(line, "KSM", 3) == 0 ||
		    strncmp(line, "ProtectionKey", 13) == 0)
			continue;
		if (end != NULL)
			*end = 0;
		say("  %s", line);
	}
}

static void status(void)
{
	long rss = -1, anon = -1, file = -1, shmem = -1, hwm = -1;

	slurp("/proc/self/status");
	sscanf(strstr(text, "VmHWM:"), "VmHWM: %ld", &hwm);
	sscanf(strstr(text, "VmRSS:"), "VmRSS: %ld", &rss);
	sscanf(strstr(text, "RssAnon:"), "RssAnon: %ld", &anon);
	sscanf(strstr(text, "RssFile:"), "RssFile: %ld", &file);
	sscanf(strstr(text, "RssShmem:"), "RssShmem: %ld", &shmem);
	say("a sum: %d, above none: %d, some: %d%d", rss == anon + file + shmem,
	    hwm >= rss, anon > 0, file >= 0);
}

int main(void)
{
	private_memory();
	shared_memory();
	flags();
	clear_refs();
	names("smaps", "/proc/self/smaps");
	names("rollup", "/proc/self/smaps_rollup");
	status();
	return 0;
}
