/* SPDX-License-Identifier: MIT */
/* The queue of simpler as in its commit 438d5cb1d (#1236), see l3l2q-simpler(7). */
#ifndef L3_L2_MESSAGE_QUEUE_H
#define L3_L2_MESSAGE_QUEUE_H

#include "l3_l2_orch_endpoint.h"

#include "../../detail/l3l2_queue.h"

using L3L2QueueOp = l3l2q::simpler::QueueOp;

constexpr const char *l3_l2_queue_op_to_string(L3L2QueueOp op)
{
	return l3l2q::simpler::queue_op_name(op);
}

static_assert(sizeof(L3L2QueueError) == 272, "as in the reference");

namespace l3_l2_message_queue {
#define L3L2Q_NAME(name) name
#define L3L2Q_OUT(type) type &
#define L3L2Q_ORCH l3l2q::simpler::L3L2Orch
#define L3L2Q_QUEUE l3l2q::simpler::L3L2Queue
#include "../../detail/queue_functions.h"
#undef L3L2Q_QUEUE
#undef L3L2Q_ORCH
#undef L3L2Q_OUT
#undef L3L2Q_NAME
} /* namespace l3_l2_message_queue */

template <uint64_t MaxInflight = 1>
using L3L2QueueEndpoint = l3l2q::simpler::QueueEndpoint<l3l2q::simpler::G1b, MaxInflight>;

#endif /* L3_L2_MESSAGE_QUEUE_H */
