// SPDX-License-Identifier: MIT
/* Sending and receiving: the core's try forms, and blocking forms over them. */
#include "internal.h"

static struct l3l2q_ep *tx_ep(struct l3l2q_producer *p)
{
	return container_of(p, struct l3l2q_ep, tx);
}

static struct l3l2q_ep *rx_ep(struct l3l2q_consumer *c)
{
	return container_of(c, struct l3l2q_ep, rx);
}

/* After a call on the producer: wake the peer, or tell it of our end. */
L3L2Q_API int l3l2q_producer_finish(struct l3l2q_producer *p, int ret)
{
	struct l3l2q_ep *ep = tx_ep(p);

	if (p->kick) {
		p->kick = 0;
		l3l2q_kick_peer(ep, &ep->tx_half);
	}
	if (p->self_kick) {
		p->self_kick = 0;
		ep->ops->kick(ep, true);
	}
	ret = l3l2q_check_copies(ep, ret, "publish");
	return ret >= 0 || ret == -EAGAIN ? ret : l3l2q_ep_failed(ep, ret);
}

static inline int tx_done(struct l3l2q_producer *p, int ret)
{
	return l3l2q_likely(!(p->kick | p->self_kick) && (ret >= 0 || ret == -EAGAIN))
	       ? ret : l3l2q_producer_finish(p, ret);
}

L3L2Q_API int l3l2q_consumer_finish(struct l3l2q_consumer *c, int ret)
{
	struct l3l2q_ep *ep = rx_ep(c);

	if (c->kick) {
		c->kick = 0;
		l3l2q_kick_peer(ep, &ep->rx_half);
	}
	if (c->self_kick) {
		c->self_kick = 0;
		ep->ops->kick(ep, true);
	}
	ret = l3l2q_check_copies(ep, ret, "release");
	return ret >= 0 || ret == -EAGAIN ? ret : l3l2q_ep_failed(ep, ret);
}

/*
 * The queue is full, or empty: it may be time to ask the kernel about the peer. True
 * if that brought something new, so that trying again gives another answer.
 */
static inline bool tx_asked(struct l3l2q_producer *p, int ret)
{
	return l3l2q_unlikely(ret == -EAGAIN && l3l2q_ticks() >= p->ask_at) &&
	       l3l2q_ask(tx_ep(p), &tx_ep(p)->tx_half, &p->ask_at);
}

static inline bool rx_asked(struct l3l2q_consumer *c, int ret)
{
	return l3l2q_unlikely(ret == -EAGAIN && l3l2q_ticks() >= c->ask_at) &&
	       l3l2q_ask(rx_ep(c), &rx_ep(c)->rx_half, &c->ask_at);
}

/* Calls that the inline forms leave to the library come by here. */
static inline void tx_let_off(struct l3l2q_producer *p)
{
	l3l2q_let_off(tx_ep(p), &tx_ep(p)->tx_half);
}

static inline void rx_let_off(struct l3l2q_consumer *c)
{
	l3l2q_let_off(rx_ep(c), &rx_ep(c)->rx_half);
}

static inline int rx_done(struct l3l2q_consumer *c, int ret)
{
	return l3l2q_likely(!(c->kick | c->self_kick) && (ret >= 0 || ret == -EAGAIN))
	       ? ret : l3l2q_consumer_finish(c, ret);
}

/* Something was appended, if @ret says so. */
static inline int tx_appended(struct l3l2q_producer *p, int ret)
{
	L3L2Q_PROBE_ENQUEUE(&tx_ep(p)->core, p, ret);
	L3L2Q_PROBE_PUBLISH(&tx_ep(p)->core, p);
	return tx_done(p, ret);
}

/* Publish what a batch holds back. */
static int tx_publish(struct l3l2q_producer *p)
{
	l3l2q_core_publish(p);
	L3L2Q_PROBE_PUBLISH(&tx_ep(p)->core, p);
	return tx_done(p, 0);
}

static inline int rx_acquired(struct l3l2q_consumer *c, int ret)
{
	L3L2Q_PROBE_PEEK(&rx_ep(c)->core, c, ret);
	return rx_done(c, ret);
}

static inline int rx_released(struct l3l2q_consumer *c, int ret)
{
	L3L2Q_PROBE_RELEASE(&rx_ep(c)->core, c, ret);
	return rx_done(c, ret);
}

/* A bad argument is said of an endpoint; a forked child, whose copy is all zero, has none. */
static int tx_invalid(const struct l3l2q_producer *p)
{
	return p->core ? -EINVAL : -EPERM;
}

static int rx_invalid(const struct l3l2q_consumer *c)
{
	return c->core ? -EINVAL : -EPERM;
}

/* Before sleeping for room: what a batch holds back may be what takes it. */
static int tx_wait(struct l3l2q_waiter *w)
{
	struct l3l2q_producer *p = &w->ep->tx;

	if (p->withheld)
		tx_publish(p);
	return l3l2q_waiter_next(w);
}

/* After a try of a blocking form: true once it may try again. */
static bool tx_again(struct l3l2q_waiter *w, int *ret)
{
	if (*ret != -EAGAIN)
		return false;
	*ret = tx_wait(w);
	return !*ret;
}

static bool rx_again(struct l3l2q_waiter *w, int *ret)
{
	if (*ret != -EAGAIN)
		return false;
	*ret = l3l2q_waiter_next(w);
	return !*ret;
}

static int tx_waiter(struct l3l2q_waiter *w, struct l3l2q_producer *p, int64_t timeout_ns,
		     const char *op)
{
	struct l3l2q_ep *ep = tx_ep(p);

	return l3l2q_waiter_start(w, ep, &ep->tx_half, L3L2Q_EVENT_OUT, timeout_ns, op);
}

static int rx_waiter(struct l3l2q_waiter *w, struct l3l2q_consumer *c, int64_t timeout_ns,
		     const char *op)
{
	struct l3l2q_ep *ep = rx_ep(c);

	return l3l2q_waiter_start(w, ep, &ep->rx_half, L3L2Q_EVENT_IN, timeout_ns, op);
}

/* ---- sending ----------------------------------------------------------- */

struct gather {
	const struct iovec *iov;
	int count;
};

static void copy_gather(const struct l3l2q_core *core, void *to, const void *arg, __u64 nbytes)
{
	const struct gather *gather = arg;
	char *at = to;
	int i;

	for (i = 0; i < gather->count && nbytes; i++) {
		size_t n = gather->iov[i].iov_len;

		if (n > nbytes)
			n = (size_t)nbytes;
		if (n)
			l3l2q_core_copy(core, at, gather->iov[i].iov_base, n);
		at += n;
		nbytes -= n;
	}
}

static bool gather_bytes(const struct iovec *iov, int count, __u64 *nbytes)
{
	int i;

	*nbytes = 0;
	if (count < 0 || (count && !iov))
		return false;
	for (i = 0; i < count; i++) {
		if ((iov[i].iov_len && !iov[i].iov_base) ||
		    l3l2q_add_wraps(*nbytes, iov[i].iov_len, nbytes))
			return false;
	}
	return true;
}

static int try_copy(struct l3l2q_producer *p, uint32_t opcode, l3l2q_copy_fn copy,
		    const void *arg, uint64_t nbytes)
{
	int ret = l3l2q_core_try_enqueue(p, opcode, copy, arg, nbytes);

	if (tx_asked(p, ret))
		ret = l3l2q_core_try_enqueue(p, opcode, copy, arg, nbytes);
	tx_let_off(p);
	return tx_appended(p, ret);
}

static int try_enqueue(struct l3l2q_producer *p, uint32_t opcode, const void *body,
		       uint64_t nbytes)
{
	return try_copy(p, opcode, l3l2q_core_copy, body, nbytes);
}

/* STOP has calls of its own; L2 sending it is an error that the core knows. */
static bool is_back_door(struct l3l2q_producer *p, uint32_t opcode)
{
	return opcode == L3L2Q_OP_STOP && tx_ep(p)->core.role == L3L2Q_ROLE_L3;
}

static int check_gather(struct l3l2q_producer *p, uint32_t opcode, const struct gather *gather,
			__u64 *nbytes)
{
	return !is_back_door(p, opcode) && gather_bytes(gather->iov, gather->count, nbytes)
	       ? 0 : tx_invalid(p);
}

static int try_gather(struct l3l2q_producer *p, uint32_t opcode, const struct gather *gather,
		      uint64_t nbytes)
{
	return try_copy(p, opcode, copy_gather, gather, nbytes);
}

L3L2Q_API int l3l2q_try_enqueue(struct l3l2q_producer *p, uint32_t opcode, const void *body,
				size_t nbytes)
{
	if (!body != !nbytes || is_back_door(p, opcode))
		return tx_invalid(p);
	return try_enqueue(p, opcode, body, nbytes);
}

static int enqueue(struct l3l2q_producer *p, uint32_t opcode, const void *body, size_t nbytes,
		   int64_t timeout_ns)
{
	struct l3l2q_waiter w;
	int ret = tx_waiter(&w, p, timeout_ns, "enqueue");

	if (ret)
		return ret;
	do
		ret = try_enqueue(p, opcode, body, nbytes);
	while (tx_again(&w, &ret));
	return ret;
}

L3L2Q_API int l3l2q_enqueue(struct l3l2q_producer *p, uint32_t opcode, const void *body,
			    size_t nbytes, int64_t timeout_ns)
{
	if (!body != !nbytes || is_back_door(p, opcode))
		return tx_invalid(p);
	return enqueue(p, opcode, body, nbytes, timeout_ns);
}

L3L2Q_API int l3l2q_try_enqueuev(struct l3l2q_producer *p, uint32_t opcode,
				 const struct iovec *iov, int iovcnt)
{
	struct gather gather = { iov, iovcnt };
	__u64 nbytes;
	int ret = check_gather(p, opcode, &gather, &nbytes);

	return ret ? ret : try_gather(p, opcode, &gather, nbytes);
}

L3L2Q_API int l3l2q_enqueuev(struct l3l2q_producer *p, uint32_t opcode,
			     const struct iovec *iov, int iovcnt, int64_t timeout_ns)
{
	struct gather gather = { iov, iovcnt };
	struct l3l2q_waiter w;
	__u64 nbytes;
	int ret = check_gather(p, opcode, &gather, &nbytes);

	if (!ret)
		ret = tx_waiter(&w, p, timeout_ns, "enqueue");
	if (ret)
		return ret;
	do
		ret = try_gather(p, opcode, &gather, nbytes);
	while (tx_again(&w, &ret));
	return ret;
}

/* What poisoned behind a message that was sent is for the next call, but for the peer now. */
static int tx_run_done(struct l3l2q_producer *p, int ret)
{
	tx_let_off(p);
	if (ret > 0 && l3l2q_unlikely(l3l2q_core_status(p->core)))
		l3l2q_ep_failed(tx_ep(p), 0);
	return tx_appended(p, ret);
}

static int try_enqueue_run(struct l3l2q_producer *p, uint32_t opcode,
			   const struct l3l2q_body *bodies, int n)
{
	int ret = l3l2q_core_try_enqueue_run(p, opcode, bodies, n);

	if (tx_asked(p, ret))
		ret = l3l2q_core_try_enqueue_run(p, opcode, bodies, n);
	return tx_run_done(p, ret);
}

L3L2Q_API int l3l2q_try_enqueue_run(struct l3l2q_producer *p, uint32_t opcode,
				    const struct l3l2q_body *bodies, int n)
{
	if (n < 1 || is_back_door(p, opcode))
		return tx_invalid(p);
	return try_enqueue_run(p, opcode, bodies, n);
}

L3L2Q_API int l3l2q_enqueue_run(struct l3l2q_producer *p, uint32_t opcode,
				const struct l3l2q_body *bodies, int n, int64_t timeout_ns)
{
	struct l3l2q_waiter w;
	int ret;

	if (n < 1 || is_back_door(p, opcode))
		return tx_invalid(p);
	ret = tx_waiter(&w, p, timeout_ns, "enqueue");
	if (ret)
		return ret;
	do
		ret = try_enqueue_run(p, opcode, bodies, n);
	while (tx_again(&w, &ret));
	return ret;
}

L3L2Q_API int l3l2q_try_reserve(struct l3l2q_producer *p, size_t nbytes,
				struct l3l2q_reservation *span)
{
	int ret = l3l2q_core_try_reserve(p, nbytes, span);

	if (tx_asked(p, ret))
		ret = l3l2q_core_try_reserve(p, nbytes, span);
	tx_let_off(p);
	return tx_done(p, ret);
}

L3L2Q_API int l3l2q_reserve(struct l3l2q_producer *p, size_t nbytes,
			    struct l3l2q_reservation *span, int64_t timeout_ns)
{
	struct l3l2q_waiter w;
	int ret = tx_waiter(&w, p, timeout_ns, "reserve");

	if (ret)
		return ret;
	do
		ret = l3l2q_try_reserve(p, nbytes, span);
	while (tx_again(&w, &ret));
	return ret;
}

L3L2Q_API int l3l2q_try_reserve_run(struct l3l2q_producer *p, size_t nbytes, int n,
				    struct l3l2q_reservation *span)
{
	int ret;

	if (n < 1)
		return tx_invalid(p);
	ret = l3l2q_core_try_reserve_run(p, nbytes, n, span);
	if (tx_asked(p, ret))
		ret = l3l2q_core_try_reserve_run(p, nbytes, n, span);
	tx_let_off(p);
	return tx_done(p, ret);
}

L3L2Q_API int l3l2q_reserve_run(struct l3l2q_producer *p, size_t nbytes, int n,
				struct l3l2q_reservation *span, int64_t timeout_ns)
{
	struct l3l2q_waiter w;
	int ret = tx_waiter(&w, p, timeout_ns, "reserve");

	if (ret)
		return ret;
	do
		ret = l3l2q_try_reserve_run(p, nbytes, n, span);
	while (tx_again(&w, &ret));
	return ret;
}

L3L2Q_API int l3l2q_commit(struct l3l2q_producer *p, const struct l3l2q_reservation *span,
			   uint32_t opcode)
{
	return tx_appended(p, l3l2q_core_commit(p, span, opcode));
}

L3L2Q_API int l3l2q_commit_run(struct l3l2q_producer *p, const struct l3l2q_reservation *span,
			       uint32_t opcode, int n)
{
	return tx_appended(p, l3l2q_core_commit_run(p, span, opcode, n));
}

L3L2Q_API int l3l2q_cancel(struct l3l2q_producer *p, const struct l3l2q_reservation *span)
{
	return tx_done(p, l3l2q_core_cancel(p, span));
}

L3L2Q_API int l3l2q_batch_begin(struct l3l2q_producer *p)
{
	int ret = l3l2q_ep_live(tx_ep(p));

	if (ret)
		return ret;
	if (p->batching)
		return -EINVAL;
	tx_ep(p)->batch_thread = pthread_self();
	__atomic_store_n(&p->batching, 1, __ATOMIC_RELEASE);
	return 0;
}

L3L2Q_API int l3l2q_batch_publish(struct l3l2q_producer *p)
{
	int ret = l3l2q_ep_live(tx_ep(p));

	if (ret)
		return ret;
	if (!p->batching)
		return -EINVAL;
	ret = l3l2q_core_check_peer(p->core, l3l2q_core_gone_word(p->core), "batch_publish");
	if (ret)
		return tx_done(p, ret);
	__atomic_store_n(&p->batching, 0, __ATOMIC_RELAXED);
	return tx_publish(p);
}

/* Before a wait for room: if this thread holds messages back, send them. */
void l3l2q_publish_batch(struct l3l2q_ep *ep)
{
	struct l3l2q_producer *p = &ep->tx;

	if (!__atomic_load_n(&p->batching, __ATOMIC_ACQUIRE) ||
	    !pthread_equal(ep->batch_thread, pthread_self()))
		return;
	tx_publish(p);
}

/* 0 and all that is known of the peer's releases, or the reason why nothing can be sent. */
static int refresh_room(struct l3l2q_producer *p, const char *op)
{
	int ret = l3l2q_core_status(p->core);

	if (!ret && p->stopped)
		ret = -ESHUTDOWN;
	if (!ret)
		ret = l3l2q_check_copies(tx_ep(p), l3l2q_producer_refresh(p, op), op);
	return tx_done(p, ret);
}

L3L2Q_API int64_t l3l2q_room(struct l3l2q_producer *p)
{
	int ret = refresh_room(p, "room");

	if (ret)
		return ret;
	return p->span_count ? 0 : (int64_t)(p->mask + 1 - (p->tail - p->head));
}

L3L2Q_API int64_t l3l2q_room_bytes(struct l3l2q_producer *p)
{
	int ret = refresh_room(p, "room_bytes");

	if (ret)
		return ret;
	if (p->span_count || p->tail - p->head > p->mask)
		return 0;
	return (int64_t)l3l2q_producer_largest(p);
}

L3L2Q_API int l3l2q_try_stop(struct l3l2q_producer *p)
{
	return try_enqueue(p, L3L2Q_OP_STOP, NULL, 0);
}

L3L2Q_API int l3l2q_stop(struct l3l2q_producer *p, int64_t timeout_ns)
{
	return enqueue(p, L3L2Q_OP_STOP, NULL, 0, timeout_ns);
}

/* ---- receiving --------------------------------------------------------- */

L3L2Q_API int l3l2q_try_peek(struct l3l2q_consumer *c, struct l3l2q_message *m)
{
	int ret = l3l2q_core_try_peek(c, m);

	if (rx_asked(c, ret))
		ret = l3l2q_core_try_peek(c, m);
	rx_let_off(c);
	return rx_acquired(c, ret);
}

L3L2Q_API int l3l2q_peek(struct l3l2q_consumer *c, struct l3l2q_message *m, int64_t timeout_ns)
{
	struct l3l2q_waiter w;
	int ret = rx_waiter(&w, c, timeout_ns, "peek");

	if (ret)
		return ret;
	do
		ret = l3l2q_try_peek(c, m);
	while (rx_again(&w, &ret));
	return ret;
}

L3L2Q_API int l3l2q_read_into(struct l3l2q_consumer *c, const struct l3l2q_message *m,
			      void *body, size_t capacity)
{
	return rx_done(c, l3l2q_core_read_into(c, m, body, capacity));
}

L3L2Q_API int l3l2q_release(struct l3l2q_consumer *c, const struct l3l2q_message *m)
{
	return rx_released(c, l3l2q_core_release(c, m));
}

L3L2Q_API int l3l2q_try_dequeue(struct l3l2q_consumer *c, struct l3l2q_message *m, void *body,
				size_t capacity)
{
	int ret = l3l2q_core_try_dequeue(c, m, body, capacity);

	if (rx_asked(c, ret))
		ret = l3l2q_core_try_dequeue(c, m, body, capacity);
	rx_let_off(c);
	L3L2Q_PROBE_PEEK(&rx_ep(c)->core, c, ret);
	return rx_released(c, ret);
}

L3L2Q_API int l3l2q_dequeue(struct l3l2q_consumer *c, struct l3l2q_message *m, void *body,
			    size_t capacity, int64_t timeout_ns)
{
	struct l3l2q_waiter w;
	int ret = rx_waiter(&w, c, timeout_ns, "dequeue");

	if (ret)
		return ret;
	do
		ret = l3l2q_try_dequeue(c, m, body, capacity);
	while (rx_again(&w, &ret));
	return ret;
}

/* What poisoned behind a good message is for the next call, but for the peer now. */
static int rx_run_done(struct l3l2q_consumer *c, int ret)
{
	rx_let_off(c);
	if (ret > 0 && !l3l2q_consumer_is_sound(c))
		l3l2q_ep_failed(rx_ep(c), 0);
	return rx_acquired(c, ret);
}

L3L2Q_API int l3l2q_try_peek_run(struct l3l2q_consumer *c, const struct l3l2q_message **run,
				 int max)
{
	int ret;

	if (max < 1)
		return rx_invalid(c);
	ret = l3l2q_core_try_peek_run(c, run, max);
	if (rx_asked(c, ret))
		ret = l3l2q_core_try_peek_run(c, run, max);
	return rx_run_done(c, ret);
}

L3L2Q_API int l3l2q_peek_run(struct l3l2q_consumer *c, const struct l3l2q_message **run, int max,
			     int64_t timeout_ns)
{
	struct l3l2q_waiter w;
	int ret = rx_waiter(&w, c, timeout_ns, "peek");

	if (ret)
		return ret;
	do
		ret = l3l2q_try_peek_run(c, run, max);
	while (rx_again(&w, &ret));
	return ret;
}

L3L2Q_API int l3l2q_try_peek_batch(struct l3l2q_consumer *c, struct l3l2q_message *m, int max)
{
	int ret;

	if (max < 1)
		return rx_invalid(c);
	ret = l3l2q_core_peek_batch(c, m, max);
	if (rx_asked(c, ret))
		ret = l3l2q_core_peek_batch(c, m, max);
	return rx_run_done(c, ret);
}

L3L2Q_API int l3l2q_peek_batch(struct l3l2q_consumer *c, struct l3l2q_message *m, int max,
			       int64_t timeout_ns)
{
	struct l3l2q_waiter w;
	int ret = rx_waiter(&w, c, timeout_ns, "peek");

	if (ret)
		return ret;
	do
		ret = l3l2q_try_peek_batch(c, m, max);
	while (rx_again(&w, &ret));
	return ret;
}

L3L2Q_API int64_t l3l2q_pending(struct l3l2q_consumer *c)
{
	__u64 known, held, room;
	int ret = l3l2q_core_check_receive(c->core);

	if (!ret)
		ret = l3l2q_check_copies(rx_ep(c), l3l2q_consumer_refresh(c), "pending");
	if (ret)
		return rx_done(c, ret);
	known = c->tail - l3l2q_consumer_acquired(c);
	held = c->outstanding;
	room = held < c->window ? c->window - held : 0;	/* STOP is held past the window */
	return (int64_t)(known < room ? known : room);
}

L3L2Q_API int l3l2q_release_batch(struct l3l2q_consumer *c, const struct l3l2q_message *m, int n)
{
	if (!c->core)
		return -EPERM;
	return n < 0 ? -EINVAL : rx_released(c, l3l2q_core_release_batch(c, m, n));
}

L3L2Q_API int l3l2q_release_upto(struct l3l2q_consumer *c, const struct l3l2q_message *m)
{
	return rx_released(c, l3l2q_core_release_upto(c, m));
}

L3L2Q_API int l3l2q_drained(const struct l3l2q_consumer *c)
{
	return c->core ? c->drained : -EPERM;
}

/* ---- for inline.h ------------------------------------------------------- */

#define FOR_INLINE(name) \
	extern __typeof__(name) name##_slow __attribute__((alias(#name), visibility("default")))

FOR_INLINE(l3l2q_try_enqueue);
FOR_INLINE(l3l2q_try_reserve);
FOR_INLINE(l3l2q_commit);
FOR_INLINE(l3l2q_try_peek);
FOR_INLINE(l3l2q_release);
FOR_INLINE(l3l2q_try_dequeue);
