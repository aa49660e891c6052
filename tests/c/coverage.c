/*
 * What there is of each call and flag that is about memory: the table in
 * docs/coverage.md is held against what this prints, a line for each.
 */
#include "coverage/mapping.h"
#include "coverage/advice.h"
#include "coverage/keeping.h"
#include "coverage/sharing.h"
#include "coverage/other.h"

int main(int argc, char **argv)
{
	need(probe_count < MAX_PROBES);
	for (int n = 0; n < probe_count; n++) {
		int status;
		pid_t pid;

		if (argc > 1 && !strstr(probes[n].name, argv[1]))
			continue;
		pid = fork();
		need(pid >= 0);
		if (pid == 0) {
			alarm(20);
			catch_faults();
			say("%s: %s", probes[n].name, probes[n].run());
			_exit(0);
		}
		need(waitpid(pid, &status, 0) == pid);
		if (WIFSIGNALED(status))
			say("%s: wrong: signal %d", probes[n].name,
			    WTERMSIG(status));
		else if (WEXITSTATUS(status) != 0)
			say("%s: wrong: status %d", probes[n].name,
			    WEXITSTATUS(status));
	}
	return 0;
}
