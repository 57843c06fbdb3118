// SPDX-License-Identifier: GPL-2.0-only
/* WAIT: what ends it and what it reports, alone and against everything else. */
#include "drv_util.h"

FIXTURE(wait)
{
	struct drv_pair p;
	struct drv_sleeper s;
	struct drv_waited w;
	struct l3l2q_condition c[L3L2Q_WAIT_MAX_CONDITIONS];
};

FIXTURE_SETUP(wait)
{
	drv_pair_queue(_metadata, &self->p);
}

FIXTURE_TEARDOWN(wait)
{
	drv_pair_close(&self->p);
}

#define L3 (&self->p.l3)
#define L2 (&self->p.l2)

static struct l3l2q_condition condition(__u64 offset, __u32 cmp, __s32 value)
{
	return (struct l3l2q_condition) {
		.offset = offset, .cmp = cmp, .value = value, .observed = 0x5a5a5a,
	};
}

/* ---- arguments --------------------------------------------------------- */

TEST_F(wait, for_nothing_is_einval)
{
	EXPECT_EQ(-EINVAL, drv_wait(L3->fd, 0, NULL, 0, 0, NULL));
	EXPECT_EQ(-EINVAL, drv_wait(L3->fd, 0, NULL, 0, L3L2Q_WAIT_FOREVER, NULL));
	EXPECT_EQ(-EINVAL, drv_wait(L3->fd, 0, self->c, 0, L3L2Q_WAIT_FOREVER, NULL));
}

TEST_F(wait, unknown_events_are_einval)
{
	int bit;

	for (bit = 4; bit < 32; bit++) {
		EXPECT_EQ(-EINVAL, drv_wait(L3->fd, L3L2Q_EVENT_OUT | 1u << bit, NULL, 0,
					    L3L2Q_WAIT_FOREVER, NULL));
	}
}

TEST_F(wait, too_many_conditions_are_einval)
{
	struct l3l2q_condition many[L3L2Q_WAIT_MAX_CONDITIONS + 1];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = condition(0, L3L2Q_CMP_EQ, 0);
	EXPECT_EQ(0, drv_wait(L3->fd, 0, many, L3L2Q_WAIT_MAX_CONDITIONS, 0, NULL));
	EXPECT_EQ(-EINVAL, drv_wait(L3->fd, 0, many, L3L2Q_WAIT_MAX_CONDITIONS + 1, 0, NULL));
	EXPECT_EQ(-EINVAL, drv_wait(L3->fd, 0, many, UINT_MAX, 0, NULL));
	EXPECT_EQ(-EINVAL, drv_wait(L3->fd, 0, many, 1u << 31, 0, NULL));
	EXPECT_EQ(-EINVAL, drv_wait(L3->fd, 0, NULL, 1u << 30, 0, NULL));
}

TEST_F(wait, bad_conditions_are_refused_wherever_they_stand)
{
	size_t i;

	for (i = 0; i < 3; i++) {
#define BAD(expect, ...) do {							\
		size_t j;							\
										\
		for (j = 0; j < 3; j++)						\
			self->c[j] = condition(0, L3L2Q_CMP_EQ, 0);		\
		self->c[i] = __VA_ARGS__;					\
		EXPECT_EQ(expect, drv_wait(L3->fd, 0, self->c, 3, 0, NULL))	\
			TH_LOG("at %zu: " #__VA_ARGS__, i);			\
} while (0)
		BAD(-EINVAL, condition(2, L3L2Q_CMP_EQ, 0));
		BAD(-EINVAL, condition(~0ull, L3L2Q_CMP_EQ, 0));
		BAD(-ERANGE, condition(384, L3L2Q_CMP_EQ, 0));
		BAD(-ERANGE, condition(1ull << 40, L3L2Q_CMP_EQ, 0));
		BAD(-EINVAL, condition(0, 6, 0));
		BAD(-EINVAL, condition(0, UINT_MAX, 0));
		BAD(-EINVAL, (struct l3l2q_condition) { .pad = 1 });
#undef BAD
	}
}

TEST_F(wait, bad_condition_pointers_are_efault)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct l3l2q_condition *last;

	ASSERT_NE(MAP_FAILED, (void *)page);
	EXPECT_EQ(-EFAULT, drv_wait(L3->fd, 0, NULL, 1, 0, NULL));
	EXPECT_EQ(-EFAULT, drv_wait(L3->fd, 0, (void *)-4096l, 1, 0, NULL));
	EXPECT_EQ(-EFAULT, drv_wait(L3->fd, L3L2Q_EVENT_OUT, NULL, 1, 0, NULL));
	/* the second of two lies outside */
	ASSERT_EQ(0, mprotect(page + 4096, 4096, PROT_NONE));
	last = (void *)(page + 4096 - sizeof(*last));
	*last = condition(0, L3L2Q_CMP_EQ, 0);
	EXPECT_EQ(0, drv_wait(L3->fd, 0, last, 1, 0, NULL));
	EXPECT_EQ(-EFAULT, drv_wait(L3->fd, 0, last, 2, 0, NULL));
	/* readable, but the observed values cannot be returned */
	ASSERT_EQ(0, mprotect(page, 4096, PROT_READ));
	EXPECT_EQ(-EFAULT, drv_wait(L3->fd, 0, last, 1, 0, NULL));
}

/* ---- at once ----------------------------------------------------------- */

TEST_F(wait, what_holds_already_is_returned_at_once)
{
	EXPECT_EQ(0, drv_wait(L3->fd, L3L2Q_EVENT_OUT, NULL, 0, L3L2Q_WAIT_FOREVER, &self->w));
	EXPECT_EQ(L3L2Q_EVENT_OUT, self->w.revents);
	EXPECT_EQ(-1, self->w.index);
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 1);
	EXPECT_EQ(0, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER, &self->w));
	EXPECT_EQ(L3L2Q_EVENT_IN, self->w.revents);
	EXPECT_EQ(0, drv_wait(L2->fd, L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT, NULL, 0,
			      L3L2Q_WAIT_FOREVER, &self->w));
	EXPECT_EQ(L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT, self->w.revents);
}

TEST_F(wait, index_is_the_first_condition_that_holds)
{
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 10);
	drv_store(L2, L3L2Q_CTR_INPUT_HEAD, 9);
	self->c[0] = condition(L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_GT, 10);
	self->c[1] = condition(L3L2Q_CTR_INPUT_HEAD, L3L2Q_CMP_GE, 9);
	self->c[2] = condition(L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_EQ, 10);
	EXPECT_EQ(0, drv_wait(L3->fd, 0, self->c, 3, L3L2Q_WAIT_FOREVER, &self->w));
	EXPECT_EQ(1, self->w.index);
	EXPECT_EQ(0, self->w.revents);
	EXPECT_EQ(10, self->c[0].observed);
	EXPECT_EQ(9, self->c[1].observed);
	EXPECT_EQ(10, self->c[2].observed);
}

TEST_F(wait, an_event_that_holds_leaves_index_minus_one)
{
	self->c[0] = condition(L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_EQ, 5);
	EXPECT_EQ(0, drv_wait(L3->fd, L3L2Q_EVENT_OUT, self->c, 1, L3L2Q_WAIT_FOREVER, &self->w));
	EXPECT_EQ(L3L2Q_EVENT_OUT, self->w.revents);
	EXPECT_EQ(-1, self->w.index);
	EXPECT_EQ(0, self->c[0].observed);
}

TEST_F(wait, an_event_that_was_not_asked_for_does_not_count)
{
	/* L3 is writable all the time */
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L3->fd, L3L2Q_EVENT_IN, NULL, 0, 0, &self->w));
	EXPECT_EQ(0, self->w.revents & L3L2Q_EVENT_IN);
}

TEST_F(wait, every_comparison_ends_it)
{
	const struct { __u32 cmp; __s32 value; } holds[] = {
		{ L3L2Q_CMP_EQ, 5 }, { L3L2Q_CMP_NE, 4 }, { L3L2Q_CMP_GT, 4 },
		{ L3L2Q_CMP_GE, 5 }, { L3L2Q_CMP_LT, 6 }, { L3L2Q_CMP_LE, 5 },
	}, not[] = {
		{ L3L2Q_CMP_EQ, 4 }, { L3L2Q_CMP_NE, 5 }, { L3L2Q_CMP_GT, 5 },
		{ L3L2Q_CMP_GE, 6 }, { L3L2Q_CMP_LT, 5 }, { L3L2Q_CMP_LE, 4 },
	};
	size_t i;

	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 5);
	for (i = 0; i < ARRAY_SIZE(holds); i++) {
		self->c[0] = condition(L3L2Q_CTR_INPUT_TAIL, holds[i].cmp, holds[i].value);
		EXPECT_EQ(0, drv_wait(L2->fd, 0, self->c, 1, 0, &self->w));
		EXPECT_EQ(0, self->w.index);
		self->c[0] = condition(L3L2Q_CTR_INPUT_TAIL, not[i].cmp, not[i].value);
		EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, 0, self->c, 1, 0, &self->w));
	}
}

/* ---- deadline ---------------------------------------------------------- */

TEST_F(wait, a_deadline_in_the_past_looks_once)
{
	self->c[0] = condition(L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_EQ, 5);
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, L3L2Q_EVENT_IN, self->c, 1, 0, &self->w));
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, L3L2Q_EVENT_IN, self->c, 1, 1, &self->w));
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 5);
	EXPECT_EQ(0, drv_wait(L2->fd, L3L2Q_EVENT_IN, self->c, 1, 0, &self->w));
	EXPECT_EQ(0, self->w.index);
	EXPECT_EQ(L3L2Q_EVENT_IN, self->w.revents);
}

TEST_F(wait, time_out_returns_what_was_observed)
{
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 3);
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, (__u32)-7);
	self->c[0] = condition(L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_GT, 3);
	self->c[1] = condition(L3L2Q_CTR_OUTPUT_TAIL, L3L2Q_CMP_GT, 3);
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, 0, self->c, 2, drv_deadline(5), &self->w));
	EXPECT_EQ(3, self->c[0].observed);
	EXPECT_EQ(-7, self->c[1].observed);
	EXPECT_EQ(0, self->w.revents);
	EXPECT_EQ(-1, self->w.index);
	/* the rest of a condition stays what it was */
	EXPECT_EQ(L3L2Q_CTR_OUTPUT_TAIL, self->c[1].offset);
	EXPECT_EQ(3, self->c[1].value);
}

TEST_F(wait, never_times_out_early)
{
	__u64 deadline;
	int i;

	for (i = 0; i < 10; i++) {
		deadline = drv_now() + 1000000 * i;
		EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, deadline, NULL));
		EXPECT_LE(deadline, drv_now());
	}
}

TEST_F(wait, far_deadlines_do_not_wrap)
{
	const __u64 far[] = { L3L2Q_WAIT_FOREVER, L3L2Q_WAIT_FOREVER - 1, 1ull << 63,
			      (1ull << 63) - 1, (1ull << 63) + 1 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(far); i++) {
		memset(&self->s, 0, sizeof(self->s));
		self->s.fd = L2->fd;
		self->s.how = DRV_BY_WAIT;
		self->s.extra = -1;
		self->s.events = L3L2Q_EVENT_IN;
		self->s.deadline = far[i];
		drv_sleeper_go(_metadata, &self->s);
		EXPECT_TRUE(drv_asleep(getpid(), self->s.tid, __NR_ioctl))
			TH_LOG("deadline %#llx", far[i]);
		EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 1));
		drv_sleeper_join(_metadata, &self->s);
		EXPECT_EQ(0, self->s.ret);
		EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 0));
	}
}

static void sleep_until(struct __test_metadata *_metadata, struct drv_sleeper *s, int fd,
			__u64 deadline)
{
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->how = DRV_BY_WAIT;
	s->extra = -1;
	s->events = L3L2Q_EVENT_IN;
	s->deadline = deadline;
	drv_sleeper_go(_metadata, s);
}

TEST_F(wait, each_of_several_ends_at_its_own_deadline)
{
	/* in milliseconds, in the order that they come in; 0 is for good */
	static const __u64 after[][4] = { { 0, 5, 10, 15 }, { 15, 10, 5, 0 }, { 10, 0, 10, 5 } };
	struct drv_sleeper s[4];
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(after); i++) {
		for (j = 0; j < ARRAY_SIZE(s); j++)
			sleep_until(_metadata, &s[j], L2->fd, after[i][j] ?
				    drv_deadline(after[i][j]) : L3L2Q_WAIT_FOREVER);
		for (j = 0; j < ARRAY_SIZE(s); j++) {
			if (!after[i][j])
				continue;
			drv_sleeper_join(_metadata, &s[j]);
			EXPECT_EQ(-ETIMEDOUT, s[j].ret);
			EXPECT_LE(s[j].deadline, drv_now());
		}
		for (j = 0; j < ARRAY_SIZE(s); j++) {
			if (after[i][j])
				continue;
			EXPECT_TRUE(drv_sleeper_sleeps(&s[j]));
			EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 1));
			drv_sleeper_join(_metadata, &s[j]);
			EXPECT_EQ(0, s[j].ret);
			EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 0));
		}
	}
}

TEST_F(wait, a_deadline_of_one_that_was_woken_ends_nobody_else)
{
	struct drv_sleeper s[2];
	__u64 deadline = drv_deadline(20);

	sleep_until(_metadata, &s[0], L2->fd, deadline);
	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 1));
	drv_sleeper_join(_metadata, &s[0]);
	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 0));

	sleep_until(_metadata, &s[1], L2->fd, drv_deadline(DRV_HANG_MS));
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, deadline + 1, NULL));
	EXPECT_LE(deadline + 1, drv_now());
	EXPECT_TRUE(drv_sleeper_sleeps(&s[1]));
	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 1));
	drv_sleeper_join(_metadata, &s[1]);
	EXPECT_EQ(0, s[1].ret);
}

TEST_F(wait, an_earlier_deadline_than_the_last_one_counts)
{
	sleep_until(_metadata, &self->s, L2->fd, drv_deadline(DRV_HANG_MS));
	ASSERT_TRUE(drv_asleep(getpid(), self->s.tid, __NR_ioctl));
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, drv_deadline(2), NULL));
	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 0));
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, drv_deadline(2), NULL));
}

TEST_F(wait, closing_leaves_no_deadline_behind)
{
	struct drv_pair pair;
	int i;

	/* the ends go while their timers still run */
	for (i = 0; i < drv_rounds(50); i++) {
		drv_pair_queue(_metadata, &pair);
		sleep_until(_metadata, &self->s, pair.l2.fd, drv_deadline(1 + i % 5));
		EXPECT_EQ(0, drv_set(pair.l3.fd, L3L2Q_CTR_INPUT_TAIL, 1));
		drv_sleeper_join(_metadata, &self->s);
		drv_pair_close(&pair);
	}
}

TEST_F(wait, what_is_woken_does_not_leave_the_role_armed)
{
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, drv_armed(L3->peer));
	/* nor does one that need not sleep */
	EXPECT_EQ(0, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER, NULL));
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L3->fd, L3L2Q_EVENT_IN, NULL, 0, 0, NULL));
	EXPECT_EQ(0, drv_armed(L3->peer));
	EXPECT_EQ(0, drv_armed(L2->peer));
}

TEST_F(wait, waits_and_sleeps_are_counted)
{
	struct l3l2q_stats stats;

	EXPECT_EQ(0, drv_wait(L3->fd, L3L2Q_EVENT_OUT, NULL, 0, 0, NULL));
	ASSERT_EQ(0, drv_stats(L3->fd, &stats));
	EXPECT_EQ(1, stats.waits);
	EXPECT_EQ(0, stats.sleeps);
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L3->fd, L3L2Q_EVENT_IN);
	ASSERT_EQ(0, drv_stats(L3->fd, &stats));
	EXPECT_EQ(2, stats.waits);
	EXPECT_EQ(1, stats.sleeps);
	EXPECT_EQ(0, drv_publish_tail(L2, 1));
	drv_sleeper_join(_metadata, &self->s);
}

/* ---- against others ---------------------------------------------------- */

TEST_F(wait, notify_of_an_event_ends_it)
{
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(L3L2Q_EVENT_IN, self->s.waited.revents);
	EXPECT_EQ(-1, self->s.waited.index);
}

TEST_F(wait, notify_of_a_condition_ends_it)
{
	self->c[0] = condition(L3L2Q_CTR_OUTPUT_TAIL, L3L2Q_CMP_EQ, 1);
	self->c[1] = condition(L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_GE, 100);
	drv_sleeper_start_wait(_metadata, &self->s, L2->fd, 0, self->c, 2);
	/* not yet */
	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 99));
	EXPECT_TRUE(drv_sleeper_sleeps(&self->s));
	EXPECT_EQ(0, drv_notify(L3->fd, L3L2Q_CTR_INPUT_TAIL, L3L2Q_NOTIFY_ADD, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(1, self->s.waited.index);
	EXPECT_EQ(100, self->c[1].observed);
	EXPECT_EQ(0, self->c[0].observed);
}

TEST_F(wait, one_may_wait_for_ones_own_counter)
{
	/* a thread of the same role changes it */
	self->c[0] = condition(L3L2Q_CTR_INPUT_HEAD, L3L2Q_CMP_EQ, 1);
	drv_sleeper_start_wait(_metadata, &self->s, L2->fd, 0, self->c, 1);
	EXPECT_EQ(0, drv_set(L2->fd, L3L2Q_CTR_INPUT_HEAD, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
}

TEST_F(wait, store_and_kick_ends_it)
{
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(L3L2Q_EVENT_IN, self->s.waited.revents);
}

TEST_F(wait, store_and_kick_ends_a_wait_on_conditions)
{
	self->c[0] = condition(L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_NE, 0);
	drv_sleeper_start_wait(_metadata, &self->s, L2->fd, 0, self->c, 1);
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_ARM_COUNTER);
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(0, self->s.waited.index);
}

TEST_F(wait, a_sleeping_one_is_armed)
{
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
	EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_ABORT);
	EXPECT_EQ(0, drv_armed(L3->own));
	drv_publish_tail(L3, 1);
	drv_sleeper_join(_metadata, &self->s);
}

TEST_F(wait, a_kick_without_cause_does_not_end_it_and_it_is_armed_again)
{
	int i;

	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(0, drv_kick(L3->fd, 0));
		EXPECT_TRUE(drv_sleeper_sleeps(&self->s));
		EXPECT_TRUE(drv_armed(L3->peer) & L3L2Q_EVENT_IN);
	}
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
}

TEST_F(wait, space_ends_a_wait_for_out)
{
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, DRV_DEPTH);
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L3->fd, L3L2Q_EVENT_OUT);
	EXPECT_EQ(0, drv_publish_head(L2, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(L3L2Q_EVENT_OUT, self->s.waited.revents);
}

TEST_F(wait, peers_abort_flag_ends_it_whatever_was_asked)
{
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L3->fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_publish_abort(L2));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(L3L2Q_EVENT_ABORT, self->s.waited.revents);
}

TEST_F(wait, peers_abort_ends_a_wait_on_conditions)
{
	self->c[0] = condition(L3L2Q_CTR_OUTPUT_TAIL, L3L2Q_CMP_EQ, 55);
	drv_sleeper_start_wait(_metadata, &self->s, L3->fd, 0, self->c, 1);
	EXPECT_EQ(0, drv_set(L2->fd, L3L2Q_CTR_L2_ABORT, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(L3L2Q_EVENT_ABORT, self->s.waited.revents);
	EXPECT_EQ(-1, self->s.waited.index);
	EXPECT_EQ(0, self->c[0].observed);
}

TEST_F(wait, an_abort_flag_below_one_is_no_abort)
{
	EXPECT_EQ(0, drv_set(L2->fd, L3L2Q_CTR_L2_ABORT, -1));
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L3->fd, L3L2Q_EVENT_IN, NULL, 0, 0, &self->w));
	EXPECT_EQ(0, drv_set(L2->fd, L3L2Q_CTR_L2_ABORT, INT_MIN));
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L3->fd, L3L2Q_EVENT_IN, NULL, 0, 0, &self->w));
	EXPECT_EQ(0, drv_set(L2->fd, L3L2Q_CTR_L2_ABORT, INT_MAX));
	EXPECT_EQ(0, drv_wait(L3->fd, L3L2Q_EVENT_IN, NULL, 0, 0, &self->w));
	EXPECT_EQ(L3L2Q_EVENT_ABORT, self->w.revents);
}

TEST_F(wait, ones_own_abort_flag_is_not_reported)
{
	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_L3_ABORT, 1));
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L3->fd, L3L2Q_EVENT_IN, NULL, 0, 0, &self->w));
	EXPECT_EQ(0, self->w.revents);
}

TEST_F(wait, peers_detach_ends_it_with_hup_only)
{
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L3->fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_detach(L2->fd));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(L3L2Q_EVENT_HUP, self->s.waited.revents);
}

TEST_F(wait, peers_death_ends_it_with_abort_and_hup)
{
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L3->fd, L3L2Q_EVENT_IN);
	drv_ep_unmap(L2, L3L2Q_MAP_COUNTERS);
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP, self->s.waited.revents);
}

TEST_F(wait, ones_own_detach_ends_it)
{
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L3->fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_detach(L3->fd));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(-ESHUTDOWN, self->s.ret);
}

TEST_F(wait, closing_the_fd_under_it_does_not_end_it)
{
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_ep_close(L2));
	EXPECT_TRUE(drv_sleeper_sleeps(&self->s));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(L3L2Q_EVENT_IN, self->s.waited.revents);
}

TEST_F(wait, an_unmapped_side_dies_when_the_last_wait_on_its_closed_fd_ends)
{
	struct l3l2q_create create;
	struct drv_pair p;

	drv_create_init(&create);
	drv_pair_create(_metadata, &p, &create);
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, p.l2.fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_ep_close(&p.l2));
	EXPECT_EQ(0, drv_poll(p.l3.fd, POLLPRI, 0));
	EXPECT_EQ(0, drv_set(p.l3.fd, L3L2Q_CTR_INPUT_TAIL, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(DRV_DEAD, drv_poll(p.l3.fd, POLLPRI, DRV_HANG_MS));
	drv_pair_close(&p);
}

TEST_F(wait, a_racing_notify_is_never_lost)
{
	int i;

	/* no look at whether it sleeps yet: any order must work */
	for (i = 1; i <= drv_rounds(300); i++) {
		memset(&self->s, 0, sizeof(self->s));
		self->s.fd = L2->fd;
		self->s.how = DRV_BY_WAIT;
		self->s.extra = -1;
		self->s.events = L3L2Q_EVENT_IN;
		self->s.deadline = L3L2Q_WAIT_FOREVER;
		drv_consumer(L2, L3L2Q_CONSUMER_SEEN, (__u32)i - 1);
		drv_sleeper_go(_metadata, &self->s);
		EXPECT_EQ(0, drv_publish_tail(L3, (__u32)i));
		drv_sleeper_join(_metadata, &self->s);
		ASSERT_EQ(0, self->s.ret);
	}
}

TEST_F(wait, kick_self_makes_ones_own_role_look_again)
{
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 1);
	drv_consumer(L2, L3L2Q_CONSUMER_HOLD, 0);
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	drv_consumer(L2, 0, 0);
	EXPECT_EQ(0, drv_kick(L2->fd, L3L2Q_KICK_SELF));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(L3L2Q_EVENT_IN, self->s.waited.revents);
}

TEST_F(wait, a_kick_does_not_wake_ones_own_role)
{
	struct l3l2q_stats before, after;

	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	ASSERT_EQ(0, drv_stats(L2->fd, &before));
	EXPECT_EQ(0, drv_kick(L2->fd, 0));
	ASSERT_EQ(0, drv_stats(L2->fd, &after));
	EXPECT_EQ(before.wakeups, after.wakeups);
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	drv_sleeper_join(_metadata, &self->s);
}

/* ---- signals ----------------------------------------------------------- */

static volatile sig_atomic_t handled;

static void handler(int sig)
{
	(void)sig;
	handled++;
}

static void handle(int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	handled = 0;
	sigaction(SIGUSR1, &action, NULL);
}

static void await_handled(struct __test_metadata *_metadata, int n)
{
	__u64 deadline = drv_deadline(DRV_HANG_MS);

	while (handled < n) {
		ASSERT_GT(deadline, drv_now());
		sched_yield();
	}
}

TEST_F(wait, a_signal_is_eintr)
{
	handle(0);
	self->c[0] = condition(L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_NE, 0);
	drv_sleeper_start_wait(_metadata, &self->s, L2->fd, L3L2Q_EVENT_IN, self->c, 1);
	ASSERT_EQ(0, pthread_kill(self->s.thread, SIGUSR1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(-EINTR, self->s.ret);
	EXPECT_EQ(1, handled);
}

TEST_F(wait, a_signal_with_sa_restart_lets_it_go_on)
{
	int i;

	handle(SA_RESTART);
	self->c[0] = condition(L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_EQ, 2);
	drv_sleeper_start_wait(_metadata, &self->s, L2->fd, 0, self->c, 1);
	for (i = 1; i <= 5; i++) {
		ASSERT_EQ(0, pthread_kill(self->s.thread, SIGUSR1));
		await_handled(_metadata, i);
		EXPECT_TRUE(drv_sleeper_sleeps(&self->s));
	}
	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 2));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(0, self->s.waited.index);
	EXPECT_EQ(2, self->c[0].observed);
}

static void *pester(void *arg)
{
	struct drv_sleeper *s = arg;

	/* the target is joined only after this thread */
	while (!__atomic_load_n(&s->nr_conditions, __ATOMIC_ACQUIRE)) {
		pthread_kill(s->thread, SIGUSR1);
		poll(NULL, 0, 1);
	}
	return NULL;
}

TEST_F(wait, restarts_do_not_move_the_deadline)
{
	struct drv_sleeper *s = &self->s;
	pthread_t pesterer;
	__u64 deadline;

	/* a time-out counted anew from each signal would never end */
	handle(SA_RESTART);
	memset(s, 0, sizeof(*s));
	s->thread = pthread_self();
	ASSERT_EQ(0, pthread_create(&pesterer, NULL, pester, s));
	deadline = drv_deadline(100);
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, deadline, &self->w));
	EXPECT_LE(deadline, drv_now());
	__atomic_store_n(&s->nr_conditions, 1, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(pesterer, NULL));
	EXPECT_LT(0, handled);
}

TEST_F(wait, an_ignored_signal_does_not_end_it)
{
	signal(SIGUSR1, SIG_IGN);
	drv_sleeper_start(_metadata, &self->s, DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	ASSERT_EQ(0, pthread_kill(self->s.thread, SIGUSR1));
	EXPECT_TRUE(drv_sleeper_sleeps(&self->s));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
}

/* Stop a child that has said so and then sleeps in an ioctl, and let it go on. */
static void stop_asleep(struct __test_metadata *_metadata, struct drv_child *child)
{
	int status;

	ASSERT_EQ('r', drv_hear(child->sock));
	ASSERT_TRUE(drv_asleep(child->pid, child->pid, __NR_ioctl));
	kill(child->pid, SIGSTOP);
	ASSERT_EQ(child->pid, waitpid(child->pid, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	kill(child->pid, SIGCONT);
	ASSERT_EQ(child->pid, waitpid(child->pid, &status, WCONTINUED));
}

TEST_F(wait, stopping_and_continuing_does_not_end_it)
{
	struct drv_child child;

	if (!drv_fork(_metadata, &child)) {
		struct drv_waited w;

		drv_say(child.sock, 'r');
		EXPECT_EQ(0, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER, &w));
		EXPECT_EQ(L3L2Q_EVENT_IN, w.revents);
		_exit(0);
	}
	stop_asleep(_metadata, &child);
	EXPECT_TRUE(drv_asleep(child.pid, child.pid, __NR_ioctl));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(0, drv_reap(&child));
}

TEST_F(wait, a_fatal_signal_ends_the_waiter)
{
	struct drv_child child;

	if (!drv_fork(_metadata, &child)) {
		drv_say(child.sock, 'r');
		drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER, NULL);
		_exit(1);
	}
	ASSERT_EQ('r', drv_hear(child.sock));
	ASSERT_TRUE(drv_asleep(child.pid, child.pid, __NR_ioctl));
	EXPECT_EQ(1000 + SIGKILL, drv_kill(&child));
	/* it only had a copy of the fd: nobody is dead */
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, L3->status->state[L3L2Q_ROLE_L2]);
}

/* ---- limits ------------------------------------------------------------ */

/* Threads that sleep on L2 until the fixture is torn down. */
static struct drv_sleeper *sleepers(struct __test_metadata *_metadata, int fd, __u32 flags,
				    struct l3l2q_condition *conditions, __u32 nr, size_t n)
{
	struct drv_sleeper *s = calloc(n, sizeof(*s));
	size_t i;

	ASSERT_NE(NULL, s);
	for (i = 0; i < n; i++)
		drv_sleeper_start_flags(_metadata, &s[i], fd, flags, L3L2Q_EVENT_IN, conditions, nr);
	return s;
}

static void sleepers_join(struct __test_metadata *_metadata, struct drv_sleeper *s, size_t n,
			  int ret)
{
	size_t i;

	for (i = 0; i < n; i++) {
		drv_sleeper_join(_metadata, &s[i]);
		EXPECT_EQ(ret, s[i].ret);
	}
	free(s);
}

static const __u32 halves[] = { L3L2Q_WAIT_CONSUMER, L3L2Q_WAIT_PRODUCER };

TEST_F(wait, more_sleepers_than_query_says_are_enospc_but_each_half_has_a_place)
{
	struct drv_sleeper *s, kept[2];
	struct l3l2q_query q;
	size_t i;

	ASSERT_EQ(0, drv_query(self->p.ctx, &q));
	ASSERT_EQ(64, q.max_waits);
	s = sleepers(_metadata, L2->fd, 0, NULL, 0, q.max_waits);
	EXPECT_EQ(-ENOSPC, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER, NULL));
	/* nothing to sleep for: no place needed */
	EXPECT_EQ(0, drv_wait(L2->fd, L3L2Q_EVENT_OUT, NULL, 0, L3L2Q_WAIT_FOREVER, NULL));
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, 0, NULL));
	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		drv_sleeper_start_flags(_metadata, &kept[i], L2->fd, halves[i], L3L2Q_EVENT_IN,
					NULL, 0);
		EXPECT_EQ(-ENOSPC, drv_wait_flags(L2->fd, halves[i], L3L2Q_EVENT_IN, NULL, 0,
						  L3L2Q_WAIT_FOREVER, NULL));
	}
	/* the other end has places of its own */
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L3->fd, L3L2Q_EVENT_IN, NULL, 0, drv_deadline(1), NULL));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	sleepers_join(_metadata, s, q.max_waits, 0);
	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		drv_sleeper_join(_metadata, &kept[i]);
		EXPECT_EQ(0, kept[i].ret);
	}
	/* the places are free again */
	drv_consumer(L2, L3L2Q_CONSUMER_SEEN, 1);
	s = sleepers(_metadata, L2->fd, 0, NULL, 0, q.max_waits);
	EXPECT_EQ(0, drv_publish_tail(L3, 2));
	sleepers_join(_metadata, s, q.max_waits, 0);
}

/* Any number of threads may wait for both halves or the endpoint. */
TEST_F(wait, sleepers_of_both_halves_leave_each_half_its_place)
{
	static const __u32 all[] = { L3L2Q_WAIT_CONSUMER | L3L2Q_WAIT_PRODUCER,
		L3L2Q_WAIT_ENDPOINT, L3L2Q_WAIT_CONSUMER | L3L2Q_WAIT_ENDPOINT };
	struct drv_sleeper *s, kept[2];
	struct l3l2q_query q;
	size_t i;

	ASSERT_EQ(0, drv_query(self->p.ctx, &q));
	s = sleepers(_metadata, L2->fd, all[0], NULL, 0, q.max_waits);
	for (i = 0; i < ARRAY_SIZE(all); i++)
		EXPECT_EQ(-ENOSPC, drv_wait_flags(L2->fd, all[i], L3L2Q_EVENT_IN, NULL, 0,
						  drv_deadline(DRV_HANG_MS), NULL));
	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		EXPECT_EQ(-ETIMEDOUT, drv_wait_flags(L2->fd, halves[i], L3L2Q_EVENT_IN, NULL, 0,
						     drv_deadline(1), NULL));
		drv_sleeper_start_flags(_metadata, &kept[i], L2->fd, halves[i], L3L2Q_EVENT_IN,
					NULL, 0);
	}
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	sleepers_join(_metadata, s, q.max_waits, 0);
	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		drv_sleeper_join(_metadata, &kept[i]);
		EXPECT_EQ(0, kept[i].ret);
	}
}

TEST_F(wait, more_conditions_than_query_says_are_enospc_with_those_of_a_half_kept)
{
	struct l3l2q_condition c[L3L2Q_WAIT_MAX_CONDITIONS];
	struct drv_sleeper *s, kept[2];
	struct l3l2q_query q;
	__u32 others;
	size_t i;

	ASSERT_EQ(0, drv_query(self->p.ctx, &q));
	ASSERT_EQ(256, q.max_endpoint_conditions);
	ASSERT_EQ(L3L2Q_WAIT_MAX_CONDITIONS, q.max_conditions);
	others = q.max_endpoint_conditions / q.max_conditions - 2;
	for (i = 0; i < ARRAY_SIZE(c); i++)
		c[i] = condition(L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_LT, 0);
	s = sleepers(_metadata, L2->fd, 0, c, q.max_conditions, others);
	EXPECT_EQ(-ENOSPC, drv_wait(L2->fd, L3L2Q_EVENT_IN, c, 1, L3L2Q_WAIT_FOREVER, NULL));
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, drv_deadline(1), NULL));
	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		drv_sleeper_start_flags(_metadata, &kept[i], L2->fd, halves[i], L3L2Q_EVENT_IN, c,
					q.max_conditions);
		EXPECT_EQ(-ENOSPC, drv_wait_flags(L2->fd, halves[i], L3L2Q_EVENT_IN, c, 1,
						  L3L2Q_WAIT_FOREVER, NULL));
	}
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	sleepers_join(_metadata, s, others, 0);
	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		drv_sleeper_join(_metadata, &kept[i]);
		EXPECT_EQ(0, kept[i].ret);
	}
}

TEST_F(wait, every_end_of_a_wait_gives_its_place_back)
{
	struct l3l2q_condition c = condition(L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_LT, 0);
	struct drv_sleeper s;
	int i;

	for (i = 0; i < 80; i++) {
		EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, L3L2Q_EVENT_IN, &c, 1,
					       drv_now() + 200000, NULL));
		EXPECT_EQ(-ETIMEDOUT, drv_wait_flags(L2->fd, L3L2Q_WAIT_CONSUMER, L3L2Q_EVENT_IN,
						     &c, 1, drv_now() + 200000, NULL));
	}
	for (i = 0; i < 70; i++) {
		drv_sleeper_start_flags(_metadata, &s, L2->fd, L3L2Q_WAIT_CONSUMER, 0, &c, 1);
		ASSERT_EQ(0, drv_interrupt(L2->fd));
		drv_sleeper_join(_metadata, &s);
		ASSERT_EQ(-EINTR, s.ret);
		EXPECT_EQ(-EINTR, drv_wait_flags(L2->fd, L3L2Q_WAIT_PRODUCER, L3L2Q_EVENT_IN, NULL,
						 0, L3L2Q_WAIT_FOREVER, NULL));
	}
	handle(0);
	for (i = 0; i < 70; i++) {
		drv_sleeper_start_wait(_metadata, &s, L2->fd, L3L2Q_EVENT_IN, &c, 1);
		ASSERT_EQ(0, pthread_kill(s.thread, SIGUSR1));
		drv_sleeper_join(_metadata, &s);
		ASSERT_EQ(-EINTR, s.ret);
	}
}

/* ---- sizes ------------------------------------------------------------- */

TEST_F(wait, conditions_may_be_longer_if_the_excess_is_zero)
{
	struct {
		struct l3l2q_condition c;
		__u64 more[2];
	} longer[3];
	struct l3l2q_wait w = {
		.size = sizeof(w),
		.conditions = (uintptr_t)longer,
		.nr_conditions = 3,
		.condition_size = sizeof(longer[0]),
		.deadline_ns = L3L2Q_WAIT_FOREVER,
	};
	size_t i;

	memset(longer, 0, sizeof(longer));
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 7);
	for (i = 0; i < 3; i++)
		longer[i].c = condition(L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_EQ, i == 2 ? 7 : 6);
	EXPECT_EQ(0, drv_ioctl(L2->fd, L3L2Q_IOC_WAIT, &w));
	EXPECT_EQ(2, w.index);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(7, longer[i].c.observed);
		longer[i].more[1] = 1;
		EXPECT_EQ(-E2BIG, drv_ioctl(L2->fd, L3L2Q_IOC_WAIT, &w));
		longer[i].more[1] = 0;
	}
	w.condition_size = sizeof(struct l3l2q_condition) - 1;
	EXPECT_EQ(-EINVAL, drv_ioctl(L2->fd, L3L2Q_IOC_WAIT, &w));
	w.condition_size = 0;
	EXPECT_EQ(-EINVAL, drv_ioctl(L2->fd, L3L2Q_IOC_WAIT, &w));
	w.condition_size = 1u << 31;
	EXPECT_EQ(-E2BIG, drv_ioctl(L2->fd, L3L2Q_IOC_WAIT, &w));
	w.condition_size = sizeof(longer[0]);
	w.pad = 1;
	EXPECT_EQ(-EINVAL, drv_ioctl(L2->fd, L3L2Q_IOC_WAIT, &w));
	w.pad = 0;
	w.flags = 1u << 4;
	EXPECT_EQ(-EINVAL, drv_ioctl(L2->fd, L3L2Q_IOC_WAIT, &w));
}

/* ---- INTERRUPT --------------------------------------------------------- */

TEST_F(wait, interrupt_takes_no_argument)
{
	EXPECT_EQ(-EINVAL, drv_errno(ioctl(L2->fd, L3L2Q_IOC_INTERRUPT, 1ul)));
	EXPECT_EQ(-ETIMEDOUT, drv_wait_flags(L2->fd, L3L2Q_WAIT_CONSUMER, L3L2Q_EVENT_IN, NULL, 0,
					     0, NULL));
}

TEST_F(wait, an_interrupt_ends_the_sleepers_of_both_halves_and_no_other)
{
	struct drv_sleeper s[2], other;
	size_t i;

	drv_sleeper_start_wait(_metadata, &other, L2->fd, L3L2Q_EVENT_IN, NULL, 0);
	for (i = 0; i < ARRAY_SIZE(s); i++)
		drv_sleeper_start_flags(_metadata, &s[i], L2->fd, halves[i], L3L2Q_EVENT_IN,
					NULL, 0);
	drv_sleeper_start_flags(_metadata, &self->s, L3->fd, halves[0], L3L2Q_EVENT_IN, NULL, 0);
	EXPECT_EQ(0, drv_interrupt(L2->fd));
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		drv_sleeper_join(_metadata, &s[i]);
		EXPECT_EQ(-EINTR, s[i].ret);
		/* nothing is reported, and nothing is left for the next one */
		EXPECT_EQ(0x5a5a, s[i].waited.revents);
		EXPECT_EQ(-ETIMEDOUT, drv_wait_flags(L2->fd, halves[i], L3L2Q_EVENT_IN, NULL, 0,
						     drv_deadline(1), NULL));
	}
	EXPECT_TRUE(drv_sleeper_sleeps(&other));
	EXPECT_TRUE(drv_sleeper_sleeps(&self->s));
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	drv_sleeper_join(_metadata, &other);
	EXPECT_EQ(0, other.ret);
	EXPECT_EQ(0, drv_publish_tail(L2, 1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
}

TEST_F(wait, an_interrupt_is_kept_for_the_next_wait_of_each_half)
{
	size_t i;

	EXPECT_EQ(0, drv_interrupt(L2->fd));
	EXPECT_EQ(0, drv_interrupt(L2->fd));
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, drv_deadline(1), NULL));
	EXPECT_EQ(-ETIMEDOUT, drv_wait_flags(L3->fd, halves[0], L3L2Q_EVENT_IN, NULL, 0,
					     drv_deadline(1), NULL));
	for (i = 0; i < ARRAY_SIZE(halves); i++) {
		/* also if the call had not slept */
		EXPECT_EQ(-EINTR, drv_wait_flags(L2->fd, halves[i], L3L2Q_EVENT_OUT, NULL, 0,
						 i ? 0 : L3L2Q_WAIT_FOREVER, NULL));
		EXPECT_EQ(0, drv_wait_flags(L2->fd, halves[i], L3L2Q_EVENT_OUT, NULL, 0, 0, NULL));
	}
}

/* A WAIT of the endpoint takes nothing that a half is owed, asleep or not. */
TEST_F(wait, an_interrupt_ends_one_of_the_endpoint_beside_the_halves)
{
	__u32 whole = L3L2Q_WAIT_ENDPOINT;
	size_t i, j;

	for (i = 0; i < 2; i++) {
		if (i)
			drv_sleeper_start_flags(_metadata, &self->s, L2->fd, whole, L3L2Q_EVENT_IN,
						NULL, 0);
		EXPECT_EQ(0, drv_interrupt(L2->fd));
		if (i) {
			drv_sleeper_join(_metadata, &self->s);
			EXPECT_EQ(-EINTR, self->s.ret);
		} else {
			EXPECT_EQ(-EINTR, drv_wait_flags(L2->fd, whole, L3L2Q_EVENT_IN, NULL, 0, 0,
							 NULL));
		}
		EXPECT_EQ(-ETIMEDOUT, drv_wait_flags(L2->fd, whole, L3L2Q_EVENT_IN, NULL, 0, 0,
						     NULL));
		for (j = 0; j < ARRAY_SIZE(halves); j++)
			EXPECT_EQ(-EINTR, drv_wait_flags(L2->fd, halves[j], L3L2Q_EVENT_IN, NULL, 0,
							 0, NULL));
	}
}

TEST_F(wait, one_wait_of_both_halves_takes_both)
{
	__u32 both = halves[0] | halves[1];
	size_t i;

	EXPECT_EQ(0, drv_interrupt(L2->fd));
	EXPECT_EQ(-EINTR, drv_wait_flags(L2->fd, both, L3L2Q_EVENT_IN, NULL, 0, 0, NULL));
	for (i = 0; i < ARRAY_SIZE(halves); i++) {
		EXPECT_EQ(-ETIMEDOUT, drv_wait_flags(L2->fd, halves[i], L3L2Q_EVENT_IN, NULL, 0, 0,
						     NULL));
	}
	drv_sleeper_start_flags(_metadata, &self->s, L2->fd, both, L3L2Q_EVENT_IN, NULL, 0);
	EXPECT_EQ(0, drv_interrupt(L2->fd));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(-EINTR, self->s.ret);
	for (i = 0; i < ARRAY_SIZE(halves); i++) {
		EXPECT_EQ(-ETIMEDOUT, drv_wait_flags(L2->fd, halves[i], L3L2Q_EVENT_IN, NULL, 0, 0,
						     NULL));
	}
}

struct turns {
	int fd;
	__u32 half;
	int rounds;
	int turn;	/* of the WAITs that have returned */
	int bad;
};

static void *turns_wait(void *arg)
{
	struct turns *t = arg;
	int i, ret;

	for (i = 0; i < t->rounds; i++) {
		ret = drv_wait_flags(t->fd, t->half, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER,
				     NULL);
		t->bad += ret != -EINTR;
		__atomic_fetch_add(&t->turn, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* Each interrupt, whenever it comes, ends one WAIT of each half. */
TEST_F(wait, a_racing_interrupt_is_never_lost)
{
	struct turns t[2];
	pthread_t thread[2];
	__u64 deadline = drv_deadline(DRV_HANG_MS);
	int rounds = drv_rounds(4000), i;
	size_t k;

	for (k = 0; k < 2; k++) {
		t[k] = (struct turns) { .fd = L2->fd, .half = halves[k], .rounds = rounds };
		ASSERT_EQ(0, pthread_create(&thread[k], NULL, turns_wait, &t[k]));
	}
	for (i = 1; i <= rounds; i++) {
		ASSERT_EQ(0, drv_interrupt(L2->fd));
		for (k = 0; k < 2; k++) {
			while (__atomic_load_n(&t[k].turn, __ATOMIC_SEQ_CST) < i) {
				ASSERT_GT(deadline, drv_now())
					TH_LOG("interrupt %d of half %zu is lost", i, k);
				sched_yield();
			}
			ASSERT_EQ(i, __atomic_load_n(&t[k].turn, __ATOMIC_SEQ_CST));
		}
	}
	for (k = 0; k < 2; k++) {
		ASSERT_EQ(0, pthread_join(thread[k], NULL));
		EXPECT_EQ(0, t[k].bad);
	}
}

TEST_F(wait, no_restart_makes_any_handled_signal_eintr)
{
	handle(SA_RESTART);
	drv_sleeper_start_flags(_metadata, &self->s, L2->fd, L3L2Q_WAIT_NO_RESTART,
				L3L2Q_EVENT_IN, NULL, 0);
	ASSERT_EQ(0, pthread_kill(self->s.thread, SIGUSR1));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(-EINTR, self->s.ret);
	EXPECT_EQ(1, handled);
}

/* No handler runs for a stop, a freeze or a debugger. */
TEST_F(wait, no_restart_goes_on_after_a_stop)
{
	struct drv_child child;

	if (!drv_fork(_metadata, &child)) {
		drv_say(child.sock, 'r');
		_exit(-drv_wait_flags(L2->fd, L3L2Q_WAIT_NO_RESTART, L3L2Q_EVENT_IN, NULL, 0,
				      L3L2Q_WAIT_FOREVER, NULL));
	}
	stop_asleep(_metadata, &child);
	EXPECT_EQ(0, drv_publish_tail(L3, 1));
	EXPECT_EQ(0, drv_reap(&child));
}

/* ---- time namespaces --------------------------------------------------- */

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME	0x80
#endif

static void in_a_time_namespace(struct __test_metadata *_metadata, int fd, const char *offset)
{
	struct drv_child child;
	pid_t pid;
	int status;

	/* the offset holds for children only */
	if (!drv_fork(_metadata, &child)) {
		if (unshare(CLONE_NEWTIME))
			_exit(errno == EINVAL ? 2 : 3);
		if (drv_write_file("/proc/self/timens_offsets", offset))
			_exit(4);
		pid = fork();
		if (!pid) {
			__u64 start = drv_now();
			int ret = drv_wait(fd, L3L2Q_EVENT_IN, NULL, 0, start + 1000000000, NULL);

			if (ret != -ETIMEDOUT)
				_exit(5);
			if (drv_now() < start + 1000000000)
				_exit(6);
			_exit(drv_now() < start + 10000000000ull ? 0 : 7);
		}
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
			_exit(8);
		_exit(WEXITSTATUS(status));
	}
	status = drv_reap(&child);
	if (status == 2)
		SKIP(return, "no time namespaces here");
	EXPECT_EQ(0, status);
}

TEST_F(wait, a_deadline_is_in_the_callers_clock)
{
	in_a_time_namespace(_metadata, L2->fd, "monotonic 15 0\n");
}

TEST_F(wait, a_deadline_is_in_the_callers_clock_which_may_be_behind)
{
	in_a_time_namespace(_metadata, L2->fd, "monotonic -1 0\n");
}

/* ---- raw --------------------------------------------------------------- */

TEST_F(wait, on_a_raw_region_conditions_work_for_both_roles)
{
	struct l3l2q_create create;
	struct drv_pair p;

	drv_create_init_raw(&create, 4096, 4096);
	drv_pair_create(_metadata, &p, &create);
	self->c[0] = condition(1024, L3L2Q_CMP_GE, 3);
	drv_sleeper_start_wait(_metadata, &self->s, p.l3.fd, 0, self->c, 1);
	EXPECT_EQ(0, drv_set(p.l2.fd, 1024, 3));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	self->c[0] = condition(0, L3L2Q_CMP_LT, 0);
	drv_sleeper_start_wait(_metadata, &self->s, p.l2.fd, 0, self->c, 1);
	EXPECT_EQ(0, drv_set(p.l3.fd, 0, -3));
	drv_sleeper_join(_metadata, &self->s);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_EQ(-3, self->c[0].observed);
	drv_pair_close(&p);
}

TEST_HARNESS_MAIN
