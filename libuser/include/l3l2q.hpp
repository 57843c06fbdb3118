/* SPDX-License-Identifier: MIT */
/*
 * libl3l2q for C++17: the calls of l3l2q.h, with owners that give back what they hold.
 *
 * Everything is inline and calls the C function of the same name, so programs link with
 * libl3l2q as C programs do, and the manual pages of section 3 apply. There are no
 * exceptions and no type information: it compiles with -fno-exceptions -fno-rtti.
 *
 * Results: a call that has nothing to return is an int, 0 or -errno; one that makes or
 * finds something is a Result, which holds that or -errno. -EAGAIN and -ETIMEDOUT are
 * ordinary results of a queue and occur on its busy path, where an exception would cost more
 * than the message. The numbers stay those of the manual pages.
 *
 * Owners (Endpoint, Descriptor, Message, Messages, Run, Span, SpanRun, Batch) can be moved and not
 * copied. A destructor drops the result of what it does; call release(), commit() and so on
 * where it matters. All but Descriptor must be gone before the Endpoint is. One that is empty,
 * because it was moved from or has given back what it held, gives back nothing: release() and
 * cancel() are 0 then, and commit(), publish() and read_into() are -EINVAL.
 *
 * Producer and Consumer are pointers to an endpoint's halves: small, and valid as long as
 * the Endpoint. The rules for threads are those of l3l2q.h.
 */
#ifndef L3L2Q_HPP
#define L3L2Q_HPP

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <unistd.h>

#include <l3l2q.h>

namespace l3l2q {

using Nanoseconds = std::chrono::nanoseconds;

/* In C++ these structures share their names with functions. */
using Info = struct ::l3l2q_ep_info;
using Stats = struct ::l3l2q_ep_stats;

/* enum l3l2q_opcode, of messages */
enum class Opcode : std::uint32_t {
	data = L3L2Q_OP_DATA,
	stop = L3L2Q_OP_STOP,
	error = L3L2Q_OP_ERROR,
};

enum class Role : std::uint32_t {
	l3 = L3L2Q_ROLE_L3,
	l2 = L3L2Q_ROLE_L2,
};

enum class Binding : std::uint32_t {
	l3q2 = L3L2Q_BINDING_L3Q2,
	spsq = L3L2Q_BINDING_SPSQ,
};

/* ---- results and views --------------------------------------------------- */

/* The error of a Result: -errno. */
struct Failed {
	int error;
};

/* A T, or -errno. T has an empty state, which is what a failed Result holds. */
template <typename T>
class [[nodiscard]] Result {
public:
	Result(T value) noexcept : value_(std::move(value)) {}
	Result(Failed failed) noexcept : error_(failed.error) {}

	explicit operator bool() const noexcept { return error_ == 0; }
	bool has_value() const noexcept { return error_ == 0; }
	/* 0 or -errno */
	int error() const noexcept { return error_; }

	/* Only of a Result that is true. */
	T &operator*() & noexcept { return value_; }
	const T &operator*() const & noexcept { return value_; }
	T &&operator*() && noexcept { return std::move(value_); }
	T *operator->() noexcept { return &value_; }
	const T *operator->() const noexcept { return &value_; }

private:
	T value_{};
	int error_ = 0;
};

/* Contiguous elements of somebody else's: what std::span is in C++20. */
template <typename T>
class View {
public:
	using element_type = T;
	using value_type = std::remove_cv_t<T>;

	constexpr View() noexcept = default;
	constexpr View(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
	template <std::size_t N>
	constexpr View(T (&array)[N]) noexcept : data_(array), size_(N) {}
	/* Of anything with data() and size(): std::array, std::vector, std::span, another View. */
	template <typename C, typename = std::enable_if_t<std::is_convertible_v<
				      std::remove_pointer_t<decltype(std::declval<C &>().data())> (*)[], T (*)[]>>>
	constexpr View(C &&container) noexcept : data_(container.data()), size_(container.size()) {}

	constexpr T *data() const noexcept { return data_; }
	constexpr std::size_t size() const noexcept { return size_; }
	constexpr std::size_t size_bytes() const noexcept { return size_ * sizeof(T); }
	constexpr bool empty() const noexcept { return size_ == 0; }
	constexpr T *begin() const noexcept { return data_; }
	constexpr T *end() const noexcept { return data_ + size_; }
	constexpr T &operator[](std::size_t i) const noexcept { return data_[i]; }
	constexpr View subview(std::size_t from, std::size_t n) const noexcept { return {data_ + from, n}; }

private:
	T *data_ = nullptr;
	std::size_t size_ = 0;
};

/* The bytes of a body. */
using Bytes = View<std::byte>;
using ConstBytes = View<const std::byte>;

/* The bytes of elements that are copied as they are. */
template <typename T>
ConstBytes bytes_of(View<T> view) noexcept
{
	static_assert(std::is_trivially_copyable_v<T>, "a body is copied byte by byte");
	return {reinterpret_cast<const std::byte *>(view.data()), view.size_bytes()};
}

template <typename T, std::size_t N>
ConstBytes bytes_of(const T (&array)[N]) noexcept
{
	return bytes_of(View<const T>(array));
}

/* Such bytes to write to: of a buffer that a body is read into. */
template <typename T>
Bytes writable_bytes_of(View<T> view) noexcept
{
	static_assert(std::is_trivially_copyable_v<T>, "a body is copied byte by byte");
	return {reinterpret_cast<std::byte *>(view.data()), view.size_bytes()};
}

template <typename T, std::size_t N>
Bytes writable_bytes_of(T (&array)[N]) noexcept
{
	return writable_bytes_of(View<T>(array));
}

/* ---- what to create or attach ---------------------------------------------- */

/* struct l3l2q_attr with setters; what is not set is a default. */
class Attributes {
public:
	explicit Attributes(const char *transport = nullptr) noexcept { attr_.transport = transport; }

	Attributes &tag(const char *v) noexcept { attr_.tag = v; return *this; }
	Attributes &role(Role v) noexcept { attr_.role = static_cast<std::uint32_t>(v); return *this; }
	Attributes &depth(std::uint32_t v) noexcept { attr_.depth = v; return *this; }
	Attributes &arenas(std::uint64_t input, std::uint64_t output) noexcept
	{
		attr_.input_arena_bytes = input;
		attr_.output_arena_bytes = output;
		return *this;
	}
	/* Of a raw region. */
	Attributes &ranges(std::uint64_t payload, std::uint64_t counters) noexcept
	{
		attr_.payload_bytes = payload;
		attr_.counter_bytes = counters;
		return *this;
	}
	Attributes &window(std::uint32_t v) noexcept { attr_.window = v; return *this; }
	Attributes &spin(Nanoseconds v) noexcept
	{
		attr_.spin_ns = v.count() ? static_cast<std::uint64_t>(v.count()) : L3L2Q_SPIN_OFF;
		return *this;
	}
	Attributes &nap(Nanoseconds v) noexcept
	{
		attr_.nap_ns = static_cast<std::uint64_t>(v.count());
		return *this;
	}
	Attributes &numa_node(std::int32_t v) noexcept
	{
		attr_.numa_node = v;
		return flags(L3L2Q_ATTR_NUMA);
	}
	Attributes &region_version(std::uint32_t v) noexcept { attr_.region_version = v; return *this; }
	/* SPSQ, with the session bits and the transaction id. */
	Attributes &spsq(std::uint64_t session, std::uint64_t transaction) noexcept
	{
		attr_.binding = static_cast<std::uint32_t>(Binding::spsq);
		attr_.identity[0] = session;
		attr_.identity[1] = transaction;
		return *this;
	}
	/* L3L2Q_ATTR_*, added to those that are set. */
	Attributes &flags(std::uint32_t v) noexcept { attr_.flags |= v; return *this; }

	const l3l2q_attr &get() const noexcept { return attr_; }

private:
	l3l2q_attr attr_{};
};

/* Why there is no endpoint, in one sentence. */
class Failure {
public:
	const char *text() const noexcept { return failure_.text; }
	l3l2q_failure *get() noexcept { return &failure_; }

private:
	l3l2q_failure failure_{};
};

/* A file descriptor, which is closed. */
class Descriptor {
public:
	Descriptor() noexcept = default;
	explicit Descriptor(int fd) noexcept : fd_(fd) {}
	Descriptor(Descriptor &&other) noexcept : fd_(other.release()) {}
	Descriptor &operator=(Descriptor &&other) noexcept
	{
		Descriptor old(std::move(*this));

		fd_ = other.release();
		return *this;
	}
	Descriptor(const Descriptor &) = delete;
	Descriptor &operator=(const Descriptor &) = delete;
	~Descriptor()
	{
		if (fd_ >= 0)
			::close(fd_);
	}

	int get() const noexcept { return fd_; }
	int release() noexcept { return std::exchange(fd_, -1); }

private:
	int fd_ = -1;
};

/* ---- receiving --------------------------------------------------------------- */

/* Bytes and kind of a message that is held elsewhere. */
inline ConstBytes body_of(const l3l2q_message &m) noexcept
{
	return {static_cast<const std::byte *>(m.data), static_cast<std::size_t>(m.nbytes)};
}

inline Opcode opcode_of(const l3l2q_message &m) noexcept
{
	return static_cast<Opcode>(m.opcode);
}

/* A held message, which is released. */
class Message {
public:
	Message() noexcept = default;
	Message(l3l2q_consumer *consumer, const l3l2q_message &m) noexcept : consumer_(consumer), message_(m) {}
	Message(Message &&other) noexcept
		: consumer_(std::exchange(other.consumer_, nullptr)), message_(other.message_)
	{
	}
	Message &operator=(Message &&other) noexcept
	{
		Message old(std::move(*this));

		consumer_ = std::exchange(other.consumer_, nullptr);
		message_ = other.message_;
		return *this;
	}
	Message(const Message &) = delete;
	Message &operator=(const Message &) = delete;
	~Message()
	{
		if (consumer_)
			l3l2q_release(consumer_, &message_);
	}

	std::uint64_t seq() const noexcept { return message_.seq; }
	Opcode opcode() const noexcept { return opcode_of(message_); }
	bool is_stop() const noexcept { return opcode() == Opcode::stop; }
	std::size_t size() const noexcept { return static_cast<std::size_t>(message_.nbytes); }
	/* In shared memory; nothing with copied memory, for which there is read_into(). */
	ConstBytes body() const noexcept
	{
		return {static_cast<const std::byte *>(message_.data), message_.data ? size() : 0};
	}
	const l3l2q_message &get() const noexcept { return message_; }

	[[nodiscard]] int read_into(Bytes to) const noexcept
	{
		if (!consumer_)
			return -EINVAL;
		return l3l2q_read_into(consumer_, &message_, size() ? to.data() : nullptr, to.size());
	}
	/* Afterwards nothing is held, whatever the result. */
	[[gnu::always_inline]] int release() noexcept
	{
		l3l2q_consumer *consumer = std::exchange(consumer_, nullptr);

		return consumer ? l3l2q_release(consumer, &message_) : 0;
	}

private:
	l3l2q_consumer *consumer_ = nullptr;
	l3l2q_message message_{};
};

/* Up to @Max held messages, which are released by one counter store. */
template <int Max>
class Messages {
public:
	static_assert(Max > 0, "a batch has room for at least one message");

	Messages() noexcept = default;
	Messages(Messages &&other) noexcept
		: consumer_(other.consumer_), n_(std::exchange(other.n_, 0)), messages_(other.messages_)
	{
	}
	Messages &operator=(Messages &&other) noexcept
	{
		Messages old(std::move(*this));

		consumer_ = other.consumer_;
		n_ = std::exchange(other.n_, 0);
		messages_ = other.messages_;
		return *this;
	}
	Messages(const Messages &) = delete;
	Messages &operator=(const Messages &) = delete;
	~Messages()
	{
		if (n_)
			l3l2q_release_batch(consumer_, messages_.data(), n_);
	}

	std::size_t size() const noexcept { return static_cast<std::size_t>(n_); }
	const l3l2q_message *begin() const noexcept { return messages_.data(); }
	const l3l2q_message *end() const noexcept { return messages_.data() + n_; }
	const l3l2q_message &operator[](std::size_t i) const noexcept { return messages_[i]; }

	int release() noexcept
	{
		int n = std::exchange(n_, 0);

		return n ? l3l2q_release_batch(consumer_, messages_.data(), n) : 0;
	}

private:
	friend class Consumer;

	l3l2q_consumer *consumer_ = nullptr;
	int n_ = 0;
	std::array<l3l2q_message, static_cast<std::size_t>(Max)> messages_;
};

/* Held messages whose handles stay in the consumer, see l3l2q_peek_run(3). */
class Run {
public:
	Run() noexcept = default;
	Run(l3l2q_consumer *consumer, const l3l2q_message *first, int n) noexcept
		: consumer_(consumer), first_(first), n_(n)
	{
	}
	Run(Run &&other) noexcept
		: consumer_(other.consumer_), first_(other.first_), n_(std::exchange(other.n_, 0))
	{
	}
	Run &operator=(Run &&other) noexcept
	{
		Run old(std::move(*this));

		consumer_ = other.consumer_;
		first_ = other.first_;
		n_ = std::exchange(other.n_, 0);
		return *this;
	}
	Run(const Run &) = delete;
	Run &operator=(const Run &) = delete;
	~Run()
	{
		if (n_)
			l3l2q_release_batch(consumer_, first_, n_);
	}

	std::size_t size() const noexcept { return static_cast<std::size_t>(n_); }
	const l3l2q_message *begin() const noexcept { return first_; }
	const l3l2q_message *end() const noexcept { return first_ + n_; }
	const l3l2q_message &operator[](std::size_t i) const noexcept { return first_[i]; }

	/* Release these messages and no others. */
	int release() noexcept
	{
		int n = std::exchange(n_, 0);

		return n ? l3l2q_release_batch(consumer_, first_, n) : 0;
	}
	/*
	 * Release these messages and all that were acquired before them: the cheapest way where
	 * nothing else is held, and wrong where an owner of an earlier message is left.
	 */
	int release_upto() noexcept
	{
		int n = std::exchange(n_, 0);

		return n ? l3l2q_release_upto(consumer_, first_ + n - 1) : 0;
	}

private:
	l3l2q_consumer *consumer_ = nullptr;
	const l3l2q_message *first_ = nullptr;
	int n_ = 0;
};

/* The receiving half. */
class Consumer {
public:
	Consumer() noexcept = default;
	explicit Consumer(l3l2q_consumer *consumer) noexcept : consumer_(consumer) {}

	[[gnu::always_inline]] Result<Message> try_peek() const noexcept
	{
		l3l2q_message m;
		int ret = l3l2q_try_peek(consumer_, &m);

		if (ret)
			return Failed{ret};
		return Message(consumer_, m);
	}
	Result<Message> peek(Nanoseconds timeout) const noexcept
	{
		l3l2q_message m;
		int ret = l3l2q_peek(consumer_, &m, timeout.count());

		if (ret)
			return Failed{ret};
		return Message(consumer_, m);
	}

	/* Copy the next message to @body and release it. Its body() is empty. */
	[[nodiscard, gnu::always_inline]] int try_dequeue(l3l2q_message &m, Bytes body) const noexcept
	{
		return l3l2q_try_dequeue(consumer_, &m, body.data(), body.size());
	}
	[[nodiscard]] int dequeue(l3l2q_message &m, Bytes body, Nanoseconds timeout) const noexcept
	{
		return l3l2q_dequeue(consumer_, &m, body.data(), body.size(), timeout.count());
	}

	template <int Max>
	Result<Messages<Max>> try_peek_batch() const noexcept
	{
		Messages<Max> held;

		return keep(held, l3l2q_try_peek_batch(consumer_, held.messages_.data(), Max));
	}
	template <int Max>
	Result<Messages<Max>> peek_batch(Nanoseconds timeout) const noexcept
	{
		Messages<Max> held;

		return keep(held, l3l2q_peek_batch(consumer_, held.messages_.data(), Max, timeout.count()));
	}

	Result<Run> try_peek_run(int max) const noexcept
	{
		const l3l2q_message *first = nullptr;
		int n = l3l2q_try_peek_run(consumer_, &first, max);

		if (n < 0)
			return Failed{n};
		return Run(consumer_, first, n);
	}
	Result<Run> peek_run(int max, Nanoseconds timeout) const noexcept
	{
		const l3l2q_message *first = nullptr;
		int n = l3l2q_peek_run(consumer_, &first, max, timeout.count());

		if (n < 0)
			return Failed{n};
		return Run(consumer_, first, n);
	}

	std::int64_t pending() const noexcept { return l3l2q_pending(consumer_); }
	bool drained() const noexcept { return l3l2q_drained(consumer_) != 0; }
	l3l2q_consumer *get() const noexcept { return consumer_; }

private:
	template <int Max>
	Result<Messages<Max>> keep(Messages<Max> &held, int n) const noexcept
	{
		if (n < 0)
			return Failed{n};
		held.consumer_ = consumer_;
		held.n_ = n;
		return std::move(held);
	}

	l3l2q_consumer *consumer_ = nullptr;
};

/* ---- sending ----------------------------------------------------------------- */

/* A span of the arena, which is cancelled unless it is committed. */
class Span {
public:
	Span() noexcept = default;
	Span(l3l2q_producer *producer, const l3l2q_reservation &span) noexcept : producer_(producer), span_(span) {}
	Span(Span &&other) noexcept : producer_(std::exchange(other.producer_, nullptr)), span_(other.span_) {}
	Span &operator=(Span &&other) noexcept
	{
		Span old(std::move(*this));

		producer_ = std::exchange(other.producer_, nullptr);
		span_ = other.span_;
		return *this;
	}
	Span(const Span &) = delete;
	Span &operator=(const Span &) = delete;
	~Span()
	{
		if (producer_)
			l3l2q_cancel(producer_, &span_);
	}

	std::size_t size() const noexcept { return static_cast<std::size_t>(span_.nbytes); }
	Bytes body() const noexcept { return {static_cast<std::byte *>(span_.data), size()}; }
	const l3l2q_reservation &get() const noexcept { return span_; }

	/* After -EINVAL the span is still reserved. */
	[[nodiscard, gnu::always_inline]] int commit(Opcode opcode = Opcode::data) noexcept
	{
		int ret = producer_ ? l3l2q_commit(producer_, &span_, static_cast<std::uint32_t>(opcode)) : -EINVAL;

		if (ret != -EINVAL)
			producer_ = nullptr;
		return ret;
	}
	int cancel() noexcept
	{
		l3l2q_producer *producer = std::exchange(producer_, nullptr);

		return producer ? l3l2q_cancel(producer, &span_) : 0;
	}

private:
	l3l2q_producer *producer_ = nullptr;
	l3l2q_reservation span_{};
};

/* Spans of one size, one behind the other, which are cancelled unless they are committed. */
class SpanRun {
public:
	SpanRun() noexcept = default;
	SpanRun(l3l2q_producer *producer, const l3l2q_reservation &first, int n) noexcept
		: producer_(producer), first_(first), n_(n)
	{
	}
	SpanRun(SpanRun &&other) noexcept
		: producer_(std::exchange(other.producer_, nullptr)), first_(other.first_), n_(other.n_)
	{
	}
	SpanRun &operator=(SpanRun &&other) noexcept
	{
		SpanRun old(std::move(*this));

		producer_ = std::exchange(other.producer_, nullptr);
		first_ = other.first_;
		n_ = other.n_;
		return *this;
	}
	SpanRun(const SpanRun &) = delete;
	SpanRun &operator=(const SpanRun &) = delete;
	~SpanRun()
	{
		if (producer_)
			l3l2q_cancel(producer_, &first_);
	}

	/* How many spans there are. */
	std::size_t size() const noexcept { return static_cast<std::size_t>(n_); }
	Bytes operator[](std::size_t i) const noexcept
	{
		std::size_t nbytes = static_cast<std::size_t>(first_.nbytes);

		return {nbytes ? static_cast<std::byte *>(first_.data) + i * nbytes : nullptr, nbytes};
	}

	/* Send the first @n. After -EINVAL all are still reserved. */
	[[nodiscard]] int commit(int n, Opcode opcode = Opcode::data) noexcept
	{
		int ret = -EINVAL;

		if (producer_)
			ret = l3l2q_commit_run(producer_, &first_, static_cast<std::uint32_t>(opcode), n);
		if (ret != -EINVAL)
			producer_ = nullptr;
		return ret;
	}
	[[nodiscard]] int commit() noexcept { return commit(n_); }
	int cancel() noexcept
	{
		l3l2q_producer *producer = std::exchange(producer_, nullptr);

		return producer ? l3l2q_cancel(producer, &first_) : 0;
	}

private:
	l3l2q_producer *producer_ = nullptr;
	l3l2q_reservation first_{};
	int n_ = 0;
};

/* What is sent while it lives becomes visible at once when it ends. */
class Batch {
public:
	Batch() noexcept = default;
	explicit Batch(l3l2q_producer *producer) noexcept : producer_(producer) {}
	Batch(Batch &&other) noexcept : producer_(std::exchange(other.producer_, nullptr)) {}
	Batch &operator=(Batch &&other) noexcept
	{
		Batch old(std::move(*this));

		producer_ = std::exchange(other.producer_, nullptr);
		return *this;
	}
	Batch(const Batch &) = delete;
	Batch &operator=(const Batch &) = delete;
	~Batch()
	{
		if (producer_)
			l3l2q_batch_publish(producer_);
	}

	[[nodiscard]] int publish() noexcept
	{
		l3l2q_producer *producer = std::exchange(producer_, nullptr);

		return producer ? l3l2q_batch_publish(producer) : -EINVAL;
	}

private:
	l3l2q_producer *producer_ = nullptr;
};

/* The sending half. */
class Producer {
public:
	Producer() noexcept = default;
	explicit Producer(l3l2q_producer *producer) noexcept : producer_(producer) {}

	[[nodiscard, gnu::always_inline]] int try_enqueue(ConstBytes body,
							  Opcode opcode = Opcode::data) const noexcept
	{
		return l3l2q_try_enqueue(producer_, static_cast<std::uint32_t>(opcode), data_of(body), body.size());
	}
	[[nodiscard]] int enqueue(ConstBytes body, Nanoseconds timeout, Opcode opcode = Opcode::data) const noexcept
	{
		return l3l2q_enqueue(producer_, static_cast<std::uint32_t>(opcode), data_of(body), body.size(),
				     timeout.count());
	}
	/* One message of several buffers. */
	[[nodiscard]] int try_enqueuev(View<const iovec> parts, Opcode opcode = Opcode::data) const noexcept
	{
		return l3l2q_try_enqueuev(producer_, static_cast<std::uint32_t>(opcode), parts.data(),
					  static_cast<int>(parts.size()));
	}
	[[nodiscard]] int enqueuev(View<const iovec> parts, Nanoseconds timeout,
				   Opcode opcode = Opcode::data) const noexcept
	{
		return l3l2q_enqueuev(producer_, static_cast<std::uint32_t>(opcode), parts.data(),
				      static_cast<int>(parts.size()), timeout.count());
	}
	/* Several messages: how many were sent, at least 1. */
	Result<std::size_t> try_enqueue_run(View<const l3l2q_body> bodies,
					    Opcode opcode = Opcode::data) const noexcept
	{
		return count(l3l2q_try_enqueue_run(producer_, static_cast<std::uint32_t>(opcode), bodies.data(),
						   static_cast<int>(bodies.size())));
	}
	Result<std::size_t> enqueue_run(View<const l3l2q_body> bodies, Nanoseconds timeout,
					Opcode opcode = Opcode::data) const noexcept
	{
		return count(l3l2q_enqueue_run(producer_, static_cast<std::uint32_t>(opcode), bodies.data(),
					       static_cast<int>(bodies.size()), timeout.count()));
	}

	[[gnu::always_inline]] Result<Span> try_reserve(std::size_t nbytes) const noexcept
	{
		l3l2q_reservation span;
		int ret = l3l2q_try_reserve(producer_, nbytes, &span);

		if (ret)
			return Failed{ret};
		return Span(producer_, span);
	}
	Result<Span> reserve(std::size_t nbytes, Nanoseconds timeout) const noexcept
	{
		l3l2q_reservation span;
		int ret = l3l2q_reserve(producer_, nbytes, &span, timeout.count());

		if (ret)
			return Failed{ret};
		return Span(producer_, span);
	}
	/* Up to @n spans of @nbytes, at least one. */
	Result<SpanRun> try_reserve_run(std::size_t nbytes, int n) const noexcept
	{
		l3l2q_reservation span;
		int ret = l3l2q_try_reserve_run(producer_, nbytes, n, &span);

		if (ret < 0)
			return Failed{ret};
		return SpanRun(producer_, span, ret);
	}
	Result<SpanRun> reserve_run(std::size_t nbytes, int n, Nanoseconds timeout) const noexcept
	{
		l3l2q_reservation span;
		int ret = l3l2q_reserve_run(producer_, nbytes, n, &span, timeout.count());

		if (ret < 0)
			return Failed{ret};
		return SpanRun(producer_, span, ret);
	}

	Result<Batch> batch() const noexcept
	{
		int ret = l3l2q_batch_begin(producer_);

		if (ret)
			return Failed{ret};
		return Batch(producer_);
	}

	[[nodiscard]] int try_stop() const noexcept { return l3l2q_try_stop(producer_); }
	[[nodiscard]] int stop(Nanoseconds timeout) const noexcept { return l3l2q_stop(producer_, timeout.count()); }
	std::int64_t room() const noexcept { return l3l2q_room(producer_); }
	std::int64_t room_bytes() const noexcept { return l3l2q_room_bytes(producer_); }
	l3l2q_producer *get() const noexcept { return producer_; }

private:
	/* An empty view may point somewhere, an empty body may not. */
	static const void *data_of(ConstBytes body) noexcept { return body.empty() ? nullptr : body.data(); }

	static Result<std::size_t> count(int n) noexcept
	{
		if (n < 0)
			return Failed{n};
		return static_cast<std::size_t>(n);
	}

	l3l2q_producer *producer_ = nullptr;
};

/* ---- endpoint ---------------------------------------------------------------- */

/* One side of a region, which is closed. */
class Endpoint {
public:
	Endpoint() noexcept = default;
	/* Take over what a C function has made. */
	explicit Endpoint(l3l2q_ep *ep) noexcept : ep_(ep) {}
	Endpoint(Endpoint &&other) noexcept : ep_(other.release()) {}
	Endpoint &operator=(Endpoint &&other) noexcept
	{
		Endpoint old(std::move(*this));

		ep_ = other.release();
		return *this;
	}
	Endpoint(const Endpoint &) = delete;
	Endpoint &operator=(const Endpoint &) = delete;
	~Endpoint() { l3l2q_close(ep_); }

	static Result<Endpoint> create(const Attributes &attributes, Failure *why = nullptr) noexcept
	{
		l3l2q_ep *ep = nullptr;
		int ret = l3l2q_create(&ep, &attributes.get(), why ? why->get() : nullptr);

		return made(ep, ret);
	}
	/* @fd is empty afterwards if this succeeds, and unchanged if not. */
	static Result<Endpoint> attach(Descriptor &fd, const Attributes &attributes = Attributes(),
				       Failure *why = nullptr) noexcept
	{
		l3l2q_ep *ep = nullptr;
		int ret = l3l2q_attach(&ep, fd.get(), &attributes.get(), why ? why->get() : nullptr);

		if (!ret)
			fd.release();
		return made(ep, ret);
	}
	static Result<Endpoint> attach_external(const l3l2q_external &external,
						const Attributes &attributes = Attributes(),
						Failure *why = nullptr) noexcept
	{
		l3l2q_ep *ep = nullptr;
		int ret = l3l2q_attach_external(&ep, &external, &attributes.get(), why ? why->get() : nullptr);

		return made(ep, ret);
	}

	Result<Descriptor> open_peer() const noexcept
	{
		int fd = l3l2q_open_peer(ep_);

		if (fd < 0)
			return Failed{fd};
		return Descriptor(fd);
	}

	Producer producer() const noexcept { return Producer(l3l2q_ep_producer(ep_)); }
	Consumer consumer() const noexcept { return Consumer(l3l2q_ep_consumer(ep_)); }

	int detach() const noexcept { return l3l2q_detach(ep_); }
	int abort() const noexcept { return l3l2q_abort(ep_); }
	int interrupt() const noexcept { return l3l2q_interrupt(ep_); }

	/* The first error, of kind L3L2Q_ERR_NONE if there is none. */
	l3l2q_error error() const noexcept
	{
		l3l2q_error error{};

		l3l2q_ep_error(ep_, &error);
		return error;
	}
	Result<Info> info() const noexcept
	{
		Info info{};

		return filled(info, l3l2q_ep_info(ep_, &info));
	}
	Result<Stats> stats() const noexcept
	{
		Stats stats{};

		return filled(stats, l3l2q_ep_stats(ep_, &stats));
	}
	/* How many there are: 12, 10 or 6. */
	Result<std::size_t> scalars(std::array<std::uint64_t, L3L2Q_SCALARS> &out) const noexcept
	{
		int n = l3l2q_ep_scalars(ep_, out.data());

		if (n < 0)
			return Failed{n};
		return static_cast<std::size_t>(n);
	}
	int dump(View<char> text) const noexcept { return l3l2q_ep_dump(ep_, text.data(), text.size()); }

	/* L3L2Q_EVENT_* that hold */
	Result<std::uint32_t> wait(std::uint32_t events, Nanoseconds timeout) const noexcept
	{
		return some(l3l2q_wait(ep_, events, timeout.count()));
	}
	Result<std::uint32_t> arm(std::uint32_t events) const noexcept { return some(l3l2q_arm(ep_, events)); }
	/* The descriptor is the endpoint's. */
	int fd() const noexcept { return l3l2q_fd(ep_); }
	[[nodiscard]] int eventfd(std::uint32_t kind, int fd) const noexcept { return l3l2q_eventfd(ep_, kind, fd); }

	[[nodiscard]] int notify(std::uint64_t offset, l3l2q_notify_op op, std::int32_t value) const noexcept
	{
		return l3l2q_notify(ep_, offset, op, value);
	}
	Result<bool> test(std::uint64_t offset, l3l2q_cmp cmp, std::int32_t value,
			  std::int32_t *observed = nullptr) const noexcept
	{
		int ret = l3l2q_test(ep_, offset, cmp, value, observed);

		if (ret < 0)
			return Failed{ret};
		return ret != 0;
	}
	[[nodiscard]] int wait_counter(std::uint64_t offset, l3l2q_cmp cmp, std::int32_t value, Nanoseconds timeout,
				       std::int32_t *observed = nullptr) const noexcept
	{
		return l3l2q_wait_counter(ep_, offset, cmp, value, timeout.count(), observed);
	}
	[[nodiscard]] int payload_write(std::uint64_t offset, ConstBytes from) const noexcept
	{
		return l3l2q_payload_write(ep_, offset, from.data(), from.size());
	}
	[[nodiscard]] int payload_read(std::uint64_t offset, Bytes to) const noexcept
	{
		return l3l2q_payload_read(ep_, offset, to.data(), to.size());
	}

	l3l2q_ep *get() const noexcept { return ep_; }
	l3l2q_ep *release() noexcept { return std::exchange(ep_, nullptr); }

private:
	static Result<Endpoint> made(l3l2q_ep *ep, int ret) noexcept
	{
		if (ret)
			return Failed{ret};
		return Endpoint(ep);
	}
	template <typename T>
	static Result<T> filled(const T &value, int ret) noexcept
	{
		if (ret)
			return Failed{ret};
		return value;
	}
	static Result<std::uint32_t> some(int events) noexcept
	{
		if (events < 0)
			return Failed{events};
		return static_cast<std::uint32_t>(events);
	}

	l3l2q_ep *ep_ = nullptr;
};

} /* namespace l3l2q */

#endif /* L3L2Q_HPP */
