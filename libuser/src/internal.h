/* SPDX-License-Identifier: MIT */
/*
 * Inside libl3l2q: an endpoint is the protocol core, a transport that sleeps and
 * wakes for it, and counts.
 */
#ifndef L3L2Q_INTERNAL_H
#define L3L2Q_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __has_include
#if __has_include(<sys/sdt.h>)
#define L3L2Q_PROBES
#endif
#endif

#define L3L2Q_NO_INLINE
#include <l3l2q.h>
#include <l3l2q/core.h>
#include <l3l2q/probes.h>

#define L3L2Q_API __attribute__((visibility("default")))

#define NSEC_PER_SEC 1000000000ull
#define SPIN_DEFAULT_NS 50000ull
#define NAP_DEFAULT_NS 50000ull

/* l3l2q_error.kind of an endpoint that was detached: no error, but an end. */
#define KIND_DETACHED 0x100u

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

struct l3l2q_ep;
struct l3l2q_half;

/**
 * struct l3l2q_transport - what a kind of memory needs done for it
 * @name: as in l3l2q_attr.transport
 * @open_peer: make the descriptor of the other end
 * @kick: wake the peer's sleepers; self: our own as well
 * @sleep: arm, look, sleep until an event or the deadline; events or -errno, -EINTR
 *	when l3l2q_half_must_return() or, if signals may interrupt, after a signal
 * @sleep_counter: the same for one condition; 0 to look again, or -errno
 * @interrupt: have all sleepers of this end return; async-signal-safe
 * @drop_interrupt: an interruption ended a call that did not sleep: let it end no later
 *	one; or NULL
 * @ask_peer: ask the kernel whether the peer lives and keep the answer in the word
 *	of core.gone; NULL where that word is kept up to date by the kernel
 * @arm: arm for somebody else's poll; 0, -errno, or 1 if the poll may not be woken
 * @fd: what to poll
 * @eventfd: register, replace, remove
 * @detach: end this side cleanly
 * @release: give back everything create or attach took
 */
struct l3l2q_transport {
	const char *name;
	int (*open_peer)(struct l3l2q_ep *ep);
	int (*kick)(struct l3l2q_ep *ep, bool self);
	int (*sleep)(struct l3l2q_ep *ep, const struct l3l2q_half *half, uint32_t events,
		     uint64_t deadline_ns);
	int (*sleep_counter)(struct l3l2q_ep *ep, struct l3l2q_condition *cond,
			     uint64_t deadline_ns);
	void (*interrupt)(struct l3l2q_ep *ep);
	void (*drop_interrupt)(struct l3l2q_ep *ep, const struct l3l2q_half *half);
	void (*ask_peer)(struct l3l2q_ep *ep);
	int (*arm)(struct l3l2q_ep *ep, uint32_t events);
	int (*fd)(struct l3l2q_ep *ep);
	int (*eventfd)(struct l3l2q_ep *ep, uint32_t kind, int fd);
	int (*detach)(struct l3l2q_ep *ep);
	void (*release)(struct l3l2q_ep *ep);
};

extern const struct l3l2q_transport l3l2q_driver;
extern const struct l3l2q_transport l3l2q_memfd;
extern const struct l3l2q_transport l3l2q_external;

/**
 * struct l3l2q_spinner - what a half has learned about its waits; accessed atomically
 * @budget: looks that a spin may take
 * @cost_ns: processor time that a sleep takes at both ends, 0 until it was measured
 * @sleeps: sleeps so far
 * @waits: waits so far
 * @solo: only one processor may run this thread, so spinning cannot help
 */
struct l3l2q_spinner {
	uint64_t budget;
	uint64_t cost_ns;
	uint64_t sleeps;
	uint64_t waits;
	uint64_t solo;
};

/* Counts of one half, written by its thread and read by any. */
struct l3l2q_counts {
	uint64_t kicks;
	uint64_t sleeps;
	uint64_t spins;
};

/* When the kernel was asked last, and how fast l3l2q_ticks() runs. */
struct l3l2q_asker {
	uint64_t ns;
	uint64_t ticks;
	uint64_t ticks_per_ms;
};

/**
 * struct l3l2q_half - one thread's half of an endpoint, beside the core's
 * @interrupted: the current blocking call, or the next one, returns -EINTR; set by
 *	any thread or a signal handler
 * @requested: the peer fences the stores that this half reads; by any thread, atomically
 * @slept_at: messages released, or published, when that was requested last; likewise
 */
struct l3l2q_half {
	struct l3l2q_spinner spinner;
	struct l3l2q_counts counts;
	struct l3l2q_asker asker;
	uint32_t interrupted;
	bool requested;
	uint64_t slept_at;
} L3L2Q_ALIGNED;

struct l3l2q_map {
	void *addr;
	size_t length;
};

/**
 * struct l3l2q_copies - copied memory: the caller's functions, and what is buffered
 * @read, @write, @ctx: as in struct l3l2q_external
 * @buffer_bytes: size of each of the two buffers
 * @failed: error number of the first call that failed, or 0; core.removed points here
 * @gather: bodies that are not written yet; the producer's thread
 * @gather_offset: where they go in the payload range
 * @gathered: bytes of them
 * @ahead: bodies that were read ahead; the consumer's thread
 * @ahead_first: the message of the first one
 * @ahead_last: the message of the last one
 * @ahead_offset: of the first one in the payload range
 * @ahead_bytes: bytes of them
 * @seen: counters that a wait for messages has read, of which the next look makes use; the
 *	consumer's thread
 * @seen_tail: messages that the consumer knew of then
 * @has_seen: they are valid
 */
struct l3l2q_copies {
	int (*read)(void *ctx, uint32_t range, uint64_t offset, void *to, size_t n);
	int (*write)(void *ctx, uint32_t range, uint64_t offset, const void *from, size_t n);
	void *ctx;
	uint64_t buffer_bytes;
	uint32_t failed;
	unsigned char *gather L3L2Q_ALIGNED;
	uint64_t gather_offset;
	uint64_t gathered;
	unsigned char *ahead L3L2Q_ALIGNED;
	uint64_t ahead_first;
	uint64_t ahead_last;
	uint64_t ahead_offset;
	uint64_t ahead_bytes;
	uint32_t seen[L3L2Q_COUNTER_BYTES / 4];
	uint64_t seen_tail;
	bool has_seen;
};

struct l3l2q_ep {
	struct l3l2q_producer tx;
	struct l3l2q_consumer rx;
	struct l3l2q_half tx_half;
	struct l3l2q_half rx_half;
	struct l3l2q_half any_half;	/* calls on the endpoint itself, atomically */
	struct l3l2q_core core L3L2Q_ALIGNED;
	const struct l3l2q_transport *ops; /* NULL: a forked child's copy */
	struct l3l2q_region_desc region;
	struct l3l2q_queue_desc queue;	/* zero if raw */
	struct l3l2q_control *peer_control; /* to wake the peer by, memfd only */
	const struct l3l2q_status *status;
	struct l3l2q_control own_control; /* memfd, external: what decides is private */
	uint32_t gone;			/* memfd, external: core.gone points here */
	uint64_t spin_ns;
	uint64_t nap_ns;		/* where nobody wakes us: longest sleep between looks */
	uint64_t syscalls;		/* by any thread, atomically */
	uint64_t membarriers;		/* likewise */
	uint32_t requesting;		/* threads between request and DONE, atomically */
	uint32_t window;
	uint32_t memory;
	uint32_t backend;		/* driver only */
	uint32_t poisoned;		/* it is known that an error has ended this end */
	__u64 ask_at;			/* for calls on the endpoint itself, atomically */
	bool asking;			/* one thread at a time asks for these */
	bool interruptible;		/* a signal ends blocking calls */
	bool always_fenced;		/* by attribute */
	bool asks;			/* L3L2Q_ARM_ASKS is set */
	uint32_t binding;
	uint64_t identity[2];
	char tag[L3L2Q_TAG_BYTES];
	pthread_t batch_thread;		/* opened the batch, if one is open */
	bool raw;
	bool silent;
	bool rings;			/* driver: the peer cannot see what we arm */
	bool removable;			/* driver: the memory may go away */
	bool device_addresses;		/* driver: region.*_base are the device's */
	bool creator;			/* memfd: may open the peer */
	bool peer_opened;
	bool peer_known;		/* memfd: peer_pidfd and peer_lock are as they will be */
	bool peer_taking;		/* memfd: a thread looks for them */
	bool self_signalled;		/* memfd: own_event was written since the last arm */
	bool ended;			/* memfd: this side has detached */
	uint32_t idle;			/* memfd: threads that sleep in an epoll of theirs */
	const struct l3l2q_access *access; /* external: if the memory is copied */
	struct l3l2q_copies copies;	/* likewise */

	/* The pages from here on are not wiped in a forked child, which gives these back. */
	struct l3l2q_map maps[L3L2Q_MAPS] L3L2Q_ALIGNED;
	struct l3l2q_map books;
	struct l3l2q_map buffers;	/* external: if the memory is copied */
	const struct l3l2q_transport *kept_ops;
	int fd;				/* driver: the endpoint; memfd: the memory */
	int poll_fd;			/* memfd: epoll over the next three */
	int own_event;			/* memfd: wakes this side's own pollers */
	int sock;			/* memfd: to the other end, wake-ups both ways */
	int peer_pidfd;			/* memfd: of the other end's process */
	int own_lock;			/* memfd: locked while this process lives */
	int peer_lock;			/* memfd: locked while the other end's does */
};

/* For a peer that has to be told always. */
extern const uint32_t l3l2q_always_armed;

#define L3L2Q_RECEIVED_FDS 4

/* Descriptors that came with a message; truncated: there were more. */
struct l3l2q_received {
	int fds[L3L2Q_RECEIVED_FDS];
	int n;
	bool truncated;
};

/* util.c */
uint64_t l3l2q_now(void);
uint64_t l3l2q_deadline(int64_t timeout_ns);
int l3l2q_why(struct l3l2q_failure *why, int ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int l3l2q_layout_why(const struct l3l2q_attr *attr, struct l3l2q_failure *why);
int l3l2q_raw_why(const struct l3l2q_attr *attr, struct l3l2q_failure *why);
int l3l2q_map_errno(int error);
int l3l2q_map_fd(struct l3l2q_map *map, int fd, uint64_t offset, uint64_t length, int prot);
void l3l2q_unmap(struct l3l2q_map *map);
void l3l2q_close_fd(int *fd);
int l3l2q_send_fds(int sock, const void *data, size_t size, const int *fds, int n, int flags);
ssize_t l3l2q_recv_any(int sock, void *data, size_t size, struct l3l2q_received *got, int flags);
int l3l2q_check_slots(int fd, int n);
void l3l2q_close_received(struct l3l2q_received *got);
int l3l2q_recv_fds(int sock, void *data, size_t size, int *fds, int n, int flags);

/* queue.c, for inline.h */
int l3l2q_producer_finish(struct l3l2q_producer *p, int ret);
int l3l2q_consumer_finish(struct l3l2q_consumer *c, int ret);

/* ep.c */
int l3l2q_ep_alloc(struct l3l2q_ep **out, const struct l3l2q_transport *ops);
void l3l2q_ep_free(struct l3l2q_ep *ep);
int l3l2q_ep_start(struct l3l2q_ep *ep, enum l3l2q_role role, void *payload, void *counters,
		   const struct l3l2q_attr *attr, struct l3l2q_failure *why);
int l3l2q_ep_live(const struct l3l2q_ep *ep);
int l3l2q_ep_failed(struct l3l2q_ep *ep, int ret);
bool l3l2q_tag_valid(const char *tag);

/* counter.c */
int l3l2q_condition_holds(struct l3l2q_ep *ep, struct l3l2q_condition *cond);

/* wait.c */
uint32_t l3l2q_ready(const struct l3l2q_ep *ep, uint32_t events);
uint32_t l3l2q_ready_for(struct l3l2q_ep *ep, const struct l3l2q_half *half, uint32_t events);
uint32_t l3l2q_ready_by(const struct l3l2q_ep *ep, uint32_t events, const uint32_t *counters);
int l3l2q_wait_condition(struct l3l2q_ep *ep, struct l3l2q_condition *cond, uint64_t deadline);
void l3l2q_kick_peer(struct l3l2q_ep *ep, struct l3l2q_half *half);
void l3l2q_count_syscall(struct l3l2q_ep *ep);
bool l3l2q_take_interruption(struct l3l2q_ep *ep, struct l3l2q_half *half);
bool l3l2q_return_interrupted(struct l3l2q_ep *ep, struct l3l2q_half *half, int *ret);
bool l3l2q_half_must_return(const struct l3l2q_ep *ep, const struct l3l2q_half *half);
bool l3l2q_ask(struct l3l2q_ep *ep, struct l3l2q_half *half, __u64 *ask_at);
void l3l2q_add_gone(struct l3l2q_ep *ep, uint32_t gone);
int l3l2q_nap(struct l3l2q_ep *ep, uint64_t *nap_ns, uint64_t deadline_ns);

struct l3l2q_waiter {
	struct l3l2q_ep *ep;
	struct l3l2q_half *half;
	uint32_t events;
	bool started;
	uint32_t last;
	int64_t timeout_ns;
	uint64_t deadline_ns;
	const char *op;
};

int l3l2q_waiter_start(struct l3l2q_waiter *w, struct l3l2q_ep *ep, struct l3l2q_half *half,
		       uint32_t events, int64_t timeout_ns, const char *op);
void l3l2q_probe_sleep(const struct l3l2q_ep *ep, uint32_t events, uint64_t deadline);
void l3l2q_probe_wake(const struct l3l2q_ep *ep, int ret);
int l3l2q_waiter_next(struct l3l2q_waiter *w);

void l3l2q_publish_batch(struct l3l2q_ep *ep);

/* fence.c */
void l3l2q_fence_start(struct l3l2q_ep *ep);
bool l3l2q_arm_word(struct l3l2q_ep *ep, uint32_t events);
bool l3l2q_fence_request(struct l3l2q_ep *ep, uint32_t events);
void l3l2q_fence_let_off(struct l3l2q_ep *ep, struct l3l2q_half *half);

/* Now and then, on a half's own thread. */
static inline void l3l2q_let_off(struct l3l2q_ep *ep, struct l3l2q_half *half)
{
	if (l3l2q_unlikely(__atomic_load_n(&half->requested, __ATOMIC_RELAXED)))
		l3l2q_fence_let_off(ep, half);
}

/* driver.c, memfd.c, external.c */
struct l3l2q_source {
	const char *node;
	const char *name;		/* pci: which window, NULL for the first */
	uint32_t backend;
	uint64_t source;
	uint64_t bytes;
	uint64_t counter_source;	/* ascend: if the counters are elsewhere, or 0 */
	uint64_t counter_bytes;
};

int l3l2q_driver_source(const char *transport, struct l3l2q_source *source,
			struct l3l2q_failure *why);
int l3l2q_driver_create(struct l3l2q_ep **ep, const struct l3l2q_source *source,
			const struct l3l2q_attr *attr, struct l3l2q_failure *why);
int l3l2q_driver_attach(struct l3l2q_ep **ep, int fd, const struct l3l2q_attr *attr,
			struct l3l2q_failure *why);
int l3l2q_memfd_create(struct l3l2q_ep **ep, const struct l3l2q_attr *attr,
		       struct l3l2q_failure *why);
int l3l2q_memfd_attach(struct l3l2q_ep **ep, int fd, const struct l3l2q_attr *attr,
		       struct l3l2q_failure *why);
int l3l2q_polled_sleep(struct l3l2q_ep *ep, const struct l3l2q_half *half, uint32_t events,
		       uint64_t deadline_ns);
int l3l2q_polled_sleep_counter(struct l3l2q_ep *ep, struct l3l2q_condition *cond,
			       uint64_t deadline_ns);
int l3l2q_external_attach(struct l3l2q_ep **ep, const struct l3l2q_external *ext,
			  const struct l3l2q_attr *attr, struct l3l2q_failure *why);

/* copied.c */
int l3l2q_copied_check(const struct l3l2q_external *ext, struct l3l2q_failure *why);
int l3l2q_copied_map(struct l3l2q_ep *ep, const struct l3l2q_external *ext,
		     const struct l3l2q_layout *layout, struct l3l2q_failure *why);
void l3l2q_copied_unmap(struct l3l2q_ep *ep);
void l3l2q_copied_counters(const struct l3l2q_ep *ep,
			   uint32_t counters[L3L2Q_COUNTER_BYTES / 4]);
void l3l2q_copied_keep(struct l3l2q_ep *ep, const uint32_t counters[L3L2Q_COUNTER_BYTES / 4]);
void l3l2q_copied_payload_write(struct l3l2q_ep *ep, uint64_t offset, const void *from, uint64_t n);

static inline bool l3l2q_ep_is_copied(const struct l3l2q_ep *ep)
{
	return l3l2q_unlikely(ep->memory == L3L2Q_MEMORY_COPIED);
}

/* A call that would succeed fails if a copy of it did, with copied memory. */
static inline int l3l2q_check_copies(struct l3l2q_ep *ep, int ret, const char *op)
{
	if (l3l2q_ep_is_copied(ep) && (ret >= 0 || ret == -EAGAIN) &&
	    l3l2q_core_removed(&ep->core))
		return l3l2q_core_remote_abort(&ep->core, op);
	return ret;
}

/* Counts of any_half may have several writers. */
static inline void l3l2q_half_count(struct l3l2q_ep *ep, struct l3l2q_half *half,
				    uint64_t *count)
{
	if (half == &ep->any_half)
		__atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
	else
		l3l2q_core_add((__u64 *)count, 1);
}

#endif /* L3L2Q_INTERNAL_H */
