// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ways to sleep and to wake: poll, WAIT, ARM and KICK.
 */
#include <linux/ktime.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/time_namespace.h>
#include <linux/time64.h>
#include <linux/uaccess.h>

#include "internal.h"
#include "trace.h"

/* ---- poll --------------------------------------------------------------- */

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
	u32 bits = l3l2q_poll_bits(poll_requested_events(pt)), events = 0;
	__poll_t mask;

	l3l2q_stat_inc(ep, L3L2Q_STAT_POLLS);
	poll_wait(file, &ep->wq, pt);
	if (!poll_does_not_wait(pt))
		/*
		 * Between queueing and reading `armed`; pairs with the atomic
		 * in l3l2q_wake(), which looks at the queue without its lock.
		 */
		smp_mb();
	if (!l3l2q_endpoint_ended(ep)) {
		l3l2q_arm(ep, bits);
		events = l3l2q_unfenced(ep, bits);
	}
	mask = l3l2q_poll_mask(events | l3l2q_look(ep, bits));
	/* EPOLLPRI is for the peer's. */
	if (l3l2q_endpoint_aborted(ep))
		mask |= EPOLLERR;
	return mask;
}

/* ---- WAIT --------------------------------------------------------------- */

/* A queue's events never come in a raw region: whoever wants them is mistaken. */
static bool l3l2q_events_known(const struct l3l2q_endpoint *ep, u32 events)
{
	if (l3l2q_region_is_raw(ep->region))
		return !(events & ~(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP));
	return !(events & ~L3L2Q_EVENT_ALL);
}

/* The size of a condition when it was first released. */
#define L3L2Q_CONDITION_MIN_BYTES	24

static struct l3l2q_condition __user *
l3l2q_wait_condition(const struct l3l2q_wait *cmd, u32 i)
{
	return u64_to_user_ptr(cmd->conditions + (u64)i * cmd->condition_size);
}

static int l3l2q_wait_conditions(const struct l3l2q_endpoint *ep,
				 const struct l3l2q_wait *cmd,
				 struct l3l2q_condition *conditions)
{
	int err = 0;
	u32 i;

	if (cmd->nr_conditions > L3L2Q_WAIT_MAX_CONDITIONS ||
	    cmd->condition_size < L3L2Q_CONDITION_MIN_BYTES)
		return -EINVAL;
	if (cmd->condition_size > PAGE_SIZE)
		return -E2BIG;
	for (i = 0; i < cmd->nr_conditions && !err; i++) {
		err = copy_struct_from_user(&conditions[i],
					    sizeof(conditions[i]),
					    l3l2q_wait_condition(cmd, i),
					    cmd->condition_size);
		if (!err)
			err = l3l2q_condition_check(ep->region, &conditions[i]);
	}
	return err;
}

/*
 * The deadline in terms of CLOCK_MONOTONIC as the kernel has it: that of a caller in
 * a time namespace may be offset. What does not fit is never, or has passed.
 */
static ktime_t l3l2q_wait_deadline(u64 deadline_ns)
{
	struct timespec64 offset = { };
	s64 ns;

	if (deadline_ns >= KTIME_MAX)
		return KTIME_MAX;
	timens_add_monotonic(&offset);
	if (check_sub_overflow((s64)deadline_ns, timespec64_to_ns(&offset),
			       &ns))
		return KTIME_MAX;
	return max_t(s64, ns, 0);
}

/* Queue, arm, look: 1 if it holds, 0 if it has to be slept for, or -errno. */
static int l3l2q_wait_start(struct l3l2q_endpoint *ep,
			    struct l3l2q_watch *watch)
{
	int ret = -ESHUTDOWN;

	spin_lock_bh(&ep->lock);
	if (ep->state < L3L2Q_STATE_DETACHED)
		ret = l3l2q_watch_start(ep, watch);
	spin_unlock_bh(&ep->lock);
	return ret;
}

/* Nobody has woken it: one more look, and return whether it holds after all. */
static bool l3l2q_wait_stop(struct l3l2q_endpoint *ep,
			    struct l3l2q_watch *watch)
{
	bool holds = true;

	spin_lock_bh(&ep->lock);
	if (!watch->fired) {
		holds = l3l2q_watch_look(ep, watch);
		l3l2q_watch_stop(ep, watch);
	}
	spin_unlock_bh(&ep->lock);
	return holds;
}

/*
 * While it is on the list, whoever wakes this role looks on its behalf, and arms
 * again if it has to go on sleeping.
 */
static int l3l2q_wait_sleep(struct l3l2q_endpoint *ep,
			    struct l3l2q_watch *watch)
{
	int err = 0;

	l3l2q_scan_add(ep);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		/* Pairs with l3l2q_watch_fire(). */
		if (smp_load_acquire(&watch->fired))
			break;
		if (signal_pending(current)) {
			err = -ERESTARTSYS;
			break;
		}
		l3l2q_stat_inc(ep, L3L2Q_STAT_SLEEPS);
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	if (err && !l3l2q_wait_stop(ep, watch))
		return err;
	if (watch->interrupted)
		return -EINTR;
	return watch->expired ? -ETIMEDOUT : 0;
}

static int l3l2q_wait(struct l3l2q_endpoint *ep, struct l3l2q_watch *watch)
{
	int ret;

	if (l3l2q_interrupted(ep, watch))
		return -EINTR;
	/* Without arming, which would cost the peer a KICK. */
	if (l3l2q_watch_look(ep, watch))
		return 0;
	/* What does not end before the timer runs out has not ended yet. */
	if (watch->deadline < READ_ONCE(ep->timer_at) &&
	    watch->deadline <= ktime_get())
		return -ETIMEDOUT;
	ret = l3l2q_wait_start(ep, watch);
	if (ret)
		return min(ret, 0);
	ret = l3l2q_wait_sleep(ep, watch);
	trace_l3l2q_wait_end(ep, watch, ret);
	return ret;
}

static int l3l2q_wait_respond(struct l3l2q_ucmd *ucmd,
			      const struct l3l2q_watch *watch)
{
	const struct l3l2q_wait *cmd = ucmd->cmd;
	struct l3l2q_wait __user *user = ucmd->user;
	u32 i;

	for (i = 0; i < watch->nr_conditions; i++) {
		if (put_user(watch->conditions[i].observed,
			     &l3l2q_wait_condition(cmd, i)->observed))
			return -EFAULT;
	}
	/* The rest of the structure stays as the caller gave it. */
	if (put_user(watch->revents, &user->revents) ||
	    put_user(watch->index, &user->index))
		return -EFAULT;
	return 0;
}

static int l3l2q_wait_call(struct l3l2q_ucmd *ucmd,
			   struct l3l2q_condition *conditions)
{
	struct l3l2q_endpoint *ep = ucmd->ep;
	const struct l3l2q_wait *cmd = ucmd->cmd;
	struct l3l2q_watch watch = {
		.bits = cmd->events | L3L2Q_EVENT_ABORT,
		.events = cmd->events | L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP,
		.nr_conditions = cmd->nr_conditions,
		.conditions = conditions,
		.names = ucmd->flags & L3L2Q_WAIT_INTERRUPTED,
		.task = current,
		.deadline = l3l2q_wait_deadline(cmd->deadline_ns),
	};
	int err, fault;

	if (conditions)
		watch.bits |= L3L2Q_ARM_COUNTER;

	l3l2q_stat_inc(ep, L3L2Q_STAT_WAITS);
	err = l3l2q_wait(ep, &watch);

	/* What ended this role is not what was waited for. */
	if (l3l2q_endpoint_ended(ep))
		return -ESHUTDOWN;
	/* The deadline is absolute: to start over is to go on. */
	if (err == -ERESTARTSYS && ucmd->flags & L3L2Q_WAIT_NO_RESTART)
		return -ERESTARTNOHAND;
	if (err == -ERESTARTSYS || err == -EINTR || err == -ENOSPC)
		return err;
	fault = l3l2q_wait_respond(ucmd, &watch);
	return fault ? fault : err;
}

/* On its own for its stack, which the kernel may be built to clear. */
static noinline int l3l2q_wait_counters(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_condition conditions[L3L2Q_WAIT_MAX_CONDITIONS];
	int err;

	err = l3l2q_wait_conditions(ucmd->ep, ucmd->cmd, conditions);
	return err ? err : l3l2q_wait_call(ucmd, conditions);
}

int l3l2q_ioctl_wait(struct l3l2q_ucmd *ucmd)
{
	const struct l3l2q_wait *cmd = ucmd->cmd;

	if (cmd->pad || !l3l2q_events_known(ucmd->ep, cmd->events))
		return -EINVAL;
	if (cmd->nr_conditions)
		return l3l2q_wait_counters(ucmd);
	return cmd->events ? l3l2q_wait_call(ucmd, NULL) : -EINVAL;
}

int l3l2q_ioctl_interrupt(struct l3l2q_ucmd *ucmd)
{
	l3l2q_watches_interrupt(ucmd->ep);
	return 0;
}

/* ---- ARM, KICK ---------------------------------------------------------- */

int l3l2q_ioctl_arm(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_endpoint *ep = ucmd->ep;
	struct l3l2q_arm *cmd = ucmd->cmd;
	u32 want = cmd->events | L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP;

	if (!l3l2q_events_known(ep, cmd->events & ~L3L2Q_ARM_SLOTS))
		return -EINVAL;

	cmd->revents = l3l2q_arm_watches(ep, cmd->events);
	cmd->revents |= l3l2q_unfenced(ep, cmd->events) & want;
	cmd->revents |= l3l2q_look(ep, want) & want;
	l3l2q_stat_inc(ep, L3L2Q_STAT_ARMS);
	return l3l2q_ucmd_respond(ucmd);
}

int l3l2q_ioctl_kick(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_endpoint *ep = ucmd->ep;

	l3l2q_stat_inc(ep, L3L2Q_STAT_KICKS);
	trace_l3l2q_kick(ep, ucmd->flags);
	if (ucmd->flags & L3L2Q_KICK_SELF) {
		l3l2q_endpoint_tell_abort(ep);
		l3l2q_wake(ep, false);
		return 0;
	}

	/* A device has no use for the word, and reading its memory takes long. */
	if (!ep->region->live.io ||
	    l3l2q_endpoint_state(l3l2q_peer(ep)) == L3L2Q_STATE_ATTACHED)
		l3l2q_endpoint_tell_abort(ep);
	l3l2q_wake_peer(ep, false);
	if (l3l2q_region_is_raw(ep->region))
		l3l2q_wake(ep, false);
	return 0;
}
