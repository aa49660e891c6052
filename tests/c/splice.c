/*
 * splice, tee and vmsplice. What a reader finds after the writer's memory or
 * file was changed Linux does not promise: here nothing is changed before it
 * is read.
 */
#include "show.h"

#include <fcntl.h>
#include <sys/uio.h>

#ifndef SPLICE_F_NONBLOCK
#define SPLICE_F_NONBLOCK 2
#define SPLICE_F_GIFT 8
#endif

static long splice_of(int in, off_t *in_at, int out, off_t *out_at, long len,
    unsigned flags)
{
	return syscall(SYS_splice, in, in_at, out, out_at, len, flags);
}

static long tee_of(int in, int out, long len, unsigned flags)
{
	return syscall(SYS_tee, in, out, len, flags);
}

static long vmsplice_of(int fd, const struct iovec *pieces, long count,
    unsigned flags)
{
	return syscall(SYS_vmsplice, fd, pieces, count, flags);
}

static void contents(const char *what, int fd, long len)
{
	static char bytes[20 * PAGE];
	long got = 0, part;
	unsigned sum = 0;

	while (got < len && (part = read(fd, bytes, (size_t)(len - got))) > 0) {
		for (long at = 0; at < part; at++)
			sum = sum * 31 + (unsigned char)bytes[at];
		got += part;
	}
	say("%s: %ld bytes, sum %u", what, got, sum);
}

static void files(void)
{
	int pipes[2], in = numbered_file(5 * PAGE + 123);
	int out = (int)syscall(SYS_memfd_create, "out", 0);
	off_t at = PAGE + 7, to = 100;

	need(out >= 0 && pipe(pipes) == 0 && lseek(in, 0, SEEK_SET) == 0);
	show("from its position", splice_of(in, NULL, pipes[1], NULL, 1000,
	    0));
	show("which moves", lseek(in, 0, SEEK_CUR));
	show("from an offset", splice_of(in, &at, pipes[1], NULL, 2 * PAGE,
	    0));
	say("which moves: %ld", (long)at);
	show("the position stays", lseek(in, 0, SEEK_CUR));
	show("to a file", splice_of(pipes[0], NULL, out, NULL, 300, 0));
	show("to an offset", splice_of(pipes[0], NULL, out, &to, 3000, 0));
	say("which moves: %ld", (long)to);
	show("size", lseek(out, 0, SEEK_END));
	contents("the rest", pipes[0], 1000 + 2 * PAGE - 3300);
	need(lseek(out, 0, SEEK_SET) == 0);
	contents("the file", out, 5000);
	show("all that is left", splice_of(in, NULL, pipes[1], NULL, 1 << 20,
	    0));
	show("at the end", splice_of(in, NULL, pipes[1], NULL, 100, 0));
	contents("it", pipes[0], 5 * PAGE + 123 - 1000);
	show("nothing there", splice_of(pipes[0], NULL, out, NULL, 1,
	    SPLICE_F_NONBLOCK));
	close(pipes[1]);
	show("the end of a pipe", splice_of(pipes[0], NULL, out, NULL, 1, 0));
	close(pipes[0]);
	close(in);
	close(out);
}

static void pipe_to_pipe(void)
{
	int a[2], b[2];
	static char bytes[17 * PAGE];

	need(pipe(a) == 0 && pipe(b) == 0);
	memset(bytes, 'm', sizeof bytes);
	need(write(a[1], "0123456789", 10) == 10);
	show("tee", tee_of(a[0], b[1], 4, 0));
	show("tee again", tee_of(a[0], b[1], 100, 0));
	contents("twice", b[0], 14);
	show("move", splice_of(a[0], NULL, b[1], NULL, 6, 0));
	contents("moved", b[0], 6);
	contents("left", a[0], 4);
	show("tee nothing", tee_of(a[0], b[1], 100, SPLICE_F_NONBLOCK));
	show("move nothing", splice_of(a[0], NULL, b[1], NULL, 100,
	    SPLICE_F_NONBLOCK));
	need(write(a[1], bytes, 16 * PAGE) == 16 * PAGE);
	show("tee all", tee_of(a[0], b[1], 1 << 20, 0));
	show("tee to what is full", tee_of(a[0], b[1], 1, SPLICE_F_NONBLOCK));
	show("move to what is full", splice_of(a[0], NULL, b[1], NULL, 1,
	    SPLICE_F_NONBLOCK));
	contents("a part", b[0], 5 * PAGE);
	show("move some", splice_of(a[0], NULL, b[1], NULL, 3 * PAGE, 0));
	contents("copies", b[0], 14 * PAGE);
	contents("the rest", a[0], 13 * PAGE);
	close(a[1]);
	show("tee at the end", tee_of(a[0], b[1], 1, 0));
	close(a[0]);
	close(b[0]);
	signal(SIGPIPE, SIG_IGN);
	need(pipe(a) == 0);
	need(write(a[1], "x", 1) == 1);
	show("move to nobody", splice_of(a[0], NULL, b[1], NULL, 1, 0));
	show("which leaves it", read(a[0], bytes, 10));
	close(a[0]);
	close(a[1]);
	close(b[1]);
}

static void from_memory(void)
{
	int pipes[2];
	char *memory = mmap(NULL, 20 * PAGE, RW, ANON, -1, 0);
	struct iovec pieces[3];
	char small[100];

	need(memory != MAP_FAILED && pipe(pipes) == 0);
	for (long at = 0; at < 20 * PAGE; at++)
		memory[at] = (char)(at / 100);
	pieces[0] = (struct iovec){ memory + 100, 50 };
	pieces[1] = (struct iovec){ memory + 2 * PAGE - 10, 20 };
	pieces[2] = (struct iovec){ memory + 4 * PAGE, 2 * PAGE };
	show("lent", vmsplice_of(pipes[1], pieces, 3, 0));
	contents("lent", pipes[0], 70 + 2 * PAGE);
	pieces[0] = (struct iovec){ memory, 20 * PAGE };
	show("more than it holds", vmsplice_of(pipes[1], pieces, 1,
	    SPLICE_F_GIFT));
	show("when it is full", vmsplice_of(pipes[1], pieces, 1,
	    SPLICE_F_NONBLOCK));
	contents("a page", pipes[0], PAGE);
	need(munmap(memory + 3 * PAGE, 17 * PAGE) == 0);
	contents("the rest, unmapped", pipes[0], 15 * PAGE);
	pieces[0] = (struct iovec){ memory + 2 * PAGE, 3 * PAGE };
	show("up to a hole", vmsplice_of(pipes[1], pieces, 1, 0));
	pieces[0] = (struct iovec){ memory + 3 * PAGE, PAGE };
	show("in a hole", vmsplice_of(pipes[1], pieces, 1, 0));
	pieces[0] = (struct iovec){ small, 60 };
	pieces[1] = (struct iovec){ small + 60, 40 };
	show("out of it", vmsplice_of(pipes[0], pieces, 2, 0));
	say("%d %d", small[0], small[99]);
	contents("the rest", pipes[0], PAGE - 100);
	show("no pieces", vmsplice_of(pipes[1], pieces, 0, 0));
	show("too many", vmsplice_of(pipes[1], pieces, 1025, 0));
	show("unknown flags", vmsplice_of(pipes[1], pieces, 1, 0x100));
	show("not a pipe", vmsplice_of(numbered_file(1), pieces, 1, 0));
	munmap(memory, 3 * PAGE);
	close(pipes[0]);
	close(pipes[1]);
}

static void errors(void)
{
	int a[2], b[2], file = numbered_file(PAGE), append, read_only;
	off_t at = 0;
	char path[64];

	need(pipe(a) == 0 && pipe(b) == 0);
	need(write(a[1], "xyz", 3) == 3);
	show("nothing", splice_of(-1, NULL, -1, NULL, 0, 0));
	show("unknown flags", splice_of(a[0], NULL, file, NULL, 1, 0x100));
	show("no descriptor", splice_of(-1, NULL, a[1], NULL, 1, 0));
	show("no pipe", splice_of(file, NULL, file, NULL, 1, 0));
	show("to itself", splice_of(a[0], NULL, a[1], NULL, 1, 0));
	show("an offset of a pipe", splice_of(a[0], &at, file, NULL, 1, 0));
	show("of the other", splice_of(file, NULL, a[1], &at, 1, 0));
	show("an offset nowhere", splice_of(file, (void *)8, a[1], NULL, 1,
	    0));
	show("from the wrong end", splice_of(a[1], NULL, file, NULL, 1, 0));
	show("to the wrong end", splice_of(file, NULL, a[0], NULL, 1, 0));
	snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	append = open(path, O_WRONLY | O_APPEND);
	read_only = open(path, O_RDONLY);
	need(append >= 0 && read_only >= 0);
	show("to append", splice_of(a[0], NULL, append, NULL, 1, 0));
	show("to what is read", splice_of(a[0], NULL, read_only, NULL, 1, 0));
	show("from what is written", splice_of(append, NULL, a[1], NULL, 1,
	    0));
	show("tee to itself", tee_of(a[0], a[1], 1, 0));
	show("tee to a file", tee_of(a[0], file, 1, 0));
	show("tee from the wrong end", tee_of(a[1], b[1], 1, 0));
	show("tee of nothing", tee_of(a[0], b[1], 0, 0));
	contents("all is there", a[0], 3);
}

int main(void)
{
	files();
	pipe_to_pipe();
	from_memory();
	errors();
	return 0;
}
