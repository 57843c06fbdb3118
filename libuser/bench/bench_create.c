// SPDX-License-Identifier: MIT
/* Making a region of 1 MiB, and ending it. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ends.h"

#define DEPTH 64
/* Two of them and the rings make 1 MiB. */
#define ARENA ((MIB - 2ull * DEPTH * sizeof(struct l3l2q_desc)) / 2)

static struct l3l2q_attr attr = {
	.role = L3L2Q_ROLE_L3,
	.depth = DEPTH,
	.input_arena_bytes = ARENA,
	.output_arena_bytes = ARENA,
};

static void touch(void *memory)
{
	volatile char *at = memory;
	size_t i;

	for (i = 0; i < MIB; i += 4096)
		at[i] = 1;
}

/* Is there such a transport? */
static int try_once(struct contestant *c)
{
	struct ends ends;
	int ret;

	(void)c;
	attr.transport = options.transport;
	ret = ends_open(&ends, &attr);
	if (!ret)
		ends_close(&ends);
	return ret;
}

static void one_end(struct contestant *c, uint64_t n)
{
	struct l3l2q_ep_info info;
	struct l3l2q_ep *ep;

	for (; n; n--) {
		if (l3l2q_create(&ep, &attr, NULL))
			abort();
		if (c->arg) {
			l3l2q_ep_info(ep, &info);
			touch(info.payload);
		}
		l3l2q_close(ep);
	}
}

static void both_ends(struct contestant *c, uint64_t n)
{
	struct ends ends;

	(void)c;
	for (; n; n--) {
		if (ends_open(&ends, &attr))
			abort();
		ends_close(&ends);
	}
}

static void memfd(struct contestant *c, uint64_t n)
{
	void *memory;
	int fd;

	(void)c;
	for (; n; n--) {
		fd = memfd_create("l3l2q-bench", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, (off_t)MIB))
			abort();
		memory = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (memory == MAP_FAILED)
			abort();
		touch(memory);
		munmap(memory, MIB);
		close(fd);
	}
}

int bench_create(void)
{
	struct contest *contest = contest_new("create", MIB, "a region of 1 MiB made and ended");
	struct contestant *c;

	if (!contest)
		return 0;
	c = contest_add(contest, "l3l2q");
	c->open = try_once;
	c->side[0] = one_end;
	c = contest_add(contest, "l3l2q, touched");
	c->open = try_once;
	c->side[0] = one_end;
	c->arg = &attr;
	c = contest_add(contest, "l3l2q, both ends");
	c->open = try_once;
	c->side[0] = both_ends;
	c = contest_add(contest, "memfd");
	c->side[0] = memfd;
	return contest_run(contest);
}
