// SPDX-License-Identifier: MIT
/*
 * The protocol (protocol.md) in the order in which the reference's endpoints do it: both
 * counters read for each message, released descriptors read again to learn what
 * they were, one counter stored for each message, nothing kept but the cursors.
 * Two endpoints over plain memory; an input without a window, as by default.
 */
#include <errno.h>

#include "job.h"

struct naive_way {
	struct l3l2q_desc *ring;
	__s32 *tail_counter;
	__s32 *head_counter;
	uint64_t depth;
	uint64_t arena_offset;
	uint64_t arena_bytes;
	unsigned char *payload;

	/* the producer's */
	uint64_t tail LINE_ALIGNED;
	uint64_t seen_head;
	uint64_t cursor;
	uint64_t released;		/* cursor behind the last body released */

	/* the consumer's */
	uint64_t head LINE_ALIGNED;
	uint64_t seen_tail;
	uint64_t taken;
	struct l3l2q_desc held;
};

struct naive {
	struct naive_way way[2];
	void *payload;
	void *counters;
};

static void naive_close(struct contestant *c)
{
	struct job *job = c->arg;
	struct naive *naive = job->link;

	free(naive->payload);
	free(naive->counters);
	free(naive);
}

static void naive_way_init(struct naive *naive, int dir, const struct l3l2q_layout *l)
{
	enum l3l2q_role role = dir ? L3L2Q_ROLE_L2 : L3L2Q_ROLE_L3;
	struct naive_way *way = &naive->way[dir];
	unsigned char *payload = naive->payload;
	unsigned char *counters = naive->counters;

	way->payload = payload;
	way->ring = (struct l3l2q_desc *)(void *)
		    (payload + (dir ? l->output_desc_offset : l->input_desc_offset));
	way->tail_counter = (__s32 *)(void *)(counters + l3l2q_ctr_tail(role));
	way->head_counter = (__s32 *)(void *)(counters + l3l2q_ctr_head(role));
	way->depth = l->depth;
	way->arena_offset = dir ? l->output_arena_offset : l->input_arena_offset;
	way->arena_bytes = dir ? l->output_arena_bytes : l->input_arena_bytes;
}

static int naive_open(struct contestant *c)
{
	struct job *job = c->arg;
	uint64_t arena = job->depth * (job->size + LINE - 1) / LINE * LINE;
	struct naive *naive = job_memory(sizeof(*naive));
	struct l3l2q_layout l;

	job->link = naive;
	if (!naive)
		return -ENOMEM;
	if (!arena)
		arena = LINE;
	if (l3l2q_layout_make(job->depth, arena, arena, &l)) {
		free(naive);
		return -EINVAL;
	}
	naive->payload = job_memory(l.payload_bytes);
	naive->counters = job_memory(l.counter_bytes);
	if (!naive->payload || !naive->counters) {
		naive_close(c);
		return -ENOMEM;
	}
	naive_way_init(naive, 0, &l);
	naive_way_init(naive, 1, &l);
	return 0;
}

/* ---- producer ---------------------------------------------------------- */

/* Where a body goes from this cursor; the cursor moves over what is skipped. */
static inline uint64_t naive_place(const struct naive_way *way, uint64_t *cursor, uint64_t n)
{
	uint64_t pos = *cursor % way->arena_bytes;

	if (pos + n > way->arena_bytes) {
		*cursor += way->arena_bytes - pos;
		pos = 0;
	}
	return pos;
}

/* What the peer has released since, by its descriptors. */
static inline void naive_replay(struct naive_way *way)
{
	__u64 head = way->seen_head;

	if (l3l2q_reconstruct(l3l2q_load_counter(way->head_counter), way->depth, &head))
		abort();
	for (; way->seen_head != head; way->seen_head++) {
		const struct l3l2q_desc *desc = &way->ring[way->seen_head & (way->depth - 1)];

		if (!desc->payload_nbytes)
			continue;
		naive_place(way, &way->released, desc->payload_nbytes);
		way->released += desc->payload_nbytes;
	}
}

static inline int naive_try_send(struct naive_way *way, const struct job *job)
{
	uint64_t pos = 0, cursor = way->cursor;
	struct l3l2q_desc *desc;

	naive_replay(way);
	if (way->tail - way->seen_head == way->depth)
		return -EAGAIN;
	if (job->size) {
		pos = naive_place(way, &cursor, job->size);
		if (cursor + job->size - way->released > way->arena_bytes)
			return -EAGAIN;
		job_fill(job, way->payload + way->arena_offset + pos);
		cursor += job->size;
	}
	way->cursor = cursor;
	desc = &way->ring[way->tail & (way->depth - 1)];
	__atomic_store_n(&desc->opcode, L3L2Q_OP_DATA, __ATOMIC_RELAXED);
	__atomic_store_n(&desc->payload_offset, job->size ? way->arena_offset + pos : 0,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&desc->payload_nbytes, job->size, __ATOMIC_RELAXED);
	__atomic_store_n(&desc->seq, way->tail + 1, __ATOMIC_RELEASE);
	way->tail++;
	l3l2q_store_counter(way->tail_counter, (__u32)way->tail);
	return 0;
}

/* ---- consumer ---------------------------------------------------------- */

static inline int naive_try_recv(struct naive_way *way, const struct job *job, int dir)
{
	const struct l3l2q_desc *slot = &way->ring[way->head & (way->depth - 1)];
	struct l3l2q_desc desc;
	__u64 tail = way->seen_tail;
	uint64_t pos = 0;

	if (l3l2q_reconstruct(l3l2q_load_counter(way->tail_counter), way->depth, &tail))
		abort();
	way->seen_tail = tail;
	if (tail == way->head)
		return -EAGAIN;
	desc.seq = __atomic_load_n(&slot->seq, __ATOMIC_RELAXED);
	desc.opcode = __atomic_load_n(&slot->opcode, __ATOMIC_RELAXED);
	desc.payload_offset = __atomic_load_n(&slot->payload_offset, __ATOMIC_RELAXED);
	desc.payload_nbytes = __atomic_load_n(&slot->payload_nbytes, __ATOMIC_RELAXED);
	if (desc.seq != way->head + 1 || desc.opcode != L3L2Q_OP_DATA)
		abort();
	if (desc.payload_nbytes) {
		pos = naive_place(way, &way->taken, desc.payload_nbytes);
		if (desc.payload_offset != way->arena_offset + pos)
			abort();
		way->taken += desc.payload_nbytes;
	}
	way->held = desc;
	job_take(job, dir, way->payload + desc.payload_offset);
	/* the release compares what it is given with what is there */
	if (__atomic_load_n(&slot->seq, __ATOMIC_RELAXED) != way->held.seq ||
	    __atomic_load_n(&slot->payload_offset, __ATOMIC_RELAXED) != way->held.payload_offset)
		abort();
	way->head++;
	l3l2q_store_counter(way->head_counter, (__u32)way->head);
	return 0;
}

static inline void naive_send(struct job *job, int dir, uint64_t n)
{
	struct naive_way *way = &((struct naive *)job->link)->way[dir];

	for (; n; n--) {
		while (naive_try_send(way, job))
			l3l2q_relax();
	}
}

static inline void naive_recv(struct job *job, int dir, uint64_t n)
{
	struct naive_way *way = &((struct naive *)job->link)->way[dir];

	for (; n; n--) {
		while (naive_try_recv(way, job, dir))
			l3l2q_relax();
	}
}

PING_PONG(naive)
ONE_WAY(naive)
const struct link link_naive = LINK("naive", naive, false);
