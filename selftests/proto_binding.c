// SPDX-License-Identifier: MIT
/*
 * protocol.md section 9: what the SPSQ binding says and what differs under it, through
 * the public interface over the transport in L3L2Q_TRANSPORT (proto_transport.h). All
 * else that holds under both bindings is in proto_stream.c.
 */
#include "proto_transport.h"

FIXTURE(spsq) {
	struct pair p;
	struct l3l2q_producer *in, *out;	/* L3's, L2's */
	struct l3l2q_consumer *from_l3, *from_l2;
	struct l3l2q_message m, n;
};

FIXTURE_VARIANT(spsq) {
	uint32_t window;
};

FIXTURE_VARIANT_ADD(spsq, w1) { 1 };
FIXTURE_VARIANT_ADD(spsq, w4) { 4 };

FIXTURE_SETUP(spsq)
{
	setenv("L3L2Q_BINDING", "spsq", 1);
	self->p.attr = (struct l3l2q_attr){ .depth = 4, .input_arena_bytes = 256,
		.output_arena_bytes = 320, .window = variant->window };
	ASSERT_EQ(0, pair_make(&self->p));
	self->in = l3l2q_ep_producer(self->p.ep[L3L2Q_ROLE_L3]);
	self->out = l3l2q_ep_producer(self->p.ep[L3L2Q_ROLE_L2]);
	self->from_l2 = l3l2q_ep_consumer(self->p.ep[L3L2Q_ROLE_L3]);
	self->from_l3 = l3l2q_ep_consumer(self->p.ep[L3L2Q_ROLE_L2]);
}

FIXTURE_TEARDOWN(spsq)
{
	pair_close(&self->p);
}

/* Publish a descriptor as a foreign producer does: message @i, from 0, of a role. */
static void publish(FIXTURE_DATA(spsq) *self, enum l3l2q_role role, unsigned int i,
		    uint64_t opcode, uint64_t offset, uint64_t nbytes)
{
	struct l3l2q_desc *ring;
	struct l3l2q_ep_info info;

	region_info(self->p.ep[role], &info);
	ring = (void *)((char *)info.payload + (role == L3L2Q_ROLE_L3 ? info.layout.input_desc_offset
						: info.layout.output_desc_offset));
	ring += i;
	*(volatile __u64 *)&ring->opcode = opcode;
	*(volatile __u64 *)&ring->payload_offset = offset;
	*(volatile __u64 *)&ring->payload_nbytes = nbytes;
	*(volatile __u64 *)&ring->seq = i + 1;
	l3l2q_full_barrier();
	*(volatile __s32 *)(void *)((char *)info.counters + l3l2q_ctr_tail(role)) = (__s32)i + 1;
	l3l2q_full_barrier();
}

/* Both ends have the same ten scalars, but for the addresses, and the identity. */
TEST_F(spsq, s9_both_ends_know_the_binding)
{
	uint64_t scalars[L3L2Q_SCALARS];
	struct l3l2q_ep_info info;
	struct l3l2q_error error;
	char text[1024];
	int role;

	for (role = 0; role < L3L2Q_ROLES; role++) {
		ASSERT_EQ(0, l3l2q_ep_info(self->p.ep[role], &info));
		EXPECT_EQ(L3L2Q_BINDING_SPSQ, info.binding);
		EXPECT_EQ(SPSQ_SESSION, info.identity[0]);
		EXPECT_EQ(SPSQ_TRANSACTION, info.identity[1]);
		memset(scalars, 0xa5, sizeof(scalars));
		ASSERT_EQ(10, l3l2q_ep_scalars(self->p.ep[role], scalars));
		EXPECT_EQ(0x5350535100010000ull, scalars[0]);
		EXPECT_EQ(SPSQ_SESSION, scalars[1]);
		EXPECT_EQ(SPSQ_TRANSACTION, scalars[2]);
		EXPECT_NE(0, scalars[3]);
		EXPECT_EQ(info.payload_bytes, scalars[4]);
		EXPECT_NE(0, scalars[5]);
		EXPECT_EQ(384, scalars[6]);
		EXPECT_EQ(4, scalars[7]);
		EXPECT_EQ(256, scalars[8]);
		EXPECT_EQ(320, scalars[9]);
		EXPECT_EQ(0, scalars[10] | scalars[11]);
		ASSERT_LT(0, l3l2q_ep_dump(self->p.ep[role], text, sizeof(text)));
		EXPECT_NE(NULL, strstr(text, "session 0x807060504030201, transaction 42"));
	}
	ASSERT_EQ(0, l3l2q_abort(self->p.ep[L3L2Q_ROLE_L3]));
	EXPECT_EQ(-ECONNABORTED, l3l2q_try_peek(self->from_l3, &self->m));
	for (role = 0; role < L3L2Q_ROLES; role++) {
		ASSERT_EQ(0, l3l2q_ep_error(self->p.ep[role], &error));
		EXPECT_EQ(role == L3L2Q_ROLE_L3 ? L3L2Q_ERR_ENDPOINT_ERROR : L3L2Q_ERR_REMOTE_ABORTED,
			  error.kind);
		EXPECT_EQ(L3L2Q_BINDING_SPSQ, error.binding);
		EXPECT_EQ(SPSQ_SESSION, error.identity[0]);
		EXPECT_EQ(SPSQ_TRANSACTION, error.identity[1]);
	}
}

/* ERROR goes from L2 to L3 only; what L3 may not send changes nothing. */
TEST_F(spsq, s9_no_error_on_input)
{
	struct l3l2q_reservation span;
	struct iovec iov = { (char[]){ "x" }, 1 };

	EXPECT_EQ(-EINVAL, l3l2q_try_enqueue(self->in, L3L2Q_OP_ERROR, "x", 1));
	EXPECT_EQ(-EINVAL, l3l2q_enqueue(self->in, L3L2Q_OP_ERROR, "x", 1, 1));
	EXPECT_EQ(-EINVAL, l3l2q_try_enqueuev(self->in, L3L2Q_OP_ERROR, &iov, 1));
	EXPECT_EQ(-EINVAL, l3l2q_enqueuev(self->in, L3L2Q_OP_ERROR, &iov, 1, 1));
	if (is_copied()) {
		EXPECT_EQ(-EOPNOTSUPP, l3l2q_try_reserve(self->in, 8, &span));
		ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "x", 1));
	} else {
		ASSERT_EQ(0, l3l2q_try_reserve(self->in, 8, &span));
		memset(span.data, 0, 8);
		EXPECT_EQ(-EINVAL, l3l2q_commit(self->in, &span, L3L2Q_OP_ERROR));
		EXPECT_EQ(0, l3l2q_commit(self->in, &span, L3L2Q_OP_DATA));
	}
	EXPECT_EQ(-EAGAIN, l3l2q_try_peek(self->from_l2, &self->m));
	EXPECT_EQ(0, l3l2q_try_enqueue(self->out, L3L2Q_OP_ERROR, "x", 1));
	ASSERT_EQ(0, l3l2q_try_peek(self->from_l2, &self->m));
	EXPECT_EQ(L3L2Q_OP_ERROR, self->m.opcode);
	EXPECT_EQ(0, l3l2q_release(self->from_l2, &self->m));
	ASSERT_EQ(0, l3l2q_try_peek(self->from_l3, &self->m));
	EXPECT_EQ(1, self->m.seq);
	EXPECT_EQ(L3L2Q_OP_DATA, self->m.opcode);
}

/* An ERROR that a foreign L3 sends nevertheless. */
TEST_F(spsq, s9_error_on_input_is_refused)
{
	publish(self, L3L2Q_ROLE_L3, 0, L3L2Q_OP_ERROR, 0, 0);
	EXPECT_EQ(-EBADMSG, l3l2q_try_peek(self->from_l3, &self->m));
	EXPECT_EQ(-ECONNABORTED, l3l2q_try_peek(self->from_l2, &self->m));
}

/* The window of L2: no progress when it is full, and one more place for STOP. */
TEST_F(spsq, s9_stop_has_its_slot_at_every_window)
{
	struct l3l2q_message held[4];
	uint32_t i;

	for (i = 0; i < variant->window; i++) {
		ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "x", 1));
		ASSERT_EQ(0, l3l2q_try_peek(self->from_l3, &held[i]));
	}
	EXPECT_EQ(-EAGAIN, l3l2q_try_peek(self->from_l3, &self->m));
	if (variant->window < 4) {
		ASSERT_EQ(0, l3l2q_try_stop(self->in));
	} else {
		/* Four in flight fill the ring: release the oldest. */
		ASSERT_EQ(0, l3l2q_release(self->from_l3, &held[0]));
		ASSERT_EQ(0, l3l2q_try_stop(self->in));
	}
	ASSERT_EQ(0, l3l2q_try_peek(self->from_l3, &self->n));
	EXPECT_EQ(L3L2Q_OP_STOP, self->n.opcode);
	EXPECT_EQ(-EAGAIN, l3l2q_try_peek(self->from_l3, &self->m));
	ASSERT_EQ(0, l3l2q_release(self->from_l3, &self->n));
	EXPECT_FALSE(l3l2q_drained(self->from_l3));
	for (i = variant->window < 4 ? 0 : 1; i < variant->window; i++)
		ASSERT_EQ(0, l3l2q_release(self->from_l3, &held[i]));
	EXPECT_TRUE(l3l2q_drained(self->from_l3));
}

/* L3 at a window of 1 gets the handle again that it holds, as under L3Q2. */
TEST_F(spsq, s9_l3_at_a_window_of_one)
{
	if (variant->window != 1)
		return; /* W = 1 */
	ASSERT_EQ(0, l3l2q_try_enqueue(self->out, L3L2Q_OP_DATA, "x", 1));
	ASSERT_EQ(0, l3l2q_try_peek(self->from_l2, &self->m));
	ASSERT_EQ(0, l3l2q_try_peek(self->from_l2, &self->n));
	EXPECT_TRUE(same_message(&self->m, &self->n));
}

/* A body that wraps although it would have fitted is refused by L3 too. */
TEST_F(spsq, s9_early_wraps_are_refused)
{
	struct l3l2q_ep_info info;

	ASSERT_EQ(0, l3l2q_ep_info(self->p.ep[L3L2Q_ROLE_L3], &info));
	publish(self, L3L2Q_ROLE_L2, 0, L3L2Q_OP_DATA, info.layout.output_arena_offset, 40);
	ASSERT_EQ(0, l3l2q_try_peek(self->from_l2, &self->m));
	ASSERT_EQ(0, l3l2q_release(self->from_l2, &self->m));
	publish(self, L3L2Q_ROLE_L2, 1, L3L2Q_OP_DATA, info.layout.output_arena_offset, 24);
	EXPECT_EQ(-EBADMSG, l3l2q_try_peek(self->from_l2, &self->m));
}

TEST_HARNESS_MAIN
