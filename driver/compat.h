/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One spelling for what kernels from 5.10 on spell differently. Each
 * L3L2Q_HAVE_* says that a probe of that name compiled against this kernel:
 * distributions backport such changes, so version numbers say nothing.
 */
#ifndef _L3L2Q_COMPAT_H
#define _L3L2Q_COMPAT_H

#include <linux/eventfd.h>
#include <linux/hrtimer.h>
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

static inline void l3l2q_eventfd_signal(struct eventfd_ctx *eventfd)
{
#ifdef L3L2Q_HAVE_EVENTFD_SIGNAL_ONE_ARG
	eventfd_signal(eventfd);
#else
	eventfd_signal(eventfd, 1);
#endif
}

static inline void
l3l2q_hrtimer_setup(struct hrtimer *timer,
		    enum hrtimer_restart (*function)(struct hrtimer *),
		    clockid_t clock, enum hrtimer_mode mode)
{
#ifdef L3L2Q_HAVE_HRTIMER_SETUP
	hrtimer_setup(timer, function, clock, mode);
#else
	hrtimer_init(timer, clock, mode);
	timer->function = function;
#endif
}

#endif /* _L3L2Q_COMPAT_H */
