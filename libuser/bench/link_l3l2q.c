// SPDX-License-Identifier: MIT
/* The library, as applications use it. */
#include <errno.h>

#include "job.h"

struct ours {
	struct l3l2q_ep *ep[2];
	struct l3l2q_producer *p[2];	/* by direction */
	struct l3l2q_consumer *c[2];
	struct l3l2q_message *held;
};

static void ours_close(struct contestant *c)
{
	struct job *job = c->arg;
	struct ours *ours = job->link;

	l3l2q_close(ours->ep[1]);
	l3l2q_close(ours->ep[0]);
	free(ours->held);
	free(ours);
}

static int ours_open(struct contestant *c)
{
	struct job *job = c->arg;
	uint64_t arena = job->depth * (job->size + 63) / 64 * 64;
	struct l3l2q_attr attr = {
		.transport = options.transport,
		.role = L3L2Q_ROLE_L3,
		.depth = (uint32_t)job->depth,
		.input_arena_bytes = arena ? arena : 64,
		.output_arena_bytes = arena ? arena : 64,
		.window = (uint32_t)job->window,
	};
	struct ours *ours = job_memory(sizeof(*ours));
	struct l3l2q_failure why = { .text = "" };
	int fd, ret;

	job->link = ours;
	if (!ours)
		return -ENOMEM;
	ours->held = job_memory(job->window * sizeof(*ours->held));
	ret = ours->held ? l3l2q_create(&ours->ep[0], &attr, &why) : -ENOMEM;
	if (!ret) {
		fd = l3l2q_open_peer(ours->ep[0]);
		ret = fd < 0 ? fd : l3l2q_attach(&ours->ep[1], fd, &attr, &why);
	}
	if (ret) {
		ours_close(c);
		return fail("%s", why.text);
	}
	ours->p[0] = l3l2q_ep_producer(ours->ep[0]);
	ours->p[1] = l3l2q_ep_producer(ours->ep[1]);
	ours->c[0] = l3l2q_ep_consumer(ours->ep[1]);
	ours->c[1] = l3l2q_ep_consumer(ours->ep[0]);
	return 0;
}

static inline void spin_while(int ret)
{
	if (ret != -EAGAIN)
		abort();
	l3l2q_relax();
}

/* ---- copying ----------------------------------------------------------- */

static inline void copying_send(struct job *job, int dir, uint64_t n)
{
	struct ours *ours = job->link;
	struct l3l2q_producer *p = ours->p[dir];
	const void *body = job->size ? job->src : NULL;
	bool batch = n > 1;
	int ret;

	if (batch)
		l3l2q_batch_begin(p);
	for (; n; n--) {
		while ((ret = l3l2q_try_enqueue(p, L3L2Q_OP_DATA, body, job->size)))
			spin_while(ret);
	}
	if (batch)
		l3l2q_batch_publish(p);
}

static inline void copying_recv(struct job *job, int dir, uint64_t n)
{
	struct ours *ours = job->link;
	struct l3l2q_message m;
	int ret;

	for (; n; n--) {
		if (job->touch) {
			while ((ret = l3l2q_try_peek(ours->c[dir], &m)))
				spin_while(ret);
			job_take(job, dir, m.data);
			if (l3l2q_release(ours->c[dir], &m))
				abort();
			continue;
		}
		while ((ret = l3l2q_try_dequeue(ours->c[dir], &m, job->dst[!dir], job->size)))
			spin_while(ret);
	}
}

#define copying_open ours_open
#define copying_close ours_close
PING_PONG(copying)
ONE_WAY(copying)
const struct link link_l3l2q = LINK("l3l2q", copying, false);

/* ---- in place ---------------------------------------------------------- */

static inline void in_place_send(struct job *job, int dir, uint64_t n)
{
	struct ours *ours = job->link;
	struct l3l2q_producer *p = ours->p[dir];
	struct l3l2q_reservation span;
	bool batch = n > 1;
	int ret;

	if (batch)
		l3l2q_batch_begin(p);
	for (; n; n--) {
		while ((ret = l3l2q_try_reserve(p, job->size, &span)))
			spin_while(ret);
		job_fill(job, span.data);
		if (l3l2q_commit(p, &span, L3L2Q_OP_DATA))
			abort();
	}
	if (batch)
		l3l2q_batch_publish(p);
}

/* As many as there are, at most a window at a time. */
static inline void in_place_recv(struct job *job, int dir, uint64_t n)
{
	struct ours *ours = job->link;
	struct l3l2q_consumer *c = ours->c[dir];
	struct l3l2q_message m;
	int i, got, ret, max;

	if (job->window == 1) {
		for (; n; n--) {
			while ((ret = l3l2q_try_peek(c, &m)))
				spin_while(ret);
			job_take(job, dir, m.data);
			if (l3l2q_release(c, &m))
				abort();
		}
		return;
	}
	for (; n; n -= (uint64_t)got) {
		max = (int)(n < job->window ? n : job->window);
		while ((got = l3l2q_try_peek_batch(c, ours->held, max)) < 0)
			spin_while(got);
		for (i = 0; i < got; i++)
			job_take(job, dir, ours->held[i].data);
		if (l3l2q_release_batch(c, ours->held, got))
			abort();
	}
}

#define in_place_open ours_open
#define in_place_close ours_close
PING_PONG(in_place)
ONE_WAY(in_place)
const struct link link_l3l2q_in_place = LINK("l3l2q in place", in_place, false);

/* ---- in runs ------------------------------------------------------------- */

static inline void runs_send(struct job *job, int dir, uint64_t n)
{
	struct ours *ours = job->link;
	struct l3l2q_producer *p = ours->p[dir];
	struct l3l2q_reservation span;
	int i, got;

	for (; n; n -= (uint64_t)got) {
		while ((got = l3l2q_try_reserve_run(p, job->size, (int)n, &span)) < 0)
			spin_while(got);
		for (i = 0; i < got; i++)
			job_fill(job, (unsigned char *)span.data + (uint64_t)i * job->size);
		if (l3l2q_commit_run(p, &span, L3L2Q_OP_DATA, got))
			abort();
	}
}

static inline void runs_recv(struct job *job, int dir, uint64_t n)
{
	struct ours *ours = job->link;
	struct l3l2q_consumer *c = ours->c[dir];
	const struct l3l2q_message *run;
	int i, got;

	for (; n; n -= (uint64_t)got) {
		while ((got = l3l2q_try_peek_run(c, &run, (int)n)) < 0)
			spin_while(got);
		for (i = 0; i < got; i++)
			job_take(job, dir, run[i].data);
		if (l3l2q_release_upto(c, &run[got - 1]))
			abort();
	}
}

#define runs_open ours_open
#define runs_close ours_close
PING_PONG(runs)
ONE_WAY(runs)
const struct link link_l3l2q_runs = LINK("l3l2q runs", runs, false);
