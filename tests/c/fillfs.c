/*
 * Fills the file system in which it is started, by write(2) and by stores to
 * holes, and shows that nothing is lost: what was said to be written is there,
 * and what was given back can be used again.
 */
#include "show.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define CHUNK (64 * 1024L)

static char chunk[CHUNK];

/* Writes to a file until that fails; the bytes that were written. */
static long fill(int fd)
{
	long done = 0, count;

	for (;;) {
		memset(chunk, (int)(done / CHUNK % 251 + 1), CHUNK);
		count = write(fd, chunk, CHUNK);
		if (count < 0)
			break;
		done += count;
	}
	show("full", count);
	return done;
}

/* Whether a file has these bytes. */
static int is_whole(int fd, long size)
{
	long at = 0, count;

	while ((count = pread(fd, chunk, CHUNK, at)) > 0) {
		for (long i = 0; i < count; i++)
			if (chunk[i] != (char)((at + i) / CHUNK % 251 + 1))
				return 0;
		at += count;
	}
	return count == 0 && at == size && lseek(fd, 0, SEEK_END) == size;
}

static long free_blocks(void)
{
	struct statfs status;

	need(statfs(".", &status) == 0);
	return (long)status.f_bfree;
}

int main(void)
{
	int big, hole, small, once_more;
	long first, second;
	char *map;

	catch_faults();
	hole = open("hole", O_RDWR | O_CREAT, 0600);
	small = open("small", O_RDWR | O_CREAT | O_APPEND, 0600);
	big = open("big", O_RDWR | O_CREAT, 0600);
	need(hole >= 0 && small >= 0 && big >= 0);
	need(ftruncate(hole, 1 << 20) == 0);
	need(write(small, "before", 6) == 6);
	map = mmap(NULL, 1 << 20, RW, MAP_SHARED, hole, 0);
	need(map != MAP_FAILED);
	put("a hole", map, 0, 'a');

	first = fill(big);
	say("whole: %d", is_whole(big, first));
	say("free: %ld", free_blocks());
	put("a page that has a block", map, 1, 'b');
	put("a hole, and the disk is full", map, 512 * 1024, 'c');
	show("write to an old block", write(small, " and after", 10));
	show("write to a hole", pwrite(hole, "d", 1, 768 * 1024));
	show("fallocate", posix_fallocate(small, 0, 1 << 20) == ENOSPC);
	say("small: %ld", (long)lseek(small, 0, SEEK_END));
	show("mkdir", mkdir("dir", 0700));
	need(fsync(big) == 0 && fsync(hole) == 0 && fsync(small) == 0);

	show("unlink", unlink("big"));
	say("still whole: %d", is_whole(big, first));
	show("still full", pwrite(hole, "d", 1, 768 * 1024));
	show("close", close(big));
	put("a hole again", map, 512 * 1024, 'c');
	show("write to a hole again", pwrite(hole, "d", 1, 768 * 1024));
	show("mkdir again", mkdir("dir", 0700));

	once_more = open("dir/more", O_RDWR | O_CREAT, 0600);
	need(once_more >= 0);
	second = fill(once_more);
	say("whole: %d, as much: %d", is_whole(once_more, second),
	    second > first - 16 * PAGE && second <= first);
	show("truncate", ftruncate(once_more, 5000));
	show("sync", fsync(once_more));
	need(munmap(map, 1 << 20) == 0);
	return 0;
}
