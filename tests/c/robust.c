/*
 * Robust futexes: what a thread holds when it ends is marked, and one who waits for it goes on,
 * however it ends.
 */
#include "show.h"
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>

#define FUTEX_WAIT 0
#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK 0x3fffffffu

struct robust_list {
	struct robust_list *next;
};

struct robust_list_head {
	struct robust_list list;
	long futex_offset;
	struct robust_list *list_op_pending;
};

enum { HELD, WAITED_FOR, ANOTHERS, PENDING, FREE_PENDING, BEHIND, WORDS };

struct lock {
	struct robust_list link;
	uint32_t word;
};

/* Shared by all processes of a case. */
static struct area {
	struct robust_list_head head;
	struct lock lock[WORDS];
} *area;

static long set_list(void *head, size_t len)
{
	return syscall(SYS_set_robust_list, head, len);
}

static long futex(uint32_t *word, int op, uint32_t value)
{
	return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

/* A list of these locks in order, all but the pending one; ends where it begins. */
static void make_list(const int *which, int count, int pending)
{
	struct robust_list *last = &area->head.list;

	for (int i = 0; i < count; i++) {
		last->next = &area->lock[which[i]].link;
		last = last->next;
	}
	last->next = &area->head.list;
	area->head.futex_offset = offsetof(struct lock, word);
	area->head.list_op_pending = pending < 0 ? NULL : &area->lock[pending].link;
	need(set_list(&area->head, sizeof area->head) == 0);
}

static const char *state(int which)
{
	switch (area->lock[which].word) {
	case 0: return "free";
	case FUTEX_OWNER_DIED: return "died";
	case FUTEX_OWNER_DIED | FUTEX_WAITERS: return "died, waiters";
	case 12345: return "another's";
	default: return "held";
	}
}

static void show_all(const char *name)
{
	say("%s: held: %s, waited for: %s, another's: %s, pending: %s, behind: %s", name,
	    state(HELD), state(WAITED_FOR), state(ANOTHERS), state(PENDING), state(BEHIND));
}

static void take(void)
{
	static const int all[] = { HELD, WAITED_FOR, ANOTHERS };
	uint32_t me = (uint32_t)syscall(SYS_gettid);

	area->lock[HELD].word = me;
	area->lock[WAITED_FOR].word = me | FUTEX_WAITERS;
	area->lock[ANOTHERS].word = 12345;
	area->lock[PENDING].word = me;
	area->lock[BEHIND].word = me;
	make_list(all, 3, PENDING);
}

static void ends(const char *name, void (*end)(void))
{
	memset(area, 0, sizeof *area);
	pid_t child = fork();
	if (child == 0) {
		take();
		end();
		_exit(0);
	}
	need(waitpid(child, NULL, 0) == child);
	show_all(name);
}

static void by_exit(void)
{
}

static void by_signal(void)
{
	raise(SIGKILL);
}

static char *self;

/* The list is read while the old program's memory is there. */
static void by_exec(void)
{
	char *argv[] = { self, "again", NULL };

	execv(self, argv);
}

/* The last link leads nowhere: what comes before it counts, the pending one is not reached. */
static void broken(void)
{
	area->lock[ANOTHERS].link.next = (void *)8;
}

/* It never ends. */
static void endless(void)
{
	area->lock[ANOTHERS].link.next = &area->lock[HELD].link;
}

static void crooked(void)
{
	area->head.futex_offset++;
}

static void none(void)
{
	need(set_list(NULL, sizeof area->head) == 0);
}

/* Those who wait go on when the holder ends, be it pending and free. */
static void wakes(const char *name, int which, int pending)
{
	int ready[2];
	char c;

	memset(area, 0, sizeof *area);
	need(pipe(ready) == 0);
	area->lock[which].word = FUTEX_WAITERS;
	pid_t holder = fork();
	if (holder == 0) {
		if (!pending)
			area->lock[which].word |= (uint32_t)getpid();
		make_list(&which, !pending, pending ? which : -1);
		need(read(ready[0], &c, 1) == 1);
		if (pending)
			area->lock[which].word = 0;
		_exit(0);
	}
	while (!pending && !(area->lock[which].word & FUTEX_TID_MASK))
		sched_yield();
	uint32_t word = area->lock[which].word;
	pid_t waiter = fork();
	if (waiter == 0) {
		need(write(ready[1], "x", 1) == 1);
		/* It may have changed before. */
		long result = futex(&area->lock[which].word, FUTEX_WAIT, word);
		_exit(result != 0 && errno != EAGAIN);
	}
	int status;
	need(waitpid(holder, NULL, 0) == holder);
	need(waitpid(waiter, &status, 0) == waiter);
	say("%s: waiter's status %d, lock %s", name, status, state(which));
}

static pthread_mutex_t mutex;

static void *hold(void *arg)
{
	pthread_mutex_lock(&mutex);
	return arg;
}

/* The same by the C library. */
static void mutexes(void)
{
	pthread_mutexattr_t attributes;
	pthread_t thread;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&mutex, &attributes);
	for (int repair = 1; repair >= 0; repair--) {
		need(pthread_create(&thread, NULL, hold, NULL) == 0);
		pthread_join(thread, NULL);
		int result = pthread_mutex_lock(&mutex);
		say("mutex: %s", result == EOWNERDEAD ? "owner dead" : "something else");
		if (repair)
			say("consistent: %d", pthread_mutex_consistent(&mutex));
		say("unlock: %d", pthread_mutex_unlock(&mutex));
	}
	int result = pthread_mutex_lock(&mutex);
	say("mutex: %s", result == ENOTRECOVERABLE ? "not recoverable" : "something else");
}

int main(int argc, char **argv)
{
	void *head;
	size_t len;

	if (argc > 1)
		return 0;
	self = argv[0];
	area = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	need(area != MAP_FAILED);

	mutexes();
	long result = set_list(area, 23);
	say("wrong size: %ld, %s", result, error_name(errno));
	need(set_list(area, sizeof area->head) == 0);
	result = syscall(SYS_get_robust_list, 0, &head, &len);
	say("get: %ld, mine: %d, size %zu", result, head == area, len);
	result = syscall(SYS_get_robust_list, getpid(), &head, &len);
	say("get by number: %ld, mine: %d, size %zu", result, head == area, len);
	result = syscall(SYS_get_robust_list, INT_MAX, &head, &len);
	say("get of nobody: %ld, %s", result, error_name(errno));
	result = syscall(SYS_get_robust_list, 0, 8, &len);
	say("get to nowhere: %ld, %s", result, error_name(errno));
	if (fork() == 0) {
		result = syscall(SYS_get_robust_list, 0, &head, &len);
		say("a child's: %ld, none: %d", result, head == NULL);
		_exit(0);
	}
	wait(NULL);

	ends("exit", by_exit);
	ends("signal", by_signal);
	ends("exec", by_exec);
	ends("broken", broken);
	ends("endless", endless);
	ends("crooked", crooked);
	ends("none", none);
	wakes("held", HELD, 0);
	wakes("pending", FREE_PENDING, 1);
	return 0;
}
