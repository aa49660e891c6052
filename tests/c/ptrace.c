/* Tracing a child that asks for it, as far as needs no registers. */
#include "show.h"

#include <sys/ptrace.h>

static volatile long word = 5;
static const long constant[2] = { 7, 8 };

static void on_signal(int signal)
{
	say("child: signal %d, word %ld", signal, word);
}

static long trace(int request, pid_t pid, const void *addr, long data)
{
	long result = syscall(SYS_ptrace, request, pid, addr, data);

	if (result < 0)
		say("ptrace %#x: %s", request, error_name(errno));
	return result;
}

static void tell_wait(const char *what, pid_t child)
{
	int status = 0;
	pid_t pid = waitpid(child, &status, 0);

	if (pid != child)
		say("%s: wait: %s", what, error_name(errno));
	else
		say("%s: status %#x", what, status);
}

static pid_t start(void (*act)(void))
{
	pid_t child = fork();

	need(child >= 0);
	if (child == 0) {
		need(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
		raise(SIGSTOP);
		act();
		_exit(3);
	}
	tell_wait("start", child);
	return child;
}

static void signals(void)
{
	say("child: goes on, word %ld, constant %ld", word, *(volatile const long *)constant);
	raise(SIGUSR1);
	raise(SIGUSR2);
	raise(SIGUSR1);
	*(volatile int *)8 = 1;
}

static void calls(void)
{
	syscall(SYS_getppid);
	syscall(SYS_getppid);
}

static void nothing(void)
{
}

static void execs(void)
{
	char *args[] = { "ptrace", "again", NULL };

	execv("/proc/self/exe", args);
}

int main(int argc, char **argv)
{
	pid_t child;
	long seen;

	(void)argv;
	if (argc > 1) {
		say("child: a new program");
		return 4;
	}
	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, SIG_IGN);

	child = start(signals);
	need(trace(PTRACE_PEEKDATA, child, (const void *)&word, (long)&seen) == 0);
	say("peek: %ld", seen);
	trace(PTRACE_PEEKDATA, child, (const char *)8, (long)&seen);
	trace(PTRACE_POKEDATA, child, (const void *)&word, 6);
	trace(PTRACE_POKEDATA, child, constant, 9);
	say("here: word %ld, constant %ld", word, *(volatile const long *)constant);
	trace(PTRACE_CONT, child, NULL, 100);
	trace(PTRACE_SETOPTIONS, child, NULL, 1L << 40);
	trace(0x7777, child, NULL, 0);
	trace(PTRACE_CONT, child, NULL, 0);
	tell_wait("a signal with a handler", child);
	trace(PTRACE_CONT, child, NULL, SIGUSR1);
	tell_wait("one that is ignored", child);
	trace(PTRACE_CONT, child, NULL, SIGUSR1);
	tell_wait("another one", child);
	trace(PTRACE_CONT, child, NULL, 0);
	tell_wait("a fault", child);
	trace(PTRACE_CONT, child, NULL, SIGSEGV);
	tell_wait("the end", child);
	trace(PTRACE_CONT, child, NULL, 0);

	child = start(calls);
	trace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD);
	for (int i = 0; i < 4; i++) {
		trace(PTRACE_SYSCALL, child, NULL, 0);
		tell_wait("a call", child);
	}
	trace(PTRACE_SETOPTIONS, child, NULL, 0);
	trace(PTRACE_SYSCALL, child, NULL, 0);
	tell_wait("the last call", child);
	trace(PTRACE_CONT, child, NULL, 0);
	tell_wait("the end", child);

	child = start(nothing);
	trace(PTRACE_CONT, child, NULL, SIGSTOP);
	tell_wait("a stop", child);
	trace(PTRACE_CONT, child, NULL, 0);
	tell_wait("the end", child);

	child = start(signals);
	trace(PTRACE_DETACH, child, NULL, 0);
	tell_wait("let go", child);

	child = start(nothing);
	trace(PTRACE_KILL, child, NULL, 0);
	tell_wait("killed", child);

	child = start(execs);
	trace(PTRACE_CONT, child, NULL, 0);
	tell_wait("exec", child);
	trace(PTRACE_CONT, child, NULL, 0);
	tell_wait("the end", child);

	child = fork();
	need(child >= 0);
	if (child == 0)
		pause();
	trace(PTRACE_CONT, child, NULL, 0);
	trace(PTRACE_CONT, getpid(), NULL, 0);
	kill(child, SIGKILL);
	tell_wait("not traced", child);
	child = fork();
	need(child >= 0);
	if (child == 0) {
		trace(PTRACE_TRACEME, 0, NULL, 0);
		trace(PTRACE_TRACEME, 0, NULL, 0);
		_exit(0);
	}
	tell_wait("asked twice", child);
	return 0;
}
