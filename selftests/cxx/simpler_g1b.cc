// SPDX-License-Identifier: MIT
/* The names of simpler's commit 438d5cb1d (#1236), as an orchestration includes them. */
#include <stdint.h>
#include <string.h>
#include "aicpu/l3_l2_message_queue.h"
#include "pto_orchestration_api.h"

#define CLASS(name) L3L2##name
#define FUNCTION(name) l3_l2_##name
#define CONSTANT(name) L3L2_##name
#include "simpler/by_reference.h"

namespace gen {

constexpr uint64_t kRegionVersion = 0x4C334C3200020000;
constexpr const char *kBadDescriptor = "invalid descriptor";
constexpr const char *kBadScalars = "invalid descriptor scalars";

inline uint64_t l3_abort_offset(const Layout &l)
{
	return l.l3_abort_flag_offset;
}

inline uint64_t l2_abort_offset(const Layout &l)
{
	return l.l2_abort_flag_offset;
}

} /* namespace gen */

#include "simpler/device_time.h"

#include "simpler/queue_tests.h"
#include "simpler/window_tests.h"
#include "simpler/endpoint_tests.h"

#include "simpler/twelve_scalars.h"

namespace gen {
using FlowQueue = ScalarQueue<4>;
}

#include "simpler/orchestration.h"
#include "simpler/flow.h"
