// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scanners: what wakes those whose peer only loads and stores.
 *
 * An endpoint with a silent peer enters its scanner's queue when somebody arms,
 * and leaves it once nobody sleeps any more. In between its counters are looked
 * at, at intervals that stretch while nothing happens. With an empty queue the
 * timer is not armed.
 *
 * Each user has a queue, a share of the scanner. The tick takes one endpoint after
 * the other from the share whose turn it is, and looks at it without the lock that
 * other users take. What the look has cost is charged to the share, which has no
 * turn until that is paid for: at the rate of 5 % of a processor less what the other
 * shares use, but of an even part at least. So a user with many endpoints, or with
 * many sleepers on one, has his own periods stretched and nobody else's.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/time64.h>
#include <linux/user_namespace.h>

#include "compat.h"
#include "internal.h"
#include "trace.h"

/* Endpoints that one tick looks at, and for how long it does. */
#define SCAN_BATCH	64
#define SCAN_TICK_NS	50000

/*
 * A scanner uses at most 5 % of a processor, measured over intervals of 17 ms, and a
 * share may use that of a few milliseconds at once.
 */
#define SCAN_WINDOW_SHIFT	24
#define SCAN_BUDGET_NS		(BIT(SCAN_WINDOW_SHIFT) / 20)
#define SCAN_BURST_NS		(4 * NSEC_PER_MSEC)
#define SCAN_COST_MAX_NS	(200 * NSEC_PER_USEC)

/* What a tick costs outside its handler: the timer's interrupt and its softirq. */
#define SCAN_ENTRY_NS		500

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

static unsigned int poll_user_min_us;
module_param(poll_user_min_us, uint, 0644);
MODULE_PARM_DESC(poll_user_min_us,
		 "Shortest period that SET_POLLING takes from a user without CAP_SYS_RESOURCE, in microseconds (poll_min_us-100000, default 0: poll_min_us)");

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
	u32 us = clamp(READ_ONCE(poll_user_min_us), poll_min_us,
		       (unsigned int)SCAN_HIGH_US);

	return us * NSEC_PER_USEC;
}

u32 l3l2q_scan_tick_regions(void)
{
	return SCAN_BATCH;
}

/* ---- time --------------------------------------------------------------- */

/* Which interval of time it is. */
static u64 l3l2q_scan_window(u64 now)
{
	return now >> SCAN_WINDOW_SHIFT;
}

static void l3l2q_scan_time_roll(struct l3l2q_scan_time *time, u64 window)
{
	if (time->window == window)
		return;
	time->last = time->window + 1 == window ? time->used : 0;
	time->used = 0;
	time->window = window;
}

/*
 * How much a share may use in an interval: what the others have left in the last
 * one, and an even part at least.
 */
static u32 l3l2q_scan_allowed(const struct l3l2q_scanner *scanner,
			      const struct l3l2q_scan_share *share)
{
	u64 others = scanner->time.last - min(share->time.last,
					      scanner->time.last);
	u32 left = SCAN_BUDGET_NS - min_t(u64, others, SCAN_BUDGET_NS);
	u32 part = SCAN_BUDGET_NS / max(scanner->nr_active, 1u);

	return max3(left, part, 1u);
}

/* A look has cost @cost: the share pays for it by not being looked at for a while. */
static void l3l2q_scan_charge(struct l3l2q_scanner *scanner,
			      struct l3l2q_scan_share *share, u64 now, u64 cost)
{
	u64 window = l3l2q_scan_window(now);

	lockdep_assert_held(&scanner->lock);
	/* Most of what is longer was not ours but a hypervisor's. */
	cost = min_t(u64, cost, SCAN_COST_MAX_NS);
	l3l2q_scan_time_roll(&scanner->time, window);
	l3l2q_scan_time_roll(&share->time, window);
	scanner->time.used += cost;
	share->time.used += cost;
	share->paid = max(share->paid, now) +
		      div_u64(cost << SCAN_WINDOW_SHIFT,
			      l3l2q_scan_allowed(scanner, share));
}

/* ---- the queue ---------------------------------------------------------- */

/* Put a share where it belongs among the others, after a change. */
static void l3l2q_share_requeue(struct l3l2q_scanner *scanner,
				struct l3l2q_scan_share *share)
{
	struct timerqueue_node *next = timerqueue_getnext(&share->queue);
	ktime_t paid = 0;

	lockdep_assert_held(&scanner->lock);
	if (!RB_EMPTY_NODE(&share->turn.node))
		timerqueue_del(&scanner->turns, &share->turn);
	if (!next)
		return;
	if (share->paid > SCAN_BURST_NS)
		paid = share->paid - SCAN_BURST_NS;
	share->turn.expires = max(next->expires, paid);
	timerqueue_add(&scanner->turns, &share->turn);
}

static void l3l2q_scan_queue(struct l3l2q_scanner *scanner,
			     struct l3l2q_endpoint *ep)
{
	struct l3l2q_scan_share *share = ep->region->share;

	lockdep_assert_held(&scanner->lock);
	if (!share->nr++)
		scanner->nr_active++;
	ep->scan.expires = ktime_add_ns(ktime_get(), ep->period_ns);
	timerqueue_add(&share->queue, &ep->scan);
	WRITE_ONCE(ep->scan_queued, true);
	l3l2q_share_requeue(scanner, share);
}

/* It is in the queue no more, nor looked at. */
static void l3l2q_scan_idle(struct l3l2q_scanner *scanner,
			    struct l3l2q_endpoint *ep)
{
	struct l3l2q_scan_share *share = ep->region->share;

	lockdep_assert_held(&scanner->lock);
	if (!--share->nr)
		scanner->nr_active--;
}

static void l3l2q_scan_unqueue(struct l3l2q_scanner *scanner,
			       struct l3l2q_endpoint *ep)
{
	struct l3l2q_scan_share *share = ep->region->share;

	lockdep_assert_held(&scanner->lock);
	timerqueue_del(&share->queue, &ep->scan);
	WRITE_ONCE(ep->scan_queued, false);
	l3l2q_share_requeue(scanner, share);
}

/* Even if it is late, the timer leaves the processor to others in between. */
static void l3l2q_scanner_start(struct l3l2q_scanner *scanner)
{
	struct timerqueue_node *next = timerqueue_getnext(&scanner->turns);
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
 * @ep: which; the caller has queued itself and armed, with a full barrier since
 *
 * In the queue already, it stays where it is, and no lock is taken.
 */
void l3l2q_scan_add(struct l3l2q_endpoint *ep)
{
	struct l3l2q_scanner *scanner = ep->region->scanner;

	/* After a removal all sleepers see it and do not sleep. */
	if (READ_ONCE(ep->peer_kind) != L3L2Q_PEER_SILENT ||
	    l3l2q_region_removed(ep->region))
		return;

	/*
	 * The caller's barrier pairs with the one in l3l2q_scan_next(): that look
	 * sees the caller, or this sees that the role is not in the queue.
	 */
	if (READ_ONCE(ep->scan_queued))
		return;

	spin_lock_bh(&scanner->lock);
	if (scanner->looking == ep) {
		scanner->again = true;
	} else if (!ep->scan_queued) {
		ep->period_ns = ep->min_ns;
		l3l2q_scan_queue(scanner, ep);
		if (timerqueue_getnext(&scanner->turns) ==
		    &ep->region->share->turn)
			l3l2q_scanner_start(scanner);
	}
	spin_unlock_bh(&scanner->lock);
}

/* Return whether the tick is looking at it at the moment. */
static bool l3l2q_scan_remove(struct l3l2q_scanner *scanner,
			      struct l3l2q_endpoint *ep)
{
	bool looking;

	spin_lock_bh(&scanner->lock);
	if (ep->scan_queued) {
		l3l2q_scan_unqueue(scanner, ep);
		l3l2q_scan_idle(scanner, ep);
	}
	looking = scanner->looking == ep;
	spin_unlock_bh(&scanner->lock);
	return looking;
}

/**
 * l3l2q_scan_del() - no scanner knows of a role any more
 * @ep: which; nobody can arm it again
 *
 * May sleep.
 */
void l3l2q_scan_del(struct l3l2q_endpoint *ep)
{
	struct l3l2q_scanner *scanner = ep->region->scanner;

	if (!l3l2q_scan_remove(scanner, ep))
		return;
	/* Wait for the tick, which may put it back once, and go on with the rest. */
	hrtimer_cancel(&scanner->timer);
	l3l2q_scan_remove(scanner, ep);
	spin_lock_bh(&scanner->lock);
	l3l2q_scanner_start(scanner);
	spin_unlock_bh(&scanner->lock);
}

/* ---- ticks -------------------------------------------------------------- */

/* Look at one role, without a lock of others; return what there was. */
static enum l3l2q_sleepers l3l2q_scan_one(struct l3l2q_endpoint *ep, bool *woken)
{
	enum l3l2q_sleepers sleepers;

	if (READ_ONCE(ep->peer_kind) != L3L2Q_PEER_SILENT ||
	    l3l2q_endpoint_ended(ep) || l3l2q_region_removed(ep->region))
		return L3L2Q_SLEEPERS_NONE;

	sleepers = l3l2q_sleepers(ep);
	if (sleepers == L3L2Q_SLEEPERS_NONE)
		return sleepers;

	l3l2q_stat_inc(ep, L3L2Q_STAT_TIMER_TICKS);
	trace_l3l2q_scan(ep, sleepers == L3L2Q_SLEEPERS_READY);
	if (sleepers == L3L2Q_SLEEPERS_READY) {
		l3l2q_stat_inc(ep, L3L2Q_STAT_TIMER_WAKEUPS);
		l3l2q_wake(ep, false);
		*woken = true;
		sleepers = l3l2q_sleepers(ep);
	}
	return sleepers;
}

/* Take the role whose turn it is, or NULL. */
static struct l3l2q_endpoint *l3l2q_scan_take(struct l3l2q_scanner *scanner)
{
	struct l3l2q_endpoint *ep = NULL;
	struct l3l2q_scan_share *share;
	struct timerqueue_node *turn;

	spin_lock_bh(&scanner->lock);
	turn = timerqueue_getnext(&scanner->turns);
	if (turn && turn->expires <= ktime_get()) {
		share = container_of(turn, struct l3l2q_scan_share, turn);
		ep = container_of(timerqueue_getnext(&share->queue),
				  struct l3l2q_endpoint, scan);
		l3l2q_scan_unqueue(scanner, ep);
		scanner->looking = ep;
		scanner->again = false;
	}
	spin_unlock_bh(&scanner->lock);
	return ep;
}

/*
 * Look at the role whose turn it is; return whether there was one. Time is accounted
 * for from @mark on, which is moved on.
 */
static bool l3l2q_scan_next(struct l3l2q_scanner *scanner, u64 *mark)
{
	struct l3l2q_endpoint *ep = l3l2q_scan_take(scanner);
	enum l3l2q_sleepers sleepers;
	bool woken = false;
	u64 now;

	if (!ep)
		return false;

	/* Pairs with the one in l3l2q_scan_add(). */
	smp_mb();
	sleepers = l3l2q_scan_one(ep, &woken);

	/* The role does not go away before this is over: l3l2q_scan_del(). */
	spin_lock_bh(&scanner->lock);
	now = ktime_get_ns();
	l3l2q_scan_charge(scanner, ep->region->share, now,
			  now - *mark + scanner->carry);
	scanner->carry = 0;
	*mark = now;
	ep->period_ns = woken ? ep->min_ns : min(2 * ep->period_ns, ep->max_ns);
	scanner->looking = NULL;
	if (sleepers != L3L2Q_SLEEPERS_NONE || scanner->again)
		l3l2q_scan_queue(scanner, ep);
	else
		l3l2q_share_requeue(scanner, ep->region->share);
	/* It counted while it was looked at. */
	l3l2q_scan_idle(scanner, ep);
	spin_unlock_bh(&scanner->lock);
	return true;
}

static enum hrtimer_restart l3l2q_scanner_tick(struct hrtimer *timer)
{
	struct l3l2q_scanner *scanner =
		container_of(timer, struct l3l2q_scanner, timer);
	u64 start = ktime_get_ns(), mark = start;
	int i;

	for (i = 0; i < SCAN_BATCH && mark - start < SCAN_TICK_NS; i++) {
		if (!l3l2q_scan_next(scanner, &mark))
			break;
	}

	/* Under the lock, as in l3l2q_scan_add(): hence not by HRTIMER_RESTART. */
	spin_lock_bh(&scanner->lock);
	l3l2q_scanner_start(scanner);
	spin_unlock_bh(&scanner->lock);
	scanner->carry += ktime_get_ns() - mark + SCAN_ENTRY_NS;
	return HRTIMER_NORESTART;
}

/* ---- shares ------------------------------------------------------------- */

/*
 * The user in the initial namespace's terms who answers for the caller: a user has
 * many ids in namespaces of his own, and one share of a scanner's time.
 */
static kuid_t l3l2q_scan_uid(void)
{
	struct user_namespace *ns;
	kuid_t uid = current_uid();

	for (ns = current_user_ns(); ns->parent; ns = ns->parent)
		uid = ns->owner;
	return uid;
}

static struct l3l2q_scan_share *
l3l2q_share_find(struct l3l2q_scanner *scanner, kuid_t uid)
{
	struct l3l2q_scan_share *share;

	lockdep_assert_held(&scanner->lock);
	list_for_each_entry(share, &scanner->shares, node) {
		if (uid_eq(share->uid, uid))
			return share;
	}
	return NULL;
}

/**
 * l3l2q_scan_join() - have the caller's share answer for a new region
 * @region: which, whose scanner is known
 *
 * Return: 0 or -ENOMEM.
 */
int l3l2q_scan_join(struct l3l2q_region *region)
{
	struct l3l2q_scanner *scanner = region->scanner;
	struct l3l2q_scan_share *share, *fresh;

	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!fresh)
		return -ENOMEM;
	fresh->uid = l3l2q_scan_uid();
	timerqueue_init_head(&fresh->queue);
	timerqueue_init(&fresh->turn);

	spin_lock_bh(&scanner->lock);
	share = l3l2q_share_find(scanner, fresh->uid);
	if (!share) {
		share = fresh;
		fresh = NULL;
		list_add(&share->node, &scanner->shares);
	}
	share->regions++;
	region->share = share;
	spin_unlock_bh(&scanner->lock);
	kfree(fresh);
	return 0;
}

/**
 * l3l2q_scan_leave() - undo l3l2q_scan_join(), if it was done
 * @region: which; its roles are not known to the scanner
 */
void l3l2q_scan_leave(struct l3l2q_region *region)
{
	struct l3l2q_scanner *scanner = region->scanner;
	struct l3l2q_scan_share *share = region->share;

	if (!share)
		return;
	spin_lock_bh(&scanner->lock);
	if (--share->regions)
		share = NULL;
	else
		list_del(&share->node);
	spin_unlock_bh(&scanner->lock);
	kfree(share);
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

	spin_lock_bh(&scanner->lock);
	if (ep->peer_kind == L3L2Q_PEER_RINGS)
		WRITE_ONCE(ep->peer_kind, L3L2Q_PEER_ARMS);
	spin_unlock_bh(&scanner->lock);
}

int l3l2q_ioctl_set_polling(struct l3l2q_ucmd *ucmd)
{
	const struct l3l2q_set_polling *cmd = ucmd->cmd;
	u32 min_ns = cmd->min_ns ?: poll_min_us * NSEC_PER_USEC;
	u32 max_ns = cmd->max_ns ?: poll_max_us * NSEC_PER_USEC;
	struct l3l2q_endpoint *ep = ucmd->ep;
	struct l3l2q_scanner *scanner = ep->region->scanner;

	if (cmd->pad || cmd->peer_kind > L3L2Q_PEER_SILENT)
		return -EINVAL;
	if (cmd->peer_kind == L3L2Q_PEER_RINGS &&
	    ep->region->peer_kind != L3L2Q_PEER_RINGS)
		return -EINVAL;
	if (min_ns < l3l2q_scan_lowest_ns() ||
	    max_ns > l3l2q_scan_highest_ns() || min_ns > max_ns)
		return -EINVAL;
	/* The defaults are for all. */
	if (((cmd->min_ns && min_ns < l3l2q_scan_user_min_ns()) ||
	     (cmd->max_ns && max_ns < l3l2q_scan_user_min_ns())) &&
	    !capable(CAP_SYS_RESOURCE))
		return -EPERM;

	spin_lock_bh(&scanner->lock);
	WRITE_ONCE(ep->peer_kind, cmd->peer_kind);
	ep->min_ns = min_ns;
	ep->max_ns = max_ns;
	ep->period_ns = min_ns;
	spin_unlock_bh(&scanner->lock);

	/*
	 * Somebody may sleep already, and the peer may have gone silent. Between that
	 * and reading @scan_queued, as l3l2q_scan_add() wants it.
	 */
	smp_mb();
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
	timerqueue_init_head(&scanner->turns);
	INIT_LIST_HEAD(&scanner->shares);
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
