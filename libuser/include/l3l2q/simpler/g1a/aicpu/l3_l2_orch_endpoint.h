/* SPDX-License-Identifier: MIT */
/* Raw endpoints of simpler as in its commit 3e6cc9d35 (#1187), see l3l2q-simpler(7). */
#ifndef L3_L2_ORCH_ENDPOINT_H
#define L3_L2_ORCH_ENDPOINT_H

#include "../common/l3_l2_orch_comm.h"

#include "../../detail/clock.h"
#include "../../detail/l3l2_endpoint.h"

/* Maintain the cache only where the tool chain of the NPU says that it is needed. */
inline void l3_l2_orch_endpoint_cache_invalidate_range(const void *address, size_t nbytes)
{
#if defined(__aarch64__) && defined(L3_L2_ORCH_ENDPOINT_ENABLE_CACHE_MAINTENANCE)
	l3l2q_dcache_invalidate(address, nbytes);
#else
	(void)address;
	(void)nbytes;
#endif
}

inline void l3_l2_orch_endpoint_cache_flush_range(const void *address, size_t nbytes)
{
#if defined(__aarch64__) && defined(L3_L2_ORCH_ENDPOINT_ENABLE_CACHE_MAINTENANCE)
	l3l2q_dcache_clean(address, nbytes);
#else
	(void)address;
	(void)nbytes;
#endif
}

inline uint64_t l3_l2_orch_endpoint_now()
{
	return l3l2q::simpler::now_ticks();
}

inline uint64_t l3_l2_orch_endpoint_timer_frequency_hz()
{
	return l3l2q::simpler::frequency_hz();
}

inline uint64_t l3_l2_orch_endpoint_ticks_to_ns(uint64_t ticks, uint64_t hz)
{
	return l3l2q::simpler::ticks_to_ns(ticks, hz);
}

inline uint64_t l3_l2_orch_endpoint_elapsed_ns(uint64_t start, uint64_t end, uint64_t hz)
{
	return l3l2q::simpler::ticks_to_ns(end - start, hz);
}

namespace l3l2q::simpler {

struct G1aCache {
	static void invalidate(const void *address, size_t nbytes)
	{
		l3_l2_orch_endpoint_cache_invalidate_range(address, nbytes);
	}
	static void flush(const void *address, size_t nbytes) { l3_l2_orch_endpoint_cache_flush_range(address, nbytes); }
};

struct G1aClock {
	static uint64_t now() { return l3_l2_orch_endpoint_now(); }
	static uint64_t ns_since(uint64_t start)
	{
		return l3_l2_orch_endpoint_elapsed_ns(start, l3_l2_orch_endpoint_now(),
						      l3_l2_orch_endpoint_timer_frequency_hz());
	}
};

} /* namespace l3l2q::simpler */

using L3L2OrchEndpoint =
	l3l2q::simpler::OrchEndpoint<l3l2q::simpler::G1a, l3l2q::simpler::CachedMemoryOps<l3l2q::simpler::G1aCache>>;

#endif /* L3_L2_ORCH_ENDPOINT_H */
