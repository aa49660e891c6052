/*
 * Files in memory without a name, and their seals. The cases are those of
 * NetBSD's test of this name, and some more.
 */
#include "show.h"

#include <fcntl.h>
#include <sys/stat.h>

#ifndef FALLOC_FL_PUNCH_HOLE
#define FALLOC_FL_KEEP_SIZE 1
#define FALLOC_FL_PUNCH_HOLE 2
#endif
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1
#define MFD_ALLOW_SEALING 2
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8
#define MFD_EXEC 16
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#define F_SEAL_SEAL 1
#define F_SEAL_SHRINK 2
#define F_SEAL_GROW 4
#define F_SEAL_WRITE 8
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif

static int make(unsigned flags)
{
	int fd = (int)syscall(SYS_memfd_create, "sealed", flags);

	need(fd >= 0);
	return fd;
}

static int make_of(unsigned flags, long len)
{
	int fd = make(flags);

	need(ftruncate(fd, len) == 0);
	return fd;
}

static void names(void)
{
	char name[300];
	int fd;

	memset(name, 'x', sizeof name);
	name[249] = 0;
	fd = (int)syscall(SYS_memfd_create, name, 0);
	say("a name of 249: %s", fd >= 0 ? "ok" : error_name(errno));
	close(fd);
	name[249] = 'x';
	name[250] = 0;
	show("a name of 250", syscall(SYS_memfd_create, name, 0));
	show("no name", syscall(SYS_memfd_create, NULL, 0));
	fd = (int)syscall(SYS_memfd_create, "", 0);
	say("an empty name: %s", fd >= 0 ? "ok" : error_name(errno));
	close(fd);
	show("unknown flags", syscall(SYS_memfd_create, "x", 0x40));
	show("flags that contradict each other", syscall(SYS_memfd_create, "x",
	    MFD_EXEC | MFD_NOEXEC_SEAL));
	fd = make(0);
	show("without MFD_CLOEXEC", fcntl(fd, F_GETFD));
	close(fd);
	fd = make(MFD_CLOEXEC);
	show("with MFD_CLOEXEC", fcntl(fd, F_GETFD));
	close(fd);
}

static void bytes(void)
{
	char buffer[16] = "";
	struct stat st;
	char *map;
	int fd = make(0);

	show("write", write(fd, "0123456789", 10));
	show("position", lseek(fd, 0, SEEK_CUR));
	show("read at the end", read(fd, buffer, 10));
	show("pread", pread(fd, buffer, 4, 3));
	say("which are: %.4s", buffer);
	show("shrink", ftruncate(fd, 5));
	show("grow", ftruncate(fd, 3 * PAGE));
	show("pread", pread(fd, buffer, 8, 3));
	say("which are: %d %d %d %d", buffer[0], buffer[1], buffer[2],
	    buffer[7]);
	need(fstat(fd, &st) == 0);
	say("size %ld, mode %o, links %ld", (long)st.st_size,
	    st.st_mode, (long)st.st_nlink);
	map = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
	need(map != MAP_FAILED);
	map[PAGE] = 7;
	show("pread of what was stored", pread(fd, buffer, 1, PAGE));
	say("which is: %d", buffer[0]);
	show("pwrite", pwrite(fd, "x", 1, PAGE + 1));
	look("what was written", map, PAGE + 1);
	show("ftruncate under the mapping", ftruncate(fd, PAGE));
	look("beyond the end", map, PAGE);
	munmap(map, 3 * PAGE);
	close(fd);
}

static void holes(void)
{
	char buffer[4];
	char *shared, *private;
	struct stat st;
	int fd = numbered_file(6 * PAGE);

	shared = mmap(NULL, 6 * PAGE, RW, MAP_SHARED, fd, 0);
	private = mmap(NULL, 6 * PAGE, RW, MAP_PRIVATE, fd, 0);
	need(shared != MAP_FAILED && private != MAP_FAILED);
	private[2 * PAGE] = 77;
	show("private", private[3 * PAGE]);
	show("punch without KEEP_SIZE", fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0,
	    PAGE));
	show("punch of nothing", fallocate(fd, FALLOC_FL_PUNCH_HOLE |
	    FALLOC_FL_KEEP_SIZE, 0, 0));
	show("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	    PAGE + 100, 3 * PAGE));
	need(pread(fd, buffer, 1, PAGE + 99) == 1);
	say("before the hole: %d", buffer[0]);
	need(pread(fd, buffer, 1, PAGE + 100) == 1);
	say("its first byte: %d", buffer[0]);
	look("in it, shared", shared, 2 * PAGE);
	look("in it, private and not written", private, 3 * PAGE);
	look("in it, private and written", private, 2 * PAGE);
	look("its last byte", shared, 4 * PAGE + 99);
	look("behind it", shared, 4 * PAGE + 100);
	need(fstat(fd, &st) == 0);
	say("size %ld, pages %ld", (long)st.st_size,
	    (long)st.st_blocks / (PAGE / 512));
	show("punch within a page", fallocate(fd, FALLOC_FL_PUNCH_HOLE |
	    FALLOC_FL_KEEP_SIZE, 5 * PAGE + 10, 20));
	look("before it", shared, 5 * PAGE + 9);
	look("in it", shared, 5 * PAGE + 10);
	look("behind it", shared, 5 * PAGE + 30);
	show("punch beyond the end", fallocate(fd, FALLOC_FL_PUNCH_HOLE |
	    FALLOC_FL_KEEP_SIZE, 5 * PAGE + 50, 20 * PAGE));
	look("up to the end", shared, 6 * PAGE - 1);
	need(fstat(fd, &st) == 0);
	say("size %ld", (long)st.st_size);
	put("the hole, written again", shared, 2 * PAGE, 5);
	munmap(shared, 6 * PAGE);
	munmap(private, 6 * PAGE);
	close(fd);
}

static void no_seals(void)
{
	int fd = make(0), file, pipes[2];

	show("seals without MFD_ALLOW_SEALING", fcntl(fd, F_GET_SEALS));
	show("add one", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	close(fd);
	file = open("/dev/shm/seals", O_RDWR | O_CREAT, 0600);
	need(file >= 0);
	unlink("/dev/shm/seals");
	show("of a tmpfs", fcntl(file, F_GET_SEALS));
	show("add one", fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
	close(file);
	need(pipe(pipes) == 0);
	show("of a pipe", fcntl(pipes[1], F_GET_SEALS));
	show("add one", fcntl(pipes[1], F_ADD_SEALS, F_SEAL_WRITE));
	show("to the end that is read", fcntl(pipes[0], F_ADD_SEALS,
	    F_SEAL_WRITE));
	close(pipes[0]);
	close(pipes[1]);
}

static void seal_seal(void)
{
	int fd = make(MFD_ALLOW_SEALING);

	show("no seals", fcntl(fd, F_GET_SEALS));
	show("unknown ones", fcntl(fd, F_ADD_SEALS, 0x100));
	show("seal-shrink", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	show("seal-seal", fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	show("seals", fcntl(fd, F_GET_SEALS));
	show("one more", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	show("the same again", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	close(fd);
}

/* What can be done with a file that has some seals. */
static void try_all(int fd)
{
	char buffer[3 * PAGE];
	char *map;

	memset(buffer, 'w', sizeof buffer);
	show("  write within", pwrite(fd, "abc", 3, 10));
	show("  write over the end", pwrite(fd, buffer, 200, 2 * PAGE - 100));
	show("  write of pages over the end", pwrite(fd, buffer, 3 * PAGE, 0));
	show("  size", lseek(fd, 0, SEEK_END));
	show("  write of nothing", pwrite(fd, buffer, 0, 0));
	show("  shrink", ftruncate(fd, PAGE));
	show("  grow", ftruncate(fd, 5 * PAGE));
	show("  allocate within", fallocate(fd, 0, 0, PAGE));
	show("  allocate beyond", fallocate(fd, 0, 0, 6 * PAGE));
	show("  allocate beyond, keeping the size", fallocate(fd,
	    FALLOC_FL_KEEP_SIZE, 0, 8 * PAGE));
	show("  punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE |
	    FALLOC_FL_KEEP_SIZE, 0, PAGE));
	show("  chmod that keeps execution", fchmod(fd, 0755));
	show("  chmod that ends it", fchmod(fd, 0644));
	show("  chmod that begins it", fchmod(fd, 0711));
	map = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	show_ok("  shared mapping to write", map);
	if (map != MAP_FAILED)
		munmap(map, PAGE);
	map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	show_ok("  shared mapping to read", map);
	if (map != MAP_FAILED) {
		show("  to write after all", mprotect(map, PAGE, RW));
		munmap(map, PAGE);
	}
	map = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
	show_ok("  private mapping to write", map);
	if (map != MAP_FAILED) {
		put("  which is written", map, 0, 1);
		munmap(map, PAGE);
	}
}

static void each_seal(void)
{
	static const struct { const char *name; int seal; } seals[] = {
		{ "shrink", F_SEAL_SHRINK }, { "grow", F_SEAL_GROW },
		{ "write", F_SEAL_WRITE },
		{ "future write", F_SEAL_FUTURE_WRITE },
		{ "exec", F_SEAL_EXEC },
	};

	for (unsigned i = 0; i < sizeof seals / sizeof *seals; i++) {
		int fd = make_of(MFD_ALLOW_SEALING, 2 * PAGE);

		show(seals[i].name, fcntl(fd, F_ADD_SEALS, seals[i].seal));
		show("seals", fcntl(fd, F_GET_SEALS));
		try_all(fd);
		close(fd);
	}
}

static void write_seal_and_mappings(void)
{
	int fd = make_of(MFD_ALLOW_SEALING, 2 * PAGE), read_only;
	char *map = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0), *other;
	char path[64];

	need(map != MAP_FAILED);
	map[0] = 1;
	show("write seal, mapped shared", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	show("seals", fcntl(fd, F_GET_SEALS));
	need(mprotect(map, 2 * PAGE, PROT_READ) == 0);
	show("write seal, could be made writable", fcntl(fd, F_ADD_SEALS,
	    F_SEAL_WRITE));
	need(munmap(map, PAGE) == 0);
	show("write seal, half of it", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	need(munmap(map + PAGE, PAGE) == 0);
	map = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
	need(map != MAP_FAILED);
	map[0] = 2;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	read_only = open(path, O_RDONLY);
	need(read_only >= 0);
	other = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0);
	need(other != MAP_FAILED);
	show("to a file open for reading", fcntl(read_only, F_ADD_SEALS,
	    F_SEAL_WRITE));
	show("write seal, private and read-only mappings", fcntl(fd,
	    F_ADD_SEALS, F_SEAL_WRITE));
	look("private", map, 0);
	look("read-only", other, 0);
	close(fd);
	close(read_only);

	fd = make_of(MFD_ALLOW_SEALING, PAGE);
	map = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	need(map != MAP_FAILED);
	show("future-write seal, mapped shared", fcntl(fd, F_ADD_SEALS,
	    F_SEAL_FUTURE_WRITE));
	put("through the old mapping", map, 0, 9);
	show("by a write", pwrite(fd, "x", 1, 0));
	show_ok("a new mapping", mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
	need(munmap(map, PAGE) == 0);
	show("write seal then", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	show("seals", fcntl(fd, F_GET_SEALS));
	close(fd);
}

static void not_executable(void)
{
	struct stat st;
	int fd = make(MFD_NOEXEC_SEAL);

	need(fstat(fd, &st) == 0);
	say("not executable: mode %o", st.st_mode);
	show("seals", fcntl(fd, F_GET_SEALS));
	show("chmod", fchmod(fd, 0777));
	close(fd);
	fd = make(MFD_EXEC);
	need(fstat(fd, &st) == 0);
	say("executable: mode %o", st.st_mode);
	show("seals", fcntl(fd, F_GET_SEALS));
	close(fd);
}

/* Holes, of files that are sealed against writing. */
static void sealed_holes(void)
{
	const int seals[] = { F_SEAL_WRITE, 0x10 /* F_SEAL_FUTURE_WRITE */, F_SEAL_SHRINK };
	const char *names[] = { "write", "future write", "shrink" };

	for (int i = 0; i < 3; i++) {
		int fd = make(MFD_ALLOW_SEALING);
		char *p = NULL;

		need(ftruncate(fd, 2 * PAGE) == 0 && pwrite(fd, "x", 1, 0) == 1);
		if (seals[i] != F_SEAL_WRITE)
			p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
		show(names[i], fcntl(fd, F_ADD_SEALS, seals[i]));
		show("punch", fallocate(fd, 3, 0, PAGE));
		close(fd);
		if (p) {
			show("remove, when it is closed", madvise(p, PAGE, MADV_REMOVE));
			say("it holds %d", p[0]);
		}
	}
}

int main(void)
{
	catch_faults();
	names();
	bytes();
	holes();
	no_seals();
	seal_seal();
	each_seal();
	write_seal_and_mappings();
	not_executable();
	sealed_holes();
	return 0;
}
