/* The smallest kernel that QEMU boots, to try how the tool takes each way in which a guest can
 * end. VARIANT chooses it. It runs where it is loaded, in 32-bit mode, and has no interrupts. */

#define EXITS 1		/* echoes one line of input, tells its status, and powers off */
#define RESETS 2	/* an exception without a table to handle it */
#define HALTS 3		/* waits for interrupts that it does not take */
#define SPINS 4		/* goes in a circle */
#define PANICS 5	/* tells of a panic as the kernel does */

	.section .note.pvh, "a", @note
	.align 4
	.long 4, 8, 18
	.asciz "Xen"
	.quad start

	.macro tell port, text
	mov	$\text, %esi
	mov	$\port, %edx
	call	write
	.endm

	.text
	.code32
	.globl	start
	.type	start, @function
start:
	cli
	mov	$stack, %esp
	xor	%ebp, %ebp
	tell	0x3f8, hello
	call	act
	.size	start, . - start

write:	lodsb
	test	%al, %al
	jz	1f
	outb	%al, %dx
	jmp	write
1:	ret

	.type	act, @function
act:
#if VARIANT == EXITS
	tell	0xe9, ready
1:	mov	$0x3fd, %edx
	inb	%dx, %al
	test	$1, %al
	jz	1b
	mov	$0x3f8, %edx
	inb	%dx, %al
	outb	%al, %dx
	cmp	$10, %al
	jne	1b
	tell	0xe9, status
	mov	$139, %eax
#elif VARIANT == RESETS
	lidt	none
	ud2
#elif VARIANT == HALTS
1:	hlt
	jmp	1b
#elif VARIANT == SPINS
1:	jmp	1b
#elif VARIANT == PANICS
	tell	0xe9, panic
	mov	$0x63, %eax
#else
#error "VARIANT is not set"
#endif
	mov	$0xf4, %edx
	outl	%eax, %dx
	.size	act, . - act

	.data
none:	.word	0
	.long	0
hello:	.asciz	"hello\n"
ready:	.asciz	"ready\n"
status:	.asciz	"unknown call 999\nexit 139\n"
panic:	.asciz	"kernel panic: at tiny.S:\nall is lost\n  frame 0x10001c\nscalvm: panicked\n"

	.bss
	.skip	4096
stack:
