// SPDX-License-Identifier: MIT
/*
 * Sleeping and waking over memfd: futexes, and for those who poll descriptors or sleep
 * for long a socket to the other end and an eventfd of one's own, which nobody else has.
 *
 * The armed word and the futex word can be written by the peer. By these it can delay
 * this side to the next slice, no more; nothing else is decided by them.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "memfd.h"

#define SLICE_NS 100000000ull		/* longest sleep on a futex */
#define IDLE_SLICE_MS 1000ull		/* longest sleep in an epoll */
#define NSEC_PER_MSEC 1000000ull
#define WATCHED 4			/* more than an epoll of ours has */

/* ---- waking ------------------------------------------------------------ */

/* Own page in the memfd. The peer can write it. */
static struct l3l2q_control *shared_control(struct l3l2q_ep *ep)
{
	return ep->maps[L3L2Q_MAP_CONTROL].addr;
}

static uint32_t *wakeups(struct l3l2q_control *control)
{
	return &container_of(control, struct l3l2q_memfd_page, control)->wakeups;
}

static void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static long futex_wait_until(uint32_t *word, uint32_t value, const struct timespec *until)
{
	return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, until, NULL,
		       FUTEX_BITSET_MATCH_ANY);
}

/*
 * Wake this side's pollers and those who sleep for long. The eventfd is never read: its
 * edges are reported once to each epoll that has it.
 */
static void signal_self(struct l3l2q_ep *ep)
{
	uint64_t one = 1;

	__atomic_store_n(&ep->self_signalled, true, __ATOMIC_RELEASE);
	l3l2q_count_syscall(ep);
	if (write(ep->own_event, &one, sizeof(one)) < 0)
		return;
}

/* A socket that is full is one that the other side has yet to read. */
static void signal_peer(struct l3l2q_ep *ep)
{
	int sock = __atomic_load_n(&ep->sock, __ATOMIC_ACQUIRE);

	if (sock < 0)
		return;
	l3l2q_count_syscall(ep);
	send(sock, "w", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Returns what was armed. */
static uint32_t wake(struct l3l2q_ep *ep, struct l3l2q_control *control)
{
	uint32_t armed = __atomic_fetch_and(&control->armed, ~L3L2Q_ARM_EVENTS, __ATOMIC_SEQ_CST) &
			 L3L2Q_ARM_EVENTS;

	if (!armed)
		return 0;
	__atomic_fetch_add(wakeups(control), 1, __ATOMIC_RELEASE);
	l3l2q_count_syscall(ep);
	futex_wake(wakeups(control));
	return armed;
}

int l3l2q_memfd_kick(struct l3l2q_ep *ep, bool self)
{
	if ((self || ep->raw) && wake(ep, shared_control(ep)) & L3L2Q_ARM_POLL)
		signal_self(ep);
	if (!self && wake(ep, ep->peer_control) & L3L2Q_ARM_POLL)
		signal_peer(ep);
	return 0;
}

/* Async-signal-safe. Sleepers look at a word of their own; this makes them look. */
void l3l2q_memfd_interrupt(struct l3l2q_ep *ep)
{
	__atomic_fetch_add(wakeups(shared_control(ep)), 1, __ATOMIC_SEQ_CST);
	futex_wake(wakeups(shared_control(ep)));
	signal_self(ep);
}

/* ---- sleeping ---------------------------------------------------------- */

/* Watch a descriptor in an epoll. */
int l3l2q_watch(int epoll, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* Copies of what decides about this side's readiness, for tools to look at. */
static void show_readiness(struct l3l2q_ep *ep)
{
	const struct l3l2q_control *own = &ep->own_control;
	struct l3l2q_control *shown = shared_control(ep);

	__atomic_store_n(&shown->seen_tail, __atomic_load_n(&own->seen_tail, __ATOMIC_RELAXED),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&shown->consumer_flags,
			 __atomic_load_n(&own->consumer_flags, __ATOMIC_RELAXED),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&shown->need_bytes, __atomic_load_n(&own->need_bytes, __ATOMIC_RELAXED),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&shown->need_head, __atomic_load_n(&own->need_head, __ATOMIC_RELAXED),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&shown->producer_flags,
			 __atomic_load_n(&own->producer_flags, __ATOMIC_RELAXED),
			 __ATOMIC_RELAXED);
}

static bool arm_words(struct l3l2q_ep *ep, uint32_t bits)
{
	show_readiness(ep);
	return l3l2q_arm_word(ep, bits);
}

/* Handle what happened to an epoll of ours. Returns how many events there were, or -errno. */
static int happened(struct l3l2q_ep *ep, int epoll, int timeout_ms)
{
	int sock = __atomic_load_n(&ep->sock, __ATOMIC_ACQUIRE), i, n;
	struct epoll_event events[WATCHED];

	l3l2q_count_syscall(ep);
	n = epoll_wait(epoll, events, WATCHED, timeout_ms);
	for (i = 0; i < n; i++) {
		if (events[i].data.fd == ep->own_event)
			continue;
		if (events[i].data.fd != sock || events[i].events & ~(uint32_t)EPOLLIN)
			l3l2q_peer_ended(ep);
	}
	if (n < 0)
		return errno == EINTR && !ep->interruptible ? 0 : -errno;
	return n;
}

/**
 * struct sleeper - a thread that arms, looks and sleeps until a deadline
 * @before: wake-ups there had been when it armed: later ones are seen
 * @epoll: to sleep in, once it has been asleep for long; else -1
 * @pidfd: of the other end, watched by the epoll, or -1
 * @check_at_ns: where it polls: when to look at the peer's process again
 * @nap_ns: likewise: the last nap
 */
struct sleeper {
	struct l3l2q_ep *ep;
	const struct l3l2q_half *half;
	uint64_t deadline_ns;
	uint64_t check_at_ns;
	uint64_t nap_ns;
	uint32_t before;
	int epoll;
	int pidfd;
	bool woken;
};

/*
 * For a thread that has slept for a slice and may do so for long: from here on the
 * kernel tells of the other side's end. Without a pidfd it does not.
 */
static void idle_start(struct sleeper *s)
{
	struct l3l2q_ep *ep = s->ep;
	int sock = __atomic_load_n(&ep->sock, __ATOMIC_ACQUIRE), ret;

	s->pidfd = __atomic_load_n(&ep->peer_pidfd, __ATOMIC_ACQUIRE);
	if (sock < 0 || (s->pidfd < 0 && __atomic_load_n(&ep->peer_known, __ATOMIC_ACQUIRE)))
		return;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		return;
	ret = l3l2q_watch(s->epoll, ep->own_event, EPOLLIN | EPOLLET);
	if (!ret)
		ret = l3l2q_watch(s->epoll, sock, EPOLLIN | EPOLLRDHUP | EPOLLET);
	if (!ret && s->pidfd >= 0)
		ret = l3l2q_watch(s->epoll, s->pidfd, EPOLLIN);
	if (ret) {
		l3l2q_close_fd(&s->epoll);
		return;
	}
	__atomic_fetch_add(&ep->idle, 1, __ATOMIC_SEQ_CST);
	s->woken = true;
}

static void idle_end(struct sleeper *s)
{
	if (s->epoll < 0)
		return;
	__atomic_fetch_sub(&s->ep->idle, 1, __ATOMIC_RELAXED);
	l3l2q_close_fd(&s->epoll);
}

/* What is taken from the socket may have been meant for a poller: let it look. */
static void idle_drain(struct sleeper *s)
{
	if (s->woken && l3l2q_peer_drain(s->ep))
		signal_self(s->ep);
	s->woken = false;
	if (s->pidfd != __atomic_load_n(&s->ep->peer_pidfd, __ATOMIC_ACQUIRE)) {
		idle_end(s);
		idle_start(s);
	}
}

static void sleeper_start(struct sleeper *s, struct l3l2q_ep *ep, const struct l3l2q_half *half,
			  uint64_t deadline_ns)
{
	s->ep = ep;
	s->half = half;
	s->deadline_ns = deadline_ns;
	s->check_at_ns = 0;
	s->nap_ns = 0;
	s->epoll = -1;
	s->pidfd = -1;
	s->woken = false;
}

/* False if this sleeper may not be woken. */
static bool sleeper_arm(struct sleeper *s, uint32_t bits)
{
	if (s->epoll >= 0)
		idle_drain(s);
	s->before = __atomic_load_n(wakeups(shared_control(s->ep)), __ATOMIC_ACQUIRE);
	return arm_words(s->ep, s->epoll < 0 ? bits : bits | L3L2Q_ARM_POLL);
}

/*
 * When a slice ends. A long one need not be exact, so a clock will do that is read
 * faster; a silent peer is looked at as often as the caller wants.
 */
static uint64_t slice_end(struct l3l2q_ep *ep)
{
	struct timespec now;

	if (ep->silent)
		return l3l2q_now() + ep->nap_ns;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec + SLICE_NS;
}

/* Look at the peer's process: at each slice, but at a silent peer's as rarely as at another's. */
static void check_peer(struct sleeper *s, uint64_t now)
{
	if (s->ep->silent && now < s->check_at_ns)
		return;
	s->check_at_ns = now + SLICE_NS;
	l3l2q_peer_check(s->ep);
}

/* Sleep until there was a wake-up since, for one slice at most. */
static int sleep_slice(struct sleeper *s)
{
	struct l3l2q_ep *ep = s->ep;
	uint64_t end = slice_end(ep);
	struct timespec until;

	if (end > s->deadline_ns)
		end = s->deadline_ns;
	until.tv_sec = (time_t)(end / NSEC_PER_SEC);
	until.tv_nsec = (long)(end % NSEC_PER_SEC);
	l3l2q_count_syscall(ep);
	if (!futex_wait_until(wakeups(shared_control(ep)), s->before, &until) || errno == EAGAIN)
		return 0;
	if (errno != ETIMEDOUT)
		return errno == EINTR && ep->interruptible ? -EINTR : 0;
	check_peer(s, end);
	if (end == s->deadline_ns)
		return -ETIMEDOUT;
	if (s->epoll < 0 && !ep->silent)
		idle_start(s);
	return 0;
}

/* One turn of sleep: the caller looks. -ETIMEDOUT at the deadline. */
static int sleeper_rest(struct sleeper *s)
{
	uint64_t ms = 0, now;
	int n;

	/* Since it armed: what interrupts from now on also counts a wake-up. */
	if (l3l2q_half_must_return(s->ep, s->half))
		return -EINTR;
	if (s->epoll >= 0) {
		/* Short of the deadline, which a slice meets more exactly. */
		now = l3l2q_now() + SLICE_NS;
		ms = now < s->deadline_ns ? (s->deadline_ns - now) / NSEC_PER_MSEC : 0;
	}
	if (!ms)
		return sleep_slice(s);
	n = happened(s->ep, s->epoll, (int)(ms < IDLE_SLICE_MS ? ms : IDLE_SLICE_MS));
	s->woken = n > 0;
	/* A process that executes another program is not seen by its pidfd. */
	if (!n)
		l3l2q_memfd_ask_peer(s->ep);
	return n < 0 ? n : 0;
}

/* The same where no wake-up is sure to come: a nap, and now and then a look at the peer. */
static int polled_rest(struct sleeper *s)
{
	uint64_t now = l3l2q_now();

	if (l3l2q_half_must_return(s->ep, s->half))
		return -EINTR;
	if (now >= s->check_at_ns)
		check_peer(s, now);
	if (now >= s->deadline_ns)
		return -ETIMEDOUT;
	return l3l2q_nap(s->ep, &s->nap_ns, s->deadline_ns);
}

int l3l2q_memfd_sleep(struct l3l2q_ep *ep, const struct l3l2q_half *half, uint32_t events,
		      uint64_t deadline_ns)
{
	struct sleeper s;
	int ready, ret = 0;
	bool sure;

	sleeper_start(&s, ep, half, deadline_ns);
	do {
		sure = sleeper_arm(&s, events);
		ready = (int)l3l2q_ready(ep, events);
		if (ready)
			break;
		ret = sure ? sleeper_rest(&s) : polled_rest(&s);
		/* Not armed again, which would cost the peer a system call. */
		ready = (int)l3l2q_ready(ep, events);
	} while (!ready && !ret);
	idle_end(&s);
	return ready ? ready : ret;
}

static bool counter_done(struct l3l2q_ep *ep, struct l3l2q_condition *cond)
{
	const int32_t *counter = l3l2q_core_counter(&ep->core, cond->offset);

	cond->observed = (int32_t)l3l2q_load_counter(counter);
	return l3l2q_cmp_holds(cond->cmp, cond->observed, cond->value) ||
	       l3l2q_ready(ep, L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP);
}

int l3l2q_memfd_sleep_counter(struct l3l2q_ep *ep, struct l3l2q_condition *cond,
			      uint64_t deadline_ns)
{
	struct sleeper s;
	bool done, sure;
	int ret = 0;

	sleeper_start(&s, ep, &ep->any_half, deadline_ns);
	do {
		sure = sleeper_arm(&s, L3L2Q_ARM_COUNTER | L3L2Q_EVENT_ABORT);
		done = counter_done(ep, cond);
		if (done)
			break;
		ret = sure ? sleeper_rest(&s) : polled_rest(&s);
		done = counter_done(ep, cond);
	} while (!done && !ret);
	idle_end(&s);
	return done ? 0 : ret;
}

/*
 * For a poll of the caller's own: take what has woken it, so that it sleeps until there
 * is more. A thread that sleeps for long may have been meant: let it look.
 */
int l3l2q_memfd_arm(struct l3l2q_ep *ep, uint32_t events)
{
	int ret = 0;

	if (l3l2q_peer_drain(ep) && __atomic_load_n(&ep->idle, __ATOMIC_SEQ_CST))
		signal_self(ep);
	if (__atomic_exchange_n(&ep->self_signalled, false, __ATOMIC_ACQ_REL))
		ret = happened(ep, ep->poll_fd, 0);
	if (ret < 0)
		return ret;
	return arm_words(ep, events | L3L2Q_ARM_POLL) ? 0 : 1;
}
