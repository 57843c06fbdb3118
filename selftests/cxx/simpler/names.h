/* SPDX-License-Identifier: MIT */
/*
 * What the tests call the names of G1 and G2. CLASS(Name), FUNCTION(name) and CONSTANT(NAME)
 * spell those of the generation.
 */
#ifndef CXX_SIMPLER_NAMES_H
#define CXX_SIMPLER_NAMES_H

namespace gen {

using Desc = CLASS(OrchRegionDesc);
using Cmp = CLASS(OrchWaitCmp);
using NotifyOp = CLASS(OrchNotifyOp);
using Check = CLASS(OrchCommValidationError);
using View = CLASS(OrchPayloadView);
using Sample = CLASS(OrchSignalTestResult);
using RawKind = CLASS(EndpointErrorKind);
using RawError = CLASS(EndpointError);
using Raw = CLASS(OrchEndpoint);

using Args = CLASS(QueueArgs);
using Layout = CLASS(QueueLayout);
using Slot = CLASS(QueueDescSlot);
using Handle = CLASS(QueueInputHandle);
using Reservation = CLASS(QueueOutputReservation);
using Opcode = CLASS(QueueOpcode);
using Kind = CLASS(QueueErrorKind);
using Error = CLASS(QueueError);
using Status = CLASS(QueueTimeoutStatus);

constexpr uint64_t kQueueVersion = CONSTANT(QUEUE_MAGIC_VERSION);

} /* namespace gen */

#endif /* CXX_SIMPLER_NAMES_H */
