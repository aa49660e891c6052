/*
 * Another process's memory: process_vm_readv, process_vm_writev, and
 * /proc/PID/mem.
 */
#include "show.h"

#include <fcntl.h>
#include <sys/uio.h>

static char *memory;
static char text[] = "initial";
static const char constant[] = "constant";
static pid_t child;
static int to_child[2], from_child[2];

/* The child says what it sees at places that it is asked for. */
static void serve(void)
{
	long place;
	char value;

	while (read(to_child[0], &place, sizeof place) == sizeof place) {
		value = *(volatile char *)place;
		need(write(from_child[1], &value, 1) == 1);
	}
	_exit(0);
}

static int ask(const void *place)
{
	long at = (long)place;
	char value;

	need(write(to_child[1], &at, sizeof at) == sizeof at);
	need(read(from_child[0], &value, 1) == 1);
	return value;
}

static long get(const struct iovec *ours, int count, const struct iovec *theirs,
    int their_count)
{
	return syscall(SYS_process_vm_readv, child, ours, (long)count, theirs,
	    (long)their_count, 0L);
}

static long give(const struct iovec *ours, int count,
    const struct iovec *theirs, int their_count)
{
	return syscall(SYS_process_vm_writev, child, ours, (long)count, theirs,
	    (long)their_count, 0L);
}

static void pieces(void)
{
	static char bytes[3 * PAGE];
	struct iovec ours[3] = { { bytes, 10 }, { bytes + 100, 0 },
	    { bytes + 200, PAGE } };
	struct iovec theirs[2] = { { memory + PAGE - 5, 8 },
	    { memory + 3 * PAGE, 500 } };

	show("read", get(ours, 3, theirs, 2));
	say("%d %d %d %d %d %d %d", bytes[0], bytes[4], bytes[5], bytes[7],
	    bytes[8], bytes[9], bytes[200]);
	say("%d %d", bytes[200 + 497], bytes[200 + 498]);
	memset(bytes, 77, sizeof bytes);
	show("write", give(ours, 3, theirs, 2));
	say("%d %d %d %d", ask(memory + PAGE - 6), ask(memory + PAGE - 5),
	    ask(memory + PAGE + 2), ask(memory + PAGE + 3));
	say("%d %d", ask(memory + 3 * PAGE + 499), ask(memory + 3 * PAGE +
	    500));
	say("mine: %d", memory[PAGE - 5]);
	show("more than there is room for", get(ours, 1, theirs, 2));
	show("less than there is room for", get(ours, 3, theirs, 1));
}

static void parts(void)
{
	static char bytes[4 * PAGE];
	struct iovec ours = { bytes, 4 * PAGE };
	struct iovec theirs[2] = { { memory + 6 * PAGE + 10, 3 * PAGE },
	    { memory, 100 } };

	/* The page after the next is missing. */
	show("into a hole", get(&ours, 1, theirs, 2));
	theirs[0].iov_base = memory + 8 * PAGE;
	show("in a hole", get(&ours, 1, theirs, 2));
	theirs[0].iov_base = memory + 9 * PAGE;
	theirs[0].iov_len = 10;
	show("read-only", get(&ours, 1, theirs, 1));
	show("write read-only", give(&ours, 1, theirs, 1));
	theirs[0].iov_base = memory + 10 * PAGE;
	show("inaccessible", get(&ours, 1, theirs, 1));
	theirs[0].iov_base = memory;
	theirs[0].iov_len = 4 * PAGE;
	ours.iov_base = memory + 7 * PAGE;
	ours.iov_len = 2 * PAGE;
	show("to my hole", get(&ours, 1, theirs, 1));
	ours.iov_base = memory + 8 * PAGE;
	show("in my hole", get(&ours, 1, theirs, 1));
}

static void errors(void)
{
	char byte = 0;
	struct iovec ours = { &byte, 1 }, theirs = { memory, 1 };
	struct iovec none = { memory, 0 }, negative = { memory, (size_t)-1 };

	show("flags", syscall(SYS_process_vm_readv, child, &ours, 1L, &theirs,
	    1L, 1L));
	show("no pieces of ours", get(&ours, 0, &theirs, 1));
	show("no pieces of theirs", get(&ours, 1, &theirs, 0));
	show("empty pieces of theirs", get(&ours, 1, &none, 1));
	show("too many of ours", get(&ours, 1025, &theirs, 1));
	show("too many of theirs", get(&ours, 1, &theirs, 1025));
	show("a negative one", get(&ours, 1, &negative, 1));
	show("a list nowhere", get((void *)8, 1, &theirs, 1));
	show("their list nowhere", get(&ours, 1, (void *)8, 1));
	show("no such process", syscall(SYS_process_vm_readv, 4194303, &ours,
	    1L, &theirs, 1L, 0L));
	show("myself", syscall(SYS_process_vm_readv, getpid(), &ours, 1L,
	    &theirs, 1L, 0L));
	say("%d", byte);
}

static void mem_file(void)
{
	char path[64], bytes[3 * PAGE];
	int fd, own;

	snprintf(path, sizeof path, "/proc/%d/mem", (int)child);
	fd = open(path, O_RDWR);
	need(fd >= 0);
	show("read", pread(fd, bytes, 8, (off_t)text));
	say("%.8s", bytes);
	show("write", pwrite(fd, "changed", 8, (off_t)text));
	say("theirs: %c, mine: %c", ask(text), text[0]);
	show("write what is constant", pwrite(fd, "CON", 3, (off_t)constant));
	say("theirs: %c, mine: %c", ask(constant), constant[0]);
	show("read what is inaccessible", pread(fd, bytes, 1,
	    (off_t)(memory + 10 * PAGE)));
	say("%d", bytes[0]);
	show("write what is inaccessible", pwrite(fd, "x", 1,
	    (off_t)(memory + 10 * PAGE)));
	show("write read-only", pwrite(fd, "y", 1, (off_t)(memory + 9 *
	    PAGE)));
	say("theirs: %c", ask(memory + 9 * PAGE));
	show("write shared read-only", pwrite(fd, "z", 1, (off_t)(memory + 11 *
	    PAGE)));
	show("read into a hole", pread(fd, bytes, 3 * PAGE, (off_t)(memory + 7 *
	    PAGE)));
	show("read in a hole", pread(fd, bytes, 1, (off_t)(memory + 8 *
	    PAGE)));
	show("seek", lseek(fd, (off_t)(memory + 3 * PAGE), SEEK_SET) ==
	    (off_t)(memory + 3 * PAGE));
	show("read there", read(fd, bytes, 4));
	show("which moves", lseek(fd, 0, SEEK_CUR) == (off_t)(memory + 3 * PAGE
	    + 4));
	own = open("/proc/self/mem", O_RDWR);
	need(own >= 0);
	show("my own constant", pwrite(own, "own", 3, (off_t)constant));
	say("%.3s", constant);
	close(own);
	close(to_child[1]);
	reap("child", child);
	show("when it is gone", pread(fd, bytes, 8, (off_t)text));
	show("write then", pwrite(fd, bytes, 8, (off_t)text));
	close(fd);
	snprintf(path, sizeof path, "/proc/%d/mem", (int)child);
	show("open then", open(path, O_RDONLY));
}

int main(void)
{
	int fd = numbered_file(PAGE);

	memory = mmap(NULL, 12 * PAGE, RW, ANON, -1, 0);
	need(memory != MAP_FAILED && pipe(to_child) == 0 &&
	    pipe(from_child) == 0);
	for (int page = 0; page < 12; page++)
		memset(memory + page * PAGE, page + 1, PAGE);
	need(munmap(memory + 8 * PAGE, PAGE) == 0);
	need(mprotect(memory + 9 * PAGE, PAGE, PROT_READ) == 0);
	need(mprotect(memory + 10 * PAGE, PAGE, PROT_NONE) == 0);
	need(mmap(memory + 11 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED,
	    fd, 0) == memory + 11 * PAGE);
	child = fork();
	need(child >= 0);
	if (child == 0) {
		close(to_child[1]);
		serve();
	}
	pieces();
	parts();
	errors();
	mem_file();
	return 0;
}
