// SPDX-License-Identifier: MIT
/* Many regions in one epoll, of which one is active. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ends.h"

#define MOST 4096
#define DESCRIPTORS 8		/* of an endpoint, at most */

/* One epoll for each contestant; the last region is the active one. */
struct many {
	unsigned int count;
	int epoll;
	struct l3l2q_ep **idle;
	struct ends active;
};

static int add(struct many *many, struct l3l2q_ep *ep)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = ep };
	int ret = epoll_ctl(many->epoll, EPOLL_CTL_ADD, l3l2q_fd(ep), &event) ? -errno : 0;

	if (!ret)
		ret = l3l2q_arm(ep, L3L2Q_EVENT_IN);
	return ret;
}

static void many_close(struct contestant *c)
{
	struct many *many = c->arg;
	unsigned int i;

	ends_close(&many->active);
	for (i = 0; i < many->count - 1; i++)
		l3l2q_close(many->idle[i]);
	free(many->idle);
	if (many->epoll >= 0)
		close(many->epoll);
}

static int open_all(struct many *many)
{
	struct l3l2q_attr attr = ends_small(options.transport, L3L2Q_SPIN_OFF);
	unsigned int i;
	int ret = 0;

	many->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (many->epoll < 0)
		return -errno;
	for (i = 0; i < many->count - 1 && !ret; i++) {
		ret = l3l2q_create(&many->idle[i], &attr, NULL);
		if (!ret)
			ret = add(many, many->idle[i]);
	}
	if (!ret)
		ret = ends_open(&many->active, &attr);
	return ret ? ret : add(many, many->active.ep[1]);
}

static int many_open(struct contestant *c)
{
	struct many *many = c->arg;
	int ret;

	many->idle = calloc(many->count, sizeof(many->idle[0]));
	if (!many->idle)
		return -ENOMEM;
	ret = open_all(many);
	if (!ret)
		return 0;
	many_close(c);
	if (ret != -EMFILE && ret != -ENFILE && ret != -ENOMEM && ret != -EDQUOT &&
	    ret != -ENOENT)
		return ret;
	fprintf(stderr, "l3l2q-bench: no %s: %s\n", c->name, strerror(-ret));
	return -EOPNOTSUPP;
}

/* Asks, sleeping for the answer. */
static void asks(struct contestant *c, uint64_t n)
{
	struct many *many = c->arg;
	uint64_t start = now_ns();

	for (; n; n--) {
		ends_send(&many->active, 0);
		ends_recv(&many->active, 0);
	}
	/* before the other side is waited for, which needs this processor */
	c->took_ns = now_ns() - start;
}

static void sleep_in_epoll(struct many *many)
{
	struct l3l2q_ep *ep = many->active.ep[1];
	struct epoll_event event;
	int ret = l3l2q_arm(ep, L3L2Q_EVENT_IN);

	if (ret < 0 || ret & (L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP))
		abort();
	if (ret)
		return;
	while (epoll_wait(many->epoll, &event, 1, -1) < 0) {
		if (errno != EINTR)
			abort();
	}
	if (event.data.ptr != ep)
		abort();
}

static void answers(struct contestant *c, uint64_t n)
{
	struct many *many = c->arg;
	struct l3l2q_message m;

	/* where nobody waits for a processor to wake up */
	pair_pin(pair_cpu(0));
	for (; n; n--) {
		while (l3l2q_try_dequeue(many->active.c[1], &m, NULL, 0))
			sleep_in_epoll(many);
		ends_send(&many->active, 1);
	}
	pair_pin(pair_cpu(1));
}

static void more_descriptors(void)
{
	struct rlimit limit;
	rlim_t want = 2 * MOST * DESCRIPTORS;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= want)
		return;
	limit.rlim_cur = want;
	if (limit.rlim_max < want)
		limit.rlim_max = want;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int bench_epoll(void)
{
	static struct many many[] = {
		{ .count = 1 }, { .count = 16 }, { .count = 256 }, { .count = MOST },
	};
	static const char *const names[LENGTH(many)] = {
		"1 region", "16 regions", "256 regions", "4096 regions",
	};
	struct contest *contest = contest_new("epoll", 0, "there and back, one side in epoll");
	struct contestant *c;
	unsigned int i;

	if (!contest)
		return 0;
	more_descriptors();
	for (i = 0; i < LENGTH(many); i++) {
		c = contest_add(contest, names[i]);
		c->open = many_open;
		c->close = many_close;
		c->side[0] = asks;
		c->side[1] = answers;
		c->arg = &many[i];
	}
	return contest_run(contest);
}
