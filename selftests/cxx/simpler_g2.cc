// SPDX-License-Identifier: MIT
/* The names of simpler's commit 6ebaf7715, as an orchestration includes them. */
#include <stdint.h>
#include <string.h>
#include "aicpu/worker_chip_message_queue.h"
#include "pto_orchestration_api.h"

#define CLASS(name) WorkerChip##name
#define FUNCTION(name) worker_chip_##name
#define CONSTANT(name) WORKER_CHIP_##name
#include "simpler/by_reference.h"

namespace gen {

constexpr uint64_t kRegionVersion = 0x4C334C3200030000;
constexpr const char *kBadDescriptor = "invalid compatibility descriptor";
constexpr const char *kBadScalars = kBadDescriptor;

inline uint64_t l3_abort_offset(const Layout &l)
{
	return l.worker_abort_flag_offset;
}

inline uint64_t l2_abort_offset(const Layout &l)
{
	return l.chip_abort_flag_offset;
}

} /* namespace gen */

#include "simpler/device_time.h"

#include "simpler/queue_tests.h"
#include "simpler/window_tests.h"
#include "simpler/endpoint_tests.h"
#include "simpler/view_tests.h"

TEST(EndpointRejectsAbiMajor2AndOldContiguousMagic)
{
	RawFixture r;
	gen::Desc old = r.desc;

	old.magic_version = 0x4C334C3200020000;
	EXPECT_EQ(gen::Check::BAD_MAGIC_VERSION, gen::orch::validate_desc(old));
	EXPECT_EQ(gen::RawKind::BAD_DESCRIPTOR, gen::Raw(old).error().kind);
	EXPECT_EQ("invalid compatibility descriptor", static_cast<const char *>(gen::Raw(old).error().message));
}

TEST(EndpointRejectsInvalidIndependentSpansWithFixedMessage)
{
	RawFixture r;
	gen::Desc bad = r.desc;

	bad.counter_base = bad.payload_base;
	gen::Raw ep(bad);
	EXPECT_EQ(gen::RawKind::BAD_DESCRIPTOR, ep.error().kind);
	EXPECT_EQ("invalid independent local spans", static_cast<const char *>(ep.error().message));
	EXPECT_TRUE(ep.view().failed());
}

TEST(EndpointIssuedFailuresMapToLocalOperation)
{
	RawFixture r;
	gen::View view;
	gen::Sample sample;

	for (int what = 0; what < 4; what++) {
		WorkerChipOrchEndpointImpl<FailingOps> ep(r.desc);

		FailingOps::reset();
		FailingOps::invalidates = what != 0;
		FailingOps::copies = what != 1;
		FailingOps::stores = what != 2;
		FailingOps::loads = what != 3;
		EXPECT_EQ(what != 0, ep.payload_read(0, 1, view));
		if (what > 0)
			EXPECT_EQ(what != 1, ep.payload_write(0, "x", 1));
		if (what > 1)
			EXPECT_EQ(what != 2, ep.signal_notify(r.at(0), 1, gen::NotifyOp::Set));
		if (what > 2)
			EXPECT_FALSE(ep.signal_test(r.at(0), 1, gen::Cmp::EQ, sample));
		EXPECT_EQ(gen::RawKind::LOCAL_OPERATION, ep.error().kind);
	}
	FailingOps::reset();
}

TEST(EndpointEnumConversionCoversSetAddAndAllComparisons)
{
	RegionNotifyOp op;
	RegionWaitCmp cmp;

	for (uint32_t i = 0; i < 2; i++) {
		EXPECT_EQ(RegionNotifyOp(i), worker_chip_notify_op_to_region(gen::NotifyOp(i)));
		EXPECT_TRUE(worker_chip_orch_comm_as_region_notify_op(gen::NotifyOp(i), op));
		EXPECT_EQ(RegionNotifyOp(i), op);
	}
	for (uint32_t i = 0; i < 6; i++) {
		EXPECT_EQ(RegionWaitCmp(i), worker_chip_wait_cmp_to_region(gen::Cmp(i)));
		EXPECT_TRUE(worker_chip_orch_comm_as_region_wait_cmp(gen::Cmp(i), cmp));
		EXPECT_EQ(RegionWaitCmp(i), cmp);
		EXPECT_EQ(i ? gen::RawKind(i == 3 ? 4 : i == 4 ? 3 : i) : gen::RawKind::NONE,
			  worker_chip_map_view_error_kind(RegionViewErrorKind(i)));
	}
	EXPECT_FALSE(worker_chip_orch_comm_as_region_notify_op(gen::NotifyOp(2), op));
	EXPECT_FALSE(worker_chip_orch_comm_as_region_wait_cmp(gen::Cmp(6), cmp));
}

/* The global spelling of this generation's functions. */
static_assert(worker_chip_queue_magic_version() == 0x4C33513200010001 && worker_chip_queue_valid_opcode(3u));
static_assert(worker_chip_queue_align_up(65, 64) == 128 && worker_chip_queue_is_power_of_two(1));
static_assert(worker_chip_orch_comm_magic_version() == 0x4C334C3200030000);
static_assert(worker_chip_orch_comm_abi_major(0x4C334C3200030001) == 3);
static_assert(worker_chip_orch_comm_abi_minor(0x4C334C3200030001) == 1);
static_assert(worker_chip_orch_comm_magic(0x4C334C3200030001) == 0x4C334C32);
static_assert(worker_chip_orch_comm_is_aligned<64>(128) && worker_chip_orch_comm_add_sat(UINT64_MAX, 1) == UINT64_MAX);
static_assert(worker_chip_orch_comm_range_contains(8, 8, 15) && !worker_chip_orch_comm_range_contains(8, 8, 16));
static_assert(worker_chip_orch_comm_ranges_overlap(0, 9, 8, 8) && !worker_chip_orch_comm_ranges_overlap(0, 8, 8, 8));

#include "simpler/twelve_scalars.h"

namespace gen {
using FlowQueue = ScalarQueue<4>;
}

#include "simpler/orchestration.h"
#include "simpler/flow.h"
