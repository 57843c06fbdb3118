/* SPDX-License-Identifier: MIT */
/* Stand-in for the platform's header. */
#ifndef STUB_DEVICE_TIME_H
#define STUB_DEVICE_TIME_H

#include <stdint.h>
#include <time.h>

inline uint64_t device_time_now_ticks()
{
	timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return uint64_t(now.tv_sec) * 1000000000 + uint64_t(now.tv_nsec);
}

inline uint64_t device_time_frequency_hz()
{
	return 1000000000;
}

inline uint64_t sys_cnt_ticks_to_ns(uint64_t ticks, uint64_t hz)
{
	return hz ? ticks / hz * 1000000000 + ticks % hz * 1000000000 / hz : UINT64_MAX;
}

inline uint64_t sys_cnt_elapsed_ns(uint64_t start, uint64_t end, uint64_t hz)
{
	return sys_cnt_ticks_to_ns(end - start, hz);
}

#endif /* STUB_DEVICE_TIME_H */
