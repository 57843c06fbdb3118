// SPDX-License-Identifier: MIT
/* What busy ends ask of the kernel, and idle ones of anybody. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ends.h"

static bool wanted(const char *name)
{
	return !options.only || !strncmp(name, options.only, strlen(options.only));
}

/* ---- busy -------------------------------------------------------------------- */

/* Nothing to do yet: wait as a loop of try forms does. The other side does not leave. */
static void look_again(struct l3l2q_ep *ep, uint32_t events, int ret)
{
	if (ret == -EAGAIN)
		ret = l3l2q_wait(ep, events, 0);
	if (ret < 0 && ret != -ETIMEDOUT)
		abort();
}

static void streams(struct contestant *c, uint64_t n)
{
	struct ends *ends = c->arg;
	int ret;

	for (; n; n--) {
		while ((ret = l3l2q_try_enqueue(ends->p[0], L3L2Q_OP_DATA, NULL, 0)))
			look_again(ends->ep[0], L3L2Q_EVENT_OUT, ret);
	}
}

static void takes(struct contestant *c, uint64_t n)
{
	struct ends *ends = c->arg;
	struct l3l2q_message m;
	int ret;

	for (; n; n--) {
		while ((ret = l3l2q_try_dequeue(ends->c[1], &m, NULL, 0)))
			look_again(ends->ep[1], L3L2Q_EVENT_IN, ret);
	}
}

static int busy(void)
{
	struct l3l2q_attr attr = ends_small(options.transport, 0);
	uint64_t n = options.quick ? 10000 : 1000000, calls = 0;
	struct l3l2q_ep_stats stats;
	struct contestant c = { .side = { streams, takes } };
	struct ends ends;
	int i, ret;

	attr.depth = 1024;
	ret = ends_open(&ends, &attr);
	if (ret)
		return ret;
	c.arg = &ends;
	pair_run(&c, n);
	for (i = 0; i < 2; i++) {
		l3l2q_ep_stats(ends.ep[i], &stats);
		calls += stats.syscalls;
	}
	ends_close(&ends);
	metric_add("busy/syscalls", (double)calls / (double)n, "a message");
	return 0;
}

/* ---- idle ---------------------------------------------------------------------- */

struct idler {
	pthread_t thread;
	struct l3l2q_ep *ep;
	pid_t tid;
};

/* What an idle pair has come to. */
struct tally {
	double ticks;
	double wakeups;
	double cpu_us;
};

static void *in_wait(void *arg)
{
	struct idler *idler = arg;

	__atomic_store_n(&idler->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	if (l3l2q_wait(idler->ep, L3L2Q_EVENT_IN, LONG_NS) < 0)
		abort();
	return NULL;
}

static void *in_epoll(void *arg)
{
	struct idler *idler = arg;
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, l3l2q_fd(idler->ep), &event))
		abort();
	if (l3l2q_arm(idler->ep, L3L2Q_EVENT_IN))
		abort();
	__atomic_store_n(&idler->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	epoll_wait(epoll, &event, 1, (int)(LONG_NS / 1000000));
	close(epoll);
	return NULL;
}

static void until_asleep(struct idler *idler)
{
	struct timespec nap = { .tv_nsec = 1000000 };
	int fd;

	while (!__atomic_load_n(&idler->tid, __ATOMIC_ACQUIRE))
		nanosleep(&nap, NULL);
	fd = asleep_open(idler->tid);
	asleep_wait(fd);
	close(fd);
}

static double switches(pid_t tid)
{
	static const char word[] = "voluntary_ctxt_switches:";
	char path[48], line[128];
	double n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)tid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, word, strlen(word)))
			n = strtod(line + strlen(word), NULL);
	}
	if (f)
		fclose(f);
	return n;
}

static void tally(struct idler idlers[2], struct tally *t)
{
	struct l3l2q_stats stats = { .size = sizeof(stats) };
	struct timespec ts;
	clockid_t clock;
	int i;

	*t = (struct tally){ 0 };
	for (i = 0; i < 2; i++) {
		if (pthread_getcpuclockid(idlers[i].thread, &clock) || clock_gettime(clock, &ts))
			abort();
		t->cpu_us += (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
		t->wakeups += switches(idlers[i].tid);
		/* memfd has none */
		if (!l3l2q_ioctl(l3l2q_fd(idlers[i].ep), L3L2Q_IOC_STATS, &stats))
			t->ticks += (double)stats.timer_ticks;
	}
}

static int idle(void)
{
	struct l3l2q_attr attr = ends_small(options.transport, 0);
	/* to fall asleep for good */
	struct timespec settle = { .tv_nsec = 250000000 };
	struct timespec second = { .tv_sec = !options.quick,
				   .tv_nsec = options.quick ? 125000000 : 0 };
	struct idler idlers[2] = { { .tid = 0 } };
	struct tally before, after;
	struct ends ends;
	int i, ret;

	ret = ends_open(&ends, &attr);
	if (ret)
		return ret;
	for (i = 0; i < 2; i++) {
		idlers[i].ep = ends.ep[i];
		if (pthread_create(&idlers[i].thread, NULL, i ? in_epoll : in_wait, &idlers[i]))
			abort();
	}
	for (i = 0; i < 2; i++)
		until_asleep(&idlers[i]);
	nanosleep(&settle, NULL);
	tally(idlers, &before);
	nanosleep(&second, NULL);
	tally(idlers, &after);
	for (i = 0; i < 2; i++)
		ends_send(&ends, i);
	for (i = 0; i < 2; i++)
		pthread_join(idlers[i].thread, NULL);
	ends_close(&ends);
	metric_add("idle/ticks", after.ticks - before.ticks, "of the driver's timer in a second");
	metric_add("idle/wakeups", after.wakeups - before.wakeups, "in a second");
	metric_add("idle/cpu", after.cpu_us - before.cpu_us, "us in a second");
	return 0;
}

int bench_idle(void)
{
	int ret = wanted("busy") ? busy() : 0;

	if (!ret && wanted("idle"))
		ret = idle();
	return ret;
}
