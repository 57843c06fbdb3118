// SPDX-License-Identifier: MIT
/* list, show and top: text and JSON. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

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

static void print_sentence(void *arg, const char *sentence)
{
	(void)arg;
	printf("  %s\n", sentence);
}

static void show_end(const struct queue *q, unsigned int role)
{
	const struct l3l2q_region_end *end = &q->region.ends[role];

	printf("%s          %s, ", role_name(role), state_name(end->state));
	print_process(stdout, &end->process);
	printf(", its peer %s, armed %#x", peer_kind_name(end->peer_kind), end->armed);
	if (!q->memfd) {
		printf(", %u asleep in WAIT, %u eventfds, woken ", end->waits, end->eventfds);
		print_age(stdout, end->woken_ns);
		if (end->woken_ns != L3L2Q_NEVER)
			printf(" ago");
	}
	putchar('\n');
}

static void show_direction(const struct queue *q, unsigned int from)
{
	struct direction d = direction_of(q, from);

	printf("%-11s tail %u, head %u: %u of %u used", from == L3L2Q_ROLE_L3 ? "input" : "output",
	       d.tail, d.head, d.used, q->region.depth);
	if (d.knows_taken)
		printf(", %u held by %s", d.taken, role_name(!from));
	putchar('\n');
}

void show_text(const struct queue *q)
{
	const struct l3l2q_query_region *r = &q->region;
	unsigned int role;

	printf("id          %llu%s\n", (unsigned long long)r->id, q->memfd ? " (memfd)" : "");
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
	} else if (q->nr_holders > 1) {
		printf(" and %u more", q->nr_holders - 1);
	}
	putchar('\n');
	for (role = 0; role < L3L2Q_ROLES; role++)
		show_end(q, role);
	for (role = 0; role < L3L2Q_ROLES && r->depth; role++)
		show_direction(q, role);
	printf("now\n");
	explain(q, print_sentence, NULL);
}

/* ---- JSON ---------------------------------------------------------------- */

static void json_string(const char *key, const char *text, size_t max)
{
	printf("\"%s\":\"", key);
	print_escaped(stdout, text, max);
	putchar('"');
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
		json_string("peer_kind", peer_kind_name(end->peer_kind), 64);
		printf(",\"waits\":%u,\"eventfds\":%u,\"woken_ns\":", end->waits, end->eventfds);
		if (end->woken_ns == L3L2Q_NEVER)
			printf("null,");
		else
			printf("%llu,", (unsigned long long)end->woken_ns);
	}
	json_process("process", &end->process);
	putchar('}');
}

static void json_direction(const struct queue *q, unsigned int from)
{
	struct direction d = direction_of(q, from);

	printf("\"%s\":{\"tail\":%u,\"head\":%u,\"used\":%u,\"held\":",
	       from == L3L2Q_ROLE_L3 ? "input" : "output", d.tail, d.head, d.used);
	if (d.knows_taken)
		printf("%u", d.taken);
	else
		printf("null");
	printf(",\"waits_for_head\":");
	if (d.wants_room)
		printf("%u}", d.need_head);
	else
		printf("null}");
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
	printf(",\"removed\":%s,\"depth\":%u,\"input_arena_bytes\":%llu,\"output_arena_bytes\":%llu,"
	       "\"payload_bytes\":%llu,\"counter_bytes\":%llu,\"region_bytes\":%llu,\"age_ns\":",
	       r->removed ? "true" : "false", r->depth, (unsigned long long)r->input_arena_bytes,
	       (unsigned long long)r->output_arena_bytes, (unsigned long long)r->payload_bytes,
	       (unsigned long long)r->counter_bytes, (unsigned long long)r->region_bytes);
	if (q->memfd)
		printf("null,");
	else
		printf("%llu,", (unsigned long long)r->age_ns);
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

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Messages a second that went through since, of a queue that was there before. */
static double rate(const struct queues *before, const struct queue *q, unsigned int counter,
		   double seconds)
{
	const struct queue *old = queues_find(before, q->region.id);

	if (!old || old->memfd != q->memfd || seconds <= 0)
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

static void sleep_seconds(double seconds)
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
