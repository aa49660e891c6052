/*
 * What a program is told when it starts, and the kernel's own code that it finds by it: clocks and the
 * number of the processor without a system call.
 */
#include "show.h"
#include <elf.h>
#include <sched.h>
#include <sys/auxv.h>
#include <time.h>

extern char etext[], __executable_start[];

static long ns(const struct timespec *time)
{
	return time->tv_sec * 1000000000 + time->tv_nsec;
}

static long by_call(clockid_t clock)
{
	struct timespec time;

	need(syscall(SYS_clock_gettime, clock, &time) == 0);
	return ns(&time);
}

/* What the C library tells lies between what two system calls tell. */
static void clocks(const char *name, clockid_t clock)
{
	struct timespec time;
	int wrong = 0;

	for (int i = 0; i < 1000; i++) {
		long before = by_call(clock);
		need(clock_gettime(clock, &time) == 0);
		long after = by_call(clock);
		wrong += ns(&time) < before || ns(&time) > after;
	}
	say("%s: %d out of order", name, wrong);
}

/* The names that the kernel's library has, as the C library looks for them. */
static void library(void)
{
	static const char *const names[] = {
		"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_getcpu",
	};
	const Elf64_Ehdr *file = (const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR);

	say("library: %d, in whole pages: %d", file != NULL, (uintptr_t)file % PAGE == 0);
	need(file != NULL);
	say("ELF: %d", memcmp(file->e_ident, ELFMAG, SELFMAG) == 0);
	const Elf64_Phdr *headers = (const Elf64_Phdr *)((const char *)file + file->e_phoff);
	const Elf64_Dyn *dynamic = NULL;
	uintptr_t base = 0;
	for (int i = 0; i < file->e_phnum; i++) {
		if (headers[i].p_type == PT_LOAD)
			base = (uintptr_t)file + headers[i].p_offset - headers[i].p_vaddr;
		if (headers[i].p_type == PT_DYNAMIC)
			dynamic = (const Elf64_Dyn *)((const char *)file + headers[i].p_offset);
	}
	const char *strings = NULL;
	const Elf64_Sym *symbols = NULL;
	need(dynamic != NULL);
	for (; dynamic->d_tag != DT_NULL; dynamic++) {
		if (dynamic->d_tag == DT_STRTAB)
			strings = (const char *)(base + dynamic->d_un.d_ptr);
		if (dynamic->d_tag == DT_SYMTAB)
			symbols = (const Elf64_Sym *)(base + dynamic->d_un.d_ptr);
	}
	need(strings != NULL && symbols != NULL);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		int found = 0;
		/* The table of names lies behind that of symbols. */
		for (const Elf64_Sym *s = symbols; (const char *)(s + 1) <= strings; s++)
			found |= s->st_shndx != SHN_UNDEF && !strcmp(strings + s->st_name, names[i]);
		say("%s: %d", names[i], found);
	}
}

int main(int argc, char **argv)
{
	unsigned cpu, node;
	cpu_set_t set;

	say("page %lu, ticks %lu, secure %lu, base %lu", getauxval(AT_PAGESZ),
	    getauxval(AT_CLKTCK), getauxval(AT_SECURE), getauxval(AT_BASE));
	say("ids: %d", getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid() &&
	    getauxval(AT_GID) == getgid() && getauxval(AT_EGID) == getegid());
	uintptr_t entry = getauxval(AT_ENTRY), headers = getauxval(AT_PHDR);
	say("entry in the text: %d", entry >= (uintptr_t)__executable_start && entry < (uintptr_t)etext);
	say("headers: %d of size %lu", headers == (uintptr_t)__executable_start + sizeof(Elf64_Ehdr),
	    getauxval(AT_PHENT));
	say("platform: %s", (const char *)getauxval(AT_PLATFORM));
	say("path: %d, arguments %d", !strcmp((const char *)getauxval(AT_EXECFN), argv[0]), argc);
	const unsigned char *noise = (const unsigned char *)getauxval(AT_RANDOM);
	int sum = 0;
	for (int i = 0; i < 16; i++)
		sum |= noise[i];
	say("random: %d", sum != 0);

	library();
	clocks("real", CLOCK_REALTIME);
	clocks("monotonic", CLOCK_MONOTONIC);
	clocks("since boot", CLOCK_BOOTTIME);
	time_t before = by_call(CLOCK_REALTIME_COARSE) / 1000000000, now = time(NULL);
	time_t after = by_call(CLOCK_REALTIME_COARSE) / 1000000000;
	say("time: %d", before <= now && now <= after);

	need(syscall(SYS_getcpu, &cpu, &node, NULL) == 0);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	need(sched_setaffinity(0, sizeof set, &set) == 0);
	need(syscall(SYS_getcpu, &cpu, &node, NULL) == 0);
	say("processor: %d", sched_getcpu() == (int)cpu);
	return 0;
}
