/* SPDX-License-Identifier: MIT */
/*
 * A model of the queue, written from uapi/protocol.md (sections 2 to 6) and the manual
 * alone: what lies in the region, what each end holds, and which results a call may
 * have. It shares no logic with the library.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <errno.h>

#include <l3l2q.h>

#include "fuzz.h"

#define MAX_DEPTH	8u
#define MAX_ARENA	512u
#define MAX_PAYLOAD	(2 * MAX_DEPTH * 32 + 2 * MAX_ARENA)
#define COUNTERS	384u
#define RECORDS		16u		/* by index; more than a ring holds */
#define OLD_HANDLES	4u

/* Results, as sets. */
enum {
	RET_OK		= 1 << 0,
	RET_AGAIN		= 1 << 1,
	RET_TIMEDOUT	= 1 << 2,
	RET_INVAL		= 1 << 3,
	RET_MSGSIZE	= 1 << 4,
	RET_PIPE		= 1 << 5,
	RET_SHUTDOWN	= 1 << 6,
	RET_OWNERSHIP	= 1 << 7,
	RET_BADMSG	= 1 << 8,
	RET_ABORTED	= 1 << 9,
	RET_IO		= 1 << 10,
	RET_RANGE		= 1 << 11,
	RET_PERM		= 1 << 12,
	RET_INTR		= 1 << 13,
	RET_NOTSUP	= 1 << 14,
	RET_BUSY		= 1 << 15,
	RET_OTHER		= 1 << 16,
};

#define RET_POISON (RET_OWNERSHIP | RET_BADMSG)

#define OWNERSHIP_ERRNO	ESTALE
#define STOPPED		RET_SHUTDOWN

/* What is wrong with a message that a hostile peer has published. */
enum badness {
	GOOD,
	BAD_EARLY,			/* seq, opcode, shape of STOP: seen past a full window */
	BAD_LATE,			/* shape, place: seen once there is room for it */
};

struct record {
	uint64_t start;			/* virtual, of the body */
	uint64_t offset;
	uint64_t nbytes;
	uint32_t opcode;
	enum badness bad;
	bool done;			/* released */
};

/* One direction; its producer is the role of the same number. */
struct direction {
	uint64_t ring_offset;
	uint64_t arena_offset;
	uint64_t arena;
	uint32_t depth;
	uint32_t tail_offset;		/* of the counters */
	uint32_t head_offset;
	uint64_t tail;			/* with what a batch holds back */
	uint64_t published;
	uint64_t published_bytes;
	uint64_t head;
	uint64_t cursor;
	struct record record[RECORDS];
	/* producer */
	bool batching;
	bool reserved;
	bool stop_sent;
	bool refused;			/* the last send was: no progress */
	uint64_t refused_nbytes;
	struct l3l2q_reservation span;
	int span_count;			/* spans of a run */
	/* consumer */
	uint64_t acquired;
	bool stop_acquired;
	bool nothing;			/* the last receive was: no progress */
	struct l3l2q_message held[RECORDS]; /* by index of the message */
	bool is_held[RECORDS];
	const struct l3l2q_message *own[RECORDS]; /* of a run: the consumer's handles */
	struct l3l2q_message old[OLD_HANDLES];
	unsigned int nr_old;
};

enum flag {
	CLEAR,
	SET,
	MAYBE,
};

struct side {
	enum l3l2q_role role;
	bool ours;			/* the library runs it; else the fuzzer does */
	struct l3l2q_ep *ep;
	struct l3l2q_producer *p;
	struct l3l2q_consumer *c;
	unsigned char *payload;		/* as this end has mapped it */
	uint32_t window;
	bool spsq;			/* as the world */
	int error;			/* recorded: -errno or 0 */
	bool detached;
	enum flag interrupted[3];	/* producer, consumer, neither */
	/* memfd: what this end sleeps or polls for, and how things were when it armed */
	uint32_t armed;
	uint64_t armed_tail;
	uint64_t armed_head;
};

struct world {
	enum { EXTERNAL, MEMFD } transport;
	uint32_t memory;
	bool spsq;			/* the binding */
	bool tainted;			/* written into by force: weaker rules from here on */
	bool pages_written;		/* memfd: control pages were: wake-ups may be lost */
	uint64_t payload_bytes;
	unsigned char *payload;
	unsigned char *counters;
	struct direction dir[2];
	struct side side[2];
	unsigned char payload_image[MAX_PAYLOAD];
	unsigned char counter_image[COUNTERS];
};

static inline unsigned int result_of(int ret)
{
	switch (ret) {
	case -EAGAIN: return RET_AGAIN;
	case -ETIMEDOUT: return RET_TIMEDOUT;
	case -EINVAL: return RET_INVAL;
	case -EMSGSIZE: return RET_MSGSIZE;
	case -EPIPE: return RET_PIPE;
	case -ESHUTDOWN: return RET_SHUTDOWN;
	case -OWNERSHIP_ERRNO: return RET_OWNERSHIP;
	case -EBADMSG: return RET_BADMSG;
	case -ECONNABORTED: return RET_ABORTED;
	case -EIO: return RET_IO;
	case -ERANGE: return RET_RANGE;
	case -EPERM: return RET_PERM;
	case -EINTR: return RET_INTR;
	case -EOPNOTSUPP: return RET_NOTSUP;
	case -EBUSY: return RET_BUSY;
	default: return ret >= 0 ? RET_OK : RET_OTHER;
	}
}

/* ---- what lies in the region ------------------------------------------- */

static inline int32_t counter_of(const struct world *w, unsigned int offset)
{
	int32_t value;

	memcpy(&value, w->counter_image + offset, sizeof(value));
	return value;
}

static inline void counter_set(struct world *w, unsigned int offset, uint64_t value)
{
	uint32_t low = (uint32_t)value;

	memcpy(w->counter_image + offset, &low, sizeof(low));
}

static inline unsigned int flag_offset(enum l3l2q_role role)
{
	return role == L3L2Q_ROLE_L3 ? 256 : 320;
}

static inline bool has_aborted(const struct world *w, enum l3l2q_role role)
{
	return counter_of(w, flag_offset(role)) >= 1;
}

static inline struct record *record_of(struct direction *d, uint64_t index)
{
	return &d->record[index % RECORDS];
}

static inline void model_layout(struct world *w, uint32_t depth, uint64_t in, uint64_t out)
{
	struct direction *d = w->dir;

	memset(d, 0, sizeof(w->dir));
	d[0].depth = d[1].depth = depth;
	d[0].arena = in;
	d[1].arena = out;
	d[1].ring_offset = depth * 32;
	d[0].arena_offset = 2 * depth * 32;
	d[1].arena_offset = d[0].arena_offset + in;
	d[0].tail_offset = 0;
	d[0].head_offset = 64;
	d[1].tail_offset = 128;
	d[1].head_offset = 192;
	w->payload_bytes = d[1].arena_offset + out;
}

/* ---- sending ------------------------------------------------------------ */

/* Where a body goes: its virtual start. Section 4. */
static inline uint64_t place(const struct direction *d, uint64_t n)
{
	uint64_t pos = d->cursor % d->arena;

	return n && pos + n > d->arena ? d->cursor + d->arena - pos : d->cursor;
}

static inline bool oldest_body(struct direction *d, uint64_t *start)
{
	uint64_t i;

	for (i = d->head; i < d->tail; i++) {
		if (record_of(d, i)->nbytes) {
			*start = record_of(d, i)->start;
			return true;
		}
	}
	return false;
}

static inline bool has_room(struct direction *d, uint64_t n)
{
	uint64_t start;

	if (d->tail - d->head >= d->depth)
		return false;
	return !n || !oldest_body(d, &start) || place(d, n) + n - start <= d->arena;
}

/* Append a message to the model and its descriptor to the image; not the body. */
static inline struct record *append(struct world *w, struct direction *d, uint32_t opcode,
				    uint64_t n, uint64_t start)
{
	struct record *r = record_of(d, d->tail);
	uint64_t slot[4];

	*r = (struct record){
		.start = start, .nbytes = n, .opcode = opcode,
		.offset = n ? d->arena_offset + start % d->arena : 0,
	};
	slot[0] = d->tail + 1;
	slot[1] = opcode;
	slot[2] = r->offset;
	slot[3] = n;
	memcpy(w->payload_image + d->ring_offset + d->tail % d->depth * 32, slot, sizeof(slot));
	if (n)
		d->cursor = start + n;
	d->tail++;
	d->refused = false;
	return r;
}

static inline void publish(struct world *w, struct direction *d)
{
	if (d->published == d->tail)
		return;
	d->nothing = false;
	for (; d->published != d->tail; d->published++)
		d->published_bytes += record_of(d, d->published)->nbytes;
	counter_set(w, d->tail_offset, d->published);
}

/* ---- receiving ---------------------------------------------------------- */

static inline void release_prefix(struct world *w, struct direction *d)
{
	uint64_t head = d->head;

	while (d->head < d->acquired && record_of(d, d->head)->done)
		d->head++;
	if (d->head == head)
		return;
	d->nothing = false;
	if (has_room(d, d->refused_nbytes))
		d->refused = false;
	counter_set(w, d->head_offset, d->head);
}

static inline bool is_drained(struct direction *d)
{
	return d->stop_acquired && d->head == d->acquired;
}

/* ---- results ------------------------------------------------------------ */

/* What an endpoint that has ended says to anything; 0 while it lives. */
static inline unsigned int ended(const struct side *s)
{
	if (s->detached)
		return RET_SHUTDOWN;
	return s->error ? result_of(s->error) : 0;
}

static inline bool peer_has_aborted(const struct world *w, const struct side *s)
{
	return has_aborted(w, (enum l3l2q_role)!s->role);
}

/* The peer's clean end is seen over memfd only. */
static inline bool peer_has_detached(const struct world *w, const struct side *s)
{
	return w->transport == MEMFD && w->side[!s->role].detached;
}

/* No poison, but the peer's abort; by force, its flag may have been cleared again. */
static inline unsigned int aborted_instead(const struct world *w, unsigned int set)
{
	return (w->tainted ? set : set & ~(unsigned int)RET_POISON) | RET_ABORTED;
}

/*
 * A sending call whose own checks say @set. Before any poison the peer's end is looked
 * for; whether a try form looks where there is room is up to the transport.
 */
static inline unsigned int with_peer(const struct world *w, const struct side *s,
				     unsigned int set)
{
	if (peer_has_aborted(w, s)) {
		if (set & RET_POISON)
			set = aborted_instead(w, set);
		if (set & (RET_OK | RET_AGAIN | RET_MSGSIZE | STOPPED))
			set |= RET_ABORTED;
	}
	if (peer_has_detached(w, s) && set & (RET_OK | RET_AGAIN | RET_MSGSIZE | RET_POISON | STOPPED))
		set |= RET_PIPE;
	return set;
}

/* The checks of section 4, consequence 4: liveness, STOP, ownership, size, room. */
static inline unsigned int send_result(struct world *w, struct side *s, uint64_t n,
				       unsigned int opcode_result)
{
	struct direction *d = &w->dir[s->role];
	unsigned int set = ended(s);

	if (set)
		return set | (opcode_result & RET_INVAL);
	set = opcode_result;
	if (d->stop_sent)
		set |= STOPPED;
	if (d->reserved)
		set |= RET_OWNERSHIP;
	if (!set || set == (opcode_result & RET_INVAL && n > d->arena))
		set |= n > d->arena ? RET_MSGSIZE : has_room(d, n) ? RET_OK : RET_AGAIN;
	return with_peer(w, s, set);
}

/* True if a direction carries ERROR: with SPSQ input does not. */
static inline bool carries_error(const struct side *s, enum l3l2q_role sender)
{
	return !s->spsq || sender == L3L2Q_ROLE_L2;
}

/* An opcode given to enqueue or commit. */
static inline unsigned int opcode_result(const struct side *s, uint32_t opcode)
{
	if (opcode == L3L2Q_OP_DATA || (opcode == L3L2Q_OP_ERROR && carries_error(s, s->role)))
		return 0;
	return s->role == L3L2Q_ROLE_L3 ? RET_INVAL : RET_BADMSG;
}

/* True if one handle at most is held, and a peek meanwhile is not "no progress". */
static inline bool has_one_handle(const struct side *s)
{
	return s->window == 1 && !(s->spsq && s->role == L3L2Q_ROLE_L2);
}

/* What a look for the next message finds, by section 5; the same handle again is OK. */
static inline unsigned int receive_result(struct world *w, struct side *s)
{
	struct direction *d = &w->dir[!s->role];
	uint64_t held = d->acquired - d->head;
	struct record *r = record_of(d, d->acquired);
	bool empty = false;
	unsigned int set;

	if (s->detached || (s->error && s->error != -ECONNABORTED))
		return ended(s);
	if (has_one_handle(s) && held) {
		set = s->role == L3L2Q_ROLE_L3 ? RET_OK : RET_OWNERSHIP;
	} else if (d->acquired == d->published) {
		set = RET_AGAIN;
		empty = true;
	} else if (d->stop_acquired) {
		set = RET_BADMSG;
	} else if (r->bad == BAD_EARLY) {
		set = RET_BADMSG | (held >= s->window ? RET_AGAIN : 0);
	} else if (r->opcode == L3L2Q_OP_STOP) {
		set = d->published > d->acquired + 1 ? RET_BADMSG : RET_OK;
		if (held >= s->window && set == RET_BADMSG)
			set |= RET_AGAIN;
	} else if (held >= s->window) {
		set = RET_AGAIN;
	} else {
		set = r->bad ? RET_BADMSG : RET_OK;
	}
	if (peer_has_aborted(w, s) || s->error) {
		if (set & RET_POISON)
			set = aborted_instead(w, set);
		if (set & RET_AGAIN)
			set = empty ? RET_ABORTED : set | RET_ABORTED;
		/* Memfd asks the kernel now and then; the flag is read with it. */
		if (empty && w->transport == MEMFD)
			set |= RET_AGAIN;
	}
	if (peer_has_detached(w, s) && set & (RET_AGAIN | RET_ABORTED))
		set |= RET_PIPE;
	return set;
}

static inline bool same_message(const struct l3l2q_message *a, const struct l3l2q_message *b)
{
	return a->seq == b->seq && a->payload_offset == b->payload_offset &&
	       a->nbytes == b->nbytes && a->data == b->data && a->opcode == b->opcode;
}

/* The held message that a handle names, or NULL. */
static inline struct l3l2q_message *held_message(struct direction *d,
						 const struct l3l2q_message *m)
{
	struct l3l2q_message *held = &d->held[(m->seq - 1) % RECORDS];

	return d->is_held[(m->seq - 1) % RECORDS] && same_message(held, m) ? held : NULL;
}

#endif /* FUZZ_MODEL_H */
