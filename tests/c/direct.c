/*
 * O_DIRECT: a disk, or a file in its place, moves bytes to and from a program's memory itself. Its cache shows the same
 * bytes before and after, and the memory may be shared, on swap, or go meanwhile.
 * Usage: direct DEVICE (of 4 MiB, of which byte n is n / 512 % 251)
 */
#include "show.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#define SIZE (4L << 20)
#define HALF (SIZE / 2)

static int fd;		/* with O_DIRECT */
static int cached;	/* without */
static char *map;	/* shared */

static char *fresh(long len)
{
	char *p = mmap(NULL, (size_t)len, RW, ANON, -1, 0);

	need(p != MAP_FAILED);
	return p;
}

static int is_first(long at)
{
	return at / 512 % 251;
}

/* Whether memory holds what the device held at first from an offset on. */
static int holds_first(const char *p, long at, long len)
{
	for (long i = 0; i < len; i++)
		if ((unsigned char)p[i] != is_first(at + i))
			return 0;
	return 1;
}

static int holds(const char *p, char c, long len)
{
	for (long i = 0; i < len; i++)
		if (p[i] != c)
			return 0;
	return 1;
}

static void refused(void)
{
	char *p = fresh(4 * PAGE), *read_only = fresh(PAGE);

	need(mprotect(read_only, PAGE, PROT_READ) == 0);
	show("odd offset", pread(fd, p, 512, 100));
	show("odd length", pread(fd, p, 100, 0));
	/* Of a file on Linux it depends on the disk below. */
	struct stat st;
	need(fstat(fd, &st) == 0);
	if (S_ISBLK(st.st_mode))
		need(pread(fd, p + 8, 512, 0) == -1 && errno == EINVAL);
	show("odd write", pwrite(fd, p, 513, 0));
	show("nothing", pread(fd, p, 0, 0));
	show("into no memory", pread(fd, (char *)PAGE, PAGE, 0));
	show("into what may be read only", pread(fd, read_only, PAGE, 0));
	show("from no memory", pwrite(fd, (char *)PAGE, PAGE, 0));
	need(munmap(p + 2 * PAGE, PAGE) == 0);
	show("into a hole", pread(fd, p + 2 * PAGE, PAGE, 0));
	show("char device", open("/dev/null", O_RDWR | O_DIRECT));
	show("directory", open("/", O_RDONLY | O_DIRECT));
	int null = open("/dev/zero", O_RDONLY);
	show("char device, later", fcntl(null, F_SETFL, O_DIRECT));
	close(null);
}

/* Direct and cached, and the mapping, see what each other wrote. */
static void coherent(void)
{
	char *p = fresh(SIZE);

	show("read all", pread(fd, p, SIZE, 0));
	say("as it was: %d", holds_first(p, 0, SIZE));
	show("a sector, askew", pread(fd, p + 1024, 512, 5 * 512));
	say("as it was: %d", holds_first(p + 1024, 5 * 512, 512));
	show("end", pread(fd, p, 4 * PAGE, SIZE - PAGE));
	show("beyond", pread(fd, p, PAGE, SIZE));

	/* Dirty in the cache. */
	need(pwrite(cached, "by write", 8, 8 * PAGE) == 8);
	memset(map + 9 * PAGE, 'm', PAGE);
	show("read", pread(fd, p, 2 * PAGE, 8 * PAGE));
	say("by write: %d, by map: %d", memcmp(p, "by write", 8) == 0,
	    holds(p + PAGE, 'm', PAGE));

	/* What is cached and mapped changes. */
	need(map[20 * PAGE] == (char)is_first(20 * PAGE));
	memset(p, 'd', 3 * PAGE);
	show("write", pwrite(fd, p, 2 * PAGE + 512, 20 * PAGE));
	say("mapped: %d", holds(map + 20 * PAGE, 'd', 2 * PAGE + 512));
	say("behind it: %d", holds_first(map + 22 * PAGE + 512,
	    22 * PAGE + 512, PAGE));
	need(pread(cached, p, PAGE, 21 * PAGE) == PAGE);
	say("read: %d", holds(p, 'd', PAGE));

	/* Half of a page is dirty, the other is written. */
	memset(map + 30 * PAGE, 'x', 100);
	memset(p, 'y', PAGE);
	show("write beside", pwrite(fd, p, 2048, 30 * PAGE + 2048));
	say("both: %d", holds(map + 30 * PAGE, 'x', 100) &&
	    holds(map + 30 * PAGE + 2048, 'y', 2048));

	/* From pages that were never touched, and from a mapping of the file. */
	show("zeros", pwrite(fd, fresh(4 * PAGE), 4 * PAGE, 40 * PAGE));
	say("zeros: %d", holds(map + 40 * PAGE, 0, 4 * PAGE));
	show("from the map", pwrite(fd, map + 20 * PAGE, PAGE, 50 * PAGE));
	say("copied: %d", holds(map + 50 * PAGE, 'd', PAGE));
	show("into the map", pread(fd, map + 51 * PAGE, PAGE, 20 * PAGE));
	say("copied: %d", holds(map + 51 * PAGE, 'd', PAGE));
	need(munmap(p, SIZE) == 0);
}

/* Pages that have left memory are brought back for it. */
static void paged_out(void)
{
	char *p = fresh(64 * PAGE);

	memset(p, 's', 64 * PAGE);
	need(madvise(p, 64 * PAGE, 21) == 0);
	show("write", pwrite(fd, p, 64 * PAGE, 100 * PAGE));
	say("written: %d", holds(map + 100 * PAGE, 's', 64 * PAGE));
	need(madvise(p, 64 * PAGE, 21) == 0);
	show("read", pread(fd, p, 32 * PAGE, 200 * PAGE));
	say("read: %d, beside: %d", holds_first(p, 200 * PAGE, 32 * PAGE),
	    holds(p + 32 * PAGE, 's', 32 * PAGE));
}

/* A child's memory is its own: what it has at its start stays. */
static void forked(void)
{
	char *p = fresh(HALF);
	pid_t pid;

	memset(p, 'f', HALF);
	pid = fork();
	if (pid == 0) {
		show("in the child", pread(fd, p, PAGE, HALF));
		_exit(!holds_first(p, HALF, PAGE));
	}
	reap("child", pid);
	say("the parent's: %d", holds(p, 'f', PAGE));
	show("in the parent", pread(fd, p, HALF, HALF));
	say("read: %d", holds_first(p, HALF, HALF));
}

static char *target;
static volatile int stop;

static void *reader(void *arg)
{
	while (!stop)
		if (pread(fd, target, HALF, HALF) < 0)
			break;
	return arg;
}

/* The same while the device is at work: nothing comes to the child's memory any more. */
static void forked_meanwhile(void)
{
	pthread_t thread;
	int good = 0;

	target = fresh(HALF);
	need(pthread_create(&thread, NULL, reader, NULL) == 0);
	for (int round = 0; round < 20; round++) {
		memset(target, round, HALF);
		pid_t pid = fork();
		if (pid == 0) {
			char *copy = fresh(HALF);
			memcpy(copy, target, HALF);
			usleep(2000);
			_exit(memcmp(copy, target, HALF) != 0);
		}
		int status;
		need(waitpid(pid, &status, 0) == pid);
		good += status == 0;
	}
	stop = 1;
	need(pthread_join(thread, NULL) == 0);
	say("unchanged: %d", good);
	show("read", pread(fd, target, HALF, HALF));
	say("read: %d", holds_first(target, HALF, HALF));
}

/* Memory goes while the device fills it; whoever gets the frames next has his own bytes. */
static void unmapped_meanwhile(void)
{
	pthread_t thread;
	int good = 1;

	for (int round = 0; round < 20; round++) {
		stop = 0;
		target = fresh(HALF);
		need(pthread_create(&thread, NULL, reader, NULL) == 0);
		if (round % 2)
			usleep(1000);
		need(munmap(target, HALF) == 0);
		char *other = fresh(HALF);
		/* Where the reader still is. */
		if (other == target)
			other = fresh(HALF);
		memset(other, round, HALF);
		stop = 1;
		need(pthread_join(thread, NULL) == 0);
		good &= holds(other, (char)round, HALF);
		munmap(other, HALF);
	}
	say("others' memory: %d", good);
}

int main(int argc, char **argv)
{
	need(argc == 2);
	fd = open(argv[1], O_RDWR | O_DIRECT);
	cached = open(argv[1], O_RDWR);
	need(fd >= 0 && cached >= 0);
	say("flag: %d, %d", (fcntl(fd, F_GETFL) & O_DIRECT) != 0,
	    (fcntl(cached, F_GETFL) & O_DIRECT) != 0);
	map = mmap(NULL, SIZE, RW, MAP_SHARED, cached, 0);
	need(map != MAP_FAILED);
	refused();
	coherent();
	paged_out();
	forked();
	forked_meanwhile();
	unmapped_meanwhile();
	need(fsync(cached) == 0);
	return 0;
}
