/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/l3l2q: regions that carry the L3-L2 message queue.
 *
 * An open of the device node is a context. CREATE makes a region and returns
 * an endpoint, a file descriptor with a role; OPEN_PEER makes the endpoint of
 * the other role, once. Endpoints are handed on by fork or SCM_RIGHTS.
 *
 * Every argument structure starts with its size and flags. A longer structure
 * than the kernel knows is accepted if the excess is zero (else E2BIG), a
 * shorter one than first released is EINVAL; results are cut or zero-extended
 * to the caller's size. Unknown flags and non-zero padding are EINVAL.
 * Fields marked "out" are ignored on input.
 *
 * When a region's memory goes away (its device or its provider does), every
 * ioctl on its endpoints becomes ENODEV, poll says EPOLLHUP and, with a queue,
 * EPOLLERR; mappings stay usable but show the counters as last seen, with the
 * peer's abort flag set, and nothing of the payload.
 */
#ifndef _UAPI_LINUX_L3L2Q_H
#define _UAPI_LINUX_L3L2Q_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/l3l2q_abi.h>

#define L3L2Q_UAPI_VERSION	1	/* goes up when an interface is added */
#define L3L2Q_UAPI_OLDEST	1	/* the oldest user this one still serves */

#define L3L2Q_IOC_TYPE		0xE3

/* ---- on a context ------------------------------------------------------ */

#define L3L2Q_IOC_QUERY		_IO(L3L2Q_IOC_TYPE, 0x00)
#define L3L2Q_IOC_QUERY_DEVICE	_IO(L3L2Q_IOC_TYPE, 0x01)
#define L3L2Q_IOC_CREATE	_IO(L3L2Q_IOC_TYPE, 0x02)

/* ---- on an endpoint ---------------------------------------------------- */

#define L3L2Q_IOC_INFO		_IO(L3L2Q_IOC_TYPE, 0x10)
#define L3L2Q_IOC_OPEN_PEER	_IO(L3L2Q_IOC_TYPE, 0x11)
#define L3L2Q_IOC_NOTIFY	_IO(L3L2Q_IOC_TYPE, 0x12)
#define L3L2Q_IOC_TEST		_IO(L3L2Q_IOC_TYPE, 0x13)
#define L3L2Q_IOC_WAIT		_IO(L3L2Q_IOC_TYPE, 0x14)
#define L3L2Q_IOC_ARM		_IO(L3L2Q_IOC_TYPE, 0x15)
#define L3L2Q_IOC_EVENTFD	_IO(L3L2Q_IOC_TYPE, 0x16)
#define L3L2Q_IOC_KICK		_IO(L3L2Q_IOC_TYPE, 0x17)	/* argument: flags */
#define L3L2Q_IOC_SET_POLLING	_IO(L3L2Q_IOC_TYPE, 0x18)
#define L3L2Q_IOC_DETACH	_IO(L3L2Q_IOC_TYPE, 0x19)	/* argument: 0 */
#define L3L2Q_IOC_STATS		_IO(L3L2Q_IOC_TYPE, 0x1a)
#define L3L2Q_IOC_EXPORT_DMABUF	_IO(L3L2Q_IOC_TYPE, 0x1b)

/* ---- shared pages ------------------------------------------------------ */

/*
 * Events, as ARM and WAIT take and return them and as the low bits of
 * l3l2q_control.armed. ABORT and HUP are always reported.
 */
#define L3L2Q_EVENT_IN		(1u << 0)	/* there may be a message to acquire */
#define L3L2Q_EVENT_OUT		(1u << 1)	/* the producer may get on */
#define L3L2Q_EVENT_ABORT	(1u << 2)	/* the peer's abort flag is set */
#define L3L2Q_EVENT_HUP		(1u << 3)	/* the peer detached, died or was removed */
#define L3L2Q_EVENT_ALL		0xfu

/* Further bits of l3l2q_control.armed. */
#define L3L2Q_ARM_COUNTER	(1u << 4)	/* a WAIT on counter conditions */
#define L3L2Q_COUNTER_SLOTS	8		/* counter eventfds an endpoint can have */
#define L3L2Q_ARM_SLOT(slot)	(1u << (8 + (slot)))
#define L3L2Q_ARM_SLOTS		0xff00u

/* Which armed bits ask for a KICK once a tail, or a head, has been stored. */
#define L3L2Q_ARM_TAIL	(L3L2Q_EVENT_IN | L3L2Q_ARM_COUNTER | L3L2Q_ARM_SLOTS)
#define L3L2Q_ARM_HEAD	(L3L2Q_EVENT_OUT | L3L2Q_ARM_COUNTER | L3L2Q_ARM_SLOTS)

/* l3l2q_control.consumer_flags and .producer_flags */
#define L3L2Q_CONSUMER_SEEN	(1u << 0)	/* seen_tail is valid */
#define L3L2Q_CONSUMER_HOLD	(1u << 1)	/* not readable until a release */
#define L3L2Q_PRODUCER_NEED	(1u << 0)	/* need_head is valid */

/**
 * struct l3l2q_control - a role's control page
 * @armed: events somebody of this role sleeps for. The owner ors bits in, then
 *	a full barrier, then looks once more before it sleeps. The peer stores a
 *	counter, then a full barrier, then reads; a matching bit asks for KICK.
 *	Only the kernel clears it.
 * @consumer_flags: owner: what of the next word is valid
 * @seen_tail: owner: how far its consumer has nothing left to acquire
 * @producer_flags: owner: what of the next word is valid
 * @need_head: owner: the head its producer waits for
 *
 * Mapped read-write by its owner, read-only by the peer. Its words decide only
 * who is woken; a wrong one harms nobody but its owner.
 */
struct l3l2q_control {
	__u32 armed;
	__u32 pad0[15];
	__u32 consumer_flags;
	__u32 seen_tail;
	__u32 pad1[14];
	__u32 producer_flags;
	__u32 need_head;
	__u32 pad2[14];
};

/** enum l3l2q_state - how far an end has got */
enum l3l2q_state {
	L3L2Q_STATE_NONE     = 0,	/* nobody has opened it yet */
	L3L2Q_STATE_OPEN     = 1,	/* open, counters not mapped */
	L3L2Q_STATE_ATTACHED = 2,	/* counters mapped by a process */
	L3L2Q_STATE_DETACHED = 3,	/* ended by DETACH */
	L3L2Q_STATE_DEAD     = 4,	/* ended without */
};

/**
 * struct l3l2q_status - a region's status page, written by the kernel only
 * @removed: set before the backing memory is taken away
 * @state: enum l3l2q_state of each role
 */
struct l3l2q_status {
	__u32 removed;
	__u32 state[L3L2Q_ROLES];
	__u32 pad[13];
};

/*
 * Readiness, from values the caller has read: flags first, then the words
 * that they make valid. A stale answer costs a look, never a lost wake-up.
 */
static inline int l3l2q_readable(__u32 tail, __u32 head, __u32 flags,
				 __u32 seen_tail)
{
	if (flags & L3L2Q_CONSUMER_HOLD)
		return 0;
	return tail != (flags & L3L2Q_CONSUMER_SEEN ? seen_tail : head);
}

static inline int l3l2q_writable(__u32 tail, __u32 head, __u32 depth,
				 __u32 flags, __u32 need_head)
{
	if (!(flags & L3L2Q_PRODUCER_NEED))
		need_head = tail - depth + 1;
	return (__s32)(head - need_head) >= 0;
}

/* ---- QUERY ------------------------------------------------------------- */

#define L3L2Q_FEATURE_RAM	(1ull << 0)	/* backends */
#define L3L2Q_FEATURE_PCI	(1ull << 1)
#define L3L2Q_FEATURE_DMABUF	(1ull << 2)
#define L3L2Q_FEATURE_ASCEND	(1ull << 3)
#define L3L2Q_FEATURE_EXPORT	(1ull << 4)	/* EXPORT_DMABUF works */

/**
 * struct l3l2q_query - what this driver can do; all out
 * @uapi_version: its L3L2Q_UAPI_VERSION
 * @uapi_oldest: its L3L2Q_UAPI_OLDEST
 * @features: L3L2Q_FEATURE_*
 * @max_region_bytes: largest payload range; more is EFBIG
 * @max_counter_bytes: largest counter range of a raw region; more is EFBIG
 * @max_user_bytes: memory one user may hold in regions; more is EDQUOT
 * @page_size: granularity of mappings
 * @nr_devices: indices that QUERY_DEVICE knows
 * @max_conditions: most conditions of one WAIT
 * @poll_min_ns: shortest polling period for silent peers
 * @poll_max_ns: longest
 */
struct l3l2q_query {
	__u32 size;
	__u32 flags;
	__u32 uapi_version;
	__u32 uapi_oldest;
	__aligned_u64 features;
	__aligned_u64 max_region_bytes;
	__aligned_u64 max_counter_bytes;
	__aligned_u64 max_user_bytes;
	__u32 page_size;
	__u32 nr_devices;
	__u32 max_conditions;
	__u32 poll_min_ns;
	__u32 poll_max_ns;
	__u32 pad;
};

/* ---- QUERY_DEVICE ------------------------------------------------------ */

/**
 * struct l3l2q_query_device - one NPU window
 * @index: in: 0 ... nr_devices - 1, else ENODEV
 * @backend: out: enum l3l2q_backend
 * @window_bytes: out: size of the window
 * @free_bytes: out: what is left of it
 * @vectors: out: interrupt vectors
 * @numa_node: out: or -1
 * @name: out: NUL-terminated; "pci:" and this is a transport of the library
 * @memory: out: enum l3l2q_memory, the effective one
 * @pad: out: 0
 */
struct l3l2q_query_device {
	__u32 size;
	__u32 flags;
	__u32 index;
	__u32 backend;
	__aligned_u64 window_bytes;
	__aligned_u64 free_bytes;
	__u32 vectors;
	__s32 numa_node;
	__u8 name[32];
	__u32 memory;
	__u32 pad;
};

/* ---- CREATE ------------------------------------------------------------ */

enum l3l2q_backend {
	L3L2Q_BACKEND_RAM    = 0,
	L3L2Q_BACKEND_PCI    = 1,
	L3L2Q_BACKEND_DMABUF = 2,
	L3L2Q_BACKEND_ASCEND = 3,
};

#define L3L2Q_CREATE_NUMA	  (1u << 0)	/* allocate on numa_node */
#define L3L2Q_CREATE_REGION_V3	  (1u << 1)	/* scalars say region version 3.0 */
#define L3L2Q_CREATE_SILENT_PEER  (1u << 2)	/* the other role only loads and stores */
#define L3L2Q_CREATE_COHERENT	  (1u << 3)	/* cached memory, which device and CPUs snoop */

/**
 * struct l3l2q_create - make a region and an endpoint of it
 * @flags: L3L2Q_CREATE_*
 * @backend: enum l3l2q_backend
 * @role: enum l3l2q_role of the returned endpoint
 * @depth: queue geometry, or 0 for a raw region
 * @numa_node: with L3L2Q_CREATE_NUMA, else 0
 * @input_arena_bytes: queue geometry, 0 if raw
 * @output_arena_bytes: queue geometry, 0 if raw
 * @payload_bytes: raw: size of the payload range; 0 with geometry
 * @counter_bytes: raw: size of the counter range, a multiple of 4; 0 with geometry
 * @source: what the backend takes the memory from. RAM: 0. PCI: the index of a
 *	window, as QUERY_DEVICE takes it. DMABUF: a descriptor. ASCEND: a device
 *	address of the calling process
 * @source_bytes: ASCEND: how much there is at @source, from which the region is
 *	carved; else 0
 * @region_id: out: unique while the module is loaded, never 0
 * @fd: out: the endpoint, close-on-exec
 * @pad: 0
 *
 * DMABUF takes only buffers that the caller declares coherent, by
 * L3L2Q_CREATE_COHERENT. ASCEND maps device memory write-combining without that
 * flag; with it cached, if the machine can: INFO says what came of it. With
 * DMABUF and ASCEND the payload is at the source's first byte and the counters
 * begin at the next page boundary after it.
 *
 * EINVAL bad geometry, sizes or source, or depth 1 on memory that is not cached;
 * EFBIG over max_region_bytes; EDQUOT over max_user_bytes; ENOMEM; ENOSPC no room
 * in the window or the source; ENODEV no such window, or its driver is not
 * loaded; EOPNOTSUPP no such backend here, or memory it cannot use; EBADF not a
 * dma-buf; EACCES not one that may be written; EBUSY another driver has mapped the
 * memory otherwise; EMFILE, ENFILE; and what the driver of an ASCEND source says.
 */
struct l3l2q_create {
	__u32 size;
	__u32 flags;
	__u32 backend;
	__u32 role;
	__u32 depth;
	__s32 numa_node;
	__aligned_u64 input_arena_bytes;
	__aligned_u64 output_arena_bytes;
	__aligned_u64 payload_bytes;
	__aligned_u64 counter_bytes;
	__aligned_u64 source;
	__aligned_u64 source_bytes;
	__aligned_u64 region_id;
	__s32 fd;
	__u32 pad;
};

/* ---- INFO -------------------------------------------------------------- */

/** enum l3l2q_memory - how a mapping behaves, hence which fences it needs */
enum l3l2q_memory {
	L3L2Q_MEMORY_CACHED = 0,
	L3L2Q_MEMORY_WC	    = 1,
	L3L2Q_MEMORY_DEVICE = 2,
};

/** enum l3l2q_peer_kind - how the peer takes part in sleeping and waking */
enum l3l2q_peer_kind {
	L3L2Q_PEER_ARMS	  = 0,	/* arms its control page, kicks when ours is armed */
	L3L2Q_PEER_RINGS  = 1,	/* an interrupt after each store; ring it always */
	L3L2Q_PEER_SILENT = 2,	/* loads and stores only: the kernel polls for us */
};

/* Indices into l3l2q_info.map. */
#define L3L2Q_MAP_PAYLOAD	0	/* read-write */
#define L3L2Q_MAP_COUNTERS	1	/* read-write; the first one attaches */
#define L3L2Q_MAP_STATUS	2	/* struct l3l2q_status, read-only */
#define L3L2Q_MAP_CONTROL	3	/* own struct l3l2q_control, read-write */
#define L3L2Q_MAP_PEER_CONTROL	4	/* the peer's, read-only */
#define L3L2Q_MAPS		5

/**
 * struct l3l2q_mapping - how to mmap a part of a region, shared, never executable
 * @offset: of the mapping, for mmap
 * @length: of the mapping, whole pages
 * @delta: of the part's first byte from the mapping's start
 */
struct l3l2q_mapping {
	__aligned_u64 offset;
	__aligned_u64 length;
	__u32 delta;
	__u32 pad;
};

/**
 * struct l3l2q_info - an endpoint and its region; all out
 * @role: enum l3l2q_role
 * @backend: enum l3l2q_backend
 * @memory: enum l3l2q_memory of payload and counters, the effective one
 * @peer_kind: enum l3l2q_peer_kind
 * @state: enum l3l2q_state of this end
 * @peer_state: enum l3l2q_state of the other
 * @region: the region's scalars, with the addresses that the device uses. RAM
 *	and dma-bufs have none, so there the bases are mmap offsets and each process
 *	puts its own addresses in.
 * @queue: the queue's scalars, zero for a raw region
 * @map: the mappings
 */
struct l3l2q_info {
	__u32 size;
	__u32 flags;
	__u32 role;
	__u32 backend;
	__u32 memory;
	__u32 peer_kind;
	__u32 state;
	__u32 peer_state;
	struct l3l2q_region_desc region;
	struct l3l2q_queue_desc queue;
	struct l3l2q_mapping map[L3L2Q_MAPS];
};

/* ---- OPEN_PEER --------------------------------------------------------- */

/**
 * struct l3l2q_open_peer - make the endpoint of the other role, once
 * @role: out: its role
 * @fd: out: the endpoint, close-on-exec
 *
 * EBUSY if it was opened before; EPERM on an endpoint that CREATE did not return.
 */
struct l3l2q_open_peer {
	__u32 size;
	__u32 flags;
	__u32 role;
	__s32 fd;
};

/* ---- NOTIFY, TEST, WAIT ------------------------------------------------ */

/**
 * struct l3l2q_notify - change a counter, publishing all writes before it
 * @offset: of the counter, 4-byte aligned
 * @op: enum l3l2q_notify_op
 * @value: to set or add
 *
 * Wakes whoever sleeps for it. EINVAL unaligned or unknown op; ERANGE outside
 * the counter range; EPERM a queue's line that this role does not write.
 */
struct l3l2q_notify {
	__u32 size;
	__u32 flags;
	__aligned_u64 offset;
	__u32 op;
	__s32 value;
};

/**
 * struct l3l2q_test - one snapshot of a counter
 * @offset: of the counter, 4-byte aligned
 * @cmp: enum l3l2q_cmp
 * @value: to compare with
 * @matched: out: 0 or 1
 * @observed: out: what was read
 */
struct l3l2q_test {
	__u32 size;
	__u32 flags;
	__aligned_u64 offset;
	__u32 cmp;
	__s32 value;
	__u32 matched;
	__s32 observed;
};

/**
 * struct l3l2q_condition - one counter to wait for
 * @offset: of the counter, 4-byte aligned
 * @cmp: enum l3l2q_cmp
 * @value: to compare with
 * @observed: out: last value read, also on time-out
 * @pad: 0
 */
struct l3l2q_condition {
	__aligned_u64 offset;
	__u32 cmp;
	__s32 value;
	__s32 observed;
	__u32 pad;
};

#define L3L2Q_WAIT_MAX_CONDITIONS 16
#define L3L2Q_WAIT_FOREVER	  (~0ull)

/**
 * struct l3l2q_wait - sleep until an event or one of several conditions
 * @conditions: user pointer to @nr_conditions of struct l3l2q_condition
 * @nr_conditions: 0 ... L3L2Q_WAIT_MAX_CONDITIONS
 * @events: L3L2Q_EVENT_* to wait for; ABORT and HUP always end the wait
 * @deadline_ns: CLOCK_MONOTONIC; in the past looks once; L3L2Q_WAIT_FOREVER
 * @revents: out: events that hold
 * @index: out: first condition that holds, or -1
 *
 * 0 if something holds; ETIMEDOUT at the deadline; EINTR on a signal whose handler
 * was not set with SA_RESTART, else the call goes on.
 */
struct l3l2q_wait {
	__u32 size;
	__u32 flags;
	__aligned_u64 conditions;
	__u32 nr_conditions;
	__u32 events;
	__aligned_u64 deadline_ns;
	__u32 revents;
	__s32 index;
};

/* ---- ARM, EVENTFD, KICK ------------------------------------------------ */

/**
 * struct l3l2q_arm - arm, then look
 * @events: L3L2Q_EVENT_*, or L3L2Q_ARM_SLOT() bits
 * @revents: out: events that hold now
 *
 * Storing to the control page does the same where the peer is not silent.
 */
struct l3l2q_arm {
	__u32 size;
	__u32 flags;
	__u32 events;
	__u32 revents;
};

/** enum l3l2q_eventfd_kind - what an eventfd stands for */
enum l3l2q_eventfd_kind {
	L3L2Q_EVENTFD_IN      = 0,
	L3L2Q_EVENTFD_OUT     = 1,
	L3L2Q_EVENTFD_ABORT   = 2,	/* peer abort or hang-up */
	L3L2Q_EVENTFD_COUNTER = 3,
};

/**
 * struct l3l2q_eventfd - register, replace or remove an eventfd
 * @kind: enum l3l2q_eventfd_kind
 * @slot: which counter eventfd, 0 ... L3L2Q_COUNTER_SLOTS - 1; else 0
 * @fd: the eventfd, or -1 to remove
 * @cmp: enum l3l2q_cmp for a counter, else 0
 * @offset: of the counter, else 0
 * @value: to compare with, else 0
 * @pad: 0
 *
 * Registering arms it. It is signalled once its condition holds, at once if it
 * holds already, and then not again until it is armed again: by registering,
 * by ARM, or by setting its bit in the control page, as a poll or a WAIT for the
 * same event does too.
 * ENOENT: nothing to remove. EBADF, EINVAL: not an eventfd.
 */
struct l3l2q_eventfd {
	__u32 size;
	__u32 flags;
	__u32 kind;
	__u32 slot;
	__s32 fd;
	__u32 cmp;
	__aligned_u64 offset;
	__s32 value;
	__u32 pad;
};

/*
 * KICK: wake the peer if it is armed, and ring its device if it has one. With
 * L3L2Q_KICK_SELF as its argument: wake other sleepers of one's own role, after a
 * change to one's control page.
 *
 * Doorbells and interrupts of a device have vectors: in both directions a region
 * uses number region_id % vectors.
 */
#define L3L2Q_KICK_SELF		(1u << 0)

/* ---- SET_POLLING ------------------------------------------------------- */

/**
 * struct l3l2q_set_polling - say how the peer behaves
 * @peer_kind: enum l3l2q_peer_kind; _RINGS only where there are interrupts
 * @min_ns: first polling period for a silent peer; 0: module default
 * @max_ns: period it stretches to while nothing happens; 0: module default
 * @pad: 0
 *
 * Periods outside the module's limits, or min over max, are EINVAL.
 */
struct l3l2q_set_polling {
	__u32 size;
	__u32 flags;
	__u32 peer_kind;
	__u32 min_ns;
	__u32 max_ns;
	__u32 pad;
};

/* ---- STATS ------------------------------------------------------------- */

/**
 * struct l3l2q_stats - counts since this endpoint was made; all out
 * @notifies: NOTIFY calls
 * @kicks: KICK calls
 * @waits: WAIT calls
 * @sleeps: times a WAIT slept
 * @polls: times poll, select or epoll looked
 * @arms: ARM calls
 * @wakeups: times the kernel woke this role's sleepers
 * @signals: eventfds signalled for this role
 * @timer_ticks: times the kernel looked at the counters for this role
 * @timer_wakeups: wake-ups that came of it
 * @faults: page faults on this endpoint's mappings
 * @region_bytes: memory of the region, all of it
 * @interrupts: times an interrupt looked for sleepers of this role
 * @doorbells: times the device was rung for this role
 */
struct l3l2q_stats {
	__u32 size;
	__u32 flags;
	__aligned_u64 notifies;
	__aligned_u64 kicks;
	__aligned_u64 waits;
	__aligned_u64 sleeps;
	__aligned_u64 polls;
	__aligned_u64 arms;
	__aligned_u64 wakeups;
	__aligned_u64 signals;
	__aligned_u64 timer_ticks;
	__aligned_u64 timer_wakeups;
	__aligned_u64 faults;
	__aligned_u64 region_bytes;
	__aligned_u64 interrupts;
	__aligned_u64 doorbells;
};

/* ---- EXPORT_DMABUF ----------------------------------------------------- */

/**
 * struct l3l2q_export_dmabuf - hand the memory to another driver
 * @fd: out: a dma-buf, close-on-exec
 * @pad: 0
 *
 * It holds the payload and, from the next page boundary on, the counters: what
 * CREATE takes with DMABUF. It keeps the region, which stays charged to whoever
 * made it. EOPNOTSUPP unless L3L2Q_FEATURE_EXPORT and the backend can, which RAM
 * does.
 */
struct l3l2q_export_dmabuf {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 pad;
};

/* ---- layout: the same for every caller, 32-bit ones included -------------- */

L3L2Q_ABI_ASSERT_SIZE(l3l2q_control, 192);
L3L2Q_ABI_ASSERT(l3l2q_control, armed, 0);
L3L2Q_ABI_ASSERT(l3l2q_control, pad0, 4);
L3L2Q_ABI_ASSERT(l3l2q_control, consumer_flags, 64);
L3L2Q_ABI_ASSERT(l3l2q_control, seen_tail, 68);
L3L2Q_ABI_ASSERT(l3l2q_control, pad1, 72);
L3L2Q_ABI_ASSERT(l3l2q_control, producer_flags, 128);
L3L2Q_ABI_ASSERT(l3l2q_control, need_head, 132);
L3L2Q_ABI_ASSERT(l3l2q_control, pad2, 136);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_status, 64);
L3L2Q_ABI_ASSERT(l3l2q_status, removed, 0);
L3L2Q_ABI_ASSERT(l3l2q_status, state, 4);
L3L2Q_ABI_ASSERT(l3l2q_status, pad, 12);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_query, 72);
L3L2Q_ABI_ASSERT(l3l2q_query, size, 0);
L3L2Q_ABI_ASSERT(l3l2q_query, flags, 4);
L3L2Q_ABI_ASSERT(l3l2q_query, uapi_version, 8);
L3L2Q_ABI_ASSERT(l3l2q_query, uapi_oldest, 12);
L3L2Q_ABI_ASSERT(l3l2q_query, features, 16);
L3L2Q_ABI_ASSERT(l3l2q_query, max_region_bytes, 24);
L3L2Q_ABI_ASSERT(l3l2q_query, max_counter_bytes, 32);
L3L2Q_ABI_ASSERT(l3l2q_query, max_user_bytes, 40);
L3L2Q_ABI_ASSERT(l3l2q_query, page_size, 48);
L3L2Q_ABI_ASSERT(l3l2q_query, nr_devices, 52);
L3L2Q_ABI_ASSERT(l3l2q_query, max_conditions, 56);
L3L2Q_ABI_ASSERT(l3l2q_query, poll_min_ns, 60);
L3L2Q_ABI_ASSERT(l3l2q_query, poll_max_ns, 64);
L3L2Q_ABI_ASSERT(l3l2q_query, pad, 68);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_query_device, 80);
L3L2Q_ABI_ASSERT(l3l2q_query_device, size, 0);
L3L2Q_ABI_ASSERT(l3l2q_query_device, flags, 4);
L3L2Q_ABI_ASSERT(l3l2q_query_device, index, 8);
L3L2Q_ABI_ASSERT(l3l2q_query_device, backend, 12);
L3L2Q_ABI_ASSERT(l3l2q_query_device, window_bytes, 16);
L3L2Q_ABI_ASSERT(l3l2q_query_device, free_bytes, 24);
L3L2Q_ABI_ASSERT(l3l2q_query_device, vectors, 32);
L3L2Q_ABI_ASSERT(l3l2q_query_device, numa_node, 36);
L3L2Q_ABI_ASSERT(l3l2q_query_device, name, 40);
L3L2Q_ABI_ASSERT(l3l2q_query_device, memory, 72);
L3L2Q_ABI_ASSERT(l3l2q_query_device, pad, 76);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_create, 88);
L3L2Q_ABI_ASSERT(l3l2q_create, size, 0);
L3L2Q_ABI_ASSERT(l3l2q_create, flags, 4);
L3L2Q_ABI_ASSERT(l3l2q_create, backend, 8);
L3L2Q_ABI_ASSERT(l3l2q_create, role, 12);
L3L2Q_ABI_ASSERT(l3l2q_create, depth, 16);
L3L2Q_ABI_ASSERT(l3l2q_create, numa_node, 20);
L3L2Q_ABI_ASSERT(l3l2q_create, input_arena_bytes, 24);
L3L2Q_ABI_ASSERT(l3l2q_create, output_arena_bytes, 32);
L3L2Q_ABI_ASSERT(l3l2q_create, payload_bytes, 40);
L3L2Q_ABI_ASSERT(l3l2q_create, counter_bytes, 48);
L3L2Q_ABI_ASSERT(l3l2q_create, source, 56);
L3L2Q_ABI_ASSERT(l3l2q_create, source_bytes, 64);
L3L2Q_ABI_ASSERT(l3l2q_create, region_id, 72);
L3L2Q_ABI_ASSERT(l3l2q_create, fd, 80);
L3L2Q_ABI_ASSERT(l3l2q_create, pad, 84);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_mapping, 24);
L3L2Q_ABI_ASSERT(l3l2q_mapping, offset, 0);
L3L2Q_ABI_ASSERT(l3l2q_mapping, length, 8);
L3L2Q_ABI_ASSERT(l3l2q_mapping, delta, 16);
L3L2Q_ABI_ASSERT(l3l2q_mapping, pad, 20);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_info, 248);
L3L2Q_ABI_ASSERT(l3l2q_info, size, 0);
L3L2Q_ABI_ASSERT(l3l2q_info, flags, 4);
L3L2Q_ABI_ASSERT(l3l2q_info, role, 8);
L3L2Q_ABI_ASSERT(l3l2q_info, backend, 12);
L3L2Q_ABI_ASSERT(l3l2q_info, memory, 16);
L3L2Q_ABI_ASSERT(l3l2q_info, peer_kind, 20);
L3L2Q_ABI_ASSERT(l3l2q_info, state, 24);
L3L2Q_ABI_ASSERT(l3l2q_info, peer_state, 28);
L3L2Q_ABI_ASSERT(l3l2q_info, region, 32);
L3L2Q_ABI_ASSERT(l3l2q_info, queue, 80);
L3L2Q_ABI_ASSERT(l3l2q_info, map, 128);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_open_peer, 16);
L3L2Q_ABI_ASSERT(l3l2q_open_peer, size, 0);
L3L2Q_ABI_ASSERT(l3l2q_open_peer, flags, 4);
L3L2Q_ABI_ASSERT(l3l2q_open_peer, role, 8);
L3L2Q_ABI_ASSERT(l3l2q_open_peer, fd, 12);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_notify, 24);
L3L2Q_ABI_ASSERT(l3l2q_notify, size, 0);
L3L2Q_ABI_ASSERT(l3l2q_notify, flags, 4);
L3L2Q_ABI_ASSERT(l3l2q_notify, offset, 8);
L3L2Q_ABI_ASSERT(l3l2q_notify, op, 16);
L3L2Q_ABI_ASSERT(l3l2q_notify, value, 20);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_test, 32);
L3L2Q_ABI_ASSERT(l3l2q_test, size, 0);
L3L2Q_ABI_ASSERT(l3l2q_test, flags, 4);
L3L2Q_ABI_ASSERT(l3l2q_test, offset, 8);
L3L2Q_ABI_ASSERT(l3l2q_test, cmp, 16);
L3L2Q_ABI_ASSERT(l3l2q_test, value, 20);
L3L2Q_ABI_ASSERT(l3l2q_test, matched, 24);
L3L2Q_ABI_ASSERT(l3l2q_test, observed, 28);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_condition, 24);
L3L2Q_ABI_ASSERT(l3l2q_condition, offset, 0);
L3L2Q_ABI_ASSERT(l3l2q_condition, cmp, 8);
L3L2Q_ABI_ASSERT(l3l2q_condition, value, 12);
L3L2Q_ABI_ASSERT(l3l2q_condition, observed, 16);
L3L2Q_ABI_ASSERT(l3l2q_condition, pad, 20);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_wait, 40);
L3L2Q_ABI_ASSERT(l3l2q_wait, size, 0);
L3L2Q_ABI_ASSERT(l3l2q_wait, flags, 4);
L3L2Q_ABI_ASSERT(l3l2q_wait, conditions, 8);
L3L2Q_ABI_ASSERT(l3l2q_wait, nr_conditions, 16);
L3L2Q_ABI_ASSERT(l3l2q_wait, events, 20);
L3L2Q_ABI_ASSERT(l3l2q_wait, deadline_ns, 24);
L3L2Q_ABI_ASSERT(l3l2q_wait, revents, 32);
L3L2Q_ABI_ASSERT(l3l2q_wait, index, 36);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_arm, 16);
L3L2Q_ABI_ASSERT(l3l2q_arm, size, 0);
L3L2Q_ABI_ASSERT(l3l2q_arm, flags, 4);
L3L2Q_ABI_ASSERT(l3l2q_arm, events, 8);
L3L2Q_ABI_ASSERT(l3l2q_arm, revents, 12);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_eventfd, 40);
L3L2Q_ABI_ASSERT(l3l2q_eventfd, size, 0);
L3L2Q_ABI_ASSERT(l3l2q_eventfd, flags, 4);
L3L2Q_ABI_ASSERT(l3l2q_eventfd, kind, 8);
L3L2Q_ABI_ASSERT(l3l2q_eventfd, slot, 12);
L3L2Q_ABI_ASSERT(l3l2q_eventfd, fd, 16);
L3L2Q_ABI_ASSERT(l3l2q_eventfd, cmp, 20);
L3L2Q_ABI_ASSERT(l3l2q_eventfd, offset, 24);
L3L2Q_ABI_ASSERT(l3l2q_eventfd, value, 32);
L3L2Q_ABI_ASSERT(l3l2q_eventfd, pad, 36);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_set_polling, 24);
L3L2Q_ABI_ASSERT(l3l2q_set_polling, size, 0);
L3L2Q_ABI_ASSERT(l3l2q_set_polling, flags, 4);
L3L2Q_ABI_ASSERT(l3l2q_set_polling, peer_kind, 8);
L3L2Q_ABI_ASSERT(l3l2q_set_polling, min_ns, 12);
L3L2Q_ABI_ASSERT(l3l2q_set_polling, max_ns, 16);
L3L2Q_ABI_ASSERT(l3l2q_set_polling, pad, 20);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_stats, 120);
L3L2Q_ABI_ASSERT(l3l2q_stats, size, 0);
L3L2Q_ABI_ASSERT(l3l2q_stats, flags, 4);
L3L2Q_ABI_ASSERT(l3l2q_stats, notifies, 8);
L3L2Q_ABI_ASSERT(l3l2q_stats, kicks, 16);
L3L2Q_ABI_ASSERT(l3l2q_stats, waits, 24);
L3L2Q_ABI_ASSERT(l3l2q_stats, sleeps, 32);
L3L2Q_ABI_ASSERT(l3l2q_stats, polls, 40);
L3L2Q_ABI_ASSERT(l3l2q_stats, arms, 48);
L3L2Q_ABI_ASSERT(l3l2q_stats, wakeups, 56);
L3L2Q_ABI_ASSERT(l3l2q_stats, signals, 64);
L3L2Q_ABI_ASSERT(l3l2q_stats, timer_ticks, 72);
L3L2Q_ABI_ASSERT(l3l2q_stats, timer_wakeups, 80);
L3L2Q_ABI_ASSERT(l3l2q_stats, faults, 88);
L3L2Q_ABI_ASSERT(l3l2q_stats, region_bytes, 96);
L3L2Q_ABI_ASSERT(l3l2q_stats, interrupts, 104);
L3L2Q_ABI_ASSERT(l3l2q_stats, doorbells, 112);

L3L2Q_ABI_ASSERT_SIZE(l3l2q_export_dmabuf, 16);
L3L2Q_ABI_ASSERT(l3l2q_export_dmabuf, size, 0);
L3L2Q_ABI_ASSERT(l3l2q_export_dmabuf, flags, 4);
L3L2Q_ABI_ASSERT(l3l2q_export_dmabuf, fd, 8);
L3L2Q_ABI_ASSERT(l3l2q_export_dmabuf, pad, 12);

#endif /* _UAPI_LINUX_L3L2Q_H */
