/*
 * Takes memory until there is none: eat [MIB [KIB]]. With numbers it stops there, says "full" and waits
 * until its input ends.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { KIB = 1 << 10, MIB = 1 << 20, PAGE = 4096 };

/* Takes so many bytes more; 0 if it cannot. */
static int take(long which, int bytes)
{
	char *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 0;
	for (int at = 0; at < bytes; at += PAGE)
		*(uint64_t *)(p + at) = (uint64_t)(which + at) * 0x9e3779b97f4a7c15u;
	return 1;
}

int main(int argc, char **argv)
{
	long most = argc > 1 ? atol(argv[1]) : 1 << 20;
	int rest = argc > 2 ? atoi(argv[2]) * KIB : 0;
	char byte;

	for (long i = 0; i < most; i++) {
		if (!take(i, MIB)) {
			printf("no more after %ld MiB\n", i);
			return 1;
		}
	}
	if (rest > 0 && !take(most, rest))
		return 1;
	puts("full");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
