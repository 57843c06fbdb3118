// SPDX-License-Identifier: MIT
/*
 * DPDK's ring, for one producer and one consumer: pointers to bodies, which are
 * copied in and out as the library does.
 */
#include "job.h"

#ifdef L3L2Q_BENCH_DPDK
#include <errno.h>
#include <rte_ring.h>
#include <rte_ring_peek_zc.h>

/* What one direction has. A buffer is free again once depth + a batch came after it. */
struct rte_way {
	struct rte_ring *ring;
	unsigned char *buffers;
	uint64_t mask;			/* buffers - 1 */
	uint64_t stride;
	void **sending;
	void **taken;
	uint64_t next LINE_ALIGNED;	/* the sender's own */
};

struct rte_link {
	struct rte_way way[2];
};

static void rte_close(struct contestant *c)
{
	struct job *job = c->arg;
	struct rte_link *link = job->link;
	int dir;

	for (dir = 0; dir < 2; dir++) {
		free(link->way[dir].ring);
		free(link->way[dir].buffers);
		free(link->way[dir].sending);
		free(link->way[dir].taken);
	}
	free(link);
}

static int rte_way_open(struct rte_way *way, const struct job *job)
{
	/* a ring holds one less than its size */
	uint64_t size = job->depth * 2, buffers = 2;
	ssize_t bytes = rte_ring_get_memsize((unsigned int)size);

	while (buffers < job->depth * 2 + job->batch)
		buffers *= 2;
	way->mask = buffers - 1;
	way->stride = (job->size + LINE - 1) / LINE * LINE;
	way->ring = bytes > 0 ? job_memory((size_t)bytes) : NULL;
	way->buffers = job_memory(buffers * way->stride + LINE);
	way->sending = job_memory(job->batch * sizeof(void *));
	way->taken = job_memory(job->batch * sizeof(void *));
	if (!way->ring || !way->buffers || !way->sending || !way->taken)
		return -ENOMEM;
	return rte_ring_init(way->ring, "bench", (unsigned int)size,
			     RING_F_SP_ENQ | RING_F_SC_DEQ);
}

static int rte_open(struct contestant *c)
{
	struct job *job = c->arg;
	struct rte_link *link = job_memory(sizeof(*link));
	int ret;

	job->link = link;
	if (!link)
		return -ENOMEM;
	ret = rte_way_open(&link->way[0], job);
	if (!ret)
		ret = rte_way_open(&link->way[1], job);
	if (ret)
		rte_close(c);
	return ret;
}

static inline void *rte_filled(struct rte_way *way, const struct job *job)
{
	void *body = way->buffers + (way->next++ & way->mask) * way->stride;

	job_fill(job, body);
	return body;
}

/* ---- one by one -------------------------------------------------------- */

static inline void rte_send(struct job *job, int dir, uint64_t n)
{
	struct rte_way *way = &((struct rte_link *)job->link)->way[dir];

	for (; n; n--) {
		void *body = rte_filled(way, job);

		while (rte_ring_sp_enqueue(way->ring, body))
			l3l2q_relax();
	}
}

static inline void rte_recv(struct job *job, int dir, uint64_t n)
{
	struct rte_way *way = &((struct rte_link *)job->link)->way[dir];
	void *body;

	for (; n; n--) {
		while (rte_ring_sc_dequeue(way->ring, &body))
			l3l2q_relax();
		job_take(job, dir, body);
	}
}

PING_PONG(rte)
ONE_WAY(rte)
const struct link link_rte = LINK("rte_ring", rte, false);

/* ---- bursts ------------------------------------------------------------ */

static inline void rte_burst_send(struct job *job, int dir, uint64_t n)
{
	struct rte_way *way = &((struct rte_link *)job->link)->way[dir];
	uint64_t i;

	for (i = 0; i < n; i++)
		way->sending[i] = rte_filled(way, job);
	for (i = 0; i < n;) {
		unsigned int sent = rte_ring_sp_enqueue_burst(way->ring, way->sending + i,
							      (unsigned int)(n - i), NULL);

		if (!sent)
			l3l2q_relax();
		i += sent;
	}
}

static inline void rte_burst_recv(struct job *job, int dir, uint64_t n)
{
	struct rte_way *way = &((struct rte_link *)job->link)->way[dir];
	unsigned int i, got;

	for (; n; n -= got) {
		got = rte_ring_sc_dequeue_burst(way->ring, way->taken, (unsigned int)n, NULL);
		if (!got)
			l3l2q_relax();
		for (i = 0; i < got; i++)
			job_take(job, dir, way->taken[i]);
	}
}

#define rte_burst_open rte_open
#define rte_burst_close rte_close
PING_PONG(rte_burst)
ONE_WAY(rte_burst)
const struct link link_rte_burst = LINK("rte_ring burst", rte_burst, false);

/* ---- bursts of descriptors --------------------------------------------- */

/*
 * A ring of what a message of ours says of itself, not of bare pointers: as many
 * lines change hands as the wire format makes us change.
 */
static int rte_desc_open(struct contestant *c)
{
	struct job *job = c->arg;
	unsigned int size = (unsigned int)job->depth * 2;
	struct rte_link *link;
	int dir, ret;

	ret = rte_open(c);
	if (ret)
		return ret;
	link = job->link;
	for (dir = 0; dir < 2 && !ret; dir++) {
		struct rte_way *way = &link->way[dir];
		ssize_t bytes = rte_ring_get_memsize_elem(sizeof(struct l3l2q_desc), size);

		free(way->ring);
		free(way->sending);
		free(way->taken);
		way->ring = bytes > 0 ? job_memory((size_t)bytes) : NULL;
		way->sending = job_memory(job->batch * sizeof(struct l3l2q_desc));
		way->taken = job_memory(job->batch * sizeof(struct l3l2q_desc));
		ret = way->ring && way->sending && way->taken ?
		      rte_ring_init(way->ring, "bench", size, RING_F_SP_ENQ | RING_F_SC_DEQ) :
		      -ENOMEM;
	}
	if (ret)
		rte_close(c);
	return ret;
}

static inline void rte_desc_send(struct job *job, int dir, uint64_t n)
{
	struct rte_way *way = &((struct rte_link *)job->link)->way[dir];
	struct l3l2q_desc *desc = (struct l3l2q_desc *)(void *)way->sending;
	uint64_t i;

	for (i = 0; i < n; i++) {
		const unsigned char *body = rte_filled(way, job);

		desc[i].seq = way->next;
		desc[i].opcode = L3L2Q_OP_DATA;
		desc[i].payload_offset = (uint64_t)(body - way->buffers);
		desc[i].payload_nbytes = job->size;
	}
	for (i = 0; i < n;) {
		unsigned int sent = rte_ring_sp_enqueue_burst_elem(way->ring, desc + i,
								   sizeof(*desc),
								   (unsigned int)(n - i), NULL);

		if (!sent)
			l3l2q_relax();
		i += sent;
	}
}

static inline void rte_desc_recv(struct job *job, int dir, uint64_t n)
{
	struct rte_way *way = &((struct rte_link *)job->link)->way[dir];
	struct l3l2q_desc *desc = (struct l3l2q_desc *)(void *)way->taken;
	unsigned int i, got;

	for (; n; n -= got) {
		got = rte_ring_sc_dequeue_burst_elem(way->ring, desc, sizeof(*desc),
						     (unsigned int)n, NULL);
		if (!got)
			l3l2q_relax();
		for (i = 0; i < got; i++)
			job_take(job, dir, way->buffers + desc[i].payload_offset);
	}
}

#define rte_desc_close rte_close
PING_PONG(rte_desc)
ONE_WAY(rte_desc)
const struct link link_rte_desc = LINK("rte_ring burst of 32 B", rte_desc, false);

/* ---- bursts written and read in the ring --------------------------------- */

/* The slot of the ith element of a burst, which may wrap. */
static inline void *zc_slot(const struct rte_ring_zc_data *zc, unsigned int i, size_t size)
{
	return i < zc->n1 ? (char *)zc->ptr1 + i * size : (char *)zc->ptr2 + (i - zc->n1) * size;
}

static inline void rte_zc_send(struct job *job, int dir, uint64_t n)
{
	struct rte_way *way = &((struct rte_link *)job->link)->way[dir];
	struct rte_ring_zc_data zc;
	unsigned int i, sent;

	for (; n; n -= sent) {
		sent = rte_ring_enqueue_zc_burst_start(way->ring, (unsigned int)n, &zc, NULL);
		if (!sent) {
			l3l2q_relax();
			continue;
		}
		for (i = 0; i < sent; i++)
			*(void **)zc_slot(&zc, i, sizeof(void *)) = rte_filled(way, job);
		rte_ring_enqueue_zc_finish(way->ring, sent);
	}
}

static inline void rte_zc_recv(struct job *job, int dir, uint64_t n)
{
	struct rte_way *way = &((struct rte_link *)job->link)->way[dir];
	struct rte_ring_zc_data zc;
	unsigned int i, got;

	for (; n; n -= got) {
		got = rte_ring_dequeue_zc_burst_start(way->ring, (unsigned int)n, &zc, NULL);
		if (!got) {
			l3l2q_relax();
			continue;
		}
		for (i = 0; i < got; i++)
			job_take(job, dir, *(void **)zc_slot(&zc, i, sizeof(void *)));
		rte_ring_dequeue_zc_finish(way->ring, got);
	}
}

#define rte_zc_open rte_open
#define rte_zc_close rte_close
PING_PONG(rte_zc)
ONE_WAY(rte_zc)
const struct link link_rte_zc = LINK("rte_ring zc burst", rte_zc, false);

/* The same of descriptors. */
static inline void rte_zc_desc_send(struct job *job, int dir, uint64_t n)
{
	struct rte_way *way = &((struct rte_link *)job->link)->way[dir];
	struct rte_ring_zc_data zc;
	struct l3l2q_desc *desc;
	unsigned int i, sent;

	for (; n; n -= sent) {
		sent = rte_ring_enqueue_zc_burst_elem_start(way->ring, sizeof(*desc),
							    (unsigned int)n, &zc, NULL);
		if (!sent) {
			l3l2q_relax();
			continue;
		}
		for (i = 0; i < sent; i++) {
			const unsigned char *body = rte_filled(way, job);

			desc = zc_slot(&zc, i, sizeof(*desc));
			desc->seq = way->next;
			desc->opcode = L3L2Q_OP_DATA;
			desc->payload_offset = (uint64_t)(body - way->buffers);
			desc->payload_nbytes = job->size;
		}
		rte_ring_enqueue_zc_elem_finish(way->ring, sent);
	}
}

static inline void rte_zc_desc_recv(struct job *job, int dir, uint64_t n)
{
	struct rte_way *way = &((struct rte_link *)job->link)->way[dir];
	const struct l3l2q_desc *desc;
	struct rte_ring_zc_data zc;
	unsigned int i, got;

	for (; n; n -= got) {
		got = rte_ring_dequeue_zc_burst_elem_start(way->ring, sizeof(*desc),
							   (unsigned int)n, &zc, NULL);
		if (!got) {
			l3l2q_relax();
			continue;
		}
		for (i = 0; i < got; i++) {
			desc = zc_slot(&zc, i, sizeof(*desc));
			job_take(job, dir, way->buffers + desc->payload_offset);
		}
		rte_ring_dequeue_zc_elem_finish(way->ring, got);
	}
}

#define rte_zc_desc_open rte_desc_open
#define rte_zc_desc_close rte_close
PING_PONG(rte_zc_desc)
ONE_WAY(rte_zc_desc)
const struct link link_rte_zc_desc = LINK("rte_ring zc burst of 32 B", rte_zc_desc, false);

#endif /* L3L2Q_BENCH_DPDK */
