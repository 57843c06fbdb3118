/* SPDX-License-Identifier: MIT */
/* The queue of simpler as in its #2096, "SPSQ" 1.0, see l3l2q-simpler(7). */
#ifndef REGION_TEMPLATE_H
#define REGION_TEMPLATE_H

#include "region_instance_semantics.h"

#include "../../detail/queue.h"

/* Some platforms have a macro of that name. */
#pragma push_macro("ERROR")
#undef ERROR

namespace spsc_queue {

/* ---- constants ------------------------------------------------------------- */

inline constexpr uint32_t kSpscQueueMagic = L3L2Q_SPSQ_MAGIC;
inline constexpr uint16_t kSpscQueueAbiMajor = 1;
inline constexpr uint16_t kSpscQueueAbiMinor = 0;
inline constexpr uint64_t kSpscQueueMagicVersion = l3l2q::simpler::kSpsqVersion;
inline constexpr size_t kSpscQueueEndpointBindingScalarCount = L3L2Q_SPSQ_SCALARS;
inline constexpr uint64_t kDescriptorBytes = L3L2Q_DESC_BYTES;
inline constexpr uint64_t kArenaAlignment = L3L2Q_ARENA_ALIGN;
inline constexpr uint64_t kDescriptorRingAlignment = 8;
inline constexpr uint64_t kCounterStride = L3L2Q_LINE_BYTES;
inline constexpr uint64_t kCounterBytes = L3L2Q_COUNTER_BYTES;
inline constexpr uint64_t kMaxDepth = L3L2Q_MAX_DEPTH;
inline constexpr uint64_t kInputDescTailOffset = L3L2Q_CTR_INPUT_TAIL;
inline constexpr uint64_t kInputDescHeadOffset = L3L2Q_CTR_INPUT_HEAD;
inline constexpr uint64_t kOutputDescTailOffset = L3L2Q_CTR_OUTPUT_TAIL;
inline constexpr uint64_t kOutputDescHeadOffset = L3L2Q_CTR_OUTPUT_HEAD;
inline constexpr uint64_t kInitiatorAbortOffset = L3L2Q_CTR_L3_ABORT;
inline constexpr uint64_t kPeerAbortOffset = L3L2Q_CTR_L2_ABORT;

/* ---- structures ------------------------------------------------------------ */

enum class SpscQueueOpcode : uint64_t {
	INVALID = L3L2Q_OP_INVALID,
	DATA = L3L2Q_OP_DATA,
	STOP = L3L2Q_OP_STOP,
	ERROR = L3L2Q_OP_ERROR,
};

enum class SpscQueueErrorKind : uint32_t {
	NONE = 0,
	BAD_ARGUMENT = 1,
	BAD_BINDING = 2,
	INVALID_DESCRIPTOR = 3,
	OWNERSHIP = 4,
	REMOTE_ABORTED = 5,
	ENDPOINT_ERROR = 6,
};

using SpscQueueOp = l3l2q::simpler::QueueOp;

struct SpscQueueDescriptor {
	uint64_t seq;
	uint64_t opcode;
	uint64_t payload_offset;
	uint64_t payload_nbytes;
};

struct SpscQueueLayout {
	uint64_t depth;
	uint64_t input_arena_bytes;
	uint64_t output_arena_bytes;
	uint64_t input_desc_offset;
	uint64_t output_desc_offset;
	uint64_t input_arena_offset;
	uint64_t output_arena_offset;
	uint64_t payload_bytes;
	uint64_t input_desc_tail_offset;
	uint64_t input_desc_head_offset;
	uint64_t output_desc_tail_offset;
	uint64_t output_desc_head_offset;
	uint64_t initiator_abort_offset;
	uint64_t peer_abort_offset;
	uint64_t counter_bytes;

	/* False, and @out as it was, if there is no such layout. */
	static bool create(uint64_t depth, uint64_t input_arena_bytes, uint64_t output_arena_bytes, SpscQueueLayout *out);
};

struct SpscQueueEndpointBinding {
	uint64_t magic_version;
	uint64_t session_instance_id_bits;
	uint64_t transaction_id;
	uint64_t payload_base;
	uint64_t payload_bytes;
	uint64_t counter_base;
	uint64_t counter_bytes;
	uint64_t depth;
	uint64_t input_arena_bytes;
	uint64_t output_arena_bytes;
};

struct SpscQueuePayloadView {
	uint64_t local_addr;
	uint64_t nbytes;
};

struct SpscQueueCounterSample {
	bool matched;
	int32_t observed;
};

struct SpscQueueInputHandle {
	uint64_t seq;
	SpscQueueOpcode opcode;
	uint64_t payload_offset;
	uint64_t payload_nbytes;
	SpscQueuePayloadView payload;
	uint64_t owner_cookie;
};

struct SpscQueueOutputReservation {
	uint64_t seq;
	uint64_t payload_offset;
	uint64_t payload_nbytes;
	SpscQueuePayloadView payload;
	uint64_t owner_cookie;
	bool valid;
};

struct SpscQueueError {
	SpscQueueErrorKind kind;
	SpscQueueOp op;
	uint64_t session_instance_id_bits;
	uint64_t transaction_id;
	char message[256];
};

struct MonotonicClock {
	uint64_t (*now_ns)();
};

static_assert(sizeof(SpscQueueDescriptor) == 32 && sizeof(SpscQueueEndpointBinding) == 80, "as in the reference");
static_assert(sizeof(SpscQueueLayout) == 120, "as in the reference");

/* ---- functions ------------------------------------------------------------- */

using l3l2q::simpler::add_overflows;
using l3l2q::simpler::is_power_of_two;

constexpr bool mul_overflows(uint64_t a, uint64_t b)
{
	return a && b > UINT64_MAX / a;
}

inline bool align_up(uint64_t value, uint64_t align, uint64_t *out)
{
	return l3l2q::simpler::align_up_checked(value, align, out);
}

inline void store_u64_le(uint8_t *to, uint64_t value)
{
	for (unsigned int i = 0; i < 8; i++)
		to[i] = static_cast<uint8_t>(value >> 8 * i);
}

inline uint64_t load_u64_le(const uint8_t *from)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < 8; i++)
		value |= static_cast<uint64_t>(from[i]) << 8 * i;
	return value;
}

inline bool session_instance_id_to_bits(const uint8_t *bytes, size_t count, uint64_t *bits)
{
	if (!bytes || count != sizeof(*bits) || !bits)
		return false;
	*bits = load_u64_le(bytes);
	return true;
}

inline bool session_instance_id_from_bits(uint64_t bits, uint8_t *bytes, size_t count)
{
	if (!bytes || count != sizeof(bits))
		return false;
	store_u64_le(bytes, bits);
	return true;
}

inline bool encode_descriptor(const SpscQueueDescriptor &descriptor, uint8_t *bytes, size_t count)
{
	if (!bytes || count != kDescriptorBytes)
		return false;
	__builtin_memcpy(bytes, &descriptor, sizeof(descriptor));
	return true;
}

inline bool decode_descriptor(const uint8_t *bytes, size_t count, SpscQueueDescriptor *descriptor)
{
	if (!bytes || count != kDescriptorBytes || !descriptor)
		return false;
	__builtin_memcpy(descriptor, bytes, sizeof(*descriptor));
	return true;
}

inline bool encode_endpoint_binding(const SpscQueueEndpointBinding &binding, uint64_t *scalars, size_t count)
{
	if (!scalars || count != kSpscQueueEndpointBindingScalarCount)
		return false;
	__builtin_memcpy(scalars, &binding, sizeof(binding));
	return true;
}

/* The values but the first and the third are not looked at. */
inline bool decode_endpoint_binding(const uint64_t *scalars, size_t count, SpscQueueEndpointBinding *binding)
{
	SpscQueueEndpointBinding read;

	if (!scalars || count != kSpscQueueEndpointBindingScalarCount || !binding)
		return false;
	__builtin_memcpy(&read, scalars, sizeof(read));
	if (read.magic_version != kSpscQueueMagicVersion || !read.transaction_id)
		return false;
	*binding = read;
	return true;
}

constexpr const char *spsc_queue_op_name(SpscQueueOp op)
{
	return l3l2q::simpler::queue_op_name(op);
}

/* As numbers or by their names. */
template <typename Opcode>
constexpr bool valid_input_opcode(Opcode opcode)
{
	return static_cast<uint64_t>(opcode) == L3L2Q_OP_DATA || static_cast<uint64_t>(opcode) == L3L2Q_OP_STOP;
}

template <typename Opcode>
constexpr bool valid_output_opcode(Opcode opcode)
{
	return static_cast<uint64_t>(opcode) == L3L2Q_OP_DATA || static_cast<uint64_t>(opcode) == L3L2Q_OP_ERROR;
}

constexpr int32_t counter_low32(uint64_t count)
{
	return l3l2q::simpler::low32(count);
}

inline bool reconstruct_counter(int32_t observed, uint64_t depth, uint64_t *count)
{
	return depth && l3l2q::simpler::reconstruct_counter(observed, depth, count);
}

inline void copy_error_text(char *to, size_t size, const char *text)
{
	l3l2q::simpler::copy_text(to, size, text);
}

inline void append_error_note(char *to, size_t size, const char *note)
{
	l3l2q::simpler::append_text(to, size, note);
}

constexpr bool payload_in_arena(uint64_t offset, uint64_t nbytes, uint64_t arena_offset, uint64_t arena_bytes)
{
	return offset >= arena_offset && offset - arena_offset <= arena_bytes &&
	       nbytes <= arena_bytes - (offset - arena_offset);
}

/* Where a body goes if the one before it ended @position bytes into the arena. */
constexpr uint64_t payload_expected_offset(uint64_t arena_offset, uint64_t arena_bytes, uint64_t position,
					   uint64_t nbytes)
{
	return position > arena_bytes || nbytes > arena_bytes - position ? arena_offset : arena_offset + position;
}

inline void put_abort_offsets(SpscQueueLayout &layout, uint64_t initiator, uint64_t peer)
{
	layout.initiator_abort_offset = initiator;
	layout.peer_abort_offset = peer;
}

inline bool SpscQueueLayout::create(uint64_t depth, uint64_t input_arena_bytes, uint64_t output_arena_bytes,
				    SpscQueueLayout *out)
{
	return l3l2q::simpler::make_layout(depth, input_arena_bytes, output_arena_bytes, out);
}

/* ---- the queue ------------------------------------------------------------- */

/* What the shared queue needs to know of this generation. */
struct SpscQueueTypes {
	struct Identity {
		uint64_t session;
		uint64_t transaction;
	};
	using Handle = SpscQueueInputHandle;
	using Reservation = SpscQueueOutputReservation;
	using Layout = SpscQueueLayout;
	using Error = SpscQueueError;
	using Fault = l3l2q::simpler::Fault;

	static constexpr bool kOneHandle(uint64_t) { return false; }
	static constexpr bool kLastIsStop = true;
	static constexpr bool kOversizeFirst = true;

	static constexpr bool is_input(uint64_t opcode) { return valid_input_opcode(opcode); }
	static constexpr bool is_output(uint64_t opcode) { return valid_output_opcode(opcode); }

	/* A queue's handles name it, so that another queue refuses them. */
	static uint64_t cookie(const void *queue) { return reinterpret_cast<uintptr_t>(queue); }
	static void fill(Handle &handle, const l3l2q_desc &slot, const void *queue)
	{
		handle.seq = slot.seq;
		handle.opcode = static_cast<SpscQueueOpcode>(slot.opcode);
		handle.payload_offset = slot.payload_offset;
		handle.payload_nbytes = slot.payload_nbytes;
		handle.owner_cookie = cookie(queue);
	}
	static void mark(Reservation &reservation, const void *queue) { reservation.owner_cookie = cookie(queue); }

	static bool same(const Handle &held, const Handle &given)
	{
		return held.seq == given.seq && held.opcode == given.opcode &&
		       held.payload_offset == given.payload_offset && held.payload_nbytes == given.payload_nbytes &&
		       held.payload.local_addr == given.payload.local_addr &&
		       held.payload.nbytes == given.payload.nbytes && held.owner_cookie == given.owner_cookie;
	}
	static bool same(const Reservation &held, const Reservation &given)
	{
		return given.valid && held.seq == given.seq && held.payload_offset == given.payload_offset &&
		       held.payload_nbytes == given.payload_nbytes && held.owner_cookie == given.owner_cookie;
	}

	/* This generation's number of an error. */
	static constexpr SpscQueueErrorKind kind_of(Fault fault)
	{
		switch (fault) {
		case Fault::NONE: return SpscQueueErrorKind::NONE;
		case Fault::BAD_ARGUMENT: return SpscQueueErrorKind::BAD_ARGUMENT;
		case Fault::BAD_DESCRIPTOR: return SpscQueueErrorKind::BAD_BINDING;
		case Fault::INVALID_DESCRIPTOR: return SpscQueueErrorKind::INVALID_DESCRIPTOR;
		case Fault::OWNERSHIP: return SpscQueueErrorKind::OWNERSHIP;
		case Fault::REMOTE_ABORTED: return SpscQueueErrorKind::REMOTE_ABORTED;
		case Fault::ENDPOINT_ERROR: break;
		}
		return SpscQueueErrorKind::ENDPOINT_ERROR;
	}

	static void append_number(char (&to)[256], uint64_t value, unsigned int base, unsigned int digits)
	{
		char text[24];
		size_t at = sizeof(text);

		text[--at] = 0;
		do {
			text[--at] = "0123456789abcdef"[value % base];
			value /= base;
		} while (value || sizeof(text) - 1 - at < digits);
		append_error_note(to, sizeof(to), text + at);
	}

	/* Without a transaction there is no identity. */
	static void describe(Error &error, const Identity &identity, Fault fault, SpscQueueOp op, const char *text)
	{
		auto append = [&error](const char *more) { append_error_note(error.message, sizeof(error.message), more); };

		error.kind = kind_of(fault);
		error.op = op;
		error.session_instance_id_bits = identity.session;
		error.transaction_id = identity.transaction;
		error.message[0] = 0;
		append("SPSC queue endpoint error op=");
		append(spsc_queue_op_name(op));
		append(" kind=");
		append_number(error.message, static_cast<uint64_t>(error.kind), 10, 1);
		if (identity.transaction) {
			append(" session=0x");
			append_number(error.message, identity.session, 16, 16);
			append(" transaction=");
			append_number(error.message, identity.transaction, 10, 1);
		}
		append(" msg=");
		append(text);
	}

	static void note_silent(Error &error)
	{
		append_error_note(error.message, sizeof(error.message), " (abort notify failed)");
	}
};

/* The memory of a queue, by the view that the caller has. */
template <typename RegionView>
class SpscQueuePort {
public:
	explicit SpscQueuePort(RegionView &&view) : view_(static_cast<RegionView &&>(view)) {}

	RegionView &view() { return view_; }

	bool load(uint64_t counter, int32_t &value)
	{
		SpscQueueCounterSample sample{};
		bool ok = view_.counter().test(counter, 0, RegionWaitCmp::EQ, sample);

		value = sample.observed;
		return ok;
	}
	bool store(uint64_t counter, int32_t value)
	{
		return view_.counter().notify(counter, value, RegionNotifyOp::Set);
	}
	bool read_slot(uint64_t offset, l3l2q_desc &slot)
	{
		SpscQueuePayloadView view{};

		if (!view_.payload().read(offset, sizeof(slot), view))
			return false;
		slot = l3l2q_desc_copy(static_cast<const l3l2q_desc *>(l3l2q::simpler::pointer_to(view.local_addr)));
		return true;
	}
	bool body(uint64_t offset, uint64_t nbytes, SpscQueuePayloadView &out)
	{
		return view_.payload().read(offset, nbytes, out);
	}
	bool write(uint64_t offset, const void *from, uint64_t nbytes)
	{
		return view_.payload().write(offset, from, nbytes);
	}
	void address(uint64_t offset, uint64_t nbytes, SpscQueuePayloadView &out)
	{
		out = {view_.payload().span().base + offset, nbytes};
	}
	const char *failure() const { return view_.error().message; }

private:
	RegionView view_;
};

/*
 * L2's end over a view: any type with failed(), error().message, payload().{span,read,write}
 * and counter().{span,test,wait,notify}, such as RegionInstanceView.
 */
template <typename RegionView, uint64_t MaxInflight = 1>
class SpscQueueEndpoint : public l3l2q::simpler::Queue<SpscQueueTypes, SpscQueuePort<RegionView>, MaxInflight> {
	using Base = l3l2q::simpler::Queue<SpscQueueTypes, SpscQueuePort<RegionView>, MaxInflight>;
	using Fault = l3l2q::simpler::Fault;

public:
	class InputQueue {
	public:
		bool peek(uint64_t timeout_ns, SpscQueueInputHandle &out) { return queue_->peek(timeout_ns, out); }
		bool try_peek(SpscQueueInputHandle &out) { return queue_->try_peek(out); }
		bool release(const SpscQueueInputHandle &handle) { return queue_->release(handle); }
		bool drained() const { return queue_->drained(); }

	private:
		friend class SpscQueueEndpoint;
		explicit InputQueue(SpscQueueEndpoint *queue) : queue_(queue) {}
		SpscQueueEndpoint *queue_;
	};

	class OutputQueue {
	public:
		bool initialize() { return queue_->live(); }
		bool reserve(uint64_t nbytes, uint64_t timeout_ns, SpscQueueOutputReservation &out)
		{
			return queue_->reserve(nbytes, timeout_ns, out);
		}
		bool try_reserve(uint64_t nbytes, SpscQueueOutputReservation &out) { return queue_->try_reserve(nbytes, out); }
		bool publish(const SpscQueueOutputReservation &reservation, SpscQueueOpcode opcode)
		{
			return queue_->publish(reservation, static_cast<uint64_t>(opcode));
		}

	private:
		friend class SpscQueueEndpoint;
		explicit OutputQueue(SpscQueueEndpoint *queue) : queue_(queue) {}
		SpscQueueEndpoint *queue_;
	};

	SpscQueueEndpoint(const SpscQueueEndpointBinding &binding, RegionView view, MonotonicClock clock)
		: Base(identity_of(binding), static_cast<RegionView &&>(view)), clock_(clock)
	{
		SpscQueueLayout layout{};

		if (!identity_of(binding).transaction)
			refuse(Fault::BAD_DESCRIPTOR, "invalid queue binding");
		else if (!clock.now_ns)
			refuse(Fault::BAD_ARGUMENT, "clock is null");
		else if (this->port().view().failed())
			refuse(Fault::ENDPOINT_ERROR, this->port().failure());
		else if (!spans_match(binding))
			refuse(Fault::BAD_DESCRIPTOR, "view spans do not match binding");
		else if (!SpscQueueLayout::create(binding.depth, binding.input_arena_bytes, binding.output_arena_bytes,
						  &layout))
			refuse(Fault::BAD_DESCRIPTOR, "invalid queue layout");
		else if (layout.payload_bytes != binding.payload_bytes || layout.counter_bytes != binding.counter_bytes)
			refuse(Fault::BAD_DESCRIPTOR, "reconstructed layout does not match binding");
		else
			start(layout);
	}
	SpscQueueEndpoint(const SpscQueueEndpoint &) = delete;
	SpscQueueEndpoint &operator=(const SpscQueueEndpoint &) = delete;

	bool live() const { return !this->failed(); }
	InputQueue &input() { return input_; }
	OutputQueue &output() { return output_; }

private:
	using Base::drained;
	using Base::publish;
	using Base::release;
	using Base::try_peek;
	using Base::try_reserve;

	/* All zero if the binding is not one of this queue. */
	static SpscQueueTypes::Identity identity_of(const SpscQueueEndpointBinding &binding)
	{
		if (binding.magic_version != kSpscQueueMagicVersion || !binding.transaction_id)
			return {0, 0};
		return {binding.session_instance_id_bits, binding.transaction_id};
	}
	void start(const SpscQueueLayout &layout)
	{
		this->set_layout(layout);
		if (MaxInflight > layout.depth)
			refuse(Fault::BAD_ARGUMENT, "invalid input window");
	}
	void refuse(Fault fault, const char *text) { this->set_error(fault, SpscQueueOp::INIT, text); }

	bool spans_match(const SpscQueueEndpointBinding &binding)
	{
		const RegionPartLocalSpan payload = this->port().view().payload().span();
		const RegionPartLocalSpan counter = this->port().view().counter().span();

		return payload.base && payload.logical_bytes && counter.base && counter.logical_bytes &&
		       payload.base == binding.payload_base && payload.logical_bytes == binding.payload_bytes &&
		       counter.base == binding.counter_base && counter.logical_bytes == binding.counter_bytes;
	}

	/* Wait until a counter of the peer is other than @seen. False at the deadline or after an error. */
	bool wait_until(uint64_t deadline, uint64_t counter, int32_t seen)
	{
		int32_t observed = 0;
		uint64_t now;

		if (this->failed() || !this->peer_lives())
			return false;
		now = clock_.now_ns();
		if (now >= deadline)
			return false;
		if (this->port().view().counter().wait(counter, seen, RegionWaitCmp::NE, deadline - now, observed))
			return this->peer_lives();
		if (this->port().view().failed())
			return this->endpoint_error(SpscQueueOp::TIMEOUT);
		this->peer_lives();
		return false;
	}

	uint64_t deadline_of(uint64_t timeout_ns) const
	{
		uint64_t now = clock_.now_ns();

		return add_overflows(now, timeout_ns) ? UINT64_MAX : now + timeout_ns;
	}

	/* With a time-out of 0 nothing is attempted. */
	bool peek(uint64_t timeout_ns, SpscQueueInputHandle &out)
	{
		uint64_t deadline;

		out = {};
		if (!live() || !timeout_ns)
			return false;
		deadline = deadline_of(timeout_ns);
		do {
			if (try_peek(out))
				return true;
		} while (wait_until(deadline, kInputDescTailOffset, this->seen_tail()));
		return false;
	}
	bool reserve(uint64_t nbytes, uint64_t timeout_ns, SpscQueueOutputReservation &out)
	{
		uint64_t deadline;

		out = {};
		if (!live() || !timeout_ns || nbytes > this->layout().output_arena_bytes)
			return false;
		deadline = deadline_of(timeout_ns);
		do {
			if (try_reserve(nbytes, out))
				return true;
		} while (wait_until(deadline, kOutputDescHeadOffset, this->seen_head()));
		return false;
	}

	MonotonicClock clock_;
	InputQueue input_{this};
	OutputQueue output_{this};
};

} /* namespace spsc_queue */

#pragma pop_macro("ERROR")

#endif /* REGION_TEMPLATE_H */
