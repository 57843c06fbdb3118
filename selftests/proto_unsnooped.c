// SPDX-License-Identifier: MIT
/*
 * protocol.md section 7, unsnooped memory: L2 behind a cache that does not see what L3
 * and AICores store (cache_sim.h), with evictions at any time. What L2 writes must reach
 * memory before the counter that announces it, what it reads must not be stale, and no
 * line that goes back may undo what another wrote.
 */
#include "proto_util.h"

/* ---- traffic ------------------------------------------------------------ */

#define MOST_DEPTH 64u

/* What a message carries, at its number modulo MOST_DEPTH. */
struct sent {
	uint64_t nbytes, seed;
};

/* Handles that one side holds, oldest first. */
struct held {
	struct l3l2q_message m[MOST_DEPTH];
	unsigned int n;
};

struct traffic {
	struct world w;
	uint64_t state;
	struct sent input[MOST_DEPTH], output[MOST_DEPTH];
	struct held l3, l2;
	uint64_t l3_taken, l2_taken;
	/* the span that an AICore writes, and how much of it is written */
	struct l3l2q_reservation span;
	uint64_t span_seed, written;
	bool busy;
	const char *bad;
	uint64_t aicore, cancels, batches;
};

static void fail(struct traffic *t, const char *bad)
{
	if (!t->bad)
		t->bad = bad;
}

static void note(struct sent *sent, uint64_t tail, uint64_t nbytes, uint64_t seed)
{
	sent[(tail - 1) % MOST_DEPTH] = (struct sent){ nbytes, seed };
}

static bool is_sent(const struct sent *sent, const struct l3l2q_message *m)
{
	const struct sent *s = &sent[(m->seq - 1) % MOST_DEPTH];

	return m->nbytes == s->nbytes && (!m->nbytes || body_is(m->data, m->nbytes, s->seed));
}

/* Release one of the handles, whose view has to be what it was. */
static void release_one(struct traffic *t, struct side *side, struct held *held,
			const struct sent *sent)
{
	unsigned int i;

	if (!held->n)
		return;
	i = (unsigned int)rnd_below(&t->state, held->n);
	if (!is_sent(sent, &held->m[i]))
		fail(t, "a view changed while it was held");
	if (held == &t->l3 && t->w.payload_cache)
		sim_set_foreign(t->w.payload_cache, held->m[i].payload_offset,
				held->m[i].nbytes, 0);
	if (l3l2q_core_release(&side->c, &held->m[i]))
		fail(t, "release");
	held->n--;
	memmove(&held->m[i], &held->m[i + 1], (held->n - i) * sizeof(held->m[0]));
}

static void take(struct traffic *t, struct side *side, struct held *held, uint64_t *taken,
		 const struct sent *sent, const char *stale)
{
	int i, n = 1 + (int)rnd_below(&t->state, 4);

	if (held->n + (unsigned int)n > MOST_DEPTH)
		return;
	/* With a window of 1 a peek is for who holds nothing. */
	if (side->c.window == 1 && held->n)
		return;
	n = l3l2q_core_peek_batch(&side->c, &held->m[held->n], side->c.window == 1 ? 1 : n);
	if (n == -EAGAIN)
		return;
	if (n < 1) {
		fail(t, "peek");
		return;
	}
	for (i = 0; i < n; i++, held->n++) {
		if (held->m[held->n].seq != ++*taken || !is_sent(sent, &held->m[held->n]))
			fail(t, stale);
	}
}

/* One step of the others: L3, which is coherent with memory, or an AICore. */
static void others(void *arg)
{
	struct traffic *t = arg;
	struct side *host = l3(&t->w);
	uint64_t n, seed = rnd(&t->state);
	unsigned char body[MOST_DEPTH];

	switch (rnd_below(&t->state, 6)) {
	case 0:
		n = rnd_size(&t->state, t->w.l.input_arena_bytes);
		if (!send_data(host, n, seed))
			note(t->input, host->p.tail, n, seed);
		break;
	case 1:
		take(t, host, &t->l3, &t->l3_taken, t->output, "L3 found another body");
		break;
	case 2:
		release_one(t, host, &t->l3, t->output);
		break;
	default:
		if (!t->busy || t->written == t->span.nbytes)
			break;
		n = 1 + rnd_below(&t->state, sizeof(body));
		if (n > t->span.nbytes - t->written)
			n = t->span.nbytes - t->written;
		for (; n; n--, t->written++) {
			uint64_t at = t->written & ~7ull;
			unsigned char *whole = malloc(at + 8);

			body_fill(whole, at + 8, t->span_seed);
			t->w.payload[t->span.payload_offset + t->written] = whole[t->written];
			free(whole);
			if (t->w.payload_cache)
				sim_set_foreign(t->w.payload_cache,
						t->span.payload_offset + t->written, 1, 1);
		}
		break;
	}
}

/* L2 sends by copying, in place, or lets an AICore write. */
static void l2_send(struct traffic *t)
{
	struct side *npu = l2(&t->w);
	uint64_t n = rnd_size(&t->state, t->w.l.output_arena_bytes), seed = rnd(&t->state);
	struct l3l2q_reservation span;
	int ret;

	if (rnd_below(&t->state, 2)) {
		/* L3 may take it before the call returns. */
		note(t->output, npu->p.tail + 1, n, seed);
		ret = send_data(npu, n, seed);
		if (ret && ret != -EAGAIN)
			fail(t, "enqueue");
		return;
	}
	ret = l3l2q_core_try_reserve(&npu->p, n, &span);
	if (ret) {
		if (ret != -EAGAIN)
			fail(t, "reserve");
		return;
	}
	if (rnd_below(&t->state, 2)) {
		t->span = span;
		t->span_seed = seed;
		t->written = 0;
		t->busy = true;
		t->aicore++;
		return;
	}
	if (n)
		body_fill(span.data, n / 2, ~seed);
	if (t->w.payload_cache)
		sim_others(t->w.payload_cache);
	if (n)
		body_fill(span.data, n, seed);
	if (rnd_below(&t->state, 3)) {
		note(t->output, npu->p.tail + 1, n, seed);
		if (l3l2q_core_commit(&npu->p, &span, L3L2Q_OP_DATA))
			fail(t, "commit");
	} else {
		t->cancels++;
		if (l3l2q_core_cancel(&npu->p, &span))
			fail(t, "cancel");
	}
}

static void l2_step(struct traffic *t)
{
	struct side *npu = l2(&t->w);

	switch (rnd_below(&t->state, 8)) {
	case 0:
	case 1:
		take(t, npu, &t->l2, &t->l2_taken, t->input, "L2 found another body");
		break;
	case 2:
	case 3:
		release_one(t, npu, &t->l2, t->input);
		break;
	case 4:
		if (npu->p.batching)
			l3l2q_core_publish(&npu->p);
		npu->p.batching = !npu->p.batching;
		t->batches++;
		break;
	default:
		if (!t->busy) {
			l2_send(t);
		} else if (t->written == t->span.nbytes) {
			t->busy = false;
			note(t->output, npu->p.tail + 1, t->span.nbytes, t->span_seed);
			if (l3l2q_core_commit_direct(&npu->p, &t->span, L3L2Q_OP_DATA))
				fail(t, "commit_direct");
		}
		break;
	}
}

FIXTURE(traffic) {
	struct traffic t;
};

FIXTURE_VARIANT(traffic) {
	uint64_t depth, arena, window;
	uint32_t memory, evict_one_in;
};

/* Without evictions lines stay stale for longest. */
FIXTURE_VARIANT_ADD(traffic, no_evictions) {
	8, 320, 4, L3L2Q_MEMORY_UNSNOOPED, 0
};
FIXTURE_VARIANT_ADD(traffic, evictions) {
	8, 320, 4, L3L2Q_MEMORY_UNSNOOPED, 2
};
FIXTURE_VARIANT_ADD(traffic, one_handle) {
	2, 192, 1, L3L2Q_MEMORY_UNSNOOPED, 5
};
FIXTURE_VARIANT_ADD(traffic, large) {
	32, 4160, 16, L3L2Q_MEMORY_UNSNOOPED, 3
};
FIXTURE_VARIANT_ADD(traffic, large_no_evictions) {
	32, 4160, 16, WORLD_SPSQ | L3L2Q_MEMORY_UNSNOOPED, 0
};
FIXTURE_VARIANT_ADD(traffic, spsq) {
	4, 192, 1, WORLD_SPSQ | L3L2Q_MEMORY_UNSNOOPED, 4
};
/* An a5, whose cache sees everything. */
FIXTURE_VARIANT_ADD(traffic, coherent) {
	8, 320, 4, L3L2Q_MEMORY_CACHED, 0
};

FIXTURE_SETUP(traffic)
{
	struct world *w = &self->t.w;

	ASSERT_TRUE(world_make_of(w, variant->memory, variant->depth, variant->arena,
				  variant->arena, variant->window));
	self->t.state = variant->arena ^ variant->evict_one_in;
	if (!w->payload_cache)
		return;
	w->payload_cache->evict_one_in = w->counter_cache->evict_one_in = variant->evict_one_in;
	w->payload_cache->meanwhile = w->counter_cache->meanwhile = others;
	w->payload_cache->arg = w->counter_cache->arg = &self->t;
}

FIXTURE_TEARDOWN(traffic)
{
	world_free(&self->t.w);
}

TEST_F(traffic, s7_nothing_is_stale_and_nothing_is_lost)
{
	uint64_t i, steps = messages() / 2;
	struct traffic *t = &self->t;

	for (i = 0; i < steps && !t->bad; i++) {
		if (rnd_below(&t->state, 2))
			others(t);
		if (t->w.payload_cache)
			sim_others(t->w.payload_cache);
		l2_step(t);
		EXPECT_EQ(NULL, t->bad) {
			TH_LOG("step %" PRIu64 ": %s", i, t->bad);
		}
	}
	EXPECT_LT(steps / 100, t->l3_taken);
	EXPECT_LT(steps / 100, t->l2_taken);
	EXPECT_LT(steps / 1000, t->aicore);
	EXPECT_LT(steps / 1000, t->cancels);
	EXPECT_EQ(L3L2Q_ERR_NONE, l2(&t->w)->core.error.kind);
	EXPECT_EQ(L3L2Q_ERR_NONE, l3(&t->w)->core.error.kind);
}

/* At any moment, a batch and a reservation among them. */
TEST_F(traffic, s7_abort_and_detach_leave_no_dirty_line)
{
	uint64_t i, k, n, dirty = 0, ends = 100 + messages() / 1000;

	if (variant->memory == L3L2Q_MEMORY_CACHED)
		SKIP(return, "the cache has no part in it");
	for (i = 0; i < ends; i++) {
		uint64_t state = self->t.state;
		struct side *npu;

		world_free(&self->t.w);
		memset(&self->t, 0, sizeof(self->t));
		ASSERT_TRUE(world_make_of(&self->t.w, variant->memory, variant->depth,
					  variant->arena, variant->arena, variant->window));
		self->t.state = state + 1;
		self->t.w.payload_cache->evict_one_in = variant->evict_one_in;
		npu = l2(&self->t.w);
		n = rnd_below(&self->t.state, 60);
		for (k = 0; k < n && !self->t.busy; k++) {
			others(&self->t);
			l2_step(&self->t);
		}
		ASSERT_EQ(NULL, self->t.bad);
		if (!self->t.busy && !npu->p.span_count &&
		    !l3l2q_core_try_reserve(&npu->p, 24, &self->t.span))
			memset(self->t.span.data, (int)i, 24);
		dirty += sim_dirty(self->t.w.payload_cache);
		if (i % 2)
			l3l2q_core_detach(&npu->core);
		else
			l3l2q_core_abort(&npu->core, L3L2Q_ERR_ENDPOINT_ERROR, "test", "the end");
		EXPECT_EQ(0, sim_dirty(self->t.w.payload_cache));
		EXPECT_EQ(0, sim_dirty(self->t.w.counter_cache));
		EXPECT_EQ(i % 2 ? 0 : 1, *ctr(&self->t.w, L3L2Q_CTR_L2_ABORT));
	}
	EXPECT_NE(0, dirty);
}

/* ---- one rule at a time --------------------------------------------------- */

FIXTURE(unsnooped) {
	struct world w;
	struct side *host, *npu;
	struct l3l2q_reservation span;
	struct l3l2q_message m[32];
};

FIXTURE_SETUP(unsnooped)
{
	ASSERT_TRUE(world_make_of(&self->w, L3L2Q_MEMORY_UNSNOOPED, 32, 4096, 4096, 32));
	self->w.payload_cache->evict_one_in = self->w.counter_cache->evict_one_in = 0;
	self->host = l3(&self->w);
	self->npu = l2(&self->w);
}

FIXTURE_TEARDOWN(unsnooped)
{
	world_free(&self->w);
}

static void evict_all(struct world *w)
{
	uint64_t at;

	for (at = 0; at < w->payload_cache->bytes; at += SIM_LINE)
		sim_evict(w->payload_cache, at);
}

/* Of both ranges. */
static uint64_t calls(const struct world *w)
{
	return w->payload_cache->cleans + w->payload_cache->invalidates +
	       w->counter_cache->cleans + w->counter_cache->invalidates;
}

static unsigned char *gm(struct world *w, const struct l3l2q_reservation *span)
{
	return w->payload + span->payload_offset;
}

TEST_F(unsnooped, s7_set_unsnooped_checks_its_arguments)
{
	unsigned char *payload = self->npu->core.payload, *counters = self->npu->core.counters;
	struct l3l2q_core core;

	ASSERT_EQ(0, l3l2q_core_init(&core, L3L2Q_ROLE_L2, &self->w.region, &self->w.queue,
				     payload, counters));
	EXPECT_EQ(-EINVAL, l3l2q_core_set_unsnooped(&core, sim_clean, NULL));
	EXPECT_EQ(-EINVAL, l3l2q_core_set_unsnooped(&core, NULL, sim_invalidate));
	EXPECT_EQ(L3L2Q_CACHE_OPS ? 0 : -EINVAL, l3l2q_core_set_unsnooped(&core, NULL, NULL));
	EXPECT_EQ(-EINVAL, l3l2q_core_set_memory(&core, L3L2Q_MEMORY_UNSNOOPED));
	EXPECT_EQ(-EINVAL, l3l2q_core_set_memory(&core, L3L2Q_MEMORY_COPIED));
	core.payload = payload + 8;
	EXPECT_EQ(-EINVAL, l3l2q_core_set_unsnooped(&core, sim_clean, sim_invalidate));
	core.payload = payload;
	core.counters = counters + 32;
	EXPECT_EQ(-EINVAL, l3l2q_core_set_unsnooped(&core, sim_clean, sim_invalidate));
	core.counters = counters;
	core.layout.depth = 1;
	EXPECT_EQ(-EINVAL, l3l2q_core_set_unsnooped(&core, sim_clean, sim_invalidate));
	core.layout.depth = 2;
	EXPECT_EQ(0, l3l2q_core_set_unsnooped(&core, sim_clean, sim_invalidate));
	EXPECT_EQ(L3L2Q_MEMORY_UNSNOOPED, core.memory);
}

/* The neighbours of a span share its first and its last line. */
TEST_F(unsnooped, s7_neighbours_do_not_undo_what_an_aicore_wrote)
{
	int i;

	/* the arena once round, so that a body lies behind the span, too */
	ASSERT_EQ(0, send_data(self->npu, 4000, 1));
	ASSERT_EQ(0, send_data(self->npu, 96, 2));
	ASSERT_EQ(1, l3l2q_core_peek_batch(&self->host->c, self->m, 1));
	ASSERT_EQ(0, l3l2q_core_release(&self->host->c, &self->m[0]));
	self->npu->p.batching = 1;
	ASSERT_EQ(0, send_data(self->npu, 8, 3));
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->npu->p, 400, &self->span));
	body_fill(gm(&self->w, &self->span), 400, 4);
	ASSERT_EQ(0, l3l2q_core_commit_direct(&self->npu->p, &self->span, L3L2Q_OP_DATA));
	ASSERT_EQ(0, send_data(self->npu, 8, 5));
	self->npu->p.batching = 0;
	l3l2q_core_publish(&self->npu->p);
	evict_all(&self->w);
	ASSERT_EQ(4, l3l2q_core_peek_batch(&self->host->c, self->m, 4));
	for (i = 0; i < 4; i++) {
		EXPECT_TRUE(body_is(self->m[i].data, self->m[i].nbytes, 2 + (uint64_t)i)) {
			TH_LOG("message %d", i);
		}
	}
}

TEST_F(unsnooped, s7_a_cancelled_span_is_gone_from_the_cache)
{
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->npu->p, 1000, &self->span));
	memset(self->span.data, 0x11, 1000);
	ASSERT_EQ(0, l3l2q_core_cancel(&self->npu->p, &self->span));
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->npu->p, 1000, &self->span));
	body_fill(gm(&self->w, &self->span), 1000, 9);
	evict_all(&self->w);
	ASSERT_EQ(0, l3l2q_core_commit_direct(&self->npu->p, &self->span, L3L2Q_OP_DATA));
	evict_all(&self->w);
	ASSERT_EQ(0, l3l2q_core_try_peek(&self->host->c, self->m));
	EXPECT_TRUE(body_is(self->m[0].data, 1000, 9));
}

/* What was written is not written back over by a commit of it as the AICore's. */
TEST_F(unsnooped, s7_commit_direct_cleans_no_body)
{
	ASSERT_EQ(0, l3l2q_core_try_reserve(&self->npu->p, 1024, &self->span));
	body_fill(gm(&self->w, &self->span), 1024, 9);
	self->w.payload_cache->lines = 0;
	ASSERT_EQ(0, l3l2q_core_commit_direct(&self->npu->p, &self->span, L3L2Q_OP_DATA));
	EXPECT_EQ(1, self->w.payload_cache->lines);	/* the descriptor's */
}

/* Ranges, not messages: 32 of 64 bytes each way. */
TEST_F(unsnooped, s7_a_batch_needs_few_calls)
{
	uint64_t before;
	int i;

	for (i = 0; i < 32; i++)
		ASSERT_EQ(0, send_data(self->host, 64, (uint64_t)i));
	before = calls(&self->w);
	ASSERT_EQ(32, l3l2q_core_peek_batch(&self->npu->c, self->m, 32));
	/* flag, tail, descriptors, bodies */
	EXPECT_EQ(4, calls(&self->w) - before);
	for (i = 0; i < 32; i++)
		EXPECT_TRUE(body_is(self->m[i].data, 64, (uint64_t)i));
	before = calls(&self->w);
	ASSERT_EQ(0, l3l2q_core_release_batch(&self->npu->c, self->m, 32));
	EXPECT_EQ(1, calls(&self->w) - before);

	before = calls(&self->w);
	self->npu->p.batching = 1;
	for (i = 0; i < 32; i++)
		ASSERT_EQ(0, send_data(self->npu, 64, (uint64_t)i));
	self->npu->p.batching = 0;
	l3l2q_core_publish(&self->npu->p);
	/* 2 KiB in pieces; bodies, descriptors, tail */
	EXPECT_EQ(2048 / L3L2Q_FRESH_BYTES + 3, calls(&self->w) - before);
	ASSERT_EQ(32, l3l2q_core_peek_batch(&self->host->c, self->m, 32));
	for (i = 0; i < 32; i++)
		EXPECT_TRUE(body_is(self->m[i].data, 64, (uint64_t)i));
}

/* Nothing is asked of the cache but the flag and the tail where there is no message. */
TEST_F(unsnooped, s7_an_empty_queue_costs_two_lines)
{
	uint64_t before = calls(&self->w);

	ASSERT_EQ(-EAGAIN, l3l2q_core_try_peek(&self->npu->c, self->m));
	EXPECT_EQ(2, calls(&self->w) - before);
	EXPECT_EQ(0, self->w.payload_cache->invalidates);
}

TEST_HARNESS_MAIN
