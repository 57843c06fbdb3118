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
 * It locks as the Ascend driver does. A table belongs to the process that got it,
 * and is in a list of that owner. A put looks the owner up, and unlinks the table
 * under the owner's lock; if the owner is not found, it frees the table at once.
 * Callbacks run under the owner's lock, and their table is written to after they have
 * returned. An owner is noticed to end by a mapping that it is given: the owner
 * leaves the lookup, and the callbacks run after that. Freed tables are poisoned,
 * or KASAN's.
 *
 * Parameters: "revoke" takes an address; "race_us" revokes what a get returned,
 * that many microseconds later; "in_get" revokes it before the get returns;
 * "fail" makes gets return that, "fail_after" only after so many more; "lie" makes
 * their tables wrong (enum lie). When an owner ends, "gap_us" pass before the
 * callbacks, and "tail_us" between a callback and what is written after it. Broken
 * rules are counted in "violations" and leave a warning.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/anon_inodes.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mman.h>
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
 * struct owner - a process that got a table
 * @ref: of its mapping's file
 * @node: in owners, the lookup
 * @tgid: what it is looked up by
 * @mm: its address space, to compare only
 * @users: who found it
 * @lock: @tables; held over their callbacks
 * @tables: whose callbacks are to come
 * @seen: by the revocation of that number
 */
struct owner {
	struct kref ref;
	struct list_head node;
	pid_t tgid;
	const struct mm_struct *mm;
	atomic_t users;
	struct mutex lock;	/* of the next */
	struct list_head tables;
	unsigned long seen;
};

/**
 * struct table - what a get returned
 * @table: the part that the caller sees
 * @magic: not yet freed
 * @node: in its owner's tables until the callback
 * @all: in tables until it is put
 * @tgid: of its owner
 * @mem: whose pages it has
 * @callback: to be called before they go; NULL once that is all over
 * @data: its argument
 * @called: it returned
 */
struct table {
	struct p2p_page_table table;
	u32 magic;
	struct list_head node;
	struct list_head all;
	pid_t tgid;
	struct mem *mem;
	void (*callback)(void *data);
	void *data;
	bool called;
};

#define MAGIC	0x70327032

/* Who runs a callback. */
struct notifier {
	struct list_head node;
	const struct task_struct *task;
};

static LIST_HEAD(tables);
static DEFINE_MUTEX(lock);	/* tables, ranges' mem, counts; within owners' */
static LIST_HEAD(owners);
static LIST_HEAD(notifiers);
static DEFINE_SPINLOCK(owners_lock);	/* these two, and owners' seen */
static DEFINE_MUTEX(adding);	/* an owner; outside of mmap_lock */
static DEFINE_MUTEX(revoking);
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
static unsigned long got_bytes;
module_param(got_bytes, ulong, 0444);
static uint nr_puts;
module_param(nr_puts, uint, 0444);
static uint nr_callbacks;
module_param(nr_callbacks, uint, 0444);

static int fail;
module_param(fail, int, 0644);
static uint fail_after;
module_param(fail_after, uint, 0644);
static uint lie;
module_param(lie, uint, 0644);
static bool in_get;
module_param(in_get, bool, 0644);
static uint race_us;
static uint gap_us;
module_param(gap_us, uint, 0644);
static uint tail_us;
module_param(tail_us, uint, 0644);

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

	list_for_each_entry(table, &tables, all) {
		if (table->mem->range->kind != KIND_RAM && !table->called)
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

/* What was freed last, where there is no KASAN. */
static struct table *freed[64];
static uint next_freed;

static void freed_check(struct table *table)
{
	if (table && memchr_inv(table, POISON, sizeof(*table)))
		violation("a table was written to after its put");
	kfree(table);
}

static void table_free(struct table *table)
{
	struct table **slot = &freed[next_freed++ % ARRAY_SIZE(freed)];

	lockdep_assert_held(&lock);
	mem_put(table->mem);
	kvfree(table->table.pages_info);
	if (IS_ENABLED(CONFIG_KASAN)) {
		kfree(table);
		return;
	}
	freed_check(*slot);
	memset(table, POISON, sizeof(*table));
	*slot = table;
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

static struct table *table_new(const struct owner *owner,
			       struct va_range *range, u64 va, u64 len,
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
	table->magic = MAGIC;
	table->tgid = owner->tgid;
	table->callback = callback;
	table->data = data;
	table->mem = range->mem;
	kref_get(&table->mem->ref);

	table->table.version = 1;
	table->table.page_size = range->page_size;
	table->table.page_num = nr;
	for (i = 0; i < nr; i++)
		table->table.pages_info[i].pa = page_pa(table->mem, first + i);
	list_add(&table->all, &tables);
	return table;
}

static struct table *table_find(const struct p2p_page_table *p2p)
{
	struct table *table;

	lockdep_assert_held(&lock);
	list_for_each_entry(table, &tables, all) {
		if (&table->table == p2p)
			return table;
	}
	return NULL;
}

/* ---- callbacks ---------------------------------------------------------- */

static bool is_notifier(void)
{
	struct notifier *notifier;
	bool found = false;

	spin_lock(&owners_lock);
	list_for_each_entry(notifier, &notifiers, node)
		found |= notifier->task == current;
	spin_unlock(&owners_lock);
	return found;
}

/* Take it out of its owner's list, whose lock is held, and tell. */
static void table_call(struct table *table, uint us)
{
	struct notifier notifier = { .task = current };

	list_del(&table->node);
	mutex_lock(&lock);
	nr_callbacks++;
	mutex_unlock(&lock);

	spin_lock(&owners_lock);
	list_add(&notifier.node, &notifiers);
	spin_unlock(&owners_lock);
	table->callback(table->data);
	spin_lock(&owners_lock);
	list_del(&notifier.node);
	spin_unlock(&owners_lock);

	/* The tail: nothing here may be put yet. */
	if (us)
		usleep_range(us, us + 1);
	if (table->magic != MAGIC)
		violation("put before the end of its callback");
	table->callback = NULL;
	table->data = NULL;
	INIT_LIST_HEAD(&table->node);
	/* Whoever goes on reading it shall notice. */
	if (table->table.pages_info)
		memset(table->table.pages_info, POISON,
		       sizeof(struct p2p_page_info));
	/* What the callback did comes before, to mem_is_called(). */
	smp_store_release(&table->called, true);
}

static void owner_call(struct owner *owner, const struct mem *mem, uint us)
{
	struct table *table, *next;

	mutex_lock(&owner->lock);
	list_for_each_entry_safe(table, next, &owner->tables, node) {
		if (!mem || table->mem == mem)
			table_call(table, us);
	}
	mutex_unlock(&owner->lock);
}

/* ---- owners ------------------------------------------------------------- */

static void owner_release(struct kref *ref)
{
	kfree(container_of(ref, struct owner, ref));
}

static struct owner *owner_find(pid_t tgid)
{
	struct owner *owner;

	spin_lock(&owners_lock);
	list_for_each_entry(owner, &owners, node) {
		if (owner->tgid == tgid) {
			atomic_inc(&owner->users);
			spin_unlock(&owners_lock);
			return owner;
		}
	}
	spin_unlock(&owners_lock);
	return NULL;
}

static void owner_put(struct owner *owner)
{
	atomic_dec(&owner->users);
}

static void owner_leave(struct owner *owner)
{
	uint us = READ_ONCE(gap_us);

	spin_lock(&owners_lock);
	list_del_init(&owner->node);
	spin_unlock(&owners_lock);
	while (atomic_read(&owner->users))
		usleep_range(50, 100);
	if (us)
		usleep_range(us, us + 1);
	owner_call(owner, NULL, READ_ONCE(tail_us));
}

/* The owner exits, or unmaps it; copies in children do not count. */
static void owner_vm_close(struct vm_area_struct *vma)
{
	struct owner *owner = vma->vm_file->private_data;

	if (vma->vm_mm == owner->mm)
		owner_leave(owner);
}

static const struct vm_operations_struct owner_vm_ops = {
	.close = owner_vm_close,
};

static int owner_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_ops = &owner_vm_ops;
	return 0;
}

static int owner_file_release(struct inode *inode, struct file *file)
{
	struct owner *owner = file->private_data;

	kref_put(&owner->ref, owner_release);
	return 0;
}

static const struct file_operations owner_fops = {
	.owner = THIS_MODULE,
	.mmap = owner_mmap,
	.release = owner_file_release,
};

/* Into the lookup, with a mapping that ends when the owner does. */
static int owner_map(struct owner *owner)
{
	struct file *file;
	unsigned long at;

	file = anon_inode_getfile("[npu_standin]", &owner_fops, owner, O_RDWR);
	if (IS_ERR(file))
		return PTR_ERR(file);
	kref_get(&owner->ref);

	spin_lock(&owners_lock);
	list_add(&owner->node, &owners);
	spin_unlock(&owners_lock);
	at = vm_mmap(file, 0, PAGE_SIZE, PROT_NONE, MAP_SHARED, 0);
	if (IS_ERR_VALUE(at)) {
		spin_lock(&owners_lock);
		list_del(&owner->node);
		spin_unlock(&owners_lock);
		while (atomic_read(&owner->users))
			usleep_range(50, 100);
	}
	fput(file);
	return IS_ERR_VALUE(at) ? (int)at : 0;
}

static int owner_add(void)
{
	struct owner *owner = kzalloc(sizeof(*owner), GFP_KERNEL);
	int err;

	if (!owner)
		return -ENOMEM;
	kref_init(&owner->ref);
	owner->tgid = current->tgid;
	owner->mm = current->mm;
	mutex_init(&owner->lock);
	INIT_LIST_HEAD(&owner->tables);
	err = owner_map(owner);
	kref_put(&owner->ref, owner_release);
	return err;
}

static struct owner *owner_get(void)
{
	struct owner *owner;
	int err = 0;

	mutex_lock(&adding);
	owner = owner_find(current->tgid);
	if (!owner) {
		err = owner_add();
		owner = owner_find(current->tgid);
	}
	mutex_unlock(&adding);
	return owner ? owner : ERR_PTR(err ? err : -ESRCH);
}

/* ---- revocation --------------------------------------------------------- */

static struct owner *owner_unseen(unsigned long number)
{
	struct owner *owner;

	spin_lock(&owners_lock);
	list_for_each_entry(owner, &owners, node) {
		if (owner->seen == number)
			continue;
		owner->seen = number;
		atomic_inc(&owner->users);
		spin_unlock(&owners_lock);
		return owner;
	}
	spin_unlock(&owners_lock);
	return NULL;
}

/* Owners that leave call for themselves. */
static bool mem_is_called(const struct mem *mem)
{
	struct table *table;
	bool called = true;

	mutex_lock(&lock);
	list_for_each_entry(table, &tables, all) {
		/* Pairs with table_call(). */
		called &= table->mem != mem || smp_load_acquire(&table->called);
	}
	mutex_unlock(&lock);
	return called;
}

static void revoke_range(struct va_range *range)
{
	static unsigned long number;
	struct owner *owner;
	struct mem *mem;

	mutex_lock(&revoking);
	mutex_lock(&lock);
	mem = range->mem;
	range->mem = NULL;
	mutex_unlock(&lock);
	if (!mem)
		goto out;

	number++;
	while ((owner = owner_unseen(number))) {
		owner_call(owner, mem, 0);
		owner_put(owner);
	}
	while (!mem_is_called(mem))
		usleep_range(50, 100);
	mem_poison(mem);

	mutex_lock(&lock);
	mem_put(mem);
	mutex_unlock(&lock);
out:
	mutex_unlock(&revoking);
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

static bool get_fails(void)
{
	if (!READ_ONCE(fail))
		return false;
	if (!READ_ONCE(fail_after))
		return true;
	fail_after--;
	return false;
}

static struct p2p_page_table *
owner_table(struct owner *owner, struct va_range *range, u64 va, u64 len,
	    void (*callback)(void *data), void *data)
{
	struct p2p_page_table *p2p;
	struct table *table = NULL;

	mutex_lock(&owner->lock);
	mutex_lock(&lock);
	if (!range->mem)
		range->mem = mem_new(range);
	if (range->mem)
		table = table_new(owner, range, va, len, callback, data);
	if (!table) {
		p2p = ERR_PTR(-ENOMEM);
		goto out;
	}
	nr_gets++;
	got_bytes += len;
	bar_gets += range->kind != KIND_RAM;
	table_lie(&table->table);
	p2p = &table->table;
	if (lie == LIE_NO_PAGES) {
		kvfree(table->table.pages_info);
		table->table.pages_info = NULL;
	}
	if (lie == LIE_NO_TABLE) {
		list_del(&table->all);
		table_free(table);
		p2p = NULL;
		goto out;
	}
	list_add_tail(&table->node, &owner->tables);
out:
	mutex_unlock(&lock);
	mutex_unlock(&owner->lock);
	return p2p;
}

int hal_kernel_p2p_get_pages(u64 va, u64 len,
			     void (*free_callback)(void *data), void *data,
			     struct p2p_page_table **page_table)
{
	struct p2p_page_table *p2p;
	struct va_range *range;
	struct owner *owner;
	uint us;

	might_sleep();
	if (!free_callback || !page_table || !len ||
	    !IS_ALIGNED(va | len, SZ_4K) || va + len < va) {
		violation("get: bad arguments, %#llx + %#llx", va, len);
		return -EINVAL;
	}
	if (is_notifier())
		violation("get within a callback");
	range = range_find(va, len);
	if (!range || !IS_ALIGNED(va | len, range->page_size))
		return -EINVAL;
	if (get_fails())
		return fail;

	owner = owner_get();
	if (IS_ERR(owner))
		return PTR_ERR(owner);
	p2p = owner_table(owner, range, va, len, free_callback, data);
	owner_put(owner);
	if (IS_ERR(p2p))
		return PTR_ERR(p2p);
	*page_table = p2p;
	if (!p2p)
		return 0;

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
	struct table *table;
	struct owner *owner;

	might_sleep();
	if (is_notifier()) {
		violation("put within a callback");
		return -EDEADLK;
	}
	mutex_lock(&lock);
	nr_puts++;
	table = table_find(page_table);
	mutex_unlock(&lock);
	if (!table) {
		violation("put: no such table, or not any more");
		return -EINVAL;
	}

	owner = owner_find(table->tgid);
	if (owner) {
		mutex_lock(&owner->lock);
		if (table->callback)
			list_del(&table->node);
		mutex_unlock(&owner->lock);
		owner_put(owner);
	} else if (READ_ONCE(table->callback)) {
		violation("put while its owner ends, before the end of its callback");
	}
	mutex_lock(&lock);
	list_del(&table->all);
	table_free(table);
	mutex_unlock(&lock);
	return 0;
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
	for (i = 0; i < ARRAY_SIZE(freed); i++)
		freed_check(freed[i]);
	mutex_unlock(&lock);
	bar_put();
}

module_init(standin_init);
module_exit(standin_exit);
MODULE_DESCRIPTION("Stand-in for the Ascend driver's device memory interface");
MODULE_LICENSE("GPL");
