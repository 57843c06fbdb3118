// SPDX-License-Identifier: MIT
/*
 * What both sides take of a processor at a given rate of messages. The receiver is not
 * pinned: the library does not spin in a thread that has one processor only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "ends.h"

#define DURATION_NS (NSEC / 10)
#define ROUNDS 11
#define POLL_NS 50000		/* what the reference's users do */

struct paced {
	const char *name;
	uint64_t spin_ns;
	void (*send)(struct paced *p);
	/* until @n more have arrived; NULL: nobody is there */
	void (*recv)(struct paced *p, uint64_t n);
	uint64_t rate;
	struct ends ends;
	int event;
	uint64_t cpu_ns[2];
	double percent[ROUNDS];
};

static uint64_t cpu_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / NSEC), .tv_nsec = (long)(ns % NSEC) };

	if (now_ns() < ns)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static void nothing_send(struct paced *p)
{
	(void)p;
}

static void ours_send(struct paced *p)
{
	ends_send(&p->ends, 0);
}

static void ours_recv(struct paced *p, uint64_t n)
{
	for (; n; n--)
		ends_recv(&p->ends, 1);
}

/* Looks and naps, as one does who cannot be woken. */
static void polling_recv(struct paced *p, uint64_t n)
{
	struct l3l2q_message m;
	int ret;

	while (n) {
		ret = l3l2q_try_dequeue(p->ends.c[1], &m, NULL, 0);
		if (ret && ret != -EAGAIN)
			abort();
		if (!ret)
			n--;
		else
			sleep_until(now_ns() + POLL_NS);
	}
}

static void event_send(struct paced *p)
{
	if (eventfd_write(p->event, 1))
		abort();
}

static void event_recv(struct paced *p, uint64_t n)
{
	eventfd_t count;

	for (; n; n -= count) {
		if (eventfd_read(p->event, &count))
			abort();
	}
}

static void sender(struct contestant *c, uint64_t n)
{
	struct paced *p = c->arg;
	uint64_t i, start = now_ns(), cpu = cpu_now();

	for (i = 0; i < n; i++) {
		sleep_until(start + i * NSEC / p->rate);
		p->send(p);
	}
	p->cpu_ns[0] = cpu_now() - cpu;
}

static void receiver(struct contestant *c, uint64_t n)
{
	struct paced *p = c->arg;
	uint64_t cpu;

	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	pair_unpin();
	cpu = cpu_now();
	if (p->recv)
		p->recv(p, n);
	p->cpu_ns[1] = cpu_now() - cpu;
	pair_pin(pair_cpu(1));
}

static int open_both(struct paced *p)
{
	struct l3l2q_attr attr = ends_small(options.transport, p->spin_ns);

	p->event = eventfd(0, EFD_CLOEXEC);
	if (p->event < 0)
		return -errno;
	attr.depth = 1024;
	return ends_open(&p->ends, &attr);
}

static void measure(struct paced *p, unsigned int round)
{
	struct contestant c = { .side = { sender, receiver }, .arg = p };
	uint64_t n = p->rate * (options.quick ? DURATION_NS / 8 : DURATION_NS) / NSEC, took;

	took = pair_run(&c, n);
	p->percent[round] = 100.0 * (double)(p->cpu_ns[0] + p->cpu_ns[1]) / (double)took;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void report(const struct paced *p, const struct paced *base)
{
	double percent[ROUNDS] = { 0 }, ratio[ROUNDS] = { 0 };
	unsigned int i, n = options.quick ? 1 : ROUNDS;
	char name[48];

	for (i = 0; i < n; i++) {
		percent[i] = p->percent[i];
		ratio[i] = p->percent[i] / base->percent[i];
	}
	qsort(percent, n, sizeof(*percent), compare);
	qsort(ratio, n, sizeof(*ratio), compare);
	snprintf(name, sizeof(name), "rate/%llu/%s", (unsigned long long)p->rate, p->name);
	metric_add(name, percent[n / 2], "% of a processor");
	if (p == base)
		return;
	snprintf(name, sizeof(name), "rate/%llu/%s to not", (unsigned long long)p->rate, p->name);
	metric_add(name, ratio[n / 2], "x");
}

static int rate(uint64_t per_second)
{
	struct paced paced[] = {
		{ .name = "l3l2q", .send = ours_send, .recv = ours_recv },
		{ .name = "l3l2q, not spinning", .spin_ns = L3L2Q_SPIN_OFF,
		  .send = ours_send, .recv = ours_recv },
		{ .name = "polling each 50 us", .send = ours_send, .recv = polling_recv },
		{ .name = "eventfd", .send = event_send, .recv = event_recv },
		{ .name = "the pace alone", .send = nothing_send },
	};
	unsigned int i, k;
	int ret = 0;

	for (i = 0; i < LENGTH(paced); i++) {
		paced[i].rate = per_second;
		ret = open_both(&paced[i]);
		if (ret)
			return ret;
	}
	for (k = 0; k < (options.quick ? 1 : ROUNDS); k++) {
		for (i = 0; i < LENGTH(paced); i++)
			measure(&paced[k % 2 ? LENGTH(paced) - 1 - i : i], k);
	}
	for (i = 0; i < LENGTH(paced); i++) {
		report(&paced[i], &paced[1]);
		ends_close(&paced[i].ends);
		close(paced[i].event);
	}
	return 0;
}

int bench_rate(void)
{
	static const uint64_t rates[] = { 1000, 10000, 100000 };
	int ret = 0, slack;
	unsigned int i;

	if (options.only && strncmp("rate", options.only, strlen(options.only)))
		return 0;
	slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	for (i = 0; i < LENGTH(rates) && !ret; i++)
		ret = rate(rates[i]);
	prctl(PR_SET_TIMERSLACK, (unsigned long)slack, 0, 0, 0);
	return ret;
}
