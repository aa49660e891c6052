/*
 * Processes and their ends: news of children, groups and sessions, exec from
 * a thread, and signals that leave nothing sane to return to.
 *
 * What each part has found is said above it.
 */
#include "show.h"
#include <pthread.h>
#include <ucontext.h>

static char alternate[65536];
static sigjmp_buf out;

static void on_overflow(int sig, siginfo_t *info, void *context)
{
	ucontext_t *state = context;

	say("overflow: signal %d, code %d, alternate stack %d", sig,
	    info->si_code, state->uc_stack.ss_flags);
	siglongjmp(out, 1);
}

__attribute__((noinline))
static int fall(int depth)
{
	volatile char room[PAGE];

	room[0] = (char)depth;
	if (depth < 0)
		return 0;
	return fall(depth + 1) + room[0];
}

/* Below the stack nothing is mapped, though the kernel keeps room there. */
static void overflow(void)
{
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate };
	struct sigaction action = { .sa_sigaction = on_overflow,
	    .sa_flags = SA_SIGINFO | SA_ONSTACK };

	need(sigaltstack(&stack, NULL) == 0);
	need(sigaction(SIGSEGV, &action, NULL) == 0);
	if (sigsetjmp(out, 1) == 0)
		fall(0);
	signal(SIGSEGV, SIG_DFL);
}

static void skip_instruction(int sig, siginfo_t *info, void *context)
{
	ucontext_t *state = context;

	(void)sig, (void)info;
	state->uc_mcontext.gregs[REG_RIP] += 2;
	state->uc_mcontext.gregs[REG_RAX] = 42;
}

/* A handler's changes of the registers are what the program goes on with. */
static void changed_registers(void)
{
	struct sigaction action = { .sa_sigaction = skip_instruction,
	    .sa_flags = SA_SIGINFO };
	long result;

	need(sigaction(SIGILL, &action, NULL) == 0);
	__asm__ volatile("ud2" : "=a"(result) : : "memory");
	say("handler's register: %ld", result);
}

/* Once a handler at an address that is none stopped the kernel. */
static void nowhere(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct sigaction action = {
		    .sa_handler = (void (*)(int))(1UL << 63) };

		sigaction(SIGUSR1, &action, NULL);
		raise(SIGUSR1);
		_exit(0);
	}
	reap("handler nowhere", pid);
	pid = fork();
	if (pid == 0) {
		__asm__ volatile("xor %%esp, %%esp; mov $15, %%eax; syscall"
		    : : : "memory");
		_exit(0);
	}
	reap("return to nowhere", pid);
	pid = fork();
	if (pid == 0) {
		__asm__ volatile("mov $1, %%eax; shl $47, %%rax; push %%rax; ret"
		    : : : "memory");
		_exit(0);
	}
	reap("jump to nowhere", pid);
}

static volatile sig_atomic_t news;

static void on_child(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	say("child: code %d, status %d", info->si_code, info->si_status);
	news++;
}

/* The status may be there to be waited for before the signal is. */
static void await_news(int count)
{
	while (news < count)
		sched_yield();
}

static void children(void)
{
	struct sigaction action = { .sa_sigaction = on_child,
	    .sa_flags = SA_SIGINFO | SA_RESTART };
	siginfo_t info;
	pid_t pid;
	int status;

	need(sigaction(SIGCHLD, &action, NULL) == 0);
	if ((pid = fork()) == 0)
		_exit(5);
	need(waitpid(pid, &status, 0) == pid);
	await_news(1);
	if ((pid = fork()) == 0)
		for (;;)
			pause();
	kill(pid, SIGSTOP);
	need(waitpid(pid, &status, WUNTRACED) == pid);
	await_news(2);
	say("stopped: %x", (unsigned)status);
	kill(pid, SIGCONT);
	need(waitpid(pid, &status, WCONTINUED) == pid);
	await_news(3);
	say("continued: %x", (unsigned)status);
	kill(pid, SIGKILL);
	need(waitpid(pid, &status, 0) == pid);
	await_news(4);
	signal(SIGCHLD, SIG_IGN);
	if ((pid = fork()) == 0)
		_exit(0);
	show("ignored children leave no status", waitpid(pid, &status, 0));
	signal(SIGCHLD, SIG_DFL);

	if ((pid = fork()) == 0)
		_exit(9);
	need(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
	say("waitid: code %d, status %d", info.si_code, info.si_status);
	reap("and again", pid);
}

/* A signal whose default is to do nothing still ends a wait for it. */
static void awaited(void)
{
	sigset_t set, old;
	siginfo_t info;
	pid_t pid;

	sigemptyset(&set), sigaddset(&set, SIGCHLD);
	need(sigprocmask(SIG_BLOCK, &set, &old) == 0);
	if ((pid = fork()) == 0)
		_exit(3);
	say("awaited: %d", sigwaitinfo(&set, &info) == SIGCHLD);
	reap("it", pid);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static void *sleep_long(void *arg)
{
	sleep(100);
	return arg;
}

static void *exec_true(void *arg)
{
	(void)arg;
	usleep(10000);
	execl("/bin/busybox", "busybox", "echo", "a thread's exec", (char *)0);
	return NULL;
}

/* Whatever thread does it, exec leaves one, with the process's number. */
static void threads(void)
{
	pthread_t thread;
	pid_t pid = fork();

	if (pid == 0) {
		pthread_create(&thread, NULL, sleep_long, NULL);
		pthread_create(&thread, NULL, exec_true, NULL);
		sleep(100);
		_exit(1);
	}
	reap("exec by a thread", pid);
	if ((pid = fork()) == 0) {
		for (int i = 0; i < 4; i++)
			pthread_create(&thread, NULL, sleep_long, NULL);
		usleep(1000);
		exit(4);
	}
	reap("exit with threads", pid);
	if ((pid = fork()) == 0) {
		pthread_create(&thread, NULL, sleep_long, NULL);
		usleep(1000);
		kill(getpid(), SIGTERM);
		sleep(100);
	}
	reap("signal with threads", pid);
}

static void groups(void)
{
	int ends[2], parent;
	pid_t pid = fork();

	if (pid == 0) {
		say("session: %d", setsid() == getpid());
		say("its group: %d", getpgrp() == getpid());
		show("another", setsid());
		_exit(0);
	}
	reap("leader", pid);
	if ((pid = fork()) == 0)
		for (;;)
			pause();
	show("setpgid", setpgid(pid, pid));
	say("getpgid: %d", getpgid(pid) == pid);
	show("kill group", kill(-pid, SIGINT));
	reap("member", pid);
	show("kill nobody", kill(-pid, 0));

	need(pipe(ends) == 0);
	if ((pid = fork()) == 0) {
		pid_t me = getpid();

		if (fork() == 0) {
			while (getppid() == me)
				usleep(1000);
			parent = getppid();
			need(write(ends[1], &parent, sizeof parent) ==
			    sizeof parent);
		}
		_exit(0);
	}
	reap("parent", pid);
	need(read(ends[0], &parent, sizeof parent) == sizeof parent);
	say("orphan has another parent: %d", parent != pid);
}

/* A number comes again late: not among the next, nor while a group has it. */
static void numbers(void)
{
	int again = 0, ends[2];
	pid_t first, pid;
	char byte;

	for (int i = 0; i <= 100; i++) {
		if ((pid = fork()) == 0)
			_exit(0);
		need(waitpid(pid, NULL, 0) == pid);
		if (i == 0)
			first = pid;
		else
			again += pid == first;
	}
	say("again among a hundred: %d", again);
	need(pipe(ends) == 0);
	if ((first = fork()) == 0) {
		need(setpgid(0, 0) == 0);
		if (fork() == 0) {
			close(ends[1]);
			need(read(ends[0], &byte, 1) == 0);
		}
		_exit(0);
	}
	reap("leader of a group", first);
	show("kill what is left", kill(-first, 0));
	close(ends[1]);
	close(ends[0]);
}

int main(void)
{
	overflow();
	changed_registers();
	nowhere();
	children();
	awaited();
	threads();
	groups();
	numbers();
	return 0;
}
