// SPDX-License-Identifier: MIT
/*
 * protocol.md sections 1 and 2: scalars, ranges, layout, counters as numbers. No
 * memory is shared here.
 */
#include "proto_util.h"

/* ---- section 2: layout ------------------------------------------------- */

TEST(s2_known_layouts)
{
	static const uint64_t known[][7] = {
		/* depth, in, out -> output_desc, input_arena, output_arena, payload */
		{ 1, 64, 64, 32, 64, 128, 192 },
		{ 4, 128, 192, 128, 256, 384, 576 },
		{ 8, 192, 64, 256, 512, 704, 768 },
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct l3l2q_layout l;

		memset(&l, 0x5a, sizeof(l));
		ASSERT_EQ(0, l3l2q_layout_make(known[i][0], known[i][1], known[i][2], &l));
		EXPECT_EQ(known[i][0], l.depth);
		EXPECT_EQ(known[i][1], l.input_arena_bytes);
		EXPECT_EQ(known[i][2], l.output_arena_bytes);
		EXPECT_EQ(0, l.input_desc_offset);
		EXPECT_EQ(known[i][3], l.output_desc_offset);
		EXPECT_EQ(known[i][4], l.input_arena_offset);
		EXPECT_EQ(known[i][5], l.output_arena_offset);
		EXPECT_EQ(known[i][6], l.payload_bytes);
		EXPECT_EQ(384, l.counter_bytes);
	}
}

static uint64_t up64(uint64_t n)
{
	return (n + 63) / 64 * 64;
}

TEST(s2_layout_follows_the_formula)
{
	uint64_t state = 1;
	int i;

	for (i = 0; i < 10000; i++) {
		uint64_t depth = 1ull << rnd_below(&state, 31);
		uint64_t in = (rnd_below(&state, 1ull << 40) + 1) * 64;
		uint64_t out = (rnd_below(&state, 1ull << 40) + 1) * 64;
		struct l3l2q_layout l;

		ASSERT_EQ(0, l3l2q_layout_make(depth, in, out, &l));
		ASSERT_EQ(depth * 32, l.output_desc_offset);
		ASSERT_EQ(up64(2 * depth * 32), l.input_arena_offset);
		ASSERT_EQ(up64(l.input_arena_offset + in), l.output_arena_offset);
		ASSERT_EQ(l.output_arena_offset + out, l.payload_bytes);
	}
}

TEST(s2_refused_geometry_leaves_output_untouched)
{
	static const uint64_t bad[][3] = {
		{ 0, 64, 64 },
		{ 3, 64, 64 },
		{ 6, 64, 64 },
		{ (1ull << 30) + 1, 64, 64 },
		{ 1ull << 31, 64, 64 },
		{ 1ull << 32, 64, 64 },
		{ 1ull << 63, 64, 64 },
		{ ~0ull, 64, 64 },
		{ 1, 0, 64 },
		{ 1, 64, 0 },
		{ 1, 63, 64 },
		{ 1, 64, 63 },
		{ 1, 65, 64 },
		{ 1, 64, 96 },
		{ 1, ~0ull, 64 },
		/* sums that wrap */
		{ 1, 0ull - 64, 64 },
		{ 1, 64, 0ull - 64 },
		{ 1, 64, 0ull - 128 },
		{ 1, 1ull << 63, 1ull << 63 },
		{ 1ull << 30, 0ull - (1ull << 36), 64 },
		{ 2, 0ull - 192, 64 },
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct l3l2q_layout l, before;

		memset(&l, 0x5a, sizeof(l));
		before = l;
		EXPECT_NE(0, l3l2q_layout_make(bad[i][0], bad[i][1], bad[i][2], &l)) {
			TH_LOG("case %zu", i);
		}
		EXPECT_EQ(0, memcmp(&l, &before, sizeof(l)));
	}
}

TEST(s2_largest_layouts)
{
	struct l3l2q_layout l;

	/* Ends exactly below 2^64: nothing wraps. */
	ASSERT_EQ(0, l3l2q_layout_make(1, 64, 0ull - 192, &l));
	EXPECT_EQ(0ull - 64, l.payload_bytes);
	ASSERT_EQ(0, l3l2q_layout_make(1ull << 30, 64, 64, &l));
	EXPECT_EQ((1ull << 36) + 128, l.payload_bytes);
}

TEST(s2_counter_offsets)
{
	EXPECT_EQ(0, L3L2Q_CTR_INPUT_TAIL);
	EXPECT_EQ(64, L3L2Q_CTR_INPUT_HEAD);
	EXPECT_EQ(128, L3L2Q_CTR_OUTPUT_TAIL);
	EXPECT_EQ(192, L3L2Q_CTR_OUTPUT_HEAD);
	EXPECT_EQ(256, L3L2Q_CTR_L3_ABORT);
	EXPECT_EQ(320, L3L2Q_CTR_L2_ABORT);
	EXPECT_EQ(384, L3L2Q_COUNTER_BYTES);

	EXPECT_EQ(0, l3l2q_ctr_tail(L3L2Q_ROLE_L3));
	EXPECT_EQ(64, l3l2q_ctr_head(L3L2Q_ROLE_L3));
	EXPECT_EQ(128, l3l2q_ctr_tail(L3L2Q_ROLE_L2));
	EXPECT_EQ(192, l3l2q_ctr_head(L3L2Q_ROLE_L2));
	EXPECT_EQ(256, l3l2q_ctr_abort(L3L2Q_ROLE_L3));
	EXPECT_EQ(320, l3l2q_ctr_abort(L3L2Q_ROLE_L2));
}

TEST(s2_one_writer_per_line)
{
	static const enum l3l2q_role writer[6] = {
		L3L2Q_ROLE_L3, L3L2Q_ROLE_L2, L3L2Q_ROLE_L2,
		L3L2Q_ROLE_L3, L3L2Q_ROLE_L3, L3L2Q_ROLE_L2,
	};
	unsigned int offset;

	for (offset = 0; offset < 384; offset += 4)
		EXPECT_EQ(writer[offset / 64], l3l2q_counter_writer(offset));
}

/* ---- sections 1 and 2: scalars ----------------------------------------- */

static void sound(struct l3l2q_region_desc *region, struct l3l2q_queue_desc *queue)
{
	struct l3l2q_layout l;

	l3l2q_layout_make(4, 128, 192, &l);
	scalars_make(region, queue, &l);
}

TEST(s1_scalar_order_and_names)
{
	struct l3l2q_region_desc region;
	struct l3l2q_queue_desc queue;
	uint64_t six[6];

	sound(&region, &queue);
	memcpy(six, &region, sizeof(six));
	EXPECT_EQ(0x4C334C3200020000u, six[0]);
	EXPECT_EQ(77, six[1]);
	EXPECT_EQ(0x100000000u, six[2]);
	EXPECT_EQ(576, six[3]);
	EXPECT_EQ(0x1000, six[4]);
	EXPECT_EQ(384, six[5]);
	memcpy(six, &queue, sizeof(six));
	EXPECT_EQ(0x4C33513200010001u, six[0]);
	EXPECT_EQ(4, six[1]);
	EXPECT_EQ(128, six[2]);
	EXPECT_EQ(192, six[3]);
	EXPECT_EQ(576, six[4]);
	EXPECT_EQ(384, six[5]);
	EXPECT_EQ(L3L2Q_REGION_V2, L3L2Q_REGION_DEFAULT);
	EXPECT_EQ(0x4C334C3200030000u, L3L2Q_REGION_V3);
}

TEST(s1_versions)
{
	static const struct {
		uint64_t version;
		enum l3l2q_check want;
	} v[] = {
		{ L3L2Q_PACK(0x4C334C32, 2, 0), L3L2Q_CHECK_OK },
		{ L3L2Q_PACK(0x4C334C32, 3, 0), L3L2Q_CHECK_OK },
		{ L3L2Q_PACK(0x4C334C32, 2, 1), L3L2Q_CHECK_OK },
		{ L3L2Q_PACK(0x4C334C32, 3, 7), L3L2Q_CHECK_OK },
		{ L3L2Q_PACK(0x4C334C32, 2, 0xffff), L3L2Q_CHECK_OK },
		{ L3L2Q_PACK(0x4C334C32, 0, 0), L3L2Q_CHECK_MAGIC },
		{ L3L2Q_PACK(0x4C334C32, 1, 0), L3L2Q_CHECK_MAGIC },
		{ L3L2Q_PACK(0x4C334C32, 4, 0), L3L2Q_CHECK_MAGIC },
		{ L3L2Q_PACK(0x4C334C32, 0xffff, 0), L3L2Q_CHECK_MAGIC },
		{ L3L2Q_PACK(0x4C334C33, 2, 0), L3L2Q_CHECK_MAGIC },
		{ L3L2Q_PACK(0x4C335132, 2, 0), L3L2Q_CHECK_MAGIC },
		{ 0, L3L2Q_CHECK_MAGIC },
		{ ~0ull, L3L2Q_CHECK_MAGIC },
	};
	struct l3l2q_region_desc region;
	struct l3l2q_queue_desc queue;
	size_t i;

	for (i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		sound(&region, &queue);
		region.magic_version = v[i].version;
		EXPECT_EQ(v[i].want, l3l2q_region_check(&region)) {
			TH_LOG("version %" PRIx64, v[i].version);
		}
	}
}

TEST(s1_region_results_are_distinct)
{
	struct l3l2q_region_desc r;
	struct l3l2q_queue_desc q;

	sound(&r, &q);
	EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_region_check(&r));
	r.region_id = 0;
	EXPECT_EQ(L3L2Q_CHECK_REGION_ID, l3l2q_region_check(&r));

	sound(&r, &q);
	r.payload_bytes = 0;
	EXPECT_EQ(L3L2Q_CHECK_PAYLOAD_RANGE, l3l2q_region_check(&r));
	sound(&r, &q);
	r.payload_base = 0ull - 64;
	EXPECT_EQ(L3L2Q_CHECK_PAYLOAD_RANGE, l3l2q_region_check(&r));

	sound(&r, &q);
	r.counter_bytes = 0;
	EXPECT_EQ(L3L2Q_CHECK_COUNTER_RANGE, l3l2q_region_check(&r));
	sound(&r, &q);
	r.counter_bytes = 382;
	EXPECT_EQ(L3L2Q_CHECK_COUNTER_RANGE, l3l2q_region_check(&r));
	sound(&r, &q);
	r.counter_base += 4;
	EXPECT_EQ(L3L2Q_CHECK_COUNTER_RANGE, l3l2q_region_check(&r));
	sound(&r, &q);
	r.counter_base += 32;
	EXPECT_EQ(L3L2Q_CHECK_COUNTER_RANGE, l3l2q_region_check(&r));
	sound(&r, &q);
	r.counter_base = 0ull - 64;
	EXPECT_EQ(L3L2Q_CHECK_COUNTER_RANGE, l3l2q_region_check(&r));

	/* A zero base comes from newer references. */
	sound(&r, &q);
	r.payload_base = 0;
	EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_region_check(&r));
	sound(&r, &q);
	r.counter_base = 0;
	EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_region_check(&r));

	/* All have names of their own. */
	{
		static const int all[] = {
			L3L2Q_CHECK_OK, L3L2Q_CHECK_MAGIC, L3L2Q_CHECK_REGION_ID,
			L3L2Q_CHECK_PAYLOAD_RANGE, L3L2Q_CHECK_COUNTER_RANGE,
			L3L2Q_CHECK_OUT_OF_BOUNDS, L3L2Q_CHECK_SCALAR_COUNT, L3L2Q_CHECK_NULL,
		};
		size_t i, j;

		for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
			for (j = 0; j < i; j++)
				EXPECT_NE(all[i], all[j]);
	}
}

TEST(s1_ranges_must_not_overlap)
{
	struct l3l2q_region_desc r;
	struct l3l2q_queue_desc q;
	int64_t at;

	/* Payload at [4096, 4672); counters slide over it. */
	for (at = 4096 - 448; at <= 4096 + 640; at += 64) {
		bool apart = at + 384 <= 4096 || at >= 4096 + 576;

		sound(&r, &q);
		r.payload_base = 4096;
		r.counter_base = (uint64_t)at;
		EXPECT_EQ(apart ? L3L2Q_CHECK_OK : L3L2Q_CHECK_COUNTER_RANGE,
			  l3l2q_region_check(&r)) {
			TH_LOG("counters at %" PRId64, at);
		}
	}
}

TEST(s1_payload_access)
{
	EXPECT_EQ(L3L2Q_CHECK_PAYLOAD_RANGE, l3l2q_payload_check(100, 0, 0));
	EXPECT_EQ(L3L2Q_CHECK_PAYLOAD_RANGE, l3l2q_payload_check(100, 1000, 0));
	EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_payload_check(100, 0, 100));
	EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_payload_check(100, 99, 1));
	EXPECT_EQ(L3L2Q_CHECK_OUT_OF_BOUNDS, l3l2q_payload_check(100, 0, 101));
	EXPECT_EQ(L3L2Q_CHECK_OUT_OF_BOUNDS, l3l2q_payload_check(100, 100, 1));
	EXPECT_EQ(L3L2Q_CHECK_OUT_OF_BOUNDS, l3l2q_payload_check(100, ~0ull, 1));
	EXPECT_EQ(L3L2Q_CHECK_OUT_OF_BOUNDS, l3l2q_payload_check(100, ~0ull, 2));
	EXPECT_EQ(L3L2Q_CHECK_OUT_OF_BOUNDS, l3l2q_payload_check(100, 50, ~0ull));
	EXPECT_EQ(L3L2Q_CHECK_OUT_OF_BOUNDS, l3l2q_payload_check(100, 50, 0ull - 49));
	EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_payload_check(~0ull, ~0ull - 1, 1));
}

TEST(s1_counter_access)
{
	uint64_t offset;

	for (offset = 0; offset < 400; offset++) {
		enum l3l2q_check want = offset % 4 ? L3L2Q_CHECK_COUNTER_RANGE :
					offset < 384 ? L3L2Q_CHECK_OK : L3L2Q_CHECK_OUT_OF_BOUNDS;

		EXPECT_EQ(want, l3l2q_counter_check(384, offset));
	}
	EXPECT_EQ(L3L2Q_CHECK_OUT_OF_BOUNDS, l3l2q_counter_check(384, ~0ull - 3));
	EXPECT_EQ(L3L2Q_CHECK_COUNTER_RANGE, l3l2q_counter_check(384, ~0ull));
	EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_counter_check(4, 0));
	EXPECT_EQ(L3L2Q_CHECK_OUT_OF_BOUNDS, l3l2q_counter_check(4, 4));
	EXPECT_EQ(L3L2Q_CHECK_OUT_OF_BOUNDS, l3l2q_counter_check(0, 0));
}

/* Every scalar of the twelve, changed a little: refused, the layout untouched. */
TEST(s2_queue_scalars)
{
	static const uint64_t versions[] = {
		L3L2Q_PACK(0x4C335132, 1, 0), L3L2Q_PACK(0x4C335132, 1, 2),
		L3L2Q_PACK(0x4C335132, 2, 1), L3L2Q_PACK(0x4C335132, 0, 1),
		L3L2Q_PACK(0x4C334C32, 1, 1), 0, ~0ull,
	};
	struct l3l2q_layout l, before;
	struct l3l2q_region_desc r;
	struct l3l2q_queue_desc q;
	size_t i;

	sound(&r, &q);
	ASSERT_EQ(L3L2Q_CHECK_OK, l3l2q_queue_check(&r, &q, &l));
	EXPECT_EQ(576, l.payload_bytes);
	EXPECT_EQ(384, l.output_arena_offset);

	memset(&l, 0x5a, sizeof(l));
	before = l;
	for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		sound(&r, &q);
		q.magic_version = versions[i];
		EXPECT_EQ(L3L2Q_CHECK_MAGIC, l3l2q_queue_check(&r, &q, &l));
	}
	for (i = 1; i < 6; i++) {
		int64_t by;

		for (by = -64; by <= 64; by += 32) {
			if (!by)
				continue;
			sound(&r, &q);
			((__u64 *)(void *)&q)[i] += (__u64)by;
			EXPECT_EQ(L3L2Q_CHECK_GEOMETRY, l3l2q_queue_check(&r, &q, &l)) {
				TH_LOG("scalar %zu by %" PRId64, 6 + i, by);
			}
		}
	}
	/* The region's sizes have to be the queue's. */
	sound(&r, &q);
	r.payload_bytes += 64;
	EXPECT_EQ(L3L2Q_CHECK_GEOMETRY, l3l2q_queue_check(&r, &q, &l));
	sound(&r, &q);
	r.payload_bytes -= 64;
	EXPECT_EQ(L3L2Q_CHECK_GEOMETRY, l3l2q_queue_check(&r, &q, &l));
	sound(&r, &q);
	r.counter_bytes += 64;
	EXPECT_EQ(L3L2Q_CHECK_GEOMETRY, l3l2q_queue_check(&r, &q, &l));
	sound(&r, &q);
	r.counter_bytes -= 64;
	EXPECT_EQ(L3L2Q_CHECK_GEOMETRY, l3l2q_queue_check(&r, &q, &l));
	/* Both changed alike: the layout still says otherwise. */
	sound(&r, &q);
	r.payload_bytes += 64;
	q.payload_bytes += 64;
	EXPECT_EQ(L3L2Q_CHECK_GEOMETRY, l3l2q_queue_check(&r, &q, &l));
	sound(&r, &q);
	r.counter_bytes += 64;
	q.counter_bytes += 64;
	EXPECT_EQ(L3L2Q_CHECK_GEOMETRY, l3l2q_queue_check(&r, &q, &l));
	/* A bad region is named as such. */
	sound(&r, &q);
	r.region_id = 0;
	q.depth = 3;
	EXPECT_EQ(L3L2Q_CHECK_REGION_ID, l3l2q_queue_check(&r, &q, &l));
	EXPECT_EQ(0, memcmp(&l, &before, sizeof(l)));
}

/* ---- section 2: reconstruction ----------------------------------------- */

TEST(s2_reconstruct)
{
	static const uint64_t bases[] = {
		0, 1, 1000, 0x7ffffff0, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffff0,
		0xffffffff, 0x100000000, 0x17fffffff, 0x1fffffffe, 0xffffffffffff0,
	};
	static const uint64_t depths[] = { 1, 2, 4, 1024, 1u << 30 };
	size_t b, d;

	for (b = 0; b < sizeof(bases) / sizeof(bases[0]); b++) {
		for (d = 0; d < sizeof(depths) / sizeof(depths[0]); d++) {
			uint64_t depth = depths[d], steps[] = { 0, 1, depth / 2, depth - 1, depth };
			uint64_t local;
			size_t i;

			for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
				__u64 l = bases[b];

				EXPECT_EQ(0, l3l2q_reconstruct((__u32)(bases[b] + steps[i]),
							       depth, &l));
				EXPECT_EQ(bases[b] + steps[i], l);
			}
			local = bases[b];
			{
				__u64 l = local;

				EXPECT_NE(0, l3l2q_reconstruct((__u32)(local + depth + 1),
							       depth, &l));
				EXPECT_EQ(local, l);
				EXPECT_NE(0, l3l2q_reconstruct((__u32)(local - 1), depth, &l));
				EXPECT_EQ(local, l);
				EXPECT_NE(0, l3l2q_reconstruct((__u32)(local + 0x80000000u),
							       depth, &l));
				EXPECT_EQ(local, l);
				EXPECT_NE(0, l3l2q_reconstruct((__u32)(local + 0x7fffffffu),
							       depth, &l));
				EXPECT_EQ(local, l);
			}
		}
	}
}

/* ---- section 1: comparison, abort -------------------------------------- */

TEST(s1_compare)
{
	static const __s32 pairs[][2] = {
		{ 0, 0 }, { 1, 0 }, { 0, 1 }, { -1, 0 }, { 0, -1 },
		{ INT32_MAX, INT32_MIN }, { INT32_MIN, INT32_MAX }, { -2, -1 },
	};
	size_t i;

	EXPECT_EQ(0, L3L2Q_CMP_EQ);
	EXPECT_EQ(1, L3L2Q_CMP_NE);
	EXPECT_EQ(2, L3L2Q_CMP_GT);
	EXPECT_EQ(3, L3L2Q_CMP_GE);
	EXPECT_EQ(4, L3L2Q_CMP_LT);
	EXPECT_EQ(5, L3L2Q_CMP_LE);
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		__s32 o = pairs[i][0], v = pairs[i][1];

		EXPECT_EQ(o == v, l3l2q_cmp_holds(0, o, v));
		EXPECT_EQ(o != v, l3l2q_cmp_holds(1, o, v));
		EXPECT_EQ(o > v, l3l2q_cmp_holds(2, o, v));
		EXPECT_EQ(o >= v, l3l2q_cmp_holds(3, o, v));
		EXPECT_EQ(o < v, l3l2q_cmp_holds(4, o, v));
		EXPECT_EQ(o <= v, l3l2q_cmp_holds(5, o, v));
	}
	EXPECT_EQ(-1, l3l2q_cmp_holds(6, 0, 0));
	EXPECT_EQ(-1, l3l2q_cmp_holds(~0u, 0, 0));
}

TEST(s2_abort_flag_is_signed_at_least_one)
{
	EXPECT_FALSE(l3l2q_abort_is_set(0));
	EXPECT_TRUE(l3l2q_abort_is_set(1));
	EXPECT_TRUE(l3l2q_abort_is_set(2));
	EXPECT_TRUE(l3l2q_abort_is_set(INT32_MAX));
	EXPECT_FALSE(l3l2q_abort_is_set(-1));
	EXPECT_FALSE(l3l2q_abort_is_set(INT32_MIN));
}

TEST(s6_error_kinds)
{
	EXPECT_EQ(0, L3L2Q_ERR_NONE);
	EXPECT_EQ(1, L3L2Q_ERR_BAD_ARGUMENT);
	EXPECT_EQ(2, L3L2Q_ERR_BAD_DESCRIPTOR);
	EXPECT_EQ(3, L3L2Q_ERR_INVALID_DESCRIPTOR);
	EXPECT_EQ(4, L3L2Q_ERR_OUT_OF_SPACE);
	EXPECT_EQ(5, L3L2Q_ERR_OWNERSHIP);
	EXPECT_EQ(6, L3L2Q_ERR_REMOTE_ABORTED);
	EXPECT_EQ(7, L3L2Q_ERR_ENDPOINT_ERROR);
}

TEST(design_readable_writable)
{
	/* unset: own head, and a free slot */
	EXPECT_FALSE(l3l2q_readable(5, 5, 0, 99));
	EXPECT_TRUE(l3l2q_readable(6, 5, 0, 6));
	EXPECT_FALSE(l3l2q_readable(6, 5, L3L2Q_CONSUMER_SEEN, 6));
	EXPECT_TRUE(l3l2q_readable(7, 5, L3L2Q_CONSUMER_SEEN, 6));
	EXPECT_FALSE(l3l2q_readable(7, 5, L3L2Q_CONSUMER_SEEN | L3L2Q_CONSUMER_HOLD, 6));

	EXPECT_TRUE(l3l2q_writable(4, 1, 4, 0, 99));
	EXPECT_FALSE(l3l2q_writable(4, 0, 4, 0, 0));
	EXPECT_FALSE(l3l2q_writable(4, 1, 4, L3L2Q_PRODUCER_NEED, 2));
	EXPECT_TRUE(l3l2q_writable(4, 2, 4, L3L2Q_PRODUCER_NEED, 2));
	/* across 2^32 */
	EXPECT_FALSE(l3l2q_writable(3, 0xffffffffu, 4, 0, 0));
	EXPECT_TRUE(l3l2q_writable(2, 0xffffffffu, 4, 0, 0));
	EXPECT_TRUE(l3l2q_writable(2, 1, 4, L3L2Q_PRODUCER_NEED, 0xffffffffu));
}

/* The twelve in their order; a wrong count or no scalars touch nothing. */
TEST(s1_scalars_are_counted_and_taken_in_order)
{
	struct l3l2q_region_desc region, region_before;
	struct l3l2q_queue_desc queue, queue_before;
	__u64 scalars[L3L2Q_SCALARS];
	__u64 i;

	for (i = 0; i < L3L2Q_SCALARS; i++)
		scalars[i] = 100 + i;
	memset(&region, 0x5a, sizeof(region));
	memset(&queue, 0x5a, sizeof(queue));
	region_before = region;
	queue_before = queue;

	EXPECT_EQ(L3L2Q_CHECK_NULL, l3l2q_scalars_parse(NULL, 12, &region, &queue));
	EXPECT_EQ(L3L2Q_CHECK_NULL, l3l2q_scalars_parse(scalars, 12, NULL, &queue));
	for (i = 0; i <= 13; i++) {
		if (i != 12) {
			EXPECT_EQ(L3L2Q_CHECK_SCALAR_COUNT,
				  l3l2q_scalars_parse(scalars, i, &region, &queue));
		}
		if (i != 6) {
			EXPECT_EQ(L3L2Q_CHECK_SCALAR_COUNT,
				  l3l2q_scalars_parse(scalars, i, &region, NULL));
		}
	}
	EXPECT_EQ(0, memcmp(&region, &region_before, sizeof(region)));
	EXPECT_EQ(0, memcmp(&queue, &queue_before, sizeof(queue)));

	EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_scalars_parse(scalars, 6, &region, NULL));
	EXPECT_EQ(0, memcmp(&region, scalars, sizeof(region)));
	memset(&region, 0, sizeof(region));
	EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_scalars_parse(scalars, 12, &region, &queue));
	EXPECT_EQ(0, memcmp(&region, scalars, sizeof(region)));
	EXPECT_EQ(0, memcmp(&queue, scalars + 6, sizeof(queue)));
}

TEST_HARNESS_MAIN
