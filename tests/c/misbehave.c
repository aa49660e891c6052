/*
 * Programs that do what they must not: each gets its signal, its parent sees
 * how it ended, and the system goes on.
 */
#include "show.h"
#include <sys/resource.h>

/* What the compiler must not know, lest it remove what cannot be meant. */
static volatile uintptr_t low = 8;
static volatile int forever = 1;

static void null_read(void)
{
	(void)*(volatile char *)low;
}

static void null_write(void)
{
	*(volatile char *)low = 1;
}

static void null_call(void)
{
	((void (*)(void))low)();
}

static void kernel_read(void)
{
	(void)*(volatile char *)0xffffffff80000000;
}

static void kernel_write(void)
{
	*(volatile char *)0xffff800000001000 = 1;
}

static void kernel_call(void)
{
	((void (*)(void))0xffffffff80000000)();
}

static void odd_address(void)
{
	(void)*(volatile char *)0x1234567812345678;
}

static void text_write(void)
{
	*(volatile char *)(uintptr_t)text_write = 1;
}

static void constant_write(void)
{
	*(volatile char *)(uintptr_t)"constant" = 1;
}

static void data_call(void)
{
	static char code[] = { (char)0xc3 };

	((void (*)(void))(uintptr_t)code)();
}

static void stack_call(void)
{
	volatile char code[16] = { (char)0xc3 };

	((void (*)(void))(uintptr_t)code)();
}

static int deeper(volatile int n)
{
	volatile char frame[1000];

	frame[0] = (char)n;
	return forever ? deeper(n + 1) + frame[0] : 0;
}

static void stack_overflow(void)
{
	deeper(0);
}

static void stack_lost(void)
{
	__asm__ volatile("xor %%esp, %%esp; push %%rax" ::: "memory");
}

static void divide(void)
{
	__asm__ volatile("xor %%ecx, %%ecx; idivl %%ecx" ::: "eax", "ecx",
	    "edx");
}

static void illegal(void)
{
	__asm__ volatile("ud2");
}

static void breakpoint(void)
{
	__asm__ volatile("int3");
}

static void stop_interrupts(void)
{
	__asm__ volatile("cli");
}

static void halt(void)
{
	__asm__ volatile("hlt");
}

static void port(void)
{
	__asm__ volatile("outb %%al, $0xf4" :: "a"(0));
}

static void page_table(void)
{
	__asm__ volatile("mov %%rax, %%cr3" :: "a"(0L));
}

static void software_interrupt(void)
{
	__asm__ volatile("int $14");
}

static void bad_segment(void)
{
	__asm__ volatile("mov %0, %%ds" :: "r"(0x7777));
}

static void single_step(void)
{
	__asm__ volatile("pushf; orl $0x100, (%%rsp); popf; nop" ::: "memory");
}

static void alignment(void)
{
	__asm__ volatile("movaps 1(%%rsp), %%xmm0" ::: "xmm0");
}

/* By the old floating-point unit, whose traps emulators know too. */
static void float_trap(void)
{
	unsigned short control = 0x37f & ~4;

	__asm__ volatile("fldcw %0; fld1; fldz; fdivrp; fwait" :: "m"(control));
}

static void aborting(void)
{
	abort();
}

static void no_such_call(void)
{
	say("call 9999: %s",
	    syscall(9999) == -1 ? error_name(errno) : "done");
	say("call -1: %s", syscall(-1) == -1 ? error_name(errno) : "done");
	_exit(12);
}

static void bad_return(void)
{
	/* A handler's frame without a handler: the state is rubbish. */
	__asm__ volatile("and $-16, %%rsp; mov $15, %%eax; syscall" ::: "rax",
	    "rcx", "r11", "memory");
}


static void many_files(void)
{
	int count = 0, fd[2];
	struct rlimit limit;

	need(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_cur > 4096)
		limit.rlim_cur = 4096;
	need(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	while (pipe(fd) == 0 && count < 100000)
		count++;
	say("pipes: %s", error_name(errno));
	_exit(count > 100 ? 11 : 12);
}

static const struct {
	const char *name;
	void (*act)(void);
} acts[] = {
#define ACT(name) { #name, name }
	ACT(null_read), ACT(null_write), ACT(null_call), ACT(kernel_read),
	ACT(kernel_write), ACT(kernel_call), ACT(odd_address),
	ACT(text_write), ACT(constant_write), ACT(data_call), ACT(stack_call),
	ACT(stack_overflow), ACT(stack_lost), ACT(divide), ACT(illegal),
	ACT(breakpoint), ACT(stop_interrupts), ACT(halt), ACT(port),
	ACT(page_table), ACT(software_interrupt), ACT(bad_segment),
	ACT(single_step), ACT(alignment), ACT(float_trap), ACT(aborting),
	ACT(no_such_call), ACT(bad_return), ACT(many_files),
#undef ACT
};

/* What a handler of a processor's exception is told. */
static void on_exception(int sig, siginfo_t *info, void *context)
{
	(void)context;
	say("caught signal %d, code %d", sig, info->si_code);
	_exit(20);
}

static void caught(const char *name, void (*act)(void))
{
	struct sigaction action = { .sa_sigaction = on_exception,
	    .sa_flags = SA_SIGINFO };
	pid_t pid = fork();

	need(pid >= 0);
	if (pid == 0) {
		static const int sigs[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE,
		    SIGTRAP };

		for (size_t i = 0; i < sizeof sigs / sizeof sigs[0]; i++)
			sigaction(sigs[i], &action, NULL);
		act();
		_exit(0);
	}
	reap(name, pid);
}

int main(void)
{
	for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
		pid_t pid = fork();

		need(pid >= 0);
		if (pid == 0) {
			/* No core file is wanted of this. */
			setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
			acts[i].act();
			_exit(0);
		}
		reap(acts[i].name, pid);
	}
	caught("null_read", null_read);
	caught("text_write", text_write);
	caught("odd_address", odd_address);
	caught("kernel_read", kernel_read);
	caught("divide", divide);
	caught("illegal", illegal);
	caught("breakpoint", breakpoint);
	caught("halt", halt);
	caught("float_trap", float_trap);
	return 0;
}
