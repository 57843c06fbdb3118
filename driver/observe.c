// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel tells of regions to those who hold no endpoint of them.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/timekeeping.h>
#include <linux/user_namespace.h>
#include <linux/xarray.h>

#include "internal.h"

/* By id. A region in here that nobody holds any more is about to leave. */
static DEFINE_XARRAY(l3l2q_regions);

/* ---- processes ---------------------------------------------------------- */

/**
 * l3l2q_process_get() - remember the calling process
 * @process: to fill in. Not under a lock that softirqs take
 */
void l3l2q_process_get(struct l3l2q_process_ref *process)
{
	process->pid = get_task_pid(current, PIDTYPE_TGID);
	process->uid = current_uid();
	get_task_comm(process->comm, current->group_leader);
}

void l3l2q_process_put(const struct l3l2q_process_ref *process)
{
	put_pid(process->pid);
}

static void l3l2q_process_show(const struct l3l2q_process_ref *process,
			       struct l3l2q_process *shown)
{
	BUILD_BUG_ON(sizeof(shown->comm) != sizeof(process->comm));
	if (!process->pid)
		return;
	shown->uid = from_kuid_munged(current_user_ns(), process->uid);
	shown->pid = pid_vnr(process->pid);
	memcpy(shown->comm, process->comm, sizeof(shown->comm));
}

/* ---- the registry ------------------------------------------------------- */

/**
 * l3l2q_observe_join() - let observers find a region
 * @region: complete, but for its roles' files
 *
 * Return: 0 or -ENOMEM.
 */
int l3l2q_observe_join(struct l3l2q_region *region)
{
	return xa_err(xa_store(&l3l2q_regions, region->id, region,
			       GFP_KERNEL_ACCOUNT));
}

/* It cannot be found afterwards. An observer that has found it holds a reference. */
void l3l2q_observe_leave(struct l3l2q_region *region)
{
	xa_erase(&l3l2q_regions, region->id);
}

/* The next one above @id, held, or NULL. */
static struct l3l2q_region *l3l2q_observe_next(unsigned long *id)
{
	struct l3l2q_region *region;

	xa_lock(&l3l2q_regions);
	do {
		region = xa_find_after(&l3l2q_regions, id, ULONG_MAX,
				       XA_PRESENT);
	} while (region && !l3l2q_region_get(region));
	xa_unlock(&l3l2q_regions);
	return region;
}

static bool l3l2q_observe_may(const struct l3l2q_region *region)
{
	return uid_eq(region->creator.uid, current_euid()) ||
	       ns_capable_noaudit(region->user_ns, CAP_SYS_PTRACE);
}

static struct l3l2q_region *l3l2q_observe_find(u64 above)
{
	struct l3l2q_region *region;
	unsigned long id = above;

	while ((region = l3l2q_observe_next(&id))) {
		if (l3l2q_observe_may(region))
			return region;
		l3l2q_region_put(region);
		if (fatal_signal_pending(current))
			return ERR_PTR(-EINTR);
		cond_resched();
	}
	return ERR_PTR(-ENOENT);
}

/* ---- QUERY_REGION ------------------------------------------------------- */

static u64 l3l2q_since(u64 then)
{
	return ktime_get_coarse_ns() - then;
}

static u32 l3l2q_count_eventfds(const struct l3l2q_endpoint *ep)
{
	u32 nr = 0, i;

	lockdep_assert_held(&ep->lock);
	for (i = 0; i < ARRAY_SIZE(ep->eventfds); i++)
		nr += !!ep->eventfds[i].watch.eventfd;
	return nr;
}

static void l3l2q_show_end(struct l3l2q_endpoint *ep,
			   struct l3l2q_region_end *end)
{
	const struct l3l2q_control *control = ep->control;
	u64 woken = READ_ONCE(ep->woken);

	end->peer_kind = READ_ONCE(ep->peer_kind);
	end->gone = READ_ONCE(ep->region->status->gone[ep->role]);
	end->armed = l3l2q_armed(ep);
	end->consumer_flags = READ_ONCE(control->consumer_flags);
	end->seen_tail = READ_ONCE(control->seen_tail);
	end->producer_flags = READ_ONCE(control->producer_flags);
	end->need_head = READ_ONCE(control->need_head);
	end->woken_ns = woken ? l3l2q_since(woken) : L3L2Q_NEVER;

	spin_lock_bh(&ep->lock);
	end->state = ep->state;
	end->waits = ep->waits.nr + ep->waits.kept[0] + ep->waits.kept[1];
	end->eventfds = l3l2q_count_eventfds(ep);
	/* It is there for as long as the region, once it is. */
	l3l2q_process_show(&ep->process, &end->process);
	spin_unlock_bh(&ep->lock);
}

static void l3l2q_show_region(struct l3l2q_region *region,
			      struct l3l2q_query_region *cmd)
{
	const struct l3l2q_layout *layout = &region->layout;
	enum l3l2q_role role;
	u32 i;

	*cmd = (struct l3l2q_query_region) {
		.size = sizeof(*cmd),
		.id = region->id,
		.backend = region->ops->id,
		.memory = region->memory,
		.binding = region->binding,
		.region_version = (u32)region->version,
		.depth = layout->depth,
		.removed = l3l2q_region_removed(region),
		.input_arena_bytes = layout->input_arena_bytes,
		.output_arena_bytes = layout->output_arena_bytes,
		.payload_bytes = region->payload_bytes,
		.counter_bytes = region->counter_bytes,
		.region_bytes = region->bytes,
		.age_ns = l3l2q_since(region->created),
	};
	memcpy(cmd->identity, region->identity, sizeof(cmd->identity));
	memcpy(cmd->tag, region->tag, sizeof(cmd->tag));
	for (i = 0; layout->depth && i < ARRAY_SIZE(cmd->counters); i++)
		cmd->counters[i] = l3l2q_counter_read(region,
						      i * L3L2Q_LINE_BYTES);
	for (role = 0; role < L3L2Q_ROLES; role++)
		l3l2q_show_end(&region->ep[role], &cmd->ends[role]);
	l3l2q_process_show(&region->creator, &cmd->creator);
}

int l3l2q_ioctl_query_region(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_query_region *cmd = ucmd->cmd;
	struct l3l2q_region *region = l3l2q_observe_find(cmd->id);

	if (IS_ERR(region))
		return PTR_ERR(region);
	l3l2q_show_region(region, cmd);
	l3l2q_region_put(region);
	return l3l2q_ucmd_respond(ucmd);
}
