/*
 * One cache: what write(2) writes every mapping sees at once, what is stored
 * through a mapping read(2) reads, also where the file had a hole, has just
 * grown, or lost its name.
 */
#include "show.h"
#include <fcntl.h>

#define FILE_PAGES 8L

/* Shows the first bytes of a page as read(2) and each mapping see them. */
static void everywhere(const char *what, int fd, const char *shared,
    const char *again, const char *private, long page)
{
	char bytes[9] = { 0 };

	need(pread(fd, bytes, 8, page * PAGE) == 8);
	say("%s: read %s, shared %.8s, again %.8s, private %.8s", what,
	    bytes[0] ? bytes : "nothing",
	    shared[page * PAGE] ? shared + page * PAGE : "nothing",
	    again[page * PAGE] ? again + page * PAGE : "nothing",
	    private[page * PAGE] ? private + page * PAGE : "nothing");
}

int main(void)
{
	char name[] = "/tmp/onecache-XXXXXX";
	char *shared, *again, *private;
	int fd, other, sum = 0;
	pid_t pid;

	need((fd = mkstemp(name)) >= 0);
	need((other = open(name, O_RDWR)) >= 0);
	need(ftruncate(fd, FILE_PAGES * PAGE) == 0);
	shared = mmap(NULL, 2 * FILE_PAGES * PAGE, RW, MAP_SHARED, fd, 0);
	again = mmap(NULL, FILE_PAGES * PAGE, PROT_READ, MAP_SHARED, other, 0);
	private = mmap(NULL, FILE_PAGES * PAGE, RW, MAP_PRIVATE, fd, 0);
	need(shared != MAP_FAILED && again != MAP_FAILED &&
	    private != MAP_FAILED);

	everywhere("a hole", fd, shared, again, private, 0);
	need(pwrite(other, "written!", 8, 0) == 8);
	everywhere("written", fd, shared, again, private, 0);
	memcpy(shared, "stored!!", 8);
	everywhere("stored", other, shared, again, private, 0);
	memcpy(shared + 3 * PAGE, "in hole.", 8);
	everywhere("stored to a hole", other, shared, again, private, 3);
	need(pwrite(fd, "over it!", 8, 3 * PAGE) == 8);
	everywhere("written over it", other, shared, again, private, 3);
	memcpy(private + 3 * PAGE, "private!", 8);
	everywhere("stored privately", fd, shared, again, private, 3);
	need(pwrite(fd, "shared..", 8, 3 * PAGE) == 8);
	everywhere("written after that", fd, shared, again, private, 3);

	/* A child stores, the parent reads, and the reverse. */
	if ((pid = fork()) == 0) {
		memcpy(shared + 5 * PAGE, "by child", 8);
		_exit(pwrite(fd, "by child", 8, 6 * PAGE) != 8);
	}
	reap("child", pid);
	everywhere("stored by a child", fd, shared, again, private, 5);
	everywhere("written by a child", fd, shared, again, private, 6);

	/* Behind the end, which moves. */
	catch_faults();
	look("behind the end", shared, FILE_PAGES * PAGE);
	need(pwrite(fd, "x", 1, FILE_PAGES * PAGE + 100) == 1);
	look("grown by write", shared, FILE_PAGES * PAGE + 100);
	put("stored there", shared, FILE_PAGES * PAGE + 50, 'y');
	put("beyond the end, in the page", shared, FILE_PAGES * PAGE + 200, 1);
	need(ftruncate(fd, FILE_PAGES * PAGE + 50) == 0);
	look("cut off", shared, FILE_PAGES * PAGE + 50);
	need(ftruncate(fd, FILE_PAGES * PAGE + 300) == 0);
	look("grown again", shared, FILE_PAGES * PAGE + 50);
	look("grown again", shared, FILE_PAGES * PAGE + 200);

	/* The same from user memory that is the file itself. */
	need(pwrite(fd, shared, 2 * PAGE, 4 * PAGE) == 2 * PAGE);
	everywhere("written from itself", fd, shared, again, private, 4);
	need(pread(fd, shared + 7 * PAGE, PAGE, 0) == PAGE);
	everywhere("read to itself", fd, shared, again, private, 7);

	need(fsync(fd) == 0 && msync(shared, FILE_PAGES * PAGE, MS_SYNC) == 0);
	memcpy(shared + 2 * PAGE, "cleaned.", 8);
	everywhere("stored to a clean page", fd, shared, again, private, 2);
	need(fdatasync(other) == 0 && close(other) == 0);
	need(unlink(name) == 0);
	memcpy(shared + PAGE, "nameless", 8);
	everywhere("without a name", fd, shared, again, private, 1);
	need(close(fd) == 0);
	for (long at = 0; at < FILE_PAGES * PAGE; at++)
		sum += shared[at];
	say("only mapped: %d", sum);
	return 0;
}
