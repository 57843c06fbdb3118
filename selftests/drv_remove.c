// SPDX-License-Identifier: GPL-2.0-only
/*
 * NPUs that go away under their users, 200 times in all: what is left of the
 * memory, who is told and how, and that everything works again once one is back.
 * Nobody ever gets a SIGBUS, which would end these tests.
 */
#include "npu_util.h"

#define PAYLOAD_PAGES	8u

FIXTURE(removal)
{
	int ctx;
	struct l3l2q_query_device dev;
	char *name;
};

static void removal_back(struct __test_metadata *_metadata, FIXTURE_DATA(removal) *self)
{
	if (!npu_has_attribute(self->name, "remove")) {
		ASSERT_EQ(0, npu_rescan());
	}
	if (!npu_bound(self->name)) {
		ASSERT_EQ(0, drv_write_file(NPU_DRIVER "bind", self->name));
	}
	ASSERT_TRUE(npu_bound(self->name));
	ASSERT_NE(0, npu_id(self->ctx, self->name));
	EXPECT_EQ(self->dev.window_bytes,
		  npu_free_bytes(self->ctx, npu_id(self->ctx, self->name)));
}

/* By turns the function goes, or just its driver. */
static void removal_now(struct __test_metadata *_metadata, FIXTURE_DATA(removal) *self, int round)
{
	int nr = npu_windows(self->ctx);

	ASSERT_EQ(0, round % 2 ? drv_write_file(NPU_DRIVER "unbind", self->name) :
				      npu_remove(self->name));
	EXPECT_FALSE(npu_bound(self->name));
	EXPECT_EQ(nr - 1, npu_windows(self->ctx));
	EXPECT_EQ(0, npu_id(self->ctx, self->name));
}

FIXTURE_SETUP(removal)
{
	struct l3l2q_query_device dev = { 0 };

	self->ctx = drv_open();
	ASSERT_LE(0, self->ctx);
	NPU_REQUIRE(self->ctx, 1);
	if (access(NPU_SYSFS "rescan", W_OK))
		SKIP(return, "needs root");
	/* the lowest, whatever came back last: that of the first NPU */
	while (!npu_query_device(self->ctx, dev.id, &dev))
		if (!self->dev.id || strcmp((char *)dev.name, (char *)self->dev.name) < 0)
			self->dev = dev;
	self->name = (char *)self->dev.name;
	ASSERT_EQ(self->dev.window_bytes, self->dev.free_bytes);
}

FIXTURE_TEARDOWN(removal)
{
	if (self->name)
		removal_back(_metadata, self);
	close(self->ctx);
}

/* Observers and l3l2qctl are told why it went, and of no abort that was none. */
static void removal_explained(struct __test_metadata *_metadata, FIXTURE_DATA(removal) *self,
			      const struct drv_pair *p, __u32 removal, const char *sentence)
{
	__u64 id = p->l3.info.region.region_id;
	struct l3l2q_query_region region;

	ASSERT_EQ(0, drv_find_region(self->ctx, id, &region));
	EXPECT_EQ(1, region.removed);
	EXPECT_EQ(removal, region.removal);
	EXPECT_EQ(L3L2Q_ABORT_NONE, region.aborts[L3L2Q_ROLE_L3]);
	EXPECT_EQ(L3L2Q_ABORT_NONE, region.aborts[L3L2Q_ROLE_L2]);
	EXPECT_EQ(0, region.counters[4]);
	EXPECT_EQ(0, region.counters[5]);
	EXPECT_TRUE(drv_ctl_shows(id, sentence));
	EXPECT_FALSE(drv_ctl_shows(id, "has aborted") && !access("/bin/l3l2qctl", X_OK));
}

/* ---- what is used, and what is left of it ------------------------------ */

static void removal_create(FIXTURE_DATA(removal) *self, struct l3l2q_create *create)
{
	npu_create_init(create, npu_id(self->ctx, self->name));
	create->input_arena_bytes = PAYLOAD_PAGES / 2 * 4096;
	create->output_arena_bytes = PAYLOAD_PAGES / 2 * 4096;
}

/* A queue in use: counters on their way, payload written, all of it mapped. */
static void removal_use(struct __test_metadata *_metadata, FIXTURE_DATA(removal) *self,
			struct drv_pair *p)
{
	struct l3l2q_create create;

	removal_create(self, &create);
	drv_pair_create(_metadata, p, &create);
	drv_pair_map(_metadata, p);
	drv_pair_start_at(p, 1000);
	/* two in flight, one of which is acquired; nothing to sleep for */
	drv_store(&p->l3, L3L2Q_CTR_INPUT_TAIL, 1002);
	drv_consumer(&p->l2, L3L2Q_CONSUMER_SEEN, 1002);
	memset(p->l3.payload, 0xa5, p->l3.info.map[L3L2Q_MAP_PAYLOAD].length);
	EXPECT_EQ(0, memcmp(p->l3.payload, p->l2.payload, p->l3.info.map[L3L2Q_MAP_PAYLOAD].length));
}

static void removal_check_words(struct __test_metadata *_metadata, const struct drv_ep *ep)
{
	__u64 i, dirty = 0;

	EXPECT_EQ(1, ep->status->removed);
	EXPECT_EQ(1002, drv_load(ep, L3L2Q_CTR_INPUT_TAIL));
	EXPECT_EQ(1000, drv_load(ep, L3L2Q_CTR_INPUT_HEAD));
	EXPECT_EQ(1000, drv_load(ep, L3L2Q_CTR_OUTPUT_TAIL));
	EXPECT_EQ(1000, drv_load(ep, L3L2Q_CTR_OUTPUT_HEAD));
	EXPECT_EQ(1, drv_load(ep, l3l2q_ctr_abort(l3l2q_peer_role(ep->role))));
	EXPECT_EQ(0, drv_load(ep, l3l2q_ctr_abort(ep->role)));
	for (i = 0; i < ep->info.map[L3L2Q_MAP_PAYLOAD].length; i += 8)
		dirty |= *(__u64 *)(ep->payload + i);
	EXPECT_EQ(0, dirty);
}

static void removal_check_calls(struct __test_metadata *_metadata, const struct drv_ep *ep)
{
	struct l3l2q_export_dmabuf export = { .size = sizeof(export) };
	struct l3l2q_condition c = { 0 };
	struct l3l2q_stats stats;
	struct l3l2q_info info;
	char path[64], buf[4096];
	int which, err;

	EXPECT_EQ(-ENODEV, drv_info(ep->fd, &info));
	EXPECT_EQ(-ENODEV, drv_open_peer(ep->fd));
	EXPECT_EQ(-ENODEV, drv_set(ep->fd, l3l2q_ctr_tail(ep->role), 5));
	EXPECT_EQ(-ENODEV, drv_test(ep->fd, 0, L3L2Q_CMP_EQ, 0, NULL));
	EXPECT_EQ(-ENODEV, drv_wait(ep->fd, L3L2Q_EVENT_IN, &c, 1, L3L2Q_WAIT_FOREVER, NULL));
	EXPECT_EQ(-ENODEV, drv_arm(ep->fd, L3L2Q_EVENT_IN));
	EXPECT_EQ(-ENODEV, drv_eventfd(ep->fd, L3L2Q_EVENTFD_IN, -1));
	EXPECT_EQ(-ENODEV, drv_kick(ep->fd, 0));
	EXPECT_EQ(-ENODEV, drv_set_polling(ep->fd, L3L2Q_PEER_SILENT, 0, 0));
	EXPECT_EQ(-ENODEV, drv_detach(ep->fd));
	EXPECT_EQ(-ENODEV, drv_stats(ep->fd, &stats));
	EXPECT_EQ(-ENODEV, drv_ioctl(ep->fd, L3L2Q_IOC_EXPORT_DMABUF, &export));
	for (which = 0; which < L3L2Q_MAPS; which++) {
		drv_mmap(ep->fd, &ep->info.map[which], PROT_READ, &err);
		EXPECT_EQ(-ENODEV, err);
	}
	EXPECT_EQ(DRV_DEAD, drv_poll(ep->fd, POLLPRI, 0));
	EXPECT_EQ(DRV_DEAD & ~EPOLLPRI, drv_poll(ep->fd, 0, -1));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ep->fd);
	EXPECT_NE(NULL, strstr(drv_read_file(path, buf, sizeof(buf)), "l3l2q-removed:\t1"));
}

/* Mappings are still good to be written to, and what else was seen stays. */
static void removal_scribble(struct __test_metadata *_metadata, const struct drv_ep *ep)
{
	memset(ep->payload, 0x77, ep->info.map[L3L2Q_MAP_PAYLOAD].length);
	drv_store(ep, l3l2q_ctr_tail(ep->role), 7);
	EXPECT_EQ(7, drv_load(ep, l3l2q_ctr_tail(ep->role)));
	drv_arm_store((struct drv_ep *)ep, L3L2Q_EVENT_IN);
	EXPECT_EQ(1, ep->status->removed);
}

/* ---- the kernel's log ---------------------------------------------------- */

/* From here on. */
static int removal_log(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	lseek(fd, 0, SEEK_END);
	return fd;
}

/* Whether the driver says that of the function. Closes the log. */
static bool removal_said(int log, const char *name, const char *text)
{
	struct pollfd pollfd = { .fd = log, .events = POLLIN };
	char line[512], want[256];
	bool found = false;
	ssize_t n;

	snprintf(want, sizeof(want), "l3l2q %s: %s\n", name, text);
	while (!found && poll(&pollfd, 1, DRV_HANG_MS) > 0) {
		/* EPIPE: some of it is gone */
		n = read(log, line, sizeof(line) - 1);
		if (n < 0)
			continue;
		line[n] = '\0';
		found = strstr(line, want);
	}
	close(log);
	return found;
}

/* ---- sleepers ---------------------------------------------------------- */

static bool removal_told(const struct drv_sleeper *s)
{
	if (s->ret)
		return false;
	switch (s->how) {
	case DRV_BY_WAIT:
		return s->waited.revents == (L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP) &&
		       s->waited.index == -1;
	case DRV_BY_EVENTFD:
		return s->polled == POLLIN;
	default:
		return (s->polled & (EPOLLERR | EPOLLHUP)) == (EPOLLERR | EPOLLHUP) &&
		       !(s->polled & EPOLLIN);
	}
}

TEST_F(removal, sleepers_are_told_and_find_what_was_last_seen)
{
	int round, rounds = drv_rounds(40);

	for (round = 0; round < rounds; round++) {
		struct drv_sleeper s[2 * DRV_HOWS];
		int abort[2 * DRV_HOWS];
		struct drv_pair p[2 * DRV_HOWS];
		size_t i;

		for (i = 0; i < ARRAY_SIZE(p); i++) {
			enum drv_how how = (enum drv_how)(i / 2);
			struct drv_ep *ep = i % 2 ? &p[i].l3 : &p[i].l2;

			removal_use(_metadata, self, &p[i]);
			abort[i] = drv_eventfd_new();
			/* where one sleeps on an eventfd, the other side has this one */
			ASSERT_EQ(0, drv_eventfd(i % 2 ? p[i].l2.fd : p[i].l3.fd,
						 L3L2Q_EVENTFD_ABORT, abort[i]));
			if (round % 2)
				ASSERT_EQ(0, drv_set_polling(ep->fd, L3L2Q_PEER_SILENT, 0, 0));
			drv_sleeper_start(_metadata, &s[i], how, ep->fd, how == DRV_BY_EVENTFD ?
					  L3L2Q_EVENT_ABORT : L3L2Q_EVENT_IN);
		}
		removal_now(_metadata, self, round);
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			drv_sleeper_join(_metadata, &s[i]);
			EXPECT_TRUE(removal_told(&s[i]))
				TH_LOG("way %d: %d, polled %#x, revents %#x", s[i].how, s[i].ret,
				       s[i].polled, s[i].waited.revents);
			EXPECT_EQ(1, drv_signals_wait(abort[i]));
			drv_sleeper_done(&s[i]);
			removal_check_words(_metadata, &p[i].l3);
			removal_check_words(_metadata, &p[i].l2);
		}
		removal_check_calls(_metadata, &p[0].l3);
		removal_check_calls(_metadata, &p[0].l2);
		/* some are still open when it is back */
		for (i = 0; i < ARRAY_SIZE(p); i += 2)
			drv_pair_close(&p[i]);
		removal_back(_metadata, self);
		for (i = 1; i < ARRAY_SIZE(p); i += 2) {
			removal_check_words(_metadata, &p[i].l3);
			removal_check_words(_metadata, &p[i].l2);
			removal_check_calls(_metadata, &p[i].l3);
			removal_scribble(_metadata, &p[i].l3);
			removal_scribble(_metadata, &p[i].l2);
		}
		removal_use(_metadata, self, &p[0]);
		EXPECT_EQ(0, p[0].l3.status->removed);
		drv_pair_close(&p[0]);
		for (i = 1; i < ARRAY_SIZE(p); i += 2)
			drv_pair_close(&p[i]);
		for (i = 0; i < ARRAY_SIZE(p); i++)
			close(abort[i]);
	}
}

TEST_F(removal, no_timer_runs_for_what_is_gone)
{
	struct drv_pair p;
	int epfd, i;

	removal_use(_metadata, self, &p);
	ASSERT_EQ(0, drv_set_polling(p.l3.fd, L3L2Q_PEER_SILENT, 0, 0));
	epfd = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_EQ(0, drv_epoll_add(epfd, p.l3.fd, EPOLLIN));
	EXPECT_EQ(0, drv_epoll(epfd, 0));
	removal_now(_metadata, self, 0);
	/* level triggered: reported, and armed, again and again */
	for (i = 0; i < 100; i++) {
		EXPECT_EQ(EPOLLERR | EPOLLHUP, drv_epoll(epfd, -1));
	}
	removal_back(_metadata, self);
	EXPECT_EQ(EPOLLERR | EPOLLHUP, drv_epoll(epfd, 0));
	close(epfd);
	drv_pair_close(&p);
}

TEST_F(removal, mappings_without_a_descriptor_live_on)
{
	struct drv_pair p;

	removal_use(_metadata, self, &p);
	drv_ep_close(&p.l3);
	drv_ep_close(&p.l2);
	removal_now(_metadata, self, 0);
	removal_check_words(_metadata, &p.l3);
	removal_check_words(_metadata, &p.l2);
	removal_scribble(_metadata, &p.l3);
	removal_back(_metadata, self);
	drv_pair_close(&p);
}

TEST_F(removal, a_role_that_was_not_opened_cannot_be)
{
	struct l3l2q_create create;
	int fd;

	removal_create(self, &create);
	fd = drv_create(self->ctx, &create);
	ASSERT_LE(0, fd);
	removal_now(_metadata, self, 0);
	EXPECT_EQ(-ENODEV, drv_open_peer(fd));
	EXPECT_EQ(DRV_DEAD, drv_poll(fd, POLLPRI, 0));
	removal_back(_metadata, self);
	EXPECT_EQ(-ENODEV, drv_open_peer(fd));
	close(fd);
}

TEST_F(removal, who_had_ended_before_is_not_brought_back)
{
	struct drv_pair p;

	removal_use(_metadata, self, &p);
	EXPECT_EQ(0, drv_detach(p.l2.fd));
	EXPECT_EQ(EPOLLHUP, drv_poll(p.l3.fd, POLLPRI, 0));
	removal_now(_metadata, self, 0);
	EXPECT_EQ(DRV_DEAD, drv_poll(p.l3.fd, POLLPRI, 0));
	EXPECT_EQ(L3L2Q_STATE_DETACHED, p.l3.status->state[L3L2Q_ROLE_L2]);
	EXPECT_EQ(-ENODEV, drv_kick(p.l2.fd, 0));
	removal_check_words(_metadata, &p.l3);
	/* and dying afterwards is still told */
	drv_ep_unmap(&p.l3, L3L2Q_MAP_COUNTERS);
	EXPECT_EQ(L3L2Q_STATE_DEAD, p.l2.status->state[L3L2Q_ROLE_L3]);
	drv_pair_close(&p);
	removal_back(_metadata, self);
}

TEST_F(removal, raw_regions_keep_all_their_counters)
{
	const __u32 bytes = 3 * 4096 + 64;
	struct l3l2q_create create;
	struct l3l2q_condition c = { .offset = 8192, .cmp = L3L2Q_CMP_EQ, .value = 1 };
	struct drv_sleeper s;
	struct drv_pair p;
	__u32 at;

	npu_create_init_raw(&create, npu_id(self->ctx, self->name), 4096, bytes);
	drv_pair_create(_metadata, &p, &create);
	drv_pair_map(_metadata, &p);
	for (at = 0; at < bytes; at += 4)
		drv_store(&p.l2, at, ~at);
	drv_sleeper_start_wait(_metadata, &s, p.l3.fd, 0, &c, 1);
	removal_now(_metadata, self, 0);
	drv_sleeper_join(_metadata, &s);
	EXPECT_EQ(0, s.ret);
	EXPECT_EQ(L3L2Q_EVENT_HUP, s.waited.revents);
	EXPECT_EQ(-1, s.waited.index);
	for (at = 0; at < bytes; at += 4) {
		/* a flag of an absent queue is nobody's business */
		ASSERT_EQ(~at, drv_load(&p.l3, at));
		ASSERT_EQ(~at, drv_load(&p.l2, at));
	}
	EXPECT_EQ(0, p.l3.payload[0]);
	EXPECT_EQ(EPOLLHUP, drv_poll(p.l3.fd, POLLPRI | POLLIN, 0));
	drv_pair_close(&p);
	removal_back(_metadata, self);
}

#define TRACEFS	"/sys/kernel/tracing/"
#define ASKED	"l3l2q_asked"

/* How often the event's function was called. */
static long removal_asked(void)
{
	char buf[4096], *line;

	drv_read_file(TRACEFS "kprobe_profile", buf, sizeof(buf));
	line = strstr(buf, ASKED);
	return line ? strtol(line + strlen(ASKED), NULL, 10) : -1;
}

/* Whether the device answers is asked now and then, not for each counter that looks so. */
TEST_F(removal, counters_of_all_ones_take_no_longer)
{
	const __u32 bytes = 16 * 4096;
	struct l3l2q_create create;
	struct drv_pair p;
	long asked;
	__u32 at;

	if (drv_write_file(TRACEFS "kprobe_events", "p:" ASKED " pci_device_is_present"))
		SKIP(return, "no " TRACEFS "kprobe_events");
	ASSERT_EQ(0, drv_write_file(TRACEFS "events/kprobes/" ASKED "/enable", "1"));
	npu_create_init_raw(&create, npu_id(self->ctx, self->name), 4096, bytes);
	drv_pair_create(_metadata, &p, &create);
	drv_pair_map(_metadata, &p);
	for (at = 0; at < bytes; at += 4)
		drv_store(&p.l2, at, UINT_MAX);
	removal_now(_metadata, self, 1);
	asked = removal_asked();
	EXPECT_EQ(0, drv_write_file(TRACEFS "events/kprobes/" ASKED "/enable", "0"));
	EXPECT_EQ(0, drv_write_file(TRACEFS "kprobe_events", "-:" ASKED));
	EXPECT_LT(0, asked);
	EXPECT_GT(bytes / 4096 * 4, asked);
	for (at = 0; at < bytes; at += 4)
		ASSERT_EQ(UINT_MAX, drv_load(&p.l3, at));
	drv_pair_close(&p);
	removal_back(_metadata, self);
}

/* ---- in the middle of it ----------------------------------------------- */

/* One side of a ping-pong, on its own, until the region is removed under it. */
static int removal_play(struct drv_ep *ep, int sock)
{
	__u32 in = l3l2q_ctr_tail(l3l2q_peer_role(ep->role)), out = l3l2q_ctr_tail(ep->role);
	struct drv_waited w = { 0 };
	char body[256];
	__u32 n = 0;
	int ret;

	if (drv_ep_map(ep))
		return 1;
	for (;;) {
		/* L3 starts */
		if (ep->role == L3L2Q_ROLE_L3 || n) {
			memset(ep->payload + (n & 7) * 4096, (int)n, sizeof(body));
			ret = drv_publish(ep, out, n + (ep->role == L3L2Q_ROLE_L3), L3L2Q_ARM_TAIL);
			if (ret)
				break;
		}
		drv_consumer(ep, L3L2Q_CONSUMER_SEEN, n);
		ret = drv_wait(ep->fd, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER, &w);
		if (ret || (w.revents & L3L2Q_EVENT_HUP))
			break;
		if (drv_load(ep, in) != n + 1)
			return 2;
		memcpy(body, ep->payload + (n & 7) * 4096, sizeof(body));
		if (++n == 20)
			drv_say(sock, 's');
	}
	/* whatever ended it, it is the removal */
	if (ret ? ret != -ENODEV : !(w.revents & L3L2Q_EVENT_ABORT))
		return 3;
	if (!ep->status->removed)
		return 4;
	if (drv_load(ep, l3l2q_ctr_abort(l3l2q_peer_role(ep->role))) != 1)
		return 5;
	return 0;
}

TEST_F(removal, two_processes_in_mid_stream_are_told)
{
	int round, rounds = drv_rounds(40);

	for (round = 0; round < rounds; round++) {
		struct drv_child child[2];
		struct l3l2q_create create;
		struct drv_pair p;
		int i;

		removal_create(self, &create);
		drv_pair_create(_metadata, &p, &create);
		for (i = 0; i < 2; i++)
			if (!drv_fork(_metadata, &child[i]))
				_exit(removal_play(i ? &p.l2 : &p.l3, child[i].sock));
		drv_pair_close(&p);
		for (i = 0; i < 2; i++)
			ASSERT_EQ('s', drv_hear(child[i].sock));
		removal_now(_metadata, self, round);
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(0, drv_reap(&child[i]))
				TH_LOG("round %d, role %d", round, i);
		}
		removal_back(_metadata, self);
	}
}

/* ---- races ------------------------------------------------------------- */

struct removal_race {
	FIXTURE_DATA(removal) *self;
	struct drv_pair *p;
	int stop;
	int started;
	int bad;
	__u64 done;
};

static bool removal_going(struct removal_race *race)
{
	return !__atomic_load_n(&race->stop, __ATOMIC_ACQUIRE);
}

static void removal_did(struct removal_race *race, bool good)
{
	if (!good)
		__atomic_fetch_add(&race->bad, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&race->done, 1, __ATOMIC_RELAXED);
}

/* Page faults: in a mapping that stays, and in ones that come and go. */
static void *removal_faults(void *arg)
{
	struct removal_race *race = arg;
	const struct drv_ep *ep = &race->p->l3;
	unsigned int seed = (unsigned int)syscall(__NR_gettid);
	int err, which;
	char *m;

	while (removal_going(race)) {
		const struct l3l2q_mapping *map;

		which = rand_r(&seed) % 2 ? L3L2Q_MAP_PAYLOAD : L3L2Q_MAP_STATUS;
		map = &ep->info.map[which];
		m = drv_mmap(ep->fd, map, drv_map_prot(which), &err);
		if (m) {
			size_t at = (size_t)rand_r(&seed) % map->length;

			*(volatile char *)(m + at);
			if (which == L3L2Q_MAP_PAYLOAD)
				m[(at + 4096) % map->length] = 1;
			munmap(m, map->length);
		}
		ep->payload[(size_t)rand_r(&seed) % ep->info.map[L3L2Q_MAP_PAYLOAD].length] = 2;
		drv_load(ep, 64 * (rand_r(&seed) % 6));
		removal_did(race, m || err == -ENODEV);
	}
	return NULL;
}

/* Calls on a region that is there or is not. */
static void *removal_calls(void *arg)
{
	struct removal_race *race = arg;
	const struct drv_ep *ep = &race->p->l2;
	struct l3l2q_condition c = { .cmp = L3L2Q_CMP_EQ, .value = -77 };
	struct l3l2q_stats stats;
	__s32 observed;
	int ret;

	while (removal_going(race)) {
		ret = drv_set(ep->fd, L3L2Q_CTR_OUTPUT_TAIL, 1000);
		removal_did(race, !ret || ret == -ENODEV);
		ret = drv_test(ep->fd, L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_EQ, 1002, &observed);
		/* never all ones, never anything else */
		removal_did(race, ret == 1 || ret == -ENODEV);
		ret = drv_kick(ep->fd, 0);
		removal_did(race, !ret || ret == -ENODEV);
		ret = drv_arm(ep->fd, L3L2Q_EVENT_IN);
		removal_did(race, ret >= 0 || ret == -ENODEV);
		ret = drv_wait(ep->fd, 0, &c, 1, 0, NULL);
		removal_did(race, !ret || ret == -ETIMEDOUT || ret == -ENODEV);
		drv_poll(ep->fd, POLLIN | POLLPRI, 0);
		ret = drv_stats(ep->fd, &stats);
		removal_did(race, !ret || ret == -ENODEV);
	}
	return NULL;
}

/* Regions that come and go, in whatever window there is. */
static void *removal_regions(void *arg)
{
	struct removal_race *race = arg;
	unsigned int seed = (unsigned int)syscall(__NR_gettid);
	struct l3l2q_create create;
	struct l3l2q_query_device d;
	int fd, peer, ret;

	while (removal_going(race)) {
		ret = npu_query_device(race->self->ctx, 0, &d);
		removal_did(race, !ret || ret == -ENODEV);
		npu_create_init_raw(&create, d.id, 1 + (__u64)rand_r(&seed) % (1 << 20), 64);
		fd = drv_create(race->self->ctx, &create);
		removal_did(race, fd >= 0 || fd == -ENODEV);
		if (fd < 0) {
			sched_yield();
			continue;
		}
		peer = drv_open_peer(fd);
		removal_did(race, peer >= 0 || peer == -ENODEV);
		ret = drv_set(fd, 0, 1);
		removal_did(race, !ret || ret == -ENODEV);
		close(fd);
		if (peer >= 0)
			close(peer);
	}
	return NULL;
}

static void *(*const removal_racers[])(void *) = {
	removal_faults, removal_faults, removal_calls, removal_regions, removal_regions,
};

TEST_F(removal, races_with_faults_calls_and_creation)
{
	int round, rounds = drv_rounds(50);
	__u64 done = 0;

	for (round = 0; round < rounds; round++) {
		pthread_t thread[ARRAY_SIZE(removal_racers)];
		struct removal_race race = { .self = self };
		struct drv_pair p;
		__u64 so_far;
		size_t i;

		removal_use(_metadata, self, &p);
		race.p = &p;
		for (i = 0; i < ARRAY_SIZE(thread); i++)
			ASSERT_EQ(0, pthread_create(&thread[i], NULL, removal_racers[i], &race));
		while (__atomic_load_n(&race.done, __ATOMIC_RELAXED) < 20)
			sched_yield();
		removal_now(_metadata, self, round);
		/* and a little longer, on what is left */
		so_far = __atomic_load_n(&race.done, __ATOMIC_RELAXED);
		while (__atomic_load_n(&race.done, __ATOMIC_RELAXED) < so_far + 20)
			sched_yield();
		__atomic_store_n(&race.stop, 1, __ATOMIC_RELEASE);
		for (i = 0; i < ARRAY_SIZE(thread); i++)
			ASSERT_EQ(0, pthread_join(thread[i], NULL));
		ASSERT_EQ(0, race.bad);
		done += race.done;
		EXPECT_EQ(1, p.l3.status->removed);
		drv_pair_close(&p);
		removal_back(_metadata, self);
	}
	TH_LOG("%llu calls around %d removals", done, rounds);
}

/* ---- what takes the memory and leaves the window ------------------------ */

/* An interrupt of the NPU's wakes: all of the device works. */
static void removal_echo(struct __test_metadata *_metadata, FIXTURE_DATA(removal) *self)
{
	struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING };
	struct l3l2q_create create;
	struct npu_reply reply;
	struct drv_sleeper s;
	struct npu_box box;
	struct drv_ep l3;
	char body[64];
	int fd;

	if (!npu_promised())
		return;
	npu_box_open(_metadata, &box, self->ctx, npu_id(self->ctx, self->name));
	removal_create(self, &create);
	fd = drv_create(self->ctx, &create);
	ASSERT_LE(0, fd);
	drv_ep_init(&l3, fd);
	ASSERT_EQ(0, drv_ep_map(&l3));
	ASSERT_EQ(0, npu_box_launch(&box, &l3, &job, &reply)) TH_LOG("%s", reply.text);
	memset(body, 0x42, sizeof(body));
	drv_consumer(&l3, L3L2Q_CONSUMER_SEEN, 0);
	drv_sleeper_start(_metadata, &s, DRV_BY_WAIT, l3.fd, L3L2Q_EVENT_IN);
	npu_put(&l3, 0, body, sizeof(body));
	ASSERT_EQ(0, drv_kick(l3.fd, 0));
	drv_sleeper_join(_metadata, &s);
	EXPECT_TRUE(drv_sleeper_saw(&s, L3L2Q_EVENT_IN));
	drv_sleeper_done(&s);
	npu_put(&l3, 1, NULL, 0);
	EXPECT_EQ(0, drv_kick(l3.fd, 0));
	EXPECT_EQ(0, npu_wait(&box.npu, reply.task, &reply, NPU_TIMEOUT_NS));
	drv_ep_unmap_all(&l3);
	drv_ep_close(&l3);
	npu_box_close(&box);
}

/* Read and mapped before it went, a window and what is left of it look alike to observers. */
TEST_F(removal, observers_see_what_is_left)
{
	const volatile int *counters, *payload;
	struct l3l2q_observe o;
	struct drv_pair p;
	int value = 0, err;

	removal_use(_metadata, self, &p);
	ASSERT_LE(0, drv_observer(self->ctx, p.l3.info.region.region_id,
				  L3L2Q_OBSERVE_PAYLOAD, &o));
	counters = drv_mmap(o.fd, &o.map[L3L2Q_MAP_COUNTERS], PROT_READ, &err);
	ASSERT_EQ(0, err);
	payload = drv_mmap(o.fd, &o.map[L3L2Q_MAP_PAYLOAD], PROT_READ, &err);
	ASSERT_EQ(0, err);
	EXPECT_EQ(1002, counters[0]);
	EXPECT_EQ((int)0xa5a5a5a5, payload[1024]);
	EXPECT_EQ(4, drv_read_at(o.fd, &value, 4, &o.map[L3L2Q_MAP_COUNTERS], 0));
	EXPECT_EQ(1002, value);
	EXPECT_EQ(4, drv_read_at(o.fd, &value, 4, &o.map[L3L2Q_MAP_PAYLOAD], 4097));
	EXPECT_EQ((int)0xa5a5a5a5, value);

	removal_now(_metadata, self, 1);
	EXPECT_EQ(1002, counters[0]);
	EXPECT_EQ(0, payload[1024]);
	EXPECT_EQ(4, drv_read_at(o.fd, &value, 4, &o.map[L3L2Q_MAP_COUNTERS], 0));
	EXPECT_EQ(1002, value);
	EXPECT_EQ(4, drv_read_at(o.fd, &value, 4, &o.map[L3L2Q_MAP_PAYLOAD], 4097));
	EXPECT_EQ(0, value);
	removal_explained(_metadata, self, &p, L3L2Q_REMOVAL_DEVICE,
			  "The memory was removed with its device, which was removed or unbound.");
	drv_pair_close(&p);
	EXPECT_EQ(0, counters[0]);
	close(o.fd);
	removal_back(_metadata, self);
}

TEST_F(removal, a_reset_revokes_and_new_regions_work)
{
	__u64 id = npu_id(self->ctx, self->name);
	struct drv_sleeper s[2];
	struct drv_pair p;
	int round, log;

	if (!npu_has_attribute(self->name, "reset"))
		SKIP(return, "no way to reset it");
	for (round = 0; round < 3; round++) {
		removal_use(_metadata, self, &p);
		drv_sleeper_start(_metadata, &s[0], DRV_BY_WAIT, p.l2.fd, L3L2Q_EVENT_IN);
		drv_sleeper_start(_metadata, &s[1], DRV_BY_EPOLL, p.l3.fd, L3L2Q_EVENT_IN);
		log = removal_log();
		ASSERT_EQ(0, npu_set_attribute(self->name, "reset", "1"));
		EXPECT_TRUE(removal_said(log, self->name, "reset: 1 regions revoked"));
		drv_sleeper_join(_metadata, &s[0]);
		drv_sleeper_join(_metadata, &s[1]);
		EXPECT_TRUE(removal_told(&s[0]));
		EXPECT_TRUE(removal_told(&s[1]));
		drv_sleeper_done(&s[0]);
		drv_sleeper_done(&s[1]);
		removal_check_words(_metadata, &p.l3);
		removal_check_words(_metadata, &p.l2);
		removal_check_calls(_metadata, &p.l3);
		removal_explained(_metadata, self, &p, L3L2Q_REMOVAL_RESET,
				  "The memory was removed because its device was reset.");

		/* the window is the same one, and of use again */
		EXPECT_TRUE(npu_bound(self->name));
		EXPECT_EQ(id, npu_id(self->ctx, self->name));
		EXPECT_EQ(self->dev.window_bytes, npu_free_bytes(self->ctx, id));
		removal_scribble(_metadata, &p.l3);
		removal_echo(_metadata, self);
		drv_pair_close(&p);
	}
}

/* Write the function's command register. */
static bool removal_command(const char *name, __u16 clear, __u16 set)
{
	__u16 command;
	char path[512];
	bool good;
	int fd;

	snprintf(path, sizeof(path), NPU_SYSFS "devices/%s/config", name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	good = pread(fd, &command, 2, 4) == 2;
	command = (__u16)((command & ~clear) | set);
	good = good && pwrite(fd, &command, 2, 4) == 2;
	close(fd);
	return good;
}

/* Reads give zeroes then, or all ones: neither is taken for what the peer says. */
TEST_F(removal, a_function_that_stops_to_answer_is_noticed)
{
	__u64 deadline = drv_deadline(DRV_HANG_MS);
	int log = removal_log();
	struct drv_pair p;

	removal_use(_metadata, self, &p);
	EXPECT_EQ(0, drv_poll(p.l3.fd, POLLIN, 0));
	ASSERT_TRUE(removal_command(self->name, 2, 0));
	while (drv_poll(p.l3.fd, POLLPRI, 0) != DRV_DEAD && drv_now() < deadline)
		poll(NULL, 0, 5);
	EXPECT_EQ(DRV_DEAD, drv_poll(p.l3.fd, POLLPRI, 0));
	EXPECT_EQ(1, p.l3.status->removed);
	EXPECT_EQ(-ENODEV, drv_kick(p.l2.fd, 0));
	EXPECT_EQ(1, drv_load(&p.l3, l3l2q_ctr_abort(L3L2Q_ROLE_L2)));
	EXPECT_EQ(0, npu_id(self->ctx, self->name));
	EXPECT_TRUE(removal_said(log, self->name, "does not answer: 1 regions revoked"));
	removal_explained(_metadata, self, &p, L3L2Q_REMOVAL_ERROR,
			  "The memory was removed because its device reported an error or does not answer.");
	drv_pair_close(&p);
	/* found good again by what resets it */
	ASSERT_TRUE(removal_command(self->name, 0, 2));
	ASSERT_EQ(0, drv_write_file(NPU_DRIVER "unbind", self->name));
	removal_back(_metadata, self);
	removal_echo(_metadata, self);
}

/* True if the file contains the word. */
static bool removal_power_has(const char *path, const char *word)
{
	char buf[256];

	return strstr(drv_read_file(path, buf, sizeof(buf)), word);
}

/*
 * Suspend and hibernation, up to where the last device refuses, so that each function
 * is suspended and resumed.
 */
TEST_F(removal, power_transitions_revoke)
{
	static const char *const states[] = { "freeze", "disk" };
	__u64 id = npu_id(self->ctx, self->name);
	struct drv_pair p;
	size_t i;
	int ret;

	if (!removal_power_has("/sys/power/state", states[0]))
		SKIP(return, "the kernel has no power management");
	ret = drv_load_module(getenv("PM_STANDIN_KO"), "");
	if (ret == -ENOENT)
		SKIP(return, "PM_STANDIN_KO does not say where the stand-in is");
	ASSERT_EQ(0, ret);
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		if (!removal_power_has("/sys/power/state", states[i]))
			continue;
		removal_use(_metadata, self, &p);
		EXPECT_EQ(-EBUSY, drv_write_file("/sys/power/state", states[i]));
		EXPECT_EQ(DRV_DEAD, drv_poll(p.l3.fd, POLLPRI, 0)) TH_LOG("%s", states[i]);
		removal_check_words(_metadata, &p.l3);
		removal_check_calls(_metadata, &p.l2);
		removal_explained(_metadata, self, &p, L3L2Q_REMOVAL_POWER,
				  "The memory was removed because the system was suspended.");
		EXPECT_EQ(id, npu_id(self->ctx, self->name));
		removal_echo(_metadata, self);
		drv_pair_close(&p);
	}
	EXPECT_EQ(0, drv_unload_module("pm_standin"));
}

/* struct aer_error_inj of the kernel, which exports no header for it */
struct removal_error {
	__u8 bus, devfn_device, devfn_function;
	__u32 uncorrectable;
	__u32 correctable;
	__u32 header[4];
	__u32 domain;
};

/*
 * Have the port above report an error. The function itself, an old PCI one, cannot, but
 * the port's errors are those of all below it.
 */
static int removal_inject(const char *name, __u32 uncorrectable)
{
	struct removal_error error = { .uncorrectable = uncorrectable };
	char path[512], *port;
	unsigned int v[4];
	int fd, ret;

	snprintf(path, sizeof(path), NPU_SYSFS "devices/%s/..", name);
	port = realpath(path, NULL);
	ret = port ? sscanf(strrchr(port, '/') + 1, "%x:%x:%x.%x", &v[0], &v[1], &v[2], &v[3]) : 0;
	free(port);
	if (ret != 4)
		return -ENODEV;
	error.domain = v[0];
	error.bus = (__u8)v[1];
	error.devfn_device = (__u8)v[2];
	error.devfn_function = (__u8)v[3];
	fd = open("/dev/aer_inject", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = drv_errno(write(fd, &error, sizeof(error)));
	close(fd);
	return ret < 0 ? ret : 0;
}

/* Until the window may be used again: recovery is the kernel's own thread's. */
static bool removal_await_back(FIXTURE_DATA(removal) *self)
{
	__u64 deadline = drv_deadline(DRV_HANG_MS);

	while (!npu_id(self->ctx, self->name)) {
		if (drv_now() > deadline)
			return false;
		poll(NULL, 0, 5);
	}
	return true;
}

/*
 * A request that timed out ends without a reset. A malformed packet, which is fatal, ends
 * with one, and until then nobody can read the counters.
 */
TEST_F(removal, errors_of_the_bus_revoke_and_new_regions_work)
{
	static const struct { __u32 bits; bool fatal; } errors[] = {
		{ 0x4000, false }, { 0x40000, true }, { 0x4000, false }, { 0x40000, true },
	};
	__u64 id = npu_id(self->ctx, self->name);
	struct drv_sleeper s;
	struct drv_pair p;
	size_t i;
	int log, ret = drv_load_module(getenv("AER_INJECT_KO"), "");

	if (ret == -ENOENT)
		SKIP(return, "AER_INJECT_KO does not say where the kernel's module is");
	ASSERT_EQ(0, ret);
	/* a reset that was no error leaves a function that can recover from one */
	if (npu_has_attribute(self->name, "reset")) {
		ASSERT_EQ(0, npu_set_attribute(self->name, "reset", "1"));
	}
	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		removal_use(_metadata, self, &p);
		drv_sleeper_start(_metadata, &s, DRV_BY_EPOLL, p.l3.fd, L3L2Q_EVENT_IN);
		log = removal_log();
		ret = removal_inject(self->name, errors[i].bits);
		if (ret == -EPROTONOSUPPORT)
			SKIP(return, "the port above reports no errors");
		ASSERT_EQ(0, ret);
		drv_sleeper_join(_metadata, &s);
		EXPECT_TRUE(removal_told(&s));
		drv_sleeper_done(&s);
		if (!errors[i].fatal)
			removal_check_words(_metadata, &p.l3);
		EXPECT_EQ(1, p.l2.status->removed);
		EXPECT_EQ(1, drv_load(&p.l2, l3l2q_ctr_abort(L3L2Q_ROLE_L3)));
		removal_check_calls(_metadata, &p.l2);
		ASSERT_TRUE(removal_await_back(self));
		EXPECT_TRUE(removal_said(log, self->name, errors[i].fatal ?
					 "does not answer: 1 regions revoked" :
					 "bus error: 1 regions revoked"));
		EXPECT_EQ(id, npu_id(self->ctx, self->name));
		removal_echo(_metadata, self);
		drv_pair_close(&p);
	}
	EXPECT_EQ(0, drv_unload_module("aer_inject"));
}

/* ---- what others find --------------------------------------------------- */

/* A window without the driver is anybody's who may read it: nothing is left there. */
TEST_F(removal, an_unbound_window_is_zeroes)
{
	struct drv_pair p[4];
	char path[512];
	__u64 *mem, dirty = 0;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(p); i++)
		removal_use(_metadata, self, &p[i]);
	ASSERT_EQ(0, drv_write_file(NPU_DRIVER "unbind", self->name));
	ASSERT_EQ(0, npu_set_attribute(self->name, "enable", "1"));
	snprintf(path, sizeof(path), NPU_SYSFS "devices/%s/resource2", self->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	mem = mmap(NULL, self->dev.window_bytes, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, (void *)mem);
	close(fd);
	/* the users are still there, with what took its place */
	removal_check_words(_metadata, &p[0].l3);
	removal_scribble(_metadata, &p[0].l3);
	for (i = 0; i < self->dev.window_bytes / sizeof(*mem); i++)
		dirty += !!((volatile __u64 *)mem)[i];
	EXPECT_EQ(0, dirty);
	munmap(mem, self->dev.window_bytes);
	npu_set_attribute(self->name, "enable", "0");
	for (i = 0; i < ARRAY_SIZE(p); i++)
		drv_pair_close(&p[i]);
	removal_back(_metadata, self);
}

/* ---- nothing is lost --------------------------------------------------- */

/* KiB that are free, with the processors' own lists; KiB that the kernel holds. */
static void removal_memory(__s64 *free_kib, __s64 *held_kib)
{
	static const char *const held[] = {
		"Slab", "PageTables", "KernelStack", "Percpu", "VmallocUsed",
	};
	char *zones = malloc(1 << 17), *at;
	size_t i;

	drv_write_file("/proc/sys/vm/drop_caches", "3");
	*free_kib = (__s64)(drv_meminfo("MemFree") >> 10);
	drv_read_file("/proc/zoneinfo", zones, 1 << 17);
	for (at = zones; (at = strstr(at, "count:")); at++)
		*free_kib += strtoll(at + 6, NULL, 10) * sysconf(_SC_PAGESIZE) / 1024;
	free(zones);
	*held_kib = 0;
	for (i = 0; i < ARRAY_SIZE(held); i++)
		*held_kib += (__s64)(drv_meminfo(held[i]) >> 10);
}

TEST_F(removal, memory_comes_back)
{
	const char *kernel = getenv("L3L2Q_VARIANT");
	int quarter, round, rounds = drv_rounds(60) / 4;
	__s64 lost = INT64_MAX, grown = INT64_MAX, was[2] = { 0 }, now[2];

	if (kernel && strstr(kernel, "debug"))
		SKIP(return, "a debug kernel keeps freed memory; the scan for leaks judges");
	/* what is lost with each round shows in every quarter; noise does not */
	for (quarter = 0; quarter < 5; quarter++) {
		for (round = 0; round < rounds; round++) {
			struct drv_pair p[4];
			int efd = drv_eventfd_new();
			size_t i;

			for (i = 0; i < ARRAY_SIZE(p); i++)
				removal_use(_metadata, self, &p[i]);
			ASSERT_EQ(0, drv_eventfd(p[0].l3.fd, L3L2Q_EVENTFD_ABORT, efd));
			removal_now(_metadata, self, round);
			if (round % 2)
				removal_back(_metadata, self);
			for (i = 0; i < ARRAY_SIZE(p); i++) {
				removal_check_words(_metadata, &p[i].l2);
				drv_pair_close(&p[i]);
			}
			close(efd);
			removal_back(_metadata, self);
		}
		removal_memory(&now[0], &now[1]);
		if (quarter) {
			lost = was[0] - now[0] < lost ? was[0] - now[0] : lost;
			grown = now[1] - was[1] < grown ? now[1] - was[1] : grown;
		}
		was[0] = now[0];
		was[1] = now[1];
	}
	TH_LOG("least in a quarter of %d removals: %lld KiB lost, %lld KiB more held", rounds,
	       lost, grown);
	EXPECT_GT(3 * rounds, lost);
	EXPECT_GT(3 * rounds, grown);
}

/* ---- by QEMU ----------------------------------------------------------- */

/* As QEMU calls it: run.sh plugs NPUs in by order. */
static bool removal_id(char *id, size_t len)
{
	const char *npus = getenv("L3L2Q_NPUS");

	if (!npus || !*npus)
		return false;
	snprintf(id, len, "%.*s", (int)strcspn(npus, " "), npus);
	return true;
}

TEST_F(removal, an_unplugged_function_is_gone_and_comes_back)
{
	int round, rounds = drv_rounds(4) / 2 + 1;
	char id[64];

	if (!removal_id(id, sizeof(id)))
		SKIP(return, "nobody who unplugs: L3L2Q_NPUS is not set");
	for (round = 0; round < rounds; round++) {
		struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING };
		struct npu_reply reply;
		struct l3l2q_create create;
		struct drv_sleeper s;
		struct drv_pair p;
		struct npu_box box;
		struct drv_ep l3;
		int fd;

		removal_use(_metadata, self, &p);
		npu_box_open(_metadata, &box, self->ctx, npu_id(self->ctx, self->name));
		removal_create(self, &create);
		fd = drv_create(self->ctx, &create);
		ASSERT_LE(0, fd);
		drv_ep_init(&l3, fd);
		ASSERT_EQ(0, drv_ep_map(&l3));
		ASSERT_EQ(0, npu_box_launch(&box, &l3, &job, &reply)) TH_LOG("%s", reply.text);
		/* asleep until an NPU answers that will not */
		drv_sleeper_start(_metadata, &s, DRV_BY_EPOLL, l3.fd, L3L2Q_EVENT_IN);
		ASSERT_EQ(0, npu_replug(&box.npu, id, NPU_TIMEOUT_NS));

		drv_sleeper_join(_metadata, &s);
		EXPECT_TRUE(removal_told(&s));
		drv_sleeper_done(&s);
		EXPECT_EQ(1, l3.status->removed);
		EXPECT_EQ(-ENODEV, drv_kick(l3.fd, 0));
		removal_check_words(_metadata, &p.l3);
		removal_check_calls(_metadata, &p.l2);
		drv_ep_unmap_all(&l3);
		drv_ep_close(&l3);
		npu_box_close(&box);
		drv_pair_close(&p);
		/* a new one: the driver forgets the old one before it tells anybody */
		ASSERT_TRUE(removal_await_back(self));
		removal_back(_metadata, self);
	}
}

TEST_HARNESS_MAIN
