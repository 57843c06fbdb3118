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

static bool has_aborted(const struct queue *q, unsigned int role)
{
	return q->region.depth && q->region.counters[4 + role] >= 1;
}

static void explain_end(struct speech *s, const struct queue *q, unsigned int role)
{
	const struct l3l2q_region_end *end = &q->region.ends[role];
	const char *name = role_name(role);
	char state;

	switch (end->state) {
	case L3L2Q_STATE_NONE:
		say(s, "%s: nobody has opened this end.", name);
		break;
	case L3L2Q_STATE_OPEN:
		say(s, "%s has not attached.", name);
		break;
	case L3L2Q_STATE_DETACHED:
		say(s, "%s has detached.", name);
		break;
	case L3L2Q_STATE_DEAD:
		say(s, "%s is dead: process %u (%.16s) ended without detaching.", name,
		    end->process.pid, (const char *)end->process.comm);
		break;
	default:
		if (has_aborted(q, role))
			say(s, "%s has aborted: its abort flag is %d.", name,
			    q->region.counters[4 + role]);
		state = end->process.pid ? process_state(end->process.pid) : 0;
		if (state == 'T' || state == 't')
			say(s, "%s is stopped by a signal: process %u (%.16s).", name,
			    end->process.pid, (const char *)end->process.comm);
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
		say(s, "%s waits for room in the %s arena: until %s has released message %u; %u are released, %u held.",
		    producer, ring, consumer, d.need_head, d.head, d.taken);
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
		say(&s, "The memory was removed, with its device or by its provider.");
	for (role = 0; role < L3L2Q_ROLES; role++)
		explain_end(&s, q, role);
	for (role = 0; role < L3L2Q_ROLES && q->region.depth; role++)
		explain_direction(&s, q, role);
	for (role = 0; role < L3L2Q_ROLES && !q->memfd; role++)
		if (q->region.ends[role].peer_kind == L3L2Q_PEER_SILENT)
			say(&s, "%s is silent: the kernel polls its counters for %s.",
			    role_name(!role), role_name(role));
	if (!s.said)
		say(&s, "Nothing is waited for.");
}
