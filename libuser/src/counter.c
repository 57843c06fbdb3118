// SPDX-License-Identifier: MIT
/* Counters and payload of a region, with or without a queue in it. */
#include <string.h>

#include "internal.h"

/* The counter at an offset, or NULL with the reason in *ret. */
static int32_t *counter_at(const struct l3l2q_ep *ep, uint64_t offset, int *ret)
{
	switch (l3l2q_counter_check(ep->region.counter_bytes, offset)) {
	case L3L2Q_CHECK_OK:
		*ret = 0;
		return l3l2q_core_counter(&ep->core, offset);
	case L3L2Q_CHECK_OUT_OF_BOUNDS:
		*ret = -ERANGE;
		return NULL;
	default:
		*ret = -EINVAL;
		return NULL;
	}
}

/* What the peer's threads are armed for that the counter at an offset can end. */
static uint32_t sleepers_for(const struct l3l2q_ep *ep, uint64_t offset)
{
	if (ep->raw)
		return L3L2Q_ARM_EVENTS;
	switch (offset) {
	case L3L2Q_CTR_INPUT_TAIL:
	case L3L2Q_CTR_OUTPUT_TAIL:
		return L3L2Q_ARM_TAIL;
	case L3L2Q_CTR_INPUT_HEAD:
	case L3L2Q_CTR_OUTPUT_HEAD:
		return L3L2Q_ARM_HEAD;
	default:
		return L3L2Q_ARM_EVENTS;
	}
}

L3L2Q_API int l3l2q_notify(struct l3l2q_ep *ep, uint64_t offset, uint32_t op, int32_t value)
{
	const uint32_t *peer_armed;
	uint32_t asleep, now;
	int32_t *counter;
	int ret = l3l2q_ep_live(ep);

	if (ret)
		return ret;
	counter = counter_at(ep, offset, &ret);
	if (!counter)
		return ret;
	if (op > L3L2Q_NOTIFY_ADD)
		return -EINVAL;
	if (!ep->raw && l3l2q_counter_writer(offset) != ep->core.role)
		return -EPERM;
	now = (uint32_t)value;
	if (op == L3L2Q_NOTIFY_ADD)
		now += l3l2q_core_load(&ep->core, counter);
	l3l2q_core_store(&ep->core, counter, now);
	l3l2q_full_barrier();
	peer_armed = __atomic_load_n(&ep->core.peer_armed, __ATOMIC_RELAXED);
	if (peer_armed && __atomic_load_n(peer_armed, __ATOMIC_RELAXED) & sleepers_for(ep, offset))
		l3l2q_kick_peer(ep, &ep->any_half);
	asleep = __atomic_load_n(ep->core.armed, __ATOMIC_RELAXED);
	if (asleep & (L3L2Q_ARM_COUNTER | L3L2Q_ARM_SLOTS))
		ep->ops->kick(ep, true);
	return l3l2q_core_removed(&ep->core) ? l3l2q_core_remote_abort(&ep->core, "notify") : 0;
}

L3L2Q_API int l3l2q_test(struct l3l2q_ep *ep, uint64_t offset, uint32_t cmp, int32_t value,
			 int32_t *observed)
{
	int32_t *counter, now;
	int ret;

	if (observed)
		*observed = 0;
	if (!ep->ops)
		return -EPERM;
	counter = counter_at(ep, offset, &ret);
	if (!counter)
		return ret;
	if (cmp > L3L2Q_CMP_LE)
		return -EINVAL;
	now = (int32_t)l3l2q_core_load(&ep->core, counter);
	/* The value may stand for one that could not be read. */
	ret = l3l2q_check_copies(ep, 0, "test");
	if (ret)
		return ret;
	if (observed)
		*observed = now;
	return l3l2q_cmp_holds(cmp, now, value);
}

int l3l2q_condition_holds(struct l3l2q_ep *ep, struct l3l2q_condition *cond)
{
	const int32_t *counter = l3l2q_core_counter(&ep->core, cond->offset);

	cond->observed = (int32_t)l3l2q_core_load(&ep->core, counter);
	return l3l2q_cmp_holds(cond->cmp, cond->observed, cond->value);
}

static int wait_condition(struct l3l2q_ep *ep, struct l3l2q_condition *cond, int64_t timeout_ns)
{
	uint64_t deadline = timeout_ns ? l3l2q_deadline(timeout_ns) : 0;
	uint32_t gone;
	int ret;

	if (l3l2q_take_interruption(ep, &ep->any_half))
		return -EINTR;
	while (!l3l2q_condition_holds(ep, cond)) {
		ret = l3l2q_ep_live(ep);
		if (ret)
			return ret;
		gone = l3l2q_ready(ep, L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP);
		if (gone)
			return l3l2q_condition_holds(ep, cond) ? 0 :
			       gone & L3L2Q_EVENT_ABORT ? -ECONNABORTED : -EPIPE;
		if (!timeout_ns)
			return -ETIMEDOUT;
		ret = l3l2q_wait_condition(ep, cond, deadline);
		if (ret > 0)
			return 0;
		if (ret == -ETIMEDOUT) {
			if (l3l2q_condition_holds(ep, cond))
				return 0;
			return l3l2q_take_interruption(ep, &ep->any_half) ? -EINTR : ret;
		}
		if (ret == -EINTR && !l3l2q_return_interrupted(ep, &ep->any_half, &ret))
			continue;
		if (ret)
			return ret;
	}
	return 0;
}

L3L2Q_API int l3l2q_wait_counter(struct l3l2q_ep *ep, uint64_t offset, uint32_t cmp,
				 int32_t value, int64_t timeout_ns, int32_t *observed)
{
	struct l3l2q_condition cond = { .offset = offset, .cmp = cmp, .value = value };
	int ret = l3l2q_ep_live(ep);

	if (observed)
		*observed = 0;
	if (ret || !counter_at(ep, offset, &ret))
		return ret;
	if (cmp > L3L2Q_CMP_LE)
		return -EINVAL;
	ret = l3l2q_core_check_timeout(&ep->core, timeout_ns);
	if (ret)
		return ret;
	ret = wait_condition(ep, &cond, timeout_ns);
	/* The value may stand for one that could not be read. */
	if (!ret)
		ret = l3l2q_check_copies(ep, 0, "wait_counter");
	if (observed)
		*observed = cond.observed;
	return ret;
}

static int payload_at(const struct l3l2q_ep *ep, uint64_t offset, size_t nbytes)
{
	switch (l3l2q_payload_check(ep->region.payload_bytes, offset, nbytes)) {
	case L3L2Q_CHECK_OK: return 0;
	case L3L2Q_CHECK_OUT_OF_BOUNDS: return -ERANGE;
	default: return -EINVAL;
	}
}

L3L2Q_API int l3l2q_payload_write(struct l3l2q_ep *ep, uint64_t offset, const void *from,
				  size_t nbytes)
{
	int ret = l3l2q_ep_live(ep);

	if (!ret)
		ret = payload_at(ep, offset, nbytes);
	if (ret)
		return ret;
	if (!from)
		return -EINVAL;
	if (l3l2q_ep_is_copied(ep))
		l3l2q_copied_payload_write(ep, offset, from, nbytes);
	else
		l3l2q_core_copy(&ep->core, ep->core.payload + offset, from, nbytes);
	return l3l2q_core_removed(&ep->core) ?
	       l3l2q_core_remote_abort(&ep->core, "payload_write") : 0;
}

/* A failed read zeroes the buffer, so that what was there is not taken for data. */
L3L2Q_API int l3l2q_payload_read(struct l3l2q_ep *ep, uint64_t offset, void *to, size_t nbytes)
{
	int ret = l3l2q_ep_live(ep);

	if (!to)
		return ep->ops ? -EINVAL : -EPERM;
	if (!ret)
		ret = payload_at(ep, offset, nbytes);
	if (!ret) {
		l3l2q_core_copy_out(&ep->core, to, ep->core.payload + offset, nbytes);
		if (l3l2q_core_removed(&ep->core))
			ret = l3l2q_core_remote_abort(&ep->core, "payload_read");
	}
	/* Nobody has a buffer for more than there is: such a size is a mistake. */
	if (ret && nbytes <= ep->region.payload_bytes)
		memset(to, 0, nbytes);
	return ret;
}
