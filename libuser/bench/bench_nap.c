// SPDX-License-Identifier: MIT
/*
 * Waiting for a peer that only stores, over external memory: how long a request takes
 * whose answer is computed for a millisecond, and what the waiting side takes of a
 * processor meanwhile, beside a loop that looks every 50 us. Both with the timer slack
 * that a thread has by default.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "bench.h"

#define NSEC 1000000000ull
#define COMPUTE_NS 1000000ull
#define POLL_NS 50000
#define LONG_NS (10 * (int64_t)NSEC)
#define REQUESTS 400

struct waiting {
	const char *name;
	void (*receive)(struct waiting *w);
	uint64_t spin_ns;
	struct l3l2q_ep *ep[L3L2Q_ROLES];
	void *memory;
	size_t bytes;
	uint64_t took_ns[REQUESTS];
	uint64_t cpu_ns;
};

static uint64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}

static void blocking_receive(struct waiting *w)
{
	struct l3l2q_message m;

	if (l3l2q_dequeue(l3l2q_ep_consumer(w->ep[0]), &m, NULL, 0, LONG_NS))
		abort();
}

static void polling_receive(struct waiting *w)
{
	const struct timespec nap = { .tv_nsec = POLL_NS };
	struct l3l2q_message m;
	int ret;

	while ((ret = l3l2q_try_dequeue(l3l2q_ep_consumer(w->ep[0]), &m, NULL, 0)) == -EAGAIN)
		nanosleep(&nap, NULL);
	if (ret)
		abort();
}

static void requester(struct contestant *c, uint64_t n)
{
	struct waiting *w = c->arg;
	uint64_t i, start, cpu = thread_cpu_ns();

	for (i = 0; i < n; i++) {
		start = now_ns();
		if (l3l2q_try_enqueue(l3l2q_ep_producer(w->ep[0]), L3L2Q_OP_DATA, NULL, 0))
			abort();
		w->receive(w);
		w->took_ns[i] = now_ns() - start;
	}
	w->cpu_ns = thread_cpu_ns() - cpu;
}

/* Takes a request at once, and computes. */
static void answerer(struct contestant *c, uint64_t n)
{
	struct waiting *w = c->arg;
	struct l3l2q_message m;
	uint64_t done;
	int ret;

	for (; n; n--) {
		while ((ret = l3l2q_try_dequeue(l3l2q_ep_consumer(w->ep[1]), &m, NULL, 0)) == -EAGAIN)
			;
		for (done = now_ns() + COMPUTE_NS; !ret && now_ns() < done;)
			;
		if (ret || l3l2q_try_enqueue(l3l2q_ep_producer(w->ep[1]), L3L2Q_OP_DATA, NULL, 0))
			abort();
	}
}

static int open_both(struct waiting *w)
{
	struct l3l2q_attr attr = { .spin_ns = w->spin_ns };
	struct l3l2q_external ext = { .memory = L3L2Q_MEMORY_CACHED };
	struct l3l2q_layout l;
	int role, ret = 0;

	if (l3l2q_layout_make(4, 64, 64, &l))
		return -EINVAL;
	w->bytes = 4096 + l.payload_bytes;
	w->memory = mmap(NULL, w->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->memory == MAP_FAILED)
		return -errno;
	ext.counters = w->memory;
	ext.payload = (char *)w->memory + 4096;
	memcpy(ext.scalars, (const uint64_t[]){ L3L2Q_REGION_V2, 1, 0x2000, l.payload_bytes, 0x1000,
		l.counter_bytes, L3L2Q_QUEUE_VERSION, l.depth, l.input_arena_bytes,
		l.output_arena_bytes, l.payload_bytes, l.counter_bytes }, sizeof(ext.scalars));
	for (role = 0; role < L3L2Q_ROLES && !ret; role++) {
		ext.role = (uint32_t)role;
		ret = l3l2q_attach_external(&w->ep[role], &ext, &attr, NULL);
	}
	return ret;
}

static int by_time(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void measure(struct waiting *w)
{
	struct contestant c = { .side = { requester, answerer }, .arg = w };
	uint64_t n = options.quick ? 8 : REQUESTS, took = pair_run(&c, n);
	char name[64];

	qsort(w->took_ns, n, sizeof(w->took_ns[0]), by_time);
	snprintf(name, sizeof(name), "nap/1 ms/%s", w->name);
	metric_add(name, (double)w->took_ns[n / 2] / 1e6, "ms, median");
	snprintf(name, sizeof(name), "nap/cpu/%s", w->name);
	metric_add(name, 100.0 * (double)w->cpu_ns / (double)took, "% of a processor");
}

int bench_nap(void)
{
	struct waiting waiting[] = {
		{ .name = "l3l2q", .receive = blocking_receive },
		{ .name = "l3l2q, not spinning", .receive = blocking_receive,
		  .spin_ns = L3L2Q_SPIN_OFF },
		{ .name = "polling each 50 us", .receive = polling_receive },
	};
	unsigned int i;
	int ret;

	if (options.only && strncmp("nap", options.only, strlen(options.only)))
		return 0;
	for (i = 0; i < LENGTH(waiting); i++) {
		ret = open_both(&waiting[i]);
		if (ret)
			return fail("external memory: %s", strerror(-ret));
		measure(&waiting[i]);
		l3l2q_close(waiting[i].ep[0]);
		l3l2q_close(waiting[i].ep[1]);
		munmap(waiting[i].memory, waiting[i].bytes);
	}
	return 0;
}
