/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/l3l2q: regions that carry the L3-L2 message queue.
 *
 * An open of the device node is a context. CREATE makes a region and returns
 * an endpoint, a file descriptor with a role; OPEN_PEER makes the endpoint of
 * the other role, once. Endpoints are handed on by fork or SCM_RIGHTS.
 *
 * The ioctl numbers of type 0xE3 from 0x00 to 0x3F belong to this interface.
 * Every argument structure starts with its size in bytes and flags. A structure
 * that is longer than the kernel knows, up to a page, is accepted if the excess is
 * zero (else E2BIG); one that is shorter than in the first release is EINVAL. Results
 * are cut, or extended with zero bytes, to the caller's size, which stays as it was.
 * Unknown flags and non-zero padding are EINVAL. Fields marked "out" are ignored on
 * input. There is no version number: a request that a kernel does not know is refused
 * with ENOTTY, E2BIG, EINVAL or EOPNOTSUPP, or its feature bit is missing. Names ending
 * in _bytes are sizes in bytes, those ending in _ns times in nanoseconds.
 *
 * Any ioctl can fail with EFAULT (bad pointer) and ENOTTY (not an ioctl of this kind of
 * descriptor). On an endpoint all but INFO, TEST and STATS fail with ESHUTDOWN once this
 * role has ended. A call that fails makes no descriptor and changes no counter. The
 * comments below name the errors of each call beyond these.
 *
 * An endpoint belongs to the process that attached it by a writable mapping of
 * L3L2Q_MAP_COUNTERS (DMABUF: of L3L2Q_MAP_CONTROL). While it is attached, a
 * second such mapping is EBUSY, and NOTIFY, KICK, ARM, EVENTFD, SET_POLLING,
 * OPEN_PEER, EXPORT_DMABUF, INTERRUPT and DETACH from another process are EPERM;
 * INFO, TEST, WAIT, STATS, poll and read-only mappings work for every process
 * that has the descriptor. The role ends by DETACH, or as dead when the process
 * no longer has that mapping.
 *
 * When a region's memory is removed, with its device or by its provider, every
 * ioctl on its endpoints fails with ENODEV, and poll reports EPOLLHUP and, with a
 * queue, EPOLLERR. Mappings stay usable: those of the counters show the values seen
 * last, with the peer's abort flag set, those of the payload show zeroes.
 *
 * OBSERVE makes an observer, a descriptor that a tool maps and reads and that no end of
 * the region notices.
 */
#ifndef _UAPI_LINUX_L3L2Q_H
#define _UAPI_LINUX_L3L2Q_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/l3l2q_abi.h>

#define L3L2Q_IOC_TYPE		0xE3

/* ---- on a context ------------------------------------------------------ */

#define L3L2Q_IOC_QUERY		_IO(L3L2Q_IOC_TYPE, 0x00)
#define L3L2Q_IOC_QUERY_DEVICE	_IO(L3L2Q_IOC_TYPE, 0x01)
#define L3L2Q_IOC_CREATE	_IO(L3L2Q_IOC_TYPE, 0x02)
#define L3L2Q_IOC_QUERY_REGION	_IO(L3L2Q_IOC_TYPE, 0x03)
#define L3L2Q_IOC_OBSERVE	_IO(L3L2Q_IOC_TYPE, 0x04)

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
#define L3L2Q_IOC_INTERRUPT	_IO(L3L2Q_IOC_TYPE, 0x1c)	/* argument: 0 */

/* ---- shared pages ------------------------------------------------------ */

/*
 * Events, as ARM and WAIT take and return them and as the low bits of
 * l3l2q_control.armed. ABORT and HUP are always reported.
 */
#define L3L2Q_EVENT_IN		(1u << 0)	/* there may be a message to acquire */
#define L3L2Q_EVENT_OUT		(1u << 1)	/* the message refused last may go through */
#define L3L2Q_EVENT_ABORT	(1u << 2)	/* the peer's abort flag is set */
#define L3L2Q_EVENT_HUP		(1u << 3)	/* a side has ended, or the memory was removed */
#define L3L2Q_EVENT_ALL		0xfu

/* Further bits of l3l2q_control.armed. */
#define L3L2Q_ARM_COUNTER	(1u << 4)	/* a WAIT on counter conditions */
#define L3L2Q_COUNTER_SLOTS	8		/* counter eventfds an endpoint can have */
#define L3L2Q_ARM_SLOT(slot)	(1u << (8 + (slot)))
#define L3L2Q_ARM_SLOTS		0xff00u

/* The armed bits that ask for a KICK after a tail, or a head, was stored. */
#define L3L2Q_ARM_TAIL	(L3L2Q_EVENT_IN | L3L2Q_ARM_COUNTER | L3L2Q_ARM_SLOTS)
#define L3L2Q_ARM_HEAD	(L3L2Q_EVENT_OUT | L3L2Q_ARM_COUNTER | L3L2Q_ARM_SLOTS)
/* Who wakes takes these away, and leaves the rest to the owner. */
#define L3L2Q_ARM_EVENTS	0x00ffffffu

/*
 * Fences on request. A half that fences its counter stores only while it is asked to
 * says so in its own control page (tail_unfenced, head_unfenced), and starts it only with
 * a peer whose armed word has ASKS. A sleeper then requests fences with its event bits,
 * executes a full barrier and, if the peer's half is unfenced, has membarrier(2) execute
 * one on the peer's processors; DONE says that this has happened since the request.
 */
#define L3L2Q_ARM_REQ_TAIL	(1u << 24)	/* fence each store of the tail */
#define L3L2Q_ARM_REQ_HEAD	(1u << 25)	/* fence each store of the head */
#define L3L2Q_ARM_DONE_TAIL	(1u << 26)
#define L3L2Q_ARM_DONE_HEAD	(1u << 27)
#define L3L2Q_ARM_DONE(reqs)	((reqs) << 2)	/* those of requests */
#define L3L2Q_ARM_ASKS		(1u << 28)	/* the owner requests fences before it sleeps */

/* l3l2q_control.consumer_flags and .producer_flags */
#define L3L2Q_CONSUMER_SEEN	(1u << 0)	/* seen_tail is valid */
#define L3L2Q_CONSUMER_HOLD	(1u << 1)	/* not readable until a release */
#define L3L2Q_PRODUCER_NEED	(1u << 0)	/* need_head is valid */

/**
 * struct l3l2q_control - a role's control page
 * @armed: L3L2Q_EVENT_* and L3L2Q_ARM_*: what threads of this role sleep for. The
 *	owner ors bits in, executes a full barrier, and looks once more before it
 *	sleeps. The peer stores a counter, executes a full barrier, and reads this
 *	word; a matching bit asks for a KICK. The kernel sets bits for poll, WAIT, EVENTFD and
 *	ARM. Only the kernel clears those of L3L2Q_ARM_EVENTS, and only the owner the
 *	others
 * @consumer_flags: stored by the owner: L3L2Q_CONSUMER_*
 * @seen_tail: stored by the owner: the tail up to which its consumer has acquired
 *	all messages
 * @head_unfenced: stored by the owner's consumer: 1 from when on it fences its stores of
 *	the head on request only
 * @producer_flags: stored by the owner: L3L2Q_PRODUCER_*
 * @need_head: stored by the owner: the head that its producer waits for
 * @tail_unfenced: stored by the owner's producer: the same for the tail
 * @need_bytes: stored by the owner, before need_head: the length of the body that was
 *	refused, 2^32 - 1 if it is longer; 0 if a slot was missing. For tools
 *
 * The owner maps it read-write, the peer read-only. Its words decide only about
 * wake-ups; a wrong value affects only the owner.
 */
struct l3l2q_control {
	__u32 armed;
	__u32 pad0[15];
	__u32 consumer_flags;
	__u32 seen_tail;
	__u32 head_unfenced;
	__u32 pad1[13];
	__u32 producer_flags;
	__u32 need_head;
	__u32 tail_unfenced;
	__u32 need_bytes;
	__u32 pad2[12];
};

/** enum l3l2q_state - the state of one end */
enum l3l2q_state {
	L3L2Q_STATE_NONE     = 0,	/* not opened yet */
	L3L2Q_STATE_OPEN     = 1,	/* open, counters not mapped */
	L3L2Q_STATE_ATTACHED = 2,	/* counters mapped by a process */
	L3L2Q_STATE_DETACHED = 3,	/* ended by DETACH */
	L3L2Q_STATE_DEAD     = 4,	/* ended without DETACH */
};

/* l3l2q_status.gone */
#define L3L2Q_GONE_DETACHED	(1u << 0)	/* ended by DETACH */
#define L3L2Q_GONE_ABORTED	(1u << 1)	/* aborted or died */
#define L3L2Q_GONE_REMOVED	(1u << 2)	/* the region's memory was removed */

/**
 * struct l3l2q_status - a region's status page, written by the kernel only
 * @removed: 0, or 1 once the memory is being taken away; set before mappings change
 * @state: enum l3l2q_state of each role
 * @gone: for each role, how the other one ended: 0 while it lives, else
 *	L3L2Q_GONE_*. An abort is stored after the abort flag, as soon as the
 *	kernel sees that flag: at NOTIFY, at KICK and whenever it looks at the
 *	counters for a sleeper
 *
 * A role reads one word, gone[own role], to learn that its peer has ended.
 */
struct l3l2q_status {
	__u32 removed;
	__u32 state[L3L2Q_ROLES];
	__u32 gone[L3L2Q_ROLES];
	__u32 pad[11];
};

/*
 * Readiness, computed from values that the caller has read: flags first, then the
 * words that they make valid. A stale result costs another look; it does not lose a
 * wake-up. The arguments are those of one direction: its tail and head, and the
 * control words of the role that consumes it (readable) or produces it (writable).
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
 * struct l3l2q_query - features and limits of the driver; all out
 * @features: L3L2Q_FEATURE_*
 * @max_region_bytes: largest payload range; more is EFBIG
 * @max_counter_bytes: largest counter range of a raw region; more is EFBIG
 * @max_user_bytes: memory one user may hold in regions; more is EDQUOT
 * @max_user_window_bytes: memory of PCI windows one user may hold in regions; more
 *	is EDQUOT. 0 if there is no window
 * @max_user_regions: regions one user may hold; more is EDQUOT
 * @page_size: granularity of mappings in bytes
 * @nr_devices: number of windows that QUERY_DEVICE lists at the moment
 * @max_conditions: most conditions of one WAIT; more is EINVAL
 * @max_waits: most WAITs that sleep on one endpoint; more is ENOSPC. One WAIT that
 *	names only the consumer, by L3L2Q_WAIT_CONSUMER, and one that names only the
 *	producer, by L3L2Q_WAIT_PRODUCER, find a place beyond these
 * @max_endpoint_conditions: most conditions of all WAITs that sleep on one
 *	endpoint; more is ENOSPC. max_conditions of them are kept for each of these
 *	two WAITs
 * @poll_min_ns: shortest polling period for silent peers
 * @poll_max_ns: longest polling period
 * @poll_user_min_ns: shortest polling period that SET_POLLING takes from a user without
 *	CAP_SYS_RESOURCE in the initial user namespace
 * @tick_regions: most endpoints that one tick of the polling timer looks at
 *
 * What a process creates counts for its user and, in a user namespace, also for
 * the owner of that namespace and of each one around it. Limits of a user do not
 * apply to CAP_SYS_RESOURCE in the initial user namespace.
 */
struct l3l2q_query {
	__u32 size;
	__u32 flags;
	__aligned_u64 features;
	__aligned_u64 max_region_bytes;
	__aligned_u64 max_counter_bytes;
	__aligned_u64 max_user_bytes;
	__aligned_u64 max_user_window_bytes;
	__u32 max_user_regions;
	__u32 page_size;
	__u32 nr_devices;
	__u32 max_conditions;
	__u32 max_waits;
	__u32 max_endpoint_conditions;
	__u32 poll_min_ns;
	__u32 poll_max_ns;
	__u32 poll_user_min_ns;
	__u32 tick_regions;
};

/* ---- QUERY_DEVICE ------------------------------------------------------ */

/**
 * struct l3l2q_query_device - one NPU window
 * @id: in: 0 or an id; out: the smallest id above it, ENODEV if there is none.
 *	An id is never 0 and never used again while the module is loaded
 * @window_bytes: out: size of the window
 * @free_bytes: out: bytes of it that no region uses, not necessarily in one piece
 * @backend: out: enum l3l2q_backend
 * @vectors: out: number of interrupt vectors, at least 1
 * @numa_node: out: its NUMA node, or -1
 * @memory: out: enum l3l2q_memory, the effective one
 * @name: out: NUL-terminated; "pci:" and this is a transport of the library
 */
struct l3l2q_query_device {
	__u32 size;
	__u32 flags;
	__aligned_u64 id;
	__aligned_u64 window_bytes;
	__aligned_u64 free_bytes;
	__u32 backend;
	__u32 vectors;
	__s32 numa_node;
	__u32 memory;
	__u8 name[32];
};

/* ---- CREATE ------------------------------------------------------------ */

enum l3l2q_backend {
	L3L2Q_BACKEND_RAM    = 0,
	L3L2Q_BACKEND_PCI    = 1,
	L3L2Q_BACKEND_DMABUF = 2,
	L3L2Q_BACKEND_ASCEND = 3,
};

#define L3L2Q_CREATE_NUMA	     (1u << 0)	/* allocate on numa_node */
#define L3L2Q_CREATE_SILENT_PEER     (1u << 1)	/* the other role only loads and stores */
#define L3L2Q_CREATE_COHERENT	     (1u << 2)	/* cached memory, which device and CPUs snoop */
#define L3L2Q_CREATE_SHARE_ADDRESSES (1u << 3)	/* INFO shows device addresses to both ends */

#define L3L2Q_TAG_BYTES		32

/**
 * struct l3l2q_create - make a region and an endpoint of it
 * @flags: L3L2Q_CREATE_*
 * @backend: enum l3l2q_backend
 * @role: enum l3l2q_role of the returned endpoint
 * @depth: messages a ring holds: a power of two, 1 ... 2^30; 0 for a raw region
 * @numa_node: node to allocate on, with L3L2Q_CREATE_NUMA; else 0
 * @region_version: version in the region's scalars, major << 16 | minor: 2.0 or
 *	3.0; 0 is 2.0
 * @binding: enum l3l2q_binding; L3L2Q_BINDING_L3Q2 for a raw region
 * @identity: how the binding names the region: with L3L2Q_BINDING_SPSQ the session
 *	bits, which may be anything, and the transaction id, which is not 0; zero with
 *	L3L2Q_BINDING_L3Q2
 * @input_arena_bytes: queue: a positive multiple of 64; raw: 0
 * @output_arena_bytes: queue: a positive multiple of 64; raw: 0
 * @payload_bytes: raw: size of the payload range, at least 1; queue: 0
 * @counter_bytes: raw: size of the counter range, a positive multiple of 4; queue: 0
 * @source: where the backend takes the memory from. RAM: 0. PCI: the id of a
 *	window, see QUERY_DEVICE. DMABUF: a descriptor. ASCEND: a device
 *	address of the calling process
 * @source_bytes: ASCEND: size of the memory at @source, of which the region takes
 *	the first part; else 0
 * @counter_source: ASCEND: device address of memory for the counters alone, or 0;
 *	else 0
 * @counter_source_bytes: size of the memory at @counter_source, of which the
 *	region takes the first part, or 0
 * @tag: a name for tools: up to 31 printable ASCII characters, NUL-terminated, zero
 *	after that
 * @region_id: out: unique while the module is loaded, never 0
 * @fd: out: the endpoint, close-on-exec
 * @pad: 0
 *
 * DMABUF takes only buffers that the caller declares coherent, by
 * L3L2Q_CREATE_COHERENT. ASCEND maps device memory write-combining without that
 * flag, and cached with it, if the machine can: INFO returns the effective type. With
 * DMABUF and ASCEND the payload is at the source's first byte and the counters
 * begin at the next page boundary after it, or at the first byte of @counter_source.
 *
 * ASCEND takes addresses and sizes that are multiples of 4096. It gets only what
 * the region takes, rounded up to the page size of that memory, which can be another
 * one in each of the two ranges; what it takes of them may not overlap. The table
 * of pages that the Ascend driver makes, 40 bytes a page, counts as memory of the
 * user, and as if the pages were of 4096 bytes while it is made. If either range goes
 * away, so does the region.
 *
 * EINVAL bad geometry, sizes, version, identity, tag or source, a flag that the
 * backend does not take, or depth 1 on memory that is not cached; EFBIG over
 * max_region_bytes or max_counter_bytes; EDQUOT over a limit of a user, see QUERY;
 * ENOMEM not enough memory, or over the limit of the memory cgroup; ENOSPC no room in
 * the window or the source; ENODEV no such window, its memory was removed meanwhile, or
 * the driver of an ASCEND source is not loaded; EOPNOTSUPP no such backend in this
 * kernel, a @counter_source that it does not take, or memory that it cannot use;
 * EBADF not a dma-buf; EACCES a dma-buf whose descriptor does not allow writing;
 * EBUSY another driver has mapped the memory with another type; EMFILE, ENFILE no
 * descriptor left; and errors of the driver of an ASCEND source.
 */
struct l3l2q_create {
	__u32 size;
	__u32 flags;
	__u32 backend;
	__u32 role;
	__u32 depth;
	__s32 numa_node;
	__u32 region_version;
	__u32 binding;
	__aligned_u64 identity[2];
	__aligned_u64 input_arena_bytes;
	__aligned_u64 output_arena_bytes;
	__aligned_u64 payload_bytes;
	__aligned_u64 counter_bytes;
	__aligned_u64 source;
	__aligned_u64 source_bytes;
	__aligned_u64 counter_source;
	__aligned_u64 counter_source_bytes;
	__u8 tag[L3L2Q_TAG_BYTES];
	__aligned_u64 region_id;
	__s32 fd;
	__u32 pad;
};

/* ---- INFO -------------------------------------------------------------- */

/**
 * enum l3l2q_memory - how a mapping behaves, which decides the fences it needs
 *
 * The driver reports the first three. The others are for the library and its core.
 */
enum l3l2q_memory {
	L3L2Q_MEMORY_CACHED    = 0,
	L3L2Q_MEMORY_WC	       = 1,
	L3L2Q_MEMORY_DEVICE    = 2,
	L3L2Q_MEMORY_UNSNOOPED = 3,	/* cached, and the cache does not see the peer's stores */
	L3L2Q_MEMORY_COPIED    = 4,	/* not mapped: reached by copy calls */
};

/** enum l3l2q_peer_kind - how the peer takes part in sleeping and waking */
enum l3l2q_peer_kind {
	L3L2Q_PEER_ARMS	  = 0,	/* arms its control page, calls KICK if ours is armed */
	L3L2Q_PEER_RINGS  = 1,	/* interrupts after each store; KICK it after each */
	L3L2Q_PEER_SILENT = 2,	/* loads and stores only: the kernel polls for us */
};

/* Indices into l3l2q_info.map. */
#define L3L2Q_MAP_PAYLOAD	0	/* read-write */
#define L3L2Q_MAP_COUNTERS	1	/* read-write; a writable one attaches */
#define L3L2Q_MAP_STATUS	2	/* struct l3l2q_status, read-only */
#define L3L2Q_MAP_CONTROL	3	/* own struct l3l2q_control, read-write */
#define L3L2Q_MAP_PEER_CONTROL	4	/* the peer's, read-only */
#define L3L2Q_MAPS		5

/**
 * struct l3l2q_mapping - how to mmap a part of a region, shared, never executable
 * @offset: offset for mmap
 * @length: bytes to map, whole pages. A mapping of some of these pages works too
 * @delta: bytes from the mapping's start to the part's first byte
 */
struct l3l2q_mapping {
	__aligned_u64 offset;
	__aligned_u64 length;
	__u32 delta;
	__u32 pad;
};

#define L3L2Q_INFO_DEVICE_ADDRESSES	(1u << 0)	/* the bases are the device's */

/**
 * struct l3l2q_info - an endpoint and its region; all out
 * @flags: out: L3L2Q_INFO_*; as input these bits are ignored
 * @role: enum l3l2q_role of this end
 * @backend: enum l3l2q_backend
 * @memory: enum l3l2q_memory of payload and counters, the effective one
 * @peer_kind: enum l3l2q_peer_kind
 * @state: enum l3l2q_state of this end
 * @peer_state: enum l3l2q_state of the other
 * @region_version: version in the region's scalars, major << 16 | minor
 * @binding: enum l3l2q_binding
 * @identity: how the binding names the region
 * @tag: as given to CREATE
 * @region: the region's scalars. With L3L2Q_INFO_DEVICE_ADDRESSES the bases are
 *	addresses that the device uses: at the end that CREATE returned, and at
 *	the other one with L3L2Q_CREATE_SHARE_ADDRESSES. RAM and dma-bufs have
 *	none. Else the bases are the mmap offsets, and each process puts its own
 *	addresses in
 * @queue: the queue's scalars, zero for a raw region; magic_version is that of the
 *	binding. l3l2q_binding_scalars() puts together what L2 receives
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
	__u32 region_version;
	__u32 binding;
	__aligned_u64 identity[2];
	__u8 tag[L3L2Q_TAG_BYTES];
	struct l3l2q_region_desc region;
	struct l3l2q_queue_desc queue;
	struct l3l2q_mapping map[L3L2Q_MAPS];
};

/* ---- QUERY_REGION ------------------------------------------------------ */

#define L3L2Q_COMM_BYTES	16
#define L3L2Q_NEVER		(~0ull)

/**
 * struct l3l2q_process - a process, as the caller's namespaces have it
 * @uid: its user; the overflow user id if the caller's namespace has no name for it
 * @pid: 0 if there is none, or if the caller's namespace does not have it
 * @comm: its name when it created or attached, NUL-terminated; any byte may be in it
 */
struct l3l2q_process {
	__u32 uid;
	__u32 pid;
	__u8 comm[L3L2Q_COMM_BYTES];
};

/**
 * struct l3l2q_region_end - one role of a region
 * @state: enum l3l2q_state
 * @peer_kind: enum l3l2q_peer_kind: how the other role behaves
 * @gone: how the other role ended: L3L2Q_GONE_*, 0 while it lives
 * @armed: l3l2q_control.armed
 * @consumer_flags: l3l2q_control.consumer_flags; with them seen_tail is valid
 * @seen_tail: l3l2q_control.seen_tail
 * @producer_flags: l3l2q_control.producer_flags; with them need_head is valid
 * @need_head: l3l2q_control.need_head
 * @waits: WAITs that sleep
 * @eventfds: registered eventfds
 * @woken_ns: how long ago the kernel last woke this role (l3l2q_stats.wakeups), to within
 *	a few milliseconds; L3L2Q_NEVER
 * @process: that attached it
 */
struct l3l2q_region_end {
	__u32 state;
	__u32 peer_kind;
	__u32 gone;
	__u32 armed;
	__u32 consumer_flags;
	__u32 seen_tail;
	__u32 producer_flags;
	__u32 need_head;
	__u32 waits;
	__u32 eventfds;
	__aligned_u64 woken_ns;
	struct l3l2q_process process;
};

/** enum l3l2q_removal - why a region's memory was removed */
enum l3l2q_removal {
	L3L2Q_REMOVAL_NONE     = 0,	/* it was not */
	L3L2Q_REMOVAL_DEVICE   = 1,	/* the device was removed or unbound */
	L3L2Q_REMOVAL_ERROR    = 2,	/* the bus has reported an error, or no answer came */
	L3L2Q_REMOVAL_RESET    = 3,	/* the device was reset */
	L3L2Q_REMOVAL_POWER    = 4,	/* the system was suspended */
	L3L2Q_REMOVAL_PROVIDER = 5,	/* who provided it has taken it back */
};

/** enum l3l2q_abort_cause - who has set a role's abort flag */
enum l3l2q_abort_cause {
	L3L2Q_ABORT_NONE  = 0,	/* nobody */
	L3L2Q_ABORT_ROLE  = 1,	/* the role itself */
	L3L2Q_ABORT_DEATH = 2,	/* the driver, because the role died */
};

/**
 * struct l3l2q_query_region - one region that the caller may see
 * @id: in: 0 or an id; out: the smallest id above it
 * @backend: out: enum l3l2q_backend
 * @memory: out: enum l3l2q_memory
 * @binding: out: enum l3l2q_binding
 * @region_version: out: as in struct l3l2q_info
 * @identity: out: as given to CREATE
 * @tag: out: as given to CREATE
 * @depth: out: messages a ring holds; 0: a raw region
 * @removed: out: 1 once the memory was taken away
 * @input_arena_bytes: out
 * @output_arena_bytes: out
 * @payload_bytes: out
 * @counter_bytes: out
 * @region_bytes: out: memory of all its ranges
 * @age_ns: out: time since CREATE, to within a few milliseconds
 * @counters: out: of a queue: input tail, input head, output tail, output head, abort
 *	flag of L3, abort flag of L2; as last seen once the memory was removed
 * @ends: out: by enum l3l2q_role
 * @creator: out: the process that made it
 * @removal: out: enum l3l2q_removal
 * @aborts: out: of a queue: enum l3l2q_abort_cause by enum l3l2q_role
 * @observers: out: how many observers of it are open
 *
 * Nothing is attached or kept by it. A process sees the regions that a process of its
 * effective user has created, and those whose creator's user namespace grants it
 * CAP_SYS_PTRACE. The values are read one by one, while the queue goes on.
 *
 * Errors: ENOENT: there is none above id.
 */
struct l3l2q_query_region {
	__u32 size;
	__u32 flags;
	__aligned_u64 id;
	__u32 backend;
	__u32 memory;
	__u32 binding;
	__u32 region_version;
	__aligned_u64 identity[2];
	__u8 tag[L3L2Q_TAG_BYTES];
	__u32 depth;
	__u32 removed;
	__aligned_u64 input_arena_bytes;
	__aligned_u64 output_arena_bytes;
	__aligned_u64 payload_bytes;
	__aligned_u64 counter_bytes;
	__aligned_u64 region_bytes;
	__aligned_u64 age_ns;
	__s32 counters[6];
	struct l3l2q_region_end ends[L3L2Q_ROLES];
	struct l3l2q_process creator;
	__u32 removal;
	__u32 aborts[L3L2Q_ROLES];
	__u32 observers;
};

/* ---- OBSERVE ----------------------------------------------------------- */

#define L3L2Q_OBSERVE_PAYLOAD	(1u << 0)	/* message bodies too */

/**
 * struct l3l2q_observe - a descriptor to look at a region, for those who may see it
 * @flags: L3L2Q_OBSERVE_*
 * @id: of the region
 * @fd: out: the observer, close-on-exec
 * @pad: 0
 * @map: out: as in struct l3l2q_info: what can be mapped, with PROT_READ only.
 *	L3L2Q_MAP_CONTROL is the page of L3, L3L2Q_MAP_PEER_CONTROL that of L2
 *
 * pread(2) at an offset of @map or behind it reads what a mapping there would show:
 * all counters, pages of status and control, and of the payload the descriptors of a
 * queue (its first bytes), with L3L2Q_OBSERVE_PAYLOAD all. Mappings of the
 * payload have whole pages of descriptors only, without that flag. What belongs to a
 * dma-buf can be read and not mapped.
 *
 * An observer attaches nothing, does not wait, and does not keep the region: with the
 * last endpoint its memory goes, mappings show zeroes, and read and mmap fail with
 * ENODEV. Of memory that was removed it sees what L3 sees. Every ioctl of endpoints
 * fails with EPERM. Reads fail with EPERM where bodies begin, and with EINVAL outside the
 * parts; mmap fails with EACCES for writing, EPERM for bodies, EOPNOTSUPP for memory of
 * a dma-buf.
 *
 * ENOENT: there is no such region, or the caller may not see it, as with QUERY_REGION;
 * EPERM L3L2Q_OBSERVE_PAYLOAD without CAP_SYS_PTRACE in the user namespace of the
 * region's creator; EMFILE, ENFILE no descriptor left; ENOMEM not enough memory.
 */
struct l3l2q_observe {
	__u32 size;
	__u32 flags;
	__aligned_u64 id;
	__s32 fd;
	__u32 pad;
	struct l3l2q_mapping map[L3L2Q_MAPS];
};

/* ---- OPEN_PEER --------------------------------------------------------- */

/**
 * struct l3l2q_open_peer - make the endpoint of the other role, once
 * @role: out: its role
 * @fd: out: the endpoint, close-on-exec
 *
 * EBUSY if it was opened before; EPERM on an endpoint that CREATE did not return;
 * EMFILE, ENFILE no descriptor left; ENOMEM not enough memory.
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
 * @offset: byte offset of the counter in the counter range, a multiple of 4
 * @op: enum l3l2q_notify_op
 * @value: to set or add
 *
 * Wakes the threads of both roles that sleep for it. EINVAL unaligned or unknown op;
 * ERANGE outside the counter range; EPERM a queue's line that this role does not write.
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
 * @offset: byte offset of the counter in the counter range, a multiple of 4
 * @cmp: enum l3l2q_cmp
 * @value: to compare with
 * @matched: out: 1 if (observed cmp value) holds, else 0
 * @observed: out: the value that was read
 *
 * EINVAL unaligned or unknown cmp; ERANGE outside the counter range.
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
 * @offset: byte offset of the counter in the counter range, a multiple of 4
 * @cmp: enum l3l2q_cmp
 * @value: to compare with
 * @observed: out: the value read last, also at the deadline
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

#define L3L2Q_WAIT_CONSUMER	(1u << 0)	/* for the consumer; INTERRUPT ends it */
#define L3L2Q_WAIT_PRODUCER	(1u << 1)	/* for the producer; INTERRUPT ends it */
#define L3L2Q_WAIT_NO_RESTART	(1u << 2)	/* EINTR after every handled signal */
#define L3L2Q_WAIT_ENDPOINT	(1u << 3)	/* for neither half; INTERRUPT ends it too */

/**
 * struct l3l2q_wait - sleep until an event or one of several conditions
 * @flags: L3L2Q_WAIT_*
 * @conditions: user pointer to @nr_conditions structures
 * @nr_conditions: 0 ... L3L2Q_WAIT_MAX_CONDITIONS
 * @condition_size: bytes from one to the next, at least 24, the first size of
 *	struct l3l2q_condition; as for all structures a longer one, up to a page, is
 *	accepted if the excess is zero (else E2BIG). Without conditions neither this
 *	nor @conditions is looked at
 * @deadline_ns: a time of the caller's CLOCK_MONOTONIC; a time in the past looks
 *	once; L3L2Q_WAIT_FOREVER and other times from 2^63 - 1 on: no deadline
 * @events: L3L2Q_EVENT_* to wait for, in a raw region only ABORT and HUP, which always
 *	end the wait. 0 with conditions only
 * @revents: out: events that hold
 * @index: out: the first condition that holds, or -1
 * @pad: 0
 *
 * 0 if something holds; ETIMEDOUT at the deadline; EINTR on a signal whose handler
 * was not set with SA_RESTART, or on any handled signal with L3L2Q_WAIT_NO_RESTART,
 * else the call goes on; EINTR also after INTERRUPT, for what the flags name;
 * ENOSPC over max_waits or max_endpoint_conditions, see QUERY; ESHUTDOWN also if this
 * role ends meanwhile; EINVAL nothing to wait for, unknown events, or a bad condition;
 * ERANGE a counter outside the range. Results are stored with 0 and with ETIMEDOUT.
 */
struct l3l2q_wait {
	__u32 size;
	__u32 flags;
	__aligned_u64 conditions;
	__u32 nr_conditions;
	__u32 condition_size;
	__aligned_u64 deadline_ns;
	__u32 events;
	__u32 revents;
	__s32 index;
	__u32 pad;
};

/*
 * INTERRUPT: end every WAIT that sleeps on this endpoint and names a half or the
 * endpoint, by L3L2Q_WAIT_CONSUMER, _PRODUCER or _ENDPOINT, with EINTR. For each of these
 * three that no sleeping WAIT names the interruption is kept: the next WAIT that names
 * it returns EINTR at once, even if something holds or the deadline has passed. Several
 * interruptions that are kept count as one. A WAIT that names several counts for each; a
 * WAIT that names none is not affected.
 */

/* ---- ARM, EVENTFD, KICK ------------------------------------------------ */

/**
 * struct l3l2q_arm - arm, then look
 * @events: L3L2Q_EVENT_* and L3L2Q_ARM_SLOT() bits
 * @revents: out: those of @events that hold now, and ABORT and HUP if they do
 *
 * Where the peer is not silent, the owner can set bits of l3l2q_control.armed instead.
 * EINVAL unknown bits, or IN or OUT in a raw region.
 */
struct l3l2q_arm {
	__u32 size;
	__u32 flags;
	__u32 events;
	__u32 revents;
};

/** enum l3l2q_eventfd_kind - the event that an eventfd is signalled for */
enum l3l2q_eventfd_kind {
	L3L2Q_EVENTFD_IN      = 0,
	L3L2Q_EVENTFD_OUT     = 1,
	L3L2Q_EVENTFD_ABORT   = 2,	/* peer abort or hang-up */
	L3L2Q_EVENTFD_COUNTER = 3,
};

/**
 * struct l3l2q_eventfd - register, replace or remove an eventfd
 * @kind: enum l3l2q_eventfd_kind
 * @slot: number of the counter eventfd, 0 ... L3L2Q_COUNTER_SLOTS - 1; else 0
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
 * The kernel keeps a reference to the eventfd until it is replaced or removed, or the
 * role ends. A removal uses kind and slot only: any other field that is not 0 is EINVAL.
 * ENOENT nothing to remove; EBADF @fd is not open; EINVAL not an eventfd, unknown kind,
 * slot or cmp, an unaligned offset, or IN or OUT in a raw region; ERANGE a counter
 * outside the range.
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
 * KICK: wake the peer if it is armed, and ring the device if there is one; in a raw
 * region also wake sleepers of the caller's own role. With L3L2Q_KICK_SELF as its
 * argument: wake sleepers of the caller's own role only, after a change to its control
 * page or to its abort flag. Other bits in the argument are EINVAL.
 *
 * Doorbells and interrupts of a device have vectors: in both directions a region
 * uses number region_id % vectors.
 */
#define L3L2Q_KICK_SELF		(1u << 0)

/* ---- SET_POLLING ------------------------------------------------------- */

/**
 * struct l3l2q_set_polling - set how the kernel waits for the peer
 * @peer_kind: enum l3l2q_peer_kind; _RINGS only where there are interrupts
 * @min_ns: first polling period for a silent peer; 0: module default
 * @max_ns: period it stretches to while nothing happens; 0: module default
 * @pad: 0
 *
 * EINVAL an unknown kind, _RINGS without interrupts, periods outside poll_min_ns ...
 * poll_max_ns, or min over max; EPERM a period that is below poll_user_min_ns, see QUERY,
 * without CAP_SYS_RESOURCE in the initial user namespace. While looks for a user cost
 * more than that user's part of 5 % of a processor, all of that user's periods are
 * longer.
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
 * @waits: WAIT calls, and their restarts after signals
 * @sleeps: times a WAIT slept
 * @polls: times poll, select or epoll looked
 * @arms: ARM calls
 * @wakeups: times the kernel woke this role: something was armed, or an abort or an end
 *	came, whoever slept
 * @signals: eventfds signalled for this role
 * @timer_ticks: times the kernel looked at the counters for this role
 * @timer_wakeups: wake-ups that resulted from these looks
 * @faults: page faults on this endpoint's mappings
 * @region_bytes: all memory of the region, the driver's own pages included
 * @interrupts: times an interrupt of the device looked for sleepers of this role
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
 * struct l3l2q_export_dmabuf - make a dma-buf of the region for other drivers
 * @fd: out: a dma-buf, close-on-exec
 * @pad: 0
 *
 * It has the payload and, from the next page boundary on, the counters, as CREATE
 * expects it with DMABUF. It keeps the region, which stays charged to the user that
 * created it. EOPNOTSUPP without L3L2Q_FEATURE_EXPORT, and for backends other than RAM;
 * EMFILE, ENFILE no descriptor left; ENOMEM not enough memory.
 */
struct l3l2q_export_dmabuf {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 pad;
};

#endif /* _UAPI_LINUX_L3L2Q_H */
