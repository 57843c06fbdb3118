// SPDX-License-Identifier: GPL-2.0-only
/* NOTIFY and TEST: counters by way of the kernel. */
#include "drv_util.h"

FIXTURE(counter)
{
	struct drv_pair p;
};

FIXTURE_SETUP(counter)
{
	drv_pair_queue(_metadata, &self->p);
}

FIXTURE_TEARDOWN(counter)
{
	drv_pair_close(&self->p);
}

TEST_F(counter, set_stores_and_is_seen_by_both)
{
	const __s32 values[] = { 1, 0, -1, INT_MAX, INT_MIN, 0x12345678 };
	__s32 observed;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		EXPECT_EQ(0, drv_set(self->p.l3.fd, L3L2Q_CTR_INPUT_TAIL, values[i]));
		EXPECT_EQ(values[i], (__s32)drv_load(&self->p.l2, L3L2Q_CTR_INPUT_TAIL));
		EXPECT_EQ(1, drv_test(self->p.l2.fd, L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_EQ,
				      values[i], &observed));
		EXPECT_EQ(values[i], observed);
	}
}

TEST_F(counter, set_touches_nothing_else)
{
	__u32 offset;

	EXPECT_EQ(0, drv_set(self->p.l3.fd, L3L2Q_CTR_OUTPUT_HEAD, -1));
	for (offset = 0; offset < L3L2Q_COUNTER_BYTES; offset += 4) {
		EXPECT_EQ(offset == L3L2Q_CTR_OUTPUT_HEAD ? ~0u : 0, drv_load(&self->p.l2, offset));
	}
}

TEST_F(counter, add_adds_and_wraps)
{
	const __u32 at = L3L2Q_CTR_INPUT_TAIL;

	EXPECT_EQ(0, drv_notify(self->p.l3.fd, at, L3L2Q_NOTIFY_ADD, 5));
	EXPECT_EQ(0, drv_notify(self->p.l3.fd, at, L3L2Q_NOTIFY_ADD, 7));
	EXPECT_EQ(12, drv_load(&self->p.l2, at));
	EXPECT_EQ(0, drv_notify(self->p.l3.fd, at, L3L2Q_NOTIFY_ADD, -13));
	EXPECT_EQ(-1, (__s32)drv_load(&self->p.l2, at));
	EXPECT_EQ(0, drv_notify(self->p.l3.fd, at, L3L2Q_NOTIFY_ADD, 1));
	EXPECT_EQ(0, drv_load(&self->p.l2, at));
	drv_store(&self->p.l3, at, INT_MAX);
	EXPECT_EQ(0, drv_notify(self->p.l3.fd, at, L3L2Q_NOTIFY_ADD, 1));
	EXPECT_EQ(INT_MIN, (__s32)drv_load(&self->p.l2, at));
	EXPECT_EQ(0, drv_notify(self->p.l3.fd, at, L3L2Q_NOTIFY_ADD, INT_MIN));
	EXPECT_EQ(0, drv_load(&self->p.l2, at));
}

TEST_F(counter, compares_signed_in_all_six_ways)
{
	const __s32 values[] = { INT_MIN, -2, -1, 0, 1, 2, INT_MAX };
	__s32 observed, seen, with;
	size_t i, j;
	__u32 cmp;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		seen = values[i];
		drv_store(&self->p.l3, L3L2Q_CTR_INPUT_TAIL, (__u32)seen);
		for (j = 0; j < ARRAY_SIZE(values); j++) {
			with = values[j];
			const int expect[] = { seen == with, seen != with, seen > with,
					       seen >= with, seen < with, seen <= with };

			for (cmp = L3L2Q_CMP_EQ; cmp <= L3L2Q_CMP_LE; cmp++) {
				EXPECT_EQ(expect[cmp], drv_test(self->p.l2.fd, L3L2Q_CTR_INPUT_TAIL,
								cmp, with, &observed))
					TH_LOG("%d cmp %u %d", seen, cmp, with);
				EXPECT_EQ(seen, observed);
			}
		}
	}
}

TEST_F(counter, a_test_that_does_not_match_is_no_error)
{
	__s32 observed;

	drv_store(&self->p.l3, L3L2Q_CTR_INPUT_TAIL, 41);
	EXPECT_EQ(0, drv_test(self->p.l2.fd, L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_EQ, 42, &observed));
	EXPECT_EQ(41, observed);
}

TEST_F(counter, unaligned_is_einval)
{
	const __u64 offsets[] = { 1, 2, 3, 65, 383, 385, ~0ull, ~1ull, (1ull << 32) + 2 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		EXPECT_EQ(-EINVAL, drv_set(self->p.l3.fd, offsets[i], 1))
			TH_LOG("offset %llu", offsets[i]);
		EXPECT_EQ(-EINVAL, drv_test(self->p.l3.fd, offsets[i], 0, 0, NULL))
			TH_LOG("offset %llu", offsets[i]);
	}
}

TEST_F(counter, outside_is_erange)
{
	const __u64 offsets[] = { 384, 388, 448, 4092, 4096, 1ull << 32, 1ull << 63, ~3ull };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		EXPECT_EQ(-ERANGE, drv_set(self->p.l3.fd, offsets[i], 1))
			TH_LOG("offset %llu", offsets[i]);
		EXPECT_EQ(-ERANGE, drv_test(self->p.l3.fd, offsets[i], 0, 0, NULL))
			TH_LOG("offset %llu", offsets[i]);
	}
	EXPECT_EQ(0, drv_test(self->p.l3.fd, 380, L3L2Q_CMP_NE, 0, NULL));
}

TEST_F(counter, unknown_operations_are_einval_and_change_nothing)
{
	const __u32 ops[] = { 2, 3, 0x80000000u, UINT_MAX };
	const __u32 cmps[] = { 6, 7, 0x80000000u, UINT_MAX };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		EXPECT_EQ(-EINVAL, drv_notify(self->p.l3.fd, L3L2Q_CTR_INPUT_TAIL, ops[i], 5));
	}
	EXPECT_EQ(0, drv_load(&self->p.l2, L3L2Q_CTR_INPUT_TAIL));
	for (i = 0; i < ARRAY_SIZE(cmps); i++) {
		EXPECT_EQ(-EINVAL, drv_test(self->p.l3.fd, L3L2Q_CTR_INPUT_TAIL, cmps[i], 5, NULL));
	}
}

TEST_F(counter, the_other_roles_lines_are_eperm)
{
	__u32 line, word;
	int l3, l2;

	for (line = 0; line < L3L2Q_COUNTER_BYTES; line += L3L2Q_LINE_BYTES) {
		bool of_l3 = line == L3L2Q_CTR_INPUT_TAIL || line == L3L2Q_CTR_OUTPUT_HEAD ||
			     line == L3L2Q_CTR_L3_ABORT;

		for (word = line; word < line + L3L2Q_LINE_BYTES; word += 20) {
			l3 = drv_set(self->p.l3.fd, word, 3);
			EXPECT_EQ(of_l3 ? 0 : -EPERM, l3);
			EXPECT_EQ(of_l3 ? 3 : 0, drv_load(&self->p.l2, word));
			l2 = drv_set(self->p.l2.fd, word, 2);
			EXPECT_EQ(of_l3 ? -EPERM : 0, l2);
			EXPECT_EQ(of_l3 ? 3 : 2, drv_load(&self->p.l2, word));
			l2 = drv_notify(self->p.l2.fd, word, L3L2Q_NOTIFY_ADD, 1);
			EXPECT_EQ(of_l3 ? -EPERM : 0, l2);
		}
	}
}

TEST_F(counter, both_roles_may_test_every_line)
{
	__u32 offset;

	for (offset = 0; offset < L3L2Q_COUNTER_BYTES; offset += 4) {
		drv_store(&self->p.l3, offset, offset);
		EXPECT_EQ((int)offset, drv_load_fd(self->p.l3.fd, offset));
		EXPECT_EQ((int)offset, drv_load_fd(self->p.l2.fd, offset));
	}
}

TEST_F(counter, an_unmapped_endpoint_can_notify_and_test)
{
	struct l3l2q_create create;
	struct drv_pair p;

	drv_create_init(&create);
	drv_pair_create(_metadata, &p, &create);
	EXPECT_EQ(0, drv_set(p.l3.fd, L3L2Q_CTR_INPUT_TAIL, 17));
	EXPECT_EQ(17, drv_load_fd(p.l2.fd, L3L2Q_CTR_INPUT_TAIL));
	drv_pair_close(&p);
}

TEST_F(counter, calls_are_counted_for_their_own_endpoint)
{
	struct l3l2q_stats l3, l2;

	EXPECT_EQ(0, drv_set(self->p.l3.fd, L3L2Q_CTR_INPUT_TAIL, 1));
	EXPECT_EQ(0, drv_set(self->p.l3.fd, L3L2Q_CTR_INPUT_TAIL, 2));
	EXPECT_EQ(0, drv_kick(self->p.l3.fd, 0));
	EXPECT_EQ(0, drv_arm(self->p.l3.fd, 0));
	EXPECT_EQ(0, drv_stats(self->p.l3.fd, &l3));
	EXPECT_EQ(0, drv_stats(self->p.l2.fd, &l2));
	EXPECT_EQ(2, l3.notifies);
	EXPECT_EQ(1, l3.kicks);
	EXPECT_EQ(1, l3.arms);
	EXPECT_EQ(0, l2.notifies);
	EXPECT_EQ(0, l2.kicks);
	EXPECT_EQ(0, l2.arms);
}

FIXTURE(raw)
{
	struct drv_pair p;
};

FIXTURE_SETUP(raw)
{
	struct l3l2q_create create;

	drv_create_init_raw(&create, 4096, 4096 + 8);
	drv_pair_create(_metadata, &self->p, &create);
	drv_pair_map(_metadata, &self->p);
}

FIXTURE_TEARDOWN(raw)
{
	drv_pair_close(&self->p);
}

TEST_F(raw, either_role_notifies_any_counter)
{
	__u32 offset;

	for (offset = 0; offset < 4096 + 8; offset += 4) {
		ASSERT_EQ(0, drv_set(self->p.l3.fd, offset, (__s32)offset + 1));
		ASSERT_EQ(0, drv_notify(self->p.l2.fd, offset, L3L2Q_NOTIFY_ADD, 1));
		ASSERT_EQ(offset + 2, drv_load(&self->p.l3, offset));
		ASSERT_EQ((int)offset + 2, drv_load_fd(self->p.l3.fd, offset));
	}
}

TEST_F(raw, outside_is_erange)
{
	EXPECT_EQ(0, drv_set(self->p.l3.fd, 4096 + 4, 1));
	EXPECT_EQ(-ERANGE, drv_set(self->p.l3.fd, 4096 + 8, 1));
	EXPECT_EQ(-ERANGE, drv_load_fd(self->p.l3.fd, 4096 + 8));
	EXPECT_EQ(-ERANGE, drv_set(self->p.l3.fd, 8192, 1));
	EXPECT_EQ(-EINVAL, drv_set(self->p.l3.fd, 4096 + 6, 1));
}

TEST_F(raw, values_mean_nothing_to_the_kernel)
{
	__u32 offset;

	/* where a queue would have heads, tails and abort flags */
	for (offset = 0; offset < L3L2Q_COUNTER_BYTES; offset += 4) {
		EXPECT_EQ(0, drv_set(self->p.l2.fd, offset, 1));
	}
	EXPECT_EQ(0, drv_poll(self->p.l3.fd, POLLIN | POLLPRI, 0));
	EXPECT_EQ(0, drv_poll(self->p.l2.fd, POLLIN | POLLPRI, 0));
	EXPECT_EQ(0, drv_arm(self->p.l3.fd, L3L2Q_EVENT_ABORT));
}

TEST_F(raw, a_dead_end_hangs_up_and_keeps_the_counters)
{
	struct drv_waited waited;
	__u32 offset;

	drv_ep_unmap_all(&self->p.l2);
	EXPECT_EQ(EPOLLHUP, drv_poll(self->p.l3.fd, POLLIN | POLLOUT | POLLPRI, 0) & EPOLLHUP);
	EXPECT_EQ(0, drv_wait(self->p.l3.fd, L3L2Q_EVENT_HUP, NULL, 0, L3L2Q_WAIT_FOREVER,
			      &waited));
	EXPECT_TRUE(waited.revents & L3L2Q_EVENT_HUP);
	EXPECT_EQ(L3L2Q_STATE_DEAD, self->p.l3.status->state[L3L2Q_ROLE_L2]);
	/* no abort flag here: every word is the user's */
	for (offset = 0; offset < 4096 + 8; offset += 4) {
		ASSERT_EQ(0, drv_load(&self->p.l3, offset));
	}
}

TEST_F(raw, a_detached_end_hangs_up)
{
	EXPECT_EQ(0, drv_detach(self->p.l2.fd));
	EXPECT_EQ(EPOLLHUP, drv_poll(self->p.l3.fd, POLLIN | POLLPRI, 0));
}

TEST_HARNESS_MAIN
