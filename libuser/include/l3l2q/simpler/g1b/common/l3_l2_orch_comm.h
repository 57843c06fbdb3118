/* SPDX-License-Identifier: MIT */
/* Regions of simpler as in its commit 438d5cb1d (#1236), see l3l2q-simpler(7). */
#ifndef L3_L2_ORCH_COMM_H
#define L3_L2_ORCH_COMM_H

#ifdef L3L2Q_SIMPLER_L3L2
#error "one translation unit has headers of g1a and of g1b"
#endif
#define L3L2Q_SIMPLER_L3L2 1

#include "../../detail/orch.h"

namespace l3l2q::simpler {

template <typename Gen>
struct L3L2Layout;
struct PlatformCache;
struct PlatformClock;

template <>
struct Traits<G1b> {
	static constexpr uint16_t kRegionMajor = 2;
	static constexpr bool kRefusesZeroBase = false;
	static constexpr bool kOverflowIsBadRange = false;
	static constexpr bool kSpansHaveText = false;
	static constexpr const char *kBadDescriptor = "invalid descriptor";
	static constexpr const char *kBadScalars = "invalid descriptor scalars";
	template <typename Enum>
	using Op = Enum;
	using Text = char[kTextBytes];
	using Cache = PlatformCache;
	using Clock = PlatformClock;
	using QueueLayout = L3L2Layout<G1b>;
	static constexpr bool kHandleHasBody = true;
	static constexpr bool kLastIsStop = true;
};

using L3L2Gen = G1b;

} /* namespace l3l2q::simpler */

#include "../../detail/l3l2_comm.h"

namespace l3_l2_orch_comm {
#define L3L2Q_NAME(name) name
#define L3L2Q_ORCH l3l2q::simpler::L3L2Orch
#include "../../detail/orch_functions.h"
#undef L3L2Q_ORCH
#undef L3L2Q_NAME

using l3l2q::simpler::add_sat;
using l3l2q::simpler::copy_error_message;
using l3l2q::simpler::is_aligned;
using l3l2q::simpler::is_aligned_runtime;
} /* namespace l3_l2_orch_comm */

#endif /* L3_L2_ORCH_COMM_H */
