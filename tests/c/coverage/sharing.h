/* Memory that is shared: by name, by descriptor, from process to process. */
#include "probe.h"
#include <sys/ipc.h>
#include <sys/ioctl.h>
#include <sys/shm.h>

static int memfd(unsigned flags)
{
	int fd = (int)syscall(SYS_memfd_create, "probe", flags);

	if (fd >= 0)
		need(ftruncate(fd, 4 * PAGE) == 0);
	return fd;
}

PROBE("memfd_create MFD_CLOEXEC")
{
	HOLDS(fcntl((int)CALL(memfd(1)), F_GETFD) == FD_CLOEXEC);
	return WORKS;
}

PROBE("memfd_create MFD_ALLOW_SEALING")
{
	HOLDS(fcntl((int)CALL(memfd(0)), 1034) == 1);
	HOLDS(fcntl((int)CALL(memfd(2)), 1034) == 0);
	return WORKS;
}

PROBE("memfd_create MFD_HUGETLB")
{
	CALL(syscall(SYS_memfd_create, "probe", 4));
	return WORKS;
}

PROBE("memfd_create MFD_NOEXEC_SEAL")
{
	int fd = (int)CALL(syscall(SYS_memfd_create, "probe", 8));
	HOLDS(fcntl(fd, 1034) & 0x20);
	return WORKS;
}

PROBE("memfd_create MFD_EXEC")
{
	CALL(syscall(SYS_memfd_create, "probe", 16));
	return WORKS;
}

PROBE("memfd_secret")
{
	CALL(syscall(447, 0));
	return WORKS;
}

static int sealed(int seal)
{
	int fd = memfd(2);

	return fd < 0 || fcntl(fd, 1033, seal) < 0 ? -1 : fd;
}

PROBE("F_SEAL_SEAL")
{
	int fd = (int)CALL(sealed(1));
	HOLDS(fcntl(fd, 1033, 2) == -1 && errno == EPERM);
	return WORKS;
}

PROBE("F_SEAL_SHRINK")
{
	int fd = (int)CALL(sealed(2));
	HOLDS(ftruncate(fd, PAGE) == -1 && errno == EPERM);
	CALL(ftruncate(fd, 5 * PAGE));
	return WORKS;
}

PROBE("F_SEAL_GROW")
{
	int fd = (int)CALL(sealed(4));
	HOLDS(ftruncate(fd, 5 * PAGE) == -1 && errno == EPERM);
	CALL(ftruncate(fd, PAGE));
	return WORKS;
}

PROBE("F_SEAL_WRITE")
{
	int fd = (int)CALL(sealed(8));
	HOLDS(write(fd, "x", 1) == -1 && errno == EPERM);
	HOLDS(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0) == MAP_FAILED &&
	    errno == EPERM);
	fd = memfd(2);
	MAPPED(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
	HOLDS(fcntl(fd, 1033, 8) == -1 && errno == EBUSY);
	return WORKS;
}

PROBE("F_SEAL_FUTURE_WRITE")
{
	int fd = memfd(2);
	char *p = MAPPED(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
	CALL(fcntl(fd, 1033, 16));
	p[0] = 1;
	HOLDS(write(fd, "x", 1) == -1 && errno == EPERM);
	return WORKS;
}

PROBE("F_SEAL_EXEC")
{
	int fd = (int)CALL(sealed(32));
	HOLDS(fchmod(fd, 0600) == -1 && errno == EPERM);
	return WORKS;
}

PROBE("shm_open")
{
	shm_unlink("/probe");
	int fd = (int)CALL(shm_open("/probe", O_RDWR | O_CREAT | O_EXCL, 0600));
	CALL(ftruncate(fd, PAGE));
	char *p = MAPPED(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
	HOLDS(in_child(child_writes, p) == 55 && p[0] == 55);
	CALL(shm_unlink("/probe"));
	return WORKS;
}

PROBE("shmget, shmat, shmdt, IPC_RMID")
{
	int id = (int)CALL(shmget(IPC_PRIVATE, 2 * PAGE, IPC_CREAT | 0600));
	char *p = MAPPED(shmat(id, NULL, 0));
	struct shmid_ds stat;
	HOLDS(in_child(child_writes, p) == 55 && p[0] == 55);
	CALL(shmctl(id, IPC_STAT, &stat));
	HOLDS(stat.shm_nattch == 1 && stat.shm_segsz == 2 * PAGE);
	CALL(shmctl(id, IPC_RMID, NULL));
	CALL(shmdt(p));
	HOLDS(shmctl(id, IPC_STAT, &stat) == -1);
	return WORKS;
}

PROBE("shmat SHM_RDONLY")
{
	int id = (int)CALL(shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600));
	char *p = MAPPED(shmat(id, NULL, SHM_RDONLY));
	CALL(shmctl(id, IPC_RMID, NULL));
	HOLDS(byte_or_signal(p, 1) == 256 + SIGSEGV);
	return WORKS;
}

PROBE("shmat SHM_REMAP")
{
	int id = (int)CALL(shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600));
	char *p = anonymous(1);
	HOLDS(MAPPED(shmat(id, p, 040000)) == p);
	CALL(shmctl(id, IPC_RMID, NULL));
	return WORKS;
}

PROBE("shmctl SHM_LOCK")
{
	int id = (int)CALL(shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600));
	CALL(shmctl(id, 11, NULL));
	CALL(shmctl(id, IPC_RMID, NULL));
	return WORKS;
}

PROBE("shmget SHM_HUGETLB")
{
	CALL(shmget(IPC_PRIVATE, 2 << 20, IPC_CREAT | 04000 | 0600));
	return WORKS;
}

PROBE("process_vm_readv")
{
	char to[4], *p = anonymous(1);
	strcpy(p, "abc");
	struct iovec local = { to, 4 }, remote = { p, 4 };
	HOLDS(CALL(process_vm_readv(getpid(), &local, 1, &remote, 1, 0)) == 4);
	HOLDS(strcmp(to, "abc") == 0);
	return WORKS;
}

PROBE("process_vm_writev")
{
	char *p = anonymous(1);
	struct iovec local = { "abc", 4 }, remote = { p, 4 };
	HOLDS(CALL(process_vm_writev(getpid(), &local, 1, &remote, 1, 0)) == 4);
	HOLDS(strcmp(p, "abc") == 0);
	return WORKS;
}

PROBE("vmsplice")
{
	int ends[2];
	char to[4], *p = anonymous(1);
	struct iovec from = { strcpy(p, "abc"), 4 };
	CALL(pipe(ends));
	HOLDS(CALL(vmsplice(ends[1], &from, 1, 0)) == 4);
	HOLDS(CALL(read(ends[0], to, 4)) == 4 && strcmp(to, "abc") == 0);
	return WORKS;
}

PROBE("splice")
{
	int ends[2], fd = numbered_file(PAGE);
	char to[4];
	off_t at = 0;
	CALL(pipe(ends));
	HOLDS(CALL(splice(fd, &at, ends[1], NULL, 4, 0)) == 4);
	HOLDS(CALL(read(ends[0], to, 4)) == 4 && to[0] == 1);
	return WORKS;
}

PROBE("tee")
{
	int one[2], two[2];
	CALL(pipe(one));
	CALL(pipe(two));
	CALL(write(one[1], "abc", 4));
	HOLDS(CALL(tee(one[0], two[1], 4, 0)) == 4);
	return WORKS;
}

PROBE("userfaultfd")
{
	struct { uint64_t api, features, ioctls; } api = { 0xaa, 0, 0 };
	int fd = (int)CALL(syscall(SYS_userfaultfd, O_NONBLOCK));
	CALL(ioctl(fd, 0xc018aa3f, &api));
	HOLDS(api.ioctls & 1);
	return WORKS;
}

/* Asks for a feature; what it does is for other tests to say. */
static const char *offered(int bit)
{
	struct { uint64_t api, features, ioctls; } api = {
	    0xaa, (uint64_t)1 << bit, 0 };
	int fd = (int)CALL(syscall(SYS_userfaultfd, O_NONBLOCK));

	CALL(ioctl(fd, 0xc018aa3f, &api));
	HOLDS(api.features >> bit & 1);
	return WORKS;
}

PROBE("UFFD_FEATURE_EVENT_FORK") { return offered(1); }
PROBE("UFFD_FEATURE_EVENT_REMAP") { return offered(2); }
PROBE("UFFD_FEATURE_EVENT_REMOVE") { return offered(3); }
PROBE("UFFD_FEATURE_MISSING_HUGETLBFS") { return offered(4); }
PROBE("UFFD_FEATURE_EVENT_UNMAP") { return offered(6); }
PROBE("UFFD_FEATURE_SIGBUS") { return offered(7); }
PROBE("UFFD_FEATURE_THREAD_ID") { return offered(8); }
PROBE("UFFD_FEATURE_EXACT_ADDRESS") { return offered(11); }
PROBE("UFFD_FEATURE_WP_UNPOPULATED") { return offered(13); }
PROBE("UFFD_FEATURE_WP_ASYNC") { return offered(15); }

/* Registers two pages, and lets act place something in the first one. */
static const char *served(uint64_t features, uint64_t mode, int is_shared,
    const char *(*act)(int, char *))
{
	struct { uint64_t api, features, ioctls; } api = { 0xaa, features, 0 };
	struct { uint64_t start, len, mode, ioctls; } range;
	int fd = (int)CALL(syscall(SYS_userfaultfd, O_NONBLOCK));
	char *p = is_shared ? shared(2) : anonymous(2);

	CALL(ioctl(fd, 0xc018aa3f, &api));
	range.start = (uintptr_t)p;
	range.len = 2 * PAGE;
	range.mode = mode;
	CALL(ioctl(fd, 0xc020aa00, &range));
	return act(fd, p);
}

static const char *copy(int fd, char *p)
{
	char *from = anonymous(1);
	struct { uint64_t dst, src, len, mode; int64_t copied; } copy = {
	    (uintptr_t)p, (uintptr_t)from, PAGE, 0, 0 };

	strcpy(from, "abc");
	CALL(ioctl(fd, 0xc028aa03, &copy));
	HOLDS(copy.copied == PAGE && strcmp(p, "abc") == 0);
	return WORKS;
}

static const char *zero(int fd, char *p)
{
	struct { uint64_t start, len, mode; int64_t zeroed; } zero = {
	    (uintptr_t)p, PAGE, 0, 0 };

	CALL(ioctl(fd, 0xc020aa04, &zero));
	HOLDS(zero.zeroed == PAGE && p[0] == 0);
	return WORKS;
}

static const char *protect(int fd, char *p)
{
	struct { uint64_t start, len, mode; } protect = {
	    (uintptr_t)p, PAGE, 1 };

	p[0] = 5;
	CALL(ioctl(fd, 0xc018aa06, &protect));
	protect.mode = 0;
	CALL(ioctl(fd, 0xc018aa06, &protect));
	p[0] = 6;
	return WORKS;
}

static const char *move_page(int fd, char *p)
{
	char *from = anonymous(1);
	struct { uint64_t dst, src, len, mode; int64_t moved; } move = {
	    (uintptr_t)p, (uintptr_t)from, PAGE, 0, 0 };

	strcpy(from, "abc");
	CALL(ioctl(fd, 0xc028aa05, &move));
	HOLDS(strcmp(p, "abc") == 0);
	return WORKS;
}

static const char *poison(int fd, char *p)
{
	struct { uint64_t start, len, mode; int64_t updated; } poison = {
	    (uintptr_t)p, PAGE, 0, 0 };

	CALL(ioctl(fd, 0xc020aa08, &poison));
	HOLDS(byte_or_signal(p, 0) == 256 + SIGBUS);
	return WORKS;
}

PROBE("UFFDIO_COPY") { return served(0, 1, 0, copy); }
PROBE("UFFDIO_ZEROPAGE") { return served(0, 1, 0, zero); }
PROBE("UFFDIO_WRITEPROTECT") { return served(1, 2, 0, protect); }
PROBE("UFFDIO_MOVE") { return served(1 << 16, 1, 0, move_page); }
PROBE("UFFDIO_POISON") { return served(1 << 14, 1, 0, poison); }

PROBE("UFFDIO_CONTINUE")
{
	struct { uint64_t api, features, ioctls; } api = { 0xaa, 1 << 10, 0 };
	struct { uint64_t start, len, mode, ioctls; } range;
	struct { uint64_t start, len, mode; int64_t mapped; } go;
	int fd = (int)CALL(syscall(SYS_userfaultfd, O_NONBLOCK));
	int mem = numbered_file(PAGE);
	char *p = MAPPED(mmap(NULL, PAGE, RW, MAP_SHARED, mem, 0));

	CALL(ioctl(fd, 0xc018aa3f, &api));
	range.start = go.start = (uintptr_t)p;
	range.len = go.len = PAGE;
	range.mode = 4;
	go.mode = 0;
	CALL(ioctl(fd, 0xc020aa00, &range));
	CALL(ioctl(fd, 0xc020aa07, &go));
	HOLDS(p[0] == 1);
	return WORKS;
}
