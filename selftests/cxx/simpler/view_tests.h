/* SPDX-License-Identifier: MIT */
/* The view of a region, of G2 and G3: aicpu/region_instance_view.h. */
#ifndef CXX_SIMPLER_VIEW_TESTS_H
#define CXX_SIMPLER_VIEW_TESTS_H

#include "memory.h"

namespace {

/* Memory that can fail. */
struct FailingOps : LocalMemoryOps {
	static inline bool invalidates = true, copies = true, loads = true, stores = true;

	static void reset() { invalidates = copies = loads = stores = true; }
	static bool invalidate(const void *address, size_t nbytes)
	{
		return invalidates && LocalMemoryOps::invalidate(address, nbytes);
	}
	static bool copy_bytes(void *to, const void *from, size_t nbytes)
	{
		return copies && LocalMemoryOps::copy_bytes(to, from, nbytes);
	}
	static bool load_i32(uint64_t address, int32_t &value) { return loads && LocalMemoryOps::load_i32(address, value); }
	static bool store_i32(uint64_t address, int32_t value) { return stores && LocalMemoryOps::store_i32(address, value); }
};

template <typename View = RegionInstanceView>
struct ViewFixture {
	Memory memory;
	View view;

	ViewFixture()
		: view(RegionPartLocalSpan{memory.payload_base(), 64}, RegionPartLocalSpan{memory.counter_base(), 64})
	{
	}
	void expect_error(RegionViewErrorKind kind, RegionViewOp op, const char *text, bool failed)
	{
		EXPECT_EQ(kind, view.error().kind);
		EXPECT_EQ(op, view.error().op);
		EXPECT_EQ(text, static_cast<const char *>(view.error().message));
		EXPECT_EQ(failed, view.failed());
	}
};

} /* namespace */

static_assert(sizeof(RegionViewError) == 268);

TEST(ViewAcceptsZeroReversedAndNonAdjacentBases)
{
	const uint64_t good[][4] = {{0, 64, 64, 64}, {64, 64, 0, 64}, {4096, 64, 64, 64}, {8, 1, 1 << 20, 4}};

	for (const auto &g : good) {
		RegionInstanceView view({g[0], g[1]}, {g[2], g[3]});

		EXPECT_FALSE(view.failed());
		EXPECT_EQ(RegionViewErrorKind::NONE, view.error().kind);
		EXPECT_EQ(g[0], view.payload().span().base);
		EXPECT_EQ(g[3], view.counter_span().logical_bytes);
	}
}

TEST(ViewInvalidConstructionIsSticky)
{
	const uint64_t bad[][4] = {{64, 0, 128, 64}, {64, 64, 128, 0},	{64, 64, 132, 64}, {64, 64, 128, 6},
				   {64, 65, 128, 64}, {UINT64_MAX, 2, 128, 64}, {64, 64, UINT64_MAX - 63, 64}};
	RegionPayloadView out;
	RegionSignalTestResult sample;

	for (const auto &b : bad) {
		RegionInstanceView view({b[0], b[1]}, {b[2], b[3]});

		EXPECT_TRUE(view.failed());
		EXPECT_EQ(RegionViewErrorKind::INVALID_VIEW, view.error().kind);
		EXPECT_EQ(RegionViewOp::CONSTRUCT, view.error().op);
		EXPECT_FALSE(view.payload().read(0, 1, out));
		EXPECT_FALSE(view.counter().test(0, 0, RegionWaitCmp::EQ, sample));
		EXPECT_FALSE(view.counter_contains(128));
		EXPECT_EQ(RegionViewErrorKind::INVALID_VIEW, view.error().kind);
	}
	RegionInstanceView none;
	EXPECT_TRUE(none.failed());
	EXPECT_EQ("uninitialized view", static_cast<const char *>(none.error().message));
}

TEST(ViewPreIssueErrorsDoNotPoison)
{
	ViewFixture<> v;
	RegionPayloadView out = {1, 1};
	RegionSignalTestResult sample = {true, 1};
	uint64_t address = 1;
	int32_t observed = 1;

	EXPECT_FALSE(v.view.payload().read(1, 64, out));
	EXPECT_EQ(0u, out.local_addr + out.nbytes);
	v.expect_error(RegionViewErrorKind::OUT_OF_BOUNDS, RegionViewOp::PAYLOAD_READ, "payload range is out of bounds", false);
	EXPECT_FALSE(v.view.payload().read(UINT64_MAX, 2, out));
	EXPECT_FALSE(v.view.payload().write(0, "", 0));
	v.expect_error(RegionViewErrorKind::OUT_OF_BOUNDS, RegionViewOp::PAYLOAD_WRITE, "payload range is out of bounds", false);
	EXPECT_FALSE(v.view.payload().write(0, nullptr, 1));
	v.expect_error(RegionViewErrorKind::OUT_OF_BOUNDS, RegionViewOp::PAYLOAD_WRITE, "null payload source", false);
	EXPECT_FALSE(v.view.counter().addr(64, address));
	EXPECT_EQ(0u, address);
	v.expect_error(RegionViewErrorKind::OUT_OF_BOUNDS, RegionViewOp::COUNTER_ADDR, "counter offset is out of bounds", false);
	EXPECT_FALSE(v.view.counter().notify(2, 1, RegionNotifyOp::Set));
	EXPECT_FALSE(v.view.counter().notify(0, 1, RegionNotifyOp(2)));
	v.expect_error(RegionViewErrorKind::INVALID_ENUM, RegionViewOp::NOTIFY, "invalid notify operation", false);
	EXPECT_FALSE(v.view.counter().test(0, 0, RegionWaitCmp(6), sample));
	EXPECT_FALSE(sample.matched);
	v.expect_error(RegionViewErrorKind::INVALID_ENUM, RegionViewOp::TEST, "invalid wait comparison", false);
	EXPECT_FALSE(v.view.counter().wait(62, 0, RegionWaitCmp::EQ, 0, observed));
	EXPECT_EQ(0, observed);
	EXPECT_FALSE(v.view.counter().wait(0, 1, RegionWaitCmp::EQ, 1000, observed));
	v.expect_error(RegionViewErrorKind::TIMEOUT, RegionViewOp::WAIT, "wait timed out", false);
	EXPECT_TRUE(v.view.payload().write(0, "x", 1));
	EXPECT_TRUE(v.view.counter().test(0, 0, RegionWaitCmp::EQ, sample));
	/* the last error is still there to read */
	EXPECT_EQ(RegionViewErrorKind::TIMEOUT, v.view.error().kind);
}

TEST(ViewIssuedFailuresAreSticky)
{
	using View = RegionInstanceViewImpl<FailingOps>;
	RegionPayloadView out;
	RegionSignalTestResult sample;
	int32_t observed;

	for (int what = 0; what < 5; what++) {
		ViewFixture<View> v;

		FailingOps::reset();
		switch (what) {
		case 0:
			FailingOps::invalidates = false;
			EXPECT_FALSE(v.view.payload().read(0, 1, out));
			break;
		case 1:
			FailingOps::copies = false;
			EXPECT_FALSE(v.view.payload().write(0, "x", 1));
			break;
		case 2:
			FailingOps::stores = false;
			EXPECT_FALSE(v.view.counter().notify(0, 1, RegionNotifyOp::Set));
			break;
		case 3:
			FailingOps::loads = false;
			EXPECT_FALSE(v.view.counter().test(0, 0, RegionWaitCmp::EQ, sample));
			break;
		default:
			FailingOps::loads = false;
			EXPECT_FALSE(v.view.counter().wait(0, 0, RegionWaitCmp::EQ, 1000000000, observed));
			break;
		}
		FailingOps::reset();
		EXPECT_EQ(RegionViewErrorKind::ISSUED_FAILURE, v.view.error().kind);
		EXPECT_TRUE(v.view.failed());
		EXPECT_FALSE(v.view.payload().read(0, 1, out));
		EXPECT_FALSE(v.view.counter().notify(0, 1, RegionNotifyOp::Set));
	}
}

TEST(ViewNotifyAddWrapsAt32Bits)
{
	ViewFixture<> v;
	uint64_t address;

	EXPECT_TRUE(v.view.counter().addr(4, address));
	EXPECT_EQ(v.memory.counter_base() + 4, address);
	EXPECT_TRUE(v.view.counter().contains_addr(address));
	EXPECT_FALSE(v.view.counter().contains_addr(address + 60));
	EXPECT_TRUE(v.view.notify(4, INT32_MAX, RegionNotifyOp::Set));
	EXPECT_TRUE(v.view.notify(4, 1, RegionNotifyOp::Add));
	EXPECT_EQ(INT32_MIN, v.memory.counter(4));
}

TEST(ViewMaintainsTheCache)
{
	ViewFixture<> v;
	RegionPayloadView out;

	cache_calls = {};
	EXPECT_TRUE(v.view.payload_read(0, 48, out));
	EXPECT_EQ(48u, cache_calls.last_invalidated);
	EXPECT_TRUE(v.view.payload_write(0, "abc", 3));
	EXPECT_EQ(3u, cache_calls.last_flushed);
	EXPECT_TRUE(v.view.notify(0, 1, RegionNotifyOp::Set)); /* no load */
	EXPECT_EQ(1u, cache_calls.invalidates);
	EXPECT_TRUE(v.view.notify(0, 1, RegionNotifyOp::Add));
	EXPECT_EQ(2u, cache_calls.invalidates);
	EXPECT_EQ(3u, cache_calls.flushes);
}

TEST(SemanticsOfSpans)
{
	EXPECT_TRUE(region_add_overflows(UINT64_MAX, 1));
	EXPECT_TRUE(region_spans_overlap({0, 65}, {64, 4}));
	EXPECT_FALSE(region_spans_overlap({0, 64}, {64, 4}));
	EXPECT_TRUE(region_counter_addr_in_span({64, 64}, 124));
	EXPECT_FALSE(region_counter_addr_in_span({64, 64}, 60));
	EXPECT_TRUE(region_validate_payload_range({0, 64}, 60, 4));
	EXPECT_FALSE(region_validate_payload_range({0, 64}, 60, 5));
	EXPECT_FALSE(region_validate_independent_spans({64, 64}, {64, 64}));
	EXPECT_FALSE(region_compare_counter(1, 1, RegionWaitCmp(6)));
}

#endif /* CXX_SIMPLER_VIEW_TESTS_H */
