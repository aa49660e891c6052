/*
 * Takes memory until there is none: eat [MIB]. With a number it stops there, says "full" and waits
 * until its input ends.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MIB = 1 << 20, PAGE = 4096 };

int main(int argc, char **argv)
{
	long most = argc > 1 ? atol(argv[1]) : 1 << 20;
	char byte;

	for (long i = 0; i < most; i++) {
		char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED) {
			printf("no more after %ld MiB\n", i);
			return 1;
		}
		for (int at = 0; at < MIB; at += PAGE)
			*(uint64_t *)(p + at) = (uint64_t)(i + at) * 0x9e3779b97f4a7c15u;
	}
	puts("full");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
