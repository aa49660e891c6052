/*
 * What was written to a pipe or a socket is what the reader finds, whatever the writer does
 * with its buffer afterwards: NetBSD's `loan`, for private and shared mappings,
 * and some ways to give up or copy the buffer.
 */
#include "show.h"

#include <sys/socket.h>

#define LEN (32L * 1024)

static char *buffer(int flags, long len, char first)
{
	char *memory = mmap(NULL, (size_t)len, RW, flags, -1, 0);

	need(memory != MAP_FAILED);
	for (long at = 0; at < len; at++)
		memory[at] = (char)(first + at / PAGE + at % 251);
	return memory;
}

/* Reads len bytes and says whether they are what buffer() made. */
static void check(const char *what, int fd, long len, char first)
{
	static char bytes[1 << 20];
	long got = 0, wrong = 0;

	while (got < len) {
		long part = read(fd, bytes + got, (size_t)(len - got));

		need(part > 0);
		got += part;
	}
	for (long at = 0; at < len; at++)
		wrong += bytes[at] != (char)(first + at / PAGE + at % 251);
	say("%s: %ld bytes, %ld wrong", what, got, wrong);
}

static void overwritten(int flags, const char *kind, int sockets)
{
	char *memory = buffer(flags, LEN, 3);
	char what[64];
	int fds[2];

	need((sockets ? socketpair(AF_UNIX, SOCK_STREAM, 0, fds) : pipe(fds)) ==
	    0);
	snprintf(what, sizeof what, "overwritten, %s", kind);
	need(write(fds[1], memory, LEN) == LEN);
	memset(memory, 'x', LEN);
	check(what, fds[0], LEN, 3);
	munmap(memory, LEN);
	close(fds[0]);
	close(fds[1]);
}

/* More than the pipe holds, so that the writer waits. */
static void large(int flags, const char *kind)
{
	long len = 512 * 1024;
	char *memory = buffer(flags, len, 9);
	char what[64];
	int fds[2];
	pid_t child;

	need(pipe(fds) == 0);
	child = fork();
	need(child >= 0);
	if (child == 0) {
		char *own = buffer(flags, len, 9);

		close(fds[0]);
		need(write(fds[1], own, (size_t)len) == len);
		memset(own, 'x', (size_t)len);
		need(write(fds[1], own, 5) == 5);
		_exit(0);
	}
	close(fds[1]);
	snprintf(what, sizeof what, "large, %s", kind);
	check(what, fds[0], len, 9);
	need(read(fds[0], memory, 10) == 5);
	say("and then: %.5s", memory);
	reap("writer", child);
	munmap(memory, (size_t)len);
	close(fds[0]);
}

/* A writer whose buffer begins at an odd place, or ends in a hole. */
static void odd(const char *what, long start, long len)
{
	char *memory = buffer(ANON, 256 * 1024, 0);
	int fds[2];
	pid_t child;
	long wrong = 0, got, part;
	char bytes[5000];

	need(mprotect(memory + 20 * PAGE, 4 * PAGE, PROT_READ) == 0);
	need(munmap(memory + 60 * PAGE, PAGE) == 0);
	need(pipe(fds) == 0);
	child = fork();
	need(child >= 0);
	if (child == 0) {
		close(fds[0]);
		say("%s: written: %ld", what, (long)write(fds[1],
		    memory + start, (size_t)len));
		_exit(0);
	}
	close(fds[1]);
	for (got = 0; (part = read(fds[0], bytes, sizeof bytes)) > 0;
	    got += part)
		for (long at = 0; at < part; at++) {
			long place = start + got + at;

			wrong += bytes[at] != (char)(place / PAGE +
			    place % 251);
		}
	say("%s: read: %ld, %ld wrong", what, got, wrong);
	reap("writer", child);
	munmap(memory, 256 * 1024);
	close(fds[0]);
}

static void given_up(void)
{
	char *memory = buffer(ANON, LEN, 1);
	int fds[2];
	pid_t child;

	need(pipe(fds) == 0);
	need(write(fds[1], memory, LEN) == LEN);
	munmap(memory, LEN);
	check("unmapped", fds[0], LEN, 1);

	memory = buffer(ANON, LEN, 2);
	need(write(fds[1], memory, LEN) == LEN);
	need(madvise(memory, LEN, MADV_DONTNEED) == 0);
	check("discarded", fds[0], LEN, 2);
	look("discarded", memory, 0);
	munmap(memory, LEN);

	memory = buffer(ANON, LEN, 4);
	need(write(fds[1], memory, LEN) == LEN);
	child = fork();
	need(child >= 0);
	if (child == 0) {
		memset(memory, 'c', LEN);
		_exit(0);
	}
	memset(memory, 'p', LEN);
	reap("child", child);
	check("forked and written by both", fds[0], LEN, 4);
	munmap(memory, LEN);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	catch_faults();
	overwritten(ANON, "private", 0);
	overwritten(MAP_SHARED | MAP_ANONYMOUS, "shared", 0);
	overwritten(ANON, "private, by a socket", 1);
	overwritten(MAP_SHARED | MAP_ANONYMOUS, "shared, by a socket", 1);
	large(ANON, "private");
	large(MAP_SHARED | MAP_ANONYMOUS, "shared");
	odd("from the middle of a page", 100, 50 * PAGE + 17);
	odd("up to a hole", 2 * PAGE, 61 * PAGE);
	odd("up to a hole, less than a pipe holds", 55 * PAGE, 7 * PAGE);
	given_up();
	return 0;
}
