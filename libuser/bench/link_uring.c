// SPDX-License-Identifier: MIT
/*
 * io_uring: a NOP submitted and its completion taken, by one thread. Nobody else is told:
 * this is what a round trip through a ring of the kernel's takes a program whose loop
 * waits in one anyway.
 */
#include "job.h"

#ifdef L3L2Q_BENCH_URING
#include <errno.h>
#include <liburing.h>

#define ENTRIES 8

static void uring_close(struct contestant *c)
{
	struct job *job = c->arg;

	io_uring_queue_exit(job->link);
	free(job->link);
}

/* Left out where the kernel has none, or forbids it. */
static int uring_open(struct contestant *c)
{
	struct job *job = c->arg;

	job->link = malloc(sizeof(struct io_uring));
	if (!job->link)
		return -ENOMEM;
	if (!io_uring_queue_init(ENTRIES, job->link, 0))
		return 0;
	free(job->link);
	return -EOPNOTSUPP;
}

static void uring_nops(struct contestant *c, uint64_t n)
{
	struct io_uring *ring = ((struct job *)c->arg)->link;
	struct io_uring_cqe *cqe;

	for (; n; n--) {
		io_uring_prep_nop(io_uring_get_sqe(ring));
		if (io_uring_submit_and_wait(ring, 1) != 1 || io_uring_peek_cqe(ring, &cqe))
			abort();
		io_uring_cqe_seen(ring, cqe);
	}
}

const struct link link_uring = {
	.name = "io_uring NOP",
	.open = uring_open,
	.close = uring_close,
	.ping_pong = { uring_nops, NULL },
	.floor = true,
};

#endif /* L3L2Q_BENCH_URING */
