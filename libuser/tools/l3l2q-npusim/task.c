// SPDX-License-Identifier: MIT
/*
 * L2 tasks: a thread each, with the protocol core alone over the NPU's memory, as
 * a program on the AICPU would have it.
 */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <l3l2q/core.h>

#include "npusim.h"

#define SLICE_MS	100	/* a sleeper looks again, rung or not */
#define NAP_MIN_NS	20000u
#define NAP_MAX_NS	500000u
#define SPIN_TURNS	256
#define WINDOW_HELD	4	/* of NPU_WINDOW */

/* An input that an NPU_WINDOW task holds. */
struct held {
	struct l3l2q_message m;
	struct npu_input input;	/* request 0: none */
};

/**
 * struct task - an L2 endpoint and its thread
 * @core: the endpoint
 * @out: sends
 * @in: receives
 * @books: memory of theirs
 * @npu: for ringing
 * @job: what it was told, a copy
 * @id: its number
 * @mailbox: where it was launched from
 * @payload_at: its region's place in our memory
 * @counters_at: the same
 * @thread: runs it
 * @joined: no more
 * @wake: eventfd: somebody rang, or wants it to stop
 * @stop: the latter
 * @state: enum npu_state; stored last
 * @pending: messages that the next flush makes visible, or lets go of
 * @nap_ns: how long the last nap was
 * @turns: looks since there was something
 * @slept: through a whole slice, and not rung
 * @count: what the reply will say
 * @held: by NPU_WINDOW: the one to HOLD, the PAIR
 */
struct task {
	struct l3l2q_core core;
	struct l3l2q_producer out;
	struct l3l2q_consumer in;
	void *books;
	struct npu *npu;
	struct npu_request job;
	uint32_t id;
	uint32_t mailbox;
	uint64_t payload_at;
	uint64_t counters_at;
	pthread_t thread;
	bool joined;
	int wake;
	bool stop;
	uint32_t state;
	uint32_t pending;
	uint32_t nap_ns;
	uint32_t turns;
	bool slept;
	struct npu_reply count;
	struct held held[3];
};

/* How serving ended, beside 0 and the core's errors. */
enum { TASK_STOPPED = 1, TASK_CRASHED, TASK_GONE };

static bool rings(const struct task *t)
{
	return t->job.flags & NPU_RING && t->npu->vectors && !t->npu->silent;
}

/* Any thread may read what only ours counts. */
static void add(__u64 *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static bool stopping(const struct task *t)
{
	return __atomic_load_n(&t->stop, __ATOMIC_ACQUIRE);
}

static bool counters_are_ours(const struct task *t)
{
	return l3l2q_load_counter(t->out.tail_counter) == (__u32)l3l2q_producer_published(&t->out) &&
	       l3l2q_load_counter(t->in.head_counter) == (__u32)t->in.head;
}

/*
 * Nobody but us writes our counters. If they are not what we stored, the queue
 * is no more, and its memory somebody else's, who is not to be disturbed. L3's may
 * be the first that goes back: a moment later ours are seen to have gone, too.
 */
static bool recycled(const struct task *t)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	__u64 tail = t->in.tail;

	if (l3l2q_reconstruct(l3l2q_load_counter(t->in.tail_counter), t->in.mask + 1, &tail))
		nanosleep(&moment, NULL);
	return !counters_are_ours(t);
}

/* ---- waiting ----------------------------------------------------------- */

static void ring(struct task *t)
{
	if (rings(t) && server_ring(t->npu, t->core.region_id))
		add(&t->count.rings, 1);
}

/* One ring for all that a batch stored. Whether there was anything. */
static bool flush(struct task *t)
{
	if (!t->pending)
		return false;
	t->pending = 0;
	l3l2q_core_publish(&t->out);
	l3l2q_core_retire(&t->in);
	ring(t);
	return true;
}

static void sleep_until_rung(struct task *t)
{
	struct pollfd pfd = { .fd = t->wake, .events = POLLIN };
	eventfd_t count;

	add(&t->count.sleeps, 1);
	t->slept = poll(&pfd, 1, SLICE_MS) == 0;
	eventfd_read(t->wake, &count);
}

static void nap(struct task *t)
{
	struct timespec ts = { 0 };

	if (++t->turns < SPIN_TURNS) {
		l3l2q_relax();
		return;
	}
	t->nap_ns = t->nap_ns < NAP_MIN_NS ? NAP_MIN_NS : t->nap_ns * 2;
	if (t->nap_ns > NAP_MAX_NS)
		t->nap_ns = NAP_MAX_NS;
	ts.tv_nsec = t->nap_ns;
	nanosleep(&ts, NULL);
}

/* Nothing to do: wait until there may be. */
static int idle(struct task *t)
{
	if (stopping(t))
		return TASK_STOPPED;
	if (recycled(t))
		return TASK_GONE;
	if (l3l2q_core_peer_aborted(&t->core))
		return l3l2q_core_remote_abort(&t->core, "wait");
	if (rings(t))
		sleep_until_rung(t);
	else
		nap(t);
	return recycled(t) ? TASK_GONE : 0;
}

static void busy(struct task *t)
{
	if (t->slept)
		add(&t->count.late, 1);
	t->slept = false;
	t->turns = 0;
	t->nap_ns = 0;
}

/* Time that the work takes; a stop cuts it short. */
static int delay(struct task *t)
{
	uint64_t now = clock_ns(), until = now + (uint64_t)t->job.delay_us * 1000, left;
	struct timespec ts = { 0 };

	while (now < until && !stopping(t)) {
		left = until - now;
		ts.tv_nsec = (long)(left < 10 * NSEC_PER_MSEC ? left : 10 * NSEC_PER_MSEC);
		nanosleep(&ts, NULL);
		now = clock_ns();
	}
	return stopping(t) ? TASK_STOPPED : 0;
}

/* What is held back may be what the other side waits for. */
static int no_progress(struct task *t)
{
	return flush(t) ? 0 : idle(t);
}

static int next_input(struct task *t, struct l3l2q_message *m)
{
	int ret;

	for (;;) {
		if (stopping(t))
			return TASK_STOPPED;
		ret = l3l2q_core_try_peek(&t->in, m);
		if (ret != -EAGAIN)
			break;
		ret = no_progress(t);
		if (ret)
			return ret;
	}
	busy(t);
	return ret;
}

static int next_span(struct task *t, uint64_t nbytes, struct l3l2q_reservation *span)
{
	int ret;

	for (;;) {
		ret = l3l2q_core_try_reserve(&t->out, nbytes, span);
		if (ret != -EAGAIN)
			break;
		ret = no_progress(t);
		if (ret)
			return ret;
	}
	busy(t);
	return ret;
}

/* ---- sending and letting go -------------------------------------------- */

static int commit(struct task *t, const struct l3l2q_reservation *span, uint32_t opcode)
{
	int ret = l3l2q_core_commit(&t->out, span, opcode);

	if (ret)
		return ret;
	add(&t->count.sent, 1);
	add(&t->count.sent_bytes, span->nbytes);
	return 0;
}

/* One message is done. */
static int release(struct task *t, const struct l3l2q_message *m)
{
	int ret = l3l2q_core_complete(&t->in, m);

	if (ret)
		return ret;
	if (++t->pending >= t->job.batch)
		flush(t);
	return 0;
}

/* In words, what was wrong with an input. */
static int refuse(struct task *t, const struct l3l2q_message *m, const char *words)
{
	struct l3l2q_reservation span;
	uint64_t n = strlen(words);
	int ret;

	if (n > t->core.layout.output_arena_bytes)
		n = t->core.layout.output_arena_bytes;
	ret = next_span(t, n, &span);
	if (ret)
		return ret;
	memcpy(span.data, words, n);
	ret = commit(t, &span, L3L2Q_OP_ERROR);
	return ret ? ret : release(t, m);
}

/* ---- the kinds of task ------------------------------------------------- */

static float add_floats(const unsigned char *at, float to)
{
	float x;

	memcpy(&x, at, sizeof(x));
	return x + to;
}

static void add_f32(const unsigned char *from, unsigned char *to, uint64_t n, float scalar)
{
	uint64_t i;
	float sum;

	for (i = 0; i + sizeof(sum) <= n; i += sizeof(sum)) {
		sum = add_floats(from + i, scalar);
		memcpy(to + i, &sum, sizeof(sum));
	}
	memcpy(to + i, from + i, n - i);
}

static void transform(const struct task *t, const unsigned char *from, unsigned char *to,
		      uint64_t n)
{
	uint32_t bits = (uint32_t)t->job.arg;
	float scalar;
	uint64_t i;

	switch (t->job.kind) {
	case NPU_XOR_U8:
		for (i = 0; i < n; i++)
			to[i] = from[i] ^ (unsigned char)bits;
		break;
	case NPU_ADD_F32:
		memcpy(&scalar, &bits, sizeof(scalar));
		add_f32(from, to, n, scalar);
		break;
	default:
		memcpy(to, from, n);
	}
}

static int serve_one(struct task *t, const struct l3l2q_message *m)
{
	struct l3l2q_reservation span;
	int ret = next_span(t, m->nbytes, &span);

	if (ret == -EMSGSIZE)
		return refuse(t, m, "larger than the output arena");
	if (ret)
		return ret;
	if (m->nbytes)
		transform(t, m->data, span.data, m->nbytes);
	ret = commit(t, &span, m->opcode);
	return ret ? ret : release(t, m);
}

static int serve_sink(struct task *t, const struct l3l2q_message *m)
{
	uint64_t sum = npu_checksum(t->count.checksum, m->data, m->nbytes);

	__atomic_store_n(&t->count.checksum, sum, __ATOMIC_RELAXED);
	return release(t, m);
}

/* One answer: the floats of @a plus @scalar, or plus those of @b. */
static int send_answer(struct task *t, const struct held *a, const struct held *b,
		       uint64_t kind, float scalar)
{
	const unsigned char *one = a->m.data, *two = b ? b->m.data : NULL;
	struct npu_output header = {
		.request = a->input.request,
		.kind = kind,
		.aux = b ? b->input.request : 0,
	};
	uint64_t n = a->m.nbytes, i;
	struct l3l2q_reservation span;
	unsigned char *to;
	float x;
	int ret;

	ret = next_span(t, n, &span);
	if (ret)
		return ret;
	to = span.data;
	memset(to, 0, NPU_TILE_OFFSET);
	memcpy(to, &header, sizeof(header));
	for (i = NPU_TILE_OFFSET; i < n; i += sizeof(x)) {
		if (two)
			memcpy(&scalar, two + i, sizeof(scalar));
		x = add_floats(one + i, scalar);
		memcpy(to + i, &x, sizeof(x));
	}
	ret = commit(t, &span, L3L2Q_OP_DATA);
	if (ret)
		return ret;
	/* each answer goes out by itself, as the reference's do */
	l3l2q_core_publish(&t->out);
	ring(t);
	return 0;
}

static int let_go(struct task *t, struct held *held)
{
	held->input.request = 0;
	return release(t, &held->m);
}

static int serve_flush(struct task *t, struct held *flush_it)
{
	struct held *hold = &t->held[0];
	int ret = send_answer(t, flush_it, NULL, NPU_ANSWER_FLUSH, NPU_ANSWER_FLUSH);

	if (!ret)
		ret = let_go(t, flush_it);
	if (!ret)
		ret = send_answer(t, hold, NULL, NPU_ANSWER_HELD, NPU_ANSWER_HELD);
	if (!ret)
		ret = send_answer(t, hold, NULL, NPU_ANSWER_HELD_AGAIN, NPU_ANSWER_HELD_AGAIN);
	return ret ? ret : let_go(t, hold);
}

static int serve_window(struct task *t, const struct l3l2q_message *m)
{
	struct held new = { .m = *m }, *pair = &t->held[1];

	if (m->opcode != L3L2Q_OP_DATA || m->nbytes < NPU_TILE_OFFSET ||
	    m->nbytes % sizeof(float) || m->nbytes > t->core.layout.output_arena_bytes)
		return refuse(t, m, "not a request");
	memcpy(&new.input, m->data, sizeof(new.input));
	if (!new.input.request)
		return refuse(t, m, "no number");
	switch (new.input.mode) {
	case NPU_MODE_HOLD:
		if (t->held[0].input.request)
			return refuse(t, m, "one is held already");
		t->held[0] = new;
		return 0;
	case NPU_MODE_FLUSH:
		if (!t->held[0].input.request)
			return refuse(t, m, "none is held");
		return serve_flush(t, &new);
	case NPU_MODE_PAIR:
		if (pair[0].input.request && pair[0].m.nbytes != m->nbytes)
			return refuse(t, m, "a pair of different sizes");
		if (pair[1].input.request)
			return refuse(t, m, "the pair is complete");
		pair[!!pair[0].input.request] = new;
		return 0;
	default:
		return refuse(t, m, "no such mode");
	}
}

/* STOP came: what is held is answered before that is released. */
static int finish_window(struct task *t)
{
	struct held *pair = &t->held[1];
	int ret = 0, i;

	if (pair[1].input.request) {
		ret = send_answer(t, &pair[0], &pair[1], NPU_ANSWER_PAIR, 0);
		for (i = 0; i < 2 && !ret; i++)
			ret = let_go(t, &pair[i]);
	}
	for (i = 0; i < 2 && !ret; i++)
		if (t->held[i].input.request)
			ret = refuse(t, &t->held[i].m, "never completed");
	return ret;
}

/* ---- crashing ---------------------------------------------------------- */

static uint64_t random_word(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void scribble_over(unsigned char *at, uint64_t bytes, uint64_t *state)
{
	uint64_t word = random_word(state), small = random_word(state);

	/* small numbers do more harm than large ones */
	if (small % 2)
		word &= 0xff;
	__atomic_store_n((uint64_t *)(void *)(at + random_word(state) % (bytes / 8) * 8), word,
			 __ATOMIC_RELAXED);
}

static void scribble(struct task *t)
{
	const struct l3l2q_layout *l = &t->core.layout;
	uint64_t state = t->job.arg | 1, round, i;

	for (round = 0; round < t->job.arg2 && !stopping(t); round++) {
		for (i = 0; i < 64; i++) {
			if (t->job.flags & NPU_SCRIBBLE_COUNTERS)
				scribble_over(t->core.counters, l->counter_bytes, &state);
			if (t->job.flags & NPU_SCRIBBLE_RINGS)
				scribble_over(t->core.payload, l->input_arena_offset, &state);
			if (t->job.flags & NPU_SCRIBBLE_ARENAS)
				scribble_over(t->core.payload + l->input_arena_offset,
					      l->payload_bytes - l->input_arena_offset, &state);
		}
		ring(t);
		sched_yield();
	}
}

static int crash(struct task *t)
{
	flush(t);
	say("task %u crashes, as told", t->id);
	switch (t->job.end) {
	case NPU_END_EXIT:
		_exit(NPU_EXIT_TOLD);
	case NPU_END_ABORT:
		l3l2q_core_abort(&t->core, L3L2Q_ERR_ENDPOINT_ERROR, "task", "told to crash");
		ring(t);
		break;
	case NPU_END_SCRIBBLE:
		scribble(t);
		break;
	}
	return TASK_CRASHED;
}

/* ---- running ----------------------------------------------------------- */

static int serve_message(struct task *t, const struct l3l2q_message *m)
{
	add(&t->count.received, 1);
	add(&t->count.received_bytes, m->nbytes);
	switch (t->job.kind) {
	case NPU_SINK: return serve_sink(t, m);
	case NPU_WINDOW: return serve_window(t, m);
	default: return serve_one(t, m);
	}
}

static int serve_stop(struct task *t, const struct l3l2q_message *m)
{
	int ret = t->job.kind == NPU_WINDOW ? finish_window(t) : 0;

	if (!ret)
		ret = l3l2q_core_complete(&t->in, m);
	t->pending++;
	flush(t);
	return ret;
}

static int serve(struct task *t)
{
	struct l3l2q_message m;
	int ret;

	while (!t->in.drained) {
		if (t->job.end && t->count.received >= t->job.end_after)
			return crash(t);
		ret = next_input(t, &m);
		if (!ret && m.opcode == L3L2Q_OP_STOP) {
			ret = serve_stop(t, &m);
		} else if (!ret) {
			ret = delay(t);
			if (!ret)
				ret = serve_message(t, &m);
		}
		if (ret)
			return ret;
	}
	return 0;
}

static uint32_t state_after(int ret)
{
	switch (ret) {
	case 0: return NPU_DONE;
	case TASK_STOPPED: return NPU_STOPPED;
	case TASK_CRASHED: return NPU_CRASHED;
	case TASK_GONE: return NPU_GONE;
	default: return NPU_FAILED;
	}
}

static void *run(void *arg)
{
	static const char *const names[] = {
		"", "", "is done", "failed", "was stopped", "has crashed", "lost its memory",
	};
	struct task *t = arg;
	int ret = serve(t);

	if (ret < 0)
		ring(t); /* there may be an abort flag to look at */
	say("task %u %s: %" PRIu64 " messages in, %" PRIu64 " out%s%s", t->id,
	    names[state_after(ret)], (uint64_t)t->count.received, (uint64_t)t->count.sent,
	    ret < 0 ? ": " : "", ret < 0 ? t->core.error.message : "");
	__atomic_store_n(&t->state, state_after(ret), __ATOMIC_RELEASE);
	eventfd_write(t->npu->ended_fd, 1);
	return NULL;
}

/* ---- launching --------------------------------------------------------- */

/* Does [address, address + bytes) lie in our memory, and where? */
static bool place(const struct npu *npu, const struct mailbox *box, uint64_t address,
		  uint64_t bytes, uint64_t align, uint64_t *at)
{
	*at = address - box->gm;
	return *at % align == 0 && *at <= npu->size && bytes <= npu->size - *at;
}

static bool overlaps(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
	return a < b + b_bytes && b < a + a_bytes;
}

static bool same_memory(const struct task *a, const struct task *b)
{
	const struct l3l2q_layout *l = &a->core.layout, *m = &b->core.layout;

	return overlaps(a->payload_at, l->payload_bytes, b->payload_at, m->payload_bytes) ||
	       overlaps(a->payload_at, l->payload_bytes, b->counters_at, m->counter_bytes) ||
	       overlaps(a->counters_at, l->counter_bytes, b->payload_at, m->payload_bytes) ||
	       overlaps(a->counters_at, l->counter_bytes, b->counters_at, m->counter_bytes);
}

static int bad(struct npu_reply *reply, int ret, const char *words)
{
	snprintf(reply->text, sizeof(reply->text), "%s", words);
	return ret;
}

static int check_job(struct npu_request *job, struct npu_reply *reply)
{
	if (!job->window)
		job->window = 1;
	if (!job->batch)
		job->batch = 1;
	if (job->flags & ~NPU_FLAGS || job->kind > NPU_WINDOW || job->end > NPU_END_SCRIBBLE)
		return bad(reply, -EINVAL, "unknown flag, kind or end");
	if (job->batch > job->window)
		return bad(reply, -EINVAL, "a batch larger than the window");
	if (job->kind == NPU_WINDOW && job->window < WINDOW_HELD)
		return bad(reply, -EINVAL, "this kind needs a window of 4");
	return 0;
}

static bool l3_has_begun(const struct task *t)
{
	return l3l2q_load_counter(t->in.tail_counter) || l3l2q_load_counter(t->out.head_counter);
}

/*
 * A removal tells us nothing: until it noticed, a task before us may have stored
 * into what is our queue by now. Nobody has looked at that yet.
 */
static void clear_counters(const struct task *t)
{
	l3l2q_store_counter(t->out.tail_counter, 0);
	l3l2q_store_counter(t->in.head_counter, 0);
	l3l2q_store_counter(l3l2q_core_counter(&t->core, L3L2Q_CTR_L2_ABORT), 0);
}

static int attach(struct task *t, const struct mailbox *box, struct npu_reply *reply)
{
	bool spsq = t->job.scalars[0] == L3L2Q_SPSQ_VERSION;
	struct l3l2q_region_desc region;
	struct l3l2q_queue_desc queue;
	__u64 identity[2];
	uint64_t books;

	if (l3l2q_binding_parse(t->job.scalars, spsq ? L3L2Q_SPSQ_SCALARS : L3L2Q_SCALARS, identity,
				&region, &queue))
		return bad(reply, -EPROTO, "scalars of two bindings");
	if (!place(t->npu, box, region.payload_base, region.payload_bytes, 8, &t->payload_at) ||
	    !place(t->npu, box, region.counter_base, region.counter_bytes, L3L2Q_LINE_BYTES,
		   &t->counters_at))
		return bad(reply, -ERANGE, "not in this NPU's memory");
	if (l3l2q_core_start(&t->core, L3L2Q_ROLE_L2, &region, &queue, identity,
			     t->npu->gm + t->payload_at, t->npu->gm + t->counters_at))
		return bad(reply, -EPROTO, t->core.error.message);
	if (spsq)
		t->core.region_id = t->job.region_id;
	if (t->job.window > t->core.layout.depth)
		return bad(reply, -EINVAL, "a window larger than the depth");
	books = l3l2q_producer_memory(t->core.layout.depth);
	t->books = malloc(books + l3l2q_consumer_memory(t->job.window));
	if (!t->books)
		return -ENOMEM;
	l3l2q_core_producer_init(&t->out, &t->core, t->books);
	t->out.batching = 1;
	if (l3l2q_core_consumer_init(&t->in, &t->core, t->job.window, (char *)t->books + books))
		return bad(reply, -EINVAL, "a window larger than the depth");
	if (!l3_has_begun(t) || counters_are_ours(t))
		return 0;
	return bad(reply, -EPROTO, "the queue was used before");
}

static void destroy(struct task *t)
{
	if (t->wake >= 0)
		close(t->wake);
	free(t->books);
	free(t);
}

/* A free place, or that of a task which has ended longest ago; or -1. */
static int find_place(struct npu *npu)
{
	int i, oldest = -1;

	for (i = 0; i < MAX_TASKS; i++) {
		if (!npu->task[i])
			return i;
		if (task_ended(npu->task[i]) &&
		    (oldest < 0 || npu->task[i]->id < npu->task[oldest]->id))
			oldest = i;
	}
	if (oldest < 0)
		return -1;
	task_end(npu->task[oldest]);
	destroy(npu->task[oldest]);
	npu->task[oldest] = NULL;
	return oldest;
}

/* Whoever works on memory that is given to us now does so by mistake. */
static void evict(struct npu *npu, const struct task *t)
{
	int i;

	for (i = 0; i < MAX_TASKS; i++)
		if (npu->task[i] && !task_ended(npu->task[i]) && same_memory(npu->task[i], t))
			task_end(npu->task[i]);
}

static int start(struct npu *npu, struct task *t, const struct mailbox *box,
		 struct npu_reply *reply)
{
	int ret = check_job(&t->job, reply), at;

	if (!ret)
		ret = attach(t, box, reply);
	if (ret)
		return ret;
	at = find_place(npu);
	if (at < 0)
		return bad(reply, -ENOSPC, "too many tasks");
	evict(npu, t);
	clear_counters(t);
	t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->wake < 0)
		return -errno;
	t->id = npu->last_task + 1;
	t->mailbox = box->id;
	t->state = NPU_RUNNING;
	ret = pthread_create(&t->thread, NULL, run, t);
	if (ret)
		return -ret;
	npu->last_task = t->id;
	npu->task[at] = t;
	return 0;
}

int task_launch(struct npu *npu, const struct mailbox *box, const struct npu_request *request,
		struct npu_reply *reply)
{
	struct task *t = aligned_alloc(L3L2Q_CACHE_LINE, (sizeof(*t) + L3L2Q_CACHE_LINE - 1) /
				       L3L2Q_CACHE_LINE * L3L2Q_CACHE_LINE);
	int ret;

	if (!t)
		return -ENOMEM;
	memset(t, 0, sizeof(*t));
	t->npu = npu;
	t->job = *request;
	t->wake = -1;
	t->count.checksum = NPU_CHECKSUM_START;
	ret = start(npu, t, box, reply);
	if (ret) {
		destroy(t);
		return ret;
	}
	reply->task = t->id;
	reply->state = NPU_RUNNING;
	say("task %u from mailbox %u: kind %u, region %" PRIu64 ", window %u%s", t->id, box->id,
	    t->job.kind, (uint64_t)t->core.region_id, t->job.window,
	    rings(t) ? ", rings" : ", silent");
	return 0;
}

struct task *task_find(struct npu *npu, const struct mailbox *box, uint32_t id)
{
	int i;

	for (i = 0; i < MAX_TASKS; i++)
		if (npu->task[i] && npu->task[i]->id == id && npu->task[i]->mailbox == box->id)
			return npu->task[i];
	return NULL;
}

bool task_ended(const struct task *t)
{
	return __atomic_load_n(&t->state, __ATOMIC_ACQUIRE) != NPU_RUNNING;
}

static uint64_t read_count(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void task_report(const struct task *t, struct npu_reply *reply)
{
	memset(reply, 0, sizeof(*reply));
	reply->task = t->id;
	reply->state = __atomic_load_n(&t->state, __ATOMIC_ACQUIRE);
	reply->received = read_count(&t->count.received);
	reply->sent = read_count(&t->count.sent);
	reply->received_bytes = read_count(&t->count.received_bytes);
	reply->sent_bytes = read_count(&t->count.sent_bytes);
	reply->checksum = read_count(&t->count.checksum);
	reply->rings = read_count(&t->count.rings);
	reply->sleeps = read_count(&t->count.sleeps);
	reply->late = read_count(&t->count.late);
	reply->error = __atomic_load_n(&t->core.error.kind, __ATOMIC_ACQUIRE);
	if (reply->error)
		snprintf(reply->text, sizeof(reply->text), "%s: %s", t->core.error.op,
			 t->core.error.message);
}

void task_end(struct task *t)
{
	if (t->joined)
		return;
	__atomic_store_n(&t->stop, true, __ATOMIC_RELEASE);
	eventfd_write(t->wake, 1);
	pthread_join(t->thread, NULL);
	t->joined = true;
}

void task_drop(struct npu *npu, const struct mailbox *box)
{
	int i;

	for (i = 0; i < MAX_TASKS; i++) {
		if (!npu->task[i] || npu->task[i]->mailbox != box->id)
			continue;
		task_end(npu->task[i]);
		destroy(npu->task[i]);
		npu->task[i] = NULL;
	}
}

void task_rung(struct npu *npu, unsigned int vector)
{
	int i;

	for (i = 0; i < MAX_TASKS; i++)
		if (npu->task[i] && npu->task[i]->core.region_id % npu->vectors == vector)
			eventfd_write(npu->task[i]->wake, 1);
}
