/*
 * Paths: what can be opened, made, linked, moved and removed, and with which
 * error it fails otherwise.
 */
#include "show.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define DO(call) show(#call, (long)(call))
/* For calls that return descriptors, whose numbers say nothing. */
#define OPEN(call) do { \
	int opened = (int)(call); \
	show(#call, opened < 0 ? -1 : 0); \
	if (opened >= 0) \
		close(opened); \
} while (0)

static char text[PATH_MAX + 2];

/* What stat tells that is the same on every file system in memory. */
static void describe(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0) {
		show(path, -1);
		return;
	}
	if (S_ISDIR(st.st_mode))
		st.st_size = 0;
	say("%s: mode %o, %ld names, %ld bytes, device %u:%u", path,
	    st.st_mode, (long)st.st_nlink, (long)st.st_size,
	    major(st.st_rdev), minor(st.st_rdev));
}

static void opening(void)
{
	say("-- open");
	OPEN(open("a", O_CREAT | O_EXCL | O_RDWR, 0666));
	OPEN(open("a", O_CREAT | O_EXCL | O_RDWR, 0666));
	OPEN(open("none", O_RDONLY));
	OPEN(open("", O_RDONLY));
	OPEN(open("a/", O_RDONLY));
	OPEN(open("a/b", O_RDONLY));
	OPEN(open("none/b", O_CREAT | O_RDWR, 0666));
	OPEN(open("new/", O_CREAT | O_RDWR, 0666));
	OPEN(open("a", O_DIRECTORY));
	OPEN(open(".", O_RDWR));
	OPEN(open("/", O_RDONLY | O_DIRECTORY));
	OPEN(open("/../../dev/../dev/null", O_RDONLY));
	memset(text, 'n', NAME_MAX + 1);
	text[NAME_MAX + 1] = 0;
	OPEN(open(text, O_CREAT | O_RDWR, 0666));
	memset(text, '/', PATH_MAX);
	text[PATH_MAX] = 0;
	OPEN(open(text, O_RDONLY));
	describe("a");
}

static void directories(void)
{
	say("-- directories");
	DO(mkdir("d", 0777));
	DO(mkdir("d", 0777));
	DO(mkdir("d/e/", 01777));
	DO(mkdir("d/x/y", 0777));
	DO(mkdir("a/b", 0777));
	describe("d");
	describe("d/e");
	DO(rmdir("d"));
	DO(rmdir("a"));
	DO(rmdir("d/."));
	DO(rmdir("d/.."));
	DO(rmdir("none"));
	DO(unlink("d"));
	DO(unlink("a/"));
	DO(chdir("d/e"));
	DO(chdir("../../a"));
	DO(chdir("../.."));
	need(getcwd(text, sizeof text) != NULL);
	show("getcwd with too little room", syscall(SYS_getcwd, text, 2));
}

static void links(void)
{
	say("-- links");
	DO(symlink("a", "l"));
	DO(symlink("b", "l"));
	DO(symlink("", "empty"));
	DO(symlink("d/", "ld"));
	DO(symlink("loop", "loop"));
	DO(symlink("later", "dangling"));
	describe("l");
	describe("ld/");
	DO(readlink("l", text, sizeof text));
	DO(readlink("dangling", text, 3));
	DO(readlink("a", text, sizeof text));
	OPEN(open("loop", O_RDONLY));
	OPEN(open("l", O_RDONLY | O_NOFOLLOW));
	OPEN(open("dangling", O_RDONLY));
	OPEN(open("dangling", O_CREAT | O_EXCL | O_RDWR, 0600));
	OPEN(open("dangling", O_CREAT | O_RDWR, 0600));
	describe("later");
	DO(access("ld/e/../../a", F_OK));
	DO(rmdir("ld"));
	DO(link("a", "b"));
	DO(link("a", "b"));
	DO(link("d", "c"));
	DO(link("none", "c"));
	DO(linkat(AT_FDCWD, "l", AT_FDCWD, "c", AT_SYMLINK_FOLLOW));
	DO(linkat(AT_FDCWD, "l", AT_FDCWD, "m", 0));
	describe("a");
	describe("m");
	DO(unlink("b"));
	DO(unlink("c"));
	DO(unlink("b"));
	describe("a");
}

static void moving(void)
{
	say("-- rename");
	DO(rename("a", "f"));
	describe("a");
	DO(rename("f", "a"));
	DO(rename("none", "a"));
	DO(rename("a", "d"));
	DO(rename("d", "a"));
	DO(rename("d", "d/e/inside"));
	DO(rename("d", "d"));
	DO(rename(".", "x"));
	DO(rename("a", "x/"));
	DO(rename("d/e", "e"));
	describe("d");
	DO(rename("e", "d/e"));
	DO(mkdir("empty", 0755));
	DO(rename("empty", "d"));
	DO(rename("empty", "d/e"));
	describe("empty");
	DO(rename("l", "a"));
	describe("a");
	show("rename without replacing",
	    syscall(SYS_renameat2, AT_FDCWD, "later", AT_FDCWD, "d", 1));
	DO(rename("later", "a"));
}

static void special(void)
{
	say("-- nodes and attributes");
	DO(mknod("fifo", S_IFIFO | 0644, 0));
	DO(mknod("file", S_IFREG | 0640, 0));
	DO(mknod("socket", S_IFSOCK | 0600, 0));
	describe("fifo");
	describe("file");
	OPEN(open("socket", O_RDWR));
	OPEN(open("fifo", O_WRONLY | O_NONBLOCK));
	DO(chmod("file", 04755));
	describe("file");
	DO(chmod("none", 0));
	DO(truncate("file", 5000));
	DO(truncate("file", -1));
	DO(truncate("d", 0));
	describe("file");
	DO(access("file", X_OK));
	DO(access("a", X_OK));
	DO(access("none", F_OK));
	DO(access("a", 99));
	describe("/dev/null");
	describe("/dev/zero");
	OPEN(open("/dev/null/x", O_RDONLY));
}

static void by_descriptor(void)
{
	struct stat st;
	int dir = open("d", O_RDONLY | O_DIRECTORY), file = open("a", O_RDWR);
	int path = open("a", O_PATH);

	need(dir >= 0 && file >= 0 && path >= 0);
	say("-- relative to a descriptor");
	OPEN(openat(dir, "e", O_RDONLY));
	OPEN(openat(file, "e", O_RDONLY));
	OPEN(openat(dir, "/", O_RDONLY));
	OPEN(openat(999, "e", O_RDONLY));
	DO(fstatat(dir, "", &st, 0));
	DO(fstatat(dir, "", &st, AT_EMPTY_PATH));
	DO(unlinkat(dir, "e", 0));
	DO(unlinkat(dir, "e", AT_REMOVEDIR));
	DO(fchdir(file));
	DO(fchdir(dir));
	DO(chdir(".."));
	show("read of a directory", read(dir, text, 1));
	show("getdents with too little room",
	    syscall(SYS_getdents64, dir, text, 10L));
	show("getdents of a file", syscall(SYS_getdents64, file, text, 999L));
	show("read by O_PATH", read(path, text, 1));
	show("fchmod by O_PATH", fchmod(path, 0));
	show("fstat by O_PATH", fstat(path, &st));
	close(dir);
	close(file);
	close(path);
}

/* Entries may go while they are listed: what is left is still shown once. */
static void listing(void)
{
	enum { FILES = 500 };
	int seen = 0, removed = 0, left = 0;
	struct dirent *entry;
	DIR *dir;

	say("-- listing");
	need(mkdir("many", 0755) == 0 && chdir("many") == 0);
	for (int i = 0; i < FILES; i++) {
		snprintf(text, sizeof text, "file%d", i);
		need(mknod(text, S_IFREG | 0600, 0) == 0);
	}
	dir = opendir(".");
	need(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		seen++;
		if (entry->d_type == DT_REG)
			removed += unlink(entry->d_name) == 0;
	}
	rewinddir(dir);
	while (readdir(dir) != NULL)
		left++;
	closedir(dir);
	say("seen %d, removed %d, left %d", seen, removed, left);
	need(chdir("..") == 0 && rmdir("many") == 0);
}

/* A directory that is removed while somebody stands in it. */
static void removed(void)
{
	say("-- a directory that is gone");
	need(mkdir("w", 0755) == 0 && chdir("w") == 0);
	DO(rmdir("../w"));
	show("getcwd", syscall(SYS_getcwd, text, sizeof text));
	OPEN(open("x", O_CREAT | O_RDWR, 0644));
	DO(mkdir("x", 0755));
	describe(".");
}

int main(void)
{
	char place[] = "/dev/shm/names-XXXXXX";

	umask(022);
	need(mkdtemp(place) != NULL && chdir(place) == 0);
	opening();
	directories();
	need(chdir(place) == 0);
	links();
	moving();
	special();
	by_descriptor();
	listing();
	removed();
	need(chdir("/") == 0);
	snprintf(text, sizeof text, "rm -r %s", place);
	return system(text);
}
