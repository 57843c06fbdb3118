/* SPDX-License-Identifier: MIT */
/*
 * l3l2q-bench: what is measured, against whom, and what is made of it.
 *
 * A contest has contestants, who do the same work in their own ways. Each gets a
 * turn in each round, for the same time; only what was measured in the same contest
 * is compared. A side is a thread pinned to a processor of its own.
 */
#ifndef L3L2Q_BENCH_H
#define L3L2Q_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <l3l2q.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KIB 1024ull
#define MIB (1024 * KIB)
#define NSEC 1000000000ull
#define LINE 64
#define LINE_ALIGNED __attribute__((aligned(LINE)))
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_CONTESTANTS 24
#define MAX_ROUNDS 101

/**
 * struct bench_options - what the command line says
 * @transport: "memfd", "driver", ... of struct l3l2q_attr
 * @only: run those whose name begins so, NULL: all
 * @json: file to write, or NULL
 * @rounds: of each contest
 * @round_ns: about how long a contestant's turn takes
 * @quick: an eighth of the work, to see that all of it works
 */
struct bench_options {
	const char *transport;
	const char *only;
	const char *json;
	unsigned int rounds;
	uint64_t round_ns;
	bool quick;
};

extern struct bench_options options;

/**
 * struct contestant - somebody who does the work in his own way
 * @name: as in the table
 * @open: make what is needed; 0, -EOPNOTSUPP to be left out, or another error
 * @close: undo it
 * @side: do @n operations, one thread each at once; the second may be NULL
 * @arg: the contestant's own
 * @limit: most operations in a turn, 0: any
 * @took_ns: a side may say what the turn took, if not all it did is to count
 * @floor: no competitor, but what the hardware or the kernel takes anyway
 */
struct contestant {
	const char *name;
	int (*open)(struct contestant *c);
	void (*close)(struct contestant *c);
	void (*side[2])(struct contestant *c, uint64_t n);
	void *arg;
	uint64_t limit;
	uint64_t took_ns;
	bool floor;

	/* by contest_run() */
	uint64_t n;
	unsigned int rounds;
	double ns[MAX_ROUNDS];		/* of one operation, for each round */
	double sorted[MAX_ROUNDS];
	bool absent;
};

/**
 * struct contest - who does it best
 * @name: GROUP/VARIANT; the variant may be a number of bytes or of something else
 * @what: one operation, in words
 * @bytes: that one operation carries, or 0
 */
struct contest {
	char name[48];
	char what[80];
	uint64_t bytes;
	unsigned int count;
	struct contestant contestants[MAX_CONTESTANTS];
};

/* pair.c */
int pair_start(void);
void pair_stop(void);
int pair_cpu(int side);
/* Pin the calling side. */
void pair_pin(int cpu);
void pair_unpin(void);
uint64_t now_ns(void);
/* Both sides at once; how long until both were done. */
uint64_t pair_run(struct contestant *c, uint64_t n);

/* contest.c: NULL if options.only leaves it out */
struct contest *contest_new(const char *group, uint64_t variant, const char *what);
struct contestant *contest_add(struct contest *contest, const char *name);
/* Rounds; then it is among the results. */
int contest_run(struct contest *contest);
double contestant_best(const struct contestant *c);
double contestant_median(const struct contestant *c);
/* The median of what @a took as a part of what @b took in the same round. */
double contestant_ratio(const struct contestant *a, const struct contestant *b);
/* A number that is no time of a contest; @unit as in the table. */
void metric_add(const char *name, double value, const char *unit);

struct contest *contest_next(unsigned int i);
struct contest *contest_find(const char *name);
struct contestant *contestant_find(struct contest *contest, const char *name);

/* report.c */
int report_json(const char *file);
void report_contest_print(const struct contest *contest);
void report_targets(void);
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The benchmarks: 0 or -errno, having said what is wrong. */
int bench_spin(void);
int bench_sleep(void);
int bench_create(void);
int bench_epoll(void);
int bench_abort(void);
int bench_silent(void);
int bench_rate(void);
int bench_nap(void);
int bench_copied(void);
int bench_idle(void);

#ifdef __cplusplus
}
#endif

#endif /* L3L2Q_BENCH_H */
