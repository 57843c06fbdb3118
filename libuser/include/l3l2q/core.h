/* SPDX-License-Identifier: MIT */
/*
 * The queue protocol (protocol.md, sections 2 to 6), freestanding: no libc but memcpy
 * and memset, no allocation, no system call, no global. libl3l2q is built on it; a
 * program on the AICPU includes it alone and calls it directly. Without libgcc,
 * compile with -mno-outline-atomics on aarch64.
 *
 * One struct l3l2q_core is an endpoint; its producer and its consumer may be
 * used by one thread each at the same time. All memory is the caller's.
 *
 * Interface, which l3l2q_core(7) describes, are the structures as far as their comments
 * say that the caller sets or reads a member, and these functions:
 *   endpoint   l3l2q_core_init_scalars(), l3l2q_core_init(), l3l2q_core_start(),
 *              l3l2q_core_set_memory(), l3l2q_core_set_unsnooped(), l3l2q_core_status(),
 *              l3l2q_core_peer_aborted(), l3l2q_core_abort(), l3l2q_core_detach()
 *   sending    l3l2q_producer_memory(), l3l2q_core_producer_init(),
 *              l3l2q_core_try_enqueue(), l3l2q_core_enqueue(), l3l2q_core_copy(),
 *              l3l2q_core_try_reserve(), l3l2q_core_reserve(), l3l2q_core_commit(),
 *              l3l2q_core_commit_direct(), l3l2q_core_cancel(), l3l2q_core_publish(),
 *              l3l2q_core_try_enqueue_run(), l3l2q_core_try_reserve_run(),
 *              l3l2q_core_commit_run()
 *   receiving  l3l2q_consumer_memory(), l3l2q_core_consumer_init(), l3l2q_core_try_peek(),
 *              l3l2q_core_peek(), l3l2q_core_try_peek_run(), l3l2q_core_peek_batch(),
 *              l3l2q_core_read_into(), l3l2q_core_release_upto(),
 *              l3l2q_core_release(), l3l2q_core_release_batch(), l3l2q_core_complete(),
 *              l3l2q_core_retire(), l3l2q_core_try_dequeue()
 * Everything else here, which programs get by l3l2q.h too, is internal and may change from
 * version to version.
 *
 * With unsnooped memory each message takes a slow path, and the core maintains the cache
 * for the queue's memory alone: what AICore kernels and a program's other memory need is
 * the program's duty.
 *
 * Functions return 0 or -errno:
 *   -EAGAIN        no progress: full, empty or window full; nothing changed
 *   -ETIMEDOUT     a blocking form ran out of time; nothing changed
 *   -EINVAL        bad argument; nothing changed
 *   -EMSGSIZE      larger than the arena or than the caller's buffer; nothing changed
 *   -ESHUTDOWN     STOP was published before; nothing changed
 *   -EPIPE         the other side has detached; nothing changed
 * and, from then on always, the endpoint's first error:
 *   -EPROTO        BAD_DESCRIPTOR: the scalars were refused
 *   -EBADMSG       INVALID_DESCRIPTOR: the peer broke the protocol
 *   -ESTALE        OWNERSHIP: this side used a handle or a reservation that it does not own
 *   -ECONNABORTED  REMOTE_ABORTED: the peer aborted, died or was removed
 *   -EIO           ENDPOINT_ERROR
 */
#ifndef L3L2Q_CORE_H
#define L3L2Q_CORE_H

#include <linux/errno.h>
#include <linux/l3l2q.h>
#include <l3l2q/memory.h>
#include <l3l2q/types.h>

#define L3L2Q_CACHE_LINE 64
#define L3L2Q_ALIGNED __attribute__((aligned(L3L2Q_CACHE_LINE)))
/* A slow path: kept out of line so that the fast paths stay short. */
#define L3L2Q_SLOW static __attribute__((noinline, unused))
/* A fast path that is inlined wherever it is called: the compiler may think it too long. */
#define L3L2Q_FAST static inline __attribute__((always_inline))
/* Before the loop over the descriptors of a run, which is short. */
#if defined(__clang__)
#define L3L2Q_UNROLL _Pragma("clang loop unroll_count(4)")
#else
#define L3L2Q_UNROLL _Pragma("GCC unroll 4")
#endif
#define l3l2q_likely(x) ((int)__builtin_expect(!!(x), 1))
#define l3l2q_unlikely(x) ((int)__builtin_expect(!!(x), 0))

/* ---- shared memory ----------------------------------------------------- */

/*
 * A counter store publishes all writes before it; a counter load orders all
 * reads after it. A store on one side pairs with a load on the other. These two are for
 * cached memory; l3l2q_core_store() and l3l2q_core_load() work on every memory type.
 */
static inline void l3l2q_store_counter(__s32 *counter, __u32 value)
{
	__atomic_store_n(counter, (__s32)value, __ATOMIC_RELEASE);
}

static inline __u32 l3l2q_load_counter(const __s32 *counter)
{
	return (__u32)__atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

/* Orders a counter store before the load of the peer's armed word. */
static inline void l3l2q_full_barrier(void)
{
#if defined(__x86_64__)
	__asm__ volatile("lock; orl $0, -4(%%rsp)" ::: "memory", "cc");
#elif defined(__aarch64__)
	__asm__ volatile("dmb ish" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline void l3l2q_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__asm__ volatile("pause" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/*
 * A time stamp that is cheaper than a clock; it limits how often the kernel is asked.
 * Where the processor has none, a constant below L3L2Q_ASK_NEVER: every call may ask.
 */
static inline __u64 l3l2q_ticks(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	__u64 ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return ~(__u64)0 - 1;
#endif
}

#define L3L2Q_ASK_NEVER (~(__u64)0)

/* ---- endpoint ---------------------------------------------------------- */

struct l3l2q_core;
struct l3l2q_consumer;

/* Maintenance of the cache lines of @n bytes; returns once it is complete (dsb sy). */
typedef void (*l3l2q_cache_fn)(const void *address, __u64 n);

/**
 * struct l3l2q_access - how the library reaches memory that is not mapped
 * @read: copy out of the region; @from is an address in it
 * @write: copy into the region; @to is an address in it
 * @read_body: copy the body of a held message out
 *
 * Of the region only the rings have memory behind their addresses: private copies.
 */
struct l3l2q_access {
	void (*read)(const struct l3l2q_core *core, void *to, const void *from, __u64 n);
	void (*write)(const struct l3l2q_core *core, void *to, const void *from, __u64 n);
	void (*read_body)(const struct l3l2q_consumer *c, const struct l3l2q_message *held,
			  void *to);
};

/**
 * struct l3l2q_core - one side of a queue
 * @payload: first byte of the payload range
 * @counters: first byte of the counter range, 64-byte aligned
 * @removed: word that is non-zero once the memory is gone, or NULL
 * @gone: word of L3L2Q_GONE_* that becomes non-zero when the peer ends; points to
 *	@never_gone if only the abort flag reports that
 * @tx_end: the producer's copy of @gone, which an error replaces by @failing; or NULL
 * @rx_failed: the consumer's word that an error sets; or NULL
 * @control: own readiness words, or NULL on polled memory. Private memory if the
 *	peer can write the shared words
 * @armed: own armed word, the first one of the control page that the peer reads; NULL
 *	on polled memory
 * @peer_armed: the peer's armed word, or NULL; a word of ones if the peer is kicked
 *	after every store
 * @layout: offsets of rings and arenas; the caller reads it
 * @region_id: the region, 0 if its description has none
 * @role: enum l3l2q_role
 * @binding: enum l3l2q_binding
 * @memory: enum l3l2q_memory of payload and counters
 * @path: enum l3l2q_path
 * @flag_tells: only the peer's abort flag reports its end; receiving calls that
 *	find no message read it
 * @never_gone: 0
 * @always: all ones
 * @failing: set by the thread that records the first error
 * @error: the first error; its kind is stored last. The caller reads it
 * @clean: writes lines back, with unsnooped memory; NULL for the instruction
 * @invalidate: drops lines, dirty ones after writing them back; NULL for the instruction
 * @access: with copied memory
 */
struct l3l2q_core {
	unsigned char *payload;
	unsigned char *counters;
	const __u32 *removed;
	const __u32 *gone;
	const __u32 **tx_end;
	__u32 *rx_failed;
	struct l3l2q_control *control;
	__u32 *armed;
	const __u32 *peer_armed;
	struct l3l2q_layout layout;
	__u64 region_id;
	__u32 role;
	__u32 binding;
	__u32 memory;
	__u32 path;
	__u32 flag_tells;
	__u32 never_gone;
	__u32 failing;
	__u32 always;
	struct l3l2q_error error;
	l3l2q_cache_fn clean;
	l3l2q_cache_fn invalidate;
	const struct l3l2q_access *access;
};

static inline __s32 *l3l2q_core_counter(const struct l3l2q_core *core, __u64 offset)
{
	return (__s32 *)(void *)(core->counters + offset);
}

/* True if stores have to be sent to the peer, and its own to be fetched. */
static inline int l3l2q_core_is_remote(const struct l3l2q_core *core)
{
	return core->memory >= L3L2Q_MEMORY_UNSNOOPED;
}

/* Make what was stored at @address visible to the peer, in remote memory. */
L3L2Q_COLD void l3l2q_core_clean(const struct l3l2q_core *core, void *address, __u64 n)
{
	if (core->memory == L3L2Q_MEMORY_COPIED)
		core->access->write(core, address, address, n);
	else if (core->clean)
		core->clean(address, n);
	else
		l3l2q_dcache_clean(address, n);
}

/* Make what the peer stored visible at @address. */
L3L2Q_COLD void l3l2q_core_invalidate(const struct l3l2q_core *core, void *address, __u64 n)
{
	if (core->memory == L3L2Q_MEMORY_COPIED)
		core->access->read(core, address, address, n);
	else if (core->invalidate)
		core->invalidate(address, n);
	else
		l3l2q_dcache_invalidate(address, n);
}

L3L2Q_COLD void l3l2q_core_store_slow(const struct l3l2q_core *core, __s32 *counter, __u32 value)
{
	if (core->memory == L3L2Q_MEMORY_COPIED) {
		core->access->write(core, counter, &value, sizeof(value));
	} else if (core->memory == L3L2Q_MEMORY_UNSNOOPED) {
		l3l2q_sync();
		__atomic_store_n(counter, (__s32)value, __ATOMIC_RELAXED);
		l3l2q_core_clean(core, counter, sizeof(*counter));
	} else {
		l3l2q_publish_uncached(core->memory, counter, value);
	}
}

L3L2Q_COLD __u32 l3l2q_core_load_slow(const struct l3l2q_core *core, const __s32 *counter)
{
	__u32 value = 0;

	if (core->memory == L3L2Q_MEMORY_COPIED) {
		core->access->read(core, &value, counter, sizeof(value));
		return value;
	}
	if (core->memory != L3L2Q_MEMORY_UNSNOOPED)
		return l3l2q_observe_uncached(counter);
	l3l2q_core_invalidate(core, (void *)(unsigned long)counter, sizeof(*counter));
	value = (__u32)__atomic_load_n(counter, __ATOMIC_RELAXED);
	l3l2q_sync();
	return value;
}

L3L2Q_COLD void l3l2q_core_copy_slow(const struct l3l2q_core *core, void *to, const void *from,
				     __u64 n)
{
	if (core->memory == L3L2Q_MEMORY_COPIED)
		core->access->write(core, to, from, n);
	else
		l3l2q_copy_to(core->path, to, from, n);
}

L3L2Q_COLD void l3l2q_core_copy_out_slow(const struct l3l2q_core *core, void *to,
					 const void *from, __u64 n)
{
	if (core->memory == L3L2Q_MEMORY_COPIED)
		core->access->read(core, to, from, n);
	else
		l3l2q_copy_from(core->path, to, from, n);
}

static inline void l3l2q_core_store(const struct l3l2q_core *core, __s32 *counter, __u32 value)
{
	if (l3l2q_likely(core->memory == L3L2Q_MEMORY_CACHED))
		l3l2q_store_counter(counter, value);
	else
		l3l2q_core_store_slow(core, counter, value);
}

static inline __u32 l3l2q_core_load(const struct l3l2q_core *core, const __s32 *counter)
{
	if (l3l2q_likely(core->memory == L3L2Q_MEMORY_CACHED))
		return l3l2q_load_counter(counter);
	return l3l2q_core_load_slow(core, counter);
}

/* Copy a body into the arena, or out of it. */
static inline void l3l2q_core_copy(const struct l3l2q_core *core, void *to, const void *from,
				   __u64 nbytes)
{
	if (l3l2q_likely(core->path == L3L2Q_PATH_CACHED))
		__builtin_memcpy(to, from, nbytes);
	else
		l3l2q_core_copy_slow(core, to, from, nbytes);
}

static inline void l3l2q_core_copy_out(const struct l3l2q_core *core, void *to,
				       const void *from, __u64 nbytes)
{
	if (l3l2q_likely(core->path == L3L2Q_PATH_CACHED))
		__builtin_memcpy(to, from, nbytes);
	else
		l3l2q_core_copy_out_slow(core, to, from, nbytes);
}

static inline int l3l2q_core_errno(__u32 kind)
{
	switch (kind) {
	case L3L2Q_ERR_NONE: return 0;
	case L3L2Q_ERR_BAD_ARGUMENT: return -EINVAL;
	case L3L2Q_ERR_BAD_DESCRIPTOR: return -EPROTO;
	case L3L2Q_ERR_INVALID_DESCRIPTOR: return -EBADMSG;
	case L3L2Q_ERR_OUT_OF_SPACE: return -ENOSPC;
	case L3L2Q_ERR_OWNERSHIP: return -ESTALE;
	case L3L2Q_ERR_REMOTE_ABORTED: return -ECONNABORTED;
	default: return -EIO;
	}
}

/*
 * 0 while the endpoint has no error, else its first one; -EPERM if there is no endpoint:
 * the library's are all zero in a forked child.
 */
static inline int l3l2q_core_status(const struct l3l2q_core *core)
{
	__u32 kind;

	if (l3l2q_unlikely(!core))
		return -EPERM;
	kind = __atomic_load_n(&core->error.kind, __ATOMIC_ACQUIRE);
	if (l3l2q_likely(kind == L3L2Q_ERR_NONE))
		return 0;
	return l3l2q_core_errno(kind);
}

/*
 * True if bits of @bits are set in a word that others write; a relaxed load, which is not
 * compiled before the accesses that precede it. No compiler makes one instruction of an
 * atomic load and a test.
 */
static inline int l3l2q_core_look(const __u32 *word, __u32 bits)
{
#if defined(__x86_64__) && defined(__GCC_ASM_FLAG_OUTPUTS__)
	int seen;

	__asm__ volatile("testl %2, %1" : "=@ccnz"(seen) : "m"(*word), "ir"(bits) : "memory");
	return seen;
#else
	__asm__ volatile("" ::: "memory");
	return (__atomic_load_n(word, __ATOMIC_RELAXED) & bits) != 0;
#endif
}

/*
 * True if neither side has ended, so that the fast paths may be taken. The slow paths read
 * the word again.
 */
static inline int l3l2q_end_is_clear(const __u32 *const *end)
{
	return l3l2q_likely(!l3l2q_core_look(__atomic_load_n(end, __ATOMIC_ACQUIRE), ~0u));
}

/* The word that a half checks, as things are when it is made. */
static inline const __u32 *l3l2q_core_end(const struct l3l2q_core *core)
{
	return core->failing ? &core->failing : core->gone;
}

/* True if the memory is cached and cannot be removed. */
static inline int l3l2q_core_is_plain(const struct l3l2q_core *core)
{
	return core->memory == L3L2Q_MEMORY_CACHED && !core->removed;
}

/* Add to a word that one thread writes and others may read. */
static inline void l3l2q_core_add(__u64 *word, __u64 n)
{
#if defined(__x86_64__)
	/* No compiler makes one instruction of it. */
	__asm__("addq %1, %0" : "+m"(*word) : "er"(n) : "cc");
#else
	__atomic_store_n(word, *word + n, __ATOMIC_RELAXED);
#endif
}

/* True if the memory was removed: bytes read before this call may be stand-ins. */
static inline int l3l2q_core_removed(const struct l3l2q_core *core)
{
	if (!core->removed)
		return 0;
	if (core->memory == L3L2Q_MEMORY_CACHED)
		l3l2q_load_barrier();
	else
		l3l2q_load_fence();
	return __atomic_load_n(core->removed, __ATOMIC_ACQUIRE) != 0;
}

/*
 * 0 if messages can still be delivered. What the peer published before its end stays
 * deliverable unless the memory was removed.
 */
static inline int l3l2q_core_check_receive(const struct l3l2q_core *core)
{
	int ret = l3l2q_core_status(core);

	return ret == -ECONNABORTED && !l3l2q_core_removed(core) ? 0 : ret;
}

static inline __s32 l3l2q_core_peer_flag(const struct l3l2q_core *core)
{
	__u32 offset = l3l2q_ctr_abort(l3l2q_peer_role((enum l3l2q_role)core->role));

	return (__s32)l3l2q_core_load(core, l3l2q_core_counter(core, offset));
}

static inline int l3l2q_core_peer_aborted(const struct l3l2q_core *core)
{
	return l3l2q_abort_is_set(l3l2q_core_peer_flag(core));
}

/*
 * True if the peer aborted or the memory was removed. A device that no longer answers
 * reads as all ones, a value that no endpoint stores in a flag.
 */
static inline int l3l2q_core_peer_gone(const struct l3l2q_core *core)
{
	__s32 flag = l3l2q_core_peer_flag(core);

	return l3l2q_abort_is_set(flag) || l3l2q_core_removed(core) ||
	       (core->memory != L3L2Q_MEMORY_CACHED && flag == -1);
}

/* Make the first error visible, which its recorder has described. */
static inline void l3l2q_core_show_error(struct l3l2q_core *core, __u32 kind)
{
	__atomic_store_n(&core->error.kind, kind, __ATOMIC_RELEASE);
	if (core->tx_end)
		__atomic_store_n(core->tx_end, &core->failing, __ATOMIC_RELEASE);
	if (core->rx_failed)
		__atomic_store_n(core->rx_failed, 1, __ATOMIC_RELEASE);
}

/* True if the caller is the first to record an error. Later errors are dropped. */
static inline int l3l2q_core_claim_error(struct l3l2q_core *core, const char *op,
					 const char *message)
{
	if (__atomic_exchange_n(&core->failing, 1, __ATOMIC_ACQ_REL))
		return 0;
	core->error.op = op;
	core->error.message = message;
	return 1;
}

static inline int l3l2q_core_set_error(struct l3l2q_core *core, __u32 kind,
				       const char *op, const char *message)
{
	if (l3l2q_core_claim_error(core, op, message))
		l3l2q_core_show_error(core, kind);
	return l3l2q_core_errno(kind);
}

/* Write back all that this side may have written but its counters, with unsnooped memory. */
static inline void l3l2q_core_write_back(const struct l3l2q_core *core)
{
	const struct l3l2q_layout *l = &core->layout;
	int input = core->role == L3L2Q_ROLE_L3;

	if (core->memory != L3L2Q_MEMORY_UNSNOOPED)
		return;
	l3l2q_core_clean(core, core->payload +
			 (input ? l->input_desc_offset : l->output_desc_offset),
			 l->depth * sizeof(struct l3l2q_desc));
	l3l2q_core_clean(core, core->payload +
			 (input ? l->input_arena_offset : l->output_arena_offset),
			 input ? l->input_arena_bytes : l->output_arena_bytes);
}

/*
 * End this side with its abort flag set. The flag is stored before the error becomes
 * visible: a thread that sees the error kicks the peer, which then reads the flag.
 */
static inline int l3l2q_core_abort(struct l3l2q_core *core, __u32 kind,
				   const char *op, const char *message)
{
	__u32 flag = l3l2q_ctr_abort((enum l3l2q_role)core->role);
	int first = l3l2q_core_claim_error(core, op, message);

	l3l2q_core_store(core, l3l2q_core_counter(core, flag), 1);
	l3l2q_core_write_back(core);
	if (first)
		l3l2q_core_show_error(core, kind);
	return l3l2q_core_errno(kind);
}

static inline int l3l2q_core_remote_abort(struct l3l2q_core *core, const char *op)
{
	return l3l2q_core_set_error(core, L3L2Q_ERR_REMOTE_ABORTED, op,
				    l3l2q_core_removed(core) ? "the region was removed"
							     : "the peer aborted or died");
}

/*
 * 0 while the peer lives; -ECONNABORTED, which is recorded, or -EPIPE after its end.
 * @gone is the value that core->gone had before the queue was last read.
 */
static inline int l3l2q_core_check_peer(struct l3l2q_core *core, __u32 gone, const char *op)
{
	if (gone & (L3L2Q_GONE_ABORTED | L3L2Q_GONE_REMOVED))
		return l3l2q_core_remote_abort(core, op);
	return gone ? -EPIPE : 0;
}

/* The current value of core->gone. */
static inline __u32 l3l2q_core_gone_word(const struct l3l2q_core *core)
{
	return __atomic_load_n(core->gone, __ATOMIC_ACQUIRE);
}

/* The same for a receiving call, which also reads the abort flag where only it tells. */
static inline __u32 l3l2q_core_gone(const struct l3l2q_core *core)
{
	__u32 gone = l3l2q_core_gone_word(core);

	if (!gone && core->flag_tells && l3l2q_core_peer_aborted(core))
		gone = L3L2Q_GONE_ABORTED;
	return gone;
}

/*
 * Record an error that shared state depends on and set our abort flag. If the peer has
 * ended, the error is a consequence of that and becomes a remote abort.
 */
static inline int l3l2q_core_poison(struct l3l2q_core *core, __u32 kind,
				    const char *op, const char *message)
{
	int ret = l3l2q_core_status(core);

	if (ret)
		return ret;
	if (l3l2q_core_peer_gone(core))
		return l3l2q_core_remote_abort(core, op);
	return l3l2q_core_abort(core, kind, op, message);
}

/* The result of a blocking form whose time is over: the peer may have aborted. */
static inline int l3l2q_core_timed_out(struct l3l2q_core *core, const char *op)
{
	if (l3l2q_core_removed(core) || l3l2q_core_peer_aborted(core))
		return l3l2q_core_remote_abort(core, op);
	return -ETIMEDOUT;
}

/* What follows a counter store: l3l2q_producer.fence and l3l2q_consumer.fence. */
enum l3l2q_fence {
	L3L2Q_FENCE_ALWAYS,	/* a full barrier */
	L3L2Q_FENCE_YET,	/* one, until the peer says that it asks for it */
	L3L2Q_FENCE_ON_REQUEST,	/* one if the peer asks for it */
};

/* Armed bits that matter after a store of the tail, or of the head. */
#define L3L2Q_SEE_TAIL	(L3L2Q_ARM_TAIL | L3L2Q_ARM_REQ_TAIL)
#define L3L2Q_SEE_HEAD	(L3L2Q_ARM_HEAD | L3L2Q_ARM_REQ_HEAD)

/*
 * The word that a half looks at after a counter store, before it fences on request: one of
 * ones, so that it goes on to fence, or on polled memory one of zeroes.
 */
static inline const __u32 *l3l2q_core_fenced_watch(const struct l3l2q_core *core)
{
	return core->peer_armed ? &core->always : &core->never_gone;
}

/*
 * From the next store on fence on request. The barrier pairs with the one of a sleeper
 * between its request and its load of the word that is stored here.
 */
L3L2Q_COLD void l3l2q_core_unfence(const struct l3l2q_core *core, const __u32 **watch, __u8 *fence,
				   __u32 see)
{
	struct l3l2q_control *shared = (struct l3l2q_control *)(void *)core->armed;

	*fence = L3L2Q_FENCE_ON_REQUEST;
	*watch = core->peer_armed;
	__atomic_store_n(see & L3L2Q_ARM_REQ_TAIL ? &shared->tail_unfenced : &shared->head_unfenced,
			 1, __ATOMIC_RELAXED);
	l3l2q_full_barrier();
}

/*
 * The event bits of @see that the peer has armed, behind a full barrier, which pairs with
 * the one between arming and the last look.
 */
L3L2Q_COLD __u32 l3l2q_core_wants_kick_fenced(const struct l3l2q_core *core, const __u32 **watch,
					      __u8 *fence, __u32 see)
{
	const __u32 *armed = __atomic_load_n(&core->peer_armed, __ATOMIC_RELAXED);
	__u32 bits;

	if (!armed) /* polled memory: nobody sleeps */
		return 0;
	l3l2q_full_barrier();
	bits = __atomic_load_n(armed, __ATOMIC_RELAXED);
	if (l3l2q_unlikely(*fence == L3L2Q_FENCE_YET && bits & L3L2Q_ARM_ASKS))
		l3l2q_core_unfence(core, watch, fence, see);
	return bits & see & L3L2Q_ARM_EVENTS;
}

/*
 * After a store to the own control page that raises readiness, and a full barrier: the
 * bits of @events that another thread of this side has armed.
 */
static inline __u32 l3l2q_core_wants_self_kick(const struct l3l2q_core *core, __u32 events)
{
	if (!core->armed || !__atomic_load_n(&core->peer_armed, __ATOMIC_RELAXED))
		return 0;
	return __atomic_load_n(core->armed, __ATOMIC_RELAXED) & events;
}

static inline const char *l3l2q_check_words(enum l3l2q_check check)
{
	switch (check) {
	case L3L2Q_CHECK_MAGIC: return "bad magic or version";
	case L3L2Q_CHECK_REGION_ID: return "bad region id";
	case L3L2Q_CHECK_PAYLOAD_RANGE: return "bad payload range";
	case L3L2Q_CHECK_COUNTER_RANGE: return "bad counter range";
	case L3L2Q_CHECK_SCALAR_COUNT: return "neither twelve scalars nor ten";
	case L3L2Q_CHECK_IDENTITY: return "a transaction id of 0, or an identity that the binding has not";
	default: return "queue and region disagree on the geometry";
	}
}

/* Fill in what the description says, and check it. */
static inline enum l3l2q_check l3l2q_core_describe(struct l3l2q_core *core, enum l3l2q_role role,
						   const struct l3l2q_region_desc *region,
						   const struct l3l2q_queue_desc *queue,
						   const __u64 *identity)
{
	enum l3l2q_check check;

	__builtin_memset(core, 0, sizeof(*core));
	core->role = role;
	core->gone = &core->never_gone;
	core->always = ~0u;
	core->flag_tells = 1;
	core->binding = queue->magic_version == L3L2Q_SPSQ_VERSION ? L3L2Q_BINDING_SPSQ
								   : L3L2Q_BINDING_L3Q2;
	core->region_id = region->region_id;
	core->error.binding = core->binding;
	core->error.region_id = region->region_id;
	core->error.identity[0] = identity[0];
	core->error.identity[1] = identity[1];
	core->error.op = "none";
	core->error.message = "no error";
	check = l3l2q_queue_check(region, queue, &core->layout);
	return check == L3L2Q_CHECK_OK ? l3l2q_identity_check(core->binding, identity) : check;
}

/* 0, or the error of a description that was refused. */
static inline int l3l2q_core_accept(struct l3l2q_core *core, enum l3l2q_check check)
{
	if (check == L3L2Q_CHECK_OK)
		return 0;
	return l3l2q_core_set_error(core, L3L2Q_ERR_BAD_DESCRIPTOR, "attach",
				    l3l2q_check_words(check));
}

/**
 * l3l2q_core_start() - make an endpoint of an existing queue
 * @core: to fill in
 * @role: own role
 * @region: the region's description, as handed over
 * @queue: the queue's description, as handed over; its magic_version tells the binding
 * @identity: session bits and transaction id with SPSQ, zero with L3Q2
 * @payload: the payload range, 8-byte aligned
 * @counters: the counter range, 64-byte aligned
 *
 * Writes nothing to shared memory, also when it refuses.
 *
 * Return: 0 or -EPROTO, with the reason in core->error.
 */
static inline int l3l2q_core_start(struct l3l2q_core *core, enum l3l2q_role role,
				   const struct l3l2q_region_desc *region,
				   const struct l3l2q_queue_desc *queue,
				   const __u64 *identity, void *payload, void *counters)
{
	enum l3l2q_check check = l3l2q_core_describe(core, role, region, queue, identity);

	core->payload = (unsigned char *)payload;
	core->counters = (unsigned char *)counters;
	return l3l2q_core_accept(core, check);
}

/* l3l2q_core_start() with L3Q2, which has no identity. */
static inline int l3l2q_core_init(struct l3l2q_core *core, enum l3l2q_role role,
				  const struct l3l2q_region_desc *region,
				  const struct l3l2q_queue_desc *queue,
				  void *payload, void *counters)
{
	const __u64 identity[2] = { 0, 0 };

	return l3l2q_core_start(core, role, region, queue, identity, payload, counters);
}

/**
 * l3l2q_core_init_scalars() - make an endpoint from the scalars that a task received
 * @core: to fill in
 * @role: own role
 * @scalars: the scalars
 * @count: their number, which tells the binding: 12 for L3Q2, 10 for SPSQ
 * @payload: the payload range, 8-byte aligned
 * @counters: the counter range, 64-byte aligned
 *
 * Writes nothing to shared memory, also when it refuses.
 *
 * Return: 0 or -EPROTO, with the reason in core->error.
 */
static inline int l3l2q_core_init_scalars(struct l3l2q_core *core, enum l3l2q_role role,
					  const __u64 *scalars, __u64 count,
					  void *payload, void *counters)
{
	struct l3l2q_region_desc region;
	struct l3l2q_queue_desc queue;
	__u64 identity[2] = { 0, 0 };
	enum l3l2q_check check;

	__builtin_memset(&region, 0, sizeof(region));
	__builtin_memset(&queue, 0, sizeof(queue));
	check = l3l2q_binding_parse(scalars, count, identity, &region, &queue);
	if (check == L3L2Q_CHECK_OK)
		return l3l2q_core_start(core, role, &region, &queue, identity, payload, counters);
	l3l2q_core_describe(core, role, &region, &queue, identity);
	return l3l2q_core_accept(core, check);
}

/**
 * l3l2q_core_set_memory() - set the memory type, if it is not cached
 * @core: initialised, its producer and consumer not yet
 * @memory: enum l3l2q_memory
 *
 * L3L2Q_MEMORY_UNSNOOPED is set by l3l2q_core_set_unsnooped().
 *
 * Return: 0, or -EINVAL: another type, or a depth of 1, with which both rings share a
 * cache line, and writing one of them back overwrites the other.
 */
static inline int l3l2q_core_set_memory(struct l3l2q_core *core, __u32 memory)
{
	if (memory > L3L2Q_MEMORY_DEVICE ||
	    (memory != L3L2Q_MEMORY_CACHED && core->layout.depth == 1))
		return -EINVAL;
	core->memory = memory;
	core->path = l3l2q_path_for(memory);
	return 0;
}

/**
 * l3l2q_core_set_unsnooped() - the memory is cached, and the cache does not see the peer
 * @core: initialised, its producer and consumer not yet
 * @clean: writes the lines of a range back
 * @invalidate: drops the lines of a range. It has to write dirty ones back first, whole,
 *	as dc civac does
 *
 * This is how an AICPU of a2a3 maps GM. Both functions return when the maintenance is
 * complete (dsb sy), and get addresses that need not be aligned. NULL for both means the
 * instructions dc cvac and dc civac, on aarch64.
 *
 * Return: 0, or -EINVAL: a depth of 1 or a range that is not 64-byte aligned, so that a
 * line would have two writers; one function without the other; no functions where there
 * are no such instructions, or lines are not of 64 bytes.
 */
static inline int l3l2q_core_set_unsnooped(struct l3l2q_core *core, l3l2q_cache_fn clean,
					   l3l2q_cache_fn invalidate)
{
	unsigned long ranges = (unsigned long)core->payload | (unsigned long)core->counters;

	if (core->layout.depth == 1 || ranges % L3L2Q_LINE_BYTES || !clean != !invalidate)
		return -EINVAL;
	if (!clean && l3l2q_dcache_line() != L3L2Q_LINE_BYTES)
		return -EINVAL;
	core->memory = L3L2Q_MEMORY_UNSNOOPED;
	core->path = l3l2q_path_for(core->memory);
	core->clean = clean;
	core->invalidate = invalidate;
	return 0;
}

/**
 * l3l2q_core_detach() - leave nothing of the endpoint in the cache
 * @core: the endpoint, whose producer and consumer are not used again
 *
 * The last call with unsnooped memory, also after an error: a dirty line could be
 * written back at any later time, over what then lies there. It stores no counter.
 */
static inline void l3l2q_core_detach(const struct l3l2q_core *core)
{
	l3l2q_core_write_back(core);
}

/* Clean or invalidate the slots of messages @from to @to: two ranges if they wrap. */
L3L2Q_COLD void l3l2q_core_maintain_slots(const struct l3l2q_core *core, struct l3l2q_desc *ring,
					  __u64 from, __u64 to,
					  void (*act)(const struct l3l2q_core *core, void *address,
						      __u64 n))
{
	__u64 first = from & (core->layout.depth - 1), n = to - from;
	__u64 straight = core->layout.depth - first;

	if (n > straight) {
		act(core, ring, (n - straight) * sizeof(*ring));
		n = straight;
	}
	act(core, ring + first, n * sizeof(*ring));
}

/* ---- producer ---------------------------------------------------------- */

/**
 * struct l3l2q_producer - the sending half of an endpoint
 * @core: the endpoint
 * @ring: own descriptor ring
 * @tail_counter: shared, ours to write
 * @places: for each message in flight, the offset of its body in the payload range; 0
 *	without a body
 * @payload: first byte of the payload range
 * @end: a word that is 0 until one of the sides ends
 * @watch: what is looked at after a counter store: the peer's armed word if it asks for
 *	fences, else l3l2q_core_fenced_watch()
 * @mask: depth - 1
 * @tail: messages placed
 * @limit: messages up to it are placed without further checks. Equal to @tail if the next
 *	one takes the slow path, as with a reservation. l3l2q_producer_update_limits()
 * @offset: of the next body in the payload range, unless it has to wrap
 * @room: bytes that are placed there without further checks
 * @published: messages the peer can see, if @withheld
 * @published_bytes: in bodies that the peer can see, likewise
 * @laps: @laps + @offset, modulo 2^64, is the virtual byte cursor
 * @skipped: bytes at the arena's end that it has passed without a body
 * @batching: set by the caller: nothing is sent before l3l2q_core_publish()
 * @withheld: something was placed and not published
 * @stopped: STOP was placed
 * @blocked: @need_head and @need_bytes are valid and @need_head is in the control page
 * @fence: enum l3l2q_fence
 * @head: messages the peer was last seen to have released
 * @head_counter: shared, the peer's
 * @arena_offset: of own arena in the payload range
 * @arena_end: its end
 * @span_bytes: size of each span of the active reservation
 * @span_limit: what @limit is without it
 * @ask_at: l3l2q_ticks() from which on a full queue makes the library ask the kernel
 *	whether the peer lives
 * @oldest: first message not released that may have a body
 * @need_head: a body of @need_bytes or more does not fit before the head is here
 * @need_bytes: the size that was refused; 0 if the ring was full
 * @kick: the peer sleeps for what was published; the caller's to clear
 * @self_kick: another thread of ours sleeps for room; the caller's to clear
 * @span_count: spans of the active reservation; 0 without one
 * @direct: the span that is committed was written past the cache
 * @dirty_from: with unsnooped memory the bodies that are not written back yet, as offsets
 *	in the payload range
 * @dirty_to: their end
 * @fresh_from: lines of the arena that have nothing stale in them: nobody but this
 *	processor has written there since they were invalidated
 * @fresh_to: their end
 *
 * In the first line what never changes, in the second what each message changes.
 */
struct l3l2q_producer {
	struct l3l2q_core *core;
	struct l3l2q_desc *ring;
	__s32 *tail_counter;
	__u64 *places;
	unsigned char *payload;
	const __u32 *end;
	const __u32 *watch;
	__u64 mask;

	__u64 tail;
	__u64 limit;
	__u64 offset;
	__u64 room;
	__u64 published;
	__u64 published_bytes;
	__u64 laps;
	__u32 pad;
	__u8 batching;
	__u8 withheld;
	__u8 stopped;
	__u8 blocked;

	__u64 head;
	const __s32 *head_counter;
	__u64 arena_offset;
	__u64 arena_end;
	__u64 skipped;
	__u64 span_bytes;
	__u64 span_limit;
	__u64 ask_at;
	__u64 oldest;
	__u64 need_head;
	__u64 need_bytes;
	__u32 kick;
	__u32 self_kick;
	__u32 span_count;
	__u8 fence;
	__u8 direct;
	__u8 pad2[2];
	__u64 dirty_from;
	__u64 dirty_to;
	__u64 fresh_from;
	__u64 fresh_to;
} L3L2Q_ALIGNED;

/* Bytes of bookkeeping a producer needs, 8-byte aligned. */
static inline __u64 l3l2q_producer_memory(__u64 depth)
{
	return depth * sizeof(__u64);
}

static inline void l3l2q_core_producer_init(struct l3l2q_producer *p,
					    struct l3l2q_core *core, void *memory)
{
	const struct l3l2q_layout *l = &core->layout;
	enum l3l2q_role role = (enum l3l2q_role)core->role;
	int input = role == L3L2Q_ROLE_L3;

	__builtin_memset(p, 0, sizeof(*p));
	p->core = core;
	p->ring = (struct l3l2q_desc *)(void *)(core->payload +
		  (input ? l->input_desc_offset : l->output_desc_offset));
	p->tail_counter = l3l2q_core_counter(core, l3l2q_ctr_tail(role));
	p->head_counter = l3l2q_core_counter(core, l3l2q_ctr_head(role));
	p->places = (__u64 *)memory;
	p->mask = l->depth - 1;
	p->payload = core->payload;
	p->arena_offset = input ? l->input_arena_offset : l->output_arena_offset;
	p->arena_end = p->arena_offset + (input ? l->input_arena_bytes : l->output_arena_bytes);
	p->offset = p->arena_offset;
	p->laps = -p->offset;
	p->ask_at = L3L2Q_ASK_NEVER;
	p->end = l3l2q_core_end(core);
	p->watch = l3l2q_core_fenced_watch(core);
	core->tx_end = &p->end;
}

/* ---- producer: fast paths ---------------------------------------------- */

/*
 * True if a message of @nbytes may be placed at the cursor without a check that only the slow
 * path makes, and by the head that was read last there is room for it. @tail is that of @p.
 */
static inline int l3l2q_producer_fits_fast(const struct l3l2q_producer *p, __u64 tail, __u64 nbytes)
{
	return l3l2q_likely(tail != p->limit && nbytes <= p->room && l3l2q_end_is_clear(&p->end));
}

/* The same for @n bodies, one behind the other, or @n messages without a body. */
static inline int l3l2q_producer_run_fits_fast(const struct l3l2q_producer *p, __u64 nbytes,
					       __u32 n)
{
	return l3l2q_likely(!(nbytes >> 32) && nbytes * n <= p->room &&
			    n <= p->limit - p->tail && l3l2q_end_is_clear(&p->end));
}

/*
 * True if an earlier refusal still stands: an equal or smaller body was refused and the
 * peer has released nothing since.
 */
static inline int l3l2q_producer_still_blocked(const struct l3l2q_producer *p, __u64 nbytes)
{
	return p->blocked && p->head < p->need_head && nbytes >= p->need_bytes &&
	       nbytes <= p->arena_end - p->arena_offset && !p->span_count &&
	       l3l2q_core_is_plain(p->core) && l3l2q_end_is_clear(&p->end) &&
	       l3l2q_load_counter(p->head_counter) == (__u32)p->head && l3l2q_ticks() < p->ask_at;
}

/* The payload offset of a body at the cursor; 0 without a body. */
static inline __u64 l3l2q_producer_offset(const struct l3l2q_producer *p, __u64 nbytes)
{
	return nbytes ? p->offset : 0;
}

/* The fast paths are for DATA; ERROR is rare, and SPSQ has none on input. */
static inline int l3l2q_opcode_is_data(__u64 opcode)
{
	return l3l2q_likely(opcode == L3L2Q_OP_DATA);
}

/* True for the opcodes that @sender may use at any time. */
static inline int l3l2q_core_carries(const struct l3l2q_core *core, enum l3l2q_role sender,
				     __u64 opcode)
{
	if (opcode == L3L2Q_OP_ERROR)
		return core->binding != L3L2Q_BINDING_SPSQ || sender == L3L2Q_ROLE_L2;
	return opcode == L3L2Q_OP_DATA;
}

/* Write a descriptor, seq last. */
static inline void l3l2q_desc_write(struct l3l2q_desc *slot, __u64 seq, __u32 opcode,
				    __u64 offset, __u64 nbytes)
{
	__atomic_store_n(&slot->opcode, opcode, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->payload_offset, offset, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->payload_nbytes, nbytes, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->seq, seq, __ATOMIC_RELEASE);
}

/* The number of messages that the peer can see. Statistics of other threads ask, too. */
static inline __u64 l3l2q_producer_published(const struct l3l2q_producer *p)
{
	__u64 tail = __atomic_load_n(&p->tail, __ATOMIC_ACQUIRE);

	return __atomic_load_n(&p->withheld, __ATOMIC_ACQUIRE)
	       ? __atomic_load_n(&p->published, __ATOMIC_RELAXED) : tail;
}

/* The bytes in their bodies. @laps changes only while something is withheld. */
static inline __u64 l3l2q_producer_published_bytes(const struct l3l2q_producer *p)
{
	__u64 laps = __atomic_load_n(&p->laps, __ATOMIC_ACQUIRE);
	__u64 before, bytes;

	do {
		before = laps;
		bytes = __atomic_load_n(&p->offset, __ATOMIC_ACQUIRE) -
			__atomic_load_n(&p->skipped, __ATOMIC_ACQUIRE);
		if (__atomic_load_n(&p->withheld, __ATOMIC_ACQUIRE))
			return __atomic_load_n(&p->published_bytes, __ATOMIC_RELAXED);
		laps = __atomic_load_n(&p->laps, __ATOMIC_ACQUIRE);
	} while (laps != before);
	return laps + bytes;
}

L3L2Q_SLOW void l3l2q_producer_begin_withholding(struct l3l2q_producer *p, __u64 n, __u64 nbytes)
{
	__u64 bytes = p->laps + p->offset - p->skipped;

	__atomic_store_n(&p->published, p->tail - n, __ATOMIC_RELAXED);
	__atomic_store_n(&p->published_bytes, bytes - nbytes, __ATOMIC_RELAXED);
	__atomic_store_n(&p->withheld, 1, __ATOMIC_RELEASE);
}

/* The last @n messages, of @nbytes together, and those that follow are published later. */
static inline void l3l2q_producer_withhold(struct l3l2q_producer *p, __u64 n, __u64 nbytes)
{
	if (!p->withheld)
		l3l2q_producer_begin_withholding(p, n, nbytes);
}

/* Account for a message whose descriptor is written. */
static inline void l3l2q_producer_account(struct l3l2q_producer *p, __u64 offset, __u64 nbytes)
{
	p->places[p->tail & p->mask] = offset;
	p->room -= nbytes;
	__atomic_store_n(&p->offset, p->offset + nbytes, __ATOMIC_RELAXED);
	__atomic_store_n(&p->tail, p->tail + 1, __ATOMIC_RELAXED);
}

/*
 * Write a message: with a body, which is written at the cursor, or without one. The caller
 * has read tail and cursor before it wrote the body, and moves them. What the descriptor's
 * words could be an alias of is read before these are written. Returns the new tail.
 */
static inline __u64 l3l2q_producer_write(struct l3l2q_producer *p, __u32 opcode, __u64 tail,
					 __u64 cursor, __u64 nbytes)
{
	__u64 slot = tail & p->mask, *places = p->places;
	__u64 offset = nbytes ? cursor : 0;

	tail++;
	l3l2q_desc_write(&p->ring[slot], tail, opcode, offset, nbytes);
	places[slot] = offset;
	p->room -= nbytes;
	return tail;
}

/* Append a message: write it and move tail and cursor. Returns the new tail. */
static inline __u64 l3l2q_producer_append(struct l3l2q_producer *p, __u32 opcode, __u64 tail,
					  __u64 cursor, __u64 nbytes)
{
	tail = l3l2q_producer_write(p, opcode, tail, cursor, nbytes);
	l3l2q_core_add(&p->offset, nbytes);
	__atomic_store_n(&p->tail, tail, __ATOMIC_RELAXED);
	return tail;
}

/* Append @n messages of one size whose bodies are written at the cursor. */
static inline void l3l2q_producer_append_run(struct l3l2q_producer *p, __u32 opcode,
					     __u64 nbytes, __u32 n)
{
	struct l3l2q_desc *ring = p->ring;
	__u64 *places = p->places;
	__u64 mask = p->mask, seq = p->tail, end = seq + n;
	__u64 offset = l3l2q_producer_offset(p, nbytes);

	p->room -= n * nbytes;
	__atomic_store_n(&p->offset, p->offset + n * nbytes, __ATOMIC_RELAXED);
	while (seq != end) {
		__u64 slot = seq++ & mask;

		l3l2q_desc_write(&ring[slot], seq, opcode, offset, nbytes);
		places[slot] = offset;
		offset += nbytes;
	}
	__atomic_store_n(&p->tail, end, __ATOMIC_RELAXED);
}

/* Write the pending bodies back. */
static inline void l3l2q_producer_clean_bodies(struct l3l2q_producer *p)
{
	if (p->dirty_from != p->dirty_to)
		l3l2q_core_clean(p->core, p->payload + p->dirty_from, p->dirty_to - p->dirty_from);
	p->dirty_from = p->dirty_to;
}

L3L2Q_COLD __u32 l3l2q_producer_wants_kick_fenced(struct l3l2q_producer *p)
{
	return l3l2q_core_wants_kick_fenced(p->core, &p->watch, &p->fence, L3L2Q_SEE_TAIL);
}

/*
 * After a store of the tail: what the peer has armed of that. A sleeper that requests a fence
 * has one executed here, by membarrier(), before its last look.
 */
static inline __u32 l3l2q_producer_wants_kick(struct l3l2q_producer *p)
{
	if (l3l2q_likely(!l3l2q_core_look(p->watch, L3L2Q_SEE_TAIL)))
		return 0;
	return l3l2q_producer_wants_kick_fenced(p);
}

/* Bodies and descriptors first, in memory from which they have to be sent. */
L3L2Q_COLD void l3l2q_producer_publish_slow(struct l3l2q_producer *p)
{
	if (l3l2q_core_is_remote(p->core)) {
		l3l2q_producer_clean_bodies(p);
		l3l2q_core_maintain_slots(p->core, p->ring, p->published, p->tail,
					  l3l2q_core_clean);
	}
	l3l2q_core_store(p->core, p->tail_counter, (__u32)p->tail);
	p->kick |= l3l2q_producer_wants_kick(p);
}

/*
 * In plain memory, which is what the fast paths are for; something was appended. Returns
 * whether the peer sleeps for it.
 */
static inline __u32 l3l2q_producer_publish_plain(struct l3l2q_producer *p, __u64 tail)
{
	l3l2q_store_counter(p->tail_counter, (__u32)tail);
	return l3l2q_producer_wants_kick(p);
}

static inline void l3l2q_core_publish(struct l3l2q_producer *p)
{
	if (!p->withheld)
		return;
	if (l3l2q_likely(p->core->memory == L3L2Q_MEMORY_CACHED))
		p->kick |= l3l2q_producer_publish_plain(p, p->tail);
	else
		l3l2q_producer_publish_slow(p);
	__atomic_store_n(&p->withheld, 0, __ATOMIC_RELEASE);
}

/*
 * What follows @n messages of @nbytes on a fast path, which have moved the tail to @tail: they
 * are published, unless a batch is open. Returns whether the peer sleeps for them.
 */
static inline __u32 l3l2q_producer_finish_plain(struct l3l2q_producer *p, __u64 tail, __u64 n,
						__u64 nbytes)
{
	if (!p->batching)
		return l3l2q_producer_publish_plain(p, tail);
	l3l2q_producer_withhold(p, n, n * nbytes);
	return 0;
}

static inline void l3l2q_producer_finish_fast(struct l3l2q_producer *p, __u64 tail, __u64 n,
					      __u64 nbytes)
{
	__u32 kick = l3l2q_producer_finish_plain(p, tail, n, nbytes);

	if (l3l2q_unlikely(kick))
		p->kick = kick;
}

/* ---- producer: slow paths ---------------------------------------------- */

/* Read the peer's head counter. */
static inline int l3l2q_producer_refresh(struct l3l2q_producer *p, const char *op)
{
	__u64 head = p->head;

	if (l3l2q_reconstruct(l3l2q_core_load(p->core, p->head_counter), p->mask + 1, &head) ||
	    head > l3l2q_producer_published(p))
		return l3l2q_core_poison(p->core, L3L2Q_ERR_INVALID_DESCRIPTOR, op,
					 "the peer's head counter is impossible");
	p->head = head;
	return 0;
}

static inline __u64 l3l2q_producer_arena(const struct l3l2q_producer *p)
{
	return p->arena_end - p->arena_offset;
}

/*
 * The payload offset of a body of @nbytes at the cursor, or at the arena's start if it has to
 * wrap; 0 without a body.
 */
static inline __u64 l3l2q_producer_place(const struct l3l2q_producer *p, __u64 nbytes)
{
	if (!nbytes)
		return 0;
	return nbytes > p->arena_end - p->offset ? p->arena_offset : p->offset;
}

/* Move the cursor to the place of a body. */
static inline void l3l2q_producer_move_to(struct l3l2q_producer *p, __u64 place)
{
	if (!place || place == p->offset)
		return;
	__atomic_store_n(&p->laps, p->laps + l3l2q_producer_arena(p), __ATOMIC_RELAXED);
	__atomic_store_n(&p->skipped, p->skipped + (p->arena_end - p->offset), __ATOMIC_RELAXED);
	__atomic_store_n(&p->offset, place, __ATOMIC_RELEASE);
}

/* True if a body is in flight, by the head that was read last. Updates @oldest. */
static inline int l3l2q_producer_has_body_in_flight(struct l3l2q_producer *p)
{
	if (p->oldest < p->head)
		p->oldest = p->head;
	while (p->oldest < p->tail && !p->places[p->oldest & p->mask])
		p->oldest++;
	return p->oldest < p->tail;
}

/*
 * Bytes from the start of message @i's body, which is in flight, to the cursor. They are
 * never 0, so that equal offsets are a whole arena apart.
 */
static inline __u64 l3l2q_producer_taken(const struct l3l2q_producer *p, __u64 i)
{
	__u64 place = p->places[i & p->mask], taken = p->offset - place;

	return place < p->offset ? taken : taken + l3l2q_producer_arena(p);
}

/* Bytes by which a body of @nbytes at @place moves the cursor. */
static inline __u64 l3l2q_producer_step(const struct l3l2q_producer *p, __u64 place, __u64 nbytes)
{
	return place == p->offset ? nbytes : p->arena_end - p->offset + nbytes;
}

/* True if there is space for a body that moves the cursor by @step. */
static inline int l3l2q_producer_has_space(struct l3l2q_producer *p, __u64 step)
{
	return !l3l2q_producer_has_body_in_flight(p) ||
	       step <= l3l2q_producer_arena(p) - l3l2q_producer_taken(p, p->oldest);
}

/* The largest body that fits now, by the head that was read last. */
static inline __u64 l3l2q_producer_largest(struct l3l2q_producer *p)
{
	__u64 arena = l3l2q_producer_arena(p), free, straight;

	if (!l3l2q_producer_has_body_in_flight(p))
		return arena;
	free = arena - l3l2q_producer_taken(p, p->oldest);
	straight = p->arena_end - p->offset;
	if (free <= straight)
		return free;
	/* at the cursor, or from the arena's start on after skipping the rest */
	return straight > free - straight ? straight : free - straight;
}

/*
 * Compute how many messages, and bytes at the cursor, can be placed without wrapping or
 * checking for space. With no body in flight the first one takes the slow path, as
 * every message does in memory that is not cached or can be removed.
 */
static inline void l3l2q_producer_update_limits(struct l3l2q_producer *p)
{
	__u64 straight = p->arena_end - p->offset, free;

	p->limit = p->tail;
	p->room = 0;
	if (p->stopped || p->blocked || !l3l2q_core_is_plain(p->core))
		return;
	p->limit = p->head + p->mask + 1;
	if (!l3l2q_producer_has_body_in_flight(p))
		return;
	free = l3l2q_producer_arena(p) - l3l2q_producer_taken(p, p->oldest);
	p->room = free < straight ? free : straight;
}

/* Store the head that the producer waits for: it is not woken before. */
static inline void l3l2q_producer_set_blocked(struct l3l2q_producer *p, __u64 nbytes, __u64 head)
{
	struct l3l2q_control *control = p->core->control;

	if (p->blocked && p->need_head == head && p->need_bytes == nbytes)
		return;
	p->need_head = head;
	p->need_bytes = nbytes;
	p->blocked = 1;
	p->limit = p->tail;
	if (!control)
		return;
	__atomic_store_n(&control->need_bytes, nbytes < ~0u ? (__u32)nbytes : ~0u, __ATOMIC_RELAXED);
	__atomic_store_n(&control->need_head, (__u32)head, __ATOMIC_RELAXED);
	__atomic_store_n(&control->producer_flags, L3L2Q_PRODUCER_NEED, __ATOMIC_RELEASE);
}

static inline void l3l2q_producer_clear_blocked(struct l3l2q_producer *p)
{
	p->blocked = 0;
	if (!p->core->control)
		return;
	__atomic_store_n(&p->core->control->producer_flags, 0, __ATOMIC_RELAXED);
	l3l2q_full_barrier();
	p->self_kick |= l3l2q_core_wants_self_kick(p->core, L3L2Q_EVENT_OUT);
}

/*
 * A body does not fit: wait for the release of the last body in its way. Messages
 * without a body behind that one do not matter, and may be held for long.
 */
static inline int l3l2q_producer_block_on_body(struct l3l2q_producer *p, __u64 nbytes, __u64 step)
{
	__u64 need = p->oldest;
	__u64 i;

	for (i = p->oldest; i < p->tail; i++) {
		if (!p->places[i & p->mask])
			continue;
		if (step <= l3l2q_producer_arena(p) - l3l2q_producer_taken(p, i))
			break;
		need = i + 1;
	}
	l3l2q_producer_set_blocked(p, nbytes, need);
	return -EAGAIN;
}

/*
 * Find the place for a message of @nbytes. Changes nothing but the cached head and
 * the readiness words.
 */
static inline int l3l2q_producer_find_room(struct l3l2q_producer *p, __u64 nbytes,
					   const char *op, __u64 *place)
{
	int ret = l3l2q_core_status(p->core), looked = 0;
	__u64 step;

	if (l3l2q_unlikely(ret))
		return ret;
	if (l3l2q_unlikely(p->stopped))
		return -ESHUTDOWN;
	ret = l3l2q_core_check_peer(p->core, l3l2q_core_gone_word(p->core), op);
	if (l3l2q_unlikely(ret))
		return ret;
	if (l3l2q_unlikely(p->span_count))
		return l3l2q_core_poison(p->core, L3L2Q_ERR_OWNERSHIP, op,
					 "a reservation is active");
	if (l3l2q_unlikely(nbytes > l3l2q_producer_arena(p)))
		return -EMSGSIZE;

	if (p->tail - p->head > p->mask) {
		ret = l3l2q_producer_refresh(p, op);
		if (ret)
			return ret;
		looked = 1;
		if (p->tail - p->head > p->mask) {
			l3l2q_producer_set_blocked(p, 0, p->tail - p->mask);
			return -EAGAIN;
		}
	}
	*place = l3l2q_producer_place(p, nbytes);
	if (nbytes) {
		step = l3l2q_producer_step(p, *place, nbytes);
		if (!l3l2q_producer_has_space(p, step)) {
			ret = looked ? 0 : l3l2q_producer_refresh(p, op);
			if (ret)
				return ret;
			if (p->blocked && nbytes >= p->need_bytes && p->need_bytes &&
			    p->head < p->need_head)
				return -EAGAIN;
			if (!l3l2q_producer_has_space(p, step))
				return l3l2q_producer_block_on_body(p, nbytes, step);
		}
	}
	return 0;
}

/* Lines invalidated at once, ahead of small bodies. */
#define L3L2Q_FRESH_BYTES 1024u

/*
 * Before a body is written by this processor, with unsnooped memory: the lines that it
 * shares with its neighbours must not be stale, or writing them back would undo what an
 * AICore wrote there.
 */
L3L2Q_COLD void l3l2q_producer_refresh_lines(struct l3l2q_producer *p, __u64 offset, __u64 nbytes)
{
	__u64 first = offset & -(__u64)L3L2Q_LINE_BYTES;
	__u64 last = (offset + nbytes - 1) & -(__u64)L3L2Q_LINE_BYTES;
	int known = first >= p->fresh_from && first < p->fresh_to;
	__u64 from = known ? p->fresh_to : first, to = first + L3L2Q_FRESH_BYTES;

	if (known && last < p->fresh_to)
		return;
	if (last >= to) {
		if (!known)
			l3l2q_core_invalidate(p->core, p->payload + first, L3L2Q_LINE_BYTES);
		first = from = last;
		to = last + L3L2Q_LINE_BYTES;
	}
	if (to > p->arena_end)
		to = p->arena_end;
	l3l2q_core_invalidate(p->core, p->payload + from, to - from);
	p->fresh_from = first;
	p->fresh_to = to;
}

/* The same before the caller gets a span, which an AICore may write. */
L3L2Q_COLD void l3l2q_producer_drop_lines(struct l3l2q_producer *p, __u64 place, __u64 nbytes)
{
	unsigned char *body = p->payload + place;

	l3l2q_core_invalidate(p->core, body, 1);
	l3l2q_core_invalidate(p->core, body + nbytes - 1, 1);
	p->fresh_from = p->fresh_to = 0;
}

/* A body that this processor wrote at the cursor is to be written back when it is published. */
static inline void l3l2q_producer_add_dirty(struct l3l2q_producer *p, __u64 nbytes)
{
	__u64 offset = l3l2q_producer_offset(p, nbytes);

	if (!nbytes)
		return;
	if (offset != p->dirty_to) {
		l3l2q_producer_clean_bodies(p);
		p->dirty_from = offset;
	}
	p->dirty_to = offset + nbytes;
}

/*
 * Append a message for which room was found; the caller publishes. In memory that is not
 * cached the descriptor is written in one burst: the drain before the tail store orders
 * all of it.
 */
static inline void l3l2q_producer_append_slow(struct l3l2q_producer *p, __u32 opcode,
					      __u64 nbytes)
{
	__u64 cursor = p->offset, offset = l3l2q_producer_offset(p, nbytes);

	if (p->core->memory == L3L2Q_MEMORY_UNSNOOPED && !p->direct)
		l3l2q_producer_add_dirty(p, nbytes);
	if (p->core->path != L3L2Q_PATH_CACHED && p->core->memory != L3L2Q_MEMORY_COPIED) {
		struct l3l2q_desc desc = {
			p->tail + 1, opcode, offset, nbytes
		};

		l3l2q_copy_to(p->core->path, &p->ring[p->tail & p->mask], &desc, sizeof(desc));
		l3l2q_producer_account(p, offset, nbytes);
	} else {
		l3l2q_producer_append(p, opcode, p->tail, cursor, nbytes);
	}
	if (opcode == L3L2Q_OP_STOP)
		p->stopped = 1;
	if (p->blocked)
		l3l2q_producer_clear_blocked(p);
	l3l2q_producer_update_limits(p);
}

/* Publish what was appended, unless a batch is open. */
static inline void l3l2q_producer_finish_append(struct l3l2q_producer *p)
{
	if (!p->batching)
		l3l2q_core_publish(p);
}

/* 0 if this side may send such a message. */
static inline int l3l2q_producer_check_opcode(struct l3l2q_producer *p, __u32 opcode,
					      __u64 nbytes, const char *op)
{
	int ret;

	if (l3l2q_opcode_is_data(opcode))
		return 0;
	ret = l3l2q_core_status(p->core);
	if (ret)
		return ret;
	if (l3l2q_core_carries(p->core, (enum l3l2q_role)p->core->role, opcode))
		return 0;
	if (p->core->role == L3L2Q_ROLE_L2) {
		return l3l2q_core_poison(p->core, L3L2Q_ERR_INVALID_DESCRIPTOR,
						     op, "not an opcode for output");
	}
	return opcode == L3L2Q_OP_STOP && !nbytes ? 0 : -EINVAL;
}

/* A function that writes a body. */
typedef void (*l3l2q_copy_fn)(const struct l3l2q_core *core, void *to, const void *arg,
			      __u64 nbytes);

/* Append a message, with all checks; the caller publishes. */
L3L2Q_SLOW int l3l2q_producer_enqueue_one(struct l3l2q_producer *p, __u32 opcode,
					  l3l2q_copy_fn copy, const void *arg, __u64 nbytes)
{
	__u64 place = 0;
	int ret = l3l2q_producer_check_opcode(p, opcode, nbytes, "enqueue");

	if (ret)
		return ret;
	ret = l3l2q_producer_find_room(p, nbytes, "enqueue", &place);
	if (ret)
		return ret;
	if (nbytes && p->core->memory == L3L2Q_MEMORY_UNSNOOPED)
		l3l2q_producer_refresh_lines(p, place, nbytes);
	if (nbytes)
		copy(p->core, p->payload + place, arg, nbytes);
	if (l3l2q_unlikely(l3l2q_core_removed(p->core)))
		return l3l2q_core_remote_abort(p->core, "enqueue");
	l3l2q_producer_withhold(p, 0, 0);
	l3l2q_producer_move_to(p, place);
	l3l2q_producer_append_slow(p, opcode, nbytes);
	return 0;
}

L3L2Q_SLOW int l3l2q_producer_enqueue(struct l3l2q_producer *p, __u32 opcode,
				      l3l2q_copy_fn copy, const void *arg, __u64 nbytes)
{
	int ret;

	if (l3l2q_opcode_is_data(opcode) && l3l2q_producer_still_blocked(p, nbytes))
		return -EAGAIN;
	ret = l3l2q_producer_enqueue_one(p, opcode, copy, arg, nbytes);
	if (!ret)
		l3l2q_producer_finish_append(p);
	return ret;
}

/**
 * l3l2q_core_try_enqueue() - send a message
 * @p: the producer
 * @opcode: L3L2Q_OP_DATA; L3L2Q_OP_ERROR, but not on input with SPSQ; on input also
 *	L3L2Q_OP_STOP
 * @copy: writes the body; called at most once, when only the memory's removal can still
 *	make the call fail. l3l2q_core_copy() for one buffer
 * @arg: for @copy
 * @nbytes: length of the body
 */
L3L2Q_FAST int l3l2q_core_try_enqueue(struct l3l2q_producer *p, __u32 opcode, l3l2q_copy_fn copy,
				      const void *arg, __u64 nbytes)
{
	__u64 tail = p->tail, cursor;

	if (!l3l2q_opcode_is_data(opcode) || !l3l2q_producer_fits_fast(p, tail, nbytes))
		return l3l2q_producer_enqueue(p, opcode, copy, arg, nbytes);
	cursor = p->offset;
	if (nbytes)
		copy(p->core, p->payload + cursor, arg, nbytes);
	tail = l3l2q_producer_append(p, opcode, tail, cursor, nbytes);
	l3l2q_producer_finish_fast(p, tail, 1, nbytes);
	return 0;
}

/*
 * Append DATA from an array of bodies as long as they are good and fit at the cursor, by the
 * head that was read last and without a check that only the slow path makes. Returns the
 * first one that is left; those before it are withheld.
 */
static inline const struct l3l2q_body *l3l2q_producer_copy_run(struct l3l2q_producer *p,
							       const struct l3l2q_body *bodies,
							       int n)
{
	const struct l3l2q_body *body = bodies, *end = bodies + n;
	__u64 tail = p->tail, cursor = p->offset;

	if (l3l2q_unlikely(tail == p->limit || !l3l2q_end_is_clear(&p->end)))
		return bodies;
	if ((__u64)n > p->limit - tail)
		end = bodies + (p->limit - tail);
	for (; body != end && l3l2q_likely(body->nbytes <= p->room); body++) {
		__u64 nbytes = body->nbytes;

		if (l3l2q_unlikely(nbytes ? !body->data : !!body->data))
			break;
		if (nbytes)
			__builtin_memcpy(p->payload + cursor, body->data, nbytes);
		tail = l3l2q_producer_write(p, L3L2Q_OP_DATA, tail, cursor, nbytes);
		cursor += nbytes;
	}
	if (body == bodies)
		return body;
	l3l2q_producer_withhold(p, 0, 0);
	__atomic_store_n(&p->offset, cursor, __ATOMIC_RELAXED);
	__atomic_store_n(&p->tail, tail, __ATOMIC_RELAXED);
	return body;
}

/* Append what is left of a run of which @i messages were appended, and publish. */
L3L2Q_SLOW int l3l2q_producer_enqueue_run(struct l3l2q_producer *p, __u32 opcode,
					  const struct l3l2q_body *bodies, int n, int i)
{
	int ret = i ? 0 : l3l2q_core_status(p->core);

	if (ret)
		return ret;
	/* STOP is sent alone. */
	if (opcode == L3L2Q_OP_STOP && p->core->role == L3L2Q_ROLE_L3)
		return -EINVAL;
	while (i < n) {
		ret = !bodies[i].data == !bodies[i].nbytes
		      ? l3l2q_producer_enqueue_one(p, opcode, l3l2q_core_copy, bodies[i].data,
						   bodies[i].nbytes) : -EINVAL;
		if (ret)
			break;
		i++;
		if (opcode == L3L2Q_OP_DATA)
			i = (int)(l3l2q_producer_copy_run(p, bodies + i, n - i) - bodies);
	}
	if (i)
		l3l2q_producer_finish_append(p);
	return i ? i : ret;
}

/**
 * l3l2q_core_try_enqueue_run() - send several messages, published at once
 * @p: the producer
 * @opcode: L3L2Q_OP_DATA or L3L2Q_OP_ERROR, of all of them
 * @bodies: the bodies, in the order of the messages
 * @n: how many, at least 1
 *
 * Return: how many were sent, 1 ... @n: those before the first one for which there is no
 * room, or that l3l2q_core_try_enqueue() would refuse; or -errno, which is that one's if
 * it is the first. -EINVAL also for a body that is NULL with bytes or not NULL without.
 */
static inline int l3l2q_core_try_enqueue_run(struct l3l2q_producer *p, __u32 opcode,
					     const struct l3l2q_body *bodies, int n)
{
	int sent = l3l2q_opcode_is_data(opcode)
		   ? (int)(l3l2q_producer_copy_run(p, bodies, n) - bodies) : 0;

	if (l3l2q_unlikely(sent < n)) {
		if (!sent && l3l2q_opcode_is_data(opcode) && !bodies->data == !bodies->nbytes &&
		    l3l2q_producer_still_blocked(p, bodies->nbytes))
			return -EAGAIN;
		return l3l2q_producer_enqueue_run(p, opcode, bodies, n, sent);
	}
	l3l2q_producer_finish_append(p);
	return sent;
}

/* True if @span is the active reservation and its body lies at @offset. */
static inline int l3l2q_producer_is_span(const struct l3l2q_producer *p,
					 const struct l3l2q_reservation *span, __u64 offset)
{
	return l3l2q_likely(p->span_count && span->seq == p->tail + 1 &&
			    span->nbytes == p->span_bytes && span->payload_offset == offset &&
			    span->data == (offset ? p->payload + offset : 0));
}

static inline void l3l2q_producer_grant(struct l3l2q_producer *p, __u64 nbytes, __u64 offset,
					struct l3l2q_reservation *span)
{
	span->seq = p->tail + 1;
	span->payload_offset = offset;
	span->nbytes = nbytes;
	span->data = offset ? p->payload + offset : 0;
	p->span_bytes = nbytes;
	p->span_count = 1;
	p->span_limit = p->limit;
	p->limit = p->tail;
}

/* End the reservation. */
static inline void l3l2q_producer_ungrant(struct l3l2q_producer *p)
{
	p->limit = p->span_limit;
	p->span_count = 0;
}

L3L2Q_SLOW int l3l2q_producer_reserve(struct l3l2q_producer *p, __u64 nbytes,
				      struct l3l2q_reservation *span)
{
	__u64 place = 0;
	int ret = l3l2q_producer_find_room(p, nbytes, "reserve", &place);

	if (ret)
		return ret;
	if (p->core->memory == L3L2Q_MEMORY_COPIED)
		return -EOPNOTSUPP;
	if (nbytes && p->core->memory == L3L2Q_MEMORY_UNSNOOPED)
		l3l2q_producer_drop_lines(p, place, nbytes);
	l3l2q_producer_grant(p, nbytes, place, span);
	return 0;
}

/*
 * Reserve @nbytes of the arena, to be written in place. In write-combining and device
 * memory use plain aligned stores only; commit drains them.
 */
static inline int l3l2q_core_try_reserve(struct l3l2q_producer *p, __u64 nbytes,
					 struct l3l2q_reservation *span)
{
	if (!l3l2q_producer_fits_fast(p, p->tail, nbytes))
		return l3l2q_producer_still_blocked(p, nbytes) ? -EAGAIN :
		       l3l2q_producer_reserve(p, nbytes, span);
	l3l2q_producer_grant(p, nbytes, l3l2q_producer_offset(p, nbytes), span);
	return 0;
}

/*
 * How many of @n bodies of @nbytes fit from @place on, one behind the other without a wrap,
 * by the head that was read last. Room for the first one was found.
 */
static inline __u32 l3l2q_producer_count_fits(struct l3l2q_producer *p, __u64 place,
					      __u64 nbytes, __u32 n)
{
	__u64 slots = p->mask + 1 - (p->tail - p->head), room, free;

	if (n > slots)
		n = (__u32)slots;
	if (!nbytes)
		return n;
	room = p->arena_end - place;
	if (l3l2q_producer_has_body_in_flight(p)) {
		free = l3l2q_producer_arena(p) - l3l2q_producer_taken(p, p->oldest) -
		       l3l2q_producer_step(p, place, 0);
		room = free < room ? free : room;
	}
	return room / nbytes < n ? (__u32)(room / nbytes) : n;
}

L3L2Q_SLOW int l3l2q_producer_reserve_run(struct l3l2q_producer *p, __u64 nbytes, __u32 n,
					  struct l3l2q_reservation *span)
{
	__u64 place = 0;
	__u32 fits;
	int ret = l3l2q_producer_find_room(p, nbytes, "reserve", &place);

	if (ret)
		return ret;
	if (p->core->memory == L3L2Q_MEMORY_COPIED)
		return -EOPNOTSUPP;
	fits = l3l2q_producer_count_fits(p, place, nbytes, n);
	if (fits < n) {
		ret = l3l2q_producer_refresh(p, "reserve");
		if (ret)
			return ret;
		fits = l3l2q_producer_count_fits(p, place, nbytes, n);
	}
	if (nbytes && p->core->memory == L3L2Q_MEMORY_UNSNOOPED)
		l3l2q_producer_drop_lines(p, place, fits * nbytes);
	l3l2q_producer_grant(p, nbytes, place, span);
	p->span_count = fits;
	return (int)fits;
}

/**
 * l3l2q_core_try_reserve_run() - reserve several spans of one size, to be written in place
 * @p: the producer
 * @nbytes: length of each
 * @n: how many, at least 1
 * @span: result: the first span. Span i begins at @span->data + i * @nbytes
 *
 * One reservation, which l3l2q_core_commit_run() or l3l2q_core_cancel() ends. A run does
 * not wrap: at the end of the arena it gets shorter.
 *
 * Return: how many there is room for, 1 ... @n, or -errno as l3l2q_core_try_reserve().
 */
static inline int l3l2q_core_try_reserve_run(struct l3l2q_producer *p, __u64 nbytes, int n,
					     struct l3l2q_reservation *span)
{
	if (!l3l2q_producer_run_fits_fast(p, nbytes, (__u32)n))
		return l3l2q_producer_still_blocked(p, nbytes) ? -EAGAIN :
		       l3l2q_producer_reserve_run(p, nbytes, (__u32)n, span);
	l3l2q_producer_grant(p, nbytes, l3l2q_producer_offset(p, nbytes), span);
	p->span_count = (__u32)n;
	return n;
}

/* 0 and the offset of the body in @place if @span is the active reservation. */
static inline int l3l2q_producer_check_span(struct l3l2q_producer *p,
					    const struct l3l2q_reservation *span, const char *op,
					    __u64 *place)
{
	__u64 nbytes = p->span_bytes;
	int ret = l3l2q_core_status(p->core);

	if (ret)
		return ret;
	*place = l3l2q_producer_place(p, nbytes);
	if (!l3l2q_producer_is_span(p, span, *place))
		return l3l2q_core_poison(p->core, L3L2Q_ERR_OWNERSHIP, op,
					 "not the active reservation");
	return 0;
}

/* Before spans are given back: what was written could go back later, over other bytes. */
static inline void l3l2q_producer_clean_spans(struct l3l2q_producer *p, __u64 place, __u32 from)
{
	if (p->span_bytes && from < p->span_count && p->core->memory == L3L2Q_MEMORY_UNSNOOPED)
		l3l2q_core_clean(p->core, p->payload + place + from * p->span_bytes,
				 (p->span_count - from) * p->span_bytes);
}

L3L2Q_SLOW int l3l2q_producer_commit(struct l3l2q_producer *p,
				     const struct l3l2q_reservation *span, __u32 opcode, __u32 n)
{
	__u64 place = 0;
	int ret = l3l2q_producer_check_span(p, span, "commit", &place);

	if (ret)
		return ret;
	ret = l3l2q_producer_check_opcode(p, opcode, p->span_bytes, "commit");
	if (ret)
		return ret;
	/* STOP is sent by enqueue and stop only. */
	if (opcode == L3L2Q_OP_STOP || n - 1 >= p->span_count)
		return -EINVAL;
	ret = l3l2q_core_check_peer(p->core, l3l2q_core_gone_word(p->core), "commit");
	if (ret)
		return ret;
	if (l3l2q_unlikely(l3l2q_core_removed(p->core)))
		return l3l2q_core_remote_abort(p->core, "commit");
	l3l2q_producer_clean_spans(p, place, n);
	l3l2q_producer_ungrant(p);
	l3l2q_producer_withhold(p, 0, 0);
	l3l2q_producer_move_to(p, place);
	for (; n; n--)
		l3l2q_producer_append_slow(p, opcode, p->span_bytes);
	l3l2q_producer_finish_append(p);
	return 0;
}

/* True if @span can be committed on the fast path. */
static inline int l3l2q_producer_can_commit_fast(const struct l3l2q_producer *p,
						 const struct l3l2q_reservation *span,
						 __u32 opcode)
{
	return l3l2q_likely(p->tail != p->span_limit && l3l2q_end_is_clear(&p->end) &&
			    l3l2q_opcode_is_data(opcode) && span->nbytes <= p->room &&
			    l3l2q_producer_is_span(p, span, l3l2q_producer_offset(p, span->nbytes)));
}

static inline __u64 l3l2q_producer_append_span(struct l3l2q_producer *p,
					       const struct l3l2q_reservation *span, __u32 opcode)
{
	l3l2q_producer_ungrant(p);
	return l3l2q_producer_append(p, opcode, p->tail, p->offset, span->nbytes);
}

/* Send the reserved span as a message. */
static inline int l3l2q_core_commit(struct l3l2q_producer *p,
				    const struct l3l2q_reservation *span, __u32 opcode)
{
	if (l3l2q_unlikely(!l3l2q_producer_can_commit_fast(p, span, opcode)))
		return l3l2q_producer_commit(p, span, opcode, 1);
	l3l2q_producer_finish_fast(p, l3l2q_producer_append_span(p, span, opcode), 1, span->nbytes);
	return 0;
}

/**
 * l3l2q_core_commit_run() - send the first spans of a run as messages, published at once
 * @p: the producer
 * @span: the reservation
 * @opcode: as for l3l2q_core_commit(), of all of them
 * @n: how many, at least 1; the others are given back
 *
 * Return: 0 or -errno as l3l2q_core_commit(); -EINVAL also if @n spans were not reserved.
 */
static inline int l3l2q_core_commit_run(struct l3l2q_producer *p,
					const struct l3l2q_reservation *span, __u32 opcode, int n)
{
	if (l3l2q_unlikely(!l3l2q_producer_can_commit_fast(p, span, opcode) ||
			   (__u32)n - 1 >= p->span_count ||
			   (__u32)n * p->span_bytes > p->room ||
			   (__u32)n > p->span_limit - p->tail))
		return l3l2q_producer_commit(p, span, opcode, (__u32)n);
	l3l2q_producer_ungrant(p);
	l3l2q_producer_append_run(p, opcode, span->nbytes, (__u32)n);
	l3l2q_producer_finish_fast(p, p->tail, (__u32)n, span->nbytes);
	return 0;
}

/**
 * l3l2q_core_commit_direct() - send a span that was written past this processor's cache
 * @p: the producer
 * @span: the reservation, of which this processor has written nothing
 * @opcode: as for l3l2q_core_commit()
 *
 * For a span that AICore kernels have written. l3l2q_core_commit() writes the span's
 * lines back, with unsnooped memory; this call leaves them alone.
 */
static inline int l3l2q_core_commit_direct(struct l3l2q_producer *p,
					   const struct l3l2q_reservation *span, __u32 opcode)
{
	int ret;

	p->direct = 1;
	ret = l3l2q_core_commit(p, span, opcode);
	p->direct = 0;
	return ret;
}

/* Give the reserved span or run back; the cursor stays as it was before the reservation. */
static inline int l3l2q_core_cancel(struct l3l2q_producer *p,
				    const struct l3l2q_reservation *span)
{
	__u64 place;
	int ret = l3l2q_producer_check_span(p, span, "cancel", &place);

	if (ret)
		return ret;
	l3l2q_producer_clean_spans(p, place, 0);
	l3l2q_producer_ungrant(p);
	return 0;
}

/* ---- consumer ---------------------------------------------------------- */

/* What a consumer keeps of a message that it has acquired. */
struct l3l2q_held {
	struct l3l2q_message message;
};

/**
 * struct l3l2q_consumer - the receiving half of an endpoint
 * @core: the endpoint
 * @ring: the peer's descriptor ring
 * @tail_counter: shared, the peer's
 * @head_counter: shared, ours to write
 * @held: the handles that are acquired and not yet physically released; seq is 0 in
 *	those that were released out of order
 * @held_mask: size of @held - 1
 * @mask: depth - 1
 * @payload: first byte of the payload range
 * @seen: the word seen_tail of the control page, or @unseen if there is none
 * @head: messages physically released: the completed prefix, which the peer can see
 * @limit: messages before it are taken by copying without further checks: no handle is held.
 *	At most @head if the next one takes the slow path, as behind every peek.
 *	l3l2q_consumer_refresh_idle()
 * @offset: of the next body in the payload range, unless it has to wrap
 * @room: bytes from there to @arena_end
 * @bytes: in bodies released
 * @watch: as in struct l3l2q_producer
 * @failed: set with the first error
 * @window: DATA and ERROR messages that may be held
 * @tail: messages the peer was last seen to have published
 * @outstanding: messages returned by peek and not physically released
 * @arena_offset: of the peer's arena in the payload range
 * @arena_end: its end
 * @stopped: STOP was acquired
 * @drained: STOP was physically released; the caller reads it
 * @window_full: messages may be there that are not reported as readable before a release
 * @fast_path: messages may take the fast path: STOP was not acquired, the memory is cached
 *	and cannot be removed. 0 in a forked child, whose copy is all zero
 * @ask_at: l3l2q_ticks() from which on an empty queue makes the library ask whether the
 *	peer lives
 * @oldest: first message not physically released that may have a body
 * @wrapped: the last message whose body made the cursor wrap; from there on bodies lie
 *	together
 * @completed: messages that were released and not yet physically
 * @flags: as stored in the control page
 * @kick: the peer sleeps for what was released; the caller's to clear
 * @self_kick: another thread of ours sleeps for messages; the caller's to clear
 * @one_handle: the window is 1, and a peek while a handle is held is not "no progress":
 *	OWNERSHIP on L2, the same handle on L3. SPSQ has this on L3 only
 * @fence: enum l3l2q_fence
 * @unseen: not read
 *
 * In the first line what never changes, in the second what each message changes.
 */
struct l3l2q_consumer {
	struct l3l2q_core *core;
	const struct l3l2q_desc *ring;
	const __s32 *tail_counter;
	__s32 *head_counter;
	struct l3l2q_message *held;
	__u64 held_mask;
	const unsigned char *payload;
	__u32 *seen;

	__u64 head;
	__u64 limit;
	__u64 offset;
	__u64 room;
	__u64 bytes;
	__u64 mask;
	const __u32 *watch;
	__u32 failed;
	__u32 window;

	__u64 tail;
	__u64 outstanding;
	__u64 arena_offset;
	__u64 arena_end;
	__u64 ask_at;
	__u64 oldest;
	__u64 wrapped;
	__u64 completed;
	__u8 stopped;
	__u8 drained;
	__u8 window_full;
	__u8 fast_path;
	__u32 flags;
	__u32 kick;
	__u32 self_kick;
	__u8 one_handle;
	__u8 fence;
	__u8 pad[2];
	__u32 unseen;
} L3L2Q_ALIGNED;

/* Entries for a window, and one for STOP: a power of two. */
static inline __u64 l3l2q_consumer_entries(__u64 window)
{
	__u64 n = 2;

	while (n < window + 1)
		n *= 2;
	return n;
}

/* Bytes of bookkeeping a consumer needs, 8-byte aligned. */
static inline __u64 l3l2q_consumer_memory(__u64 window)
{
	return l3l2q_consumer_entries(window) * sizeof(struct l3l2q_held);
}

/* Store the words that say which messages poll and WAIT report. */
static inline void l3l2q_consumer_store_readiness(struct l3l2q_consumer *c, __u32 seen, __u32 flags)
{
	struct l3l2q_control *control = c->core->control;

	if (!control)
		return;
	__atomic_store_n(&control->seen_tail, seen, __ATOMIC_RELAXED);
	if (l3l2q_unlikely(flags != c->flags)) {
		c->flags = flags;
		__atomic_store_n(&control->consumer_flags, flags, __ATOMIC_RELEASE);
	}
}

/**
 * l3l2q_core_consumer_init() - make the receiving half
 * @c: to fill in
 * @core: the endpoint
 * @window: messages that may be held, 1 ... depth
 * @memory: l3l2q_consumer_memory() bytes
 *
 * Return: 0 or -EINVAL.
 */
static inline int l3l2q_core_consumer_init(struct l3l2q_consumer *c,
					   struct l3l2q_core *core, __u64 window,
					   void *memory)
{
	const struct l3l2q_layout *l = &core->layout;
	enum l3l2q_role peer = l3l2q_peer_role((enum l3l2q_role)core->role);
	int input = peer == L3L2Q_ROLE_L3;

	if (!window || window > l->depth)
		return -EINVAL;
	__builtin_memset(c, 0, sizeof(*c));
	c->core = core;
	c->ring = (const struct l3l2q_desc *)(const void *)(core->payload +
		  (input ? l->input_desc_offset : l->output_desc_offset));
	c->tail_counter = l3l2q_core_counter(core, l3l2q_ctr_tail(peer));
	c->head_counter = l3l2q_core_counter(core, l3l2q_ctr_head(peer));
	c->held = (struct l3l2q_message *)memory;
	c->held_mask = l3l2q_consumer_entries(window) - 1;
	c->mask = l->depth - 1;
	c->payload = core->payload;
	c->arena_offset = input ? l->input_arena_offset : l->output_arena_offset;
	c->arena_end = c->arena_offset + (input ? l->input_arena_bytes : l->output_arena_bytes);
	c->offset = c->arena_offset;
	c->room = c->arena_end - c->arena_offset;
	c->window = (__u32)window;
	c->one_handle = window == 1 && (core->binding == L3L2Q_BINDING_L3Q2 ||
					core->role == L3L2Q_ROLE_L3);
	c->fast_path = (__u8)l3l2q_core_is_plain(core);
	c->ask_at = core->flag_tells ? 0 : L3L2Q_ASK_NEVER;
	c->failed = core->failing;
	c->watch = l3l2q_core_fenced_watch(core);
	c->seen = core->control ? &core->control->seen_tail : &c->unseen;
	core->rx_failed = &c->failed;
	/* Never derive readiness from the own head counter: the peer may be able to write it. */
	l3l2q_consumer_store_readiness(c, 0, L3L2Q_CONSUMER_SEEN);
	return 0;
}

/* ---- consumer: fast paths ---------------------------------------------- */

/* Messages acquired: the index of the next one. */
static inline __u64 l3l2q_consumer_acquired(const struct l3l2q_consumer *c)
{
	return c->head + c->outstanding;
}

/* True if this side has no error, so that the fast paths may be taken. */
static inline int l3l2q_consumer_is_sound(const struct l3l2q_consumer *c)
{
	return l3l2q_likely(!l3l2q_core_look(&c->failed, ~0u));
}

/* The window is full: only a STOP can still be acquired. */
L3L2Q_SLOW void l3l2q_consumer_update_readiness_full(struct l3l2q_consumer *c)
{
	__u64 acquired = l3l2q_consumer_acquired(c);

	if (!c->core->control) /* nobody to tell, and reading the ring may be slow */
		return;
	if (c->stopped || c->tail == acquired ||
	    __atomic_load_n(&c->ring[acquired & c->mask].opcode, __ATOMIC_RELAXED) ==
	    L3L2Q_OP_STOP) {
		l3l2q_consumer_store_readiness(c, (__u32)acquired, L3L2Q_CONSUMER_SEEN);
		return;
	}
	c->window_full = 1; /* decides who is woken only: peek reads the ring itself */
	l3l2q_consumer_store_readiness(c, (__u32)c->tail, L3L2Q_CONSUMER_SEEN);
}

/* Publish the consumer's readiness in the control page for poll and WAIT. */
static inline void l3l2q_consumer_update_readiness(struct l3l2q_consumer *c)
{
	__u32 acquired = (__u32)l3l2q_consumer_acquired(c);
	int full = c->outstanding >= c->window;

	c->window_full = full && c->one_handle;
	if (c->window_full)
		l3l2q_consumer_store_readiness(c, acquired,
					       L3L2Q_CONSUMER_SEEN | L3L2Q_CONSUMER_HOLD);
	else if (l3l2q_unlikely(full))
		l3l2q_consumer_update_readiness_full(c);
	else
		l3l2q_consumer_store_readiness(c, acquired, L3L2Q_CONSUMER_SEEN);
}

/* Copy a descriptor, once. */
static inline struct l3l2q_desc l3l2q_desc_copy(const struct l3l2q_desc *slot)
{
	struct l3l2q_desc desc;

	desc.seq = __atomic_load_n(&slot->seq, __ATOMIC_RELAXED);
	desc.opcode = __atomic_load_n(&slot->opcode, __ATOMIC_RELAXED);
	desc.payload_offset = __atomic_load_n(&slot->payload_offset, __ATOMIC_RELAXED);
	desc.payload_nbytes = __atomic_load_n(&slot->payload_nbytes, __ATOMIC_RELAXED);
	return desc;
}

/* Copy the descriptor of the next message. */
static inline struct l3l2q_desc l3l2q_consumer_read_desc(const struct l3l2q_consumer *c)
{
	return l3l2q_desc_copy(&c->ring[l3l2q_consumer_acquired(c) & c->mask]);
}

/* True if @desc is the next message with its body at the cursor. */
static inline int l3l2q_consumer_is_expected(const struct l3l2q_consumer *c, struct l3l2q_desc desc)
{
	__u64 offset = desc.payload_nbytes ? c->offset : 0;

	return l3l2q_likely(desc.seq == l3l2q_consumer_acquired(c) + 1 &&
			    l3l2q_opcode_is_data(desc.opcode) && desc.payload_offset == offset &&
			    desc.payload_nbytes <= c->room);
}

/* The address of a body, or NULL. */
static inline const void *l3l2q_consumer_body(const struct l3l2q_consumer *c, __u64 offset,
					      __u64 nbytes)
{
	return nbytes ? c->payload + offset : 0;
}

L3L2Q_COLD __u32 l3l2q_consumer_wants_kick_fenced(struct l3l2q_consumer *c)
{
	return l3l2q_core_wants_kick_fenced(c->core, &c->watch, &c->fence, L3L2Q_SEE_HEAD);
}

/* After a store of the head: what the peer has armed of that. */
static inline __u32 l3l2q_consumer_wants_kick(struct l3l2q_consumer *c)
{
	if (l3l2q_likely(!l3l2q_core_look(c->watch, L3L2Q_SEE_HEAD)))
		return 0;
	return l3l2q_consumer_wants_kick_fenced(c);
}

/* Move the head over messages; the caller publishes it. Statistics read it. */
static inline void l3l2q_consumer_advance(struct l3l2q_consumer *c, __u64 n)
{
	l3l2q_core_add(&c->head, n);
	c->outstanding -= n;
}

/* Publish the head, and find out whether the peer sleeps for it. */
static inline void l3l2q_consumer_publish(struct l3l2q_consumer *c)
{
	__u32 kick;

	l3l2q_core_store(c->core, c->head_counter, (__u32)c->head);
	kick = l3l2q_consumer_wants_kick(c);
	if (l3l2q_unlikely(kick))
		c->kick |= kick;
}

/* The same in plain memory. Returns whether the peer sleeps for it. */
static inline __u32 l3l2q_consumer_publish_plain(struct l3l2q_consumer *c, __u64 head)
{
	__s32 *counter = c->head_counter;

	__atomic_store_n(&c->head, head, __ATOMIC_RELAXED);
	l3l2q_store_counter(counter, (__u32)head);
	return l3l2q_consumer_wants_kick(c);
}

/*
 * 1 if message @next can be acquired on the fast path, should there be room in the window;
 * -EAGAIN if there is none; 0 if the slow path has to decide.
 */
static inline int l3l2q_consumer_refresh_any(struct l3l2q_consumer *c, __u64 next)
{
	__u32 news;

	if (l3l2q_unlikely(!c->fast_path || !l3l2q_consumer_is_sound(c)))
		return 0;
	if (l3l2q_likely(next != c->tail))
		return 1;
	news = l3l2q_load_counter(c->tail_counter) - (__u32)c->tail;
	if (news) {
		if (l3l2q_unlikely(news > c->mask + 1 - (c->tail - c->head)))
			return 0;
		c->tail += news;
		return 1;
	}
	if (l3l2q_unlikely(l3l2q_core_look(c->core->gone, ~0u)))
		return 0;
	if (l3l2q_likely(c->ask_at))
		return l3l2q_ticks() < c->ask_at ? -EAGAIN : 0;
	return c->core->flag_tells && !l3l2q_core_peer_aborted(c->core) ? -EAGAIN : 0;
}

/* The same with regard to the window. */
static inline int l3l2q_consumer_refresh_fast(struct l3l2q_consumer *c)
{
	return l3l2q_likely(c->outstanding < c->window)
	       ? l3l2q_consumer_refresh_any(c, l3l2q_consumer_acquired(c)) : 0;
}

/*
 * The same for message @head, that of @c, if no handle is held, as has to be where a message
 * is taken by copying.
 */
static inline int l3l2q_consumer_refresh_idle(struct l3l2q_consumer *c, __u64 head)
{
	int found;

	if (l3l2q_likely(head < c->limit))
		return l3l2q_consumer_is_sound(c);
	if (l3l2q_unlikely(c->outstanding))
		return 0;
	found = l3l2q_consumer_refresh_any(c, head);
	if (l3l2q_likely(found == 1))
		c->limit = c->tail;
	return found;
}

/* Acquire a message that is as expected; the caller updates the readiness. */
static inline struct l3l2q_message *l3l2q_consumer_acquire(struct l3l2q_consumer *c,
							   struct l3l2q_desc desc)
{
	struct l3l2q_message *held = &c->held[l3l2q_consumer_acquired(c) & c->held_mask];

	held->seq = desc.seq;
	held->payload_offset = desc.payload_offset;
	held->nbytes = desc.payload_nbytes;
	held->data = l3l2q_consumer_body(c, desc.payload_offset, desc.payload_nbytes);
	held->opcode = (__u32)desc.opcode;
	c->offset += desc.payload_nbytes;
	c->room -= desc.payload_nbytes;
	c->outstanding++;
	c->limit = 0;
	return held;
}

/* Move the cursor to the arena's start: the next body is the first one behind a wrap. */
static inline void l3l2q_consumer_wrap(struct l3l2q_consumer *c)
{
	c->offset = c->arena_offset;
	c->room = c->arena_end - c->arena_offset;
	c->wrapped = l3l2q_consumer_acquired(c);
}

/*
 * Acquire @n published messages, of which neither the slots nor the entries wrap, if they
 * are DATA with bodies that lie one behind the other; else none. The differences are looked
 * at once, after the last message. Their entries are written before: nothing is in them yet.
 */
static inline int l3l2q_consumer_acquire_run(struct l3l2q_consumer *c, __u64 n)
{
	__u64 seq = l3l2q_consumer_acquired(c), end = seq + n;
	const struct l3l2q_desc *slot = &c->ring[seq & c->mask];
	struct l3l2q_message *held = &c->held[seq & c->held_mask];
	unsigned long payload = (unsigned long)c->payload;
	__u64 seqs = 0, opcodes = 0, offsets = 0, sizes = 0, offset;

	if (!c->room)
		l3l2q_consumer_wrap(c);
	offset = c->offset;
	L3L2Q_UNROLL
	while (seq != end) {
		__u64 nbytes = __atomic_load_n(&slot->payload_nbytes, __ATOMIC_RELAXED);

		seq++;
		seqs |= __atomic_load_n(&slot->seq, __ATOMIC_RELAXED) ^ seq;
		opcodes |= __atomic_load_n(&slot->opcode, __ATOMIC_RELAXED) ^ L3L2Q_OP_DATA;
		offsets |= __atomic_load_n(&slot->payload_offset, __ATOMIC_RELAXED) ^ offset;
		sizes |= nbytes - 1;
		slot++;
		held->seq = seq;
		held->payload_offset = offset;
		held->nbytes = nbytes;
		/* Not checked yet, so not computed as a pointer. */
		held->data = (const void *)(payload + (unsigned long)offset);
		held->opcode = L3L2Q_OP_DATA;
		held++;
		offset += nbytes;
	}
	/* A size of 0 has become the largest; others below 2^32 do not overflow a sum. */
	if (l3l2q_unlikely(seqs | opcodes | offsets | sizes >> 32 || offset > c->arena_end))
		return 0;
	c->offset = offset;
	c->room = c->arena_end - offset;
	c->outstanding += n;
	c->limit = 0;
	return 1;
}

/* True if a word of shared memory is @value; it is read once. */
static inline int l3l2q_word_is(const __u64 *word, __u64 value)
{
#if defined(__x86_64__) && defined(__GCC_ASM_FLAG_OUTPUTS__)
	int same;

	/* No compiler makes one instruction of an atomic load and a comparison. */
	__asm__ volatile("cmpq %2, %1" : "=@cce"(same) : "m"(*word), "er"(value));
	return same;
#else
	return __atomic_load_n(word, __ATOMIC_RELAXED) == value;
#endif
}

/* Fill in the handle of a message whose body is copied. */
static inline void l3l2q_message_copied(struct l3l2q_message *m, __u64 seq, __u64 offset,
					__u64 nbytes)
{
	m->seq = seq;
	m->payload_offset = offset;
	m->nbytes = nbytes;
	m->data = 0;
	m->opcode = L3L2Q_OP_DATA;
}

/*
 * Copy message @head out and release it, as l3l2q_consumer_refresh_idle() allows, if it is as
 * expected and its body fits the caller's buffer; else return 0. No handle is held, so that
 * the window is not full before or after. @kick: whether the peer sleeps for the room. The
 * copy comes last, so that little has to be kept across it.
 */
static inline int l3l2q_consumer_copy_fast(struct l3l2q_consumer *c, __u64 head,
					   struct l3l2q_message *m, void *to, __u64 capacity,
					   __u32 *kick)
{
	const struct l3l2q_desc *slot = &c->ring[head & c->mask];
	__u64 seq = head + 1, offset, nbytes;

	if (l3l2q_unlikely(!l3l2q_word_is(&slot->seq, seq)))
		return 0;
	if (l3l2q_unlikely(!l3l2q_word_is(&slot->opcode, L3L2Q_OP_DATA)))
		return 0;
	offset = __atomic_load_n(&slot->payload_offset, __ATOMIC_RELAXED);
	nbytes = __atomic_load_n(&slot->payload_nbytes, __ATOMIC_RELAXED);
	if (l3l2q_likely(nbytes - 1 < c->room)) {
		if (l3l2q_unlikely(offset != c->offset || nbytes > capacity || !to))
			return 0;
		l3l2q_core_add(&c->offset, nbytes);
		c->room -= nbytes;
		l3l2q_core_add(&c->bytes, nbytes);
		l3l2q_message_copied(m, seq, offset, nbytes);
		__builtin_memcpy(to, c->payload + offset, nbytes);
	} else {
		if (l3l2q_unlikely(nbytes | offset))
			return 0;
		l3l2q_message_copied(m, seq, 0, 0);
	}
	__atomic_store_n(c->seen, (__u32)seq, __ATOMIC_RELAXED);
	*kick = l3l2q_consumer_publish_plain(c, seq);
	return 1;
}

/* ---- consumer: slow paths ---------------------------------------------- */

/* Take note of the peer's tail counter. */
static inline int l3l2q_consumer_observe(struct l3l2q_consumer *c, __u32 observed)
{
	__u64 tail = c->tail;

	if (l3l2q_reconstruct(observed, c->mask + 1, &tail) || tail - c->head > c->mask + 1)
		return l3l2q_core_poison(c->core, L3L2Q_ERR_INVALID_DESCRIPTOR, "peek",
					 "the peer's tail counter is impossible");
	if (l3l2q_core_is_remote(c->core) && tail != c->tail)
		l3l2q_core_maintain_slots(c->core, (struct l3l2q_desc *)(unsigned long)c->ring,
					  c->tail, tail, l3l2q_core_invalidate);
	c->tail = tail;
	return 0;
}

/* Read the peer's tail counter. */
static inline int l3l2q_consumer_refresh(struct l3l2q_consumer *c)
{
	return l3l2q_consumer_observe(c, l3l2q_core_load(c->core, c->tail_counter));
}

/* Flag and tail by one copy. If the flag is set the tail may be older, and is read again. */
L3L2Q_SLOW int l3l2q_consumer_look_copied(struct l3l2q_consumer *c, __u32 *gone)
{
	const struct l3l2q_core *core = c->core;
	enum l3l2q_role peer = l3l2q_peer_role((enum l3l2q_role)core->role);
	__u32 counters[L3L2Q_COUNTER_BYTES / sizeof(__u32)];

	core->access->read(core, counters, core->counters, sizeof(counters));
	/* After the copy: it tells of a removal only, which may have been seen just now. */
	*gone = l3l2q_core_gone_word(core);
	if (l3l2q_abort_is_set((__s32)counters[l3l2q_ctr_abort(peer) / sizeof(__u32)])) {
		*gone |= L3L2Q_GONE_ABORTED;
		return l3l2q_consumer_refresh(c);
	}
	return l3l2q_consumer_observe(c, counters[l3l2q_ctr_tail(peer) / sizeof(__u32)]);
}

/*
 * Read the tail, and before it whether the peer has ended: what it published before its
 * end is then seen.
 */
static inline int l3l2q_consumer_look(struct l3l2q_consumer *c, __u32 *gone)
{
	if (l3l2q_unlikely(c->core->memory == L3L2Q_MEMORY_COPIED))
		return l3l2q_consumer_look_copied(c, gone);
	*gone = l3l2q_core_gone(c->core);
	return l3l2q_consumer_refresh(c);
}

/* Invalidate the bodies of handles, before the caller gets them; those that lie together at once. */
L3L2Q_COLD void l3l2q_consumer_invalidate_bodies(const struct l3l2q_consumer *c,
						 const struct l3l2q_message *m, int n)
{
	unsigned char *payload = c->core->payload;
	__u64 from = 0, to = 0;
	int i;

	for (i = 0; i < n; i++) {
		if (!m[i].nbytes)
			continue;
		if (m[i].payload_offset != to) {
			if (to != from)
				l3l2q_core_invalidate(c->core, payload + from, to - from);
			from = m[i].payload_offset;
		}
		to = m[i].payload_offset + m[i].nbytes;
	}
	if (to != from)
		l3l2q_core_invalidate(c->core, payload + from, to - from);
}

static inline void l3l2q_consumer_hand_out(const struct l3l2q_consumer *c,
					   const struct l3l2q_message *m, int n)
{
	if (l3l2q_unlikely(c->core->memory == L3L2Q_MEMORY_UNSNOOPED))
		l3l2q_consumer_invalidate_bodies(c, m, n);
}

static inline int l3l2q_consumer_reject(struct l3l2q_consumer *c, const char *message)
{
	return l3l2q_core_poison(c->core, L3L2Q_ERR_INVALID_DESCRIPTOR, "peek", message);
}

/*
 * Move the cursor to a body, or return -1 if the body is not where it belongs. With L3Q2
 * the L3 side also accepts a body that wraps early, as reference L2 producers send them,
 * unless it would overlap a body that is still held.
 */
static inline int l3l2q_consumer_locate(struct l3l2q_consumer *c, __u64 offset, __u64 nbytes)
{
	__u64 acquired = l3l2q_consumer_acquired(c);
	int wraps = nbytes > c->room;

	if (offset == c->offset && !wraps)
		return 0;
	if (offset != c->arena_offset)
		return -1;
	if (!wraps && (c->core->role != L3L2Q_ROLE_L3 || c->core->binding != L3L2Q_BINDING_L3Q2))
		return -1;
	if (!wraps) {
		if (c->oldest < c->head)
			c->oldest = c->head;
		while (c->oldest < acquired && !c->held[c->oldest & c->held_mask].nbytes)
			c->oldest++;
		/* Before the last wrap, or before the end of what would be overwritten. */
		if (c->oldest != acquired &&
		    (c->oldest < c->wrapped || c->arena_offset + nbytes >
		     c->held[c->oldest & c->held_mask].payload_offset))
			return -1;
	}
	l3l2q_consumer_wrap(c);
	return 0;
}

/* No message, or none within the window; @gone was read before the tail. */
static inline int l3l2q_consumer_no_progress(struct l3l2q_consumer *c, __u32 gone)
{
	int ret = l3l2q_core_status(c->core);

	l3l2q_consumer_update_readiness(c);
	if (!ret)
		ret = l3l2q_core_check_peer(c->core, gone, "peek");
	return ret ? ret : -EAGAIN;
}

/* A peek after STOP was acquired: nothing may follow it. */
static inline int l3l2q_consumer_after_stop(struct l3l2q_consumer *c)
{
	__u32 gone;
	int ret = l3l2q_consumer_look(c, &gone);

	if (ret)
		return ret;
	if (c->tail != l3l2q_consumer_acquired(c))
		return l3l2q_consumer_reject(c, "a descriptor follows STOP");
	return l3l2q_consumer_no_progress(c, gone);
}

/*
 * A peek with one handle held: L3 gets the same handle, L2 must not ask. One that was
 * completed is not held, but has its place in the window until it is retired.
 */
static inline int l3l2q_consumer_same_handle(struct l3l2q_consumer *c,
					     const struct l3l2q_message **m)
{
	const struct l3l2q_message *held = &c->held[c->head & c->held_mask];

	if (!held->seq)
		return l3l2q_consumer_no_progress(c, 0);
	if (c->core->role == L3L2Q_ROLE_L2)
		return l3l2q_core_poison(c->core, L3L2Q_ERR_OWNERSHIP, "peek",
					 "a handle is held");
	*m = held;
	return 0;
}

/* Check the copy of a descriptor in the order of section 5, and acquire the message. */
static inline int l3l2q_consumer_validate_desc(struct l3l2q_consumer *c, struct l3l2q_desc desc,
					       const struct l3l2q_message **m)
{
	struct l3l2q_message *held;
	enum l3l2q_role sender = l3l2q_peer_role((enum l3l2q_role)c->core->role);
	int stop = desc.opcode == L3L2Q_OP_STOP && sender == L3L2Q_ROLE_L3, ret;
	__u64 offset = desc.payload_offset, nbytes = desc.payload_nbytes;

	if (desc.seq != l3l2q_consumer_acquired(c) + 1)
		return l3l2q_consumer_reject(c, "descriptor out of sequence");
	if (!stop && !l3l2q_core_carries(c->core, sender, desc.opcode))
		return l3l2q_consumer_reject(c, "invalid opcode");
	if (stop) {
		if (offset || nbytes)
			return l3l2q_consumer_reject(c, "STOP with a body");
		ret = l3l2q_consumer_refresh(c);
		if (ret)
			return ret;
		if (c->tail != desc.seq)
			return l3l2q_consumer_reject(c, "a descriptor follows STOP");
	} else if (c->outstanding >= c->window) {
		/* A full window is no progress, also after the peer's end. */
		ret = l3l2q_consumer_refresh(c);
		return ret ? ret : l3l2q_consumer_no_progress(c, 0);
	}
	if (!nbytes) {
		if (offset)
			return l3l2q_consumer_reject(c, "an offset without a body");
		/* The zeroes may be those of stand-in pages. */
		if (l3l2q_core_removed(c->core))
			return l3l2q_core_remote_abort(c->core, "peek");
	} else {
		if (offset < c->arena_offset || offset > c->arena_end ||
		    nbytes > c->arena_end - offset)
			return l3l2q_consumer_reject(c, "body outside the arena");
		if (l3l2q_consumer_locate(c, offset, nbytes))
			return l3l2q_consumer_reject(c, "body not where the cursor is");
	}
	if (stop) {
		c->stopped = 1;
		c->fast_path = 0;
	}
	held = l3l2q_consumer_acquire(c, desc);
	if (c->core->memory == L3L2Q_MEMORY_COPIED)
		held->data = 0;
	*m = held;
	l3l2q_consumer_update_readiness(c);
	return 0;
}

/* Acquire the next message, with all checks. */
static inline int l3l2q_consumer_peek_one(struct l3l2q_consumer *c, const struct l3l2q_message **m)
{
	struct l3l2q_desc desc;
	__u32 gone;
	int ret = l3l2q_core_check_receive(c->core);

	if (l3l2q_unlikely(ret))
		return ret;
	if (c->one_handle && c->outstanding)
		return l3l2q_consumer_same_handle(c, m);
	if (l3l2q_unlikely(c->stopped))
		return l3l2q_consumer_after_stop(c);
	if (c->tail == l3l2q_consumer_acquired(c)) {
		ret = l3l2q_consumer_look(c, &gone);
		if (l3l2q_unlikely(ret))
			return ret;
		if (c->tail == l3l2q_consumer_acquired(c))
			return l3l2q_consumer_no_progress(c, gone);
	}
	if (c->core->memory == L3L2Q_MEMORY_WC || c->core->memory == L3L2Q_MEMORY_DEVICE)
		/* few wide reads: each one is a round trip to the device */
		l3l2q_copy_from(c->core->path, &desc,
				&c->ring[l3l2q_consumer_acquired(c) & c->mask], sizeof(desc));
	else
		desc = l3l2q_consumer_read_desc(c);
	return l3l2q_consumer_validate_desc(c, desc, m);
}

L3L2Q_SLOW int l3l2q_consumer_peek(struct l3l2q_consumer *c, struct l3l2q_message *m)
{
	const struct l3l2q_message *held;
	int ret = l3l2q_consumer_peek_one(c, &held);

	if (ret)
		return ret;
	l3l2q_consumer_hand_out(c, held, 1);
	*m = *held;
	return 0;
}

L3L2Q_SLOW int l3l2q_consumer_validate_slow(struct l3l2q_consumer *c,
					    struct l3l2q_desc desc, struct l3l2q_message *m)
{
	const struct l3l2q_message *held;
	int ret = l3l2q_consumer_validate_desc(c, desc, &held);

	if (!ret)
		*m = *held;
	return ret;
}

/**
 * l3l2q_core_try_peek() - acquire the next message
 * @c: the consumer
 * @m: result, valid until released; untouched on failure
 */
L3L2Q_FAST int l3l2q_core_try_peek(struct l3l2q_consumer *c, struct l3l2q_message *m)
{
	int found = l3l2q_consumer_refresh_fast(c);
	struct l3l2q_desc desc;

	if (found == -EAGAIN)
		return found;
	if (l3l2q_unlikely(!found))
		return l3l2q_consumer_peek(c, m);
	desc = l3l2q_consumer_read_desc(c);
	if (l3l2q_unlikely(!l3l2q_consumer_is_expected(c, desc)))
		return l3l2q_consumer_validate_slow(c, desc, m);
	*m = *l3l2q_consumer_acquire(c, desc);
	l3l2q_consumer_update_readiness(c);
	return 0;
}

/* Acquire @n messages at once if they are known to be published, and as expected. */
static inline int l3l2q_consumer_acquire_rest(struct l3l2q_consumer *c, int n)
{
	__u64 acquired = l3l2q_consumer_acquired(c);

	if (!c->fast_path || c->tail - acquired < (__u64)n ||
	    c->window - c->outstanding < (__u64)n ||
	    c->mask + 1 - (acquired & c->mask) < (__u64)n ||
	    !l3l2q_consumer_acquire_run(c, (__u64)n))
		return 0;
	l3l2q_consumer_update_readiness(c);
	return 1;
}

/* How many handles from the next one on lie together, up to @max. */
static inline int l3l2q_consumer_limit_run(const struct l3l2q_consumer *c, int max)
{
	__u64 straight = c->held_mask + 1 - (l3l2q_consumer_acquired(c) & c->held_mask);

	if (l3l2q_unlikely(c->window == 1))
		return 1;
	return (__u64)max < straight ? max : (int)straight;
}

/*
 * Acquire a run message by message. With copied memory a look is a call: one is enough, or
 * none behind the messages that are known if @looked.
 */
L3L2Q_SLOW int l3l2q_consumer_peek_each(struct l3l2q_consumer *c,
					const struct l3l2q_message **run, int max, int looked)
{
	int n, ret = 0;
	const struct l3l2q_message *held, *first = 0;

	max = l3l2q_consumer_limit_run(c, max);
	for (n = 0; n < max && !(n && c->stopped); n++) {
		if (c->tail == l3l2q_consumer_acquired(c)) {
			if (n && looked && c->core->memory == L3L2Q_MEMORY_COPIED)
				break;
			looked = 1;
		}
		/* Bodies lie together again behind one that wrapped. */
		if (n && c->wrapped + 1 == l3l2q_consumer_acquired(c) &&
		    l3l2q_consumer_acquire_rest(c, max - n)) {
			n = max;
			break;
		}
		ret = l3l2q_consumer_peek_one(c, &held);
		if (ret)
			break;
		if (!n)
			first = held;
	}
	if (!n)
		return ret;
	l3l2q_consumer_hand_out(c, first, n);
	*run = first;
	return n;
}

/* Acquire a run; @looked: see l3l2q_consumer_peek_each(). */
static inline int l3l2q_consumer_peek_run(struct l3l2q_consumer *c,
					  const struct l3l2q_message **run, int max, int looked)
{
	int found = l3l2q_consumer_refresh_fast(c);
	__u64 next = l3l2q_consumer_acquired(c), n = (__u64)max, straight;
	const struct l3l2q_message *first = &c->held[next & c->held_mask];
	__u32 news;
	int rest;

	if (found == -EAGAIN)
		return found;
	if (l3l2q_unlikely(!found))
		return l3l2q_consumer_peek_each(c, run, max, looked);
	if (n > c->window - c->outstanding)
		n = c->window - c->outstanding;
	if (n > c->held_mask + 1 - (next & c->held_mask))
		n = c->held_mask + 1 - (next & c->held_mask);
	if (n > c->tail - next) {
		news = l3l2q_load_counter(c->tail_counter) - (__u32)c->tail;
		if (l3l2q_unlikely(news > c->mask + 1 - (c->tail - c->head)))
			return l3l2q_consumer_peek_each(c, run, (int)n, looked);
		c->tail += news;
		if (n > c->tail - next)
			n = c->tail - next;
	}
	straight = c->mask + 1 - (next & c->mask);
	if (l3l2q_unlikely(!l3l2q_consumer_acquire_run(c, n < straight ? n : straight)))
		return l3l2q_consumer_peek_each(c, run, (int)n, looked);
	*run = first;
	if (n > straight && !l3l2q_consumer_acquire_run(c, n - straight)) {
		/* These handles lie behind those of the run, and what fails has been told. */
		l3l2q_consumer_update_readiness(c);
		rest = l3l2q_consumer_peek_each(c, &first, (int)(n - straight), 1);
		return (int)straight + (rest > 0 ? rest : 0);
	}
	l3l2q_consumer_update_readiness(c);
	return (int)n;
}

/**
 * l3l2q_core_try_peek_run() - acquire several messages, without copying their handles
 * @c: the consumer
 * @run: result: the consumer's own handles, one behind the other; each is valid until its
 *	message is released. Untouched on failure
 * @max: most messages to acquire, at least 1
 *
 * Fewer are acquired if fewer are published, at the end of the window, where the array
 * of handles ends, and behind STOP; one at a time with a window of 1.
 *
 * Return: how many, at least 1, or -errno as l3l2q_core_try_peek(). An error behind a good
 * message is returned by the next call.
 */
static inline int l3l2q_core_try_peek_run(struct l3l2q_consumer *c,
					  const struct l3l2q_message **run, int max)
{
	return l3l2q_consumer_peek_run(c, run, max, 0);
}

/**
 * l3l2q_core_peek_batch() - acquire several messages, and copy their handles
 * @c: the consumer
 * @m: results
 * @max: how many there is room for, at least 1
 *
 * Return: how many, at least 1, or -errno.
 */
static inline int l3l2q_core_peek_batch(struct l3l2q_consumer *c, struct l3l2q_message *m,
					int max)
{
	int n, i, got = 0;
	const struct l3l2q_message *run;
	__u64 tail = c->tail;

	do {
		n = l3l2q_consumer_peek_run(c, &run, max - got, c->tail != tail);
		for (i = 0; i < n; i++)
			m[got++] = run[i];
		/* Go on where the array of handles ended, unless the window is full. */
	} while (n > 0 && got < max && !(l3l2q_consumer_acquired(c) & c->held_mask) &&
		 !c->stopped && c->outstanding < c->window &&
		 !(c->tail == l3l2q_consumer_acquired(c) && c->tail != tail &&
		   c->core->memory == L3L2Q_MEMORY_COPIED));
	return got ? got : n;
}

/* Where the cursor was before a peek. */
struct l3l2q_bookmark {
	__u64 offset;
	__u64 wrapped;
};

static inline struct l3l2q_bookmark l3l2q_core_bookmark(const struct l3l2q_consumer *c)
{
	struct l3l2q_bookmark mark = { c->offset, c->wrapped };

	return mark;
}

/* Undo the last peek, of a message with a body, made since the bookmark. */
static inline void l3l2q_core_unpeek(struct l3l2q_consumer *c, struct l3l2q_bookmark mark)
{
	c->outstanding--;
	c->offset = mark.offset;
	c->room = c->arena_end - mark.offset;
	c->wrapped = mark.wrapped;
	l3l2q_consumer_update_readiness(c);
	l3l2q_full_barrier();
	c->self_kick |= l3l2q_core_wants_self_kick(c->core, L3L2Q_EVENT_IN);
}

/* True if the handle says what the own one says, which was not released yet. */
static inline int l3l2q_message_matches(const struct l3l2q_message *held,
					const struct l3l2q_message *m)
{
	return l3l2q_likely(!((m->seq ^ held->seq) | (m->opcode ^ held->opcode) |
			      (m->payload_offset ^ held->payload_offset) |
			      (m->nbytes ^ held->nbytes)) && m->data == held->data);
}

/* The own handle that belongs to the caller's, or NULL. */
static inline struct l3l2q_message *l3l2q_consumer_find(struct l3l2q_consumer *c,
							const struct l3l2q_message *m)
{
	struct l3l2q_message *held = &c->held[(m->seq - 1) & c->held_mask];

	if (l3l2q_unlikely(m->seq - 1 - c->head >= c->outstanding))
		return 0;
	return l3l2q_message_matches(held, m) ? held : 0;
}

L3L2Q_COLD void l3l2q_consumer_read_body_slow(const struct l3l2q_consumer *c,
					      const struct l3l2q_message *held, void *to)
{
	if (c->core->memory == L3L2Q_MEMORY_COPIED)
		c->core->access->read_body(c, held, to);
	else
		l3l2q_core_copy_out(c->core, to, c->payload + held->payload_offset,
				    held->nbytes);
}

static inline void l3l2q_consumer_read_body(const struct l3l2q_consumer *c,
					    const struct l3l2q_message *held, void *to)
{
	if (l3l2q_likely(c->core->memory == L3L2Q_MEMORY_CACHED))
		__builtin_memcpy(to, c->payload + held->payload_offset, held->nbytes);
	else
		l3l2q_consumer_read_body_slow(c, held, to);
}

/**
 * l3l2q_core_read_into() - copy a held message's body out
 * @c: the consumer
 * @m: the handle
 * @to: destination; NULL exactly if the message has no body
 * @capacity: bytes at @to
 *
 * Return: 0; -EINVAL for a stale handle, for NULL with a body, or for a buffer without
 * one; -EMSGSIZE if @capacity is too small. None of them poisons.
 */
static inline int l3l2q_core_read_into(struct l3l2q_consumer *c,
				       const struct l3l2q_message *m,
				       void *to, __u64 capacity)
{
	const struct l3l2q_message *held;
	int ret = l3l2q_core_check_receive(c->core);

	if (l3l2q_unlikely(ret))
		return ret;
	held = l3l2q_consumer_find(c, m);
	if (l3l2q_unlikely(!held || !to != !held->nbytes)) {
		ret = l3l2q_core_status(c->core);
		return ret ? ret : -EINVAL;
	}
	if (l3l2q_unlikely(capacity < held->nbytes))
		return -EMSGSIZE;
	if (held->nbytes)
		l3l2q_consumer_read_body(c, held, to);
	if (l3l2q_unlikely(l3l2q_core_removed(c->core)))
		return l3l2q_core_remote_abort(c->core, "read_into");
	return 0;
}

L3L2Q_SLOW int l3l2q_consumer_reject_handle(struct l3l2q_consumer *c)
{
	int ret = l3l2q_core_check_receive(c->core);

	return ret ? ret : l3l2q_core_poison(c->core, L3L2Q_ERR_OWNERSHIP, "release",
					     "not a handle that is held");
}

/* Mark a message as released; l3l2q_core_retire() publishes the head. */
static inline int l3l2q_core_complete(struct l3l2q_consumer *c, const struct l3l2q_message *m)
{
	struct l3l2q_message *held = l3l2q_consumer_find(c, m);

	if (l3l2q_unlikely(!held || l3l2q_core_check_receive(c->core)))
		return l3l2q_consumer_reject_handle(c);
	if (l3l2q_unlikely(!c->fast_path && l3l2q_core_removed(c->core)))
		return l3l2q_core_remote_abort(c->core, "release");
	held->seq = 0;
	c->completed++;
	l3l2q_core_add(&c->bytes, held->nbytes);
	return 0;
}

/* A window that was full is not: other threads of this side may sleep for that. */
L3L2Q_COLD void l3l2q_consumer_kick_self(struct l3l2q_consumer *c)
{
	if (c->fence == L3L2Q_FENCE_ON_REQUEST) /* else one was executed with the head */
		l3l2q_full_barrier();
	c->self_kick |= l3l2q_core_wants_self_kick(c->core, L3L2Q_EVENT_IN);
}

/* Publish the head, and wake threads of this side that a full window kept waiting. */
static inline void l3l2q_consumer_publish_head(struct l3l2q_consumer *c)
{
	int was_full = c->window_full;

	if (was_full)
		l3l2q_consumer_update_readiness(c);
	l3l2q_consumer_publish(c);
	if (was_full && !c->window_full)
		l3l2q_consumer_kick_self(c);
}

/*
 * Release the completed prefix: one counter store, however long it is. @published: the head
 * that the peer can see.
 */
static inline void l3l2q_consumer_retire(struct l3l2q_consumer *c, __u64 published)
{
	while (c->outstanding && !c->held[c->head & c->held_mask].seq) {
		l3l2q_consumer_advance(c, 1);
		c->completed--;
	}
	if (c->head == published)
		return;
	/* nothing is acquired after STOP */
	if (l3l2q_unlikely(c->stopped && !c->outstanding))
		c->drained = 1;
	l3l2q_consumer_publish_head(c);
}

static inline void l3l2q_core_retire(struct l3l2q_consumer *c)
{
	l3l2q_consumer_retire(c, c->head);
}

/* True if the handle is the oldest one and its release moves the head by one. */
static inline int l3l2q_consumer_can_release_fast(const struct l3l2q_consumer *c,
						  const struct l3l2q_message *m)
{
	return l3l2q_likely(m->seq == c->head + 1 && c->outstanding &&
			    l3l2q_message_matches(&c->held[c->head & c->held_mask], m) &&
			    !c->completed && c->fast_path && l3l2q_consumer_is_sound(c));
}

static inline void l3l2q_consumer_release_next(struct l3l2q_consumer *c,
					       const struct l3l2q_message *m)
{
	l3l2q_core_add(&c->bytes, m->nbytes);
	l3l2q_consumer_advance(c, 1);
	l3l2q_consumer_publish_head(c);
}

L3L2Q_SLOW int l3l2q_consumer_release(struct l3l2q_consumer *c, const struct l3l2q_message *m)
{
	int ret = l3l2q_core_complete(c, m);

	if (!ret)
		l3l2q_core_retire(c);
	return ret;
}

/* Release one message. */
static inline int l3l2q_core_release(struct l3l2q_consumer *c, const struct l3l2q_message *m)
{
	if (l3l2q_unlikely(!l3l2q_consumer_can_release_fast(c, m)))
		return l3l2q_consumer_release(c, m);
	l3l2q_consumer_release_next(c, m);
	return 0;
}

/**
 * l3l2q_core_release_batch() - release several messages, in any order
 * @c: the consumer
 * @m: handles
 * @n: how many
 *
 * One counter store. Those before the first that is refused are released.
 */
static inline int l3l2q_core_release_batch(struct l3l2q_consumer *c,
					   const struct l3l2q_message *m, int n)
{
	const struct l3l2q_message *held = c->held;
	__u64 held_mask = c->held_mask, published = c->head, bytes = 0;
	__u64 head = published, end = head + c->outstanding;
	int i = 0, ret = 0;

	if (l3l2q_unlikely(!n))
		return l3l2q_core_check_receive(c->core);
	if (l3l2q_likely(c->fast_path && l3l2q_consumer_is_sound(c))) {
		for (; i < n && head != end && m[i].seq == head + 1; i++, head++) {
			if (!l3l2q_message_matches(&held[head & held_mask], &m[i]))
				break;
			bytes += m[i].nbytes;
		}
		l3l2q_consumer_advance(c, head - published);
		l3l2q_core_add(&c->bytes, bytes);
	}
	for (; i < n && !ret; i++)
		ret = l3l2q_core_complete(c, &m[i]);
	l3l2q_consumer_retire(c, published);
	return ret;
}

L3L2Q_SLOW int l3l2q_consumer_release_upto(struct l3l2q_consumer *c,
					   const struct l3l2q_message *m)
{
	__u64 end = m->seq, i;
	int ret = l3l2q_core_complete(c, m);

	if (ret)
		return ret;
	for (i = c->head; i != end; i++) {
		struct l3l2q_message *held = &c->held[i & c->held_mask];

		if (!held->seq)
			continue;
		held->seq = 0;
		c->completed++;
		l3l2q_core_add(&c->bytes, held->nbytes);
	}
	l3l2q_core_retire(c);
	return 0;
}

/**
 * l3l2q_core_release_upto() - release a message and all that were acquired before it
 * @c: the consumer
 * @m: the handle of the last one
 *
 * One counter store. Messages before it that were released already are no error.
 */
static inline int l3l2q_core_release_upto(struct l3l2q_consumer *c, const struct l3l2q_message *m)
{
	const struct l3l2q_message *held, *first;

	if (l3l2q_unlikely(!c->fast_path || c->completed || c->wrapped > c->head ||
			   !l3l2q_consumer_is_sound(c)))
		return l3l2q_consumer_release_upto(c, m);
	held = l3l2q_consumer_find(c, m);
	first = &c->held[c->head & c->held_mask];
	if (l3l2q_unlikely(!held || !held->nbytes || !first->nbytes))
		return l3l2q_consumer_release_upto(c, m);
	/* The bodies lie together where the cursor does not wrap. */
	l3l2q_core_add(&c->bytes, held->payload_offset + held->nbytes - first->payload_offset);
	l3l2q_consumer_advance(c, held->seq - c->head);
	l3l2q_consumer_publish_head(c);
	return 0;
}

L3L2Q_SLOW int l3l2q_consumer_dequeue(struct l3l2q_consumer *c, struct l3l2q_message *m, void *to,
				      __u64 capacity)
{
	struct l3l2q_bookmark mark = l3l2q_core_bookmark(c);
	int ret = l3l2q_core_check_receive(c->core);
	struct l3l2q_message next;

	if (!ret && c->outstanding)
		ret = -EINVAL;
	if (!ret)
		ret = l3l2q_core_try_peek(c, &next);
	if (ret)
		return ret;
	if (next.nbytes && (!to || next.nbytes > capacity)) {
		l3l2q_core_unpeek(c, mark);
		m->nbytes = next.nbytes;
		return -EMSGSIZE;
	}
	if (next.nbytes)
		ret = l3l2q_core_read_into(c, &next, to, capacity);
	if (!ret)
		ret = l3l2q_core_release(c, &next);
	if (ret)
		return ret;
	next.data = 0;
	*m = next;
	return 0;
}

/**
 * l3l2q_core_try_dequeue() - copy the next message out and release it
 * @c: the consumer
 * @m: result, its data NULL; on failure untouched, but for nbytes with -EMSGSIZE
 * @to: destination; not touched if the message has no body
 * @capacity: bytes at @to
 *
 * Return: 0; -EMSGSIZE: the message stays first, and @m says how large it is;
 * -EINVAL: a handle is held.
 */
L3L2Q_FAST int l3l2q_core_try_dequeue(struct l3l2q_consumer *c, struct l3l2q_message *m, void *to,
				      __u64 capacity)
{
	__u64 head = c->head;
	int found = l3l2q_consumer_refresh_idle(c, head);
	__u32 kick;

	if (found == -EAGAIN)
		return found;
	if (l3l2q_unlikely(!found || !l3l2q_consumer_copy_fast(c, head, m, to, capacity, &kick)))
		return l3l2q_consumer_dequeue(c, m, to, capacity);
	if (l3l2q_unlikely(kick))
		c->kick = kick;
	return 0;
}

/* ---- blocking forms, spinning ------------------------------------------ */

/* A monotonic clock in nanoseconds. */
typedef __u64 (*l3l2q_clock_fn)(void *arg);

struct l3l2q_spin {
	l3l2q_clock_fn clock;
	void *clock_arg;
	__u64 deadline;
	__u32 turns;
	int once;
};

/* L3 takes a positive time-out; L2 also 0, which probes once. */
static inline int l3l2q_core_check_timeout(const struct l3l2q_core *core, __s64 timeout_ns)
{
	return timeout_ns > 0 || (!timeout_ns && core->role == L3L2Q_ROLE_L2) ? 0 : -EINVAL;
}

static inline int l3l2q_spin_start(struct l3l2q_spin *s, const struct l3l2q_core *core,
				   l3l2q_clock_fn clock, void *arg, __s64 timeout_ns)
{
	int ret = l3l2q_core_check_timeout(core, timeout_ns);

	if (ret)
		return ret;
	s->clock = clock;
	s->clock_arg = arg;
	s->once = !timeout_ns;
	s->turns = 0;
	s->deadline = s->once ? 0 : clock(arg) + (__u64)timeout_ns;
	return 0;
}

/* True if the time is over. The clock is read every 1024 turns. */
static inline int l3l2q_spin_expired(struct l3l2q_spin *s)
{
	if (s->once)
		return 1;
	l3l2q_relax();
	return !(++s->turns & 1023) && s->clock(s->clock_arg) >= s->deadline;
}

static inline int l3l2q_core_peek(struct l3l2q_consumer *c, struct l3l2q_message *m,
				  __s64 timeout_ns, l3l2q_clock_fn clock, void *arg)
{
	struct l3l2q_spin s;
	int ret = l3l2q_spin_start(&s, c->core, clock, arg, timeout_ns);

	if (ret)
		return ret;
	for (;;) {
		ret = l3l2q_core_try_peek(c, m);
		if (ret != -EAGAIN)
			return ret;
		if (l3l2q_spin_expired(&s))
			return l3l2q_core_timed_out(c->core, "peek");
	}
}

static inline int l3l2q_core_reserve(struct l3l2q_producer *p, __u64 nbytes,
				     struct l3l2q_reservation *span, __s64 timeout_ns,
				     l3l2q_clock_fn clock, void *arg)
{
	struct l3l2q_spin s;
	int ret = l3l2q_spin_start(&s, p->core, clock, arg, timeout_ns);

	if (ret)
		return ret;
	for (;;) {
		ret = l3l2q_core_try_reserve(p, nbytes, span);
		if (ret != -EAGAIN)
			return ret;
		if (l3l2q_spin_expired(&s))
			return l3l2q_core_timed_out(p->core, "reserve");
	}
}

static inline int l3l2q_core_enqueue(struct l3l2q_producer *p, __u32 opcode,
				     const void *body, __u64 nbytes, __s64 timeout_ns,
				     l3l2q_clock_fn clock, void *arg)
{
	struct l3l2q_spin s;
	int ret = l3l2q_spin_start(&s, p->core, clock, arg, timeout_ns);

	if (ret)
		return ret;
	for (;;) {
		ret = l3l2q_core_try_enqueue(p, opcode, l3l2q_core_copy, body, nbytes);
		if (ret != -EAGAIN)
			return ret;
		if (l3l2q_spin_expired(&s))
			return l3l2q_core_timed_out(p->core, "enqueue");
	}
}

#endif /* L3L2Q_CORE_H */
