/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One spelling for what kernels from 5.10 on spell differently. Each
 * L3L2Q_HAVE_* says that a probe of that name compiled against this kernel:
 * distributions backport such changes, so version numbers say nothing.
 */
#ifndef _L3L2Q_COMPAT_H
#define _L3L2Q_COMPAT_H

#include <linux/mm.h>

static inline void l3l2q_vm_flags_mod(struct vm_area_struct *vma,
				      unsigned long set, unsigned long clear)
{
#ifdef L3L2Q_HAVE_VM_FLAGS_SET
	vm_flags_set(vma, set);
	vm_flags_clear(vma, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

#endif /* _L3L2Q_COMPAT_H */
