/*
 * Signals: handlers and what they are told, masks, pending ones, alternate
 * stacks, interrupted calls, timers, children, groups.
 */
#include "show.h"
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t seen, last, depth, deepest;
static volatile long value;

static void count(int sig)
{
	seen++;
	last = sig;
}

static void handle(int sig, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	need(sigaction(sig, &action, NULL) == 0);
}

static void plain(void)
{
	handle(SIGUSR1, count, 0);
	show("kill self", kill(getpid(), SIGUSR1));
	say("seen %d, last %d", seen, last);
	show("raise", raise(SIGUSR1));
	say("seen %d", seen);
	handle(SIGUSR2, SIG_IGN, 0);
	show("ignored", kill(getpid(), SIGUSR2));
	show("signal 0", kill(getpid(), 0));
	show("no such process", kill(0x3fffff, SIGUSR1));
	show("no such signal", kill(getpid(), 65));
	show("catch SIGKILL", sigaction(SIGKILL,
	    &(struct sigaction){ .sa_handler = count }, NULL));
	handle(SIGUSR1, count, (int)SA_RESETHAND);
	raise(SIGUSR1);
	{
		struct sigaction old;

		need(sigaction(SIGUSR1, NULL, &old) == 0);
		say("reset: %d", old.sa_handler == SIG_DFL);
	}
}

static void masks(void)
{
	sigset_t set, old, pending;

	handle(SIGUSR1, count, 0), handle(SIGUSR2, count, 0);
	sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGUSR2);
	need(sigprocmask(SIG_BLOCK, &set, &old) == 0);
	seen = 0;
	raise(SIGUSR1), raise(SIGUSR1), raise(SIGUSR2);
	sigpending(&pending);
	say("blocked: seen %d, pending %d %d %d", seen,
	    sigismember(&pending, SIGUSR1), sigismember(&pending, SIGUSR2),
	    sigismember(&pending, SIGHUP));
	need(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
	say("unblocked: seen %d", seen);
	seen = 0;
	need(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	raise(SIGUSR2);
	sigdelset(&set, SIGUSR2);
	show("sigsuspend", sigsuspend(&set));
	say("suspended: seen %d", seen);
	raise(SIGUSR1);
	handle(SIGUSR1, SIG_IGN, 0);
	sigpending(&pending);
	say("ignoring drops: %d", sigismember(&pending, SIGUSR1));
	need(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
	show("unknown how", sigprocmask(77, &old, NULL));
}

static void on_nested(int sig)
{
	depth++;
	if (depth > deepest)
		deepest = depth;
	if (seen++ < 3)
		raise(sig);
	depth--;
}

static void nesting(void)
{
	seen = deepest = 0;
	handle(SIGUSR1, on_nested, 0);
	raise(SIGUSR1);
	say("masked while handled: seen %d, deepest %d", seen, deepest);
	seen = deepest = 0;
	handle(SIGUSR1, on_nested, SA_NODEFER);
	raise(SIGUSR1);
	say("nodefer: seen %d, deepest %d", seen, deepest);
}

static void on_info(int sig, siginfo_t *info, void *context)
{
	(void)context;
	last = sig;
	value = info->si_value.sival_int;
	say("signal %d, code %d, from self %d", sig, info->si_code,
	    info->si_pid == getpid());
}

static void queued(void)
{
	struct sigaction action = { .sa_sigaction = on_info,
	    .sa_flags = SA_SIGINFO };
	union sigval data = { .sival_int = 4711 };
	sigset_t set, old;

	need(sigaction(SIGUSR1, &action, NULL) == 0);
	need(sigaction(SIGRTMIN + 1, &action, NULL) == 0);
	kill(getpid(), SIGUSR1);
	need(sigqueue(getpid(), SIGRTMIN + 1, data) == 0);
	say("value %ld", value);
	/* Those of the real-time kind queue up, each with its value. */
	sigemptyset(&set), sigaddset(&set, SIGRTMIN + 1);
	need(sigprocmask(SIG_BLOCK, &set, &old) == 0);
	for (data.sival_int = 1; data.sival_int <= 3; data.sival_int++)
		need(sigqueue(getpid(), SIGRTMIN + 1, data) == 0);
	need(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
	say("value %ld", value);
}

static char *stack_low;
static volatile sig_atomic_t on_stack;

static void on_overflow(int sig, siginfo_t *info, void *context)
{
	char here;

	(void)sig, (void)info, (void)context;
	on_stack = &here >= stack_low && &here < stack_low + 16384;
	siglongjmp(touch_failed, 1);
}

static volatile int forever = 1;

static int recurse(volatile char *p)
{
	volatile char frame[512];

	frame[0] = p[0];
	return forever ? frame[0] + recurse(frame) + p[1] : 0;
}

static void alternate_stack(void)
{
	struct sigaction action = { .sa_sigaction = on_overflow,
	    .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t stack = { .ss_size = 16384 }, old;
	char c[2] = { 0 };

	stack_low = malloc(16384);
	stack.ss_sp = stack_low;
	show("sigaltstack", sigaltstack(&stack, NULL));
	need(sigaction(SIGSEGV, &action, NULL) == 0);
	if (sigsetjmp(touch_failed, 1) == 0)
		recurse(c);
	say("overflow caught on the other stack: %d", on_stack);
	if (sigsetjmp(touch_failed, 1) == 0)
		recurse(c);
	say("and again: %d", on_stack);
	need(sigaltstack(NULL, &old) == 0);
	say("same stack: %d %d", old.ss_sp == stack_low, old.ss_flags);
	stack.ss_size = 100;
	show("too small", sigaltstack(&stack, NULL));
	stack.ss_flags = SS_DISABLE;
	show("disable", sigaltstack(&stack, NULL));
	catch_faults();
}

static void interrupted(void)
{
	struct itimerval timer = { .it_value.tv_usec = 50000 }, none = { 0 };
	struct timespec nap = { .tv_sec = 30 }, left = { 0 };
	int pipes[2];
	char c;

	need(pipe(pipes) == 0);
	handle(SIGALRM, count, 0);
	seen = 0;
	need(setitimer(ITIMER_REAL, &timer, NULL) == 0);
	show("read interrupted", read(pipes[0], &c, 1));
	say("seen %d", seen);
	need(setitimer(ITIMER_REAL, &timer, NULL) == 0);
	show("sleep interrupted", nanosleep(&nap, &left));
	say("time left: %d", left.tv_sec >= 25 && left.tv_sec < 30);
	need(setitimer(ITIMER_REAL, &timer, NULL) == 0);
	show("pause", pause());

	/* With SA_RESTART, the read goes on until the child writes. */
	handle(SIGALRM, count, SA_RESTART);
	seen = 0;
	if (fork() == 0) {
		nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL);
		need(write(pipes[1], "x", 1) == 1);
		_exit(0);
	}
	need(setitimer(ITIMER_REAL, &timer, NULL) == 0);
	show("read restarted", read(pipes[0], &c, 1));
	say("seen %d", seen);
	need(wait(NULL) > 0);
	need(setitimer(ITIMER_REAL, &none, NULL) == 0);
	close(pipes[0]), close(pipes[1]);
}

static void pipe_and_exit(void)
{
	int pipes[2];
	pid_t pid;

	need(pipe(pipes) == 0);
	close(pipes[0]);
	handle(SIGPIPE, count, 0);
	seen = 0;
	show("write to a broken pipe", write(pipes[1], "x", 1));
	say("seen %d", seen);
	pid = fork();
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		need(write(pipes[1], "x", 1) == 1);
	}
	reap("broken pipe", pid);
	close(pipes[1]);
}

static void on_child(int sig, siginfo_t *info, void *context)
{
	(void)context;
	last = sig;
	say("child: code %d, status %d", info->si_code, info->si_status);
}

static void children(void)
{
	struct sigaction action = { .sa_sigaction = on_child,
	    .sa_flags = SA_SIGINFO };
	sigset_t set, old;
	int status;
	pid_t pid;

	sigemptyset(&set), sigaddset(&set, SIGCHLD);
	need(sigprocmask(SIG_BLOCK, &set, &old) == 0);
	need(sigaction(SIGCHLD, &action, NULL) == 0);
	pid = fork();
	if (pid == 0)
		_exit(3);
	sigsuspend(&old);
	reap("exited", pid);
	pid = fork();
	if (pid == 0) {
		need(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
		for (;;)
			pause();
	}
	show("stop", kill(pid, SIGSTOP));
	need(waitpid(pid, &status, WUNTRACED) == pid);
	say("stopped: %d by %d", WIFSTOPPED(status), WSTOPSIG(status));
	show("continue", kill(pid, SIGCONT));
	need(waitpid(pid, &status, WCONTINUED) == pid);
	say("continued: %d", WIFCONTINUED(status));
	show("not yet", waitpid(pid, &status, WNOHANG));
	show("terminate", kill(pid, SIGTERM));
	reap("terminated", pid);
	show("no child left", waitpid(-1, &status, 0));
	need(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
	need(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
	pid = fork();
	if (pid == 0)
		_exit(3);
	/* Ignored children leave nothing to wait for. */
	show("ignored child", waitpid(pid, &status, 0));
	need(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
}

static void groups(void)
{
	pid_t first, second;
	int status;

	first = fork();
	if (first == 0) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	need(setpgid(first, first) == 0);
	second = fork();
	if (second == 0) {
		setpgid(0, first);
		for (;;)
			pause();
	}
	need(setpgid(second, first) == 0);
	show("kill group", kill(-first, SIGHUP));
	need(waitpid(first, &status, 0) == first);
	say("first: signal %d", WTERMSIG(status));
	need(waitpid(second, &status, 0) == second);
	say("second: signal %d", WTERMSIG(status));
	show("empty group", kill(-first, SIGHUP));
}

/* Handlers survive fork, not exec; ignored signals survive both. */
static void inheritance(void)
{
	pid_t pid;

	handle(SIGUSR1, count, 0);
	seen = 0;
	pid = fork();
	if (pid == 0) {
		raise(SIGUSR1);
		_exit(seen == 1 ? 5 : 6);
	}
	reap("handler after fork", pid);
	pid = fork();
	if (pid == 0) {
		handle(SIGUSR2, SIG_IGN, 0);
		execl("/proc/self/exe", "signals", "exec", NULL);
		_exit(97);
	}
	reap("after exec", pid);
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		raise(SIGUSR2);
		say("executed: still ignored");
		raise(SIGUSR1);
		say("not reached");
		return 0;
	}
	plain();
	masks();
	nesting();
	queued();
	alternate_stack();
	interrupted();
	pipe_and_exit();
	children();
	groups();
	inheritance();
	return 0;
}
