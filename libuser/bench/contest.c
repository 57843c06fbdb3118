// SPDX-License-Identifier: MIT
/* Contests: rounds in which every contestant has a turn. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define MAX_CONTESTS 160

static struct contest *contests[MAX_CONTESTS];
static unsigned int nr_contests;

struct contest *contest_next(unsigned int i)
{
	return i < nr_contests ? contests[i] : NULL;
}

struct contest *contest_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_contests; i++)
		if (!strcmp(contests[i]->name, name))
			return contests[i];
	return NULL;
}

struct contestant *contestant_find(struct contest *contest, const char *name)
{
	unsigned int i;

	for (i = 0; contest && i < contest->count; i++)
		if (!strcmp(contest->contestants[i].name, name))
			return &contest->contestants[i];
	return NULL;
}

struct contest *contest_new(const char *group, uint64_t variant, const char *what)
{
	struct contest *contest = calloc(1, sizeof(*contest));

	if (!contest)
		return NULL;
	snprintf(contest->name, sizeof(contest->name), "%s/%" PRIu64, group, variant);
	snprintf(contest->what, sizeof(contest->what), "%s", what);
	if (options.only && strncmp(contest->name, options.only, strlen(options.only))) {
		free(contest);
		return NULL;
	}
	return contest;
}

struct contestant *contest_add(struct contest *contest, const char *name)
{
	struct contestant *c;

	if (contest->count == MAX_CONTESTANTS)
		abort();
	c = &contest->contestants[contest->count++];
	c->name = name;
	return c;
}

static double turn(struct contestant *c)
{
	return (double)pair_run(c, c->n) / (double)c->n;
}

/* As many operations as a turn has time for. */
static void calibrate(struct contestant *c)
{
	uint64_t took, again;

	for (c->n = 1;; c->n *= 2) {
		if (c->limit && c->n >= c->limit) {
			c->n = c->limit;
			return;
		}
		took = pair_run(c, c->n);
		if (took < options.round_ns / 4)
			continue;
		/* it may have been the processor that was away for a while */
		again = pair_run(c, c->n);
		if (again < took)
			took = again;
		if (took >= options.round_ns / 4)
			break;
	}
	c->n = c->n * options.round_ns / took;
	if (!c->n)
		c->n = 1;
	if (c->limit && c->n > c->limit)
		c->n = c->limit;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void close_all(struct contest *contest, unsigned int n)
{
	while (n--)
		if (contest->contestants[n].close && !contest->contestants[n].absent)
			contest->contestants[n].close(&contest->contestants[n]);
}

static int open_all(struct contest *contest)
{
	unsigned int i;
	int ret;

	for (i = 0; i < contest->count; i++) {
		struct contestant *c = &contest->contestants[i];

		ret = c->open ? c->open(c) : 0;
		c->absent = ret == -EOPNOTSUPP;
		if (ret && !c->absent) {
			close_all(contest, i);
			return fail("%s: %s: %s", contest->name, c->name, strerror(-ret));
		}
	}
	return 0;
}

int contest_run(struct contest *contest)
{
	unsigned int round, i;
	struct contestant *c;
	int ret;

	if (nr_contests == MAX_CONTESTS)
		return -ENOSPC;
	ret = open_all(contest);
	if (ret)
		return ret;
	for (i = 0; i < contest->count; i++)
		if (!contest->contestants[i].absent)
			calibrate(&contest->contestants[i]);
	for (round = 0; round < options.rounds; round++) {
		for (i = 0; i < contest->count; i++) {
			/* nobody always comes after the same one */
			c = &contest->contestants[round % 2 ? contest->count - 1 - i : i];
			if (!c->absent)
				c->ns[c->rounds++] = turn(c);
		}
	}
	close_all(contest, contest->count);
	for (i = 0; i < contest->count; i++) {
		c = &contest->contestants[i];
		memcpy(c->sorted, c->ns, sizeof(c->ns));
		qsort(c->sorted, c->rounds, sizeof(c->sorted[0]), compare);
	}
	contests[nr_contests++] = contest;
	report_contest_print(contest);
	return 0;
}

double contestant_best(const struct contestant *c)
{
	return c->sorted[0];
}

double contestant_median(const struct contestant *c)
{
	return c->sorted[c->rounds / 2];
}

/* The machine's mood changes; within a round it is mostly the same. */
double contestant_ratio(const struct contestant *a, const struct contestant *b)
{
	double ratios[MAX_ROUNDS] = { 0 };
	unsigned int i;

	for (i = 0; i < a->rounds; i++)
		ratios[i] = a->ns[i] / b->ns[i];
	qsort(ratios, a->rounds, sizeof(ratios[0]), compare);
	return ratios[a->rounds / 2];
}
