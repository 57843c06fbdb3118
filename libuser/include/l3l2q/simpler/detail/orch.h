/* SPDX-License-Identifier: MIT */
/*
 * Internal to l3l2q/simpler: a region by its six scalars, and the raw endpoint over it, of G1
 * and G2. Traits<Gen> says how a generation differs:
 *	kRegionMajor		of the magic_version
 *	kRefusesZeroBase	a part at address 0 is refused
 *	kOverflowIsBadRange	a payload access that wraps is BAD_PAYLOAD_RANGE
 *	kSpansHaveText		bad parts are told from other bad scalars
 *	kBadDescriptor, kBadScalars	texts
 *	Op, Text		how an error names its operation, and has its text
 *	Cache, Clock
 *	QueueLayout		structure of a queue's layout
 *	kHandleHasBody		release compares the view of the body too
 *	kLastIsStop		the peek that meets STOP looks for a later message
 */
#ifndef L3L2Q_SIMPLER_ORCH_H
#define L3L2Q_SIMPLER_ORCH_H

#include "region.h"

namespace l3l2q::simpler {

template <typename Gen>
struct Traits;

constexpr uint64_t pack_magic_version(uint32_t magic, uint16_t major, uint16_t minor) noexcept
{
	return static_cast<uint64_t>(magic) << 32 | static_cast<uint64_t>(major) << 16 | minor;
}

constexpr uint32_t magic(uint64_t magic_version) noexcept
{
	return static_cast<uint32_t>(magic_version >> 32);
}

constexpr uint16_t abi_major(uint64_t magic_version) noexcept
{
	return static_cast<uint16_t>(magic_version >> 16);
}

constexpr uint16_t abi_minor(uint64_t magic_version) noexcept
{
	return static_cast<uint16_t>(magic_version);
}

constexpr uint64_t add_sat(uint64_t a, uint64_t b) noexcept
{
	return add_overflows(a, b) ? UINT64_MAX : a + b;
}

constexpr bool is_aligned_runtime(uint64_t value, uint64_t align) noexcept
{
	return align && value % align == 0;
}

template <uint64_t Align>
constexpr bool is_aligned(uint64_t value) noexcept
{
	static_assert(Align > 0, "nothing is aligned to 0");
	return value % Align == 0;
}

constexpr bool range_contains(uint64_t base, uint64_t size, uint64_t value) noexcept
{
	return value >= base && value - base < size;
}

constexpr bool ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) noexcept
{
	return a < add_sat(b, b_size) && b < add_sat(a, a_size);
}

inline void copy_error_message(char *to, size_t size, const char *text) noexcept
{
	copy_text(to, size, text);
}

template <typename Gen>
struct Orch {
	using T = Traits<Gen>;

	/* ---- structures ---- */

	enum class NotifyOp : uint32_t { Set = 0, Add = 1 };
	enum class WaitCmp : uint32_t { EQ = 0, NE = 1, GT = 2, GE = 3, LT = 4, LE = 5 };

	enum class ValidationError : uint32_t {
		OK = L3L2Q_CHECK_OK,
		BAD_MAGIC_VERSION = L3L2Q_CHECK_MAGIC,
		BAD_REGION_ID = L3L2Q_CHECK_REGION_ID,
		BAD_PAYLOAD_RANGE = L3L2Q_CHECK_PAYLOAD_RANGE,
		BAD_COUNTER_RANGE = L3L2Q_CHECK_COUNTER_RANGE,
		OUT_OF_BOUNDS = L3L2Q_CHECK_OUT_OF_BOUNDS,
		BAD_SCALAR_COUNT = L3L2Q_CHECK_SCALAR_COUNT,
		NULL_POINTER = L3L2Q_CHECK_NULL,
	};

	struct RegionDesc {
		uint64_t magic_version;
		uint64_t region_id;
		uint64_t payload_base;
		uint64_t payload_bytes;
		uint64_t counter_base;
		uint64_t counter_bytes;
	};

	struct PayloadView {
		uint64_t gm_addr;
		uint64_t nbytes;
	};

	struct SignalTestResult {
		bool matched;
		int32_t observed;
	};

	enum class EndpointErrorKind : uint32_t {
		NONE = 0,
		BAD_DESCRIPTOR = 1,
		OUT_OF_BOUNDS = 2,
		SIGNAL_TIMEOUT = 3,
		SIGNAL_PROTOCOL = 4,
		LOCAL_OPERATION = 5,
	};

	enum class EndpointOp : uint32_t {
		INIT = 1,
		COUNTER_ADDR = 2,
		PAYLOAD_READ = 3,
		PAYLOAD_WRITE = 4,
		SIGNAL_NOTIFY = 5,
		SIGNAL_TEST = 6,
		SIGNAL_WAIT = 7,
	};

	struct EndpointError {
		EndpointErrorKind kind;
		typename T::template Op<EndpointOp> op;
		uint64_t region_id;
		uint64_t counter_addr;
		int32_t counter_operand;
		int32_t observed_counter;
		typename T::Text message;
	};

	static_assert(sizeof(RegionDesc) == 48 && sizeof(PayloadView) == 16, "as in the reference");

	/* ---- functions ---- */

	static constexpr uint64_t magic_version() noexcept
	{
		return pack_magic_version(L3L2Q_REGION_MAGIC, T::kRegionMajor, 0);
	}

	static constexpr ValidationError validate_payload_bounds(uint64_t offset, uint64_t nbytes,
								 uint64_t payload_bytes) noexcept
	{
		if (!nbytes || (T::kOverflowIsBadRange && add_overflows(offset, nbytes)))
			return ValidationError::BAD_PAYLOAD_RANGE;
		if (add_overflows(offset, nbytes) || offset + nbytes > payload_bytes)
			return ValidationError::OUT_OF_BOUNDS;
		return ValidationError::OK;
	}

	static constexpr ValidationError validate_counter_range(uint64_t base, uint64_t bytes) noexcept
	{
		return region_validate_counter_span({base, bytes}) ? ValidationError::OK :
								      ValidationError::BAD_COUNTER_RANGE;
	}

	static ValidationError validate_desc(const RegionDesc &desc) noexcept
	{
		const l3l2q_region_desc parts = {0, 0, desc.payload_base, desc.payload_bytes,
						 desc.counter_base, desc.counter_bytes};

		if (magic(desc.magic_version) != L3L2Q_REGION_MAGIC || abi_major(desc.magic_version) != T::kRegionMajor)
			return ValidationError::BAD_MAGIC_VERSION;
		if (!desc.region_id)
			return ValidationError::BAD_REGION_ID;
		if (T::kRefusesZeroBase && !desc.payload_base)
			return ValidationError::BAD_PAYLOAD_RANGE;
		if (T::kRefusesZeroBase && !desc.counter_base && l3l2q_ranges_check(&parts) != L3L2Q_CHECK_PAYLOAD_RANGE)
			return ValidationError::BAD_COUNTER_RANGE;
		return static_cast<ValidationError>(l3l2q_ranges_check(&parts));
	}

	static ValidationError validate_counter_addr(const RegionDesc &desc, uint64_t address) noexcept
	{
		if (address < desc.counter_base)
			return ValidationError::OUT_OF_BOUNDS;
		return static_cast<ValidationError>(
			l3l2q_counter_check(desc.counter_bytes, address - desc.counter_base));
	}

	static bool encode_desc(const RegionDesc &desc, uint64_t *scalars, size_t count) noexcept
	{
		if (!scalars || count < L3L2Q_REGION_SCALARS)
			return false;
		__builtin_memcpy(scalars, &desc, sizeof(desc));
		return true;
	}

	/* Scalars beyond the sixth are not looked at. @desc is written although it may be bad. */
	static bool decode_desc(const uint64_t *scalars, size_t count, RegionDesc *desc, ValidationError *error) noexcept
	{
		ValidationError result;

		if (!scalars || !desc) {
			result = ValidationError::NULL_POINTER;
		} else if (count < L3L2Q_REGION_SCALARS) {
			result = ValidationError::BAD_SCALAR_COUNT;
		} else {
			__builtin_memcpy(desc, scalars, sizeof(*desc));
			result = validate_desc(*desc);
		}
		if (error)
			*error = result;
		return result == ValidationError::OK;
	}

	static constexpr bool as_region_notify_op(NotifyOp op, RegionNotifyOp &out) noexcept
	{
		out = static_cast<RegionNotifyOp>(op);
		return region_valid_notify_op(out);
	}

	static constexpr bool as_region_wait_cmp(WaitCmp cmp, RegionWaitCmp &out) noexcept
	{
		out = static_cast<RegionWaitCmp>(cmp);
		return region_valid_wait_cmp(out);
	}

	static constexpr bool valid_notify_op(NotifyOp op) noexcept
	{
		return region_valid_notify_op(static_cast<RegionNotifyOp>(op));
	}

	static constexpr bool valid_wait_cmp(WaitCmp cmp) noexcept
	{
		return region_valid_wait_cmp(static_cast<RegionWaitCmp>(cmp));
	}

	static constexpr bool compare_counter(int32_t observed, int32_t value, WaitCmp cmp) noexcept
	{
		return region_compare_counter(observed, value, static_cast<RegionWaitCmp>(cmp));
	}

	static constexpr const char *endpoint_op_name(EndpointOp op) noexcept
	{
		switch (op) {
		case EndpointOp::INIT: return "init";
		case EndpointOp::COUNTER_ADDR: return "counter_addr";
		case EndpointOp::PAYLOAD_READ: return "payload_read";
		case EndpointOp::PAYLOAD_WRITE: return "payload_write";
		case EndpointOp::SIGNAL_NOTIFY: return "signal_notify";
		case EndpointOp::SIGNAL_TEST: return "signal_test";
		case EndpointOp::SIGNAL_WAIT: return "signal_wait";
		}
		return "unknown";
	}

	static constexpr EndpointErrorKind endpoint_error_kind(RegionViewErrorKind kind) noexcept
	{
		switch (kind) {
		case RegionViewErrorKind::NONE: return EndpointErrorKind::NONE;
		case RegionViewErrorKind::INVALID_VIEW: return EndpointErrorKind::BAD_DESCRIPTOR;
		case RegionViewErrorKind::OUT_OF_BOUNDS: return EndpointErrorKind::OUT_OF_BOUNDS;
		case RegionViewErrorKind::INVALID_ENUM: return EndpointErrorKind::SIGNAL_PROTOCOL;
		case RegionViewErrorKind::TIMEOUT: return EndpointErrorKind::SIGNAL_TIMEOUT;
		case RegionViewErrorKind::ISSUED_FAILURE: return EndpointErrorKind::LOCAL_OPERATION;
		}
		return EndpointErrorKind::LOCAL_OPERATION;
	}

	static constexpr void put_op(EndpointOp &to, EndpointOp op) noexcept { to = op; }
	static constexpr void put_op(const char *&to, EndpointOp op) noexcept { to = endpoint_op_name(op); }
};

/* The endpoint of a raw region. Its first error stays, whatever it is. Addresses are absolute. */
template <typename Gen, typename Ops>
class OrchEndpoint {
	using T = Traits<Gen>;
	using O = Orch<Gen>;
	using Op = typename O::EndpointOp;
	using Kind = typename O::EndpointErrorKind;

public:
	using View = RegionView<Ops, typename T::Clock>;

	explicit OrchEndpoint(const typename O::RegionDesc &desc) : desc_(desc)
	{
		start(O::validate_desc(desc_), T::kBadDescriptor);
	}
	OrchEndpoint(const uint64_t *scalars, size_t count)
	{
		typename O::ValidationError check;

		O::decode_desc(scalars, count, &desc_, &check);
		start(check, T::kBadScalars);
	}

	const typename O::EndpointError &error() const { return error_; }
	const typename O::RegionDesc &descriptor() const { return desc_; }
	View &view() { return view_; }
	const View &view() const { return view_; }
	/* The error's text as a static string. */
	const char *error_text() const { return text_; }

	bool counter_addr(uint64_t offset, uint64_t &out)
	{
		out = 0;
		return live() && (view_.counter_addr(offset, out) || fail(Op::COUNTER_ADDR));
	}

	bool validate_counter_addr(uint64_t address) const { return live() && view_.counter_contains(address); }

	bool payload_read(uint64_t offset, uint64_t nbytes, typename O::PayloadView &out)
	{
		RegionPayloadView view{};
		bool ok = live() && (view_.payload_read(offset, nbytes, view) || fail(Op::PAYLOAD_READ));

		out = {view.local_addr, view.nbytes};
		return ok;
	}

	bool payload_write(uint64_t offset, const void *from, uint64_t nbytes)
	{
		return live() && (view_.payload_write(offset, from, nbytes) || fail(Op::PAYLOAD_WRITE));
	}

	bool signal_notify(uint64_t address, int32_t value, typename O::NotifyOp op)
	{
		const Signal signal = {Op::SIGNAL_NOTIFY, address, value};
		RegionNotifyOp how{};

		if (!live() || !check_address(signal))
			return false;
		if (!O::as_region_notify_op(op, how))
			return fail(signal, Kind::SIGNAL_PROTOCOL, "invalid notify operation");
		return view_.notify(offset_of(address), value, how) || fail(signal);
	}

	bool signal_test(uint64_t address, int32_t value, typename O::WaitCmp cmp, typename O::SignalTestResult &out)
	{
		const Signal signal = {Op::SIGNAL_TEST, address, value};
		RegionWaitCmp how{};

		out = {};
		return live() && check_address(signal) && check_cmp(signal, cmp, how) &&
		       (view_.test(offset_of(address), value, how, out) || fail(signal));
	}

	bool signal_wait(uint64_t address, int32_t value, typename O::WaitCmp cmp, uint64_t timeout_ns, int32_t &observed)
	{
		const Signal signal = {Op::SIGNAL_WAIT, address, value};
		RegionWaitCmp how{};

		observed = 0;
		return live() && check_address(signal) && check_cmp(signal, cmp, how) &&
		       (view_.wait(offset_of(address), value, how, timeout_ns, observed) || fail(signal));
	}

private:
	/* What an error of a counter call has beside its text. */
	struct Signal {
		Op op;
		uint64_t address;
		int32_t value;
	};

	void start(typename O::ValidationError check, const char *text)
	{
		bool bad_parts = check == O::ValidationError::BAD_PAYLOAD_RANGE ||
				 check == O::ValidationError::BAD_COUNTER_RANGE;

		error_.region_id = desc_.region_id;
		if (check == O::ValidationError::OK || (T::kSpansHaveText && bad_parts))
			view_ = View({desc_.payload_base, desc_.payload_bytes},
				     {desc_.counter_base, desc_.counter_bytes});
		if (check == O::ValidationError::OK)
			return;
		fail({Op::INIT, 0, 0}, Kind::BAD_DESCRIPTOR,
		     T::kSpansHaveText && bad_parts ? "invalid independent local spans" : text);
	}

	bool live() const { return error_.kind == Kind::NONE; }
	uint64_t offset_of(uint64_t address) const { return address - desc_.counter_base; }

	bool check_address(const Signal &signal)
	{
		return view_.counter_contains(signal.address) ||
		       fail(signal, Kind::OUT_OF_BOUNDS, "invalid counter address");
	}
	bool check_cmp(const Signal &signal, typename O::WaitCmp cmp, RegionWaitCmp &how)
	{
		return O::as_region_wait_cmp(cmp, how) ||
		       fail(signal, Kind::SIGNAL_PROTOCOL, "invalid wait comparison");
	}

	bool fail(const Signal &signal, Kind kind, const char *text, int32_t observed = 0)
	{
		error_.kind = kind;
		O::put_op(error_.op, signal.op);
		error_.counter_addr = signal.address;
		error_.counter_operand = signal.value;
		error_.observed_counter = observed;
		put_text(error_.message, text);
		text_ = text;
		return false;
	}
	/* The error is the view's. */
	bool fail(const Signal &signal)
	{
		return fail(signal, O::endpoint_error_kind(view_.error().kind), view_.error_text(),
			    view_.error().observed);
	}
	bool fail(Op op) { return fail(Signal{op, 0, 0}); }

	typename O::RegionDesc desc_{};
	typename O::EndpointError error_{};
	const char *text_ = "";
	View view_;
};

} /* namespace l3l2q::simpler */

#endif /* L3L2Q_SIMPLER_ORCH_H */
