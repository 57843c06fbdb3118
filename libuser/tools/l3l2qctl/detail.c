// SPDX-License-Identifier: MIT
/*
 * What is in a queue's memory: descriptors between head and tail, and what a producer
 * waits for. It is read by an observer or from the memfd, while the queue goes on; what
 * was overwritten meanwhile is found by its sequence number.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"

static int open_driver(struct reader *r, const struct queue *q, const char *node, bool payload)
{
	struct l3l2q_observe observe = {
		.size = sizeof(observe),
		.flags = payload ? L3L2Q_OBSERVE_PAYLOAD : 0,
		.id = q->region.id,
	};
	int fd = open(node, O_RDWR | O_CLOEXEC), i, ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, L3L2Q_IOC_OBSERVE, &observe) ? -errno : 0;
	close(fd);
	if (ret)
		return ret;
	r->fd = observe.fd;
	for (i = 0; i < L3L2Q_MAPS; i++)
		r->at[i] = observe.map[i].offset;
	return 0;
}

/* By the descriptor in /proc that led to it, unless that is another one now. */
static int open_memfd(struct reader *r, const struct queue *q)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct stat st;

	r->fd = memfd_open(q->path, &st);
	if (r->fd < 0)
		return r->fd;
	r->at[L3L2Q_MAP_STATUS] = 0;
	r->at[L3L2Q_MAP_CONTROL] = page;
	r->at[L3L2Q_MAP_PEER_CONTROL] = 2 * page;
	if (st.st_ino == q->region.id &&
	    (uint64_t)st.st_size == memfd_parts(&q->region, &r->at[L3L2Q_MAP_COUNTERS],
						&r->at[L3L2Q_MAP_PAYLOAD]))
		return 0;
	reader_close(r);
	return -ENOENT;
}

int reader_open(struct reader *r, const struct queue *q, const char *node, bool payload)
{
	return q->memfd ? open_memfd(r, q) : open_driver(r, q, node, payload);
}

void reader_close(struct reader *r)
{
	close(r->fd);
	r->fd = -1;
}

static bool read_part(const struct reader *r, void *to, size_t bytes, unsigned int part,
		      uint64_t offset)
{
	return pread(r->fd, to, bytes, (off_t)(r->at[part] + offset)) == (ssize_t)bytes;
}

/* At most two pieces, for a ring goes round. */
static int read_ring(struct queue *q, const struct reader *r, unsigned int from)
{
	const struct direction d = direction_of(q, from);
	uint32_t depth = q->region.depth, n = d.used < MAX_SLOTS ? d.used : MAX_SLOTS;
	uint64_t start = from == L3L2Q_ROLE_L3 ? 0 : depth * sizeof(struct l3l2q_desc);
	struct ring *ring = &q->rings[from];
	uint32_t slot = d.head & (depth - 1), first = n < depth - slot ? n : depth - slot;

	if (d.used > depth)
		return 0;
	ring->slots = calloc(n ? n : 1, sizeof(*ring->slots));
	if (!ring->slots)
		return -ENOMEM;
	ring->head = d.head;
	ring->n = n;
	if (read_part(r, ring->slots, first * sizeof(*ring->slots), L3L2Q_MAP_PAYLOAD,
		      start + slot * sizeof(*ring->slots)) &&
	    read_part(r, ring->slots + first, (n - first) * sizeof(*ring->slots),
		      L3L2Q_MAP_PAYLOAD, start))
		return 0;
	free(ring->slots);
	*ring = (struct ring){ 0 };
	return 0;
}

/* How many counters of a raw region are looked at. */
size_t counters_of(const struct l3l2q_query_region *r)
{
	uint64_t n = r->counter_bytes / sizeof(int32_t);

	return n < MAX_COUNTERS ? n : MAX_COUNTERS;
}

static int read_counters(struct queue *q, const struct reader *r)
{
	size_t n = counters_of(&q->region);

	q->counters = malloc(n * sizeof(*q->counters));
	if (!q->counters)
		return -ENOMEM;
	if (read_part(r, q->counters, n * sizeof(*q->counters), L3L2Q_MAP_COUNTERS, 0))
		q->nr_counters = n;
	return 0;
}

/* What cannot be read is left unknown. */
int detail_read(struct queue *q, const char *node)
{
	struct l3l2q_control control;
	struct reader r;
	unsigned int role;
	int ret;

	if (q->region.removed)
		return 0;
	ret = reader_open(&r, q, node, false);
	if (ret)
		return ret == -ENOMEM ? ret : 0;
	for (role = 0; role < L3L2Q_ROLES && q->region.depth && !ret; role++) {
		ret = read_ring(q, &r, role);
		if (read_part(&r, &control, sizeof(control),
			      role == L3L2Q_ROLE_L3 ? L3L2Q_MAP_CONTROL : L3L2Q_MAP_PEER_CONTROL, 0) &&
		    control.need_head == q->region.ends[role].need_head)
			q->need_bytes[role] = control.need_bytes;
	}
	if (!q->region.depth)
		ret = read_counters(q, &r);
	reader_close(&r);
	return ret;
}

void detail_free(struct queue *q)
{
	unsigned int role;

	for (role = 0; role < L3L2Q_ROLES; role++)
		free(q->rings[role].slots);
	free(q->counters);
}

/* Sequence numbers start at 1 and counters are their low 32 bits. */
bool slot_is_current(const struct ring *ring, uint32_t i)
{
	return (uint32_t)ring->slots[i].seq == ring->head + i + 1;
}

/* From the start of the oldest body to the end of the newest one, as the producer places them. */
struct room room_of(const struct queue *q, unsigned int from)
{
	const struct l3l2q_query_region *r = &q->region;
	const struct ring *ring = &q->rings[from];
	uint64_t arena = from == L3L2Q_ROLE_L3 ? r->input_arena_bytes : r->output_arena_bytes;
	uint64_t start = 0, end = 0, base;
	struct l3l2q_layout layout;
	struct room room = { 0 };
	bool bodies = false;
	uint32_t i;

	if (!ring->slots || ring->n != direction_of(q, from).used ||
	    l3l2q_layout_make(r->depth, r->input_arena_bytes, r->output_arena_bytes, &layout))
		return room;
	base = from == L3L2Q_ROLE_L3 ? layout.input_arena_offset : layout.output_arena_offset;
	for (i = 0; i < ring->n; i++) {
		const struct l3l2q_desc *slot = &ring->slots[i];

		if (!slot_is_current(ring, i))
			return room;
		if (!slot->payload_nbytes)
			continue;
		if (slot->payload_nbytes > arena || slot->payload_offset < base ||
		    slot->payload_offset - base > arena - slot->payload_nbytes)
			return room;
		if (!bodies)
			start = slot->payload_offset - base;
		end = slot->payload_offset - base + slot->payload_nbytes;
		bodies = true;
	}
	room.known = true;
	if (!bodies) {
		room.bytes = room.straight = arena;
	} else if (end > start) {
		room.bytes = arena - (end - start);
		room.straight = arena - end > start ? arena - end : start;
	} else {
		room.bytes = room.straight = start - end;
	}
	return room;
}
