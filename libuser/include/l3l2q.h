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
 * Return values: 0 (or a count, where documented) or -errno. Calls on an endpoint and on
 * its halves can also return the endpoint's first error, which sticks (protocol.md,
 * section 6). l3l2q_test(), l3l2q_interrupt(), l3l2q_fd() and the calls that only look at
 * an endpoint do not return it:
 *
 *	-EPROTO		the region's description was refused
 *	-EBADMSG	the other side broke the protocol
 *	-ESTALE		OWNERSHIP: a stale handle, a second reservation
 *	-ECONNABORTED	the other side aborted or died, or the memory was removed
 *	-EIO		this side aborted, or anything else that ends the endpoint
 *
 * l3l2q_ep_error() says which and why. Other errors change nothing:
 *
 *	-EAGAIN		no progress: full, empty, or window full; of l3l2q_recv_fd(): no
 *			message yet; nothing else
 *	-ETIMEDOUT	the time-out passed
 *	-EINTR		l3l2q_interrupt(), or a signal with L3L2Q_ATTR_INTERRUPTIBLE
 *	-ENOSPC		of calls that sleep, over the driver: too many threads sleep on this
 *			endpoint (max_waits in linux/l3l2q.h)
 *	-EINVAL		bad argument
 *	-E2BIG		a structure has bytes that this library does not know and that
 *			are not zero
 *	-EMSGSIZE	larger than the arena, or than the buffer
 *	-EPIPE		the other side detached; what it sent before is delivered first
 *	-ESHUTDOWN	this side ended: STOP was sent before (sending calls), or it was
 *			detached (all calls)
 *	-EPERM		the endpoint belongs to another process: see below
 *
 * A call that fails leaves its results untouched unless it says otherwise.
 *
 * Sizes are in bytes, times in nanoseconds. Time-outs are relative and finite: positive
 * on L3; on L2 also 0, which makes one attempt; else -EINVAL. The call of the same name
 * with "try" does not wait: it returns -EAGAIN.
 *
 * Threads: different endpoints are independent. One endpoint's producer and its
 * consumer may each be used by one thread at a time, both at once. Calls on the
 * endpoint itself may come from any thread but l3l2q_close(), which must be the
 * last one. The library creates no threads, prints nothing, installs no signal
 * handlers and allocates only in create, attach and open_peer.
 *
 * Processes: an endpoint belongs to the process that made it. In a forked child every
 * call on it returns -EPERM, and l3l2q_close() frees the child's copy and changes
 * nothing for the parent. A descriptor of l3l2q_open_peer() may be attached by a child.
 *
 * Structures that callers fill in or get may grow. Calls that take one are inline and
 * pass its size to a function with the suffix _sized: a program and a library of
 * different age agree on the part that both know. Set what is not used to zero.
 *
 * If the compiler optimises, the common case of sending and receiving is inline
 * (l3l2q/inline.h); define L3L2Q_NO_INLINE to call the library for everything.
 */
#ifndef L3L2Q_H
#define L3L2Q_H

/* In C++ the kernel's structures share names with functions, and casts are C's. */
#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wuseless-cast"
#endif
#endif

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
 *
 * It is read during the call only; so are the strings that it points to.
 *
 * @transport: source of the memory; used by create only:
 *	"driver", "ram"	RAM of the host, by the driver; the default
 *	"driver:PATH"	the same, with a device node other than /dev/l3l2q
 *	"pci"		the first NPU window that the driver has
 *	"pci:NAME"	the window of that name, such as pci:0000:00:04.0
 *	"dmabuf:FD"	a dma-buf; needs L3L2Q_ATTR_COHERENT
 *	"ascend:VA:BYTES" this process's NPU memory, by device address; numbers in
 *			C's notation
 *	"ascend:VA:BYTES,VA:BYTES" the same, the payload in the first range and the
 *			counters in the second
 *	"memfd"		RAM without the driver; no module needed
 * @tag: name of the queue for operators: up to 31 printable ASCII characters, or NULL;
 *	create only
 * @role: enum l3l2q_role of the endpoint that create returns; create only
 * @depth: messages a ring holds: a power of two, 1 ... 2^30; 0: a raw region; create only
 * @input_arena_bytes: queue: a positive multiple of 64; raw region: 0; create only
 * @output_arena_bytes: queue: a positive multiple of 64; raw region: 0; create only
 * @payload_bytes: raw region: size of the payload, at least 1; queue: 0; create only
 * @counter_bytes: raw region: a positive multiple of 4; queue: 0; create only
 * @window: messages the consumer may hold at once, 1 ... depth; 0: 1
 * @spin_ns: longest spin before a blocking call sleeps; it adapts below that.
 *	0: 50 us; L3L2Q_SPIN_OFF: sleep at once
 * @flags: L3L2Q_ATTR_*
 * @numa_node: node to allocate on, with L3L2Q_ATTR_NUMA; without it 0, else -EINVAL
 * @region_version: of the scalars: 0 or 0x20000 for 2.0, 0x30000 for 3.0; create only
 * @binding: enum l3l2q_binding, how L2 gets the queue described; L3Q2 for a raw region;
 *	create only
 * @pad: 0
 * @identity: SPSQ: the session bits, which may be anything, and the transaction id, which
 *	is not 0; else 0; create only
 * @nap_ns: for external memory, and for memfd with L3L2Q_ATTR_SILENT_PEER: longest time
 *	that a sleeping call asks the kernel for between two looks, less than a second; the
 *	kernel adds the thread's timer slack. 0: 50 us. Ignored where the peer or the
 *	driver wakes
 */
struct l3l2q_attr {
	const char *transport;
	const char *tag;
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
	uint32_t region_version;
	uint32_t binding;
	uint32_t pad;
	uint64_t identity[2];
	uint64_t nap_ns;
};

#define L3L2Q_SPIN_OFF		UINT64_MAX
/* Allocate on numa_node; by "driver", "ram" and "memfd". Attach refuses it (-EINVAL). */
#define L3L2Q_ATTR_NUMA		(1u << 0)
/*
 * The peer only loads and stores; create and attach. The driver polls for it; over memfd
 * a sleeping call looks every nap_ns. External endpoints poll whatever the peer does.
 */
#define L3L2Q_ATTR_SILENT_PEER	(1u << 1)
/*
 * The caller guarantees that processors and device see each other's writes to cached memory.
 * Used by dmabuf, which needs it, and by ascend, which is mapped cached with it
 * and write-combining without; ignored elsewhere and by attach.
 */
#define L3L2Q_ATTR_COHERENT	(1u << 2)
/*
 * Show device addresses to the other end too, see l3l2q_ep_scalars(); ignored where there
 * are none and by attach.
 */
#define L3L2Q_ATTR_SHARE_ADDRESSES (1u << 3)
/* A signal whose handler has run ends a blocking call with -EINTR; create and attach. */
#define L3L2Q_ATTR_INTERRUPTIBLE (1u << 4)
/*
 * Execute a full barrier after every counter store, as one side does anyway where the
 * other does not know better or membarrier(2) is refused. Without it a side that sleeps
 * interrupts the processors that run the other one, once after each busy period; create
 * and attach.
 */
#define L3L2Q_ATTR_FENCED	(1u << 5)

/**
 * struct l3l2q_failure - why there is no endpoint; filled in by a failing create
 * or attach if one is passed
 * @text: one sentence, NUL-terminated
 */
struct l3l2q_failure {
	char text[192];
};

int l3l2q_create_sized(struct l3l2q_ep **ep, const struct l3l2q_attr *attr, size_t attr_size,
		       struct l3l2q_failure *why, size_t why_size);
int l3l2q_attach_sized(struct l3l2q_ep **ep, int fd, const struct l3l2q_attr *attr,
		       size_t attr_size, struct l3l2q_failure *why, size_t why_size);

/**
 * l3l2q_create() - make a region and an endpoint of it
 * @ep: result; NULL on failure
 * @attr: what to make
 * @why: reason in words on failure, or NULL
 *
 * -EINVAL bad geometry, attribute or transport; -E2BIG the attributes have bytes that
 * this library does not know and that are not zero; -EFBIG too large for the driver or
 * the limit on file sizes; -EDQUOT over the user's limit; -ENOMEM not enough memory, or
 * over a limit of the memory cgroup; -ENOSPC no room in the window or source, or over the
 * user's limit of epoll watches (memfd); -ENOLCK no file lock left (memfd); -ENOENT no
 * device node, module not loaded; -ENODEV no such window or device; -EBADF no such
 * dma-buf; -EACCES no permission for the node, or a dma-buf that may not be written;
 * -EBUSY another driver has mapped the memory with another type; -EPROTONOSUPPORT the node
 * is not the driver's; -EOPNOTSUPP not on this transport or memory, such as a depth of 1
 * on memory that is not cached; -EMFILE, -ENFILE no descriptor left; other errors of
 * open(2) for the node, and of the vendor's driver for "ascend".
 */
static inline int l3l2q_create(struct l3l2q_ep **ep, const struct l3l2q_attr *attr,
			       struct l3l2q_failure *why)
{
	return l3l2q_create_sized(ep, attr, sizeof(*attr), why, sizeof(*why));
}

/**
 * l3l2q_open_peer() - make the other endpoint of a region, once
 * @ep: what l3l2q_create() returned
 *
 * The result is a close-on-exec descriptor: hand it to another process, by fork or
 * l3l2q_send_fd(), or use it in this one; l3l2q_attach() makes an endpoint of it.
 *
 * Return: the descriptor; -EBUSY the second time; -EPERM if @ep was attached;
 * -EOPNOTSUPP on an external endpoint; -ENOMEM not enough memory; -EMFILE, -ENFILE no
 * descriptor left; over memfd also -ETOOMANYREFS too many descriptors of the user are under
 * way in sockets, and -ENOSPC over the user's limit of epoll watches.
 */
int l3l2q_open_peer(struct l3l2q_ep *ep);

/**
 * l3l2q_attach() - make an endpoint from a descriptor of l3l2q_open_peer()
 * @ep: result; NULL on failure
 * @fd: the descriptor; the endpoint owns it once attach has succeeded, else the caller
 * @attr: window, spin_ns, nap_ns, SILENT_PEER, INTERRUPTIBLE and FENCED are used; the rest
 *	may be as it was for create and is ignored, but NUMA is refused; NULL for defaults
 * @why: reason in words on failure, or NULL
 *
 * A failed attach takes nothing: the descriptor can be attached again.
 *
 * -EBADF, -EINVAL not such a descriptor, or a bad attribute; -E2BIG as for create; -EBUSY
 * it is attached, or was over memfd; -ESHUTDOWN its end has ended (driver); -ENODEV its
 * memory was removed; -ENOMEM not enough memory; -EMFILE, -ENFILE no descriptor left;
 * -EPROTO its description is not sound; -EOPNOTSUPP a memory type this version does not
 * know, or one that is not cached with a depth of 1, or a flag that the transport does
 * not have; -ENOSPC, -ENOLCK as for create (memfd).
 */
static inline int l3l2q_attach(struct l3l2q_ep **ep, int fd, const struct l3l2q_attr *attr,
			       struct l3l2q_failure *why)
{
	return l3l2q_attach_sized(ep, fd, attr, sizeof(*attr), why, sizeof(*why));
}

/* The ranges of a region, for functions that copy. */
#define L3L2Q_RANGE_PAYLOAD	0u
#define L3L2Q_RANGE_COUNTERS	1u

/**
 * struct l3l2q_external - memory that the caller has mapped, or has functions for
 * @scalars: the twelve scalars of L3Q2 or the ten of SPSQ; the bases are not used as
 *	addresses
 * @payload: start of the payload range, 8-byte aligned; copied memory: NULL
 * @counters: start of the counter range, 64-byte aligned; copied memory: NULL
 * @role: enum l3l2q_role to take
 * @memory: enum l3l2q_memory of the mapping, the effective one: it decides how
 *	bytes are copied and which fences are used; not L3L2Q_MEMORY_UNSNOOPED
 * @scalar_count: 12, or 0 for it: L3Q2; 10: SPSQ
 * @pad: 0
 * @read: copied memory: copy @n bytes, at least 1, at @offset of a range
 *	(L3L2Q_RANGE_PAYLOAD, L3L2Q_RANGE_COUNTERS) to @to
 * @write: copied memory: copy @n bytes, at least 1, from @from to @offset of a range
 * @ctx: copied memory: the first argument of both functions
 * @buffer_bytes: copied memory: size of each of two buffers, 64 ... 2^30; 0: 65536. Bodies
 *	that lie together are written, and read ahead, up to that size by one call
 *
 * The last four are zero unless @memory is L3L2Q_MEMORY_COPIED, which is for memory that
 * is not mapped.
 *
 * @read and @write return 0 once the copy is complete, or -errno. They have to complete in
 * the order in which a thread calls them. A copy of 4 bytes at a multiple of 4 must not
 * tear. The producer's and the consumer's threads, and each thread that makes a call on
 * the endpoint itself, call them, also at the same time. They must not call the endpoint,
 * and the library keeps no pointer that it passes to them. After the first failure they
 * are not called again by calls that begin later: the memory counts as removed.
 */
struct l3l2q_external {
	uint64_t scalars[L3L2Q_SCALARS];
	void *payload;
	void *counters;
	uint32_t role;
	uint32_t memory;
	uint32_t scalar_count;
	uint32_t pad;
	int (*read)(void *ctx, uint32_t range, uint64_t offset, void *to, size_t n);
	int (*write)(void *ctx, uint32_t range, uint64_t offset, const void *from, size_t n);
	void *ctx;
	uint64_t buffer_bytes;
};

int l3l2q_attach_external_sized(struct l3l2q_ep **ep, const struct l3l2q_external *ext,
				size_t ext_size, const struct l3l2q_attr *attr,
				size_t attr_size, struct l3l2q_failure *why,
				size_t why_size);

/**
 * l3l2q_attach_external() - make an endpoint over mapped memory, or over functions that copy
 * @ep: result; NULL on failure
 * @ext: copied; the memory, or what the functions need, must stay until l3l2q_close()
 * @attr: window, spin_ns, nap_ns and INTERRUPTIBLE are used; the rest may be as it was for
 *	create and is ignored, but NUMA is refused; NULL for defaults
 * @why: reason in words on failure, or NULL
 *
 * Such an endpoint polls: it has no descriptor, and blocking calls nap between
 * looks, for nap_ns at most. Attaching writes nothing to the memory. The counters
 * that @ext->role writes must be 0, as the creator stored them. -EINVAL bad argument, a
 * range that is not aligned, wraps or overlaps the other; -E2BIG as for create; -ENOMEM
 * not enough memory or address space; -EPROTO the scalars are not sound or this end was
 * used before; -EOPNOTSUPP as for attach; the error of @ext->read, which reads the
 * counters once.
 *
 * With copied memory there is no view: the handle of a message has no data, and reserve
 * returns -EOPNOTSUPP. Enqueue and gather, dequeue, and peek with read_into work. When a
 * function fails the call that made it, or else the next one, returns -ECONNABORTED, as
 * all later ones do; l3l2q_ep_dump() names the error.
 */
static inline int l3l2q_attach_external(struct l3l2q_ep **ep, const struct l3l2q_external *ext,
					const struct l3l2q_attr *attr,
					struct l3l2q_failure *why)
{
	return l3l2q_attach_external_sized(ep, ext, sizeof(*ext), attr, sizeof(*attr), why,
					   sizeof(*why));
}

/**
 * l3l2q_detach() - end this side cleanly
 *
 * The peer sees a hang-up without an abort (-EPIPE); what was published stays
 * deliverable. This side's blocked calls return -ESHUTDOWN, as every later call does.
 * The memory stays mapped until l3l2q_close().
 */
int l3l2q_detach(struct l3l2q_ep *ep);

/**
 * l3l2q_abort() - end this side with its abort flag set
 *
 * The peer sees -ECONNABORTED; here every later call returns -EIO, and calls that are
 * blocked return it at once. -EOPNOTSUPP on a raw region, which has no flag.
 */
int l3l2q_abort(struct l3l2q_ep *ep);

/**
 * l3l2q_interrupt() - end blocking calls of this endpoint with -EINTR
 *
 * It ends one call of the producer, one call of the consumer, and one l3l2q_wait() or
 * l3l2q_wait_counter(): of each of these three the call that blocks now, or, if none
 * does, the next one that has a time-out, even if that call need not wait. Several
 * interruptions before such a call count as one. Try forms are not affected, nor is an
 * l3l2q_wait() that has events to return or a time-out of 0. A message that was not sent
 * or received because of it can be sent or received by another call.
 *
 * From any thread, and from signal handlers. Return: 0, also after the endpoint has
 * ended; -EPERM in a forked child.
 */
int l3l2q_interrupt(struct l3l2q_ep *ep);

/*
 * l3l2q_close() - detach if that has not happened, and free; @ep may be NULL. In a
 * forked child it frees the child's copy only.
 */
void l3l2q_close(struct l3l2q_ep *ep);

/**
 * l3l2q_send_fd() - send a descriptor over a connected UNIX socket
 *
 * The caller keeps its own copy of @fd. Return: 0; -ETOOMANYREFS too many descriptors of
 * the user are under way in sockets; other errors of sendmsg(2).
 */
int l3l2q_send_fd(int sock, int fd);

/**
 * l3l2q_recv_fd() - receive a descriptor of l3l2q_send_fd()
 *
 * Return: the descriptor, close-on-exec, which the caller owns; -EAGAIN the socket is
 * non-blocking and there is no message yet; -EPROTO a message came
 * without a descriptor or with several; -ENOTCONN the other end of the socket was closed;
 * -EMFILE no descriptor left, and the message stays in the socket; other errors of
 * recvmsg(2).
 */
int l3l2q_recv_fd(int sock);

/* ---- looking at an endpoint -------------------------------------------- */

struct l3l2q_producer *l3l2q_ep_producer(struct l3l2q_ep *ep); /* NULL if raw */
struct l3l2q_consumer *l3l2q_ep_consumer(struct l3l2q_ep *ep); /* NULL if raw */
struct l3l2q_ep *l3l2q_producer_ep(struct l3l2q_producer *p); /* the reverse */
struct l3l2q_ep *l3l2q_consumer_ep(struct l3l2q_consumer *c);

int l3l2q_ep_error_sized(const struct l3l2q_ep *ep, struct l3l2q_error *out, size_t size);

/*
 * Get the first error, or kind L3L2Q_ERR_NONE. Return: 0; -EINVAL @out is NULL; -EPERM in a
 * forked child, with @out filled in as without an error.
 */
static inline int l3l2q_ep_error(const struct l3l2q_ep *ep, struct l3l2q_error *out)
{
	return l3l2q_ep_error_sized(ep, out, sizeof(*out));
}

/* The name of an enum l3l2q_error_kind: a static string, "UNKNOWN" for another number. */
const char *l3l2q_error_name(uint32_t kind);

/**
 * struct l3l2q_ep_info - what an endpoint is; its strings are static
 * @transport: "driver" (with any memory it has), "memfd" or "external"
 * @role: enum l3l2q_role
 * @memory: enum l3l2q_memory
 * @window: of the consumer
 * @region_version: of the region: 0x20000 for 2.0, 0x30000 for 3.0; 0 with SPSQ over
 *	external memory
 * @region_id: never 0, but with SPSQ over external memory, which has none
 * @payload: the payload range as mapped here, until l3l2q_close(); NULL with copied memory
 * @counters: the counter range as mapped here, until l3l2q_close(); NULL with copied memory
 * @payload_bytes: size of the payload range
 * @counter_bytes: size of the counter range
 * @layout: all zero for a raw region
 * @backend: "ram", "pci", "dmabuf" or "ascend" over the driver; else as @transport
 * @copy_path: how bytes are copied in or out: "cached", "device", or "wc-" and the
 *	instructions used, such as "wc-sse2", "wc-avx2", "wc-neon"; "calls" with copied memory
 * @binding: enum l3l2q_binding
 * @pad: 0
 * @identity: as created
 * @tag: as created; empty if there is none, and with external memory
 */
struct l3l2q_ep_info {
	const char *transport;
	uint32_t role;
	uint32_t memory;
	uint32_t window;
	uint32_t region_version;
	uint64_t region_id;
	void *payload;
	void *counters;
	uint64_t payload_bytes;
	uint64_t counter_bytes;
	struct l3l2q_layout layout;
	const char *backend;
	const char *copy_path;
	uint32_t binding;
	uint32_t pad;
	uint64_t identity[2];
	char tag[32];
};

int l3l2q_ep_info_sized(const struct l3l2q_ep *ep, struct l3l2q_ep_info *out, size_t size);

/* Get what an endpoint is. Return: 0; -EINVAL @out is NULL; -EPERM in a forked child. */
static inline int l3l2q_ep_info(const struct l3l2q_ep *ep, struct l3l2q_ep_info *out)
{
	return l3l2q_ep_info_sized(ep, out, sizeof(*out));
}

/**
 * l3l2q_ep_scalars() - the scalars that describe the region to L2
 * @scalars: room for L3L2Q_SCALARS; a raw region has six and SPSQ ten, the rest is zero
 *
 * The bases are the device's addresses where there is a device (pci, ascend) and this end
 * is shown them, which is the one of l3l2q_create(), or both with
 * L3L2Q_ATTR_SHARE_ADDRESSES. An external endpoint has those that it was given. Else they
 * are the addresses of this process (a2a3sim).
 * Return: 12 with L3Q2, 10 with SPSQ, 6 for a raw region; -EPERM in a forked child.
 */
int l3l2q_ep_scalars(const struct l3l2q_ep *ep, uint64_t scalars[L3L2Q_SCALARS]);

/**
 * struct l3l2q_ep_stats - counts since the endpoint was made
 * @sent: messages published
 * @received: messages released
 * @sent_bytes: bytes of the bodies of messages published
 * @received_bytes: bytes of the bodies of messages released
 * @kicks: system calls made to wake the peer
 * @sleeps: times a blocking call slept
 * @spins: times a blocking call was served while it spun
 * @syscalls: system calls on the message path, all of them
 * @membarriers: of these, calls of membarrier(2) before sleeping
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
	uint64_t membarriers;
};

int l3l2q_ep_stats_sized(const struct l3l2q_ep *ep, struct l3l2q_ep_stats *out, size_t size);

/* Get the counts, from any thread. Return: 0; -EINVAL @out is NULL; -EPERM in a forked child. */
static inline int l3l2q_ep_stats(const struct l3l2q_ep *ep, struct l3l2q_ep_stats *out)
{
	return l3l2q_ep_stats_sized(ep, out, sizeof(*out));
}

/**
 * l3l2q_ep_dump() - describe the state of an endpoint in text
 * @text: buffer, always terminated if @size > 0
 *
 * From any thread; the numbers are exact only while no other thread uses the endpoint.
 * Return: the length of the whole text without the NUL, as snprintf; -EPERM in a forked
 * child.
 */
int l3l2q_ep_dump(const struct l3l2q_ep *ep, char *text, size_t size);

/* ---- sending ----------------------------------------------------------- */

/**
 * l3l2q_enqueue() - send a message
 * @opcode: L3L2Q_OP_DATA or, but not from L3 with SPSQ, L3L2Q_OP_ERROR; for STOP see
 *	l3l2q_stop(). Any other opcode is -EINVAL on L3; on L2 it is -EBADMSG and ends the
 *	endpoint
 * @body: NULL exactly if @nbytes is 0; not used after the call
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
 * l3l2q_enqueue_run() - send messages with bodies from an array, published at once
 * @opcode: as for l3l2q_enqueue(), of all of them
 * @bodies: read during the call only
 * @n: how many, at least 1, else -EINVAL
 *
 * Each message goes as by l3l2q_enqueue(); together they cost one counter store and at
 * most one wake-up. Blocks while there is no room for the first one, not until there is
 * room for all.
 * Return: how many were sent, 1 ... @n: those before the first one that has no room or
 * that l3l2q_enqueue() would refuse; or, if that is the first, its error, with none sent.
 * L3L2Q_EVENT_OUT is then about the one that had no room, as if it had been refused alone.
 */
int l3l2q_try_enqueue_run(struct l3l2q_producer *p, uint32_t opcode,
			  const struct l3l2q_body *bodies, int n);
int l3l2q_enqueue_run(struct l3l2q_producer *p, uint32_t opcode,
		      const struct l3l2q_body *bodies, int n, int64_t timeout_ns);

/**
 * l3l2q_reserve() - take a span of the arena to write a message in place
 * @span: result; give it to commit or cancel unchanged
 *
 * One at a time: while it is active, any other enqueue, STOP included, is
 * OWNERSHIP (-ESTALE) and ends the endpoint; so is a commit or cancel of any other span.
 * Opcodes of commit are those of l3l2q_enqueue(). In memory that is not cached, write the
 * span by plain aligned stores, no atomic operations; commit drains them. If the
 * memory was removed meanwhile, commit returns -ECONNABORTED. Copied memory has no spans:
 * reserve returns -EOPNOTSUPP where it would have succeeded.
 */
int l3l2q_try_reserve(struct l3l2q_producer *p, size_t nbytes,
		      struct l3l2q_reservation *span);
int l3l2q_reserve(struct l3l2q_producer *p, size_t nbytes,
		  struct l3l2q_reservation *span, int64_t timeout_ns);
int l3l2q_commit(struct l3l2q_producer *p, const struct l3l2q_reservation *span,
		 uint32_t opcode);
int l3l2q_cancel(struct l3l2q_producer *p, const struct l3l2q_reservation *span);

/**
 * l3l2q_reserve_run() - take spans of one size to write several messages in place
 * @nbytes: length of each span
 * @n: how many, at least 1, else -EINVAL
 * @span: result: the first one; span i begins at span->data + i * @nbytes
 *
 * A run is one reservation, with the rules of l3l2q_reserve(), and l3l2q_cancel() gives
 * back all of it. l3l2q_commit_run() sends the first @n spans as messages, with one
 * counter store and at most one wake-up, and gives the others back; it returns 0, and
 * -EINVAL, with nothing changed, if @n is less than 1 or more than are reserved.
 * l3l2q_commit() sends the first one. A run does not wrap: what fits up to the end of the
 * arena is taken. Blocks while there is no room for one span, not until there is room for
 * all.
 * Return: how many spans were taken, 1 ... @n, or an error with none taken.
 */
int l3l2q_try_reserve_run(struct l3l2q_producer *p, size_t nbytes, int n,
			  struct l3l2q_reservation *span);
int l3l2q_reserve_run(struct l3l2q_producer *p, size_t nbytes, int n,
		      struct l3l2q_reservation *span, int64_t timeout_ns);
int l3l2q_commit_run(struct l3l2q_producer *p, const struct l3l2q_reservation *span,
		     uint32_t opcode, int n);

/**
 * l3l2q_batch_begin() - hold back what is sent until l3l2q_batch_publish()
 *
 * Publishing makes all of it visible by one counter store and sends at most one
 * wake-up. A blocking call that finds no room publishes first, so that a batch
 * larger than the ring goes through; so does l3l2q_wait() for OUT by the thread that began
 * the batch. -EINVAL if a batch is open already (begin), or none is (publish); -EPIPE and
 * -ECONNABORTED of publish: the other side has ended, and nothing was published.
 */
int l3l2q_batch_begin(struct l3l2q_producer *p);
int l3l2q_batch_publish(struct l3l2q_producer *p);

/**
 * l3l2q_room() - messages that the ring has room for now
 *
 * For the producer's thread. The end of the other side is not looked for. Return: 0 ...
 * depth; 0 while a reservation is active; -ESHUTDOWN after STOP.
 */
int64_t l3l2q_room(struct l3l2q_producer *p);

/* The size of the largest body that a try form would send now; 0 if it would send none. */
int64_t l3l2q_room_bytes(struct l3l2q_producer *p);

/**
 * l3l2q_stop() - send STOP, the last message of the input
 *
 * Later sends return -ESHUTDOWN at once. L3 only: on L2 it returns -EBADMSG and ends the
 * endpoint.
 */
int l3l2q_try_stop(struct l3l2q_producer *p);
int l3l2q_stop(struct l3l2q_producer *p, int64_t timeout_ns);

/* ---- receiving --------------------------------------------------------- */

/**
 * l3l2q_peek() - acquire the next message, leaving its body in place
 * @m: result; untouched on failure
 *
 * Up to window messages can be held and released in any order. With a window of
 * 1, a second peek returns the same message on L3 and is OWNERSHIP on L2.
 */
int l3l2q_try_peek(struct l3l2q_consumer *c, struct l3l2q_message *m);
int l3l2q_peek(struct l3l2q_consumer *c, struct l3l2q_message *m, int64_t timeout_ns);

/**
 * l3l2q_read_into() - copy the body of a held message
 * @body: NULL exactly if the message has no body, else -EINVAL
 * @capacity: size of @body; -EMSGSIZE if the message is larger
 *
 * A stale handle is -EINVAL; the endpoint lives on.
 */
int l3l2q_read_into(struct l3l2q_consumer *c, const struct l3l2q_message *m,
		    void *body, size_t capacity);

/*
 * Give a held message back. A handle that is not held is OWNERSHIP (-ESTALE). Where
 * memory can be removed, bytes that were read in place are valid only if release
 * returns 0: after -ECONNABORTED they may have been zeroes.
 */
int l3l2q_release(struct l3l2q_consumer *c, const struct l3l2q_message *m);

/**
 * l3l2q_dequeue() - peek, read_into and release in one
 * @m: result; its data is NULL, the body is in the first m->nbytes of @body. Untouched on
 *	failure, but for m->nbytes with -EMSGSIZE
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
 * l3l2q_peek_batch() - acquire up to @max messages
 * @m: results; those behind the ones returned are untouched
 * @max: at least 1; with a window of 1 no more than 1 is acquired
 *
 * Acquires what is published, up to @max and the window. Blocks while there is no
 * message, not until there are @max.
 * Return: how many, at least 1, or an error with none acquired. An error behind a
 * good message ends the endpoint at once and is returned by the next call.
 */
int l3l2q_try_peek_batch(struct l3l2q_consumer *c, struct l3l2q_message *m, int max);
int l3l2q_peek_batch(struct l3l2q_consumer *c, struct l3l2q_message *m, int max,
		     int64_t timeout_ns);

/**
 * l3l2q_peek_run() - acquire up to @max messages, without copying their handles
 * @run: result: an array of handles, which the consumer owns. Each of them can be given to
 *	read_into and release, and is valid until its message is released; not to be changed
 * @max: at least 1, else -EINVAL
 *
 * As l3l2q_peek_batch(), but a run also ends where the consumer's array of handles ends:
 * there may be more to acquire by the next call. An array holds more than a window of
 * handles, a power of two; runs of one power of two, all of them released together, are
 * not cut. With a window of 1 a run is one message.
 * Return: how many, at least 1, or an error with none acquired. An error behind a
 * good message ends the endpoint at once and is returned by the next call.
 */
int l3l2q_try_peek_run(struct l3l2q_consumer *c, const struct l3l2q_message **run, int max);
int l3l2q_peek_run(struct l3l2q_consumer *c, const struct l3l2q_message **run, int max,
		   int64_t timeout_ns);

/*
 * Give a held message back and all that were acquired before it and not released yet, with
 * one counter store and at most one wake-up; returns as l3l2q_release(). The handle is
 * compared as there, the others are not needed.
 */
int l3l2q_release_upto(struct l3l2q_consumer *c, const struct l3l2q_message *m);

/**
 * l3l2q_pending() - messages that are published and that the window has room for
 *
 * For the consumer's thread. Messages that are held do not count, nor does STOP behind a
 * full window. Descriptors are not looked at, so a bad one counts; nor is the end of the
 * other side looked for. Nothing counts once STOP is held. Return: 0 ... window, or -errno.
 */
int64_t l3l2q_pending(struct l3l2q_consumer *c);

/*
 * Give @n messages back, with one counter store and at most one wake-up. @n may be 0;
 * -EINVAL if it is negative. At a handle that is not held (-ESTALE) the messages before it
 * have been given back.
 */
int l3l2q_release_batch(struct l3l2q_consumer *c, const struct l3l2q_message *m, int n);

/* Return: 1 once STOP and everything before it have been released, else 0. */
int l3l2q_drained(const struct l3l2q_consumer *c);

/* ---- waiting ----------------------------------------------------------- */

/**
 * l3l2q_wait() - sleep until there may be something to do
 * @events: L3L2Q_EVENT_IN, L3L2Q_EVENT_OUT, both, or 0 for the end of a side alone. A raw
 *	region has neither: -EINVAL
 *
 * Spins a little, then sleeps. OUT means that what was refused last, for want of room,
 * may go through now; an open batch of this thread is published first. Return: the
 * events that hold, ABORT and HUP included; -ETIMEDOUT. A @timeout_ns of 0 looks once.
 */
int l3l2q_wait(struct l3l2q_ep *ep, uint32_t events, int64_t timeout_ns);

/**
 * l3l2q_fd() - a descriptor for poll, select and epoll, owned by the endpoint
 *
 * Readable, or in error, when l3l2q_arm() has something to report, and when another thread
 * aborts or detaches this side. On the driver it is the endpoint itself, and EPOLLOUT,
 * EPOLLPRI (abort) and EPOLLHUP work too. One thread at a time arms and polls it; others may use l3l2q_wait().
 * Return: the descriptor, which l3l2q_close() closes; -EOPNOTSUPP on an external endpoint,
 * and over memfd with L3L2Q_ATTR_SILENT_PEER: nothing makes it readable.
 */
int l3l2q_fd(struct l3l2q_ep *ep);

/**
 * l3l2q_arm() - ask to be woken, then look
 * @events: as for l3l2q_wait()
 *
 * To be called before each sleep in a poll of one's own on l3l2q_fd(), on every
 * transport; if it returns other than 0, do not sleep. One-shot.
 * Return: the events that hold now, or -errno.
 */
int l3l2q_arm(struct l3l2q_ep *ep, uint32_t events);

/**
 * l3l2q_eventfd() - signal an eventfd on an event; driver only
 * @kind: enum l3l2q_eventfd_kind, not COUNTER
 * @fd: eventfd, or -1 to remove; it stays the caller's, the kernel keeps a reference
 *
 * Signalled once each time it is armed: by this call and by l3l2q_arm(), which always
 * arms ABORT. -EOPNOTSUPP on other transports; -ENOENT nothing to remove; -EBADF @fd is not
 * open; -EINVAL it is not an eventfd, or the kind is unknown.
 */
int l3l2q_eventfd(struct l3l2q_ep *ep, uint32_t kind, int fd);

/* ---- raw regions, and counters in general ------------------------------ */

/**
 * l3l2q_notify() - change a counter and wake the threads that sleep for it
 * @offset: bytes from the start of the counter range, a multiple of 4
 * @op: enum l3l2q_notify_op
 *
 * Publishes all writes before it. -EINVAL unaligned or unknown op; -ERANGE
 * outside; -EPERM a queue's line that the other role writes.
 */
int l3l2q_notify(struct l3l2q_ep *ep, uint64_t offset, uint32_t op, int32_t value);

/**
 * l3l2q_test() - one snapshot of a counter
 * @observed: the value that was read, 0 on error; may be NULL
 *
 * Return: 1 if (observed cmp value) holds, 0 if not; -EINVAL unaligned or unknown cmp;
 * -ERANGE outside; -ECONNABORTED copied memory, which could not be read.
 */
int l3l2q_test(struct l3l2q_ep *ep, uint64_t offset, uint32_t cmp, int32_t value,
	       int32_t *observed);

/**
 * l3l2q_wait_counter() - sleep until a comparison holds
 * @observed: the value that was read last, also with an error; 0 if none was read; may be
 *	NULL
 *
 * -ETIMEDOUT does not end the endpoint. If the comparison does not hold: -ECONNABORTED the
 * peer aborted or died, or the memory was removed; -EPIPE it has detached. -EINVAL and
 * -ERANGE as for l3l2q_test(), and -EINVAL a bad time-out.
 */
int l3l2q_wait_counter(struct l3l2q_ep *ep, uint64_t offset, uint32_t cmp,
		       int32_t value, int64_t timeout_ns, int32_t *observed);

/*
 * Copy into or out of the payload; @offset is in bytes from its start. -EINVAL no bytes, or
 * no buffer; -ERANGE outside. A read that fails fills @to with zeroes, unless @nbytes is
 * more than the payload has. In a queue only a reserved span may be
 * written.
 */
int l3l2q_payload_write(struct l3l2q_ep *ep, uint64_t offset, const void *from, size_t nbytes);
int l3l2q_payload_read(struct l3l2q_ep *ep, uint64_t offset, void *to, size_t nbytes);

/* ---- the system call ----------------------------------------------------- */

/* ioctl() that restarts after EINTR and returns 0 or -errno. */
int l3l2q_ioctl(int fd, unsigned long request, void *arg);

/* The library's version, "MAJOR.MINOR.PATCH": a static string. */
const char *l3l2q_version(void);

#ifdef __cplusplus
}
#endif

#if defined(__OPTIMIZE__) && !defined(L3L2Q_NO_INLINE)
#include <l3l2q/inline.h>
#endif

#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif

#endif /* L3L2Q_H */
