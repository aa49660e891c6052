/*
 * What the programs about local sockets have in common: names, pairs, and what
 * calls return.
 */
#ifndef SOCKETS_H
#define SOCKETS_H

#include "show.h"

#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

/* musl's macros convert without a cast. */
#pragma GCC diagnostic ignored "-Wsign-conversion"

#define NONBLOCK SOCK_NONBLOCK

__attribute__((unused))
static const char *socket_error(int error)
{
	switch (error) {
#define NAME(e) case e: return #e;
	NAME(EADDRINUSE) NAME(ECONNREFUSED) NAME(ECONNRESET) NAME(EISCONN)
	NAME(ENOTCONN) NAME(EMSGSIZE) NAME(ENOBUFS) NAME(EPROTONOSUPPORT)
	NAME(ESOCKTNOSUPPORT) NAME(EPROTOTYPE) NAME(ENOPROTOOPT) NAME(EDOM)
	NAME(EAFNOSUPPORT) NAME(ENOTSOCK) NAME(ENXIO)
#undef NAME
	default: return error_name(error);
	}
}

/* What a call returned, or why it failed. */
__attribute__((unused))
static void tell(const char *what, long result)
{
	if (result == -1)
		say("%s: %s", what, socket_error(errno));
	else
		say("%s: %ld", what, result);
}

/* The same for calls that return descriptors. */
__attribute__((unused))
static int tell_fd(const char *what, int fd)
{
	say("%s: %s", what, fd < 0 ? socket_error(errno) : "ok");
	return fd;
}

__attribute__((unused))
static socklen_t set_name(struct sockaddr_un *a, const char *name)
{
	memset(a, 0, sizeof *a);
	a->sun_family = AF_UNIX;
	strcpy(a->sun_path + (name[0] == '@'), name[0] == '@' ? name + 1 : name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name)
	    + (name[0] != '@'));
}

__attribute__((unused))
static int bind_to(int fd, const char *name)
{
	struct sockaddr_un a;
	socklen_t len = set_name(&a, name);

	return bind(fd, (struct sockaddr *)&a, len);
}

__attribute__((unused))
static int connect_to(int fd, const char *name)
{
	struct sockaddr_un a;
	socklen_t len = set_name(&a, name);

	return connect(fd, (struct sockaddr *)&a, len);
}

__attribute__((unused))
static int listener(int type, const char *name, int backlog)
{
	int fd = socket(AF_UNIX, type, 0);

	need(fd >= 0);
	need(bind_to(fd, name) == 0);
	need(listen(fd, backlog) == 0);
	return fd;
}

__attribute__((unused))
static void tell_name(const char *what, int fd,
    int (*call)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_un a;
	socklen_t len = sizeof a;

	memset(&a, 'x', sizeof a);
	if (call(fd, (struct sockaddr *)&a, &len) != 0)
		tell(what, -1);
	else if (len <= sizeof(sa_family_t))
		say("%s: no name, %u bytes", what, len);
	else
		say("%s: %s%s, %u bytes", what, a.sun_path[0] ? "" : "@",
		    a.sun_path[0] ? a.sun_path : a.sun_path + 1, len);
}

__attribute__((unused))
static void tell_poll(const char *what, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP };
	int n = poll(&p, 1, 0);

	say("%s: poll %d%s%s%s%s%s%s", what, n,
	    p.revents & POLLIN ? " in" : "", p.revents & POLLOUT ? " out" : "",
	    p.revents & POLLRDHUP ? " rdhup" : "",
	    p.revents & POLLHUP ? " hup" : "", p.revents & POLLERR ? " err" : "",
	    p.revents & POLLNVAL ? " nval" : "");
}

__attribute__((unused))
static int option(int fd, int which)
{
	int value = -1;
	socklen_t len = sizeof value;

	return getsockopt(fd, SOL_SOCKET, which, &value, &len) ? -errno : value;
}

__attribute__((unused))
static void pair(int type, int sv[2])
{
	need(socketpair(AF_UNIX, type, 0, sv) == 0);
}

__attribute__((unused))
static void close_pair(const int sv[2])
{
	close(sv[0]);
	close(sv[1]);
}

static volatile sig_atomic_t pipes;

__attribute__((unused))
static void on_pipe(int sig)
{
	(void)sig;
	pipes++;
}

/* In a folder of its own, where a signal for a broken pipe is counted. */
__attribute__((unused))
static void enter(char *dir)
{
	need(mkdtemp(dir) && chdir(dir) == 0);
	need(signal(SIGPIPE, on_pipe) != SIG_ERR);
}

#endif
