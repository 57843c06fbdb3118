// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scanners: what wakes those whose peer only loads and stores.
 *
 * An endpoint with a silent peer enters its scanner's queue when somebody arms,
 * and leaves it once nobody sleeps any more. In between its counters are looked
 * at, at intervals that stretch while nothing happens. With an empty queue the
 * timer is not armed.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/time64.h>

#include "compat.h"
#include "internal.h"

/* Endpoints that one tick looks at, with interrupts on in between. */
#define SCAN_BATCH	64

/* What any period may be, in microseconds. */
#define SCAN_LOW_US	5
#define SCAN_HIGH_US	100000

static unsigned int poll_min_us = 20;
module_param(poll_min_us, uint, 0444);
MODULE_PARM_DESC(poll_min_us,
		 "Shortest period to poll a silent peer at, and where it starts, in microseconds (5-100000, default 20)");

static unsigned int poll_max_us = 1000;
module_param(poll_max_us, uint, 0444);
MODULE_PARM_DESC(poll_max_us,
		 "Period that polling a silent peer stretches to unless told otherwise, in microseconds (poll_min_us-100000, default 1000)");

u32 l3l2q_scan_lowest_ns(void)
{
	return poll_min_us * NSEC_PER_USEC;
}

u32 l3l2q_scan_highest_ns(void)
{
	return SCAN_HIGH_US * NSEC_PER_USEC;
}

u32 l3l2q_scan_user_min_ns(void)
{
	return l3l2q_scan_lowest_ns();
}

u32 l3l2q_scan_tick_regions(void)
{
	return SCAN_BATCH;
}

/* ---- the queue ---------------------------------------------------------- */

static bool l3l2q_scan_queued(const struct l3l2q_endpoint *ep)
{
	return !RB_EMPTY_NODE(&ep->scan.node);
}

static void l3l2q_scan_queue(struct l3l2q_scanner *scanner,
			     struct l3l2q_endpoint *ep)
{
	lockdep_assert_held(&scanner->lock);
	ep->scan.expires = ktime_add_ns(ktime_get(), ep->period_ns);
	timerqueue_add(&scanner->queue, &ep->scan);
}

/* Even if it is late, the timer leaves the processor to others in between. */
static void l3l2q_scanner_start(struct l3l2q_scanner *scanner)
{
	struct timerqueue_node *next = timerqueue_getnext(&scanner->queue);
	ktime_t soonest;

	lockdep_assert_held(&scanner->lock);
	if (!next)
		return;
	soonest = ktime_add_us(ktime_get(), SCAN_LOW_US);
	hrtimer_start(&scanner->timer, max(next->expires, soonest),
		      HRTIMER_MODE_ABS_SOFT);
}

/**
 * l3l2q_scan_add() - have a role's counters looked at if its peer is silent
 * @ep: which; the caller has queued itself and armed
 *
 * In the queue already, it stays where it is.
 */
void l3l2q_scan_add(struct l3l2q_endpoint *ep)
{
	struct l3l2q_scanner *scanner = ep->region->scanner;
	unsigned long flags;

	/* Whoever comes after a removal sees it and does not sleep. */
	if (READ_ONCE(ep->peer_kind) != L3L2Q_PEER_SILENT ||
	    l3l2q_region_removed(ep->region))
		return;

	spin_lock_irqsave(&scanner->lock, flags);
	if (!l3l2q_scan_queued(ep)) {
		ep->period_ns = ep->min_ns;
		l3l2q_scan_queue(scanner, ep);
		if (timerqueue_getnext(&scanner->queue) == &ep->scan)
			l3l2q_scanner_start(scanner);
	}
	spin_unlock_irqrestore(&scanner->lock, flags);
}

/**
 * l3l2q_scan_del() - no scanner knows of a role any more
 * @ep: which; nobody can arm it again
 */
void l3l2q_scan_del(struct l3l2q_endpoint *ep)
{
	struct l3l2q_scanner *scanner = ep->region->scanner;
	unsigned long flags;

	spin_lock_irqsave(&scanner->lock, flags);
	if (l3l2q_scan_queued(ep))
		timerqueue_del(&scanner->queue, &ep->scan);
	spin_unlock_irqrestore(&scanner->lock, flags);
}

/* ---- ticks -------------------------------------------------------------- */

/* Look at one role; return whether to do so again. */
static bool l3l2q_scan_one(struct l3l2q_endpoint *ep)
{
	enum l3l2q_sleepers sleepers;

	lockdep_assert_held(&ep->region->scanner->lock);
	if (ep->peer_kind != L3L2Q_PEER_SILENT || l3l2q_endpoint_ended(ep) ||
	    l3l2q_region_removed(ep->region))
		return false;

	sleepers = l3l2q_sleepers(ep);
	if (sleepers == L3L2Q_SLEEPERS_NONE)
		return false;

	l3l2q_stat_inc(ep, L3L2Q_STAT_TIMER_TICKS);
	if (sleepers == L3L2Q_SLEEPERS_READY) {
		l3l2q_stat_inc(ep, L3L2Q_STAT_TIMER_WAKEUPS);
		l3l2q_wake(ep, false);
		ep->period_ns = ep->min_ns;
		sleepers = l3l2q_sleepers(ep);
	} else {
		ep->period_ns = min(2 * ep->period_ns, ep->max_ns);
	}
	return sleepers != L3L2Q_SLEEPERS_NONE;
}

/* Look at the role that is due next; return whether there was one. */
static bool l3l2q_scan_next(struct l3l2q_scanner *scanner)
{
	struct timerqueue_node *next;
	struct l3l2q_endpoint *ep;
	unsigned long flags;
	bool due;

	spin_lock_irqsave(&scanner->lock, flags);
	next = timerqueue_getnext(&scanner->queue);
	due = next && next->expires <= ktime_get();
	if (due) {
		ep = container_of(next, struct l3l2q_endpoint, scan);
		timerqueue_del(&scanner->queue, next);
		if (l3l2q_scan_one(ep))
			l3l2q_scan_queue(scanner, ep);
	}
	spin_unlock_irqrestore(&scanner->lock, flags);
	return due;
}

static enum hrtimer_restart l3l2q_scanner_tick(struct hrtimer *timer)
{
	struct l3l2q_scanner *scanner =
		container_of(timer, struct l3l2q_scanner, timer);
	unsigned long flags;
	int i;

	for (i = 0; i < SCAN_BATCH && l3l2q_scan_next(scanner); i++)
		;

	/* Under the lock, as in l3l2q_scan_add(): hence not by HRTIMER_RESTART. */
	spin_lock_irqsave(&scanner->lock, flags);
	l3l2q_scanner_start(scanner);
	spin_unlock_irqrestore(&scanner->lock, flags);
	return HRTIMER_NORESTART;
}

/* ---- SET_POLLING -------------------------------------------------------- */

/**
 * l3l2q_scan_init() - set up what the scanner needs to know of a role
 * @ep: which
 * @peer_kind: enum l3l2q_peer_kind
 */
void l3l2q_scan_init(struct l3l2q_endpoint *ep, u32 peer_kind)
{
	timerqueue_init(&ep->scan);
	ep->peer_kind = peer_kind;
	ep->min_ns = poll_min_us * NSEC_PER_USEC;
	ep->max_ns = poll_max_us * NSEC_PER_USEC;
}

/**
 * l3l2q_scan_peer_attached() - the peer has turned out to be a process
 * @ep: whose peer
 *
 * It arms, then, unless it was said not to.
 */
void l3l2q_scan_peer_attached(struct l3l2q_endpoint *ep)
{
	struct l3l2q_scanner *scanner = ep->region->scanner;
	unsigned long flags;

	spin_lock_irqsave(&scanner->lock, flags);
	if (ep->peer_kind == L3L2Q_PEER_RINGS)
		WRITE_ONCE(ep->peer_kind, L3L2Q_PEER_ARMS);
	spin_unlock_irqrestore(&scanner->lock, flags);
}

int l3l2q_ioctl_set_polling(struct l3l2q_ucmd *ucmd)
{
	const struct l3l2q_set_polling *cmd = ucmd->cmd;
	u32 min_ns = cmd->min_ns ?: poll_min_us * NSEC_PER_USEC;
	u32 max_ns = cmd->max_ns ?: poll_max_us * NSEC_PER_USEC;
	struct l3l2q_endpoint *ep = ucmd->ep;
	struct l3l2q_scanner *scanner = ep->region->scanner;
	unsigned long flags;

	if (cmd->pad || cmd->peer_kind > L3L2Q_PEER_SILENT)
		return -EINVAL;
	if (cmd->peer_kind == L3L2Q_PEER_RINGS &&
	    ep->region->peer_kind != L3L2Q_PEER_RINGS)
		return -EINVAL;
	if (min_ns < l3l2q_scan_lowest_ns() ||
	    max_ns > l3l2q_scan_highest_ns() || min_ns > max_ns)
		return -EINVAL;

	spin_lock_irqsave(&scanner->lock, flags);
	WRITE_ONCE(ep->peer_kind, cmd->peer_kind);
	ep->min_ns = min_ns;
	ep->max_ns = max_ns;
	ep->period_ns = min_ns;
	spin_unlock_irqrestore(&scanner->lock, flags);

	/* Somebody may sleep already, and the peer may have gone silent. */
	l3l2q_scan_add(ep);
	return 0;
}

/* ---- scanners ----------------------------------------------------------- */

/**
 * l3l2q_scanner_init() - set up a scanner
 * @scanner: which
 *
 * Return: 0, or -EINVAL if the module parameters make no sense.
 */
int l3l2q_scanner_init(struct l3l2q_scanner *scanner)
{
	if (poll_min_us < SCAN_LOW_US || poll_max_us > SCAN_HIGH_US ||
	    poll_min_us > poll_max_us) {
		pr_err("poll_min_us=%u poll_max_us=%u: not within %u-%u\n",
		       poll_min_us, poll_max_us, SCAN_LOW_US, SCAN_HIGH_US);
		return -EINVAL;
	}

	spin_lock_init(&scanner->lock);
	timerqueue_init_head(&scanner->queue);
	l3l2q_hrtimer_setup(&scanner->timer, l3l2q_scanner_tick,
			    CLOCK_MONOTONIC, HRTIMER_MODE_ABS_SOFT);
	return 0;
}

/**
 * l3l2q_scanner_fini() - stop a scanner
 * @scanner: which; its queue is empty
 */
void l3l2q_scanner_fini(struct l3l2q_scanner *scanner)
{
	hrtimer_cancel(&scanner->timer);
}
