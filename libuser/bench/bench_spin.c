// SPDX-License-Identifier: MIT
/* Both sides busy: nobody sleeps. */
#include <errno.h>

#include "job.h"

#define MAX_BODY MIB

static unsigned char *bodies;

/* A ring of as many as fit well into a cache, and 8 at least. */
static uint64_t depth_for(uint64_t size)
{
	uint64_t depth = 1024;

	while (depth > 8 && depth * size > 4 * MIB)
		depth /= 2;
	return depth;
}

static struct job *job_add(struct contest *contest, const char *name, const struct link *link,
			   bool one_way, uint64_t size)
{
	struct contestant *c = contest_add(contest, name);
	struct job *job = job_memory(sizeof(*job));

	if (!job)
		abort();
	*job = (struct job){
		.size = size,
		.depth = depth_for(size),
		.batch = 1,
		.window = 1,
		.src = bodies,
		.dst = { bodies + MAX_BODY, bodies + 2 * MAX_BODY },
	};
	c->open = link->open;
	c->close = link->close;
	c->side[0] = one_way ? link->one_way[0] : link->ping_pong[0];
	c->side[1] = one_way ? link->one_way[1] : link->ping_pong[1];
	c->floor = link->floor;
	c->arg = job;
	return job;
}

static int ping_pong(uint64_t size)
{
	static const struct link *const links[] = {
		&link_l3l2q, &link_l3l2q_in_place, WITH_DPDK(&link_rte,) &link_naive,
		&link_pipe, &link_seqpacket, &link_mq,
	};
	struct contest *contest = contest_new("pingpong", size, "there and back, spinning");
	unsigned int i;

	if (!contest)
		return 0;
	contest->bytes = 2 * size;
	for (i = 0; i < LENGTH(links); i++)
		job_add(contest, links[i]->name, links[i], false, size);
	WITH_BOOST(if (size == 64) job_add(contest, link_boost.name, &link_boost, false, size);)
	if (size) {
		job_add(contest, link_memcpy.name, &link_memcpy, false, size);
	} else {
		WITH_URING(job_add(contest, link_uring.name, &link_uring, false, size);)
		job_add(contest, link_one_line.name, &link_one_line, false, size);
		job_add(contest, link_two_lines.name, &link_two_lines, false, size);
	}
	return contest_run(contest);
}

static int one_way(uint64_t size)
{
	struct contest *contest = contest_new("oneway", size, "a message, one after the other");
	unsigned int i;
	static const struct link *const links[] = {
		&link_l3l2q, &link_l3l2q_in_place, WITH_DPDK(&link_rte,) &link_naive,
		&link_pipe, &link_seqpacket, &link_mq,
	};

	if (!contest)
		return 0;
	contest->bytes = size;
	for (i = 0; i < LENGTH(links); i++)
		job_add(contest, links[i]->name, links[i], true, size);
	if (size)
		job_add(contest, link_memcpy.name, &link_memcpy, true, size);
	return contest_run(contest);
}

/* The sender copies, the receiver reads where it lies. */
static int copying(uint64_t size)
{
	struct contest *contest = contest_new("copying", size, "a message copied in, read in place");

	if (!contest)
		return 0;
	contest->bytes = size;
	job_add(contest, link_l3l2q.name, &link_l3l2q, true, size)->touch = true;
	job_add(contest, link_naive.name, &link_naive, true, size)->touch = true;
	job_add(contest, link_memcpy.name, &link_memcpy, true, size)->touch = true;
	return contest_run(contest);
}

/* In a ring so deep that nobody is on the other's heels all the time. */
static int batch(uint64_t n)
{
	static const struct link *const links[] = {
		&link_l3l2q_runs, &link_l3l2q_in_place, &link_l3l2q, WITH_DPDK(&link_rte_burst, &link_rte_desc,
		&link_rte_zc, &link_rte_zc_desc, &link_rte,) WITH_BOOST(&link_boost,)
		&link_naive,
	};
	struct contest *contest = contest_new("batch", n, "a message of 64 B, sent in batches");
	unsigned int i;
	struct job *job;

	if (!contest)
		return 0;
	contest->bytes = 64;
	for (i = 0; i < LENGTH(links); i++) {
		job = job_add(contest, links[i]->name, links[i], true, 64);
		job->depth = 16384;
		job->batch = n;
		job->window = n;
	}
	return contest_run(contest);
}

/* No byte of a body is touched: the size must not matter. */
static int in_place(void)
{
	static const struct {
		const char *name;
		uint64_t size;
	} sizes[] = {
		{ "4 KiB", 4 * KIB }, { "64 KiB", 64 * KIB }, { "1 MiB", MIB },
	};
	struct contest *contest = contest_new("inplace", 0, "a message whose body nobody touches");
	unsigned int i;
	struct job *job;

	if (!contest)
		return 0;
	for (i = 0; i < LENGTH(sizes); i++) {
		job = job_add(contest, sizes[i].name, &link_l3l2q_in_place, true, sizes[i].size);
		job->depth = 64;
		job->untouched = true;
	}
	return contest_run(contest);
}

static int depths(void)
{
	static const char *const names[] = {
		"depth 2", "depth 8", "depth 32", "depth 128", "depth 1024", "depth 8192",
		"depth 16384", "depth 65536",
	};
	struct contest *contest = contest_new("depth", 64, "a message of 64 B");
	const struct bench_options given = options;
	unsigned int i;
	int ret;

	if (!contest)
		return 0;
	contest->bytes = 64;
	for (i = 0; i < LENGTH(names); i++)
		job_add(contest, names[i], &link_l3l2q, true, 64)->depth =
			strtoull(names[i] + strlen("depth "), NULL, 10);
	/* Several rings a turn: else one side may be done before the other begins. */
	options.round_ns *= 8;
	options.rounds = options.rounds / 3 + 1;
	ret = contest_run(contest);
	options = given;
	return ret;
}

static int windows(void)
{
	static const char *const names[] = { "window 1", "window 4", "window 16" };
	struct contest *contest = contest_new("window", 64,
					      "a message of 64 B, a window held at a time");
	unsigned int i;

	if (!contest)
		return 0;
	contest->bytes = 64;
	for (i = 0; i < LENGTH(names); i++)
		job_add(contest, names[i], &link_l3l2q_in_place, true, 64)->window =
			strtoull(names[i] + strlen("window "), NULL, 10);
	return contest_run(contest);
}

int bench_spin(void)
{
	static const uint64_t sizes[] = { 0, 64, 256, 4 * KIB, 64 * KIB, MIB };
	static const uint64_t batches[] = { 1, 8, 32, 256 };
	unsigned int i;
	int ret = 0;

	bodies = job_memory(3 * MAX_BODY);
	if (!bodies)
		return fail("no memory");
	for (i = 0; i < LENGTH(sizes) && !ret; i++)
		ret = ping_pong(sizes[i]);
	for (i = 0; i < LENGTH(sizes) && !ret; i++)
		ret = one_way(sizes[i]);
	for (i = 0; i < LENGTH(batches) && !ret; i++)
		ret = batch(batches[i]);
	if (!ret)
		ret = copying(64 * KIB);
	if (!ret)
		ret = in_place();
	if (!ret)
		ret = depths();
	if (!ret)
		ret = windows();
	free(bodies);
	return ret;
}
