/* SPDX-License-Identifier: MIT */
/* Raw endpoints of G1a, G1b and G2. As queue_tests.h, which comes first. */
#ifndef CXX_SIMPLER_ENDPOINT_TESTS_H
#define CXX_SIMPLER_ENDPOINT_TESTS_H

namespace {

/* A region of 64 bytes of payload and 64 bytes of counters. */
struct RawFixture {
	Memory memory;
	gen::Desc desc;
	gen::Raw ep;

	RawFixture()
		: desc{gen::kRegionVersion, 9, memory.payload_base(), 64, memory.counter_base(), 64}, ep(desc)
	{
	}
	uint64_t at(uint64_t offset) const { return desc.counter_base + offset; }
	void expect_error(gen::RawKind kind, const char *op, const char *text, uint64_t address = 0, int32_t operand = 0,
			  int32_t observed = 0)
	{
		EXPECT_EQ(kind, ep.error().kind);
		EXPECT_EQ(op, gen::op_of(ep.error()));
		EXPECT_EQ(text, static_cast<const char *>(ep.error().message));
		EXPECT_EQ(9u, ep.error().region_id);
		EXPECT_EQ(address, ep.error().counter_addr);
		EXPECT_EQ(operand, ep.error().counter_operand);
		EXPECT_EQ(observed, ep.error().observed_counter);
	}
	/* The first error stays, and every later call fails. */
	void expect_dead()
	{
		gen::RawKind kind = ep.error().kind;
		gen::View view;
		uint64_t address = 1;

		EXPECT_FALSE(ep.counter_addr(0, address));
		EXPECT_EQ(0u, address);
		EXPECT_FALSE(ep.validate_counter_addr(at(0)));
		EXPECT_FALSE(ep.payload_read(0, 1, view));
		EXPECT_FALSE(ep.payload_write(0, "", 1));
		EXPECT_FALSE(ep.signal_notify(at(0), 1, gen::NotifyOp::Set));
		EXPECT_EQ(kind, ep.error().kind);
	}
};

} /* namespace */

TEST(EndpointDecodesDescriptorScalarsAndCounterRange)
{
	RawFixture r;
	uint64_t scalars[7] = {}, address = 0;
	gen::Desc decoded{};
	gen::Check check;

	ASSERT_TRUE(gen::orch::encode_desc(r.desc, scalars, 6));
	EXPECT_FALSE(gen::orch::encode_desc(r.desc, scalars, 5));
	EXPECT_FALSE(gen::orch::encode_desc(r.desc, nullptr, 6));
	EXPECT_TRUE(gen::orch::decode_desc(scalars, 7, &decoded, &check));
	EXPECT_EQ(0, std::memcmp(&decoded, &r.desc, sizeof(decoded)));
	EXPECT_FALSE(gen::orch::decode_desc(scalars, 5, &decoded, &check));
	EXPECT_EQ(gen::Check::BAD_SCALAR_COUNT, check);
	EXPECT_FALSE(gen::orch::decode_desc(nullptr, 6, &decoded, &check));
	EXPECT_EQ(gen::Check::NULL_POINTER, check);
	gen::Raw ep(scalars, 6);
	EXPECT_EQ(gen::RawKind::NONE, ep.error().kind);
	EXPECT_EQ(r.desc.counter_base, ep.descriptor().counter_base);
	EXPECT_TRUE(ep.counter_addr(60, address));
	EXPECT_EQ(r.at(60), address);
	EXPECT_TRUE(ep.validate_counter_addr(r.at(60)));
	EXPECT_FALSE(ep.validate_counter_addr(r.at(64)));
	EXPECT_FALSE(ep.validate_counter_addr(r.at(2)));
	EXPECT_EQ(gen::Check::OK, gen::orch::validate_counter_addr(r.desc, r.at(4)));
	EXPECT_EQ(gen::Check::BAD_COUNTER_RANGE, gen::orch::validate_counter_addr(r.desc, r.at(2)));
	EXPECT_EQ(gen::Check::OUT_OF_BOUNDS, gen::orch::validate_counter_addr(r.desc, r.at(64)));
}

TEST(DescriptorsAreCheckedInOrder)
{
	RawFixture r;
	gen::Desc bad = {0, 0, 0, 0, 4, 0};

	EXPECT_EQ(gen::Check::BAD_MAGIC_VERSION, gen::orch::validate_desc(bad));
	bad.magic_version = gen::kRegionVersion + 1; /* a newer minor version */
	EXPECT_EQ(gen::Check::BAD_REGION_ID, gen::orch::validate_desc(bad));
	bad.region_id = 1;
	EXPECT_EQ(gen::Check::BAD_PAYLOAD_RANGE, gen::orch::validate_desc(bad));
	bad.payload_bytes = 64;
	EXPECT_EQ(gen::kRefusesZeroBase ? gen::Check::BAD_PAYLOAD_RANGE : gen::Check::BAD_COUNTER_RANGE,
		  gen::orch::validate_desc(bad));
	bad.payload_base = UINT64_MAX - 7;
	EXPECT_EQ(gen::Check::BAD_PAYLOAD_RANGE, gen::orch::validate_desc(bad));
	bad = r.desc;
	bad.counter_base = r.desc.payload_base & ~uint64_t(63);
	EXPECT_EQ(gen::Check::BAD_COUNTER_RANGE, gen::orch::validate_desc(bad));
	bad.counter_base = 0;
	EXPECT_EQ(gen::kRefusesZeroBase ? gen::Check::BAD_COUNTER_RANGE : gen::Check::OK, gen::orch::validate_desc(bad));
	EXPECT_EQ(gen::Check::BAD_PAYLOAD_RANGE, gen::orch::validate_payload_bounds(1, 0, 64));
	EXPECT_EQ(gen::Check::OUT_OF_BOUNDS, gen::orch::validate_payload_bounds(1, 64, 64));
	EXPECT_EQ(gen::Check::OK, gen::orch::validate_payload_bounds(0, 64, 64));
	EXPECT_EQ(gen::kOverflowIsBadRange ? gen::Check::BAD_PAYLOAD_RANGE : gen::Check::OUT_OF_BOUNDS,
		  gen::orch::validate_payload_bounds(UINT64_MAX, 2, 64));
}

TEST(EndpointPayloadWriteCopiesSmallMetadataIntoPayloadRange)
{
	RawFixture r;

	EXPECT_TRUE(r.ep.payload_write(60, "abcd", 4));
	EXPECT_EQ(0, std::memcmp("abcd\xa5", r.memory.payload + 60, 5));
	EXPECT_FALSE(r.ep.payload_write(60, nullptr, 4));
	r.expect_error(gen::RawKind::OUT_OF_BOUNDS, "payload_write", "null payload source");
}

TEST(EndpointPayloadReadViewSeesChangingHeaderAcrossRounds)
{
	RawFixture r;
	gen::View view;

	for (unsigned char round = 1; round < 4; round++) {
		r.memory.payload[8] = round;
		ASSERT_TRUE(r.ep.payload_read(8, 16, view));
		EXPECT_EQ(r.desc.payload_base + 8, view.gm_addr);
		EXPECT_EQ(16u, view.nbytes);
		EXPECT_EQ(round, *reinterpret_cast<const unsigned char *>(view.gm_addr));
	}
}

TEST(EndpointPayloadBoundsErrorCarriesStructuredMetadata)
{
	const uint64_t bad[][2] = {{0, 65}, {64, 1}, {0, 0}, {UINT64_MAX, 2}};

	for (const auto &b : bad) {
		RawFixture r;
		gen::View view = {1, 1};

		EXPECT_FALSE(r.ep.payload_read(b[0], b[1], view));
		EXPECT_EQ(0u, view.gm_addr + view.nbytes);
		r.expect_error(gen::RawKind::OUT_OF_BOUNDS, "payload_read", "payload range is out of bounds");
		r.expect_dead();
	}
}

TEST(EndpointCounterAddrRejectsBadOffsets)
{
	for (uint64_t bad : {uint64_t(64), uint64_t(2), UINT64_MAX}) {
		RawFixture r;
		uint64_t address = 1;

		EXPECT_FALSE(r.ep.counter_addr(bad, address));
		EXPECT_EQ(0u, address);
		r.expect_error(gen::RawKind::OUT_OF_BOUNDS, "counter_addr", "counter offset is out of bounds");
	}
}

TEST(EndpointSignalNotifySetAndAddUpdateCounters)
{
	RawFixture r;

	EXPECT_TRUE(r.ep.signal_notify(r.at(4), INT32_MAX, gen::NotifyOp::Set));
	EXPECT_EQ(INT32_MAX, r.memory.counter(4));
	EXPECT_TRUE(r.ep.signal_notify(r.at(4), 2, gen::NotifyOp::Add));
	EXPECT_EQ(INT32_MIN + 1, r.memory.counter(4));
	EXPECT_FALSE(r.ep.signal_notify(r.at(64), 5, gen::NotifyOp::Set));
	r.expect_error(gen::RawKind::OUT_OF_BOUNDS, "signal_notify", "invalid counter address", r.at(64), 5);
}

TEST(EndpointSignalTestCoversAllComparisonsAndMismatchIsNotError)
{
	const bool want[6][3] = {{false, true, false}, {true, false, true}, {true, false, false},
				 {true, true, false},  {false, false, true}, {false, true, true}};
	RawFixture r;
	gen::Sample s;

	r.memory.counter(8) = -5;
	for (uint32_t cmp = 0; cmp < 6; cmp++)
		for (int32_t i = 0; i < 3; i++) {
			ASSERT_TRUE(r.ep.signal_test(r.at(8), i - 6, gen::Cmp(cmp), s));
			EXPECT_EQ(want[cmp][i], s.matched);
			EXPECT_EQ(-5, s.observed);
		}
	EXPECT_EQ(gen::RawKind::NONE, r.ep.error().kind);
}

TEST(EndpointSignalWaitTimeoutCarriesStructuredMetadata)
{
	for (uint64_t timeout : {uint64_t(0), uint64_t(1000)}) {
		RawFixture r;
		int32_t observed = 0;

		r.memory.counter(8) = 3;
		EXPECT_FALSE(r.ep.signal_wait(r.at(8), 4, gen::Cmp::EQ, timeout, observed));
		EXPECT_EQ(3, observed);
		r.expect_error(gen::RawKind::SIGNAL_TIMEOUT, "signal_wait", "wait timed out", r.at(8), 4, 3);
		r.expect_dead();
	}
}

TEST(EndpointSignalWaitDoesNotTreatGreaterObservedValueAsProtocolError)
{
	RawFixture r;
	int32_t observed = 0;

	r.memory.counter(8) = 9;
	EXPECT_TRUE(r.ep.signal_wait(r.at(8), 4, gen::Cmp::GE, 0, observed));
	EXPECT_EQ(9, observed);
	EXPECT_EQ(gen::RawKind::NONE, r.ep.error().kind);
}

TEST(EndpointUnknownNotifyAndWaitAreSignalProtocol)
{
	int32_t observed;

	{
		RawFixture r;

		EXPECT_FALSE(r.ep.signal_notify(r.at(0), 1, gen::NotifyOp(2)));
		r.expect_error(gen::RawKind::SIGNAL_PROTOCOL, "signal_notify", "invalid notify operation", r.at(0), 1);
		EXPECT_EQ(0, r.memory.counter(0));
	}
	{
		RawFixture r;
		gen::Sample s;

		EXPECT_FALSE(r.ep.signal_test(r.at(0), 1, gen::Cmp(6), s));
		r.expect_error(gen::RawKind::SIGNAL_PROTOCOL, "signal_test", "invalid wait comparison", r.at(0), 1);
	}
	RawFixture r;
	EXPECT_FALSE(r.ep.signal_wait(r.at(0), 1, gen::Cmp(6), 1000, observed));
	r.expect_error(gen::RawKind::SIGNAL_PROTOCOL, "signal_wait", "invalid wait comparison", r.at(0), 1);
}

TEST(EndpointRejectsBadDescriptorScalars)
{
	RawFixture r;
	uint64_t scalars[6];
	gen::View view;

	ASSERT_TRUE(gen::orch::encode_desc(r.desc, scalars, 6));
	scalars[0] ^= 1ull << 40;
	gen::Raw bad(scalars, 6);
	EXPECT_EQ(gen::RawKind::BAD_DESCRIPTOR, bad.error().kind);
	EXPECT_EQ("init", gen::op_of(bad.error()));
	EXPECT_EQ(gen::kBadScalars, static_cast<const char *>(bad.error().message));
	EXPECT_EQ(9u, bad.error().region_id);
	EXPECT_FALSE(bad.payload_read(0, 1, view));
	gen::Raw few(scalars, 5);
	EXPECT_EQ(gen::kBadScalars, static_cast<const char *>(few.error().message));
	gen::Desc desc = r.desc;
	desc.region_id = 0;
	gen::Raw none(desc);
	EXPECT_EQ(gen::kBadDescriptor, static_cast<const char *>(none.error().message));
}

TEST(TimesAreConvertedToNanoseconds)
{
	EXPECT_EQ(40u, gen::ticks_to_ns(2, 50000000));
	EXPECT_EQ(3000000020u, gen::ticks_to_ns(150000001, 50000000));
	EXPECT_EQ(UINT64_MAX, gen::ticks_to_ns(1, 0));
	EXPECT_EQ(20u, gen::elapsed_ns(10, 11, 50000000));
	EXPECT_TRUE(gen::frequency_hz() > 0);
}

#endif /* CXX_SIMPLER_ENDPOINT_TESTS_H */
