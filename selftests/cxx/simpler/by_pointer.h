/* SPDX-License-Identifier: MIT */
/* Results by pointer, operations by name, global functions: G1a. */
#ifndef CXX_SIMPLER_BY_POINTER_H
#define CXX_SIMPLER_BY_POINTER_H

#include "names.h"

namespace gen {

template <uint64_t Window = 1>
using Endpoint = L3L2QueueEndpoint;

constexpr bool kReleaseComparesView = false;
constexpr bool kRefusesZeroBase = true;
constexpr bool kOverflowIsBadRange = true;

/* As namespaces of the later generations. */
namespace queue {

inline bool make_layout(uint64_t depth, uint64_t input, uint64_t output, Layout &out)
{
	return l3_l2_queue_make_layout(depth, input, output, &out);
}

inline bool validate_region(const Desc &desc, const Args &args, Layout *out)
{
	return l3_l2_queue_validate_region(desc, args, out);
}

inline bool align_up_checked(uint64_t value, uint64_t align, uint64_t *out)
{
	return l3_l2_queue_align_up_checked(value, align, out);
}

inline uint64_t align_up(uint64_t value, uint64_t align)
{
	return l3_l2_queue_align_up(value, align);
}

inline void encode_desc(Slot *slot, uint64_t seq, Opcode opcode, uint64_t offset, uint64_t nbytes)
{
	l3_l2_queue_encode_desc(slot, seq, opcode, offset, nbytes);
}

inline bool reconstruct_counter(int32_t observed, uint64_t depth, uint64_t &count)
{
	return l3_l2_queue_reconstruct_counter(observed, depth, &count);
}

} /* namespace queue */

namespace orch {

inline bool decode_desc(const uint64_t *scalars, size_t count, Desc *desc, Check *check)
{
	return l3_l2_orch_comm_decode_desc(scalars, count, desc, check);
}

inline bool encode_desc(const Desc &desc, uint64_t *scalars, size_t count)
{
	return l3_l2_orch_comm_encode_desc(desc, scalars, count);
}

inline Check validate_desc(const Desc &desc)
{
	return l3_l2_orch_comm_validate_desc(desc);
}

inline Check validate_payload_bounds(uint64_t offset, uint64_t nbytes, uint64_t bytes)
{
	return l3_l2_orch_comm_validate_payload_bounds(offset, nbytes, bytes);
}

inline Check validate_counter_addr(const Desc &desc, uint64_t address)
{
	return l3_l2_orch_comm_validate_counter_addr(desc, address);
}

} /* namespace orch */

inline const char *op_of(const Error &error)
{
	return error.op;
}

inline const char *op_of(const RawError &error)
{
	return error.op;
}

template <typename E>
bool try_peek(E &ep, Handle &m)
{
	return ep.input().try_peek(&m);
}

template <typename E>
bool peek(E &ep, uint64_t timeout_ns, Handle &m)
{
	return ep.input().peek(timeout_ns, &m);
}

template <typename E>
bool try_reserve(E &ep, uint64_t nbytes, Reservation &r)
{
	return ep.output().try_reserve(nbytes, &r);
}

template <typename E>
bool reserve(E &ep, uint64_t nbytes, uint64_t timeout_ns, Reservation &r)
{
	return ep.output().reserve(nbytes, timeout_ns, &r);
}

} /* namespace gen */

#endif /* CXX_SIMPLER_BY_POINTER_H */
