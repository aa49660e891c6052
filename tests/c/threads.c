/*
 * Threads of the C library: creating and joining, locks, conditions, memory
 * that one maps and another uses, faults in several at once, fork and exec
 * among threads, a whole process ended by one of them, stacks with a guard.
 */
#include "show.h"
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

enum { THREADS = 8, ROUNDS = 2000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long counter;
static int turn;
static char *area;
static __thread int own;

static void *count(void *arg)
{
	own = (int)(intptr_t)arg;
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&lock);
		counter++;
		pthread_mutex_unlock(&lock);
	}
	return (void *)(intptr_t)(own * 10);
}

static void *take_turns(void *arg)
{
	int id = (int)(intptr_t)arg;

	for (int i = 0; i < 50; i++) {
		pthread_mutex_lock(&lock);
		while (turn % THREADS != id)
			pthread_cond_wait(&changed, &lock);
		turn++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

/* Each writes first to its share of every page, so that faults collide. */
static void *fill(void *arg)
{
	int id = (int)(intptr_t)arg;

	for (int page = 0; page < 256; page++)
		for (int i = 0; i < 16; i++)
			area[page * PAGE + id * 16 + i] = (char)(id + 1);
	return NULL;
}

/* Maps, writes, protects and unmaps, beside others that do the same. */
static void *churn(void *arg)
{
	long sum = 0;

	for (int i = 0; i < 300; i++) {
		char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);

		need(p != MAP_FAILED);
		p[0] = p[2 * PAGE] = (char)(intptr_t)arg;
		need(mprotect(p + PAGE, PAGE, PROT_READ) == 0);
		sum += p[0] + p[PAGE] + p[2 * PAGE] + p[3 * PAGE];
		need(munmap(p, 4 * PAGE) == 0);
	}
	return (void *)sum;
}

static long run_all(void *(*body)(void *))
{
	pthread_t thread[THREADS];
	long sum = 0;

	for (int i = 0; i < THREADS; i++)
		need(pthread_create(&thread[i], NULL, body,
		    (void *)(intptr_t)i) == 0);
	for (int i = 0; i < THREADS; i++) {
		void *result;

		need(pthread_join(thread[i], &result) == 0);
		sum += (long)(intptr_t)result;
	}
	return sum;
}

static void *leave_a_page(void *arg)
{
	char *p = mmap(NULL, PAGE, RW, ANON, -1, 0);

	(void)arg;
	need(p != MAP_FAILED);
	memset(p, 77, PAGE);
	return p;
}

static void *exit_all(void *arg)
{
	(void)arg;
	exit(9);
}

static void *fault(void *arg)
{
	/* The compiler must not know that this is a bad address. */
	volatile uintptr_t low = 16;

	*(volatile char *)low = 1;
	return arg;
}

static void *sleep_long(void *arg)
{
	for (;;)
		sleep(1000);
	return arg;
}

static void *execute(void *arg)
{
	(void)arg;
	execl("/proc/self/exe", "threads", "again", NULL);
	_exit(96);
}

/* A child with a sleeping thread, in which another one does something. */
static void in_child(const char *what, void *(*body)(void *))
{
	pid_t pid = fork();

	need(pid >= 0);
	if (pid == 0) {
		pthread_t thread;

		need(pthread_create(&thread, NULL, sleep_long, NULL) == 0);
		need(pthread_create(&thread, NULL, body, NULL) == 0);
		sleep_long(NULL);
	}
	reap(what, pid);
}

static volatile int handled_by;
static pthread_t main_thread;

static void on_signal(int sig)
{
	(void)sig;
	handled_by = pthread_equal(pthread_self(), main_thread) ? 1 : 2;
}

static void *await_signal(void *arg)
{
	while (!handled_by)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	return arg;
}

/* NetBSD's t_stack: below a thread's stack lies what nobody may touch. */
static void *overrun(void *arg)
{
	pthread_attr_t attributes;
	size_t size, guard;
	void *low;

	need(pthread_getattr_np(pthread_self(), &attributes) == 0);
	need(pthread_attr_getstack(&attributes, &low, &size) == 0);
	need(pthread_attr_getguardsize(&attributes, &guard) == 0);
	put("stack: its lowest byte", low, 0, 1);
	put("stack: below it", low, -1, 1);
	look("stack: the guard's lowest byte", low, -(long)guard);
	return arg;
}

static sem_t semaphore;

static void *post(void *arg)
{
	for (int i = 0; i < 100; i++)
		sem_post(&semaphore);
	return arg;
}

int main(int argc, char **argv)
{
	struct timespec soon;
	pthread_t thread;
	void *result;
	int status;
	pid_t pid;

	(void)argv;
	if (argc > 1) {
		say("executed by a thread; alone now: %d",
		    getpid() == (pid_t)syscall(SYS_gettid));
		return 5;
	}
	say("joined: %ld", run_all(count));
	say("counted: %ld, own %d", counter, own);
	run_all(take_turns);
	say("turns: %d", turn);
	area = mmap(NULL, 256 * PAGE, RW, ANON, -1, 0);
	need(area != MAP_FAILED);
	run_all(fill);
	{
		long sum = 0;

		for (long i = 0; i < 256 * PAGE; i++)
			sum += area[i];
		say("filled: %ld", sum);
	}
	say("churned: %ld", run_all(churn));
	need(pthread_create(&thread, NULL, leave_a_page, NULL) == 0);
	need(pthread_join(thread, &result) == 0);
	say("left behind: %d", ((char *)result)[PAGE - 1]);

	catch_faults();
	need(pthread_create(&thread, NULL, overrun, NULL) == 0);
	need(pthread_join(thread, NULL) == 0);
	need(signal(SIGSEGV, SIG_DFL) != SIG_ERR);
	in_child("exit in a thread", exit_all);
	in_child("fault in a thread", fault);
	in_child("exec in a thread", execute);

	/* Fork in a process of several threads copies the one that forks. */
	need(pthread_create(&thread, NULL, sleep_long, NULL) == 0);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		run_all(count);
		say("child counted: %ld", counter);
		exit(3);
	}
	reap("fork among threads", pid);
	need(pthread_cancel(thread) == 0);
	need(pthread_join(thread, &result) == 0);
	say("cancelled: %d", result == PTHREAD_CANCELED);

	main_thread = pthread_self();
	need(signal(SIGUSR1, on_signal) != SIG_ERR);
	need(pthread_create(&thread, NULL, await_signal, NULL) == 0);
	need(pthread_kill(thread, SIGUSR1) == 0);
	need(pthread_join(thread, &result) == 0);
	say("signal to a thread, handled by %d", handled_by);
	need(pthread_create(&thread, NULL, sleep_long, NULL) == 0);
	need(pthread_cancel(thread) == 0);
	need(pthread_join(thread, &result) == 0);
	say("cancelled: %d", result == PTHREAD_CANCELED);

	need(sem_init(&semaphore, 0, 0) == 0);
	run_all(post);
	for (status = 0; sem_trywait(&semaphore) == 0; status++)
		;
	say("posted: %d", status);
	need(clock_gettime(CLOCK_REALTIME, &soon) == 0);
	soon.tv_nsec += 20000000;
	soon.tv_sec += soon.tv_nsec / 1000000000;
	soon.tv_nsec %= 1000000000;
	show("timed wait", sem_timedwait(&semaphore, &soon));
	pthread_mutex_lock(&lock);
	say("condition, timed: %s",
	    error_name(pthread_cond_timedwait(&changed, &lock, &soon)));
	pthread_mutex_unlock(&lock);
	return 0;
}
