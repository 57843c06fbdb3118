// SPDX-License-Identifier: GPL-2.0-only
/*
 * EXPORT_DMABUF: a region's RAM as a dma-buf, the payload and from the next page
 * boundary on the counters. It holds the region, which stays charged to whoever
 * created it, also once both endpoints are closed.
 */
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "compat_dmabuf.h"
#include "internal.h"

static unsigned long export_payload_pages(const struct l3l2q_region *region)
{
	return l3l2q_part_length(region, L3L2Q_PART_PAYLOAD) >> PAGE_SHIFT;
}

static unsigned long export_pages(const struct l3l2q_region *region)
{
	return export_payload_pages(region) +
	       (l3l2q_part_length(region, L3L2Q_PART_COUNTERS) >> PAGE_SHIFT);
}

static unsigned long export_pfn(struct l3l2q_region *region,
				unsigned long index)
{
	unsigned long payload = export_payload_pages(region);

	if (index < payload)
		return region->ops->payload_pfn(region, index);
	return region->ops->counters_pfn(region, index - payload);
}

static struct page **export_page_array(struct l3l2q_region *region)
{
	unsigned long i, nr = export_pages(region);
	struct page **pages;

	pages = kvmalloc_array(nr, sizeof(*pages), L3L2Q_GFP_USER);
	for (i = 0; pages && i < nr; i++)
		pages[i] = pfn_to_page(export_pfn(region, i));
	return pages;
}

/* ---- for devices -------------------------------------------------------- */

static int export_sg_alloc(struct l3l2q_region *region, struct sg_table *sgt)
{
	unsigned long nr = export_pages(region);
	struct page **pages;
	int err;

	pages = export_page_array(region);
	if (!pages)
		return -ENOMEM;
	err = sg_alloc_table_from_pages(sgt, pages, nr, 0, nr << PAGE_SHIFT,
					GFP_KERNEL_ACCOUNT);
	kvfree(pages);
	return err;
}

static struct sg_table *export_map_dma(struct dma_buf_attachment *attach,
				       enum dma_data_direction direction)
{
	struct sg_table *sgt;
	int err;

	sgt = kzalloc(sizeof(*sgt), GFP_KERNEL_ACCOUNT);
	if (!sgt)
		return ERR_PTR(-ENOMEM);
	err = export_sg_alloc(attach->dmabuf->priv, sgt);
	if (err)
		goto err_free;
	err = dma_map_sgtable(attach->dev, sgt, direction, 0);
	if (err)
		goto err_table;
	return sgt;

err_table:
	sg_free_table(sgt);
err_free:
	kfree(sgt);
	return ERR_PTR(err);
}

static void export_unmap_dma(struct dma_buf_attachment *attach,
			     struct sg_table *sgt,
			     enum dma_data_direction direction)
{
	dma_unmap_sgtable(attach->dev, sgt, direction, 0);
	sg_free_table(sgt);
	kfree(sgt);
}

/* ---- for the kernel ----------------------------------------------------- */

static void *export_map_kernel(struct dma_buf *dmabuf)
{
	struct l3l2q_region *region = dmabuf->priv;
	struct page **pages;
	void *vaddr;

	pages = export_page_array(region);
	if (!pages)
		return NULL;
	vaddr = vmap(pages, export_pages(region), VM_MAP, PAGE_KERNEL);
	kvfree(pages);
	return vaddr;
}

#ifdef L3L2Q_HAVE_DMABUF_MAP
static int export_vmap(struct dma_buf *dmabuf, struct l3l2q_dmabuf_map *map)
{
	*map = (struct l3l2q_dmabuf_map) {
		.vaddr = export_map_kernel(dmabuf),
	};
	return map->vaddr ? 0 : -ENOMEM;
}

static void export_vunmap(struct dma_buf *dmabuf, struct l3l2q_dmabuf_map *map)
{
	vunmap(map->vaddr);
}
#else
static void *export_vmap(struct dma_buf *dmabuf)
{
	return export_map_kernel(dmabuf);
}

static void export_vunmap(struct dma_buf *dmabuf, void *vaddr)
{
	vunmap(vaddr);
}
#endif

/* ---- for processes ------------------------------------------------------ */

static vm_fault_t export_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;

	return vmf_insert_pfn(vma, vmf->address,
			      export_pfn(vma->vm_private_data, vmf->pgoff));
}

static const struct vm_operations_struct export_vm_ops = {
	.fault = export_fault,
};

/* Its file, which the mapping holds, holds the region. */
static int export_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;

	l3l2q_vm_flags_mod(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP,
			   VM_MAYEXEC);
	vma->vm_private_data = dmabuf->priv;
	vma->vm_ops = &export_vm_ops;
	return 0;
}

/* ---- the dma-buf -------------------------------------------------------- */

static void export_release(struct dma_buf *dmabuf)
{
	l3l2q_region_put(dmabuf->priv);
}

static const struct dma_buf_ops export_ops = {
	.map_dma_buf = export_map_dma,
	.unmap_dma_buf = export_unmap_dma,
	.vmap = export_vmap,
	.vunmap = export_vunmap,
	.mmap = export_mmap,
	.release = export_release,
};

static struct dma_buf *export_new(struct l3l2q_region *region)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dma_buf *dmabuf;

	kref_get(&region->ref);
	info.ops = &export_ops;
	info.size = export_pages(region) << PAGE_SHIFT;
	info.flags = O_RDWR;
	info.priv = region;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf))
		l3l2q_region_put(region);
	return dmabuf;
}

/* EXPORT_DMABUF */
int l3l2q_ioctl_export_dmabuf(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_region *region = ucmd->ep->region;
	struct l3l2q_export_dmabuf *cmd = ucmd->cmd;
	struct dma_buf *dmabuf;
	int err;

	if (cmd->pad)
		return -EINVAL;
	if (region->ops->foreign)
		return -EOPNOTSUPP;

	err = get_unused_fd_flags(O_CLOEXEC);
	if (err < 0)
		return err;
	cmd->fd = err;

	dmabuf = export_new(region);
	if (IS_ERR(dmabuf)) {
		err = PTR_ERR(dmabuf);
		goto err_fd;
	}
	err = l3l2q_ucmd_respond(ucmd);
	if (err)
		goto err_dmabuf;
	fd_install(cmd->fd, dmabuf->file);
	return 0;

err_dmabuf:
	dma_buf_put(dmabuf);
err_fd:
	put_unused_fd(cmd->fd);
	return err;
}
