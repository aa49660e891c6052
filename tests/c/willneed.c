/*
 * Has a disk's pages read before they are touched, through a mapping. Usage: willneed DEVICE
 */
#include "show.h"
#include <fcntl.h>

enum { PAGES = 128 };

/* A count of the memory manager's. */
static long count(const char *name)
{
	char line[128];
	long value = -1;
	FILE *f = fopen("/proc/scalvm", "r");

	need(f != NULL);
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ' ')
			value = atol(line + strlen(name));
	fclose(f);
	return value;
}

int main(int argc, char **argv)
{
	long before;
	char *p;
	int fd, good = 0;

	need(argc == 2);
	fd = open(argv[1], O_RDONLY);
	need(fd >= 0);
	p = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	need(p != MAP_FAILED);
	show("munmap", munmap(p + 100 * PAGE, PAGE));
	before = count("pageins");
	show("64 pages", madvise(p, 64 * PAGE, MADV_WILLNEED));
	say("read: %ld", count("pageins") - before);
	show("with a hole", madvise(p + 96 * PAGE, 32 * PAGE, MADV_WILLNEED));
	say("read: %ld", count("pageins") - before);
	for (int i = 0; i < 64; i++)
		good += p[i * PAGE] == (char)(i + 1);
	say("good: %d", good);
	return 0;
}
