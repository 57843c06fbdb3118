/* SPDX-License-Identifier: MIT */
/*
 * Internal to l3l2q/simpler: cache maintenance and time. They are the platform's functions if
 * its headers are found, and else functions of the same names on the processor's own.
 */
#ifndef L3L2Q_SIMPLER_PLATFORM_H
#define L3L2Q_SIMPLER_PLATFORM_H

#include "base.h"

#if __has_include("aicpu/cache_maintenance.h")
#include "aicpu/cache_maintenance.h"
#else
inline void cache_invalidate_range(const void *address, size_t nbytes)
{
	l3l2q_dcache_invalidate(address, nbytes);
}

inline void cache_flush_range(const void *address, size_t nbytes)
{
	l3l2q_dcache_clean(address, nbytes);
}
#endif

#if __has_include("aicpu/device_time.h")
#include "aicpu/device_time.h"
#else
#include "clock.h"

inline uint64_t device_time_now_ticks()
{
	return l3l2q::simpler::now_ticks();
}

inline uint64_t device_time_frequency_hz()
{
	return l3l2q::simpler::frequency_hz();
}

inline uint64_t sys_cnt_ticks_to_ns(uint64_t ticks, uint64_t hz)
{
	return l3l2q::simpler::ticks_to_ns(ticks, hz);
}

inline uint64_t sys_cnt_elapsed_ns(uint64_t start, uint64_t end, uint64_t hz)
{
	return l3l2q::simpler::ticks_to_ns(end - start, hz);
}
#endif

namespace l3l2q::simpler {

struct PlatformCache {
	static void invalidate(const void *address, size_t nbytes) { cache_invalidate_range(address, nbytes); }
	static void flush(const void *address, size_t nbytes) { cache_flush_range(address, nbytes); }
};

struct PlatformClock {
	static uint64_t now() { return device_time_now_ticks(); }
	static uint64_t ns_since(uint64_t start)
	{
		return sys_cnt_elapsed_ns(start, device_time_now_ticks(), device_time_frequency_hz());
	}
};

} /* namespace l3l2q::simpler */

#endif /* L3L2Q_SIMPLER_PLATFORM_H */
