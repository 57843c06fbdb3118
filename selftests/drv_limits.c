// SPDX-License-Identifier: GPL-2.0-only
/* How much may be had: sizes, per user, per memory cgroup. */
#include "npu_util.h"

#include <sys/mount.h>

#define PARAM(name)	"/sys/module/l3l2q/parameters/" name
#define MIB		(1ull << 20)
#define TEST_UID	4244
#define OTHER_UID	4344

/* ---- sizes ------------------------------------------------------------- */

FIXTURE(size)
{
	struct drv_pair p;
};

FIXTURE_VARIANT(size)
{
	__u64 bytes;
};

FIXTURE_VARIANT_ADD(size, one_page) { .bytes = 4096 };
FIXTURE_VARIANT_ADD(size, under_2m) { .bytes = 2 * MIB - 4096 };
FIXTURE_VARIANT_ADD(size, exactly_2m) { .bytes = 2 * MIB };
FIXTURE_VARIANT_ADD(size, over_2m) { .bytes = 2 * MIB + 1 };
FIXTURE_VARIANT_ADD(size, odd_5m) { .bytes = 5 * MIB + 12345 };
FIXTURE_VARIANT_ADD(size, some_64m) { .bytes = 64 * MIB };
FIXTURE_VARIANT_ADD(size, some_256m) { .bytes = 256 * MIB };
FIXTURE_VARIANT_ADD(size, over_4g) { .bytes = 4097 * MIB + 4096 };

FIXTURE_SETUP(size)
{
	__u64 have = drv_meminfo("MemAvailable");
	struct l3l2q_create create;
	struct l3l2q_query q;
	int ctx = drv_open();

	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, drv_query(ctx, &q));
	close(ctx);
	if (have < variant->bytes + variant->bytes / 8 + 64 * MIB) {
		SKIP(return, "%llu MiB are available of the %llu that are needed",
		     have / MIB, (variant->bytes + variant->bytes / 8) / MIB + 64);
	}
	if (q.max_region_bytes < variant->bytes) {
		SKIP(return, "no region may be larger than %llu MiB", q.max_region_bytes / MIB);
	}
	drv_create_init_raw(&create, variant->bytes, 4096);
	drv_pair_create(_metadata, &self->p, &create);
	drv_pair_map(_metadata, &self->p);
}

FIXTURE_TEARDOWN(size)
{
	drv_pair_close(&self->p);
}

/*
 * Both ends of each page, if small, else of each half MiB, and of the whole:
 * store or compare a value that belongs to that place only, or zero.
 */
enum size_what { SIZE_IS_ZERO, SIZE_STORE, SIZE_COMPARE };

static bool size_place(char *p, __u64 at, enum size_what what)
{
	__u64 value = what == SIZE_IS_ZERO ? 0 : (at + 1) * 0x9e3779b97f4a7c15ull;

	if (what == SIZE_STORE)
		memcpy(p + at, &value, sizeof(value));
	return !memcmp(p + at, &value, sizeof(value));
}

static bool size_walk(char *p, __u64 n, enum size_what what)
{
	__u64 step = n <= 16 * MIB ? 4096 : MIB / 2, at;

	for (at = 0; at + step <= n; at += step) {
		if (!size_place(p, at, what) || !size_place(p, at + step - 8, what))
			return false;
	}
	/* the rest, if any */
	if (n - at >= 16 && !size_place(p, at, what))
		return false;
	return n - at < 8 || size_place(p, n - 8, what);
}

TEST_F(size, is_zeroed_and_seen_from_both_ends)
{
	struct l3l2q_mapping *m = &self->p.l2.info.map[L3L2Q_MAP_PAYLOAD];
	__u64 n = variant->bytes;
	int err;

	EXPECT_TRUE(size_walk(self->p.l2.payload, n, SIZE_IS_ZERO));
	EXPECT_TRUE(size_walk(self->p.l3.payload, n, SIZE_STORE));
	EXPECT_TRUE(size_walk(self->p.l2.payload, n, SIZE_COMPARE));

	/* the content is the region's, not the mapping's */
	drv_ep_unmap(&self->p.l3, L3L2Q_MAP_PAYLOAD);
	drv_ep_unmap(&self->p.l2, L3L2Q_MAP_PAYLOAD);
	self->p.l2.map[L3L2Q_MAP_PAYLOAD] = drv_mmap(self->p.l2.fd, m, PROT_READ, &err);
	ASSERT_EQ(0, err);
	EXPECT_TRUE(size_walk((char *)self->p.l2.map[L3L2Q_MAP_PAYLOAD] + m->delta, n,
			      SIZE_COMPARE));
}

/* ---- a large queue ----------------------------------------------------- */

TEST(a_deep_queue_works)
{
	struct l3l2q_create create;
	struct drv_pair p;
	struct l3l2q_desc *last;

	if (drv_meminfo("MemAvailable") < 256 * MIB)
		SKIP(return, "not enough memory");
	drv_create_init(&create);
	create.depth = 1u << 20;
	drv_pair_create(_metadata, &p, &create);
	drv_pair_map(_metadata, &p);
	EXPECT_EQ(2ull * 32 * (1u << 20) + 2 * DRV_ARENA, p.l3.info.queue.payload_bytes);
	drv_store(&p.l3, L3L2Q_CTR_INPUT_TAIL, (1u << 20) - 1);
	EXPECT_EQ(POLLOUT, drv_poll(p.l3.fd, POLLOUT, 0));
	drv_store(&p.l3, L3L2Q_CTR_INPUT_TAIL, 1u << 20);
	EXPECT_EQ(0, drv_poll(p.l3.fd, POLLOUT, 0));
	last = (struct l3l2q_desc *)p.l3.payload + (2u << 20) - 1;
	last->seq = 5;
	EXPECT_EQ(5, ((struct l3l2q_desc *)p.l2.payload + (2u << 20) - 1)->seq);
	drv_pair_close(&p);
}

/* ---- per user ---------------------------------------------------------- */

static const struct {
	const char *path, *value;
} quota_params[] = {
	{ PARAM("max_user_mib"), "8" },
	{ PARAM("max_user_window_mib"), "1" },
	{ PARAM("max_user_regions"), "12" },
};

FIXTURE(quota)
{
	char old[ARRAY_SIZE(quota_params)][64];
	struct stat node;
};

FIXTURE_SETUP(quota)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(quota_params); i++) {
		drv_read_file(quota_params[i].path, self->old[i], sizeof(self->old[i]));
		ASSERT_NE(0, self->old[i][0])
			TH_LOG("no %s", quota_params[i].path);
		ASSERT_EQ(0, drv_write_file(quota_params[i].path, quota_params[i].value));
	}
	ASSERT_EQ(0, stat(DRV_NODE, &self->node));
	ASSERT_EQ(0, chmod(DRV_NODE, 0666));
}

FIXTURE_TEARDOWN(quota)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(quota_params); i++)
		drv_write_file(quota_params[i].path, self->old[i]);
	chmod(DRV_NODE, self->node.st_mode & 07777);
}

/* Regions of 1 MiB until one is refused; returns how many there were. */
static int quota_fill(int ctx, int *fds, int max, int *ret)
{
	struct l3l2q_create create;
	int n;

	for (n = 0; n < max; n++) {
		drv_create_init_raw(&create, MIB, 64);
		*ret = drv_create(ctx, &create);
		if (*ret < 0)
			return n;
		fds[n] = *ret;
	}
	return n;
}

static void quota_user(struct __test_metadata *_metadata, uid_t uid)
{
	ASSERT_EQ(0, setgroups(0, NULL));
	ASSERT_EQ(0, setresgid(uid, uid, uid));
	ASSERT_EQ(0, setresuid(uid, uid, uid));
	/* dumpable again, so that its own /proc files are its own */
	prctl(PR_SET_DUMPABLE, 1);
}

TEST_F(quota, is_what_query_says)
{
	struct l3l2q_query q;
	int ctx = drv_open();

	ASSERT_EQ(0, drv_query(ctx, &q));
	EXPECT_EQ(8 * MIB, q.max_user_bytes);
	EXPECT_EQ(MIB, q.max_user_window_bytes);
	EXPECT_EQ(12, q.max_user_regions);
	close(ctx);
}

TEST_F(quota, more_is_edquot_until_something_is_freed)
{
	struct drv_child child;
	int fds[32], n, again, ret, open_fds, ctx;
	struct l3l2q_create create;

	if (!drv_fork(_metadata, &child)) {
		quota_user(_metadata, TEST_UID);
		ctx = drv_open();
		ASSERT_LE(0, ctx);
		n = quota_fill(ctx, fds, 32, &ret);
		EXPECT_EQ(-EDQUOT, ret);
		EXPECT_LE(4, n);
		EXPECT_GE(8, n);
		open_fds = drv_count_fds();
		drv_create_init_raw(&create, MIB, 64);
		EXPECT_EQ(-EDQUOT, drv_create(ctx, &create));
		drv_create_init_raw(&create, 1ull << 30, 64);
		EXPECT_EQ(-EDQUOT, drv_create(ctx, &create));
		EXPECT_EQ(open_fds, drv_count_fds());
		/* the last holder's end frees */
		close(fds[n - 1]);
		drv_create_init_raw(&create, MIB, 64);
		fds[n - 1] = drv_create(ctx, &create);
		EXPECT_LE(0, fds[n - 1]);
		/* refusals cost nothing */
		while (n)
			close(fds[--n]);
		n = quota_fill(ctx, fds, 32, &ret);
		for (again = 0; again < n; again++)
			close(fds[again]);
		again = quota_fill(ctx, fds, 32, &ret);
		EXPECT_EQ(n, again);
		_exit(0);
	}
	EXPECT_EQ(0, drv_reap(&child));
}

TEST_F(quota, mappings_and_peers_keep_it_charged)
{
	struct l3l2q_create create;
	struct drv_child child;
	struct drv_ep l2;
	int fds[32], n, ret, ctx;

	if (!drv_fork(_metadata, &child)) {
		quota_user(_metadata, TEST_UID);
		ctx = drv_open();
		n = quota_fill(ctx, fds, 32, &ret);
		ASSERT_LE(4, n);
		drv_ep_init(&l2, drv_open_peer(fds[0]));
		ASSERT_EQ(0, drv_ep_map(&l2));
		drv_create_init_raw(&create, MIB, 64);
		close(fds[0]);
		EXPECT_EQ(-EDQUOT, drv_create(ctx, &create));
		drv_ep_close(&l2);
		EXPECT_EQ(-EDQUOT, drv_create(ctx, &create));
		drv_ep_unmap_all(&l2);
		EXPECT_LE(0, drv_create(ctx, &create));
		_exit(0);
	}
	EXPECT_EQ(0, drv_reap(&child));
}

TEST_F(quota, is_each_users_own)
{
	int fds[32], n[2], ret, ctx;
	struct drv_child child[2];
	int i;

	for (i = 0; i < 2; i++) {
		if (!drv_fork(_metadata, &child[i])) {
			quota_user(_metadata, TEST_UID + (uid_t)i);
			ctx = drv_open();
			n[i] = quota_fill(ctx, fds, 32, &ret);
			drv_say(child[i].sock, (char)n[i]);
			drv_hear_forever(child[i].sock);
		}
		/* the first still holds all of its own */
		n[i] = drv_hear(child[i].sock);
	}
	EXPECT_LE(4, n[0]);
	EXPECT_EQ(n[0], n[1]);
	drv_kill(&child[0]);
	drv_kill(&child[1]);
}

TEST_F(quota, is_shared_by_a_users_processes)
{
	int fds[32], first, ret, ctx;
	struct drv_child a, b;

	if (!drv_fork(_metadata, &a)) {
		quota_user(_metadata, TEST_UID);
		ctx = drv_open();
		drv_say(a.sock, (char)quota_fill(ctx, fds, 32, &ret));
		drv_hear_forever(a.sock);
	}
	first = drv_hear(a.sock);
	EXPECT_LE(4, first);
	if (!drv_fork(_metadata, &b)) {
		quota_user(_metadata, TEST_UID);
		ctx = drv_open();
		EXPECT_EQ(0, quota_fill(ctx, fds, 32, &ret));
		EXPECT_EQ(-EDQUOT, ret);
		/* until the other one is killed */
		drv_say(b.sock, 'k');
		drv_hear(b.sock);
		EXPECT_EQ(first, quota_fill(ctx, fds, 32, &ret));
		_exit(0);
	}
	EXPECT_EQ('k', drv_hear(b.sock));
	drv_kill(&a);
	drv_say(b.sock, 'k');
	EXPECT_EQ(0, drv_reap(&b));
}

/* Small regions until one is refused; returns how many there were. */
static int quota_fill_small(int ctx, int *fds, int max, int *ret)
{
	struct l3l2q_create create;
	int n;

	for (n = 0; n < max; n++) {
		drv_create_init_raw(&create, 64, 64);
		*ret = drv_create(ctx, &create);
		if (*ret < 0)
			return n;
		fds[n] = *ret;
	}
	return n;
}

TEST_F(quota, counts_regions_too)
{
	struct drv_child child;
	int fds[32], ret = 0, ctx;

	if (!drv_fork(_metadata, &child)) {
		quota_user(_metadata, TEST_UID);
		ctx = drv_open();
		EXPECT_EQ(12, quota_fill_small(ctx, fds, 32, &ret));
		EXPECT_EQ(-EDQUOT, ret);
		/* both ends are one region */
		EXPECT_LE(0, drv_open_peer(fds[0]));
		close(fds[5]);
		fds[5] = -1;
		EXPECT_EQ(1, quota_fill_small(ctx, fds + 5, 1, &ret));
		EXPECT_EQ(0, quota_fill_small(ctx, fds + 12, 1, &ret));
		EXPECT_EQ(-EDQUOT, ret);
		_exit(0);
	}
	EXPECT_EQ(0, drv_reap(&child));
}

TEST_F(quota, does_not_bind_who_may_exceed_it)
{
	int fds[32], ret = 0, ctx = drv_open(), n;

	n = quota_fill_small(ctx, fds, 32, &ret);
	EXPECT_EQ(32, n);
	while (n)
		close(fds[--n]);
	n = quota_fill(ctx, fds, 16, &ret);
	EXPECT_EQ(16, n);
	while (n)
		close(fds[--n]);
	close(ctx);
}

TEST_F(quota, of_window_memory_is_one_of_its_own)
{
	struct l3l2q_query_device window;
	struct l3l2q_create create;
	struct drv_child child;
	int ctx = drv_open(), fds[4], ret, i;

	NPU_REQUIRE(ctx, 1);
	ASSERT_EQ(0, npu_query_device(ctx, 0, &window));
	if (!drv_fork(_metadata, &child)) {
		quota_user(_metadata, TEST_UID);
		for (i = 0; i < 2; i++) {
			npu_create_init_raw(&create, window.id, MIB / 2 - 4096, 64);
			fds[i] = drv_create(ctx, &create);
			EXPECT_LE(0, fds[i]);
		}
		npu_create_init_raw(&create, window.id, 64, 64);
		EXPECT_EQ(-EDQUOT, drv_create(ctx, &create));
		/* where memory of the machine can still be had */
		drv_create_init_raw(&create, MIB, 64);
		EXPECT_LE(0, drv_create(ctx, &create));
		close(fds[0]);
		npu_create_init_raw(&create, window.id, 64, 64);
		fds[0] = drv_create(ctx, &create);
		EXPECT_LE(0, fds[0]);
		_exit(0);
	}
	EXPECT_EQ(0, drv_reap(&child));
	/* all of it came back, and root is not bound */
	for (i = 0; i < 4; i++) {
		npu_create_init_raw(&create, window.id, MIB - 4096, 64);
		fds[i] = drv_create(ctx, &create);
		EXPECT_LE(0, fds[i]);
	}
	for (i = 0; i < 4; i++)
		close(fds[i]);
	ret = drv_write_file(PARAM("max_user_window_mib"), "0");
	EXPECT_EQ(0, ret);
	close(ctx);
}

/* Tell the parent to map the users of this process's new user namespace. */
static bool quota_unshare(int sock)
{
	if (unshare(CLONE_NEWUSER)) {
		drv_say(sock, 's');
		return false;
	}
	drv_say(sock, 'u');
	return drv_hear(sock) == 'm';
}

static int quota_map_users(pid_t pid)
{
	char path[64], map[64];
	int ret;

	snprintf(map, sizeof(map), "0 %u 1\n1 %u 8\n", TEST_UID, OTHER_UID);
	snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
	ret = drv_write_file(path, map);
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	return ret ? ret : drv_write_file(path, map);
}

/*
 * In a user namespace, with all capabilities there and with several users: what
 * these hold together counts for the owner of the namespace.
 */
TEST_F(quota, cannot_be_had_anew_in_a_user_namespace)
{
	struct drv_child child;
	int fds[32], ret = 0, ctx, heard;

	if (!drv_fork(_metadata, &child)) {
		quota_user(_metadata, TEST_UID);
		ctx = drv_open();
		EXPECT_EQ(4, quota_fill_small(ctx, fds, 4, &ret));
		if (!quota_unshare(child.sock))
			_exit(0);
		/* its root, which is TEST_UID outside */
		EXPECT_EQ(0, drv_errno(setresuid(0, 0, 0)));
		EXPECT_EQ(4, quota_fill_small(ctx, fds + 4, 4, &ret));
		/* another user of it */
		EXPECT_EQ(0, drv_errno(setresuid(1, 1, 1)));
		EXPECT_EQ(2, quota_fill_small(ctx, fds + 8, 2, &ret));
		/* a namespace in it, whose owner is that user */
		EXPECT_EQ(0, drv_errno(unshare(CLONE_NEWUSER)));
		EXPECT_EQ(2, quota_fill_small(ctx, fds + 10, 22, &ret));
		EXPECT_EQ(-EDQUOT, ret);
		drv_say(child.sock, 'f');
		drv_hear_forever(child.sock);
	}
	heard = drv_hear(child.sock);
	if (heard == 's') {
		drv_reap(&child);
		SKIP(return, "no user namespaces for users");
	}
	ASSERT_EQ('u', heard);
	ASSERT_EQ(0, quota_map_users(child.pid));
	drv_say(child.sock, 'm');
	ASSERT_EQ('f', drv_hear(child.sock));

	/* the owner has nothing left outside either, the other user has */
	if (!fork()) {
		quota_user(_metadata, TEST_UID);
		ctx = drv_open();
		EXPECT_EQ(0, quota_fill_small(ctx, fds, 1, &ret));
		EXPECT_EQ(-EDQUOT, ret);
		_exit(0);
	}
	EXPECT_LE(0, wait(NULL));
	if (!fork()) {
		quota_user(_metadata, OTHER_UID);
		ctx = drv_open();
		EXPECT_EQ(12 - 4, quota_fill_small(ctx, fds, 32, &ret));
		_exit(0);
	}
	EXPECT_LE(0, wait(NULL));
	drv_kill(&child);

	/* all came back */
	if (!fork()) {
		quota_user(_metadata, TEST_UID);
		ctx = drv_open();
		EXPECT_EQ(12, quota_fill_small(ctx, fds, 32, &ret));
		_exit(0);
	}
	EXPECT_LE(0, wait(NULL));
}

/* ---- per memory cgroup ------------------------------------------------- */

#define CGROUP	"/tmp/drv_limits.cgroup"

static int cgroup_make(void)
{
	mkdir(CGROUP, 0755);
	if (mount("cgroup2", CGROUP, "cgroup2", 0, NULL))
		return -errno;
	if (drv_write_file(CGROUP "/cgroup.subtree_control", "+memory"))
		return -EOPNOTSUPP;
	if (mkdir(CGROUP "/drv", 0755) && errno != EEXIST)
		return -errno;
	return drv_write_file(CGROUP "/drv/memory.max", "33554432");
}

static void cgroup_undo(void)
{
	rmdir(CGROUP "/drv");
	umount(CGROUP);
	rmdir(CGROUP);
}

TEST(a_memory_cgroups_limit_is_enomem_and_kills_nobody)
{
	struct l3l2q_create create;
	struct drv_child child;
	char events[512];
	int ctx, fd, i, fds;

	if (drv_meminfo("MemAvailable") < 384 * MIB)
		SKIP(return, "not enough memory for the limit to be what is hit");
	if (cgroup_make()) {
		cgroup_undo();
		SKIP(return, "no memory cgroups (v2)");
	}
	if (!drv_fork(_metadata, &child)) {
		ASSERT_EQ(0, drv_write_file(CGROUP "/drv/cgroup.procs", "0"));
		ctx = drv_open();
		fds = drv_count_fds();
		for (i = 0; i < 3; i++) {
			drv_create_init_raw(&create, 256 * MIB, 64);
			EXPECT_EQ(-ENOMEM, drv_create(ctx, &create));
			EXPECT_EQ(fds, drv_count_fds());
		}
		/* what fits still can be had, again and again: all comes back */
		for (i = 0; i < 16; i++) {
			drv_create_init_raw(&create, 16 * MIB, 64);
			fd = drv_create(ctx, &create);
			EXPECT_LE(0, fd);
			close(fd);
		}
		_exit(0);
	}
	EXPECT_EQ(0, drv_reap(&child));
	drv_read_file(CGROUP "/drv/memory.events", events, sizeof(events));
	EXPECT_NE(NULL, strstr(events, "oom_kill 0"))
		TH_LOG("%s", events);
	cgroup_undo();
}

TEST(a_killed_creator_stops_allocating)
{
	struct l3l2q_create create;
	struct drv_child child;
	int ctx;

	if (drv_meminfo("MemAvailable") < 700 * MIB)
		SKIP(return, "not enough memory");
	/* whenever it comes, nothing is left and nothing hangs */
	if (!drv_fork(_metadata, &child)) {
		ctx = drv_open();
		drv_say(child.sock, 'g');
		for (;;) {
			drv_create_init_raw(&create, 512 * MIB, 64);
			close(drv_create(ctx, &create));
		}
	}
	ASSERT_EQ('g', drv_hear(child.sock));
	drv_observe(50);
	EXPECT_EQ(1000 + SIGKILL, drv_kill(&child));
	ctx = drv_open();
	drv_create_init_raw(&create, 512 * MIB, 64);
	child.sock = drv_create(ctx, &create);
	EXPECT_LE(0, child.sock);
	close(child.sock);
	close(ctx);
}

TEST_HARNESS_MAIN
