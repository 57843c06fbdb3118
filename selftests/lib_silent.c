// SPDX-License-Identifier: MIT
/*
 * Peers that only load and store, over external memory and memfd: their messages, aborts
 * and counters are noticed by calls that sleep, within the bound that the caller sets.
 * The naps are counted and their lengths recorded; no time decides.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "proto_transport.h"

#define LONG_NS (60 * 1000000000ll)
#define LOOKS 1000

/* Calls of nanosleep() by the library, and the longest that was asked for. */
static uint64_t naps, longest;

int nanosleep(const struct timespec *request, struct timespec *rest)
{
	uint64_t ns = (uint64_t)request->tv_sec * 1000000000u + (uint64_t)request->tv_nsec;

	if (ns > __atomic_load_n(&longest, __ATOMIC_RELAXED))
		__atomic_store_n(&longest, ns, __ATOMIC_RELAXED);
	__atomic_fetch_add(&naps, 1, __ATOMIC_RELAXED);
	return clock_nanosleep(CLOCK_MONOTONIC, 0, request, rest) ? -1 : 0;
}

enum act { PUBLISH, ABORT, RELEASE, COUNTER };

FIXTURE(silent) {
	struct outside outside;
	struct l3l2q_ep *ep;
	enum act act;
	uint64_t looks;
};

FIXTURE_VARIANT(silent) {
	const char *transport;
	uint64_t nap_ns;
};

FIXTURE_VARIANT_ADD(silent, external) { "external", 0 };
FIXTURE_VARIANT_ADD(silent, external_short) { "external", 5000 };
FIXTURE_VARIANT_ADD(silent, external_wc) { "external-wc", 0 };
FIXTURE_VARIANT_ADD(silent, external_copied) { "external-copied", 0 };
FIXTURE_VARIANT_ADD(silent, memfd) { "memfd", 0 };
FIXTURE_VARIANT_ADD(silent, memfd_short) { "memfd", 5000 };

FIXTURE_SETUP(silent)
{
	struct l3l2q_attr attr = { .depth = 4, .input_arena_bytes = 256, .output_arena_bytes = 256,
		.spin_ns = L3L2Q_SPIN_OFF, .nap_ns = variant->nap_ns,
		.flags = L3L2Q_ATTR_SILENT_PEER, .role = L3L2Q_ROLE_L3 };

	setenv("L3L2Q_TRANSPORT", variant->transport, 1);
	if (is_external()) {
		ASSERT_EQ(0, outside_make(&self->outside, &attr));
		self->outside.ext.role = L3L2Q_ROLE_L3;
		ASSERT_EQ(0, l3l2q_attach_external(&self->ep, &self->outside.ext, &attr, NULL));
	} else {
		ASSERT_EQ(0, transport_create(&self->ep, &attr, NULL));
	}
	naps = longest = 0;
}

FIXTURE_TEARDOWN(silent)
{
	l3l2q_close(self->ep);
	outside_free(&self->outside);
}

static uint64_t syscalls_of(struct l3l2q_ep *ep)
{
	struct l3l2q_ep_stats stats;

	l3l2q_ep_stats(ep, &stats);
	return stats.syscalls;
}

/* A peer that lets the other side look for a while, and then stores. */
static void *silent_peer(void *arg)
{
	FIXTURE_DATA(silent) *self = arg;
	struct l3l2q_ep_info info;
	struct l3l2q_desc *ring;
	char *counters;

	region_info(self->ep, &info);
	counters = info.counters;
	ring = (void *)((char *)info.payload + info.layout.output_desc_offset);
	while (syscalls_of(self->ep) < self->looks)
		sched_yield();
	if (self->act == PUBLISH) {
		__atomic_store_n(&ring->opcode, L3L2Q_OP_DATA, __ATOMIC_RELAXED);
		__atomic_store_n(&ring->payload_offset, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&ring->payload_nbytes, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&ring->seq, 1, __ATOMIC_RELEASE);
	}
	__atomic_store_n((int32_t *)(void *)(counters +
			 (self->act == PUBLISH || self->act == COUNTER ? L3L2Q_CTR_OUTPUT_TAIL :
			  self->act == ABORT ? L3L2Q_CTR_L2_ABORT : L3L2Q_CTR_INPUT_HEAD)), 1,
			 __ATOMIC_RELEASE);
	return NULL;
}

static int start_peer(FIXTURE_DATA(silent) *self, enum act act, pthread_t *thread)
{
	self->act = act;
	self->looks = syscalls_of(self->ep) + LOOKS;
	return pthread_create(thread, NULL, silent_peer, self);
}

/* Over memfd a call sleeps on a futex, which is not counted here. */
static void check_naps(struct __test_metadata *_metadata, uint64_t bound)
{
	if (!is_external())
		return;
	EXPECT_LE(LOOKS, naps);
	EXPECT_EQ(bound, longest);
}

#define BOUND (variant->nap_ns ? variant->nap_ns : 50000)

TEST_F(silent, a_blocked_peek_sees_its_message)
{
	struct l3l2q_message m;
	pthread_t thread;

	ASSERT_EQ(0, start_peer(self, PUBLISH, &thread));
	EXPECT_EQ(0, l3l2q_peek(l3l2q_ep_consumer(self->ep), &m, LONG_NS));
	pthread_join(thread, NULL);
	check_naps(_metadata, BOUND);
}

TEST_F(silent, a_blocked_enqueue_sees_room)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(self->ep);
	pthread_t thread;
	int i;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, l3l2q_try_enqueue(p, L3L2Q_OP_DATA, NULL, 0));
	ASSERT_EQ(0, start_peer(self, RELEASE, &thread));
	EXPECT_EQ(0, l3l2q_enqueue(p, L3L2Q_OP_DATA, NULL, 0, LONG_NS));
	pthread_join(thread, NULL);
	check_naps(_metadata, BOUND);
}

TEST_F(silent, a_blocked_peek_sees_its_abort)
{
	struct l3l2q_message m;
	pthread_t thread;

	ASSERT_EQ(0, start_peer(self, ABORT, &thread));
	EXPECT_EQ(-ECONNABORTED, l3l2q_peek(l3l2q_ep_consumer(self->ep), &m, LONG_NS));
	pthread_join(thread, NULL);
	check_naps(_metadata, BOUND);
}

TEST_F(silent, wait_sees_its_message)
{
	pthread_t thread;

	ASSERT_EQ(0, start_peer(self, PUBLISH, &thread));
	EXPECT_EQ(L3L2Q_EVENT_IN, l3l2q_wait(self->ep, L3L2Q_EVENT_IN, LONG_NS));
	pthread_join(thread, NULL);
	check_naps(_metadata, BOUND);
}

TEST_F(silent, wait_counter_sees_its_counter)
{
	int32_t observed;
	pthread_t thread;

	ASSERT_EQ(0, start_peer(self, COUNTER, &thread));
	EXPECT_EQ(0, l3l2q_wait_counter(self->ep, L3L2Q_CTR_OUTPUT_TAIL, L3L2Q_CMP_GE, 1, LONG_NS,
					&observed));
	EXPECT_EQ(1, observed);
	pthread_join(thread, NULL);
	check_naps(_metadata, BOUND);
}

/* A loop of try forms alone sees its abort too. */
TEST_F(silent, a_loop_sees_its_abort)
{
	struct l3l2q_message m;
	pthread_t thread;
	int ret;

	self->act = ABORT;
	self->looks = 0;
	ASSERT_EQ(0, pthread_create(&thread, NULL, silent_peer, self));
	do {
		ret = l3l2q_try_peek(l3l2q_ep_consumer(self->ep), &m);
	} while (ret == -EAGAIN);
	EXPECT_EQ(-ECONNABORTED, ret);
	pthread_join(thread, NULL);
}

TEST_HARNESS_MAIN
