/* SPDX-License-Identifier: MIT */
/*
 * What an application holds of a message: shared by l3l2q.h and by programs on
 * the AICPU that include core.h alone.
 */
#ifndef L3L2Q_TYPES_H
#define L3L2Q_TYPES_H

#include <linux/l3l2q_abi.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct l3l2q_message - a message acquired by peek, until it is released
 * @seq: position in its direction, from 1
 * @payload_offset: of the body in the payload range; 0 without a body
 * @nbytes: length of the body
 * @data: the body where it lies, in shared memory that the other side can
 *	still change; NULL without a body. Valid until released.
 * @opcode: enum l3l2q_opcode
 *
 * Filled in by peek, given back unchanged to read_into and release, which
 * compare it with the endpoint's own copy. protocol.md section 5.
 */
struct l3l2q_message {
	__u64 seq;
	__u64 payload_offset;
	__u64 nbytes;
	const void *data;
	__u32 opcode;
};

/**
 * struct l3l2q_reservation - a span of the arena, until commit or cancel
 * @seq: position the message will have
 * @payload_offset: of the span in the payload range; 0 without a body
 * @nbytes: length of the span, and of the message it becomes
 * @data: where to write the body; NULL without one
 */
struct l3l2q_reservation {
	__u64 seq;
	__u64 payload_offset;
	__u64 nbytes;
	void *data;
};

/**
 * struct l3l2q_error - the first error of an endpoint, which sticks
 * @kind: enum l3l2q_error_kind; L3L2Q_ERR_NONE while the endpoint has none
 * @binding: enum l3l2q_binding of the queue
 * @region_id: the region, 0 if there is none yet
 * @identity: of the queue, for the bindings that have one; else 0
 * @op: the operation that failed, never NULL
 * @message: what was wrong, never NULL
 */
struct l3l2q_error {
	__u32 kind;
	__u32 binding;
	__u64 region_id;
	__u64 identity[2];
	const char *op;
	const char *message;
};

#ifdef __cplusplus
}
#endif

#endif /* L3L2Q_TYPES_H */
