/*
 * Descriptors: positions and flags, pipes, waiting for several files, record
 * locks, and files that have no name.
 */
#include "show.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>

#define DO(call) show(#call, (long)(call))

static char buffer[1 << 17];

static void positions(void)
{
	int fd = numbered_file(0), append;
	struct iovec parts[] = { { "ab", 2 }, { "", 0 }, { "cdef", 4 } };

	say("-- positions");
	DO(write(fd, "hello world", 11));
	DO(lseek(fd, 0, SEEK_SET));
	DO(read(fd, buffer, 5));
	DO(pread(fd, buffer, 100, 6));
	say("%.5s", buffer);
	DO(lseek(fd, -1, SEEK_SET));
	DO(lseek(fd, 0, 99));
	DO(lseek(fd, 100, SEEK_END));
	DO(write(fd, "x", 1));
	DO(pread(fd, buffer, 200, 0));
	say("hole %d, end %c", buffer[50], buffer[111]);
	DO(pread(fd, buffer, 1, -1));
	DO(ftruncate(fd, 5));
	DO(ftruncate(fd, 9));
	DO(pread(fd, buffer, 20, 0));
	say("after the cut %d", buffer[7]);
	DO(writev(fd, parts, 3));
	show("writev of too much", syscall(SYS_writev, fd, parts, 5000L));
	DO(pwritev(fd, parts, 3, 0));
	DO(preadv(fd, (struct iovec[]){ { buffer, 3 }, { buffer + 10, 9 } }, 2, 1));
	say("%.3s %.2s", buffer, buffer + 10);
	append = open("/proc/self/fd/3", O_WRONLY | O_APPEND);
	need(fd == 3 && append >= 0);
	DO(lseek(append, 0, SEEK_SET));
	DO(write(append, "end", 3));
	DO(lseek(fd, 0, SEEK_END));
	DO(read(append, buffer, 1));
	close(fd);
	close(append);
}

static void copies(void)
{
	int fd = numbered_file(PAGE), copy = dup(fd);

	say("-- copies");
	need(copy >= 0);
	DO(lseek(fd, 7, SEEK_SET));
	DO(lseek(copy, 0, SEEK_CUR));
	DO(fcntl(copy, F_GETFD));
	DO(fcntl(copy, F_SETFD, FD_CLOEXEC));
	DO(fcntl(copy, F_GETFD));
	DO(fcntl(fd, F_GETFD));
	DO(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND));
	DO(fcntl(copy, F_GETFL) & (O_NONBLOCK | O_APPEND));
	DO(dup2(copy, copy) == copy);
	DO(dup3(copy, copy, 0));
	DO(dup2(999, 5));
	DO(dup2(copy, -1));
	DO(fcntl(copy, F_DUPFD, 50));
	DO(fcntl(copy, F_DUPFD_CLOEXEC, 50));
	DO(fcntl(51, F_GETFD));
	DO(fcntl(copy, F_DUPFD, -1));
	DO(fcntl(copy, 999));
	show("close_range", syscall(SYS_close_range, 50, 99, 0));
	DO(close(50));
	DO(close(51));
	close(fd);
	close(copy);
}

static void sum_through_a_pipe(void)
{
	long sum = 0, count = 0, len;
	int ends[2];

	need(pipe(ends) == 0);
	if (fork() == 0) {
		close(ends[0]);
		for (int i = 0; i < 300; i++) {
			memset(buffer, i, 1000);
			if (write(ends[1], buffer, 1000) != 1000)
				_exit(1);
		}
		_exit(0);
	}
	close(ends[1]);
	while ((len = read(ends[0], buffer, 777)) > 0) {
		count += len;
		for (long i = 0; i < len; i++)
			sum += (unsigned char)buffer[i];
	}
	wait(NULL);
	say("%ld bytes, sum %ld", count, sum);
	close(ends[0]);
}

static volatile sig_atomic_t came;

static void on_signal(int sig)
{
	came = sig;
}

static void pipes(void)
{
	int ends[2], waiting = 0;
	long filled = 0, len;

	say("-- pipes");
	need(pipe2(ends, O_NONBLOCK) == 0);
	DO(write(ends[1], "abc", 3));
	DO(ioctl(ends[0], FIONREAD, &waiting));
	DO(read(ends[0], buffer, 100));
	DO(read(ends[0], buffer, 1));
	DO(read(ends[1], buffer, 1));
	DO(write(ends[0], "x", 1));
	DO(lseek(ends[0], 0, SEEK_SET));
	DO(pread(ends[0], buffer, 1, 0));
	while ((len = write(ends[1], buffer, 4096)) > 0)
		filled += len;
	say("waiting %d, filled %ld", waiting, filled);
	DO(read(ends[0], buffer, 4000));
	DO(write(ends[1], buffer, 4096));
	DO(fcntl(ends[1], F_GETPIPE_SZ));
	sum_through_a_pipe();
	signal(SIGPIPE, on_signal);
	close(ends[0]);
	DO(write(ends[1], "x", 1));
	say("signal %d", (int)came);
	close(ends[1]);
	DO(pipe2(ends, 0x1234567));
}

static void show_poll(const char *what, struct pollfd *polls, int timeout)
{
	show(what, poll(polls, 2, timeout));
	say("events %x %x", (unsigned)polls[0].revents,
	    (unsigned)polls[1].revents);
}

static void waiting_for_files(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct itimerval soon = { .it_value = { .tv_usec = 20000 } };
	struct timeval now = { 0, 0 };
	struct pollfd polls[2];
	sigset_t usr1, none;
	fd_set reads;
	int ends[2];

	say("-- poll");
	need(pipe(ends) == 0);
	polls[0] = (struct pollfd){ ends[0], POLLIN, 0 };
	polls[1] = (struct pollfd){ ends[1], POLLOUT, 0 };
	show_poll("empty", polls, 0);
	need(write(ends[1], "z", 1) == 1);
	show_poll("not empty", polls, -1);
	polls[1].fd = 999;
	show_poll("bad descriptor", polls, 0);
	polls[1].fd = -1;
	FD_ZERO(&reads);
	FD_SET(ends[0], &reads);
	DO(select(ends[0] + 1, &reads, NULL, NULL, &now));
	FD_SET(600, &reads);
	DO(select(601, &reads, NULL, NULL, &now));
	need(read(ends[0], buffer, 1) == 1);
	FD_ZERO(&reads);
	FD_SET(ends[0], &reads);
	DO(select(ends[0] + 1, &reads, NULL, NULL, &now));

	need(sigaction(SIGALRM, &action, NULL) == 0);
	need(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	show("read, interrupted", read(ends[0], buffer, 1));
	action.sa_flags = SA_RESTART;
	need(sigaction(SIGALRM, &action, NULL) == 0);
	need(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	show_poll("interrupted", polls, -1);
	need(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	if (fork() == 0) {
		usleep(60000);
		_exit(write(ends[1], "r", 1) != 1);
	}
	show("read, begun again", read(ends[0], buffer, 1));
	wait(NULL);

	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	need(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0);
	need(sigaction(SIGUSR1, &action, NULL) == 0);
	kill(getpid(), SIGUSR1);
	show("ppoll with another mask", ppoll(polls, 1, NULL, &none));
	say("signal %d", (int)came);
	close(ends[1]);
	show_poll("writer gone", polls, -1);
	DO(read(ends[0], buffer, 1));
	close(ends[0]);
}

static void events(void)
{
	int counter = eventfd(3, EFD_NONBLOCK), set = epoll_create1(0);
	int file = numbered_file(0), other = eventfd(0, 0);
	struct epoll_event event = { EPOLLIN, { .u64 = 0x123456789abU } }, out;
	uint64_t count;

	say("-- eventfd and epoll");
	need(counter >= 0 && set >= 0 && other >= 0);
	DO(epoll_ctl(set, EPOLL_CTL_ADD, counter, &event));
	DO(epoll_ctl(set, EPOLL_CTL_ADD, counter, &event));
	DO(epoll_ctl(set, EPOLL_CTL_ADD, file, &event));
	DO(epoll_ctl(set, EPOLL_CTL_MOD, other, &event));
	DO(epoll_wait(set, &out, 1, -1));
	say("%x %llx", out.events, (unsigned long long)out.data.u64);
	DO(read(counter, &count, 8));
	say("count %llu", (unsigned long long)count);
	DO(read(counter, &count, 8));
	DO(read(counter, &count, 7));
	count = UINT64_MAX;
	DO(write(counter, &count, 8));
	DO(epoll_wait(set, &out, 1, 0));
	DO(epoll_wait(set, &out, 0, 0));
	DO(epoll_wait(counter, &out, 1, 0));
	DO(epoll_ctl(set, EPOLL_CTL_DEL, counter, NULL));
	DO(epoll_ctl(set, EPOLL_CTL_DEL, counter, NULL));
	close(counter);
	close(set);
	close(file);
	close(other);
}

static int lock(int fd, int command, short type, long start, long len)
{
	struct flock range = { .l_type = type, .l_start = start, .l_len = len };
	int result = fcntl(fd, command, &range);

	if (command == F_GETLK && result == 0)
		say("type %d from %ld, %ld bytes, the parent's %d",
		    range.l_type, (long)range.l_start, (long)range.l_len,
		    range.l_pid == getppid());
	return result;
}

static void locks(void)
{
	int fd = numbered_file(PAGE);

	say("-- locks");
	DO(lock(fd, F_SETLK, F_WRLCK, 0, 10));
	DO(lock(fd, F_SETLK, F_UNLCK, 4, 2));
	if (fork() == 0) {
		DO(lock(fd, F_GETLK, F_RDLCK, 5, 10));
		DO(lock(fd, F_SETLK, F_RDLCK, 5, 10));
		DO(lock(fd, F_SETLK, F_RDLCK, 4, 2));
		DO(lock(fd, F_SETLK, F_WRLCK, 10, 0));
		DO(lock(fd, F_SETLKW, F_UNLCK, 0, 0));
		_exit(0);
	}
	wait(NULL);
	DO(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	DO(lock(fd, F_SETLK, 9, 0, 0));
	close(fd);
}

static void nameless(void)
{
	int from = numbered_file(2 * PAGE + 100), to = numbered_file(0);
	off_t at = 10;

	say("-- without a name");
	DO(sendfile(to, from, &at, 5000));
	say("at %ld", (long)at);
	DO(lseek(from, 0, SEEK_SET));
	DO(sendfile(to, from, NULL, 1 << 20));
	DO(lseek(from, 0, SEEK_CUR));
	DO(lseek(to, 0, SEEK_END));
	DO(pread(to, buffer, 3, 4086));
	say("%d %d", buffer[0], buffer[2]);
	DO(fallocate(to, 0, 0, 30000));
	DO(lseek(to, 0, SEEK_END));
	DO(fallocate(to, 0, 0, 0));
	DO(fsync(to));
	DO(readlink("/proc/self/fd/3", buffer, sizeof buffer));
	say("%.23s", buffer);
	DO(fcntl(from, F_GETFD));
	show("memfd_create with unknown flags",
	    syscall(SYS_memfd_create, "m", 0x1000));
	close(from);
	close(to);
}

int main(void)
{
	positions();
	copies();
	pipes();
	waiting_for_files();
	events();
	locks();
	nameless();
	return 0;
}
