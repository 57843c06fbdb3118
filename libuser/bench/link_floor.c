// SPDX-License-Identifier: MIT
/*
 * What it takes at least: cache lines handed over, and bodies copied, by two
 * processors that agree on nothing but whose turn it is.
 */
#include <errno.h>

#include "job.h"

/* ---- lines ------------------------------------------------------------- */

/* A direction: what is said, and that it is. */
struct lines_way {
	uint64_t data LINE_ALIGNED;
	uint64_t flag LINE_ALIGNED;
	uint64_t sent LINE_ALIGNED;	/* the sender's own */
	uint64_t taken LINE_ALIGNED;	/* the receiver's own */
};

static int lines_open(struct contestant *c)
{
	struct job *job = c->arg;

	job->link = job_memory(2 * sizeof(struct lines_way));
	return job->link ? 0 : -ENOMEM;
}

static void lines_close(struct contestant *c)
{
	struct job *job = c->arg;

	free(job->link);
}

/* Both directions in the same line. */
static inline void one_line_send(struct job *job, int dir, uint64_t n)
{
	struct lines_way *ways = job->link;

	(void)n;
	__atomic_store_n(&ways[0].flag, ++ways[dir].sent * 2 - !dir, __ATOMIC_RELEASE);
}

static inline void one_line_recv(struct job *job, int dir, uint64_t n)
{
	struct lines_way *ways = job->link;
	uint64_t want = ++ways[dir].taken * 2 - !dir;

	(void)n;
	while (__atomic_load_n(&ways[0].flag, __ATOMIC_ACQUIRE) != want)
		l3l2q_relax();
}

/* A line that holds what is said, and one that says it is there. */
static inline void two_lines_send(struct job *job, int dir, uint64_t n)
{
	struct lines_way *way = &((struct lines_way *)job->link)[dir];

	(void)n;
	way->sent++;
	__atomic_store_n(&way->data, way->sent, __ATOMIC_RELAXED);
	__atomic_store_n(&way->flag, way->sent, __ATOMIC_RELEASE);
}

static inline void two_lines_recv(struct job *job, int dir, uint64_t n)
{
	struct lines_way *way = &((struct lines_way *)job->link)[dir];

	(void)n;
	way->taken++;
	while (__atomic_load_n(&way->flag, __ATOMIC_ACQUIRE) != way->taken)
		l3l2q_relax();
	if (__atomic_load_n(&way->data, __ATOMIC_RELAXED) != way->taken)
		abort();
}

#define one_line_open lines_open
#define one_line_close lines_close
#define two_lines_open lines_open
#define two_lines_close lines_close
PING_PONG(one_line)
PING_PONG(two_lines)

const struct link link_one_line = {
	.name = "one line",
	.open = lines_open,
	.close = lines_close,
	.ping_pong = { one_line_ping, one_line_pong },
	.floor = true,
};

const struct link link_two_lines = {
	.name = "two lines",
	.open = lines_open,
	.close = lines_close,
	.ping_pong = { two_lines_ping, two_lines_pong },
	.floor = true,
};

/* ---- memcpy ------------------------------------------------------------ */

struct memcpy_way {
	uint64_t tail LINE_ALIGNED;
	uint64_t head LINE_ALIGNED;
	uint64_t sent LINE_ALIGNED;	/* the sender's own, and the head it saw */
	uint64_t seen;
	uint64_t taken LINE_ALIGNED;	/* the receiver's own */
	unsigned char *bodies LINE_ALIGNED;
};

static void memcpy_close(struct contestant *c)
{
	struct job *job = c->arg;
	struct memcpy_way *ways = job->link;

	free(ways[0].bodies);
	free(ways[1].bodies);
	free(ways);
}

static int memcpy_open(struct contestant *c)
{
	struct job *job = c->arg;
	struct memcpy_way *ways = job_memory(2 * sizeof(*ways));

	job->link = ways;
	if (!ways)
		return -ENOMEM;
	ways[0].bodies = job_memory(job->depth * job->size + LINE);
	ways[1].bodies = job_memory(job->depth * job->size + LINE);
	if (ways[0].bodies && ways[1].bodies)
		return 0;
	memcpy_close(c);
	return -ENOMEM;
}

static inline void memcpy_send(struct job *job, int dir, uint64_t n)
{
	struct memcpy_way *way = &((struct memcpy_way *)job->link)[dir];

	for (; n; n--) {
		while (way->sent - way->seen == job->depth) {
			way->seen = __atomic_load_n(&way->head, __ATOMIC_ACQUIRE);
			l3l2q_relax();
		}
		job_fill(job, way->bodies + (way->sent & (job->depth - 1)) * job->size);
		__atomic_store_n(&way->tail, ++way->sent, __ATOMIC_RELEASE);
	}
}

static inline void memcpy_recv(struct job *job, int dir, uint64_t n)
{
	struct memcpy_way *way = &((struct memcpy_way *)job->link)[dir];

	for (; n; n--) {
		while (__atomic_load_n(&way->tail, __ATOMIC_ACQUIRE) == way->taken)
			l3l2q_relax();
		job_take(job, dir, way->bodies + (way->taken & (job->depth - 1)) * job->size);
		__atomic_store_n(&way->head, ++way->taken, __ATOMIC_RELEASE);
	}
}

PING_PONG(memcpy)
ONE_WAY(memcpy)
const struct link link_memcpy = LINK("memcpy", memcpy, true);
