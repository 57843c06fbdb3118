// SPDX-License-Identifier: MIT
/* The names of simpler's commit 6ebaf7715, as an orchestration includes them. */
#include <stdint.h>
#include <string.h>
#include "aicpu/worker_chip_message_queue.h"
#include "pto_orchestration_api.h"

#define CLASS(name) WorkerChip##name
#define FUNCTION(name) worker_chip_##name
#define CONSTANT(name) WORKER_CHIP_##name
#include "simpler/by_reference.h"

namespace gen {

constexpr uint64_t kRegionVersion = 0x4C334C3200030000;
constexpr const char *kBadDescriptor = "invalid compatibility descriptor";
constexpr const char *kBadScalars = kBadDescriptor;

inline uint64_t l3_abort_offset(const Layout &l)
{
	return l.worker_abort_flag_offset;
}

inline uint64_t l2_abort_offset(const Layout &l)
{
	return l.chip_abort_flag_offset;
}

} /* namespace gen */

#include "simpler/device_time.h"

#include "simpler/queue_tests.h"
#include "simpler/window_tests.h"
#include "simpler/endpoint_tests.h"
