// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters: the only words of a region that the kernel reads and writes for
 * its users. Both sides may scribble over them at any time: each is read once,
 * and whatever it says leads to a wake-up at most.
 */
#include <linux/errno.h>
#include <linux/nospec.h>
#include <linux/rcupdate.h>

#include "internal.h"
#include "trace.h"

/**
 * l3l2q_counter_read() - observe a counter
 * @region: whose
 * @offset: checked before
 *
 * What its writer published before it is visible afterwards.
 *
 * Return: its value.
 */
s32 l3l2q_counter_read(const struct l3l2q_region *region, u64 offset)
{
	s32 value;

	rcu_read_lock();
	value = l3l2q_words_read(rcu_dereference(region->words), offset);
	rcu_read_unlock();
	return value;
}

/**
 * l3l2q_counter_write() - publish a counter
 * @region: whose
 * @offset: checked before
 * @value: to store
 *
 * Waking whoever sleeps for it is left to the caller.
 */
void l3l2q_counter_write(struct l3l2q_region *region, u64 offset, s32 value)
{
	const struct l3l2q_words *words;

	rcu_read_lock();
	words = rcu_dereference(region->words);
	if (words->io) {
		/* Nothing before it may linger in a write buffer, ... */
		wmb();
		writel(value, words->io + offset / sizeof(s32));
		/* ... nor may the counter itself. */
		wmb();
	} else {
		/* With l3l2q_words_read() and acquires in user space. */
		smp_store_release(&words->mem[offset / sizeof(s32)], value);
	}
	rcu_read_unlock();
}

/* User space chose the offset, which is safe to use afterwards, or -errno. */
static int l3l2q_counter_access(const struct l3l2q_region *region, __u64 *offset)
{
	switch (l3l2q_counter_check(region->counter_bytes, *offset)) {
	case L3L2Q_CHECK_OK:
		*offset = array_index_nospec(*offset, region->counter_bytes);
		return 0;
	case L3L2Q_CHECK_OUT_OF_BOUNDS:
		return -ERANGE;
	default:
		return -EINVAL;
	}
}

/**
 * l3l2q_condition_check() - validate a condition that a user wants to wait for
 * @region: whose counter it is about
 * @condition: a private copy, whose offset is safe to use afterwards
 *
 * Return: 0, -EINVAL or -ERANGE.
 */
int l3l2q_condition_check(const struct l3l2q_region *region,
			  struct l3l2q_condition *condition)
{
	int err;

	err = l3l2q_counter_access(region, &condition->offset);
	if (err)
		return err;
	if (condition->pad || l3l2q_cmp_holds(condition->cmp, 0, 0) < 0)
		return -EINVAL;
	return 0;
}

/* NOTIFY */
int l3l2q_ioctl_notify(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_notify *cmd = ucmd->cmd;
	struct l3l2q_endpoint *ep = ucmd->ep;
	struct l3l2q_region *region = ep->region;
	s32 value = cmd->value;
	int err;

	err = l3l2q_counter_access(region, &cmd->offset);
	if (err)
		return err;
	if (cmd->op != L3L2Q_NOTIFY_SET && cmd->op != L3L2Q_NOTIFY_ADD)
		return -EINVAL;
	if (!l3l2q_region_is_raw(region) &&
	    l3l2q_counter_writer(cmd->offset) != ep->role)
		return -EPERM;

	/* A line has one writer: the protocol wants no more than this. */
	if (cmd->op == L3L2Q_NOTIFY_ADD)
		value = (u32)value + l3l2q_counter_read(region, cmd->offset);
	l3l2q_counter_write(region, cmd->offset, value);
	trace_l3l2q_notify(ep, cmd->offset, value);
	if (cmd->offset == l3l2q_ctr_abort(ep->role))
		l3l2q_endpoint_tell_abort(ep);

	/* Threads of one's own role may wait for one's own counters. */
	l3l2q_wake_peer(ep, false);
	l3l2q_wake(ep, false);

	l3l2q_stat_inc(ep, L3L2Q_STAT_NOTIFIES);
	return 0;
}

/* TEST */
int l3l2q_ioctl_test(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_test *cmd = ucmd->cmd;
	const struct l3l2q_region *region = ucmd->ep->region;
	int matched;
	int err;

	err = l3l2q_counter_access(region, &cmd->offset);
	if (err)
		return err;

	cmd->observed = l3l2q_counter_read(region, cmd->offset);
	matched = l3l2q_cmp_holds(cmd->cmp, cmd->observed, cmd->value);
	if (matched < 0)
		return -EINVAL;
	cmd->matched = matched;
	return l3l2q_ucmd_respond(ucmd);
}
