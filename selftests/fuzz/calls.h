/* SPDX-License-Identifier: MIT */
/*
 * The calls that have inline forms, twice: as an optimised program has them, and as
 * functions of the library.
 */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

#include <l3l2q.h>

struct fuzz_calls {
	int (*try_enqueue)(struct l3l2q_producer *p, uint32_t opcode, const void *body,
			   size_t nbytes);
	int (*try_reserve)(struct l3l2q_producer *p, size_t nbytes,
			   struct l3l2q_reservation *span);
	int (*commit)(struct l3l2q_producer *p, const struct l3l2q_reservation *span,
		      uint32_t opcode);
	int (*try_peek)(struct l3l2q_consumer *c, struct l3l2q_message *m);
	int (*release)(struct l3l2q_consumer *c, const struct l3l2q_message *m);
	int (*try_dequeue)(struct l3l2q_consumer *c, struct l3l2q_message *m, void *body,
			   size_t capacity);
};

extern const struct fuzz_calls fuzz_calls_inline;
extern const struct fuzz_calls fuzz_calls_library;

#endif /* FUZZ_CALLS_H */
