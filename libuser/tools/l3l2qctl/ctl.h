/* SPDX-License-Identifier: MIT */
/* Between the files of l3l2qctl. */
#ifndef L3L2QCTL_H
#define L3L2QCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include <linux/l3l2q.h>

#define PROGRAM "l3l2qctl"

/* Exit statuses, as the manual page has them. */
enum {
	EXIT_TROUBLE = 1,	/* doctor: something has to be done; show: nothing to show */
	EXIT_USAGE = 2,
	EXIT_FAILED = 3,	/* the module could not be asked, or it did not work */
};

#define MAX_HOLDERS 16
#define MAX_SLOTS 4096		/* descriptors of a ring that are looked at */
#define MAX_COUNTERS (1u << 18)	/* of a raw region, likewise */

/**
 * struct ring - descriptors between head and tail, the oldest first
 * @head: the counter when they were read
 * @n: how many there are here
 * @slots: copies
 */
struct ring {
	uint32_t head, n;
	struct l3l2q_desc *slots;
};

/* One queue or raw region, of the driver or in a memfd. */
struct queue {
	bool memfd;
	struct l3l2q_query_region region;	/* a memfd's: what its memory says */
	uint32_t attached[L3L2Q_ROLES];		/* a memfd's: pids, as its memory says */
	uint32_t holders[MAX_HOLDERS];		/* a memfd's: pids of who has it open */
	uint32_t nr_holders;
	char path[128];				/* a memfd's: a descriptor of it in /proc */

	/* detail_read() or a dump: */
	struct ring rings[L3L2Q_ROLES];		/* by producer; without slots: not known */
	uint32_t need_bytes[L3L2Q_ROLES];	/* what was refused, 0: not known */
	uint64_t unmoved_ns[L3L2Q_ROLES];	/* how long the head was seen to stay, by producer */
	int32_t *counters;			/* of a raw region, the first ones */
	size_t nr_counters;

	/* a dump: */
	bool dumped;
	uint64_t taken_ns;			/* CLOCK_REALTIME */
	char run[L3L2Q_ROLES];			/* process_state() of who has attached */
	uint64_t body_bytes;			/* payload in the file */
};

struct queues {
	struct queue *list;
	size_t n;
};

/* collect.c: 0 or -errno; what cannot be asked is left out */
int collect(struct queues *queues, const char *node);
void only_memfds(const char *node, int err);
void queues_free(struct queues *queues);
struct queue *queues_find(const struct queues *queues, bool memfd, uint64_t id);
bool read_text(const char *path, char *text, size_t size);
char process_state(uint32_t pid);
int memfd_open(const char *path, struct stat *st);
uint64_t memfd_parts(const struct l3l2q_query_region *r, uint64_t *counters, uint64_t *payload);

/* words.c */
const char *backend_name(const struct queue *q);
const char *role_name(unsigned int role);
const char *state_name(uint32_t state);
const char *binding_name(uint32_t binding);
const char *memory_name(uint32_t memory);
const char *peer_kind_name(uint32_t kind);
const char *opcode_name(uint64_t opcode);
const char *removal_name(uint32_t removal);
const char *abort_name(uint32_t cause);
void print_escaped(FILE *out, const char *text, size_t max);
void print_label(FILE *out, const char *text, size_t max);
void print_bytes(FILE *out, uint64_t bytes);
void print_age(FILE *out, uint64_t ns);

/* explain.c */

/**
 * struct direction - one of a queue's two, from its producer to its consumer
 * @from: enum l3l2q_role of the producer
 * @used: descriptors in the ring: published, not released
 * @knows_taken: @taken is known; over memfd that is the consumer's secret
 * @taken: of these, the ones that the consumer has acquired and holds
 * @wants_room: the producer waits until the head is @need_head
 */
struct direction {
	unsigned int from;
	uint32_t tail, head, used, taken;
	bool knows_taken;
	bool wants_room;
	uint32_t need_head;
};

/**
 * struct room - what a direction's bodies in flight leave of their arena
 * @known: all of their descriptors were read, and make sense
 * @bytes: free
 * @straight: the longest body that fits
 */
struct room {
	bool known;
	uint64_t bytes, straight;
};

struct direction direction_of(const struct queue *q, unsigned int from);
bool has_aborted(const struct queue *q, unsigned int role);
void explain(const struct queue *q, void (*say)(void *arg, const char *sentence), void *arg);

/* detail.c: what is in the memory; 0 or -errno */
struct reader {
	int fd;
	uint64_t at[L3L2Q_MAPS];	/* offsets of the parts, by L3L2Q_MAP_* */
};

int reader_open(struct reader *r, const struct queue *q, const char *node, bool payload);
void reader_close(struct reader *r);
int detail_read(struct queue *q, const char *node);
void detail_free(struct queue *q);
size_t counters_of(const struct l3l2q_query_region *r);
bool slot_is_current(const struct ring *ring, uint32_t i);
struct room room_of(const struct queue *q, unsigned int from);

/* dump.c: 0 or -errno; what is wrong with a file goes to standard error */
int dump_write(const struct queue *q, FILE *out, const char *node, bool payload);
int dump_read(struct queue *q, const char *path);

/* show.c, metrics.c, doctor.c */
void list_text(const struct queues *queues);
void show_text(const struct queue *q);
void list_json(const struct queues *queues);
uint64_t now_ns(clockid_t clock);
double now_seconds(void);
void sleep_seconds(double seconds);
int metrics(const struct queues *queues);
int doctor(const char *node, bool json);
int top(const char *node, double seconds, long rounds);

/* watch.c */
int watch_events(const char *node, double seconds, long rounds, double after, bool json);

#endif /* L3L2QCTL_H */
