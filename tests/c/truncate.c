/*
 * Mapped files that grow and shrink: what lies beyond the end gives SIGBUS,
 * what comes back is zero, private copies go too.
 */
#include "show.h"
#include <sys/stat.h>

int main(void)
{
	int mem = numbered_file(4 * PAGE);
	char *shared, *private, byte[3] = { 0 };
	struct stat status;
	pid_t pid;

	catch_faults();
	shared = mmap(NULL, 8 * PAGE, RW, MAP_SHARED, mem, 0);
	private = mmap(NULL, 8 * PAGE, RW, MAP_PRIVATE, mem, 0);
	need(shared != MAP_FAILED && private != MAP_FAILED);
	look("last byte", shared, 4 * PAGE - 1);
	look("beyond", shared, 4 * PAGE);
	put("beyond", shared, 4 * PAGE + 9, 1);
	look("beyond, private", private, 5 * PAGE);
	put("private copy", private, 3 * PAGE, 44);
	put("private copy", private, PAGE, 42);

	show("shrink", ftruncate(mem, PAGE + 100));
	look("kept", shared, PAGE + 99);
	look("tail of the last page", shared, PAGE + 100);
	look("cut off", shared, 2 * PAGE);
	look("cut off, private copy", private, 3 * PAGE);
	look("kept, private copy", private, PAGE);
	look("tail, private copy", private, PAGE + 100);

	show("grow", ftruncate(mem, 6 * PAGE));
	look("the tail is zero again", shared, PAGE + 100);
	look("came back zero", shared, 3 * PAGE);
	look("came back zero, private", private, 3 * PAGE);
	put("came back", shared, 5 * PAGE, 6);
	look("seen privately", private, 5 * PAGE);
	look("still beyond", shared, 6 * PAGE);
	need(pread(mem, byte, 3, 5 * PAGE - 1) == 3);
	say("read(2): %d %d %d", byte[0], byte[1], byte[2]);
	need(pwrite(mem, "\x21", 1, 7 * PAGE) == 1);
	look("write(2) grew it", shared, 7 * PAGE);
	need(fstat(mem, &status) == 0);
	say("size: %ld", (long)status.st_size);
	show("negative", ftruncate(mem, -1));
	show("not open", ftruncate(99, 0));

	/* A child's mapping loses its pages as well. */
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		put("child, shared", shared, 0, 12);
		put("child, private", private, 0, 13);
		show("child empties it", ftruncate(mem, 0));
		look("child, shared", shared, 0);
		look("child, private", private, 0);
		_exit(0);
	}
	reap("child", pid);
	look("parent, shared", shared, 0);
	look("parent, private", private, PAGE);
	need(pread(mem, byte, 1, 0) == 0);
	show("grow", ftruncate(mem, PAGE));
	look("zero", shared, 0);
	look("zero", private, 0);

	/* System calls on such memory fail, and nothing worse. */
	show("write from beyond", pwrite(mem, shared + 2 * PAGE, 1, 0));
	show("read to beyond", pread(mem, shared + 2 * PAGE, 1, 0));
	show("unmap", munmap(shared, 8 * PAGE));
	show("unmap", munmap(private, 8 * PAGE));
	return 0;
}
