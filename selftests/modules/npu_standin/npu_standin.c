// SPDX-License-Identifier: GPL-2.0-only
/*
 * A stand-in for the Ascend driver: exports its two functions over memory that
 * is there in any machine, checks that its caller keeps the rules, and takes
 * memory away when told to. It has these device addresses, in every process:
 *
 *	0x120000000000	16 MiB of RAM, pages of 2 MiB
 *	0x121000000000	4 MiB of RAM, pages of 64 KiB
 *	0x122000000000	4 MiB of RAM, pages of 4 KiB, last one first
 *	0x123000000000	BAR2 of the function bar=, pages of 64 KiB
 *	0x124000000000	4 MiB of it at most, pages of 4 KiB, last one first
 *	0x125000000000	two pages of 64 KiB, one of RAM and one of BAR2
 *	0x126000000000	BAR2 again, as if it were one page of 1 GiB
 *
 * RAM is made when first asked for, not zeroed, and stays until the module goes
 * or it is revoked; then there is new RAM at the address. What was revoked gets
 * poison, which has to be intact when its last table is put.
 *
 * Parameters: "revoke" takes an address; "race_us" revokes what a get returned,
 * that many microseconds later; "in_get" revokes it before the get returns;
 * "fail" makes gets return that; "lie" makes their tables wrong (enum lie).
 * With "unlocked" a put neither waits for callbacks nor they for it. Broken rules
 * are counted in "violations" and leave a warning.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "npu_standin.h"

#define FRESH		0xa5
#define POISON		0x6b
/* How much of each unit, and of a BAR, is filled: no more than is used, mostly. */
#define FILL		SZ_128K

enum lie {
	LIE_VERSION	= 1,
	LIE_PAGE_ZERO	= 2,
	LIE_PAGE_ODD	= 3,
	LIE_PAGE_SMALL	= 4,
	LIE_NUM_ZERO	= 5,
	LIE_NUM_FEW	= 6,
	LIE_NUM_MANY	= 7,
	LIE_NO_PAGES	= 8,
	LIE_UNALIGNED	= 9,
	LIE_NOWHERE	= 10,
	LIE_WRAPS	= 11,
	LIE_NO_TABLE	= 12,
	LIE_PAGE_BIG	= 13,
};

enum kind {
	KIND_RAM,
	KIND_BAR,
	KIND_MIXED,
};

/**
 * struct mem - what is behind a range at the moment
 * @ref: of the range, and of each table
 * @range: whose
 * @units: of RAM, each max(page size, PAGE_SIZE)
 * @nr_units: how many there are
 * @poisoned: taken away and filled, not to be touched
 * @bar_gets: what it was when it was poisoned
 */
struct mem {
	struct kref ref;
	struct va_range *range;
	struct page **units;
	unsigned long nr_units;
	bool poisoned;
	u64 bar_gets;
};

static struct va_range {
	u64 va;
	u64 bytes;
	u64 page_size;
	enum kind kind;
	bool backwards;
	struct mem *mem;
} ranges[] = {
	{ 0x120000000000, SZ_16M, SZ_2M,  KIND_RAM },
	{ 0x121000000000, SZ_4M,  SZ_64K, KIND_RAM },
	{ 0x122000000000, SZ_4M,  SZ_4K,  KIND_RAM, true },
	{ 0x123000000000, 0,	  SZ_64K, KIND_BAR },
	{ 0x124000000000, SZ_4M,  SZ_4K,  KIND_BAR, true },
	{ 0x125000000000, SZ_128K, SZ_64K, KIND_MIXED },
	{ 0x126000000000, SZ_1G,  SZ_1G,  KIND_BAR },
};

/**
 * struct table - what a get returned
 * @table: the part that the caller sees
 * @ref: of the caller, and of a callback that runs
 * @node: in tables until it is put
 * @mem: whose pages it has
 * @callback: to be called before they go
 * @data: its argument
 * @revoked: it was, or is being
 */
struct table {
	struct p2p_page_table table;
	struct kref ref;
	struct list_head node;
	struct mem *mem;
	void (*callback)(void *data);
	void *data;
	bool revoked;
};

static LIST_HEAD(tables);
static DEFINE_MUTEX(lock);	/* tables, ranges' mem, counts */
static DEFINE_MUTEX(notify);	/* callbacks; outside of lock */
static struct task_struct *notifier;	/* who is in one */
static struct workqueue_struct *racers;

static struct pci_dev *bar_dev;
static phys_addr_t bar_start;
static u64 bar_bytes;
static u64 bar_gets;

static char *bar;
module_param(bar, charp, 0444);
MODULE_PARM_DESC(bar, "PCI function, unbound, whose BAR2 is device memory");

static uint violations;
module_param(violations, uint, 0444);
static uint nr_gets;
module_param(nr_gets, uint, 0444);
static uint nr_puts;
module_param(nr_puts, uint, 0444);
static uint nr_callbacks;
module_param(nr_callbacks, uint, 0444);

static int fail;
module_param(fail, int, 0644);
static uint lie;
module_param(lie, uint, 0644);
static bool in_get;
module_param(in_get, bool, 0644);
static uint race_us;
static bool unlocked;
module_param(unlocked, bool, 0644);

#define violation(fmt, ...)						\
	do {								\
		WARN(1, KBUILD_MODNAME ": " fmt "\n", ##__VA_ARGS__);	\
		violations++;						\
	} while (0)

/* ---- memory ------------------------------------------------------------- */

static u64 unit_bytes(const struct va_range *range)
{
	return max_t(u64, range->page_size, PAGE_SIZE);
}

/* Where the range's page @i is. */
static phys_addr_t page_pa(const struct mem *mem, u64 i)
{
	const struct va_range *range = mem->range;
	u64 at = i * range->page_size;

	if (range->backwards)
		at = range->bytes - range->page_size - at;
	if (range->kind == KIND_BAR || (range->kind == KIND_MIXED && i))
		return bar_start + at;
	return page_to_phys(mem->units[at / unit_bytes(range)]) +
	       at % unit_bytes(range);
}

static u64 fill_bytes(const struct va_range *range)
{
	return min_t(u64, unit_bytes(range), FILL);
}

static void mem_free_units(struct mem *mem)
{
	while (mem->nr_units--)
		__free_pages(mem->units[mem->nr_units],
			     get_order(unit_bytes(mem->range)));
	kvfree(mem->units);
}

static int mem_alloc_units(struct mem *mem)
{
	u64 bytes = unit_bytes(mem->range);
	unsigned long nr = DIV_ROUND_UP(mem->range->bytes, bytes);

	mem->units = kvcalloc(nr, sizeof(*mem->units), GFP_KERNEL);
	if (!mem->units)
		return -ENOMEM;
	for (; mem->nr_units < nr; mem->nr_units++) {
		struct page *page = alloc_pages(GFP_KERNEL | __GFP_NOWARN |
						__GFP_RETRY_MAYFAIL,
						get_order(bytes));

		if (!page) {
			mem_free_units(mem);
			return -ENOMEM;
		}
		memset(page_address(page), FRESH, fill_bytes(mem->range));
		mem->units[mem->nr_units] = page;
	}
	return 0;
}

static struct mem *mem_new(struct va_range *range)
{
	struct mem *mem = kzalloc(sizeof(*mem), GFP_KERNEL);

	if (!mem)
		return NULL;
	kref_init(&mem->ref);
	mem->range = range;
	if (range->kind != KIND_BAR && mem_alloc_units(mem)) {
		kfree(mem);
		return NULL;
	}
	return mem;
}

/* Fill the start of a BAR's range with poison, or see whether it is there. */
static void bar_poison(const struct mem *mem, bool check)
{
	u64 step = min_t(u64, mem->range->page_size, SZ_64K);
	u64 i, at, bytes = min_t(u64, mem->range->bytes, FILL);

	for (at = 0; at < bytes; at += step) {
		phys_addr_t pa = page_pa(mem, at / mem->range->page_size) +
				 at % mem->range->page_size;
		void __iomem *io = ioremap_wc(pa, step);

		if (!io) {
			violation("BAR2 is still mapped, and not as before");
			return;
		}
		if (!check)
			memset_io(io, POISON, step);
		for (i = 0; check && i < step; i += sizeof(u64)) {
			if (readq(io + i) == 0x0101010101010101ull * POISON)
				continue;
			violation("BAR2 + %#llx written after the callback",
				  pa - bar_start + i);
			check = false;
			at = bytes;
		}
		iounmap(io);
	}
}

static bool bar_in_use(void)
{
	struct table *table;

	list_for_each_entry(table, &tables, node) {
		if (table->mem->range->kind != KIND_RAM && !table->revoked)
			return true;
	}
	return false;
}

/* Nobody is to touch it from now on. */
static void mem_poison(struct mem *mem)
{
	unsigned long i;

	mutex_lock(&lock);
	for (i = 0; i < mem->nr_units; i++)
		memset(page_address(mem->units[i]), POISON,
		       fill_bytes(mem->range));
	/* The same BAR can be in use, at another address or again. */
	mem->bar_gets = 0;
	if (mem->range->kind == KIND_BAR && !bar_in_use()) {
		bar_poison(mem, false);
		mem->bar_gets = bar_gets;
	}
	mem->poisoned = true;
	mutex_unlock(&lock);
}

static void mem_check_poison(const struct mem *mem)
{
	unsigned long i;

	for (i = 0; i < mem->nr_units; i++) {
		if (!memchr_inv(page_address(mem->units[i]), POISON,
				fill_bytes(mem->range)))
			continue;
		violation("%#llx, unit %lu: written after the callback",
			  mem->range->va, i);
		break;
	}
	if (mem->bar_gets && mem->bar_gets == bar_gets)
		bar_poison(mem, true);
}

static void mem_release(struct kref *ref)
{
	struct mem *mem = container_of(ref, struct mem, ref);

	if (mem->poisoned)
		mem_check_poison(mem);
	if (mem->units)
		mem_free_units(mem);
	kfree(mem);
}

/* Under lock. */
static void mem_put(struct mem *mem)
{
	lockdep_assert_held(&lock);
	kref_put(&mem->ref, mem_release);
}

/* ---- tables ------------------------------------------------------------- */

static void table_release(struct kref *ref)
{
	struct table *table = container_of(ref, struct table, ref);

	mem_put(table->mem);
	kvfree(table->table.pages_info);
	kfree(table);
}

static void table_lie(struct p2p_page_table *table)
{
	struct p2p_page_info *first = table->pages_info;

	switch (lie) {
	case LIE_VERSION:
		table->version = 2;
		break;
	case LIE_PAGE_ZERO:
		table->page_size = 0;
		break;
	case LIE_PAGE_ODD:
		table->page_size = 3 * SZ_4K;
		break;
	case LIE_PAGE_SMALL:
		table->page_size = SZ_2K;
		break;
	case LIE_PAGE_BIG:
		table->page_size = SZ_1G;
		break;
	case LIE_NUM_ZERO:
		table->page_num = 0;
		break;
	case LIE_NUM_FEW:
		table->page_num--;
		break;
	case LIE_NUM_MANY:
		table->page_num++;
		break;
	case LIE_UNALIGNED:
		first->pa += 64;
		break;
	case LIE_NOWHERE:
		first->pa = BIT_ULL(62);
		break;
	case LIE_WRAPS:
		first->pa = -(u64)PAGE_SIZE;
		break;
	}
}

static struct table *table_new(struct va_range *range, u64 va, u64 len,
			       void (*callback)(void *data), void *data)
{
	u64 first = (va - range->va) / range->page_size;
	u64 i, nr = len / range->page_size;
	struct table *table;

	table = kzalloc(sizeof(*table), GFP_KERNEL);
	if (!table)
		return NULL;
	table->table.pages_info = kvcalloc(nr, sizeof(struct p2p_page_info),
					   GFP_KERNEL);
	if (!table->table.pages_info) {
		kfree(table);
		return NULL;
	}
	kref_init(&table->ref);
	table->callback = callback;
	table->data = data;
	table->mem = range->mem;
	kref_get(&table->mem->ref);

	table->table.version = 1;
	table->table.page_size = range->page_size;
	table->table.page_num = nr;
	for (i = 0; i < nr; i++)
		table->table.pages_info[i].pa = page_pa(table->mem, first + i);
	list_add(&table->node, &tables);
	return table;
}

static struct table *table_find(const struct p2p_page_table *p2p)
{
	struct table *table;

	lockdep_assert_held(&lock);
	list_for_each_entry(table, &tables, node) {
		if (&table->table == p2p)
			return table;
	}
	return NULL;
}

/* One that has to be told that its memory goes. */
static struct table *table_to_revoke(const struct mem *mem)
{
	struct table *table;

	mutex_lock(&lock);
	list_for_each_entry(table, &tables, node) {
		if (table->mem != mem || table->revoked)
			continue;
		table->revoked = true;
		kref_get(&table->ref);
		nr_callbacks++;
		mutex_unlock(&lock);
		return table;
	}
	mutex_unlock(&lock);
	return NULL;
}

static void revoke_range(struct va_range *range)
{
	struct table *table;
	struct mem *mem;

	mutex_lock(&notify);
	mutex_lock(&lock);
	mem = range->mem;
	range->mem = NULL;
	mutex_unlock(&lock);
	if (!mem)
		goto out;

	WRITE_ONCE(notifier, current);
	while ((table = table_to_revoke(mem))) {
		table->callback(table->data);
		/* Whoever goes on reading it shall notice. */
		mutex_lock(&lock);
		if (table->table.pages_info)
			memset(table->table.pages_info, POISON,
			       sizeof(struct p2p_page_info));
		kref_put(&table->ref, table_release);
		mutex_unlock(&lock);
	}
	WRITE_ONCE(notifier, NULL);
	mem_poison(mem);

	mutex_lock(&lock);
	mem_put(mem);
	mutex_unlock(&lock);
out:
	mutex_unlock(&notify);
}

/* ---- races -------------------------------------------------------------- */

struct racer {
	struct work_struct work;
	struct va_range *range;
	uint us;
};

static void racer_work(struct work_struct *work)
{
	struct racer *racer = container_of(work, struct racer, work);

	usleep_range(racer->us, racer->us + 1);
	revoke_range(racer->range);
	kfree(racer);
}

static void race(struct va_range *range, uint us)
{
	struct racer *racer = kzalloc(sizeof(*racer), GFP_KERNEL);

	if (!racer)
		return;
	INIT_WORK(&racer->work, racer_work);
	racer->range = range;
	racer->us = us;
	queue_work(racers, &racer->work);
}

/* ---- the interface ------------------------------------------------------ */

static struct va_range *range_find(u64 va, u64 len)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		struct va_range *range = &ranges[i];

		if (va >= range->va && va - range->va < range->bytes &&
		    len <= range->bytes - (va - range->va))
			return range;
	}
	return NULL;
}

int hal_kernel_p2p_get_pages(u64 va, u64 len,
			     void (*free_callback)(void *data), void *data,
			     struct p2p_page_table **page_table)
{
	struct table *table = NULL;
	struct va_range *range;
	uint us;

	might_sleep();
	if (!free_callback || !page_table || !len ||
	    !IS_ALIGNED(va | len, SZ_4K) || va + len < va) {
		violation("get: bad arguments, %#llx + %#llx", va, len);
		return -EINVAL;
	}
	if (READ_ONCE(notifier) == current)
		violation("get within a callback");
	range = range_find(va, len);
	if (!range || !IS_ALIGNED(va | len, range->page_size))
		return -EINVAL;
	if (READ_ONCE(fail))
		return fail;

	mutex_lock(&lock);
	if (!range->mem)
		range->mem = mem_new(range);
	if (range->mem)
		table = table_new(range, va, len, free_callback, data);
	if (!table) {
		mutex_unlock(&lock);
		return -ENOMEM;
	}
	nr_gets++;
	bar_gets += range->kind != KIND_RAM;
	table_lie(&table->table);
	if (lie == LIE_NO_PAGES) {
		kvfree(table->table.pages_info);
		table->table.pages_info = NULL;
	}
	if (lie == LIE_NO_TABLE) {
		list_del(&table->node);
		kref_put(&table->ref, table_release);
		mutex_unlock(&lock);
		*page_table = NULL;
		return 0;
	}
	*page_table = &table->table;
	mutex_unlock(&lock);

	us = READ_ONCE(race_us);
	if (us)
		race(range, us);
	if (READ_ONCE(in_get))
		revoke_range(range);
	return 0;
}
EXPORT_SYMBOL_GPL(hal_kernel_p2p_get_pages);

int hal_kernel_p2p_put_pages(struct p2p_page_table *page_table)
{
	bool waits = !READ_ONCE(unlocked);
	struct table *table;
	int err = 0;

	might_sleep();
	if (READ_ONCE(notifier) == current) {
		violation("put within a callback");
		return -EDEADLK;
	}
	if (waits)
		mutex_lock(&notify);
	mutex_lock(&lock);
	nr_puts++;
	table = table_find(page_table);
	if (table) {
		list_del(&table->node);
		kref_put(&table->ref, table_release);
	} else {
		violation("put: no such table, or not any more");
		err = -EINVAL;
	}
	mutex_unlock(&lock);
	if (waits)
		mutex_unlock(&notify);
	return err;
}
EXPORT_SYMBOL_GPL(hal_kernel_p2p_put_pages);

static int revoke_set(const char *val, const struct kernel_param *kp)
{
	struct va_range *range;
	u64 va;
	int err;

	err = kstrtou64(val, 0, &va);
	if (err)
		return err;
	range = range_find(va, 1);
	if (!range)
		return -ENOENT;
	revoke_range(range);
	return 0;
}

static const struct kernel_param_ops revoke_ops = {
	.set = revoke_set,
};
module_param_cb(revoke, &revoke_ops, NULL, 0200);

/* Once it is 0 there are none: also those are over that were set off before. */
static int race_set(const char *val, const struct kernel_param *kp)
{
	int err = param_set_uint(val, kp);

	if (!err && !race_us && racers)
		flush_workqueue(racers);
	return err;
}

static const struct kernel_param_ops race_ops = {
	.set = race_set,
	.get = param_get_uint,
};
module_param_cb(race_us, &race_ops, &race_us, 0644);

/* ---- the module --------------------------------------------------------- */

static int bar_get(void)
{
	unsigned int domain, bus, slot, fn;
	int i, err;

	if (sscanf(bar, "%x:%x:%x.%x", &domain, &bus, &slot, &fn) != 4)
		return -EINVAL;
	bar_dev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, fn));
	if (!bar_dev)
		return -ENODEV;

	err = -EBUSY;
	if (bar_dev->dev.driver)
		goto err_put;
	err = pci_enable_device(bar_dev);
	if (err)
		goto err_put;
	bar_start = pci_resource_start(bar_dev, 2);
	bar_bytes = pci_resource_len(bar_dev, 2);
	err = -EINVAL;
	if (bar_bytes < SZ_64K || !IS_ALIGNED(bar_start | bar_bytes, SZ_64K))
		goto err_disable;
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (ranges[i].kind != KIND_BAR || ranges[i].page_size == SZ_1G)
			continue;
		if (!ranges[i].bytes || ranges[i].bytes > bar_bytes)
			ranges[i].bytes = bar_bytes;
	}
	return 0;

err_disable:
	pci_disable_device(bar_dev);
err_put:
	pci_dev_put(bar_dev);
	return err;
}

static void bar_put(void)
{
	if (!bar_dev)
		return;
	pci_disable_device(bar_dev);
	pci_dev_put(bar_dev);
}

static int __init standin_init(void)
{
	int i, err;

	racers = alloc_workqueue("npu_standin", WQ_UNBOUND, 0);
	if (!racers)
		return -ENOMEM;
	if (bar) {
		err = bar_get();
		if (err) {
			destroy_workqueue(racers);
			return err;
		}
	}
	for (i = 0; !bar && i < ARRAY_SIZE(ranges); i++) {
		if (ranges[i].kind != KIND_RAM)
			ranges[i].bytes = 0;
	}
	return 0;
}

static void __exit standin_exit(void)
{
	int i;

	destroy_workqueue(racers);
	mutex_lock(&lock);
	if (!list_empty(&tables))
		violation("exit: there are tables that nobody put");
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (ranges[i].mem)
			mem_put(ranges[i].mem);
	}
	mutex_unlock(&lock);
	bar_put();
}

module_init(standin_init);
module_exit(standin_exit);
MODULE_DESCRIPTION("Stand-in for the Ascend driver's device memory interface");
MODULE_LICENSE("GPL");
