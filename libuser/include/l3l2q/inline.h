/* SPDX-License-Identifier: MIT */
/*
 * The busy path of l3l2q.h, inline: what most messages take, and a call of the
 * library for all the rest. Included by l3l2q.h, unless L3L2Q_NO_INLINE is defined or
 * the compiler does not optimise; then all of it is a call of the library.
 *
 * What struct l3l2q_producer and struct l3l2q_consumer look like is therefore a part
 * of the library's ABI: it changes with the number in the library's name only.
 */
#ifndef L3L2Q_INLINE_H
#define L3L2Q_INLINE_H

#include <l3l2q.h>
#include <l3l2q/core.h>

#ifdef __cplusplus
extern "C" {
#endif

#define L3L2Q_INLINE static inline __attribute__((always_inline))

/* Wake who sleeps for what was done; @ret is handed on. */
int l3l2q_producer_settle(struct l3l2q_producer *p, int ret);
int l3l2q_consumer_settle(struct l3l2q_consumer *c, int ret);

/* Placed: publish it unless a batch is open. */
L3L2Q_INLINE int l3l2q_inline_placed(struct l3l2q_producer *p)
{
	if (p->batching)
		return 0;
	l3l2q_core_publish(p);
	return l3l2q_likely(!p->kick) ? 0 : l3l2q_producer_settle(p, 0);
}

L3L2Q_INLINE int l3l2q_inline_try_enqueue(struct l3l2q_producer *p, uint32_t opcode,
					   const void *body, size_t nbytes)
{
	if (l3l2q_unlikely(!l3l2q_opcode_ordinary(opcode) || !body != !nbytes))
		return l3l2q_try_enqueue(p, opcode, body, nbytes);
	if (!l3l2q_producer_can(p, nbytes))
		return l3l2q_producer_stuck(p, nbytes) ? -EAGAIN :
		       l3l2q_try_enqueue(p, opcode, body, nbytes);
	if (nbytes)
		__builtin_memcpy(l3l2q_producer_body(p, nbytes), body, nbytes);
	l3l2q_producer_put(p, opcode, nbytes);
	return l3l2q_inline_placed(p);
}

L3L2Q_INLINE int l3l2q_inline_try_reserve(struct l3l2q_producer *p, size_t nbytes,
					   struct l3l2q_reservation *span)
{
	if (!l3l2q_producer_can(p, nbytes))
		return l3l2q_producer_stuck(p, nbytes) ? -EAGAIN :
		       l3l2q_try_reserve(p, nbytes, span);
	l3l2q_producer_hand_out(p, nbytes, l3l2q_producer_body(p, nbytes), span);
	return 0;
}

L3L2Q_INLINE int l3l2q_inline_commit(struct l3l2q_producer *p,
				      const struct l3l2q_reservation *span, uint32_t opcode)
{
	if (l3l2q_unlikely(!l3l2q_producer_may_commit(p, span, opcode)))
		return l3l2q_commit(p, span, opcode);
	l3l2q_producer_put_span(p, span, opcode);
	return l3l2q_inline_placed(p);
}

L3L2Q_INLINE int l3l2q_inline_try_peek(struct l3l2q_consumer *c, struct l3l2q_message *m)
{
	int found = l3l2q_consumer_look(c);
	struct l3l2q_desc desc;

	if (found == -EAGAIN)
		return found;
	if (l3l2q_unlikely(!found))
		return l3l2q_try_peek(c, m);
	desc = l3l2q_consumer_copy(c);
	if (l3l2q_unlikely(!l3l2q_consumer_expects(c, desc)))
		return l3l2q_try_peek(c, m); /* by a copy of its own */
	l3l2q_consumer_take(c, desc, m);
	l3l2q_consumer_note(c);
	return 0;
}

L3L2Q_INLINE int l3l2q_inline_release(struct l3l2q_consumer *c, const struct l3l2q_message *m)
{
	if (l3l2q_unlikely(!l3l2q_consumer_may_release(c, m)))
		return l3l2q_release(c, m);
	l3l2q_consumer_release_next(c);
	return l3l2q_likely(!(c->kick | c->self_kick)) ? 0 : l3l2q_consumer_settle(c, 0);
}

L3L2Q_INLINE int l3l2q_inline_try_dequeue(struct l3l2q_consumer *c, struct l3l2q_message *m,
					  void *body, size_t capacity)
{
	int found = l3l2q_consumer_look(c);
	struct l3l2q_desc desc;

	if (l3l2q_unlikely(!found || c->acquired != c->head))
		return l3l2q_try_dequeue(c, m, body, capacity);
	if (found == -EAGAIN)
		return found;
	desc = l3l2q_consumer_copy(c);
	if (l3l2q_unlikely(!l3l2q_consumer_fits(c, desc, body, capacity)))
		return l3l2q_try_dequeue(c, m, body, capacity);
	l3l2q_consumer_move(c, desc, m, body);
	return l3l2q_likely(!c->kick) ? 0 : l3l2q_consumer_settle(c, 0);
}

/* Calls; a name without arguments is the library's function. */
#define l3l2q_try_enqueue(p, opcode, body, nbytes) \
	l3l2q_inline_try_enqueue(p, opcode, body, nbytes)
#define l3l2q_try_reserve(p, nbytes, span)	l3l2q_inline_try_reserve(p, nbytes, span)
#define l3l2q_commit(p, span, opcode)		l3l2q_inline_commit(p, span, opcode)
#define l3l2q_try_peek(c, m)			l3l2q_inline_try_peek(c, m)
#define l3l2q_release(c, m)			l3l2q_inline_release(c, m)
#define l3l2q_try_dequeue(c, m, body, capacity) \
	l3l2q_inline_try_dequeue(c, m, body, capacity)

#ifdef __cplusplus
}
#endif

#endif /* L3L2Q_INLINE_H */
