/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the driver share: raw system calls on /dev/l3l2q, a pair
 * of mapped endpoints, threads and processes that sleep on one, and the means
 * to know that they do. No part of libl3l2q is used.
 *
 * Calls return what the kernel returned, or -errno. Time only ever bounds a
 * hang: nothing passes or fails because of how long it took.
 */
#ifndef DRV_UTIL_H
#define DRV_UTIL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/l3l2q.h>

#include "kselftest_harness.h"

/* Only a bound against hangs: debug kernels under emulation are slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 300

#define DRV_NODE	"/dev/l3l2q"
#define DRV_HANG_MS	120000

#define DRV_DEPTH	4u
#define DRV_ARENA	4096u

#define DRV_DEAD	(EPOLLPRI | EPOLLERR | EPOLLHUP)

/* ---- calls ------------------------------------------------------------- */

static inline int drv_errno(long ret)
{
	return ret < 0 ? -errno : (int)ret;
}

static inline int drv_ioctl(int fd, unsigned long cmd, const void *arg)
{
	return drv_errno(ioctl(fd, cmd, arg));
}

static inline int drv_open(void)
{
	return drv_errno(open(DRV_NODE, O_RDWR | O_CLOEXEC));
}

static inline int drv_query(int ctx, struct l3l2q_query *query)
{
	memset(query, 0, sizeof(*query));
	query->size = sizeof(*query);
	return drv_ioctl(ctx, L3L2Q_IOC_QUERY, query);
}

static inline void drv_create_init(struct l3l2q_create *create)
{
	memset(create, 0, sizeof(*create));
	create->size = sizeof(*create);
	create->role = L3L2Q_ROLE_L3;
	create->depth = DRV_DEPTH;
	create->input_arena_bytes = DRV_ARENA;
	create->output_arena_bytes = DRV_ARENA;
	create->fd = -1;
}

static inline void drv_create_init_raw(struct l3l2q_create *create,
				       __u64 payload, __u64 counters)
{
	memset(create, 0, sizeof(*create));
	create->size = sizeof(*create);
	create->payload_bytes = payload;
	create->counter_bytes = counters;
	create->fd = -1;
}

/* Returns the endpoint's fd. */
static inline int drv_create(int ctx, struct l3l2q_create *create)
{
	int ret = drv_ioctl(ctx, L3L2Q_IOC_CREATE, create);

	return ret ? ret : create->fd;
}

static inline int drv_open_peer(int fd)
{
	struct l3l2q_open_peer peer = { .size = sizeof(peer), .fd = -1 };
	int ret = drv_ioctl(fd, L3L2Q_IOC_OPEN_PEER, &peer);

	return ret ? ret : peer.fd;
}

static inline int drv_info(int fd, struct l3l2q_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return drv_ioctl(fd, L3L2Q_IOC_INFO, info);
}

static inline int drv_notify(int fd, __u64 offset, __u32 op, __s32 value)
{
	struct l3l2q_notify notify = {
		.size = sizeof(notify),
		.offset = offset,
		.op = op,
		.value = value,
	};

	return drv_ioctl(fd, L3L2Q_IOC_NOTIFY, &notify);
}

static inline int drv_set(int fd, __u64 offset, __s32 value)
{
	return drv_notify(fd, offset, L3L2Q_NOTIFY_SET, value);
}

/* Returns whether it matched. */
static inline int drv_test(int fd, __u64 offset, __u32 cmp, __s32 value,
			   __s32 *observed)
{
	struct l3l2q_test test = {
		.size = sizeof(test),
		.offset = offset,
		.cmp = cmp,
		.value = value,
		.matched = 77,
	};
	int ret = drv_ioctl(fd, L3L2Q_IOC_TEST, &test);

	if (observed)
		*observed = test.observed;
	return ret ? ret : (int)test.matched;
}

/* A counter's value, by way of the kernel. */
static inline int drv_load_fd(int fd, __u64 offset)
{
	__s32 observed = INT_MIN;
	int ret = drv_test(fd, offset, L3L2Q_CMP_EQ, 0, &observed);

	return ret < 0 ? ret : observed;
}

struct drv_waited {
	__u32 revents;
	__s32 index;
};

static inline int drv_wait_flags(int fd, __u32 flags, __u32 events,
				 struct l3l2q_condition *conditions, __u32 nr,
				 __u64 deadline, struct drv_waited *waited)
{
	struct l3l2q_wait wait = {
		.size = sizeof(wait),
		.flags = flags,
		.conditions = (uintptr_t)conditions,
		.nr_conditions = nr,
		.condition_size = sizeof(*conditions),
		.events = events,
		.deadline_ns = deadline,
		.revents = 0x5a5a,
		.index = 77,
	};
	int ret = drv_ioctl(fd, L3L2Q_IOC_WAIT, &wait);

	if (waited) {
		waited->revents = wait.revents;
		waited->index = wait.index;
	}
	return ret;
}

static inline int drv_wait(int fd, __u32 events,
			   struct l3l2q_condition *conditions, __u32 nr,
			   __u64 deadline, struct drv_waited *waited)
{
	return drv_wait_flags(fd, 0, events, conditions, nr, deadline, waited);
}

static inline int drv_interrupt(int fd)
{
	return drv_errno(ioctl(fd, L3L2Q_IOC_INTERRUPT, 0ul));
}

/* Returns revents. */
static inline int drv_arm(int fd, __u32 events)
{
	struct l3l2q_arm arm = {
		.size = sizeof(arm),
		.events = events,
		.revents = 0x5a5a,
	};
	int ret = drv_ioctl(fd, L3L2Q_IOC_ARM, &arm);

	return ret ? ret : (int)arm.revents;
}

static inline int drv_eventfd(int fd, __u32 kind, int efd)
{
	struct l3l2q_eventfd eventfd = {
		.size = sizeof(eventfd),
		.kind = kind,
		.fd = efd,
	};

	return drv_ioctl(fd, L3L2Q_IOC_EVENTFD, &eventfd);
}

static inline int drv_eventfd_counter(int fd, __u32 slot, int efd,
				      __u64 offset, __u32 cmp, __s32 value)
{
	struct l3l2q_eventfd eventfd = {
		.size = sizeof(eventfd),
		.kind = L3L2Q_EVENTFD_COUNTER,
		.slot = slot,
		.fd = efd,
		.cmp = cmp,
		.offset = offset,
		.value = value,
	};

	return drv_ioctl(fd, L3L2Q_IOC_EVENTFD, &eventfd);
}

static inline int drv_kick(int fd, unsigned long flags)
{
	return drv_errno(ioctl(fd, L3L2Q_IOC_KICK, flags));
}

static inline int drv_detach(int fd)
{
	return drv_errno(ioctl(fd, L3L2Q_IOC_DETACH, 0ul));
}

static inline int drv_set_polling(int fd, __u32 kind, __u32 min_ns, __u32 max_ns)
{
	struct l3l2q_set_polling polling = {
		.size = sizeof(polling),
		.peer_kind = kind,
		.min_ns = min_ns,
		.max_ns = max_ns,
	};

	return drv_ioctl(fd, L3L2Q_IOC_SET_POLLING, &polling);
}

static inline int drv_stats(int fd, struct l3l2q_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	stats->size = sizeof(*stats);
	return drv_ioctl(fd, L3L2Q_IOC_STATS, stats);
}

/* Returns revents. */
static inline int drv_poll(int fd, int events, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = (short)events };
	int ret = drv_errno(poll(&pfd, 1, timeout_ms));

	return ret < 0 ? ret : (unsigned short)pfd.revents;
}

/* Returns the events of the one entry of an epoll, 0 if none. */
static inline int drv_epoll(int epfd, int timeout_ms)
{
	struct epoll_event event = { 0 };
	int ret = drv_errno(epoll_wait(epfd, &event, 1, timeout_ms));

	return ret <= 0 ? ret : (int)(event.events & ~EPOLLET);
}

static inline int drv_epoll_add(int epfd, int fd, __u32 events)
{
	struct epoll_event event = { .events = events };

	return drv_errno(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event));
}

static inline int drv_eventfd_new(void)
{
	return drv_errno(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/* How often an eventfd was signalled since it was last asked. */
static inline int drv_signals(int efd)
{
	__u64 count = 0;

	if (read(efd, &count, sizeof(count)) != sizeof(count))
		return errno == EAGAIN ? 0 : -errno;
	return (int)count;
}

/* The same, waiting for the first one. */
static inline int drv_signals_wait(int efd)
{
	if (drv_poll(efd, POLLIN, DRV_HANG_MS) != POLLIN)
		return -ETIME;
	return drv_signals(efd);
}

static inline __u64 drv_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (__u64)ts.tv_sec * 1000000000ull + (__u64)ts.tv_nsec;
}

static inline __u64 drv_deadline(__u64 ms)
{
	return drv_now() + ms * 1000000ull;
}

/* How often to do something: less on a debug kernel, where all takes longer. */
static inline int drv_rounds(int n)
{
	const char *variant = getenv("L3L2Q_VARIANT");

	return variant && strstr(variant, "debug") ? (n + 3) / 4 : n;
}

/* Watch something not happen for a while. */
static inline void drv_observe(int ms)
{
	poll(NULL, 0, ms);
}

/* ---- observers --------------------------------------------------------- */

static inline int drv_query_region(int ctx, __u64 above, struct l3l2q_query_region *region)
{
	memset(region, 0x5c, sizeof(*region));
	region->size = sizeof(*region);
	region->flags = 0;
	region->id = above;
	return drv_ioctl(ctx, L3L2Q_IOC_QUERY_REGION, region);
}

/* The region with this very id. */
static inline int drv_find_region(int ctx, __u64 id, struct l3l2q_query_region *region)
{
	int ret = drv_query_region(ctx, id - 1, region);

	return ret ? ret : region->id == id ? 0 : -ENOENT;
}

/* Returns the observer's fd. */
static inline int drv_observer(int ctx, __u64 id, __u32 flags, struct l3l2q_observe *observe)
{
	int ret;

	memset(observe, 0, sizeof(*observe));
	observe->size = sizeof(*observe);
	observe->flags = flags;
	observe->id = id;
	observe->fd = -1;
	ret = drv_ioctl(ctx, L3L2Q_IOC_OBSERVE, observe);
	return ret ? ret : observe->fd;
}

static inline int drv_read_at(int fd, void *to, size_t bytes, const struct l3l2q_mapping *map,
			      __u64 offset)
{
	return drv_errno(pread(fd, to, bytes, (off_t)(map->offset + offset)));
}

/* True if l3l2qctl shows the sentence, or is not in this guest. */
static inline bool drv_ctl_shows(__u64 id, const char *sentence)
{
	char command[64], text[8192] = "";
	FILE *f;

	if (access("/bin/l3l2qctl", X_OK))
		return true;
	snprintf(command, sizeof(command), "exec /bin/l3l2qctl show %llu 2>&1",
		 (unsigned long long)id);
	fflush(NULL);
	f = popen(command, "re");
	if (!f)
		return false;
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	pclose(f);
	if (strstr(text, sentence))
		return true;
	fprintf(stderr, "# no \"%s\" in:\n%s", sentence, text);
	return false;
}

/* ---- endpoints --------------------------------------------------------- */

struct drv_ep {
	int fd;
	__u32 role;
	struct l3l2q_info info;
	void *map[L3L2Q_MAPS];
	char *payload;
	char *counters;
	const volatile struct l3l2q_status *status;
	struct l3l2q_control *own;
	const struct l3l2q_control *peer;
};

struct drv_pair {
	int ctx;
	struct drv_ep l3;
	struct drv_ep l2;
};

static inline int drv_map_prot(int which)
{
	return which == L3L2Q_MAP_STATUS || which == L3L2Q_MAP_PEER_CONTROL ?
	       PROT_READ : PROT_READ | PROT_WRITE;
}

/* One mapping of an endpoint; *errp is 0 or -errno. */
static inline void *drv_mmap(int fd, const struct l3l2q_mapping *m, int prot,
			     int *errp)
{
	void *p = mmap(NULL, m->length, prot, MAP_SHARED, fd, (off_t)m->offset);

	*errp = p == MAP_FAILED ? -errno : 0;
	return p == MAP_FAILED ? NULL : p;
}

static inline void drv_ep_init(struct drv_ep *ep, int fd)
{
	memset(ep, 0, sizeof(*ep));
	ep->fd = fd;
}

/* Fill in @ep->info. */
static inline int drv_ep_look(struct drv_ep *ep)
{
	int ret = drv_info(ep->fd, &ep->info);

	ep->role = ep->info.role;
	return ret;
}

static inline int drv_ep_map(struct drv_ep *ep)
{
	int ret = drv_ep_look(ep);
	int i;

	for (i = 0; !ret && i < L3L2Q_MAPS; i++)
		if (!ep->map[i])
			ep->map[i] = drv_mmap(ep->fd, &ep->info.map[i],
					      drv_map_prot(i), &ret);
	if (ret)
		return ret;
#define DRV_PART(i) ((char *)ep->map[i] + ep->info.map[i].delta)
	ep->payload = DRV_PART(L3L2Q_MAP_PAYLOAD);
	ep->counters = DRV_PART(L3L2Q_MAP_COUNTERS);
	ep->status = (void *)DRV_PART(L3L2Q_MAP_STATUS);
	ep->own = (void *)DRV_PART(L3L2Q_MAP_CONTROL);
	ep->peer = (void *)DRV_PART(L3L2Q_MAP_PEER_CONTROL);
#undef DRV_PART
	return 0;
}

static inline int drv_ep_unmap(struct drv_ep *ep, int which)
{
	int ret = 0;

	if (ep->map[which])
		ret = drv_errno(munmap(ep->map[which], ep->info.map[which].length));
	ep->map[which] = NULL;
	return ret;
}

static inline void drv_ep_unmap_all(struct drv_ep *ep)
{
	int i;

	for (i = 0; i < L3L2Q_MAPS; i++)
		drv_ep_unmap(ep, i);
}

static inline int drv_ep_close(struct drv_ep *ep)
{
	int fd = ep->fd;

	ep->fd = -1;
	return fd < 0 ? 0 : drv_errno(close(fd));
}

static inline __u32 drv_load(const struct drv_ep *ep, __u32 offset)
{
	return __atomic_load_n((__u32 *)(ep->counters + offset), __ATOMIC_ACQUIRE);
}

/* A plain store: nobody is told. */
static inline void drv_store(const struct drv_ep *ep, __u32 offset, __u32 value)
{
	__atomic_store_n((__u32 *)(ep->counters + offset), value, __ATOMIC_RELEASE);
}

static inline __u32 drv_armed(const struct l3l2q_control *control)
{
	return __atomic_load_n(&control->armed, __ATOMIC_SEQ_CST);
}

static inline void drv_arm_store(struct drv_ep *ep, __u32 bits)
{
	__atomic_fetch_or(&ep->own->armed, bits, __ATOMIC_SEQ_CST);
}

/* Store a counter and kick only if the peer is armed for it, as libraries do. */
static inline int drv_publish(const struct drv_ep *ep, __u32 offset, __u32 value,
			      __u32 mask)
{
	drv_store(ep, offset, value);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(drv_armed(ep->peer) & mask))
		return 0;
	return drv_kick(ep->fd, 0);
}

static inline int drv_publish_tail(const struct drv_ep *ep, __u32 value)
{
	return drv_publish(ep, l3l2q_ctr_tail(ep->role), value, L3L2Q_ARM_TAIL);
}

/* The head of what the peer produces. */
static inline int drv_publish_head(const struct drv_ep *ep, __u32 value)
{
	return drv_publish(ep, l3l2q_ctr_head(l3l2q_peer_role(ep->role)), value,
			   L3L2Q_ARM_HEAD);
}

static inline int drv_publish_abort(const struct drv_ep *ep)
{
	return drv_publish(ep, l3l2q_ctr_abort(ep->role), 1, L3L2Q_EVENT_ABORT);
}

static inline void drv_consumer(struct drv_ep *ep, __u32 flags, __u32 seen_tail)
{
	__atomic_store_n(&ep->own->seen_tail, seen_tail, __ATOMIC_RELAXED);
	__atomic_store_n(&ep->own->consumer_flags, flags, __ATOMIC_SEQ_CST);
}

static inline void drv_producer(struct drv_ep *ep, __u32 flags, __u32 need_head)
{
	__atomic_store_n(&ep->own->need_head, need_head, __ATOMIC_RELAXED);
	__atomic_store_n(&ep->own->producer_flags, flags, __ATOMIC_SEQ_CST);
}

/* Both ends from one filled in CREATE, not mapped. */
static inline void drv_pair_create(struct __test_metadata *_metadata,
				   struct drv_pair *pair,
				   struct l3l2q_create *create)
{
	struct drv_ep *first, *second;
	int fd;

	memset(pair, 0, sizeof(*pair));
	pair->ctx = drv_open();
	ASSERT_LE(0, pair->ctx)
		TH_LOG("no %s: is the module loaded?", DRV_NODE);
	fd = drv_create(pair->ctx, create);
	ASSERT_LE(0, fd);
	first = create->role == L3L2Q_ROLE_L3 ? &pair->l3 : &pair->l2;
	second = create->role == L3L2Q_ROLE_L3 ? &pair->l2 : &pair->l3;
	drv_ep_init(first, fd);
	fd = drv_open_peer(first->fd);
	ASSERT_LE(0, fd);
	drv_ep_init(second, fd);
	ASSERT_EQ(0, drv_ep_look(&pair->l3));
	ASSERT_EQ(0, drv_ep_look(&pair->l2));
	ASSERT_EQ(L3L2Q_ROLE_L3, pair->l3.role);
	ASSERT_EQ(L3L2Q_ROLE_L2, pair->l2.role);
}

static inline void drv_pair_map(struct __test_metadata *_metadata,
				struct drv_pair *pair)
{
	ASSERT_EQ(0, drv_ep_map(&pair->l3));
	ASSERT_EQ(0, drv_ep_map(&pair->l2));
}

/* The usual: a small queue, both ends mapped here. */
static inline void drv_pair_queue(struct __test_metadata *_metadata,
				  struct drv_pair *pair)
{
	struct l3l2q_create create;

	drv_create_init(&create);
	drv_pair_create(_metadata, pair, &create);
	drv_pair_map(_metadata, pair);
}

static inline void drv_pair_close(struct drv_pair *pair)
{
	drv_ep_unmap_all(&pair->l3);
	drv_ep_unmap_all(&pair->l2);
	drv_ep_close(&pair->l3);
	drv_ep_close(&pair->l2);
	if (pair->ctx >= 0)
		close(pair->ctx);
	pair->ctx = -1;
}

/* Let all counters of a queue start at some value instead of 0. */
static inline void drv_pair_start_at(struct drv_pair *pair, __u32 value)
{
	drv_store(&pair->l3, L3L2Q_CTR_INPUT_TAIL, value);
	drv_store(&pair->l2, L3L2Q_CTR_INPUT_HEAD, value);
	drv_store(&pair->l2, L3L2Q_CTR_OUTPUT_TAIL, value);
	drv_store(&pair->l3, L3L2Q_CTR_OUTPUT_HEAD, value);
}

/* ---- who sleeps -------------------------------------------------------- */

/*
 * Until the thread is off the CPU inside system call @nr, interruptibly.
 * /proc/.../syscall answers only for a task that is not running.
 */
static inline bool drv_asleep(pid_t pid, pid_t tid, long nr)
{
	__u64 deadline = drv_deadline(DRV_HANG_MS);
	char path[64], line[512], *end;
	int fd, n;

	do {
		long now = -1;

		snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return false;
		n = read(fd, line, sizeof(line) - 1);
		close(fd);
		if (n > 0 && line[0] != 'r') {
			line[n] = 0;
			now = strtol(line, NULL, 10);
		}
		if (now == nr) {
			snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				return false;
			n = read(fd, line, sizeof(line) - 1);
			close(fd);
			line[n > 0 ? n : 0] = 0;
			end = strrchr(line, ')');
			if (end && end[1] == ' ' && end[2] == 'S')
				return true;
		}
		poll(NULL, 0, 1);
	} while (drv_now() < deadline);
	return false;
}

enum drv_how {
	DRV_BY_WAIT,
	DRV_BY_POLL,
	DRV_BY_EPOLL,
	DRV_BY_EPOLL_ET,
	DRV_BY_EVENTFD,
	DRV_HOWS,
};

/* A thread that goes to sleep for an event, by one of the ways there are. */
struct drv_sleeper {
	pthread_t thread;
	pid_t tid;
	enum drv_how how;
	int fd;
	int extra;	/* epoll or eventfd */
	__u32 events;	/* L3L2Q_EVENT_* */
	__u32 flags;	/* L3L2Q_WAIT_* */
	struct l3l2q_condition *conditions;
	__u32 nr_conditions;
	__u64 deadline;
	int ret;
	int polled;	/* what poll or epoll reported */
	struct drv_waited waited;
};

static inline int drv_poll_events(__u32 events)
{
	return (events & L3L2Q_EVENT_IN ? EPOLLIN : 0) |
	       (events & L3L2Q_EVENT_OUT ? EPOLLOUT : 0) |
	       (events & L3L2Q_EVENT_ABORT ? EPOLLPRI : 0);
}

static inline long drv_sleeper_nr(enum drv_how how)
{
	switch (how) {
	case DRV_BY_WAIT:
		return __NR_ioctl;
	case DRV_BY_POLL:
	case DRV_BY_EVENTFD:
		return __NR_ppoll;
	default:
		return __NR_epoll_pwait;
	}
}

static inline void *drv_sleeper_main(void *arg)
{
	struct drv_sleeper *s = arg;
	struct pollfd pfd = { .fd = s->fd, .events = drv_poll_events(s->events) };
	struct epoll_event event = { 0 };
	long ret;

	__atomic_store_n(&s->tid, (pid_t)syscall(__NR_gettid), __ATOMIC_RELEASE);
	switch (s->how) {
	case DRV_BY_WAIT:
		s->ret = drv_wait_flags(s->fd, s->flags, s->events, s->conditions,
					s->nr_conditions, s->deadline, &s->waited);
		return NULL;
	case DRV_BY_EVENTFD:
		pfd.fd = s->extra;
		pfd.events = POLLIN;
		/* fall through */
	case DRV_BY_POLL:
		ret = drv_errno(syscall(__NR_ppoll, &pfd, 1, NULL, NULL, 8));
		s->polled = (unsigned short)pfd.revents;
		break;
	default:
		ret = drv_errno(syscall(__NR_epoll_pwait, s->extra, &event, 1, -1, NULL, 8));
		s->polled = event.events;
		break;
	}
	s->ret = ret < 0 ? (int)ret : ret == 1 ? 0 : -ENODATA;
	return NULL;
}

/* Start the thread; fields that say what to wait for are filled in. */
static inline void drv_sleeper_go(struct __test_metadata *_metadata,
				  struct drv_sleeper *s)
{
	s->tid = 0;
	ASSERT_EQ(0, pthread_create(&s->thread, NULL, drv_sleeper_main, s));
	while (!__atomic_load_n(&s->tid, __ATOMIC_ACQUIRE))
		sched_yield();
}

/* Start it and return only when it sleeps in the kernel. */
static inline void drv_sleeper_start(struct __test_metadata *_metadata,
				     struct drv_sleeper *s, enum drv_how how,
				     int fd, __u32 events)
{
	memset(s, 0, sizeof(*s));
	s->how = how;
	s->fd = fd;
	s->events = events;
	s->extra = -1;
	s->deadline = L3L2Q_WAIT_FOREVER;
	if (how == DRV_BY_EPOLL || how == DRV_BY_EPOLL_ET) {
		s->extra = epoll_create1(EPOLL_CLOEXEC);
		ASSERT_LE(0, s->extra);
		ASSERT_EQ(0, drv_epoll_add(s->extra, fd, drv_poll_events(events) |
					   (how == DRV_BY_EPOLL_ET ? EPOLLET : 0)));
	}
	if (how == DRV_BY_EVENTFD) {
		s->extra = drv_eventfd_new();
		ASSERT_LE(0, s->extra);
		ASSERT_EQ(0, drv_eventfd(fd, events & L3L2Q_EVENT_IN ? L3L2Q_EVENTFD_IN :
					 events & L3L2Q_EVENT_OUT ? L3L2Q_EVENTFD_OUT :
					 L3L2Q_EVENTFD_ABORT, s->extra));
	}
	drv_sleeper_go(_metadata, s);
	ASSERT_TRUE(drv_asleep(getpid(), s->tid, drv_sleeper_nr(how)));
}

static inline void drv_sleeper_start_flags(struct __test_metadata *_metadata,
					   struct drv_sleeper *s, int fd, __u32 flags,
					   __u32 events, struct l3l2q_condition *conditions,
					   __u32 nr)
{
	memset(s, 0, sizeof(*s));
	s->how = DRV_BY_WAIT;
	s->fd = fd;
	s->flags = flags;
	s->events = events;
	s->extra = -1;
	s->conditions = conditions;
	s->nr_conditions = nr;
	s->deadline = L3L2Q_WAIT_FOREVER;
	drv_sleeper_go(_metadata, s);
	ASSERT_TRUE(drv_asleep(getpid(), s->tid, __NR_ioctl));
}

static inline void drv_sleeper_start_wait(struct __test_metadata *_metadata,
					  struct drv_sleeper *s, int fd, __u32 events,
					  struct l3l2q_condition *conditions, __u32 nr)
{
	drv_sleeper_start_flags(_metadata, s, fd, 0, events, conditions, nr);
}

static inline void drv_sleeper_join(struct __test_metadata *_metadata,
				    struct drv_sleeper *s)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += DRV_HANG_MS / 1000;
	ASSERT_EQ(0, pthread_timedjoin_np(s->thread, NULL, &ts))
		TH_LOG("a sleeper (way %d) was not woken", s->how);
}

/* Did it come back because of this event, and say so in its own way? */
static inline bool drv_sleeper_saw(const struct drv_sleeper *s, __u32 event)
{
	if (s->ret)
		return false;
	switch (s->how) {
	case DRV_BY_WAIT:
		return s->waited.revents & event;
	case DRV_BY_EVENTFD:
		return s->polled & POLLIN;
	default:
		return s->polled & drv_poll_events(event);
	}
}

/* Not woken, and still there. */
static inline bool drv_sleeper_sleeps(const struct drv_sleeper *s)
{
	return drv_asleep(getpid(), s->tid, drv_sleeper_nr(s->how));
}

static inline void drv_sleeper_done(struct drv_sleeper *s)
{
	if (s->extra >= 0)
		close(s->extra);
	s->extra = -1;
}

/* ---- processes --------------------------------------------------------- */

struct drv_child {
	pid_t pid;
	int sock;	/* one's own end, on either side */
};

static inline int drv_socketpair(int sv[2])
{
	return drv_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv));
}

/* Fork a child with a socket to it; returns the pid, 0 in the child. */
static inline pid_t drv_fork(struct __test_metadata *_metadata,
			     struct drv_child *child)
{
	int sv[2];

	ASSERT_EQ(0, drv_socketpair(sv));
	fflush(NULL);
	child->pid = fork();
	ASSERT_LE(0, child->pid);
	if (!child->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(sv[0]);
		child->sock = sv[1];
		return 0;
	}
	close(sv[1]);
	child->sock = sv[0];
	return child->pid;
}

static inline bool drv_say(int sock, char c)
{
	return send(sock, &c, 1, MSG_NOSIGNAL) == 1;
}

/* The next byte; -1 if the other side is gone. */
static inline int drv_hear(int sock)
{
	char c;
	ssize_t n;

	do {
		n = recv(sock, &c, 1, 0);
	} while (n < 0 && errno == EINTR);
	return n == 1 ? c : -1;
}

/* Stay until told, or until nobody is left who could. */
static inline void drv_hear_forever(int sock)
{
	while (drv_hear(sock) >= 0)
		;
	_exit(0);
}

/* Wait for the child's end: its exit status, or 1000 + signal. */
static inline int drv_reap(struct drv_child *child)
{
	int status;

	if (waitpid(child->pid, &status, 0) != child->pid)
		return -errno;
	if (child->sock >= 0)
		close(child->sock);
	child->sock = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static inline int drv_kill(struct drv_child *child)
{
	kill(child->pid, SIGKILL);
	return drv_reap(child);
}

static inline bool drv_send_fd(int sock, int fd)
{
	char byte = 'F', control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) == 1;
}

static inline int drv_recv_fd(int sock)
{
	char byte, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	int fd;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return -ENODATA;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

/* How many file descriptors this process has. */
static inline int drv_count_fds(void)
{
	struct dirent *entry;
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n - 1;	/* the directory's own */
}

/* A whole small file as a string; empty if it cannot be read. */
static inline const char *drv_read_file(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t done = 0;
	ssize_t n;

	buf[0] = 0;
	if (fd < 0)
		return buf;
	while (done < len - 1 && (n = read(fd, buf + done, len - 1 - done)) > 0)
		done += (size_t)n;
	buf[done] = 0;
	close(fd);
	return buf;
}

static inline int drv_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = drv_errno(write(fd, text, strlen(text)));
	close(fd);
	return ret < 0 ? ret : 0;
}

/* A line "name: value kB" of /proc/meminfo, in bytes. */
static inline __u64 drv_meminfo(const char *name)
{
	char buf[8192], *line;

	drv_read_file("/proc/meminfo", buf, sizeof(buf));
	for (line = buf; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			return strtoull(line + strlen(name) + 1, NULL, 10) << 10;
	}
	return 0;
}

/* ---- modules ----------------------------------------------------------- */

/* Load a module from a file; -ENOENT without one. */
static inline int drv_load_module(const char *ko, const char *args)
{
	int fd, ret;

	if (!ko)
		return -ENOENT;
	fd = open(ko, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = drv_errno(syscall(__NR_finit_module, fd, args, 0));
	close(fd);
	return ret;
}

/* -EAGAIN if it is in use. */
static inline int drv_unload_module(const char *name)
{
	return drv_errno(syscall(__NR_delete_module, name, O_NONBLOCK));
}

#endif /* DRV_UTIL_H */
