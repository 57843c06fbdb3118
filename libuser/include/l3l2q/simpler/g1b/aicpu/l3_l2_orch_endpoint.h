/* SPDX-License-Identifier: MIT */
/* Raw endpoints of simpler as in its commit 438d5cb1d (#1236), see l3l2q-simpler(7). */
#ifndef L3_L2_ORCH_ENDPOINT_H
#define L3_L2_ORCH_ENDPOINT_H

#include "../common/l3_l2_orch_comm.h"

#include "../../detail/l3l2_endpoint.h"
#include "../../detail/platform.h"

using L3L2EndpointOp = l3l2q::simpler::L3L2Orch::EndpointOp;

constexpr const char *l3_l2_endpoint_op_to_string(L3L2EndpointOp op)
{
	return l3l2q::simpler::L3L2Orch::endpoint_op_name(op);
}

static_assert(sizeof(L3L2EndpointError) == 288, "as in the reference");

using L3L2OrchEndpoint = l3l2q::simpler::OrchEndpoint<l3l2q::simpler::G1b,
						      l3l2q::simpler::CachedMemoryOps<l3l2q::simpler::PlatformCache>>;

#endif /* L3_L2_ORCH_ENDPOINT_H */
