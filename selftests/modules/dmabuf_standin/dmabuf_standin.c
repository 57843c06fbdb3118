// SPDX-License-Identifier: GPL-2.0-only
/*
 * An exporter of dma-bufs for tests, on the kernels that tests run on: what it
 * lacks, refuses or does at a bad moment is asked for with each buffer, and it
 * takes one back on command. Its own mapping of the memory goes in the very
 * moment in which importers have been told, so whoever comes late faults.
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/iosys-map.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "dmabuf_standin.h"

MODULE_INFO(import_ns, "DMA_BUF");

#define STANDIN_MAX_BYTES	SZ_64M

/**
 * struct standin - a buffer; all of it under the dma-buf's lock
 * @flags: DMABUF_STANDIN_*
 * @ops: what such a buffer can do
 * @nr: number of pages
 * @memory: where they are
 * @pages: the same one by one
 * @vaddr: the vmap; NULL if there is none, or no more
 * @gone: what replaces each page
 * @state: what importers do with it
 */
struct standin {
	u32 flags;
	struct dma_buf_ops ops;
	unsigned long nr;
	void *memory;
	struct page **pages;
	void *vaddr;
	struct page *gone;
	struct dmabuf_standin_state state;
};

static struct platform_device *standin_pdev;

/* ---- exporting ---------------------------------------------------------- */

static void standin_notify(struct dma_buf *dmabuf)
{
	struct standin *s = dmabuf->priv;

	dma_resv_assert_held(dmabuf->resv);
	s->state.notified++;
	dma_buf_move_notify(dmabuf);
}

/* Before 6.2, who calls .vunmap does not hold the lock. */
static void standin_unmap_kernel(struct standin *s)
{
	vunmap(xchg(&s->vaddr, NULL));
}

static void standin_revoke(struct dma_buf *dmabuf)
{
	struct standin *s = dmabuf->priv;

	dma_resv_assert_held(dmabuf->resv);
	if (s->state.revoked)
		return;
	s->state.revoked = 1;
	standin_notify(dmabuf);
	standin_unmap_kernel(s);
	unmap_mapping_range(dmabuf->file->f_mapping, 0, 0, 1);
}

static int standin_attach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach)
{
	struct standin *s = dmabuf->priv;

	if (s->flags & DMABUF_STANDIN_NO_ATTACH)
		return -EBUSY;
	dma_resv_lock(dmabuf->resv, NULL);
	s->state.attached++;
	dma_resv_unlock(dmabuf->resv);
	return 0;
}

static void standin_detach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach)
{
	struct standin *s = dmabuf->priv;

	dma_resv_lock(dmabuf->resv, NULL);
	s->state.attached--;
	dma_resv_unlock(dmabuf->resv);
}

static int standin_pin(struct dma_buf_attachment *attach)
{
	struct standin *s = attach->dmabuf->priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	if (s->state.revoked)
		return -ENODEV;
	if (s->flags & DMABUF_STANDIN_NO_PIN)
		return -EBUSY;
	if (s->flags & DMABUF_STANDIN_MOVES)
		standin_notify(attach->dmabuf);
	s->state.pinned++;
	return 0;
}

static void standin_unpin(struct dma_buf_attachment *attach)
{
	struct standin *s = attach->dmabuf->priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	s->state.pinned--;
}

static struct sg_table *standin_map(struct dma_buf_attachment *attach,
				    enum dma_data_direction direction)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static void standin_unmap(struct dma_buf_attachment *attach,
			  struct sg_table *sgt,
			  enum dma_data_direction direction)
{
}

static int standin_vmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct standin *s = dmabuf->priv;
	void *vaddr;
	bool locked;

	/* Callers hold the lock since 6.2. */
	locked = dma_resv_trylock(dmabuf->resv);
	vaddr = vmap(s->pages, s->nr, VM_MAP, PAGE_KERNEL);
	s->vaddr = vaddr;
	s->state.vmapped += !!vaddr;
	if (s->flags & DMABUF_STANDIN_VMAP_LOSES)
		standin_revoke(dmabuf);
	if (locked)
		dma_resv_unlock(dmabuf->resv);
	if (!vaddr)
		return -ENOMEM;

	if (s->flags & DMABUF_STANDIN_IOMEM)
		iosys_map_set_vaddr_iomem(map, (void __iomem *)vaddr);
	else
		iosys_map_set_vaddr(map, vaddr);
	return 0;
}

static void standin_vunmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct standin *s = dmabuf->priv;

	standin_unmap_kernel(s);
	s->state.vmapped--;
}

/* As drivers of graphics do it, under the lock. */
static vm_fault_t standin_fault(struct vm_fault *vmf)
{
	struct dma_buf *dmabuf = vmf->vma->vm_private_data;
	struct standin *s = dmabuf->priv;

	if (vmf->pgoff >= s->nr)
		return VM_FAULT_SIGBUS;
	dma_resv_lock(dmabuf->resv, NULL);
	vmf->page = s->state.revoked ? s->gone : s->pages[vmf->pgoff];
	get_page(vmf->page);
	dma_resv_unlock(dmabuf->resv);
	return 0;
}

static const struct vm_operations_struct standin_vm_ops = {
	.fault = standin_fault,
};

static int standin_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	vma->vm_private_data = dmabuf;
	vma->vm_ops = &standin_vm_ops;
	return 0;
}

static void standin_free(struct standin *s)
{
	if (s->gone)
		__free_page(s->gone);
	kvfree(s->pages);
	vfree(s->memory);
	kfree(s);
}

static void standin_release(struct dma_buf *dmabuf)
{
	struct standin *s = dmabuf->priv;

	WARN_ON(s->state.attached || s->state.pinned || s->state.vmapped);
	standin_free(s);
}

static const struct dma_buf_ops standin_ops = {
	.attach = standin_attach,
	.detach = standin_detach,
	.pin = standin_pin,
	.unpin = standin_unpin,
	.map_dma_buf = standin_map,
	.unmap_dma_buf = standin_unmap,
	.vmap = standin_vmap,
	.vunmap = standin_vunmap,
	.mmap = standin_mmap,
	.release = standin_release,
};

static struct standin *standin_alloc(u64 bytes, u32 flags)
{
	struct standin *s;
	unsigned long i;

	s = kzalloc(sizeof(*s), GFP_KERNEL);
	if (!s)
		return NULL;
	s->flags = flags;
	s->ops = standin_ops;
	if (!(flags & DMABUF_STANDIN_DYNAMIC)) {
		s->ops.pin = NULL;
		s->ops.unpin = NULL;
	}
	if (flags & DMABUF_STANDIN_NO_VMAP)
		s->ops.vmap = NULL;
	if (flags & DMABUF_STANDIN_NO_MMAP)
		s->ops.mmap = NULL;

	s->nr = bytes >> PAGE_SHIFT;
	s->memory = vmalloc(bytes);
	s->pages = kvcalloc(s->nr, sizeof(*s->pages), GFP_KERNEL);
	s->gone = alloc_page(GFP_KERNEL);
	if (!s->memory || !s->pages || !s->gone) {
		standin_free(s);
		return NULL;
	}
	/* Not zero: that is for the importer to do. */
	memset(s->memory, 0xee, bytes);
	for (i = 0; i < s->nr; i++)
		s->pages[i] = vmalloc_to_page(s->memory + i * PAGE_SIZE);
	memset(page_address(s->gone), DMABUF_STANDIN_GONE, PAGE_SIZE);
	return s;
}

static long standin_new(struct dmabuf_standin_new *cmd)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dma_buf *dmabuf;
	struct standin *s;

	if (!cmd->bytes || cmd->bytes % PAGE_SIZE ||
	    cmd->bytes > STANDIN_MAX_BYTES || cmd->flags & ~DMABUF_STANDIN_FLAGS)
		return -EINVAL;
	s = standin_alloc(cmd->bytes, cmd->flags);
	if (!s)
		return -ENOMEM;

	info.ops = &s->ops;
	info.size = cmd->bytes;
	info.flags = cmd->flags & DMABUF_STANDIN_READ_ONLY ? O_RDONLY : O_RDWR;
	info.priv = s;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		standin_free(s);
		return PTR_ERR(dmabuf);
	}
	cmd->fd = dma_buf_fd(dmabuf, O_CLOEXEC);
	if (cmd->fd < 0) {
		dma_buf_put(dmabuf);
		return cmd->fd;
	}
	return 0;
}

/* One of our own. */
static struct dma_buf *standin_get(int fd)
{
	struct dma_buf *dmabuf = dma_buf_get(fd);

	if (!IS_ERR(dmabuf) && dmabuf->ops->release != standin_release) {
		dma_buf_put(dmabuf);
		return ERR_PTR(-EINVAL);
	}
	return dmabuf;
}

static long standin_revoke_fd(int fd)
{
	struct dma_buf *dmabuf = standin_get(fd);

	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	dma_resv_lock(dmabuf->resv, NULL);
	standin_revoke(dmabuf);
	dma_resv_unlock(dmabuf->resv);
	dma_buf_put(dmabuf);
	return 0;
}

static long standin_state(struct dmabuf_standin_state *cmd)
{
	struct dma_buf *dmabuf = standin_get(cmd->fd);
	struct standin *s;
	int fd = cmd->fd;

	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	s = dmabuf->priv;
	dma_resv_lock(dmabuf->resv, NULL);
	*cmd = s->state;
	dma_resv_unlock(dmabuf->resv);
	cmd->fd = fd;
	dma_buf_put(dmabuf);
	return 0;
}

/* ---- importing ---------------------------------------------------------- */

/* Pages are no importer's business, addresses are; there is no IOMMU here. */
static void standin_sum(struct sg_table *sgt, struct dmabuf_standin_look *cmd)
{
	struct sg_dma_page_iter iter;
	unsigned int i;

	cmd->bytes = 0;
	cmd->sum = 0;
	for_each_sgtable_dma_page(sgt, &iter, 0) {
		phys_addr_t pa = sg_page_iter_dma_address(&iter);
		const u8 *p = kmap_local_page(pfn_to_page(PHYS_PFN(pa)));

		for (i = 0; i < PAGE_SIZE; i++)
			cmd->sum += p[i];
		kunmap_local(p);
		cmd->bytes += PAGE_SIZE;
	}
}

static long standin_look(struct dmabuf_standin_look *cmd)
{
	struct dma_buf *dmabuf = dma_buf_get(cmd->fd);
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
	long ret = 0;

	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	attach = dma_buf_attach(dmabuf, &standin_pdev->dev);
	if (IS_ERR(attach)) {
		ret = PTR_ERR(attach);
		goto out_put;
	}

	dma_resv_lock(dmabuf->resv, NULL);
	sgt = dma_buf_map_attachment(attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(sgt)) {
		ret = PTR_ERR(sgt);
	} else {
		dma_sync_sgtable_for_cpu(attach->dev, sgt, DMA_BIDIRECTIONAL);
		standin_sum(sgt, cmd);
		dma_buf_unmap_attachment(attach, sgt, DMA_BIDIRECTIONAL);
	}
	dma_resv_unlock(dmabuf->resv);

	dma_buf_detach(dmabuf, attach);
out_put:
	dma_buf_put(dmabuf);
	return ret;
}

/* ---- the node ----------------------------------------------------------- */

static long standin_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	union {
		struct dmabuf_standin_new new;
		struct dmabuf_standin_state state;
		struct dmabuf_standin_look look;
	} cmd;
	void __user *user = (void __user *)arg;
	long ret;

	if (nr == DMABUF_STANDIN_REVOKE)
		return standin_revoke_fd(arg);
	if (_IOC_TYPE(nr) != 0xE4 || _IOC_SIZE(nr) > sizeof(cmd))
		return -ENOTTY;
	if (copy_from_user(&cmd, user, _IOC_SIZE(nr)))
		return -EFAULT;
	switch (nr) {
	case DMABUF_STANDIN_NEW:
		ret = standin_new(&cmd.new);
		break;
	case DMABUF_STANDIN_STATE:
		ret = standin_state(&cmd.state);
		break;
	case DMABUF_STANDIN_LOOK:
		ret = standin_look(&cmd.look);
		break;
	default:
		return -ENOTTY;
	}
	if (!ret && copy_to_user(user, &cmd, _IOC_SIZE(nr)))
		return -EFAULT;
	return ret;
}

static const struct file_operations standin_fops = {
	.owner = THIS_MODULE,
	.open = nonseekable_open,
	.unlocked_ioctl = standin_ioctl,
};

static struct miscdevice standin_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "dmabuf_standin",
	.fops = &standin_fops,
	.mode = 0600,
};

static int __init standin_init(void)
{
	int err;

	standin_pdev = platform_device_register_simple("dmabuf_standin", -1,
						       NULL, 0);
	if (IS_ERR(standin_pdev))
		return PTR_ERR(standin_pdev);
	err = dma_set_mask_and_coherent(&standin_pdev->dev, DMA_BIT_MASK(64));
	if (!err)
		err = misc_register(&standin_misc);
	if (err)
		platform_device_unregister(standin_pdev);
	return err;
}

static void __exit standin_exit(void)
{
	misc_deregister(&standin_misc);
	platform_device_unregister(standin_pdev);
}

module_init(standin_init);
module_exit(standin_exit);

MODULE_DESCRIPTION("An exporter of dma-bufs for the tests of l3l2q");
MODULE_AUTHOR("l3l2q maintainers");
MODULE_LICENSE("GPL");
