/* SPDX-License-Identifier: MIT */
/*
 * What the protocol tests share: random numbers and bodies that both ends can
 * compute, a queue over plain memory with the protocol core on both sides, and
 * section 4's placement written a second time, from its text.
 *
 * Time only ever bounds a hang: nothing passes or fails because of how long it
 * took.
 */
#ifndef PROTO_UTIL_H
#define PROTO_UTIL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <l3l2q/core.h>

#include "kselftest_harness.h"

/* Only a bound against hangs: sanitizers and emulated guests are slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 600

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/*
 * How many messages a long test sends: L3L2Q_MESSAGES, or 10^6; less where all is
 * slower, under sanitizers and in a guest, which may be an emulated one.
 */
static inline uint64_t messages(void)
{
	const char *env = getenv("L3L2Q_MESSAGES"), *variant = getenv("L3L2Q_VARIANT");

	if (env && *env)
		return strtoull(env, NULL, 0);
	if (variant && !strncmp(variant, "guest", 5))
		return strcmp(variant, "guest") ? 20000 : 50000;
	if (variant && !strcmp(variant, "tsan"))
		return 50000;
	return SANITIZED ? 100000 : 1000000;
}

/* ---- random numbers and bodies ----------------------------------------- */

static inline uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline uint64_t rnd(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15u;
	return mix(*state);
}

/* 0 ... n - 1 */
static inline uint64_t rnd_below(uint64_t *state, uint64_t n)
{
	return rnd(state) % n;
}

/* Mostly small, sometimes the largest, sometimes none. */
static inline uint64_t rnd_size(uint64_t *state, uint64_t max)
{
	uint64_t r = rnd_below(state, 100);

	if (r < 10)
		return 0;
	if (r < 12)
		return max;
	if (r < 30)
		return rnd_below(state, max) + 1;
	return rnd_below(state, max / 8 ? max / 8 : 1) + 1;
}

/* The body of the message that has this seed. */
static inline void body_fill(void *to, uint64_t nbytes, uint64_t seed)
{
	unsigned char *b = to;
	uint64_t i, word = mix(seed);

	for (i = 0; i + 8 <= nbytes; i += 8) {
		memcpy(b + i, &word, 8);
		word = word * 6364136223846793005u + 1442695040888963407u;
	}
	memcpy(b + i, &word, nbytes - i);
}

static inline bool body_is(const void *from, uint64_t nbytes, uint64_t seed)
{
	const unsigned char *b = from;
	uint64_t i, word = mix(seed);

	for (i = 0; i + 8 <= nbytes; i += 8) {
		if (memcmp(b + i, &word, 8))
			return false;
		word = word * 6364136223846793005u + 1442695040888963407u;
	}
	return !memcmp(b + i, &word, nbytes - i);
}

/* ---- section 4, from its text ------------------------------------------ */

/* A virtual byte cursor over one arena, with the bodies it placed in flight. */
struct oracle {
	uint64_t arena_offset;
	uint64_t arena;
	uint64_t cursor;
	uint64_t tail;
	uint64_t head;
	uint64_t depth;
	uint64_t *start;	/* of message i, at i % depth; its body's virtual start */
	uint64_t *nbytes;
};

static inline void oracle_init(struct oracle *o, uint64_t depth, uint64_t offset, uint64_t arena)
{
	memset(o, 0, sizeof(*o));
	o->depth = depth;
	o->arena_offset = offset;
	o->arena = arena;
	o->start = calloc(depth, sizeof(*o->start));
	o->nbytes = calloc(depth, sizeof(*o->nbytes));
}

static inline void oracle_free(struct oracle *o)
{
	free(o->start);
	free(o->nbytes);
}

/* Where the next body goes: its payload_offset. Returns the cursor after it. */
static inline uint64_t oracle_where(const struct oracle *o, uint64_t n, uint64_t *offset)
{
	uint64_t cursor = o->cursor, pos = cursor % o->arena;

	*offset = 0;
	if (!n)
		return cursor;
	if (pos + n > o->arena) {
		cursor += o->arena - pos;
		pos = 0;
	}
	*offset = o->arena_offset + pos;
	return cursor + n;
}

/* May a message of n bytes go out? Consequence 3. */
static inline bool oracle_fits(const struct oracle *o, uint64_t n)
{
	uint64_t offset, i, end = oracle_where(o, n, &offset);

	if (o->tail - o->head >= o->depth || n > o->arena)
		return false;
	if (!n)
		return true;
	for (i = o->head; i < o->tail; i++)
		if (o->nbytes[i % o->depth])
			return end - o->start[i % o->depth] <= o->arena;
	return true;
}

static inline uint64_t oracle_place(struct oracle *o, uint64_t n)
{
	uint64_t offset, end = oracle_where(o, n, &offset);

	o->start[o->tail % o->depth] = end - n;
	o->nbytes[o->tail % o->depth] = n;
	o->cursor = end;
	o->tail++;
	return offset;
}

#include "cache_sim.h"

/* ---- a queue over plain memory ----------------------------------------- */

/* One side: the core, with all that the library would add around it. */
struct side {
	struct l3l2q_core core;
	struct l3l2q_producer p;
	struct l3l2q_consumer c;
	void *p_memory;
	void *c_memory;
};

/* Of cached memory: it can be removed. Other memory always can. */
#define WORLD_REMOVABLE 0x100u
/* The queue is described by the SPSQ binding. */
#define WORLD_SPSQ 0x200u

#define SPSQ_SESSION 0x0807060504030201ull
#define SPSQ_TRANSACTION 42

struct world {
	/* enum l3l2q_memory that both sides take it for; unsnooped at L2, cached at L3 */
	uint32_t memory;
	bool removable;
	struct l3l2q_layout l;
	uint32_t binding;	/* enum l3l2q_binding */
	__u64 identity[2];
	struct l3l2q_region_desc region;
	struct l3l2q_queue_desc queue;
	unsigned char *payload;
	unsigned char *counters;
	struct l3l2q_control *control[L3L2Q_ROLES];
	__u32 removed;
	struct side side[L3L2Q_ROLES];
	/* L2's, with unsnooped memory */
	struct cache_sim *payload_cache;
	struct cache_sim *counter_cache;
};

static inline __s32 *ctr(const struct world *w, unsigned int offset)
{
	return (__s32 *)(void *)(w->counters + offset);
}

static inline void scalars_make(struct l3l2q_region_desc *region, struct l3l2q_queue_desc *queue,
				const struct l3l2q_layout *l)
{
	region->magic_version = L3L2Q_REGION_V2;
	region->region_id = 77;
	region->payload_base = 0x100000000;
	region->payload_bytes = l->payload_bytes;
	region->counter_base = 0x1000;
	region->counter_bytes = l->counter_bytes;
	queue->magic_version = L3L2Q_QUEUE_VERSION;
	queue->depth = l->depth;
	queue->input_arena_bytes = l->input_arena_bytes;
	queue->output_arena_bytes = l->output_arena_bytes;
	queue->payload_bytes = l->payload_bytes;
	queue->counter_bytes = l->counter_bytes;
}

/* (Re)start one side over memory that is there; false if it refuses. */
static inline bool side_make(struct world *w, enum l3l2q_role role, uint64_t window)
{
	bool cache = w->memory == L3L2Q_MEMORY_UNSNOOPED && role == L3L2Q_ROLE_L2;
	struct side *s = &w->side[role];

	if (l3l2q_core_start(&s->core, role, &w->region, &w->queue, w->identity,
			     cache ? w->payload_cache->copy : w->payload,
			     cache ? w->counter_cache->copy : w->counters))
		return false;
	if (cache ? l3l2q_core_set_unsnooped(&s->core, sim_clean, sim_invalidate) :
	    w->memory != L3L2Q_MEMORY_UNSNOOPED && l3l2q_core_set_memory(&s->core, w->memory))
		return false;
	s->core.removed = w->removable ? &w->removed : NULL;
	s->core.control = w->control[role];
	s->core.armed = &w->control[role]->armed;
	s->core.peer_armed = &w->control[l3l2q_peer_role(role)]->armed;
	s->p_memory = calloc(1, l3l2q_producer_memory(w->l.depth));
	s->c_memory = calloc(1, l3l2q_consumer_memory(window));
	l3l2q_core_producer_init(&s->p, &s->core, s->p_memory);
	return !l3l2q_core_consumer_init(&s->c, &s->core, window, s->c_memory);
}

/* What L3 alone writes is foreign to L2's cache. */
static inline void world_make_caches(struct world *w)
{
	uint32_t offset;

	w->payload_cache = sim_make(w->payload, w->l.payload_bytes, 1);
	w->counter_cache = sim_make(w->counters, w->l.counter_bytes, 2);
	sim_set_foreign(w->payload_cache, w->l.input_desc_offset,
			w->l.depth * sizeof(struct l3l2q_desc), 1);
	sim_set_foreign(w->payload_cache, w->l.input_arena_offset, w->l.input_arena_bytes, 1);
	for (offset = 0; offset < L3L2Q_COUNTER_BYTES; offset += L3L2Q_LINE_BYTES) {
		if (l3l2q_counter_writer(offset) == L3L2Q_ROLE_L3)
			sim_set_foreign(w->counter_cache, offset, SIM_LINE, 1);
	}
}

/* Payload bytes start undefined: filled with what no body and no descriptor is. */
static inline bool world_make_of(struct world *w, uint32_t memory, uint64_t depth, uint64_t in,
				 uint64_t out, uint64_t window)
{
	int role;

	memset(w, 0, sizeof(*w));
	w->binding = memory & WORLD_SPSQ ? L3L2Q_BINDING_SPSQ : L3L2Q_BINDING_L3Q2;
	memory &= ~WORLD_SPSQ;
	w->memory = memory & ~WORLD_REMOVABLE;
	w->removable = memory != L3L2Q_MEMORY_CACHED;
	if (l3l2q_layout_make(depth, in, out, &w->l))
		return false;
	scalars_make(&w->region, &w->queue, &w->l);
	if (w->binding == L3L2Q_BINDING_SPSQ) {
		w->queue.magic_version = L3L2Q_SPSQ_VERSION;
		w->identity[0] = SPSQ_SESSION;
		w->identity[1] = SPSQ_TRANSACTION;
	}
	w->payload = aligned_alloc(64, w->l.payload_bytes);
	w->counters = aligned_alloc(64, w->l.counter_bytes);
	memset(w->payload, 0xa5, w->l.payload_bytes);
	memset(w->counters, 0, w->l.counter_bytes);
	if (w->memory == L3L2Q_MEMORY_UNSNOOPED)
		world_make_caches(w);
	for (role = 0; role < L3L2Q_ROLES; role++)
		w->control[role] = calloc(1, sizeof(*w->control[role]));
	return side_make(w, L3L2Q_ROLE_L3, window) && side_make(w, L3L2Q_ROLE_L2, window);
}

static inline bool world_make(struct world *w, uint64_t depth, uint64_t in, uint64_t out,
			      uint64_t window)
{
	return world_make_of(w, L3L2Q_MEMORY_CACHED, depth, in, out, window);
}

static inline void world_free(struct world *w)
{
	int role;

	for (role = 0; role < L3L2Q_ROLES; role++) {
		free(w->control[role]);
		free(w->side[role].p_memory);
		free(w->side[role].c_memory);
	}
	sim_free(w->payload_cache);
	sim_free(w->counter_cache);
	free(w->payload);
	free(w->counters);
	memset(w, 0, sizeof(*w));
}

/* The producer's virtual cursor, it modulo the arena, and the bytes in the bodies it has placed. */
static inline uint64_t producer_cursor(const struct l3l2q_producer *p)
{
	return p->laps + p->offset;
}

static inline uint64_t producer_pos(const struct l3l2q_producer *p)
{
	return producer_cursor(p) % (p->arena_end - p->arena_offset);
}

static inline uint64_t producer_bytes(const struct l3l2q_producer *p)
{
	return producer_cursor(p) - p->skipped;
}

/* Start the queue as if so many messages had passed already, both ways. */
static inline void cursors_set(struct l3l2q_producer *p, struct l3l2q_consumer *c, uint64_t at)
{
	p->tail = p->limit = p->head = p->oldest = at;
	c->tail = c->head = c->oldest = at;
	l3l2q_consumer_update_readiness(c);
}

/* After a test has stored where L2 alone stores: its cache starts again from what is there. */
static inline void world_refetch(struct world *w)
{
	if (w->memory != L3L2Q_MEMORY_UNSNOOPED)
		return;
	sim_refetch(w->payload_cache);
	sim_refetch(w->counter_cache);
}

static inline void world_start_at(struct world *w, uint64_t at)
{
	int role;

	for (role = 0; role < L3L2Q_ROLES; role++)
		cursors_set(&w->side[role].p, &w->side[role].c, at);
	*ctr(w, L3L2Q_CTR_INPUT_TAIL) = *ctr(w, L3L2Q_CTR_INPUT_HEAD) = (__s32)at;
	*ctr(w, L3L2Q_CTR_OUTPUT_TAIL) = *ctr(w, L3L2Q_CTR_OUTPUT_HEAD) = (__s32)at;
	world_refetch(w);
}

/* Whether the SPSQ binding describes the queue. */
static inline bool is_spsq(const struct world *w)
{
	return w->binding == L3L2Q_BINDING_SPSQ;
}

/* ERROR, where the direction that @sender produces carries it; else DATA. */
static inline uint32_t error_op(const struct world *w, enum l3l2q_role sender)
{
	return is_spsq(w) && sender == L3L2Q_ROLE_L3 ? L3L2Q_OP_DATA : L3L2Q_OP_ERROR;
}

static inline struct side *l3(struct world *w)
{
	return &w->side[L3L2Q_ROLE_L3];
}

static inline struct side *l2(struct world *w)
{
	return &w->side[L3L2Q_ROLE_L2];
}

/* The arena that a role sends through. */
static inline uint64_t arena_bytes(const struct world *w, enum l3l2q_role role)
{
	return role == L3L2Q_ROLE_L3 ? w->l.input_arena_bytes : w->l.output_arena_bytes;
}

static inline uint64_t arena_offset(const struct world *w, enum l3l2q_role role)
{
	return role == L3L2Q_ROLE_L3 ? w->l.input_arena_offset : w->l.output_arena_offset;
}

/* The slot that message number i (from 0) of a role goes to. */
static inline struct l3l2q_desc *slot_of(const struct world *w, enum l3l2q_role role, uint64_t i)
{
	uint64_t ring = role == L3L2Q_ROLE_L3 ? w->l.input_desc_offset : w->l.output_desc_offset;

	return (struct l3l2q_desc *)(void *)(w->payload + ring +
					     i % w->l.depth * sizeof(struct l3l2q_desc));
}

/* Send a message whose body is that of its seed. */
static inline int send_op(struct side *s, uint32_t opcode, uint64_t nbytes, uint64_t seed)
{
	unsigned char *body = nbytes ? malloc(nbytes) : NULL;
	int ret;

	if (nbytes)
		body_fill(body, nbytes, seed);
	ret = l3l2q_core_try_enqueue(&s->p, opcode, l3l2q_core_copy, body, nbytes);
	free(body);
	return ret;
}

/* All that a handle says; what pads it says nothing. */
static inline bool same_message(const struct l3l2q_message *a, const struct l3l2q_message *b)
{
	return a->seq == b->seq && a->payload_offset == b->payload_offset &&
	       a->nbytes == b->nbytes && a->data == b->data && a->opcode == b->opcode;
}

static inline int send_data(struct side *s, uint64_t nbytes, uint64_t seed)
{
	return send_op(s, L3L2Q_OP_DATA, nbytes, seed);
}

static inline int send_stop(struct side *s)
{
	return l3l2q_core_try_enqueue(&s->p, L3L2Q_OP_STOP, l3l2q_core_copy, NULL, 0);
}

/* What a foreign producer does: write a descriptor, then the tail. */
static inline void raw_publish(struct world *w, enum l3l2q_role role, uint64_t i, uint64_t opcode,
			       uint64_t offset, uint64_t nbytes)
{
	struct l3l2q_desc *slot = slot_of(w, role, i);

	slot->opcode = opcode;
	slot->payload_offset = offset;
	slot->payload_nbytes = nbytes;
	slot->seq = i + 1;
	*ctr(w, l3l2q_ctr_tail(role)) = (__s32)(i + 1);
}

#endif /* PROTO_UTIL_H */
