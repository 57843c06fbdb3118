// SPDX-License-Identifier: GPL-2.0-only
/* QUERY_REGION: what is told of regions, to whom, and that looking changes nothing. */
#include "drv_util.h"

#define TEST_UID	4321u
#define TAG		"observe test"

static int query_region(int ctx, __u64 above, struct l3l2q_query_region *region)
{
	memset(region, 0x5c, sizeof(*region));
	region->size = sizeof(*region);
	region->flags = 0;
	region->id = above;
	return drv_ioctl(ctx, L3L2Q_IOC_QUERY_REGION, region);
}

/* The region with this very id. */
static int find_region(int ctx, __u64 id, struct l3l2q_query_region *region)
{
	int ret = query_region(ctx, id - 1, region);

	return ret ? ret : region->id == id ? 0 : -ENOENT;
}

/* The last id that there is, or 0. */
static __u64 last_region(int ctx)
{
	struct l3l2q_query_region region;
	__u64 id = 0;

	while (!query_region(ctx, id, &region))
		id = region.id;
	return id;
}

FIXTURE(observe)
{
	struct drv_pair p;
	struct l3l2q_create create;
	struct l3l2q_query_region region;
	__u64 id;
};

FIXTURE_SETUP(observe)
{
	drv_create_init(&self->create);
	self->create.region_version = 3 << 16;
	self->create.binding = L3L2Q_BINDING_SPSQ;
	self->create.identity[0] = 0x1234;
	self->create.identity[1] = 42;
	strcpy((char *)self->create.tag, TAG);
	drv_pair_create(_metadata, &self->p, &self->create);
	self->id = self->create.region_id;
}

FIXTURE_TEARDOWN(observe)
{
	drv_pair_close(&self->p);
}

#define CTX	(self->p.ctx)
#define L3	(&self->p.l3)
#define L2	(&self->p.l2)
#define REGION	(&self->region)
#define END(r)	(&self->region.ends[r])

TEST_F(observe, tells_what_create_was_given)
{
	static const struct l3l2q_process nobody;
	char comm[16] = "";

	ASSERT_EQ(0, find_region(CTX, self->id, REGION));
	EXPECT_EQ(L3L2Q_BACKEND_RAM, REGION->backend);
	EXPECT_EQ(L3L2Q_MEMORY_CACHED, REGION->memory);
	EXPECT_EQ(L3L2Q_BINDING_SPSQ, REGION->binding);
	EXPECT_EQ(3u << 16, REGION->region_version);
	EXPECT_EQ(0x1234, REGION->identity[0]);
	EXPECT_EQ(42, REGION->identity[1]);
	EXPECT_STREQ(TAG, (char *)REGION->tag);
	EXPECT_EQ(DRV_DEPTH, REGION->depth);
	EXPECT_EQ(0, REGION->removed);
	EXPECT_EQ(DRV_ARENA, REGION->input_arena_bytes);
	EXPECT_EQ(DRV_ARENA, REGION->output_arena_bytes);
	EXPECT_EQ(L3->info.region.payload_bytes, REGION->payload_bytes);
	EXPECT_EQ(L3->info.region.counter_bytes, REGION->counter_bytes);
	EXPECT_LE(REGION->payload_bytes + REGION->counter_bytes, REGION->region_bytes);
	EXPECT_GT(3600ull * 1000000000, REGION->age_ns);

	prctl(PR_GET_NAME, comm);
	EXPECT_EQ(getuid(), REGION->creator.uid);
	EXPECT_EQ(getpid(), REGION->creator.pid);
	EXPECT_STREQ(comm, (char *)REGION->creator.comm);
	EXPECT_EQ(L3L2Q_STATE_OPEN, END(L3L2Q_ROLE_L3)->state);
	EXPECT_EQ(L3L2Q_STATE_OPEN, END(L3L2Q_ROLE_L2)->state);
	EXPECT_EQ(0, memcmp(&END(L3L2Q_ROLE_L3)->process, &nobody, sizeof(nobody)));
	EXPECT_EQ(0, memcmp(&END(L3L2Q_ROLE_L2)->process, &nobody, sizeof(nobody)));
	EXPECT_EQ(L3L2Q_NEVER, END(L3L2Q_ROLE_L2)->woken_ns);
}

TEST_F(observe, tells_counters_and_control_words)
{
	int i;

	drv_pair_map(_metadata, &self->p);
	for (i = 0; i < 6; i++)
		drv_store(i == 0 || i == 3 || i == 4 ? L3 : L2, 64 * (unsigned int)i,
			  100 + (unsigned int)i);
	drv_consumer(L2, L3L2Q_CONSUMER_SEEN, 7);
	drv_producer(L3, L3L2Q_PRODUCER_NEED, 9);
	drv_arm_store(L2, L3L2Q_EVENT_IN);
	ASSERT_EQ(0, find_region(CTX, self->id, REGION));
	for (i = 0; i < 6; i++)
		EXPECT_EQ(100 + i, REGION->counters[i]);
	EXPECT_EQ(L3L2Q_CONSUMER_SEEN, END(L3L2Q_ROLE_L2)->consumer_flags);
	EXPECT_EQ(7, END(L3L2Q_ROLE_L2)->seen_tail);
	EXPECT_EQ(L3L2Q_PRODUCER_NEED, END(L3L2Q_ROLE_L3)->producer_flags);
	EXPECT_EQ(9, END(L3L2Q_ROLE_L3)->need_head);
	EXPECT_EQ(L3L2Q_EVENT_IN, END(L3L2Q_ROLE_L2)->armed);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, END(L3L2Q_ROLE_L2)->state);
	EXPECT_EQ(getpid(), END(L3L2Q_ROLE_L2)->process.pid);
	/* Looking has disarmed nobody. */
	EXPECT_EQ(L3L2Q_EVENT_IN, drv_armed(L2->own));
}

TEST_F(observe, tells_sleepers_and_when_they_were_woken)
{
	struct drv_sleeper s;
	int efd = drv_eventfd_new();

	drv_pair_map(_metadata, &self->p);
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_ABORT, efd));
	drv_sleeper_start_wait(_metadata, &s, L2->fd, L3L2Q_EVENT_IN, NULL, 0);
	ASSERT_TRUE(drv_sleeper_sleeps(&s));
	ASSERT_EQ(0, find_region(CTX, self->id, REGION));
	EXPECT_EQ(1, END(L3L2Q_ROLE_L2)->waits);
	EXPECT_EQ(1, END(L3L2Q_ROLE_L2)->eventfds);
	EXPECT_EQ(0, END(L3L2Q_ROLE_L3)->waits);
	EXPECT_EQ(L3L2Q_NEVER, END(L3L2Q_ROLE_L2)->woken_ns);

	drv_publish_tail(L3, 1);
	drv_sleeper_join(_metadata, &s);
	ASSERT_EQ(0, find_region(CTX, self->id, REGION));
	EXPECT_EQ(0, END(L3L2Q_ROLE_L2)->waits);
	EXPECT_GE(REGION->age_ns, END(L3L2Q_ROLE_L2)->woken_ns);
	drv_sleeper_done(&s);
	close(efd);
}

TEST_F(observe, tells_how_each_role_ended_and_who_it_was)
{
	struct drv_child child;

	if (!drv_fork(_metadata, &child)) {
		prctl(PR_SET_NAME, "other side");
		if (drv_ep_map(L2))
			_exit(1);
		drv_say(child.sock, 'm');
		drv_hear_forever(child.sock);
	}
	ASSERT_EQ('m', drv_hear(child.sock));
	ASSERT_EQ(0, find_region(CTX, self->id, REGION));
	EXPECT_EQ(child.pid, END(L3L2Q_ROLE_L2)->process.pid);
	EXPECT_STREQ("other side", (char *)END(L3L2Q_ROLE_L2)->process.comm);
	EXPECT_EQ(0, END(L3L2Q_ROLE_L3)->gone);
	drv_kill(&child);
	ASSERT_EQ(0, find_region(CTX, self->id, REGION));
	EXPECT_EQ(L3L2Q_STATE_DEAD, END(L3L2Q_ROLE_L2)->state);
	EXPECT_EQ(L3L2Q_GONE_ABORTED, END(L3L2Q_ROLE_L3)->gone);
	EXPECT_EQ(1, REGION->counters[5]);
	EXPECT_STREQ("other side", (char *)END(L3L2Q_ROLE_L2)->process.comm);

	ASSERT_EQ(0, drv_detach(L3->fd));
	ASSERT_EQ(0, find_region(CTX, self->id, REGION));
	EXPECT_EQ(L3L2Q_STATE_DETACHED, END(L3L2Q_ROLE_L3)->state);
	EXPECT_EQ(L3L2Q_GONE_DETACHED, END(L3L2Q_ROLE_L2)->gone);
	EXPECT_EQ(0, REGION->counters[4]);
}

TEST_F(observe, lists_regions_by_ascending_ids_and_each_once)
{
	struct l3l2q_create create;
	int fds[5], i, found = 0;
	__u64 id = self->id, ids[5];

	for (i = 0; i < 5; i++) {
		drv_create_init_raw(&create, 1, 4);
		fds[i] = drv_create(CTX, &create);
		ASSERT_LE(0, fds[i]);
		ids[i] = create.region_id;
	}
	close(fds[2]);
	while (!query_region(CTX, id, REGION)) {
		EXPECT_LT(id, REGION->id);
		EXPECT_NE(ids[2], REGION->id);
		EXPECT_EQ(0, REGION->depth);
		EXPECT_EQ(0, REGION->counters[0]);
		id = REGION->id;
		for (i = 0; i < 5; i++)
			found += ids[i] == id;
	}
	EXPECT_EQ(4, found);
	EXPECT_EQ(-ENOENT, query_region(CTX, ~0ull, REGION));
	EXPECT_EQ(-ENOENT, query_region(CTX, ids[4], REGION));
	for (i = 0; i < 5; i++)
		if (i != 2)
			close(fds[i]);
}

TEST_F(observe, attaches_nothing_and_keeps_nothing)
{
	ASSERT_EQ(0, find_region(CTX, self->id, REGION));
	ASSERT_EQ(0, find_region(CTX, self->id, REGION));
	EXPECT_EQ(L3L2Q_STATE_OPEN, END(L3L2Q_ROLE_L2)->state);
	drv_pair_map(_metadata, &self->p);
	drv_ep_unmap_all(L2);
	drv_ep_close(L2);
	ASSERT_EQ(0, find_region(CTX, self->id, REGION));
	drv_ep_unmap_all(L3);
	drv_ep_close(L3);
	EXPECT_EQ(-ENOENT, find_region(CTX, self->id, REGION));
}

TEST_F(observe, others_see_their_own_regions_only)
{
	struct l3l2q_query_region mine;
	struct drv_child child;

	if (!drv_fork(_metadata, &child)) {
		struct l3l2q_create create;
		int fd;

		ASSERT_EQ(0, setresuid(TEST_UID, TEST_UID, TEST_UID));
		EXPECT_EQ(0, last_region(CTX));
		drv_create_init(&create);
		fd = drv_create(CTX, &create);
		EXPECT_LE(0, fd);
		EXPECT_EQ(create.region_id, last_region(CTX));
		EXPECT_EQ(0, query_region(CTX, 0, &mine));
		EXPECT_EQ(create.region_id, mine.id);
		EXPECT_EQ(TEST_UID, mine.creator.uid);
		drv_say(child.sock, 'c');
		drv_hear(child.sock);
		_exit(_metadata->exit_code);
	}
	ASSERT_EQ('c', drv_hear(child.sock));
	EXPECT_LT(self->id, last_region(CTX));
	ASSERT_EQ(0, find_region(CTX, last_region(CTX), &mine));
	EXPECT_EQ(TEST_UID, mine.creator.uid);
	EXPECT_EQ(child.pid, mine.creator.pid);
	drv_say(child.sock, 'e');
	EXPECT_EQ(0, drv_reap(&child));
}

/* With all capabilities in a user namespace of one's own, but none where regions were made. */
TEST_F(observe, a_namespace_of_ones_own_grants_nothing)
{
	struct drv_child child;
	int ret;

	if (!drv_fork(_metadata, &child)) {
		ASSERT_EQ(0, setresuid(TEST_UID, TEST_UID, TEST_UID));
		if (unshare(CLONE_NEWUSER))
			_exit(77);
		_exit(last_region(CTX) != 0);
	}
	ret = drv_reap(&child);
	if (ret == 77)
		SKIP(return, "no user namespaces for users");
	EXPECT_EQ(0, ret);
}

/* Pids are those of the caller's namespace, 0 for processes that are not in it. */
TEST_F(observe, pids_are_the_callers)
{
	struct drv_child child;
	pid_t inner;
	int ret;

	if (!drv_fork(_metadata, &child)) {
		struct l3l2q_query_region region;

		if (unshare(CLONE_NEWPID))
			_exit(77);
		inner = fork();
		if (!inner) {
			if (find_region(CTX, self->id, &region) || region.creator.pid)
				_exit(1);
			if (drv_ep_map(L2) || find_region(CTX, self->id, &region))
				_exit(2);
			_exit(region.ends[L3L2Q_ROLE_L2].process.pid == 1 ? 0 : 3);
		}
		if (waitpid(inner, &ret, 0) != inner)
			_exit(4);
		_exit(WEXITSTATUS(ret));
	}
	ret = drv_reap(&child);
	if (ret == 77)
		SKIP(return, "no pid namespaces");
	EXPECT_EQ(0, ret);
}

/* Regions come and go, opened, attached and killed, while others look. */
TEST_F(observe, looks_while_regions_come_and_go)
{
	struct drv_child children[3];
	int i, j, rounds = drv_rounds(2000);
	__u64 id;

	for (i = 0; i < 3; i++) {
		if (drv_fork(_metadata, &children[i]))
			continue;
		for (j = 0; j < rounds; j++) {
			struct l3l2q_create create;
			struct drv_ep ep;

			drv_create_init(&create);
			drv_ep_init(&ep, drv_create(CTX, &create));
			if (ep.fd < 0 || drv_ep_look(&ep) || (j & 1 && drv_ep_map(&ep)))
				_exit(1);
			drv_ep_unmap_all(&ep);
			drv_ep_close(&ep);
		}
		_exit(0);
	}
	for (j = 0; j < rounds; j++) {
		id = self->id - 1;
		ASSERT_EQ(0, query_region(CTX, id, REGION));
		ASSERT_EQ(self->id, REGION->id);
		for (id = self->id; !query_region(CTX, id, REGION); id = REGION->id)
			ASSERT_LT(id, REGION->id);
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, drv_reap(&children[i]));
}

TEST_F(observe, descriptors_say_what_they_are)
{
	char path[64], name[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", L3->fd);
	ASSERT_LT(0, readlink(path, name, sizeof(name) - 1));
	EXPECT_STREQ("anon_inode:l3l2q-l3", name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", L2->fd);
	memset(name, 0, sizeof(name));
	ASSERT_LT(0, readlink(path, name, sizeof(name) - 1));
	EXPECT_STREQ("anon_inode:l3l2q-l2", name);
}

TEST_HARNESS_MAIN
