/* Children made by fork: how they end, stop and go on. */
#include "raise.h"

static pid_t spawn(int depth, int (*body)(void *), void *arg)
{
	pid_t pid = fork();

	(void)depth;
	need(pid >= 0);
	if (pid == 0)
		_exit(body(arg));
	return pid;
}

/* Stops itself, in a group of its own that is not an orphan, until told. */
static int stop(void *signal)
{
	need(setpgid(0, 0) == 0);
	send_self(*(int *)signal);
	return 8;
}

static void stops(void)
{
	static const int signals[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU };
	char line[32];

	for (int i = 0; i < 4; i++) {
		int signal = signals[i], status;
		pid_t pid = spawn(0, stop, &signal);

		need(waitpid(pid, &status, WUNTRACED) == pid);
		say("stop: %d, signal %d", WIFSTOPPED(status), WSTOPSIG(status));
		need(kill(pid, SIGCONT) == 0);
		need(waitpid(pid, &status, WCONTINUED | WUNTRACED) == pid);
		/* It may have gone on, and ended, before it was looked at. */
		if (WIFCONTINUED(status))
			need(waitpid(pid, &status, 0) == pid);
		say("then: status %d", WEXITSTATUS(status));
		pid = spawn(0, stop, &signal);
		need(waitpid(pid, &status, WUNTRACED) == pid);
		need(kill(pid, SIGKILL) == 0);
		snprintf(line, sizeof line, "killed while stopped by %d", signal);
		reap(line, pid);
	}
}

int main(void)
{
	raises();
	nested();
	stops();
	return 0;
}
