// SPDX-License-Identifier: MIT
/*
 * protocol.md section 1 through the public interface: counters and payload of raw
 * regions, and the counters of a queue, over the transport in L3L2Q_TRANSPORT
 * (proto_transport.h; external memory always holds a queue).
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "proto_transport.h"

#define LONG_NS (300 * 1000000000ll)
#define SHORT_NS 2000000ll
#define PAYLOAD 100u
#define COUNTERS 132u

FIXTURE(raw) {
	struct l3l2q_ep *l3, *l2;
	int fd;
};

FIXTURE_SETUP(raw)
{
	struct l3l2q_attr attr = { .role = L3L2Q_ROLE_L3, .payload_bytes = PAYLOAD,
		.counter_bytes = COUNTERS };
	struct l3l2q_failure why = { "" };

	if (is_external())
		SKIP(return, "external memory holds queues only");
	ASSERT_EQ(0, transport_create(&self->l3, &attr, &why)) {
		TH_LOG("%s", why.text);
	}
	self->fd = l3l2q_open_peer(self->l3);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, l3l2q_attach(&self->l2, self->fd, NULL, &why)) {
		TH_LOG("%s", why.text);
	}
}

FIXTURE_TEARDOWN(raw)
{
	l3l2q_close(self->l2);
	l3l2q_close(self->l3);
}

TEST_F(raw, s1_notify)
{
	int32_t now;

	ASSERT_EQ(0, l3l2q_notify(self->l3, 0, L3L2Q_NOTIFY_SET, 41));
	ASSERT_EQ(0, l3l2q_notify(self->l2, 0, L3L2Q_NOTIFY_ADD, 1));
	EXPECT_EQ(1, l3l2q_test(self->l3, 0, L3L2Q_CMP_EQ, 42, &now));
	EXPECT_EQ(42, now);
	ASSERT_EQ(0, l3l2q_notify(self->l2, 128, L3L2Q_NOTIFY_ADD, -5));
	EXPECT_EQ(1, l3l2q_test(self->l3, 128, L3L2Q_CMP_EQ, -5, NULL));
	/* Add wraps. */
	ASSERT_EQ(0, l3l2q_notify(self->l3, 64, L3L2Q_NOTIFY_SET, INT32_MAX));
	ASSERT_EQ(0, l3l2q_notify(self->l3, 64, L3L2Q_NOTIFY_ADD, 1));
	EXPECT_EQ(1, l3l2q_test(self->l2, 64, L3L2Q_CMP_EQ, INT32_MIN, NULL));
	ASSERT_EQ(0, l3l2q_notify(self->l3, 64, L3L2Q_NOTIFY_ADD, -1));
	EXPECT_EQ(1, l3l2q_test(self->l2, 64, L3L2Q_CMP_EQ, INT32_MAX, NULL));

	EXPECT_EQ(-EINVAL, l3l2q_notify(self->l3, 1, L3L2Q_NOTIFY_SET, 0));
	EXPECT_EQ(-EINVAL, l3l2q_notify(self->l3, 0, 2, 0));
	EXPECT_EQ(-EINVAL, l3l2q_notify(self->l3, 0, ~0u, 0));
	EXPECT_EQ(-ERANGE, l3l2q_notify(self->l3, COUNTERS, L3L2Q_NOTIFY_SET, 0));
	EXPECT_EQ(-ERANGE, l3l2q_notify(self->l3, 1ull << 32, L3L2Q_NOTIFY_SET, 0));
	EXPECT_EQ(-ERANGE, l3l2q_notify(self->l3, ~0ull - 3, L3L2Q_NOTIFY_SET, 0));
	EXPECT_EQ(1, l3l2q_test(self->l2, 0, L3L2Q_CMP_EQ, 42, NULL));
}

TEST_F(raw, s1_test_is_a_snapshot)
{
	static const int32_t values[] = { 0, 1, -1, 7, INT32_MAX, INT32_MIN };
	size_t i, j;
	int32_t now;

	for (i = 0; i < 6; i++) {
		int32_t o = values[i];

		ASSERT_EQ(0, l3l2q_notify(self->l2, 4, L3L2Q_NOTIFY_SET, o));
		for (j = 0; j < 6; j++) {
			int32_t v = values[j];

			EXPECT_EQ(o == v, l3l2q_test(self->l3, 4, L3L2Q_CMP_EQ, v, &now));
			EXPECT_EQ(o, now);
			EXPECT_EQ(o != v, l3l2q_test(self->l3, 4, L3L2Q_CMP_NE, v, &now));
			EXPECT_EQ(o > v, l3l2q_test(self->l3, 4, L3L2Q_CMP_GT, v, &now));
			EXPECT_EQ(o >= v, l3l2q_test(self->l3, 4, L3L2Q_CMP_GE, v, &now));
			EXPECT_EQ(o < v, l3l2q_test(self->l3, 4, L3L2Q_CMP_LT, v, &now));
			EXPECT_EQ(o <= v, l3l2q_test(self->l3, 4, L3L2Q_CMP_LE, v, &now));
			EXPECT_EQ(o, now);
		}
	}
	/* A failed access zeroes what it would have filled in. */
	now = 99;
	EXPECT_EQ(-EINVAL, l3l2q_test(self->l3, 4, 6, 0, &now));
	EXPECT_EQ(0, now);
	now = 99;
	EXPECT_EQ(-EINVAL, l3l2q_test(self->l3, 2, L3L2Q_CMP_EQ, 0, &now));
	EXPECT_EQ(0, now);
	now = 99;
	EXPECT_EQ(-ERANGE, l3l2q_test(self->l3, COUNTERS, L3L2Q_CMP_EQ, 0, &now));
	EXPECT_EQ(0, now);
	now = 99;
	EXPECT_EQ(-ERANGE, l3l2q_wait_counter(self->l3, COUNTERS, L3L2Q_CMP_EQ, 0, 1, &now));
	EXPECT_EQ(0, now);
}

TEST_F(raw, s1_wait)
{
	struct l3l2q_error error;
	int32_t now = 0;

	ASSERT_EQ(0, l3l2q_notify(self->l2, 0, L3L2Q_NOTIFY_SET, 5));
	EXPECT_EQ(0, l3l2q_wait_counter(self->l3, 0, L3L2Q_CMP_GE, 5, LONG_NS, &now));
	EXPECT_EQ(5, now);
	/* The value also on time-out, which poisons nothing. */
	now = 0;
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait_counter(self->l3, 0, L3L2Q_CMP_GT, 5, SHORT_NS, &now));
	EXPECT_EQ(5, now);
	now = 0;
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait_counter(self->l2, 0, L3L2Q_CMP_GT, 5, 0, &now));
	EXPECT_EQ(5, now);
	EXPECT_EQ(0, l3l2q_wait_counter(self->l2, 0, L3L2Q_CMP_EQ, 5, 0, NULL));
	EXPECT_EQ(-EINVAL, l3l2q_wait_counter(self->l3, 0, L3L2Q_CMP_EQ, 5, 0, NULL));
	EXPECT_EQ(-EINVAL, l3l2q_wait_counter(self->l3, 0, L3L2Q_CMP_EQ, 5, -1, NULL));
	EXPECT_EQ(-EINVAL, l3l2q_wait_counter(self->l2, 0, L3L2Q_CMP_EQ, 5, -1, NULL));
	EXPECT_EQ(-EINVAL, l3l2q_wait_counter(self->l3, 0, 6, 5, LONG_NS, NULL));
	EXPECT_EQ(-EINVAL, l3l2q_wait_counter(self->l3, 3, L3L2Q_CMP_EQ, 5, LONG_NS, NULL));
	l3l2q_ep_error(self->l3, &error);
	EXPECT_EQ(L3L2Q_ERR_NONE, error.kind);
	EXPECT_EQ(0, l3l2q_notify(self->l3, 0, L3L2Q_NOTIFY_ADD, 1));
}

TEST_F(raw, s1_payload)
{
	char in[PAYLOAD + 1], out[PAYLOAD + 1];

	body_fill(in, PAYLOAD, 3);
	ASSERT_EQ(0, l3l2q_payload_write(self->l3, 0, in, PAYLOAD));
	ASSERT_EQ(0, l3l2q_payload_read(self->l2, 0, out, PAYLOAD));
	EXPECT_TRUE(body_is(out, PAYLOAD, 3));
	ASSERT_EQ(0, l3l2q_payload_write(self->l2, PAYLOAD - 1, "z", 1));
	ASSERT_EQ(0, l3l2q_payload_read(self->l3, PAYLOAD - 1, out, 1));
	EXPECT_EQ('z', out[0]);

	EXPECT_EQ(-EINVAL, l3l2q_payload_write(self->l3, 0, in, 0));
	EXPECT_EQ(-EINVAL, l3l2q_payload_read(self->l3, 0, out, 0));
	EXPECT_EQ(-EINVAL, l3l2q_payload_write(self->l3, 0, NULL, 1));
	EXPECT_EQ(-EINVAL, l3l2q_payload_read(self->l3, 0, NULL, 1));
	EXPECT_EQ(-ERANGE, l3l2q_payload_write(self->l3, 0, in, PAYLOAD + 1));
	EXPECT_EQ(-ERANGE, l3l2q_payload_write(self->l3, PAYLOAD, in, 1));
	EXPECT_EQ(-ERANGE, l3l2q_payload_write(self->l3, ~0ull, in, 2));
	memset(out, 'x', sizeof(out));
	EXPECT_EQ(-ERANGE, l3l2q_payload_read(self->l3, 1, out, PAYLOAD));
	/* Zeroed, so that nobody takes what was there for data. */
	EXPECT_EQ(0, out[0]);
	EXPECT_EQ(0, out[PAYLOAD - 1]);
	EXPECT_EQ('x', out[PAYLOAD]);
	EXPECT_EQ(-ERANGE, l3l2q_payload_read(self->l3, ~0ull - 1, out, 1));
}

TEST_F(raw, s1_description)
{
	uint64_t scalars[L3L2Q_SCALARS];
	struct l3l2q_region_desc region;
	struct l3l2q_ep_info info;
	size_t i;

	EXPECT_EQ(NULL, l3l2q_ep_producer(self->l3));
	EXPECT_EQ(NULL, l3l2q_ep_consumer(self->l3));
	ASSERT_EQ(6, l3l2q_ep_scalars(self->l3, scalars));
	for (i = 6; i < 12; i++)
		EXPECT_EQ(0, scalars[i]);
	memcpy(&region, scalars, sizeof(region));
	EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_region_check(&region));
	EXPECT_EQ(PAYLOAD, region.payload_bytes);
	EXPECT_EQ(COUNTERS, region.counter_bytes);
	EXPECT_EQ(0, region.payload_base % 64);
	EXPECT_NE(0, region.payload_base);
	EXPECT_NE(0, region.counter_base);
	l3l2q_ep_info(self->l2, &info);
	EXPECT_EQ(L3L2Q_ROLE_L2, info.role);
	EXPECT_EQ(region.region_id, info.region_id);
	EXPECT_EQ(PAYLOAD, info.payload_bytes);
	EXPECT_EQ(COUNTERS, info.counter_bytes);
	EXPECT_EQ(0, info.layout.depth);
}

static uint64_t sleeps_of(struct l3l2q_ep *ep)
{
	struct l3l2q_ep_stats stats;

	l3l2q_ep_stats(ep, &stats);
	return stats.sleeps;
}

struct waiter {
	struct l3l2q_ep *ep;
	uint64_t offset;
	int32_t value, observed;
	int ret;
	pthread_t thread;
};

static void *wait_thread(void *arg)
{
	struct waiter *w = arg;

	w->ret = l3l2q_wait_counter(w->ep, w->offset, L3L2Q_CMP_EQ, w->value, LONG_NS,
				    &w->observed);
	return NULL;
}

/* Several sleep for different counters; each store wakes whom it concerns. */
TEST_F(raw, s1_notify_wakes_every_waiter)
{
	struct waiter w[6];
	int i;

	for (i = 0; i < 6; i++) {
		w[i] = (struct waiter){ .ep = i < 3 ? self->l3 : self->l2, .value = i + 1,
			.offset = (uint64_t)i * 4 };
		ASSERT_EQ(0, pthread_create(&w[i].thread, NULL, wait_thread, &w[i]));
	}
	while (sleeps_of(self->l3) < 3 || sleeps_of(self->l2) < 3)
		sched_yield();
	/* By the peer or by one's own side. */
	for (i = 0; i < 6; i++)
		ASSERT_EQ(0, l3l2q_notify(i % 2 ? self->l3 : self->l2, (uint64_t)i * 4,
					  L3L2Q_NOTIFY_SET, i + 1));
	for (i = 0; i < 6; i++) {
		pthread_join(w[i].thread, NULL);
		EXPECT_EQ(0, w[i].ret);
		EXPECT_EQ(i + 1, w[i].observed);
	}
}

#define CHECK_EQ(want, got) do {						\
	long long w_ = (long long)(want), g_ = (long long)(got);		\
	if (w_ != g_) {								\
		fprintf(stderr, "# %s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__,	\
			#got, g_, w_);						\
		_exit(1);							\
	}									\
} while (0)

/* Payload, then counter: who sees the counter sees the payload. Two processes. */
TEST(s1_notify_publishes)
{
	struct l3l2q_attr attr = { .payload_bytes = 4096, .counter_bytes = 128 };
	uint64_t n = messages() / 100 + 100;
	struct l3l2q_ep *ep, *peer;
	char body[4096];
	int fd, status;
	uint64_t i;
	pid_t pid;

	if (is_external())
		SKIP(return, "external memory holds queues only");
	ASSERT_EQ(0, transport_create(&ep, &attr, NULL));
	fd = l3l2q_open_peer(ep);
	ASSERT_LE(0, fd);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		CHECK_EQ(0, l3l2q_attach(&peer, fd, NULL, NULL));
		for (i = 1; i <= n; i++) {
			CHECK_EQ(0, l3l2q_wait_counter(peer, 0, L3L2Q_CMP_EQ, (int32_t)i, LONG_NS,
						       NULL));
			CHECK_EQ(0, l3l2q_payload_read(peer, 0, body, sizeof(body)));
			CHECK_EQ(1, body_is(body, sizeof(body), i));
			CHECK_EQ(0, l3l2q_notify(peer, 64, L3L2Q_NOTIFY_ADD, 1));
		}
		l3l2q_close(peer);
		_exit(0);
	}
	close(fd);
	for (i = 1; i <= n; i++) {
		body_fill(body, sizeof(body), i);
		ASSERT_EQ(0, l3l2q_payload_write(ep, 0, body, sizeof(body)));
		ASSERT_EQ(0, l3l2q_notify(ep, 0, L3L2Q_NOTIFY_SET, (int32_t)i));
		ASSERT_EQ(0, l3l2q_wait_counter(ep, 64, L3L2Q_CMP_GE, (int32_t)i, LONG_NS, NULL));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	l3l2q_close(ep);
}

/* A queue's events never come: waiting for them is a mistake, on each transport. */
TEST_F(raw, s8_no_events_of_a_queue)
{
	const int64_t timeouts[] = { 0, SHORT_NS };
	size_t i;

	for (i = 0; i < 2; i++) {
		EXPECT_EQ(-EINVAL, l3l2q_wait(self->l3, L3L2Q_EVENT_IN, timeouts[i]));
		EXPECT_EQ(-EINVAL, l3l2q_wait(self->l2, L3L2Q_EVENT_OUT, timeouts[i]));
		EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(self->l3, 0, timeouts[i]));
	}
	EXPECT_EQ(-EINVAL, l3l2q_arm(self->l3, L3L2Q_EVENT_IN));
	EXPECT_EQ(-EINVAL, l3l2q_arm(self->l2, L3L2Q_EVENT_OUT));
	EXPECT_EQ(0, l3l2q_arm(self->l3, 0));
	ASSERT_EQ(0, l3l2q_detach(self->l2));
	EXPECT_EQ(-EINVAL, l3l2q_wait(self->l3, L3L2Q_EVENT_IN, 0));
	EXPECT_EQ(L3L2Q_EVENT_HUP, l3l2q_wait(self->l3, 0, LONG_NS));
}

/* Killed while we wait for its counter; or gone in good order. */
TEST(s6_peer_ends_while_waited_for)
{
	int clean;

	if (is_external())
		SKIP(return, "external memory holds queues only");
	for (clean = 0; clean < 2; clean++) {
		struct l3l2q_attr attr = { .payload_bytes = 64, .counter_bytes = 128 };
		struct l3l2q_ep *ep, *peer;
		int fd, status, ret;
		int32_t now = 0;
		pid_t pid;

		ASSERT_EQ(0, transport_create(&ep, &attr, NULL));
		fd = l3l2q_open_peer(ep);
		ASSERT_LE(0, fd);
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			CHECK_EQ(0, l3l2q_attach(&peer, fd, NULL, NULL));
			CHECK_EQ(0, l3l2q_notify(peer, 0, L3L2Q_NOTIFY_SET, 3));
			if (!clean)
				raise(SIGKILL);
			CHECK_EQ(0, l3l2q_detach(peer));
			_exit(0);
		}
		close(fd);
		ret = l3l2q_wait_counter(ep, 0, L3L2Q_CMP_EQ, 4, LONG_NS, &now);
		EXPECT_EQ(clean ? -EPIPE : -ECONNABORTED, ret);
		EXPECT_EQ(3, now);
		/* What holds, holds. */
		EXPECT_EQ(0, l3l2q_wait_counter(ep, 0, L3L2Q_CMP_EQ, 3, LONG_NS, NULL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		l3l2q_close(ep);
	}
}

TEST(s2_one_writer_per_queue_line)
{
	struct l3l2q_attr attr = { .depth = 4, .input_arena_bytes = 64,
		.output_arena_bytes = 64 };
	static const uint32_t writer[] = { 0, 1, 1, 0, 0, 1 };
	struct l3l2q_ep *ep[2];
	uint64_t offset;
	int fd;

	if (is_external())
		SKIP(return, "nobody enforces lines over external memory");
	ASSERT_EQ(0, transport_create(&ep[0], &attr, NULL));
	fd = l3l2q_open_peer(ep[0]);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, l3l2q_attach(&ep[1], fd, NULL, NULL));
	for (offset = 0; offset < 384; offset += 4) {
		uint32_t w = writer[offset / 64];

		EXPECT_EQ(-EPERM, l3l2q_notify(ep[!w], offset, L3L2Q_NOTIFY_SET, 1));
		EXPECT_EQ(1, l3l2q_test(ep[0], offset, L3L2Q_CMP_EQ, 0, NULL));
	}
	for (offset = 4; offset < 384; offset += 64)
		EXPECT_EQ(0, l3l2q_notify(ep[writer[offset / 64]], offset, L3L2Q_NOTIFY_SET, 1));
	l3l2q_close(ep[1]);
	l3l2q_close(ep[0]);
}

TEST_HARNESS_MAIN
