// SPDX-License-Identifier: MIT
/*
 * boost::lockfree::spsc_queue, of bodies of 64 bytes. With a capacity fixed at compile
 * time it has no pointers, so that it can lie in memory that two processes share, as here.
 */
#include "job.h"

#ifdef L3L2Q_BENCH_BOOST
#include <cerrno>
#include <new>
#include <boost/lockfree/spsc_queue.hpp>
#include <sys/mman.h>

namespace {

const uint64_t depth = 16384;

struct alignas(LINE) body {
	unsigned char bytes[LINE];
};

struct shared {
	boost::lockfree::spsc_queue<body, boost::lockfree::capacity<depth>> ring[2];
};

/* Bodies on their way in and out, by direction. */
struct boost_link {
	shared *queues;
	body *sending[2];
	body *taken[2];
};

void boost_close(struct contestant *c)
{
	struct job *job = static_cast<struct job *>(c->arg);
	boost_link *link = static_cast<boost_link *>(job->link);

	for (int dir = 0; dir < 2; dir++) {
		free(link->sending[dir]);
		free(link->taken[dir]);
	}
	if (link->queues) {
		link->queues->~shared();
		munmap(link->queues, sizeof(shared));
	}
	free(link);
}

int boost_open(struct contestant *c)
{
	struct job *job = static_cast<struct job *>(c->arg);
	boost_link *link = static_cast<boost_link *>(job_memory(sizeof(boost_link)));
	void *at = mmap(nullptr, sizeof(shared), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	bool ok = link && at != MAP_FAILED && job->size == LINE && job->depth <= depth;

	job->link = link;
	if (!link)
		return -ENOMEM;
	if (at != MAP_FAILED)
		link->queues = new (at) shared;
	for (int dir = 0; dir < 2 && ok; dir++) {
		link->sending[dir] = static_cast<body *>(job_memory(job->batch * sizeof(body)));
		link->taken[dir] = static_cast<body *>(job_memory(job->batch * sizeof(body)));
		ok = link->sending[dir] && link->taken[dir];
	}
	if (ok)
		return 0;
	boost_close(c);
	return -ENOMEM;
}

inline void boost_send(struct job *job, int dir, uint64_t n)
{
	boost_link *link = static_cast<boost_link *>(job->link);
	auto &ring = link->queues->ring[dir];
	const body *from = link->sending[dir];

	if (n == 1) {
		while (!ring.push(*reinterpret_cast<const body *>(job->src)))
			l3l2q_relax();
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		job_fill(job, link->sending[dir] + i);
	while (n) {
		uint64_t sent = ring.push(from, n);

		if (!sent)
			l3l2q_relax();
		from += sent;
		n -= sent;
	}
}

inline void boost_recv(struct job *job, int dir, uint64_t n)
{
	boost_link *link = static_cast<boost_link *>(job->link);
	auto &ring = link->queues->ring[dir];

	if (n == 1) {
		while (!ring.pop(*reinterpret_cast<body *>(job->dst[!dir])))
			l3l2q_relax();
		return;
	}
	while (n) {
		uint64_t got = ring.pop(link->taken[dir], n);

		if (!got)
			l3l2q_relax();
		for (uint64_t i = 0; i < got; i++)
			job_take(job, dir, link->taken[dir] + i);
		n -= got;
	}
}

PING_PONG(boost)
ONE_WAY(boost)

} /* namespace */

const struct link link_boost = LINK("boost spsc_queue", boost, false);

#endif /* L3L2Q_BENCH_BOOST */
