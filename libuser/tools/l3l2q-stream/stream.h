/* SPDX-License-Identifier: MIT */
/*
 * Inside l3l2q-stream. main.c reads the options and says how it ended; l3.c is
 * the L3 side, a loop on one thread; worker.c is the L2 side and what L3 knows of
 * it; npu.c has an NPU be L2 instead; external.c is for memory that nobody hands
 * out; ops.c has the operations and their check;
 * report.c the numbers.
 */
#ifndef STREAM_H
#define STREAM_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <l3l2q.h>

#define PROGRAM "l3l2q-stream"

/* Exit statuses. */
#define EXIT_OK		0
#define EXIT_ERROR	1	/* could not do it */
#define EXIT_USAGE	2	/* was asked for something that makes no sense */
#define EXIT_WORKER	3	/* the worker, or the NPU's task, died or misbehaved */
#define EXIT_REMOVED	4	/* the memory was taken away: an unplug */
#define EXIT_SIGNAL	130	/* stopped by SIGINT or SIGTERM */

#define NSEC_PER_SEC	1000000000ull

/* ---- ops.c ------------------------------------------------------------- */

enum op_kind { OP_ECHO, OP_XOR_U8, OP_ADD_F32 };

struct op {
	uint32_t kind;
	float scalar;
	uint8_t byte;
	uint8_t pad[7];
};

/* "echo", "xor-u8:BYTE" or "add-f32:SCALAR"; false if it is none of them. */
bool op_parse(struct op *op, const char *text);

/* What the worker does: from one arena into the other. */
void op_apply(const struct op *op, const void *from, void *to, size_t n);

/*
 * What L3 checks results with; it shares no code with op_apply(). Return: index
 * of the first byte that differs, with what it should be in @expected, or @n.
 */
size_t op_check(const struct op *op, const unsigned char *from, const unsigned char *got,
		size_t n, unsigned char *expected);

/* ---- options ----------------------------------------------------------- */

struct options {
	const char *input;
	const char *output;
	const char *connect;	/* socket of a worker that is running, or NULL: fork one */
	const char *mailbox;	/* transport of the NPU's mailbox, or NULL: as the queue's */
	struct op op;
	struct op verify_op;
	struct l3l2q_attr attr;
	uint64_t message;
	uint64_t timeout_ns;
	uint64_t spin_ns;	/* how long to look for work; 0: as the library does */
	uint64_t kill_after;	/* 0: do not */
	const char *unplug_id;	/* QEMU's name of the device */
	uint64_t unplug_after;	/* 0: do not */
	uint32_t npu_delay_us;
	bool npu;		/* L2 is a task of l3l2q-npusim */
	bool verify;
	bool abort_eventfd;
};

/* ---- external.c -------------------------------------------------------- */

#define EXTERNAL "external"	/* the transport */

struct external;

/* Make the queue. 0 or -errno; @x is to be freed after the endpoint in any case. */
int external_create(struct external **x, struct l3l2q_ep **ep, const struct l3l2q_attr *attr,
		    struct l3l2q_failure *why);

/* The memory and the L3L2Q_SCALARS numbers that the other side needs; stays ours. */
int external_fd(const struct external *x, uint64_t *scalars);

/* The other side: @fd becomes ours. As for create. */
int external_attach(struct external **x, struct l3l2q_ep **ep, int fd, const uint64_t *scalars,
		    const struct l3l2q_attr *attr, struct l3l2q_failure *why);

void external_free(struct external *x);

/* ---- worker.c ---------------------------------------------------------- */

/* The worker, as L3 sees it. */
struct worker {
	int sock;
	pid_t pid;
	bool child;
	bool reaped;
	int status;		/* as of waitpid(), once reaped */
};

enum report_kind { REPORT_READY = 1, REPORT_DONE, REPORT_FAILED };

/* What the worker tells on the socket. */
struct worker_report {
	uint32_t kind;
	uint32_t pad;
	struct l3l2q_ep_stats stats;
	char text[256];
};

/*
 * Get a worker, hand it the peer of @ep, or @x if there is one, and wait until it
 * has attached. Return: 0, or -1 with the reason in @why.
 */
int worker_start(struct worker *w, struct l3l2q_ep *ep, const struct external *x,
		 const struct options *opt, char *why, size_t size);

/* It has closed its socket, and publishes nothing any more. */
bool worker_left(const struct worker *w);

/* Its last word. False if there is none within @timeout_ns. */
bool worker_report(struct worker *w, struct worker_report *report, uint64_t timeout_ns);

/* Wait for a child to end, kill it if it does not; harmless for others. */
void worker_reap(struct worker *w, uint64_t timeout_ns);

/* How it ended: "was killed by signal 9 (Killed)" and the like. */
void worker_fate(const struct worker *w, char *text, size_t size);

/* The L2 side: be a worker over the socket @sock; an exit status. */
int worker_serve(int sock);

/* The same for one L3 that connects to a socket at @path. */
int worker_listen(const char *path);

/* ---- npu.c ------------------------------------------------------------- */

#define NPUSIM_PREFIX "npusim:"	/* of a transport without QEMU and driver */

struct npu_peer;

/* What its task did beside its work. */
struct npu_result {
	uint64_t rings;
	uint64_t sleeps;
};

/* Make the queue. 0 or -errno; @peer is to be freed in any case. */
int npu_create(struct npu_peer **peer, struct l3l2q_ep **ep, const struct options *opt,
	       struct l3l2q_failure *why);

/* Launch its L2. 0, or -1 with the reason in @why. */
int npu_start(struct npu_peer *peer, const struct options *opt, char *why, size_t size);

/* It has drained the queue: wait for its end. The same. */
int npu_finish(struct npu_peer *peer, struct npu_result *result, int64_t timeout_ns, char *why,
	       size_t size);

/* Have QEMU unplug the device of that name. 0 or -errno. */
int npu_pull(struct npu_peer *peer, const char *id);

/* How it is, if it still says so. */
void npu_words(struct npu_peer *peer, char *text, size_t size);

/* Stop it if it runs; before the queue is closed. */
void npu_leave(struct npu_peer *peer);
void npu_free(struct npu_peer *peer);

/* Has the memory been taken away? */
bool queue_removed(struct l3l2q_ep *ep);

/* What the driver did for us; false if there is none. */
bool queue_stats(struct l3l2q_ep *ep, struct l3l2q_stats *stats);

/* ---- l3.c -------------------------------------------------------------- */

/* Signals so far: the first asks to stop, the second to abort. */
extern volatile sig_atomic_t stop_signals;
extern int stop_event;	/* eventfd that the handler signals */

int stream_run(const struct options *opt);

/* ---- report.c ---------------------------------------------------------- */

#define HIST_SUB	32	/* buckets an octave: 3% */
#define HIST_BUCKETS	(60 * HIST_SUB)

/* Durations in log-linear buckets of fixed number. */
struct histogram {
	uint64_t count;
	uint64_t max;
	uint64_t bucket[HIST_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t ns);
uint64_t histogram_percentile(const struct histogram *h, unsigned int percent);

struct summary {
	const char *result;
	const char *transport;
	const char *abort;	/* how the worker's end was learnt, "none" */
	const char *tag;	/* may be empty */
	const char *binding;
	uint32_t region_version;	/* major << 16 | minor */
	uint64_t messages;
	uint64_t bytes;
	uint64_t ns;
	uint64_t sleeps;
	uint64_t kicks;
	uint64_t syscalls;
	bool both_sides;	/* the worker's counts are in */
	const struct npu_result *npu;	/* or NULL */
	const struct l3l2q_stats *driver;	/* or NULL */
	const struct histogram *rtt;
};

/* Words of another process, which go to a terminal: only what is printable stays. */
void tame(char *text);

/* One line, for machines or for people, on stderr. */
void summary_print(const struct summary *s, bool people);

/* At most ten times a second, if stderr is a terminal. */
struct progress {
	bool shown;
	bool enabled;
	uint64_t start;
	uint64_t next;
};

void progress_start(struct progress *p, uint64_t now);
void progress_show(struct progress *p, uint64_t now, uint64_t messages, uint64_t bytes);
void progress_clear(struct progress *p);

uint64_t clock_ns(void);

#endif /* STREAM_H */
