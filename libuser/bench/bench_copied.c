// SPDX-License-Identifier: MIT
/*
 * Memory that is reached by copy calls only, as the reference's L3 reaches GM on silicon:
 * calls a message, and the time they take if a call takes 9.5 us and the copy itself as
 * long as memcpy takes here. Beside the library, the same messages by the calls that the
 * reference makes, in its order, with either binding. One thread sends and takes in turn.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <l3l2q/core.h>

#include "bench.h"

#define CALL_NS 9500
#define DEPTH 64
#define ARENA (256 * KIB)
#define MOST 32
#define TURNS 50

/* The memory, and the calls that were made. */
struct copied {
	unsigned char *range[2];
	uint64_t calls;
};

static void spin_call(struct copied *m)
{
	uint64_t end = now_ns() + CALL_NS;

	m->calls++;
	while (now_ns() < end)
		;
}

static int copied_read(void *ctx, uint32_t range, uint64_t offset, void *to, size_t n)
{
	struct copied *m = ctx;

	spin_call(m);
	memcpy(to, m->range[range] + offset, n);
	return 0;
}

static int copied_write(void *ctx, uint32_t range, uint64_t offset, const void *from, size_t n)
{
	struct copied *m = ctx;

	spin_call(m);
	memcpy(m->range[range] + offset, from, n);
	return 0;
}

/* ---- the library ------------------------------------------------------------- */

struct work {
	const char *name;
	bool reference;
	bool spsq;
	uint64_t size, batch;
	struct copied memory;
	struct l3l2q_layout layout;
	struct l3l2q_ep *ep[L3L2Q_ROLES];
	uint64_t sent, taken, cursor, released;	/* the reference's */
	unsigned char *body, *got;
};

static int library_open(struct work *w)
{
	const struct l3l2q_attr attr = { .window = MOST };
	const struct l3l2q_layout *l = &w->layout;
	struct l3l2q_external ext = { .memory = L3L2Q_MEMORY_COPIED, .read = copied_read,
		.write = copied_write, .ctx = &w->memory };
	int role, ret = 0;

	memcpy(ext.scalars, (const uint64_t[]){ L3L2Q_REGION_V2, 1, 0x100000, l->payload_bytes,
		0x1000, l->counter_bytes, L3L2Q_QUEUE_VERSION, l->depth, l->input_arena_bytes,
		l->output_arena_bytes, l->payload_bytes, l->counter_bytes }, sizeof(ext.scalars));
	for (role = 0; role < L3L2Q_ROLES && !ret; role++) {
		ext.role = (uint32_t)role;
		ret = l3l2q_attach_external(&w->ep[role], &ext, &attr, NULL);
	}
	return ret;
}

static int library_send(struct work *w)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(w->ep[0]);
	uint64_t i;
	int ret = w->batch > 1 ? l3l2q_batch_begin(p) : 0;

	for (i = 0; i < w->batch && !ret; i++)
		ret = l3l2q_enqueue(p, L3L2Q_OP_DATA, w->body, w->size, NSEC);
	return ret || w->batch == 1 ? ret : l3l2q_batch_publish(p);
}

static int library_take(struct work *w)
{
	struct l3l2q_consumer *c = l3l2q_ep_consumer(w->ep[1]);
	struct l3l2q_message m[MOST];
	int i, n, ret = 0;

	if (w->batch == 1)
		return l3l2q_dequeue(c, m, w->got, w->size, NSEC);
	n = l3l2q_peek_batch(c, m, (int)w->batch, NSEC);
	for (i = 0; i < n && !ret; i++)
		ret = l3l2q_read_into(c, &m[i], w->got, w->size);
	if (n < 0 || ret)
		return n < 0 ? n : ret;
	return l3l2q_release_batch(c, m, n);
}

/* ---- the reference's order ------------------------------------------------------ */

static uint32_t read_counter(struct work *w, uint64_t offset)
{
	uint32_t value;

	copied_read(&w->memory, L3L2Q_RANGE_COUNTERS, offset, &value, sizeof(value));
	return value;
}

static uint64_t slot_of(const struct work *w, uint64_t i)
{
	return w->layout.input_desc_offset + i % DEPTH * sizeof(struct l3l2q_desc);
}

/* Flag (SPSQ), head, the descriptors released since, body, descriptor, its seq, tail. */
static int reference_send(struct work *w)
{
	uint64_t i, pos, head;

	for (i = 0; i < w->batch; i++) {
		struct l3l2q_desc desc = { w->sent + 1, L3L2Q_OP_DATA, 0, w->size }, old;
		uint32_t tail = (uint32_t)w->sent + 1;

		if (w->spsq && read_counter(w, L3L2Q_CTR_L2_ABORT))
			return -ECONNABORTED;
		head = read_counter(w, L3L2Q_CTR_INPUT_HEAD);
		for (; w->released < head; w->released++)
			copied_read(&w->memory, L3L2Q_RANGE_PAYLOAD, slot_of(w, w->released), &old,
				    sizeof(old));
		pos = w->cursor % ARENA;
		if (pos + w->size > ARENA)
			pos = 0;
		w->cursor = pos + w->size;
		desc.payload_offset = w->layout.input_arena_offset + pos;
		copied_write(&w->memory, L3L2Q_RANGE_PAYLOAD, desc.payload_offset, w->body,
			     w->size);
		copied_write(&w->memory, L3L2Q_RANGE_PAYLOAD, slot_of(w, w->sent) + 8,
			     &desc.opcode, 24);
		copied_write(&w->memory, L3L2Q_RANGE_PAYLOAD, slot_of(w, w->sent), &desc.seq, 8);
		copied_write(&w->memory, L3L2Q_RANGE_COUNTERS, L3L2Q_CTR_INPUT_TAIL, &tail, 4);
		w->sent++;
	}
	return 0;
}

/* Flag (SPSQ), tail, descriptor, body, head. */
static int reference_take(struct work *w)
{
	struct l3l2q_desc desc;
	uint32_t head;
	uint64_t i;

	for (i = 0; i < w->batch; i++) {
		if (w->spsq && read_counter(w, L3L2Q_CTR_L2_ABORT))
			return -ECONNABORTED;
		if (read_counter(w, L3L2Q_CTR_INPUT_TAIL) == w->taken)
			return -EAGAIN;
		copied_read(&w->memory, L3L2Q_RANGE_PAYLOAD, slot_of(w, w->taken), &desc,
			    sizeof(desc));
		if (desc.seq != w->taken + 1 || desc.payload_nbytes != w->size)
			return -EBADMSG;
		copied_read(&w->memory, L3L2Q_RANGE_PAYLOAD, desc.payload_offset, w->got, w->size);
		head = (uint32_t)++w->taken;
		copied_write(&w->memory, L3L2Q_RANGE_COUNTERS, L3L2Q_CTR_INPUT_HEAD, &head, 4);
	}
	return 0;
}

/* ---- measuring ------------------------------------------------------------------- */

/* Calls a message, the mean of all turns, and the time of the best turn. */
static void report(const struct work *w, const char *what, uint64_t calls, const uint64_t *took,
		   unsigned int turns)
{
	uint64_t best = took[0];
	char name[64], job[16];
	unsigned int i;

	if (w->batch == 1)
		snprintf(job, sizeof(job), "%llu", (unsigned long long)w->size);
	else
		snprintf(job, sizeof(job), "%llux%llu", (unsigned long long)w->batch,
			 (unsigned long long)w->size);
	for (i = 1; i < turns; i++)
		best = took[i] < best ? took[i] : best;
	snprintf(name, sizeof(name), "copied/%s/%s/%s", job, what, w->name);
	metric_add(name, (double)calls / (double)(turns * w->batch), "calls a message");
	snprintf(name, sizeof(name), "copied/%s/%s/%s us", job, what, w->name);
	metric_add(name, (double)best / (double)w->batch / 1e3, "us a message, best");
}

/*
 * The first turn does not count: in later ones the reference finds slots that were released.
 * Fewer turns than slots: the library reads the head once a ring or arena.
 */
static int measure(struct work *w)
{
	unsigned int i, turns = options.quick ? 4 : TURNS;
	uint64_t calls[2] = { 0 }, took[2][TURNS], start;
	int ret, side;

	for (i = 0; i <= turns; i++) {
		for (side = 0; side < 2; side++) {
			w->memory.calls = 0;
			start = now_ns();
			if (side)
				ret = w->reference ? reference_take(w) : library_take(w);
			else
				ret = w->reference ? reference_send(w) : library_send(w);
			if (ret)
				return ret;
			if (i) {
				took[side][i - 1] = now_ns() - start;
				calls[side] += w->memory.calls;
			}
		}
	}
	if (memcmp(w->body, w->got, w->size))
		return -EBADMSG;
	report(w, "send", calls[0], took[0], turns);
	report(w, "take", calls[1], took[1], turns);
	return 0;
}

static int run(struct work *w)
{
	int ret = 0;

	if (l3l2q_layout_make(DEPTH, ARENA, ARENA, &w->layout))
		return -EINVAL;
	w->memory.range[L3L2Q_RANGE_PAYLOAD] = calloc(1, w->layout.payload_bytes);
	w->memory.range[L3L2Q_RANGE_COUNTERS] = calloc(1, w->layout.counter_bytes);
	w->body = malloc(w->size);
	w->got = calloc(1, w->size);
	if (!w->memory.range[0] || !w->memory.range[1] || !w->body || !w->got)
		ret = -ENOMEM;
	if (!ret)
		memset(w->body, 0x5a, w->size);
	if (!ret && !w->reference)
		ret = library_open(w);
	if (!ret)
		ret = measure(w);
	l3l2q_close(w->ep[0]);
	l3l2q_close(w->ep[1]);
	free(w->memory.range[0]);
	free(w->memory.range[1]);
	free(w->body);
	free(w->got);
	return ret;
}

int bench_copied(void)
{
	static const struct {
		uint64_t size, batch;
	} jobs[] = { { 64, 1 }, { 64 * KIB, 1 }, { 64, 32 } };
	static const struct work works[] = {
		{ .name = "l3l2q" },
		{ .name = "L3Q2 order", .reference = true },
		{ .name = "SPSQ order", .reference = true, .spsq = true },
	};
	unsigned int i, j;
	int ret;

	if (options.only && strncmp("copied", options.only, strlen(options.only)))
		return 0;
	for (i = 0; i < LENGTH(jobs); i++) {
		for (j = 0; j < LENGTH(works); j++) {
			struct work w = works[j];

			w.size = jobs[i].size;
			w.batch = jobs[i].batch;
			ret = run(&w);
			if (ret)
				return fail("copied memory: %s: %s", w.name, strerror(-ret));
		}
	}
	return 0;
}
