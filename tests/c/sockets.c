/* Local sockets: making, naming and connecting them, and waiting for that. */
#include "sockets.h"

static void creation(void)
{
	int sv[2];

	tell("family 0", socket(0, SOCK_STREAM, 0));
	tell("family 45", socket(45, SOCK_STREAM, 0));
	tell("family 100", socket(100, SOCK_STREAM, 0));
	tell("type 0", socket(AF_UNIX, 0, 0));
	tell("type 4", socket(AF_UNIX, SOCK_RDM, 0));
	tell("type 15", socket(AF_UNIX, 15, 0));
	tell("bad flags", socket(AF_UNIX, SOCK_STREAM | 0x10000, 0));
	tell("protocol 7", socket(AF_UNIX, SOCK_STREAM, 7));
	close(tell_fd("protocol 1", socket(AF_UNIX, SOCK_STREAM, 1)));
	close(tell_fd("raw", socket(AF_UNIX, SOCK_RAW, 0)));
	tell("pair to nowhere", syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, 0));
	tell("pair of type 0", socketpair(AF_UNIX, 0, 0, sv));
	need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | NONBLOCK, 0, sv) == 0);
	say("flags: %d %d", fcntl(sv[0], F_GETFD), fcntl(sv[1], F_GETFL) & O_NONBLOCK);
	say("access: %d", fcntl(sv[0], F_GETFL) & O_ACCMODE);
	close_pair(sv);
}

static void not_sockets(void)
{
	int fd = open("/dev/null", O_RDWR), path;
	char byte;
	struct sockaddr_un a;
	socklen_t len = set_name(&a, "x");
	int sv[2];

	need(fd >= 0);
	tell("listen on a file", listen(fd, 1));
	tell("listen on nothing", listen(-1, 1));
	tell("bind a file", bind(fd, (struct sockaddr *)&a, len));
	tell("connect a file", connect(fd, (struct sockaddr *)&a, len));
	tell("accept from a file", accept(fd, NULL, NULL));
	tell("send to a file", send(fd, "x", 1, 0));
	tell("receive from a file", recv(fd, &byte, 1, 0));
	tell("shut a file down", shutdown(fd, SHUT_RD));
	tell("option of a file", option(fd, SO_TYPE));
	pair(SOCK_STREAM, sv);
	tell("seek", lseek(sv[0], 0, SEEK_SET));
	tell("pread", pread(sv[0], &byte, 1, 0));
	tell("truncate", ftruncate(sv[0], 0));
	tell("fsync", fsync(sv[0]));
	show_ok("map", mmap(NULL, PAGE, PROT_READ, MAP_SHARED, sv[0], 0));
	path = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
	need(path >= 0);
	close(path);
	close_pair(sv);
	close(fd);
}

static void kinds_of_files(void)
{
	struct stat st;
	char link[64], target[64];
	int sv[2];
	long len;
	unsigned long ino = 0;

	pair(SOCK_STREAM, sv);
	need(fstat(sv[0], &st) == 0);
	say("mode %o, size %ld", st.st_mode, (long)st.st_size);
	snprintf(link, sizeof link, "/proc/self/fd/%d", sv[0]);
	len = readlink(link, target, sizeof target - 1);
	need(len > 0);
	target[len] = 0;
	need(sscanf(target, "socket:[%lu]", &ino) == 1);
	say("named by its inode: %d", ino == st.st_ino);
	tell("opened by that", open(link, O_RDWR));
	close_pair(sv);
}

static void addresses(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	int other = socket(AF_UNIX, SOCK_STREAM, 0);
	int third = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un a;
	struct stat st;
	int n;
	socklen_t len = set_name(&a, "s-path");
	struct sockaddr *p = (struct sockaddr *)&a;
	char small[4];

	unlink("s-path");
	unlink("s-other");
	umask(022);
	tell_name("unbound", fd, getsockname);
	tell_name("peer of unbound", fd, getpeername);
	tell("bind to a long one", bind(fd, p, 111));
	tell("bind to a longer one", bind(fd, p, 129));
	tell("bind to a negative one", bind(fd, p, (socklen_t)-1));
	tell("bind to a byte", bind(fd, p, 1));
	tell("bind to nothing", bind(fd, p, 0));
	tell("bind to nowhere", syscall(SYS_bind, fd, 0, len));
	a.sun_family = AF_INET;
	tell("bind to another family", bind(fd, p, len));
	a.sun_family = AF_UNIX;
	tell("bind into no directory", bind_to(fd, "no/where"));
	tell("bind to a slash", bind_to(fd, "s-path/"));
	tell("bind", bind(fd, p, len));
	tell_name("bound", fd, getsockname);
	need(stat("s-path", &st) == 0);
	say("mode %o", st.st_mode);
	tell("open it", open("s-path", O_RDWR));
	tell("bind to the same", bind_to(other, "s-path"));
	tell("bind again to the same", bind_to(fd, "s-path"));
	tell("bind again", bind_to(fd, "s-other"));
	tell("that path", stat("s-other", &st));
	tell("bind again, abstract", bind_to(fd, "@again"));
	tell("abstract", bind_to(other, "@sockets-test"));
	tell_name("abstract", other, getsockname);
	tell("the same abstract", bind_to(third, "@sockets-test"));
	tell("by family alone", bind(third, p, sizeof(sa_family_t)));
	len = sizeof a;
	need(getsockname(third, p, &len) == 0);
	say("chosen: %u bytes, abstract %d", len, a.sun_path[0] == 0);
	tell("once more", bind(third, p, sizeof(sa_family_t)));
	len = 4;
	memset(small, 0, sizeof small);
	need(getsockname(fd, (struct sockaddr *)small, &len) == 0);
	say("cut: %u bytes, %c%c", len, small[2], small[3]);
	len = (socklen_t)-1;
	tell("negative room", getsockname(fd, p, &len));
	len = sizeof a;
	tell("no room", syscall(SYS_getsockname, fd, 0, &len));
	tell("no length", syscall(SYS_getsockname, fd, p, 0));
	close(other);
	tell("abstract is free again", bind_to((other = socket(AF_UNIX,
	    SOCK_DGRAM, 0)), "@sockets-test"));
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	tell("a path is not", bind_to(fd, "s-path"));
	tell("of a datagram socket", bind_to((n = socket(AF_UNIX, SOCK_DGRAM, 0)), "s-other"));
	tell("connect to that", connect_to(fd, "s-other"));
	close(n);
	unlink("s-other");
	tell("connect to what nobody has", connect_to(fd, "s-path"));
	tell("to no path", connect_to(fd, "s-none"));
	tell("to a directory", connect_to(fd, "."));
	tell("to no abstract name", connect_to(fd, "@nobody"));
	tell("to another type", connect_to(fd, "@sockets-test"));
	unlink("s-path");
	close(fd);
	close(other);
	close(third);
}

static void connections(int type, const char *what)
{
	int server, client, end, third, n;
	struct sockaddr_un a;
	socklen_t len;
	char byte;

	say("-- %s", what);
	unlink("s-listen");
	client = socket(AF_UNIX, type, 0);
	tell_poll("new", client);
	tell("send before", send(client, "x", 1, MSG_NOSIGNAL));
	tell("receive before", recv(client, &byte, 1, 0));
	tell("listen before", listen(client, 1));
	tell("accept before", accept(client, NULL, NULL));
	tell("shut down before", shutdown(client, 3));
	server = socket(AF_UNIX, type, 0);
	need(bind_to(server, "s-listen") == 0);
	tell("too early", connect_to(client, "s-listen"));
	tell("listen", listen(server, 1));
	say("accepts: %d %d", option(server, SO_ACCEPTCONN), option(client, SO_ACCEPTCONN));
	tell_poll("listening", server);
	tell("receive while listening", recv(server, &byte, 1, 0));
	tell("send while listening", send(server, "x", 1, MSG_NOSIGNAL));
	tell("connect while listening", connect_to(server, "s-listen"));
	need(ioctl(server, FIONREAD, &n) == -1);
	tell("FIONREAD while listening", -1);
	need(fcntl(server, F_SETFL, O_NONBLOCK) == 0);
	tell("nobody there", accept(server, NULL, NULL));
	tell("connect", connect_to(client, "s-listen"));
	tell("connect again", connect_to(client, "s-listen"));
	tell("listen when connected", listen(client, 1));
	tell_poll("one waits", server);
	tell("send early", send(client, "early", 5, 0));
	len = sizeof a;
	end = accept4(server, (struct sockaddr *)&a, &len, SOCK_CLOEXEC);
	tell_fd("accept", end);
	say("from %u bytes, cloexec %d", len, fcntl(end, F_GETFD));
	tell("bad flags", accept4(server, NULL, NULL, 0x10000));
	tell_name("its name", end, getsockname);
	tell_name("its peer", end, getpeername);
	tell_name("client's peer", client, getpeername);
	tell("what was early", recv(end, &byte, 1, 0));
	tell_poll("connected", client);

	/* The queue: as many as asked for, and one more. */
	need(listen(server, 1) == 0);
	for (int i = 0; i < 4; i++) {
		third = socket(AF_UNIX, type | NONBLOCK, 0);
		tell("next", connect_to(third, "s-listen"));
		if (i > 0)
			close(third);
	}
	close(end);
	tell_poll("closed by the other", client);
	tell("send to it", send(client, "x", 1, MSG_NOSIGNAL));
	tell("first", recv(client, &byte, 1, 0));
	tell("then", recv(client, &byte, 1, 0));
	say("error %d", option(client, SO_ERROR));
	close(client);
	while ((end = accept(server, NULL, NULL)) >= 0)
		tell("accepted, and read", recv(end, &byte, 1, MSG_DONTWAIT));

	/* Nobody accepts it. */
	client = socket(AF_UNIX, type, 0);
	need(connect_to(client, "s-listen") == 0);
	close(server);
	tell_poll("never accepted", client);
	say("error %d %d", option(client, SO_ERROR), option(client, SO_ERROR));
	tell("read", recv(client, &byte, 1, 0));
	close(client);
	unlink("s-listen");
}

/* Waiting: a server that is there before its client, poll and a signal. */
static void waiting(void)
{
	int server = listener(SOCK_STREAM, "@wait", 1), end, status;
	char byte = 0;
	pid_t child = fork();

	if (child == 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		struct pollfd p = { .events = POLLIN };

		usleep(20000);
		need(connect_to(fd, "@wait") == 0);
		p.fd = fd;
		need(poll(&p, 1, -1) == 1 && p.revents == POLLIN);
		need(read(fd, &byte, 1) == 1);
		usleep(20000);
		_exit(byte);
	}
	end = accept(server, NULL, NULL);
	need(end >= 0);
	usleep(20000);
	need(write(end, "!", 1) == 1);
	tell("until it ends", read(end, &byte, 1));
	need(waitpid(child, &status, 0) == child);
	say("child: %c", WEXITSTATUS(status));
	close(end);

	/* A third client waits until the first is accepted. */
	child = fork();
	if (child == 0) {
		for (int i = 0; i < 4; i++)
			need(connect_to(socket(AF_UNIX, SOCK_STREAM, 0), "@wait") == 0);
		_exit(0);
	}
	usleep(50000);
	for (int i = 0; i < 4; i++) {
		end = accept(server, NULL, NULL);
		need(end >= 0);
		close(end);
	}
	reap("clients", child);
	close(server);
}

int main(void)
{
	char dir[] = "/tmp/socketsXXXXXX";

	enter(dir);
	creation();
	not_sockets();
	kinds_of_files();
	addresses();
	connections(SOCK_STREAM, "stream connections");
	connections(SOCK_SEQPACKET, "packet connections");
	waiting();
	need(chdir("/") == 0 && rmdir(dir) == 0);
	return 0;
}
