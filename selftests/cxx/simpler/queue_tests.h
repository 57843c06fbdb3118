/* SPDX-License-Identifier: MIT */
/*
 * What queues of G1a, G1b and G2 have in common. The source that includes this has given the
 * generation's names to namespace gen. L3 is RawL3.
 */
#ifndef CXX_SIMPLER_QUEUE_TESTS_H
#define CXX_SIMPLER_QUEUE_TESTS_H

#include "memory.h"

namespace {

gen::Desc region_of(const Memory &memory, const RawL3 &l3)
{
	return {gen::kRegionVersion, 7, memory.payload_base(), l3.payload_bytes(), memory.counter_base(), 384};
}

/* An endpoint, and what L3 would have. */
template <uint64_t Window = 1>
struct Fixture {
	Memory memory;
	RawL3 l3;
	gen::Args args;
	gen::Endpoint<Window> ep;

	explicit Fixture(uint64_t depth = 4, uint64_t input = 128, uint64_t output = 192)
		: l3(memory, depth, input, output),
		  args{gen::kQueueVersion, depth, input, output, l3.payload_bytes(), 384},
		  ep(region_of(memory, l3), args)
	{
	}

	bool try_peek(gen::Handle &m) { return gen::try_peek(ep, m); }
	bool release(const gen::Handle &m) { return ep.input().release(m); }
	bool try_reserve(uint64_t nbytes, gen::Reservation &r) { return gen::try_reserve(ep, nbytes, r); }
	bool publish(const gen::Reservation &r, gen::Opcode opcode = gen::Opcode::DATA)
	{
		return ep.output().publish(r, opcode);
	}
	bool send(uint64_t nbytes)
	{
		gen::Reservation r;

		return try_reserve(nbytes, r) && publish(r);
	}

	/* The first error, and whether L3 was told. */
	void expect_error(gen::Kind kind, const char *op, const char *text, int32_t flag = 1)
	{
		EXPECT_EQ(kind, ep.error().kind);
		EXPECT_EQ(op, gen::op_of(ep.error()));
		EXPECT_EQ(text, static_cast<const char *>(ep.error().message));
		EXPECT_EQ(7u, ep.error().region_id);
		EXPECT_EQ(flag, l3.abort_flag());
	}
	void expect_no_error()
	{
		EXPECT_EQ(gen::Kind::NONE, ep.error().kind);
		EXPECT_EQ(0, l3.abort_flag());
	}
};

bool is_empty(const gen::Handle &m)
{
	return !m.seq && m.opcode == gen::Opcode::INVALID && !m.payload_offset && !m.payload_nbytes &&
	       !m.payload.gm_addr && !m.payload.nbytes;
}

} /* namespace */

/* ---- layout and helpers -------------------------------------------------------- */

TEST(LayoutAssignsPayloadAndAbortCounterOffsets)
{
	gen::Layout l{};

	ASSERT_TRUE(gen::queue::make_layout(4, 128, 192, l));
	EXPECT_EQ(4u, l.depth);
	EXPECT_EQ(0u, l.input_desc_offset);
	EXPECT_EQ(128u, l.output_desc_offset);
	EXPECT_EQ(256u, l.input_arena_offset);
	EXPECT_EQ(384u, l.output_arena_offset);
	EXPECT_EQ(128u, l.input_arena_bytes);
	EXPECT_EQ(192u, l.output_arena_bytes);
	EXPECT_EQ(576u, l.payload_bytes);
	EXPECT_EQ(0u, l.input_desc_tail_offset);
	EXPECT_EQ(64u, l.input_desc_head_offset);
	EXPECT_EQ(128u, l.output_desc_tail_offset);
	EXPECT_EQ(192u, l.output_desc_head_offset);
	EXPECT_EQ(256u, gen::l3_abort_offset(l));
	EXPECT_EQ(320u, gen::l2_abort_offset(l));
	EXPECT_EQ(384u, l.counter_bytes);
}

TEST(LayoutLockstepCasesMatchPythonMirrorExpectations)
{
	const uint64_t cases[][7] = {
		{1, 64, 64, 32, 64, 128, 192}, {4, 128, 192, 128, 256, 384, 576}, {8, 192, 64, 256, 512, 704, 768}};
	gen::Layout l{};

	for (const auto &c : cases) {
		ASSERT_TRUE(gen::queue::make_layout(c[0], c[1], c[2], l));
		EXPECT_EQ(c[3], l.output_desc_offset);
		EXPECT_EQ(c[4], l.input_arena_offset);
		EXPECT_EQ(c[5], l.output_arena_offset);
		EXPECT_EQ(c[6], l.payload_bytes);
	}
}

TEST(LayoutRejectsInvalidDepthArenaAndCounterBytes)
{
	const uint64_t bad[][3] = {{0, 64, 64}, {3, 64, 64}, {1ull << 31, 64, 64}, {4, 0, 64},
				   {4, 64, 0},  {4, 63, 64}, {4, 64, 100}};
	gen::Layout l{};
	Memory memory;
	RawL3 l3(memory, 4, 128, 192);
	gen::Desc desc = region_of(memory, l3);
	gen::Args args = {gen::kQueueVersion, 4, 128, 192, 576, 384};

	for (const auto &b : bad)
		EXPECT_FALSE(gen::queue::make_layout(b[0], b[1], b[2], l));
	EXPECT_TRUE(gen::queue::validate_region(desc, args, &l));
	EXPECT_TRUE(gen::queue::validate_region(desc, args, nullptr));
	args.counter_bytes = 380;
	EXPECT_FALSE(gen::queue::validate_region(desc, args, &l));
	args.counter_bytes = 384;
	desc.counter_bytes = 448;
	EXPECT_FALSE(gen::queue::validate_region(desc, args, &l));
	desc = region_of(memory, l3);
	desc.payload_bytes += 64;
	EXPECT_FALSE(gen::queue::validate_region(desc, args, &l));
	desc = region_of(memory, l3);
	args.magic_version++;
	EXPECT_FALSE(gen::queue::validate_region(desc, args, &l));
}

TEST(LayoutOverflowFailsClosedWithoutModifyingOutput)
{
	gen::Layout l{};
	uint64_t out = 5;

	l.depth = 99;
	EXPECT_FALSE(gen::queue::make_layout(4, UINT64_MAX - 63, 64, l));
	EXPECT_FALSE(gen::queue::make_layout(4, UINT64_MAX / 2 - 127 + 64, UINT64_MAX / 2 + 1, l));
	EXPECT_EQ(99u, l.depth);
	EXPECT_FALSE(gen::queue::align_up_checked(UINT64_MAX, 64, &out));
	EXPECT_FALSE(gen::queue::align_up_checked(1, 0, &out));
	EXPECT_FALSE(gen::queue::align_up_checked(1, 64, nullptr));
	EXPECT_EQ(5u, out);
	EXPECT_TRUE(gen::queue::align_up_checked(65, 64, &out));
	EXPECT_EQ(128u, out);
	EXPECT_EQ(65u, gen::queue::align_up(65, 0));
}

TEST(DescriptorSlotEncodingIsStable)
{
	const unsigned char want[32] = {2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,
					0, 1, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0};
	gen::Slot slot;

	gen::queue::encode_desc(&slot, 258, gen::Opcode::ERROR, 256, 17);
	EXPECT_EQ(0, std::memcmp(want, &slot, sizeof(slot)));
	gen::queue::encode_desc(nullptr, 1, gen::Opcode::DATA, 0, 0);
}

TEST(Low32ReconstructionAcceptsWrapAndRejectsImpossibleDeltas)
{
	uint64_t count = 0xffffffffull;

	EXPECT_TRUE(gen::queue::reconstruct_counter(2, 4, count));
	EXPECT_EQ(0x100000002ull, count);
	EXPECT_TRUE(gen::queue::reconstruct_counter(2, 4, count));
	EXPECT_FALSE(gen::queue::reconstruct_counter(1, 4, count));
	EXPECT_FALSE(gen::queue::reconstruct_counter(7, 4, count));
	EXPECT_FALSE(gen::queue::reconstruct_counter(3, (1ull << 30) + 1, count));
	EXPECT_EQ(0x100000002ull, count);
}

/* ---- construction ---------------------------------------------------------------- */

TEST(ConstructionRejectsWhatDoesNotFitWithoutAbortFlag)
{
	Memory memory;
	RawL3 l3(memory, 4, 128, 192);
	const gen::Args good = {gen::kQueueVersion, 4, 128, 192, 576, 384};
	gen::Desc desc = region_of(memory, l3);
	gen::Args args = good;
	gen::Handle m;

	auto refused = [&] {
		gen::Endpoint<> ep(desc, args);

		EXPECT_EQ(gen::Kind::BAD_DESCRIPTOR, ep.error().kind);
		EXPECT_EQ("init", gen::op_of(ep.error()));
		EXPECT_EQ("invalid queue descriptor", static_cast<const char *>(ep.error().message));
		EXPECT_EQ(desc.region_id, ep.error().region_id);
		EXPECT_EQ(0u, ep.layout().depth);
		EXPECT_FALSE(gen::try_peek(ep, m));
		EXPECT_EQ(0, l3.abort_flag());
	};
	args.magic_version ^= 1;
	refused();
	args = good;
	args.payload_bytes++;
	refused();
	args = good;
	args.depth = 2;
	refused();
	args = good;
	desc.magic_version ^= 1ull << 17;
	refused();
	desc = region_of(memory, l3);
	desc.region_id = 0;
	refused();
	desc = region_of(memory, l3);
	desc.counter_base += 4;
	refused();
}

/* ---- input ----------------------------------------------------------------------- */

TEST(L2InputPeekHandlesZeroByteDescriptorBeforeArenaValidation)
{
	Fixture<> q;
	gen::Handle m;

	q.l3.send(kData, 0, 0);
	ASSERT_TRUE(q.try_peek(m));
	EXPECT_EQ(1u, m.seq);
	EXPECT_EQ(0u, m.payload_offset);
	EXPECT_EQ(0u, m.payload.gm_addr);
	EXPECT_EQ(0u, m.payload.nbytes);
	EXPECT_TRUE(q.release(m));
	EXPECT_EQ(1, q.l3.input_head());
}

TEST(L2InputPeekPoisonsZeroByteDescriptorWithNonzeroOffset)
{
	Fixture<> q;
	gen::Handle m;

	q.l3.send_at(kData, q.l3.input_arena(), 0);
	EXPECT_FALSE(q.try_peek(m));
	EXPECT_TRUE(is_empty(m));
	q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "zero-byte descriptor uses nonzero payload offset");
}

TEST(L2InputPeekExposesNonzeroPayloadBytes)
{
	Fixture<> q;
	gen::Handle m;

	q.l3.send(kData, 0, 5);
	ASSERT_TRUE(gen::peek(q.ep, 0, m));
	EXPECT_EQ(gen::Opcode::DATA, m.opcode);
	EXPECT_EQ(q.l3.input_arena(), m.payload_offset);
	EXPECT_EQ(5u, m.payload_nbytes);
	EXPECT_EQ(5u, m.payload.nbytes);
	EXPECT_EQ(q.memory.payload_base() + m.payload_offset, m.payload.gm_addr);
	EXPECT_EQ(1, *reinterpret_cast<const char *>(m.payload.gm_addr));
}

TEST(L2InputPeekAllowsArenaWrapAtExpectedPayloadHead)
{
	Fixture<> q;
	gen::Handle m;

	q.l3.send(kData, 0, 100);
	ASSERT_TRUE(q.try_peek(m));
	ASSERT_TRUE(q.release(m));
	q.l3.send(kData, 0, 29); /* 28 are left */
	ASSERT_TRUE(q.try_peek(m));
	EXPECT_EQ(q.l3.input_arena(), m.payload_offset);
	ASSERT_TRUE(q.release(m));
	q.l3.send(kData, 29, 99); /* an exact fit */
	EXPECT_TRUE(q.try_peek(m));
	EXPECT_TRUE(q.release(m));
	q.l3.send(kData, 0, 1);
	EXPECT_TRUE(q.try_peek(m));
	q.expect_no_error();
}

TEST(L2InputPeekRejectsPayloadOffsetMismatchBeforeRelease)
{
	Fixture<> q;
	gen::Handle m;

	q.l3.send(kData, 1, 5);
	EXPECT_FALSE(q.try_peek(m));
	q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "payload replay offset mismatch");
	EXPECT_EQ(0, q.l3.input_head());
}

TEST(InputPeekRejectsWrapBeforeTheEnd)
{
	Fixture<> q;
	gen::Handle m;

	q.l3.send(kData, 0, 100);
	ASSERT_TRUE(q.try_peek(m));
	ASSERT_TRUE(q.release(m));
	q.l3.send(kData, 0, 28);
	EXPECT_FALSE(q.try_peek(m));
	q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "payload replay offset mismatch");
}

TEST(InputPeekPoisonsPayloadOutsideItsArena)
{
	const uint64_t bad[][2] = {{0, 8}, {384, 8}, {256 + 64, 65}, {256, UINT64_MAX}, {UINT64_MAX, 1}};
	gen::Handle m;

	for (const auto &b : bad) {
		Fixture<> q;

		q.l3.send_at(kData, b[0], b[1]);
		EXPECT_FALSE(q.try_peek(m));
		q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "input payload out of arena");
	}
}

TEST(InputPeekPoisonsBadSeqAndOpcode)
{
	gen::Handle m;

	for (uint64_t opcode : {uint64_t(0), uint64_t(4), uint64_t(1) << 32 | 1}) {
		Fixture<> q;

		q.l3.send(opcode, 0, 4);
		EXPECT_FALSE(q.try_peek(m));
		q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "invalid input opcode");
	}
	Fixture<> q;
	q.l3.send(kData, 0, 4);
	q.l3.write_slot(0, 0, 2, 77, 0, 0);
	EXPECT_FALSE(q.try_peek(m));
	q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "input descriptor seq mismatch");
	/* the first error stays */
	EXPECT_FALSE(q.release(m));
	EXPECT_FALSE(q.send(0));
	q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "input descriptor seq mismatch");
}

TEST(InputPeekPoisonsImpossibleTail)
{
	gen::Handle m;

	for (int32_t tail : {-1, 5}) {
		Fixture<> q;

		q.memory.counter(0) = tail;
		EXPECT_FALSE(q.try_peek(m));
		q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "counter reconstruction failed");
	}
}

TEST(InputPeekPoisonsTailBeyondTheRing)
{
	Fixture<> q;
	gen::Handle m;

	q.l3.send(kData, 0, 0);
	ASSERT_TRUE(q.try_peek(m));
	ASSERT_TRUE(q.release(m));
	for (int i = 0; i < 2; i++)
		q.l3.send(kData, 0, 0);
	ASSERT_TRUE(q.try_peek(m));
	ASSERT_TRUE(q.release(m));
	q.memory.counter(0) = 7; /* two are released: five are more than the depth */
	EXPECT_FALSE(q.try_peek(m));
	q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "input descriptor state invalid");
}

TEST(InputApplicationErrorIsNormalMessageAndDoesNotSetAbortFlag)
{
	Fixture<> q;
	gen::Handle m;

	q.l3.send(kError, 0, 3);
	ASSERT_TRUE(q.try_peek(m));
	EXPECT_EQ(gen::Opcode::ERROR, m.opcode);
	EXPECT_TRUE(q.release(m));
	q.expect_no_error();
}

TEST(InputReleaseRejectsCallerMutatedHandleMetadata)
{
	gen::Handle m;

	for (int what = 0; what < 4; what++) {
		Fixture<> q;

		q.l3.send(kData, 0, 3);
		ASSERT_TRUE(q.try_peek(m));
		m.seq += what == 0;
		if (what == 1)
			m.opcode = gen::Opcode::ERROR;
		m.payload_offset += what == 2;
		m.payload_nbytes -= what == 3;
		EXPECT_FALSE(q.release(m));
		q.expect_error(gen::Kind::OWNERSHIP, "input.release", "input handle is not active");
		EXPECT_EQ(0, q.l3.input_head());
	}
	/* G1a does not look at the view */
	Fixture<> q;
	q.l3.send(kData, 0, 3);
	ASSERT_TRUE(q.try_peek(m));
	m.payload.nbytes++;
	EXPECT_EQ(!gen::kReleaseComparesView, q.release(m));
}

TEST(StopReleaseRejectsLaterPublishedInputAsInvalidState)
{
	Fixture<> q;
	gen::Handle m;

	q.l3.stop();
	ASSERT_TRUE(q.try_peek(m));
	EXPECT_EQ(gen::Opcode::STOP, m.opcode);
	ASSERT_TRUE(q.release(m));
	EXPECT_EQ(1, q.l3.input_head());
	EXPECT_FALSE(q.try_peek(m));
	q.expect_no_error();
	q.l3.send(kData, 0, 4);
	EXPECT_FALSE(q.try_peek(m));
	q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "input descriptor published after STOP");
}

TEST(InputStopWithPayloadMetadataPoisonsAndSetsOwnAbortFlag)
{
	const uint64_t bad[][2] = {{256, 4}, {256, 0}, {0, 4}};
	gen::Handle m;

	for (const auto &b : bad) {
		Fixture<> q;

		q.l3.send_at(kStop, b[0], b[1]);
		EXPECT_FALSE(q.try_peek(m));
		q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "STOP descriptor must be zero-byte");
	}
}

TEST(InputSecondPeekBeforeReleasePoisonsOwnershipAndSetsOwnAbortFlag)
{
	Fixture<> q;
	gen::Handle m;

	q.l3.send(kData, 0, 4);
	ASSERT_TRUE(q.try_peek(m));
	EXPECT_FALSE(q.try_peek(m));
	EXPECT_TRUE(is_empty(m));
	q.expect_error(gen::Kind::OWNERSHIP, "input.try_peek", "input handle already active");
}

TEST(SecondPeekOfHeldStopPoisonsOwnership)
{
	Fixture<> q;
	gen::Handle m;

	q.l3.stop();
	ASSERT_TRUE(q.try_peek(m));
	EXPECT_FALSE(gen::peek(q.ep, 0, m));
	q.expect_error(gen::Kind::OWNERSHIP, "input.try_peek", "input handle already active");
}

/* ---- output ---------------------------------------------------------------------- */

TEST(L2OutputReservePublishWritesDescriptorAndTail)
{
	Fixture<> q;
	gen::Reservation r;

	ASSERT_TRUE(gen::reserve(q.ep, 5, 0, r));
	EXPECT_EQ(1u, r.seq);
	EXPECT_EQ(q.l3.output_arena(), r.payload_offset);
	EXPECT_EQ(q.memory.payload_base() + q.l3.output_arena(), r.payload.gm_addr);
	EXPECT_EQ(5u, r.payload.nbytes);
	EXPECT_TRUE(r.valid);
	EXPECT_EQ(0, q.l3.output_tail());
	ASSERT_TRUE(q.publish(r));
	EXPECT_EQ(1, q.l3.output_tail());
	const std::array<uint64_t, 4> want = {{1, kData, q.l3.output_arena(), 5}};
	EXPECT_TRUE(want == q.l3.output(0));
	ASSERT_TRUE(q.try_reserve(0, r));
	EXPECT_EQ(0u, r.payload_offset);
	EXPECT_EQ(0u, r.payload.gm_addr);
	ASSERT_TRUE(q.publish(r));
	const std::array<uint64_t, 4> empty = {{2, kData, 0, 0}};
	EXPECT_TRUE(empty == q.l3.output(1));
	q.expect_no_error();
}

TEST(L2OutputReserveReplaysReleasedDescriptorsBeforeReusingArena)
{
	Fixture<> q;
	gen::Reservation r;

	ASSERT_TRUE(q.send(100));
	ASSERT_TRUE(q.send(60));
	EXPECT_FALSE(q.try_reserve(50, r)); /* 32 are left */
	q.l3.release_output(1);
	ASSERT_TRUE(q.try_reserve(50, r));
	EXPECT_EQ(q.l3.output_arena(), r.payload_offset);
	ASSERT_TRUE(q.publish(r));
	q.l3.release_output(3);
	ASSERT_TRUE(q.try_reserve(142, r)); /* behind it, up to the end */
	EXPECT_EQ(q.l3.output_arena() + 50, r.payload_offset);
	q.expect_no_error();
}

TEST(OutputReplayPoisonsOverwrittenDescriptors)
{
	gen::Reservation r;

	for (int what = 0; what < 3; what++) {
		Fixture<> q;

		ASSERT_TRUE(q.send(8));
		q.l3.write_slot(128, 0, what == 0 ? 2 : 1, kData, q.l3.output_arena() + (what == 1), what == 2 ? 193 : 8);
		q.l3.release_output(1);
		EXPECT_FALSE(q.try_reserve(8, r));
		q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "output.try_reserve",
			       what ? "payload replay offset mismatch" : "output release replay seq mismatch");
	}
}

TEST(OutputReservePoisonsImpossibleHead)
{
	gen::Reservation r;

	for (int32_t head : {-1, 1, 5}) {
		Fixture<> q;

		q.memory.counter(192) = head; /* nothing was sent */
		EXPECT_FALSE(q.try_reserve(8, r));
		q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "output.try_reserve", "counter reconstruction failed");
	}
}

TEST(OutputFailedReserveChangesNothing)
{
	Fixture<> q;
	gen::Reservation r;

	ASSERT_TRUE(q.send(100));
	EXPECT_FALSE(q.try_reserve(150, r));
	/* what fits behind the first body goes there, not to the begin of the arena */
	ASSERT_TRUE(q.try_reserve(20, r));
	EXPECT_EQ(q.l3.output_arena() + 100, r.payload_offset);
	ASSERT_TRUE(q.publish(r));
	q.l3.release_output(2);
	/* with nothing in flight the whole arena is free */
	ASSERT_TRUE(q.try_reserve(192, r));
	EXPECT_EQ(q.l3.output_arena(), r.payload_offset);
	ASSERT_TRUE(q.publish(r));
	EXPECT_FALSE(q.try_reserve(1, r));
	q.l3.release_output(3);
	EXPECT_TRUE(q.try_reserve(1, r));
	q.expect_no_error();
}

TEST(OutputSkippedBytesAreFreeWithNothingInFlight)
{
	Fixture<> q;
	gen::Reservation r;

	ASSERT_TRUE(q.send(100));
	q.l3.release_output(1);
	ASSERT_TRUE(q.send(100)); /* skips 92 bytes */
	ASSERT_TRUE(q.try_reserve(92, r));
	EXPECT_EQ(q.l3.output_arena() + 100, r.payload_offset);
	ASSERT_TRUE(q.publish(r));
	q.l3.release_output(3);
	EXPECT_TRUE(q.try_reserve(192, r));
	q.expect_no_error();
}

TEST(OutputCapacityEqualsDepthAndFullIsNoProgressWithoutAbort)
{
	Fixture<> q;
	gen::Reservation r;

	for (int i = 0; i < 4; i++)
		ASSERT_TRUE(q.send(0));
	EXPECT_FALSE(q.try_reserve(0, r));
	EXPECT_FALSE(r.valid);
	q.l3.release_output(1);
	EXPECT_TRUE(q.try_reserve(0, r));
	q.expect_no_error();
}

TEST(OutputReserveTooLargeIsPreMutationNoProgressWithoutAbort)
{
	Fixture<> q;
	gen::Reservation r;

	q.memory.counter(192) = -1; /* would poison if it were read */
	EXPECT_FALSE(q.try_reserve(193, r));
	EXPECT_FALSE(gen::reserve(q.ep, 193, 1000, r));
	EXPECT_FALSE(gen::reserve(q.ep, UINT64_MAX, 0, r));
	q.expect_no_error();
	q.memory.counter(192) = 0;
	ASSERT_TRUE(q.try_reserve(192, r));
	EXPECT_FALSE(q.try_reserve(193, r));
	q.expect_error(gen::Kind::OWNERSHIP, "output.try_reserve", "output reservation already active");
}

TEST(OutputPublishApplicationErrorDoesNotSetAbortFlag)
{
	Fixture<> q;
	gen::Reservation r;

	ASSERT_TRUE(q.try_reserve(3, r));
	ASSERT_TRUE(q.publish(r, gen::Opcode::ERROR));
	EXPECT_EQ(kError, q.l3.output(0)[1]);
	q.expect_no_error();
}

TEST(OutputPublishStaleReservationPoisonsAndSetsOwnAbortFlag)
{
	gen::Reservation r;

	for (int what = 0; what < 5; what++) {
		Fixture<> q;

		ASSERT_TRUE(q.try_reserve(3, r));
		if (what == 0)
			ASSERT_TRUE(q.publish(r));
		r.valid = what != 1;
		r.seq += what == 2;
		r.payload_offset += what == 3;
		r.payload_nbytes -= what == 4;
		EXPECT_FALSE(q.publish(r));
		q.expect_error(gen::Kind::OWNERSHIP, "output.publish", "unknown output reservation");
		EXPECT_EQ(what == 0, q.l3.output_tail());
	}
}

TEST(OutputPublishRejectsStopAndUnknownOpcodes)
{
	gen::Reservation r;

	for (gen::Opcode opcode : {gen::Opcode::STOP, gen::Opcode::INVALID, gen::Opcode(4)}) {
		Fixture<> q;

		ASSERT_TRUE(q.try_reserve(3, r));
		EXPECT_FALSE(q.publish(r, opcode));
		q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "output.publish", "invalid output opcode");
		EXPECT_EQ(0, q.l3.output_tail());
	}
}

TEST(FullAndEmptyUseMonotonicCountersNotMaskedIndices)
{
	Fixture<> q(2, 64, 64);
	gen::Handle m;
	gen::Reservation r;

	for (int i = 0; i < 7; i++) {
		EXPECT_FALSE(q.try_peek(m));
		q.l3.send(kData, 0, 0);
		ASSERT_TRUE(q.try_peek(m));
		ASSERT_TRUE(q.release(m));
		ASSERT_TRUE(q.send(0));
		ASSERT_TRUE(q.send(0));
		EXPECT_FALSE(q.try_reserve(0, r));
		q.l3.release_output(2 * static_cast<uint64_t>(i) + 2);
	}
	EXPECT_EQ(7, q.l3.input_head());
	EXPECT_EQ(14, q.l3.output_tail());
	q.expect_no_error();
}

/* ---- waiting --------------------------------------------------------------------- */

TEST(RemoteAbortObservationDoesNotSetOwnAbortFlag)
{
	Fixture<> q;
	gen::Handle m;
	gen::Reservation r;

	q.l3.abort();
	EXPECT_FALSE(q.try_peek(m));
	q.expect_no_error();
	EXPECT_FALSE(gen::peek(q.ep, 0, m));
	q.expect_error(gen::Kind::REMOTE_ABORTED, "timeout", "remote abort", 0);
	EXPECT_EQ(gen::Status::REMOTE_ABORTED, q.ep.disambiguate_timeout());
	EXPECT_FALSE(q.try_reserve(0, r));
	Fixture<> p;
	p.l3.abort();
	EXPECT_TRUE(gen::reserve(p.ep, 192, 0, r));
	EXPECT_TRUE(p.publish(r));
	EXPECT_FALSE(gen::reserve(p.ep, 1, 0, r));
	p.expect_error(gen::Kind::REMOTE_ABORTED, "timeout", "remote abort", 0);
}

TEST(OrdinaryTimeoutDoesNotSetOwnAbortFlag)
{
	Fixture<> q;
	gen::Handle m;
	gen::Reservation r;

	EXPECT_FALSE(gen::peek(q.ep, 0, m));
	EXPECT_FALSE(gen::peek(q.ep, 20000, m));
	EXPECT_FALSE(gen::reserve(q.ep, 500, 20000, r));
	EXPECT_EQ(gen::Status::ORDINARY_TIMEOUT, q.ep.disambiguate_timeout());
	q.memory.counter(256) = -1; /* L3 stores 1 */
	EXPECT_EQ(gen::Status::ORDINARY_TIMEOUT, q.ep.disambiguate_timeout());
	q.expect_no_error();
}

TEST(OwnErrorEndsAWaitAtOnceAndIsNoRemoteAbort)
{
	constexpr uint64_t kLonger = UINT64_MAX; /* than the limit of a test */
	Fixture<> q, p;
	gen::Handle m;
	gen::Reservation r;

	p.memory.counter(192) = -1;
	EXPECT_FALSE(gen::reserve(p.ep, 8, kLonger, r));
	p.expect_error(gen::Kind::INVALID_DESCRIPTOR, "output.try_reserve", "counter reconstruction failed");
	q.memory.counter(0) = -1;
	q.l3.abort();
	EXPECT_FALSE(gen::peek(q.ep, kLonger, m));
	EXPECT_EQ(gen::Status::ORDINARY_TIMEOUT, q.ep.disambiguate_timeout());
	q.expect_error(gen::Kind::INVALID_DESCRIPTOR, "input.try_peek", "counter reconstruction failed");
}

#endif /* CXX_SIMPLER_QUEUE_TESTS_H */
