/*
 * Where a program's memory lies: by chance, unless it asks for none.
 */
#include "show.h"
#include <sys/personality.h>

#define RUNS 4
#define KINDS 3

static const char *const names[KINDS] = { "stack", "mapping", "heap" };

/* What a program that was started for it writes: where its things lie. */
static void tell(void)
{
	uintptr_t places[KINDS];

	places[0] = (uintptr_t)&places;
	places[1] = (uintptr_t)mmap(NULL, PAGE, RW, ANON, -1, 0);
	places[2] = (uintptr_t)syscall(SYS_brk, 0L);
	need(write(3, places, sizeof places) == (ssize_t)sizeof places);
}

static void compare(const char *what, char *program)
{
	uintptr_t places[RUNS][KINDS];
	char *arguments[] = { program, "tell", NULL };
	char *environment[] = { NULL };
	int ends[2];

	for (int run = 0; run < RUNS; run++) {
		pid_t pid;

		need(pipe(ends) == 0);
		pid = fork();
		need(pid >= 0);
		if (pid == 0) {
			need(dup2(ends[1], 3) == 3);
			execve(program, arguments, environment);
			_exit(97);
		}
		close(ends[1]);
		need(read(ends[0], places[run], sizeof places[run]) ==
		    (ssize_t)sizeof places[run]);
		close(ends[0]);
		need(waitpid(pid, NULL, 0) == pid);
	}
	for (int kind = 0; kind < KINDS; kind++) {
		int others = 0;

		for (int run = 1; run < RUNS; run++)
			others += places[run][kind] != places[0][kind];
		say("%s: %s: %s", what, names[kind],
		    others ? "differs" : "the same");
	}
}

/* The stack's size as it is shown, in pages. */
static long stack_pages(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	char line[512];
	long pages = 0;

	need(maps != NULL);
	while (fgets(line, sizeof line, maps))
		if (strstr(line, "[stack]") &&
		    sscanf(line, "%lx-%lx", &start, &end) == 2)
			pages = (long)((end - start) / PAGE);
	fclose(maps);
	return pages;
}

static void small_stack(void)
{
	volatile uintptr_t below = (uintptr_t)&below;
	long before = stack_pages();

	say("the stack is small at first: %d", before > 0 && before < 256);
	below -= 2 * 1024 * 1024;
	*(volatile char *)below = 1;
	say("and grows: %d", stack_pages() >= 512);
}

int main(int count, char **arguments)
{
	if (count > 1) {
		tell();
		return 0;
	}
	small_stack();
	compare("by chance", arguments[0]);
	say("asked for: %x", (unsigned)personality(0xffffffff));
	need(personality(ADDR_NO_RANDOMIZE) == 0);
	say("asked for: %x", (unsigned)personality(0xffffffff));
	compare("without", arguments[0]);
	return 0;
}
