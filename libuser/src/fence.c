// SPDX-License-Identifier: MIT
/*
 * Fences on request: a side that is busy stores its counters without a full barrier, and
 * one that is about to sleep requests them, by bits in its armed word.
 *
 *   a half	fences each store as long as the peer's REQ for it stands
 *   a sleeper	sets its event bits and REQ, full barrier; unless DONE says that it was
 *		done since the request, has membarrier() execute a full barrier on
 *		the peer's processors if it is unfenced, and sets DONE; looks, sleeps
 *   the kernel	does not let it sleep where DONE is missing
 *   a half	that has gone on for long without sleeping takes REQ and DONE away
 *
 * REQ of the peer's tail is let off by the consumer's thread, REQ of its head by the
 * producer's. Neither may happen while another thread is between REQ and DONE, since DONE
 * would then stand for a request that is gone. selftests/models/fence.pml is this file.
 */
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#define LET_OFF_MESSAGES 4096	/* so many without a sleep, and the peer need not fence */

static long membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

/* True if this process can execute barriers elsewhere, and have them executed here. */
static bool can_ask(void)
{
	long commands = membarrier(MEMBARRIER_CMD_QUERY);

	return commands >= 0 && commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED &&
	       !membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
}

/* The first full barriers of the halves find out whether the peer asks, too. */
void l3l2q_fence_start(struct l3l2q_ep *ep)
{
	if (ep->raw || ep->silent || ep->rings || ep->always_fenced || !ep->core.peer_armed ||
	    !l3l2q_core_is_plain(&ep->core))
		return;
	l3l2q_count_syscall(ep);
	if (!can_ask())
		return;
	ep->tx.fence = L3L2Q_FENCE_YET;
	ep->rx.fence = L3L2Q_FENCE_YET;
	ep->asks = true;
	__atomic_fetch_or(ep->core.armed, L3L2Q_ARM_ASKS, __ATOMIC_RELEASE);
}

/* The requests that go with event bits: the same for all threads. */
static uint32_t requests(const struct l3l2q_ep *ep, uint32_t events)
{
	uint32_t bits = 0;

	if (!ep->asks)
		return 0;
	if (events & L3L2Q_ARM_TAIL)
		bits |= L3L2Q_ARM_REQ_TAIL;
	if (events & L3L2Q_ARM_HEAD)
		bits |= L3L2Q_ARM_REQ_HEAD;
	return bits;
}

static const struct l3l2q_control *peer_words(const struct l3l2q_ep *ep)
{
	return ep->peer_control ? ep->peer_control : ep->maps[L3L2Q_MAP_PEER_CONTROL].addr;
}

static bool is_unfenced(const struct l3l2q_ep *ep, uint32_t done)
{
	const struct l3l2q_control *peer = peer_words(ep);

	return (done & L3L2Q_ARM_DONE_TAIL &&
		__atomic_load_n(&peer->tail_unfenced, __ATOMIC_RELAXED)) ||
	       (done & L3L2Q_ARM_DONE_HEAD &&
		__atomic_load_n(&peer->head_unfenced, __ATOMIC_RELAXED));
}

/* Have a full barrier executed on every processor that runs the peer. */
static bool execute_barrier(struct l3l2q_ep *ep)
{
	l3l2q_count_syscall(ep);
	__atomic_fetch_add(&ep->membarriers, 1, __ATOMIC_RELAXED);
	return !membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}

/*
 * The requests stand, with a full barrier since, and these are not DONE: see to it that
 * the peer sees them from its next store on. A half that is not unfenced has a barrier
 * of its own ahead when it becomes so.
 */
static bool make_done(struct l3l2q_ep *ep, uint32_t missing)
{
	if (is_unfenced(ep, missing) && !execute_barrier(ep))
		return false;
	__atomic_fetch_or(ep->core.armed, missing, __ATOMIC_RELEASE);
	return true;
}

/* From here on messages without a sleep are counted, anew. */
static void count_from(struct l3l2q_half *half, const __u64 *messages)
{
	__atomic_store_n(&half->slept_at, __atomic_load_n(messages, __ATOMIC_RELAXED),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&half->requested, true, __ATOMIC_RELAXED);
}

static void restart_counts(struct l3l2q_ep *ep, uint32_t reqs)
{
	if (reqs & L3L2Q_ARM_REQ_TAIL)
		count_from(&ep->rx_half, &ep->rx.head);
	if (reqs & L3L2Q_ARM_REQ_HEAD)
		count_from(&ep->tx_half, &ep->tx.tail);
}

/*
 * Set @bits of the armed word, and what goes with @events; full barrier. False if the
 * peer may have stored without seeing it, so that the caller may not rely on being
 * woken.
 */
static bool arm(struct l3l2q_ep *ep, uint32_t bits, uint32_t events)
{
	uint32_t *armed = ep->core.armed, reqs = requests(ep, events), all = bits | reqs, old;
	bool sure = true;

	if (reqs) {
		restart_counts(ep, reqs);
		__atomic_fetch_add(&ep->requesting, 1, __ATOMIC_SEQ_CST);
	}
	/* One look at the word decides: at all of it, or what the atomic has found. */
	old = __atomic_load_n(armed, __ATOMIC_RELAXED);
	if ((old & (all | L3L2Q_ARM_DONE(reqs))) != (all | L3L2Q_ARM_DONE(reqs)))
		old = __atomic_fetch_or(armed, all, __ATOMIC_RELEASE); /* after the count */
	l3l2q_full_barrier();
	if (L3L2Q_ARM_DONE(reqs) & ~old)
		sure = make_done(ep, L3L2Q_ARM_DONE(reqs) & ~old);
	if (reqs)
		__atomic_fetch_sub(&ep->requesting, 1, __ATOMIC_RELEASE);
	return sure;
}

/*
 * Arm: set bits, full barrier; the caller looks next. Pairs with the barrier
 * between a counter store and the load of armed, in l3l2q_core_wants_kick().
 */
bool l3l2q_arm_word(struct l3l2q_ep *ep, uint32_t events)
{
	return arm(ep, events, events);
}

/*
 * Request fences for events that the kernel will arm. What is DONE needs no barrier here:
 * the kernel looks at DONE again behind its own.
 */
bool l3l2q_fence_request(struct l3l2q_ep *ep, uint32_t events)
{
	uint32_t reqs = requests(ep, events);

	if (L3L2Q_ARM_DONE(reqs) & ~__atomic_load_n(ep->core.armed, __ATOMIC_RELAXED))
		return arm(ep, 0, events);
	restart_counts(ep, reqs);
	return true;
}

/*
 * For a half's own thread, now and then: let the peer off after many messages. The count
 * is read after the word: a request made meanwhile has changed the word, or was woken
 * and arms again.
 */
void l3l2q_fence_let_off(struct l3l2q_ep *ep, struct l3l2q_half *half)
{
	bool rx = half == &ep->rx_half;
	uint32_t req = rx ? L3L2Q_ARM_REQ_TAIL : L3L2Q_ARM_REQ_HEAD;
	uint32_t events = rx ? L3L2Q_ARM_TAIL : L3L2Q_ARM_HEAD;
	uint64_t passed = rx ? ep->rx.head : ep->tx.tail;
	uint32_t armed;

	passed -= __atomic_load_n(&half->slept_at, __ATOMIC_RELAXED);
	if (passed < LET_OFF_MESSAGES)
		return;
	armed = __atomic_load_n(ep->core.armed, __ATOMIC_ACQUIRE);
	if (!(armed & L3L2Q_ARM_DONE(req)) || armed & events ||
	    __atomic_load_n(&ep->requesting, __ATOMIC_RELAXED))
		return;
	/* First, so that a request made meanwhile is not forgotten. */
	__atomic_store_n(&half->requested, false, __ATOMIC_RELAXED);
	if (!__atomic_compare_exchange_n(ep->core.armed, &armed, armed & ~(req | L3L2Q_ARM_DONE(req)),
					 false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		__atomic_store_n(&half->requested, true, __ATOMIC_RELAXED);
}
