// SPDX-License-Identifier: GPL-2.0-only
/*
 * Observers: descriptors for tools that look at a region of others. They can be
 * mapped and read, and nothing else: no ioctl works on them, they do not wait, and no
 * end of the region notices them.
 *
 * An observer does not keep its region, hence the view between the two. Once the last
 * endpoint is gone, so is the memory: mappings show zeroes and reads fail.
 */
#include <linux/capability.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "internal.h"

/**
 * struct l3l2q_view - the way from observers to a region
 * @ref: the region's, and one for each observer
 * @lock: held for reading by who uses @region
 * @region: NULL once it is being freed; written under @lock
 * @inode: the region's, whose mapping has those of its observers too
 */
struct l3l2q_view {
	struct kref ref;
	struct rw_semaphore lock;
	struct l3l2q_region *region;
	struct inode *inode;
};

/**
 * struct l3l2q_observer - an observer's file
 * @view: of its region
 * @payload: it may see message bodies
 */
struct l3l2q_observer {
	struct l3l2q_view *view;
	bool payload;
};

/* ---- views -------------------------------------------------------------- */

/**
 * l3l2q_view_new() - prepare for observers of a region
 * @region: which
 * @inode: the region's; the view has it from now on
 *
 * Return: the view, or NULL if there is no memory for it.
 */
struct l3l2q_view *l3l2q_view_new(struct l3l2q_region *region,
				  struct inode *inode)
{
	struct l3l2q_view *view;

	view = kzalloc(sizeof(*view), GFP_KERNEL_ACCOUNT);
	if (!view)
		return NULL;
	kref_init(&view->ref);
	init_rwsem(&view->lock);
	view->region = region;
	view->inode = inode;
	return view;
}

static void l3l2q_view_release(struct kref *ref)
{
	struct l3l2q_view *view = container_of(ref, struct l3l2q_view, ref);

	l3l2q_inode_put(view->inode);
	kfree(view);
}

/**
 * l3l2q_view_put() - let go of a view, and of the region's inode with it
 * @view: that of a region whose backend has let go, or of an observer
 */
void l3l2q_view_put(struct l3l2q_view *view)
{
	kref_put(&view->ref, l3l2q_view_release);
}

/**
 * l3l2q_view_close() - take a region away from its observers
 * @view: its view, which stays the region's for the inode
 *
 * No mapping shows its memory afterwards and no observer uses the region.
 */
void l3l2q_view_close(struct l3l2q_view *view)
{
	down_write(&view->lock);
	view->region = NULL;
	up_write(&view->lock);
	/* Faults from here on find no region; those before are undone. */
	unmap_mapping_range(view->inode->i_mapping, 0, 0, 1);
}

u32 l3l2q_view_observers(const struct l3l2q_view *view)
{
	return kref_read(&view->ref) - 1;
}

/* ---- what may be seen --------------------------------------------------- */

/* Descriptors without the messages' bodies, which follow them in the payload. */
static u64 l3l2q_rings_length(const struct l3l2q_region *region)
{
	return l3l2q_region_is_raw(region) ? 0 : region->layout.input_arena_offset;
}

/* How much of a part can be read. */
static u64 l3l2q_observer_readable(const struct l3l2q_observer *observer,
				   const struct l3l2q_region *region,
				   enum l3l2q_part part)
{
	switch (part) {
	case L3L2Q_PART_PAYLOAD:
		return observer->payload ? region->payload_bytes
					 : l3l2q_rings_length(region);
	case L3L2Q_PART_COUNTERS:
		return region->counter_bytes;
	default:
		return l3l2q_part_length(region, part);
	}
}

/*
 * How much of a part can be mapped: no page with bodies in it, and nothing that the
 * owner of the memory would have to map, for that could not be taken back.
 */
static u64 l3l2q_observer_mappable(const struct l3l2q_observer *observer,
				   const struct l3l2q_region *region,
				   enum l3l2q_part part)
{
	if (l3l2q_part_is_memory(part) && region->ops->mmap)
		return 0;
	if (part == L3L2Q_PART_PAYLOAD && !observer->payload)
		return round_down(l3l2q_rings_length(region), PAGE_SIZE);
	return l3l2q_part_length(region, part);
}

/* ---- mappings ----------------------------------------------------------- */

/* Of a revoked region that which L3 sees. */
static unsigned long l3l2q_observer_pfn(struct l3l2q_region *region,
					enum l3l2q_part part,
					unsigned long index)
{
	lockdep_assert_held(&region->revoke);
	if (region->revoked && l3l2q_part_is_memory(part))
		return l3l2q_tomb_pfn(&region->ep[L3L2Q_ROLE_L3], part, index);
	return l3l2q_part_pfn(region, part, index);
}

static vm_fault_t l3l2q_observer_fault(struct vm_fault *vmf)
{
	struct l3l2q_view *view = vmf->vma->vm_private_data;
	enum l3l2q_part part = l3l2q_pgoff_part(vmf->pgoff);
	unsigned long index = l3l2q_pgoff_index(vmf->pgoff);
	struct l3l2q_region *region;
	vm_fault_t ret;

	down_read(&view->lock);
	region = view->region;
	if (region) {
		down_read(&region->revoke);
		ret = vmf_insert_pfn_prot(vmf->vma, vmf->address,
					  l3l2q_observer_pfn(region, part, index),
					  region->revoked ?
					  vm_get_page_prot(vmf->vma->vm_flags) :
					  vmf->vma->vm_page_prot);
		up_read(&region->revoke);
	} else {
		ret = vmf_insert_pfn_prot(vmf->vma, vmf->address,
					  page_to_pfn(ZERO_PAGE(0)),
					  vm_get_page_prot(vmf->vma->vm_flags));
	}
	up_read(&view->lock);
	return ret;
}

static const struct vm_operations_struct l3l2q_observer_vm_ops = {
	.fault = l3l2q_observer_fault,
};

static int l3l2q_observer_mmap_check(const struct l3l2q_observer *observer,
				     const struct l3l2q_region *region,
				     struct vm_area_struct *vma)
{
	enum l3l2q_part part = l3l2q_pgoff_part(vma->vm_pgoff);
	unsigned long first = l3l2q_pgoff_index(vma->vm_pgoff);
	u64 pages = l3l2q_part_length(region, part) >> PAGE_SHIFT;
	u64 seen = l3l2q_observer_mappable(observer, region, part) >> PAGE_SHIFT;

	/* The core clears VM_SHARED because the file cannot be written. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return -EACCES;
#ifdef VM_MTE
	if (vma->vm_flags & VM_MTE)
		return -EINVAL;
#endif
	if (first >= pages || vma_pages(vma) > pages - first)
		return -EINVAL;
	if (first >= seen || vma_pages(vma) > seen - first)
		return l3l2q_part_is_memory(part) && region->ops->mmap ?
		       -EOPNOTSUPP : -EPERM;
	return 0;
}

static int l3l2q_observer_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct l3l2q_observer *observer = file->private_data;
	struct l3l2q_view *view = observer->view;
	struct l3l2q_region *region;
	int err = -ENODEV;

	down_read(&view->lock);
	region = view->region;
	if (region)
		err = l3l2q_observer_mmap_check(observer, region, vma);
	if (!err && l3l2q_part_is_memory(l3l2q_pgoff_part(vma->vm_pgoff)))
		vma->vm_page_prot = l3l2q_memory_prot(region,
						      vma->vm_page_prot);
	up_read(&view->lock);
	if (err)
		return err;

	/* No references to pages, so that none can outlive the region. */
	l3l2q_vm_flags_mod(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND |
				VM_DONTDUMP | VM_DONTCOPY,
			   VM_MAYWRITE | VM_MAYEXEC);
	vma->vm_private_data = view;
	vma->vm_ops = &l3l2q_observer_vm_ops;
	return 0;
}

/* ---- reads -------------------------------------------------------------- */

/* Copy a part of one page of a device, mapped as all others have it. */
static int l3l2q_copy_device(const struct l3l2q_region *region, void *to,
			     phys_addr_t from, size_t bytes)
{
	phys_addr_t page = round_down(from, PAGE_SIZE);
	void __iomem *io;
	void *mem;

	if (region->memory == L3L2Q_MEMORY_CACHED) {
		mem = memremap(page, PAGE_SIZE, MEMREMAP_WB);
		if (!mem)
			return -ENOMEM;
		memcpy(to, mem + offset_in_page(from), bytes);
		memunmap(mem);
		return 0;
	}
	io = region->memory == L3L2Q_MEMORY_WC ? ioremap_wc(page, PAGE_SIZE)
					       : ioremap(page, PAGE_SIZE);
	if (!io)
		return -ENOMEM;
	memcpy_fromio(to, io + offset_in_page(from), bytes);
	iounmap(io);
	return 0;
}

/* Copy from within one page of a part. */
static int l3l2q_copy_part(struct l3l2q_region *region, enum l3l2q_part part,
			   u64 offset, void *to, size_t bytes)
{
	unsigned long pfn;
	const void *all;

	lockdep_assert_held(&region->revoke);
	/* Behind what the kernel sees of the payload come the counters. */
	if (l3l2q_part_is_memory(part) && region->ops->mmap &&
	    !region->revoked) {
		all = (void *)region->live.mem -
		      PAGE_ALIGN(region->payload_bytes);
		if (part == L3L2Q_PART_COUNTERS)
			all = region->live.mem;
		memcpy(to, all + offset, bytes);
		return 0;
	}
	pfn = l3l2q_observer_pfn(region, part, offset >> PAGE_SHIFT);
	if (l3l2q_part_is_memory(part) && region->is_device && !region->revoked)
		return l3l2q_copy_device(region, to, PFN_PHYS(pfn) +
					 offset_in_page(offset), bytes);
	memcpy(to, page_address(pfn_to_page(pfn)) + offset_in_page(offset),
	       bytes);
	return 0;
}

/*
 * Fill in the bounce page, because user memory must not be touched under the locks:
 * it may be a mapping of this very region. Return how much, 0 at the end of a part.
 */
static ssize_t l3l2q_observer_fill(const struct l3l2q_observer *observer,
				   loff_t pos, void *page, size_t bytes)
{
	enum l3l2q_part part = (u64)pos >> L3L2Q_PART_SHIFT;
	u64 offset = (u64)pos & (L3L2Q_PART_MAX_BYTES - 1);
	struct l3l2q_view *view = observer->view;
	struct l3l2q_region *region;
	ssize_t ret = -ENODEV;
	u64 end;

	down_read(&view->lock);
	region = view->region;
	if (!region)
		goto out;
	ret = -EINVAL;
	if (!l3l2q_part_length(region, part))
		goto out;
	end = l3l2q_observer_readable(observer, region, part);
	ret = 0;
	if (offset >= end) {
		if (part == L3L2Q_PART_PAYLOAD && offset < region->payload_bytes)
			ret = -EPERM;
		goto out;
	}
	offset = array_index_nospec(offset, end);
	bytes = min_t(u64, bytes, end - offset);
	bytes = min_t(u64, bytes, PAGE_SIZE - offset_in_page(offset));
	down_read(&region->revoke);
	ret = l3l2q_copy_part(region, part, offset, page, bytes) ?: bytes;
	up_read(&region->revoke);
out:
	up_read(&view->lock);
	return ret;
}

static ssize_t l3l2q_observer_read(struct file *file, char __user *user,
				   size_t size, loff_t *pos)
{
	struct l3l2q_observer *observer = file->private_data;
	size_t done = 0;
	ssize_t n = 0;
	void *page;

	page = (void *)__get_free_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	while (done < size) {
		n = l3l2q_observer_fill(observer, *pos + done, page,
					size - done);
		if (n <= 0)
			break;
		if (copy_to_user(user + done, page, n)) {
			n = -EFAULT;
			break;
		}
		done += n;
		if (signal_pending(current))
			break;
		cond_resched();
	}
	free_page((unsigned long)page);
	if (!done)
		return n;
	*pos += done;
	return done;
}

/* ---- files -------------------------------------------------------------- */

/* Those of endpoints are known, and refused. */
static long l3l2q_observer_ioctl(struct file *file, unsigned int cmd,
				 unsigned long arg)
{
	return _IOC_TYPE(cmd) == L3L2Q_IOC_TYPE && cmd >= L3L2Q_IOC_INFO &&
	       cmd <= L3L2Q_IOC_INTERRUPT ? -EPERM : -ENOTTY;
}

#ifdef CONFIG_PROC_FS
static void l3l2q_observer_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct l3l2q_observer *observer = file->private_data;
	struct l3l2q_view *view = observer->view;

	seq_printf(m, "l3l2q-observer:\t%s\n",
		   observer->payload ? "payload" : "rings");
	down_read(&view->lock);
	if (view->region)
		l3l2q_region_show_fdinfo(m, view->region);
	up_read(&view->lock);
}
#endif

static int l3l2q_observer_release(struct inode *inode, struct file *file)
{
	struct l3l2q_observer *observer = file->private_data;

	/* Or its descriptor never reached anybody. */
	if (observer) {
		l3l2q_view_put(observer->view);
		kfree(observer);
	}
	return 0;
}

static const struct file_operations l3l2q_observer_fops = {
	.owner = THIS_MODULE,
	.release = l3l2q_observer_release,
	.unlocked_ioctl = l3l2q_observer_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = l3l2q_observer_mmap,
	.read = l3l2q_observer_read,
#ifdef CONFIG_PROC_FS
	.show_fdinfo = l3l2q_observer_show_fdinfo,
#endif
};

/* ---- OBSERVE ------------------------------------------------------------ */

static void l3l2q_observer_maps(const struct l3l2q_observer *observer,
				const struct l3l2q_region *region,
				struct l3l2q_mapping *map)
{
	static const enum l3l2q_part parts[] = {
		[L3L2Q_MAP_PAYLOAD] = L3L2Q_PART_PAYLOAD,
		[L3L2Q_MAP_COUNTERS] = L3L2Q_PART_COUNTERS,
		[L3L2Q_MAP_STATUS] = L3L2Q_PART_STATUS,
		[L3L2Q_MAP_CONTROL] = L3L2Q_PART_CONTROL_L3,
		[L3L2Q_MAP_PEER_CONTROL] = L3L2Q_PART_CONTROL_L2,
	};
	u32 i;

	BUILD_BUG_ON(ARRAY_SIZE(parts) != L3L2Q_MAPS);
	for (i = 0; i < L3L2Q_MAPS; i++)
		map[i] = (struct l3l2q_mapping) {
			.offset = (u64)parts[i] << L3L2Q_PART_SHIFT,
			.length = l3l2q_observer_mappable(observer, region,
							  parts[i]),
		};
}

static int l3l2q_observe(struct l3l2q_ucmd *ucmd, struct l3l2q_region *region)
{
	struct l3l2q_observe *cmd = ucmd->cmd;
	struct l3l2q_observer *observer;
	int err;

	observer = kzalloc(sizeof(*observer), GFP_KERNEL_ACCOUNT);
	if (!observer)
		return -ENOMEM;
	observer->view = region->view;
	observer->payload = ucmd->flags & L3L2Q_OBSERVE_PAYLOAD;
	l3l2q_observer_maps(observer, region, cmd->map);

	kref_get(&observer->view->ref);
	err = l3l2q_file_publish("l3l2q-observer", &l3l2q_observer_fops,
				 observer, O_RDONLY, region, ucmd, &cmd->fd);
	if (err) {
		l3l2q_view_put(observer->view);
		kfree(observer);
	}
	return err;
}

int l3l2q_ioctl_observe(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_observe *cmd = ucmd->cmd;
	struct l3l2q_region *region;
	int err;

	if (cmd->pad)
		return -EINVAL;
	region = l3l2q_observe_get(cmd->id);
	if (IS_ERR(region))
		return PTR_ERR(region);
	if (ucmd->flags & L3L2Q_OBSERVE_PAYLOAD &&
	    !ns_capable(region->user_ns, CAP_SYS_PTRACE))
		err = -EPERM;
	else
		err = l3l2q_observe(ucmd, region);
	l3l2q_region_put(region);
	return err;
}
