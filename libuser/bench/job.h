/* SPDX-License-Identifier: MIT */
/*
 * What the contestants of bench_spin() carry, and templates for both sides.
 *
 * A link NAME has, all inline, so that nobody pays for calls that his users do not:
 *
 *	NAME_send(job, dir, n)	send n messages of job->size; n is 1 or job->batch
 *	NAME_recv(job, dir, n)	take n messages
 *
 * dir is 0 from the first side to the second. Only the kernel's sleep.
 */
#ifndef L3L2Q_BENCH_JOB_H
#define L3L2Q_BENCH_JOB_H

#include <stdlib.h>
#include <string.h>

#include <l3l2q/core.h>

#include "bench.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct job - one contestant's work
 * @size: of each message
 * @depth: messages a ring holds
 * @batch: messages at a time
 * @window: messages the receiver holds at once
 * @src: what is sent
 * @dst: where each side puts what it took
 * @touch: the receiver reads a word of each line instead of copying
 * @untouched: nobody touches bodies
 * @one_cpu: both sides on the first one's processor
 * @unpinned: both sides on either processor
 * @think_ns: a side that takes a message does something else before it answers, so
 *	that the other is asleep by then; this is not counted
 * @thought_ns: what that came to, by side
 * @link: the link's own, for each direction or shared
 */
struct job {
	uint64_t size;
	uint64_t depth;
	uint64_t batch;
	uint64_t window;
	unsigned char *src;
	unsigned char *dst[2];
	bool touch;
	bool untouched;
	bool one_cpu;
	bool unpinned;
	uint64_t think_ns;
	uint64_t thought_ns[2];
	void *link;
};

static inline void job_touch(const void *body, uint64_t size)
{
	const volatile uint64_t *at = (const volatile uint64_t *)body;
	uint64_t i;

	for (i = 0; i < size / 8; i += LINE / 8)
		(void)at[i];
}

/* The receiver's work on a body in place. */
static inline void job_take(const struct job *job, int dir, const void *body)
{
	if (job->untouched || !job->size)
		return;
	if (job->touch)
		job_touch(body, job->size);
	else
		memcpy(job->dst[!dir], body, job->size);
}

/* The sender's, where it writes in place. */
static inline void job_fill(const struct job *job, void *body)
{
	if (!job->untouched && job->size)
		memcpy(body, job->src, job->size);
}

/* One operation: a message there and one back. */
#define PING_PONG(name)								\
	static void name##_ping(struct contestant *c, uint64_t n)		\
	{									\
		struct job *job = (struct job *)c->arg;				\
										\
		while (n--) {							\
			name##_send(job, 0, 1);					\
			name##_recv(job, 1, 1);					\
		}								\
	}									\
										\
	static void name##_pong(struct contestant *c, uint64_t n)		\
	{									\
		struct job *job = (struct job *)c->arg;				\
										\
		while (n--) {							\
			name##_recv(job, 0, 1);					\
			name##_send(job, 1, 1);					\
		}								\
	}

static inline void job_think(struct job *job, int side)
{
	uint64_t start, took;

	if (!job->think_ns)
		return;
	start = now_ns();
	do {
		l3l2q_relax();
		took = now_ns() - start;
	} while (took < job->think_ns);
	job->thought_ns[side] += took;
}

/* The same for those who sleep. */
#define PING_PONG_ASLEEP(name)							\
	static void name##_ping(struct contestant *c, uint64_t n)		\
	{									\
		struct job *job = (struct job *)c->arg;				\
		uint64_t start;							\
										\
		if (job->unpinned)						\
			pair_unpin();						\
		start = now_ns();						\
		job->thought_ns[0] = job->thought_ns[1] = 0;			\
		while (n--) {							\
			job_think(job, 0);					\
			name##_send(job, 0, 1);					\
			name##_recv(job, 1, 1);					\
		}								\
		c->took_ns = now_ns() - start - job->thought_ns[0] -		\
			     job->thought_ns[1];				\
		if (job->unpinned)						\
			pair_pin(pair_cpu(0));					\
	}									\
										\
	static void name##_pong(struct contestant *c, uint64_t n)		\
	{									\
		struct job *job = (struct job *)c->arg;				\
										\
		if (job->one_cpu)						\
			pair_pin(pair_cpu(0));					\
		else if (job->unpinned)						\
			pair_unpin();						\
		while (n--) {							\
			name##_recv(job, 0, 1);					\
			job_think(job, 1);					\
			name##_send(job, 1, 1);					\
		}								\
		if (job->one_cpu || job->unpinned)				\
			pair_pin(pair_cpu(1));					\
	}

/* One operation: a message there. */
#define ONE_WAY(name)								\
	static void name##_from(struct contestant *c, uint64_t n)		\
	{									\
		struct job *job = (struct job *)c->arg;				\
		uint64_t i, k;							\
										\
		for (i = 0; i < n; i += k) {					\
			k = n - i < job->batch ? n - i : job->batch;		\
			name##_send(job, 0, k);					\
		}								\
	}									\
										\
	static void name##_to(struct contestant *c, uint64_t n)			\
	{									\
		struct job *job = (struct job *)c->arg;				\
		uint64_t i, k;							\
										\
		for (i = 0; i < n; i += k) {					\
			k = n - i < job->batch ? n - i : job->batch;		\
			name##_recv(job, 0, k);					\
		}								\
	}

/**
 * struct link - a way to carry messages
 * @name: in tables
 * @open: make job->link
 * @close: undo it
 * @ping_pong: both sides, PING_PONG()
 * @one_way: both sides, ONE_WAY()
 * @floor: as in struct contestant
 */
struct link {
	const char *name;
	int (*open)(struct contestant *c);
	void (*close)(struct contestant *c);
	void (*ping_pong[2])(struct contestant *c, uint64_t n);
	void (*one_way[2])(struct contestant *c, uint64_t n);
	bool floor;
};

#define LINK(label, fn, is_floor)						\
	{									\
		.name = label,							\
		.open = fn##_open,						\
		.close = fn##_close,						\
		.ping_pong = { fn##_ping, fn##_pong },				\
		.one_way = { fn##_from, fn##_to },				\
		.floor = is_floor,						\
	}

/* link_*.c */
extern const struct link link_l3l2q;		/* enqueue, dequeue */
extern const struct link link_l3l2q_in_place;	/* reserve, commit; peek, release */
extern const struct link link_l3l2q_runs;	/* the same, as many at a time as fit */
extern const struct link link_naive;		/* the protocol as the reference does it */
extern const struct link link_rte;		/* DPDK, one by one */
extern const struct link link_rte_burst;
extern const struct link link_rte_desc;		/* bursts of as much as a descriptor of ours */
extern const struct link link_rte_zc;		/* both, written and read in the ring */
extern const struct link link_rte_zc_desc;
extern const struct link link_boost;		/* boost::lockfree::spsc_queue */
extern const struct link link_memcpy;		/* a bare ring of bodies */
extern const struct link link_one_line;
extern const struct link link_two_lines;
extern const struct link link_pipe;
extern const struct link link_seqpacket;
extern const struct link link_mq;		/* POSIX message queue */
extern const struct link link_uring;		/* io_uring, nothing but round trips */

/* What is not to be had does not take part. */
#ifdef L3L2Q_BENCH_DPDK
#define WITH_DPDK(...) __VA_ARGS__
#define WITHOUT_DPDK(...)
#else
#define WITH_DPDK(...)
#define WITHOUT_DPDK(...) __VA_ARGS__
#endif

#ifdef L3L2Q_BENCH_BOOST
#define WITH_BOOST(...) __VA_ARGS__
#define WITHOUT_BOOST(...)
#else
#define WITH_BOOST(...)
#define WITHOUT_BOOST(...) __VA_ARGS__
#endif

#ifdef L3L2Q_BENCH_URING
#define WITH_URING(...) __VA_ARGS__
#define WITHOUT_URING(...)
#else
#define WITH_URING(...)
#define WITHOUT_URING(...) __VA_ARGS__
#endif

/* Memory on lines of its own, zeroed and touched. */
static inline void *job_memory(size_t bytes)
{
	void *memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);

	if (memory)
		memset(memory, 0, (bytes + 4095) / 4096 * 4096);
	return memory;
}

#ifdef __cplusplus
}
#endif

#endif /* L3L2Q_BENCH_JOB_H */
