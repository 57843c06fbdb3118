// SPDX-License-Identifier: MIT
/*
 * Transport over memory that the caller has mapped, or has functions for: nobody wakes us,
 * so nap.
 */
#include <string.h>

#include "internal.h"

static int external_unsupported(struct l3l2q_ep *ep)
{
	(void)ep;
	return -EOPNOTSUPP;
}

static int external_kick(struct l3l2q_ep *ep, bool self)
{
	(void)ep;
	(void)self;
	return 0;
}

int l3l2q_polled_sleep(struct l3l2q_ep *ep, const struct l3l2q_half *half, uint32_t events,
		       uint64_t deadline_ns)
{
	uint64_t nap_ns = 0;
	uint32_t ready;

	for (;;) {
		ready = l3l2q_ready_for(ep, half, events);
		if (ready)
			return (int)ready;
		if (l3l2q_half_must_return(ep, half))
			return -EINTR;
		if (l3l2q_now() >= deadline_ns)
			return -ETIMEDOUT;
		if (l3l2q_nap(ep, &nap_ns, deadline_ns))
			return -EINTR;
	}
}

/* A nap ends by itself, soon. */
static void external_interrupt(struct l3l2q_ep *ep)
{
	(void)ep;
}

/* True if the condition holds or the peer has aborted; with copied memory by one copy. */
static bool look_at_counter(struct l3l2q_ep *ep, struct l3l2q_condition *cond)
{
	uint32_t counters[L3L2Q_COUNTER_BYTES / 4], *copy = NULL;

	if (l3l2q_ep_is_copied(ep)) {
		copy = counters;
		l3l2q_copied_counters(ep, counters);
		cond->observed = (int32_t)counters[cond->offset / 4];
	} else {
		cond->observed = (int32_t)l3l2q_core_load(&ep->core,
				 l3l2q_core_counter(&ep->core, cond->offset));
	}
	return l3l2q_cmp_holds(cond->cmp, cond->observed, cond->value) ||
	       l3l2q_ready_by(ep, L3L2Q_EVENT_ABORT, copy);
}

int l3l2q_polled_sleep_counter(struct l3l2q_ep *ep, struct l3l2q_condition *cond,
			       uint64_t deadline_ns)
{
	uint64_t nap_ns = 0;

	for (;;) {
		if (look_at_counter(ep, cond))
			return 0;
		if (l3l2q_half_must_return(ep, &ep->any_half))
			return -EINTR;
		if (l3l2q_now() >= deadline_ns)
			return -ETIMEDOUT;
		if (l3l2q_nap(ep, &nap_ns, deadline_ns))
			return -EINTR;
	}
}

static int external_arm(struct l3l2q_ep *ep, uint32_t events)
{
	(void)ep;
	(void)events;
	return 0;
}

static int external_eventfd(struct l3l2q_ep *ep, uint32_t kind, int fd)
{
	(void)ep;
	(void)kind;
	(void)fd;
	return -EOPNOTSUPP;
}

static int external_detach(struct l3l2q_ep *ep)
{
	(void)ep;
	return 0;
}

static void external_release(struct l3l2q_ep *ep)
{
	l3l2q_copied_unmap(ep);
}

const struct l3l2q_transport l3l2q_external = {
	.name = "external",
	.open_peer = external_unsupported,
	.kick = external_kick,
	.sleep = l3l2q_polled_sleep,
	.sleep_counter = l3l2q_polled_sleep_counter,
	.interrupt = external_interrupt,
	.arm = external_arm,
	.fd = external_unsupported,
	.eventfd = external_eventfd,
	.detach = external_detach,
	.release = external_release,
};

/*
 * A used end is never attached again: its cursors cannot be resumed. The peer's
 * counters do not matter, it may have started.
 */
static int check_unused(const struct l3l2q_ep *ep, struct l3l2q_failure *why)
{
	uint32_t copy[L3L2Q_COUNTER_BYTES / 4], offset, value;

	if (l3l2q_ep_is_copied(ep)) {
		l3l2q_copied_counters(ep, copy);
		if (ep->copies.failed)
			return l3l2q_why(why, -(int)ep->copies.failed,
					 "the counters could not be read: %s",
					 strerror((int)ep->copies.failed));
	}
	for (offset = 0; offset < L3L2Q_COUNTER_BYTES; offset += L3L2Q_LINE_BYTES) {
		value = l3l2q_ep_is_copied(ep) ? copy[offset / 4] :
			l3l2q_core_load(&ep->core, l3l2q_core_counter(&ep->core, offset));
		if (l3l2q_counter_writer(offset) == ep->core.role && value)
			return l3l2q_why(why, -EPROTO,
					 "this end is or was in use: a counter it writes is not 0");
	}
	return 0;
}

/* Both ranges lie in the address space, and apart. */
static bool ranges_fit(const struct l3l2q_external *ext, const struct l3l2q_region_desc *region)
{
	uint64_t payload = (uintptr_t)ext->payload, counters = (uintptr_t)ext->counters;
	uint64_t payload_end, counters_end;

	if (__builtin_add_overflow(payload, region->payload_bytes, &payload_end) ||
	    __builtin_add_overflow(counters, region->counter_bytes, &counters_end))
		return false;
	if (payload_end > UINTPTR_MAX || counters_end > UINTPTR_MAX)
		return false;
	return payload_end <= counters || counters_end <= payload;
}

/* What the scalars say, in the binding that their number tells. */
static int parse(struct l3l2q_ep *ep, const struct l3l2q_external *ext, struct l3l2q_failure *why)
{
	uint32_t count = ext->scalar_count ? ext->scalar_count : L3L2Q_SCALARS;
	__u64 scalars[L3L2Q_SCALARS], identity[2];

	memcpy(scalars, ext->scalars, sizeof(scalars));
	switch (l3l2q_binding_parse(scalars, count, identity, &ep->region, &ep->queue)) {
	case L3L2Q_CHECK_OK:
		break;
	case L3L2Q_CHECK_MAGIC:
		return l3l2q_why(why, -EPROTO, count == L3L2Q_SCALARS ?
				 "the scalars are those of the SPSQ binding, which has ten" :
				 "the scalars are not those of the SPSQ binding, version 1.0");
	default:
		return l3l2q_why(why, -EINVAL, "%u scalars: L3Q2 has twelve, SPSQ has ten", count);
	}
	ep->binding = count == L3L2Q_SCALARS ? L3L2Q_BINDING_L3Q2 : L3L2Q_BINDING_SPSQ;
	memcpy(ep->identity, identity, sizeof(ep->identity));
	/* Where L2 finds the memory is known to the caller alone. */
	ep->device_addresses = true;
	return 0;
}

static int check_memory(const struct l3l2q_external *ext, struct l3l2q_failure *why)
{
	if (ext->role > L3L2Q_ROLE_L2)
		return l3l2q_why(why, -EINVAL, "a role that is neither L3 nor L2");
	if (ext->pad)
		return l3l2q_why(why, -EINVAL, "the description's pad is %#x, not 0", ext->pad);
	if (ext->memory == L3L2Q_MEMORY_UNSNOOPED)
		return l3l2q_why(why, -EINVAL, "unsnooped memory is for the protocol core only");
	if (ext->memory > L3L2Q_MEMORY_COPIED)
		return l3l2q_why(why, -EINVAL, "unknown memory type %u", ext->memory);
	if (ext->memory != L3L2Q_MEMORY_COPIED && (!ext->payload || !ext->counters))
		return l3l2q_why(why, -EINVAL, "no memory: payload or counters are NULL");
	if ((uintptr_t)ext->payload % 8 || (uintptr_t)ext->counters % L3L2Q_LINE_BYTES)
		return l3l2q_why(why, -EINVAL, "payload or counters are not aligned");
	return l3l2q_copied_check(ext, why);
}

/* The addresses, once the sizes are known to be right. l3l2q_ep_start() refuses wrong ones. */
static int place(struct l3l2q_ep *ep, const struct l3l2q_external *ext, struct l3l2q_failure *why)
{
	struct l3l2q_layout layout;

	if (l3l2q_queue_check(&ep->region, &ep->queue, &layout) != L3L2Q_CHECK_OK)
		return 0;
	if (ext->memory == L3L2Q_MEMORY_COPIED)
		return l3l2q_copied_map(ep, ext, &layout, why);
	if (!ranges_fit(ext, &ep->region))
		return l3l2q_why(why, -EINVAL,
				 "payload and counters overlap, or go beyond the address space");
	return 0;
}

int l3l2q_external_attach(struct l3l2q_ep **out, const struct l3l2q_external *ext,
			  const struct l3l2q_attr *attr, struct l3l2q_failure *why)
{
	void *payload = ext->payload, *counters = ext->counters;
	struct l3l2q_ep *ep;
	int ret = check_memory(ext, why);

	if (ret)
		return ret;
	ret = l3l2q_ep_alloc(&ep, &l3l2q_external);
	if (ret)
		return l3l2q_why(why, ret, "no memory for an endpoint");
	ep->memory = ext->memory;
	ret = parse(ep, ext, why);
	if (!ret)
		ret = place(ep, ext, why);
	if (ret)
		goto close;
	if (l3l2q_ep_is_copied(ep)) {
		payload = ep->maps[L3L2Q_MAP_PAYLOAD].addr;
		counters = ep->maps[L3L2Q_MAP_COUNTERS].addr;
	}
	ret = l3l2q_ep_start(ep, (enum l3l2q_role)ext->role, payload, counters, attr, why);
	if (!ret)
		ret = check_unused(ep, why);
	if (ret)
		goto close;
	*out = ep;
	return 0;
close:
	l3l2q_close(ep);
	return ret;
}
