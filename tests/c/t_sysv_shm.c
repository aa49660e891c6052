/*
 * Shared memory of System V. The case of NetBSD's test of this name is the
 * first one: create, stat, set the mode, attach, write in the parent, read the
 * same in a child, remove.
 */
#include "show.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#ifndef SHM_REMAP
#define SHM_REMAP 040000
#endif
#ifndef SHM_EXEC
#define SHM_EXEC 0100000
#endif
#ifndef SHM_DEST
#define SHM_DEST 01000
#define SHM_LOCKED 02000
#endif

#define KEY 0x5ca1ab1e

static struct shmid_ds stat_of(int id)
{
	struct shmid_ds ds;

	need(shmctl(id, IPC_STAT, &ds) == 0);
	return ds;
}

static void told(const char *what, int id)
{
	struct shmid_ds ds = stat_of(id);

	say("%s: %ld bytes, mode %o, attached %ld times, made by me %d, used by me %d, dates %d %d %d",
	    what, (long)ds.shm_segsz, ds.shm_perm.mode, (long)ds.shm_nattch,
	    ds.shm_cpid == getpid(), ds.shm_lpid == getpid(),
	    ds.shm_atime != 0, ds.shm_dtime != 0, ds.shm_ctime != 0);
}

static void child_reads(void)
{
	struct shmid_ds ds;
	char *memory;
	pid_t child;
	int id = shmget(KEY, 10000, IPC_CREAT | IPC_EXCL | 0600);

	need(id >= 0);
	told("created", id);
	ds = stat_of(id);
	say("its key: %d", ds.shm_perm.__key == KEY);
	ds.shm_perm.mode = 0640;
	ds.shm_perm.uid = 7;
	show("set", shmctl(id, IPC_SET, &ds));
	ds = stat_of(id);
	say("mode %o, owner %d, creator %d", ds.shm_perm.mode,
	    (int)ds.shm_perm.uid, (int)ds.shm_perm.cuid);
	memory = shmat(id, NULL, 0);
	need(memory != (void *)-1);
	told("attached", id);
	memory[0] = 1;
	memory[9999] = 2;
	child = fork();
	need(child >= 0);
	if (child == 0) {
		look("in the child", memory, 0);
		look("in the child", memory, 9999);
		look("behind the end, in its last page", memory, 10001);
		told("in the child", id);
		memory[1] = 3;
		_exit(0);
	}
	reap("child", child);
	look("what the child wrote", memory, 1);
	say("attached %ld times", (long)stat_of(id).shm_nattch);
	show("detach", shmdt(memory));
	told("detached", id);
	show("detach again", shmdt(memory));
	look("detached", memory, 0);
	show("remove", shmctl(id, IPC_RMID, NULL));
	show("stat", shmctl(id, IPC_STAT, &ds));
	show("remove again", shmctl(id, IPC_RMID, NULL));
	show("found by its key", shmget(KEY, 0, 0));
}

static void errors(void)
{
	struct shmid_ds ds;
	int id;

	show("none of this key", shmget(KEY, 100, 0600));
	show("of no bytes", shmget(KEY, 0, IPC_CREAT | 0600));
	id = shmget(KEY, 100, IPC_CREAT | 0600);
	need(id >= 0);
	show("exclusive", shmget(KEY, 100, IPC_CREAT | IPC_EXCL));
	say("the same: %d", shmget(KEY, 100, IPC_CREAT) == id);
	say("by less bytes: %d", shmget(KEY, 1, 0) == id);
	show("by more bytes", shmget(KEY, 101, 0));
	show("by more bytes of its page", shmget(KEY, 4000, IPC_CREAT));
	show("attach no number", (long)shmat(-1, NULL, 0));
	show("attach another number", (long)shmat(id + 7, NULL, 0));
	show("attach at no page", (long)shmat(id, (void *)0x20000001, 0));
	show("attach in the place of nothing", (long)shmat(id, NULL, SHM_REMAP));
	show("detach at no page", shmdt((void *)1));
	show("detach nothing", shmdt((void *)0x20000000));
	show("unknown command", shmctl(id, 99, &ds));
	show("negative command", shmctl(id, -1, &ds));
	show("negative number", shmctl(-1, IPC_STAT, &ds));
	show("stat to nowhere", shmctl(id, IPC_STAT, (void *)8));
	show("set from nowhere", shmctl(id, IPC_SET, (void *)8));
	show("remove", shmctl(id, IPC_RMID, NULL));
	show("set what is gone", shmctl(id, IPC_SET, &ds));
	show("lock what is gone", shmctl(id, SHM_LOCK, NULL));
}

static void addresses(void)
{
	int id = shmget(IPC_PRIVATE, 2 * PAGE, 0600);
	char *room = mmap(NULL, 8 * PAGE, RW, ANON, -1, 0), *at;

	need(id >= 0 && room != MAP_FAILED);
	room[3 * PAGE] = 9;
	show("where something is", (long)shmat(id, room + PAGE, 0));
	at = shmat(id, room + PAGE, SHM_REMAP);
	say("in its place: %ld", (long)(at - room));
	look("what was there", room, 3 * PAGE);
	put("the segment", room, PAGE, 4);
	need(munmap(room + 4 * PAGE, 4 * PAGE) == 0);
	at = shmat(id, room + 4 * PAGE, 0);
	say("where nothing is: %ld", (long)(at - room));
	look("the same", room, 4 * PAGE);
	at = shmat(id, room + 6 * PAGE + 77, SHM_RND);
	say("rounded: %ld", (long)(at - room));
	say("attached %ld times", (long)stat_of(id).shm_nattch);
	look("the same", room, 6 * PAGE);
	show("detach the second", shmdt(room + 4 * PAGE));
	look("the second", room, 4 * PAGE);
	look("the third", room, 6 * PAGE);
	say("attached %ld times", (long)stat_of(id).shm_nattch);
	show("unmap the first half of the third", munmap(room + 6 * PAGE,
	    PAGE));
	say("attached %ld times", (long)stat_of(id).shm_nattch);
	show("detach the third", shmdt(room + 6 * PAGE));
	look("its second half", room, 7 * PAGE);
	show("detach at the second page", shmdt(room + 2 * PAGE));
	show("detach the first", shmdt(room + PAGE));
	show("remove", shmctl(id, IPC_RMID, NULL));
	munmap(room, 8 * PAGE);
}

static void rights(void)
{
	int id = shmget(IPC_PRIVATE, PAGE, 0600);
	char *at, *other;

	need(id >= 0);
	at = shmat(id, NULL, SHM_RDONLY);
	need(at != (void *)-1);
	look("read-only", at, 0);
	put("read-only", at, 0, 1);
	show("to be written", mprotect(at, PAGE, RW));
	show("to be executed", mprotect(at, PAGE, PROT_READ | PROT_EXEC));
	other = shmat(id, NULL, SHM_EXEC);
	need(other != (void *)-1);
	other[0] = (char)0xc3;
	((void (*)(void))(uintptr_t)other)();
	say("executed");
	look("through the other", at, 0);
	show("detach", shmdt(at));
	show("detach", shmdt(other));
	show("remove", shmctl(id, IPC_RMID, NULL));
}

static void removed_while_attached(void)
{
	struct shmid_ds ds;
	int id = shmget(KEY, 3 * PAGE, IPC_CREAT | 0600), status;
	char *at = shmat(id, NULL, 0), *again;
	pid_t child;

	need(at != (void *)-1);
	at[PAGE] = 5;
	show("remove", shmctl(id, IPC_RMID, NULL));
	told("removed", id);
	show("by its key", shmget(KEY, 1, 0));
	again = shmat(id, NULL, 0);
	say("attached again: %d", again != (void *)-1);
	look("the same", again, PAGE);
	show("detach", shmdt(again));
	child = fork();
	need(child >= 0);
	if (child == 0) {
		say("in the child: attached %ld times",
		    (long)stat_of(id).shm_nattch);
		show("detach", shmdt(at));
		_exit(0);
	}
	reap("child", child);
	say("attached %ld times", (long)stat_of(id).shm_nattch);
	/* What is mapped in parts counts for each of them. */
	need(munmap(at + PAGE, PAGE) == 0);
	say("in two parts: %ld", (long)stat_of(id).shm_nattch);
	show("detach", shmdt(at));
	show("gone", shmctl(id, IPC_STAT, &ds));

	id = shmget(IPC_PRIVATE, PAGE, 0600);
	child = fork();
	need(id >= 0 && child >= 0);
	if (child == 0) {
		at = shmat(id, NULL, 0);
		need(at != (void *)-1);
		need(shmctl(id, IPC_RMID, NULL) == 0);
		*at = 1;
		_exit(3);
	}
	need(waitpid(child, &status, 0) == child);
	show("gone with its process", shmctl(id, IPC_STAT, &ds));

	id = shmget(IPC_PRIVATE, PAGE, 0600);
	at = shmat(id, NULL, 0);
	need(at != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0);
	need(mmap(at, PAGE, RW, ANON | MAP_FIXED, -1, 0) == at);
	show("gone with a mapping in its place", shmctl(id, IPC_STAT, &ds));
}

static void locked(void)
{
	int id = shmget(IPC_PRIVATE, 4 * PAGE, 0600);
	char *at = shmat(id, NULL, 0);

	need(at != (void *)-1);
	show("lock", shmctl(id, SHM_LOCK, NULL));
	told("locked", id);
	at[0] = 1;
	show("unlock", shmctl(id, SHM_UNLOCK, NULL));
	told("unlocked", id);
	show("lock again", shmctl(id, SHM_LOCK, NULL));
	show("remove", shmctl(id, IPC_RMID, NULL));
	told("removed", id);
	show("detach", shmdt(at));
	show("gone", shmctl(id, SHM_LOCK, NULL));
}

static void limits(void)
{
	struct { unsigned long max, min, mni, seg, all, unused[4]; } info;
	struct shm_info sums;
	struct shmid_ds ds;
	int id = shmget(IPC_PRIVATE, 3 * PAGE, 0600), highest, found = 0;
	char *at = shmat(id, NULL, 0);
	FILE *file;
	char line[300];

	need(at != (void *)-1);
	at[0] = 1;
	need(shmctl(0, IPC_INFO, (void *)&info) >= 0);
	say("limits: %lx %lu %lu %lu %lx", info.max, info.min, info.mni,
	    info.seg, info.all);
	highest = shmctl(0, SHM_INFO, (void *)&sums);
	need(highest >= 0);
	say("used: %d, pages %d", sums.used_ids > 0, sums.shm_tot >= 3);
	for (int i = 0; i <= highest; i++) {
		int number = shmctl(i, SHM_STAT, &ds);

		if (number == id)
			say("found: %ld bytes", (long)ds.shm_segsz);
	}
	show("beyond the highest", shmctl(highest + 1000, SHM_STAT, &ds));
	file = fopen("/proc/sysvipc/shm", "r");
	need(file != NULL);
	while (fgets(line, sizeof line, file)) {
		long key;
		int number;

		line[strcspn(line, "\n")] = 0;
		if (strstr(line, "key"))
			say("%s", line);
		else if (sscanf(line, "%ld %d", &key, &number) == 2 &&
		    number == id) {
			/* Up to the size; then what differs. */
			say("%.10s %s", line, strchr(line + 22, ' ') ? "" :
			    "?");
			say("%.28s", line + 22);
			found++;
		}
	}
	fclose(file);
	say("in the list: %d", found);
	show("detach", shmdt(at));
	show("remove", shmctl(id, IPC_RMID, NULL));
}

static void exec_detaches(char *self)
{
	int id = shmget(IPC_PRIVATE, PAGE, 0600);
	char *at = shmat(id, NULL, 0);
	char number[16];
	pid_t child;

	need(at != (void *)-1);
	snprintf(number, sizeof number, "%d", id);
	child = fork();
	need(child >= 0);
	if (child == 0) {
		execl(self, self, number, NULL);
		_exit(97);
	}
	reap("the other program", child);
	need(shmdt(at) == 0 && shmctl(id, IPC_RMID, NULL) == 0);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		say("after exec: attached %ld times",
		    (long)stat_of(atoi(argv[1])).shm_nattch);
		return 0;
	}
	catch_faults();
	child_reads();
	errors();
	addresses();
	rights();
	removed_while_attached();
	locked();
	limits();
	exec_detaches(argv[0]);
	return 0;
}
