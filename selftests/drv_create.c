// SPDX-License-Identifier: GPL-2.0-only
/*
 * QUERY, CREATE, INFO and OPEN_PEER: what is made, what is refused, and that
 * a refusal leaves nothing behind.
 */
#include "drv_util.h"

FIXTURE(create)
{
	int ctx;
	struct l3l2q_query query;
	struct l3l2q_create c;
};

FIXTURE_SETUP(create)
{
	self->ctx = drv_open();
	ASSERT_LE(0, self->ctx)
		TH_LOG("no %s: is the module loaded?", DRV_NODE);
	ASSERT_EQ(0, drv_query(self->ctx, &self->query));
	drv_create_init(&self->c);
}

FIXTURE_TEARDOWN(create)
{
	close(self->ctx);
}

/* CREATE fails so, and no fd appeared. */
static void create_fails(struct __test_metadata *_metadata, FIXTURE_DATA(create) *self,
			 int expect, const char *what)
{
	int fds = drv_count_fds(), ret;

	self->c.fd = -1;
	ret = drv_create(self->ctx, &self->c);
	EXPECT_EQ(expect, ret)
		TH_LOG("%s", what);
	EXPECT_EQ(fds, drv_count_fds())
		TH_LOG("%s", what);
	if (ret >= 0)
		close(ret);
	drv_create_init(&self->c);
}

#define CREATE_FAILS(expect, ...) do {					\
	struct l3l2q_create *c = &self->c;				\
									\
	__VA_ARGS__;							\
	create_fails(_metadata, self, expect, #__VA_ARGS__);		\
} while (0)

#define CREATE_RAW_FAILS(expect, payload, counters) do {		\
	drv_create_init_raw(&self->c, payload, counters);		\
	create_fails(_metadata, self, expect, "raw " #payload ", " #counters); \
} while (0)

TEST_F(create, query_reports_features_and_limits)
{
	struct l3l2q_query *q = &self->query;

	EXPECT_TRUE(q->features & L3L2Q_FEATURE_RAM);
	EXPECT_LE(4ull << 30, q->max_region_bytes);
	EXPECT_LE(L3L2Q_COUNTER_BYTES, q->max_counter_bytes);
	EXPECT_NE(0, q->max_user_bytes);
	EXPECT_EQ(sysconf(_SC_PAGESIZE), (long)q->page_size);
	EXPECT_EQ(L3L2Q_WAIT_MAX_CONDITIONS, q->max_conditions);
	EXPECT_EQ(q->nr_devices != 0, q->max_user_window_bytes != 0);
	EXPECT_NE(0, q->max_user_regions);
	EXPECT_EQ(64, q->max_waits);
	EXPECT_EQ(256, q->max_endpoint_conditions);
	EXPECT_NE(0, q->poll_min_ns);
	EXPECT_LE(q->poll_min_ns, q->poll_user_min_ns);
	EXPECT_LE(q->poll_user_min_ns, q->poll_max_ns);
	EXPECT_NE(0, q->tick_regions);
	EXPECT_EQ(0, q->flags);
}

TEST_F(create, an_unknown_device_is_enodev)
{
	struct l3l2q_query_device device = { .size = sizeof(device) };

	__u32 i;

	for (i = 0; i < self->query.nr_devices; i++) {
		EXPECT_EQ(0, drv_ioctl(self->ctx, L3L2Q_IOC_QUERY_DEVICE, &device));
	}
	EXPECT_EQ(-ENODEV, drv_ioctl(self->ctx, L3L2Q_IOC_QUERY_DEVICE, &device));
	device.id = ~0ull;
	EXPECT_EQ(-ENODEV, drv_ioctl(self->ctx, L3L2Q_IOC_QUERY_DEVICE, &device));
}

TEST_F(create, bad_names_are_refused)
{
	CREATE_FAILS(-EINVAL, c->region_version = 0x40000);
	CREATE_FAILS(-EINVAL, c->region_version = 1);
	CREATE_FAILS(-EINVAL, c->binding = L3L2Q_BINDING_SPSQ + 1);
	CREATE_FAILS(-EINVAL, c->binding = UINT_MAX);
	CREATE_FAILS(-EINVAL, c->identity[0] = 1);
	CREATE_FAILS(-EINVAL, c->identity[1] = 1);
	/* SPSQ has a transaction id, and no raw regions. */
	CREATE_FAILS(-EINVAL, c->binding = L3L2Q_BINDING_SPSQ);
	CREATE_FAILS(-EINVAL, c->binding = L3L2Q_BINDING_SPSQ, c->identity[0] = 1);
	CREATE_FAILS(-EINVAL, drv_create_init_raw(c, 4096, 64), c->binding = L3L2Q_BINDING_SPSQ,
		     c->identity[1] = 1);
	CREATE_FAILS(-EINVAL, c->tag[0] = '\n');
	CREATE_FAILS(-EINVAL, c->tag[0] = 0x7f);
	CREATE_FAILS(-EINVAL, c->tag[0] = 0x80);
	CREATE_FAILS(-EINVAL, memset(c->tag, 'x', sizeof(c->tag)));
	CREATE_FAILS(-EINVAL, c->tag[1] = 'x');
	CREATE_FAILS(-EOPNOTSUPP, c->counter_source = 1);
	CREATE_FAILS(-EOPNOTSUPP, c->counter_source_bytes = 4096);
}

/* True if fdinfo of @fd has the line. */
static bool create_shows(int fd, const char *line)
{
	char path[64], all[4096];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return strstr(drv_read_file(path, all, sizeof(all)), line);
}

static void create_both(struct __test_metadata *_metadata, FIXTURE_DATA(create) *self, int fd[2])
{
	fd[0] = drv_create(self->ctx, &self->c);
	ASSERT_LE(0, fd[0]);
	fd[1] = drv_open_peer(fd[0]);
	ASSERT_LE(0, fd[1]);
}

/* Both ends see what the creator said, the longest tag included. */
TEST_F(create, names_are_shown_to_both_ends)
{
	static const char tag[] = "0123456789 abcdef ~!/ 0123456789";
	struct l3l2q_info info;
	int fd[2], i;

	memcpy(self->c.tag, tag, L3L2Q_TAG_BYTES - 1);
	self->c.region_version = 0x30000;
	create_both(_metadata, self, fd);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, drv_info(fd[i], &info));
		EXPECT_EQ(0, memcmp(info.tag, self->c.tag, sizeof(info.tag)));
		EXPECT_EQ(0x30000, info.region_version);
		EXPECT_EQ(L3L2Q_REGION_V3, info.region.magic_version);
		EXPECT_EQ(L3L2Q_BINDING_L3Q2, info.binding);
		EXPECT_EQ(0, info.identity[0] | info.identity[1]);
		EXPECT_TRUE(create_shows(fd[i], "\nl3l2q-tag:\t0123456789 abcdef ~!/ 012345678\n"));
		EXPECT_TRUE(create_shows(fd[i], "\nl3l2q-identity:\t0 0\n") ||
			    create_shows(fd[i], "\nl3l2q-identity:\t0x0 0x0\n"));
		close(fd[i]);
	}
}

/* A queue in the SPSQ binding: the session bits may be anything. */
TEST_F(create, spsq_is_shown_to_both_ends)
{
	struct l3l2q_info info;
	int fd[2], i;

	self->c.binding = L3L2Q_BINDING_SPSQ;
	self->c.identity[1] = 42;
	create_both(_metadata, self, fd);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, drv_info(fd[i], &info));
		EXPECT_EQ(L3L2Q_BINDING_SPSQ, info.binding);
		EXPECT_EQ(0, info.identity[0]);
		EXPECT_EQ(42, info.identity[1]);
		EXPECT_EQ(L3L2Q_SPSQ_VERSION, info.queue.magic_version);
		EXPECT_EQ(self->c.depth, info.queue.depth);
		EXPECT_EQ(L3L2Q_REGION_V2, info.region.magic_version);
		EXPECT_TRUE(create_shows(fd[i], "\nl3l2q-binding:\tSPSQ\n"));
		EXPECT_TRUE(create_shows(fd[i], " 0x2a\n"));
		close(fd[i]);
	}
}

TEST_F(create, bad_depth_is_einval)
{
	CREATE_FAILS(-EINVAL, c->depth = 3);
	CREATE_FAILS(-EINVAL, c->depth = 5);
	CREATE_FAILS(-EINVAL, c->depth = 6);
	CREATE_FAILS(-EINVAL, c->depth = 1000);
	CREATE_FAILS(-EINVAL, c->depth = (1u << 30) + 1);
	CREATE_FAILS(-EINVAL, c->depth = 1u << 31);
	CREATE_FAILS(-EINVAL, c->depth = UINT_MAX);
}

TEST_F(create, bad_arenas_are_einval)
{
	CREATE_FAILS(-EINVAL, c->input_arena_bytes = 0);
	CREATE_FAILS(-EINVAL, c->output_arena_bytes = 0);
	CREATE_FAILS(-EINVAL, c->input_arena_bytes = 1);
	CREATE_FAILS(-EINVAL, c->input_arena_bytes = 63);
	CREATE_FAILS(-EINVAL, c->input_arena_bytes = 65);
	CREATE_FAILS(-EINVAL, c->output_arena_bytes = 32);
	CREATE_FAILS(-EINVAL, c->output_arena_bytes = 4095);
}

TEST_F(create, overflowing_sizes_are_einval)
{
	CREATE_FAILS(-EINVAL, c->input_arena_bytes = ~0ull & ~63ull);
	CREATE_FAILS(-EINVAL, c->output_arena_bytes = ~0ull & ~63ull);
	CREATE_FAILS(-EINVAL, c->input_arena_bytes = 1ull << 63;
		     c->output_arena_bytes = 1ull << 63);
}

TEST_F(create, too_large_is_efbig)
{
	__u64 max = self->query.max_region_bytes;

	CREATE_FAILS(-EFBIG, c->input_arena_bytes = max);
	CREATE_FAILS(-EFBIG, c->output_arena_bytes = max);
	CREATE_FAILS(-EFBIG, c->input_arena_bytes = 1ull << 62);
	CREATE_FAILS(-EFBIG, c->output_arena_bytes = 1ull << 63);
	CREATE_RAW_FAILS(-EFBIG, max + 1, 4);
	CREATE_RAW_FAILS(-EFBIG, max + 4096, 4);
	CREATE_RAW_FAILS(-EFBIG, 1ull << 63, 4);
	CREATE_RAW_FAILS(-EFBIG, ~0ull, 4);
	CREATE_RAW_FAILS(-EFBIG, 4096, self->query.max_counter_bytes + 4);
	CREATE_RAW_FAILS(-EFBIG, 4096, 1ull << 63);
	CREATE_RAW_FAILS(-EFBIG, 4096, ~3ull);
}

TEST_F(create, bad_raw_sizes_are_einval)
{
	CREATE_RAW_FAILS(-EINVAL, 0, 0);
	CREATE_RAW_FAILS(-EINVAL, 4096, 0);
	CREATE_RAW_FAILS(-EINVAL, 0, 64);
	CREATE_RAW_FAILS(-EINVAL, 4096, 1);
	CREATE_RAW_FAILS(-EINVAL, 4096, 63);
	CREATE_RAW_FAILS(-EINVAL, 4096, 66);
}

TEST_F(create, geometry_and_raw_sizes_do_not_mix)
{
	CREATE_FAILS(-EINVAL, c->payload_bytes = 4096);
	CREATE_FAILS(-EINVAL, c->counter_bytes = 384);
	/* right ones are still unwelcome */
	CREATE_FAILS(-EINVAL, c->payload_bytes = 2 * DRV_DEPTH * 32 + 2 * DRV_ARENA;
		     c->counter_bytes = 384);
	CREATE_FAILS(-EINVAL, c->depth = 0);
	CREATE_FAILS(-EINVAL, c->depth = 0; c->payload_bytes = 4096; c->counter_bytes = 64);
	CREATE_FAILS(-EINVAL, c->depth = 0; c->input_arena_bytes = 0;
		     c->payload_bytes = 4096; c->counter_bytes = 64);
}

TEST_F(create, unknown_role_is_einval)
{
	CREATE_FAILS(-EINVAL, c->role = 2);
	CREATE_FAILS(-EINVAL, c->role = UINT_MAX);
}

TEST_F(create, backends_that_are_not_there_are_eopnotsupp)
{
	if (!(self->query.features & L3L2Q_FEATURE_PCI))
		CREATE_FAILS(-EOPNOTSUPP, c->backend = L3L2Q_BACKEND_PCI);
	if (!(self->query.features & L3L2Q_FEATURE_DMABUF))
		CREATE_FAILS(-EOPNOTSUPP, c->backend = L3L2Q_BACKEND_DMABUF);
	if (!(self->query.features & L3L2Q_FEATURE_ASCEND))
		CREATE_FAILS(-EOPNOTSUPP, c->backend = L3L2Q_BACKEND_ASCEND);
}

TEST_F(create, unknown_backends_are_einval)
{
	CREATE_FAILS(-EINVAL, c->backend = 4);
	CREATE_FAILS(-EINVAL, c->backend = UINT_MAX);
}

TEST_F(create, ram_takes_no_source)
{
	CREATE_FAILS(-EINVAL, c->source = 1);
	CREATE_FAILS(-EINVAL, c->source_bytes = 4096);
}

TEST_F(create, numa_node_goes_with_its_flag)
{
	int fd;

	CREATE_FAILS(-EINVAL, c->numa_node = 1);
	CREATE_FAILS(-EINVAL, c->numa_node = -1);
	CREATE_FAILS(-EINVAL, c->flags = L3L2Q_CREATE_NUMA; c->numa_node = -1);
	CREATE_FAILS(-EINVAL, c->flags = L3L2Q_CREATE_NUMA; c->numa_node = 1023);
	CREATE_FAILS(-EINVAL, c->flags = L3L2Q_CREATE_NUMA; c->numa_node = INT_MAX);
	CREATE_FAILS(-EINVAL, c->flags = L3L2Q_CREATE_NUMA; c->numa_node = INT_MIN);
	self->c.flags = L3L2Q_CREATE_NUMA;
	self->c.numa_node = 0;
	fd = drv_create(self->ctx, &self->c);
	EXPECT_LE(0, fd);
	close(fd);
}

TEST_F(create, no_fd_left_is_emfile_and_costs_nothing)
{
	struct rlimit old, few;
	struct l3l2q_create c = self->c;
	int fd, peer;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	few = old;
	few.rlim_cur = (rlim_t)self->ctx + 1;	/* the highest fd in use */
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
	EXPECT_EQ(-EMFILE, drv_create(self->ctx, &c));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));

	drv_create_init(&c);
	fd = drv_create(self->ctx, &c);
	ASSERT_LE(0, fd);
	few.rlim_cur = (rlim_t)fd + 1;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
	EXPECT_EQ(-EMFILE, drv_open_peer(fd));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	/* the failed attempt was not the one that there is */
	peer = drv_open_peer(fd);
	EXPECT_LE(0, peer);
	close(peer);
	close(fd);
}

TEST_F(create, region_ids_are_unique_and_not_zero)
{
	__u64 ids[32];
	int i, j, fd;

	for (i = 0; i < 32; i++) {
		drv_create_init(&self->c);
		fd = drv_create(self->ctx, &self->c);
		ASSERT_LE(0, fd);
		ids[i] = self->c.region_id;
		EXPECT_NE(0, ids[i]);
		for (j = 0; j < i; j++) {
			EXPECT_NE(ids[j], ids[i]);
		}
		close(fd);
	}
}

TEST_F(create, a_region_outlives_its_context)
{
	struct drv_ep ep;
	int fd = drv_create(self->ctx, &self->c);

	ASSERT_LE(0, fd);
	close(self->ctx);
	self->ctx = -1;
	drv_ep_init(&ep, fd);
	EXPECT_EQ(0, drv_ep_map(&ep));
	EXPECT_EQ(0, drv_set(fd, L3L2Q_CTR_INPUT_TAIL, 7));
	EXPECT_EQ(7, drv_load(&ep, L3L2Q_CTR_INPUT_TAIL));
	drv_ep_unmap_all(&ep);
	close(fd);
}

/* ---- INFO -------------------------------------------------------------- */

FIXTURE(info)
{
	struct drv_pair p;
	struct l3l2q_create c;
};

FIXTURE_VARIANT(info)
{
	__u32 role;
	__u32 flags;
	__u32 version;
	__u32 depth;
	__u64 input;
	__u64 output;
	__u64 payload;	/* raw */
	__u64 counters;
};

FIXTURE_VARIANT_ADD(info, depth1) { .depth = 1, .input = 64, .output = 64 };
FIXTURE_VARIANT_ADD(info, depth4) { .depth = 4, .input = 128, .output = 192 };
FIXTURE_VARIANT_ADD(info, depth8_from_l2) {
	.role = L3L2Q_ROLE_L2, .depth = 8, .input = 192, .output = 64 };
FIXTURE_VARIANT_ADD(info, version3) {
	.version = 3 << 16, .depth = 2, .input = 64, .output = 64 };
FIXTURE_VARIANT_ADD(info, version2) {
	.version = 2 << 16, .depth = 2, .input = 64, .output = 64 };
FIXTURE_VARIANT_ADD(info, odd_arenas) { .depth = 64, .input = 64 * 77, .output = 64 * 1025 };
FIXTURE_VARIANT_ADD(info, silent) {
	.flags = L3L2Q_CREATE_SILENT_PEER, .depth = 4, .input = 4096, .output = 4096 };
FIXTURE_VARIANT_ADD(info, raw_tiny) { .payload = 1, .counters = 4 };
FIXTURE_VARIANT_ADD(info, raw_odd) { .payload = 4097, .counters = 4096 + 4 };
FIXTURE_VARIANT_ADD(info, raw_from_l2) {
	.role = L3L2Q_ROLE_L2, .payload = 65536, .counters = 64 };

FIXTURE_SETUP(info)
{
	drv_create_init_raw(&self->c, variant->payload, variant->counters);
	self->c.role = variant->role;
	self->c.flags = variant->flags;
	self->c.region_version = variant->version;
	self->c.depth = variant->depth;
	self->c.input_arena_bytes = variant->input;
	self->c.output_arena_bytes = variant->output;
	drv_pair_create(_metadata, &self->p, &self->c);
}

FIXTURE_TEARDOWN(info)
{
	drv_pair_close(&self->p);
}

TEST_F(info, scalars_describe_the_region)
{
	struct l3l2q_info *l3 = &self->p.l3.info, *l2 = &self->p.l2.info;
	struct l3l2q_layout layout = { 0 };

	EXPECT_EQ(variant->version == 3 << 16 ? L3L2Q_REGION_V3 : L3L2Q_REGION_V2,
		  l3->region.magic_version);
	EXPECT_EQ(self->c.region_id, l3->region.region_id);
	EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_region_check(&l3->region));
	EXPECT_EQ(0, memcmp(&l3->region, &l2->region, sizeof(l3->region)));
	EXPECT_EQ(0, memcmp(&l3->queue, &l2->queue, sizeof(l3->queue)));
	EXPECT_EQ(0, l3->region.payload_base % 64);
	EXPECT_NE(0, l3->region.payload_base)
		TH_LOG("the oldest reference rejects a zero base");
	if (variant->depth) {
		EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_queue_check(&l3->region, &l3->queue, &layout));
		EXPECT_EQ(variant->depth, layout.depth);
		EXPECT_EQ(variant->input, layout.input_arena_bytes);
		EXPECT_EQ(variant->output, layout.output_arena_bytes);
	} else {
		struct l3l2q_queue_desc zero = { 0 };

		EXPECT_EQ(variant->payload, l3->region.payload_bytes);
		EXPECT_EQ(variant->counters, l3->region.counter_bytes);
		EXPECT_EQ(0, memcmp(&zero, &l3->queue, sizeof(zero)));
	}
}

TEST_F(info, both_ends_are_described)
{
	struct l3l2q_info *l3 = &self->p.l3.info, *l2 = &self->p.l2.info;
	bool silent = variant->flags & L3L2Q_CREATE_SILENT_PEER;

	EXPECT_EQ(L3L2Q_BACKEND_RAM, l3->backend);
	EXPECT_EQ(L3L2Q_MEMORY_CACHED, l3->memory);
	EXPECT_EQ(L3L2Q_MEMORY_CACHED, l2->memory);
	EXPECT_EQ(0, l3->flags);
	/* "the other role only loads and stores", seen from the creator */
	EXPECT_EQ(silent ? L3L2Q_PEER_SILENT : L3L2Q_PEER_ARMS, l3->peer_kind);
	EXPECT_EQ(L3L2Q_PEER_ARMS, l2->peer_kind);
	EXPECT_EQ(L3L2Q_STATE_OPEN, l3->state);
	EXPECT_EQ(L3L2Q_STATE_OPEN, l2->state);
	EXPECT_EQ(L3L2Q_STATE_OPEN, l2->peer_state);
	ASSERT_EQ(0, drv_ep_map(&self->p.l2));
	ASSERT_EQ(0, drv_ep_look(&self->p.l3));
	EXPECT_EQ(L3L2Q_STATE_OPEN, l3->state);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, l3->peer_state);
}

TEST_F(info, mappings_are_whole_pages_and_apart)
{
	__u64 page = (__u64)sysconf(_SC_PAGESIZE);
	const struct l3l2q_mapping *m = self->p.l3.info.map;
	int i, j;

	for (i = 0; i < L3L2Q_MAPS; i++) {
		EXPECT_EQ(0, m[i].offset % page);
		EXPECT_EQ(0, m[i].length % page);
		EXPECT_NE(0, m[i].length);
		EXPECT_LT(m[i].delta, m[i].length);
		EXPECT_EQ(0, m[i].delta % 64);
		EXPECT_EQ(0, m[i].pad);
		for (j = 0; j < i; j++) {
			EXPECT_TRUE(m[i].offset + m[i].length <= m[j].offset ||
				    m[j].offset + m[j].length <= m[i].offset);
		}
	}
	EXPECT_LE(self->p.l3.info.region.payload_bytes,
		  m[L3L2Q_MAP_PAYLOAD].length - m[L3L2Q_MAP_PAYLOAD].delta);
	EXPECT_LE(self->p.l3.info.region.counter_bytes,
		  m[L3L2Q_MAP_COUNTERS].length - m[L3L2Q_MAP_COUNTERS].delta);
}

TEST_F(info, memory_starts_zeroed)
{
	const char zero[64] = { 0 };
	__u64 i;

	drv_pair_map(_metadata, &self->p);
	for (i = 0; i < self->p.l3.info.region.payload_bytes; i++) {
		ASSERT_EQ(0, self->p.l3.payload[i]);
	}
	for (i = 0; i < self->p.l2.info.region.counter_bytes; i++) {
		ASSERT_EQ(0, self->p.l2.counters[i]);
	}
	/* the pages' ends are part of what a user sees */
	for (i = 0; i < self->p.l3.info.map[L3L2Q_MAP_PAYLOAD].length; i++) {
		ASSERT_EQ(0, ((char *)self->p.l3.map[L3L2Q_MAP_PAYLOAD])[i]);
	}
	EXPECT_EQ(0, memcmp(zero, self->p.l3.own, sizeof(zero)));
	EXPECT_EQ(0, memcmp(zero, self->p.l2.own, sizeof(zero)));
	EXPECT_EQ(0, self->p.l3.status->removed);
}

TEST_F(info, memory_of_a_dead_region_does_not_reappear)
{
	struct drv_pair next;
	__u64 bytes = self->p.l3.info.region.payload_bytes, i;

	drv_pair_map(_metadata, &self->p);
	memset(self->p.l3.payload, 0xa5, bytes);
	memset(self->p.l3.counters, 0xa5, self->p.l3.info.region.counter_bytes);
	memset(self->p.l3.own, 0xa5, sizeof(*self->p.l3.own));
	drv_pair_close(&self->p);

	self->c.fd = -1;
	drv_pair_create(_metadata, &next, &self->c);
	drv_pair_map(_metadata, &next);
	for (i = 0; i < bytes; i++) {
		ASSERT_EQ(0, next.l3.payload[i]);
	}
	for (i = 0; i < next.l3.info.region.counter_bytes; i++) {
		ASSERT_EQ(0, next.l3.counters[i]);
	}
	EXPECT_EQ(0, next.l3.own->armed);
	drv_pair_close(&next);
}

TEST_F(info, stats_count_the_memory)
{
	struct l3l2q_stats stats;

	ASSERT_EQ(0, drv_stats(self->p.l3.fd, &stats));
	EXPECT_LE(self->p.l3.info.region.payload_bytes + self->p.l3.info.region.counter_bytes,
		  stats.region_bytes);
	EXPECT_EQ(0, stats.flags);
}

/* ---- OPEN_PEER --------------------------------------------------------- */

FIXTURE(peer)
{
	int ctx;
	int fd;
};

FIXTURE_VARIANT(peer)
{
	__u32 role;
};

FIXTURE_VARIANT_ADD(peer, of_l3) { .role = L3L2Q_ROLE_L3 };
FIXTURE_VARIANT_ADD(peer, of_l2) { .role = L3L2Q_ROLE_L2 };

FIXTURE_SETUP(peer)
{
	struct l3l2q_create create;

	drv_create_init(&create);
	create.role = variant->role;
	self->ctx = drv_open();
	ASSERT_LE(0, self->ctx);
	self->fd = drv_create(self->ctx, &create);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(peer)
{
	close(self->ctx);
	close(self->fd);
}

TEST_F(peer, has_the_other_role)
{
	struct l3l2q_open_peer peer = { .size = sizeof(peer), .role = 55, .fd = -1 };
	struct l3l2q_info info;

	ASSERT_EQ(0, drv_info(self->fd, &info));
	EXPECT_EQ(variant->role, info.role);
	EXPECT_EQ(L3L2Q_STATE_NONE, info.peer_state);
	ASSERT_EQ(0, drv_ioctl(self->fd, L3L2Q_IOC_OPEN_PEER, &peer));
	EXPECT_EQ(l3l2q_peer_role(variant->role), peer.role);
	EXPECT_EQ(FD_CLOEXEC, fcntl(peer.fd, F_GETFD));
	ASSERT_EQ(0, drv_info(peer.fd, &info));
	EXPECT_EQ(l3l2q_peer_role(variant->role), info.role);
	close(peer.fd);
}

TEST_F(peer, a_second_one_is_ebusy)
{
	int peer = drv_open_peer(self->fd);

	ASSERT_LE(0, peer);
	EXPECT_EQ(-EBUSY, drv_open_peer(self->fd));
	/* nor after it has ended: a role lives once */
	close(peer);
	EXPECT_EQ(-EBUSY, drv_open_peer(self->fd));
}

TEST_F(peer, a_second_one_is_ebusy_after_detach)
{
	int peer = drv_open_peer(self->fd);

	ASSERT_LE(0, peer);
	EXPECT_EQ(0, drv_detach(peer));
	EXPECT_EQ(-EBUSY, drv_open_peer(self->fd));
	close(peer);
	EXPECT_EQ(-EBUSY, drv_open_peer(self->fd));
}

TEST_F(peer, cannot_open_its_peer)
{
	int peer = drv_open_peer(self->fd);

	ASSERT_LE(0, peer);
	EXPECT_EQ(-EPERM, drv_open_peer(peer));
	close(peer);
}

struct peer_race {
	pthread_barrier_t *start;
	int fd;
	int ret;
};

static void *peer_racer(void *arg)
{
	struct peer_race *race = arg;

	pthread_barrier_wait(race->start);
	race->ret = drv_open_peer(race->fd);
	return NULL;
}

TEST_F(peer, of_racing_openers_one_wins)
{
	struct l3l2q_create create;
	struct peer_race race[4];
	pthread_barrier_t start;
	pthread_t threads[4];
	int round, i, won;

	for (round = 0; round < 50; round++) {
		drv_create_init(&create);
		create.role = variant->role;
		close(self->fd);
		self->fd = drv_create(self->ctx, &create);
		ASSERT_LE(0, self->fd);
		pthread_barrier_init(&start, NULL, 4);
		for (i = 0; i < 4; i++) {
			race[i] = (struct peer_race) { .start = &start, .fd = self->fd };
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, peer_racer, &race[i]));
		}
		won = 0;
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, pthread_join(threads[i], NULL));
			if (race[i].ret >= 0) {
				won++;
				close(race[i].ret);
			} else {
				EXPECT_EQ(-EBUSY, race[i].ret);
			}
		}
		EXPECT_EQ(1, won);
		pthread_barrier_destroy(&start);
	}
}

TEST_F(peer, that_never_came_is_no_hang_up)
{
	EXPECT_EQ(0, drv_poll(self->fd, 0, 0));
	EXPECT_EQ(0, drv_poll(self->fd, POLLIN | POLLPRI, 0));
}

/* ---- who may ----------------------------------------------------------- */

#define TEST_GID 4242
#define TEST_UID 4243

FIXTURE(permission)
{
	struct stat old;
};

FIXTURE_SETUP(permission)
{
	ASSERT_EQ(0, stat(DRV_NODE, &self->old));
	ASSERT_EQ(0, chown(DRV_NODE, 0, TEST_GID));
	ASSERT_EQ(0, chmod(DRV_NODE, 0660));
}

FIXTURE_TEARDOWN(permission)
{
	chown(DRV_NODE, self->old.st_uid, self->old.st_gid);
	chmod(DRV_NODE, self->old.st_mode & 07777);
}

static int permission_drop(gid_t group)
{
	if (setgroups(group ? 1 : 0, &group) || setresgid(TEST_UID, TEST_UID, TEST_UID) ||
	    setresuid(TEST_UID, TEST_UID, TEST_UID))
		return -errno;
	return 0;
}

TEST_F(permission, a_user_outside_the_nodes_group_gets_eacces)
{
	struct drv_child child;

	if (!drv_fork(_metadata, &child)) {
		EXPECT_EQ(0, permission_drop(0));
		EXPECT_EQ(-EACCES, drv_open());
		_exit(0);
	}
	EXPECT_EQ(0, drv_reap(&child));
}

TEST_F(permission, a_user_in_the_nodes_group_can_do_everything)
{
	struct drv_child child;

	if (!drv_fork(_metadata, &child)) {
		struct drv_pair pair;
		struct drv_waited waited;

		ASSERT_EQ(0, permission_drop(TEST_GID));
		drv_pair_queue(_metadata, &pair);
		EXPECT_EQ(0, drv_set(pair.l3.fd, L3L2Q_CTR_INPUT_TAIL, 1));
		EXPECT_EQ(0, drv_wait(pair.l2.fd, L3L2Q_EVENT_IN, NULL, 0,
				      L3L2Q_WAIT_FOREVER, &waited));
		EXPECT_EQ(L3L2Q_EVENT_IN, waited.revents);
		EXPECT_EQ(0, drv_set_polling(pair.l3.fd, L3L2Q_PEER_SILENT, 0, 0));
		EXPECT_EQ(0, drv_detach(pair.l3.fd));
		drv_pair_close(&pair);
		_exit(0);
	}
	EXPECT_EQ(0, drv_reap(&child));
}

TEST_F(permission, a_handed_over_endpoint_needs_no_access_to_the_node)
{
	struct l3l2q_create create;
	struct drv_child child;
	struct drv_pair pair;
	int fd;

	/* the child exists before the region does, so it inherits nothing */
	if (!drv_fork(_metadata, &child)) {
		struct drv_ep ep;

		ASSERT_EQ(0, permission_drop(0));
		ASSERT_EQ(-EACCES, drv_open());
		fd = drv_recv_fd(child.sock);
		ASSERT_LE(0, fd);
		drv_ep_init(&ep, fd);
		ASSERT_EQ(0, drv_ep_map(&ep));
		EXPECT_EQ(0, drv_set(fd, L3L2Q_CTR_OUTPUT_TAIL, 1));
		EXPECT_EQ(0, drv_detach(fd));
		_exit(0);
	}
	/* not mapped here: then it would belong to this process */
	drv_create_init(&create);
	drv_pair_create(_metadata, &pair, &create);
	ASSERT_TRUE(drv_send_fd(child.sock, pair.l2.fd));
	EXPECT_EQ(EPOLLIN, drv_poll(pair.l3.fd, POLLIN, DRV_HANG_MS) & EPOLLIN);
	EXPECT_EQ(0, drv_reap(&child));
	EXPECT_EQ(0, drv_load_fd(pair.l3.fd, L3L2Q_CTR_L2_ABORT));
	drv_pair_close(&pair);
}

TEST_HARNESS_MAIN
