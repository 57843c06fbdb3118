/* SPDX-License-Identifier: MIT */
/*
 * Internal to l3l2q/simpler: the functions for regions that G1 and G2 have. Included once for
 * each spelling, without a guard: L3L2Q_NAME(f) spells a name, L3L2Q_ORCH is the generation's Orch.
 */
constexpr uint64_t L3L2Q_NAME(pack_magic_version)(uint32_t magic, uint16_t major, uint16_t minor)
{
	return ::l3l2q::simpler::pack_magic_version(magic, major, minor);
}

constexpr uint64_t L3L2Q_NAME(magic_version)()
{
	return L3L2Q_ORCH::magic_version();
}

constexpr uint32_t L3L2Q_NAME(magic)(uint64_t magic_version)
{
	return ::l3l2q::simpler::magic(magic_version);
}

constexpr uint16_t L3L2Q_NAME(abi_major)(uint64_t magic_version)
{
	return ::l3l2q::simpler::abi_major(magic_version);
}

constexpr uint16_t L3L2Q_NAME(abi_minor)(uint64_t magic_version)
{
	return ::l3l2q::simpler::abi_minor(magic_version);
}

constexpr bool L3L2Q_NAME(add_overflows)(uint64_t a, uint64_t b)
{
	return ::l3l2q::simpler::add_overflows(a, b);
}

constexpr bool L3L2Q_NAME(range_contains)(uint64_t base, uint64_t size, uint64_t value)
{
	return ::l3l2q::simpler::range_contains(base, size, value);
}

constexpr bool L3L2Q_NAME(ranges_overlap)(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return ::l3l2q::simpler::ranges_overlap(a, a_size, b, b_size);
}

constexpr L3L2Q_ORCH::ValidationError L3L2Q_NAME(validate_payload_bounds)(uint64_t offset, uint64_t nbytes, uint64_t payload_bytes)
{
	return L3L2Q_ORCH::validate_payload_bounds(offset, nbytes, payload_bytes);
}

constexpr L3L2Q_ORCH::ValidationError L3L2Q_NAME(validate_counter_range)(uint64_t base, uint64_t bytes)
{
	return L3L2Q_ORCH::validate_counter_range(base, bytes);
}

inline L3L2Q_ORCH::ValidationError L3L2Q_NAME(validate_desc)(const L3L2Q_ORCH::RegionDesc &desc)
{
	return L3L2Q_ORCH::validate_desc(desc);
}

inline bool L3L2Q_NAME(encode_desc)(const L3L2Q_ORCH::RegionDesc &desc, uint64_t *scalars, size_t count)
{
	return L3L2Q_ORCH::encode_desc(desc, scalars, count);
}

inline bool L3L2Q_NAME(decode_desc)(const uint64_t *scalars, size_t count, L3L2Q_ORCH::RegionDesc *desc,
			      L3L2Q_ORCH::ValidationError *error = nullptr)
{
	return L3L2Q_ORCH::decode_desc(scalars, count, desc, error);
}

constexpr bool L3L2Q_NAME(valid_notify_op)(L3L2Q_ORCH::NotifyOp op)
{
	return L3L2Q_ORCH::valid_notify_op(op);
}

constexpr bool L3L2Q_NAME(valid_wait_cmp)(L3L2Q_ORCH::WaitCmp cmp)
{
	return L3L2Q_ORCH::valid_wait_cmp(cmp);
}

constexpr bool L3L2Q_NAME(compare_counter)(int32_t observed, int32_t value, L3L2Q_ORCH::WaitCmp cmp)
{
	return L3L2Q_ORCH::compare_counter(observed, value, cmp);
}

inline L3L2Q_ORCH::ValidationError L3L2Q_NAME(validate_counter_addr)(const L3L2Q_ORCH::RegionDesc &desc, uint64_t address)
{
	return L3L2Q_ORCH::validate_counter_addr(desc, address);
}
