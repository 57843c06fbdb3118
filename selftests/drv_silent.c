// SPDX-License-Identifier: GPL-2.0-only
/*
 * A peer that only loads and stores: the kernel looks for it while somebody
 * sleeps, and only then.
 */
#include "drv_util.h"

FIXTURE(silent)
{
	struct drv_pair p;
	struct drv_sleeper s;
};

/* Each way to sleep, and each way to say that the peer is silent. */
FIXTURE_VARIANT(silent)
{
	enum drv_how how;
	bool by_polling;
};

FIXTURE_VARIANT_ADD(silent, wait) { .how = DRV_BY_WAIT };
FIXTURE_VARIANT_ADD(silent, poll) { .how = DRV_BY_POLL };
FIXTURE_VARIANT_ADD(silent, epoll) { .how = DRV_BY_EPOLL };
FIXTURE_VARIANT_ADD(silent, epoll_et) { .how = DRV_BY_EPOLL_ET };
FIXTURE_VARIANT_ADD(silent, eventfd) { .how = DRV_BY_EVENTFD };
FIXTURE_VARIANT_ADD(silent, wait_set) { .how = DRV_BY_WAIT, .by_polling = true };
FIXTURE_VARIANT_ADD(silent, epoll_set) { .how = DRV_BY_EPOLL, .by_polling = true };

static void silent_pair(struct __test_metadata *_metadata, struct drv_pair *pair, bool by_polling)
{
	struct l3l2q_create create;

	drv_create_init(&create);
	if (!by_polling)
		create.flags = L3L2Q_CREATE_SILENT_PEER;
	drv_pair_create(_metadata, pair, &create);
	if (by_polling) {
		ASSERT_EQ(0, drv_set_polling(pair->l3.fd, L3L2Q_PEER_SILENT, 0, 0));
	}
	/* L2's mapping stands for the NPU: nothing but stores go through it */
	drv_pair_map(_metadata, pair);
	ASSERT_EQ(L3L2Q_PEER_SILENT, pair->l3.info.peer_kind);
}

FIXTURE_SETUP(silent)
{
	silent_pair(_metadata, &self->p, variant->by_polling);
}

FIXTURE_TEARDOWN(silent)
{
	drv_sleeper_done(&self->s);
	drv_pair_close(&self->p);
}

#define L3 (&self->p.l3)
#define L2 (&self->p.l2)

/*
 * The kernel must stop looking, and waking. A last look may be due, however late
 * the host lets it happen, and we may see it half done; a timer that goes on would
 * look hundreds of times in each window.
 */
static void silent_no_timer(struct __test_metadata *_metadata, struct drv_ep *ep)
{
	struct l3l2q_stats before, after;
	int windows = 20;

	ASSERT_EQ(0, drv_stats(ep->fd, &after));
	do {
		ASSERT_LT(0, windows--)
			TH_LOG("the timer does not stop");
		before = after;
		drv_observe(400);
		ASSERT_EQ(0, drv_stats(ep->fd, &after));
	} while (before.timer_ticks != after.timer_ticks || before.wakeups != after.wakeups);
}

/* The kernel looks, now. */
static void silent_timer_runs(struct __test_metadata *_metadata, struct drv_ep *ep)
{
	__u64 deadline = drv_deadline(DRV_HANG_MS);
	struct l3l2q_stats before, after;

	ASSERT_EQ(0, drv_stats(ep->fd, &before));
	do {
		ASSERT_GT(deadline, drv_now())
			TH_LOG("the timer does not run");
		drv_observe(1);
		ASSERT_EQ(0, drv_stats(ep->fd, &after));
	} while (after.timer_ticks < before.timer_ticks + 3);
}

TEST_F(silent, a_stored_tail_wakes)
{
	struct l3l2q_stats stats;

	drv_sleeper_start(_metadata, &self->s, variant->how, L3->fd, L3L2Q_EVENT_IN);
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, 1);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_IN));
	ASSERT_EQ(0, drv_stats(L3->fd, &stats));
	EXPECT_LE(1, stats.timer_ticks);
	EXPECT_LE(1, stats.timer_wakeups);
	silent_no_timer(_metadata, L3);
}

TEST_F(silent, a_stored_head_wakes)
{
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, DRV_DEPTH);
	drv_sleeper_start(_metadata, &self->s, variant->how, L3->fd, L3L2Q_EVENT_OUT);
	drv_store(L2, L3L2Q_CTR_INPUT_HEAD, 1);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_OUT));
	silent_no_timer(_metadata, L3);
}

TEST_F(silent, a_stored_abort_flag_wakes)
{
	drv_sleeper_start(_metadata, &self->s, variant->how, L3->fd, L3L2Q_EVENT_ABORT);
	drv_store(L2, L3L2Q_CTR_L2_ABORT, 1);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_ABORT));
	silent_no_timer(_metadata, L3);
}

TEST_F(silent, what_is_not_ready_does_not_wake)
{
	struct l3l2q_stats before, after;

	drv_consumer(L3, L3L2Q_CONSUMER_SEEN | L3L2Q_CONSUMER_HOLD, 0);
	drv_sleeper_start(_metadata, &self->s, variant->how, L3->fd, L3L2Q_EVENT_IN);
	ASSERT_EQ(0, drv_stats(L3->fd, &before));
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, 1);
	silent_timer_runs(_metadata, L3);
	ASSERT_EQ(0, drv_stats(L3->fd, &after));
	EXPECT_EQ(before.timer_wakeups, after.timer_wakeups);
	EXPECT_TRUE(drv_sleeper_sleeps(&self->s));
	drv_consumer(L3, L3L2Q_CONSUMER_SEEN, 0);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_IN));
}

TEST_F(silent, every_one_of_many_messages_wakes)
{
	__u32 i;

	drv_sleeper_start(_metadata, &self->s, variant->how, L3->fd, L3L2Q_EVENT_IN);
	for (i = 1; i <= 30; i++) {
		drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, i);
		drv_sleeper_join(_metadata, &self->s);
		ASSERT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_IN));
		drv_consumer(L3, L3L2Q_CONSUMER_SEEN, i);
		if (variant->how == DRV_BY_EVENTFD) {
			/* a store cannot start the timer: ARM does */
			EXPECT_EQ(1, drv_signals(self->s.extra));
			EXPECT_EQ(0, drv_arm(L3->fd, L3L2Q_EVENT_IN));
		} else if (variant->how == DRV_BY_EPOLL || variant->how == DRV_BY_EPOLL_ET) {
			EXPECT_EQ(0, drv_epoll(self->s.extra, 0));
		}
		drv_sleeper_go(_metadata, &self->s);
	}
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, i);
	drv_sleeper_join(_metadata, &self->s);
}

TEST_F(silent, a_notify_wakes_too)
{
	drv_sleeper_start(_metadata, &self->s, variant->how, L3->fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_set(L2->fd, L3L2Q_CTR_OUTPUT_TAIL, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_IN));
	silent_no_timer(_metadata, L3);
}

TEST_F(silent, death_wakes_and_stops_the_timer)
{
	drv_sleeper_start(_metadata, &self->s, variant->how, L3->fd, L3L2Q_EVENT_ABORT);
	drv_ep_unmap(L2, L3L2Q_MAP_COUNTERS);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_ABORT));
	silent_no_timer(_metadata, L3);
}

/* ---- no timer without a sleeper ---------------------------------------- */

FIXTURE(timer)
{
	struct drv_pair p;
	struct drv_sleeper s;
};

FIXTURE_SETUP(timer)
{
	silent_pair(_metadata, &self->p, false);
}

FIXTURE_TEARDOWN(timer)
{
	drv_sleeper_done(&self->s);
	drv_pair_close(&self->p);
}

TEST_F(timer, an_idle_silent_pair_has_none)
{
	struct l3l2q_stats stats;

	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, 1);
	drv_observe(5000);
	ASSERT_EQ(0, drv_stats(L3->fd, &stats));
	EXPECT_EQ(0, stats.timer_ticks);
	EXPECT_EQ(0, stats.wakeups);
	ASSERT_EQ(0, drv_stats(L2->fd, &stats));
	EXPECT_EQ(0, stats.timer_ticks);
	EXPECT_EQ(0, stats.wakeups);
}

TEST_F(timer, only_the_sleepers_role_is_looked_at)
{
	struct l3l2q_stats stats;

	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L3->fd, L3L2Q_EVENT_IN);
	silent_timer_runs(_metadata, L3);
	ASSERT_EQ(0, drv_stats(L2->fd, &stats));
	EXPECT_EQ(0, stats.timer_ticks);
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, 1);
	drv_sleeper_join(_metadata, &self->s);
}

TEST_F(timer, a_wait_that_timed_out_leaves_none)
{
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L3->fd, L3L2Q_EVENT_IN, NULL, 0, drv_deadline(20), NULL));
	silent_no_timer(_metadata, L3);
}

TEST_F(timer, a_poll_that_timed_out_leaves_none)
{
	EXPECT_EQ(0, drv_poll(L3->fd, POLLIN, 20));
	silent_no_timer(_metadata, L3);
	/* and one that only looked */
	EXPECT_EQ(0, drv_poll(L3->fd, POLLIN, 0));
	silent_no_timer(_metadata, L3);
}

TEST_F(timer, an_interrupted_wait_leaves_none)
{
	struct drv_child child;

	if (!drv_fork(_metadata, &child)) {
		drv_say(child.sock, 'r');
		drv_wait(L3->fd, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER, NULL);
		_exit(1);
	}
	ASSERT_EQ('r', drv_hear(child.sock));
	ASSERT_TRUE(drv_asleep(child.pid, child.pid, __NR_ioctl));
	drv_kill(&child);
	silent_no_timer(_metadata, L3);
}

TEST_F(timer, a_removed_epoll_entry_leaves_none)
{
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_EQ(0, drv_epoll_add(epfd, L3->fd, EPOLLIN));
	EXPECT_EQ(0, drv_epoll(epfd, 20));
	ASSERT_EQ(0, epoll_ctl(epfd, EPOLL_CTL_DEL, L3->fd, NULL));
	silent_no_timer(_metadata, L3);
	close(epfd);
}

TEST_F(timer, a_removed_eventfd_leaves_none)
{
	int efd = drv_eventfd_new();

	ASSERT_EQ(0, drv_eventfd(L3->fd, L3L2Q_EVENTFD_IN, efd));
	drv_observe(20);
	ASSERT_EQ(0, drv_eventfd(L3->fd, L3L2Q_EVENTFD_IN, -1));
	silent_no_timer(_metadata, L3);
	close(efd);
}

TEST_F(timer, ones_own_detach_ends_it)
{
	int efd = drv_eventfd_new();

	ASSERT_EQ(0, drv_eventfd(L3->fd, L3L2Q_EVENTFD_IN, efd));
	EXPECT_EQ(0, drv_detach(L3->fd));
	silent_no_timer(_metadata, L3);
	close(efd);
}

TEST_F(timer, it_runs_while_an_eventfd_waits_and_stops_once_fired)
{
	int efd = drv_eventfd_new();

	ASSERT_EQ(0, drv_eventfd(L3->fd, L3L2Q_EVENTFD_IN, efd));
	silent_timer_runs(_metadata, L3);
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, 1);
	EXPECT_EQ(1, drv_signals_wait(efd));
	silent_no_timer(_metadata, L3);
	EXPECT_EQ(0, drv_signals(efd));
	close(efd);
}

TEST_F(timer, counter_eventfds_and_conditions_fire)
{
	struct l3l2q_condition c = { .offset = L3L2Q_CTR_INPUT_HEAD, .cmp = L3L2Q_CMP_GE, .value = 3 };
	int efd = drv_eventfd_new();

	ASSERT_EQ(0, drv_eventfd_counter(L3->fd, 7, efd, L3L2Q_CTR_INPUT_HEAD, L3L2Q_CMP_GE, 2));
	drv_store(L2, L3L2Q_CTR_INPUT_HEAD, 1);
	drv_sleeper_start_wait(_metadata, &self->s, L3->fd, 0, &c, 1);
	drv_store(L2, L3L2Q_CTR_INPUT_HEAD, 2);
	EXPECT_EQ(1, drv_signals_wait(efd));
	EXPECT_TRUE(drv_sleeper_sleeps(&self->s));
	drv_store(L2, L3L2Q_CTR_INPUT_HEAD, 3);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(3, c.observed);
	silent_no_timer(_metadata, L3);
	close(efd);
}

TEST_F(timer, a_raw_regions_conditions_are_looked_at)
{
	struct l3l2q_condition c = { .offset = 1000, .cmp = L3L2Q_CMP_EQ, .value = 5 };
	struct l3l2q_create create;
	struct drv_pair p;

	drv_create_init_raw(&create, 4096, 4096);
	create.flags = L3L2Q_CREATE_SILENT_PEER;
	drv_pair_create(_metadata, &p, &create);
	drv_pair_map(_metadata, &p);
	drv_sleeper_start_wait(_metadata, &self->s, p.l3.fd, 0, &c, 1);
	drv_store(&p.l2, 1000, 5);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(5, c.observed);
	silent_no_timer(_metadata, &p.l3);
	drv_pair_close(&p);
}

TEST_F(timer, closing_while_it_runs_is_safe)
{
	int efd = drv_eventfd_new(), i;
	struct drv_pair p;

	for (i = 0; i < drv_rounds(100); i++) {
		silent_pair(_metadata, &p, i & 1);
		ASSERT_EQ(0, drv_eventfd(p.l3.fd, L3L2Q_EVENTFD_IN, efd));
		if (i % 3 == 0)
			drv_store(&p.l2, L3L2Q_CTR_OUTPUT_TAIL, 1);
		drv_pair_close(&p);
	}
	close(efd);
}

TEST_F(timer, many_regions_at_once_all_wake)
{
	struct drv_pair p[40];
	int efd[40];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		silent_pair(_metadata, &p[i], false);
		efd[i] = drv_eventfd_new();
		ASSERT_EQ(0, drv_eventfd(p[i].l3.fd, L3L2Q_EVENTFD_IN, efd[i]));
	}
	for (i = 0; i < ARRAY_SIZE(p); i++)
		drv_store(&p[i].l2, L3L2Q_CTR_OUTPUT_TAIL, 1);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		EXPECT_EQ(1, drv_signals_wait(efd[i]));
		close(efd[i]);
		drv_pair_close(&p[i]);
	}
}

/* ---- SET_POLLING ------------------------------------------------------- */

TEST_F(timer, bad_polling_is_einval)
{
	struct l3l2q_query q;
	__u32 i;

	ASSERT_EQ(0, drv_query(self->p.ctx, &q));
	EXPECT_EQ(-EINVAL, drv_set_polling(L3->fd, L3L2Q_PEER_RINGS, 0, 0));
	EXPECT_EQ(-EINVAL, drv_set_polling(L3->fd, 3, 0, 0));
	EXPECT_EQ(-EINVAL, drv_set_polling(L3->fd, UINT_MAX, 0, 0));
	EXPECT_EQ(-EINVAL, drv_set_polling(L3->fd, L3L2Q_PEER_SILENT, q.poll_max_ns, q.poll_min_ns));
	for (i = 1; i < q.poll_min_ns; i *= 3) {
		EXPECT_EQ(-EINVAL, drv_set_polling(L3->fd, L3L2Q_PEER_SILENT, i, 0));
		EXPECT_EQ(-EINVAL, drv_set_polling(L3->fd, L3L2Q_PEER_SILENT, i, q.poll_max_ns));
		EXPECT_EQ(-EINVAL, drv_set_polling(L3->fd, L3L2Q_PEER_SILENT, 0, i));
	}
	EXPECT_EQ(-EINVAL, drv_set_polling(L3->fd, L3L2Q_PEER_SILENT, 0, UINT_MAX));
	EXPECT_EQ(-EINVAL, drv_set_polling(L3->fd, L3L2Q_PEER_SILENT, q.poll_max_ns + 1, 0));
	EXPECT_EQ(-EINVAL, drv_set_polling(L3->fd, L3L2Q_PEER_SILENT, 0, q.poll_max_ns + 1));
	ASSERT_EQ(0, drv_ep_look(L3));
	EXPECT_EQ(L3L2Q_PEER_SILENT, L3->info.peer_kind);
	EXPECT_EQ(0, drv_set_polling(L3->fd, L3L2Q_PEER_SILENT, q.poll_min_ns, q.poll_max_ns));
	EXPECT_EQ(0, drv_set_polling(L3->fd, L3L2Q_PEER_SILENT, q.poll_min_ns, q.poll_min_ns));
	EXPECT_EQ(0, drv_set_polling(L3->fd, L3L2Q_PEER_SILENT, q.poll_max_ns, q.poll_max_ns));
	/* still works at its slowest */
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L3->fd, L3L2Q_EVENT_IN);
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, 1);
	drv_sleeper_join(_metadata, &self->s);
}

TEST_F(timer, turning_it_off_stops_it_and_on_starts_it)
{
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L3->fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_set_polling(L3->fd, L3L2Q_PEER_ARMS, 0, 0));
	ASSERT_EQ(0, drv_ep_look(L3));
	EXPECT_EQ(L3L2Q_PEER_ARMS, L3->info.peer_kind);
	silent_no_timer(_metadata, L3);
	EXPECT_TRUE(drv_sleeper_sleeps(&self->s));
	/* for somebody who sleeps already */
	EXPECT_EQ(0, drv_set_polling(L3->fd, L3L2Q_PEER_SILENT, 0, 0));
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, 1);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	silent_no_timer(_metadata, L3);
}

TEST_F(timer, a_peer_that_arms_is_not_looked_for)
{
	struct l3l2q_stats stats;

	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 1);
	drv_observe(200);
	EXPECT_TRUE(drv_sleeper_sleeps(&self->s));
	ASSERT_EQ(0, drv_stats(L2->fd, &stats));
	EXPECT_EQ(0, stats.timer_ticks);
	EXPECT_EQ(0, drv_kick(L3->fd, 0));
	drv_sleeper_join(_metadata, &self->s);
}

/* ---- what it may cost -------------------------------------------------- */

#define POLL_USER_MIN	"/sys/module/l3l2q/parameters/poll_user_min_us"

TEST_F(timer, short_periods_take_a_privilege)
{
	struct l3l2q_create create;
	struct drv_child child;
	struct drv_pair p;
	struct l3l2q_query q;
	int status;

	ASSERT_EQ(0, drv_query(self->p.ctx, &q));
	EXPECT_EQ(q.poll_min_ns, q.poll_user_min_ns);
	if (drv_write_file(POLL_USER_MIN, "500"))
		SKIP(return, "cannot write %s", POLL_USER_MIN);
	EXPECT_EQ(0, drv_query(self->p.ctx, &q));
	EXPECT_EQ(500000, q.poll_user_min_ns);
	/* attached by no process */
	drv_create_init(&create);
	drv_pair_create(_metadata, &p, &create);
	if (!drv_fork(_metadata, &child)) {
		if (setresuid(1234, 1234, 1234))
			_exit(2);
		if (drv_set_polling(p.l3.fd, L3L2Q_PEER_SILENT, 499999, 0) != -EPERM)
			_exit(3);
		if (drv_set_polling(p.l3.fd, L3L2Q_PEER_SILENT, 0, 499999) != -EPERM)
			_exit(4);
		if (drv_set_polling(p.l3.fd, L3L2Q_PEER_SILENT, 1, 0) != -EINVAL)
			_exit(5);
		if (drv_set_polling(p.l3.fd, L3L2Q_PEER_SILENT, 500000, 500000))
			_exit(6);
		if (drv_set_polling(p.l3.fd, L3L2Q_PEER_SILENT, 0, 0))
			_exit(7);
		_exit(0);
	}
	status = drv_reap(&child);
	ASSERT_EQ(0, drv_write_file(POLL_USER_MIN, "0"));
	drv_pair_close(&p);
	EXPECT_EQ(0, status);
}

/* Also where the administrator has put the bound above them. */
TEST_F(timer, default_periods_take_no_privilege)
{
	struct l3l2q_create create;
	struct drv_child child;
	struct drv_pair p;
	int status;

	if (drv_write_file(POLL_USER_MIN, "2000"))
		SKIP(return, "cannot write %s", POLL_USER_MIN);
	drv_create_init(&create);
	drv_pair_create(_metadata, &p, &create);
	if (!drv_fork(_metadata, &child)) {
		if (setresuid(1234, 1234, 1234))
			_exit(2);
		if (drv_set_polling(p.l3.fd, L3L2Q_PEER_SILENT, 0, 0))
			_exit(3);
		if (drv_set_polling(p.l3.fd, L3L2Q_PEER_SILENT, 0, 1000000) != -EPERM)
			_exit(4);
		_exit(0);
	}
	status = drv_reap(&child);
	ASSERT_EQ(0, drv_write_file(POLL_USER_MIN, "0"));
	drv_pair_close(&p);
	EXPECT_EQ(0, status);
}

struct crowd {
	size_t nr;
	int *fd;
	int *peer;
};

/* Idle endpoints with silent peers, and an eventfd that waits for an abort. */
static void crowd_make(struct __test_metadata *_metadata, struct crowd *crowd, size_t nr, int efd,
		       __u32 period_ns)
{
	struct rlimit limit = { .rlim_cur = 4096, .rlim_max = 4096 };
	struct l3l2q_create create;
	int ctx = drv_open();
	size_t i;

	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	crowd->nr = nr;
	crowd->fd = calloc(nr, sizeof(*crowd->fd));
	crowd->peer = calloc(nr, sizeof(*crowd->peer));
	for (i = 0; i < nr; i++) {
		drv_create_init(&create);
		create.flags = L3L2Q_CREATE_SILENT_PEER;
		crowd->fd[i] = drv_create(ctx, &create);
		ASSERT_LE(0, crowd->fd[i]);
		crowd->peer[i] = drv_open_peer(crowd->fd[i]);
		ASSERT_LE(0, crowd->peer[i]);
		if (period_ns) {
			ASSERT_EQ(0, drv_set_polling(crowd->fd[i], L3L2Q_PEER_SILENT, period_ns,
						     period_ns));
		}
		ASSERT_EQ(0, drv_eventfd(crowd->fd[i], L3L2Q_EVENTFD_ABORT, efd));
	}
	close(ctx);
}

static __u64 crowd_ticks(struct __test_metadata *_metadata, const struct crowd *crowd,
			 __u64 *least)
{
	struct l3l2q_stats stats;
	__u64 sum = 0;
	size_t i;

	*least = ~0ull;
	for (i = 0; i < crowd->nr; i++) {
		ASSERT_EQ(0, drv_stats(crowd->fd[i], &stats));
		sum += stats.timer_ticks;
		if (stats.timer_ticks < *least)
			*least = stats.timer_ticks;
	}
	return sum;
}

static void crowd_close(struct crowd *crowd)
{
	size_t i;

	for (i = 0; i < crowd->nr; i++) {
		close(crowd->fd[i]);
		close(crowd->peer[i]);
	}
	free(crowd->fd);
	free(crowd->peer);
}

/* Time that all processors spent in softirqs and in all, in ticks of /proc/stat. */
static double cpu_softirq(double *all)
{
	double v[8] = { 0 }, sum = 0;
	char buf[512];
	int i;

	*all = 1;
	drv_read_file("/proc/stat", buf, sizeof(buf));
	if (sscanf(buf, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &v[0], &v[1], &v[2], &v[3], &v[4],
		   &v[5], &v[6], &v[7]) != 8)
		return 0;
	for (i = 0; i < 8; i++)
		sum += v[i];
	*all = sum;
	return v[6];
}

/*
 * At its longest period each would be looked at a thousand times a second. Whatever a
 * look costs, and it costs 100 ns at the very least, 5 % of a processor do not pay for
 * that many, nor for what shorter periods ask for. And all are looked at.
 */
static void crowd_is_bounded(struct __test_metadata *_metadata, size_t nr, __u32 period_ns)
{
	__u64 before, after, least_before, least, start, ns;
	double all[2], softirq[2];
	int efd = drv_eventfd_new();
	struct crowd crowd;
	double rate;

	crowd_make(_metadata, &crowd, nr, efd, period_ns);
	drv_observe(500);
	start = drv_now();
	before = crowd_ticks(_metadata, &crowd, &least_before);
	softirq[0] = cpu_softirq(&all[0]);
	drv_observe(4000);
	after = crowd_ticks(_metadata, &crowd, &least);
	softirq[1] = cpu_softirq(&all[1]);
	ns = drv_now() - start;
	rate = (double)(after - before) * 1e9 / (double)ns;
	TH_LOG("%zu regions: %.0f looks a second, %.1f each; softirqs %.1f %% of all processors", nr,
	       rate, rate / (double)nr, 100 * (softirq[1] - softirq[0]) / (all[1] - all[0]));
	EXPECT_GT(0.05 * 1e9 / 100, rate);
	EXPECT_LT(0, least);
	crowd_close(&crowd);
	close(efd);
}

TEST_F(timer, idle_regions_do_not_take_a_processor)
{
	crowd_is_bounded(_metadata, 512, 0);
}

TEST_F(timer, short_periods_do_not_take_a_processor)
{
	struct l3l2q_query q;

	ASSERT_EQ(0, drv_query(self->p.ctx, &q));
	crowd_is_bounded(_metadata, 64, q.poll_min_ns);
}

/*
 * A look costs the same for all: of two users who ask for as many looks as there can be,
 * the one with one region gets as many looks at it as the one with hundreds at all of them.
 */
TEST_F(timer, a_user_with_one_region_is_not_slowed_by_one_with_hundreds)
{
	struct l3l2q_stats before, after;
	__u64 sum, sum_after, least;
	struct drv_child child;
	struct l3l2q_query q;
	struct crowd crowd;
	int efd;
	char c;

	ASSERT_EQ(0, drv_query(self->p.ctx, &q));
	ASSERT_EQ(0, chmod(DRV_NODE, 0666));
	if (!drv_fork(_metadata, &child)) {
		/* gone when the other one is done */
		if (setresuid(1234, 1234, 1234))
			_exit(2);
		efd = drv_eventfd_new();
		crowd_make(_metadata, &crowd, 512, efd, q.poll_min_ns);
		drv_observe(300);
		sum = crowd_ticks(_metadata, &crowd, &least);
		drv_say(child.sock, 'r');
		c = (char)drv_hear(child.sock);
		sum_after = crowd_ticks(_metadata, &crowd, &least);
		sum = sum_after - sum;
		if (write(child.sock, &sum, sizeof(sum)) != sizeof(sum))
			_exit(3);
		_exit(c == 's' ? 0 : 4);
	}
	efd = drv_eventfd_new();
	ASSERT_EQ('r', drv_hear(child.sock));
	ASSERT_EQ(0, drv_set_polling(L3->fd, L3L2Q_PEER_SILENT, q.poll_min_ns, q.poll_min_ns));
	ASSERT_EQ(0, drv_eventfd(L3->fd, L3L2Q_EVENTFD_ABORT, efd));
	ASSERT_EQ(0, drv_stats(L3->fd, &before));
	drv_observe(2000);
	ASSERT_EQ(0, drv_stats(L3->fd, &after));
	drv_say(child.sock, 's');
	ASSERT_EQ(sizeof(sum), read(child.sock, &sum, sizeof(sum)));
	EXPECT_EQ(0, drv_reap(&child));
	ASSERT_EQ(0, chmod(DRV_NODE, 0660));
	after.timer_ticks -= before.timer_ticks;
	TH_LOG("one region: %llu looks in 2 s; the other user's 512: %llu",
	       (unsigned long long)after.timer_ticks, (unsigned long long)sum);
	/* a 512th of what the other user gets, if all regions were alike */
	EXPECT_LT(sum / 10, after.timer_ticks);
	close(efd);
}

static void *looks(void *arg)
{
	struct drv_ep *ep = arg;

	while (!__atomic_load_n(&ep->role, __ATOMIC_ACQUIRE))
		drv_poll(ep->fd, POLLIN, 0);
	return NULL;
}

/* Poll and look race with a tick that takes the role from the queue for good. */
TEST_F(timer, a_poll_while_the_tick_looks_is_not_lost)
{
	struct drv_ep poller = { .fd = L3->fd };
	int rounds = drv_rounds(3000), i;
	pthread_t thread;

	poller.role = 0;
	ASSERT_EQ(0, pthread_create(&thread, NULL, looks, &poller));
	for (i = 1; i <= rounds; i++) {
		drv_consumer(L3, L3L2Q_CONSUMER_SEEN, (__u32)i - 1);
		memset(&self->s, 0, sizeof(self->s));
		self->s.how = i & 1 ? DRV_BY_WAIT : DRV_BY_POLL;
		self->s.fd = L3->fd;
		self->s.extra = -1;
		self->s.events = L3L2Q_EVENT_IN;
		self->s.deadline = L3L2Q_WAIT_FOREVER;
		drv_sleeper_go(_metadata, &self->s);
		drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, (__u32)i);
		drv_sleeper_join(_metadata, &self->s);
		ASSERT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_IN));
	}
	__atomic_store_n(&poller.role, 1, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

TEST_HARNESS_MAIN
