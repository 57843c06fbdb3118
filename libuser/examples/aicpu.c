// SPDX-License-Identifier: MIT
/*
 * L2 on an AICPU: doubles each 32-bit word of the messages that it receives and sends the
 * results back, until STOP. It needs core.h and no libc: of functions it calls memcpy and
 * memset alone.
 *
 * Memory: less than 10 KiB of static data and 3 KiB of stack. Of the data 8 KiB are 8 bytes
 * for each message of the largest depth (MAX_DEPTH), 256 bytes are 32 for each message of
 * the window and STOP, rounded up to a power of two (HELD), and the rest is the endpoint
 * with its two halves. Bodies stay in GM. To compile it:
 *
 *	aarch64-linux-gnu-gcc -std=c11 -O2 -ffreestanding -mno-outline-atomics -c aicpu.c
 */
#include <l3l2q/core.h>

#define WINDOW 4		/* L3 makes the queue at least as deep */
#define MAX_DEPTH 1024
#define HELD 8
#define WAIT_NS 100000000	/* a time-out reads L3's abort flag */

/*
 * Runs a kernel on AICores, which reads @nbytes at @in and writes as many at @out; 0 or
 * -errno. The kernel pushes its result out of its own cache before it sets its completion
 * flag. After the function has seen the flag it executes "dsb ld". AICores write whole
 * lines: L3 sends multiples of 64 bytes, so that no two results share one.
 */
typedef int (*aicore_fn)(const void *in, void *out, __u64 nbytes);

struct aicpu_task {
	const __u64 *scalars;		/* as the task received them: 12 or 10 */
	__u64 count;
	void *payload;			/* the two ranges, as they are mapped here */
	void *counters;
	int coherent;			/* the cache sees what L3 writes: a5, not a2a3 */
	l3l2q_cache_fn clean;		/* NULL for dc cvac and dc civac, on aarch64 */
	l3l2q_cache_fn invalidate;
	aicore_fn aicore;		/* NULL: this processor does the work */
};

int aicpu_run(const struct aicpu_task *task);

static struct endpoint {
	struct l3l2q_producer producer;
	struct l3l2q_consumer consumer;
	struct l3l2q_core core;
	__u64 starts[MAX_DEPTH];
	struct l3l2q_held held[HELD];
} ep;

_Static_assert(sizeof(ep) < 10 * 1024, "more than the first comment says");

/* Nanoseconds, from a counter that never stops. */
static __u64 now_ns(void *arg)
{
	(void)arg;
#if defined(__aarch64__)
	__u64 ticks, hz;

	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
	__asm__("mrs %0, cntfrq_el0" : "=r"(hz));
	return ticks / hz * 1000000000 + ticks % hz * 1000000000 / hz;
#elif defined(__x86_64__) || defined(__i386__)
	return __builtin_ia32_rdtsc(); /* for tests on a host: about the same */
#else
	return 0; /* time-outs never end */
#endif
}

/* Bodies lie at any byte, so words need not be aligned. */
static void double_words(const void *in, void *out, __u64 nbytes)
{
	__u64 i;

	for (i = 0; i < nbytes; i += sizeof(__u32)) {
		__u32 word;

		__builtin_memcpy(&word, (const char *)in + i, sizeof(word));
		word *= 2;
		__builtin_memcpy((char *)out + i, &word, sizeof(word));
	}
}

/* Wait for room until L3 has ended. A time-out changes nothing. */
static int reserve(__u64 nbytes, struct l3l2q_reservation *span)
{
	int ret;

	do
		ret = l3l2q_core_reserve(&ep.producer, nbytes, span, WAIT_NS, now_ns, 0);
	while (ret == -ETIMEDOUT);
	return ret;
}

/* The result is written in place. An ERROR without a body answers what cannot be doubled. */
static int answer(const struct aicpu_task *task, const struct l3l2q_message *m)
{
	struct l3l2q_reservation span;
	int ret = -EMSGSIZE;

	if (m->opcode == L3L2Q_OP_DATA && m->nbytes % sizeof(__u32) == 0)
		ret = reserve(m->nbytes, &span);
	if (ret == -EMSGSIZE) { /* also: larger than the output arena */
		ret = reserve(0, &span);
		return ret ? ret : l3l2q_core_commit(&ep.producer, &span, L3L2Q_OP_ERROR);
	}
	if (ret)
		return ret;
	/* AICores write GM, and not through this processor's cache. */
	if (task->aicore && m->nbytes) {
		ret = task->aicore(m->data, span.data, m->nbytes);
		return ret ? ret : l3l2q_core_commit_direct(&ep.producer, &span, L3L2Q_OP_DATA);
	}
	double_words(m->data, span.data, m->nbytes);
	return l3l2q_core_commit(&ep.producer, &span, L3L2Q_OP_DATA);
}

/* Acquire up to WINDOW messages, at least one: how many, or -errno. */
static int receive(struct l3l2q_message *m)
{
	int more, ret = l3l2q_core_peek(&ep.consumer, m, WAIT_NS, now_ns, 0);

	if (ret)
		return ret;
	more = l3l2q_core_peek_batch(&ep.consumer, m + 1, WINDOW - 1);
	return more > 0 ? 1 + more : 1; /* the next call repeats an error */
}

/* 0 once STOP and all before it are released. */
static int serve(const struct aicpu_task *task)
{
	struct l3l2q_message m[WINDOW];
	int i, n, ret;

	while (!ep.consumer.drained) {
		n = receive(m);
		if (n == -ETIMEDOUT)
			continue;
		if (n < 0)
			return n;
		for (i = 0; i < n; i++) {
			ret = m[i].opcode == L3L2Q_OP_STOP ? 0 : answer(task, &m[i]);
			if (ret)
				return ret;
		}
		ret = l3l2q_core_release_batch(&ep.consumer, m, n);
		if (ret)
			return ret;
	}
	return 0;
}

static int start(void)
{
	if (l3l2q_producer_memory(ep.core.layout.depth) > sizeof(ep.starts) ||
	    l3l2q_consumer_memory(WINDOW) > sizeof(ep.held))
		return -ENOMEM;
	l3l2q_core_producer_init(&ep.producer, &ep.core, ep.starts);
	return l3l2q_core_consumer_init(&ep.consumer, &ep.core, WINDOW, ep.held);
}

/* Serve one queue: 0 after STOP, else -errno. One call at a time. */
int aicpu_run(const struct aicpu_task *task)
{
	int ret = l3l2q_core_init_scalars(&ep.core, L3L2Q_ROLE_L2, task->scalars, task->count,
					  task->payload, task->counters);

	if (!ret && !task->coherent)
		ret = l3l2q_core_set_unsnooped(&ep.core, task->clean, task->invalidate);
	if (ret) /* refused: nothing was written to shared memory */
		return ret;
	ret = start();
	if (!ret)
		ret = serve(task);
	/* Errors of the queue have set the abort flag; this sets it for the others. */
	if (ret && !l3l2q_core_status(&ep.core))
		l3l2q_core_abort(&ep.core, L3L2Q_ERR_ENDPOINT_ERROR, "aicpu", "cannot go on");
	l3l2q_core_detach(&ep.core);
	return ret;
}
