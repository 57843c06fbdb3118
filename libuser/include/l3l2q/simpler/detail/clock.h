/* SPDX-License-Identifier: MIT */
/* Internal to l3l2q/simpler: the processor's counter, or the monotonic clock of the system. */
#ifndef L3L2Q_SIMPLER_CLOCK_H
#define L3L2Q_SIMPLER_CLOCK_H

#include "base.h"

#if !defined(__aarch64__)
#include <time.h>
#endif

namespace l3l2q::simpler {

constexpr uint64_t kNsPerSecond = 1000000000;

inline uint64_t now_ticks() noexcept
{
#if defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
	return ticks;
#else
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return static_cast<uint64_t>(now.tv_sec) * kNsPerSecond + static_cast<uint64_t>(now.tv_nsec);
#endif
}

inline uint64_t frequency_hz() noexcept
{
#if defined(__aarch64__)
	uint64_t hz;

	__asm__("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz;
#else
	return kNsPerSecond;
#endif
}

/* A frequency of 0 makes every time infinite, and so does one that has no number. */
constexpr uint64_t ticks_to_ns(uint64_t ticks, uint64_t hz) noexcept
{
	if (!hz || ticks / hz >= UINT64_MAX / kNsPerSecond)
		return UINT64_MAX;
	return ticks / hz * kNsPerSecond + ticks % hz * kNsPerSecond / hz;
}

/* Turns of a waiting loop. The clock is read at the start and then every 1024 turns. */
template <typename Clock>
class Spin {
public:
	explicit Spin(uint64_t timeout_ns) : timeout_ns_(timeout_ns), start_(timeout_ns ? Clock::now() : 0) {}

	/* With a time-out of 0 the first turn is the last. */
	bool expired()
	{
		l3l2q_relax();
		if (!timeout_ns_)
			return true;
		return ++turns_ % 1024 == 0 && Clock::ns_since(start_) >= timeout_ns_;
	}

private:
	uint64_t timeout_ns_;
	uint64_t start_;
	uint32_t turns_ = 0;
};

} /* namespace l3l2q::simpler */

#endif /* L3L2Q_SIMPLER_CLOCK_H */
