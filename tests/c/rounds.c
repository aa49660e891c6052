/*
 * Forks, executes and reaps again and again, and compares the memory manager's
 * counts of what is in use, as /proc/scalvm tells them, before and after.
 * Usage: rounds N [program]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is in use; the other lines of the file count events. */
static const char *const names[] = {
	"frames_free", "frames_kernel", "frames_tables", "frames_anon",
	"frames_file", "anons", "amaps", "nodes", "families", "objects",
	"entries", "maps",
};
enum { COUNTS = sizeof names / sizeof names[0], WARM_UP = 200 };

static char *program = "/bin/exit0";

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* Reads the counts without allocating anything. */
static void look(unsigned long long counts[COUNTS])
{
	static char text[8192];
	int fd = open("/proc/scalvm", O_RDONLY);
	size_t len = 0;
	ssize_t got;

	if (fd < 0)
		die("/proc/scalvm");
	while ((got = read(fd, text + len, sizeof text - 1 - len)) > 0)
		len += (size_t)got;
	text[len] = '\0';
	close(fd);
	for (int i = 0; i < COUNTS; i++) {
		size_t name = strlen(names[i]);
		char *at = text;

		while (at && (strncmp(at, names[i], name) != 0 ||
		    strchr(" \t:", at[name]) == NULL)) {
			at = strchr(at, '\n');
			if (at)
				at++;
		}
		if (!at) {
			printf("/proc/scalvm has no line %s\n", names[i]);
			exit(2);
		}
		counts[i] = strtoull(at + name + strspn(at + name, " \t:"),
		    NULL, 10);
	}
}

static void go_round(void)
{
	char *argv[] = { program, NULL }, *envp[] = { NULL };
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		execve(program, argv, envp);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("wait");
}

int main(int argc, char **argv)
{
	static unsigned long long before[COUNTS], after[COUNTS];
	int rounds = argc > 1 ? atoi(argv[1]) : 0, same = 0;

	if (argc > 2)
		program = argv[2];
	/* What is allocated once, or the first time, is no leak. */
	look(before);
	for (int i = 0; i < WARM_UP; i++)
		go_round();
	look(before);
	for (int i = 0; i < rounds; i++)
		go_round();
	look(after);
	for (int i = 0; i < COUNTS; i++) {
		if (before[i] == after[i])
			same++;
		else
			printf("%s: %llu before, %llu after\n", names[i],
			    before[i], after[i]);
	}
	printf("%d rounds, %d counts as before\n", rounds, same);
	return same != COUNTS;
}
