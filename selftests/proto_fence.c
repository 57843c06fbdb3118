// SPDX-License-Identifier: MIT
/*
 * Fences on request (libuser/src/fence.c), over the transport in L3L2Q_TRANSPORT: when a
 * side is unfenced, what a sleeper requests, when it lets off, and that nobody sleeps for
 * a message that is there.
 */
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "internal.h"
#include "proto_transport.h"

/* Bounds a hang, decides nothing. */
#define LONG_NS (60 * 1000000000ll)
#define LONG_MS 60000
#define LET_OFF 4096
#define DEPTH 64u

#define L3 L3L2Q_ROLE_L3
#define L2 L3L2Q_ROLE_L2

FIXTURE(fence)
{
	struct pair pair;
	struct l3l2q_ep *l3, *l2;
	struct l3l2q_producer *p;	/* of L3 */
	struct l3l2q_consumer *c;	/* of L2 */
};

/* Where the memory is plain, stays, and the other end is of this host. */
static bool is_served(void)
{
	return is_memfd() || !strcmp(transport(), "driver") || !strcmp(transport(), "ram");
}

static int fence_pair(FIXTURE_DATA(fence) *self, uint32_t flags)
{
	int ret;

	self->pair.attr = (struct l3l2q_attr){ .role = L3, .depth = DEPTH, .window = DEPTH,
		.input_arena_bytes = 4096, .output_arena_bytes = 4096, .flags = flags,
		.spin_ns = L3L2Q_SPIN_OFF };
	ret = pair_make(&self->pair);
	if (ret)
		return ret;
	self->l3 = self->pair.ep[L3];
	self->l2 = self->pair.ep[L2];
	self->p = l3l2q_ep_producer(self->l3);
	self->c = l3l2q_ep_consumer(self->l2);
	return 0;
}

FIXTURE_SETUP(fence)
{
	if (!is_served())
		SKIP(return, "%s always fences", transport());
	ASSERT_EQ(0, fence_pair(self, 0));
	if (self->l3->asks != self->l2->asks || !self->l3->asks)
		SKIP(return, "no membarrier() here");
}

FIXTURE_TEARDOWN(fence)
{
	pair_close(&self->pair);
}

static uint32_t armed(const struct l3l2q_ep *ep)
{
	return __atomic_load_n(ep->core.armed, __ATOMIC_RELAXED);
}

static uint64_t membarriers(const struct l3l2q_ep *ep)
{
	struct l3l2q_ep_stats stats;

	return l3l2q_ep_stats(ep, &stats) ? 0 : stats.membarriers;
}

static const struct l3l2q_control *control(const struct l3l2q_ep *ep)
{
	return container_of(ep->core.armed, struct l3l2q_control, armed);
}

static int send_one(struct l3l2q_ep *ep)
{
	return l3l2q_try_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, NULL, 0);
}

static int take_one(struct l3l2q_ep *ep, int64_t timeout_ns)
{
	struct l3l2q_message m;

	return l3l2q_dequeue(l3l2q_ep_consumer(ep), &m, NULL, 0, timeout_ns);
}

/* @n messages from one end to the other, with nobody asleep. 0 or -errno. */
static int stream(struct l3l2q_ep *from, struct l3l2q_ep *to, uint64_t n)
{
	struct l3l2q_consumer *c = l3l2q_ep_consumer(to);
	struct l3l2q_message m[DEPTH];
	int ret, k;

	while (n) {
		for (k = 0; k < (int)DEPTH && n; k++, n--) {
			ret = send_one(from);
			if (ret)
				return ret;
		}
		ret = l3l2q_try_peek_batch(c, m, k);
		if (ret != k)
			return ret < 0 ? ret : -EIO;
		ret = l3l2q_release_batch(c, m, k);
		if (ret)
			return ret;
	}
	return 0;
}

/* ---- becoming unfenced ------------------------------------------------------ */

TEST_F(fence, both_halves_of_both_ends_become_unfenced)
{
	int i;

	EXPECT_EQ(L3L2Q_ARM_ASKS, armed(self->l3));
	EXPECT_EQ(L3L2Q_ARM_ASKS, armed(self->l2));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(i, control(self->l3)->tail_unfenced);
		EXPECT_EQ(i, control(self->l3)->head_unfenced);
		EXPECT_EQ(i, control(self->l2)->tail_unfenced);
		EXPECT_EQ(i, control(self->l2)->head_unfenced);
		EXPECT_EQ(i ? L3L2Q_FENCE_ON_REQUEST : L3L2Q_FENCE_YET, self->p->fence);
		EXPECT_EQ(i ? L3L2Q_FENCE_ON_REQUEST : L3L2Q_FENCE_YET, self->c->fence);
		ASSERT_EQ(0, stream(self->l3, self->l2, 1));
		ASSERT_EQ(0, stream(self->l2, self->l3, 1));
	}
	EXPECT_EQ(0, membarriers(self->l3) + membarriers(self->l2));
}

static void expect_always_fenced(struct __test_metadata *_metadata, uint32_t flags)
{
	FIXTURE_DATA(fence) self = { 0 };

	ASSERT_EQ(0, fence_pair(&self, flags));
	ASSERT_EQ(0, stream(self.l3, self.l2, 3));
	EXPECT_EQ(L3L2Q_FENCE_ALWAYS, self.p->fence);
	EXPECT_EQ(L3L2Q_FENCE_ALWAYS, self.c->fence);
	EXPECT_EQ(-ETIMEDOUT, take_one(self.l2, 1));
	EXPECT_EQ(0, membarriers(self.l2));
	pair_close(&self.pair);
}

/* Over other memory nothing is promised and nothing changes. */
TEST(elsewhere_every_store_is_fenced)
{
	if (is_served())
		SKIP(return, "%s fences on request", transport());
	expect_always_fenced(_metadata, 0);
}

TEST(the_attribute_forbids_it)
{
	expect_always_fenced(_metadata, L3L2Q_ATTR_FENCED);
}

/* An end that does not ask is not served, whatever the other one can do. */
TEST(one_end_that_fences_has_both_fence)
{
	struct l3l2q_attr attr = { .flags = L3L2Q_ATTR_FENCED, .spin_ns = L3L2Q_SPIN_OFF };
	FIXTURE_DATA(fence) self = { 0 };

	if (!is_served())
		SKIP(return, "%s always fences", transport());
	self.pair.attr = (struct l3l2q_attr){ .role = L3, .depth = DEPTH,
		.input_arena_bytes = 4096, .output_arena_bytes = 4096 };
	ASSERT_EQ(0, pair_create(&self.pair));
	ASSERT_EQ(0, l3l2q_attach(&self.pair.ep[L2], self.pair.peer_fd, &attr, NULL));
	self.pair.peer_fd = -1;
	ASSERT_EQ(0, send_one(self.pair.ep[L3]));
	ASSERT_EQ(0, take_one(self.pair.ep[L2], LONG_NS));
	EXPECT_NE(L3L2Q_FENCE_ON_REQUEST, l3l2q_ep_producer(self.pair.ep[L3])->fence);
	EXPECT_EQ(L3L2Q_FENCE_ALWAYS, l3l2q_ep_consumer(self.pair.ep[L2])->fence);
	EXPECT_EQ(-ETIMEDOUT, take_one(self.pair.ep[L2], 1));
	EXPECT_EQ(0, armed(self.pair.ep[L2]) & ~L3L2Q_ARM_EVENTS);
	pair_close(&self.pair);
}

/* ---- requesting, and letting off -------------------------------------------- */

#define REQUESTED (L3L2Q_ARM_REQ_TAIL | L3L2Q_ARM_DONE_TAIL)

TEST_F(fence, a_sleeper_requests_once)
{
	int i;

	ASSERT_EQ(0, stream(self->l3, self->l2, 2));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-ETIMEDOUT, take_one(self->l2, 1));
		EXPECT_EQ(1, membarriers(self->l2));
		EXPECT_EQ(REQUESTED, armed(self->l2) & ~(L3L2Q_ARM_EVENTS | L3L2Q_ARM_ASKS));
		/* a wake-up takes the events, and nothing else */
		ASSERT_EQ(0, stream(self->l3, self->l2, 2));
		EXPECT_EQ(REQUESTED | L3L2Q_ARM_ASKS, armed(self->l2));
	}
	EXPECT_EQ(0, membarriers(self->l3));
}

/* A half that is not unfenced yet needs none, and sees the request when it becomes so. */
TEST_F(fence, a_request_may_come_first)
{
	EXPECT_EQ(-ETIMEDOUT, take_one(self->l2, 1));
	EXPECT_EQ(0, membarriers(self->l2));
	EXPECT_EQ(REQUESTED, armed(self->l2) & ~(L3L2Q_ARM_EVENTS | L3L2Q_ARM_ASKS));
	ASSERT_EQ(0, stream(self->l3, self->l2, 3));
	EXPECT_EQ(L3L2Q_FENCE_ON_REQUEST, self->p->fence);
	EXPECT_EQ(-ETIMEDOUT, take_one(self->l2, 1));
	EXPECT_EQ(0, membarriers(self->l2));
}

TEST_F(fence, the_heads_fences_are_requested_by_who_waits_for_room)
{
	uint64_t i;

	ASSERT_EQ(0, stream(self->l3, self->l2, 2));
	for (i = 0; i < DEPTH; i++)
		ASSERT_EQ(0, send_one(self->l3));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_enqueue(self->p, L3L2Q_OP_DATA, NULL, 0, 1));
	EXPECT_EQ(1, membarriers(self->l3));
	EXPECT_EQ(L3L2Q_ARM_REQ_HEAD | L3L2Q_ARM_DONE_HEAD,
		  armed(self->l3) & ~(L3L2Q_ARM_EVENTS | L3L2Q_ARM_ASKS));
	for (i = 0; i < DEPTH; i++)
		ASSERT_EQ(0, take_one(self->l2, LONG_NS));
	ASSERT_EQ(0, stream(self->l3, self->l2, LET_OFF + DEPTH));
	EXPECT_EQ(L3L2Q_ARM_ASKS, armed(self->l3));
}

TEST_F(fence, many_messages_without_a_sleep_let_off)
{
	int i;

	ASSERT_EQ(0, stream(self->l3, self->l2, 2));
	for (i = 1; i < 4; i++) {
		EXPECT_EQ(-ETIMEDOUT, take_one(self->l2, 1));
		EXPECT_EQ(i, membarriers(self->l2));
		ASSERT_EQ(0, stream(self->l3, self->l2, LET_OFF - DEPTH));
		EXPECT_EQ(REQUESTED | L3L2Q_ARM_ASKS, armed(self->l2));
		ASSERT_EQ(0, stream(self->l3, self->l2, 2 * DEPTH));
		EXPECT_EQ(L3L2Q_ARM_ASKS, armed(self->l2));
	}
}

/* Nobody lets off while a thread is between request and sleep, or asleep. */
TEST_F(fence, a_request_in_use_is_not_let_off)
{
	ASSERT_EQ(0, stream(self->l3, self->l2, 2));
	EXPECT_EQ(-ETIMEDOUT, take_one(self->l2, 1));
	self->l2->requesting = 1;
	ASSERT_EQ(0, stream(self->l3, self->l2, LET_OFF + DEPTH));
	EXPECT_EQ(REQUESTED | L3L2Q_ARM_ASKS, armed(self->l2));
	self->l2->requesting = 0;

	__atomic_fetch_or(self->l2->core.armed, L3L2Q_ARM_COUNTER, __ATOMIC_RELAXED);
	l3l2q_fence_let_off(self->l2, &self->l2->rx_half);
	EXPECT_EQ(REQUESTED | L3L2Q_ARM_ASKS | L3L2Q_ARM_COUNTER, armed(self->l2));
	__atomic_fetch_and(self->l2->core.armed, ~L3L2Q_ARM_COUNTER, __ATOMIC_RELAXED);
	l3l2q_fence_let_off(self->l2, &self->l2->rx_half);
	EXPECT_EQ(L3L2Q_ARM_ASKS, armed(self->l2));
}

/* ---- refused membarrier ------------------------------------------------------ */

/* From now on the calls of membarrier() whose command is @command fail. */
static int refuse_membarrier(unsigned int command)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, command, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno : 0;
}

static int in_child(int (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(body());
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define CHECK(x) do { if (!(x)) return __LINE__ % 250 + 1; } while (0)
#define CHILD_SKIPS 255

static int refused_from_the_start(void)
{
	FIXTURE_DATA(fence) self = { 0 };

	if (refuse_membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED))
		return CHILD_SKIPS;
	CHECK(!fence_pair(&self, 0));
	CHECK(!stream(self.l3, self.l2, 3));
	CHECK(self.p->fence == L3L2Q_FENCE_ALWAYS);
	CHECK(take_one(self.l2, 1) == -ETIMEDOUT);
	CHECK(!(armed(self.l2) & ~L3L2Q_ARM_EVENTS));
	CHECK(!membarriers(self.l2));
	return 0;
}

static void expect_in_child(struct __test_metadata *_metadata, int (*body)(void))
{
	int ret = in_child(body);

	if (ret == CHILD_SKIPS)
		SKIP(return, "no seccomp");
	EXPECT_EQ(0, ret);
}

TEST_F(fence, where_it_is_refused_every_store_is_fenced)
{
	expect_in_child(_metadata, refused_from_the_start);
}

static void *send_later(void *arg)
{
	struct l3l2q_ep *ep = arg;
	struct timespec ts = { .tv_nsec = 2000000 };

	nanosleep(&ts, NULL); /* the other thread may sleep by then, or not: both are right */
	return (void *)(intptr_t)send_one(ep);
}

/* Sleepers are not sure to be woken: they look themselves, and so do those who poll. */
static int refused_later(void)
{
	FIXTURE_DATA(fence) self = { 0 };
	struct pollfd pfd = { .events = POLLIN };
	pthread_t t;
	int i;

	CHECK(!fence_pair(&self, 0));
	if (refuse_membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED))
		return CHILD_SKIPS;
	CHECK(!stream(self.l3, self.l2, 2));
	CHECK(self.p->fence == L3L2Q_FENCE_ON_REQUEST);
	CHECK(take_one(self.l2, 3000000) == -ETIMEDOUT);
	CHECK(armed(self.l2) & L3L2Q_ARM_REQ_TAIL);
	CHECK(!(armed(self.l2) & L3L2Q_ARM_DONE_TAIL));
	for (i = 0; i < 3; i++) {
		pthread_create(&t, NULL, send_later, self.l3);
		CHECK(!take_one(self.l2, LONG_NS));
		pthread_join(t, NULL);
	}
	CHECK(l3l2q_wait_counter(self.l2, L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_GT, 1000, 3000000,
				 NULL) == -ETIMEDOUT);
	pfd.fd = l3l2q_fd(self.l2);
	pthread_create(&t, NULL, send_later, self.l3);
	while (take_one(self.l2, 0) == -ETIMEDOUT)
		CHECK(l3l2q_arm(self.l2, L3L2Q_EVENT_IN) || poll(&pfd, 1, LONG_MS) == 1);
	pthread_join(t, NULL);
	return 0;
}

TEST_F(fence, where_it_fails_later_sleepers_look_themselves)
{
	expect_in_child(_metadata, refused_later);
}

/* ---- unfenced and back -------------------------------------------------------- */

FIXTURE(back) {
	FIXTURE_DATA(fence) f;
	pthread_t t;
	uint64_t rounds;
	uint64_t begun, ended;		/* rounds, by the consumer, by the other thread */
	int ret;
};

FIXTURE_VARIANT(back) {
	int (*sleep)(struct l3l2q_ep *ep, int epoll);
	uint32_t edge;
};

/* In the library: on a futex, or in WAIT. */
static int sleep_in_dequeue(struct l3l2q_ep *ep, int epoll)
{
	(void)epoll;
	return take_one(ep, LONG_NS);
}

static int sleep_in_epoll(struct l3l2q_ep *ep, int epoll)
{
	struct epoll_event event;
	int ret;

	for (;;) {
		ret = take_one(ep, 0);
		if (ret != -ETIMEDOUT)
			return ret;
		ret = l3l2q_arm(ep, L3L2Q_EVENT_IN);
		if (ret < 0)
			return ret;
		if (!ret && epoll_wait(epoll, &event, 1, LONG_MS) != 1)
			return -ETIME;
	}
}

FIXTURE_VARIANT_ADD(back, dequeue) { .sleep = sleep_in_dequeue };
FIXTURE_VARIANT_ADD(back, level) { .sleep = sleep_in_epoll };
FIXTURE_VARIANT_ADD(back, edge) { .sleep = sleep_in_epoll, .edge = EPOLLET };

FIXTURE_SETUP(back)
{
	if (!is_served())
		SKIP(return, "%s always fences", transport());
	ASSERT_EQ(0, fence_pair(&self->f, 0));
	if (!self->f.l3->asks)
		SKIP(return, "no membarrier() here");
	self->rounds = messages() / (messages() < 1000000 ? 100 : 30);
}

FIXTURE_TEARDOWN(back)
{
	pair_close(&self->f.pair);
}

/* Lines that are in no cache keep the stores behind them waiting. */
#define LINES 32
#define COLD_BYTES (16u << 20)

static char cold[COLD_BYTES];

static void store_to_cold_lines(uint64_t *seed)
{
	unsigned int i;

	for (i = 0; i < LINES; i++)
		__atomic_store_n(&cold[rnd_below(seed, COLD_BYTES)], 1, __ATOMIC_RELAXED);
}

/* Both threads run at the same time, where there are two processors for them. */
static void wait_while(const uint64_t *word, uint64_t value)
{
	unsigned int turn;

	for (turn = 1; __atomic_load_n(word, __ATOMIC_ACQUIRE) == value; turn++) {
		if (turn % 10000)
			l3l2q_relax();
		else
			sched_yield();
	}
}

/*
 * The last message of each round comes while the consumer, which has taken the others
 * and let off, is about to sleep: sooner or later in each round. Its store waits behind
 * others, while the load of armed does not.
 */
static void *last_of_each_round(void *arg)
{
	FIXTURE_DATA(back) *self = arg;
	uint64_t i, seed = 1;

	for (i = 0; i < self->rounds && !self->ret; i++) {
		wait_while(&self->begun, i);
		store_to_cold_lines(&seed);
		self->ret = send_one(self->f.l3);
		__atomic_store_n(&self->ended, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

TEST_F(back, nobody_sleeps_for_a_message_that_is_there)
{
	struct epoll_event event = { .events = EPOLLIN | variant->edge };
	struct l3l2q_ep *l2 = self->f.l2;
	uint64_t i, turns, seed = 2;
	int epoll = epoll_create1(0);

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, l3l2q_fd(l2), &event));
	ASSERT_EQ(0, stream(self->f.l3, l2, 2));
	pthread_create(&self->t, NULL, last_of_each_round, self);
	for (i = 0; i < self->rounds; i++) {
		/* both threads use the producer, in turns */
		if (i)
			wait_while(&self->ended, i - 1);
		ASSERT_EQ(0, stream(self->f.l3, l2, LET_OFF + DEPTH));
		ASSERT_EQ(L3L2Q_ARM_ASKS, armed(l2) & ~L3L2Q_ARM_EVENTS);
		__atomic_store_n(&self->begun, i + 1, __ATOMIC_RELEASE);
		for (turns = rnd_below(&seed, 20000); turns; turns--)
			__asm__ volatile("" ::: "memory");
		ASSERT_EQ(0, variant->sleep(l2, epoll));
	}
	pthread_join(self->t, NULL);
	EXPECT_EQ(0, self->ret);
	EXPECT_LT(0, membarriers(l2));
	close(epoll);
}

TEST_HARNESS_MAIN
