/* SPDX-License-Identifier: MIT */
/* Queues of G1b and G2 that hold several messages. As queue_tests.h, which comes first. */
#ifndef CXX_SIMPLER_WINDOW_TESTS_H
#define CXX_SIMPLER_WINDOW_TESTS_H

static_assert(!std::is_copy_constructible_v<gen::Endpoint<2>> && !std::is_move_constructible_v<gen::Endpoint<2>>);
static_assert(gen::Endpoint<4>::kStopEntrySlots == 1 && gen::Endpoint<4>::kEntryCapacity == 5);
static_assert(sizeof(gen::Slot) == 32 && sizeof(gen::Layout) == 120 && sizeof(gen::Args) == 48);
static_assert(sizeof(gen::Handle) == 48 && sizeof(gen::Reservation) == 48 && sizeof(gen::Error) == 272);

TEST(MagicVersionConstantMatchesCompatibilityWrapper)
{
	EXPECT_EQ(0x4C33513200010001ull, gen::kQueueVersion);
	EXPECT_EQ(gen::kQueueVersion, gen::queue::magic_version());
	EXPECT_EQ(0x4C335132u, CONSTANT(QUEUE_MAGIC));
	EXPECT_EQ(384u, CONSTANT(QUEUE_COUNTER_BYTES));
	EXPECT_EQ(1u << 30, CONSTANT(QUEUE_MAX_DEPTH));
}

TEST(ErrorOperationStringsAndMessageCopyAreStable)
{
	const char *names[] = {"unknown", "init", "timeout", "input.try_peek", "input.release",
			       "output.try_reserve", "output.publish", "unknown"};
	char text[8];

	for (uint32_t i = 0; i < 8; i++)
		EXPECT_EQ(names[i], gen::op_name(gen::Op(i)));
	gen::orch::copy_error_message(text, sizeof(text), "0123456789");
	EXPECT_EQ("0123456", static_cast<const char *>(text));
	gen::orch::copy_error_message(text, sizeof(text), nullptr);
	EXPECT_EQ("", static_cast<const char *>(text));
	EXPECT_TRUE(gen::queue::valid_opcode(gen::Opcode::STOP));
	EXPECT_FALSE(gen::queue::valid_opcode(4u));
}

TEST(MaxInflightGreaterThanDepthSetsBadArgumentWithoutAbortFlag)
{
	Fixture<5> q;
	gen::Handle m;

	q.expect_error(gen::Kind::BAD_ARGUMENT, "init", "invalid input window", 0);
	EXPECT_EQ(4u, q.ep.layout().depth);
	EXPECT_FALSE(q.try_peek(m));
}

TEST(MultiInflightAcquireAllowsSeveralDataInputs)
{
	Fixture<4> q;
	gen::Handle m[4];

	for (uint64_t i = 0; i < 4; i++)
		q.l3.send(kData, i * 8, 8);
	for (uint64_t i = 0; i < 4; i++) {
		ASSERT_TRUE(q.try_peek(m[i]));
		EXPECT_EQ(i + 1, m[i].seq);
	}
	EXPECT_EQ(0, q.l3.input_head());
	for (const gen::Handle &held : m)
		EXPECT_TRUE(q.release(held));
	EXPECT_EQ(4, q.l3.input_head());
	q.expect_no_error();
}

TEST(MultiInflightAcquireAllowsNonZeroPayloadOffsetsBeforeRelease)
{
	Fixture<2> q;
	gen::Handle a, b;

	q.l3.send(kData, 0, 100);
	q.l3.send(kData, 100, 28);
	ASSERT_TRUE(q.try_peek(a));
	ASSERT_TRUE(q.try_peek(b));
	EXPECT_EQ(q.l3.input_arena() + 100, b.payload_offset);
	q.expect_no_error();
}

TEST(ErrorCountsAgainstInputWindowAndFullDoesNotPoison)
{
	Fixture<2> q;
	gen::Handle a, b, c;

	q.l3.send(kError, 0, 4);
	q.l3.send(kData, 4, 4);
	q.l3.send_at(kData, 1, 1); /* a full window hides its bad offset */
	ASSERT_TRUE(q.try_peek(a));
	ASSERT_TRUE(q.try_peek(b));
	EXPECT_FALSE(q.try_peek(c));
	EXPECT_TRUE(is_empty(c));
	q.expect_no_error();
	ASSERT_TRUE(q.release(b)); /* behind one that is held */
	EXPECT_FALSE(q.try_peek(c));
	q.expect_no_error();
	ASSERT_TRUE(q.release(a));
	EXPECT_FALSE(q.try_peek(c));
	q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "input payload out of arena");
}

TEST(FullWindowDoesNotHideBadSeq)
{
	Fixture<2> q;
	gen::Handle m;

	for (uint64_t i = 0; i < 3; i++)
		q.l3.send(kData, i * 4, 4);
	q.l3.write_slot(0, 2, 9, kData, 0, 0);
	ASSERT_TRUE(q.try_peek(m));
	ASSERT_TRUE(q.try_peek(m));
	EXPECT_FALSE(q.try_peek(m));
	q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "input descriptor seq mismatch");
}

TEST(OutOfOrderInputReleaseOnlyAdvancesCompletedFifoPrefix)
{
	Fixture<4> q;
	gen::Handle m[3];

	for (uint64_t i = 0; i < 3; i++)
		q.l3.send(kData, i * 4, 4);
	for (gen::Handle &held : m)
		ASSERT_TRUE(q.try_peek(held));
	EXPECT_TRUE(q.release(m[2]));
	EXPECT_EQ(0, q.l3.input_head());
	EXPECT_TRUE(q.release(m[0]));
	EXPECT_EQ(1, q.l3.input_head());
	EXPECT_TRUE(q.release(m[1]));
	EXPECT_EQ(3, q.l3.input_head());
	q.expect_no_error();
}

TEST(RingWrapReleaseKeepsLogicalFifoOrder)
{
	Fixture<2> q(2, 64, 64);
	gen::Handle a, b;

	for (int round = 0; round < 5; round++) {
		q.l3.send(kData, 0, 0);
		q.l3.send(kData, 0, 0);
		ASSERT_TRUE(q.try_peek(a));
		ASSERT_TRUE(q.try_peek(b));
		ASSERT_TRUE(q.release(b));
		EXPECT_EQ(2 * round, q.l3.input_head());
		ASSERT_TRUE(q.release(a));
		EXPECT_EQ(2 * round + 2, q.l3.input_head());
	}
	q.expect_no_error();
}

TEST(StopDoesNotCountAgainstWindowAndDrainsAfterEarlierInputs)
{
	Fixture<2> q;
	gen::Handle a, b, stop;

	q.l3.send(kData, 0, 4);
	q.l3.send(kData, 4, 4);
	q.l3.stop();
	ASSERT_TRUE(q.try_peek(a));
	ASSERT_TRUE(q.try_peek(b));
	ASSERT_TRUE(q.try_peek(stop));
	EXPECT_EQ(gen::Opcode::STOP, stop.opcode);
	EXPECT_TRUE(q.release(stop));
	EXPECT_FALSE(q.ep.input().drained());
	EXPECT_TRUE(q.release(a));
	EXPECT_FALSE(q.ep.input().drained());
	EXPECT_TRUE(q.release(b));
	EXPECT_TRUE(q.ep.input().drained());
	EXPECT_EQ(3, q.l3.input_head());
	q.expect_no_error();
}

TEST(TryPeekAfterStopAcquireIsNoProgressWithoutPoison)
{
	Fixture<2> q;
	gen::Handle stop, m;

	q.l3.stop();
	ASSERT_TRUE(q.try_peek(stop));
	EXPECT_FALSE(q.try_peek(m));
	EXPECT_FALSE(gen::peek(q.ep, 0, m));
	q.expect_no_error();
	q.l3.send(kData, 0, 4);
	EXPECT_FALSE(q.try_peek(m));
	q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "input descriptor published after STOP");
}

TEST(StopAcquirePoisonsIfLaterInputAlreadyObserved)
{
	Fixture<2> q;
	gen::Handle m;

	q.l3.stop();
	q.l3.send(kData, 0, 4);
	EXPECT_FALSE(q.try_peek(m));
	EXPECT_EQ(gen::Opcode::STOP, m.opcode); /* the handle is there all the same */
	EXPECT_EQ(1u, m.seq);
	q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "input descriptor published after STOP");
}

TEST(InputReleaseRejectsStaleAndDoubleRelease)
{
	gen::Handle a, b;

	{
		Fixture<2> q;

		q.l3.send(kData, 0, 4);
		q.l3.send(kData, 4, 4);
		ASSERT_TRUE(q.try_peek(a));
		ASSERT_TRUE(q.try_peek(b));
		ASSERT_TRUE(q.release(b));
		EXPECT_FALSE(q.release(b)); /* it is still stored */
		q.expect_error(gen::Kind::OWNERSHIP, "input.release", "input handle already released");
	}
	Fixture<2> q;
	q.l3.send(kData, 0, 4);
	ASSERT_TRUE(q.try_peek(a));
	ASSERT_TRUE(q.release(a));
	EXPECT_FALSE(q.release(a));
	q.expect_error(gen::Kind::OWNERSHIP, "input.release", "input handle is not active");
}

TEST(OutputReservePublishWorksDuringStopDrain)
{
	Fixture<2> q;
	gen::Handle a, stop;

	q.l3.send(kData, 0, 4);
	q.l3.stop();
	ASSERT_TRUE(q.try_peek(a));
	ASSERT_TRUE(q.try_peek(stop));
	ASSERT_TRUE(q.release(stop));
	EXPECT_TRUE(q.send(8));
	ASSERT_TRUE(q.release(a));
	EXPECT_TRUE(q.ep.input().drained());
	EXPECT_TRUE(q.send(8));
	EXPECT_EQ(2, q.l3.output_tail());
	q.expect_no_error();
}

TEST(CacheIsMaintainedForWhatIsRead)
{
	Fixture<2> q;
	gen::Handle m;
	gen::Reservation r;

	cache_calls = {};
	EXPECT_FALSE(q.try_peek(m)); /* the tail */
	EXPECT_EQ(1u, cache_calls.invalidates);
	EXPECT_EQ(4u, cache_calls.last_invalidated);
	q.l3.send(kData, 0, 50);
	cache_calls = {};
	ASSERT_TRUE(q.try_peek(m)); /* tail, slot, body */
	EXPECT_EQ(3u, cache_calls.invalidates);
	EXPECT_EQ(50u, cache_calls.last_invalidated);
	EXPECT_EQ(0u, cache_calls.flushes);
	ASSERT_TRUE(q.release(m));
	EXPECT_EQ(1u, cache_calls.flushes);
	EXPECT_EQ(4u, cache_calls.last_flushed);
	cache_calls = {};
	ASSERT_TRUE(q.try_reserve(64, r)); /* the head */
	EXPECT_EQ(1u, cache_calls.invalidates);
	ASSERT_TRUE(q.publish(r)); /* 24 bytes of the slot, 8 bytes of it, the tail; not the body */
	EXPECT_EQ(1u, cache_calls.invalidates);
	EXPECT_EQ(3u, cache_calls.flushes);
	q.l3.release_output(1);
	cache_calls = {};
	ASSERT_TRUE(q.try_reserve(64, r)); /* the head and the slot that was released */
	EXPECT_EQ(2u, cache_calls.invalidates);
	EXPECT_EQ(32u, cache_calls.last_invalidated);
	cache_calls = {};
	EXPECT_FALSE(gen::peek(q.ep, 0, m)); /* the tail, then L3's flag */
	EXPECT_EQ(2u, cache_calls.invalidates);
}

#endif /* CXX_SIMPLER_WINDOW_TESTS_H */
