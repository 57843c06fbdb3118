/* SPDX-License-Identifier: MIT */
/*
 * Copies and fences for shared memory that is not cached (protocol.md, section 7),
 * freestanding. Such memory is accessed only by plain aligned loads and stores of 1, 2,
 * 4 or 8 bytes, and write-combining memory also by aligned vectors of 16 or 32 bytes. The
 * other operand of a copy is ordinary memory of any alignment.
 *
 * Interface are enum l3l2q_path, l3l2q_path_name() and l3l2q_path_for(). Everything else
 * here is internal to core.h and the library, and may change from version to version.
 */
#ifndef L3L2Q_MEMORY_H
#define L3L2Q_MEMORY_H

#include <linux/l3l2q.h>

#define L3L2Q_COLD static __attribute__((noinline, cold, unused))

/** enum l3l2q_path - how bytes are copied */
enum l3l2q_path {
	L3L2Q_PATH_CACHED   = 0,	/* memcpy */
	L3L2Q_PATH_DEVICE   = 1,	/* up to 8 bytes at a time */
	L3L2Q_PATH_WC	    = 2,	/* as DEVICE: no vectors known for this architecture */
	L3L2Q_PATH_WC_SSE2  = 3,	/* x86-64: non-temporal stores */
	L3L2Q_PATH_WC_SSE41 = 4,	/* x86-64: non-temporal stores, streaming loads */
	L3L2Q_PATH_WC_AVX2  = 5,	/* x86-64: the same, 32 bytes wide */
	L3L2Q_PATH_WC_NEON  = 6,	/* aarch64: non-temporal pairs of 16 bytes */
};

#define L3L2Q_PATHS 7	/* number of paths */

/* The name of a path; "unknown" for any other number. */
static inline const char *l3l2q_path_name(__u32 path)
{
	switch (path) {
	case L3L2Q_PATH_CACHED: return "cached";
	case L3L2Q_PATH_DEVICE: return "device";
	case L3L2Q_PATH_WC: return "wc";
	case L3L2Q_PATH_WC_SSE2: return "wc-sse2";
	case L3L2Q_PATH_WC_SSE41: return "wc-sse4.1";
	case L3L2Q_PATH_WC_AVX2: return "wc-avx2";
	case L3L2Q_PATH_WC_NEON: return "wc-neon";
	default: return "unknown";
	}
}

/* The fastest path for an enum l3l2q_memory that every machine of this architecture has. */
static inline __u32 l3l2q_path_for(__u32 memory)
{
	if (memory == L3L2Q_MEMORY_CACHED || memory == L3L2Q_MEMORY_UNSNOOPED)
		return L3L2Q_PATH_CACHED;
	if (memory != L3L2Q_MEMORY_WC)
		return L3L2Q_PATH_DEVICE;
#if defined(__x86_64__)
	return L3L2Q_PATH_WC_SSE2;
#elif defined(__aarch64__)
	return L3L2Q_PATH_WC_NEON;
#else
	return L3L2Q_PATH_WC;
#endif
}

/* ---- fences ------------------------------------------------------------ */

/* Order loads before it before loads after it, in cached memory. */
static inline void l3l2q_load_barrier(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dmb ishld" ::: "memory");
#elif defined(__x86_64__)
	__asm__ volatile("" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}

/* Wait until all loads and stores before it, in memory of this type, have been performed. */
static inline void l3l2q_drain(__u32 memory)
{
#if defined(__x86_64__)
	if (memory == L3L2Q_MEMORY_WC)
		__asm__ volatile("sfence" ::: "memory");
	else
		__asm__ volatile("mfence" ::: "memory");
#elif defined(__aarch64__)
	/* Before a head, loads must be done too; dsb st waits for stores only. */
	__asm__ volatile("dmb ld\n\tdsb st" ::: "memory");
	(void)memory;
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	(void)memory;
#endif
}

/* Order loads before it before loads after it, in memory that is not cached. */
static inline void l3l2q_load_fence(void)
{
#if defined(__x86_64__)
	__asm__ volatile("lfence" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile("dsb ld" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Wait until all loads and stores before it, of whatever memory, have been performed. */
static inline void l3l2q_sync(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dsb sy" ::: "memory");
#else
	l3l2q_drain(L3L2Q_MEMORY_DEVICE);
#endif
}

/* On aarch64 the fences order: stlr and ldar would not be plain accesses. */
#if defined(__aarch64__)
#define L3L2Q_PLAIN_STORE __ATOMIC_RELAXED
#define L3L2Q_PLAIN_LOAD __ATOMIC_RELAXED
#else
#define L3L2Q_PLAIN_STORE __ATOMIC_RELEASE
#define L3L2Q_PLAIN_LOAD __ATOMIC_ACQUIRE
#endif

/* Store a counter after everything before it has been performed, and wait for the store. */
L3L2Q_COLD void l3l2q_publish_uncached(__u32 memory, __s32 *counter, __u32 value)
{
	l3l2q_drain(memory);
	__atomic_store_n(counter, (__s32)value, L3L2Q_PLAIN_STORE);
	l3l2q_drain(memory);
}

/* Load a counter, before anything that it announces. */
L3L2Q_COLD __u32 l3l2q_observe_uncached(const __s32 *counter)
{
	__u32 value = (__u32)__atomic_load_n(counter, L3L2Q_PLAIN_LOAD);

	l3l2q_load_fence();
	return value;
}

/* ---- the own cache, where it does not see the peer's stores -------------- */

#if defined(__aarch64__)
#define L3L2Q_CACHE_OPS 1

/* Smallest line of the data caches, in bytes. */
static inline __u64 l3l2q_dcache_line(void)
{
	__u64 ctr;

	__asm__("mrs %0, ctr_el0" : "=r"(ctr));
	return (__u64)4 << (ctr >> 16 & 15);
}

/* Write the lines of a range back. They stay in the cache. */
L3L2Q_COLD void l3l2q_dcache_clean(const void *address, __u64 n)
{
	__u64 end = (__u64)address + n, at = (__u64)address & -(__u64)L3L2Q_LINE_BYTES;

	for (; at < end; at += L3L2Q_LINE_BYTES)
		__asm__ volatile("dc cvac, %0" : : "r"(at) : "memory");
	__asm__ volatile("dsb sy" ::: "memory");
}

/* Drop the lines of a range. At EL0 a dirty one is written back first. */
L3L2Q_COLD void l3l2q_dcache_invalidate(const void *address, __u64 n)
{
	__u64 end = (__u64)address + n, at = (__u64)address & -(__u64)L3L2Q_LINE_BYTES;

	for (; at < end; at += L3L2Q_LINE_BYTES)
		__asm__ volatile("dc civac, %0" : : "r"(at) : "memory");
	__asm__ volatile("dsb sy" ::: "memory");
}
#else
#define L3L2Q_CACHE_OPS 0

static inline __u64 l3l2q_dcache_line(void)
{
	return 0;
}

static inline void l3l2q_dcache_clean(const void *address, __u64 n)
{
	(void)address;
	(void)n;
}

static inline void l3l2q_dcache_invalidate(const void *address, __u64 n)
{
	(void)address;
	(void)n;
}
#endif

/* ---- copies ------------------------------------------------------------ */

/* Size of the next aligned access at an address if n bytes are left: 8, 4, 2 or 1. */
static inline __u64 l3l2q_step(const void *shared, __u64 n)
{
	__u64 address = (__u64)(unsigned long)shared | 8;
	__u64 step = address & -address;

	while (step > n)
		step /= 2;
	return step;
}

/* Volatile accesses, so that the compiler neither changes them nor makes a memcpy of them. */
L3L2Q_COLD void l3l2q_put_narrow(unsigned char *to, const unsigned char *from, __u64 n)
{
	while (n) {
		__u64 step = l3l2q_step(to, n);
		__u64 v8;
		__u32 v4;
		__u16 v2;

		switch (step) {
		case 8:
			__builtin_memcpy(&v8, from, 8);
			*(volatile __u64 *)(void *)to = v8;
			break;
		case 4:
			__builtin_memcpy(&v4, from, 4);
			*(volatile __u32 *)(void *)to = v4;
			break;
		case 2:
			__builtin_memcpy(&v2, from, 2);
			*(volatile __u16 *)(void *)to = v2;
			break;
		default:
			*(volatile __u8 *)to = *from;
			break;
		}
		to += step;
		from += step;
		n -= step;
	}
}

/* The same out of shared memory. */
L3L2Q_COLD void l3l2q_get_narrow(unsigned char *to, const unsigned char *from, __u64 n)
{
	while (n) {
		__u64 step = l3l2q_step(from, n);
		__u64 v8;
		__u32 v4;
		__u16 v2;

		switch (step) {
		case 8:
			v8 = *(const volatile __u64 *)(const void *)from;
			__builtin_memcpy(to, &v8, 8);
			break;
		case 4:
			v4 = *(const volatile __u32 *)(const void *)from;
			__builtin_memcpy(to, &v4, 4);
			break;
		case 2:
			v2 = *(const volatile __u16 *)(const void *)from;
			__builtin_memcpy(to, &v2, 2);
			break;
		default:
			*to = *(const volatile __u8 *)from;
			break;
		}
		to += step;
		from += step;
		n -= step;
	}
}

/* Bytes of a block: the shared operand is aligned to it. A descriptor is one block. */
#define L3L2Q_BLOCK 32

L3L2Q_COLD void l3l2q_put_blocks(__u32 path, unsigned char *to, const unsigned char *from, __u64 n)
{
	for (; n; n -= L3L2Q_BLOCK, to += L3L2Q_BLOCK, from += L3L2Q_BLOCK) {
#if defined(__x86_64__)
		if (path == L3L2Q_PATH_WC_AVX2)
			__asm__ volatile("vmovdqu (%1), %%ymm0\n\t"
					 "vmovntdq %%ymm0, (%0)"
					 : : "r"(to), "r"(from) : "memory", "xmm0");
		else
			__asm__ volatile("movdqu (%1), %%xmm0\n\t"
					 "movdqu 16(%1), %%xmm1\n\t"
					 "movntdq %%xmm0, (%0)\n\t"
					 "movntdq %%xmm1, 16(%0)"
					 : : "r"(to), "r"(from) : "memory", "xmm0", "xmm1");
#elif defined(__aarch64__)
		__asm__ volatile("ldp q0, q1, [%1]\n\t"
				 "stnp q0, q1, [%0]"
				 : : "r"(to), "r"(from) : "memory", "v0", "v1");
#else
		l3l2q_put_narrow(to, from, L3L2Q_BLOCK);
#endif
	}
#if defined(__x86_64__)
	if (path == L3L2Q_PATH_WC_AVX2)
		__asm__ volatile("vzeroupper");
#else
	(void)path;
#endif
}

L3L2Q_COLD void l3l2q_get_blocks(__u32 path, unsigned char *to, const unsigned char *from, __u64 n)
{
#if defined(__x86_64__)
	/* Without it a streaming load may return data that an earlier one fetched. */
	__asm__ volatile("mfence" ::: "memory");
#endif
	for (; n; n -= L3L2Q_BLOCK, to += L3L2Q_BLOCK, from += L3L2Q_BLOCK) {
#if defined(__x86_64__)
		if (path == L3L2Q_PATH_WC_AVX2)
			__asm__ volatile("vmovntdqa (%1), %%ymm0\n\t"
					 "vmovdqu %%ymm0, (%0)"
					 : : "r"(to), "r"(from) : "memory", "xmm0");
		else if (path == L3L2Q_PATH_WC_SSE41)
			__asm__ volatile("movntdqa (%1), %%xmm0\n\t"
					 "movntdqa 16(%1), %%xmm1\n\t"
					 "movdqu %%xmm0, (%0)\n\t"
					 "movdqu %%xmm1, 16(%0)"
					 : : "r"(to), "r"(from) : "memory", "xmm0", "xmm1");
		else
			__asm__ volatile("movdqa (%1), %%xmm0\n\t"
					 "movdqa 16(%1), %%xmm1\n\t"
					 "movdqu %%xmm0, (%0)\n\t"
					 "movdqu %%xmm1, 16(%0)"
					 : : "r"(to), "r"(from) : "memory", "xmm0", "xmm1");
#elif defined(__aarch64__)
		__asm__ volatile("ldnp q0, q1, [%1]\n\t"
				 "stp q0, q1, [%0]"
				 : : "r"(to), "r"(from) : "memory", "v0", "v1");
#else
		l3l2q_get_narrow(to, from, L3L2Q_BLOCK);
#endif
	}
#if defined(__x86_64__)
	if (path == L3L2Q_PATH_WC_AVX2)
		__asm__ volatile("vzeroupper");
#else
	(void)path;
#endif
}

/* Split n bytes: return how many are in whole blocks, and store how many are before these. */
static inline __u64 l3l2q_blocks(__u32 path, const void *shared, __u64 n, __u64 *before)
{
	*before = -(__u64)(unsigned long)shared % L3L2Q_BLOCK;
	if (path < L3L2Q_PATH_WC_SSE2 || n < *before + L3L2Q_BLOCK)
		return 0;
	return (n - *before) / L3L2Q_BLOCK * L3L2Q_BLOCK;
}

/**
 * l3l2q_copy_to() - write bytes into shared memory that is not cached
 * @path: enum l3l2q_path, not CACHED
 * @shared: destination
 * @from: source, in ordinary memory
 * @n: number of bytes
 */
L3L2Q_COLD void l3l2q_copy_to(__u32 path, void *shared, const void *from, __u64 n)
{
	const unsigned char *src = (const unsigned char *)from;
	unsigned char *dst = (unsigned char *)shared;
	__u64 before, blocks = l3l2q_blocks(path, dst, n, &before);

	if (blocks) {
		l3l2q_put_narrow(dst, src, before);
		l3l2q_put_blocks(path, dst + before, src + before, blocks);
		dst += before + blocks;
		src += before + blocks;
		n -= before + blocks;
	}
	l3l2q_put_narrow(dst, src, n);
}

/**
 * l3l2q_copy_from() - read bytes out of shared memory that is not cached
 * @path: enum l3l2q_path, not CACHED
 * @to: destination, in ordinary memory
 * @shared: source
 * @n: number of bytes
 */
L3L2Q_COLD void l3l2q_copy_from(__u32 path, void *to, const void *shared, __u64 n)
{
	const unsigned char *src = (const unsigned char *)shared;
	unsigned char *dst = (unsigned char *)to;
	__u64 before, blocks = l3l2q_blocks(path, src, n, &before);

	if (blocks) {
		l3l2q_get_narrow(dst, src, before);
		l3l2q_get_blocks(path, dst + before, src + before, blocks);
		dst += before + blocks;
		src += before + blocks;
		n -= before + blocks;
	}
	l3l2q_get_narrow(dst, src, n);
}

#endif /* L3L2Q_MEMORY_H */
