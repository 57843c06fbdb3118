/* SPDX-License-Identifier: MIT */
/*
 * Internal to l3l2q/simpler: L2's end of a queue, in the order of checks of the reference.
 *
 * A queue has memory of its own for the messages that it holds and none that grows with the
 * depth. So the producer reads its descriptors back to learn what was released, which the
 * core of the library does not do. A failing reserve changes nothing, and with no body in
 * flight the whole arena is free (protocol.md, section 4), also where a reference would wait.
 */
#ifndef L3L2Q_SIMPLER_QUEUE_H
#define L3L2Q_SIMPLER_QUEUE_H

#include "orch.h"

/* Some platforms have a macro of that name. */
#pragma push_macro("ERROR")
#undef ERROR

namespace l3l2q::simpler {

/* ---- what all generations share ------------------------------------------ */

/* The first error of a queue, numbered as in G1 and G2. */
enum class Fault : uint32_t {
	NONE = L3L2Q_ERR_NONE,
	BAD_ARGUMENT = L3L2Q_ERR_BAD_ARGUMENT,
	BAD_DESCRIPTOR = L3L2Q_ERR_BAD_DESCRIPTOR,
	INVALID_DESCRIPTOR = L3L2Q_ERR_INVALID_DESCRIPTOR,
	OWNERSHIP = L3L2Q_ERR_OWNERSHIP,
	REMOTE_ABORTED = L3L2Q_ERR_REMOTE_ABORTED,
	ENDPOINT_ERROR = L3L2Q_ERR_ENDPOINT_ERROR,
};

enum class QueueOp : uint32_t {
	INIT = 1,
	TIMEOUT = 2,
	INPUT_TRY_PEEK = 3,
	INPUT_RELEASE = 4,
	OUTPUT_TRY_RESERVE = 5,
	OUTPUT_PUBLISH = 6,
};

constexpr const char *queue_op_name(QueueOp op) noexcept
{
	switch (op) {
	case QueueOp::INIT: return "init";
	case QueueOp::TIMEOUT: return "timeout";
	case QueueOp::INPUT_TRY_PEEK: return "input.try_peek";
	case QueueOp::INPUT_RELEASE: return "input.release";
	case QueueOp::OUTPUT_TRY_RESERVE: return "output.try_reserve";
	case QueueOp::OUTPUT_PUBLISH: return "output.publish";
	}
	return "unknown";
}

constexpr uint64_t align_up(uint64_t value, uint64_t align) noexcept
{
	return align && value % align ? value + (align - value % align) : value;
}

inline bool align_up_checked(uint64_t value, uint64_t align, uint64_t *out) noexcept
{
	if (!out || !align || align_up(value, align) < value)
		return false;
	*out = align_up(value, align);
	return true;
}

inline bool reconstruct_counter(int32_t observed, uint64_t depth, uint64_t &count) noexcept
{
	__u64 local = count;

	if (depth > L3L2Q_MAX_DEPTH || l3l2q_reconstruct(static_cast<uint32_t>(observed), depth, &local))
		return false;
	count = local;
	return true;
}

inline bool reconstruct_counter(int32_t observed, uint64_t depth, uint64_t *count) noexcept
{
	return count && reconstruct_counter(observed, depth, *count);
}

/* Fill in what every generation's layout has; false if there is none. */
template <typename Layout>
bool make_layout(uint64_t depth, uint64_t input_bytes, uint64_t output_bytes, Layout &out) noexcept
{
	l3l2q_layout made;
	Layout layout{};

	if (l3l2q_layout_make(depth, input_bytes, output_bytes, &made))
		return false;
	layout.depth = made.depth;
	layout.input_desc_offset = made.input_desc_offset;
	layout.output_desc_offset = made.output_desc_offset;
	layout.input_arena_offset = made.input_arena_offset;
	layout.output_arena_offset = made.output_arena_offset;
	layout.input_arena_bytes = made.input_arena_bytes;
	layout.output_arena_bytes = made.output_arena_bytes;
	layout.payload_bytes = made.payload_bytes;
	layout.input_desc_tail_offset = L3L2Q_CTR_INPUT_TAIL;
	layout.input_desc_head_offset = L3L2Q_CTR_INPUT_HEAD;
	layout.output_desc_tail_offset = L3L2Q_CTR_OUTPUT_TAIL;
	layout.output_desc_head_offset = L3L2Q_CTR_OUTPUT_HEAD;
	put_abort_offsets(layout, L3L2Q_CTR_L3_ABORT, L3L2Q_CTR_L2_ABORT);
	layout.counter_bytes = made.counter_bytes;
	out = layout;
	return true;
}

template <typename Layout>
bool make_layout(uint64_t depth, uint64_t input_bytes, uint64_t output_bytes, Layout *out) noexcept
{
	return out && make_layout(depth, input_bytes, output_bytes, *out);
}

/* A position in an arena, and the bytes up to it since the start, skipped ones included. */
class ArenaCursor {
public:
	bool wraps(uint64_t nbytes, uint64_t arena) const { return nbytes > arena - pos_; }
	/* Where a body of @nbytes, at most @arena, goes. */
	uint64_t place(uint64_t nbytes, uint64_t arena) const { return wraps(nbytes, arena) ? 0 : pos_; }
	/* Bytes from here to the end of that body. */
	uint64_t reach(uint64_t nbytes, uint64_t arena) const
	{
		return wraps(nbytes, arena) ? arena - pos_ + nbytes : nbytes;
	}
	/* Go to where that body starts, or to its end. */
	void seek(uint64_t nbytes, uint64_t arena)
	{
		total_ += reach(nbytes, arena) - nbytes;
		pos_ = place(nbytes, arena);
	}
	void advance(uint64_t nbytes, uint64_t arena)
	{
		seek(nbytes, arena);
		total_ += nbytes;
		pos_ += nbytes;
	}
	uint64_t since(const ArenaCursor &other) const { return total_ - other.total_; }

private:
	uint64_t pos_ = 0;
	uint64_t total_ = 0;
};

/*
 * Both directions of a queue. Types has the generation's structures and what differs:
 *	Handle, Reservation, Layout, Error, Identity
 *	kOneHandle(window)	a second peek breaks the rules, STOP included
 *	kLastIsStop		the peek that meets STOP looks for a later message
 *	kOversizeFirst		a reserve that is too large fails before other checks
 *	is_input(opcode), is_output(opcode)
 *	same(held, given)	handles and reservations
 *	fill(handle, slot, queue), mark(reservation, queue)
 *	describe(error, identity, fault, op, text), note_silent(error)
 * Port reaches the memory: load, store, read_slot, body, write, address, failure.
 */
template <typename Types, typename Port, uint64_t MaxInflight>
class Queue {
	static_assert(MaxInflight > 0, "the window has room for at least one message");

public:
	using Handle = typename Types::Handle;
	using Reservation = typename Types::Reservation;
	using Layout = typename Types::Layout;

	/* STOP does not count for the window. */
	static constexpr uint64_t kStopEntrySlots = 1;
	static constexpr uint64_t kEntryCapacity = MaxInflight + kStopEntrySlots;

	const typename Types::Error &error() const { return error_; }
	const Layout &layout() const { return layout_; }

protected:
	template <typename... Args>
	explicit Queue(const typename Types::Identity &identity, Args &&...args)
		: port_(static_cast<Args &&>(args)...), identity_(identity)
	{
	}

	bool failed() const { return fault_ != Fault::NONE; }
	Fault fault() const { return fault_; }
	bool drained() const { return drained_; }
	Port &port() { return port_; }
	void set_layout(const Layout &layout) { layout_ = layout; }
	/* The tail and the head of L3 as they were read last. */
	int32_t seen_tail() const { return low32(tail_); }
	int32_t seen_head() const { return low32(out_head_); }

	/* ---- errors ---- */

	/* Record an error that L3 does not learn of. */
	bool set_error(Fault fault, QueueOp op, const char *text)
	{
		fault_ = fault;
		Types::describe(error_, identity_, fault, op, text);
		return false;
	}
	bool poison(Fault fault, QueueOp op, const char *text)
	{
		set_error(fault, op, text);
		if (!port_.store(L3L2Q_CTR_L2_ABORT, 1))
			Types::note_silent(error_);
		return false;
	}
	bool endpoint_error(QueueOp op) { return poison(Fault::ENDPOINT_ERROR, op, port_.failure()); }

	/* False if the peer has aborted, which is recorded, or if the memory has failed. */
	bool peer_lives()
	{
		int32_t flag = 0;

		if (!port_.load(L3L2Q_CTR_L3_ABORT, flag))
			return endpoint_error(QueueOp::TIMEOUT);
		return flag < 1 || set_error(Fault::REMOTE_ABORTED, QueueOp::TIMEOUT, "remote abort");
	}

	/* ---- input ---- */

	bool try_peek(Handle &out)
	{
		constexpr QueueOp op = QueueOp::INPUT_TRY_PEEK;
		Handle handle{};
		l3l2q_desc slot;

		out = Handle{};
		if (failed())
			return false;
		if (Types::kOneHandle(MaxInflight) && acquired_ != head_)
			return poison(Fault::OWNERSHIP, op, "input handle already active");
		if (!observe(op, L3L2Q_CTR_INPUT_TAIL, tail_))
			return false;
		if (stop_taken_)
			return tail_ != acquired_ && after_stop(op);
		if (tail_ == acquired_)
			return false;
		if (tail_ - head_ > layout_.depth)
			return invalid(op, "input descriptor state invalid");
		if (!port_.read_slot(slot_offset(layout_.input_desc_offset, acquired_), slot))
			return endpoint_error(op);
		if (slot.seq != acquired_ + 1)
			return invalid(op, "input descriptor seq mismatch");
		if (!Types::is_input(slot.opcode))
			return invalid(op, "invalid input opcode");
		if (slot.opcode == L3L2Q_OP_STOP && (slot.payload_offset || slot.payload_nbytes))
			return invalid(op, "STOP descriptor must be zero-byte");
		if (slot.opcode != L3L2Q_OP_STOP && acquired_ - head_ >= MaxInflight)
			return false;
		if (!find_body(op, slot, handle))
			return false;
		Types::fill(handle, slot, this);
		entries_[acquired_ % kEntryCapacity] = {handle, false};
		acquired_++;
		out = handle;
		stop_taken_ = slot.opcode == L3L2Q_OP_STOP;
		return !(Types::kLastIsStop && stop_taken_ && tail_ != acquired_) || after_stop(op);
	}

	bool release(const Handle &given)
	{
		constexpr QueueOp op = QueueOp::INPUT_RELEASE;

		if (failed())
			return false;
		/* An entry keeps its handle after it was given back. */
		Entry &entry = entries_[(given.seq - 1) % kEntryCapacity];
		if (given.seq <= head_ || !Types::same(entry.handle, given))
			return poison(Fault::OWNERSHIP, op, "input handle is not active");
		if (entry.released)
			return poison(Fault::OWNERSHIP, op, "input handle already released");
		entry.released = true;
		return retire(op);
	}

	/* ---- output ---- */

	bool try_reserve(uint64_t nbytes, Reservation &out)
	{
		constexpr QueueOp op = QueueOp::OUTPUT_TRY_RESERVE;
		uint64_t arena = layout_.output_arena_bytes;

		out = Reservation{};
		if (failed() || (Types::kOversizeFirst && nbytes > arena))
			return false;
		if (reserved_.valid)
			return poison(Fault::OWNERSHIP, op, "output reservation already active");
		if (nbytes > arena || !replay_released(op))
			return false;
		if (tail_out_ - out_head_ >= layout_.depth)
			return false;
		if (nbytes && bodies_ && cursor_.since(freed_) + cursor_.reach(nbytes, arena) > arena)
			return false;
		grant(nbytes);
		out = reserved_;
		return true;
	}

	/* The body is not written back: its writer does that. */
	bool publish(const Reservation &given, uint64_t opcode)
	{
		constexpr QueueOp op = QueueOp::OUTPUT_PUBLISH;
		const uint64_t words[] = {given.seq, opcode, given.payload_offset, given.payload_nbytes};
		uint64_t slot = slot_offset(layout_.output_desc_offset, tail_out_);

		if (failed())
			return false;
		if (!reserved_.valid || !Types::same(reserved_, given))
			return poison(Fault::OWNERSHIP, op, "unknown output reservation");
		if (!Types::is_output(opcode))
			return invalid(op, "invalid output opcode");
		if (!port_.write(slot + sizeof(words[0]), words + 1, sizeof(words) - sizeof(words[0])) ||
		    !port_.write(slot, words, sizeof(words[0])) ||
		    !port_.store(L3L2Q_CTR_OUTPUT_TAIL, low32(tail_out_ + 1)))
			return endpoint_error(op);
		tail_out_++;
		reserved_ = Reservation{};
		return true;
	}

private:
	struct Entry {
		Handle handle;
		bool released;
	};

	bool invalid(QueueOp op, const char *text) { return poison(Fault::INVALID_DESCRIPTOR, op, text); }
	bool after_stop(QueueOp op) { return invalid(op, "input descriptor published after STOP"); }

	uint64_t slot_offset(uint64_t ring, uint64_t count) const
	{
		return ring + (count & (layout_.depth - 1)) * sizeof(l3l2q_desc);
	}

	/* Read a counter of L3. */
	bool observe(QueueOp op, uint64_t counter, uint64_t &count)
	{
		int32_t observed = 0;

		if (!port_.load(counter, observed))
			return endpoint_error(op);
		return reconstruct_counter(observed, layout_.depth, count) ||
		       invalid(op, "counter reconstruction failed");
	}

	/* The body of a new message, if it lies where the cursor is. */
	bool find_body(QueueOp op, const l3l2q_desc &slot, Handle &handle)
	{
		uint64_t arena = layout_.input_arena_bytes, offset = slot.payload_offset - layout_.input_arena_offset;

		if (!slot.payload_nbytes)
			return !slot.payload_offset ||
			       invalid(op, "zero-byte descriptor uses nonzero payload offset");
		if (slot.payload_offset < layout_.input_arena_offset || offset > arena ||
		    slot.payload_nbytes > arena - offset)
			return invalid(op, "input payload out of arena");
		if (offset != in_cursor_.place(slot.payload_nbytes, arena))
			return invalid(op, "payload replay offset mismatch");
		if (!port_.body(slot.payload_offset, slot.payload_nbytes, handle.payload))
			return endpoint_error(op);
		in_cursor_.advance(slot.payload_nbytes, arena);
		return true;
	}

	/* Give L3 back what is finished at the front, message by message. */
	bool retire(QueueOp op)
	{
		while (head_ != acquired_ && entries_[head_ % kEntryCapacity].released) {
			if (!port_.store(L3L2Q_CTR_INPUT_HEAD, low32(head_ + 1)))
				return endpoint_error(op);
			head_++;
		}
		drained_ = stop_taken_ && head_ == acquired_;
		return true;
	}

	/* Read back the slots that L3 has released, for the space of their bodies. */
	bool replay_released(QueueOp op)
	{
		uint64_t arena = layout_.output_arena_bytes, head = out_head_;
		l3l2q_desc slot;

		if (!observe(op, L3L2Q_CTR_OUTPUT_HEAD, head))
			return false;
		if (head > tail_out_)
			return invalid(op, "counter reconstruction failed");
		for (; out_head_ != head; out_head_++) {
			if (!port_.read_slot(slot_offset(layout_.output_desc_offset, out_head_), slot))
				return endpoint_error(op);
			if (slot.seq != out_head_ + 1)
				return invalid(op, "output release replay seq mismatch");
			if (!is_in_place(slot))
				return invalid(op, "payload replay offset mismatch");
			if (!slot.payload_nbytes)
				continue;
			freed_.advance(slot.payload_nbytes, arena);
			bodies_--;
		}
		return true;
	}

	/* True if a released message lies where it was placed. */
	bool is_in_place(const l3l2q_desc &slot) const
	{
		uint64_t arena = layout_.output_arena_bytes;

		if (!slot.payload_nbytes)
			return !slot.payload_offset;
		return bodies_ && slot.payload_nbytes <= arena &&
		       slot.payload_offset == layout_.output_arena_offset + freed_.place(slot.payload_nbytes, arena);
	}

	void grant(uint64_t nbytes)
	{
		uint64_t arena = layout_.output_arena_bytes;

		reserved_.seq = tail_out_ + 1;
		reserved_.payload_nbytes = nbytes;
		if (nbytes) {
			reserved_.payload_offset = layout_.output_arena_offset + cursor_.place(nbytes, arena);
			port_.address(reserved_.payload_offset, nbytes, reserved_.payload);
			if (!bodies_++) {
				cursor_.seek(nbytes, arena);
				freed_ = cursor_;
			}
			cursor_.advance(nbytes, arena);
		}
		reserved_.valid = true;
		Types::mark(reserved_, this);
	}

	Port port_;
	typename Types::Identity identity_;
	typename Types::Error error_{};
	Layout layout_{};
	Fault fault_ = Fault::NONE;

	/* Input: messages published, acquired and given back; @in_cursor_ is behind the last body. */
	uint64_t tail_ = 0;
	uint64_t acquired_ = 0;
	uint64_t head_ = 0;
	ArenaCursor in_cursor_;
	Entry entries_[kEntryCapacity] = {};
	bool stop_taken_ = false;
	bool drained_ = false;

	/* Output: messages published and released; bodies up to @cursor_, free ones up to @freed_. */
	uint64_t tail_out_ = 0;
	uint64_t out_head_ = 0;
	ArenaCursor cursor_;
	ArenaCursor freed_;
	uint64_t bodies_ = 0;
	Reservation reserved_{};
};

/* ---- G1 and G2 -------------------------------------------------------------- */

/* The structures of a queue. Traits<Gen>::QueueLayout is the generation's own. */
template <typename Gen>
struct OrchQueueTypes {
	using T = Traits<Gen>;
	using Identity = uint64_t; /* the region's id */
	using Layout = typename T::QueueLayout;

	enum class Opcode : uint64_t {
		INVALID = L3L2Q_OP_INVALID,
		DATA = L3L2Q_OP_DATA,
		STOP = L3L2Q_OP_STOP,
		ERROR = L3L2Q_OP_ERROR,
	};

	enum class ErrorKind : uint32_t {
		NONE = 0,
		BAD_ARGUMENT = 1,
		BAD_DESCRIPTOR = 2,
		INVALID_DESCRIPTOR = 3,
		OUT_OF_SPACE = 4,
		OWNERSHIP = 5,
		REMOTE_ABORTED = 6,
		ENDPOINT_ERROR = 7,
	};

	enum class TimeoutStatus : uint32_t { ORDINARY_TIMEOUT = 0, REMOTE_ABORTED = 1 };

	struct DescSlot {
		uint64_t seq;
		uint64_t opcode;
		uint64_t payload_offset;
		uint64_t payload_nbytes;
	};

	struct Args {
		uint64_t magic_version;
		uint64_t depth;
		uint64_t input_arena_bytes;
		uint64_t output_arena_bytes;
		uint64_t payload_bytes;
		uint64_t counter_bytes;
	};

	struct Handle {
		uint64_t seq;
		Opcode opcode;
		uint64_t payload_offset;
		uint64_t payload_nbytes;
		typename Orch<Gen>::PayloadView payload;
	};

	struct Reservation {
		uint64_t seq;
		uint64_t payload_offset;
		uint64_t payload_nbytes;
		typename Orch<Gen>::PayloadView payload;
		bool valid;
	};

	struct Error {
		ErrorKind kind;
		typename T::template Op<QueueOp> op;
		uint64_t region_id;
		typename T::Text message;
	};

	static_assert(sizeof(DescSlot) == 32 && sizeof(Args) == 48 && sizeof(Layout) == 120, "as in the reference");
	static_assert(sizeof(Handle) == 48 && sizeof(Reservation) == 48, "as in the reference");

	static constexpr bool kOneHandle(uint64_t window) { return window == 1; }
	static constexpr bool kLastIsStop = T::kLastIsStop;
	static constexpr bool kOversizeFirst = false;

	static constexpr bool is_output(uint64_t opcode) { return opcode == L3L2Q_OP_DATA || opcode == L3L2Q_OP_ERROR; }
	static constexpr bool is_input(uint64_t opcode) { return is_output(opcode) || opcode == L3L2Q_OP_STOP; }

	static bool same(const Handle &held, const Handle &given)
	{
		bool same_body = held.payload.gm_addr == given.payload.gm_addr && held.payload.nbytes == given.payload.nbytes;

		return held.seq == given.seq && held.opcode == given.opcode &&
		       held.payload_offset == given.payload_offset && held.payload_nbytes == given.payload_nbytes &&
		       (same_body || !T::kHandleHasBody);
	}
	static bool same(const Reservation &held, const Reservation &given)
	{
		return given.valid && held.seq == given.seq && held.payload_offset == given.payload_offset &&
		       held.payload_nbytes == given.payload_nbytes;
	}

	static void fill(Handle &handle, const l3l2q_desc &slot, const void *)
	{
		handle.seq = slot.seq;
		handle.opcode = static_cast<Opcode>(slot.opcode);
		handle.payload_offset = slot.payload_offset;
		handle.payload_nbytes = slot.payload_nbytes;
	}
	static void mark(Reservation &, const void *) {}

	static void put_op(QueueOp &to, QueueOp op) { to = op; }
	static void put_op(const char *&to, QueueOp op) { to = queue_op_name(op); }
	static void describe(Error &error, Identity region_id, Fault fault, QueueOp op, const char *text)
	{
		error.kind = static_cast<ErrorKind>(fault);
		put_op(error.op, op);
		error.region_id = region_id;
		put_text(error.message, text);
	}
	static void note_silent(Error &) {}

	/* ---- functions ---- */

	static constexpr uint64_t magic_version() { return kQueueVersion; }

	static bool validate_region(const typename Orch<Gen>::RegionDesc &desc, const Args &args, Layout *layout)
	{
		Layout made;

		if (Orch<Gen>::validate_desc(desc) != Orch<Gen>::ValidationError::OK ||
		    args.magic_version != magic_version() ||
		    !make_layout(args.depth, args.input_arena_bytes, args.output_arena_bytes, made) ||
		    args.payload_bytes != made.payload_bytes || desc.payload_bytes != made.payload_bytes ||
		    args.counter_bytes != made.counter_bytes || desc.counter_bytes != made.counter_bytes)
			return false;
		if (layout)
			*layout = made;
		return true;
	}

	/* @op is the opcode, as a number or by its name. */
	template <typename Op>
	static void encode_desc(DescSlot *slot, uint64_t seq, Op op, uint64_t offset, uint64_t nbytes)
	{
		if (slot)
			*slot = {seq, static_cast<uint64_t>(op), offset, nbytes};
	}
};

/* The memory of a queue, by a raw endpoint. */
template <typename Gen>
class OrchPort {
	using O = Orch<Gen>;

public:
	explicit OrchPort(const typename O::RegionDesc &desc) : endpoint_(desc) {}

	bool load(uint64_t counter, int32_t &value)
	{
		typename O::SignalTestResult sample{};
		bool ok = endpoint_.signal_test(counter_base() + counter, 0, O::WaitCmp::EQ, sample);

		value = sample.observed;
		return ok;
	}
	bool store(uint64_t counter, int32_t value)
	{
		return endpoint_.signal_notify(counter_base() + counter, value, O::NotifyOp::Set);
	}
	bool read_slot(uint64_t offset, l3l2q_desc &slot)
	{
		typename O::PayloadView view{};

		if (!endpoint_.payload_read(offset, sizeof(slot), view))
			return false;
		slot = l3l2q_desc_copy(static_cast<const l3l2q_desc *>(pointer_to(view.gm_addr)));
		return true;
	}
	bool body(uint64_t offset, uint64_t nbytes, typename O::PayloadView &out)
	{
		return endpoint_.payload_read(offset, nbytes, out);
	}
	bool write(uint64_t offset, const void *from, uint64_t nbytes)
	{
		return endpoint_.payload_write(offset, from, nbytes);
	}
	void address(uint64_t offset, uint64_t nbytes, typename O::PayloadView &out) const
	{
		out = {endpoint_.descriptor().payload_base + offset, nbytes};
	}
	const char *failure() const { return endpoint_.error_text(); }

private:
	uint64_t counter_base() const { return endpoint_.descriptor().counter_base; }

	OrchEndpoint<Gen, CachedMemoryOps<typename Traits<Gen>::Cache>> endpoint_;
};

/* A queue of G1 or G2, but for its two halves. */
template <typename Gen, uint64_t MaxInflight>
class OrchQueue : public Queue<OrchQueueTypes<Gen>, OrchPort<Gen>, MaxInflight> {
	using Types = OrchQueueTypes<Gen>;
	using Base = Queue<Types, OrchPort<Gen>, MaxInflight>;
	using Clock = typename Traits<Gen>::Clock;

public:
	using Handle = typename Types::Handle;
	using Reservation = typename Types::Reservation;
	using TimeoutStatus = typename Types::TimeoutStatus;

	OrchQueue(const typename Orch<Gen>::RegionDesc &desc, const typename Types::Args &args)
		: Base(desc.region_id, desc)
	{
		typename Types::Layout layout{};

		if (!Types::validate_region(desc, args, &layout)) {
			this->set_error(Fault::BAD_DESCRIPTOR, QueueOp::INIT, "invalid queue descriptor");
			return;
		}
		this->set_layout(layout);
		if (MaxInflight > layout.depth)
			this->set_error(Fault::BAD_ARGUMENT, QueueOp::INIT, "invalid input window");
	}

	/* After a time-out: tells an abort of L3 from an ordinary one. */
	TimeoutStatus disambiguate_timeout()
	{
		if (!this->failed())
			this->peer_lives();
		return this->fault() == Fault::REMOTE_ABORTED ? TimeoutStatus::REMOTE_ABORTED :
								TimeoutStatus::ORDINARY_TIMEOUT;
	}

protected:
	using Base::drained;
	using Base::release;
	using Base::try_peek;
	using Base::try_reserve;

	bool peek(uint64_t timeout_ns, Handle &out)
	{
		Spin<Clock> spin(timeout_ns);

		do {
			if (this->try_peek(out))
				return true;
		} while (!this->failed() && !spin.expired());
		disambiguate_timeout();
		return false;
	}
	bool reserve(uint64_t nbytes, uint64_t timeout_ns, Reservation &out)
	{
		Spin<Clock> spin(timeout_ns);

		do {
			if (this->try_reserve(nbytes, out))
				return true;
		} while (!this->failed() && !spin.expired());
		disambiguate_timeout();
		return false;
	}
	bool publish(const Reservation &reservation, typename Types::Opcode opcode)
	{
		return Base::publish(reservation, static_cast<uint64_t>(opcode));
	}
};

/* A queue of G1b or G2. */
template <typename Gen, uint64_t MaxInflight>
class QueueEndpoint : public OrchQueue<Gen, MaxInflight> {
	using Base = OrchQueue<Gen, MaxInflight>;
	using Types = OrchQueueTypes<Gen>;

public:
	using Handle = typename Types::Handle;
	using Reservation = typename Types::Reservation;

	class InputQueue {
	public:
		bool peek(uint64_t timeout_ns, Handle &out) { return queue_->peek(timeout_ns, out); }
		bool try_peek(Handle &out) { return queue_->try_peek(out); }
		bool release(const Handle &handle) { return queue_->release(handle); }
		bool drained() const { return queue_->drained(); }

	private:
		friend class QueueEndpoint;
		explicit InputQueue(QueueEndpoint *queue) : queue_(queue) {}
		QueueEndpoint *queue_;
	};

	class OutputQueue {
	public:
		bool initialize() { return !queue_->failed(); }
		bool reserve(uint64_t nbytes, uint64_t timeout_ns, Reservation &out)
		{
			return queue_->reserve(nbytes, timeout_ns, out);
		}
		bool try_reserve(uint64_t nbytes, Reservation &out) { return queue_->try_reserve(nbytes, out); }
		bool publish(const Reservation &reservation, typename Types::Opcode opcode)
		{
			return queue_->publish(reservation, opcode);
		}

	private:
		friend class QueueEndpoint;
		explicit OutputQueue(QueueEndpoint *queue) : queue_(queue) {}
		QueueEndpoint *queue_;
	};

	QueueEndpoint(const typename Orch<Gen>::RegionDesc &desc, const typename Types::Args &args) : Base(desc, args) {}
	QueueEndpoint(const QueueEndpoint &) = delete;
	QueueEndpoint &operator=(const QueueEndpoint &) = delete;

	InputQueue &input() { return input_; }
	OutputQueue &output() { return output_; }

private:
	InputQueue input_{this};
	OutputQueue output_{this};
};

} /* namespace l3l2q::simpler */

#pragma pop_macro("ERROR")

#endif /* L3L2Q_SIMPLER_QUEUE_H */
