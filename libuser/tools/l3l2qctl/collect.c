// SPDX-License-Identifier: MIT
/*
 * All queues that can be seen: the driver's by QUERY_REGION, and those in memfds, which
 * descriptors in /proc lead to. Nothing is attached, and memory is mapped read-only.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/trace.h"
#include "ctl.h"

static struct queue *add(struct queues *queues)
{
	struct queue *list = reallocarray(queues->list, queues->n + 1, sizeof(*list));

	if (!list)
		return NULL;
	queues->list = list;
	return memset(&list[queues->n++], 0, sizeof(*list));
}

void queues_free(struct queues *queues)
{
	size_t i;

	for (i = 0; i < queues->n; i++)
		detail_free(&queues->list[i]);
	free(queues->list);
	*queues = (struct queues){ 0 };
}

struct queue *queues_find(const struct queues *queues, bool memfd, uint64_t id)
{
	size_t i;

	for (i = 0; i < queues->n; i++)
		if (queues->list[i].memfd == memfd && queues->list[i].region.id == id)
			return &queues->list[i];
	return NULL;
}

/* What a file of /proc or /sys says, without the newline at its end. False if there is nothing. */
bool read_text(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, size - 1, f) : 0;

	if (f)
		fclose(f);
	if (n)
		text[text[n - 1] == '\n' ? n - 1 : n] = 0;
	return n;
}

/* Its letter in /proc/PID/stat, or 0. */
char process_state(uint32_t pid)
{
	char path[64], line[512], *end;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	end = read_text(path, line, sizeof(line)) ? strrchr(line, ')') : NULL;
	return end && end[1] == ' ' ? end[2] : 0;
}

/* ---- the driver's -------------------------------------------------------- */

static int collect_driver(struct queues *queues, const char *node)
{
	struct l3l2q_query_region region = { .size = sizeof(region) };
	int fd = open(node, O_RDWR | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	while (!ioctl(fd, L3L2Q_IOC_QUERY_REGION, &region)) {
		struct queue *q = add(queues);

		if (!q) {
			ret = -ENOMEM;
			break;
		}
		q->region = region;
	}
	if (!ret && errno != ENOENT)
		ret = -errno;
	close(fd);
	return ret;
}

/* ---- memfds -------------------------------------------------------------- */

static uint64_t pages(uint64_t bytes, uint64_t page)
{
	return (bytes + page - 1) / page * page;
}

/* Its size, and where in it counters and payload begin, after status and control pages. */
uint64_t memfd_parts(const struct l3l2q_query_region *r, uint64_t *counters, uint64_t *payload)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	*counters = (1 + L3L2Q_ROLES) * page;
	*payload = *counters + pages(r->counter_bytes, page);
	return *payload + pages(r->payload_bytes, page);
}

static void copy_end(struct l3l2q_region_end *end, const struct l3l2q_status *status,
		     const struct l3l2q_control *control, unsigned int role)
{
	end->state = status->state[role];
	end->gone = status->gone[role];
	end->armed = control->armed & L3L2Q_ARM_EVENTS & ~L3L2Q_ARM_POLL;
	end->consumer_flags = control->consumer_flags;
	end->seen_tail = control->seen_tail;
	end->producer_flags = control->producer_flags;
	end->need_head = control->need_head;
	end->woken_ns = L3L2Q_NEVER;
}

/* False unless the memory is laid out as its trace says. */
static bool read_memory(struct queue *q, int fd, uint64_t total)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct l3l2q_query_region *r = &q->region;
	struct l3l2q_trace trace;
	struct l3l2q_layout layout = { 0 };
	const char *map;
	unsigned int i;
	bool good;

	if (total < 4 * page)
		return false;
	map = mmap(NULL, 4 * page, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return false;
	memcpy(&trace, map + L3L2Q_TRACE_OFFSET, sizeof(trace));
	good = trace.magic == L3L2Q_TRACE_MAGIC && trace.binding <= L3L2Q_BINDING_SPSQ &&
	       trace.payload_bytes <= total && trace.counter_bytes <= total &&
	       total == 3 * page + pages(trace.counter_bytes, page) +
			pages(trace.payload_bytes, page) &&
	       (!trace.depth || (!l3l2q_layout_make(trace.depth, trace.input_arena_bytes,
						    trace.output_arena_bytes, &layout) &&
				 layout.payload_bytes == trace.payload_bytes &&
				 layout.counter_bytes == trace.counter_bytes));
	if (good) {
		const struct l3l2q_status *status = (const void *)map;

		r->binding = trace.binding;
		memcpy(r->identity, trace.identity, sizeof(r->identity));
		memcpy(r->tag, trace.tag, sizeof(r->tag) - 1);
		r->depth = trace.depth;
		r->input_arena_bytes = trace.input_arena_bytes;
		r->output_arena_bytes = trace.output_arena_bytes;
		r->payload_bytes = trace.payload_bytes;
		r->counter_bytes = trace.counter_bytes;
		r->region_bytes = total;
		memcpy(q->attached, trace.pid, sizeof(q->attached));
		for (i = 0; i < L3L2Q_ROLES; i++)
			copy_end(&r->ends[i], status, (const void *)(map + (1 + i) * page), i);
		for (i = 0; trace.depth && i < 6; i++)
			r->counters[i] = __atomic_load_n((const __s32 *)(const void *)
				(map + 3 * page + i * L3L2Q_LINE_BYTES), __ATOMIC_RELAXED);
	}
	munmap((void *)map, 4 * page);
	return good;
}

static bool holds(const struct queue *q, uint32_t pid)
{
	uint32_t i;

	for (i = 0; i < q->nr_holders; i++)
		if (q->holders[i] == pid)
			return true;
	return false;
}

static void add_holder(struct queue *q, uint32_t pid)
{
	if (!holds(q, pid) && q->nr_holders < MAX_HOLDERS)
		q->holders[q->nr_holders++] = pid;
}

/* The mount that an open file is on: nothing is asked of its file system. */
static long mount_of(int fd)
{
	char path[64], text[512] = "", *at;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	read_text(path, text, sizeof(text));
	at = strstr(text, "mnt_id:");
	return at ? strtol(at + strlen("mnt_id:"), NULL, 10) : -1;
}

/* True if it is on the mount that memfds are on, all of whose files are memory. */
static bool is_memory(int fd)
{
	int own = memfd_create(PROGRAM, MFD_CLOEXEC);
	long mount = mount_of(fd);
	bool same;

	if (own < 0)
		return false;
	same = mount >= 0 && mount == mount_of(own);
	close(own);
	return same;
}

/* True if nobody can have an access to it end in a signal. */
static bool stays(int fd, struct stat *st)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && seals & F_SEAL_SHRINK && !fstat(fd, st) &&
	       (uint64_t)st->st_blocks >= (uint64_t)st->st_size / 512;
}

/*
 * Open a memfd of another process by a descriptor of it in /proc. Names are that process's
 * choice, so it may be a FIFO or a file of its own file system: it is not opened, nor are
 * its attributes asked for, in a way that could wait before that is known.
 */
int memfd_open(const char *path, struct stat *st)
{
	int fd, any = open(path, O_PATH | O_CLOEXEC);
	char again[64];

	if (any < 0)
		return -errno;
	snprintf(again, sizeof(again), "/proc/self/fd/%d", any);
	fd = is_memory(any) ? open(again, O_RDONLY | O_CLOEXEC) : -1;
	close(any);
	if (fd < 0)
		return -ENOENT;
	if (stays(fd, st))
		return fd;
	close(fd);
	return -ENOENT;
}

static int look_at(struct queues *queues, uint32_t pid, const char *path)
{
	struct queue *q, found = { .memfd = true };
	struct stat st;
	int fd = memfd_open(path, &st);

	if (fd < 0)
		return 0;
	q = queues_find(queues, true, st.st_ino);
	found.region.id = st.st_ino;
	if (q) {
		add_holder(q, pid);
	} else if (read_memory(&found, fd, (uint64_t)st.st_size)) {
		q = add(queues);
		if (q) {
			*q = found;
			snprintf(q->path, sizeof(q->path), "%s", path);
			add_holder(q, pid);
		}
	} else {
		q = &found;
	}
	close(fd);
	return q ? 0 : -ENOMEM;
}

static int look_through(struct queues *queues, uint32_t pid)
{
	static const char memfd[] = "/memfd:" L3L2Q_TRACE_NAME;
	char dir[64], path[128], target[sizeof(memfd)];
	struct dirent *entry;
	int ret = 0;
	DIR *fds;

	snprintf(dir, sizeof(dir), "/proc/%u/fd", pid);
	fds = opendir(dir);
	if (!fds)
		return 0;
	while (!ret && (entry = readdir(fds))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "%s/%.20s", dir, entry->d_name);
		if (readlink(path, target, sizeof(target)) < (ssize_t)sizeof(memfd) - 1 ||
		    memcmp(target, memfd, sizeof(memfd) - 1))
			continue;
		ret = look_at(queues, pid, path);
	}
	closedir(fds);
	return ret;
}

static void name_process(struct l3l2q_process *process, uint32_t pid)
{
	char path[64];
	struct stat st;

	process->pid = pid;
	snprintf(path, sizeof(path), "/proc/%u", pid);
	if (!stat(path, &st))
		process->uid = st.st_uid;
	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	read_text(path, (char *)process->comm, sizeof(process->comm));
}

/* Who has attached, and whether it is there: nobody else stores that it has died. */
static void name_holders(struct queue *q)
{
	unsigned int role;

	for (role = 0; role < L3L2Q_ROLES; role++) {
		struct l3l2q_region_end *end = &q->region.ends[role];

		if (!q->attached[role])
			continue;
		name_process(&end->process, q->attached[role]);
		if (end->state == L3L2Q_STATE_ATTACHED && q->nr_holders < MAX_HOLDERS &&
		    !holds(q, q->attached[role]))
			end->state = L3L2Q_STATE_DEAD;
	}
	name_process(&q->region.creator, q->holders[0]);
}

static int collect_memfd(struct queues *queues)
{
	struct dirent *entry;
	int ret = 0;
	size_t i;
	DIR *proc;

	proc = opendir("/proc");
	if (!proc)
		return -errno;
	while (!ret && (entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			ret = look_through(queues, (uint32_t)strtoul(entry->d_name, NULL, 10));
	closedir(proc);
	for (i = 0; i < queues->n; i++)
		if (queues->list[i].memfd)
			name_holders(&queues->list[i]);
	return ret;
}

int collect(struct queues *queues, const char *node)
{
	int ret = collect_driver(queues, node), err;

	if (ret == -ENOMEM)
		return ret;
	err = collect_memfd(queues);
	return err ? err : ret;
}

/* Why the driver's are left out. */
void only_memfds(const char *node, int err)
{
	fprintf(stderr, PROGRAM ": only memfd queues: %s: %s\n", node, strerror(-err));
}
