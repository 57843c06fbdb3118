// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who sleeps, and how they are woken.
 *
 * Each role has a word `armed` in its control page, which tells its peer that
 * somebody sleeps. Three parties touch it:
 *
 *   a sleeper	queues itself, ors its bits in, full barrier, looks, sleeps
 *   a waker	stores a counter, full barrier, reads the word; if it is set
 *		calls KICK (from user space) or l3l2q_wake() (NOTIFY)
 *   the kernel takes the event bits by an atomic, a full barrier too, and
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
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>

#include "compat.h"
#include "internal.h"
#include "trace.h"

/* ---- looking ------------------------------------------------------------ */

/* A flag of all ones or zero may be a device that is gone. */
static void l3l2q_look_lost(struct l3l2q_region *region, s32 flag)
{
	rcu_read_lock();
	if (l3l2q_region_live(region) && region->ops->lost)
		region->ops->lost(region, flag);
	rcu_read_unlock();
}

/* Whether there is something to acquire. Own words say it where they do. */
static bool l3l2q_look_in(const struct l3l2q_words *words,
			  const struct l3l2q_endpoint *ep)
{
	const struct l3l2q_control *control = ep->control;
	enum l3l2q_role peer = l3l2q_peer_role(ep->role);
	/* The flags first: the owner releases them after what they validate. */
	u32 flags = smp_load_acquire(&control->consumer_flags);
	s32 head = 0;

	if (!(flags & L3L2Q_CONSUMER_SEEN))
		head = l3l2q_words_read(words, l3l2q_ctr_head(peer));
	return l3l2q_readable(l3l2q_words_read(words, l3l2q_ctr_tail(peer)),
			      head, flags, READ_ONCE(control->seen_tail));
}

/* Whether the producer may get on. */
static bool l3l2q_look_out(const struct l3l2q_words *words,
			   const struct l3l2q_endpoint *ep)
{
	const struct l3l2q_control *control = ep->control;
	/* As above. */
	u32 flags = smp_load_acquire(&control->producer_flags);
	s32 tail = 0;

	if (!(flags & L3L2Q_PRODUCER_NEED))
		tail = l3l2q_words_read(words, l3l2q_ctr_tail(ep->role));
	return l3l2q_writable(tail,
			      l3l2q_words_read(words, l3l2q_ctr_head(ep->role)),
			      ep->region->layout.depth, flags,
			      READ_ONCE(control->need_head));
}

static u32 l3l2q_look_queue(struct l3l2q_endpoint *ep, u32 want)
{
	enum l3l2q_role peer = l3l2q_peer_role(ep->role);
	struct l3l2q_region *region = ep->region;
	const struct l3l2q_words *words;
	u32 events = 0;
	s32 flag = 0;

	rcu_read_lock();
	words = rcu_dereference(region->words);
	if ((want & L3L2Q_EVENT_IN) && l3l2q_look_in(words, ep))
		events |= L3L2Q_EVENT_IN;
	if ((want & L3L2Q_EVENT_OUT) && l3l2q_look_out(words, ep))
		events |= L3L2Q_EVENT_OUT;
	/* Of a device also for its own sake: it may be gone. */
	if ((want & L3L2Q_EVENT_ABORT) || region->ops->lost)
		flag = l3l2q_words_read(words, l3l2q_ctr_abort(peer));
	rcu_read_unlock();

	if (l3l2q_abort_is_set(flag)) {
		events |= L3L2Q_EVENT_ABORT;
		l3l2q_endpoint_add_gone(ep, L3L2Q_GONE_ABORTED);
	} else if (region->ops->lost) {
		l3l2q_look_lost(region, flag);
	}
	return events;
}

/**
 * l3l2q_look() - what holds for a role at the moment
 * @ep: which
 * @want: L3L2Q_EVENT_* that the caller is interested in
 *
 * Reads counters and the role's own control page, nothing else of what users
 * can write, and trusts neither.
 *
 * Return: those of @want that hold, and maybe others that do.
 */
u32 l3l2q_look(struct l3l2q_endpoint *ep, u32 want)
{
	u32 events = 0;

	/* A state is published after its abort flag: look in that order. */
	if (l3l2q_endpoint_ended(l3l2q_peer(ep)) || l3l2q_endpoint_ended(ep))
		events |= L3L2Q_EVENT_HUP;
	if (!l3l2q_region_is_raw(ep->region))
		events |= l3l2q_look_queue(ep, want);
	else if (ep->region->ops->lost)
		l3l2q_look_lost(ep->region, 0);
	/* Last, so that nothing of a tomb is reported without it. */
	if (l3l2q_region_removed(ep->region)) {
		events |= L3L2Q_EVENT_HUP;
		if (!l3l2q_region_is_raw(ep->region))
			events |= L3L2Q_EVENT_ABORT;
	}
	return events;
}

static void l3l2q_full_barrier(const struct l3l2q_region *region)
{
	if (region->live.io)
		/* To a device, which is no processor, smp_mb() says nothing. */
		mb();
	else
		/* As the callers say. */
		smp_mb();
}

/* ---- arming ------------------------------------------------------------- */

/* User space writes this word too, by aligned 32-bit atomics. */
static atomic_t *l3l2q_armed_word(const struct l3l2q_endpoint *ep)
{
	BUILD_BUG_ON(sizeof(atomic_t) != sizeof(ep->control->armed));
	return (atomic_t *)&ep->control->armed;
}

/* What this role sleeps for; the other bits of the word are its library's. */
u32 l3l2q_armed(const struct l3l2q_endpoint *ep)
{
	return atomic_read(l3l2q_armed_word(ep)) & L3L2Q_ARM_EVENTS;
}

static void l3l2q_arm_word(struct l3l2q_endpoint *ep, u32 bits)
{
	if (~l3l2q_armed(ep) & bits)
		atomic_or(bits, l3l2q_armed_word(ep));
	/*
	 * Between the bits and the look. Pairs with the one in l3l2q_wake(), and
	 * with the fence between a counter's store and the load of `armed` in a
	 * peer's user space. Bits that were set already need it no less.
	 */
	l3l2q_full_barrier(ep->region);
	if (!ep->region->ops->arm)
		return;
	ep->region->ops->arm(ep->region);
	/* As the interface of that says; the look is yet to come. */
	l3l2q_full_barrier(ep->region);
}

/**
 * l3l2q_unfenced() - find what the peer may have stored unseen by sleepers
 * @ep: a role that has armed, with a full barrier since
 * @bits: of l3l2q_control.armed
 *
 * A peer that fences on request may have loaded `armed` before its counter is visible
 * here. The library of this role requests fences and has a barrier executed over there
 * before it sleeps; until DONE says so nobody sleeps in the kernel. Without that library
 * the peer always fences, whatever it says of itself. The full barrier pairs with the one
 * in which a half of the peer becomes unfenced: l3l2q_core_unfence().
 *
 * Return: those of @bits that have to be reported as if they held.
 */
u32 l3l2q_unfenced(const struct l3l2q_endpoint *ep, u32 bits)
{
	const struct l3l2q_control *peer = ep->peer->control;
	u32 unfenced = 0, word;

	/* Pairs with the library's release of DONE, after the barrier over there. */
	word = atomic_read_acquire(l3l2q_armed_word(ep));
	if (!(word & L3L2Q_ARM_ASKS))
		return 0;
	if (!(word & L3L2Q_ARM_DONE_TAIL) && READ_ONCE(peer->tail_unfenced))
		unfenced |= L3L2Q_ARM_TAIL;
	if (!(word & L3L2Q_ARM_DONE_HEAD) && READ_ONCE(peer->head_unfenced))
		unfenced |= L3L2Q_ARM_HEAD;
	return unfenced & bits;
}

/**
 * l3l2q_arm() - ask the peer to wake this role
 * @ep: which
 * @bits: of l3l2q_control.armed
 *
 * The caller has queued itself and looks afterwards. Not under any lock.
 */
void l3l2q_arm(struct l3l2q_endpoint *ep, u32 bits)
{
	l3l2q_arm_word(ep, bits);
	l3l2q_scan_add(ep);
}

/* ---- watches ------------------------------------------------------------ */

/**
 * l3l2q_watch_look() - does a watch have what it waits for
 * @ep: whose it is, or will be; once it is on the list, under the lock
 * @watch: gets the results
 *
 * Return: whether it has.
 */
bool l3l2q_watch_look(struct l3l2q_endpoint *ep, struct l3l2q_watch *watch)
{
	struct l3l2q_condition *condition;
	u32 i;

	watch->revents = 0;
	if (watch->events)
		watch->revents = l3l2q_look(ep, watch->events) & watch->events;
	watch->index = -1;
	for (i = 0; i < watch->nr_conditions; i++) {
		condition = &watch->conditions[i];
		condition->observed = l3l2q_counter_read(ep->region,
							 condition->offset);
		if (watch->index < 0 &&
		    l3l2q_cmp_holds(condition->cmp, condition->observed,
				    condition->value))
			watch->index = i;
	}
	return watch->revents || watch->index >= 0;
}

/*
 * The same after arming: an unseen store counts as one that has been seen. DONE is read
 * before the look, which then sees what a barrier has made visible before DONE was set.
 */
static bool l3l2q_watch_look_armed(struct l3l2q_endpoint *ep,
				   struct l3l2q_watch *watch)
{
	u32 unfenced = l3l2q_unfenced(ep, watch->bits);

	return l3l2q_watch_look(ep, watch) || unfenced;
}

/* ---- places ------------------------------------------------------------- */

/*
 * A WAIT that names exactly one half takes the place kept for that half if that is
 * free, so that no number of other sleepers keeps a half from sleeping. A WAIT that
 * names both, or the endpoint, is one of these others: any number of threads may
 * make it.
 */
static bool l3l2q_waits_add(struct l3l2q_waits *waits,
			    struct l3l2q_watch *watch)
{
	u32 half;

	BUILD_BUG_ON((L3L2Q_WAIT_CONSUMER | L3L2Q_WAIT_PRODUCER) !=
		     BIT(L3L2Q_HALVES) - 1);

	for (half = 0; half < L3L2Q_HALVES; half++) {
		if (watch->names == BIT(half) && !waits->kept[half]) {
			waits->kept[half] = true;
			watch->place = half;
			return true;
		}
	}

	if (waits->nr >= L3L2Q_MAX_WAITS ||
	    waits->conditions + watch->nr_conditions >
	    L3L2Q_MAX_CONDITIONS - L3L2Q_KEPT_CONDITIONS)
		return false;
	waits->nr++;
	waits->conditions += watch->nr_conditions;
	watch->place = L3L2Q_HALVES;
	return true;
}

static void l3l2q_waits_remove(struct l3l2q_waits *waits,
			       const struct l3l2q_watch *watch)
{
	if (watch->place < L3L2Q_HALVES) {
		waits->kept[watch->place] = false;
		return;
	}
	waits->nr--;
	waits->conditions -= watch->nr_conditions;
}

/**
 * l3l2q_watch_stop() - take a WAIT off the list
 * @ep: whose lock is held
 * @watch: on its list
 */
void l3l2q_watch_stop(struct l3l2q_endpoint *ep, struct l3l2q_watch *watch)
{
	lockdep_assert_held(&ep->lock);
	list_del(&watch->node);
	l3l2q_waits_remove(&ep->waits, watch);
}

/*
 * A sleeper keeps what was seen here, for the counter may move on before it
 * runs. It may return, and its stack be gone, as soon as @fired is set; its
 * task stays, for with a lock held this is a reader of RCU.
 */
static void l3l2q_watch_fire(struct l3l2q_endpoint *ep,
			     struct l3l2q_watch *watch)
{
	struct task_struct *task = watch->task;

	lockdep_assert_held(&ep->lock);
	if (watch->eventfd) {
		l3l2q_stat_inc(ep, L3L2Q_STAT_SIGNALS);
		trace_l3l2q_eventfd(ep, watch);
		l3l2q_eventfd_signal(watch->eventfd);
		return;
	}
	l3l2q_watch_stop(ep, watch);
	/* Pairs with l3l2q_wait_sleep(): the results go first. */
	smp_store_release(&watch->fired, true);
	wake_up_process(task);
}

/* ---- deadlines ---------------------------------------------------------- */

/*
 * One timer for all WAITs of a role, which is not stopped when they end: the next
 * one has a later deadline, as a rule, and finds it running. To start and stop
 * a timer for each would be a good part of what a short sleep costs.
 */
static enum hrtimer_restart l3l2q_deadline_passed(struct hrtimer *timer)
{
	struct l3l2q_endpoint *ep =
		container_of(timer, struct l3l2q_endpoint, timer);
	struct l3l2q_watch *watch, *next;
	ktime_t at = KTIME_MAX, now;

	spin_lock_bh(&ep->lock);
	now = ktime_get();
	list_for_each_entry_safe(watch, next, &ep->watches, node) {
		if (!watch->task)
			continue;
		if (watch->deadline <= now) {
			watch->expired = !l3l2q_watch_look(ep, watch);
			l3l2q_watch_fire(ep, watch);
		} else {
			at = min(at, watch->deadline);
		}
	}
	WRITE_ONCE(ep->timer_at, at);
	/* Under the lock, as in l3l2q_watch_start(): hence not by HRTIMER_RESTART. */
	if (at != KTIME_MAX)
		hrtimer_start(timer, at, HRTIMER_MODE_ABS_SOFT);
	spin_unlock_bh(&ep->lock);
	return HRTIMER_NORESTART;
}

/* ---- INTERRUPT ---------------------------------------------------------- */

/* True if a WAIT has to return for an earlier INTERRUPT, which it takes. */
static bool l3l2q_interrupt_take(struct l3l2q_endpoint *ep,
				 const struct l3l2q_watch *watch)
{
	u32 taken = ep->interrupted & watch->names;

	lockdep_assert_held(&ep->lock);
	if (taken)
		WRITE_ONCE(ep->interrupted, ep->interrupted & ~taken);
	return taken;
}

/**
 * l3l2q_interrupted() - has INTERRUPT been called for a WAIT that begins
 * @ep: which
 * @watch: on no list
 *
 * Return: true if it has; the WAIT has to return then.
 */
bool l3l2q_interrupted(struct l3l2q_endpoint *ep,
		       const struct l3l2q_watch *watch)
{
	bool taken;

	if (!(READ_ONCE(ep->interrupted) & watch->names))
		return false;
	spin_lock_bh(&ep->lock);
	taken = l3l2q_interrupt_take(ep, watch);
	spin_unlock_bh(&ep->lock);
	return taken;
}

/**
 * l3l2q_watches_interrupt() - end the WAITs that name a half or the endpoint
 * @ep: whose WAITs
 *
 * All that sleep, since several threads may wait for the endpoint at once. What no WAIT
 * on the list names keeps it for its next one.
 */
void l3l2q_watches_interrupt(struct l3l2q_endpoint *ep)
{
	u32 names = L3L2Q_WAIT_INTERRUPTED;
	struct l3l2q_watch *watch, *next;

	spin_lock_bh(&ep->lock);
	list_for_each_entry_safe(watch, next, &ep->watches, node) {
		if (!watch->names)
			continue;
		names &= ~watch->names;
		watch->interrupted = true;
		l3l2q_watch_fire(ep, watch);
	}
	WRITE_ONCE(ep->interrupted, ep->interrupted | names);
	spin_unlock_bh(&ep->lock);
}

/* ---- starting ----------------------------------------------------------- */

/**
 * l3l2q_watch_start() - queue a WAIT, arm, and look
 * @ep: whose lock is held
 * @watch: that of the current task
 *
 * Return: 0 if it is on the list and has to sleep. Otherwise it is on no list: 1 if
 * it has what it waits for or may not sleep yet, -EINTR if INTERRUPT was called for
 * it, or -ENOSPC.
 */
int l3l2q_watch_start(struct l3l2q_endpoint *ep, struct l3l2q_watch *watch)
{
	lockdep_assert_held(&ep->lock);
	if (l3l2q_interrupt_take(ep, watch))
		return -EINTR;
	if (!l3l2q_waits_add(&ep->waits, watch))
		return -ENOSPC;
	list_add_tail(&watch->node, &ep->watches);
	l3l2q_arm_word(ep, watch->bits);
	if (l3l2q_watch_look_armed(ep, watch)) {
		l3l2q_watch_stop(ep, watch);
		return 1;
	}
	if (watch->deadline < ep->timer_at) {
		WRITE_ONCE(ep->timer_at, watch->deadline);
		hrtimer_start(&ep->timer, watch->deadline,
			      HRTIMER_MODE_ABS_SOFT);
	}
	trace_l3l2q_wait_begin(ep, watch);
	return 0;
}

/* ---- waking ------------------------------------------------------------- */

/* Fire armed watches that have what they wait for; return the others' bits. */
static u32 l3l2q_watches_fire(struct l3l2q_endpoint *ep, u32 armed)
{
	struct l3l2q_watch *watch, *next;
	u32 bits = 0;

	lockdep_assert_held(&ep->lock);
	list_for_each_entry_safe(watch, next, &ep->watches, node) {
		if (!(watch->bits & armed))
			continue;
		if (l3l2q_watch_look_armed(ep, watch))
			l3l2q_watch_fire(ep, watch);
		else
			bits |= watch->bits;
	}
	return bits;
}

/* Which of these bits belong to watches that would fire now? */
static u32 l3l2q_watches_ready(struct l3l2q_endpoint *ep, u32 armed)
{
	struct l3l2q_watch *watch;
	u32 bits = 0;

	lockdep_assert_held(&ep->lock);
	list_for_each_entry(watch, &ep->watches, node) {
		if ((watch->bits & armed) && l3l2q_watch_look_armed(ep, watch))
			bits |= watch->bits & armed;
	}
	return bits;
}

/* How many watch, for fdinfo. */
size_t l3l2q_watches(struct l3l2q_endpoint *ep)
{
	struct list_head *node;
	size_t nr = 0;

	spin_lock_bh(&ep->lock);
	list_for_each(node, &ep->watches)
		nr++;
	spin_unlock_bh(&ep->lock);
	return nr;
}

/**
 * l3l2q_wake() - wake a role's sleepers if there are any
 * @ep: the role
 * @force: there is an abort or a hang-up, whatever `armed` says
 *
 * The caller has stored what they wait for. Process context or a softirq.
 */
void l3l2q_wake(struct l3l2q_endpoint *ep, bool force)
{
	u32 armed, bits;

	/*
	 * Between what they wait for and `armed`; pairs with l3l2q_arm() and with
	 * the fence between the store to `armed` and the look in user space.
	 */
	l3l2q_full_barrier(ep->region);
	if (!force && !l3l2q_armed(ep))
		return;

	/* Under the lock, so that the scanner never sees a watch disarmed here. */
	spin_lock_bh(&ep->lock);
	armed = atomic_fetch_andnot(L3L2Q_ARM_EVENTS, l3l2q_armed_word(ep)) &
		L3L2Q_ARM_EVENTS;
	/* Every WAIT has these, and the eventfd that is for them. */
	if (force)
		armed |= L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP;
	trace_l3l2q_wake(ep, armed, force);
	bits = l3l2q_watches_fire(ep, armed);
	if (bits) {
		/*
		 * Once more, for what was stored while nothing was armed. This
		 * leaves the bits of those that fire now set, which may signal an
		 * eventfd twice; to clear and start over could go on for ever.
		 */
		l3l2q_arm_word(ep, bits);
		l3l2q_watches_fire(ep, bits);
	}
	spin_unlock_bh(&ep->lock);
	if (!armed)
		return;

	l3l2q_stat_inc(ep, L3L2Q_STAT_WAKEUPS);
	WRITE_ONCE(ep->woken, ktime_get_coarse_ns());
	/* Whoever queued and found its bits set is seen: l3l2q_endpoint_poll(). */
	if (!waitqueue_active(&ep->wq))
		return;
	/* Without a key: those who poll decide by looking. */
	wake_up_all(&ep->wq);
}

/* Ring the device for this role, unless it is gone or there is none. */
static void l3l2q_ring(struct l3l2q_endpoint *ep)
{
	struct l3l2q_region *region = ep->region;

	if (READ_ONCE(ep->peer_kind) != L3L2Q_PEER_RINGS)
		return;
	rcu_read_lock();
	if (l3l2q_region_live(region)) {
		l3l2q_stat_inc(ep, L3L2Q_STAT_DOORBELLS);
		region->ops->ring(region);
	}
	rcu_read_unlock();
}

/**
 * l3l2q_wake_peer() - wake the other side, be it a process or a device
 * @ep: the role that has something to tell
 * @force: as for l3l2q_wake()
 */
void l3l2q_wake_peer(struct l3l2q_endpoint *ep, bool force)
{
	l3l2q_wake(l3l2q_peer(ep), force);
	l3l2q_ring(ep);
}

static void l3l2q_wake_later(struct tasklet_struct *tasklet)
{
	struct l3l2q_endpoint *ep =
		container_of(tasklet, struct l3l2q_endpoint, wake_later);

	l3l2q_wake(ep, false);
}

/* True if anybody is queued: eventfds stay so, and entries of epoll. */
static bool l3l2q_has_queued(struct l3l2q_endpoint *ep)
{
	if (!list_empty(&ep->watches))
		return true;
	/* Ordered by the barrier of the walk in npu_pending_take(). */
	return waitqueue_active(&ep->wq);
}

/**
 * l3l2q_device_interrupt() - the device has something to tell
 * @region: about which; held by the caller
 *
 * Any context. Watches are looked at in a softirq, with interrupts on.
 *
 * Return: true if somebody is queued still and waits for the next interrupt.
 */
bool l3l2q_device_interrupt(struct l3l2q_region *region)
{
	struct l3l2q_endpoint *ep;
	enum l3l2q_role role;
	bool queued = false;

	/* As in l3l2q_wake(). */
	l3l2q_full_barrier(region);
	for (role = 0; role < L3L2Q_ROLES; role++) {
		ep = &region->ep[role];
		l3l2q_stat_inc(ep, L3L2Q_STAT_INTERRUPTS);
		if (l3l2q_armed(ep))
			tasklet_schedule(&ep->wake_later);
		queued |= l3l2q_has_queued(ep);
	}
	return queued;
}

/**
 * l3l2q_wake_init() - set up what wakes a role's sleepers
 * @ep: which
 */
void l3l2q_wake_init(struct l3l2q_endpoint *ep)
{
	l3l2q_hrtimer_setup(&ep->timer, l3l2q_deadline_passed, CLOCK_MONOTONIC,
			    HRTIMER_MODE_ABS_SOFT);
	ep->timer_at = KTIME_MAX;
	tasklet_setup(&ep->wake_later, l3l2q_wake_later);
}

/**
 * l3l2q_wake_fini() - wait until nothing wakes a role's sleepers any more
 * @ep: which; no interrupt handler knows its region any more
 */
void l3l2q_wake_fini(struct l3l2q_endpoint *ep)
{
	tasklet_kill(&ep->wake_later);
}

/**
 * l3l2q_sleepers() - is there anybody to wake, for the scanner
 * @ep: the role, which has just been taken from the queue, with a full barrier since
 *
 * A sleeper queues itself and arms first, full barrier, and asks then whether the
 * role is in the queue: if it is not seen here, it puts the role there once more.
 * If there is nobody, counters are not looked at.
 *
 * Return: enum l3l2q_sleepers.
 */
enum l3l2q_sleepers l3l2q_sleepers(struct l3l2q_endpoint *ep)
{
	enum l3l2q_sleepers ret = L3L2Q_SLEEPERS_NONE;
	struct l3l2q_watch *watch;
	u32 armed;

	spin_lock_bh(&ep->lock);
	armed = l3l2q_armed(ep);
	list_for_each_entry(watch, &ep->watches, node) {
		if (watch->bits & armed)
			ret = L3L2Q_SLEEPERS_WAIT;
	}
	if (ret == L3L2Q_SLEEPERS_WAIT && l3l2q_watches_ready(ep, armed))
		ret = L3L2Q_SLEEPERS_READY;
	spin_unlock_bh(&ep->lock);

	/* Ordered by the caller's barrier: see above. */
	if (!waitqueue_active(&ep->wq) || !(armed & L3L2Q_EVENT_ALL))
		return ret;
	if (l3l2q_look(ep, armed) & armed)
		return L3L2Q_SLEEPERS_READY;
	return ret == L3L2Q_SLEEPERS_NONE ? L3L2Q_SLEEPERS_WAIT : ret;
}

/**
 * l3l2q_arm_watches() - arm, and fire at once what need not wait
 * @ep: the role
 * @bits: of l3l2q_control.armed
 *
 * Return: those of @bits whose watches fired.
 */
u32 l3l2q_arm_watches(struct l3l2q_endpoint *ep, u32 bits)
{
	u32 ready;

	l3l2q_arm(ep, bits);

	spin_lock_bh(&ep->lock);
	ready = l3l2q_watches_ready(ep, bits);
	spin_unlock_bh(&ep->lock);
	/* Not here: a bit is cleared only by waking all who may have set it. */
	if (ready)
		l3l2q_wake(ep, false);
	return ready;
}
