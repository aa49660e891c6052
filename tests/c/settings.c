/*
 * What a process says about itself, and how it is scheduled: prctl,
 * capabilities, affinity, policies; and other small calls.
 */
#include "show.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define CAP_KILL 5

/* Linux's structures of capget and capset. */
struct cap_head {
	uint32_t version;
	int pid;
};

struct cap_sets {
	uint32_t effective, permitted, inheritable;
};

static void names(void)
{
	char name[17] = "";

	show("name", prctl(PR_SET_NAME, "a-name-that-is-too-long"));
	show("get", prctl(PR_GET_NAME, name));
	say("%s", name);
	show("nowhere", prctl(PR_SET_NAME, 8));
	show("unknown", prctl(12345, 0, 0, 0, 0));
}

static void flags(void)
{
	show("dumpable", prctl(PR_GET_DUMPABLE));
	show("2", prctl(PR_SET_DUMPABLE, 2));
	show("0", prctl(PR_SET_DUMPABLE, 0));
	show("dumpable", prctl(PR_GET_DUMPABLE));
	show("1", prctl(PR_SET_DUMPABLE, 1));
	show("no new privileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	show("2", prctl(PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0));
	show("more", prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
	show("1", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	show("no new privileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	show("bounding set", prctl(PR_CAPBSET_READ, 0));
	show("beyond", prctl(PR_CAPBSET_READ, 64));
}

static volatile sig_atomic_t told;

static void on_signal(int signal)
{
	told = signal;
}

/* A grandchild is told when its parent ends. */
static void parents(void)
{
	int p[2], q[2], signal_set = -1;
	char byte = 0;
	pid_t child;

	show("signal 65", prctl(PR_SET_PDEATHSIG, 65));
	show("signal -1", prctl(PR_SET_PDEATHSIG, -1));
	show("USR1", prctl(PR_SET_PDEATHSIG, SIGUSR1));
	show("get", prctl(PR_GET_PDEATHSIG, &signal_set));
	say("%d", signal_set);
	need(pipe(p) == 0 && pipe(q) == 0);
	need(signal(SIGUSR2, on_signal) != SIG_ERR);
	child = fork();
	if (child == 0) {
		need(prctl(PR_GET_PDEATHSIG, &signal_set) == 0);
		say("in the child: %d", signal_set);
		if (fork() == 0) {
			sigset_t none, blocked;

			sigemptyset(&none);
			sigemptyset(&blocked);
			sigaddset(&blocked, SIGUSR2);
			need(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
			need(prctl(PR_SET_PDEATHSIG, SIGUSR2) == 0);
			need(write(p[1], "r", 1) == 1);
			while (!told)
				sigsuspend(&none);
			byte = told == SIGUSR2 ? 'y' : 'n';
			need(write(q[1], &byte, 1) == 1);
			_exit(0);
		}
		need(read(p[0], &byte, 1) == 1);
		_exit(3);
	}
	reap("child", child);
	need(read(q[0], &byte, 1) == 1);
	say("told: %c", byte);
	need(prctl(PR_SET_PDEATHSIG, 0) == 0);
}

static void capabilities(void)
{
	struct cap_head head = { 7, 0 };
	struct cap_sets sets[2], fewer[2];

	show("version", syscall(SYS_capget, &head, sets));
	say("%x", head.version);
	head.version = 7;
	show("asked for", syscall(SYS_capget, &head, NULL));
	say("%x", head.version);
	head.pid = -1;
	show("pid -1", syscall(SYS_capget, &head, sets));
	head.pid = 0x3fffffff;
	show("no process", syscall(SYS_capget, &head, sets));
	head.pid = 0;
	show("mine", syscall(SYS_capget, &head, sets));
	say("kill: %d, inheritable %x", sets[0].effective >> CAP_KILL & 1, sets[0].inheritable);
	show("the same", syscall(SYS_capset, &head, sets));
	memcpy(fewer, sets, sizeof fewer);
	fewer[0].effective &= ~(1U << CAP_KILL);
	show("fewer that count", syscall(SYS_capset, &head, fewer));
	need(syscall(SYS_capget, &head, fewer) == 0);
	say("kill: %d", fewer[0].effective >> CAP_KILL & 1);
	show("and back", syscall(SYS_capset, &head, sets));
	fewer[0].effective &= ~(1U << CAP_KILL);
	fewer[0].permitted &= ~(1U << CAP_KILL);
	show("for good", syscall(SYS_capset, &head, fewer));
	show("not back", syscall(SYS_capset, &head, sets));
	fewer[0].effective |= 1U << CAP_KILL;
	show("not permitted", syscall(SYS_capset, &head, fewer));
	head.pid = 1 + getpid();
	show("another's", syscall(SYS_capset, &head, fewer));
	head.pid = 0;
	show("nowhere", syscall(SYS_capset, &head, NULL));
	need(syscall(SYS_capget, &head, fewer) == 0);
	say("kill: %d", fewer[0].permitted >> CAP_KILL & 1);
	pid_t child = fork();

	if (child == 0) {
		need(syscall(SYS_capget, &head, fewer) == 0);
		_exit((int)(fewer[0].permitted >> CAP_KILL & 1));
	}
	reap("child", child);
}

static void scheduling(void)
{
	unsigned long mask[16] = { 0 };
	struct sched_param param = { 0 };

	show("affinity", syscall(SYS_sched_getaffinity, 0, 3, mask));
	show("no process", syscall(SYS_sched_getaffinity, 0x3fffffff, sizeof mask, mask));
	need(syscall(SYS_sched_getaffinity, 0, sizeof mask, mask) > 0);
	say("first: %ld", mask[0] & 1);
	mask[0] = 1;
	show("set", syscall(SYS_sched_setaffinity, 0, sizeof mask, mask));
	show("set a byte", syscall(SYS_sched_setaffinity, 0, 1, mask));
	show("nowhere", syscall(SYS_sched_setaffinity, 0, 8, NULL));
	mask[0] = 0;
	show("none", syscall(SYS_sched_setaffinity, 0, sizeof mask, mask));
	show("no process", syscall(SYS_sched_setaffinity, 0x3fffffff, sizeof mask, mask));
	show("policy", syscall(SYS_sched_getscheduler, 0));
	show("pid -1", syscall(SYS_sched_getscheduler, -1));
	show("no process", syscall(SYS_sched_getscheduler, 0x3fffffff));
	show("set", syscall(SYS_sched_setscheduler, 0, 0, &param));
	show("without", syscall(SYS_sched_setscheduler, 0, 0, NULL));
	show("no policy", syscall(SYS_sched_setscheduler, 0, 99, &param));
	show("fifo of 0", syscall(SYS_sched_setscheduler, 0, 1, &param));
	param.sched_priority = 1;
	show("normal of 1", syscall(SYS_sched_setscheduler, 0, 0, &param));
	show("param", syscall(SYS_sched_setparam, 0, &param));
	show("get", syscall(SYS_sched_getparam, 0, &param));
	say("%d", param.sched_priority);
	show("get nowhere", syscall(SYS_sched_getparam, 0, NULL));
	for (int policy = 0; policy < 7; policy++)
		say("%d: %ld %ld", policy, syscall(SYS_sched_get_priority_min, policy),
		    syscall(SYS_sched_get_priority_max, policy));
	show("yield", sched_yield());
}

/* Only in a table of its own are they closed. */
static int unshare_and_close(void *arg)
{
	int *fds = arg;

	if (syscall(SYS_close_range, fds[0], ~0U, 2) != 0)
		return 2;
	return fcntl(fds[0], F_GETFD) == -1 ? 0 : 1;
}

static void others(void)
{
	struct rusage usage;
	int fds[3];

	show("usage", getrusage(RUSAGE_SELF, &usage));
	say("some time and faults: %d", usage.ru_minflt > 0 && usage.ru_maxrss > 0);
	show("of nobody", getrusage(77, &usage));
	show("nowhere", syscall(SYS_getrusage, RUSAGE_SELF, 8));
	show("restart", syscall(SYS_restart_syscall));
	for (int i = 0; i < 3; i++)
		need((fds[i] = open("/dev/null", O_RDONLY)) >= 0);
	show("range", syscall(SYS_close_range, fds[1], fds[0], 0));
	show("flags", syscall(SYS_close_range, fds[0], fds[1], 64));
	show("mark", syscall(SYS_close_range, fds[0], fds[1], 4));
	say("%d %d %d", fcntl(fds[0], F_GETFD), fcntl(fds[1], F_GETFD), fcntl(fds[2], F_GETFD));
	static char stack[16384] __attribute__((aligned(16)));

	reap("unshared", clone(unshare_and_close, stack + sizeof stack,
	    CLONE_FILES | SIGCHLD, fds));
	say("%d", fcntl(fds[0], F_GETFD));
	show("close", syscall(SYS_close_range, fds[0], ~0U, 0));
	say("%d %d", fcntl(fds[0], F_GETFD), fcntl(fds[2], F_GETFD));
}

int main(void)
{
	names();
	flags();
	parents();
	capabilities();
	scheduling();
	others();
	return 0;
}
