// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many wake-ups of which none may get lost, hostile neighbours, and life cycles
 * that race. What is asserted in the end: all calls returned with errors they
 * may return, and the kernel did not complain.
 */
#include "drv_util.h"

#define TAINT_WARN	(1u << 9)
#define TAINT_DIE	(1u << 7)
#define TAINT_BAD_PAGE	(1u << 5)

static __u64 stress_taint(void)
{
	char buf[64];

	return strtoull(drv_read_file("/proc/sys/kernel/tainted", buf, sizeof(buf)), NULL, 10) &
	       (TAINT_WARN | TAINT_DIE | TAINT_BAD_PAGE);
}

/* xorshift: the same every time */
static __u32 stress_rand(__u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (__u32)(*state >> 16);
}

/* ---- no wake-up is lost ------------------------------------------------ */

FIXTURE(bounce)
{
	struct drv_pair p;
};

FIXTURE_VARIANT(bounce)
{
	enum drv_how l3;
	enum drv_how l2;
	int n;
	__u32 start;
	bool silent;
};

FIXTURE_VARIANT_ADD(bounce, wait_wait) { .l3 = DRV_BY_WAIT, .l2 = DRV_BY_WAIT, .n = 1000 };
FIXTURE_VARIANT_ADD(bounce, poll_poll) { .l3 = DRV_BY_POLL, .l2 = DRV_BY_POLL, .n = 1000 };
FIXTURE_VARIANT_ADD(bounce, epoll_epoll) { .l3 = DRV_BY_EPOLL, .l2 = DRV_BY_EPOLL, .n = 1000 };
FIXTURE_VARIANT_ADD(bounce, et_et) { .l3 = DRV_BY_EPOLL_ET, .l2 = DRV_BY_EPOLL_ET, .n = 1000 };
FIXTURE_VARIANT_ADD(bounce, eventfd_eventfd) {
	.l3 = DRV_BY_EVENTFD, .l2 = DRV_BY_EVENTFD, .n = 1000 };
FIXTURE_VARIANT_ADD(bounce, wait_epoll_across_2_31) {
	.l3 = DRV_BY_WAIT, .l2 = DRV_BY_EPOLL, .n = 1000, .start = 0x7fffffc0 };
FIXTURE_VARIANT_ADD(bounce, eventfd_poll_across_2_32) {
	.l3 = DRV_BY_EVENTFD, .l2 = DRV_BY_POLL, .n = 1000, .start = 0xffffffc0 };
FIXTURE_VARIANT_ADD(bounce, wait_silent) {
	.l3 = DRV_BY_WAIT, .l2 = DRV_BY_WAIT, .n = 300, .silent = true };
FIXTURE_VARIANT_ADD(bounce, epoll_silent) {
	.l3 = DRV_BY_EPOLL, .l2 = DRV_BY_WAIT, .n = 300, .silent = true };

FIXTURE_SETUP(bounce)
{
	drv_pair_queue(_metadata, &self->p);
	drv_pair_start_at(&self->p, variant->start);
	if (variant->silent) {
		ASSERT_EQ(0, drv_set_polling(self->p.l3.fd, L3L2Q_PEER_SILENT, 0, 0));
	}
}

FIXTURE_TEARDOWN(bounce)
{
	drv_pair_close(&self->p);
}

struct bouncer {
	struct drv_ep *ep;
	enum drv_how how;
	int epfd;
	int efd;
	__u32 start;
	int n;
	bool first;
	bool plain;	/* stores only */
	int bad;	/* first unexpected result of a call */
	int sleeps;
};

/* Until the peer's tail is not @seen any more. */
static int bounce_sleep(struct bouncer *b, __u32 tail, __u32 seen)
{
	struct drv_ep *ep = b->ep;
	int ret;

	while (drv_load(ep, tail) == seen) {
		b->sleeps++;
		switch (b->how) {
		case DRV_BY_WAIT:
			ret = drv_wait(ep->fd, L3L2Q_EVENT_IN, NULL, 0,
				       drv_deadline(DRV_HANG_MS), NULL);
			break;
		case DRV_BY_POLL:
			ret = drv_poll(ep->fd, POLLIN, DRV_HANG_MS);
			ret = ret == POLLIN ? 0 : ret ? ret : -ETIMEDOUT;
			break;
		case DRV_BY_EVENTFD:
			/* arm by a store, look, sleep */
			drv_arm_store(ep, L3L2Q_EVENT_IN);
			if (drv_load(ep, tail) != seen)
				return 0;
			ret = drv_poll(b->efd, POLLIN, DRV_HANG_MS);
			ret = ret == POLLIN ? 0 : ret ? ret : -ETIMEDOUT;
			drv_signals(b->efd);
			break;
		default:
			ret = drv_epoll(b->epfd, DRV_HANG_MS);
			ret = ret == EPOLLIN ? 0 : ret ? ret : -ETIMEDOUT;
			break;
		}
		if (ret)
			return ret;
	}
	return 0;
}

static void *bounce_main(void *arg)
{
	struct bouncer *b = arg;
	struct drv_ep *ep = b->ep;
	__u32 out = l3l2q_ctr_tail(ep->role), in = l3l2q_ctr_tail(l3l2q_peer_role(ep->role));
	__u32 head = l3l2q_ctr_head(l3l2q_peer_role(ep->role)), at = b->start;
	int i;

	for (i = 0; i < b->n && !b->bad; i++) {
		if (!b->first || i) {
			b->bad = bounce_sleep(b, in, at);
			at++;
			drv_consumer(ep, L3L2Q_CONSUMER_SEEN, at);
			/* nobody waits for heads here: depth is not the limit */
			drv_store(ep, head, at);
		}
		if (b->plain)
			drv_store(ep, out, b->start + 1 + (__u32)i);
		else if (!b->bad)
			b->bad = drv_publish_tail(ep, b->start + 1 + (__u32)i);
	}
	return NULL;
}

static void bouncer_init(struct __test_metadata *_metadata, struct bouncer *b,
			 struct drv_ep *ep, enum drv_how how)
{
	b->ep = ep;
	b->how = how;
	b->epfd = epoll_create1(EPOLL_CLOEXEC);
	b->efd = drv_eventfd_new();
	drv_consumer(ep, L3L2Q_CONSUMER_SEEN, b->start);
	if (how == DRV_BY_EPOLL || how == DRV_BY_EPOLL_ET) {
		ASSERT_EQ(0, drv_epoll_add(b->epfd, ep->fd,
					   EPOLLIN | (how == DRV_BY_EPOLL_ET ? EPOLLET : 0)));
	}
	if (how == DRV_BY_EVENTFD) {
		ASSERT_EQ(0, drv_eventfd(ep->fd, L3L2Q_EVENTFD_IN, b->efd));
	}
}

TEST_F(bounce, no_wake_up_is_lost)
{
	int n = drv_rounds(variant->n);
	struct bouncer l3 = { .n = n, .start = variant->start, .first = true };
	struct bouncer l2 = { .n = n, .start = variant->start, .plain = variant->silent };
	struct l3l2q_stats s3, s2;
	pthread_t threads[2];

	bouncer_init(_metadata, &l3, &self->p.l3, variant->l3);
	bouncer_init(_metadata, &l2, &self->p.l2, variant->l2);
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, bounce_main, &l3));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, bounce_main, &l2));
	ASSERT_EQ(0, pthread_join(threads[0], NULL));
	ASSERT_EQ(0, pthread_join(threads[1], NULL));
	EXPECT_EQ(0, l3.bad);
	EXPECT_EQ(0, l2.bad);
	EXPECT_EQ(variant->start + (__u32)n,
		  drv_load(&self->p.l3, L3L2Q_CTR_OUTPUT_TAIL));
	EXPECT_EQ(variant->start + (__u32)n,
		  drv_load(&self->p.l2, L3L2Q_CTR_INPUT_TAIL));
	/* at most one kick a message */
	ASSERT_EQ(0, drv_stats(self->p.l3.fd, &s3));
	ASSERT_EQ(0, drv_stats(self->p.l2.fd, &s2));
	EXPECT_GE(n, (int)s3.kicks);
	EXPECT_GE(n, (int)s2.kicks);
	close(l3.epfd);
	close(l3.efd);
	close(l2.epfd);
	close(l2.efd);
}

/* ---- garbage ----------------------------------------------------------- */

FIXTURE(scribble)
{
	struct drv_pair p;
	__u64 taint;
};

FIXTURE_VARIANT(scribble)
{
	__u32 role;	/* of the scribbler */
	bool silent;
};

FIXTURE_VARIANT_ADD(scribble, by_l3) { .role = L3L2Q_ROLE_L3 };
FIXTURE_VARIANT_ADD(scribble, by_l2) { .role = L3L2Q_ROLE_L2 };
FIXTURE_VARIANT_ADD(scribble, by_silent_l2) { .role = L3L2Q_ROLE_L2, .silent = true };

FIXTURE_SETUP(scribble)
{
	struct l3l2q_create create;

	drv_create_init(&create);
	if (variant->silent)
		create.flags = L3L2Q_CREATE_SILENT_PEER;
	drv_pair_create(_metadata, &self->p, &create);
	self->taint = stress_taint();
}

FIXTURE_TEARDOWN(scribble)
{
	drv_pair_close(&self->p);
}

static void scribble_main(struct drv_ep *ep, int sock)
{
	__u64 state = 0x123456789abcdefull + ep->role, n = 0;
	__u32 value, *word;
	size_t payload = ep->info.region.payload_bytes / 4;

	drv_say(sock, 's');
	for (;;) {
		value = stress_rand(&state);
		if (value & 0x1000000)
			value = (value & 0xf) - 8;
		switch (stress_rand(&state) % 5) {
		case 0:
			/* every line, also the other role's */
			word = (__u32 *)(ep->counters +
					 stress_rand(&state) % (L3L2Q_COUNTER_BYTES / 4) * 4);
			break;
		case 1:
			word = (__u32 *)(ep->counters +
					 stress_rand(&state) % 6 * L3L2Q_LINE_BYTES);
			break;
		case 2:
			word = (__u32 *)ep->payload + stress_rand(&state) % payload;
			break;
		case 3:
			word = (__u32 *)ep->own + stress_rand(&state) % (sizeof(*ep->own) / 4);
			break;
		default:
			word = (__u32 *)ep->map[L3L2Q_MAP_CONTROL] +
			       stress_rand(&state) % (ep->info.map[L3L2Q_MAP_CONTROL].length / 4);
			break;
		}
		__atomic_store_n(word, value, __ATOMIC_RELAXED);
		if (++n % 64 == 0)
			drv_kick(ep->fd, value & 1);
		if (n % 4096 == 0)
			drv_arm(ep->fd, value & (L3L2Q_EVENT_ALL | L3L2Q_ARM_SLOTS));
	}
}

TEST_F(scribble, costs_the_other_side_nothing_but_looks)
{
	bool by_l3 = variant->role == L3L2Q_ROLE_L3;
	struct drv_ep *bad = by_l3 ? &self->p.l3 : &self->p.l2;
	struct drv_ep *good = by_l3 ? &self->p.l2 : &self->p.l3;
	int epfd = epoll_create1(EPOLL_CLOEXEC), efd = drv_eventfd_new(), i, ret;
	struct l3l2q_condition c[4];
	struct l3l2q_stats stats;
	struct drv_child child;
	char buf[4096], path[64];
	__u64 state = 42;

	ASSERT_EQ(0, drv_ep_map(good));
	if (!drv_fork(_metadata, &child)) {
		ASSERT_EQ(0, drv_ep_map(bad));
		scribble_main(bad, child.sock);
	}
	ASSERT_EQ('s', drv_hear(child.sock));
	ASSERT_EQ(0, drv_epoll_add(epfd, good->fd, EPOLLIN | EPOLLOUT | EPOLLET));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", good->fd);
	for (i = 0; i < drv_rounds(2500); i++) {
		__u32 at = stress_rand(&state) % (L3L2Q_COUNTER_BYTES / 4) * 4;

		switch (i % 11) {
		case 0:
			EXPECT_LE(0, drv_poll(good->fd, POLLIN | POLLOUT | POLLPRI, 0));
			break;
		case 1:
			EXPECT_LE(0, drv_epoll(epfd, i & 1));
			break;
		case 2:
			ret = drv_wait(good->fd, L3L2Q_EVENT_ALL, NULL, 0,
				       drv_now() + 200000, NULL);
			EXPECT_TRUE(ret == 0 || ret == -ETIMEDOUT);
			break;
		case 3:
			c[0] = c[1] = c[2] = c[3] = (struct l3l2q_condition) {
				.offset = at, .cmp = (__u32)i % 6,
				.value = (__s32)stress_rand(&state) };
			ret = drv_wait(good->fd, 0, c, 4, drv_now() + 200000, NULL);
			EXPECT_TRUE(ret == 0 || ret == -ETIMEDOUT);
			break;
		case 4:
			EXPECT_LE(0, drv_arm(good->fd, L3L2Q_EVENT_ALL | L3L2Q_ARM_SLOTS));
			break;
		case 5:
			EXPECT_EQ(0, drv_kick(good->fd, (unsigned long)i / 11 & 1));
			break;
		case 6:
			ret = drv_set(good->fd, at, (__s32)stress_rand(&state));
			EXPECT_TRUE(ret == 0 || ret == -EPERM);
			break;
		case 7:
			EXPECT_EQ(0, drv_eventfd_counter(good->fd, (__u32)i % 8, efd, at,
							 (__u32)i % 6, (__s32)i));
			drv_signals(efd);
			break;
		case 8:
			EXPECT_EQ(0, drv_eventfd(good->fd, (__u32)i / 11 % 3, efd));
			drv_signals(efd);
			break;
		case 9:
			EXPECT_EQ(0, drv_stats(good->fd, &stats));
			EXPECT_EQ(0, drv_set_polling(good->fd, i & 2 ? L3L2Q_PEER_SILENT :
						     L3L2Q_PEER_ARMS, 0, 0));
			break;
		default:
			EXPECT_NE(0, drv_read_file(path, buf, sizeof(buf))[0]);
			break;
		}
		/* some of the scribbling is ours */
		if (i % 3 == 0)
			drv_consumer(good, stress_rand(&state), stress_rand(&state));
		if (i % 5 == 0)
			drv_producer(good, stress_rand(&state), stress_rand(&state));
	}
	EXPECT_EQ(1000 + SIGKILL, drv_kill(&child));
	EXPECT_EQ(EPOLLHUP | EPOLLERR, drv_poll(good->fd, 0, DRV_HANG_MS));
	EXPECT_EQ(L3L2Q_STATE_DEAD, good->status->state[variant->role]);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, good->status->state[good->role]);
	EXPECT_EQ(0, good->status->removed);
	EXPECT_EQ(1, drv_load(good, l3l2q_ctr_abort(variant->role)));
	EXPECT_EQ(self->taint, stress_taint());
	close(epfd);
	close(efd);
}

/* ---- random calls ------------------------------------------------------ */

#define CHAOS_FDS 12

struct chaos {
	int fds[CHAOS_FDS];	/* shared by the threads, replaced at random */
	int ctx;
	__u64 seed;
	int n;
	int bad;	/* an errno that no call should return */
	unsigned long bad_cmd;
};

static bool chaos_allowed(int ret)
{
	switch (ret) {
	case -EINVAL: case -E2BIG: case -EFAULT: case -ENOTTY: case -EPERM: case -EBADF:
	case -ERANGE: case -EBUSY: case -ESHUTDOWN: case -ETIMEDOUT: case -ENOENT: case -ENODEV:
	case -EFBIG: case -EDQUOT: case -ENOMEM: case -EOPNOTSUPP: case -EMFILE: case -EINTR:
		return true;
	default:
		return ret >= 0;
	}
}

/* Plausible more often than not, so that it gets past the checks. */
static __u64 chaos_value(__u64 *state)
{
	__u32 r = stress_rand(state);

	switch (r % 8) {
	case 0: return 0;
	case 1: return 1;
	case 2: return r >> 8 & 7;
	case 3: return (r >> 8) % 100 * 4;
	case 4: return (r >> 8) % 6 * 64;
	case 5: return r;
	case 6: return (__u64)stress_rand(state) << 32 | r;
	default: return ~0ull;
	}
}

static void chaos_call(struct chaos *chaos, __u64 *state)
{
	const struct { unsigned long cmd; __u32 size; } calls[] = {
		{ L3L2Q_IOC_QUERY, sizeof(struct l3l2q_query) },
		{ L3L2Q_IOC_INFO, sizeof(struct l3l2q_info) },
		{ L3L2Q_IOC_NOTIFY, sizeof(struct l3l2q_notify) },
		{ L3L2Q_IOC_TEST, sizeof(struct l3l2q_test) },
		{ L3L2Q_IOC_WAIT, sizeof(struct l3l2q_wait) },
		{ L3L2Q_IOC_ARM, sizeof(struct l3l2q_arm) },
		{ L3L2Q_IOC_EVENTFD, sizeof(struct l3l2q_eventfd) },
		{ L3L2Q_IOC_SET_POLLING, sizeof(struct l3l2q_set_polling) },
		{ L3L2Q_IOC_STATS, sizeof(struct l3l2q_stats) },
		{ L3L2Q_IOC_EXPORT_DMABUF, sizeof(struct l3l2q_export_dmabuf) },
	};
	__u32 r = stress_rand(state), i = r % ARRAY_SIZE(calls);
	struct l3l2q_condition c[4];
	union {
		__u64 words[64];
		__u32 head[2];
		struct l3l2q_wait wait;
		struct l3l2q_eventfd eventfd;
		struct l3l2q_export_dmabuf export;
	} u;
	int fd = chaos->fds[stress_rand(state) % CHAOS_FDS], ret;
	size_t w;

	for (w = 0; w < ARRAY_SIZE(u.words); w++)
		u.words[w] = r & 0x100 ? chaos_value(state) : 0;
	u.head[0] = r % 16 ? calls[i].size : (__u32)chaos_value(state);
	u.head[1] = r % 13 ? 0 : (__u32)chaos_value(state);
	if (calls[i].cmd == L3L2Q_IOC_WAIT) {
		for (w = 0; w < ARRAY_SIZE(c); w++)
			c[w] = (struct l3l2q_condition) {
				.offset = stress_rand(state) % 100 * 4,
				.cmp = stress_rand(state) % 6,
				.value = (__s32)chaos_value(state),
			};
		u.wait.conditions = (uintptr_t)c;
		u.wait.nr_conditions = stress_rand(state) % 6;
		u.wait.condition_size = sizeof(c[0]);
		u.wait.events = stress_rand(state) & 0x1f;
		/* never for ever */
		u.wait.deadline_ns = drv_now() + stress_rand(state) % 2000000;
		u.wait.pad = 0;
	}
	if (calls[i].cmd == L3L2Q_IOC_EVENTFD && r & 0x200) {
		memset(&u, 0, sizeof(u.eventfd));
		u.eventfd.size = sizeof(u.eventfd);
		u.eventfd.kind = stress_rand(state) % 4;
		u.eventfd.fd = stress_rand(state) % 3 ? chaos->fds[CHAOS_FDS - 1] : -1;
		if (u.eventfd.kind == L3L2Q_EVENTFD_COUNTER) {
			u.eventfd.slot = stress_rand(state) % 8;
			u.eventfd.cmp = stress_rand(state) % 6;
			u.eventfd.offset = stress_rand(state) % 96 * 4;
		}
	}
	ret = drv_ioctl(fd, calls[i].cmd, &u);
	if (!ret && calls[i].cmd == L3L2Q_IOC_EXPORT_DMABUF)
		close(u.export.fd);
	if (!chaos_allowed(ret)) {
		chaos->bad = ret;
		chaos->bad_cmd = calls[i].cmd;
	}
}

static void *chaos_main(void *arg)
{
	struct chaos *chaos = arg;
	__u64 state = __atomic_fetch_add(&chaos->seed, 0x9e3779b97f4a7c15ull, __ATOMIC_RELAXED);
	struct l3l2q_create create;
	struct l3l2q_info info;
	int i, fd, which, err;
	void *p;

	for (i = 0; i < chaos->n; i++) {
		__u32 r = stress_rand(&state);

		which = (int)(stress_rand(&state) % (CHAOS_FDS - 1));
		fd = chaos->fds[which];
		switch (r % 24) {
		case 0:
			drv_create_init(&create);
			create.role = r >> 8 & 1;
			create.flags = r >> 9 & 1 ? L3L2Q_CREATE_SILENT_PEER : 0;
			if (r >> 10 & 1)
				drv_create_init_raw(&create, 5000, 400);
			err = drv_create(chaos->ctx, &create);
			/* dup2 closes what another thread may be using */
			if (err >= 0) {
				dup2(err, fd);
				close(err);
			}
			break;
		case 1:
			err = drv_open_peer(fd);
			if (err >= 0) {
				dup2(err, chaos->fds[stress_rand(&state) % (CHAOS_FDS - 1)]);
				close(err);
			}
			break;
		case 2:
			if (r >> 8 & 1)
				drv_detach(fd);
			break;
		case 3: case 4: case 5:
			if (drv_info(fd, &info))
				break;
			p = drv_mmap(fd, &info.map[r >> 8 & 3], PROT_READ | (r >> 10 & PROT_WRITE),
				     &err);
			if (!p)
				break;
			*(volatile char *)p;
			if (r >> 12 & 1)
				drv_poll(fd, POLLIN, 0);
			munmap(p, info.map[r >> 8 & 3].length);
			break;
		case 6: case 7:
			drv_poll(fd, (short)(r >> 8), r >> 24 & 1);
			break;
		case 8: case 9:
			drv_kick(fd, r >> 8 & 1);
			break;
		default:
			chaos_call(chaos, &state);
			break;
		}
	}
	return NULL;
}

FIXTURE(chaos)
{
	struct chaos chaos;
	__u64 taint;
};

FIXTURE_SETUP(chaos)
{
	struct l3l2q_create create;
	int i;

	self->taint = stress_taint();
	self->chaos.ctx = drv_open();
	ASSERT_LE(0, self->chaos.ctx);
	for (i = 0; i < CHAOS_FDS - 1; i++) {
		drv_create_init(&create);
		self->chaos.fds[i] = drv_create(self->chaos.ctx, &create);
		ASSERT_LE(0, self->chaos.fds[i]);
	}
	self->chaos.fds[i] = drv_eventfd_new();
	self->chaos.seed = 20261122;
	self->chaos.n = drv_rounds(2500);
}

FIXTURE_TEARDOWN(chaos)
{
	int i;

	for (i = 0; i < CHAOS_FDS; i++)
		close(self->chaos.fds[i]);
	close(self->chaos.ctx);
}

TEST_F(chaos, random_calls_by_several_threads_do_no_harm)
{
	struct l3l2q_create create;
	pthread_t threads[4];
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, chaos_main, &self->chaos));
	}
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	}
	EXPECT_EQ(0, self->chaos.bad)
		TH_LOG("ioctl %#lx", self->chaos.bad_cmd);
	EXPECT_EQ(self->taint, stress_taint());
	/* and it still works */
	drv_create_init(&create);
	fd = drv_create(self->chaos.ctx, &create);
	EXPECT_LE(0, fd);
	close(fd);
}

TEST_F(chaos, killing_whoever_does_random_calls_does_no_harm)
{
	struct drv_child child;
	pthread_t threads[3];
	size_t i, round;

	for (round = 0; round < 10; round++) {
		if (!drv_fork(_metadata, &child)) {
			self->chaos.n = INT_MAX;
			self->chaos.seed += round;
			for (i = 0; i < ARRAY_SIZE(threads); i++)
				pthread_create(&threads[i], NULL, chaos_main, &self->chaos);
			drv_say(child.sock, 'g');
			drv_hear_forever(child.sock);
		}
		ASSERT_EQ('g', drv_hear(child.sock));
		drv_observe(20 + (int)round * 7);
		EXPECT_EQ(1000 + SIGKILL, drv_kill(&child));
	}
	EXPECT_EQ(self->taint, stress_taint());
}

/* ---- ends while others sleep ------------------------------------------- */

TEST_F(chaos, ends_of_every_kind_wake_sleepers_at_any_moment)
{
	struct drv_sleeper s[4];
	struct drv_pair p;
	int round, i;

	for (round = 0; round < drv_rounds(80); round++) {
		drv_pair_queue(_metadata, &p);
		for (i = 0; i < 4; i++) {
			/* no look at whether they sleep yet */
			memset(&s[i], 0, sizeof(s[i]));
			s[i].how = i & 1 ? DRV_BY_POLL : DRV_BY_WAIT;
			s[i].fd = i & 2 ? p.l3.fd : p.l2.fd;
			s[i].events = L3L2Q_EVENT_IN;
			s[i].extra = -1;
			s[i].deadline = L3L2Q_WAIT_FOREVER;
			drv_sleeper_go(_metadata, &s[i]);
		}
		switch (round % 4) {
		case 0:
			EXPECT_EQ(0, drv_detach(p.l3.fd));
			break;
		case 1:
			drv_ep_unmap(&p.l3, L3L2Q_MAP_COUNTERS);
			break;
		case 2:
			drv_ep_unmap(&p.l2, L3L2Q_MAP_COUNTERS);
			break;
		default:
			EXPECT_EQ(0, drv_detach(p.l2.fd));
			drv_ep_unmap(&p.l3, L3L2Q_MAP_COUNTERS);
			break;
		}
		/* the end of one role ends waits at both */
		for (i = 0; i < 4; i++) {
			drv_sleeper_join(_metadata, &s[i]);
			EXPECT_TRUE(s[i].ret == 0 || s[i].ret == -ESHUTDOWN);
		}
		drv_pair_close(&p);
	}
	EXPECT_EQ(self->taint, stress_taint());
}

TEST_F(chaos, eventfds_replaced_while_they_fire_do_no_harm)
{
	int n = drv_rounds(1000);
	struct bouncer l3 = { .n = n, .first = true }, l2 = { .n = n };
	pthread_t threads[2];
	struct drv_pair p;
	int efd[2] = { drv_eventfd_new(), drv_eventfd_new() }, i;

	drv_pair_queue(_metadata, &p);
	bouncer_init(_metadata, &l3, &p.l3, DRV_BY_WAIT);
	bouncer_init(_metadata, &l2, &p.l2, DRV_BY_WAIT);
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, bounce_main, &l3));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, bounce_main, &l2));
	for (i = 0; i < n; i++) {
		EXPECT_EQ(0, drv_eventfd(p.l2.fd, L3L2Q_EVENTFD_IN, efd[i & 1]));
		if (i % 7 == 0) {
			EXPECT_EQ(0, drv_eventfd(p.l2.fd, L3L2Q_EVENTFD_IN, -1));
		}
	}
	ASSERT_EQ(0, pthread_join(threads[0], NULL));
	ASSERT_EQ(0, pthread_join(threads[1], NULL));
	EXPECT_EQ(0, l3.bad);
	EXPECT_EQ(0, l2.bad);
	drv_pair_close(&p);
	EXPECT_EQ(self->taint, stress_taint());
}

TEST_HARNESS_MAIN
