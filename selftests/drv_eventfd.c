// SPDX-License-Identifier: GPL-2.0-only
/* EVENTFD and ARM: signals that fire once an arm. */
#include "drv_util.h"

FIXTURE(eventfd)
{
	struct drv_pair p;
	int efd;
	int other;
};

FIXTURE_SETUP(eventfd)
{
	drv_pair_queue(_metadata, &self->p);
	self->efd = drv_eventfd_new();
	self->other = drv_eventfd_new();
	ASSERT_LE(0, self->efd);
	ASSERT_LE(0, self->other);
}

FIXTURE_TEARDOWN(eventfd)
{
	close(self->efd);
	close(self->other);
	drv_pair_close(&self->p);
}

#define L3 (&self->p.l3)
#define L2 (&self->p.l2)
#define TAIL L3L2Q_CTR_INPUT_TAIL

TEST_F(eventfd, registered_before_fires_when_it_holds)
{
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	EXPECT_EQ(0, drv_signals(self->efd));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(1, drv_signals(self->efd));
}

TEST_F(eventfd, registered_after_fires_at_once)
{
	drv_store(L3, TAIL, 1);
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	EXPECT_EQ(1, drv_signals(self->efd));
}

TEST_F(eventfd, registering_arms)
{
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
	EXPECT_FALSE(drv_armed(L3->peer) & L3L2Q_EVENT_OUT);
}

TEST_F(eventfd, fires_once_an_arm)
{
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	EXPECT_EQ(0, drv_set(L3->fd, TAIL, 1));
	EXPECT_EQ(0, drv_set(L3->fd, TAIL, 2));
	EXPECT_EQ(0, drv_kick(L3->fd, 0));
	EXPECT_EQ(0, drv_kick(L2->fd, L3L2Q_KICK_SELF));
	EXPECT_EQ(1, drv_signals(self->efd));
	/* fired: nobody is to be kicked for it */
	EXPECT_FALSE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_set(L3->fd, TAIL, 3));
	EXPECT_EQ(0, drv_signals(self->efd));
}

TEST_F(eventfd, a_store_to_the_control_page_arms_again)
{
	__u32 i;

	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	for (i = 1; i < 10; i++) {
		EXPECT_EQ(0, drv_publish_tail(L3, i));
		EXPECT_EQ(1, drv_signals(self->efd));
		drv_consumer(L2, L3L2Q_CONSUMER_SEEN, i);
		drv_arm_store(L2, L3L2Q_EVENT_IN);
		EXPECT_EQ(0, drv_signals(self->efd));
	}
}

TEST_F(eventfd, arm_arms_again_and_looks)
{
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(1, drv_signals(self->efd));
	drv_consumer(L2, L3L2Q_CONSUMER_SEEN, 1);
	EXPECT_EQ(0, drv_arm(L2->fd, L3L2Q_EVENT_IN));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_publish_tail(L3, 2));
	EXPECT_EQ(1, drv_signals(self->efd));
	/* it holds when armed: reported by return value */
	EXPECT_EQ(L3L2Q_EVENT_IN, drv_arm(L2->fd, L3L2Q_EVENT_IN));
}

TEST_F(eventfd, registering_again_arms_again)
{
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(1, drv_signals(self->efd));
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	EXPECT_EQ(1, drv_signals(self->efd));
	drv_consumer(L2, L3L2Q_CONSUMER_SEEN, 1);
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	EXPECT_EQ(0, drv_signals(self->efd));
	EXPECT_EQ(0, drv_publish_tail(L3, 2));
	EXPECT_EQ(1, drv_signals(self->efd));
}

TEST_F(eventfd, does_not_fire_before_it_holds_and_stays_armed)
{
	int i;

	drv_consumer(L2, L3L2Q_CONSUMER_HOLD, 0);
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(0, drv_kick(L3->fd, 0));
		EXPECT_EQ(0, drv_signals(self->efd));
		EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
	}
	drv_consumer(L2, 0, 0);
	EXPECT_EQ(0, drv_publish_tail(L3, 2));
	EXPECT_EQ(1, drv_signals(self->efd));
}

TEST_F(eventfd, for_space_fires_on_the_needed_head)
{
	drv_store(L3, TAIL, 2);
	drv_producer(L3, L3L2Q_PRODUCER_NEED, 2);
	ASSERT_EQ(0, drv_eventfd(L3->fd, L3L2Q_EVENTFD_OUT, self->efd));
	EXPECT_EQ(0, drv_publish_head(L2, 1));
	EXPECT_EQ(0, drv_signals(self->efd));
	EXPECT_EQ(0, drv_publish_head(L2, 2));
	EXPECT_EQ(1, drv_signals(self->efd));
}

TEST_F(eventfd, the_new_one_replaces_the_old)
{
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->other));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(0, drv_signals(self->efd));
	EXPECT_EQ(1, drv_signals(self->other));
}

TEST_F(eventfd, a_removed_one_is_silent)
{
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, -1));
	EXPECT_EQ(0, drv_set(L3->fd, TAIL, 1));
	EXPECT_EQ(0, drv_kick(L3->fd, 0));
	EXPECT_EQ(0, drv_signals(self->efd));
}

TEST_F(eventfd, nothing_to_remove_is_enoent)
{
	__u32 kind, slot;

	for (kind = L3L2Q_EVENTFD_IN; kind <= L3L2Q_EVENTFD_ABORT; kind++) {
		EXPECT_EQ(-ENOENT, drv_eventfd(L2->fd, kind, -1));
		ASSERT_EQ(0, drv_eventfd(L2->fd, kind, self->efd));
		EXPECT_EQ(0, drv_eventfd(L2->fd, kind, -1));
		EXPECT_EQ(-ENOENT, drv_eventfd(L2->fd, kind, -1));
		/* the other endpoint's are its own */
		ASSERT_EQ(0, drv_eventfd(L2->fd, kind, self->efd));
		EXPECT_EQ(-ENOENT, drv_eventfd(L3->fd, kind, -1));
	}
	for (slot = 0; slot < L3L2Q_COUNTER_SLOTS; slot++) {
		EXPECT_EQ(-ENOENT, drv_eventfd_counter(L2->fd, slot, -1, 0, 0, 0));
	}
}

TEST_F(eventfd, what_is_no_eventfd_is_refused)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), sv[2], epfd = epoll_create1(0);

	ASSERT_EQ(0, drv_socketpair(sv));
	EXPECT_EQ(-EINVAL, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, null));
	EXPECT_EQ(-EINVAL, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, sv[0]));
	EXPECT_EQ(-EINVAL, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, epfd));
	EXPECT_EQ(-EINVAL, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, L2->fd));
	EXPECT_EQ(-EINVAL, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->p.ctx));
	close(null);
	EXPECT_EQ(-EBADF, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, null));
	EXPECT_EQ(-EBADF, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, INT_MAX));
	EXPECT_GT(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, -2));
	EXPECT_EQ(-ENOENT, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, -1));
}

TEST_F(eventfd, a_refused_one_leaves_the_old_in_place)
{
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	EXPECT_EQ(-EINVAL, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, L2->fd));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(1, drv_signals(self->efd));
}

TEST_F(eventfd, bad_arguments_are_refused)
{
	struct l3l2q_eventfd good = {
		.size = sizeof(good), .kind = L3L2Q_EVENTFD_IN, .fd = self->efd,
	};
	struct l3l2q_eventfd bad;

#define BAD(expect, ...) do {						\
	bad = good;							\
	__VA_ARGS__;							\
	EXPECT_EQ(expect, drv_ioctl(L2->fd, L3L2Q_IOC_EVENTFD, &bad))	\
		TH_LOG(#__VA_ARGS__);					\
} while (0)
	BAD(-EINVAL, bad.kind = 4);
	BAD(-EINVAL, bad.kind = UINT_MAX);
	/* counters only */
	BAD(-EINVAL, bad.slot = 1);
	BAD(-EINVAL, bad.cmp = 1);
	BAD(-EINVAL, bad.offset = 4);
	BAD(-EINVAL, bad.value = 1);
	good.kind = L3L2Q_EVENTFD_COUNTER;
	BAD(-EINVAL, bad.slot = L3L2Q_COUNTER_SLOTS);
	BAD(-EINVAL, bad.slot = UINT_MAX);
	BAD(-EINVAL, bad.cmp = 6);
	BAD(-EINVAL, bad.cmp = UINT_MAX);
	BAD(-EINVAL, bad.offset = 2);
	BAD(-ERANGE, bad.offset = 384);
	BAD(-ERANGE, bad.offset = ~3ull);
	BAD(0, bad.slot = L3L2Q_COUNTER_SLOTS - 1);
#undef BAD
}

/* ---- abort ------------------------------------------------------------- */

TEST_F(eventfd, abort_fires_on_the_peers_flag)
{
	ASSERT_EQ(0, drv_eventfd(L3->fd, L3L2Q_EVENTFD_ABORT, self->efd));
	EXPECT_EQ(0, drv_publish_abort(L2));
	EXPECT_EQ(1, drv_signals(self->efd));
}

TEST_F(eventfd, abort_fires_on_detach)
{
	ASSERT_EQ(0, drv_eventfd(L3->fd, L3L2Q_EVENTFD_ABORT, self->efd));
	EXPECT_EQ(0, drv_detach(L2->fd));
	EXPECT_EQ(1, drv_signals(self->efd));
}

TEST_F(eventfd, abort_fires_on_death)
{
	ASSERT_EQ(0, drv_eventfd(L3->fd, L3L2Q_EVENTFD_ABORT, self->efd));
	drv_ep_unmap(L2, L3L2Q_MAP_COUNTERS);
	EXPECT_EQ(1, drv_signals(self->efd));
}

TEST_F(eventfd, abort_fires_at_once_if_the_peer_is_dead)
{
	drv_ep_unmap(L2, L3L2Q_MAP_COUNTERS);
	ASSERT_EQ(0, drv_eventfd(L3->fd, L3L2Q_EVENTFD_ABORT, self->efd));
	EXPECT_EQ(1, drv_signals(self->efd));
}

TEST_F(eventfd, abort_asks_for_no_kick_after_messages)
{
	struct l3l2q_stats before, after;
	__u32 i;

	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_ABORT, self->efd));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_ABORT);
	EXPECT_EQ(0, drv_armed(L3->peer) & (L3L2Q_ARM_TAIL | L3L2Q_ARM_HEAD));
	/* also not after something else had asked for one */
	EXPECT_EQ(0, drv_poll(L2->fd, POLLIN, 0));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_ABORT);
	EXPECT_EQ(0, drv_armed(L3->peer) & (L3L2Q_ARM_TAIL | L3L2Q_ARM_HEAD));
	ASSERT_EQ(0, drv_stats(L3->fd, &before));
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(0, drv_publish_tail(L3, 2));
	}
	ASSERT_EQ(0, drv_stats(L3->fd, &after));
	EXPECT_EQ(before.kicks, after.kicks);
	EXPECT_EQ(0, drv_signals(self->efd));
	/* and still works */
	EXPECT_EQ(0, drv_publish_abort(L3));
	EXPECT_EQ(1, drv_signals(self->efd));
}

/* ---- counters ---------------------------------------------------------- */

TEST_F(eventfd, a_counter_fires_when_its_condition_holds)
{
	ASSERT_EQ(0, drv_eventfd_counter(L2->fd, 0, self->efd, TAIL, L3L2Q_CMP_GE, 5));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_ARM_SLOT(0));
	EXPECT_EQ(0, drv_publish_tail(L3, 4));
	EXPECT_EQ(0, drv_signals(self->efd));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_ARM_SLOT(0));
	EXPECT_EQ(0, drv_publish_tail(L3, 5));
	EXPECT_EQ(1, drv_signals(self->efd));
	EXPECT_FALSE(drv_armed(L3->peer) & L3L2Q_ARM_SLOT(0));
}

TEST_F(eventfd, a_counter_that_holds_fires_at_once)
{
	drv_store(L3, TAIL, 5);
	ASSERT_EQ(0, drv_eventfd_counter(L2->fd, 3, self->efd, TAIL, L3L2Q_CMP_EQ, 5));
	EXPECT_EQ(1, drv_signals(self->efd));
}

TEST_F(eventfd, slots_are_independent)
{
	int efd[L3L2Q_COUNTER_SLOTS], value;
	__u32 i;

	for (i = 0; i < L3L2Q_COUNTER_SLOTS; i++) {
		efd[i] = drv_eventfd_new();
		ASSERT_EQ(0, drv_eventfd_counter(L2->fd, i, efd[i], TAIL, L3L2Q_CMP_EQ,
						 (int)i + 1));
	}
	EXPECT_EQ(L3L2Q_ARM_SLOTS, drv_armed(L3->peer) & L3L2Q_ARM_SLOTS);
	for (value = 1; value <= L3L2Q_COUNTER_SLOTS; value++) {
		EXPECT_EQ(0, drv_publish_tail(L3, (__u32)value));
		for (i = 0; i < L3L2Q_COUNTER_SLOTS; i++) {
			EXPECT_EQ(value == (int)i + 1, drv_signals(efd[i]));
		}
	}
	EXPECT_EQ(0, drv_armed(L3->peer) & L3L2Q_ARM_SLOTS);
}

TEST_F(eventfd, arm_takes_slots)
{
	ASSERT_EQ(0, drv_eventfd_counter(L2->fd, 2, self->efd, TAIL, L3L2Q_CMP_EQ, 1));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(1, drv_signals(self->efd));
	drv_store(L3, TAIL, 0);
	EXPECT_EQ(0, drv_arm(L2->fd, L3L2Q_ARM_SLOT(2)));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_ARM_SLOT(2));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(1, drv_signals(self->efd));
}

TEST_F(eventfd, a_raw_regions_counters_work_for_both_roles)
{
	struct l3l2q_create create;
	struct drv_pair p;

	drv_create_init_raw(&create, 64, 4096);
	drv_pair_create(_metadata, &p, &create);
	ASSERT_EQ(0, drv_eventfd_counter(p.l3.fd, 0, self->efd, 4092, L3L2Q_CMP_NE, 0));
	ASSERT_EQ(0, drv_eventfd_counter(p.l2.fd, 0, self->other, 0, L3L2Q_CMP_LT, 0));
	EXPECT_EQ(0, drv_set(p.l2.fd, 4092, 1));
	EXPECT_EQ(1, drv_signals(self->efd));
	EXPECT_EQ(0, drv_signals(self->other));
	EXPECT_EQ(0, drv_set(p.l3.fd, 0, -1));
	EXPECT_EQ(1, drv_signals(self->other));
	drv_pair_close(&p);
}

/* ---- life times -------------------------------------------------------- */

TEST_F(eventfd, one_that_its_owner_closed_may_still_fire)
{
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	close(self->efd);
	self->efd = -1;
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, -1));
}

TEST_F(eventfd, a_closed_endpoint_signals_no_more)
{
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_ABORT, self->other));
	drv_ep_unmap_all(L2);
	drv_ep_close(L2);
	EXPECT_EQ(0, drv_set(L3->fd, TAIL, 1));
	EXPECT_EQ(0, drv_kick(L3->fd, 0));
	drv_ep_unmap_all(L3);
	drv_ep_close(L3);
	EXPECT_EQ(0, drv_signals(self->efd));
	EXPECT_EQ(0, drv_signals(self->other));
}

TEST_F(eventfd, one_may_stand_for_everything)
{
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_ABORT, self->efd));
	ASSERT_EQ(0, drv_eventfd(L3->fd, L3L2Q_EVENTFD_ABORT, self->efd));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(1, drv_signals(self->efd));
	EXPECT_EQ(0, drv_publish_abort(L3));
	EXPECT_EQ(1, drv_signals(self->efd));
}

TEST_F(eventfd, a_full_one_does_not_block_the_kernel)
{
	__u64 most = ~0ull - 1;

	ASSERT_EQ((ssize_t)sizeof(most), write(self->efd, &most, sizeof(most)));
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(0, drv_set(L3->fd, TAIL, 2));
}

TEST_F(eventfd, signals_are_counted)
{
	struct l3l2q_stats stats;

	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	ASSERT_EQ(0, drv_stats(L2->fd, &stats));
	EXPECT_EQ(0, stats.signals);
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	ASSERT_EQ(0, drv_stats(L2->fd, &stats));
	EXPECT_EQ(1, stats.signals);
	ASSERT_EQ(0, drv_stats(L3->fd, &stats));
	EXPECT_EQ(0, stats.signals);
}

/* ---- ARM --------------------------------------------------------------- */

TEST_F(eventfd, arm_reports_what_holds)
{
	EXPECT_EQ(L3L2Q_EVENT_OUT, drv_arm(L2->fd, L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT));
	EXPECT_EQ(0, drv_arm(L2->fd, L3L2Q_EVENT_IN));
	drv_store(L3, TAIL, 1);
	EXPECT_EQ(L3L2Q_EVENT_IN, drv_arm(L2->fd, L3L2Q_EVENT_IN));
	drv_store(L3, L3L2Q_CTR_L3_ABORT, 1);
	EXPECT_EQ(L3L2Q_EVENT_IN | L3L2Q_EVENT_ABORT, drv_arm(L2->fd, L3L2Q_EVENT_IN));
	drv_ep_unmap(L3, L3L2Q_MAP_COUNTERS);
	EXPECT_EQ(L3L2Q_EVENT_ALL, drv_arm(L2->fd, L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT));
}

TEST_F(eventfd, arm_sets_the_bits)
{
	EXPECT_EQ(0, drv_arm(L2->fd, L3L2Q_EVENT_IN));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
	EXPECT_FALSE(drv_armed(L3->peer) & L3L2Q_EVENT_OUT);
	EXPECT_EQ(L3L2Q_EVENT_OUT, drv_arm(L2->fd, L3L2Q_EVENT_OUT));
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_OUT);
	EXPECT_EQ(0, drv_armed(L3->own));
}

TEST_F(eventfd, unknown_arm_bits_are_einval)
{
	int bit;

	for (bit = 16; bit < 32; bit++) {
		EXPECT_EQ(-EINVAL, drv_arm(L2->fd, 1u << bit));
		EXPECT_EQ(-EINVAL, drv_arm(L2->fd, L3L2Q_EVENT_IN | 1u << bit));
	}
	for (bit = 5; bit < 8; bit++) {
		EXPECT_EQ(-EINVAL, drv_arm(L2->fd, 1u << bit));
	}
	EXPECT_EQ(0, drv_armed(L3->peer));
}

TEST_F(eventfd, a_kick_consumes_what_was_armed)
{
	EXPECT_EQ(0, drv_arm(L2->fd, L3L2Q_EVENT_IN));
	EXPECT_EQ(0, drv_kick(L3->fd, 0));
	EXPECT_EQ(0, drv_armed(L3->peer));
}

TEST_F(eventfd, a_kick_leaves_ones_own_arming_alone)
{
	EXPECT_EQ(0, drv_arm(L3->fd, L3L2Q_EVENT_IN));
	EXPECT_EQ(0, drv_kick(L3->fd, 0));
	EXPECT_TRUE(drv_armed(L2->peer) & L3L2Q_EVENT_IN);
}

TEST_HARNESS_MAIN
