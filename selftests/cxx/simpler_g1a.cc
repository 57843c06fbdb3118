// SPDX-License-Identifier: MIT
/* The names of simpler's commit 3e6cc9d35 (#1187), as an orchestration includes them. */
#include <stdint.h>
#include "aicpu/l3_l2_message_queue.h"
#include "pto_orchestration_api.h"

#define CLASS(name) L3L2##name
#define FUNCTION(name) l3_l2_##name
#define CONSTANT(name) L3L2_##name
#include "simpler/by_pointer.h"

namespace gen {

constexpr uint64_t kRegionVersion = 0x4C334C3200020000;
constexpr const char *kBadDescriptor = "invalid descriptor";
constexpr const char *kBadScalars = "invalid descriptor scalars";

inline uint64_t l3_abort_offset(const Layout &l)
{
	return l.l3_abort_flag_offset;
}

inline uint64_t l2_abort_offset(const Layout &l)
{
	return l.l2_abort_flag_offset;
}

inline uint64_t ticks_to_ns(uint64_t ticks, uint64_t hz)
{
	return l3_l2_orch_endpoint_ticks_to_ns(ticks, hz);
}

inline uint64_t elapsed_ns(uint64_t start, uint64_t end, uint64_t hz)
{
	return l3_l2_orch_endpoint_elapsed_ns(start, end, hz);
}

inline uint64_t frequency_hz()
{
	return l3_l2_orch_endpoint_timer_frequency_hz();
}

} /* namespace gen */

#include "simpler/queue_tests.h"
#include "simpler/endpoint_tests.h"

TEST(NullInputPeekOutputIsPreMutationRejectionWithoutAbort)
{
	Fixture<> q;
	gen::Handle m;

	q.memory.counter(0) = -1; /* would poison if it were read */
	EXPECT_FALSE(q.ep.input().try_peek(nullptr));
	EXPECT_FALSE(q.ep.input().peek(1000000000, nullptr));
	EXPECT_FALSE(q.ep.output().try_reserve(8, nullptr));
	EXPECT_FALSE(q.ep.output().reserve(8, 1000000000, nullptr));
	q.expect_no_error();
	q.memory.counter(0) = 0;
	q.l3.send(kData, 0, 4);
	EXPECT_TRUE(q.try_peek(m));
}

TEST(StopIsTakenWithALaterInputPublished)
{
	Fixture<> q;
	gen::Handle m;

	q.l3.stop();
	q.l3.send(kData, 0, 4);
	ASSERT_TRUE(q.try_peek(m));
	EXPECT_EQ(gen::Opcode::STOP, m.opcode);
	ASSERT_TRUE(q.release(m));
	EXPECT_FALSE(q.try_peek(m));
	q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "input descriptor published after STOP");
}

TEST(ACopyGoesOnFromWhereItWasMade)
{
	Fixture<> q;
	gen::Handle m;

	q.l3.send(kData, 0, 4);
	ASSERT_TRUE(q.try_peek(m));
	L3L2QueueEndpoint copy(q.ep);
	ASSERT_TRUE(copy.input().release(m));
	EXPECT_EQ(1, q.l3.input_head());
	q.l3.send(kData, 4, 4);
	ASSERT_TRUE(copy.input().try_peek(&m));
	EXPECT_EQ(2u, m.seq);
	EXPECT_FALSE(copy.input().try_peek(&m));
	q.ep = copy;
	q.expect_error(gen::Kind::OWNERSHIP, "input.try_peek", "input handle already active");
}

static_assert(!l3_l2_queue_valid_opcode(0u) && l3_l2_queue_valid_opcode(L3L2QueueOpcode::STOP));
static_assert(l3_l2_queue_magic_version() == 0x4C33513200010001 && l3_l2_queue_is_power_of_two(8));
static_assert(l3_l2_orch_comm_is_aligned(128, 64) && !l3_l2_orch_comm_is_aligned(8, 64));
static_assert(sizeof(L3L2OrchCommRequest) == 72 && sizeof(L3L2OrchCommResponse) == 328);

#include "simpler/twelve_scalars.h"

namespace gen {

constexpr uint64_t kFlowWindow = 1;
using FlowQueue = ScalarQueue<1>;

/* As orchestration.h, with one handle: what has to be held is copied. */
class Orchestration {
public:
	explicit Orchestration(const OrchArgs &args) : queue_(args) {}

	bool run()
	{
		Handle stop;

		if (!copy(0) || !copy(1) || !answer(1, 0, kWords) || !answer(0, 0, kWords) || !copy(0))
			return false;
		for (size_t i = 0; i < 3; i++)
			if (!answer(0, 2 * i, 2))
				return false;
		if (!copy(0) || !copy(1) || !peek(queue_.ep, kTimeoutNs, stop) || stop.opcode != Opcode::STOP)
			return false;
		return answer(0, 0, kWords, 1) && queue_.ep.input().release(stop);
	}

private:
	static constexpr uint64_t kTimeoutNs = 60000000000;
	static constexpr size_t kWords = 6;
	static constexpr size_t kNone = 2;

	bool copy(size_t to)
	{
		Handle m;

		if (!peek(queue_.ep, kTimeoutNs, m) || m.payload_nbytes != sizeof(held_[to]))
			return false;
		std::memcpy(held_[to], reinterpret_cast<const void *>(m.payload.gm_addr), sizeof(held_[to]));
		return queue_.ep.input().release(m);
	}
	ExternalTensor tensor(size_t which, size_t from, size_t words) const
	{
		return make_tensor_external(reinterpret_cast<uint64_t>(held_[which] + from), words * 4);
	}
	bool answer(size_t which, size_t from, size_t words, size_t other = kNone)
	{
		Reservation span;

		if (!reserve(queue_.ep, words * 4, kTimeoutNs, span))
			return false;
		rt_submit_aiv_task(tensor(which, from, words),
				   other == kNone ? ExternalTensor{} : tensor(other, from, words),
				   make_tensor_external(span.payload.gm_addr, words * 4));
		l3_l2_orch_endpoint_cache_flush_range(reinterpret_cast<const void *>(span.payload.gm_addr), words * 4);
		return queue_.ep.output().publish(span, Opcode::DATA);
	}

	FlowQueue queue_;
	uint32_t held_[2][kWords];
};

} /* namespace gen */

#include "simpler/flow.h"
