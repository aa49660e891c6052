/*
 * Maps a disk, or a file in its place, shared; writes patterns from two
 * processes, and syncs. What was synced is then in the file; with "hold", the
 * program stays, so that nothing but msync can have put it there.
 * Usage: devmsync DEVICE [hold]
 */
#include "show.h"
#include <fcntl.h>

#define MIB (1L << 20)

int main(int argc, char **argv)
{
	char *p, *private, back[16] = { 0 };
	long sum = 0;
	pid_t pid;
	int fd;

	need(argc >= 2);
	fd = open(argv[1], O_RDWR);
	need(fd >= 0);
	catch_faults();
	say("size: %ld", (long)lseek(fd, 0, SEEK_END));
	p = mmap(NULL, 8 * MIB, RW, MAP_SHARED, fd, 0);
	private = mmap(NULL, 8 * MIB, RW, MAP_PRIVATE, fd, 0);
	need(p != MAP_FAILED && private != MAP_FAILED);
	for (long i = 0; i < 8 * MIB; i++)
		sum += (unsigned char)p[i];
	say("sum: %ld", sum);
	private[3 * MIB] = 99;		/* must not arrive */

	/* read(2), write(2) and the mapping are one. */
	need(pwrite(fd, "by write", 8, 6 * MIB + 5) == 8);
	look("written", p, 6 * MIB + 5);
	memcpy(p + 6 * MIB + 100, "by map", 6);
	need(pread(fd, back, 6, 6 * MIB + 100) == 6);
	say("read back: %s", back);
	look("private sees it", private, 6 * MIB + 100);
	look("private keeps its own", private, 3 * MIB);

	/* A few bytes of some pages, whole pages, the last byte. */
	for (long i = 0; i < MIB; i += 3 * PAGE)
		memset(p + i + 100, (int)(i / PAGE), 50);
	memset(p + 2 * MIB, 'm', 64 * PAGE);
	p[8 * MIB - 1] = 'z';
	show("msync", msync(p, 8 * MIB, MS_SYNC));

	/* A child writes through its own copy of the mapping. */
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		memset(p + 4 * MIB, 'c', 3 * PAGE);
		memset(p + 2 * MIB, 'C', PAGE);
		show("child's msync", msync(p + 2 * MIB, 4 * MIB, MS_SYNC));
		_exit(0);
	}
	reap("child", pid);
	if (argc > 2) {
		say("holding");
		for (;;)
			pause();
	}
	show("fsync", fsync(fd));
	show("unmap", munmap(p, 8 * MIB));
	show("close", close(fd));
	return 0;
}
