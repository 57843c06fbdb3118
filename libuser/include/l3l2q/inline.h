/* SPDX-License-Identifier: MIT */
/*
 * The busy path of l3l2q.h, inline. Included by l3l2q.h if the compiler optimises and
 * L3L2Q_NO_INLINE is not defined; else every call goes to the library.
 *
 * These are GNU inline definitions of the library's own functions: calls are inlined, and
 * the address of a function is the library's. Each handles the common case and calls the
 * library for any other.
 *
 * The layout of struct l3l2q_core, l3l2q_producer and l3l2q_consumer, and what their
 * members mean, are therefore part of the ABI. The data symbol l3l2q_layout_1 stands for
 * them: a library with another layout does not define the symbol, and the dynamic linker
 * refuses to start a program that needs it.
 */
#ifndef L3L2Q_INLINE_H
#define L3L2Q_INLINE_H

/*
 * The compiler treats this file as a system header and does not warn about it. GCC warns
 * about static functions that GNU inline functions use, and no option disables that.
 */
#pragma GCC system_header

#include <l3l2q.h>
#include <l3l2q/core.h>
#include <l3l2q/probes.h>

#ifdef __cplusplus
extern "C" {
#endif

#define L3L2Q_INLINE extern inline __attribute__((gnu_inline, always_inline, artificial))

extern const unsigned char l3l2q_layout_1;
/* Else --gc-sections drops the reference, as it does with compilers before GCC 11. */
#if defined(__has_attribute)
#if __has_attribute(retain)
__attribute__((retain))
#endif
#endif
static const unsigned char *const l3l2q_layout_needed __attribute__((used)) = &l3l2q_layout_1;

/*
 * The library's functions by names of their own, since the names in l3l2q.h are defined
 * below. Clang does not inline a function that calls itself by another name, so these
 * are symbols, not labels.
 */
int l3l2q_try_enqueue_slow(struct l3l2q_producer *p, uint32_t opcode, const void *body,
			   size_t nbytes);
int l3l2q_try_reserve_slow(struct l3l2q_producer *p, size_t nbytes,
			   struct l3l2q_reservation *span);
int l3l2q_commit_slow(struct l3l2q_producer *p, const struct l3l2q_reservation *span,
		      uint32_t opcode);
int l3l2q_try_peek_slow(struct l3l2q_consumer *c, struct l3l2q_message *m);
int l3l2q_release_slow(struct l3l2q_consumer *c, const struct l3l2q_message *m);
int l3l2q_try_dequeue_slow(struct l3l2q_consumer *c, struct l3l2q_message *m, void *body,
			   size_t capacity);

/* Wake the threads that sleep for what was done; @ret is passed through. */
int l3l2q_producer_finish(struct l3l2q_producer *p, int ret);
int l3l2q_consumer_finish(struct l3l2q_consumer *c, int ret);

/* After a message was appended: publish it, unless a batch is open. */
static inline __attribute__((always_inline)) int l3l2q_inline_appended(struct l3l2q_producer *p,
								       __u64 tail, __u64 nbytes)
{
	__u32 kick = l3l2q_producer_finish_plain(p, tail, 1, nbytes);

	L3L2Q_PROBE_ENQUEUE(p->core, p, 0);
	L3L2Q_PROBE_PUBLISH(p->core, p);
	if (l3l2q_likely(!kick))
		return 0;
	p->kick = kick;
	return l3l2q_producer_finish(p, 0);
}

L3L2Q_INLINE int l3l2q_try_enqueue(struct l3l2q_producer *p, uint32_t opcode,
				   const void *body, size_t nbytes)
{
	__u64 tail = p->tail, cursor;

	if (l3l2q_unlikely(!l3l2q_opcode_is_data(opcode)))
		return l3l2q_try_enqueue_slow(p, opcode, body, nbytes);
	if (l3l2q_unlikely(!body != !nbytes))
		return l3l2q_try_enqueue_slow(p, opcode, body, nbytes);
	if (!l3l2q_producer_fits_fast(p, tail, nbytes))
		return l3l2q_producer_still_blocked(p, nbytes) ? -EAGAIN :
		       l3l2q_try_enqueue_slow(p, opcode, body, nbytes);
	cursor = p->offset;
	if (nbytes)
		__builtin_memcpy(p->payload + cursor, body, nbytes);
	tail = l3l2q_producer_append(p, opcode, tail, cursor, nbytes);
	return l3l2q_inline_appended(p, tail, nbytes);
}

L3L2Q_INLINE int l3l2q_try_reserve(struct l3l2q_producer *p, size_t nbytes,
				   struct l3l2q_reservation *span)
{
	if (!l3l2q_producer_fits_fast(p, p->tail, nbytes))
		return l3l2q_producer_still_blocked(p, nbytes) ? -EAGAIN :
		       l3l2q_try_reserve_slow(p, nbytes, span);
	l3l2q_producer_grant(p, nbytes, l3l2q_producer_offset(p, nbytes), span);
	return 0;
}

L3L2Q_INLINE int l3l2q_commit(struct l3l2q_producer *p,
			      const struct l3l2q_reservation *span, uint32_t opcode)
{
	if (l3l2q_unlikely(!l3l2q_producer_can_commit_fast(p, span, opcode)))
		return l3l2q_commit_slow(p, span, opcode);
	return l3l2q_inline_appended(p, l3l2q_producer_append_span(p, span, opcode), span->nbytes);
}

L3L2Q_INLINE int l3l2q_try_peek(struct l3l2q_consumer *c, struct l3l2q_message *m)
{
	int found = l3l2q_consumer_refresh_fast(c);
	struct l3l2q_desc desc;

	if (found == -EAGAIN)
		return found;
	if (l3l2q_unlikely(!found))
		return l3l2q_try_peek_slow(c, m);
	desc = l3l2q_consumer_read_desc(c);
	if (l3l2q_unlikely(!l3l2q_consumer_is_expected(c, desc)))
		return l3l2q_try_peek_slow(c, m); /* reads the descriptor again and decides */
	*m = *l3l2q_consumer_acquire(c, desc);
	l3l2q_consumer_update_readiness(c);
	L3L2Q_PROBE_PEEK(c->core, c, 0);
	return 0;
}

L3L2Q_INLINE int l3l2q_release(struct l3l2q_consumer *c, const struct l3l2q_message *m)
{
	if (l3l2q_unlikely(!l3l2q_consumer_can_release_fast(c, m)))
		return l3l2q_release_slow(c, m);
	l3l2q_consumer_release_next(c, m);
	L3L2Q_PROBE_RELEASE(c->core, c, 0);
	return l3l2q_likely(!(c->kick | c->self_kick)) ? 0 : l3l2q_consumer_finish(c, 0);
}

L3L2Q_INLINE int l3l2q_try_dequeue(struct l3l2q_consumer *c, struct l3l2q_message *m,
				   void *body, size_t capacity)
{
	uint64_t head = c->head;
	int found = l3l2q_consumer_refresh_idle(c, head);
	__u32 kick;

	if (found == -EAGAIN)
		return found;
	if (l3l2q_unlikely(!found || !l3l2q_consumer_copy_fast(c, head, m, body, capacity, &kick)))
		return l3l2q_try_dequeue_slow(c, m, body, capacity);
	L3L2Q_PROBE_PEEK(c->core, c, 0);
	L3L2Q_PROBE_RELEASE(c->core, c, 0);
	if (l3l2q_likely(!kick))
		return 0;
	c->kick = kick;
	return l3l2q_consumer_finish(c, 0);
}

#ifdef __cplusplus
}
#endif

#endif /* L3L2Q_INLINE_H */
