/* Local sockets: what is sent and received, options, and how connections end. */
#include "sockets.h"

static void streams(void)
{
	int sv[2], n;
	char buffer[64] = "";
	struct iovec out[3] = { { "ab", 2 }, { "", 0 }, { "cde", 3 } };
	struct iovec in[2] = { { buffer, 1 }, { buffer + 8, 3 } };
	static char big[1 << 20];
	long all = 0, got;

	pair(SOCK_STREAM, sv);
	tell_poll("new pair", sv[0]);
	tell("write", write(sv[0], "hello", 5));
	tell("and more", send(sv[0], "world", 5, 0));
	need(ioctl(sv[1], FIONREAD, &n) == 0);
	say("FIONREAD %d", n);
	need(ioctl(sv[0], TIOCOUTQ, &n) == 0);
	say("out: %d", n > 0);
	tell_poll("there is something", sv[1]);
	tell("peek", recv(sv[1], buffer, 8, MSG_PEEK));
	say("%.8s", buffer);
	tell("read", read(sv[1], buffer, 7));
	say("%.7s", buffer);
	tell("the rest", recv(sv[1], buffer, 64, 0));
	say("%.3s", buffer);
	tell("nothing left", recv(sv[1], buffer, 64, MSG_DONTWAIT));
	tell("peek at nothing", recv(sv[1], buffer, 64, MSG_DONTWAIT | MSG_PEEK));
	tell("read of nothing", read(sv[1], buffer, 0));
	tell("write of nothing", write(sv[1], buffer, 0));
	tell("writev", writev(sv[0], out, 3));
	tell("readv", readv(sv[1], in, 2));
	say("%c %.3s", buffer[0], buffer + 8);
	tell("all of it", recv(sv[1], buffer, 1, MSG_WAITALL));
	tell("cut", send(sv[0], "0123456789", 10, 0));
	tell("with MSG_TRUNC", recv(sv[1], buffer, 4, MSG_TRUNC));
	tell("rest", recv(sv[1], buffer, 64, 0));
	tell("urgent", send(sv[0], (void *)1, 1, 0));
	tell("to nowhere", (write(sv[0], "x", 1), recv(sv[1], (void *)1, 1, 0)));
	tell("it is still there", recv(sv[1], buffer, 1, 0));
	tell("send to an address", sendto(sv[0], "x", 1, 0,
	    (struct sockaddr *)&(struct sockaddr_un){ AF_UNIX, "a" }, 5));

	/* More than fits. */
	for (long i = 0; i < (long)sizeof big; i++)
		big[i] = (char)(i * 7 % 251);
	while ((got = send(sv[0], big + all, sizeof big - (size_t)all, MSG_DONTWAIT)) > 0)
		all += got;
	tell("full", got);
	say("some, not all: %d", all > 65536 && all < (long)sizeof big);
	tell_poll("full", sv[0]);
	for (long at = 0; at < all; at += got) {
		static char copy[10000];

		got = read(sv[1], copy, sizeof copy);
		need(got > 0 && memcmp(copy, big + at, (size_t)got) == 0);
	}
	tell_poll("empty", sv[0]);
	close_pair(sv);

	/* A writer that waits for its reader, and the other way round. */
	pair(SOCK_STREAM, sv);
	pid_t child = fork();

	if (child == 0) {
		long sum = 0;
		static char copy[777];

		close(sv[0]);
		while ((got = read(sv[1], copy, sizeof copy)) > 0)
			for (long i = 0; i < got; i++)
				sum = (sum * 31 + copy[i]) % 1000003;
		write(sv[1], &sum, sizeof sum);
		_exit(0);
	}
	close(sv[1]);
	tell("write all", write(sv[0], big, sizeof big));
	need(shutdown(sv[0], SHUT_WR) == 0);
	long sum = 0, theirs;

	for (long i = 0; i < (long)sizeof big; i++)
		sum = (sum * 31 + big[i]) % 1000003;
	tell("their sum", read(sv[0], &theirs, sizeof theirs));
	say("the same: %d", theirs == sum);
	reap("reader", child);
	close(sv[0]);
}

static void shutdowns(int type, const char *what)
{
	int sv[2];
	char buffer[8];

	say("-- %s", what);
	pair(type, sv);
	tell("bad how", shutdown(sv[0], 3));
	need(write(sv[0], "last", 4) == 4);
	tell("shut writing", shutdown(sv[0], SHUT_WR));
	tell_poll("who shut", sv[0]);
	tell_poll("the other", sv[1]);
	pipes = 0;
	tell("write", write(sv[0], "x", 1));
	say("signals %d", pipes);
	tell("quietly", send(sv[0], "x", 1, MSG_NOSIGNAL));
	say("signals %d", pipes);
	tell("read", read(sv[1], buffer, sizeof buffer));
	tell("end", recv(sv[1], buffer, sizeof buffer, 0));
	tell("end without waiting", recv(sv[1], buffer, sizeof buffer, MSG_DONTWAIT));
	tell("back", write(sv[1], "back", 4));
	tell("read back", read(sv[0], buffer, sizeof buffer));
	tell("shut reading", shutdown(sv[0], SHUT_RD));
	tell("write to it", send(sv[1], "x", 1, MSG_NOSIGNAL));
	tell_poll("all shut", sv[0]);
	tell_poll("all shut, the other", sv[1]);
	close_pair(sv);

	/* One end closes with something unread. */
	pair(type, sv);
	need(write(sv[0], "one", 3) == 3 && write(sv[1], "two", 3) == 3);
	close(sv[1]);
	tell_poll("closed", sv[0]);
	tell("what is left", recv(sv[0], buffer, sizeof buffer, MSG_DONTWAIT));
	tell("then", recv(sv[0], buffer, sizeof buffer, MSG_DONTWAIT));
	tell("then", recv(sv[0], buffer, sizeof buffer, MSG_DONTWAIT));
	pipes = 0;
	tell("write", write(sv[0], "x", 1));
	say("signals %d", pipes);
	close(sv[0]);

	/* And with nothing. */
	pair(type, sv);
	close(sv[1]);
	tell_poll("closed", sv[0]);
	tell("read", recv(sv[0], buffer, sizeof buffer, MSG_DONTWAIT));
	tell("write", send(sv[0], "x", 1, MSG_NOSIGNAL));
	tell("error", option(sv[0], SO_ERROR));
	close(sv[0]);
}

static void messages(int type, const char *what)
{
	int sv[2], n;
	char buffer[64];
	struct iovec out[2] = { { "one ", 4 }, { "message", 7 } };
	struct msghdr m = { .msg_iov = out, .msg_iovlen = 2 };
	struct iovec in = { buffer, 3 };
	static char big[300000];

	say("-- %s", what);
	pair(type, sv);
	tell("send", send(sv[0], "first", 5, 0));
	tell("send", sendmsg(sv[0], &m, 0));
	tell("empty", send(sv[0], "", 0, 0));
	need(ioctl(sv[1], FIONREAD, &n) == 0);
	say("FIONREAD %d", n);
	tell("peek, cut", recv(sv[1], buffer, 3, MSG_PEEK | MSG_TRUNC));
	tell("peek", recv(sv[1], buffer, 64, MSG_PEEK));
	tell("read, cut", read(sv[1], buffer, 2));
	m = (struct msghdr){ .msg_iov = &in, .msg_iovlen = 1 };
	tell("recvmsg", recvmsg(sv[1], &m, 0));
	say("flags %x: %.3s", m.msg_flags, buffer);
	tell("empty", recv(sv[1], buffer, 64, 0));
	tell("none", recv(sv[1], buffer, 64, MSG_DONTWAIT));
	tell("too long", send(sv[0], big, sizeof big, 0));
	tell("long", send(sv[0], big, 100000, 0));
	tell("long", recv(sv[1], big, sizeof big, 0));
	tell("to nowhere", (send(sv[0], "x", 1, 0), recv(sv[1], (void *)1, 1, 0)));
	tell("lost", recv(sv[1], buffer, 1, MSG_DONTWAIT));
	n = 0;
	while (send(sv[0], big, 1000, MSG_DONTWAIT) == 1000)
		n++;
	tell("full", -1);
	say("many: %d", n > 10);
	tell_poll("full", sv[0]);
	close_pair(sv);
}

static void datagrams(void)
{
	int one = socket(AF_UNIX, SOCK_DGRAM, 0), two = socket(AF_UNIX, SOCK_DGRAM, 0);
	int three = socket(AF_UNIX, SOCK_DGRAM | NONBLOCK, 0);
	int sv[2], n;
	struct sockaddr_un a, from;
	socklen_t len, from_len;
	char buffer[16];
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };

	tell_poll("new", one);
	tell("listen", listen(one, 1));
	tell("accept", accept(one, NULL, NULL));
	tell("send nowhere", send(one, "x", 1, 0));
	need(bind_to(two, "@two") == 0);
	len = set_name(&a, "@two");
	tell("send", sendto(one, "a", 1, 0, (struct sockaddr *)&a, len));
	from_len = sizeof from;
	tell("receive", recvfrom(two, buffer, 16, 0, (struct sockaddr *)&from, &from_len));
	say("from %u bytes", from_len);
	need(bind_to(one, "@one") == 0);
	tell("send", sendto(one, "b", 1, 0, (struct sockaddr *)&a, len));
	from_len = sizeof from;
	tell("receive", recvfrom(two, buffer, 16, 0, (struct sockaddr *)&from, &from_len));
	say("from %u bytes: %s", from_len, from.sun_path + 1);
	tell("connect", connect_to(one, "@two"));
	tell_name("peer", one, getpeername);
	tell("connected", send(one, "c", 1, 0));
	tell("shut down nothing", shutdown(three, SHUT_RD));
	tell("receive", recv(three, buffer, 16, 0));
	close(three);
	three = socket(AF_UNIX, SOCK_DGRAM | NONBLOCK, 0);
	tell("connect two to one", connect_to(two, "@one"));
	tell("not from a third", sendto(three, "d", 1, 0, (struct sockaddr *)&a, len));
	tell("nor connected", connect_to(three, "@two"));
	tell("disconnect", connect(two, &unspec, sizeof unspec));
	tell_name("peer", two, getpeername);
	for (n = 0; sendto(three, "e", 1, 0, (struct sockaddr *)&a, len) == 1; n++)
		;
	tell("queue is full", -1);
	need(connect_to(three, "@two") == 0);
	tell_poll("queue is full", three);
	tell("read one", recv(two, buffer, 16, 0));
	tell_poll("one fits", three);
	tell("it does", send(three, "f", 1, 0));
	tell("stream to it", connect_to((n = socket(AF_UNIX, SOCK_STREAM, 0)), "@two"));
	close(n);
	close(two);
	tell("closed", send(one, "g", 1, 0));
	tell("once more", send(one, "g", 1, 0));
	tell("by name", sendto(three, "g", 1, 0, (struct sockaddr *)&a, len));
	close(one);
	close(three);

	pair(SOCK_DGRAM, sv);
	need(send(sv[0], "x", 1, 0) == 1);
	close(sv[0]);
	tell_poll("peer is gone", sv[1]);
	tell("what it sent", recv(sv[1], buffer, 16, MSG_DONTWAIT));
	tell("no end", recv(sv[1], buffer, 16, MSG_DONTWAIT));
	tell("send", send(sv[1], "x", 1, 0));
	close(sv[1]);
}

static void options(void)
{
	int sv[2], value, one = 1;
	socklen_t len;
	struct timeval t = { 0, 20000 };
	struct linger l = { 2, 5 };
	char byte;
	struct timespec before, after;

	pair(SOCK_STREAM, sv);
	say("type %d, domain %d, protocol %d", option(sv[0], SO_TYPE),
	    option(sv[0], SO_DOMAIN), option(sv[0], SO_PROTOCOL));
	say("sndbuf %d, rcvbuf %d", option(sv[0], SO_SNDBUF), option(sv[0], SO_RCVBUF));
	for (int i = 0; i < 4; i++) {
		static const int sizes[] = { 0, 5000, 100000, 200000 };

		need(setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &sizes[i], 4) == 0);
		need(setsockopt(sv[0], SOL_SOCKET, SO_RCVBUF, &sizes[i], 4) == 0);
		say("sndbuf %d, rcvbuf %d", option(sv[0], SO_SNDBUF),
		    option(sv[0], SO_RCVBUF));
	}
	static const int flags[] = { SO_KEEPALIVE, SO_REUSEADDR, SO_BROADCAST,
	    SO_OOBINLINE, SO_DONTROUTE };

	for (int i = 0; i < 5; i++) {
		value = 7;
		tell("set", setsockopt(sv[0], SOL_SOCKET, flags[i], &value, 4));
		say("option %d: %d", flags[i], option(sv[0], flags[i]));
	}
	tell("reuse port", setsockopt(sv[0], SOL_SOCKET, SO_REUSEPORT, &one, 4));
	tell("set type", setsockopt(sv[0], SOL_SOCKET, SO_TYPE, &one, 4));
	tell("set error", setsockopt(sv[0], SOL_SOCKET, SO_ERROR, &one, 4));
	tell("set sndlowat", setsockopt(sv[0], SOL_SOCKET, SO_SNDLOWAT, &one, 4));
	tell("sndlowat", option(sv[0], SO_SNDLOWAT));
	tell("rcvlowat", option(sv[0], SO_RCVLOWAT));
	tell("unknown", setsockopt(sv[0], SOL_SOCKET, 9999, &one, 4));
	say("unknown %d", option(sv[0], 9999) == -ENOPROTOOPT);
	tell("short", setsockopt(sv[0], SOL_SOCKET, SO_KEEPALIVE, &one, 3));
	tell("nowhere", syscall(SYS_setsockopt, sv[0], SOL_SOCKET, SO_KEEPALIVE, 0, 4));
	tell("tcp", setsockopt(sv[0], 6, 1, &one, 4));
	len = 4;
	tell("tcp", getsockopt(sv[0], 6, 1, &value, &len));
	len = 2;
	value = 0;
	need(getsockopt(sv[0], SOL_SOCKET, SO_TYPE, &value, &len) == 0);
	say("cut: %u bytes, %d", len, value);
	len = (socklen_t)-1;
	tell("negative", getsockopt(sv[0], SOL_SOCKET, SO_TYPE, &value, &len));
	tell("linger", setsockopt(sv[0], SOL_SOCKET, SO_LINGER, &l, sizeof l));
	len = sizeof l;
	need(getsockopt(sv[0], SOL_SOCKET, SO_LINGER, &l, &len) == 0);
	say("linger %d %d, %u bytes", l.l_onoff, l.l_linger, len);
	tell("short linger", setsockopt(sv[0], SOL_SOCKET, SO_LINGER, &l, 4));
	len = sizeof t;
	tell("timeout", setsockopt(sv[1], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
	tell("timeout", setsockopt(sv[1], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t));
	need(getsockopt(sv[1], SOL_SOCKET, SO_RCVTIMEO, &t, &len) == 0);
	say("%ld s, %ld us, %u bytes", (long)t.tv_sec, (long)t.tv_usec, len);
	need(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
	tell("in vain", read(sv[1], &byte, 1));
	need(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
	say("waited: %d", (after.tv_sec - before.tv_sec) * 1000000000L
	    + after.tv_nsec - before.tv_nsec >= 20000000L);
	while (write(sv[1], &l, sizeof l) > 0)
		;
	tell("full", -1);
	t.tv_usec = 1000000;
	tell("no time", setsockopt(sv[1], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
	tell("short time", setsockopt(sv[1], SOL_SOCKET, SO_RCVTIMEO, &t, 8));
	t = (struct timeval){ -1, 0 };
	tell("negative time", setsockopt(sv[1], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
	tell("in vain", read(sv[1], &byte, 1));
	close_pair(sv);
}

static void several(void)
{
	int sv[2];
	char text[3][8];
	struct iovec v[3] = { { "one", 3 }, { "two", 3 }, { "three", 5 } };
	struct mmsghdr m[3];
	struct timespec none = { 0, 0 };

	pair(SOCK_DGRAM, sv);
	memset(m, 0, sizeof m);
	for (int i = 0; i < 3; i++) {
		m[i].msg_hdr.msg_iov = &v[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	tell("sendmmsg", sendmmsg(sv[0], m, 3, 0));
	for (int i = 0; i < 3; i++)
		say("%u", m[i].msg_len);
	for (int i = 0; i < 3; i++)
		v[i] = (struct iovec){ text[i], 8 };
	tell("one", recvmmsg(sv[1], m, 1, 0, &none));
	tell("for one", recvmmsg(sv[1], m, 3, MSG_WAITFORONE, NULL));
	say("%u %.3s, %u %.5s", m[0].msg_len, text[0], m[1].msg_len, text[1]);
	tell("none", recvmmsg(sv[1], m, 3, MSG_DONTWAIT, NULL));
	close_pair(sv);
}

int main(void)
{
	char dir[] = "/tmp/socketsXXXXXX";

	enter(dir);
	streams();
	shutdowns(SOCK_STREAM, "stream shutdown");
	shutdowns(SOCK_SEQPACKET, "packet shutdown");
	messages(SOCK_DGRAM, "datagrams");
	messages(SOCK_SEQPACKET, "packets");
	datagrams();
	options();
	several();
	need(chdir("/") == 0 && rmdir(dir) == 0);
	return 0;
}
