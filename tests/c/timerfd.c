/* Timers as files. */
#include "show.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <time.h>

#define MS 1000000L

static struct itimerspec spec(long first, long interval)
{
	struct itimerspec s = {
		.it_value = { first / 1000, first % 1000 * MS },
		.it_interval = { interval / 1000, interval % 1000 * MS },
	};

	return s;
}

static void tell_read(const char *what, int fd)
{
	uint64_t count = 0;
	long n = read(fd, &count, sizeof count);

	if (n < 0)
		show(what, n);
	else
		say("%s: %ld bytes, %d", what, n, (int)count);
}

static void tell_poll(const char *what, int fd, int timeout)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };
	int n = poll(&p, 1, timeout);

	say("%s: poll %d%s", what, n, p.revents & POLLIN ? " in" : "");
}

static void errors(void)
{
	struct itimerspec s = spec(1000, 0), old;
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	char few[7];

	need(fd >= 0);
	show("clock", timerfd_create(CLOCK_THREAD_CPUTIME_ID, 0));
	show("flags", timerfd_create(CLOCK_MONOTONIC, 1));
	show("set flags", timerfd_settime(fd, 64, &s, NULL));
	show("nowhere", syscall(SYS_timerfd_settime, fd, 0, NULL, NULL));
	show("not a timer", timerfd_settime(0, 0, &s, NULL));
	show("nothing", timerfd_settime(99, 0, &s, NULL));
	show("get of none", timerfd_gettime(0, &s));
	s.it_value.tv_nsec = 1000000000;
	show("too many ns", timerfd_settime(fd, 0, &s, NULL));
	s = spec(1000, 0);
	s.it_interval.tv_sec = -1;
	show("negative", timerfd_settime(fd, 0, &s, NULL));
	show("few bytes", read(fd, few, sizeof few));
	show("write", write(fd, few, sizeof few));
	show("get", timerfd_gettime(fd, &old));
	say("off: %ld %ld", (long)old.it_value.tv_sec, old.it_value.tv_nsec);
	close(fd);
}

int main(void)
{
	struct itimerspec s = spec(2, 0), old;
	struct timespec now;
	uint64_t count;
	int fd, wall;

	errors();
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	need(fd >= 0);
	say("cloexec %d, nonblock %d", fcntl(fd, F_GETFD), !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	tell_read("off", fd);
	tell_poll("off", fd, 0);
	show("set", timerfd_settime(fd, 0, &s, NULL));
	tell_poll("rings", fd, -1);
	tell_read("once", fd);
	tell_read("not twice", fd);
	need(timerfd_gettime(fd, &old) == 0);
	say("off again: %ld %ld", (long)old.it_value.tv_sec, old.it_value.tv_nsec);

	/* One that has long been due, once and again and again. */
	s = spec(1, 0);
	show("long ago", timerfd_settime(fd, TFD_TIMER_ABSTIME, &s, NULL));
	tell_poll("long ago", fd, -1);
	tell_read("long ago", fd);
	s = spec(1, 1);
	show("each ms", timerfd_settime(fd, 0, &s, NULL));
	usleep(10000);
	need(read(fd, &count, sizeof count) == sizeof count);
	say("several: %d", count >= 9);
	need(timerfd_gettime(fd, &old) == 0);
	say("interval: %ld ns", old.it_interval.tv_nsec);
	say("until the next: %d", old.it_value.tv_nsec <= MS);
	tell_poll("and again", fd, -1);
	s = spec(1000000, 5000);
	show("far away", timerfd_settime(fd, 0, &s, &old));
	say("it was: %ld ns", old.it_interval.tv_nsec);
	tell_read("what had rung is forgotten", fd);
	need(timerfd_gettime(fd, &old) == 0);
	say("left: %d", old.it_value.tv_sec <= 1000 && old.it_value.tv_sec >= 900);
	s = spec(0, 1);
	show("off", timerfd_settime(fd, 0, &s, &old));
	say("it was: %ld s", (long)old.it_interval.tv_sec);
	tell_poll("off", fd, 10);
	close(fd);

	wall = timerfd_create(CLOCK_REALTIME, 0);
	need(wall >= 0 && clock_gettime(CLOCK_REALTIME, &now) == 0);
	s = (struct itimerspec){ .it_value = { now.tv_sec, now.tv_nsec } };
	show("now", timerfd_settime(wall, TFD_TIMER_ABSTIME, &s, NULL));
	tell_read("waited for", wall);
	s = spec(5, 0);
	show("soon", timerfd_settime(wall, 0, &s, NULL));
	tell_read("waited for", wall);

	/* One that is closed while it is set. */
	s = spec(1, 1);
	need(timerfd_settime(wall, 0, &s, NULL) == 0);
	close(wall);
	usleep(5000);
	return 0;
}
