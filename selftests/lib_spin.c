// SPDX-License-Identifier: MIT
/*
 * When and how long blocking calls spin, over external memory. Affinity, clocks and naps
 * are stand-ins: a reading of the clock takes a microsecond and a nap costs what the test
 * says, so that no outcome depends on the machine.
 */
#include <sched.h>
#include <sys/syscall.h>

#include "proto_transport.h"

#define STEP_NS 1000ull			/* between two readings of the clock */
#define LONG_NS (1000000000000ll)
#define AFFINITY_WAITS 256		/* as in wait.c: waits between two looks at the affinity */
#define PROBE_SLEEPS 32			/* sleeps between two spins that ignore the budget */

/**
 * struct stage - what the stand-ins do
 * @on: they stand in
 * @now: the time
 * @used: processor time of this thread
 * @due: when the peer sends a message, 0: it does not before a nap
 * @nap_cost: processor time that a nap takes
 * @began: when the present wait began
 * @longest: longest spin so far
 * @processors: that the thread may run on
 * @asked: times that was asked
 */
static struct {
	struct l3l2q_producer *peer;
	bool on;
	uint64_t now, used, due, nap_cost, began, longest;
	unsigned int processors, asked;
} stage;

static void send(void)
{
	stage.due = 0;
	if (l3l2q_try_enqueue(stage.peer, L3L2Q_OP_DATA, NULL, 0))
		abort();
}

int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
	unsigned int i;

	stage.asked++;
	CPU_ZERO_S(size, set);
	for (i = 0; i < stage.processors; i++)
		CPU_SET_S(i, size, set);
	return 0;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	uint64_t ns = stage.used;

	if (!stage.on)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	if (clock != CLOCK_THREAD_CPUTIME_ID) {
		ns = stage.now += STEP_NS;
		if (stage.due && ns >= stage.due)
			send();
	}
	ts->tv_sec = (time_t)(ns / 1000000000);
	ts->tv_nsec = (long)(ns % 1000000000);
	return 0;
}

/* A nap lasts until the message. */
int nanosleep(const struct timespec *request, struct timespec *rest)
{
	uint64_t spun = stage.now - stage.began;

	if (spun > stage.longest)
		stage.longest = spun;
	stage.used += stage.nap_cost;
	if (stage.now < stage.due)
		stage.now = stage.due;
	send();
	return 0;
}

FIXTURE(spin) {
	struct pair p;
	struct l3l2q_consumer *c;
};

static void start(FIXTURE_DATA(spin) *self, struct __test_metadata *_metadata, uint64_t spin_ns)
{
	self->p.attr.spin_ns = spin_ns;
	ASSERT_EQ(0, pair_make(&self->p));
	self->c = l3l2q_ep_consumer(self->p.ep[L3L2Q_ROLE_L3]);
	stage.peer = l3l2q_ep_producer(self->p.ep[L3L2Q_ROLE_L2]);
	stage.processors = 2;
	stage.asked = 0;
	stage.now = stage.used = 1000000000;
	stage.due = stage.longest = 0;
	stage.on = true;
}

FIXTURE_SETUP(spin)
{
	setenv("L3L2Q_TRANSPORT", "external", 1);
	self->p.attr = (struct l3l2q_attr){ .depth = 4, .input_arena_bytes = 256,
		.output_arena_bytes = 256 };
	stage.nap_cost = 5000;
}

FIXTURE_TEARDOWN(spin)
{
	stage.on = false;
	pair_close(&self->p);
}

static struct l3l2q_ep_stats stats(FIXTURE_DATA(spin) *self)
{
	struct l3l2q_ep_stats s;

	l3l2q_ep_stats(self->p.ep[L3L2Q_ROLE_L3], &s);
	return s;
}

/* Wait for a message that comes so many nanoseconds from now. True if it ended spinning. */
static bool spins(FIXTURE_DATA(spin) *self, uint64_t ns)
{
	uint64_t before = stats(self).spins;
	struct l3l2q_message m;

	stage.began = stage.now;
	stage.due = stage.now + ns;
	if (l3l2q_dequeue(self->c, &m, NULL, 0, LONG_NS))
		abort();
	return stats(self).spins != before;
}

/* The same by a call on the endpoint. */
static bool waits(FIXTURE_DATA(spin) *self, uint64_t ns)
{
	struct l3l2q_ep *ep = self->p.ep[L3L2Q_ROLE_L3];
	uint64_t before = stats(self).spins;
	struct l3l2q_message m;

	stage.began = stage.now;
	stage.due = stage.now + ns;
	if (l3l2q_wait(ep, L3L2Q_EVENT_IN, LONG_NS) != L3L2Q_EVENT_IN ||
	    l3l2q_try_dequeue(self->c, &m, NULL, 0))
		abort();
	return stats(self).spins != before;
}

/* The same by waiting for the counter that announces it. */
static bool counts(FIXTURE_DATA(spin) *self, uint64_t ns)
{
	struct l3l2q_ep *ep = self->p.ep[L3L2Q_ROLE_L3];
	uint64_t before = stats(self).spins;
	struct l3l2q_message m;
	int32_t value;

	stage.began = stage.now;
	stage.due = stage.now + ns;
	l3l2q_test(ep, L3L2Q_CTR_OUTPUT_TAIL, L3L2Q_CMP_EQ, 0, &value);
	if (l3l2q_wait_counter(ep, L3L2Q_CTR_OUTPUT_TAIL, L3L2Q_CMP_NE, value, LONG_NS, NULL) ||
	    l3l2q_try_dequeue(self->c, &m, NULL, 0))
		abort();
	return stats(self).spins != before;
}

TEST_F(spin, short_waits_end_spinning)
{
	int i;

	start(self, _metadata, 0);
	for (i = 0; i < 100; i++) {
		EXPECT_TRUE(spins(self, 5 * STEP_NS));
		EXPECT_TRUE(waits(self, 5 * STEP_NS));
		EXPECT_TRUE(counts(self, 5 * STEP_NS));
	}
	EXPECT_EQ(0, stats(self).sleeps);
}

/* From the first wait on. */
TEST_F(spin, none_on_one_processor)
{
	int i;

	start(self, _metadata, 0);
	stage.processors = 1;
	for (i = 0; i < 80; i++) {
		EXPECT_FALSE(spins(self, 5 * STEP_NS));
		EXPECT_FALSE(waits(self, 5 * STEP_NS));
		EXPECT_FALSE(counts(self, 5 * STEP_NS));
	}
	EXPECT_EQ(0, stats(self).spins);
	EXPECT_EQ(240, stats(self).sleeps);
	/* once for the half, once for the endpoint */
	EXPECT_EQ(2, stage.asked);
}

/* Both ways within so many waits, at one question in as many. */
TEST_F(spin, a_change_of_affinity_is_noticed)
{
	int i;

	start(self, _metadata, 0);
	EXPECT_TRUE(spins(self, 5 * STEP_NS));
	stage.processors = 1;
	for (i = 0; i < AFFINITY_WAITS; i++)
		spins(self, 5 * STEP_NS);
	for (i = 0; i < AFFINITY_WAITS / 2; i++)
		EXPECT_FALSE(spins(self, 5 * STEP_NS));
	stage.processors = 2;
	for (i = 0; i < AFFINITY_WAITS / 2; i++)
		spins(self, 5 * STEP_NS);
	for (i = 0; i < 2 * PROBE_SLEEPS; i++)
		spins(self, 5 * STEP_NS);
	EXPECT_TRUE(spins(self, 5 * STEP_NS));
	EXPECT_GE(3, stage.asked);
}

/* Waits that end after sleeping make spins shorter, however short the sleep was. */
static void check_sleeps(FIXTURE_DATA(spin) *self, struct __test_metadata *_metadata,
			 bool (*form)(FIXTURE_DATA(spin) *self, uint64_t ns))
{
	int i, found = 0;

	for (i = 0; i < PROBE_SLEEPS; i++)
		EXPECT_FALSE(form(self, 60 * STEP_NS));
	/* The 33rd ignores what was learned, and fails; none of the next 31 does. */
	EXPECT_FALSE(form(self, 60 * STEP_NS));
	stage.longest = 0;
	for (i = 1; i < PROBE_SLEEPS; i++)
		EXPECT_FALSE(form(self, 10 * STEP_NS));
	EXPECT_GE(4 * STEP_NS, stage.longest);
	/* What comes then is found to be short. */
	for (i = 0; i < 100; i++)
		found += form(self, 10 * STEP_NS);
	EXPECT_EQ(100, found);
}

TEST_F(spin, sleeps_do_not_lengthen_it)
{
	start(self, _metadata, 1000000);
	check_sleeps(self, _metadata, spins);
	check_sleeps(self, _metadata, waits);
}

TEST_F(spin, sleeps_do_not_lengthen_that_for_a_counter)
{
	start(self, _metadata, 1000000);
	check_sleeps(self, _metadata, counts);
}

/* A nap here takes 20 us of processor time, so a spin 40 us, give or take what is learned. */
TEST_F(spin, not_longer_than_a_sleep_costs)
{
	unsigned int i, probes = 0;

	start(self, _metadata, 100000000);
	stage.nap_cost = 20000;
	for (i = 0; i < 2000; i++) {
		stage.longest = 0;
		EXPECT_FALSE(spins(self, 100 * STEP_NS));
		EXPECT_GE(50 * STEP_NS, stage.longest);
		if (i >= 1000 && stage.longest >= 35 * STEP_NS)
			probes++;
	}
	/* All in all it spins for a small part of what its sleeps cost. */
	EXPECT_LE(1000 / PROBE_SLEEPS, probes);
	EXPECT_GE(1000 / PROBE_SLEEPS + 1, probes);
}

TEST_F(spin, not_longer_than_the_attribute_says)
{
	int i;

	start(self, _metadata, 4 * STEP_NS);
	for (i = 0; i < 200; i++)
		EXPECT_FALSE(spins(self, 12 * STEP_NS));
	EXPECT_GE(8 * STEP_NS, stage.longest);
	EXPECT_EQ(0, stats(self).spins);
}

TEST_F(spin, off)
{
	start(self, _metadata, L3L2Q_SPIN_OFF);
	EXPECT_FALSE(spins(self, STEP_NS));
	EXPECT_FALSE(waits(self, STEP_NS));
	EXPECT_FALSE(counts(self, STEP_NS));
	EXPECT_EQ(0, stage.asked);
}

TEST_HARNESS_MAIN
