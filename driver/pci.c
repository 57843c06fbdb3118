// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pci backend: a function with a window into an NPU's memory, interrupts and
 * a doorbell.
 *
 *   BAR 0	registers: own number, and a doorbell that takes a peer's number and
 *		a vector
 *   BAR 2	the window
 *   MSI-X	interrupts, one for each vector; at least one
 *
 * QEMU's ivshmem-doorbell is one. No function is bound unless the administrator
 * asks for it, by new_id or driver_override, and none without vectors, because
 * that is memory of somebody else.
 *
 * The device may go, be reset or lose power at any moment, with its regions in use:
 * they are revoked, and what is left of them lives on without it.
 */
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "internal.h"

#define NPU_BAR_REGS	0
#define NPU_BAR_WINDOW	2

#define NPU_REG_DOORBELL	12	/* w: peer << 16 | vector */
#define NPU_REGS_BYTES		16

#define NPU_PEER	0	/* the NPU itself */

/* pci_device_id.driver_data, also that of new_id */
#define NPU_WINDOW_IS_RAM	1

/* Regions that one vector's interrupt looks at before it lets others in. */
#define NPU_STEP	32

/* How often looks at counters of zero ask whether the device is still there. */
#define NPU_CHECK_JIFFIES	(HZ / 10)

static bool pci_write_combining;
module_param(pci_write_combining, bool, 0444);
MODULE_PARM_DESC(pci_write_combining,
		 "Map windows write-combining even if they are RAM (default N)");

static unsigned long long pci_gm_base;
module_param(pci_gm_base, ullong, 0444);
MODULE_PARM_DESC(pci_gm_base,
		 "NPU's address of a window's first byte (default 0: the window's bus address)");

/**
 * struct npu_vector - an interrupt
 * @npu: whose
 * @walk: held while regions are looked at; outside the locks of endpoints
 * @lock: for the lists; inside the locks of endpoints
 * @armed: pieces of regions that may have sleepers
 * @pending: those of them that an interrupt has yet to look at
 * @rest: looks at what is left in @pending after NPU_STEP regions
 */
struct npu_vector {
	struct npu *npu;
	spinlock_t walk;		/* one looks at a time */
	spinlock_t lock;		/* armed, pending */
	struct list_head armed;
	struct list_head pending;
	struct work_struct rest;
};

/**
 * struct npu - a device
 * @ref: the driver's, and one for each region, which may outlive the driver's
 * @node: in npus
 * @id: never 0, and never used again while the module is loaded
 * @pdev: the function
 * @regs: BAR 0; under RCU for those who find a region live
 * @gm_base: the NPU's address of the window
 * @window: BAR 2
 * @scanner: for silent peers
 * @access: whoever takes or gives back a piece holds it for reading
 * @gone: there are no regions and cannot be any; set before @access is had for
 *	writing
 * @dead: it does not answer, so nothing of it is touched
 * @checked: when somebody last found that it answers, in jiffies
 * @teardown: one at a time
 * @lost_work: it does not answer any more
 * @lock: for the three below
 * @pieces: of its regions
 * @nr_pieces: that their regions will give back by themselves
 * @drained: there are none, once it is gone
 * @nr_vectors: interrupts, at least one
 * @nr_requested: of which have a handler
 * @vectors: the interrupts
 */
struct npu {
	struct kref ref;
	struct list_head node;
	u64 id;
	struct pci_dev *pdev;
	void __iomem *regs;
	u64 gm_base;
	struct l3l2q_window window;
	struct l3l2q_scanner scanner;
	struct rw_semaphore access;
	bool gone;
	bool dead;
	unsigned long checked;
	struct mutex teardown;		/* revoking all */
	struct work_struct lost_work;
	spinlock_t lock;		/* pieces */
	struct list_head pieces;
	unsigned int nr_pieces;
	wait_queue_head_t drained;
	unsigned int nr_vectors;
	unsigned int nr_requested;
	struct npu_vector vectors[];
};

/**
 * struct npu_piece - a region's part of the window
 * @npu: whose
 * @region: which
 * @vector: its interrupt
 * @node: in npu.pieces
 * @armed_node: in npu_vector.armed or .pending while @armed
 * @armed: it is on one of those lists; written under npu_vector.lock
 * @offset: in the window: the payload, and from a page boundary on the counters
 * @bytes: of both
 * @counters: where the kernel has the counters
 * @revoked: given back already
 */
struct npu_piece {
	struct npu *npu;
	struct l3l2q_region *region;
	struct npu_vector *vector;
	struct list_head node;
	struct list_head armed_node;
	bool armed;
	u64 offset;
	u64 bytes;
	struct l3l2q_words counters;
	bool revoked;
};

/* By their ids. One that is gone stays in it as long as it is bound. */
static LIST_HEAD(npus);
static DEFINE_MUTEX(npus_lock);

static void npu_release(struct kref *ref)
{
	struct npu *npu = container_of(ref, struct npu, ref);

	l3l2q_scanner_fini(&npu->scanner);
	pci_dev_put(npu->pdev);
	kfree(npu);
}

static void npu_put(struct npu *npu)
{
	kref_put(&npu->ref, npu_release);
}

/*
 * The one of the smallest id from @from on that is not gone, or NULL. The caller
 * puts it.
 */
static struct npu *npu_get(u64 from)
{
	struct npu *npu;

	mutex_lock(&npus_lock);
	list_for_each_entry(npu, &npus, node) {
		if (npu->id < from || READ_ONCE(npu->gone))
			continue;
		kref_get(&npu->ref);
		mutex_unlock(&npus_lock);
		return npu;
	}
	mutex_unlock(&npus_lock);
	return NULL;
}

static void npu_list(struct npu *npu)
{
	static u64 last_id;

	mutex_lock(&npus_lock);
	npu->id = ++last_id;
	list_add_tail(&npu->node, &npus);
	mutex_unlock(&npus_lock);
}

static void npu_unlist(struct npu *npu)
{
	mutex_lock(&npus_lock);
	list_del(&npu->node);
	mutex_unlock(&npus_lock);
}

u32 l3l2q_pci_nr_devices(void)
{
	struct npu *npu;
	u32 nr = 0;

	mutex_lock(&npus_lock);
	list_for_each_entry(npu, &npus, node)
		nr += !READ_ONCE(npu->gone);
	mutex_unlock(&npus_lock);
	return nr;
}

/* The size of all windows together. */
u64 l3l2q_pci_window_bytes(void)
{
	struct npu *npu;
	u64 bytes = 0;

	mutex_lock(&npus_lock);
	list_for_each_entry(npu, &npus, node)
		bytes += npu->window.bytes;
	mutex_unlock(&npus_lock);
	return bytes;
}

/* Fill in @cmd; -ENODEV if @npu is gone. */
static int npu_describe(struct npu *npu, struct l3l2q_query_device *cmd)
{
	int err = -ENODEV;

	down_read(&npu->access);
	if (!npu->gone) {
		*cmd = (struct l3l2q_query_device) {
			.id = npu->id,
			.backend = L3L2Q_BACKEND_PCI,
			.window_bytes = npu->window.bytes,
			.free_bytes = l3l2q_window_avail(&npu->window),
			.vectors = npu->nr_vectors,
			.numa_node = dev_to_node(&npu->pdev->dev),
			.memory = npu->window.memory,
		};
		strscpy((char *)cmd->name, pci_name(npu->pdev),
			sizeof(cmd->name));
		err = 0;
	}
	up_read(&npu->access);
	return err;
}

/**
 * l3l2q_pci_query_device() - describe a window
 * @cmd: .id is in: the smallest id above it is described; all else is out
 *
 * Return: 0, or -ENODEV if there is none.
 */
int l3l2q_pci_query_device(struct l3l2q_query_device *cmd)
{
	u64 above = cmd->id;
	struct npu *npu;
	int err;

	do {
		if (above == U64_MAX)
			return -ENODEV;
		npu = npu_get(above + 1);
		if (!npu)
			return -ENODEV;
		err = npu_describe(npu, cmd);
		above = npu->id;
		npu_put(npu);
		/* One that went meanwhile says nothing about those after it. */
	} while (err);
	return 0;
}

/* ---- pieces ------------------------------------------------------------- */

/* Removal knows of it from here on. */
static void npu_piece_list(struct npu_piece *piece)
{
	struct npu *npu = piece->npu;
	unsigned long flags;

	spin_lock_irqsave(&npu->lock, flags);
	list_add_tail(&piece->node, &npu->pieces);
	npu->nr_pieces++;
	spin_unlock_irqrestore(&npu->lock, flags);
}

static void npu_piece_unlist(struct npu_piece *piece)
{
	struct npu *npu = piece->npu;
	unsigned long flags;

	spin_lock_irqsave(&npu->lock, flags);
	list_del(&piece->node);
	spin_unlock_irqrestore(&npu->lock, flags);
}

/* Its region has no users: nobody arms it again. */
static void npu_piece_disarm(struct npu_piece *piece)
{
	struct npu_vector *vector = piece->vector;
	unsigned long flags;

	/* Nobody is looking at the region afterwards. */
	spin_lock_irqsave(&vector->walk, flags);
	spin_lock(&vector->lock);
	if (piece->armed)
		list_del(&piece->armed_node);
	spin_unlock(&vector->lock);
	spin_unlock_irqrestore(&vector->walk, flags);
}

/* And it has been given back. */
static void npu_piece_done(struct npu *npu)
{
	unsigned long flags;

	spin_lock_irqsave(&npu->lock, flags);
	if (!--npu->nr_pieces)
		wake_up_all(&npu->drained);
	spin_unlock_irqrestore(&npu->lock, flags);
}

static int npu_piece_alloc(struct npu_piece *piece, u64 counters_at,
			   u64 counter_bytes)
{
	struct l3l2q_window *window = &piece->npu->window;
	int err;

	err = l3l2q_window_alloc(window, piece->bytes, &piece->offset);
	if (err)
		return err;
	err = l3l2q_window_map(window, piece->offset + counters_at,
			       counter_bytes, &piece->counters);
	if (err)
		goto err_free;
	err = l3l2q_window_clear(window, piece->offset, piece->bytes,
				 &piece->npu->gone, true);
	if (err)
		goto err_unmap;
	return 0;

err_unmap:
	l3l2q_window_unmap(&piece->counters);
err_free:
	l3l2q_window_free(window, piece->offset, piece->bytes);
	return err;
}

/*
 * Give it back, as zeroes: CREATE clears too, but there are others who can look into
 * a window, and it may have another driver next.
 */
static void npu_piece_free(struct npu_piece *piece)
{
	struct npu *npu = piece->npu;

	l3l2q_window_clear(&npu->window, piece->offset, piece->bytes,
			   &npu->dead, false);
	l3l2q_window_unmap(&piece->counters);
	l3l2q_window_free(&piece->npu->window, piece->offset, piece->bytes);
}

static int npu_region_take(struct npu *npu, struct npu_piece *piece,
			   struct l3l2q_region *region)
{
	u64 counters_at = PAGE_ALIGN(region->payload_bytes);
	u64 counter_bytes = PAGE_ALIGN(region->counter_bytes);
	int err;

	if (npu->gone)
		return -ENODEV;

	piece->npu = npu;
	piece->vector = &npu->vectors[region->id % npu->nr_vectors];
	piece->region = region;
	piece->bytes = counters_at + counter_bytes;
	err = npu_piece_alloc(piece, counters_at, counter_bytes);
	if (err)
		return err;

	region->live = piece->counters;
	region->backing = piece;
	region->scanner = &npu->scanner;
	region->memory = npu->window.memory;
	region->is_device = true;
	region->payload_base = npu->gm_base + piece->offset;
	region->counter_base = region->payload_base + counters_at;
	region->peer_kind = L3L2Q_PEER_RINGS;
	npu_piece_list(piece);
	return 0;
}

static int npu_region_alloc(struct l3l2q_region *region,
			    const struct l3l2q_create *cmd)
{
	struct npu_piece *piece;
	struct npu *npu;
	int err;

	if (cmd->source_bytes)
		return -EINVAL;
	npu = npu_get(cmd->source);
	if (!npu)
		return -ENODEV;
	if (npu->id != cmd->source) {
		npu_put(npu);
		return -ENODEV;
	}

	err = -ENOMEM;
	piece = kzalloc(sizeof(*piece), GFP_KERNEL_ACCOUNT);
	if (!piece)
		goto err_put;

	down_read(&npu->access);
	err = npu_region_take(npu, piece, region);
	up_read(&npu->access);
	if (err)
		goto err_piece;
	return 0;

err_piece:
	kfree(piece);
err_put:
	npu_put(npu);
	return err;
}

static void npu_region_free(struct l3l2q_region *region)
{
	struct npu_piece *piece = region->backing;
	struct npu *npu = piece->npu;

	npu_piece_disarm(piece);
	if (!piece->revoked) {
		npu_piece_unlist(piece);
		npu_piece_free(piece);
		npu_piece_done(npu);
	}
	kfree(piece);
	npu_put(npu);
}

static unsigned long npu_payload_pfn(struct l3l2q_region *region,
				     unsigned long index)
{
	const struct npu_piece *piece = region->backing;

	return l3l2q_window_pfn(&piece->npu->window, piece->offset, index);
}

static unsigned long npu_counters_pfn(struct l3l2q_region *region,
				      unsigned long index)
{
	const struct npu_piece *piece = region->backing;

	return l3l2q_window_pfn(&piece->npu->window, piece->offset +
				PAGE_ALIGN(region->payload_bytes), index);
}

static void npu_ring(struct l3l2q_region *region)
{
	const struct npu_piece *piece = region->backing;
	const struct npu *npu = piece->npu;

	writel(NPU_PEER << 16 | (u32)(piece->vector - npu->vectors),
	       npu->regs + NPU_REG_DOORBELL);
}

/*
 * Is it there, and does it answer in its BARs? Somebody may have turned that off:
 * reads are all ones then, or zeroes.
 */
static bool npu_answers(struct npu *npu)
{
	u16 command;

	if (READ_ONCE(npu->dead) || !pci_device_is_present(npu->pdev))
		return false;
	if (pci_read_config_word(npu->pdev, PCI_COMMAND, &command))
		return false;
	return command != U16_MAX && command & PCI_COMMAND_MEMORY;
}

/* All ones are looked into at once, zeroes, which are common, now and then. */
static bool npu_lost(struct l3l2q_region *region, s32 seen)
{
	struct npu_piece *piece = region->backing;
	struct npu *npu = piece->npu;
	unsigned long next;

	if (READ_ONCE(npu->gone))
		return seen == -1 && !npu_answers(npu);
	next = READ_ONCE(npu->checked) + NPU_CHECK_JIFFIES;
	if (seen != -1 && time_before(jiffies, next))
		return false;
	WRITE_ONCE(npu->checked, jiffies);
	if (npu_answers(npu))
		return false;
	schedule_work(&npu->lost_work);
	return true;
}

/* ---- interrupts --------------------------------------------------------- */

/*
 * An interrupt looks at the regions that may have sleepers, which are on the list
 * `armed` of its vector, a bounded number at a time.
 *
 *   a sleeper	queues itself and sets its bits, full barrier, reads
 *		piece->armed, puts the piece on the list unless it is on one, full
 *		barrier, looks at the counters
 *   the walk	takes the piece off, full barrier, wakes those whose condition
 *		holds, and puts it back if anybody is queued still
 *
 * Hence a sleeper that finds its piece on a list is seen by the walk that takes it
 * off. A walk that has looked too early for another interrupt's sake puts the piece
 * back before that interrupt's handler gets the lock, which looks again.
 */
static void npu_arm(struct l3l2q_region *region)
{
	struct npu_piece *piece = region->backing;
	struct npu_vector *vector = piece->vector;
	unsigned long flags;

	if (READ_ONCE(piece->armed))
		return;
	spin_lock_irqsave(&vector->lock, flags);
	if (!piece->armed) {
		WRITE_ONCE(piece->armed, true);
		list_add_tail(&piece->armed_node, &vector->armed);
	}
	spin_unlock_irqrestore(&vector->lock, flags);
}

static struct npu_piece *npu_pending_take(struct npu_vector *vector)
{
	struct npu_piece *piece;

	spin_lock(&vector->lock);
	piece = list_first_entry_or_null(&vector->pending, struct npu_piece,
					 armed_node);
	if (piece) {
		list_del(&piece->armed_node);
		WRITE_ONCE(piece->armed, false);
	}
	spin_unlock(&vector->lock);
	/* As described above; pairs with the barrier before npu_arm(). */
	smp_mb();
	return piece;
}

/* Look at some of the pending regions; return whether there are more. */
static bool npu_walk(struct npu_vector *vector)
{
	struct npu_piece *piece;
	unsigned int i;

	lockdep_assert_held(&vector->walk);
	for (i = 0; i < NPU_STEP; i++) {
		piece = npu_pending_take(vector);
		if (!piece)
			return false;
		if (l3l2q_device_interrupt(piece->region))
			npu_arm(piece->region);
	}
	return !list_empty(&vector->pending);
}

static void npu_walk_rest(struct work_struct *work)
{
	struct npu_vector *vector = container_of(work, struct npu_vector, rest);
	bool more;

	do {
		spin_lock_irq(&vector->walk);
		more = npu_walk(vector);
		spin_unlock_irq(&vector->walk);
		cond_resched();
	} while (more);
}

static irqreturn_t npu_interrupt(int irq, void *data)
{
	struct npu_vector *vector = data;

	spin_lock(&vector->walk);
	spin_lock(&vector->lock);
	list_splice_tail_init(&vector->armed, &vector->pending);
	spin_unlock(&vector->lock);
	if (npu_walk(vector))
		queue_work(system_highpri_wq, &vector->rest);
	spin_unlock(&vector->walk);
	return IRQ_HANDLED;
}

static void npu_free_irqs(struct npu *npu)
{
	for (; npu->nr_requested; npu->nr_requested--)
		pci_free_irq(npu->pdev, npu->nr_requested - 1,
			     &npu->vectors[npu->nr_requested - 1]);
	pci_free_irq_vectors(npu->pdev);
}

/*
 * All of its vectors or none: which one a region has is known to both sides by
 * their number.
 */
static int npu_request_irqs(struct npu *npu)
{
	unsigned int i, nr = npu->nr_vectors;
	struct pci_dev *pdev = npu->pdev;
	int err;

	err = pci_alloc_irq_vectors(pdev, nr, nr, PCI_IRQ_MSIX);
	if (err < 0) {
		dev_err(&pdev->dev, "no %u interrupts: %d\n", nr, err);
		return err;
	}
	for (i = 0; i < nr; i++) {
		err = pci_request_irq(pdev, i, npu_interrupt, NULL,
				      &npu->vectors[i], "l3l2q-%s-%u",
				      pci_name(pdev), i);
		if (err) {
			npu_free_irqs(npu);
			return err;
		}
		npu->nr_requested++;
	}
	return 0;
}

/* ---- removal ------------------------------------------------------------ */

/* Any piece whose region is not on its way out by itself; its region is held. */
static struct npu_piece *npu_piece_doom(struct npu *npu, struct list_head *to)
{
	struct npu_piece *piece;

	lockdep_assert_held(&npu->lock);
	list_for_each_entry(piece, &npu->pieces, node) {
		if (!l3l2q_region_get(piece->region))
			continue;
		list_move(&piece->node, to);
		npu->nr_pieces--;
		return piece;
	}
	return NULL;
}

/* Return how many. */
static unsigned int npu_revoke_regions(struct npu *npu,
				       struct list_head *doomed,
				       enum l3l2q_removal why)
{
	struct npu_piece *piece;
	unsigned int nr = 0;

	for (;;) {
		spin_lock_irq(&npu->lock);
		piece = npu_piece_doom(npu, doomed);
		spin_unlock_irq(&npu->lock);
		if (!piece)
			return nr;
		l3l2q_region_revoke(piece->region, why);
		nr++;
	}
}

/* What was done, where it is a fault or has taken something from users. */
static void npu_say_revoked(struct npu *npu, enum l3l2q_removal why,
			    unsigned int nr)
{
	static const char * const causes[] = {
		[L3L2Q_REMOVAL_DEVICE] = "removed",
		[L3L2Q_REMOVAL_RESET] = "reset",
		[L3L2Q_REMOVAL_POWER] = "power transition",
	};

	if (why == L3L2Q_REMOVAL_ERROR)
		dev_err(&npu->pdev->dev, "%s: %u regions revoked\n",
			READ_ONCE(npu->dead) ? "does not answer" : "bus error",
			nr);
	else if (nr)
		dev_info(&npu->pdev->dev, "%s: %u regions revoked\n",
			 causes[why], nr);
}

/*
 * Take the window from all who have it. Nobody reads or writes it, or rings,
 * afterwards, and it is zeroes; a second call does nothing.
 */
static void npu_revoke(struct npu *npu, enum l3l2q_removal why)
{
	struct npu_piece *piece, *next;
	LIST_HEAD(doomed);

	mutex_lock(&npu->teardown);
	WRITE_ONCE(npu->gone, true);
	/* CREATE has seen that, or is done. */
	down_write(&npu->access);
	up_write(&npu->access);
	if (!npu_answers(npu))
		WRITE_ONCE(npu->dead, true);

	npu_say_revoked(npu, why, npu_revoke_regions(npu, &doomed, why));
	wait_event(npu->drained, !READ_ONCE(npu->nr_pieces));
	synchronize_rcu();

	list_for_each_entry_safe(piece, next, &doomed, node) {
		npu_piece_free(piece);
		piece->revoked = true;
		l3l2q_region_put(piece->region);
	}
	mutex_unlock(&npu->teardown);
}

/* After npu_revoke(): there may be regions again, if it answers. */
static int npu_revive(struct npu *npu)
{
	int err = 0;

	/* It is about what was before. Nobody finds a region live who could queue it. */
	cancel_work_sync(&npu->lost_work);
	mutex_lock(&npu->teardown);
	WRITE_ONCE(npu->dead, false);
	if (npu_answers(npu)) {
		/* For npu_slot_reset(): whatever restored it has used it up. */
		pci_save_state(npu->pdev);
		down_write(&npu->access);
		WRITE_ONCE(npu->gone, false);
		up_write(&npu->access);
	} else {
		WRITE_ONCE(npu->dead, true);
		err = -EIO;
	}
	mutex_unlock(&npu->teardown);
	if (err)
		dev_err(&npu->pdev->dev, "does not answer: no new regions\n");
	return err;
}

static void npu_lost_work(struct work_struct *work)
{
	struct npu *npu = container_of(work, struct npu, lost_work);

	npu_revoke(npu, L3L2Q_REMOVAL_ERROR);
}

/* ---- errors, resets and power ------------------------------------------- */

/*
 * Each of them takes the memory, or what is in it, from under its users, so each
 * revokes as removal does. There is nobody to bring a queue's state back afterwards;
 * users make new regions.
 */
static pci_ers_result_t npu_error_detected(struct pci_dev *pdev,
					   pci_channel_state_t state)
{
	struct npu *npu = pci_get_drvdata(pdev);

	if (state != pci_channel_io_normal)
		WRITE_ONCE(npu->dead, true);
	npu_revoke(npu, L3L2Q_REMOVAL_ERROR);

	switch (state) {
	case pci_channel_io_normal:
		return PCI_ERS_RESULT_CAN_RECOVER;
	case pci_channel_io_frozen:
		return PCI_ERS_RESULT_NEED_RESET;
	default:
		return PCI_ERS_RESULT_DISCONNECT;
	}
}

static pci_ers_result_t npu_mmio_enabled(struct pci_dev *pdev)
{
	return PCI_ERS_RESULT_RECOVERED;
}

static pci_ers_result_t npu_slot_reset(struct pci_dev *pdev)
{
	pci_restore_state(pdev);
	return PCI_ERS_RESULT_RECOVERED;
}

static void npu_error_resume(struct pci_dev *pdev)
{
	npu_revive(pci_get_drvdata(pdev));
}

static void npu_reset_prepare(struct pci_dev *pdev)
{
	npu_revoke(pci_get_drvdata(pdev), L3L2Q_REMOVAL_RESET);
}

static void npu_reset_done(struct pci_dev *pdev)
{
	npu_revive(pci_get_drvdata(pdev));
}

static const struct pci_error_handlers npu_error_handlers = {
	.error_detected = npu_error_detected,
	.mmio_enabled = npu_mmio_enabled,
	.slot_reset = npu_slot_reset,
	.reset_prepare = npu_reset_prepare,
	.reset_done = npu_reset_done,
	.resume = npu_error_resume,
};

/* The PCI core saves and restores the function's configuration. */
static int npu_pm_suspend(struct device *dev)
{
	npu_revoke(dev_get_drvdata(dev), L3L2Q_REMOVAL_POWER);
	return 0;
}

static int npu_pm_resume(struct device *dev)
{
	return npu_revive(dev_get_drvdata(dev));
}

static const struct dev_pm_ops npu_pm_ops = {
	.suspend = npu_pm_suspend,
	.resume = npu_pm_resume,
	.freeze = npu_pm_suspend,
	.thaw = npu_pm_resume,
	.poweroff = npu_pm_suspend,
	.restore = npu_pm_resume,
};

/* ---- the driver --------------------------------------------------------- */

/* Functions whose window is known to be RAM; not those that are bound. */
static const struct pci_device_id npu_ram_ids[] = {
	/* QEMU's ivshmem */
	{ PCI_DEVICE_SUB(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110,
			 PCI_SUBVENDOR_ID_REDHAT_QUMRANET,
			 PCI_SUBDEVICE_ID_QEMU) },
	{ }
};

static bool npu_window_is_ram(struct pci_dev *pdev,
			      const struct pci_device_id *id)
{
	return id->driver_data == NPU_WINDOW_IS_RAM ||
	       pci_match_id(npu_ram_ids, pdev);
}

static u32 npu_memory(struct pci_dev *pdev, const struct pci_device_id *id)
{
	if (npu_window_is_ram(pdev, id) && !pci_write_combining)
		return L3L2Q_MEMORY_CACHED;
	if (pci_resource_flags(pdev, NPU_BAR_WINDOW) & IORESOURCE_PREFETCH)
		return L3L2Q_MEMORY_WC;
	return L3L2Q_MEMORY_DEVICE;
}

static bool npu_bar_is_memory(struct pci_dev *pdev, int bar, u64 bytes)
{
	return pci_resource_flags(pdev, bar) & IORESOURCE_MEM &&
	       pci_resource_len(pdev, bar) >= bytes;
}

static void npu_vector_init(struct npu *npu, struct npu_vector *vector)
{
	vector->npu = npu;
	spin_lock_init(&vector->walk);
	spin_lock_init(&vector->lock);
	INIT_LIST_HEAD(&vector->armed);
	INIT_LIST_HEAD(&vector->pending);
	INIT_WORK(&vector->rest, npu_walk_rest);
}

static struct npu *npu_new(struct pci_dev *pdev, unsigned int vectors)
{
	struct npu *npu;
	unsigned int i;

	npu = kzalloc(struct_size(npu, vectors, vectors), GFP_KERNEL);
	if (!npu)
		return NULL;
	if (l3l2q_scanner_init(&npu->scanner)) {
		kfree(npu);
		return NULL;
	}
	kref_init(&npu->ref);
	npu->pdev = pci_dev_get(pdev);
	npu->nr_vectors = vectors;
	init_rwsem(&npu->access);
	mutex_init(&npu->teardown);
	INIT_WORK(&npu->lost_work, npu_lost_work);
	spin_lock_init(&npu->lock);
	INIT_LIST_HEAD(&npu->pieces);
	init_waitqueue_head(&npu->drained);
	for (i = 0; i < vectors; i++)
		npu_vector_init(npu, &npu->vectors[i]);
	return npu;
}

/* The window, with the BARs requested. */
static int npu_window_init(struct npu *npu, const struct pci_device_id *id)
{
	struct l3l2q_window *window = &npu->window;
	struct pci_dev *pdev = npu->pdev;

	window->start = pci_resource_start(pdev, NPU_BAR_WINDOW);
	window->bytes = pci_resource_len(pdev, NPU_BAR_WINDOW);
	npu->gm_base = pci_gm_base ?: pci_bus_address(pdev, NPU_BAR_WINDOW);
	if (!PAGE_ALIGNED(npu->gm_base) ||
	    npu->gm_base + window->bytes < npu->gm_base) {
		dev_err(&pdev->dev, "pci_gm_base=%#llx is no place for it\n",
			npu->gm_base);
		return -EINVAL;
	}
	return l3l2q_window_init(window, npu_memory(pdev, id),
				 dev_to_node(&pdev->dev));
}

/* Refuse what is no NPU, whatever the administrator has asked for. */
static int npu_check(struct pci_dev *pdev)
{
	if (!npu_bar_is_memory(pdev, NPU_BAR_REGS, NPU_REGS_BYTES) ||
	    !npu_bar_is_memory(pdev, NPU_BAR_WINDOW, PAGE_SIZE)) {
		dev_info(&pdev->dev, "not an NPU: no registers in BAR %d or window in BAR %d\n",
			 NPU_BAR_REGS, NPU_BAR_WINDOW);
		return -ENODEV;
	}
	if (pci_msix_vec_count(pdev) <= 0) {
		dev_info(&pdev->dev, "not an NPU: no MSI-X vectors\n");
		return -ENODEV;
	}
	return 0;
}

static int npu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int bars = BIT(NPU_BAR_REGS) | BIT(NPU_BAR_WINDOW);
	struct npu *npu;
	int err;

	err = npu_check(pdev);
	if (err)
		return err;
	npu = npu_new(pdev, pci_msix_vec_count(pdev));
	if (!npu)
		return -ENOMEM;

	err = pci_enable_device_mem(pdev);
	if (err)
		goto err_put;
	err = pci_request_selected_regions(pdev, bars, KBUILD_MODNAME);
	if (err)
		goto err_disable;
	err = -ENOMEM;
	npu->regs = pci_iomap(pdev, NPU_BAR_REGS, 0);
	if (!npu->regs)
		goto err_regions;
	err = npu_window_init(npu, id);
	if (err)
		goto err_iomap;
	pci_set_master(pdev);
	err = npu_request_irqs(npu);
	if (err)
		goto err_window;

	/* For npu_slot_reset(). */
	pci_save_state(pdev);
	pci_set_drvdata(pdev, npu);
	npu_list(npu);
	return 0;

err_window:
	pci_clear_master(pdev);
	l3l2q_window_fini(&npu->window);
err_iomap:
	pci_iounmap(pdev, npu->regs);
err_regions:
	pci_release_selected_regions(pdev, bars);
err_disable:
	pci_disable_device(pdev);
err_put:
	npu_put(npu);
	return err;
}

/* Quiet, and of no use to anybody. */
static void npu_shutdown(struct pci_dev *pdev)
{
	struct npu *npu = pci_get_drvdata(pdev);
	unsigned int i;

	npu_revoke(npu, L3L2Q_REMOVAL_DEVICE);
	npu_free_irqs(npu);
	for (i = 0; i < npu->nr_vectors; i++)
		cancel_work_sync(&npu->vectors[i].rest);
	pci_clear_master(pdev);
	/* Nobody finds a region live who could queue it again. */
	cancel_work_sync(&npu->lost_work);
}

static void npu_remove(struct pci_dev *pdev)
{
	struct npu *npu = pci_get_drvdata(pdev);

	npu_shutdown(pdev);
	npu_unlist(npu);
	l3l2q_window_fini(&npu->window);
	pci_iounmap(pdev, npu->regs);
	pci_release_selected_regions(pdev, BIT(NPU_BAR_REGS) |
					   BIT(NPU_BAR_WINDOW));
	pci_disable_device(pdev);
	npu_put(npu);
}

static struct pci_driver npu_driver = {
	.name = KBUILD_MODNAME,
	/* No function is bound by its looks: new_id and driver_override only. */
	.id_table = NULL,
	.probe = npu_probe,
	.remove = npu_remove,
	.shutdown = npu_shutdown,
	.err_handler = &npu_error_handlers,
	.driver.pm = &npu_pm_ops,
};

static int npu_init(void)
{
	return pci_register_driver(&npu_driver);
}

static void npu_exit(void)
{
	pci_unregister_driver(&npu_driver);
}

const struct l3l2q_backend_ops l3l2q_pci_ops = {
	.id = L3L2Q_BACKEND_PCI,
	.name = "pci",
	.feature = L3L2Q_FEATURE_PCI,
	.flags = L3L2Q_CREATE_SHARE_ADDRESSES | L3L2Q_CREATE_SILENT_PEER,
	.foreign = true,
	.window = true,
	.init = npu_init,
	.exit = npu_exit,
	.alloc = npu_region_alloc,
	.free = npu_region_free,
	.payload_pfn = npu_payload_pfn,
	.counters_pfn = npu_counters_pfn,
	.ring = npu_ring,
	.arm = npu_arm,
	.lost = npu_lost,
};
