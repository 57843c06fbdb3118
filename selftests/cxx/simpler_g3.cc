// SPDX-License-Identifier: MIT
/* The names of simpler's #2096 ("SPSQ" 1.0), as an orchestration includes them. */
#include <utility>
#include "aicpu/cache_maintenance.h"
#include "aicpu/device_time.h"
#include "aicpu/region_instance_view.h"
#include "common/region_template.h"
#include "orchestration_api.h"

#include <string>

#include "simpler/view_tests.h"

using namespace spsc_queue;

namespace {

constexpr uint64_t kSession = 0x0807060504030201;
constexpr uint64_t kTransaction = 42;

uint64_t fake_now;

uint64_t read_fake_clock()
{
	return fake_now;
}

/* What LoggingView did, in order: a letter for the access, an offset, a size or a value. */
std::string access_log;

void log_access(char what, uint64_t offset, int64_t value)
{
	access_log += what + std::to_string(offset) + ":" + std::to_string(value) + " ";
}

/* The seam: a view of one's own. It fails on request, and its waiting moves the clock. */
class LoggingView {
public:
	struct Payload {
		LoggingView *view;
		RegionPartLocalSpan span() const { return view->view_.payload_span(); }
		bool read(uint64_t offset, uint64_t nbytes, SpscQueuePayloadView &out)
		{
			log_access('r', offset, static_cast<int64_t>(nbytes));
			return !view->fail() && view->view_.payload_read(offset, nbytes, out);
		}
		bool write(uint64_t offset, const void *from, uint64_t nbytes)
		{
			log_access('w', offset, static_cast<int64_t>(nbytes));
			return !view->fail() && view->view_.payload_write(offset, from, nbytes);
		}
	};
	struct Counter {
		LoggingView *view;
		RegionPartLocalSpan span() const { return view->view_.counter_span(); }
		bool test(uint64_t offset, int32_t value, RegionWaitCmp cmp, SpscQueueCounterSample &out)
		{
			log_access('t', offset, 0);
			return !view->fail() && view->view_.test(offset, value, cmp, out);
		}
		bool wait(uint64_t offset, int32_t value, RegionWaitCmp cmp, uint64_t timeout_ns, int32_t &observed)
		{
			log_access('W', offset, static_cast<int64_t>(timeout_ns));
			EXPECT_EQ(RegionWaitCmp::NE, cmp);
			fake_now += timeout_ns;
			if (on_wait)
				on_wait();
			return !view->fail() && view->view_.wait(offset, value, cmp, 0, observed);
		}
		bool notify(uint64_t offset, int32_t value, RegionNotifyOp op)
		{
			log_access('n', offset, value);
			return !view->fail() && view->view_.notify(offset, value, op);
		}
	};

	LoggingView(const RegionPartLocalSpan &payload, const RegionPartLocalSpan &counter) : view_(payload, counter) {}

	bool failed() const { return failed_ || view_.failed(); }
	const RegionViewError &error() const { return view_.error(); }
	Payload payload() { return {this}; }
	Counter counter() { return {this}; }

	static inline void (*on_wait)() = nullptr;
	static inline bool fails = false;

private:
	bool fail()
	{
		failed_ |= fails;
		return failed_;
	}

	RegionInstanceView view_;
	bool failed_ = false;
};

SpscQueueEndpointBinding binding_of(const Memory &memory, const RawL3 &l3, uint64_t depth, uint64_t input,
				    uint64_t output)
{
	return {kSpscQueueMagicVersion, kSession, kTransaction, memory.payload_base(), l3.payload_bytes(),
		memory.counter_base(), 384, depth, input, output};
}

template <uint64_t Window = 1, typename View = RegionInstanceView>
struct Fixture {
	Memory memory;
	RawL3 l3;
	SpscQueueEndpointBinding binding;
	SpscQueueEndpoint<View, Window> ep;

	explicit Fixture(uint64_t depth = 4, uint64_t input = 128, uint64_t output = 192)
		: l3(memory, depth, input, output), binding(binding_of(memory, l3, depth, input, output)),
		  ep(binding,
		     View(RegionPartLocalSpan{binding.payload_base, binding.payload_bytes},
			  RegionPartLocalSpan{binding.counter_base, binding.counter_bytes}),
		     MonotonicClock{read_fake_clock})
	{
		access_log.clear();
		LoggingView::on_wait = nullptr;
		LoggingView::fails = false;
		fake_now = 1000;
	}

	bool try_peek(SpscQueueInputHandle &m) { return ep.input().try_peek(m); }
	bool release(const SpscQueueInputHandle &m) { return ep.input().release(m); }
	bool try_reserve(uint64_t nbytes, SpscQueueOutputReservation &r) { return ep.output().try_reserve(nbytes, r); }
	bool send(uint64_t nbytes)
	{
		SpscQueueOutputReservation r;

		return try_reserve(nbytes, r) && ep.output().publish(r, SpscQueueOpcode::DATA);
	}
	void expect_error(SpscQueueErrorKind kind, const char *op, const char *text, int32_t flag = 1)
	{
		const std::string want = std::string("SPSC queue endpoint error op=") + op + " kind=" +
					 std::to_string(static_cast<unsigned int>(kind)) +
					 " session=0x0807060504030201 transaction=42 msg=" + text;

		EXPECT_EQ(kind, ep.error().kind);
		EXPECT_EQ(want.c_str(), static_cast<const char *>(ep.error().message));
		EXPECT_EQ(kSession, ep.error().session_instance_id_bits);
		EXPECT_EQ(kTransaction, ep.error().transaction_id);
		EXPECT_FALSE(ep.live());
		EXPECT_EQ(flag, l3.abort_flag());
	}
	void expect_no_error()
	{
		EXPECT_EQ(SpscQueueErrorKind::NONE, ep.error().kind);
		EXPECT_TRUE(ep.live());
		EXPECT_EQ(0, l3.abort_flag());
	}
};

Memory *waited_memory;

} /* namespace */

static_assert(!std::is_copy_constructible_v<SpscQueueEndpoint<RegionInstanceView>>);

/* ---- constants, layout, codecs ----------------------------------------------------- */

TEST(PackedMagicVersionIsSpsqAbi10)
{
	EXPECT_EQ(0x5350535100010000ull, kSpscQueueMagicVersion);
	EXPECT_EQ(0x53505351u, kSpscQueueMagic);
	EXPECT_EQ(1u, kSpscQueueAbiMajor);
	EXPECT_EQ(0u, kSpscQueueAbiMinor);
}

TEST(LayoutGoldenVectors)
{
	const uint64_t cases[][7] = {{1, 64, 64, 32, 64, 128, 192},
				     {4, 128, 192, 128, 256, 384, 576},
				     {8, 192, 64, 256, 512, 704, 768},
				     {2, 64, 128, 64, 128, 192, 320}};
	SpscQueueLayout l;

	for (const auto &c : cases) {
		ASSERT_TRUE(SpscQueueLayout::create(c[0], c[1], c[2], &l));
		EXPECT_EQ(c[0], l.depth);
		EXPECT_EQ(c[1], l.input_arena_bytes);
		EXPECT_EQ(c[2], l.output_arena_bytes);
		EXPECT_EQ(0u, l.input_desc_offset);
		EXPECT_EQ(c[3], l.output_desc_offset);
		EXPECT_EQ(c[4], l.input_arena_offset);
		EXPECT_EQ(c[5], l.output_arena_offset);
		EXPECT_EQ(c[6], l.payload_bytes);
		EXPECT_EQ(256u, l.initiator_abort_offset);
		EXPECT_EQ(320u, l.peer_abort_offset);
		EXPECT_EQ(384u, l.counter_bytes);
	}
}

TEST(LayoutMaxDepthGoldenVector)
{
	SpscQueueLayout l;

	ASSERT_TRUE(SpscQueueLayout::create(kMaxDepth, 64, 64, &l));
	EXPECT_EQ(1ull << 35, l.output_desc_offset);
	EXPECT_EQ((1ull << 36) + 128, l.payload_bytes);
}

TEST(LayoutRejectsInvalidDepthAndArenaValues)
{
	const uint64_t bad[][3] = {{0, 64, 64}, {3, 64, 64}, {kMaxDepth * 2, 64, 64}, {4, 0, 64}, {4, 65, 64}, {4, 64, 32}};
	SpscQueueLayout l;

	for (const auto &b : bad)
		EXPECT_FALSE(SpscQueueLayout::create(b[0], b[1], b[2], &l));
	EXPECT_FALSE(SpscQueueLayout::create(4, 64, 64, nullptr));
}

TEST(LayoutOverflowFailsClosedWithoutModifyingOutput)
{
	SpscQueueLayout l{};

	l.depth = 99;
	EXPECT_FALSE(SpscQueueLayout::create(4, UINT64_MAX - 63, 64, &l));
	EXPECT_EQ(99u, l.depth);
}

TEST(CheckedMulAddAlignOverflowBoundaries)
{
	uint64_t out = 7;

	EXPECT_FALSE(mul_overflows(UINT64_MAX, 1));
	EXPECT_TRUE(mul_overflows(UINT64_MAX / 2 + 1, 2));
	EXPECT_FALSE(mul_overflows(0, UINT64_MAX));
	EXPECT_FALSE(add_overflows(UINT64_MAX, 0));
	EXPECT_TRUE(add_overflows(UINT64_MAX, 1));
	EXPECT_TRUE(align_up(UINT64_MAX - 63, 64, &out));
	EXPECT_EQ(UINT64_MAX - 63, out);
	EXPECT_FALSE(align_up(UINT64_MAX - 62, 64, &out));
	EXPECT_TRUE(is_power_of_two(1ull << 63));
}

TEST(OpcodeAndDescriptorBytesGoldenVector)
{
	const uint8_t want[32] = {2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,
				  0, 1, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0};
	const SpscQueueDescriptor descriptor = {258, uint64_t(SpscQueueOpcode::ERROR), 256, 17};
	SpscQueueDescriptor decoded;
	uint8_t bytes[32];

	ASSERT_TRUE(encode_descriptor(descriptor, bytes, 32));
	EXPECT_EQ(0, std::memcmp(want, bytes, 32));
	ASSERT_TRUE(decode_descriptor(bytes, 32, &decoded));
	EXPECT_EQ(258u, decoded.seq);
	EXPECT_EQ(17u, decoded.payload_nbytes);
	EXPECT_FALSE(encode_descriptor(descriptor, bytes, 31));
	EXPECT_FALSE(decode_descriptor(bytes, 33, &decoded));
	EXPECT_TRUE(valid_input_opcode(SpscQueueOpcode::STOP) && !valid_input_opcode(SpscQueueOpcode::ERROR));
	EXPECT_TRUE(valid_output_opcode(SpscQueueOpcode::ERROR) && !valid_output_opcode(SpscQueueOpcode::STOP));
}

TEST(SessionIdentityLittleEndianRoundTrip)
{
	const uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t back[8];
	uint64_t bits = 0;

	ASSERT_TRUE(session_instance_id_to_bits(bytes, 8, &bits));
	EXPECT_EQ(kSession, bits);
	ASSERT_TRUE(session_instance_id_from_bits(bits, back, 8));
	EXPECT_EQ(0, std::memcmp(bytes, back, 8));
	EXPECT_FALSE(session_instance_id_to_bits(bytes, 7, &bits));
	EXPECT_FALSE(session_instance_id_from_bits(bits, back, 9));
	EXPECT_EQ(kSession, load_u64_le(bytes));
}

TEST(BindingExactTenScalarGoldenVector)
{
	const uint64_t want[10] = {0x5350535100010000, kSession, 42, 0x1000, 192, 0x2000, 384, 1, 64, 64};
	SpscQueueEndpointBinding binding{};
	uint64_t scalars[10];

	ASSERT_TRUE(decode_endpoint_binding(want, 10, &binding));
	EXPECT_EQ(192u, binding.payload_bytes);
	ASSERT_TRUE(encode_endpoint_binding(binding, scalars, 10));
	EXPECT_EQ(0, std::memcmp(want, scalars, sizeof(want)));
	EXPECT_EQ(10u, kSpscQueueEndpointBindingScalarCount);
}

TEST(BindingRejectsCountAndVersionMismatchWithoutWritingOutput)
{
	uint64_t scalars[12] = {0x5350535100010000, kSession, 42, 0x1000, 192, 0x2000, 384, 1, 64, 64};
	SpscQueueEndpointBinding binding{};

	binding.depth = 99;
	EXPECT_FALSE(decode_endpoint_binding(scalars, 9, &binding));
	EXPECT_FALSE(decode_endpoint_binding(scalars, 12, &binding));
	EXPECT_FALSE(decode_endpoint_binding(nullptr, 10, &binding));
	scalars[2] = 0;
	EXPECT_FALSE(decode_endpoint_binding(scalars, 10, &binding));
	scalars[2] = 42;
	scalars[0]++;
	EXPECT_FALSE(decode_endpoint_binding(scalars, 10, &binding));
	EXPECT_EQ(99u, binding.depth);
	EXPECT_FALSE(encode_endpoint_binding(binding, scalars, 9));
}

TEST(BindingAndDescriptorStaticAbi)
{
	EXPECT_EQ(80u, sizeof(SpscQueueEndpointBinding));
	EXPECT_EQ(32u, sizeof(SpscQueueDescriptor));
	EXPECT_EQ(120u, sizeof(SpscQueueLayout));
	EXPECT_EQ(8u, offsetof(SpscQueueLayout, input_arena_bytes));
	EXPECT_EQ(96u, offsetof(SpscQueueLayout, initiator_abort_offset));
}

TEST(SmallFunctions)
{
	uint64_t count = 0xffffffff;
	char text[8];

	EXPECT_EQ("output.publish", spsc_queue_op_name(SpscQueueOp::OUTPUT_PUBLISH));
	EXPECT_EQ("unknown", spsc_queue_op_name(SpscQueueOp(9)));
	EXPECT_EQ(-1, counter_low32(count));
	EXPECT_TRUE(reconstruct_counter(3, 4, &count));
	EXPECT_EQ(0x100000003ull, count);
	EXPECT_FALSE(reconstruct_counter(3, 0, &count));
	copy_error_text(text, sizeof(text), "abcd");
	append_error_note(text, sizeof(text), "efgh");
	EXPECT_EQ("abcdefg", static_cast<const char *>(text));
	EXPECT_TRUE(payload_in_arena(128, 64, 128, 64));
	EXPECT_FALSE(payload_in_arena(129, 64, 128, 64));
	EXPECT_EQ(160u, payload_expected_offset(128, 64, 32, 32));
	EXPECT_EQ(128u, payload_expected_offset(128, 64, 32, 33));
}

/* ---- construction -------------------------------------------------------------------- */

TEST(ConstructionRejectsInOrderWithoutSharedAccess)
{
	Memory memory;
	RawL3 l3(memory, 4, 128, 192);
	const SpscQueueEndpointBinding good = binding_of(memory, l3, 4, 128, 192);
	SpscQueueEndpointBinding b = good;
	SpscQueueInputHandle m;

	auto refused = [&](SpscQueueErrorKind kind, const char *text, const LoggingView &view,
			   uint64_t (*clock)() = read_fake_clock) {
		access_log.clear();
		SpscQueueEndpoint<LoggingView> ep(b, view, MonotonicClock{clock});
		const std::string message = ep.error().message;

		EXPECT_EQ(kind, ep.error().kind);
		EXPECT_EQ(SpscQueueOp::INIT, ep.error().op);
		EXPECT_TRUE(message.size() >= std::strlen(text) &&
			    message.compare(message.size() - std::strlen(text), std::string::npos, text) == 0);
		EXPECT_FALSE(ep.live());
		EXPECT_FALSE(ep.input().try_peek(m));
		EXPECT_EQ("", access_log.c_str());
		return ep.error();
	};
	auto view_of = [](const SpscQueueEndpointBinding &of) {
		return LoggingView({of.payload_base, of.payload_bytes}, {of.counter_base, of.counter_bytes});
	};
	const LoggingView failed({0, 0}, {0, 0});

	b.magic_version++;
	SpscQueueError error = refused(SpscQueueErrorKind::BAD_BINDING, "msg=invalid queue binding", failed, nullptr);
	EXPECT_EQ("SPSC queue endpoint error op=init kind=2 msg=invalid queue binding",
		  static_cast<const char *>(error.message));
	EXPECT_EQ(0u, error.session_instance_id_bits + error.transaction_id);
	b = good;
	b.transaction_id = 0;
	refused(SpscQueueErrorKind::BAD_BINDING, "msg=invalid queue binding", failed, nullptr);
	b = good;
	refused(SpscQueueErrorKind::BAD_ARGUMENT, "transaction=42 msg=clock is null", failed, nullptr);
	refused(SpscQueueErrorKind::ENDPOINT_ERROR, "msg=invalid independent local spans", failed);
	b.payload_bytes += 64;
	refused(SpscQueueErrorKind::BAD_BINDING, "msg=view spans do not match binding", view_of(good));
	b = good;
	b.depth = 3;
	refused(SpscQueueErrorKind::BAD_BINDING, "msg=invalid queue layout", view_of(good));
	b.depth = 2;
	refused(SpscQueueErrorKind::BAD_BINDING, "msg=reconstructed layout does not match binding", view_of(good));
}

TEST(ConstructionRejectsMaxInflightGreaterThanDepthWithoutSharedAccess)
{
	Fixture<5, LoggingView> q;
	SpscQueueOutputReservation r;

	q.expect_error(SpscQueueErrorKind::BAD_ARGUMENT, "init", "invalid input window", 0);
	EXPECT_FALSE(q.try_reserve(0, r));
	EXPECT_FALSE(q.ep.output().initialize());
	EXPECT_EQ("", access_log.c_str());
}

TEST(ConstructionTakesTheTextOfAFailedView)
{
	Memory memory;
	RawL3 l3(memory, 4, 128, 192);
	RegionInstanceView none;
	SpscQueueEndpoint<RegionInstanceView> ep(binding_of(memory, l3, 4, 128, 192), std::move(none),
						 MonotonicClock{read_fake_clock});

	EXPECT_EQ("SPSC queue endpoint error op=init kind=6 session=0x0807060504030201 transaction=42 "
		  "msg=uninitialized view",
		  static_cast<const char *>(ep.error().message));
}

/* ---- messages ------------------------------------------------------------------------ */

TEST(EndpointMaxInflightOneDuplexZeroByteStopAndPublishOrder)
{
	Fixture<1, LoggingView> q;
	SpscQueueInputHandle m;
	SpscQueueOutputReservation r;

	q.l3.send(kData, 0, 0);
	ASSERT_TRUE(q.try_peek(m));
	EXPECT_EQ("t0:0 r0:32 ", access_log.c_str());
	access_log.clear();
	ASSERT_TRUE(q.release(m));
	EXPECT_EQ("n64:1 ", access_log.c_str());
	access_log.clear();
	ASSERT_TRUE(q.try_reserve(8, r));
	EXPECT_EQ(384u, r.payload_offset);
	EXPECT_EQ(q.memory.payload_base() + 384, r.payload.local_addr);
	ASSERT_TRUE(q.ep.output().publish(r, SpscQueueOpcode::ERROR));
	EXPECT_EQ("t192:0 w136:24 w128:8 n128:1 ", access_log.c_str());
	const std::array<uint64_t, 4> want = {{1, kError, 384, 8}};
	EXPECT_TRUE(want == q.l3.output(0));
	q.l3.send(kData, 0, 5);
	q.l3.stop();
	access_log.clear();
	ASSERT_TRUE(q.try_peek(m));
	EXPECT_EQ("t0:0 r32:32 r256:5 ", access_log.c_str());
	EXPECT_EQ(5u, m.payload.nbytes);
	ASSERT_TRUE(q.release(m));
	ASSERT_TRUE(q.try_peek(m));
	EXPECT_EQ(SpscQueueOpcode::STOP, m.opcode);
	EXPECT_FALSE(q.ep.input().drained());
	ASSERT_TRUE(q.release(m));
	EXPECT_TRUE(q.ep.input().drained());
	q.expect_no_error();
}

TEST(StopExtraSlotAndCompletedPrefix)
{
	Fixture<> q;
	SpscQueueInputHandle a, stop, m;

	q.l3.send(kData, 0, 4);
	q.l3.stop();
	ASSERT_TRUE(q.try_peek(a));
	ASSERT_TRUE(q.try_peek(stop)); /* behind an active DATA */
	EXPECT_EQ(SpscQueueOpcode::STOP, stop.opcode);
	EXPECT_FALSE(q.try_peek(m));
	ASSERT_TRUE(q.release(stop));
	EXPECT_EQ(0, q.l3.input_head());
	EXPECT_FALSE(q.ep.input().drained());
	ASSERT_TRUE(q.release(a));
	EXPECT_EQ(2, q.l3.input_head());
	EXPECT_TRUE(q.ep.input().drained());
	q.expect_no_error();
}

TEST(MaxInflightOneFullWindowIsNoProgress)
{
	Fixture<> q;
	SpscQueueInputHandle a, m;

	q.l3.send(kData, 0, 4);
	q.l3.send(kData, 4, 4);
	ASSERT_TRUE(q.try_peek(a));
	EXPECT_FALSE(q.try_peek(m));
	EXPECT_EQ(0u, m.seq + m.owner_cookie);
	q.expect_no_error();
	ASSERT_TRUE(q.release(a));
	EXPECT_TRUE(q.try_peek(m));
}

TEST(MaxInflightTwoWindowAndStopExtraSlot)
{
	Fixture<2> q;
	SpscQueueInputHandle a, b, m, stop;

	for (uint64_t i = 0; i < 3; i++)
		q.l3.send(kData, i * 4, 4);
	ASSERT_TRUE(q.try_peek(a));
	ASSERT_TRUE(q.try_peek(b));
	EXPECT_FALSE(q.try_peek(m));
	ASSERT_TRUE(q.release(b));
	EXPECT_EQ(0, q.l3.input_head());
	ASSERT_TRUE(q.release(a));
	EXPECT_EQ(2, q.l3.input_head());
	ASSERT_TRUE(q.try_peek(m));
	q.l3.send(kData, 12, 4);
	ASSERT_TRUE(q.try_peek(a));
	q.l3.stop();
	ASSERT_TRUE(q.try_peek(stop));
	q.expect_no_error();
}

TEST(StopFollowedByALaterInputPoisonsAtThePeek)
{
	Fixture<2> q;
	SpscQueueInputHandle m;

	q.l3.stop();
	q.l3.send(kData, 0, 4);
	EXPECT_FALSE(q.try_peek(m));
	EXPECT_EQ(SpscQueueOpcode::STOP, m.opcode);
	q.expect_error(SpscQueueErrorKind::INVALID_DESCRIPTOR, "input.try_peek", "input descriptor published after STOP");
}

TEST(ErrorOnInputPoisons)
{
	Fixture<> q;
	SpscQueueInputHandle m;

	q.l3.send(kError, 0, 4);
	EXPECT_FALSE(q.try_peek(m));
	q.expect_error(SpscQueueErrorKind::INVALID_DESCRIPTOR, "input.try_peek", "invalid input opcode");
}

TEST(HandlesOfAnotherEndpointAreRefused)
{
	Fixture<> a, b;
	SpscQueueInputHandle m, n;
	SpscQueueOutputReservation r, s;

	a.l3.send(kData, 0, 0);
	b.l3.send(kData, 0, 0);
	ASSERT_TRUE(a.try_peek(m));
	ASSERT_TRUE(b.try_peek(n));
	EXPECT_FALSE(b.release(m));
	b.expect_error(SpscQueueErrorKind::OWNERSHIP, "input.release", "input handle is not active");
	EXPECT_EQ(reinterpret_cast<uint64_t>(&a.ep), m.owner_cookie);
	Fixture<> c;
	ASSERT_TRUE(a.try_reserve(0, r));
	ASSERT_TRUE(c.try_reserve(0, s));
	EXPECT_FALSE(c.ep.output().publish(r, SpscQueueOpcode::DATA));
	c.expect_error(SpscQueueErrorKind::OWNERSHIP, "output.publish", "unknown output reservation");
}

TEST(OutputReservationOwnershipLifetimeAndOversize)
{
	Fixture<> q;
	SpscQueueOutputReservation r, s;

	ASSERT_TRUE(q.try_reserve(8, r));
	EXPECT_FALSE(q.try_reserve(193, s)); /* before the reservation is looked at */
	EXPECT_FALSE(q.ep.output().reserve(193, 1000000, s));
	q.expect_no_error();
	ASSERT_TRUE(q.ep.output().publish(r, SpscQueueOpcode::DATA));
	EXPECT_FALSE(q.ep.output().publish(r, SpscQueueOpcode::DATA));
	q.expect_error(SpscQueueErrorKind::OWNERSHIP, "output.publish", "unknown output reservation");
	Fixture<> p;
	ASSERT_TRUE(p.try_reserve(8, r));
	EXPECT_FALSE(p.try_reserve(8, s));
	EXPECT_FALSE(s.valid);
	p.expect_error(SpscQueueErrorKind::OWNERSHIP, "output.try_reserve", "output reservation already active");
}

TEST(OutputFailedReserveChangesNothing)
{
	Fixture<> q;
	SpscQueueOutputReservation r;

	ASSERT_TRUE(q.send(100));
	EXPECT_FALSE(q.try_reserve(150, r));
	ASSERT_TRUE(q.try_reserve(20, r));
	EXPECT_EQ(484u, r.payload_offset);
	q.expect_no_error();
}

TEST(CounterReconstructionInvalidDeltaPoisons)
{
	SpscQueueInputHandle m;
	SpscQueueOutputReservation r;

	for (int32_t bad : {-1, 5}) {
		Fixture<> q, p;

		q.memory.counter(0) = bad;
		EXPECT_FALSE(q.try_peek(m));
		q.expect_error(SpscQueueErrorKind::INVALID_DESCRIPTOR, "input.try_peek", "counter reconstruction failed");
		p.memory.counter(192) = bad;
		EXPECT_FALSE(p.try_reserve(0, r));
		p.expect_error(SpscQueueErrorKind::INVALID_DESCRIPTOR, "output.try_reserve", "counter reconstruction failed");
	}
}

TEST(OutputWrapReplayDoesNotFlushBorrowedPayload)
{
	Fixture<1, LoggingView> q;
	SpscQueueOutputReservation r;

	ASSERT_TRUE(q.send(100));
	ASSERT_TRUE(q.send(60));
	q.l3.release_output(1);
	access_log.clear();
	cache_calls = {};
	ASSERT_TRUE(q.try_reserve(50, r));
	EXPECT_EQ(384u, r.payload_offset);
	EXPECT_EQ("t192:0 r128:32 ", access_log.c_str());
	EXPECT_EQ(0u, cache_calls.flushes);
	ASSERT_TRUE(q.ep.output().publish(r, SpscQueueOpcode::DATA));
	EXPECT_EQ(3u, cache_calls.flushes);
}

/* ---- waiting ------------------------------------------------------------------------- */

TEST(TimeoutZeroAttemptsNothing)
{
	Fixture<1, LoggingView> q;
	SpscQueueInputHandle m;
	SpscQueueOutputReservation r;

	q.l3.send(kData, 0, 0);
	q.l3.abort();
	EXPECT_FALSE(q.ep.input().peek(0, m));
	EXPECT_FALSE(q.ep.output().reserve(0, 0, r));
	EXPECT_EQ("", access_log.c_str());
	q.expect_no_error();
}

TEST(WaitTimeoutKeepsErrorNoneAndIgnoresStaleViewKind)
{
	Fixture<1, LoggingView> q;
	SpscQueueInputHandle m;

	for (int i = 0; i < 2; i++) {
		access_log.clear();
		EXPECT_FALSE(q.ep.input().peek(500, m));
		EXPECT_EQ("t0:0 t256:0 W0:500 t256:0 ", access_log.c_str());
		q.expect_no_error();
	}
	q.l3.send(kData, 0, 4);
	EXPECT_TRUE(q.ep.input().peek(500, m));
}

TEST(WaitEndsWhenTheCounterMoves)
{
	Fixture<1, LoggingView> q;
	SpscQueueOutputReservation r;

	for (int i = 0; i < 4; i++)
		ASSERT_TRUE(q.send(0));
	waited_memory = &q.memory;
	LoggingView::on_wait = [] { waited_memory->counter(192) = 1; };
	access_log.clear();
	EXPECT_TRUE(q.ep.output().reserve(0, UINT64_MAX, r)); /* the deadline does not wrap */
	EXPECT_EQ(5u, r.seq);
	EXPECT_EQ(("t192:0 t256:0 W192:" + std::to_string(static_cast<int64_t>(UINT64_MAX - 1000)) +
		   " t256:0 t192:0 r128:32 ").c_str(),
		  access_log.c_str());
	q.expect_no_error();
}

TEST(WaitEndsAtTheDeadlineThoughTheCounterMoves)
{
	Fixture<1, LoggingView> q;
	SpscQueueOutputReservation r;

	ASSERT_TRUE(q.send(100));
	ASSERT_TRUE(q.send(92));
	waited_memory = &q.memory;
	LoggingView::on_wait = [] { waited_memory->counter(192) = 1; };
	access_log.clear();
	EXPECT_FALSE(q.ep.output().reserve(150, 500, r)); /* too little is released */
	EXPECT_EQ("t192:0 t256:0 W192:500 t256:0 t192:0 r128:32 t256:0 ", access_log.c_str());
	q.expect_no_error();
}

TEST(WaitStickyFailureIsEndpointError)
{
	Fixture<1, LoggingView> q;
	SpscQueueInputHandle m;

	LoggingView::on_wait = [] { LoggingView::fails = true; };
	EXPECT_FALSE(q.ep.input().peek(500, m));
	q.expect_error(SpscQueueErrorKind::ENDPOINT_ERROR, "timeout", " (abort notify failed)", 0);
}

TEST(PeerAbortSampledAtDeadlineWithoutLocalAbortNotify)
{
	Fixture<1, LoggingView> q;
	SpscQueueInputHandle m;

	waited_memory = &q.memory;
	LoggingView::on_wait = [] { waited_memory->counter(256) = 1; };
	EXPECT_FALSE(q.ep.input().peek(500, m));
	q.expect_error(SpscQueueErrorKind::REMOTE_ABORTED, "timeout", "remote abort", 0);
	Fixture<1, LoggingView> p;
	p.l3.abort();
	EXPECT_FALSE(p.ep.input().peek(500, m));
	EXPECT_EQ("t0:0 t256:0 ", access_log.c_str());
	p.expect_error(SpscQueueErrorKind::REMOTE_ABORTED, "timeout", "remote abort", 0);
}

TEST(FirstErrorWinsWhenAbortNotifyFails)
{
	Fixture<1, LoggingView> q;
	SpscQueueInputHandle m;

	LoggingView::fails = true;
	EXPECT_FALSE(q.try_peek(m));
	q.expect_error(SpscQueueErrorKind::ENDPOINT_ERROR, "input.try_peek", " (abort notify failed)", 0);
	LoggingView::fails = false;
	access_log.clear();
	EXPECT_FALSE(q.try_peek(m));
	EXPECT_FALSE(q.release(m));
	EXPECT_EQ("", access_log.c_str()); /* the flag is tried once */
	q.expect_error(SpscQueueErrorKind::ENDPOINT_ERROR, "input.try_peek", " (abort notify failed)", 0);
}

/* ---- with the library as L3 ------------------------------------------------------------ */

namespace gen {

using Handle = SpscQueueInputHandle;
using Reservation = SpscQueueOutputReservation;
using Opcode = SpscQueueOpcode;
using Kind = SpscQueueErrorKind;

constexpr unsigned int kScalars = 10;

static void put_scalars(const Memory &memory, const RawL3 &l3, uint64_t *scalars)
{
	encode_endpoint_binding(binding_of(memory, l3, 8, 512, 512), scalars, kScalars);
}

static uint64_t address_of(const Handle &m)
{
	return m.payload.local_addr;
}

static uint64_t address_of(const Reservation &span)
{
	return span.payload.local_addr;
}

static uint64_t device_now_ns()
{
	return sys_cnt_ticks_to_ns(device_time_now_ticks(), device_time_frequency_hz());
}

static SpscQueueEndpointBinding decode(const OrchArgs &orch_args)
{
	SpscQueueEndpointBinding binding{};

	EXPECT_TRUE(decode_endpoint_binding(orch_args.scalars, kScalars, &binding));
	return binding;
}

struct FlowQueue {
	SpscQueueEndpointBinding binding;
	SpscQueueEndpoint<RegionInstanceView, 4> ep;

	explicit FlowQueue(const OrchArgs &orch_args)
		: binding(decode(orch_args)),
		  ep(binding,
		     RegionInstanceView({binding.payload_base, binding.payload_bytes},
					{binding.counter_base, binding.counter_bytes}),
		     MonotonicClock{device_now_ns})
	{
	}
};

} /* namespace gen */

#include "simpler/calls_by_reference.h"
#include "simpler/orchestration.h"
#include "simpler/flow.h"
