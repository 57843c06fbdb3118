// SPDX-License-Identifier: MIT
/*
 * Fast and slow paths decide alike. Two queues get the same calls and the same writes of a
 * hostile peer. The memory of one is plain, so that its calls take the fast paths where they
 * can; that of the other can be removed, so that each call takes the slow path. Results,
 * shared memory, errors, cursors, counts and readiness are compared after each step.
 */
#include "proto_util.h"

#define STEPS 200
#define MAX_HELD 40
#define MAX_RUN 9
#define MAX_BODY 512

/* A queue with what its callers have: per role a reservation, and handles. */
struct twin {
	struct world w;
	struct l3l2q_reservation span[L3L2Q_ROLES];
	struct l3l2q_message held[L3L2Q_ROLES][MAX_HELD];
	unsigned char got[MAX_BODY];
};

struct twins {
	struct twin t[2];
	int nheld[L3L2Q_ROLES];
	unsigned char bytes[2 * MAX_BODY];
	uint64_t state;
	/* of the step */
	enum l3l2q_role role;
	int ret[2];
};

static const struct l3l2q_message untouched = { .seq = 0x5c5c5c5c };

/* An operation on both, by the side of the step. */
#define BOTH(t, p) for (t = (p)->t; t < (p)->t + 2; t++)
#define RET(t, p) ((p)->ret[(t) - (p)->t])

static struct side *side_of(struct twins *p, struct twin *t)
{
	return &t->w.side[p->role];
}

static uint64_t below(struct twins *p, uint64_t n)
{
	return rnd_below(&p->state, n);
}

/* Bodies that end where the arena does, those of any size, and some that are too large. */
static uint64_t size(struct twins *p)
{
	uint64_t arena = arena_bytes(&p->t->w, p->role);

	if (!below(p, 40))
		return below(p, 2) ? arena + 1 : (1ull << 63) + below(p, 8);
	return below(p, 4) ? rnd_size(&p->state, arena) : 64;
}

/* An opcode that a role must not send ends L2, and nothing on L3. */
static uint32_t opcode(struct twins *p)
{
	if (below(p, 8))
		return L3L2Q_OP_DATA;
	return below(p, p->role == L3L2Q_ROLE_L3 ? 4 : 40) ? error_op(&p->t->w, p->role)
							    : (uint32_t)below(p, 5);
}

/* A body of up to MAX_BODY bytes. */
static const unsigned char *body(struct twins *p)
{
	return p->bytes + below(p, MAX_BODY);
}

/* The same message, each in its own memory. */
static bool same(const struct twins *p, const struct l3l2q_message *a,
		 const struct l3l2q_message *b)
{
	const unsigned char *in_a = a->data, *in_b = b->data;

	if (!in_a != !in_b || (in_a && in_a - p->t[0].w.payload != in_b - p->t[1].w.payload))
		return false;
	return a->seq == b->seq && a->payload_offset == b->payload_offset &&
	       a->nbytes == b->nbytes && a->opcode == b->opcode;
}

/* ---- sending ------------------------------------------------------------- */

static void send(struct twins *p)
{
	const unsigned char *from = body(p);
	uint64_t n = size(p);
	uint32_t op = opcode(p);
	struct twin *t;

	BOTH(t, p)
		RET(t, p) = l3l2q_core_try_enqueue(&side_of(p, t)->p, op, l3l2q_core_copy, from, n);
}

static void send_run(struct twins *p)
{
	int n = 1 + (int)below(p, MAX_RUN), i;
	struct l3l2q_body bodies[MAX_RUN];
	uint32_t op = opcode(p);
	struct twin *t;

	for (i = 0; i < n; i++) {
		bodies[i].nbytes = size(p);
		bodies[i].data = !bodies[i].nbytes == !below(p, 30) ? body(p) : NULL;
	}
	BOTH(t, p)
		RET(t, p) = l3l2q_core_try_enqueue_run(&side_of(p, t)->p, op, bodies, n);
}

static void reserve(struct twins *p)
{
	int n = 1 + (int)below(p, MAX_RUN), run = below(p, 2);
	uint64_t nbytes = size(p);
	struct twin *t;

	BOTH(t, p) {
		struct l3l2q_reservation *span = &t->span[p->role];
		struct l3l2q_producer *tx = &side_of(p, t)->p;

		RET(t, p) = run ? l3l2q_core_try_reserve_run(tx, nbytes, n, span)
				: l3l2q_core_try_reserve(tx, nbytes, span);
		if (RET(t, p) >= 0 && span->data)
			memset(span->data, 9, nbytes * (uint64_t)(run ? RET(t, p) : 1));
	}
}

static void commit(struct twins *p)
{
	struct l3l2q_producer *tx = &side_of(p, p->t)->p;
	int n = below(p, 3) ? (int)tx->span_count : (int)below(p, MAX_RUN);
	bool run = below(p, 2), bad = !below(p, 100);
	uint32_t op = opcode(p);
	struct twin *t;

	BOTH(t, p) {
		struct l3l2q_reservation span = t->span[p->role];

		span.nbytes ^= bad;
		tx = &side_of(p, t)->p;
		RET(t, p) = run ? l3l2q_core_commit_run(tx, &span, op, n)
				: l3l2q_core_commit(tx, &span, op);
	}
}

static void cancel(struct twins *p)
{
	struct twin *t;

	BOTH(t, p)
		RET(t, p) = l3l2q_core_cancel(&side_of(p, t)->p, &t->span[p->role]);
}

static void end_reservation(struct twins *p)
{
	if (below(p, 3))
		commit(p);
	else
		cancel(p);
}

static void batch(struct twins *p)
{
	struct twin *t;

	BOTH(t, p) {
		struct l3l2q_producer *tx = &side_of(p, t)->p;

		tx->batching = !tx->batching;
		if (!tx->batching)
			l3l2q_core_publish(tx);
	}
}

/* While a reservation is active, nearly always what ends it. */
static void produce(struct twins *p)
{
	bool reserved = side_of(p, p->t)->p.span_count;

	if (!below(p, 10))
		batch(p);
	else if (reserved ? below(p, 60) : !below(p, 300))
		end_reservation(p);
	else if (!below(p, 3))
		reserve(p);
	else if (!below(p, 2))
		send_run(p);
	else
		send(p);
}

/* ---- receiving ----------------------------------------------------------- */

/* Messages were acquired: the same ones. */
static const char *acquired(struct twins *p, const struct l3l2q_message *a,
			    const struct l3l2q_message *b)
{
	int i;

	for (i = 0; i < p->ret[0]; i++) {
		if (!same(p, &a[i], &b[i]))
			return "another message";
		p->t[0].held[p->role][p->nheld[p->role]] = a[i];
		p->t[1].held[p->role][p->nheld[p->role]++] = b[i];
	}
	return NULL;
}

static const char *peek(struct twins *p)
{
	uint64_t before = side_of(p, p->t)->c.outstanding;
	struct l3l2q_message m[2];
	struct twin *t;

	BOTH(t, p) {
		m[t - p->t] = untouched;
		RET(t, p) = l3l2q_core_try_peek(&side_of(p, t)->c, &m[t - p->t]);
	}
	if (p->ret[0] || p->ret[1] || side_of(p, p->t)->c.outstanding == before)
		return same(p, &m[0], &m[1]) ? NULL : "another result";
	p->ret[0] = p->ret[1] = 1;
	return acquired(p, &m[0], &m[1]);
}

/*
 * Of what the window has room for: a slow run looks behind a full window, and behind its
 * last message for the peer's end.
 */
static const char *peek_run(struct twins *p)
{
	struct l3l2q_consumer *rx = &side_of(p, p->t)->c;
	const struct l3l2q_message *run[2];
	int max = 1 + (int)below(p, MAX_RUN);
	struct twin *t;

	if (rx->outstanding >= rx->window || l3l2q_core_peer_aborted(rx->core))
		return NULL;
	if ((uint64_t)max > rx->window - rx->outstanding)
		max = (int)(rx->window - rx->outstanding);
	BOTH(t, p)
		RET(t, p) = l3l2q_core_try_peek_run(&side_of(p, t)->c, &run[t - p->t], max);
	return p->ret[0] == p->ret[1] ? acquired(p, run[0], run[1]) : NULL;
}

static const char *dequeue(struct twins *p)
{
	uint64_t capacity = below(p, 4) ? MAX_BODY : below(p, 64);
	bool null = !below(p, 20);
	struct l3l2q_message m[2];
	struct twin *t;

	BOTH(t, p) {
		m[t - p->t] = untouched;
		RET(t, p) = l3l2q_core_try_dequeue(&side_of(p, t)->c, &m[t - p->t],
						   null ? NULL : t->got, capacity);
	}
	return same(p, &m[0], &m[1]) ? NULL : "another message";
}

/* The caller no longer has these. */
static void forget(struct twins *p, int first, int n)
{
	int *nheld = &p->nheld[p->role];
	struct twin *t;

	BOTH(t, p)
		memmove(&t->held[p->role][first], &t->held[p->role][first + n],
			sizeof(t->held[0][0]) * (size_t)(*nheld - first - n));
	*nheld -= n;
}

static void release_upto(struct twins *p, int i)
{
	uint64_t seq = p->t->held[p->role][i].seq;
	struct twin *t;

	BOTH(t, p)
		RET(t, p) = l3l2q_core_release_upto(&side_of(p, t)->c, &t->held[p->role][i]);
	for (i = p->nheld[p->role]; i-- > 0 && !p->ret[0];)
		if (p->t->held[p->role][i].seq <= seq)
			forget(p, i, 1);
}

/* Some of those that are held, the oldest first or not. */
static void release_batch(struct twins *p)
{
	int n = 1 + (int)below(p, (uint64_t)p->nheld[p->role]);
	int a = below(p, 2) ? (int)below(p, (uint64_t)n) : 0;
	struct twin *t;

	BOTH(t, p) {
		struct l3l2q_message *m = t->held[p->role], first = m[0];

		m[0] = m[a];
		m[a] = first;
		RET(t, p) = l3l2q_core_release_batch(&side_of(p, t)->c, m, n);
	}
	forget(p, 0, n);
}

static void complete(struct twins *p, int i)
{
	bool retire = below(p, 2);
	struct twin *t;

	BOTH(t, p) {
		RET(t, p) = l3l2q_core_complete(&side_of(p, t)->c, &t->held[p->role][i]);
		if (retire)
			l3l2q_core_retire(&side_of(p, t)->c);
	}
	if (!p->ret[0])
		forget(p, i, 1);
}

static void release(struct twins *p, int i)
{
	bool bad = !below(p, 100);
	struct twin *t;

	BOTH(t, p) {
		struct l3l2q_message m = t->held[p->role][i];

		m.nbytes ^= bad;
		RET(t, p) = l3l2q_core_release(&side_of(p, t)->c, &m);
	}
	if (!p->ret[0])
		forget(p, i, 1);
}

static void read_into(struct twins *p, int i)
{
	uint64_t capacity = below(p, 2) ? MAX_BODY : below(p, 64);
	struct twin *t;

	BOTH(t, p) {
		const struct l3l2q_message *m = &t->held[p->role][i];

		RET(t, p) = l3l2q_core_read_into(&side_of(p, t)->c, m, m->nbytes ? t->got : NULL,
						 capacity);
	}
}

static const char *consume(struct twins *p)
{
	struct l3l2q_consumer *rx = &side_of(p, p->t)->c;
	int n = p->nheld[p->role], i = n && !below(p, 3) ? (int)below(p, (uint64_t)n) : 0;
	/* L2 must not peek while it holds the one handle, and nearly never does. */
	bool peeks = p->role == L3L2Q_ROLE_L3 || !rx->one_handle || !rx->outstanding || !below(p, 60);

	switch (below(p, n ? 10 : 5)) {
	case 0: case 1: return peeks && n < MAX_HELD ? peek(p) : NULL;
	case 2: case 3: return peeks && n + MAX_RUN <= MAX_HELD ? peek_run(p) : NULL;
	case 4: return dequeue(p);
	case 5: release_upto(p, i); break;
	case 6: release_batch(p); break;
	case 7: complete(p, i); break;
	case 8: read_into(p, i); break;
	default: release(p, i); break;
	}
	return NULL;
}

/* ---- a hostile peer ------------------------------------------------------ */

static void scribble(struct twins *p)
{
	const struct world *w = &p->t->w;
	struct l3l2q_consumer *rx = &side_of(p, p->t)->c;
	enum l3l2q_role peer = l3l2q_peer_role(p->role);
	uint64_t at = below(p, w->l.input_arena_offset / 8) * 8, offset = arena_offset(w, peer);
	uint64_t word = below(p, 5) ? below(p, 500) : rnd(&p->state), n = size(p);
	uint32_t counter = (uint32_t)below(p, 4) * L3L2Q_LINE_BYTES;
	__u32 value = (__u32)*ctr(w, counter) + (__u32)below(p, 4) - 1;
	uint64_t op = below(p, 6) ? L3L2Q_OP_DATA : below(p, 5), which = below(p, 20);
	struct twin *t;

	if (!below(p, 6))
		value = (__u32)rnd(&p->state);
	/* Where the next body belongs, at the arena's start, anywhere or nowhere. */
	offset = below(p, 3) ? rx->offset : offset + below(p, 2) * below(p, arena_bytes(w, peer));
	if (!n && below(p, 4))
		offset = 0;
	BOTH(t, p) {
		if (which < 2)
			memcpy(t->w.payload + at, &word, sizeof(word));
		else if (which < 3)
			*ctr(&t->w, counter) = (__s32)value;
		else if (which < 8)
			raw_publish(&t->w, peer, l3l2q_consumer_acquired(rx), op, offset, n);
	}
}

/* ---- comparing ----------------------------------------------------------- */

static bool readable(const struct world *w, enum l3l2q_role role)
{
	enum l3l2q_role peer = l3l2q_peer_role(role);
	const struct l3l2q_control *c = w->control[role];

	return l3l2q_readable((__u32)*ctr(w, l3l2q_ctr_tail(peer)),
			      (__u32)*ctr(w, l3l2q_ctr_head(peer)), c->consumer_flags,
			      c->seen_tail);
}

static bool writable(const struct world *w, enum l3l2q_role role)
{
	const struct l3l2q_control *c = w->control[role];

	return l3l2q_writable((__u32)*ctr(w, l3l2q_ctr_tail(role)),
			      (__u32)*ctr(w, l3l2q_ctr_head(role)), (__u32)w->l.depth,
			      c->producer_flags, c->need_head);
}

static const char *compare_producers(const struct l3l2q_producer *a,
				     const struct l3l2q_producer *b)
{
	if (a->tail != b->tail || a->head != b->head || a->stopped != b->stopped ||
	    a->span_count != b->span_count)
		return "messages sent";
	if (producer_cursor(a) != producer_cursor(b) || a->skipped != b->skipped)
		return "the producer's cursor";
	if (l3l2q_producer_published(a) != l3l2q_producer_published(b) ||
	    l3l2q_producer_published_bytes(a) != l3l2q_producer_published_bytes(b))
		return "messages published";
	return NULL;
}

/* The end of the arena is its start. */
static uint64_t cursor(const struct l3l2q_consumer *c)
{
	return c->offset == c->arena_end ? c->arena_offset : c->offset;
}

static const char *compare_consumers(const struct l3l2q_consumer *a,
				     const struct l3l2q_consumer *b)
{
	if (a->tail != b->tail || a->head != b->head || a->outstanding != b->outstanding ||
	    a->completed != b->completed || a->bytes != b->bytes)
		return "messages received";
	if (a->stopped != b->stopped || a->drained != b->drained)
		return "STOP";
	return cursor(a) == cursor(b) ? NULL : "the consumer's cursor";
}

static const char *compare(const struct twins *p)
{
	const struct world *a = &p->t[0].w, *b = &p->t[1].w;
	const char *what = NULL;
	int role;

	if (p->ret[0] != p->ret[1])
		return "results";
	if (memcmp(a->payload, b->payload, a->l.payload_bytes) ||
	    memcmp(a->counters, b->counters, a->l.counter_bytes))
		return "shared memory";
	if (memcmp(p->t[0].got, p->t[1].got, MAX_BODY))
		return "bodies";
	for (role = 0; role < L3L2Q_ROLES && !what; role++) {
		const struct side *x = &a->side[role], *y = &b->side[role];

		if (x->core.error.kind != y->core.error.kind ||
		    x->core.error.message != y->core.error.message)
			return "errors";
		if (x->core.error.kind)
			continue;
		what = compare_producers(&x->p, &y->p);
		if (!what)
			what = compare_consumers(&x->c, &y->c);
		if (!what && (readable(a, role) != readable(b, role) ||
			      writable(a, role) != writable(b, role)))
			what = "readiness";
	}
	return what;
}

static const char *step(struct twins *p, bool hostile)
{
	const char *what = NULL;

	p->role = (enum l3l2q_role)below(p, L3L2Q_ROLES);
	p->ret[0] = p->ret[1] = 0;
	switch (below(p, hostile ? 8 : 6)) {
	case 0: case 1: case 2: produce(p); break;
	case 3: case 4: case 5: what = consume(p); break;
	default: scribble(p); break;
	}
	return what ? what : compare(p);
}

/* Counters start at 0, and where 2^31 and 2^32 are crossed. */
static bool twins_make(struct twins *p, uint64_t seed)
{
	static const uint64_t starts[] = { 0, 0x7ffffffa, 0xfffffff8 };
	uint32_t binding = seed & 1 ? WORLD_SPSQ : 0;
	uint64_t depth, window, in, out, start;

	memset(p, 0, sizeof(*p));
	p->state = seed;
	body_fill(p->bytes, sizeof(p->bytes), seed);
	depth = 1ull << below(p, 5);
	window = below(p, depth) + 1;
	in = 64 * (below(p, MAX_BODY / 64) + 1);
	out = 64 * (below(p, MAX_BODY / 64) + 1);
	start = starts[below(p, 3)];
	if (!world_make_of(&p->t[0].w, binding, depth, in, out, window) ||
	    !world_make_of(&p->t[1].w, WORLD_REMOVABLE | binding, depth, in, out, window))
		return false;
	world_start_at(&p->t[0].w, start);
	world_start_at(&p->t[1].w, start);
	return true;
}

TEST(s5_fast_and_slow_paths_decide_alike)
{
	uint64_t rounds = messages() / 100, round, errors = 0;
	static struct twins p;
	const char *what;
	int i;

	for (round = 0; round < rounds; round++) {
		ASSERT_TRUE(twins_make(&p, round));
		for (i = 0; i < STEPS; i++) {
			what = step(&p, round % 3);
			ASSERT_EQ(NULL, what) {
				TH_LOG("round %" PRIu64 ", step %d: %s differ, results %d and %d",
				       round, i, what, p.ret[0], p.ret[1]);
			}
		}
		errors += !!p.t[0].w.side[0].core.error.kind + !!p.t[0].w.side[1].core.error.kind;
		world_free(&p.t[0].w);
		world_free(&p.t[1].w);
	}
	/* Neither only sound peers, nor only hostile ones. */
	EXPECT_LE(rounds / 10, errors);
	EXPECT_GT(2 * rounds, errors);
}

TEST_HARNESS_MAIN
