/* SPDX-License-Identifier: MIT */
/* Internal to l3l2q/simpler: names that G1a and G1b share for queues. */
#ifndef L3L2Q_SIMPLER_L3L2_QUEUE_H
#define L3L2Q_SIMPLER_L3L2_QUEUE_H

#include "l3l2_endpoint.h"
#include "queue.h"

namespace l3l2q::simpler {

template <typename Gen>
struct L3L2Layout {
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
	uint64_t l3_abort_flag_offset;
	uint64_t l2_abort_flag_offset;
	uint64_t counter_bytes;
};

template <typename Gen>
void put_abort_offsets(L3L2Layout<Gen> &layout, uint64_t l3, uint64_t l2)
{
	layout.l3_abort_flag_offset = l3;
	layout.l2_abort_flag_offset = l2;
}

using L3L2Queue = OrchQueueTypes<L3L2Gen>;

} /* namespace l3l2q::simpler */

using L3L2QueueOpcode = l3l2q::simpler::L3L2Queue::Opcode;
using L3L2QueueErrorKind = l3l2q::simpler::L3L2Queue::ErrorKind;
using L3L2QueueTimeoutStatus = l3l2q::simpler::L3L2Queue::TimeoutStatus;
using L3L2QueueDescSlot = l3l2q::simpler::L3L2Queue::DescSlot;
using L3L2QueueLayout = l3l2q::simpler::L3L2Queue::Layout;
using L3L2QueueArgs = l3l2q::simpler::L3L2Queue::Args;
using L3L2QueueInputHandle = l3l2q::simpler::L3L2Queue::Handle;
using L3L2QueueOutputReservation = l3l2q::simpler::L3L2Queue::Reservation;
using L3L2QueueError = l3l2q::simpler::L3L2Queue::Error;

inline constexpr uint32_t L3L2_QUEUE_MAGIC = L3L2Q_QUEUE_MAGIC;
inline constexpr uint16_t L3L2_QUEUE_ABI_MAJOR = 1;
inline constexpr uint16_t L3L2_QUEUE_ABI_MINOR = 1;
inline constexpr uint64_t L3L2_QUEUE_MAGIC_VERSION = l3l2q::simpler::kQueueVersion;
inline constexpr uint64_t L3L2_QUEUE_DESC_SLOT_BYTES = L3L2Q_DESC_BYTES;
inline constexpr uint64_t L3L2_QUEUE_DESC_RING_ALIGNMENT = 8;
inline constexpr uint64_t L3L2_QUEUE_PAYLOAD_ARENA_ALIGNMENT = L3L2Q_ARENA_ALIGN;
inline constexpr uint64_t L3L2_QUEUE_COUNTER_STRIDE = L3L2Q_LINE_BYTES;
inline constexpr uint64_t L3L2_QUEUE_INPUT_DESC_TAIL_OFFSET = L3L2Q_CTR_INPUT_TAIL;
inline constexpr uint64_t L3L2_QUEUE_INPUT_DESC_HEAD_OFFSET = L3L2Q_CTR_INPUT_HEAD;
inline constexpr uint64_t L3L2_QUEUE_OUTPUT_DESC_TAIL_OFFSET = L3L2Q_CTR_OUTPUT_TAIL;
inline constexpr uint64_t L3L2_QUEUE_OUTPUT_DESC_HEAD_OFFSET = L3L2Q_CTR_OUTPUT_HEAD;
inline constexpr uint64_t L3L2_QUEUE_L3_ABORT_FLAG_OFFSET = L3L2Q_CTR_L3_ABORT;
inline constexpr uint64_t L3L2_QUEUE_L2_ABORT_FLAG_OFFSET = L3L2Q_CTR_L2_ABORT;
inline constexpr uint64_t L3L2_QUEUE_COUNTER_BYTES = L3L2Q_COUNTER_BYTES;
inline constexpr uint64_t L3L2_QUEUE_MAX_DEPTH = L3L2Q_MAX_DEPTH;

#endif /* L3L2Q_SIMPLER_L3L2_QUEUE_H */
