// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that goes away under a region: its device is removed, or its owner
 * wants it back. What takes its place was put aside at CREATE, so that this
 * cannot fail and nobody gets a SIGBUS: counters as last seen, with the abort
 * flag of each role's peer set, and an empty page repeated for the payload.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "internal.h"
#include "trace.h"

/* Bytes of counters that are read before looking whether to go on. */
#define TOMB_STEP	SZ_4K

/**
 * l3l2q_tomb_free() - undo l3l2q_tomb_alloc(), all of it or a part
 * @region: whose
 */
void l3l2q_tomb_free(struct l3l2q_region *region)
{
	enum l3l2q_role role;

	for (role = 0; role < L3L2Q_ROLES; role++)
		vfree(region->tomb_counters[role]);
	free_page((unsigned long)region->tomb_payload);
}

/**
 * l3l2q_tomb_alloc() - put aside what replaces a region's memory
 * @region: a foreign one
 *
 * Return: 0 or -ENOMEM, and nothing is held.
 */
int l3l2q_tomb_alloc(struct l3l2q_region *region)
{
	enum l3l2q_role role;

	region->tomb_payload = (void *)__get_free_page(L3L2Q_GFP_USER);
	for (role = 0; role < L3L2Q_ROLES; role++)
		region->tomb_counters[role] =
			__vmalloc(PAGE_ALIGN(region->counter_bytes),
				  L3L2Q_GFP_USER);

	if (!region->tomb_payload || !region->tomb_counters[L3L2Q_ROLE_L3] ||
	    !region->tomb_counters[L3L2Q_ROLE_L2]) {
		l3l2q_tomb_free(region);
		return -ENOMEM;
	}
	/* The kernel has no role; l3l2q_look() does without the abort flags. */
	region->tomb_words.mem = region->tomb_counters[L3L2Q_ROLE_L3];
	return 0;
}

/**
 * l3l2q_tomb_pfn() - what to map of a revoked region
 * @ep: for whom
 * @part: its payload or its counters
 * @index: which page
 *
 * Return: a page frame of ordinary memory.
 */
unsigned long l3l2q_tomb_pfn(const struct l3l2q_endpoint *ep,
			     enum l3l2q_part part, unsigned long index)
{
	const struct l3l2q_region *region = ep->region;
	void *counters = region->tomb_counters[ep->role];

	if (part == L3L2Q_PART_COUNTERS)
		return vmalloc_to_pfn(counters + index * PAGE_SIZE);
	return PHYS_PFN(virt_to_phys(region->tomb_payload));
}

static bool l3l2q_tomb_lost(struct l3l2q_region *region)
{
	return region->ops->lost && region->ops->lost(region, -1);
}

/* Return false if the device has stopped to answer, and zeroes are from there on. */
static bool l3l2q_tomb_copy_counters(struct l3l2q_region *region, u64 offset,
				     u64 end)
{
	enum l3l2q_role role;
	u64 ones = end;
	s32 value;

	for (; offset < end; offset += sizeof(s32)) {
		value = l3l2q_counter_read(region, offset);
		if (value == -1)
			ones = min(ones, offset);
		for (role = 0; role < L3L2Q_ROLES; role++)
			region->tomb_counters[role][offset / sizeof(s32)] = value;
	}
	if (ones == end || !l3l2q_tomb_lost(region))
		return true;
	for (role = 0; role < L3L2Q_ROLES; role++)
		memset((void *)region->tomb_counters[role] + ones, 0,
		       end - ones);
	return false;
}

/*
 * The counters as last seen; zeroes from where the device stopped to answer. It takes
 * long to ask whether it does, and any counter may have all ones.
 */
static void l3l2q_tomb_fill_counters(struct l3l2q_region *region)
{
	u64 offset, end;

	if (l3l2q_tomb_lost(region))
		return;
	for (offset = 0; offset < region->counter_bytes; offset = end) {
		end = min_t(u64, offset + TOMB_STEP, region->counter_bytes);
		if (!l3l2q_tomb_copy_counters(region, offset, end))
			return;
		cond_resched();
	}
}

static void l3l2q_tomb_fill(struct l3l2q_region *region)
{
	enum l3l2q_role role;

	l3l2q_tomb_fill_counters(region);
	if (l3l2q_region_is_raw(region))
		return;
	for (role = 0; role < L3L2Q_ROLES; role++)
		region->last_abort[role] =
			region->tomb_words.mem[l3l2q_ctr_abort(role) /
					       sizeof(s32)];
	region->tomb_counters[L3L2Q_ROLE_L3]
			     [l3l2q_ctr_abort(L3L2Q_ROLE_L2) / sizeof(s32)] = 1;
	region->tomb_counters[L3L2Q_ROLE_L2]
			     [l3l2q_ctr_abort(L3L2Q_ROLE_L3) / sizeof(s32)] = 1;
}

/**
 * l3l2q_region_revoke() - let go of a region's memory
 * @region: which, held by the caller; a foreign one
 * @why: for people
 *
 * No mapping shows the memory afterwards, and everybody who slept has been told.
 * Kernel readers may still be at it: once synchronize_rcu() returns, nobody
 * touches it any more. A second call does nothing. May sleep, for page faults that
 * allocate page tables too, but never for user space.
 */
void l3l2q_region_revoke(struct l3l2q_region *region, enum l3l2q_removal why)
{
	enum l3l2q_role role;

	down_write(&region->revoke);
	if (region->revoked) {
		up_write(&region->revoke);
		return;
	}
	trace_l3l2q_revoke(region, why);
	/* Before the mappings change: who copied sees it and drops the copy. */
	smp_store_release(&region->status->removed, 1);
	unmap_mapping_range(region->inode->i_mapping, 0, 0, 1);
	l3l2q_tomb_fill(region);
	region->revoked = true;
	region->removal = why;
	rcu_assign_pointer(region->words, &region->tomb_words);
	up_write(&region->revoke);

	for (role = 0; role < L3L2Q_ROLES; role++) {
		l3l2q_endpoint_add_gone(&region->ep[role], L3L2Q_GONE_REMOVED);
		l3l2q_wake(&region->ep[role], true);
	}
}

/**
 * l3l2q_region_live() - is a region's memory still there
 * @region: which
 *
 * Return: whether it is, and stays until rcu_read_unlock().
 */
bool l3l2q_region_live(const struct l3l2q_region *region)
{
	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "l3l2q: memory may go away");
	return rcu_access_pointer(region->words) == &region->live;
}
