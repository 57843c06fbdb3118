/* SPDX-License-Identifier: MIT */
/* The platform's time, from G1b on. */
#ifndef CXX_SIMPLER_DEVICE_TIME_H
#define CXX_SIMPLER_DEVICE_TIME_H

namespace gen {

inline uint64_t ticks_to_ns(uint64_t ticks, uint64_t hz)
{
	return sys_cnt_ticks_to_ns(ticks, hz);
}

inline uint64_t elapsed_ns(uint64_t start, uint64_t end, uint64_t hz)
{
	return sys_cnt_elapsed_ns(start, end, hz);
}

inline uint64_t frequency_hz()
{
	return device_time_frequency_hz();
}

} /* namespace gen */

#endif /* CXX_SIMPLER_DEVICE_TIME_H */
