// SPDX-License-Identifier: MIT
/*
 * protocol.md sections 2 to 5 under random traffic, one thread: our core against
 * section 4 written a second time, against a consumer that accepts nothing else,
 * against a producer that wraps early, and against a model of the reference's
 * endpoint. Counters start where both 2^31 and 2^32 are crossed.
 */
#include "proto_util.h"

/* ---- both sides ours, compared with the oracle at every step ------------ */

struct traffic {
	struct world w;
	struct side *tx, *rx;
	enum l3l2q_role role;
	uint64_t window, state;
	struct oracle o;
	uint64_t *seed;			/* of message i, at i % depth */
	uint32_t *opcode;
	struct l3l2q_message *held;	/* acquired, unreleased: any order */
	uint64_t nheld;
	bool *done;			/* message i released, at i % depth */
	uint64_t acquired, published;
	uint64_t refused;		/* size that was refused last, if any */
	bool is_refused;
	uint64_t sent, refusals, waits;
};

static bool traffic_make(struct traffic *t, enum l3l2q_role role, uint64_t depth, uint64_t arena,
			 uint64_t window, uint64_t start, uint64_t seed, uint32_t memory)
{
	memset(t, 0, sizeof(*t));
	if (!world_make_of(&t->w, memory, depth, arena, arena, window))
		return false;
	world_start_at(&t->w, start);
	t->role = role;
	t->tx = &t->w.side[role];
	t->rx = &t->w.side[l3l2q_peer_role(role)];
	t->window = window;
	t->state = seed;
	oracle_init(&t->o, depth, arena_offset(&t->w, role), arena);
	t->o.tail = t->o.head = t->acquired = t->published = start;
	t->seed = calloc(depth, sizeof(*t->seed));
	t->opcode = calloc(depth, sizeof(*t->opcode));
	t->held = calloc(window + 1, sizeof(*t->held));
	t->done = calloc(depth, sizeof(*t->done));
	return true;
}

static void traffic_free(struct traffic *t)
{
	world_free(&t->w);
	oracle_free(&t->o);
	free(t->seed);
	free(t->opcode);
	free(t->held);
	free(t->done);
}

static bool traffic_writable(const struct traffic *t)
{
	const struct l3l2q_control *c = t->w.control[t->role];

	return l3l2q_writable((__u32)*ctr(&t->w, l3l2q_ctr_tail(t->role)),
			      (__u32)*ctr(&t->w, l3l2q_ctr_head(t->role)), (__u32)t->o.depth,
			      c->producer_flags, c->need_head);
}

static bool traffic_readable(const struct traffic *t)
{
	const struct l3l2q_control *c = t->w.control[l3l2q_peer_role(t->role)];

	return l3l2q_readable((__u32)*ctr(&t->w, l3l2q_ctr_tail(t->role)),
			      (__u32)*ctr(&t->w, l3l2q_ctr_head(t->role)), c->consumer_flags,
			      c->seen_tail);
}

static bool peek_would_do(const struct traffic *t)
{
	return t->published > t->acquired && t->acquired - t->o.head < t->window;
}

/* A message was placed: is its slot what the oracle says? */
static const char *traffic_placed(struct traffic *t, uint32_t opcode, uint64_t n, uint64_t seed)
{
	uint64_t i = t->o.tail, offset = oracle_place(&t->o, n);
	/* What a batch holds back need not be in memory yet. */
	const struct l3l2q_desc *slot = t->tx->p.batching ? &t->tx->p.ring[i % t->o.depth]
							  : slot_of(&t->w, t->role, i);

	t->seed[i % t->o.depth] = seed;
	t->opcode[i % t->o.depth] = opcode;
	t->is_refused = false;
	t->sent++;
	if (!t->tx->p.batching)
		t->published = t->o.tail;
	if (slot->seq != i + 1 || slot->opcode != opcode || slot->payload_nbytes != n)
		return "descriptor";
	if (slot->payload_offset != offset)
		return "placement";
	if (producer_cursor(&t->tx->p) != t->o.cursor)
		return "cursor";
	return NULL;
}

static const char *traffic_send(struct traffic *t)
{
	uint64_t n = rnd_size(&t->state, t->o.arena + 1), seed = rnd(&t->state);
	uint32_t opcode = rnd_below(&t->state, 8) ? L3L2Q_OP_DATA : error_op(&t->w, t->role);
	bool fits = oracle_fits(&t->o, n);
	int want = n > t->o.arena ? -EMSGSIZE : fits ? 0 : -EAGAIN;
	bool in_place = rnd_below(&t->state, 3) == 0;
	struct l3l2q_reservation span;
	uint64_t offset;
	int ret;

	if (in_place)
		ret = l3l2q_core_try_reserve(&t->tx->p, n, &span);
	else
		ret = n > t->o.arena ? l3l2q_core_try_enqueue(&t->tx->p, opcode, l3l2q_core_copy,
							      t->w.payload, n)
				     : send_op(t->tx, opcode, n, seed);
	if (ret != want)
		return "send: result";
	if (ret == -EAGAIN) {
		t->is_refused = true;
		t->refused = n;
		t->refusals++;
		/* Or an event loop would spin. */
		if (traffic_writable(t))
			return "writable after a refusal";
	}
	if (ret)
		return producer_cursor(&t->tx->p) == t->o.cursor ? NULL : "a refusal moved the cursor";
	if (!in_place)
		return traffic_placed(t, opcode, n, seed);
	oracle_where(&t->o, n, &offset);
	if (span.payload_offset != offset || span.nbytes != n ||
	    span.data != (n ? t->tx->core.payload + offset : NULL))
		return "reservation";
	if (n)
		body_fill(span.data, n, seed);
	if (rnd_below(&t->state, 3) == 0) {
		if (l3l2q_core_cancel(&t->tx->p, &span))
			return "cancel";
		return producer_cursor(&t->tx->p) == t->o.cursor ? NULL : "a cancel moved the cursor";
	}
	if (l3l2q_core_commit(&t->tx->p, &span, opcode))
		return "commit";
	return traffic_placed(t, opcode, n, seed);
}

/* A run in place, or from an array: as many as the oracle places one by one without a wrap. */
static const char *traffic_send_run(struct traffic *t)
{
	uint64_t n = rnd_size(&t->state, t->o.arena / 4), seed = rnd(&t->state), k, offset, next;
	uint32_t opcode = rnd_below(&t->state, 8) ? L3L2Q_OP_DATA : error_op(&t->w, t->role);
	int most = (int)rnd_below(&t->state, 6) + 1, want = 0, ret, keep;
	bool in_place = rnd_below(&t->state, 2);
	unsigned char *bodies = malloc(6 * n + 1);
	struct oracle o = t->o;
	struct l3l2q_reservation span;
	struct l3l2q_body array[6];
	const char *bad = NULL;

	for (k = 0; k < 6; k++) {
		array[k] = (struct l3l2q_body){ n ? bodies + k * n : NULL, n };
		body_fill(bodies + k * n, n, seed + k);
	}
	/* The oracle's record of starts is shared: it is written again by what is sent. */
	for (offset = 0; want < most && oracle_fits(&o, n); want++, offset = next) {
		oracle_where(&o, n, &next);
		if (in_place && want && n && next != offset + n)
			break;
		oracle_place(&o, n);
	}
	if (in_place)
		ret = l3l2q_core_try_reserve_run(&t->tx->p, n, most, &span);
	else
		ret = l3l2q_core_try_enqueue_run(&t->tx->p, opcode, array, most);
	keep = ret;
	if (ret != (want ? want : -EAGAIN)) {
		bad = "run: result";
	} else if (ret < 0) {
		t->is_refused = true;
		t->refused = n;
		t->refusals++;
		if (traffic_writable(t))
			bad = "writable after a refusal";
	} else if (in_place) {
		memcpy(n ? span.data : bodies, bodies, n * (uint64_t)ret);
		keep = (int)rnd_below(&t->state, (uint64_t)ret + 1);
		if (keep ? l3l2q_core_commit_run(&t->tx->p, &span, opcode, keep)
			 : l3l2q_core_cancel(&t->tx->p, &span))
			bad = "run: commit";
	}
	if (!bad && keep > 1 && !t->tx->p.batching)
		t->published = t->o.tail + (uint64_t)keep;
	o.cursor = producer_cursor(&t->tx->p);
	for (k = 0; !bad && keep > 0 && k < (uint64_t)keep; k++) {
		t->tx->p.offset = oracle_where(&t->o, n, &offset) - t->tx->p.laps;
		bad = traffic_placed(t, opcode, n, seed + k);
	}
	if (!bad && t->o.cursor != o.cursor)
		bad = "run: cursor";
	t->tx->p.offset = o.cursor - t->tx->p.laps;
	free(bodies);
	return bad;
}

static const char *traffic_peek_run(struct traffic *t)
{
	int want = (int)rnd_below(&t->state, 8) + 1, ret, k;
	const struct l3l2q_message *run = NULL;
	uint64_t room = t->window - (t->acquired - t->o.head), i;

	if (t->window == 1 && t->acquired != t->o.head)
		return NULL;
	ret = l3l2q_core_try_peek_run(&t->rx->c, &run, want);
	if (!peek_would_do(t))
		return ret == -EAGAIN && !run ? NULL : "peek_run: result";
	if (ret < 1 || ret > want || (uint64_t)ret > room ||
	    (uint64_t)ret > t->published - t->acquired)
		return "peek_run: number";
	for (k = 0; k < ret; k++) {
		i = t->acquired++;
		if (run[k].seq != i + 1 || run[k].opcode != t->opcode[i % t->o.depth] ||
		    run[k].nbytes != t->o.nbytes[i % t->o.depth])
			return "message of a run";
		if (run[k].nbytes ? !body_is(run[k].data, run[k].nbytes, t->seed[i % t->o.depth])
				  : !!run[k].data)
			return "body of a run";
		t->held[t->nheld++] = run[k];
		t->done[i % t->o.depth] = false;
	}
	return NULL;
}

/* Everything up to a held message; others before it may have been released. */
static const char *traffic_release_upto(struct traffic *t)
{
	struct l3l2q_message last;
	uint64_t k, i;

	if (!t->nheld)
		return NULL;
	last = t->held[rnd_below(&t->state, t->nheld)];
	if (l3l2q_core_release_upto(&t->rx->c, &last))
		return "release_upto";
	for (k = 0; k < t->nheld;) {
		i = t->held[k].seq - 1;
		if (i >= last.seq) {
			k++;
			continue;
		}
		t->done[i % t->o.depth] = true;
		t->held[k] = t->held[--t->nheld];
	}
	while (t->o.head < t->acquired && t->done[t->o.head % t->o.depth])
		t->o.head++;
	return *ctr(&t->w, l3l2q_ctr_head(t->role)) == (__s32)t->o.head ? NULL : "head of a run";
}

static const char *traffic_peek(struct traffic *t)
{
	bool again = t->window == 1 && t->acquired != t->o.head &&
		     !(is_spsq(&t->w) && t->role == L3L2Q_ROLE_L3);
	bool want = peek_would_do(t);
	struct l3l2q_message m;
	uint64_t i;
	int ret;

	if (again && t->role == L3L2Q_ROLE_L3)
		return NULL; /* the L2 consumer must not ask */
	ret = l3l2q_core_try_peek(&t->rx->c, &m);
	if (again)
		return !ret && same_message(&m, &t->held[0]) ? NULL : "not the same handle";
	if (ret != (want ? 0 : -EAGAIN))
		return "peek: result";
	if (ret) {
		t->waits++;
		return traffic_readable(t) ? "readable after no progress" : NULL;
	}
	i = t->acquired++;
	if (m.seq != i + 1 || m.opcode != t->opcode[i % t->o.depth] ||
	    m.nbytes != t->o.nbytes[i % t->o.depth])
		return "message";
	if (m.nbytes ? !body_is(m.data, m.nbytes, t->seed[i % t->o.depth]) : !!m.data)
		return "body";
	t->held[t->nheld++] = m;
	t->done[i % t->o.depth] = false;
	return NULL;
}

static const char *traffic_release(struct traffic *t)
{
	uint64_t k, i;

	if (!t->nheld)
		return NULL;
	k = rnd_below(&t->state, t->nheld);
	i = t->held[k].seq - 1;
	/* Held until now: nobody wrote over it. */
	if (t->held[k].nbytes &&
	    !body_is(t->held[k].data, t->held[k].nbytes, t->seed[i % t->o.depth]))
		return "a held body was overwritten";
	if (l3l2q_core_release(&t->rx->c, &t->held[k]))
		return "release";
	t->held[k] = t->held[--t->nheld];
	t->done[i % t->o.depth] = true;
	while (t->o.head < t->acquired && t->done[t->o.head % t->o.depth])
		t->o.head++;
	if (*ctr(&t->w, l3l2q_ctr_head(t->role)) != (__s32)t->o.head)
		return "head";
	return NULL;
}

/* One step; NULL, or what went wrong. */
static const char *traffic_step(struct traffic *t)
{
	const char *bad = NULL;
	uint64_t r = rnd_below(&t->state, 100);

	if (r < 30) {
		bad = traffic_send(t);
	} else if (r < 40) {
		bad = traffic_send_run(t);
	} else if (r < 57) {
		bad = traffic_peek(t);
	} else if (r < 65) {
		bad = traffic_peek_run(t);
	} else if (r < 90) {
		bad = traffic_release(t);
	} else if (r < 95) {
		bad = traffic_release_upto(t);
	} else if (t->tx->p.batching) {
		t->tx->p.batching = 0;
		l3l2q_core_publish(&t->tx->p);
		t->published = t->o.tail;
	} else {
		t->tx->p.batching = 1;
	}
	if (bad)
		return bad;
	if (*ctr(&t->w, l3l2q_ctr_tail(t->role)) != (__s32)t->published)
		return "tail";
	if (peek_would_do(t) && !traffic_readable(t))
		return "a message to get, yet not readable";
	if (t->is_refused && oracle_fits(&t->o, t->refused) && !traffic_writable(t))
		return "what was refused would go, yet not writable";
	if (*ctr(&t->w, L3L2Q_CTR_L3_ABORT) || *ctr(&t->w, L3L2Q_CTR_L2_ABORT))
		return "abort";
	return NULL;
}

FIXTURE(traffic) {
	struct traffic t;
};

FIXTURE_VARIANT(traffic) {
	enum l3l2q_role role;
	uint64_t depth, arena, window, start;
	uint32_t memory;
};

/* Just below 2^31, 2^32, and 2^32 a second time. */
#define BELOW_2_31 0x7fffff00u
#define BELOW_2_32 0xffffff00u
#define BELOW_2_33 0x1ffffff00u

FIXTURE_VARIANT_ADD(traffic, input_w1) { L3L2Q_ROLE_L3, 4, 256, 1, 0 };
FIXTURE_VARIANT_ADD(traffic, output_w1) { L3L2Q_ROLE_L2, 4, 256, 1, 0 };
FIXTURE_VARIANT_ADD(traffic, input_w4) { L3L2Q_ROLE_L3, 8, 4160, 4, BELOW_2_31 };
FIXTURE_VARIANT_ADD(traffic, output_w4) { L3L2Q_ROLE_L2, 8, 4160, 4, BELOW_2_32 };
FIXTURE_VARIANT_ADD(traffic, input_w16) { L3L2Q_ROLE_L3, 16, 320, 16, BELOW_2_32 };
FIXTURE_VARIANT_ADD(traffic, output_w16) { L3L2Q_ROLE_L2, 64, 1984, 16, BELOW_2_31 };
FIXTURE_VARIANT_ADD(traffic, input_depth_1) { L3L2Q_ROLE_L3, 1, 64, 1, BELOW_2_32 };
FIXTURE_VARIANT_ADD(traffic, output_depth_1) { L3L2Q_ROLE_L2, 1, 192, 1, BELOW_2_31 };
FIXTURE_VARIANT_ADD(traffic, input_depth_2) { L3L2Q_ROLE_L3, 2, 64, 2, BELOW_2_33 };
FIXTURE_VARIANT_ADD(traffic, output_deep) { L3L2Q_ROLE_L2, 1024, 1u << 20, 512, BELOW_2_33 };
FIXTURE_VARIANT_ADD(traffic, input_wc) {
	L3L2Q_ROLE_L3, 8, 4160, 4, BELOW_2_31, L3L2Q_MEMORY_WC
};
FIXTURE_VARIANT_ADD(traffic, output_wc) {
	L3L2Q_ROLE_L2, 2, 1984, 1, BELOW_2_32, L3L2Q_MEMORY_WC
};
FIXTURE_VARIANT_ADD(traffic, input_device) {
	L3L2Q_ROLE_L3, 16, 320, 16, BELOW_2_33, L3L2Q_MEMORY_DEVICE
};
FIXTURE_VARIANT_ADD(traffic, input_unsnooped) {
	L3L2Q_ROLE_L3, 8, 320, 4, BELOW_2_31, L3L2Q_MEMORY_UNSNOOPED
};
FIXTURE_VARIANT_ADD(traffic, output_unsnooped) {
	L3L2Q_ROLE_L2, 8, 320, 4, BELOW_2_32, L3L2Q_MEMORY_UNSNOOPED
};
FIXTURE_VARIANT_ADD(traffic, input_unsnooped_w1) {
	L3L2Q_ROLE_L3, 2, 4160, 1, BELOW_2_33, L3L2Q_MEMORY_UNSNOOPED
};
FIXTURE_VARIANT_ADD(traffic, output_unsnooped_w16) {
	L3L2Q_ROLE_L2, 16, 4160, 16, BELOW_2_31, L3L2Q_MEMORY_UNSNOOPED
};

FIXTURE_VARIANT_ADD(traffic, input_spsq_w1) {
	L3L2Q_ROLE_L3, 4, 256, 1, BELOW_2_32, WORLD_SPSQ
};
FIXTURE_VARIANT_ADD(traffic, output_spsq_w1) {
	L3L2Q_ROLE_L2, 4, 256, 1, BELOW_2_31, WORLD_SPSQ
};
FIXTURE_VARIANT_ADD(traffic, input_spsq_w4) {
	L3L2Q_ROLE_L3, 8, 4160, 4, BELOW_2_33, WORLD_SPSQ
};
FIXTURE_VARIANT_ADD(traffic, output_spsq_w16) {
	L3L2Q_ROLE_L2, 64, 1984, 16, BELOW_2_32, WORLD_SPSQ
};
FIXTURE_VARIANT_ADD(traffic, input_spsq_unsnooped) {
	L3L2Q_ROLE_L3, 8, 320, 4, BELOW_2_31, WORLD_SPSQ | L3L2Q_MEMORY_UNSNOOPED
};
FIXTURE_VARIANT_ADD(traffic, output_spsq_unsnooped) {
	L3L2Q_ROLE_L2, 8, 320, 4, BELOW_2_31, WORLD_SPSQ | L3L2Q_MEMORY_UNSNOOPED
};
FIXTURE_VARIANT_ADD(traffic, input_spsq_wc) {
	L3L2Q_ROLE_L3, 2, 320, 1, BELOW_2_31, WORLD_SPSQ | L3L2Q_MEMORY_WC
};

FIXTURE_SETUP(traffic)
{
	ASSERT_TRUE(traffic_make(&self->t, variant->role, variant->depth, variant->arena,
				 variant->window, variant->start, variant->start ^ variant->depth,
				 variant->memory));
}

FIXTURE_TEARDOWN(traffic)
{
	traffic_free(&self->t);
}

TEST_F(traffic, s4_every_step_as_the_oracle_says)
{
	struct traffic *t = &self->t;
	uint64_t i, steps = messages() / (variant->arena > 4096 ? 20 : 4);

	for (i = 0; i < steps; i++) {
		const char *bad = traffic_step(t);

		ASSERT_EQ(NULL, bad) {
			TH_LOG("step %" PRIu64 ", message %" PRIu64 ": %s", i, t->sent, bad);
		}
	}
	/* It did get to where the rules matter. */
	EXPECT_LT(steps / 20, t->sent);
	EXPECT_NE(0, t->refusals);
	EXPECT_NE(0, t->waits);
	if (variant->start && steps > 10000)
		EXPECT_LT(variant->start + 256, t->o.tail);
}

/*
 * Whenever all that was published is released, any size up to the arena goes at
 * once, wherever the cursor is and whatever was refused before.
 */
TEST_F(traffic, s4_3_drained_takes_any_size)
{
	struct traffic *t = &self->t;
	uint64_t round, i, rounds = messages() / 1000;

	for (round = 0; round < rounds; round++) {
		uint64_t n = rnd_below(&t->state, t->o.arena) + 1;
		const char *bad = NULL;

		for (i = 0; i < 10 && !bad; i++)
			bad = traffic_step(t);
		if (t->tx->p.batching) {
			t->tx->p.batching = 0;
			l3l2q_core_publish(&t->tx->p);
			t->published = t->o.tail;
		}
		while (!bad && t->o.head < t->o.tail) {
			if (!peek_would_do(t) || !(bad = traffic_peek(t)))
				bad = bad ? bad : traffic_release(t);
		}
		ASSERT_EQ(NULL, bad);
		ASSERT_EQ(0, send_data(t->tx, n, round)) {
			TH_LOG("%" PRIu64 " bytes with the cursor at %" PRIu64, n,
			       t->o.cursor % t->o.arena);
		}
		bad = traffic_placed(t, L3L2Q_OP_DATA, n, round);
		ASSERT_EQ(NULL, bad);
	}
}

/* ---- a consumer that accepts nothing but section 4's placement ---------- */

struct strict {
	struct world *w;
	enum l3l2q_role from;
	uint64_t cursor, head;
};

/* Take one message that is there. NULL, or why it was refused. */
static const char *strict_take(struct strict *s, uint64_t *nbytes, const void **body)
{
	const struct l3l2q_desc d = *slot_of(s->w, s->from, s->head);
	uint64_t arena = arena_bytes(s->w, s->from), base = arena_offset(s->w, s->from);
	uint64_t pos = s->cursor % arena;

	if (d.seq != s->head + 1)
		return "seq";
	if (d.opcode != 1 && (d.opcode != 3 || error_op(s->w, s->from) != 3))
		return "opcode";
	*nbytes = d.payload_nbytes;
	*body = NULL;
	if (!d.payload_nbytes)
		return d.payload_offset ? "offset of a zero-byte message" : NULL;
	if (d.payload_nbytes > arena)
		return "length";
	if (pos + d.payload_nbytes > arena) {
		s->cursor += arena - pos;
		pos = 0;
	}
	if (d.payload_offset != base + pos)
		return "offset";
	s->cursor += d.payload_nbytes;
	*body = s->w->payload + d.payload_offset;
	return NULL;
}

static void strict_release(struct strict *s)
{
	s->head++;
	*ctr(s->w, l3l2q_ctr_head(s->from)) = (__s32)s->head;
}

FIXTURE(strict) {
	struct world w;
};

FIXTURE_VARIANT(strict) {
	enum l3l2q_role from;
	uint64_t depth, arena, start;
	uint32_t memory;
};

FIXTURE_VARIANT_ADD(strict, input) { L3L2Q_ROLE_L3, 8, 4160, BELOW_2_31 };
FIXTURE_VARIANT_ADD(strict, input_small) { L3L2Q_ROLE_L3, 4, 192, BELOW_2_32 };
FIXTURE_VARIANT_ADD(strict, output) { L3L2Q_ROLE_L2, 16, 1984, BELOW_2_32 };
FIXTURE_VARIANT_ADD(strict, input_spsq) { L3L2Q_ROLE_L3, 8, 4160, BELOW_2_32, WORLD_SPSQ };
FIXTURE_VARIANT_ADD(strict, output_spsq) { L3L2Q_ROLE_L2, 4, 192, BELOW_2_31, WORLD_SPSQ };
FIXTURE_VARIANT_ADD(strict, output_unsnooped) {
	L3L2Q_ROLE_L2, 4, 192, BELOW_2_31, L3L2Q_MEMORY_UNSNOOPED
};

FIXTURE_SETUP(strict)
{
	ASSERT_TRUE(world_make_of(&self->w, variant->memory, variant->depth, variant->arena,
				  variant->arena, 1));
	world_start_at(&self->w, variant->start);
}

FIXTURE_TEARDOWN(strict)
{
	world_free(&self->w);
}

TEST_F(strict, s4_producer_against_a_strict_consumer)
{
	struct strict s = { &self->w, variant->from, 0, variant->start };
	struct side *tx = &self->w.side[variant->from];
	uint64_t state = variant->arena, sent = variant->start;
	uint64_t end = sent + messages(), seeds = variant->depth;
	uint64_t *sizes = calloc(seeds, sizeof(*sizes));

	while (sent < end || s.head < sent) {
		uint64_t n = rnd_size(&state, variant->arena);
		bool release = rnd_below(&state, 2);

		if (sent < end) {
			uint32_t opcode = sent % 5 ? L3L2Q_OP_DATA
						   : error_op(&self->w, variant->from);
			int ret = send_op(tx, opcode, n, sent);

			if (!ret) {
				sizes[sent++ % seeds] = n;
			} else {
				/* Empty and refused would be a message that never goes. */
				ASSERT_EQ(-EAGAIN, ret);
				ASSERT_NE(s.head, sent);
				release = true;
			}
		} else {
			release = true;
		}
		while (release && s.head < sent) {
			const char *why;
			const void *body;
			uint64_t got;

			why = strict_take(&s, &got, &body);
			ASSERT_EQ(NULL, why) {
				TH_LOG("message %" PRIu64 ": %s", s.head, why);
			}
			ASSERT_EQ(sizes[s.head % seeds], got);
			if (got)
				ASSERT_TRUE(body_is(body, got, s.head));
			strict_release(&s);
			release = rnd_below(&state, 2);
		}
	}
	EXPECT_EQ(end, s.head);
	EXPECT_EQ(L3L2Q_ERR_NONE, tx->core.error.kind);
	free(sizes);
}

/* ---- a producer that wraps early ---------------------------------------- */

/*
 * As the reference's L2: the skip of a refused reserve is kept, and skipped bytes
 * count as occupied. Its record of what was released is its own.
 */
struct early {
	struct world *w;
	uint64_t tail, head;		/* messages */
	uint64_t cursor, floor;		/* bytes placed, bytes known to be released */
	uint64_t *end;			/* of message i's body, at i % depth */
	uint64_t kept;			/* skips kept after a refusal */
	uint64_t early;			/* messages that wrapped although they would have fitted */
};

static bool early_send(struct early *e, uint64_t n, uint64_t seed)
{
	uint64_t depth = e->w->l.depth, arena = e->w->l.output_arena_bytes;
	uint64_t base = e->w->l.output_arena_offset, pos;
	uint32_t head = (__u32)*ctr(e->w, L3L2Q_CTR_OUTPUT_HEAD);
	struct l3l2q_desc *slot = slot_of(e->w, L3L2Q_ROLE_L2, e->tail);
	uint64_t before = e->tail ? e->end[(e->tail - 1) % depth] : 0;

	while ((uint32_t)e->head != head) {
		if (e->end[e->head % depth])
			e->floor = e->end[e->head % depth];
		e->head++;
	}
	if (e->tail - e->head >= depth)
		return false;
	if (n) {
		pos = e->cursor % arena;
		if (pos + n > arena) {
			e->cursor += arena - pos;
			pos = 0;
			if (e->cursor + n - e->floor > arena)
				e->kept++;
		}
		if (e->cursor + n - e->floor > arena)
			return false;
		if (before && !pos && before % arena && before % arena + n <= arena)
			e->early++;
		body_fill(e->w->payload + base + pos, n, seed);
		e->cursor += n;
		e->end[e->tail % depth] = e->cursor;
		slot->payload_offset = base + pos;
	} else {
		e->end[e->tail % depth] = 0;
		slot->payload_offset = 0;
	}
	slot->opcode = L3L2Q_OP_DATA;
	slot->payload_nbytes = n;
	slot->seq = ++e->tail;
	*ctr(e->w, L3L2Q_CTR_OUTPUT_TAIL) = (__s32)e->tail;
	return true;
}

FIXTURE(early) {
	struct world w;
};

FIXTURE_VARIANT(early) {
	uint64_t depth, arena, window;
	uint32_t memory;
};

FIXTURE_VARIANT_ADD(early, w1) { 4, 256, 1 };
FIXTURE_VARIANT_ADD(early, w4) { 8, 4160, 4 };
FIXTURE_VARIANT_ADD(early, w16) { 16, 1984, 16 };
FIXTURE_VARIANT_ADD(early, w1_spsq) { 4, 256, 1, WORLD_SPSQ };
FIXTURE_VARIANT_ADD(early, w16_spsq) { 16, 1984, 16, WORLD_SPSQ };

FIXTURE_SETUP(early)
{
	ASSERT_TRUE(world_make_of(&self->w, variant->memory, variant->depth, variant->arena,
				  variant->arena, variant->window));
}

FIXTURE_TEARDOWN(early)
{
	world_free(&self->w);
}

TEST_F(early, s4_6_consumer_accepts_early_wraps)
{
	struct early e = { .w = &self->w, .end = calloc(variant->depth, sizeof(uint64_t)) };
	struct l3l2q_message held[16];
	struct side *rx = l3(&self->w);
	uint64_t state = 3, nheld = 0, got = 0, end = messages();

	if (is_spsq(&self->w))
		return; /* L3Q2 */
	while (got < end) {
		struct l3l2q_message m;
		int ret;

		/* A new size each time: the one that was refused is forgotten. */
		early_send(&e, rnd_size(&state, variant->arena / 2), e.tail);
		if (nheld < variant->window && rnd_below(&state, 2)) {
			ret = l3l2q_core_try_peek(&rx->c, &m);
			if (ret != -EAGAIN) {
				ASSERT_EQ(0, ret) {
					TH_LOG("message %" PRIu64 ": %s", got,
					       rx->core.error.message);
				}
				ASSERT_EQ(got + 1, m.seq);
				got++;
				held[nheld++] = m;
			}
		}
		if (nheld && rnd_below(&state, 2)) {
			uint64_t k = rnd_below(&state, nheld);

			m = held[k];
			held[k] = held[--nheld];
			if (m.nbytes)
				ASSERT_TRUE(body_is(m.data, m.nbytes, m.seq - 1));
			ASSERT_EQ(0, l3l2q_core_release(&rx->c, &m));
		}
	}
	EXPECT_LT(end / 1000, e.kept);
	EXPECT_LT(end / 1000, e.early);
	EXPECT_EQ(0, *ctr(&self->w, L3L2Q_CTR_L3_ABORT));
	free(e.end);
}

/* Section 9: SPSQ producers never wrap early, so L3 refuses the first body that does. */
TEST_F(early, s9_consumer_refuses_early_wraps)
{
	struct early e = { .w = &self->w, .end = calloc(variant->depth, sizeof(uint64_t)) };
	uint64_t state = 3, taken = 0, first = 0, turns;
	struct side *rx = l3(&self->w);
	struct l3l2q_message m;
	int ret = 0;

	if (!is_spsq(&self->w))
		return; /* SPSQ */
	for (turns = 0; turns < 1000000 && (ret == 0 || ret == -EAGAIN); turns++) {
		if (!e.early && early_send(&e, rnd_below(&state, variant->arena / 2) + 1, e.tail) &&
		    e.early)
			first = e.tail;
		if (!e.early && rnd_below(&state, 2))
			continue;
		ret = l3l2q_core_try_peek(&rx->c, &m);
		if (ret)
			continue;
		taken++;
		if (m.nbytes)
			ASSERT_TRUE(body_is(m.data, m.nbytes, m.seq - 1));
		ASSERT_EQ(0, l3l2q_core_release(&rx->c, &m));
		ASSERT_TRUE(!e.early || taken < first);
	}
	EXPECT_EQ(-EBADMSG, ret);
	EXPECT_EQ(first, taken + 1);
	EXPECT_EQ(L3L2Q_ERR_INVALID_DESCRIPTOR, rx->core.error.kind);
	EXPECT_EQ(1, *ctr(&self->w, L3L2Q_CTR_L3_ABORT));
	free(e.end);
}

/* ---- a model of the reference's endpoint -------------------------------- */

/*
 * As protocol.md describes it: strict consumer, one handle; a producer that
 * looks up in the descriptors what was released and counts skipped bytes as
 * occupied; a counter store a message. With L3Q2 it keeps the skip of a refused
 * reserve; with SPSQ it does not, and ERROR is no opcode of input.
 */
struct ref {
	struct world *w;
	enum l3l2q_role role;
	/* consumer */
	uint64_t in_tail, in_head, in_cursor;
	/* producer */
	uint64_t out_tail, out_head, out_cursor, out_released;
	const char *poison;
};

static int ref_poison(struct ref *r, const char *why)
{
	if (!r->poison)
		r->poison = why;
	*ctr(r->w, l3l2q_ctr_abort(r->role)) = 1;
	return -EIO;
}

static int ref_refresh(struct ref *r, unsigned int offset, uint64_t *local)
{
	int32_t delta = (int32_t)((uint32_t)*ctr(r->w, offset) - (uint32_t)*local);

	if (delta < 0 || (uint64_t)delta > r->w->l.depth)
		return ref_poison(r, "counter");
	*local += (uint64_t)delta;
	return 0;
}

/* 0, -EAGAIN or -EIO */
static int ref_send(struct ref *r, uint32_t opcode, uint64_t n, uint64_t seed)
{
	uint64_t arena = arena_bytes(r->w, r->role), base = arena_offset(r->w, r->role);
	uint64_t old = r->out_head, pos = 0;
	struct l3l2q_desc *slot;

	if (r->poison)
		return -EIO;
	if (ref_refresh(r, l3l2q_ctr_head(r->role), &r->out_head))
		return -EIO;
	if (r->out_head > r->out_tail)
		return ref_poison(r, "head past tail");
	for (; old < r->out_head; old++) {
		const struct l3l2q_desc *d = slot_of(r->w, r->role, old);

		if (d->seq != old + 1)
			return ref_poison(r, "replay: seq");
		if (!d->payload_nbytes)
			continue;
		pos = r->out_released % arena;
		if (pos + d->payload_nbytes > arena) {
			r->out_released += arena - pos;
			pos = 0;
		}
		if (d->payload_offset != base + pos)
			return ref_poison(r, "replay: offset");
		r->out_released += d->payload_nbytes;
	}
	if (r->out_tail - r->out_head >= r->w->l.depth)
		return -EAGAIN;
	slot = slot_of(r->w, r->role, r->out_tail);
	if (n) {
		uint64_t before = r->out_cursor;

		pos = before % arena;
		if (pos + n > arena) {
			r->out_cursor += arena - pos;
			pos = 0;
		}
		if (r->out_cursor + n - r->out_released > arena) {
			if (is_spsq(r->w))
				r->out_cursor = before;
			return -EAGAIN;
		}
		body_fill(r->w->payload + base + pos, n, seed);
		r->out_cursor += n;
	}
	slot->opcode = opcode;
	slot->payload_offset = n ? base + pos : 0;
	slot->payload_nbytes = n;
	slot->seq = ++r->out_tail;
	*ctr(r->w, l3l2q_ctr_tail(r->role)) = (__s32)r->out_tail;
	return 0;
}

/* Look at the next message and release it. 0, -EAGAIN or -EIO */
static int ref_take(struct ref *r, struct l3l2q_desc *d, const void **body)
{
	enum l3l2q_role from = l3l2q_peer_role(r->role);
	uint64_t arena = arena_bytes(r->w, from), base = arena_offset(r->w, from), pos;

	if (r->poison)
		return -EIO;
	if (ref_refresh(r, l3l2q_ctr_tail(from), &r->in_tail))
		return -EIO;
	if (r->in_tail - r->in_head > r->w->l.depth)
		return ref_poison(r, "tail");
	if (r->in_tail == r->in_head)
		return -EAGAIN;
	*d = *slot_of(r->w, from, r->in_head);
	if (d->seq != r->in_head + 1)
		return ref_poison(r, "seq");
	if (d->opcode < 1 || d->opcode > 3 || (d->opcode == 2 && r->role == L3L2Q_ROLE_L3))
		return ref_poison(r, "opcode");
	if (d->opcode == 3 && is_spsq(r->w) && r->role == L3L2Q_ROLE_L2)
		return ref_poison(r, "opcode");
	if (d->opcode == 2 && (d->payload_offset || d->payload_nbytes))
		return ref_poison(r, "STOP");
	*body = NULL;
	if (!d->payload_nbytes) {
		if (d->payload_offset)
			return ref_poison(r, "zero-byte offset");
	} else {
		if (d->payload_offset < base || d->payload_nbytes > arena ||
		    d->payload_offset - base > arena - d->payload_nbytes)
			return ref_poison(r, "arena");
		pos = r->in_cursor % arena;
		if (pos + d->payload_nbytes > arena) {
			r->in_cursor += arena - pos;
			pos = 0;
		}
		if (d->payload_offset != base + pos)
			return ref_poison(r, "offset");
		r->in_cursor += d->payload_nbytes;
		*body = r->w->payload + d->payload_offset;
	}
	r->in_head++;
	*ctr(r->w, l3l2q_ctr_head(from)) = (__s32)r->in_head;
	return 0;
}

FIXTURE(reference) {
	struct world w;
	struct ref r;
	struct side *us;
};

FIXTURE_VARIANT(reference) {
	enum l3l2q_role role;	/* of the reference */
	uint64_t depth, arena, window, start;
	uint32_t memory;
};

FIXTURE_VARIANT_ADD(reference, as_l2) { L3L2Q_ROLE_L2, 4, 512, 1, BELOW_2_32 };
FIXTURE_VARIANT_ADD(reference, as_l3) { L3L2Q_ROLE_L3, 4, 512, 1, BELOW_2_31 };
FIXTURE_VARIANT_ADD(reference, as_l2_w4) { L3L2Q_ROLE_L2, 16, 4160, 4, BELOW_2_31 };
FIXTURE_VARIANT_ADD(reference, as_l3_w4) { L3L2Q_ROLE_L3, 16, 4160, 4, BELOW_2_32 };
FIXTURE_VARIANT_ADD(reference, as_l3_unsnooped) {
	L3L2Q_ROLE_L3, 4, 512, 1, BELOW_2_31, L3L2Q_MEMORY_UNSNOOPED
};
FIXTURE_VARIANT_ADD(reference, as_l3_w4_unsnooped) {
	L3L2Q_ROLE_L3, 16, 4160, 4, BELOW_2_32, L3L2Q_MEMORY_UNSNOOPED
};

FIXTURE_VARIANT_ADD(reference, as_spsq_peer) {
	L3L2Q_ROLE_L2, 4, 512, 1, BELOW_2_31, WORLD_SPSQ
};
FIXTURE_VARIANT_ADD(reference, as_spsq_initiator) {
	L3L2Q_ROLE_L3, 4, 512, 1, BELOW_2_32, WORLD_SPSQ
};
FIXTURE_VARIANT_ADD(reference, as_spsq_peer_w4) {
	L3L2Q_ROLE_L2, 16, 4160, 4, BELOW_2_32, WORLD_SPSQ
};
FIXTURE_VARIANT_ADD(reference, as_spsq_initiator_w4) {
	L3L2Q_ROLE_L3, 16, 4160, 4, BELOW_2_31, WORLD_SPSQ
};

FIXTURE_SETUP(reference)
{
	ASSERT_TRUE(world_make_of(&self->w, variant->memory, variant->depth, variant->arena,
				  variant->arena, variant->window));
	world_start_at(&self->w, variant->start);
	self->r = (struct ref){ .w = &self->w, .role = variant->role,
		.in_tail = variant->start, .in_head = variant->start,
		.out_tail = variant->start, .out_head = variant->start };
	self->us = &self->w.side[l3l2q_peer_role(variant->role)];
}

FIXTURE_TEARDOWN(reference)
{
	world_free(&self->w);
}

TEST_F(reference, s4_interop)
{
	uint64_t state = 9, nheld = 0, end = messages() / 2;
	uint64_t sent = 0, got = 0, ref_sent = 0, ref_got = 0, refused = 0, n = 0, ref_n = 0;
	bool retry = false, ref_retry = false;
	uint64_t *sizes = calloc(variant->depth, sizeof(*sizes));
	uint64_t *ref_sizes = calloc(variant->depth, sizeof(*ref_sizes));
	struct l3l2q_message held[4];

	while (ref_got < end || got < end) {
		struct l3l2q_message m;
		struct l3l2q_desc d;
		const void *body;
		int ret;

		switch (rnd_below(&state, 5)) {
		case 0: /* we send: any size, the refused one or another */
			if (sent == end)
				break;
			if (!retry || rnd_below(&state, 2))
				n = rnd_size(&state, variant->arena);
			ret = send_data(self->us, n, sent);
			retry = ret;
			if (!ret)
				sizes[sent++ % variant->depth] = n;
			else
				ASSERT_EQ(-EAGAIN, ret);
			break;
		case 1: /* the reference takes it */
			ret = ref_take(&self->r, &d, &body);
			if (ret == -EAGAIN)
				break;
			ASSERT_EQ(0, ret) {
				TH_LOG("message %" PRIu64 ": %s", ref_got, self->r.poison);
			}
			ASSERT_EQ(sizes[ref_got % variant->depth], d.payload_nbytes);
			/* It was released already, but nobody has written since. */
			if (body)
				ASSERT_TRUE(body_is(body, d.payload_nbytes, ref_got));
			ref_got++;
			break;
		case 2: /* it sends: half the arena at most, the same again if refused */
			if (ref_sent == end)
				break;
			if (!ref_retry || (is_spsq(&self->w) && rnd_below(&state, 2)))
				ref_n = rnd_size(&state, variant->arena / 2);
			ret = ref_send(&self->r, L3L2Q_OP_DATA, ref_n, ref_sent);
			ref_retry = ret;
			refused += ref_retry;
			if (!ret)
				ref_sizes[ref_sent++ % variant->depth] = ref_n;
			else
				ASSERT_EQ(-EAGAIN, ret) {
					TH_LOG("message %" PRIu64 ": %s", ref_sent, self->r.poison);
				}
			break;
		case 3: /* we acquire */
			if (nheld == variant->window)
				break;
			ret = l3l2q_core_try_peek(&self->us->c, &m);
			if (ret == -EAGAIN)
				break;
			ASSERT_EQ(0, ret) {
				TH_LOG("message %" PRIu64 ": %s", got, self->us->core.error.message);
			}
			ASSERT_EQ(variant->start + got + 1, m.seq);
			ASSERT_EQ(ref_sizes[got % variant->depth], m.nbytes);
			got++;
			held[nheld++] = m;
			break;
		case 4: /* and release, in any order */
			if (!nheld)
				break;
			ret = (int)rnd_below(&state, nheld);
			m = held[ret];
			held[ret] = held[--nheld];
			if (m.nbytes)
				ASSERT_TRUE(body_is(m.data, m.nbytes, m.seq - variant->start - 1));
			ASSERT_EQ(0, l3l2q_core_release(&self->us->c, &m));
			break;
		}
	}
	EXPECT_EQ(end, ref_got);
	EXPECT_EQ(end, got);
	EXPECT_NE(0, refused);
	EXPECT_EQ(NULL, self->r.poison);
	EXPECT_EQ(0, *ctr(&self->w, L3L2Q_CTR_L3_ABORT));
	EXPECT_EQ(0, *ctr(&self->w, L3L2Q_CTR_L2_ABORT));
	free(sizes);
	free(ref_sizes);
}

/* STOP, and poison, are understood on either side. */
TEST_F(reference, s5_stop_and_abort)
{
	struct l3l2q_message m;
	struct l3l2q_desc d;
	const void *body;

	if (variant->role == L3L2Q_ROLE_L2) {
		ASSERT_EQ(0, send_stop(self->us));
		ASSERT_EQ(0, ref_take(&self->r, &d, &body));
		EXPECT_EQ(L3L2Q_OP_STOP, d.opcode);
	} else {
		ASSERT_EQ(0, ref_send(&self->r, L3L2Q_OP_STOP, 0, 0));
		ASSERT_EQ(0, l3l2q_core_try_peek(&self->us->c, &m));
		EXPECT_EQ(L3L2Q_OP_STOP, m.opcode);
		ASSERT_EQ(0, l3l2q_core_release(&self->us->c, &m));
		EXPECT_TRUE(self->us->c.drained);
	}
	ref_poison(&self->r, "test");
	EXPECT_EQ(-ECONNABORTED, l3l2q_core_timed_out(&self->us->core, "peek"));
	EXPECT_EQ(0, *ctr(&self->w, l3l2q_ctr_abort(self->us->core.role)));
}

/*
 * In lock-step, with messages that need no rule to choose between: the same bytes
 * in memory whoever is at the far end.
 */
TEST_F(reference, s3_same_bytes_as_the_reference)
{
	uint64_t i, state = 4;
	struct world ours;
	struct side *near, *far;

	ASSERT_TRUE(world_make_of(&ours, variant->memory, variant->depth, variant->arena,
				  variant->arena, 1));
	world_start_at(&ours, variant->start);
	near = &ours.side[l3l2q_peer_role(variant->role)];
	far = &ours.side[variant->role];
	world_free(&self->w);
	ASSERT_TRUE(world_make_of(&self->w, variant->memory, variant->depth, variant->arena,
				  variant->arena, 1));
	world_start_at(&self->w, variant->start);

	for (i = 0; i < 20000; i++) {
		uint64_t n = rnd_below(&state, variant->arena / 2 + 1);
		bool data = rnd_below(&state, 4);
		uint32_t op_in = data ? L3L2Q_OP_DATA : error_op(&ours, near->core.role);
		uint32_t op_out = data ? L3L2Q_OP_DATA : error_op(&ours, far->core.role);
		struct l3l2q_message m;
		struct l3l2q_desc d;
		const void *body;

		ASSERT_EQ(0, send_op(self->us, op_in, n, i));
		ASSERT_EQ(0, ref_take(&self->r, &d, &body));
		ASSERT_EQ(0, ref_send(&self->r, op_out, n / 2, i));
		ASSERT_EQ(0, l3l2q_core_try_peek(&self->us->c, &m));
		ASSERT_EQ(0, l3l2q_core_release(&self->us->c, &m));

		ASSERT_EQ(0, send_op(near, op_in, n, i));
		ASSERT_EQ(0, l3l2q_core_try_peek(&far->c, &m));
		ASSERT_EQ(0, l3l2q_core_release(&far->c, &m));
		ASSERT_EQ(0, send_op(far, op_out, n / 2, i));
		ASSERT_EQ(0, l3l2q_core_try_peek(&near->c, &m));
		ASSERT_EQ(0, l3l2q_core_release(&near->c, &m));

		ASSERT_EQ(0, memcmp(ours.payload, self->w.payload, ours.l.payload_bytes));
		ASSERT_EQ(0, memcmp(ours.counters, self->w.counters, L3L2Q_COUNTER_BYTES));
	}
	world_free(&ours);
}

/* ---- hostile bytes ------------------------------------------------------ */

/* Whatever is in the ring and the counters: no progress, a message, or an error. */
TEST(s6_random_bytes_never_crash)
{
	uint64_t round, rounds = messages() / 20, state = 8, errors = 0;

	for (round = 0; round < rounds; round++) {
		uint64_t depth = 1ull << rnd_below(&state, 4), window = rnd_below(&state, depth) + 1;
		int step, k;
		struct world w;

		ASSERT_TRUE(world_make_of(&w, round & 1 ? WORLD_SPSQ : 0, depth, 192, 320, window));
		for (step = 0; step < 24; step++) {
			struct side *s = &w.side[rnd_below(&state, 2)];
			struct l3l2q_message m;
			unsigned char *at;
			int ret;

			switch (rnd_below(&state, 6)) {
			case 0: /* a byte of a ring */
				at = w.payload + rnd_below(&state, w.l.input_arena_offset);
				*at = (unsigned char)rnd(&state);
				break;
			case 1: /* a counter, a little or a lot */
				k = (int)rnd_below(&state, 4) * 64;
				*ctr(&w, (unsigned int)k) = rnd_below(&state, 4)
					? *ctr(&w, (unsigned int)k) + (int)rnd_below(&state, 3)
					: (__s32)rnd(&state);
				break;
			case 2: /* a plausible descriptor where it will be read */
				raw_publish(&w, l3l2q_peer_role(s->core.role), l3l2q_consumer_acquired(&s->c),
					    rnd_below(&state, 5),
					    arena_offset(&w, l3l2q_peer_role(s->core.role)) +
					    rnd_below(&state, 400), rnd_below(&state, 400));
				break;
			case 3:
				ret = send_data(s, rnd_size(&state, 192), round);
				ASSERT_TRUE(ret == 0 || ret == -EAGAIN || ret == -EBADMSG ||
					    ret == -ECONNABORTED || ret == -ESTALE);
				break;
			default:
				if (s->core.role == L3L2Q_ROLE_L2 && s->c.one_handle &&
				    s->c.outstanding)
					break;
				ret = l3l2q_core_try_peek(&s->c, &m);
				ASSERT_TRUE(ret == 0 || ret == -EAGAIN || ret == -EBADMSG ||
					    ret == -ECONNABORTED || ret == -ESTALE);
				if (ret)
					break;
				if (m.nbytes) {
					/* A view never leaves its arena: ASan sees the rest. */
					uint64_t o = arena_offset(&w, l3l2q_peer_role(s->core.role));
					uint64_t a = arena_bytes(&w, l3l2q_peer_role(s->core.role));

					ASSERT_LE(o, m.payload_offset);
					ASSERT_LE(m.payload_offset + m.nbytes, o + a);
					ASSERT_EQ(w.payload + m.payload_offset, m.data);
				}
				if (rnd_below(&state, 2))
					ASSERT_EQ(0, l3l2q_core_release(&s->c, &m));
				break;
			}
		}
		errors += !!w.side[0].core.error.kind + !!w.side[1].core.error.kind;
		for (k = 0; k < 2; k++) {
			ASSERT_NE(NULL, w.side[k].core.error.op);
			ASSERT_NE(NULL, w.side[k].core.error.message);
		}
		world_free(&w);
	}
	EXPECT_LT(rounds / 10, errors);
}

TEST_HARNESS_MAIN
