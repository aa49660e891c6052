/* Compiled in the guest: once to memory that is both written and executed, once to a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int compare(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

int main(int argc, char **argv) {
    int count = 10000, wrong = 0;
    int *numbers = mmap(NULL, count * sizeof *numbers, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < count; i++)
        numbers[i] = i * 7919 % count;
    qsort(numbers, count, sizeof *numbers, compare);
    for (int i = 0; i < count; i++)
        wrong += numbers[i] != i;
    printf("%s: %d of %d wrong\n", argc > 1 ? argv[1] : "nothing", wrong, count);
    return 3;
}
