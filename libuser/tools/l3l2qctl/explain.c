// SPDX-License-Identifier: MIT
/*
 * Why a queue does not go on, in sentences: from counters, control words and the state
 * of processes, all of which may have changed since. The most telling comes first.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "ctl.h"

struct speech {
	void (*say)(void *arg, const char *sentence);
	void *arg;
	unsigned int said;
};

static void say(struct speech *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct speech *s, const char *format, ...)
{
	char sentence[256];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	s->say(s->arg, sentence);
	s->said++;
}

/* @from: enum l3l2q_role of the producer */
struct direction direction_of(const struct queue *q, unsigned int from)
{
	const struct l3l2q_query_region *r = &q->region;
	const struct l3l2q_region_end *tx = &r->ends[from], *rx = &r->ends[!from];
	struct direction d = {
		.from = from,
		.tail = (uint32_t)r->counters[from == L3L2Q_ROLE_L3 ? 0 : 2],
		.head = (uint32_t)r->counters[from == L3L2Q_ROLE_L3 ? 1 : 3],
		.need_head = tx->need_head,
	};

	d.used = d.tail - d.head;
	d.knows_taken = rx->consumer_flags & L3L2Q_CONSUMER_SEEN;
	if (d.knows_taken && rx->seen_tail - d.head <= d.used)
		d.taken = rx->seen_tail - d.head;
	d.wants_room = tx->producer_flags & L3L2Q_PRODUCER_NEED &&
		       !l3l2q_writable(d.tail, d.head, r->depth, tx->producer_flags, tx->need_head);
	return d;
}

static bool is_alive(const struct l3l2q_region_end *end)
{
	return end->state == L3L2Q_STATE_ATTACHED;
}

bool has_aborted(const struct queue *q, unsigned int role)
{
	return q->region.depth && l3l2q_abort_is_set(q->region.counters[4 + role]);
}

static char run_state(const struct queue *q, unsigned int role)
{
	uint32_t pid = q->region.ends[role].process.pid;

	if (q->dumped)
		return q->run[role];
	return pid ? process_state(pid) : 0;
}

static void explain_removal(struct speech *s, const struct queue *q)
{
	static const char *const why[] = {
		[L3L2Q_REMOVAL_NONE] = "with its device or by its provider",
		[L3L2Q_REMOVAL_DEVICE] = "with its device, which was removed or unbound",
		[L3L2Q_REMOVAL_ERROR] = "because its device reported an error or does not answer",
		[L3L2Q_REMOVAL_RESET] = "because its device was reset",
		[L3L2Q_REMOVAL_POWER] = "because the system was suspended",
		[L3L2Q_REMOVAL_PROVIDER] = "by its provider, which has taken it back",
	};
	uint32_t removal = q->region.removal;

	say(s, "The memory was removed %s. Both ends have to make a new queue.",
	    why[removal < sizeof(why) / sizeof(why[0]) ? removal : 0]);
}

/* Who has refused a binding has not attached, and nothing else tells. */
static void explain_unattached(struct speech *s, const struct queue *q, unsigned int role)
{
	bool spsq = q->region.binding == L3L2Q_BINDING_SPSQ;

	if (q->region.ends[role].state == L3L2Q_STATE_NONE)
		say(s, "%s: nobody has opened this end.", role_name(role));
	else
		say(s, "%s has not attached.", role_name(role));
	if (q->region.depth && role == L3L2Q_ROLE_L2)
		say(s, "L2 has to expect the %s binding, %s scalars: one for %s refuses this queue.",
		    spsq ? "SPSQ" : "L3Q2", spsq ? "ten" : "twelve", spsq ? "L3Q2" : "SPSQ");
}

static void explain_end(struct speech *s, const struct queue *q, unsigned int role)
{
	const struct l3l2q_region_end *end = &q->region.ends[role];
	const char *name = role_name(role);
	char state;

	switch (end->state) {
	case L3L2Q_STATE_NONE:
	case L3L2Q_STATE_OPEN:
		explain_unattached(s, q, role);
		break;
	case L3L2Q_STATE_DETACHED:
		say(s, "%s has detached.", name);
		break;
	case L3L2Q_STATE_DEAD:
		say(s, "%s is dead: process %u (%.16s) ended without detaching.", name,
		    end->process.pid, (const char *)end->process.comm);
		if (q->region.aborts[role] == L3L2Q_ABORT_ROLE)
			say(s, "%s had aborted before: it has set its abort flag itself.", name);
		break;
	default:
		if (has_aborted(q, role))
			say(s, "%s has aborted: its abort flag is %d.", name,
			    q->region.counters[4 + role]);
		state = run_state(q, role);
		if (state == 'T' || state == 't')
			say(s, "%s is stopped by a signal: process %u (%.16s).", name,
			    end->process.pid, (const char *)end->process.comm);
	}
}

/* The oldest message, if it is known, for as long as somebody has watched. */
static void say_oldest(struct speech *s, const struct queue *q, const struct direction *d)
{
	const struct ring *ring = &q->rings[d->from];

	if (!ring->n || !slot_is_current(ring, 0) || !q->unmoved_ns[d->from])
		return;
	say(s, "The oldest %s message, seq %llu, has been %s %s for at least %.1f s.",
	    d->from == L3L2Q_ROLE_L3 ? "input" : "output",
	    (unsigned long long)ring->slots[0].seq,
	    !d->knows_taken ? "with" : d->taken ? "held by" : "there for",
	    role_name(!d->from), (double)q->unmoved_ns[d->from] / 1e9);
}

/* Of a body, with what is known of it; the length counts as known below 2^32 - 1. */
static void explain_room(struct speech *s, const struct queue *q, const struct direction *d)
{
	const char *producer = role_name(d->from), *consumer = role_name(!d->from);
	const struct ring *ring = &q->rings[d->from];
	uint32_t need = q->need_bytes[d->from];
	struct room room = room_of(q, d->from);

	if (!need || need == UINT32_MAX || !room.known || !ring->n) {
		say(s, "%s waits for room in the %s arena: until %s has released message %u; %u are released, %u held.",
		    producer, d->from == L3L2Q_ROLE_L3 ? "input" : "output", consumer,
		    d->need_head, d->head, d->taken);
		say_oldest(s, q, d);
		return;
	}
	say(s, "%s waits for room: needs %u B, %llu B free%s, oldest message seq %llu %s %s for at least %.1f s.",
	    producer, need, (unsigned long long)room.bytes,
	    room.straight < need && room.bytes >= need ? " but not in one piece" : "",
	    (unsigned long long)ring->slots[0].seq,
	    d->taken || !d->knows_taken ? "held by" : "not taken by", consumer,
	    (double)q->unmoved_ns[d->from] / 1e9);
}

/* What the queue's binding does not carry comes from one that speaks another. */
static void explain_slots(struct speech *s, const struct queue *q, unsigned int from)
{
	const struct ring *ring = &q->rings[from];
	uint32_t i;

	for (i = 0; i < ring->n; i++) {
		uint64_t opcode = ring->slots[i].opcode;

		if (!slot_is_current(ring, i))
			continue;
		if (opcode == L3L2Q_OP_ERROR && from == L3L2Q_ROLE_L3 &&
		    q->region.binding == L3L2Q_BINDING_SPSQ) {
			say(s, "Input message seq %llu is an ERROR, which the SPSQ binding does not carry: L3 uses the wrong binding, L3Q2.",
			    (unsigned long long)ring->slots[i].seq);
			return;
		}
		if (opcode < L3L2Q_OP_DATA || opcode > L3L2Q_OP_ERROR ||
		    (opcode == L3L2Q_OP_STOP && from == L3L2Q_ROLE_L2)) {
			say(s, "%s message seq %llu has the invalid opcode %llu: %s has written it wrong.",
			    from == L3L2Q_ROLE_L3 ? "Input" : "Output",
			    (unsigned long long)ring->slots[i].seq, (unsigned long long)opcode,
			    role_name(from));
			return;
		}
	}
}

static void explain_direction(struct speech *s, const struct queue *q, unsigned int from)
{
	const struct l3l2q_region_end *tx = &q->region.ends[from], *rx = &q->region.ends[!from];
	const char *producer = role_name(from), *consumer = role_name(!from);
	const char *ring = from == L3L2Q_ROLE_L3 ? "input" : "output";
	struct direction d = direction_of(q, from);
	uint32_t waiting = d.used - d.taken;

	if (d.used > q->region.depth) {
		say(s, "The %s counters make no sense: tail %u, head %u, depth %u.", ring, d.tail,
		    d.head, q->region.depth);
		return;
	}
	if (d.used == q->region.depth && d.knows_taken)
		say(s, "The %s ring is full: %s holds %u messages and has %u to take.", ring,
		    consumer, d.taken, waiting);
	else if (d.used == q->region.depth)
		say(s, "The %s ring is full: %s has %u messages to take or to release.", ring,
		    consumer, d.used);
	else if (d.wants_room)
		explain_room(s, q, &d);
	if (d.used == q->region.depth || (d.used && d.taken == d.used && !d.wants_room))
		say_oldest(s, q, &d);
	if (waiting && is_alive(rx) && rx->armed & L3L2Q_EVENT_IN && d.used < q->region.depth)
		say(s, "%s sleeps or polls though %u %s messages are there: it has not looked since.",
		    consumer, waiting, ring);
	else if (waiting && is_alive(rx) && d.used < q->region.depth)
		say(s, "%s has %u %s messages to take%s, and is busy with other things.", consumer,
		    waiting, ring, d.knows_taken ? "" : " or to release");
	else if (d.taken && is_alive(rx) && d.used < q->region.depth && !d.wants_room)
		say(s, "%s holds %u %s messages.", consumer, d.taken, ring);
	if (!d.used && is_alive(rx) && rx->armed & L3L2Q_EVENT_IN)
		say(s, "%s waits for %s to send %s messages.", consumer, producer, ring);
	if (tx->armed & L3L2Q_EVENT_OUT && !d.wants_room && d.used < q->region.depth &&
	    is_alive(tx) && tx->producer_flags & L3L2Q_PRODUCER_NEED)
		say(s, "%s was told that there is room, and has not looked since.", producer);
}

void explain(const struct queue *q, void (*tell)(void *arg, const char *sentence), void *arg)
{
	struct speech s = { .say = tell, .arg = arg };
	unsigned int role;

	if (q->region.removed)
		explain_removal(&s, q);
	for (role = 0; role < L3L2Q_ROLES; role++)
		explain_end(&s, q, role);
	for (role = 0; role < L3L2Q_ROLES && q->region.depth; role++)
		explain_slots(&s, q, role);
	for (role = 0; role < L3L2Q_ROLES && q->region.depth; role++)
		explain_direction(&s, q, role);
	for (role = 0; role < L3L2Q_ROLES && !q->memfd; role++)
		if (q->region.ends[role].peer_kind == L3L2Q_PEER_SILENT)
			say(&s, "%s is silent: the kernel polls its counters for %s.",
			    role_name(!role), role_name(role));
	if (!s.said)
		say(&s, "Nothing is waited for.");
}
