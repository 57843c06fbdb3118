// SPDX-License-Identifier: MIT
/* OpenMetrics, for node_exporter's textfile collector. Counters are 32 bits wide and wrap. */
#include <errno.h>

#include "ctl.h"

static void labels(const struct queue *q, const char *name, const char *more, const char *value)
{
	printf("%s{id=\"%llu\",tag=\"", name, (unsigned long long)q->region.id);
	print_label(stdout, (const char *)q->region.tag, sizeof(q->region.tag));
	printf("\",backend=\"%s\"", backend_name(q));
	if (more)
		printf(",%s=\"%s\"", more, value);
	fputs("} ", stdout);
}

static void family(const char *name, const char *type, const char *unit, const char *help)
{
	printf("# TYPE %s %s\n", name, type);
	if (unit)
		printf("# UNIT %s %s\n", name, unit);
	printf("# HELP %s %s\n", name, help);
}

static const char *ring(unsigned int from)
{
	return from == L3L2Q_ROLE_L3 ? "input" : "output";
}

int metrics(const struct queues *queues)
{
	unsigned int role;
	size_t i;

	family("l3l2q_region_bytes", "gauge", "bytes", "Memory of a region.");
	for (i = 0; i < queues->n; i++) {
		labels(&queues->list[i], "l3l2q_region_bytes", NULL, NULL);
		printf("%llu\n", (unsigned long long)queues->list[i].region.region_bytes);
	}
	family("l3l2q_released_messages", "counter", "messages",
	       "Messages that the consumer has released, modulo 2^32.");
	for (i = 0; i < queues->n; i++) {
		for (role = 0; role < L3L2Q_ROLES && queues->list[i].region.depth; role++) {
			labels(&queues->list[i], "l3l2q_released_messages_total", "ring", ring(role));
			printf("%u\n", direction_of(&queues->list[i], role).head);
		}
	}
	family("l3l2q_pending_messages", "gauge", "messages", "Messages published and not released.");
	for (i = 0; i < queues->n; i++) {
		for (role = 0; role < L3L2Q_ROLES && queues->list[i].region.depth; role++) {
			labels(&queues->list[i], "l3l2q_pending_messages", "ring", ring(role));
			printf("%u\n", direction_of(&queues->list[i], role).used);
		}
	}
	family("l3l2q_waits_for_room", "gauge", NULL, "1 while a producer waits for room.");
	for (i = 0; i < queues->n; i++) {
		for (role = 0; role < L3L2Q_ROLES && queues->list[i].region.depth; role++) {
			labels(&queues->list[i], "l3l2q_waits_for_room", "ring", ring(role));
			printf("%d\n", direction_of(&queues->list[i], role).wants_room);
		}
	}
	family("l3l2q_attached", "gauge", NULL, "1 while a process has an end attached.");
	for (i = 0; i < queues->n; i++) {
		for (role = 0; role < L3L2Q_ROLES; role++) {
			labels(&queues->list[i], "l3l2q_attached", "role", role_name(role));
			printf("%d\n", queues->list[i].region.ends[role].state == L3L2Q_STATE_ATTACHED);
		}
	}
	printf("# EOF\n");
	return ferror(stdout) ? -EIO : 0;
}
