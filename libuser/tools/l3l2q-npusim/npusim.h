/* SPDX-License-Identifier: MIT */
/*
 * Inside l3l2q-npusim. One thread, the main one, serves: main.c has its loop and
 * the options, server.c speaks with QEMUs, mailbox.c finds mailboxes and answers
 * requests, task.c are the L2 tasks, a thread each, and monitor.c feeds QEMU's
 * monitor from a thread of its own.
 */
#ifndef NPUSIM_H
#define NPUSIM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "mailbox.h"

#define PROGRAM "l3l2q-npusim"

#define MAX_VECTORS	64
#define MAX_GUESTS	16
#define MAX_QUEUE	4096	/* numbers: three times the longest introduction */
#define MAX_MAILBOXES	64
#define MAX_TASKS	256

#define NSEC_PER_SEC	UINT64_C(1000000000)
#define NSEC_PER_MSEC	UINT64_C(1000000)

/* What an event of epoll is about: these, or a vector, or a guest. */
enum { ON_LISTEN, ON_SIGNAL, ON_ENDED, ON_VECTOR = 0x100, ON_GUEST = 0x200 };

/* A number for a guest, and where the descriptor that goes with it is. */
struct item {
	int32_t number;
	int16_t from;
	uint16_t vector;
};

/* A QEMU; its peer number is its place here plus one. */
struct guest {
	int sock;		/* -1: none */
	int event[MAX_VECTORS];	/* we signal them */
	struct item queue[MAX_QUEUE];	/* what its socket did not take yet */
	unsigned int first;
	unsigned int queued;
	uint64_t moved;		/* when the queue last got shorter, or began */
	uint32_t watched;	/* epoll's events */
	bool later;		/* room in the socket is not what it lacks */
	const char *condemned;	/* why it is to be dropped, or NULL */
};

/* A mailbox in the NPU's memory, as it was when found. */
struct mailbox {
	uint32_t id;		/* 0: none */
	uint64_t at;		/* in our memory */
	uint64_t counters_at;
	uint64_t gm;		/* a GM address minus this is a place in our memory */
	struct l3l2q_region_desc region;
	uint64_t check;			/* of its header */
	int32_t seen[NPU_SLOTS];	/* requests taken */
	int32_t answered[NPU_SLOTS];	/* what the reply counters say, which are ours */
	bool owed[NPU_SLOTS];	/* an answer, once task @waits_for has ended */
	uint32_t waits_for[NPU_SLOTS];
};

struct task;
struct monitor;

struct npu {
	const char *socket_path;
	const char *monitor_path;
	uint64_t size;
	unsigned int vectors;
	bool silent;
	bool keep;

	int gm_fd;
	unsigned char *gm;
	int epoll_fd;
	int listen_fd;
	int signal_fd;
	int ended_fd;			/* eventfd: a task has ended */
	int doorbell[MAX_VECTORS];	/* eventfds that guests signal */
	int filler;			/* an eventfd that nobody signals */
	int spare;			/* closed to take a connection when none is left */
	bool greeted;			/* somebody was here */
	unsigned int replugs;

	pthread_mutex_t guests_lock;	/* tasks ring */
	struct guest guest[MAX_GUESTS];
	bool used;			/* a guest had the memory */

	struct mailbox mailbox[MAX_MAILBOXES];
	uint32_t last_mailbox;
	uint64_t next_scan;
	struct task *task[MAX_TASKS];
	uint32_t last_task;
	struct monitor *monitor;
};

/* main.c */
uint64_t clock_ns(void);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* server.c: 0, or -1 having said why */
int server_start(struct npu *npu);
void server_stop(struct npu *npu);
void server_accept(struct npu *npu);

/* What a guest says means nothing, but its hang-up does. */
void server_guest(struct npu *npu, unsigned int index);

/* Serve guests that have to wait, drop those that do not read. */
void server_look(struct npu *npu);

/* When that is to be called at the latest, as mailbox_due(). */
int server_due(const struct npu *npu);
bool server_has_guests(struct npu *npu);

/* Any thread. Signal every guest; false if there is nobody, or we are silent. */
bool server_ring(struct npu *npu, uint64_t region_id);

/* mailbox.c */
void mailbox_look(struct npu *npu);
void mailbox_drop_all(struct npu *npu);

/* When to look again at the latest, in milliseconds for epoll; -1: never. */
int mailbox_due(struct npu *npu);

/* task.c; the main thread calls these. */

/* Start one. 0 or -errno; why, is in the reply. */
int task_launch(struct npu *npu, const struct mailbox *box, const struct npu_request *request,
		struct npu_reply *reply);

/* One of that mailbox, or NULL. */
struct task *task_find(struct npu *npu, const struct mailbox *box, uint32_t id);
bool task_ended(const struct task *task);
void task_report(const struct task *task, struct npu_reply *reply);

/* Have it end, and wait until it has. */
void task_end(struct task *task);

/* The same for all of a mailbox, or all, and forget them. */
void task_drop(struct npu *npu, const struct mailbox *box);

/* Somebody rang this vector. */
void task_rung(struct npu *npu, unsigned int vector);

/* monitor.c */

/* -EBUSY, -ENOENT, -ENOMEM */
int monitor_submit(struct npu *npu, const char *text);
void monitor_stop(struct npu *npu);

#endif /* NPUSIM_H */
