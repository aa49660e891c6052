/* What mincore tells, by the names of NetBSD's test. */
#include "show.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#define PAGES 8
#define LEN (PAGES * PAGE)

static void resident(const char *what, char *at, long len)
{
	unsigned char in[PAGES];
	char line[PAGES + 1] = "";

	if (mincore(at, (size_t)len, in) == -1) {
		say("%s: %s", what, error_name(errno));
		return;
	}
	for (long i = 0; i < (len + PAGE - 1) / PAGE; i++)
		line[i] = in[i] & 1 ? '1' : '0';
	say("%s: %s", what, line);
}

static void err(void)
{
	char *a = mmap(0, LEN, RW, ANON, -1, 0);
	unsigned char in[PAGES];

	show("odd", mincore(a + 1, PAGE, in));
	show("no vector", mincore(a, LEN, (void *)8));
	show("kernel's vector", mincore(a, LEN, (void *)-1));
	show("wraps", mincore(a, (size_t)-1, in));
	show("empty", mincore(a, 0, in));
	need(munmap(a + 4 * PAGE, PAGE) == 0);
	show("hole", mincore(a, LEN, in));
	show("not mapped", mincore(a + 4 * PAGE, PAGE, in));
	show("high", mincore((void *)0x7ffffffff000, 2 * PAGE, in));
	resident("part of a page", a, 2 * PAGE + 1);
}

static void resid(void)
{
	int fd = numbered_file(LEN);
	char *f = mmap(0, LEN, PROT_READ, MAP_SHARED, fd, 0);
	char *p = mmap(0, LEN, RW, MAP_PRIVATE, fd, 0);
	char *a = mmap(0, LEN, RW, ANON, -1, 0);
	char *n;

	resident("a file, never touched", f, LEN);
	resident("the same, private", p, LEN);
	show("lock", mlock(f, LEN));
	resident("locked", f, LEN);
	resident("fresh", a, LEN);
	a[0] = a[3 * PAGE] = 1;
	resident("written", a, LEN);
	show("lock", mlock(a, LEN));
	resident("locked", a, LEN);
	show("unlock", munlock(a, LEN));
	show("free", madvise(a, PAGE, MADV_FREE));
	resident("given up", a, PAGE);
	show("dontneed", madvise(a + PAGE, 2 * PAGE, MADV_DONTNEED));
	resident("not needed", a, LEN);
	show("remap", (long)(mremap(a, LEN, LEN / 2, 0) == a));
	resident("no access", mmap(0, LEN, PROT_NONE, ANON, -1, 0), LEN);

	show("lock what comes", mlockall(MCL_FUTURE));
	resident("comes", mmap(0, LEN, RW, ANON, -1, 0), LEN);
	n = mmap(0, LEN, PROT_NONE, ANON, -1, 0);
	resident("comes, no access", n, LEN);
	show("unlock all", munlockall());
	a = mmap(0, LEN, RW, ANON, -1, 0);
	resident("there before all is locked", a, LEN);
	show("lock all", mlockall(MCL_CURRENT | MCL_FUTURE));
	resident("locked with all", a, LEN);
	resident("comes", mmap(0, LEN, RW, ANON, -1, 0), LEN);
	show("unlock all", munlockall());
	resident("fresh again", mmap(0, LEN, RW, ANON, -1, 0), LEN);
}

static void shmseg(const char *kind, char *s)
{
	pid_t pid;

	say("-- %s", kind);
	need(s != MAP_FAILED);
	resident("fresh", s, LEN);
	s[2 * PAGE] = 1;
	resident("touched", s, LEN);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		s[5 * PAGE] = 1;
		_exit(0);
	}
	reap("child", pid);
	resident("touched by a child", s, LEN);
	for (int i = 0; i < PAGES; i++)
		s[i * PAGE] = 1;
	resident("all touched", s, LEN);
	show("dontneed", madvise(s, LEN, MADV_DONTNEED));
	resident("not mapped, but there", s, LEN);
}

int main(void)
{
	int id = shmget(IPC_PRIVATE, LEN, 0600);

	need(id >= 0);
	err();
	resid();
	shmseg("a segment", shmat(id, NULL, 0));
	need(shmctl(id, IPC_RMID, NULL) == 0);
	shmseg("shared memory", mmap(0, LEN, RW, MAP_SHARED | MAP_ANONYMOUS,
	    -1, 0));
	return 0;
}
