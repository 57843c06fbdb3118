// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ram backend: kernel memory, zeroed, charged to whoever creates.
 *
 * The payload is taken in chunks of 2 MiB, each in one piece where that comes
 * easily, else page by page. Nothing here may end in the OOM killer: a limit
 * or a full machine is ENOMEM.
 *
 * Its pages are ordinary ones to user space, which may have the kernel read and
 * write them, or pin them for a device. A pin can outlive the region, so each page
 * has a reference of its own and is freed when the last one goes.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "internal.h"

#define RAM_CHUNK_ORDER	(ilog2(SZ_2M) - PAGE_SHIFT)
#define RAM_CHUNK_PAGES	BIT(RAM_CHUNK_ORDER)

/**
 * struct ram_chunk - up to 2 MiB of a payload
 * @whole: all of it in one piece, or NULL and
 * @pages: one by one
 */
struct ram_chunk {
	struct page *whole;
	struct page **pages;
};

/**
 * struct ram_backing - a region's memory
 * @nid: the node it must come from, or NUMA_NO_NODE
 * @nr_pages: of the payload
 * @chunks: DIV_ROUND_UP(nr_pages, RAM_CHUNK_PAGES) of them
 */
struct ram_backing {
	int nid;
	unsigned long nr_pages;
	struct ram_chunk *chunks;
};

static struct page *ram_pages_alloc(int nid, gfp_t gfp, unsigned int order)
{
	if (nid == NUMA_NO_NODE)
		return alloc_pages(gfp, order);
	return alloc_pages_node(nid, gfp | __GFP_THISNODE, order);
}

static unsigned long ram_nr_chunks(const struct ram_backing *ram)
{
	return DIV_ROUND_UP(ram->nr_pages, RAM_CHUNK_PAGES);
}

/* How many pages a chunk has: the last one may be partial. */
static unsigned long ram_chunk_pages(const struct ram_backing *ram,
				     unsigned long chunk)
{
	return min(RAM_CHUNK_PAGES, ram->nr_pages - chunk * RAM_CHUNK_PAGES);
}

static void ram_chunk_free(struct ram_chunk *chunk, unsigned long nr)
{
	unsigned long i;

	for (i = 0; chunk->whole && i < nr; i++)
		put_page(pfn_to_page(page_to_pfn(chunk->whole) + i));
	if (!chunk->pages)
		return;
	for (i = 0; i < nr && chunk->pages[i]; i++)
		put_page(chunk->pages[i]);
	kfree(chunk->pages);
}

static int ram_chunk_alloc(struct ram_chunk *chunk, unsigned long nr, int nid)
{
	unsigned long i;

	if (nr == RAM_CHUNK_PAGES) {
		gfp_t gfp = L3L2Q_GFP_USER & ~__GFP_RETRY_MAYFAIL;

		chunk->whole = ram_pages_alloc(nid, gfp | __GFP_NORETRY,
					       RAM_CHUNK_ORDER);
		if (chunk->whole) {
			split_page(chunk->whole, RAM_CHUNK_ORDER);
			return 0;
		}
	}

	chunk->pages = kcalloc(nr, sizeof(*chunk->pages), L3L2Q_GFP_USER);
	if (!chunk->pages)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		chunk->pages[i] = ram_pages_alloc(nid, L3L2Q_GFP_USER, 0);
		if (!chunk->pages[i])
			return -ENOMEM;
	}
	return 0;
}

static void ram_payload_free(struct ram_backing *ram)
{
	unsigned long i;

	for (i = 0; i < ram_nr_chunks(ram); i++) {
		ram_chunk_free(&ram->chunks[i], ram_chunk_pages(ram, i));
		cond_resched();
	}
	kvfree(ram->chunks);
}

static int ram_payload_alloc(struct ram_backing *ram)
{
	unsigned long i;
	int err;

	ram->chunks = kvcalloc(ram_nr_chunks(ram), sizeof(*ram->chunks),
			       L3L2Q_GFP_USER);
	if (!ram->chunks)
		return -ENOMEM;

	for (i = 0; i < ram_nr_chunks(ram); i++) {
		err = -EINTR;
		if (fatal_signal_pending(current))
			goto err_free;
		err = ram_chunk_alloc(&ram->chunks[i], ram_chunk_pages(ram, i),
				      ram->nid);
		if (err)
			goto err_free;
		cond_resched();
	}
	return 0;

err_free:
	ram_payload_free(ram);
	return err;
}

static int ram_alloc(struct l3l2q_region *region,
		     const struct l3l2q_create *cmd)
{
	struct ram_backing *ram;
	int err;

	if (cmd->source || cmd->source_bytes)
		return -EINVAL;
	/* Trying would push everybody else out first. */
	if (region->bytes / PAGE_SIZE > totalram_pages())
		return -ENOMEM;

	ram = kzalloc(sizeof(*ram), GFP_KERNEL_ACCOUNT);
	if (!ram)
		return -ENOMEM;
	ram->nid = cmd->flags & L3L2Q_CREATE_NUMA ? cmd->numa_node
						  : NUMA_NO_NODE;
	ram->nr_pages = DIV_ROUND_UP(region->payload_bytes, PAGE_SIZE);

	err = -ENOMEM;
	region->live.mem = __vmalloc(PAGE_ALIGN(region->counter_bytes),
				     L3L2Q_GFP_USER);
	if (!region->live.mem)
		goto err_free;
	err = ram_payload_alloc(ram);
	if (err)
		goto err_counters;

	region->backing = ram;
	region->scanner = &l3l2q_host_scanner;
	return 0;

err_counters:
	vfree(region->live.mem);
err_free:
	kfree(ram);
	return err;
}

static void ram_free(struct l3l2q_region *region)
{
	struct ram_backing *ram = region->backing;

	ram_payload_free(ram);
	vfree(region->live.mem);
	kfree(ram);
}

static struct page *ram_payload_page(struct l3l2q_region *region,
				     unsigned long index)
{
	const struct ram_backing *ram = region->backing;
	const struct ram_chunk *chunk = &ram->chunks[index / RAM_CHUNK_PAGES];
	unsigned long i = index % RAM_CHUNK_PAGES;

	return chunk->whole ? pfn_to_page(page_to_pfn(chunk->whole) + i)
			    : chunk->pages[i];
}

static unsigned long ram_payload_pfn(struct l3l2q_region *region,
				     unsigned long index)
{
	return page_to_pfn(ram_payload_page(region, index));
}

static unsigned long ram_counters_pfn(struct l3l2q_region *region,
				      unsigned long index)
{
	return vmalloc_to_pfn((void *)region->live.mem + index * PAGE_SIZE);
}

const struct l3l2q_backend_ops l3l2q_ram_ops = {
	.id = L3L2Q_BACKEND_RAM,
	.name = "ram",
#ifdef CONFIG_DMA_SHARED_BUFFER
	.feature = L3L2Q_FEATURE_RAM | L3L2Q_FEATURE_EXPORT,
#else
	.feature = L3L2Q_FEATURE_RAM,
#endif
	.flags = L3L2Q_CREATE_NUMA | L3L2Q_CREATE_SHARE_ADDRESSES |
		 L3L2Q_CREATE_SILENT_PEER,
	.alloc = ram_alloc,
	.free = ram_free,
	.payload_page = ram_payload_page,
	.payload_pfn = ram_payload_pfn,
	.counters_pfn = ram_counters_pfn,
};
