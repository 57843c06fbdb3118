// SPDX-License-Identifier: MIT
/* l3l2q.hpp over memfd: what its owners give back, and that its calls are those of l3l2q.h. */
#include <l3l2q.hpp>

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <vector>

#include "tap.h"

using namespace std::chrono_literals;
using namespace l3l2q;

static_assert(!std::is_copy_constructible_v<Endpoint> && std::is_nothrow_move_constructible_v<Endpoint>);
static_assert(!std::is_copy_constructible_v<Descriptor> && std::is_nothrow_move_assignable_v<Descriptor>);
static_assert(!std::is_copy_constructible_v<Message> && std::is_nothrow_move_assignable_v<Message>);
static_assert(!std::is_copy_constructible_v<Messages<2>> && std::is_nothrow_move_assignable_v<Messages<2>>);
static_assert(!std::is_copy_constructible_v<Run> && std::is_nothrow_move_assignable_v<Run>);
static_assert(!std::is_copy_constructible_v<Span> && std::is_nothrow_move_assignable_v<Span>);
static_assert(!std::is_copy_constructible_v<SpanRun> && std::is_nothrow_move_assignable_v<SpanRun>);
static_assert(!std::is_copy_constructible_v<Batch> && std::is_nothrow_move_assignable_v<Batch>);
static_assert(sizeof(Producer) == sizeof(void *) && std::is_trivially_copyable_v<Producer>);
static_assert(sizeof(Consumer) == sizeof(void *) && std::is_trivially_copyable_v<Consumer>);
static_assert(!std::is_convertible_v<ConstBytes, Bytes> && std::is_convertible_v<Bytes, ConstBytes>);

namespace {

Attributes memfd()
{
	return Attributes("memfd").depth(4).arenas(256, 256).window(4);
}

/* Both ends in this process. */
struct Pair {
	Endpoint l3, l2;
	bool made = false;

	explicit Pair(const Attributes &attributes = memfd())
	{
		auto one = Endpoint::create(attributes);

		if (!one)
			return;
		l3 = *std::move(one);
		auto fd = l3.open_peer();
		if (!fd)
			return;
		auto other = Endpoint::attach(*fd, attributes);
		made = other && fd->get() < 0;
		l2 = *std::move(other);
	}
};

int send(const Endpoint &ep, std::uint32_t value)
{
	return ep.producer().try_enqueue(bytes_of(View<const std::uint32_t>(&value, 1)));
}

std::uint32_t value_of(ConstBytes body)
{
	std::uint32_t value = 0;

	if (body.size() == sizeof(value))
		std::memcpy(&value, body.data(), sizeof(value));
	return value;
}

} /* namespace */

TEST(a_message_is_released_by_its_owner)
{
	Pair q;

	ASSERT_TRUE(q.made);
	ASSERT_EQ(0, send(q.l3, 7));
	{
		auto m = q.l2.consumer().try_peek();

		ASSERT_TRUE(m);
		EXPECT_EQ(7u, value_of(m->body()));
		EXPECT_EQ(4u, m->size());
		EXPECT_TRUE(m->opcode() == Opcode::data);
		EXPECT_EQ(1u, m->seq());
		Message moved = *std::move(m);
		EXPECT_EQ(0u, q.l2.stats()->received);
		Message assigned;
		assigned = std::move(moved);
		EXPECT_EQ(0u, q.l2.stats()->received);
	}
	EXPECT_EQ(1u, q.l2.stats()->received);
	EXPECT_EQ(-EAGAIN, q.l2.consumer().try_peek().error());
	EXPECT_EQ(-ETIMEDOUT, q.l2.consumer().peek(1us).error());
}

TEST(a_released_message_is_not_released_again)
{
	Pair q;

	ASSERT_EQ(0, send(q.l3, 7));
	{
		auto m = q.l2.consumer().peek(10s);

		ASSERT_TRUE(m);
		EXPECT_EQ(0, m->release());
	}
	EXPECT_EQ(L3L2Q_ERR_NONE, q.l2.error().kind);
	EXPECT_EQ(1u, q.l2.stats()->received);
}

TEST(assigning_releases_what_was_held)
{
	Pair q;

	ASSERT_EQ(0, send(q.l3, 1));
	ASSERT_EQ(0, send(q.l3, 2));
	Message m = *q.l2.consumer().try_peek();
	m = *q.l2.consumer().try_peek();
	EXPECT_EQ(1u, q.l2.stats()->received);
	EXPECT_EQ(2u, value_of(m.body()));
}

TEST(read_into_and_dequeue_copy)
{
	std::uint32_t to[2] = {0, 0};
	l3l2q_message m;
	Pair q;

	ASSERT_EQ(0, send(q.l3, 5));
	{
		auto held = q.l2.consumer().try_peek();

		ASSERT_TRUE(held);
		EXPECT_EQ(-EMSGSIZE, held->read_into(Bytes(writable_bytes_of(to).data(), 3)));
		EXPECT_EQ(0, held->read_into(writable_bytes_of(to)));
		EXPECT_EQ(5u, to[0]);
	}
	ASSERT_EQ(0, send(q.l3, 6));
	EXPECT_EQ(0, q.l2.consumer().try_dequeue(m, writable_bytes_of(to)));
	EXPECT_EQ(6u, to[0]);
	EXPECT_EQ(4u, m.nbytes);
	ASSERT_EQ(0, q.l3.producer().enqueue({}, 10s, Opcode::error));
	EXPECT_EQ(0, q.l2.consumer().dequeue(m, {}, 10s));
	EXPECT_TRUE(opcode_of(m) == Opcode::error);
}

TEST(a_span_is_cancelled_unless_it_is_committed)
{
	Pair q;

	{
		auto span = q.l2.producer().try_reserve(256);

		ASSERT_TRUE(span);
		EXPECT_EQ(256u, span->body().size());
		Span moved = *std::move(span);
		EXPECT_EQ(256u, moved.size());
	}
	EXPECT_EQ(0u, q.l2.stats()->sent);
	auto span = q.l2.producer().reserve(256, 10s);
	ASSERT_TRUE(span);
	span->body()[255] = std::byte{9};
	EXPECT_EQ(0, span->commit());
	auto m = q.l3.consumer().try_peek();
	ASSERT_TRUE(m);
	EXPECT_TRUE(m->body()[255] == std::byte{9});
	EXPECT_EQ(0, m->release());
	span = q.l2.producer().try_reserve(1);
	ASSERT_TRUE(span);
	EXPECT_EQ(0, span->cancel());
	EXPECT_EQ(-EMSGSIZE, q.l2.producer().try_reserve(257).error());
	EXPECT_EQ(L3L2Q_ERR_NONE, q.l2.error().kind);
}

TEST(a_refused_opcode_leaves_the_span_reserved)
{
	Pair q;
	auto span = q.l3.producer().try_reserve(4);

	ASSERT_TRUE(span);
	EXPECT_EQ(-EINVAL, span->commit(Opcode(9)));
	EXPECT_EQ(0, span->commit());
	EXPECT_EQ(1u, q.l3.stats()->sent);
}

TEST(runs_of_spans)
{
	Pair q;

	{
		auto run = q.l3.producer().try_reserve_run(64, 3);

		ASSERT_TRUE(run);
		ASSERT_EQ(3u, run->size());
		for (std::size_t i = 0; i < 3; i++)
			(*run)[i][0] = std::byte(i);
		EXPECT_EQ(-EINVAL, run->commit(4));
		EXPECT_EQ(0, run->commit(2));
	}
	{
		auto run = q.l3.producer().reserve_run(64, 1, 10s);

		EXPECT_TRUE(run);
	}
	EXPECT_EQ(2u, q.l3.stats()->sent);
	auto got = q.l2.consumer().try_peek_run(4);
	ASSERT_TRUE(got);
	ASSERT_EQ(2u, got->size());
	EXPECT_TRUE(body_of((*got)[1])[0] == std::byte{1});
}

TEST(a_run_is_released_alone)
{
	Pair q;

	for (std::uint32_t i = 1; i <= 3; i++)
		ASSERT_EQ(0, send(q.l3, i));
	Message first = *q.l2.consumer().try_peek();
	{
		auto run = q.l2.consumer().peek_run(4, 10s);
		std::uint32_t want = 2;

		ASSERT_TRUE(run);
		EXPECT_EQ(2u, run->size());
		for (const l3l2q_message &m : *run)
			EXPECT_EQ(want++, value_of(body_of(m)));
	}
	EXPECT_EQ(0, first.release());
	EXPECT_EQ(3u, q.l2.stats()->received);
	ASSERT_EQ(0, send(q.l3, 4));
	auto run = q.l2.consumer().try_peek_run(1);
	ASSERT_TRUE(run);
	EXPECT_EQ(0, run->release_upto());
	EXPECT_EQ(0, run->release());
	EXPECT_EQ(L3L2Q_ERR_NONE, q.l2.error().kind);
}

TEST(batches_of_messages)
{
	Pair q;

	for (std::uint32_t i = 1; i <= 4; i++)
		ASSERT_EQ(0, send(q.l3, i));
	{
		auto some = q.l2.consumer().try_peek_batch<3>();

		ASSERT_TRUE(some);
		ASSERT_EQ(3u, some->size());
		Messages<3> moved = *std::move(some);
		EXPECT_EQ(3u, value_of(body_of(moved[2])));
		EXPECT_EQ(0u, q.l2.stats()->received);
	}
	EXPECT_EQ(3u, q.l2.stats()->received);
	auto rest = q.l2.consumer().peek_batch<3>(10s);
	ASSERT_TRUE(rest);
	EXPECT_EQ(1u, rest->size());
	EXPECT_EQ(0, rest->release());
	EXPECT_EQ(-EAGAIN, q.l2.consumer().try_peek_batch<1>().error());
}

TEST(a_batch_is_published_when_it_ends)
{
	Pair q;

	{
		auto batch = q.l3.producer().batch();

		ASSERT_TRUE(batch);
		ASSERT_EQ(0, send(q.l3, 1));
		ASSERT_EQ(0, send(q.l3, 2));
		EXPECT_EQ(0, q.l2.consumer().pending());
		EXPECT_EQ(-EINVAL, q.l3.producer().batch().error());
	}
	EXPECT_EQ(2, q.l2.consumer().pending());
	auto batch = q.l3.producer().batch();
	ASSERT_TRUE(batch);
	EXPECT_EQ(0, batch->publish());
}

TEST(gathering_and_arrays_of_bodies)
{
	std::uint32_t words[2] = {1, 2};
	const iovec parts[] = {{&words[0], 4}, {&words[1], 4}};
	const l3l2q_body bodies[] = {{&words[0], 4}, {&words[1], 4}};
	Pair q;

	EXPECT_EQ(0, q.l3.producer().try_enqueuev(parts));
	EXPECT_EQ(0, q.l3.producer().enqueuev(parts, 10s));
	EXPECT_EQ(2u, *q.l3.producer().try_enqueue_run(bodies));
	EXPECT_EQ(-ETIMEDOUT, q.l3.producer().enqueue_run(bodies, 1us).error());
	EXPECT_EQ(0, q.l3.producer().room());
	EXPECT_EQ(0, q.l3.producer().room_bytes());
	EXPECT_EQ(8u, q.l2.consumer().try_peek()->size());
}

TEST(stop_ends_the_input)
{
	Pair q;

	EXPECT_EQ(0, q.l3.producer().stop(10s));
	EXPECT_EQ(-ESHUTDOWN, q.l3.producer().try_stop());
	EXPECT_FALSE(q.l2.consumer().drained());
	{
		auto m = q.l2.consumer().try_peek();

		ASSERT_TRUE(m);
		EXPECT_TRUE(m->is_stop());
		EXPECT_TRUE(m->body().empty());
	}
	EXPECT_TRUE(q.l2.consumer().drained());
}

TEST(an_endpoint_is_closed_by_its_owner)
{
	Pair q;

	{
		Endpoint gone = std::move(q.l2);

		EXPECT_TRUE(q.l2.get() == nullptr);
	}
	EXPECT_EQ(-EPIPE, q.l3.consumer().try_peek().error());
	l3l2q_ep *raw = q.l3.release();
	EXPECT_EQ(0, l3l2q_detach(raw));
	l3l2q_close(raw);
}

TEST(a_failure_says_why)
{
	Failure why;
	Descriptor none;

	EXPECT_EQ(-EINVAL, Endpoint::create(memfd().depth(3), &why).error());
	EXPECT_TRUE(std::strlen(why.text()) > 0);
	EXPECT_TRUE(Endpoint::attach(none).error() < 0);
}

TEST(a_refused_descriptor_is_kept)
{
	int pipes[2];

	ASSERT_EQ(0, ::pipe2(pipes, O_CLOEXEC));
	Descriptor a(pipes[0]), b(pipes[1]);
	EXPECT_TRUE(Endpoint::attach(a).error() < 0);
	EXPECT_EQ(pipes[0], a.get());
	b = std::move(a);
	EXPECT_EQ(-1, ::fcntl(pipes[1], F_GETFD));
	EXPECT_EQ(pipes[0], b.get());
}

TEST(what_an_endpoint_is)
{
	std::array<std::uint64_t, L3L2Q_SCALARS> scalars;
	char text[512];
	Pair q(memfd().tag("hpp").spsq(7, 42));

	ASSERT_TRUE(q.made);
	EXPECT_EQ(10u, *q.l3.scalars(scalars));
	EXPECT_EQ(42u, scalars[2]);
	EXPECT_EQ("hpp", static_cast<const char *>(q.l3.info()->tag));
	EXPECT_EQ(4u, q.l3.info()->window);
	EXPECT_TRUE(q.l3.dump(text) > 0);
	EXPECT_TRUE(q.l3.fd() >= 0);
	EXPECT_EQ(0u, *q.l2.arm(L3L2Q_EVENT_IN));
	ASSERT_EQ(0, send(q.l3, 1));
	EXPECT_TRUE(*q.l2.wait(L3L2Q_EVENT_IN, 10s) & L3L2Q_EVENT_IN);
	EXPECT_EQ(0, q.l2.interrupt());
	EXPECT_EQ(-EINTR, q.l2.consumer().peek(10s).error());
	EXPECT_EQ(0, q.l2.abort());
	EXPECT_EQ(-EIO, q.l2.consumer().try_peek().error());
	EXPECT_EQ(L3L2Q_ERR_ENDPOINT_ERROR, q.l2.error().kind);
}

TEST(raw_regions)
{
	std::uint32_t out = 0, in = 77;
	std::int32_t observed = 0;
	Pair q(Attributes("memfd").ranges(64, 64));

	ASSERT_TRUE(q.made);
	EXPECT_EQ(0, q.l3.payload_write(8, bytes_of(View<const std::uint32_t>(&in, 1))));
	EXPECT_EQ(0, q.l2.payload_read(8, writable_bytes_of(View<std::uint32_t>(&out, 1))));
	EXPECT_EQ(77u, out);
	EXPECT_EQ(-ERANGE, q.l3.payload_write(62, bytes_of(View<const std::uint32_t>(&in, 1))));
	EXPECT_FALSE(*q.l2.test(4, L3L2Q_CMP_GE, 3));
	EXPECT_EQ(0, q.l3.notify(4, L3L2Q_NOTIFY_ADD, 3));
	EXPECT_TRUE(*q.l2.test(4, L3L2Q_CMP_GE, 3, &observed));
	EXPECT_EQ(3, observed);
	EXPECT_EQ(0, q.l2.wait_counter(4, L3L2Q_CMP_EQ, 3, 10s));
	EXPECT_EQ(-ERANGE, q.l2.test(64, L3L2Q_CMP_EQ, 0).error());
}

TEST(an_empty_owner_gives_back_nothing)
{
	std::uint32_t to[1] = {0};
	Pair q;

	ASSERT_EQ(0, send(q.l3, 1));
	Message m = *q.l2.consumer().try_peek();
	EXPECT_EQ(0, m.release());
	EXPECT_EQ(0, m.release());
	EXPECT_EQ(-EINVAL, m.read_into(writable_bytes_of(to)));
	EXPECT_EQ(0, Messages<2>().release());
	EXPECT_EQ(0, Run().release());
	EXPECT_EQ(0, Run().release_upto());

	Span span = *q.l3.producer().try_reserve(4);
	EXPECT_EQ(0, span.commit());
	EXPECT_EQ(-EINVAL, span.commit());
	EXPECT_EQ(0, span.cancel());
	SpanRun run = *q.l3.producer().try_reserve_run(4, 2);
	EXPECT_EQ(0, run.commit());
	EXPECT_EQ(-EINVAL, run.commit());
	EXPECT_EQ(0, run.cancel());
	Batch batch = *q.l3.producer().batch();
	EXPECT_EQ(0, batch.publish());
	EXPECT_EQ(-EINVAL, batch.publish());
	EXPECT_EQ(4u, q.l3.stats()->sent);
	EXPECT_EQ(L3L2Q_ERR_NONE, q.l3.error().kind);
	EXPECT_EQ(L3L2Q_ERR_NONE, q.l2.error().kind);
}

TEST(views)
{
	std::vector<std::uint16_t> words = {1, 2, 3};
	View<const std::uint16_t> view(words);
	std::array<char, 3> chars = {{'a', 'b', 'c'}};
	unsigned int sum = 0;

	for (std::uint16_t w : view)
		sum += w;
	EXPECT_EQ(6u, sum);
	EXPECT_EQ(6u, bytes_of(view).size());
	EXPECT_EQ(2u, view.subview(1, 2)[0]);
	EXPECT_EQ(3u, View<char>(chars).size());
	EXPECT_TRUE(ConstBytes().empty());
}
