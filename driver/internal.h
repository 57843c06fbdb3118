/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The l3l2q driver's own interfaces.
 *
 * Objects: a region (memory, counters, pages that tell who sleeps) has two
 * endpoints, one a role, embedded in it. The file of an endpoint holds a
 * reference to the region, and mappings hold the file, so that whoever got at
 * an endpoint through a file, a mapping or a ticking scanner finds its region
 * alive.
 */
#ifndef _L3L2Q_INTERNAL_H
#define _L3L2Q_INTERNAL_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/cache.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mm_types.h>
#include <linux/poll.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/stddef.h>
#include <linux/timerqueue.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/l3l2q.h>

#ifndef CONFIG_64BIT
#error "l3l2q: mmap offsets need a 64-bit kernel"
#endif
#ifdef __BIG_ENDIAN
#error "l3l2q: the L3-L2 wire format is little-endian"
#endif

struct device;
struct eventfd_ctx;
struct gen_pool;
struct pid;
struct l3l2q_account;
struct l3l2q_region;
struct l3l2q_view;
struct seq_file;
struct task_struct;
struct user_namespace;

/* ---- parts of a region, as mmap offsets name them ----------------------- */

#define L3L2Q_PART_SHIFT	40
#define L3L2Q_PART_MAX_BYTES	BIT_ULL(L3L2Q_PART_SHIFT)

/* 0 is no part, so that no offset in INFO is zero. */
enum l3l2q_part {
	L3L2Q_PART_PAYLOAD = 1,
	L3L2Q_PART_COUNTERS,
	L3L2Q_PART_STATUS,
	L3L2Q_PART_CONTROL_L3,
	L3L2Q_PART_CONTROL_L2,
};

#define L3L2Q_PART_PAGE_SHIFT	(L3L2Q_PART_SHIFT - PAGE_SHIFT)

static inline enum l3l2q_part l3l2q_pgoff_part(pgoff_t pgoff)
{
	return pgoff >> L3L2Q_PART_PAGE_SHIFT;
}

static inline unsigned long l3l2q_pgoff_index(pgoff_t pgoff)
{
	return pgoff & ((1ul << L3L2Q_PART_PAGE_SHIFT) - 1);
}

/* What the backend provides. */
static inline bool l3l2q_part_is_memory(enum l3l2q_part part)
{
	return part == L3L2Q_PART_PAYLOAD || part == L3L2Q_PART_COUNTERS;
}

#define L3L2Q_RAW_COUNTER_MAX	SZ_1M

#define L3L2Q_HALVES		2	/* consumer, producer */

/* What a WAIT may name to be ended by INTERRUPT. */
#define L3L2Q_WAIT_INTERRUPTED \
	(L3L2Q_WAIT_CONSUMER | L3L2Q_WAIT_PRODUCER | L3L2Q_WAIT_ENDPOINT)

/*
 * What may sleep on an endpoint: WAITs, and conditions of all of them. One WAIT that
 * names the consumer only and one that names the producer only find places beyond
 * these WAITs, with conditions that are kept for them.
 */
#define L3L2Q_MAX_WAITS		64
#define L3L2Q_MAX_CONDITIONS	256
#define L3L2Q_KEPT_CONDITIONS	(L3L2Q_HALVES * L3L2Q_WAIT_MAX_CONDITIONS)

/* Memory that a user asked for: charged, and never worth the OOM killer. */
#define L3L2Q_GFP_USER	(GFP_KERNEL_ACCOUNT | __GFP_ZERO | \
			 __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* ---- statistics --------------------------------------------------------- */

/* In the order of struct l3l2q_stats, but for its region_bytes. */
enum l3l2q_stat {
	L3L2Q_STAT_NOTIFIES,
	L3L2Q_STAT_KICKS,
	L3L2Q_STAT_WAITS,
	L3L2Q_STAT_SLEEPS,
	L3L2Q_STAT_POLLS,
	L3L2Q_STAT_ARMS,
	L3L2Q_STAT_WAKEUPS,
	L3L2Q_STAT_SIGNALS,
	L3L2Q_STAT_TIMER_TICKS,
	L3L2Q_STAT_TIMER_WAKEUPS,
	L3L2Q_STAT_FAULTS,
	L3L2Q_STAT_INTERRUPTS,
	L3L2Q_STAT_DOORBELLS,
	L3L2Q_STATS_NR
};

/* ---- processes ---------------------------------------------------------- */

/**
 * struct l3l2q_process_ref - a process that may have gone since
 * @pid: of its thread group, or NULL
 * @uid: its real user
 * @comm: its name
 */
struct l3l2q_process_ref {
	struct pid *pid;
	kuid_t uid;
	char comm[TASK_COMM_LEN];
};

/* ---- watches ------------------------------------------------------------ */

/**
 * struct l3l2q_watch - somebody to be told once something holds
 * @node: in l3l2q_endpoint.watches
 * @bits: of l3l2q_control.armed: any of them arms the watch
 * @events: L3L2Q_EVENT_* that fire it
 * @nr_conditions: length of @conditions
 * @conditions: counters that fire it; their observed values are kept up to date
 * @names: bits of L3L2Q_WAIT_INTERRUPTED: INTERRUPT ends it for these
 * @place: what it takes of l3l2q_endpoint.waits: a half, or L3L2Q_HALVES
 * @task: a sleeping WAIT to wake, or
 * @eventfd: an eventfd to signal
 * @deadline: of a WAIT; KTIME_MAX: none
 * @expired: result: it has passed, and nothing holds
 * @interrupted: result: INTERRUPT has ended it
 * @fired: a WAIT's results are final and it is on no list: nobody else touches
 *	it any more
 * @revents: result: events that held
 * @index: result: first condition that held, or -1
 *
 * All of it is protected by the lock of the endpoint on whose list it is. The
 * task of a WAIT reads @fired without, and is done if that is set.
 */
struct l3l2q_watch {
	struct list_head node;
	u32 bits;
	u32 events;
	u32 nr_conditions;
	struct l3l2q_condition *conditions;
	u32 names;
	u32 place;
	struct task_struct *task;
	struct eventfd_ctx *eventfd;
	ktime_t deadline;
	bool expired;
	bool interrupted;
	bool fired;
	u32 revents;
	s32 index;
};

/* One eventfd for each of IN, OUT and ABORT, then the counter slots. */
#define L3L2Q_EVENTFDS	(L3L2Q_EVENTFD_COUNTER + L3L2Q_COUNTER_SLOTS)

/**
 * struct l3l2q_eventfd_watch - a registered eventfd
 * @watch: on the endpoint's list while watch.eventfd is set
 * @condition: what watch.conditions points to
 */
struct l3l2q_eventfd_watch {
	struct l3l2q_watch watch;
	struct l3l2q_condition condition;
};

/* ---- scanners ----------------------------------------------------------- */

/**
 * struct l3l2q_scan_time - how much processor time was used for looks
 * @window: the current interval of time, by its number
 * @used: within @window, in ns
 * @last: within the interval before, in ns
 */
struct l3l2q_scan_time {
	u64 window;
	u64 used;
	u64 last;
};

/**
 * struct l3l2q_scan_share - what one user takes of a scanner's time
 * @node: in l3l2q_scanner.shares
 * @uid: in the initial namespace's terms
 * @regions: that name it; the last one frees it
 * @nr: endpoints in @queue, or being looked at
 * @queue: endpoints by the time they are due
 * @turn: in l3l2q_scanner.turns while @queue is not empty
 * @paid: until when looks at these endpoints have been paid for, in ns
 * @time: used for looks at these endpoints
 *
 * All of it under the scanner's lock.
 */
struct l3l2q_scan_share {
	struct list_head node;
	kuid_t uid;
	u32 regions;
	u32 nr;
	struct timerqueue_head queue;
	struct timerqueue_node turn;
	u64 paid;
	struct l3l2q_scan_time time;
};

/**
 * struct l3l2q_scanner - wakes those whose peer only loads and stores
 * @lock: never held while watches are looked at; never with those of endpoints
 * @turns: shares by the time that their next look is due and paid for
 * @shares: of all users
 * @nr_active: shares that have endpoints to look at
 * @looking: the endpoint that the tick looks at, without @lock
 * @again: it was added meanwhile
 * @time: used for all looks
 * @carry: spent since the last look, not accounted for yet; of the tick
 * @timer: armed while @turns is not empty; started under @lock only
 */
struct l3l2q_scanner {
	spinlock_t lock;	/* all but @carry; taken in softirqs */
	struct timerqueue_head turns;
	struct list_head shares;
	u32 nr_active;
	struct l3l2q_endpoint *looking;
	bool again;
	struct l3l2q_scan_time time;
	u64 carry;
	struct hrtimer timer;
};

/** enum l3l2q_sleepers - what a scanner has to know of an endpoint */
enum l3l2q_sleepers {
	L3L2Q_SLEEPERS_NONE,	/* nobody sleeps */
	L3L2Q_SLEEPERS_WAIT,	/* and have to go on */
	L3L2Q_SLEEPERS_READY,	/* and can be woken */
};

/* ---- endpoints ---------------------------------------------------------- */

/**
 * struct l3l2q_waits - what the WAITs that sleep on an endpoint take up
 * @nr: those without a kept place
 * @conditions: of those
 * @kept: one that sleeps in the place kept for its half, for each half
 */
struct l3l2q_waits {
	u32 nr;
	u32 conditions;
	bool kept[L3L2Q_HALVES];
};

/**
 * struct l3l2q_endpoint - one role of a region
 * @region: that it is a part of
 * @peer: the other one
 * @control: the page its owner writes and its peer reads
 * @role: enum l3l2q_role
 * @creator: CREATE returned it, hence it may OPEN_PEER
 * @state: enum l3l2q_state; written under @lock, mirrored in the status page
 * @peer_kind: enum l3l2q_peer_kind; written under the scanner's lock
 * @lock: taken in process context and softirqs, never in interrupts, so that these
 *	stay on while watches are looked at; nests outside those of eventfds, never
 *	with the scanner's; those of two endpoints never nest
 * @watches: struct l3l2q_watch; empty and staying so once ended; under @lock
 * @waits: counts those of @watches that are WAITs; under @lock
 * @interrupted: bits of L3L2Q_WAIT_INTERRUPTED that INTERRUPT was called for and no
 *	WAIT has returned for; written under @lock
 * @timer_at: when it goes off, if a WAIT has not ended by then that needs it;
 *	KTIME_MAX: never; written under @lock
 * @wq: poll, select and epoll
 * @timer: wakes WAITs at their deadlines; started under @lock only
 * @wake_later: wakes on behalf of an interrupt handler
 * @eventfds: registered ones; under @lock
 * @mm: the address space it is attached to, while ATTACHED; written under @lock
 * @nr_mappings: VMAs of the counters in @mm; under @lock
 * @process: that attached it, from then on; written under @lock
 * @aborted_dead: the driver has set its abort flag, because it died; written under @lock
 * @woken: when somebody of this role was woken last, as ktime_get_coarse_ns(), or 0
 * @stats: indexed by enum l3l2q_stat: those that its own calls count, then those
 *	that its peer and the kernel do
 * @scan: in the queue of its user's share, by the time it is due; under the
 *	scanner's lock
 * @scan_queued: it is; written under the scanner's lock
 * @period_ns: current polling period; under the scanner's lock
 * @min_ns: shortest polling period; under the scanner's lock
 * @max_ns: longest polling period; under the scanner's lock
 *
 * What one side writes often and the other does not is on lines of its own.
 */
struct l3l2q_endpoint {
	struct l3l2q_region *region;
	struct l3l2q_endpoint *peer;
	struct l3l2q_control *control;
	enum l3l2q_role role;
	bool creator;
	u32 state;
	u32 peer_kind;

	/* ends, attachment, watches */
	spinlock_t lock ____cacheline_aligned_in_smp;
	struct list_head watches;
	struct l3l2q_waits waits;
	u32 interrupted;
	ktime_t timer_at;
	u64 woken;
	wait_queue_head_t wq;

	struct hrtimer timer ____cacheline_aligned_in_smp;
	struct tasklet_struct wake_later;
	struct l3l2q_eventfd_watch eventfds[L3L2Q_EVENTFDS];

	struct mm_struct *mm ____cacheline_aligned_in_smp;
	unsigned int nr_mappings;
	/* With 64-byte lines the seventh starts another one. */
	atomic64_t stats[L3L2Q_STATS_NR];

	struct timerqueue_node scan ____cacheline_aligned_in_smp;
	bool scan_queued;
	u32 period_ns;
	u32 min_ns;
	u32 max_ns;

	struct l3l2q_process_ref process;
	bool aborted_dead;
};

/* ---- regions ------------------------------------------------------------ */

/**
 * struct l3l2q_words - the counter range as the kernel reaches it
 * @mem: in memory, cached, or
 * @io: in a device
 */
struct l3l2q_words {
	s32 *mem;
	s32 __iomem *io;
};

/**
 * struct l3l2q_backend_ops - where a region's payload and counters come from
 * @id: enum l3l2q_backend
 * @name: for people
 * @feature: L3L2Q_FEATURE_*
 * @flags: L3L2Q_CREATE_* that CREATE takes
 * @foreign: the memory is not the kernel's: it is not charged as such, and it can
 *	be revoked
 * @window: the memory is a part of a window, and charged as such
 * @two_sources: payload and counters can have a source each
 * @init: at module load; may be NULL
 * @exit: undo @init; may be NULL
 * @alloc: validate l3l2q_create.source, .source_bytes and with @two_sources
 *	.counter_source and .counter_source_bytes; take zeroed memory for
 *	l3l2q_region.payload_bytes and .counter_bytes; set .live, .scanner and
 *	.backing, and where the defaults are wrong .memory, .payload_base,
 *	.counter_base and .peer_kind. Once .live is set the memory may be revoked,
 *	even before this returns. May sleep
 * @free: undo @alloc, also when the memory was revoked; may sleep
 * @payload_page: page @index of a payload that is ordinary memory, which users may
 *	pin for longer than the region lives; NULL if it is not
 * @payload_pfn: page frame of the payload's page @index; under .revoke
 * @counters_pfn: page frame of the counters' page @index; under .revoke
 * @mmap: have the memory's owner map @pgoff pages from its start on; NULL where
 *	the two above are there. Such a role is attached by its own control page
 * @ring: ring the device for this region; in any context, never once revoked;
 *	NULL if there is no doorbell
 * @arm: somebody may sleep in this region until the device interrupts; in any
 *	context, also under an endpoint's lock; the caller has queued the sleeper,
 *	with a full barrier since, and makes another one before it looks; may be NULL
 * @lost: a counter in a device reads as all ones or zero: if the device is gone,
 *	see to it that the region is revoked, and return true; in any context; may
 *	be NULL
 */
struct l3l2q_backend_ops {
	u32 id;
	const char *name;
	u64 feature;
	u32 flags;
	bool foreign;
	bool window;
	bool two_sources;
	int (*init)(void);
	void (*exit)(void);
	int (*alloc)(struct l3l2q_region *region, const struct l3l2q_create *cmd);
	void (*free)(struct l3l2q_region *region);
	struct page *(*payload_page)(struct l3l2q_region *region,
				     unsigned long index);
	unsigned long (*payload_pfn)(struct l3l2q_region *region,
				     unsigned long index);
	unsigned long (*counters_pfn)(struct l3l2q_region *region,
				      unsigned long index);
	int (*mmap)(struct l3l2q_region *region, struct vm_area_struct *vma,
		    unsigned long pgoff);
	void (*ring)(struct l3l2q_region *region);
	void (*arm)(struct l3l2q_region *region);
	bool (*lost)(struct l3l2q_region *region, s32 seen);
};

/**
 * struct l3l2q_region - memory that two roles share
 * @ref: one for each endpoint's file
 * @id: unique while the module is loaded, never 0
 * @version: magic_version of its scalars
 * @binding: enum l3l2q_binding
 * @share_addresses: device addresses are shown to both ends
 * @identity: how the binding names it
 * @tag: for people; NUL-terminated
 * @creator: the process that made it
 * @user_ns: that this process was in
 * @created: when, as ktime_get_coarse_ns()
 * @ops: its backend
 * @backing: the backend's own
 * @scanner: that of its backend or device
 * @share: its user's part of @scanner's time
 * @inode: whose mapping all of its files use: unmapping hits nobody else; of @view
 * @view: how observers reach it
 * @account: the users that it is charged to
 * @bytes: how much memory it is
 * @payload_bytes: size of the payload range
 * @counter_bytes: size of the counter range
 * @payload_base: the payload's address as the device sees it, or 0
 * @counter_base: the counters' address as the device sees it, or 0
 * @memory: enum l3l2q_memory of payload and counters
 * @is_device: payload and counters are a device's, not RAM
 * @peer_kind: enum l3l2q_peer_kind: how the creator's peer behaves if the creator
 *	does not say; _RINGS if there are interrupts
 * @layout: of the queue; depth 0 in a raw region
 * @words: &.live or, once revoked, &.tomb_words; under RCU
 * @live: the counter range
 * @tomb_words: what is left of it
 * @status: the page that all read and only the kernel writes
 * @tomb_counters: of a foreign region: what takes the counters' place, in a
 *	copy for each role
 * @tomb_payload: of a foreign region: the page that takes the place of each of
 *	the payload's
 * @revoke: faults hold it for reading, so that the memory can be replaced under
 *	them
 * @revoked: has been replaced; written under @revoke
 * @removal: enum l3l2q_removal: why; written under @revoke
 * @last_abort: of each role: its abort flag as last seen before; written under @revoke
 * @ep: the roles
 */
struct l3l2q_region {
	struct kref ref;
	u64 id;
	u64 version;
	u32 binding;
	bool share_addresses;
	u64 identity[2];
	u8 tag[L3L2Q_TAG_BYTES];
	struct l3l2q_process_ref creator;
	struct user_namespace *user_ns;
	u64 created;
	const struct l3l2q_backend_ops *ops;
	void *backing;
	struct l3l2q_scanner *scanner;
	struct l3l2q_scan_share *share;
	struct inode *inode;
	struct l3l2q_view *view;
	struct l3l2q_account *account;
	u64 bytes;
	u64 payload_bytes;
	u64 counter_bytes;
	u64 payload_base;
	u64 counter_base;
	u32 memory;
	bool is_device;
	u32 peer_kind;
	struct l3l2q_layout layout;
	struct l3l2q_words __rcu *words;
	struct l3l2q_words live;
	struct l3l2q_words tomb_words;
	struct l3l2q_status *status;
	s32 *tomb_counters[L3L2Q_ROLES];
	void *tomb_payload;
	struct rw_semaphore revoke;
	bool revoked;
	u32 removal;
	s32 last_abort[L3L2Q_ROLES];
	struct l3l2q_endpoint ep[L3L2Q_ROLES];
};

static inline bool l3l2q_region_is_raw(const struct l3l2q_region *region)
{
	return !region->layout.depth;
}

static inline bool l3l2q_region_removed(const struct l3l2q_region *region)
{
	/* Whoever sets it wakes everybody afterwards; nothing to order. */
	return READ_ONCE(region->status->removed);
}

static inline struct l3l2q_endpoint *l3l2q_peer(struct l3l2q_endpoint *ep)
{
	return ep->peer;
}

static inline u32 l3l2q_endpoint_state(const struct l3l2q_endpoint *ep)
{
	/* Pairs with l3l2q_endpoint_set_state(): what led to it is visible. */
	return smp_load_acquire(&ep->state);
}

static inline bool l3l2q_endpoint_ended(const struct l3l2q_endpoint *ep)
{
	return l3l2q_endpoint_state(ep) >= L3L2Q_STATE_DETACHED;
}

/* Another process has attached it than the one that calls. */
static inline bool l3l2q_endpoint_is_foreign(const struct l3l2q_endpoint *ep)
{
	const struct mm_struct *mm = READ_ONCE(ep->mm);

	return mm && mm != current->mm;
}

static inline void l3l2q_stat_inc(struct l3l2q_endpoint *ep,
				  enum l3l2q_stat stat)
{
	atomic64_inc(&ep->stats[stat]);
}

/* ---- windows ------------------------------------------------------------ */

/**
 * struct l3l2q_window - a range of a device's memory that pieces are taken from
 * @start: its physical address
 * @bytes: its size
 * @memory: enum l3l2q_memory: how it is mapped
 * @mem: all of it if it is cached, else NULL
 * @pool: what is free
 */
struct l3l2q_window {
	phys_addr_t start;
	u64 bytes;
	u32 memory;
	void *mem;
	struct gen_pool *pool;
};

/* main.c */
struct device *l3l2q_device(void);

/* region.c */
u64 l3l2q_region_magic(u32 version);
struct l3l2q_region *
l3l2q_region_create(const struct l3l2q_create *cmd,
		    const struct l3l2q_layout *layout,
		    const struct l3l2q_backend_ops *ops);
void l3l2q_inode_put(struct inode *inode);
bool l3l2q_region_get(struct l3l2q_region *region);
void l3l2q_region_put(struct l3l2q_region *region);
u64 l3l2q_max_region_bytes(void);
struct l3l2q_account *l3l2q_account_get(struct l3l2q_account *account);
void l3l2q_account_put(struct l3l2q_account *account);
int l3l2q_region_charge(struct l3l2q_region *region, u64 bytes);
void l3l2q_region_uncharge(struct l3l2q_region *region, u64 bytes);
u64 l3l2q_max_user_bytes(void);
u64 l3l2q_max_user_window_bytes(void);
u32 l3l2q_max_user_regions(void);

/* revoke.c */
int l3l2q_tomb_alloc(struct l3l2q_region *region);
void l3l2q_tomb_free(struct l3l2q_region *region);
unsigned long l3l2q_tomb_pfn(const struct l3l2q_endpoint *ep,
			     enum l3l2q_part part, unsigned long index);
void l3l2q_region_revoke(struct l3l2q_region *region, enum l3l2q_removal why);
bool l3l2q_region_live(const struct l3l2q_region *region);

/* backend.c */
extern struct l3l2q_scanner l3l2q_host_scanner;	/* of all that is no device */
const struct l3l2q_backend_ops *l3l2q_backend(u32 id);
u64 l3l2q_backend_features(void);
void l3l2q_backends_list(char *names, size_t size);
int l3l2q_backends_init(void);
void l3l2q_backends_exit(void);

/* ram.c */
extern const struct l3l2q_backend_ops l3l2q_ram_ops;

/* pci.c */
#if defined(CONFIG_PCI) && defined(CONFIG_GENERIC_ALLOCATOR)
#define L3L2Q_WITH_PCI
extern const struct l3l2q_backend_ops l3l2q_pci_ops;
u32 l3l2q_pci_nr_devices(void);
u64 l3l2q_pci_window_bytes(void);
int l3l2q_pci_query_device(struct l3l2q_query_device *cmd);
#else
static inline u32 l3l2q_pci_nr_devices(void)
{
	return 0;
}

static inline u64 l3l2q_pci_window_bytes(void)
{
	return 0;
}

static inline int l3l2q_pci_query_device(struct l3l2q_query_device *cmd)
{
	return -ENODEV;
}
#endif

/* window.c */
int l3l2q_window_init(struct l3l2q_window *window, u32 memory, int nid);
void l3l2q_window_fini(struct l3l2q_window *window);
u64 l3l2q_window_avail(const struct l3l2q_window *window);
int l3l2q_window_alloc(struct l3l2q_window *window, u64 bytes, u64 *offset);
void l3l2q_window_free(struct l3l2q_window *window, u64 offset, u64 bytes);
int l3l2q_window_map(const struct l3l2q_window *window, u64 offset, u64 bytes,
		     struct l3l2q_words *words);
void l3l2q_window_unmap(struct l3l2q_words *words);
int l3l2q_window_clear(const struct l3l2q_window *window, u64 offset, u64 bytes,
		       const bool *stop, bool killable);
unsigned long l3l2q_window_pfn(const struct l3l2q_window *window, u64 offset,
			       unsigned long index);

/* dmabuf.c */
extern const struct l3l2q_backend_ops l3l2q_dmabuf_ops;

/* ascend.c */
extern const struct l3l2q_backend_ops l3l2q_ascend_ops;

/* ---- ioctls ------------------------------------------------------------- */

/**
 * struct l3l2q_ucmd - one ioctl call
 * @user: the caller's structure
 * @user_size: its size there
 * @size: its size here
 * @cmd: the validated copy, @size bytes, for the operation to fill in
 * @flags: of the structure, or the plain argument of an ioctl without one
 * @ep: the endpoint it was called on, NULL on a context
 */
struct l3l2q_ucmd {
	void __user *user;
	u32 user_size;
	u32 size;
	void *cmd;
	unsigned long flags;
	struct l3l2q_endpoint *ep;
};

/**
 * struct l3l2q_ioctl - how one ioctl is called; in tables indexed by _IOC_NR()
 * @size: of its structure, 0 if it has a plain argument of flags
 * @min_size: of its structure when it was first released
 * @flags: that it knows
 * @who: L3L2Q_CALL_*: when it is refused
 * @execute: the operation, NULL for a hole in the table; calls
 *	l3l2q_ucmd_respond() if it has results
 */
struct l3l2q_ioctl {
	u32 size;
	u32 min_size;
	u32 flags;
	u32 who;
	int (*execute)(struct l3l2q_ucmd *ucmd);
};

#define L3L2Q_CALL_LIVE		BIT(0)	/* once the endpoint has ended */
#define L3L2Q_CALL_OWNER	BIT(1)	/* in a process that is not the attached one */

/* _min stays when the structure grows, so it is a number. */
#define L3L2Q_IOCTL(_struct, _min, _flags, _who, _execute)		\
	{								\
		.size = sizeof(struct _struct),				\
		.min_size = (_min),					\
		.flags = (_flags),					\
		.who = (_who),					\
		.execute = (_execute),					\
	}

#define L3L2Q_IOCTL_PLAIN(_flags, _who, _execute)			\
	{								\
		.flags = (_flags),					\
		.who = (_who),					\
		.execute = (_execute),					\
	}

/* ioctl.c */
long l3l2q_ioctl(const struct l3l2q_ioctl *table, unsigned int nr,
		 struct l3l2q_endpoint *ep, unsigned int cmd,
		 unsigned long arg);
int l3l2q_ucmd_respond(const struct l3l2q_ucmd *ucmd);
int l3l2q_file_publish(const char *name, const struct file_operations *fops,
		       void *data, int flags, const struct l3l2q_region *region,
		       const struct l3l2q_ucmd *ucmd, s32 *fd);

/* ctx.c */
extern const struct file_operations l3l2q_ctx_fops;

/* endpoint.c */
int l3l2q_endpoint_publish(struct l3l2q_endpoint *ep,
			   const struct l3l2q_ucmd *ucmd, s32 *fd);
void l3l2q_endpoint_set_state(struct l3l2q_endpoint *ep, u32 state);
int l3l2q_endpoint_end(struct l3l2q_endpoint *ep, u32 state);
void l3l2q_endpoint_add_gone(struct l3l2q_endpoint *ep, u32 gone);
void l3l2q_endpoint_tell_abort(struct l3l2q_endpoint *ep);
bool l3l2q_endpoint_aborted(const struct l3l2q_endpoint *ep);

/* observe.c */
void l3l2q_process_get(struct l3l2q_process_ref *process);
void l3l2q_process_put(const struct l3l2q_process_ref *process);
int l3l2q_observe_join(struct l3l2q_region *region);
void l3l2q_observe_leave(struct l3l2q_region *region);
struct l3l2q_region *l3l2q_observe_get(u64 id);
#ifdef CONFIG_PROC_FS
const char *l3l2q_state_name(u32 state);
const char *l3l2q_peer_kind_name(u32 kind);
void l3l2q_region_show_fdinfo(struct seq_file *m, struct l3l2q_region *region);
#endif
int l3l2q_ioctl_query_region(struct l3l2q_ucmd *ucmd);

/* observer.c */
struct l3l2q_view *l3l2q_view_new(struct l3l2q_region *region,
				  struct inode *inode);
void l3l2q_view_close(struct l3l2q_view *view);
void l3l2q_view_put(struct l3l2q_view *view);
u32 l3l2q_view_observers(const struct l3l2q_view *view);
int l3l2q_ioctl_observe(struct l3l2q_ucmd *ucmd);

/* map.c */
u64 l3l2q_part_length(const struct l3l2q_region *region, enum l3l2q_part part);
unsigned long l3l2q_part_pfn(struct l3l2q_region *region,
			     enum l3l2q_part part, unsigned long index);
pgprot_t l3l2q_memory_prot(const struct l3l2q_region *region, pgprot_t prot);
int l3l2q_endpoint_mmap(struct file *file, struct vm_area_struct *vma);
bool l3l2q_is_cached(const void *mem);

/* counter.c */

/* One counter, for who holds l3l2q_region.words under RCU. */
static inline s32 l3l2q_words_read(const struct l3l2q_words *words, u64 offset)
{
	if (words->io)
		return readl(words->io + offset / sizeof(s32));
	/* With l3l2q_counter_write() and releases in user space. */
	return smp_load_acquire(&words->mem[offset / sizeof(s32)]);
}

s32 l3l2q_counter_read(const struct l3l2q_region *region, u64 offset);
void l3l2q_counter_write(struct l3l2q_region *region, u64 offset, s32 value);
int l3l2q_condition_check(const struct l3l2q_region *region,
			  struct l3l2q_condition *condition);
int l3l2q_ioctl_notify(struct l3l2q_ucmd *ucmd);
int l3l2q_ioctl_test(struct l3l2q_ucmd *ucmd);

/* wake.c */
u32 l3l2q_look(struct l3l2q_endpoint *ep, u32 want);
u32 l3l2q_armed(const struct l3l2q_endpoint *ep);
size_t l3l2q_watches(struct l3l2q_endpoint *ep);
bool l3l2q_watch_look(struct l3l2q_endpoint *ep, struct l3l2q_watch *watch);
void l3l2q_wake_init(struct l3l2q_endpoint *ep);
void l3l2q_wake_fini(struct l3l2q_endpoint *ep);
int l3l2q_watch_start(struct l3l2q_endpoint *ep, struct l3l2q_watch *watch);
void l3l2q_watch_stop(struct l3l2q_endpoint *ep, struct l3l2q_watch *watch);
bool l3l2q_interrupted(struct l3l2q_endpoint *ep,
		       const struct l3l2q_watch *watch);
void l3l2q_watches_interrupt(struct l3l2q_endpoint *ep);
u32 l3l2q_unfenced(const struct l3l2q_endpoint *ep, u32 bits);
void l3l2q_arm(struct l3l2q_endpoint *ep, u32 bits);
u32 l3l2q_arm_watches(struct l3l2q_endpoint *ep, u32 bits);
void l3l2q_wake(struct l3l2q_endpoint *ep, bool force);
void l3l2q_wake_peer(struct l3l2q_endpoint *ep, bool force);
bool l3l2q_device_interrupt(struct l3l2q_region *region);
enum l3l2q_sleepers l3l2q_sleepers(struct l3l2q_endpoint *ep);

/* wait.c */
__poll_t l3l2q_endpoint_poll(struct file *file, poll_table *pt);
int l3l2q_ioctl_wait(struct l3l2q_ucmd *ucmd);
int l3l2q_ioctl_arm(struct l3l2q_ucmd *ucmd);
int l3l2q_ioctl_kick(struct l3l2q_ucmd *ucmd);
int l3l2q_ioctl_interrupt(struct l3l2q_ucmd *ucmd);

/* eventfd.c */
void l3l2q_eventfds_drop(struct l3l2q_endpoint *ep);
int l3l2q_ioctl_eventfd(struct l3l2q_ucmd *ucmd);

/* export.c */
#ifdef CONFIG_DMA_SHARED_BUFFER
int l3l2q_ioctl_export_dmabuf(struct l3l2q_ucmd *ucmd);
#endif

/* scan.c */
u32 l3l2q_scan_lowest_ns(void);
u32 l3l2q_scan_highest_ns(void);
u32 l3l2q_scan_user_min_ns(void);
u32 l3l2q_scan_tick_regions(void);
int l3l2q_scanner_init(struct l3l2q_scanner *scanner);
void l3l2q_scanner_fini(struct l3l2q_scanner *scanner);
int l3l2q_scan_join(struct l3l2q_region *region);
void l3l2q_scan_leave(struct l3l2q_region *region);
void l3l2q_scan_init(struct l3l2q_endpoint *ep, u32 peer_kind);
void l3l2q_scan_add(struct l3l2q_endpoint *ep);
void l3l2q_scan_del(struct l3l2q_endpoint *ep);
void l3l2q_scan_peer_attached(struct l3l2q_endpoint *ep);
int l3l2q_ioctl_set_polling(struct l3l2q_ucmd *ucmd);

#endif /* _L3L2Q_INTERNAL_H */
