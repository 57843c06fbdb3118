// SPDX-License-Identifier: MIT
/* Readiness, arming, spinning and sleeping, over any transport. */
#include <sched.h>
#include <time.h>

#include "internal.h"

#define NAP_MIN_NS 20000ull
#define SPIN_TURNS 32		/* looks between two readings of the clock; smallest budget */
#define SPIN_CEILING (1u << 20)
#define PROBE_PERIOD 32		/* sleeps between two spins that ignore the budget */
#define COST_PERIOD 16		/* sleeps between two whose cost is measured */
#define COST_START_NS 4000
#define COST_MIN_NS 500
#define SOLO_PERIOD 256		/* waits between two looks at the affinity */
#define SLOW_LOOK_NS 1000	/* about what it takes to ask a device */

static uint32_t read_flags(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static uint32_t read_word(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static enum l3l2q_role own_role(const struct l3l2q_ep *ep)
{
	return (enum l3l2q_role)ep->core.role;
}

/* A counter, of the copy of all that copied memory has. */
static uint32_t ctr(const struct l3l2q_ep *ep, const uint32_t *copy, uint32_t offset)
{
	return copy ? copy[offset / sizeof(*copy)] :
	       l3l2q_core_load(&ep->core, l3l2q_core_counter(&ep->core, offset));
}

static bool peer_aborted(const struct l3l2q_ep *ep, const uint32_t *copy)
{
	return l3l2q_abort_is_set((int32_t)ctr(ep, copy,
					       l3l2q_ctr_abort(l3l2q_peer_role(own_role(ep)))));
}

static uint32_t ready_peer(const struct l3l2q_ep *ep, const uint32_t *copy)
{
	uint32_t gone = l3l2q_core_gone_word(&ep->core);
	uint32_t state = L3L2Q_STATE_NONE, events = 0;

	if (!ep->raw && peer_aborted(ep, copy))
		events |= L3L2Q_EVENT_ABORT;
	if (ep->status)
		state = read_flags(&ep->status->state[l3l2q_peer_role(own_role(ep))]);
	if (gone || state >= L3L2Q_STATE_DETACHED || l3l2q_core_removed(&ep->core))
		events |= L3L2Q_EVENT_HUP;
	if (gone & (L3L2Q_GONE_ABORTED | L3L2Q_GONE_REMOVED) || state == L3L2Q_STATE_DEAD ||
	    l3l2q_core_removed(&ep->core))
		events |= L3L2Q_EVENT_ABORT;
	return events;
}

/* Own counters are not looked at: the peer can write them, and a look may be slow. */
static bool ready_in(const struct l3l2q_ep *ep, const uint32_t *copy)
{
	const struct l3l2q_control *control = ep->core.control;
	enum l3l2q_role peer = l3l2q_peer_role(own_role(ep));
	uint32_t flags = read_flags(&control->consumer_flags), head = 0;

	if (!(flags & L3L2Q_CONSUMER_SEEN))
		head = (uint32_t)__atomic_load_n(&ep->rx.head, __ATOMIC_RELAXED);
	return l3l2q_readable(ctr(ep, copy, l3l2q_ctr_tail(peer)), head, flags,
			      read_word(&control->seen_tail));
}

static bool ready_out(const struct l3l2q_ep *ep, const uint32_t *copy)
{
	const struct l3l2q_control *control = ep->core.control;
	enum l3l2q_role own = own_role(ep);
	uint32_t flags = read_flags(&control->producer_flags), tail = 0;

	if (!(flags & L3L2Q_PRODUCER_NEED))
		tail = (uint32_t)l3l2q_producer_published(&ep->tx);
	return l3l2q_writable(tail, ctr(ep, copy, l3l2q_ctr_head(own)),
			      (uint32_t)ep->core.layout.depth, flags,
			      read_word(&control->need_head));
}

/* Which of these events hold, by a copy of the counters or, without one, now. */
uint32_t l3l2q_ready_by(const struct l3l2q_ep *ep, uint32_t events, const uint32_t *counters)
{
	uint32_t ready = ready_peer(ep, counters) & events;

	if (ep->raw)
		return ready;
	if (events & L3L2Q_EVENT_IN && ready_in(ep, counters))
		ready |= L3L2Q_EVENT_IN;
	if (events & L3L2Q_EVENT_OUT && ready_out(ep, counters))
		ready |= L3L2Q_EVENT_OUT;
	return ready;
}

/* By one copy. In one that has the flag set, the tail may be older than the flag. */
static uint32_t ready_copied(const struct l3l2q_ep *ep, uint32_t events, uint32_t *counters)
{
	l3l2q_copied_counters(ep, counters);
	if (events & L3L2Q_EVENT_IN && peer_aborted(ep, counters))
		l3l2q_copied_counters(ep, counters);
	return l3l2q_ready_by(ep, events, counters);
}

/*
 * Which of these events hold now: what the driver computes too, from the same
 * words.
 */
uint32_t l3l2q_ready(const struct l3l2q_ep *ep, uint32_t events)
{
	uint32_t counters[L3L2Q_COUNTER_BYTES / 4];

	return l3l2q_ep_is_copied(ep) ? ready_copied(ep, events, counters)
				      : l3l2q_ready_by(ep, events, NULL);
}

/* The same for a call that waits, and then acquires what this look has seen. */
uint32_t l3l2q_ready_for(struct l3l2q_ep *ep, const struct l3l2q_half *half, uint32_t events)
{
	uint32_t counters[L3L2Q_COUNTER_BYTES / 4], ready;

	if (!l3l2q_ep_is_copied(ep))
		return l3l2q_ready(ep, events);
	ready = ready_copied(ep, events, counters);
	if (half == &ep->rx_half && ready & L3L2Q_EVENT_IN)
		l3l2q_copied_keep(ep, counters);
	return ready;
}

void l3l2q_kick_peer(struct l3l2q_ep *ep, struct l3l2q_half *half)
{
	l3l2q_half_count(ep, half, &half->counts.kicks);
	ep->ops->kick(ep, false);
}

/* A system call made for somebody, by whichever thread. */
void l3l2q_count_syscall(struct l3l2q_ep *ep)
{
	__atomic_fetch_add(&ep->syscalls, 1, __ATOMIC_RELAXED);
}

/* ---- being interrupted -------------------------------------------------- */

/* Take an interruption: the call that does returns -EINTR. */
static bool half_take_interrupt(struct l3l2q_half *half)
{
	return __atomic_load_n(&half->interrupted, __ATOMIC_RELAXED) &&
	       __atomic_exchange_n(&half->interrupted, 0, __ATOMIC_ACQUIRE);
}

/* A call that sleeps has to return, or at least to look again. */
bool l3l2q_half_must_return(const struct l3l2q_ep *ep, const struct l3l2q_half *half)
{
	return __atomic_load_n(&half->interrupted, __ATOMIC_ACQUIRE) || l3l2q_ep_live(ep);
}

/* True if a call that begins, or whose time is over, has to return -EINTR. */
bool l3l2q_take_interruption(struct l3l2q_ep *ep, struct l3l2q_half *half)
{
	if (!half_take_interrupt(half))
		return false;
	/* Where signals end calls too, what the kernel has kept would end a second one. */
	if (ep->interruptible && ep->ops->drop_interrupt)
		ep->ops->drop_interrupt(ep, half);
	return true;
}

/* A sleep returned -EINTR: true if the call returns *ret, else it goes on. */
bool l3l2q_return_interrupted(struct l3l2q_ep *ep, struct l3l2q_half *half, int *ret)
{
	if (half_take_interrupt(half)) {
		*ret = -EINTR;
		return true;
	}
	*ret = l3l2q_ep_live(ep);
	/* This end has ended: another thread may be about to sleep in such a call. */
	if (*ret && *ret != -ECONNABORTED && half == &ep->any_half)
		ep->ops->interrupt(ep);
	/* After the peer's abort there may still be messages: trying tells. */
	if (*ret)
		return *ret != -ECONNABORTED;
	*ret = -EINTR;
	return ep->interruptible;
}

/* ---- asking the kernel about the peer ------------------------------------- */

#define ASK_PERIOD_NS 1000000ull
#define ASK_TICKS_PER_MS 20000ull	/* until it is known; slow rather than fast */

void l3l2q_add_gone(struct l3l2q_ep *ep, uint32_t gone)
{
	__atomic_fetch_or(&ep->gone, gone, __ATOMIC_RELEASE);
}

/*
 * Ask whether the peer lives, once a millisecond at most; @ask_at becomes when to come
 * again. True if the answer is new.
 */
bool l3l2q_ask(struct l3l2q_ep *ep, struct l3l2q_half *half, __u64 *ask_at)
{
	struct l3l2q_asker *a = &half->asker;
	uint64_t now, ticks, passed;

	if (!ep->ops->ask_peer || __atomic_load_n(&ep->gone, __ATOMIC_RELAXED))
		return false;
	now = l3l2q_now();
	ticks = l3l2q_ticks();
	passed = now - a->ns;
	if (!a->ticks_per_ms)
		a->ticks_per_ms = ASK_TICKS_PER_MS;
	if (a->ns && passed >= ASK_PERIOD_NS / 16 && passed <= 1000 * ASK_PERIOD_NS)
		a->ticks_per_ms = (ticks - a->ticks) * ASK_PERIOD_NS / passed;
	if (a->ns && passed < ASK_PERIOD_NS) {
		__atomic_store_n(ask_at, ticks + (ASK_PERIOD_NS - passed) *
				 a->ticks_per_ms / ASK_PERIOD_NS, __ATOMIC_RELAXED);
		return false;
	}
	a->ns = now;
	a->ticks = ticks;
	__atomic_store_n(ask_at, ticks + a->ticks_per_ms, __ATOMIC_RELAXED);
	ep->ops->ask_peer(ep);
	return __atomic_load_n(&ep->gone, __ATOMIC_ACQUIRE);
}

/* The same for a call on the endpoint itself, which several threads may make. */
static bool ask_any(struct l3l2q_ep *ep)
{
	bool asked;

	if (l3l2q_ticks() < __atomic_load_n(&ep->ask_at, __ATOMIC_RELAXED) ||
	    __atomic_exchange_n(&ep->asking, true, __ATOMIC_ACQUIRE))
		return false;
	asked = l3l2q_ask(ep, &ep->any_half, &ep->ask_at);
	__atomic_store_n(&ep->asking, false, __ATOMIC_RELEASE);
	return asked;
}

/*
 * Sleep a little, longer each time up to the endpoint's bound, where nobody would wake
 * us. -EINTR after a signal, if that is to end calls.
 */
int l3l2q_nap(struct l3l2q_ep *ep, uint64_t *nap_ns, uint64_t deadline_ns)
{
	uint64_t now = l3l2q_now();
	struct timespec ts = { 0 };

	if (now >= deadline_ns)
		return 0;
	l3l2q_count_syscall(ep);
	*nap_ns = *nap_ns ? *nap_ns * 2 : NAP_MIN_NS;
	if (*nap_ns > ep->nap_ns)
		*nap_ns = ep->nap_ns;
	ts.tv_nsec = (long)(*nap_ns < deadline_ns - now ? *nap_ns : deadline_ns - now);
	if (nanosleep(&ts, NULL) && ep->interruptible)
		return -EINTR;
	return 0;
}

/* ---- spinning ---------------------------------------------------------- */

/*
 * A spin may cost as much processor time as the sleep that it avoids, at both ends, so
 * that in the worst case both take twice what sleeping takes. What is learned lowers
 * this: the budget follows the waits that ended while spinning and shrinks with each that
 * did not. A sleep tells nothing about how long a spin would have taken, so the
 * budget never grows by one; a rare spin that ignores the budget finds out.
 *
 * Budgets are in looks, not in time: that way a short one needs no clock, which
 * is read every SPIN_TURNS looks only.
 */

static uint64_t learned(const uint64_t *value)
{
	return __atomic_load_n(value, __ATOMIC_RELAXED);
}

/* Several threads may write to the spinner of any_half: a lost update does no harm. */
static void learn(uint64_t *value, uint64_t now)
{
	__atomic_store_n(value, now, __ATOMIC_RELAXED);
}

static void learn_success(struct l3l2q_spinner *s, uint64_t turns)
{
	uint64_t budget = learned(&s->budget), want = turns * 2;

	if (want < budget)
		want = budget - (budget - want) / 4;
	if (want < SPIN_TURNS)
		want = SPIN_TURNS;
	learn(&s->budget, want < SPIN_CEILING ? want : SPIN_CEILING);
}

static void learn_failure(struct l3l2q_spinner *s)
{
	uint64_t budget = learned(&s->budget) * 3 / 4;

	learn(&s->budget, budget < SPIN_TURNS ? 0 : budget);
}

/*
 * True if only one processor may run this thread, as of SOLO_PERIOD waits ago at most: the
 * peer waits for it, then. Threads that share any_half share the answer.
 */
static bool is_solo(struct l3l2q_ep *ep, struct l3l2q_half *half)
{
	uint64_t waits = learned(&half->spinner.waits);
	cpu_set_t set;

	learn(&half->spinner.waits, waits + 1);
	if (waits % SOLO_PERIOD == 0) {
		l3l2q_count_syscall(ep);
		learn(&half->spinner.solo,
		      !sched_getaffinity(0, sizeof(set), &set) && CPU_COUNT(&set) == 1);
	}
	return learned(&half->spinner.solo);
}

/*
 * How long a call may spin, by what a sleep costs. Where nobody wakes us a sleep ends
 * late, so it costs a nap at least.
 */
static uint64_t spin_limit(struct l3l2q_ep *ep, struct l3l2q_half *half)
{
	uint64_t cost = learned(&half->spinner.cost_ns) ?: COST_START_NS;

	if ((ep->silent || ep->ops == &l3l2q_external) && cost < NAP_MIN_NS)
		cost = NAP_MIN_NS;
	if (!ep->spin_ns || is_solo(ep, half))
		return 0;
	return cost < ep->spin_ns ? cost : ep->spin_ns;
}

/* Looks between two readings of the clock: a look by a call takes longer than reading it. */
static unsigned int spin_turns(const struct l3l2q_ep *ep)
{
	return l3l2q_ep_is_copied(ep) ? 1 : SPIN_TURNS;
}

/* True if this spin ignores the budget: each PROBE_PERIOD sleeps, and more often at first. */
static bool is_probe(const struct l3l2q_spinner *s)
{
	uint64_t sleeps = learned(&s->sleeps);

	return sleeps < PROBE_PERIOD ? !(sleeps & (sleeps - 1)) : !(sleeps % PROBE_PERIOD);
}

/* A slow look would overrun the time before the clock is first read. */
static uint64_t spin_budget(const struct l3l2q_ep *ep, const struct l3l2q_spinner *s,
			    uint64_t limit_ns)
{
	uint64_t budget = is_probe(s) ? SPIN_CEILING : learned(&s->budget);
	uint64_t most = limit_ns / SLOW_LOOK_NS + 1;

	return ep->memory == L3L2Q_MEMORY_CACHED || budget < most ? budget : most;
}

/* The events that hold, or whether the condition does if there is one. */
static inline uint32_t look(struct l3l2q_ep *ep, struct l3l2q_half *half, uint32_t events,
			    struct l3l2q_condition *cond)
{
	return cond ? (uint32_t)l3l2q_condition_holds(ep, cond) : l3l2q_ready_for(ep, half, events);
}

/* Look again and again until it holds or until the budget or the time is spent. */
static uint32_t spin(struct l3l2q_ep *ep, struct l3l2q_half *half, uint32_t events,
		     struct l3l2q_condition *cond, uint64_t deadline)
{
	uint64_t limit = spin_limit(ep, half), until = 0, turn, budget, now;
	struct l3l2q_spinner *s = &half->spinner;
	uint32_t ready;

	if (!limit)
		return 0;
	budget = spin_budget(ep, s, limit);
	for (turn = 1; turn <= budget; turn++) {
		ready = look(ep, half, events, cond);
		if (ready) {
			learn_success(s, turn);
			l3l2q_let_off(ep, half);
			l3l2q_half_count(ep, half, &half->counts.spins);
			return ready;
		}
		if (turn % spin_turns(ep) == 0) {
			now = l3l2q_now();
			if (!until)
				until = now + limit < deadline ? now + limit : deadline;
			if (now >= until)
				break;
		}
		l3l2q_relax();
	}
	learn_failure(s);
	return 0;
}

static uint64_t processor_ns(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Follow the median: a sleep that lasts may have done more than to sleep. */
static void learn_cost(struct l3l2q_spinner *s, uint64_t took)
{
	uint64_t cost = learned(&s->cost_ns) ?: COST_START_NS;

	cost = took > cost ? cost + cost / 8 : cost - cost / 8;
	learn(&s->cost_ns, cost > COST_MIN_NS ? cost : COST_MIN_NS);
}

static int sleep_for(struct l3l2q_ep *ep, struct l3l2q_half *half, uint32_t events,
		     struct l3l2q_condition *cond, uint64_t deadline)
{
	return cond ? ep->ops->sleep_counter(ep, cond, deadline) :
	       ep->ops->sleep(ep, half, events, deadline);
}

/* Sleep, and sometimes measure what it costs: about as much here as at the end that wakes. */
static int sleep_and_learn(struct l3l2q_ep *ep, struct l3l2q_half *half, uint32_t events,
			   struct l3l2q_condition *cond, uint64_t deadline)
{
	struct l3l2q_spinner *s = &half->spinner;
	uint64_t sleeps = learned(&s->sleeps), before;
	int ret;

	l3l2q_half_count(ep, half, &half->counts.sleeps);
	learn(&s->sleeps, sleeps + 1);
	if (!ep->spin_ns || sleeps % COST_PERIOD)
		return sleep_for(ep, half, events, cond, deadline);
	before = processor_ns();
	ret = sleep_for(ep, half, events, cond, deadline);
	learn_cost(s, 2 * (processor_ns() - before));
	l3l2q_count_syscall(ep);
	l3l2q_count_syscall(ep);
	return ret;
}

/*
 * Functions, so that there is one place of each with arguments in registers: perf does not
 * take two that differ, nor a constant.
 */
__attribute__((noinline)) void l3l2q_probe_sleep(const struct l3l2q_ep *ep, uint32_t events,
						 uint64_t deadline)
{
	L3L2Q_PROBE4(sleep, &ep->core, events, deadline);
}

__attribute__((noinline)) void l3l2q_probe_wake(const struct l3l2q_ep *ep, int ret)
{
	L3L2Q_PROBE3(wake, &ep->core, ret);
}

/*
 * Wait for events: spin, then sleep. Returns those that hold, -ETIMEDOUT, or
 * another error.
 */
static int wait_events(struct l3l2q_ep *ep, struct l3l2q_half *half, uint32_t events,
		       uint64_t deadline)
{
	uint32_t ready;
	int ret;

	events |= L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP;
	ready = spin(ep, half, events, NULL, deadline);
	if (ready)
		return (int)ready;
	l3l2q_probe_sleep(ep, events, deadline);
	ret = sleep_and_learn(ep, half, events, NULL, deadline);
	l3l2q_probe_wake(ep, ret);
	return ret;
}

/* The same for a condition, on the endpoint: 1 if it holds, 0 to look again, or -errno. */
int l3l2q_wait_condition(struct l3l2q_ep *ep, struct l3l2q_condition *cond, uint64_t deadline)
{
	int ret;

	if (spin(ep, &ep->any_half, 0, cond, deadline))
		return 1;
	l3l2q_probe_sleep(ep, 0, deadline);
	ret = sleep_and_learn(ep, &ep->any_half, 0, cond, deadline);
	l3l2q_probe_wake(ep, ret);
	return ret;
}

/* ---- blocking forms ---------------------------------------------------- */

int l3l2q_waiter_start(struct l3l2q_waiter *w, struct l3l2q_ep *ep, struct l3l2q_half *half,
		       uint32_t events, int64_t timeout_ns, const char *op)
{
	w->ep = ep;
	w->half = half;
	w->events = events;
	w->timeout_ns = timeout_ns;
	w->deadline_ns = 0;
	w->op = op;
	w->started = false;
	w->last = 0;
	if (l3l2q_core_check_timeout(&ep->core, timeout_ns))
		return ep->ops ? -EINVAL : -EPERM;
	return l3l2q_take_interruption(ep, half) ? -EINTR : 0;
}

/* Out of time: that may be the peer's abort, or an interruption came at the last moment. */
static int waiter_timed_out(struct l3l2q_waiter *w)
{
	if (l3l2q_take_interruption(w->ep, w->half))
		return -EINTR;
	return l3l2q_ep_failed(w->ep, l3l2q_core_timed_out(&w->ep->core, w->op));
}

/*
 * A try made no progress: wait until another may. Once the peer is gone one
 * more try is made, since what it published before is still deliverable.
 */
int l3l2q_waiter_next(struct l3l2q_waiter *w)
{
	int ret;

	if (!w->timeout_ns)
		return waiter_timed_out(w);
	if (w->last & L3L2Q_EVENT_ABORT)
		return l3l2q_core_remote_abort(&w->ep->core, w->op);
	if (w->last)
		return -EPIPE;
	if (!w->started) {
		w->deadline_ns = l3l2q_deadline(w->timeout_ns);
		w->started = true;
	} else if (l3l2q_now() >= w->deadline_ns) {
		/* What seemed ready was not, which a hostile peer can go on with. */
		return waiter_timed_out(w);
	}
	ret = wait_events(w->ep, w->half, w->events, w->deadline_ns);
	if (ret == -ETIMEDOUT)
		return waiter_timed_out(w);
	if (ret == -EINTR)
		return l3l2q_return_interrupted(w->ep, w->half, &ret) ? ret : 0;
	if (ret < 0)
		return l3l2q_ep_failed(w->ep, ret);
	w->last = (uint32_t)ret & (L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP);
	return 0;
}

/* ---- on an endpoint ---------------------------------------------------- */

/*
 * What holds now. The error of an endpoint comes first, but for the peer's abort while
 * there is something left to acquire.
 */
static int ready_now(struct l3l2q_ep *ep, uint32_t events)
{
	int ret = l3l2q_ep_live(ep);
	uint32_t ready;

	if (ret && (ret != -ECONNABORTED || l3l2q_core_check_receive(&ep->core)))
		return ret;
	ready = l3l2q_ready(ep, events);
	return ret && !(ready & L3L2Q_EVENT_IN) ? ret : (int)ready;
}

/* True if a caller may wait for these: a raw region has no messages. */
static bool are_events(const struct l3l2q_ep *ep, uint32_t events)
{
	return !(events & ~(ep->raw ? 0 : L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT));
}

L3L2Q_API int l3l2q_wait(struct l3l2q_ep *ep, uint32_t events, int64_t timeout_ns)
{
	uint32_t all = events | L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP;
	uint64_t deadline = 0;
	int ret;

	if (!are_events(ep, events) || timeout_ns < 0)
		return ep->ops ? -EINVAL : -EPERM;
	ret = ready_now(ep, all);
	if (!ret && !timeout_ns && ask_any(ep))
		ret = ready_now(ep, all);
	if (ret)
		return ret;
	if (events & L3L2Q_EVENT_OUT)
		l3l2q_publish_batch(ep);
	if (!timeout_ns)
		return -ETIMEDOUT;
	deadline = l3l2q_deadline(timeout_ns);
	do {
		if (l3l2q_take_interruption(ep, &ep->any_half))
			return -EINTR;
		ret = wait_events(ep, &ep->any_half, events, deadline);
		if (ret == -ETIMEDOUT && l3l2q_take_interruption(ep, &ep->any_half))
			return -EINTR;
		if (ret != -EINTR || l3l2q_return_interrupted(ep, &ep->any_half, &ret))
			return ret;
		ret = ready_now(ep, all);
	} while (!ret);
	return ret;
}

L3L2Q_API int l3l2q_arm(struct l3l2q_ep *ep, uint32_t events)
{
	uint32_t all = events | L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP;
	int ret = l3l2q_ep_live(ep), unsure;
	uint64_t nap_ns = 0;

	if (!are_events(ep, events))
		return ep->ops ? -EINVAL : -EPERM;
	if (ret)
		return ready_now(ep, all);
	unsure = ep->ops->arm(ep, all);
	if (unsure < 0)
		return unsure;
	ret = ready_now(ep, all);
	if (!ret && ask_any(ep))
		ret = ready_now(ep, all);
	if (ret || !unsure)
		return ret;
	/* A poll might sleep for ever: have the caller try again, and not too often. */
	l3l2q_nap(ep, &nap_ns, UINT64_MAX);
	ret = ready_now(ep, all);
	return ret ? ret : (int)events;
}

L3L2Q_API int l3l2q_fd(struct l3l2q_ep *ep)
{
	return ep->ops ? ep->ops->fd(ep) : -EPERM;
}

L3L2Q_API int l3l2q_eventfd(struct l3l2q_ep *ep, uint32_t kind, int fd)
{
	int ret = l3l2q_ep_live(ep);

	if (ret)
		return ret;
	if (kind > L3L2Q_EVENTFD_ABORT || fd < -1)
		return -EINVAL;
	return ep->ops->eventfd(ep, kind, fd);
}
