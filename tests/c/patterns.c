/*
 * Processes that each keep a pattern in memory of their own, and look again and again whether it is
 * still there: patterns PROCESSES MIB ROUNDS [plain]. With `plain`, pages are easily compressed.
 * It prints one line, and on failure what was found where. The memory of all of them may be larger
 * than the machine's.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8 };

static int plain;

/* The word at this place of a page that has been written `round` times. */
static uint64_t word(uint64_t process, uint64_t page, uint64_t round, uint64_t at)
{
	uint64_t x = process << 48 ^ page << 24 ^ round << 12 ^ (plain ? at / 64 : at);

	if (plain)
		return x;
	x *= 0x9e3779b97f4a7c15u;
	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	return x ^ x >> 32;
}

static int one(uint64_t process, uint64_t pages, uint64_t rounds)
{
	uint64_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return 2;
	for (uint64_t round = 0; round <= rounds; round++) {
		for (uint64_t page = 0; page < pages; page++) {
			uint64_t *p = memory + page * WORDS;

			for (uint64_t at = 0; at < WORDS; at++) {
				uint64_t wanted = round == 0 ? 0 :
				    word(process, page, round - 1, at);

				if (p[at] != wanted) {
					printf("process %d, round %d, page %d, word %d: %llx, not %llx\n",
					    (int)process, (int)round, (int)page, (int)at,
					    (unsigned long long)p[at], (unsigned long long)wanted);
					return 1;
				}
				p[at] = word(process, page, round, at);
			}
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	int processes = atoi(argv[1]), bad = 0, status;
	uint64_t pages = (uint64_t)atoi(argv[2]) << 8, rounds = (uint64_t)atoi(argv[3]);

	plain = argc > 4 && strcmp(argv[4], "plain") == 0;
	/* Who judges stays in memory, whatever happens to what was put back. */
	if (mlockall(MCL_CURRENT) != 0)
		perror("mlockall");
	for (int i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid == 0) {
			int result = one((uint64_t)i + 1, pages, rounds);

			fflush(stdout);
			_exit(result);
		}
	}
	while (wait(&status) > 0) {
		if (WIFSIGNALED(status))
			printf("ended by signal %d\n", WTERMSIG(status));
		bad += status != 0;
	}
	printf("%d of %d found what they wrote\n", processes - bad, processes);
	return bad != 0;
}
