// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sleeping and waking.
 *
 * Each role has a word `armed` in its control page, which tells its peer that
 * somebody sleeps. Three parties touch it:
 *
 *   a sleeper	queues itself, ors its bits in, full barrier, looks, sleeps
 *   a waker	stores a counter, full barrier, reads the word; if it is set
 *		calls KICK (from user space) or l3l2q_wake() (NOTIFY)
 *   the kernel	takes the word with xchg(), which is a full barrier too, and
 *		wakes all who may have set it
 *
 * Either the sleeper's look sees the waker's store or the waker sees the
 * sleeper's bits: the two barriers make it so. The sleepers are
 *
 *   poll, select, epoll	on ->wq; all of them are woken and look again
 *   WAIT and eventfds		as struct l3l2q_watch; those whose condition holds
 *				are woken, for the others the kernel arms again
 *
 * so that a bit that several share cannot be lost. Somebody may be woken, or an
 * eventfd signalled, once more than needed; never once less.
 */
#include <linux/eventfd.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "internal.h"

#define L3L2Q_HUNG_UP	(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP)

/* ---- looking ------------------------------------------------------------ */

static u32 l3l2q_look_queue(struct l3l2q_endpoint *ep)
{
	const struct l3l2q_region *region = ep->region;
	const struct l3l2q_control *control = ep->control;
	enum l3l2q_role role = ep->role, peer = l3l2q_peer_role(role);
	u32 events = 0;
	u32 flags;

	/* The flags first: the owner releases them after what they validate. */
	flags = smp_load_acquire(&control->consumer_flags);
	if (l3l2q_readable(l3l2q_counter_read(region, l3l2q_ctr_tail(peer)),
			   l3l2q_counter_read(region, l3l2q_ctr_head(peer)),
			   flags, READ_ONCE(control->seen_tail)))
		events |= L3L2Q_EVENT_IN;

	/* Likewise. */
	flags = smp_load_acquire(&control->producer_flags);
	if (l3l2q_writable(l3l2q_counter_read(region, l3l2q_ctr_tail(role)),
			   l3l2q_counter_read(region, l3l2q_ctr_head(role)),
			   region->layout.depth, flags,
			   READ_ONCE(control->need_head)))
		events |= L3L2Q_EVENT_OUT;

	if (l3l2q_abort_is_set(l3l2q_counter_read(region,
						  l3l2q_ctr_abort(peer))))
		events |= L3L2Q_EVENT_ABORT;
	return events;
}

/**
 * l3l2q_look() - what holds for a role at the moment
 * @ep: which
 *
 * Reads counters and the role's own control page, nothing else of what users
 * can write, and trusts neither.
 *
 * Return: L3L2Q_EVENT_*.
 */
u32 l3l2q_look(struct l3l2q_endpoint *ep)
{
	u32 events = 0;

	/* A state is published after its abort flag: look in that order. */
	if (l3l2q_endpoint_ended(l3l2q_peer(ep)) || l3l2q_endpoint_ended(ep) ||
	    l3l2q_region_removed(ep->region))
		events |= L3L2Q_EVENT_HUP;
	if (!l3l2q_region_is_raw(ep->region))
		events |= l3l2q_look_queue(ep);
	return events;
}

/* ---- arming ------------------------------------------------------------- */

/* User space writes this word too, by aligned 32-bit atomics. */
static atomic_t *l3l2q_armed_word(const struct l3l2q_endpoint *ep)
{
	BUILD_BUG_ON(sizeof(atomic_t) != sizeof(ep->control->armed));
	return (atomic_t *)&ep->control->armed;
}

u32 l3l2q_armed(const struct l3l2q_endpoint *ep)
{
	return atomic_read(l3l2q_armed_word(ep));
}

/**
 * l3l2q_arm() - ask the peer to wake this role
 * @ep: which
 * @bits: of l3l2q_control.armed
 *
 * The caller has queued itself and looks afterwards.
 */
void l3l2q_arm(struct l3l2q_endpoint *ep, u32 bits)
{
	if (~l3l2q_armed(ep) & bits)
		atomic_or(bits, l3l2q_armed_word(ep));
	/*
	 * Between the bits and the look. Pairs with the one in l3l2q_wake(), and
	 * with the fence between a counter's store and the load of `armed` in a
	 * peer's user space. Bits that were set already need it no less.
	 */
	smp_mb();
}

/* ---- waking ------------------------------------------------------------- */

/* How many watch, for fdinfo. */
size_t l3l2q_watches(struct l3l2q_endpoint *ep)
{
	unsigned long flags;
	struct list_head *node;
	size_t nr = 0;

	spin_lock_irqsave(&ep->lock, flags);
	list_for_each(node, &ep->watches)
		nr++;
	spin_unlock_irqrestore(&ep->lock, flags);
	return nr;
}

/**
 * l3l2q_wake() - wake a role's sleepers if there are any
 * @ep: the role
 * @force: even if `armed` does not say so: the role or its peer has ended
 *
 * The caller has stored what they wait for. Any context.
 */
void l3l2q_wake(struct l3l2q_endpoint *ep, bool force)
{
	u32 armed;

	/*
	 * Between what they wait for and `armed`; pairs with l3l2q_arm() and with
	 * the fence between the store to `armed` and the look in user space.
	 */
	smp_mb();
	if (!force && !l3l2q_armed(ep))
		return;

	armed = atomic_xchg(l3l2q_armed_word(ep), 0);
	if (!force && !armed)
		return;

	l3l2q_stat_inc(ep, L3L2Q_STAT_WAKEUPS);
	/* Without a key: those who poll decide by looking. */
	wake_up_all(&ep->wq);
}

/* ---- poll, KICK --------------------------------------------------------- */

static u32 l3l2q_poll_bits(__poll_t requested)
{
	u32 bits = L3L2Q_EVENT_ABORT;

	if (requested & (EPOLLIN | EPOLLRDNORM))
		bits |= L3L2Q_EVENT_IN;
	if (requested & (EPOLLOUT | EPOLLWRNORM))
		bits |= L3L2Q_EVENT_OUT;
	return bits;
}

static __poll_t l3l2q_poll_mask(u32 events)
{
	__poll_t mask = 0;

	if (events & L3L2Q_EVENT_IN)
		mask |= EPOLLIN | EPOLLRDNORM;
	if (events & L3L2Q_EVENT_OUT)
		mask |= EPOLLOUT | EPOLLWRNORM;
	if (events & L3L2Q_EVENT_ABORT)
		mask |= EPOLLPRI | EPOLLERR;
	if (events & L3L2Q_EVENT_HUP)
		mask |= EPOLLHUP;
	return mask;
}

/*
 * Arms on every call, also when there is no queue to add to and when it returns
 * events: epoll's entries stay queued for ever, and epoll asks again only about
 * those that it believes ready.
 */
__poll_t l3l2q_endpoint_poll(struct file *file, poll_table *pt)
{
	struct l3l2q_endpoint *ep = file->private_data;

	l3l2q_stat_inc(ep, L3L2Q_STAT_POLLS);
	poll_wait(file, &ep->wq, pt);
	if (!l3l2q_endpoint_ended(ep))
		l3l2q_arm(ep, l3l2q_poll_bits(poll_requested_events(pt)));
	return l3l2q_poll_mask(l3l2q_look(ep));
}

/* KICK */
int l3l2q_ioctl_kick(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_endpoint *ep = ucmd->ep;

	l3l2q_stat_inc(ep, L3L2Q_STAT_KICKS);
	if (ucmd->flags & L3L2Q_KICK_SELF) {
		l3l2q_wake(ep, false);
		return 0;
	}

	l3l2q_wake(l3l2q_peer(ep), false);
	if (l3l2q_region_is_raw(ep->region))
		l3l2q_wake(ep, false);
	return 0;
}
