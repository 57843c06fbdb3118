/* SPDX-License-Identifier: MIT */
/*
 * libl3l2q: the L3-L2 message queue for host programs.
 *
 * A region is memory shared by two endpoints, L3 and L2. Each endpoint has a
 * producer and a consumer:
 *
 *	L3 producer --input-->  L2 consumer
 *	L3 consumer <--output-- L2 producer
 *
 * Return values: 0 (or a count where said) or -errno. Every call can also
 * return the endpoint's first error, which sticks (protocol.md, section 6):
 *
 *	-EPROTO		the region's description was refused
 *	-EBADMSG	the peer broke the protocol
 *	-EPERM		this side broke it: a stale handle, a second reservation
 *	-ECONNABORTED	the peer aborted, died, or the memory was removed
 *	-EIO		anything else that ends the endpoint
 *
 * l3l2q_ep_error() says which and why. Other errors change nothing:
 *
 *	-EAGAIN		no progress: full, empty, or window full
 *	-ETIMEDOUT	the time-out passed
 *	-EINVAL		bad argument
 *	-EMSGSIZE	larger than the arena, or than the buffer
 *	-EPIPE		STOP was sent before; or a blocking call cannot go on since the
 *			peer has detached
 *	-ESHUTDOWN	the endpoint was detached
 *
 * Sizes are bytes, times nanoseconds. Time-outs of blocking calls are relative
 * and finite: positive on L3; on L2 also 0, which probes once; else -EINVAL.
 *
 * Threads: different endpoints are independent. One endpoint's producer and its
 * consumer may each be used by one thread at a time, both at once. Calls on the
 * endpoint itself may come from any thread but l3l2q_close(), which must be the
 * last one. The library creates no threads, prints nothing, installs no signal
 * handlers and allocates only in create, attach and open_peer.
 *
 * Where the compiler optimises, what most messages take is inline (l3l2q/inline.h);
 * define L3L2Q_NO_INLINE to call the library for everything.
 */
#ifndef L3L2Q_H
#define L3L2Q_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <linux/l3l2q.h>
#include <l3l2q/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct l3l2q_ep;	/* an endpoint */
struct l3l2q_producer;	/* its sending half */
struct l3l2q_consumer;	/* its receiving half */

/* ---- life cycle -------------------------------------------------------- */

/**
 * struct l3l2q_attr - what to create or attach; zero is a default throughout
 * @transport: where the memory comes from; used by create only:
 *	"driver", "ram"	RAM of the host, by the driver; the default
 *	"driver:PATH"	the same, with a device node other than /dev/l3l2q
 *	"pci"		the first NPU window that the driver has
 *	"pci:NAME"	the window of that name, such as pci:0000:00:04.0
 *	"dmabuf:FD"	a dma-buf; needs L3L2Q_ATTR_COHERENT
 *	"ascend:VA:BYTES" this process's NPU memory, by device address; numbers in
 *			C's notation
 *	"memfd"		RAM without the driver; no module needed
 * @role: enum l3l2q_role of the endpoint that create returns; attach: ignored
 * @depth: messages a ring holds: a power of two, 1 ... 2^30; 0: a raw region
 * @input_arena_bytes: positive multiple of 64
 * @output_arena_bytes: positive multiple of 64
 * @payload_bytes: raw region: its size; else 0
 * @counter_bytes: raw region: a multiple of 4; else 0
 * @window: messages the consumer may hold at once, 1 ... depth; 0: 1
 * @spin_ns: longest spin before a blocking call sleeps; it adapts below that.
 *	0: 50 us; L3L2Q_SPIN_OFF: sleep at once
 * @flags: L3L2Q_ATTR_*
 * @numa_node: with L3L2Q_ATTR_NUMA
 */
struct l3l2q_attr {
	const char *transport;
	uint32_t role;
	uint32_t depth;
	uint64_t input_arena_bytes;
	uint64_t output_arena_bytes;
	uint64_t payload_bytes;
	uint64_t counter_bytes;
	uint32_t window;
	uint32_t flags;
	uint64_t spin_ns;
	int32_t numa_node;
};

#define L3L2Q_SPIN_OFF		UINT64_MAX
#define L3L2Q_ATTR_NUMA		(1u << 0)
#define L3L2Q_ATTR_REGION_V3	(1u << 1)	/* the scalars say region version 3.0 */
#define L3L2Q_ATTR_SILENT_PEER	(1u << 2)	/* the peer only loads and stores */
/*
 * The caller knows that CPUs and device see each other's writes to cached memory.
 * Counts for dmabuf, which needs it, and for ascend, which is mapped cached with it
 * and write-combining without; ignored elsewhere.
 */
#define L3L2Q_ATTR_COHERENT	(1u << 3)
/* A signal that was handled ends blocking calls with -EINTR. */
#define L3L2Q_ATTR_INTERRUPTIBLE (1u << 4)

/**
 * struct l3l2q_failure - why there is no endpoint; filled in by a failing create
 * or attach if one is passed
 * @text: one sentence, NUL-terminated
 */
struct l3l2q_failure {
	char text[192];
};

/**
 * l3l2q_create() - make a region and an endpoint of it
 * @ep: result
 * @attr: what to make
 * @why: reason in words on failure, or NULL
 *
 * -EINVAL bad geometry, attribute or transport; -EFBIG too large for the driver;
 * -EDQUOT over the user's limit; -ENOMEM; -ENOSPC no room in the window; -ENOENT no
 * device node, module not loaded; -ENODEV no such window or device; -EBADF no such
 * dma-buf; -EACCES no permission; -EPROTONOSUPPORT the driver's interface is too old
 * or too new; -EOPNOTSUPP not on this transport or memory, such as a depth of 1 on
 * memory that is not cached; -EMFILE, -ENFILE.
 */
int l3l2q_create(struct l3l2q_ep **ep, const struct l3l2q_attr *attr,
		 struct l3l2q_failure *why);

/**
 * l3l2q_open_peer() - make the other endpoint of a region, once
 * @ep: what l3l2q_create() returned
 *
 * The result is a close-on-exec descriptor: hand it to another process, by fork or
 * l3l2q_send_fd(), or use it in this one; l3l2q_attach() makes an endpoint of it.
 *
 * Return: the descriptor; -EBUSY the second time; -EPERM if @ep was attached;
 * -EOPNOTSUPP on an external endpoint.
 */
int l3l2q_open_peer(struct l3l2q_ep *ep);

/**
 * l3l2q_attach() - make an endpoint from a descriptor of l3l2q_open_peer()
 * @ep: result
 * @fd: the descriptor; the endpoint owns it once attach has succeeded
 * @attr: window, spin_ns and flags count, or NULL for defaults
 * @why: reason in words on failure, or NULL
 *
 * -EBADF, -EINVAL not such a descriptor; -EBUSY another process has attached it;
 * -ENODEV its memory was removed; -ENOMEM; -EPROTO its description is not sound;
 * -EOPNOTSUPP a memory type this version does not know, or one that is not cached
 * with a depth of 1.
 */
int l3l2q_attach(struct l3l2q_ep **ep, int fd, const struct l3l2q_attr *attr,
		 struct l3l2q_failure *why);

/**
 * struct l3l2q_external - memory that the caller has mapped
 * @scalars: the twelve scalars; the bases are not used as addresses
 * @payload: the payload range, 8-byte aligned
 * @counters: the counter range, 64-byte aligned
 * @role: enum l3l2q_role to take
 * @memory: enum l3l2q_memory of the mapping, the effective one: it decides how
 *	bytes are copied and which fences are used
 */
struct l3l2q_external {
	uint64_t scalars[L3L2Q_SCALARS];
	void *payload;
	void *counters;
	uint32_t role;
	uint32_t memory;
};

/**
 * l3l2q_attach_external() - make an endpoint over mapped memory
 * @ep: result
 * @ext: copied; the memory must stay until l3l2q_close()
 * @attr: window and spin_ns count, or NULL for defaults
 * @why: reason in words on failure, or NULL
 *
 * Such an endpoint polls: it has no descriptor, and blocking calls nap between
 * looks. Nothing is written to the memory. The counters that @ext->role writes
 * must be 0, which its creator has seen to. -EINVAL, -ENOMEM; -EPROTO the scalars
 * are not sound or this end was used before; -EOPNOTSUPP as for attach.
 */
int l3l2q_attach_external(struct l3l2q_ep **ep, const struct l3l2q_external *ext,
			  const struct l3l2q_attr *attr, struct l3l2q_failure *why);

/**
 * l3l2q_detach() - end this side cleanly
 *
 * The peer sees a hang-up without an abort; what was published stays
 * deliverable. The memory stays mapped until l3l2q_close().
 */
int l3l2q_detach(struct l3l2q_ep *ep);

/**
 * l3l2q_abort() - end this side with its abort flag set
 *
 * The peer sees -ECONNABORTED; here every later call returns -EIO. -EOPNOTSUPP on
 * a raw region, which has no flag.
 */
int l3l2q_abort(struct l3l2q_ep *ep);

/**
 * l3l2q_interrupt() - have blocking calls return
 *
 * The blocking call that the producer is in, or else its next one, returns -EINTR; so
 * does that of the consumer, and that of the endpoint itself (l3l2q_wait(),
 * l3l2q_wait_counter()). Each does so once. From any thread, and from signal handlers.
 */
int l3l2q_interrupt(struct l3l2q_ep *ep);

/* l3l2q_close() - detach if that has not happened, and free; @ep may be NULL */
void l3l2q_close(struct l3l2q_ep *ep);

/* Send a descriptor over a connected UNIX socket, or receive one (close-on-exec). */
int l3l2q_send_fd(int sock, int fd);
int l3l2q_recv_fd(int sock);

/* ---- looking at an endpoint -------------------------------------------- */

struct l3l2q_producer *l3l2q_ep_producer(struct l3l2q_ep *ep); /* NULL if raw */
struct l3l2q_consumer *l3l2q_ep_consumer(struct l3l2q_ep *ep); /* NULL if raw */

/* The first error, or kind L3L2Q_ERR_NONE. @out is filled in. */
void l3l2q_ep_error(const struct l3l2q_ep *ep, struct l3l2q_error *out);

/* A name for an enum l3l2q_error_kind, never NULL. */
const char *l3l2q_error_name(uint32_t kind);

/**
 * struct l3l2q_ep_info - what an endpoint is
 * @transport: "driver" (with any memory it has), "memfd" or "external"
 * @role: enum l3l2q_role
 * @memory: enum l3l2q_memory
 * @window: of the consumer
 * @region_id: never 0
 * @payload: the payload range as mapped here
 * @counters: the counter range as mapped here
 * @payload_bytes: size of the payload range
 * @counter_bytes: size of the counter range
 * @layout: all zero for a raw region
 * @backend: "ram", "pci", "dmabuf" or "ascend" over the driver; else as @transport
 * @copy_path: how bytes are copied in or out: "cached", "device", or "wc-" and the
 *	instructions used, such as "wc-sse2", "wc-avx2", "wc-neon"
 */
struct l3l2q_ep_info {
	const char *transport;
	uint32_t role;
	uint32_t memory;
	uint32_t window;
	uint64_t region_id;
	void *payload;
	void *counters;
	uint64_t payload_bytes;
	uint64_t counter_bytes;
	struct l3l2q_layout layout;
	const char *backend;
	const char *copy_path;
};

void l3l2q_ep_info(const struct l3l2q_ep *ep, struct l3l2q_ep_info *out);

/**
 * l3l2q_ep_scalars() - the scalars that describe the region to L2
 * @scalars: room for L3L2Q_SCALARS; a raw region has six, the rest is zero
 *
 * The bases are the device's addresses where there is a device (pci, ascend), else
 * those of this process (a2a3sim). Return: 12, or 6 for a raw region.
 */
int l3l2q_ep_scalars(const struct l3l2q_ep *ep, uint64_t scalars[L3L2Q_SCALARS]);

/**
 * struct l3l2q_ep_stats - counts since the endpoint was made
 * @sent: messages published
 * @received: messages released
 * @sent_bytes: their bodies
 * @received_bytes: their bodies
 * @kicks: system calls made to wake the peer
 * @sleeps: times a blocking call slept
 * @spins: times a blocking call was served while it spun
 * @syscalls: system calls on the message path, all of them
 */
struct l3l2q_ep_stats {
	uint64_t sent;
	uint64_t received;
	uint64_t sent_bytes;
	uint64_t received_bytes;
	uint64_t kicks;
	uint64_t sleeps;
	uint64_t spins;
	uint64_t syscalls;
};

void l3l2q_ep_stats(const struct l3l2q_ep *ep, struct l3l2q_ep_stats *out);

/**
 * l3l2q_ep_dump() - the state of an endpoint in words, for people
 * @text: buffer, always terminated if @size > 0
 *
 * Exact only while no other thread uses the endpoint.
 * Return: length it would have, as snprintf.
 */
int l3l2q_ep_dump(const struct l3l2q_ep *ep, char *text, size_t size);

/* ---- sending ----------------------------------------------------------- */

/**
 * l3l2q_enqueue() - send a message
 * @opcode: L3L2Q_OP_DATA or L3L2Q_OP_ERROR; STOP has a call of its own
 * @body: NULL exactly if @nbytes is 0
 *
 * The body is copied once, after it is certain that the message goes through.
 * A message of up to the arena's size goes through eventually; a larger one is
 * -EMSGSIZE at once. l3l2q_enqueuev() gathers @iovcnt buffers into one message.
 */
int l3l2q_try_enqueue(struct l3l2q_producer *p, uint32_t opcode,
		      const void *body, size_t nbytes);
int l3l2q_enqueue(struct l3l2q_producer *p, uint32_t opcode,
		  const void *body, size_t nbytes, int64_t timeout_ns);
int l3l2q_try_enqueuev(struct l3l2q_producer *p, uint32_t opcode,
		       const struct iovec *iov, int iovcnt);
int l3l2q_enqueuev(struct l3l2q_producer *p, uint32_t opcode,
		   const struct iovec *iov, int iovcnt, int64_t timeout_ns);

/**
 * l3l2q_reserve() - take a span of the arena to write a message in place
 * @span: result; give it to commit or cancel unchanged
 *
 * One at a time: while it is active, any other enqueue, STOP included, is
 * OWNERSHIP (-EPERM) and ends the endpoint. In memory that is not cached, write the
 * span by plain aligned stores, no atomic operations; commit sees them off. If the
 * memory was removed meanwhile, commit is -ECONNABORTED.
 */
int l3l2q_try_reserve(struct l3l2q_producer *p, size_t nbytes,
		      struct l3l2q_reservation *span);
int l3l2q_reserve(struct l3l2q_producer *p, size_t nbytes,
		  struct l3l2q_reservation *span, int64_t timeout_ns);
int l3l2q_commit(struct l3l2q_producer *p, const struct l3l2q_reservation *span,
		 uint32_t opcode);
int l3l2q_cancel(struct l3l2q_producer *p, const struct l3l2q_reservation *span);

/**
 * l3l2q_batch_begin() - hold back what is sent until l3l2q_batch_publish()
 *
 * Then one counter store makes all of it visible and at most one wake-up is
 * sent. A blocking call that finds no room publishes first, so that a batch
 * larger than the ring goes through. -EINVAL if a batch is open, or none is.
 */
int l3l2q_batch_begin(struct l3l2q_producer *p);
int l3l2q_batch_publish(struct l3l2q_producer *p);

/**
 * l3l2q_stop() - send STOP, the last message of the input
 *
 * Later sends are -EPIPE at once. L3 only; -EBADMSG, ending the endpoint, on L2.
 */
int l3l2q_try_stop(struct l3l2q_producer *p);
int l3l2q_stop(struct l3l2q_producer *p, int64_t timeout_ns);

/* ---- receiving --------------------------------------------------------- */

/**
 * l3l2q_peek() - acquire the next message, leaving its body in place
 * @m: result; zeroed on failure
 *
 * Up to window messages can be held and released in any order. With a window of
 * 1, a second peek returns the same message on L3 and is OWNERSHIP on L2.
 */
int l3l2q_try_peek(struct l3l2q_consumer *c, struct l3l2q_message *m);
int l3l2q_peek(struct l3l2q_consumer *c, struct l3l2q_message *m, int64_t timeout_ns);

/**
 * l3l2q_read_into() - copy the body of a held message
 * @body: NULL exactly if the message has no body
 * @capacity: room at @body
 *
 * A stale handle is -EINVAL; the endpoint lives on.
 */
int l3l2q_read_into(struct l3l2q_consumer *c, const struct l3l2q_message *m,
		    void *body, size_t capacity);

/*
 * Give a held message back. A handle that is not held is OWNERSHIP (-EPERM). Where
 * memory can be removed, what was read in place counts only once release returns 0:
 * if it is -ECONNABORTED, that may have been zeroes.
 */
int l3l2q_release(struct l3l2q_consumer *c, const struct l3l2q_message *m);

/**
 * l3l2q_dequeue() - peek, read_into and release in one
 * @m: result, its data NULL: the body is in @body; m->nbytes of it
 *
 * If the body does not fit, or @body is NULL though there is one, -EMSGSIZE, and
 * the message stays first: m->nbytes says how much room it needs. A message
 * without a body leaves @body alone. -EINVAL while a handle is held.
 */
int l3l2q_try_dequeue(struct l3l2q_consumer *c, struct l3l2q_message *m,
		      void *body, size_t capacity);
int l3l2q_dequeue(struct l3l2q_consumer *c, struct l3l2q_message *m,
		  void *body, size_t capacity, int64_t timeout_ns);

/**
 * l3l2q_peek_batch() - acquire up to @max messages; try form
 * Return: how many, at least 1, or -EAGAIN or another error with none acquired.
 */
int l3l2q_peek_batch(struct l3l2q_consumer *c, struct l3l2q_message *m, int max);

/* Give several back with one counter store and at most one wake-up. */
int l3l2q_release_batch(struct l3l2q_consumer *c, const struct l3l2q_message *m, int n);

/* 1 once STOP has been released and everything before it, else 0. */
int l3l2q_drained(const struct l3l2q_consumer *c);

/* ---- waiting ----------------------------------------------------------- */

/**
 * l3l2q_wait() - sleep until there may be something to do
 * @events: L3L2Q_EVENT_IN, L3L2Q_EVENT_OUT or both
 *
 * Spins a little, then sleeps. OUT means that what was refused last, for want of room,
 * may go through now. Return: the events that hold, ABORT and HUP included;
 * -ETIMEDOUT. A @timeout_ns of 0 looks once.
 */
int l3l2q_wait(struct l3l2q_ep *ep, uint32_t events, int64_t timeout_ns);

/**
 * l3l2q_fd() - a descriptor for poll, select and epoll, owned by the endpoint
 *
 * Readable, or in error, when l3l2q_arm() has something to report. On the driver
 * it is the endpoint itself, and EPOLLOUT, EPOLLPRI (abort) and EPOLLHUP work
 * too. One thread at a time arms and polls it; others may use l3l2q_wait().
 * Return: -EOPNOTSUPP on an external endpoint.
 */
int l3l2q_fd(struct l3l2q_ep *ep);

/**
 * l3l2q_arm() - ask to be woken, then look
 * @events: L3L2Q_EVENT_IN, L3L2Q_EVENT_OUT or both
 *
 * To be called before each sleep in a poll of one's own on l3l2q_fd(), on every
 * transport; if it returns other than 0, do not sleep. One-shot.
 * Return: the events that hold now, or -errno.
 */
int l3l2q_arm(struct l3l2q_ep *ep, uint32_t events);

/**
 * l3l2q_eventfd() - signal an eventfd on an event; driver only
 * @kind: enum l3l2q_eventfd_kind, not COUNTER
 * @fd: eventfd, or -1 to remove
 *
 * Signalled once each time it is armed: by this call and by l3l2q_arm(), with
 * ABORT also always. -EOPNOTSUPP elsewhere; -ENOENT nothing to remove.
 */
int l3l2q_eventfd(struct l3l2q_ep *ep, uint32_t kind, int fd);

/* ---- raw regions, and counters in general ------------------------------ */

/**
 * l3l2q_notify() - change a counter and wake whoever sleeps for it
 * @offset: of the counter in the counter range
 * @op: enum l3l2q_notify_op
 *
 * Publishes all writes before it. -EINVAL unaligned or unknown op; -ERANGE
 * outside; -EPERM a queue's line that the other role writes.
 */
int l3l2q_notify(struct l3l2q_ep *ep, uint64_t offset, uint32_t op, int32_t value);

/**
 * l3l2q_test() - one snapshot of a counter
 * @observed: what was read, 0 on error; may be NULL
 *
 * Return: 1 if (observed cmp value) holds, 0 if not, -EINVAL, -ERANGE.
 */
int l3l2q_test(struct l3l2q_ep *ep, uint64_t offset, uint32_t cmp, int32_t value,
	       int32_t *observed);

/**
 * l3l2q_wait_counter() - sleep until a comparison holds
 * @observed: what was read last, also on time-out; may be NULL
 *
 * -ETIMEDOUT poisons nothing. -ECONNABORTED if the peer is gone and it does not
 * hold. The time-out rule is that of the blocking forms.
 */
int l3l2q_wait_counter(struct l3l2q_ep *ep, uint64_t offset, uint32_t cmp,
		       int32_t value, int64_t timeout_ns, int32_t *observed);

/* Copy into or out of a raw region's payload. -EINVAL no bytes; -ERANGE outside. */
int l3l2q_payload_write(struct l3l2q_ep *ep, uint64_t offset, const void *from, size_t nbytes);
int l3l2q_payload_read(struct l3l2q_ep *ep, uint64_t offset, void *to, size_t nbytes);

/* ---- the system call, for those who need it ----------------------------- */

/* ioctl() that goes on after EINTR and returns 0 or -errno. */
int l3l2q_ioctl(int fd, unsigned long request, void *arg);

/* The library's version, "MAJOR.MINOR.PATCH". */
const char *l3l2q_version(void);

#ifdef __cplusplus
}
#endif

#if defined(__OPTIMIZE__) && !defined(L3L2Q_NO_INLINE)
#include <l3l2q/inline.h>
#endif

#endif /* L3L2Q_H */
