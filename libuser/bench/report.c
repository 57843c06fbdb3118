// SPDX-License-Identifier: MIT
/* What was measured: as text, as JSON, and against the targets. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "bench.h"

#define MAX_METRICS 128

/**
 * struct target - what is to be reached
 * @what: in words
 * @contest: where both were measured, NULL: @ours is a metric
 * @ours: contestant or metric
 * @theirs: contestant to compare with
 * @faster: we are to be @limit times as fast, else to take at most @limit times
 *	as long
 * @limit: the target
 */
struct target {
	const char *what;
	const char *contest;
	const char *ours;
	const char *theirs;
	bool faster;
	double limit;
};

static const struct target targets[] = {
	{ "spinning ping-pong, 0 B, to the two-line hand-over", "pingpong/0", "l3l2q",
	  "two lines", false, 1.3 },
	{ "spinning ping-pong, 0 B, to rte_ring", "pingpong/0", "l3l2q", "rte_ring", false, 1.0 },
	{ "one-way 64 B, single, to rte_ring of 32 B", "batch/1", "l3l2q", "rte_ring burst of 32 B",
	  true, 1.0 },
	{ "one-way 64 B, runs of 32 in place, to rte_ring burst of 32 B", "batch/32", "l3l2q runs",
	  "rte_ring burst of 32 B", true, 1.0 },
	{ "one-way 64 B, runs of 32 in place, to rte_ring burst", "batch/32", "l3l2q runs",
	  "rte_ring burst", true, 0.75 },
	{ "one-way 64 B, batch 32, in place, to rte_ring burst of 32 B", "batch/32",
	  "l3l2q in place", "rte_ring burst of 32 B", true, 1.0 },
	{ "one-way 64 B, batch 32, in place, to the naive protocol", "batch/32", "l3l2q in place",
	  "naive", true, 3.0 },
	{ "one-way 64 KiB, copying in, to memcpy", "copying/65536", "l3l2q", "memcpy", true, 0.9 },
	{ "one-way 64 B, single, depth 1024 to depth 65536", "depth/64", "depth 1024",
	  "depth 65536", false, 1.3 },
	{ "one-way 64 B, single, depth 16384 to depth 65536", "depth/64", "depth 16384",
	  "depth 65536", false, 1.3 },
	{ "in place, 1 MiB to 4 KiB", "inplace/0", "1 MiB", "4 KiB", false, 1.1 },
	{ "sleeping ping-pong over memfd, to a futex pair", "sleeping/0", "l3l2q memfd",
	  "futex pair", false, 1.0 },
	{ "sleeping ping-pong over the driver, to an eventfd pair", "sleeping/0", "l3l2q driver",
	  "eventfd pair", false, 1.0 },
	{ "ping-pong on one processor, spinning to not", "onecpu/0", "l3l2q memfd, spinning",
	  "l3l2q memfd", false, 1.2 },
	{ "CPU time at 1 k messages a second, spinning to not", NULL, "rate/1000/l3l2q to not",
	  NULL, false, 1.15 },
	{ "CPU time at 10 k messages a second, spinning to not", NULL, "rate/10000/l3l2q to not",
	  NULL, false, 1.15 },
	{ "CPU time at 100 k messages a second, spinning to not", NULL, "rate/100000/l3l2q to not",
	  NULL, false, 1.15 },
	{ "system calls a message, both busy", NULL, "busy/syscalls", NULL, false, 0 },
	{ "4096 regions in one epoll, one active, to one region", "epoll/0", "4096 regions",
	  "1 region", false, 1.2 },
	{ "create + destroy of 1 MiB, to a memfd touched", "create/1048576", "l3l2q", "memfd",
	  false, 1.5 },
	{ "abort by ioctl to eventfd, to a bare eventfd", "abort/0", "l3l2q", "eventfd", false, 1.3 },
	{ "copied memory: calls to send 64 B", NULL, "copied/64/send/l3l2q", NULL, false, 3 },
	{ "copied memory: calls to take 64 B", NULL, "copied/64/take/l3l2q", NULL, false, 4 },
	{ "copied memory: calls a message sent, batch 32 of 64 B", NULL, "copied/32x64/send/l3l2q",
	  NULL, false, 0.25 },
	{ "copied memory: calls a message taken, batch 32 of 64 B", NULL, "copied/32x64/take/l3l2q",
	  NULL, false, 0.25 },
	{ "idle: timer ticks in a second", NULL, "idle/ticks", NULL, false, 0 },
	{ "idle: wake-ups in a second", NULL, "idle/wakeups", NULL, false, 0 },
	{ "idle: microseconds of CPU in a second", NULL, "idle/cpu", NULL, false, 0 },
};

static struct {
	char name[48];
	double value;
	const char *unit;
} metrics[MAX_METRICS];

static unsigned int nr_metrics;

int fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "l3l2q-bench: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	return -EIO;
}

void metric_add(const char *name, double value, const char *unit)
{
	if (nr_metrics == MAX_METRICS)
		return;
	snprintf(metrics[nr_metrics].name, sizeof(metrics[0].name), "%s", name);
	metrics[nr_metrics].value = value;
	metrics[nr_metrics].unit = unit;
	nr_metrics++;
	printf("%-32s %14.2f %s\n", name, value, unit);
	fflush(stdout);
}

static const double *metric_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_metrics; i++)
		if (!strcmp(metrics[i].name, name))
			return &metrics[i].value;
	return NULL;
}

/* ---- text -------------------------------------------------------------- */

void report_contest_print(const struct contest *contest)
{
	const struct contestant *first = NULL;
	unsigned int i;

	printf("%s: %s\n", contest->name, contest->what);
	for (i = 0; i < contest->count; i++) {
		const struct contestant *c = &contest->contestants[i];

		if (c->absent) {
			printf("  %-24s not here\n", c->name);
			continue;
		}
		if (!first)
			first = c;
		printf("  %-24s %12.1f ns best %12.1f ns median %7.2fx %7.2fx", c->name,
		       contestant_best(c), contestant_median(c),
		       contestant_best(c) / contestant_best(first), contestant_ratio(c, first));
		if (contest->bytes)
			printf(" %9.1f MB/s", (double)contest->bytes * 1000 / contestant_best(c));
		printf("%s\n", c->floor ? "  (floor)" : "");
	}
	fflush(stdout);
}

/**
 * struct reached - what became of a target
 * @typical: median of the ratios in the same round, or a metric: this decides
 * @best: ratio of the best times; a metric again
 */
struct reached {
	double best;
	double typical;
};

/* False if it was not measured. */
static bool reached(const struct target *t, struct reached *r)
{
	const double *metric = t->contest ? NULL : metric_find(t->ours);
	struct contest *contest = t->contest ? contest_find(t->contest) : NULL;
	const struct contestant *ours = contestant_find(contest, t->ours);
	const struct contestant *theirs = t->theirs ? contestant_find(contest, t->theirs) : NULL;

	if (metric) {
		r->best = r->typical = *metric;
		return true;
	}
	if (!ours || !theirs || ours->absent || theirs->absent)
		return false;
	if (t->faster) {
		ours = theirs;
		theirs = contestant_find(contest, t->ours);
	}
	r->best = contestant_best(ours) / contestant_best(theirs);
	r->typical = contestant_ratio(ours, theirs);
	return true;
}

static bool met(const struct target *t, const struct reached *r)
{
	return t->faster ? r->typical >= t->limit : r->typical <= t->limit;
}

void report_targets(void)
{
	struct reached r;
	unsigned int i;

	printf("\n| %-64s | %9s | %9s | %-14s | %-6s |\n", "what", "median", "best", "target", "");
	printf("| %.64s | --------: | --------: | -------------- | ------ |\n",
	       "----------------------------------------------------------------");
	for (i = 0; i < LENGTH(targets); i++) {
		const struct target *t = &targets[i];

		const char *unit = t->contest ? "x" : " ";

		if (!reached(t, &r))
			continue;
		printf("| %-64s | %8.2f%s | %8.2f%s | at %-5s %4.3g%s | %-6s |\n", t->what, r.typical,
		       unit, r.best, unit, t->faster ? "least" : "most", t->limit, unit,
		       met(t, &r) ? "met" : "missed");
	}
	fflush(stdout);
}

/* ---- JSON -------------------------------------------------------------- */

/* No name of ours has a character that needs more. */
static void json_contest(FILE *f, const struct contest *contest)
{
	unsigned int i, n = 0;

	fprintf(f, "    {\"name\": \"%s\", \"what\": \"%s\", \"bytes\": %llu, \"contestants\": [\n",
		contest->name, contest->what, (unsigned long long)contest->bytes);
	for (i = 0; i < contest->count; i++) {
		const struct contestant *c = &contest->contestants[i];

		if (c->absent)
			continue;
		fprintf(f, "%s      {\"name\": \"%s\", \"best_ns\": %.3f, \"median_ns\": %.3f, "
			"\"rounds\": %u, \"operations\": %llu, \"floor\": %s}", n++ ? ",\n" : "",
			c->name, contestant_best(c), contestant_median(c), c->rounds,
			(unsigned long long)c->n, c->floor ? "true" : "false");
	}
	fprintf(f, "\n    ]}");
}

/* All of them, so that whoever merges several runs knows their order. */
static void json_targets(FILE *f)
{
	struct reached r;
	unsigned int i;

	for (i = 0; i < LENGTH(targets); i++) {
		const struct target *t = &targets[i];

		fprintf(f, "%s    {\"what\": \"%s\", \"unit\": \"%s\", \"at_%s\": %.2f",
			i ? ",\n" : "", t->what, t->contest ? "x" : "", t->faster ? "least" : "most",
			t->limit);
		if (reached(t, &r))
			fprintf(f, ", \"measured\": %.3f, \"best\": %.3f, \"met\": %s", r.typical,
				r.best, met(t, &r) ? "true" : "false");
		fprintf(f, "}");
	}
}

int report_json(const char *file)
{
	FILE *f = fopen(file, "w");
	struct utsname u;
	unsigned int i;

	if (!f)
		return fail("cannot write %s: %s", file, strerror(errno));
	uname(&u);
	fprintf(f, "{\n  \"transport\": \"%s\", \"machine\": \"%s\", \"kernel\": \"%s\",\n",
		options.transport, u.machine, u.release);
	fprintf(f, "  \"rounds\": %u, \"round_ns\": %llu,\n  \"contests\": [\n", options.rounds,
		(unsigned long long)options.round_ns);
	for (i = 0; contest_next(i); i++) {
		fprintf(f, "%s", i ? ",\n" : "");
		json_contest(f, contest_next(i));
	}
	fprintf(f, "\n  ],\n  \"metrics\": [\n");
	for (i = 0; i < nr_metrics; i++)
		fprintf(f, "%s    {\"name\": \"%s\", \"value\": %.3f, \"unit\": \"%s\"}",
			i ? ",\n" : "", metrics[i].name, metrics[i].value, metrics[i].unit);
	fprintf(f, "\n  ],\n  \"targets\": [\n");
	json_targets(f);
	fprintf(f, "\n  ]\n}\n");
	if (fclose(f))
		return fail("cannot write %s: %s", file, strerror(errno));
	return 0;
}
