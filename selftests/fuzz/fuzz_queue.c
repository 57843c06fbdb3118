// SPDX-License-Identifier: MIT
/*
 * Random sequences of library calls against the model of model.h. Input: a header of a
 * few bytes (transport, ends, geometry, windows), then operations. The end that the
 * library does not run is played by the fuzzer, well-behaved or not. Once it has written
 * over memory at random, only these rules are left: no crash, no access outside, no result
 * that is not documented, errors that stick, the own abort flag for poison and for
 * nothing else, blocking calls that end.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "memfd.h"
#include "calls.h"
#include "model.h"

#define MAX_OPS 300

#define TRANSACTION 42		/* of SPSQ queues */

static struct world world;
static struct fuzz_input in;
static struct fuzz_guarded payload_memory, counter_memory;
static unsigned char body_buffer[2 * MAX_ARENA];
static bool busy[2][3];			/* a blocking call of this half is under way */

#define CONTROL_PAGES 4

enum half {
	TX,
	RX,
	ANY,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void step(struct world *w);

static const char *ret_name(int ret)
{
	return ret < 0 ? strerrorname_np(-ret) : "";
}

/* Between two values that a byte selects. */
static uint64_t take_size(uint64_t arena)
{
	unsigned int b = take(&in);

	switch (b >> 5) {
	case 0: return 0;
	case 1: return arena - (b & 31);
	case 2: return arena + (b & 31);
	case 3: return arena / 2 + (b & 31);
	case 4: return b & 16 ? UINT64_MAX - (b & 15) : 1u << (b & 15);
	default: return (b & 127) % (arena + 1);
	}
}

static void fill_body(unsigned char *to, uint64_t n)
{
	static unsigned int next;
	uint64_t i;

	next = next * 1103515245 + 12345;
	for (i = 0; i < n; i++)
		to[i] = (unsigned char)((next >> 16) + i * 7);
}

/* ---- after each call ---------------------------------------------------- */

/* What a batch holds back is not in memory yet where it is written by copies. */
static bool is_held_back(const struct world *w)
{
	return w->memory == L3L2Q_MEMORY_COPIED && (w->dir[0].published != w->dir[0].tail ||
						    w->dir[1].published != w->dir[1].tail);
}

static void check_image(const struct world *w)
{
	uint64_t i;

	if (w->tainted)
		return;
	if (!is_held_back(w) && memcmp(w->payload, w->payload_image, w->payload_bytes)) {
		for (i = 0; w->payload[i] == w->payload_image[i]; i++)
			;
		FUZZ_FAIL("payload byte %llu is %#x, not %#x", (unsigned long long)i, w->payload[i],
			  w->payload_image[i]);
	}
	if (memcmp(w->counters, w->counter_image, COUNTERS)) {
		for (i = 0; w->counters[i] == w->counter_image[i]; i++)
			;
		FUZZ_FAIL("counter byte %llu is %#x, not %#x", (unsigned long long)i,
			  w->counters[i], w->counter_image[i]);
	}
}

/* The library's view of its end, against what was recorded here. */
static void check_error(struct world *w, struct side *s)
{
	struct l3l2q_error error;
	int32_t flag;

	l3l2q_ep_error(s->ep, &error);
	FUZZ_CHECK(error.op && error.message, "an error without words");
	if (!s->detached && !s->error)
		FUZZ_CHECK(error.kind == L3L2Q_ERR_NONE, "error kind %u (%s: %s) without an error",
			   error.kind, error.op, error.message);
	if (s->error == -ECONNABORTED)
		FUZZ_CHECK(error.kind == L3L2Q_ERR_REMOTE_ABORTED, "kind %u for a remote abort",
			   error.kind);
	/* Nobody else writes our flag, not even by force. */
	memcpy(&flag, w->counters + flag_offset(s->role), sizeof(flag));
	if (s->error && s->error != -ECONNABORTED)
		FUZZ_CHECK(flag == 1, "poison (%s), and the own flag is %d", ret_name(s->error),
			   flag);
	else if (!s->detached)
		FUZZ_CHECK(!flag, "no poison (%s), and the own flag is %d", ret_name(s->error),
			   flag);
}

/*
 * Check that a half may return this, and record what follows from an error.
 * Interrupts: with a flag set, no progress becomes -EINTR; progress may.
 */
static void check_result(struct world *w, struct side *s, enum half half, unsigned int set,
			 int ret, bool blocking, const char *what)
{
	unsigned int result = result_of(ret);
	enum flag *flag = &s->interrupted[half];
	const unsigned int nothing = RET_AGAIN | RET_TIMEDOUT;
	bool stuck = blocking && *flag == SET && !(set & ~nothing);

	if (w->tainted) {
		/* What memory says is anybody's guess; what the caller did wrong is not. */
		if (set & (RET_OK | RET_AGAIN | RET_TIMEDOUT | RET_BADMSG | RET_ABORTED | RET_MSGSIZE | STOPPED))
			set |= RET_AGAIN | RET_BADMSG | RET_ABORTED | (blocking ? RET_TIMEDOUT : 0);
		/* Receives go on delivering after the peer's end. */
		if (set & (RET_OK | RET_AGAIN | RET_TIMEDOUT | RET_BADMSG | RET_ABORTED) &&
		    (!ended(s) || (half == RX && s->error == -ECONNABORTED && !s->detached)))
			set |= RET_OK | RET_MSGSIZE;
		if (set & RET_OWNERSHIP)
			set |= RET_ABORTED;
		if (w->transport == MEMFD)
			set |= RET_PIPE;
	}
	if (stuck)
		set &= ~nothing;
	if (blocking && *flag != CLEAR)
		set |= RET_INTR;
	FUZZ_CHECK(result & set, "%s: %d %s, but the model allows %#x", what, ret, ret_name(ret),
		   set);
	if (result == RET_INTR) {
		FUZZ_CHECK(*flag != CLEAR, "%s: interrupted by nobody", what);
		*flag = CLEAR;
		if (half == ANY)
			for (half = TX; half < ANY; half++)
				if (s->interrupted[half] == SET)
					s->interrupted[half] = MAYBE;
	}
	if (!s->detached && (!s->error || s->error == -ECONNABORTED) &&
	    result & (RET_POISON | RET_ABORTED)) {
		if (!s->error)
			s->error = ret;
		if (result & RET_POISON)
			counter_set(w, flag_offset(s->role), 1);
	}
}

/* The armed word of an end that the fuzzer plays. */
static uint32_t *played_armed(struct world *w, enum l3l2q_role role)
{
	struct l3l2q_control *control = w->side[!role].ep->maps[L3L2Q_MAP_PEER_CONTROL].addr;

	return &control->armed;
}

/*
 * An end that has armed is woken by the call that changes what it waits for, not by a
 * later one: its descriptor is readable, or the bits are taken from its armed word.
 */
static void check_woken(struct world *w, enum l3l2q_role role)
{
	struct direction *out = &w->dir[role], *to = &w->dir[!role];
	struct side *s = &w->side[role], *peer = &w->side[!role];
	struct pollfd pfd = { .events = POLLIN };
	bool due;

	if (!s->armed || w->pages_written)
		return;
	due = peer->detached || has_aborted(w, peer->role);
	if (s->armed & L3L2Q_EVENT_IN && to->published != s->armed_tail)
		due |= !w->tainted;
	if (s->armed & L3L2Q_EVENT_OUT && out->head != s->armed_head)
		due |= !w->tainted;
	if (!due)
		return;
	s->armed = 0;
	if (!s->ours) {
		FUZZ_CHECK(!__atomic_load_n(played_armed(w, role), __ATOMIC_ACQUIRE),
			   "the peer sleeps for what was done, and is not woken");
	} else if (!ended(s)) {
		pfd.fd = l3l2q_fd(s->ep);
		FUZZ_CHECK(poll(&pfd, 1, 0) == 1, "%d polls for what was done, and is not woken",
			   role);
	}
}

/* The consumer's own handles, of messages that are held, stay as they were given out. */
static void check_own_handles(const struct direction *d)
{
	int i;

	for (i = 0; i < (int)RECORDS; i++)
		FUZZ_CHECK(!d->own[i] || !d->is_held[i] || same_message(d->own[i], &d->held[i]),
			   "a handle of a run has changed");
}

static void after(struct world *w, struct side *s)
{
	check_image(w);
	if (!s->detached)
		check_own_handles(&w->dir[!s->role]);
	check_error(w, s);
	check_woken(w, (enum l3l2q_role)!s->role);
}

/* ---- blocking ----------------------------------------------------------- */

/* Published or not: both are right here, so take what memory says. */
static void sync_published(struct world *w, struct direction *d)
{
	uint32_t tail;

	if (w->tainted)
		return;
	memcpy(&tail, w->counters + d->tail_offset, sizeof(tail));
	if (tail == (uint32_t)d->tail && d->published != d->tail)
		publish(w, d);
}

static void hook(void *arg)
{
	struct world *w = arg;
	int role;

	fuzz_trace("  in the hook:");
	for (role = 0; role < L3L2Q_ROLES; role++)
		if (busy[role][TX])
			sync_published(w, &w->dir[role]);
	step(w);
}

/* 0: a try form; else blocking with *timeout_ns. */
static bool take_timeout(const struct side *s, int64_t *timeout_ns, bool *bad)
{
	static const int64_t timeouts[] = {
		0, -1, INT64_MIN, 1, 100, 1000, 20000, 200000, 1000000, 3000000,
	};
	unsigned int b = take(&in);

	*bad = false;
	if (b < 128)
		return false;
	*timeout_ns = timeouts[b % 10];
	*bad = *timeout_ns < 0 || (!*timeout_ns && s->role == L3L2Q_ROLE_L3);
	return true;
}

/*
 * A blocking call that makes no progress at once: perhaps something happens while it
 * waits. What a batch holds back is published before it waits.
 */
static void before_blocking(struct world *w, struct side *s, enum half half, unsigned int set,
			    int64_t timeout_ns)
{
	struct direction *d = &w->dir[s->role];

	busy[s->role][half] = true;
	if (!fuzz_clock.in_hook) {
		fuzz_clock.looks = 0;
		fuzz_clock.hook_ran = 0;
		fuzz_clock.hook_at = 0;
	}
	if (!(set & (RET_AGAIN | RET_TIMEDOUT)))
		return;
	if (!fuzz_clock.in_hook && timeout_ns && take(&in) & 1)
		fuzz_clock.hook_at = 1 + take(&in) % 8;
	/*
	 * A call that reports the peer's end, or an interrupt that came before, has not
	 * waited, and a hook may run before the call publishes: see sync_published().
	 */
	if (half == TX && timeout_ns && !ended(s) && !(set & (RET_ABORTED | RET_PIPE)) &&
	    s->interrupted[TX] == CLEAR && !fuzz_clock.hook_at && d->published != d->tail)
		publish(w, d);
}

static bool after_blocking(struct side *s, enum half half)
{
	busy[s->role][half] = false;
	if (!fuzz_clock.in_hook)
		fuzz_clock.hook_at = 0;
	return fuzz_clock.hook_ran && !fuzz_clock.in_hook;
}

/*
 * True if a receive has said that there is nothing, and nothing can have come since: a
 * hook may run after the last look of a call whose time is over.
 */
static bool found_nothing(int ret, bool hooked)
{
	return !hooked && (ret == -EAGAIN || ret == -ETIMEDOUT);
}

/* The set of a blocking form from that of the try form. */
static unsigned int blocking_set(unsigned int set, bool hooked)
{
	if (set & RET_AGAIN)
		set = (set & ~(unsigned int)RET_AGAIN) | RET_TIMEDOUT;
	return hooked ? set | RET_TIMEDOUT : set;
}

/* ---- sending ------------------------------------------------------------ */

static const struct fuzz_calls *calls(void)
{
	return take(&in) & 1 ? &fuzz_calls_inline : &fuzz_calls_library;
}

static uint32_t take_opcode(void)
{
	static const uint32_t odd[] = { 0, L3L2Q_OP_STOP, 4, UINT32_MAX };
	unsigned int b = take(&in);

	return b < 224 ? b & 1 ? L3L2Q_OP_DATA : L3L2Q_OP_ERROR : odd[b & 3];
}

static void sent(struct world *w, struct direction *d, uint32_t opcode, const void *body,
		 uint64_t n, uint64_t start)
{
	struct record *r = append(w, d, opcode, n, start);

	if (n && !w->tainted)
		memcpy(w->payload_image + r->offset, body, n);
	if (!d->batching)
		publish(w, d);
	if (opcode == L3L2Q_OP_STOP)
		d->stop_sent = true;
}

static void not_sent(struct direction *d, int ret, uint64_t n)
{
	if (ret == -EAGAIN || ret == -ETIMEDOUT) {
		/* A full ring is waited for first, whatever the size. */
		d->refused = true;
		d->refused_nbytes = d->tail - d->head >= d->depth ? 0 : n;
	}
}

static void op_enqueue(struct world *w, struct side *s, bool gather)
{
	struct direction *d = &w->dir[s->role];
	uint32_t opcode = take_opcode();
	uint64_t n = take_size(d->arena), start;
	int64_t timeout = 0;
	bool bad_timeout, blocking = take_timeout(s, &timeout, &bad_timeout), bad = false, hooked;
	const struct fuzz_calls *c = calls();
	struct iovec iov[4] = { { 0 } };
	unsigned int shape = take(&in), set;
	const void *body = n ? body_buffer : NULL;
	int ret, count = 0;

	if (busy[s->role][TX])
		return;
	if (n > sizeof(body_buffer))
		shape |= 0xf0;			/* not read: refused by size */
	else
		fill_body(body_buffer, n);
	if (gather) {
		uint64_t at = 0, part;

		for (; count < 3 && n <= sizeof(body_buffer); count++) {
			part = count == 2 ? n - at : (n - at) * (shape & 7) / 7;
			iov[count].iov_base = part ? body_buffer + at : NULL;
			iov[count].iov_len = part;
			at += part;
		}
		if (n > sizeof(body_buffer)) {
			iov[0].iov_base = body_buffer;
			iov[0].iov_len = n;
			count = 1;
			if (shape & 1) {	/* the sum wraps */
				iov[1] = iov[0];
				count = 2;
				bad = n > SIZE_MAX / 2;
			}
		} else if (shape >= 240) {
			count = -1;
			bad = true;
		} else if (shape >= 232) {
			iov[3].iov_len = 1;	/* without a buffer */
			count = 4;
			bad = true;
		}
	} else if (shape >= 240 && n <= sizeof(body_buffer)) {
		body = body ? NULL : body_buffer;
		bad = true;
	}
	set = bad || bad_timeout ? RET_INVAL | ended(s) | (d->stop_sent ? STOPPED : 0) |
	      opcode_result(s, opcode) : send_result(w, s, n, opcode_result(s, opcode));
	if (bad || bad_timeout)
		set &= ~(unsigned int)RET_POISON | ended(s);
	fuzz_trace("%d: enqueue%s op %u, %llu bytes%s, %s %lld", s->role, gather ? "v" : "", opcode,
		   (unsigned long long)n, bad ? " (bad)" : "", blocking ? "timeout" : "try",
		   (long long)timeout);
	if (!blocking) {
		ret = gather ? l3l2q_try_enqueuev(s->p, opcode, iov, count)
			     : c->try_enqueue(s->p, opcode, body, n);
	} else {
		before_blocking(w, s, TX, set, timeout);
		ret = gather ? l3l2q_enqueuev(s->p, opcode, iov, count, timeout)
			     : l3l2q_enqueue(s->p, opcode, body, n, timeout);
		hooked = after_blocking(s, TX);
		if (hooked)
			set |= send_result(w, s, n, opcode_result(s, opcode));
		set = blocking_set(set, hooked);
		sync_published(w, d);
	}
	check_result(w, s, TX, set, ret, blocking, "enqueue");
	start = place(d, n);
	if (!ret) {
		sent(w, d, opcode, body_buffer, n, start);
	} else {
		not_sent(d, ret, n);
	}
	after(w, s);
}

static void op_reserve(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[s->role];
	struct l3l2q_reservation span, old;
	uint64_t n = take_size(d->arena), start, offset;
	int64_t timeout = 0;
	bool bad_timeout, blocking = take_timeout(s, &timeout, &bad_timeout), hooked;
	const struct fuzz_calls *c = calls();
	unsigned int set;
	int ret;

	if (busy[s->role][TX])
		return;
	set = bad_timeout ? RET_INVAL | ended(s) : send_result(w, s, n, 0);
	fuzz_trace("%d: reserve %llu bytes, %s %lld", s->role, (unsigned long long)n,
		   blocking ? "timeout" : "try", (long long)timeout);
	memset(&span, 0x5c, sizeof(span));
	old = span;
	if (!blocking) {
		ret = c->try_reserve(s->p, n, &span);
	} else {
		before_blocking(w, s, TX, set, timeout);
		ret = l3l2q_reserve(s->p, n, &span, timeout);
		hooked = after_blocking(s, TX);
		if (hooked)
			set |= send_result(w, s, n, 0);
		set = blocking_set(set, hooked);
		sync_published(w, d);
	}
	/* There is no view of copied memory. */
	if (w->memory == L3L2Q_MEMORY_COPIED && (w->tainted || set & RET_OK))
		set |= RET_NOTSUP;
	FUZZ_CHECK(ret || w->memory != L3L2Q_MEMORY_COPIED, "a reservation in copied memory");
	check_result(w, s, TX, set, ret, blocking, "reserve");
	if (ret) {
		FUZZ_CHECK(!memcmp(&span, &old, sizeof(span)), "a failed reserve wrote its result");
		not_sent(d, ret, n);
		after(w, s);
		return;
	}
	start = place(d, n);
	offset = n ? d->arena_offset + start % d->arena : 0;
	if (!w->tainted) {
		FUZZ_CHECK(span.seq == d->tail + 1 && span.payload_offset == offset,
			   "span %llu at %llu, not %llu at %llu", (unsigned long long)span.seq,
			   (unsigned long long)span.payload_offset, (unsigned long long)d->tail + 1,
			   (unsigned long long)offset);
	} else if (n) {
		FUZZ_CHECK(span.payload_offset >= d->arena_offset &&
			   span.payload_offset + n <= d->arena_offset + d->arena,
			   "a span outside of the arena");
	}
	FUZZ_CHECK(span.nbytes == n && span.data == (n ? s->payload + span.payload_offset : NULL),
		   "span of %llu bytes at %p", (unsigned long long)span.nbytes, span.data);
	if (n) {
		fill_body(body_buffer, n);
		memcpy(span.data, body_buffer, n);
		memcpy(w->payload_image + span.payload_offset, body_buffer, n);
	}
	d->span = span;
	d->span_count = 1;
	d->reserved = true;
	d->refused = false;
	after(w, s);
}

/* The active span, perhaps altered, or one that is not active. */
static struct l3l2q_reservation take_span(const struct direction *d, bool *good)
{
	struct l3l2q_reservation span = d->span;
	unsigned int b = take(&in);

	switch (b) {
	case 0: span.seq++; break;
	case 1: span.payload_offset += 8; break;
	case 2: span.nbytes--; break;
	case 3: span.data = body_buffer; break;
	case 4: memset(&span, 0, sizeof(span)); break;
	}
	*good = d->reserved && (b > 4 || !memcmp(&span, &d->span, sizeof(span)));
	return span;
}

static void op_commit(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[s->role];
	bool good;
	struct l3l2q_reservation span = take_span(d, &good);
	uint32_t opcode = take_opcode();
	const struct fuzz_calls *c = calls();
	unsigned int set = ended(s);
	int ret;

	if (busy[s->role][TX])
		return;
	fuzz_trace("%d: commit seq %llu op %u%s", s->role, (unsigned long long)span.seq, opcode,
		   good ? "" : " (bad)");
	if (!set) {
		set = opcode_result(s, opcode);
		if (!good)
			set |= RET_OWNERSHIP;
		if (!set)
			set = RET_OK;
		set = with_peer(w, s, set);
	} else {
		set |= opcode_result(s, opcode) & RET_INVAL;
	}
	ret = c->commit(s->p, &span, opcode);
	check_result(w, s, TX, set, ret, false, "commit");
	if (!ret) {
		d->reserved = false;
		sent(w, d, opcode, w->payload_image + span.payload_offset, span.nbytes,
		     place(d, span.nbytes));
	}
	after(w, s);
}

static void op_cancel(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[s->role];
	bool good;
	struct l3l2q_reservation span = take_span(d, &good);
	unsigned int set = ended(s);
	int ret;

	if (busy[s->role][TX])
		return;
	fuzz_trace("%d: cancel%s", s->role, good ? "" : " (bad)");
	ret = l3l2q_cancel(s->p, &span);
	check_result(w, s, TX, set ? set : with_peer(w, s, good ? RET_OK : RET_OWNERSHIP), ret, false,
		     "cancel");
	if (!ret)
		d->reserved = false;
	after(w, s);
}

static void op_stop(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[s->role];
	int64_t timeout = 0;
	bool bad_timeout, blocking = take_timeout(s, &timeout, &bad_timeout), hooked;
	unsigned int set;
	int ret;

	if (busy[s->role][TX])
		return;
	set = s->role == L3L2Q_ROLE_L2 ? RET_BADMSG : 0;
	set = bad_timeout ? RET_INVAL | ended(s) : send_result(w, s, 0, set);
	fuzz_trace("%d: stop, %s %lld", s->role, blocking ? "timeout" : "try", (long long)timeout);
	if (!blocking) {
		ret = l3l2q_try_stop(s->p);
	} else {
		before_blocking(w, s, TX, set, timeout);
		ret = l3l2q_stop(s->p, timeout);
		hooked = after_blocking(s, TX);
		if (hooked)
			set |= send_result(w, s, 0, 0);
		set = blocking_set(set, hooked);
		sync_published(w, d);
	}
	check_result(w, s, TX, set, ret, blocking, "stop");
	if (!ret) {
		sent(w, d, L3L2Q_OP_STOP, NULL, 0, d->cursor);
	} else {
		not_sent(d, ret, 0);
	}
	after(w, s);
}

static void op_batch(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[s->role];
	bool begin = take(&in) & 1;
	unsigned int set = ended(s);
	int ret;

	if (busy[s->role][TX])
		return;
	fuzz_trace("%d: batch_%s", s->role, begin ? "begin" : "publish");
	ret = begin ? l3l2q_batch_begin(s->p) : l3l2q_batch_publish(s->p);
	if (!set)
		set = with_peer(w, s, begin == d->batching ? RET_INVAL : RET_OK);
	check_result(w, s, TX, set, ret, false, "batch");
	if (!ret) {
		d->batching = begin;
		if (!begin)
			publish(w, d);
	}
	after(w, s);
}

/* ---- receiving ---------------------------------------------------------- */

/* A message was acquired, or is the one that is held already. */
static void acquired(struct world *w, struct side *s, const struct l3l2q_message *m)
{
	struct direction *d = &w->dir[!s->role];
	uint64_t held = d->acquired - d->head;
	struct record *r = record_of(d, d->acquired);
	unsigned char byte = 0;
	uint64_t i;

	if (m->nbytes) {
		FUZZ_CHECK(m->nbytes <= d->arena && m->payload_offset >= d->arena_offset &&
			   m->payload_offset + m->nbytes <= d->arena_offset + d->arena &&
			   m->data == (s->payload ? s->payload + m->payload_offset : NULL),
			   "a view outside of the arena: %llu bytes at %llu",
			   (unsigned long long)m->nbytes, (unsigned long long)m->payload_offset);
		for (i = 0; m->data && i < m->nbytes; i++)
			byte = ((const volatile unsigned char *)m->data)[i];
		(void)byte;
	} else {
		FUZZ_CHECK(!m->data && !m->payload_offset, "a view of nothing is not null");
	}
	if (has_one_handle(s) && held) {
		FUZZ_CHECK(held_message(d, m), "not the handle that is held");
		return;
	}
	if (!w->tainted)
		FUZZ_CHECK(m->seq == d->acquired + 1 && m->opcode == r->opcode &&
			   m->nbytes == r->nbytes && m->payload_offset == r->offset,
			   "message %llu: op %u, %llu bytes at %llu; not %llu: op %u, %llu at %llu",
			   (unsigned long long)m->seq, m->opcode, (unsigned long long)m->nbytes,
			   (unsigned long long)m->payload_offset,
			   (unsigned long long)d->acquired + 1, r->opcode,
			   (unsigned long long)r->nbytes, (unsigned long long)r->offset);
	else
		FUZZ_CHECK(m->seq == d->acquired + 1, "message %llu, not %llu",
			   (unsigned long long)m->seq, (unsigned long long)d->acquired + 1);
	d->held[d->acquired % RECORDS] = *m;
	d->is_held[d->acquired % RECORDS] = true;
	record_of(d, d->acquired)->done = false;
	if (m->opcode == L3L2Q_OP_STOP)
		d->stop_acquired = true;
	d->acquired++;
	d->nothing = false;
}

static void released(struct world *w, struct direction *d, const struct l3l2q_message *m)
{
	d->is_held[(m->seq - 1) % RECORDS] = false;
	d->own[(m->seq - 1) % RECORDS] = NULL;
	record_of(d, m->seq - 1)->done = true;
	d->old[d->nr_old++ % OLD_HANDLES] = *m;
	release_prefix(w, d);
	d->nothing = false;
}

static void check_untouched(const struct l3l2q_message *m, const struct l3l2q_message *old)
{
	FUZZ_CHECK(!memcmp(m, old, sizeof(*m)), "a failed call wrote its result");
}

static void op_peek(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[!s->role];
	struct l3l2q_message m, old;
	int64_t timeout = 0;
	bool bad_timeout, blocking = take_timeout(s, &timeout, &bad_timeout), hooked = false;
	const struct fuzz_calls *c = calls();
	unsigned int set;
	int ret;

	if (busy[s->role][RX])
		return;
	set = receive_result(w, s);
	if (bad_timeout)
		set = RET_INVAL | ended(s);
	fuzz_trace("%d: peek, %s %lld", s->role, blocking ? "timeout" : "try", (long long)timeout);
	memset(&m, 0x5c, sizeof(m));
	old = m;
	if (!blocking) {
		ret = c->try_peek(s->c, &m);
	} else {
		before_blocking(w, s, RX, set, timeout);
		ret = l3l2q_peek(s->c, &m, timeout);
		hooked = after_blocking(s, RX);
		if (hooked)
			set |= receive_result(w, s);
		set = blocking_set(set, hooked);
	}
	check_result(w, s, RX, set, ret, blocking, "peek");
	if (!ret)
		acquired(w, s, &m);
	else
		check_untouched(&m, &old);
	d->nothing = found_nothing(ret, hooked);
	after(w, s);
}

/* One that is held, perhaps altered, or one that was. */
static struct l3l2q_message take_handle(struct direction *d)
{
	unsigned int b = take(&in), i, n = 0;
	struct l3l2q_message m = d->old[b % OLD_HANDLES];

	if (b < 16 && d->nr_old >= OLD_HANDLES)
		return m;
	for (i = 0; i < RECORDS; i++)
		n += d->is_held[i];
	if (!n && b & 1)
		return m;
	n = n ? (b >> 3) % n : 0;
	for (i = 0; i < RECORDS; i++) {
		if (d->is_held[i] && !n--) {
			m = d->held[i];
			break;
		}
	}
	switch (b) {
	case 250: m.seq++; break;
	case 251: m.payload_offset++; break;
	case 252: m.nbytes++; break;
	case 253: m.data = body_buffer; break;
	case 254: m.opcode ^= 2; break;
	case 255: m.seq += RECORDS; break;
	}
	return m;
}

static void op_read_into(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[!s->role];
	struct l3l2q_message m = take_handle(d), *held = held_message(d, &m);
	unsigned int b = take(&in), set;
	uint64_t capacity = m.nbytes > MAX_ARENA ? 0 : m.nbytes;
	unsigned char *buffer;
	int ret;

	if (busy[s->role][RX])
		return;
	if (b < 16 && capacity)
		capacity--;
	buffer = malloc(capacity + 1);	/* one spare, so that it is never NULL */
	memset(buffer, 0x5c, capacity + 1);
	fuzz_trace("%d: read_into seq %llu, %s", s->role, (unsigned long long)m.seq,
		   held ? "held" : "not held");
	if (b >= 240) {
		ret = l3l2q_read_into(s->c, &m, m.nbytes ? NULL : buffer, capacity);
		set = RET_INVAL;
	} else {
		ret = l3l2q_read_into(s->c, &m, m.nbytes ? buffer : NULL, capacity);
		set = !held ? RET_INVAL | (capacity < m.nbytes ? RET_MSGSIZE : 0) :
		      capacity < m.nbytes ? RET_MSGSIZE : RET_OK;
	}
	if (ended(s))
		set = s->error == -ECONNABORTED && !s->detached ? set | RET_ABORTED :
		      ended(s) | (set & (RET_INVAL | RET_MSGSIZE));
	else if (peer_has_aborted(w, s))
		set |= RET_ABORTED;
	FUZZ_CHECK(result_of(ret) & set, "read_into: %d %s, not %#x", ret, ret_name(ret), set);
	if (!ret && m.nbytes && !w->tainted)
		FUZZ_CHECK(!memcmp(buffer, w->payload_image + m.payload_offset, m.nbytes),
			   "read_into: other bytes");
	if (ret) {
		uint64_t i;

		for (i = 0; i < capacity; i++)
			FUZZ_CHECK(buffer[i] == 0x5c, "a failed read_into wrote");
	}
	free(buffer);
	if (ret == -ECONNABORTED && !s->error)
		s->error = ret;
	after(w, s);
}

static void op_release(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[!s->role];
	struct l3l2q_message m = take_handle(d), *held = held_message(d, &m);
	const struct fuzz_calls *c = calls();
	unsigned int set;
	int ret;

	if (busy[s->role][RX])
		return;
	fuzz_trace("%d: release seq %llu, %s", s->role, (unsigned long long)m.seq,
		   held ? "held" : "not held");
	set = held ? RET_OK : RET_OWNERSHIP;
	if (s->detached || (s->error && s->error != -ECONNABORTED))
		set = ended(s);
	else if (!held && (peer_has_aborted(w, s) || s->error))
		set = aborted_instead(w, set);
	ret = c->release(s->c, &m);
	check_result(w, s, RX, set, ret, false, "release");
	if (!ret)
		released(w, d, &m);
	after(w, s);
}

static void op_dequeue(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[!s->role];
	struct record *r = record_of(d, d->acquired);
	struct l3l2q_message m, old;
	int64_t timeout = 0;
	bool bad_timeout, blocking = take_timeout(s, &timeout, &bad_timeout), hooked = false;
	const struct fuzz_calls *c = calls();
	unsigned int b = take(&in), set;
	uint64_t capacity = b < 64 ? b : MAX_ARENA, i;
	unsigned char *buffer, *body;
	bool holds;
	int ret;

	if (busy[s->role][RX])
		return;
	buffer = malloc(capacity + 1);
	memset(buffer, 0x5c, capacity + 1);
	body = b >= 240 ? NULL : buffer;
	memset(&m, 0x5c, sizeof(m));
	old = m;
	holds = d->acquired != d->head;
	set = receive_result(w, s);
	if (holds)
		set = ended(s) ? ended(s) | RET_INVAL : RET_INVAL | (peer_has_aborted(w, s) ? RET_ABORTED : 0);
	else if (set & RET_OK && r->nbytes && (!body || capacity < r->nbytes))
		set = (set & ~(unsigned int)RET_OK) | RET_MSGSIZE;
	if (bad_timeout)
		set = RET_INVAL | ended(s);
	fuzz_trace("%d: dequeue to %llu bytes, %s %lld", s->role,
		   body ? (unsigned long long)capacity : 0, blocking ? "timeout" : "try",
		   (long long)timeout);
	if (!blocking) {
		ret = c->try_dequeue(s->c, &m, body, capacity);
	} else {
		before_blocking(w, s, RX, set, timeout);
		ret = l3l2q_dequeue(s->c, &m, body, capacity, timeout);
		hooked = after_blocking(s, RX);
		if (hooked) {
			set |= receive_result(w, s);
			if (set & RET_OK && r->nbytes && (!body || capacity < r->nbytes))
				set |= RET_MSGSIZE;
		}
		set = blocking_set(set, hooked);
	}
	check_result(w, s, RX, set, ret, blocking, "dequeue");
	d->nothing = found_nothing(ret, hooked);
	if (!ret) {
		FUZZ_CHECK(!m.data && m.seq == d->acquired + 1 && m.nbytes <= capacity,
			   "dequeued %llu, %llu bytes at %p", (unsigned long long)m.seq,
			   (unsigned long long)m.nbytes, m.data);
		if (!w->tainted) {
			FUZZ_CHECK(m.opcode == r->opcode && m.nbytes == r->nbytes &&
				   m.payload_offset == r->offset, "dequeued another message");
			FUZZ_CHECK(!m.nbytes || !memcmp(buffer, w->payload_image + r->offset, m.nbytes),
				   "dequeued other bytes");
		}
		for (i = m.nbytes; i < capacity; i++)
			FUZZ_CHECK(buffer[i] == 0x5c, "wrote past the message");
		if (m.opcode == L3L2Q_OP_STOP)
			d->stop_acquired = true;
		d->old[d->nr_old++ % OLD_HANDLES] = m;
		record_of(d, d->acquired++)->done = true;
		release_prefix(w, d);
	} else {
		if (ret == -EMSGSIZE) {
			FUZZ_CHECK(w->tainted || m.nbytes == r->nbytes, "needs %llu, says %llu",
				   (unsigned long long)r->nbytes, (unsigned long long)m.nbytes);
			m.nbytes = old.nbytes;
		}
		check_untouched(&m, &old);
		for (i = 0; i < capacity; i++)
			FUZZ_CHECK(buffer[i] == 0x5c, "a failed dequeue wrote");
	}
	free(buffer);
	after(w, s);
}


/*
 * The first message decides what the call returns; what is found behind good ones
 * decides whether the endpoint is poisoned with it.
 */
static void op_peek_batch(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[!s->role];
	int max = (int)take(&in) % 12 - 1, ret, i, good = 0;
	struct l3l2q_message m[12], old;
	int64_t timeout = 0;
	bool bad_timeout, blocking = take_timeout(s, &timeout, &bad_timeout), hooked = false;
	bool again = has_one_handle(s) && d->acquired != d->head, poisoned, stop_past_window;
	unsigned int set;
	int32_t flag;

	if (busy[s->role][RX])
		return;
	set = receive_result(w, s);
	if (max < 1 || bad_timeout)
		set = RET_INVAL | ended(s);
	fuzz_trace("%d: peek_batch of %d, %s %lld", s->role, max, blocking ? "timeout" : "try",
		   (long long)timeout);
	memset(m, 0x5c, sizeof(m));
	memset(&old, 0x5c, sizeof(old));
	if (!blocking) {
		ret = l3l2q_try_peek_batch(s->c, m, max);
	} else {
		before_blocking(w, s, RX, set, timeout);
		ret = l3l2q_peek_batch(s->c, m, max, timeout);
		hooked = after_blocking(s, RX);
		if (hooked)
			set |= receive_result(w, s);
		set = blocking_set(set, hooked);
	}
	check_result(w, s, RX, set, ret, blocking, "peek_batch");
	d->nothing = found_nothing(ret, hooked);
	for (i = ret > 0 ? ret : 0; i < 12; i++)
		check_untouched(&m[i], &old);
	if (ret < 0) {
		after(w, s);
		return;
	}
	FUZZ_CHECK(ret >= 1 && ret <= max && (!again || ret == 1), "peek_batch: %d of %d", ret, max);
	for (i = 0; i < ret; i++) {
		if (i && !w->tainted)
			FUZZ_CHECK(receive_result(w, s) & RET_OK, "peek_batch went on to message %d", i);
		acquired(w, s, &m[i]);
		good++;
	}
	memcpy(&flag, w->counters + flag_offset(s->role), sizeof(flag));
	poisoned = flag == 1 && !s->error;
	set = again || has_one_handle(s) ? RET_AGAIN : receive_result(w, s);
	/* A batch may end at the window; STOP is then for the next call. */
	stop_past_window = d->acquired - d->head >= s->window &&
			   record_of(d, d->acquired)->opcode == L3L2Q_OP_STOP;
	if (!w->tainted) {
		if (poisoned)
			FUZZ_CHECK(set & RET_BADMSG, "peek_batch poisoned without a reason");
		else if (good < max && !hooked && !again && !has_one_handle(s) && !stop_past_window)
			FUZZ_CHECK(!(set & RET_OK) && set != RET_BADMSG,
				   "peek_batch stopped at %d of %d, the model says %#x", good, max, set);
	}
	if (poisoned) {
		s->error = -EBADMSG;
		counter_set(w, flag_offset(s->role), 1);
	} else if (!s->error && (w->tainted || set & RET_ABORTED)) {
		struct l3l2q_error error;

		l3l2q_ep_error(s->ep, &error);
		if (error.kind == L3L2Q_ERR_REMOTE_ABORTED)
			s->error = -ECONNABORTED;
	}
	after(w, s);
}

static void op_release_batch(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[!s->role];
	int n = (int)take(&in) % 6 - 1, ret, i, j;
	struct l3l2q_message m[5];
	bool bad = false, dead = s->detached || (s->error && s->error != -ECONNABORTED);
	unsigned int set = RET_OK;

	if (busy[s->role][RX])
		return;
	for (i = 0; i < n; i++) {
		m[i] = take_handle(d);
		bad |= !held_message(d, &m[i]);
		for (j = 0; j < i; j++)
			bad |= m[j].seq == m[i].seq;
	}
	fuzz_trace("%d: release_batch of %d%s", s->role, n, bad ? " (bad)" : "");
	if (n < 0)
		set = RET_INVAL | ended(s);
	else if (dead)
		set = ended(s);
	else if (bad)
		set = peer_has_aborted(w, s) || s->error ? aborted_instead(w, RET_OWNERSHIP) :
		      RET_OWNERSHIP;
	else if (!n && s->error)
		set = RET_OK | RET_ABORTED;
	ret = l3l2q_release_batch(s->c, n > 0 ? m : NULL, n);
	check_result(w, s, RX, set, ret, false, "release_batch");
	if (!ret) {
		for (i = 0; i < n; i++)
			released(w, d, &m[i]);
	} else if (bad && !dead && n > 0) {
		/* Those before the bad one were given back. */
		for (i = 0; i < n && held_message(d, &m[i]); i++)
			released(w, d, &m[i]);
	}
	after(w, s);
}

/* ---- runs --------------------------------------------------------------- */

/* An end of the endpoint that a call met behind what it reports. */
static void note_late_end(struct world *w, struct side *s)
{
	struct l3l2q_error error;
	int32_t flag;

	if (s->error)
		return;
	memcpy(&flag, w->counters + flag_offset(s->role), sizeof(flag));
	l3l2q_ep_error(s->ep, &error);
	if (flag == 1) {
		FUZZ_CHECK(w->tainted, "a run poisoned without a reason");
		s->error = -EBADMSG;
		counter_set(w, flag_offset(s->role), 1);
	} else if (error.kind == L3L2Q_ERR_REMOTE_ABORTED) {
		FUZZ_CHECK(w->tainted || peer_has_aborted(w, s), "a remote abort of nobody's");
		s->error = -ECONNABORTED;
	}
}

static unsigned int body_result(struct world *w, struct side *s, const struct l3l2q_body *body,
				unsigned int opcode)
{
	if (!body->data != !body->nbytes)
		return RET_INVAL | ended(s) | (w->dir[s->role].stop_sent ? STOPPED : 0) |
		       (opcode & RET_INVAL);
	return send_result(w, s, body->nbytes, opcode);
}

/* The first body decides what the call returns, and those before a bad one are sent. */
static void op_enqueue_run(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[s->role];
	uint32_t opcode = take_opcode();
	int n = (int)take(&in) % 7 - 1, i, ret;
	struct l3l2q_body bodies[6] = { 0 };
	int64_t timeout = 0;
	bool bad_timeout, blocking = take_timeout(s, &timeout, &bad_timeout), hooked = false;
	unsigned int set, shape;

	if (busy[s->role][TX])
		return;
	fill_body(body_buffer, sizeof(body_buffer));
	for (i = 0; i < n; i++) {
		uint64_t size = take_size(d->arena);

		shape = take(&in);
		/* What is larger than the arena is not read. */
		bodies[i].nbytes = size;
		bodies[i].data = !size != (shape >= 240) ? NULL : body_buffer + shape % 64;
	}
	set = n < 1 || bad_timeout ? RET_INVAL | ended(s)
				   : body_result(w, s, bodies, opcode_result(s, opcode));
	if (opcode == L3L2Q_OP_STOP && s->role == L3L2Q_ROLE_L3)
		set = RET_INVAL | ended(s);
	fuzz_trace("%d: enqueue_run of %d, op %u, %s %lld", s->role, n, opcode,
		   blocking ? "timeout" : "try", (long long)timeout);
	if (!blocking) {
		ret = l3l2q_try_enqueue_run(s->p, opcode, bodies, n);
	} else {
		before_blocking(w, s, TX, set, timeout);
		ret = l3l2q_enqueue_run(s->p, opcode, bodies, n, timeout);
		hooked = after_blocking(s, TX);
		if (hooked)
			set |= body_result(w, s, bodies, opcode_result(s, opcode));
		set = blocking_set(set, hooked);
		sync_published(w, d);
	}
	check_result(w, s, TX, set, ret, blocking, "enqueue_run");
	FUZZ_CHECK(ret < 0 || (ret >= 1 && ret <= n), "enqueue_run: %d of %d", ret, n);
	for (i = 0; i < ret; i++) {
		FUZZ_CHECK(!bodies[i].data == !bodies[i].nbytes, "a bad body was sent");
		FUZZ_CHECK(w->tainted || has_room(d, bodies[i].nbytes), "sent without room");
		sent(w, d, opcode, bodies[i].data, bodies[i].nbytes, place(d, bodies[i].nbytes));
	}
	if (ret < 0) {
		not_sent(d, ret, n > 0 ? bodies->nbytes : 0);
	} else if (ret < n) {
		set = body_result(w, s, &bodies[ret], opcode_result(s, opcode));
		FUZZ_CHECK(w->tainted || set != RET_OK, "enqueue_run stopped at %d of %d", ret, n);
		note_late_end(w, s);
		/* What comes next is waited for as if it had been refused alone. */
		if (set & RET_AGAIN)
			not_sent(d, -EAGAIN, bodies[ret].nbytes);
	}
	after(w, s);
}

/* How many spans of a run there is room for: section 4, without a wrap. */
static int run_room(struct direction *d, uint64_t nbytes, int n)
{
	uint64_t start = place(d, nbytes), oldest;
	int fits = 0;

	while (fits < n && d->tail - d->head + (uint64_t)fits < d->depth &&
	       start % d->arena + (uint64_t)(fits + 1) * nbytes <= d->arena &&
	       (!nbytes || !oldest_body(d, &oldest) ||
		start + (uint64_t)(fits + 1) * nbytes - oldest <= d->arena))
		fits++;
	return fits;
}

static void op_reserve_run(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[s->role];
	struct l3l2q_reservation span, old;
	uint64_t nbytes = take_size(d->arena);
	int n = (int)take(&in) % 10 - 1, ret;
	int64_t timeout = 0;
	bool bad_timeout, blocking = take_timeout(s, &timeout, &bad_timeout), hooked;
	unsigned int set;

	if (busy[s->role][TX])
		return;
	set = n < 1 || bad_timeout ? RET_INVAL | ended(s) : send_result(w, s, nbytes, 0);
	fuzz_trace("%d: reserve_run of %d, %llu bytes, %s %lld", s->role, n,
		   (unsigned long long)nbytes, blocking ? "timeout" : "try", (long long)timeout);
	memset(&span, 0x5c, sizeof(span));
	old = span;
	if (!blocking) {
		ret = l3l2q_try_reserve_run(s->p, nbytes, n, &span);
	} else {
		before_blocking(w, s, TX, set, timeout);
		ret = l3l2q_reserve_run(s->p, nbytes, n, &span, timeout);
		hooked = after_blocking(s, TX);
		if (hooked)
			set |= send_result(w, s, nbytes, 0);
		set = blocking_set(set, hooked);
		sync_published(w, d);
	}
	if (w->memory == L3L2Q_MEMORY_COPIED && (w->tainted || set & RET_OK))
		set |= RET_NOTSUP;
	FUZZ_CHECK(ret < 0 || w->memory != L3L2Q_MEMORY_COPIED, "a reservation in copied memory");
	check_result(w, s, TX, set, ret, blocking, "reserve_run");
	if (ret < 0) {
		FUZZ_CHECK(!memcmp(&span, &old, sizeof(span)), "a failed reserve_run wrote its result");
		not_sent(d, ret, nbytes);
		after(w, s);
		return;
	}
	FUZZ_CHECK(w->tainted ? ret >= 1 && ret <= n : ret == run_room(d, nbytes, n),
		   "%d spans of %d, the model says %d", ret, n, run_room(d, nbytes, n));
	FUZZ_CHECK(span.nbytes == nbytes && span.data == (nbytes ? s->payload + span.payload_offset : NULL),
		   "spans of %llu bytes at %p", (unsigned long long)span.nbytes, span.data);
	if (nbytes) {
		uint64_t all = (uint64_t)ret * nbytes;

		FUZZ_CHECK(span.payload_offset >= d->arena_offset &&
			   span.payload_offset + all <= d->arena_offset + d->arena,
			   "a run outside of the arena");
		fill_body(body_buffer, all);
		memcpy(span.data, body_buffer, all);
		memcpy(w->payload_image + span.payload_offset, body_buffer, all);
	}
	if (!w->tainted)
		FUZZ_CHECK(span.seq == d->tail + 1 &&
			   span.payload_offset == (nbytes ? d->arena_offset + place(d, nbytes) % d->arena : 0),
			   "a run at %llu", (unsigned long long)span.payload_offset);
	d->span = span;
	d->span_count = ret;
	d->reserved = true;
	d->refused = false;
	after(w, s);
}

static void op_commit_run(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[s->role];
	bool good;
	struct l3l2q_reservation span = take_span(d, &good);
	uint32_t opcode = take_opcode();
	int n = (int)take(&in) % 9 - 1, i, ret;
	bool bad = n < 1 || n > d->span_count;
	unsigned int set = ended(s);

	if (busy[s->role][TX])
		return;
	fuzz_trace("%d: commit_run of %d, seq %llu op %u%s", s->role, n, (unsigned long long)span.seq,
		   opcode, good ? "" : " (bad)");
	if (!set) {
		set = opcode_result(s, opcode);
		if (!good)
			set |= RET_OWNERSHIP;
		if (bad)
			set |= RET_INVAL;
		if (!set)
			set = RET_OK;
		set = with_peer(w, s, set);
	} else {
		set |= (opcode_result(s, opcode) | (bad ? RET_INVAL : 0)) & RET_INVAL;
	}
	ret = l3l2q_commit_run(s->p, &span, opcode, n);
	check_result(w, s, TX, set, ret, false, "commit_run");
	if (!ret) {
		d->reserved = false;
		for (i = 0; i < n; i++)
			sent(w, d, opcode,
			     w->payload_image + span.payload_offset + (uint64_t)i * span.nbytes,
			     span.nbytes, place(d, span.nbytes));
	}
	after(w, s);
}

/* As op_peek_batch(); the consumer's array of handles ends a run, too. */
static void op_peek_run(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[!s->role];
	int max = (int)take(&in) % 12 - 1, ret, i, entries = 2, most;
	const struct l3l2q_message *const nothing = (const void *)body_buffer, *run = nothing;
	int64_t timeout = 0;
	bool bad_timeout, blocking = take_timeout(s, &timeout, &bad_timeout), hooked = false;
	bool again = has_one_handle(s) && d->acquired != d->head, stop_past_window;
	unsigned int set;
	int32_t flag;

	if (busy[s->role][RX])
		return;
	set = receive_result(w, s);
	if (max < 1 || bad_timeout)
		set = RET_INVAL | ended(s);
	fuzz_trace("%d: peek_run of %d, %s %lld", s->role, max, blocking ? "timeout" : "try",
		   (long long)timeout);
	if (!blocking) {
		ret = l3l2q_try_peek_run(s->c, &run, max);
	} else {
		before_blocking(w, s, RX, set, timeout);
		ret = l3l2q_peek_run(s->c, &run, max, timeout);
		hooked = after_blocking(s, RX);
		if (hooked)
			set |= receive_result(w, s);
		set = blocking_set(set, hooked);
	}
	check_result(w, s, RX, set, ret, blocking, "peek_run");
	d->nothing = found_nothing(ret, hooked);
	if (ret < 0) {
		FUZZ_CHECK(run == nothing, "a failed peek_run wrote its result");
		after(w, s);
		return;
	}
	while (entries < (int)s->window + 1)
		entries *= 2;
	most = again || s->window == 1 ? 1 : entries - (int)(d->acquired % (unsigned int)entries);
	most = max < most ? max : most;
	FUZZ_CHECK(ret >= 1 && ret <= most, "peek_run: %d of %d", ret, most);
	for (i = 0; i < ret; i++) {
		if (i && !w->tainted)
			FUZZ_CHECK(receive_result(w, s) & RET_OK, "peek_run went on to message %d", i);
		acquired(w, s, &run[i]);
		d->own[(run[i].seq - 1) % RECORDS] = &run[i];
	}
	memcpy(&flag, w->counters + flag_offset(s->role), sizeof(flag));
	set = receive_result(w, s);
	stop_past_window = d->acquired - d->head >= s->window &&
			   record_of(d, d->acquired)->opcode == L3L2Q_OP_STOP;
	if (!w->tainted && flag == 1 && !s->error) {
		FUZZ_CHECK(ret < most && set & RET_BADMSG, "peek_run poisoned without a reason");
		s->error = -EBADMSG;
		counter_set(w, flag_offset(s->role), 1);
	} else if (!w->tainted && ret < most && !hooked && !stop_past_window) {
		FUZZ_CHECK(!(set & RET_OK) && set != RET_BADMSG,
			   "peek_run stopped at %d of %d, the model says %#x", ret, most, set);
	}
	note_late_end(w, s);
	after(w, s);
}

static void op_release_upto(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[!s->role];
	struct l3l2q_message m = take_handle(d), *held = held_message(d, &m), *other;
	unsigned int set;
	uint64_t i;
	int ret;

	if (busy[s->role][RX])
		return;
	fuzz_trace("%d: release_upto seq %llu, %s", s->role, (unsigned long long)m.seq,
		   held ? "held" : "not held");
	set = held ? RET_OK : RET_OWNERSHIP;
	if (s->detached || (s->error && s->error != -ECONNABORTED))
		set = ended(s);
	else if (!held && (peer_has_aborted(w, s) || s->error))
		set = aborted_instead(w, set);
	ret = l3l2q_release_upto(s->c, &m);
	check_result(w, s, RX, set, ret, false, "release_upto");
	for (i = d->head; !ret && i < m.seq; i++) {
		other = &d->held[i % RECORDS];
		if (d->is_held[i % RECORDS])
			released(w, d, other);
	}
	after(w, s);
}

/* ---- waiting ------------------------------------------------------------ */

static void check_events(struct world *w, struct side *s, uint32_t asked, int ret, bool late)
{
	struct direction *out = &w->dir[s->role], *to = &w->dir[!s->role];
	unsigned int receive = receive_result(w, s);
	uint32_t events = ret > 0 ? (uint32_t)ret : 0;

	FUZZ_CHECK(!(events & ~(asked | L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP)),
		   "events %#x, asked for %#x", events, asked);
	if (w->tainted)
		return;
	if (events & L3L2Q_EVENT_ABORT)
		FUZZ_CHECK(peer_has_aborted(w, s), "ABORT, and there is none");
	if (events & L3L2Q_EVENT_HUP)
		FUZZ_CHECK(w->transport == MEMFD && (w->side[!s->role].detached ||
						     peer_has_aborted(w, s)), "HUP, and there is none");
	if (late || ended(s))
		return;
	if (asked & L3L2Q_EVENT_IN) {
		if (events & L3L2Q_EVENT_IN)
			FUZZ_CHECK(!to->nothing, "readable after no progress");
		else if (!(events & (L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP)))
			FUZZ_CHECK(receive != RET_OK || (has_one_handle(s) && to->acquired != to->head),
				   "not readable, and there is a message");
	}
	if (asked & L3L2Q_EVENT_OUT && !out->stop_sent && !out->reserved) {
		if (events & L3L2Q_EVENT_OUT)
			FUZZ_CHECK(!out->refused || has_room(out, out->refused_nbytes) ||
				   out->refused_nbytes > out->arena, "writable after no progress");
		else if (!(events & (L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP)))
			FUZZ_CHECK(!has_room(out, 0) || (out->batching && out->tail != out->published) ||
				   out->refused, "not writable, and the ring has room");
	}
}

static void op_wait(struct world *w, struct side *s)
{
	static const int64_t timeouts[] = { 0, 0, 0, 1, 1000, 100000, 2000000, -1 };
	uint32_t events = take(&in) % 18 < 16 ? take(&in) & 3 : take(&in);
	int64_t timeout = timeouts[take(&in) & 7];
	bool arm = take(&in) & 1, hooked = false;
	unsigned int set = ended(s);
	int ret;

	if (busy[s->role][ANY] || fuzz_clock.in_hook)
		return;
	if (set)
		set |= RET_INVAL | (set == RET_ABORTED ? RET_OK : 0);
	else if (events & ~3u || (!arm && timeout < 0))
		set = RET_INVAL;
	else
		set = arm ? RET_OK : RET_OK | RET_TIMEDOUT;
	if (peer_has_aborted(w, s) && !(set & RET_INVAL))
		set |= RET_ABORTED;
	if (peer_has_detached(w, s))
		set |= RET_PIPE;
	fuzz_trace("%d: %s for %#x, timeout %lld", s->role, arm ? "arm" : "wait", events,
		   (long long)timeout);
	if (arm) {
		ret = l3l2q_arm(s->ep, events);
		sync_published(w, &w->dir[s->role]);
		s->armed = !ret && w->transport == MEMFD ? events | L3L2Q_EVENT_ABORT : 0;
		s->armed_tail = w->dir[!s->role].published;
		s->armed_head = w->dir[s->role].head;
	} else {
		sync_published(w, &w->dir[s->role]);
		busy[s->role][TX] = busy[s->role][RX] = true;
		before_blocking(w, s, ANY, events ? 0 : set, timeout);
		ret = l3l2q_wait(s->ep, events, timeout);
		hooked = after_blocking(s, ANY);
		busy[s->role][TX] = busy[s->role][RX] = false;
		sync_published(w, &w->dir[s->role]);
		if (hooked)
			set |= ended(s) | RET_ABORTED;
		if (ret == -ETIMEDOUT && events & L3L2Q_EVENT_OUT && !w->tainted)
			FUZZ_CHECK(w->dir[s->role].published == w->dir[s->role].tail,
				   "a wait for room holds a batch back");
	}
	check_result(w, s, ANY, set, ret, !arm, "wait");
	if (ret >= 0 || ret == -ETIMEDOUT)
		check_events(w, s, events, ret, hooked);
	after(w, s);
}

static void op_interrupt(struct world *w, struct side *s)
{
	enum half half;
	int ret;

	fuzz_trace("%d: interrupt", s->role);
	ret = l3l2q_interrupt(s->ep);
	FUZZ_CHECK(!ret || ended(s) & result_of(ret), "interrupt: %d %s", ret, ret_name(ret));
	for (half = TX; half <= ANY; half++)
		if (!ret)
			s->interrupted[half] = ended(s) ? MAYBE : SET;
	after(w, s);
}

static void op_room(struct world *w, struct side *s)
{
	struct direction *out = &w->dir[s->role], *to = &w->dir[!s->role];
	unsigned int receive = receive_result(w, s), set;
	int64_t pending, room, bytes;

	if (busy[s->role][TX] || busy[s->role][RX])
		return;
	fuzz_trace("%d: pending, room", s->role);
	set = ended(s) ? ended(s) : RET_OK | RET_ABORTED | RET_PIPE;
	if (s->error == -ECONNABORTED)
		set |= RET_OK;
	if (out->stop_sent)
		set |= STOPPED;
	pending = l3l2q_pending(s->c);
	check_result(w, s, RX, set, (int)pending, false, "pending");
	room = l3l2q_room(s->p);
	check_result(w, s, TX, set, (int)room, false, "room");
	bytes = l3l2q_room_bytes(s->p);
	check_result(w, s, TX, set, bytes < 0 ? (int)bytes : 0, false, "room_bytes");
	FUZZ_CHECK(l3l2q_producer_ep(s->p) == s->ep && l3l2q_consumer_ep(s->c) == s->ep,
		   "another endpoint");
	FUZZ_CHECK(pending <= s->window && room <= out->depth &&
		   (bytes < 0 || (uint64_t)bytes <= out->arena), "pending %lld, room %lld, bytes %lld",
		   (long long)pending, (long long)room, (long long)bytes);
	if (w->tainted || ended(s) || peer_has_aborted(w, s) || peer_has_detached(w, s)) {
		after(w, s);
		return;
	}
	if (receive == RET_OK && to->acquired == to->head)
		FUZZ_CHECK(pending >= 1, "a message, but pending %lld", (long long)pending);
	if (to->acquired == to->published && to->acquired == to->head)
		FUZZ_CHECK(!pending, "nothing, but pending %lld", (long long)pending);
	if (!out->reserved && !out->stop_sent) {
		FUZZ_CHECK(room == out->depth - (int64_t)(out->tail - out->head), "room for %lld",
			   (long long)room);
		if (bytes > 0 && room)
			FUZZ_CHECK(has_room(out, (uint64_t)bytes) &&
				   ((uint64_t)bytes == out->arena || !has_room(out, (uint64_t)bytes + 1)),
				   "room for %lld bytes", (long long)bytes);
	}
	after(w, s);
}

/* ---- counters and the rest ---------------------------------------------- */

static uint64_t take_offset(void)
{
	static const uint64_t odd[] = {
		1, 2, 3, 384, 388, 383, 1ull << 32, (1ull << 32) + 64, UINT64_MAX, UINT64_MAX - 3,
	};
	unsigned int b = take(&in);

	return b < 200 ? b % 96 * 4 : odd[b % 10];
}

static bool holds(uint32_t cmp, int32_t a, int32_t b)
{
	switch (cmp) {
	case 0: return a == b;
	case 1: return a != b;
	case 2: return a > b;
	case 3: return a >= b;
	case 4: return a < b;
	default: return a <= b;
	}
}

static unsigned int offset_result(uint64_t offset)
{
	unsigned int set = offset % 4 ? RET_INVAL : 0;

	return offset > COUNTERS - 4 ? set | RET_RANGE : set;
}

static void op_notify(struct world *w, struct side *s)
{
	uint64_t offset = take_offset();
	uint32_t op = take(&in) % 20, line = (uint32_t)offset / 64;
	int32_t value = (int32_t)take_bytes(&in, 2);
	bool own = offset < COUNTERS && line != 1 && line != 2 && line != 5;
	unsigned int set = ended(s);
	int ret;

	if (s->role == L3L2Q_ROLE_L2)
		own = offset < COUNTERS && !own;
	/* The counters of a queue belong to the queue; the rest of their lines does no harm. */
	if (own && offset % 64 == 0)
		offset += 4;
	op = op < 18 ? op & 1 : op;
	set |= offset_result(offset);
	if (op > 1)
		set |= RET_INVAL;
	if (!own && !offset_result(offset))
		set |= RET_PERM;
	fuzz_trace("%d: notify %#llx op %u", s->role, (unsigned long long)offset, op);
	ret = l3l2q_notify(s->ep, offset, op, value);
	if (!set)
		set = RET_OK | (peer_has_aborted(w, s) ? RET_ABORTED : 0);
	check_result(w, s, ANY, set, ret, false, "notify");
	if (!ret && !w->tainted)
		counter_set(w, (unsigned int)offset, op ? (uint32_t)counter_of(w, (unsigned int)offset) +
			    (uint32_t)value : (uint32_t)value);
	after(w, s);
}

static void op_test(struct world *w, struct side *s)
{
	uint64_t offset = take_offset();
	uint32_t cmp = take(&in) % 24, b = take(&in);
	int32_t value = (int8_t)take(&in), observed = 0x5c, now = 0;
	static const int64_t timeouts[] = { 0, -1, 1, 1000, 100000, 1500000, 1, 1 };
	int64_t timeout = timeouts[b >> 1 & 7];
	bool wait = b & 1, null = b >= 240, hooked = false;
	unsigned int set;
	int ret;

	if (wait && (busy[s->role][ANY] || fuzz_clock.in_hook))
		return;
	cmp = cmp < 22 ? cmp % 6 : cmp;
	set = offset_result(offset) | (cmp > 5 ? RET_INVAL : 0);
	if (!set)
		now = counter_of(w, (unsigned int)offset);
	if (wait && (timeout < 0 || (!timeout && s->role == L3L2Q_ROLE_L3)))
		set |= RET_INVAL;
	if (!set && wait) {
		set = holds(cmp, now, value) ? RET_OK : RET_TIMEDOUT;
		if (peer_has_aborted(w, s))
			set |= RET_ABORTED;
		if (peer_has_detached(w, s))
			set |= RET_PIPE;
	} else if (!set) {
		set = RET_OK;
	}
	if (ended(s))
		set = ended(s) | (set & ~(unsigned int)RET_TIMEDOUT);
	fuzz_trace("%d: %s %#llx cmp %u %d, timeout %lld", s->role, wait ? "wait_counter" : "test",
		   (unsigned long long)offset, cmp, value, (long long)timeout);
	if (wait) {
		before_blocking(w, s, ANY, set, timeout);
		ret = l3l2q_wait_counter(s->ep, offset, cmp, value, timeout, null ? NULL : &observed);
		hooked = after_blocking(s, ANY);
		if (hooked)
			set |= RET_OK | RET_ABORTED | RET_PIPE | RET_TIMEDOUT | ended(s);
		sync_published(w, &w->dir[s->role]);
		if (w->tainted && set & RET_OK)
			set |= RET_TIMEDOUT;
		/* A counter says nothing of an error that is to be recorded. */
		if (ret == -ECONNABORTED && (w->tainted || set & RET_ABORTED) && !s->error) {
			struct l3l2q_error error;

			l3l2q_ep_error(s->ep, &error);
			if (error.kind == L3L2Q_ERR_NONE)
				goto observed;
		}
		check_result(w, s, ANY, set, ret, true, "wait_counter");
	} else {
		ret = l3l2q_test(s->ep, offset, cmp, value, null ? NULL : &observed);
		FUZZ_CHECK(result_of(ret) & set, "test: %d %s, not %#x", ret, ret_name(ret), set);
		if (ret >= 0 && !w->tainted)
			FUZZ_CHECK(ret == holds(cmp, now, value), "test: %d", ret);
	}
observed:
	if (!null && !w->tainted && !hooked) {
		if (ret >= 0 || ret == -ETIMEDOUT)
			FUZZ_CHECK(observed == now, "observed %d, not %d", observed, now);
		else if (result_of(ret) & (RET_INVAL | RET_RANGE))
			FUZZ_CHECK(!observed, "observed %d after an error", observed);
	}
	after(w, s);
}

/* The payload of a queue, by the calls for raw regions; writes into a span only. */
static void op_payload(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[s->role];
	uint64_t offset = take_bytes(&in, 2), n = take(&in), i;
	unsigned int b = take(&in), set;
	unsigned char *buffer = malloc(256);
	int ret;

	offset %= w->payload_bytes + 16;
	if (b >= 224) {
		n = b & 1 ? SIZE_MAX : SIZE_MAX - offset + 1;
		b &= 1;
	}
	memset(buffer, 0x5c, 256);
	set = !n ? RET_INVAL : offset + n < n || offset + n > w->payload_bytes ? RET_RANGE : RET_OK;
	if (b & 2 && d->reserved && n <= d->span.nbytes && n) {
		offset = d->span.payload_offset;
		fill_body(buffer, n);
		set = ended(s) ? ended(s) : RET_OK;
		ret = l3l2q_payload_write(s->ep, offset, buffer, n);
		if (!ret && !w->tainted)
			memcpy(w->payload_image + offset, buffer, n);
		fuzz_trace("%d: payload_write", s->role);
	} else if (b & 2 && set != RET_OK) {
		ret = l3l2q_payload_write(s->ep, offset, buffer, n);
		set |= ended(s);
		fuzz_trace("%d: payload_write %llu at %llu", s->role, (unsigned long long)n,
			   (unsigned long long)offset);
	} else {
		ret = l3l2q_payload_read(s->ep, offset, buffer, n);
		fuzz_trace("%d: payload_read %llu at %llu", s->role, (unsigned long long)n,
			   (unsigned long long)offset);
		if (ended(s))
			set = ended(s) | (set & ~(unsigned int)RET_OK);
		if (!ret && !w->tainted && !is_held_back(w))
			FUZZ_CHECK(!memcmp(buffer, w->payload_image + offset, n), "payload_read: bytes");
		for (i = n > 256 ? 256 : n; i < 256; i++)
			FUZZ_CHECK(buffer[i] == 0x5c, "payload_read wrote past its end");
	}
	if (peer_has_aborted(w, s))
		set |= RET_ABORTED;
	free(buffer);
	check_result(w, s, ANY, set, ret, false, "payload");
	after(w, s);
}

/* A second thread that corrupts the memory during calls, see vandal_start(). */
static pthread_t vandal;
static bool vandal_runs, vandal_stop;

static void op_look(struct world *w, struct side *s)
{
	struct direction *out = &w->dir[s->role], *to = &w->dir[!s->role];
	struct l3l2q_ep_stats stats;
	struct l3l2q_ep_info info;
	uint64_t scalars[L3L2Q_SCALARS];
	char text[1024], *cut;
	size_t size = take(&in) * 2;
	int len, ret;

	fuzz_trace("%d: looks", s->role);
	len = l3l2q_ep_dump(s->ep, text, sizeof(text));
	FUZZ_CHECK(len > 0 && len < (int)sizeof(text) && strlen(text) == (size_t)len, "dump: %d", len);
	cut = malloc(size + 1);
	ret = l3l2q_ep_dump(s->ep, size ? cut : NULL, size);
	/* The counters that it shows can grow by a digit while a second thread corrupts them. */
	FUZZ_CHECK((ret == len || vandal_runs) && (!size || strlen(cut) < size),
		   "dump into %zu: %d", size, ret);
	free(cut);
	l3l2q_ep_stats(s->ep, &stats);
	l3l2q_ep_info(s->ep, &info);
	FUZZ_CHECK(l3l2q_ep_scalars(s->ep, scalars) == (w->spsq ? 10 : 12), "scalars");
	FUZZ_CHECK(scalars[7] == out->depth && scalars[8] == w->dir[0].arena &&
		   scalars[9] == w->dir[1].arena && scalars[10] == (w->spsq ? 0 : w->payload_bytes) &&
		   (!w->spsq || scalars[2] == TRANSACTION), "scalars of another queue");
	FUZZ_CHECK(info.role == s->role && info.window == s->window &&
		   info.payload_bytes == w->payload_bytes, "info");
	if (!busy[s->role][RX] && !w->tainted)
		FUZZ_CHECK(l3l2q_drained(s->c) == is_drained(to) || ended(s), "drained");
	if (!w->tainted && !busy[s->role][TX] && !busy[s->role][RX])
		FUZZ_CHECK(stats.sent == out->published && stats.received == to->head &&
			   stats.sent_bytes == out->published_bytes,
			   "stats: sent %llu of %llu, received %llu of %llu, or bytes",
			   (unsigned long long)stats.sent, (unsigned long long)out->published,
			   (unsigned long long)stats.received, (unsigned long long)to->head);
	ret = l3l2q_fd(s->ep);
	FUZZ_CHECK(w->transport == MEMFD ? ret >= 0 || ended(s) : ret == -EOPNOTSUPP || ended(s),
		   "fd: %d", ret);
	ret = l3l2q_eventfd(s->ep, take(&in) % 5, (int)take(&in) % 4 - 3);
	FUZZ_CHECK(ret == -EOPNOTSUPP || ret == -EINVAL || result_of(ret) & ended(s), "eventfd: %d",
		   ret);
	if (w->transport == EXTERNAL) {
		ret = l3l2q_open_peer(s->ep);
		FUZZ_CHECK(ret == -EOPNOTSUPP || result_of(ret) & ended(s), "open_peer: %d", ret);
	} else if (w->side[0].ours && w->side[1].ours) {
		ret = l3l2q_open_peer(s->ep);
		FUZZ_CHECK(ret == -EBUSY || ret == -EPERM || result_of(ret) & ended(s), "open_peer: %d",
			   ret);
	}
	after(w, s);
}

static void op_abort(struct world *w, struct side *s)
{
	unsigned int set = ended(s);
	int ret;

	fuzz_trace("%d: abort", s->role);
	ret = l3l2q_abort(s->ep);
	if (!set)
		set = RET_OK | (peer_has_aborted(w, s) || w->tainted ? RET_ABORTED : 0);
	FUZZ_CHECK(result_of(ret) & set, "abort: %d %s", ret, ret_name(ret));
	if (!ended(s)) {
		struct l3l2q_error error;

		/* Before any poison the peer's end is looked for. */
		l3l2q_ep_error(s->ep, &error);
		if (error.kind == L3L2Q_ERR_REMOTE_ABORTED && (peer_has_aborted(w, s) || w->tainted)) {
			s->error = -ECONNABORTED;
		} else {
			s->error = -EIO;
			counter_set(w, flag_offset(s->role), 1);
		}
	}
	after(w, s);
}

static void op_detach(struct world *w, struct side *s)
{
	unsigned int set = ended(s);
	int ret;

	fuzz_trace("%d: detach", s->role);
	ret = l3l2q_detach(s->ep);
	FUZZ_CHECK(result_of(ret) & (set ? set : RET_OK), "detach: %d %s", ret, ret_name(ret));
	if (!ret)
		s->detached = true;
	after(w, s);
}

/* ---- what ends a long sleep ----------------------------------------------- */

enum ending {
	OWN_DETACH,
	OWN_ABORT,
	OWN_INTERRUPT,
	PEER_DETACH,
	PEER_ABORT,
	ENDINGS,
};

struct sleep {
	struct world *w;
	struct side *s;
	enum ending by;
};

static void end_sleep(void *arg)
{
	struct sleep *sleep = arg;
	struct world *w = sleep->w;
	struct side *s = sleep->s, *peer = &w->side[!s->role];

	switch (sleep->by) {
	case OWN_DETACH: op_detach(w, s); break;
	case OWN_ABORT: op_abort(w, s); break;
	case OWN_INTERRUPT: op_interrupt(w, s); break;
	case PEER_DETACH: op_detach(w, peer); break;
	default: op_abort(w, peer);
	}
}

/* A call that would sleep for long returns at once, and says why. */
static void op_end_sleep(struct world *w, struct side *s)
{
	static const unsigned int sets[] = {
		[OWN_DETACH] = RET_SHUTDOWN, [OWN_ABORT] = RET_IO, [OWN_INTERRUPT] = RET_INTR,
		[PEER_DETACH] = RET_PIPE, [PEER_ABORT] = RET_ABORTED,
	};
	static const int64_t long_ns = 20000000000;
	struct side *peer = &w->side[!s->role];
	struct sleep sleep = { w, s, OWN_DETACH };
	struct l3l2q_message m;
	enum half half = ANY, i;
	unsigned int set, what, at;
	struct timespec start, now;
	int ret;

	if (w->transport != MEMFD)
		return;
	what = take(&in) % 3;
	sleep.by = take(&in) % ENDINGS;
	at = 1 + take(&in) % 8;
	if (w->tainted || w->pages_written || fuzz_clock.in_hook || ended(s) ||
	    peer_has_aborted(w, s) || peer->detached)
		return;
	if (sleep.by >= PEER_DETACH && (!peer->ours || ended(peer)))
		return;
	if (what == 1 && receive_result(w, s) != RET_AGAIN)
		what = 0;
	half = what == 1 ? RX : ANY;
	for (i = TX; i <= ANY; i++) {
		if (s->interrupted[i] != CLEAR)
			return;
		busy[s->role][i] = true;
	}
	fuzz_trace("%d: sleeps, ended by %d at %u", s->role, sleep.by, at);
	fuzz_clock.looks = fuzz_clock.hook_ran = 0;
	fuzz_clock.hook = end_sleep;
	fuzz_clock.arg = &sleep;
	fuzz_clock.hook_at = at;
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (what == 0)
		ret = l3l2q_wait(s->ep, 0, long_ns);
	else if (what == 1)
		ret = l3l2q_peek(s->c, &m, long_ns);
	else
		ret = l3l2q_wait_counter(s->ep, 4, L3L2Q_CMP_GT, INT32_MAX, long_ns, NULL);
	clock_gettime(CLOCK_MONOTONIC, &now);
	fuzz_clock.hook = hook;
	fuzz_clock.arg = w;
	fuzz_clock.hook_at = 0;
	for (i = TX; i <= ANY; i++)
		busy[s->role][i] = false;
	FUZZ_CHECK(fuzz_clock.hook_ran, "a sleep ends with nothing done: %d %s", ret, ret_name(ret));
	FUZZ_CHECK(now.tv_sec - start.tv_sec < 5, "a sleep goes on after its end: %d %s", ret,
		   ret_name(ret));
	set = sets[sleep.by];
	if (!what && sleep.by >= PEER_DETACH) {
		FUZZ_CHECK(ret == -EPIPE || ret == -ECONNABORTED ||
			   (ret > 0 && ret & (L3L2Q_EVENT_HUP | L3L2Q_EVENT_ABORT)),
			   "the peer's end: %d %s", ret, ret_name(ret));
		set |= RET_OK;
	}
	check_result(w, s, half, set, ret, true, "a long sleep");
	if (ret == -ECONNABORTED && what == 2)
		s->error = 0;		/* not recorded by a counter */
	after(w, s);
}

/* ---- the end that the library does not run ------------------------------- */

static void store(struct world *w, unsigned int offset)
{
	__atomic_store_n((uint32_t *)(void *)(w->counters + offset), (uint32_t)counter_of(w, offset),
			 __ATOMIC_RELEASE);
}

/* Publish one message; perhaps one that breaks the protocol. */
static void peer_publish(struct world *w, enum l3l2q_role role)
{
	struct direction *d = &w->dir[role];
	uint64_t n = take_size(d->arena) % (d->arena + 1), start, oldest, slot[4];
	unsigned int b = take(&in), kind = take(&in);
	uint32_t opcode = b & 1 ? L3L2Q_OP_DATA : L3L2Q_OP_ERROR;
	uint64_t at = d->ring_offset + d->tail % d->depth * 32;
	struct record *r;
	bool early;

	if (has_aborted(w, role) || d->tail - d->head >= d->depth)
		return;
	if (b >= 240 && role == L3L2Q_ROLE_L3) {
		opcode = L3L2Q_OP_STOP;
		n = 0;
	}
	start = place(d, n);
	/* The reference's L2 wraps where it need not. */
	if (role == L3L2Q_ROLE_L2 && b >= 208 && n && d->cursor % d->arena)
		start = d->cursor + d->arena - d->cursor % d->arena;
	if (n && oldest_body(d, &oldest) && start + n - oldest > d->arena)
		return;
	fuzz_trace("%d: (peer) publishes op %u, %llu bytes at %llu, kind %u", role, opcode,
		   (unsigned long long)n, (unsigned long long)start, kind);
	early = start != place(d, n);
	r = append(w, d, opcode, n, start);
	if (w->spsq && early)
		r->bad = BAD_LATE;
	if (opcode == L3L2Q_OP_ERROR && !carries_error(&w->side[role], role))
		r->bad = BAD_EARLY;
	memcpy(slot, w->payload_image + at, sizeof(slot));
	switch (kind) {
	case 240: slot[0]++; r->bad = BAD_EARLY; break;
	case 241: slot[0] += 1ull << 32; r->bad = BAD_EARLY; break;
	case 242: slot[1] = 0; r->bad = BAD_EARLY; break;
	case 243: slot[1] = 4; r->bad = BAD_EARLY; break;
	case 244: slot[1] += 1ull << 32; r->bad = BAD_EARLY; break;
	case 245:
		if (role != L3L2Q_ROLE_L2)
			break;
		slot[1] = L3L2Q_OP_STOP;
		r->bad = BAD_EARLY;
		break;
	case 246:
		if (opcode != L3L2Q_OP_STOP)
			break;
		slot[3] = 8;
		r->bad = BAD_EARLY;
		break;
	case 247:
		if (opcode == L3L2Q_OP_STOP)
			break;
		slot[2] = n ? slot[2] + 1 : d->arena_offset;
		r->bad = r->bad ? r->bad : BAD_LATE;
		break;
	case 248:
		if (opcode == L3L2Q_OP_STOP)
			break;
		slot[3] = d->arena + 1;
		r->bad = r->bad ? r->bad : BAD_LATE;
		break;
	case 249:
		if (!n)
			break;
		slot[2] = w->dir[!role].arena_offset;
		r->bad = r->bad ? r->bad : BAD_LATE;
		break;
	case 250:
		if (!n)
			break;
		slot[3] = UINT64_MAX - 7;
		r->bad = r->bad ? r->bad : BAD_LATE;
		break;
	}
	memcpy(w->payload_image + at, slot, sizeof(slot));
	if (n) {
		fill_body(body_buffer, n);
		memcpy(w->payload_image + r->offset, body_buffer, n);
		memcpy(w->payload + r->offset, body_buffer, n);
	}
	memcpy(w->payload + at, slot, sizeof(slot));
	if (b & 2)
		return;			/* the counter follows with the next one */
	publish(w, d);
	store(w, d->tail_offset);
}

static void peer_release(struct world *w, enum l3l2q_role role)
{
	struct direction *d = &w->dir[!role];
	unsigned int n = 1 + take(&in) % 4;

	if (has_aborted(w, role))
		return;
	fuzz_trace("%d: (peer) releases %u", role, n);
	for (; n && d->head < d->published; n--)
		d->head++;
	d->acquired = d->head;
	if (has_room(d, d->refused_nbytes))
		d->refused = false;
	counter_set(w, d->head_offset, d->head);
	store(w, d->head_offset);
}

/* As an end that goes to sleep over memfd. */
static void peer_arm(struct world *w, enum l3l2q_role role)
{
	struct side *s = &w->side[role];

	if (w->transport != MEMFD || w->pages_written || ended(&w->side[!role]))
		return;
	fuzz_trace("%d: (peer) arms", role);
	s->armed = L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT | L3L2Q_EVENT_ABORT;
	s->armed_tail = w->dir[!role].published;
	s->armed_head = w->dir[role].head;
	__atomic_store_n(played_armed(w, role), s->armed, __ATOMIC_SEQ_CST);
}

static void peer_abort(struct world *w, enum l3l2q_role role)
{
	static const int32_t values[] = { 1, 1, 1, 2, INT32_MAX };
	int32_t value = values[take(&in) % 5];

	fuzz_trace("%d: (peer) aborts with %d", role, value);
	counter_set(w, flag_offset(role), (uint32_t)value);
	store(w, flag_offset(role));
}

/* Where the lines of the region's own abort flags lie stays alone: see check_error(). */
static bool is_own_flag(const struct world *w, uint64_t offset)
{
	return (w->side[0].ours && offset / 64 == 4) || (w->side[1].ours && offset / 64 == 5);
}

static void corrupt(struct world *w, uint64_t where, uint64_t value, unsigned int how)
{
	uint32_t *counter;

	switch (how % 4) {
	case 0:
	case 1:
		where = where % (COUNTERS / 64) * 64;
		if (is_own_flag(w, where))
			return;
		counter = (uint32_t *)(void *)(w->counters + where);
		*counter = how & 4 ? *counter + (uint32_t)(int8_t)value : (uint32_t)value;
		break;
	case 2:	/* a word of a descriptor */
		where = where % (w->dir[0].depth * 8) * 8;
		memcpy(w->payload + where, &value, 8);
		break;
	default:
		w->payload[where % w->payload_bytes] = (unsigned char)value;
	}
}

/*
 * True of a counter that the library alone stores: it never reads its own back, so what
 * the peer writes there changes nothing.
 */
static bool is_written_only(struct world *w, uint64_t where)
{
	uint32_t offset = (uint32_t)(where % (COUNTERS / 64) * 64);
	struct side *s = &w->side[w->side[0].ours ? 0 : 1];
	struct direction *out = &w->dir[s->role];

	if (w->side[!s->role].ours)
		return false;
	return (offset == out->tail_offset && out->published == out->tail) ||
	       offset == w->dir[!s->role].head_offset;
}

/*
 * Over memfd the peer can write the control and status pages, too. By what the control
 * pages hold it can delay calls, no more.
 */
static void corrupt_pages(struct world *w, uint64_t where, uint32_t value)
{
	struct l3l2q_ep *ep = w->side[0].ep ? w->side[0].ep : w->side[1].ep;
	unsigned int map;
	uint32_t *word;

	for (map = 0; map < L3L2Q_MAPS; map++) {
		if (map == L3L2Q_MAP_PAYLOAD || map == L3L2Q_MAP_COUNTERS || !ep->maps[map].addr)
			continue;
		if (where-- % 4 == 0) {
			word = (uint32_t *)ep->maps[map].addr + where / 4 % 64;
			*word = value;
			w->pages_written = true;
			w->tainted |= map == L3L2Q_MAP_STATUS;
			return;
		}
	}
}

static void op_corrupt(struct world *w)
{
	static const uint64_t values[] = {
		0, 1, 2, UINT32_MAX, 1ull << 31, UINT64_MAX, 1ull << 32, 0x100, 7, UINT64_MAX - 31,
	};
	uint64_t where = take_bytes(&in, 2), value = values[take(&in) % 10];
	unsigned int how = take(&in);

	fuzz_trace("corrupt %llu by %#llx, %u", (unsigned long long)where, (unsigned long long)value,
		   how);
	if (w->transport == MEMFD && how >= 128) {
		corrupt_pages(w, where, (uint32_t)value);
		return;
	}
	if (how % 4 > 1 || !is_written_only(w, where))
		w->tainted = true;
	corrupt(w, where, value + (how >> 4), how);
	if (!w->tainted)
		memcpy(w->counter_image, w->counters, COUNTERS);
}

/* ---- one input ----------------------------------------------------------- */

static void call(struct world *w, struct side *s, unsigned int op)
{
	switch (op) {
	case 0: case 1: case 2: case 3: op_enqueue(w, s, false); break;
	case 4: op_enqueue(w, s, true); break;
	case 5: case 6: op_reserve(w, s); break;
	case 7: case 8: op_commit(w, s); break;
	case 9: op_cancel(w, s); break;
	case 10: op_batch(w, s); break;
	case 11: if (take(&in) >= 160) op_stop(w, s); break;
	case 12: case 13: case 14: op_peek(w, s); break;
	case 15: op_read_into(w, s); break;
	case 16: case 17: case 18: op_release(w, s); break;
	case 19: case 20: op_dequeue(w, s); break;
	case 21: op_peek_batch(w, s); break;
	case 22: op_release_batch(w, s); break;
	case 23: case 24: op_wait(w, s); break;
	case 25: op_notify(w, s); break;
	case 26: op_test(w, s); break;
	case 27: op_payload(w, s); break;
	case 28: op_look(w, s); break;
	case 29:
		op = take(&in);
		if (op >= 224)
			op_abort(w, s);
		else if (op >= 128)
			op_end_sleep(w, s);
		break;
	case 30: if (take(&in) >= 224) op_detach(w, s); break;
	case 31: op_interrupt(w, s); break;
	default: op_room(w, s); break;
	}
}

static void call_run(struct world *w, struct side *s, unsigned int op)
{
	switch (op) {
	case 0: op_enqueue_run(w, s); break;
	case 1: op_reserve_run(w, s); break;
	case 2: op_commit_run(w, s); break;
	case 3: op_peek_run(w, s); break;
	default: op_release_upto(w, s); break;
	}
}

static void peer(struct world *w, enum l3l2q_role role, unsigned int op)
{
	switch (op & 7) {
	case 0: if (take(&in) >= 224) peer_abort(w, role); break;
	case 1: case 2: case 3: case 4: peer_publish(w, role); break;
	case 5: peer_arm(w, role); break;
	default: peer_release(w, role);
	}
}

static void step(struct world *w)
{
	unsigned int op = take(&in), role = op & 1;

	op >>= 1;
	if (op >= 126) {
		if (take(&in) >= 192)
			op_corrupt(w);
	} else if (w->side[role].ours) {
		if (op >= 99 && !w->side[!role].ours)
			peer(w, (enum l3l2q_role)!role, op);
		else if (op >= 66 && op < 76)
			call_run(w, &w->side[role], (op - 66) / 2);
		else
			call(w, &w->side[role], op % 33);
	} else {
		peer(w, (enum l3l2q_role)role, op);
	}
}

/* Messages of a whole arena go through eventually, if both ends go on. */
static void check_whole_arena(struct world *w)
{
	struct side *s, *t;
	struct direction *d;
	struct l3l2q_message m;
	unsigned int i, role;
	int ret;

	if (w->tainted || !w->side[0].ours || !w->side[1].ours)
		return;
	for (role = 0; role < 2; role++) {
		s = &w->side[role];
		t = &w->side[!role];
		d = &w->dir[role];
		if (ended(s) || ended(t) || d->stop_sent || d->reserved ||
		    peer_has_aborted(w, s) || peer_has_aborted(w, t))
			continue;
		if (d->batching) {
			FUZZ_CHECK(!l3l2q_batch_publish(s->p), "publish");
			d->batching = false;
			publish(w, d);
		}
		for (i = 0; i < RECORDS; i++) {
			if (d->is_held[i]) {
				m = d->held[i];
				FUZZ_CHECK(!l3l2q_release(t->c, &m), "release of what is held");
				released(w, d, &m);
			}
		}
		while (d->acquired < d->published) {
			FUZZ_CHECK(!l3l2q_try_peek(t->c, &m), "peek of what is there");
			acquired(w, t, &m);
			FUZZ_CHECK(!l3l2q_release(t->c, &m), "release of what is held");
			released(w, d, &m);
		}
		fill_body(body_buffer, d->arena);
		ret = l3l2q_try_enqueue(s->p, L3L2Q_OP_DATA, body_buffer, d->arena);
		FUZZ_CHECK(!ret, "a message of the whole arena in an empty queue: %d", ret);
		sent(w, d, L3L2Q_OP_DATA, body_buffer, d->arena, place(d, d->arena));
		check_image(w);
	}
}

/* ---- making a queue ------------------------------------------------------ */

/* Where a copy call has to go, which the library must keep inside the range. */
static unsigned char *copy_place(struct world *w, uint32_t range, uint64_t offset, size_t n)
{
	uint64_t bytes = range == L3L2Q_RANGE_PAYLOAD ? w->payload_bytes : COUNTERS;

	FUZZ_CHECK(range <= L3L2Q_RANGE_COUNTERS && n && offset <= bytes && n <= bytes - offset,
		   "a copy of %zu bytes at %llu of range %u", n, (unsigned long long)offset, range);
	return (range == L3L2Q_RANGE_PAYLOAD ? w->payload : w->counters) + offset;
}

static int copy_read(void *ctx, uint32_t range, uint64_t offset, void *to, size_t n)
{
	memcpy(to, copy_place(ctx, range, offset, n), n);
	return 0;
}

static int copy_write(void *ctx, uint32_t range, uint64_t offset, const void *from, size_t n)
{
	memcpy(copy_place(ctx, range, offset, n), from, n);
	return 0;
}

static bool start_external(struct world *w, struct l3l2q_attr *attr, unsigned int ends)
{
	struct l3l2q_external ext = { .memory = w->memory };
	enum l3l2q_role role;
	struct l3l2q_region_desc region = {
		L3L2Q_REGION_V2, 7, 0, w->payload_bytes, 0, COUNTERS,
	};
	struct l3l2q_queue_desc queue = {
		l3l2q_queue_version(w->spsq), w->dir[0].depth, w->dir[0].arena, w->dir[1].arena,
		w->payload_bytes, COUNTERS,
	};
	const __u64 identity[2] = { 0, TRANSACTION };
	__u64 scalars[L3L2Q_SCALARS];
	int ret;

	if (!fuzz_guard(&payload_memory, w->payload_bytes) || !fuzz_guard(&counter_memory, COUNTERS))
		return false;
	w->payload = payload_memory.start;
	w->counters = counter_memory.start;
	memset(w->payload, 0xa5, w->payload_bytes);
	memset(w->counters, 0, COUNTERS);
	region.payload_base = (uintptr_t)w->payload;
	region.counter_base = (uintptr_t)w->counters;
	ext.scalar_count = l3l2q_binding_scalars(w->spsq, identity, &region, &queue, scalars);
	memcpy(ext.scalars, scalars, sizeof(scalars));
	if (w->memory == L3L2Q_MEMORY_COPIED) {
		ext.read = copy_read;
		ext.write = copy_write;
		ext.ctx = w;
		ext.buffer_bytes = w->dir[0].depth & 2 ? 64 : 0;
	} else {
		ext.payload = w->payload;
		ext.counters = w->counters;
	}
	for (role = L3L2Q_ROLE_L3; role <= L3L2Q_ROLE_L2; role++) {
		if (!(ends & 1u << role))
			continue;
		ext.role = role;
		attr->window = w->side[role].window;
		ret = l3l2q_attach_external(&w->side[role].ep, &ext, attr, NULL);
		FUZZ_CHECK(!ret, "attach_external: %d", ret);
	}
	return true;
}

static bool start_memfd(struct world *w, struct l3l2q_attr *attr, unsigned int ends)
{
	struct l3l2q_ep_info info;
	int fd, ret;

	attr->transport = "memfd";
	attr->role = ends & 1 ? L3L2Q_ROLE_L3 : L3L2Q_ROLE_L2;
	attr->depth = w->dir[0].depth;
	attr->input_arena_bytes = w->dir[0].arena;
	attr->output_arena_bytes = w->dir[1].arena;
	attr->window = w->side[attr->role].window;
	attr->binding = w->spsq;
	attr->identity[1] = w->spsq ? TRANSACTION : 0;
	ret = l3l2q_create(&w->side[attr->role].ep, attr, NULL);
	FUZZ_CHECK(!ret, "create: %d", ret);
	if (ends == 3) {
		fd = l3l2q_open_peer(w->side[0].ep);
		FUZZ_CHECK(fd >= 0, "open_peer: %d", fd);
		*attr = (struct l3l2q_attr){ .window = w->side[1].window, .spin_ns = attr->spin_ns };
		ret = l3l2q_attach(&w->side[1].ep, fd, attr, NULL);
		FUZZ_CHECK(!ret, "attach: %d", ret);
	}
	l3l2q_ep_info(w->side[ends & 1 ? 0 : 1].ep, &info);
	w->payload = info.payload;
	w->counters = info.counters;
	return true;
}

static bool start(struct world *w)
{
	static const uint64_t spins[] = { 0, L3L2Q_SPIN_OFF, 1, 5000 };
	unsigned int b = take(&in), ends, role;
	struct l3l2q_attr attr = { 0 };
	struct l3l2q_ep_info info;
	uint32_t depth;

	memset(w, 0, sizeof(*w));
	memset(busy, 0, sizeof(busy));
	w->transport = (b & 7) == 7 ? MEMFD : EXTERNAL;
	w->memory = w->transport == MEMFD ? L3L2Q_MEMORY_CACHED :
		    (b & 3) == 3 ? L3L2Q_MEMORY_COPIED : b & 3;
	ends = 1 + (b >> 3) % 3;
	if (w->transport == MEMFD)
		ends = b & 64 ? 3 : ends;
	attr.spin_ns = spins[b >> 6];
	depth = take(&in);
	w->spsq = depth >= 192;
	depth = 1u << depth % 4;
	if (depth == 1 && w->memory != L3L2Q_MEMORY_CACHED && w->memory != L3L2Q_MEMORY_COPIED)
		depth = 2;
	b = take(&in);
	model_layout(w, depth, 64 * (1 + b % 8), 64 * (1 + b / 8 % 8));
	b = take(&in);
	for (role = 0; role < 2; role++) {
		w->side[role].role = (enum l3l2q_role)role;
		w->side[role].spsq = w->spsq;
		w->side[role].ours = ends & 1u << role;
		w->side[role].window = 1 + (role ? b >> 4 : b) % depth;
	}
	fuzz_clock.is_virtual = w->transport == EXTERNAL;
	fuzz_clock.hook = hook;
	fuzz_clock.arg = w;
	fuzz_clock.hook_at = 0;
	fuzz_trace("%s%s memory %u ends %u depth %u arenas %llu %llu windows %u %u",
		   w->transport == MEMFD ? "memfd" : "external", w->spsq ? ", SPSQ," : "",
		   w->memory, ends, depth,
		   (unsigned long long)w->dir[0].arena, (unsigned long long)w->dir[1].arena,
		   w->side[0].window, w->side[1].window);
	if (!(w->transport == MEMFD ? start_memfd : start_external)(w, &attr, ends))
		return false;
	for (role = 0; role < 2; role++) {
		if (!w->side[role].ours)
			continue;
		l3l2q_ep_info(w->side[role].ep, &info);
		w->side[role].payload = info.payload;
		w->side[role].p = l3l2q_ep_producer(w->side[role].ep);
		w->side[role].c = l3l2q_ep_consumer(w->side[role].ep);
	}
	memcpy(w->payload_image, w->payload, w->payload_bytes);
	check_image(w);
	return true;
}

/*
 * A second thread that writes over memory during calls. It makes runs differ, so only
 * long campaigns ask for it.
 */
static void *vandal_main(void *arg)
{
	struct world *w = arg;
	uint64_t state = 88172645463325252u;

	while (!__atomic_load_n(&vandal_stop, __ATOMIC_RELAXED)) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		corrupt(w, state >> 8, state & 1 ? state >> 60 : state >> 32, (unsigned int)state & 7);
		if (w->transport == MEMFD && (state >> 5 & 7) == 0)
			corrupt_pages(w, state >> 8, (uint32_t)(state >> 40));
		sched_yield();
	}
	return NULL;
}

static void vandal_start(struct world *w)
{
	const char *wanted = getenv("L3L2Q_FUZZ_THREAD");
	unsigned int b = take(&in);	/* also where it does not count: inputs stay what they are */

	if (!wanted || !*wanted || b < 248)
		return;
	fuzz_trace("a second thread corrupts");
	w->tainted = true;
	vandal_stop = false;
	vandal_runs = !pthread_create(&vandal, NULL, vandal_main, w);
}

static void vandal_end(void)
{
	if (!vandal_runs)
		return;
	__atomic_store_n(&vandal_stop, true, __ATOMIC_RELAXED);
	pthread_join(vandal, NULL);
	vandal_runs = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = &world;
	unsigned int ops = 0;

	in = (struct fuzz_input){ data, data + size };
	fuzz_trace_clear();
	if (size < 6 || !start(w))
		return -1;
	vandal_start(w);
	while (more(&in) && ops++ < MAX_OPS)
		step(w);
	vandal_end();
	check_whole_arena(w);
	if (getenv("L3L2Q_FUZZ_TRACE"))
		fuzz_trace_print();
	l3l2q_close(w->side[size & 1].ep);
	l3l2q_close(w->side[!(size & 1)].ep);
	if (w->transport == EXTERNAL) {
		check_image(w);
		fuzz_unguard(&payload_memory);
		fuzz_unguard(&counter_memory);
	}
	return 0;
}
