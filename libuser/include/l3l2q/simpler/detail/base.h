/* SPDX-License-Identifier: MIT */
/* Internal to l3l2q/simpler: the protocol, and texts in arrays. */
#ifndef L3L2Q_SIMPLER_BASE_H
#define L3L2Q_SIMPLER_BASE_H

#include <stddef.h>
#include <stdint.h>

/* It is C: casts are C's, null pointers are 0. */
#pragma GCC diagnostic push
#if defined(__clang__)
#pragma GCC diagnostic ignored "-Weverything"
#else
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wuseless-cast"
#endif
#include <l3l2q/core.h>

namespace l3l2q::simpler {
inline constexpr uint64_t kQueueVersion = L3L2Q_QUEUE_VERSION;
inline constexpr uint64_t kSpsqVersion = L3L2Q_SPSQ_VERSION;
}
#pragma GCC diagnostic pop

namespace l3l2q::simpler {

/* Generations of the reference, see l3l2q-simpler(7). */
struct G1a;
struct G1b;
struct G2;

constexpr size_t kTextBytes = 256;

/* Append to a terminated text, as far as there is room. */
inline void append_text(char *to, size_t size, const char *text) noexcept
{
	size_t n = 0;

	while (n < size && to[n])
		n++;
	while (n + 1 < size && *text)
		to[n++] = *text++;
	if (n < size)
		to[n] = 0;
}

inline void copy_text(char *to, size_t size, const char *text) noexcept
{
	if (!size)
		return;
	to[0] = 0;
	append_text(to, size, text ? text : "");
}

/* Error structures have a copy of the text, or point to it. */
inline void put_text(char (&to)[kTextBytes], const char *text) noexcept
{
	copy_text(to, kTextBytes, text);
}

inline void put_text(const char *&to, const char *text) noexcept
{
	to = text;
}

constexpr bool add_overflows(uint64_t a, uint64_t b) noexcept
{
	return a + b < a;
}

constexpr bool is_power_of_two(uint64_t v) noexcept
{
	return v && !(v & (v - 1));
}

/* The count as its counter shows it. */
constexpr int32_t low32(uint64_t count) noexcept
{
	return static_cast<int32_t>(static_cast<uint32_t>(count));
}

inline void *pointer_to(uint64_t address) noexcept
{
	return reinterpret_cast<void *>(address);
}

} /* namespace l3l2q::simpler */

#endif /* L3L2Q_SIMPLER_BASE_H */
