// SPDX-License-Identifier: MIT
/*
 * protocol.md sections 3 to 6, rule by rule, on the protocol core over plain
 * memory: one thread, nothing left to chance. Random traffic is in
 * proto_random.c.
 */
#include "proto_util.h"

#define DEPTH 4u
#define IN_ARENA 256u
#define OUT_ARENA 320u

/* Each rule holds for both directions unless it says otherwise. */
FIXTURE(queue) {
	struct world w;
	struct side *tx, *rx;
	enum l3l2q_role role, peer;	/* of tx, of rx */
	uint64_t arena, offset;
	struct l3l2q_message m, n;
	struct l3l2q_reservation r, r2;
};

FIXTURE_VARIANT(queue) {
	enum l3l2q_role role;
	uint64_t window;
	uint32_t memory;
};

FIXTURE_VARIANT_ADD(queue, input) {
	.role = L3L2Q_ROLE_L3, .window = 1,
};

FIXTURE_VARIANT_ADD(queue, output) {
	.role = L3L2Q_ROLE_L2, .window = 1,
};

FIXTURE_VARIANT_ADD(queue, input_window) {
	.role = L3L2Q_ROLE_L3, .window = 3,
};

FIXTURE_VARIANT_ADD(queue, output_window) {
	.role = L3L2Q_ROLE_L2, .window = 3,
};

/* The same where memory can be removed: every message is thought about. */
FIXTURE_VARIANT_ADD(queue, input_removable) {
	.role = L3L2Q_ROLE_L3, .window = 3, .memory = WORLD_REMOVABLE,
};

FIXTURE_VARIANT_ADD(queue, output_removable) {
	.role = L3L2Q_ROLE_L2, .window = 1, .memory = WORLD_REMOVABLE,
};

/* And over write-combining and device memory, as far as code can tell. */
FIXTURE_VARIANT_ADD(queue, input_wc) {
	.role = L3L2Q_ROLE_L3, .window = 1, .memory = L3L2Q_MEMORY_WC,
};

FIXTURE_VARIANT_ADD(queue, output_window_wc) {
	.role = L3L2Q_ROLE_L2, .window = 3, .memory = L3L2Q_MEMORY_WC,
};

FIXTURE_VARIANT_ADD(queue, input_window_device) {
	.role = L3L2Q_ROLE_L3, .window = 3, .memory = L3L2Q_MEMORY_DEVICE,
};

FIXTURE_VARIANT_ADD(queue, output_device) {
	.role = L3L2Q_ROLE_L2, .window = 1, .memory = L3L2Q_MEMORY_DEVICE,
};

/* L2 behind a cache that sees nothing. */
FIXTURE_VARIANT_ADD(queue, input_unsnooped) {
	.role = L3L2Q_ROLE_L3, .window = 1, .memory = L3L2Q_MEMORY_UNSNOOPED,
};

FIXTURE_VARIANT_ADD(queue, output_unsnooped) {
	.role = L3L2Q_ROLE_L2, .window = 1, .memory = L3L2Q_MEMORY_UNSNOOPED,
};

FIXTURE_VARIANT_ADD(queue, input_window_unsnooped) {
	.role = L3L2Q_ROLE_L3, .window = 3, .memory = L3L2Q_MEMORY_UNSNOOPED,
};

FIXTURE_VARIANT_ADD(queue, output_window_unsnooped) {
	.role = L3L2Q_ROLE_L2, .window = 3, .memory = WORLD_SPSQ | L3L2Q_MEMORY_UNSNOOPED,
};

/* The SPSQ binding, with what differs at a window of 1 and above it. */
FIXTURE_VARIANT_ADD(queue, input_spsq) {
	.role = L3L2Q_ROLE_L3, .window = 1, .memory = WORLD_SPSQ,
};

FIXTURE_VARIANT_ADD(queue, output_spsq) {
	.role = L3L2Q_ROLE_L2, .window = 1, .memory = WORLD_SPSQ,
};

FIXTURE_VARIANT_ADD(queue, input_window_spsq) {
	.role = L3L2Q_ROLE_L3, .window = 3, .memory = WORLD_SPSQ | WORLD_REMOVABLE,
};

FIXTURE_VARIANT_ADD(queue, output_window_spsq) {
	.role = L3L2Q_ROLE_L2, .window = 3, .memory = WORLD_SPSQ,
};

static bool start_over(FIXTURE_DATA(queue) *self, const FIXTURE_VARIANT(queue) *variant)
{
	if (self->w.payload)
		world_free(&self->w);
	self->role = variant->role;
	self->peer = l3l2q_peer_role(variant->role);
	if (!world_make_of(&self->w, variant->memory, DEPTH, IN_ARENA, OUT_ARENA, variant->window))
		return false;
	self->tx = &self->w.side[self->role];
	self->rx = &self->w.side[self->peer];
	self->arena = arena_bytes(&self->w, self->role);
	self->offset = arena_offset(&self->w, self->role);
	return true;
}

FIXTURE_SETUP(queue)
{
	ASSERT_TRUE(start_over(self, variant));
}

FIXTURE_TEARDOWN(queue)
{
	world_free(&self->w);
}

/* Whether a peek while a handle is held is answered by that handle, or refused. */
static bool one_handle(const FIXTURE_DATA(queue) *self, const FIXTURE_VARIANT(queue) *variant)
{
	return variant->window == 1 && !(is_spsq(&self->w) && self->peer == L3L2Q_ROLE_L2);
}

static __s32 flag(struct world *w, enum l3l2q_role role)
{
	return *ctr(w, l3l2q_ctr_abort(role));
}

static __s32 tail(struct world *w, enum l3l2q_role role)
{
	return *ctr(w, l3l2q_ctr_tail(role));
}

static __s32 head(struct world *w, enum l3l2q_role role)
{
	return *ctr(w, l3l2q_ctr_head(role));
}

/* The side is sound and nobody's flag is set. */
#define EXPECT_SOUND(side) do {							\
	EXPECT_EQ(L3L2Q_ERR_NONE, (side)->core.error.kind);			\
	EXPECT_EQ(0, flag(&self->w, L3L2Q_ROLE_L3));				\
	EXPECT_EQ(0, flag(&self->w, L3L2Q_ROLE_L2));				\
} while (0)

/* The side poisoned itself: kind, own flag 1, the other's 0, words for people. */
#define EXPECT_POISONED(side, k) do {						\
	EXPECT_EQ((k), (side)->core.error.kind);				\
	EXPECT_EQ(1, flag(&self->w, (side)->core.role));			\
	EXPECT_EQ(0, flag(&self->w, l3l2q_peer_role((side)->core.role)));	\
	EXPECT_EQ(77, (side)->core.error.region_id);				\
	ASSERT_NE(NULL, (side)->core.error.op);					\
	ASSERT_NE(NULL, (side)->core.error.message);				\
	EXPECT_NE(0, strlen((side)->core.error.op));				\
	EXPECT_NE(0, strlen((side)->core.error.message));			\
} while (0)

/* A remote abort: sticky, own flag not set. */
#define EXPECT_REMOTE(side) do {						\
	EXPECT_EQ(L3L2Q_ERR_REMOTE_ABORTED, (side)->core.error.kind);		\
	EXPECT_EQ(0, flag(&self->w, (side)->core.role));			\
} while (0)

/* Peek, check the body, release. */
static int take(struct side *s, uint64_t nbytes, uint64_t seed)
{
	struct l3l2q_message m;
	int ret = l3l2q_core_try_peek(&s->c, &m);

	if (ret)
		return ret;
	if (m.nbytes != nbytes || (nbytes && !body_is(m.data, nbytes, seed)))
		return 1;
	return l3l2q_core_release(&s->c, &m);
}

/* Move both cursors of the direction to p bytes, the queue empty again. */
static int pass(FIXTURE_DATA(queue) *self, uint64_t p)
{
	int ret = p ? send_data(self->tx, p, 1) : 0;

	if (ret)
		return ret;
	return p ? take(self->rx, p, 1) : 0;
}

/* ---- section 2: attach -------------------------------------------------- */

TEST_F(queue, s2_attach_writes_nothing)
{
	struct world *w = &self->w;
	unsigned char *before = malloc(w->l.payload_bytes);
	unsigned char zero[L3L2Q_COUNTER_BYTES] = { 0 };

	memcpy(before, w->payload, w->l.payload_bytes);
	free(w->side[0].p_memory);
	free(w->side[0].c_memory);
	ASSERT_TRUE(side_make(w, L3L2Q_ROLE_L3, variant->window));
	EXPECT_EQ(0, memcmp(before, w->payload, w->l.payload_bytes));
	EXPECT_EQ(0, memcmp(zero, w->counters, sizeof(zero)));
	free(before);
}

TEST_F(queue, s2_rejected_attach_sets_no_flag)
{
	struct world *w = &self->w;
	unsigned char *before = malloc(w->l.payload_bytes);
	unsigned char zero[L3L2Q_COUNTER_BYTES] = { 0 };
	int i;

	memcpy(before, w->payload, w->l.payload_bytes);
	for (i = 0; i < 12; i++) {
		struct l3l2q_region_desc region = w->region;
		struct l3l2q_queue_desc queue = w->queue;
		struct l3l2q_core core;

		/* Bases are not compared with anything else: make them unsound. */
		if (i == 1)
			region.region_id = 0;
		else if (i == 2)
			region.payload_base = ~0ull - 7;
		else if (i == 4)
			region.counter_base += 4;
		else if (i < 6)
			((__u64 *)(void *)&region)[i] += 2ull << 16;
		else
			((__u64 *)(void *)&queue)[i - 6] += 64;
		EXPECT_EQ(-EPROTO, l3l2q_core_init(&core, self->role, &region, &queue,
						   w->payload, w->counters)) {
			TH_LOG("scalar %d", i);
		}
		EXPECT_EQ(L3L2Q_ERR_BAD_DESCRIPTOR, core.error.kind);
		EXPECT_NE(NULL, core.error.op);
		ASSERT_NE(NULL, core.error.message);
		EXPECT_NE(0, strlen(core.error.message));
		EXPECT_EQ(-EPROTO, l3l2q_core_status(&core));
	}
	EXPECT_EQ(0, memcmp(before, w->payload, w->l.payload_bytes));
	EXPECT_EQ(0, memcmp(zero, w->counters, sizeof(zero)));
	free(before);
}

TEST_F(queue, s5_window_out_of_range_is_bad_argument)
{
	static const uint64_t bad[] = { 0, DEPTH + 1, 1u << 31, ~0ull };
	struct l3l2q_consumer c;
	char memory[1024];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EXPECT_EQ(-EINVAL, l3l2q_core_consumer_init(&c, &self->rx->core, bad[i], memory));
	for (i = 1; i <= DEPTH; i++)
		EXPECT_EQ(0, l3l2q_core_consumer_init(&c, &self->rx->core, i, memory));
	EXPECT_SOUND(self->rx);
}

/* ---- section 2: counters ------------------------------------------------ */

TEST_F(queue, s2_capacity_is_depth)
{
	uint64_t i;

	for (i = 0; i < DEPTH; i++)
		ASSERT_EQ(0, send_data(self->tx, 1, i));
	EXPECT_EQ(-EAGAIN, send_data(self->tx, 1, i));
	EXPECT_EQ(-EAGAIN, send_data(self->tx, 0, i));
	EXPECT_EQ(DEPTH, tail(&self->w, self->role));
	ASSERT_EQ(0, take(self->rx, 1, 0));
	EXPECT_EQ(1, head(&self->w, self->role));
	EXPECT_EQ(0, send_data(self->tx, 1, i));
	EXPECT_EQ(-EAGAIN, send_data(self->tx, 1, i));
	EXPECT_SOUND(self->tx);
}

/* A counter that no honest peer can have stored. */
TEST_F(queue, s2_impossible_head_poisons_the_producer)
{
	static const __s32 bad[] = { DEPTH + 1, -1, INT32_MAX, INT32_MIN, 5 };
	size_t i;
	uint64_t k;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ASSERT_TRUE(start_over(self, variant));
		for (k = 0; k < DEPTH; k++)
			ASSERT_EQ(0, send_data(self->tx, 1, k));
		*ctr(&self->w, l3l2q_ctr_head(self->role)) = bad[i];
		EXPECT_EQ(-EBADMSG, send_data(self->tx, 1, k));
		EXPECT_POISONED(self->tx, L3L2Q_ERR_INVALID_DESCRIPTOR);
	}
}

TEST_F(queue, s2_head_past_tail_poisons_the_producer)
{
	/* One arena-filling message out; head says 2 were released. */
	ASSERT_EQ(0, send_data(self->tx, self->arena, 1));
	*ctr(&self->w, l3l2q_ctr_head(self->role)) = 2;
	EXPECT_EQ(-EBADMSG, send_data(self->tx, 1, 2));
	EXPECT_POISONED(self->tx, L3L2Q_ERR_INVALID_DESCRIPTOR);
}

TEST_F(queue, s2_head_past_what_a_batch_published_poisons)
{
	ASSERT_EQ(0, send_data(self->tx, 1, 1));
	self->tx->p.batching = 1;
	ASSERT_EQ(0, send_data(self->tx, self->arena - 1, 2));
	EXPECT_EQ(1, tail(&self->w, self->role));
	*ctr(&self->w, l3l2q_ctr_head(self->role)) = 2;
	EXPECT_EQ(-EBADMSG, send_data(self->tx, 1, 3));
	EXPECT_POISONED(self->tx, L3L2Q_ERR_INVALID_DESCRIPTOR);
}

TEST_F(queue, s2_impossible_tail_poisons_the_consumer)
{
	static const __s32 bad[] = { DEPTH + 1, -1, INT32_MAX, INT32_MIN };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ASSERT_TRUE(start_over(self, variant));
		*ctr(&self->w, l3l2q_ctr_tail(self->role)) = bad[i];
		EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));
		EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
	}
}

TEST_F(queue, s2_tail_more_than_depth_past_head_poisons)
{
	uint64_t i;

	if (variant->window == 1)
		return; /* needs two handles */
	/* Two held, unreleased; the tail then claims depth + 1 beyond the head. */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, send_data(self->tx, 1, i));
		ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	}
	for (; i < DEPTH; i++)
		ASSERT_EQ(0, send_data(self->tx, 1, i));
	*ctr(&self->w, l3l2q_ctr_tail(self->role)) = DEPTH + 1;
	/* The next descriptor is in order, and yet. */
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
}

TEST_F(queue, s2_tail_that_goes_back_poisons)
{
	ASSERT_EQ(0, send_data(self->tx, 1, 0));
	ASSERT_EQ(0, send_data(self->tx, 1, 1));
	ASSERT_EQ(0, take(self->rx, 1, 0));
	ASSERT_EQ(0, take(self->rx, 1, 1));
	*ctr(&self->w, l3l2q_ctr_tail(self->role)) = 1;
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
}

/* ---- section 3: descriptors --------------------------------------------- */

TEST_F(queue, s3_descriptor_bytes)
{
	/* Input arena at 256, output at 512: depth 4, arenas of 256 and 320. */
	unsigned char at = self->role == L3L2Q_ROLE_L3 ? 1 : 2;
	unsigned char op = (unsigned char)error_op(&self->w, self->role);
	unsigned char want[4 * 32] = {
		1, 0, 0, 0, 0, 0, 0, 0,  1, 0, 0, 0, 0, 0, 0, 0,
		0, at, 0, 0, 0, 0, 0, 0,  5, 0, 0, 0, 0, 0, 0, 0,

		2, 0, 0, 0, 0, 0, 0, 0,  op, 0, 0, 0, 0, 0, 0, 0,
		5, at, 0, 0, 0, 0, 0, 0,  3, 0, 0, 0, 0, 0, 0, 0,

		3, 0, 0, 0, 0, 0, 0, 0,  1, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,

		4, 0, 0, 0, 0, 0, 0, 0,  1, 0, 0, 0, 0, 0, 0, 0,
		8, at, 0, 0, 0, 0, 0, 0,  1, 0, 0, 0, 0, 0, 0, 0,
	};
	const unsigned char *ring = self->w.payload + (self->role == L3L2Q_ROLE_L3 ? 0 : 128);

	ASSERT_EQ(0, send_op(self->tx, L3L2Q_OP_DATA, 5, 11));
	ASSERT_EQ(0, send_op(self->tx, op, 3, 12));
	ASSERT_EQ(0, send_op(self->tx, L3L2Q_OP_DATA, 0, 13));
	ASSERT_EQ(0, send_op(self->tx, L3L2Q_OP_DATA, 1, 14));
	EXPECT_EQ(0, memcmp(ring, want, sizeof(want)));
	EXPECT_EQ(4, tail(&self->w, self->role));
	EXPECT_TRUE(body_is(self->w.payload + self->offset, 5, 11));
	EXPECT_TRUE(body_is(self->w.payload + self->offset + 5, 3, 12));
	EXPECT_TRUE(body_is(self->w.payload + self->offset + 8, 1, 14));
	EXPECT_EQ(0xa5, self->w.payload[self->offset + 9]);

	/* The fifth message uses the first slot again. */
	ASSERT_EQ(0, take(self->rx, 5, 11));
	ASSERT_EQ(0, send_op(self->tx, op, 0, 15));
	want[0] = 5;
	want[8] = op;
	memset(want + 16, 0, 16);
	EXPECT_EQ(0, memcmp(ring, want, sizeof(want)));
}

TEST_F(queue, s3_stop_bytes)
{
	static const unsigned char want[32] = { 1, 0, 0, 0, 0, 0, 0, 0, 2 };

	if (self->role != L3L2Q_ROLE_L3)
		return; /* STOP is for input */
	ASSERT_EQ(0, send_stop(self->tx));
	EXPECT_EQ(0, memcmp(self->w.payload, want, sizeof(want)));
	EXPECT_EQ(1, tail(&self->w, self->role));
	EXPECT_EQ(0, producer_cursor(&self->tx->p));
}

static struct world *watched;
static bool published_too_early;

static void watching_copy(const struct l3l2q_core *core, void *to, const void *from, __u64 nbytes)
{
	struct l3l2q_desc *slot = slot_of(watched, L3L2Q_ROLE_L3, 0);
	struct l3l2q_desc *slot2 = slot_of(watched, L3L2Q_ROLE_L2, 0);

	if (slot->seq == 1 || slot2->seq == 1 || *ctr(watched, L3L2Q_CTR_INPUT_TAIL) ||
	    *ctr(watched, L3L2Q_CTR_OUTPUT_TAIL))
		published_too_early = true;
	l3l2q_core_copy(core, to, from, nbytes);
}

TEST_F(queue, s3_body_before_descriptor_before_tail)
{
	watched = &self->w;
	published_too_early = false;
	ASSERT_EQ(0, l3l2q_core_try_enqueue(&self->tx->p, L3L2Q_OP_DATA, watching_copy,
					    "body", 4));
	EXPECT_FALSE(published_too_early);
	EXPECT_EQ(0, memcmp(self->w.payload + self->offset, "body", 4));
	EXPECT_EQ(1, tail(&self->w, self->role));
}

TEST_F(queue, s3_reserved_body_is_not_published)
{
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r));
	EXPECT_EQ(0, tail(&self->w, self->role));
	EXPECT_NE(1, slot_of(&self->w, self->role, 0)->seq);
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(1, self->r.seq);
	EXPECT_EQ(8, self->r.nbytes);
	EXPECT_EQ(self->offset, self->r.payload_offset);
	EXPECT_EQ(self->tx->core.payload + self->offset, self->r.data);
	memcpy(self->r.data, "in place", 8);
	ASSERT_EQ(0, l3l2q_core_commit(&self->tx->p, &self->r, error_op(&self->w, self->role)));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(error_op(&self->w, self->role), self->m.opcode);
	EXPECT_EQ(8, self->m.nbytes);
	EXPECT_EQ(0, memcmp(self->m.data, "in place", 8));
}

TEST_F(queue, s3_zero_byte_message_has_no_view)
{
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 0, &self->r));
	EXPECT_EQ(NULL, self->r.data);
	EXPECT_EQ(0, self->r.payload_offset);
	ASSERT_EQ(0, l3l2q_core_commit(&self->tx->p, &self->r, L3L2Q_OP_DATA));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(NULL, self->m.data);
	EXPECT_EQ(0, self->m.payload_offset);
	EXPECT_EQ(0, self->m.nbytes);
	EXPECT_EQ(1, self->m.seq);
	EXPECT_EQ(L3L2Q_OP_DATA, self->m.opcode);
	EXPECT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
}

TEST_F(queue, s3_descriptor_is_copied_once)
{
	char body[9];

	ASSERT_EQ(0, send_data(self->tx, 9, 5));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	/* Whatever becomes of the slot: the handle is what was validated. */
	memset(slot_of(&self->w, self->role, 0), 0xff, 32);
	world_refetch(&self->w);
	ASSERT_EQ(0, l3l2q_core_read_into(&self->rx->c, &self->m, body, sizeof(body)));
	EXPECT_TRUE(body_is(body, 9, 5));
	EXPECT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_SOUND(self->rx);
	/* And the next message is found where it should be. */
	ASSERT_EQ(0, send_data(self->tx, 9, 6));
	EXPECT_EQ(0, take(self->rx, 9, 6));
}

/* ---- section 4.1: a failure changes nothing ----------------------------- */

#define ASSERT_NOTHING_CHANGES(call, want) do {					\
	struct l3l2q_producer was = self->tx->p;				\
	unsigned char *payload = malloc(self->w.l.payload_bytes);		\
	unsigned char counters[L3L2Q_COUNTER_BYTES];				\
	memcpy(payload, self->w.payload, self->w.l.payload_bytes);		\
	memcpy(counters, self->w.counters, sizeof(counters));			\
	ASSERT_EQ((want), (call));						\
	EXPECT_EQ(0, memcmp(payload, self->w.payload, self->w.l.payload_bytes));	\
	EXPECT_EQ(0, memcmp(counters, self->w.counters, sizeof(counters)));	\
	EXPECT_EQ(was.tail, self->tx->p.tail);					\
	EXPECT_EQ(l3l2q_producer_published(&was),				\
		  l3l2q_producer_published(&self->tx->p));			\
	EXPECT_EQ(producer_cursor(&was), producer_cursor(&self->tx->p));	\
	EXPECT_EQ(producer_pos(&was), producer_pos(&self->tx->p));	\
	EXPECT_EQ(was.stopped, self->tx->p.stopped);				\
	EXPECT_EQ(was.span_count, self->tx->p.span_count);			\
	free(payload);								\
} while (0)

TEST_F(queue, s4_1_failed_enqueue_changes_nothing)
{
	uint64_t big = self->arena / 2 + 8;

	/* pos = big; another of big would wrap, and does not fit. */
	ASSERT_EQ(0, send_data(self->tx, big, 1));
	ASSERT_NOTHING_CHANGES(send_data(self->tx, big, 2), -EAGAIN);
	ASSERT_NOTHING_CHANGES(l3l2q_core_try_reserve(&self->tx->p, big, &self->r), -EAGAIN);
	/* A smaller one still goes behind the first, the skip was not kept. */
	ASSERT_EQ(0, send_data(self->tx, 16, 3));
	EXPECT_EQ(self->offset + big, slot_of(&self->w, self->role, 1)->payload_offset);
	ASSERT_EQ(0, take(self->rx, big, 1));
	ASSERT_EQ(0, take(self->rx, 16, 3));
	EXPECT_SOUND(self->tx);
	EXPECT_SOUND(self->rx);
}

TEST_F(queue, s4_1_full_ring_changes_nothing)
{
	uint64_t i;

	for (i = 0; i < DEPTH; i++)
		ASSERT_EQ(0, send_data(self->tx, 3, i));
	ASSERT_NOTHING_CHANGES(send_data(self->tx, self->arena, 9), -EAGAIN);
	ASSERT_NOTHING_CHANGES(send_data(self->tx, 0, 9), -EAGAIN);
	ASSERT_NOTHING_CHANGES(l3l2q_core_try_reserve(&self->tx->p, 1, &self->r), -EAGAIN);
	EXPECT_SOUND(self->tx);
}

static int copies;

static void counting_copy(const struct l3l2q_core *core, void *to, const void *from, __u64 nbytes)
{
	copies++;
	l3l2q_core_copy(core, to, from, nbytes);
}

TEST_F(queue, s5_nothing_is_copied_before_it_is_certain)
{
	char body[256] = { 0 };

	copies = 0;
	ASSERT_EQ(0, l3l2q_core_try_enqueue(&self->tx->p, 1, counting_copy, body, 200));
	EXPECT_EQ(1, copies);
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_enqueue(&self->tx->p, 1, counting_copy, body, 200));
	EXPECT_EQ(-EMSGSIZE, l3l2q_core_try_enqueue(&self->tx->p, 1, counting_copy, body,
						    self->arena + 1));
	EXPECT_EQ(1, copies);
	/* No body, nothing to copy. */
	EXPECT_EQ(0, l3l2q_core_try_enqueue(&self->tx->p, 1, counting_copy, NULL, 0));
	EXPECT_EQ(1, copies);
}

/* ---- section 4.2: reservations ------------------------------------------ */

TEST_F(queue, s4_2_everything_else_is_refused_while_reserved)
{
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r));
	EXPECT_EQ(-ESTALE, send_data(self->tx, 8, 1));
	EXPECT_POISONED(self->tx, L3L2Q_ERR_OWNERSHIP);

	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r));
	EXPECT_EQ(-ESTALE, send_data(self->tx, 0, 1));
	EXPECT_POISONED(self->tx, L3L2Q_ERR_OWNERSHIP);

	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r));
	EXPECT_EQ(-ESTALE, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r2));
	EXPECT_POISONED(self->tx, L3L2Q_ERR_OWNERSHIP);

	/* A reservation without bytes is one, too. */
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 0, &self->r));
	EXPECT_EQ(-ESTALE, send_data(self->tx, 1, 1));
	EXPECT_POISONED(self->tx, L3L2Q_ERR_OWNERSHIP);

	if (self->role == L3L2Q_ROLE_L3) {
		ASSERT_TRUE(start_over(self, variant));
		ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r));
		EXPECT_EQ(-ESTALE, send_stop(self->tx));
		EXPECT_POISONED(self->tx, L3L2Q_ERR_OWNERSHIP);
		EXPECT_EQ(0, tail(&self->w, self->role));
	}
}

/* Room that a reservation has seen, and given back, is still there. */
TEST_F(queue, s4_1_room_once_seen_is_not_forgotten)
{
	uint64_t big = self->arena / 2 + 8;

	ASSERT_EQ(0, send_data(self->tx, big, 1));
	ASSERT_EQ(-EAGAIN, send_data(self->tx, big, 2));
	ASSERT_EQ(-EAGAIN, send_data(self->tx, big, 2));
	ASSERT_EQ(0, take(self->rx, big, 1));
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, big, &self->r));
	ASSERT_EQ(0, l3l2q_core_cancel(&self->tx->p, &self->r));
	EXPECT_EQ(0, send_data(self->tx, big, 2));
	EXPECT_EQ(0, take(self->rx, big, 2));
	EXPECT_SOUND(self->tx);
	EXPECT_SOUND(self->rx);
}

TEST_F(queue, s4_2_cancel_restores_the_cursor)
{
	uint64_t at = self->arena - 10;

	ASSERT_EQ(0, pass(self, at));
	/* Would wrap: the skip is undone with the rest. */
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 20, &self->r));
	EXPECT_EQ(self->offset, self->r.payload_offset);
	ASSERT_EQ(0, l3l2q_core_cancel(&self->tx->p, &self->r));
	EXPECT_EQ(at, producer_cursor(&self->tx->p));
	EXPECT_EQ(at, producer_pos(&self->tx->p));
	ASSERT_EQ(0, send_data(self->tx, 10, 7));
	EXPECT_EQ(self->offset + at, slot_of(&self->w, self->role, 1)->payload_offset);
	EXPECT_EQ(2, slot_of(&self->w, self->role, 1)->seq);
	ASSERT_EQ(0, take(self->rx, 10, 7));
	EXPECT_SOUND(self->tx);
}

TEST_F(queue, s4_2_altered_reservation_is_ownership)
{
	int i;

	for (i = 0; i < 10; i++) {
		struct l3l2q_reservation span;
		int ret;

		ASSERT_TRUE(start_over(self, variant));
		ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 16, &self->r));
		span = self->r;
		switch (i % 5) {
		case 0: span.seq++; break;
		case 1: span.payload_offset += 8; break;
		case 2: span.nbytes -= 8; break;
		case 3: span.nbytes += 8; break;
		case 4: span.data = (char *)span.data + 8; break;
		}
		ret = i < 5 ? l3l2q_core_commit(&self->tx->p, &span, L3L2Q_OP_DATA)
			    : l3l2q_core_cancel(&self->tx->p, &span);
		EXPECT_EQ(-ESTALE, ret) {
			TH_LOG("case %d", i);
		}
		EXPECT_POISONED(self->tx, L3L2Q_ERR_OWNERSHIP);
		EXPECT_EQ(0, tail(&self->w, self->role));
	}
}

TEST_F(queue, s5_stale_reservation_is_ownership)
{
	int i;

	for (i = 0; i < 8; i++) {
		int ret;

		ASSERT_TRUE(start_over(self, variant));
		memset(&self->r, 0, sizeof(self->r));
		if (i < 6) {
			ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, i & 1 ? 16 : 0,
							    &self->r));
			if (i < 4)
				ret = l3l2q_core_commit(&self->tx->p, &self->r, L3L2Q_OP_DATA);
			else
				ret = l3l2q_core_cancel(&self->tx->p, &self->r);
			ASSERT_EQ(0, ret);
		}
		ret = i & 2 ? l3l2q_core_cancel(&self->tx->p, &self->r)
			    : l3l2q_core_commit(&self->tx->p, &self->r, L3L2Q_OP_DATA);
		EXPECT_EQ(-ESTALE, ret) {
			TH_LOG("case %d", i);
		}
		EXPECT_POISONED(self->tx, L3L2Q_ERR_OWNERSHIP);
	}
}

/* ---- section 4.3: everything up to the arena goes through --------------- */

TEST_F(queue, s4_3_any_size_from_any_position)
{
	uint64_t p, n;

	for (p = 0; p < self->arena; p++) {
		for (n = 1; n <= self->arena; n += 1 + n % 7) {
			uint64_t pos = p + n > self->arena ? 0 : p;

			ASSERT_TRUE(start_over(self, variant));
			ASSERT_EQ(0, pass(self, p));
			ASSERT_EQ(0, send_data(self->tx, n, p ^ n)) {
				TH_LOG("%" PRIu64 " bytes from %" PRIu64, n, p);
			}
			ASSERT_EQ(self->offset + pos,
				  slot_of(&self->w, self->role, p ? 1 : 0)->payload_offset);
			ASSERT_EQ(0, take(self->rx, n, p ^ n));
		}
	}
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, pass(self, 64));
	ASSERT_EQ(0, send_data(self->tx, self->arena, 1));
	EXPECT_EQ(0, take(self->rx, self->arena, 1));
}

TEST_F(queue, s4_3_zero_byte_messages_do_not_count)
{
	uint64_t i;

	/* Nothing but zero-byte messages in flight: the whole arena is free. */
	ASSERT_EQ(0, pass(self, self->arena / 2));
	for (i = 0; i < DEPTH - 1; i++)
		ASSERT_EQ(0, send_data(self->tx, 0, 0));
	ASSERT_EQ(0, send_data(self->tx, self->arena, 4));
	EXPECT_EQ(self->offset, slot_of(&self->w, self->role, DEPTH)->payload_offset);
	for (i = 0; i < DEPTH - 1; i++)
		ASSERT_EQ(0, take(self->rx, 0, 0));
	EXPECT_EQ(0, take(self->rx, self->arena, 4));
}

/*
 * A message was refused; its obstacle is released, the zero-byte message behind
 * that is not: now it has to go, and the control page has to say so.
 */
TEST_F(queue, s4_3_zero_byte_message_held_behind_a_body)
{
	struct l3l2q_control *control = self->w.control[self->role];

	ASSERT_EQ(0, send_data(self->tx, self->arena, 1));
	ASSERT_EQ(0, send_data(self->tx, 0, 2));
	ASSERT_EQ(-EAGAIN, send_data(self->tx, 10, 3));
	EXPECT_FALSE(l3l2q_writable(2, 0, DEPTH, control->producer_flags, control->need_head));
	ASSERT_EQ(0, take(self->rx, self->arena, 1));
	EXPECT_TRUE(l3l2q_writable(2, 1, DEPTH, control->producer_flags, control->need_head));
	EXPECT_EQ(0, send_data(self->tx, 10, 3));
	EXPECT_EQ(0, take(self->rx, 0, 2));
	EXPECT_EQ(0, take(self->rx, 10, 3));

	/* The same with a body behind it that may stay. */
	ASSERT_TRUE(start_over(self, variant));
	control = self->w.control[self->role];
	ASSERT_EQ(0, send_data(self->tx, self->arena - 10, 1));
	ASSERT_EQ(0, send_data(self->tx, 0, 2));
	ASSERT_EQ(0, send_data(self->tx, 10, 3));
	ASSERT_EQ(-EAGAIN, send_data(self->tx, 10, 4));
	ASSERT_EQ(0, take(self->rx, self->arena - 10, 1));
	EXPECT_TRUE(l3l2q_writable(3, 1, DEPTH, control->producer_flags, control->need_head));
	EXPECT_EQ(0, send_data(self->tx, 10, 4));
}

TEST_F(queue, s4_3_unpublished_bodies_are_in_flight)
{
	self->tx->p.batching = 1;
	ASSERT_EQ(0, send_data(self->tx, self->arena - 8, 1));
	EXPECT_EQ(-EAGAIN, send_data(self->tx, 16, 2));
	EXPECT_EQ(0, send_data(self->tx, 8, 3));
	EXPECT_EQ(-EAGAIN, send_data(self->tx, 1, 4));
	EXPECT_EQ(0, tail(&self->w, self->role));
	l3l2q_core_publish(&self->tx->p);
	EXPECT_EQ(2, tail(&self->w, self->role));
	EXPECT_EQ(0, take(self->rx, self->arena - 8, 1));
	EXPECT_EQ(0, take(self->rx, 8, 3));
}

TEST_F(queue, s4_3_free_space_from_the_start_of_the_oldest_body)
{
	uint64_t third = self->arena / 4;

	/* [ a ][ b ][ c ]: a released; as much as a goes in front of b, no more. */
	ASSERT_EQ(0, send_data(self->tx, third, 1));
	ASSERT_EQ(0, send_data(self->tx, third, 2));
	ASSERT_EQ(0, send_data(self->tx, self->arena - 2 * third, 3));
	ASSERT_EQ(0, take(self->rx, third, 1));
	EXPECT_EQ(-EAGAIN, send_data(self->tx, third + 1, 4));
	EXPECT_EQ(0, send_data(self->tx, third, 4));
	EXPECT_EQ(self->offset, slot_of(&self->w, self->role, 3)->payload_offset);
	EXPECT_EQ(0, take(self->rx, third, 2));
	EXPECT_EQ(0, take(self->rx, self->arena - 2 * third, 3));
	EXPECT_EQ(0, take(self->rx, third, 4));
}

/* ---- section 4.4: too large --------------------------------------------- */

struct fake_clock {
	uint64_t now, step;
	int reads;
};

static __u64 fake_now(void *arg)
{
	struct fake_clock *c = arg;

	c->reads++;
	c->now += c->step;
	return c->now;
}

TEST_F(queue, s4_4_too_large_at_once)
{
	static const uint64_t sizes[] = { 1, 64, 1ull << 32, 1ull << 63, ~0ull - 1024 };
	struct fake_clock clock = { .step = 1 };
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t n = self->arena + sizes[i];

		ASSERT_NOTHING_CHANGES(l3l2q_core_try_enqueue(&self->tx->p, L3L2Q_OP_DATA,
							      l3l2q_core_copy, "", n), -EMSGSIZE);
		ASSERT_NOTHING_CHANGES(l3l2q_core_try_reserve(&self->tx->p, n, &self->r),
				       -EMSGSIZE);
		ASSERT_NOTHING_CHANGES(l3l2q_core_enqueue(&self->tx->p, L3L2Q_OP_DATA, "", n, 1000,
							  fake_now, &clock), -EMSGSIZE);
		ASSERT_NOTHING_CHANGES(l3l2q_core_reserve(&self->tx->p, n, &self->r, 1000,
							  fake_now, &clock), -EMSGSIZE);
	}
	/* The clock was asked for deadlines only. */
	EXPECT_LE(clock.reads, 10);
	EXPECT_SOUND(self->tx);
	/* Also when there would be no progress anyway. */
	for (i = 0; i < DEPTH; i++)
		ASSERT_EQ(0, send_data(self->tx, 1, i));
	EXPECT_EQ(-EMSGSIZE, l3l2q_core_try_reserve(&self->tx->p, self->arena + 1, &self->r));
	EXPECT_SOUND(self->tx);
}

TEST_F(queue, s4_4_after_liveness_stop_and_ownership)
{
	uint64_t big = self->arena + 1;

	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r));
	EXPECT_EQ(-ESTALE, l3l2q_core_try_reserve(&self->tx->p, big, &self->r2));
	EXPECT_POISONED(self->tx, L3L2Q_ERR_OWNERSHIP);
	EXPECT_EQ(-ESTALE, l3l2q_core_try_enqueue(&self->tx->p, L3L2Q_OP_DATA, l3l2q_core_copy,
						 "", big));
	if (self->role == L3L2Q_ROLE_L3) {
		ASSERT_TRUE(start_over(self, variant));
		ASSERT_EQ(0, send_stop(self->tx));
		EXPECT_EQ(-ESHUTDOWN, l3l2q_core_try_reserve(&self->tx->p, big, &self->r));
		EXPECT_SOUND(self->tx);
	}
}

/* ---- section 4.5: the producer trusts its own record -------------------- */

TEST_F(queue, s4_5_producer_never_reads_descriptors)
{
	struct world *w = &self->w;
	uint64_t state = 5, i, taken = 0;
	struct oracle o;

	oracle_init(&o, DEPTH, self->offset, self->arena);
	for (i = 0; i < 20000; i++) {
		uint64_t n = rnd_size(&state, self->arena);
		bool fits = oracle_fits(&o, n);

		ASSERT_EQ(fits ? 0 : -EAGAIN, send_data(self->tx, n, i));
		if (fits) {
			uint64_t offset = oracle_place(&o, n);
			struct l3l2q_desc *slot = slot_of(w, self->role, o.tail - 1);

			ASSERT_EQ(o.tail, slot->seq);
			ASSERT_EQ(offset, slot->payload_offset);
			ASSERT_EQ(n, slot->payload_nbytes);
		}
		/* Nothing in either ring is what it was. */
		memset(w->payload, (int)rnd(&state), w->l.input_arena_offset);
		world_refetch(w);
		if (rnd_below(&state, 2) && taken < o.tail) {
			taken += rnd_below(&state, o.tail - taken) + 1;
			o.head = taken;
			*ctr(w, l3l2q_ctr_head(self->role)) = (__s32)taken;
		}
	}
	EXPECT_LT(2000, o.tail);
	EXPECT_SOUND(self->tx);
	oracle_free(&o);
}

/* ---- section 4.6: where a body may lie ---------------------------------- */

#define UNTOUCHED	UINTPTR_MAX	/* of a message filled with ones, after a failure */

static int deliver(FIXTURE_DATA(queue) *self, uint64_t i, uint64_t pos, uint64_t n)
{
	raw_publish(&self->w, self->role, i, L3L2Q_OP_DATA, n ? self->offset + pos : 0, n);
	memset(&self->m, 0xff, sizeof(self->m));
	return l3l2q_core_try_peek(&self->rx->c, &self->m);
}

TEST_F(queue, s4_6_early_wrap)
{
	/* Nothing held: with L3Q2 the L3 side takes a body at the start, nobody else does. */
	ASSERT_EQ(0, deliver(self, 0, 0, 40));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	if (self->peer == L3L2Q_ROLE_L2 || is_spsq(&self->w)) {
		EXPECT_EQ(-EBADMSG, deliver(self, 1, 0, 24));
		EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
		EXPECT_EQ(UNTOUCHED, (uintptr_t)self->m.data);
		EXPECT_EQ(UNTOUCHED, self->m.nbytes);
		return;
	}
	ASSERT_EQ(0, deliver(self, 1, 0, 24));
	EXPECT_EQ(self->w.payload + self->offset, self->m.data);
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	/* The cursor moved as if wrapped: the next is behind it. */
	ASSERT_EQ(0, deliver(self, 2, 24, 8));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	/* The whole arena, early. */
	ASSERT_EQ(0, deliver(self, 3, 0, self->arena));
	EXPECT_EQ(self->rx->c.arena_end, self->rx->c.offset);
	EXPECT_SOUND(self->rx);
}

/*
 * The first early wrap, and the first body that does not fit at once, after a long
 * history in which neither looked for the oldest body: that must not be looked for from
 * the beginning, which would take days.
 */
TEST_F(queue, s4_work_does_not_grow_with_history)
{
	uint64_t at = (1ull << 50) + 5, half = self->arena / 2;

	world_start_at(&self->w, at);
	self->tx->p.oldest = self->rx->c.oldest = 0;
	ASSERT_EQ(0, deliver(self, at, 0, 40));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	if (self->peer == L3L2Q_ROLE_L3 && !is_spsq(&self->w))
		ASSERT_EQ(0, deliver(self, at + 1, 0, 24));

	ASSERT_TRUE(start_over(self, variant));
	world_start_at(&self->w, at);
	self->tx->p.oldest = self->rx->c.oldest = 0;
	ASSERT_EQ(0, pass(self, half + 1));
	ASSERT_EQ(0, pass(self, half));
	ASSERT_EQ(0, send_data(self->tx, self->arena, 2));
	EXPECT_EQ(-EAGAIN, send_data(self->tx, 1, 3));
	EXPECT_EQ(0, take(self->rx, self->arena, 2));
	EXPECT_SOUND(self->tx);
}

TEST_F(queue, s4_6_early_wrap_must_not_overlap)
{
	uint64_t n, held_at = 100, held = 60;

	if (self->peer != L3L2Q_ROLE_L3 || variant->window == 1 || is_spsq(&self->w))
		return; /* L3 with a window, L3Q2 */
	/* A body at [100, 160) is held; an early wrap may take 100 bytes, not more. */
	for (n = 1; n <= 140; n++) {
		ASSERT_TRUE(start_over(self, variant));
		ASSERT_EQ(0, deliver(self, 0, 0, held_at));
		ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
		ASSERT_EQ(0, deliver(self, 1, held_at, held));
		if (n <= held_at) {
			ASSERT_EQ(0, deliver(self, 2, 0, n)) {
				TH_LOG("%" PRIu64 " bytes", n);
			}
			EXPECT_SOUND(self->rx);
		} else {
			ASSERT_EQ(-EBADMSG, deliver(self, 2, 0, n)) {
				TH_LOG("%" PRIu64 " bytes", n);
			}
			EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
			EXPECT_EQ(UNTOUCHED, (uintptr_t)self->m.data);
		}
	}
}

/* A second early wrap would overtake a body that is held since before the first. */
TEST_F(queue, s4_6_early_wrap_does_not_overtake)
{
	if (self->peer != L3L2Q_ROLE_L3 || variant->window < 3 || is_spsq(&self->w))
		return; /* L3 with a window for three, L3Q2 */
	ASSERT_EQ(0, deliver(self, 0, 0, 100));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	ASSERT_EQ(0, deliver(self, 1, 100, 60));
	ASSERT_EQ(0, deliver(self, 2, 0, 10));
	ASSERT_EQ(-EBADMSG, deliver(self, 3, 0, 10));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
}

TEST_F(queue, s4_6_zero_byte_handles_do_not_hinder_early_wrap)
{
	if (self->peer != L3L2Q_ROLE_L3 || variant->window == 1 || is_spsq(&self->w))
		return; /* L3 with a window, L3Q2 */
	ASSERT_EQ(0, deliver(self, 0, 0, 100));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	ASSERT_EQ(0, deliver(self, 1, 0, 0));
	ASSERT_EQ(0, deliver(self, 2, 0, 200));
	EXPECT_SOUND(self->rx);
}

TEST_F(queue, s4_6_released_out_of_order_still_counts)
{
	struct l3l2q_message held[2];

	if (self->peer != L3L2Q_ROLE_L3 || variant->window == 1 || is_spsq(&self->w))
		return; /* L3 with a window, L3Q2 */
	/* Released but behind one that is not: the producer cannot know, nobody may. */
	ASSERT_EQ(0, deliver(self, 0, 0, 100));
	held[0] = self->m;
	ASSERT_EQ(0, deliver(self, 1, 100, 50));
	held[1] = self->m;
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &held[1]));
	ASSERT_EQ(-EBADMSG, deliver(self, 2, 0, 10));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
}

TEST_F(queue, s4_6_anything_else_poisons)
{
	static const struct {
		int64_t pos;	/* from the arena's start; cursor at 64 */
		uint64_t n;
	} bad[] = {
		{ 63, 8 }, { 65, 8 }, { 8, 8 }, { 1, 8 }, { 128, 8 },
		{ -8, 8 }, { -64, 64 }, { -1, 1 },
		{ 64, 257 }, { 64, ~0ull }, { 0, 1ull << 63 },
		{ INT64_MIN, 8 }, { INT64_MAX, 8 },
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ASSERT_TRUE(start_over(self, variant));
		ASSERT_EQ(0, pass(self, 64));
		EXPECT_EQ(-EBADMSG, deliver(self, 1, (uint64_t)bad[i].pos, bad[i].n)) {
			TH_LOG("case %zu", i);
		}
		EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
		/* No view of it. */
		EXPECT_EQ(UNTOUCHED, (uintptr_t)self->m.data);
		EXPECT_EQ(UNTOUCHED, self->m.seq);
	}
	/* Past the end of the arena, though inside the payload range for input. */
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, pass(self, self->arena - 8));
	EXPECT_EQ(-EBADMSG, deliver(self, 1, self->arena - 8, 16));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
	/* A wrap that was due and not taken, or the other direction's arena. */
	ASSERT_TRUE(start_over(self, variant));
	raw_publish(&self->w, self->role, 0, L3L2Q_OP_DATA,
		    arena_offset(&self->w, self->peer), 8);
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
}

/* ---- section 4.7: batches ----------------------------------------------- */

TEST_F(queue, s4_7_batch_ends_with_stop)
{
	if (self->role != L3L2Q_ROLE_L3)
		return; /* STOP is for input */
	self->tx->p.batching = 1;
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	ASSERT_EQ(0, send_data(self->tx, 8, 2));
	ASSERT_EQ(0, send_stop(self->tx));
	EXPECT_EQ(-ESHUTDOWN, send_data(self->tx, 8, 3));
	EXPECT_EQ(-ESHUTDOWN, send_stop(self->tx));
	EXPECT_EQ(-ESHUTDOWN, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r));
	EXPECT_EQ(0, tail(&self->w, self->role));
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->m));
	self->tx->p.batching = 0;
	l3l2q_core_publish(&self->tx->p);
	EXPECT_EQ(3, tail(&self->w, self->role));
	EXPECT_EQ(0, take(self->rx, 8, 1));
	EXPECT_EQ(0, take(self->rx, 8, 2));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(L3L2Q_OP_STOP, self->m.opcode);
	EXPECT_FALSE(self->rx->c.drained);
	EXPECT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_TRUE(self->rx->c.drained);
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_SOUND(self->tx);
	EXPECT_SOUND(self->rx);
}

/* ---- section 8: runs ------------------------------------------------------ */

/* Send a run of DATA of so many bytes each, the seeds counting from 0. */
static int send_run(struct side *s, uint64_t nbytes, int n)
{
	struct l3l2q_reservation r;
	int i, got = l3l2q_core_try_reserve_run(&s->p, nbytes, n, &r);

	for (i = 0; i < got && nbytes; i++)
		body_fill((char *)r.data + (uint64_t)i * nbytes, nbytes, (uint64_t)i);
	return got < 0 ? got : l3l2q_core_commit_run(&s->p, &r, L3L2Q_OP_DATA, got) ?: got;
}

/* True if a run is of DATA with such numbers, sizes and bodies. */
static bool run_is(struct side *s, const struct l3l2q_message *run, int n, uint64_t seq,
		   uint64_t nbytes, uint64_t seed)
{
	int i;

	for (i = 0; i < n; i++, seq++, seed++) {
		if (run[i].seq != seq || run[i].nbytes != nbytes || run[i].opcode != L3L2Q_OP_DATA)
			return false;
		if (nbytes ? run[i].data != s->core.payload + run[i].payload_offset ||
			     !body_is(run[i].data, nbytes, seed)
			   : run[i].data || run[i].payload_offset)
			return false;
	}
	return true;
}

TEST_F(queue, s8_run_is_placed_as_messages_one_by_one)
{
	uint64_t i, size;

	for (size = 0; size <= 16; size += 8) {
		ASSERT_TRUE(start_over(self, variant));
		ASSERT_EQ(0, pass(self, 24));
		ASSERT_EQ(3, l3l2q_core_try_reserve_run(&self->tx->p, size, 3, &self->r));
		EXPECT_EQ(2, self->r.seq);
		EXPECT_EQ(size, self->r.nbytes);
		EXPECT_EQ(size ? self->offset + 24 : 0, self->r.payload_offset);
		EXPECT_EQ(size ? self->tx->core.payload + self->offset + 24 : NULL, self->r.data);
		for (i = 0; i < 3 && size; i++)
			body_fill((char *)self->r.data + i * size, size, i);
		EXPECT_EQ(1, tail(&self->w, self->role));
		ASSERT_EQ(0, l3l2q_core_commit_run(&self->tx->p, &self->r, L3L2Q_OP_DATA, 2));
		EXPECT_EQ(3, tail(&self->w, self->role));
		for (i = 0; i < 2; i++) {
			const struct l3l2q_desc *slot = slot_of(&self->w, self->role, i + 1);

			EXPECT_EQ(i + 2, slot->seq);
			EXPECT_EQ(L3L2Q_OP_DATA, slot->opcode);
			EXPECT_EQ(size ? self->offset + 24 + i * size : 0, slot->payload_offset);
			EXPECT_EQ(size, slot->payload_nbytes);
		}
		/* The third was given back. */
		EXPECT_EQ(24 + 2 * size, producer_cursor(&self->tx->p));
		EXPECT_EQ(24 + 2 * size, producer_bytes(&self->tx->p));
		ASSERT_EQ(0, send_data(self->tx, 8, 7));
		EXPECT_EQ(self->offset + 24 + 2 * size,
			  slot_of(&self->w, self->role, 3)->payload_offset);
		EXPECT_EQ(0, take(self->rx, size, 0));
		EXPECT_EQ(0, take(self->rx, size, 1));
		EXPECT_EQ(0, take(self->rx, 8, 7));
		EXPECT_SOUND(self->tx);
		EXPECT_SOUND(self->rx);
	}
}

TEST_F(queue, s8_run_takes_what_fits)
{
	uint64_t i, fits = self->arena / 100, at = self->arena - 40;

	/* the ring */
	EXPECT_EQ(DEPTH, send_run(self->tx, 8, 100));
	EXPECT_EQ(-EAGAIN, send_run(self->tx, 8, 100));
	EXPECT_EQ(-EAGAIN, send_run(self->tx, 0, 1));
	EXPECT_EQ(DEPTH * 8, producer_cursor(&self->tx->p));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, take(self->rx, 8, i));
	/* what was released meanwhile counts, though one would fit without */
	EXPECT_EQ(2, send_run(self->tx, 8, 3));
	/* the arena */
	ASSERT_TRUE(start_over(self, variant));
	EXPECT_EQ(fits, send_run(self->tx, 100, 4));
	EXPECT_EQ(-EAGAIN, send_run(self->tx, 100, 4));
	EXPECT_EQ(-EMSGSIZE, send_run(self->tx, self->arena + 1, 1));
	EXPECT_EQ(-EMSGSIZE, send_run(self->tx, 1ull << 62, 4));
	EXPECT_EQ(-EMSGSIZE, send_run(self->tx, ~0ull, 4));
	EXPECT_EQ(fits, tail(&self->w, self->role));
	for (i = 0; i < fits; i++)
		ASSERT_EQ(0, take(self->rx, 100, i));
	/* the arena's end: a run does not wrap, the next one does as a whole */
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, pass(self, at));
	EXPECT_EQ(2, send_run(self->tx, 16, 3));
	EXPECT_EQ(2, send_run(self->tx, 16, 4));
	EXPECT_EQ(self->offset, slot_of(&self->w, self->role, 3)->payload_offset);
	EXPECT_EQ(self->arena + 32, producer_cursor(&self->tx->p));
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, take(self->rx, 16, i & 1));
	EXPECT_EQ(producer_bytes(&self->tx->p), self->rx->c.bytes);
	/* what is still held there */
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, pass(self, 64));
	ASSERT_EQ(0, send_data(self->tx, self->arena - 64, 1));
	EXPECT_EQ(2, send_run(self->tx, 30, 3));
	EXPECT_EQ(-EAGAIN, send_run(self->tx, 30, 1));
	EXPECT_SOUND(self->tx);
	EXPECT_SOUND(self->rx);
}

TEST_F(queue, s8_run_is_one_reservation)
{
	int i;

	ASSERT_EQ(0, pass(self, self->arena - 10));
	ASSERT_EQ(3, l3l2q_core_try_reserve_run(&self->tx->p, 16, 3, &self->r));
	EXPECT_EQ(-EINVAL, l3l2q_core_commit_run(&self->tx->p, &self->r, L3L2Q_OP_DATA, 0));
	EXPECT_EQ(-EINVAL, l3l2q_core_commit_run(&self->tx->p, &self->r, L3L2Q_OP_DATA, 4));
	EXPECT_EQ(-EINVAL, l3l2q_core_commit_run(&self->tx->p, &self->r, L3L2Q_OP_DATA, -1));
	ASSERT_EQ(0, l3l2q_core_cancel(&self->tx->p, &self->r));
	EXPECT_EQ(self->arena - 10, producer_cursor(&self->tx->p));
	/* commit sends the first one */
	ASSERT_EQ(3, l3l2q_core_try_reserve_run(&self->tx->p, 16, 3, &self->r));
	body_fill(self->r.data, 16, 5);
	ASSERT_EQ(0, l3l2q_core_commit(&self->tx->p, &self->r, error_op(&self->w, self->role)));
	EXPECT_EQ(2, tail(&self->w, self->role));
	EXPECT_EQ(0, take(self->rx, 16, 5));
	/* one span is a run of one */
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 16, &self->r));
	EXPECT_EQ(-EINVAL, l3l2q_core_commit_run(&self->tx->p, &self->r, L3L2Q_OP_DATA, 2));
	ASSERT_EQ(0, l3l2q_core_commit_run(&self->tx->p, &self->r, L3L2Q_OP_DATA, 1));
	EXPECT_SOUND(self->tx);

	for (i = 0; i < 9; i++) {
		struct l3l2q_reservation span;
		int ret;

		ASSERT_TRUE(start_over(self, variant));
		if (i < 8)
			ASSERT_EQ(2, l3l2q_core_try_reserve_run(&self->tx->p, 16, 2, &self->r));
		span = self->r;
		switch (i) {
		case 0: span.seq++; break;
		case 1: span.payload_offset += 16; break;
		case 2: span.nbytes *= 2; break;
		case 3: span.data = (char *)span.data + 16; break;
		}
		if (i == 4)
			ret = l3l2q_core_try_reserve_run(&self->tx->p, 16, 1, &self->r2);
		else if (i == 5)
			ret = send_run(self->tx, 0, 1);
		else if (i == 6)
			ret = l3l2q_core_try_enqueue_run(&self->tx->p, L3L2Q_OP_DATA,
							 &(struct l3l2q_body){ 0 }, 1);
		else if (i == 7)
			ret = l3l2q_core_commit_run(&self->tx->p, &span, L3L2Q_OP_DATA, 2) ?:
			      l3l2q_core_commit_run(&self->tx->p, &span, L3L2Q_OP_DATA, 2);
		else
			ret = l3l2q_core_commit_run(&self->tx->p, &span, L3L2Q_OP_DATA, 2);
		EXPECT_EQ(-ESTALE, ret) {
			TH_LOG("case %d", i);
		}
		EXPECT_POISONED(self->tx, L3L2Q_ERR_OWNERSHIP);
		EXPECT_EQ(i == 7 ? 2 : 0, tail(&self->w, self->role));
	}
}

/* Bodies from an array: their sizes differ. */
TEST_F(queue, s8_run_of_bodies)
{
	uint32_t ops[] = { L3L2Q_OP_DATA, error_op(&self->w, self->role) };
	struct l3l2q_body bodies[6] = { { 0 } };
	struct l3l2q_producer *p;
	unsigned char from[320];
	size_t i, k;
	int n, j;

	body_fill(from, sizeof(from), 3);
	for (k = 0; k < 2; k++) {
		ASSERT_TRUE(start_over(self, variant));
		p = &self->tx->p;
		for (i = 0; i < 6; i++)
			bodies[i] = (struct l3l2q_body){ i == 1 ? NULL : from + i, i == 1 ? 0 : 8 + i };
		p->batching = 1;
		ASSERT_EQ(2, l3l2q_core_try_enqueue_run(p, ops[k], bodies, 2));
		EXPECT_EQ(0, tail(&self->w, self->role));
		p->batching = 0;
		/* the ring ends it */
		ASSERT_EQ(2, l3l2q_core_try_enqueue_run(p, ops[k], bodies + 2, 4));
		EXPECT_EQ(4, tail(&self->w, self->role));
		EXPECT_EQ(-EAGAIN, l3l2q_core_try_enqueue_run(p, ops[k], bodies + 4, 2));
		EXPECT_EQ(8 + 10 + 11, producer_cursor(p));
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
			EXPECT_EQ(i + 1, self->m.seq);
			EXPECT_EQ(ops[k], self->m.opcode);
			ASSERT_EQ(bodies[i].nbytes, self->m.nbytes);
			EXPECT_EQ(!self->m.nbytes, !self->m.data);
			EXPECT_TRUE(!self->m.nbytes ||
				    !memcmp(bodies[i].data, self->m.data, self->m.nbytes));
			ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
		}
		/* the arena ends it, and goes round */
		for (i = 0; i < 6; i++)
			bodies[i] = (struct l3l2q_body){ from, self->arena / 4 + 20 };
		for (i = 0; i < 9 * 2; i += (size_t)n) {
			n = l3l2q_core_try_enqueue_run(p, ops[k], bodies, 6);
			ASSERT_TRUE(n == 2 || n == 3);
			EXPECT_EQ(-EAGAIN, l3l2q_core_try_enqueue_run(p, ops[k], bodies, 1));
			EXPECT_EQ((int)i + 4 + n, tail(&self->w, self->role));
			for (j = 0; j < n; j++) {
				ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
				ASSERT_EQ(bodies[j].nbytes, self->m.nbytes);
				EXPECT_EQ(0, memcmp(from, self->m.data, self->m.nbytes));
				ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
			}
		}
		EXPECT_EQ(producer_bytes(p), self->rx->c.bytes);
		EXPECT_SOUND(self->tx);
		EXPECT_SOUND(self->rx);
	}
}

/* What no call would send ends a run, and is an error of the call that begins with it. */
TEST_F(queue, s8_run_of_bodies_ends_before_a_bad_one)
{
	static const struct l3l2q_body bad[] = {
		{ "x", 0 }, { NULL, 1 }, { "x", IN_ARENA + OUT_ARENA }, { "x", ~0ull },
	};
	struct l3l2q_body bodies[2] = { { "good", 4 } };
	struct l3l2q_producer *p;
	size_t i;

	for (i = 0; i < 4; i++) {
		ASSERT_TRUE(start_over(self, variant));
		p = &self->tx->p;
		bodies[1] = bad[i];
		ASSERT_EQ(0, send_data(self->tx, 8, 1));
		EXPECT_EQ(1, l3l2q_core_try_enqueue_run(p, L3L2Q_OP_DATA, bodies, 2));
		EXPECT_EQ(2, tail(&self->w, self->role));
		EXPECT_EQ(i < 2 ? -EINVAL : -EMSGSIZE,
			  l3l2q_core_try_enqueue_run(p, L3L2Q_OP_DATA, bodies + 1, 1));
		EXPECT_EQ(2, tail(&self->w, self->role));
		EXPECT_EQ(12, producer_cursor(p));
		EXPECT_SOUND(self->tx);
	}
	/* STOP is sent alone; on output it is no opcode. */
	ASSERT_TRUE(start_over(self, variant));
	p = &self->tx->p;
	EXPECT_EQ(self->role == L3L2Q_ROLE_L3 ? -EINVAL : -EBADMSG,
		  l3l2q_core_try_enqueue_run(p, L3L2Q_OP_STOP, &(struct l3l2q_body){ 0 }, 1));
	EXPECT_EQ(0, tail(&self->w, self->role));
	if (self->role == L3L2Q_ROLE_L2)
		return;
	EXPECT_SOUND(self->tx);
	ASSERT_EQ(0, send_stop(self->tx));
	EXPECT_EQ(-ESHUTDOWN, l3l2q_core_try_enqueue_run(p, L3L2Q_OP_DATA, bodies, 1));
	EXPECT_EQ(-ESHUTDOWN, send_run(self->tx, 8, 1));
}

/* A head that is impossible is found in mid-run: what went before it is sent. */
TEST_F(queue, s8_run_of_bodies_and_a_broken_peer)
{
	struct l3l2q_body bodies[DEPTH + 1];
	size_t i;

	for (i = 0; i <= DEPTH; i++)
		bodies[i] = (struct l3l2q_body){ "body", 4 };
	*ctr(&self->w, l3l2q_ctr_head(self->role)) = -1;
	EXPECT_EQ(DEPTH, l3l2q_core_try_enqueue_run(&self->tx->p, L3L2Q_OP_DATA, bodies, DEPTH + 1));
	EXPECT_EQ(DEPTH, tail(&self->w, self->role));
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_enqueue_run(&self->tx->p, L3L2Q_OP_DATA, bodies, 1));
	EXPECT_POISONED(self->tx, L3L2Q_ERR_INVALID_DESCRIPTOR);

	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	*ctr(&self->w, l3l2q_ctr_head(self->role)) = -1;
	EXPECT_EQ(-EBADMSG, send_run(self->tx, 8, DEPTH));
	EXPECT_POISONED(self->tx, L3L2Q_ERR_INVALID_DESCRIPTOR);
	EXPECT_EQ(1, tail(&self->w, self->role));
}

TEST_F(queue, s8_peek_run)
{
	const struct l3l2q_message *run = NULL, *next;
	int n = variant->window == 3 ? 3 : 1, i, round;
	uint64_t seq = 1;

	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek_run(&self->rx->c, &run, 4));
	EXPECT_EQ(NULL, run);
	/* Where the ring, the arena and the handles end, wherever the run begins. */
	for (round = 0; round < 40; round++) {
		uint64_t size = (uint64_t)round % 3 * 8, seed = 0;

		ASSERT_EQ(1, send_run(self->tx, size, 1));
		if (n == 3)
			EXPECT_LE(1, send_run(self->tx, size, 2));
		while (self->rx->c.head != self->tx->p.tail) {
			i = l3l2q_core_try_peek_run(&self->rx->c, &run, 4);
			ASSERT_LE(1, i);
			ASSERT_GE(n, i);
			EXPECT_TRUE(run_is(self->rx, run, 1, seq, size, seed ? seed - 1 : 0));
			EXPECT_EQ(seq - 1, (uint32_t)head(&self->w, self->role));
			ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, &run[i - 1]));
			seq += (uint64_t)i;
			seed += (uint64_t)i;
			EXPECT_EQ(seq - 1, (uint32_t)head(&self->w, self->role));
		}
		EXPECT_EQ(producer_bytes(&self->tx->p), self->rx->c.bytes);
	}
	/* The array of handles ends behind the fourth. */
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(3, send_run(self->tx, 8, 3));
	run = NULL;
	ASSERT_EQ(n, l3l2q_core_try_peek_run(&self->rx->c, &run, 4));
	EXPECT_TRUE(run_is(self->rx, run, n, 1, 8, 0));
	if (one_handle(self, variant)) {
		next = NULL;
		if (self->peer == L3L2Q_ROLE_L3) {
			EXPECT_EQ(1, l3l2q_core_try_peek_run(&self->rx->c, &next, 4));
			EXPECT_EQ(run, next);
		} else {
			EXPECT_EQ(-ESTALE, l3l2q_core_try_peek_run(&self->rx->c, &next, 4));
			EXPECT_POISONED(self->rx, L3L2Q_ERR_OWNERSHIP);
		}
		return;
	}
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek_run(&self->rx->c, &next, 4));
	if (n == 1)
		return;
	/* up to the middle; the rest as it was */
	ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, &run[1]));
	EXPECT_EQ(2, head(&self->w, self->role));
	EXPECT_TRUE(run_is(self->rx, run + 2, 1, 3, 8, 2));
	ASSERT_EQ(2, send_run(self->tx, 8, 2));
	ASSERT_EQ(1, l3l2q_core_try_peek_run(&self->rx->c, &next, 4));
	EXPECT_EQ(run + 3, next);
	ASSERT_EQ(1, l3l2q_core_try_peek_run(&self->rx->c, &next, 4));
	EXPECT_EQ(run, next);
	EXPECT_EQ(5, next->seq);
	self->m = *next;
	ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, &self->m));
	EXPECT_EQ(5, head(&self->w, self->role));
	EXPECT_SOUND(self->rx);
}

/* A batch goes on where the array of handles ends, and not past the window. */
TEST_F(queue, s8_peek_batch)
{
	struct l3l2q_message m[8];
	int window = variant->window == 3 ? 3 : 1, n, round;
	uint64_t seq = 1;

	for (round = 0; round < 40; round++) {
		ASSERT_LE(1, send_run(self->tx, 8, 1 + round % 3));
		while (self->rx->c.head != self->tx->p.tail) {
			uint64_t pending = self->tx->p.tail - self->rx->c.head;

			n = l3l2q_core_peek_batch(&self->rx->c, m, 8);
			ASSERT_EQ(pending < (uint64_t)window ? (int)pending : window, n);
			EXPECT_EQ(seq, m[0].seq);
			EXPECT_EQ(seq + (uint64_t)n - 1, m[n - 1].seq);
			ASSERT_EQ(0, l3l2q_core_release_batch(&self->rx->c, m, n));
			seq += (uint64_t)n;
		}
	}
	EXPECT_SOUND(self->rx);
}

/* Release up to a handle, where others were released before it. */
TEST_F(queue, s8_release_upto_and_out_of_order)
{
	const struct l3l2q_message *run = NULL;
	struct l3l2q_message held[3];
	int i;

	if (variant->window != 3)
		return; /* W = 3 */
	for (i = 0; i < 4; i++) {
		ASSERT_TRUE(start_over(self, variant));
		ASSERT_EQ(3, send_run(self->tx, 8, 3));
		ASSERT_EQ(3, l3l2q_core_try_peek_run(&self->rx->c, &run, 3));
		memcpy(held, run, sizeof(held));
		ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &run[1]));
		EXPECT_EQ(0, head(&self->w, self->role));
		EXPECT_EQ(8, self->rx->c.bytes);
		switch (i) {
		case 0:
			ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, &run[2]));
			EXPECT_EQ(3, head(&self->w, self->role));
			EXPECT_EQ(24, self->rx->c.bytes);
			break;
		case 1:
			ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, &run[0]));
			EXPECT_EQ(2, head(&self->w, self->role));
			ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, &run[2]));
			EXPECT_EQ(3, head(&self->w, self->role));
			EXPECT_EQ(24, self->rx->c.bytes);
			break;
		case 2:	/* twice, by the copy and by the array */
		case 3:
			EXPECT_EQ(-ESTALE, l3l2q_core_release_upto(&self->rx->c, i == 2 ? &held[1]
											: &run[1]));
			EXPECT_POISONED(self->rx, L3L2Q_ERR_OWNERSHIP);
			EXPECT_EQ(0, head(&self->w, self->role));
			continue;
		}
		EXPECT_SOUND(self->rx);
		EXPECT_EQ(-ESTALE, l3l2q_core_release_upto(&self->rx->c, &held[2]));
		EXPECT_POISONED(self->rx, L3L2Q_ERR_OWNERSHIP);
	}
}

TEST_F(queue, s8_release_upto_compares_with_the_cached_copy)
{
	const struct l3l2q_message *run = NULL;
	int i;

	for (i = 0; i < 8; i++) {
		ASSERT_TRUE(start_over(self, variant));
		ASSERT_EQ(2, send_run(self->tx, 8, 2));
		ASSERT_EQ(variant->window == 3 ? 2 : 1,
			  l3l2q_core_try_peek_run(&self->rx->c, &run, 2));
		self->m = run[0];
		switch (i) {
		case 0: self->m.seq += DEPTH; break;
		case 1: self->m.seq = 0; break;
		case 2: self->m.payload_offset += 8; break;
		case 3: self->m.nbytes--; break;
		case 4: self->m.data = NULL; break;
		case 5: self->m.opcode = L3L2Q_OP_ERROR; break;
		case 6: self->m.seq = 3; break;
		case 7: self->m.seq += 1ull << 32; break;
		}
		EXPECT_EQ(-ESTALE, l3l2q_core_release_upto(&self->rx->c, &self->m)) {
			TH_LOG("case %d", i);
		}
		EXPECT_POISONED(self->rx, L3L2Q_ERR_OWNERSHIP);
		EXPECT_EQ(0, head(&self->w, self->role));
	}
}

/* Nothing that a peer stores later changes what was acquired. */
TEST_F(queue, s8_run_is_copied_once)
{
	const struct l3l2q_message *run = NULL;
	int n = variant->window == 3 ? 3 : 1;

	ASSERT_EQ(3, send_run(self->tx, 8, 3));
	ASSERT_EQ(n, l3l2q_core_try_peek_run(&self->rx->c, &run, 3));
	memset(slot_of(&self->w, self->role, 0), 0xff, 3 * sizeof(struct l3l2q_desc));
	EXPECT_TRUE(run_is(self->rx, run, n, 1, 8, 0));
	ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, &run[n - 1]));
	EXPECT_EQ(n, head(&self->w, self->role));
	EXPECT_EQ((uint64_t)n * 8, self->rx->c.bytes);
	EXPECT_SOUND(self->rx);
}

/* Each field of each descriptor of a run is checked; those before it are delivered. */
TEST_F(queue, s8_run_rejects)
{
	const struct l3l2q_message *run;
	struct l3l2q_desc *slot;
	int at, i, want;

	for (at = 0; at < 3; at++) {
		for (i = 0; i < 14; i++) {
			ASSERT_TRUE(start_over(self, variant));
			ASSERT_EQ(3, send_run(self->tx, 8, 3));
			slot = slot_of(&self->w, self->role, (uint64_t)at);
			switch (i) {
			case 0: slot->seq++; break;
			case 1: slot->seq = 0; break;
			case 2: slot->seq += 1ull << 32; break;
			case 3: slot->opcode = 0; break;
			case 4: slot->opcode = 4; break;
			case 5: slot->opcode += 1ull << 32; break;
			case 6: slot->payload_offset++; break;
			case 7: slot->payload_offset = 0; break;
			case 8: slot->payload_offset += 1ull << 32; break;
			case 9: slot->payload_nbytes = 0; break;
			case 10: slot->payload_nbytes = self->arena; break;
			case 11: slot->payload_nbytes += 1ull << 32; break;
			case 12: slot->payload_nbytes = -(__u64)8; break;
			case 13: slot->payload_nbytes = ~0ull; break;
			}
			/* with this one's size the arena is not left */
			if (i == 10 && !at)
				continue;
			world_refetch(&self->w);
			run = NULL;
			want = !at ? -EBADMSG : variant->window == 3 ? at : 1;
			ASSERT_EQ(want, l3l2q_core_try_peek_run(&self->rx->c, &run, 3)) {
				TH_LOG("case %d at %d", i, at);
			}
			EXPECT_EQ(!at, !run);
			EXPECT_TRUE(!at || run_is(self->rx, run, want, 1, 8, 0));
			if (want >= 0 && want < at)
				continue; /* the next message is good */
			/* With a window of 1 it was not looked at yet. */
			if (at && variant->window == 1)
				ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, run));
			EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek_run(&self->rx->c, &run, 3));
			EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
			EXPECT_EQ(variant->window == 1 && at, head(&self->w, self->role));
		}
	}
}

/* Sizes that add up to a small number, modulo 2^64 and modulo 2^32. */
TEST_F(queue, s8_run_of_sizes_that_overflow)
{
	const struct l3l2q_message *run;
	uint64_t huge[] = { -(__u64)16, 1ull << 63, 1ull << 32, 0xfffffff0u };
	size_t i;

	for (i = 0; i < 4; i++) {
		ASSERT_TRUE(start_over(self, variant));
		raw_publish(&self->w, self->role, 0, L3L2Q_OP_DATA, self->offset, 8);
		raw_publish(&self->w, self->role, 1, L3L2Q_OP_DATA, self->offset + 8, huge[i]);
		raw_publish(&self->w, self->role, 2, L3L2Q_OP_DATA, self->offset + 8 + huge[i],
			    -huge[i]);
		world_refetch(&self->w);
		ASSERT_EQ(1, l3l2q_core_try_peek_run(&self->rx->c, &run, 3));
		if (variant->window == 1)
			ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, run));
		EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek_run(&self->rx->c, &run, 3));
		EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
	}
}

/* ERROR and messages without a body are messages like any other. */
TEST_F(queue, s8_run_of_all_kinds)
{
	const struct l3l2q_message *run = NULL;
	uint32_t op = error_op(&self->w, self->role);
	int n = variant->window == 3 ? 3 : 1;

	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	ASSERT_EQ(0, send_op(self->tx, op, 8, 2));
	ASSERT_EQ(0, send_data(self->tx, 0, 3));
	ASSERT_EQ(n, l3l2q_core_try_peek_run(&self->rx->c, &run, 3));
	EXPECT_TRUE(run_is(self->rx, run, 1, 1, 8, 1));
	if (n == 1)
		return;
	EXPECT_EQ(op, run[1].opcode);
	EXPECT_TRUE(body_is(run[1].data, 8, 2));
	EXPECT_EQ(0, run[2].nbytes);
	EXPECT_EQ(NULL, run[2].data);
	EXPECT_EQ(3, run[2].seq);
	ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, &run[2]));
	EXPECT_EQ(16, self->rx->c.bytes);
	EXPECT_SOUND(self->rx);
}

/*
 * A run goes on behind the end of the ring with whatever is there, and what poisons there
 * is told at once. Only with as many handles as slots do handles lie together there.
 */
TEST_F(queue, s8_run_behind_the_end_of_the_ring)
{
	uint32_t op = error_op(&self->w, self->role);
	const struct l3l2q_message *run = NULL;
	FIXTURE_VARIANT(queue) whole = *variant;
	int i, bad;

	whole.window = DEPTH;
	for (bad = 0; bad < 2; bad++) {
		ASSERT_TRUE(start_over(self, &whole));
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(0, send_data(self->tx, 8, (uint64_t)i));
			ASSERT_EQ(0, take(self->rx, 8, i));
		}
		ASSERT_EQ(0, send_data(self->tx, 8, 3));
		ASSERT_EQ(0, send_op(self->tx, op, 8, 4));
		ASSERT_EQ(0, send_data(self->tx, 0, 5));
		if (bad)
			slot_of(&self->w, self->role, 4)->payload_offset++;
		world_refetch(&self->w);
		ASSERT_EQ(bad ? 1 : 3, l3l2q_core_try_peek_run(&self->rx->c, &run, 4));
		EXPECT_TRUE(run_is(self->rx, run, 1, 4, 8, 3));
		if (bad) {
			EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
			continue;
		}
		EXPECT_EQ(op, run[1].opcode);
		EXPECT_TRUE(body_is(run[1].data, 8, 4));
		EXPECT_EQ(6, run[2].seq);
		EXPECT_EQ(NULL, run[2].data);
		ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, &run[2]));
		EXPECT_EQ(6, head(&self->w, self->role));
		EXPECT_SOUND(self->rx);
	}
}

TEST_F(queue, s8_stop_ends_a_run)
{
	const struct l3l2q_message *run = NULL;
	int n = variant->window == 3 ? 3 : 1;

	if (self->role != L3L2Q_ROLE_L3)
		return; /* STOP is for input */
	ASSERT_EQ(2, send_run(self->tx, 8, 2));
	ASSERT_EQ(0, send_stop(self->tx));
	ASSERT_EQ(n, l3l2q_core_try_peek_run(&self->rx->c, &run, 4));
	EXPECT_TRUE(run_is(self->rx, run, n == 3 ? 2 : 1, 1, 8, 0));
	if (n == 3) {
		EXPECT_EQ(L3L2Q_OP_STOP, run[2].opcode);
		EXPECT_EQ(NULL, run[2].data);
		EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek_run(&self->rx->c, &run, 4));
		ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, &run[1]));
		EXPECT_FALSE(self->rx->c.drained);
		ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, &run[2]));
		EXPECT_TRUE(self->rx->c.drained);
		EXPECT_EQ(3, head(&self->w, self->role));
	}
	EXPECT_SOUND(self->rx);

	/* What follows it is for the call that meets STOP. */
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(1, send_run(self->tx, 8, 1));
	ASSERT_EQ(0, send_stop(self->tx));
	raw_publish(&self->w, self->role, 2, L3L2Q_OP_DATA, self->offset + 8, 8);
	world_refetch(&self->w);
	ASSERT_EQ(1, l3l2q_core_try_peek_run(&self->rx->c, &run, 4));
	if (n == 1)
		ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, run));
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek_run(&self->rx->c, &run, 4));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
}

TEST_F(queue, s8_runs_and_the_peers_end)
{
	const struct l3l2q_message *run = NULL;
	__u32 gone = 0;

	ASSERT_EQ(1, send_run(self->tx, 8, 1));
	ASSERT_EQ(2, l3l2q_core_try_reserve_run(&self->tx->p, 8, 2, &self->r));
	self->tx->core.gone = self->rx->core.gone = &gone;
	self->tx->p.end = &gone;
	gone = L3L2Q_GONE_DETACHED;
	EXPECT_EQ(-EPIPE, l3l2q_core_commit_run(&self->tx->p, &self->r, L3L2Q_OP_DATA, 2));
	ASSERT_EQ(0, l3l2q_core_cancel(&self->tx->p, &self->r));
	EXPECT_EQ(-EPIPE, send_run(self->tx, 8, 1));
	EXPECT_EQ(-EPIPE, l3l2q_core_try_enqueue_run(&self->tx->p, L3L2Q_OP_DATA,
						     &(struct l3l2q_body){ "a", 1 }, 1));
	EXPECT_EQ(1, tail(&self->w, self->role));
	/* What was published before is delivered. */
	ASSERT_EQ(1, l3l2q_core_try_peek_run(&self->rx->c, &run, 2));
	ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, run));
	EXPECT_EQ(-EPIPE, l3l2q_core_try_peek_run(&self->rx->c, &run, 2));
	EXPECT_SOUND(self->tx);
	EXPECT_SOUND(self->rx);
}

TEST_F(queue, s8_runs_and_removed_memory)
{
	const struct l3l2q_message *run = NULL;

	if (!self->w.removable)
		SKIP(return, "memory that stays");
	ASSERT_EQ(2, send_run(self->tx, 8, 2));
	ASSERT_LE(1, l3l2q_core_try_peek_run(&self->rx->c, &run, 2));
	ASSERT_EQ(2, l3l2q_core_try_reserve_run(&self->tx->p, 8, 2, &self->r));
	self->w.removed = 1;
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_release_upto(&self->rx->c, run));
	EXPECT_REMOTE(self->rx);
	EXPECT_EQ(0, head(&self->w, self->role));
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_commit_run(&self->tx->p, &self->r, L3L2Q_OP_DATA, 2));
	EXPECT_REMOTE(self->tx);
	EXPECT_EQ(2, tail(&self->w, self->role));

	ASSERT_TRUE(start_over(self, variant));
	self->w.removed = 1;
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_try_enqueue_run(&self->tx->p, L3L2Q_OP_DATA,
							    &(struct l3l2q_body){ "a", 1 }, 1));
	EXPECT_EQ(0, tail(&self->w, self->role));
}

/* ---- section 5: opcodes of a producer ----------------------------------- */

TEST_F(queue, s5_opcodes_at_the_publisher)
{
	static const uint32_t bad[] = { 0, 4, 5, 255, 1u << 31, ~0u };
	size_t i;
	int j;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (j = 0; j < 2; j++) {
			int ret;

			ASSERT_TRUE(start_over(self, variant));
			if (j) {
				ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r));
				ret = l3l2q_core_commit(&self->tx->p, &self->r, bad[i]);
			} else {
				ret = l3l2q_core_try_enqueue(&self->tx->p, bad[i],
							     l3l2q_core_copy, "12345678", 8);
			}
			EXPECT_EQ(0, tail(&self->w, self->role));
			if (self->role == L3L2Q_ROLE_L2) {
				EXPECT_EQ(-EBADMSG, ret);
				EXPECT_POISONED(self->tx, L3L2Q_ERR_INVALID_DESCRIPTOR);
				continue;
			}
			/* Input: a bad argument, nothing was shared yet. */
			EXPECT_EQ(-EINVAL, ret);
			EXPECT_SOUND(self->tx);
			ret = j ? l3l2q_core_commit(&self->tx->p, &self->r, 1)
				: send_data(self->tx, 8, 1);
			EXPECT_EQ(0, ret);
		}
	}
}

TEST_F(queue, s5_stop_on_output_is_invalid)
{
	if (self->role != L3L2Q_ROLE_L2)
		return; /* output only */
	EXPECT_EQ(-EBADMSG, send_stop(self->tx));
	EXPECT_POISONED(self->tx, L3L2Q_ERR_INVALID_DESCRIPTOR);
	EXPECT_EQ(0, tail(&self->w, self->role));

	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 0, &self->r));
	EXPECT_EQ(-EBADMSG, l3l2q_core_commit(&self->tx->p, &self->r, L3L2Q_OP_STOP));
	EXPECT_POISONED(self->tx, L3L2Q_ERR_INVALID_DESCRIPTOR);
	EXPECT_EQ(0, tail(&self->w, self->role));
}

TEST_F(queue, s5_stop_has_no_body)
{
	if (self->role != L3L2Q_ROLE_L3)
		return; /* input only */
	EXPECT_EQ(-EINVAL, l3l2q_core_try_enqueue(&self->tx->p, L3L2Q_OP_STOP, l3l2q_core_copy,
						  "x", 1));
	EXPECT_SOUND(self->tx);
	EXPECT_EQ(0, send_data(self->tx, 1, 1));
}

TEST_F(queue, s5_after_stop_refused_locally)
{
	struct fake_clock clock = { .step = 1 };

	if (self->role != L3L2Q_ROLE_L3)
		return; /* input only */
	ASSERT_EQ(0, send_stop(self->tx));
	/* No poll, no time-out, no look at the abort flag or the head. */
	*ctr(&self->w, L3L2Q_CTR_L2_ABORT) = 1;
	*ctr(&self->w, L3L2Q_CTR_INPUT_HEAD) = 99;
	ASSERT_NOTHING_CHANGES(send_data(self->tx, 8, 1), -ESHUTDOWN);
	ASSERT_NOTHING_CHANGES(send_data(self->tx, 0, 1), -ESHUTDOWN);
	ASSERT_NOTHING_CHANGES(send_stop(self->tx), -ESHUTDOWN);
	ASSERT_NOTHING_CHANGES(l3l2q_core_try_reserve(&self->tx->p, 8, &self->r), -ESHUTDOWN);
	ASSERT_NOTHING_CHANGES(l3l2q_core_enqueue(&self->tx->p, L3L2Q_OP_DATA, "x", 1, 1,
						  fake_now, &clock), -ESHUTDOWN);
	ASSERT_NOTHING_CHANGES(l3l2q_core_reserve(&self->tx->p, 1, &self->r, 1, fake_now, &clock),
			       -ESHUTDOWN);
	EXPECT_LE(clock.reads, 2);
	EXPECT_EQ(L3L2Q_ERR_NONE, self->tx->core.error.kind);
	EXPECT_EQ(0, flag(&self->w, L3L2Q_ROLE_L3));
}

/* ---- section 5: peek ---------------------------------------------------- */

/* What was published is delivered first; then the end is an error at once. */
TEST_F(queue, s5_peers_abort_after_what_it_published)
{
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	ASSERT_EQ(0, send_data(self->tx, 8, 2));
	*ctr(&self->w, L3L2Q_CTR_L3_ABORT) = 1;
	*ctr(&self->w, L3L2Q_CTR_L2_ABORT) = 1;
	EXPECT_EQ(0, take(self->rx, 8, 1));
	EXPECT_EQ(0, take(self->rx, 8, 2));
	EXPECT_EQ(L3L2Q_ERR_NONE, self->rx->core.error.kind);
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(L3L2Q_ERR_REMOTE_ABORTED, self->rx->core.error.kind);
	EXPECT_EQ(0, send_data(self->tx, 8, 3));
	EXPECT_EQ(0, send_data(self->tx, self->arena - 24, 3));
	EXPECT_EQ(-EAGAIN, send_data(self->tx, self->arena, 3));
	EXPECT_EQ(L3L2Q_ERR_NONE, self->tx->core.error.kind);
}

TEST_F(queue, s5_peek_rejects)
{
	/* seq, opcode, offset (from the arena), nbytes */
	static const uint64_t bad[][4] = {
		{ 0, 1, 0, 8 }, { 2, 1, 0, 8 }, { ~0ull, 1, 0, 8 }, { 1ull << 32 | 1, 1, 0, 8 },
		{ 1, 0, 0, 8 }, { 1, 4, 0, 8 }, { 1, ~0ull, 0, 8 }, { 1, 1ull << 32 | 1, 0, 8 },
		{ 1, 1, 0, 0 },		/* offset without a body */
		{ 1, 3, 0, 0 },
		{ 1, 2, 0, 8 },		/* STOP with a body */
		{ 1, 2, 0, 0 },		/* STOP with an offset */
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct l3l2q_desc *slot;

		ASSERT_TRUE(start_over(self, variant));
		raw_publish(&self->w, self->role, 0, bad[i][1], self->offset + bad[i][2],
			    bad[i][3]);
		slot = slot_of(&self->w, self->role, 0);
		slot->seq = bad[i][0];
		memset(&self->m, 0xff, sizeof(self->m));
		EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m)) {
			TH_LOG("case %zu", i);
		}
		EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
		EXPECT_EQ(UNTOUCHED, (uintptr_t)self->m.data);
		EXPECT_EQ(UNTOUCHED, self->m.seq);
		EXPECT_EQ(0, head(&self->w, self->role));
	}
	ASSERT_TRUE(start_over(self, variant));
	raw_publish(&self->w, self->role, 0, L3L2Q_OP_STOP, 0, 0);
	if (self->role == L3L2Q_ROLE_L2) {
		EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));
		EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
	} else {
		EXPECT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
		EXPECT_EQ(L3L2Q_OP_STOP, self->m.opcode);
	}
}

/* seq, opcode and STOP's shape come before the window; offsets after it. */
TEST_F(queue, s5_peek_order_of_checks)
{
	const struct {
		uint64_t seq, opcode, offset, nbytes;
		bool hidden;
	} c[] = {
		{ 4, 1, 7, 8, true },			/* bad offset */
		{ 4, 1, 7, 0, true },			/* bad zero-byte shape */
		{ 4, error_op(&self->w, self->role), 0, ~0ull, true },	/* bad length */
		{ 5, 1, 7, 8, false },			/* bad seq */
		{ 3, 1, 7, 8, false },
		{ 4, 0, 7, 8, false },			/* bad opcode */
		{ 4, 9, 7, 8, false },
		{ 4, 2, 0, 8, false },			/* bad STOP */
		{ 4, 2, 8, 0, false },
	};
	uint64_t i, k;

	if (variant->window == 1)
		return; /* needs a window */
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct l3l2q_message held[3];
		struct l3l2q_desc *slot;

		ASSERT_TRUE(start_over(self, variant));
		for (k = 0; k < 3; k++) {
			ASSERT_EQ(0, send_data(self->tx, 8, k));
			ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &held[k]));
		}
		raw_publish(&self->w, self->role, 3, c[i].opcode, c[i].offset, c[i].nbytes);
		slot = slot_of(&self->w, self->role, 3);
		slot->seq = c[i].seq;
		if (c[i].hidden) {
			EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->m)) {
				TH_LOG("case %" PRIu64, i);
			}
			EXPECT_SOUND(self->rx);
			ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &held[0]));
		}
		EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m)) {
			TH_LOG("case %" PRIu64, i);
		}
		EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
	}
}

/* ---- section 5: windows ------------------------------------------------- */

TEST_F(queue, s5_window_of_one)
{
	if (variant->window != 1)
		return; /* W = 1 */
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	ASSERT_EQ(0, send_data(self->tx, 8, 2));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	if (!one_handle(self, variant)) {
		EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->n));
		EXPECT_SOUND(self->rx);
		ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
		EXPECT_EQ(0, take(self->rx, 8, 2));
		return;
	}
	if (self->peer == L3L2Q_ROLE_L2) {
		EXPECT_EQ(-ESTALE, l3l2q_core_try_peek(&self->rx->c, &self->n));
		EXPECT_POISONED(self->rx, L3L2Q_ERR_OWNERSHIP);
		return;
	}
	/* L3: the same handle again. */
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->n));
	EXPECT_EQ(self->m.seq, self->n.seq);
	EXPECT_EQ(self->m.data, self->n.data);
	EXPECT_EQ(self->m.nbytes, self->n.nbytes);
	EXPECT_EQ(self->m.payload_offset, self->n.payload_offset);
	EXPECT_EQ(self->m.opcode, self->n.opcode);
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_EQ(0, take(self->rx, 8, 2));
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->n));
	EXPECT_SOUND(self->rx);
}

/* After the peer's end each message takes the slow path, but those behind a wrap. */
TEST_F(queue, s5_a_run_after_the_peers_end_keeps_to_the_window)
{
	const struct l3l2q_message *run;
	int i;

	if (variant->window != 3)
		return; /* W = 3 */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, send_data(self->tx, 0, 1));
		ASSERT_EQ(0, take(self->rx, 0, 1));
	}
	ASSERT_EQ(0, send_data(self->tx, self->arena - 8, 1));
	ASSERT_EQ(0, take(self->rx, self->arena - 8, 1));
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, send_data(self->tx, 8, 1));
	*ctr(&self->w, l3l2q_ctr_abort(self->role)) = 1;
	ASSERT_EQ(-ECONNABORTED, l3l2q_core_timed_out(&self->rx->core, "wait"));
	EXPECT_EQ(3, l3l2q_core_try_peek_run(&self->rx->c, &run, 4));
	EXPECT_EQ(3, self->rx->c.outstanding);
}

/* The consumer's own handle of a message that did not fit stays behind, and is nobody's. */
TEST_F(queue, s5_release_of_what_did_not_fit)
{
	struct l3l2q_message m = { 1, self->offset, 8, NULL, L3L2Q_OP_DATA };
	char got[4];
	int i, ret;

	for (i = 0; i < 3; i++) {
		struct l3l2q_consumer *c = &self->rx->c;

		m.data = self->rx->core.payload + self->offset;
		ASSERT_EQ(0, send_data(self->tx, 8, 1));
		ASSERT_EQ(-EMSGSIZE, l3l2q_core_try_dequeue(c, &self->m, got, sizeof(got)));
		ret = i == 0 ? l3l2q_core_release(c, &m) :
		      i == 1 ? l3l2q_core_release_batch(c, &m, 1) : l3l2q_core_release_upto(c, &m);
		EXPECT_EQ(-ESTALE, ret) {
			TH_LOG("call %d", i);
		}
		EXPECT_POISONED(self->rx, L3L2Q_ERR_OWNERSHIP);
		ASSERT_TRUE(start_over(self, variant));
	}
}

/*
 * A dequeue has found more messages than it took; then these are held, and the cursor is where
 * the body of the first one begins, an arena later.
 */
TEST_F(queue, s5_no_dequeue_while_a_run_is_held)
{
	uint64_t half = self->arena / 2;
	const struct l3l2q_message *run;
	unsigned char got[OUT_ARENA];

	if (variant->window != 3)
		return; /* W = 3 */
	ASSERT_EQ(0, send_data(self->tx, half, 1));
	ASSERT_EQ(0, send_data(self->tx, half, 2));
	ASSERT_EQ(0, l3l2q_core_try_dequeue(&self->rx->c, &self->m, got, sizeof(got)));
	ASSERT_EQ(1, l3l2q_core_try_peek_run(&self->rx->c, &run, 1));
	ASSERT_EQ(0, send_data(self->tx, half, 3));
	ASSERT_EQ(1, l3l2q_core_try_peek_run(&self->rx->c, &run, 1));
	EXPECT_EQ(-EINVAL, l3l2q_core_try_dequeue(&self->rx->c, &self->n, got, sizeof(got)));
	EXPECT_SOUND(self->rx);
	ASSERT_EQ(0, l3l2q_core_release_upto(&self->rx->c, run));
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_dequeue(&self->rx->c, &self->n, got, sizeof(got)));
}

/* What was completed is not held; its place in the window is free once it was retired. */
TEST_F(queue, s5_completed_and_not_retired)
{
	struct l3l2q_message m[3];
	uint64_t i;

	for (i = 0; i <= variant->window; i++)
		ASSERT_EQ(0, send_data(self->tx, 8, i));
	for (i = 0; i < variant->window; i++)
		ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &m[i]));
	for (i = variant->window; i-- > 0;)
		ASSERT_EQ(0, l3l2q_core_complete(&self->rx->c, &m[i]));
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->n));
	EXPECT_SOUND(self->rx);
	l3l2q_core_retire(&self->rx->c);
	EXPECT_EQ(0, take(self->rx, 8, variant->window));
}

TEST_F(queue, s5_window_of_one_holding_stop)
{
	if (variant->window != 1 || self->role != L3L2Q_ROLE_L3)
		return; /* W = 1, input */
	ASSERT_EQ(0, send_stop(self->tx));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	if (is_spsq(&self->w)) {
		EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->n));
		EXPECT_SOUND(self->rx);
		return;
	}
	EXPECT_EQ(-ESTALE, l3l2q_core_try_peek(&self->rx->c, &self->n));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_OWNERSHIP);
}

/* Section 9: STOP has its extra slot at a window of 1 too. */
TEST_F(queue, s9_window_of_one_and_stop)
{
	if (variant->window != 1 || self->role != L3L2Q_ROLE_L3 || !is_spsq(&self->w))
		return; /* W = 1, input, SPSQ */
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->n));
	ASSERT_EQ(0, send_stop(self->tx));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->n));
	EXPECT_EQ(L3L2Q_OP_STOP, self->n.opcode);
	EXPECT_EQ(2, self->n.seq);
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->n));
	EXPECT_FALSE(self->rx->c.drained);
	EXPECT_EQ(0, head(&self->w, self->role));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_TRUE(self->rx->c.drained);
	EXPECT_EQ(2, head(&self->w, self->role));
	EXPECT_SOUND(self->rx);
}

/* Section 9: a full window of 1 looks at the next slot as a larger one does. */
TEST_F(queue, s9_window_of_one_looks_at_the_next_slot)
{
	static const struct {
		uint64_t seq, opcode, offset;
		bool hidden;
	} c[] = { { 2, 1, 7, true }, { 3, 1, 7, false }, { 2, 3, 7, false }, { 2, 2, 8, false } };
	unsigned int i;

	if (variant->window != 1 || self->role != L3L2Q_ROLE_L3 || !is_spsq(&self->w))
		return; /* W = 1, input, SPSQ */
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		ASSERT_TRUE(start_over(self, variant));
		ASSERT_EQ(0, send_data(self->tx, 8, 1));
		ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
		raw_publish(&self->w, self->role, 1, c[i].opcode, c[i].offset, 8);
		slot_of(&self->w, self->role, 1)->seq = c[i].seq;
		EXPECT_EQ(c[i].hidden ? -EAGAIN : -EBADMSG,
			  l3l2q_core_try_peek(&self->rx->c, &self->n)) {
			TH_LOG("case %u", i);
		}
		if (c[i].hidden) {
			EXPECT_SOUND(self->rx);
		} else {
			EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
		}
	}
}

/* Section 9: input carries DATA and STOP only, which both of its ends see to. */
TEST_F(queue, s9_no_error_on_input)
{
	if (self->role != L3L2Q_ROLE_L3 || !is_spsq(&self->w))
		return; /* input, SPSQ */
	EXPECT_EQ(-EINVAL, send_op(self->tx, L3L2Q_OP_ERROR, 8, 1));
	EXPECT_EQ(-EINVAL, send_op(self->tx, L3L2Q_OP_ERROR, 0, 1));
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r));
	EXPECT_EQ(-EINVAL, l3l2q_core_commit(&self->tx->p, &self->r, L3L2Q_OP_ERROR));
	EXPECT_EQ(0, l3l2q_core_cancel(&self->tx->p, &self->r));
	EXPECT_EQ(0, tail(&self->w, self->role));
	EXPECT_EQ(0, producer_cursor(&self->tx->p));
	EXPECT_SOUND(self->tx);
	raw_publish(&self->w, self->role, 0, L3L2Q_OP_ERROR, self->offset, 8);
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
}

TEST_F(queue, s5_window_of_one_after_stop)
{
	if (variant->window != 1 || self->role != L3L2Q_ROLE_L3)
		return; /* W = 1, input */
	ASSERT_EQ(0, send_stop(self->tx));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_SOUND(self->rx);
	raw_publish(&self->w, self->role, 1, L3L2Q_OP_DATA, self->offset, 8);
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
}

TEST_F(queue, s5_window_holds_w_handles_and_stop)
{
	struct l3l2q_message held[3];
	uint64_t i;

	if (variant->window != 3)
		return; /* W = 3 */
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, send_data(self->tx, i ? 8 : 0, i));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &held[i]));
		EXPECT_EQ(i + 1, held[i].seq);
	}
	/* Beyond the window: no progress, whether there is more or not. */
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->m));
	ASSERT_EQ(0, send_data(self->tx, 8, 3));
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(NULL, self->m.data);
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &held[0]));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &held[0]));
	EXPECT_EQ(4, held[0].seq);
	EXPECT_SOUND(self->rx);
	if (self->role != L3L2Q_ROLE_L3)
		return;
	/* STOP has a slot of its own. */
	ASSERT_EQ(0, send_stop(self->tx));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(L3L2Q_OP_STOP, self->m.opcode);
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->n));
	EXPECT_SOUND(self->rx);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &held[i]));
	EXPECT_FALSE(self->rx->c.drained);
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_TRUE(self->rx->c.drained);
}

TEST_F(queue, s5_stop_with_a_later_descriptor_visible)
{
	if (self->role != L3L2Q_ROLE_L3)
		return; /* STOP is for input */
	ASSERT_EQ(0, send_stop(self->tx));
	raw_publish(&self->w, self->role, 1, L3L2Q_OP_DATA, self->offset, 8);
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
	EXPECT_EQ(0, self->m.seq);

	/* Also when the tail was seen before the later one was published. */
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	ASSERT_EQ(0, send_stop(self->tx));
	ASSERT_EQ(0, take(self->rx, 8, 1));
	raw_publish(&self->w, self->role, 2, L3L2Q_OP_DATA, self->offset + 8, 8);
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
}

TEST_F(queue, s5_a_descriptor_after_acquired_stop)
{
	if (variant->window == 1 || self->role != L3L2Q_ROLE_L3)
		return; /* W > 1, input */
	ASSERT_EQ(0, send_stop(self->tx));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->n));
	raw_publish(&self->w, self->role, 1, L3L2Q_OP_DATA, self->offset, 8);
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->n));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);

	/* The same once it was released. */
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, send_stop(self->tx));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->n));
	raw_publish(&self->w, self->role, 1, L3L2Q_OP_DATA, self->offset, 8);
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->n));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
}

/* ---- section 5: release ------------------------------------------------- */

TEST_F(queue, s5_release_compares_with_the_cached_copy)
{
	int i;

	for (i = 0; i < 8; i++) {
		ASSERT_TRUE(start_over(self, variant));
		ASSERT_EQ(0, send_data(self->tx, 16, 1));
		ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
		switch (i) {
		case 0: self->m.seq++; break;
		case 1: self->m.seq--; break;
		case 2: self->m.seq += 1ull << 32; break;
		case 3: self->m.payload_offset += 8; break;
		case 4: self->m.nbytes -= 1; break;
		case 5: self->m.data = (const char *)self->m.data + 1; break;
		case 6: self->m.opcode = L3L2Q_OP_ERROR; break;
		case 7: self->m.data = NULL; break;
		}
		EXPECT_EQ(-ESTALE, l3l2q_core_release(&self->rx->c, &self->m)) {
			TH_LOG("case %d", i);
		}
		EXPECT_POISONED(self->rx, L3L2Q_ERR_OWNERSHIP);
		EXPECT_EQ(0, head(&self->w, self->role));
	}
}

TEST_F(queue, s5_second_release_is_ownership)
{
	ASSERT_EQ(0, send_data(self->tx, 16, 1));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_EQ(1, head(&self->w, self->role));
	EXPECT_EQ(-ESTALE, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_OWNERSHIP);
	EXPECT_EQ(1, head(&self->w, self->role));

	if (variant->window == 1)
		return;
	/* Released, yet not physically. */
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, send_data(self->tx, 16, 1));
	ASSERT_EQ(0, send_data(self->tx, 16, 2));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->n));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->n));
	EXPECT_EQ(0, head(&self->w, self->role));
	EXPECT_EQ(-ESTALE, l3l2q_core_release(&self->rx->c, &self->n));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_OWNERSHIP);
}

TEST_F(queue, s5_release_of_what_was_never_held)
{
	memset(&self->m, 0, sizeof(self->m));
	EXPECT_EQ(-ESTALE, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_OWNERSHIP);

	/* The next message, exactly as it will be, but not acquired. */
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, send_data(self->tx, 16, 1));
	self->m = (struct l3l2q_message){ .seq = 1, .payload_offset = self->offset, .nbytes = 16,
		.data = self->w.payload + self->offset, .opcode = L3L2Q_OP_DATA };
	EXPECT_EQ(-ESTALE, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_OWNERSHIP);

	/* A stale handle whose slot was used again. */
	ASSERT_TRUE(start_over(self, variant));
	{
		uint64_t i;

		ASSERT_EQ(0, send_data(self->tx, 16, 1));
		ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
		ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
		for (i = 0; i < 8; i++) {
			ASSERT_EQ(0, send_data(self->tx, 16, i));
			ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->n));
			if (i < 7)
				ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->n));
		}
		EXPECT_EQ(-ESTALE, l3l2q_core_release(&self->rx->c, &self->m));
		EXPECT_POISONED(self->rx, L3L2Q_ERR_OWNERSHIP);
	}
}

TEST_F(queue, s5_head_advances_over_the_completed_prefix)
{
	struct l3l2q_message m[3];
	uint64_t i;

	if (variant->window != 3)
		return; /* W = 3 */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, send_data(self->tx, 8, i));
		ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &m[i]));
	}
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &m[2]));
	EXPECT_EQ(0, head(&self->w, self->role));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &m[0]));
	EXPECT_EQ(1, head(&self->w, self->role));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &m[1]));
	EXPECT_EQ(3, head(&self->w, self->role));
	EXPECT_SOUND(self->rx);
}

TEST_F(queue, s5_stop_released_early_stays)
{
	if (variant->window != 3 || self->role != L3L2Q_ROLE_L3)
		return; /* W = 3, input */
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	ASSERT_EQ(0, send_stop(self->tx));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->n));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->n));
	EXPECT_EQ(0, head(&self->w, self->role));
	EXPECT_FALSE(self->rx->c.drained);
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_EQ(2, head(&self->w, self->role));
	EXPECT_TRUE(self->rx->c.drained);
}

TEST_F(queue, s5_output_goes_on_while_draining)
{
	uint64_t i;

	if (self->role != L3L2Q_ROLE_L3)
		return; /* input */
	ASSERT_EQ(0, send_stop(self->tx));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	ASSERT_EQ(0, send_data(self->rx, 8, 1));
	ASSERT_EQ(0, take(self->tx, 8, 1));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_TRUE(self->rx->c.drained);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, send_data(self->rx, 8, i));
		ASSERT_EQ(0, take(self->tx, 8, i));
	}
	EXPECT_SOUND(self->rx);
	EXPECT_SOUND(self->tx);
}

/* ---- section 5: read_into ----------------------------------------------- */

TEST_F(queue, s5_read_into)
{
	unsigned char body[32];

	ASSERT_EQ(0, send_data(self->tx, 20, 6));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	memset(body, 0xee, sizeof(body));
	EXPECT_EQ(-EINVAL, l3l2q_core_read_into(&self->rx->c, &self->m, NULL, 20));
	EXPECT_EQ(-EMSGSIZE, l3l2q_core_read_into(&self->rx->c, &self->m, body, 19));
	EXPECT_EQ(-EMSGSIZE, l3l2q_core_read_into(&self->rx->c, &self->m, body, 0));
	EXPECT_EQ(0xee, body[0]);
	EXPECT_EQ(0, head(&self->w, self->role));
	EXPECT_EQ(0, l3l2q_core_read_into(&self->rx->c, &self->m, body, sizeof(body)));
	EXPECT_TRUE(body_is(body, 20, 6));
	EXPECT_EQ(0xee, body[20]);
	/* As often as one likes; it releases nothing. */
	EXPECT_EQ(0, l3l2q_core_read_into(&self->rx->c, &self->m, body, 20));
	EXPECT_EQ(0, head(&self->w, self->role));
	self->n = self->m;
	self->n.nbytes = 10;
	EXPECT_EQ(-EINVAL, l3l2q_core_read_into(&self->rx->c, &self->n, body, sizeof(body)));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	/* Stale: an error without poison. */
	EXPECT_EQ(-EINVAL, l3l2q_core_read_into(&self->rx->c, &self->m, body, sizeof(body)));
	EXPECT_SOUND(self->rx);

	/* NULL exactly for zero bytes. */
	ASSERT_EQ(0, send_data(self->tx, 0, 0));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(-EINVAL, l3l2q_core_read_into(&self->rx->c, &self->m, body, sizeof(body)));
	EXPECT_EQ(0, l3l2q_core_read_into(&self->rx->c, &self->m, NULL, 0));
	EXPECT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_SOUND(self->rx);
}

/* ---- section 5: blocking forms ------------------------------------------ */

TEST_F(queue, s5_timeouts_are_finite)
{
	static const int64_t bad[] = { -1, INT64_MIN, 0 };
	struct fake_clock clock = { .step = 1 };
	size_t i;

	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	for (i = 0; i < 3; i++) {
		if (!bad[i] && self->peer == L3L2Q_ROLE_L2)
			continue;
		EXPECT_EQ(-EINVAL, l3l2q_core_peek(&self->rx->c, &self->m, bad[i], fake_now,
						   &clock));
	}
	for (i = 0; i < 3; i++) {
		if (!bad[i] && self->role == L3L2Q_ROLE_L2)
			continue;
		EXPECT_EQ(-EINVAL, l3l2q_core_enqueue(&self->tx->p, L3L2Q_OP_DATA, "x", 1, bad[i],
						      fake_now, &clock));
		EXPECT_EQ(-EINVAL, l3l2q_core_reserve(&self->tx->p, 1, &self->r, bad[i], fake_now,
						      &clock));
	}
	EXPECT_EQ(0, clock.reads);
	EXPECT_EQ(1, tail(&self->w, self->role));
	EXPECT_SOUND(self->tx);
	EXPECT_SOUND(self->rx);
}

TEST_F(queue, s5_timeout_poisons_nothing)
{
	struct fake_clock clock = { .step = 1000 };

	EXPECT_EQ(-ETIMEDOUT, l3l2q_core_peek(&self->rx->c, &self->m, 1500, fake_now, &clock));
	EXPECT_EQ(0, self->m.seq);
	ASSERT_EQ(0, send_data(self->tx, self->arena, 1));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_core_enqueue(&self->tx->p, L3L2Q_OP_DATA, "x", 1, 1500,
						 fake_now, &clock));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_core_reserve(&self->tx->p, 1, &self->r, 1500, fake_now,
						 &clock));
	EXPECT_SOUND(self->tx);
	EXPECT_SOUND(self->rx);
	EXPECT_EQ(0, take(self->rx, self->arena, 1));
	EXPECT_EQ(0, l3l2q_core_enqueue(&self->tx->p, L3L2Q_OP_DATA, "x", 1, 1500, fake_now,
					&clock));
}

/* What is there is delivered, whatever the peer's flag; at time-out it is looked at. */
TEST_F(queue, s5_abort_flag_is_sampled_at_timeout)
{
	struct fake_clock clock = { .step = 1000 };

	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	*ctr(&self->w, l3l2q_ctr_abort(self->role)) = 1;
	ASSERT_EQ(0, l3l2q_core_peek(&self->rx->c, &self->m, 1500, fake_now, &clock));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_peek(&self->rx->c, &self->m, 1500, fake_now, &clock));
	EXPECT_REMOTE(self->rx);
	/* Sticky, both directions. */
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(-ECONNABORTED, send_data(self->rx, 1, 1));

	ASSERT_TRUE(start_over(self, variant));
	*ctr(&self->w, l3l2q_ctr_abort(self->peer)) = 7;
	ASSERT_EQ(0, l3l2q_core_enqueue(&self->tx->p, L3L2Q_OP_DATA, "x", 1, 1500, fake_now,
					&clock));
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_enqueue(&self->tx->p, L3L2Q_OP_DATA,
						    self->w.payload, self->arena, 1500,
						    fake_now, &clock));
	EXPECT_REMOTE(self->tx);

	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	*ctr(&self->w, l3l2q_ctr_abort(self->peer)) = 1;
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_reserve(&self->tx->p, self->arena, &self->r, 1500,
						    fake_now, &clock));
	EXPECT_REMOTE(self->tx);

	/* Negative is not set. */
	ASSERT_TRUE(start_over(self, variant));
	*ctr(&self->w, l3l2q_ctr_abort(self->role)) = -1;
	EXPECT_EQ(-ETIMEDOUT, l3l2q_core_peek(&self->rx->c, &self->m, 1500, fake_now, &clock));
	EXPECT_EQ(L3L2Q_ERR_NONE, self->rx->core.error.kind);
}

TEST_F(queue, s5_zero_timeout_on_l2_probes_once)
{
	struct fake_clock clock = { .step = 1 };

	if (self->peer == L3L2Q_ROLE_L2) {
		EXPECT_EQ(-ETIMEDOUT, l3l2q_core_peek(&self->rx->c, &self->m, 0, fake_now, &clock));
		ASSERT_EQ(0, send_data(self->tx, 8, 1));
		EXPECT_EQ(0, l3l2q_core_peek(&self->rx->c, &self->m, 0, fake_now, &clock));
		EXPECT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
		*ctr(&self->w, L3L2Q_CTR_L3_ABORT) = 1;
		EXPECT_EQ(-ECONNABORTED, l3l2q_core_peek(&self->rx->c, &self->m, 0, fake_now,
							 &clock));
		EXPECT_REMOTE(self->rx);
	} else {
		EXPECT_EQ(0, l3l2q_core_enqueue(&self->tx->p, L3L2Q_OP_DATA, self->w.payload,
						self->arena, 0, fake_now, &clock));
		EXPECT_EQ(-ETIMEDOUT, l3l2q_core_enqueue(&self->tx->p, L3L2Q_OP_DATA, "x", 1, 0,
							 fake_now, &clock));
		EXPECT_EQ(-ETIMEDOUT, l3l2q_core_reserve(&self->tx->p, 1, &self->r, 0, fake_now,
							 &clock));
		*ctr(&self->w, L3L2Q_CTR_L3_ABORT) = 1;
		EXPECT_EQ(-ECONNABORTED, l3l2q_core_reserve(&self->tx->p, 1, &self->r, 0, fake_now,
							    &clock));
		EXPECT_REMOTE(self->tx);
	}
	EXPECT_EQ(0, clock.reads);
}

TEST_F(queue, s5_clock_is_read_once_in_1024_polls)
{
	struct fake_clock clock = { .step = 1 };
	struct l3l2q_spin spin;
	int i;

	ASSERT_EQ(0, l3l2q_spin_start(&spin, &self->tx->core, fake_now, &clock, 1000000));
	for (i = 0; i < 102400; i++)
		ASSERT_FALSE(l3l2q_spin_expired(&spin));
	EXPECT_LE(clock.reads, 101);
	EXPECT_LE(100, clock.reads);
}

struct late_clock {
	FIXTURE_DATA(queue) *self;
	int reads, peer_acts_at;
	void (*act)(FIXTURE_DATA(queue) *self);
};

static __u64 late_now(void *arg)
{
	struct late_clock *c = arg;

	if (++c->reads == c->peer_acts_at)
		c->act(c->self);
	return (__u64)c->reads;
}

static void peer_sends(FIXTURE_DATA(queue) *self)
{
	send_data(self->tx, 8, 42);
}

static void peer_takes(FIXTURE_DATA(queue) *self)
{
	take(self->rx, self->arena, 1);
}

TEST_F(queue, s5_blocking_forms_wait)
{
	struct late_clock clock = { .self = self, .peer_acts_at = 5, .act = peer_sends };

	ASSERT_EQ(0, l3l2q_core_peek(&self->rx->c, &self->m, 1000, late_now, &clock));
	EXPECT_EQ(5, clock.reads);
	EXPECT_TRUE(body_is(self->m.data, 8, 42));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));

	ASSERT_TRUE(start_over(self, variant));
	clock.reads = 0;
	clock.act = peer_takes;
	ASSERT_EQ(0, send_data(self->tx, self->arena, 1));
	ASSERT_EQ(0, l3l2q_core_enqueue(&self->tx->p, L3L2Q_OP_DATA, "x", 1, 1000, late_now,
					&clock));
	ASSERT_TRUE(start_over(self, variant));
	clock.reads = 0;
	ASSERT_EQ(0, send_data(self->tx, self->arena, 1));
	ASSERT_EQ(0, l3l2q_core_reserve(&self->tx->p, self->arena, &self->r, 1000, late_now,
					&clock));
	EXPECT_EQ(0, l3l2q_core_commit(&self->tx->p, &self->r, L3L2Q_OP_DATA));
}

/* ---- section 6: errors -------------------------------------------------- */

/* Every operation, on a side that has ended. */
#define EXPECT_ENDED(side, want) do {						\
	struct fake_clock clock = { .step = 1000 };				\
	struct l3l2q_message m = { .seq = 1 };					\
	struct l3l2q_reservation r = { .seq = 1 };				\
	char body[8] = { 0 };							\
	EXPECT_EQ((want), l3l2q_core_try_peek(&(side)->c, &m));			\
	EXPECT_EQ((want), l3l2q_core_peek(&(side)->c, &m, 5000, fake_now, &clock));	\
	EXPECT_EQ((want), l3l2q_core_read_into(&(side)->c, &m, body, 8));	\
	EXPECT_EQ((want), l3l2q_core_release(&(side)->c, &m));			\
	EXPECT_EQ((want), l3l2q_core_complete(&(side)->c, &m));			\
	EXPECT_EQ((want), l3l2q_core_try_enqueue(&(side)->p, L3L2Q_OP_DATA,	\
						 l3l2q_core_copy, body, 8));	\
	EXPECT_EQ((want), l3l2q_core_try_enqueue(&(side)->p, L3L2Q_OP_STOP,	\
						 l3l2q_core_copy, NULL, 0));	\
	EXPECT_EQ((want), l3l2q_core_enqueue(&(side)->p, L3L2Q_OP_DATA, body, 8, 5000,	\
					     fake_now, &clock));		\
	EXPECT_EQ((want), l3l2q_core_try_reserve(&(side)->p, 8, &r));		\
	EXPECT_EQ((want), l3l2q_core_reserve(&(side)->p, 8, &r, 5000, fake_now, &clock)); \
	EXPECT_EQ((want), l3l2q_core_commit(&(side)->p, &r, L3L2Q_OP_DATA));	\
	EXPECT_EQ((want), l3l2q_core_cancel(&(side)->p, &r));			\
} while (0)

TEST_F(queue, s6_first_error_sticks_for_both_directions)
{
	struct l3l2q_error first;
	unsigned char *payload = malloc(self->w.l.payload_bytes);
	unsigned char counters[L3L2Q_COUNTER_BYTES];

	/* A consumer's error ends the producer as well. */
	raw_publish(&self->w, self->role, 0, 9, 0, 0);
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_POISONED(self->rx, L3L2Q_ERR_INVALID_DESCRIPTOR);
	first = self->rx->core.error;
	memcpy(payload, self->w.payload, self->w.l.payload_bytes);
	memcpy(counters, self->w.counters, sizeof(counters));
	EXPECT_ENDED(self->rx, -EBADMSG);
	/* A later, different error does not replace it, nor does the peer's flag. */
	*ctr(&self->w, l3l2q_ctr_abort(self->role)) = 1;
	EXPECT_ENDED(self->rx, -EBADMSG);
	*ctr(&self->w, l3l2q_ctr_abort(self->role)) = 0;
	EXPECT_EQ(first.kind, self->rx->core.error.kind);
	EXPECT_EQ(first.op, self->rx->core.error.op);
	EXPECT_EQ(first.message, self->rx->core.error.message);
	EXPECT_STREQ("peek", first.op);
	EXPECT_EQ(0, memcmp(payload, self->w.payload, self->w.l.payload_bytes));
	EXPECT_EQ(0, memcmp(counters, self->w.counters, sizeof(counters)));
	free(payload);
}

/* Both halves may fail at once; one of them is first. */
TEST_F(queue, s6_first_error_wins)
{
	struct l3l2q_core *core = &self->tx->core;

	EXPECT_EQ(-ESTALE, l3l2q_core_poison(core, L3L2Q_ERR_OWNERSHIP, "first", "one"));
	EXPECT_EQ(-ESTALE, l3l2q_core_poison(core, L3L2Q_ERR_INVALID_DESCRIPTOR, "second", "two"));
	EXPECT_EQ(-EIO, l3l2q_core_abort(core, L3L2Q_ERR_ENDPOINT_ERROR, "third", "three"));
	*ctr(&self->w, l3l2q_ctr_abort(self->peer)) = 1;
	EXPECT_EQ(-ESTALE, l3l2q_core_poison(core, L3L2Q_ERR_INVALID_DESCRIPTOR, "fourth", "four"));
	EXPECT_EQ(L3L2Q_ERR_OWNERSHIP, core->error.kind);
	EXPECT_STREQ("first", core->error.op);
	EXPECT_STREQ("one", core->error.message);
	EXPECT_EQ(-ESTALE, l3l2q_core_status(core));
}

TEST_F(queue, s6_producer_error_ends_the_consumer)
{
	ASSERT_EQ(0, send_data(self->rx, 8, 1));
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r));
	EXPECT_EQ(-ESTALE, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r));
	EXPECT_POISONED(self->tx, L3L2Q_ERR_OWNERSHIP);
	EXPECT_STREQ("reserve", self->tx->core.error.op);
	EXPECT_ENDED(self->tx, -ESTALE);
	EXPECT_POISONED(self->tx, L3L2Q_ERR_OWNERSHIP);
}

TEST_F(queue, s6_own_flag_is_set_once)
{
	raw_publish(&self->w, self->role, 0, 9, 0, 0);
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(1, flag(&self->w, self->peer));
	/* Were it set again, this would come back. */
	*ctr(&self->w, l3l2q_ctr_abort(self->peer)) = 0;
	EXPECT_ENDED(self->rx, -EBADMSG);
	EXPECT_EQ(0, flag(&self->w, self->peer));
}

TEST_F(queue, s6_remote_abort_sets_no_flag)
{
	struct fake_clock clock = { .step = 1000 };

	*ctr(&self->w, l3l2q_ctr_abort(self->role)) = 1;
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_peek(&self->rx->c, &self->m, 5000, fake_now, &clock));
	EXPECT_REMOTE(self->rx);
	EXPECT_ENDED(self->rx, -ECONNABORTED);
	EXPECT_REMOTE(self->rx);
	/* The flag being cleared again does not bring the endpoint back. */
	*ctr(&self->w, l3l2q_ctr_abort(self->role)) = 0;
	EXPECT_ENDED(self->rx, -ECONNABORTED);
}

/* Before any poison: is it but the peer's end? */
TEST_F(queue, s6_poison_becomes_remote_abort)
{
	int removed;

	for (removed = 0; removed < 1 + self->w.removable; removed++) {
		ASSERT_TRUE(start_over(self, variant));
		raw_publish(&self->w, self->role, 0, 9, 0, 0);
		if (removed)
			self->w.removed = 1;
		else
			*ctr(&self->w, l3l2q_ctr_abort(self->role)) = 1;
		EXPECT_EQ(-ECONNABORTED, l3l2q_core_try_peek(&self->rx->c, &self->m));
		EXPECT_REMOTE(self->rx);
		EXPECT_STREQ("peek", self->rx->core.error.op);

		/* Also when it is our own fault. */
		ASSERT_TRUE(start_over(self, variant));
		ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r));
		if (removed)
			self->w.removed = 1;
		else
			*ctr(&self->w, l3l2q_ctr_abort(self->peer)) = 1;
		EXPECT_EQ(-ECONNABORTED, l3l2q_core_try_reserve(&self->tx->p, 8, &self->r2));
		EXPECT_REMOTE(self->tx);
	}
}

TEST_F(queue, s6_removed_delivers_nothing)
{
	struct fake_clock clock = { .step = 1000 };
	char body[8];

	if (!self->w.removable)
		SKIP(return, "memory that stays");
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	self->w.removed = 1;
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_read_into(&self->rx->c, &self->m, body, 8));
	EXPECT_REMOTE(self->rx);
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_EQ(0, head(&self->w, self->role));

	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	self->w.removed = 1;
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_REMOTE(self->rx);

	ASSERT_TRUE(start_over(self, variant));
	self->w.removed = 1;
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_peek(&self->rx->c, &self->m, 5000, fake_now, &clock));
	EXPECT_REMOTE(self->rx);

	/* Zeroes in place of the second half of a descriptor are no message. */
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	slot_of(&self->w, self->role, 0)->payload_offset = 0;
	slot_of(&self->w, self->role, 0)->payload_nbytes = 0;
	self->w.removed = 1;
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_REMOTE(self->rx);
	/* Nor are zeroes in place of all of it. */
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	memset(slot_of(&self->w, self->role, 0), 0, sizeof(struct l3l2q_desc));
	self->w.removed = 1;
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_REMOTE(self->rx);
}

/* Bytes that went nowhere were not sent. */
TEST_F(queue, s6_removed_takes_nothing)
{
	struct l3l2q_reservation r;

	if (!self->w.removable)
		SKIP(return, "memory that stays");
	self->w.removed = 1;
	EXPECT_EQ(-ECONNABORTED, send_data(self->tx, 8, 1));
	EXPECT_REMOTE(self->tx);
	EXPECT_EQ(0, tail(&self->w, self->role));

	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->tx->p, 8, &r));
	self->w.removed = 1;
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_commit(&self->tx->p, &r, L3L2Q_OP_DATA));
	EXPECT_REMOTE(self->tx);
	EXPECT_EQ(0, tail(&self->w, self->role));
}

/* A device that has gone reads as all ones: its end, not a broken protocol. */
TEST_F(queue, s6_all_ones_is_a_device_that_has_gone)
{
	*ctr(&self->w, l3l2q_ctr_tail(self->role)) = -1;
	*ctr(&self->w, l3l2q_ctr_abort(self->role)) = -1;
	if (self->rx->core.memory == L3L2Q_MEMORY_CACHED) {
		EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));
		EXPECT_EQ(1, flag(&self->w, self->peer));
	} else {
		EXPECT_EQ(-ECONNABORTED, l3l2q_core_try_peek(&self->rx->c, &self->m));
		EXPECT_REMOTE(self->rx);
	}
}

TEST_F(queue, s2_depth_1_needs_cached_memory)
{
	bool cached = self->w.memory == L3L2Q_MEMORY_CACHED;

	world_free(&self->w);
	EXPECT_EQ(cached, world_make_of(&self->w, variant->memory, 1, 64, 64, 1));
}

TEST_F(queue, s6_application_error_is_a_message)
{
	ASSERT_EQ(0, send_op(self->tx, error_op(&self->w, self->role), 12, 3));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_EQ(error_op(&self->w, self->role), self->m.opcode);
	EXPECT_EQ(12, self->m.nbytes);
	EXPECT_TRUE(body_is(self->m.data, 12, 3));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_SOUND(self->rx);
	EXPECT_SOUND(self->tx);
}

TEST_F(queue, s6_errors_have_errnos)
{
	EXPECT_EQ(0, l3l2q_core_errno(L3L2Q_ERR_NONE));
	EXPECT_EQ(-EINVAL, l3l2q_core_errno(L3L2Q_ERR_BAD_ARGUMENT));
	EXPECT_EQ(-EPROTO, l3l2q_core_errno(L3L2Q_ERR_BAD_DESCRIPTOR));
	EXPECT_EQ(-EBADMSG, l3l2q_core_errno(L3L2Q_ERR_INVALID_DESCRIPTOR));
	EXPECT_EQ(-ENOSPC, l3l2q_core_errno(L3L2Q_ERR_OUT_OF_SPACE));
	EXPECT_EQ(-ESTALE, l3l2q_core_errno(L3L2Q_ERR_OWNERSHIP));
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_errno(L3L2Q_ERR_REMOTE_ABORTED));
	EXPECT_EQ(-EIO, l3l2q_core_errno(L3L2Q_ERR_ENDPOINT_ERROR));
	EXPECT_EQ(-EIO, l3l2q_core_errno(99));
	/* A sound endpoint has words as well. */
	EXPECT_NE(NULL, self->tx->core.error.op);
	EXPECT_NE(NULL, self->tx->core.error.message);
}

/* ---- design: control pages ---------------------------------------------- */

TEST_F(queue, design_kick_only_when_armed_for_it)
{
	struct {
		uint32_t armed;
		bool tail, head;
	} c[] = {
		{ 0, false, false },
		{ L3L2Q_EVENT_IN, true, false },
		{ L3L2Q_EVENT_OUT, false, true },
		{ L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT, true, true },
		{ L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP, false, false },
		{ L3L2Q_ARM_COUNTER, true, true },
		{ L3L2Q_ARM_SLOT(0), true, true },
		{ L3L2Q_ARM_SLOT(7), true, true },
	};
	size_t i;

	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		ASSERT_TRUE(start_over(self, variant));
		self->w.control[L3L2Q_ROLE_L3]->armed = c[i].armed;
		self->w.control[L3L2Q_ROLE_L2]->armed = c[i].armed;
		/* Refused or empty: nothing stored, nobody woken. */
		EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->m));
		EXPECT_EQ(0, self->rx->c.kick);
		ASSERT_EQ(0, send_data(self->tx, 8, 1));
		EXPECT_EQ(c[i].tail, !!self->tx->p.kick) {
			TH_LOG("armed %x", c[i].armed);
		}
		ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
		EXPECT_EQ(0, self->rx->c.kick);
		ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
		EXPECT_EQ(c[i].head, !!self->rx->c.kick) {
			TH_LOG("armed %x", c[i].armed);
		}
		/* Only the kernel clears it. */
		EXPECT_EQ(c[i].armed, self->w.control[L3L2Q_ROLE_L3]->armed);
		EXPECT_EQ(c[i].armed, self->w.control[L3L2Q_ROLE_L2]->armed);
	}
}

TEST_F(queue, design_batch_kicks_once)
{
	uint64_t i;

	self->w.control[self->peer]->armed = L3L2Q_EVENT_IN;
	self->tx->p.batching = 1;
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, send_data(self->tx, 8, i));
	EXPECT_EQ(0, self->tx->p.kick);
	l3l2q_core_publish(&self->tx->p);
	EXPECT_EQ(L3L2Q_EVENT_IN, self->tx->p.kick);
	self->tx->p.kick = 0;
	/* Nothing new to publish: no store, no kick. */
	*ctr(&self->w, l3l2q_ctr_tail(self->role)) = 99;
	l3l2q_core_publish(&self->tx->p);
	EXPECT_EQ(0, self->tx->p.kick);
	EXPECT_EQ(99, tail(&self->w, self->role));
}

TEST_F(queue, design_release_that_moves_no_head_kicks_nobody)
{
	if (variant->window == 1)
		return; /* needs a window */
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	ASSERT_EQ(0, send_data(self->tx, 8, 2));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->n));
	self->w.control[self->role]->armed = L3L2Q_EVENT_OUT;
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->n));
	EXPECT_EQ(0, self->rx->c.kick);
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_EQ(L3L2Q_EVENT_OUT, self->rx->c.kick);
	EXPECT_EQ(2, head(&self->w, self->role));
}

TEST_F(queue, design_no_control_page_no_kick)
{
	self->tx->core.control = NULL;
	self->tx->core.peer_armed = NULL;
	self->rx->core.control = NULL;
	self->rx->core.peer_armed = NULL;
	self->w.control[0]->armed = self->w.control[1]->armed = ~0u;
	ASSERT_EQ(0, send_data(self->tx, self->arena, 1));
	EXPECT_EQ(-EAGAIN, send_data(self->tx, 8, 2));
	EXPECT_EQ(0, take(self->rx, self->arena, 1));
	EXPECT_EQ(0, self->tx->p.kick);
	EXPECT_EQ(0, self->rx->c.kick);
	EXPECT_EQ(0, self->w.control[self->role]->need_head);
	EXPECT_EQ(0, self->w.control[self->peer]->seen_tail);
}

static bool readable(FIXTURE_DATA(queue) *self)
{
	struct l3l2q_control *c = self->w.control[self->peer];

	return l3l2q_readable((__u32)tail(&self->w, self->role), (__u32)head(&self->w, self->role),
			      c->consumer_flags, c->seen_tail);
}

/* No busy loop while a handle is held; back as soon as there is something to get. */
TEST_F(queue, design_readable_while_held)
{
	EXPECT_FALSE(readable(self));
	ASSERT_EQ(0, send_data(self->tx, 8, 1));
	EXPECT_TRUE(readable(self));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_FALSE(readable(self));
	ASSERT_EQ(0, send_data(self->tx, 8, 2));
	/* Where a STOP may follow, a full window is reported as readable until it is looked at. */
	EXPECT_EQ(!one_handle(self, variant), readable(self));
	if (variant->window == 1 && !one_handle(self, variant)) {
		EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->n));
		EXPECT_FALSE(readable(self));
	}
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_TRUE(readable(self));
	EXPECT_EQ(0, take(self->rx, 8, 2));
	EXPECT_FALSE(readable(self));
}

TEST_F(queue, design_readable_while_the_window_is_full)
{
	struct l3l2q_message m[3];
	uint64_t i;

	if (variant->window != 3)
		return; /* W = 3 */
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, send_data(self->tx, 8, i));
	for (i = 0; i < 3; i++) {
		EXPECT_TRUE(readable(self));
		ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &m[i]));
	}
	/* What is visible next is not STOP: it has to wait for a release. */
	EXPECT_FALSE(readable(self));
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_FALSE(readable(self));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &m[2]));
	EXPECT_FALSE(readable(self));
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &m[0]));
	EXPECT_TRUE(readable(self));
}

/* STOP can be had beyond a full window: whoever waits must be told. */
TEST_F(queue, design_readable_when_stop_is_behind_a_full_window)
{
	struct l3l2q_message m[3];
	uint64_t i;

	if (variant->window != 3 || self->role != L3L2Q_ROLE_L3)
		return; /* W = 3, input */
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, send_data(self->tx, 8, i));
	ASSERT_EQ(0, send_stop(self->tx));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &m[i]));
	EXPECT_TRUE(readable(self));
	EXPECT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_FALSE(readable(self));

	/* Published only after the window was full. */
	ASSERT_TRUE(start_over(self, variant));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, send_data(self->tx, 8, i));
		ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &m[i]));
	}
	EXPECT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->rx->c, &self->m));
	ASSERT_EQ(0, send_stop(self->tx));
	EXPECT_TRUE(readable(self));
}

TEST_F(queue, design_not_readable_while_stop_is_held)
{
	if (self->role != L3L2Q_ROLE_L3)
		return; /* input */
	ASSERT_EQ(0, send_stop(self->tx));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	EXPECT_FALSE(readable(self));
	/* One handle at most: no peek may follow, whatever comes. */
	raw_publish(&self->w, self->role, 1, L3L2Q_OP_DATA, self->offset, 8);
	EXPECT_EQ(!one_handle(self, variant), readable(self));
}

/* What follows STOP is an error to be told of, not to be slept on. */
TEST_F(queue, design_readable_when_something_follows_stop)
{
	if (self->role != L3L2Q_ROLE_L3)
		return; /* input */
	ASSERT_EQ(0, send_stop(self->tx));
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->rx->c, &self->m));
	raw_publish(&self->w, self->role, 1, L3L2Q_OP_DATA, self->offset, 8);
	ASSERT_EQ(0, l3l2q_core_release(&self->rx->c, &self->m));
	EXPECT_TRUE(readable(self));
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));

	/* The tail was known to be further on when STOP was acquired. */
	if (variant->window > 1)
		return;
	ASSERT_TRUE(start_over(self, variant));
	ASSERT_EQ(0, send_stop(self->tx));
	raw_publish(&self->w, self->role, 1, L3L2Q_OP_DATA, self->offset, 8);
	EXPECT_TRUE(readable(self));
	EXPECT_EQ(-EBADMSG, l3l2q_core_try_peek(&self->rx->c, &self->m));
}

TEST_F(queue, design_writable)
{
	struct l3l2q_control *c = self->w.control[self->role];
	uint64_t i;

#define WRITABLE() l3l2q_writable((__u32)tail(&self->w, self->role),		\
				  (__u32)head(&self->w, self->role), DEPTH,	\
				  c->producer_flags, c->need_head)
	EXPECT_TRUE(WRITABLE());
	for (i = 0; i < DEPTH; i++) {
		EXPECT_TRUE(WRITABLE());
		ASSERT_EQ(0, send_data(self->tx, 8, i));
	}
	EXPECT_FALSE(WRITABLE());
	EXPECT_EQ(-EAGAIN, send_data(self->tx, 8, 9));
	EXPECT_FALSE(WRITABLE());
	ASSERT_EQ(0, take(self->rx, 8, 0));
	EXPECT_TRUE(WRITABLE());
	/* A free slot is not enough for the whole arena. */
	EXPECT_EQ(-EAGAIN, send_data(self->tx, self->arena, 9));
	EXPECT_FALSE(WRITABLE());
	ASSERT_EQ(0, take(self->rx, 8, 1));
	EXPECT_FALSE(WRITABLE());
	ASSERT_EQ(0, take(self->rx, 8, 2));
	EXPECT_FALSE(WRITABLE());
	ASSERT_EQ(0, take(self->rx, 8, 3));
	EXPECT_TRUE(WRITABLE());
	ASSERT_EQ(0, send_data(self->tx, self->arena, 9));
	/* Sent: a free slot is enough again, */
	EXPECT_TRUE(WRITABLE());
	ASSERT_EQ(0, take(self->rx, self->arena, 9));
	/* and without one there is none, refused or not. */
	for (i = 0; i < DEPTH; i++) {
		EXPECT_TRUE(WRITABLE());
		ASSERT_EQ(0, send_data(self->tx, 8, i));
	}
	EXPECT_FALSE(WRITABLE());
}

TEST_HARNESS_MAIN
