// SPDX-License-Identifier: MIT
/* One side sleeps, the other wakes it: how long it takes from store to awake. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <l3l2q/core.h>

#include "ends.h"

#define SUPPLY 32		/* regions that a turn can end */
#define RAW_BYTES 4096

/**
 * struct waking - how one side wakes the other
 * @prepare: for @n times
 * @wake: the @i-th time
 * @sleep: the @i-th time
 * @done: undo prepare
 * @period_us: a silent peer's
 * @ends: of regions
 * @events: eventfds that the second side reads
 * @tid: of the second side
 * @turn: of how many times it will be asleep next
 * @stored_ns: when it was woken
 */
struct waking {
	void (*prepare)(struct waking *w, uint64_t n);
	void (*wake)(struct waking *w, uint64_t i);
	void (*sleep)(struct waking *w, uint64_t i);
	void (*done)(struct waking *w, uint64_t n);
	unsigned int period_us;
	struct ends ends[SUPPLY];
	int events[SUPPLY];
	pid_t tid;
	uint64_t turn LINE_ALIGNED;
	uint64_t stored_ns LINE_ALIGNED;
};

/* ---- both sides ------------------------------------------------------------ */

static void until_turn(struct waking *w, uint64_t turn)
{
	while (__atomic_load_n(&w->turn, __ATOMIC_ACQUIRE) != turn)
		l3l2q_relax();
}

/* Not always as long after the other fell asleep. */
static void dither(struct waking *w, uint64_t i)
{
	uint64_t until = now_ns() + i * 7919 % 1000 * w->period_us;

	while (now_ns() < until)
		l3l2q_relax();
}

static void wakes(struct contestant *c, uint64_t n)
{
	struct waking *w = c->arg;
	uint64_t i;
	int fd;

	w->prepare(w, n);
	__atomic_store_n(&w->turn, 1, __ATOMIC_RELEASE);
	until_turn(w, 2);
	fd = asleep_open(w->tid);
	for (i = 0; i < n; i++) {
		until_turn(w, i + 2);
		asleep_wait(fd);
		dither(w, i);
		__atomic_store_n(&w->stored_ns, now_ns(), __ATOMIC_RELAXED);
		w->wake(w, i);
	}
	close(fd);
	until_turn(w, n + 2);
	w->done(w, n);
	__atomic_store_n(&w->turn, 0, __ATOMIC_RELEASE);
}

static void sleeps(struct contestant *c, uint64_t n)
{
	struct waking *w = c->arg;
	uint64_t i, sum = 0;

	until_turn(w, 1);
	w->tid = (pid_t)syscall(SYS_gettid);
	for (i = 0; i < n; i++) {
		__atomic_store_n(&w->turn, i + 2, __ATOMIC_RELEASE);
		w->sleep(w, i);
		sum += now_ns() - __atomic_load_n(&w->stored_ns, __ATOMIC_RELAXED);
	}
	c->took_ns = sum;
	__atomic_store_n(&w->turn, n + 2, __ATOMIC_RELEASE);
}

static void read_event(struct waking *w, uint64_t i)
{
	eventfd_t count;

	if (eventfd_read(w->events[i], &count))
		abort();
}

/* ---- abort by the driver ----------------------------------------------------- */

/* An abort ends a region: one for each time. */
static void abort_prepare(struct waking *w, uint64_t n)
{
	struct l3l2q_attr attr = ends_small(ends_driver(), L3L2Q_SPIN_OFF);
	uint64_t i;

	for (i = 0; i < n; i++) {
		w->events[i] = eventfd(0, EFD_CLOEXEC);
		if (w->events[i] < 0 || ends_open(&w->ends[i], &attr) ||
		    l3l2q_eventfd(w->ends[i].ep[1], L3L2Q_EVENTFD_ABORT, w->events[i]))
			abort();
	}
}

static void abort_done(struct waking *w, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++) {
		ends_close(&w->ends[i]);
		close(w->events[i]);
	}
}

static void abort_by_ioctl(struct waking *w, uint64_t i)
{
	struct l3l2q_notify arg = {
		.size = sizeof(arg),
		.offset = l3l2q_ctr_abort(L3L2Q_ROLE_L3),
		.op = L3L2Q_NOTIFY_SET,
		.value = 1,
	};

	if (l3l2q_ioctl(l3l2q_fd(w->ends[i].ep[0]), L3L2Q_IOC_NOTIFY, &arg))
		abort();
}

static void abort_by_library(struct waking *w, uint64_t i)
{
	if (l3l2q_abort(w->ends[i].ep[0]))
		abort();
}

/* ---- a bare eventfd ------------------------------------------------------------ */

static void event_prepare(struct waking *w, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++) {
		w->events[i] = eventfd(0, EFD_CLOEXEC);
		if (w->events[i] < 0)
			abort();
	}
}

static void event_done(struct waking *w, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++)
		close(w->events[i]);
}

static void event_write(struct waking *w, uint64_t i)
{
	if (eventfd_write(w->events[i], 1))
		abort();
}

/* ---- a peer that only stores ------------------------------------------------------ */

static void silent_prepare(struct waking *w, uint64_t n)
{
	struct l3l2q_attr attr = {
		.transport = ends_driver(),
		.role = L3L2Q_ROLE_L3,
		.payload_bytes = RAW_BYTES,
		.counter_bytes = LINE,
		.spin_ns = L3L2Q_SPIN_OFF,
	};
	struct l3l2q_set_polling polling = {
		.size = sizeof(polling),
		.peer_kind = L3L2Q_PEER_SILENT,
		.min_ns = w->period_us * 1000,
		.max_ns = w->period_us * 1000,
	};

	(void)n;
	if (ends_open(&w->ends[0], &attr) ||
	    l3l2q_ioctl(l3l2q_fd(w->ends[0].ep[1]), L3L2Q_IOC_SET_POLLING, &polling))
		abort();
}

static void silent_done(struct waking *w, uint64_t n)
{
	(void)n;
	ends_close(&w->ends[0]);
}

static void silent_store(struct waking *w, uint64_t i)
{
	struct l3l2q_ep_info info;

	l3l2q_ep_info(w->ends[0].ep[0], &info);
	l3l2q_store_counter(info.counters, (uint32_t)i + 1);
}

static void silent_sleep(struct waking *w, uint64_t i)
{
	if (l3l2q_wait_counter(w->ends[0].ep[1], 0, L3L2Q_CMP_GT, (int32_t)i, LONG_NS, NULL))
		abort();
}

/* ---- the contests ------------------------------------------------------------------- */

static bool no_driver(void)
{
	struct l3l2q_attr attr = ends_small(ends_driver(), L3L2Q_SPIN_OFF);
	struct ends ends;

	if (ends_open(&ends, &attr))
		return true;
	ends_close(&ends);
	return false;
}

static void add(struct contest *contest, const char *name, const struct waking *how)
{
	struct contestant *c = contest_add(contest, name);
	struct waking *w = aligned_alloc(LINE, sizeof(*w));

	if (!w)
		abort();
	*w = *how;
	c->side[0] = wakes;
	c->side[1] = sleeps;
	c->limit = SUPPLY;
	c->arg = w;
}

int bench_abort(void)
{
	static const struct waking ioctl = {
		.prepare = abort_prepare, .wake = abort_by_ioctl,
		.sleep = read_event, .done = abort_done,
	};
	static const struct waking library = {
		.prepare = abort_prepare, .wake = abort_by_library,
		.sleep = read_event, .done = abort_done,
	};
	static const struct waking event = {
		.prepare = event_prepare, .wake = event_write,
		.sleep = read_event, .done = event_done,
	};
	struct contest *contest = contest_new("abort", 0, "from abort to a sleeper on an eventfd");

	if (!contest || no_driver())
		return 0;
	add(contest, "l3l2q", &ioctl);
	add(contest, "l3l2q, library", &library);
	add(contest, "eventfd", &event);
	return contest_run(contest);
}

static int silent(unsigned int period_us)
{
	const struct waking how = {
		.prepare = silent_prepare, .wake = silent_store,
		.sleep = silent_sleep, .done = silent_done, .period_us = period_us,
	};
	struct contest *contest = contest_new("silent", period_us,
					      "from a store to the sleeper; polled each so many us");

	if (!contest)
		return 0;
	add(contest, "l3l2q", &how);
	return contest_run(contest);
}

/* ---- what polling takes ----------------------------------------------------------------- */

#define COMPUTE_TURNS 1000

/* A queue's end that waits for a silent peer while both processors compute. */
struct scanned {
	unsigned int period_us;		/* 0: nobody waits */
	struct ends ends;
	int event;
};

static int scanned_open(struct contestant *c)
{
	struct l3l2q_attr attr = ends_small(ends_driver(), L3L2Q_SPIN_OFF);
	struct scanned *s = c->arg;
	struct l3l2q_set_polling polling = {
		.size = sizeof(polling),
		.peer_kind = L3L2Q_PEER_SILENT,
		.min_ns = s->period_us * 1000,
		.max_ns = s->period_us * 1000,
	};
	int ret;

	ret = ends_open(&s->ends, &attr);
	if (ret)
		return ret;
	s->event = eventfd(0, EFD_CLOEXEC);
	if (s->period_us)
		ret = l3l2q_ioctl(l3l2q_fd(s->ends.ep[1]), L3L2Q_IOC_SET_POLLING, &polling);
	return s->event < 0 ? -EMFILE : ret;
}

static void scanned_close(struct contestant *c)
{
	struct scanned *s = c->arg;

	ends_close(&s->ends);
	close(s->event);
}

static void compute(struct contestant *c, uint64_t n)
{
	volatile uint64_t x = 1;
	int i;

	(void)c;
	for (; n; n--) {
		for (i = 0; i < COMPUTE_TURNS; i++)
			x = x * 6364136223846793005ull + 1;
	}
}

static void compute_scanned(struct contestant *c, uint64_t n)
{
	struct scanned *s = c->arg;

	if (s->period_us && l3l2q_eventfd(s->ends.ep[1], L3L2Q_EVENTFD_IN, s->event))
		abort();
	compute(c, n);
	if (s->period_us && l3l2q_eventfd(s->ends.ep[1], L3L2Q_EVENTFD_IN, -1))
		abort();
}

static int scanner(void)
{
	static struct scanned scanned[] = {
		{ .period_us = 0 }, { .period_us = 20 }, { .period_us = 50 },
		{ .period_us = 100 }, { .period_us = 200 }, { .period_us = 500 },
		{ .period_us = 1000 },
	};
	static const char *const names[LENGTH(scanned)] = {
		"nothing to poll", "20 us", "50 us", "100 us", "200 us", "500 us", "1000 us",
	};
	struct contest *contest = contest_new("polling", 0, "computing while a silent peer is polled");
	struct contestant *c;
	unsigned int i;

	if (!contest)
		return 0;
	for (i = 0; i < LENGTH(scanned); i++) {
		c = contest_add(contest, names[i]);
		c->open = scanned_open;
		c->close = scanned_close;
		c->side[0] = compute;
		c->side[1] = compute_scanned;
		c->arg = &scanned[i];
	}
	return contest_run(contest);
}

int bench_silent(void)
{
	static const unsigned int periods_us[] = { 20, 50, 100, 200, 500, 1000 };
	unsigned int i;
	int ret = 0;

	if (no_driver())
		return 0;
	for (i = 0; i < LENGTH(periods_us) && !ret; i++)
		ret = silent(periods_us[i]);
	return ret ? ret : scanner();
}
