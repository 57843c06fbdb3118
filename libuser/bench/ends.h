/* SPDX-License-Identifier: MIT */
/* Both ends of a region of ours, for benchmarks that sleep. */
#ifndef L3L2Q_BENCH_ENDS_H
#define L3L2Q_BENCH_ENDS_H

#include <sys/types.h>

#include "bench.h"

/* No blocking call of a benchmark waits as long as that. */
#define LONG_NS ((int64_t)(60 * NSEC))

/**
 * struct ends - a region's two ends
 * @ep: the first is L3's, and the first side's
 * @p: producers, NULL if raw
 * @c: consumers, NULL if raw
 */
struct ends {
	struct l3l2q_ep *ep[2];
	struct l3l2q_producer *p[2];
	struct l3l2q_consumer *c[2];
};

/* The driver's transport: what the command line says, unless that is memfd. */
const char *ends_driver(void);

/* 0; -EOPNOTSUPP if there is no such transport here; else an error, in words. */
int ends_open(struct ends *ends, const struct l3l2q_attr *attr);
void ends_close(struct ends *ends);

/* A queue with small arenas and messages of up to 64 bytes. */
struct l3l2q_attr ends_small(const char *transport, uint64_t spin_ns);

/* Zero-byte messages; the other end's are seen to arrive. */
void ends_send(struct ends *ends, int side);
void ends_recv(struct ends *ends, int side);

/* Until the thread whose /proc file this is sleeps. */
int asleep_open(pid_t tid);
void asleep_wait(int fd);

#endif /* L3L2Q_BENCH_ENDS_H */
