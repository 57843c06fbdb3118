// SPDX-License-Identifier: GPL-2.0-only
/*
 * A window into a device's memory: its type, and who has which pages of it.
 *
 * On x86 a page frame is mapped as its range was reserved, whatever a VMA says,
 * so the type is reserved first and for the whole window; kernel and users then
 * map alike. Reserving costs nothing for each page, and only pieces get mapped
 * in the kernel, so that a window may be larger than what is worth mapping. There
 * is no way to reserve a cached range but to map it; such windows are RAM and
 * small.
 */
#include <linux/genalloc.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>

#include "internal.h"

/* Zeroed in one go. */
#define WINDOW_CHUNK	SZ_1M

/* ---- its type ----------------------------------------------------------- */

static int window_reserve(struct l3l2q_window *window, u32 memory)
{
	int err = 0;

	if (memory == L3L2Q_MEMORY_CACHED) {
		window->mem = memremap(window->start, window->bytes,
				       MEMREMAP_WB);
		if (!window->mem)
			return -ENOMEM;
		if (!l3l2q_is_cached(window->mem)) {
			memunmap(window->mem);
			window->mem = NULL;
			memory = L3L2Q_MEMORY_WC;
		}
	}
	if (memory == L3L2Q_MEMORY_WC)
		err = arch_io_reserve_memtype_wc(window->start, window->bytes);
	window->memory = memory;
	return err;
}

static void window_unreserve(struct l3l2q_window *window)
{
	if (window->memory == L3L2Q_MEMORY_CACHED)
		memunmap(window->mem);
	if (window->memory == L3L2Q_MEMORY_WC)
		arch_io_free_memtype_wc(window->start, window->bytes);
}

/* ---- windows ------------------------------------------------------------ */

/**
 * l3l2q_window_init() - set up a window
 * @window: which; zeroed, but for .start and .bytes
 * @memory: enum l3l2q_memory that it should have; .memory is what it gets
 * @nid: the node it belongs to
 *
 * Return: 0 or -errno, and nothing is held.
 */
int l3l2q_window_init(struct l3l2q_window *window, u32 memory, int nid)
{
	int err;

	window->bytes = round_down(window->bytes, PAGE_SIZE);
	if (!window->bytes || !PAGE_ALIGNED(window->start))
		return -EINVAL;

	/* Its addresses are the window's own, of which none is zero. */
	window->pool = gen_pool_create(PAGE_SHIFT, nid);
	if (!window->pool)
		return -ENOMEM;
	gen_pool_set_algo(window->pool, gen_pool_best_fit, NULL);
	err = gen_pool_add(window->pool, window->start, window->bytes, nid);
	if (err)
		goto err_pool;
	err = window_reserve(window, memory);
	if (err)
		goto err_pool;
	return 0;

err_pool:
	gen_pool_destroy(window->pool);
	return err;
}

/**
 * l3l2q_window_fini() - undo l3l2q_window_init()
 * @window: nobody has any of it
 */
void l3l2q_window_fini(struct l3l2q_window *window)
{
	window_unreserve(window);
	gen_pool_destroy(window->pool);
}

u64 l3l2q_window_avail(const struct l3l2q_window *window)
{
	return gen_pool_avail(window->pool);
}

/* ---- pieces ------------------------------------------------------------- */

/**
 * l3l2q_window_alloc() - take a piece: the smallest gap that it fits into
 * @window: of which
 * @bytes: whole pages
 * @offset: result: where it is
 *
 * Return: 0, or -ENOSPC.
 */
int l3l2q_window_alloc(struct l3l2q_window *window, u64 bytes, u64 *offset)
{
	unsigned long at;

	/* The pool counts pages by int. */
	if (bytes > window->bytes || bytes >> PAGE_SHIFT > INT_MAX)
		return -ENOSPC;
	at = gen_pool_alloc(window->pool, bytes);
	if (!at)
		return -ENOSPC;
	*offset = at - window->start;
	return 0;
}

void l3l2q_window_free(struct l3l2q_window *window, u64 offset, u64 bytes)
{
	gen_pool_free(window->pool, window->start + offset, bytes);
}

static void __iomem *window_ioremap(const struct l3l2q_window *window,
				    u64 offset, u64 bytes)
{
	if (window->memory == L3L2Q_MEMORY_WC)
		return ioremap_wc(window->start + offset, bytes);
	return ioremap(window->start + offset, bytes);
}

/**
 * l3l2q_window_map() - let the kernel reach counters
 * @window: where they are
 * @offset: where there
 * @bytes: how many
 * @words: result
 *
 * Return: 0 or -ENOMEM.
 */
int l3l2q_window_map(const struct l3l2q_window *window, u64 offset, u64 bytes,
		     struct l3l2q_words *words)
{
	if (window->mem) {
		words->mem = window->mem + offset;
		return 0;
	}
	words->io = window_ioremap(window, offset, bytes);
	return words->io ? 0 : -ENOMEM;
}

void l3l2q_window_unmap(struct l3l2q_words *words)
{
	if (words->io)
		iounmap(words->io);
}

static int window_clear_chunk(const struct l3l2q_window *window, u64 offset,
			      u64 bytes)
{
	void __iomem *io;

	if (window->mem) {
		memset(window->mem + offset, 0, bytes);
		return 0;
	}
	io = window_ioremap(window, offset, bytes);
	if (!io)
		return -ENOMEM;
	memset_io(io, 0, bytes);
	/* Others write here next, from elsewhere. */
	wmb();
	iounmap(io);
	return 0;
}

/**
 * l3l2q_window_clear() - zero a piece
 * @window: of which
 * @offset: where it is
 * @bytes: its size
 * @stop: stop when this turns true
 * @killable: or the caller is to die
 *
 * Return: 0, -ENOMEM, or -ENODEV or -EINTR if it was stopped.
 */
int l3l2q_window_clear(const struct l3l2q_window *window, u64 offset, u64 bytes,
		       const bool *stop, bool killable)
{
	u64 done, n;
	int err;

	for (done = 0; done < bytes; done += n) {
		if (READ_ONCE(*stop))
			return -ENODEV;
		if (killable && fatal_signal_pending(current))
			return -EINTR;
		n = min_t(u64, bytes - done, WINDOW_CHUNK);
		err = window_clear_chunk(window, offset + done, n);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

/**
 * l3l2q_window_pfn() - what to map of a piece
 * @window: of which
 * @offset: where it is
 * @index: which page of it
 *
 * Return: the page frame.
 */
unsigned long l3l2q_window_pfn(const struct l3l2q_window *window, u64 offset,
			       unsigned long index)
{
	return PHYS_PFN(window->start + offset) + index;
}
