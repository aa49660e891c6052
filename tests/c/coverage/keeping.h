/* Wiring, syncing, limits. */
#include "probe.h"

PROBE("mlock")
{
	char *p = anonymous(4);
	CALL(mlock(p, 4 * PAGE));
	HOLDS(resident(p, 4) == 4);
	HOLDS(smaps(p, "Locked:") == 16);
	return WORKS;
}

PROBE("munlock")
{
	char *p = anonymous(4);
	CALL(mlock(p, 4 * PAGE));
	CALL(munlock(p, 4 * PAGE));
	HOLDS(smaps(p, "Locked:") == 0);
	return WORKS;
}

PROBE("mlock2 MLOCK_ONFAULT")
{
	char *p = anonymous(4);
	CALL(syscall(SYS_mlock2, p, 4 * PAGE, 1));
	HOLDS(resident(p, 4) == 0);
	p[0] = 1;
	HOLDS(resident(p, 4) == 1 && smaps(p, "Locked:") == 4);
	return WORKS;
}

PROBE("mlockall MCL_CURRENT")
{
	char *p = anonymous(4);
	CALL(mlockall(MCL_CURRENT));
	HOLDS(resident(p, 4) == 4 && resident(anonymous(4), 4) == 0);
	return WORKS;
}

PROBE("mlockall MCL_FUTURE")
{
	char *p = anonymous(4);
	CALL(mlockall(MCL_FUTURE));
	HOLDS(resident(p, 4) == 0 && resident(anonymous(4), 4) == 4);
	return WORKS;
}

PROBE("mlockall MCL_ONFAULT")
{
	CALL(mlockall(MCL_FUTURE | 4));
	HOLDS(resident(anonymous(4), 4) == 0);
	return WORKS;
}

PROBE("munlockall")
{
	CALL(mlockall(MCL_CURRENT | MCL_FUTURE));
	CALL(munlockall());
	HOLDS(resident(anonymous(4), 4) == 0);
	return WORKS;
}

static const char *sync_by(int flags)
{
	char *p = MAPPED(mmap(NULL, PAGE, RW, MAP_SHARED, numbered_file(PAGE),
	    0));
	p[0] = 9;
	CALL(msync(p, PAGE, flags));
	HOLDS(p[0] == 9);
	return WORKS;
}

PROBE("msync MS_ASYNC") { return sync_by(MS_ASYNC); }
PROBE("msync MS_SYNC") { return sync_by(MS_SYNC); }
PROBE("msync MS_INVALIDATE") { return sync_by(MS_INVALIDATE | MS_SYNC); }

static int set_limit(int resource, long value)
{
	struct rlimit limit = { (rlim_t)value, RLIM_INFINITY };
	getrlimit(resource, &limit);
	limit.rlim_cur = (rlim_t)value;
	return setrlimit(resource, &limit);
}

PROBE("setrlimit RLIMIT_AS")
{
	CALL(set_limit(RLIMIT_AS, 64 << 20));
	HOLDS(mmap(NULL, 65 << 20, RW, ANON, -1, 0) == MAP_FAILED &&
	    errno == ENOMEM);
	return WORKS;
}

PROBE("setrlimit RLIMIT_DATA")
{
	CALL(set_limit(RLIMIT_DATA, 4 << 20));
	HOLDS(mmap(NULL, 5 << 20, RW, ANON, -1, 0) == MAP_FAILED &&
	    errno == ENOMEM);
	HOLDS(mmap(NULL, 5 << 20, PROT_READ, ANON, -1, 0) != MAP_FAILED);
	return WORKS;
}

static int use_stack(void *bytes)
{
	volatile char *here = alloca((size_t)bytes);
	signal(SIGSEGV, SIG_DFL);
	for (long at = (long)bytes - 1; at > 0; at -= 1024)
		here[at] = 1;
	return 0;
}

PROBE("setrlimit RLIMIT_STACK")
{
	CALL(set_limit(RLIMIT_STACK, 1 << 20));
	HOLDS(in_child(use_stack, (void *)(512L << 10)) == 0);
	HOLDS(in_child(use_stack, (void *)(2L << 20)) == 256 + SIGSEGV);
	return WORKS;
}

PROBE("setrlimit RLIMIT_MEMLOCK")
{
	CALL(set_limit(RLIMIT_MEMLOCK, 0));
	/* Root may lock all the same. */
	HOLDS(mlock(anonymous(1), PAGE) == 0 || errno == EPERM ||
	    errno == ENOMEM);
	return WORKS;
}

PROBE("setrlimit RLIMIT_RSS")
{
	CALL(set_limit(RLIMIT_RSS, 16 << 20));
	return WORKS;
}
