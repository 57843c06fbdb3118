// SPDX-License-Identifier: GPL-2.0-only
/* Regions in NPU windows: what the windows are, who gets which part, who is rung. */
#include "npu_util.h"

#define CHUNK	(1ull << 20)

FIXTURE(pci)
{
	int ctx;
	struct l3l2q_query_device dev;
	struct npu_box box;
};

FIXTURE_SETUP(pci)
{
	self->ctx = drv_open();
	ASSERT_LE(0, self->ctx);
	NPU_REQUIRE(self->ctx, 1);
	ASSERT_EQ(0, npu_query_device(self->ctx, 0, &self->dev));
	/* every test starts with an empty window, and leaves one */
	ASSERT_EQ(self->dev.window_bytes, self->dev.free_bytes);
}

FIXTURE_TEARDOWN(pci)
{
	npu_box_close(&self->box);
	if (self->dev.window_bytes) {
		EXPECT_EQ(self->dev.window_bytes, npu_free_bytes(self->ctx, self->dev.id));
	}
	close(self->ctx);
}

static int pci_create_raw(FIXTURE_DATA(pci) *self, __u64 payload, __u64 counters)
{
	struct l3l2q_create create;

	npu_create_init_raw(&create, self->dev.id, payload, counters);
	return drv_create(self->ctx, &create);
}

/* Where a region is in the NPU's memory. */
static __u64 pci_base(int fd)
{
	struct l3l2q_info info;

	return drv_info(fd, &info) ? 0 : info.region.payload_base;
}

/* ---- windows ----------------------------------------------------------- */

TEST_F(pci, windows_are_what_sysfs_says)
{
	struct l3l2q_query_device d = { 0 };
	__u64 start, end, flags, last = 0;
	int i, nr = npu_windows(self->ctx);
	char buf[64];

	for (i = 0; i < nr; i++) {
		ASSERT_EQ(0, npu_query_device(self->ctx, last, &d));
		TH_LOG("%s: %llu MiB, memory %u, %u vectors, node %d", d.name,
		       d.window_bytes >> 20, d.memory, d.vectors, d.numa_node);
		EXPECT_EQ(L3L2Q_BACKEND_PCI, d.backend);
		EXPECT_LT(last, d.id);
		last = d.id;
		ASSERT_TRUE(memchr(d.name, 0, sizeof(d.name)) && d.name[0]);
		EXPECT_TRUE(npu_bound((char *)d.name));
		EXPECT_EQ(d.id, npu_id(self->ctx, (char *)d.name));
		ASSERT_TRUE(npu_bar((char *)d.name, 2, &start, &end, &flags));
		EXPECT_EQ(end - start + 1, d.window_bytes);
		EXPECT_GE(d.window_bytes, d.free_bytes);
		npu_attribute((char *)d.name, "numa_node", buf, sizeof(buf));
		EXPECT_EQ(atoi(buf), d.numa_node);
		EXPECT_LT(0, d.vectors);
		EXPECT_TRUE(npu_has_attribute((char *)d.name, "msi_irqs"));
	}
	EXPECT_EQ(-ENODEV, npu_query_device(self->ctx, last, &d));
	EXPECT_EQ(-ENODEV, npu_query_device(self->ctx, UINT64_MAX, &d));
}

/* How the kernel will map it, on x86: whatever was reserved. */
TEST_F(pci, the_window_is_reserved_as_the_type_it_is_reported_to_be)
{
	static const char *const types[] = { "write-back", "write-combining", "uncached-minus" };
	char *list = malloc(1 << 16), *line, *next, want[96];
	__u64 start, end, flags;
	bool found = false;

	ASSERT_TRUE(npu_bar((char *)self->dev.name, 2, &start, &end, &flags));
	drv_read_file("/sys/kernel/debug/x86/pat_memtype_list", list, 1 << 16);
	if (!*list) {
		free(list);
		SKIP(return, "no list of memory types");
	}
	snprintf(want, sizeof(want), "%#018llx-%#018llx] %s", start, end + 1,
		 types[self->dev.memory]);
	for (line = list; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		found |= strstr(line, want) != NULL;
	}
	free(list);
	EXPECT_TRUE(self->dev.memory == L3L2Q_MEMORY_DEVICE || found)
		TH_LOG("not reserved: %s", want);
}

TEST_F(pci, memory_follows_the_module_parameter)
{
	char buf[8];

	drv_read_file("/sys/module/l3l2q/parameters/pci_write_combining", buf, sizeof(buf));
	ASSERT_TRUE(buf[0] == 'Y' || buf[0] == 'N');
	npu_attribute((char *)self->dev.name, "device", buf, sizeof(buf));
	if (strcmp(buf, "0x1110\n"))
		SKIP(return, "not ivshmem");
	drv_read_file("/sys/module/l3l2q/parameters/pci_write_combining", buf, sizeof(buf));
	EXPECT_EQ(buf[0] == 'Y' ? L3L2Q_MEMORY_WC : L3L2Q_MEMORY_CACHED, self->dev.memory);
}

/* ---- regions ----------------------------------------------------------- */

TEST_F(pci, info_has_the_npus_addresses)
{
	__u64 start, end, flags, base, page = (__u64)sysconf(_SC_PAGESIZE);
	struct l3l2q_create create;
	struct drv_pair p;
	char buf[32];

	drv_read_file("/sys/module/l3l2q/parameters/pci_gm_base", buf, sizeof(buf));
	base = strtoull(buf, NULL, 0);
	ASSERT_TRUE(npu_bar((char *)self->dev.name, 2, &start, &end, &flags));
	if (!base)
		base = start;	/* as the bus sees it, where nothing translates */

	npu_create_init(&create, self->dev.id);
	create.flags = L3L2Q_CREATE_SHARE_ADDRESSES;
	drv_pair_create(_metadata, &p, &create);
	EXPECT_EQ(0, memcmp(&p.l3.info.region, &p.l2.info.region, sizeof(p.l3.info.region)));
	EXPECT_EQ(L3L2Q_INFO_DEVICE_ADDRESSES, p.l3.info.flags);
	EXPECT_EQ(L3L2Q_INFO_DEVICE_ADDRESSES, p.l2.info.flags);
	EXPECT_EQ(L3L2Q_REGION_V2, p.l3.info.region.magic_version);
	EXPECT_EQ(0, p.l3.info.region.payload_base % page);
	EXPECT_EQ(p.l3.info.region.payload_base + npu_round_up(p.l3.info.region.payload_bytes),
		  p.l3.info.region.counter_base);
	EXPECT_LE(base, p.l3.info.region.payload_base);
	EXPECT_GE(base + self->dev.window_bytes, p.l3.info.region.counter_base + page);
	EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_region_check(&p.l3.info.region));
	EXPECT_EQ(L3L2Q_BACKEND_PCI, p.l3.info.backend);
	EXPECT_EQ(self->dev.memory, p.l3.info.memory);
	EXPECT_EQ(self->dev.memory, p.l2.info.memory);
	drv_pair_close(&p);

	/* a process that was only handed the other end is not told, unless asked for */
	create.flags = 0;
	create.region_version = 3 << 16;
	drv_pair_create(_metadata, &p, &create);
	EXPECT_EQ(L3L2Q_REGION_V3, p.l3.info.region.magic_version);
	EXPECT_EQ(L3L2Q_INFO_DEVICE_ADDRESSES, p.l3.info.flags);
	EXPECT_LE(base, p.l3.info.region.payload_base);
	EXPECT_EQ(0, p.l2.info.flags);
	EXPECT_EQ(p.l2.info.map[L3L2Q_MAP_PAYLOAD].offset, p.l2.info.region.payload_base);
	EXPECT_EQ(p.l2.info.map[L3L2Q_MAP_COUNTERS].offset, p.l2.info.region.counter_base);
	drv_pair_close(&p);
}

TEST_F(pci, a_region_starts_as_zeroes_whoever_had_the_memory_before)
{
	const __u64 payload = 3 * CHUNK + 4096 + 64;
	struct l3l2q_create create;
	struct drv_pair p;
	__u64 i, base = 0;
	int round;

	for (round = 0; round < 3; round++) {
		__u64 dirty = 0;

		npu_create_init_raw(&create, self->dev.id, payload, 4096 + 64);
		drv_pair_create(_metadata, &p, &create);
		drv_pair_map(_metadata, &p);
		/* the same memory, or this says nothing */
		EXPECT_TRUE(!round || base == p.l3.info.region.payload_base);
		base = p.l3.info.region.payload_base;
		for (i = 0; i < p.l3.info.map[L3L2Q_MAP_PAYLOAD].length; i += 8)
			dirty |= *(__u64 *)(p.l3.payload + i);
		for (i = 0; i < p.l3.info.map[L3L2Q_MAP_COUNTERS].length; i += 4)
			dirty |= drv_load(&p.l3, (__u32)i);
		EXPECT_EQ(0, dirty);
		memset(p.l3.payload, 0xa5, p.l3.info.map[L3L2Q_MAP_PAYLOAD].length);
		for (i = 0; i < p.l3.info.map[L3L2Q_MAP_COUNTERS].length; i += 4)
			drv_store(&p.l3, (__u32)i, 0x5a5a5a5a);
		EXPECT_EQ(0, memcmp(p.l3.payload, p.l2.payload, payload));
		drv_pair_close(&p);
	}
}

TEST_F(pci, kernel_and_both_roles_see_the_same_counters)
{
	struct l3l2q_create create;
	struct drv_pair p;
	__u32 at;

	npu_create_init_raw(&create, self->dev.id, 4096, 8192);
	drv_pair_create(_metadata, &p, &create);
	drv_pair_map(_metadata, &p);
	for (at = 0; at < 8192; at += 1020) {
		EXPECT_EQ(0, drv_set(p.l3.fd, at, (__s32)at + 1));
		EXPECT_EQ(at + 1, drv_load(&p.l2, at));
		drv_store(&p.l2, at, at + 2);
		EXPECT_EQ((__s32)at + 2, drv_load_fd(p.l3.fd, at));
		EXPECT_EQ(0, drv_notify(p.l2.fd, at, L3L2Q_NOTIFY_ADD, -5));
		EXPECT_EQ(at - 3, drv_load(&p.l3, at));
	}
	drv_pair_close(&p);
}

TEST_F(pci, mappings_end_where_the_region_does)
{
	struct l3l2q_create create;
	struct l3l2q_mapping m;
	struct drv_pair p;
	int which, err;

	npu_create_init(&create, self->dev.id);
	drv_pair_create(_metadata, &p, &create);
	for (which = L3L2Q_MAP_PAYLOAD; which <= L3L2Q_MAP_COUNTERS; which++) {
		m = p.l3.info.map[which];
		m.length += (__u64)sysconf(_SC_PAGESIZE);
		drv_mmap(p.l3.fd, &m, PROT_READ | PROT_WRITE, &err);
		EXPECT_EQ(-EINVAL, err);
	}
	drv_pair_close(&p);
}

TEST_F(pci, regions_do_not_overlap)
{
	struct l3l2q_create create;
	struct drv_pair p[16];
	__u32 i, j;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		npu_create_init_raw(&create, self->dev.id, 4096 * (i + 1), 64);
		drv_pair_create(_metadata, &p[i], &create);
		drv_pair_map(_metadata, &p[i]);
		memset(p[i].l3.payload, (int)i + 1, p[i].l3.info.map[L3L2Q_MAP_PAYLOAD].length);
		drv_store(&p[i].l3, 0, i + 1);
	}
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		EXPECT_EQ(i + 1, drv_load(&p[i].l2, 0));
		for (j = 0; j < p[i].l3.info.map[L3L2Q_MAP_PAYLOAD].length; j++)
			ASSERT_EQ(i + 1, p[i].l2.payload[j]);
	}
	for (i = 0; i < ARRAY_SIZE(p); i++)
		drv_pair_close(&p[i]);
}

TEST_F(pci, a_bad_source_or_flag_is_refused_and_takes_nothing)
{
	struct l3l2q_create create;

#define REFUSED(err, ...)							\
	do {									\
		npu_create_init(&create, self->dev.id);					\
		__VA_ARGS__;							\
		EXPECT_EQ((err), drv_create(self->ctx, &create));		\
		EXPECT_EQ(self->dev.window_bytes, npu_free_bytes(self->ctx, self->dev.id)); \
	} while (0)

	REFUSED(-ENODEV, create.source = 0);
	REFUSED(-ENODEV, create.source = UINT64_MAX - 1);
	REFUSED(-ENODEV, create.source = UINT64_MAX);
	REFUSED(-ENODEV, create.source = 1ull << 32);
	REFUSED(-EINVAL, create.source_bytes = 1);
	REFUSED(-EINVAL, create.source_bytes = self->dev.window_bytes);
	REFUSED(-EINVAL, create.flags = L3L2Q_CREATE_COHERENT);
	REFUSED(-EINVAL, create.flags = L3L2Q_CREATE_NUMA);
	REFUSED(-ENOSPC, create.input_arena_bytes = self->dev.window_bytes);
	REFUSED(-ENOSPC, npu_create_init_raw(&create, self->dev.id, self->dev.window_bytes, 64));
#undef REFUSED
}

TEST_F(pci, depth_one_is_for_cached_memory)
{
	struct l3l2q_create create;
	int ret;

	npu_create_init(&create, self->dev.id);
	create.depth = 1;
	ret = drv_create(self->ctx, &create);
	if (self->dev.memory == L3L2Q_MEMORY_CACHED) {
		EXPECT_LE(0, ret);
		close(ret);
	} else {
		EXPECT_EQ(-EINVAL, ret);
	}
}

TEST_F(pci, the_module_stays_while_a_region_is_open)
{
	int fd = pci_create_raw(self, 4096, 64);

	ASSERT_LE(0, fd);
	close(self->ctx);
	EXPECT_EQ(-EAGAIN, drv_unload_module("l3l2q"));
	self->ctx = drv_open();
	ASSERT_LE(0, self->ctx);
	close(fd);
}

/* ---- who gets what ----------------------------------------------------- */

TEST_F(pci, all_of_it_can_be_had_and_no_more)
{
	__u64 page = (__u64)sysconf(_SC_PAGESIZE);
	int fd, round;

	for (round = 0; round < 2; round++) {
		fd = pci_create_raw(self, self->dev.window_bytes - page, 64);
		ASSERT_LE(0, fd);
		EXPECT_EQ(0, npu_free_bytes(self->ctx, self->dev.id));
		EXPECT_EQ(-ENOSPC, pci_create_raw(self, 1, 4));
		close(fd);
		EXPECT_EQ(self->dev.window_bytes, npu_free_bytes(self->ctx, self->dev.id));
	}
}

TEST_F(pci, sizes_are_whole_pages)
{
	__u64 page = (__u64)sysconf(_SC_PAGESIZE);
	const __u64 sizes[] = { 1, 4, page - 1, page, page + 1, 5 * page - 1 };
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		fd = pci_create_raw(self, sizes[i], 4);
		ASSERT_LE(0, fd);
		EXPECT_EQ(self->dev.window_bytes - npu_raw_bytes(sizes[i], 4),
			  npu_free_bytes(self->ctx, self->dev.id));
		EXPECT_EQ(0, pci_base(fd) % page);
		close(fd);
	}
}

TEST_F(pci, gaps_are_filled_by_what_fits_best)
{
	__u64 page = (__u64)sysconf(_SC_PAGESIZE), before, gap_at[3];
	/* in pages, all of it: gaps of 8, 3 and 5 between walls */
	const __u64 sizes[] = { 8, 2, 3, 2, 5, 2 };
	const int gaps[] = { 0, 2, 4 };
	int fd[ARRAY_SIZE(sizes)], rest, small, big;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		fd[i] = pci_create_raw(self, (sizes[i] - 1) * page, 64);
		ASSERT_LE(0, fd[i]);
	}
	before = npu_free_bytes(self->ctx, self->dev.id);
	rest = pci_create_raw(self, before - page, 64);
	ASSERT_LE(0, rest);
	for (i = 0; i < ARRAY_SIZE(gaps); i++) {
		gap_at[i] = pci_base(fd[gaps[i]]);
		close(fd[gaps[i]]);
	}
	EXPECT_EQ(16 * page, npu_free_bytes(self->ctx, self->dev.id));
	/* enough in all, nowhere in one piece */
	EXPECT_EQ(-ENOSPC, pci_create_raw(self, 8 * page, 64));
	EXPECT_EQ(16 * page, npu_free_bytes(self->ctx, self->dev.id));

	small = pci_create_raw(self, 2 * page, 64);
	EXPECT_EQ(gap_at[1], pci_base(small));
	big = pci_create_raw(self, 3 * page, 64);
	EXPECT_EQ(gap_at[2], pci_base(big));
	close(small);
	small = pci_create_raw(self, page, 64);
	EXPECT_EQ(gap_at[1], pci_base(small));

	close(small);
	close(big);
	close(rest);
	for (i = 1; i < ARRAY_SIZE(sizes); i += 2)
		close(fd[i]);
	/* neighbours became one again */
	rest = pci_create_raw(self, self->dev.window_bytes - page, 64);
	EXPECT_LE(0, rest);
	close(rest);
}

#define CHURN	48

TEST_F(pci, a_fragmented_window_loses_nothing)
{
	struct { int fd; __u64 base, bytes; } r[CHURN];
	__u64 page = (__u64)sysconf(_SC_PAGESIZE), used = self->dev.window_bytes - 16 * CHUNK;
	unsigned int seed = 20261122, step, i, j, refused = 0;
	int ballast;

	/* little room, so that it gets tight */
	ballast = pci_create_raw(self, used - page, 64);
	ASSERT_LE(0, ballast);
	for (i = 0; i < CHURN; i++)
		r[i].fd = -1;
	for (step = 0; step < (unsigned int)drv_rounds(1500); step++) {
		i = (unsigned int)rand_r(&seed) % CHURN;
		if (r[i].fd >= 0) {
			close(r[i].fd);
			r[i].fd = -1;
			used -= r[i].bytes;
		} else {
			__u64 pages = (__u64)1 << rand_r(&seed) % 10;

			pages += (__u64)rand_r(&seed) % pages;
			r[i].bytes = npu_raw_bytes(pages * page, 64);
			r[i].fd = pci_create_raw(self, pages * page, 64);
			if (r[i].fd < 0) {
				ASSERT_EQ(-ENOSPC, r[i].fd);
				refused += used + r[i].bytes <= self->dev.window_bytes;
				continue;
			}
			r[i].base = pci_base(r[i].fd);
			used += r[i].bytes;
			for (j = 0; j < CHURN; j++)
				ASSERT_TRUE(j == i || r[j].fd < 0 ||
					    r[j].base + r[j].bytes <= r[i].base ||
					    r[i].base + r[i].bytes <= r[j].base);
		}
		ASSERT_EQ(self->dev.window_bytes - used, npu_free_bytes(self->ctx, self->dev.id));
	}
	TH_LOG("%u steps, %u refused for want of one piece", step, refused);
	for (i = 0; i < CHURN; i++)
		if (r[i].fd >= 0)
			close(r[i].fd);
	close(ballast);
	r[0].fd = pci_create_raw(self, self->dev.window_bytes - page, 64);
	EXPECT_LE(0, r[0].fd);
	close(r[0].fd);
}

static void *pci_churn(void *arg)
{
	FIXTURE_DATA(pci) *self = arg;
	unsigned int i, seed = (unsigned int)syscall(__NR_gettid);
	intptr_t bad = 0;
	int fd;

	for (i = 0; i < (unsigned int)drv_rounds(200); i++) {
		fd = pci_create_raw(self, 4096u * (1 + (unsigned int)rand_r(&seed) % 32), 64);
		bad += fd < 0;
		if (fd >= 0)
			close(fd);
	}
	return (void *)bad;
}

TEST_F(pci, many_may_create_at_once)
{
	pthread_t thread[4];
	size_t i;
	void *bad;

	for (i = 0; i < ARRAY_SIZE(thread); i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, pci_churn, self));
	for (i = 0; i < ARRAY_SIZE(thread); i++) {
		ASSERT_EQ(0, pthread_join(thread[i], &bad));
		EXPECT_EQ(NULL, bad);
	}
}

/* ---- kinds of peers ---------------------------------------------------- */

TEST_F(pci, the_peers_kind_follows_the_interrupts)
{
	struct l3l2q_create create;
	struct drv_pair p;

	npu_create_init(&create, self->dev.id);
	drv_pair_create(_metadata, &p, &create);
	EXPECT_EQ(L3L2Q_PEER_RINGS, p.l3.info.peer_kind);
	EXPECT_EQ(L3L2Q_PEER_ARMS, p.l2.info.peer_kind);
	EXPECT_EQ(0, drv_set_polling(p.l3.fd, L3L2Q_PEER_RINGS, 0, 0));
	/* a process that attaches arms like any other */
	ASSERT_EQ(0, drv_ep_map(&p.l2));
	ASSERT_EQ(0, drv_ep_look(&p.l3));
	EXPECT_EQ(L3L2Q_PEER_ARMS, p.l3.info.peer_kind);
	drv_pair_close(&p);

	create.flags = L3L2Q_CREATE_SILENT_PEER;
	drv_pair_create(_metadata, &p, &create);
	EXPECT_EQ(L3L2Q_PEER_SILENT, p.l3.info.peer_kind);
	ASSERT_EQ(0, drv_ep_map(&p.l2));
	ASSERT_EQ(0, drv_ep_look(&p.l3));
	EXPECT_EQ(L3L2Q_PEER_SILENT, p.l3.info.peer_kind);
	drv_pair_close(&p);
}

TEST_F(pci, a_device_is_rung_as_long_as_it_is_the_peer)
{
	struct l3l2q_create create;
	struct l3l2q_stats stats;
	struct drv_pair p;

	npu_create_init(&create, self->dev.id);
	drv_pair_create(_metadata, &p, &create);
	EXPECT_EQ(0, drv_kick(p.l3.fd, 0));
	EXPECT_EQ(0, drv_set(p.l3.fd, L3L2Q_CTR_INPUT_TAIL, 1));
	ASSERT_EQ(0, drv_stats(p.l3.fd, &stats));
	EXPECT_EQ(2, stats.doorbells);
	EXPECT_EQ(0, drv_kick(p.l3.fd, L3L2Q_KICK_SELF));
	EXPECT_EQ(0, drv_kick(p.l2.fd, 0));
	ASSERT_EQ(0, drv_stats(p.l3.fd, &stats));
	EXPECT_EQ(2, stats.doorbells);
	ASSERT_EQ(0, drv_stats(p.l2.fd, &stats));
	EXPECT_EQ(0, stats.doorbells);
	ASSERT_EQ(0, drv_ep_map(&p.l2));
	EXPECT_EQ(0, drv_kick(p.l3.fd, 0));
	ASSERT_EQ(0, drv_stats(p.l3.fd, &stats));
	EXPECT_EQ(2, stats.doorbells);
	drv_pair_close(&p);
}

/* Both roles here: all that works with driver RAM works in a window. */
TEST_F(pci, two_processes_wake_each_other)
{
	enum drv_how how;

	for (how = 0; how < DRV_HOWS; how++) {
		struct l3l2q_create create;
		struct drv_sleeper s;
		struct drv_pair p;

		npu_create_init(&create, self->dev.id);
		drv_pair_create(_metadata, &p, &create);
		drv_pair_map(_metadata, &p);
		drv_sleeper_start(_metadata, &s, how, p.l2.fd, L3L2Q_EVENT_IN);
		EXPECT_EQ(0, drv_publish_tail(&p.l3, 1));
		drv_sleeper_join(_metadata, &s);
		EXPECT_TRUE(drv_sleeper_saw(&s, L3L2Q_EVENT_IN));
		drv_sleeper_done(&s);
		drv_consumer(&p.l3, 0, 0);
		drv_sleeper_start(_metadata, &s, how, p.l3.fd, L3L2Q_EVENT_IN);
		EXPECT_EQ(0, drv_publish_tail(&p.l2, 1));
		/* without interrupts a peer is polled, else kicked */
		drv_sleeper_join(_metadata, &s);
		EXPECT_TRUE(drv_sleeper_saw(&s, L3L2Q_EVENT_IN));
		drv_sleeper_done(&s);
		drv_pair_close(&p);
	}
}

/* ---- with an NPU ------------------------------------------------------- */

/* A queue with a task as its L2. */
static void pci_task(struct __test_metadata *_metadata, FIXTURE_DATA(pci) *self,
		     struct drv_ep *l3, struct npu_request *job, struct npu_reply *reply,
		     __u32 flags)
{
	struct l3l2q_create create;
	int fd;

	if (!self->box.npu.payload)
		npu_box_open(_metadata, &self->box, self->ctx, self->dev.id);
	npu_create_init(&create, self->dev.id);
	create.flags = flags;
	fd = drv_create(self->ctx, &create);
	ASSERT_LE(0, fd);
	drv_ep_init(l3, fd);
	ASSERT_EQ(0, drv_ep_map(l3));
	ASSERT_EQ(0, npu_box_launch(&self->box, l3, job, reply))
		TH_LOG("l3l2q-npusim: %s", reply->text);
}

static void pci_task_close(struct drv_ep *l3)
{
	drv_ep_unmap_all(l3);
	drv_ep_close(l3);
}

#define NPU_NEEDED()							\
	do {								\
		if (!npu_promised())					\
			SKIP(return, "no l3l2q-npusim: L3L2Q_NPUS is not set"); \
	} while (0)

/* Send a message to an echo task, sleep for the answer and check it. */
static void pci_echo(struct __test_metadata *_metadata, struct drv_ep *l3, __u32 index,
		     enum drv_how how)
{
	struct l3l2q_desc desc;
	struct drv_sleeper s;
	char body[64];
	const void *got;

	memset(body, (int)index + 1, sizeof(body));
	drv_consumer(l3, L3L2Q_CONSUMER_SEEN, index);
	drv_sleeper_start(_metadata, &s, how, l3->fd, L3L2Q_EVENT_IN);
	npu_put(l3, index, body, sizeof(body));
	ASSERT_EQ(0, drv_kick(l3->fd, 0));
	drv_sleeper_join(_metadata, &s);
	EXPECT_TRUE(drv_sleeper_saw(&s, L3L2Q_EVENT_IN));
	drv_sleeper_done(&s);
	ASSERT_EQ(index + 1, drv_load(l3, L3L2Q_CTR_OUTPUT_TAIL));
	got = npu_got(l3, index, &desc);
	EXPECT_EQ(index + 1, desc.seq);
	EXPECT_EQ(L3L2Q_OP_DATA, desc.opcode);
	ASSERT_EQ(sizeof(body), desc.payload_nbytes);
	ASSERT_NE(NULL, got);
	EXPECT_EQ(0, memcmp(body, got, sizeof(body)));
	drv_store(l3, L3L2Q_CTR_OUTPUT_HEAD, index + 1);
	EXPECT_EQ(0, drv_kick(l3->fd, 0));
}

TEST_F(pci, a_ringing_npu_wakes_by_interrupt_and_no_timer_runs)
{
	struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING };
	struct npu_reply reply;
	struct l3l2q_stats stats;
	struct drv_ep l3;
	enum drv_how how;

	NPU_NEEDED();
	pci_task(_metadata, self, &l3, &job, &reply, 0);
	for (how = 0; how < DRV_HOWS; how++)
		pci_echo(_metadata, &l3, how, how);
	npu_put(&l3, DRV_HOWS, NULL, 0);
	ASSERT_EQ(0, drv_kick(l3.fd, 0));
	EXPECT_EQ(0, npu_wait(&self->box.npu, reply.task, &reply, NPU_TIMEOUT_NS));
	EXPECT_EQ(NPU_DONE, reply.state) TH_LOG("%s", reply.text);
	EXPECT_EQ(DRV_HOWS, reply.received);
	/* it slept in between, and was rung */
	EXPECT_EQ(0, reply.late);

	ASSERT_EQ(0, drv_stats(l3.fd, &stats));
	EXPECT_LE(DRV_HOWS, stats.interrupts);
	EXPECT_LE(2 * DRV_HOWS + 1, stats.doorbells);
	EXPECT_EQ(0, stats.timer_ticks);
	pci_task_close(&l3);
}

TEST_F(pci, a_silent_npu_is_polled)
{
	struct npu_request job = { .kind = NPU_ECHO };
	struct npu_reply reply;
	struct l3l2q_stats stats;
	struct drv_ep l3;
	enum drv_how how;

	NPU_NEEDED();
	pci_task(_metadata, self, &l3, &job, &reply, L3L2Q_CREATE_SILENT_PEER);
	for (how = 0; how < DRV_HOWS; how++) {
		/* no interrupt will come: an eventfd is armed by the ioctl */
		pci_echo(_metadata, &l3, how, how);
	}
	npu_put(&l3, DRV_HOWS, NULL, 0);
	EXPECT_EQ(0, npu_wait(&self->box.npu, reply.task, &reply, NPU_TIMEOUT_NS));
	EXPECT_EQ(NPU_DONE, reply.state) TH_LOG("%s", reply.text);

	ASSERT_EQ(0, drv_stats(l3.fd, &stats));
	EXPECT_LE(DRV_HOWS, stats.timer_ticks);
	EXPECT_LE(1, stats.timer_wakeups);
	EXPECT_EQ(0, stats.doorbells);
	pci_task_close(&l3);
}

/* All that rings is the mailbox and one task; both have one vector. */
TEST_F(pci, interrupts_are_for_the_regions_of_their_vector)
{
	struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING };
	struct l3l2q_create create;
	struct l3l2q_stats stats;
	struct npu_reply reply;
	struct drv_ep l3;
	__u64 vector;
	int fd, other = -1;

	NPU_NEEDED();
	if (self->dev.vectors < 2)
		SKIP(return, "one vector");
	npu_box_open(_metadata, &self->box, self->ctx, self->dev.id);
	vector = self->box.ep.info.region.region_id % self->dev.vectors;
	for (;;) {
		npu_create_init(&create, self->dev.id);
		fd = drv_create(self->ctx, &create);
		ASSERT_LE(0, fd);
		if (create.region_id % self->dev.vectors == vector)
			break;
		if (other >= 0)
			close(other);
		other = fd;
	}
	if (other < 0) {
		struct l3l2q_create next;

		npu_create_init(&next, self->dev.id);
		other = drv_create(self->ctx, &next);
		ASSERT_LE(0, other);
		ASSERT_NE(vector, next.region_id % self->dev.vectors);
	}
	drv_ep_init(&l3, fd);
	ASSERT_EQ(0, drv_ep_map(&l3));
	ASSERT_EQ(0, npu_box_launch(&self->box, &l3, &job, &reply)) TH_LOG("%s", reply.text);
	pci_echo(_metadata, &l3, 0, DRV_BY_WAIT);
	npu_put(&l3, 1, NULL, 0);
	EXPECT_EQ(0, drv_kick(l3.fd, 0));
	EXPECT_EQ(0, npu_wait(&self->box.npu, reply.task, &reply, NPU_TIMEOUT_NS));
	ASSERT_EQ(0, drv_stats(l3.fd, &stats));
	EXPECT_LE(1, stats.interrupts);
	ASSERT_EQ(0, drv_stats(other, &stats));
	EXPECT_EQ(0, stats.interrupts);
	close(other);
	pci_task_close(&l3);
}

struct pci_armed {
	FIXTURE_DATA(pci) *self;
	int stop;
	int bad;
	int rounds;
};

/* Regions that are armed and end while interrupts come in. */
static void *pci_armed_churn(void *arg)
{
	struct pci_armed *a = arg;
	struct l3l2q_create create;
	int fd;

	while (!__atomic_load_n(&a->stop, __ATOMIC_ACQUIRE)) {
		npu_create_init(&create, a->self->dev.id);
		fd = drv_create(a->self->ctx, &create);
		a->bad += fd < 0;
		if (fd < 0)
			continue;
		a->bad += drv_arm(fd, L3L2Q_EVENT_IN) < 0;
		close(fd);
		a->rounds++;
	}
	return NULL;
}

/*
 * Many regions of one vector, in one of which somebody sleeps: the interrupt that
 * wakes it looks at no other.
 */
TEST_F(pci, an_interrupt_looks_at_regions_with_sleepers)
{
	enum { REGIONS = 512 };
	struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING };
	struct l3l2q_condition c = { .cmp = L3L2Q_CMP_EQ, .value = 7 };
	static int fd[REGIONS];
	struct l3l2q_stats stats;
	struct npu_reply reply;
	__u64 looked = 0;
	struct drv_ep l3;
	__u32 i;

	NPU_NEEDED();
	for (i = 0; i < REGIONS; i++) {
		fd[i] = pci_create_raw(self, 4096, 64);
		ASSERT_LE(0, fd[i]);
	}
	/* one that slept and does no more */
	EXPECT_EQ(-ETIMEDOUT, drv_wait(fd[0], 0, &c, 1, drv_deadline(1), NULL));
	pci_task(_metadata, self, &l3, &job, &reply, 0);
	for (i = 0; i < 8; i++)
		pci_echo(_metadata, &l3, i, DRV_BY_WAIT);
	npu_put(&l3, 8, NULL, 0);
	EXPECT_EQ(0, drv_kick(l3.fd, 0));
	EXPECT_EQ(0, npu_wait(&self->box.npu, reply.task, &reply, NPU_TIMEOUT_NS));
	ASSERT_EQ(0, drv_stats(l3.fd, &stats));
	EXPECT_LE(8, stats.interrupts);
	for (i = 0; i < REGIONS; i++) {
		ASSERT_EQ(0, drv_stats(fd[i], &stats));
		looked += stats.interrupts;
		close(fd[i]);
	}
	/* that of the WAIT before, once */
	EXPECT_GE(1, looked);
	pci_task_close(&l3);
}

/* More sleepers than one interrupt looks at in one go: none is left out. */
TEST_F(pci, an_interrupt_wakes_all_sleepers_of_its_vector)
{
	enum { REGIONS = 200 };
	struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING };
	int fd[REGIONS], efd = drv_eventfd_new();
	struct l3l2q_stats before, stats;
	struct npu_reply reply;
	__u32 i, round, looked;
	struct drv_ep l3;
	__u64 deadline;

	NPU_NEEDED();
	/* what counter 0 is waited for never comes */
	for (i = 0; i < REGIONS; i++) {
		fd[i] = pci_create_raw(self, 4096, 64);
		ASSERT_LE(0, fd[i]);
		ASSERT_EQ(0, drv_eventfd_counter(fd[i], 0, efd, 0, L3L2Q_CMP_EQ, 7));
	}
	pci_task(_metadata, self, &l3, &job, &reply, 0);
	for (round = 0; round < 4; round++) {
		__u64 vector = l3.info.region.region_id % self->dev.vectors;

		pci_echo(_metadata, &l3, round, DRV_BY_WAIT);
		/* the last ones are looked at a little later, but are */
		deadline = drv_deadline(DRV_HANG_MS);
		do {
			looked = 0;
			for (i = 0; i < REGIONS; i++) {
				struct l3l2q_info info;

				ASSERT_EQ(0, drv_info(fd[i], &info));
				ASSERT_EQ(0, drv_stats(fd[i], &stats));
				looked += info.region.region_id % self->dev.vectors != vector ||
					  stats.interrupts > round;
			}
		} while (looked < REGIONS && drv_now() < deadline);
		ASSERT_EQ(REGIONS, looked);
	}
	npu_put(&l3, round, NULL, 0);
	EXPECT_EQ(0, drv_kick(l3.fd, 0));
	EXPECT_EQ(0, npu_wait(&self->box.npu, reply.task, &reply, NPU_TIMEOUT_NS));

	/* and no more once nothing is registered, but for the look that finds so */
	for (i = 0; i < REGIONS; i++)
		ASSERT_EQ(0, drv_eventfd(fd[i], L3L2Q_EVENTFD_COUNTER, -1));
	pci_task_close(&l3);
	pci_task(_metadata, self, &l3, &job, &reply, 0);
	pci_echo(_metadata, &l3, 0, DRV_BY_WAIT);
	pci_echo(_metadata, &l3, 1, DRV_BY_WAIT);
	ASSERT_EQ(0, drv_stats(fd[0], &before));
	for (i = 2; i < 10; i++)
		pci_echo(_metadata, &l3, i, DRV_BY_WAIT);
	ASSERT_EQ(0, drv_stats(fd[0], &stats));
	EXPECT_GE(before.interrupts + 1, stats.interrupts);
	npu_put(&l3, 10, NULL, 0);
	EXPECT_EQ(0, drv_kick(l3.fd, 0));
	EXPECT_EQ(0, npu_wait(&self->box.npu, reply.task, &reply, NPU_TIMEOUT_NS));
	for (i = 0; i < REGIONS; i++)
		close(fd[i]);
	pci_task_close(&l3);
	close(efd);
}

TEST_F(pci, interrupts_meet_regions_that_come_and_go)
{
	struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING };
	struct pci_armed churn = { .self = self };
	int i, rounds = drv_rounds(400);
	struct npu_reply reply;
	pthread_t thread;
	struct drv_ep l3;

	NPU_NEEDED();
	pci_task(_metadata, self, &l3, &job, &reply, 0);
	ASSERT_EQ(0, pthread_create(&thread, NULL, pci_armed_churn, &churn));
	for (i = 0; i < rounds; i++)
		pci_echo(_metadata, &l3, (__u32)i, DRV_BY_WAIT);
	__atomic_store_n(&churn.stop, 1, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, churn.bad);
	TH_LOG("%d regions came and went during %d interrupts", churn.rounds, rounds);
	npu_put(&l3, (__u32)rounds, NULL, 0);
	EXPECT_EQ(0, drv_kick(l3.fd, 0));
	EXPECT_EQ(0, npu_wait(&self->box.npu, reply.task, &reply, NPU_TIMEOUT_NS));
	EXPECT_EQ(NPU_DONE, reply.state) TH_LOG("%s", reply.text);
	pci_task_close(&l3);
}

TEST_F(pci, the_npu_hears_of_a_death)
{
	struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING };
	struct npu_reply reply;
	struct drv_ep l3;

	NPU_NEEDED();
	pci_task(_metadata, self, &l3, &job, &reply, 0);
	/* without DETACH; the memory stays while the file is open */
	drv_ep_unmap(&l3, L3L2Q_MAP_COUNTERS);
	EXPECT_EQ(0, npu_wait(&self->box.npu, reply.task, &reply, NPU_TIMEOUT_NS));
	EXPECT_EQ(NPU_FAILED, reply.state);
	EXPECT_EQ(L3L2Q_ERR_REMOTE_ABORTED, reply.error) TH_LOG("%s", reply.text);
	pci_task_close(&l3);
}

/* ---- ids ---------------------------------------------------------------- */

/* A window that comes back is another one: nobody gets it by the old one's id. */
TEST_F(pci, an_id_is_never_used_again)
{
	__u64 id = self->dev.id, last = id;
	struct l3l2q_create create;
	int round;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, drv_write_file(NPU_DRIVER "unbind", (char *)self->dev.name));
		npu_create_init(&create, last);
		EXPECT_EQ(-ENODEV, drv_create(self->ctx, &create));
		EXPECT_EQ(0, npu_id(self->ctx, (char *)self->dev.name));
		ASSERT_EQ(0, drv_write_file(NPU_DRIVER "bind", (char *)self->dev.name));
		self->dev.id = npu_id(self->ctx, (char *)self->dev.name);
		EXPECT_LT(last, self->dev.id);
		npu_create_init(&create, last);
		EXPECT_EQ(-ENODEV, drv_create(self->ctx, &create));
		last = self->dev.id;
	}
	npu_create_init(&create, id);
	EXPECT_EQ(-ENODEV, drv_create(self->ctx, &create));
	npu_create_init(&create, last);
	round = drv_create(self->ctx, &create);
	EXPECT_LE(0, round);
	close(round);
}

/* ---- binding ----------------------------------------------------------- */

static bool pci_is(const char *name, const char *vendor, const char *device)
{
	char buf[16];

	return !strcmp(npu_attribute(name, "vendor", buf, sizeof(buf)), vendor) &&
	       !strcmp(npu_attribute(name, "device", buf, sizeof(buf)), device);
}

/* What has a window of QEMU's and no vectors: memory that is not for us. */
static bool pci_has_no_vectors(const char *name)
{
	/* QEMU's test device, or ivshmem-plain, which has no BAR for MSI-X */
	return pci_is(name, "0x1b36\n", "0x0005\n") ||
	       (pci_is(name, "0x1af4\n", "0x1110\n") && !npu_has_attribute(name, "resource1"));
}

/* The @nr-th such function. */
static bool pci_other(char *buf, size_t len, int nr)
{
	DIR *dir = opendir(NPU_SYSFS "devices");
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		found = entry->d_name[0] != '.' && pci_has_no_vectors(entry->d_name) && !nr--;
		if (found)
			snprintf(buf, len, "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Its second BAR; NULL if it cannot be had. */
static unsigned char *pci_window(const char *name, size_t *bytes)
{
	char path[512];
	struct stat st;
	void *mem;
	int fd;

	snprintf(path, sizeof(path), NPU_SYSFS "devices/%s/resource2", name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return NULL;
	*bytes = (size_t)st.st_size;
	mem = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return mem == MAP_FAILED ? NULL : mem;
}

static size_t pci_count(const unsigned char *mem, size_t bytes, unsigned char value)
{
	size_t i, n = 0;

	for (i = 0; i < bytes; i++)
		n += ((const volatile unsigned char *)mem)[i] == value;
	return n;
}

/*
 * Neither by its looks nor because somebody asks for it. run.sh's ivshmem-plain has
 * a file full of 0xaa behind it.
 */
TEST_F(pci, a_function_without_vectors_is_left_alone)
{
	int nr = npu_windows(self->ctx), i, plain = 0;
	char name[256], id[16];

	for (i = 0; pci_other(name, sizeof(name), i); i++) {
		bool ivshmem = pci_is(name, "0x1af4\n", "0x1110\n");
		unsigned char *mem;
		size_t bytes = 0;

		EXPECT_FALSE(npu_bound(name));
		ASSERT_EQ(0, npu_set_attribute(name, "driver_override", "l3l2q"));
		drv_write_file(NPU_SYSFS "drivers_probe", name);
		EXPECT_FALSE(npu_bound(name));
		drv_write_file(NPU_DRIVER "bind", name);
		EXPECT_FALSE(npu_bound(name));
		ASSERT_EQ(0, npu_set_attribute(name, "driver_override", "\n"));

		snprintf(id, sizeof(id), "%s", ivshmem ? "1af4 1110" : "1b36 0005");
		/* of ivshmem there is one already, by which the others are bound */
		EXPECT_EQ(ivshmem ? -EEXIST : 0, drv_write_file(NPU_DRIVER "new_id", id));
		drv_write_file(NPU_DRIVER "bind", name);
		EXPECT_FALSE(npu_bound(name));
		if (!ivshmem) {
			EXPECT_EQ(0, drv_write_file(NPU_DRIVER "remove_id", id));
			continue;
		}
		plain++;
		ASSERT_EQ(0, npu_set_attribute(name, "enable", "1"));
		mem = pci_window(name, &bytes);
		ASSERT_NE(NULL, mem);
		EXPECT_LT(0, bytes);
		EXPECT_EQ(bytes, pci_count(mem, bytes, 0xaa));
		munmap(mem, bytes);
		npu_set_attribute(name, "enable", "0");
	}
	EXPECT_EQ(nr, npu_windows(self->ctx));
	if (npu_promised()) {
		EXPECT_LT(0, plain);
	}
	TH_LOG("%d functions without vectors, %d with 0xaa", i, plain);
}

TEST_F(pci, driver_override_binds)
{
	const char *name = (char *)self->dev.name;

	/* that of new_id is what it was bound by so far */
	ASSERT_EQ(0, drv_write_file(NPU_DRIVER "unbind", name));
	ASSERT_EQ(0, drv_write_file(NPU_DRIVER "remove_id", "1af4 1110"));
	EXPECT_NE(0, drv_write_file(NPU_DRIVER "bind", name));
	drv_write_file(NPU_SYSFS "drivers_probe", name);
	EXPECT_FALSE(npu_bound(name));

	ASSERT_EQ(0, npu_set_attribute(name, "driver_override", "l3l2q"));
	ASSERT_EQ(0, drv_write_file(NPU_SYSFS "drivers_probe", name));
	EXPECT_TRUE(npu_bound(name));
	ASSERT_EQ(0, npu_set_attribute(name, "driver_override", "\n"));
	ASSERT_EQ(0, drv_write_file(NPU_DRIVER "new_id", "1af4 1110"));
	self->dev.id = npu_id(self->ctx, name);
	EXPECT_NE(0, self->dev.id);
}

TEST_F(pci, several_windows_are_told_apart)
{
	struct l3l2q_query_device d[2] = { 0 };
	struct l3l2q_create create;
	struct drv_pair p[2];
	__u64 last = 0;
	int i;

	NPU_REQUIRE(self->ctx, 2);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, npu_query_device(self->ctx, last, &d[i]));
		last = d[i].id;
		npu_create_init(&create, last);
		drv_pair_create(_metadata, &p[i], &create);
		drv_pair_map(_metadata, &p[i]);
		memset(p[i].l3.payload, i + 1, p[i].l3.info.map[L3L2Q_MAP_PAYLOAD].length);
		ASSERT_EQ(0, npu_query_device(self->ctx, last - 1, &d[i]));
		EXPECT_GT(d[i].window_bytes, d[i].free_bytes);
	}
	EXPECT_NE(0, strcmp((char *)d[0].name, (char *)d[1].name));
	EXPECT_EQ(1, p[0].l2.payload[0]);
	EXPECT_EQ(2, p[1].l2.payload[0]);
	for (i = 0; i < 2; i++) {
		drv_pair_close(&p[i]);
		EXPECT_EQ(d[i].window_bytes, npu_free_bytes(self->ctx, d[i].id));
	}
}

TEST_HARNESS_MAIN
