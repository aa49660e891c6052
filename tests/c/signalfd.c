/* Signals that are read. */
#include "show.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

static void tell_poll(const char *what, int fd, int timeout)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, timeout);

	say("%s: poll %d%s", what, n, p.revents & POLLIN ? " in" : "");
}

static void tell_read(const char *what, int fd, int room)
{
	struct signalfd_siginfo info[4];
	long n = read(fd, info, (size_t)room * sizeof info[0]);

	if (n < 0) {
		show(what, n);
		return;
	}
	say("%s: %ld", what, n / (long)sizeof info[0]);
	for (int i = 0; i < n / (long)sizeof info[0]; i++)
		say("  signal %u, code %d, mine %d, value %d, status %d",
		    info[i].ssi_signo, info[i].ssi_code,
		    info[i].ssi_pid == (uint32_t)getpid(), info[i].ssi_int,
		    info[i].ssi_status);
}

static void on_alarm(int signal)
{
	(void)signal;
}

int main(void)
{
	sigset_t set, more;
	int fd, go[2];
	char few[127];
	pid_t child, parent = getpid();
	struct epoll_event e = { .events = EPOLLIN };
	struct sigaction action = { .sa_handler = on_alarm };

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGKILL);
	more = set;
	sigaddset(&more, SIGUSR2);
	sigaddset(&more, SIGRTMIN);
	sigaddset(&more, SIGCHLD);
	need(sigprocmask(SIG_BLOCK, &more, NULL) == 0);
	show("flags", signalfd(-1, &set, 1));
	show("size", syscall(SYS_signalfd4, -1, &set, 4, 0));
	show("nowhere", syscall(SYS_signalfd4, -1, NULL, 8, 0));
	show("not one", signalfd(0, &set, 0));
	show("nothing", signalfd(99, &set, 0));
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	need(fd >= 0);
	say("cloexec %d, nonblock %d", fcntl(fd, F_GETFD), !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	show("few bytes", read(fd, few, sizeof few));
	show("write", write(fd, few, sizeof few));
	tell_poll("none", fd, 0);
	tell_read("none", fd, 1);
	need(kill(parent, SIGUSR1) == 0 && kill(parent, SIGUSR1) == 0);
	need(kill(parent, SIGUSR2) == 0);
	tell_poll("one", fd, 0);
	tell_read("one", fd, 4);
	tell_poll("not the other", fd, 0);
	say("the same: %d", signalfd(fd, &more, 0) == fd);
	tell_poll("now the other, too", fd, 0);
	for (int i = 0; i < 3; i++)
		need(sigqueue(parent, SIGRTMIN, (union sigval){ .sival_int = i + 1 }) == 0);
	tell_read("several", fd, 3);
	tell_read("the last", fd, 4);

	/* While it waits: by poll, by epoll and by reading. */
	int p = epoll_create1(0);

	need(p >= 0 && epoll_ctl(p, EPOLL_CTL_ADD, fd, &e) == 0);
	need(pipe(go) == 0);
	child = fork();
	if (child == 0) {
		char byte;

		/* One after the other: two that wait at once are one. */
		for (int i = 0; i < 5; i++) {
			need(read(go[0], &byte, 1) == 1);
			usleep(10000);
			if (i < 4)
				need(kill(parent, i < 3 ? SIGUSR1 : SIGALRM) == 0);
		}
		_exit(5);
	}
	need(write(go[1], "1", 1) == 1);
	tell_poll("waited", fd, -1);
	tell_read("waited", fd, 1);
	need(write(go[1], "2", 1) == 1);
	show("waited", epoll_wait(p, &e, 1, -1));
	tell_read("waited", fd, 1);
	need(fcntl(fd, F_SETFL, 0) == 0);
	need(sigaction(SIGALRM, &action, NULL) == 0);
	need(write(go[1], "3", 1) == 1);
	tell_read("waited", fd, 1);
	need(write(go[1], "4", 1) == 1);
	tell_read("another signal", fd, 1);
	need(write(go[1], "5", 1) == 1);
	tell_read("a child", fd, 1);
	reap("child", child);
	return 0;
}
