/* SPDX-License-Identifier: MIT */
/* Raw endpoints of simpler as in its commit 6ebaf7715, see l3l2q-simpler(7). */
#ifndef WORKER_CHIP_ORCH_ENDPOINT_H
#define WORKER_CHIP_ORCH_ENDPOINT_H

#include "../common/worker_chip_orch_comm.h"
#include "region_instance_view.h"

using WorkerChipEndpointErrorKind = l3l2q::simpler::WorkerChipOrch::EndpointErrorKind;
using WorkerChipEndpointOp = l3l2q::simpler::WorkerChipOrch::EndpointOp;
using WorkerChipEndpointError = l3l2q::simpler::WorkerChipOrch::EndpointError;

static_assert(sizeof(WorkerChipEndpointError) == 288, "as in the reference");

constexpr const char *worker_chip_endpoint_op_to_string(WorkerChipEndpointOp op)
{
	return l3l2q::simpler::WorkerChipOrch::endpoint_op_name(op);
}

constexpr WorkerChipEndpointErrorKind worker_chip_map_view_error_kind(RegionViewErrorKind kind)
{
	return l3l2q::simpler::WorkerChipOrch::endpoint_error_kind(kind);
}

constexpr RegionNotifyOp worker_chip_notify_op_to_region(WorkerChipOrchNotifyOp op)
{
	return static_cast<RegionNotifyOp>(op);
}

constexpr RegionWaitCmp worker_chip_wait_cmp_to_region(WorkerChipOrchWaitCmp cmp)
{
	return static_cast<RegionWaitCmp>(cmp);
}

template <typename Ops = LocalMemoryOps>
using WorkerChipOrchEndpointImpl = l3l2q::simpler::OrchEndpoint<l3l2q::simpler::G2, Ops>;
using WorkerChipOrchEndpoint = WorkerChipOrchEndpointImpl<>;

#endif /* WORKER_CHIP_ORCH_ENDPOINT_H */
