/* SPDX-License-Identifier: MIT */
/* Results by reference, operations by number, functions in namespaces: G1b and G2. */
#ifndef CXX_SIMPLER_BY_REFERENCE_H
#define CXX_SIMPLER_BY_REFERENCE_H

#include "names.h"

namespace gen {

using Op = CLASS(QueueOp);
using RawOp = CLASS(EndpointOp);
template <uint64_t Window = 1>
using Endpoint = CLASS(QueueEndpoint)<Window>;

namespace queue = ::FUNCTION(message_queue);
namespace orch = ::FUNCTION(orch_comm);

constexpr bool kReleaseComparesView = true;
constexpr bool kRefusesZeroBase = false;
constexpr bool kOverflowIsBadRange = false;

inline const char *op_name(Op op)
{
	return FUNCTION(queue_op_to_string)(op);
}

inline const char *op_of(const Error &error)
{
	return op_name(error.op);
}

inline const char *op_of(const RawError &error)
{
	return FUNCTION(endpoint_op_to_string)(error.op);
}

} /* namespace gen */

#include "calls_by_reference.h"

#endif /* CXX_SIMPLER_BY_REFERENCE_H */
