/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints l3l2q:*. Their names and fields are an interface, which
 * l3l2q-driver(4) describes. No field is an address.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM l3l2q

#if !defined(_L3L2Q_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _L3L2Q_TRACE_H

#include <linux/errno.h>
#include <linux/tracepoint.h>

#include "internal.h"

#ifndef L3L2Q_TRACE_HELPERS
#define L3L2Q_TRACE_HELPERS

/* Why a WAIT that slept has returned. */
enum l3l2q_trace_reason {
	L3L2Q_REASON_EVENT,
	L3L2Q_REASON_CONDITION,
	L3L2Q_REASON_FENCE,
	L3L2Q_REASON_TIMEOUT,
	L3L2Q_REASON_INTERRUPT,
	L3L2Q_REASON_SIGNAL,
	L3L2Q_REASON_END,
};

static inline u32 l3l2q_trace_reason(const struct l3l2q_endpoint *ep,
				     const struct l3l2q_watch *watch, int ret)
{
	if (l3l2q_endpoint_ended(ep))
		return L3L2Q_REASON_END;
	switch (ret) {
	case -ETIMEDOUT:
		return L3L2Q_REASON_TIMEOUT;
	case -EINTR:
		return L3L2Q_REASON_INTERRUPT;
	case -ERESTARTSYS:
		return L3L2Q_REASON_SIGNAL;
	}
	if (watch->revents)
		return L3L2Q_REASON_EVENT;
	return watch->index >= 0 ? L3L2Q_REASON_CONDITION : L3L2Q_REASON_FENCE;
}

/* Why a role counts as aborted for its peer. */
enum l3l2q_trace_cause {
	L3L2Q_CAUSE_FLAG,
	L3L2Q_CAUSE_DEATH,
	L3L2Q_CAUSE_REVOKE,
};

static inline u32 l3l2q_trace_cause(const struct l3l2q_endpoint *ep, u32 gone)
{
	if (gone & L3L2Q_GONE_REMOVED)
		return L3L2Q_CAUSE_REVOKE;
	/* A raw region has no flags. */
	return ep->aborted_dead || l3l2q_region_is_raw(ep->region) ?
	       L3L2Q_CAUSE_DEATH : L3L2Q_CAUSE_FLAG;
}

/* Its enum l3l2q_eventfd_kind; *@slot gets which one of these. */
static inline u32 l3l2q_trace_eventfd(const struct l3l2q_endpoint *ep,
				      const struct l3l2q_watch *watch,
				      u32 *slot)
{
	u32 index = container_of(watch, struct l3l2q_eventfd_watch, watch) -
		    ep->eventfds;
	u32 kind = min_t(u32, index, L3L2Q_EVENTFD_COUNTER);

	*slot = index - kind;
	return kind;
}

/* Numbers, for tools read these from the format of an event. */
#define l3l2q_show_role(role)						\
	__print_symbolic(role, { 0, "L3" }, { 1, "L2" })

#define l3l2q_show_state(state)						\
	__print_symbolic(state, { 0, "none" }, { 1, "open" },		\
			 { 2, "attached" }, { 3, "detached" }, { 4, "dead" })

#define l3l2q_show_reason(reason)					\
	__print_symbolic(reason, { 0, "event" }, { 1, "condition" },	\
			 { 2, "fence" }, { 3, "timeout" },		\
			 { 4, "interrupt" }, { 5, "signal" }, { 6, "end" })

#define l3l2q_show_cause(cause)						\
	__print_symbolic(cause, { 0, "flag" }, { 1, "death" },		\
			 { 2, "revoke" })

#define l3l2q_show_events(events)					\
	__print_flags(events, "|", { 1, "IN" }, { 2, "OUT" },		\
		      { 4, "ABORT" }, { 8, "HUP" })

#endif /* L3L2Q_TRACE_HELPERS */

/* ---- regions and roles -------------------------------------------------- */

TRACE_EVENT(l3l2q_create,
	    TP_PROTO(const struct l3l2q_region *region, u32 role),
	    TP_ARGS(region, role),
	    TP_STRUCT__entry(
		    __field(u64, region)
		    __field(u64, bytes)
		    __field(u32, role)
		    __field(u32, backend)
		    __field(u32, depth)
	    ),
	    TP_fast_assign(
		    __entry->region = region->id;
		    __entry->bytes = region->bytes;
		    __entry->role = role;
		    __entry->backend = region->ops->id;
		    __entry->depth = region->layout.depth;
	    ),
	    TP_printk("region=%llu role=%s backend=%u depth=%u bytes=%llu",
		      __entry->region, l3l2q_show_role(__entry->role),
		      __entry->backend, __entry->depth, __entry->bytes));

TRACE_EVENT(l3l2q_revoke,
	    TP_PROTO(const struct l3l2q_region *region, u32 removal),
	    TP_ARGS(region, removal),
	    TP_STRUCT__entry(
		    __field(u64, region)
		    __field(u32, removal)
	    ),
	    TP_fast_assign(
		    __entry->region = region->id;
		    __entry->removal = removal;
	    ),
	    TP_printk("region=%llu removal=%u", __entry->region,
		      __entry->removal));

TRACE_EVENT(l3l2q_free,
	    TP_PROTO(const struct l3l2q_region *region),
	    TP_ARGS(region),
	    TP_STRUCT__entry(
		    __field(u64, region)
	    ),
	    TP_fast_assign(
		    __entry->region = region->id;
	    ),
	    TP_printk("region=%llu", __entry->region));

DECLARE_EVENT_CLASS(l3l2q_role,
		    TP_PROTO(const struct l3l2q_endpoint *ep),
		    TP_ARGS(ep),
		    TP_STRUCT__entry(
			    __field(u64, region)
			    __field(u32, role)
		    ),
		    TP_fast_assign(
			    __entry->region = ep->region->id;
			    __entry->role = ep->role;
		    ),
		    TP_printk("region=%llu role=%s", __entry->region,
			      l3l2q_show_role(__entry->role)));

DEFINE_EVENT(l3l2q_role, l3l2q_open_peer,
	     TP_PROTO(const struct l3l2q_endpoint *ep),
	     TP_ARGS(ep));

DEFINE_EVENT(l3l2q_role, l3l2q_attach,
	     TP_PROTO(const struct l3l2q_endpoint *ep),
	     TP_ARGS(ep));

TRACE_EVENT(l3l2q_end,
	    TP_PROTO(const struct l3l2q_endpoint *ep, u32 state),
	    TP_ARGS(ep, state),
	    TP_STRUCT__entry(
		    __field(u64, region)
		    __field(u32, role)
		    __field(u32, state)
	    ),
	    TP_fast_assign(
		    __entry->region = ep->region->id;
		    __entry->role = ep->role;
		    __entry->state = state;
	    ),
	    TP_printk("region=%llu role=%s state=%s", __entry->region,
		      l3l2q_show_role(__entry->role),
		      l3l2q_show_state(__entry->state)));

/* @gone: bits that the peer's word in the status page did not have yet. */
TRACE_EVENT_CONDITION(l3l2q_abort,
		      TP_PROTO(const struct l3l2q_endpoint *ep, u32 gone),
		      TP_ARGS(ep, gone),
		      TP_CONDITION(gone & (L3L2Q_GONE_ABORTED |
					   L3L2Q_GONE_REMOVED)),
		      TP_STRUCT__entry(
			      __field(u64, region)
			      __field(u32, role)
			      __field(u32, cause)
		      ),
		      TP_fast_assign(
			      __entry->region = ep->region->id;
			      __entry->role = ep->role;
			      __entry->cause = l3l2q_trace_cause(ep, gone);
		      ),
		      TP_printk("region=%llu role=%s cause=%s", __entry->region,
				l3l2q_show_role(__entry->role),
				l3l2q_show_cause(__entry->cause)));

/* ---- sleeping and waking ------------------------------------------------ */

TRACE_EVENT(l3l2q_wait_begin,
	    TP_PROTO(const struct l3l2q_endpoint *ep,
		     const struct l3l2q_watch *watch),
	    TP_ARGS(ep, watch),
	    TP_STRUCT__entry(
		    __field(u64, region)
		    __field(s64, deadline)
		    __field(u32, role)
		    __field(u32, events)
		    __field(u32, conditions)
	    ),
	    TP_fast_assign(
		    __entry->region = ep->region->id;
		    __entry->deadline = watch->deadline;
		    __entry->role = ep->role;
		    __entry->events = watch->events;
		    __entry->conditions = watch->nr_conditions;
	    ),
	    TP_printk("region=%llu role=%s events=%s conditions=%u deadline=%lld",
		      __entry->region, l3l2q_show_role(__entry->role),
		      l3l2q_show_events(__entry->events), __entry->conditions,
		      __entry->deadline));

TRACE_EVENT(l3l2q_wait_end,
	    TP_PROTO(const struct l3l2q_endpoint *ep,
		     const struct l3l2q_watch *watch, int ret),
	    TP_ARGS(ep, watch, ret),
	    TP_STRUCT__entry(
		    __field(u64, region)
		    __field(u32, role)
		    __field(u32, reason)
		    __field(u32, events)
		    __field(s32, condition)
	    ),
	    TP_fast_assign(
		    __entry->region = ep->region->id;
		    __entry->role = ep->role;
		    __entry->reason = l3l2q_trace_reason(ep, watch, ret);
		    __entry->events = watch->revents;
		    __entry->condition = watch->index;
	    ),
	    TP_printk("region=%llu role=%s reason=%s events=%s condition=%d",
		      __entry->region, l3l2q_show_role(__entry->role),
		      l3l2q_show_reason(__entry->reason),
		      l3l2q_show_events(__entry->events), __entry->condition));

TRACE_EVENT_CONDITION(l3l2q_wake,
		      TP_PROTO(const struct l3l2q_endpoint *ep, u32 armed,
			       bool force),
		      TP_ARGS(ep, armed, force),
		      TP_CONDITION(armed),
		      TP_STRUCT__entry(
			      __field(u64, region)
			      __field(u32, role)
			      __field(u32, armed)
			      __field(u32, force)
		      ),
		      TP_fast_assign(
			      __entry->region = ep->region->id;
			      __entry->role = ep->role;
			      __entry->armed = armed;
			      __entry->force = force;
		      ),
		      TP_printk("region=%llu role=%s armed=%#x force=%u",
				__entry->region,
				l3l2q_show_role(__entry->role), __entry->armed,
				__entry->force));

TRACE_EVENT(l3l2q_eventfd,
	    TP_PROTO(const struct l3l2q_endpoint *ep,
		     const struct l3l2q_watch *watch),
	    TP_ARGS(ep, watch),
	    TP_STRUCT__entry(
		    __field(u64, region)
		    __field(u32, role)
		    __field(u32, kind)
		    __field(u32, slot)
	    ),
	    TP_fast_assign(
		    __entry->region = ep->region->id;
		    __entry->role = ep->role;
		    __entry->kind =
			    l3l2q_trace_eventfd(ep, watch, &__entry->slot);
	    ),
	    TP_printk("region=%llu role=%s kind=%u slot=%u", __entry->region,
		      l3l2q_show_role(__entry->role), __entry->kind,
		      __entry->slot));

TRACE_EVENT(l3l2q_notify,
	    TP_PROTO(const struct l3l2q_endpoint *ep, u64 offset, s32 value),
	    TP_ARGS(ep, offset, value),
	    TP_STRUCT__entry(
		    __field(u64, region)
		    __field(u64, offset)
		    __field(u32, role)
		    __field(s32, value)
	    ),
	    TP_fast_assign(
		    __entry->region = ep->region->id;
		    __entry->offset = offset;
		    __entry->role = ep->role;
		    __entry->value = value;
	    ),
	    TP_printk("region=%llu role=%s offset=%llu value=%d",
		      __entry->region,
		      l3l2q_show_role(__entry->role), __entry->offset,
		      __entry->value));

TRACE_EVENT(l3l2q_kick,
	    TP_PROTO(const struct l3l2q_endpoint *ep, u32 flags),
	    TP_ARGS(ep, flags),
	    TP_STRUCT__entry(
		    __field(u64, region)
		    __field(u32, role)
		    __field(u32, flags)
	    ),
	    TP_fast_assign(
		    __entry->region = ep->region->id;
		    __entry->role = ep->role;
		    __entry->flags = flags;
	    ),
	    TP_printk("region=%llu role=%s flags=%#x", __entry->region,
		      l3l2q_show_role(__entry->role), __entry->flags));

TRACE_EVENT(l3l2q_scan,
	    TP_PROTO(const struct l3l2q_endpoint *ep, bool ready),
	    TP_ARGS(ep, ready),
	    TP_STRUCT__entry(
		    __field(u64, region)
		    __field(u32, role)
		    __field(u32, ready)
		    __field(u32, period_ns)
	    ),
	    TP_fast_assign(
		    __entry->region = ep->region->id;
		    __entry->role = ep->role;
		    __entry->ready = ready;
		    __entry->period_ns = READ_ONCE(ep->period_ns);
	    ),
	    TP_printk("region=%llu role=%s ready=%u period_ns=%u",
		      __entry->region,
		      l3l2q_show_role(__entry->role), __entry->ready,
		      __entry->period_ns));

#endif /* _L3L2Q_TRACE_H */

/* Below driver/, which is among the directories that are searched. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
