/*
 * Copy on write through forks: private and shared mappings, of anonymous
 * memory, of an unnamed file and of one with a name; both sides write, protect
 * and unmap, and each sees what it should.
 */
#include "show.h"
#include <fcntl.h>
#include <sys/stat.h>

enum { PAGES = 8 };
#define LEN ((size_t)(PAGES * PAGE))

struct mappings {
	char *private_anon, *shared_anon, *private_mem, *shared_mem,
	    *private_file, *shared_file;
};

static struct mappings maps;

static void show_row(const char *who, const char *name, const char *p)
{
	char text[PAGES * 4 + 1];
	int at = 0;

	for (int i = 0; i < PAGES; i++)
		at += snprintf(text + at, sizeof text - (size_t)at, " %3d",
		    p[i * PAGE + 7]);
	say("%s %-12s%s", who, name, text);
}

static void show_all(const char *who)
{
	show_row(who, "private_anon", maps.private_anon);
	show_row(who, "shared_anon", maps.shared_anon);
	show_row(who, "private_mem", maps.private_mem);
	show_row(who, "shared_mem", maps.shared_mem);
	show_row(who, "private_file", maps.private_file);
	show_row(who, "shared_file", maps.shared_file);
}

static void write_page(int page, char value)
{
	maps.private_anon[page * PAGE + 7] = value;
	maps.shared_anon[page * PAGE + 7] = value;
	maps.private_mem[page * PAGE + 7] = value;
	maps.shared_mem[page * PAGE + 7] = value;
	maps.private_file[page * PAGE + 7] = value;
	maps.shared_file[page * PAGE + 7] = value;
}

static char *map(int flags, int fd)
{
	char *p = mmap(NULL, LEN, RW, flags, fd, 0);

	need(p != MAP_FAILED);
	return p;
}

/* A file with a name, removed at once. */
static int named_file(void)
{
	char name[256], page[PAGE];
	const char *dir = getenv("TMPDIR");
	int fd;

	snprintf(name, sizeof name, "%s/cow-%d", dir ? dir : "/tmp",
	    (int)getpid());
	fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	need(fd >= 0);
	need(unlink(name) == 0);
	for (int i = 0; i < PAGES; i++) {
		memset(page, i + 1, sizeof page);
		need(pwrite(fd, page, sizeof page, i * PAGE) == PAGE);
	}
	return fd;
}

/* A turn of one side: waits for the other's byte, acts, gives it back. */
static void await(int fd)
{
	char c;

	need(read(fd, &c, 1) == 1);
}

static void give(int fd)
{
	need(write(fd, "x", 1) == 1);
}

static void child(int from, int to, int file)
{
	char byte = 0;

	show_all("child ");
	write_page(1, 21);		/* before the parent */
	write_page(2, 22);		/* and the parent too */
	give(to);
	await(from);
	show_all("child ");

	need(mprotect(maps.private_anon, LEN, PROT_READ) == 0);
	put("child protected", maps.private_anon, 3 * PAGE, 1);
	look("child protected", maps.private_anon, 3 * PAGE + 7);
	need(mprotect(maps.private_anon + 3 * PAGE, PAGE, RW) == 0);
	put("child opened one", maps.private_anon, 3 * PAGE + 7, 33);
	put("child opened one", maps.private_anon, 4 * PAGE + 7, 1);
	need(munmap(maps.shared_anon + 2 * PAGE, 2 * PAGE) == 0);
	look("child unmapped", maps.shared_anon, 2 * PAGE + 7);
	look("child unmapped", maps.shared_anon, 4 * PAGE + 7);
	/* A write(2) to the file is seen by who has not written the page. */
	need(pwrite(file, "\x37", 1, 5 * PAGE + 7) == 1);
	need(pread(file, &byte, 1, 1 * PAGE + 7) == 1);
	say("child  file holds %d", byte);
	look("child  private_file", maps.private_file, 5 * PAGE + 7);
	give(to);
	await(from);
	_exit(7);
}

/* A chain of forks, each writing its page: grandchildren share with all. */
static void chain(void)
{
	char *p = map(ANON, -1);
	int depth;

	memset(p, 1, LEN);
	for (depth = 1; depth < PAGES; depth++) {
		pid_t pid = fork();

		need(pid >= 0);
		if (pid > 0) {
			int status;

			need(waitpid(pid, &status, 0) == pid);
			need(WIFEXITED(status) && WEXITSTATUS(status) == 0);
			break;
		}
		p[depth * PAGE + 7] = (char)(100 + depth);
	}
	show_row("chain ", "private_anon", p);
	p[7] = (char)depth;
	if (depth > 1)
		_exit(p[7] != depth);
	show_row("chain ", "private_anon", p);
	need(munmap(p, LEN) == 0);
}

/* Many children at once, each with its own view of one page. */
static void crowd(void)
{
	enum { CHILDREN = 20 };
	char *p = map(ANON, -1), *sum = map(MAP_SHARED | MAP_ANONYMOUS, -1);
	pid_t pid[CHILDREN];
	int total = 0;

	p[0] = 5;
	for (int i = 0; i < CHILDREN; i++) {
		pid[i] = fork();
		need(pid[i] >= 0);
		if (pid[i] == 0) {
			p[0] = (char)(p[0] + i);
			sum[i] = p[0];
			_exit(0);
		}
	}
	for (int i = 0; i < CHILDREN; i++)
		need(waitpid(pid[i], NULL, 0) == pid[i]);
	for (int i = 0; i < CHILDREN; i++)
		total += sum[i];
	say("crowd: sum %d, own %d", total, p[0]);
	need(munmap(p, LEN) == 0 && munmap(sum, LEN) == 0);
}

/* Reading untouched memory gives zeros that later writes do not share. */
static void zeros(void)
{
	char *p = map(ANON, -1);
	long sum = 0;
	pid_t pid;

	for (size_t i = 0; i < LEN; i++)
		sum += p[i];
	say("zeros: sum %ld", sum);
	p[PAGE] = 1;
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		p[0] = 9;
		say("zeros: child %d %d %d", p[0], p[PAGE], p[2 * PAGE]);
		_exit(0);
	}
	reap("zeros", pid);
	say("zeros: parent %d %d %d", p[0], p[PAGE], p[2 * PAGE]);
	need(munmap(p, LEN) == 0);
}

int main(void)
{
	int to_child[2], to_parent[2], mem, file;
	pid_t pid;

	catch_faults();
	mem = numbered_file((long)LEN);
	file = named_file();
	maps = (struct mappings){
		.private_anon = map(ANON, -1),
		.shared_anon = map(MAP_SHARED | MAP_ANONYMOUS, -1),
		.private_mem = map(MAP_PRIVATE, mem),
		.shared_mem = map(MAP_SHARED, mem),
		.private_file = map(MAP_PRIVATE, file),
		.shared_file = map(MAP_SHARED, file),
	};
	for (int i = 0; i < PAGES; i++)
		maps.private_anon[i * PAGE + 7] =
		    maps.shared_anon[i * PAGE + 7] = (char)(i + 1);
	write_page(0, 10);
	show_all("before");
	need(pipe(to_child) == 0 && pipe(to_parent) == 0);
	pid = fork();
	need(pid >= 0);
	if (pid == 0)
		child(to_child[0], to_parent[1], file);

	await(to_parent[0]);
	show_all("parent");
	write_page(2, 12);
	write_page(3, 13);
	give(to_child[1]);
	await(to_parent[0]);
	show_all("parent");
	need(munmap(maps.private_mem, 4 * PAGE) == 0);
	look("parent unmapped", maps.private_mem, 3 * PAGE);
	look("parent unmapped", maps.private_mem, 4 * PAGE + 7);
	give(to_child[1]);
	reap("child", pid);
	write_page(7, 17);
	maps.private_anon[7] = 18;
	show_row("after ", "private_anon", maps.private_anon);
	show_row("after ", "shared_anon", maps.shared_anon);
	show_row("after ", "private_file", maps.private_file);
	show_row("after ", "shared_file", maps.shared_file);
	chain();
	crowd();
	zeros();
	return 0;
}
