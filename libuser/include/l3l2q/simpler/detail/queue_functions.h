/* SPDX-License-Identifier: MIT */
/*
 * Internal to l3l2q/simpler: the functions for queues that G1 and G2 have. Included once for
 * each spelling, without a guard: L3L2Q_NAME(f) spells a name, L3L2Q_OUT(type) is a pointer or a reference,
 * L3L2Q_QUEUE is the generation's OrchQueueTypes and L3L2Q_ORCH its Orch.
 */
constexpr uint64_t L3L2Q_NAME(magic_version)()
{
	return L3L2Q_QUEUE::magic_version();
}

constexpr bool L3L2Q_NAME(is_power_of_two)(uint64_t value)
{
	return ::l3l2q::simpler::is_power_of_two(value);
}

constexpr uint64_t L3L2Q_NAME(align_up)(uint64_t value, uint64_t align)
{
	return ::l3l2q::simpler::align_up(value, align);
}

inline bool L3L2Q_NAME(align_up_checked)(uint64_t value, uint64_t align, uint64_t *out)
{
	return ::l3l2q::simpler::align_up_checked(value, align, out);
}

/* As a number or by its name. */
template <typename Opcode>
constexpr bool L3L2Q_NAME(valid_opcode)(Opcode opcode)
{
	return L3L2Q_QUEUE::is_input(static_cast<uint64_t>(opcode));
}

inline bool L3L2Q_NAME(make_layout)(uint64_t depth, uint64_t input_arena_bytes, uint64_t output_arena_bytes,
			      L3L2Q_OUT(L3L2Q_QUEUE::Layout) layout)
{
	return ::l3l2q::simpler::make_layout(depth, input_arena_bytes, output_arena_bytes, layout);
}

inline bool L3L2Q_NAME(validate_region)(const L3L2Q_ORCH::RegionDesc &desc, const L3L2Q_QUEUE::Args &args, L3L2Q_QUEUE::Layout *layout)
{
	return L3L2Q_QUEUE::validate_region(desc, args, layout);
}

template <typename Opcode>
void L3L2Q_NAME(encode_desc)(L3L2Q_QUEUE::DescSlot *slot, uint64_t seq, Opcode opcode, uint64_t payload_offset,
		       uint64_t payload_nbytes)
{
	L3L2Q_QUEUE::encode_desc(slot, seq, opcode, payload_offset, payload_nbytes);
}

inline bool L3L2Q_NAME(reconstruct_counter)(int32_t observed, uint64_t depth, L3L2Q_OUT(uint64_t) count)
{
	return ::l3l2q::simpler::reconstruct_counter(observed, depth, count);
}
