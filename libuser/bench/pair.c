// SPDX-License-Identifier: MIT
/* Two threads, each pinned to a processor, that start at the same time. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include <l3l2q/core.h>

#include "bench.h"

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t posted;
	int cpu[2];
	struct contestant *job;		/* under the lock */
	uint64_t n;
	bool stop;
	uint32_t arrived LINE_ALIGNED;	/* sides at the line */
	uint32_t done LINE_ALIGNED;	/* the second side is */
} pair = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.posted = PTHREAD_COND_INITIALIZER,
};

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}

/* Until both are awake, so that no waking is measured. */
static void line_up(void)
{
	__atomic_fetch_add(&pair.arrived, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&pair.arrived, __ATOMIC_ACQUIRE) % 2)
		l3l2q_relax();
}

static void *second_side(void *arg)
{
	struct contestant *job;
	uint64_t n;

	(void)arg;
	for (;;) {
		pthread_mutex_lock(&pair.lock);
		while (!pair.job && !pair.stop)
			pthread_cond_wait(&pair.posted, &pair.lock);
		job = pair.job;
		n = pair.n;
		pair.job = NULL;
		pthread_mutex_unlock(&pair.lock);
		if (!job)
			return NULL;
		line_up();
		job->side[1](job, n);
		__atomic_store_n(&pair.done, 1, __ATOMIC_RELEASE);
	}
}

static int pin(pthread_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return -pthread_setaffinity_np(thread, sizeof(set), &set);
}

uint64_t pair_run(struct contestant *c, uint64_t n)
{
	uint64_t start;

	c->took_ns = 0;
	if (!c->side[1]) {
		start = now_ns();
		c->side[0](c, n);
		return c->took_ns ? c->took_ns : now_ns() - start;
	}
	__atomic_store_n(&pair.done, 0, __ATOMIC_RELAXED);
	pthread_mutex_lock(&pair.lock);
	pair.job = c;
	pair.n = n;
	pthread_cond_signal(&pair.posted);
	pthread_mutex_unlock(&pair.lock);
	line_up();
	start = now_ns();
	c->side[0](c, n);
	while (!__atomic_load_n(&pair.done, __ATOMIC_ACQUIRE))
		l3l2q_relax();
	return c->took_ns ? c->took_ns : now_ns() - start;
}

void pair_pin(int cpu)
{
	if (pin(pthread_self(), cpu))
		abort();
}

/* Let the calling side run on either processor. */
void pair_unpin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(pair.cpu[0], &set);
	CPU_SET(pair.cpu[1], &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		abort();
}

int pair_cpu(int side)
{
	return pair.cpu[side];
}

/* The caller becomes the first side. */
int pair_start(void)
{
	int cpu, n = 0, ret;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return -errno;
	for (cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++) {
		if (CPU_ISSET(cpu, &set))
			pair.cpu[n++] = cpu;
	}
	if (n < 2)
		return fail("two processors are needed");
	ret = -pthread_create(&pair.thread, NULL, second_side, NULL);
	if (ret)
		return fail("cannot make a thread");
	ret = pin(pthread_self(), pair.cpu[0]);
	if (!ret)
		ret = pin(pair.thread, pair.cpu[1]);
	return ret ? fail("cannot pin threads to processors %d and %d", pair.cpu[0], pair.cpu[1])
		   : 0;
}

void pair_stop(void)
{
	pthread_mutex_lock(&pair.lock);
	pair.stop = true;
	pthread_cond_signal(&pair.posted);
	pthread_mutex_unlock(&pair.lock);
	pthread_join(pair.thread, NULL);
}
