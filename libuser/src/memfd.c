// SPDX-License-Identifier: MIT
/*
 * Transport over a memfd, without the driver: futexes to sleep and wake, eventfds
 * for whoever polls or sleeps for long, a socket that tells of the peer's end.
 *
 * The memfd holds, each on pages of its own: status, L3's control, L2's control,
 * counters, payload. It is sealed against resizing, so that no peer can make us
 * fault. The peer's descriptor is a socket with one message waiting in it: the
 * header below and all descriptors. Whoever takes the message is the peer.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define SLICE_NS 100000000ull		/* longest sleep on a futex, between hang-up checks */
#define NSEC_PER_MSEC 1000000ull
#define ARM_POLL (1u << 16)		/* in armed: somebody polls the eventfd */
#define WATCHED 3			/* descriptors that an epoll of ours has */
#define HUGE_BYTES ((size_t)2 << 20)	/* of a huge page; a wish, where it is not */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define HELLO_MAGIC 0x6d656d6c336c3271ull

#ifndef MADV_COLLAPSE			/* since Linux 6.1 */
#define MADV_COLLAPSE 25
#endif

/* Descriptors that go with the header. */
enum { FD_MEMORY, FD_EVENT_L3, FD_EVENT_L2, FD_HUP, FDS };

struct hello {
	uint64_t magic;
	uint32_t role;			/* the receiver's */
	uint32_t pad;
	uint64_t region_id;
	uint64_t region_version;
	uint64_t depth;
	uint64_t input_arena_bytes;
	uint64_t output_arena_bytes;
	uint64_t payload_bytes;
	uint64_t counter_bytes;
	uint32_t binding;
	uint32_t pad2;
	uint64_t identity[2];
	char tag[L3L2Q_TAG_BYTES];
};

/*
 * Over memfd a control page goes on after what the driver knows. Sleepers wait on
 * a count of wake-ups, not on armed: another thread may set the very bits again
 * that a waker has just taken, and who slept on them would sleep on.
 */
struct page {
	struct l3l2q_control control;
	uint32_t wakeups;
};

/* ---- waking ------------------------------------------------------------ */

/* Own page in the memfd; the peer can write it, so nothing is decided by it. */
static struct l3l2q_control *shared_control(struct l3l2q_ep *ep)
{
	return ep->maps[L3L2Q_MAP_CONTROL].addr;
}

static uint32_t *wakeups(struct l3l2q_control *control)
{
	return &container_of(control, struct page, control)->wakeups;
}

static void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static long futex_wait_until(uint32_t *word, uint32_t value, const struct timespec *until)
{
	return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, until, NULL,
		       FUTEX_BITSET_MATCH_ANY);
}

static void wake(struct l3l2q_ep *ep, struct l3l2q_control *control, int event)
{
	uint64_t one = 1, count;
	uint32_t armed = __atomic_exchange_n(&control->armed, 0, __ATOMIC_SEQ_CST);

	if (!armed)
		return;
	__atomic_fetch_add(wakeups(control), 1, __ATOMIC_RELEASE);
	l3l2q_count_syscall(ep);
	futex_wake(wakeups(control));
	if (!(armed & ARM_POLL))
		return;
	l3l2q_count_syscall(ep);
	if (write(event, &one, sizeof(one)) >= 0 || errno != EAGAIN)
		return;
	/* Nobody counts so far in earnest: the peer has filled it. */
	if (read(event, &count, sizeof(count)) < 0 || write(event, &one, sizeof(one)) < 0)
		return;
}

static int memfd_kick(struct l3l2q_ep *ep, bool self)
{
	if (self || ep->raw)
		wake(ep, shared_control(ep), ep->own_event);
	if (!self)
		wake(ep, ep->peer_control, ep->peer_event);
	return 0;
}

static struct l3l2q_status *shared_status(struct l3l2q_ep *ep)
{
	return ep->maps[L3L2Q_MAP_STATUS].addr;
}

/* Do what the driver would: unless it detached, its abort flag is set for it. */
static void peer_died(struct l3l2q_ep *ep)
{
	enum l3l2q_role peer = l3l2q_peer_role((enum l3l2q_role)ep->core.role);
	uint32_t *state = &shared_status(ep)->state[peer];

	if (__atomic_load_n(state, __ATOMIC_ACQUIRE) == L3L2Q_STATE_DETACHED) {
		l3l2q_add_gone(ep, L3L2Q_GONE_DETACHED);
		return;
	}
	if (!ep->raw)
		l3l2q_store_counter(l3l2q_core_counter(&ep->core, l3l2q_ctr_abort(peer)), 1);
	__atomic_store_n(state, L3L2Q_STATE_DEAD, __ATOMIC_RELEASE);
	l3l2q_add_gone(ep, L3L2Q_GONE_ABORTED);
}

/* Has the socket's other end, or the process there, gone? */
static void check_hup(struct l3l2q_ep *ep)
{
	struct pollfd pfds[] = {
		{ __atomic_load_n(&ep->hup_fd, __ATOMIC_ACQUIRE), POLLRDHUP, 0 },
		{ ep->peer_pidfd, POLLIN, 0 },
	};

	if (pfds[0].fd < 0)
		return;
	l3l2q_count_syscall(ep);
	if (poll(pfds, 2, 0) > 0)
		peer_died(ep);
}

/* Its abort flag and its detachment are in memory; its death is for the kernel to tell. */
static void memfd_ask_peer(struct l3l2q_ep *ep)
{
	enum l3l2q_role peer = l3l2q_peer_role((enum l3l2q_role)ep->core.role);
	uint32_t state = __atomic_load_n(&ep->status->state[peer], __ATOMIC_ACQUIRE);

	if (!ep->raw && l3l2q_core_peer_aborted(&ep->core))
		l3l2q_add_gone(ep, L3L2Q_GONE_ABORTED);
	else if (state == L3L2Q_STATE_DETACHED)
		l3l2q_add_gone(ep, L3L2Q_GONE_DETACHED);
	else
		check_hup(ep);
}

/* Async-signal-safe: sleepers on the futex, and those in an epoll. */
static void memfd_interrupt(struct l3l2q_ep *ep)
{
	uint64_t one = 1;

	__atomic_fetch_add(wakeups(shared_control(ep)), 1, __ATOMIC_RELEASE);
	futex_wake(wakeups(shared_control(ep)));
	if (write(ep->own_event, &one, sizeof(one)) < 0)
		return;
}

/* ---- sleeping ---------------------------------------------------------- */

/* Watch a descriptor in an epoll. */
static int watch(int epoll, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* What happened to an epoll of ours; whatever is not the eventfd is the peer's end. */
static int happened(struct l3l2q_ep *ep, int epoll, int timeout_ms)
{
	struct epoll_event events[WATCHED];
	int i, n;

	l3l2q_count_syscall(ep);
	n = epoll_wait(epoll, events, WATCHED, timeout_ms);
	for (i = 0; i < n; i++) {
		if (events[i].data.fd != ep->own_event)
			peer_died(ep);
	}
	return n < 0 && (errno != EINTR || ep->interruptible) ? -errno : 0;
}

/*
 * For somebody who has slept for a slice and may do so for long: from here on the
 * kernel tells of the peer's end, and no slices are needed. -1 if that cannot be.
 */
static int idle_epoll(struct l3l2q_ep *ep)
{
	int hup = __atomic_load_n(&ep->hup_fd, __ATOMIC_ACQUIRE);
	int epoll = hup < 0 ? -1 : epoll_create1(EPOLL_CLOEXEC);
	int ret;

	if (epoll < 0)
		return -1;
	ret = watch(epoll, ep->own_event, EPOLLIN | EPOLLET);
	if (!ret)
		ret = watch(epoll, hup, EPOLLRDHUP);
	if (!ret && ep->peer_pidfd >= 0)
		ret = watch(epoll, ep->peer_pidfd, EPOLLIN);
	if (ret)
		l3l2q_close_fd(&epoll);
	return epoll;
}

/**
 * struct sleeper - somebody who arms, looks and sleeps until a deadline
 * @before: wake-ups there had been when it armed: later ones are seen
 * @epoll: to sleep in, once it has been asleep for long; else -1
 */
struct sleeper {
	struct l3l2q_ep *ep;
	const struct l3l2q_half *half;
	uint64_t deadline_ns;
	uint32_t before;
	int epoll;
};

static void sleeper_arm(struct sleeper *s, uint32_t bits)
{
	s->before = __atomic_load_n(wakeups(shared_control(s->ep)), __ATOMIC_ACQUIRE);
	l3l2q_arm_word(s->ep, s->epoll < 0 ? bits : bits | ARM_POLL);
}

/*
 * Sleep until there was a wake-up since, for one slice at most. A slice need not
 * be exact, so a clock will do that is read faster.
 */
static int sleep_slice(struct sleeper *s)
{
	struct l3l2q_ep *ep = s->ep;
	struct timespec until;
	uint64_t end;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &until);
	end = (uint64_t)until.tv_sec * NSEC_PER_SEC + (uint64_t)until.tv_nsec + SLICE_NS;
	if (end > s->deadline_ns)
		end = s->deadline_ns;
	until.tv_sec = (time_t)(end / NSEC_PER_SEC);
	until.tv_nsec = (long)(end % NSEC_PER_SEC);
	l3l2q_count_syscall(ep);
	if (!futex_wait_until(wakeups(shared_control(ep)), s->before, &until) || errno == EAGAIN)
		return 0;
	if (errno != ETIMEDOUT)
		return errno == EINTR && ep->interruptible ? -EINTR : 0;
	check_hup(ep);
	if (end == s->deadline_ns)
		return -ETIMEDOUT;
	if (s->epoll < 0)
		s->epoll = idle_epoll(ep);
	return 0;
}

/* One turn of sleep: the caller looks. -ETIMEDOUT at the deadline. */
static int sleeper_rest(struct sleeper *s)
{
	uint64_t ms = 0, now;

	/* Since it armed: whatever interrupts from now on also counts a wake-up. */
	if (l3l2q_half_must_return(s->ep, s->half))
		return -EINTR;
	if (s->epoll >= 0) {
		/* Short of the deadline, which a slice meets more exactly. */
		now = l3l2q_now() + SLICE_NS;
		ms = now < s->deadline_ns ? (s->deadline_ns - now) / NSEC_PER_MSEC : 0;
	}
	if (!ms)
		return sleep_slice(s);
	return happened(s->ep, s->epoll, ms < INT_MAX ? (int)ms : INT_MAX);
}

static int memfd_sleep(struct l3l2q_ep *ep, const struct l3l2q_half *half, uint32_t events,
		       uint64_t deadline_ns)
{
	struct sleeper s = { .ep = ep, .half = half, .deadline_ns = deadline_ns, .epoll = -1 };
	int ready, ret = 0;

	do {
		sleeper_arm(&s, events);
		ready = (int)l3l2q_ready(ep, events);
		if (ready)
			break;
		ret = sleeper_rest(&s);
		/* Not armed again, which would cost the peer a system call. */
		ready = (int)l3l2q_ready(ep, events);
	} while (!ready && !ret);
	l3l2q_close_fd(&s.epoll);
	return ready ? ready : ret;
}

static bool counter_done(struct l3l2q_ep *ep, struct l3l2q_condition *cond)
{
	const int32_t *counter = l3l2q_core_counter(&ep->core, cond->offset);

	cond->observed = (int32_t)l3l2q_load_counter(counter);
	return l3l2q_cmp_holds(cond->cmp, cond->observed, cond->value) ||
	       l3l2q_ready(ep, L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP);
}

static int memfd_sleep_counter(struct l3l2q_ep *ep, struct l3l2q_condition *cond,
			       uint64_t deadline_ns)
{
	struct sleeper s = {
		.ep = ep, .half = &ep->any_half, .deadline_ns = deadline_ns, .epoll = -1,
	};
	bool done;
	int ret = 0;

	do {
		sleeper_arm(&s, L3L2Q_ARM_COUNTER | L3L2Q_EVENT_ABORT);
		done = counter_done(ep, cond);
		if (done)
			break;
		ret = sleeper_rest(&s);
		done = counter_done(ep, cond);
	} while (!done && !ret);
	l3l2q_close_fd(&s.epoll);
	return done ? 0 : ret;
}

/*
 * For a poll of the caller's own. Each write to the eventfd is reported once, by
 * the epoll: what it has so far is looked at now. Nobody reads the eventfd, so
 * nobody takes from another what was meant for both.
 */
static int memfd_arm(struct l3l2q_ep *ep, uint32_t events)
{
	int ret = happened(ep, ep->poll_fd, 0);

	if (!ret)
		l3l2q_arm_word(ep, events | ARM_POLL);
	return ret;
}

static int memfd_fd(struct l3l2q_ep *ep)
{
	return ep->poll_fd;
}

static int memfd_eventfd(struct l3l2q_ep *ep, uint32_t kind, int fd)
{
	(void)ep;
	(void)kind;
	(void)fd;
	return -EOPNOTSUPP;
}

/* ---- life cycle -------------------------------------------------------- */

static int memfd_detach(struct l3l2q_ep *ep)
{
	struct l3l2q_status *status = shared_status(ep);

	if (!status)
		return 0;
	__atomic_store_n(&status->state[ep->core.role], L3L2Q_STATE_DETACHED, __ATOMIC_RELEASE);
	l3l2q_full_barrier();
	wake(ep, ep->peer_control, ep->peer_event);
	if (ep->hup_fd >= 0)
		shutdown(ep->hup_fd, SHUT_WR); /* our own end does not look hung up by it */
	return 0;
}

static void memfd_release(struct l3l2q_ep *ep)
{
	int i;

	ep->peer_control = NULL;
	for (i = 0; i < L3L2Q_MAPS; i++)
		l3l2q_unmap(&ep->maps[i]);
	l3l2q_close_fd(&ep->poll_fd);
	l3l2q_close_fd(&ep->hup_fd);
	l3l2q_close_fd(&ep->peer_pidfd);
	l3l2q_close_fd(&ep->own_event);
	l3l2q_close_fd(&ep->peer_event);
	l3l2q_close_fd(&ep->fd);
}

static int memfd_open_peer(struct l3l2q_ep *ep)
{
	enum l3l2q_role own = (enum l3l2q_role)ep->core.role;
	struct hello hello = {
		.magic = HELLO_MAGIC,
		.role = l3l2q_peer_role(own),
		.region_id = ep->region.region_id,
		.region_version = ep->region.magic_version,
		.depth = ep->queue.depth,
		.input_arena_bytes = ep->queue.input_arena_bytes,
		.output_arena_bytes = ep->queue.output_arena_bytes,
		.payload_bytes = ep->region.payload_bytes,
		.counter_bytes = ep->region.counter_bytes,
		.binding = ep->binding,
		.identity = { ep->identity[0], ep->identity[1] },
	};
	int fds[FDS], hand[2], hup[2], ret;

	memcpy(hello.tag, ep->tag, sizeof(hello.tag));
	if (!ep->creator)
		return -EPERM;
	if (__atomic_exchange_n(&ep->peer_opened, true, __ATOMIC_ACQ_REL))
		return -EBUSY;
	ret = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, hand) ? -errno : 0;
	if (ret)
		goto undo;
	ret = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, hup) ? -errno : 0;
	if (ret)
		goto close_hand;
	fds[FD_MEMORY] = ep->fd;
	fds[FD_EVENT_L3] = own == L3L2Q_ROLE_L3 ? ep->own_event : ep->peer_event;
	fds[FD_EVENT_L2] = own == L3L2Q_ROLE_L3 ? ep->peer_event : ep->own_event;
	fds[FD_HUP] = hup[1];
	ret = l3l2q_send_fds(hand[0], &hello, sizeof(hello), fds, FDS);
	if (!ret)
		ret = watch(ep->poll_fd, hup[0], EPOLLRDHUP);
	close(hup[1]);
	if (ret) {
		close(hup[0]);
		goto close_hand;
	}
	__atomic_store_n(&ep->hup_fd, hup[0], __ATOMIC_RELEASE);
	close(hand[0]);
	return hand[1];

close_hand:
	close(hand[0]);
	close(hand[1]);
undo:
	__atomic_store_n(&ep->peer_opened, false, __ATOMIC_RELEASE);
	return ret;
}

const struct l3l2q_transport l3l2q_memfd = {
	.name = "memfd",
	.open_peer = memfd_open_peer,
	.kick = memfd_kick,
	.sleep = memfd_sleep,
	.sleep_counter = memfd_sleep_counter,
	.interrupt = memfd_interrupt,
	.ask_peer = memfd_ask_peer,
	.arm = memfd_arm,
	.fd = memfd_fd,
	.eventfd = memfd_eventfd,
	.detach = memfd_detach,
	.release = memfd_release,
};

/* ---- create and attach ------------------------------------------------- */

struct parts {
	uint64_t length[L3L2Q_MAPS];	/* whole pages, by L3L2Q_MAP_* */
	uint64_t offset[L3L2Q_MAPS];
	uint64_t total;
};

/* Where things lie in the memfd, as seen from a role. */
static int lay_out(struct parts *parts, const struct l3l2q_ep *ep, enum l3l2q_role role)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t counters = ep->region.counter_bytes, payload = ep->region.payload_bytes;
	bool l3 = role == L3L2Q_ROLE_L3;

	if (counters > INT64_MAX / 4 || payload > INT64_MAX / 4)
		return -ENOMEM;
	parts->length[L3L2Q_MAP_STATUS] = page;
	parts->length[L3L2Q_MAP_CONTROL] = page;
	parts->length[L3L2Q_MAP_PEER_CONTROL] = page;
	parts->length[L3L2Q_MAP_COUNTERS] = (counters + page - 1) / page * page;
	parts->length[L3L2Q_MAP_PAYLOAD] = (payload + page - 1) / page * page;
	parts->offset[L3L2Q_MAP_STATUS] = 0;
	parts->offset[L3L2Q_MAP_CONTROL] = l3 ? page : 2 * page;
	parts->offset[L3L2Q_MAP_PEER_CONTROL] = l3 ? 2 * page : page;
	parts->offset[L3L2Q_MAP_COUNTERS] = 3 * page;
	parts->offset[L3L2Q_MAP_PAYLOAD] = 3 * page + parts->length[L3L2Q_MAP_COUNTERS];
	parts->total = parts->offset[L3L2Q_MAP_PAYLOAD] + parts->length[L3L2Q_MAP_PAYLOAD];
	return 0;
}

/* Map where huge pages of the file can be mapped as such, if there may be any. */
static int map_payload(struct l3l2q_ep *ep, const struct parts *parts)
{
	struct l3l2q_map *map = &ep->maps[L3L2Q_MAP_PAYLOAD];
	uint64_t offset = parts->offset[L3L2Q_MAP_PAYLOAD];
	size_t length = (size_t)parts->length[L3L2Q_MAP_PAYLOAD];
	size_t before, room = length + HUGE_BYTES;
	char *start;
	void *addr;
	int ret;

	if (length != parts->length[L3L2Q_MAP_PAYLOAD] || length < HUGE_BYTES ||
	    offset != (uint64_t)(off_t)offset)
		return l3l2q_map_fd(map, ep->fd, offset, parts->length[L3L2Q_MAP_PAYLOAD],
				    PROT_READ | PROT_WRITE);
	start = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return -errno;
	before = (size_t)(offset - (uintptr_t)start) % HUGE_BYTES;
	addr = mmap(start + before, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, ep->fd,
		    (off_t)offset);
	if (addr == MAP_FAILED) {
		ret = -errno;
		munmap(start, room);
		return ret;
	}
	if (before)
		munmap(start, before);
	munmap(start + before + length, HUGE_BYTES - before);
	map->addr = addr;
	map->length = length;
	return 0;
}

static int map_parts(struct l3l2q_ep *ep, const struct parts *parts)
{
	int i, ret;

	for (i = 0; i < L3L2Q_MAPS; i++) {
		ret = i == L3L2Q_MAP_PAYLOAD ? map_payload(ep, parts) :
		      l3l2q_map_fd(&ep->maps[i], ep->fd, parts->offset[i], parts->length[i],
				   PROT_READ | PROT_WRITE);
		if (ret)
			return ret;
	}
	ep->status = ep->maps[L3L2Q_MAP_STATUS].addr;
	ep->peer_control = ep->maps[L3L2Q_MAP_PEER_CONTROL].addr;
	return 0;
}

/* What the system could give without killing anybody for it, in bytes. */
static uint64_t memory_left(void)
{
	static const char name[] = "\nMemAvailable:";
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	const char *at = NULL;
	char text[1024];
	ssize_t len = -1;

	if (fd >= 0) {
		len = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (len > 0) {
		text[len] = '\0';
		at = strstr(text, name);
	}
	return at ? strtoull(at + sizeof(name) - 1, NULL, 10) * 1024 : UINT64_MAX;
}

/* Not more than there is: fallocate() goes on until the OOM killer comes. */
static int make_file(struct l3l2q_ep *ep, uint64_t total)
{
	if (total > memory_left())
		return -ENOMEM;
	ep->fd = memfd_create("l3l2q", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (ep->fd < 0)
		return -errno;
	if (ftruncate(ep->fd, (off_t)total))
		return errno == EINVAL ? -EFBIG : -errno;
	return 0;
}

/*
 * Huge pages for as much of the payload as there are any. The kernel makes one of
 * what is there, so a page has to be; and it need not be asked to by default.
 */
static void prefer_huge(struct l3l2q_ep *ep, const struct parts *parts)
{
	const struct l3l2q_map *map = &ep->maps[L3L2Q_MAP_PAYLOAD];
	uint64_t offset = parts->offset[L3L2Q_MAP_PAYLOAD];
	size_t at = (size_t)-(uintptr_t)map->addr % HUGE_BYTES;

	for (; at + HUGE_BYTES <= map->length; at += HUGE_BYTES) {
		if (fallocate(ep->fd, 0, (off_t)(offset + at), 1) ||
		    madvise((char *)map->addr + at, HUGE_BYTES, MADV_COLLAPSE))
			return;
	}
}

/* Take all the memory now: running out later would be a SIGBUS. */
static int fill_memory(struct l3l2q_ep *ep, const struct parts *parts)
{
	off_t total = (off_t)parts->total;
	struct stat st;

	prefer_huge(ep, parts);
	while (fallocate(ep->fd, 0, 0, total)) {
		if (errno != EINTR)
			return errno == ENOSPC ? -ENOMEM : -errno;
	}
	if (fcntl(ep->fd, F_ADD_SEALS, SEALS) || fstat(ep->fd, &st))
		return -errno;
	ep->region.region_id = st.st_ino ? (uint64_t)st.st_ino : 1;
	return 0;
}

static int make_events(struct l3l2q_ep *ep)
{
	ep->own_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ep->peer_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return ep->own_event < 0 || ep->peer_event < 0 ? -errno : 0;
}

static int make_poll(struct l3l2q_ep *ep)
{
	ep->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	return ep->poll_fd < 0 ? -errno : watch(ep->poll_fd, ep->own_event, EPOLLIN | EPOLLET);
}

/* What region and queue say once sizes are known; the bases are our mappings. */
static void describe(struct l3l2q_ep *ep, uint64_t version, const struct l3l2q_layout *layout)
{
	ep->region.magic_version = version;
	ep->region.payload_base = (uintptr_t)ep->maps[L3L2Q_MAP_PAYLOAD].addr;
	ep->region.counter_base = (uintptr_t)ep->maps[L3L2Q_MAP_COUNTERS].addr;
	if (ep->raw)
		return;
	ep->queue.magic_version = L3L2Q_QUEUE_VERSION;
	ep->queue.depth = layout->depth;
	ep->queue.input_arena_bytes = layout->input_arena_bytes;
	ep->queue.output_arena_bytes = layout->output_arena_bytes;
	ep->queue.payload_bytes = layout->payload_bytes;
	ep->queue.counter_bytes = layout->counter_bytes;
}

static int start(struct l3l2q_ep *ep, enum l3l2q_role role, const struct l3l2q_attr *attr,
		 struct l3l2q_failure *why)
{
	int ret = l3l2q_ep_start(ep, role, ep->maps[L3L2Q_MAP_PAYLOAD].addr,
				 ep->maps[L3L2Q_MAP_COUNTERS].addr, attr, why);

	if (!ret)
		__atomic_store_n(&shared_status(ep)->state[role], L3L2Q_STATE_ATTACHED,
				 __ATOMIC_RELEASE);
	return ret;
}

/* Nothing was shared yet, or not with success: free without a word to the peer. */
static int discard(struct l3l2q_ep *ep, int ret)
{
	memfd_release(ep);
	l3l2q_unmap(&ep->books);
	l3l2q_ep_free(ep);
	return ret;
}

int l3l2q_memfd_create(struct l3l2q_ep **out, const struct l3l2q_attr *attr,
		       struct l3l2q_failure *why)
{
	enum l3l2q_role role = (enum l3l2q_role)attr->role;
	struct l3l2q_layout layout = { 0 };
	struct parts parts;
	struct l3l2q_ep *ep;
	int ret;

	if (attr->flags & L3L2Q_ATTR_SILENT_PEER)
		return l3l2q_why(why, -EOPNOTSUPP, "nobody polls for a silent peer over memfd");
	ret = l3l2q_ep_alloc(&ep, &l3l2q_memfd);
	if (ret)
		return l3l2q_why(why, ret, "no memory for an endpoint");
	ep->creator = true;
	ep->raw = !attr->depth;
	ep->region.payload_bytes = attr->payload_bytes;
	ep->region.counter_bytes = attr->counter_bytes;
	if (!ep->raw) {
		l3l2q_layout_make(attr->depth, attr->input_arena_bytes, attr->output_arena_bytes,
				  &layout);
		ep->region.payload_bytes = layout.payload_bytes;
		ep->region.counter_bytes = layout.counter_bytes;
	}
	ret = lay_out(&parts, ep, role);
	if (!ret)
		ret = make_file(ep, parts.total);
	if (!ret)
		ret = map_parts(ep, &parts);
	if (!ret)
		ret = fill_memory(ep, &parts);
	if (!ret)
		ret = make_events(ep);
	if (!ret)
		ret = make_poll(ep);
	if (ret)
		return discard(ep, l3l2q_why(why, ret, "cannot make a memfd region of %llu bytes: %s",
					     (unsigned long long)ep->region.payload_bytes,
					     strerror(-ret)));
	ep->binding = attr->binding;
	memcpy(ep->identity, attr->identity, sizeof(ep->identity));
	if (attr->tag)
		memcpy(ep->tag, attr->tag, strlen(attr->tag));
	describe(ep, attr->region_version == 0x30000 ? L3L2Q_REGION_V3 : L3L2Q_REGION_V2, &layout);
	ret = start(ep, role, attr, why);
	if (ret)
		return discard(ep, ret);
	__atomic_store_n(&shared_status(ep)->state[l3l2q_peer_role(role)], L3L2Q_STATE_NONE,
			 __ATOMIC_RELEASE);
	*out = ep;
	return 0;
}

/* The header comes from another process: believe none of it unchecked. */
static int check_hello(struct l3l2q_ep *ep, const struct hello *hello, struct l3l2q_layout *layout)
{
	if (hello->magic != HELLO_MAGIC || hello->role > L3L2Q_ROLE_L2 || !hello->region_id)
		return -EPROTO;
	if (hello->binding != L3L2Q_BINDING_L3Q2 || !l3l2q_tag_valid(hello->tag))
		return -EPROTO;
	ep->raw = !hello->depth;
	ep->binding = hello->binding;
	memcpy(ep->identity, hello->identity, sizeof(ep->identity));
	memcpy(ep->tag, hello->tag, strlen(hello->tag));
	ep->region.region_id = hello->region_id;
	ep->region.payload_bytes = hello->payload_bytes;
	ep->region.counter_bytes = hello->counter_bytes;
	if (ep->raw)
		return hello->payload_bytes && hello->counter_bytes &&
		       !(hello->counter_bytes % 4) ? 0 : -EPROTO;
	if (l3l2q_layout_make(hello->depth, hello->input_arena_bytes, hello->output_arena_bytes,
			      layout) ||
	    layout->payload_bytes != hello->payload_bytes ||
	    layout->counter_bytes != hello->counter_bytes)
		return -EPROTO;
	return 0;
}

/*
 * A peer that was forked off holds the creator's end of the socket as well, and
 * would keep it open for ever: watch the creator's process too. Without pidfds
 * (before Linux 5.3) the socket has to do.
 */
static int watch_creator(struct l3l2q_ep *ep)
{
	struct ucred creator;
	socklen_t size = sizeof(creator);

	if (getsockopt(ep->hup_fd, SOL_SOCKET, SO_PEERCRED, &creator, &size))
		return -errno;
	if (!creator.pid || creator.pid == getpid())
		return 0;
	ep->peer_pidfd = (int)syscall(SYS_pidfd_open, creator.pid, 0);
	if (ep->peer_pidfd >= 0)
		return watch(ep->poll_fd, ep->peer_pidfd, EPOLLIN);
	if (errno == ESRCH)
		peer_died(ep);
	return errno == ESRCH || errno == ENOSYS ? 0 : -errno;
}

/* Is the memory as large as it should be, and will it stay so? */
static int check_memory(int fd, uint64_t total)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) ||
	    (uint64_t)st.st_size != total)
		return -EPROTO;
	return 0;
}

int l3l2q_memfd_attach(struct l3l2q_ep **out, int fd, const struct l3l2q_attr *attr,
		       struct l3l2q_failure *why)
{
	struct l3l2q_layout layout = { 0 };
	struct parts parts;
	struct hello hello;
	struct l3l2q_ep *ep;
	int fds[FDS], ret;

	if (attr && attr->flags & L3L2Q_ATTR_SILENT_PEER)
		return l3l2q_why(why, -EOPNOTSUPP, "nobody polls for a silent peer over memfd");
	ret = l3l2q_ep_alloc(&ep, &l3l2q_memfd);
	if (ret)
		return l3l2q_why(why, ret, "no memory for an endpoint");
	ret = l3l2q_recv_fds(fd, &hello, sizeof(hello), fds, FDS, MSG_DONTWAIT);
	if (ret == -ENOTCONN)
		return discard(ep, l3l2q_why(why, -EBUSY, "this end was attached before"));
	if (ret)
		return discard(ep, l3l2q_why(why, ret == -EAGAIN ? -EINVAL : ret,
					     "descriptor %d carries no endpoint", fd));
	ep->fd = fds[FD_MEMORY];
	ep->hup_fd = fds[FD_HUP];
	ep->own_event = fds[hello.role == L3L2Q_ROLE_L3 ? FD_EVENT_L3 : FD_EVENT_L2];
	ep->peer_event = fds[hello.role == L3L2Q_ROLE_L3 ? FD_EVENT_L2 : FD_EVENT_L3];
	ret = check_hello(ep, &hello, &layout);
	if (!ret)
		ret = lay_out(&parts, ep, (enum l3l2q_role)hello.role);
	if (!ret)
		ret = check_memory(ep->fd, parts.total);
	if (!ret)
		ret = map_parts(ep, &parts);
	if (!ret)
		ret = make_poll(ep);
	if (!ret)
		ret = watch(ep->poll_fd, ep->hup_fd, EPOLLRDHUP);
	if (ret)
		return discard(ep, l3l2q_why(why, ret, "cannot attach the memfd region: %s",
					     strerror(-ret)));
	describe(ep, hello.region_version, &layout);
	ret = start(ep, (enum l3l2q_role)hello.role, attr, why);
	if (ret)
		return discard(ep, ret);
	ret = watch_creator(ep);
	if (ret)
		return discard(ep, l3l2q_why(why, ret, "cannot watch the creator: %s",
					     strerror(-ret)));
	close(fd);
	*out = ep;
	return 0;
}
