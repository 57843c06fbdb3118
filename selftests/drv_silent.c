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

TEST_HARNESS_MAIN
