/* What posix_fadvise refuses and takes, by the names of NetBSD's test. */
#include "show.h"

#include <fcntl.h>

static const int advices[] = { POSIX_FADV_NORMAL, POSIX_FADV_RANDOM,
    POSIX_FADV_SEQUENTIAL, POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED,
    POSIX_FADV_NOREUSE };

static void advise(const char *what, int fd, off_t at, off_t len, int advice)
{
	int error;

	errno = 77;
	error = posix_fadvise(fd, at, len, advice);
	say("%s, advice %d: %s, errno %d", what, advice,
	    error == 0 ? "ok" : error_name(error), errno);
}

static void all(const char *what, int fd, off_t at, off_t len)
{
	for (int i = 0; i < 6; i++)
		advise(what, fd, at, len, advices[i]);
}

int main(void)
{
	const off_t end = (off_t)(~0UL >> 1);
	int file = numbered_file(4 * PAGE), pipes[2];
	int device = open("/dev/zero", O_RDWR), null = open("/dev/null", O_RDWR);
	char byte;

	need(pipe(pipes) == 0 && device >= 0 && null >= 0);
	advise("posix_fadvise_badfd", -1, 0, 0, POSIX_FADV_NORMAL);
	advise("posix_fadvise_badfd", 987, 0, 0, POSIX_FADV_NORMAL);
	advise("posix_fadvise_badadvice", file, 0, 0, 6);
	advise("posix_fadvise_badadvice", file, 0, 0, -1);
	advise("posix_fadvise_badadvice", device, 0, 0, 12345);
	advise("posix_fadvise_pipe", pipes[0], 0, 0, POSIX_FADV_NORMAL);
	advise("posix_fadvise_pipe, bad advice", pipes[1], 0, 0, 99);
	advise("a negative length", file, 0, -1, POSIX_FADV_NORMAL);
	all("posix_fadvise_reg", file, 0, 0);
	all("posix_fadvise_reg, a part", file, PAGE, 2 * PAGE);
	all("posix_fadvise_reg, the end", file, end, end);
	all("posix_fadvise_reg, before it", file, -PAGE, PAGE);
	all("posix_fadvise_device", device, 0, 0);
	all("posix_fadvise_device, the end", null, end, end);
	need(pread(file, &byte, 1, 2 * PAGE) == 1);
	say("what was not needed is still there: %d", byte);
	show("readahead", readahead(file, 0, PAGE));
	show("readahead of a pipe", readahead(pipes[0], 0, PAGE));
	show("readahead of a device", readahead(null, 0, PAGE));
	show("readahead of nothing", readahead(-1, 0, PAGE));
	return 0;
}
