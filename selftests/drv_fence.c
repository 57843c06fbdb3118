// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's part of fences on request: where the peer's half is unfenced and the owner
 * has not had a barrier executed there (DONE), nobody sleeps in the kernel.
 */
#include "drv_util.h"

FIXTURE(fence)
{
	struct drv_pair p;
	int efd;
};

FIXTURE_SETUP(fence)
{
	drv_pair_queue(_metadata, &self->p);
	self->efd = drv_eventfd_new();
	ASSERT_LE(0, self->efd);
}

FIXTURE_TEARDOWN(fence)
{
	close(self->efd);
	drv_pair_close(&self->p);
}

#define L3 (&self->p.l3)
#define L2 (&self->p.l2)
#define REQ (L3L2Q_ARM_REQ_TAIL | L3L2Q_ARM_REQ_HEAD)
#define DONE (L3L2Q_ARM_DONE_TAIL | L3L2Q_ARM_DONE_HEAD)

/* Not readable, not writable: by words of the owner's. */
static void keep_busy(struct drv_ep *ep)
{
	drv_consumer(ep, L3L2Q_CONSUMER_SEEN, 0);
	drv_producer(ep, L3L2Q_PRODUCER_NEED, 1);
}

static void set_unfenced(struct drv_ep *ep, bool tail, bool head)
{
	__atomic_store_n(&ep->own->tail_unfenced, tail, __ATOMIC_SEQ_CST);
	__atomic_store_n(&ep->own->head_unfenced, head, __ATOMIC_SEQ_CST);
}

/* A short deadline is for sleepers alone: it may have passed before the call begins. */
static __u64 deadline_for(bool sleeps)
{
	return drv_deadline(sleeps ? 2 : DRV_HANG_MS);
}

static int wait_for(int fd, __u32 events, bool sleeps)
{
	return drv_wait(fd, events, NULL, 0, deadline_for(sleeps), NULL);
}

TEST_F(fence, nobody_waits_for_an_unfenced_half_before_done)
{
	struct l3l2q_condition condition = { .offset = L3L2Q_CTR_INPUT_TAIL,
		.cmp = L3L2Q_CMP_GT, .value = 100 };
	struct drv_waited w;
	int tail, head;

	keep_busy(L2);
	drv_arm_store(L2, L3L2Q_ARM_ASKS | REQ);
	for (tail = 0; tail < 2; tail++) {
		for (head = 0; head < 2; head++) {
			set_unfenced(L3, tail, head);
			EXPECT_EQ(tail ? 0 : -ETIMEDOUT, wait_for(L2->fd, L3L2Q_EVENT_IN, !tail));
			EXPECT_EQ(head ? 0 : -ETIMEDOUT, wait_for(L2->fd, L3L2Q_EVENT_OUT, !head));
			EXPECT_EQ(-ETIMEDOUT, wait_for(L2->fd, L3L2Q_EVENT_ABORT, true));
			EXPECT_EQ(tail || head ? 0 : -ETIMEDOUT,
				  drv_wait(L2->fd, 0, &condition, 1,
					   deadline_for(!tail && !head), NULL));
			EXPECT_EQ((tail ? POLLIN : 0) | (head ? POLLOUT : 0),
				  drv_poll(L2->fd, POLLIN | POLLOUT | POLLPRI, 0));
			EXPECT_EQ((tail ? L3L2Q_EVENT_IN : 0) | (head ? L3L2Q_EVENT_OUT : 0),
				  drv_arm(L2->fd, L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT));
		}
	}
	/* it returns nothing that holds */
	EXPECT_EQ(0, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, deadline_for(false), &w));
	EXPECT_EQ(0, w.revents);
	EXPECT_EQ(-1, w.index);

	drv_arm_store(L2, L3L2Q_ARM_DONE_TAIL);
	EXPECT_EQ(-ETIMEDOUT, wait_for(L2->fd, L3L2Q_EVENT_IN, true));
	EXPECT_EQ(0, wait_for(L2->fd, L3L2Q_EVENT_OUT, false));
	EXPECT_EQ(POLLOUT, drv_poll(L2->fd, POLLIN | POLLOUT, 0));
	drv_arm_store(L2, L3L2Q_ARM_DONE_HEAD);
	EXPECT_EQ(-ETIMEDOUT, wait_for(L2->fd, L3L2Q_EVENT_OUT, true));
	EXPECT_EQ(0, drv_poll(L2->fd, POLLIN | POLLOUT, 0));
}

/* What a peer says of itself disturbs nobody who has not asked for it. */
TEST_F(fence, an_owner_that_does_not_ask_sleeps)
{
	keep_busy(L2);
	set_unfenced(L3, true, true);
	EXPECT_EQ(-ETIMEDOUT, wait_for(L2->fd, L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT, true));
	EXPECT_EQ(0, drv_poll(L2->fd, POLLIN | POLLOUT, 0));
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	EXPECT_EQ(0, drv_signals(self->efd));
}

TEST_F(fence, a_wake_up_takes_events_only)
{
	keep_busy(L2);
	drv_arm_store(L2, L3L2Q_ARM_ASKS | REQ | DONE | L3L2Q_ARM_EVENTS);
	EXPECT_EQ(0, drv_kick(L3->fd, 0));
	EXPECT_EQ(L3L2Q_ARM_ASKS | REQ | DONE, drv_armed(L3->peer));
	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_L3_ABORT, 1));
	EXPECT_EQ(L3L2Q_ARM_ASKS | REQ | DONE, drv_armed(L3->peer));
	/* none of them is an event, and fdinfo shows events */
	EXPECT_EQ(0, drv_kick(L2->fd, L3L2Q_KICK_SELF));
	EXPECT_EQ(L3L2Q_ARM_ASKS | REQ | DONE, drv_armed(L3->peer));
}

TEST_F(fence, an_eventfd_fires_before_done_and_not_after)
{
	keep_busy(L2);
	set_unfenced(L3, true, false);
	drv_arm_store(L2, L3L2Q_ARM_ASKS | REQ);
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, self->efd));
	EXPECT_LE(1, drv_signals(self->efd));
	EXPECT_EQ(L3L2Q_EVENT_IN, drv_arm(L2->fd, L3L2Q_EVENT_IN));
	EXPECT_LE(1, drv_signals(self->efd));
	/* nothing that concerns messages */
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_ABORT, self->efd));
	EXPECT_EQ(0, drv_signals(self->efd));

	drv_arm_store(L2, L3L2Q_ARM_DONE_TAIL);
	EXPECT_EQ(0, drv_arm(L2->fd, L3L2Q_EVENT_IN));
	EXPECT_EQ(0, drv_signals(self->efd));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(1, drv_signals(self->efd));
}

/* A wake-up that is not for a sleeper arms for it again: it returns if DONE is gone. */
TEST_F(fence, arming_again_needs_done_too)
{
	struct drv_sleeper s = { .fd = L2->fd, .how = DRV_BY_WAIT, .extra = -1,
		.events = L3L2Q_EVENT_IN, .deadline = drv_deadline(DRV_HANG_MS) };

	keep_busy(L2);
	set_unfenced(L3, true, true);
	drv_arm_store(L2, L3L2Q_ARM_ASKS | REQ | DONE);
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_OUT, self->efd));
	drv_sleeper_go(_metadata, &s);
	ASSERT_TRUE(drv_asleep(getpid(), s.tid, __NR_ioctl));
	EXPECT_EQ(0, drv_kick(L3->fd, 0));
	EXPECT_TRUE(drv_sleeper_sleeps(&s));
	EXPECT_EQ(0, drv_signals(self->efd));

	__atomic_fetch_and(&L2->own->armed, ~DONE, __ATOMIC_SEQ_CST);
	EXPECT_EQ(0, drv_kick(L3->fd, 0));
	drv_sleeper_join(_metadata, &s);
	EXPECT_EQ(0, s.ret);
	EXPECT_LE(1, drv_signals(self->efd));
}

TEST_HARNESS_MAIN
