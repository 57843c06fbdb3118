// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of a region's parts, and the process that an endpoint is attached
 * to: the one that mapped the counters. It is gone once the last such mapping
 * is, however that came about; files tell less, for copies of them can be
 * anywhere.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>

#include "compat.h"
#include "internal.h"
#include "trace.h"

/* A page fault maps an aligned window of this many pages around it. */
#define FAULT_AROUND	max(SZ_64K / PAGE_SIZE, 1ul)

/**
 * l3l2q_part_length() - how much of a region's part can be mapped
 * @region: whose
 * @part: what
 *
 * Return: its length, whole pages, or 0 if there is no such part.
 */
u64 l3l2q_part_length(const struct l3l2q_region *region, enum l3l2q_part part)
{
	switch (part) {
	case L3L2Q_PART_PAYLOAD:
		return PAGE_ALIGN(region->payload_bytes);
	case L3L2Q_PART_COUNTERS:
		return PAGE_ALIGN(region->counter_bytes);
	case L3L2Q_PART_STATUS:
	case L3L2Q_PART_CONTROL_L3:
	case L3L2Q_PART_CONTROL_L2:
		return PAGE_SIZE;
	}
	return 0;
}

/*
 * The payload, if it is ordinary memory. Counters and the like are not, whatever they
 * are in: the kernel and the peer have to see who changes them, and pins cannot be
 * taken back.
 */
static bool l3l2q_part_is_pages(const struct l3l2q_region *region,
				enum l3l2q_part part)
{
	return part == L3L2Q_PART_PAYLOAD && region->ops->payload_page;
}

/**
 * l3l2q_part_pfn() - what to map of a region that is not revoked
 * @region: which; under .revoke
 * @part: of it
 * @index: which page of that part
 *
 * Return: the page frame.
 */
unsigned long l3l2q_part_pfn(struct l3l2q_region *region,
			     enum l3l2q_part part, unsigned long index)
{
	const void *page = region->status;

	switch (part) {
	case L3L2Q_PART_PAYLOAD:
		return region->ops->payload_pfn(region, index);
	case L3L2Q_PART_COUNTERS:
		return region->ops->counters_pfn(region, index);
	case L3L2Q_PART_STATUS:
		break;
	case L3L2Q_PART_CONTROL_L3:
		page = region->ep[L3L2Q_ROLE_L3].control;
		break;
	case L3L2Q_PART_CONTROL_L2:
		page = region->ep[L3L2Q_ROLE_L2].control;
		break;
	}
	return PHYS_PFN(virt_to_phys((void *)page));
}

static bool l3l2q_part_writable(const struct l3l2q_endpoint *ep,
				enum l3l2q_part part)
{
	switch (part) {
	case L3L2Q_PART_PAYLOAD:
	case L3L2Q_PART_COUNTERS:
		return true;
	case L3L2Q_PART_CONTROL_L3:
		return ep->role == L3L2Q_ROLE_L3;
	case L3L2Q_PART_CONTROL_L2:
		return ep->role == L3L2Q_ROLE_L2;
	default:
		return false;
	}
}

/* ---- faults ------------------------------------------------------------- */

static vm_fault_t l3l2q_map_page(struct vm_area_struct *vma, pgoff_t pgoff)
{
	unsigned long address = vma->vm_start +
				((pgoff - vma->vm_pgoff) << PAGE_SHIFT);
	enum l3l2q_part part = l3l2q_pgoff_part(pgoff);
	unsigned long index = l3l2q_pgoff_index(pgoff);
	struct l3l2q_endpoint *ep = vma->vm_private_data;
	struct l3l2q_region *region = ep->region;

	lockdep_assert_held(&region->revoke);
	if (l3l2q_part_is_pages(region, part))
		return vmf_insert_page(vma, address,
				       region->ops->payload_page(region, index));
	if (region->revoked && l3l2q_part_is_memory(part))
		return vmf_insert_pfn_prot(vma, address,
					   l3l2q_tomb_pfn(ep, part, index),
					   vm_get_page_prot(vma->vm_flags));
	return vmf_insert_pfn(vma, address,
			      l3l2q_part_pfn(region, part, index));
}

static vm_fault_t l3l2q_vm_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct l3l2q_endpoint *ep = vma->vm_private_data;
	pgoff_t pgoff = max(round_down(vmf->pgoff, FAULT_AROUND),
			    vma->vm_pgoff);
	pgoff_t end = min(round_down(vmf->pgoff, FAULT_AROUND) + FAULT_AROUND,
			  vma->vm_pgoff + vma_pages(vma));
	vm_fault_t ret;

	l3l2q_stat_inc(ep, L3L2Q_STAT_FAULTS);

	down_read(&ep->region->revoke);
	ret = l3l2q_map_page(vma, vmf->pgoff);
	/* Opportunistic: a page that fails here is mapped by its own fault. */
	for (; ret == VM_FAULT_NOPAGE && pgoff < end; pgoff++) {
		if (l3l2q_map_page(vma, pgoff) != VM_FAULT_NOPAGE)
			break;
	}
	up_read(&ep->region->revoke);
	return ret;
}

static const struct vm_operations_struct l3l2q_vm_ops = {
	.fault = l3l2q_vm_fault,
};

/* ---- attachment --------------------------------------------------------- */

/*
 * A writable mapping of this part attaches: the counters or, where a dma-buf's
 * exporter maps these, the own control page, which every user needs as well.
 */
static bool l3l2q_part_attaches(const struct l3l2q_endpoint *ep,
				enum l3l2q_part part)
{
	if (!ep->region->ops->mmap)
		return part == L3L2Q_PART_COUNTERS;
	return part == (ep->role == L3L2Q_ROLE_L3 ? L3L2Q_PART_CONTROL_L3
						  : L3L2Q_PART_CONTROL_L2);
}

/* There is one such mapping at a time, in pieces if it is split. */
static int l3l2q_attach(struct l3l2q_endpoint *ep, struct mm_struct *mm)
{
	struct l3l2q_process_ref process;
	int err = 0;

	l3l2q_process_get(&process);
	spin_lock_bh(&ep->lock);
	switch (ep->state) {
	case L3L2Q_STATE_OPEN:
		mmgrab(mm);
		WRITE_ONCE(ep->mm, mm);
		ep->nr_mappings = 1;
		ep->process = process;
		l3l2q_endpoint_set_state(ep, L3L2Q_STATE_ATTACHED);
		trace_l3l2q_attach(ep);
		break;
	case L3L2Q_STATE_ATTACHED:
		err = -EBUSY;
		break;
	default:
		err = -ESHUTDOWN;
		break;
	}
	spin_unlock_bh(&ep->lock);
	if (err)
		l3l2q_process_put(&process);
	else
		l3l2q_scan_peer_attached(l3l2q_peer(ep));
	return err;
}

/* A mapping was split or is being moved. */
static void l3l2q_attached_open(struct vm_area_struct *vma)
{
	struct l3l2q_endpoint *ep = vma->vm_private_data;

	spin_lock_bh(&ep->lock);
	if (ep->mm == vma->vm_mm)
		ep->nr_mappings++;
	spin_unlock_bh(&ep->lock);
}

/* The last one without DETACH: exit, exec, a signal, munmap. The role is dead. */
static void l3l2q_attached_close(struct vm_area_struct *vma)
{
	struct l3l2q_endpoint *ep = vma->vm_private_data;
	bool last;

	spin_lock_bh(&ep->lock);
	last = ep->mm == vma->vm_mm && !--ep->nr_mappings;
	spin_unlock_bh(&ep->lock);

	if (last)
		l3l2q_endpoint_end(ep, L3L2Q_STATE_DEAD);
}

static const struct vm_operations_struct l3l2q_attached_vm_ops = {
	.open = l3l2q_attached_open,
	.close = l3l2q_attached_close,
	.fault = l3l2q_vm_fault,
};

/* ---- mmap --------------------------------------------------------------- */

static int l3l2q_mmap_check(const struct l3l2q_endpoint *ep,
			    struct vm_area_struct *vma)
{
	enum l3l2q_part part = l3l2q_pgoff_part(vma->vm_pgoff);
	unsigned long first = l3l2q_pgoff_index(vma->vm_pgoff);
	u64 pages = l3l2q_part_length(ep->region, part) >> PAGE_SHIFT;

	if (l3l2q_region_removed(ep->region))
		return -ENODEV;
	if (l3l2q_endpoint_ended(ep))
		return -ESHUTDOWN;
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (first >= pages || vma_pages(vma) > pages - first)
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
#ifdef VM_MTE
	/* The kernel would refuse it after it had attached. */
	if (vma->vm_flags & VM_MTE)
		return -EINVAL;
#endif
	if ((vma->vm_flags & VM_WRITE) && !l3l2q_part_writable(ep, part))
		return -EACCES;
	return 0;
}

/**
 * l3l2q_is_cached() - did a mapping of device memory become what was asked for
 * @mem: from memremap(), to be cached
 *
 * On x86 what others have mapped already silently wins, and so does firmware.
 *
 * Return: whether it is cached.
 */
bool l3l2q_is_cached(const void *mem)
{
#ifdef CONFIG_X86
	unsigned int level;
	const pte_t *pte = lookup_address((unsigned long)mem, &level);

	return pte && !(pte_flags(*pte) & (_PAGE_PWT | _PAGE_PCD));
#else
	return true;
#endif
}

/**
 * l3l2q_memory_prot() - how a region's payload and counters are mapped
 * @region: whose
 * @prot: of a mapping of ordinary memory
 *
 * On x86 what the memory was registered as counts instead, and is the same.
 *
 * Return: @prot for the region's memory type.
 */
pgprot_t l3l2q_memory_prot(const struct l3l2q_region *region, pgprot_t prot)
{
	/* As ioremap() and memremap() do for the kernel's mappings. */
	if (region->is_device)
		prot = pgprot_decrypted(prot);

	switch (region->memory) {
	case L3L2Q_MEMORY_WC:
		return pgprot_writecombine(prot);
	case L3L2Q_MEMORY_DEVICE:
		return pgprot_device(prot);
	default:
		return prot;
	}
}

/* The mapping becomes the owner's, which has the counters after the payload. */
static int l3l2q_mmap_foreign(struct l3l2q_region *region,
			      struct vm_area_struct *vma)
{
	unsigned long pgoff = l3l2q_pgoff_index(vma->vm_pgoff);

	if (l3l2q_pgoff_part(vma->vm_pgoff) == L3L2Q_PART_COUNTERS)
		pgoff += PAGE_ALIGN(region->payload_bytes) >> PAGE_SHIFT;
	return region->ops->mmap(region, vma, pgoff);
}

int l3l2q_endpoint_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct l3l2q_endpoint *ep = file->private_data;
	enum l3l2q_part part = l3l2q_pgoff_part(vma->vm_pgoff);
	unsigned long clear = VM_MAYEXEC;
	int err;

	err = l3l2q_mmap_check(ep, vma);
	if (err)
		return err;

	/* What is read-only stays so, hence it cannot attach later on. */
	if (!(vma->vm_flags & VM_WRITE))
		clear |= VM_MAYWRITE;
	l3l2q_vm_flags_mod(vma, VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY,
			   clear);
	if (l3l2q_part_is_memory(part)) {
		if (ep->region->ops->mmap)
			return l3l2q_mmap_foreign(ep->region, vma);
		vma->vm_page_prot = l3l2q_memory_prot(ep->region,
						      vma->vm_page_prot);
	}
	/* VM_IO also keeps MADV_DOFORK from undoing VM_DONTCOPY, where it matters. */
	l3l2q_vm_flags_mod(vma, l3l2q_part_is_pages(ep->region, part) ?
				VM_MIXEDMAP : VM_PFNMAP | VM_IO, 0);
	vma->vm_private_data = ep;
	vma->vm_ops = &l3l2q_vm_ops;
	if (!l3l2q_part_attaches(ep, part) || !(vma->vm_flags & VM_WRITE))
		return 0;

	/* Last, for nobody calls ->close if this function fails. */
	err = l3l2q_attach(ep, vma->vm_mm);
	if (err)
		return err;
	vma->vm_ops = &l3l2q_attached_vm_ops;
	return 0;
}
