// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pci backend: a function with a window into an NPU's memory, interrupts and
 * a doorbell.
 *
 *   BAR 0	registers: own number, and a doorbell that takes a peer's number and
 *		a vector
 *   BAR 2	the window
 *   MSI-X	interrupts, one for each vector; without any the NPU is silent
 *
 * QEMU's ivshmem is one. The device may go at any moment, with its regions in
 * use: they are revoked, and what is left of them lives on without it.
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

/* pci_device_id.driver_data */
#define NPU_WINDOW_IS_RAM	1

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
 * @pieces: of the regions that it is for; under npu->lock
 */
struct npu_vector {
	struct npu *npu;
	struct list_head pieces;
};

/**
 * struct npu - a device
 * @ref: the driver's, and one for each region, which may outlive the driver's
 * @node: in npus
 * @pdev: the function
 * @regs: BAR 0; under RCU for those who find a region live
 * @gm_base: the NPU's address of the window
 * @window: BAR 2
 * @scanner: for silent peers
 * @access: whoever takes or gives back a piece holds it for reading
 * @gone: nothing may be touched any more; set before @access is had for writing
 * @teardown: one at a time
 * @lost_work: it does not answer any more
 * @lock: taken in any context; outside those of endpoints
 * @nr_pieces: that their regions will give back by themselves; under @lock
 * @drained: there are none, once it is gone
 * @nr_vectors: interrupts
 * @nr_requested: of which have a handler
 * @vectors: at least one, for its list
 */
struct npu {
	struct kref ref;
	struct list_head node;
	struct pci_dev *pdev;
	void __iomem *regs;
	u64 gm_base;
	struct l3l2q_window window;
	struct l3l2q_scanner scanner;
	struct rw_semaphore access;
	bool gone;
	struct mutex teardown;		/* revoking all */
	struct work_struct lost_work;
	spinlock_t lock;		/* pieces */
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
 * @node: in npu_vector.pieces
 * @offset: in the window: the payload, and from a page boundary on the counters
 * @bytes: of both
 * @counters: where the kernel has the counters
 * @revoked: given back already
 */
struct npu_piece {
	struct npu *npu;
	struct l3l2q_region *region;
	struct list_head node;
	u64 offset;
	u64 bytes;
	struct l3l2q_words counters;
	bool revoked;
};

/* In the order of QUERY_DEVICE's indices, which is that of their names. */
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

/* The caller puts it. NULL if there is none. */
static struct npu *npu_get(u64 index)
{
	struct npu *npu;

	mutex_lock(&npus_lock);
	list_for_each_entry(npu, &npus, node) {
		if (index--)
			continue;
		kref_get(&npu->ref);
		mutex_unlock(&npus_lock);
		return npu;
	}
	mutex_unlock(&npus_lock);
	return NULL;
}

/* To where it was if it comes back. */
static void npu_list(struct npu *npu)
{
	struct list_head *at = &npus;
	struct npu *other;

	mutex_lock(&npus_lock);
	list_for_each_entry(other, &npus, node) {
		if (strcmp(pci_name(other->pdev), pci_name(npu->pdev)) > 0) {
			at = &other->node;
			break;
		}
	}
	list_add_tail(&npu->node, at);
	mutex_unlock(&npus_lock);
}

u32 l3l2q_pci_nr_devices(void)
{
	struct list_head *node;
	u32 nr = 0;

	mutex_lock(&npus_lock);
	list_for_each(node, &npus)
		nr++;
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

/**
 * l3l2q_pci_query_device() - describe a window
 * @cmd: whose index is in, all else is out
 *
 * Return: 0, or -ENODEV if there is none of that index.
 */
int l3l2q_pci_query_device(struct l3l2q_query_device *cmd)
{
	struct npu *npu = npu_get(cmd->id);
	int err = -ENODEV;

	if (!npu)
		return err;
	down_read(&npu->access);
	if (!npu->gone) {
		*cmd = (struct l3l2q_query_device) {
			.size = sizeof(*cmd),
			.id = cmd->id + 1,
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
	npu_put(npu);
	return err;
}

/* ---- pieces ------------------------------------------------------------- */

static struct npu_vector *npu_vector(struct npu *npu, u64 region_id)
{
	return &npu->vectors[npu->nr_vectors ? region_id % npu->nr_vectors : 0];
}

/* Interrupts and removal know of it from here on. */
static void npu_piece_list(struct npu_piece *piece)
{
	struct npu *npu = piece->npu;
	unsigned long flags;

	spin_lock_irqsave(&npu->lock, flags);
	list_add_tail(&piece->node,
		      &npu_vector(npu, piece->region->id)->pieces);
	npu->nr_pieces++;
	spin_unlock_irqrestore(&npu->lock, flags);
}

/* No interrupt looks at it any more. */
static void npu_piece_unlist(struct npu_piece *piece)
{
	struct npu *npu = piece->npu;
	unsigned long flags;

	spin_lock_irqsave(&npu->lock, flags);
	list_del(&piece->node);
	spin_unlock_irqrestore(&npu->lock, flags);
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

static void npu_piece_free(struct npu_piece *piece)
{
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
	piece->region = region;
	piece->bytes = counters_at + counter_bytes;
	err = npu_piece_alloc(piece, counters_at, counter_bytes);
	if (err)
		return err;

	region->live = piece->counters;
	region->backing = piece;
	region->scanner = &npu->scanner;
	region->memory = npu->window.memory;
	region->payload_base = npu->gm_base + piece->offset;
	region->counter_base = region->payload_base + counters_at;
	region->peer_kind = npu->nr_vectors ? L3L2Q_PEER_RINGS
					    : L3L2Q_PEER_SILENT;
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
	npu = npu_get(cmd->source - 1);
	if (!npu)
		return -ENODEV;

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

	if (!piece->revoked) {
		npu_piece_unlist(piece);
		down_read(&npu->access);
		/* CREATE zeroes, but nothing is left there until then. */
		l3l2q_window_clear(&npu->window, piece->offset, piece->bytes,
				   &npu->gone, false);
		npu_piece_free(piece);
		npu_piece_done(npu);
		up_read(&npu->access);
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

	writel(NPU_PEER << 16 | (u32)(region->id % npu->nr_vectors),
	       npu->regs + NPU_REG_DOORBELL);
}

static bool npu_lost(struct l3l2q_region *region)
{
	struct npu_piece *piece = region->backing;
	struct npu *npu = piece->npu;

	if (READ_ONCE(npu->gone))
		return !pci_device_is_present(npu->pdev);
	if (pci_device_is_present(npu->pdev))
		return false;
	schedule_work(&npu->lost_work);
	return true;
}

/* ---- interrupts --------------------------------------------------------- */

static irqreturn_t npu_interrupt(int irq, void *data)
{
	struct npu_vector *vector = data;
	struct npu_piece *piece;

	spin_lock(&vector->npu->lock);
	list_for_each_entry(piece, &vector->pieces, node)
		l3l2q_interrupt(piece->region);
	spin_unlock(&vector->npu->lock);
	return IRQ_HANDLED;
}

static void npu_free_irqs(struct npu *npu)
{
	for (; npu->nr_requested; npu->nr_requested--)
		pci_free_irq(npu->pdev, npu->nr_requested - 1,
			     &npu->vectors[npu->nr_requested - 1]);
	if (npu->nr_vectors)
		pci_free_irq_vectors(npu->pdev);
	npu->nr_vectors = 0;
}

/*
 * All of its vectors or none: which one a region has is known to both sides by
 * their number.
 */
static int npu_request_irqs(struct npu *npu, unsigned int nr)
{
	struct pci_dev *pdev = npu->pdev;
	unsigned int i;
	int err;

	if (!nr)
		return 0;
	err = pci_alloc_irq_vectors(pdev, nr, nr, PCI_IRQ_MSIX);
	if (err < 0) {
		dev_warn(&pdev->dev, "no %u interrupts: %d\n", nr, err);
		return 0;
	}
	npu->nr_vectors = nr;

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
	unsigned int i;

	lockdep_assert_held(&npu->lock);
	for (i = 0; i < max(npu->nr_vectors, 1u); i++) {
		list_for_each_entry(piece, &npu->vectors[i].pieces, node) {
			if (!l3l2q_region_get(piece->region))
				continue;
			list_move(&piece->node, to);
			npu->nr_pieces--;
			return piece;
		}
	}
	return NULL;
}

static void npu_revoke_regions(struct npu *npu, struct list_head *doomed)
{
	struct npu_piece *piece;

	do {
		spin_lock_irq(&npu->lock);
		piece = npu_piece_doom(npu, doomed);
		spin_unlock_irq(&npu->lock);
		if (piece)
			l3l2q_region_revoke(piece->region);
	} while (piece);
}

/*
 * Take the window from all who have it. Nobody reads or writes it, or rings,
 * afterwards; a second call does nothing.
 */
static void npu_revoke(struct npu *npu)
{
	struct npu_piece *piece, *next;
	LIST_HEAD(doomed);

	mutex_lock(&npus_lock);
	list_del_init(&npu->node);
	mutex_unlock(&npus_lock);

	mutex_lock(&npu->teardown);
	WRITE_ONCE(npu->gone, true);
	/* Whoever is at it has seen that, or is done. */
	down_write(&npu->access);
	up_write(&npu->access);

	npu_revoke_regions(npu, &doomed);
	wait_event(npu->drained, !READ_ONCE(npu->nr_pieces));
	synchronize_rcu();

	list_for_each_entry_safe(piece, next, &doomed, node) {
		npu_piece_free(piece);
		piece->revoked = true;
		l3l2q_region_put(piece->region);
	}
	mutex_unlock(&npu->teardown);
}

static void npu_lost_work(struct work_struct *work)
{
	struct npu *npu = container_of(work, struct npu, lost_work);

	dev_err(&npu->pdev->dev, "does not answer any more\n");
	npu_revoke(npu);
}

/* ---- the driver --------------------------------------------------------- */

static u32 npu_memory(struct pci_dev *pdev, const struct pci_device_id *id)
{
	if (id->driver_data == NPU_WINDOW_IS_RAM && !pci_write_combining)
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

static struct npu *npu_new(struct pci_dev *pdev, unsigned int vectors)
{
	unsigned int i, lists = max(vectors, 1u);
	struct npu *npu;

	npu = kzalloc(struct_size(npu, vectors, lists), GFP_KERNEL);
	if (!npu)
		return NULL;
	if (l3l2q_scanner_init(&npu->scanner)) {
		kfree(npu);
		return NULL;
	}
	kref_init(&npu->ref);
	INIT_LIST_HEAD(&npu->node);
	npu->pdev = pci_dev_get(pdev);
	init_rwsem(&npu->access);
	mutex_init(&npu->teardown);
	INIT_WORK(&npu->lost_work, npu_lost_work);
	spin_lock_init(&npu->lock);
	init_waitqueue_head(&npu->drained);
	for (i = 0; i < lists; i++) {
		npu->vectors[i].npu = npu;
		INIT_LIST_HEAD(&npu->vectors[i].pieces);
	}
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

static int npu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int bars = BIT(NPU_BAR_REGS) | BIT(NPU_BAR_WINDOW);
	int vectors = max(pci_msix_vec_count(pdev), 0);
	struct npu *npu;
	int err;

	if (!npu_bar_is_memory(pdev, NPU_BAR_REGS, NPU_REGS_BYTES) ||
	    !npu_bar_is_memory(pdev, NPU_BAR_WINDOW, PAGE_SIZE)) {
		dev_err(&pdev->dev, "no registers in BAR %d or window in BAR %d\n",
			NPU_BAR_REGS, NPU_BAR_WINDOW);
		return -ENODEV;
	}
	npu = npu_new(pdev, vectors);
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
	err = npu_request_irqs(npu, vectors);
	if (err)
		goto err_window;

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

	npu_revoke(npu);
	npu_free_irqs(npu);
	pci_clear_master(pdev);
	/* Nobody finds a region live who could queue it again. */
	cancel_work_sync(&npu->lost_work);
}

static void npu_remove(struct pci_dev *pdev)
{
	struct npu *npu = pci_get_drvdata(pdev);

	npu_shutdown(pdev);
	l3l2q_window_fini(&npu->window);
	pci_iounmap(pdev, npu->regs);
	pci_release_selected_regions(pdev, BIT(NPU_BAR_REGS) |
					   BIT(NPU_BAR_WINDOW));
	pci_disable_device(pdev);
	npu_put(npu);
}

static const struct pci_device_id npu_ids[] = {
	/* QEMU's ivshmem */
	{ PCI_DEVICE_SUB(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110,
			 PCI_SUBVENDOR_ID_REDHAT_QUMRANET,
			 PCI_SUBDEVICE_ID_QEMU),
	  .driver_data = NPU_WINDOW_IS_RAM },
	/* Anybody else's; and new_id takes a driver_data only if one is here. */
	{ PCI_DEVICE(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110) },
	{ }
};
MODULE_DEVICE_TABLE(pci, npu_ids);

static struct pci_driver npu_driver = {
	.name = KBUILD_MODNAME,
	.id_table = npu_ids,
	.probe = npu_probe,
	.remove = npu_remove,
	.shutdown = npu_shutdown,
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
	.lost = npu_lost,
};
