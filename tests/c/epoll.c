/* Sets of files to wait for: levels, edges and single reports. */
#include "show.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

static int set;

static void add(int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.u64 = (uint64_t)fd << 32 | 7 };

	need(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0);
}

static void change(int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.u64 = (uint64_t)fd << 32 | 8 };

	need(epoll_ctl(set, EPOLL_CTL_MOD, fd, &e) == 0);
}

static void look_at(const char *what)
{
	struct epoll_event e[4];
	int n = epoll_wait(set, e, 4, 0);
	char line[200] = "";

	for (int i = 0; i < n; i++)
		snprintf(line + strlen(line), sizeof line - strlen(line),
		    " %d:%x%s%s%s%s%s", (int)(e[i].data.u64 >> 32),
		    (unsigned)(uint32_t)e[i].data.u64,
		    e[i].events & EPOLLIN ? " in" : "",
		    e[i].events & EPOLLOUT ? " out" : "",
		    e[i].events & EPOLLRDHUP ? " rdhup" : "",
		    e[i].events & EPOLLHUP ? " hup" : "",
		    e[i].events & EPOLLERR ? " err" : "");
	say("%s: %d%s", what, n, line);
}

static void fill(int fd)
{
	static char page[PAGE];

	need(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	while (write(fd, page, sizeof page) > 0)
		;
	need(errno == EAGAIN);
}

static void drain(int fd)
{
	static char page[PAGE];

	need(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	while (read(fd, page, sizeof page) > 0)
		;
	need(errno == EAGAIN);
}

static void errors(void)
{
	struct epoll_event e = { .events = EPOLLIN };
	int p[2], file = open("/tmp", O_RDONLY);

	need(pipe(p) == 0 && file >= 0);
	show("size 0", syscall(SYS_epoll_create, 0));
	show("flags", epoll_create1(1));
	show("add", epoll_ctl(set, EPOLL_CTL_ADD, p[0], &e));
	show("again", epoll_ctl(set, EPOLL_CTL_ADD, p[0], &e));
	show("change what is not there", epoll_ctl(set, EPOLL_CTL_MOD, p[1], &e));
	show("take what is not there", epoll_ctl(set, EPOLL_CTL_DEL, p[1], &e));
	show("nothing", epoll_ctl(set, EPOLL_CTL_ADD, 99, &e));
	show("a directory", epoll_ctl(set, EPOLL_CTL_ADD, file, &e));
	show("itself", epoll_ctl(set, EPOLL_CTL_ADD, set, &e));
	show("to no set", epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &e));
	show("unknown", epoll_ctl(set, 9, p[0], &e));
	show("no event", epoll_ctl(set, EPOLL_CTL_ADD, p[1], NULL));
	show("wait for none", epoll_wait(set, &e, 0, 0));
	show("wait at no set", epoll_wait(p[0], &e, 1, 0));
	show("in vain", epoll_wait(set, &e, 1, 10));
	show("take", epoll_ctl(set, EPOLL_CTL_DEL, p[0], NULL));
	close(p[0]);
	close(p[1]);
	close(file);
}

static void levels(void)
{
	int p[2];
	char byte;

	need(pipe(p) == 0);
	add(p[0], EPOLLIN);
	add(p[1], EPOLLOUT);
	look_at("writable");
	need(write(p[1], "ab", 2) == 2);
	change(p[1], 0);
	look_at("readable");
	look_at("readable still");
	need(read(p[0], &byte, 1) == 1);
	look_at("and still");
	need(read(p[0], &byte, 1) == 1);
	look_at("not any more");
	close(p[1]);
	look_at("closed");
	close(p[0]);
	look_at("both closed");
}

static void edges(void)
{
	int p[2], sv[2], e = eventfd(0, EFD_NONBLOCK);
	uint64_t one = 1;
	char byte;

	need(pipe(p) == 0 && e >= 0);
	add(p[0], EPOLLIN | EPOLLET);
	look_at("empty pipe");
	need(write(p[1], "ab", 2) == 2);
	look_at("written");
	look_at("no edge");
	need(read(p[0], &byte, 1) == 1);
	look_at("read a part");
	need(write(p[1], "c", 1) == 1);
	look_at("written more");
	drain(p[0]);
	look_at("drained");
	need(write(p[1], "d", 1) == 1);
	look_at("written again");
	change(p[0], EPOLLIN | EPOLLET);
	look_at("changed");
	look_at("no edge");
	close(p[1]);
	look_at("closed");
	look_at("no edge");
	close(p[0]);

	need(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	add(sv[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	look_at("writable socket");
	look_at("no edge");
	need(write(sv[1], "ab", 2) == 2);
	look_at("written to");
	look_at("no edge");
	need(read(sv[0], &byte, 1) == 1);
	look_at("read a part");
	drain(sv[0]);
	look_at("drained");
	fill(sv[0]);
	look_at("full");
	drain(sv[1]);
	look_at("room");
	look_at("no edge");
	need(shutdown(sv[1], SHUT_WR) == 0);
	look_at("other side shut");
	look_at("no edge");
	close(sv[1]);
	look_at("other side closed");
	look_at("no edge");
	close(sv[0]);

	add(e, EPOLLIN | EPOLLET);
	look_at("eventfd");
	need(write(e, &one, 8) == 8);
	look_at("written");
	look_at("no edge");
	need(write(e, &one, 8) == 8);
	look_at("once more");
	need(read(e, &one, 8) == 8);
	look_at("read");
	close(e);
}

static void once(void)
{
	int sv[2];

	need(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
	add(sv[0], EPOLLIN | EPOLLONESHOT);
	need(write(sv[1], "a", 1) == 1);
	look_at("once");
	need(write(sv[1], "b", 1) == 1);
	look_at("not twice");
	change(sv[0], EPOLLIN | EPOLLONESHOT);
	look_at("armed again");
	change(sv[0], EPOLLIN | EPOLLONESHOT | EPOLLET);
	look_at("with edges");
	look_at("once");
	close(sv[0]);
	close(sv[1]);
}

/* Who asks for one at a time gets to know of each. */
static void turns(void)
{
	int p[3][2], seen = 0;
	struct epoll_event e;

	for (int i = 0; i < 3; i++) {
		need(pipe(p[i]) == 0 && write(p[i][1], "x", 1) == 1);
		add(p[i][0], EPOLLIN);
	}
	for (int i = 0; i < 3; i++) {
		need(epoll_wait(set, &e, 1, 0) == 1);
		for (int j = 0; j < 3; j++)
			if ((int)(e.data.u64 >> 32) == p[j][0])
				seen |= 1 << j;
	}
	say("seen: %d", seen);
	for (int i = 0; i < 3; i++) {
		close(p[i][0]);
		close(p[i][1]);
	}
}

/* A child writes while the parent waits; also by epoll_pwait2. */
static void waits(void)
{
	int sv[2], status;
	struct epoll_event e;
	struct timespec time = { 60, 0 }, bad = { 0, 1000000000 };
	pid_t child;
	char byte;

	need(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	add(sv[0], EPOLLIN | EPOLLET);
	child = fork();
	if (child == 0) {
		for (int i = 0; i < 3; i++) {
			usleep(10000);
			need(write(sv[1], "x", 1) == 1);
			need(read(sv[1], &byte, 1) == 1);
		}
		_exit(0);
	}
	show("waited", epoll_wait(set, &e, 1, -1));
	need(read(sv[0], &byte, 1) == 1 && write(sv[0], "y", 1) == 1);
	show("waited", epoll_pwait(set, &e, 1, 60000, NULL));
	need(read(sv[0], &byte, 1) == 1 && write(sv[0], "y", 1) == 1);
	show("waited", syscall(SYS_epoll_pwait2, set, &e, 1, &time, NULL, 8));
	need(read(sv[0], &byte, 1) == 1 && write(sv[0], "y", 1) == 1);
	show("bad time", syscall(SYS_epoll_pwait2, set, &e, 1, &bad, NULL, 8));
	need(waitpid(child, &status, 0) == child);
	say("child %d", status);
	close(sv[0]);
	close(sv[1]);
}

int main(void)
{
	set = epoll_create1(EPOLL_CLOEXEC);
	need(set >= 0);
	errors();
	levels();
	edges();
	once();
	turns();
	waits();
	return 0;
}
