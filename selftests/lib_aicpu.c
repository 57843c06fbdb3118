// SPDX-License-Identifier: MIT
/*
 * examples/aicpu.c as L2, against the library as L3 over plain memory. Where its cache does
 * not see L3's stores, it has a copy of the memory, and the functions that it gets for
 * cache maintenance move whole lines between the two, as a processor would.
 */
#include <pthread.h>

#include <l3l2q.h>

#include "proto_util.h"

#include "../libuser/examples/aicpu.c"

#define LONG_NS (60 * 1000000000ll)
#define DEPTH 8u
#define INPUT_BYTES 1024u
#define OUTPUT_BYTES 512u
#define LINE 64u

/* ---- a cache ------------------------------------------------------------- */

/* What L3 and AICores see, what L2 sees, and L2's lines as they were when they were loaded. */
static struct memory {
	unsigned char counters[L3L2Q_COUNTER_BYTES];
	unsigned char payload[2 * MAX_DEPTH * 2 * 32 + INPUT_BYTES + OUTPUT_BYTES];
} __attribute__((aligned(64))) gm, view, loaded;

static struct l3l2q_layout layout;
static uint64_t cleans, body_cleans, invalidates, strays, chance;

/*
 * Lines move as they do between caches: unseen by the sanitizers, while L3 may store
 * there, and no word in parts.
 */
static __attribute__((noinline, no_sanitize("thread"))) void line_copy(void *to, const void *from)
{
	const volatile uint64_t *in = from;
	volatile uint64_t *out = to;
	unsigned int i;

	for (i = 0; i < LINE / sizeof(*in); i++)
		out[i] = in[i];
}

/* True for lines that L2 may store to. */
static bool is_own(size_t at)
{
	size_t p = at - offsetof(struct memory, payload);

	if (at < offsetof(struct memory, payload))
		return at == L3L2Q_CTR_INPUT_HEAD || at == L3L2Q_CTR_OUTPUT_TAIL ||
		       at == L3L2Q_CTR_L2_ABORT;
	return (p >= layout.output_desc_offset && p < layout.input_arena_offset) ||
	       p >= layout.output_arena_offset;
}

static void line_clean(size_t at)
{
	if (!memcmp((char *)&view + at, (char *)&loaded + at, LINE))
		return;
	if (!is_own(at))
		strays++;
	line_copy((char *)&gm + at, (char *)&view + at);
	line_copy((char *)&loaded + at, (char *)&view + at);
}

static void line_invalidate(size_t at)
{
	line_clean(at);
	line_copy((char *)&view + at, (char *)&gm + at);
	line_copy((char *)&loaded + at, (char *)&view + at);
}

/* A cache may load, and write back, any line at any time. */
static void lines_do(void (*act)(size_t at), const void *address, uint64_t n)
{
	size_t from = (size_t)((const char *)address - (char *)&view), at;

	l3l2q_full_barrier();
	line_invalidate(rnd_below(&chance, sizeof(view) / LINE) * LINE);
	for (at = from & ~(size_t)(LINE - 1); at < from + n; at += LINE)
		act(at);
	l3l2q_full_barrier();
}

static void clean(const void *address, __u64 n)
{
	cleans++;
	if ((const unsigned char *)address >= view.payload + layout.output_arena_offset)
		body_cleans++;
	lines_do(line_clean, address, n);
}

static void invalidate(const void *address, __u64 n)
{
	invalidates++;
	lines_do(line_invalidate, address, n);
}

/* ---- AICores --------------------------------------------------------------- */

static uint64_t launches, fails_at;
static bool unsnooped;

/* Works on GM, past L2's cache. */
static __attribute__((no_sanitize("thread"))) int aicore(const void *in, void *out, __u64 nbytes)
{
	size_t from = (size_t)((const char *)in - (char *)&view);
	size_t to = (size_t)((char *)out - (char *)&view), i;
	uint64_t line[LINE / sizeof(uint64_t)];

	if (++launches == fails_at)
		return -ENXIO;
	if (!unsnooped) {
		double_words(in, out, nbytes);
		return 0;
	}
	l3l2q_full_barrier();
	for (i = 0; i < nbytes; i += LINE) {
		line_copy(line, (char *)&gm + from + i);
		double_words(line, line, LINE);
		line_copy((char *)&gm + to + i, line);
	}
	l3l2q_full_barrier();
	return 0;
}

/* ---- both sides ------------------------------------------------------------ */

FIXTURE(aicpu) {
	struct l3l2q_external ext;
	struct aicpu_task task;
	struct l3l2q_ep *ep;
	struct l3l2q_producer *p;
	struct l3l2q_consumer *c;
	pthread_t l2;
	__u64 scalars[L3L2Q_SCALARS];
	int result;
};

FIXTURE_VARIANT(aicpu) {
	uint32_t binding;
	bool coherent;
	bool aicore;
};

FIXTURE_VARIANT_ADD(aicpu, l3q2_coherent) { L3L2Q_BINDING_L3Q2, true, false };
FIXTURE_VARIANT_ADD(aicpu, l3q2_unsnooped) { L3L2Q_BINDING_L3Q2, false, false };
FIXTURE_VARIANT_ADD(aicpu, l3q2_coherent_aicore) { L3L2Q_BINDING_L3Q2, true, true };
FIXTURE_VARIANT_ADD(aicpu, l3q2_unsnooped_aicore) { L3L2Q_BINDING_L3Q2, false, true };
FIXTURE_VARIANT_ADD(aicpu, spsq_coherent) { L3L2Q_BINDING_SPSQ, true, false };
FIXTURE_VARIANT_ADD(aicpu, spsq_unsnooped) { L3L2Q_BINDING_SPSQ, false, false };
FIXTURE_VARIANT_ADD(aicpu, spsq_coherent_aicore) { L3L2Q_BINDING_SPSQ, true, true };
FIXTURE_VARIANT_ADD(aicpu, spsq_unsnooped_aicore) { L3L2Q_BINDING_SPSQ, false, true };

/* Describe a queue over the memory, which is as its creator leaves it; -1 if it does not fit. */
static int describe(FIXTURE_DATA(aicpu) *self, const FIXTURE_VARIANT(aicpu) *variant,
		    uint64_t depth)
{
	const __u64 identity[2] = { SPSQ_SESSION, SPSQ_TRANSACTION };
	struct l3l2q_region_desc region;
	struct l3l2q_queue_desc queue;
	unsigned int i;

	if (l3l2q_layout_make(depth, INPUT_BYTES, OUTPUT_BYTES, &layout) ||
	    layout.payload_bytes > sizeof(gm.payload))
		return -1;
	memset(&gm, 0xa5, sizeof(gm));
	memset(gm.counters, 0, sizeof(gm.counters));
	/* L2's cache starts with what was there before */
	memset(&view, 0x5a, sizeof(view));
	loaded = view;
	unsnooped = !variant->coherent;
	cleans = body_cleans = invalidates = strays = launches = fails_at = 0;
	scalars_make(&region, &queue, &layout);
	self->ext.scalar_count = l3l2q_binding_scalars(variant->binding, identity, &region, &queue,
						       self->scalars);
	for (i = 0; i < L3L2Q_SCALARS; i++)
		self->ext.scalars[i] = self->scalars[i];
	self->ext.payload = gm.payload;
	self->ext.counters = gm.counters;
	self->ext.role = L3L2Q_ROLE_L3;
	self->task = (struct aicpu_task){
		.scalars = self->scalars, .count = self->ext.scalar_count,
		.payload = unsnooped ? view.payload : gm.payload,
		.counters = unsnooped ? view.counters : gm.counters,
		.coherent = variant->coherent, .clean = clean, .invalidate = invalidate,
		.aicore = variant->aicore ? aicore : NULL,
	};
	return 0;
}

static void *l2_main(void *arg)
{
	FIXTURE_DATA(aicpu) *self = arg;

	self->result = aicpu_run(&self->task);
	return NULL;
}

static int l2_end(FIXTURE_DATA(aicpu) *self)
{
	pthread_join(self->l2, NULL);
	return self->result;
}

FIXTURE_SETUP(aicpu)
{
	ASSERT_EQ(0, describe(self, variant, DEPTH));
	ASSERT_EQ(0, l3l2q_attach_external(&self->ep, &self->ext, NULL, NULL));
	self->p = l3l2q_ep_producer(self->ep);
	self->c = l3l2q_ep_consumer(self->ep);
}

FIXTURE_TEARDOWN(aicpu)
{
	l3l2q_close(self->ep);
	/* L2's stores never reach memory that is L3's to write */
	EXPECT_EQ(0, strays);
	if (variant->coherent)
		EXPECT_EQ(0, cleans + invalidates);
}

/* ---- messages --------------------------------------------------------------- */

/* Length of message @i: some are no whole words, and some are larger than the answer may be. */
static uint64_t length_of(uint64_t i, bool lines)
{
	uint64_t r = mix(i) % 100;

	if (lines)
		return mix(i + 1) % (r < 5 ? 16 : r < 20 ? 9 : 4) * LINE;
	if (r < 4)
		return 4 * (mix(i + 1) % (INPUT_BYTES / 4)) + mix(i + 2) % 4;
	return r < 10 ? OUTPUT_BYTES : 4 * (mix(i + 1) % 24);
}

static bool is_refused(uint64_t nbytes)
{
	return nbytes % 4 || nbytes > OUTPUT_BYTES;
}

/* True if @m, with its body, answers message @i. */
static bool is_answer(const struct l3l2q_message *m, const void *body, uint64_t i, uint64_t nbytes)
{
	uint32_t sent[INPUT_BYTES / 4], got[INPUT_BYTES / 4];
	uint64_t w;

	if (is_refused(nbytes))
		return m->opcode == L3L2Q_OP_ERROR && !m->nbytes;
	if (m->opcode != L3L2Q_OP_DATA || m->nbytes != nbytes)
		return false;
	body_fill(sent, nbytes, i);
	memcpy(got, body, nbytes);
	for (w = 0; w < nbytes / 4; w++)
		if (got[w] != sent[w] * 2)
			return false;
	return true;
}

TEST_F(aicpu, a_stream_is_answered_until_stop)
{
	uint64_t n = messages() / 100, sent = 0, i, nbytes;
	struct l3l2q_message m;
	char body[INPUT_BYTES];
	int ret = 0;

	pthread_create(&self->l2, NULL, l2_main, self);
	for (i = 0; i < n; i++) {
		for (ret = 0; sent < n && !ret; sent += !ret) {
			nbytes = length_of(sent, variant->aicore);
			body_fill(body, nbytes, sent);
			/* L2 may have answered all, and not released it yet */
			ret = l3l2q_enqueue(self->p, L3L2Q_OP_DATA, nbytes ? body : NULL, nbytes,
					    sent == i ? LONG_NS : 1);
		}
		ASSERT_TRUE(!ret || ret == -ETIMEDOUT);
		ASSERT_EQ(0, l3l2q_dequeue(self->c, &m, body, sizeof(body), LONG_NS));
		ASSERT_TRUE(is_answer(&m, body, i, length_of(i, variant->aicore))) {
			TH_LOG("message %llu", (unsigned long long)i);
		}
	}
	ASSERT_EQ(0, l3l2q_stop(self->p, LONG_NS));
	EXPECT_EQ(0, l2_end(self));
	EXPECT_EQ(-EAGAIN, l3l2q_try_dequeue(self->c, &m, body, sizeof(body)));
	/* STOP was released too */
	EXPECT_EQ((int32_t)n + 1, *(int32_t *)(gm.counters + L3L2Q_CTR_INPUT_HEAD));
	EXPECT_EQ(0, *(int32_t *)(gm.counters + L3L2Q_CTR_L2_ABORT));
	if (!variant->coherent) {
		EXPECT_LT(n, cleans);
		EXPECT_LT(n, invalidates);
	}
	if (variant->aicore) {
		EXPECT_LT(0, launches);
		/* bodies that L2 has not written are left alone, but for the detach */
		EXPECT_EQ(variant->coherent ? 0 : 1, body_cleans);
	}
}

/* Longer than a time-out of L2 nothing comes, and then nothing is taken. */
TEST_F(aicpu, time_outs_change_nothing)
{
	/* blocked, L2 may have answered all but one of a window, and released none of them */
	const unsigned int most = 2 * DEPTH - (WINDOW - 1);
	const struct timespec pause = { 0, 3 * WAIT_NS };
	struct l3l2q_message m;
	char body[LINE] = "";
	unsigned int i;

	pthread_create(&self->l2, NULL, l2_main, self);
	nanosleep(&pause, NULL);
	for (i = 0; i < most; i++)
		ASSERT_EQ(0, l3l2q_enqueue(self->p, L3L2Q_OP_DATA, body, LINE, LONG_NS));
	nanosleep(&pause, NULL);
	for (i = 0; i < most; i++)
		ASSERT_EQ(0, l3l2q_dequeue(self->c, &m, body, sizeof(body), LONG_NS));
	ASSERT_EQ(0, l3l2q_stop(self->p, LONG_NS));
	EXPECT_EQ(0, l2_end(self));
}

/* With L3Q2 an ERROR may come in; L2 answers it as a body that it cannot use. */
TEST_F(aicpu, an_error_is_answered_by_one)
{
	struct l3l2q_message m;
	char body[8] = "";
	int want = variant->binding == L3L2Q_BINDING_L3Q2 ? 0 : -EINVAL;

	pthread_create(&self->l2, NULL, l2_main, self);
	ASSERT_EQ(want, l3l2q_enqueue(self->p, L3L2Q_OP_ERROR, body, sizeof(body), LONG_NS));
	if (!want) {
		ASSERT_EQ(0, l3l2q_dequeue(self->c, &m, body, sizeof(body), LONG_NS));
		EXPECT_EQ(L3L2Q_OP_ERROR, m.opcode);
		EXPECT_EQ(0, m.nbytes);
	}
	ASSERT_EQ(0, l3l2q_stop(self->p, LONG_NS));
	EXPECT_EQ(0, l2_end(self));
}

TEST_F(aicpu, an_abort_of_l3_ends_it)
{
	pthread_create(&self->l2, NULL, l2_main, self);
	ASSERT_EQ(0, l3l2q_abort(self->ep));
	EXPECT_EQ(-ECONNABORTED, l2_end(self));
	EXPECT_EQ(0, *(int32_t *)(gm.counters + L3L2Q_CTR_L2_ABORT));
}

/* A failure that is the program's own is told to L3. */
TEST_F(aicpu, a_kernel_that_fails_aborts)
{
	struct l3l2q_message m;
	char body[LINE] = "";

	if (!variant->aicore)
		SKIP(return, "no kernels");
	fails_at = 2;
	pthread_create(&self->l2, NULL, l2_main, self);
	ASSERT_EQ(0, l3l2q_enqueue(self->p, L3L2Q_OP_DATA, body, LINE, LONG_NS));
	ASSERT_EQ(0, l3l2q_enqueue(self->p, L3L2Q_OP_DATA, body, LINE, LONG_NS));
	ASSERT_EQ(0, l3l2q_dequeue(self->c, &m, body, sizeof(body), LONG_NS));
	EXPECT_EQ(-ECONNABORTED, l3l2q_dequeue(self->c, &m, body, sizeof(body), LONG_NS));
	EXPECT_EQ(-ENXIO, l2_end(self));
}

/* A queue that is larger than the program's memory: L3 learns of that too. */
TEST_F(aicpu, a_depth_beyond_its_memory)
{
	ASSERT_EQ(0, describe(self, variant, 2 * MAX_DEPTH));
	EXPECT_EQ(-ENOMEM, aicpu_run(&self->task));
	EXPECT_EQ(1, *(int32_t *)(gm.counters + L3L2Q_CTR_L2_ABORT));
	ASSERT_EQ(0, describe(self, variant, MAX_DEPTH));
	*(int32_t *)(gm.counters + L3L2Q_CTR_L3_ABORT) = 1;
	EXPECT_EQ(-ECONNABORTED, aicpu_run(&self->task));
}

/* What is refused is refused before anything is written. */
TEST_F(aicpu, a_refusal_writes_nothing)
{
	static struct memory before;

	before = gm;
	self->task.count--;
	EXPECT_EQ(-EPROTO, aicpu_run(&self->task));
	self->task.count++;
	self->scalars[0] ^= 1ull << 63; /* the magic number */
	EXPECT_EQ(-EPROTO, aicpu_run(&self->task));
	self->scalars[0] ^= 1ull << 63;
	if (!variant->coherent) {
		self->task.clean = NULL;
		EXPECT_EQ(-EINVAL, aicpu_run(&self->task));
		self->task.invalidate = NULL;
		if (!L3L2Q_CACHE_OPS)
			EXPECT_EQ(-EINVAL, aicpu_run(&self->task));
		ASSERT_EQ(0, describe(self, variant, 1));
		before = gm;
		EXPECT_EQ(-EINVAL, aicpu_run(&self->task));
	}
	EXPECT_EQ(0, memcmp(&before, &gm, sizeof(gm)));
	EXPECT_EQ(0, cleans + invalidates);
}

TEST_HARNESS_MAIN
