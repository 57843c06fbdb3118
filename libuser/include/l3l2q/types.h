/* SPDX-License-Identifier: MIT */
/*
 * Structures that applications hold: used by l3l2q.h, and by programs on the AICPU
 * that include core.h alone.
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
 * @payload_offset: bytes from the start of the payload range to the body; 0 without
 *	a body
 * @nbytes: length of the body in bytes
 * @data: the body in shared memory, which the other side can still change; NULL
 *	without a body, and with copied memory, which read_into reads. Valid until the
 *	message is released
 * @opcode: enum l3l2q_opcode
 *
 * Peek fills it in. The caller gives it back unchanged to read_into and release,
 * which compare it with the endpoint's own copy (protocol.md, section 5).
 */
struct l3l2q_message {
	__u64 seq;
	__u64 payload_offset;
	__u64 nbytes;
	const void *data;
	__u32 opcode;
};

/**
 * struct l3l2q_body - the body of one message of a run
 * @data: NULL exactly if @nbytes is 0
 * @nbytes: length in bytes
 */
struct l3l2q_body {
	const void *data;
	__u64 nbytes;
};

/**
 * struct l3l2q_reservation - a span of the arena, until commit or cancel
 * @seq: position that the message will have in its direction
 * @payload_offset: bytes from the start of the payload range to the span; 0 without a
 *	body
 * @nbytes: length in bytes of the span, and of the message that it becomes
 * @data: where to write the body, in shared memory; NULL without a body
 *
 * Of a run it is the first span; the others follow @nbytes apart.
 *
 * Reserve fills it in. The caller gives it back unchanged to commit or cancel.
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
 * @region_id: id of the region; 0 if it is not known
 * @identity: identity of the queue for the bindings that have one; else 0
 * @op: name of the operation that failed; a static string, never NULL
 * @message: what was wrong; a static string, never NULL
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
