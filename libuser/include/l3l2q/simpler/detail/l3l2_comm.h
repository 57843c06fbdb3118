/* SPDX-License-Identifier: MIT */
/* Internal to l3l2q/simpler: names that G1a and G1b share for regions. L3L2Gen is one of them. */
#ifndef L3L2Q_SIMPLER_L3L2_COMM_H
#define L3L2Q_SIMPLER_L3L2_COMM_H

#include "orch.h"

namespace l3l2q::simpler {
using L3L2Orch = Orch<L3L2Gen>;
}

using L3L2OrchRegionDesc = l3l2q::simpler::L3L2Orch::RegionDesc;
using L3L2OrchPayloadView = l3l2q::simpler::L3L2Orch::PayloadView;
using L3L2OrchSignalTestResult = l3l2q::simpler::L3L2Orch::SignalTestResult;
using L3L2OrchNotifyOp = l3l2q::simpler::L3L2Orch::NotifyOp;
using L3L2OrchWaitCmp = l3l2q::simpler::L3L2Orch::WaitCmp;
using L3L2OrchCommValidationError = l3l2q::simpler::L3L2Orch::ValidationError;

/* What L3 asks the host thread of its chip; not used by L2. */
enum class L3L2OrchCommCmd : uint32_t {
	ALLOC_REGION = 1,
	FREE_REGION = 2,
	PAYLOAD_WRITE = 3,
	PAYLOAD_READ = 4,
	SIGNAL_NOTIFY = 5,
	SIGNAL_WAIT = 6,
	SIGNAL_TEST = 7,
};

struct L3L2OrchCommRequest {
	uint32_t cmd;
	uint32_t flags;
	uint64_t region_id;
	uint64_t payload_bytes;
	uint64_t counter_bytes;
	uint64_t offset;
	uint64_t nbytes;
	uint64_t host_ptr;
	int32_t value;
	uint32_t op;
	uint64_t timeout_ns;
};

struct L3L2OrchCommResponse {
	int32_t status;
	uint32_t error_kind;
	uint64_t region_id;
	int32_t observed;
	uint32_t matched;
	uint64_t scalars[6];
	char message[256];
};

static_assert(sizeof(L3L2OrchCommRequest) == 72 && sizeof(L3L2OrchCommResponse) == 328, "as in the reference");

#endif /* L3L2Q_SIMPLER_L3L2_COMM_H */
