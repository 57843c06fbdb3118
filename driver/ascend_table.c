// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tables of the Ascend driver, from get_pages to put_pages.
 *
 * What its public sources do: each table has a record in a list of the process
 * that owns the memory, and a put looks that process up by its id. If it is found,
 * the put unlinks the record under the owner's lock; if not, it frees the record at
 * once. Nothing but a put frees a record. When the owner's address space ends, or
 * the owner unmaps the device's addresses, the owner is taken out of the lookup
 * first, and then the callback of each record is called under the owner's lock.
 * After a callback has returned, its record is still written to: the tail.
 *
 * So from when the owner leaves the lookup until the tail is over, a put frees what
 * is still in a list, or about to be written to. A table is therefore put
 *
 * - before its callback has come: while its owner cannot leave the lookup, because
 *   we hold the owner's mm and have its mmap_lock for writing, which keep away exit
 *   and exec, and munmap. The put then takes the owner's lock, like a callback.
 *   Holding mmap_lock across the put cannot deadlock: the Ascend driver itself takes
 *   its locks under it (in munmap), and nothing that it waits for takes it. It is
 *   only ever tried, since the owner can make others wait for it: if it is taken,
 *   a work item tries again.
 *   If there is no mm any more, the callback is certain to come.
 * - after its callback has come: once the task that ran it has left the kernel, to
 *   user space or by exiting, which it does only after the tail. It is told by a
 *   task work, wherever in that task the callback ran.
 *   Kernel threads do not leave, and before 6.0 modules have no task work. Then it is
 *   after a grace period of the MMU notifiers, within which an address space ends,
 *   and one of RCU tasks, which is longer than a tail that does not sleep.
 *
 * Until then the table keeps a reference to this module, whose code the callback
 * returns to, and to the Ascend driver, and stays charged to its users.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "ascend.h"
#include "internal.h"

/* Between attempts to put a table whose owner's mmap_lock is taken. */
#define ASCEND_RETRY_MIN_MS	10
#define ASCEND_RETRY_MAX_MS	1280

/* Threads that may not return to user space for as long as they live. */
#ifdef PF_USER_WORKER
#define ASCEND_PF_STAYS		(PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER)
#else
#define ASCEND_PF_STAYS		(PF_KTHREAD | PF_IO_WORKER)
#endif

enum ascend_callback {
	ASCEND_NOT_CALLED,
	ASCEND_CALLED,		/* it runs, or its tail does */
	ASCEND_CALL_OVER,
};

/**
 * struct ascend_get - a table and what it takes to put it
 * @table: what the backend sees of it
 * @ref: one until it is put, one for each other function that uses it meanwhile
 * @id: in ascend_gets
 * @ops: the backend's
 * @owner: the backend's
 * @get: the Ascend driver's, with a reference to its module
 * @put: likewise
 * @pages: its answer
 * @mm: whose memory it is; the mm itself, not its address space
 * @account: whom it is charged to
 * @lock: of @callback, @closed and @putting
 * @callback: whether it came
 * @closed: the backend does not use it any more
 * @putting: somebody puts it, once
 * @left: tells that the task that ran the callback has left the kernel
 * @slow: in ascend_slow, where that cannot be told
 * @retry: puts it later
 * @retry_ms: how much later
 */
struct ascend_get {
	struct ascend_table table;
	struct kref ref;
	u32 id;
	const struct ascend_table_ops *ops;
	void *owner;
	int (*get)(u64 va, u64 len, void (*free_callback)(void *data),
		   void *data, struct p2p_page_table **page_table);
	int (*put)(struct p2p_page_table *page_table);
	struct p2p_page_table *pages;
	struct mm_struct *mm;
	struct l3l2q_account *account;
	spinlock_t lock;	/* of the next three */
	enum ascend_callback callback;
	bool closed;
	bool putting;
	struct callback_head left;
	struct list_head slow;
	struct delayed_work retry;
	unsigned int retry_ms;
};

/*
 * The callback gets a number: it may be about to run when the put returns, and
 * then there is nothing left that a pointer could point to.
 */
static DEFINE_XARRAY_ALLOC1(ascend_gets);

static struct workqueue_struct *ascend_wq;
static typeof(task_work_add) *ascend_task_work_add;	/* NULL: there is none */
static bool ascend_has_left;	/* it was used */
static bool ascend_looked;	/* whether there is one */
static DEFINE_MUTEX(ascend_look_lock);

/* Whose callbacks' ends are told by grace periods. */
static LIST_HEAD(ascend_slow);
static DEFINE_SPINLOCK(ascend_slow_lock);
static void ascend_slow_work(struct work_struct *work);
static DECLARE_WORK(ascend_slow_ends, ascend_slow_work);

static void ascend_retry_work(struct work_struct *work);

/* ---- life --------------------------------------------------------------- */

static struct ascend_get *ascend_get_alloc(const struct ascend_table_ops *ops,
					   void *owner)
{
	static u32 next_id;
	struct ascend_get *get;
	int err;

	get = kzalloc(sizeof(*get), GFP_KERNEL_ACCOUNT);
	if (!get)
		return ERR_PTR(-ENOMEM);
	kref_init(&get->ref);
	spin_lock_init(&get->lock);
	INIT_LIST_HEAD(&get->slow);
	INIT_DELAYED_WORK(&get->retry, ascend_retry_work);
	get->retry_ms = ASCEND_RETRY_MIN_MS;
	get->ops = ops;
	get->owner = owner;

	err = xa_alloc_cyclic(&ascend_gets, &get->id, get, xa_limit_32b,
			      &next_id, GFP_KERNEL);
	if (err < 0) {
		kfree(get);
		return ERR_PTR(err);
	}
	return get;
}

static struct ascend_get *ascend_get_find(u32 id)
{
	struct ascend_get *get;

	xa_lock(&ascend_gets);
	get = xa_load(&ascend_gets, id);
	if (get)
		kref_get(&get->ref);
	xa_unlock(&ascend_gets);
	return get;
}

static void ascend_get_release(struct kref *ref)
{
	struct ascend_get *get = container_of(ref, struct ascend_get, ref);

	get->ops->drop(get->owner);
	if (get->mm)
		mmdrop(get->mm);
	kfree(get);
}

static void ascend_get_drop(struct ascend_get *get)
{
	kref_put(&get->ref, ascend_get_release);
}

/* Not before it may be needed: where it is exported to all, kernels warn. */
static void ascend_look(void)
{
	mutex_lock(&ascend_look_lock);
	if (!ascend_looked)
		ascend_task_work_add = symbol_get(task_work_add);
	ascend_looked = true;
	mutex_unlock(&ascend_look_lock);
}

static int ascend_symbols_get(struct ascend_get *get)
{
	get->get = symbol_get(hal_kernel_p2p_get_pages);
	if (!get->get)
		return -ENODEV;
	get->put = symbol_get(hal_kernel_p2p_put_pages);
	if (!get->put) {
		symbol_put(hal_kernel_p2p_get_pages);
		return -ENODEV;
	}
	ascend_look();
	return 0;
}

/* ---- putting ------------------------------------------------------------ */

/* From now on it is the caller's to put, if nobody else does and it can be. */
static bool ascend_claim(struct ascend_get *get)
{
	bool claimed;

	spin_lock(&get->lock);
	claimed = get->closed && !get->putting &&
		  get->callback != ASCEND_CALLED;
	get->putting |= claimed;
	spin_unlock(&get->lock);
	return claimed;
}

/* Put what was claimed. This module may go once the caller has left it. */
static void ascend_put(struct ascend_get *get)
{
	int err;

	xa_erase(&ascend_gets, get->id);
	if (get->pages) {
		err = get->put(get->pages);
		if (err)
			pr_warn_ratelimited("Ascend driver: pages cannot be put: %d\n",
					    err);
	}
	symbol_put(hal_kernel_p2p_put_pages);
	symbol_put(hal_kernel_p2p_get_pages);
	l3l2q_account_put(get->account);
	if (cancel_delayed_work(&get->retry))
		ascend_get_drop(get);
	ascend_get_drop(get);
	module_put(THIS_MODULE);
}

static void ascend_retry(struct ascend_get *get)
{
	spin_lock(&get->lock);
	if (!get->putting) {
		kref_get(&get->ref);
		queue_delayed_work(ascend_wq, &get->retry,
				   msecs_to_jiffies(get->retry_ms));
		get->retry_ms = min(get->retry_ms * 2, ASCEND_RETRY_MAX_MS);
	}
	spin_unlock(&get->lock);
}

/* Before its callback: if its owner can be kept where it is. */
static void ascend_put_with_owner(struct ascend_get *get)
{
	struct mm_struct *mm = get->mm;

	/* It ends, and the callback comes. */
	if (!mmget_not_zero(mm))
		return;
	/* Recent kernels have no mmap_write_trylock(). No VMA changes here. */
	if (down_write_trylock(&mm->mmap_lock)) {
		if (ascend_claim(get))
			ascend_put(get);
		up_write(&mm->mmap_lock);
	} else {
		ascend_retry(get);
	}
	mmput(mm);
}

/* Put it if that can be done now; else a retry or the end of its callback puts it. */
static void ascend_try_put(struct ascend_get *get)
{
	enum ascend_callback callback;

	spin_lock(&get->lock);
	callback = get->callback;
	spin_unlock(&get->lock);

	if (callback == ASCEND_NOT_CALLED && get->pages)
		ascend_put_with_owner(get);
	else if (ascend_claim(get))
		ascend_put(get);
}

static void ascend_retry_work(struct work_struct *work)
{
	struct ascend_get *get =
		container_of(work, struct ascend_get, retry.work);

	ascend_try_put(get);
	ascend_get_drop(get);
}

/* ---- the callback and its end ------------------------------------------- */

/* Nothing here is touched afterwards, unless it was put here. */
static void ascend_call_over(struct ascend_get *get)
{
	bool claimed;

	spin_lock(&get->lock);
	get->callback = ASCEND_CALL_OVER;
	claimed = get->closed;
	get->putting |= claimed;
	spin_unlock(&get->lock);
	if (claimed)
		ascend_put(get);
}

static void ascend_left(struct callback_head *left)
{
	ascend_call_over(container_of(left, struct ascend_get, left));
}

static void ascend_slow_work(struct work_struct *work)
{
	struct ascend_get *get, *next;
	LIST_HEAD(gets);

	spin_lock(&ascend_slow_lock);
	list_splice_init(&ascend_slow, &gets);
	spin_unlock(&ascend_slow_lock);

	mmu_notifier_synchronize();
	synchronize_rcu_tasks();
	list_for_each_entry_safe(get, next, &gets, slow)
		ascend_call_over(get);
}

/* The callback is about to return: see to it that its end is noticed. */
static void ascend_watch_end(struct ascend_get *get)
{
	if (ascend_task_work_add && !(current->flags & ASCEND_PF_STAYS)) {
		WRITE_ONCE(ascend_has_left, true);
		init_task_work(&get->left, ascend_left);
		if (!ascend_task_work_add(current, &get->left, TWA_RESUME))
			return;
	}
	spin_lock(&ascend_slow_lock);
	list_add_tail(&get->slow, &ascend_slow);
	spin_unlock(&ascend_slow_lock);
	queue_work(ascend_wq, &ascend_slow_ends);
}

/* The memory goes away, and must not be touched once this has returned. */
static void ascend_gone(void *data)
{
	struct ascend_get *get = ascend_get_find((unsigned long)data);
	bool putting, first;

	if (!get)
		return;

	spin_lock(&get->lock);
	/* Then the put waits for us. */
	putting = get->putting;
	first = !putting && get->callback == ASCEND_NOT_CALLED;
	if (first)
		get->callback = ASCEND_CALLED;
	spin_unlock(&get->lock);

	if (!putting)
		get->ops->gone(get->owner);
	if (first)
		ascend_watch_end(get);
	ascend_get_drop(get);
}

/* ---- for the backend ---------------------------------------------------- */

/**
 * ascend_table_put() - let go of a table
 * @table: whose memory nobody touches any more
 *
 * It is put now or later. The backend does not use it afterwards.
 */
void ascend_table_put(struct ascend_table *table)
{
	struct ascend_get *get = container_of(table, struct ascend_get, table);

	/* Once it is closed, the end of its callback can put it meanwhile. */
	kref_get(&get->ref);
	spin_lock(&get->lock);
	get->closed = true;
	spin_unlock(&get->lock);
	ascend_try_put(get);
	ascend_get_drop(get);
}

/**
 * ascend_table_get() - ask where memory of the calling process is
 * @va: its device address
 * @bytes: its length
 * @account: whom the table is charged to; keeps a reference
 * @ops: what the backend does when the memory goes away
 * @owner: for @ops; dropped once, also if this fails
 *
 * The memory can go away before this returns.
 *
 * Return: the table, or an ERR_PTR().
 */
struct ascend_table *ascend_table_get(u64 va, u64 bytes,
				      struct l3l2q_account *account,
				      const struct ascend_table_ops *ops,
				      void *owner)
{
	struct ascend_get *get = ascend_get_alloc(ops, owner);
	int err;

	if (IS_ERR(get)) {
		ops->drop(owner);
		return ERR_CAST(get);
	}
	err = ascend_symbols_get(get);
	if (err) {
		xa_erase(&ascend_gets, get->id);
		ascend_get_drop(get);
		return ERR_PTR(err);
	}
	__module_get(THIS_MODULE);
	get->mm = current->mm;
	mmgrab(get->mm);
	get->account = l3l2q_account_get(account);

	err = get->get(va, bytes, ascend_gone, (void *)(unsigned long)get->id,
		       &get->pages);
	if (!err) {
		get->table.pages = get->pages;
		return &get->table;
	}
	get->pages = NULL;
	ascend_table_put(&get->table);
	return ERR_PTR(IS_ERR_VALUE((long)err) ? err : -EOPNOTSUPP);
}

int ascend_tables_init(void)
{
	ascend_wq = alloc_workqueue("l3l2q_ascend", WQ_UNBOUND, 0);
	return ascend_wq ? 0 : -ENOMEM;
}

void ascend_tables_exit(void)
{
	destroy_workqueue(ascend_wq);
	/* A task work that has put a table may be about to leave this code. */
	if (READ_ONCE(ascend_has_left))
		synchronize_rcu_tasks();
	if (ascend_task_work_add)
		symbol_put(task_work_add);
}
