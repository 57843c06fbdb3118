/* SPDX-License-Identifier: MIT */
/* Regions of simpler as in its commit 3e6cc9d35 (#1187), see l3l2q-simpler(7). */
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
struct G1aCache;
struct G1aClock;

template <>
struct Traits<G1a> {
	static constexpr uint16_t kRegionMajor = 2;
	static constexpr bool kRefusesZeroBase = true;
	static constexpr bool kOverflowIsBadRange = true;
	static constexpr bool kSpansHaveText = false;
	static constexpr const char *kBadDescriptor = "invalid descriptor";
	static constexpr const char *kBadScalars = "invalid descriptor scalars";
	template <typename>
	using Op = const char *;
	using Text = const char *;
	using Cache = G1aCache;
	using Clock = G1aClock;
	using QueueLayout = L3L2Layout<G1a>;
	static constexpr bool kHandleHasBody = false;
	static constexpr bool kLastIsStop = false;
};

using L3L2Gen = G1a;

} /* namespace l3l2q::simpler */

#include "../../detail/l3l2_comm.h"

#define L3L2Q_NAME(name) l3_l2_orch_comm_##name
#define L3L2Q_ORCH l3l2q::simpler::L3L2Orch
#include "../../detail/orch_functions.h"
#undef L3L2Q_ORCH
#undef L3L2Q_NAME

constexpr bool l3_l2_orch_comm_is_aligned(uint64_t value, uint64_t align)
{
	return l3l2q::simpler::is_aligned_runtime(value, align);
}

#endif /* L3_L2_ORCH_COMM_H */
