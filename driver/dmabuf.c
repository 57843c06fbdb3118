// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dmabuf backend: memory of another driver, by the descriptor of a dma-buf
 * whose creator says that it is coherent. Mappings become the exporter's; the
 * kernel reaches the counters through its vmap.
 *
 * An exporter that can move its memory is told that it must not, and tells us
 * if it takes it away nevertheless. One that cannot has nothing to say, and no
 * attachment: this driver does no DMA, so it wants no DMA addresses either.
 */
#include <linux/dma-resv.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "compat_dmabuf.h"
#include "internal.h"

/*
 * MODULE_IMPORT_NS(DMA_BUF) in the form that is right for all kernels: its argument
 * is an identifier up to 6.12 and a string from 6.13 on, and up to 5.16 a macro as
 * its argument is not expanded.
 */
MODULE_INFO(import_ns, "DMA_BUF");

/**
 * struct dmabuf_backing - a region's memory
 * @dmabuf: that it is
 * @attach: the memory is pinned by it; NULL if it does not move anyway
 * @map: all of it, in the kernel
 * @live: the region is to be revoked with the memory; under the dma-buf's lock
 * @gone: the memory was taken away while not @live; under the dma-buf's lock
 */
struct dmabuf_backing {
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;
	struct l3l2q_dmabuf_map map;
	bool live;
	bool gone;
};

/* What an exporter says means something else to the caller of CREATE. */
static int dmabuf_refused(int err)
{
	switch (err) {
	case -ENOMEM:
	case -ENODEV:
	case -EINTR:
	case -ERESTARTSYS:
		return err;
	default:
		return -EOPNOTSUPP;
	}
}

/* The exporter takes the memory back; it holds the dma-buf's lock. */
static void dmabuf_move_notify(struct dma_buf_attachment *attach)
{
	struct l3l2q_region *region = attach->importer_priv;
	struct dmabuf_backing *buf = region->backing;

	dma_resv_assert_held(attach->dmabuf->resv);
	if (!buf->live) {
		buf->gone = true;
		return;
	}
	/* Detached only under this lock, so the region is still there. */
	l3l2q_region_revoke(region, L3L2Q_REMOVAL_PROVIDER);
	synchronize_rcu();
}

static const struct dma_buf_attach_ops dmabuf_attach_ops = {
	.l3l2q_move_notify = dmabuf_move_notify,
};

static void dmabuf_detach(struct dmabuf_backing *buf)
{
	if (!buf->attach)
		return;
	dma_resv_lock(buf->dmabuf->resv, NULL);
	dma_buf_unpin(buf->attach);
	dma_resv_unlock(buf->dmabuf->resv);
	dma_buf_detach(buf->dmabuf, buf->attach);
}

/* From here on the memory stays where it is, or dmabuf_move_notify() is told. */
static int dmabuf_attach(struct l3l2q_region *region)
{
	struct dmabuf_backing *buf = region->backing;
	struct dma_buf *dmabuf = buf->dmabuf;
	struct dma_buf_attachment *attach;
	int err;

	if (!dma_buf_is_dynamic(dmabuf))
		return 0;
	attach = dma_buf_dynamic_attach(dmabuf, l3l2q_device(),
					&dmabuf_attach_ops, region);
	if (IS_ERR(attach))
		return dmabuf_refused(PTR_ERR(attach));

	dma_resv_lock(dmabuf->resv, NULL);
	err = dma_buf_pin(attach);
	/* It may have been moved in order to be pinned. */
	buf->gone = false;
	dma_resv_unlock(dmabuf->resv);
	if (err) {
		dma_buf_detach(dmabuf, attach);
		return dmabuf_refused(err);
	}
	buf->attach = attach;
	return 0;
}

static int dmabuf_map(struct dmabuf_backing *buf)
{
	int err;

	err = l3l2q_dmabuf_vmap(buf->dmabuf, &buf->map);
	if (err)
		return dmabuf_refused(err);
	if (buf->map.is_iomem) {
		l3l2q_dmabuf_vunmap(buf->dmabuf, &buf->map);
		return -EOPNOTSUPP;
	}
	return 0;
}

/* Under the lock that taking the memory away needs; it is not held for long. */
static int dmabuf_clear(struct dmabuf_backing *buf, u64 bytes)
{
	u64 done, n;
	bool gone;

	for (done = 0; done < bytes; done += n) {
		n = min_t(u64, bytes - done, SZ_2M);
		dma_resv_lock(buf->dmabuf->resv, NULL);
		gone = buf->gone;
		if (!gone)
			memset(buf->map.vaddr + done, 0, n);
		dma_resv_unlock(buf->dmabuf->resv);
		if (gone)
			return -ENODEV;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* Let the region have the memory, unless that is gone already. */
static int dmabuf_go_live(struct l3l2q_region *region)
{
	struct dmabuf_backing *buf = region->backing;
	int err = 0;

	dma_resv_lock(buf->dmabuf->resv, NULL);
	if (buf->gone) {
		err = -ENODEV;
	} else {
		region->live.mem = buf->map.vaddr +
				   PAGE_ALIGN(region->payload_bytes);
		buf->live = true;
	}
	dma_resv_unlock(buf->dmabuf->resv);
	return err;
}

static int dmabuf_take(struct l3l2q_region *region)
{
	u64 bytes = PAGE_ALIGN(region->payload_bytes) +
		    PAGE_ALIGN(region->counter_bytes);
	struct dmabuf_backing *buf = region->backing;
	struct dma_buf *dmabuf = buf->dmabuf;
	int err;

	/* Mappings of an endpoint do not ask the descriptor again. */
	if (!(dmabuf->file->f_mode & FMODE_WRITE))
		return -EACCES;
	if (!dmabuf->ops->vmap || !dmabuf->ops->mmap)
		return -EOPNOTSUPP;
	if (dmabuf->size < bytes)
		return -ENOSPC;

	err = dmabuf_attach(region);
	if (err)
		return err;
	err = dmabuf_map(buf);
	if (err)
		goto err_detach;
	err = dmabuf_clear(buf, bytes);
	if (err)
		goto err_unmap;
	err = dmabuf_go_live(region);
	if (err)
		goto err_unmap;
	return 0;

err_unmap:
	l3l2q_dmabuf_vunmap(dmabuf, &buf->map);
err_detach:
	dmabuf_detach(buf);
	return err;
}

static int dmabuf_alloc(struct l3l2q_region *region,
			const struct l3l2q_create *cmd)
{
	struct dmabuf_backing *buf;
	int err;

	if (cmd->source_bytes)
		return -EINVAL;
	if (!(cmd->flags & L3L2Q_CREATE_COHERENT))
		return -EOPNOTSUPP;
	if (cmd->source > INT_MAX)
		return -EBADF;

	buf = kzalloc(sizeof(*buf), GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	err = -EBADF;
	buf->dmabuf = dma_buf_get(cmd->source);
	if (IS_ERR(buf->dmabuf))
		goto err_free;

	region->backing = buf;
	region->scanner = &l3l2q_host_scanner;
	err = dmabuf_take(region);
	if (err)
		goto err_put;
	return 0;

err_put:
	dma_buf_put(buf->dmabuf);
err_free:
	kfree(buf);
	return err;
}

static void dmabuf_free(struct l3l2q_region *region)
{
	struct dmabuf_backing *buf = region->backing;

	/* A revocation that has begun ends first; there is none after this. */
	dma_resv_lock(buf->dmabuf->resv, NULL);
	buf->live = false;
	dma_resv_unlock(buf->dmabuf->resv);

	l3l2q_dmabuf_vunmap(buf->dmabuf, &buf->map);
	dmabuf_detach(buf);
	dma_buf_put(buf->dmabuf);
	kfree(buf);
}

static int dmabuf_mmap(struct l3l2q_region *region, struct vm_area_struct *vma,
		       unsigned long pgoff)
{
	struct dmabuf_backing *buf = region->backing;

	return dma_buf_mmap(buf->dmabuf, vma, pgoff);
}

const struct l3l2q_backend_ops l3l2q_dmabuf_ops = {
	.id = L3L2Q_BACKEND_DMABUF,
	.name = "dmabuf",
	.feature = L3L2Q_FEATURE_DMABUF,
	.flags = L3L2Q_CREATE_SHARE_ADDRESSES | L3L2Q_CREATE_SILENT_PEER |
		 L3L2Q_CREATE_COHERENT,
	.foreign = true,
	.alloc = dmabuf_alloc,
	.free = dmabuf_free,
	.mmap = dmabuf_mmap,
};
