/*
 * Locks all of its memory, of which it has so many MiB: in pieces, each of
 * which there could be. Usage: lockall MIB
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { MIB = 1 << 20 };

int main(int argc, char **argv)
{
	int left = argc > 1 ? atoi(argv[1]) : 1;

	for (; left > 0; left--) {
		if (mmap(NULL, MIB, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
			perror("mmap");
			return 1;
		}
	}
	if (mlockall(MCL_CURRENT)) {
		perror("mlockall");
		return 1;
	}
	puts("locked");
	return 0;
}
