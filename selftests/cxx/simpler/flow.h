/* SPDX-License-Identifier: MIT */
/*
 * The data flow of the reference's example, with this library as L3: two inputs that are held
 * and answered in the other order, three outputs for one input, two inputs that are merged
 * after STOP was taken. And a stream of random messages, in random order. The source that
 * includes this has given the generation's names to namespace gen, and has an Orchestration.
 */
#ifndef CXX_SIMPLER_FLOW_H
#define CXX_SIMPLER_FLOW_H

#include <cerrno>
#include <thread>

#include "memory.h"

namespace gen {

inline void orchestration(const OrchArgs &args)
{
	Orchestration work(args);
	bool ok = work.run();

	if (!ok)
		rt_report_fatal("queue");
	EXPECT_TRUE(ok);
}

/* The fatal error that it reports. */
inline const char *orchestration_until_abort(const OrchArgs &args)
{
	FlowQueue queue(args);
	Handle m;

	fatal_text = nullptr;
	if (!peek(queue.ep, 1000, m) && queue.ep.error().kind == Kind::REMOTE_ABORTED)
		rt_report_fatal("queue");
	return fatal_text;
}

} /* namespace gen */

namespace flow {

constexpr uint64_t kDepth = 8, kInputBytes = 512, kOutputBytes = 512;
constexpr uint64_t kWaitNs = 60000000000;
constexpr size_t kWords = 6;
constexpr std::chrono::seconds kWait(60);

/* L3 of this library over the memory, and what L2 gets of it. */
struct L3 {
	Memory memory;
	RawL3 raw{memory, kDepth, kInputBytes, kOutputBytes};
	OrchArgs args{};
	l3l2q::Endpoint ep;

	L3()
	{
		l3l2q_external external{};

		gen::put_scalars(memory, raw, args.scalars);
		for (unsigned int i = 0; i < gen::kScalars; i++)
			external.scalars[i] = args.scalars[i];
		external.scalar_count = gen::kScalars;
		external.payload = memory.payload;
		external.counters = memory.counters;
		external.role = L3L2Q_ROLE_L3;
		auto made = l3l2q::Endpoint::attach_external(external, l3l2q::Attributes().window(4));
		EXPECT_EQ(0, made.error());
		ep = *std::move(made);
	}
};

inline uint64_t mix(uint64_t &state)
{
	state = state * 6364136223846793005 + 1442695040888963407;
	return state >> 33;
}

} /* namespace flow */

TEST(DataFlowOfTheExampleWithTheLibraryAsL3)
{
	flow::L3 l3;
	const auto producer = l3.ep.producer();
	const auto consumer = l3.ep.consumer();
	uint32_t in[5][flow::kWords];

	for (uint32_t i = 0; i < 5; i++)
		for (uint32_t w = 0; w < flow::kWords; w++)
			in[i][w] = 100 * i + w;

	std::thread l2([&] { gen::orchestration(l3.args); });
	for (const auto &body : in)
		EXPECT_EQ(0, producer.enqueue(l3l2q::bytes_of(body), flow::kWait));
	EXPECT_EQ(0, producer.stop(flow::kWait));

	/* which input, from which word on, how many words, what is added to each */
	const struct {
		uint32_t input, from, words, plus;
	} want[] = {{1, 0, 6, 0}, {0, 0, 6, 0}, {2, 0, 2, 0}, {2, 2, 2, 0}, {2, 4, 2, 0}, {3, 0, 6, 0}};
	uint64_t n = 0, offset = l3.raw.output_arena();
	for (const auto &w : want) {
		auto m = consumer.peek(flow::kWait);
		ASSERT_EQ(0, m.error());
		EXPECT_TRUE(m->opcode() == l3l2q::Opcode::data);
		EXPECT_EQ(w.words * 4, m->size());
		for (uint32_t i = 0; i < w.words && m->size() == w.words * 4; i++) {
			uint32_t got, sum = in[w.input][w.from + i];

			if (w.input == 3) /* merged with the next one */
				sum += in[4][w.from + i];
			std::memcpy(&got, m->body().data() + i * 4, sizeof(got));
			EXPECT_EQ(2 * sum, got);
		}
		const std::array<uint64_t, 4> slot = {{n + 1, kData, offset, w.words * 4}};
		EXPECT_TRUE(slot == l3.raw.output(n));
		offset += w.words * 4;
		n++;
		EXPECT_EQ(0, m->release());
	}
	l2.join();
	EXPECT_EQ(-EAGAIN, consumer.try_peek().error());
	EXPECT_EQ(6, l3.raw.output_tail());
	EXPECT_EQ(6, l3.raw.input_head());
	EXPECT_EQ(0, l3.raw.abort_flag());
	EXPECT_EQ(L3L2Q_ERR_NONE, l3.ep.error().kind);
}

TEST(AnAbortOfTheLibraryEndsTheOrchestration)
{
	flow::L3 l3;

	EXPECT_EQ(0, l3.ep.abort());
	EXPECT_EQ("queue", gen::orchestration_until_abort(l3.args));
	EXPECT_EQ(0, l3.raw.abort_flag());
}

/* Both ends in this thread, so that every order of calls can come up. */
TEST(RandomMessagesBothWays)
{
	flow::L3 l3;
	const auto producer = l3.ep.producer();
	const auto consumer = l3.ep.consumer();
	gen::FlowQueue l2(l3.args);
	gen::Handle held[4];
	gen::Reservation span;
	unsigned char body[flow::kOutputBytes];
	uint64_t seed = 1, sent = 0, taken = 0, answered = 0, got = 0, n_held = 0, order = 7;
	constexpr uint64_t kMessages = 20000;

	/* message i: its length, and the byte that fills it */
	auto length = [](uint64_t i) {
		uint64_t state = i;
		uint64_t r = flow::mix(state);

		return r % 16 == 0 ? 512 : r % 16 == 1 ? 0 : r % 130;
	};
	while (got < kMessages) {
		switch (flow::mix(order) % 4) {
		case 0:
			std::memset(body, static_cast<int>(sent), length(sent));
			if (sent < kMessages && !producer.try_enqueue({reinterpret_cast<std::byte *>(body), length(sent)}))
				sent++;
			break;
		case 1:
			if (n_held < gen::kFlowWindow && gen::try_peek(l2.ep, held[n_held])) {
				ASSERT_EQ(length(taken), held[n_held].payload_nbytes);
				taken++;
				n_held++;
			}
			break;
		case 2:
			/* answers are in order, and releases are not */
			if (answered < taken && gen::try_reserve(l2.ep, length(answered), span)) {
				if (length(answered))
					std::memset(reinterpret_cast<void *>(gen::address_of(span)),
						    static_cast<int>(answered), length(answered));
				ASSERT_TRUE(l2.ep.output().publish(span, gen::Opcode::DATA));
				answered++;
			}
			if (n_held && flow::mix(seed) % 2) {
				uint64_t which = flow::mix(seed) % n_held;

				ASSERT_TRUE(l2.ep.input().release(held[which]));
				held[which] = held[--n_held];
			}
			break;
		default:
			auto m = consumer.try_peek();
			if (!m)
				break;
			ASSERT_EQ(length(got), m->size());
			if (m->size()) {
				EXPECT_EQ(got & 0xff, std::to_integer<unsigned int>(m->body()[0]));
				EXPECT_EQ(got & 0xff, std::to_integer<unsigned int>(m->body()[m->size() - 1]));
			}
			got++;
		}
		ASSERT_EQ(gen::Kind::NONE, l2.ep.error().kind);
		ASSERT_EQ(L3L2Q_ERR_NONE, l3.ep.error().kind);
	}
	EXPECT_EQ(0, l3.raw.abort_flag());
}

#endif /* CXX_SIMPLER_FLOW_H */
