// SPDX-License-Identifier: MIT
/*
 * Memory that is reached by copy calls: how many calls are made and in which order, what is
 * read ahead, and calls that fail.
 */
#include "proto_transport.h"

#define LONG_NS (60 * 1000000000ll)
#define MAX_LOG 256
#define BATCH 32

enum { L3 = L3L2Q_ROLE_L3, L2 = L3L2Q_ROLE_L2 };

struct call {
	bool write;
	uint32_t range;
	uint64_t offset, n;
	const void *buffer;
};

/* One side's way to the memory. */
struct way {
	unsigned char *range[2];
	uint64_t bytes[2];
	uint64_t calls;
	uint64_t fail_at;		/* this call fails, from 1 */
	int fails_with;
	uint64_t after;			/* calls after that */
	struct call log[MAX_LOG];
	/* run while all counters are read: after the tails, before the abort flags */
	void (*between)(void *arg);
	void *arg;
};

static int count(struct way *w, bool write, uint32_t range, uint64_t offset, const void *buffer,
		 size_t n)
{
	if (range > 1 || !n || offset > w->bytes[range] || n > w->bytes[range] - offset)
		abort();
	if (w->calls < MAX_LOG)
		w->log[w->calls] = (struct call){ write, range, offset, n, buffer };
	w->calls++;
	w->after += w->fail_at && w->calls > w->fail_at;
	return w->calls == w->fail_at ? w->fails_with : 0;
}

static int way_read(void *ctx, uint32_t range, uint64_t offset, void *to, size_t n)
{
	struct way *w = ctx;
	int ret = count(w, false, range, offset, to, n);
	size_t half = n;

	if (ret)
		return ret;
	if (range == L3L2Q_RANGE_COUNTERS && n > L3L2Q_CTR_OUTPUT_HEAD)
		half = L3L2Q_CTR_OUTPUT_HEAD;
	memcpy(to, w->range[range] + offset, half);
	if (half != n && w->between) {
		w->between(w->arg);
		w->between = NULL;
	}
	memcpy((char *)to + half, w->range[range] + offset + half, n - half);
	return 0;
}

static int way_write(void *ctx, uint32_t range, uint64_t offset, const void *from, size_t n)
{
	struct way *w = ctx;
	int ret = count(w, true, range, offset, from, n);

	if (!ret)
		memcpy(w->range[range] + offset, from, n);
	return ret;
}

struct two {
	struct l3l2q_layout l;
	struct l3l2q_external ext;
	struct l3l2q_ep *ep[L3L2Q_ROLES];
	struct way way[L3L2Q_ROLES];
	struct l3l2q_attr attr;
	unsigned char *memory;
};

/* The memory and a description of it; depth, arenas and window as in @t->attr. */
static bool two_describe(struct two *t, uint64_t buffer_bytes, bool spsq)
{
	const __u64 identity[2] = { SPSQ_SESSION, SPSQ_TRANSACTION };
	struct l3l2q_region_desc region;
	__u64 scalars[L3L2Q_SCALARS];
	struct l3l2q_queue_desc queue;
	unsigned int i;

	if (l3l2q_layout_make(t->attr.depth, t->attr.input_arena_bytes,
			      t->attr.output_arena_bytes, &t->l))
		return false;
	t->memory = calloc(1, t->l.payload_bytes + L3L2Q_COUNTER_BYTES);
	scalars_make(&region, &queue, &t->l);
	t->ext.scalar_count = l3l2q_binding_scalars(spsq, identity, &region, &queue, scalars);
	for (i = 0; i < L3L2Q_SCALARS; i++)
		t->ext.scalars[i] = scalars[i];
	t->ext.memory = L3L2Q_MEMORY_COPIED;
	t->ext.read = way_read;
	t->ext.write = way_write;
	t->ext.buffer_bytes = buffer_bytes;
	for (i = 0; i < L3L2Q_ROLES; i++) {
		t->way[i].range[L3L2Q_RANGE_PAYLOAD] = t->memory;
		t->way[i].range[L3L2Q_RANGE_COUNTERS] = t->memory + t->l.payload_bytes;
		t->way[i].bytes[L3L2Q_RANGE_PAYLOAD] = t->l.payload_bytes;
		t->way[i].bytes[L3L2Q_RANGE_COUNTERS] = L3L2Q_COUNTER_BYTES;
	}
	return true;
}

static int two_attach(struct two *t, int role)
{
	t->ext.role = (uint32_t)role;
	t->ext.ctx = &t->way[role];
	return l3l2q_attach_external(&t->ep[role], &t->ext, &t->attr, NULL);
}

static bool two_make(struct two *t, uint32_t depth, uint64_t arena, uint32_t window,
		     uint64_t buffer_bytes, bool spsq)
{
	memset(t, 0, sizeof(*t));
	t->attr = (struct l3l2q_attr){ .depth = depth, .input_arena_bytes = arena,
		.output_arena_bytes = arena, .window = window, .spin_ns = L3L2Q_SPIN_OFF };
	return two_describe(t, buffer_bytes, spsq) && !two_attach(t, L3) && !two_attach(t, L2);
}

static void two_free(struct two *t)
{
	l3l2q_close(t->ep[L3]);
	l3l2q_close(t->ep[L2]);
	free(t->memory);
}

/* Calls of a side since the last time. */
static uint64_t calls_of(struct way *w)
{
	uint64_t calls = w->calls;

	w->calls = 0;
	return calls;
}

static bool was(const struct way *w, int i, bool write, uint32_t range, uint64_t offset, uint64_t n)
{
	const struct call *c = &w->log[i];

	return c->write == write && c->range == range && c->offset == offset && c->n == n;
}

/* ---- how many, and in which order ------------------------------------------ */

FIXTURE(calls) {
	struct two t;
	struct l3l2q_producer *p;
	struct l3l2q_consumer *c;
	struct way *tx, *rx;
	uint64_t ring, arena, tail, head;
};

FIXTURE_VARIANT(calls) {
	int sender;
	bool spsq;
};

FIXTURE_VARIANT_ADD(calls, input) { L3, false };
FIXTURE_VARIANT_ADD(calls, output) { L2, false };
FIXTURE_VARIANT_ADD(calls, input_spsq) { L3, true };
FIXTURE_VARIANT_ADD(calls, output_spsq) { L2, true };

FIXTURE_SETUP(calls)
{
	int from = variant->sender, to = !from;

	ASSERT_TRUE(two_make(&self->t, 64, 65536, BATCH, 0, variant->spsq));
	self->p = l3l2q_ep_producer(self->t.ep[from]);
	self->c = l3l2q_ep_consumer(self->t.ep[to]);
	self->tx = &self->t.way[from];
	self->rx = &self->t.way[to];
	self->ring = from == L3 ? self->t.l.input_desc_offset : self->t.l.output_desc_offset;
	self->arena = from == L3 ? self->t.l.input_arena_offset : self->t.l.output_arena_offset;
	self->tail = l3l2q_ctr_tail((enum l3l2q_role)from);
	self->head = l3l2q_ctr_head((enum l3l2q_role)from);
	/* Attaching looks once whether the end was used. */
	EXPECT_EQ(1, calls_of(self->tx));
	EXPECT_EQ(1, calls_of(self->rx));
}

FIXTURE_TEARDOWN(calls)
{
	two_free(&self->t);
}

/* The calls of a message of 64 bytes, number @i from 0. */
static bool sent_as_one(const FIXTURE_DATA(calls) *self, uint64_t i)
{
	return was(self->tx, 0, true, L3L2Q_RANGE_PAYLOAD, self->arena + i * 64, 64) &&
	       was(self->tx, 1, true, L3L2Q_RANGE_PAYLOAD, self->ring + i * 32, 32) &&
	       was(self->tx, 2, true, L3L2Q_RANGE_COUNTERS, self->tail, 4);
}

static bool taken_as_one(const FIXTURE_DATA(calls) *self, uint64_t i)
{
	return was(self->rx, 0, false, L3L2Q_RANGE_COUNTERS, 0, L3L2Q_COUNTER_BYTES) &&
	       was(self->rx, 1, false, L3L2Q_RANGE_PAYLOAD, self->ring + i * 32, 32) &&
	       was(self->rx, 2, false, L3L2Q_RANGE_PAYLOAD, self->arena + i * 64, 64) &&
	       was(self->rx, 3, true, L3L2Q_RANGE_COUNTERS, self->head, 4);
}

TEST_F(calls, a_message_is_sent_in_three_and_taken_in_four)
{
	unsigned char body[64], got[64];
	struct l3l2q_message m;
	struct iovec iov[2] = { { body, 10 }, { body + 10, 54 } };

	body_fill(body, 64, 1);
	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, body, 64));
	EXPECT_TRUE(sent_as_one(self, 0));
	EXPECT_EQ(3, calls_of(self->tx));
	ASSERT_EQ(0, l3l2q_dequeue(self->c, &m, got, 64, LONG_NS));
	EXPECT_TRUE(taken_as_one(self, 0));
	EXPECT_EQ(4, calls_of(self->rx));
	EXPECT_TRUE(body_is(got, 64, 1));

	/* the same gathered, and taken by a handle */
	ASSERT_EQ(0, l3l2q_try_enqueuev(self->p, L3L2Q_OP_DATA, iov, 2));
	EXPECT_TRUE(sent_as_one(self, 1));
	EXPECT_EQ(3, calls_of(self->tx));
	ASSERT_EQ(0, l3l2q_try_peek(self->c, &m));
	EXPECT_EQ(NULL, m.data);
	ASSERT_EQ(0, l3l2q_read_into(self->c, &m, got, 64));
	EXPECT_TRUE(body_is(got, 64, 1));
	ASSERT_EQ(0, l3l2q_release(self->c, &m));
	EXPECT_TRUE(taken_as_one(self, 1));
	EXPECT_EQ(4, calls_of(self->rx));

	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, NULL, 0));
	EXPECT_EQ(2, calls_of(self->tx));
	ASSERT_EQ(0, l3l2q_try_dequeue(self->c, &m, NULL, 0));
	EXPECT_EQ(3, calls_of(self->rx));
	EXPECT_EQ(-EAGAIN, l3l2q_try_dequeue(self->c, &m, NULL, 0));
	EXPECT_EQ(1, calls_of(self->rx));
}

TEST_F(calls, a_batch_is_sent_in_three_and_taken_in_four)
{
	struct l3l2q_message m[BATCH + 1];
	unsigned char body[64];
	int i, round;

	for (round = 0; round < 2; round++) {
		ASSERT_EQ(0, l3l2q_batch_begin(self->p));
		for (i = 0; i < BATCH; i++) {
			body_fill(body, 64, (uint64_t)i);
			ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, body, 64));
		}
		EXPECT_EQ(0, self->tx->calls);
		ASSERT_EQ(0, l3l2q_batch_publish(self->p));
		EXPECT_EQ(64 * BATCH, self->tx->log[0].n);
		EXPECT_EQ(32 * BATCH, self->tx->log[1].n);
		EXPECT_EQ(3, calls_of(self->tx));

		ASSERT_EQ(BATCH, l3l2q_peek_batch(self->c, m, BATCH, LONG_NS));
		for (i = 0; i < BATCH; i++) {
			ASSERT_EQ(0, l3l2q_read_into(self->c, &m[i], body, 64));
			EXPECT_TRUE(body_is(body, 64, (uint64_t)i));
		}
		ASSERT_EQ(0, l3l2q_release_batch(self->c, m, BATCH));
		EXPECT_EQ(64 * BATCH, self->rx->log[2].n);
		EXPECT_EQ(4, calls_of(self->rx));
	}
	/* fewer than asked for: no second look */
	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, body, 64));
	ASSERT_EQ(1, l3l2q_try_peek_batch(self->c, m, BATCH));
	EXPECT_EQ(2, calls_of(self->rx));
}

/* Where rings and arena wrap: two calls instead of one. */
TEST_F(calls, batches_across_the_wraps)
{
	uint64_t i, first, most = 0, size = 1500, got = 0;
	struct l3l2q_message m[BATCH];
	unsigned char body[1500];
	int n;

	for (first = 0; first < 40 * 21; first += 21) {
		ASSERT_EQ(0, l3l2q_batch_begin(self->p));
		for (i = 0; i < 21; i++) {
			body_fill(body, size, first + i);
			ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, body, size));
		}
		ASSERT_EQ(0, l3l2q_batch_publish(self->p));
		n = l3l2q_try_peek_batch(self->c, m, BATCH);
		ASSERT_EQ(21, n);
		for (i = 0; i < 21; i++) {
			ASSERT_EQ(0, l3l2q_read_into(self->c, &m[i], body, size));
			ASSERT_TRUE(body_is(body, size, got++));
		}
		ASSERT_EQ(0, l3l2q_release_batch(self->c, m, n));
		most = self->tx->calls > most ? self->tx->calls : most;
		EXPECT_LE(calls_of(self->tx), 6); /* bodies and descriptors in two, the head */
		EXPECT_LE(calls_of(self->rx), 6);
	}
	EXPECT_LT(3, most);
}

/* A send reads only if it knows of no room. */
TEST_F(calls, nothing_is_read_while_there_is_room)
{
	static const unsigned char large[65500];
	struct l3l2q_message m;
	uint64_t i;

	for (i = 0; i < 64; i++)
		ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "x", 1));
	EXPECT_EQ(3 * 64, calls_of(self->tx));
	EXPECT_EQ(-EAGAIN, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "x", 1));
	EXPECT_TRUE(was(self->tx, 0, false, L3L2Q_RANGE_COUNTERS, self->head, 4));
	EXPECT_EQ(1, calls_of(self->tx));
	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, l3l2q_try_dequeue(self->c, &m, (char[1]){ 0 }, 1));
	/* All were announced by the first look, and read by one call. */
	EXPECT_EQ(3 + 10, calls_of(self->rx));
	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "x", 1));
	EXPECT_EQ(3 * 10 + 1, calls_of(self->tx));
	EXPECT_EQ(-EAGAIN, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "x", 1));
	EXPECT_EQ(0, l3l2q_room(self->p));
	EXPECT_EQ(2, calls_of(self->tx));
	/* a slot is free again, and not enough of the arena: one read tells both */
	ASSERT_EQ(0, l3l2q_try_dequeue(self->c, &m, (char[1]){ 0 }, 1));
	EXPECT_EQ(-EAGAIN, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, large, 65500));
	EXPECT_EQ(1, calls_of(self->tx));
}

static uint64_t naps_of(struct l3l2q_ep *ep)
{
	struct l3l2q_ep_stats stats;

	l3l2q_ep_stats(ep, &stats);
	return stats.syscalls;
}

/* One look of a wait is one call, whatever it waits for. */
TEST_F(calls, a_look_is_one_call)
{
	struct l3l2q_ep *ep = self->t.ep[!variant->sender];
	struct l3l2q_message m;
	int32_t observed;
	uint64_t naps;

	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(ep, L3L2Q_EVENT_IN, 0));
	EXPECT_EQ(1, calls_of(self->rx));
	EXPECT_EQ(L3L2Q_EVENT_OUT, l3l2q_wait(ep, L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT, LONG_NS));
	EXPECT_EQ(1, calls_of(self->rx));
	naps = naps_of(ep);
	EXPECT_EQ(-ETIMEDOUT, l3l2q_dequeue(self->c, &m, NULL, 0, 2000000));
	naps = naps_of(ep) - naps;
	/* the try, looks, one after the last nap or two if time ends between, and the flag */
	EXPECT_LE(calls_of(self->rx), naps + 4);
	naps = naps_of(ep);
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait_counter(ep, (uint32_t)self->tail, L3L2Q_CMP_GE, 1,
						 2000000, &observed));
	naps = naps_of(ep) - naps;
	EXPECT_LE(calls_of(self->rx), naps + 5);
	EXPECT_EQ(0, l3l2q_pending(self->c));
	EXPECT_EQ(1, calls_of(self->rx));
}

static void publish_one(void *arg)
{
	if (l3l2q_try_enqueue(l3l2q_ep_producer(arg), L3L2Q_OP_DATA, "late", 4))
		abort();
}

/* The look that ends a wait is not repeated. */
TEST_F(calls, a_wait_costs_its_looks_only)
{
	struct l3l2q_message m;
	char got[4];
	int i;

	for (i = 0; i < 3; i++) {
		/* by the first look of the call, after the tail was read */
		self->rx->between = publish_one;
		self->rx->arg = self->t.ep[variant->sender];
		ASSERT_EQ(0, l3l2q_dequeue(self->c, &m, got, 4, LONG_NS));
		EXPECT_EQ(0, memcmp(got, "late", 4));
		EXPECT_TRUE(was(self->rx, 1, false, L3L2Q_RANGE_COUNTERS, 0, L3L2Q_COUNTER_BYTES));
		EXPECT_EQ(5, calls_of(self->rx));
	}
	EXPECT_EQ(-EAGAIN, l3l2q_try_dequeue(self->c, &m, got, 4));
	EXPECT_EQ(1, calls_of(self->rx));
}

/* Bodies as large as the buffer are copied from and to the caller's memory. */
TEST_F(calls, large_bodies_are_not_copied_twice)
{
	unsigned char *body = malloc(65536), *got = malloc(65536);
	struct l3l2q_message m;

	body_fill(body, 65536, 7);
	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, body, 65536));
	EXPECT_EQ(body, self->tx->log[0].buffer);
	EXPECT_EQ(3, calls_of(self->tx));
	ASSERT_EQ(0, l3l2q_try_dequeue(self->c, &m, got, 65536));
	EXPECT_EQ(got, self->rx->log[2].buffer);
	EXPECT_EQ(4, calls_of(self->rx));
	EXPECT_TRUE(body_is(got, 65536, 7));
	free(body);
	free(got);
}

TEST_F(calls, no_view)
{
	struct l3l2q_reservation span;
	struct l3l2q_ep_info info;
	uint64_t scalars[L3L2Q_SCALARS] = { 0 };

	EXPECT_EQ(-EOPNOTSUPP, l3l2q_try_reserve(self->p, 8, &span));
	EXPECT_EQ(-EOPNOTSUPP, l3l2q_reserve(self->p, 8, &span, LONG_NS));
	EXPECT_EQ(0, self->tx->calls);
	EXPECT_EQ(0, l3l2q_ep_info(self->t.ep[L3], &info));
	EXPECT_EQ(NULL, info.payload);
	EXPECT_EQ(NULL, info.counters);
	EXPECT_EQ(L3L2Q_MEMORY_COPIED, info.memory);
	EXPECT_STREQ("calls", info.copy_path);
	EXPECT_EQ((int)self->t.ext.scalar_count, l3l2q_ep_scalars(self->t.ep[L3], scalars));
	EXPECT_EQ(0, memcmp(scalars, self->t.ext.scalars, 8 * self->t.ext.scalar_count));
	EXPECT_EQ(-EOPNOTSUPP, l3l2q_fd(self->t.ep[L3]));
	EXPECT_EQ(-EOPNOTSUPP, l3l2q_eventfd(self->t.ep[L3], L3L2Q_EVENTFD_IN, 0));
}

/* Accesses by offset are plain, in the middle of a batch too. */
TEST_F(calls, payload_and_counters)
{
	struct l3l2q_ep *ep = self->t.ep[variant->sender];
	struct l3l2q_message m;
	int32_t observed;
	char got[8];

	ASSERT_EQ(0, l3l2q_batch_begin(self->p));
	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "first", 5));
	ASSERT_EQ(0, l3l2q_payload_write(ep, self->arena + 1000, "aside", 5));
	EXPECT_TRUE(was(self->tx, 0, true, L3L2Q_RANGE_PAYLOAD, self->arena + 1000, 5));
	ASSERT_EQ(0, l3l2q_payload_read(ep, self->arena + 1000, got, 5));
	EXPECT_EQ(0, memcmp(got, "aside", 5));
	EXPECT_EQ(0, l3l2q_test(ep, (uint32_t)self->head, L3L2Q_CMP_GE, 1, &observed));
	EXPECT_EQ(3, calls_of(self->tx));
	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "second", 6));
	ASSERT_EQ(0, l3l2q_batch_publish(self->p));
	EXPECT_EQ(3, calls_of(self->tx));
	EXPECT_EQ(1, l3l2q_test(self->t.ep[!variant->sender], (uint32_t)self->tail, L3L2Q_CMP_GE, 2,
				&observed));
	ASSERT_EQ(0, l3l2q_try_dequeue(self->c, &m, got, sizeof(got)));
	EXPECT_EQ(0, memcmp(got, "first", 5));
	ASSERT_EQ(0, l3l2q_try_dequeue(self->c, &m, got, sizeof(got)));
	EXPECT_EQ(0, memcmp(got, "second", 6));
}

/* ---- buffers that are too small ---------------------------------------------- */

TEST(a_batch_that_exceeds_the_buffer)
{
	struct l3l2q_message m[8];
	unsigned char body[500];
	struct two t;
	int i;

	ASSERT_TRUE(two_make(&t, 8, 4096, 8, 128, false));
	calls_of(&t.way[L3]);
	calls_of(&t.way[L2]);
	ASSERT_EQ(0, l3l2q_batch_begin(l3l2q_ep_producer(t.ep[L3])));
	for (i = 0; i < 8; i++) {
		/* 64, 64 | 64, 64 | 64 | 500 | 64, 64 */
		uint64_t n = i == 5 ? 500 : 64;

		body_fill(body, n, (uint64_t)i);
		ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(t.ep[L3]), L3L2Q_OP_DATA, body,
					       n));
	}
	ASSERT_EQ(0, l3l2q_batch_publish(l3l2q_ep_producer(t.ep[L3])));
	EXPECT_EQ(&body[0], t.way[L3].log[3].buffer);
	EXPECT_EQ(5 + 2, calls_of(&t.way[L3]));
	ASSERT_EQ(8, l3l2q_try_peek_batch(l3l2q_ep_consumer(t.ep[L2]), m, 8));
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, l3l2q_read_into(l3l2q_ep_consumer(t.ep[L2]), &m[i], body,
					     sizeof(body)));
		EXPECT_TRUE(body_is(body, m[i].nbytes, (uint64_t)i));
	}
	EXPECT_EQ(2 + 5, calls_of(&t.way[L2]));
	two_free(&t);
}

/* Random traffic: each body is read once or several times, in any order of the window. */
static void traffic(struct __test_metadata *_metadata, uint32_t depth, uint64_t arena,
		    uint32_t window, uint64_t buffer)
{
	uint64_t state = depth * 1000 + buffer, sent = 0, got = 0, i, k, n, nheld = 0, want = 20000;
	unsigned char body[4096], copy[4096];
	struct l3l2q_message held[16], m;
	struct l3l2q_producer *p;
	struct l3l2q_consumer *c;
	struct two t;
	int ret;

	ASSERT_TRUE(two_make(&t, depth, arena, window, buffer, false));
	p = l3l2q_ep_producer(t.ep[L2]);
	c = l3l2q_ep_consumer(t.ep[L3]);
	while (got < want) {
		bool batch = rnd_below(&state, 3) == 0;

		if (batch)
			ASSERT_EQ(0, l3l2q_batch_begin(p));
		for (i = rnd_below(&state, 6); i && sent < want; i--) {
			uint64_t sizes = mix(sent);

			n = rnd_size(&sizes, arena < sizeof(body) ? arena : sizeof(body));
			body_fill(body, n, sent);
			ret = l3l2q_try_enqueue(p, L3L2Q_OP_DATA, n ? body : NULL, n);
			if (ret == -EAGAIN)
				break;
			ASSERT_EQ(0, ret);
			sent++;
		}
		memset(body, 0x5a, sizeof(body));
		if (batch)
			ASSERT_EQ(0, l3l2q_batch_publish(p));
		for (i = rnd_below(&state, 6); i; i--) {
			if (nheld < window) {
				bool copies = !nheld && rnd_below(&state, 2);

				ret = copies ? l3l2q_try_dequeue(c, &m, copy, sizeof(copy))
					     : l3l2q_try_peek(c, &held[nheld]);
				ASSERT_TRUE(!ret || ret == -EAGAIN);
				if (!ret && copies)
					ASSERT_TRUE(body_is(copy, m.nbytes, m.seq - 1));
				got += !ret;
				nheld += !ret && !copies;
			}
			if (nheld && rnd_below(&state, 2)) {
				k = rnd_below(&state, nheld);
				if (held[k].nbytes)
					ASSERT_EQ(0, l3l2q_read_into(c, &held[k], copy,
								     sizeof(copy)));
				ASSERT_TRUE(body_is(copy, held[k].nbytes, held[k].seq - 1));
				if (rnd_below(&state, 2)) {
					ASSERT_EQ(0, l3l2q_release(c, &held[k]));
					held[k] = held[--nheld];
				}
			}
		}
	}
	two_free(&t);
}

TEST(what_is_read_ahead_is_never_stale)
{
	static const uint64_t buffers[] = { 64, 200, 1024, 65536 };
	size_t i;

	for (i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
		traffic(_metadata, 1, 256, 1, buffers[i]);
		traffic(_metadata, 4, 256, 2, buffers[i]);
		traffic(_metadata, 16, 1024, 8, buffers[i]);
		traffic(_metadata, 64, 8192, 16, buffers[i]);
	}
}

/* A peer's descriptors decide what is read ahead, and are wrong. */
TEST(wrong_descriptors_lead_nowhere_outside)
{
	static const uint64_t offsets[] = { 0, 8, 1 << 20, UINT64_MAX, UINT64_MAX - 100 };
	struct l3l2q_message m;
	struct l3l2q_desc *ring;
	struct two t;
	size_t i, k;
	char got[64];

	for (i = 0; i < 5; i++) {
		for (k = 0; k < 5; k++) {
			ASSERT_TRUE(two_make(&t, 4, 256, 4, 0, false));
			ring = (void *)t.memory;
			ring[0] = (struct l3l2q_desc){
				1, L3L2Q_OP_DATA, t.l.input_arena_offset, 64
			};
			ring[1] = (struct l3l2q_desc){ 2, L3L2Q_OP_DATA,
				t.l.input_arena_offset + 64 * (i != 0) + (i > 1) * offsets[i],
				offsets[k] };
			*(int32_t *)(void *)(t.memory + t.l.payload_bytes) = 2;
			/* way_read() aborts on a range that is not the region's */
			EXPECT_EQ(0, l3l2q_try_dequeue(l3l2q_ep_consumer(t.ep[L2]), &m, got, 64));
			l3l2q_try_dequeue(l3l2q_ep_consumer(t.ep[L2]), &m, got, 64);
			two_free(&t);
		}
	}
}

/* ---- ends --------------------------------------------------------------------- */

static void publish_and_abort(void *arg)
{
	struct l3l2q_ep *ep = arg;

	if (l3l2q_try_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, "last", 4) || l3l2q_abort(ep))
		abort();
}

/* The flag is newer than the tail that was copied with it: the tail is read again. */
TEST_F(calls, what_was_published_before_an_abort_is_delivered)
{
	struct l3l2q_ep *ep = self->t.ep[!variant->sender];
	struct l3l2q_message m;
	char got[4];

	self->rx->between = publish_and_abort;
	self->rx->arg = self->t.ep[variant->sender];
	ASSERT_EQ(0, l3l2q_try_dequeue(self->c, &m, got, 4));
	EXPECT_EQ(0, memcmp(got, "last", 4));
	EXPECT_EQ(5, calls_of(self->rx));
	EXPECT_EQ(-ECONNABORTED, l3l2q_try_dequeue(self->c, &m, got, 4));
	EXPECT_EQ(-ECONNABORTED, l3l2q_wait(ep, L3L2Q_EVENT_IN, 0));
}

TEST_F(calls, a_wait_sees_what_was_published_before_an_abort)
{
	struct l3l2q_ep *ep = self->t.ep[!variant->sender];
	struct l3l2q_message m;
	char got[4];

	self->rx->between = publish_and_abort;
	self->rx->arg = self->t.ep[variant->sender];
	EXPECT_EQ(L3L2Q_EVENT_IN | L3L2Q_EVENT_ABORT, l3l2q_wait(ep, L3L2Q_EVENT_IN, 0));
	EXPECT_EQ(2, calls_of(self->rx));
	ASSERT_EQ(0, l3l2q_dequeue(self->c, &m, got, 4, LONG_NS));
	EXPECT_EQ(-ECONNABORTED, l3l2q_dequeue(self->c, &m, got, 4, LONG_NS));
}

static bool is_end(int64_t ret)
{
	return ret == -ECONNABORTED;
}

/*
 * All kinds of calls of one end, whose peer answers; false if one ended in another way than
 * well, without progress or with the region's removal.
 */
static bool all_calls(struct two *t)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(t->ep[L3]), *q = l3l2q_ep_producer(t->ep[L2]);
	struct l3l2q_consumer *c = l3l2q_ep_consumer(t->ep[L3]), *d = l3l2q_ep_consumer(t->ep[L2]);
	struct iovec iov[2] = { { (char[200]){ 1 }, 200 }, { (char[50]){ 2 }, 50 } };
	struct l3l2q_message m[4] = { { 0 } };
	char body[256] = { 0 }, got[256];
	int i, n;
#define WELL(call) do {								\
	int64_t ret_ = (call);							\
	if (ret_ < 0 && ret_ != -EAGAIN && ret_ != -ETIMEDOUT && !is_end(ret_))	\
		return false;							\
} while (0)
	WELL(l3l2q_try_enqueue(p, L3L2Q_OP_DATA, body, 100));
	WELL(l3l2q_enqueuev(p, L3L2Q_OP_DATA, iov, 2, 1));
	WELL(l3l2q_batch_begin(p));
	for (i = 0; i < 3; i++)
		WELL(l3l2q_try_enqueue(p, L3L2Q_OP_DATA, body, 60));
	/* If this side has seen the end, it says so: the batch was not opened then. */
	n = l3l2q_batch_publish(p);
	if (n && !is_end(n))
		return false;
	WELL(l3l2q_room(p));
	WELL(l3l2q_enqueue(p, L3L2Q_OP_DATA, body, 250, 1));
	for (i = 0; i < 8; i++)
		l3l2q_try_dequeue(d, &m[0], got, sizeof(got));
	for (i = 0; i < 4; i++)
		l3l2q_try_enqueue(q, L3L2Q_OP_DATA, body, 40);
	WELL(l3l2q_enqueue(p, L3L2Q_OP_DATA, body, 250, 1));
	WELL(l3l2q_pending(c));
	WELL(l3l2q_wait(t->ep[L3], L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT, 0));
	WELL(l3l2q_dequeue(c, m, got, sizeof(got), 1));
	n = l3l2q_try_peek_batch(c, m, 3);
	WELL(n);
	for (i = 0; i < n; i++)
		WELL(l3l2q_read_into(c, &m[i], got, sizeof(got)));
	if (n > 0)
		WELL(l3l2q_release_batch(c, m, n));
	WELL(l3l2q_dequeue(c, m, got, sizeof(got), 1));
	WELL(l3l2q_wait_counter(t->ep[L3], L3L2Q_CTR_INPUT_HEAD, L3L2Q_CMP_GE, 100, 1, NULL));
	WELL(l3l2q_payload_write(t->ep[L3], t->l.input_arena_offset, body, 8));
	WELL(l3l2q_payload_read(t->ep[L3], t->l.input_arena_offset, got, 8));
	WELL(l3l2q_notify(t->ep[L3], L3L2Q_CTR_L3_ABORT, L3L2Q_NOTIFY_ADD, 0));
	WELL(l3l2q_test(t->ep[L3], 0, L3L2Q_CMP_EQ, 0, NULL));
	WELL(l3l2q_stop(p, 1));
#undef WELL
	return true;
}

/* Each call in its turn fails. */
TEST(a_call_that_fails_is_the_regions_removal)
{
	struct l3l2q_error error;
	char body[64], text[1024];
	struct l3l2q_message m;
	uint64_t at, spsq;
	struct two t;

	for (spsq = 0; spsq < 2; spsq++) {
		for (at = 2;; at++) {
			ASSERT_TRUE(two_make(&t, 4, 512, 3, 128, spsq));
			t.way[L3].fail_at = at;
			t.way[L3].fails_with = at % 2 ? -EHOSTDOWN : 17;
			ASSERT_TRUE(all_calls(&t)) {
				TH_LOG("call %llu", (unsigned long long)at);
			}
			if (t.way[L3].calls < at)
				break;
			EXPECT_EQ(0, t.way[L3].after);
			EXPECT_EQ(-ECONNABORTED, l3l2q_try_dequeue(l3l2q_ep_consumer(t.ep[L3]), &m,
								   body,
								   sizeof(body)));
			EXPECT_EQ(-ECONNABORTED, l3l2q_try_enqueue(l3l2q_ep_producer(t.ep[L3]),
								   L3L2Q_OP_DATA, body, 8));
			EXPECT_EQ(-ECONNABORTED, l3l2q_wait(t.ep[L3], L3L2Q_EVENT_IN, LONG_NS));
			EXPECT_EQ(-ECONNABORTED, l3l2q_abort(t.ep[L3]));
			EXPECT_EQ(0, t.way[L3].after);
			l3l2q_ep_error(t.ep[L3], &error);
			EXPECT_EQ(L3L2Q_ERR_REMOTE_ABORTED, error.kind);
			EXPECT_STREQ("the region was removed", error.message);
			l3l2q_ep_dump(t.ep[L3], text, sizeof(text));
			EXPECT_NE(NULL, strstr(text, at % 2 ? "-112" : "-5"));
			two_free(&t);
		}
		EXPECT_LT(30, at);
		two_free(&t);
	}
}

/* A call whose last store failed did not do what it says. */
TEST(a_store_that_fails_fails_its_call)
{
	struct l3l2q_message m;
	char got[8];
	struct two t;
	int at;

	for (at = 1; at <= 3; at++) {
		ASSERT_TRUE(two_make(&t, 4, 512, 1, 0, false));
		t.way[L3].fail_at = t.way[L3].calls + (uint64_t)at;
		t.way[L3].fails_with = -EIO;
		EXPECT_EQ(-ECONNABORTED, l3l2q_try_enqueue(l3l2q_ep_producer(t.ep[L3]),
							   L3L2Q_OP_DATA, "x", 1));
		two_free(&t);
	}
	for (at = 1; at <= 4; at++) {
		ASSERT_TRUE(two_make(&t, 4, 512, 1, 0, false));
		ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(t.ep[L3]), L3L2Q_OP_DATA, "x", 1));
		t.way[L2].fail_at = t.way[L2].calls + (uint64_t)at;
		t.way[L2].fails_with = -EIO;
		EXPECT_EQ(-ECONNABORTED,
			  l3l2q_try_dequeue(l3l2q_ep_consumer(t.ep[L2]), &m, got, 8));
		two_free(&t);
	}
}

/* Zero stands for what could not be read, and is no value of the counter. */
TEST(a_counter_that_cannot_be_read_has_no_value)
{
	int32_t observed = 5;
	struct two t;

	ASSERT_TRUE(two_make(&t, 4, 512, 1, 0, false));
	EXPECT_EQ(1, l3l2q_test(t.ep[L3], L3L2Q_CTR_INPUT_HEAD, L3L2Q_CMP_EQ, 0, &observed));
	t.way[L3].fail_at = t.way[L3].calls + 1;
	t.way[L3].fails_with = -EIO;
	EXPECT_EQ(-ECONNABORTED,
		  l3l2q_test(t.ep[L3], L3L2Q_CTR_INPUT_HEAD, L3L2Q_CMP_EQ, 0, &observed));
	EXPECT_EQ(-ECONNABORTED,
		  l3l2q_wait_counter(t.ep[L3], L3L2Q_CTR_INPUT_HEAD, L3L2Q_CMP_EQ, 0, LONG_NS,
				     &observed));
	EXPECT_EQ(0, observed);
	two_free(&t);
}

/* ---- arguments ------------------------------------------------------------------ */

TEST(arguments)
{
	struct l3l2q_failure why;
	struct l3l2q_external ext;
	struct l3l2q_ep *ep;
	struct two t;

	memset(&t, 0, sizeof(t));
	t.attr = (struct l3l2q_attr){ .depth = 1, .input_arena_bytes = 64,
		.output_arena_bytes = 64 };
	ASSERT_TRUE(two_describe(&t, 0, false));
	t.ext.ctx = &t.way[L3];
#define REFUSED(err, ...) do {							\
	ext = t.ext;								\
	__VA_ARGS__;								\
	memset(&why, 0, sizeof(why));						\
	EXPECT_EQ(err, l3l2q_attach_external(&ep, &ext, NULL, &why));		\
	EXPECT_EQ(NULL, ep);							\
	EXPECT_LT(8, strlen(why.text));						\
} while (0)
	REFUSED(-EINVAL, ext.read = NULL);
	REFUSED(-EINVAL, ext.write = NULL);
	REFUSED(-EINVAL, ext.payload = t.memory);
	REFUSED(-EINVAL, ext.counters = t.memory - (uintptr_t)t.memory % 64 + 64);
	REFUSED(-EINVAL, ext.buffer_bytes = 63);
	REFUSED(-EINVAL, ext.buffer_bytes = (1ull << 30) + 1);
	REFUSED(-EINVAL, ext.memory = L3L2Q_MEMORY_UNSNOOPED);
	REFUSED(-EINVAL, ext.memory = L3L2Q_MEMORY_COPIED + 1);
	REFUSED(-EINVAL, ext.memory = L3L2Q_MEMORY_CACHED);
	REFUSED(-EINVAL, ext.role = 2);
	REFUSED(-EINVAL, ext.pad = 1);
	REFUSED(-EPROTO, ext.scalars[7] = 3);
	/* the functions with memory that is mapped */
	REFUSED(-EINVAL, ext.memory = L3L2Q_MEMORY_CACHED; ext.payload = t.memory;
		ext.counters = t.memory - (uintptr_t)t.memory % 64 + 64);
	EXPECT_EQ(0, t.way[L3].calls);
	/* a used end, and counters that cannot be read */
	t.memory[t.l.payload_bytes] = 1;
	REFUSED(-EPROTO, );
	EXPECT_EQ(1, calls_of(&t.way[L3]));
	t.memory[t.l.payload_bytes] = 0;
	t.way[L3].fail_at = 1;
	t.way[L3].fails_with = -EHOSTDOWN;
	REFUSED(-EHOSTDOWN, );
#undef REFUSED
	t.way[L3].fail_at = 0;
	ASSERT_EQ(0, two_attach(&t, L3));
	ASSERT_EQ(0, two_attach(&t, L2));
	two_free(&t);
}

TEST_HARNESS_MAIN
