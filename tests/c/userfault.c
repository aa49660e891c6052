/*
 * Faults that a program serves: userfaultfd(2). What differs between kernels
 * by right is masked: which features and operations there are beyond ours.
 */
#include "show.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

/* The kernel's interface; the C library's headers do not have it. */
struct range { uint64_t start, len; };
struct api { uint64_t api, features, ioctls; };
struct reg { struct range range; uint64_t mode, ioctls; };
struct copy { uint64_t dst, src, len, mode; int64_t copy; };
struct zero { struct range range; uint64_t mode; int64_t zeropage; };
struct protect { struct range range; uint64_t mode; };
struct cont { struct range range; uint64_t mode; int64_t mapped; };
struct msg {
	uint8_t event, reserved[7];
	uint64_t flags, address;
	uint32_t thread, more;
};
_Static_assert(sizeof(struct msg) == 32, "as the kernel has it");

#define UFFDIO_API _IOWR(0xaa, 0x3f, struct api)
#define UFFDIO_REGISTER _IOWR(0xaa, 0, struct reg)
#define UFFDIO_UNREGISTER _IOR(0xaa, 1, struct range)
#define UFFDIO_WAKE _IOR(0xaa, 2, struct range)
#define UFFDIO_COPY _IOWR(0xaa, 3, struct copy)
#define UFFDIO_ZEROPAGE _IOWR(0xaa, 4, struct zero)
#define UFFDIO_MOVE _IOWR(0xaa, 5, struct copy)
#define UFFDIO_WRITEPROTECT _IOWR(0xaa, 6, struct protect)
#define UFFDIO_CONTINUE _IOWR(0xaa, 7, struct cont)
#define UFFDIO_POISON _IOWR(0xaa, 8, struct zero)
#define IOC_NEW _IO(0xaa, 0)

/* The C library's takes an int, which a request may not fit in. */
#define control(fd, request, ...) ioctl(fd, (int)(request), __VA_ARGS__)

enum { MISSING = 1, WP = 2, MINOR = 4 };
enum { F_WRITE = 1, F_WP = 2, F_MINOR = 4 };
#define FEATURE_SIGBUS (1 << 7)
#define FEATURE_THREAD_ID (1 << 8)
#define FEATURE_EXACT (1 << 11)
#define FEATURE_WP_UNPOPULATED (1 << 13)
#define FEATURES_OF_OURS 0x17defULL
#define IOCTLS_OF_OURS 0x80000000000001ffULL

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static int new_fd(int flags, uint64_t features)
{
	struct api api = { .api = 0xaa, .features = features };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | flags);

	need(fd >= 0);
	need(control(fd, UFFDIO_API, &api) == 0);
	return fd;
}

static char *map(long pages)
{
	char *at = mmap(NULL, (size_t)(pages * PAGE), RW, ANON, -1, 0);

	need(at != MAP_FAILED);
	return at;
}

static struct range pages(const void *at, long count)
{
	struct range range = { (uintptr_t)at, (uint64_t)(count * PAGE) };

	return range;
}

static int enroll(int fd, const void *at, long count, uint64_t mode)
{
	struct reg reg = { .range = pages(at, count), .mode = mode };

	return control(fd, UFFDIO_REGISTER, &reg);
}

static int copy(int fd, void *to, const void *from, uint64_t mode)
{
	struct copy copy = { (uintptr_t)to, (uintptr_t)from, PAGE, mode, 0 };

	return control(fd, UFFDIO_COPY, &copy);
}

static int protect(int fd, const void *at, long count, uint64_t mode)
{
	struct protect protect = { pages(at, count), mode };

	return control(fd, UFFDIO_WRITEPROTECT, &protect);
}

/* A call that tells how far it came: the result, and that. */
static void show_done(const char *what, int result, const int64_t *done)
{
	if (result == -1)
		say("%s: %s, done %lld", what, error_name(errno),
		    (long long)*done);
	else
		say("%s: %d, done %lld", what, result, (long long)*done);
}

static void handshake(void)
{
	struct api api = { .api = 0xaa };
	struct msg msg;
	struct pollfd poller = { .events = POLLIN };
	int fd;

	say("- handshake");
	show("bad flags", syscall(SYS_userfaultfd, 0x10));
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	say("cloexec %d nonblock %d", fcntl(fd, F_GETFD),
	    !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	poller.fd = fd;
	poll(&poller, 1, 0);
	say("poll before: %x", (unsigned)poller.revents);
	show("read before", read(fd, &msg, sizeof msg));
	show("register before", enroll(fd, &msg, 1, MISSING));
	api.api = 0xab;
	show("bad version", control(fd, UFFDIO_API, &api));
	say("zeroed: %d", api.api == 0 && api.features == 0 && api.ioctls == 0);
	api.api = 0xaa;
	api.features = 1ULL << 40;
	show("bad feature", control(fd, UFFDIO_API, &api));
	api.api = 0xaa;
	api.features = 0;
	show("api", control(fd, UFFDIO_API, &api));
	say("features %llx ioctls %llx",
	    (unsigned long long)(api.features & FEATURES_OF_OURS),
	    (unsigned long long)api.ioctls);
	api.api = 0xaa;
	api.features = 0;
	show("api again", control(fd, UFFDIO_API, &api));
	poll(&poller, 1, 0);
	say("poll: %x", (unsigned)poller.revents);
	show("read nothing", read(fd, &msg, sizeof msg));
	show("read less", read(fd, &msg, 31));
	show("unknown", control(fd, _IO(0xaa, 0x30), 0));
	show("write", write(fd, &msg, sizeof msg));
	close(fd);
	fd = new_fd(0, 0);
	poller.fd = fd;
	poll(&poller, 1, 0);
	say("poll of one that waits: %x", (unsigned)poller.revents);
	close(fd);
	fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	show("device", fd < 0 ? -1 : 0);
	show("bad request", control(fd, _IO(0xaa, 9), 0));
	show("bad flags of new", control(fd, IOC_NEW, 0x10));
	int made = control(fd, IOC_NEW, O_CLOEXEC);

	say("made: %d", made > fd);
	close(made);
	close(fd);
}

static void refusals(void)
{
	int fd = new_fd(O_NONBLOCK, 0), other = new_fd(O_NONBLOCK, 0);
	char *at = map(8), *page = map(1);
	struct reg reg = { .range = pages(at, 4), .mode = MISSING };
	struct range range = pages(at, 4);
	struct copy move;
	struct zero zero = { .range = pages(at + PAGE, 3), .mode = 0 };

	say("- refusals");
	page[0] = 1;
	show("register", control(fd, UFFDIO_REGISTER, &reg));
	say("ioctls %llx", (unsigned long long)(reg.ioctls & IOCTLS_OF_OURS));
	reg.mode = MISSING | WP;
	show("with wp", control(fd, UFFDIO_REGISTER, &reg));
	say("ioctls %llx", (unsigned long long)(reg.ioctls & IOCTLS_OF_OURS));
	show("other", enroll(other, at + 2 * PAGE, 4, MISSING));
	show("no mode", enroll(fd, at, 4, 0));
	show("bad mode", enroll(fd, at, 4, 16));
	show("not a page", enroll(fd, at + 1, 4, MISSING));
	show("empty", enroll(fd, at, 0, MISSING));
	show("minor of private", enroll(fd, at + 4 * PAGE, 1, MINOR));
	show("unaligned wake", control(fd, UFFDIO_WAKE,
	    &(struct range){ (uintptr_t)at, 100 }));
	show("wake", control(fd, UFFDIO_WAKE, &range));
	show("null wake", control(fd, UFFDIO_WAKE, NULL));
	show("copy", copy(fd, at, page, 0));
	show("copy again", copy(fd, at, page, 0));
	show("copy unregistered", copy(fd, at + 5 * PAGE, page, 0));
	show("copy bad mode", copy(fd, at + PAGE, page, 8));
	show("copy to no page", copy(fd, at + 1, page, 0));
	show("copy from nowhere", copy(fd, at + PAGE, (char *)(1UL << 40), 0));
	show_done("zero", control(fd, UFFDIO_ZEROPAGE, &zero), &zero.zeropage);
	zero.range = pages(at, 4);
	show_done("zero again", control(fd, UFFDIO_ZEROPAGE, &zero),
	    &zero.zeropage);
	madvise(at + PAGE, PAGE, MADV_DONTNEED);
	zero.range = pages(at + PAGE, 3);
	show_done("zero in part", control(fd, UFFDIO_ZEROPAGE, &zero),
	    &zero.zeropage);
	say("bytes %d %d", at[0], at[PAGE]);
	show("protect", protect(fd, at, 4, 1));
	show("protect, both modes", protect(fd, at, 4, 3));
	show("protect unregistered", protect(fd, at + 5 * PAGE, 1, 1));
	show("unprotect", protect(fd, at, 4, 0));
	move = (struct copy){ (uintptr_t)at, (uintptr_t)page, PAGE, 0, 0 };
	show_done("move onto", control(fd, UFFDIO_MOVE, &move), &move.copy);
	move.dst = (uintptr_t)at + 6 * PAGE;
	show_done("move unregistered", control(fd, UFFDIO_MOVE, &move),
	    &move.copy);
	show("unregister other's", control(other, UFFDIO_UNREGISTER, &range));
	show("unregister", control(fd, UFFDIO_UNREGISTER, &range));
	show("unregister again", control(fd, UFFDIO_UNREGISTER, &range));
	say("untouched now: %d", at[7 * PAGE]);
	show("other now", enroll(other, at, 4, MISSING));
	range = pages((void *)(1UL << 40), 1);
	show("unregister nothing", control(fd, UFFDIO_UNREGISTER, &range));
	show("register nothing", enroll(fd, (void *)(1UL << 40), 1, MISSING));

	char *readonly = mmap(NULL, PAGE, PROT_READ, ANON, -1, 0);

	show("register read-only", enroll(fd, readonly, 1, MISSING));
	close(fd);
	close(other);
}

/* A thread that serves faults until it is told to stop. */
struct server {
	int fd, stop[2], count[8];
	char *at, *contents;
	pthread_t thread;
	int quiet;
};

static void answer(struct server *s, const struct msg *msg)
{
	uint64_t page = msg->address & ~(uint64_t)(PAGE - 1);
	long n = (long)(page - (uintptr_t)s->at) / PAGE;

	s->count[msg->flags & 7]++;
	if (!s->quiet)
		say("event %x flags %llx page %ld", msg->event,
		    (unsigned long long)msg->flags, n);
	if (msg->flags & F_WP) {
		protect(s->fd, (void *)page, 1, 0);
	} else if (msg->flags & F_MINOR) {
		struct cont cont = { pages((void *)page, 1), 0, 0 };

		need(control(s->fd, UFFDIO_CONTINUE, &cont) == 0 ||
		    errno == EEXIST);
	} else {
		need(copy(s->fd, (void *)page, s->contents + n * PAGE, 0) == 0
		    || errno == EEXIST);
	}
}

static void *serve(void *arg)
{
	struct server *s = arg;
	struct pollfd pollers[2] = {
		{ .fd = s->fd, .events = POLLIN },
		{ .fd = s->stop[0], .events = POLLIN },
	};
	struct msg messages[4];

	for (;;) {
		need(poll(pollers, 2, -1) > 0);
		if (pollers[1].revents)
			return NULL;
		ssize_t got = read(s->fd, messages, sizeof messages);

		for (long i = 0; i < got / (long)sizeof(struct msg); i++)
			answer(s, &messages[i]);
	}
}

static void start(struct server *s)
{
	need(pipe(s->stop) == 0);
	need(pthread_create(&s->thread, NULL, serve, s) == 0);
}

static void stop(struct server *s)
{
	need(write(s->stop[1], "", 1) == 1);
	pthread_join(s->thread, NULL);
	close(s->stop[0]);
	close(s->stop[1]);
	close(s->fd);
}

static void missing(void)
{
	struct server s = { .fd = new_fd(O_NONBLOCK, 0) };
	int pipes[2];
	char byte;

	say("- missing");
	s.at = map(8);
	s.contents = map(8);
	for (int i = 0; i < 8; i++)
		memset(s.contents + i * PAGE, 'a' + i, PAGE);
	s.at[7 * PAGE] = 'x';
	need(enroll(s.fd, s.at, 8, MISSING) == 0);
	start(&s);
	say("read %c", s.at[0]);
	s.at[PAGE] = 'B';
	say("written %c%c", s.at[PAGE], s.at[PAGE + 1]);
	say("there before %c", s.at[7 * PAGE]);
	/* The kernel's own accesses wait, too. */
	need(pipe(pipes) == 0);
	show("write from it", write(pipes[1], s.at + 2 * PAGE, 1));
	show("read into it", read(pipes[0], s.at + 3 * PAGE, 1));
	say("got %c%c", s.at[3 * PAGE], s.at[3 * PAGE + 1]);
	need(read(open("/dev/zero", O_RDONLY), s.at + 4 * PAGE + 8, 2) == 2);
	say("got %c%d%c", s.at[4 * PAGE], s.at[4 * PAGE + 9],
	    s.at[4 * PAGE + 10]);
	show("populate", madvise(s.at + 5 * PAGE, PAGE, MADV_POPULATE_READ));
	show("lock", mlock(s.at + 6 * PAGE, PAGE));
	say("got %c%c", s.at[5 * PAGE], s.at[6 * PAGE]);
	madvise(s.at, PAGE, MADV_DONTNEED);
	byte = s.at[0];
	say("again %c", byte);
	/* What a child has nobody serves. */
	madvise(s.at + PAGE, PAGE, MADV_DONTNEED);
	if (fork() == 0) {
		say("child %d %c", s.at[PAGE], s.at[0]);
		_exit(0);
	}
	wait(NULL);
	stop(&s);
	say("closed: %d", s.at[PAGE]);
}

static void shared(void)
{
	struct server s = { .fd = new_fd(O_NONBLOCK, 0) };
	int fd = (int)syscall(SYS_memfd_create, "shared", 0);
	volatile char *second;

	say("- shared");
	need(ftruncate(fd, 6 * PAGE) == 0);
	s.at = mmap(NULL, 8 * PAGE, RW, MAP_SHARED, fd, 0);
	second = mmap(NULL, 6 * PAGE, RW, MAP_SHARED, fd, 0);
	s.contents = map(8);
	memset(s.contents, 'c', 8 * PAGE);
	second[0] = 'm';
	second[PAGE] = 'n';
	need(enroll(s.fd, s.at, 8, MISSING | MINOR | WP) == 0);
	show("protect", protect(s.fd, s.at + PAGE, 2, 1));
	start(&s);
	say("minor %c", s.at[0]);
	s.at[0] = 'M';
	say("seen %c", second[0]);
	char found = *(volatile char *)(s.at + 4 * PAGE);

	say("missing %c, seen %c", found, second[4 * PAGE]);
	second[PAGE] = 'N';
	say("protected %c", s.at[PAGE]);
	s.at[PAGE] = 'O';
	say("seen %c", second[PAGE]);
	stop(&s);

	struct cont cont = { pages(s.at + 5 * PAGE, 1), 0, 0 };

	s.fd = new_fd(O_NONBLOCK, 0);
	need(enroll(s.fd, s.at, 8, MISSING | MINOR) == 0);
	show_done("continue, nothing there",
	    control(s.fd, UFFDIO_CONTINUE, &cont), &cont.mapped);
	second[5 * PAGE] = 1;
	show_done("continue", control(s.fd, UFFDIO_CONTINUE, &cont),
	    &cont.mapped);
	show_done("continue again", control(s.fd, UFFDIO_CONTINUE, &cont),
	    &cont.mapped);
	show("copy onto what the object has",
	    copy(s.fd, s.at + 4 * PAGE, s.contents, 0));
	show("copy beyond the end", copy(s.fd, s.at + 7 * PAGE, s.contents, 0));
	close(s.fd);
	close(fd);
}

/* Whether the mapping that begins at an address has a flag in smaps. */
static int has_flag(const void *at, const char *flag)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	char line[512];
	int here = 0, found = -1;

	need(file != NULL);
	while (found < 0 && fgets(line, sizeof line, file)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (uintptr_t)at &&
			    (uintptr_t)at < end;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	fclose(file);
	return found;
}

/* Whether pagemap says of a page that it is write-protected. */
static int is_protected(const void *at)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t word;

	need(fd >= 0);
	need(pread(fd, &word, sizeof word, (off_t)((uintptr_t)at / PAGE * 8))
	    == sizeof word);
	close(fd);
	return word >> 57 & 1;
}

static void tracking(void)
{
	struct server s = { .fd = new_fd(O_NONBLOCK, FEATURE_WP_UNPOPULATED) };
	long i;

	say("- write protection");
	s.at = map(64);
	s.quiet = 1;
	memset(s.at, 1, 64 * PAGE);
	need(enroll(s.fd, s.at, 64, WP) == 0);
	say("flags um %d uw %d ui %d", has_flag(s.at, " um "),
	    has_flag(s.at, " uw "), has_flag(s.at, " ui "));
	need(protect(s.fd, s.at, 64, 1) == 0);
	start(&s);
	for (i = 0; i < 64; i += 3)
		s.at[i * PAGE] = 2;
	for (i = 0; i < 64; i++)
		need(s.at[i * PAGE] == (i % 3 ? 1 : 2));
	say("writes of protected pages: %d", s.count[F_WRITE | F_WP]);
	say("pagemap: %d %d", is_protected(s.at + PAGE), is_protected(s.at));
	for (i = 0; i < 64; i += 3)
		s.at[i * PAGE] = 3;
	say("and then: %d", s.count[F_WRITE | F_WP]);
	need(protect(s.fd, s.at, 64, 1) == 0);
	if (fork() == 0) {
		memset(s.at, 4, 64 * PAGE);
		_exit(s.count[F_WRITE | F_WP]);
	}
	wait(NULL);
	say("after a child: %d", s.count[F_WRITE | F_WP]);
	s.at[PAGE] = 5;
	say("the parent's: %d", s.count[F_WRITE | F_WP]);
	mprotect(s.at, 4 * PAGE, PROT_READ);
	mprotect(s.at, 4 * PAGE, RW);
	s.at[2 * PAGE] = 5;
	say("across mprotect: %d", s.count[F_WRITE | F_WP]);
	need(munmap(s.at + 10 * PAGE, 10 * PAGE) == 0);
	s.at[20 * PAGE] = 5;
	say("beside a hole: %d", s.count[F_WRITE | F_WP]);
	stop(&s);
	s.at[30 * PAGE] = 6;
	say("closed: %d, pagemap: %d", s.count[F_WRITE | F_WP],
	    is_protected(s.at + 31 * PAGE));
}

static void moving(void)
{
	int fd = new_fd(O_NONBLOCK, 0);
	char *to = map(4), *from = map(4);
	struct copy move = { (uintptr_t)to, (uintptr_t)from, PAGE, 0, 0 };

	say("- move");
	memset(from, 'f', 2 * PAGE);
	need(enroll(fd, to, 4, MISSING) == 0);
	show_done("move", control(fd, UFFDIO_MOVE, &move), &move.copy);
	say("moved %c, left %d", to[0], from[0]);
	show_done("again", control(fd, UFFDIO_MOVE, &move), &move.copy);
	move.dst += PAGE;
	move.src += 2 * PAGE;
	show_done("a hole", control(fd, UFFDIO_MOVE, &move), &move.copy);
	move.mode = 2;
	show_done("allowed", control(fd, UFFDIO_MOVE, &move), &move.copy);
	move = (struct copy){ (uintptr_t)to + PAGE, (uintptr_t)from + PAGE,
	    3 * PAGE, 0, 0 };
	show_done("in part", control(fd, UFFDIO_MOVE, &move), &move.copy);
	say("moved %c", to[PAGE + 7]);
	from[0] = 's';
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	move = (struct copy){ (uintptr_t)to + 2 * PAGE, (uintptr_t)from, PAGE,
	    0, 0 };
	show_done("a child has it", control(fd, UFFDIO_MOVE, &move), &move.copy);
	move.mode = 16;
	show_done("bad mode", control(fd, UFFDIO_MOVE, &move), &move.copy);
	mprotect(from, PAGE, PROT_READ);
	move.mode = 0;
	show_done("other rights", control(fd, UFFDIO_MOVE, &move), &move.copy);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(fd);
}

/* What poisons a page, and what comes of touching it. */
static void lose(const char *what, int fd, const void *at, long count,
    uint64_t mode)
{
	struct zero poison = { .range = pages(at, count), .mode = mode };

	show_done(what, control(fd, UFFDIO_POISON, &poison), &poison.zeropage);
}

/* The code depends on whether Linux was built to handle memory failures. */
static void look_lost(const char *what, const volatile char *at)
{
	if (sigsetjmp(touch_failed, 1) == 0)
		say("%s: read %d", what, *at);
	else
		say("%s: signal %d, lost %d, %+ld", what, touch_signal,
		    touch_code == BUS_ADRERR || touch_code == BUS_MCEERR_AR,
		    (long)((char *)touch_address - (const char *)at));
}

/* Pages that the server has lost. */
static void poisoning(void)
{
	int fd = new_fd(O_NONBLOCK, 0), pipes[2];
	char *at = map(8), *to = map(1), *page = map(1), *moved;
	struct copy move = { (uintptr_t)to, (uintptr_t)at + PAGE, PAGE, 0, 0 };
	struct zero zero = { .range = pages(at + PAGE, 1), .mode = 0 };

	say("- poison");
	catch_faults();
	need(pipe(pipes) == 0);
	at[0] = 'a';
	lose("unregistered", fd, at + PAGE, 1, 0);
	need(enroll(fd, at, 8, MISSING) == 0);
	lose("poison", fd, at + PAGE, 2, 0);
	lose("again", fd, at + PAGE, 1, 0);
	lose("of a page", fd, at, 1, 0);
	need(copy(fd, at + 5 * PAGE, page, 0) == 0);
	lose("in part", fd, at + 3 * PAGE, 3, 0);
	lose("beyond it", fd, at + 6 * PAGE, 3, 0);
	lose("bad mode", fd, at + 6 * PAGE, 1, 2);
	lose("no page", fd, at + 1, 1, 0);
	lose("nothing", fd, at, 0, 0);
	look_lost("read", at + PAGE + 5);
	if (sigsetjmp(touch_failed, 1) == 0)
		at[2 * PAGE] = 1;
	else
		say("write: signal %d", touch_signal);
	show("write from it", write(pipes[1], at + PAGE, 1));
	show("read into it", read(open("/dev/zero", O_RDONLY), at + PAGE, 1));
	show("populate", madvise(at + PAGE, PAGE, MADV_POPULATE_READ));
	show("lock", mlock(at + PAGE, PAGE));
	show("unlock", munlock(at + PAGE, PAGE));
	need(enroll(fd, to, 1, MISSING) == 0);
	show_done("move it", control(fd, UFFDIO_MOVE, &move), &move.copy);
	move = (struct copy){ (uintptr_t)at + PAGE, (uintptr_t)at, PAGE, 0, 0 };
	show_done("move onto it", control(fd, UFFDIO_MOVE, &move), &move.copy);
	show_done("zero it", control(fd, UFFDIO_ZEROPAGE, &zero), &zero.zeropage);
	mprotect(at + PAGE, PAGE, PROT_NONE);
	look("without rights", at, PAGE);
	mprotect(at + PAGE, PAGE, RW);
	look_lost("with rights", at + PAGE);
	if (fork() == 0) {
		look_lost("a child", at + PAGE);
		madvise(at + PAGE, PAGE, MADV_DONTNEED);
		look_lost("a child, discarded", at + PAGE);
		_exit(0);
	}
	wait(NULL);
	page[0] = 'p';
	show("copy onto it", copy(fd, at + PAGE, page, 0));
	look_lost("copied", at + PAGE);
	madvise(at + PAGE, PAGE, MADV_DONTNEED);
	lose("anew", fd, at + PAGE, 1, 0);
	close(fd);
	look_lost("closed", at + PAGE);
	look_lost("beside it", at);
	show("discard", madvise(at + PAGE, PAGE, MADV_DONTNEED));
	look_lost("discarded", at + PAGE);
	look_lost("the next", at + 2 * PAGE);
	show("free", madvise(at + 2 * PAGE, PAGE, MADV_FREE));
	look_lost("freed", at + 2 * PAGE);
	moved = mremap(at + 3 * PAGE, PAGE, PAGE,
	    MREMAP_MAYMOVE | MREMAP_FIXED, map(1));
	need(moved != MAP_FAILED);
	look_lost("moved", moved);
	need(mmap(moved, PAGE, RW, ANON | MAP_FIXED, -1, 0) == moved);
	look_lost("mapped anew", moved);
	close(pipes[0]);
	close(pipes[1]);
}

/* Of an object a mapping loses the sight, and nobody else. */
static void shared_poison(void)
{
	int fd = new_fd(O_NONBLOCK, 0);
	int mem = (int)syscall(SYS_memfd_create, "shared", 0);

	need(ftruncate(mem, 4 * PAGE) == 0);

	char *at = mmap(NULL, 6 * PAGE, RW, MAP_SHARED, mem, 0);
	char *second = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, mem, 0);

	say("- poison of shared memory");
	second[0] = 'm';
	need(enroll(fd, at, 6, MISSING | MINOR) == 0);
	lose("what the object has", fd, at, 1, 0);
	lose("what it has not", fd, at + PAGE, 1, 0);
	lose("beyond its end", fd, at + 5 * PAGE, 1, 0);
	look_lost("here", at);
	look_lost("there", second);
	second[PAGE] = 'n';
	look_lost("here", at + PAGE);

	struct cont cont = { pages(at, 1), 0, 0 };

	show_done("continue", control(fd, UFFDIO_CONTINUE, &cont), &cont.mapped);
	look_lost("here", at);
	if (fork() == 0) {
		look_lost("a child", at + PAGE);
		_exit(0);
	}
	wait(NULL);
	show("punch", fallocate(mem, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
	    PAGE, PAGE));
	look_lost("punched", at + PAGE);
	close(fd);
	show("discard", madvise(at + PAGE, PAGE, MADV_DONTNEED));
	look_lost("discarded", at + PAGE);
	close(mem);
}

/* Reads as many events as it is told to; serves nothing meanwhile. */
struct listener {
	int fd, count;
	char *at;
	pthread_t thread;
};

static void *listen_to(void *arg)
{
	struct listener *l = arg;
	struct pollfd poller = { .fd = l->fd, .events = POLLIN };
	char *page = map(1);

	while (l->count-- > 0) {
		struct copy copy = { (uintptr_t)l->at, (uintptr_t)page, PAGE,
		    0, 0 };
		struct msg msg;

		need(poll(&poller, 1, -1) == 1);
		/* Before the event is read nothing is served. */
		show_done("copy", control(l->fd, UFFDIO_COPY, &copy),
		    &copy.copy);
		need(read(l->fd, &msg, sizeof msg) == sizeof msg);
		say("event %x, pages %ld to %ld", msg.event,
		    (long)(msg.flags - (uintptr_t)l->at) / PAGE,
		    (long)(msg.address - (uintptr_t)l->at) / PAGE);
	}
	return NULL;
}

static void listening(struct listener *l, int count)
{
	l->count = count;
	need(pthread_create(&l->thread, NULL, listen_to, l) == 0);
}

#define FEATURE_REMOVE (1 << 3)
#define FEATURE_UNMAP (1 << 6)

/* Programs that are told what becomes of what they serve. */
static void events(void)
{
	struct listener l = {
		.fd = new_fd(O_NONBLOCK, FEATURE_REMOVE | FEATURE_UNMAP)
	};
	int mem = (int)syscall(SYS_memfd_create, "shared", 0);
	char *file;
	int result;

	say("- events");
	l.at = map(16);
	memset(l.at, 1, 16 * PAGE);
	need(enroll(l.fd, l.at, 12, MISSING) == 0);
	mprotect(l.at + 6 * PAGE, PAGE, PROT_READ);
	listening(&l, 1);
	result = madvise(l.at + PAGE, 2 * PAGE, MADV_DONTNEED);
	pthread_join(l.thread, NULL);
	show("discard", result);
	listening(&l, 3);
	result = madvise(l.at + 5 * PAGE, 3 * PAGE, MADV_FREE);
	pthread_join(l.thread, NULL);
	show("free", result);
	show("nobody's", madvise(l.at + 14 * PAGE, PAGE, MADV_DONTNEED));
	listening(&l, 1);
	result = munmap(l.at + 4 * PAGE, 4 * PAGE);
	pthread_join(l.thread, NULL);
	show("unmap", result);
	listening(&l, 1);
	need(mmap(l.at + 8 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0)
	    == l.at + 8 * PAGE);
	pthread_join(l.thread, NULL);
	listening(&l, 1);
	need(mremap(l.at + 9 * PAGE, 3 * PAGE, 2 * PAGE, 0) == l.at + 9 * PAGE);
	pthread_join(l.thread, NULL);
	listening(&l, 1);
	need(mremap(l.at + 9 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
	    map(1)) != MAP_FAILED);
	pthread_join(l.thread, NULL);
	/* The rest of the space is nobody's business. */
	show("unmap nobody's", munmap(l.at + 13 * PAGE, PAGE));
	need(ftruncate(mem, 2 * PAGE) == 0);
	file = mmap(l.at + 13 * PAGE, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, mem,
	    0);
	need(file != MAP_FAILED);
	file[0] = 1;
	need(enroll(l.fd, file, 2, MISSING) == 0);
	listening(&l, 1);
	result = madvise(file, PAGE, MADV_REMOVE);
	pthread_join(l.thread, NULL);
	show("remove", result);

	/* A process that waits for ever can be killed. */
	pid_t child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);

	if (child == 0) {
		int own = new_fd(O_NONBLOCK, FEATURE_REMOVE);

		need(enroll(own, l.at, 1, MISSING) == 0);
		madvise(l.at, PAGE, MADV_DONTNEED);
		_exit(1);
	}
	usleep(20000);
	kill(child, SIGKILL);
	reap("killed", child);
	close(l.fd);
	show("closed", madvise(l.at, PAGE, MADV_DONTNEED));
	close(mem);
}

#define FEATURE_FORK (1 << 1)
#define FEATURE_REMAP (1 << 2)

/* Reads of one event. */
static void *one_event(void *arg)
{
	struct listener *l = arg;
	struct pollfd poller = { .fd = l->fd, .events = POLLIN };
	static struct msg msg;

	need(poll(&poller, 1, -1) == 1);
	need(read(l->fd, &msg, sizeof msg) == sizeof msg);
	return &msg;
}

static void await_event(struct listener *l)
{
	need(pthread_create(&l->thread, NULL, one_event, l) == 0);
}

static struct msg *awaited(struct listener *l)
{
	void *got;

	pthread_join(l->thread, &got);
	return got;
}

/* Shows the event of a mapping that has moved. */
static void show_moved(const struct msg *msg, const char *at, const char *to)
{
	say("event %x, from %ld to %ld, %ld pages", msg->event,
	    (long)(msg->flags - (uintptr_t)at) / PAGE,
	    (long)(msg->address - (uintptr_t)to) / PAGE,
	    (long)((uint64_t)msg->more << 32 | msg->thread) / PAGE);
}

/* Who serves a mapping serves it still when it has moved. */
static void followed(void)
{
	struct listener l = { .fd = new_fd(O_NONBLOCK, FEATURE_REMAP) };
	char *at = map(4), *to = map(4);

	say("- followed");
	at[0] = 'a';
	need(enroll(l.fd, at, 3, MISSING | WP) == 0);
	need(protect(l.fd, at, 3, 1) == 0);
	await_event(&l);
	need(mremap(at, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to)
	    == to);
	show_moved(awaited(&l), at, to);
	say("um %d, protected %d", has_flag(to, " um "), is_protected(to));
	show("copy there", copy(l.fd, to + PAGE, map(1), 0));
	show("copy here", copy(l.fd, at + PAGE, to, 0));
	say("read %c%d", to[0], to[PAGE]);
	/* Nobody is told of what does not move. */
	show("in its place", mremap(to, 3 * PAGE, 2 * PAGE, 0) == to ? 0 : -1);
	close(l.fd);
}

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* A mapping that is left behind is served still; where its memory is now only by who follows. */
static void left_behind(uint64_t features)
{
	struct listener l = { .fd = new_fd(O_NONBLOCK, features) };
	char *at = map(4), *page = map(1), *to;

	say("- left behind, features %llx", (unsigned long long)features);
	memset(at, 'a', 3 * PAGE);
	memset(page, 'p', PAGE);
	need(enroll(l.fd, at, 4, MISSING | WP) == 0);
	need(protect(l.fd, at + PAGE, 1, 1) == 0);
	if (features & FEATURE_REMAP)
		await_event(&l);
	to = mremap(at, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	need(to != MAP_FAILED);
	if (features & FEATURE_REMAP)
		show_moved(awaited(&l), at, to);
	say("here: um %d, protected %d%d", has_flag(at, " um "),
	    is_protected(at), is_protected(at + PAGE));
	say("there: um %d, protected %d%d", has_flag(to, " um "),
	    is_protected(to), is_protected(to + PAGE));
	show("copy here", copy(l.fd, at, page, 0));
	show("again", copy(l.fd, at + PAGE, page, 0));
	show("copy there", copy(l.fd, to + 3 * PAGE, page, 0));
	say("%c%c %c%c%c", at[0], at[PAGE], to[0], to[PAGE], to[2 * PAGE]);
	close(l.fd);
	say("closed: %d%d", at[3 * PAGE], is_protected(to + PAGE));
}

/* A fork that nobody reads of waits, and can be killed. */
static void forked_unread(void)
{
	pid_t child = fork();

	if (child == 0) {
		int fd = new_fd(0, FEATURE_FORK);

		need(enroll(fd, map(1), 1, MISSING) == 0);
		fork();
		_exit(1);
	}
	usleep(20000);
	kill(child, SIGKILL);
	reap("unread", child);
}

/* The parent's server serves the child, too, by a descriptor of its own. */
static void inherited(void)
{
	struct server s = { .fd = new_fd(O_NONBLOCK, FEATURE_FORK), .quiet = 1 };
	struct listener l = { .fd = s.fd };
	struct msg *msg;
	pid_t child;

	say("- inherited");
	s.at = map(4);
	s.contents = map(4);
	memset(s.contents, 'c', 4 * PAGE);
	memset(s.at, 'p', PAGE);
	need(enroll(s.fd, s.at, 4, MISSING | WP) == 0);
	need(protect(s.fd, s.at, 1, 1) == 0);
	await_event(&l);
	child = fork();
	if (child == 0) {
		say("child reads %c%c", s.at[0], s.at[PAGE]);
		s.at[0] = 'w';
		say("child writes %c", s.at[0]);
		_exit(0);
	}
	need(child > 0);
	msg = awaited(&l);
	say("event %x", msg->event);

	struct server heir = s;

	heir.fd = (int)msg->flags;
	say("nonblock %d cloexec %d",
	    !!(fcntl(heir.fd, F_GETFL) & O_NONBLOCK), fcntl(heir.fd, F_GETFD));
	start(&heir);
	reap("child", child);
	say("served %d, of them protected %d", heir.count[0] + heir.count[1],
	    heir.count[F_WRITE | F_WP]);
	stop(&heir);
	say("the parent's %c", s.at[0]);
	close(s.fd);
	forked_unread();
}

/* Reads of a fork when it can: first there is too little room, then no descriptor is free. */
static void *late_event(void *arg)
{
	struct listener *l = arg;
	struct pollfd poller = { .fd = l->fd, .events = POLLIN };
	struct rlimit few = { 1024, 1024 };
	int first = dup(1), last = first, next;
	struct msg msg;

	setrlimit(RLIMIT_NOFILE, &few);
	need(poll(&poller, 1, -1) == 1);
	show("too little room", read(l->fd, &msg, sizeof msg - 1));
	while ((next = dup(1)) >= 0)
		last = next;
	show("no descriptor", read(l->fd, &msg, sizeof msg));
	show("still there", poll(&poller, 1, 0));
	while (last >= first)
		close(last--);
	/* From here on the child prints. */
	need(read(l->fd, &msg, sizeof msg) == sizeof msg && msg.event == 0x13);
	l->count = (int)msg.flags;
	need(read(l->fd, &msg, sizeof msg) == -1 && errno == EAGAIN);
	return NULL;
}

/* Closes a descriptor of whose events nobody has read. */
static void *closing(void *arg)
{
	struct listener *l = arg;
	struct pollfd poller = { .fd = l->fd, .events = POLLIN };

	need(poll(&poller, 1, -1) == 1);
	close(l->fd);
	return NULL;
}

/* Children of what is read of late, never, or not served. */
static void children(void)
{
	struct listener l = { .fd = new_fd(O_NONBLOCK, FEATURE_FORK) };
	char *at = map(4);
	pid_t child;

	say("- children");
	memset(at, 'p', 2 * PAGE);
	need(enroll(l.fd, at, 4, WP) == 0);
	need(protect(l.fd, at, 2, 1) == 0);
	need(madvise(at, PAGE, MADV_WIPEONFORK) == 0);
	need(pthread_create(&l.thread, NULL, late_event, &l) == 0);
	child = fork();
	if (child == 0) {
		say("child: %d%c protected %d%d", at[0], at[PAGE],
		    is_protected(at), is_protected(at + PAGE));
		say("um %d%d", has_flag(at, " uw "), has_flag(at + PAGE, " uw "));
		at[0] = 'w';
		_exit(0);
	}
	pthread_join(l.thread, NULL);
	reap("wiped", child);
	close(l.count);

	/* The child has no descriptor of its own that would keep it open. */
	need(pthread_create(&l.thread, NULL, closing, &l) == 0);
	child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (child == 0) {
		at[PAGE] = 'w';
		say("child: %d%c protected %d", at[3 * PAGE], at[PAGE],
		    is_protected(at + PAGE));
		_exit(0);
	}
	pthread_join(l.thread, NULL);
	reap("closed", child);

	l.fd = new_fd(O_NONBLOCK, FEATURE_FORK);
	need(enroll(l.fd, at, 4, WP) == 0);
	need(madvise(at, 4 * PAGE, MADV_DONTFORK) == 0);
	child = fork();
	if (child == 0)
		_exit(0);
	reap("not given", child);
	close(l.fd);
}

static volatile int handled;

static void on_alarm(int sig)
{
	(void)sig;
	handled++;
}

static void *touch(void *arg)
{
	*(volatile char *)arg = 1;
	return NULL;
}

static void signals(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	int fd = new_fd(0, FEATURE_EXACT | FEATURE_THREAD_ID);
	struct msg msg;
	char *at = map(4);
	pthread_t thread;
	int status;

	say("- signals and ends");
	sigaction(SIGUSR1, &action, NULL);
	need(enroll(fd, at, 4, MISSING) == 0);
	pthread_create(&thread, NULL, touch, at + 100);
	need(read(fd, &msg, sizeof msg) == sizeof msg);
	say("exact %ld, a thread %d", (long)(msg.address - (uintptr_t)at),
	    msg.thread != 0 && msg.thread != (uint32_t)getpid());
	pthread_kill(thread, SIGUSR1);
	/* The handler runs, and the fault comes again. */
	need(read(fd, &msg, sizeof msg) == sizeof msg);
	say("handled %d", handled);
	need(copy(fd, at, map(1), 1) == 0);
	struct range range = pages(at, 1);

	need(control(fd, UFFDIO_WAKE, &range) == 0);
	pthread_join(thread, NULL);
	say("written %d", at[100]);

	pthread_create(&thread, NULL, touch, at + PAGE);
	need(read(fd, &msg, sizeof msg) == sizeof msg);
	close(fd);
	pthread_join(thread, NULL);
	say("after close %d", at[PAGE]);

	/* A process that waits for ever can be killed. */
	fd = new_fd(0, 0);
	pid_t child = fork();

	if (child == 0) {
		int own = new_fd(0, 0);

		need(enroll(own, at + 2 * PAGE, 1, MISSING) == 0);
		at[2 * PAGE] = 1;
		_exit(1);
	}
	usleep(20000);
	kill(child, SIGKILL);
	need(waitpid(child, &status, 0) == child);
	say("killed by %d", WTERMSIG(status));

	struct reg reg = { .range = pages(at + 2 * PAGE, 1), .mode = MISSING };

	need(control(fd, UFFDIO_REGISTER, &reg) == 0);
	close(fd);

	catch_faults();
	fd = new_fd(0, FEATURE_SIGBUS);
	need(enroll(fd, at + 3 * PAGE, 1, MISSING) == 0);
	look("sigbus", at, 3 * PAGE);
	show("the kernel's", write(1, at + 3 * PAGE, 1));
	close(fd);
	fd = (int)syscall(SYS_userfaultfd, 1);
	struct api api = { .api = 0xaa };

	need(control(fd, UFFDIO_API, &api) == 0);
	need(enroll(fd, at + 3 * PAGE, 1, MISSING) == 0);
	show("the kernel's, user mode only", write(1, at + 3 * PAGE, 1));
	close(fd);
}

/* Changes of the mapping: what is moved or mapped anew nobody serves. */
static void changes(void)
{
	int fd = new_fd(O_NONBLOCK, 0), queue = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };
	char *at = map(8), *moved;
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	say("- changes");
	need(epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event) == 0);
	need(enroll(fd, at, 8, MISSING) == 0);
	moved = mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, map(1));
	say("moved %d", moved[0]);
	need(mmap(at + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == at + PAGE);
	say("anew %d", at[PAGE]);
	need(epoll_wait(queue, &event, 1, 0) == 0);

	pthread_t thread;

	pthread_create(&thread, NULL, touch, at + 2 * PAGE);
	say("epoll %d", epoll_wait(queue, &event, 1, -1));
	need(poll(&poller, 1, -1) == 1);
	say("poll %x", (unsigned)poller.revents);
	struct range range = pages(at + 2 * PAGE, 6);

	need(control(fd, UFFDIO_UNREGISTER, &range) == 0);
	pthread_join(thread, NULL);
	say("unregistered %d", at[2 * PAGE]);
	say("epoll %d", epoll_wait(queue, &event, 1, 0));
	close(fd);
	close(queue);
}

static uint32_t checksum(const char *bytes, long count)
{
	uint32_t sum = 1;

	for (long i = 0; i < count; i++)
		sum = sum * 31 + (unsigned char)bytes[i];
	return sum;
}

enum { COUNT = 256 };

/* The child's part: it computes with memory that is still elsewhere. */
static void migrated(char *at, int ready, int result)
{
	int fd = new_fd(O_NONBLOCK, 0);
	uint32_t sum = 0;

	need(enroll(fd, at, COUNT, MISSING) == 0);
	need(write(ready, &fd, sizeof fd) == sizeof fd);
	for (long i = 0; i < COUNT; i++)
		sum += checksum(at + i * 37 % COUNT * PAGE, PAGE);
	need(write(result, &sum, sizeof sum) == sizeof sum);
	_exit(0);
}

/*
 * A program goes on elsewhere while its memory comes page by page from the
 * parent, who has the snapshot. They share their descriptors.
 */
static void migration(void)
{
	char *snapshot = map(COUNT), *at = map(COUNT);
	struct server s = { .at = at, .contents = snapshot, .quiet = 1 };
	int ready[2], result[2];
	uint32_t sum, expected = 0;

	say("- migration");
	for (long i = 0; i < COUNT * PAGE; i++)
		snapshot[i] = (char)(i * 7 + i / PAGE);
	for (long i = 0; i < COUNT; i++)
		expected += checksum(snapshot + i * PAGE, PAGE);
	need(pipe(ready) == 0 && pipe(result) == 0);
	long child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);

	need(child >= 0);
	if (child == 0)
		migrated(at, ready[1], result[1]);
	need(read(ready[0], &s.fd, sizeof s.fd) == sizeof s.fd);
	start(&s);
	need(read(result[0], &sum, sizeof sum) == sizeof sum);
	need(waitpid((pid_t)child, NULL, 0) == child);
	say("the same: %d, served %d", sum == expected, s.count[0]);
	say("here untouched: %d", at[0]);
	/* Nobody is there any more. */
	show("copy", copy(s.fd, at, snapshot, 0));
	stop(&s);
	close(ready[0]);
	close(ready[1]);
	close(result[0]);
	close(result[1]);
}

enum { RACERS = 8, RACE = 64 };

struct racer {
	char *at;
	int number;
	long wrong;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	for (long i = 0; i < RACE * 8; i++) {
		long page = (i * 13 + r->number * 7) % RACE;
		char *word = r->at + page * PAGE + r->number * 64;

		if (r->at[page * PAGE + 1024] != (char)page)
			r->wrong++;
		if (i % 3 == 0)
			++*word;
		if (i % 50 == 49)
			sched_yield();
	}
	return NULL;
}

/* Many threads, one server: all see what it placed, and nothing is lost. */
static void stress(void)
{
	struct server s = { .fd = new_fd(O_NONBLOCK, 0), .quiet = 1 };
	struct racer racers[RACERS];
	pthread_t threads[RACERS];
	long wrong = 0, sum = 0;

	say("- stress");
	s.at = map(RACE);
	s.contents = map(RACE);
	for (long i = 0; i < RACE; i++)
		s.contents[i * PAGE + 1024] = (char)i;
	need(enroll(s.fd, s.at, RACE, MISSING) == 0);
	start(&s);
	for (int i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){ s.at, i, 0 };
		need(pthread_create(&threads[i], NULL, race, &racers[i]) == 0);
	}
	for (int i = 0; i < RACERS; i++) {
		pthread_join(threads[i], NULL);
		wrong += racers[i].wrong;
	}
	for (long page = 0; page < RACE; page++)
		for (int i = 0; i < RACERS; i++)
			sum += (unsigned char)s.at[page * PAGE + i * 64];
	say("wrong %ld, additions %ld", wrong, sum);
	stop(&s);
}

int main(void)
{
	handshake();
	refusals();
	missing();
	shared();
	tracking();
	moving();
	poisoning();
	shared_poison();
	events();
	followed();
	left_behind(FEATURE_REMAP | FEATURE_UNMAP);
	left_behind(0);
	inherited();
	children();
	signals();
	changes();
	migration();
	stress();
	return 0;
}
