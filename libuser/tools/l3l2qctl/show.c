// SPDX-License-Identifier: MIT
/* list, show and top: text and JSON. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

#define TEXT_SLOTS	16	/* that show prints */
#define TEXT_COUNTERS	32

static void print_process(FILE *out, const struct l3l2q_process *p)
{
	if (!p->pid) {
		fputc('-', out);
		return;
	}
	fprintf(out, "%u(", p->pid);
	print_escaped(out, (const char *)p->comm, sizeof(p->comm));
	fputc(')', out);
}

/* ---- text ---------------------------------------------------------------- */

void list_text(const struct queues *queues)
{
	size_t i;

	printf("%-20s %-7s %-5s %-8s %-10s %-10s %9s %9s  %s\n", "ID", "WHERE", "WIRE", "DEPTH",
	       "L3", "L2", "IN", "OUT", "TAG");
	for (i = 0; i < queues->n; i++) {
		const struct queue *q = &queues->list[i];
		const struct l3l2q_query_region *r = &q->region;
		struct direction in = direction_of(q, L3L2Q_ROLE_L3);
		struct direction out = direction_of(q, L3L2Q_ROLE_L2);

		printf("%-20llu %-7s %-5s %-8u %-10s %-10s %9u %9u  ", (unsigned long long)r->id,
		       backend_name(q), binding_name(r->binding), r->depth,
		       r->removed ? "removed" : state_name(r->ends[L3L2Q_ROLE_L3].state),
		       r->removed ? "removed" : state_name(r->ends[L3L2Q_ROLE_L2].state), in.used,
		       out.used);
		print_escaped(stdout, (const char *)r->tag, sizeof(r->tag));
		putchar('\n');
	}
}

/* Sentences have commands' names in them. */
static void print_sentence(void *arg, const char *sentence)
{
	(void)arg;
	printf("  ");
	print_escaped(stdout, sentence, 256);
	putchar('\n');
}

static void show_end(const struct queue *q, unsigned int role)
{
	const struct l3l2q_region_end *end = &q->region.ends[role];

	printf("%s          %s, ", role_name(role), state_name(end->state));
	print_process(stdout, &end->process);
	printf(", its peer %s, armed %#x", peer_kind_name(end->peer_kind), end->armed);
	if (q->region.aborts[role])
		printf(", aborted by %s", q->region.aborts[role] == L3L2Q_ABORT_DEATH ?
		       "the driver at its death" : "itself");
	if (!q->memfd) {
		printf(", %u asleep in WAIT, %u eventfds, woken ", end->waits, end->eventfds);
		print_age(stdout, end->woken_ns);
		if (end->woken_ns != L3L2Q_NEVER)
			printf(" ago");
	}
	putchar('\n');
}

static const char *slot_owner(const struct direction *d, const struct ring *ring, uint32_t i)
{
	if (!slot_is_current(ring, i))
		return "being written";
	if (!d->knows_taken)
		return "";
	return i < d->taken ? "held" : "not taken";
}

static void show_slots(const struct queue *q, const struct direction *d)
{
	const struct ring *ring = &q->rings[d->from];
	uint32_t i, n = ring->n < TEXT_SLOTS ? ring->n : TEXT_SLOTS;

	for (i = 0; i < n; i++) {
		const struct l3l2q_desc *slot = &ring->slots[i];

		if (!i)
			printf("  %-12s %-8s %12s %12s\n", "SEQ", "OPCODE", "OFFSET", "BYTES");
		printf("  %-12llu %-8s %12llu %12llu  %s\n", (unsigned long long)slot->seq,
		       opcode_name(slot->opcode), (unsigned long long)slot->payload_offset,
		       (unsigned long long)slot->payload_nbytes, slot_owner(d, ring, i));
	}
	if (d->used <= q->region.depth && d->used > n && ring->slots)
		printf("  and %u more\n", d->used - n);
}

static void show_counters(const struct queue *q)
{
	size_t i, shown = 0, others = 0;

	for (i = 0; i < q->nr_counters; i++) {
		if (!q->counters[i])
			continue;
		if (shown++ < TEXT_COUNTERS)
			printf("counter     at %zu: %d\n", i * sizeof(*q->counters),
			       q->counters[i]);
		else
			others++;
	}
	if (q->nr_counters && !shown)
		printf("counters    all %zu are 0\n", q->nr_counters);
	if (others)
		printf("and %zu more that are not 0\n", others);
}

static void show_direction(const struct queue *q, unsigned int from)
{
	struct direction d = direction_of(q, from);
	struct room room = room_of(q, from);

	printf("%-11s tail %u, head %u: %u of %u used", from == L3L2Q_ROLE_L3 ? "input" : "output",
	       d.tail, d.head, d.used, q->region.depth);
	if (d.knows_taken)
		printf(", %u held by %s", d.taken, role_name(!from));
	if (room.known)
		printf("; %llu B free, %llu in one piece", (unsigned long long)room.bytes,
		       (unsigned long long)room.straight);
	putchar('\n');
	show_slots(q, &d);
}

/* When a dump was written. */
static void show_taken(const struct queue *q)
{
	const time_t seconds = (time_t)(q->taken_ns / 1000000000u);
	char text[64] = "at an unknown time";
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	printf("dumped      %s", text);
	if (q->body_bytes)
		printf(", with %llu bytes of payload", (unsigned long long)q->body_bytes);
	putchar('\n');
}

void show_text(const struct queue *q)
{
	const struct l3l2q_query_region *r = &q->region;
	unsigned int role;

	printf("id          %llu%s\n", (unsigned long long)r->id, q->memfd ? " (memfd)" : "");
	if (q->dumped)
		show_taken(q);
	printf("tag         ");
	print_escaped(stdout, (const char *)r->tag, sizeof(r->tag));
	printf("\nmemory      %s, %s, ", backend_name(q), memory_name(r->memory));
	print_bytes(stdout, r->region_bytes);
	printf(": payload %llu, counters %llu\n", (unsigned long long)r->payload_bytes,
	       (unsigned long long)r->counter_bytes);
	if (r->depth)
		printf("queue       %s, depth %u, input arena %llu, output arena %llu\n",
		       binding_name(r->binding), r->depth, (unsigned long long)r->input_arena_bytes,
		       (unsigned long long)r->output_arena_bytes);
	else
		printf("queue       none: a raw region\n");
	printf("%s ", q->memfd ? "open in    " : "created by ");
	print_process(stdout, &r->creator);
	if (!q->memfd) {
		printf(", uid %u, ", r->creator.uid);
		print_age(stdout, r->age_ns);
		printf(" ago");
		if (r->observers)
			printf(", %u observers", r->observers);
	} else if (q->nr_holders > 1) {
		printf(" and %u more", q->nr_holders - 1);
	}
	putchar('\n');
	for (role = 0; role < L3L2Q_ROLES; role++)
		show_end(q, role);
	for (role = 0; role < L3L2Q_ROLES && r->depth; role++)
		show_direction(q, role);
	show_counters(q);
	printf("%s\n", q->dumped ? "then" : "now");
	explain(q, print_sentence, NULL);
}

/* ---- JSON ---------------------------------------------------------------- */

static void json_string(const char *key, const char *text, size_t max)
{
	printf("\"%s\":\"", key);
	print_escaped(stdout, text, max);
	putchar('"');
}

static void json_number(bool known, uint64_t value)
{
	if (known)
		printf("%llu", (unsigned long long)value);
	else
		printf("null");
}

static void json_process(const char *key, const struct l3l2q_process *p)
{
	printf("\"%s\":", key);
	if (!p->pid) {
		printf("null");
		return;
	}
	printf("{\"pid\":%u,\"uid\":%u,", p->pid, p->uid);
	json_string("comm", (const char *)p->comm, sizeof(p->comm));
	putchar('}');
}

static void json_end(const struct queue *q, unsigned int role)
{
	const struct l3l2q_region_end *end = &q->region.ends[role];

	printf("\"%s\":{", role == L3L2Q_ROLE_L3 ? "l3" : "l2");
	json_string("state", state_name(end->state), 64);
	printf(",\"armed\":%u,\"gone\":%u,", end->armed, end->gone);
	if (!q->memfd) {
		json_string("aborted", abort_name(q->region.aborts[role]), 64);
		putchar(',');
		json_string("peer_kind", peer_kind_name(end->peer_kind), 64);
		printf(",\"waits\":%u,\"eventfds\":%u,\"woken_ns\":", end->waits, end->eventfds);
		json_number(end->woken_ns != L3L2Q_NEVER, end->woken_ns);
		putchar(',');
	}
	json_process("process", &end->process);
	putchar('}');
}

static void json_slots(const struct direction *d, const struct ring *ring)
{
	uint32_t i;

	if (!ring->slots) {
		printf("null");
		return;
	}
	for (i = 0; i < ring->n; i++) {
		const struct l3l2q_desc *slot = &ring->slots[i];

		printf("%s{\"seq\":%llu,\"opcode\":%llu,\"offset\":%llu,\"bytes\":%llu,\"current\":%s,\"held\":",
		       i ? "," : "[", (unsigned long long)slot->seq,
		       (unsigned long long)slot->opcode, (unsigned long long)slot->payload_offset,
		       (unsigned long long)slot->payload_nbytes,
		       slot_is_current(ring, i) ? "true" : "false");
		printf("%s}", !d->knows_taken ? "null" : i < d->taken ? "true" : "false");
	}
	fputs(i ? "]" : "[]", stdout);
}

static void json_counters(const struct queue *q)
{
	size_t i;

	printf(",\"counters\":");
	if (!q->nr_counters) {
		printf("null");
		return;
	}
	for (i = 0; i < q->nr_counters; i++)
		printf("%s%d", i ? "," : "[", q->counters[i]);
	putchar(']');
}

static void json_direction(const struct queue *q, unsigned int from)
{
	struct direction d = direction_of(q, from);
	struct room room = room_of(q, from);

	printf("\"%s\":{\"tail\":%u,\"head\":%u,\"used\":%u,\"held\":",
	       from == L3L2Q_ROLE_L3 ? "input" : "output", d.tail, d.head, d.used);
	if (d.knows_taken)
		printf("%u", d.taken);
	else
		printf("null");
	printf(",\"waits_for_head\":");
	json_number(d.wants_room, d.need_head);
	printf(",\"waits_for_bytes\":");
	json_number(d.wants_room && q->need_bytes[from] && q->need_bytes[from] < UINT32_MAX,
		    q->need_bytes[from]);
	printf(",\"free_bytes\":");
	json_number(room.known, room.bytes);
	printf(",\"free_bytes_in_one_piece\":");
	json_number(room.known, room.straight);
	printf(",\"head_unmoved_ns\":");
	json_number(q->unmoved_ns[from], q->unmoved_ns[from]);
	printf(",\"messages\":");
	json_slots(&d, &q->rings[from]);
	putchar('}');
}

static void json_sentence(void *arg, const char *sentence)
{
	bool *first = arg;

	printf("%s\"", *first ? "" : ",");
	print_escaped(stdout, sentence, 256);
	putchar('"');
	*first = false;
}

static void json_queue(const struct queue *q)
{
	const struct l3l2q_query_region *r = &q->region;
	unsigned int role;
	bool first = true;

	printf("{\"id\":%llu,", (unsigned long long)r->id);
	json_string("tag", (const char *)r->tag, sizeof(r->tag));
	putchar(',');
	json_string("backend", backend_name(q), 64);
	putchar(',');
	json_string("binding", binding_name(r->binding), 64);
	putchar(',');
	json_string("memory", memory_name(r->memory), 64);
	putchar(',');
	json_string("removal", removal_name(r->removal), 64);
	printf(",\"removed\":%s,\"depth\":%u,\"input_arena_bytes\":%llu,\"output_arena_bytes\":%llu,"
	       "\"payload_bytes\":%llu,\"counter_bytes\":%llu,\"region_bytes\":%llu,\"age_ns\":",
	       r->removed ? "true" : "false", r->depth, (unsigned long long)r->input_arena_bytes,
	       (unsigned long long)r->output_arena_bytes, (unsigned long long)r->payload_bytes,
	       (unsigned long long)r->counter_bytes, (unsigned long long)r->region_bytes);
	json_number(!q->memfd, r->age_ns);
	printf(",\"observers\":");
	json_number(!q->memfd, r->observers);
	printf(",\"dumped_ns\":");
	json_number(q->dumped, q->taken_ns);
	putchar(',');
	json_process("creator", &r->creator);
	for (role = 0; role < L3L2Q_ROLES; role++) {
		putchar(',');
		json_end(q, role);
	}
	for (role = 0; role < L3L2Q_ROLES && r->depth; role++) {
		putchar(',');
		json_direction(q, role);
	}
	if (r->depth)
		printf(",\"abort\":{\"l3\":%d,\"l2\":%d}", r->counters[4], r->counters[5]);
	else
		json_counters(q);
	printf(",\"now\":[");
	explain(q, json_sentence, &first);
	printf("]}");
}

void list_json(const struct queues *queues)
{
	size_t i;

	printf("{\"version\":1,\"queues\":[");
	for (i = 0; i < queues->n; i++) {
		if (i)
			putchar(',');
		json_queue(&queues->list[i]);
	}
	printf("]}\n");
}

/* ---- top ----------------------------------------------------------------- */

uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double now_seconds(void)
{
	return (double)now_ns(CLOCK_MONOTONIC) / 1e9;
}

/* Messages a second that went through since, of a queue that was there before. */
static double rate(const struct queues *before, const struct queue *q, unsigned int counter,
		   double seconds)
{
	const struct queue *old = queues_find(before, q->memfd, q->region.id);

	if (!old || seconds <= 0)
		return 0;
	return (uint32_t)(q->region.counters[counter] - old->region.counters[counter]) / seconds;
}

static void print_top(const struct queues *before, const struct queues *queues, double seconds)
{
	size_t i;

	if (isatty(STDOUT_FILENO))
		printf("\033[H\033[J");
	printf("%-20s %-7s %12s %12s %9s %9s %-10s %-10s %s\n", "ID", "WHERE", "IN/S", "OUT/S",
	       "IN", "OUT", "L3", "L2", "TAG");
	for (i = 0; i < queues->n; i++) {
		const struct queue *q = &queues->list[i];
		const struct l3l2q_query_region *r = &q->region;

		printf("%-20llu %-7s %12.0f %12.0f %9u %9u %-10s %-10s ",
		       (unsigned long long)r->id, backend_name(q), rate(before, q, 1, seconds),
		       rate(before, q, 3, seconds), direction_of(q, L3L2Q_ROLE_L3).used,
		       direction_of(q, L3L2Q_ROLE_L2).used, state_name(r->ends[0].state),
		       state_name(r->ends[1].state));
		print_escaped(stdout, (const char *)r->tag, sizeof(r->tag));
		putchar('\n');
	}
	fflush(stdout);
}

void sleep_seconds(double seconds)
{
	struct timespec left = {
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

int top(const char *node, double seconds, long rounds)
{
	struct queues before = { 0 }, queues = { 0 };
	double then = now_seconds();
	long round;
	int ret;

	for (round = 0; !rounds || round <= rounds; round++) {
		ret = collect(&queues, node);
		if (ret == -ENOMEM)
			return ret;
		if (round)
			print_top(&before, &queues, now_seconds() - then);
		/* A terminal has been cleared. */
		if (ret && (round == 1 || (round && isatty(STDOUT_FILENO))))
			only_memfds(node, ret);
		then = now_seconds();
		queues_free(&before);
		before = queues;
		queues = (struct queues){ 0 };
		if (ferror(stdout) || (round == rounds && rounds))
			break;
		sleep_seconds(seconds);
	}
	queues_free(&before);
	return 0;
}
