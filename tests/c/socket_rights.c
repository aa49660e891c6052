/* Local sockets: files and credentials that come along with a message. */
#include "sockets.h"

static long send_fds(int fd, const int *fds, int count, const char *text)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(300 * sizeof(int))];
	} u;
	struct iovec v = { (void *)text, strlen(text) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &u,
	    .msg_controllen = (socklen_t)CMSG_SPACE((size_t)count * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	memset(&u, 0, sizeof u);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = (socklen_t)CMSG_LEN((size_t)count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, (size_t)count * sizeof(int));
	return sendmsg(fd, &m, MSG_DONTWAIT);
}

/* Receives with room for so much control; tells what came. */
static int receive_fds(const char *what, int fd, size_t room, int flags, int *got)
{
	union {
		struct cmsghdr head;
		char room[2048];
	} u;
	char text[32] = "";
	struct iovec v = { text, 4 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &u,
	    .msg_controllen = (socklen_t)room };
	long n = recvmsg(fd, &m, flags | MSG_DONTWAIT);
	int count = 0;

	if (n < 0) {
		tell(what, n);
		return 0;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		say("  level %d, type %d, %ld bytes", c->cmsg_level, c->cmsg_type,
		    (long)c->cmsg_len);
		if (c->cmsg_type == SCM_RIGHTS) {
			count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(got, CMSG_DATA(c), (size_t)count * sizeof(int));
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred *id = (struct ucred *)CMSG_DATA(c);

			say("  mine %d, user %d, group %d", id->pid == getpid(),
			    id->uid == getuid(), id->gid == getgid());
		}
	}
	say("%s: %ld '%s', flags %x, %d files, control %ld", what, n, text,
	    (unsigned)m.msg_flags & ~(unsigned)MSG_CMSG_CLOEXEC, count,
	    (long)m.msg_controllen);
	return count;
}

static void rights(int type, const char *what)
{
	int sv[2], p[2], got[300], many[300], n, bad = 999;
	char byte = 0;
	struct stat a, b;

	say("-- %s", what);
	pair(type, sv);
	need(pipe(p) == 0);
	tell("send", send_fds(sv[0], p, 2, "fds"));
	n = receive_fds("receive", sv[1], 256, MSG_CMSG_CLOEXEC, got);
	need(n == 2);
	say("cloexec %d", fcntl(got[0], F_GETFD));
	need(fstat(p[0], &a) == 0 && fstat(got[0], &b) == 0);
	say("the same: %d", a.st_ino == b.st_ino);
	need(write(got[1], "y", 1) == 1);
	tell("through it", read(p[0], &byte, 1));
	close(got[0]);
	close(got[1]);
	tell("a bad one", send_fds(sv[0], &bad, 1, "bad"));
	for (int i = 0; i < 300; i++)
		many[i] = p[0];
	tell("too many", send_fds(sv[0], many, 254, "many"));
	tell("many", send_fds(sv[0], many, 253, "many"));
	n = receive_fds("many", sv[1], 1100, 0, got);
	while (n-- > 0)
		close(got[n]);
	tell("no files", send_fds(sv[0], p, 0, "none"));
	receive_fds("no files", sv[1], 256, 0, got);

	/* Peeking gives them, and they are still there. */
	need(send_fds(sv[0], p, 1, "peek") == 4);
	if (receive_fds("peek", sv[1], 256, MSG_PEEK, got) == 1)
		close(got[0]);
	if (receive_fds("receive", sv[1], 256, 0, got) == 1)
		close(got[0]);

	/* Room for one, for none. */
	need(send_fds(sv[0], p, 2, "cut") == 3);
	if (receive_fds("cut", sv[1], CMSG_LEN(4), 0, got) == 1)
		close(got[0]);
	need(send_fds(sv[0], p, 2, "cut") == 3);
	receive_fds("cut", sv[1], 10, 0, got);
	need(send_fds(sv[0], p, 2, "none") == 4);
	receive_fds("none", sv[1], 0, 0, got);
	need(send_fds(sv[0], p, 1, "read") == 4);
	char four[4];
	tell("read", read(sv[1], four, 4));

	/* Messages with files and without, one behind the other. */
	need(send(sv[0], "a", 1, 0) == 1 && send_fds(sv[0], p, 1, "b") == 1);
	need(send(sv[0], "c", 1, 0) == 1);
	for (int i = 0; i < 3; i++)
		if (receive_fds("row", sv[1], 256, 0, got) == 1)
			close(got[0]);

	/* The pipe's end is only in the queue: it must go with that. */
	need(send_fds(sv[0], &p[1], 1, "x") == 1);
	close(p[1]);
	tell_poll("pipe is held", p[0]);
	close_pair(sv);
	tell_poll("pipe is let go", p[0]);
	close(p[0]);
}

/*
 * The other end of a pipe goes, if not at once: Linux collects at leisure, and
 * only when some socket is closed.
 */
static void tell_gone(const char *what, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (poll(&p, 1, 50) == 0)
		need(close(socket(AF_UNIX, SOCK_STREAM, 0)) == 0);
	tell_poll(what, fd);
}

/* Sockets in each other's queues, which nobody can reach. */
static void cycles(void)
{
	int p[2], a[2], b[2], c[2], sv[2];

	need(pipe(p) == 0);
	pair(SOCK_STREAM, a);
	/* Itself in its own queue, and a pipe's end. */
	need(send_fds(a[0], &a[1], 1, "x") == 1);
	need(send_fds(a[0], &p[1], 1, "x") == 1);
	close(p[1]);
	close(a[0]);
	tell_poll("its own", p[0]);
	close(a[1]);
	tell_gone("alone", p[0]);
	close(p[0]);

	need(pipe(p) == 0);
	pair(SOCK_STREAM, a);
	pair(SOCK_DGRAM, b);
	need(send_fds(a[0], &b[0], 1, "x") == 1);
	need(send_fds(b[1], &a[1], 1, "x") == 1);
	need(send_fds(b[1], &p[1], 1, "x") == 1);
	close(p[1]);
	close(a[0]);
	close(b[1]);
	close(b[0]);
	tell_poll("two, reachable", p[0]);
	close(a[1]);
	tell_gone("two", p[0]);
	close(p[0]);

	/* One of them is in a queue that can be reached. */
	need(pipe(p) == 0);
	pair(SOCK_STREAM, sv);
	pair(SOCK_STREAM, a);
	need(send_fds(sv[0], &a[1], 1, "x") == 1);
	need(send_fds(a[0], &a[1], 1, "x") == 1);
	need(send_fds(a[0], &p[1], 1, "x") == 1);
	close(p[1]);
	close_pair(a);
	pair(SOCK_STREAM, c);
	close_pair(c);
	tell_poll("held from outside", p[0]);
	close_pair(sv);
	tell_gone("let go", p[0]);
	close(p[0]);

	/* A listener in the queue of a connection to itself. */
	need(pipe(p) == 0);
	a[0] = listener(SOCK_STREAM, "@cycle", 5);
	a[1] = socket(AF_UNIX, SOCK_STREAM, 0);
	need(connect_to(a[1], "@cycle") == 0);
	need(send_fds(a[1], a, 1, "x") == 1 && send_fds(a[1], &p[1], 1, "x") == 1);
	close(p[1]);
	close(a[0]);
	close(a[1]);
	tell_gone("listener", p[0]);
	close(p[0]);

	/* A long chain, each in the next one's queue. */
	need(pipe(p) == 0);
	pair(SOCK_STREAM, a);
	need(send_fds(a[0], &p[1], 1, "x") == 1);
	close(p[1]);
	for (int i = 0; i < 1000; i++) {
		pair(SOCK_STREAM, b);
		need(send_fds(b[0], a, 2, "x") == 1);
		close_pair(a);
		a[0] = b[0];
		a[1] = b[1];
	}
	tell_poll("chain", p[0]);
	close_pair(a);
	tell_gone("chain let go", p[0]);
	close(p[0]);
}

static void credentials(void)
{
	int sv[2], one = 1, got[8];
	struct ucred id;
	socklen_t len = sizeof id;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof id)];
	} u;
	struct iovec v = { "hi", 2 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &u,
	    .msg_controllen = sizeof u.room };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int server, client, end;

	pair(SOCK_STREAM, sv);
	need(getsockopt(sv[0], SOL_SOCKET, SO_PEERCRED, &id, &len) == 0);
	say("peer: mine %d, user %d, %u bytes", id.pid == getpid(), id.uid == getuid(), len);
	need(setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0);
	say("passcred %d %d", option(sv[0], SO_PASSCRED), option(sv[1], SO_PASSCRED));
	need(write(sv[0], "abc", 3) == 3);
	receive_fds("told", sv[1], 256, 0, got);
	need(write(sv[0], "abc", 3) == 3);
	receive_fds("cut", sv[1], 20, 0, got);
	need(send_fds(sv[0], sv, 1, "both") == 4);
	if (receive_fds("both", sv[1], 256, 0, got) == 1)
		close(got[0]);
	memset(&u, 0, sizeof u);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof id);
	id = (struct ucred){ getpid(), getuid(), getgid() };
	memcpy(CMSG_DATA(c), &id, sizeof id);
	tell("mine", sendmsg(sv[0], &m, 0));
	receive_fds("mine", sv[1], 256, 0, got);
	id.pid = 0x3fffffff;
	memcpy(CMSG_DATA(c), &id, sizeof id);
	tell("no such process", sendmsg(sv[0], &m, 0));
	c->cmsg_len = CMSG_LEN(sizeof id) - 1;
	tell("too short", sendmsg(sv[0], &m, 0));
	c->cmsg_len = 1000;
	tell("too long", sendmsg(sv[0], &m, 0));
	c->cmsg_len = CMSG_LEN(sizeof id);
	c->cmsg_type = 77;
	tell("unknown", sendmsg(sv[0], &m, 0));
	c->cmsg_level = 77;
	tell("of another level", sendmsg(sv[0], &m, 0));
	close_pair(sv);

	server = listener(SOCK_STREAM, "@cred", 1);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	need(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &id, &len) == 0);
	say("unconnected: %d %d", id.pid, (int)id.uid);
	need(connect_to(client, "@cred") == 0);
	end = accept(server, NULL, NULL);
	need(end >= 0);
	need(getsockopt(end, SOL_SOCKET, SO_PEERCRED, &id, &len) == 0);
	say("at the server: %d", id.pid == getpid());
	need(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &id, &len) == 0);
	say("at the client: %d", id.pid == getpid());
	close(server);
	close(client);
	close(end);
}

int main(void)
{
	char dir[] = "/tmp/socketsXXXXXX";

	enter(dir);
	rights(SOCK_STREAM, "rights on a stream");
	rights(SOCK_DGRAM, "rights with datagrams");
	cycles();
	credentials();
	need(chdir("/") == 0 && rmdir(dir) == 0);
	return 0;
}
