/* Processes as files: waiting for their end, signals to them, their files. */
#include "show.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

static int pidfd_open(pid_t pid, unsigned flags)
{
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

static long pidfd_send(int fd, int signal, siginfo_t *info, unsigned flags)
{
	return syscall(SYS_pidfd_send_signal, fd, signal, info, flags);
}

static void tell_poll(const char *what, int fd, int timeout)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, timeout);

	say("%s: poll %d%s%s", what, n, p.revents & POLLIN ? " in" : "",
	    p.revents & POLLHUP ? " hup" : "");
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	say("signal %d, code %d, value %d", signal, info->si_code,
	    info->si_code == SI_QUEUE ? info->si_value.sival_int : 0);
}

int main(void)
{
	int fd, p[2], q[2];
	long sent;
	pid_t child;
	char byte;
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	siginfo_t info = { .si_signo = SIGUSR2, .si_code = SI_QUEUE };

	show("pid 0", pidfd_open(0, 0));
	show("pid -1", pidfd_open(-1, 0));
	show("no process", pidfd_open(0x3fffffff, 0));
	show("flags", pidfd_open(getpid(), 1));
	need(pipe(p) == 0 && pipe(q) == 0);
	need(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
	child = fork();
	if (child == 0) {
		struct stat here, there;
		int parent = pidfd_open(getppid(), 0), copy;

		need(parent >= 0);
		copy = (int)syscall(SYS_pidfd_getfd, parent, p[0], 0);
		need(copy >= 0 && fstat(copy, &here) == 0 && fstat(p[0], &there) == 0);
		say("copied: %d, cloexec %d", here.st_ino == there.st_ino, fcntl(copy, F_GETFD));
		show("bad one", syscall(SYS_pidfd_getfd, parent, 999, 0));
		show("flags", syscall(SYS_pidfd_getfd, parent, 0, 1));
		show("of no process", syscall(SYS_pidfd_getfd, 0, 0, 0));
		need(write(q[1], "r", 1) == 1);
		while (read(p[0], &byte, 1) != 1)
			;
		need(write(q[1], "s", 1) == 1);
		for (;;)
			pause();
	}
	fd = pidfd_open(child, O_NONBLOCK);
	need(fd >= 0);
	need(read(q[0], &byte, 1) == 1);
	say("cloexec %d, nonblock %d", fcntl(fd, F_GETFD), !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	tell_poll("alive", fd, 0);
	show("read", read(fd, &byte, 1));
	show("write", write(fd, &byte, 1));
	show("no signal", pidfd_send(fd, 0, NULL, 0));
	show("bad signal", pidfd_send(fd, 99, NULL, 0));
	show("flags", pidfd_send(fd, 0, NULL, 99));
	show("no process", pidfd_send(p[0], 0, NULL, 0));
	show("another signal's", pidfd_send(fd, SIGUSR1, &info, 0));
	info.si_code = SI_USER;
	show("as the kernel", pidfd_send(fd, SIGUSR2, &info, 0));
	info.si_code = SI_QUEUE;
	info.si_value.sival_int = 42;
	/* The child may tell of it before the call is back: it does so first. */
	sent = pidfd_send(fd, SIGUSR2, &info, 0);
	need(write(p[1], "g", 1) == 1 && read(q[0], &byte, 1) == 1);
	show("with a value", sent);
	show("to end", pidfd_send(fd, SIGKILL, NULL, 0));
	tell_poll("ended", fd, -1);
	show("zombie", pidfd_send(fd, 0, NULL, 0));
	reap("child", child);
	tell_poll("waited for", fd, -1);
	show("gone", pidfd_send(fd, 0, NULL, 0));
	show("its files", syscall(SYS_pidfd_getfd, fd, 0, 0));
	return 0;
}
