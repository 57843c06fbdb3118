/* SPDX-License-Identifier: MIT */
/* Regions of simpler as in its commit 6ebaf7715, see l3l2q-simpler(7). */
#ifndef WORKER_CHIP_ORCH_COMM_H
#define WORKER_CHIP_ORCH_COMM_H

#include "region_instance_semantics.h"

#include "../../detail/orch.h"

namespace l3l2q::simpler {

struct WorkerChipLayout;
struct PlatformCache;
struct PlatformClock;

template <>
struct Traits<G2> {
	static constexpr uint16_t kRegionMajor = 3;
	static constexpr bool kRefusesZeroBase = false;
	static constexpr bool kOverflowIsBadRange = false;
	static constexpr bool kSpansHaveText = true;
	static constexpr const char *kBadDescriptor = "invalid compatibility descriptor";
	static constexpr const char *kBadScalars = kBadDescriptor;
	template <typename Enum>
	using Op = Enum;
	using Text = char[kTextBytes];
	using Cache = PlatformCache;
	using Clock = PlatformClock;
	using QueueLayout = WorkerChipLayout;
	static constexpr bool kHandleHasBody = true;
	static constexpr bool kLastIsStop = true;
};

using WorkerChipOrch = Orch<G2>;

} /* namespace l3l2q::simpler */

using WorkerChipOrchRegionDesc = l3l2q::simpler::WorkerChipOrch::RegionDesc;
using WorkerChipOrchPayloadView = l3l2q::simpler::WorkerChipOrch::PayloadView;
using WorkerChipOrchSignalTestResult = l3l2q::simpler::WorkerChipOrch::SignalTestResult;
using WorkerChipOrchNotifyOp = l3l2q::simpler::WorkerChipOrch::NotifyOp;
using WorkerChipOrchWaitCmp = l3l2q::simpler::WorkerChipOrch::WaitCmp;
using WorkerChipOrchCommValidationError = l3l2q::simpler::WorkerChipOrch::ValidationError;

namespace worker_chip_orch_comm {
#define L3L2Q_NAME(name) name
#define L3L2Q_ORCH l3l2q::simpler::WorkerChipOrch
#include "../../detail/orch_functions.h"
#undef L3L2Q_ORCH
#undef L3L2Q_NAME

using l3l2q::simpler::add_sat;
using l3l2q::simpler::copy_error_message;
using l3l2q::simpler::is_aligned;
using l3l2q::simpler::is_aligned_runtime;
} /* namespace worker_chip_orch_comm */

#define L3L2Q_NAME(name) worker_chip_orch_comm_##name
#define L3L2Q_ORCH l3l2q::simpler::WorkerChipOrch
#include "../../detail/orch_functions.h"
#undef L3L2Q_ORCH
#undef L3L2Q_NAME

constexpr uint64_t worker_chip_orch_comm_add_sat(uint64_t a, uint64_t b)
{
	return l3l2q::simpler::add_sat(a, b);
}

constexpr bool worker_chip_orch_comm_is_aligned_runtime(uint64_t value, uint64_t align)
{
	return l3l2q::simpler::is_aligned_runtime(value, align);
}

template <uint64_t Align>
constexpr bool worker_chip_orch_comm_is_aligned(uint64_t value)
{
	return l3l2q::simpler::is_aligned<Align>(value);
}

constexpr bool worker_chip_orch_comm_as_region_notify_op(WorkerChipOrchNotifyOp op, RegionNotifyOp &out)
{
	return l3l2q::simpler::WorkerChipOrch::as_region_notify_op(op, out);
}

constexpr bool worker_chip_orch_comm_as_region_wait_cmp(WorkerChipOrchWaitCmp cmp, RegionWaitCmp &out)
{
	return l3l2q::simpler::WorkerChipOrch::as_region_wait_cmp(cmp, out);
}

#endif /* WORKER_CHIP_ORCH_COMM_H */
