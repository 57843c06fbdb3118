// SPDX-License-Identifier: GPL-2.0-only
/*
 * QUERY_REGION and observers: what is told of regions, to whom, and that looking changes
 * nothing.
 */
#include "drv_util.h"

#define TEST_UID	4321u
#define TAG		"observe test"

/* The last id that there is, or 0. */
static __u64 last_region(int ctx)
{
	struct l3l2q_query_region region;
	__u64 id = 0;

	while (!drv_query_region(ctx, id, &region))
		id = region.id;
	return id;
}

/* The whole of fdinfo, in a buffer of the caller's. */
static const char *fdinfo(int fd, char *text, size_t size)
{
	char path[64];
	ssize_t n;
	int f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = open(path, O_RDONLY | O_CLOEXEC);
	n = f < 0 ? 0 : read(f, text, size - 1);
	text[n > 0 ? n : 0] = 0;
	if (f >= 0)
		close(f);
	return text;
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

	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
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
	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
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
	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
	EXPECT_EQ(1, END(L3L2Q_ROLE_L2)->waits);
	EXPECT_EQ(1, END(L3L2Q_ROLE_L2)->eventfds);
	EXPECT_EQ(0, END(L3L2Q_ROLE_L3)->waits);
	EXPECT_EQ(L3L2Q_NEVER, END(L3L2Q_ROLE_L2)->woken_ns);

	drv_publish_tail(L3, 1);
	drv_sleeper_join(_metadata, &s);
	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
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
	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
	EXPECT_EQ(child.pid, END(L3L2Q_ROLE_L2)->process.pid);
	EXPECT_STREQ("other side", (char *)END(L3L2Q_ROLE_L2)->process.comm);
	EXPECT_EQ(0, END(L3L2Q_ROLE_L3)->gone);
	drv_kill(&child);
	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
	EXPECT_EQ(L3L2Q_STATE_DEAD, END(L3L2Q_ROLE_L2)->state);
	EXPECT_EQ(L3L2Q_GONE_ABORTED, END(L3L2Q_ROLE_L3)->gone);
	EXPECT_EQ(1, REGION->counters[5]);
	EXPECT_STREQ("other side", (char *)END(L3L2Q_ROLE_L2)->process.comm);

	ASSERT_EQ(0, drv_detach(L3->fd));
	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
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
	while (!drv_query_region(CTX, id, REGION)) {
		EXPECT_LT(id, REGION->id);
		EXPECT_NE(ids[2], REGION->id);
		EXPECT_EQ(0, REGION->depth);
		EXPECT_EQ(0, REGION->counters[0]);
		id = REGION->id;
		for (i = 0; i < 5; i++)
			found += ids[i] == id;
	}
	EXPECT_EQ(4, found);
	EXPECT_EQ(-ENOENT, drv_query_region(CTX, ~0ull, REGION));
	EXPECT_EQ(-ENOENT, drv_query_region(CTX, ids[4], REGION));
	for (i = 0; i < 5; i++)
		if (i != 2)
			close(fds[i]);
}

TEST_F(observe, attaches_nothing_and_keeps_nothing)
{
	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
	EXPECT_EQ(L3L2Q_STATE_OPEN, END(L3L2Q_ROLE_L2)->state);
	drv_pair_map(_metadata, &self->p);
	drv_ep_unmap_all(L2);
	drv_ep_close(L2);
	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
	drv_ep_unmap_all(L3);
	drv_ep_close(L3);
	EXPECT_EQ(-ENOENT, drv_find_region(CTX, self->id, REGION));
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
		EXPECT_EQ(0, drv_query_region(CTX, 0, &mine));
		EXPECT_EQ(create.region_id, mine.id);
		EXPECT_EQ(TEST_UID, mine.creator.uid);
		drv_say(child.sock, 'c');
		drv_hear(child.sock);
		_exit(_metadata->exit_code);
	}
	ASSERT_EQ('c', drv_hear(child.sock));
	EXPECT_LT(self->id, last_region(CTX));
	ASSERT_EQ(0, drv_find_region(CTX, last_region(CTX), &mine));
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
			if (drv_find_region(CTX, self->id, &region) || region.creator.pid)
				_exit(1);
			if (drv_ep_map(L2) || drv_find_region(CTX, self->id, &region))
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
		ASSERT_EQ(0, drv_query_region(CTX, id, REGION));
		ASSERT_EQ(self->id, REGION->id);
		for (id = self->id; !drv_query_region(CTX, id, REGION); id = REGION->id)
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

/* ---- why it ended -------------------------------------------------------- */

TEST_F(observe, tells_who_has_set_an_abort_flag)
{
	struct drv_child child;
	char text[8192];

	if (!drv_fork(_metadata, &child)) {
		if (drv_ep_map(L2))
			_exit(1);
		drv_say(child.sock, 'm');
		drv_hear_forever(child.sock);
	}
	ASSERT_EQ('m', drv_hear(child.sock));
	ASSERT_EQ(0, drv_ep_map(L3));
	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
	EXPECT_EQ(L3L2Q_ABORT_NONE, REGION->aborts[L3L2Q_ROLE_L3]);
	EXPECT_EQ(L3L2Q_ABORT_NONE, REGION->aborts[L3L2Q_ROLE_L2]);
	EXPECT_EQ(L3L2Q_REMOVAL_NONE, REGION->removal);
	drv_kill(&child);
	drv_publish_abort(L3);
	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
	EXPECT_EQ(L3L2Q_ABORT_ROLE, REGION->aborts[L3L2Q_ROLE_L3]);
	EXPECT_EQ(L3L2Q_ABORT_DEATH, REGION->aborts[L3L2Q_ROLE_L2]);
	EXPECT_NE(NULL, strstr(fdinfo(L3->fd, text, sizeof(text)), "l3l2q-l3-aborted:\t1\n"));
	EXPECT_NE(NULL, strstr(text, "l3l2q-l2-aborted:\t2\n"));
	EXPECT_NE(NULL, strstr(text, "l3l2q-removal:\t0\n"));
	/* Its death afterwards does not change who it was. */
	drv_ep_unmap_all(L3);
	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
	EXPECT_EQ(L3L2Q_STATE_DEAD, END(L3L2Q_ROLE_L3)->state);
	EXPECT_EQ(L3L2Q_ABORT_ROLE, REGION->aborts[L3L2Q_ROLE_L3]);
}

/* ---- observers ----------------------------------------------------------- */

FIXTURE(observer)
{
	struct drv_pair p;
	struct l3l2q_query_region region;
	struct l3l2q_observe o;
	__u64 id;
	size_t page;
};

FIXTURE_SETUP(observer)
{
	drv_pair_queue(_metadata, &self->p);
	self->id = self->p.l3.info.region.region_id;
	self->page = (size_t)sysconf(_SC_PAGESIZE);
	ASSERT_LE(0, drv_observer(CTX, self->id, L3L2Q_OBSERVE_PAYLOAD, &self->o));
}

FIXTURE_TEARDOWN(observer)
{
	if (self->o.fd >= 0)
		close(self->o.fd);
	drv_pair_close(&self->p);
}

#define O	(&self->o)

struct view {
	const int *counters;
	const char *payload;
	const struct l3l2q_status *status;
};

static void map_view(struct __test_metadata *_metadata, const struct l3l2q_observe *o,
		     struct view *view)
{
	int err;

	view->counters = drv_mmap(o->fd, &o->map[L3L2Q_MAP_COUNTERS], PROT_READ, &err);
	ASSERT_EQ(0, err);
	view->payload = drv_mmap(o->fd, &o->map[L3L2Q_MAP_PAYLOAD], PROT_READ, &err);
	ASSERT_EQ(0, err);
	view->status = drv_mmap(o->fd, &o->map[L3L2Q_MAP_STATUS], PROT_READ, &err);
	ASSERT_EQ(0, err);
}

TEST_F(observer, sees_what_the_ends_share)
{
	const struct l3l2q_control *l2;
	struct view view;
	int err, i;

	map_view(_metadata, O, &view);
	l2 = drv_mmap(O->fd, &O->map[L3L2Q_MAP_PEER_CONTROL], PROT_READ, &err);
	ASSERT_EQ(0, err);
	drv_store(L3, 0, 5);
	drv_arm_store(L2, L3L2Q_EVENT_IN);
	strcpy(L3->payload + 300, "body");
	EXPECT_EQ(5, view.counters[0]);
	EXPECT_EQ(L3L2Q_EVENT_IN, drv_armed(l2));
	EXPECT_STREQ("body", view.payload + 300);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, view.status->state[L3L2Q_ROLE_L2]);
	for (i = 0; i < L3L2Q_MAPS; i++) {
		EXPECT_NE(0, O->map[i].length);
		EXPECT_EQ(0, O->map[i].delta);
	}
}

TEST_F(observer, reads_what_mappings_show)
{
	char text[8] = "", *all = malloc(L3->info.region.payload_bytes + 1);
	struct l3l2q_control control;
	int value = 0;

	ASSERT_NE(NULL, all);
	drv_store(L2, 64, 9);
	drv_arm_store(L2, L3L2Q_EVENT_OUT);
	strcpy(L3->payload + 300, "body");
	L3->payload[L3->info.region.payload_bytes - 1] = 'z';
	EXPECT_EQ(4, drv_read_at(O->fd, &value, 4, &O->map[L3L2Q_MAP_COUNTERS], 64));
	EXPECT_EQ(9, value);
	EXPECT_EQ(5, drv_read_at(O->fd, text, 5, &O->map[L3L2Q_MAP_PAYLOAD], 300));
	EXPECT_STREQ("body", text);
	EXPECT_EQ(sizeof(control), drv_read_at(O->fd, &control, sizeof(control),
					   &O->map[L3L2Q_MAP_PEER_CONTROL], 0));
	EXPECT_EQ(L3L2Q_EVENT_OUT, control.armed);
	/* Across pages, and as far as it goes. */
	EXPECT_EQ(L3->info.region.payload_bytes,
		  drv_read_at(O->fd, all, L3->info.region.payload_bytes + 1,
			  &O->map[L3L2Q_MAP_PAYLOAD], 0));
	EXPECT_EQ('z', all[L3->info.region.payload_bytes - 1]);
	EXPECT_EQ(0, drv_read_at(O->fd, all, 1, &O->map[L3L2Q_MAP_PAYLOAD],
			     L3->info.region.payload_bytes));
	EXPECT_EQ(0, drv_read_at(O->fd, all, 4, &O->map[L3L2Q_MAP_COUNTERS], 384));
	EXPECT_EQ(-EINVAL, drv_errno(pread(O->fd, all, 1, 0)));
	EXPECT_EQ(-EINVAL, drv_errno(pread(O->fd, all, 1, (off_t)6 << 40)));
	EXPECT_EQ(-EINVAL, drv_errno(pread(O->fd, all, 1, LLONG_MAX)));
	EXPECT_EQ(-EFAULT, drv_read_at(O->fd, (void *)-4096l, 4, &O->map[L3L2Q_MAP_COUNTERS], 0));
	free(all);
}

/* The memory that is read into may be the region's own. */
TEST_F(observer, reads_into_a_mapping_of_the_region)
{
	drv_store(L2, 64, 0x1234);
	EXPECT_EQ(4, drv_read_at(O->fd, L3->payload + 512, 4, &O->map[L3L2Q_MAP_COUNTERS], 64));
	EXPECT_EQ(0x1234, *(int *)(L3->payload + 512));
}

TEST_F(observer, cannot_write)
{
	char c = 1;
	void *p;
	int err, i, mem;

	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	for (i = 0; i < L3L2Q_MAPS; i++) {
		p = drv_mmap(O->fd, &O->map[i], PROT_READ | PROT_WRITE, &err);
		EXPECT_EQ(NULL, p);
		EXPECT_EQ(-EACCES, err);
		p = drv_mmap(O->fd, &O->map[i], PROT_READ | PROT_EXEC, &err);
		EXPECT_EQ(NULL, p);
		EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ, MAP_PRIVATE, O->fd,
					   (off_t)O->map[i].offset));
		p = drv_mmap(O->fd, &O->map[i], PROT_READ, &err);
		ASSERT_EQ(0, err);
		EXPECT_EQ(-EACCES, drv_errno(mprotect(p, self->page, PROT_READ | PROT_WRITE)));
		EXPECT_EQ(-EACCES, drv_errno(mprotect(p, self->page, PROT_READ | PROT_EXEC)));
		if (mem >= 0)
			EXPECT_NE(1, pwrite(mem, &c, 1, (off_t)(uintptr_t)p));
	}
	EXPECT_EQ(-EBADF, drv_errno(write(O->fd, &c, 1)));
	EXPECT_GT(0, pwrite(O->fd, &c, 1, (off_t)O->map[0].offset));
	EXPECT_EQ(0, drv_load(L3, 0));
	close(mem);
}

TEST_F(observer, no_call_of_endpoints_works)
{
	char buf[512] = { 0 };
	struct pollfd pfd = { .fd = O->fd, .events = POLLPRI };
	int nr, epfd = epoll_create1(EPOLL_CLOEXEC);

	for (nr = 0; nr < 256; nr++) {
		EXPECT_EQ(nr >= 0x10 && nr <= 0x1c ? -EPERM : -ENOTTY,
			  drv_ioctl(O->fd, _IO(L3L2Q_IOC_TYPE, nr), buf))
			TH_LOG("nr %#x", nr);
	}
	EXPECT_EQ(-ENOTTY, drv_ioctl(O->fd, _IO(0xE2, 0x10), buf));
	EXPECT_EQ(-ENOTTY, drv_ioctl(O->fd, _IOWR(L3L2Q_IOC_TYPE, 0x10, char[16]), buf));
	/* There is nothing to wait for. */
	EXPECT_EQ(0, poll(&pfd, 1, 0));
	EXPECT_EQ(-EPERM, drv_epoll_add(epfd, O->fd, EPOLLIN));
	EXPECT_EQ(FD_CLOEXEC, fcntl(O->fd, F_GETFD));
	EXPECT_EQ(0, drv_armed(L3->own));
	EXPECT_EQ(0, drv_armed(L2->own));
	close(epfd);
}

TEST_F(observer, attaches_nothing_and_is_counted)
{
	struct l3l2q_create create;
	struct l3l2q_observe o;
	struct drv_pair p;
	char text[4096];
	int err;

	drv_create_init(&create);
	drv_pair_create(_metadata, &p, &create);
	ASSERT_LE(0, drv_observer(p.ctx, create.region_id, 0, &o));
	drv_mmap(o.fd, &o.map[L3L2Q_MAP_COUNTERS], PROT_READ, &err);
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, drv_find_region(p.ctx, create.region_id, REGION));
	EXPECT_EQ(L3L2Q_STATE_OPEN, END(L3L2Q_ROLE_L3)->state);
	EXPECT_EQ(L3L2Q_STATE_OPEN, END(L3L2Q_ROLE_L2)->state);
	EXPECT_EQ(1, REGION->observers);
	EXPECT_NE(NULL, strstr(fdinfo(o.fd, text, sizeof(text)), "l3l2q-observers:\t1\n"));
	EXPECT_NE(NULL, strstr(text, "l3l2q-observer:\trings\n"));
	close(o.fd);
	drv_pair_close(&p);
}

TEST_F(observer, is_named_and_tells_what_endpoints_tell)
{
	char path[64], name[64] = "", ours[8192], theirs[8192], *line;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", O->fd);
	ASSERT_LT(0, readlink(path, name, sizeof(name) - 1));
	EXPECT_STREQ("anon_inode:l3l2q-observer", name);
	fdinfo(O->fd, ours, sizeof(ours));
	fdinfo(L3->fd, theirs, sizeof(theirs));
	EXPECT_NE(NULL, strstr(ours, "l3l2q-observer:\tpayload\n"));
	for (line = strtok(ours, "\n"); line; line = strtok(NULL, "\n")) {
		if (strncmp(line, "l3l2q-", 6) || strstr(line, "-ns:") ||
		    strstr(line, "l3l2q-observer:"))
			continue;
		EXPECT_NE(NULL, strstr(theirs, line))
			TH_LOG("%s", line);
	}
	snprintf(path, sizeof(path), "l3l2q-l2-process:\tpid %d uid %u comm ", getpid(), getuid());
	EXPECT_NE(NULL, strstr(theirs, path));
	EXPECT_NE(NULL, strstr(theirs, "l3l2q-creator:\tpid "));
}

TEST_F(observer, does_not_hide_a_death_nor_keep_a_detached_queue)
{
	drv_ep_unmap(L2, L3L2Q_MAP_COUNTERS);
	EXPECT_EQ(L3L2Q_STATE_DEAD, L3->status->state[L3L2Q_ROLE_L2]);
	EXPECT_EQ(1, drv_load(L3, L3L2Q_CTR_L2_ABORT));
	EXPECT_EQ(DRV_DEAD, drv_poll(L3->fd, POLLPRI, 0) & DRV_DEAD);
	ASSERT_EQ(0, drv_detach(L3->fd));
	ASSERT_EQ(0, drv_find_region(CTX, self->id, REGION));
	EXPECT_EQ(L3L2Q_STATE_DETACHED, END(L3L2Q_ROLE_L3)->state);
}

TEST_F(observer, does_not_keep_the_region)
{
	struct view view;
	char text[1024];
	int value, err;

	map_view(_metadata, O, &view);
	drv_store(L3, 0, 5);
	L3->payload[300] = 'x';
	EXPECT_EQ(5, view.counters[0]);
	EXPECT_EQ('x', view.payload[300]);
	EXPECT_NE(0, ((const int *)view.status)[1]);

	drv_ep_unmap_all(L3);
	drv_ep_unmap_all(L2);
	drv_ep_close(L3);
	drv_ep_close(L2);
	EXPECT_EQ(-ENOENT, drv_find_region(CTX, self->id, REGION));
	EXPECT_EQ(0, *(const volatile int *)view.counters);
	EXPECT_EQ(0, *(const volatile char *)(view.payload + 300));
	EXPECT_EQ(0, ((const volatile int *)view.status)[1]);
	EXPECT_EQ(-ENODEV, drv_read_at(O->fd, &value, 4, &O->map[L3L2Q_MAP_COUNTERS], 0));
	EXPECT_EQ(NULL, drv_mmap(O->fd, &O->map[L3L2Q_MAP_COUNTERS], PROT_READ, &err));
	EXPECT_EQ(-ENODEV, err);
	EXPECT_EQ(-EPERM, drv_detach(O->fd));
	EXPECT_EQ(NULL, strstr(fdinfo(O->fd, text, sizeof(text)), "l3l2q-region:"));
}

/* Without the capability the user sees descriptors, of its own regions. */
TEST_F(observer, bodies_need_the_capability)
{
	struct drv_child child;

	if (!drv_fork(_metadata, &child)) {
		struct l3l2q_create create;
		struct l3l2q_desc desc;
		struct l3l2q_observe o;
		struct drv_ep ep;
		__u64 rings = 2 * 64 * sizeof(desc);
		int err;

		ASSERT_EQ(0, setresuid(TEST_UID, TEST_UID, TEST_UID));
		EXPECT_EQ(-ENOENT, drv_observer(CTX, self->id, 0, &o));
		EXPECT_EQ(-ENOENT, drv_observer(CTX, self->id, L3L2Q_OBSERVE_PAYLOAD, &o));
		drv_create_init(&create);
		create.depth = 64;
		drv_ep_init(&ep, drv_create(CTX, &create));
		ASSERT_EQ(0, drv_ep_map(&ep));
		EXPECT_EQ(-EPERM, drv_observer(CTX, create.region_id, L3L2Q_OBSERVE_PAYLOAD, &o));
		ASSERT_LE(0, drv_observer(CTX, create.region_id, 0, &o));
		*(__u64 *)ep.payload = 77;
		EXPECT_EQ(sizeof(desc), drv_read_at(o.fd, &desc, sizeof(desc), &o.map[0], 0));
		EXPECT_EQ(77, desc.seq);
		EXPECT_EQ(8, drv_read_at(o.fd, &desc, sizeof(desc), &o.map[0], rings - 8));
		EXPECT_EQ(-EPERM, drv_read_at(o.fd, &desc, sizeof(desc), &o.map[0], rings));
		/* In whole pages. */
		EXPECT_EQ(rings & ~(self->page - 1), o.map[0].length);
		if (o.map[0].length)
			EXPECT_NE(NULL, drv_mmap(o.fd, &o.map[0], PROT_READ, &err));
		o.map[0].length += self->page;
		EXPECT_EQ(NULL, drv_mmap(o.fd, &o.map[0], PROT_READ, &err));
		EXPECT_EQ(-EPERM, err);
		close(o.fd);
		drv_ep_unmap_all(&ep);
		drv_ep_close(&ep);
		_exit(_metadata->exit_code);
	}
	EXPECT_EQ(0, drv_reap(&child));
}

TEST_F(observer, sees_raw_regions_without_descriptors)
{
	struct l3l2q_create create;
	struct l3l2q_observe o;
	struct drv_pair p;
	int value[2] = { 1, 1 };

	drv_create_init_raw(&create, 64, 8);
	drv_pair_create(_metadata, &p, &create);
	ASSERT_LE(0, drv_observer(CTX, create.region_id, 0, &o));
	EXPECT_EQ(0, o.map[L3L2Q_MAP_PAYLOAD].length);
	EXPECT_EQ(-EPERM, drv_read_at(o.fd, value, 4, &o.map[L3L2Q_MAP_PAYLOAD], 0));
	EXPECT_EQ(4, drv_read_at(o.fd, value, sizeof(value), &o.map[L3L2Q_MAP_COUNTERS], 4));
	EXPECT_EQ(0, value[0]);
	EXPECT_EQ(1, value[1]);
	close(o.fd);
	drv_pair_close(&p);
}

/* Regions end under observers that fault and read. */
TEST_F(observer, looks_while_regions_end)
{
	struct drv_child child;
	int i, rounds = drv_rounds(400), seen = 0;

	if (!drv_fork(_metadata, &child)) {
		for (i = 0; i < rounds; i++) {
			struct l3l2q_create create;
			struct drv_ep ep;

			drv_create_init(&create);
			drv_ep_init(&ep, drv_create(CTX, &create));
			if (ep.fd < 0 || drv_ep_map(&ep))
				_exit(1);
			sched_yield();
			drv_ep_unmap_all(&ep);
			drv_ep_close(&ep);
		}
		_exit(0);
	}
	while (waitpid(child.pid, &i, WNOHANG) == 0) {
		const volatile char *map;
		struct l3l2q_observe o;
		int value, err;

		if (drv_query_region(CTX, self->id, REGION) ||
		    drv_observer(CTX, REGION->id, L3L2Q_OBSERVE_PAYLOAD, &o) < 0)
			continue;
		map = drv_mmap(o.fd, &o.map[L3L2Q_MAP_PAYLOAD], PROT_READ, &err);
		if (map) {
			EXPECT_EQ(0, map[0]);
			munmap((void *)map, o.map[L3L2Q_MAP_PAYLOAD].length);
		}
		err = drv_read_at(o.fd, &value, 4, &o.map[L3L2Q_MAP_COUNTERS], 0);
		EXPECT_TRUE(err == 4 || err == -ENODEV);
		close(o.fd);
		seen++;
	}
	EXPECT_EQ(0, i);
	close(child.sock);
}

TEST_HARNESS_MAIN
