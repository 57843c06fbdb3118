// SPDX-License-Identifier: MIT
/*
 * The queue through the public interface, over the transport in L3L2Q_TRANSPORT
 * (proto_transport.h), with L3 and L2 in two processes, or threads over external
 * memory so that TSan sees both; with L3L2Q_BINDING=spsq in that binding.
 *
 * L3L2Q_MESSAGES: how many messages a long test sends each way.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "proto_transport.h"

/* Bounds a hang, decides nothing. */
#define LONG_NS (300 * 1000000000ll)
#define SHORT_NS 2000000ll

/* As if so many messages had passed; each end's cursors are its process's to set. */
static void start_counters(struct l3l2q_ep *ep, uint64_t at)
{
	static const unsigned int four[] = { 0, 64, 128, 192 };
	struct l3l2q_ep_info info;
	size_t i;

	region_info(ep, &info);
	for (i = 0; i < 4; i++)
		l3l2q_store_counter((__s32 *)(void *)((char *)info.counters + four[i]), (__u32)at);
}

static void start_cursors(struct l3l2q_ep *ep, uint64_t at)
{
	cursors_set(l3l2q_ep_producer(ep), l3l2q_ep_consumer(ep), at);
}

static __s32 counter_of(struct l3l2q_ep *ep, unsigned int offset)
{
	struct l3l2q_ep_info info;

	region_info(ep, &info);
	return (__s32)l3l2q_load_counter((__s32 *)(void *)((char *)info.counters + offset));
}

static uint32_t error_kind(struct l3l2q_ep *ep)
{
	struct l3l2q_error error;

	l3l2q_ep_error(ep, &error);
	return error.kind;
}

/* ---- processes ---------------------------------------------------------- */

/* A child that cannot outlive us. Returns 0 in it. */
static pid_t spawn(void)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(99);
	}
	return pid;
}

static int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static int slay(pid_t pid)
{
	if (pid <= 0)
		return -ESRCH;
	kill(pid, SIGKILL);
	return reap(pid);
}

/* For a child: say what is wrong, and where. Nothing is returned to. */
#define CHECK(cond) do {							\
	if (!(cond)) {								\
		fprintf(stderr, "# %s:%d: pid %d: not so: %s\n", __FILE__, __LINE__,	\
			getpid(), #cond);					\
		_exit(1);							\
	}									\
} while (0)

#define CHECK_EQ(want, got) do {						\
	long long w_ = (long long)(want), g_ = (long long)(got);		\
	if (w_ != g_) {								\
		fprintf(stderr, "# %s:%d: pid %d: %s is %lld, not %lld\n", __FILE__,	\
			__LINE__, getpid(), #got, g_, w_);			\
		_exit(1);							\
	}									\
} while (0)

/* ---- long streams ------------------------------------------------------- */

struct stream {
	struct l3l2q_ep *ep;
	uint64_t count, seed, max;
	uint32_t window;
	bool stop;		/* from L3: send STOP at the end, or wait for it */
};

static uint64_t size_at(const struct stream *s, uint64_t i)
{
	uint64_t state = s->seed ^ i * 0x10001;

	return rnd_size(&state, s->max);
}

static uint32_t opcode_at(const struct stream *s, uint64_t i)
{
	enum l3l2q_role sender = s->stop ? L3L2Q_ROLE_L3 : L3L2Q_ROLE_L2;

	return mix(s->seed + i) % 16 ? L3L2Q_OP_DATA : error_opcode(sender);
}

/* Send up to so many messages from an array, or in place as long as they have one size. */
static uint64_t send_run(const struct stream *s, uint64_t i, uint64_t most)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(s->ep);
	uint32_t opcode = opcode_at(s, i);
	struct l3l2q_body bodies[8];
	struct l3l2q_reservation span;
	unsigned char *body;
	uint64_t k, same = 1;
	int n;

	if (most > s->count - i)
		most = s->count - i;
	for (k = 1; k < most && opcode_at(s, i + k) == opcode; k++)
		same += same == k && size_at(s, i + k) == size_at(s, i);
	most = k;
	if (same > 1 && !is_copied()) {
		n = l3l2q_reserve_run(p, size_at(s, i), (int)most, &span, LONG_NS);
		CHECK(n > 0 && n <= (int)most);
		if ((uint64_t)n > same)
			n = (int)same;
		for (k = 0; k < (uint64_t)n && span.nbytes; k++)
			body_fill((char *)span.data + k * span.nbytes, span.nbytes,
				  s->seed + i + k);
		CHECK_EQ(0, l3l2q_commit_run(p, &span, opcode, n));
		return (uint64_t)n;
	}
	for (k = 0; k < most; k++) {
		bodies[k].nbytes = size_at(s, i + k);
		body = bodies[k].nbytes ? malloc(bodies[k].nbytes) : NULL;
		bodies[k].data = body;
		if (body)
			body_fill(body, bodies[k].nbytes, s->seed + i + k);
	}
	n = l3l2q_enqueue_run(p, opcode, bodies, (int)most, LONG_NS);
	CHECK(n > 0 && n <= (int)most);
	for (k = 0; k < most; k++)
		free((void *)(uintptr_t)bodies[k].data);
	return (uint64_t)n;
}

/* Send in every way there is. */
static void *send_stream(void *arg)
{
	struct stream *s = arg;
	struct l3l2q_producer *p = l3l2q_ep_producer(s->ep);
	uint64_t i, state = s->seed, batch = 0;
	unsigned char *body = malloc(s->max);

	CHECK(body);
	for (i = 0; i < s->count; i++) {
		uint64_t n = size_at(s, i), how = rnd_below(&state, 8);
		uint32_t opcode = opcode_at(s, i);
		struct l3l2q_reservation span;
		struct iovec iov[3];

		if (!batch && rnd_below(&state, 16) == 0) {
			CHECK_EQ(0, l3l2q_batch_begin(p));
			batch = rnd_below(&state, 40) + 1;
		}
		if (!batch && rnd_below(&state, 4) == 0) {
			i += send_run(s, i, rnd_below(&state, 8) + 1) - 1;
			continue;
		}
		if (how < 3 && !is_copied()) {
			CHECK_EQ(0, l3l2q_reserve(p, n, &span, LONG_NS));
			if (n)
				body_fill(span.data, n, s->seed + i);
			if (how == 0) {
				CHECK_EQ(0, l3l2q_cancel(p, &span));
				CHECK_EQ(0, l3l2q_reserve(p, n, &span, LONG_NS));
				if (n)
					body_fill(span.data, n, s->seed + i);
			}
			CHECK_EQ(0, l3l2q_commit(p, &span, opcode));
		} else {
			body_fill(body, n, s->seed + i);
			if (how < 5) {
				uint64_t a = n ? rnd_below(&state, n) : 0;

				iov[0] = (struct iovec){ body, a };
				iov[1] = (struct iovec){ NULL, 0 };
				iov[2] = (struct iovec){ body + a, n - a };
				CHECK_EQ(0, l3l2q_enqueuev(p, opcode, iov, 3, LONG_NS));
			} else if (how < 6) {
				int ret = l3l2q_try_enqueue(p, opcode, n ? body : NULL, n);

				if (ret == -EAGAIN)
					ret = l3l2q_enqueue(p, opcode, n ? body : NULL, n, LONG_NS);
				CHECK_EQ(0, ret);
			} else {
				CHECK_EQ(0, l3l2q_enqueue(p, opcode, n ? body : NULL, n, LONG_NS));
			}
		}
		if (batch && !--batch)
			CHECK_EQ(0, l3l2q_batch_publish(p));
	}
	if (s->stop)
		CHECK_EQ(0, l3l2q_stop(p, LONG_NS));
	if (batch)
		CHECK_EQ(0, l3l2q_batch_publish(p));
	free(body);
	return NULL;
}

/* Whether a held message has the body of its seed: in place, or copied out without a view. */
static bool message_is(struct l3l2q_consumer *c, const struct l3l2q_message *m, uint64_t seed)
{
	unsigned char *body;
	bool is;

	if (!is_copied() || m->data || !m->nbytes)
		return m->nbytes ? body_is(m->data, m->nbytes, seed) : !m->data;
	body = malloc(m->nbytes);
	is = body && !l3l2q_read_into(c, m, body, m->nbytes) && body_is(body, m->nbytes, seed);
	free(body);
	return is;
}

static void check_message(const struct stream *s, const struct l3l2q_message *m, uint64_t first)
{
	uint64_t i = m->seq - 1 - first;

	CHECK_EQ(size_at(s, i), m->nbytes);
	CHECK_EQ(opcode_at(s, i), m->opcode);
	CHECK(message_is(l3l2q_ep_consumer(s->ep), m, s->seed + i));
}

/* Receive in every way there is, hold up to the window, release in any order. */
static void *receive_stream(void *arg)
{
	struct stream *s = arg;
	struct l3l2q_consumer *c = l3l2q_ep_consumer(s->ep);
	struct l3l2q_message held[17], m;
	uint64_t got = 0, nheld = 0, state = s->seed, first = c->head, k;
	unsigned char *body = malloc(s->max);
	int ret;

	CHECK(body && s->window <= 16);
	while (got < s->count) {
		uint64_t how = rnd_below(&state, 4);

		if (!nheld && how == 0) {
			CHECK_EQ(0, l3l2q_dequeue(c, &m, body, s->max, LONG_NS));
			CHECK(!m.data);
			m.data = m.nbytes ? body : NULL;
			CHECK_EQ(first + got + 1, m.seq);
			check_message(s, &m, first);
			got++;
			continue;
		}
		if (!nheld && how == 2) {
			const struct l3l2q_message *run;
			uint64_t left = s->count - got;
			int n = l3l2q_peek_run(c, &run, left < 20 ? (int)left : 20, LONG_NS);

			CHECK(n > 0 && n <= 20);
			for (k = 0; k < (uint64_t)n; k++) {
				CHECK_EQ(first + ++got, run[k].seq);
				check_message(s, &run[k], first);
			}
			CHECK_EQ(0, l3l2q_release_upto(c, &run[n - 1]));
			continue;
		}
		if (nheld < s->window && how == 1) {
			/* Not STOP yet. */
			uint64_t most = s->window - nheld, left = s->count - got;
			int n = l3l2q_try_peek_batch(c, held + nheld,
						 (int)(most < left ? most : left));

			CHECK(n > 0 || n == -EAGAIN);
			if (n > 0) {
				got += (uint64_t)n;
				nheld += (uint64_t)n;
			}
		} else if (nheld < s->window) {
			int ret = nheld ? l3l2q_try_peek(c, &m) : l3l2q_peek(c, &m, LONG_NS);

			CHECK(!ret || (nheld && ret == -EAGAIN));
			if (!ret) {
				held[nheld++] = m;
				got++;
				CHECK_EQ(first + got, m.seq);
				/* Now, or when it is released. */
				if (rnd_below(&state, 2))
					check_message(s, &m, first);
			}
		}
		if (nheld && rnd_below(&state, 8) == 0) {
			for (k = 0; k < nheld; k++)
				check_message(s, &held[k], first);
			CHECK_EQ(0, l3l2q_release_batch(c, held, (int)nheld));
			nheld = 0;
		}
		while (nheld && (nheld == s->window || rnd_below(&state, 3))) {
			k = rnd_below(&state, nheld);
			check_message(s, &held[k], first);
			if (held[k].nbytes && rnd_below(&state, 4) == 0) {
				CHECK_EQ(0, l3l2q_read_into(c, &held[k], body, s->max));
				CHECK(body_is(body, held[k].nbytes,
					      s->seed + held[k].seq - 1 - first));
			}
			CHECK_EQ(0, l3l2q_release(c, &held[k]));
			held[k] = held[--nheld];
		}
	}
	while (nheld)
		CHECK_EQ(0, l3l2q_release(c, &held[--nheld]));
	if (s->stop) {
		CHECK_EQ(0, l3l2q_peek(c, &m, LONG_NS));
		CHECK_EQ(L3L2Q_OP_STOP, m.opcode);
		CHECK(!l3l2q_drained(c));
		CHECK_EQ(0, l3l2q_release(c, &m));
		CHECK(l3l2q_drained(c));
		/* The sender is through, and may have detached. */
		ret = l3l2q_try_peek(c, &m);
		CHECK(ret == -EAGAIN || ret == -EPIPE);
	}
	free(body);
	return NULL;
}

/* Both halves of an end, a thread each. */
static void run_end(struct l3l2q_ep *ep, uint64_t count, uint64_t max, uint32_t window)
{
	struct l3l2q_ep_info info;
	struct stream tx = { .ep = ep, .count = count, .max = max, .window = window };
	struct stream rx = tx;
	pthread_t sender;

	l3l2q_ep_info(ep, &info);
	tx.seed = info.role == L3L2Q_ROLE_L3 ? 0x3333 : 0x2222;
	rx.seed = info.role == L3L2Q_ROLE_L3 ? 0x2222 : 0x3333;
	tx.stop = info.role == L3L2Q_ROLE_L3;
	rx.stop = info.role == L3L2Q_ROLE_L2;
	CHECK_EQ(0, pthread_create(&sender, NULL, send_stream, &tx));
	receive_stream(&rx);
	pthread_join(sender, NULL);
	CHECK_EQ(L3L2Q_ERR_NONE, error_kind(ep));
}

struct end {
	struct l3l2q_ep *ep;
	uint64_t count, max;
	uint32_t window;
};

static void *run_end_thread(void *arg)
{
	struct end *e = arg;

	run_end(e->ep, e->count, e->max, e->window);
	return NULL;
}

FIXTURE(stream) {
	struct pair p;
};

FIXTURE_VARIANT(stream) {
	uint32_t role;			/* of the creator */
	uint32_t depth, window;
	uint64_t arena, max, spin, start;
	uint64_t share;			/* of L3L2Q_MESSAGES */
};

FIXTURE_VARIANT_ADD(stream, w1_spin) {
	.role = L3L2Q_ROLE_L3, .depth = 64, .window = 1, .arena = 65536, .max = 4096, .share = 4,
};

FIXTURE_VARIANT_ADD(stream, w4_sleep_2_31) {
	.role = L3L2Q_ROLE_L2, .depth = 32, .window = 4, .arena = 32768, .max = 8192,
	.spin = L3L2Q_SPIN_OFF, .start = 0x7fffff80, .share = 4,
};

FIXTURE_VARIANT_ADD(stream, w16_2_32) {
	.role = L3L2Q_ROLE_L3, .depth = 128, .window = 16, .arena = 65536 - 64, .max = 4096,
	.start = 0xffffff80, .share = 1,
};

/* Small enough that either side waits all the time. */
FIXTURE_VARIANT_ADD(stream, w2_tight) {
	.role = L3L2Q_ROLE_L3, .depth = 2, .window = 2, .arena = 1024, .max = 1024,
	.spin = L3L2Q_SPIN_OFF, .start = 0xfffffff0, .share = 100,
};

FIXTURE_SETUP(stream)
{
	self->p.attr.role = variant->role;
	self->p.attr.depth = variant->depth;
	self->p.attr.window = variant->window;
	self->p.attr.input_arena_bytes = variant->arena;
	self->p.attr.output_arena_bytes = variant->arena;
	self->p.attr.spin_ns = variant->spin;
	ASSERT_EQ(0, pair_create(&self->p));
}

FIXTURE_TEARDOWN(stream)
{
	pair_close(&self->p);
}

TEST_F(stream, s5_both_ways)
{
	enum l3l2q_role own = (enum l3l2q_role)variant->role, peer = l3l2q_peer_role(own);
	struct end e = { .count = messages() / variant->share, .max = variant->max,
		.window = variant->window };
	struct l3l2q_ep_stats stats;
	pthread_t thread;
	pid_t child = 0;

	if (is_external())
		ASSERT_EQ(0, pair_attach(&self->p));
	if (variant->start) {
		start_counters(self->p.ep[own], variant->start);
		start_cursors(self->p.ep[own], variant->start);
	}
	if (is_external()) {
		e.ep = self->p.ep[peer];
		if (variant->start)
			start_cursors(e.ep, variant->start);
		ASSERT_EQ(0, pthread_create(&thread, NULL, run_end_thread, &e));
	} else {
		child = spawn();
		ASSERT_LE(0, child);
		if (!child) {
			CHECK_EQ(0, pair_attach(&self->p));
			if (variant->start)
				start_cursors(self->p.ep[peer], variant->start);
			run_end(self->p.ep[peer], e.count, e.max, e.window);
			/* Detached by close, and not ours to close: the inherited end. */
			l3l2q_close(self->p.ep[peer]);
			_exit(0);
		}
	}
	run_end(self->p.ep[own], e.count, e.max, e.window);
	if (is_external())
		pthread_join(thread, NULL);
	if (child)
		ASSERT_EQ(0, reap(child));

	/* All of it passed, and nothing else. STOP counts as a message. */
	EXPECT_EQ(variant->start + e.count + 1,
		  l3l2q_ep_producer(self->p.ep[own])->tail + (own == L3L2Q_ROLE_L2));
	l3l2q_ep_stats(self->p.ep[own], &stats);
	EXPECT_EQ(stats.sent, variant->start + e.count + (own == L3L2Q_ROLE_L3));
	EXPECT_EQ(stats.received, variant->start + e.count + (own == L3L2Q_ROLE_L2));
	EXPECT_EQ((__s32)(variant->start + e.count + 1),
		  counter_of(self->p.ep[own], L3L2Q_CTR_INPUT_HEAD));
	EXPECT_EQ((__s32)(variant->start + e.count),
		  counter_of(self->p.ep[own], L3L2Q_CTR_OUTPUT_HEAD));
	EXPECT_EQ(0, counter_of(self->p.ep[own], L3L2Q_CTR_L3_ABORT));
	EXPECT_EQ(0, counter_of(self->p.ep[own], L3L2Q_CTR_L2_ABORT));
}

/* ---- both ends in one process: rules of the public interface ------------ */

FIXTURE(both) {
	struct pair p;
	struct l3l2q_ep *l3, *l2;
	struct l3l2q_producer *in;	/* L3's */
	struct l3l2q_producer *out;	/* L2's */
	struct l3l2q_consumer *from_l2;	/* L3's */
	struct l3l2q_consumer *from_l3;	/* L2's */
	struct l3l2q_message m;
};

static int both_start(FIXTURE_DATA(both) *self, uint32_t window)
{
	int ret;

	memset(self, 0, sizeof(*self));
	self->p.attr = (struct l3l2q_attr){ .role = L3L2Q_ROLE_L3, .depth = 8, .window = window,
		.input_arena_bytes = 4096, .output_arena_bytes = 4096 };
	ret = pair_make(&self->p);
	if (ret)
		return ret;
	self->l3 = self->p.ep[L3L2Q_ROLE_L3];
	self->l2 = self->p.ep[L3L2Q_ROLE_L2];
	self->in = l3l2q_ep_producer(self->l3);
	self->out = l3l2q_ep_producer(self->l2);
	self->from_l2 = l3l2q_ep_consumer(self->l3);
	self->from_l3 = l3l2q_ep_consumer(self->l2);
	return 0;
}

FIXTURE_SETUP(both)
{
	ASSERT_EQ(0, both_start(self, 4));
}

FIXTURE_TEARDOWN(both)
{
	pair_close(&self->p);
}

TEST_F(both, s5_gather_is_one_message)
{
	struct iovec iov[] = { { "he", 2 }, { NULL, 0 }, { "l", 1 }, { "lo", 2 } };
	char body[8];

	ASSERT_EQ(0, l3l2q_try_enqueuev(self->in, L3L2Q_OP_DATA, iov, 4));
	ASSERT_EQ(0, l3l2q_try_dequeue(self->from_l3, &self->m, body, sizeof(body)));
	EXPECT_EQ(5, self->m.nbytes);
	EXPECT_EQ(0, memcmp(body, "hello", 5));
	/* Nothing gathered is a message without a body. */
	ASSERT_EQ(0, l3l2q_enqueuev(self->in, error_opcode(L3L2Q_ROLE_L3), NULL, 0, LONG_NS));
	ASSERT_EQ(0, l3l2q_try_enqueuev(self->in, L3L2Q_OP_DATA, iov + 1, 1));
	ASSERT_EQ(0, l3l2q_try_dequeue(self->from_l3, &self->m, NULL, 0));
	EXPECT_EQ(0, self->m.nbytes);
	EXPECT_EQ(error_opcode(L3L2Q_ROLE_L3), self->m.opcode);
	ASSERT_EQ(0, l3l2q_try_dequeue(self->from_l3, &self->m, NULL, 0));
	iov[0] = (struct iovec){ NULL, 1 };
	EXPECT_EQ(-EINVAL, l3l2q_try_enqueuev(self->in, L3L2Q_OP_DATA, iov, 2));
	EXPECT_EQ(-EINVAL, l3l2q_try_enqueuev(self->in, L3L2Q_OP_DATA, NULL, 2));
	EXPECT_EQ(-EINVAL, l3l2q_try_enqueuev(self->in, L3L2Q_OP_DATA, iov, -1));
	iov[0] = (struct iovec){ body, SIZE_MAX };
	iov[1] = (struct iovec){ body, 2 };
	EXPECT_EQ(-EINVAL, l3l2q_try_enqueuev(self->in, L3L2Q_OP_DATA, iov, 2));
	iov[0] = (struct iovec){ body, 4097 };
	EXPECT_EQ(-EMSGSIZE, l3l2q_try_enqueuev(self->in, L3L2Q_OP_DATA, iov, 1));
	EXPECT_EQ(-EMSGSIZE, l3l2q_enqueuev(self->in, L3L2Q_OP_DATA, iov, 1, LONG_NS));
	EXPECT_EQ(L3L2Q_ERR_NONE, error_kind(self->l3));
}

TEST_F(both, s5_zero_bytes_require_a_null_buffer)
{
	EXPECT_EQ(-EINVAL, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "x", 0));
	EXPECT_EQ(-EINVAL, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, NULL, 1));
	EXPECT_EQ(-EINVAL, l3l2q_enqueue(self->in, L3L2Q_OP_DATA, "x", 0, LONG_NS));
	EXPECT_EQ(-EINVAL, l3l2q_enqueue(self->in, L3L2Q_OP_DATA, NULL, 1, LONG_NS));
	EXPECT_EQ(0, counter_of(self->l3, L3L2Q_CTR_INPUT_TAIL));
	EXPECT_EQ(0, counter_of(self->l3, L3L2Q_CTR_L3_ABORT));
	EXPECT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, NULL, 0));
	EXPECT_EQ(L3L2Q_ERR_NONE, error_kind(self->l3));
}

TEST_F(both, s4_4_too_large_at_once)
{
	struct l3l2q_reservation span;
	char body[4097] = { 0 };

	EXPECT_EQ(-EMSGSIZE, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, body, 4097));
	EXPECT_EQ(-EMSGSIZE, l3l2q_enqueue(self->in, L3L2Q_OP_DATA, body, 4097, LONG_NS));
	EXPECT_EQ(-EMSGSIZE, l3l2q_try_reserve(self->out, 4097, &span));
	EXPECT_EQ(-EMSGSIZE, l3l2q_reserve(self->out, SIZE_MAX, &span, LONG_NS));
	EXPECT_EQ(0, l3l2q_enqueue(self->in, L3L2Q_OP_DATA, body, 4096, LONG_NS));
	EXPECT_EQ(L3L2Q_ERR_NONE, error_kind(self->l3));
	EXPECT_EQ(L3L2Q_ERR_NONE, error_kind(self->l2));
}

TEST_F(both, s4_7_batch)
{
	struct l3l2q_message m[4];
	int i;

	EXPECT_EQ(-EINVAL, l3l2q_batch_publish(self->in));
	ASSERT_EQ(0, l3l2q_batch_begin(self->in));
	EXPECT_EQ(-EINVAL, l3l2q_batch_begin(self->in));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "abc", 3));
	ASSERT_EQ(0, l3l2q_try_stop(self->in));
	EXPECT_EQ(-ESHUTDOWN, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "abc", 3));
	EXPECT_EQ(0, counter_of(self->l3, L3L2Q_CTR_INPUT_TAIL));
	EXPECT_EQ(-EAGAIN, l3l2q_try_peek(self->from_l3, &self->m));
	ASSERT_EQ(0, l3l2q_batch_publish(self->in));
	EXPECT_EQ(4, counter_of(self->l3, L3L2Q_CTR_INPUT_TAIL));
	EXPECT_EQ(-ESHUTDOWN, l3l2q_stop(self->in, LONG_NS));
	ASSERT_EQ(4, l3l2q_try_peek_batch(self->from_l3, m, 4));
	EXPECT_EQ(L3L2Q_OP_STOP, m[3].opcode);
	EXPECT_EQ(-EAGAIN, l3l2q_try_peek_batch(self->from_l3, m, 4));
	EXPECT_EQ(-EINVAL, l3l2q_try_peek_batch(self->from_l3, m, 0));
	EXPECT_EQ(0, counter_of(self->l3, L3L2Q_CTR_INPUT_HEAD));
	EXPECT_EQ(L3L2Q_ERR_NONE, error_kind(self->l2));
}

TEST_F(both, s5_release_batch_is_one_store)
{
	struct l3l2q_message m[8];
	int i;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "abc", 3));
	ASSERT_EQ(4, l3l2q_try_peek_batch(self->from_l3, m, 8));
	ASSERT_EQ(0, l3l2q_release_batch(self->from_l3, m + 1, 3));
	EXPECT_EQ(0, counter_of(self->l3, L3L2Q_CTR_INPUT_HEAD));
	ASSERT_EQ(0, l3l2q_release_batch(self->from_l3, m, 1));
	EXPECT_EQ(4, counter_of(self->l3, L3L2Q_CTR_INPUT_HEAD));
	EXPECT_EQ(0, l3l2q_release_batch(self->from_l3, m, 0));
	EXPECT_EQ(-EINVAL, l3l2q_release_batch(self->from_l3, m, -1));
	EXPECT_EQ(-ESTALE, l3l2q_release_batch(self->from_l3, m, 1));
	EXPECT_EQ(L3L2Q_ERR_OWNERSHIP, error_kind(self->l2));
}

/* The calls for runs, with what only the library checks. */
TEST_F(both, s8_runs)
{
	const struct l3l2q_body bodies[] = { { "abc", 3 }, { NULL, 0 }, { "defg", 4 } };
	const struct l3l2q_message *run = NULL;
	struct l3l2q_ep_stats stats;
	struct l3l2q_reservation span;

	EXPECT_EQ(-EAGAIN, l3l2q_try_peek_run(self->from_l3, &run, 8));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_peek_run(self->from_l3, &run, 8, 1000));
	EXPECT_EQ(-EINVAL, l3l2q_try_peek_run(self->from_l3, &run, 0));
	EXPECT_EQ(-EINVAL, l3l2q_try_enqueue_run(self->in, L3L2Q_OP_DATA, bodies, 0));
	EXPECT_EQ(-EINVAL, l3l2q_enqueue_run(self->in, L3L2Q_OP_DATA, bodies, -1, LONG_NS));
	EXPECT_EQ(-EINVAL, l3l2q_enqueue_run(self->in, L3L2Q_OP_DATA, bodies, 3, -1));
	EXPECT_EQ(-EINVAL, l3l2q_try_enqueue_run(self->in, L3L2Q_OP_STOP, bodies + 1, 1));
	EXPECT_EQ(-EINVAL, l3l2q_try_reserve_run(self->in, 8, 0, &span));
	EXPECT_EQ(-EINVAL, l3l2q_reserve_run(self->in, 8, 1, &span, 0));
	EXPECT_EQ(NULL, run);
	ASSERT_EQ(3, l3l2q_enqueue_run(self->in, L3L2Q_OP_DATA, bodies, 3, LONG_NS));
	EXPECT_EQ(3, counter_of(self->l3, L3L2Q_CTR_INPUT_TAIL));
	ASSERT_EQ(3, l3l2q_peek_run(self->from_l3, &run, 8, LONG_NS));
	EXPECT_EQ(3, run[0].nbytes);
	EXPECT_EQ(NULL, run[1].data);
	EXPECT_EQ(4, run[2].nbytes);
	ASSERT_EQ(0, l3l2q_release_upto(self->from_l3, &run[2]));
	EXPECT_EQ(3, counter_of(self->l3, L3L2Q_CTR_INPUT_HEAD));
	ASSERT_EQ(0, l3l2q_ep_stats(self->l2, &stats));
	EXPECT_EQ(7, stats.received_bytes);
	if (is_copied()) {
		EXPECT_EQ(-EOPNOTSUPP, l3l2q_try_reserve_run(self->in, 8, 2, &span));
	} else {
		ASSERT_EQ(2, l3l2q_reserve_run(self->in, 8, 2, &span, LONG_NS));
		memcpy(span.data, "0123456789abcdef", 16);
		ASSERT_EQ(0, l3l2q_commit_run(self->in, &span, L3L2Q_OP_DATA, 2));
		EXPECT_EQ(5, counter_of(self->l3, L3L2Q_CTR_INPUT_TAIL));
		ASSERT_EQ(2, l3l2q_try_peek_run(self->from_l3, &run, 8));
		EXPECT_EQ(0, memcmp(run[1].data, "89abcdef", 8));
		ASSERT_EQ(0, l3l2q_release_upto(self->from_l3, &run[1]));
	}
	EXPECT_EQ(L3L2Q_ERR_NONE, error_kind(self->l3));
	EXPECT_EQ(L3L2Q_ERR_NONE, error_kind(self->l2));
}

static void *take_all(void *arg)
{
	struct l3l2q_ep *ep = arg;
	struct l3l2q_message m;
	uint64_t i;

	for (i = 0; i < 100; i++) {
		CHECK_EQ(0, l3l2q_peek(l3l2q_ep_consumer(ep), &m, LONG_NS));
		CHECK(m.nbytes == 500 && message_is(l3l2q_ep_consumer(ep), &m, i));
		CHECK_EQ(0, l3l2q_release(l3l2q_ep_consumer(ep), &m));
	}
	return NULL;
}

/* A batch larger than ring and arena: blocking calls publish before they wait. */
TEST_F(both, s4_7_batch_larger_than_the_ring)
{
	char body[500];
	pthread_t t;
	uint64_t i;

	ASSERT_EQ(0, pthread_create(&t, NULL, take_all, self->l2));
	ASSERT_EQ(0, l3l2q_batch_begin(self->in));
	for (i = 0; i < 100; i++) {
		body_fill(body, sizeof(body), i);
		ASSERT_EQ(0, l3l2q_enqueue(self->in, L3L2Q_OP_DATA, body, sizeof(body), LONG_NS));
	}
	ASSERT_EQ(0, l3l2q_batch_publish(self->in));
	pthread_join(t, NULL);
	EXPECT_EQ(100, counter_of(self->l3, L3L2Q_CTR_INPUT_HEAD));
}

TEST_F(both, s5_dequeue)
{
	struct l3l2q_message held;
	char body[16];

	EXPECT_EQ(-EAGAIN, l3l2q_try_dequeue(self->from_l3, &self->m, body, sizeof(body)));
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "0123456789", 10));
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, error_opcode(L3L2Q_ROLE_L3), NULL, 0));
	/* Too small: it stays first, and says how much it needs. */
	EXPECT_EQ(-EMSGSIZE, l3l2q_try_dequeue(self->from_l3, &self->m, body, 9));
	EXPECT_EQ(10, self->m.nbytes);
	EXPECT_EQ(NULL, self->m.data);
	EXPECT_EQ(-EMSGSIZE, l3l2q_try_dequeue(self->from_l3, &self->m, NULL, 100));
	EXPECT_EQ(10, self->m.nbytes);
	EXPECT_EQ(-EMSGSIZE, l3l2q_dequeue(self->from_l3, &self->m, body, 0, LONG_NS));
	EXPECT_EQ(0, counter_of(self->l3, L3L2Q_CTR_INPUT_HEAD));
	EXPECT_NE(0, l3l2q_arm(self->l2, L3L2Q_EVENT_IN) & L3L2Q_EVENT_IN);
	ASSERT_EQ(0, l3l2q_try_dequeue(self->from_l3, &self->m, body, 10));
	EXPECT_EQ(0, memcmp(body, "0123456789", 10));
	EXPECT_EQ(1, self->m.seq);
	EXPECT_EQ(NULL, self->m.data);
	EXPECT_EQ(1, counter_of(self->l3, L3L2Q_CTR_INPUT_HEAD));
	/* Without a body the buffer is left alone. */
	memset(body, 0x77, sizeof(body));
	ASSERT_EQ(0, l3l2q_dequeue(self->from_l3, &self->m, body, sizeof(body), LONG_NS));
	EXPECT_EQ(error_opcode(L3L2Q_ROLE_L3), self->m.opcode);
	EXPECT_EQ(0x77, body[0]);
	/* Not while a handle is held. */
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "ab", 2));
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "cd", 2));
	ASSERT_EQ(0, l3l2q_try_peek(self->from_l3, &held));
	EXPECT_EQ(-EINVAL, l3l2q_try_dequeue(self->from_l3, &self->m, body, sizeof(body)));
	EXPECT_EQ(-EINVAL, l3l2q_dequeue(self->from_l3, &self->m, body, sizeof(body), LONG_NS));
	ASSERT_EQ(0, l3l2q_release(self->from_l3, &held));
	ASSERT_EQ(0, l3l2q_try_dequeue(self->from_l3, &self->m, body, sizeof(body)));
	EXPECT_EQ(0, memcmp(body, "cd", 2));
	EXPECT_EQ(L3L2Q_ERR_NONE, error_kind(self->l2));
}

/* The copies that the effective memory type and this processor ask for. */
static const char *path_of(uint32_t memory)
{
	if (memory == L3L2Q_MEMORY_COPIED)
		return "calls";
	if (memory == L3L2Q_MEMORY_CACHED)
		return "cached";
	if (memory == L3L2Q_MEMORY_DEVICE)
		return "device";
#if defined(__x86_64__)
	return __builtin_cpu_supports("avx2") ? "wc-avx2" :
	       __builtin_cpu_supports("sse4.1") ? "wc-sse4.1" : "wc-sse2";
#elif defined(__aarch64__)
	return "wc-neon";
#else
	return "wc";
#endif
}

TEST_F(both, s7_copies_are_what_the_memory_asks_for)
{
	struct l3l2q_info told = { .size = sizeof(told), .memory = external_memory() };
	struct l3l2q_ep_info info;
	int i;

	for (i = 0; i < 2; i++) {
		struct l3l2q_ep *ep = self->p.ep[i];

		l3l2q_ep_info(ep, &info);
		if (!is_memfd() && !is_external()) {
			ASSERT_EQ(0, l3l2q_ioctl(l3l2q_fd(ep), L3L2Q_IOC_INFO, &told));
			EXPECT_STREQ("driver", info.transport);
			EXPECT_TRUE(transport_is(info.backend) ||
				    (transport_is("driver") && !strcmp(info.backend, "ram"))) {
				TH_LOG("%s", info.backend);
			}
		} else {
			EXPECT_TRUE(transport_is(info.transport));
			EXPECT_STREQ(info.transport, info.backend);
		}
		EXPECT_EQ(told.memory, info.memory);
		EXPECT_STREQ(path_of(told.memory), info.copy_path);
	}
}

/* A refused dequeue moved nothing, wherever the cursor was. */
TEST_F(both, s5_dequeue_too_small_keeps_the_cursor)
{
	char big[3000], body[3000];
	uint64_t i;

	for (i = 0; i < 200; i++) {
		uint64_t n = i * 37 % 3000 + 1;

		body_fill(big, n, i);
		ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, big, n));
		ASSERT_EQ(-EMSGSIZE, l3l2q_try_dequeue(self->from_l3, &self->m, body, n - 1));
		ASSERT_EQ(-EMSGSIZE, l3l2q_try_dequeue(self->from_l3, &self->m, NULL, 0));
		ASSERT_EQ(n, self->m.nbytes);
		ASSERT_EQ(0, l3l2q_try_dequeue(self->from_l3, &self->m, body, n));
		ASSERT_TRUE(body_is(body, n, i));
	}
	EXPECT_EQ(L3L2Q_ERR_NONE, error_kind(self->l2));
}

TEST_F(both, s5_timeouts)
{
	struct l3l2q_reservation span;
	char body[4096] = { 0 };

	/* L3 takes a positive one only. */
	EXPECT_EQ(-EINVAL, l3l2q_peek(self->from_l2, &self->m, 0));
	EXPECT_EQ(-EINVAL, l3l2q_peek(self->from_l2, &self->m, -1));
	EXPECT_EQ(-EINVAL, l3l2q_dequeue(self->from_l2, &self->m, body, 1, 0));
	EXPECT_EQ(-EINVAL, l3l2q_enqueue(self->in, L3L2Q_OP_DATA, body, 1, 0));
	EXPECT_EQ(-EINVAL, l3l2q_reserve(self->in, 1, &span, 0));
	EXPECT_EQ(-EINVAL, l3l2q_stop(self->in, 0));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_peek(self->from_l2, &self->m, 1));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_dequeue(self->from_l2, &self->m, body, 1, SHORT_NS));
	ASSERT_EQ(0, l3l2q_enqueue(self->in, L3L2Q_OP_DATA, body, 4096, 1));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_enqueue(self->in, L3L2Q_OP_DATA, body, 1, SHORT_NS));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_reserve(self->in, 1, &span, SHORT_NS));
	/* L2: 0 probes once. */
	EXPECT_EQ(0, l3l2q_peek(self->from_l3, &self->m, 0));
	EXPECT_EQ(0, l3l2q_release(self->from_l3, &self->m));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_peek(self->from_l3, &self->m, 0));
	EXPECT_EQ(-EINVAL, l3l2q_peek(self->from_l3, &self->m, -1));
	EXPECT_EQ(0, l3l2q_enqueue(self->out, L3L2Q_OP_DATA, body, 4096, 0));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_enqueue(self->out, L3L2Q_OP_DATA, body, 1, 0));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_reserve(self->out, 1, &span, 0));
	EXPECT_EQ(L3L2Q_ERR_NONE, error_kind(self->l3));
	EXPECT_EQ(L3L2Q_ERR_NONE, error_kind(self->l2));
	EXPECT_EQ(0, counter_of(self->l3, L3L2Q_CTR_L3_ABORT));
	EXPECT_EQ(0, counter_of(self->l3, L3L2Q_CTR_L2_ABORT));
}

/* Its own fault ends the one side, and tells the other, asleep or not. */
TEST_F(both, s6_poison_reaches_the_peer)
{
	struct l3l2q_error error;
	struct l3l2q_message fake = { .seq = 1 };

	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "left", 4));
	EXPECT_EQ(-ESTALE, l3l2q_release(self->from_l2, &fake));
	l3l2q_ep_error(self->l3, &error);
	EXPECT_EQ(L3L2Q_ERR_OWNERSHIP, error.kind);
	EXPECT_STREQ("release", error.op);
	EXPECT_EQ(1, counter_of(self->l2, L3L2Q_CTR_L3_ABORT));
	EXPECT_EQ(-ESTALE, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "x", 1));
	EXPECT_EQ(-ESTALE, l3l2q_wait(self->l3, L3L2Q_EVENT_IN, 0));
	EXPECT_EQ(-ESTALE, l3l2q_arm(self->l3, L3L2Q_EVENT_IN));
	EXPECT_EQ(-ESTALE, l3l2q_batch_begin(self->in));

	EXPECT_NE(0, l3l2q_arm(self->l2, L3L2Q_EVENT_IN) & L3L2Q_EVENT_ABORT);
	EXPECT_NE(0, l3l2q_wait(self->l2, L3L2Q_EVENT_IN, LONG_NS) & L3L2Q_EVENT_ABORT);
	/* What was published is still deliverable; then it is the end. */
	ASSERT_EQ(0, l3l2q_peek(self->from_l3, &self->m, LONG_NS));
	ASSERT_EQ(0, l3l2q_release(self->from_l3, &self->m));
	EXPECT_EQ(-ECONNABORTED, l3l2q_peek(self->from_l3, &self->m, LONG_NS));
	EXPECT_EQ(L3L2Q_ERR_REMOTE_ABORTED, error_kind(self->l2));
	EXPECT_EQ(0, counter_of(self->l2, L3L2Q_CTR_L2_ABORT));
	EXPECT_EQ(-ECONNABORTED, l3l2q_try_peek(self->from_l3, &self->m));
	EXPECT_EQ(-ECONNABORTED, l3l2q_try_enqueue(self->out, L3L2Q_OP_DATA, "x", 1));
}

static void *peek_to_the_end(void *arg)
{
	struct l3l2q_message m;

	return (void *)(intptr_t)l3l2q_peek(l3l2q_ep_consumer(arg), &m, LONG_NS);
}

static uint64_t sleeps_of(struct l3l2q_ep *ep)
{
	struct l3l2q_ep_stats stats;

	l3l2q_ep_stats(ep, &stats);
	return stats.sleeps;
}

/* Until a thread or process has gone to sleep on ep: no time is measured. */
static void await_sleep(struct l3l2q_ep *ep, uint64_t before)
{
	while (sleeps_of(ep) == before)
		sched_yield();
}

TEST_F(both, s6_abort_wakes_a_sleeper)
{
	uint64_t before = sleeps_of(self->l2);
	pthread_t t;
	void *ret;

	ASSERT_EQ(0, pthread_create(&t, NULL, peek_to_the_end, self->l2));
	await_sleep(self->l2, before);
	ASSERT_EQ(0, l3l2q_abort(self->l3));
	EXPECT_EQ(-EIO, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "x", 1));
	EXPECT_EQ(-EIO, l3l2q_abort(self->l3));
	EXPECT_EQ(L3L2Q_ERR_ENDPOINT_ERROR, error_kind(self->l3));
	pthread_join(t, &ret);
	EXPECT_EQ(-ECONNABORTED, (intptr_t)ret);
	EXPECT_EQ(1, counter_of(self->l2, L3L2Q_CTR_L3_ABORT));
	EXPECT_EQ(0, counter_of(self->l2, L3L2Q_CTR_L2_ABORT));
}

/* A clean end is no abort; what was published stays deliverable. */
TEST_F(both, s6_detach_hangs_up_without_abort)
{
	struct l3l2q_reservation span;
	char body[8];
	int ret;

	if (is_external())
		SKIP(return, "nobody tells over external memory");
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "last", 4));
	ASSERT_EQ(0, l3l2q_detach(self->l3));
	EXPECT_EQ(-ESHUTDOWN, l3l2q_detach(self->l3));
	EXPECT_EQ(-ESHUTDOWN, l3l2q_abort(self->l3));
	EXPECT_EQ(-ESHUTDOWN, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "x", 1));
	EXPECT_EQ(-ESHUTDOWN, l3l2q_try_reserve(self->in, 1, &span));
	EXPECT_EQ(-ESHUTDOWN, l3l2q_try_peek(self->from_l2, &self->m));
	EXPECT_EQ(-ESHUTDOWN, l3l2q_peek(self->from_l2, &self->m, LONG_NS));
	EXPECT_EQ(-ESHUTDOWN, l3l2q_wait(self->l3, L3L2Q_EVENT_IN, 0));
	EXPECT_EQ(-ESHUTDOWN, l3l2q_batch_begin(self->in));
	EXPECT_EQ(-ESHUTDOWN, l3l2q_batch_publish(self->in));
	EXPECT_EQ(L3L2Q_ERR_NONE, error_kind(self->l3));

	ret = l3l2q_wait(self->l2, L3L2Q_EVENT_IN, LONG_NS);
	EXPECT_EQ(L3L2Q_EVENT_HUP | L3L2Q_EVENT_IN, ret);
	ASSERT_EQ(0, l3l2q_dequeue(self->from_l3, &self->m, body, sizeof(body), LONG_NS));
	EXPECT_EQ(0, memcmp(body, "last", 4));
	EXPECT_EQ(L3L2Q_EVENT_HUP, l3l2q_wait(self->l2, L3L2Q_EVENT_IN, LONG_NS));
	/* There will be no more: no hang, and no abort either. */
	EXPECT_EQ(-EPIPE, l3l2q_peek(self->from_l3, &self->m, LONG_NS));
	EXPECT_EQ(L3L2Q_ERR_NONE, error_kind(self->l2));
	EXPECT_EQ(0, counter_of(self->l2, L3L2Q_CTR_L3_ABORT));
	EXPECT_EQ(0, counter_of(self->l2, L3L2Q_CTR_L2_ABORT));
}

static void *wait_in(void *arg)
{
	return (void *)(intptr_t)l3l2q_wait(arg, L3L2Q_EVENT_IN, LONG_NS);
}

/* Another thread of our own sleeps while the window is full; a release wakes it. */
TEST_F(both, design_release_wakes_own_sleepers)
{
	uint32_t windows[] = { 1, 4 }, w, i;

	for (w = 0; w < 2; w++) {
		struct l3l2q_message m[4];
		uint64_t before;
		pthread_t t;
		void *ret;

		pair_close(&self->p);
		ASSERT_EQ(0, both_start(self, windows[w]));
		for (i = 0; i < 5; i++)
			ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "x", 1));
		for (i = 0; i < windows[w]; i++)
			ASSERT_EQ(0, l3l2q_try_peek(self->from_l3, &m[i]));
		EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(self->l2, L3L2Q_EVENT_IN, 0));
		before = sleeps_of(self->l2);
		ASSERT_EQ(0, pthread_create(&t, NULL, wait_in, self->l2));
		await_sleep(self->l2, before);
		ASSERT_EQ(0, l3l2q_release(self->from_l3, &m[0]));
		pthread_join(t, &ret);
		EXPECT_EQ(L3L2Q_EVENT_IN, (intptr_t)ret);
	}
}

/* Counts and dumps may be asked for by any thread while the queue is busy. */
static void *look(void *arg)
{
	struct l3l2q_ep_stats stats;
	struct l3l2q_error error;
	struct l3l2q_ep *ep = arg;
	uint64_t last = 0;
	char text[1024];

	do {
		l3l2q_ep_stats(ep, &stats);
		CHECK(stats.sent >= last);
		last = stats.sent;
		l3l2q_ep_error(ep, &error);
		CHECK_EQ(L3L2Q_ERR_NONE, error.kind);
		CHECK(error.op && error.message);
		CHECK(l3l2q_ep_dump(ep, text, sizeof(text)) < (int)sizeof(text));
		CHECK(strstr(text, "error: NONE"));
		sched_yield();
	} while (stats.sent < 100);
	return NULL;
}

static void *look_received(void *arg)
{
	struct l3l2q_ep_stats stats;
	char text[1024];

	do {
		l3l2q_ep_stats(arg, &stats);
		CHECK(l3l2q_ep_dump(arg, text, sizeof(text)) < (int)sizeof(text));
		sched_yield();
	} while (stats.received < 100);
	return NULL;
}

TEST_F(both, s5_stats_from_any_thread)
{
	struct l3l2q_ep_stats stats;
	pthread_t t, watcher, receiving;
	char body[500];
	uint64_t i;

	ASSERT_EQ(0, pthread_create(&watcher, NULL, look, self->l3));
	ASSERT_EQ(0, pthread_create(&receiving, NULL, look_received, self->l2));
	ASSERT_EQ(0, pthread_create(&t, NULL, take_all, self->l2));
	for (i = 0; i < 100; i++) {
		body_fill(body, sizeof(body), i);
		ASSERT_EQ(0, l3l2q_enqueue(self->in, L3L2Q_OP_DATA, body, sizeof(body), LONG_NS));
	}
	pthread_join(t, NULL);
	pthread_join(watcher, NULL);
	pthread_join(receiving, NULL);
	l3l2q_ep_stats(self->l3, &stats);
	EXPECT_EQ(100, stats.sent);
	EXPECT_EQ(100 * 500, stats.sent_bytes);
	EXPECT_EQ(0, stats.received);
	l3l2q_ep_stats(self->l2, &stats);
	EXPECT_EQ(0, stats.sent);
	EXPECT_EQ(100, stats.received);
	EXPECT_EQ(100 * 500, stats.received_bytes);
}

/* ---- poll of one's own -------------------------------------------------- */

/* An epoll over the endpoint's descriptor, level-triggered. */
static int watch_ep(struct l3l2q_ep *ep, uint32_t events)
{
	struct epoll_event e = { .events = events };
	int fd = l3l2q_fd(ep), epfd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0 || epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e))
		return -1;
	return epfd;
}

/*
 * What an event loop would do that has nothing to do: arm, look, poll. Counts the
 * turns on which it would not have slept.
 */
static int idle_turns(struct l3l2q_ep *ep, int epfd, uint32_t events, int turns)
{
	struct epoll_event e;
	int i, busy = 0;

	for (i = 0; i < turns; i++) {
		int ready = l3l2q_arm(ep, events);
		int polled = epoll_wait(epfd, &e, 1, 0);

		busy += ready || polled;
		if (ready < 0 || polled < 0)
			return -1;
	}
	return busy;
}

TEST_F(both, design_no_busy_loop_while_the_window_is_full)
{
	struct l3l2q_message m[4];
	struct epoll_event e;
	int epfd, i;

	if (is_external())
		SKIP(return, "no descriptor over external memory");
	epfd = watch_ep(self->l2, EPOLLIN);
	ASSERT_LE(0, epfd);
	EXPECT_GE(1, idle_turns(self->l2, epfd, L3L2Q_EVENT_IN, 100));
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "x", 1));
	EXPECT_EQ(L3L2Q_EVENT_IN, l3l2q_arm(self->l2, L3L2Q_EVENT_IN));
	ASSERT_EQ(4, l3l2q_try_peek_batch(self->from_l3, m, 4));
	EXPECT_EQ(-EAGAIN, l3l2q_try_peek(self->from_l3, &self->m));
	/* Four more are visible, and may not be had. */
	EXPECT_GE(2, idle_turns(self->l2, epfd, L3L2Q_EVENT_IN, 100));
	/* One released: one may. */
	ASSERT_EQ(0, l3l2q_release(self->from_l3, &m[0]));
	EXPECT_EQ(L3L2Q_EVENT_IN, l3l2q_arm(self->l2, L3L2Q_EVENT_IN));
	ASSERT_EQ(0, l3l2q_try_peek(self->from_l3, &m[0]));
	EXPECT_GE(2, idle_turns(self->l2, epfd, L3L2Q_EVENT_IN, 100));
	ASSERT_EQ(0, l3l2q_release_batch(self->from_l3, m + 1, 3));
	ASSERT_EQ(0, l3l2q_release(self->from_l3, &m[0]));
	ASSERT_EQ(3, l3l2q_try_peek_batch(self->from_l3, m, 4));
	ASSERT_EQ(0, l3l2q_release_batch(self->from_l3, m, 3));
	EXPECT_GE(2, idle_turns(self->l2, epfd, L3L2Q_EVENT_IN, 100));
	/* Armed and nothing there: a message makes the poll return, however long. */
	ASSERT_EQ(0, l3l2q_arm(self->l2, L3L2Q_EVENT_IN));
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "x", 1));
	EXPECT_EQ(1, epoll_wait(epfd, &e, 1, -1));
	EXPECT_EQ(L3L2Q_EVENT_IN, l3l2q_arm(self->l2, L3L2Q_EVENT_IN));
	close(epfd);
}

TEST_F(both, design_no_busy_loop_while_the_arena_is_full)
{
	uint32_t mask = is_memfd() ? EPOLLIN : EPOLLOUT;
	char body[4096] = { 0 };
	struct epoll_event e;
	int epfd;

	if (is_external())
		SKIP(return, "no descriptor over external memory");
	epfd = watch_ep(self->l3, mask);
	ASSERT_LE(0, epfd);
	EXPECT_EQ(L3L2Q_EVENT_OUT, l3l2q_arm(self->l3, L3L2Q_EVENT_OUT));
	/* Slots are free throughout; the arena is not. */
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, body, 2000));
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, body, 2000));
	ASSERT_EQ(-EAGAIN, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, body, 4000));
	EXPECT_GE(2, idle_turns(self->l3, epfd, L3L2Q_EVENT_OUT, 100));
	/* One gone is not enough. */
	ASSERT_EQ(0, l3l2q_try_dequeue(self->from_l3, &self->m, body, sizeof(body)));
	EXPECT_GE(2, idle_turns(self->l3, epfd, L3L2Q_EVENT_OUT, 100));
	ASSERT_EQ(0, l3l2q_arm(self->l3, L3L2Q_EVENT_OUT));
	ASSERT_EQ(0, l3l2q_try_dequeue(self->from_l3, &self->m, body, sizeof(body)));
	EXPECT_EQ(1, epoll_wait(epfd, &e, 1, -1));
	EXPECT_EQ(L3L2Q_EVENT_OUT, l3l2q_arm(self->l3, L3L2Q_EVENT_OUT));
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, body, 4000));
	close(epfd);
}

/* ---- an event loop on either side --------------------------------------- */

#define LOOP_MESSAGES 500u

/*
 * Sleep in epoll until an event. Counts the turns. The driver's descriptor tells IN
 * from OUT, and is level-triggered: ask for what is waited for and no more.
 */
static uint32_t loop_wait(struct l3l2q_ep *ep, int epfd, uint32_t events, uint64_t *turns)
{
	struct epoll_event e = { .events = EPOLLPRI };
	int ready;

	if (events & L3L2Q_EVENT_IN || is_memfd())
		e.events |= EPOLLIN;
	if (events & L3L2Q_EVENT_OUT && !is_memfd())
		e.events |= EPOLLOUT;
	CHECK_EQ(0, epoll_ctl(epfd, EPOLL_CTL_MOD, l3l2q_fd(ep), &e));
	for (;;) {
		++*turns;
		ready = l3l2q_arm(ep, events);
		CHECK(ready >= 0);
		if (ready)
			return (uint32_t)ready;
		CHECK(epoll_wait(epfd, &e, 1, -1) == 1 || errno == EINTR);
	}
}

static void loop_serve(struct l3l2q_ep *ep)
{
	struct l3l2q_consumer *c = l3l2q_ep_consumer(ep);
	struct l3l2q_producer *p = l3l2q_ep_producer(ep);
	int epfd = watch_ep(ep, EPOLLIN), ret;
	struct l3l2q_message m;
	uint64_t turns = 0;

	CHECK(epfd >= 0);
	for (;;) {
		while ((ret = l3l2q_try_peek(c, &m)) == -EAGAIN)
			loop_wait(ep, epfd, L3L2Q_EVENT_IN, &turns);
		CHECK_EQ(0, ret);
		if (m.opcode == L3L2Q_OP_STOP)
			break;
		while ((ret = l3l2q_try_enqueue(p, m.opcode, m.data, m.nbytes)) == -EAGAIN)
			loop_wait(ep, epfd, L3L2Q_EVENT_OUT, &turns);
		CHECK_EQ(0, ret);
		CHECK_EQ(0, l3l2q_release(c, &m));
	}
	CHECK_EQ(0, l3l2q_release(c, &m));
	CHECK(turns <= 4 * LOOP_MESSAGES + 100);
}

TEST(design_event_loops)
{
	struct pair p = { .attr = { .role = L3L2Q_ROLE_L3, .depth = 4, .window = 1,
		.input_arena_bytes = 1024, .output_arena_bytes = 1024 } };
	uint64_t sent = 0, got = 0, turns = 0;
	struct l3l2q_producer *in;
	struct l3l2q_consumer *c;
	struct l3l2q_message m;
	char body[700];
	pid_t child;
	int epfd;

	if (is_external())
		SKIP(return, "no descriptor over external memory");
	ASSERT_EQ(0, pair_create(&p));
	child = spawn();
	ASSERT_LE(0, child);
	if (!child) {
		CHECK_EQ(0, pair_attach(&p));
		loop_serve(p.ep[L3L2Q_ROLE_L2]);
		l3l2q_close(p.ep[L3L2Q_ROLE_L2]);
		_exit(0);
	}
	in = l3l2q_ep_producer(p.ep[L3L2Q_ROLE_L3]);
	c = l3l2q_ep_consumer(p.ep[L3L2Q_ROLE_L3]);
	epfd = watch_ep(p.ep[L3L2Q_ROLE_L3], EPOLLIN);
	ASSERT_LE(0, epfd);
	while (got < LOOP_MESSAGES) {
		uint32_t want = L3L2Q_EVENT_IN;
		bool moved = false;
		int ret;

		if (sent < LOOP_MESSAGES) {
			uint64_t n = mix(sent) % sizeof(body) + 1;

			body_fill(body, n, sent);
			ret = l3l2q_try_enqueue(in, L3L2Q_OP_DATA, body, n);
			ASSERT_TRUE(ret == 0 || ret == -EAGAIN);
			if (ret)
				want |= L3L2Q_EVENT_OUT;
			else
				moved = true;
			sent += !ret;
		}
		ret = l3l2q_try_dequeue(c, &m, body, sizeof(body));
		ASSERT_TRUE(ret == 0 || ret == -EAGAIN);
		if (!ret) {
			ASSERT_EQ(mix(got) % sizeof(body) + 1, m.nbytes);
			ASSERT_TRUE(body_is(body, m.nbytes, got));
			got++;
			moved = true;
		}
		if (!moved)
			ASSERT_EQ(0, loop_wait(p.ep[L3L2Q_ROLE_L3], epfd, want, &turns) &
				  L3L2Q_EVENT_ABORT);
	}
	ASSERT_EQ(0, l3l2q_stop(in, LONG_NS));
	ASSERT_EQ(0, reap(child));
	EXPECT_GE(4 * LOOP_MESSAGES + 100, turns);
	close(epfd);
	pair_close(&p);
}

/* ---- death -------------------------------------------------------------- */

enum dying { IDLE, BLOCKED_PEEK, BLOCKED_SEND, HOLDING, MID_MESSAGE, BATCHED };

/* In the child: get where it will be killed, say so, and stay. */
static void await_death(struct l3l2q_ep *ep, enum dying how, int ready)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(ep);
	struct l3l2q_consumer *c = l3l2q_ep_consumer(ep);
	struct l3l2q_reservation span;
	struct l3l2q_message m;
	char body[4096] = { 0 };

	switch (how) {
	case IDLE:
		break;
	case BLOCKED_PEEK:
		CHECK_EQ(1, write(ready, "r", 1));
		l3l2q_peek(c, &m, LONG_NS);
		break;
	case BLOCKED_SEND:
		CHECK_EQ(0, l3l2q_try_enqueue(p, L3L2Q_OP_DATA, body, 4096));
		CHECK_EQ(1, write(ready, "r", 1));
		l3l2q_enqueue(p, L3L2Q_OP_DATA, body, 4096, LONG_NS);
		break;
	case HOLDING:
		CHECK_EQ(0, l3l2q_peek(c, &m, LONG_NS));
		break;
	case MID_MESSAGE:
		CHECK_EQ(0, l3l2q_try_reserve(p, 1000, &span));
		memset(span.data, 1, 500);
		break;
	case BATCHED:
		CHECK_EQ(0, l3l2q_batch_begin(p));
		CHECK_EQ(0, l3l2q_try_enqueue(p, L3L2Q_OP_DATA, body, 100));
		break;
	}
	CHECK_EQ(1, write(ready, "r", 1));
	for (;;)
		pause();
}

FIXTURE(death) {
	struct l3l2q_ep *ep;	/* the survivor */
	pid_t child;
	int ready[2];
};

FIXTURE_VARIANT(death) {
	bool creator;		/* the one who is killed made the region */
	uint32_t role;		/* of the survivor */
	enum dying how;
};

FIXTURE_VARIANT_ADD(death, l2_idle) { false, L3L2Q_ROLE_L3, IDLE };
FIXTURE_VARIANT_ADD(death, l2_blocked) { false, L3L2Q_ROLE_L3, BLOCKED_PEEK };
FIXTURE_VARIANT_ADD(death, l2_sending) { false, L3L2Q_ROLE_L3, BLOCKED_SEND };
FIXTURE_VARIANT_ADD(death, l2_holding) { false, L3L2Q_ROLE_L3, HOLDING };
FIXTURE_VARIANT_ADD(death, l2_mid_message) { false, L3L2Q_ROLE_L3, MID_MESSAGE };
FIXTURE_VARIANT_ADD(death, l3_idle) { true, L3L2Q_ROLE_L2, IDLE };
FIXTURE_VARIANT_ADD(death, l3_blocked) { true, L3L2Q_ROLE_L2, BLOCKED_PEEK };
FIXTURE_VARIANT_ADD(death, l3_sending) { true, L3L2Q_ROLE_L2, BLOCKED_SEND };
FIXTURE_VARIANT_ADD(death, l3_holding) { true, L3L2Q_ROLE_L2, HOLDING };
FIXTURE_VARIANT_ADD(death, l3_mid_message) { true, L3L2Q_ROLE_L2, MID_MESSAGE };
FIXTURE_VARIANT_ADD(death, l3_batched) { true, L3L2Q_ROLE_L2, BATCHED };

/* The child creates or attaches; the other end comes by fork or over a socket. */
FIXTURE_SETUP(death)
{
	struct pair p = { .attr = { .depth = 4, .input_arena_bytes = 4096,
		.output_arena_bytes = 4096 }, .peer_fd = -1 };
	int sock[2];
	char byte;

	if (is_external())
		SKIP(return, "nobody notices death over external memory");
	ASSERT_EQ(0, pipe(self->ready));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	p.attr.role = variant->creator ? l3l2q_peer_role((enum l3l2q_role)variant->role)
				       : variant->role;
	if (!variant->creator)
		ASSERT_EQ(0, pair_create(&p));
	self->child = spawn();
	ASSERT_LE(0, self->child);
	if (!self->child) {
		enum l3l2q_role role = l3l2q_peer_role((enum l3l2q_role)variant->role);

		close(sock[0]);
		if (variant->creator) {
			CHECK_EQ(0, pair_create(&p));
			CHECK_EQ(0, l3l2q_send_fd(sock[1], p.peer_fd));
			close(p.peer_fd);
		} else {
			CHECK_EQ(0, pair_attach(&p));
		}
		await_death(p.ep[role], variant->how, self->ready[1]);
	}
	close(sock[1]);
	if (variant->creator) {
		p.peer_fd = l3l2q_recv_fd(sock[0]);
		ASSERT_LE(0, p.peer_fd);
		ASSERT_EQ(0, pair_attach(&p));
	} else {
		close(p.peer_fd);
	}
	close(sock[0]);
	self->ep = p.ep[variant->role];
	if (variant->how == HOLDING)
		ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(self->ep), L3L2Q_OP_DATA, "x", 1));
	close(self->ready[1]);
	ASSERT_EQ(1, read(self->ready[0], &byte, 1));
}

FIXTURE_TEARDOWN(death)
{
	if (self->child > 0)
		slay(self->child);
	l3l2q_close(self->ep);
	close(self->ready[0]);
}

static void expect_dead(struct __test_metadata *_metadata, FIXTURE_DATA(death) *self)
{
	struct l3l2q_ep_info info;
	struct l3l2q_error error;
	struct l3l2q_message m;
	int ret;

	l3l2q_ep_info(self->ep, &info);
	l3l2q_ep_error(self->ep, &error);
	EXPECT_EQ(L3L2Q_ERR_REMOTE_ABORTED, error.kind);
	ASSERT_NE(NULL, error.message);
	EXPECT_NE(0, strlen(error.message));
	EXPECT_EQ(info.region_id, error.region_id);
	/* Its flag was set in its name; ours was not. */
	EXPECT_EQ(1, counter_of(self->ep, l3l2q_ctr_abort(l3l2q_peer_role(info.role))));
	EXPECT_EQ(0, counter_of(self->ep, l3l2q_ctr_abort(info.role)));
	/* What it published before is delivered, also after its end was reported. */
	while (!(ret = l3l2q_try_peek(l3l2q_ep_consumer(self->ep), &m)))
		ASSERT_EQ(0, l3l2q_release(l3l2q_ep_consumer(self->ep), &m));
	EXPECT_EQ(-ECONNABORTED, ret);
	EXPECT_EQ(-ECONNABORTED,
		  l3l2q_try_enqueue(l3l2q_ep_producer(self->ep), L3L2Q_OP_DATA, "x", 1));
}

TEST_F(death, s6_killed_peer_then_peek)
{
	struct l3l2q_consumer *c = l3l2q_ep_consumer(self->ep);
	struct l3l2q_message m;
	int ret;

	slay(self->child);
	self->child = 0;
	ret = l3l2q_peek(c, &m, LONG_NS);
	if (variant->how == BLOCKED_SEND && !(variant->creator && transport_is("ascend"))) {
		/* What it had published before it died is still there, unless with its memory. */
		ASSERT_EQ(0, ret);
		EXPECT_EQ(4096, m.nbytes);
		ASSERT_EQ(0, l3l2q_release(c, &m));
		ret = l3l2q_peek(c, &m, LONG_NS);
	}
	EXPECT_EQ(-ECONNABORTED, ret);
	expect_dead(_metadata, self);
}

static pid_t victim;

static void *kill_once_asleep(void *arg)
{
	await_sleep(arg, 0);
	kill(victim, SIGKILL);
	return NULL;
}

TEST_F(death, s6_killed_peer_wakes_a_sleeper)
{
	struct l3l2q_consumer *c = l3l2q_ep_consumer(self->ep);
	struct l3l2q_message m;
	pthread_t t;
	int ret;

	if (variant->how == BLOCKED_SEND) {
		ASSERT_EQ(0, l3l2q_peek(c, &m, LONG_NS));
		ASSERT_EQ(0, l3l2q_release(c, &m));
		ASSERT_EQ(0, l3l2q_peek(c, &m, LONG_NS));
		ASSERT_EQ(0, l3l2q_release(c, &m));
	}
	victim = self->child;
	ASSERT_EQ(0, pthread_create(&t, NULL, kill_once_asleep, self->ep));
	ret = l3l2q_peek(c, &m, LONG_NS);
	pthread_join(t, NULL);
	EXPECT_EQ(-ECONNABORTED, ret);
	reap(self->child);
	self->child = 0;
	expect_dead(_metadata, self);
}

TEST_F(death, s6_killed_peer_in_wait_and_poll)
{
	struct l3l2q_message m;
	struct epoll_event e;
	int epfd, ret;

	epfd = watch_ep(self->ep, EPOLLIN | EPOLLPRI);
	ASSERT_LE(0, epfd);
	if (variant->how == BLOCKED_SEND) {
		ASSERT_EQ(0, l3l2q_peek(l3l2q_ep_consumer(self->ep), &m, LONG_NS));
		ASSERT_EQ(0, l3l2q_release(l3l2q_ep_consumer(self->ep), &m));
		ASSERT_EQ(0, l3l2q_peek(l3l2q_ep_consumer(self->ep), &m, LONG_NS));
		ASSERT_EQ(0, l3l2q_release(l3l2q_ep_consumer(self->ep), &m));
	}
	ASSERT_EQ(0, l3l2q_arm(self->ep, L3L2Q_EVENT_IN));
	kill(self->child, SIGKILL);
	do {
		ASSERT_EQ(1, epoll_wait(epfd, &e, 1, -1));
		ret = l3l2q_arm(self->ep, L3L2Q_EVENT_IN);
	} while (!ret);
	EXPECT_EQ(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP, ret);
	EXPECT_EQ(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP,
		  l3l2q_wait(self->ep, L3L2Q_EVENT_IN, LONG_NS));
	EXPECT_EQ(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP, l3l2q_wait(self->ep, 0, LONG_NS));
	reap(self->child);
	self->child = 0;
	close(epfd);
}

/* A producer waiting for room is told as well. */
TEST_F(death, s6_killed_peer_while_sending)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(self->ep);
	static char body[4096];
	pthread_t t;
	int ret;

	ASSERT_EQ(0, l3l2q_try_enqueue(p, L3L2Q_OP_DATA, body,
				       variant->how == HOLDING ? 4095 : 4096));
	if (variant->how == BLOCKED_PEEK) {
		/* It takes that one and never gives it back. */
		ret = l3l2q_enqueue(p, L3L2Q_OP_DATA, body, 4096, SHORT_NS);
		ASSERT_TRUE(ret == -ETIMEDOUT);
	}
	victim = self->child;
	ASSERT_EQ(0, pthread_create(&t, NULL, kill_once_asleep, self->ep));
	ret = l3l2q_enqueue(p, L3L2Q_OP_DATA, body, 4096, LONG_NS);
	pthread_join(t, NULL);
	EXPECT_EQ(-ECONNABORTED, ret);
	reap(self->child);
	self->child = 0;
	expect_dead(_metadata, self);
}

/* The survivor was forked from the one who made the region, and is killed. */
TEST(s6_creator_killed_after_fork)
{
	struct pair p = { .attr = { .role = L3L2Q_ROLE_L3, .depth = 4, .input_arena_bytes = 4096,
		.output_arena_bytes = 4096 } };
	pid_t creator, survivor;
	int tell[2];

	if (is_external())
		SKIP(return, "nobody notices death over external memory");
	/* We reap the survivor, so that its parent may die. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ASSERT_EQ(0, pipe(tell));
	creator = fork();
	ASSERT_LE(0, creator);
	if (!creator) {
		CHECK_EQ(0, pair_create(&p));
		survivor = fork();
		CHECK(survivor >= 0);
		if (!survivor) {
			struct l3l2q_message m;
			pid_t me = getpid();

			CHECK_EQ(0, pair_attach(&p));
			CHECK_EQ(sizeof(me), write(tell[1], &me, sizeof(me)));
			CHECK_EQ(-ECONNABORTED,
				 l3l2q_peek(l3l2q_ep_consumer(p.ep[L3L2Q_ROLE_L2]), &m,
					    60 * 1000000000ll));
			_exit(0);
		}
		for (;;)
			pause();
	}
	ASSERT_EQ(sizeof(survivor), read(tell[0], &survivor, sizeof(survivor)));
	slay(creator);
	EXPECT_EQ(0, reap(survivor));
}

/* ---- a hostile peer ----------------------------------------------------- */

/* For ever: garbage into rings, counters and control page, sometimes plausible. */
static void scribble(struct l3l2q_ep *ep, uint64_t seed)
{
	const struct l3l2q_core *core = l3l2q_ep_producer(ep)->core;
	struct l3l2q_ep_info info;
	unsigned char *payload;
	uint64_t state = seed;

	region_info(ep, &info);
	payload = info.payload;
	for (;;) {
		uint64_t r = rnd(&state), n = info.layout.input_arena_offset / 8, i;
		uint64_t *ring = (uint64_t *)(void *)payload;
		__s32 *c = (__s32 *)(void *)((char *)info.counters + r % 6 * 64);

		switch (r >> 8 & 7) {
		case 0: /* a word of a descriptor: anything */
			__atomic_store_n(&ring[(r >> 16) % n], rnd(&state), __ATOMIC_RELAXED);
			break;
		case 1: /* or nearly right */
			__atomic_fetch_add(&ring[(r >> 16) % n], (r >> 60) - 8, __ATOMIC_RELAXED);
			break;
		case 2: /* the peer's next descriptor, right but for where it points */
			i = (r >> 16) % info.layout.depth * 4 +
			    (info.role == L3L2Q_ROLE_L2 ? info.layout.depth * 4 : 0);
			__atomic_store_n(&ring[i + 1], (r >> 32) % 4, __ATOMIC_RELAXED);
			__atomic_store_n(&ring[i + 2], (r >> 34) % info.payload_bytes,
					 __ATOMIC_RELAXED);
			__atomic_store_n(&ring[i + 3], (r >> 36) % 9000, __ATOMIC_RELAXED);
			break;
		case 3: /* counters: a step, */
			if (r >> 20 & 1)
				__atomic_fetch_add(c, 1, __ATOMIC_RELEASE);
			break;
		case 4: /* or anything, rarely: it is soon over then */
			if (!(r >> 20 & 63))
				__atomic_store_n(c, (__s32)(r >> 32), __ATOMIC_RELEASE);
			break;
		case 5:
			__atomic_store_n(core->armed, (__u32)(r >> 32), __ATOMIC_RELAXED);
			break;
		case 6: /* a message in good order, now and then */
			l3l2q_try_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, "hello", 5);
			break;
		case 7: /* bodies, and past them */
			i = (r >> 16) % (info.payload_bytes - 8);
			memset(payload + i, (int)r, 8);
			break;
		}
	}
}

FIXTURE(hostile) {
	struct pair p;
};

FIXTURE_VARIANT(hostile) {
	uint32_t role;		/* of the victim */
	uint32_t window;
};

FIXTURE_VARIANT_ADD(hostile, to_l3) { L3L2Q_ROLE_L3, 1 };
FIXTURE_VARIANT_ADD(hostile, to_l2) { L3L2Q_ROLE_L2, 1 };
FIXTURE_VARIANT_ADD(hostile, to_l3_w4) { L3L2Q_ROLE_L3, 4 };
FIXTURE_VARIANT_ADD(hostile, to_l2_w4) { L3L2Q_ROLE_L2, 4 };

FIXTURE_SETUP(hostile)
{
}

FIXTURE_TEARDOWN(hostile)
{
}

static bool documented(int ret)
{
	return ret >= 0 || ret == -EAGAIN || ret == -ETIMEDOUT || ret == -EBADMSG ||
	       ret == -ECONNABORTED || ret == -ESTALE || ret == -EPIPE || ret == -ESHUTDOWN;
}

/* Run until the first sticky error, or for long enough. */
static int suffer(struct l3l2q_ep *ep, uint32_t window, uint64_t seed)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(ep);
	struct l3l2q_consumer *c = l3l2q_ep_consumer(ep);
	static unsigned char body[8192];
	struct l3l2q_message held[4], m;
	uint64_t state = seed, nheld = 0;
	int i, ret = 0;

	for (i = 0; i < 20000 && error_kind(ep) == L3L2Q_ERR_NONE; i++) {
		uint64_t n = rnd_below(&state, 8192), r = rnd_below(&state, 16);

		if (r < 5) {
			ret = l3l2q_try_enqueue(p, L3L2Q_OP_DATA, n ? body : NULL, n);
		} else if (r == 5) {
			ret = l3l2q_enqueue(p, L3L2Q_OP_DATA, body, n + 1, 10000);
			if (ret == -EMSGSIZE)
				ret = 0;
		} else if (r < 11 && nheld < window) {
			ret = r == 6 ? l3l2q_peek(c, &m, 10000) : l3l2q_try_peek(c, &m);
			if (!ret)
				held[nheld++] = m;
		} else if (nheld) {
			uint64_t k = rnd_below(&state, nheld);

			if (held[k].nbytes) {
				ret = l3l2q_read_into(c, &held[k], body, sizeof(body));
				if (!documented(ret))
					break;
			}
			ret = l3l2q_release(c, &held[k]);
			held[k] = held[--nheld];
		} else if (r == 15) {
			ret = l3l2q_wait(ep, L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT, 10000);
		}
		if (!documented(ret))
			break;
	}
	return ret;
}

TEST_F(hostile, s6_scribbling_peer)
{
	enum l3l2q_role own = (enum l3l2q_role)variant->role, peer = l3l2q_peer_role(own);
	int round, rounds = SANITIZED ? 30 : 60, errors = 0;
	const char *env = getenv("L3L2Q_MESSAGES");

	if (env && messages() <= 100000)
		rounds = 10;
	for (round = 0; round < rounds; round++) {
		struct pair p = { .attr = { .role = own, .depth = 8, .window = variant->window,
			.input_arena_bytes = 8192, .output_arena_bytes = 8192 } };
		struct l3l2q_error error;
		char text[2048];
		pid_t child;
		int ret;

		ASSERT_EQ(0, pair_create(&p));
		child = spawn();
		ASSERT_LE(0, child);
		if (!child) {
			CHECK_EQ(0, pair_attach(&p));
			scribble(p.ep[peer], (uint64_t)round);
		}
		ret = suffer(p.ep[own], variant->window, (uint64_t)round);
		EXPECT_TRUE(documented(ret)) {
			TH_LOG("round %d: %d", round, ret);
		}
		l3l2q_ep_error(p.ep[own], &error);
		if (error.kind) {
			errors++;
			EXPECT_TRUE(error.kind == L3L2Q_ERR_INVALID_DESCRIPTOR ||
				    error.kind == L3L2Q_ERR_REMOTE_ABORTED) {
				TH_LOG("round %d: %s: %s: %s", round,
				       l3l2q_error_name(error.kind), error.op, error.message);
			}
			ASSERT_NE(NULL, error.op);
			ASSERT_NE(NULL, error.message);
			EXPECT_NE(0, strlen(error.op));
			EXPECT_NE(0, strlen(error.message));
			EXPECT_GT(0, l3l2q_try_enqueue(l3l2q_ep_producer(p.ep[own]), 1, "x", 1));
		}
		EXPECT_LT(0, l3l2q_ep_dump(p.ep[own], text, sizeof(text)));
		slay(child);
		pair_close(&p);
	}
	EXPECT_NE(0, errors);
}

TEST_HARNESS_MAIN
