// SPDX-License-Identifier: MIT
/*
 * Forms of calls that every transport has to have, over the one in L3L2Q_TRANSPORT
 * (proto_transport.h): room and what is pending, batches, structures of other versions,
 * attributes, calls that signals, interruptions or this side's end stop, and the
 * endpoints of a parent in its forked child.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "proto_transport.h"

/* Bounds a hang, decides nothing. */
#define LONG_NS (300 * 1000000000ll)
#define SHORT_NS 1000000ll

#define L3 L3L2Q_ROLE_L3
#define L2 L3L2Q_ROLE_L2

FIXTURE(forms)
{
	struct pair pair;
	struct l3l2q_ep *l3, *l2;
	struct l3l2q_producer *p;	/* of L3 */
	struct l3l2q_consumer *c;	/* of L2 */
};

FIXTURE_SETUP(forms)
{
	self->pair.attr = (struct l3l2q_attr){ .role = L3, .depth = 4, .window = 4,
		.input_arena_bytes = 256, .output_arena_bytes = 4096 };
	ASSERT_EQ(0, pair_make(&self->pair));
	self->l3 = self->pair.ep[L3];
	self->l2 = self->pair.ep[L2];
	self->p = l3l2q_ep_producer(self->l3);
	self->c = l3l2q_ep_consumer(self->l2);
}

FIXTURE_TEARDOWN(forms)
{
	pair_close(&self->pair);
}

static int send(FIXTURE_DATA(forms) *self, const void *body, size_t nbytes)
{
	return l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, nbytes ? body : NULL, nbytes);
}

/* ---- room and what is pending --------------------------------------------- */

/* Room is what goes through, and one byte more does not, wherever the cursor is. */
TEST_F(forms, room_is_exact)
{
	uint64_t rounds = messages() / 5 < 20000 ? messages() / 5 : 20000, i;
	struct l3l2q_message m;
	static char body[4096];
	unsigned int seed = 1;
	int64_t most;

	for (i = 0; i < rounds; i++) {
		most = l3l2q_room_bytes(self->p);
		ASSERT_GE(most, 0);
		if (l3l2q_room(self->p) && most < 256)
			ASSERT_EQ(-EAGAIN, send(self, body, (size_t)most + 1));
		if (most && rand_r(&seed) % 2) {
			if (rand_r(&seed) % 4)
				most = 1 + rand_r(&seed) % most;
			ASSERT_EQ(0, send(self, body, (size_t)most));
		} else if (l3l2q_room(self->p) && !(rand_r(&seed) % 4)) {
			ASSERT_EQ(0, send(self, NULL, 0));
		}
		ASSERT_EQ(4 - l3l2q_room(self->p), l3l2q_pending(self->c));
		if (l3l2q_pending(self->c) && rand_r(&seed) % 2)
			ASSERT_EQ(0, l3l2q_try_dequeue(self->c, &m, body, sizeof(body)));
	}
}

TEST_F(forms, a_wait_for_room_publishes_the_batch)
{
	struct l3l2q_message m;
	int i;

	ASSERT_EQ(0, l3l2q_batch_begin(self->p));
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, send(self, "x", 1));
	EXPECT_EQ(-EAGAIN, send(self, "x", 1));
	EXPECT_EQ(-EAGAIN, l3l2q_try_peek(self->c, &m));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(self->l3, L3L2Q_EVENT_OUT, SHORT_NS));
	EXPECT_EQ(0, l3l2q_try_peek(self->c, &m));
}

/* ---- batches of messages -------------------------------------------------- */

TEST_F(forms, peek_batch_tries_and_waits)
{
	struct l3l2q_message m[2];

	EXPECT_EQ(-EAGAIN, l3l2q_try_peek_batch(self->c, m, 2));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_peek_batch(self->c, m, 2, SHORT_NS));
	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, (const char[]){ 1, 2, 3 }, 3));
	EXPECT_EQ(1, l3l2q_peek_batch(self->c, m, 2, LONG_NS));
	EXPECT_EQ(3, m[0].nbytes);
	EXPECT_EQ(0, l3l2q_release_batch(self->c, m, 1));
}

/* Messages published since an earlier look belong to the batch. */
TEST_F(forms, peek_batch_takes_all_that_is_published)
{
	struct l3l2q_message m[4];
	int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, send(self, NULL, 0));
	ASSERT_EQ(0, l3l2q_try_peek(self->c, m));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, send(self, NULL, 0));
	EXPECT_EQ(3, l3l2q_try_peek_batch(self->c, m + 1, 4));
	EXPECT_EQ(4, m[3].seq);
}

/* ---- structures of other versions ------------------------------------------ */

/* As a later version may have them. */
struct newer_attr {
	struct l3l2q_attr attr;
	uint64_t more;
};

struct newer_external {
	struct l3l2q_external ext;
	uint64_t more;
};

/* What is filled in: a longer one has zeroes at its end, a shorter one is not overrun. */
TEST_F(forms, getters_fill_in_structures_of_other_versions)
{
	struct { struct l3l2q_ep_info info; uint64_t more; } info;
	struct { struct l3l2q_ep_stats stats; uint64_t more; } stats;
	struct { struct l3l2q_error error; uint64_t more; } error;
	int role;

	ASSERT_EQ(0, send(self, "x", 1));
	for (role = 0; role < L3L2Q_ROLES; role++) {
		struct l3l2q_ep *ep = self->pair.ep[role];

		memset(&info, 0x5c, sizeof(info));
		memset(&stats, 0x5c, sizeof(stats));
		memset(&error, 0x5c, sizeof(error));
		ASSERT_EQ(0, l3l2q_ep_info_sized(ep, &info.info, sizeof(info)));
		ASSERT_EQ(0, l3l2q_ep_stats_sized(ep, &stats.stats, sizeof(stats)));
		ASSERT_EQ(0, l3l2q_ep_error_sized(ep, &error.error, sizeof(error)));
		EXPECT_EQ(0, info.more | stats.more | error.more);
		EXPECT_EQ(role, info.info.role);
		EXPECT_EQ(role == L3, stats.stats.sent);

		memset(&stats, 0x5c, sizeof(stats));
		ASSERT_EQ(0, l3l2q_ep_stats_sized(ep, &stats.stats, sizeof(stats.stats.sent)));
		EXPECT_EQ(role == L3, stats.stats.sent);
		EXPECT_EQ(0x5c5c5c5c5c5c5c5cull, stats.stats.received);
	}
}

/* What is filled in by the caller: bytes that this library does not know must be 0. */
TEST(unknown_bytes_are_refused_and_take_nothing)
{
	struct pair p = { .attr = { .role = L3, .depth = 4, .input_arena_bytes = 256,
		.output_arena_bytes = 256 } };
	struct newer_attr newer = { .attr = p.attr, .more = 1 };
	struct newer_external external = { .more = 1 };
	struct l3l2q_failure why = { "" };
	struct l3l2q_ep *ep = (void *)&p;

	if (!is_external()) {
		newer.attr.transport = transport();
		EXPECT_EQ(-E2BIG, l3l2q_create_sized(&ep, &newer.attr, sizeof(newer), &why,
						     sizeof(why)));
		EXPECT_EQ(NULL, ep);
		EXPECT_LT(8, strlen(why.text));
	}
	ASSERT_EQ(0, pair_create(&p));
	if (is_external()) {
		external.ext = p.outside.ext;
		external.ext.role = L2;
		EXPECT_EQ(-E2BIG, l3l2q_attach_external_sized(&ep, &external.ext, sizeof(external),
							      NULL, 0, &why, sizeof(why)));
		EXPECT_EQ(-E2BIG, l3l2q_attach_external_sized(&ep, &external.ext,
							      sizeof(external.ext), &newer.attr,
							      sizeof(newer), &why, sizeof(why)));
		external.more = newer.more = 0;
		ASSERT_EQ(0, l3l2q_attach_external_sized(&p.ep[L2], &external.ext, sizeof(external),
							 &newer.attr, sizeof(newer), &why,
							 sizeof(why)));
	} else {
		EXPECT_EQ(-E2BIG, l3l2q_attach_sized(&ep, p.peer_fd, &newer.attr, sizeof(newer),
						     &why, sizeof(why)));
		EXPECT_EQ(NULL, ep);
		newer.more = 0;
		ASSERT_EQ(0, l3l2q_attach_sized(&p.ep[L2], p.peer_fd, &newer.attr, sizeof(newer),
						&why, sizeof(why)));
		p.peer_fd = -1;
	}
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(p.ep[L3], L3L2Q_EVENT_IN, 0));
	pair_close(&p);
}

/* ---- attributes ------------------------------------------------------------ */

/* Attach the other end of @p with @attr, without a word on failure. */
static int attach_with(struct pair *p, const struct l3l2q_attr *attr)
{
	int ret;

	p->outside.ext.role = L2;
	ret = is_external() ? l3l2q_attach_external(&p->ep[L2], &p->outside.ext, attr, NULL)
			    : l3l2q_attach(&p->ep[L2], p->peer_fd, attr, NULL);
	if (!ret)
		p->peer_fd = -1;
	return ret;
}

TEST(attributes_are_used_or_refused)
{
	static const struct {
		uint32_t flags, pad;
		int32_t node;
	} bad[] = {
		{ .node = 57 }, { .node = -1 }, { .flags = L3L2Q_ATTR_NUMA },
		{ .flags = L3L2Q_ATTR_NUMA, .node = 57 }, { .flags = 1u << 30 }, { .pad = 1 },
	};
	struct pair p = { .attr = { .role = L3, .depth = 4, .input_arena_bytes = 256,
		.output_arena_bytes = 256 } };
	struct l3l2q_failure why = { "" };
	struct l3l2q_attr attr = p.attr;
	struct l3l2q_ep *ep;
	size_t i;

	if (!is_external()) {
		attr.numa_node = 57;
		EXPECT_EQ(-EINVAL, transport_create(&ep, &attr, &why));
		EXPECT_NE(NULL, strstr(why.text, "node"));
		EXPECT_EQ(NULL, ep);
	}
	ASSERT_EQ(0, pair_create(&p));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		attr = p.attr;
		attr.flags = bad[i].flags;
		attr.numa_node = bad[i].node;
		attr.pad = bad[i].pad;
		EXPECT_EQ(-EINVAL, attach_with(&p, &attr)) {
			TH_LOG("attributes %zu", i);
		}
		EXPECT_EQ(NULL, p.ep[L2]);
	}
	/* What is for create only may stay in the attributes of attach. */
	attr = (struct l3l2q_attr){ .transport = "none", .tag = "\n", .role = 9, .depth = 99,
		.input_arena_bytes = 1, .payload_bytes = 1, .counter_bytes = 1, .window = 2,
		.flags = L3L2Q_ATTR_COHERENT | L3L2Q_ATTR_SHARE_ADDRESSES |
			 L3L2Q_ATTR_INTERRUPTIBLE,
		.region_version = 1, .binding = 9, .identity = { 1, 1 } };
	ASSERT_EQ(0, attach_with(&p, &attr));
	EXPECT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(p.ep[L3]), L3L2Q_OP_DATA, "x", 1));
	EXPECT_EQ(1, l3l2q_pending(l3l2q_ep_consumer(p.ep[L2])));
	pair_close(&p);
}

/* ---- calls that are ended --------------------------------------------------- */

/* Ways to block on L3, whose ring is full. */
enum { ENQUEUE, PEEK, WAIT, WAIT_COUNTER, WAYS };

static int block(struct l3l2q_ep *ep, int way, int64_t timeout_ns)
{
	struct l3l2q_message m;

	switch (way) {
	case ENQUEUE:
		return l3l2q_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, NULL, 0, timeout_ns);
	case PEEK:
		return l3l2q_peek(l3l2q_ep_consumer(ep), &m, timeout_ns);
	case WAIT:
		return l3l2q_wait(ep, L3L2Q_EVENT_IN, timeout_ns);
	default:
		return l3l2q_wait_counter(ep, L3L2Q_CTR_OUTPUT_TAIL, L3L2Q_CMP_NE, 0, timeout_ns,
					  NULL);
	}
}

/* Let a call that blocks go on. */
static int unblock(struct pair *p, int way)
{
	struct l3l2q_message m;

	if (way == ENQUEUE)
		return l3l2q_try_dequeue(l3l2q_ep_consumer(p->ep[L2]), &m, NULL, 0);
	return l3l2q_try_enqueue(l3l2q_ep_producer(p->ep[L2]), L3L2Q_OP_DATA, NULL, 0);
}

static int make_full(struct pair *p, uint32_t flags)
{
	int i, ret;

	*p = (struct pair){ .attr = { .role = L3, .depth = 4, .input_arena_bytes = 256,
		.output_arena_bytes = 256, .flags = flags } };
	ret = pair_make(p);
	for (i = 0; i < 4 && !ret; i++)
		ret = l3l2q_try_enqueue(l3l2q_ep_producer(p->ep[L3]), L3L2Q_OP_DATA, NULL, 0);
	return ret;
}

/* A thread that blocks so many times, and counts the calls that have not returned @want. */
struct blocked {
	struct l3l2q_ep *ep;
	int way, rounds, want;
	int done, wrong, ret;
	bool started;
	pthread_t thread;
};

static void *block_rounds(void *arg)
{
	struct blocked *b = arg;
	int i;

	/*
	 * TSan of gcc 12 makes a thread's record of signals in its first call that may block,
	 * and drops a signal that comes meanwhile.
	 */
	usleep(1);
	__atomic_store_n(&b->started, true, __ATOMIC_RELEASE);
	for (i = 0; i < b->rounds; i++) {
		b->ret = block(b->ep, b->way, LONG_NS);
		b->wrong += b->ret != b->want;
		__atomic_fetch_add(&b->done, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static int blocked_start(struct blocked *b, struct l3l2q_ep *ep, int way, int rounds, int want)
{
	int ret;

	*b = (struct blocked){ .ep = ep, .way = way, .rounds = rounds, .want = want };
	ret = pthread_create(&b->thread, NULL, block_rounds, b);
	while (!ret && !__atomic_load_n(&b->started, __ATOMIC_ACQUIRE))
		sched_yield();
	return ret;
}

static int blocked_done(struct blocked *b)
{
	return __atomic_load_n(&b->done, __ATOMIC_SEQ_CST);
}

static void await_sleeps(struct l3l2q_ep *ep, uint64_t n)
{
	struct l3l2q_ep_stats stats;

	do {
		sched_yield();
		l3l2q_ep_stats(ep, &stats);
	} while (stats.sleeps < n);
}

static struct l3l2q_ep *interrupted_by_signal;
static int handled;

static void on_signal(int sig)
{
	if (interrupted_by_signal)
		l3l2q_interrupt(interrupted_by_signal);
	__atomic_fetch_add(&handled, 1, __ATOMIC_SEQ_CST);
}

static void handle_signals(int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };

	sigaction(SIGUSR1, &sa, NULL);
}

/* Until its handler has run. */
static void signal_thread(struct blocked *b)
{
	int before = __atomic_load_n(&handled, __ATOMIC_SEQ_CST);

	pthread_kill(b->thread, SIGUSR1);
	while (__atomic_load_n(&handled, __ATOMIC_SEQ_CST) == before && !blocked_done(b))
		sched_yield();
}

/* With the attribute a signal ends a call, whatever its handler's SA_RESTART says. */
TEST(a_signal_ends_calls_if_the_attribute_says_so)
{
	struct blocked b;
	struct pair p;
	int way, i;

	for (way = 0; way < WAYS; way++) {
		for (i = 0; i < 2; i++) {
			handle_signals(i ? SA_RESTART : 0);
			ASSERT_EQ(0, make_full(&p, L3L2Q_ATTR_INTERRUPTIBLE));
			ASSERT_EQ(0, blocked_start(&b, p.ep[L3], way, 1, -EINTR));
			/* a signal that comes before the sleep ends nothing */
			while (!blocked_done(&b)) {
				signal_thread(&b);
				usleep(1000);
			}
			pthread_join(b.thread, NULL);
			EXPECT_EQ(-EINTR, b.ret) {
				TH_LOG("way %d", way);
			}
			/* it changes nothing */
			ASSERT_EQ(0, unblock(&p, way));
			EXPECT_LE(0, block(p.ep[L3], way, LONG_NS));
			pair_close(&p);
		}
	}
}

TEST(a_signal_ends_no_call_otherwise)
{
	struct blocked b;
	struct pair p;
	int way, i;

	handle_signals(0);
	for (way = 0; way < WAYS; way++) {
		ASSERT_EQ(0, make_full(&p, 0));
		ASSERT_EQ(0, blocked_start(&b, p.ep[L3], way, 1, 0));
		await_sleeps(p.ep[L3], 1);
		for (i = 0; i < 20; i++) {
			signal_thread(&b);
			usleep(1000);
			EXPECT_EQ(0, blocked_done(&b));
		}
		ASSERT_EQ(0, unblock(&p, way));
		pthread_join(b.thread, NULL);
		EXPECT_LE(0, b.ret) {
			TH_LOG("way %d", way);
		}
		pair_close(&p);
	}
}

/* Each one ends one call, wherever that is at the moment: before it sleeps, or asleep. */
static void interrupt_rounds(struct __test_metadata *_metadata, bool by_signal, int way)
{
	int i, rounds = 200;
	struct blocked b;
	struct pair p;

	ASSERT_EQ(0, make_full(&p, 0));
	interrupted_by_signal = by_signal ? p.ep[L3] : NULL;
	ASSERT_EQ(0, blocked_start(&b, p.ep[L3], way, rounds, -EINTR));
	for (i = 0; i < rounds; i++) {
		if (i % 4 == 0)
			usleep(100);
		if (by_signal)
			pthread_kill(b.thread, SIGUSR1);
		else
			ASSERT_EQ(0, l3l2q_interrupt(p.ep[L3]));
		while (blocked_done(&b) == i)
			sched_yield();
	}
	pthread_join(b.thread, NULL);
	EXPECT_EQ(0, b.wrong) {
		TH_LOG("way %d", way);
	}
	interrupted_by_signal = NULL;
	pair_close(&p);
}

TEST(an_interruption_from_another_thread_is_never_lost)
{
	int way;

	for (way = 0; way < WAYS; way++)
		interrupt_rounds(_metadata, false, way);
}

TEST(an_interruption_from_a_signal_handler_is_never_lost)
{
	int way;

	handle_signals(SA_RESTART);
	for (way = 0; way < WAYS; way++)
		interrupt_rounds(_metadata, true, way);
}

/* Of the producer, of the consumer and of the endpoint one call each, at the same time. */
TEST(an_interruption_ends_one_call_of_each_kind)
{
	int i, k, rounds = 300;
	struct blocked b[3];
	struct pair p;

	ASSERT_EQ(0, make_full(&p, 0));
	for (k = 0; k < 3; k++)
		ASSERT_EQ(0, blocked_start(&b[k], p.ep[L3], k, rounds, -EINTR));
	for (i = 0; i < rounds; i++) {
		if (i % 4 == 0)
			usleep(100);
		ASSERT_EQ(0, l3l2q_interrupt(p.ep[L3]));
		for (k = 0; k < 3; k++) {
			while (blocked_done(&b[k]) == i)
				sched_yield();
		}
	}
	for (k = 0; k < 3; k++) {
		pthread_join(b[k].thread, NULL);
		EXPECT_EQ(0, b[k].wrong) {
			TH_LOG("way %d", k);
		}
	}
	pair_close(&p);
}

/* One that comes first ends the next call, and no other, with either attribute. */
TEST(an_interruption_ends_one_call)
{
	struct pair p;
	int way, i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, make_full(&p, i ? L3L2Q_ATTR_INTERRUPTIBLE : 0));
		ASSERT_EQ(0, l3l2q_interrupt(p.ep[L3]));
		ASSERT_EQ(0, l3l2q_interrupt(p.ep[L3]));
		for (way = 0; way < 3; way++) {
			EXPECT_EQ(-EINTR, block(p.ep[L3], way, LONG_NS));
			EXPECT_EQ(-ETIMEDOUT, block(p.ep[L3], way, SHORT_NS));
		}
		ASSERT_EQ(0, l3l2q_interrupt(p.ep[L3]));
		EXPECT_EQ(-EINTR, block(p.ep[L3], WAIT_COUNTER, LONG_NS));
		EXPECT_EQ(-ETIMEDOUT, block(p.ep[L3], WAIT_COUNTER, SHORT_NS));
		EXPECT_EQ(-ETIMEDOUT, block(p.ep[L3], WAIT, SHORT_NS));
		pair_close(&p);
	}
}

/* Abort and detach by another thread, with threads asleep and about to sleep. */
TEST(ones_own_end_ends_blocked_calls)
{
	static const int ways[] = { ENQUEUE, PEEK, WAIT, WAIT, WAIT_COUNTER };
	int i, want, rounds = 40;
	struct blocked b[5];
	struct pair p;
	size_t k;

	for (i = 0; i < rounds; i++) {
		want = i % 2 ? -EIO : -ESHUTDOWN;
		ASSERT_EQ(0, make_full(&p, 0));
		for (k = 0; k < 5; k++)
			ASSERT_EQ(0, blocked_start(&b[k], p.ep[L3], ways[k], 1, want));
		if (i % 4 < 2)
			await_sleeps(p.ep[L3], 1 + (uint64_t)i % 5);
		ASSERT_EQ(0, i % 2 ? l3l2q_abort(p.ep[L3]) : l3l2q_detach(p.ep[L3]));
		for (k = 0; k < 5; k++) {
			pthread_join(b[k].thread, NULL);
			EXPECT_EQ(0, b[k].wrong) {
				TH_LOG("way %d: %d", ways[k], b[k].ret);
			}
		}
		pair_close(&p);
	}
}

struct reader {
	struct l3l2q_ep *ep;
	int ret;
	bool started;
	pthread_t thread;
};

static void *read_until_the_end(void *arg)
{
	struct reader *r = arg;
	char c;

	do {
		r->ret = l3l2q_payload_read(r->ep, 0, &c, 1);
		__atomic_store_n(&r->started, true, __ATOMIC_RELEASE);
	} while (!r->ret);
	return NULL;
}

/* And calls that do not block, at whatever point of them it comes. */
TEST(ones_own_end_has_one_error)
{
	int i, ret, rounds = 100;
	struct reader r;
	struct pair p;

	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, make_full(&p, 0));
		r = (struct reader){ .ep = p.ep[L3] };
		ASSERT_EQ(0, pthread_create(&r.thread, NULL, read_until_the_end, &r));
		while (!__atomic_load_n(&r.started, __ATOMIC_ACQUIRE))
			sched_yield();
		ret = l3l2q_detach(p.ep[L3]);
		pthread_join(r.thread, NULL);
		EXPECT_EQ(0, ret);
		ASSERT_EQ(-ESHUTDOWN, r.ret);
		pair_close(&p);
	}
}

/* And an event loop that sleeps in a poll of its own. */
TEST(ones_own_end_makes_the_descriptor_ready)
{
	struct pollfd pollfd = { .events = POLLIN };
	struct pair p;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, make_full(&p, 0));
		pollfd.fd = l3l2q_fd(p.ep[L3]);
		if (pollfd.fd == -EOPNOTSUPP) {
			pair_close(&p);
			SKIP(return, "no descriptor");
		}
		ASSERT_EQ(0, l3l2q_arm(p.ep[L3], L3L2Q_EVENT_IN));
		ASSERT_EQ(0, poll(&pollfd, 1, 0));
		ASSERT_EQ(0, i ? l3l2q_abort(p.ep[L3]) : l3l2q_detach(p.ep[L3]));
		EXPECT_EQ(1, poll(&pollfd, 1, 0)) {
			TH_LOG("by %s", i ? "abort" : "detach");
		}
		pair_close(&p);
	}
}

/* ---- forked children ------------------------------------------------------ */

static int child_status(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + (status & 127);
}

#define NOT_OURS(call) do { n++; if ((call) != -EPERM) return n; } while (0)

/* Every call of a forked child, inline and not; 0 if all refuse, else which one did not. */
static int child_is_refused(struct l3l2q_ep *ep)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(ep);
	struct l3l2q_consumer *c = l3l2q_ep_consumer(ep);
	const struct l3l2q_body one = { "one", 3 };
	const struct l3l2q_message *run;
	struct l3l2q_reservation span = { .seq = 1 };
	struct l3l2q_message m = { .seq = 1 };
	struct l3l2q_ep_stats stats;
	struct l3l2q_ep_info info;
	struct l3l2q_error error;
	uint64_t scalars[L3L2Q_SCALARS];
	char body[64] = "";
	int n = 0;

	NOT_OURS(l3l2q_try_enqueue(p, L3L2Q_OP_DATA, body, 8));
	NOT_OURS(l3l2q_enqueue(p, L3L2Q_OP_DATA, body, 8, LONG_NS));
	NOT_OURS(l3l2q_try_enqueue(p, L3L2Q_OP_DATA, NULL, 0));
	NOT_OURS(l3l2q_try_enqueuev(p, L3L2Q_OP_DATA, NULL, 0));
	NOT_OURS(l3l2q_try_reserve(p, 8, &span));
	NOT_OURS(l3l2q_commit(p, &span, L3L2Q_OP_DATA));
	NOT_OURS(l3l2q_cancel(p, &span));
	NOT_OURS(l3l2q_reserve(p, 8, &span, LONG_NS));
	NOT_OURS(l3l2q_try_enqueue_run(p, L3L2Q_OP_DATA, &one, 1));
	NOT_OURS(l3l2q_enqueue_run(p, L3L2Q_OP_DATA, &one, 1, LONG_NS));
	NOT_OURS(l3l2q_try_reserve_run(p, 8, 2, &span));
	NOT_OURS(l3l2q_reserve_run(p, 8, 2, &span, LONG_NS));
	NOT_OURS(l3l2q_commit_run(p, &span, L3L2Q_OP_DATA, 1));
	NOT_OURS(l3l2q_try_peek_run(c, &run, 1));
	NOT_OURS(l3l2q_peek_run(c, &run, 1, LONG_NS));
	NOT_OURS(l3l2q_release_upto(c, &m));
	NOT_OURS(l3l2q_batch_begin(p));
	NOT_OURS(l3l2q_batch_publish(p));
	NOT_OURS(l3l2q_try_stop(p));
	NOT_OURS(l3l2q_stop(p, LONG_NS));
	NOT_OURS(l3l2q_room(p));
	NOT_OURS(l3l2q_room_bytes(p));
	NOT_OURS(l3l2q_try_peek(c, &m));
	NOT_OURS(l3l2q_peek(c, &m, LONG_NS));
	NOT_OURS(l3l2q_try_peek_batch(c, &m, 1));
	NOT_OURS(l3l2q_peek_batch(c, &m, 1, LONG_NS));
	NOT_OURS(l3l2q_read_into(c, &m, body, 8));
	NOT_OURS(l3l2q_release(c, &m));
	NOT_OURS(l3l2q_release_batch(c, &m, 1));
	NOT_OURS(l3l2q_try_dequeue(c, &m, body, 8));
	NOT_OURS(l3l2q_dequeue(c, &m, body, 8, LONG_NS));
	NOT_OURS(l3l2q_pending(c));
	NOT_OURS(l3l2q_drained(c));
	NOT_OURS(l3l2q_wait(ep, L3L2Q_EVENT_IN, 0));
	NOT_OURS(l3l2q_arm(ep, L3L2Q_EVENT_IN));
	NOT_OURS(l3l2q_fd(ep));
	NOT_OURS(l3l2q_open_peer(ep));
	NOT_OURS(l3l2q_interrupt(ep));
	NOT_OURS(l3l2q_notify(ep, 0, L3L2Q_NOTIFY_SET, 1));
	NOT_OURS(l3l2q_test(ep, 0, L3L2Q_CMP_EQ, 0, NULL));
	NOT_OURS(l3l2q_wait_counter(ep, 0, L3L2Q_CMP_EQ, 1, LONG_NS, NULL));
	NOT_OURS(l3l2q_payload_write(ep, 0, body, 8));
	NOT_OURS(l3l2q_payload_read(ep, 0, body, 8));
	NOT_OURS(l3l2q_eventfd(ep, L3L2Q_EVENTFD_IN, -1));
	NOT_OURS(l3l2q_ep_error(ep, &error));
	NOT_OURS(l3l2q_ep_info(ep, &info));
	NOT_OURS(l3l2q_ep_stats(ep, &stats));
	NOT_OURS(l3l2q_ep_scalars(ep, scalars));
	NOT_OURS(l3l2q_ep_dump(ep, body, sizeof(body)));
	NOT_OURS(l3l2q_abort(ep));
	NOT_OURS(l3l2q_detach(ep));
	return 0;
}

/* The same, if arguments are wrong: what is refused is the child, whatever it asks for. */
static int child_is_refused_first(struct l3l2q_ep *ep)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(ep);
	struct l3l2q_consumer *c = l3l2q_ep_consumer(ep);
	const struct l3l2q_body empty = { NULL, 0 };
	const struct l3l2q_message *run;
	struct iovec none = { NULL, 8 };
	struct l3l2q_reservation span;
	struct l3l2q_message m;
	char body[64] = "";
	int n = 100;

	NOT_OURS(l3l2q_try_enqueue(p, L3L2Q_OP_DATA, NULL, 8));
	NOT_OURS(l3l2q_try_enqueue(p, L3L2Q_OP_DATA, body, 0));
	NOT_OURS(l3l2q_try_enqueue(p, L3L2Q_OP_STOP, NULL, 0));
	NOT_OURS(l3l2q_try_enqueue(p, 99, body, 8));
	NOT_OURS(l3l2q_enqueue(p, L3L2Q_OP_DATA, NULL, 8, LONG_NS));
	NOT_OURS(l3l2q_enqueue(p, L3L2Q_OP_DATA, body, 8, -1));
	NOT_OURS(l3l2q_try_enqueuev(p, L3L2Q_OP_DATA, &none, 1));
	NOT_OURS(l3l2q_try_enqueuev(p, L3L2Q_OP_STOP, NULL, 0));
	NOT_OURS(l3l2q_try_enqueuev(p, L3L2Q_OP_DATA, &none, -1));
	NOT_OURS(l3l2q_enqueuev(p, L3L2Q_OP_DATA, &none, 1, LONG_NS));
	NOT_OURS(l3l2q_enqueuev(p, L3L2Q_OP_DATA, NULL, 0, -1));
	NOT_OURS(l3l2q_reserve(p, 8, &span, -1));
	NOT_OURS(l3l2q_try_enqueue_run(p, L3L2Q_OP_STOP, &empty, 1));
	NOT_OURS(l3l2q_try_enqueue_run(p, L3L2Q_OP_DATA, &empty, 0));
	NOT_OURS(l3l2q_enqueue_run(p, L3L2Q_OP_DATA, &empty, 1, -1));
	NOT_OURS(l3l2q_try_reserve_run(p, 8, 0, &span));
	NOT_OURS(l3l2q_reserve_run(p, 8, 1, &span, -1));
	NOT_OURS(l3l2q_try_peek_run(c, &run, 0));
	NOT_OURS(l3l2q_peek_run(c, &run, 1, -1));
	NOT_OURS(l3l2q_stop(p, -1));
	NOT_OURS(l3l2q_peek(c, &m, -1));
	NOT_OURS(l3l2q_dequeue(c, &m, body, 8, -1));
	NOT_OURS(l3l2q_try_peek_batch(c, &m, 0));
	NOT_OURS(l3l2q_peek_batch(c, &m, 0, LONG_NS));
	NOT_OURS(l3l2q_peek_batch(c, &m, 1, -1));
	NOT_OURS(l3l2q_release_batch(c, &m, -1));
	NOT_OURS(l3l2q_wait(ep, 1u << 20, 0));
	NOT_OURS(l3l2q_wait(ep, L3L2Q_EVENT_IN, -1));
	NOT_OURS(l3l2q_arm(ep, 1u << 20));
	NOT_OURS(l3l2q_eventfd(ep, 9, -1));
	NOT_OURS(l3l2q_notify(ep, 1, L3L2Q_NOTIFY_SET, 1));
	NOT_OURS(l3l2q_test(ep, UINT64_MAX, L3L2Q_CMP_EQ, 0, NULL));
	NOT_OURS(l3l2q_wait_counter(ep, 0, 99, 0, -1, NULL));
	NOT_OURS(l3l2q_payload_write(ep, 0, NULL, 8));
	NOT_OURS(l3l2q_payload_read(ep, UINT64_MAX, NULL, 8));
	return 0;
}

#undef NOT_OURS

/* What the parent has in its hands goes on, in both directions. */
static void goes_on(struct __test_metadata *_metadata, FIXTURE_DATA(forms) *self)
{
	struct l3l2q_message m;
	char body[16];
	int i, role;

	for (role = 0; role < L3L2Q_ROLES; role++) {
		for (i = 0; i < 10; i++) {
			ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(self->pair.ep[role]),
						       L3L2Q_OP_DATA, "after", 5));
			ASSERT_EQ(0, l3l2q_try_dequeue(l3l2q_ep_consumer(self->pair.ep[!role]), &m,
						       body, sizeof(body)));
		}
		EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(self->pair.ep[role], L3L2Q_EVENT_IN, 0));
	}
}

TEST_F(forms, a_forked_child_is_refused_and_its_close_ends_nothing)
{
	struct l3l2q_message m, held;
	char body[8];
	pid_t pid;
	int i;

	ASSERT_EQ(0, send(self, "before", 6));
	ASSERT_EQ(0, send(self, "held", 4));
	ASSERT_EQ(0, l3l2q_try_dequeue(self->c, &m, body, sizeof(body)));
	ASSERT_EQ(0, l3l2q_try_peek(self->c, &held));
	pid = fork();
	ASSERT_NE(-1, pid);
	if (!pid) {
		for (i = 0; i < L3L2Q_ROLES; i++) {
			int which = child_is_refused(self->pair.ep[i]);

			if (!which)
				which = child_is_refused_first(self->pair.ep[i]);
			if (which)
				_exit(which);
			l3l2q_close(self->pair.ep[i]);
		}
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
	/* a view that is held, a look of the kernel's, and new messages */
	EXPECT_EQ(0, l3l2q_read_into(self->c, &held, body, sizeof(body)));
	EXPECT_EQ(0, memcmp(body, "held", 4));
	EXPECT_EQ(0, l3l2q_release(self->c, &held));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(self->l3, L3L2Q_EVENT_IN, SHORT_NS));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(self->l2, L3L2Q_EVENT_IN, SHORT_NS));
	goes_on(_metadata, self);
}

/* A child that just ends, without closing anything. */
TEST_F(forms, a_forked_childs_end_ends_nothing)
{
	pid_t pid = fork();

	ASSERT_NE(-1, pid);
	if (!pid)
		_exit(0);
	EXPECT_EQ(0, child_status(pid));
	goes_on(_metadata, self);
}

TEST_HARNESS_MAIN
