// SPDX-License-Identifier: GPL-2.0-only
/*
 * poll and epoll: readiness from counters and the owner's control page, arming
 * on every call, and waking everybody.
 */
#include "drv_util.h"

#include <sys/select.h>

FIXTURE(poll)
{
	struct drv_pair p;
	struct drv_sleeper s;
};

/* Where all counters start: both wraps are crossed on the way. */
FIXTURE_VARIANT(poll)
{
	__u32 start;
};

FIXTURE_VARIANT_ADD(poll, from_0) { .start = 0 };
FIXTURE_VARIANT_ADD(poll, below_2_31) { .start = 0x7ffffffe };
FIXTURE_VARIANT_ADD(poll, below_2_32) { .start = 0xfffffffe };

FIXTURE_SETUP(poll)
{
	drv_pair_queue(_metadata, &self->p);
	drv_pair_start_at(&self->p, variant->start);
}

FIXTURE_TEARDOWN(poll)
{
	drv_pair_close(&self->p);
}

#define L3 (&self->p.l3)
#define L2 (&self->p.l2)
#define AT(n) (variant->start + (n))

#define ALL (POLLIN | POLLOUT | POLLPRI)

TEST_F(poll, an_empty_queue_is_writable_at_both_ends)
{
	EXPECT_EQ(POLLOUT, drv_poll(L3->fd, ALL, 0));
	EXPECT_EQ(POLLOUT, drv_poll(L2->fd, ALL, 0));
}

TEST_F(poll, also_reports_the_norm_bits)
{
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, AT(1));
	EXPECT_EQ(POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM,
		  drv_poll(L2->fd, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM, 0));
}

TEST_F(poll, a_message_is_readable_at_the_other_end)
{
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, AT(1));
	EXPECT_EQ(POLLIN | POLLOUT, drv_poll(L2->fd, ALL, 0));
	EXPECT_EQ(POLLOUT, drv_poll(L3->fd, ALL, 0));
	drv_store(L2, L3L2Q_CTR_INPUT_HEAD, AT(1));
	EXPECT_EQ(POLLOUT, drv_poll(L2->fd, ALL, 0));
	/* and the other way */
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, AT(1));
	EXPECT_EQ(POLLIN | POLLOUT, drv_poll(L3->fd, ALL, 0));
	EXPECT_EQ(POLLOUT, drv_poll(L2->fd, ALL, 0));
	drv_store(L3, L3L2Q_CTR_OUTPUT_HEAD, AT(1));
	EXPECT_EQ(POLLOUT, drv_poll(L3->fd, ALL, 0));
}

TEST_F(poll, readiness_follows_every_step_across_the_wrap)
{
	__u32 n, used;

	for (n = 0; n < 3 * DRV_DEPTH; n++) {
		for (used = 0; used <= DRV_DEPTH; used++) {
			drv_store(L3, L3L2Q_CTR_INPUT_TAIL, AT(n + used));
			EXPECT_EQ(used ? POLLIN | POLLOUT : POLLOUT, drv_poll(L2->fd, ALL, 0));
			EXPECT_EQ(used < DRV_DEPTH ? POLLOUT : 0, drv_poll(L3->fd, ALL, 0))
				TH_LOG("tail %#x, head %#x", AT(n + used), AT(n));
		}
		drv_store(L3, L3L2Q_CTR_INPUT_TAIL, AT(n + 1));
		drv_store(L2, L3L2Q_CTR_INPUT_HEAD, AT(n + 1));
	}
}

TEST_F(poll, a_full_ring_is_not_writable)
{
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, AT(DRV_DEPTH));
	EXPECT_EQ(0, drv_poll(L3->fd, ALL, 0));
	drv_store(L2, L3L2Q_CTR_INPUT_HEAD, AT(1));
	EXPECT_EQ(POLLOUT, drv_poll(L3->fd, ALL, 0));
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, AT(DRV_DEPTH));
	EXPECT_EQ(POLLIN, drv_poll(L2->fd, ALL, 0));
	drv_store(L3, L3L2Q_CTR_OUTPUT_HEAD, AT(DRV_DEPTH));
	EXPECT_EQ(POLLIN | POLLOUT, drv_poll(L2->fd, ALL, 0));
}

TEST_F(poll, acquired_messages_are_not_readable)
{
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, AT(2));
	drv_consumer(L2, L3L2Q_CONSUMER_SEEN, AT(1));
	EXPECT_EQ(POLLIN, drv_poll(L2->fd, POLLIN, 0));
	/* both acquired, none released: head has not moved */
	drv_consumer(L2, L3L2Q_CONSUMER_SEEN, AT(2));
	EXPECT_EQ(0, drv_poll(L2->fd, POLLIN, 0));
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, AT(3));
	EXPECT_EQ(POLLIN, drv_poll(L2->fd, POLLIN, 0));
	/* without the flag the word means nothing */
	drv_consumer(L2, 0, AT(3));
	drv_store(L2, L3L2Q_CTR_INPUT_HEAD, AT(3));
	EXPECT_EQ(0, drv_poll(L2->fd, POLLIN, 0));
}

TEST_F(poll, a_full_window_is_not_readable)
{
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, AT(3));
	drv_consumer(L2, L3L2Q_CONSUMER_SEEN | L3L2Q_CONSUMER_HOLD, AT(1));
	EXPECT_EQ(0, drv_poll(L2->fd, POLLIN, 0));
	drv_consumer(L2, L3L2Q_CONSUMER_HOLD, 0);
	EXPECT_EQ(0, drv_poll(L2->fd, POLLIN, 0));
	drv_consumer(L2, L3L2Q_CONSUMER_SEEN, AT(1));
	EXPECT_EQ(POLLIN, drv_poll(L2->fd, POLLIN, 0));
}

TEST_F(poll, writable_only_from_the_needed_head_on)
{
	/* slots are free, but the arena is full until head gets to 2 */
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, AT(2));
	drv_producer(L3, L3L2Q_PRODUCER_NEED, AT(2));
	EXPECT_EQ(0, drv_poll(L3->fd, POLLOUT, 0));
	drv_store(L2, L3L2Q_CTR_INPUT_HEAD, AT(1));
	EXPECT_EQ(0, drv_poll(L3->fd, POLLOUT, 0));
	drv_store(L2, L3L2Q_CTR_INPUT_HEAD, AT(2));
	EXPECT_EQ(POLLOUT, drv_poll(L3->fd, POLLOUT, 0));
	/* L2's own need is its own */
	drv_producer(L2, L3L2Q_PRODUCER_NEED, AT(1));
	EXPECT_EQ(0, drv_poll(L2->fd, POLLOUT, 0));
	EXPECT_EQ(POLLOUT, drv_poll(L3->fd, POLLOUT, 0));
	/* without the flag: free slots count */
	drv_producer(L2, 0, AT(1));
	EXPECT_EQ(POLLOUT, drv_poll(L2->fd, POLLOUT, 0));
}

TEST_F(poll, does_not_spin_while_a_window_or_the_arena_is_full)
{
	struct l3l2q_stats before, after;
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, AT(3));
	drv_consumer(L2, L3L2Q_CONSUMER_SEEN | L3L2Q_CONSUMER_HOLD, AT(1));
	drv_producer(L2, L3L2Q_PRODUCER_NEED, AT(1));
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, AT(1));
	ASSERT_EQ(0, drv_epoll_add(epfd, L2->fd, EPOLLIN | EPOLLOUT));
	EXPECT_EQ(0, drv_epoll(epfd, 0));
	/* somebody sleeps there meanwhile and is left alone */
	drv_sleeper_start(_metadata, &self->s, DRV_BY_EPOLL, L2->fd,
			  L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT);
	ASSERT_EQ(0, drv_stats(L2->fd, &before));
	EXPECT_EQ(0, drv_epoll(epfd, 500));
	EXPECT_TRUE(drv_sleeper_sleeps(&self->s));
	ASSERT_EQ(0, drv_stats(L2->fd, &after));
	EXPECT_EQ(before.wakeups, after.wakeups);
	EXPECT_EQ(before.timer_ticks, after.timer_ticks);
	EXPECT_GE(before.polls + 4, after.polls);
	/* the arena gets room */
	EXPECT_EQ(0, drv_publish_head(L3, AT(1)));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(EPOLLOUT, self->s.polled);
	drv_sleeper_done(&self->s);
	close(epfd);
}

TEST_F(poll, arms_for_what_is_asked)
{
	EXPECT_EQ(0, drv_poll(L2->fd, POLLIN, 0));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_poll(L3->fd, POLLIN, 0));
	EXPECT_TRUE(drv_armed(L2->peer) & L3L2Q_EVENT_IN);
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, AT(DRV_DEPTH));
	EXPECT_EQ(0, drv_poll(L3->fd, POLLOUT, 0));
	EXPECT_TRUE(drv_armed(L2->peer) & L3L2Q_EVENT_OUT);
}

TEST_F(poll, arms_also_when_it_returns_events)
{
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, AT(1));
	EXPECT_EQ(POLLIN, drv_poll(L2->fd, POLLIN, 0));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
}

TEST_F(poll, arms_again_after_each_kick)
{
	int i;

	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, drv_poll(L2->fd, POLLIN, 0));
		EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
		EXPECT_EQ(0, drv_kick(L3->fd, 0));
		EXPECT_EQ(0, drv_armed(L3->peer));
	}
}

TEST_F(poll, notify_clears_what_was_armed)
{
	EXPECT_EQ(0, drv_poll(L2->fd, POLLIN, 0));
	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, (__s32)AT(1)));
	EXPECT_EQ(0, drv_armed(L3->peer) & L3L2Q_EVENT_IN);
}

TEST_F(poll, a_kick_at_nobody_wakes_nobody)
{
	struct l3l2q_stats stats;

	EXPECT_EQ(0, drv_kick(L3->fd, 0));
	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, (__s32)AT(1)));
	ASSERT_EQ(0, drv_stats(L2->fd, &stats));
	EXPECT_EQ(0, stats.wakeups);
	ASSERT_EQ(0, drv_stats(L3->fd, &stats));
	EXPECT_EQ(0, stats.wakeups);
}

TEST_F(poll, looks_are_counted)
{
	struct l3l2q_stats stats;

	EXPECT_EQ(0, drv_poll(L2->fd, POLLIN, 0));
	ASSERT_EQ(0, drv_stats(L2->fd, &stats));
	EXPECT_LE(1, stats.polls);
}

TEST_F(poll, peers_abort_is_pri_and_err)
{
	drv_store(L2, L3L2Q_CTR_L2_ABORT, 1);
	EXPECT_EQ(EPOLLPRI | EPOLLERR, drv_poll(L3->fd, POLLPRI, 0));
	/* ERR comes unasked */
	EXPECT_EQ(EPOLLERR, drv_poll(L3->fd, POLLIN, 0));
	/* the end that set it has no more than an error */
	EXPECT_EQ(EPOLLERR, drv_poll(L2->fd, POLLPRI, 0));
}

TEST_F(poll, messages_stay_readable_after_peers_abort)
{
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, AT(1));
	drv_store(L2, L3L2Q_CTR_L2_ABORT, 1);
	EXPECT_EQ(POLLIN | POLLPRI | POLLERR, drv_poll(L3->fd, POLLIN | POLLPRI, 0));
}

TEST_F(poll, peers_detach_is_hup)
{
	EXPECT_EQ(0, drv_detach(L2->fd));
	EXPECT_EQ(EPOLLHUP, drv_poll(L3->fd, POLLIN | POLLPRI, 0));
}

TEST_F(poll, peers_death_is_pri_err_and_hup)
{
	drv_ep_unmap(L2, L3L2Q_MAP_COUNTERS);
	EXPECT_EQ(DRV_DEAD, drv_poll(L3->fd, POLLIN | POLLPRI, 0));
}

TEST_F(poll, ones_own_detach_is_hup)
{
	EXPECT_EQ(0, drv_detach(L3->fd));
	EXPECT_EQ(EPOLLHUP, drv_poll(L3->fd, POLLPRI, 0) & EPOLLHUP);
}

TEST_F(poll, select_works_too)
{
	fd_set in, out, pri;
	struct timeval none = { 0 };

	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, AT(1));
	drv_store(L3, L3L2Q_CTR_L3_ABORT, 1);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&pri);
	FD_SET(L2->fd, &in);
	FD_SET(L2->fd, &out);
	FD_SET(L2->fd, &pri);
	EXPECT_EQ(3, select(L2->fd + 1, &in, &out, &pri, &none));
}

/* ---- sleeping, by each way --------------------------------------------- */

FIXTURE(sleep)
{
	struct drv_pair p;
	struct drv_sleeper s;
};

FIXTURE_VARIANT(sleep)
{
	enum drv_how how;
	bool notify;
};

FIXTURE_VARIANT_ADD(sleep, wait_notify) { .how = DRV_BY_WAIT, .notify = true };
FIXTURE_VARIANT_ADD(sleep, wait_kick) { .how = DRV_BY_WAIT };
FIXTURE_VARIANT_ADD(sleep, poll_notify) { .how = DRV_BY_POLL, .notify = true };
FIXTURE_VARIANT_ADD(sleep, poll_kick) { .how = DRV_BY_POLL };
FIXTURE_VARIANT_ADD(sleep, epoll_notify) { .how = DRV_BY_EPOLL, .notify = true };
FIXTURE_VARIANT_ADD(sleep, epoll_kick) { .how = DRV_BY_EPOLL };
FIXTURE_VARIANT_ADD(sleep, epoll_et_notify) { .how = DRV_BY_EPOLL_ET, .notify = true };
FIXTURE_VARIANT_ADD(sleep, epoll_et_kick) { .how = DRV_BY_EPOLL_ET };
FIXTURE_VARIANT_ADD(sleep, eventfd_notify) { .how = DRV_BY_EVENTFD, .notify = true };
FIXTURE_VARIANT_ADD(sleep, eventfd_kick) { .how = DRV_BY_EVENTFD };

FIXTURE_SETUP(sleep)
{
	drv_pair_queue(_metadata, &self->p);
}

FIXTURE_TEARDOWN(sleep)
{
	drv_sleeper_done(&self->s);
	drv_pair_close(&self->p);
}

static void sleep_store(struct __test_metadata *_metadata, const FIXTURE_VARIANT(sleep) *variant,
			struct drv_ep *ep, __u32 offset, __u32 value, __u32 mask)
{
	EXPECT_EQ(0, variant->notify ? drv_set(ep->fd, offset, (__s32)value)
				     : drv_publish(ep, offset, value, mask));
}

TEST_F(sleep, l2_is_woken_by_input)
{
	drv_sleeper_start(_metadata, &self->s, variant->how, L2->fd, L3L2Q_EVENT_IN);
	sleep_store(_metadata, variant, L3, L3L2Q_CTR_INPUT_TAIL, 1, L3L2Q_ARM_TAIL);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_IN));
}

TEST_F(sleep, l3_is_woken_by_output)
{
	drv_sleeper_start(_metadata, &self->s, variant->how, L3->fd, L3L2Q_EVENT_IN);
	sleep_store(_metadata, variant, L2, L3L2Q_CTR_OUTPUT_TAIL, 1, L3L2Q_ARM_TAIL);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_IN));
}

TEST_F(sleep, l3_is_woken_by_space)
{
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, DRV_DEPTH);
	drv_sleeper_start(_metadata, &self->s, variant->how, L3->fd, L3L2Q_EVENT_OUT);
	sleep_store(_metadata, variant, L2, L3L2Q_CTR_INPUT_HEAD, 1, L3L2Q_ARM_HEAD);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_OUT));
}

TEST_F(sleep, l2_is_woken_by_space)
{
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, DRV_DEPTH);
	drv_sleeper_start(_metadata, &self->s, variant->how, L2->fd, L3L2Q_EVENT_OUT);
	sleep_store(_metadata, variant, L3, L3L2Q_CTR_OUTPUT_HEAD, 1, L3L2Q_ARM_HEAD);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_OUT));
}

TEST_F(sleep, is_woken_by_abort)
{
	drv_sleeper_start(_metadata, &self->s, variant->how, L2->fd, L3L2Q_EVENT_ABORT);
	sleep_store(_metadata, variant, L3, L3L2Q_CTR_L3_ABORT, 1, L3L2Q_EVENT_ABORT);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_ABORT));
}

TEST_F(sleep, is_woken_by_detach)
{
	drv_sleeper_start(_metadata, &self->s, variant->how, L2->fd, L3L2Q_EVENT_ABORT);
	EXPECT_EQ(0, drv_detach(L3->fd));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
}

TEST_F(sleep, is_woken_by_death)
{
	drv_sleeper_start(_metadata, &self->s, variant->how, L2->fd, L3L2Q_EVENT_ABORT);
	drv_ep_unmap(L3, L3L2Q_MAP_COUNTERS);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_ABORT));
}

TEST_F(sleep, is_not_woken_by_what_is_not_ready)
{
	drv_consumer(L2, L3L2Q_CONSUMER_HOLD, 0);
	drv_sleeper_start(_metadata, &self->s, variant->how, L2->fd, L3L2Q_EVENT_IN);
	sleep_store(_metadata, variant, L3, L3L2Q_CTR_INPUT_TAIL, 1, L3L2Q_ARM_TAIL);
	EXPECT_EQ(0, drv_kick(L3->fd, 0));
	EXPECT_TRUE(drv_sleeper_sleeps(&self->s));
	drv_consumer(L2, 0, 0);
	EXPECT_EQ(0, drv_kick(L2->fd, L3L2Q_KICK_SELF));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_IN));
}

TEST_F(sleep, each_of_many_messages_wakes)
{
	struct epoll_event again = { 0 };
	__u32 i;

	drv_sleeper_start(_metadata, &self->s, variant->how, L2->fd, L3L2Q_EVENT_IN);
	for (i = 1; i <= (__u32)drv_rounds(50); i++) {
		sleep_store(_metadata, variant, L3, L3L2Q_CTR_INPUT_TAIL, i, L3L2Q_ARM_TAIL);
		drv_sleeper_join(_metadata, &self->s);
		ASSERT_TRUE(drv_sleeper_saw(&self->s, L3L2Q_EVENT_IN));
		/* take it and go back to sleep, with the same epoll or eventfd */
		drv_consumer(L2, L3L2Q_CONSUMER_SEEN, i);
		if (variant->how == DRV_BY_EPOLL || variant->how == DRV_BY_EPOLL_ET) {
			EXPECT_EQ(0, epoll_wait(self->s.extra, &again, 1, 0));
		} else if (variant->how == DRV_BY_EVENTFD) {
			EXPECT_EQ(1, drv_signals(self->s.extra));
			drv_arm_store(L2, L3L2Q_EVENT_IN);
		}
		drv_sleeper_go(_metadata, &self->s);
		if (i % 10 == 0) {
			ASSERT_TRUE(drv_sleeper_sleeps(&self->s));
		}
	}
	EXPECT_EQ(0, drv_publish_tail(L3, i));
	drv_sleeper_join(_metadata, &self->s);
}

/* ---- epoll ------------------------------------------------------------- */

FIXTURE(epoll)
{
	struct drv_pair p;
	struct drv_sleeper s[5];
	int epfd;
};

FIXTURE_SETUP(epoll)
{
	drv_pair_queue(_metadata, &self->p);
	self->epfd = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->epfd);
}

FIXTURE_TEARDOWN(epoll)
{
	close(self->epfd);
	drv_pair_close(&self->p);
}

TEST_F(epoll, level_stays_up_until_consumed)
{
	ASSERT_EQ(0, drv_epoll_add(self->epfd, L2->fd, EPOLLIN));
	EXPECT_EQ(0, drv_epoll(self->epfd, 0));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(EPOLLIN, drv_epoll(self->epfd, 0));
	EXPECT_EQ(EPOLLIN, drv_epoll(self->epfd, 0));
	drv_consumer(L2, L3L2Q_CONSUMER_SEEN, 1);
	EXPECT_EQ(0, drv_epoll(self->epfd, 0));
	/* and comes up again */
	EXPECT_EQ(0, drv_publish_tail(L3, 2));
	EXPECT_EQ(EPOLLIN, drv_epoll(self->epfd, 0));
}

TEST_F(epoll, edge_comes_once_a_message)
{
	__u32 i;

	ASSERT_EQ(0, drv_epoll_add(self->epfd, L2->fd, EPOLLIN | EPOLLET));
	for (i = 1; i <= 10; i++) {
		EXPECT_EQ(0, drv_publish_tail(L3, i));
		EXPECT_EQ(EPOLLIN, drv_epoll(self->epfd, DRV_HANG_MS));
		EXPECT_EQ(0, drv_epoll(self->epfd, 0));
	}
}

TEST_F(epoll, oneshot_works_after_rearming)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT };

	ASSERT_EQ(0, drv_epoll_add(self->epfd, L2->fd, EPOLLIN | EPOLLONESHOT));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(EPOLLIN, drv_epoll(self->epfd, 0));
	EXPECT_EQ(0, drv_epoll(self->epfd, 0));
	drv_consumer(L2, L3L2Q_CONSUMER_SEEN, 1);
	EXPECT_EQ(0, epoll_ctl(self->epfd, EPOLL_CTL_MOD, L2->fd, &event));
	EXPECT_EQ(0, drv_epoll(self->epfd, 0));
	EXPECT_EQ(0, drv_publish_tail(L3, 2));
	EXPECT_EQ(EPOLLIN, drv_epoll(self->epfd, 0));
}

TEST_F(epoll, adding_arms)
{
	ASSERT_EQ(0, drv_epoll_add(self->epfd, L2->fd, EPOLLIN));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
}

TEST_F(epoll, re_arms_after_an_event_was_delivered)
{
	ASSERT_EQ(0, drv_epoll_add(self->epfd, L2->fd, EPOLLIN | EPOLLET));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(0, drv_armed(L3->peer) & L3L2Q_EVENT_IN);
	EXPECT_EQ(EPOLLIN, drv_epoll(self->epfd, 0));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
}

TEST_F(epoll, an_entry_survives_spurious_kicks)
{
	int i;

	ASSERT_EQ(0, drv_epoll_add(self->epfd, L2->fd, EPOLLIN));
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(0, drv_kick(L3->fd, 0));
		EXPECT_EQ(0, drv_epoll(self->epfd, 0));
		EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
	}
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(EPOLLIN, drv_epoll(self->epfd, 0));
}

TEST_F(epoll, a_nested_epoll_sees_it)
{
	int outer = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_EQ(0, drv_epoll_add(self->epfd, L2->fd, EPOLLIN));
	ASSERT_EQ(0, drv_epoll_add(outer, self->epfd, EPOLLIN));
	EXPECT_EQ(0, drv_epoll(outer, 0));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(EPOLLIN, drv_epoll(outer, DRV_HANG_MS));
	EXPECT_EQ(EPOLLIN, drv_epoll(self->epfd, 0));
	close(outer);
}

TEST_F(epoll, reports_ones_own_abort_once_told)
{
	ASSERT_EQ(0, drv_epoll_add(self->epfd, L2->fd, EPOLLIN));
	EXPECT_EQ(0, drv_epoll(self->epfd, 0));
	drv_store(L2, L3L2Q_CTR_L2_ABORT, 1);
	EXPECT_EQ(0, drv_epoll(self->epfd, 0));
	EXPECT_EQ(0, drv_kick(L2->fd, L3L2Q_KICK_SELF));
	EXPECT_EQ(EPOLLERR, drv_epoll(self->epfd, 0));
}

TEST_F(epoll, reports_ones_own_abort_by_notify)
{
	ASSERT_EQ(0, drv_epoll_add(self->epfd, L2->fd, EPOLLIN));
	EXPECT_EQ(0, drv_epoll(self->epfd, 0));
	EXPECT_EQ(0, drv_set(L2->fd, L3L2Q_CTR_L2_ABORT, 1));
	EXPECT_EQ(EPOLLERR, drv_epoll(self->epfd, 0));
}

TEST_F(epoll, reports_death_unasked)
{
	ASSERT_EQ(0, drv_epoll_add(self->epfd, L2->fd, 0));
	EXPECT_EQ(0, drv_epoll(self->epfd, 0));
	drv_ep_unmap(L3, L3L2Q_MAP_COUNTERS);
	EXPECT_EQ(EPOLLERR | EPOLLHUP, drv_epoll(self->epfd, DRV_HANG_MS));
}

TEST_F(epoll, an_entry_of_a_closed_endpoint_goes_away)
{
	struct l3l2q_create create;
	struct drv_pair p;
	int i;

	for (i = 0; i < 20; i++) {
		drv_create_init(&create);
		drv_pair_create(_metadata, &p, &create);
		ASSERT_EQ(0, drv_epoll_add(self->epfd, p.l2.fd, EPOLLIN));
		drv_ep_close(&p.l2);
		EXPECT_EQ(0, drv_set(p.l3.fd, L3L2Q_CTR_INPUT_TAIL, 1));
		EXPECT_EQ(0, drv_epoll(self->epfd, 0));
		drv_pair_close(&p);
	}
}

/* ---- several of one role ----------------------------------------------- */

static void epoll_crowd(struct __test_metadata *_metadata, FIXTURE_DATA(epoll) *self,
			struct l3l2q_condition *c)
{
	drv_sleeper_start(_metadata, &self->s[0], DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	drv_sleeper_start(_metadata, &self->s[1], DRV_BY_POLL, L2->fd, L3L2Q_EVENT_IN);
	drv_sleeper_start(_metadata, &self->s[2], DRV_BY_EPOLL, L2->fd, L3L2Q_EVENT_IN);
	drv_sleeper_start(_metadata, &self->s[3], DRV_BY_EVENTFD, L2->fd, L3L2Q_EVENT_IN);
	*c = (struct l3l2q_condition) { .cmp = L3L2Q_CMP_GE, .value = 1 };
	drv_sleeper_start_wait(_metadata, &self->s[4], L2->fd, 0, c, 1);
}

TEST_F(epoll, one_notify_wakes_all_waiters_of_a_role)
{
	struct l3l2q_condition c;
	size_t i;

	epoll_crowd(_metadata, self, &c);
	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 1));
	for (i = 0; i < 5; i++) {
		drv_sleeper_join(_metadata, &self->s[i]);
		EXPECT_EQ(0, self->s[i].ret);
		drv_sleeper_done(&self->s[i]);
	}
}

TEST_F(epoll, one_kick_wakes_all_waiters_of_a_role)
{
	struct l3l2q_condition c;
	size_t i;

	epoll_crowd(_metadata, self, &c);
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 1);
	EXPECT_EQ(0, drv_kick(L3->fd, 0));
	for (i = 0; i < 5; i++) {
		drv_sleeper_join(_metadata, &self->s[i]);
		EXPECT_EQ(0, self->s[i].ret);
		drv_sleeper_done(&self->s[i]);
	}
}

TEST_F(epoll, a_leaving_waiter_does_not_disarm_the_others)
{
	/* the WAIT times out, gets its own thing, and the poller stays armed */
	drv_sleeper_start(_metadata, &self->s[0], DRV_BY_POLL, L2->fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, drv_deadline(1), NULL));
	EXPECT_EQ(0, drv_wait(L2->fd, L3L2Q_EVENT_OUT, NULL, 0, drv_deadline(1), NULL));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	drv_sleeper_join(_metadata, &self->s[0]);
	EXPECT_EQ(POLLIN, self->s[0].polled);
}

TEST_F(epoll, a_waiter_that_finds_nothing_is_armed_again)
{
	drv_sleeper_start(_metadata, &self->s[0], DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	drv_consumer(L2, L3L2Q_CONSUMER_HOLD, 0);
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_TRUE(drv_sleeper_sleeps(&self->s[0]));
	drv_consumer(L2, L3L2Q_CONSUMER_SEEN, 1);
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_publish_tail(L3, 2));
	drv_sleeper_join(_metadata, &self->s[0]);
	EXPECT_EQ(0, self->s[0].ret);
}

TEST_F(epoll, the_two_roles_do_not_wake_each_other)
{
	struct l3l2q_stats l3, l2;

	drv_sleeper_start(_metadata, &self->s[0], DRV_BY_WAIT, L3->fd, L3L2Q_EVENT_IN);
	drv_sleeper_start(_metadata, &self->s[1], DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	drv_sleeper_join(_metadata, &self->s[1]);
	EXPECT_EQ(0, self->s[1].ret);
	EXPECT_TRUE(drv_sleeper_sleeps(&self->s[0]));
	ASSERT_EQ(0, drv_stats(L3->fd, &l3));
	ASSERT_EQ(0, drv_stats(L2->fd, &l2));
	EXPECT_EQ(0, l3.wakeups);
	EXPECT_EQ(1, l2.wakeups);
	EXPECT_EQ(0, drv_publish_tail(L2, 1));
	drv_sleeper_join(_metadata, &self->s[0]);
}

TEST_F(epoll, an_idle_pair_costs_nothing)
{
	struct l3l2q_stats l3[2], l2[2];
	struct drv_sleeper *s = self->s;

	/* both ends asleep, in every way */
	drv_sleeper_start(_metadata, &s[0], DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	drv_sleeper_start(_metadata, &s[1], DRV_BY_EPOLL, L2->fd, L3L2Q_EVENT_IN);
	drv_sleeper_start(_metadata, &s[2], DRV_BY_POLL, L3->fd, L3L2Q_EVENT_IN);
	drv_sleeper_start(_metadata, &s[3], DRV_BY_EVENTFD, L3->fd, L3L2Q_EVENT_IN);
	ASSERT_EQ(0, drv_stats(L3->fd, &l3[0]));
	ASSERT_EQ(0, drv_stats(L2->fd, &l2[0]));
	drv_observe(5000);
	ASSERT_EQ(0, drv_stats(L3->fd, &l3[1]));
	ASSERT_EQ(0, drv_stats(L2->fd, &l2[1]));
	EXPECT_EQ(0, memcmp(&l3[0], &l3[1], sizeof(l3[0])));
	EXPECT_EQ(0, memcmp(&l2[0], &l2[1], sizeof(l2[0])));
	EXPECT_EQ(0, l3[1].wakeups);
	EXPECT_EQ(0, l2[1].wakeups);
	EXPECT_EQ(0, l3[1].timer_ticks);
	EXPECT_EQ(0, l2[1].timer_ticks);
	drv_publish_tail(L3, 1);
	drv_publish_tail(L2, 1);
	drv_sleeper_join(_metadata, &s[0]);
	drv_sleeper_join(_metadata, &s[1]);
	drv_sleeper_join(_metadata, &s[2]);
	drv_sleeper_join(_metadata, &s[3]);
}

/* ---- raw --------------------------------------------------------------- */

TEST_F(epoll, a_raw_region_only_hangs_up)
{
	struct l3l2q_create create;
	struct drv_pair p;

	drv_create_init_raw(&create, 4096, 384);
	drv_pair_create(_metadata, &p, &create);
	drv_pair_map(_metadata, &p);
	EXPECT_EQ(0, drv_poll(p.l3.fd, ALL, 0));
	drv_store(&p.l2, L3L2Q_CTR_OUTPUT_TAIL, 1);
	drv_store(&p.l2, L3L2Q_CTR_L2_ABORT, 1);
	EXPECT_EQ(0, drv_poll(p.l3.fd, ALL, 0));
	drv_sleeper_start(_metadata, &self->s[0], DRV_BY_POLL, p.l3.fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_detach(p.l2.fd));
	drv_sleeper_join(_metadata, &self->s[0]);
	EXPECT_EQ(EPOLLHUP, self->s[0].polled);
	drv_pair_close(&p);
}

TEST_HARNESS_MAIN
