// SPDX-License-Identifier: GPL-2.0-only
/*
 * Endpoints: their files, their ends, and what can be asked of them.
 *
 * A role goes NONE, OPEN, ATTACHED and then, from either of the latter two, to
 * DETACHED or DEAD, where it stays: cursors cannot be resumed.
 */
#include <linux/fcntl.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>

#include "internal.h"
#include "trace.h"

/* ---- states ------------------------------------------------------------- */

/**
 * l3l2q_endpoint_set_state() - move a role on
 * @ep: whose lock is held
 * @state: enum l3l2q_state
 */
void l3l2q_endpoint_set_state(struct l3l2q_endpoint *ep, u32 state)
{
	lockdep_assert_held(&ep->lock);
	/* The abort flag of the dead goes first: l3l2q_endpoint_state(). */
	smp_store_release(&ep->state, state);
	/* And for whoever reads the status page. */
	smp_store_release(&ep->region->status->state[ep->role], state);
}

/**
 * l3l2q_endpoint_add_gone() - store in the status page how a role's peer ended
 * @ep: the role, whose library reads the word
 * @gone: L3L2Q_GONE_*
 *
 * If there is an abort flag to see, it has been stored before. Any context.
 */
void l3l2q_endpoint_add_gone(struct l3l2q_endpoint *ep, u32 gone)
{
	atomic_t *word = (atomic_t *)&ep->region->status->gone[ep->role];

	BUILD_BUG_ON(sizeof(*word) != sizeof(ep->region->status->gone[0]));
	/* Pairs with the acquire of user space's load: the flag goes first. */
	if (!(~atomic_read(word) & gone))
		return;
	gone &= ~atomic_fetch_or_release(gone, word);
	trace_l3l2q_abort(l3l2q_peer(ep), gone);
}

/**
 * l3l2q_endpoint_tell_abort() - look whether a role has set its abort flag
 * @ep: the role; its peer's word in the status page is stored if it has
 *
 * Any context.
 */
void l3l2q_endpoint_tell_abort(struct l3l2q_endpoint *ep)
{
	struct l3l2q_region *region = ep->region;
	s32 flag;

	if (l3l2q_region_is_raw(region))
		return;
	flag = l3l2q_counter_read(region, l3l2q_ctr_abort(ep->role));
	if (l3l2q_abort_is_set(flag))
		l3l2q_endpoint_add_gone(l3l2q_peer(ep), L3L2Q_GONE_ABORTED);
}

/**
 * l3l2q_endpoint_aborted() - has a role been seen to set its abort flag
 * @ep: the role
 *
 * From the word that its peer reads: no access to a counter, which a device may hold.
 *
 * Return: whether it has, or has died.
 */
bool l3l2q_endpoint_aborted(const struct l3l2q_endpoint *ep)
{
	const struct l3l2q_status *status = ep->region->status;

	return READ_ONCE(status->gone[l3l2q_peer_role(ep->role)]) &
	       L3L2Q_GONE_ABORTED;
}

/* Set the abort flag of one that died, unless it has done so itself. */
static void l3l2q_endpoint_abort_dead(struct l3l2q_endpoint *ep)
{
	struct l3l2q_region *region = ep->region;
	u64 flag = l3l2q_ctr_abort(ep->role);

	lockdep_assert_held(&ep->lock);
	ep->aborted_dead = !l3l2q_abort_is_set(l3l2q_counter_read(region, flag));
	l3l2q_counter_write(region, flag, 1);
}

/**
 * l3l2q_endpoint_end() - end a role
 * @ep: which
 * @state: L3L2Q_STATE_DETACHED or _DEAD; the dead abort
 *
 * Return: 0, or -ESHUTDOWN if it had ended before.
 */
int l3l2q_endpoint_end(struct l3l2q_endpoint *ep, u32 state)
{
	struct l3l2q_region *region = ep->region;
	struct mm_struct *mm;

	spin_lock_bh(&ep->lock);
	if (ep->state >= L3L2Q_STATE_DETACHED) {
		spin_unlock_bh(&ep->lock);
		return -ESHUTDOWN;
	}
	if (state == L3L2Q_STATE_DEAD && !l3l2q_region_is_raw(region))
		l3l2q_endpoint_abort_dead(ep);
	l3l2q_endpoint_set_state(ep, state);
	trace_l3l2q_end(ep, state);
	l3l2q_endpoint_tell_abort(ep);
	l3l2q_endpoint_add_gone(l3l2q_peer(ep), state == L3L2Q_STATE_DEAD ?
				L3L2Q_GONE_ABORTED : L3L2Q_GONE_DETACHED);
	mm = ep->mm;
	WRITE_ONCE(ep->mm, NULL);
	spin_unlock_bh(&ep->lock);

	if (mm)
		mmdrop(mm);

	l3l2q_wake_peer(ep, true);
	/* Others may sleep on this very role; its eventfds are for the peer's. */
	l3l2q_eventfds_drop(ep);
	l3l2q_wake(ep, true);
	return 0;
}

/* A role is opened once; l3l2q_endpoint_unopen() if nobody ever saw it. */
static int l3l2q_endpoint_open(struct l3l2q_endpoint *ep)
{
	int err = 0;

	spin_lock_bh(&ep->lock);
	if (ep->state == L3L2Q_STATE_NONE)
		l3l2q_endpoint_set_state(ep, L3L2Q_STATE_OPEN);
	else
		err = -EBUSY;
	spin_unlock_bh(&ep->lock);
	return err;
}

static void l3l2q_endpoint_unopen(struct l3l2q_endpoint *ep)
{
	spin_lock_bh(&ep->lock);
	l3l2q_endpoint_set_state(ep, L3L2Q_STATE_NONE);
	spin_unlock_bh(&ep->lock);
}

/* ---- ioctls ------------------------------------------------------------- */

static void l3l2q_info_map(const struct l3l2q_endpoint *ep,
			   struct l3l2q_mapping *map, enum l3l2q_part part)
{
	map->offset = (u64)part << L3L2Q_PART_SHIFT;
	map->length = l3l2q_part_length(ep->region, part);
}

static enum l3l2q_part l3l2q_control_part(const struct l3l2q_endpoint *ep)
{
	return ep->role == L3L2Q_ROLE_L3 ? L3L2Q_PART_CONTROL_L3
					 : L3L2Q_PART_CONTROL_L2;
}

/* Device addresses, if there are any, are the creator's to share. */
static bool l3l2q_shows_addresses(const struct l3l2q_endpoint *ep)
{
	const struct l3l2q_region *region = ep->region;

	return region->counter_base &&
	       (ep->creator || region->share_addresses);
}

static int l3l2q_ioctl_info(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_endpoint *ep = ucmd->ep;
	struct l3l2q_endpoint *peer = l3l2q_peer(ep);
	const struct l3l2q_region *region = ep->region;
	const struct l3l2q_layout *layout = &region->layout;
	struct l3l2q_info *cmd = ucmd->cmd;
	struct l3l2q_mapping *map = cmd->map;

	*cmd = (struct l3l2q_info) {
		.role = ep->role,
		.backend = region->ops->id,
		.memory = region->memory,
		.peer_kind = READ_ONCE(ep->peer_kind),
		.state = l3l2q_endpoint_state(ep),
		.peer_state = l3l2q_endpoint_state(peer),
		.region_version = (u32)region->version,
		.binding = region->binding,
		.region = {
			.magic_version = region->version,
			.region_id = region->id,
			.payload_bytes = region->payload_bytes,
			.counter_bytes = region->counter_bytes,
		},
	};
	if (!l3l2q_region_is_raw(region)) {
		cmd->queue = (struct l3l2q_queue_desc) {
			.magic_version = l3l2q_queue_version(region->binding),
			.depth = layout->depth,
			.input_arena_bytes = layout->input_arena_bytes,
			.output_arena_bytes = layout->output_arena_bytes,
			.payload_bytes = layout->payload_bytes,
			.counter_bytes = layout->counter_bytes,
		};
	}

	memcpy(cmd->identity, region->identity, sizeof(cmd->identity));
	memcpy(cmd->tag, region->tag, sizeof(cmd->tag));

	l3l2q_info_map(ep, &map[L3L2Q_MAP_PAYLOAD], L3L2Q_PART_PAYLOAD);
	l3l2q_info_map(ep, &map[L3L2Q_MAP_COUNTERS], L3L2Q_PART_COUNTERS);
	l3l2q_info_map(ep, &map[L3L2Q_MAP_STATUS], L3L2Q_PART_STATUS);
	l3l2q_info_map(ep, &map[L3L2Q_MAP_CONTROL], l3l2q_control_part(ep));
	l3l2q_info_map(ep, &map[L3L2Q_MAP_PEER_CONTROL],
		       l3l2q_control_part(peer));

	if (l3l2q_shows_addresses(ep)) {
		cmd->flags |= L3L2Q_INFO_DEVICE_ADDRESSES;
		cmd->region.payload_base = region->payload_base;
		cmd->region.counter_base = region->counter_base;
	} else {
		/* No addresses, but distinct, aligned and not zero. */
		cmd->region.payload_base = map[L3L2Q_MAP_PAYLOAD].offset;
		cmd->region.counter_base = map[L3L2Q_MAP_COUNTERS].offset;
	}
	return l3l2q_ucmd_respond(ucmd);
}

static int l3l2q_ioctl_open_peer(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_endpoint *ep = ucmd->ep;
	struct l3l2q_endpoint *peer = l3l2q_peer(ep);
	struct l3l2q_open_peer *cmd = ucmd->cmd;
	int err;

	if (!ep->creator)
		return -EPERM;
	cmd->role = peer->role;
	err = l3l2q_endpoint_publish(peer, ucmd, &cmd->fd);
	if (!err)
		trace_l3l2q_open_peer(peer);
	return err;
}

static int l3l2q_ioctl_detach(struct l3l2q_ucmd *ucmd)
{
	return l3l2q_endpoint_end(ucmd->ep, L3L2Q_STATE_DETACHED);
}

static int l3l2q_ioctl_stats(struct l3l2q_ucmd *ucmd)
{
	const struct l3l2q_endpoint *ep = ucmd->ep;
	struct l3l2q_stats *cmd = ucmd->cmd;
	const atomic64_t *stats = ep->stats;

	*cmd = (struct l3l2q_stats) {
		.notifies = atomic64_read(&stats[L3L2Q_STAT_NOTIFIES]),
		.kicks = atomic64_read(&stats[L3L2Q_STAT_KICKS]),
		.waits = atomic64_read(&stats[L3L2Q_STAT_WAITS]),
		.sleeps = atomic64_read(&stats[L3L2Q_STAT_SLEEPS]),
		.polls = atomic64_read(&stats[L3L2Q_STAT_POLLS]),
		.arms = atomic64_read(&stats[L3L2Q_STAT_ARMS]),
		.wakeups = atomic64_read(&stats[L3L2Q_STAT_WAKEUPS]),
		.signals = atomic64_read(&stats[L3L2Q_STAT_SIGNALS]),
		.timer_ticks = atomic64_read(&stats[L3L2Q_STAT_TIMER_TICKS]),
		.timer_wakeups =
			atomic64_read(&stats[L3L2Q_STAT_TIMER_WAKEUPS]),
		.faults = atomic64_read(&stats[L3L2Q_STAT_FAULTS]),
		.region_bytes = ep->region->bytes,
		.interrupts = atomic64_read(&stats[L3L2Q_STAT_INTERRUPTS]),
		.doorbells = atomic64_read(&stats[L3L2Q_STAT_DOORBELLS]),
	};
	return l3l2q_ucmd_respond(ucmd);
}

#ifndef CONFIG_DMA_SHARED_BUFFER
static int l3l2q_ioctl_export_dmabuf(struct l3l2q_ucmd *ucmd)
{
	const struct l3l2q_export_dmabuf *cmd = ucmd->cmd;

	return cmd->pad ? -EINVAL : -EOPNOTSUPP;
}
#endif

#define L3L2Q_WAIT_FLAGS						\
	(L3L2Q_WAIT_INTERRUPTED | L3L2Q_WAIT_NO_RESTART)

#define CALL_LIVE	L3L2Q_CALL_LIVE
#define CALL_OWN	(L3L2Q_CALL_LIVE | L3L2Q_CALL_OWNER)

static const struct l3l2q_ioctl l3l2q_endpoint_ioctls[] = {
	[_IOC_NR(L3L2Q_IOC_INFO)] =
		L3L2Q_IOCTL(l3l2q_info, 304, L3L2Q_INFO_DEVICE_ADDRESSES, 0,
			    l3l2q_ioctl_info),
	[_IOC_NR(L3L2Q_IOC_OPEN_PEER)] =
		L3L2Q_IOCTL(l3l2q_open_peer, 16, 0, CALL_OWN,
			    l3l2q_ioctl_open_peer),
	[_IOC_NR(L3L2Q_IOC_NOTIFY)] =
		L3L2Q_IOCTL(l3l2q_notify, 24, 0, CALL_OWN, l3l2q_ioctl_notify),
	[_IOC_NR(L3L2Q_IOC_TEST)] =
		L3L2Q_IOCTL(l3l2q_test, 32, 0, 0, l3l2q_ioctl_test),
	[_IOC_NR(L3L2Q_IOC_WAIT)] =
		L3L2Q_IOCTL(l3l2q_wait, 48, L3L2Q_WAIT_FLAGS, CALL_LIVE,
			    l3l2q_ioctl_wait),
	[_IOC_NR(L3L2Q_IOC_ARM)] =
		L3L2Q_IOCTL(l3l2q_arm, 16, 0, CALL_OWN, l3l2q_ioctl_arm),
	[_IOC_NR(L3L2Q_IOC_EVENTFD)] =
		L3L2Q_IOCTL(l3l2q_eventfd, 40, 0, CALL_OWN, l3l2q_ioctl_eventfd),
	[_IOC_NR(L3L2Q_IOC_KICK)] =
		L3L2Q_IOCTL_PLAIN(L3L2Q_KICK_SELF, CALL_OWN, l3l2q_ioctl_kick),
	[_IOC_NR(L3L2Q_IOC_SET_POLLING)] =
		L3L2Q_IOCTL(l3l2q_set_polling, 24, 0, CALL_OWN,
			    l3l2q_ioctl_set_polling),
	[_IOC_NR(L3L2Q_IOC_DETACH)] =
		L3L2Q_IOCTL_PLAIN(0, CALL_OWN, l3l2q_ioctl_detach),
	[_IOC_NR(L3L2Q_IOC_STATS)] =
		L3L2Q_IOCTL(l3l2q_stats, 120, 0, 0, l3l2q_ioctl_stats),
	[_IOC_NR(L3L2Q_IOC_EXPORT_DMABUF)] =
		L3L2Q_IOCTL(l3l2q_export_dmabuf, 16, 0, CALL_OWN,
			    l3l2q_ioctl_export_dmabuf),
	[_IOC_NR(L3L2Q_IOC_INTERRUPT)] =
		L3L2Q_IOCTL_PLAIN(0, CALL_OWN, l3l2q_ioctl_interrupt),
};

static long l3l2q_endpoint_ioctl(struct file *file, unsigned int cmd,
				 unsigned long arg)
{
	return l3l2q_ioctl(l3l2q_endpoint_ioctls,
			   ARRAY_SIZE(l3l2q_endpoint_ioctls),
			   file->private_data, cmd, arg);
}

/* ---- files -------------------------------------------------------------- */

#ifdef CONFIG_PROC_FS
static const char * const l3l2q_role_names[] = {
	[L3L2Q_ROLE_L3] = "L3",
	[L3L2Q_ROLE_L2] = "L2",
};

static const char * const l3l2q_stat_names[] = {
	[L3L2Q_STAT_NOTIFIES] = "notifies",
	[L3L2Q_STAT_KICKS] = "kicks",
	[L3L2Q_STAT_WAITS] = "waits",
	[L3L2Q_STAT_SLEEPS] = "sleeps",
	[L3L2Q_STAT_POLLS] = "polls",
	[L3L2Q_STAT_ARMS] = "arms",
	[L3L2Q_STAT_WAKEUPS] = "wakeups",
	[L3L2Q_STAT_SIGNALS] = "signals",
	[L3L2Q_STAT_TIMER_TICKS] = "timer-ticks",
	[L3L2Q_STAT_TIMER_WAKEUPS] = "timer-wakeups",
	[L3L2Q_STAT_FAULTS] = "faults",
	[L3L2Q_STAT_INTERRUPTS] = "interrupts",
	[L3L2Q_STAT_DOORBELLS] = "doorbells",
};

static void l3l2q_endpoint_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct l3l2q_endpoint *ep = file->private_data;
	struct l3l2q_endpoint *peer = l3l2q_peer(ep);
	u32 i;

	l3l2q_region_show_fdinfo(m, ep->region);
	seq_printf(m, "l3l2q-role:\t%s\n", l3l2q_role_names[ep->role]);
	seq_printf(m, "l3l2q-state:\t%s\n",
		   l3l2q_state_name(l3l2q_endpoint_state(ep)));
	seq_printf(m, "l3l2q-peer-state:\t%s\n",
		   l3l2q_state_name(l3l2q_endpoint_state(peer)));
	seq_printf(m, "l3l2q-peer-kind:\t%s\n",
		   l3l2q_peer_kind_name(READ_ONCE(ep->peer_kind)));
	seq_printf(m, "l3l2q-gone:\t%#x\n",
		   READ_ONCE(ep->region->status->gone[ep->role]));
	seq_printf(m, "l3l2q-armed:\t%#x\n", l3l2q_armed(ep));
	seq_printf(m, "l3l2q-peer-armed:\t%#x\n", l3l2q_armed(peer));
	seq_printf(m, "l3l2q-watches:\t%zu\n", l3l2q_watches(ep));
	for (i = 0; i < L3L2Q_STATS_NR; i++)
		seq_printf(m, "l3l2q-%s:\t%llu\n", l3l2q_stat_names[i],
			   (u64)atomic64_read(&ep->stats[i]));
}
#endif

static int l3l2q_endpoint_release(struct inode *inode, struct file *file)
{
	struct l3l2q_endpoint *ep = file->private_data;

	/* Or its descriptor never reached anybody. */
	if (ep) {
		l3l2q_endpoint_end(ep, L3L2Q_STATE_DEAD);
		l3l2q_scan_del(ep);
		hrtimer_cancel(&ep->timer);
		l3l2q_region_put(ep->region);
	}
	return 0;
}

static const struct file_operations l3l2q_endpoint_fops = {
	.owner = THIS_MODULE,
	.release = l3l2q_endpoint_release,
	.unlocked_ioctl = l3l2q_endpoint_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = l3l2q_endpoint_mmap,
	.poll = l3l2q_endpoint_poll,
#ifdef CONFIG_PROC_FS
	.show_fdinfo = l3l2q_endpoint_show_fdinfo,
#endif
};

static const char * const l3l2q_file_names[] = {
	[L3L2Q_ROLE_L3] = "l3l2q-l3",
	[L3L2Q_ROLE_L2] = "l3l2q-l2",
};

/**
 * l3l2q_endpoint_publish() - open a role and hand its file to the caller
 * @ep: the role, whose region the caller holds
 * @ucmd: the ioctl that responds with it
 * @fd: where in ucmd->cmd its number goes
 *
 * Return: 0; -EBUSY if the role was opened before; or -errno, and nobody has
 * seen it.
 */
int l3l2q_endpoint_publish(struct l3l2q_endpoint *ep,
			   const struct l3l2q_ucmd *ucmd, s32 *fd)
{
	int err;

	err = l3l2q_endpoint_open(ep);
	if (err)
		return err;

	/* Before anybody can close it. */
	kref_get(&ep->region->ref);
	err = l3l2q_file_publish(l3l2q_file_names[ep->role],
				 &l3l2q_endpoint_fops, ep, O_RDWR, ep->region,
				 ucmd, fd);
	if (err) {
		l3l2q_endpoint_unopen(ep);
		l3l2q_region_put(ep->region);
	}
	return err;
}
