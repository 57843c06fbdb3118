/* SPDX-License-Identifier: MIT */
/* Stand-in for the platform's header: counts what the queue asks for. */
#ifndef STUB_CACHE_MAINTENANCE_H
#define STUB_CACHE_MAINTENANCE_H

#include <stddef.h>
#include <stdint.h>

struct CacheCalls {
	uint64_t invalidates;
	uint64_t flushes;
	size_t last_invalidated;
	size_t last_flushed;
};

inline thread_local CacheCalls cache_calls;

inline void cache_invalidate_range(const void *, size_t nbytes)
{
	cache_calls.invalidates++;
	cache_calls.last_invalidated = nbytes;
}

inline void cache_flush_range(const void *, size_t nbytes)
{
	cache_calls.flushes++;
	cache_calls.last_flushed = nbytes;
}

#endif /* STUB_CACHE_MAINTENANCE_H */
