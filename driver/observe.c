// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel tells of regions to those who hold no endpoint of them.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
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

/**
 * l3l2q_observe_get() - find a region for an observer
 * @id: its id
 *
 * Return: the region, held, or -ENOENT if there is none that the caller may see.
 */
struct l3l2q_region *l3l2q_observe_get(u64 id)
{
	struct l3l2q_region *region;
	bool held;

	xa_lock(&l3l2q_regions);
	region = xa_load(&l3l2q_regions, id);
	held = region && l3l2q_region_get(region);
	xa_unlock(&l3l2q_regions);
	if (!held)
		return ERR_PTR(-ENOENT);
	if (l3l2q_observe_may(region))
		return region;
	l3l2q_region_put(region);
	return ERR_PTR(-ENOENT);
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

/*
 * What is left of a revoked region has abort flags of the driver's, one for each reader,
 * so those that the roles themselves had are kept apart.
 */
static void l3l2q_show_counters(struct l3l2q_region *region,
				struct l3l2q_query_region *cmd)
{
	enum l3l2q_role role;
	s32 *flag;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(cmd->counters); i++)
		cmd->counters[i] = l3l2q_counter_read(region,
						      i * L3L2Q_LINE_BYTES);
	for (role = 0; role < L3L2Q_ROLES; role++) {
		flag = &cmd->counters[l3l2q_ctr_abort(role) / L3L2Q_LINE_BYTES];
		if (region->revoked)
			*flag = region->last_abort[role];
		if (!l3l2q_abort_is_set(*flag))
			continue;
		cmd->aborts[role] = READ_ONCE(region->ep[role].aborted_dead) ?
				    L3L2Q_ABORT_DEATH : L3L2Q_ABORT_ROLE;
	}
}

static void l3l2q_show_region(struct l3l2q_region *region,
			      struct l3l2q_query_region *cmd)
{
	const struct l3l2q_layout *layout = &region->layout;
	enum l3l2q_role role;

	*cmd = (struct l3l2q_query_region) {
		.id = region->id,
		.backend = region->ops->id,
		.memory = region->memory,
		.binding = region->binding,
		.region_version = (u32)region->version,
		.depth = layout->depth,
		.input_arena_bytes = layout->input_arena_bytes,
		.output_arena_bytes = layout->output_arena_bytes,
		.payload_bytes = region->payload_bytes,
		.counter_bytes = region->counter_bytes,
		.region_bytes = region->bytes,
		.age_ns = l3l2q_since(region->created),
		.observers = l3l2q_view_observers(region->view),
	};
	memcpy(cmd->identity, region->identity, sizeof(cmd->identity));
	memcpy(cmd->tag, region->tag, sizeof(cmd->tag));
	down_read(&region->revoke);
	cmd->removed = region->revoked;
	cmd->removal = region->removal;
	if (layout->depth)
		l3l2q_show_counters(region, cmd);
	up_read(&region->revoke);
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

/* ---- fdinfo ------------------------------------------------------------- */

#ifdef CONFIG_PROC_FS
static const char * const l3l2q_state_names[] = {
	[L3L2Q_STATE_NONE] = "none",
	[L3L2Q_STATE_OPEN] = "open",
	[L3L2Q_STATE_ATTACHED] = "attached",
	[L3L2Q_STATE_DETACHED] = "detached",
	[L3L2Q_STATE_DEAD] = "dead",
};

static const char * const l3l2q_binding_names[] = {
	[L3L2Q_BINDING_L3Q2] = "L3Q2",
	[L3L2Q_BINDING_SPSQ] = "SPSQ",
};

static const char * const l3l2q_memory_names[] = {
	[L3L2Q_MEMORY_CACHED] = "cached",
	[L3L2Q_MEMORY_WC] = "write-combining",
	[L3L2Q_MEMORY_DEVICE] = "device",
};

static const char * const l3l2q_peer_kind_names[] = {
	[L3L2Q_PEER_ARMS] = "arms",
	[L3L2Q_PEER_RINGS] = "rings",
	[L3L2Q_PEER_SILENT] = "silent",
};

static const char * const l3l2q_counter_names[] = {
	"input-tail", "input-head", "output-tail", "output-head", "l3-abort",
	"l2-abort",
};

const char *l3l2q_state_name(u32 state)
{
	return l3l2q_state_names[state];
}

const char *l3l2q_peer_kind_name(u32 kind)
{
	return l3l2q_peer_kind_names[kind];
}

static void l3l2q_fdinfo_process(struct seq_file *m, const char *of,
				 const struct l3l2q_process *process)
{
	seq_printf(m, "l3l2q-%s:\tpid %u uid %u comm ", of, process->pid,
		   process->uid);
	seq_escape(m, (const char *)process->comm, "\n\\");
	seq_putc(m, '\n');
}

static void l3l2q_fdinfo_queue(struct seq_file *m,
			       const struct l3l2q_query_region *r)
{
	u32 i;

	seq_printf(m, "l3l2q-depth:\t%u\n", r->depth);
	seq_printf(m, "l3l2q-input-arena-bytes:\t%llu\n",
		   r->input_arena_bytes);
	seq_printf(m, "l3l2q-output-arena-bytes:\t%llu\n",
		   r->output_arena_bytes);
	for (i = 0; i < ARRAY_SIZE(l3l2q_counter_names); i++)
		seq_printf(m, "l3l2q-%s:\t%u\n", l3l2q_counter_names[i],
			   r->counters[i]);
}

static void l3l2q_fdinfo_end(struct seq_file *m,
			     const struct l3l2q_query_region *r,
			     enum l3l2q_role role)
{
	const char *name = role == L3L2Q_ROLE_L3 ? "l3" : "l2";
	const struct l3l2q_region_end *end = &r->ends[role];
	char of[16];

	seq_printf(m, "l3l2q-%s-state:\t%s\n", name,
		   l3l2q_state_name(end->state));
	snprintf(of, sizeof(of), "%s-process", name);
	l3l2q_fdinfo_process(m, of, &end->process);
	seq_printf(m, "l3l2q-%s-aborted:\t%u\n", name, r->aborts[role]);
	seq_printf(m, "l3l2q-%s-consumer:\tflags %#x seen-tail %u\n", name,
		   end->consumer_flags, end->seen_tail);
	seq_printf(m, "l3l2q-%s-producer:\tflags %#x need-head %u\n", name,
		   end->producer_flags, end->need_head);
	seq_printf(m, "l3l2q-%s-sleepers:\twaits %u eventfds %u\n", name,
		   end->waits, end->eventfds);
	seq_printf(m, "l3l2q-%s-woken-ns:\t%lld\n", name,
		   (s64)end->woken_ns);
}

/**
 * l3l2q_region_show_fdinfo() - print what QUERY_REGION tells
 * @m: fdinfo of an endpoint or an observer
 * @region: which, held by the caller
 */
void l3l2q_region_show_fdinfo(struct seq_file *m, struct l3l2q_region *region)
{
	struct l3l2q_query_region r;
	enum l3l2q_role role;

	l3l2q_show_region(region, &r);
	seq_printf(m, "l3l2q-region:\t%llu\n", r.id);
	seq_printf(m, "l3l2q-tag:\t%s\n", r.tag);
	seq_printf(m, "l3l2q-region-version:\t%u.%u\n",
		   r.region_version >> 16, r.region_version & 0xffff);
	seq_printf(m, "l3l2q-binding:\t%s\n", l3l2q_binding_names[r.binding]);
	seq_printf(m, "l3l2q-identity:\t%#llx %#llx\n", r.identity[0],
		   r.identity[1]);
	seq_printf(m, "l3l2q-backend:\t%s\n", region->ops->name);
	seq_printf(m, "l3l2q-memory:\t%s\n", l3l2q_memory_names[r.memory]);
	seq_printf(m, "l3l2q-bytes:\t%llu\n", r.region_bytes);
	seq_printf(m, "l3l2q-payload-bytes:\t%llu\n", r.payload_bytes);
	seq_printf(m, "l3l2q-counter-bytes:\t%llu\n", r.counter_bytes);
	if (r.depth)
		l3l2q_fdinfo_queue(m, &r);
	seq_printf(m, "l3l2q-age-ns:\t%llu\n", r.age_ns);
	seq_printf(m, "l3l2q-observers:\t%u\n", r.observers);
	seq_printf(m, "l3l2q-removed:\t%u\n", r.removed);
	seq_printf(m, "l3l2q-removal:\t%u\n", r.removal);
	l3l2q_fdinfo_process(m, "creator", &r.creator);
	for (role = 0; role < L3L2Q_ROLES; role++)
		l3l2q_fdinfo_end(m, &r, role);
}
#endif
