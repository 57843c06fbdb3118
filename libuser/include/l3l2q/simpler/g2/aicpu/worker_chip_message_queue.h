/* SPDX-License-Identifier: MIT */
/* The queue of simpler as in its commit 6ebaf7715, see l3l2q-simpler(7). */
#ifndef WORKER_CHIP_MESSAGE_QUEUE_H
#define WORKER_CHIP_MESSAGE_QUEUE_H

#include "worker_chip_orch_endpoint.h"

#include "../../detail/queue.h"

namespace l3l2q::simpler {

struct WorkerChipLayout {
	uint64_t depth;
	uint64_t input_desc_offset;
	uint64_t output_desc_offset;
	uint64_t input_arena_offset;
	uint64_t output_arena_offset;
	uint64_t input_arena_bytes;
	uint64_t output_arena_bytes;
	uint64_t payload_bytes;
	uint64_t input_desc_tail_offset;
	uint64_t input_desc_head_offset;
	uint64_t output_desc_tail_offset;
	uint64_t output_desc_head_offset;
	uint64_t worker_abort_flag_offset;
	uint64_t chip_abort_flag_offset;
	uint64_t counter_bytes;
};

inline void put_abort_offsets(WorkerChipLayout &layout, uint64_t worker, uint64_t chip)
{
	layout.worker_abort_flag_offset = worker;
	layout.chip_abort_flag_offset = chip;
}

using WorkerChipQueue = OrchQueueTypes<G2>;

} /* namespace l3l2q::simpler */

using WorkerChipQueueOpcode = l3l2q::simpler::WorkerChipQueue::Opcode;
using WorkerChipQueueErrorKind = l3l2q::simpler::WorkerChipQueue::ErrorKind;
using WorkerChipQueueTimeoutStatus = l3l2q::simpler::WorkerChipQueue::TimeoutStatus;
using WorkerChipQueueOp = l3l2q::simpler::QueueOp;
using WorkerChipQueueDescSlot = l3l2q::simpler::WorkerChipQueue::DescSlot;
using WorkerChipQueueLayout = l3l2q::simpler::WorkerChipQueue::Layout;
using WorkerChipQueueArgs = l3l2q::simpler::WorkerChipQueue::Args;
using WorkerChipQueueInputHandle = l3l2q::simpler::WorkerChipQueue::Handle;
using WorkerChipQueueOutputReservation = l3l2q::simpler::WorkerChipQueue::Reservation;
using WorkerChipQueueError = l3l2q::simpler::WorkerChipQueue::Error;

static_assert(sizeof(WorkerChipQueueError) == 272, "as in the reference");

inline constexpr uint32_t WORKER_CHIP_QUEUE_MAGIC = L3L2Q_QUEUE_MAGIC;
inline constexpr uint16_t WORKER_CHIP_QUEUE_ABI_MAJOR = 1;
inline constexpr uint16_t WORKER_CHIP_QUEUE_ABI_MINOR = 1;
inline constexpr uint64_t WORKER_CHIP_QUEUE_MAGIC_VERSION = l3l2q::simpler::kQueueVersion;
inline constexpr uint64_t WORKER_CHIP_QUEUE_DESC_SLOT_BYTES = L3L2Q_DESC_BYTES;
inline constexpr uint64_t WORKER_CHIP_QUEUE_DESC_RING_ALIGNMENT = 8;
inline constexpr uint64_t WORKER_CHIP_QUEUE_PAYLOAD_ARENA_ALIGNMENT = L3L2Q_ARENA_ALIGN;
inline constexpr uint64_t WORKER_CHIP_QUEUE_COUNTER_STRIDE = L3L2Q_LINE_BYTES;
inline constexpr uint64_t WORKER_CHIP_QUEUE_INPUT_DESC_TAIL_OFFSET = L3L2Q_CTR_INPUT_TAIL;
inline constexpr uint64_t WORKER_CHIP_QUEUE_INPUT_DESC_HEAD_OFFSET = L3L2Q_CTR_INPUT_HEAD;
inline constexpr uint64_t WORKER_CHIP_QUEUE_OUTPUT_DESC_TAIL_OFFSET = L3L2Q_CTR_OUTPUT_TAIL;
inline constexpr uint64_t WORKER_CHIP_QUEUE_OUTPUT_DESC_HEAD_OFFSET = L3L2Q_CTR_OUTPUT_HEAD;
inline constexpr uint64_t WORKER_CHIP_QUEUE_WORKER_ABORT_FLAG_OFFSET = L3L2Q_CTR_L3_ABORT;
inline constexpr uint64_t WORKER_CHIP_QUEUE_CHIP_ABORT_FLAG_OFFSET = L3L2Q_CTR_L2_ABORT;
inline constexpr uint64_t WORKER_CHIP_QUEUE_COUNTER_BYTES = L3L2Q_COUNTER_BYTES;
inline constexpr uint64_t WORKER_CHIP_QUEUE_MAX_DEPTH = L3L2Q_MAX_DEPTH;

constexpr const char *worker_chip_queue_op_to_string(WorkerChipQueueOp op)
{
	return l3l2q::simpler::queue_op_name(op);
}

#define L3L2Q_OUT(type) type &
#define L3L2Q_ORCH l3l2q::simpler::WorkerChipOrch
#define L3L2Q_QUEUE l3l2q::simpler::WorkerChipQueue

namespace worker_chip_message_queue {
#define L3L2Q_NAME(name) name
#include "../../detail/queue_functions.h"
#undef L3L2Q_NAME
} /* namespace worker_chip_message_queue */

#define L3L2Q_NAME(name) worker_chip_queue_##name
#include "../../detail/queue_functions.h"
#undef L3L2Q_NAME

#undef L3L2Q_QUEUE
#undef L3L2Q_ORCH
#undef L3L2Q_OUT

template <uint64_t MaxInflight = 1>
using WorkerChipQueueEndpoint = l3l2q::simpler::QueueEndpoint<l3l2q::simpler::G2, MaxInflight>;

#endif /* WORKER_CHIP_MESSAGE_QUEUE_H */
