// SPDX-License-Identifier: MIT
/*
 * What insn.pl counts: hot paths under callgrind, one after the other, both ends in one
 * thread. With INSN_CORE it is the freestanding core, else the library.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef INSN_CORE
#define L3L2Q_NO_INLINE /* no library is linked */
#endif
#include <l3l2q.h>
#ifdef INSN_CORE
#include <l3l2q/core.h>
#endif
#include <valgrind/callgrind.h>

#define DEPTH 1024
#define MESSAGES 1024
#define BATCH 32
#define SIZE 64
#define ARENA (DEPTH * SIZE)
#define CYCLES 4
/* so that what is counted is what a program has where it calls */
#define INLINE static inline __attribute__((always_inline))
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct l3l2q_message held[MESSAGES];
static unsigned char body[SIZE], taken[SIZE];
/* so that nothing is made for this size */
static volatile size_t size = SIZE;

/* ---- both ends --------------------------------------------------------- */

#ifdef INSN_CORE

static unsigned char counters[L3L2Q_COUNTER_BYTES] L3L2Q_ALIGNED;
static unsigned char payload[2 * DEPTH * sizeof(struct l3l2q_desc) + 2 * ARENA] L3L2Q_ALIGNED;
static unsigned char books[2][4 * DEPTH * sizeof(struct l3l2q_held)] L3L2Q_ALIGNED;

static struct {
	struct l3l2q_core core[2];
	struct l3l2q_producer producer;
	struct l3l2q_consumer consumer;
} ends;

static struct l3l2q_producer *const sender = &ends.producer;
static struct l3l2q_consumer *const receiver = &ends.consumer;

static int open_ends(uint32_t window)
{
	struct l3l2q_region_desc region = {
		.magic_version = L3L2Q_REGION_DEFAULT,
		.region_id = 1,
		.payload_base = (uintptr_t)payload,
		.payload_bytes = sizeof(payload),
		.counter_base = (uintptr_t)counters,
		.counter_bytes = sizeof(counters),
	};
	struct l3l2q_queue_desc queue = {
		.magic_version = L3L2Q_QUEUE_VERSION,
		.depth = DEPTH,
		.input_arena_bytes = ARENA,
		.output_arena_bytes = ARENA,
		.payload_bytes = sizeof(payload),
		.counter_bytes = sizeof(counters),
	};
	int ret;

	memset(counters, 0, sizeof(counters));
	if (l3l2q_producer_memory(DEPTH) > sizeof(books[0]) ||
	    l3l2q_consumer_memory(window) > sizeof(books[1]))
		return -ENOMEM;
	ret = l3l2q_core_init(&ends.core[0], L3L2Q_ROLE_L3, &region, &queue, payload, counters);
	if (!ret)
		ret = l3l2q_core_init(&ends.core[1], L3L2Q_ROLE_L2, &region, &queue, payload,
				      counters);
	if (ret)
		return ret;
	l3l2q_core_producer_init(sender, &ends.core[0], books[0]);
	return l3l2q_core_consumer_init(receiver, &ends.core[1], window, books[1]);
}

static void close_ends(void)
{
}

INLINE int try_enqueue(struct l3l2q_producer *p, const void *from, size_t n)
{
	return l3l2q_core_try_enqueue(p, L3L2Q_OP_DATA, l3l2q_core_copy, from, n);
}

INLINE int try_reserve(struct l3l2q_producer *p, size_t n, struct l3l2q_reservation *span)
{
	return l3l2q_core_try_reserve(p, n, span);
}

INLINE int commit(struct l3l2q_producer *p, const struct l3l2q_reservation *span)
{
	return l3l2q_core_commit(p, span, L3L2Q_OP_DATA);
}

INLINE void batch_begin(struct l3l2q_producer *p)
{
	p->batching = 1;
}

INLINE void batch_publish(struct l3l2q_producer *p)
{
	p->batching = 0;
	l3l2q_core_publish(p);
}

INLINE int try_peek(struct l3l2q_consumer *c, struct l3l2q_message *m)
{
	return l3l2q_core_try_peek(c, m);
}

INLINE int release(struct l3l2q_consumer *c, const struct l3l2q_message *m)
{
	return l3l2q_core_release(c, m);
}

INLINE int try_dequeue(struct l3l2q_consumer *c, struct l3l2q_message *m, void *to, size_t n)
{
	return l3l2q_core_try_dequeue(c, m, to, n);
}

INLINE int peek_batch(struct l3l2q_consumer *c, struct l3l2q_message *m, int max)
{
	return l3l2q_core_peek_batch(c, m, max);
}

INLINE int release_batch(struct l3l2q_consumer *c, const struct l3l2q_message *m, int n)
{
	return l3l2q_core_release_batch(c, m, n);
}

INLINE int enqueue_run(struct l3l2q_producer *p, const struct l3l2q_body *bodies, int n)
{
	return l3l2q_core_try_enqueue_run(p, L3L2Q_OP_DATA, bodies, n);
}

INLINE int reserve_run(struct l3l2q_producer *p, size_t nbytes, int n, struct l3l2q_reservation *span)
{
	return l3l2q_core_try_reserve_run(p, nbytes, n, span);
}

INLINE int commit_run(struct l3l2q_producer *p, const struct l3l2q_reservation *span, int n)
{
	return l3l2q_core_commit_run(p, span, L3L2Q_OP_DATA, n);
}

INLINE int peek_run(struct l3l2q_consumer *c, const struct l3l2q_message **run, int max)
{
	return l3l2q_core_try_peek_run(c, run, max);
}

INLINE int release_upto(struct l3l2q_consumer *c, const struct l3l2q_message *m)
{
	return l3l2q_core_release_upto(c, m);
}

#else

static struct l3l2q_ep *ends[2];
static struct l3l2q_producer *sender;
static struct l3l2q_consumer *receiver;

static int open_ends(uint32_t window)
{
	struct l3l2q_attr attr = {
		.transport = "memfd",
		.role = L3L2Q_ROLE_L3,
		.depth = DEPTH,
		.input_arena_bytes = ARENA,
		.output_arena_bytes = ARENA,
		.window = window,
	};
	int ret = l3l2q_create(&ends[0], &attr, NULL);

	if (ret)
		return ret;
	ret = l3l2q_open_peer(ends[0]);
	if (ret >= 0)
		ret = l3l2q_attach(&ends[1], ret, &attr, NULL);
	if (ret)
		return ret;
	sender = l3l2q_ep_producer(ends[0]);
	receiver = l3l2q_ep_consumer(ends[1]);
	return 0;
}

static void close_ends(void)
{
	l3l2q_close(ends[1]);
	l3l2q_close(ends[0]);
}

INLINE int try_enqueue(struct l3l2q_producer *p, const void *from, size_t n)
{
	return l3l2q_try_enqueue(p, L3L2Q_OP_DATA, from, n);
}

INLINE int try_reserve(struct l3l2q_producer *p, size_t n, struct l3l2q_reservation *span)
{
	return l3l2q_try_reserve(p, n, span);
}

INLINE int commit(struct l3l2q_producer *p, const struct l3l2q_reservation *span)
{
	return l3l2q_commit(p, span, L3L2Q_OP_DATA);
}

INLINE void batch_begin(struct l3l2q_producer *p)
{
	l3l2q_batch_begin(p);
}

INLINE void batch_publish(struct l3l2q_producer *p)
{
	l3l2q_batch_publish(p);
}

INLINE int try_peek(struct l3l2q_consumer *c, struct l3l2q_message *m)
{
	return l3l2q_try_peek(c, m);
}

INLINE int release(struct l3l2q_consumer *c, const struct l3l2q_message *m)
{
	return l3l2q_release(c, m);
}

INLINE int try_dequeue(struct l3l2q_consumer *c, struct l3l2q_message *m, void *to, size_t n)
{
	return l3l2q_try_dequeue(c, m, to, n);
}

INLINE int peek_batch(struct l3l2q_consumer *c, struct l3l2q_message *m, int max)
{
	return l3l2q_try_peek_batch(c, m, max);
}

INLINE int release_batch(struct l3l2q_consumer *c, const struct l3l2q_message *m, int n)
{
	return l3l2q_release_batch(c, m, n);
}

INLINE int enqueue_run(struct l3l2q_producer *p, const struct l3l2q_body *bodies, int n)
{
	return l3l2q_try_enqueue_run(p, L3L2Q_OP_DATA, bodies, n);
}

INLINE int reserve_run(struct l3l2q_producer *p, size_t nbytes, int n, struct l3l2q_reservation *span)
{
	return l3l2q_try_reserve_run(p, nbytes, n, span);
}

INLINE int commit_run(struct l3l2q_producer *p, const struct l3l2q_reservation *span, int n)
{
	return l3l2q_commit_run(p, span, L3L2Q_OP_DATA, n);
}

INLINE int peek_run(struct l3l2q_consumer *c, const struct l3l2q_message **run, int max)
{
	return l3l2q_try_peek_run(c, run, max);
}

INLINE int release_upto(struct l3l2q_consumer *c, const struct l3l2q_message *m)
{
	return l3l2q_release_upto(c, m);
}

#endif

INLINE void check(int ok)
{
	if (!ok)
		abort();
}

/* ---- what is counted, and what has to happen around it ----------------- */

static void copy_none(void)
{
	struct l3l2q_producer *p = sender;
	struct l3l2q_consumer *c = receiver;
	size_t n = size;
	struct l3l2q_message m;
	int i;

	for (i = 0; i < MESSAGES; i++) {
		check(!try_enqueue(p, NULL, 0));
		check(!try_dequeue(c, &m, taken, n));
	}
}

static void copy(void)
{
	struct l3l2q_producer *p = sender;
	struct l3l2q_consumer *c = receiver;
	size_t n = size;
	struct l3l2q_message m;
	int i;

	for (i = 0; i < MESSAGES; i++) {
		check(!try_enqueue(p, body, n));
		check(!try_dequeue(c, &m, taken, n));
	}
}

static void in_place(void)
{
	struct l3l2q_producer *p = sender;
	struct l3l2q_consumer *c = receiver;
	size_t n = size;
	struct l3l2q_reservation span;
	struct l3l2q_message m;
	int i;

	for (i = 0; i < MESSAGES; i++) {
		check(!try_reserve(p, n, &span));
		check(!commit(p, &span));
		check(!try_peek(c, &m));
		check(!release(c, &m));
	}
}

static void dequeue_empty(void)
{
	struct l3l2q_consumer *c = receiver;
	size_t n = size;
	struct l3l2q_message m;
	int i;

	for (i = 0; i < MESSAGES; i++)
		check(try_dequeue(c, &m, taken, n) == -EAGAIN);
}

static void peek_empty(void)
{
	struct l3l2q_consumer *c = receiver;
	struct l3l2q_message m;
	int i;

	for (i = 0; i < MESSAGES; i++)
		check(try_peek(c, &m) == -EAGAIN);
}

static void enqueue_full(void)
{
	struct l3l2q_producer *p = sender;
	size_t n = size;
	int i;

	for (i = 0; i < MESSAGES; i++)
		check(try_enqueue(p, body, n) == -EAGAIN);
}

static void enqueue_batches(void)
{
	struct l3l2q_producer *p = sender;
	size_t n = size;
	int i, k;

	for (i = 0; i < MESSAGES; i += BATCH) {
		batch_begin(p);
		for (k = 0; k < BATCH; k++)
			check(!try_enqueue(p, body, n));
		batch_publish(p);
	}
}

static void reserve_batches(void)
{
	struct l3l2q_producer *p = sender;
	size_t n = size;
	struct l3l2q_reservation span;
	int i, k;

	for (i = 0; i < MESSAGES; i += BATCH) {
		batch_begin(p);
		for (k = 0; k < BATCH; k++) {
			check(!try_reserve(p, n, &span));
			check(!commit(p, &span));
		}
		batch_publish(p);
	}
}

static void enqueue_all(void)
{
	struct l3l2q_producer *p = sender;
	size_t n = size;
	int i;

	for (i = 0; i < MESSAGES; i++)
		check(!try_enqueue(p, body, n));
}

static void enqueue_runs(void)
{
	struct l3l2q_producer *p = sender;
	struct l3l2q_body bodies[BATCH];
	int i;

	for (i = 0; i < BATCH; i++)
		bodies[i] = (struct l3l2q_body){ body, size };
	for (i = 0; i < MESSAGES; i += BATCH)
		check(enqueue_run(p, bodies, BATCH) == BATCH);
}

static void reserve_runs(void)
{
	struct l3l2q_producer *p = sender;
	size_t n = size;
	struct l3l2q_reservation span;
	int i;

	for (i = 0; i < MESSAGES; i += BATCH) {
		check(reserve_run(p, n, BATCH, &span) == BATCH);
		check(!commit_run(p, &span, BATCH));
	}
}

static void take_runs(void)
{
	struct l3l2q_consumer *c = receiver;
	const struct l3l2q_message *run;
	int i;

	for (i = 0; i < MESSAGES; i += BATCH) {
		check(peek_run(c, &run, BATCH) == BATCH);
		check(!release_upto(c, &run[BATCH - 1]));
	}
}

static void dequeue_all(void)
{
	struct l3l2q_consumer *c = receiver;
	size_t n = size;
	struct l3l2q_message m;
	int i;

	for (i = 0; i < MESSAGES; i++)
		check(!try_dequeue(c, &m, taken, n));
}

static void peek_batches(void)
{
	struct l3l2q_consumer *c = receiver;
	int i;

	for (i = 0; i < MESSAGES; i += BATCH)
		check(peek_batch(c, held + i, BATCH) == BATCH);
}

static void release_batches(void)
{
	struct l3l2q_consumer *c = receiver;
	int i;

	for (i = 0; i < MESSAGES; i += BATCH)
		check(!release_batch(c, held + i, BATCH));
}

/* As large as the arena: what follows fits into the ring alone. */
static void fill_arena(void)
{
	struct l3l2q_producer *p = sender;
	struct l3l2q_reservation span;

	check(!try_reserve(p, ARENA, &span));
	check(!commit(p, &span));
}

static void empty_arena(void)
{
	struct l3l2q_consumer *c = receiver;
	struct l3l2q_message m;

	check(!try_peek(c, &m));
	check(!release(c, &m));
}

static void enqueue_and_peek(void)
{
	enqueue_batches();
	peek_batches();
}

static const struct row {
	const char *name;
	uint32_t window;
	void (*before)(void);
	void (*counted)(void);
	void (*after)(void);
} rows[] = {
	{ "enqueue, 64 B", 1, NULL, enqueue_all, dequeue_all },
	{ "dequeue, 64 B", 1, enqueue_all, dequeue_all, NULL },
	{ "enqueue + dequeue, 0 B", 1, NULL, copy_none, NULL },
	{ "enqueue + dequeue, 64 B", 1, NULL, copy, NULL },
	{ "reserve + commit + peek + release", 1, NULL, in_place, NULL },
	{ "try dequeue, empty", 1, NULL, dequeue_empty, NULL },
	{ "try peek, empty", 1, NULL, peek_empty, NULL },
	{ "try enqueue, ring full", 1, enqueue_batches, enqueue_full, dequeue_all },
	{ "try enqueue, arena full", 1, fill_arena, enqueue_full, empty_arena },
	{ "batch of 32: enqueue", 1, NULL, enqueue_batches, dequeue_all },
	{ "batch of 32: dequeue", 1, enqueue_batches, dequeue_all, NULL },
	{ "batch of 32: reserve + commit", 1, NULL, reserve_batches, dequeue_all },
	{ "batch of 32: peek_batch", MESSAGES, enqueue_batches, peek_batches, release_batches },
	{ "batch of 32: release_batch", MESSAGES, enqueue_and_peek, release_batches, NULL },
	{ "run of 32: enqueue", 1, NULL, enqueue_runs, dequeue_all },
	{ "run of 32: reserve + commit", 1, NULL, reserve_runs, dequeue_all },
	{ "run of 32: peek + release", 2 * BATCH, enqueue_batches, take_runs, NULL },
};

int main(void)
{
	const struct row *row;
	int cycle;

	for (row = rows; row < rows + LENGTH(rows); row++) {
		check(!open_ends(row->window));
		for (cycle = 0; cycle < CYCLES; cycle++) {
			if (row->before)
				row->before();
			CALLGRIND_TOGGLE_COLLECT;
			row->counted();
			CALLGRIND_TOGGLE_COLLECT;
			if (row->after)
				row->after();
		}
		CALLGRIND_DUMP_STATS_AT(row->name);
		close_ends();
		printf("%d\t%s\n", CYCLES * MESSAGES, row->name);
	}
	return 0;
}
