// SPDX-License-Identifier: GPL-2.0-only
/*
 * EVENTFD: eventfds that stand for an event or a counter's condition.
 *
 * Whether one is armed is said by its bit in the control page and nowhere else,
 * since its owner may set that bit by a store. Somebody who polls for the same
 * event sets it as well; hence a signal more than was asked for is possible.
 */
#include <linux/eventfd.h>
#include <linux/nospec.h>

#include "internal.h"

static u32 l3l2q_eventfd_events(const struct l3l2q_eventfd *cmd)
{
	switch (cmd->kind) {
	case L3L2Q_EVENTFD_IN:
		return L3L2Q_EVENT_IN;
	case L3L2Q_EVENTFD_OUT:
		return L3L2Q_EVENT_OUT;
	case L3L2Q_EVENTFD_ABORT:
		return L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP;
	default:
		return 0;
	}
}

static int l3l2q_eventfd_check(const struct l3l2q_endpoint *ep,
			       struct l3l2q_eventfd *cmd)
{
	struct l3l2q_condition condition = {
		.offset = cmd->offset,
		.cmp = cmd->cmp,
	};
	int err;

	if (cmd->pad)
		return -EINVAL;
	/* A removal names a registration, not what it was for. */
	if (cmd->fd == -1 && (cmd->cmp || cmd->offset || cmd->value))
		return -EINVAL;
	switch (cmd->kind) {
	case L3L2Q_EVENTFD_IN:
	case L3L2Q_EVENTFD_OUT:
		if (l3l2q_region_is_raw(ep->region))
			return -EINVAL;
		fallthrough;
	case L3L2Q_EVENTFD_ABORT:
		if (cmd->slot || cmd->cmp || cmd->offset || cmd->value)
			return -EINVAL;
		return 0;
	case L3L2Q_EVENTFD_COUNTER:
		if (cmd->slot >= L3L2Q_COUNTER_SLOTS)
			return -EINVAL;
		if (cmd->fd == -1)
			return 0;
		err = l3l2q_condition_check(ep->region, &condition);
		cmd->offset = condition.offset;
		return err;
	default:
		return -EINVAL;
	}
}

/* Take an eventfd off the list; the caller puts it. */
static struct eventfd_ctx *l3l2q_eventfd_unset(struct l3l2q_endpoint *ep,
					       struct l3l2q_watch *watch)
{
	struct eventfd_ctx *eventfd = watch->eventfd;

	lockdep_assert_held(&ep->lock);
	if (eventfd)
		list_del(&watch->node);
	watch->eventfd = NULL;
	return eventfd;
}

static void l3l2q_eventfd_set(struct l3l2q_endpoint *ep,
			      struct l3l2q_eventfd_watch *efd,
			      const struct l3l2q_eventfd *cmd,
			      struct eventfd_ctx *eventfd)
{
	struct l3l2q_watch *watch = &efd->watch;

	lockdep_assert_held(&ep->lock);
	watch->eventfd = eventfd;
	watch->events = l3l2q_eventfd_events(cmd);
	watch->bits = watch->events;
	watch->nr_conditions = 0;
	if (cmd->kind == L3L2Q_EVENTFD_COUNTER) {
		efd->condition.offset = cmd->offset;
		efd->condition.cmp = cmd->cmp;
		efd->condition.value = cmd->value;
		watch->bits = L3L2Q_ARM_SLOT(cmd->slot);
		watch->nr_conditions = 1;
		watch->conditions = &efd->condition;
	}
	list_add_tail(&watch->node, &ep->watches);
}

/* Replace what is registered, or remove it; *@eventfd becomes what it was. */
static int l3l2q_eventfd_swap(struct l3l2q_endpoint *ep,
			      const struct l3l2q_eventfd *cmd,
			      struct eventfd_ctx **eventfd)
{
	u32 index = array_index_nospec(cmd->kind + cmd->slot, L3L2Q_EVENTFDS);
	struct l3l2q_eventfd_watch *efd = &ep->eventfds[index];
	struct eventfd_ctx *old;
	int err = 0;

	spin_lock_bh(&ep->lock);
	if (ep->state >= L3L2Q_STATE_DETACHED) {
		err = -ESHUTDOWN;
		goto out;
	}
	old = l3l2q_eventfd_unset(ep, &efd->watch);
	if (*eventfd)
		l3l2q_eventfd_set(ep, efd, cmd, *eventfd);
	else if (!old)
		err = -ENOENT;
	*eventfd = old;
out:
	spin_unlock_bh(&ep->lock);
	return err;
}

/* EVENTFD */
int l3l2q_ioctl_eventfd(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_eventfd *cmd = ucmd->cmd;
	struct l3l2q_endpoint *ep = ucmd->ep;
	struct eventfd_ctx *eventfd = NULL;
	int err;

	err = l3l2q_eventfd_check(ep, cmd);
	if (err)
		return err;
	if (cmd->fd != -1) {
		eventfd = eventfd_ctx_fdget(cmd->fd);
		if (IS_ERR(eventfd))
			return PTR_ERR(eventfd);
	}

	err = l3l2q_eventfd_swap(ep, cmd, &eventfd);
	if (eventfd)
		eventfd_ctx_put(eventfd);
	if (!err && cmd->fd != -1)
		l3l2q_arm_watches(ep, cmd->kind == L3L2Q_EVENTFD_COUNTER ?
				  L3L2Q_ARM_SLOT(cmd->slot) :
				  l3l2q_eventfd_events(cmd));
	return err;
}

/**
 * l3l2q_eventfds_drop() - forget all eventfds of a role that has ended
 * @ep: which
 */
void l3l2q_eventfds_drop(struct l3l2q_endpoint *ep)
{
	struct eventfd_ctx *eventfd;
	int i;

	for (i = 0; i < L3L2Q_EVENTFDS; i++) {
		spin_lock_bh(&ep->lock);
		eventfd = l3l2q_eventfd_unset(ep, &ep->eventfds[i].watch);
		spin_unlock_bh(&ep->lock);
		if (eventfd)
			eventfd_ctx_put(eventfd);
	}
}
