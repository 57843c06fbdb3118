// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ascend backend: NPU memory of the process that creates, by its device
 * address. The Ascend driver says where it is and calls back when it goes away,
 * which can be at any time from within get_pages on.
 *
 * GETTING	get_pages has not returned: nobody touches the memory
 * BUSY		CREATE maps and clears it, or the last close unmaps it
 * LIVE		the region uses it
 * REVOKED	the callback came
 *
 * CREATE goes GETTING, BUSY, LIVE, the last close LIVE, BUSY; the callback goes
 * to REVOKED from wherever that is. Each step is one atomic exchange, so that one
 * side cleans up: whoever moves it out of LIVE, or has it in BUSY. The other one
 * waits for .quiet, which says that nobody touches the memory any more; nothing
 * that is done until then can wait for the Ascend driver. Each table is let go
 * of once, after .quiet, by the region's end and never by a callback.
 *
 * Payload and counters are parts of one range of device addresses, or have one
 * each, got and called back for on their own; the first callback revokes the region.
 * No more is got than what the region takes, in whole pages of the Ascend driver,
 * whose size the get tells.
 */
#include <linux/completion.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "ascend.h"
#include "internal.h"

/* What device addresses and lengths are multiples of at least. */
#define ASCEND_MIN_PAGE		SZ_4K
/* Payload, and counters if they have a range of their own. */
#define ASCEND_RANGES		2
/* What is cleared before looking whether to go on. */
#define ASCEND_CLEAR_BYTES	SZ_1M

enum ascend_state {
	ASCEND_GETTING,
	ASCEND_BUSY,
	ASCEND_LIVE,
	ASCEND_REVOKED,
};

/**
 * struct ascend_range - a range of device addresses
 * @va: its first one
 * @bytes: what the region takes of it, whole pages
 * @limit: how much there is, as the user says
 * @table: where the Ascend driver says it is; read until it is quiet only
 */
struct ascend_range {
	u64 va;
	u64 bytes;
	u64 limit;
	struct ascend_table *table;
};

/**
 * struct ascend_run - a piece in one piece of physical memory, whole pages
 * @range: which range it is in
 * @offset: from that range's first byte
 * @bytes: its length
 * @pa: where it is
 * @mem: where the kernel sees it, if it is cached, or
 * @io: if it is not
 */
struct ascend_run {
	unsigned int range;
	u64 offset;
	u64 bytes;
	phys_addr_t pa;
	void *mem;
	void __iomem *io;
};

/**
 * struct ascend_backing - a region's device memory
 * @ref: one for the region, one for each table
 * @state: enum ascend_state
 * @quiet: nobody touches the memory any more
 * @region: stays until @quiet at least
 * @ranges: the first has the payload, the last the counters
 * @nr_ranges: how many there are
 * @counters: where in the last range the counters begin
 * @ram: it is ordinary memory
 * @runs: if it is not: the kernel's mappings, which on x86 also settle how the
 *	users' behave
 * @nr_runs: how many there are
 */
struct ascend_backing {
	struct kref ref;
	atomic_t state;
	struct completion quiet;
	struct l3l2q_region *region;
	struct ascend_range ranges[ASCEND_RANGES];
	unsigned int nr_ranges;
	u64 counters;
	bool ram;
	struct ascend_run *runs;
	unsigned long nr_runs;
};

/* ---- life --------------------------------------------------------------- */

static void ascend_carve(struct ascend_backing *ascend,
			 const struct l3l2q_create *cmd)
{
	u64 payload = PAGE_ALIGN(ascend->region->payload_bytes);
	u64 counters = PAGE_ALIGN(ascend->region->counter_bytes);
	struct ascend_range *range = ascend->ranges;

	*range = (struct ascend_range) {
		.va = cmd->source,
		.bytes = payload,
		.limit = cmd->source_bytes,
	};
	if (cmd->counter_source_bytes)
		*++range = (struct ascend_range) {
			.va = cmd->counter_source,
			.limit = cmd->counter_source_bytes,
		};
	ascend->counters = range->bytes;
	range->bytes += counters;
	ascend->nr_ranges = range - ascend->ranges + 1;
}

static struct ascend_backing *ascend_new(struct l3l2q_region *region,
					 const struct l3l2q_create *cmd)
{
	struct ascend_backing *ascend;

	ascend = kzalloc(sizeof(*ascend), GFP_KERNEL_ACCOUNT);
	if (!ascend)
		return NULL;
	kref_init(&ascend->ref);
	atomic_set(&ascend->state, ASCEND_GETTING);
	init_completion(&ascend->quiet);
	ascend->region = region;
	region->backing = ascend;
	ascend_carve(ascend, cmd);
	return ascend;
}

static void ascend_release(struct kref *ref)
{
	kfree(container_of(ref, struct ascend_backing, ref));
}

static void ascend_drop(struct ascend_backing *ascend)
{
	kref_put(&ascend->ref, ascend_release);
}

static bool ascend_move(struct ascend_backing *ascend, enum ascend_state from,
			enum ascend_state to)
{
	return atomic_cmpxchg(&ascend->state, from, to) == from;
}

/* ---- where the memory is ------------------------------------------------ */

static bool ascend_page_size_is_valid(u64 page_size)
{
	switch (page_size) {
	case SZ_4K:
	case SZ_64K:
	case SZ_2M:
	case SZ_1G:
		return true;
	default:
		return false;
	}
}

/* 0 if the table describes @bytes from the range's start on. */
static int ascend_table_check(const struct ascend_range *range, u64 bytes)
{
	const struct p2p_page_table *pages = range->table->pages;

	if (!pages || pages->version != P2P_PAGE_TABLE_VERSION ||
	    !pages->pages_info || !ascend_page_size_is_valid(pages->page_size))
		return -EOPNOTSUPP;
	if (!IS_ALIGNED(range->va, pages->page_size) ||
	    pages->page_num != ((bytes - 1) >> ilog2(pages->page_size)) + 1)
		return -EOPNOTSUPP;
	return 0;
}

static phys_addr_t ascend_pa(const struct ascend_range *range, u64 offset)
{
	const struct p2p_page_table *pages = range->table->pages;

	return pages->pages_info[offset >> ilog2(pages->page_size)].pa +
	       (offset & (pages->page_size - 1));
}

static struct ascend_range *ascend_last(struct ascend_backing *ascend)
{
	return &ascend->ranges[ascend->nr_ranges - 1];
}

static unsigned long ascend_payload_pfn(struct l3l2q_region *region,
					unsigned long index)
{
	struct ascend_backing *ascend = region->backing;

	return PHYS_PFN(ascend_pa(ascend->ranges, (u64)index << PAGE_SHIFT));
}

static unsigned long ascend_counters_pfn(struct l3l2q_region *region,
					 unsigned long index)
{
	struct ascend_backing *ascend = region->backing;

	return PHYS_PFN(ascend_pa(ascend_last(ascend), ascend->counters +
				  ((u64)index << PAGE_SHIFT)));
}

/* The piece after @run, the first one after an empty one; false at the end. */
static bool ascend_run_next(const struct ascend_backing *ascend,
			    struct ascend_run *run)
{
	const struct ascend_range *range = &ascend->ranges[run->range];
	unsigned int nr = run->range;
	u64 at = run->offset + run->bytes;
	u64 page_size;

	if (at >= range->bytes) {
		if (++nr >= ascend->nr_ranges)
			return false;
		range++;
		at = 0;
	}

	*run = (struct ascend_run) {
		.range = nr,
		.offset = at,
		.pa = ascend_pa(range, at),
	};
	page_size = range->table->pages->page_size;
	do {
		at = min(round_down(at, page_size) + page_size, range->bytes);
	} while (at < range->bytes &&
		 ascend_pa(range, at) == run->pa + (at - run->offset));
	run->bytes = at - run->offset;
	cond_resched();
	return true;
}

/* Can it be mapped, and is it ordinary memory? */
static int ascend_run_check(const struct ascend_run *run, bool *ram)
{
	phys_addr_t last = run->pa + run->bytes - 1;

	/* Pages here may be larger than there. */
	if (!PAGE_ALIGNED(run->offset) || !PAGE_ALIGNED(run->bytes) ||
	    !PAGE_ALIGNED(run->pa))
		return -EOPNOTSUPP;
	if (last < run->pa || last > iomem_resource.end)
		return -EOPNOTSUPP;

	switch (region_intersects(run->pa, run->bytes, IORESOURCE_SYSTEM_RAM,
				  IORES_DESC_NONE)) {
	case REGION_INTERSECTS:
		*ram = true;
		return pfn_valid(PHYS_PFN(run->pa)) &&
		       pfn_valid(PHYS_PFN(last)) ? 0 : -EOPNOTSUPP;
	case REGION_DISJOINT:
		*ram = false;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* Validate all of it, and count the pieces. */
static int ascend_runs_check(struct ascend_backing *ascend,
			     unsigned long *nr_runs)
{
	struct ascend_run run = {};
	bool ram;
	int err;

	for (*nr_runs = 0; ascend_run_next(ascend, &run); (*nr_runs)++) {
		err = ascend_run_check(&run, &ram);
		if (err)
			return err;
		if (!*nr_runs)
			ascend->ram = ram;
		else if (ascend->ram != ram)
			return -EOPNOTSUPP;
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

/* ---- the kernel's mappings ---------------------------------------------- */

/* Map it in the kernel; -EAGAIN if it cannot be cached. */
static int ascend_run_map(struct ascend_run *run, bool cached)
{
	int err;

	if (cached) {
		run->mem = memremap(run->pa, run->bytes, MEMREMAP_WB);
		if (!run->mem)
			return -ENOMEM;
		if (l3l2q_is_cached(run->mem))
			return 0;
		memunmap(run->mem);
		run->mem = NULL;
		return -EAGAIN;
	}

	/* Only this refuses what others have mapped as something stronger. */
	err = arch_io_reserve_memtype_wc(run->pa, run->bytes);
	if (err)
		return err;
	run->io = ioremap_wc(run->pa, run->bytes);
	if (!run->io) {
		arch_io_free_memtype_wc(run->pa, run->bytes);
		return -ENOMEM;
	}
	return 0;
}

static void ascend_run_unmap(const struct ascend_run *run)
{
	if (run->mem)
		memunmap(run->mem);
	if (!run->io)
		return;
	iounmap(run->io);
	arch_io_free_memtype_wc(run->pa, run->bytes);
}

static int ascend_run_clear(struct ascend_backing *ascend,
			    const struct ascend_run *run)
{
	u64 at, bytes;

	for (at = 0; at < run->bytes; at += bytes) {
		bytes = min_t(u64, run->bytes - at, ASCEND_CLEAR_BYTES);
		if (fatal_signal_pending(current))
			return -EINTR;
		if (atomic_read(&ascend->state) != ASCEND_BUSY)
			return -ENODEV;
		if (run->io)
			memset_io(run->io + at, 0, bytes);
		else
			memset(run->mem + at, 0, bytes);
		cond_resched();
	}
	return 0;
}

/* Where the counters are, which have to be in one piece. */
static int ascend_counters_device(struct ascend_backing *ascend)
{
	const struct ascend_run *run = &ascend->runs[ascend->nr_runs - 1];
	struct l3l2q_words *live = &ascend->region->live;
	u64 at;

	if (run->range != ascend->nr_ranges - 1 ||
	    run->offset > ascend->counters)
		return -EOPNOTSUPP;
	at = ascend->counters - run->offset;
	if (run->io)
		live->io = run->io + at;
	else
		live->mem = run->mem + at;
	return 0;
}

static int ascend_runs_map(struct ascend_backing *ascend, unsigned long nr_runs,
			   bool cached)
{
	struct ascend_run run = {};
	int err;

	while (ascend->nr_runs < nr_runs && ascend_run_next(ascend, &run)) {
		err = ascend_run_map(&run, cached);
		if (err)
			return err;
		ascend->runs[ascend->nr_runs++] = run;
		err = ascend_run_clear(ascend, &run);
		if (err)
			return err;
	}
	return 0;
}

static void ascend_runs_unmap(struct ascend_backing *ascend)
{
	while (ascend->nr_runs) {
		ascend_run_unmap(&ascend->runs[--ascend->nr_runs]);
		cond_resched();
	}
}

static int ascend_map_device(struct ascend_backing *ascend,
			     unsigned long nr_runs, bool cached)
{
	int err;

	ascend->runs = kvcalloc(nr_runs, sizeof(*ascend->runs), L3L2Q_GFP_USER);
	if (!ascend->runs)
		return -ENOMEM;

	err = ascend_runs_map(ascend, nr_runs, cached);
	if (err == -EAGAIN) {
		ascend_runs_unmap(ascend);
		err = ascend_runs_map(ascend, nr_runs, false);
	}
	if (err)
		return err;
	/* The zeros get there before anybody else is told of the place. */
	wmb();
	return ascend_counters_device(ascend);
}

static int ascend_counters_ram(struct ascend_backing *ascend)
{
	unsigned long nr = (ascend_last(ascend)->bytes - ascend->counters) >>
			   PAGE_SHIFT;
	struct page **pages;
	unsigned long i;

	pages = kvcalloc(nr, sizeof(*pages), L3L2Q_GFP_USER);
	if (!pages)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		pages[i] = pfn_to_page(ascend_counters_pfn(ascend->region, i));
	ascend->region->live.mem = vmap(pages, nr, VM_MAP, PAGE_KERNEL);
	kvfree(pages);
	return ascend->region->live.mem ? 0 : -ENOMEM;
}

static int ascend_map_ram(struct ascend_backing *ascend)
{
	struct ascend_run run = {};
	int err;

	while (ascend_run_next(ascend, &run)) {
		run.mem = phys_to_virt(run.pa);
		err = ascend_run_clear(ascend, &run);
		if (err)
			return err;
	}
	return ascend_counters_ram(ascend);
}

static int ascend_map(struct ascend_backing *ascend, bool cached)
{
	struct l3l2q_region *region = ascend->region;
	unsigned long nr_runs;
	int err;

	err = ascend_runs_check(ascend, &nr_runs);
	if (err)
		return err;

	if (ascend->ram)
		err = ascend_map_ram(ascend);
	else
		err = ascend_map_device(ascend, nr_runs, cached);
	if (err)
		return err;

	region->memory = region->live.io ? L3L2Q_MEMORY_WC
					 : L3L2Q_MEMORY_CACHED;
	region->is_device = !ascend->ram;
	/* The peer is an NPU, which knows of neither control pages nor us. */
	region->peer_kind = L3L2Q_PEER_SILENT;
	region->payload_base = ascend->ranges[0].va;
	region->counter_base = ascend_last(ascend)->va + ascend->counters;
	region->scanner = &l3l2q_host_scanner;
	return 0;
}

/* Nobody uses the mappings any more: let go of the memory. */
static void ascend_unmap(struct ascend_backing *ascend)
{
	if (ascend->ram)
		vunmap(ascend->region->live.mem);
	ascend_runs_unmap(ascend);
	kvfree(ascend->runs);
	complete_all(&ascend->quiet);
}

/* ---- the Ascend driver -------------------------------------------------- */

static void ascend_gone(void *owner)
{
	struct ascend_backing *ascend = owner;

	switch (atomic_xchg(&ascend->state, ASCEND_REVOKED)) {
	case ASCEND_GETTING:
		complete_all(&ascend->quiet);
		break;
	case ASCEND_LIVE:
		l3l2q_region_revoke(ascend->region,
				    L3L2Q_REMOVAL_PROVIDER);
		synchronize_rcu();
		ascend_unmap(ascend);
		break;
	default:
		wait_for_completion(&ascend->quiet);
		break;
	}
}

static void ascend_table_drop(void *owner)
{
	ascend_drop(owner);
}

static const struct ascend_table_ops ascend_table_ops = {
	.gone = ascend_gone,
	.drop = ascend_table_drop,
};

/*
 * Get @bytes of a range. The table is charged as if it were one of the smallest
 * pages, for nobody knows before it is there, and then as what it is.
 */
static int ascend_range_get(struct ascend_backing *ascend,
			    struct ascend_range *range, u64 bytes)
{
	struct l3l2q_region *region = ascend->region;
	u64 most = bytes / ASCEND_MIN_PAGE * sizeof(struct p2p_page_info);
	struct ascend_table *table;
	int err;

	err = l3l2q_region_charge(region, most);
	if (err)
		return err;
	kref_get(&ascend->ref);
	table = ascend_table_get(range->va, bytes, region->account,
				 &ascend_table_ops, ascend);
	if (IS_ERR(table)) {
		l3l2q_region_uncharge(region, most);
		return PTR_ERR(table);
	}
	range->table = table;
	err = ascend_table_check(range, bytes);
	if (err)
		return err;
	l3l2q_region_uncharge(region, most - table->pages->page_num *
				      sizeof(struct p2p_page_info));
	return 0;
}

/* Get what the region takes of a range, in pages of the size that it has. */
static int ascend_range_get_pages(struct ascend_backing *ascend,
				  struct ascend_range *range)
{
	static const u64 sizes[] = { SZ_4K, SZ_64K, SZ_2M, SZ_1G };
	u64 tried = 0;
	int i, err = -EINVAL;

	for (i = 0; i < ARRAY_SIZE(sizes) && err == -EINVAL; i++) {
		u64 bytes = round_up(range->bytes, sizes[i]);

		if (!IS_ALIGNED(range->va, sizes[i]) || bytes > range->limit)
			break;
		if (bytes == tried)
			continue;
		tried = bytes;
		err = ascend_range_get(ascend, range, bytes);
	}
	return err;
}

/* Get the pages and BUSY, or -errno; ascend_put() in either case. */
static int ascend_get(struct ascend_backing *ascend)
{
	unsigned int i;
	int err;

	for (i = 0; i < ascend->nr_ranges; i++) {
		err = ascend_range_get_pages(ascend, &ascend->ranges[i]);
		if (err)
			return err;
		if (atomic_read(&ascend->state) != ASCEND_GETTING)
			return -ENODEV;
	}
	return ascend_move(ascend, ASCEND_GETTING, ASCEND_BUSY) ? 0 : -ENODEV;
}

/* Undo ascend_get() and ascend_new(), once nobody touches the memory. */
static void ascend_put(struct ascend_backing *ascend)
{
	unsigned int i;

	for (i = 0; i < ascend->nr_ranges; i++) {
		if (ascend->ranges[i].table)
			ascend_table_put(ascend->ranges[i].table);
	}
	ascend_drop(ascend);
}

/* ---- the backend -------------------------------------------------------- */

static int ascend_range_check(u64 va, u64 limit, u64 bytes)
{
	if (!va || !limit || !IS_ALIGNED(va | limit, ASCEND_MIN_PAGE) ||
	    va + limit < va)
		return -EINVAL;
	return limit < bytes ? -ENOSPC : 0;
}

static int ascend_source_check(const struct l3l2q_region *region,
			       const struct l3l2q_create *cmd)
{
	u64 payload = PAGE_ALIGN(region->payload_bytes);
	u64 counters = PAGE_ALIGN(region->counter_bytes);
	int err;

	if (!cmd->counter_source && !cmd->counter_source_bytes)
		return ascend_range_check(cmd->source, cmd->source_bytes,
					  payload + counters);

	err = ascend_range_check(cmd->source, cmd->source_bytes, payload);
	if (err)
		return err;
	err = ascend_range_check(cmd->counter_source,
				 cmd->counter_source_bytes, counters);
	if (err)
		return err;
	/* What is taken of them does not wrap, as they do not. */
	return cmd->counter_source < cmd->source + payload &&
	       cmd->source < cmd->counter_source + counters ? -EINVAL : 0;
}

static int ascend_alloc(struct l3l2q_region *region,
			const struct l3l2q_create *cmd)
{
	struct ascend_backing *ascend;
	int err;

	err = ascend_source_check(region, cmd);
	if (err)
		return err;
	ascend = ascend_new(region, cmd);
	if (!ascend)
		return -ENOMEM;

	err = ascend_get(ascend);
	if (err)
		goto err_put;
	err = ascend_map(ascend, cmd->flags & L3L2Q_CREATE_COHERENT);
	if (err)
		goto err_unmap;
	if (ascend_move(ascend, ASCEND_BUSY, ASCEND_LIVE))
		return 0;
	err = -ENODEV;

err_unmap:
	ascend_unmap(ascend);
err_put:
	ascend_put(ascend);
	return err;
}

static void ascend_free(struct l3l2q_region *region)
{
	struct ascend_backing *ascend = region->backing;

	if (ascend_move(ascend, ASCEND_LIVE, ASCEND_BUSY))
		ascend_unmap(ascend);
	else
		wait_for_completion(&ascend->quiet);
	ascend_put(ascend);
}

const struct l3l2q_backend_ops l3l2q_ascend_ops = {
	.id = L3L2Q_BACKEND_ASCEND,
	.name = "ascend",
	.feature = L3L2Q_FEATURE_ASCEND,
	.flags = L3L2Q_CREATE_SHARE_ADDRESSES | L3L2Q_CREATE_SILENT_PEER |
		 L3L2Q_CREATE_COHERENT,
	.foreign = true,
	.two_sources = true,
	.init = ascend_tables_init,
	.exit = ascend_tables_exit,
	.alloc = ascend_alloc,
	.free = ascend_free,
	.payload_pfn = ascend_payload_pfn,
	.counters_pfn = ascend_counters_pfn,
};
