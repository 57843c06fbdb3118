/* SPDX-License-Identifier: MIT */
/* Included by the two calls_*.c, which define TABLE. */
static int call_try_enqueue(struct l3l2q_producer *p, uint32_t opcode, const void *body,
			    size_t nbytes)
{
	return l3l2q_try_enqueue(p, opcode, body, nbytes);
}

static int call_try_reserve(struct l3l2q_producer *p, size_t nbytes,
			    struct l3l2q_reservation *span)
{
	return l3l2q_try_reserve(p, nbytes, span);
}

static int call_commit(struct l3l2q_producer *p, const struct l3l2q_reservation *span,
		       uint32_t opcode)
{
	return l3l2q_commit(p, span, opcode);
}

static int call_try_peek(struct l3l2q_consumer *c, struct l3l2q_message *m)
{
	return l3l2q_try_peek(c, m);
}

static int call_release(struct l3l2q_consumer *c, const struct l3l2q_message *m)
{
	return l3l2q_release(c, m);
}

static int call_try_dequeue(struct l3l2q_consumer *c, struct l3l2q_message *m, void *body,
			    size_t capacity)
{
	return l3l2q_try_dequeue(c, m, body, capacity);
}

const struct fuzz_calls TABLE = {
	call_try_enqueue, call_try_reserve, call_commit,
	call_try_peek, call_release, call_try_dequeue,
};
