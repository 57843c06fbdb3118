/* SPDX-License-Identifier: MIT */
/*
 * Internal to l3l2q/simpler: the two parts of a region as they are mapped here. G2 and G3 have
 * these types under the same names; the endpoints of G1 and G2 are built on the view.
 */
#ifndef L3L2Q_SIMPLER_REGION_H
#define L3L2Q_SIMPLER_REGION_H

#include "clock.h"

namespace l3l2q::simpler {

/* ---- semantics ----------------------------------------------------------- */

struct RegionPartLocalSpan {
	uint64_t base;
	uint64_t logical_bytes;
};

struct RegionPayloadView {
	uint64_t local_addr;
	uint64_t nbytes;
};

enum class RegionNotifyOp : uint32_t { Set = 0, Add = 1 };
enum class RegionWaitCmp : uint32_t { EQ = 0, NE = 1, GT = 2, GE = 3, LT = 4, LE = 5 };

struct RegionSignalTestResult {
	bool matched;
	int32_t observed;
};

constexpr bool region_add_overflows(uint64_t a, uint64_t b) noexcept
{
	return add_overflows(a, b);
}

/* Of spans that do not wrap. */
constexpr bool region_spans_overlap(const RegionPartLocalSpan &a, const RegionPartLocalSpan &b) noexcept
{
	return a.base < b.base + b.logical_bytes && b.base < a.base + a.logical_bytes;
}

constexpr bool region_valid_notify_op(RegionNotifyOp op) noexcept
{
	return static_cast<uint32_t>(op) <= L3L2Q_NOTIFY_ADD;
}

constexpr bool region_valid_wait_cmp(RegionWaitCmp cmp) noexcept
{
	return static_cast<uint32_t>(cmp) <= L3L2Q_CMP_LE;
}

/* False for a comparison that does not exist. */
constexpr bool region_compare_counter(int32_t observed, int32_t value, RegionWaitCmp cmp) noexcept
{
	switch (cmp) {
	case RegionWaitCmp::EQ: return observed == value;
	case RegionWaitCmp::NE: return observed != value;
	case RegionWaitCmp::GT: return observed > value;
	case RegionWaitCmp::GE: return observed >= value;
	case RegionWaitCmp::LT: return observed < value;
	case RegionWaitCmp::LE: return observed <= value;
	}
	return false;
}

inline bool region_counter_addr_in_span(const RegionPartLocalSpan &counter, uint64_t address) noexcept
{
	return address >= counter.base &&
	       l3l2q_counter_check(counter.logical_bytes, address - counter.base) == L3L2Q_CHECK_OK;
}

constexpr bool region_validate_payload_span(const RegionPartLocalSpan &span) noexcept
{
	return span.logical_bytes && !add_overflows(span.base, span.logical_bytes);
}

inline bool region_validate_payload_range(const RegionPartLocalSpan &span, uint64_t offset, uint64_t nbytes) noexcept
{
	return l3l2q_payload_check(span.logical_bytes, offset, nbytes) == L3L2Q_CHECK_OK;
}

constexpr bool region_validate_counter_span(const RegionPartLocalSpan &span) noexcept
{
	return span.logical_bytes && span.logical_bytes % sizeof(int32_t) == 0 && span.base % L3L2Q_LINE_BYTES == 0 &&
	       !add_overflows(span.base, span.logical_bytes);
}

constexpr bool region_validate_independent_spans(const RegionPartLocalSpan &payload,
						 const RegionPartLocalSpan &counter) noexcept
{
	return region_validate_payload_span(payload) && region_validate_counter_span(counter) &&
	       !region_spans_overlap(payload, counter);
}

/* ---- memory -------------------------------------------------------------- */

/* Memory that this processor loads from and stores to, through its cache. */
template <typename Cache>
struct CachedMemoryOps {
	static bool invalidate(const void *address, size_t nbytes)
	{
		Cache::invalidate(address, nbytes);
		return true;
	}
	static void flush(const void *address, size_t nbytes) { Cache::flush(address, nbytes); }
	static bool copy_bytes(void *to, const void *from, size_t nbytes)
	{
		__builtin_memcpy(to, from, nbytes);
		return true;
	}
	static bool load_i32(uint64_t address, int32_t &value)
	{
		value = static_cast<int32_t>(l3l2q_load_counter(static_cast<const int32_t *>(pointer_to(address))));
		return true;
	}
	static bool store_i32(uint64_t address, int32_t value)
	{
		l3l2q_store_counter(static_cast<int32_t *>(pointer_to(address)), static_cast<uint32_t>(value));
		return true;
	}
};

/* ---- view ---------------------------------------------------------------- */

enum class RegionViewErrorKind : uint32_t {
	NONE = 0,
	INVALID_VIEW = 1,
	OUT_OF_BOUNDS = 2,
	INVALID_ENUM = 3,
	TIMEOUT = 4,
	ISSUED_FAILURE = 5,
};

enum class RegionViewOp : uint32_t {
	CONSTRUCT = 1,
	PAYLOAD_READ = 2,
	PAYLOAD_WRITE = 3,
	NOTIFY = 4,
	TEST = 5,
	WAIT = 6,
	COUNTER_ADDR = 7,
};

struct RegionViewError {
	RegionViewErrorKind kind;
	RegionViewOp op;
	int32_t observed;
	char message[kTextBytes];
};

static_assert(sizeof(RegionViewError) == 268, "as in the reference");

/*
 * A view of both parts. Only INVALID_VIEW and ISSUED_FAILURE stay; other errors are those of
 * one call, and error() has the last one.
 */
template <typename Ops, typename Clock>
class RegionView {
public:
	class PayloadPart {
	public:
		template <typename View>
		bool read(uint64_t offset, uint64_t nbytes, View &out)
		{
			return view_->payload_read(offset, nbytes, out);
		}
		bool write(uint64_t offset, const void *from, uint64_t nbytes)
		{
			return view_->payload_write(offset, from, nbytes);
		}
		const RegionPartLocalSpan &span() const { return view_->payload_span(); }

	private:
		friend class RegionView;
		explicit PayloadPart(RegionView *view) : view_(view) {}
		RegionView *view_;
	};

	class CounterPart {
	public:
		bool addr(uint64_t offset, uint64_t &out) { return view_->counter_addr(offset, out); }
		bool notify(uint64_t offset, int32_t value, RegionNotifyOp op) { return view_->notify(offset, value, op); }
		template <typename Sample>
		bool test(uint64_t offset, int32_t value, RegionWaitCmp cmp, Sample &out)
		{
			return view_->test(offset, value, cmp, out);
		}
		bool wait(uint64_t offset, int32_t value, RegionWaitCmp cmp, uint64_t timeout_ns, int32_t &observed)
		{
			return view_->wait(offset, value, cmp, timeout_ns, observed);
		}
		bool contains_addr(uint64_t address) const { return view_->counter_contains(address); }
		const RegionPartLocalSpan &span() const { return view_->counter_span(); }

	private:
		friend class RegionView;
		explicit CounterPart(RegionView *view) : view_(view) {}
		RegionView *view_;
	};

	RegionView() { fail(RegionViewErrorKind::INVALID_VIEW, RegionViewOp::CONSTRUCT, "uninitialized view"); }
	RegionView(const RegionPartLocalSpan &payload, const RegionPartLocalSpan &counter)
		: payload_(payload), counter_(counter)
	{
		if (!region_validate_independent_spans(payload, counter))
			fail(RegionViewErrorKind::INVALID_VIEW, RegionViewOp::CONSTRUCT,
			     "invalid independent local spans");
	}

	bool failed() const { return failed_; }
	const RegionViewError &error() const { return error_; }
	/* The same text as a static string. */
	const char *error_text() const { return text_; }
	const RegionPartLocalSpan &payload_span() const { return payload_; }
	const RegionPartLocalSpan &counter_span() const { return counter_; }
	PayloadPart payload() { return PayloadPart(this); }
	CounterPart counter() { return CounterPart(this); }

	/* @out is any structure with local_addr and nbytes. */
	template <typename View>
	bool payload_read(uint64_t offset, uint64_t nbytes, View &out)
	{
		out.local_addr = 0;
		out.nbytes = 0;
		if (!check_payload(RegionViewOp::PAYLOAD_READ, offset, nbytes))
			return false;
		if (!ops_.invalidate(pointer_to(payload_.base + offset), nbytes))
			return issued_failure(RegionViewOp::PAYLOAD_READ, "payload could not be invalidated");
		out.local_addr = payload_.base + offset;
		out.nbytes = nbytes;
		return true;
	}

	bool payload_write(uint64_t offset, const void *from, uint64_t nbytes)
	{
		void *to = pointer_to(payload_.base + offset);

		if (!check_payload(RegionViewOp::PAYLOAD_WRITE, offset, nbytes))
			return false;
		if (!from)
			return fail(RegionViewErrorKind::OUT_OF_BOUNDS, RegionViewOp::PAYLOAD_WRITE,
				    "null payload source");
		if (!ops_.copy_bytes(to, from, nbytes))
			return issued_failure(RegionViewOp::PAYLOAD_WRITE, "payload could not be copied");
		ops_.flush(to, nbytes);
		return true;
	}

	bool counter_addr(uint64_t offset, uint64_t &out)
	{
		out = 0;
		if (!check_counter(RegionViewOp::COUNTER_ADDR, offset))
			return false;
		out = counter_.base + offset;
		return true;
	}

	bool counter_contains(uint64_t address) const
	{
		return !failed_ && region_counter_addr_in_span(counter_, address);
	}

	/* An addition wraps, and is a load and a store. */
	bool notify(uint64_t offset, int32_t value, RegionNotifyOp op)
	{
		int32_t old = 0;

		if (!check_counter(RegionViewOp::NOTIFY, offset))
			return false;
		if (!region_valid_notify_op(op))
			return fail(RegionViewErrorKind::INVALID_ENUM, RegionViewOp::NOTIFY, "invalid notify operation");
		if (op == RegionNotifyOp::Add && !load(offset, old))
			return issued_failure(RegionViewOp::NOTIFY, "counter could not be loaded");
		if (!store(offset, low32(static_cast<uint32_t>(old) + static_cast<uint32_t>(value))))
			return issued_failure(RegionViewOp::NOTIFY, "counter could not be stored");
		return true;
	}

	/* @out is any structure with matched and observed. */
	template <typename Sample>
	bool test(uint64_t offset, int32_t value, RegionWaitCmp cmp, Sample &out)
	{
		out.matched = false;
		out.observed = 0;
		if (!check_sample(RegionViewOp::TEST, offset, cmp))
			return false;
		if (!load(offset, out.observed))
			return issued_failure(RegionViewOp::TEST, "counter could not be loaded");
		out.matched = region_compare_counter(out.observed, value, cmp);
		return true;
	}

	/* A time-out of 0 takes one sample. */
	bool wait(uint64_t offset, int32_t value, RegionWaitCmp cmp, uint64_t timeout_ns, int32_t &observed)
	{
		observed = 0;
		if (!check_sample(RegionViewOp::WAIT, offset, cmp))
			return false;
		Spin<Clock> spin(timeout_ns);
		do {
			if (!load(offset, observed))
				return issued_failure(RegionViewOp::WAIT, "counter could not be loaded");
			if (region_compare_counter(observed, value, cmp))
				return true;
		} while (!spin.expired());
		return fail(RegionViewErrorKind::TIMEOUT, RegionViewOp::WAIT, "wait timed out", observed);
	}

private:
	bool fail(RegionViewErrorKind kind, RegionViewOp op, const char *text, int32_t observed = 0)
	{
		error_.kind = kind;
		error_.op = op;
		error_.observed = observed;
		put_text(error_.message, text);
		text_ = text;
		failed_ = kind == RegionViewErrorKind::INVALID_VIEW || kind == RegionViewErrorKind::ISSUED_FAILURE;
		return false;
	}
	bool issued_failure(RegionViewOp op, const char *text)
	{
		return fail(RegionViewErrorKind::ISSUED_FAILURE, op, text);
	}
	bool check_payload(RegionViewOp op, uint64_t offset, uint64_t nbytes)
	{
		if (failed_)
			return false;
		return region_validate_payload_range(payload_, offset, nbytes) ||
		       fail(RegionViewErrorKind::OUT_OF_BOUNDS, op, "payload range is out of bounds");
	}
	bool check_counter(RegionViewOp op, uint64_t offset)
	{
		if (failed_)
			return false;
		return l3l2q_counter_check(counter_.logical_bytes, offset) == L3L2Q_CHECK_OK ||
		       fail(RegionViewErrorKind::OUT_OF_BOUNDS, op, "counter offset is out of bounds");
	}
	bool check_sample(RegionViewOp op, uint64_t offset, RegionWaitCmp cmp)
	{
		if (!check_counter(op, offset))
			return false;
		return region_valid_wait_cmp(cmp) ||
		       fail(RegionViewErrorKind::INVALID_ENUM, op, "invalid wait comparison");
	}
	bool load(uint64_t offset, int32_t &value)
	{
		uint64_t address = counter_.base + offset;

		return ops_.invalidate(pointer_to(address), sizeof(value)) && ops_.load_i32(address, value);
	}
	bool store(uint64_t offset, int32_t value)
	{
		uint64_t address = counter_.base + offset;

		if (!ops_.store_i32(address, value))
			return false;
		ops_.flush(pointer_to(address), sizeof(value));
		return true;
	}

	RegionPartLocalSpan payload_{};
	RegionPartLocalSpan counter_{};
	RegionViewError error_{};
	const char *text_ = "";
	bool failed_ = false;
	Ops ops_{};
};

} /* namespace l3l2q::simpler */

#endif /* L3L2Q_SIMPLER_REGION_H */
