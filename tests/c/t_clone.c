/* Children made by clone, which share what the flags say with their parent. */
#include "raise.h"

#include <fcntl.h>
#include <sched.h>

#define STACK (64 * 1024)

static char stacks[4][STACK] __attribute__((aligned(16)));
static int flags;

static pid_t spawn(int depth, int (*body)(void *), void *arg)
{
	pid_t pid = clone(body, stacks[depth] + STACK, flags | SIGCHLD, arg);

	need(pid > 0);
	return pid;
}

static volatile int variable;
static int number;

/* Changes all that may be shared. */
static int change(void *arg)
{
	variable = 1;
	(void)arg;
	if (chdir("/") != 0)
		return 1;
	if (open("/dev/null", O_RDONLY) != number)
		return 2;
	signal(SIGUSR1, SIG_IGN);
	return 0;
}

static void shares(void)
{
	struct sigaction action;
	char here[64];

	need(chdir("/tmp") == 0);
	need(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
	variable = 0;
	number = open("/dev/null", O_RDONLY);
	need(number >= 0 && close(number) == 0);
	reap("changed", spawn(0, change, NULL));
	need(getcwd(here, sizeof here) != NULL);
	need(sigaction(SIGUSR1, NULL, &action) == 0);
	say("memory %d, directory %d, files %d, actions %d", variable,
	    strcmp(here, "/") == 0, close(number) == 0,
	    action.sa_handler == SIG_IGN);
}

int main(void)
{
	static const struct {
		const char *name;
		int flags;
	} ways[] = {
		{ "nothing", 0 },
		{ "VM", CLONE_VM },
		{ "VM and VFORK", CLONE_VM | CLONE_VFORK },
		{ "VFORK", CLONE_VFORK },
		{ "FS", CLONE_FS },
		{ "FILES", CLONE_FILES },
		{ "VM, FS and FILES", CLONE_VM | CLONE_FS | CLONE_FILES },
		{ "VM, FS, FILES and SIGHAND",
		    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND },
	};

	for (int i = 0; i < (int)(sizeof ways / sizeof ways[0]); i++) {
		say("-- sharing %s", ways[i].name);
		flags = ways[i].flags;
		raises();
		nested();
		shares();
	}
	flags = CLONE_SIGHAND;
	show("SIGHAND without VM", clone(change, stacks[0] + STACK, CLONE_SIGHAND | SIGCHLD, NULL));
	show("THREAD without SIGHAND", clone(change, stacks[0] + STACK, CLONE_VM | CLONE_THREAD, NULL));
	return 0;
}
